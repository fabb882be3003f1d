/* Streaming rational resampler.
 *
 * Method: polyphase FIR, one dot product per output. With L = out/gcd phases and M = in/gcd, output n sits at input
 * position n M / L; its phase (n M mod L) selects the taps. The impulse response is a finite cosine series, fitted
 * minimax to the pass band and the stop band (tools/resampler_design.py).
 *
 *   quality       voice                                  high
 *   half width    24 samples of the lower rate           40        delay = that: 3 / 5 ms at 8 kHz, 1.5 / 2.5 at 16
 *   pass band     0.9 of the lower Nyquist, 0.0092 dB    0.92, 0.0012 dB        peak to peak, coefficients rounded
 *   stop band     from 1.1, 94.7 dB                      from 1.08, 112.5 dB    the worst of the 72 pairs
 *   coefficients  Q14 as int16, and what is left of them as another int16 of up to 12 bits more: both sums fit 32 bit
 *   output        rounded once to nearest, saturated, no dither
 *
 * The series makes multiples of the lower rate exact zeros: a constant comes out as that constant. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "lipwire/resample.h"
#include "resample_table.h"

#define COARSE_BITS 14
#define MAX_FINE_BITS 12
#define LANE 16      /* taps per group, coarse then fine: what one vector register holds twice */
#define MAX_TAPS 480 /* high quality, 48 to 8 kHz */
#define IN_BLOCK 1024
#define OUT_BLOCK 480

struct lw_resampler {
    int32_t in_rate, out_rate, channels;
    int32_t half;  /* width of the filter in samples of the lower rate, one side; 0 = the rates are equal */
    int32_t taps;  /* per phase, a multiple of LANE */
    int32_t ahead; /* input samples behind the output's place that its window holds */
    int32_t phase;
    int32_t have;  /* samples in each history */
    int32_t at;    /* first sample of the next output's window */
    int64_t taken, made; /* since open, reset or the end of a flush */
    lw_fir fir;
    int16_t *coefs;   /* [phases][taps / LANE][2][LANE] */
    int16_t *history; /* [channels][taps + IN_BLOCK] */
};

