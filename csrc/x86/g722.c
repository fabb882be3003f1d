/* G.722 of one channel on AVX2.
 *
 * The filter bank: eight pairs at a time, one multiply-add of two samples a tap.
 *
 * The decoder runs the block through five loops, each with one short recursion or none: the scale factors and with them
 * the differences; the zero section's coefficients; its sums, eight steps at once; the pole section; the output. The
 * encoder cannot, as each step's quantiser waits for the last step's prediction: it is one loop of little more than its
 * latency, with the search for the fine bits, which nothing waits for, in a second one.
 *
 * A vector is both bands, the lower one in the lower half. A number of a band fills its half; the zero section has a
 * lane a tap, the quantiser a lane a level. */
#if defined(__x86_64__)
#include <string.h>

#include "dsp.h"
#include "g722.h"
#include "x86.h"

#define SET1(x) _mm256_set1_epi16(x)
#define ADD _mm256_add_epi16
#define SUB _mm256_sub_epi16
#define ADDS _mm256_adds_epi16
#define SUBS _mm256_subs_epi16
#define MIN _mm256_min_epi16
#define MAX _mm256_max_epi16
#define AND _mm256_and_si256
#define OR _mm256_or_si256
#define XOR _mm256_xor_si256
#define SLL _mm256_slli_epi16
#define SRL _mm256_srli_epi16
#define SRA _mm256_srai_epi16
#define MULHI _mm256_mulhi_epi16

enum { BLOCK = LW_G722_BLOCK, TAPS = LW_G722_TAPS };

/* ---- the filter bank ---- */

AVX2 INLINE __m256i load(const int16_t *x)
{
    return _mm256_loadu_si256((const __m256i *)x);
}

AVX2 INLINE __m256i pair(int16_t first, int16_t second)
{
    return _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)second << 16 | (uint16_t)first));
}

AVX2 INLINE void split8(int16_t *low, int16_t *high, const int16_t *x)
{
    __m256i l = _mm256_setzero_si256(), h = l;
    for (int k = 0; k < 12; k++) {
        int16_t first = lw_g722_qmf[k], second = lw_g722_qmf[11 - k];
        __m256i v = load(x + 2 * k);
        l = _mm256_add_epi32(l, _mm256_madd_epi16(v, pair(first, second)));
        h = _mm256_add_epi32(h, _mm256_madd_epi16(v, pair((int16_t)-first, second)));
    }
    __m256i both = _mm256_packs_epi32(_mm256_srai_epi32(l, 14), _mm256_srai_epi32(h, 14));
    both = _mm256_permute4x64_epi64(both, 0xD8);
    both = MAX(MIN(both, SET1(16383)), SET1(-16384));
    _mm_storeu_si128((__m128i *)low, _mm256_castsi256_si128(both));
    _mm_storeu_si128((__m128i *)high, _mm256_extracti128_si256(both, 1));
}

AVX2 void lw_g722_split_avx2(int16_t *low, int16_t *high, const int16_t *x, size_t n)
{
    if (n < 8) {
        lw_g722_split_c(low, high, x, n);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8)
        split8(low + i, high + i, x + 2 * i);
    if (n & 7)
        split8(low + n - 8, high + n - 8, x + 2 * (n - 8));
}

AVX2 INLINE void join8(int16_t *pcm, const int16_t *x)
{
    __m256i sum = _mm256_setzero_si256(), difference = sum;
    for (int k = 0; k < 12; k++) {
        __m256i v = load(x + 2 * k);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(v, pair(lw_g722_qmf[k], 0)));
        difference = _mm256_add_epi32(difference, _mm256_madd_epi16(v, pair(0, lw_g722_qmf[11 - k])));
    }
    const __m256i interleave = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    __m256i both = _mm256_packs_epi32(_mm256_srai_epi32(difference, 11), _mm256_srai_epi32(sum, 11));
    _mm256_storeu_si256((__m256i *)pcm, _mm256_shuffle_epi8(both, interleave));
}

