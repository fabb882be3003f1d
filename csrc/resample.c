/* Streaming rational resampler.
 *
 * Method: polyphase FIR, one dot product per output, windowed sinc (Kaiser). With L = out/gcd phases and M = in/gcd,
 * output n sits at input position n M / L; its phase (n M mod L) selects the taps.
 *
 *   half width    31 samples of the lower rate      delay 31 / min(in, out) s: 3.9 ms at 8 kHz, 1.9 ms at 16 kHz
 *   cutoff        the lower Nyquist frequency       pass band to 0.9, stop band from 1.1 of it
 *   window        Kaiser, beta 9.4                  > 93 dB by design
 *   coefficients  Q22 as two int16 (Q14 + residual) quantisation far below the 16-bit output; both sums fit 32 bit
 *   output        rounded, saturated, no dither
 *
 * Every phase is normalised to unit DC gain, so a constant stays that constant. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "dsp.h"

#define HALF_WIDTH 31
#define KAISER_BETA 9.4
#define COARSE_BITS 14
#define FINE_BITS 8 /* |residual| <= 2^7: 384 taps x 2^7 x 2^15 stays below 2^31 */
#define MAX_TAPS 384 /* 48 to 8 kHz */
#define IN_BLOCK 1024

struct lw_resampler {
    int32_t in_rate, out_rate;
    int32_t phases, step; /* L, M */
    int32_t half, taps;   /* look-ahead in input samples; taps per phase, a multiple of 8 */
    int32_t phase;
    int32_t have;         /* samples in history */
    int32_t at;           /* first sample of the next output's window */
    int64_t taken, made;  /* since open, reset or the end of a flush */
    lw_fir fir;
    int16_t *coefs;         /* [phases][2][taps] */
    int16_t *history;       /* [taps + IN_BLOCK] */
};

static int32_t gcd(int32_t a, int32_t b)
{
    while (b) {
        int32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Modified Bessel function of the first kind, order 0. */
static double bessel_i0(double x)
{
    double sum = 1.0, term = 1.0;
    for (int k = 1; k < 64 && term > 1e-17 * sum; k++) {
        term *= (x / (2.0 * k)) * (x / (2.0 * k));
        sum += term;
    }
    return sum;
}

/* t in input samples from the output's position; `scale` = lower rate / in_rate. */
static double window_sinc(double t, double scale)
{
    double u = t * scale / HALF_WIDTH;
    if (u <= -1.0 || u >= 1.0)
        return 0.0;
    double x = 3.14159265358979323846 * t * scale;
    double sinc = fabs(x) < 1e-9 ? 1.0 : sin(x) / x;
    return sinc * bessel_i0(KAISER_BETA * sqrt(1.0 - u * u)); /* its scale goes with the normalisation */
}

static void design(lw_resampler *r)
{
    double scale = r->out_rate < r->in_rate ? (double)r->out_rate / r->in_rate : 1.0;
    for (int32_t p = 0; p < r->phases; p++) {
        double frac = (double)p / r->phases, sum = 0.0, taps[MAX_TAPS];
        for (int32_t k = 0; k < r->taps; k++)
            sum += taps[k] = window_sinc(k - (r->taps - 1 - r->half) - frac, scale);
        for (int32_t k = 0; k < r->taps; k++) {
            double c = taps[k] / sum * (1 << COARSE_BITS);
            long hi = lround(c);
            int16_t *phase = r->coefs + (size_t)p * 2 * r->taps;
            phase[k] = (int16_t)hi;
            phase[r->taps + k] = (int16_t)lround((c - (double)hi) * (1 << FINE_BITS));
        }
    }
}

static void layout(lw_resampler *r, lw_arena *arena)
{
    r->coefs = lw_carve(arena, (size_t)r->phases * 2 * r->taps * sizeof(int16_t));
    r->history = lw_carve(arena, ((size_t)r->taps + IN_BLOCK) * sizeof(int16_t));
}

int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config || config->in_rate < 8000 || config->in_rate > 48000 || config->out_rate < 8000 ||
        config->out_rate > 48000)
        return LW_EINVAL;
    int32_t g = gcd(config->in_rate, config->out_rate);
    lw_resampler want = {.in_rate = config->in_rate,
                         .out_rate = config->out_rate,
                         .phases = config->out_rate / g,
                         .step = config->in_rate / g};
    if (want.phases > LW_RESAMPLER_MAX_PHASES || want.step > LW_RESAMPLER_MAX_PHASES)
        return LW_EINVAL;
    int32_t lower = want.in_rate < want.out_rate ? want.in_rate : want.out_rate;
    want.half = (int32_t)(((int64_t)HALF_WIDTH * want.in_rate + lower - 1) / lower);
    want.taps = (2 * want.half + 15) & ~15;
    if (want.phases == 1 && want.step == 1)
        want.half = 0, want.taps = 0;

    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    lw_resampler *r = calloc(1, arena.used);
    if (!r)
        return LW_ENOMEM;
    *r = want;
    arena = (lw_arena){.base = (uint8_t *)r};
    lw_carve(&arena, sizeof want);
    layout(r, &arena);
    r->fir = (lw_fir){r->coefs, r->taps, r->phases, r->step, FINE_BITS};
    if (r->taps)
        design(r);
    lw_resampler_reset(r);
    *out = r;
    return 0;
}

