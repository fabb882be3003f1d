/* G.722, ITU-T G.722 (09/2012): 7 kHz audio at 64, 56 and 48 kbit/s.
 *
 * A 24-tap quadrature mirror filter splits 16 kHz into two bands of 8 kHz; each is ADPCM with a predictor of two poles
 * and six zeros that adapts by signs, and a quantiser whose scale is adapted in the logarithm.
 *
 *   lower band   6 bits; adaptation sees the upper 4 of them only, so all rates adapt alike
 *   upper band   2 bits
 *
 * What depends on what decides how fast this can be. The filter bank is not recursive: it runs over a whole block,
 * before the encoder's loop and after the decoder's. Decoding, the quantised differences follow from the codes alone,
 * and so do the zero section and the signs that move the coefficients; only the pole section is a recursion. Encoding,
 * all of it is one loop, through the quantiser.
 *
 * Arithmetic is the Recommendation's: 16 bits, every addition saturated. Where a comment says that a sum fits,
 * saturation is left out. */
#include "g722.h"

#include <stdlib.h>
#include <string.h>

#include "dsp.h"

const int16_t lw_g722_low_level[8] = {0, 1200, 2584, 4240, 6288, 8968, 12896, 20456};
const int16_t lw_g722_low_step[8] = {-60, -30, 58, 172, 334, 538, 1198, 3042};
const int16_t lw_g722_thresholds[31] = {0,   35,   72,   110,  150,  190,  233,  276,  323,  370,  422,
                                        473, 530,  587,  650,  714,  786,  858,  940,  1023, 1121, 1219,
                                        1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 4095};
const int16_t lw_g722_mantissa[32] = {16384, 16744, 17112, 17488, 17864, 18256, 18656, 19064, 19480, 19912, 20344,
                                      20792, 21248, 21712, 22192, 22672, 23168, 23680, 24200, 24728, 25264, 25824,
                                      26384, 26968, 27552, 28160, 28776, 29408, 30048, 30704, 31376, 32064};
const int16_t lw_g722_scales[353] = {
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 16,
    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20, 20, 20, 20, 20, 24, 24, 24, 24, 24, 24, 24, 28, 28, 28,
    28, 28, 28, 32, 32, 32, 32, 32, 32, 36, 36, 36, 36, 36, 40, 40, 40, 40, 44, 44, 44, 44, 48, 48, 48, 48, 52, 52,
    52, 56, 56, 56, 56, 60, 60, 64, 64, 64, 68, 68, 68, 72, 72, 76, 76, 76, 80, 80, 84, 84, 88, 88, 92, 92, 96, 96,
    100, 100, 104, 104, 108, 112, 112, 116, 116, 120, 124, 128, 128, 132, 136, 136, 140, 144, 148, 152, 152, 156, 160,
    164, 168, 172, 176, 180, 184, 188, 192, 196, 200, 204, 208, 212, 220, 224, 228, 232, 236, 244, 248, 256, 260, 264,
    272, 276, 284, 288, 296, 304, 308, 316, 324, 332, 336, 344, 352, 360, 368, 376, 384, 392, 400, 412, 420, 428, 440,
    448, 456, 468, 476, 488, 500, 512, 520, 532, 544, 556, 568, 580, 592, 608, 620, 632, 648, 664, 676, 692, 708, 724,
    740, 756, 772, 788, 804, 824, 840, 860, 880, 896, 916, 936, 956, 980, 1000, 1024, 1044, 1068, 1092, 1116, 1140,
    1164, 1188, 1216, 1244, 1268, 1296, 1328, 1356, 1384, 1416, 1448, 1480, 1512, 1544, 1576, 1612, 1648, 1684, 1720,
    1760, 1796, 1836, 1876, 1916, 1960, 2004, 2048, 2092, 2136, 2184, 2232, 2280, 2332, 2380, 2432, 2488, 2540, 2596,
    2656, 2712, 2772, 2832, 2896, 2960, 3024, 3088, 3156, 3228, 3296, 3368, 3444, 3520, 3596, 3676, 3756, 3836, 3920,
    4008, 4096, 4184, 4276, 4372, 4464, 4564, 4664, 4764, 4868, 4976, 5084, 5196, 5312, 5428, 5548, 5668, 5792, 5920,
    6048, 6180, 6316, 6456, 6596, 6740, 6888, 7040, 7192, 7352, 7512, 7676, 7844, 8016, 8192, 8372, 8556, 8744, 8932,
    9128, 9328, 9532, 9740, 9956, 10172, 10396, 10624, 10856, 11096, 11336, 11584, 11840, 12100, 12364, 12632, 12912,
    13192, 13484, 13776, 14080, 14388, 14704, 15024, 15352, 15688, 16032, 16384};

