/* The pixel kernels in plain C: the specification of those in x86/ and arm/.
 *
 *   blend       dst = value + dst * (255 - alpha) / 255, the division as in lw_faded, the sum limited to 255
 *   lerp        (sum of 4 neighbours * weights + 128) >> 8, weights in 16ths x 16ths
 *   scale       (sum of 4 neighbours * weights + 8192) >> 14, weights in 128ths x 128ths
 *   RGB to YUV  (sum of products with Q14 coefficients + half) >> 14; chroma from the sum of 4 pixels, >> 16 */
#include <string.h>

#include "dsp.h"
#include "pixels.h"

/* Kr 0.2126, Kb 0.0722 (Rec. ITU-R BT.709-6) and 0.299, 0.114 (BT.601-7): limited range, Q14. The middle coefficient
 * takes what rounding leaves: white is exactly 235, greys are exactly 128. */
#define SPLIT(c) (((c) + 64 + 128 * 256) / 128 - 256)
#define ROW(r, g, b)                                                                                                \
    {                                                                                                               \
        .hi = {SPLIT(r), SPLIT(g), SPLIT(b), 0},                                                                    \
        .lo = {(r) - 128 * SPLIT(r), (g) - 128 * SPLIT(g), (b) - 128 * SPLIT(b), 0}                                 \
    }
const lw_rgb_matrix lw_rgb_matrices[2] = {
    {.y = ROW(2991, 10064, 1016), .u = ROW(-1649, -5547, 7196), .v = ROW(7196, -6536, -660)},
    {.y = ROW(4207, 8260, 1604), .u = ROW(-2428, -4768, 7196), .v = ROW(7196, -6026, -1170)},
};

static inline void blend_row(uint8_t *restrict dst, const uint8_t *restrict value, const uint8_t *restrict alpha,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t t = (uint16_t)(dst[i] * (255 - alpha[i]));
        uint16_t sum = (uint16_t)(value[i] + ((uint16_t)(t + (t >> 8) + 128) >> 8));
        dst[i] = (uint8_t)(sum > 255 ? 255 : sum);
    }
}

void lw_blend_c(const lw_patch *p)
{
    for (ptrdiff_t j = 0; j < p->rows; j++)
        for (int k = 0; k < p->count; k++) {
            uint8_t *dst = p->dst[k] + j * p->dst_pitch;
            const uint8_t *value = p->value[k] + j * p->pitch;
            if (p->alpha)
                blend_row(dst, value, p->alpha + j * p->pitch, (size_t)p->n);
            else
                memcpy(dst, value, (size_t)p->n);
        }
}

static inline void lerp_row(uint8_t *restrict dst, const uint8_t *restrict src, ptrdiff_t pitch, int32_t wx, int32_t wy,
                            size_t n)
{
    const uint8_t *below = src + pitch;
    uint16_t a = (uint16_t)((16 - wx) * (16 - wy)), b = (uint16_t)(wx * (16 - wy)), c = (uint16_t)((16 - wx) * wy),
             d = (uint16_t)(wx * wy);
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)((uint16_t)(src[i] * a + src[i + 1] * b + below[i] * c + below[i + 1] * d + 128) >> 8);
}

#define PART 256 /* pixels that stay in the first cache between the steps */

void lw_lerp_c(const lw_patch *p, int32_t wx, int32_t wy)
{
    uint8_t value[PART], alpha[PART];
    for (ptrdiff_t j = 0; j < p->rows; j++)
        for (ptrdiff_t i = 0; i < p->n; i += PART) {
            const size_t part = (size_t)(p->n - i < PART ? p->n - i : PART);
            const ptrdiff_t from = j * p->pitch + i, to = j * p->dst_pitch + i;
            if (p->alpha)
                lerp_row(alpha, p->alpha + from, p->pitch, wx, wy, part);
            for (int k = 0; k < p->count; k++) {
                if (!p->alpha) {
                    lerp_row(p->dst[k] + to, p->value[k] + from, p->pitch, wx, wy, part);
                    continue;
                }
                lerp_row(value, p->value[k] + from, p->pitch, wx, wy, part);
                blend_row(p->dst[k] + to, value, alpha, part);
            }
        }
}

