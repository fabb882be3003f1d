/* G.722's batches on NEON: 8 channels a vector. (a b) >> 15 is one instruction here, vqdmulh: it would saturate only
 * where both are -32768, and of each product one factor is smaller. Transpositions: 8 x 8. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "dsp.h"
#include "g722.h"

#define TARGET
#define INLINE static inline __attribute__((always_inline))
#define FORM(name) neon_##name
#define W 8
#define V int16x8_t
#define LOAD(p) vld1q_s16((const int16_t *)(p))
#define STORE(p, v) vst1q_s16((int16_t *)(p), v)
#define SET1(x) vdupq_n_s16((int16_t)(x))
#define ADD vaddq_s16
#define SUB vsubq_s16
#define ADDS vqaddq_s16
#define SUBS vqsubq_s16
#define MIN vminq_s16
#define MAX vmaxq_s16
#define AND vandq_s16
#define OR vorrq_s16
#define XOR veorq_s16
#define SLL vshlq_n_s16
#define SRL(v, k) vreinterpretq_s16_u16(vshrq_n_u16(vreinterpretq_u16_s16(v), k))
#define SRA vshrq_n_s16
#define MUL15 vqdmulhq_s16
/* (a b) >> 16: the product of a half as large, as a factor is always even here (a power of two, or 4 d). */
#define MULHI(a, b) vqdmulhq_s16(a, SRA(b, 1))
#define SCALE(q, v) vqdmulhq_s16(SLL(q, 3), v)
#define DOWN_IF_GT(m, a, b) ADD(m, vreinterpretq_s16_u16(vcgtq_s16(a, b)))
#define IF_ZERO(v) vreinterpretq_s16_u16(vceqzq_s16(v))
#define TABLE(p) vreinterpretq_u8_s16(vld1q_s16(p))
#define INDEX(m) vreinterpretq_u8_s16(vmlaq_n_s16(SET1(0x0100), m, 0x0202))
#define LOOK(t, i) vreinterpretq_s16_u8(vqtbl1q_u8(t, i))
#define PLACES uint8x16_t
#define LOAD8(p) vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)))
#define STORE8(p, v) vst1_u8(p, vmovn_u16(vreinterpretq_u16_s16(v)))
#define MANTISSA neon_mantissa
#define LEVELS neon_levels
#define LEVELS_OF neon_levels_of
#define LEVEL neon_level

INLINE int16x8_t neon_mantissa(int16x8_t nb, int shift)
{
    const uint8_t *table = (const uint8_t *)lw_g722_mantissa;
    uint8x16x4_t words = {{vld1q_u8(table), vld1q_u8(table + 16), vld1q_u8(table + 32), vld1q_u8(table + 48)}};
    uint8x16_t i = vreinterpretq_u8_s16(vmlaq_n_s16(SET1(0x0100), AND(SRA(nb, 6), SET1(31)), 0x0202));
    int16x8_t mantissa = vreinterpretq_s16_u8(vqtbl4q_u8(words, i));
    return SLL(vshlq_s16(mantissa, SUB(SRA(nb, 11), SET1(shift))), 2); /* shifted left by what is negative */
}

typedef struct neon_levels {
    uint8x16x4_t lower, upper;
} neon_levels;

INLINE neon_levels neon_levels_of(const int16_t *level)
{
    const uint8_t *p = (const uint8_t *)level;
    return (neon_levels){{{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}},
                         {{vld1q_u8(p + 64), vld1q_u8(p + 80), vld1q_u8(p + 96), vld1q_u8(p + 112)}}};
}

INLINE int16x8_t neon_level(neon_levels l, uint8x16_t unused, int16x8_t code, int16x8_t sign)
{
    (void)unused, (void)sign;
    uint8x16_t i = vreinterpretq_u8_s16(vmlaq_n_s16(SET1(0x0100), code, 0x0202)); /* bytes 0..127 of the table */
    return vreinterpretq_s16_u8(vqtbx4q_u8(vqtbl4q_u8(l.lower, i), l.upper, vsubq_u8(i, vdupq_n_u8(64))));
}

#include "g722_lanes.h"

void lw_g722_encode_lanes_neon(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t used,
                               lw_g722_lanes *lanes)
{
    for (size_t at = 0; at < used; at += W)
        neon_encode(codes, low, high, n, at, lanes);
}

void lw_g722_decode_lanes_neon(int16_t *pairs, const uint8_t *codes, size_t n, size_t used, const int16_t level[64],
                               lw_g722_lanes *lanes)
{
    for (size_t at = 0; at < used; at += W)
        neon_decode(pairs, codes, n, at, level, lanes);
}

