/* The engine's thread: it ticks what is attached and nothing else. Nothing here depends on how fast the machine is. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lipwire/lipwire.h"

#define MANY 20

static lw_performer *open_performer(int32_t pcm_blocks)
{
    lw_performer *p = NULL;
    lw_performer_config config = {.fps_num = 25, .fps_den = 1, .pcm_blocks = pcm_blocks, .speech = {.capacity = 48000}};
    if (lw_performer_open(&p, &config) < 0) {
        CHECK(0, "performer");
        exit(1);
    }
    return p;
}

static lw_engine *open_engine(int sessions)
{
    lw_engine *e = NULL;
    if (lw_engine_open(&e, sessions) < 0 || !e) {
        CHECK(0, "engine");
        exit(1);
    }
    return e;
}

static void rest_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static int64_t ticks_of(lw_engine *e)
{
    lw_engine_counters stats;
    lw_engine_stats(e, &stats);
    return stats.ticks;
}

/* Waits until the thread has made n more ticks; 0 where it never does. */
static int wait_ticks(lw_engine *e, int64_t n)
{
    int64_t until = ticks_of(e) + n;
    for (int i = 0; i < 20000; i++) {
        if (ticks_of(e) >= until)
            return 1;
        rest_ms(1);
    }
    return 0;
}

static int64_t clock_of(lw_performer *p)
{
    lw_performer_counters stats;
    lw_performer_stats(p, &stats);
    return stats.clock;
}

static void test_interface(void)
{
    lw_engine *e = (lw_engine *)(uintptr_t)16;
    CHECK(lw_engine_open(&e, 0) == LW_EINVAL && !e && lw_engine_open(&e, -1) == LW_EINVAL &&
              lw_engine_open(NULL, 1) == LW_EINVAL && lw_engine_open(&e, 1 << 30) == LW_EINVAL, "bad arguments");
    e = open_engine(2);
    lw_performer *p[3];
    for (int i = 0; i < 3; i++)
        p[i] = open_performer(0);
    lw_engine_counters stats;
    CHECK(lw_engine_attach(e, NULL) == LW_EINVAL && lw_engine_attach(NULL, p[0]) == LW_EINVAL &&
              lw_engine_detach(e, NULL) == LW_EINVAL && lw_engine_detach(NULL, p[0]) == LW_EINVAL, "nothing to attach");
    CHECK(lw_engine_detach(e, p[0]) == LW_ESTATE, "what is not attached cannot be detached");
    CHECK(lw_engine_attach(e, p[0]) == 0 && lw_engine_attach(e, p[1]) == 0 && lw_engine_attach(e, p[2]) == LW_ENOSPC,
          "no more than its sessions");
    lw_engine_stats(e, &stats);
    CHECK(stats.sessions == 2, "sessions are counted");
    CHECK(lw_engine_detach(e, p[0]) == 0 && lw_engine_attach(e, p[2]) == 0, "a place is free again");
    lw_engine_close(&e);
    lw_engine_close(&e);
    lw_engine_close(NULL);
    CHECK(!e, "close nulls");
    for (int i = 0; i < 3; i++)
        lw_performer_close(&p[i]);
}

static void test_ticking(void)
{
    lw_engine *e = open_engine(4);
    lw_performer *p = open_performer(4096);
    uint64_t woken = 0;
    CHECK(read(lw_engine_fd(e), &woken, sizeof woken) < 0 && errno == EAGAIN, "the descriptor does not block");
    CHECK(wait_ticks(e, 3) && read(lw_engine_fd(e), &woken, sizeof woken) < 0,
        "and is quiet while nothing is attached");

    /* Made ahead of the attach, so that the count starts with the first tick. */
    int16_t pcm[4800];
    for (int i = 0; i < 4800; i++)
        pcm[i] = (int16_t)(i % 100);
    int wrote = lw_performer_write(p, pcm, 4800, 48000) == 0 && lw_performer_end(p, 0) == 0;
    int64_t before = ticks_of(e);
    int attached = lw_engine_attach(e, p) == 0;
    int64_t after = ticks_of(e);
    CHECK(wrote && attached && wait_ticks(e, 40), "it ticks");
    struct pollfd poller = {.fd = lw_engine_fd(e), .events = POLLIN};
    CHECK(poll(&poller, 1, 10000) == 1 && read(lw_engine_fd(e), &woken, sizeof woken) == sizeof woken && woken >= 1,
          "the descriptor tells of output");
    int64_t sure = ticks_of(e) - after;
    CHECK(lw_engine_detach(e, p) == 0, "detach");
    int64_t most = ticks_of(e) - before, clock = clock_of(p), blocks = clock / LW_BLOCK;
    CHECK(blocks >= 30 && blocks >= sure - 2 && blocks <= most + 2, "one block a tick");
    CHECK(wait_ticks(e, 3) && clock_of(p) == clock, "nothing runs behind a detach");
    int64_t sample, next = 0;
    int16_t block[LW_BLOCK];
    int ordered = 1;
    while (lw_performer_read_pcm(p, block, &sample)) {
        ordered &= sample == next;
        next += LW_BLOCK;
    }
    lw_event event;
    CHECK(ordered && next == clock && lw_performer_read_event(p, &event) && event.type == LW_EVENT_STARTED,
          "every block is there, in order");
    lw_engine_counters stats;
    lw_engine_stats(e, &stats);
    CHECK(stats.sessions == 0 && stats.busy_ns > 0 && stats.worst_ns > 0 && stats.worst_ns <= stats.busy_ns &&
              stats.late_ticks <= stats.ticks && stats.lost_ticks >= 0, "statistics");
    lw_performer_close(&p);
    lw_engine_close(&e);
}

