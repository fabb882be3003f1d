/* The one place where kernels are chosen. */
#include "dsp.h"

/* clang-format off */
#define PLAIN_C { \
    .fir = lw_fir_c, \
    .fir_block = lw_fir_c, \
    .base64 = lw_base64_c, \
}
/* clang-format on */

lw_dsp lw_kernels = PLAIN_C;

void lw_dsp_fill(lw_dsp *dsp, uint32_t mask)
{
    *dsp = (lw_dsp)PLAIN_C;
#if defined(__x86_64__)
    if (mask & LW_CPU_AVX2) {
        dsp->fir = lw_fir_avx2;
        dsp->fir_block = lw_fir_block_avx2;
        dsp->base64 = lw_base64_avx2;
    }
    if (mask & LW_CPU_AVX512) {
        dsp->fir = lw_fir_avx512;
        dsp->fir_block = lw_fir_block_avx512;
        dsp->base64 = lw_base64_avx512;
    }
#elif defined(__aarch64__)
    if (mask & LW_CPU_NEON) {
        dsp->fir = dsp->fir_block = lw_fir_neon;
        dsp->base64 = lw_base64_neon;
    }
#else
    (void)mask;
#endif
}
