/* csrc/ingest.c: what is taken, what is left to a parser, and that both ways of looking agree. tests/fuzz and the
 * Python tests compare it with parsers. */
#include "check.h"

static lw_voice voice;

/* Each text in memory of its own size, so that the sanitizers see a byte read too far. */
static int scan(const char *text)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    int found = lw_voice_scan(copy, n, &voice);
    free(copy);
    return found;
}

static int spans(const char *text, const char *audio, const char *id)
{
    return voice.audio_chars == strlen(audio) && !memcmp(text + voice.audio, audio, voice.audio_chars) &&
           (id ? voice.has_id && voice.id_chars == strlen(id) && !memcmp(text + voice.id, id, voice.id_chars)
               : !voice.has_id);
}

#define COMMAND "\"command\":\"voice\""
#define AUDIO "\"audio\":\"AAECAw==\""
#define RATE "\"sampleRate\":24000"
#define ENCODING "\"encoding\":\"PCM16\""
#define ID "\"event_id\":\"e-1\""
#define MESSAGE "{" COMMAND "," AUDIO "," RATE "," ENCODING "," ID "}"

static void takes(void)
{
    static const char *const parts[] = {COMMAND, AUDIO, RATE, ENCODING, ID};
    int right = 1;
    for (int code = 0; code < 3125; code++) { /* five digits in base 5: all orders among them */
        int order[5], seen = 0;
        for (int i = 0, rest = code; i < 5; i++, rest /= 5) {
            order[i] = rest % 5;
            seen |= 1 << order[i];
        }
        if (seen != 31)
            continue;
        char text[256];
        snprintf(text, sizeof text, " {%s,\n%s ,%s\t, %s,%s\r} ", parts[order[0]], parts[order[1]], parts[order[2]],
                 parts[order[3]], parts[order[4]]);
        right &= scan(text) == 1 && voice.rate == 24000 && voice.encoding == LW_PCM16 && voice.audio_bytes == 4 &&
                 spans(text, "AAECAw==", "e-1");
    }
    CHECK(right, "every order of the keys, whitespace between");

    const char *no_id = "{" COMMAND " : ", *none = "{" COMMAND "," AUDIO "," RATE "," ENCODING "}";
    CHECK(!scan(no_id) && scan(none) == 1 && spans(none, "AAECAw==", NULL), "event_id may be absent");
    const char *null = "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":null}";
    CHECK(scan(null) == 1 && spans(null, "AAECAw==", NULL), "event_id may be null");
    const char *empty = "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":\"\"}";
    CHECK(scan(empty) == 1 && spans(empty, "AAECAw==", ""), "an empty event_id is one");
    CHECK(scan("{" COMMAND ",\"audio\":\"AAE=\",\"sampleRate\":8000,\"encoding\":\"PCM8\"}") == 1 &&
              voice.encoding == LW_PCM8 && voice.rate == 8000 && voice.audio_bytes == 2,
          "PCM8");
    CHECK(scan("{" COMMAND ",\"audio\":\"AAEC\",\"sampleRate\":48000,\"encoding\":\"OPUS\"}") == 1 &&
              voice.encoding == LW_OPUS && voice.rate == 48000 && voice.audio_bytes == 3,
          "OPUS");
}

