/* The instruction sets of the levels, as attributes of a function. lw_cpu_detect asks for the same ones. */
#ifndef LW_X86_H
#define LW_X86_H

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))

#define LOAD256(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE256(p, v) _mm256_storeu_si256((__m256i *)(p), v)
/* A mask of the first 1..64 bytes of a vector. */
#define TAIL64(left) (~0ull >> (64 - (left)))

#endif
