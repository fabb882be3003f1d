/* Base64 for NEON: 64 characters at once, loaded as four vectors of the first, second, third and fourth of each group,
 * so that joining them is shifts and the store puts the bytes in order. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dsp.h"

static inline uint8x16x4_t load64(const uint8_t *p)
{
    return (uint8x16x4_t){{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}

/* A lookup gives 0, or leaves what was there, where the index is above 63. So characters above 127 come out as 0:
 * their own bit 7 tells. */
static inline uint8x16_t value(uint8x16_t c, uint8x16x4_t low, uint8x16x4_t high, uint8x16_t *bad)
{
    uint8x16_t v = vqtbx4q_u8(vqtbl4q_u8(low, c), high, veorq_u8(c, vdupq_n_u8(64)));
    *bad = vorrq_u8(*bad, vorrq_u8(c, v));
    return v;
}

size_t lw_base64_neon(uint8_t *out, const uint8_t *in, size_t n)
{
    const uint8x16x4_t low = load64(lw_base64_values), high = load64(lw_base64_values + 64);
    size_t i = 0;
    while (i < n && n >= 64) {
        if (n - i < 64)
            i = n - 64; /* a part of it again, so that the last block is a whole one */
        const uint8x16x4_t c = vld4q_u8(in + i);
        uint8x16_t bad = vdupq_n_u8(0);
        const uint8x16_t v0 = value(c.val[0], low, high, &bad), v1 = value(c.val[1], low, high, &bad);
        const uint8x16_t v2 = value(c.val[2], low, high, &bad), v3 = value(c.val[3], low, high, &bad);
        if (vmaxvq_u8(bad) & 0x80)
            break;
        const uint8x16x3_t bytes = {{vorrq_u8(vshlq_n_u8(v0, 2), vshrq_n_u8(v1, 4)),
                                     vorrq_u8(vshlq_n_u8(v1, 4), vshrq_n_u8(v2, 2)),
                                     vorrq_u8(vshlq_n_u8(v2, 6), v3)}};
        vst3q_u8(out + i / 4 * 3, bytes);
        i += 64;
    }
    return i + lw_base64_c(out + i / 4 * 3, in + i, n - i);
}
#endif
