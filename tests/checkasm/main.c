/* checkasm: every kernel of every level that this machine has, against its plain C form.
 *
 *   checkasm                 all checks
 *   checkasm --bench [NAME]  times as well: each kernel whose name contains NAME against its C form, and whole
 *                            functions against installed peers */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkasm.h"

static ca_area *const areas[] = {check_resample, check_g711,   check_g722,  check_opus,
                                 check_pitch,    check_base64, check_viseme, check_pixels}; /* one a file */

int ca_benching;
static const char *only, *level = "", *kernel = "";
static long comparisons, differences, kernels;

int ca_kernel(const char *name, int same)
{
    kernel = name;
    if (same || (only && !strstr(name, only)))
        return 0;
    kernels++;
    return 1;
}

int ca_same(const void *want, const void *got, size_t bytes, const char *what, ...)
{
    comparisons++;
    if (!bytes || !memcmp(want, got, bytes))
        return 1;
    if (differences++ < 20) {
        const uint8_t *a = want, *b = got;
        size_t at = 0;
        while (a[at] == b[at])
            at++;
        va_list args;
        va_start(args, what);
        printf("FAIL %s.%s, byte %zu of %zu: ", kernel, level, at, bytes);
        vprintf(what, args);
        printf("\n");
        va_end(args);
    }
    return 0;
}

/* ---- guarded memory ---- */

static struct {
    void *at;
    size_t bytes;
} maps[64];
static size_t mapped;

static uint8_t *guarded(size_t bytes, size_t *inside)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *inside = (bytes + page - 1) / page * page;
    size_t whole = *inside + 2 * page;
    uint8_t *at = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mapped == sizeof maps / sizeof *maps ||
        (*inside && mprotect(at + page, *inside, PROT_READ | PROT_WRITE))) {
        printf("FAIL checkasm itself: no memory\n");
        exit(1);
    }
    maps[mapped].at = at;
    maps[mapped++].bytes = whole;
    return at + page;
}

void *ca_end_of_page(size_t bytes)
{
    size_t inside;
    uint8_t *at = guarded(bytes, &inside);
    return at + inside - bytes;
}

void *ca_start_of_page(size_t bytes)
{
    size_t inside;
    return guarded(bytes, &inside);
}

void ca_release(void)
{
    while (mapped) {
        mapped--;
        munmap(maps[mapped].at, maps[mapped].bytes);
    }
}

/* ---- random input ---- */

static uint64_t state = 1;

uint32_t ca_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

int32_t ca_random_in(int32_t lo, int32_t hi)
{
    return lo + (int32_t)(ca_random() % (uint32_t)(hi - lo + 1));
}

void ca_pcm(int16_t *to, size_t n, int kind)
{
    uint8_t *bytes = (uint8_t *)to; /* may be odd-aligned */
    for (size_t i = 0; i < n; i++) {
        int k = kind < 3 ? kind : ca_random_in(0, 2);
        int16_t x = k == 0   ? (int16_t)ca_random_in(-32768, 32767)
                    : k == 1 ? (int16_t)(ca_random() & 1 ? 32767 : -32768)
                             : (int16_t)(ca_random_in(0, 15) ? 0 : ca_random_in(-32768, 32767));
        memcpy(bytes + i * sizeof x, &x, sizeof x);
    }
}

/* ---- bench ---- */

void ca_report(const char *what, double units, const char *unit, double first_ns, double second_ns)
{
    printf("%-10s %-44s %9.3f -> %8.3f ns per %-8s %6.2fx\n", level, what, first_ns / units, second_ns / units, unit,
           first_ns / second_ns);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        ca_benching = 1;
        only = argc > 2 ? argv[2] : NULL;
    } else if (argc > 1) {
        printf("usage: checkasm [--bench [NAME]]\n");
        return 2;
    }
    static const uint32_t steps[] = {LW_CPU_AVX2, LW_CPU_AVX2 | LW_CPU_AVX512, LW_CPU_NEON};
    lw_dsp c, before, candidate;
    lw_dsp_fill(&c, 0);
    before = c;
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        if ((lw_cpu_detect() & steps[s]) != steps[s])
            continue;
        level = lw_cpu_level(steps[s]);
        lw_dsp_fill(&candidate, steps[s]);
        /* Forms that a lower level has checked already are not checked again. */
        lw_dsp fresh = candidate;
        void **f = (void **)&fresh, **b = (void **)&before, **p = (void **)&c;
        for (size_t i = 0; i < sizeof fresh / sizeof(void *); i++)
            if (f[i] == b[i])
                f[i] = p[i];
        lw_cpu_use(steps[s]);
        for (size_t a = 0; a < sizeof areas / sizeof *areas; a++)
            areas[a](&c, &fresh);
        before = candidate;
    }
    printf("%s checkasm: %ld kernels, %ld comparisons, %ld differences (%s)\n", differences ? "FAIL" : "ok", kernels,
           comparisons, differences, lw_cpu_level(lw_cpu_detect()));
    return differences != 0;
}