/* OQ6 and OQ5: the decoder's levels by magnitude, Q15 of the scale factor. */
static const int16_t levels6[31] = {0,    136,  432,   728,   1040,  1360,  1688,  2032,  2400,  2776,  3168,
                                    3576, 4008, 4464,  4944,  5456,  6000,  6576,  7192,  7856,  8576,  9360,
                                    10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808};
static const int16_t levels5[16] = {0,    280,  880,  1520, 2208, 2960,  3784,  4696,
                                    5712, 6864, 8184, 9752, 11664, 14120, 17560, 23352};

/* ---- the kernels in plain C ---- */

static inline int32_t mult(int32_t a, int32_t b)
{
    return (a * b) >> 15;
}

void lw_g722_split_c(int16_t *low, int16_t *high, const int16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t first = 0, second = 0;
        for (int k = 0; k < 12; k++) {
            first += x[2 * (i + k)] * lw_g722_qmf[k];
            second += x[2 * (i + k) + 1] * lw_g722_qmf[11 - k];
        }
        low[i] = (int16_t)lw_clamp((second + first) >> 14, -16384, 16383);
        high[i] = (int16_t)lw_clamp((second - first) >> 14, -16384, 16383);
    }
}

void lw_g722_join_c(int16_t *pcm, const int16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t sum = 0, difference = 0;
        for (int k = 0; k < 12; k++) {
            sum += x[2 * (i + k)] * lw_g722_qmf[k];
            difference += x[2 * (i + k) + 1] * lw_g722_qmf[11 - k];
        }
        pcm[2 * i] = lw_sat16(difference >> 11);
        pcm[2 * i + 1] = lw_sat16(sum >> 11);
    }
}

/* One step of a band's predictor, once the quantised difference is known. */
static inline void adapt(lw_g722_band *q, int32_t d)
{
    int32_t r = lw_sat16(2 * lw_sat16(q->s + d));
    int32_t p = (q->sz + d) >> 31;
    int32_t same1 = p == q->p1 ? 1 : -1, same2 = p == q->p2 ? 1 : -1;

    int32_t a2 = (lw_sat16(-same1 * lw_sat16(4 * q->a1)) >> 7) + same2 * 128 + mult(q->a2, 32512);
    a2 = lw_clamp(a2, -12288, 12288);
    int32_t most = 15360 - a2;
    int32_t a1 = lw_clamp(same1 * 192 + mult(q->a1, 32640), -most, most);

    int32_t move = d ? 128 : 0, sz = 0;
    for (int k = 0; k < LW_G722_TAPS; k++) /* a coefficient stays within -32768..32640 */
        q->b[k] = (int16_t)(mult(q->b[k], 32640) + ((q->d[k] ^ d) < 0 ? -move : move));
    memmove(q->d, q->d + 1, (LW_G722_TAPS - 1) * sizeof *q->d);
    q->d[LW_G722_TAPS - 1] = (int16_t)(2 * d); /* |d| < 2^14 */
    for (int k = 0; k < LW_G722_TAPS; k++)
        sz = lw_sat16(sz + mult(q->d[k], q->b[k]));

    q->s = lw_sat16(lw_sat16(mult(a1, r) + mult(a2, q->r)) + sz);
    q->sz = (int16_t)sz;
    q->r = (int16_t)r;
    q->a1 = (int16_t)a1;
    q->a2 = (int16_t)a2;
    q->p2 = q->p1;
    q->p1 = (int16_t)p;
}

