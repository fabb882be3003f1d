/* Pixels for NEON: products of bytes are widened to 16 bits at once, so pixels and weights stay unsigned. A row ends
 * with a vector that goes through a buffer; sprites are readable past their ends (LW_PIXEL_PAD): only dst needs it. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "dsp.h"
#include "pixels.h"

/* (t + (t >> 8)) >> 8 with t = x + 128, for 8 products x = dst * inverse. */
static inline uint8x8_t fade(uint8x8_t dst, uint8x8_t inverse)
{
    const uint16x8_t t = vaddq_u16(vmull_u8(dst, inverse), vdupq_n_u16(128));
    return vshrn_n_u16(vsraq_n_u16(t, t, 8), 8);
}

static inline uint8x16_t blend16(uint8x16_t d, uint8x16_t v, uint8x16_t a)
{
    const uint8x16_t inverse = vmvnq_u8(a);
    const uint8x8_t lo = fade(vget_low_u8(d), vget_low_u8(inverse)), hi = fade(vget_high_u8(d), vget_high_u8(inverse));
    return vqaddq_u8(vcombine_u8(lo, hi), v);
}

typedef struct weights {
    uint8x8_t a, b, c, d;
} weights;

static inline weights weigh(int32_t wx, int32_t wy)
{
    return (weights){vdup_n_u8((uint8_t)((16 - wx) * (16 - wy))), vdup_n_u8((uint8_t)(wx * (16 - wy))),
                     vdup_n_u8((uint8_t)((16 - wx) * wy)), vdup_n_u8((uint8_t)(wx * wy))};
}

static inline uint8x8_t lerp8(uint8x8_t p, uint8x8_t q, uint8x8_t r, uint8x8_t s, const weights *w)
{
    const uint16x8_t sum = vmlal_u8(vmlal_u8(vmlal_u8(vmull_u8(p, w->a), q, w->b), r, w->c), s, w->d);
    return vrshrn_n_u16(sum, 8);
}

static inline uint8x16_t lerp16(const uint8_t *src, ptrdiff_t pitch, const weights *w)
{
    const uint8x16_t p = vld1q_u8(src), q = vld1q_u8(src + 1), r = vld1q_u8(src + pitch), s = vld1q_u8(src + pitch + 1);
    return vcombine_u8(lerp8(vget_low_u8(p), vget_low_u8(q), vget_low_u8(r), vget_low_u8(s), w),
                       lerp8(vget_high_u8(p), vget_high_u8(q), vget_high_u8(r), vget_high_u8(s), w));
}

/* Runs `expression`, which makes the 16 pixels of dst at i out of `d`, along a row. */
#define ALONG(expression)                                                                                           \
    do {                                                                                                            \
        size_t i = 0;                                                                                               \
        uint8x16_t d;                                                                                               \
        for (; i + 16 <= n; i += 16) {                                                                              \
            d = vld1q_u8(dst + i);                                                                                  \
            vst1q_u8(dst + i, expression);                                                                          \
        }                                                                                                           \
        if (i < n) {                                                                                                \
            uint8_t part[16] = {0};                                                                                 \
            memcpy(part, dst + i, n - i);                                                                           \
            d = vld1q_u8(part);                                                                                     \
            vst1q_u8(part, expression);                                                                             \
            memcpy(dst + i, part, n - i);                                                                           \
        }                                                                                                           \
    } while (0)

void lw_blend_neon(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, size_t n)
{
    ALONG(blend16(d, vld1q_u8(value + i), vld1q_u8(alpha + i)));
}

void lw_lerp_neon(uint8_t *dst, const uint8_t *src, ptrdiff_t pitch, int32_t wx, int32_t wy, size_t n)
{
    const weights w = weigh(wx, wy);
    ALONG(((void)d, lerp16(src + i, pitch, &w)));
}

void lw_lerp_blend_neon(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch, int32_t wx,
                        int32_t wy, size_t n)
{
    const weights w = weigh(wx, wy);
    ALONG(blend16(d, lerp16(value + i, pitch, &w), lerp16(alpha + i, pitch, &w)));
}

/* 8 outputs of a row that shrinks to no less than half: their pixels lie within 16 bytes. */
void lw_scale_row_neon(int16_t *out, const uint8_t *src, size_t src_n, const uint16_t *at, const uint16_t *weight,
                       size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n && (size_t)at[i] + 16 <= src_n && at[i + 7] - at[i] <= 14; i += 8) {
        const uint8x16_t px = vld1q_u8(src + at[i]);
        const uint8x8_t place = vmovn_u16(vsubq_u16(vld1q_u16(at + i), vdupq_n_u16(at[i])));
        const uint8x8x2_t w = vld2_u8((const uint8_t *)(weight + i));
        const uint8x8_t left = vqtbl1_u8(px, place), right = vqtbl1_u8(px, vadd_u8(place, vdup_n_u8(1)));
        const uint16x8_t sum = vmlal_u8(vmull_u8(left, w.val[0]), right, w.val[1]);
        vst1q_s16(out + i, vreinterpretq_s16_u16(vsubq_u16(sum, vdupq_n_u16(128 * 128))));
    }
    lw_scale_row_c(out + i, src, src_n, at + i, weight + i, n - i);
}

