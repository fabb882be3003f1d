/* Viseme extractor: the interface's promises, and what a mouth must and must not do on simple signals. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define RATE LW_VISEME_RATE
#define SECONDS 6
#define SAMPLES (SECONDS * RATE)
#define MAX_ROWS (SAMPLES / LW_VISEME_HOP + 1)
static const uint64_t golden[2] = {0xce1af12ef6084ade, 0x96011453929b8d71}; /* final, early */
#define PI 3.14159265358979323846

static uint32_t noise_state = 1;

static double noise(void)
{
    double sum = 0.0;
    for (int i = 0; i < 12; i++) {
        noise_state = noise_state * 1664525u + 1013904223u;
        sum += noise_state / 4294967296.0;
    }
    return sum - 6.0;
}

static int16_t to_pcm(double x)
{
    x = x < -32768.0 ? -32768.0 : x > 32767.0 ? 32767.0 : x;
    return (int16_t)lrint(x);
}

/* White noise of the given RMS, dBFS. */
static void add_noise(int16_t *pcm, int n, double dbfs)
{
    double rms = 32768.0 * pow(10.0, dbfs / 20.0);
    for (int i = 0; i < n; i++)
        pcm[i] = to_pcm(pcm[i] + rms * noise());
}

/* A pulse train at 120 Hz through two-pole formants, RMS about `dbfs`. */
static void vowel(int16_t *pcm, int n, const double formant[4], double dbfs)
{
    static double x[SAMPLES];
    double phase = 1.0, tilt = 0.0;
    for (int i = 0; i < n; i++) {
        phase += (120.0 + 4.0 * sin(2.0 * PI * 5.0 * i / RATE)) / RATE;
        tilt *= 0.9;
        if (phase >= 1.0) {
            phase -= 1.0;
            tilt += 1.0;
        }
        x[i] = tilt;
    }
    for (int f = 0; f < 4; f++) {
        double r = exp(-PI * (60.0 + 30.0 * f) / RATE), c = 2.0 * r * cos(2.0 * PI * formant[f] / RATE);
        double y1 = 0.0, y2 = 0.0;
        for (int i = 0; i < n; i++) {
            double y = x[i] + c * y1 - r * r * y2;
            y2 = y1;
            y1 = x[i] = y;
        }
    }
    double power = 0.0;
    for (int i = 0; i < n; i++)
        power += x[i] * x[i];
    double gain = 32768.0 * pow(10.0, dbfs / 20.0) / sqrt(power / n);
    for (int i = 0; i < n; i++)
        pcm[i] = to_pcm(gain * x[i]);
}

static const double formants_a[4] = {760.0, 1250.0, 2500.0, 3500.0};
static const double formants_i[4] = {280.0, 2250.0, 2900.0, 3500.0};

/* Syllables: /a/ and /i/ with silence between. */
static void babble(int16_t *pcm, int n, double dbfs)
{
    int at = 3000;
    memset(pcm, 0, (size_t)n * sizeof *pcm);
    for (int k = 0; at + 8000 < n; k++) {
        vowel(pcm + at, 3200, k & 1 ? formants_i : formants_a, dbfs);
        at += k % 4 == 3 ? 8000 : 4000;
    }
}

static lw_viseme_config mode; /* the tests run in each */

static int lookahead(void)
{
    lw_viseme *v;
    int look = lw_viseme_open(&v, &mode) < 0 ? -1 : lw_viseme_lookahead(v);
    lw_viseme_close(&v);
    return look;
}

static int64_t extract(const int16_t *pcm, size_t n, size_t chunk, float *rows)
{
    lw_viseme *v;
    int64_t total = 0;
    if (lw_viseme_open(&v, &mode) < 0)
        return -1;
    for (size_t at = 0; at < n; at += chunk) {
        size_t part = n - at < chunk ? n - at : chunk;
        size_t bound = lw_viseme_bound(v, part);
        int64_t got = lw_viseme_process(v, pcm + at, part, rows + total * LW_CHANNELS, bound);
        if (got != (int64_t)bound) {
            total = -1;
            break;
        }
        total += got;
    }
    lw_viseme_close(&v);
    return total;
}

static int all_silent(const float *rows, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        if (rows[i * LW_CHANNELS] < 0.999f || rows[i * LW_CHANNELS + LW_JAW] > 0.0f)
            return 0;
    return to > from;
}