static const struct quality {
    int32_t half, order;
    const double *series;
} qualities[] = {
    [LW_RESAMPLER_VOICE] = {VOICE_HALF_WIDTH, sizeof voice_series / sizeof *voice_series - 1, voice_series},
    [LW_RESAMPLER_HIGH] = {HIGH_HALF_WIDTH, sizeof high_series / sizeof *high_series - 1, high_series},
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

/* The impulse response at u[] of its half width, 0 <= u < 1, for a group of taps: Clenshaw's recurrence on cos(pi u). */
static void response(const struct quality *q, const double u[LANE], double h[LANE])
{
    double twice[LANE], b1[LANE] = {0}, b2[LANE] = {0};
    for (int i = 0; i < LANE; i++)
        twice[i] = 2.0 * lw_cos_pi(u[i]);
    for (int32_t k = q->order; k > 0; k--)
        for (int i = 0; i < LANE; i++) {
            double b = q->series[k] + twice[i] * b1[i] - b2[i];
            b2[i] = b1[i];
            b1[i] = b;
        }
    for (int i = 0; i < LANE; i++)
        h[i] = q->series[0] + 0.5 * twice[i] * b1[i] - b2[i];
}

static long nearest(double x)
{
    return x < 0.0 ? (long)(x - 0.5) : (long)(x + 0.5);
}

/* Fills the table with Q(14 + bits) coefficients. Returns 0 where a phase's fine sum could leave 32 bit. */
static int design(lw_resampler *r, const struct quality *q, int32_t bits)
{
    int64_t in = r->in_rate, lower = r->in_rate < r->out_rate ? r->in_rate : r->out_rate;
    int64_t edge = (int64_t)q->half * in * r->fir.phases;
    double unit = (double)lower / (double)in * (1 << COARSE_BITS);
    int16_t *to = r->coefs;
    for (int32_t p = 0; p < r->fir.phases; p++) {
        int64_t fine_sum = 0;
        for (int32_t group = 0; group < r->taps; group += LANE, to += 2 * LANE) {
            double u[LANE], h[LANE];
            for (int32_t k = 0; k < LANE; k++) {
                /* The tap's distance from the output, exact until it is divided. */
                int64_t t = ((int64_t)(group + k - (r->taps - 1 - r->ahead)) * r->fir.phases - p) * lower;
                t = t < 0 ? -t : t;
                u[k] = t < edge ? (double)t / (double)edge : 1.0; /* where the series is 0 */
            }
            response(q, u, h);
            for (int32_t k = 0; k < LANE; k++) {
                double c = u[k] < 1.0 ? h[k] * unit : 0.0;
                long hi = nearest(c), lo = nearest((c - (double)hi) * (1 << bits));
                to[k] = (int16_t)hi;
                to[LANE + k] = (int16_t)lo;
                fine_sum += lo < 0 ? -lo : lo;
            }
        }
        if (fine_sum > 65000)
            return 0;
    }
    return 1;
}

static void layout(lw_resampler *r, lw_arena *arena)
{
    r->coefs = lw_carve(arena, (size_t)r->fir.phases * 2 * r->taps * sizeof(int16_t));
    r->history = lw_carve(arena, (size_t)r->channels * (r->taps + IN_BLOCK) * sizeof(int16_t));
}

int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config || config->in_rate < 8000 || config->in_rate > 48000 || config->out_rate < 8000 ||
        config->out_rate > 48000 || config->channels < 0 || config->channels > 2 ||
        config->quality < LW_RESAMPLER_VOICE || config->quality > LW_RESAMPLER_HIGH)
        return LW_EINVAL;
    const struct quality *q = &qualities[config->quality];
    int32_t g = gcd(config->in_rate, config->out_rate);
    lw_resampler want = {.in_rate = config->in_rate,
                         .out_rate = config->out_rate,
                         .channels = config->channels ? config->channels : 1,
                         .fir = {.phases = config->out_rate / g, .step = config->in_rate / g}};
    if (want.fir.phases > LW_RESAMPLER_MAX_PHASES || want.fir.step > LW_RESAMPLER_MAX_PHASES)
        return LW_EINVAL;
    if (want.in_rate != want.out_rate) {
        int32_t lower = want.in_rate < want.out_rate ? want.in_rate : want.out_rate;
        want.half = q->half;
        want.ahead = (int32_t)(((int64_t)q->half * want.in_rate + lower - 1) / lower);
        want.taps = (2 * want.ahead + LANE - 1) / LANE * LANE;
    }

    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    size_t bytes = (arena.used + 63) & ~(size_t)63;
    lw_resampler *r = aligned_alloc(64, bytes); /* a coefficient load that crosses cache lines costs twice */
    if (!r)
        return LW_ENOMEM;
    memset(r, 0, bytes);
    *r = want;
    arena = (lw_arena){.base = (uint8_t *)r};
    lw_carve(&arena, sizeof want);
    layout(r, &arena);
    r->fir.coefs = r->coefs;
    r->fir.taps = r->taps;
    /* As many bits as the longest filters leave room for. The first guess fits nearly always. */
    r->fir.fine_bits = r->taps <= 64 ? MAX_FINE_BITS : r->taps <= 128 ? 11 : r->taps <= 256 ? 10 : 9;
    while (r->taps && !design(r, q, r->fir.fine_bits))
        r->fir.fine_bits--;
    lw_resampler_reset(r);
    *out = r;
    return 0;
}

static int16_t *history(const lw_resampler *r, int32_t channel)
{
    return r->history + (size_t)channel * (r->taps + IN_BLOCK);
}

void lw_resampler_reset(lw_resampler *r)
{
    r->phase = 0;
    r->at = 0;
    r->have = r->taps ? r->taps - 1 - r->ahead : 0; /* padding in front, so that it costs no delay */
    for (int32_t c = 0; c < r->channels; c++)
        memset(history(r, c), 0, (size_t)r->have * sizeof(int16_t));
    r->taken = r->made = 0;
}

void lw_fir_c(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    for (size_t i = 0; i < n; i++) {
        const int16_t *c = f->coefs + (size_t)phase * 2 * f->taps;
        int32_t hi = 0, lo = 0;
        for (int32_t k = 0; k < f->taps; k += LANE, c += 2 * LANE)
            for (int32_t j = 0; j < LANE; j++) {
                hi += x[k + j] * c[j];
                lo += x[k + j] * c[LANE + j];
            }
        out[i] = lw_sat16((hi + ((lo + (1 << (f->fine_bits - 1))) >> f->fine_bits) + (1 << 13)) >> 14);
        phase += f->step;
        x += phase / f->phases;
        phase %= f->phases;
    }
}

/* How many outputs have their windows complete with `more` further samples in the history. */
static int64_t ready(const lw_resampler *r, int64_t more)
{
    int64_t places = r->have + more - r->taps + 1 - r->at; /* where a window fits */
    return places <= 0 ? 0 : (places * r->fir.phases - r->phase - 1) / r->fir.step + 1;
}

