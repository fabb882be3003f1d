/* One session's chain, tick by tick, and the rings that carry its output away.
 *
 * Look-ahead: the extractor reads speech that is buffered but not yet played, so that the mouth needs no delay of the
 * sound. Rows wait in a short queue until the clock reaches them: as the extractor first says, then, where there was time
 * to hear more, as it finally says. A row that is not there in time counts as rest. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "avatar.h"
#include "common.h"
#include "lipwire/performer.h"
#include "lipwire/resample.h"
#include "resample_join.h"
#include "walk.h"

#define LOOK_AHEAD (160 * 48) /* samples: the extractor's look-ahead, and the rows that the mouth wants to know before */
#define LOOK_LESS (100 * 48)  /* where pauses may be shortened: not by what has been looked at */
#define LEAD 1                /* rows that the mouth runs ahead of the sound: its speed is bounded, and opening takes the longest */
#define ROWS 32
#define EVENTS 1024
/* Utterances that have begun and whose end nobody has read: more do not begin. So no beginning and no end is ever lost. */
#define UNHEARD LW_PERFORMER_UTTERANCES
#define TICK_EVENTS (2 * UNHEARD + 8) /* all of them may begin and end in one tick */
#define WRITE_BLOCK 2048
#define TOGETHER 8 /* performers whose visemes are computed side by side */
#define NARROW (LW_BLOCK / 3 + 2) /* samples that a block makes at LW_VISEME_RATE, at most */
#define ROWS_AT_ONCE 4
#define EASE 25 /* frames that the head takes to the nodes of an atlas that comes later */
#define MOUTH_OPEN 8192 /* q15: weight of the shapes that are neither rest nor a closure */

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_HELD };

typedef struct slot {
    _Atomic int state;
    lw_canvas canvas;
    lw_frame_info info;
    uint8_t *pixels;
    int64_t after; /* sequence of the frame whose unit its own follows on */
} slot;

typedef struct pcm_block {
    int64_t sample;
    int64_t generation; /* interrupts it knows of */
    uint64_t utterance; /* as lw_speech_played, behind this block */
    int64_t played;
    int16_t pcm[LW_BLOCK];
} pcm_block;

typedef struct row {
    int64_t sample; /* media clock of its first sample */
    float channels[LW_CHANNELS];
} row;

/* One producer, one consumer; the items live beside it. */
typedef struct ring {
    _Atomic int64_t written, read;
} ring;

struct lw_performer {
    lw_performer_config config;
    lw_speech *speech;
    lw_viseme *visemes;
    lw_motion *motion;
    lw_resampler *to_viseme;
    size_t bytes;

    /* producer */
    lw_resampler *input;
    int32_t input_rate;
    uint64_t writing; /* the utterance that the input resampler's state belongs to */
    uint64_t utterance; /* that the last write belonged to */
    int midway;            /* it has taken some of that utterance */
    int16_t made_last[LW_JOIN_PAST]; /* the newest that it made */
    int entered;        /* this side has the turn */
    int64_t crossed_before;

    /* written by the producer, read by the consumer: the newest of each setting, as its count * 256 + value */
    _Atomic uint32_t settings[LW_MOTION_SETTINGS];
    _Atomic int look; /* written by anyone */
    const lw_atlas *_Atomic adopted; /* written by the reader: an atlas that came later */

    /* consumer */
    uint32_t settings_seen[LW_MOTION_SETTINGS];
    int still; /* of what the extractor's resampler has had, all that it still knows is 0 */
    int64_t viseme_base; /* media clock of the extractor's first sample, or -1 */
    row rows[ROWS]; /* row i, counted from viseme_base, is at i % ROWS */
    int64_t rows_written, rows_final, rows_read;
    int64_t frame; /* number of the next one */
    int64_t clock; /* media clock of the tick that is being made */
    int ours, out; /* whether that has the turn; bits of lw_tick */
    lw_canvas shown;
    lw_head *head; /* with config.avatar */
    int64_t heeded_cut; /* interrupts that the mouth knows of */
    int cut;            /* there has been no speech since the last of them */
    lw_mouth *mouths;   /* of the frames in the ring, and of the last one taken out of it: frame n at n % (frame_slots + 1) */
    int good; /* slot with the last picture that config.draw made, kept from reuse; or -1 */
    uint64_t speaking, opened; /* utterance being spoken; the last one whose open mouth was reported */
    lw_walk walk;       /* with an atlas */
    int easing;         /* frames until the head is where it leads */
    int follows;        /* the frame before can be had as a unit */
    int64_t newest;     /* sequence of the newest that can */

    /* shared by producer and consumer: how many frames had been taken at an interrupt, or -1 */
    _Atomic int64_t taken_at_cut;

    /* reader: of the block read last */
    uint64_t heard;
    int64_t heard_played, heeded;
    _Atomic uint64_t told; /* number of the last utterance whose end has been read */
    const lw_atlas *atlas;
    lw_stitcher *stitcher;
    int32_t variants[LW_ATLAS_CHOICES]; /* of the newest unit */
    int64_t stitched;                   /* its frame's sequence; -1: the next unit is the first one */
    int key_wanted;
    _Atomic int broken; /* a unit could not be had: they begin anew. For the consumer */

    _Atomic int turn; /* 1: one side has it */
    _Atomic int64_t crossed; /* ticks that did not wait for their turn any longer */

    /* counters: written by the consumer, read by anyone */
    _Atomic int64_t frames, frames_unchanged, frames_unseen, frames_stitched, frames_undrawn, frames_skipped, frames_dropped,
        pcm_dropped, events_dropped, underruns, underrun_samples, utterances, draws, draw_errors, draw_slow, draw_ns, draw_worst_ns;

    ring pcm_ring, event_ring, frame_ring;
    pcm_block *pcm;
    int64_t pcm_base; /* number of the block that is the first in memory: the ticking side's, while nothing waits */
    lw_event *events;
    int32_t *ready; /* slot numbers in order */
    slot *slots;
    size_t frame_bytes;
};

/* ---- open and close ---- */