static void leaves(void)
{
    static const char *const texts[] = {
        "", "{", "{}", "[]", "null", "\"", "{\"", "{\"command", MESSAGE "x", MESSAGE "{", MESSAGE "," MESSAGE,
        "{,}", "{" COMMAND "," AUDIO "," RATE "," ENCODING ",}",
        "{" COMMAND "," AUDIO "," RATE "}", "{" COMMAND "," AUDIO "," ENCODING "}",
        "{" COMMAND "," RATE "," ENCODING "}",
        "{" AUDIO "," RATE "," ENCODING "," ID "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING "," COMMAND "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING "," AUDIO "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING "," RATE "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING "," ENCODING "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING "," ID "," ID "}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"x\":1}",
        "{" COMMAND " " AUDIO "," RATE "," ENCODING "}",
        "{\"command\":\"voice_end\"," AUDIO "," RATE "," ENCODING "}",
        "{\"command\":\"v\\u006fice\"," AUDIO "," RATE "," ENCODING "}",
        "{\"command\":null," AUDIO "," RATE "," ENCODING "}",
        "{" COMMAND ",\"audio\":\"\"," RATE "," ENCODING "}",
        "{" COMMAND ",\"audio\":\"AA\"," RATE "," ENCODING "}",
        "{" COMMAND ",\"audio\":\"AAAA\"," RATE "," ENCODING "}", /* 3 bytes */
        "{" COMMAND ",\"audio\":null," RATE "," ENCODING "}",
        "{" COMMAND ",\"audio\":\"AAECAw==," RATE "," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":024000," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":-24000," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":24000.0," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":24e3," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":7999," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":48001," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":240000000000000000000," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":\"24000\"," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"sampleRate\":true," ENCODING "}",
        "{" COMMAND "," AUDIO ",\"encoding\":\"PCM16\",\"sampleRate\":24000",
        "{" COMMAND "," AUDIO "," RATE ",\"encoding\":\"pcm16\"}",
        "{" COMMAND "," AUDIO "," RATE ",\"encoding\":\"\"}",
        "{" COMMAND "," AUDIO "," RATE ",\"encoding\":null}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":1}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":nul}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":nulL}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":\"\\n\"}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":\"\n\"}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":\"\xc3\xa9\"}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":\"e}",
        "{" COMMAND "," AUDIO "," RATE "," ENCODING ",\"event_id\":[\"e\"]}",
        "\xef\xbb\xbf" MESSAGE,
    };
    int right = scan(MESSAGE) == 1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (scan(texts[i])) {
            printf("FAIL takes %s\n", texts[i]);
            right = 0;
        }
    CHECK(right, "what is unusual is left");
    right = 1;
    for (size_t n = 0; n < sizeof MESSAGE - 1; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, MESSAGE, n);
        right &= !lw_voice_scan(cut, n, &voice);
        free(cut);
    }
    CHECK(right, "so is a message cut anywhere");
}

/* Messages of changing clients through one lw_voice_around: always what a scan says. */
static void remembers(void)
{
    static const char *const ids[] = {"\"event_id\":\"a\"", "\"event_id\":\"bcd\"", "\"event_id\":null"};
    static lw_voice_around around;
    int right = 1, counts[3] = {0};
    for (int i = 0; i < 20000; i++) {
        char base64[64] = "", text[1024];
        int chars = 4 * random_in(0, 12);
        for (int k = 0; k < chars; k++)
            base64[k] = random_in(0, 99) ? (char)random_in('A', 'Z') : "\"\\=,{"[random_in(0, 4)];
        if (chars && random_in(0, 1))
            base64[chars - 1] = '=';
        const char *id = ids[random_in(0, 15) ? i / 1000 % 3 : random_in(0, 2)];
        int rate = random_in(0, 30) ? 24000 : random_in(7998, 8002), long_id = random_in(0, 20) ? 0 : 500;
        if (i / 100 % 2)
            snprintf(text, sizeof text, "{" COMMAND ",\"audio\":\"%s\",\"sampleRate\":%d," ENCODING ",%s%*s}", base64,
                     rate, id, long_id, "");
        else
            snprintf(text, sizeof text, "{" COMMAND ",%s,\"sampleRate\":%d," ENCODING ",\"audio\":\"%s\"%*s}", id, rate,
                     base64, long_id, "");
        lw_voice a, b;
        size_t n = strlen(text);
        int scanned = lw_voice_scan(text, n, &a), next = lw_voice_next(&around, text, n, &b);
        char out[64];
        int decodes = scanned && lw_base64_decode(out, text + a.audio, a.audio_chars) == (int64_t)a.audio_bytes;
        if (next == 2 && !decodes) /* it may see the end elsewhere: that does not decode either */
            right &= lw_base64_decode(out, text + b.audio, b.audio_chars) == LW_EDATA;
        else
            right &= !!next == scanned && (!next || !memcmp(&a, &b, sizeof a));
        counts[next]++;
    }
    CHECK(right, "what it remembers is what it would have found");
    CHECK(counts[0] > 1000 && counts[1] > 1000 && counts[2] > 1000, "each of the three answers was seen");
}

/* The bytes around the audio of one message may overlap in a shorter one. */
static void overlaps(void)
{
    static lw_voice_around around;
    static const char message[] = "{" COMMAND "," RATE "," ENCODING ",\"audio\":\"AAE=\"}";
    static const char shorter[] = "{" COMMAND "," RATE "," ENCODING ",\"audio\":\"}";
    int right = lw_voice_next(&around, message, sizeof message - 1, &voice) == 1 &&
                lw_voice_next(&around, message, sizeof message - 1, &voice) == 2;
    for (size_t n = 0; n < sizeof shorter; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, shorter, n);
        right &= !lw_voice_next(&around, cut, n, &voice);
        memcpy(cut, message + sizeof message - 1 - n, n);
        right &= !lw_voice_next(&around, cut, n, &voice);
        free(cut);
    }
    right &= lw_voice_next(&around, message, sizeof message - 1, &voice) == 2;
    CHECK(right, "a message shorter than what is remembered");
}

