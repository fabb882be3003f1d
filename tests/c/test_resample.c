/* The resampler: what its header promises, measured on every pair of the rates in use. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lipwire.h"

#define PI 3.14159265358979323846
#define WINDOW 4096 /* output samples that a measurement looks at */
#define MAX_IN 40000
#define MAX_OUT 40000
#define SENTINEL 0x5A5A

static const int32_t rates[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
enum { RATES = sizeof rates / sizeof *rates };

static int16_t in[MAX_IN], out[MAX_OUT], other[MAX_OUT + 8192];
static uint8_t odd[MAX_IN * sizeof(int16_t) + 1];

static const int16_t *unaligned(const uint8_t *bytes)
{
    return (const int16_t *)(const void *)bytes;
}

/* Everything at once: process, then flush. */
static int64_t one_shot(lw_resampler *r, int64_t n, int16_t *to)
{
    size_t used;
    int64_t made = lw_resampler_process(r, in, (size_t)n, &used, to, MAX_OUT);
    if (made < 0 || (int64_t)used != n)
        return -1;
    int64_t tail = lw_resampler_flush(r, to + made, (size_t)(MAX_OUT - made));
    return tail < 0 ? -1 : made + tail;
}

/* Random pieces of odd-aligned input into small outputs, a sentinel behind each. */
static int64_t in_pieces(lw_resampler *r, int64_t n, int16_t *to)
{
    int64_t at = 0, made = 0;
    memcpy(odd + 1, in, (size_t)n * sizeof *in);
    while (at < n) {
        int64_t part = random_in(0, 3) ? random_in(0, 3) : random_in(0, 900), cap = random_in(0, 2) ? random_in(0,
            5) : 700;
        part = part < n - at ? part : n - at;
        size_t used = 99999;
        to[made + cap] = SENTINEL;
        int64_t k = lw_resampler_process(r, unaligned(odd + 1 + 2 * at), (size_t)part, &used, to + made, (size_t)cap);
        if (k < 0 || k > cap || (int64_t)used > part || to[made + cap] != SENTINEL || ((int64_t)used < part && k < cap))
            return -1;
        at += (int64_t)used;
        made += k;
    }
    for (;;) {
        int64_t cap = random_in(1, 9);
        to[made + cap] = SENTINEL;
        int64_t k = lw_resampler_flush(r, to + made, (size_t)cap);
        if (k < 0 || k > cap || to[made + cap] != SENTINEL)
            return -1;
        if (!k)
            return made;
        made += k;
    }
}

static int64_t expected(int64_t n, int32_t from, int32_t to)
{
    return (n * to + from - 1) / from;
}

/* ---- one pair: exactness ---- */

typedef struct marks {
    int pieces, length, reset, bound, constant, delay, aligned;
} marks;

static void exactness(lw_resampler *r, int32_t from, int32_t to, marks *m)
{
    for (int round = 0; round < 3; round++) {
        int64_t n = round == 0 ? random_in(1, 40) : random_in(1000, 2500);
        for (int64_t i = 0; i < n; i++)
            in[i] = random_in(0, 1) ? (int16_t)random_in(-32768, 32767) : random_in(0, 1) ? 32767 : -32768;
        size_t bound = lw_resampler_bound(r, (size_t)n);
        int64_t total = one_shot(r, n, out);
        m->length &= total == expected(n, from, to);
        m->bound &= (int64_t)bound >= total && (int64_t)bound <= total + 1;
        memset(other, 0x11, sizeof other);
        m->pieces &= in_pieces(r, n, other) == total && !memcmp(out, other, (size_t)total * sizeof *out);
        size_t used;
        (void)lw_resampler_process(r, in + 1, (size_t)n - 1, &used, other, MAX_OUT);
        lw_resampler_reset(r);
        m->reset &= one_shot(r, n, other) == total && !memcmp(out, other, (size_t)total * sizeof *out);
    }
    static const int16_t levels[] = {32767, -32768, 12345, 1, 0};
    for (size_t k = 0; k < sizeof levels / sizeof *levels; k++) {
        for (int i = 0; i < 2000; i++)
            in[i] = levels[k];
        int64_t total = one_shot(r, 2000, out), edge = (int64_t)to * 4 / 1000 + 1;
        for (int64_t i = edge; i < total - edge; i++)
            m->constant &= out[i] == levels[k];
        m->constant &= total > 3 * edge;
    }
    m->delay &= lw_resampler_delay_ns(r) >= 0 && lw_resampler_delay_ns(r) <= 4000000;
    for (int k = 0; k < 4; k++) {
        int64_t at = random_in(0, 1999), best = 0;
        memset(in, 0, 2000 * sizeof *in);
        in[at] = 32767;
        int64_t total = one_shot(r, 2000, out);
        for (int64_t i = 1; i < total; i++)
            best = abs(out[i]) > abs(out[best]) ? i : best;
        m->aligned &= out[best] > 1000 && fabs((double)best - (double)at * to / from) <= 1.0;
    }
    /* An input is needed no later than the delay says: the output it is the centre of is out by then. */
    int64_t look = (lw_resampler_delay_ns(r) * from + 999999999) / 1000000000;
    size_t used;
    lw_resampler_reset(r);
    int64_t made = lw_resampler_process(r, in, (size_t)(1000 + look), &used, out, MAX_OUT);
    m->delay &= made >= expected(1000, from, to) - 1;
    lw_resampler_reset(r);
}

/* ---- one pair: spectrum ---- */

/* Amplitude of the tone of `hz` among n samples from x: one bin of a DFT under a sin^4 window. */
static double amplitude(const int16_t *x, int n, double hz, double rate)
{
    static double window[WINDOW];
    double re = 0.0, im = 0.0, sum = 0.0, w = 2.0 * PI * hz / rate;
    if (window[n / 2] == 0.0)
        for (int i = 0; i < WINDOW; i++)
            window[i] = pow(sin(PI * (i + 0.5) / WINDOW), 4.0);
    double c = 1.0, s = 0.0, dc = cos(w), ds = sin(w);
    for (int i = 0; i < n; i++) {
        re += window[i] * x[i] * c;
        im += window[i] * x[i] * s;
        sum += window[i];
        double t = c * dc - s * ds;
        s = c * ds + s * dc;
        c = t;
    }
    return 2.0 * sqrt(re * re + im * im) / sum;
}

/* A tone, and a quiet one (amplitude 0: none) that keeps the 16-bit rounding of a vanishing output noise-like. */
static void tones(int64_t n, double hz, double level, double quiet_hz, double quiet, double rate)
{
    for (int64_t i = 0; i < n; i++)
        in[i] = (int16_t)lrint(level * sin(2.0 * PI * hz * (double)i / rate + 0.3) +
                               quiet * sin(2.0 * PI * quiet_hz * (double)i / rate + 1.1));
}

/* The frequency that `hz` is heard at. */
static double folded(double hz, double rate)
{
    hz = fmod(fabs(hz), rate);
    return hz > rate / 2.0 ? rate - hz : hz;
}

static void spectrum(lw_resampler *r, int32_t from, int32_t to, double *ripple, double *leak)
{
    static const double pass[] = {0.0203, 0.3011, 0.7017, 0.8503, 0.9};
    static const double stop[] = {1.1, 1.237, 1.613, 2.417, 3.389, 4.709, 5.3};
    const double level = 29000.0, nyquist = (from < to ? from : to) / 2.0, bin = (double)to / WINDOW;
    int64_t edge = to / 200, n = (int64_t)((WINDOW + 2.0 * (double)edge) * from / to) + 2;
    for (size_t k = 0; k < sizeof pass / sizeof *pass; k++) {
        double hz = pass[k] * nyquist;
        tones(n, hz, level, 0.0, 0.0, from);
        if (one_shot(r, n, out) < edge + WINDOW) {
            *ripple = 99.0;
            return;
        }
        double db = fabs(20.0 * log10(amplitude(out + edge, WINDOW, hz, to) / level));
        *ripple = db > *ripple ? db : *ripple;
        for (int image = 1; image <= 6; image++)
            for (int sign = -1; sign <= 1; sign += 2) {
                double at = folded(image * (double)from + sign * hz, to);
                if (fabs(at - hz) < 12.0 * bin || at < 8.0 * bin)
                    continue;
                db = 20.0 * log10(amplitude(out + edge, WINDOW, at, to) / level);
                *leak = db > *leak ? db : *leak;
            }
    }
    for (size_t k = 0; from > to && k < sizeof stop / sizeof *stop; k++) {
        double hz = stop[k] * nyquist, quiet_hz = 0.4519 * nyquist;
        if (hz > 0.98 * from / 2.0)
            break;
        double at = folded(hz, to);
        if (fabs(at - quiet_hz) < 12.0 * bin) {
            *leak = 99.0;
            return;
        }
        tones(n, hz, level, quiet_hz, 700.0, from);
        (void)one_shot(r, n, out);
        double db = 20.0 * log10(amplitude(out + edge, WINDOW, at, to) / level);
        *leak = db > *leak ? db : *leak;
    }
}

static void test_pairs(void)
{
    marks m = {1, 1, 1, 1, 1, 1, 1};
    double ripple = 0.0, leak = -200.0;
    int opened = 0;
    for (int i = 0; i < RATES; i++)
        for (int k = 0; k < RATES; k++) {
            lw_resampler *r = NULL;
            lw_resampler_config config = {rates[i], rates[k]};
            if (lw_resampler_open(&r, &config) < 0)
                continue;
            opened++;
            marks before = m;
            exactness(r, rates[i], rates[k], &m);
            if (memcmp(&before, &m, sizeof m))
                printf("# %d -> %d\n", rates[i], rates[k]);
            double pair_ripple = 0.0, pair_leak = -200.0;
            if (i != k)
                spectrum(r, rates[i], rates[k], &pair_ripple, &pair_leak);
            if (pair_ripple > 0.1 || pair_leak > -90.0)
                printf("# %d -> %d: ripple %.3f dB, leak %.1f dB\n", rates[i], rates[k], pair_ripple, pair_leak);
            ripple = pair_ripple > ripple ? pair_ripple : ripple;
            leak = pair_leak > leak ? pair_leak : leak;
            lw_resampler_close(&r);
        }
    printf("# worst ripple %.4f dB, worst leak %.2f dB\n", ripple, leak);
    CHECK(opened == RATES * RATES, "every pair opens");
    CHECK(m.pieces, "in pieces equals one-shot, bit for bit");
    CHECK(m.length, "the total is the input's length, rounded up");
    CHECK(m.bound, "the bound holds and is close");
    CHECK(m.reset, "reset equals fresh");
    CHECK(m.constant, "a constant stays that constant");
    CHECK(m.delay, "the delay is as said, at most 4 ms");
    CHECK(m.aligned, "an impulse stays at its time");
    CHECK(ripple <= 0.1, "flat within 0.1 dB to 0.9 of the lower Nyquist frequency");
    CHECK(leak <= -90.0, "images and aliases are 90 dB down");
}

static void test_interface(void)
{
    static const lw_resampler_config bad[] = {{7999, 48000}, {48000, 7999}, {48001, 16000}, {16000, 48001},
                                              {0, 48000},    {48000, 0},    {-16000, 48000}, {16000, INT32_MIN},
                                              {47999, 48000}, {48000, 9601}};
    lw_resampler *r;
    int refused = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = (lw_resampler *)(uintptr_t)16;
        refused &= lw_resampler_open(&r, &bad[i]) == LW_EINVAL && !r;
    }
    refused &= lw_resampler_open(&r, NULL) == LW_EINVAL && lw_resampler_open(NULL, &bad[0]) == LW_EINVAL;
    CHECK(refused, "bad configurations are refused");

    lw_resampler_config good = {16000, 48000};
    size_t used = 7;
    CHECK(lw_resampler_open(&r, &good) == 0 && r, "open");
    CHECK(lw_resampler_process(NULL, in, 1, &used, out, 1) == LW_EINVAL &&
              lw_resampler_process(r, NULL, 1, &used, out, 1) == LW_EINVAL &&
              lw_resampler_process(r, in, 1, NULL, out, 1) == LW_EINVAL &&
              lw_resampler_process(r, in, 1, &used, NULL, 1) == LW_EINVAL && lw_resampler_flush(r, NULL,
                  1) == LW_EINVAL &&
              lw_resampler_flush(NULL, out, 1) == LW_EINVAL, "bad arguments");
    CHECK(lw_resampler_process(r, NULL, 0, &used, NULL, 0) == 0 && used == 0 && lw_resampler_flush(r, out, 10) == 0,
          "nothing in, nothing out");

    /* Exact allocations: the sanitizer sees a byte too many. */
    int16_t *source = malloc(1000 * sizeof *source), *target = malloc(3000 * sizeof *target);
    if (source && target) {
        memset(source, 0, 1000 * sizeof *source);
        int64_t made = lw_resampler_process(r, source, 1000, &used, target, 3000);
        int64_t tail = lw_resampler_flush(r, target + made, (size_t)(3000 - made));
        CHECK(used == 1000 && made + tail == 3000 && lw_resampler_flush(r, target, 10) == 0, "exact buffers");
        /* Half of a flush, then the rest; then it is as fresh. */
        (void)lw_resampler_process(r, source, 500, &used, target, 3000);
        int64_t left = (int64_t)lw_resampler_bound(r, 0), first = lw_resampler_flush(r, target, 10);
        CHECK(first == 10 && (int64_t)lw_resampler_bound(r, 0) == left - 10 &&
                  lw_resampler_flush(r, target, 3000) == left - 10 && lw_resampler_bound(r, 0) == 0,
                      "a flush in pieces");
    }
    free(source);
    free(target);
    lw_resampler_close(&r);
    lw_resampler_close(&r);
    lw_resampler_close(NULL);
    CHECK(!r, "close nulls");
}

int main(void)
{
    test_interface();
    test_pairs();
    return failures != 0;
}