AVX2 void lw_g722_join_avx2(int16_t *pcm, const int16_t *x, size_t n)
{
    if (n < 8) {
        lw_g722_join_c(pcm, x, n);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8)
        join8(pcm + 2 * i, x + 2 * i);
    if (n & 7)
        join8(pcm + 2 * (n - 8), x + 2 * (n - 8));
}

/* ---- both bands in one vector ---- */

AVX2 INLINE __m256i both(int32_t low, int32_t high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi16((int16_t)low)),
                                   _mm_set1_epi16((int16_t)high), 1);
}

AVX2 INLINE __m256i both_of(const int16_t *low, const int16_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)low)),
                                   _mm_loadu_si128((const __m128i *)high), 1);
}

AVX2 INLINE void store_both(int16_t *low, int16_t *high, __m256i v)
{
    _mm_storeu_si128((__m128i *)low, _mm256_castsi256_si128(v));
    _mm_storeu_si128((__m128i *)high, _mm256_extracti128_si256(v, 1));
}

AVX2 INLINE __m256i mul15(__m256i a, __m256i b)
{
    __m256i high = MULHI(a, b);
    return OR(ADD(high, high), SRL(_mm256_mullo_epi16(a, b), 15));
}

/* 128 in the lanes of the six taps. */
AVX2 INLINE __m256i moves(void)
{
    return _mm256_setr_epi16(128, 128, 128, 128, 128, 128, 0, 0, 128, 128, 128, 128, 128, 128, 0, 0);
}

/* The zero section's coefficients after the difference d. */
AVX2 INLINE __m256i zero_section(__m256i b, __m256i delayed, __m256i d)
{
    __m256i away = SRA(XOR(delayed, d), 15);
    __m256i move = _mm256_andnot_si256(_mm256_cmpeq_epi16(d, _mm256_setzero_si256()), moves());
    return ADD(ADD(b, SUB(XOR(move, away), away)), MULHI(b, SET1(-256)));
}

/* The pole section's coefficients; same and other are -1 or 0 by the signs of p. */
AVX2 INLINE void pole_section(__m256i *a1, __m256i *a2, __m256i other1, __m256i other2)
{
    __m256i quad = ADDS(*a1, *a1), same1 = XOR(other1, SET1(-1));
    quad = ADDS(quad, quad);
    quad = SRA(SUBS(XOR(quad, same1), same1), 7);
    __m256i rest = ADD(SUB(XOR(SET1(128), other2), other2), ADD(*a2, MULHI(*a2, SET1(-512))));
    __m256i next1 = ADD(SUB(XOR(SET1(192), other1), other1), ADD(*a1, MULHI(*a1, SET1(-256))));
    *a2 = MAX(MIN(ADD(quad, rest), SET1(12288)), SET1(-12288));
    *a1 = MAX(MIN(next1, SUB(SET1(15360), *a2)), ADD(*a2, SET1(-15360)));
}

/* ---- the decoder ---- */

/* By the coarse code: level and step of the scale factor. */
static const int16_t coarse_level[16] = {0,     -20456, -12896, -8968, -6288, -4240, -2584, -1200,
                                         20456, 12896,  8968,   6288,  4240,  2584,  1200,  0};
static const int16_t coarse_step[16] = {-60,  3042, 1198, 538, 334, 172, 58, -30,
                                        3042, 1198, 538,  334, 172, 58,  -30, -60};
static const int16_t high_level[4] = {-LW_G722_HIGH_OUTER, -LW_G722_HIGH_INNER, LW_G722_HIGH_OUTER, LW_G722_HIGH_INNER};
static const int16_t high_step[4] = {LW_G722_HIGH_STEP_OUTER, LW_G722_HIGH_STEP_INNER, LW_G722_HIGH_STEP_OUTER,
                                     LW_G722_HIGH_STEP_INNER};

