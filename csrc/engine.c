/* All sessions on one native thread, ticked against absolute deadlines; Python hears of it through an eventfd.
 *
 * The table of performers is shared with the control side, one atomic pointer and one atomic state a place:
 * FREE -> ACTIVE (attach), ACTIVE -> LEAVING (detach), LEAVING -> FREE (the thread, between two passes). Beside it is a bit
 * for each place: its reader is to be told. The thread sets it, lw_engine_ready takes it. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "lipwire/engine.h"

#define TICK_NS 10000000LL
#define DRAW_LAG 4 /* ticks that a picture may be late: at 25 fps, until the next one is due */
#define NICE (-10)
#define STAGGER 4 /* sessions that start together draw in different ticks, at 25 fps in all four of a frame */

enum place_state { PLACE_FREE, PLACE_TAKEN, PLACE_ACTIVE, PLACE_LEAVING };

typedef struct place {
    _Atomic int state;
    lw_performer *_Atomic performer;
    int wait; /* ticks until the first */
} place;

struct lw_engine {
    int places, fd;
    _Atomic int used; /* places that ever were taken are below */
    pthread_t thread;
    _Atomic int stop;
    _Atomic int64_t ticks, late_ticks, lost_ticks, busy_ns, worst_ns, sessions;
    _Atomic uint64_t *ready; /* a bit a place; this and the next three are behind the table */
    /* the thread's: those that tick in this pass, their places, what came out */
    lw_performer **performers;
    int *at, *out;
    place table[];
};

/* What this thread has computed, in ns. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One tick of every session; returns whether a reader is to be told. */
static int pass(lw_engine *e, int64_t due, int draw)
{
    size_t n = 0;
    int told = 0, used = atomic_load_explicit(&e->used, memory_order_acquire);
    for (int i = 0; i < used; i++) {
        place *p = &e->table[i];
        int state = atomic_load_explicit(&p->state, memory_order_acquire);
        if (state == PLACE_LEAVING) {
            atomic_store_explicit(&p->state, PLACE_FREE, memory_order_release);
        } else if (state == PLACE_ACTIVE && p->wait > 0) {
            p->wait--;
        } else if (state == PLACE_ACTIVE) {
            e->performers[n] = atomic_load_explicit(&p->performer, memory_order_relaxed);
            e->at[n++] = i;
        }
    }
    lw_performer_tick_many(e->performers, n, due, draw, e->out);
    for (size_t i = 0; i < n; i++)
        if (lw_performer_due(e->performers[i], e->out[i])) {
            uint64_t bit = (uint64_t)1 << e->at[i] % 64;
            atomic_fetch_or_explicit(&e->ready[e->at[i] / 64], bit, memory_order_release);
            told = 1;
        }
    return told;
}

static void *run(void *arg)
{
    lw_engine *e = arg;
    /* It computes little and has to be on time, whatever else the machine does. Where that is not permitted, it is a
     * thread as any other. Linux takes the id of a thread here, and spares the others of the process. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    int64_t due = lw_now_ns() + TICK_NS;
    while (!atomic_load_explicit(&e->stop, memory_order_acquire)) {
        struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        int64_t began = lw_now_ns(), late = began - due, cpu = cpu_ns();
        if (late > LW_ENGINE_MAX_LAG_MS * 1000000LL) {
            LW_COUNT(e->lost_ticks, late / TICK_NS);
            due += late / TICK_NS * TICK_NS;
        } else if (late >= TICK_NS) {
            LW_COUNT(e->late_ticks, 1);
        }
        int told = pass(e, due, began - due < DRAW_LAG * TICK_NS);
        int64_t took = cpu_ns() - cpu;
        LW_COUNT(e->ticks, 1);
        LW_COUNT(e->busy_ns, took);
        if (took > atomic_load_explicit(&e->worst_ns, memory_order_relaxed))
            atomic_store_explicit(&e->worst_ns, took, memory_order_relaxed);
        due += TICK_NS;
        const uint64_t one = 1;
        /* It fails only where the counter is full, and then the reader has been woken; the clocks go on in any case. */
        ssize_t written = told ? write(e->fd, &one, sizeof one) : 0;
        (void)written;
    }
    return NULL;
}

static void layout(lw_engine *e, int places, lw_arena *arena)
{
    size_t n = (size_t)places;
    lw_carve(arena, sizeof(lw_engine) + n * sizeof(place));
    _Atomic uint64_t *ready = lw_carve(arena, (n + 63) / 64 * sizeof *ready);
    lw_performer **performers = lw_carve(arena, n * sizeof *performers);
    int *at = lw_carve(arena, n * sizeof *at), *out = lw_carve(arena, n * sizeof *out);
    if (e)
        e->ready = ready, e->performers = performers, e->at = at, e->out = out;
}