/* Which of them have something: each once, until it has more. */
static void test_ready(void)
{
    enum { SESSIONS = 70 };
    lw_engine *e = open_engine(100);
    lw_performer *p[SESSIONS], *found[SESSIONS];
    int told[SESSIONS] = {0}, ok = 1, most = 0;
    int16_t block[LW_BLOCK];
    int64_t sample;
    CHECK(lw_engine_ready(NULL, found, 1) == LW_EINVAL && lw_engine_ready(e, NULL, 1) == LW_EINVAL &&
              lw_engine_ready(e, NULL, 0) == 0 && lw_engine_ready(e, found, SESSIONS) == 0, "nobody has anything");
    for (int i = 0; i < SESSIONS; i++) {
        lw_performer_config config = {.fps_num = 1, .fps_den = 1, .batch = 2, .speech = {.capacity = 48000}};
        ok &= lw_performer_open(&p[i], &config) == 0 && lw_engine_attach(e, p[i]) == 0;
    }
    ok &= wait_ticks(e, 8);
    for (int n; (n = lw_engine_ready(e, found, 9)) > 0 && ok;) { /* there are more than fit */
        most = n > most ? n : most;
        for (int k = 0; k < n; k++)
            for (int i = 0; i < SESSIONS; i++)
                if (p[i] == found[k]) {
                    told[i]++;
                    while (lw_performer_read_pcm(p[i], block, &sample))
                        ;
                }
    }
    for (int i = 0; i < SESSIONS; i++)
        ok &= told[i] >= 1;
    CHECK(ok && most == 9, "all that ticked have, a few at a time");
    for (int i = 0; i < SESSIONS; i++)
        ok &= lw_engine_detach(e, p[i]) == 0;
    CHECK(ok && lw_engine_ready(e, found, SESSIONS) == 0, "what was detached has nothing any more");
    for (int i = 0; i < SESSIONS; i++)
        lw_performer_close(&p[i]);
    lw_engine_close(&e);
}

static void test_many(void)
{
    lw_engine *e = open_engine(MANY);
    lw_performer *p[MANY];
    int ok = 1;
    for (int i = 0; i < MANY; i++) {
        p[i] = open_performer(0);
        ok &= lw_engine_attach(e, p[i]) == 0;
    }
    ok &= wait_ticks(e, 20);
    for (int i = 0; i < MANY; i++)
        ok &= clock_of(p[i]) >= 15 * LW_BLOCK;
    CHECK(ok, "many performers tick together");
    lw_engine_close(&e); /* with all of them attached */
    int64_t clocks = 0, later = 0;
    for (int i = 0; i < MANY; i++)
        clocks += clock_of(p[i]);
    rest_ms(30);
    for (int i = 0; i < MANY; i++) {
        later += clock_of(p[i]);
        lw_performer_close(&p[i]);
    }
    CHECK(clocks == later, "closing the engine stops them all");
}

/* Attach, detach, close at once: a tick that still ran would touch freed memory. */
static void *come_and_go(void *arg)
{
    lw_engine *e = arg;
    intptr_t bad = 0;
    int16_t pcm[960] = {0};
    for (int i = 0; i < 50; i++) {
        lw_performer *p = open_performer(0);
        bad += lw_engine_attach(e, p) != 0;
        bad += lw_performer_write(p, pcm, 960, 48000) != 0;
        if (i % 4 == 0)
            rest_ms(i % 12);
        if (i % 3 == 0)
            lw_performer_interrupt(p);
        bad += lw_engine_detach(e, p) != 0;
        lw_performer_close(&p);
    }
    return (void *)bad;
}

static void test_come_and_go(void)
{
    lw_engine *e = open_engine(4);
    lw_performer *steady = open_performer(0);
    pthread_t threads[2];
    void *bad[2] = {NULL, NULL};
    int ok = lw_engine_attach(e, steady) == 0;
    for (int i = 0; i < 2; i++)
        ok &= pthread_create(&threads[i], NULL, come_and_go, e) == 0;
    for (int i = 0; i < 2 && ok; i++)
        pthread_join(threads[i], &bad[i]);
    CHECK(ok && !bad[0] && !bad[1], "100 performers come and go while it runs");
    lw_engine_counters stats;
    lw_engine_stats(e, &stats);
    CHECK(stats.sessions == 1 && clock_of(steady) > 0 && lw_engine_detach(e, steady) == 0,
        "another one does not notice");
    lw_performer_close(&steady);
    lw_engine_close(&e);
}

int main(void)
{
    test_interface();
    test_ticking();
    test_ready();
    test_many();
    test_come_and_go();
    return failures != 0;
}
