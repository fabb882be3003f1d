from libc.stdint cimport int64_t, uint32_t


cdef extern from "lipwire/base.h" nogil:
    enum:
        LW_RATE
        LW_BLOCK
        LW_EINVAL
        LW_ENOMEM
        LW_ENOSPC
        LW_EDATA
        LW_ESTATE
        LW_CPU_AVX2
        LW_CPU_AVX512
        LW_CPU_NEON
    const char *lw_version()
    const char *lw_strerror(int code)
    int64_t lw_now_ns()
    uint32_t lw_cpu_detect()
    uint32_t lw_cpu_use(uint32_t mask)
    uint32_t lw_cpu_used()
    const char *lw_cpu_level(uint32_t mask)