static void layout(lw_performer *p, lw_arena *arena)
{
    p->pcm = lw_carve(arena, (size_t)p->config.pcm_blocks * sizeof(pcm_block));
    p->events = lw_carve(arena, EVENTS * sizeof(lw_event));
    p->mouths = lw_carve(arena, ((size_t)p->config.frame_slots + 1) * sizeof(lw_mouth));
    p->ready = lw_carve(arena, (size_t)p->config.frame_slots * sizeof(int32_t));
    slot *slots = p->slots = lw_carve(arena, (size_t)p->config.frame_slots * sizeof(slot));
    for (int32_t i = 0; i < p->config.frame_slots; i++) {
        uint8_t *pixels = p->config.frames ? p->config.frames + (size_t)i * p->config.frame_stride
                                           : lw_carve(arena, p->frame_bytes);
        if (arena->base)
            slots[i].pixels = pixels;
    }
}

/* Frames without an avatar; a hook needs some, and a second slot beside the one that it keeps. */
static int bad_size(const lw_performer_config *c)
{
    if (c->avatar)
        return c->draw || c->width || c->height;
    if (!c->width && !c->height)
        return c->draw != NULL;
    return lw_size_check(c->width, c->height) || (c->draw && c->frame_slots == 1);
}

/* An atlas is one of this avatar's frames. */
static int bad_atlas(const lw_performer_config *c)
{
    lw_atlas_info of;
    if (!c->atlas)
        return 0;
    lw_atlas_describe(c->atlas, &of);
    return !c->avatar || of.width != c->avatar->width || of.height != c->avatar->height || of.matrix != c->avatar->matrix ||
           of.mouths != c->avatar->mouth_count || (int64_t)of.fps_num * c->fps_den != (int64_t)c->fps_num * of.fps_den ||
           of.choices > LW_ATLAS_CHOICES;
}

int lw_performer_open(lw_performer **out, const lw_performer_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config || lw_bad_fps(config->fps_num, config->fps_den) || config->frame_slots < 0 || config->frame_slots > 256 ||
        config->pcm_blocks < 0 || config->pcm_blocks > 65536 || bad_size(config) || bad_atlas(config))
        return LW_EINVAL;
    lw_performer want = {.config = *config, .viseme_base = -1, .good = -1, .stitched = -1, .atlas = config->atlas};
    if (!want.config.frame_slots)
        want.config.frame_slots = 6;
    if (!want.config.pcm_blocks)
        want.config.pcm_blocks = 64;
    if (config->avatar) {
        want.config.width = lw_avatar_width(config->avatar);
        want.config.height = lw_avatar_height(config->avatar);
    }
    want.frame_bytes = (size_t)want.config.width * want.config.height * 3 / 2;
    if (config->batch < 0 || config->batch > want.config.pcm_blocks)
        return LW_EINVAL;
    if (config->frames && (!config->frame_slots || config->frame_stride < want.frame_bytes))
        return LW_EINVAL;
    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    lw_performer *p = lw_pages_open(arena.used);
    if (!p)
        return LW_ENOMEM;
    memcpy(p, &want, sizeof want);
    p->bytes = arena.used;
    arena = (lw_arena){.base = (uint8_t *)p};
    lw_carve(&arena, sizeof want);
    layout(p, &arena);
    int rc = lw_resampler_prepare(LW_RATE); /* so that no rate that a client names takes time later */
    if (rc >= 0)
        rc = lw_speech_open(&p->speech, &config->speech);
    if (rc >= 0)
        rc = lw_viseme_open(&p->visemes, &(lw_viseme_config){.both = 1, .voice = config->voice});
    if (rc >= 0)
        rc = lw_motion_open(&p->motion, &(lw_motion_config){.seed = config->seed});
    if (rc >= 0)
        rc = lw_resampler_open(&p->to_viseme, &(lw_resampler_config){.in_rate = LW_RATE, .out_rate = LW_VISEME_RATE});
    if (rc >= 0 && config->avatar)
        rc = lw_head_open(&p->head, config->avatar);
    if (rc >= 0 && config->atlas) {
        lw_walk_open(&p->walk, config->atlas, config->seed);
        rc = lw_stitcher_open(&p->stitcher, config->atlas, config->framing);
    }
    if (rc < 0) {
        lw_performer_close(&p);
        return rc;
    }
    atomic_store_explicit(&p->taken_at_cut, -1, memory_order_relaxed);
    atomic_store_explicit(&p->look, LW_LOOK_PICTURES, memory_order_relaxed);
    *out = p;
    return 0;
}

int lw_performer_adopt(lw_performer *p, const lw_atlas *atlas)
{
    if (!p || !atlas)
        return LW_EINVAL;
    if (p->atlas)
        return LW_ESTATE;
    lw_performer_config with = p->config;
    with.atlas = atlas;
    int rc = bad_atlas(&with) ? LW_EINVAL : lw_stitcher_open(&p->stitcher, atlas, p->config.framing);
    if (rc < 0)
        return rc;
    p->atlas = atlas;
    atomic_store_explicit(&p->adopted, atlas, memory_order_release);
    return 0;
}

void lw_performer_close(lw_performer **p)
{
    if (!p || !*p)
        return;
    lw_speech_close(&(*p)->speech);
    lw_viseme_close(&(*p)->visemes);
    lw_motion_close(&(*p)->motion);
    lw_resampler_close(&(*p)->to_viseme);
    lw_resampler_close(&(*p)->input);
    lw_stitcher_close(&(*p)->stitcher);
    lw_head_close(&(*p)->head);
    lw_pages_close(*p, (*p)->bytes);
    *p = NULL;
}

/* ---- turns ---- */

/* 1: it is ours. 0: the other side, which needs microseconds unless its thread has lost the processor, has kept it. */
static int take_turn(lw_performer *p)
{
    int64_t until = 0;
    for (;;) {
        int nobody = 0;
        if (atomic_compare_exchange_strong_explicit(&p->turn, &nobody, 1, memory_order_acquire, memory_order_relaxed))
            return 1;
        int64_t now = lw_now_ns();
        if (!until)
            until = now + LW_TURN_NS;
        if (now >= until)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
    }
}

void lw_performer_enter(lw_performer *p)
{
    p->entered = take_turn(p);
    p->crossed_before = atomic_load_explicit(&p->crossed, memory_order_acquire);
}

