/* The polyphase filter on AVX2 and AVX-512.
 *
 * fir        any ratio: a dot product per output, eight outputs at a time, so that their horizontal sums share a tree.
 *            AVX-512 keeps coarse and fine in the two halves of one register: one load, one multiply-accumulate (VNNI)
 *            and one tree serve both.
 * fir_block  small ratios: the outputs of one phase are the lanes, so there are no horizontal sums, and a coefficient
 *            pair is loaded once for all of them. Neighbouring outputs of a phase lie `step` samples apart: the input
 *            is laid out first as `step` streams of sample pairs, stream m holding x[step i + m] and the one behind. */
#if defined(__x86_64__)
#include <string.h>

#include "../common.h"
#include "../dsp.h"
#include "x86.h"

/* Keeps GCC from collecting the products of many steps in memory, to add them up as a tree. */
#define IN_ORDER(v) __asm__("" : "+x"(v))

/* Where the outputs of a group of eight find their windows and coefficients, from the first one's place: no division
 * inside the loop, and no chain from one output to the next. */
typedef struct walk {
    int32_t whole[8], part[8]; /* j steps, in samples and phases */
    int32_t step_whole, step_part; /* one step */
    int32_t phases;
    ptrdiff_t stride;
} walk;

static inline walk start(const lw_fir *f)
{
    walk w = {.phases = f->phases, .stride = 2 * (ptrdiff_t)f->taps};
    w.step_whole = f->step / f->phases;
    w.step_part = f->step % f->phases;
    for (int j = 1; j < 8; j++) {
        int32_t to = w.part[j - 1] + w.step_part, wraps = to >= f->phases;
        w.part[j] = to - (wraps ? f->phases : 0);
        w.whole[j] = w.whole[j - 1] + w.step_whole + wraps;
    }
    return w;
}

/* The window of the j-th output after one in `phase`; *to is its phase. */
INLINE const int16_t *window(const walk *w, const int16_t *x, int32_t phase, int j, int32_t *to)
{
    int32_t p = phase + w->part[j] - w->phases, stays = p >> 31; /* all ones where the phase does not wrap: no branch */
    *to = p + (w->phases & stays);
    return x + w->whole[j] + 1 + stays;
}

/* Leaves x and phase eight outputs on. */
INLINE const int16_t *next_group(const walk *w, const int16_t *x, int32_t *phase)
{
    x = window(w, x, *phase, 7, phase) + w->step_whole;
    int32_t p = *phase + w->step_part - w->phases, stays = p >> 31;
    *phase = p + (w->phases & stays);
    return x + 1 + stays;
}

/* ---- fir_block: what both levels share ---- */

#define BLOCK 64         /* places (outputs of one phase) at a time */
#define BLOCK_INPUT 1024 /* samples laid out at a time */
#define BLOCK_TAPS 512   /* at most */
#define BLOCK_STEP 8     /* at most; phases too */

typedef struct streams {
    int32_t pair[BLOCK_INPUT + BLOCK_TAPS + BLOCK_STEP * (BLOCK + 8)]; /* each with room for a block read too far */
    ptrdiff_t length;                                                  /* of one stream */
} streams;

/* The outputs of one round: where each one's window starts in the round's input, and its coefficients. */
typedef struct rounds {
    int32_t at[BLOCK_STEP];
    const int16_t *coefs[BLOCK_STEP];
} rounds;

INLINE int suits_block(const lw_fir *f, size_t n)
{
    return f->step <= BLOCK_STEP && f->phases <= BLOCK_STEP && f->taps <= BLOCK_TAPS && n >= 8 * (size_t)f->phases;
}

static inline rounds plan(const lw_fir *f, int32_t phase)
{
    rounds r;
    for (int32_t i = 0; i < f->phases; i++, phase += f->step) {
        r.at[i] = phase / f->phases;
        r.coefs[i] = f->coefs + (ptrdiff_t)(phase % f->phases) * 2 * f->taps;
    }
    return r;
}

