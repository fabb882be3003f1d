/* The resampler: what its header promises, measured on every pair of the rates in use. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "dsp.h"

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
    int pieces, length, reset, bound, constant, delay, aligned, stereo;
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
        int64_t total = one_shot(r, 2000, out), edge = (int64_t)to * 6 / 1000 + 1;
        for (int64_t i = edge; i < total - edge; i++)
            m->constant &= out[i] == levels[k];
        m->constant &= total > 3 * edge;
    }
    m->delay &= lw_resampler_delay_ns(r) >= 0 && lw_resampler_delay_ns(r) <= 6000000;
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

/* ---- one pair: the coefficients themselves, before any output is rounded ---- */

static lw_fir seen;

static void spy(int16_t *to, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    seen = *f;
    lw_fir_c(to, n, x, f, phase);
}

/* |H| at `hz` of the filter that all phases together are, 1 at 0 Hz. */
static double gain(const double *h, size_t n, double hz, double rate)
{
    double re = 0.0, im = 0.0, c = 1.0, s = 0.0, w = 2.0 * PI * hz / rate, dc = cos(w), ds = sin(w);
    for (size_t i = 0; i < n; i++) {
        re += h[i] * c;
        im += h[i] * s;
        double t = c * dc - s * ds;
        s = c * ds + s * dc;
        c = t;
    }
    return sqrt(re * re + im * im);
}

/* Worst pass band spread and stop band gain in dB, at `points` places each. */
static void response(lw_resampler *r, int32_t from, int32_t to, double pass, double stop, double *spread, double *leak)
{
    static double h[700 * 480];
    lw_dsp before = lw_kernels;
    lw_kernels.fir = lw_kernels.fir_block = spy;
    memset(in, 0, 2000 * sizeof *in);
    (void)one_shot(r, 2000, out);
    lw_kernels = before;
    size_t taps = (size_t)seen.taps, phases = (size_t)seen.phases, n = taps * phases;
    for (size_t p = 0; p < phases; p++)
        for (size_t k = 0; k < taps; k++) {
            const int16_t *c = seen.coefs + p * 2 * taps + k / 16 * 32 + k % 16;
            h[k * phases + phases - 1 - p] = (c[0] + c[16] / (double)(1 << seen.fine_bits)) / 16384.0 / (double)phases;
        }
    const int points = n > 10000 ? 24 : 100;
    double nyquist = (from < to ? from : to) / 2.0, rate = (double)from * (double)phases, low = 99.0, high = -99.0;
    for (int i = 0; i <= points; i++) {
        double db = 20.0 * log10(gain(h, n, pass * nyquist * i / points, rate));
        low = db < low ? db : low;
        high = db > high ? db : high;
    }
    *spread = high - low > *spread ? high - low : *spread;
    for (int i = 0; i < 4 * points; i++) {
        /* dense near the edge, then out to where the images end */
        double hz = i < 2 * points ? nyquist * (stop + 2.0 * i / (2 * points))
                                   : nyquist * stop + (rate / 2.0 - nyquist * stop) * (i - 2 * points) / (2 * points);
        if (hz > rate / 2.0)
            continue;
        double db = 20.0 * log10(gain(h, n, hz, rate) + 1e-12);
        *leak = db > *leak ? db : *leak;
    }
}

/* ---- one pair: distortion and noise of a tone at -1 dBFS, relative to it, in dB ---- */

static double thd_n(lw_resampler *r, int32_t from, int32_t to, double hz)
{
    int64_t edge = to / 100, n = (int64_t)((WINDOW + 2.0 * (double)edge) * from / to) + 2;
    tones(n, hz, 29204.0, 0.0, 0.0, from);
    if (one_shot(r, n, out) < edge + WINDOW)
        return 0.0;
    /* Least squares of sine, cosine and constant; the rest is distortion and noise. */
    double m[3][4] = {{0}};
    for (int pass = 0; pass < 2; pass++) {
        double rest = 0.0, whole = 0.0, a = m[0][3], b = m[1][3], c = m[2][3];
        memset(m, 0, sizeof m);
        for (int i = 0; i < WINDOW; i++) {
            double w = 2.0 * PI * hz * i / to, v[3] = {sin(w), cos(w), 1.0}, y = out[edge + i];
            double fit = a * v[0] + b * v[1] + c;
            rest += (y - fit) * (y - fit);
            whole += fit * fit;
            for (int j = 0; j < 3; j++) {
                for (int k = 0; k < 3; k++)
                    m[j][k] += v[j] * v[k];
                m[j][3] += v[j] * y;
            }
        }
        if (pass)
            return 10.0 * log10(rest / whole);
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 3; i++) {
                double f = m[i][j] / m[j][j];
                for (int k = 0; i != j && k < 4; k++)
                    m[i][k] -= f * m[j][k];
            }
        for (int j = 0; j < 3; j++)
            m[j][3] /= m[j][j];
    }
    return 0.0;
}