static int well_formed(const float *rows, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float *row = rows + i * LW_CHANNELS;
        float sum = 0.0f;
        for (int k = 0; k < LW_VISEMES; k++) {
            if (!(row[k] >= 0.0f))
                return 0;
            sum += row[k];
        }
        if (!(fabsf(sum - 1.0f) < 1e-5f) || !(row[LW_JAW] >= 0.0f && row[LW_JAW] <= 1.0f) ||
            !(row[LW_LOUDNESS] >= 0.0f && row[LW_LOUDNESS] <= 1.0f))
            return 0;
    }
    return count > 0;
}

static int16_t pcm[SAMPLES], scratch[SAMPLES];
static float rows[MAX_ROWS * LW_CHANNELS], other[MAX_ROWS * LW_CHANNELS];

static void test_interface(void)
{
    lw_viseme *v = NULL;
    CHECK(lw_viseme_open(NULL, &mode) == LW_EINVAL, "open without a place");
    CHECK(lw_viseme_open(&v, &mode) == 0 && v, "open");
    int look = lw_viseme_lookahead(v);
    CHECK(look >= 0 && look <= (mode.early ? 320 : 1000), "look-ahead within 20 ms early, 62.5 ms else");
    CHECK(lw_viseme_lookahead(NULL) == LW_EINVAL, "look-ahead of nothing");

    size_t first = (size_t)(LW_VISEME_HOP + look);
    CHECK(lw_viseme_bound(v, first - 1) == 0 && lw_viseme_bound(v, first) == 1 &&
              lw_viseme_bound(v, first + 5 * LW_VISEME_HOP) == 6, "bound from a fresh start");
    CHECK(lw_viseme_process(v, pcm, first - 1, NULL, 0) == 0 && lw_viseme_bound(v, 1) == 1, "no row before its time");
    CHECK(lw_viseme_process(v, pcm, 1, rows, 1) == 1, "first row at its time");
    CHECK(lw_viseme_bound(v, LW_VISEME_HOP - 1) == 0 && lw_viseme_bound(v, LW_VISEME_HOP) == 1, "bound when running");
    CHECK(lw_viseme_process(v, NULL, 1, rows, 1) == LW_EINVAL, "NULL samples");
    CHECK(lw_viseme_process(v, NULL, 0, NULL, 0) == 0, "nothing in, nothing out");
    CHECK(lw_viseme_process(NULL, pcm, 1, rows, 1) == LW_EINVAL, "NULL extractor");

    lw_viseme_close(&v);
    CHECK(v == NULL, "close nulls");
    lw_viseme_close(&v);
    lw_viseme_close(NULL);
    lw_viseme_reset(NULL);
    CHECK(lw_viseme_bound(NULL, 1000) == 0, "close and reset of nothing");
}

static void test_chunks(void)
{
    static const size_t chunks[] = {1, 7, 159, 160, 161, 333, 480, 1601, 5000};
    babble(pcm, SAMPLES, -22.0);
    add_noise(pcm, SAMPLES, -70.0);
    int64_t count = extract(pcm, SAMPLES, SAMPLES, rows);
    CHECK(count == (SAMPLES - lookahead()) / LW_VISEME_HOP, "every row comes");
    CHECK(well_formed(rows, count), "weights sum to 1, all in range");
    int same = 1;
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        memset(other, 0x55, sizeof other);
        same &= extract(pcm, SAMPLES, chunks[i], other) == count &&
                !memcmp(rows, other, (size_t)count * LW_CHANNELS * sizeof *rows);
    }
    CHECK(same, "chunked equals one-shot, bit for bit");
}