int64_t lw_performer_leave(lw_performer *p)
{
    int64_t clock = lw_speech_clock(p->speech);
    atomic_thread_fence(memory_order_seq_cst); /* as in lw_performer_tick: one of the two sees the other */
    int alone = p->entered && atomic_load_explicit(&p->crossed, memory_order_acquire) == p->crossed_before;
    if (p->entered)
        atomic_store_explicit(&p->turn, 0, memory_order_release);
    p->entered = 0;
    return alone ? clock : -1 - clock;
}

/* ---- producer ---- */

int64_t lw_performer_space(const lw_performer *p)
{
    return lw_speech_space(p->speech);
}

uint64_t lw_performer_writing(const lw_performer *p)
{
    return lw_speech_writing(p->speech);
}

uint64_t lw_performer_utterance(const lw_performer *p)
{
    return p->utterance;
}

/* What is written next has nothing to do with what was. */
static void forget_input(lw_performer *p)
{
    if (p->input)
        lw_resampler_reset(p->input);
    p->midway = 0;
    memset(p->made_last, 0, sizeof p->made_last);
}

/* An utterance that was over took all that was known of it with it. */
static void drop_stale_input(lw_performer *p)
{
    uint64_t writing = lw_speech_writing(p->speech);
    if (writing != p->writing)
        forget_input(p);
    p->writing = writing;
}

/* There is room for the marks of one more utterance, and for what will be told of it; or, `behind` one, of a second. */
static int may_begin(const lw_performer *p, int behind)
{
    uint64_t told = atomic_load_explicit(&p->told, memory_order_acquire);
    return lw_speech_room(p->speech) > behind && p->writing + (uint64_t)behind - told <= UNHEARD;
}

/* n samples fit through `input`, which p->input may be, behind what p->input still owes. Bounds count the tail too, so
 * that it always finds room; where an end comes in between (fresh), it is rounded up once more. */
static int fits(const lw_performer *p, const lw_resampler *input, size_t n, int fresh)
{
    size_t tail = p->input && p->input != input ? lw_resampler_bound(p->input, 0) : 0;
    return (int64_t)(lw_resampler_bound(input, n) + tail) + fresh <= lw_speech_space(p->speech);
}

/* The resampler for n samples of `rate`: p->input, or a new one. */
static int open_input(const lw_performer *p, int32_t rate, lw_resampler **input)
{
    *input = p->input;
    if (p->input && rate == p->input_rate)
        return 0;
    return lw_resampler_open(input, &(lw_resampler_config){.in_rate = rate, .out_rate = LW_RATE});
}

/* The newest samples that the input resampler made, of which a change of rate needs some. */
static void remember(lw_performer *p, const int16_t *made, size_t n)
{
    size_t kept = n < LW_JOIN_PAST ? LW_JOIN_PAST - n : 0;
    memmove(p->made_last, p->made_last + LW_JOIN_PAST - kept, kept * sizeof *made);
    memcpy(p->made_last + kept, made + n - (LW_JOIN_PAST - kept), (LW_JOIN_PAST - kept) * sizeof *made);
}

/* Queues what the input resampler made. */
static int queue(lw_performer *p, const int16_t *made, size_t n)
{
    remember(p, made, n);
    int64_t took = lw_speech_write(p->speech, made, n);
    return took < 0 ? (int)took : (size_t)took == n ? 0 : LW_ENOSPC;
}

/* `input`, for n samples at `pcm`, comes in p->input's place: in the midst of an utterance it goes on where that was. */
static int change_input(lw_performer *p, lw_resampler *input, int32_t rate, const void *pcm, size_t n)
{
    int64_t owed = 0;
    int16_t tail[LW_JOIN_TAIL];
    if (p->midway)
        owed = lw_resampler_join(p->input, input, p->made_last, pcm, n, tail);
    lw_resampler_close(&p->input);
    p->input = input;
    p->input_rate = rate;
    return owed > 0 ? queue(p, tail, (size_t)owed) : owed < 0 ? (int)owed : 0;
}

/* n samples through the input resampler, and what follows if nothing more comes. */
static int process(lw_performer *p, const uint8_t *bytes, size_t n)
{
    int16_t block[WRITE_BLOCK];
    p->midway = 1;
    for (int64_t made = WRITE_BLOCK; n || made == WRITE_BLOCK;) { /* a full block: more is ready */
        size_t used;
        made = lw_resampler_process(p->input, (const int16_t *)(const void *)bytes, n, &used, block, WRITE_BLOCK);
        int rc = made > 0 ? queue(p, block, (size_t)made) : 0;
        if (rc < 0)
            return rc;
        bytes += used * sizeof(int16_t);
        n -= used;
    }
    int64_t owed = lw_resampler_tail(p->input, NULL, 0, block, LW_SPEECH_TAIL);
    return owed > 0 ? (int)lw_min64(0, lw_speech_tail(p->speech, block, (size_t)owed)) : 0;
}

/* Where it is refused nothing has changed. fresh: for a new utterance, even if one is open. */
static int write_or_refuse(lw_performer *p, const void *pcm, size_t n, int32_t rate, int fresh)
{
    if (!p || (n && !pcm))
        return LW_EINVAL;
    drop_stale_input(p);
    int begins = p->writing > lw_speech_utterance(p->speech);
    fresh = fresh && !begins;
    if (n && (begins || fresh) && !may_begin(p, fresh))
        return LW_ENOSPC;
    lw_resampler *input;
    int rc = open_input(p, rate, &input);
    if (rc < 0)
        return rc;
    if (!n || !fits(p, input, n, fresh)) {
        if (input != p->input)
            lw_resampler_close(&input);
        return n ? LW_ENOSPC : 0;
    }
    if (fresh) {
        lw_performer_end(p, 0);
        drop_stale_input(p);
    }
    if (lw_speech_take_back(p->speech)) /* the tail has been played: what comes now begins behind it */
        forget_input(p);
    if (input != p->input)
        rc = change_input(p, input, rate, pcm, n);
    if (rc >= 0)
        rc = process(p, pcm, n);
    p->utterance = p->writing = lw_speech_utterance(p->speech);
    return rc;
}

int lw_performer_write(lw_performer *p, const void *pcm, size_t n, int32_t rate)
{
    return write_or_refuse(p, pcm, n, rate, 0);
}

