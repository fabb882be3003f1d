/* All the threads that a session has, at once and in a hurry: `make tsan` looks for races in what they share.
 *
 * Two places of share.c need help to be seen. Writer and reader map the ring at two addresses, which ThreadSanitizer
 * takes for two memories: here the reader looks through the writer's map. And a reader that was overtaken reads bytes
 * that change, which is how the ring works (it asks afterwards), so the writer here waits before it overwrites; what
 * orders a reader behind the writer is share.c's own, and what orders the writer behind a reader is this test's. */
#include "share.c"

#include <pthread.h>

#include "check.h"
#include "lipwire/lipwire.h"

#define W 64
#define H 36
#define BYTES (W * H * 3 / 2)

/* Threads that only wait for each other must not keep the cores from those that work. */
static void rest_us(int us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg)) {
        CHECK(0, "thread");
        exit(1);
    }
}

/* ---- one performer: writer, interrupter, ticks, reader, and who gives frames back ---- */

#define TICKS 1000
#define HELD 4

typedef struct session {
    lw_performer *p;
    pthread_mutex_t producer; /* the writer and the interrupter are one producer, in turn */
    _Atomic int ticked;       /* all ticks are done */
    _Atomic int stop;
    _Atomic int64_t interrupts;
    _Atomic int given[HELD]; /* slot + 1 on its way from the reader to the releaser, or 0 */
} session;

static void *write_speech(void *arg)
{
    session *s = arg;
    static const int32_t rates[] = {8000, 16000, 24000, 44100, 48000};
    int16_t pcm[4800];
    for (int i = 0; i < 4800; i++)
        pcm[i] = (int16_t)(8000 * (i % 120 < 60) - 4000);
    uint32_t state = 7;
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        state = state * 1664525u + 1013904223u;
        pthread_mutex_lock(&s->producer);
        lw_performer_write(s->p, pcm, 1 + (state >> 8) % 4800, rates[(state >> 24) % 32 / 8]);
        if ((state >> 4) % 8 == 0)
            lw_performer_end(s->p, state % 2 ? 4800 : 0);
        lw_performer_set(s->p, LW_MOTION_EXPRESSION, (int)(state >> 5) % LW_EXPRESSIONS);
        pthread_mutex_unlock(&s->producer);
        rest_us(30);
    }
    return NULL;
}

static void *interrupt_speech(void *arg)
{
    session *s = arg;
    int64_t last = 0;
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        pthread_mutex_lock(&s->producer);
        int64_t generation = lw_performer_interrupt(s->p);
        pthread_mutex_unlock(&s->producer);
        if (generation <= last)
            CHECK(0, "generations rise");
        last = generation;
        lw_performer_look(s->p, generation % 3 ? LW_LOOK_PICTURES : 0);
        atomic_fetch_add_explicit(&s->interrupts, 1, memory_order_relaxed);
        rest_us(300);
    }
    return NULL;
}

static void *tick(void *arg)
{
    session *s = arg;
    for (int i = 0; i < TICKS; i++) {
        lw_performer_tick(s->p, i, i % 7 != 0);
        if (i % 16 == 0)
            rest_us(20);
    }
    atomic_store(&s->ticked, 1);
    return NULL;
}

static void *release_frames(void *arg)
{
    session *s = arg;
    for (int last = 0; !last;) {
        last = atomic_load(&s->stop);
        for (int i = 0; i < HELD; i++) {
            int slot = atomic_exchange_explicit(&s->given[i], 0, memory_order_acq_rel);
            if (slot)
                lw_performer_release_frame(s->p, slot - 1);
        }
        lw_performer_counters counters;
        lw_performer_stats(s->p, &counters);
        if (counters.frames < counters.frames_unchanged || counters.clock % LW_BLOCK)
            CHECK(0, "counters, while all of it runs");
        rest_us(30);
    }
    return NULL;
}

static int draw(void *user, uint8_t *i420, const lw_draw_info *info)
{
    int *drawn = user; /* the first has nothing to be the same as, and would be black */
    memset(i420, (int)(info->sequence & 127), BYTES);
    return (*drawn)++ && info->sequence % 5 == 4 ? LW_DRAW_SAME : 0;
}

