/* Sprites for AVX2 and AVX-512.
 *
 * Sums of neighbours are kept in 16 bits, those of even pixels apart from those of odd ones: a row as it is in memory
 * makes pairs for the even ones, a row from its second byte on for the odd ones, and a pixel is the upper byte of its
 * sum. What alpha leaves of a pixel is one multiplication, too: the pixel in the upper byte, 255 - alpha in both bytes, of
 * which the upper half is their product + product / 256 (lw_faded).
 *
 * A level line follows a row of the sprite until it steps to the next one: of the vectors that hold the row and the one
 * below, the rest is loaded anew there.
 *
 * AVX-512 ends a row with a masked vector; AVX2 with one that goes through a buffer. Sprites are readable past their
 * ends (LW_PIXEL_PAD), so only dst needs that care. */
#if defined(__x86_64__)
#include <string.h>

#include "dsp.h"
#include "pixels.h"
#include "x86.h"

/* Pairs (16 - f, f) of bytes. */
#define PAIR(f) ((int16_t)(16 + 255 * (f)))

/* ---- AVX2 ---- */

typedef struct halves256 {
    __m256i even, odd;
} halves256;

/* n < 32 bytes, in pieces whose sizes the compiler knows: all rows of a piece take the same branches. */
static inline void few(uint8_t *to, const uint8_t *from, size_t n)
{
#pragma GCC unroll 5
    for (size_t size = 16; size; size /= 2)
        if (n & size) {
            memcpy(to, from, size);
            to += size;
            from += size;
        }
}

AVX2 INLINE __m256i get256(const uint8_t *p, ptrdiff_t left)
{
    uint8_t part[32] = {0};
    if (left >= 32)
        return LOAD256(p);
    few(part, p, (size_t)left);
    return LOAD256(part);
}

AVX2 INLINE void put256(uint8_t *p, __m256i v, ptrdiff_t left)
{
    uint8_t part[32];
    if (left >= 32) {
        STORE256(p, v);
        return;
    }
    STORE256(part, v);
    few(p, part, (size_t)left);
}

AVX2 INLINE __m256i join256(halves256 s)
{
    return _mm256_or_si256(_mm256_srli_epi16(s.even, 8), _mm256_and_si256(s.odd, _mm256_set1_epi16((int16_t)0xff00)));
}

/* One byte of each 16 bits, twice. */
AVX2 INLINE __m256i twice256(__m256i v, int upper)
{
    const __m256i low = _mm256_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, 0, 0, 2, 2, 4, 4, 6, 6, 8,
                                         8, 10, 10, 12, 12, 14, 14);
    return _mm256_shuffle_epi8(v, upper ? _mm256_or_si256(low, _mm256_set1_epi8(1)) : low);
}

/* 255 - alpha in both bytes, from bytes and from sums. */
AVX2 INLINE halves256 inverse256(__m256i alpha)
{
    const __m256i inverse = _mm256_xor_si256(alpha, _mm256_set1_epi8(-1));
    return (halves256){twice256(inverse, 0), twice256(inverse, 1)};
}

AVX2 INLINE halves256 inverse_of256(halves256 sum)
{
    const __m256i ones = _mm256_set1_epi8(-1);
    return (halves256){twice256(_mm256_xor_si256(sum.even, ones), 1), twice256(_mm256_xor_si256(sum.odd, ones), 1)};
}

AVX2 INLINE __m256i over256(__m256i d, __m256i v, halves256 inverse)
{
    const __m256i high = _mm256_set1_epi16((int16_t)0xff00), half = _mm256_set1_epi16(128);
    const halves256 left = {_mm256_add_epi16(_mm256_mulhi_epu16(_mm256_slli_epi16(d, 8), inverse.even), half),
                            _mm256_add_epi16(_mm256_mulhi_epu16(_mm256_and_si256(d, high), inverse.odd), half)};
    return _mm256_adds_epu8(join256(left), v);
}

AVX2 void lw_blend_avx2(const lw_patch *p)
{
    if (!p->alpha) {
        lw_blend_c(p);
        return;
    }
    for (ptrdiff_t j = 0; j < p->rows; j++)
        for (ptrdiff_t i = 0; i < p->n; i += 32) {
            const halves256 inverse = inverse256(LOAD256(p->alpha + j * p->pitch + i));
            for (int k = 0; k < p->count; k++) {
                uint8_t *dst = p->dst[k] + j * p->dst_pitch + i;
                const __m256i v = LOAD256(p->value[k] + j * p->pitch + i);
                put256(dst, over256(get256(dst, p->n - i), v, inverse), p->n - i);
            }
        }
}

AVX2 INLINE halves256 across256(const uint8_t *src, __m256i pairs)
{
    return (halves256){_mm256_maddubs_epi16(LOAD256(src), pairs), _mm256_maddubs_epi16(LOAD256(src + 1), pairs)};
}

/* a * w + sum */
AVX2 INLINE halves256 weigh256(halves256 a, __m256i w, halves256 sum)
{
    return (halves256){_mm256_add_epi16(_mm256_mullo_epi16(a.even, w), sum.even),
                       _mm256_add_epi16(_mm256_mullo_epi16(a.odd, w), sum.odd)};
}