static inline void rescale(lw_g722_band *q, int32_t step, int32_t top, int32_t base)
{
    q->nb = (int16_t)lw_clamp(mult(q->nb, 32512) + step, 0, top);
    q->det = lw_g722_scales[base + (q->nb >> 6)];
}

static inline int32_t high_difference(int32_t code, int32_t det) /* bit 0: inner level, bit 1: positive */
{
    int32_t level = code & 1 ? LW_G722_HIGH_INNER : LW_G722_HIGH_OUTER;
    return mult(det, code & 2 ? level : -level);
}

static inline int32_t high_step(int32_t code)
{
    return code & 1 ? LW_G722_HIGH_STEP_INNER : LW_G722_HIGH_STEP_OUTER;
}

void lw_g722_encode_c(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, lw_g722_state *state)
{
    lw_g722_band l = state->low, h = state->high;
    for (size_t i = 0; i < n; i++) {
        int32_t e = lw_sat16(low[i] - l.s), magnitude = e ^ (e >> 31), m = 0, fine = 0;
        for (int k = 1; k < 8; k++)
            m += magnitude >= (lw_g722_thresholds[4 * k - 2] * l.det) >> 12;
        const int16_t *next = lw_g722_thresholds + (m ? 4 * m - 1 : 1);
        for (int k = 0; k < (m ? 3 : 1); k++)
            fine += magnitude >= (next[k] * l.det) >> 12;
        int32_t level = (m ? 4 * m - 1 : 1) + fine; /* 1..30 */
        int32_t code = e >= 0 ? 62 - level : level <= 2 ? 64 - level : 34 - level;
        int32_t d = mult(l.det, e >= 0 ? lw_g722_low_level[m] : -lw_g722_low_level[m]);
        rescale(&l, lw_g722_low_step[m], LW_G722_LOW_TOP, LW_G722_LOW_BASE);
        adapt(&l, d);

        e = lw_sat16(high[i] - h.s);
        int32_t inner = (e ^ (e >> 31)) < (LW_G722_HIGH_THRESHOLD * h.det) >> 12;
        int32_t pair = (e >= 0) << 1 | inner;
        d = high_difference(pair, h.det);
        rescale(&h, high_step(pair), LW_G722_HIGH_TOP, LW_G722_HIGH_BASE);
        adapt(&h, d);
        codes[i] = (uint8_t)(pair << 6 | code);
    }
    state->low = l;
    state->high = h;
}

void lw_g722_decode_c(int16_t *pairs, const uint8_t *codes, size_t n, const int16_t level[64], lw_g722_state *state)
{
    lw_g722_band l = state->low, h = state->high;
    for (size_t i = 0; i < n; i++) {
        int32_t code = codes[i] & 63, coarse = code >> 2;
        int32_t y = lw_clamp(l.s + mult(l.det, level[code]), -16384, 16383);
        int32_t m = (coarse < 8 ? 8 - coarse : 15 - coarse) & 7;
        int32_t d = mult(l.det, coarse < 8 ? -lw_g722_low_level[m] : lw_g722_low_level[m]);
        rescale(&l, lw_g722_low_step[m], LW_G722_LOW_TOP, LW_G722_LOW_BASE);
        adapt(&l, d);

        int32_t pair = codes[i] >> 6;
        d = high_difference(pair, h.det);
        int32_t z = lw_clamp(h.s + d, -16384, 16383);
        rescale(&h, high_step(pair), LW_G722_HIGH_TOP, LW_G722_HIGH_BASE);
        adapt(&h, d);
        pairs[2 * i] = (int16_t)(y + z);
        pairs[2 * i + 1] = (int16_t)(y - z);
    }
    state->low = l;
    state->high = h;
}

