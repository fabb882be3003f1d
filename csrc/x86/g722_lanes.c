/* G.722's batches on AVX2 (16 channels a vector) and AVX-512 (32 channels; up to 16 are faster in the AVX2 form, also
 * than in one of 256 bits with AVX-512's operations), and the transpositions around them. */
#if defined(__x86_64__)

#include "dsp.h"
#include "g722.h"
#include "x86.h"


/* ---- what the two have in common ---- */

#define LEVELS_BY_PLACE(level, out)                     \
    int16_t out[4][8];                                  \
    for (int place_ = 0; place_ < 4; place_++)          \
        for (int m_ = 0; m_ < 8; m_++)                  \
            out[place_][m_] = (level)[60 - 4 * m_ + place_];

/* ---- AVX2 ---- */

#define TARGET AVX2
#define FORM(name) avx2_##name
#define W 16
#define V __m256i
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_store_si256((__m256i *)(p), v)
#define SET1(x) _mm256_set1_epi16(x)
#define ADD _mm256_add_epi16
#define SUB _mm256_sub_epi16
#define ADDS _mm256_adds_epi16
#define SUBS _mm256_subs_epi16
#define MIN _mm256_min_epi16
#define MAX _mm256_max_epi16
#define AND _mm256_and_si256
#define OR _mm256_or_si256
#define XOR _mm256_xor_si256
#define SLL _mm256_slli_epi16
#define SRL _mm256_srli_epi16
#define SRA _mm256_srai_epi16
#define MULHI _mm256_mulhi_epi16
#define SCALE(q, v) _mm256_mulhi_epu16(SLL(q, 4), v)
#define DOWN_IF_GT(m, a, b) ADD(m, _mm256_cmpgt_epi16(a, b))
#define IF_ZERO(v) _mm256_cmpeq_epi16(v, _mm256_setzero_si256())
#define TABLE(p) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p)))
#define INDEX(m) ADD(_mm256_mullo_epi16(m, SET1(0x0202)), SET1(0x0100))
#define LOOK(t, i) _mm256_shuffle_epi8(t, i)
#define PLACES V
#define LOAD8(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p)))
#define MUL15 avx2_mul15
#define STORE8 avx2_store8
#define MANTISSA avx2_mantissa
#define LEVELS avx2_levels
#define LEVELS_OF avx2_levels_of
#define LEVEL avx2_level

TARGET INLINE __m256i avx2_mul15(__m256i a, __m256i b)
{
    __m256i high = _mm256_mulhi_epi16(a, b);
    return OR(ADD(high, high), SRL(_mm256_mullo_epi16(a, b), 15));
}

TARGET INLINE void avx2_store8(uint8_t *p, __m256i v)
{
    __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(bytes));
}

TARGET INLINE __m256i avx2_mantissa(__m256i nb, int shift)
{
    __m256i part = SRA(nb, 6), i = INDEX(AND(part, SET1(7)));
    __m256i odd = SRA(SLL(part, 12), 15), upper = SRA(SLL(part, 11), 15); /* which of four tables */
    __m256i t0 = LOOK(TABLE(lw_g722_mantissa), i), t1 = LOOK(TABLE(lw_g722_mantissa + 8), i);
    __m256i t2 = LOOK(TABLE(lw_g722_mantissa + 16), i), t3 = LOOK(TABLE(lw_g722_mantissa + 24), i);
    t0 = XOR(t0, AND(XOR(t0, t1), odd));
    t2 = XOR(t2, AND(XOR(t2, t3), odd));
    t0 = XOR(t0, AND(XOR(t0, t2), upper));
    /* There is no shift of 16-bit lanes by a vector: multiply by 2^(16 - shift + octave), 8..2^14, a byte at a time. */
    __m256i x = ADD(SRA(nb, 11), SET1((short)(16 - shift)));
    const __m256i low = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i high = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128));
    __m256i power = OR(LOOK(low, OR(x, SET1(-32768))), LOOK(high, OR(SLL(x, 8), SET1(0x80))));
    return SLL(_mm256_mulhi_epi16(t0, power), 2);
}

typedef struct avx2_levels {
    __m256i place[4];
} avx2_levels;