/* Writes the outputs whose windows are complete, at most cap frames. */
static int64_t drain(lw_resampler *r, int16_t *out, size_t cap)
{
    int64_t n = lw_min64(ready(r, 0), (int64_t)cap);
    lw_fir_fn *fir = r->fir.step <= 8 && r->fir.phases <= 8 ? lw_kernels.fir_block : lw_kernels.fir;
    int16_t left[OUT_BLOCK], right[OUT_BLOCK];
    for (int64_t done = 0; done < n;) {
        int64_t k = r->channels == 1 ? n : lw_min64(n - done, OUT_BLOCK);
        if (r->channels == 1) {
            fir(out, (size_t)k, history(r, 0) + r->at, &r->fir, r->phase);
        } else {
            fir(left, (size_t)k, history(r, 0) + r->at, &r->fir, r->phase);
            fir(right, (size_t)k, history(r, 1) + r->at, &r->fir, r->phase);
            for (int64_t i = 0; i < k; i++) {
                out[2 * (done + i)] = left[i];
                out[2 * (done + i) + 1] = right[i];
            }
        }
        int64_t to = r->phase + k * r->fir.step;
        r->at += (int32_t)(to / r->fir.phases);
        r->phase = (int32_t)(to % r->fir.phases);
        done += k;
    }
    r->made += n;
    return n;
}

/* Moves the unread history to the front and says how many samples fit behind it. */
static size_t make_room(lw_resampler *r)
{
    int32_t gone = r->at < r->have ? r->at : r->have;
    for (int32_t c = 0; gone && c < r->channels; c++)
        memmove(history(r, c), history(r, c) + gone, (size_t)(r->have - gone) * sizeof(int16_t));
    r->have -= gone;
    r->at -= gone;
    return (size_t)(r->taps + IN_BLOCK - r->have);
}

/* Appends k frames from any address. */
static void append(lw_resampler *r, const uint8_t *in, size_t k)
{
    if (r->channels == 1) {
        memcpy(history(r, 0) + r->have, in, k * sizeof(int16_t));
    } else {
        int16_t *left = history(r, 0) + r->have, *right = history(r, 1) + r->have;
        for (size_t i = 0; i < k; i++) {
            memcpy(left + i, in + 4 * i, sizeof *left);
            memcpy(right + i, in + 4 * i + 2, sizeof *right);
        }
    }
    r->have += (int32_t)k;
}

int64_t lw_resampler_process(lw_resampler *r, const int16_t *in, size_t n, size_t *consumed, int16_t *out, size_t cap)
{
    if (!r || !consumed || (n && !in) || (cap && !out))
        return LW_EINVAL;
    const uint8_t *bytes = (const uint8_t *)in;
    size_t frame = (size_t)r->channels * sizeof(int16_t);
    if (!r->taps) {
        size_t k = n < cap ? n : cap;
        if (k)
            memcpy(out, bytes, k * frame);
        *consumed = k;
        r->taken += (int64_t)k;
        r->made += (int64_t)k;
        return (int64_t)k;
    }
    size_t used = 0;
    int64_t made = drain(r, out, cap); /* left over where `out` was full */
    while (used < n && !ready(r, 0)) {
        size_t k = make_room(r);
        k = k < n - used ? k : n - used;
        append(r, bytes + used * frame, k);
        used += k;
        made += drain(r, out + made * r->channels, cap - (size_t)made);
    }
    r->taken += (int64_t)used;
    *consumed = used;
    return made;
}

static int64_t owed(const lw_resampler *r, int64_t taken)
{
    return (taken * r->fir.phases + r->fir.step - 1) / r->fir.step - r->made;
}

int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap)
{
    if (!r || (cap && !out))
        return LW_EINVAL;
    int64_t made = 0, left = owed(r, r->taken);
    while (left > 0 && (size_t)made < cap) {
        size_t room = (size_t)lw_min64((int64_t)cap - made, left);
        int64_t k = drain(r, out + made * r->channels, room);
        made += k;
        left -= k;
        if ((size_t)k < room) {
            size_t zeros = make_room(r);
            for (int32_t c = 0; c < r->channels; c++)
                memset(history(r, c) + r->have, 0, zeros * sizeof(int16_t));
            r->have += (int32_t)zeros;
        }
    }
    if (left <= 0)
        lw_resampler_reset(r);
    return made;
}

size_t lw_resampler_ready(const lw_resampler *r, size_t n)
{
    return r->taps ? (size_t)ready(r, (int64_t)n) : n;
}

size_t lw_resampler_bound(const lw_resampler *r, size_t n)
{
    return (size_t)lw_max64(0, owed(r, r->taken + (int64_t)n));
}

int64_t lw_resampler_delay_ns(const lw_resampler *r)
{
    return (int64_t)r->half * 1000000000 / (r->in_rate < r->out_rate ? r->in_rate : r->out_rate);
}

void lw_resampler_close(lw_resampler **r)
{
    if (r) {
        free(*r);
        *r = NULL;
    }
}