static void test_reset_and_space(void)
{
    lw_viseme *v;
    babble(pcm, SAMPLES, -22.0);
    int64_t count = extract(pcm, SAMPLES, SAMPLES, rows);
    if (lw_viseme_open(&v, &mode) < 0)
        return;
    vowel(scratch, 20011, formants_i, -12.0);
    (void)lw_viseme_process(v, scratch, 20011, other, MAX_ROWS);
    lw_viseme_reset(v);
    CHECK(lw_viseme_process(v, pcm, SAMPLES, other, MAX_ROWS) == count &&
              !memcmp(rows, other, (size_t)count * LW_CHANNELS * sizeof *rows), "reset equals fresh");

    lw_viseme_reset(v);
    int64_t half = lw_viseme_process(v, pcm, SAMPLES / 2, other, MAX_ROWS);
    size_t bound = lw_viseme_bound(v, SAMPLES / 2);
    float *rest = other + half * LW_CHANNELS;
    rest[0] = 42.0f;
    int refused = lw_viseme_process(v, pcm + SAMPLES / 2, SAMPLES / 2, rest, bound - 1) == LW_ENOSPC;
    CHECK(refused && rest[0] == 42.0f && lw_viseme_bound(v, SAMPLES / 2) == bound, "too little space is refused");
    half += lw_viseme_process(v, pcm + SAMPLES / 2, SAMPLES / 2, rest, bound);
    CHECK(half == count && !memcmp(rows, other, (size_t)count * LW_CHANNELS * sizeof *rows), "and takes nothing");

    lw_viseme_reset(v);
    size_t n = 7777, exact = lw_viseme_bound(v, n) * LW_CHANNELS;
    float *heap = malloc((exact + 32) * sizeof *heap);
    if (heap) {
        for (size_t i = 0; i < exact + 32; i++)
            heap[i] = -7.5f;
        (void)lw_viseme_process(v, pcm, n, heap + 16, exact / LW_CHANNELS);
        int intact = 1;
        for (size_t i = 0; i < 16; i++)
            intact &= heap[i] == -7.5f && heap[exact + 16 + i] == -7.5f;
        CHECK(intact && heap[16] != -7.5f && heap[exact + 15] != -7.5f, "guard bands");
        free(heap);
    }

    unsigned char *odd = malloc(SAMPLES * sizeof *pcm + 1);
    if (odd) {
        int16_t *unaligned;
        unsigned char *at = odd + 1;
        memcpy(at, pcm, SAMPLES * sizeof *pcm);
        memcpy(&unaligned, &at, sizeof at);
        lw_viseme_reset(v);
        CHECK(lw_viseme_process(v, unaligned, SAMPLES, other, MAX_ROWS) == count &&
                  !memcmp(rows, other, (size_t)count * LW_CHANNELS * sizeof *rows), "odd-aligned samples");
        free(odd);
    }
    lw_viseme_close(&v);
}

static void test_silence(void)
{
    memset(pcm, 0, sizeof pcm);
    int64_t count = extract(pcm, SAMPLES, SAMPLES, rows);
    CHECK(all_silent(rows, 0, count), "digital silence is sil");
    CHECK(rows[(count - 1) * LW_CHANNELS + LW_LOUDNESS] == 0.0f, "digital silence has no loudness");

    add_noise(pcm, SAMPLES, -60.0);
    count = extract(pcm, SAMPLES, SAMPLES, rows);
    CHECK(all_silent(rows, 0, count), "noise at -60 dBFS is sil");

    memset(pcm, 0, sizeof pcm);
    add_noise(pcm, SAMPLES, -48.0);
    count = extract(pcm, SAMPLES, SAMPLES, rows);
    CHECK(all_silent(rows, 250, count), "room noise at -48 dBFS is sil once it is known");

    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = to_pcm(600.0 * sin(2.0 * PI * 50.0 * i / RATE));
    count = extract(pcm, SAMPLES, SAMPLES, rows);
    CHECK(all_silent(rows, 10, count), "hum is sil");
}

