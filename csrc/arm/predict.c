/* The predictor's sums and recursion on NEON: sixteen lanes are four registers; products and sums apart, as in C. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "../dsp.h"

float lw_dot_neon(const float *a, const float *b, size_t n)
{
    float rest[2][16] = {{0}};
    float32x4_t s[4];
    for (int k = 0; k < 4; k++)
        s[k] = vdupq_n_f32(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 4; k++)
            s[k] = vaddq_f32(s[k], vmulq_f32(vld1q_f32(a + i + 4 * k), vld1q_f32(b + i + 4 * k)));
    for (size_t k = 0; i + k < n; k++) {
        rest[0][k] = a[i + k];
        rest[1][k] = b[i + k];
    }
    for (int k = 0; k < 4; k++)
        s[k] = vaddq_f32(s[k], vmulq_f32(vld1q_f32(rest[0] + 4 * k), vld1q_f32(rest[1] + 4 * k)));
    float32x4_t four = vaddq_f32(vaddq_f32(s[0], s[2]), vaddq_f32(s[1], s[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

float lw_burg_neon(float *f, float *b, size_t n, float k)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t t = vld1q_f32(f + i), u = vld1q_f32(b + i);
        vst1q_f32(f + i, vaddq_f32(t, vmulq_n_f32(u, k)));
        vst1q_f32(b + i, vaddq_f32(u, vmulq_n_f32(t, k)));
    }
    for (; i < n; i++) {
        float t = f[i];
        f[i] = t + k * b[i];
        b[i] = b[i] + k * t;
    }
    return lw_dot_neon(f + 1, b, n - 1);
}

#endif