/* How many rounds the next layout takes, and how many samples of x. */
static inline size_t rounds_at_once(const lw_fir *f, size_t n, const rounds *r, size_t *samples)
{
    size_t count = n / (size_t)f->phases, most = (size_t)(BLOCK_INPUT / f->step);
    count = count < most ? count : most;
    *samples = (size_t)(r->at[f->phases - 1] + f->taps) + (size_t)f->step * (count - 1);
    return count;
}

/* Pairs of stream m among `samples`. */
INLINE size_t pairs_in(size_t samples, size_t step, size_t m)
{
    return samples > m + 1 ? (samples - 1 - m + step - 1) / step : 0;
}

/* From the stream position of tap k to that of tap k + 2; *m is the stream. */
INLINE ptrdiff_t two_on(int32_t *m, int32_t step, ptrdiff_t length)
{
    if (step == 1)
        return 2;
    if (step == 2)
        return 1;
    *m += 2;
    if (*m < step)
        return 2 * length;
    *m -= step; /* a branch, well predicted: without one the steps would wait for each other */
    return 2 * length + 1 - step * length;
}

INLINE void lay_out_plain(int32_t *to, const int16_t *x, size_t step, size_t from, size_t pairs)
{
    for (size_t i = from; i < pairs; i++)
        memcpy(to + i, x + i * step, sizeof *to);
}

/* ---- AVX2 ---- */

AVX2 INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* hi + (lo rounded) + 2^13 >> 14 */
AVX2 INLINE __m256i finish(__m256i hi, __m256i lo, __m256i half, __m128i bits)
{
    __m256i sum = _mm256_add_epi32(hi, _mm256_sra_epi32(_mm256_add_epi32(lo, half), bits));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 13)), 14);
}

/* Sums of eight registers, one a lane. */
AVX2 INLINE __m256i sums(const __m256i v[8])
{
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

AVX2 INLINE void dot_avx2(__m256i *hi, __m256i *lo, const int16_t *x, const int16_t *c, int32_t taps)
{
    __m256i h = _mm256_setzero_si256(), l = _mm256_setzero_si256();
#pragma GCC unroll 5
    for (int32_t k = 0; k < taps; k += 16, c += 32) {
        __m256i v = load(x + k);
        h = _mm256_add_epi32(h, _mm256_madd_epi16(v, load(c)));
        l = _mm256_add_epi32(l, _mm256_madd_epi16(v, load(c + 16)));
    }
    *hi = h;
    *lo = l;
}

AVX2 INLINE void fir_avx2(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase, int32_t taps)
{
    const __m128i bits = _mm_cvtsi32_si128(f->fine_bits);
    const __m256i half = _mm256_set1_epi32(1 << (f->fine_bits - 1));
    walk w = start(f);
    for (size_t i = 0; i < n; i += 8) {
        __m256i hi[8], lo[8];
        int32_t p;
        if (n - i >= 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                const int16_t *v = window(&w, x, phase, j, &p);
                dot_avx2(&hi[j], &lo[j], v, f->coefs + p * w.stride, taps);
            }
        } else {
            for (int j = 0; j < 8; j++) {
                hi[j] = lo[j] = _mm256_setzero_si256();
                if (i + (size_t)j < n) {
                    const int16_t *v = window(&w, x, phase, j, &p);
                    dot_avx2(&hi[j], &lo[j], v, f->coefs + p * w.stride, taps);
                }
            }
        }
        x = next_group(&w, x, &phase);
        __m256i y = finish(sums(hi), sums(lo), half, bits);
        __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
        if (n - i >= 8) {
            _mm_storeu_si128((__m128i *)(void *)(out + i), packed);
        } else {
            int16_t rest[8];
            _mm_storeu_si128((__m128i *)(void *)rest, packed);
            memcpy(out + i, rest, (n - i) * sizeof *out);
        }
    }
}

AVX2 void lw_fir_avx2(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    if (f->taps == 48)
        fir_avx2(out, n, x, f, phase, 48); /* up-sampling: voice */
    else if (f->taps == 80)
        fir_avx2(out, n, x, f, phase, 80); /* high */
    else
        fir_avx2(out, n, x, f, phase, f->taps);
}

