/* The viseme extractor's kernels on NEON. The float ones are viseme_lanes.h, those that plain C does not
 * do as well; the dense layers are here. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dsp.h"
#include "viseme_kernels.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void neon_transpose(float32x4_t x[4])
{
    float32x4_t a = vzip1q_f32(x[0], x[2]), b = vzip2q_f32(x[0], x[2]);
    float32x4_t c = vzip1q_f32(x[1], x[3]), d = vzip2q_f32(x[1], x[3]);
    x[0] = vzip1q_f32(a, c), x[1] = vzip2q_f32(a, c);
    x[2] = vzip1q_f32(b, d), x[3] = vzip2q_f32(b, d);
}

/* Lanes 0, 1 + 2, 3, then 0 + 1. */
INLINE float32x4_t neon_sums(const float32x4_t x[4])
{
    float32x4_t y[2];
    for (int k = 0; k < 2; k++) {
        float64x2_t a = vreinterpretq_f64_f32(x[2 * k]), b = vreinterpretq_f64_f32(x[2 * k + 1]);
        y[k] = vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)), vreinterpretq_f32_f64(vzip2q_f64(a, b)));
    }
    return vpaddq_f32(y[0], y[1]);
}

INLINE float32x4_t neon_mirror(float32x4_t a, float32x4_t b)
{
    float32x4_t x = vrev64q_f32(vextq_f32(a, b, 1)); /* a[2] a[1] b[0] a[3] */
    return vextq_f32(x, x, 2);
}

#define W 4
#define TARGET
#define FORM(name) neon_##name
#define EXPORT(name) lw_viseme_##name##_neon
#define MIRROR(a, b) ((FORM(f))neon_mirror((float32x4_t)(a), (float32x4_t)(b)))
#define TRANSPOSE(x) neon_transpose((float32x4_t *)(x))
#define SUMS(x) ((FORM(f))neon_sums((const float32x4_t *)(x)))
#include "viseme_lanes.h"

/* Four columns' weights of 16 rows, taken apart by column; each is multiplied by its input, a lane of a vector. */
INLINE void neon_tile(int32_t *sums, size_t step, const int8_t *weight, int32_t columns, const int16_t *const *x,
                      int sessions)
{
    int32x4_t acc[4][4];
    for (int s = 0; s < sessions; s++)
        for (int k = 0; k < 4; k++)
            acc[s][k] = vdupq_n_s32(0);
    for (int32_t c = 0; c < columns; c += 4, weight += 64) {
        int8x16x4_t w = vld4q_s8(weight);
        int16x4_t in[4];
        for (int s = 0; s < sessions; s++)
            in[s] = vld1_s16(x[s] + c);
#define COLUMN(j)                                                                                                     \
    do {                                                                                                              \
        int16x8_t low = vmovl_s8(vget_low_s8(w.val[j])), high = vmovl_s8(vget_high_s8(w.val[j]));                     \
        for (int s = 0; s < sessions; s++) {                                                                          \
            acc[s][0] = vmlal_lane_s16(acc[s][0], vget_low_s16(low), in[s], j);                                       \
            acc[s][1] = vmlal_high_lane_s16(acc[s][1], low, in[s], j);                                                \
            acc[s][2] = vmlal_lane_s16(acc[s][2], vget_low_s16(high), in[s], j);                                      \
            acc[s][3] = vmlal_high_lane_s16(acc[s][3], high, in[s], j);                                               \
        }                                                                                                             \
    } while (0)
        COLUMN(0);
        COLUMN(1);
        COLUMN(2);
        COLUMN(3);
#undef COLUMN
    }
    for (int s = 0; s < sessions; s++)
        for (int k = 0; k < 4; k++)
            vst1q_s32(sums + (size_t)s * step + 4 * k, acc[s][k]);
}

void lw_viseme_dense_neon(int32_t *sums, size_t step, const int16_t *const *x, size_t sessions,
                          const lw_viseme_layer *layer)
{
    for (int32_t r = 0; r < layer->rows; r += 16) {
        const int8_t *weight = layer->weight + (size_t)r * (size_t)layer->columns;
        size_t s = 0;
        for (; s + 4 <= sessions; s += 4)
            neon_tile(sums + s * step + r, step, weight, layer->columns, x + s, 4);
        for (; s < sessions; s++)
            neon_tile(sums + s * step + r, step, weight, layer->columns, x + s, 1);
    }
}
#endif