void lw_scale_mix_neon(uint8_t *out, const int16_t *top, const int16_t *below, int32_t wy, size_t n)
{
    const int16_t w0 = (int16_t)(128 - wy), w1 = (int16_t)wy;
    const int32x4_t round = vdupq_n_s32((128 << 14) + 8192);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const int16x8_t t = vld1q_s16(top + i), b = vld1q_s16(below + i);
        const int32x4_t lo = vmlal_n_s16(vmlal_n_s16(round, vget_low_s16(t), w0), vget_low_s16(b), w1);
        const int32x4_t hi = vmlal_n_s16(vmlal_n_s16(round, vget_high_s16(t), w0), vget_high_s16(b), w1);
        vst1_u8(out + i, vmovn_u16(vcombine_u16(vshrn_n_u32(vreinterpretq_u32_s32(lo), 14),
                                                vshrn_n_u32(vreinterpretq_u32_s32(hi), 14))));
    }
    lw_scale_mix_c(out + i, top + i, below + i, wy, n - i);
}

/* Four pixels' products with one row of the matrix, added to `sum`; the coefficients whole, in 16 bits. */
static inline int32x4_t dot4(int32x4_t sum, uint16x4_t r, uint16x4_t g, uint16x4_t b, const int16_t c[3])
{
    sum = vmlal_n_s16(sum, vreinterpret_s16_u16(r), c[0]);
    sum = vmlal_n_s16(sum, vreinterpret_s16_u16(g), c[1]);
    return vmlal_n_s16(sum, vreinterpret_s16_u16(b), c[2]);
}

static inline void whole(int16_t c[3], const lw_row3 *row)
{
    for (int k = 0; k < 3; k++)
        c[k] = (int16_t)(128 * row->hi[k] + row->lo[k]);
}

void lw_rgba_luma_neon(uint8_t *y, const uint8_t *rgba, size_t n, const lw_rgb_matrix *m)
{
    int16_t c[3];
    whole(c, &m->y);
    const int32x4_t round = vdupq_n_s32((16 << 14) + 8192);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8x8x4_t px = vld4_u8(rgba + 4 * i);
        const uint16x8_t r = vmovl_u8(px.val[0]), g = vmovl_u8(px.val[1]), b = vmovl_u8(px.val[2]);
        const int32x4_t lo = dot4(round, vget_low_u16(r), vget_low_u16(g), vget_low_u16(b), c);
        const int32x4_t hi = dot4(round, vget_high_u16(r), vget_high_u16(g), vget_high_u16(b), c);
        vst1_u8(y + i, vmovn_u16(vcombine_u16(vshrn_n_u32(vreinterpretq_u32_s32(lo), 14),
                                              vshrn_n_u32(vreinterpretq_u32_s32(hi), 14))));
    }
    lw_rgba_luma_c(y + i, rgba + 4 * i, n - i, m);
}

void lw_rgba_chroma_neon(uint8_t *u, uint8_t *v, const uint8_t *top, const uint8_t *below, size_t n,
                         const lw_rgb_matrix *m)
{
    int16_t cu[3], cv[3];
    whole(cu, &m->u);
    whole(cv, &m->v);
    const int32x4_t round = vdupq_n_s32((128 << 16) + 32768);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8x16x4_t t = vld4q_u8(top + 8 * i), b = vld4q_u8(below + 8 * i);
        uint16x8_t s[3]; /* sums of four pixels: at most 1020 */
        for (int k = 0; k < 3; k++)
            s[k] = vpadalq_u8(vpaddlq_u8(t.val[k]), b.val[k]);
        const int32x4_t ul = dot4(round, vget_low_u16(s[0]), vget_low_u16(s[1]), vget_low_u16(s[2]), cu);
        const int32x4_t uh = dot4(round, vget_high_u16(s[0]), vget_high_u16(s[1]), vget_high_u16(s[2]), cu);
        const int32x4_t vl = dot4(round, vget_low_u16(s[0]), vget_low_u16(s[1]), vget_low_u16(s[2]), cv);
        const int32x4_t vh = dot4(round, vget_high_u16(s[0]), vget_high_u16(s[1]), vget_high_u16(s[2]), cv);
        vst1_u8(u + i, vmovn_u16(vcombine_u16(vshrn_n_u32(vreinterpretq_u32_s32(ul), 16),
                                              vshrn_n_u32(vreinterpretq_u32_s32(uh), 16))));
        vst1_u8(v + i, vmovn_u16(vcombine_u16(vshrn_n_u32(vreinterpretq_u32_s32(vl), 16),
                                              vshrn_n_u32(vreinterpretq_u32_s32(vh), 16))));
    }
    lw_rgba_chroma_c(u + i, v + i, top + 8 * i, below + 8 * i, n - i, m);
}
#endif