AVX2 INLINE __m256i load_halves(const int16_t *low, const int16_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
                                   _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

AVX2 static void lay_out_avx2(streams *s, const int16_t *x, size_t samples, size_t step)
{
    /* Samples 0 1 3 4 of eight to the lower half of 128 bits; samples 3 4 6 7 to the upper. */
    const __m256i first_two =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 6, 7, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m256i last_two =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 6, 7, 8, 9, 12, 13, 14, 15));
    for (size_t m = 0; m < step; m++) {
        int32_t *to = s->pair + (ptrdiff_t)m * s->length;
        size_t pairs = pairs_in(samples, step, m), i = 0;
        if (step == 1)
            for (; i + 8 <= pairs; i += 8) {
                __m256i first = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(x + i)));
                __m256i second = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(x + i + 1)));
                _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_or_si256(first, _mm256_slli_epi32(second, 16)));
            }
        if (step == 2) {
            memcpy(to, x + m, pairs * sizeof *to);
            i = pairs;
        }
        if (step == 3) /* eight pairs of 24 samples, four in each half */
            for (; i + 8 <= pairs; i += 8) {
                const int16_t *at = x + m + 3 * i;
                __m256i a = _mm256_shuffle_epi8(load_halves(at, at + 12), first_two);
                __m256i b = _mm256_shuffle_epi8(load_halves(at + 3, at + 15), last_two);
                _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm256_or_si256(a, b));
            }
        lay_out_plain(to, x + m, step, i, pairs);
    }
}

/* One phase, 32 places from `pair`. */
AVX2 INLINE void block_avx2(int16_t *to, const int32_t *pair, ptrdiff_t length, int32_t at, const int16_t *c,
                            int32_t taps, int32_t step, __m256i half, __m128i bits)
{
    __m256i hi[4], lo[4];
    for (int v = 0; v < 4; v++)
        hi[v] = lo[v] = _mm256_setzero_si256();
    int32_t m = at % step;
    pair += at / step + m * length;
    for (int32_t group = 0; group < taps; group += 16, c += 32)
        for (int32_t k = 0; k < 16; k += 2) {
            int32_t coarse, fine;
            memcpy(&coarse, c + k, sizeof coarse);
            memcpy(&fine, c + 16 + k, sizeof fine);
            __m256i h = _mm256_set1_epi32(coarse), l = _mm256_set1_epi32(fine);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) {
                __m256i x = load(pair + 8 * v);
                hi[v] = _mm256_add_epi32(hi[v], _mm256_madd_epi16(x, h));
                lo[v] = _mm256_add_epi32(lo[v], _mm256_madd_epi16(x, l));
                IN_ORDER(hi[v]);
                IN_ORDER(lo[v]);
            }
            pair += two_on(&m, step, length);
        }
    for (int v = 0; v < 4; v += 2) {
        __m256i y = _mm256_packs_epi32(finish(hi[v], lo[v], half, bits), finish(hi[v + 1], lo[v + 1], half, bits));
        _mm256_storeu_si256((__m256i *)(void *)(to + 8 * v), _mm256_permute4x64_epi64(y, 0xD8));
    }
}

AVX2 static void phase_avx2(int16_t *to, const streams *s, size_t place, size_t places, int32_t at, const int16_t *c,
                            const lw_fir *f)
{
    const __m128i bits = _mm_cvtsi32_si128(f->fine_bits);
    const __m256i half = _mm256_set1_epi32(1 << (f->fine_bits - 1));
    for (size_t i = 0; i < places; i += 32) {
        const int32_t *pair = s->pair + place + i;
        switch (f->step) {
        case 1: block_avx2(to + i, pair, s->length, at, c, f->taps, 1, half, bits); break;
        case 2: block_avx2(to + i, pair, s->length, at, c, f->taps, 2, half, bits); break;
        case 3: block_avx2(to + i, pair, s->length, at, c, f->taps, 3, half, bits); break;
        default: block_avx2(to + i, pair, s->length, at, c, f->taps, f->step, half, bits);
        }
    }
}

/* Byte shuffles that weave eight places of each phase: [register of eight outputs][phase][byte]. */
typedef struct weaving {
    uint8_t order[BLOCK_STEP][BLOCK_STEP][16];
} weaving;

