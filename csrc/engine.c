/* All sessions on one native thread, ticked against absolute deadlines; Python hears of it through an eventfd.
 *
 * The table of performers is the only thing shared with the control side, one atomic pointer and one atomic state a
 * place: FREE -> ACTIVE (attach), ACTIVE -> LEAVING (detach), LEAVING -> FREE (the thread, between two passes). */
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
    pthread_t thread;
    _Atomic int stop;
    _Atomic int64_t ticks, late_ticks, lost_ticks, busy_ns, worst_ns, sessions;
    place table[];
};

/* What this thread has computed, in ns. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One tick of every session; returns the bits of what came out. */
static int pass(lw_engine *e, int64_t due, int draw)
{
    int out = 0;
    for (int i = 0; i < e->places; i++) {
        place *p = &e->table[i];
        int state = atomic_load_explicit(&p->state, memory_order_acquire);
        if (state == PLACE_ACTIVE && p->wait > 0)
            p->wait--;
        else if (state == PLACE_ACTIVE)
            out |= lw_performer_tick(atomic_load_explicit(&p->performer, memory_order_relaxed), due, draw);
        else if (state == PLACE_LEAVING)
            atomic_store_explicit(&p->state, PLACE_FREE, memory_order_release);
    }
    return out;
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
        int out = pass(e, due, began - due < DRAW_LAG * TICK_NS);
        int64_t took = cpu_ns() - cpu;
        LW_COUNT(e->ticks, 1);
        LW_COUNT(e->busy_ns, took);
        if (took > atomic_load_explicit(&e->worst_ns, memory_order_relaxed))
            atomic_store_explicit(&e->worst_ns, took, memory_order_relaxed);
        due += TICK_NS;
        const uint64_t one = 1;
        /* It fails only where the counter is full, and then the reader has been woken; the clocks go on in any case. */
        ssize_t told = out ? write(e->fd, &one, sizeof one) : 0;
        (void)told;
    }
    return NULL;
}

int lw_engine_open(lw_engine **out, int max_sessions)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (max_sessions < 1 || max_sessions > 65536)
        return LW_EINVAL;
    lw_engine *e = calloc(1, sizeof *e + (size_t)max_sessions * sizeof(place));
    if (!e)
        return LW_ENOMEM;
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