/* How the threads met is chance; this is not. */
static int interrupt_ends(lw_performer *p)
{
    int16_t pcm[4800] = {0}, block[LW_BLOCK];
    int64_t sample;
    lw_event event;
    uint64_t playing = 0;
    for (int i = 0; i < 2 && lw_performer_interrupt(p); i++) /* whatever the writer left */
        lw_performer_tick(p, 0, 0);
    if (lw_performer_write(p, pcm, 4800, LW_RATE) < 0)
        return 0;
    for (int i = 0; i < 20; i++) {
        lw_performer_tick(p, 0, 0);
        while (lw_performer_read_pcm(p, block, &sample))
            ;
        while (lw_performer_read_event(p, &event))
            if (event.type == LW_EVENT_STARTED && event.utterance == lw_performer_utterance(p)) {
                playing = event.utterance;
                lw_performer_interrupt(p);
            } else if (event.type == LW_EVENT_FINISHED && playing && event.utterance == playing)
                return event.value == 1;
    }
    return 0;
}

static void test_performer(lw_draw hook)
{
    session s = {.producer = PTHREAD_MUTEX_INITIALIZER};
    int drawn = 0;
    lw_performer_config config = {.draw = hook, .draw_user = &drawn, .width = W, .height = H, .fps_num = 50, .fps_den = 1,
                                  .speech = {.capacity = LW_RATE, .prebuffer = 480, .dry_timeout = 960}};
    pthread_t threads[4];
    if (!CHECK(lw_performer_open(&s.p, &config) == 0, "open"))
        exit(1);
    start(&threads[0], write_speech, &s);
    start(&threads[1], interrupt_speech, &s);
    start(&threads[2], tick, &s);
    start(&threads[3], release_frames, &s);

    int ordered = 1, paired = 1, whole = 1, next = 0;
    int64_t sample, last_sample = -1, last_frame = -1, blocks = 0, frames = 0, finished = 0, interrupted = 0;
    uint64_t playing = 0, heard;
    for (int rest = 0; rest < 2; rest += atomic_load(&s.ticked)) {
        int16_t block[LW_BLOCK];
        while (lw_performer_read_pcm(s.p, block, &sample)) {
            ordered &= sample > last_sample && sample % LW_BLOCK == 0;
            last_sample = sample;
            blocks++;
            lw_performer_heard(s.p, &heard);
        }
        lw_event event;
        while (lw_performer_read_event(s.p, &event)) {
            if (event.type == LW_EVENT_STARTED) /* again, where samples crossed the end of their own utterance */
                paired &= event.utterance >= playing;
            if (event.type == LW_EVENT_STARTED)
                playing = event.utterance;
            finished += event.type == LW_EVENT_FINISHED;
            interrupted += event.type == LW_EVENT_FINISHED && event.value;
        }
        int slot;
        lw_frame_info info;
        while (!atomic_load_explicit(&s.given[next], memory_order_acquire) && lw_performer_acquire_frame(s.p, &slot, &info)) {
            const uint8_t *pixels = lw_performer_frame(s.p, slot);
            ordered &= info.sequence > last_frame;
            last_frame = info.sequence;
            for (int i = 1; i < BYTES; i++) /* a hook fills the whole of it */
                whole &= pixels[i] == pixels[0];
            frames++;
            atomic_store_explicit(&s.given[next], slot + 1, memory_order_release);
            next = (next + 1) % HELD;
        }
        rest_us(30);
    }
    pthread_join(threads[2], NULL);
    atomic_store(&s.stop, 1);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            pthread_join(threads[i], NULL);
    lw_performer_counters counters;
    lw_performer_stats(s.p, &counters);
    CHECK(ordered, "blocks and frames in order");
    CHECK(paired, "utterances in order");
    CHECK(whole, "frames whole");
    CHECK(blocks + counters.pcm_dropped == TICKS && frames <= counters.frames && counters.clock == TICKS * LW_BLOCK &&
              frames + counters.frames_dropped + counters.frames_skipped <= TICKS / 2, "all of it counted");
    CHECK(counters.generation == atomic_load(&s.interrupts) && interrupted <= finished &&
              counters.utterances + counters.events_dropped >= finished, "interrupts counted");
    CHECK(interrupt_ends(s.p), "an interrupt ends what it finds, after all that");
    lw_performer_close(&s.p);
}