static inline void plan_weaving(weaving *w, size_t phases)
{
    memset(w->order, 0x80, phases * sizeof *w->order);
    size_t place = 0, phase = 0;
    for (size_t i = 0; i < 8 * phases; i++) {
        uint8_t *order = w->order[i / 8][phase] + 2 * (i % 8);
        order[0] = (uint8_t)(2 * place);
        order[1] = (uint8_t)(2 * place + 1);
        if (++phase == phases) {
            phase = 0;
            place++;
        }
    }
}

/* made[p][i] -> out[phases i + p]. What does not fill eight places is stored by samples. */
AVX2 static void weave_avx2(int16_t *out, int16_t made[][BLOCK], size_t phases, size_t places, const weaving *w)
{
    size_t i = 0;
    if (phases == 1) {
        memcpy(out, made[0], places * sizeof *out);
        return;
    }
    for (; i + 8 <= places; i += 8)
        for (size_t v = 0; v < phases; v++, out += 8) {
            __m128i y = _mm_setzero_si128();
            for (size_t p = 0; p < phases; p++)
                y = _mm_or_si128(y, _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(made[p] + i)),
                                                     _mm_loadu_si128((const __m128i *)(const void *)w->order[v][p])));
            _mm_storeu_si128((__m128i *)(void *)out, y);
        }
    for (; i < places; i++)
        for (size_t p = 0; p < phases; p++)
            *out++ = made[p][i];
}

AVX2 void lw_fir_block_avx2(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    if (suits_block(f, n)) {
        size_t step = (size_t)f->step, phases = (size_t)f->phases, samples;
        streams s;
        s.length = (BLOCK_INPUT + BLOCK_TAPS) / f->step + BLOCK + 8;
        rounds r = plan(f, phase);
        weaving w;
        plan_weaving(&w, phases);
        while (n >= phases) {
            size_t count = rounds_at_once(f, n, &r, &samples);
            lay_out_avx2(&s, x, samples, step);
            for (size_t i = 0; i < count; i += BLOCK) {
                size_t places = count - i < BLOCK ? count - i : BLOCK;
                int16_t made[BLOCK_STEP][BLOCK];
                for (size_t p = 0; p < phases; p++)
                    phase_avx2(made[p], &s, i, places, r.at[p], r.coefs[p], f);
                weave_avx2(out, made, phases, places, &w);
                out += places * phases;
            }
            n -= count * phases;
            x += count * step;
        }
    }
    if (n)
        lw_fir_avx2(out, n, x, f, phase);
}

/* ---- AVX-512 with VNNI ---- */

AVX512 INLINE __m512i load512(const void *p)
{
    return _mm512_loadu_si512(p);
}

/* Sums of eight registers' lower and upper halves: one a lane, in the same halves. */
AVX512 INLINE __m512i sums512(const __m512i v[8])
{
    __m512i pair[4], quad[2];
    for (int i = 0; i < 4; i++)
        pair[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                   _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 2; i++)
        quad[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pair[2 * i], pair[2 * i + 1]),
                                   _mm512_unpackhi_epi64(pair[2 * i], pair[2 * i + 1]));
    /* 128-bit parts: [first four, second four] of each half */
    __m512i even = _mm512_permutex2var_epi64(quad[0], _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), quad[1]);
    __m512i odd = _mm512_permutex2var_epi64(quad[0], _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), quad[1]);
    return _mm512_add_epi32(even, odd);
}

/* Coarse products in the lower half, fine ones in the upper. */
AVX512 INLINE __m512i dot_avx512(const int16_t *x, const int16_t *c, int32_t taps)
{
    __m512i a = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int32_t k = 0; k < taps; k += 16, c += 32)
        a = _mm512_dpwssd_epi32(a, _mm512_broadcast_i64x4(load(x + k)), load512(c));
    return a;
}