TARGET INLINE avx2_levels avx2_levels_of(const int16_t *level)
{
    LEVELS_BY_PLACE(level, by_place)
    return (avx2_levels){{TABLE(by_place[0]), TABLE(by_place[1]), TABLE(by_place[2]), TABLE(by_place[3])}};
}

TARGET INLINE __m256i avx2_level(avx2_levels l, __m256i i, __m256i code, __m256i sign)
{
    __m256i odd = SRA(SLL(code, 15), 15), upper = SRA(SLL(code, 14), 15);
    __m256i t0 = LOOK(l.place[0], i), t1 = LOOK(l.place[1], i), t2 = LOOK(l.place[2], i), t3 = LOOK(l.place[3], i);
    t0 = XOR(t0, AND(XOR(t0, t1), odd));
    t2 = XOR(t2, AND(XOR(t2, t3), odd));
    t0 = XOR(t0, AND(XOR(t0, t2), upper));
    return SUB(XOR(t0, sign), sign);
}

#include "g722_lanes.h"

TARGET void lw_g722_encode_lanes_avx2(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t used,
                                      lw_g722_lanes *lanes)
{
    for (size_t at = 0; at < used; at += W)
        avx2_encode(codes, low, high, n, at, lanes);
}

TARGET void lw_g722_decode_lanes_avx2(int16_t *pairs, const uint8_t *codes, size_t n, size_t used,
                                      const int16_t level[64], lw_g722_lanes *lanes)
{
    for (size_t at = 0; at < used; at += W)
        avx2_decode(pairs, codes, n, at, level, lanes);
}

/* 16 rows of 8 columns: two transpositions of 8 x 8, one in each half. */
TARGET void lw_turn16_avx2(int16_t *to, size_t to_step, const int16_t *from, size_t from_step, size_t rows,
                           size_t columns)
{
    for (size_t c = 0; c < columns; c += 8) {
        for (size_t r = 0; r < rows; r += 16) {
            __m256i x[8], y[8];
            for (size_t k = 0; k < 8; k++) {
                const int16_t *at = from + (r + k) * from_step + c;
                x[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)at)),
                                               _mm_loadu_si128((const __m128i *)(at + 8 * from_step)), 1);
            }
            for (int k = 0; k < 4; k++) {
                y[k] = _mm256_unpacklo_epi16(x[2 * k], x[2 * k + 1]);
                y[k + 4] = _mm256_unpackhi_epi16(x[2 * k], x[2 * k + 1]);
            }
            for (int k = 0; k < 8; k += 2) { /* columns 0 1 | 2 3 of four rows, then 4 5 | 6 7 */
                x[k] = _mm256_unpacklo_epi32(y[k], y[k + 1]);
                x[k + 1] = _mm256_unpackhi_epi32(y[k], y[k + 1]);
            }
            for (int k = 0; k < 8; k += 4)
                for (int j = 0; j < 2; j++) {
                    y[k + 2 * j] = _mm256_unpacklo_epi64(x[k + j], x[k + 2 + j]);
                    y[k + 2 * j + 1] = _mm256_unpackhi_epi64(x[k + j], x[k + 2 + j]);
                }
            for (size_t k = 0; k < 8; k++)
                _mm256_storeu_si256((__m256i *)(to + (c + k) * to_step + r), y[k]);
        }
    }
}

/* 16 x 16: four rounds of "row k with row k + 8", which is a rotation of the index by one bit each. */
TARGET void lw_turn8_avx2(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t rows,
                          size_t columns)
{
    for (size_t c = 0; c < columns; c += 16) {
        for (size_t r = 0; r < rows; r += 16) {
            __m128i x[16], y[16];
            for (size_t k = 0; k < 16; k++)
                x[k] = _mm_loadu_si128((const __m128i *)(from + (r + k) * from_step + c));
            for (int round = 0; round < 4; round++) {
                for (int k = 0; k < 8; k++) {
                    y[2 * k] = _mm_unpacklo_epi8(x[k], x[k + 8]);
                    y[2 * k + 1] = _mm_unpackhi_epi8(x[k], x[k + 8]);
                }
                for (int k = 0; k < 16; k++)
                    x[k] = y[k];
            }
            for (size_t k = 0; k < 16; k++)
                _mm_storeu_si128((__m128i *)(to + (c + k) * to_step + r), x[k]);
        }
    }
}