void lw_resampler_reset(lw_resampler *r)
{
    r->phase = 0;
    r->at = 0;
    r->have = r->taps ? r->taps - 1 - r->half : 0; /* padding in front, so that it costs no delay */
    memset(r->history, 0, (size_t)r->have * sizeof(int16_t));
    r->taken = r->made = 0;
}

void lw_fir_c(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t *coarse = f->coefs + (size_t)phase * 2 * f->taps, *fine = coarse + f->taps;
        int32_t hi = 0, lo = 0;
        for (int32_t k = 0; k < f->taps; k++)
            hi += x[k] * coarse[k];
        for (int32_t k = 0; k < f->taps; k++)
            lo += x[k] * fine[k];
        out[i] = lw_sat16((hi + ((lo + (1 << (f->fine_bits - 1))) >> f->fine_bits) + (1 << 13)) >> 14);
        phase += f->step;
        x += phase / f->phases;
        phase %= f->phases;
    }
}

/* Writes the outputs whose windows are complete, at most cap. */
static int64_t drain(lw_resampler *r, int16_t *out, size_t cap)
{
    int64_t last = r->have - r->taps; /* the last place where a window fits */
    if (r->at > last)
        return 0;
    int64_t ready = (((last - r->at + 1) * r->phases - r->phase - 1) / r->step) + 1;
    size_t n = (size_t)lw_min64(ready, (int64_t)cap);
    lw_kernels.fir(out, n, r->history + r->at, &r->fir, r->phase);
    int64_t to = r->phase + (int64_t)n * r->step;
    r->at += (int32_t)(to / r->phases);
    r->phase = (int32_t)(to % r->phases);
    r->made += (int64_t)n;
    return (int64_t)n;
}

/* Moves the unread history to the front and says how many samples fit behind it. */
static size_t make_room(lw_resampler *r)
{
    if (r->at >= r->have) {
        r->at -= r->have;
        r->have = 0;
    } else if (r->at > 0) {
        memmove(r->history, r->history + r->at, (size_t)(r->have - r->at) * sizeof(int16_t));
        r->have -= r->at;
        r->at = 0;
    }
    return (size_t)(r->taps + IN_BLOCK - r->have);
}

int64_t lw_resampler_process(lw_resampler *r, const int16_t *in, size_t n, size_t *consumed, int16_t *out, size_t cap)
{
    if (!r || !consumed || (n && !in) || (cap && !out))
        return LW_EINVAL;
    const uint8_t *bytes = (const uint8_t *)in;
    if (!r->taps) {
        size_t k = n < cap ? n : cap;
        if (k)
            memcpy(out, bytes, k * sizeof(int16_t));
        *consumed = k;
        r->taken += (int64_t)k;
        r->made += (int64_t)k;
        return (int64_t)k;
    }
    size_t used = 0;
    int64_t made = drain(r, out, cap);
    while (used < n && (size_t)made < cap) {
        size_t k = make_room(r);
        k = k < n - used ? k : n - used;
        memcpy(r->history + r->have, bytes + used * sizeof(int16_t), k * sizeof(int16_t));
        r->have += (int32_t)k;
        used += k;
        made += drain(r, out + made, cap - (size_t)made);
    }
    r->taken += (int64_t)used;
    *consumed = used;
    return made;
}

static int64_t owed(const lw_resampler *r, int64_t taken)
{
    return (taken * r->phases + r->step - 1) / r->step - r->made;
}

int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap)
{
    if (!r || (cap && !out))
        return LW_EINVAL;
    int64_t made = 0, left = owed(r, r->taken);
    while (left > 0 && (size_t)made < cap) {
        size_t room = lw_min64((int64_t)cap - made, left);
        int64_t k = drain(r, out + made, room);
        made += k;
        left -= k;
        if ((size_t)k < room) {
            size_t zeros = make_room(r);
            memset(r->history + r->have, 0, zeros * sizeof(int16_t));
            r->have += (int32_t)zeros;
        }
    }
    if (left <= 0)
        lw_resampler_reset(r);
    return made;
}

size_t lw_resampler_bound(const lw_resampler *r, size_t n)
{
    return (size_t)lw_max64(0, owed(r, r->taken + (int64_t)n));
}

int64_t lw_resampler_delay_ns(const lw_resampler *r)
{
    return (int64_t)r->half * 1000000000 / r->in_rate;
}

void lw_resampler_close(lw_resampler **r)
{
    if (r) {
        free(*r);
        *r = NULL;
    }
}
