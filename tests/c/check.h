/* What the C tests share: one printed line a check, and a generator with fixed seeds. */
#ifndef LW_TEST_CHECK_H
#define LW_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

static int failures;

static inline int check_at(int ok, const char *name, const char *file, int line)
{
    if (ok)
        printf("ok %s\n", name);
    else
        printf("FAIL %s:%d %s\n", file, line, name);
    failures += !ok;
    return ok;
}

#define CHECK(ok, name) check_at((ok), (name), __FILE__, __LINE__)

static uint64_t random_state = 1;

static inline uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

/* lo..hi, both included */
static inline int32_t random_in(int32_t lo, int32_t hi)
{
    return lo + (int32_t)(random_u32() % (uint32_t)(hi - lo + 1));
}

/* Before main: the kernels that LIPWIRE_CPU names, else the best. 77 = this machine does not have them (CTest skips). */
__attribute__((constructor)) static void use_level(void)
{
    const char *want = getenv("LIPWIRE_CPU");
    uint32_t have = lw_cpu_detect();
    if (!want)
        lw_cpu_use(have);
    else if (!strcmp(want, "c"))
        lw_cpu_use(0);
    else if (!strcmp(want, "avx2") && (have & LW_CPU_AVX2))
        lw_cpu_use(LW_CPU_AVX2);
    else if (!strcmp(want, lw_cpu_level(have)))
        lw_cpu_use(have);
    else {
        printf("skipped: this processor has no %s\n", want);
        exit(77);
    }
}

#endif
