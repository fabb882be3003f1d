/* Sprites for NEON: products of bytes are widened to 16 bits at once, so pixels and weights stay unsigned. A row ends
 * with a vector that goes through a buffer; sprites are readable past their ends (LW_PIXEL_PAD): only dst needs it. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "dsp.h"
#include "pixels.h"

static inline uint8x16_t get16(const uint8_t *p, ptrdiff_t left)
{
    uint8_t part[16] = {0};
    if (left >= 16)
        return vld1q_u8(p);
    memcpy(part, p, (size_t)left);
    return vld1q_u8(part);
}

static inline void put16(uint8_t *p, uint8x16_t v, ptrdiff_t left)
{
    uint8_t part[16];
    if (left >= 16) {
        vst1q_u8(p, v);
        return;
    }
    vst1q_u8(part, v);
    memcpy(p, part, (size_t)left);
}

/* lw_faded of 8 pixels. */
static inline uint8x8_t fade(uint8x8_t dst, uint8x8_t inverse)
{
    const uint16x8_t t = vmull_u8(dst, inverse);
    return vrshrn_n_u16(vsraq_n_u16(t, t, 8), 8);
}

static inline uint8x16_t over16(uint8x16_t d, uint8x16_t v, uint8x16_t a)
{
    const uint8x16_t inverse = vmvnq_u8(a);
    const uint8x8_t lo = fade(vget_low_u8(d), vget_low_u8(inverse)), hi = fade(vget_high_u8(d), vget_high_u8(inverse));
    return vqaddq_u8(vcombine_u8(lo, hi), v);
}

void lw_blend_neon(const lw_patch *p)
{
    if (!p->alpha) {
        lw_blend_c(p);
        return;
    }
    for (ptrdiff_t j = 0; j < p->rows; j++)
        for (ptrdiff_t i = 0; i < p->n; i += 16) {
            const ptrdiff_t from = j * p->pitch + i, to = j * p->dst_pitch + i, left = p->n - i;
            const uint8x16_t a = vld1q_u8(p->alpha + from);
            for (int k = 0; k < p->count; k++) {
                uint8_t *dst = p->dst[k] + to;
                put16(dst, over16(get16(dst, left), vld1q_u8(p->value[k] + from), a), left);
            }
        }
}

/* 16 pixels of all that a patch has: its alpha, and its planes. */
typedef struct sums {
    uint16x8_t lo, hi;
} sums;

static inline sums across16(const uint8_t *src, uint8x8_t left, uint8x8_t right)
{
    const uint8x16_t p = vld1q_u8(src), q = vld1q_u8(src + 1);
    return (sums){vmlal_u8(vmull_u8(vget_low_u8(p), left), vget_low_u8(q), right),
                  vmlal_u8(vmull_u8(vget_high_u8(p), left), vget_high_u8(q), right)};
}

static inline uint8x16_t down16(sums top, sums below, uint16_t near, uint16_t far)
{
    const uint16x8_t lo = vmlaq_n_u16(vmulq_n_u16(top.lo, near), below.lo, far);
    const uint16x8_t hi = vmlaq_n_u16(vmulq_n_u16(top.hi, near), below.hi, far);
    return vcombine_u8(vrshrn_n_u16(lo, 8), vrshrn_n_u16(hi, 8));
}

void lw_lerp_neon(const lw_patch *p, int32_t wx, int32_t wy)
{
    const uint8x8_t left = vdup_n_u8((uint8_t)(16 - wx)), right = vdup_n_u8((uint8_t)wx);
    const uint8_t *const plane[3] = {p->alpha, p->value[0], p->value[1]};
    const int first = p->alpha ? 0 : 1;
    for (ptrdiff_t i = 0; i < p->n; i += 16) {
        sums top[3]; /* what a row gives to the one below it is made once */
        for (int k = first; k <= p->count; k++)
            top[k] = across16(plane[k] + i, left, right);
        for (ptrdiff_t j = 0; j < p->rows; j++) {
            uint8x16_t alpha = vdupq_n_u8(255);
            for (int k = first; k <= p->count; k++) {
                const sums below = across16(plane[k] + (j + 1) * p->pitch + i, left, right);
                uint8x16_t out = down16(top[k], below, (uint16_t)(16 - wy), (uint16_t)wy);
                top[k] = below;
                if (!k) {
                    alpha = out;
                    continue;
                }
                uint8_t *dst = p->dst[k - 1] + j * p->dst_pitch + i;
                if (!first)
                    out = over16(get16(dst, p->n - i), out, alpha);
                put16(dst, out, p->n - i);
            }
        }
    }
}

/* The rows that 16 pixels lie on and below, from their own and from the next column on. */
typedef struct quads {
    uint8x16_t p, q, r, s;
} quads;