int lw_performer_write_next(lw_performer *p, const void *pcm, size_t n, int32_t rate)
{
    return write_or_refuse(p, pcm, n, rate, 1);
}

void lw_performer_arrived(lw_performer *p, size_t n, int32_t rate, int64_t now_ns)
{
    if (rate > 0)
        lw_speech_arrived(p->speech, (int64_t)n * LW_RATE / rate, now_ns);
}

void lw_performer_give_back(lw_performer *p)
{
    lw_speech_give_back(p->speech);
}

int lw_performer_end(lw_performer *p, int32_t grace)
{
    if (!p || grace < 0)
        return LW_EINVAL;
    drop_stale_input(p);
    if (!grace) /* all that is known of it has been written */
        forget_input(p);
    return lw_speech_end(p->speech, grace);
}

int64_t lw_performer_interrupt(lw_performer *p)
{
    drop_stale_input(p);
    forget_input(p);
    /* Frames that nobody has taken yet will not be shown. Of several interrupts before a tick the first one counts. */
    int64_t none = -1, taken = atomic_load_explicit(&p->frame_ring.read, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&p->taken_at_cut, &none, taken, memory_order_relaxed, memory_order_relaxed);
    return lw_speech_interrupt(p->speech);
}

int lw_performer_set(lw_performer *p, int setting, int value)
{
    if (!p || lw_motion_check(setting, value) < 0)
        return LW_EINVAL;
    uint32_t before = atomic_load_explicit(&p->settings[setting], memory_order_relaxed);
    atomic_store_explicit(&p->settings[setting], ((before | 255) + 1) | (uint32_t)value, memory_order_relaxed);
    return 0;
}

int lw_performer_look(lw_performer *p, int look)
{
    if (!p || look & ~(LW_LOOK_PICTURES | LW_LOOK_UNITS | LW_LOOK_POSES))
        return LW_EINVAL;
    atomic_store_explicit(&p->look, look, memory_order_relaxed);
    return 0;
}

/* ---- rings ---- */

static int64_t ring_room(ring *r, int64_t size)
{
    return size - (atomic_load_explicit(&r->written, memory_order_relaxed) -
                   atomic_load_explicit(&r->read, memory_order_acquire));
}

/* Index of the next item to write, or to read; publish with ring_advance. */
static int64_t ring_next(const _Atomic int64_t *counter, int64_t size)
{
    return atomic_load_explicit(counter, memory_order_relaxed) % size;
}

static void ring_advance(_Atomic int64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_release);
}

static int ring_empty(ring *r)
{
    return atomic_load_explicit(&r->written, memory_order_acquire) ==
           atomic_load_explicit(&r->read, memory_order_relaxed);
}

/* ---- consumer ---- */

/* Of beginnings and ends there is never one too many: see UNHEARD. The others leave them their room. */
static void put_event(lw_performer *p, const lw_event *event)
{
    int spare = event->type == LW_EVENT_UNDERRUN || event->type == LW_EVENT_MOUTH;
    if (ring_room(&p->event_ring, EVENTS) <= (spare ? TICK_EVENTS : 0)) {
        LW_COUNT(p->events_dropped, 1);
        return;
    }
    p->events[ring_next(&p->event_ring.written, EVENTS)] = *event;
    ring_advance(&p->event_ring.written);
}

static void take_event(lw_performer *p, const lw_event *event)
{
    if (event->type == LW_EVENT_STARTED)
        p->speaking = event->utterance;
    if (event->type == LW_EVENT_FINISHED) {
        LW_COUNT(p->utterances, 1);
        if (event->utterance == p->speaking)
            p->speaking = 0;
    }
    if (event->type == LW_EVENT_UNDERRUN) {
        LW_COUNT(p->underruns, 1);
        LW_COUNT(p->underrun_samples, event->value);
    }
    put_event(p, event);
}

static int is_zero(const int16_t block[LW_BLOCK])
{
    int16_t all = 0;
    for (int i = 0; i < LW_BLOCK; i++)
        all |= block[i];
    return !all;
}

/* The next block that is certain, at the extractor's rate; samples, or -1 where there is none. */
static int64_t next_block(lw_performer *p, int16_t narrow[NARROW])
{
    int16_t block[LW_BLOCK];
    int64_t sample;
    int restarted;
    int32_t ahead = p->config.speech.catch_up ? LOOK_LESS : LOOK_AHEAD;
    if (!lw_speech_look(p->speech, ahead, block, &sample, &restarted))
        return -1;
    if (restarted || p->viseme_base < 0) {
        lw_viseme_restart(p->visemes);
        lw_resampler_reset(p->to_viseme);
        p->still = 0;
        p->viseme_base = sample;
        p->rows_written = p->rows_final = p->rows_read = 0;
    }
    int zero = is_zero(block);
    if (zero && p->still) { /* silence out of silence, and it is where it was */
        memset(narrow, 0, LW_BLOCK / 3 * sizeof *narrow);
        return LW_BLOCK / 3;
    }
    size_t used;
    int64_t made = lw_resampler_process(p->to_viseme, block, LW_BLOCK, &used, narrow, NARROW);
    p->still = zero && made == LW_BLOCK / 3; /* the first block behind a reset gives less */
    return made;
}

static void queue_rows(lw_performer *p, const lw_viseme_part *made)
{
    for (size_t i = 0; i < made->early_rows; i++) {
        row *to = &p->rows[p->rows_written % ROWS];
        to->sample = p->viseme_base + p->rows_written++ * LW_BLOCK;
        memcpy(to->channels, made->early + i * LW_CHANNELS, sizeof to->channels);
        if (p->rows_written - p->rows_read > ROWS)
            p->rows_read = p->rows_written - ROWS;
    }
    for (size_t i = 0; i < made->final_rows; i++)
        memcpy(p->rows[p->rows_final++ % ROWS].channels, made->final + i * LW_CHANNELS, sizeof p->rows->channels);
}