static void band_of(lw_g722_band *to, const lw_g722_band_lanes *from, size_t c)
{
    *to = (lw_g722_band){.a1 = from->a1[c], .a2 = from->a2[c], .r = from->r[c],   .p1 = from->p1[c], .p2 = from->p2[c],
                         .s = from->s[c],   .sz = from->sz[c], .nb = from->nb[c], .det = from->det[c]};
    for (int k = 0; k < LW_G722_TAPS; k++) {
        to->d[k] = from->d[k][c];
        to->b[k] = from->b[k][c];
    }
}

static void band_to(lw_g722_band_lanes *to, const lw_g722_band *from, size_t c)
{
    to->a1[c] = from->a1, to->a2[c] = from->a2, to->r[c] = from->r, to->p1[c] = from->p1, to->p2[c] = from->p2;
    to->s[c] = from->s, to->sz[c] = from->sz, to->nb[c] = from->nb, to->det[c] = from->det;
    for (int k = 0; k < LW_G722_TAPS; k++) {
        to->d[k][c] = from->d[k];
        to->b[k][c] = from->b[k];
    }
}

static void state_of(lw_g722_state *to, const lw_g722_lanes *from, size_t c)
{
    band_of(&to->low, &from->low, c);
    band_of(&to->high, &from->high, c);
}

static void state_to(lw_g722_lanes *to, const lw_g722_state *from, size_t c)
{
    band_to(&to->low, &from->low, c);
    band_to(&to->high, &from->high, c);
}

void lw_g722_encode_lanes_c(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t used,
                            lw_g722_lanes *lanes)
{
    for (size_t c = 0; c < used; c++) {
        int16_t l[LW_G722_BLOCK], h[LW_G722_BLOCK];
        uint8_t code[LW_G722_BLOCK];
        lw_g722_state one;
        state_of(&one, lanes, c);
        for (size_t t = 0; t < n; t++) {
            l[t] = low[t * LW_G722_LANES + c];
            h[t] = high[t * LW_G722_LANES + c];
        }
        lw_g722_encode_c(code, l, h, n, &one);
        for (size_t t = 0; t < n; t++)
            codes[t * LW_G722_LANES + c] = code[t];
        state_to(lanes, &one, c);
    }
}

void lw_g722_decode_lanes_c(int16_t *pairs, const uint8_t *codes, size_t n, size_t used, const int16_t level[64],
                            lw_g722_lanes *lanes)
{
    for (size_t c = 0; c < used; c++) {
        int16_t out[2 * LW_G722_BLOCK];
        uint8_t code[LW_G722_BLOCK];
        lw_g722_state one;
        state_of(&one, lanes, c);
        for (size_t t = 0; t < n; t++)
            code[t] = codes[t * LW_G722_LANES + c];
        lw_g722_decode_c(out, code, n, level, &one);
        for (size_t t = 0; t < 2 * n; t++)
            pairs[t * LW_G722_LANES + c] = out[t];
        state_to(lanes, &one, c);
    }
}

void lw_turn8_c(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[c * to_step + r] = from[r * from_step + c];
}

void lw_turn16_c(int16_t *to, size_t to_step, const int16_t *from, size_t from_step, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[c * to_step + r] = from[r * from_step + c];
}

/* ---- what single channels and batches share ---- */

/* Bits of a code that the rate leaves to auxiliary data, or -1. */
static int auxiliary_bits(int32_t bitrate)
{
    return bitrate == 64000 ? 0 : bitrate == 56000 ? 1 : bitrate == 48000 ? 2 : -1;
}

/* The decoder's level for each of the 64 codes. Codes whose coarse part is 0 are never sent; they decode like 63. */
static void fill_levels(int16_t level[64], int auxiliary)
{
    for (int32_t code = 0; code < 64; code++) {
        int32_t kept = code >> auxiliary, m, value;
        if (auxiliary == 0) {
            m = kept < 4 ? 1 : kept < 32 ? 34 - kept : kept < 62 ? 62 - kept : 64 - kept;
            value = kept < 32 || kept >= 62 ? -levels6[m] : levels6[m];
        } else if (auxiliary == 1) {
            m = kept < 2 ? 1 : kept < 16 ? 17 - kept : kept < 31 ? 31 - kept : 1;
            value = kept < 16 || kept == 31 ? -levels5[m] : levels5[m];
        } else {
            m = (kept < 8 ? 8 - kept : 15 - kept) & 7;
            value = kept < 8 ? -lw_g722_low_level[m] : lw_g722_low_level[m];
        }
        level[code] = (int16_t)value;
    }
}

