/* What this processor can do. Nothing here reads the environment: the caller passes the mask on. */
#include "dsp.h"

uint32_t lw_cpu_detect(void)
{
    uint32_t mask = 0;
#if defined(__x86_64__)
    __builtin_cpu_init(); /* it asks the operating system too: registers that it does not save do not count */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))
        mask |= LW_CPU_AVX2;
    if ((mask & LW_CPU_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
        mask |= LW_CPU_AVX512;
#elif defined(__aarch64__)
    mask |= LW_CPU_NEON; /* part of the base architecture */
#endif
    return mask;
}

static uint32_t in_use;

uint32_t lw_cpu_use(uint32_t mask)
{
    in_use = mask & lw_cpu_detect();
    lw_dsp_fill(&lw_kernels, in_use);
    return in_use;
}

uint32_t lw_cpu_used(void)
{
    return in_use;
}

const char *lw_cpu_level(uint32_t mask)
{
    return mask & LW_CPU_AVX512 ? "avx512" : mask & LW_CPU_AVX2 ? "avx2" : mask & LW_CPU_NEON ? "neon" : "c";
}