AVX512 INLINE void fir_avx512(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase, int32_t taps)
{
    const __m128i bits = _mm_cvtsi32_si128(f->fine_bits);
    const __m256i half = _mm256_set1_epi32(1 << (f->fine_bits - 1));
    walk w = start(f);
    for (size_t i = 0; i < n; i += 8) {
        __m512i both[8];
        int32_t p;
        if (n - i >= 8) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                const int16_t *v = window(&w, x, phase, j, &p);
                both[j] = dot_avx512(v, f->coefs + p * w.stride, taps);
            }
        } else {
            for (int j = 0; j < 8; j++) {
                both[j] = _mm512_setzero_si512();
                if (i + (size_t)j < n) {
                    const int16_t *v = window(&w, x, phase, j, &p);
                    both[j] = dot_avx512(v, f->coefs + p * w.stride, taps);
                }
            }
        }
        x = next_group(&w, x, &phase);
        __m512i all = sums512(both);
        __m256i y = finish(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1), half, bits);
        _mm_mask_storeu_epi16(out + i, n - i >= 8 ? 0xFF : (__mmask8)((1u << (n - i)) - 1), _mm256_cvtsepi32_epi16(y));
    }
}

AVX512 void lw_fir_avx512(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    if (f->taps == 48)
        fir_avx512(out, n, x, f, phase, 48); /* up-sampling: voice */
    else if (f->taps == 80)
        fir_avx512(out, n, x, f, phase, 80); /* high */
    else
        fir_avx512(out, n, x, f, phase, f->taps);
}

/* The pairs that `step` 3 or 4 takes out of 64 samples, 16 at a time. */
AVX512 INLINE size_t lay_out_permuted(int32_t *to, const int16_t *x, size_t step, size_t pairs)
{
    int32_t places[16];
    for (size_t i = 0; i < 16; i++)
        places[i] = (int32_t)(i * step | (i * step + 1) << 16);
    __m512i order = load512(places);
    size_t i = 0;
    for (; i + 32 <= pairs; i += 16) /* so far from the end that whole registers can be read */
        _mm512_storeu_si512(to + i, _mm512_permutex2var_epi16(load512(x + i * step), order, load512(x + i * step + 32)));
    return i;
}

AVX512 static void lay_out_avx512(streams *s, const int16_t *x, size_t samples, size_t step)
{
    for (size_t m = 0; m < step; m++) {
        int32_t *to = s->pair + (ptrdiff_t)m * s->length;
        size_t pairs = pairs_in(samples, step, m), i = 0;
        if (step == 1)
            for (; i + 16 <= pairs; i += 16)
                _mm512_storeu_si512(to + i,
                                    _mm512_or_si512(_mm512_cvtepu16_epi32(load(x + i)),
                                                    _mm512_slli_epi32(_mm512_cvtepu16_epi32(load(x + i + 1)), 16)));
        if (step == 2) {
            memcpy(to, x + m, pairs * sizeof *to);
            i = pairs;
        }
        if (step == 3 || step == 4)
            i = lay_out_permuted(to, x + m, step, pairs);
        lay_out_plain(to, x + m, step, i, pairs);
    }
}

/* One phase, 16 `v` places from `pair`. */
AVX512 INLINE void block_avx512(int16_t *to, const int32_t *pair, ptrdiff_t length, int32_t at, const int16_t *c,
                                int32_t taps, int32_t step, int count, __m512i half, __m128i bits)
{
    __m512i hi[4], lo[4];
    for (int v = 0; v < count; v++)
        hi[v] = lo[v] = _mm512_setzero_si512();
    int32_t m = at % step;
    pair += at / step + m * length;
    for (int32_t group = 0; group < taps; group += 16, c += 32)
#pragma GCC unroll 2
        for (int32_t k = 0; k < 16; k += 2) {
            int32_t coarse, fine;
            memcpy(&coarse, c + k, sizeof coarse);
            memcpy(&fine, c + 16 + k, sizeof fine);
            __m512i h = _mm512_set1_epi32(coarse), l = _mm512_set1_epi32(fine);
#pragma GCC unroll 4
            for (int v = 0; v < count; v++) {
                __m512i x = load512(pair + 16 * v);
                hi[v] = _mm512_dpwssd_epi32(hi[v], x, h);
                lo[v] = _mm512_dpwssd_epi32(lo[v], x, l);
            }
            pair += two_on(&m, step, length);
        }
    const __m512i one = _mm512_set1_epi32(1 << 13);
    for (int v = 0; v < count; v++) {
        __m512i y = _mm512_add_epi32(hi[v], _mm512_sra_epi32(_mm512_add_epi32(lo[v], half), bits));
        y = _mm512_srai_epi32(_mm512_add_epi32(y, one), 14);
        _mm256_storeu_si256((__m256i *)(void *)(to + 16 * v), _mm512_cvtsepi32_epi16(y));
    }
}