int lw_engine_open(lw_engine **out, int max_sessions)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (max_sessions < 1 || max_sessions > 65536)
        return LW_EINVAL;
    lw_arena arena = {0};
    layout(NULL, max_sessions, &arena);
    lw_engine *e = calloc(1, arena.used);
    if (!e)
        return LW_ENOMEM;
    arena = (lw_arena){.base = (uint8_t *)e};
    layout(e, max_sessions, &arena);
    e->places = max_sessions;
    e->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (e->fd < 0 || pthread_create(&e->thread, NULL, run, e)) {
        if (e->fd >= 0)
            close(e->fd);
        free(e);
        return LW_ENOMEM;
    }
    pthread_setname_np(e->thread, "lipwire-engine");
    *out = e;
    return 0;
}

int lw_engine_fd(const lw_engine *e)
{
    return e->fd;
}

int lw_engine_attach(lw_engine *e, lw_performer *p)
{
    if (!e || !p)
        return LW_EINVAL;
    for (int i = 0; i < e->places; i++) {
        int expected = PLACE_FREE;
        if (!atomic_compare_exchange_strong(&e->table[i].state, &expected, PLACE_TAKEN))
            continue;
        atomic_store_explicit(&e->table[i].performer, p, memory_order_relaxed);
        e->table[i].wait = i % STAGGER;
        atomic_store_explicit(&e->table[i].state, PLACE_ACTIVE, memory_order_release);
        for (int used = i; used <= i && !atomic_compare_exchange_weak(&e->used, &used, i + 1);)
            ;
        atomic_fetch_add_explicit(&e->sessions, 1, memory_order_relaxed);
        return 0;
    }
    return LW_ENOSPC;
}

int lw_engine_detach(lw_engine *e, lw_performer *p)
{
    if (!e || !p)
        return LW_EINVAL;
    for (int i = 0; i < e->places; i++) {
        place *at = &e->table[i];
        int expected = PLACE_ACTIVE;
        if (atomic_load_explicit(&at->state, memory_order_acquire) != PLACE_ACTIVE ||
            atomic_load_explicit(&at->performer, memory_order_relaxed) != p ||
            !atomic_compare_exchange_strong(&at->state, &expected, PLACE_LEAVING))
            continue;
        while (atomic_load_explicit(&at->state, memory_order_acquire) == PLACE_LEAVING)
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
        atomic_fetch_sub_explicit(&e->sessions, 1, memory_order_relaxed);
        return 0;
    }
    return LW_ESTATE;
}

int lw_engine_ready(lw_engine *e, lw_performer **out, int cap)
{
    if (!e || (cap > 0 && !out))
        return LW_EINVAL;
    int n = 0, used = atomic_load_explicit(&e->used, memory_order_acquire);
    for (int word = 0; word * 64 < used && n < cap; word++) {
        if (!atomic_load_explicit(&e->ready[word], memory_order_relaxed))
            continue;
        uint64_t bits = atomic_exchange_explicit(&e->ready[word], 0, memory_order_acquire), left = bits;
        for (; left && n < cap; left &= left - 1) {
            place *p = &e->table[word * 64 + __builtin_ctzll(left)];
            if (atomic_load_explicit(&p->state, memory_order_acquire) == PLACE_ACTIVE)
                out[n++] = atomic_load_explicit(&p->performer, memory_order_relaxed);
        }
        if (left) /* there was no room for them */
            atomic_fetch_or_explicit(&e->ready[word], left, memory_order_release);
    }
    return n;
}

void lw_engine_stats(const lw_engine *e, lw_engine_counters *counters)
{
#define READ(name) atomic_load_explicit(&e->name, memory_order_relaxed)
    *counters = (lw_engine_counters){.ticks = READ(ticks),
                               .late_ticks = READ(late_ticks),
                               .lost_ticks = READ(lost_ticks),
                               .busy_ns = READ(busy_ns),
                               .worst_ns = READ(worst_ns),
                               .sessions = READ(sessions)};
#undef READ
}

void lw_engine_close(lw_engine **e)
{
    if (!e || !*e)
        return;
    atomic_store_explicit(&(*e)->stop, 1, memory_order_release);
    pthread_join((*e)->thread, NULL);
    close((*e)->fd);
    free(*e);
    *e = NULL;
}