/* ---- stereo is two monos ---- */

static int stereo(int32_t from, int32_t to, int32_t quality)
{
    static int16_t both[2 * 3000], two[2 * MAX_OUT + 64], one[2][MAX_OUT], channel[3000];
    static uint8_t shifted[sizeof both + 1];
    lw_resampler *r = NULL, *mono = NULL;
    lw_resampler_config config = {from, to, 2, quality};
    if (lw_resampler_open(&r, &config) < 0)
        return 0;
    config.channels = 1;
    if (lw_resampler_open(&mono, &config) < 0)
        return 0;
    int64_t n = random_in(500, 3000), total = expected(n, from, to);
    for (int64_t i = 0; i < 2 * n; i++)
        both[i] = (int16_t)random_in(-32768, 32767);
    memcpy(shifted + 1, both, (size_t)n * 4);
    int ok = 1;
    for (int c = 0; c < 2; c++) {
        for (int64_t i = 0; i < n; i++)
            channel[i] = both[2 * i + c];
        size_t used;
        int64_t made = lw_resampler_process(mono, channel, (size_t)n, &used, one[c], MAX_OUT);
        ok &= made + lw_resampler_flush(mono, one[c] + made, MAX_OUT) == total;
    }
    int64_t at = 0, made = 0;
    while (at < n) {
        int64_t part = random_in(0, 700);
        part = part < n - at ? part : n - at;
        size_t used, will = lw_resampler_ready(r, (size_t)part);
        two[2 * (made + (int64_t)will)] = SENTINEL;
        int64_t k = lw_resampler_process(r, unaligned(shifted + 1 + 4 * at), (size_t)part, &used, two + 2 * made, will);
        ok &= (int64_t)used == part && k == (int64_t)will && two[2 * (made + k)] == SENTINEL;
        at += part;
        made += k;
    }
    ok &= made + lw_resampler_flush(r, two + 2 * made, MAX_OUT) == total;
    for (int64_t i = 0; i < total; i++)
        ok &= two[2 * i] == one[0][i] && two[2 * i + 1] == one[1][i];
    lw_resampler_close(&r);
    lw_resampler_close(&mono);
    return ok;
}

