/* G.722 against a model written here, block by block in the Recommendation's notation, every sum saturated; and the
 * promises of the header: chunks, odd samples, alignment, batches, slots. */
#include <math.h>

#include "allocations.h"
#include "check.h"

/* ---- the model ---- */

static int sat(int x)
{
    return x > 32767 ? 32767 : x < -32768 ? -32768 : x;
}

static int mult(int a, int b)
{
    return sat((int)(((long long)a * b) >> 15));
}

typedef struct model_band {
    int A[3], B[7], D[7], P[3], R[3], S, SZ, NB, DET;
} model_band;

typedef struct model {
    model_band low, high;
    int X[24]; /* newest first */
} model;

static const int Q6[31] = {0,   35,  72,  110, 150,  190,  233,  276,  323,  370,  422,  473,  530,  587,  650, 714,
                           786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 3200};
static const int OQ6[31] = {0,   17,  54,  91,  130,  170,  211,  254,  300,  347,  396,  447,  501,  558,  618, 682,
                            750, 822, 899, 982, 1072, 1170, 1279, 1399, 1535, 1689, 1873, 2088, 2376, 2738, 3101};
static const int OQ5[16] = {0, 35, 110, 190, 276, 370, 473, 587, 714, 858, 1023, 1219, 1458, 1765, 2195, 2919};
static const int OQ4[8] = {0, 150, 323, 530, 786, 1121, 1612, 2557};
static const int OQ2[3] = {0, 202, 926};
static const int WL[8] = {-60, -30, 58, 172, 334, 538, 1198, 3042};
static const int RIL4[16] = {0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0};
static const int RIL5[32] = {1,  1,  15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2,
                             15, 14, 13, 12, 11, 10, 9,  8,  7, 6, 5, 4, 3, 2, 1, 1};
static const int H[24] = {3,    -11, -11,  53,   12,  -156, 32,   362, -210, -805, 951, 3876,
                          3876, 951, -805, -210, 362, 32,   -156, 12,  53,   -11,  -11, 3};

static int scale(int nb, int point) /* 8 low, 10 high */
{
    int mantissa = (int)lround(2048 * pow(2, (nb >> 6 & 31) / 32.0)), shift = point - (nb >> 11);
    return (shift < 0 ? mantissa << -shift : mantissa >> shift) << 2;
}

static void reset_model(model *m)
{
    memset(m, 0, sizeof *m);
    m->low.DET = 32;
    m->high.DET = 8;
}

static int sign(int x)
{
    return x >> 15;
}

static void predict(model_band *b, int d)
{
    b->D[0] = d;
    b->P[0] = sat(d + b->SZ);
    b->R[0] = sat(b->S + d);
    for (int i = 1; i <= 6; i++) /* UPZERO */
        b->B[i] = sat(mult(b->B[i], 32640) + (d == 0 ? 0 : sign(d) == sign(b->D[i]) ? 128 : -128));
    for (int i = 6; i >= 1; i--)
        b->D[i] = b->D[i - 1];
    int wd1 = sat(b->A[1] * 4); /* UPPOL2 */
    int wd2 = (sign(b->P[0]) == sign(b->P[1]) ? sat(-wd1) : wd1) >> 7;
    int wd3 = sign(b->P[0]) == sign(b->P[2]) ? 128 : -128;
    int a2 = sat(sat(wd2 + wd3) + mult(b->A[2], 32512));
    b->A[2] = a2 > 12288 ? 12288 : a2 < -12288 ? -12288 : a2;
    int a1 = sat((sign(b->P[0]) == sign(b->P[1]) ? 192 : -192) + mult(b->A[1], 32640)); /* UPPOL1 */
    int most = sat(15360 - b->A[2]);
    b->A[1] = a1 > most ? most : a1 < -most ? -most : a1;
    b->P[2] = b->P[1];
    b->P[1] = b->P[0];
    b->SZ = 0; /* FILTEZ */
    for (int i = 6; i >= 1; i--)
        b->SZ = sat(b->SZ + mult(sat(2 * b->D[i]), b->B[i]));
    b->R[2] = b->R[1]; /* FILTEP */
    b->R[1] = b->R[0];
    int sp = sat(mult(b->A[1], sat(2 * b->R[1])) + mult(b->A[2], sat(2 * b->R[2])));
    b->S = sat(sp + b->SZ);
}

