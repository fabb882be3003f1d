/* The table of kernels: every function that has variants for vector units is called through it.
 *
 * A kernel is pure: what it reads and writes is in its arguments, it allocates nothing, and its plain C form (the
 * suffix _c) is its specification. Every other form gives the same bits (tests/checkasm compares them), and is here
 * only because it is at least 1.3 times as fast. Input from outside may have any alignment.
 *
 * To add one: its type and C form here, the variants in x86/ and arm/, a line for each in dsp.c, a check in
 * tests/checkasm. */
#ifndef LW_DSP_H
#define LW_DSP_H

#include <stddef.h>
#include <stdint.h>

#include "lipwire/base.h"

/* ---- resample.c ---- */

/* A polyphase filter. Output i of a run, in phase p = (phase + i step) mod phases, is
 *   hi = sum x[at + k] coarse[p][k],  lo = sum x[at + k] fine[p][k]      both fit 32 bit by design
 *   sat16((hi + ((lo + half) >> fine_bits) + 2^13) >> 14)
 * with at = (phase + i step) / phases samples from x. */
typedef struct lw_fir {
    const int16_t *coefs; /* [phases][taps / 16][2][16]: 16 coarse ones (Q14), then 16 fine ones (Q14 + fine_bits) */
    int32_t taps;         /* per phase, a multiple of 16 */
    int32_t phases, step; /* L, M */
    int32_t fine_bits;    /* 1..15 */
} lw_fir;
typedef void lw_fir_fn(int16_t *out, size_t n, const int16_t *x, const lw_fir *f, int32_t phase);
lw_fir_fn lw_fir_c, lw_fir_avx2, lw_fir_block_avx2, lw_fir_avx512, lw_fir_block_avx512, lw_fir_neon;

/* ---- g711.c ---- */

/* n samples to n codes and back. PCM may be odd-aligned. */
typedef void lw_g711_encode_fn(uint8_t *codes, const int16_t *pcm, size_t n);
typedef void lw_g711_decode_fn(int16_t *pcm, const uint8_t *codes, size_t n);
lw_g711_encode_fn lw_alaw_encode_c, lw_ulaw_encode_c;
lw_g711_decode_fn lw_alaw_decode_c, lw_ulaw_decode_c;

/* ---- g722.c (the types' bodies: g722.h) ---- */

struct lw_g722_state;
struct lw_g722_lanes;
/* The filter bank. `x` begins with the LW_G722_HISTORY values before the n pairs that are turned into n values of each
 * band (split) or into 2 n samples of PCM (join). Join reads pairs (low + high, low - high). */
typedef void lw_g722_split_fn(int16_t *low, int16_t *high, const int16_t *x, size_t n);
typedef void lw_g722_join_fn(int16_t *pcm, const int16_t *x, size_t n);
/* ADPCM of both bands, one channel, at most LW_G722_BLOCK steps: n values of each band to n codes of 8 bits; n codes to
 * n pairs (low + high, low - high), the lower band's levels being `level`: by code, with level[c] = -level[c + 28] for
 * c = 4..31 and level[c] = level[63] for c = 0..3. */
typedef void lw_g722_encode_fn(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n,
                               struct lw_g722_state *state);
typedef void lw_g722_decode_fn(int16_t *pairs, const uint8_t *codes, size_t n, const int16_t level[64],
                               struct lw_g722_state *state);
/* The same for `used` independent channels at once, 1..LW_G722_LANES. Step t of channel c is at
 * [t * LW_G722_LANES + c]; in `pairs` at [2 t * LW_G722_LANES + c] and one row further on. What the lanes behind the
 * used ones are given, and what their rows and states then hold, is anything. Rows and states are aligned to 64. */
typedef void lw_g722_encode_lanes_fn(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t used,
                                     struct lw_g722_lanes *lanes);
typedef void lw_g722_decode_lanes_fn(int16_t *pairs, const uint8_t *codes, size_t n, size_t used,
                                     const int16_t level[64], struct lw_g722_lanes *lanes);
/* to[c * to_step + r] = from[r * from_step + c]; rows and columns are multiples of 16. */
typedef void lw_turn8_fn(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t rows,
                         size_t columns);