/* 32 pixels of all rows from column i on. Plane 0 is alpha; what a row gives to the one below it is made once. */
AVX2 INLINE void lerp_column256(const lw_patch *p, ptrdiff_t i, int count, int blends, int32_t wx, int32_t wy)
{
    const __m256i pairs = _mm256_set1_epi16(PAIR(wx)), near = _mm256_set1_epi16((int16_t)(16 - wy)),
                  far = _mm256_set1_epi16((int16_t)wy);
    const halves256 half = {_mm256_set1_epi16(128), _mm256_set1_epi16(128)};
    const uint8_t *from[3] = {blends ? p->alpha + i : NULL, p->value[0] + i, count > 1 ? p->value[1] + i : NULL};
    halves256 top[3], sum[3];
    for (int k = !blends; k <= count; k++)
        top[k] = weigh256(across256(from[k], pairs), near, half);
    for (ptrdiff_t j = 0; j < p->rows; j++) {
        for (int k = !blends; k <= count; k++) {
            from[k] += p->pitch;
            const halves256 below = across256(from[k], pairs);
            sum[k] = weigh256(below, far, top[k]);
            top[k] = weigh256(below, near, half);
        }
        for (int k = 0; k < count; k++) {
            uint8_t *dst = p->dst[k] + j * p->dst_pitch + i;
            __m256i out = join256(sum[1 + k]);
            if (blends)
                out = over256(get256(dst, p->n - i), out, inverse_of256(sum[0]));
            put256(dst, out, p->n - i);
        }
    }
}

AVX2 void lw_lerp_avx2(const lw_patch *p, int32_t wx, int32_t wy)
{
    for (ptrdiff_t i = 0; i < p->n; i += 32)
        if (p->count == 1 && p->alpha)
            lerp_column256(p, i, 1, 1, wx, wy);
        else if (p->count == 1)
            lerp_column256(p, i, 1, 0, wx, wy);
        else if (p->alpha)
            lerp_column256(p, i, 2, 1, wx, wy);
        else
            lerp_column256(p, i, 2, 0, wx, wy);
}

/* Pixels along a level line: what is added to the place of the first of 32, and the numbers of the pixels. */
typedef struct line256 {
    halves256 u, v, number;
} line256;

AVX2 INLINE line256 line_of256(const lw_warp *w)
{
    const __m256i even = _mm256_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
                  odd = _mm256_add_epi16(even, _mm256_set1_epi16(1)),
                  e = _mm256_set1_epi16((int16_t)(w->du - 65536)), dv = _mm256_set1_epi16((int16_t)w->dv);
    return (line256){{_mm256_mullo_epi16(even, e), _mm256_mullo_epi16(odd, e)},
                     {_mm256_mullo_epi16(even, dv), _mm256_mullo_epi16(odd, dv)},
                     {even, odd}};
}

/* The 16ths of places of 16 bits. */
AVX2 INLINE halves256 places256(halves256 line, int32_t from)
{
    const __m256i f = _mm256_set1_epi16((int16_t)from);
    return (halves256){_mm256_srli_epi16(_mm256_add_epi16(line.even, f), 12),
                       _mm256_srli_epi16(_mm256_add_epi16(line.odd, f), 12)};
}

AVX2 INLINE __m256i pairs256(__m256i f)
{
    return _mm256_add_epi16(_mm256_sub_epi16(_mm256_slli_epi16(f, 8), f), _mm256_set1_epi16(16));
}

/* Neighbours of 32 pixels of a plane: the row and the one below, from their own and from the next column on. */
typedef struct quads256 {
    halves256 top, below;
} quads256;

AVX2 INLINE quads256 quads_at256(const uint8_t *src, ptrdiff_t pitch)
{
    return (quads256){{LOAD256(src), LOAD256(src + 1)}, {LOAD256(src + pitch), LOAD256(src + pitch + 1)}};
}

AVX2 INLINE quads256 quads_from256(quads256 q, quads256 rest, halves256 there)
{
    q.top.even = _mm256_blendv_epi8(q.top.even, rest.top.even, there.even);
    q.top.odd = _mm256_blendv_epi8(q.top.odd, rest.top.odd, there.odd);
    q.below.even = _mm256_blendv_epi8(q.below.even, rest.below.even, there.even);
    q.below.odd = _mm256_blendv_epi8(q.below.odd, rest.below.odd, there.odd);
    return q;
}

AVX2 INLINE __m256i mixed256(__m256i top, __m256i below, __m256i pairs, __m256i fy)
{
    const __m256i near = _mm256_sub_epi16(_mm256_set1_epi16(16), fy);
    const __m256i t = _mm256_mullo_epi16(_mm256_maddubs_epi16(top, pairs), near);
    const __m256i b = _mm256_mullo_epi16(_mm256_maddubs_epi16(below, pairs), fy);
    return _mm256_add_epi16(_mm256_add_epi16(t, b), _mm256_set1_epi16(128));
}