/* Feeds the extractors everything that is certain, a block of each at a time, and queues their rows. n <= TOGETHER. */
static void look_ahead(lw_performer *const *all, size_t n)
{
    size_t busy;
    do {
        int16_t narrow[TOGETHER][NARROW];
        float early[TOGETHER][ROWS_AT_ONCE][LW_CHANNELS], final[TOGETHER][ROWS_AT_ONCE][LW_CHANNELS];
        lw_viseme_part parts[TOGETHER];
        lw_performer *of[TOGETHER];
        busy = 0;
        for (size_t i = 0; i < n; i++) {
            int64_t samples = next_block(all[i], narrow[busy]);
            if (samples < 0)
                continue;
            of[busy] = all[i];
            parts[busy] = (lw_viseme_part){.v = all[i]->visemes,
                                           .pcm = narrow[busy],
                                           .n = (size_t)samples,
                                           .early = early[busy][0],
                                           .final = final[busy][0]};
            busy++;
        }
        lw_viseme_process_both(parts, busy, ROWS_AT_ONCE);
        for (size_t i = 0; i < busy; i++)
            queue_rows(of[i], &parts[i]);
    } while (busy);
}

/* The row that describes `sample`, or the newest one within LEAD before it, and those behind it; rows[0] is NULL where it
 * is not known yet. Returns how many there are. */
static int rows_from(lw_performer *p, int64_t sample, const float *rows[LW_MOTION_AHEAD])
{
    int64_t found = -1;
    for (int64_t i = p->rows_read; i < p->rows_written; i++) {
        const row *r = &p->rows[i % ROWS];
        if (r->sample > sample)
            break;
        if (r->sample > sample - (LEAD + 1) * LW_BLOCK)
            found = i;
        p->rows_read = i;
    }
    int known = 1;
    rows[0] = found < 0 ? NULL : p->rows[found % ROWS].channels;
    for (; found >= 0 && known < LW_MOTION_AHEAD && found + known < p->rows_written; known++)
        rows[known] = p->rows[(found + known) % ROWS].channels;
    return known;
}

static void take_settings(lw_performer *p)
{
    for (int i = 0; i < LW_MOTION_SETTINGS; i++) {
        uint32_t now = atomic_load_explicit(&p->settings[i], memory_order_relaxed);
        if (now != p->settings_seen[i])
            lw_motion_set(p->motion, i, (int)(now & 255));
        p->settings_seen[i] = now;
    }
}

static int free_slot(lw_performer *p)
{
    for (int32_t i = 0; i < p->config.frame_slots; i++) /* the lowest: the fewest pages in use, the warmest in cache */
        if (i != p->good && atomic_load_explicit(&p->slots[i].state, memory_order_acquire) == SLOT_FREE)
            return i;
    return -1;
}

/* Has the hook draw into slot `at`. Returns 0 where the picture is as the one before. */
static int draw_hook(lw_performer *p, int at, const lw_pose *pose, int64_t sample)
{
    lw_draw_info info = {.sample = sample,
                         .sequence = p->frame,
                         .utterance = p->speaking,
                         .width = p->config.width,
                         .height = p->config.height,
                         .loudness = (float)pose->loudness / 32767.0f};
    for (int i = 0; i < LW_AXES; i++)
        info.axis[i] = (float)pose->axis[i] / 32767.0f;
    for (int i = 0; i < LW_VISEMES; i++)
        info.viseme[i] = (float)pose->viseme[i] / 32767.0f;
    uint8_t *pixels = p->slots[at].pixels;
    int64_t began = lw_now_ns();
    int rc = p->config.draw(p->config.draw_user, pixels, &info);
    int64_t took = lw_now_ns() - began;
    LW_COUNT(p->draws, 1);
    LW_COUNT(p->draw_ns, took);
    LW_COUNT(p->draw_slow, took > LW_DRAW_SLOW_NS);
    LW_COUNT(p->draw_errors, rc != 0 && rc != LW_DRAW_SAME);
    if (took > atomic_load_explicit(&p->draw_worst_ns, memory_order_relaxed))
        atomic_store_explicit(&p->draw_worst_ns, took, memory_order_relaxed);
    int first = p->good < 0;
    if (rc && !first)
        memcpy(pixels, p->slots[p->good].pixels, p->frame_bytes);
    else if (rc) { /* black, BT.709 limited range */
        size_t luma = (size_t)p->config.width * p->config.height;
        memset(pixels, 16, luma);
        memset(pixels + luma, 128, luma / 2);
    }
    p->good = at;
    return !rc || first;
}

/* Without an avatar's images to tell: is the pose's mouth open? */
static int open_pose(const lw_pose *pose)
{
    int32_t sum = 0;
    for (int i = 3; i < LW_VISEMES; i++) /* all but sil, PP and FF */
        sum += pose->viseme[i];
    return sum > MOUTH_OPEN;
}

/* Of a pose that nobody draws: does it show an open mouth? */
static int opens(const lw_performer *p, const lw_pose *pose)
{
    const lw_avatar *a = p->config.avatar;
    return a ? a->mouth_count && lw_avatar_mouth(a, pose) != a->rest_mouth : open_pose(pose);
}

/* An expression may part the lips of a face that says nothing. */
static int says_nothing(const lw_performer *p, const lw_pose *pose)
{
    return (!pose->loudness || p->cut) &&
           (pose->axis[LW_AXIS_HAPPY] | pose->axis[LW_AXIS_CONCERNED] | pose->axis[LW_AXIS_SURPRISED]);
}

/* Tells of the first open mouth of an utterance. Returns whether it did. */
static int tell_mouth(lw_performer *p, int64_t sample, int unseen, int64_t now_ns)
{
    if (!p->speaking || p->opened == p->speaking)
        return 0;
    p->opened = p->speaking;
    put_event(p, &(lw_event){.type = LW_EVENT_MOUTH, .utterance = p->speaking, .sample = sample, .value = unseen,
                             .played = unseen ? now_ns : 0});
    return 1;
}

/* Draws the frame into slot `at`; returns whether it differs from the one before. */
static int draw_frame(lw_performer *p, int at, const lw_pose *pose, int64_t sample, int *open)
{
    slot *s = &p->slots[at];
    if (!p->config.avatar) {
        *open = open_pose(pose);
        return p->config.draw ? draw_hook(p, at, pose, sample) : 1;
    }
    lw_avatar_draw(p->config.avatar, pose, s->pixels, &s->canvas, p->head, open);
    int changed = !lw_canvas_same(&s->canvas, &p->shown);
    p->shown = s->canvas;
    return changed;
}