static void test_vowels(void)
{
    int64_t count, at;
    for (int quiet = 0; quiet < 3; quiet++) {
        static const double level[3] = {-20.0, -32.0, -8.0};
        static const char *const open_name[3] = {"/a/ opens the jaw", "quiet /a/ opens the jaw", "loud /a/ too"};
        memset(pcm, 0, sizeof pcm);
        vowel(pcm + RATE, RATE / 2, formants_a, level[quiet]);
        count = extract(pcm, SAMPLES, SAMPLES, rows);
        float jaw = 0.0f, sil = 0.0f;
        for (at = 105; at < 140; at++) {
            jaw += rows[at * LW_CHANNELS + LW_JAW] / 35.0f;
            sil += rows[at * LW_CHANNELS] / 35.0f;
        }
        CHECK(jaw > 0.35f && sil < 0.1f, open_name[quiet]);
        CHECK(all_silent(rows, 0, 94) && all_silent(rows, 165, count), "and is shut before and after");
    }
    for (at = 100; at < 110 && rows[at * LW_CHANNELS] > 0.5f; at++) {
    }
    CHECK(at <= 103, "opens within three rows of the onset");

    memset(pcm, 0, sizeof pcm);
    vowel(pcm + RATE, RATE / 2, formants_i, -20.0);
    (void)extract(pcm, SAMPLES, SAMPLES, other);
    float a = 0.0f, i = 0.0f;
    for (at = 105; at < 140; at++) {
        a += rows[at * LW_CHANNELS + LW_JAW];
        i += other[at * LW_CHANNELS + LW_JAW];
    }
    CHECK(i < a, "/i/ is narrower than /a/");

    memset(pcm, 0, sizeof pcm);
    vowel(pcm, RATE / 2, formants_a, -20.0);
    (void)extract(pcm, SAMPLES, SAMPLES, rows);
    for (at = 0; at < 20 && rows[at * LW_CHANNELS] > 0.5f; at++) {
    }
    CHECK(at <= 5, "a cold start in the middle of a vowel opens");

    babble(pcm, SAMPLES, -22.0);
    add_noise(pcm, SAMPLES, -50.0);
    count = extract(pcm, SAMPLES, SAMPLES, rows);
    int switches = 0;
    for (at = 1; at < count; at++)
        switches += (rows[at * LW_CHANNELS] > 0.5f) != (rows[(at - 1) * LW_CHANNELS] > 0.5f);
    CHECK(switches > 8 && switches < 80, "syllables open and shut without flutter");
}

/* Nothing that a codec or a broken microphone can send upsets it. */
static void test_odd_signals(void)
{
    static const char *const name[] = {"DC is well-formed",
                                       "a full-scale square is well-formed",
                                       "alternation at full scale is well-formed",
                                       "steps of one bit are sil",
                                       "the lowest value is well-formed",
                                       "full-scale noise is well-formed"};
    for (int kind = 0; kind < 6; kind++) {
        for (int i = 0; i < SAMPLES; i++)
            pcm[i] = (int16_t)(kind == 0   ? 12000
                               : kind == 1 ? (i / 80 % 2 ? 32767 : -32768)
                               : kind == 2 ? (i % 2 ? 32767 : -32768)
                               : kind == 3 ? random_in(-1, 1)
                               : kind == 4 ? -32768
                                           : random_in(-32768, 32767));
        int64_t count = extract(pcm, SAMPLES, 777, rows);
        CHECK(well_formed(rows, count) && (kind != 3 || all_silent(rows, 0, count)), name[kind]);
    }
}

/* ---- the same bits everywhere ---- */

/* Integers only: pulses through two resonators that glide, hiss, pauses. */
static void deterministic_signal(int16_t *to, int n)
{
    int64_t y[2][2] = {{0}};
    uint32_t hiss = 7;
    int phase = 0;
    for (int i = 0; i < n; i++) {
        int syllable = i / 3200, in = i % 3200;
        hiss = hiss * 1664525u + 1013904223u;
        int64_t x = in < 2400 && syllable % 4 != 3 ? (phase == 0 ? 1600 : 0) + (int32_t)(hiss >> 24) / 8 - 16
                    : in < 2000                    ? (int32_t)(hiss >> 20) / 4 - 512
                                                   : (int32_t)(hiss >> 31);
        phase = (phase + 1) % (120 + syllable % 5 * 9);
        for (int k = 0; k < 2; k++) {
            int64_t c = k ? 21000 - 2500 * (syllable % 7) - in : 31000 - 400 * (syllable % 6); /* Q14: 2 r cos w */
            int64_t next = x + ((c * y[k][0] - 15600 * y[k][1]) >> 14);
            y[k][1] = y[k][0], y[k][0] = next;
            x = next >> 2;
        }
        x = x < -32768 ? -32768 : x > 32767 ? 32767 : x;
        to[i] = (int16_t)x;
    }
}

static uint64_t digest(const void *data, size_t bytes)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    return hash;
}

