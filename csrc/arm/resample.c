/* The polyphase filter on NEON: widening multiply-accumulate, four outputs at a time for their horizontal sums. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "../common.h"
#include "../dsp.h"

void lw_fir_neon(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase)
{
    const int32x4_t half = vdupq_n_s32(1 << (f->fine_bits - 1)), down = vdupq_n_s32(-f->fine_bits);
    int32_t whole = f->step / f->phases, part = f->step % f->phases;
    for (size_t i = 0; i < n; i += 4) {
        int32x4_t hi[4], lo[4];
        for (size_t j = 0; j < 4; j++) {
            const int16_t *c = f->coefs + (ptrdiff_t)phase * 2 * f->taps;
            int32x4_t h = vdupq_n_s32(0), h2 = h, l = h, l2 = h;
            for (int32_t k = 0; k < f->taps; k += 16, c += 32) {
                int16x8_t a = vld1q_s16(x + k), b = vld1q_s16(x + k + 8);
                int16x8_t ca = vld1q_s16(c), cb = vld1q_s16(c + 8), fa = vld1q_s16(c + 16), fb = vld1q_s16(c + 24);
                h = vmlal_s16(h, vget_low_s16(a), vget_low_s16(ca));
                h2 = vmlal_high_s16(h2, a, ca);
                l = vmlal_s16(l, vget_low_s16(a), vget_low_s16(fa));
                l2 = vmlal_high_s16(l2, a, fa);
                h = vmlal_s16(h, vget_low_s16(b), vget_low_s16(cb));
                h2 = vmlal_high_s16(h2, b, cb);
                l = vmlal_s16(l, vget_low_s16(b), vget_low_s16(fb));
                l2 = vmlal_high_s16(l2, b, fb);
            }
            hi[j] = vaddq_s32(h, h2);
            lo[j] = vaddq_s32(l, l2);
            if (i + j + 1 < n) { /* else the last output again, thrown away */
                phase += part;
                x += whole;
                if (phase >= f->phases) {
                    phase -= f->phases;
                    x++;
                }
            }
        }
        int32x4_t h = vpaddq_s32(vpaddq_s32(hi[0], hi[1]), vpaddq_s32(hi[2], hi[3]));
        int32x4_t l = vpaddq_s32(vpaddq_s32(lo[0], lo[1]), vpaddq_s32(lo[2], lo[3]));
        int32x4_t sum = vaddq_s32(vaddq_s32(h, vshlq_s32(vaddq_s32(l, half), down)), vdupq_n_s32(1 << 13));
        int16x4_t y = vqmovn_s32(vshrq_n_s32(sum, 14));
        if (n - i >= 4) {
            vst1_s16(out + i, y);
        } else {
            int16_t rest[4];
            vst1_s16(rest, y);
            memcpy(out + i, rest, (n - i) * sizeof *out);
        }
    }
}

#endif