AVX2 INLINE void level_row256(const lw_patch *p, uint8_t *const *dst, int count, int blends, const line256 *line,
                              const lw_warp *w, int32_t u, int32_t v, int32_t n)
{
    const uint8_t *const plane[3] = {p->alpha, p->value[0], p->value[1]};
    const ptrdiff_t step = w->dv < 0 ? -p->pitch : p->pitch;
    lw_steps s = lw_steps_from(v, w->dv);
    for (int32_t i = 0, part; i < n; i += part, u += part * w->du, v += part * w->dv) {
        part = lw_warp_columns(u, w->du, n - i < 32 ? n - i : 32);
        ptrdiff_t at = (ptrdiff_t)(v >> 16) * p->pitch + (u >> 16);
        quads256 q[3];
        halves256 sum[3];
        for (int k = !blends; k <= count; k++)
            q[k] = quads_at256(plane[k] + at, p->pitch);
        while (s.next <= i)
            lw_steps_on(&s);
        for (; s.next < i + part; lw_steps_on(&s)) {
            const __m256i before = _mm256_set1_epi16((int16_t)(s.next - i - 1));
            const halves256 there = {_mm256_cmpgt_epi16(line->number.even, before),
                                     _mm256_cmpgt_epi16(line->number.odd, before)};
            at += step;
            for (int k = !blends; k <= count; k++)
                q[k] = quads_from256(q[k], quads_at256(plane[k] + at, p->pitch), there);
        }
        const halves256 fx = places256(line->u, u), fy = places256(line->v, v);
        const halves256 pairs = {pairs256(fx.even), pairs256(fx.odd)};
        for (int k = !blends; k <= count; k++) {
            sum[k].even = mixed256(q[k].top.even, q[k].below.even, pairs.even, fy.even);
            sum[k].odd = mixed256(q[k].top.odd, q[k].below.odd, pairs.odd, fy.odd);
        }
        for (int k = 0; k < count; k++) {
            __m256i out = join256(sum[1 + k]);
            if (blends)
                out = over256(get256(dst[k] + i, part), out, inverse_of256(sum[0]));
            put256(dst[k] + i, out, part);
        }
    }
}

/* 8 samples, 32 bit each: two pixels of either row come with one gather. */
AVX2 INLINE __m256i gathered256(const uint8_t *src, __m256i at, ptrdiff_t pitch, __m256i top, __m256i below)
{
    const __m256i spread = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                            -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
    const __m256i p = _mm256_shuffle_epi8(_mm256_i32gather_epi32((const int *)(const void *)src, at, 1), spread);
    const __m256i q = _mm256_shuffle_epi8(
        _mm256_i32gather_epi32((const int *)(const void *)(src + pitch), at, 1), spread);
    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(p, top), _mm256_madd_epi16(q, below));
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(128)), 8);
}

/* Any line: 8 pixels of a row, of which `n` are stored. */
AVX2 INLINE void any_row256(const lw_patch *p, uint8_t *const *dst, const lw_warp *w, int32_t u0, int32_t v0, int32_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), fifteen = _mm256_set1_epi32(15);
    const __m256i us = _mm256_mullo_epi32(lane, _mm256_set1_epi32(w->du)),
                  vs = _mm256_mullo_epi32(lane, _mm256_set1_epi32(w->dv));
    for (int32_t i = 0; i < n; i += 8, u0 += 8 * w->du, v0 += 8 * w->dv) {
        /* Lanes past the end sample its last pixel. */
        const __m256i over = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(n - i - 1));
        const int32_t last = n - i - 1 < 7 ? n - i - 1 : 7;
        const __m256i u = _mm256_add_epi32(_mm256_set1_epi32(u0),
                                           _mm256_blendv_epi8(us, _mm256_set1_epi32(last * w->du), over));
        const __m256i v = _mm256_add_epi32(_mm256_set1_epi32(v0),
                                           _mm256_blendv_epi8(vs, _mm256_set1_epi32(last * w->dv), over));
        const __m256i line = _mm256_mullo_epi32(_mm256_srai_epi32(v, 16), _mm256_set1_epi32((int32_t)p->pitch));
        const __m256i at = _mm256_add_epi32(line, _mm256_srai_epi32(u, 16));
        const __m256i fx = _mm256_and_si256(_mm256_srli_epi32(u, 12), fifteen);
        const __m256i fy = _mm256_and_si256(_mm256_srli_epi32(v, 12), fifteen);
        /* 16-bit pairs (16 - fx, fx), by 16 - fy and by fy */
        const __m256i across = _mm256_or_si256(_mm256_sub_epi32(_mm256_set1_epi32(16), fx), _mm256_slli_epi32(fx, 16));
        const __m256i below = _mm256_mullo_epi16(across, _mm256_or_si256(fy, _mm256_slli_epi32(fy, 16)));
        const __m256i top = _mm256_sub_epi16(_mm256_slli_epi16(across, 4), below);
        const __m256i full = _mm256_set1_epi32(255);
        const __m256i inverse =
            p->alpha ? _mm256_sub_epi32(full, gathered256(p->alpha, at, p->pitch, top, below)) : _mm256_setzero_si256();
        for (int k = 0; k < p->count; k++) {
            const __m256i value32 = gathered256(p->value[k], at, p->pitch, top, below);
            uint8_t part[8] = {0};
            memcpy(part, dst[k] + i, (size_t)(last + 1));
            const __m256i d = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)part));
            const __m256i t = _mm256_mullo_epi16(d, inverse);
            const __m256i left = _mm256_add_epi32(_mm256_add_epi32(t, _mm256_srli_epi32(t, 8)), _mm256_set1_epi32(128));
            __m256i out = _mm256_add_epi32(_mm256_srli_epi32(left, 8), value32);
            out = _mm256_packus_epi32(out, out);
            out = _mm256_packus_epi16(out, out);
            const uint32_t half[2] = {(uint32_t)_mm256_extract_epi32(out, 0), (uint32_t)_mm256_extract_epi32(out, 4)};
            memcpy(dst[k] + i, half, (size_t)(last + 1));
        }
    }
}