static void test_quality(int32_t quality, const char *name, double pass, double stop, double flat, double rejection,
                         double delay_ms)
{
    marks m = {1, 1, 1, 1, 1, 1, 1, 1};
    double ripple = 0.0, leak = -200.0, spread = 0.0, design = -200.0, distortion = -200.0, delay = 0.0;
    int opened = 0;
    for (int i = 0; i < RATES; i++)
        for (int k = 0; k < RATES; k++) {
            lw_resampler *r = NULL;
            lw_resampler_config config = {rates[i], rates[k], 1, quality};
            if (lw_resampler_open(&r, &config) < 0)
                continue;
            opened++;
            marks before = m;
            exactness(r, rates[i], rates[k], &m);
            m.stereo &= stereo(rates[i], rates[k], quality);
            if (memcmp(&before, &m, sizeof m))
                printf("# %s %d -> %d\n", name, rates[i], rates[k]);
            double pair_ripple = 0.0, pair_leak = -200.0, pair_spread = 0.0, pair_design = -200.0, pair_thd = -200.0;
            if (i != k) {
                spectrum(r, rates[i], rates[k], &pair_ripple, &pair_leak);
                response(r, rates[i], rates[k], pass, stop, &pair_spread, &pair_design);
                double low = (rates[i] < rates[k] ? rates[i] : rates[k]) / 2.0;
                for (int tone = 0; tone < 2; tone++) {
                    double db = thd_n(r, rates[i], rates[k], tone ? 0.75 * low : 1000.0);
                    pair_thd = db > pair_thd ? db : pair_thd;
                }
            }
            if (pair_spread > flat || pair_design > -rejection || pair_leak > -93.0 || pair_thd > -90.0)
                printf("# %s %d -> %d: ripple %.4f dB, leak %.1f dB, coefficients %.4f %.1f, THD+N %.1f\n", name,
                       rates[i], rates[k], pair_ripple, pair_leak, pair_spread, pair_design, pair_thd);
            double ms = (double)lw_resampler_delay_ns(r) / 1e6;
            delay = ms > delay ? ms : delay;
            ripple = pair_ripple > ripple ? pair_ripple : ripple;
            leak = pair_leak > leak ? pair_leak : leak;
            spread = pair_spread > spread ? pair_spread : spread;
            design = pair_design > design ? pair_design : design;
            distortion = pair_thd > distortion ? pair_thd : distortion;
            lw_resampler_close(&r);
        }
    printf("# %s, worst of all pairs: coefficients flat within %.4f dB, stop band %.2f dB; 16-bit output: gain error %.4f dB, "
           "leak %.2f dB, THD+N %.2f dB; delay %.3f ms\n", name, spread, design, ripple, leak, distortion, delay);
    CHECK(opened == RATES * RATES, "every pair opens");
    CHECK(m.pieces, "in pieces equals one-shot, bit for bit");
    CHECK(m.length, "the total is the input's length, rounded up");
    CHECK(m.bound, "the bound holds and is close");
    CHECK(m.reset, "reset equals fresh");
    CHECK(m.constant, "a constant stays that constant");
    CHECK(m.delay && delay <= delay_ms, "the delay is as said, and within its limit");
    CHECK(m.aligned, "an impulse stays at its time");
    CHECK(m.stereo, "stereo is two monos, and as many frames as said");
    CHECK(spread <= flat, "the coefficients' pass band is flat");
    CHECK(design <= -rejection, "the coefficients' stop band is down");
    CHECK(ripple <= 0.01 && leak <= -93.0, "so is the 16-bit output, as far as 16 bit go");
    CHECK(distortion <= -90.0, "a tone at -1 dBFS comes out clean");
}

/* Rates that are not standard, going up: interpolated between the rows of one table. Both outputs are rounded before, so
 * that a tone is 2 dB less clean than a table of the pair's own makes it. */
static void test_any_rate(void)
{
    static const int32_t pairs[][2] = {{8001, 48000},  {9600, 48000},  {11111, 48000}, {15999, 48000}, {16001, 48000},
                                       {22049, 48000}, {23976, 48000}, {31999, 48000}, {37801, 48000}, {44101, 48000},
                                       {47999, 48000}, {16000, 24025}, {17000, 44100}, {8000, 8001}};
    for (int32_t quality = 0; quality < 2; quality++) {
        marks m = {1, 1, 1, 1, 1, 1, 1, 1};
        double ripple = 0.0, leak = -200.0, distortion = -200.0;
        int opened = 1;
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            int32_t from = pairs[i][0], to = pairs[i][1];
            lw_resampler *r = NULL;
            if (lw_resampler_open(&r, &(lw_resampler_config){from, to, 1, quality}) < 0) {
                opened = 0;
                continue;
            }
            exactness(r, from, to, &m);
            m.stereo &= stereo(from, to, quality);
            spectrum(r, from, to, &ripple, &leak);
            for (int tone = 0; tone < 2; tone++) {
                double db = thd_n(r, from, to, tone ? 0.75 * from / 2.0 : 1000.0);
                distortion = db > distortion ? db : distortion;
            }
            lw_resampler_close(&r);
        }
        printf("# any rate up, %s: gain error %.4f dB, leak %.2f dB, THD+N %.2f dB\n", quality ? "high" : "voice", ripple,
               leak, distortion);
        CHECK(opened && m.pieces && m.length && m.bound && m.reset && m.constant && m.delay && m.aligned && m.stereo,
              "any rate to a higher one: as exact as the standard ones");
        CHECK(ripple <= 0.01 && leak <= -93.0 && distortion <= -90.0, "and clean");
    }
}