static void log_scale(model_band *b, int w, int top, int point)
{
    int nb = mult(b->NB, 32512) + w;
    b->NB = nb < 0 ? 0 : nb > top ? top : nb;
    b->DET = scale(b->NB, point);
}

static void low_step(model_band *b, int il)
{
    int ril = il >> 2, d = mult(b->DET, (ril < 8 ? -OQ4[RIL4[ril]] : OQ4[RIL4[ril]]) * 8);
    log_scale(b, WL[RIL4[ril]], 18432, 8);
    predict(b, d);
}

static int high_step(model_band *b, int ih)
{
    int mih = ih & 1 ? 1 : 2, d = mult(b->DET, (ih < 2 ? -OQ2[mih] : OQ2[mih]) * 8), r = sat(b->S + d);
    log_scale(b, mih == 1 ? -214 : 798, 22528, 10);
    predict(b, d);
    return r;
}

static int limit(int x)
{
    return x > 16383 ? 16383 : x < -16384 ? -16384 : x;
}

static void filter(model *m, int first, int second, int *a, int *b)
{
    memmove(m->X + 2, m->X, 22 * sizeof *m->X);
    m->X[1] = first;
    m->X[0] = second;
    *a = *b = 0;
    for (int i = 0; i < 12; i++) {
        *a += H[2 * i] * m->X[2 * i];
        *b += H[2 * i + 1] * m->X[2 * i + 1];
    }
}

static int model_encode(model *m, int first, int second)
{
    int a, b;
    filter(m, first, second, &a, &b);
    int e = sat(limit((a + b) >> 14) - m->low.S), wd = e < 0 ? ~e : e, mil = 0;
    while (mil < 30 && (Q6[mil] * m->low.DET) >> 12 <= wd)
        mil++;
    int il = e >= 0 ? 62 - mil : mil < 3 ? 64 - mil : 34 - mil;
    low_step(&m->low, il);
    e = sat(limit((a - b) >> 14) - m->high.S);
    wd = e < 0 ? ~e : e;
    int mih = wd >= (564 * m->high.DET) >> 12 ? 2 : 1, ih = e < 0 ? 2 - mih : 4 - mih;
    high_step(&m->high, ih);
    return ih << 6 | il;
}

static void model_decode(model *m, int code, int mode, int *out)
{
    int il = code & 63, level = 0, a, b;
    if (mode == 1)
        level = il < 4 ? -OQ6[1] : il < 32 ? -OQ6[34 - il] : il < 62 ? OQ6[62 - il] : -OQ6[64 - il];
    if (mode == 2)
        level = il >> 1 < 16 || il >> 1 == 31 ? -OQ5[RIL5[il >> 1]] : OQ5[RIL5[il >> 1]];
    if (mode == 3)
        level = il >> 2 < 8 ? -OQ4[RIL4[il >> 2]] : OQ4[RIL4[il >> 2]];
    int rl = limit(sat(m->low.S + mult(m->low.DET, level * 8)));
    low_step(&m->low, il);
    int rh = limit(high_step(&m->high, code >> 6));
    filter(m, rl + rh, rl - rh, &a, &b);
    out[0] = sat(a >> 11);
    out[1] = sat(b >> 11);
}

/* ---- signals ---- */

enum { PAIRS = 2000, KINDS = 9, MOST = 70 };

static int16_t pcm[MOST][2 * PAIRS + 2], out[MOST][2 * PAIRS + 1], wide[2 * PAIRS];
static uint8_t codes[MOST][PAIRS + 1], made[MOST][PAIRS + 1];
static uint8_t bytes[4 * PAIRS + 8];

static void signal(int16_t *x, int n, int kind)
{
    double phase = 0;
    int period = random_in(2, 60);
    for (int i = 0; i < n; i++) {
        phase += 0.0002 * i;
        switch (kind) {
        case 0: x[i] = (int16_t)random_in(-32768, 32767); break;
        case 1: x[i] = i / period & 1 ? 32767 : -32768; break;
        case 2: x[i] = 0; break;
        case 3: x[i] = 32767; break;
        case 4: x[i] = -32768; break;
        case 5: x[i] = (int16_t)lround(30000 * sin(phase)); break;
        case 6: x[i] = random_u32() & 1 ? 32767 : -32768; break;
        case 7: x[i] = (int16_t)(random_in(0, 99) ? random_in(-3, 3) : random_in(-32768, 32767)); break;
        default: x[i] = (int16_t)lround(8000 * sin(0.07 * i) * sin(0.0021 * i) + random_in(-500, 500));
        }
    }
}