/* ---- units: who ticks chooses the node, who reads stitches, anyone says what is wanted ---- */

#define SIDE 16

typedef struct units {
    lw_performer *p;
    _Atomic int ticked;
} units;

static void *tick_units(void *arg)
{
    units *u = arg;
    for (int i = 0; i < TICKS; i++) {
        lw_performer_tick(u->p, i, 1);
        if (i % 8 == 0)
            rest_us(30);
    }
    atomic_store(&u->ticked, 1);
    return NULL;
}

static void *want(void *arg)
{
    units *u = arg;
    for (int i = 0; !atomic_load(&u->ticked); i++) {
        lw_performer_look(u->p, i % 8 ? LW_LOOK_UNITS : i / 8 % 8);
        rest_us(200);
    }
    return NULL;
}

/* A grey macroblock that stays as it is. */
static lw_atlas *open_grey(void *blob, size_t room)
{
    static const uint8_t grey = 0x27;
    lw_payload payload = {.bits = &grey, .bit_length = 8, .type = LW_SLICE_I, .qp = 26};
    uint8_t data[16];
    lw_atlas_slice slice = {.bytes = (uint32_t)lw_slice_store(&payload, 0, data, sizeof data), .type = LW_SLICE_I, .qp = 26};
    lw_atlas_stripe stripe = {.kind = LW_STRIPE_STATIC, .rows = 1};
    lw_atlas_node node = {.anchor = 1};
    lw_atlas_segment segment = {.count = 1, .modes = 1};
    lw_atlas_plan plan = {.width = SIDE, .height = SIDE, .fps_num = 50, .fps_den = 1, .data = data, .data_bytes = slice.bytes,
                          .stripes = &stripe, .stripe_count = 1, .nodes = &node, .node_count = 1, .segments = &segment,
                          .segment_count = 1, .slices = &slice, .slice_count = 1};
    for (int i = 0; i < LW_AXES; i++)
        plan.axis_min[i] = INT16_MIN, plan.axis_max[i] = INT16_MAX;
    int64_t bytes = lw_atlas_pack(&plan, blob, room);
    lw_atlas *atlas = NULL;
    CHECK(bytes > 0 && lw_atlas_open(&atlas, blob, (size_t)bytes, NULL) == 0, "atlas");
    return atlas;
}