typedef void lw_turn16_fn(int16_t *to, size_t to_step, const int16_t *from, size_t from_step, size_t rows,
                          size_t columns);
lw_g722_split_fn lw_g722_split_c;
lw_g722_join_fn lw_g722_join_c;
lw_g722_encode_fn lw_g722_encode_c;
lw_g722_decode_fn lw_g722_decode_c;
lw_g722_encode_lanes_fn lw_g722_encode_lanes_c;
lw_g722_decode_lanes_fn lw_g722_decode_lanes_c;
lw_turn8_fn lw_turn8_c;
lw_turn16_fn lw_turn16_c;
#if defined(__x86_64__)
lw_g711_encode_fn lw_alaw_encode_avx2, lw_ulaw_encode_avx2;
lw_g711_decode_fn lw_alaw_decode_avx2, lw_ulaw_decode_avx2;
lw_g722_split_fn lw_g722_split_avx2;
lw_g722_join_fn lw_g722_join_avx2;
lw_g722_encode_fn lw_g722_encode_avx2;
lw_g722_decode_fn lw_g722_decode_avx2;
lw_g722_encode_lanes_fn lw_g722_encode_lanes_avx2, lw_g722_encode_lanes_avx512;
lw_g722_decode_lanes_fn lw_g722_decode_lanes_avx2, lw_g722_decode_lanes_avx512;
lw_turn8_fn lw_turn8_avx2;
lw_turn16_fn lw_turn16_avx2;
#elif defined(__aarch64__)
lw_g711_encode_fn lw_alaw_encode_neon, lw_ulaw_encode_neon;
lw_g711_decode_fn lw_alaw_decode_neon, lw_ulaw_decode_neon;
lw_g722_split_fn lw_g722_split_neon;
lw_g722_join_fn lw_g722_join_neon;
lw_g722_encode_lanes_fn lw_g722_encode_lanes_neon;
lw_g722_decode_lanes_fn lw_g722_decode_lanes_neon;
lw_turn8_fn lw_turn8_neon;
lw_turn16_fn lw_turn16_neon;
#endif

/* ---- pitch.c ---- */

/* out[l] = sum of x[i] y[i + l] for i < n, l = 0..lags-1. n is a multiple of 16, and every sum of such products, in any
 * order, fits 32 bits. y is read up to n + lags - 1. */
typedef void lw_correlate_fn(int32_t *out, const int16_t *x, const int16_t *y, size_t n, size_t lags);
lw_correlate_fn lw_correlate_c, lw_correlate_avx2, lw_correlate_neon;

/* ---- predict.c ---- */

/* Sum of a[i] b[i]: lane k of sixteen adds up the products i with i mod 16 = k, in order; then lanes 8 apart are added,
 * then 4, 2 and 1. No product is fused with a sum. */
typedef float lw_dot_fn(const float *a, const float *b, size_t n);
/* A step of Burg's lattice: f and b become f + k b and b + k f. Returns the sum of f[i + 1] b[i], i < n - 1, of what they
 * became, added up as above; 0 < n. */
typedef float lw_burg_fn(float *f, float *b, size_t n, float k);
lw_dot_fn lw_dot_c, lw_dot_avx2, lw_dot_avx512, lw_dot_neon;
lw_burg_fn lw_burg_c, lw_burg_avx2, lw_burg_avx512, lw_burg_neon;

/* ---- ingest.c ---- */

/* Base64 to bytes: n characters, a multiple of 4, without padding. Returns the place of the first character that is
 * not in the alphabet of RFC 4648 section 4, or n. Whole groups of four before it are decoded; it reads in[0, n) and
 * writes only within out[0, n / 4 * 3), where the bytes behind the decoded ones are then undefined. */
typedef size_t lw_base64_fn(uint8_t *out, const uint8_t *in, size_t n);
/* The alphabet: 0..63, or 0x80 for what is not in it. Vector forms look the first 128 up. */
extern const uint8_t lw_base64_values[256];
lw_base64_fn lw_base64_c, lw_base64_avx2, lw_base64_avx512, lw_base64_neon;