#undef TARGET
#undef FORM
#undef W
#undef V
#undef LOAD
#undef STORE
#undef SET1
#undef ADD
#undef SUB
#undef ADDS
#undef SUBS
#undef MIN
#undef MAX
#undef AND
#undef OR
#undef XOR
#undef SLL
#undef SRL
#undef SRA
#undef MULHI
#undef SCALE
#undef DOWN_IF_GT
#undef IF_ZERO
#undef TABLE
#undef INDEX
#undef LOOK
#undef PLACES
#undef LOAD8
#undef STORE8
#undef MUL15
#undef MANTISSA
#undef LEVEL

#undef LEVELS
#undef LEVELS_OF

/* ---- AVX-512: 32 lanes; what only it has are shifts by a vector, and tables of 32 and 64 words ---- */

#define TARGET AVX512
#define FORM(name) avx512_##name
#define W 32
#define V __m512i
#define LOAD(p) _mm512_load_si512(p)
#define STORE(p, v) _mm512_store_si512(p, v)
#define SET1(x) _mm512_set1_epi16(x)
#define ADD _mm512_add_epi16
#define SUB _mm512_sub_epi16
#define ADDS _mm512_adds_epi16
#define SUBS _mm512_subs_epi16
#define MIN _mm512_min_epi16
#define MAX _mm512_max_epi16
#define AND _mm512_and_si512
#define OR _mm512_or_si512
#define XOR _mm512_xor_si512
#define SLL _mm512_slli_epi16
#define SRL _mm512_srli_epi16
#define SRA _mm512_srai_epi16
#define MULHI _mm512_mulhi_epi16
#define SCALE(q, v) _mm512_mulhi_epu16(SLL(q, 4), v)
#define DOWN_IF_GT(m, a, b) _mm512_mask_sub_epi16(m, _mm512_cmpgt_epi16_mask(a, b), m, SET1(1))
#define IF_ZERO(v) _mm512_movm_epi16(_mm512_testn_epi16_mask(v, v))
#define TABLE(p) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p)))
#define INDEX(m) ADD(_mm512_mullo_epi16(m, SET1(0x0202)), SET1(0x0100))
#define LOOK(t, i) _mm512_shuffle_epi8(t, i)
#define PLACES V
#define LOAD8(p) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p)))
#define STORE8(p, v) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi16_epi8(v))
#define MUL15 avx512_mul15
#define MANTISSA avx512_mantissa
#define LEVELS avx512_levels
#define LEVELS_OF avx512_levels_of
#define LEVEL avx512_level

typedef struct avx512_levels {
    __m512i lower, upper;
} avx512_levels;

TARGET INLINE avx512_levels avx512_levels_of(const int16_t *level)
{
    return (avx512_levels){_mm512_loadu_si512(level), _mm512_loadu_si512(level + 32)};
}

TARGET INLINE __m512i avx512_mul15(__m512i a, __m512i b)
{
    __m512i high = _mm512_mulhi_epi16(a, b);
    return OR(ADD(high, high), SRL(_mm512_mullo_epi16(a, b), 15));
}

TARGET INLINE __m512i avx512_mantissa(__m512i nb, int shift)
{
    __m512i mantissa = _mm512_permutexvar_epi16(SRA(nb, 6), _mm512_loadu_si512(lw_g722_mantissa));
    return SLL(_mm512_srlv_epi16(mantissa, SUB(SET1((short)shift), SRA(nb, 11))), 2);
}

TARGET INLINE __m512i avx512_level(avx512_levels l, __m512i i, __m512i code, __m512i sign)
{
    (void)i, (void)sign;
    return _mm512_permutex2var_epi16(l.lower, code, l.upper);
}

#include "g722_lanes.h"

TARGET void lw_g722_encode_lanes_avx512(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t used,
                                        lw_g722_lanes *lanes)
{
    (used > 16 ? avx512_encode : avx2_encode)(codes, low, high, n, 0, lanes);
}

TARGET void lw_g722_decode_lanes_avx512(int16_t *pairs, const uint8_t *codes, size_t n, size_t used,
                                        const int16_t level[64], lw_g722_lanes *lanes)
{
    (used > 16 ? avx512_decode : avx2_decode)(pairs, codes, n, 0, level, lanes);
}
#endif