static void reset_state(lw_g722_state *state)
{
    *state = (lw_g722_state){.low.det = LW_G722_LOW_SCALE, .high.det = LW_G722_HIGH_SCALE};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- one channel ---- */

struct lw_g722_encoder {
    lw_g722_state state;
    int16_t history[LW_G722_HISTORY];
    int16_t pending; /* the first sample of a pair */
    uint8_t has_pending, mask;
};

struct lw_g722_decoder {
    lw_g722_state state;
    int16_t level[64];
    int16_t history[LW_G722_HISTORY];
};

int lw_g722_encoder_open(lw_g722_encoder **out, const lw_g722_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    int auxiliary = config ? auxiliary_bits(config->bitrate) : -1;
    if (auxiliary < 0)
        return LW_EINVAL;
    lw_g722_encoder *e = calloc(1, sizeof *e);
    if (!e)
        return LW_ENOMEM;
    e->mask = (uint8_t)(0xFF << auxiliary);
    lw_g722_encoder_reset(e);
    *out = e;
    return 0;
}

void lw_g722_encoder_reset(lw_g722_encoder *e)
{
    reset_state(&e->state);
    memset(e->history, 0, sizeof e->history);
    e->pending = e->has_pending = 0;
}

void lw_g722_encoder_close(lw_g722_encoder **e)
{
    if (e) {
        free(*e);
        *e = NULL;
    }
}

size_t lw_g722_encoder_bound(const lw_g722_encoder *e, size_t n)
{
    return n / 2 + (n & e->has_pending);
}

int64_t lw_g722_encoder_process(lw_g722_encoder *e, const int16_t *pcm, size_t n, uint8_t *codes, size_t cap)
{
    if (!e || (n && !pcm) || (cap && !codes))
        return LW_EINVAL;
    size_t total = lw_g722_encoder_bound(e, n);
    if (cap < total)
        return LW_ENOSPC;
    const uint8_t *from = (const uint8_t *)pcm;
    int16_t x[LW_G722_HISTORY + 2 * LW_G722_BLOCK], low[LW_G722_BLOCK], high[LW_G722_BLOCK];
    for (size_t done = 0; done < total;) {
        size_t steps = least(total - done, LW_G722_BLOCK), waiting = e->has_pending, taken = 2 * steps - waiting;
        memcpy(x, e->history, sizeof e->history);
        x[LW_G722_HISTORY] = e->pending;
        memcpy(x + LW_G722_HISTORY + waiting, from, taken * sizeof *x);
        e->has_pending = 0;
        from += taken * sizeof *x;
        n -= taken;
        lw_kernels.g722_split(low, high, x, steps);
        lw_kernels.g722_encode(codes + done, low, high, steps, &e->state);
        memcpy(e->history, x + 2 * steps, sizeof e->history);
        done += steps;
    }
    if (n) {
        memcpy(&e->pending, from, sizeof e->pending);
        e->has_pending = 1;
    }
    if (e->mask != 0xFF)
        for (size_t i = 0; i < total; i++)
            codes[i] &= e->mask;
    return (int64_t)total;
}

int lw_g722_decoder_open(lw_g722_decoder **out, const lw_g722_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    int auxiliary = config ? auxiliary_bits(config->bitrate) : -1;
    if (auxiliary < 0)
        return LW_EINVAL;
    lw_g722_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return LW_ENOMEM;
    fill_levels(d->level, auxiliary);
    lw_g722_decoder_reset(d);
    *out = d;
    return 0;
}

void lw_g722_decoder_reset(lw_g722_decoder *d)
{
    reset_state(&d->state);
    memset(d->history, 0, sizeof d->history);
}

void lw_g722_decoder_close(lw_g722_decoder **d)
{
    if (d) {
        free(*d);
        *d = NULL;
    }
}

int64_t lw_g722_decoder_process(lw_g722_decoder *d, const uint8_t *codes, size_t n, int16_t *pcm, size_t cap)
{
    if (!d || (n && !codes) || (cap && !pcm))
        return LW_EINVAL;
    if (cap / 2 < n)
        return LW_ENOSPC;
    uint8_t *to = (uint8_t *)pcm;
    int16_t x[LW_G722_HISTORY + 2 * LW_G722_BLOCK], out[2 * LW_G722_BLOCK];
    for (size_t done = 0; done < n;) {
        size_t steps = least(n - done, LW_G722_BLOCK);
        memcpy(x, d->history, sizeof d->history);
        lw_kernels.g722_decode(x + LW_G722_HISTORY, codes + done, steps, d->level, &d->state);
        lw_kernels.g722_join(out, x, steps);
        memcpy(to + 2 * done * sizeof *out, out, 2 * steps * sizeof *out);
        memcpy(d->history, x + 2 * steps, sizeof d->history);
        done += steps;
    }
    return (int64_t)(2 * n);
}

/* ---- batches ---- */

typedef struct group {
    lw_g722_lanes lanes;
    int16_t history[LW_G722_LANES][LW_G722_HISTORY];
    uint8_t stale[LW_G722_LANES]; /* the slot starts anew when it is next used */
} group;

/* A group's block in both orders: `rows` a channel a row, `steps` a time step a row. Longer rows than a block keep the
 * channels' rows out of each other's cache sets. */
#define ROW16 (LW_G722_BLOCK + 32)
#define ROW8 (LW_G722_BLOCK + 64)
typedef struct scratch {
    int16_t rows[2][LW_G722_LANES][ROW16];
    int16_t steps[2 * LW_G722_BLOCK][LW_G722_LANES];
    uint8_t code_rows[LW_G722_LANES][ROW8];
    uint8_t code_steps[LW_G722_BLOCK][LW_G722_LANES];
} scratch;

typedef struct batch {
    int32_t channels;
    uint8_t mask;
    int16_t level[64];
    group *groups;
    scratch *work;
} batch;

/* The two kinds differ in what they do, not in what they hold. */
struct lw_g722_encoder_batch {
    batch b;
};
struct lw_g722_decoder_batch {
    batch b;
};

static void layout(batch *b, lw_arena *arena)
{
    b->work = lw_carve(arena, sizeof *b->work);
    b->groups = lw_carve(arena, ((size_t)b->channels + LW_G722_LANES - 1) / LW_G722_LANES * sizeof *b->groups);
}

static void restart(group *g, size_t c)
{
    lw_g722_state one;
    reset_state(&one);
    state_to(&g->lanes, &one, c);
    memset(g->history[c], 0, sizeof g->history[c]);
    g->stale[c] = 0;
}

static int batch_open(batch **out, const lw_g722_batch_config *config)
{
    *out = NULL;
    int auxiliary = config ? auxiliary_bits(config->bitrate) : -1;
    if (auxiliary < 0 || config->channels < 1 || config->channels > LW_G722_MAX_CHANNELS)
        return LW_EINVAL;
    batch want = {.channels = config->channels, .mask = (uint8_t)(0xFF << auxiliary)};
    fill_levels(want.level, auxiliary);
    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    size_t bytes = (arena.used + 63) & ~(size_t)63;
    batch *b = aligned_alloc(64, bytes); /* the kernels want whole cache lines */
    if (!b)
        return LW_ENOMEM;
    memset(b, 0, bytes);
    *b = want;
    arena = (lw_arena){.base = (uint8_t *)b};
    lw_carve(&arena, sizeof want);
    layout(b, &arena);
    for (int32_t c = 0; c < b->channels; c++)
        restart(&b->groups[c / LW_G722_LANES], (size_t)c % LW_G722_LANES);
    *out = b;
    return 0;
}

static int batch_reset(batch *b, int32_t channel)
{
    if (!b || channel < -1 || channel >= b->channels)
        return LW_EINVAL;
    for (int32_t c = channel < 0 ? 0 : channel; c < (channel < 0 ? b->channels : channel + 1); c++)
        b->groups[c / LW_G722_LANES].stale[c % LW_G722_LANES] = 1;
    return 0;
}

/* Slots that sit this call out lose their state, those that come back or were reset begin. */
static void begin(batch *b, const void *const *in)
{
    for (int32_t c = 0; c < b->channels; c++) {
        group *g = &b->groups[c / LW_G722_LANES];
        size_t lane = (size_t)c % LW_G722_LANES;
        if (!in[c])
            g->stale[lane] = 1;
        else if (g->stale[lane])
            restart(g, lane);
    }
}

static inline size_t round16(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

/* Up to this many channels are done sooner one after the other than in a vector, most of whose lanes are empty. */
#define FEW_TO_ENCODE 2
#define FEW_TO_DECODE 3

static void encode_group(batch *b, group *g, const int16_t *const *pcm, size_t at, size_t steps, size_t used,
                         uint8_t *const *codes)
{
    scratch *w = b->work;
    int16_t x[LW_G722_HISTORY + 2 * LW_G722_BLOCK];
    for (size_t c = 0; c < used; c++) {
        if (!pcm[c])
            continue;
        memcpy(x, g->history[c], sizeof g->history[c]);
        memcpy(x + LW_G722_HISTORY, (const uint8_t *)pcm[c] + 2 * at * sizeof *x, 2 * steps * sizeof *x);
        lw_kernels.g722_split(w->rows[0][c], w->rows[1][c], x, steps);
        memcpy(g->history[c], x + 2 * steps, sizeof g->history[c]);
    }
    int16_t *low = w->steps[0], *high = w->steps[LW_G722_BLOCK];
    size_t lanes = round16(used);
    if (used > FEW_TO_ENCODE) {
        lw_kernels.turn16(low, LW_G722_LANES, w->rows[0][0], ROW16, lanes, round16(steps));
        lw_kernels.turn16(high, LW_G722_LANES, w->rows[1][0], ROW16, lanes, round16(steps));
        lw_kernels.g722_encode_lanes(w->code_steps[0], low, high, steps, used, &g->lanes);
        lw_kernels.turn8(w->code_rows[0], ROW8, w->code_steps[0], LW_G722_LANES, round16(steps), lanes);
    }
    for (size_t c = 0; c < used; c++) {
        if (!pcm[c])
            continue;
        if (used <= FEW_TO_ENCODE) {
            lw_g722_state one;
            state_of(&one, &g->lanes, c);
            lw_kernels.g722_encode(w->code_rows[c], w->rows[0][c], w->rows[1][c], steps, &one);
            state_to(&g->lanes, &one, c);
        }
        if (b->mask != 0xFF)
            for (size_t t = 0; t < steps; t++)
                w->code_rows[c][t] &= b->mask;
        memcpy(codes[c] + at, w->code_rows[c], steps);
    }
}

static void decode_group(batch *b, group *g, const uint8_t *const *codes, size_t at, size_t steps, size_t used,
                         int16_t *const *pcm)
{
    scratch *w = b->work;
    /* A channel's row of pairs is as long as two rows. */
    _Static_assert(2 * ROW16 >= LW_G722_HISTORY + 2 * LW_G722_BLOCK + 16, "a row of pairs with its history fits");
    int16_t *rows = w->rows[0][0], out[2 * LW_G722_BLOCK];
    if (used > FEW_TO_DECODE) {
        for (size_t c = 0; c < used; c++)
            if (codes[c])
                memcpy(w->code_rows[c], codes[c] + at, steps);
        size_t lanes = round16(used);
        lw_kernels.turn8(w->code_steps[0], LW_G722_LANES, w->code_rows[0], ROW8, lanes, round16(steps));
        lw_kernels.g722_decode_lanes(w->steps[0], w->code_steps[0], steps, used, b->level, &g->lanes);
        lw_kernels.turn16(rows + LW_G722_HISTORY, 2 * ROW16, w->steps[0], LW_G722_LANES, round16(2 * steps), lanes);
    }
    for (size_t c = 0; c < used; c++) {
        if (!codes[c])
            continue;
        int16_t *x = rows + c * 2 * ROW16;
        if (used <= FEW_TO_DECODE) {
            lw_g722_state one;
            state_of(&one, &g->lanes, c);
            lw_kernels.g722_decode(x + LW_G722_HISTORY, codes[c] + at, steps, b->level, &one);
            state_to(&g->lanes, &one, c);
        }
        memcpy(x, g->history[c], sizeof g->history[c]);
        lw_kernels.g722_join(out, x, steps);
        memcpy((uint8_t *)pcm[c] + 2 * at * sizeof *out, out, 2 * steps * sizeof *out);
        memcpy(g->history[c], x + 2 * steps, sizeof g->history[c]);
    }
}

int lw_g722_encoder_batch_open(lw_g722_encoder_batch **out, const lw_g722_batch_config *config)
{
    batch *b;
    if (!out)
        return LW_EINVAL;
    int rc = batch_open(&b, config);
    *out = (lw_g722_encoder_batch *)b;
    return rc;
}

int64_t lw_g722_encoder_batch_process(lw_g722_encoder_batch *e, const int16_t *const *pcm, size_t n,
                                      uint8_t *const *codes)
{
    if (!e || !pcm || !codes || n & 1)
        return LW_EINVAL;
    for (int32_t c = 0; c < e->b.channels; c++)
        if (pcm[c] && !codes[c])
            return LW_EINVAL;
    begin(&e->b, (const void *const *)pcm);
    for (int32_t first = 0; first < e->b.channels; first += LW_G722_LANES)
        for (size_t done = 0; done < n / 2; done += LW_G722_BLOCK)
            encode_group(&e->b, &e->b.groups[first / LW_G722_LANES], pcm + first, done,
                         least(n / 2 - done, LW_G722_BLOCK), least((size_t)(e->b.channels - first), LW_G722_LANES),
                         codes + first);
    return (int64_t)(n / 2);
}

int lw_g722_encoder_batch_reset(lw_g722_encoder_batch *e, int32_t channel)
{
    return batch_reset(&e->b, channel);
}

void lw_g722_encoder_batch_close(lw_g722_encoder_batch **e)
{
    if (e) {
        free(*e);
        *e = NULL;
    }
}

int lw_g722_decoder_batch_open(lw_g722_decoder_batch **out, const lw_g722_batch_config *config)
{
    batch *b;
    if (!out)
        return LW_EINVAL;
    int rc = batch_open(&b, config);
    *out = (lw_g722_decoder_batch *)b;
    return rc;
}

int64_t lw_g722_decoder_batch_process(lw_g722_decoder_batch *d, const uint8_t *const *codes, size_t n,
                                      int16_t *const *pcm)
{
    if (!d || !pcm || !codes)
        return LW_EINVAL;
    for (int32_t c = 0; c < d->b.channels; c++)
        if (codes[c] && !pcm[c])
            return LW_EINVAL;
    begin(&d->b, (const void *const *)codes);
    for (int32_t first = 0; first < d->b.channels; first += LW_G722_LANES)
        for (size_t done = 0; done < n; done += LW_G722_BLOCK)
            decode_group(&d->b, &d->b.groups[first / LW_G722_LANES], codes + first, done,
                         least(n - done, LW_G722_BLOCK), least((size_t)(d->b.channels - first), LW_G722_LANES),
                         pcm + first);
    return (int64_t)(2 * n);
}

int lw_g722_decoder_batch_reset(lw_g722_decoder_batch *d, int32_t channel)
{
    return batch_reset(&d->b, channel);
}

void lw_g722_decoder_batch_close(lw_g722_decoder_batch **d)
{
    if (d) {
        free(*d);
        *d = NULL;
    }
}
