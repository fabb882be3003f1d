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

#include "lipwire.h"

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

/* ---- ingest.c ---- */

/* Base64 to bytes: n characters, a multiple of 4, without padding. Returns the place of the first character that is
 * not in the alphabet of RFC 4648 section 4, or n. Whole groups of four before it are decoded; it reads in[0, n) and
 * writes only within out[0, n / 4 * 3), where the bytes behind the decoded ones are then undefined. */
typedef size_t lw_base64_fn(uint8_t *out, const uint8_t *in, size_t n);
lw_base64_fn lw_base64_c, lw_base64_avx2, lw_base64_avx512, lw_base64_neon;

/* ---- the table: nothing but function pointers ---- */

typedef struct lw_dsp {
    lw_fir_fn *fir;
    lw_fir_fn *fir_block; /* the same, made for few phases and a small step */
    lw_base64_fn *base64;
} lw_dsp;

/* Fills the table with the best forms that `mask` allows. */
void lw_dsp_fill(lw_dsp *dsp, uint32_t mask);

/* The table in use; lw_cpu_use fills it. */
extern lw_dsp lw_kernels;

#endif