static const int32_t rates[] = {64000, 56000, 48000};

static void against_model(void)
{
    for (int mode = 1; mode <= 3; mode++) {
        lw_g722_config config = {rates[mode - 1]};
        lw_g722_encoder *e;
        lw_g722_decoder *d;
        int coded = 1, decoded = 1, noise = 1;
        CHECK(!lw_g722_encoder_open(&e, &config) && !lw_g722_decoder_open(&d, &config), "open");
        for (int kind = 0; kind < 3 * KINDS; kind++) {
            model m;
            int pair[2];
            signal(pcm[0], 2 * PAIRS, kind % KINDS);
            reset_model(&m);
            for (int i = 0; i < PAIRS; i++)
                codes[0][i] = (uint8_t)(model_encode(&m, pcm[0][2 * i], pcm[0][2 * i + 1]) & 0xFF << (mode - 1));
            lw_g722_encoder_reset(e);
            coded &= lw_g722_encoder_process(e, pcm[0], 2 * PAIRS, made[0], PAIRS) == PAIRS &&
                     !memcmp(made[0], codes[0], PAIRS);
            for (int random = 0; random < 2; random++) {
                /* Codes that no encoder sends drive everything into saturation. */
                int few = random_in(0, 3);
                for (int i = 0; random && i < PAIRS; i++)
                    codes[0][i] = (uint8_t)(few == 0 ? random_u32() : few == 1 ? (random_u32() & 1 ? 0x84 : 0xA0)
                                            : few == 2 ? (random_in(0, 30) ? 0xA0 : 0x84) : (random_u32() & 0xE3));
                reset_model(&m);
                lw_g722_decoder_reset(d);
                int same = lw_g722_decoder_process(d, codes[0], PAIRS, out[0], 2 * PAIRS) == 2 * PAIRS;
                for (int i = 0; i < PAIRS; i++) {
                    model_decode(&m, codes[0][i], mode, pair);
                    same &= out[0][2 * i] == pair[0] && out[0][2 * i + 1] == pair[1];
                }
                *(random ? &noise : &decoded) &= same;
            }
        }
        CHECK(coded, "the encoder is the Recommendation's");
        CHECK(decoded, "the decoder is the Recommendation's");
        CHECK(noise, "the decoder is the Recommendation's on any bytes");
        lw_g722_encoder_close(&e);
        lw_g722_decoder_close(&d);
        lw_g722_decoder_close(&d);
        CHECK(!e && !d, "closed");
    }
}

static void chunks(void)
{
    lw_g722_encoder *e;
    lw_g722_decoder *d;
    int coded = 1, decoded = 1;
    for (int round = 0; round < 60; round++) {
        lw_g722_config config = {rates[round % 3]};
        int n = 2 * PAIRS - (round & 1);
        lw_g722_encoder_open(&e, &config);
        lw_g722_decoder_open(&d, &config);
        signal(pcm[0], n, round % KINDS);
        int64_t all = lw_g722_encoder_process(e, pcm[0], (size_t)n, codes[0], PAIRS);
        coded &= all == n / 2;
        lw_g722_decoder_process(d, codes[0], (size_t)all, out[0], 2 * PAIRS);
        lw_g722_encoder_reset(e);
        lw_g722_decoder_reset(d);
        memcpy(bytes + 1, pcm[0], (size_t)n * 2);
        int64_t at = 0, put = 0;
        while (at < n) {
            int64_t part = random_in(0, 2) ? random_in(0, 7) : random_in(0, 700);
            part = part < n - at ? part : n - at;
            size_t bound = lw_g722_encoder_bound(e, (size_t)part);
            if (bound)
                coded &= lw_g722_encoder_process(e, pcm[0] + at, (size_t)part, made[0], bound - 1) == LW_ENOSPC;
            made[0][put + (int64_t)bound] = 0xA5;
            coded &= lw_g722_encoder_process(e, (const int16_t *)(const void *)(bytes + 1 + 2 * at), (size_t)part,
                                             made[0] + put, bound) == (int64_t)bound;
            coded &= made[0][put + (int64_t)bound] == 0xA5;
            at += part;
            put += (int64_t)bound;
        }
        coded &= put == all && !memcmp(made[0], codes[0], (size_t)all);
        for (at = 0; at < all;) {
            int64_t part = random_in(0, 2) ? random_in(0, 5) : random_in(0, 400);
            part = part < all - at ? part : all - at;
            bytes[1 + 4 * (at + part)] = 0xA5;
            decoded &= lw_g722_decoder_process(d, codes[0] + at, (size_t)part,
                                               (int16_t *)(void *)(bytes + 1 + 4 * at), (size_t)part * 2) == part * 2;
            decoded &= bytes[1 + 4 * (at + part)] == 0xA5;
            at += part;
        }
        decoded &= !memcmp(bytes + 1, out[0], (size_t)all * 4);
        lw_g722_encoder_close(&e);
        lw_g722_decoder_close(&d);
    }
    CHECK(coded, "coding in pieces of any size and alignment is coding at once");
    CHECK(decoded, "decoding in pieces of any size and alignment is decoding at once");
}

