/* The engine: every session on one native thread.
 *
 * A thread ticks all attached performers every 10 ms against absolute deadlines of CLOCK_MONOTONIC, and adds 1 to an
 * eventfd when readers are to be told (lw_performer_due); lw_engine_ready says which. A wake-up that is late by less than LW_ENGINE_MAX_LAG_MS makes up every tick (late
 * frames are skipped, sound is not); beyond that the lost ticks are counted and left out. A frame is late when the next
 * one of 25 a second would be due. The thread asks for a nice value of -10, and does without where that is refused.
 *
 * attach, detach and stats may be called by any thread but the engine's own; close by one, when no other uses it.
 *
 * Example of use:
 *
 *     lw_engine *e;
 *     lw_performer *p;
 *     if (lw_engine_open(&e, 100) < 0)
 *         return 1;
 *     if (lw_performer_open(&p, &(lw_performer_config){.fps_num = 25, .fps_den = 1}) < 0)
 *         return 1;
 *     if (lw_engine_attach(e, p) < 0)
 *         return 1;
 *     struct pollfd wait = {.fd = lw_engine_fd(e), .events = POLLIN};
 *     poll(&wait, 1, 1000); // then read the eventfd, and what each of these has
 *     lw_engine_ready(e, &p, 1);
 *     lw_engine_detach(e, p);
 *     lw_performer_close(&p);
 *     lw_engine_close(&e);
 */
#ifndef LIPWIRE_ENGINE_H
#define LIPWIRE_ENGINE_H

#include "lipwire/base.h"
#include "lipwire/performer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_ENGINE_MAX_LAG_MS 500 /* what is made up fits into the ring of a reader that slept as well: 64 blocks */

typedef struct lw_engine lw_engine;
typedef struct lw_engine_counters {
    int64_t ticks;         /* of the thread */
    int64_t late_ticks;    /* began 10 ms or more after their deadline */
    int64_t lost_ticks;    /* left out */
    int64_t busy_ns;       /* thread CPU time spent in ticks */
    int64_t worst_ns;      /* longest single pass over all sessions */
    int64_t sessions;
} lw_engine_counters;

/* max_sessions 1..65536; LW_ENOMEM: no memory, no thread, or no descriptor. */
int lw_engine_open(lw_engine **out, int max_sessions);
int lw_engine_fd(const lw_engine *e); /* the eventfd, non-blocking; owned by the engine */
/* Ticks it from now on: it is kept, and has to live until it is detached or the engine is closed. LW_ENOSPC: there are
 * max_sessions already. The first tick may be up to three later, so that sessions do not all draw in the
 * same one. */
int lw_engine_attach(lw_engine *e, lw_performer *p);
/* Sleeps until the thread has let go of the performer, at most a tick or so. LW_ESTATE: it was not attached. */
int lw_engine_detach(lw_engine *e, lw_performer *p);
/* Whose readers are to be told, each once: at most `cap` of them into `out`; returns how many. The others are for the next
 * call. One that somebody detaches meanwhile may be among them. */
int lw_engine_ready(lw_engine *e, lw_performer **out, int cap);
void lw_engine_stats(const lw_engine *e, lw_engine_counters *counters);
/* Stops the thread; what was attached is let go of. */
void lw_engine_close(lw_engine **e);

#ifdef __cplusplus
}
#endif
#endif