/* A block's arrays; those with two columns hold both bands' numbers of a step side by side. */
typedef struct work {
    int16_t low[TAPS + BLOCK + 8], high[TAPS + BLOCK + 8]; /* 2 d, behind the delay line */
    int16_t products[BLOCK][16] __attribute__((aligned(32)));
    int16_t low_sz[BLOCK + 8], high_sz[BLOCK + 8];         /* before step t */
    int16_t low_p[BLOCK + 10], high_p[BLOCK + 10];         /* from two steps back */
    int16_t d[BLOCK + 8][2], sz[BLOCK + 8][2], other1[BLOCK + 8][2], other2[BLOCK + 8][2];
    int16_t out[BLOCK + 8][2], s[BLOCK + 8][2];
} work;

AVX2 INLINE void store_columns(int16_t (*to)[2], __m256i v)
{
    __m128i low = _mm256_castsi256_si128(v), high = _mm256_extracti128_si256(v, 1);
    _mm_storeu_si128((__m128i *)to[0], _mm_unpacklo_epi16(low, high));
    _mm_storeu_si128((__m128i *)to[4], _mm_unpackhi_epi16(low, high));
}

AVX2 INLINE __m128i two(const int16_t *x)
{
    int32_t word;
    memcpy(&word, x, sizeof word);
    return _mm_cvtsi32_si128(word);
}

AVX2 INLINE int32_t rescale(int32_t *nb, int32_t step, int32_t top, int32_t base)
{
    int32_t next = *nb - ((*nb + 127) >> 7) + step;
    next = next < 0 ? 0 : next;
    *nb = next > top ? top : next;
    return lw_g722_scales[base + (*nb >> 6)];
}

AVX2 INLINE void differences(work *w, const uint8_t *codes, size_t n, const int16_t *level, lw_g722_state *state)
{
    int32_t low_nb = state->low.nb, high_nb = state->high.nb, low_det = state->low.det, high_det = state->high.det;
    for (size_t t = 0; t < n; t++) {
        int32_t code = codes[t], coarse = code >> 2 & 15, top = code >> 6;
        int32_t high = (high_det * high_level[top]) >> 15;
        w->out[t][0] = (int16_t)((low_det * level[code & 63]) >> 15);
        w->out[t][1] = (int16_t)high;
        w->low[TAPS + t] = (int16_t)(((low_det * coarse_level[coarse]) >> 15) * 2);
        w->high[TAPS + t] = (int16_t)(high * 2);
        low_det = rescale(&low_nb, coarse_step[coarse], LW_G722_LOW_TOP, LW_G722_LOW_BASE);
        high_det = rescale(&high_nb, high_step[top], LW_G722_HIGH_TOP, LW_G722_HIGH_BASE);
    }
    state->low.nb = (int16_t)low_nb, state->high.nb = (int16_t)high_nb;
    state->low.det = (int16_t)low_det, state->high.det = (int16_t)high_det;
}

/* Eight steps' products, a step a row, become eight sums, taps oldest first as the Recommendation adds them. */
AVX2 INLINE __m256i sums(const int16_t (*rows)[16])
{
    __m256i x[8], y[8];
    for (int k = 0; k < 8; k++)
        x[k] = _mm256_load_si256((const __m256i *)rows[k]);
    for (int k = 0; k < 4; k++) {
        y[k] = _mm256_unpacklo_epi16(x[2 * k], x[2 * k + 1]);     /* taps 0..3 of two steps */
        y[k + 4] = _mm256_unpackhi_epi16(x[2 * k], x[2 * k + 1]); /* 4 and 5 */
    }
    for (int k = 0; k < 8; k += 2)
        x[k] = _mm256_unpacklo_epi32(y[k], y[k + 1]), x[k + 1] = _mm256_unpackhi_epi32(y[k], y[k + 1]);
    __m256i sum = ADDS(_mm256_unpacklo_epi64(x[0], x[2]), _mm256_unpackhi_epi64(x[0], x[2]));
    sum = ADDS(sum, _mm256_unpacklo_epi64(x[1], x[3]));
    sum = ADDS(sum, _mm256_unpackhi_epi64(x[1], x[3]));
    sum = ADDS(sum, _mm256_unpacklo_epi64(x[4], x[6]));
    return ADDS(sum, _mm256_unpackhi_epi64(x[4], x[6]));
}