AVX512 INLINE void phase_step_avx512(int16_t *to, const int32_t *pair, size_t places, ptrdiff_t length, int32_t at,
                                     const int16_t *c, const lw_fir *f, int32_t step)
{
    const __m128i bits = _mm_cvtsi32_si128(f->fine_bits);
    const __m512i half = _mm512_set1_epi32(1 << (f->fine_bits - 1));
    if (places > 32)
        block_avx512(to, pair, length, at, c, f->taps, step, 4, half, bits);
    else
        block_avx512(to, pair, length, at, c, f->taps, step, 2, half, bits);
}

AVX512 static void phase_avx512(int16_t *to, const streams *s, size_t place, size_t places, int32_t at,
                                const int16_t *c, const lw_fir *f)
{
    const int32_t *pair = s->pair + place;
    switch (f->step) {
    case 1: phase_step_avx512(to, pair, places, s->length, at, c, f, 1); break;
    case 2: phase_step_avx512(to, pair, places, s->length, at, c, f, 2); break;
    case 3: phase_step_avx512(to, pair, places, s->length, at, c, f, 3); break;
    default: phase_step_avx512(to, pair, places, s->length, at, c, f, f->step);
    }
}

/* made[p][i] -> out[phases i + p]: output g is place g / phases of phase g mod phases. */
AVX512 static void weave_avx512(int16_t *out, int16_t made[][BLOCK], size_t phases, size_t places)
{
    if (phases == 1) {
        memcpy(out, made[0], places * sizeof *out);
        return;
    }
    int16_t count[32];
    for (int i = 0; i < 32; i++)
        count[i] = (int16_t)i;
    const __m512i lane = load512(count), many = _mm512_set1_epi16((int16_t)phases);
    const __m512i inverse = _mm512_set1_epi16((int16_t)(65536 / phases + 1)); /* exact for g < 1024 */
    for (size_t g = 0; g < places * phases; g += 32) {
        __m512i at = _mm512_add_epi16(lane, _mm512_set1_epi16((int16_t)g));
        __m512i place = phases == 2 ? _mm512_srli_epi16(at, 1) : _mm512_mulhi_epu16(at, inverse);
        __m512i phase = _mm512_sub_epi16(at, _mm512_mullo_epi16(place, many));
        __m512i y = _mm512_setzero_si512();
        for (size_t p = 0; p < phases; p++)
            y = _mm512_mask_mov_epi16(y, _mm512_cmpeq_epi16_mask(phase, _mm512_set1_epi16((int16_t)p)),
                                      _mm512_permutex2var_epi16(load512(made[p]), place, load512(made[p] + 32)));
        size_t left = places * phases - g;
        _mm512_mask_storeu_epi16(out + g, left >= 32 ? ~0u : (1u << left) - 1, y);
    }
}

AVX512 void lw_fir_block_avx512(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    if (suits_block(f, n)) {
        size_t step = (size_t)f->step, phases = (size_t)f->phases, samples;
        streams s;
        s.length = (BLOCK_INPUT + BLOCK_TAPS) / f->step + BLOCK + 8;
        rounds r = plan(f, phase);
        while (n >= phases) {
            size_t count = rounds_at_once(f, n, &r, &samples);
            lay_out_avx512(&s, x, samples, step);
            for (size_t i = 0; i < count; i += BLOCK) {
                size_t places = count - i < BLOCK ? count - i : BLOCK;
                int16_t made[BLOCK_STEP][BLOCK];
                for (size_t p = 0; p < phases; p++)
                    phase_avx512(made[p], &s, i, places, r.at[p], r.coefs[p], f);
                weave_avx512(out, made, phases, places);
                out += places * phases;
            }
            n -= count * phases;
            x += count * step;
        }
    }
    if (n)
        lw_fir_avx512(out, n, x, f, phase);
}

#endif
