/* What the checks of the kernels share. A check calls the plain C form and the candidate with the same input and
 * compares everything that they wrote, bit for bit; its buffers end at an unmapped page, so that a byte read or
 * written too far is a crash. One file of checks per area, one function each, listed in main.c. */
#ifndef LW_CHECKASM_H
#define LW_CHECKASM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dsp.h"

/* Starts the checks of one kernel. `same` says that this level has no form of its own: then 0, and nothing to do. */
int ca_kernel(const char *name, int same);

/* One comparison. Counts, and on a difference prints where: the kernel, the level, `what` and its parameters. */
__attribute__((format(printf, 4, 5))) int ca_same(const void *want, const void *got, size_t bytes, const char *what,
                                                  ...);
#define CA_OK(ok, ...) ca_same(&(const int){1}, &(const int){!!(ok)}, sizeof(int), __VA_ARGS__)

/* `bytes` of memory that end right before an unmapped page; before them `before` bytes of a pattern that
 * ca_untouched checks. Given back all at once by ca_release. So an odd size gives an odd alignment: for every
 * alignment, run through sizes. */
void *ca_end_of_page(size_t bytes);
/* The same from the other side: `bytes` right behind an unmapped page. */
void *ca_start_of_page(size_t bytes);
void ca_release(void);

/* Random numbers, the same in each run. */
uint32_t ca_random(void);
int32_t ca_random_in(int32_t lo, int32_t hi); /* both included */
/* n samples: noise, full-scale squares, silence with spikes, or a mixture, by `kind` 0..3. */
void ca_pcm(int16_t *to, size_t n, int kind);

/* ---- bench ---- */

extern int ca_benching;

static inline double ca_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Best time of one call in ns: short batches, the minimum over `rounds` of them, the two in turn, so that a busy
 * machine hits both alike. Either call is any expression. */
#define CA_BENCH(what, units, unit, first, second)                                                                    \
    do {                                                                                                              \
        if (ca_benching) {                                                                                            \
            double best_[2] = {1e18, 1e18};                                                                           \
            for (int round_ = 0; round_ < 200; round_++) {                                                            \
                double t0_ = ca_now();                                                                                \
                for (int i_ = 0; i_ < 20; i_++)                                                                       \
                    first;                                                                                            \
                double t1_ = ca_now();                                                                                \
                for (int i_ = 0; i_ < 20; i_++)                                                                       \
                    second;                                                                                           \
                double t2_ = ca_now();                                                                                \
                best_[0] = t1_ - t0_ < best_[0] ? t1_ - t0_ : best_[0];                                               \
                best_[1] = t2_ - t1_ < best_[1] ? t2_ - t1_ : best_[1];                                               \
            }                                                                                                         \
            ca_report(what, (double)(units), unit, best_[0] / 20, best_[1] / 20);                                     \
        }                                                                                                             \
    } while (0)

/* Prints one line: ns per unit of both, and how many times faster the second is. */
void ca_report(const char *what, double units, const char *unit, double first_ns, double second_ns);

/* ---- the areas ---- */

typedef void ca_area(const lw_dsp *c, const lw_dsp *candidate);
ca_area check_resample, check_g711, check_g722, check_opus, check_pitch, check_base64, check_viseme, check_pixels;

#endif