AVX2 INLINE void zeros(work *w, size_t n, lw_g722_state *state)
{
    const __m256i seventh = SET1(0x0D0C); /* the byte pair of lane 6: this step's difference in the window before it */
    __m256i b = both_of(state->low.b, state->high.b), window = both_of(w->low, w->high);
    for (size_t t = 0; t < n; t++) {
        b = zero_section(b, window, _mm256_shuffle_epi8(window, seventh));
        window = both_of(w->low + t + 1, w->high + t + 1);
        _mm256_store_si256((__m256i *)w->products[t], mul15(b, window));
    }
    store_both(state->low.b, state->high.b, b);
    w->low_sz[0] = state->low.sz, w->high_sz[0] = state->high.sz;
    if (n & 7)
        memset(w->products[n], 0, (8 - (n & 7)) * sizeof *w->products);
    for (size_t t = 0; t < n; t += 8) {
        /* One further on, where it is what the next step begins with. The last of eight is carried over the end. */
        __m256i sum = sums((const int16_t(*)[16])w->products + t);
        store_both(w->low_sz + t + 1, w->high_sz + t + 1, sum);
        store_columns(w->sz + t, sum);
    }
    state->low.sz = w->sz[n - 1][0], state->high.sz = w->sz[n - 1][1];
}

AVX2 INLINE void signs(work *w, size_t n, lw_g722_state *state)
{
    w->low_p[0] = state->low.p2, w->low_p[1] = state->low.p1;
    w->high_p[0] = state->high.p2, w->high_p[1] = state->high.p1;
    for (size_t t = 0; t < n; t += 8) {
        __m256i d = SRA(both_of(w->low + TAPS + t, w->high + TAPS + t), 1);
        __m256i p = SRA(ADDS(both_of(w->low_sz + t, w->high_sz + t), d), 15);
        store_both(w->low_p + t + 2, w->high_p + t + 2, p);
        store_columns(w->d + t, d);
        store_columns(w->other1 + t, XOR(p, both_of(w->low_p + t + 1, w->high_p + t + 1)));
        store_columns(w->other2 + t, XOR(p, both_of(w->low_p + t, w->high_p + t)));
    }
    state->low.p2 = w->low_p[n], state->low.p1 = w->low_p[n + 1];
    state->high.p2 = w->high_p[n], state->high.p1 = w->high_p[n + 1];
}