/* Slots of a batch against single objects: joining, sitting out and leaving at random. */
static void batches(void)
{
    static const int counts[] = {1, 2, 7, 15, 16, 17, 31, 32, 33, 48, 49, 64, 65, 70};
    int coded = 1, decoded = 1;
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        int channels = counts[k];
        lw_g722_config config = {rates[k % 3]};
        lw_g722_batch_config many = {rates[k % 3], channels};
        lw_g722_encoder_batch *eb;
        lw_g722_decoder_batch *db;
        lw_g722_encoder *e[MOST];
        lw_g722_decoder *d[MOST];
        coded &= !lw_g722_encoder_batch_open(&eb, &many) && !lw_g722_decoder_batch_open(&db, &many);
        for (int c = 0; c < channels; c++) {
            signal(pcm[c], 2 * PAIRS, random_in(0, KINDS - 1));
            coded &= !lw_g722_encoder_open(&e[c], &config) && !lw_g722_decoder_open(&d[c], &config);
        }
        for (int at = 0; at < PAIRS;) {
            int part = random_in(0, 1) ? random_in(0, 30) : random_in(0, 400);
            part = part < PAIRS - at ? part : PAIRS - at;
            const int16_t *in[MOST];
            const uint8_t *code_in[MOST];
            uint8_t *to[MOST];
            int16_t *pcm_to[MOST];
            int again = random_in(0, 3) ? -2 : random_in(0, channels - 1);
            if (again >= 0)
                coded &= !lw_g722_encoder_batch_reset(eb, again) && !lw_g722_decoder_batch_reset(db, again);
            for (int c = 0; c < channels; c++) {
                int idle = !random_in(0, 9);
                in[c] = idle ? NULL : pcm[c] + 2 * at;
                to[c] = idle ? NULL : made[c];
                code_in[c] = idle ? NULL : codes[c];
                pcm_to[c] = idle ? NULL : out[c];
                made[c][part] = 0xA5;
                out[c][2 * part] = 0x5A5A;
                if (idle || c == again) {
                    lw_g722_encoder_reset(e[c]);
                    lw_g722_decoder_reset(d[c]);
                }
                if (!idle)
                    lw_g722_encoder_process(e[c], in[c], (size_t)part * 2, codes[c], PAIRS);
            }
            coded &= lw_g722_encoder_batch_process(eb, in, (size_t)part * 2, to) == part;
            decoded &= lw_g722_decoder_batch_process(db, code_in, (size_t)part, pcm_to) == 2 * part;
            for (int c = 0; c < channels; c++) {
                if (!in[c])
                    continue;
                coded &= !memcmp(made[c], codes[c], (size_t)part) && made[c][part] == 0xA5;
                lw_g722_decoder_process(d[c], codes[c], (size_t)part, wide, 2 * PAIRS);
                decoded &= !memcmp(out[c], wide, (size_t)part * 4) && out[c][2 * part] == 0x5A5A;
            }
            at += part;
        }
        for (int c = 0; c < channels; c++) {
            lw_g722_encoder_close(&e[c]);
            lw_g722_decoder_close(&d[c]);
        }
        lw_g722_encoder_batch_close(&eb);
        lw_g722_decoder_batch_close(&db);
        lw_g722_decoder_batch_close(&db);
        coded &= !eb && !db;
    }
    CHECK(coded, "a batch codes as its channels do alone");
    CHECK(decoded, "a batch decodes as its channels do alone");
}