static void test_units(void)
{
    static uint8_t back[SIDE * SIDE * 4], blob[2048], unit[2048];
    units u = {0};
    lw_avatar *avatar;
    lw_image image = {.rgba = back, .width = SIDE, .height = SIDE};
    lw_atlas *atlas = open_grey(blob, sizeof blob);
    lw_avatar_config face = {.width = SIDE, .height = SIDE, .images = &image, .image_count = 1};
    if (!atlas || lw_avatar_open(&avatar, &face) < 0)
        exit(1);
    lw_performer_config config = {.avatar = avatar, .fps_num = 50, .fps_den = 1, .atlas = atlas};
    pthread_t threads[2];
    if (!CHECK(lw_performer_open(&u.p, &config) == 0, "open with an atlas"))
        exit(1);
    start(&threads[0], tick_units, &u);
    start(&threads[1], want, &u);
    int stitched = 0, drawn = 0, whole = 1, slot;
    for (int rest = 0; rest < 2; rest += atomic_load(&u.ticked)) {
        lw_frame_info info;
        for (; lw_performer_acquire_frame(u.p, &slot, &info); lw_performer_release_frame(u.p, slot)) {
            int leaves_out = info.sequence % 50 == 49, key;
            if (info.node < 0 || leaves_out) {
                drawn++;
                continue;
            }
            int64_t bytes = lw_performer_unit(u.p, slot, 0, &key, unit, sizeof unit);
            whole &= bytes > 0 || !info.key;
            stitched += bytes > 0;
            if (info.sequence % 20 == 0)
                lw_performer_request_key(u.p);
        }
        rest_us(30);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    lw_performer_counters counters;
    lw_performer_stats(u.p, &counters);
    CHECK(whole && stitched <= counters.frames_stitched && stitched + drawn <= counters.frames, "units and pictures, counted");
    lw_performer_close(&u.p);
    lw_avatar_close(&avatar);
    lw_atlas_close(&atlas);
}

/* ---- the engine: sessions that come and go while others speak and are read ---- */

#define ROUNDS 12

typedef struct table {
    lw_engine *e;
    _Atomic int stop;
} table;

/* A session's life, from one thread, while the engine's ticks it. */
static void *live(void *arg)
{
    table *t = arg;
    int16_t pcm[960], block[LW_BLOCK];
    intptr_t read = 0;
    for (int i = 0; i < 960; i++)
        pcm[i] = (int16_t)(i * 30 % 9000);
    for (int round = 0; round < ROUNDS; round++) {
        lw_performer *p;
        lw_performer_config config = {.width = W, .height = H, .fps_num = 100, .fps_den = 1, .speech = {.prebuffer = 480}};
        if (lw_performer_open(&p, &config) < 0 || lw_engine_attach(t->e, p) < 0)
            return (void *)(intptr_t)-1;
        for (int i = 0; i < 6; i++) {
            int64_t sample;
            int slot;
            lw_frame_info info;
            lw_performer_write(p, pcm, 960, 48000);
            if (i % 3 == 2)
                lw_performer_interrupt(p);
            rest_us(7000);
            while (lw_performer_read_pcm(p, block, &sample))
                read++;
            while (lw_performer_acquire_frame(p, &slot, &info)) {
                lw_performer_frame(p, slot)[0] = 1; /* whoever reads may draw */
                lw_performer_release_frame(p, slot);
            }
        }
        if (lw_engine_detach(t->e, p) < 0)
            return (void *)(intptr_t)-1;
        lw_performer_close(&p);
    }
    return (void *)read;
}

static void *watch(void *arg)
{
    table *t = arg;
    int64_t last = 0;
    while (!atomic_load(&t->stop)) {
        lw_engine_counters counters;
        lw_engine_stats(t->e, &counters);
        if (counters.ticks < last || counters.sessions < 0 || counters.sessions > 3)
            CHECK(0, "the engine's counters");
        last = counters.ticks;
        rest_us(1000);
    }
    return NULL;
}

static void test_engine(void)
{
    table t = {0};
    pthread_t lives[3], watcher;
    if (!CHECK(lw_engine_open(&t.e, 3) == 0, "engine"))
        exit(1);
    start(&watcher, watch, &t);
    for (int i = 0; i < 3; i++)
        start(&lives[i], live, &t);
    int ok = 1;
    for (int i = 0; i < 3; i++) {
        void *read;
        pthread_join(lives[i], &read);
        ok &= (intptr_t)read > 0;
    }
    atomic_store(&t.stop, 1);
    pthread_join(watcher, NULL);
    CHECK(ok, "sessions come, speak, are interrupted, are read and go");
    lw_engine_close(&t.e);
}

/* ---- a ring: one writer, two readers ---- */

#define ITEMS 4000
#define BLOCKS 8
#define SLOTS 4

typedef struct follower {
    lw_share_reader *r;
    _Atomic int64_t pcm, frames; /* how far this one has read, all of its reading included */
    int64_t wrong;
} follower;

typedef struct ring {
    lw_share *s;
    follower followers[2];
} ring;

/* Everything in an item says which one it is. */
static void *follow(void *arg)
{
    follower *f = arg;
    int64_t generation = 0;
    for (int ended = 0; !ended;) {
        lw_share_pcm block;
        lw_share_frame frame;
        lw_share_reader_counters counters;
        lw_share_reader_stats(f->r, &counters);
        f->wrong += counters.generation < generation;
        generation = counters.generation;
        ended = counters.ended != 0; /* asked first: what was published before it is there below */
        while (lw_share_reader_read_pcm(f->r, &block) == 1) {
            for (int i = 0; i < LW_BLOCK; i++)
                f->wrong += block.pcm[i] != (int16_t)block.number;
            f->wrong += block.sample != block.number * LW_BLOCK || !lw_share_reader_pcm_valid(f->r, block.number);
            atomic_store_explicit(&f->pcm, block.number + 1, memory_order_release);
        }
        while (lw_share_reader_read_frame(f->r, &frame) == 1) {
            for (int i = 0; i < BYTES; i += 61)
                f->wrong += frame.i420[i] != (uint8_t)frame.number;
            f->wrong += frame.sequence != frame.number || !lw_share_reader_frame_valid(f->r, frame.number);
            atomic_store_explicit(&f->frames, frame.number + 1, memory_order_release);
        }
        /* Stale ones are read over, too. */
        atomic_store_explicit(&f->pcm, f->r->pcm.next, memory_order_release);
        atomic_store_explicit(&f->frames, f->r->frames.next, memory_order_release);
        if (!ended)
            lw_share_reader_wait(f->r, 0, lw_now_ns() + 2000000);
    }
    return NULL;
}

static void await(const _Atomic int64_t *read, int64_t number)
{
    while (atomic_load_explicit(read, memory_order_acquire) < number)
        rest_us(30);
}

static void test_ring(void)
{
    ring g = {0};
    lw_share_config config = {.width = W, .height = H, .fps_num = 25, .fps_den = 1, .frame_slots = SLOTS,
                              .frames_kept = SLOTS - 1, .pcm_blocks = BLOCKS};
    if (!CHECK(lw_share_open(&g.s, &config) == 0, "ring"))
        exit(1);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        const char *why;
        if (!CHECK(lw_share_reader_open(&g.followers[i].r, lw_share_fd(g.s), &why) == 0, "reader"))
            exit(1);
        munmap((void *)(uintptr_t)g.followers[i].r->h, g.s->bytes);
        g.followers[i].r->h = g.s->h;
    }
    for (int i = 0; i < 2; i++)
        start(&threads[i], follow, &g.followers[i]);
    for (int64_t n = 0, frames = 0; n < ITEMS; n++) {
        int16_t pcm[LW_BLOCK];
        for (int i = 0; i < LW_BLOCK; i++)
            pcm[i] = (int16_t)n;
        for (int i = 0; i < 2; i++)
            await(&g.followers[i].pcm, n - BLOCKS + 1);
        lw_share_write_pcm(g.s, pcm, n * LW_BLOCK, n);
        if (n % 4 == 0) {
            for (int i = 0; i < 2; i++)
                await(&g.followers[i].frames, frames - SLOTS + 2);
            int slot = lw_share_free_slot(g.s);
            memset(lw_share_slot(g.s, slot), (int)(frames & 255), BYTES);
            lw_share_write_frame(g.s, slot, &(lw_frame_info){.sample = n * LW_BLOCK, .sequence = frames}, n);
            frames++;
        }
        if (n % 200 == 199)
            lw_share_interrupt(g.s);
        if (n % 64 == 0)
            lw_share_beat(g.s, n);
    }
    lw_share_end(g.s);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        lw_share_reader_counters counters;
        lw_share_reader_stats(g.followers[i].r, &counters);
        CHECK(!g.followers[i].wrong && !counters.pcm_lost && !counters.frames_lost && !counters.pcm_lag &&
                  !counters.frames_lag && counters.generation == ITEMS / 200, "every item, whole, or stale");
        free(g.followers[i].r); /* its map was the writer's */
    }
    lw_share_close(&g.s);
}

int main(void)
{
    test_performer(NULL);
    test_performer(draw);
    test_units();
    test_engine();
    test_ring();
    return failures != 0;
}