void lw_turn16_neon(int16_t *to, size_t to_step, const int16_t *from, size_t from_step, size_t rows, size_t columns)
{
    for (size_t c = 0; c < columns; c += 8) {
        for (size_t r = 0; r < rows; r += 8) {
            int16x8_t x[8], y[8];
            for (size_t k = 0; k < 8; k++)
                x[k] = vld1q_s16(from + (r + k) * from_step + c);
            /* three rounds of "row k with row k + 4": each rotates the index by a bit */
            for (int round = 0; round < 3; round++) {
                for (int k = 0; k < 4; k++) {
                    y[2 * k] = vzip1q_s16(x[k], x[k + 4]);
                    y[2 * k + 1] = vzip2q_s16(x[k], x[k + 4]);
                }
                for (int k = 0; k < 8; k++)
                    x[k] = y[k];
            }
            for (size_t k = 0; k < 8; k++)
                vst1q_s16(to + (c + k) * to_step + r, x[k]);
        }
    }
}

void lw_turn8_neon(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t rows, size_t columns)
{
    for (size_t c = 0; c < columns; c += 16) {
        for (size_t r = 0; r < rows; r += 16) {
            uint8x16_t x[16], y[16];
            for (size_t k = 0; k < 16; k++)
                x[k] = vld1q_u8(from + (r + k) * from_step + c);
            for (int round = 0; round < 4; round++) {
                for (int k = 0; k < 8; k++) {
                    y[2 * k] = vzip1q_u8(x[k], x[k + 8]);
                    y[2 * k + 1] = vzip2q_u8(x[k], x[k + 8]);
                }
                for (int k = 0; k < 16; k++)
                    x[k] = y[k];
            }
            for (size_t k = 0; k < 16; k++)
                vst1q_u8(to + (c + k) * to_step + r, x[k]);
        }
    }
}

/* ---- the filter bank ---- */

/* Eight steps: in pairs that vld2 takes apart, a tap is one widening multiplication of four by a constant. */
void lw_g722_split_neon(int16_t *low, int16_t *high, const int16_t *x, size_t n)
{
    if (n < 8) {
        lw_g722_split_c(low, high, x, n);
        return;
    }
    for (size_t i = 0;; i = i + 16 <= n ? i + 8 : n - 8) {
        int32x4_t first[2] = {vdupq_n_s32(0), vdupq_n_s32(0)}, second[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int k = 0; k < 12; k++) {
            int16x8x2_t v = vld2q_s16(x + 2 * (i + (size_t)k));
            first[0] = vmlal_n_s16(first[0], vget_low_s16(v.val[0]), lw_g722_qmf[k]);
            first[1] = vmlal_n_s16(first[1], vget_high_s16(v.val[0]), lw_g722_qmf[k]);
            second[0] = vmlal_n_s16(second[0], vget_low_s16(v.val[1]), lw_g722_qmf[11 - k]);
            second[1] = vmlal_n_s16(second[1], vget_high_s16(v.val[1]), lw_g722_qmf[11 - k]);
        }
        int16x8_t l = vcombine_s16(vshrn_n_s32(vaddq_s32(second[0], first[0]), 14),
                                   vshrn_n_s32(vaddq_s32(second[1], first[1]), 14));
        int16x8_t h = vcombine_s16(vshrn_n_s32(vsubq_s32(second[0], first[0]), 14),
                                   vshrn_n_s32(vsubq_s32(second[1], first[1]), 14));
        vst1q_s16(low + i, MAX(MIN(l, SET1(16383)), SET1(-16384)));
        vst1q_s16(high + i, MAX(MIN(h, SET1(16383)), SET1(-16384)));
        if (i + 8 == n)
            break;
    }
}

void lw_g722_join_neon(int16_t *pcm, const int16_t *x, size_t n)
{
    if (n < 8) {
        lw_g722_join_c(pcm, x, n);
        return;
    }
    for (size_t i = 0;; i = i + 16 <= n ? i + 8 : n - 8) {
        int32x4_t sum[2] = {vdupq_n_s32(0), vdupq_n_s32(0)}, difference[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
        for (int k = 0; k < 12; k++) {
            int16x8x2_t v = vld2q_s16(x + 2 * (i + (size_t)k));
            sum[0] = vmlal_n_s16(sum[0], vget_low_s16(v.val[0]), lw_g722_qmf[k]);
            sum[1] = vmlal_n_s16(sum[1], vget_high_s16(v.val[0]), lw_g722_qmf[k]);
            difference[0] = vmlal_n_s16(difference[0], vget_low_s16(v.val[1]), lw_g722_qmf[11 - k]);
            difference[1] = vmlal_n_s16(difference[1], vget_high_s16(v.val[1]), lw_g722_qmf[11 - k]);
        }
        int16x8x2_t out = {{vcombine_s16(vqshrn_n_s32(difference[0], 11), vqshrn_n_s32(difference[1], 11)),
                            vcombine_s16(vqshrn_n_s32(sum[0], 11), vqshrn_n_s32(sum[1], 11))}};
        vst2q_s16(pcm + 2 * i, out);
        if (i + 8 == n)
            break;
    }
}
#endif