/* The head goes on along the atlas's nodes, and gestures and expressions are added to it. Returns the node, or -1 where the
 * atlas does not cover the pose. */
static int32_t step_on(lw_performer *p, lw_pose *pose)
{
    static const uint8_t axes[3] = {LW_AXIS_HEAD_X, LW_AXIS_HEAD_Y, LW_AXIS_HEAD_ROLL};
    int16_t added[3];
    int state = (int)(p->settings_seen[LW_MOTION_STATE] & 255);
    int32_t node = lw_walk_step(&p->walk, lw_speech_active(p->speech) ? LW_ATLAS_SPEAKING : 1u << state);
    lw_atlas_head(p->walk.atlas, node, pose);
    if (!lw_motion_added(p->motion, added))
        return lw_atlas_covers(p->walk.atlas, pose) ? node : -1;
    for (int i = 0; i < 3; i++)
        pose->axis[axes[i]] = (int16_t)lw_clamp(pose->axis[axes[i]] + added[i], -32767, 32767);
    pose->axis[LW_AXIS_HEAD_TURN] = (int16_t)((pose->axis[LW_AXIS_HEAD_X] + 32767) / 2);
    return -1;
}

/* The same, as soon as there is an atlas. Behind one that came later the head goes over to its nodes bit by bit. */
static int32_t walk_on(lw_performer *p, lw_pose *pose)
{
    const lw_atlas *late = p->walk.atlas ? NULL : atomic_load_explicit(&p->adopted, memory_order_acquire);
    if (late) {
        lw_walk_open(&p->walk, late, p->config.seed);
        p->easing = EASE;
    }
    if (!p->walk.atlas)
        return -1;
    const lw_pose before = *pose;
    int32_t node = step_on(p, pose);
    if (!p->easing)
        return node;
    for (int i = 0; i < LW_AXES; i++)
        pose->axis[i] = (int16_t)(pose->axis[i] + (before.axis[i] - pose->axis[i]) * p->easing / (EASE + 1));
    p->easing--;
    return -1;
}

/* Whether the frame at a node is one that can be had as a unit: the first of them only where an IDR picture can be. */
static int stitches(lw_performer *p, int32_t node, int look, int *key)
{
    int on = node >= 0 && look & LW_LOOK_UNITS;
    if (atomic_exchange_explicit(&p->broken, 0, memory_order_relaxed))
        p->follows = 0;
    *key = on && !p->follows;
    if (*key && lw_atlas_anchor(p->walk.atlas, node) != 1)
        on = *key = 0;
    p->follows = on;
    return on;
}

static int put_frame(lw_performer *p, lw_pose *pose, int64_t sample, int64_t now_ns, int look)
{
    int at = free_slot(p);
    if (at < 0) {
        LW_COUNT(p->frames_dropped, 1);
        return 0;
    }
    slot *s = &p->slots[at];
    int32_t node = walk_on(p, pose);
    int open = 0, changed = 1, key, stitched = stitches(p, node, look, &key);
    int drawn = look & LW_LOOK_PICTURES || (look & LW_LOOK_UNITS && !stitched);
    if (drawn)
        changed = draw_frame(p, at, pose, sample, &open);
    else
        open = opens(p, pose), p->shown.valid = 0;
    open = open && !says_nothing(p, pose);
    s->after = p->newest;
    if (stitched)
        p->newest = p->frame;
    s->info = (lw_frame_info){.sample = sample,
                              .sequence = p->frame,
                              .utterance = p->speaking,
                              .generation = lw_speech_heeded(p->speech),
                              .changed = changed,
                              .mouth_open = open,
                              .drawn = drawn,
                              .node = stitched ? node : -1,
                              .key = key,
                              .due_ns = now_ns,
                              .pose = *pose};
    atomic_store_explicit(&s->state, SLOT_READY, memory_order_relaxed);
    lw_motion_mouth(p->motion, &p->mouths[ring_next(&p->frame_ring.written, p->config.frame_slots + 1)]);
    p->ready[ring_next(&p->frame_ring.written, p->config.frame_slots)] = at;
    ring_advance(&p->frame_ring.written);
    LW_COUNT(p->frames, 1);
    LW_COUNT(p->frames_unchanged, !changed);
    LW_COUNT(p->frames_stitched, stitched);
    LW_COUNT(p->frames_undrawn, !drawn);
    if (open)
        tell_mouth(p, sample, 0, now_ns);
    return LW_TICK_FRAME;
}

/* A frame that nobody looks at. Its mouth stands for that of the last frame that was seen: an interrupt goes on from it. */
static int pass_frame(lw_performer *p, lw_pose *pose, int64_t sample, int64_t now_ns)
{
    int64_t size = p->config.frame_slots + 1, written = atomic_load_explicit(&p->frame_ring.written, memory_order_relaxed);
    lw_motion_mouth(p->motion, &p->mouths[(written + size - 1) % size]);
    p->shown.valid = 0;
    p->follows = 0;
    walk_on(p, pose);
    LW_COUNT(p->frames, 1);
    LW_COUNT(p->frames_unseen, 1);
    int open = opens(p, pose) && !says_nothing(p, pose);
    return open && tell_mouth(p, sample, 1, now_ns) ? LW_TICK_EVENTS : 0;
}

/* The frame that is due. Returns bits of lw_tick. */
static int make_frame(lw_performer *p, lw_pose *pose, int64_t sample, int64_t now_ns, int draw)
{
    int look = atomic_load_explicit(&p->look, memory_order_relaxed);
    if (!look)
        return pass_frame(p, pose, sample, now_ns);
    if (draw)
        return put_frame(p, pose, sample, now_ns, look);
    LW_COUNT(p->frames_skipped, 1);
    return 0;
}

/* Where block number n of the ring is. */
static pcm_block *block_at(const lw_performer *p, int64_t n)
{
    return &p->pcm[(n - p->pcm_base) % p->config.pcm_blocks];
}

/* Where the next block goes; NULL: the ring is full. While none waits the next one is the first in memory again, so that
 * of a reader who keeps up two or three are in use and in cache, not all. He reads where it is behind the counter that
 * says the block is there. */