/* The recursion that is left, both bands in the first two lanes. */
AVX2 INLINE void poles(work *w, size_t n, lw_g722_state *state)
{
    const lw_g722_band *l = &state->low, *h = &state->high;
    __m128i a1 = two((int16_t[2]){l->a1, h->a1}), a2 = two((int16_t[2]){l->a2, h->a2});
    __m128i r = two((int16_t[2]){l->r, h->r}), s = two((int16_t[2]){l->s, h->s});
    for (size_t t = 0; t < n; t++) {
        int32_t before = _mm_cvtsi128_si32(s);
        memcpy(w->s[t], &before, sizeof before);
        __m128i other1 = two(w->other1[t]), other2 = two(w->other2[t]);
        __m128i same1 = _mm_xor_si128(other1, _mm_set1_epi16(-1));
        __m128i quad = _mm_adds_epi16(a1, a1);
        quad = _mm_adds_epi16(quad, quad);
        quad = _mm_srai_epi16(_mm_subs_epi16(_mm_xor_si128(quad, same1), same1), 7);
        __m128i rest = _mm_add_epi16(_mm_sub_epi16(_mm_xor_si128(_mm_set1_epi16(128), other2), other2),
                                     _mm_add_epi16(a2, _mm_mulhi_epi16(a2, _mm_set1_epi16(-512))));
        __m128i next1 = _mm_add_epi16(_mm_sub_epi16(_mm_xor_si128(_mm_set1_epi16(192), other1), other1),
                                      _mm_add_epi16(a1, _mm_mulhi_epi16(a1, _mm_set1_epi16(-256))));
        a2 = _mm_max_epi16(_mm_min_epi16(_mm_add_epi16(quad, rest), _mm_set1_epi16(12288)), _mm_set1_epi16(-12288));
        a1 = _mm_max_epi16(_mm_min_epi16(next1, _mm_sub_epi16(_mm_set1_epi16(15360), a2)),
                           _mm_add_epi16(a2, _mm_set1_epi16(-15360)));

        /* a1 r and a2 r' in one multiplication */
        __m128i next = _mm_adds_epi16(s, two(w->d[t]));
        next = _mm_adds_epi16(next, next);
        __m128i a = _mm_unpacklo_epi32(a1, a2), x = _mm_unpacklo_epi32(next, r), high = _mm_mulhi_epi16(a, x);
        x = _mm_or_si128(_mm_add_epi16(high, high), _mm_srli_epi16(_mm_mullo_epi16(a, x), 15));
        s = _mm_adds_epi16(_mm_adds_epi16(x, _mm_srli_epi64(x, 32)), two(w->sz[t]));
        r = next;
    }
    int32_t word[4] = {_mm_cvtsi128_si32(a1), _mm_cvtsi128_si32(a2), _mm_cvtsi128_si32(r), _mm_cvtsi128_si32(s)};
    int16_t last[8];
    memcpy(last, word, sizeof last);
    state->low.a1 = last[0], state->low.a2 = last[2], state->low.r = last[4], state->low.s = last[6];
    state->high.a1 = last[1], state->high.a2 = last[3], state->high.r = last[5], state->high.s = last[7];
}

AVX2 void lw_g722_decode_avx2(int16_t *pairs, const uint8_t *codes, size_t n, const int16_t level[64],
                                lw_g722_state *state)
{
    work w;
    if (!n)
        return;
    memcpy(w.low, state->low.d, TAPS * sizeof *w.low);
    memcpy(w.high, state->high.d, TAPS * sizeof *w.high);
    differences(&w, codes, n, level, state);
    memset(w.low + TAPS + n, 0, 8 * sizeof *w.low); /* read, for lanes that nothing looks at */
    memset(w.high + TAPS + n, 0, 8 * sizeof *w.high);
    zeros(&w, n, state);
    memcpy(state->low.d, w.low + n, TAPS * sizeof *w.low);
    memcpy(state->high.d, w.high + n, TAPS * sizeof *w.high);
    signs(&w, n, state);
    poles(&w, n, state);
    for (size_t t = 0; t < n; t += 8) {
        __m256i y = ADDS(load(w.s[t]), load(w.out[t])); /* low, high, low, high... */
        y = MAX(MIN(y, SET1(16383)), SET1(-16384));
        __m256i swapped = OR(_mm256_slli_epi32(y, 16), _mm256_srli_epi32(y, 16));
        __m256i result = _mm256_blend_epi16(ADD(y, swapped), SUB(swapped, y), 0xAA);
        if (n - t >= 8)
            _mm256_storeu_si256((__m256i *)(pairs + 2 * t), result);
        else {
            int16_t last[16];
            _mm256_storeu_si256((__m256i *)last, result);
            memcpy(pairs + 2 * t, last, (n - t) * 2 * sizeof *last);
        }
    }
}

/* ---- the encoder ---- */

/* The greatest, or the sum, of each half's eight lanes, in all of them. */
AVX2 INLINE __m256i neighbours(__m256i v)
{
    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(
                                      _mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)));
}

AVX2 INLINE __m256i greatest(__m256i v)
{
    v = MAX(v, _mm256_shuffle_epi32(v, 0x4E));
    v = MAX(v, _mm256_shuffle_epi32(v, 0xB1));
    return MAX(v, neighbours(v));
}

AVX2 INLINE __m256i total(__m256i v)
{
    v = ADD(v, _mm256_shuffle_epi32(v, 0x4E));
    v = ADD(v, _mm256_shuffle_epi32(v, 0xB1));
    return ADD(v, neighbours(v));
}