static int64_t decode(const char *text, uint8_t *out)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    int64_t bytes = lw_base64_bytes(copy, n);
    uint8_t *exact = malloc(bytes > 0 ? (size_t)bytes : 1);
    int64_t rc = lw_base64_decode(exact, copy, n);
    if (rc > 0)
        memcpy(out, exact, (size_t)rc);
    free(exact);
    free(copy);
    return rc;
}

static void base64(void)
{
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"},
                {"Zm9vYmFy", "foobar"}, {"Zh==", "f"}, {"Zm9=", "fo"}, {"+/+/", "\xfb\xff\xbf"}};
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Z===", "====", "=", "==", "Zg=v", "Zm9vZg==Zm9v", "Zm9v====",
                                      "Zm9v=", "Zm 9", "Zm9\n", "Zm-_", "Zm9vZm9\xff", "!g==", "Z!==", "Zm!=", "!m8="};
    uint8_t out[64];
    int right = 1;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t n = strlen(good[i].bytes);
        right &= decode(good[i].text, out) == (int64_t)n && !memcmp(out, good[i].bytes, n);
    }
    CHECK(right, "the vectors of RFC 4648, left-over bits ignored");
    right = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        right &= decode(bad[i], out) == LW_EDATA;
    CHECK(right, "padding missing, elsewhere or too much; other characters");
}

static void pcm8(void)
{
    uint8_t in[257], out[516];
    int right = 1;
    for (int i = 0; i < 257; i++)
        in[i] = (uint8_t)i;
    lw_pcm8_decode(out + 1, in + 1, 256);
    for (int i = 0; i < 256; i++) {
        int16_t x;
        memcpy(&x, out + 1 + 2 * i, 2);
        right &= x == (((i + 1) & 255) - 128) * 256;
    }
    CHECK(right, "PCM8");
}

static void frames(void)
{
    lw_ws_head head;
    static const uint8_t heads[][14] = {{0x81, 0x85, 1, 2, 3, 4},
                                        {0x81, 0xfe, 0x12, 0x34, 1, 2, 3, 4},
                                        {0x02, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9},
                                        {0x89, 0x7d}};
    static const lw_ws_head want[] = {
        {6, 5, 0x81, 1}, {8, 0x1234, 0x81, 1}, {14, 0x0102030405060708, 0x02, 1}, {2, 125, 0x89, 0}};
    int right = 1;
    for (int i = 0; i < 4; i++) {
        for (size_t n = 0; n < want[i].bytes; n++)
            right &= lw_ws_head_at(heads[i], n, &head) == 0;
        right &= lw_ws_head_at(heads[i], 14, &head) == 1 && head.bytes == want[i].bytes && head.payload == want[i].payload &&
                 head.first == want[i].first && head.masked == want[i].masked;
    }
    CHECK(right, "heads of frames, whole and not");
    uint8_t text[80], in[81], out[81];
    static const uint8_t mask[4] = {0x91, 0x02, 0xf3, 0x44};
    right = 1;
    for (size_t n = 0; n < sizeof text; n++) {
        for (size_t i = 0; i < n; i++) {
            text[i] = (uint8_t)random_in(0, 127);
            in[1 + i] = text[i] ^ mask[i & 3];
        }
        out[n] = 77;
        right &= lw_ws_unmask(out, in + 1, n, mask) == 1 && !memcmp(out, text, n) && out[n] == 77;
        size_t at = n ? random_u32() % n : 0;
        if (n) {
            in[1 + at] ^= 128;
            right &= lw_ws_unmask(out, in + 1, n, mask) == 0 && out[at] == (text[at] | 128);
        }
    }
    CHECK(right, "the mask comes off, and what is no ASCII is seen anywhere");
}

static void meter(void)
{
    lw_rate_meter m;
    lw_rate_meter_reset(&m);
    int reports = 0, rate = 0;
    for (int i = 0; i < 1000; i++) {
        int found = lw_rate_meter_add(&m, 48000, 480, i * 0.02);
        reports += found != 0;
        rate = found ? found : rate;
    }
    CHECK(reports == 1 && rate == 24000, "a wrong label is told once");
    CHECK(lw_rate_meter_add(&m, 0, 480, 20) == LW_EINVAL && lw_rate_meter_add(&m, 48000, 0, 20) == LW_EINVAL,
          "no rate, no samples: not a chunk");
}

int main(void)
{
    takes();
    leaves();
    remembers();
    overlaps();
    base64();
    pcm8();
    meter();
    frames();
    return failures != 0;
}