static pcm_block *free_block(lw_performer *p)
{
    int64_t written = atomic_load_explicit(&p->pcm_ring.written, memory_order_relaxed);
    int64_t room = ring_room(&p->pcm_ring, p->config.pcm_blocks);
    if (room == p->config.pcm_blocks)
        p->pcm_base = written;
    return room ? block_at(p, written) : NULL;
}

/* Hands over block b, whose sound is there. */
static int put_pcm(lw_performer *p, pcm_block *b, int64_t sample)
{
    if (!b) {
        LW_COUNT(p->pcm_dropped, 1);
        return 0;
    }
    b->sample = sample;
    b->generation = lw_speech_heeded(p->speech);
    b->played = lw_speech_played(p->speech, &b->utterance);
    ring_advance(&p->pcm_ring.written);
    return 1;
}

/* The mouth closes from where it was in the last of the frames that had been taken. Those behind it are not shown any more, even
 * if they are taken: should the next interrupt come before any other, it finds the mouth that was seen. */
static void cut_mouth(lw_performer *p, int64_t taken)
{
    int64_t written = atomic_load_explicit(&p->frame_ring.written, memory_order_relaxed), size = p->config.frame_slots + 1;
    lw_mouth seen = p->mouths[(taken + size - 1) % size]; /* before the first it is shut */
    lw_motion_cut(p->motion, &seen);
    for (int64_t i = taken; i < written; i++)
        p->mouths[i % size] = seen;
}

/* After an interrupt the mouth closes from where it was last seen: not by way of what it did behind that frame, which
 * would be seen after the sound has stopped. */
static void heed_cut(lw_performer *p)
{
    int64_t heeded = lw_speech_heeded(p->speech);
    if (heeded != p->heeded_cut) {
        p->heeded_cut = heeded;
        p->cut = 1;
        int64_t taken = atomic_exchange_explicit(&p->taken_at_cut, -1, memory_order_relaxed);
        if (taken >= 0)
            cut_mouth(p, taken);
    }
    p->cut &= !lw_speech_active(p->speech);
}

/* A tick up to its sound. */
static void begin_tick(lw_performer *p)
{
    int16_t nobodys[LW_BLOCK];
    pcm_block *b = free_block(p);
    lw_event events[TICK_EVENTS];
    p->ours = p->config.turns && take_turn(p);
    if (p->config.turns && !p->ours) {
        LW_COUNT(p->crossed, 1);
        atomic_thread_fence(memory_order_seq_cst); /* counted before anything is read: _leave looks behind its writes */
    }
    p->clock = lw_speech_clock(p->speech);
    int happened = lw_speech_tick(p->speech, b ? b->pcm : nobodys, events, TICK_EVENTS);
    for (int i = 0; i < happened && i < TICK_EVENTS; i++)
        take_event(p, &events[i]);
    if (happened > TICK_EVENTS)
        LW_COUNT(p->events_dropped, happened - TICK_EVENTS);
    p->out = happened ? LW_TICK_EVENTS : 0;
    p->out |= put_pcm(p, b, p->clock) ? LW_TICK_PCM : 0;
}

/* The rest of it, when the extractor knows all that it can: the pose, and the picture. */
static int end_tick(lw_performer *p, int64_t now_ns, int draw)
{
    heed_cut(p);
    take_settings(p);
    lw_pose pose;
    const float *rows[LW_MOTION_AHEAD];
    int known = rows_from(p, p->clock + LEAD * LW_BLOCK, rows);
    lw_motion_step(p->motion, rows, known, lw_speech_active(p->speech), &pose);
    int64_t due = p->frame * LW_RATE * p->config.fps_den / p->config.fps_num;
    if (due < p->clock + LW_BLOCK) {
        p->out |= make_frame(p, &pose, due, now_ns, draw);
        p->frame++;
    }
    int out = p->out;
    if (p->ours)
        atomic_store_explicit(&p->turn, 0, memory_order_release);
    return out;
}

/* How many of them tick side by side. One that takes turns does so alone: nobody waits for the others' work. */
static size_t together(lw_performer *const *all, size_t n)
{
    size_t k = 1;
    while (k < n && k < TOGETHER && !all[0]->config.turns && !all[k]->config.turns)
        k++;
    return k;
}

/* Where there are many, nothing of a performer is in a cache any more when its tick comes: it is asked for while those
 * before it tick. First what says where the rest is, then the rest. */
static void prefetch(const lw_performer *p, int step)
{
    if (step == 0) {
        lw_prefetch(p, offsetof(lw_performer, rows));
        lw_prefetch(&p->frame, sizeof *p - offsetof(lw_performer, frame));
    } else if (step == 1) {
        lw_speech_prefetch(p->speech, 0);
        lw_viseme_prefetch(p->visemes);
        lw_motion_prefetch(p->motion);
        lw_resampler_prefetch(p->to_viseme);
        lw_prefetch(&p->rows[p->rows_read % ROWS], sizeof *p->rows);
    } else {
        lw_speech_prefetch(p->speech, 1);
    }
}


void lw_performer_tick_many(lw_performer *const *all, size_t n, int64_t now_ns, int draw, int *out)
{
    for (size_t k; n; n -= k, all += k, out += k) {
        k = together(all, n);
        for (size_t i = k; i < n && i < k + 3 * TOGETHER; i++)
            prefetch(all[i], 2 - (int)((i - k) / TOGETHER));
        for (size_t i = 0; i < k; i++)
            begin_tick(all[i]);
        look_ahead(all, k);
        for (size_t i = 0; i < k; i++)
            out[i] = end_tick(all[i], now_ns, draw);
    }
}

int lw_performer_tick(lw_performer *p, int64_t now_ns, int draw)
{
    int out;
    lw_performer_tick_many(&p, 1, now_ns, draw, &out);
    return out;
}

int lw_performer_due(const lw_performer *p, int out)
{
    return out & (LW_TICK_FRAME | LW_TICK_EVENTS) || lw_performer_waiting(p) >= lw_max64(p->config.batch, 1);
}

/* ---- reader ---- */

int64_t lw_performer_waiting(const lw_performer *p)
{
    return atomic_load_explicit(&p->pcm_ring.written, memory_order_acquire) -
           atomic_load_explicit(&p->pcm_ring.read, memory_order_relaxed);
}