/* The same with every addition saturated, oldest tap first: seldom needed. */
AVX2 static __attribute__((noinline)) __m256i careful_total(__m256i v)
{
    int16_t x[16];
    int32_t sum[2] = {0, 0};
    _mm256_storeu_si256((__m256i *)x, v);
    for (int half = 0; half < 2; half++)
        for (int k = 0; k < TAPS; k++)
            sum[half] = lw_sat16(sum[half] + x[8 * half + k]);
    return both(sum[0], sum[1]);
}

AVX2 INLINE __m256i table(const int16_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* Through memory: a shift by a vector and a table of 32 words in vectors take longer. */
AVX2 INLINE __m256i scale_of(__m256i nb)
{
    uint32_t low = (uint32_t)_mm256_extract_epi16(nb, 0), high = (uint32_t)_mm256_extract_epi16(nb, 8);
    return both(lw_g722_scales[LW_G722_LOW_BASE + (low >> 6)], lw_g722_scales[LW_G722_HIGH_BASE + (high >> 6)]);
}

/* The fine bits. Nothing in the loop before depends on them: they are found from what it left, all 29 thresholds at
 * once. */
AVX2 INLINE void fine_codes(uint8_t *codes, const int16_t (*e)[16], const int16_t (*scale)[16], size_t n)
{
    static const int16_t q[32] = {0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858,
                                  940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 0, 0};
    static const uint8_t code_of[2][32] = {{0,  61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47,
                                            46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 0},
                                           {0,  63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19,
                                            18, 17, 16, 15, 14, 13, 12, 11, 10, 9,  8,  7,  6,  5,  4,  0}};
    const __m256i lower = SLL(load(q), 4), upper = SLL(load(q + 16), 4);
    for (size_t t = 0; t < n; t++) {
        __m256i det = table(scale[t]), error = table(e[t]), magnitude = XOR(error, SRA(error, 15));
        __m256i above = _mm256_packs_epi16(_mm256_cmpgt_epi16(_mm256_mulhi_epu16(lower, det), magnitude),
                                           _mm256_cmpgt_epi16(_mm256_mulhi_epu16(upper, det), magnitude));
        int32_t level = 30 - __builtin_popcount((uint32_t)_mm256_movemask_epi8(above)); /* 1..30 */
        int32_t high = e[t][8];
        uint32_t inner = (high ^ (high >> 31)) < (LW_G722_HIGH_THRESHOLD * scale[t][8]) >> 12;
        uint32_t negative = (uint16_t)e[t][0] >> 15, upper_negative = (uint16_t)high >> 15; /* no branch: it is noise */
        codes[t] = (uint8_t)(((upper_negative ^ 1) << 1 | inner) << 6 | code_of[negative][level]);
    }
}

AVX2 INLINE void spread(lw_g722_band *low, lw_g722_band *high, size_t offset, __m256i v)
{
    int16_t l = (int16_t)_mm256_extract_epi16(v, 0), h = (int16_t)_mm256_extract_epi16(v, 8);
    memcpy((uint8_t *)low + offset, &l, sizeof l);
    memcpy((uint8_t *)high + offset, &h, sizeof h);
}

AVX2 void lw_g722_encode_avx2(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, lw_g722_state *state)
{
    /* A lane a magnitude; the upper band has two of the eight. Lane 0's threshold is always reached. */
    const __m256i thresholds = SLL(_mm256_setr_epi16(0, 72, 233, 422, 650, 940, 1339, 1980,
                                                     0, LW_G722_HIGH_THRESHOLD, 0, 0, 0, 0, 0, 0), 4);
    const __m256i levels = _mm256_setr_epi16(0, 1200, 2584, 4240, 6288, 8968, 12896, 20456, LW_G722_HIGH_INNER,
                                             LW_G722_HIGH_OUTER, 0, 0, 0, 0, 0, 0);
    const __m256i steps = _mm256_setr_epi16(-60, -30, 58, 172, 334, 538, 1198, 3042, LW_G722_HIGH_STEP_INNER,
                                            LW_G722_HIGH_STEP_OUTER, -32000, -32000, -32000, -32000, -32000, -32000);
    const __m256i top = both(LW_G722_LOW_TOP, LW_G722_HIGH_TOP), zero = _mm256_setzero_si256();
    int16_t errors[BLOCK][16] __attribute__((aligned(32))), scales[BLOCK][16] __attribute__((aligned(32)));
    lw_g722_band *l = &state->low, *h = &state->high;
    __m256i s = both(l->s, h->s), sz = both(l->sz, h->sz), a1 = both(l->a1, h->a1), a2 = both(l->a2, h->a2);
    __m256i r = both(l->r, h->r), p1 = both(l->p1, h->p1), p2 = both(l->p2, h->p2), nb = both(l->nb, h->nb);
    __m256i det = both(l->det, h->det), b = both_of(l->b, h->b), delayed = both_of(l->d, h->d);
    for (size_t t = 0; t < n; t++) {
        /* Ready before the error is: thresholds, magnitudes of the differences (rounded down for a positive, up for a
         * negative one), log scale factors, each for all levels. They grow with the level, so the one to take is the
         * greatest whose threshold is reached. */
        __m256i threshold = _mm256_mulhi_epu16(thresholds, det);
        __m256i product = _mm256_mullo_epi16(levels, det), upper = MULHI(levels, det);
        __m256i down = OR(ADD(upper, upper), SRL(product, 15));
        __m256i fraction = ADD(SET1(1), _mm256_cmpeq_epi16(SLL(product, 1), zero));
        __m256i next_nb = MAX(MIN(ADD(ADD(nb, MULHI(nb, SET1(-512))), steps), top), zero);

        __m256i e = SUBS(both(low[t], high[t]), s), sign = SRA(e, 15);
        __m256i beyond = _mm256_cmpgt_epi16(threshold, XOR(e, sign));
        __m256i d = greatest(_mm256_andnot_si256(beyond, ADD(down, AND(fraction, sign))));
        d = SUB(XOR(d, sign), sign);
        _mm256_store_si256((__m256i *)errors[t], e);
        _mm256_store_si256((__m256i *)scales[t], det);
        nb = greatest(_mm256_andnot_si256(beyond, next_nb));
        det = scale_of(nb);

        __m256i p = SRA(ADDS(sz, d), 15), next = ADDS(s, d);
        next = ADDS(next, next);
        b = zero_section(b, delayed, d);
        delayed = _mm256_blend_epi16(_mm256_srli_si256(delayed, 2), ADD(d, d), 1 << (TAPS - 1));
        __m256i terms = mul15(b, delayed);
        /* Six terms of less than 2^15 / 6 cannot saturate in any order. */
        if (__builtin_expect(_mm256_movemask_epi8(_mm256_cmpgt_epi16(_mm256_abs_epi16(terms), SET1(5460))), 0))
            sz = careful_total(terms);
        else
            sz = total(terms);
        pole_section(&a1, &a2, XOR(p, p1), XOR(p, p2));
        s = ADDS(ADDS(mul15(a1, next), mul15(a2, r)), sz);
        r = next;
        p2 = p1;
        p1 = p;
    }
    fine_codes(codes, (const int16_t(*)[16])errors, (const int16_t(*)[16])scales, n);
    store_both(l->b, h->b, b);
    store_both(l->d, h->d, delayed);
    spread(l, h, offsetof(lw_g722_band, s), s), spread(l, h, offsetof(lw_g722_band, sz), sz);
    spread(l, h, offsetof(lw_g722_band, a1), a1), spread(l, h, offsetof(lw_g722_band, a2), a2);
    spread(l, h, offsetof(lw_g722_band, r), r), spread(l, h, offsetof(lw_g722_band, nb), nb);
    spread(l, h, offsetof(lw_g722_band, p1), p1), spread(l, h, offsetof(lw_g722_band, p2), p2);
    spread(l, h, offsetof(lw_g722_band, det), det);
}
#endif
