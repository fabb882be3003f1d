/* Cross-correlation on NEON: widening multiply-accumulate, four lags at a time. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../dsp.h"

static inline int32x4_t part(int32x4_t sum, int16x8_t x, int16x8_t y)
{
    return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(x), vget_low_s16(y)), x, y);
}

void lw_correlate_neon(int32_t *out, const int16_t *x, const int16_t *y, size_t n, size_t lags)
{
    size_t l = 0;
    for (; l + 4 <= lags; l += 4, y += 4) {
        int32x4_t a = vdupq_n_s32(0), b = a, c = a, d = a;
        for (size_t i = 0; i < n; i += 8) {
            int16x8_t v = vld1q_s16(x + i);
            a = part(a, v, vld1q_s16(y + i));
            b = part(b, v, vld1q_s16(y + i + 1));
            c = part(c, v, vld1q_s16(y + i + 2));
            d = part(d, v, vld1q_s16(y + i + 3));
        }
        vst1q_s32(out + l, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
    }
    for (; l < lags; l++, y++) {
        int32x4_t a = vdupq_n_s32(0);
        for (size_t i = 0; i < n; i += 8)
            a = part(a, vld1q_s16(x + i), vld1q_s16(y + i));
        out[l] = vaddvq_s32(a);
    }
}

#endif
