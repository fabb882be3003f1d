#define _GNU_SOURCE
#include <sys/mman.h>
#include <time.h>

#include "common.h"

#ifndef LIPWIRE_VERSION
#define LIPWIRE_VERSION "0.0.0"
#endif

const char *lw_version(void)
{
    return LIPWIRE_VERSION;
}

int64_t lw_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void *lw_pages_open(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void lw_pages_close(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

void lw_pages_empty(void *from, size_t bytes)
{
    const uintptr_t page = 65536; /* a multiple of every machine's */
    uintptr_t first = ((uintptr_t)from + page - 1) & ~(page - 1), end = ((uintptr_t)from + bytes) & ~(page - 1);
    if (end > first)
        madvise((void *)first, end - first, MADV_DONTNEED); /* advice: nothing depends on it */
}

const char *lw_strerror(int code)
{
    switch (code) {
    case LW_EINVAL: return "an argument is out of range";
    case LW_ENOMEM: return "out of memory";
    case LW_ENOSPC: return "a bounded buffer is full";
    case LW_EDATA: return "the data is malformed";
    case LW_ESTATE: return "not possible in this state";
    default: return code >= 0 ? "no error" : "unknown error";
    }
}