/* ---- viseme_front.c, viseme_net.c (the tables' bodies: viseme_kernels.h; buffers are aligned to 64) ---- */

struct lw_viseme_tables;
struct lw_viseme_layer;
struct lw_viseme_model;
/* Power of bins 0..256 of a frame, LW_VISEME_FRAME samples, Hann window, full scale 1. Samples up to LW_VISEME_PCM may
 * be read. */
typedef void lw_viseme_spectrum_fn(float *power, const int16_t *pcm, const struct lw_viseme_tables *t);
/* LW_MEL_VALUES natural logarithms of power: the bands, padding, the mean square. */
typedef void lw_viseme_mel_fn(float *mel, const float *power, const struct lw_viseme_tables *t);
/* A layer of 1..LW_VISEME_SESSIONS sessions: sums[s * step + r] = sum over c of weight[r][c] x[s][c], for all rows;
 * step is a multiple of 16. x[s] may be read up to LW_PAD32(columns). */
typedef void lw_viseme_dense_fn(int32_t *sums, size_t step, const int16_t *const *x, size_t sessions,
                                const struct lw_viseme_layer *layer);
/* The convolution's outputs, at least 0, as the input of the next layer. */
typedef void lw_viseme_rectify_fn(int16_t *q, const int32_t *sums, const struct lw_viseme_model *m);
/* One step of the recurrent units, from both layers' sums: the state and what the layers take of it. */
typedef void lw_viseme_gates_fn(float *state, int16_t *state_q, const int32_t *in, const int32_t *rec,
                                const struct lw_viseme_model *m);
/* Softmax of a head's classes, summed to visemes: LW_VISEME_LANES weights, the last one 0. Logits are limited to
 * +-41. */
typedef void lw_viseme_classes_fn(float *weights, const int32_t *sums, const float *scale, const float *bias,
                                  const struct lw_viseme_tables *t);
lw_viseme_spectrum_fn lw_viseme_spectrum_c, lw_viseme_spectrum_avx2, lw_viseme_spectrum_avx512,
    lw_viseme_spectrum_neon;
lw_viseme_mel_fn lw_viseme_mel_c, lw_viseme_mel_avx2, lw_viseme_mel_avx512, lw_viseme_mel_neon;
lw_viseme_dense_fn lw_viseme_dense_c, lw_viseme_dense_avx2, lw_viseme_dense_avx512, lw_viseme_dense_neon;
lw_viseme_rectify_fn lw_viseme_rectify_c, lw_viseme_rectify_avx2, lw_viseme_rectify_avx512;
lw_viseme_gates_fn lw_viseme_gates_c, lw_viseme_gates_avx2, lw_viseme_gates_avx512;
lw_viseme_classes_fn lw_viseme_classes_c, lw_viseme_classes_avx512;

/* ---- pixels.c (what they share: pixels.h) ---- */

struct lw_patch;
struct lw_warp;
struct lw_mask;
struct lw_rgb_matrix;
/* Sprites: premultiplied values beside their alpha, no larger than it. Rows of them may be read LW_PIXEL_PAD bytes past
 * what is asked for; of dst nothing but the patch is touched. dst overlaps nothing.
 *   dst = value + dst * (255 - alpha) / 255; where there is no alpha, dst = value */
typedef void lw_blend_fn(const struct lw_patch *p);
/* The same of bilinear samples: pixel i of row j at (i + wx / 16, j + wy / 16); 0 <= wx, wy < 16. */
typedef void lw_lerp_fn(const struct lw_patch *p, int32_t wx, int32_t wy);
/* The same of samples along lines, their places rounded down to 16ths; value and alpha are those of the sprite's pixel
 * (0, 0). */
typedef void lw_warp_fn(const struct lw_patch *p, const struct lw_warp *w);
/* Masks of rows of alpha, by `count` columns of 1 << shift pixels, shift 3 or more; rows may be read LW_PIXEL_PAD bytes past
 * that. */
typedef void lw_look_fn(struct lw_mask *masks, const uint8_t *alpha, ptrdiff_t pitch, int32_t shift, int32_t count,
                        int32_t rows);