AVX2 void lw_warp_avx2(const lw_patch *p, const lw_warp *w)
{
    const int level = lw_warp_is_level(w);
    const line256 line = line_of256(w);
    for (int32_t j = 0; j < p->rows; j++) {
        const int32_t x0 = w->spans ? w->spans[j].x0 : 0, n = (w->spans ? w->spans[j].x1 : p->n) - x0;
        const int32_t u = w->u + x0 * w->du - j * w->dv, v = w->v + x0 * w->dv + j * w->du;
        const ptrdiff_t to = j * p->dst_pitch + x0;
        uint8_t *const dst[2] = {p->dst[0] + to, p->count > 1 ? p->dst[1] + to : NULL};
        if (!level)
            any_row256(p, dst, w, u, v, n);
        else if (p->count == 1 && p->alpha)
            level_row256(p, dst, 1, 1, &line, w, u, v, n);
        else if (p->count == 1)
            level_row256(p, dst, 1, 0, &line, w, u, v, n);
        else if (p->alpha)
            level_row256(p, dst, 2, 1, &line, w, u, v, n);
        else
            level_row256(p, dst, 2, 0, &line, w, u, v, n);
    }
}

AVX2 void lw_look_avx2(lw_mask *masks, const uint8_t *alpha, ptrdiff_t pitch, int32_t shift, int32_t count, int32_t rows)
{
    if (shift != 3) {
        lw_look_c(masks, alpha, pitch, shift, count, rows);
        return;
    }
    for (int32_t j = 0; j < rows; j++) {
        uint64_t clear = 0, solid = 0;
        for (int32_t i = 0; i < count; i += 4) {
            const __m256i a = LOAD256(alpha + j * pitch + 8 * i);
            const __m256i none = _mm256_cmpeq_epi64(a, _mm256_setzero_si256()),
                          all = _mm256_cmpeq_epi64(a, _mm256_set1_epi8(-1));
            clear |= (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(none)) << i;
            solid |= (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(all)) << i;
        }
        masks[j] = (lw_mask){~clear & TAIL64(count), solid & TAIL64(count)};
    }
}

/* ---- AVX-512 ---- */

/* Of a vector and of a second one, whose bytes are from 64 on. */
static const uint8_t upper_bytes[64] = {
    1, 65, 3, 67, 5, 69, 7, 71, 9, 73, 11, 75, 13, 77, 15, 79, 17, 81, 19, 83, 21, 85, 23, 87, 25, 89, 27, 91,
    29, 93, 31, 95, 33, 97, 35, 99, 37, 101, 39, 103, 41, 105, 43, 107, 45, 109, 47, 111, 49, 113, 51, 115, 53,
    117, 55, 119, 57, 121, 59, 123, 61, 125, 63, 127};

typedef struct halves512 {
    __m512i even, odd;
} halves512;

/* The upper bytes of even and odd pixels. */
AVX512 INLINE __m512i join512(halves512 s)
{
    return _mm512_permutex2var_epi8(s.even, _mm512_loadu_si512(upper_bytes), s.odd);
}

AVX512 INLINE __m512i twice512(__m512i v, int upper)
{
    const __m128i low = _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14);
    const __m128i order = upper ? _mm_or_si128(low, _mm_set1_epi8(1)) : low;
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
}

/* Subtracted, as a complement may be an instruction that waits for what was in its register before. */
AVX512 INLINE halves512 inverse512(__m512i alpha)
{
    const __m512i inverse = _mm512_subs_epu8(_mm512_set1_epi8(-1), alpha);
    return (halves512){twice512(inverse, 0), twice512(inverse, 1)};
}

AVX512 INLINE halves512 inverse_of512(halves512 sum)
{
    const __m512i ones = _mm512_set1_epi8(-1);
    return (halves512){twice512(_mm512_subs_epu8(ones, sum.even), 1), twice512(_mm512_subs_epu8(ones, sum.odd), 1)};
}

AVX512 INLINE __m512i over512(__m512i d, __m512i v, halves512 inverse)
{
    const __m512i high = _mm512_set1_epi16((int16_t)0xff00), half = _mm512_set1_epi16(128);
    const halves512 left = {_mm512_add_epi16(_mm512_mulhi_epu16(_mm512_slli_epi16(d, 8), inverse.even), half),
                            _mm512_add_epi16(_mm512_mulhi_epu16(_mm512_and_si512(d, high), inverse.odd), half)};
    return _mm512_adds_epu8(join512(left), v);
}

/* Widths of columns: a whole vector, or a part of a vector no wider than it must be, as a load waits for an older masked
 * store whose bytes it may have to see, masked out or not. Rows of a column all take the same branches. */
enum { WHOLE, PART, PART32, PART16 };

AVX512 INLINE int width512(ptrdiff_t left)
{
    return left >= 64 ? WHOLE : left > 32 ? PART : left > 16 ? PART32 : PART16;
}

