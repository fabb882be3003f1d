/* Scaling and colour for NEON: products of bytes are widened to 16 bits at once, so pixels and weights stay unsigned. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "dsp.h"
#include "pixels.h"

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