static inline quads quads_at(const uint8_t *src, ptrdiff_t pitch)
{
    return (quads){vld1q_u8(src), vld1q_u8(src + 1), vld1q_u8(src + pitch), vld1q_u8(src + pitch + 1)};
}

static inline quads quads_from(quads old, quads rest, uint8x16_t there)
{
    return (quads){vbslq_u8(there, rest.p, old.p), vbslq_u8(there, rest.q, old.q), vbslq_u8(there, rest.r, old.r),
                   vbslq_u8(there, rest.s, old.s)};
}

/* The 16ths of places that go on by `step` of 65536. */
static inline uint8x16_t places(int32_t from, int32_t step)
{
    const uint16x8_t number = {0, 1, 2, 3, 4, 5, 6, 7};
    const uint16x8_t lo = vmlaq_n_u16(vdupq_n_u16((uint16_t)from), number, (uint16_t)step);
    const uint16x8_t hi = vaddq_u16(lo, vdupq_n_u16((uint16_t)(8 * step)));
    return vcombine_u8(vmovn_u16(vshrq_n_u16(lo, 12)), vmovn_u16(vshrq_n_u16(hi, 12)));
}

static inline uint8x8_t mixed(uint8x8_t p, uint8x8_t q, uint8x8_t r, uint8x8_t s, uint8x8_t fx, uint8x8_t fy)
{
    const uint8x8_t whole = vdup_n_u8(16), left = vsub_u8(whole, fx);
    const uint16x8_t top = vmlal_u8(vmull_u8(p, left), q, fx), below = vmlal_u8(vmull_u8(r, left), s, fx);
    return vrshrn_n_u16(vmlaq_u16(vmulq_u16(top, vmovl_u8(vsub_u8(whole, fy))), below, vmovl_u8(fy)), 8);
}

static inline uint8x16_t mixed16(quads a, uint8x16_t fx, uint8x16_t fy)
{
    return vcombine_u8(mixed(vget_low_u8(a.p), vget_low_u8(a.q), vget_low_u8(a.r), vget_low_u8(a.s), vget_low_u8(fx),
                             vget_low_u8(fy)),
                       mixed(vget_high_u8(a.p), vget_high_u8(a.q), vget_high_u8(a.r), vget_high_u8(a.s),
                             vget_high_u8(fx), vget_high_u8(fy)));
}

static void level_row(const lw_patch *p, uint8_t *const *dst, const lw_warp *w, int32_t u, int32_t v, int32_t n)
{
    static const uint8_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8x16_t number = vld1q_u8(numbers);
    const uint8_t *const plane[3] = {p->alpha, p->value[0], p->value[1]};
    const ptrdiff_t step = w->dv < 0 ? -p->pitch : p->pitch;
    const int first = p->alpha ? 0 : 1;
    lw_steps s = lw_steps_from(v, w->dv);
    for (int32_t i = 0, part; i < n; i += part, u += part * w->du, v += part * w->dv) {
        part = lw_warp_columns(u, w->du, n - i < 16 ? n - i : 16);
        ptrdiff_t at = (ptrdiff_t)(v >> 16) * p->pitch + (u >> 16);
        quads q[3];
        for (int k = first; k <= p->count; k++)
            q[k] = quads_at(plane[k] + at, p->pitch);
        while (s.next <= i)
            lw_steps_on(&s);
        for (; s.next < i + part; lw_steps_on(&s)) {
            const uint8x16_t there = vcgeq_u8(number, vdupq_n_u8((uint8_t)(s.next - i)));
            at += step;
            for (int k = first; k <= p->count; k++)
                q[k] = quads_from(q[k], quads_at(plane[k] + at, p->pitch), there);
        }
        const uint8x16_t fx = places(u, w->du - 65536), fy = places(v, w->dv);
        const uint8x16_t alpha = first ? vdupq_n_u8(255) : mixed16(q[0], fx, fy);
        for (int k = 0; k < p->count; k++) {
            uint8x16_t out = mixed16(q[1 + k], fx, fy);
            if (!first)
                out = over16(get16(dst[k] + i, part), out, alpha);
            put16(dst[k] + i, out, part);
        }
    }
}

void lw_warp_neon(const lw_patch *p, const lw_warp *w)
{
    if (!lw_warp_is_level(w)) {
        lw_warp_c(p, w);
        return;
    }
    for (int32_t j = 0; j < p->rows; j++) {
        const int32_t x0 = w->spans ? w->spans[j].x0 : 0, n = (w->spans ? w->spans[j].x1 : p->n) - x0;
        const int32_t u = w->u + x0 * w->du - j * w->dv, v = w->v + x0 * w->dv + j * w->du;
        const ptrdiff_t to = j * p->dst_pitch + x0;
        uint8_t *const dst[2] = {p->dst[0] + to, p->count > 1 ? p->dst[1] + to : NULL};
        level_row(p, dst, w, u, v, n);
    }
}
#endif