/* out[i] = (src[at[i]] - 128) * (weight[i] & 255) + (src[at[i] + 1] - 128) * (weight[i] >> 8): weights of sum 128.
 * `at` does not fall and at[i] + 1 < src_n; 0 and beyond of src are readable, src_n and beyond are not. */
typedef void lw_scale_row_fn(int16_t *out, const uint8_t *src, size_t src_n, const uint16_t *at,
                             const uint16_t *weight, size_t n);
/* out = two such rows, weighed 128 - wy to wy, back to 0..255. */
typedef void lw_scale_mix_fn(uint8_t *out, const int16_t *top, const int16_t *below, int32_t wy, size_t n);
/* n pixels of RGBA (alpha is ignored) to n of Y; 2 n pixels of two rows to n of U and V. */
typedef void lw_rgba_luma_fn(uint8_t *y, const uint8_t *rgba, size_t n, const struct lw_rgb_matrix *m);
typedef void lw_rgba_chroma_fn(uint8_t *u, uint8_t *v, const uint8_t *top, const uint8_t *below, size_t n,
                               const struct lw_rgb_matrix *m);
lw_blend_fn lw_blend_c, lw_blend_avx2, lw_blend_avx512, lw_blend_neon;
lw_lerp_fn lw_lerp_c, lw_lerp_avx2, lw_lerp_avx512, lw_lerp_neon;
lw_warp_fn lw_warp_c, lw_warp_avx2, lw_warp_avx512, lw_warp_neon;
lw_look_fn lw_look_c, lw_look_avx2, lw_look_avx512;
lw_scale_row_fn lw_scale_row_c, lw_scale_row_avx2, lw_scale_row_avx512, lw_scale_row_neon;
lw_scale_mix_fn lw_scale_mix_c, lw_scale_mix_avx2, lw_scale_mix_avx512, lw_scale_mix_neon;
lw_rgba_luma_fn lw_rgba_luma_c, lw_rgba_luma_avx2, lw_rgba_luma_avx512, lw_rgba_luma_neon;
lw_rgba_chroma_fn lw_rgba_chroma_c, lw_rgba_chroma_avx2, lw_rgba_chroma_avx512, lw_rgba_chroma_neon;

/* ---- the table: nothing but function pointers ---- */

typedef struct lw_dsp {
    lw_fir_fn *fir;
    lw_fir_fn *fir_block; /* the same, made for few phases and a small step */
    lw_g711_encode_fn *alaw_encode, *ulaw_encode;
    lw_g711_decode_fn *alaw_decode, *ulaw_decode;
    lw_g722_split_fn *g722_split;
    lw_g722_join_fn *g722_join;
    lw_g722_encode_fn *g722_encode;
    lw_g722_decode_fn *g722_decode;
    lw_g722_encode_lanes_fn *g722_encode_lanes;
    lw_g722_decode_lanes_fn *g722_decode_lanes;
    lw_turn8_fn *turn8;
    lw_turn16_fn *turn16;
    lw_correlate_fn *correlate;
    lw_dot_fn *dot;
    lw_burg_fn *burg;
    lw_base64_fn *base64;
    lw_viseme_spectrum_fn *viseme_spectrum;
    lw_viseme_mel_fn *viseme_mel;
    lw_viseme_dense_fn *viseme_dense;
    lw_viseme_rectify_fn *viseme_rectify;
    lw_viseme_gates_fn *viseme_gates;
    lw_viseme_classes_fn *viseme_classes;
    lw_blend_fn *blend;
    lw_lerp_fn *lerp;
    lw_warp_fn *warp;
    lw_look_fn *look;
    lw_scale_row_fn *scale_row;
    lw_scale_mix_fn *scale_mix;
    lw_rgba_luma_fn *rgba_luma;
    lw_rgba_chroma_fn *rgba_chroma;
} lw_dsp;

/* Fills the table with the best forms that `mask` allows. */
void lw_dsp_fill(lw_dsp *dsp, uint32_t mask);

/* The table in use; lw_cpu_use fills it. */
extern lw_dsp lw_kernels;

#endif
