/* The one place where kernels are chosen. */
#include "dsp.h"

#define PLAIN_C                 \
    {                           \
        .fir = lw_fir_c,        \
        .base64 = lw_base64_c,  \
    }

lw_dsp lw_kernels = PLAIN_C;

void lw_dsp_fill(lw_dsp *dsp, uint32_t mask)
{
    *dsp = (lw_dsp)PLAIN_C;
#if defined(__x86_64__)
    if (mask & LW_CPU_AVX2) {
        dsp->base64 = lw_base64_avx2;
    }
    if (mask & LW_CPU_AVX512) {
        dsp->base64 = lw_base64_avx512;
    }
#elif defined(__aarch64__)
    if (mask & LW_CPU_NEON) {
        dsp->base64 = lw_base64_neon;
    }
#else
    (void)mask;
#endif
}