int64_t lw_performer_sample(const lw_performer *p)
{
    return block_at(p, atomic_load_explicit(&p->pcm_ring.read, memory_order_relaxed))->sample;
}

int lw_performer_read_pcm(lw_performer *p, int16_t out[LW_BLOCK], int64_t *sample)
{
    if (ring_empty(&p->pcm_ring))
        return 0;
    const pcm_block *b = block_at(p, atomic_load_explicit(&p->pcm_ring.read, memory_order_relaxed));
    memcpy(out, b->pcm, sizeof b->pcm);
    *sample = b->sample;
    p->heard = b->utterance;
    p->heard_played = b->played;
    p->heeded = b->generation;
    ring_advance(&p->pcm_ring.read);
    return 1;
}

int64_t lw_performer_heard(const lw_performer *p, uint64_t *utterance)
{
    *utterance = p->heard;
    return p->heard_played;
}

int64_t lw_performer_heeded(const lw_performer *p)
{
    return p->heeded;
}

int lw_performer_read_event(lw_performer *p, lw_event *event)
{
    if (ring_empty(&p->event_ring))
        return 0;
    *event = p->events[ring_next(&p->event_ring.read, EVENTS)];
    ring_advance(&p->event_ring.read);
    if (event->type == LW_EVENT_FINISHED)
        atomic_store_explicit(&p->told, event->utterance, memory_order_release);
    return 1;
}

int lw_performer_acquire_frame(lw_performer *p, int *slot, lw_frame_info *info)
{
    if (ring_empty(&p->frame_ring))
        return 0;
    int at = p->ready[ring_next(&p->frame_ring.read, p->config.frame_slots)];
    *info = p->slots[at].info;
    atomic_store_explicit(&p->slots[at].state, SLOT_HELD, memory_order_relaxed);
    ring_advance(&p->frame_ring.read);
    *slot = at;
    return 1;
}

/* The variants of a frame that is acquired. Of a stale one those shown before; where it begins the units anew those are not
 * what was shown last (pictures were, of the drawn stretch between), and it has the mouth of rest. */
static int choose(const lw_performer *p, const lw_frame_info *of, int stale, int32_t variants[LW_ATLAS_CHOICES])
{
    memcpy(variants, p->variants, sizeof p->variants);
    if (stale && !of->key)
        return 0;
    const lw_avatar *a = p->config.avatar;
    int32_t mouth = stale ? a->rest_mouth : lw_avatar_mouth(a, &of->pose);
    return lw_atlas_choose_all(p->atlas, &of->pose, a->mouth_count ? mouth : 0, variants);
}

static int64_t stitch(lw_performer *p, const lw_frame_info *of, int64_t after, int stale, int *key, uint8_t *out, size_t room)
{
    int32_t variants[LW_ATLAS_CHOICES];
    int rc = of->key || after == p->stitched ? choose(p, of, stale, variants) : LW_EINVAL;
    if (rc < 0)
        return rc;
    *key = of->key || (p->key_wanted && lw_atlas_anchor(p->atlas, of->node) == 1);
    if (of->key)
        lw_stitcher_reset(p->stitcher);
    int64_t bytes = lw_stitcher_unit(p->stitcher, of->node, variants, *key, out, room);
    if (bytes < 0)
        return bytes;
    p->stitched = of->sequence;
    p->key_wanted &= !*key;
    memcpy(p->variants, variants, sizeof variants);
    return bytes;
}

int64_t lw_performer_unit(lw_performer *p, int slot, int stale, int *key, uint8_t *out, size_t room)
{
    int is_key = 0;
    if (!p || !out || slot < 0 || slot >= p->config.frame_slots || p->slots[slot].info.node < 0 ||
        atomic_load_explicit(&p->slots[slot].state, memory_order_relaxed) != SLOT_HELD)
        return LW_EINVAL;
    const struct slot *s = &p->slots[slot];
    int64_t bytes = stitch(p, &s->info, s->after, stale, &is_key, out, room);
    if (bytes < 0 && bytes != LW_ENOSPC)
        atomic_store_explicit(&p->broken, 1, memory_order_relaxed);
    if (key)
        *key = is_key;
    return bytes;
}

void lw_performer_request_key(lw_performer *p)
{
    p->key_wanted = 1;
}

uint8_t *lw_performer_frame(lw_performer *p, int slot)
{
    return slot >= 0 && slot < p->config.frame_slots && p->frame_bytes ? p->slots[slot].pixels : NULL;
}

void lw_performer_release_frame(lw_performer *p, int slot)
{
    if (slot >= 0 && slot < p->config.frame_slots)
        atomic_store_explicit(&p->slots[slot].state, SLOT_FREE, memory_order_release);
}

void lw_performer_stats(const lw_performer *p, lw_performer_counters *counters)
{
#define READ(name) atomic_load_explicit(&p->name, memory_order_relaxed)
    *counters = (lw_performer_counters){.clock = lw_speech_clock(p->speech),
                        .buffered = lw_speech_buffered(p->speech),
                        .generation = lw_speech_generation(p->speech),
                        .frames = READ(frames),
                        .frames_unchanged = READ(frames_unchanged),
                        .frames_unseen = READ(frames_unseen),
                        .frames_stitched = READ(frames_stitched),
                        .frames_undrawn = READ(frames_undrawn),
                        .frames_skipped = READ(frames_skipped),
                        .frames_dropped = READ(frames_dropped),
                        .pcm_dropped = READ(pcm_dropped),
                        .events_dropped = READ(events_dropped),
                        .underruns = READ(underruns),
                        .underrun_samples = READ(underrun_samples),
                        .utterances = READ(utterances),
                        .caught_up = lw_speech_caught_up(p->speech),
                        .prebuffer = lw_speech_prebuffer(p->speech),
                        .draws = READ(draws),
                        .draw_errors = READ(draw_errors),
                        .draw_slow = READ(draw_slow),
                        .draw_ns = READ(draw_ns),
                        .draw_worst_ns = READ(draw_worst_ns),
                        .active = lw_speech_active(p->speech),
                        .bytes = (int64_t)p->bytes};
#undef READ
}
