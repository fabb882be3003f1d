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
 * Tables are designed once and shared (resample_design.c). Rates that are not standard, going up, have no table of their
 * own: an output is interpolated between those of two rows of one table for all of them, each rounded. THD+N of a tone at
 * -1 dBFS is then -90.2 dB (voice) instead of -90.8, images are 94.0 dB down instead of 94.8; 11 ns an output, not 5.
 *
 * The series makes multiples of the lower rate exact zeros: a constant comes out as that constant. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "lipwire/resample.h"
#include "resample_design.h"

#define LANE LW_FIR_LANE
#define IN_BLOCK 1024
#define OUT_BLOCK 480
#define EQUAL_TAPS 80 /* room for those that equal rates get when they are divided */

struct lw_resampler {
    int32_t in_rate, out_rate, channels, quality;
    int32_t half;  /* width of the filter in samples of the lower rate, one side; 0 = the rates are equal */
    int32_t taps;  /* per phase, a multiple of LANE */
    int32_t ahead; /* input samples behind the output's place that its window holds */
    int32_t phases, step; /* L, M */
    int grid;      /* outputs lie between two rows of the table */
    int32_t phase;
    int32_t have;  /* samples in each history */
    int32_t at;    /* first sample of the next output's window */
    int32_t first; /* phases from the first input to the first output */
    int64_t taken, made; /* since open, reset or the end of a flush */
    lw_fir fir;
    int16_t *coefs;   /* a table of its own, where none is shared */
    int16_t *history; /* [channels][taps + IN_BLOCK] */
};

static void layout(lw_resampler *r, const lw_fir_shape *own, lw_arena *arena)
{
    r->coefs = own ? lw_carve(arena, lw_fir_bytes(own)) : NULL;
    int32_t taps = r->taps ? r->taps : EQUAL_TAPS;
    r->history = lw_carve(arena, (size_t)r->channels * (taps + IN_BLOCK) * sizeof(int16_t));
}

static int in_range(const lw_resampler_config *c)
{
    return c && c->in_rate >= 8000 && c->in_rate <= 48000 && c->out_rate >= 8000 && c->out_rate <= 48000 &&
           c->channels >= 0 && c->channels <= 2 && c->quality >= LW_RESAMPLER_VOICE && c->quality <= LW_RESAMPLER_HIGH;
}

int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!in_range(config))
        return LW_EINVAL;
    lw_resampler want = {.in_rate = config->in_rate,
                         .out_rate = config->out_rate,
                         .channels = config->channels ? config->channels : 1,
                         .quality = config->quality,
                         .phases = 1,
                         .step = 1};
    lw_fir_shape shape, *own = NULL;
    if (want.in_rate != want.out_rate) {
        shape = lw_fir_measure(want.in_rate, want.out_rate, config->quality);
        want.half = shape.half;
        want.ahead = shape.ahead;
        want.taps = shape.taps;
        want.phases = shape.phases;
        want.step = shape.step;
        want.grid = lw_fir_is_grid(&shape);
        if (!lw_fir_is_shared(&shape))
            own = &shape;
        else if (lw_fir_shared(&shape, &want.fir) < 0)
            return LW_ENOMEM;
        if (own && (shape.phases > LW_RESAMPLER_MAX_PHASES || shape.step > LW_RESAMPLER_MAX_PHASES))
            return LW_EINVAL;
    }

    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, own, &arena);
    size_t bytes = (arena.used + 63) & ~(size_t)63;
    lw_resampler *r = aligned_alloc(64, bytes);
    if (!r)
        return LW_ENOMEM;
    memset(r, 0, bytes);
    *r = want;
    arena = (lw_arena){.base = (uint8_t *)r};
    lw_carve(&arena, sizeof want);
    layout(r, own, &arena);
    if (own)
        lw_fir_design(own, r->coefs, &r->fir);
    lw_resampler_reset(r);
    *out = r;
    return 0;
}

static int16_t *history(const lw_resampler *r, int32_t channel)
{
    return r->history + (size_t)channel * (r->taps + IN_BLOCK);
}

void lw_resampler_prefetch(const lw_resampler *r)
{
    lw_prefetch(r, sizeof *r + (size_t)(r->taps + OUT_BLOCK) * sizeof(int16_t));
}

void lw_resampler_reset(lw_resampler *r)
{
    r->phase = r->first = 0;
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
    return places <= 0 ? 0 : (places * r->phases - r->phase - 1) / r->step + 1;
}

