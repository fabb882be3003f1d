/* G.711 against tables that this test derives from the Recommendation's own description of the curves: the decision
 * values and the levels of tables 1 and 2, by search and not by arithmetic on bits. Every sample and every code. */
#include "check.h"

static int16_t samples[65536 + 64], back[65536];
static uint8_t codes[65536 + 64];

/* Positive half of a curve: 8 segments of 16 steps. Step j of the whole (0..127) begins at `start[j]`, on the scale of
 * 16 bits; its level is the middle. A-law: unit 16, the first two segments alike. mu-law: unit 4, each segment twice
 * as wide as the one before, and all moved down by 33 half units, so that zero is a level. */
typedef struct curve {
    int32_t start[129], level[128];
} curve;

static void derive(curve *c, int mu)
{
    int32_t at = 0;
    for (int j = 0; j < 128; j++) {
        int segment = j / 16;
        int32_t width = mu ? 8 << segment : segment < 2 ? 16 : 16 << (segment - 1);
        c->start[j] = at;
        /* the first mu-law step is half a step, around zero */
        at += mu && j == 0 ? 4 : width;
        c->level[j] = mu && j == 0 ? 0 : at - width / 2;
    }
    c->start[128] = at;
}

static int search(const curve *c, int32_t magnitude)
{
    int j = 127;
    while (magnitude < c->start[j])
        j--;
    return j;
}

typedef void encode(uint8_t *, const int16_t *, size_t);
typedef void decode(int16_t *, const uint8_t *, size_t);

static void whole(const char *name, int mu, encode *to, decode *from)
{
    curve c;
    derive(&c, mu);
    for (int32_t i = 0; i < 65536; i++)
        samples[i] = (int16_t)(i - 32768);
    to(codes, samples, 65536);
    int wrong = 0;
    for (int32_t i = 0; i < 65536; i++) {
        int32_t x = i - 32768, magnitude = x < 0 ? -x - 1 : x;
        int code = search(&c, magnitude) | (x < 0 ? 0 : 0x80);
        wrong += codes[i] != (mu ? code ^ 0x7F : code ^ 0x55);
    }
    CHECK(!wrong, name);
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    from(back, codes, 256);
    for (int i = 0; i < 256; i++) {
        int code = mu ? i ^ 0x7F : i ^ 0x55;
        int32_t level = c.level[code & 0x7F];
        wrong += back[i] != (code & 0x80 ? level : -level);
    }
    CHECK(!wrong, name);
    /* Decoding, then coding, gives the code again, except for mu-law's negative zero. */
    uint8_t again[256];
    to(again, back, 256);
    for (int i = 0; i < 256; i++)
        wrong += again[i] != i && !(mu && i == 0x7F);
    CHECK(!wrong, name);
}

static void pieces(const char *name, encode *to, decode *from)
{
    static uint8_t room[2 * 700 + 65], want[700], got[765], wide[2 * 700 + 65];
    static int16_t whole_pcm[700];
    int wrong = 0;
    for (size_t n = 0; n < 340; n++) {
        size_t odd = random_u32() % 64;
        for (size_t i = 0; i < n; i++)
            samples[i] = (int16_t)random_in(-32768, 32767);
        to(want, samples, n);
        memcpy(room + odd, samples, 2 * n);
        memset(got, 0xA5, sizeof got);
        to(got + odd, (const int16_t *)(const void *)(room + odd), n);
        wrong += memcmp(got + odd, want, n) != 0 || got[odd + n] != 0xA5;
        from(whole_pcm, want, n);
        memset(wide, 0xA5, sizeof wide);
        from((int16_t *)(void *)(wide + odd), got + odd, n);
        wrong += memcmp(wide + odd, whole_pcm, 2 * n) != 0 || wide[odd + 2 * n] != 0xA5;
        for (size_t i = 0; i < n; i++) {
            uint8_t one;
            to(&one, samples + i, 1);
            wrong += one != want[i];
        }
    }
    CHECK(!wrong, name);
}

int main(void)
{
    whole("A-law: every sample and code", 0, lw_alaw_encode, lw_alaw_decode);
    whole("mu-law: every sample and code", 1, lw_ulaw_encode, lw_ulaw_decode);
    pieces("A-law: every length, odd alignment", lw_alaw_encode, lw_alaw_decode);
    pieces("mu-law: every length, odd alignment", lw_ulaw_encode, lw_ulaw_decode);
    return failures != 0;
}
