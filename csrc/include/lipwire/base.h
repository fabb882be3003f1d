/* Lipwire's core: what all of its headers share, and the rules that hold for every function.
 *
 * Each header has one subject and can be included alone; lipwire.h includes them all.
 *
 * - `lw_<noun>_open(&object, &config)` makes an object, leaves the pointer NULL on failure, and needs one allocation
 *   (an object that is made of others, one for each of those); `lw_<noun>_close(&object)` frees it and makes the
 *   pointer NULL. Closing NULL, or twice, is safe. `lw_<noun>_stats(object, &counters)` reads counters, from any
 *   thread.
 * - The caller owns every buffer that it passes, and the core copies what it needs of it before it returns. Four things
 *   are kept longer, and have to live as long as the header says: a performer's avatar, its `draw` with `draw_user`,
 *   and its `frames`; and a performer that is attached to an engine.
 * - Return values >= 0 are counts, and "nothing is ready" is 0. Negative ones are LW_E* codes; lw_strerror names them.
 * - After open nothing allocates, locks or logs, but for lw_performer_write when the sample rate changes, and net.h, which
 *   locks to queue. What waits says so: lw_engine_detach, lw_share_reader_wait, the closing of what net.h has.
 * - Time is an argument: functions that need it take `now_ns`. The core itself reads the clock in three places, all by
 *   lw_now_ns: the engine's thread and the net's, which have to keep time, and a performer around each call of `draw`,
 *   for the counters of how long those take. None changes what comes out.
 * - No function but the readers of an object's atomics (each header names its threads) may run on one object in two
 *   threads at once. What different objects share is never changed after the first of them is open.
 * - PCM is signed 16-bit, little endian, mono. Pixels are I420, 8 bit, limited range, BT.709 unless BT.601 is asked
 *   for.
 * - "Sample" without a rate means one sample at LW_RATE. The media clock counts those from 0.
 *
 * Example of use:
 *
 *     lw_cpu_use(lw_cpu_detect());
 *     printf("lipwire %s, kernels: %s\n", lw_version(), lw_cpu_level(lw_cpu_used()));
 */
#ifndef LIPWIRE_BASE_H
#define LIPWIRE_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LW_RATE 48000 /* Hz: the media clock and every PCM output */
#define LW_BLOCK 480  /* samples in one tick: 10 ms */

enum lw_error {
    LW_EINVAL = -1, /* an argument is outside its documented range */
    LW_ENOMEM = -2, /* open could not allocate */
    LW_ENOSPC = -3, /* a bounded queue or buffer is full; nothing was taken beyond the returned count */
    LW_EDATA = -4,  /* the input bytes are malformed */
    LW_ESTATE = -5  /* the call does not fit the object's state */
};

const char *lw_version(void);
const char *lw_strerror(int code);

/* CLOCK_MONOTONIC in ns: the clock that every `now_ns` is meant to be of. */
int64_t lw_now_ns(void);

/* Kernels come in plain C and in forms for vector units; all give the same bits. */
enum lw_cpu {
    LW_CPU_AVX2 = 1,
    LW_CPU_AVX512 = 2, /* F, BW, DQ, VL, VBMI and VNNI: Ice Lake, Zen 4 and later */
    LW_CPU_NEON = 4
};

/* What this processor and its operating system have. */
uint32_t lw_cpu_detect(void);
/* Sets the kernels for the whole process: those of `mask` that the processor has; returns that. Plain C until it is
 * called. Call it before any other function of the core, `lw_cpu_use(lw_cpu_detect())` as a rule. */
uint32_t lw_cpu_use(uint32_t mask);
uint32_t lw_cpu_used(void);
/* "c", "avx2", "avx512" or "neon": the best level in a mask. */
const char *lw_cpu_level(uint32_t mask);

#ifdef __cplusplus
}
#endif
#endif