static void test_levels(void)
{
    static const uint32_t masks[] = {0, LW_CPU_AVX2, LW_CPU_AVX2 | LW_CPU_AVX512, LW_CPU_NEON};
    deterministic_signal(pcm, SAMPLES);
    int64_t count = extract(pcm, SAMPLES, SAMPLES, rows);
    int talks = 0;
    for (int64_t i = 0; i < count; i++)
        talks += rows[i * LW_CHANNELS] < 0.5f;
    CHECK(well_formed(rows, count) && talks > count / 4 && talks < count, "the signal is speech to it, and pauses");
    uint64_t found = digest(rows, (size_t)count * LW_CHANNELS * sizeof *rows);
    printf("# digest 0x%016llx, %d of %d rows talk\n", (unsigned long long)found, talks, (int)count);
    CHECK(found == golden[mode.early], "golden rows: new ones only where the model or the arithmetic was changed on purpose");
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        if ((lw_cpu_detect() & masks[i]) == masks[i]) {
            lw_cpu_use(masks[i]);
            memset(other, 0, sizeof other);
            (void)extract(pcm, SAMPLES, 1600, other);
            CHECK(!memcmp(rows, other, (size_t)count * LW_CHANNELS * sizeof *rows), lw_cpu_level(masks[i]));
        }
    use_level();
}

/* 19 sessions, each at its own place of its own signal, in pieces of random size, some of them empty. */
static void test_many(void)
{
    enum { N = 19, PIECES = 120, MOST = 2000 };
    static int16_t signals[N][SAMPLES];
    static float made[N][(MOST / LW_VISEME_HOP + 2) * LW_CHANNELS];
    lw_viseme *together[N], *alone[N];
    size_t at[N] = {0}, total = 0, sil = 0;
    int same = 1;
    for (int s = 0; s < N; s++) {
        deterministic_signal(signals[s], SAMPLES);
        memmove(signals[s], signals[s] + 431 * s, sizeof signals[s] - 431 * (size_t)s * sizeof(int16_t));
        for (int i = 0; i < SAMPLES; i++)
            signals[s][i] = (int16_t)(s % 5 == 4 && i > RATE ? 0 : signals[s][i] >> s % 4);
        same &= !lw_viseme_open(&together[s], s & 1 ? &mode : NULL) && !lw_viseme_open(&alone[s], s & 1 ? &mode : NULL);
    }
    for (int piece = 0; piece < PIECES && same; piece++) {
        const int16_t *in[N];
        float *to[N];
        size_t n[N], bound[N], all = 0;
        for (int s = 0; s < N; s++) {
            n[s] = random_in(0, 4) ? (size_t)random_in(0, piece % 3 ? 400 : MOST) : 0;
            n[s] = n[s] < SAMPLES - at[s] ? n[s] : SAMPLES - at[s];
            bound[s] = lw_viseme_bound(together[s], n[s]);
            all += bound[s];
            in[s] = n[s] ? signals[s] + at[s] : NULL;
            to[s] = bound[s] ? made[s] : NULL;
            at[s] += n[s];
        }
        same &= lw_viseme_process_many(together, N, in, n, to, MOST / LW_VISEME_HOP + 2) == (int64_t)all;
        for (int s = 0; s < N; s++) {
            same &= lw_viseme_process(alone[s], in[s], n[s], other, MAX_ROWS) == (int64_t)bound[s] &&
                    !memcmp(made[s], other, bound[s] * LW_CHANNELS * sizeof(float));
            for (size_t i = 0; i < bound[s]; i++)
                sil += made[s][i * LW_CHANNELS] == 1.0f;
        }
        total += all;
    }
    CHECK(same && total > 3000 && sil > 300 && sil < total, "many at once equal each alone, bit for bit");

    const int16_t *in[2] = {signals[0], signals[1]};
    float *to[2] = {made[0], made[1]};
    size_t n[2] = {MOST, 100};
    CHECK(lw_viseme_process_many(together, 2, in, n, to, 5) == LW_ENOSPC, "one that needs more space refuses all");
    lw_viseme *gap[2] = {together[0], NULL};
    CHECK(lw_viseme_process_many(gap, 2, in, n, to, 100) == LW_EINVAL, "a session that is not there");
    CHECK(lw_viseme_process_many(together, 2, (const int16_t *const[]){in[0], NULL}, n, to, 100) == LW_EINVAL &&
              lw_viseme_process_many(NULL, 1, in, n, to, 1) == LW_EINVAL, "NULL");
    CHECK(lw_viseme_process_many(NULL, 0, NULL, NULL, NULL, 0) == 0, "no sessions");
    int64_t left = lw_viseme_process(together[0], in[0], n[0], made[0], 100);
    CHECK(left == lw_viseme_process(alone[0], in[0], n[0], other, 100) &&
              !memcmp(made[0], other, (size_t)left * LW_CHANNELS * sizeof(float)), "refusals take nothing");
    for (int s = 0; s < N; s++) {
        lw_viseme_close(&together[s]);
        lw_viseme_close(&alone[s]);
    }
}

