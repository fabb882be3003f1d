/* Counts what a test program allocates and frees, where the C library lets us (COUNTING is defined): the sanitizers have
 * their own allocator. */
#ifndef LW_TEST_ALLOCATIONS_H
#define LW_TEST_ALLOCATIONS_H

#include <stdatomic.h>
#include <stddef.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTING 1
static _Atomic int allocations;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

__attribute__((visibility("default"))) void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t n)
{
    allocations++;
    return __libc_memalign(alignment, n);
}

__attribute__((visibility("default"))) void free(void *p)
{
    allocations += p != NULL;
    __libc_free(p);
}
#endif

#endif