/* Outputs that lie between two rows of the table: both rows' outputs, and what lies between them. */
static void between_rows(const lw_resampler *r, int16_t *out, size_t n, const int16_t *x)
{
    int64_t steps = r->fir.phases - 1;
    for (int32_t i = 0, phase = r->phase; i < (int32_t)n; i++) {
        int64_t place = (int64_t)phase * (steps << 15) / r->phases; /* row, and 15 bits of what is behind it */
        int16_t row[2];
        lw_fir_c(row, 2, x, &r->fir, (int32_t)(place >> 15)); /* the vector forms are made for eight and more */
        out[i] = (int16_t)(row[0] + (((row[1] - row[0]) * (int32_t)(place & 32767) + (1 << 14)) >> 15));
        phase += r->step; /* going up: less than a whole sample */
        int32_t wraps = phase >= r->phases;
        phase -= wraps ? r->phases : 0;
        x += wraps;
    }
}

static void filter(const lw_resampler *r, int16_t *out, size_t n, const int16_t *x)
{
    if (r->grid)
        between_rows(r, out, n, x);
    else
        (r->step <= 8 && r->phases <= 8 ? lw_kernels.fir_block : lw_kernels.fir)(out, n, x, &r->fir, r->phase);
}

/* Writes the outputs whose windows are complete, at most cap frames. */
static int64_t drain(lw_resampler *r, int16_t *out, size_t cap)
{
    int64_t n = lw_min64(ready(r, 0), (int64_t)cap);
    int16_t left[OUT_BLOCK], right[OUT_BLOCK];
    for (int64_t done = 0; done < n;) {
        int64_t k = r->channels == 1 ? n : lw_min64(n - done, OUT_BLOCK);
        if (r->channels == 1) {
            filter(r, out, (size_t)k, history(r, 0) + r->at);
        } else {
            filter(r, left, (size_t)k, history(r, 0) + r->at);
            filter(r, right, (size_t)k, history(r, 1) + r->at);
            for (int64_t i = 0; i < k; i++) {
                out[2 * (done + i)] = left[i];
                out[2 * (done + i) + 1] = right[i];
            }
        }
        int64_t to = r->phase + k * r->step;
        r->at += (int32_t)(to / r->phases);
        r->phase = (int32_t)(to % r->phases);
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
    return (taken * r->phases - r->first + r->step - 1) / r->step - r->made;
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

int64_t lw_resampler_tail(lw_resampler *r, const int16_t *next, size_t n, int16_t *out, size_t cap)
{
    if (!r || r->channels != 1 || (n && !next) || (cap && !out))
        return LW_EINVAL;
    int64_t left = owed(r, r->taken);
    if (left <= 0)
        return 0;
    if ((size_t)left > cap || make_room(r) < (size_t)r->ahead)
        return LW_ENOSPC;
    lw_resampler before = *r;
    size_t known = (size_t)lw_min64((int64_t)n, r->ahead);
    int16_t *to = history(r, 0) + r->have;
    if (known)
        memcpy(to, next, known * sizeof *to);
    memset(to + known, 0, ((size_t)r->ahead - known) * sizeof *to);
    r->have += r->ahead;
    int64_t made = drain(r, out, (size_t)left);
    *r = before;
    return made;
}

int lw_resampler_start(lw_resampler *r, const int16_t *past, size_t n, int32_t phase)
{
    if (!r || r->channels != 1 || (n && !past) || phase < 0 || phase > r->step || (!r->taps && phase))
        return LW_EINVAL;
    lw_resampler_reset(r);
    size_t known = (size_t)lw_min64((int64_t)n, r->have);
    if (known)
        memcpy(history(r, 0) + r->have - known, past + (n - known), known * sizeof *past);
    r->first = phase;
    r->at = phase / r->phases;
    r->phase = phase % r->phases;
    return 0;
}

int lw_resampler_divide(lw_resampler *r, int32_t by)
{
    if (!r || by < 1 || r->channels != 1 || r->in_rate > r->out_rate || r->phases > LW_RESAMPLER_FINEST / by)
        return LW_EINVAL;
    /* The table for all ways up: any two rates that have none of their own name it. */
    lw_fir_shape shape = lw_fir_measure(r->out_rate - 1, r->out_rate, r->quality);
    if (by == 1)
        return 0;
    if (lw_fir_shared(&shape, &r->fir) < 0)
        return LW_ENOMEM;
    if (!r->taps) {
        r->half = shape.half;
        r->ahead = shape.ahead;
        r->taps = shape.taps;
    }
    r->grid = 1;
    r->phases *= by;
    r->step *= by;
    lw_resampler_reset(r);
    return 0;
}

lw_resampler_place lw_resampler_where(const lw_resampler *r)
{
    int64_t outputs = r->made + lw_max64(0, owed(r, r->taken));
    return (lw_resampler_place){.phases = r->phases,
                                .step = r->step,
                                .ahead = r->ahead,
                                .past = r->taps ? r->taps - 1 - r->ahead : 0,
                                .behind = (int32_t)(r->first + outputs * r->step - r->taken * r->phases)};
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