/* Early and final rows of one extractor: those of one of each, whatever else is computed beside them. */
static void test_both(void)
{
    enum { SESSIONS = 10, PART = 1000 };
    static float early[SESSIONS][MAX_ROWS][LW_CHANNELS], final[SESSIONS][MAX_ROWS][LW_CHANNELS];
    static float alone[2][MAX_ROWS * LW_CHANNELS];
    lw_viseme *v[SESSIONS];
    lw_viseme_part parts[SESSIONS];
    size_t at[SESSIONS] = {0}, made[SESSIONS][2] = {{0}};
    int ok = 1, busy = 1;
    babble(pcm, SAMPLES, -20.0);
    add_noise(pcm + SAMPLES / 2, SAMPLES / 2, -45.0);
    for (int s = 0; s < SESSIONS; s++)
        ok &= lw_viseme_open(&v[s], &(lw_viseme_config){.both = 1}) == 0;
    while (busy && ok) {
        busy = 0;
        for (int s = 0; s < SESSIONS; s++) {
            size_t n = (size_t)random_in(0, PART), left = (size_t)(SAMPLES - 700 * s) - at[s];
            n = n < left ? n : left;
            parts[s] = (lw_viseme_part){.v = v[s], .pcm = pcm + 700 * s + at[s], .n = n,
                                        .early = early[s][made[s][0]], .final = final[s][made[s][1]]};
            at[s] += n;
            busy |= at[s] < (size_t)(SAMPLES - 700 * s);
        }
        ok &= lw_viseme_process_both(parts, SESSIONS, PART / LW_VISEME_HOP + 1) == 0;
        for (int s = 0; s < SESSIONS; s++) {
            made[s][0] += parts[s].early_rows;
            made[s][1] += parts[s].final_rows;
        }
    }
    CHECK(ok, "both kinds of rows, ten sessions side by side");
    lw_viseme_config before = mode;
    for (int s = 0; s < SESSIONS; s++)
        for (int kind = 0; kind < 2; kind++) {
            mode = (lw_viseme_config){.early = !kind};
            int64_t n = extract(pcm + 700 * s, (size_t)(SAMPLES - 700 * s), 333, alone[kind]);
            ok &= n == (int64_t)made[s][kind] &&
                  !memcmp(alone[kind], kind ? final[s] : early[s], (size_t)n * LW_CHANNELS * sizeof(float));
        }
    mode = before;
    CHECK(ok, "are those of an early and of a final extractor, bit for bit");
    size_t one = 160;
    const int16_t *in = pcm;
    float *out = early[0][0];
    parts[0] = (lw_viseme_part){.v = v[0], .pcm = pcm, .n = 1600, .early = early[0][0], .final = final[0][0]};
    CHECK(lw_viseme_process_both(parts, 1, 9) == LW_ENOSPC && lw_viseme_process_both(NULL, 1, 9) == LW_EINVAL &&
              lw_viseme_process_both(NULL, 0, 9) == 0 &&
              lw_viseme_process_many(&v[0], 1, &in, &one, &out, 9) == LW_EINVAL,
          "no room, no sessions, and rows of one kind from an extractor of both");
    for (int s = 0; s < SESSIONS; s++)
        lw_viseme_close(&v[s]);
}

int main(void)
{
    test_both();
    for (mode.early = 0; mode.early < 2; mode.early++) {
        printf("# %s\n", mode.early ? "early" : "final");
        test_interface();
        test_chunks();
        test_reset_and_space();
        test_silence();
        test_vowels();
        test_odd_signals();
        test_levels();
        test_many();
    }
    return failures != 0;
}
