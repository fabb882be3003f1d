/* Small helpers shared by the core's files; nothing here is exported. */
#ifndef LW_COMMON_H
#define LW_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include "lipwire/base.h"

static inline int32_t lw_clamp(int32_t x, int32_t lo, int32_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static inline int16_t lw_sat16(int64_t x)
{
    return (int16_t)(x < -32768 ? -32768 : x > 32767 ? 32767 : x);
}

static inline int64_t lw_min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t lw_max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* cos(pi u), 0 <= u <= 1, to the last bits of a double. Additions and multiplications only: the same bits on every
 * machine, which no libm promises, so whatever tables are made of have them too. */
static inline double lw_cos_pi(double u)
{
    double y = u > 0.5 ? 1.0 - u : u, z = y * y * -9.8696044010893586188, sum = 0.0;
    for (int k = 22; k > 0; k -= 2)
        sum = (1.0 + sum) * (z * (1.0 / (k * (k - 1))));
    return (u > 0.5 ? -1.0 : 1.0) * (1.0 + sum);
}

/* 1..100 frames a second. */
static inline int lw_bad_fps(int32_t num, int32_t den)
{
    return num < 1 || den < 1 || num > 100LL * den || num < den;
}

/* Numbers by chance that are the same for the same seed: xorshift32 (Marsaglia, 2003). The state is never 0. */
static inline uint32_t lw_random_seed(uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 0x9E3779B9u;
    return x ? x : 1;
}

static inline uint32_t lw_random_next(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* Adds to a counter that one thread writes and any may read. */
#define LW_COUNT(counter, n) \
    atomic_store_explicit(&(counter), atomic_load_explicit(&(counter), memory_order_relaxed) + (n), memory_order_relaxed)

/* Asks for n bytes that will be read soon: into the second-level cache, where the first is too small for what waits. */
static inline void lw_prefetch(const void *from, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch((const char *)from + i, 0, 2);
}

/* Carves the parts of an object out of its one allocation, each aligned to a cache line. With base NULL it only
 * measures, so that one function lays an object out and sizes it. */
typedef struct lw_arena {
    uint8_t *base;
    size_t used;
} lw_arena;

static inline void *lw_carve(lw_arena *arena, size_t bytes)
{
    size_t at = (arena->used + 63) & ~(size_t)63;
    arena->used = at + bytes;
    return arena->base ? arena->base + at : NULL;
}

/* Fresh pages of zeros for an object of many; NULL where there are none. They go back to the system with the object.
 * malloc would keep such a piece once its likes have been freed, and calloc would have to clear all of it. Pages stay
 * untouched, and cost nothing, until something is written to them. */
void *lw_pages_open(size_t bytes);
void lw_pages_close(void *pages, size_t bytes);
/* Gives the whole pages within it back: they are zero when they are touched again. */
void lw_pages_empty(void *from, size_t bytes);

#endif