static inline int32_t sample(const uint8_t *p, ptrdiff_t pitch, int32_t fx, int32_t fy)
{
    return ((p[0] * (16 - fx) + p[1] * fx) * (16 - fy) + (p[pitch] * (16 - fx) + p[pitch + 1] * fx) * fy + 128) >> 8;
}

void lw_warp_c(const lw_patch *p, const lw_warp *w)
{
    for (int32_t j = 0; j < p->rows; j++) {
        const int32_t x0 = w->spans ? w->spans[j].x0 : 0, x1 = w->spans ? w->spans[j].x1 : p->n;
        for (int32_t i = x0; i < x1; i++) {
            const int32_t u = w->u + i * w->du - j * w->dv, v = w->v + i * w->dv + j * w->du;
            const int32_t fx = u >> 12 & 15, fy = v >> 12 & 15;
            const ptrdiff_t at = (ptrdiff_t)(v >> 16) * p->pitch + (u >> 16);
            const int32_t inverse = p->alpha ? 255 - sample(p->alpha + at, p->pitch, fx, fy) : 0;
            for (int k = 0; k < p->count; k++) {
                uint8_t *dst = p->dst[k] + j * p->dst_pitch + i;
                const int32_t sum = sample(p->value[k] + at, p->pitch, fx, fy) + lw_faded(*dst, inverse);
                *dst = (uint8_t)(sum > 255 ? 255 : sum);
            }
        }
    }
}

void lw_look_c(lw_mask *masks, const uint8_t *alpha, ptrdiff_t pitch, int32_t shift, int32_t count, int32_t rows)
{
    for (int32_t j = 0; j < rows; j++) {
        const uint8_t *a = alpha + j * pitch;
        lw_mask m = {0, 0};
        for (int32_t i = 0; i < count; i++) {
            uint64_t any = 0, all = ~0ull;
            for (int32_t k = 0; k < 1 << shift; k += 8, a += 8) {
                uint64_t eight;
                memcpy(&eight, a, 8);
                any |= eight;
                all &= eight;
            }
            m.seen |= (uint64_t)(any != 0) << i;
            m.solid |= (uint64_t)(all == ~0ull) << i;
        }
        masks[j] = m;
    }
}

void lw_scale_row_c(int16_t *restrict out, const uint8_t *restrict src, size_t src_n, const uint16_t *restrict at,
                    const uint16_t *restrict weight, size_t n)
{
    (void)src_n;
    for (size_t i = 0; i < n; i++)
        out[i] = (int16_t)((src[at[i]] - 128) * (weight[i] & 255) + (src[at[i] + 1] - 128) * (weight[i] >> 8));
}

void lw_scale_mix_c(uint8_t *restrict out, const int16_t *restrict top, const int16_t *restrict below, int32_t wy,
                    size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((top[i] * (128 - wy) + below[i] * wy + (128 << 14) + 8192) >> 14);
}

void lw_rgba_luma_c(uint8_t *restrict y, const uint8_t *restrict rgba, size_t n, const lw_rgb_matrix *m)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (uint8_t)lw_rgb_luma(m, rgba + 4 * i);
}

void lw_rgba_chroma_c(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict top,
                      const uint8_t *restrict below, size_t n, const lw_rgb_matrix *m)
{
    for (size_t i = 0; i < n; i++) {
        int32_t su = (128 << 16) + 32768, sv = su;
        for (int k = 0; k < 2; k++) {
            su += lw_rgb_dot(&m->u, top + 8 * i + 4 * k) + lw_rgb_dot(&m->u, below + 8 * i + 4 * k);
            sv += lw_rgb_dot(&m->v, top + 8 * i + 4 * k) + lw_rgb_dot(&m->v, below + 8 * i + 4 * k);
        }
        u[i] = (uint8_t)(su >> 16);
        v[i] = (uint8_t)(sv >> 16);
    }
}