static void arguments(void)
{
    lw_g722_encoder *e = (lw_g722_encoder *)(void *)bytes;
    lw_g722_decoder_batch *d = NULL;
    CHECK(lw_g722_encoder_open(&e, &(lw_g722_config){32000}) == LW_EINVAL && !e, "an unknown rate");
    CHECK(lw_g722_encoder_open(&e, NULL) == LW_EINVAL && lw_g722_encoder_open(NULL, NULL) == LW_EINVAL, "no config");
    CHECK(lw_g722_decoder_batch_open(&d, &(lw_g722_batch_config){64000, 0}) == LW_EINVAL && !d, "no channels");
    CHECK(lw_g722_decoder_batch_open(&d, &(lw_g722_batch_config){64000, 4097}) == LW_EINVAL && !d, "too many channels");
    CHECK(!lw_g722_decoder_batch_open(&d, &(lw_g722_batch_config){64000, 3}), "three channels");
    CHECK(lw_g722_decoder_batch_reset(d, 3) == LW_EINVAL && !lw_g722_decoder_batch_reset(d, -1), "slots are 0..2");
    lw_g722_decoder_batch_close(&d);
    lw_g722_encoder_batch *b = NULL;
    CHECK(!lw_g722_encoder_batch_open(&b, &(lw_g722_batch_config){64000, 1}), "one channel");
    const int16_t *in[1] = {pcm[0]};
    uint8_t *to[1] = {made[0]};
    CHECK(lw_g722_encoder_batch_process(b, in, 3, to) == LW_EINVAL, "a batch takes whole pairs");
    lw_g722_encoder_batch_close(&b);
}

static void test_allocations(void)
{
#ifdef COUNTING
    enum { CHANNELS = 20, SAMPLES = 640 };
    static int16_t sound[CHANNELS][SAMPLES], back[CHANNELS][SAMPLES];
    static uint8_t coded[CHANNELS][SAMPLES / 2];
    const int16_t *in[CHANNELS];
    const uint8_t *code_in[CHANNELS];
    int16_t *to_sound[CHANNELS];
    uint8_t *to_code[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) {
        for (int i = 0; i < SAMPLES; i++)
            sound[c][i] = (int16_t)random_in(-20000, 20000);
        in[c] = sound[c], code_in[c] = coded[c], to_sound[c] = back[c], to_code[c] = coded[c];
    }
    lw_g722_encoder *e = NULL;
    lw_g722_decoder *d = NULL;
    lw_g722_encoder_batch *eb = NULL;
    lw_g722_decoder_batch *db = NULL;
    lw_g722_config one = {64000};
    lw_g722_batch_config many = {64000, CHANNELS};
    int before = allocations;
    int opened = !lw_g722_encoder_open(&e, &one) && !lw_g722_decoder_open(&d, &one) &&
                 !lw_g722_encoder_batch_open(&eb, &many) && !lw_g722_decoder_batch_open(&db, &many);
    CHECK(opened && allocations == before + 4, "each open allocates once");
    before = allocations;
    int64_t sum = lw_g722_encoder_process(e, sound[0], SAMPLES, coded[0], SAMPLES / 2) +
                  lw_g722_decoder_process(d, coded[0], SAMPLES / 2, back[0], SAMPLES) +
                  lw_g722_encoder_batch_process(eb, in, SAMPLES, to_code) +
                  lw_g722_decoder_batch_process(db, code_in, SAMPLES / 2, to_sound);
    lw_g722_encoder_reset(e);
    lw_g722_decoder_reset(d);
    CHECK(!lw_g722_encoder_batch_reset(eb, -1) && !lw_g722_decoder_batch_reset(db, 3) && sum == 3 * SAMPLES &&
              allocations == before, "nothing allocates after open");
    lw_g722_encoder_close(&e);
    lw_g722_decoder_close(&d);
    lw_g722_encoder_batch_close(&eb);
    lw_g722_decoder_batch_close(&db);
#endif
}

int main(void)
{
    test_allocations();
    against_model();
    chunks();
    batches();
    arguments();
    return failures != 0;
}