AVX512 INLINE __m512i get512(const uint8_t *p, int width, __mmask64 mask)
{
    if (width == WHOLE)
        return _mm512_loadu_si512(p);
    if (width == PART)
        return _mm512_maskz_loadu_epi8(mask, p);
    if (width == PART32)
        return _mm512_castsi256_si512(_mm256_maskz_loadu_epi8((__mmask32)mask, p));
    return _mm512_castsi128_si512(_mm_maskz_loadu_epi8((__mmask16)mask, p));
}

AVX512 INLINE void put512(uint8_t *p, __m512i v, int width, __mmask64 mask)
{
    if (width == WHOLE)
        _mm512_storeu_si512(p, v);
    else if (width == PART)
        _mm512_mask_storeu_epi8(p, mask, v);
    else if (width == PART32)
        _mm256_mask_storeu_epi8(p, (__mmask32)mask, _mm512_castsi512_si256(v));
    else
        _mm_mask_storeu_epi8(p, (__mmask16)mask, _mm512_castsi512_si128(v));
}

/* A kernel's column of 64 pixels or fewer, made for what it is made of: `column` takes a patch, where it begins, planes,
 * whether there is alpha, its width and the mask of it. */
#define MADE512(column, count, blends, width, ...)                                                                 \
    case 8 * (count) + 4 * (blends) + (width):                                                                      \
        column(&patch, i, count, blends, width, mask, ##__VA_ARGS__);                                               \
        break
#define MADE512_ALL(column, count, blends, ...)                                                                    \
    MADE512(column, count, blends, WHOLE, ##__VA_ARGS__);                                                           \
    MADE512(column, count, blends, PART, ##__VA_ARGS__);                                                            \
    MADE512(column, count, blends, PART32, ##__VA_ARGS__);                                                          \
    MADE512(column, count, blends, PART16, ##__VA_ARGS__)
#define COLUMNS512(p, column, ...)                                                                                 \
    const lw_patch patch = *(p); /* not what stores might change */                                                 \
    for (ptrdiff_t i = 0; i < patch.n; i += 64) {                                                                   \
        const int width = width512(patch.n - i);                                                                    \
        const __mmask64 mask = width == WHOLE ? ~0ull : TAIL64(patch.n - i);                                        \
        switch (8 * patch.count + 4 * (patch.alpha != NULL) + width) {                                              \
            MADE512_ALL(column, 1, 0, ##__VA_ARGS__);                                                               \
            MADE512_ALL(column, 1, 1, ##__VA_ARGS__);                                                               \
            MADE512_ALL(column, 2, 0, ##__VA_ARGS__);                                                               \
            MADE512_ALL(column, 2, 1, ##__VA_ARGS__);                                                               \
        }                                                                                                           \
    }

AVX512 INLINE void blend_column512(const lw_patch *p, ptrdiff_t i, int count, int blends, int width, __mmask64 mask)
{
    halves512 inverse = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    const uint8_t *alpha = p->alpha + (blends ? i : 0), *from[2] = {p->value[0] + i, count > 1 ? p->value[1] + i : NULL};
    uint8_t *to[2] = {p->dst[0] + i, count > 1 ? p->dst[1] + i : NULL};
    for (ptrdiff_t j = 0; j < p->rows; j++) {
        if (blends)
            inverse = inverse512(_mm512_loadu_si512(alpha + j * p->pitch));
        for (int k = 0; k < count; k++) {
            const __m512i v = get512(from[k] + j * p->pitch, width, mask);
            uint8_t *dst = to[k] + j * p->dst_pitch;
            put512(dst, blends ? over512(get512(dst, width, mask), v, inverse) : v, width, mask);
        }
    }
}

AVX512 void lw_blend_avx512(const lw_patch *p)
{
    COLUMNS512(p, blend_column512)
}

AVX512 INLINE halves512 across512(const uint8_t *src, __m512i pairs)
{
    return (halves512){_mm512_maddubs_epi16(_mm512_loadu_si512(src), pairs),
                       _mm512_maddubs_epi16(_mm512_loadu_si512(src + 1), pairs)};
}

AVX512 INLINE halves512 weigh512(halves512 a, __m512i w, halves512 sum)
{
    return (halves512){_mm512_add_epi16(_mm512_mullo_epi16(a.even, w), sum.even),
                       _mm512_add_epi16(_mm512_mullo_epi16(a.odd, w), sum.odd)};
}

AVX512 INLINE void lerp_column512(const lw_patch *p, ptrdiff_t i, int count, int blends, int width,
                                  __mmask64 mask, int32_t wx, int32_t wy)
{
    const __m512i pairs = _mm512_set1_epi16(PAIR(wx)), near = _mm512_set1_epi16((int16_t)(16 - wy)),
                  far = _mm512_set1_epi16((int16_t)wy);
    const halves512 half = {_mm512_set1_epi16(128), _mm512_set1_epi16(128)};
    const uint8_t *from[3] = {blends ? p->alpha + i : NULL, p->value[0] + i, count > 1 ? p->value[1] + i : NULL};
    halves512 top[3], sum[3];
    for (int k = !blends; k <= count; k++)
        top[k] = weigh512(across512(from[k], pairs), near, half);
    for (ptrdiff_t j = 0; j < p->rows; j++) {
        for (int k = !blends; k <= count; k++) {
            from[k] += p->pitch;
            const halves512 below = across512(from[k], pairs);
            sum[k] = weigh512(below, far, top[k]);
            top[k] = weigh512(below, near, half);
        }
        for (int k = 0; k < count; k++) {
            uint8_t *dst = p->dst[k] + j * p->dst_pitch + i;
            __m512i out = join512(sum[1 + k]);
            if (blends)
                out = over512(get512(dst, width, mask), out, inverse_of512(sum[0]));
            put512(dst, out, width, mask);
        }
    }
}

AVX512 void lw_lerp_avx512(const lw_patch *p, int32_t wx, int32_t wy)
{
    COLUMNS512(p, lerp_column512, wx, wy)
}

/* Pixels along a level line: what is added to the place of the first of 64, of v the upper half, too. */
typedef struct line512 {
    halves512 u, v, rows;
} line512;

static const uint8_t following[64] = {
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
    45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64};

AVX512 INLINE line512 line_of512(const lw_warp *w)
{
    const __m512i even = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                                          24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0),
                  odd = _mm512_add_epi16(even, _mm512_set1_epi16(1)),
                  e = _mm512_set1_epi16((int16_t)(w->du - 65536)), dv = _mm512_set1_epi16((int16_t)w->dv);
    return (line512){{_mm512_mullo_epi16(even, e), _mm512_mullo_epi16(odd, e)},
                     {_mm512_mullo_epi16(even, dv), _mm512_mullo_epi16(odd, dv)},
                     {_mm512_mulhi_epi16(even, dv), _mm512_mulhi_epi16(odd, dv)}};
}

AVX512 INLINE halves512 places512(halves512 line, int32_t from)
{
    const __m512i f = _mm512_set1_epi16((int16_t)from);
    return (halves512){_mm512_srli_epi16(_mm512_add_epi16(line.even, f), 12),
                       _mm512_srli_epi16(_mm512_add_epi16(line.odd, f), 12)};
}

/* Pairs of bytes (16 - f, f). */
AVX512 INLINE __m512i pairs512(__m512i f)
{
    const __m256i low = _mm256_setr_epi16(PAIR(0), PAIR(1), PAIR(2), PAIR(3), PAIR(4), PAIR(5), PAIR(6), PAIR(7),
                                          PAIR(8), PAIR(9), PAIR(10), PAIR(11), PAIR(12), PAIR(13), PAIR(14), PAIR(15));
    return _mm512_permutexvar_epi16(f, _mm512_castsi256_si512(low));
}

AVX512 INLINE __m512i mixed512(__m512i top, __m512i below, __m512i pairs, __m512i fy)
{
    const __m512i near = _mm512_sub_epi16(_mm512_set1_epi16(16), fy);
    const __m512i t = _mm512_mullo_epi16(_mm512_maddubs_epi16(top, pairs), near);
    const __m512i b = _mm512_mullo_epi16(_mm512_maddubs_epi16(below, pairs), fy);
    return _mm512_add_epi16(_mm512_add_epi16(t, b), _mm512_set1_epi16(128));
}

AVX512 INLINE halves512 summed512(halves512 top, halves512 below, halves512 pairs, halves512 fy)
{
    return (halves512){mixed512(top.even, below.even, pairs.even, fy.even),
                       mixed512(top.odd, below.odd, pairs.odd, fy.odd)};
}

/* A row of a plane, in pairs for even and for odd pixels. */
AVX512 INLINE halves512 row512(const uint8_t *src)
{
    const __m512i row = _mm512_loadu_si512(src), next = _mm512_loadu_si512(following);
    return (halves512){row, _mm512_permutex2var_epi8(row, next, _mm512_set1_epi8((char)src[64]))};
}

AVX512 INLINE halves512 where512(halves512 old, __mmask32 even, __mmask32 odd, halves512 rest)
{
    return (halves512){_mm512_mask_mov_epi16(old.even, even, rest.even), _mm512_mask_mov_epi16(old.odd, odd, rest.odd)};
}

/* The pixels of all rows between columns `first` and `last`, which are no more than 64; `up`: lines step upwards. From one
 * row to the next lines mostly step at the same pixels: what was below a row is then what the next one lies on. */
AVX512 INLINE void level_column512(const lw_patch *p, const lw_warp *w, const line512 *line, int32_t first, int32_t last,
                                   int count, int blends, int up)
{
    const uint8_t *const plane[3] = {p->alpha, p->value[0], p->value[1]};
    const int32_t du = w->du, dv = w->dv, steps = ((last - first) * (up ? -dv : dv) + 65535) >> 16;
    const ptrdiff_t pitch = p->pitch, on = up ? -pitch : pitch;
    const __m512i one = _mm512_set1_epi16(1);
    halves512 top[3], below[3], row_before = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    ptrdiff_t expected = 0;
    int32_t known = 0; /* pixels of which `below` is known */
    int width = WHOLE;
    __mmask64 mask = 0;
    for (int k = 0; k < 3; k++)
        below[k] = row_before;
    int32_t u0 = w->u + first * du, v0 = w->v + first * dv;
    ptrdiff_t line_at = 0;
    for (int32_t j = 0; j < p->rows; j++, u0 -= dv, v0 += du, line_at += p->dst_pitch) {
        int32_t x = first, x1 = last, u = u0, v = v0;
        if (w->spans) {
            x = w->spans[j].x0 > first ? w->spans[j].x0 : first;
            x1 = w->spans[j].x1 < last ? w->spans[j].x1 : last;
            u += (x - first) * du;
            v += (x - first) * dv;
        }
        for (int32_t part; x < x1; x += part, u += part * du, v += part * dv) {
            part = lw_warp_columns(u, du, x1 - x);
            if (part != known) {
                width = width512(part);
                mask = TAIL64(part);
            }
            const ptrdiff_t at = (ptrdiff_t)(v >> 16) * pitch + (u >> 16), to = line_at + x;
            const __m512i f = _mm512_set1_epi16((int16_t)v);
            const halves512 fv = {_mm512_add_epi16(line->v.even, f), _mm512_add_epi16(line->v.odd, f)};
            /* Each pixel's row, counted from the first one's: a sum that wraps is one more. */
            const halves512 row = {
                _mm512_mask_add_epi16(line->rows.even, _mm512_cmplt_epu16_mask(fv.even, f), line->rows.even, one),
                _mm512_mask_add_epi16(line->rows.odd, _mm512_cmplt_epu16_mask(fv.odd, f), line->rows.odd, one)};
            const int anew = at != expected || part > known ||
                             (_mm512_cmpneq_epi16_mask(row.even, row_before.even) |
                              _mm512_cmpneq_epi16_mask(row.odd, row_before.odd));
            /* Beyond the last one there are no pixels, and maybe no row. */
            const int32_t end = ((v & 65535) + (part - 1) * dv) >> 16, most = up ? -end : end;
            for (int k = !blends; k <= count; k++) {
                top[k] = anew ? row512(plane[k] + at) : below[k];
                below[k] = row512(plane[k] + at + pitch);
            }
            ptrdiff_t there = at;
            for (int32_t s = 1; s <= steps; s++) {
                const __m512i step = _mm512_set1_epi16((int16_t)(up ? -s : s));
                const __mmask32 even = _mm512_cmpeq_epi16_mask(row.even, step);
                const __mmask32 odd = _mm512_cmpeq_epi16_mask(row.odd, step);
                there += s <= most ? on : 0;
                for (int k = !blends; k <= count; k++) {
                    below[k] = where512(below[k], even, odd, row512(plane[k] + there + pitch));
                    if (anew)
                        top[k] = where512(top[k], even, odd, row512(plane[k] + there));
                }
            }
            expected = at + pitch;
            known = part;
            row_before = row;
            const halves512 fx = places512(line->u, u);
            const halves512 fy = {_mm512_srli_epi16(fv.even, 12), _mm512_srli_epi16(fv.odd, 12)};
            const halves512 pairs = {pairs512(fx.even), pairs512(fx.odd)};
            halves512 inverse = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (blends)
                inverse = inverse_of512(summed512(top[0], below[0], pairs, fy));
            for (int k = 0; k < count; k++) {
                __m512i out = join512(summed512(top[1 + k], below[1 + k], pairs, fy));
                if (blends)
                    out = over512(get512(p->dst[k] + to, width, mask), out, inverse);
                put512(p->dst[k] + to, out, width, mask);
            }
        }
    }
}

/* Samples of a chunk of 16 pixels that lie within 32 columns of four rows, or of `two`: their four neighbours are
 * picked out of two vectors, or one, at once. */
AVX512 INLINE __m512i picked512(const uint8_t *const row[4], int two, __m512i pick, __m512i across, __m512i down)
{
    const __m512i low = _mm512_inserti64x4(_mm512_castsi256_si512(LOAD256(row[0])), LOAD256(row[1]), 1);
    __m512i px;
    if (two) {
        px = _mm512_permutexvar_epi8(pick, low);
    } else {
        const __m512i high = _mm512_inserti64x4(_mm512_castsi256_si512(LOAD256(row[2])), LOAD256(row[3]), 1);
        px = _mm512_permutex2var_epi8(low, pick, high);
    }
    const __m512i sum = _mm512_dpwssd_epi32(_mm512_set1_epi32(128), _mm512_maddubs_epi16(px, across), down);
    return _mm512_srli_epi32(sum, 8);
}

#define STEEPEST (2 * 65536 / 15) /* 16 pixels' neighbours are in four rows, about 7.6 degrees, */
#define WIDEST (2 * 65536)        /* and in 32 columns */

/* A nearly level line of a scaled sprite. */
AVX512 static void picked_row512(const lw_patch *p, uint8_t *const *dst, const lw_warp *w, int32_t u, int32_t v,
                                 int32_t n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i spread = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    const __m512i neighbours = _mm512_set1_epi32(0x21200100), fifteen = _mm512_set1_epi32(15);
    const __m512i us = _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->du));
    const __m512i vs = _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->dv));
    const int32_t du = w->du, dv = w->dv;
    const ptrdiff_t pitch = p->pitch;
    for (int32_t i = 0; i < n; i += 16, u += 16 * du, v += 16 * dv) {
        const int32_t last = n - i >= 16 ? 15 : n - i - 1;
        const __mmask16 lanes = (__mmask16)((2u << last) - 1);
        /* Rows that are not needed may not exist. */
        const int32_t v0 = v >> 16, v1 = (v + last * dv) >> 16;
        const int32_t first = v0 < v1 ? v0 : v1, most = (v0 < v1 ? v1 : v0) + 1 - first;
        const ptrdiff_t at = first * pitch + (u >> 16);
        const ptrdiff_t third = at + (most > 2 ? 2 : most) * pitch, fourth = at + most * pitch;
        const __m512i uu = _mm512_add_epi32(us, _mm512_set1_epi32(u & 65535));
        const __m512i vv = _mm512_add_epi32(vs, _mm512_set1_epi32(v - first * 65536));
        const __m512i place = _mm512_add_epi32(_mm512_srli_epi32(uu, 16),
                                               _mm512_slli_epi32(_mm512_srli_epi32(vv, 16), 5));
        const __m512i pick = _mm512_add_epi8(_mm512_shuffle_epi8(place, spread), neighbours);
        const __m512i fx = _mm512_and_si512(_mm512_srli_epi32(uu, 12), fifteen);
        const __m512i fy = _mm512_and_si512(_mm512_srli_epi32(vv, 12), fifteen);
        /* Pairs (16 - f, f): 16 + 255 f and 16 + 65535 f, 255 f = (f << 8) - f. */
        __m512i across = _mm512_add_epi32(_mm512_sub_epi32(_mm512_slli_epi32(fx, 8), fx), _mm512_set1_epi32(16));
        across = _mm512_or_si512(across, _mm512_slli_epi32(across, 16));
        const __m512i down =
            _mm512_add_epi32(_mm512_sub_epi32(_mm512_slli_epi32(fy, 16), fy), _mm512_set1_epi32(16));
        __m512i inverse = _mm512_setzero_si512();
        if (p->alpha) {
            const uint8_t *const a[4] = {p->alpha + at, p->alpha + at + pitch, p->alpha + third, p->alpha + fourth};
            inverse = _mm512_sub_epi32(_mm512_set1_epi32(255), picked512(a, most == 1, pick, across, down));
        }
        for (int k = 0; k < p->count; k++) {
            const uint8_t *from = p->value[k];
            const uint8_t *const c[4] = {from + at, from + at + pitch, from + third, from + fourth};
            const __m512i value32 = picked512(c, most == 1, pick, across, down);
            const __m512i d = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, dst[k] + i));
            const __m512i t = _mm512_mullo_epi16(d, inverse);
            const __m512i left = _mm512_add_epi32(_mm512_add_epi32(t, _mm512_srli_epi32(t, 8)), _mm512_set1_epi32(128));
            const __m512i out = _mm512_add_epi32(_mm512_srli_epi32(left, 8), value32);
            _mm_mask_storeu_epi8(dst[k] + i, lanes, _mm512_cvtusepi32_epi8(out));
        }
    }
}

AVX512 void lw_warp_avx512(const lw_patch *p, const lw_warp *w)
{
    const int level = lw_warp_is_level(w);
    if (!level && (w->du < 0 || w->du > WIDEST || w->dv < -STEEPEST || w->dv > STEEPEST)) {
        lw_warp_avx2(p, w);
        return;
    }
    const lw_patch patch = *p; /* not what stores might change */
    const lw_warp warp = *w;
    if (!level) {
        for (int32_t j = 0; j < patch.rows; j++) {
            const int32_t x0 = warp.spans ? warp.spans[j].x0 : 0, n = (warp.spans ? warp.spans[j].x1 : patch.n) - x0;
            const ptrdiff_t to = j * patch.dst_pitch + x0;
            uint8_t *const dst[2] = {patch.dst[0] + to, patch.count > 1 ? patch.dst[1] + to : NULL};
            picked_row512(&patch, dst, &warp, warp.u + x0 * warp.du - j * warp.dv, warp.v + x0 * warp.dv + j * warp.du, n);
        }
        return;
    }
    const line512 line = line_of512(&warp);
    for (int32_t i = 0; i < patch.n; i += 64) {
        const int32_t end = patch.n - i < 64 ? patch.n : i + 64;
#define LEVEL512(count, blends, up)                                                                                \
    case 4 * (count) + 2 * (blends) + (up):                                                                         \
        level_column512(&patch, &warp, &line, i, end, count, blends, up);                                           \
        break
        switch (4 * patch.count + 2 * (patch.alpha != NULL) + (warp.dv < 0)) {
            LEVEL512(1, 0, 0);
            LEVEL512(1, 0, 1);
            LEVEL512(1, 1, 0);
            LEVEL512(1, 1, 1);
            LEVEL512(2, 0, 0);
            LEVEL512(2, 0, 1);
            LEVEL512(2, 1, 0);
            LEVEL512(2, 1, 1);
        }
#undef LEVEL512
    }
}

AVX512 void lw_look_avx512(lw_mask *masks, const uint8_t *alpha, ptrdiff_t pitch, int32_t shift, int32_t count,
                           int32_t rows)
{
    if (shift != 3) {
        lw_look_c(masks, alpha, pitch, shift, count, rows);
        return;
    }
    for (int32_t j = 0; j < rows; j++) {
        lw_mask m = {0, 0};
        for (int32_t i = 0; i < count; i += 8) {
            const __m512i a = _mm512_loadu_si512(alpha + j * pitch + 8 * i);
            m.seen |= (uint64_t)_mm512_test_epi64_mask(a, a) << i;
            m.solid |= (uint64_t)_mm512_cmpeq_epi64_mask(a, _mm512_set1_epi8(-1)) << i;
        }
        masks[j] = (lw_mask){m.seen & TAIL64(count), m.solid & TAIL64(count)};
    }
}
#endif