static void test_interface(void)
{
    static const lw_resampler_config bad[] = {
        {7999, 48000, 1, 0},   {48000, 7999, 1, 0},       {48001, 16000, 1, 0}, {16000, 48001, 1, 0},
        {0, 48000, 1, 0},      {48000, 0, 1, 0},          {-16000, 48000, 1, 0}, {16000, INT32_MIN, 1, 0},
        {48000, 47999, 1, 0},  {48000, 9601, 1, 0},       {16000, 48000, 3, 0}, {16000, 48000, -1, 0},
        {16000, 48000, 1, 2},  {16000, 48000, 1, -1}};
    lw_resampler *r;
    int refused = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = (lw_resampler *)(uintptr_t)16;
        refused &= lw_resampler_open(&r, &bad[i]) == LW_EINVAL && !r;
    }
    refused &= lw_resampler_open(&r, NULL) == LW_EINVAL && lw_resampler_open(NULL, &bad[0]) == LW_EINVAL;
    CHECK(refused, "bad configurations are refused");

    lw_resampler_config good = {.in_rate = 16000, .out_rate = 48000};
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

/* The coefficients are computed, not stored: they must not depend on the machine, the compiler or the C library. */
static void test_golden(void)
{
    uint64_t hash = 14695981039346656037u;
    random_state = 5;
    for (int i = 0; i < 3000; i++)
        in[i] = (int16_t)random_in(-32768, 32767);
    for (int32_t q = 0; q < 2; q++)
        for (int i = 0; i < RATES; i++)
            for (int k = 0; k < RATES; k++) {
                lw_resampler *r = NULL;
                lw_resampler_config config = {rates[i], rates[k], 1, q};
                if (lw_resampler_open(&r, &config) < 0)
                    continue;
                int64_t n = one_shot(r, 3000, out);
                for (int64_t at = 0; at < n; at++)
                    hash = (hash ^ (uint16_t)out[at]) * 1099511628211u;
                lw_resampler_close(&r);
            }
    printf("# golden %016llx\n", (unsigned long long)hash);
    CHECK(hash == 0xf98aeac7005ac05bu, "every pair's output is the same on every machine");
}

static void test_allocations(void)
{
#ifdef COUNTING
    lw_resampler_config config = {44100, 48000, 2, LW_RESAMPLER_HIGH};
    lw_resampler *r = NULL;
    int before = allocations, opened = lw_resampler_open(&r, &config);
    CHECK(!opened && allocations == before + 1, "open allocates once");
    before = allocations;
    size_t used, made = 0;
    for (int i = 0; i < 50; i++) {
        int64_t n = lw_resampler_process(r, in, (size_t)random_in(0, 2000), &used, out, MAX_OUT / 2);
        made += n > 0 ? (size_t)n : 0;
    }
    made += lw_resampler_flush(r, out, MAX_OUT / 2) > 0;
    lw_resampler_reset(r);
    CHECK(made > 1000 && allocations == before, "nothing allocates after open");
    lw_resampler_close(&r);

    /* What is ready is not made again: every rate that a client may name costs one allocation, of the history alone. */
    CHECK(!lw_resampler_prepare(LW_RATE), "prepare");
    before = allocations;
    CHECK(!lw_resampler_prepare(LW_RATE) && allocations == before, "a second time finds it done");
    int many = 0, failed = 0;
    for (int32_t rate = 8000; rate < LW_RATE; rate += 7, many++) {
        failed += lw_resampler_open(&r, &(lw_resampler_config){.in_rate = rate, .out_rate = LW_RATE}) < 0;
        lw_resampler_close(&r);
    }
    CHECK(!failed && allocations - before == 2 * many, "after that no rate to 48 kHz makes a table");
#endif
}

int main(void)
{
    test_golden();
    test_allocations();
    test_interface();
    test_quality(LW_RESAMPLER_VOICE, "voice", 0.9, 1.1, 0.01, 93.0, 3.0);
    test_any_rate();
    test_quality(LW_RESAMPLER_HIGH, "high", 0.92, 1.08, 0.002, 110.0, 6.0);
    return failures != 0;
}
