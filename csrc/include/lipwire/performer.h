/* A performer: one session's chain, from PCM to sound, pictures and events on one clock.
 *
 *   write -> resample -> speech timeline -tick-> look-ahead visemes -> motion -> compose -> rings
 *
 * Three threads use one object, lock-free between them. The producer calls write, arrived, end, give_back, interrupt, set, space,
 * writing and utterance. The consumer calls tick; where the performer is attached, that is the engine's thread. The reader
 * drains the rings: read_pcm, heard, heeded, read_event, acquire_frame. Frames may be released, the counters read, and look
 * called, by any thread.
 *
 * Example of use:
 *
 *     int16_t second[16000] = {0}, block[LW_BLOCK];
 *     int64_t sample;
 *     lw_performer *p;
 *     if (lw_performer_open(&p, &(lw_performer_config){.width = 64, .height = 36, .fps_num = 25, .fps_den = 1}) < 0)
 *         return 1;
 *     lw_performer_write(p, second, 16000, 16000);
 *     lw_performer_end(p, 0);
 *     for (int tick = 0; tick < 110; tick++) { // offline: as fast as it goes
 *         int slot, out = lw_performer_tick(p, 0, 1);
 *         lw_frame_info info;
 *         if (out & LW_TICK_PCM)
 *             lw_performer_read_pcm(p, block, &sample);
 *         if (out & LW_TICK_FRAME && lw_performer_acquire_frame(p, &slot, &info))
 *             lw_performer_release_frame(p, slot); // lw_performer_frame(p, slot) has its pixels
 *     }
 *     lw_performer_close(&p);
 */
#ifndef LIPWIRE_PERFORMER_H
#define LIPWIRE_PERFORMER_H

#include "lipwire/avatar.h"
#include "lipwire/base.h"
#include "lipwire/motion.h"
#include "lipwire/speech.h"
#include "lipwire/stitch.h"
#include "lipwire/viseme.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lw_performer lw_performer;
#define LW_PERFORMER_UTTERANCES 256 /* that have begun and whose end the reader has not read; more do not begin */

/* What a renderer that is not the compositor is told of the frame that it draws. Compiled hooks read it field by field,
 * so that its layout is part of the interface: fields are never moved. */
typedef struct lw_draw_info {
    int64_t sample;      /* media clock of the frame */
    int64_t sequence;    /* as in lw_frame_info */
    uint64_t utterance;  /* being spoken, or 0 */
    int32_t width, height; /* luma pixels */
    float loudness;      /* 0..1 */
    float axis[LW_AXES]; /* -1..1, see lw_axis */
    float viseme[LW_VISEMES]; /* weights 0..1; what is missing to 1 is rest (sil) */
} lw_draw_info;

/* Draws a whole I420 frame of width * height * 3 / 2 contiguous bytes, which hold some older picture. Runs on the
 * thread that ticks, where LW_DRAW_SLOW_NS is long; how long it took is counted. Returns 0: drawn; LW_DRAW_SAME:
 * nothing drawn, it looks as the frame before; anything else: failed, and the frame shows the last good picture. */
#define LW_DRAW_SAME 1
#define LW_DRAW_SLOW_NS 5000000
typedef int (*lw_draw)(void *user, uint8_t *i420, const lw_draw_info *info);

typedef struct lw_performer_config {
    lw_avatar *avatar;      /* what draws: this, or draw, or the reader into what it acquires, or (0 x 0) nobody.
                               Kept: it has to outlive the performer */
    lw_draw draw;           /* kept with draw_user, and called until close */
    void *draw_user;
    int32_t width, height;  /* of frames without an avatar: see lw_size_check, or 0 */
    int32_t fps_num, fps_den; /* e.g. 25 / 1; 1..100 frames a second */
    int32_t frame_slots;    /* 0 = 6; full: new frames are skipped and counted */
    int32_t pcm_blocks;     /* 0 = 64 (640 ms); full: the oldest stay, new blocks are dropped and counted */
    uint8_t *frames;        /* where to draw: frame_slots pictures, frame_stride bytes apart, zeroed, the caller's
                               until close (an lw_share's slots); NULL: in memory of its own */
    size_t frame_stride;
    uint32_t seed;
    lw_speech_config speech;
    int32_t turns;          /* 1: calls between lw_performer_enter and _leave take turns with ticks */
    float voice;            /* as in lw_viseme_config */
    int32_t batch;          /* blocks that may wait in the ring until the reader is told of them: lw_performer_due;
                               0 = 1, at most pcm_blocks */
    const lw_atlas *atlas;  /* of the avatar, at its size and this frame rate: the head goes along its nodes, and frames can
                               be had as units of video. Kept; NULL: there is none */
    int32_t framing;        /* of its units: enum lw_framing */
} lw_performer_config;

typedef struct lw_performer_counters {
    int64_t clock;           /* samples */
    int64_t buffered;        /* speech samples waiting */
    int64_t generation;
    int64_t frames;          /* put into the ring, or unseen */
    int64_t frames_unchanged;/* of those, not a pixel differed from the one before */
    int64_t frames_unseen;   /* of those, not in the ring: nobody looked */
    int64_t frames_stitched; /* of those in the ring, that can be had as units */
    int64_t frames_undrawn;  /* of those in the ring, without a picture: as a unit or a pose alone */
    int64_t frames_skipped;  /* not drawn: late */
    int64_t frames_dropped;  /* not drawn: the reader held every slot */
    int64_t pcm_dropped;     /* blocks */
    int64_t events_dropped;  /* UNDERRUN and MOUTH that nobody read in time; no STARTED and no FINISHED ever is */
    int64_t underruns;
    int64_t underrun_samples;
    int64_t utterances;      /* finished */
    int64_t caught_up;       /* samples of silence left out of speech that was late */
    int64_t prebuffer;       /* samples, as it has grown */
    int64_t draws;           /* calls of lw_draw */
    int64_t draw_errors;     /* of those, failed */
    int64_t draw_slow;       /* of those, longer than LW_DRAW_SLOW_NS */
    int64_t draw_ns;         /* in all */
    int64_t draw_worst_ns;
    int64_t active;          /* 1 while an utterance plays */
    int64_t bytes;           /* native memory, the shared avatar and the buffered speech excluded */
} lw_performer_counters;

typedef struct lw_frame_info {
    int64_t sample;      /* media clock of the frame */
    int64_t sequence;    /* counts frames of the session, skipped ones included */
    uint64_t utterance;  /* being spoken, or 0 */
    int64_t generation;  /* interrupts that it knows of */
    int32_t changed;     /* 0: every pixel as in the frame before; 1 where the reader draws */
    int32_t mouth_open;  /* the mouth's image is not that at rest; without an avatar: the pose's mouth is open */
    int32_t drawn;       /* 0: the slot has no picture of it: its unit or its pose alone was wanted */
    int32_t node;        /* of the atlas; it can be had by lw_performer_unit. -1: it cannot */
    int32_t key;         /* 1: its unit does not follow on that of the frame before, and is an IDR picture */
    int64_t due_ns;      /* the `now` given to the tick that made it */
    lw_pose pose;
} lw_frame_info;

/* LW_EINVAL: one of them is out of range, or two of them want to draw. LW_ENOMEM. */
int lw_performer_open(lw_performer **out, const lw_performer_config *config);
/* Reader. As config.atlas, where there was none: within a second the head goes over from where it is to the atlas's nodes,
 * and from then on frames can be had as units. Once. LW_EINVAL: it is of another avatar, size or frame rate; LW_ESTATE:
 * there is one. LW_ENOMEM. */
int lw_performer_adopt(lw_performer *p, const lw_atlas *atlas);
/* Producer. With config.turns: before and behind each call below, so that none falls into the middle of a tick, and a
 * recording can say which block was the first to know of it. One waits for the other, but never longer than
 * LW_TURN_NS: then both go on. _leave returns the media clock at which the call took effect: the next tick's first
 * sample; or -1 - clock where they did not wait long enough, and it is a tick earlier or later. */
#define LW_TURN_NS 5000000
void lw_performer_enter(lw_performer *p);
int64_t lw_performer_leave(lw_performer *p);
/* Producer. Queues n samples at `rate` Hz for the current utterance; all or nothing. LW_ENOSPC: they do not fit, or would
 * begin an utterance where LW_PERFORMER_UTTERANCES have not been told of to their end, or lw_speech_room says no. A rate
 * other than the one before starts a new resampler (the only allocation outside open), which goes on in the midst of the
 * signal. All that was written can be played; where more comes in time, the last 3 ms wait for it (lw_speech_tail). */
int lw_performer_write(lw_performer *p, const void *pcm, size_t n, int32_t rate);
/* Producer. The same for a new utterance: the one before is over where it is, as by lw_performer_end without a grace. */
int lw_performer_write_next(lw_performer *p, const void *pcm, size_t n, int32_t rate);
/* Producer, right behind a write: as lw_speech_arrived. */
void lw_performer_arrived(lw_performer *p, size_t n, int32_t rate, int64_t now_ns);
/* Producer. As lw_speech_end. */
int lw_performer_end(lw_performer *p, int32_t grace);
/* Producer. As lw_speech_give_back. */
void lw_performer_give_back(lw_performer *p);
/* Producer. As lw_speech_interrupt. What is in the rings already stays there. */
int64_t lw_performer_interrupt(lw_performer *p);
/* Producer. As lw_motion_set, from the next tick on. Of several between two ticks the last one of each setting
 * counts. */
int lw_performer_set(lw_performer *p, int setting, int value);
/* Any thread. What is wanted of the frames from the next one on: bits of lw_look; at first pictures. 0, nobody looks: clock,
 * sound, pose and events go on, and no frame is drawn or put into the ring; that the mouth is open is told by an event
 * alone (LW_EVENT_MOUTH with value 1). Where units alone are wanted a frame is drawn if it cannot be had as one: without an
 * atlas, with a pose that it does not cover (an expression, a gesture), and from there to the next anchor, where the
 * units begin again with an IDR picture: with these frames an encoder takes over. Where poses are wanted every frame is put
 * into the ring, and those alone: none is drawn. LW_EINVAL: another bit. */
enum lw_look {
    LW_LOOK_PICTURES = 1,
    LW_LOOK_UNITS = 2,
    LW_LOOK_POSES = 4
};
int lw_performer_look(lw_performer *p, int look);
uint64_t lw_performer_writing(const lw_performer *p);   /* as lw_speech_writing */
uint64_t lw_performer_utterance(const lw_performer *p); /* that the last write belonged to */
int64_t lw_performer_space(const lw_performer *p); /* samples at LW_RATE */
/* What a tick put into the rings. */
enum lw_tick {
    LW_TICK_PCM = 1,
    LW_TICK_FRAME = 2,
    LW_TICK_EVENTS = 4
};
/* Consumer: one 10 ms step. `draw` 0 skips a frame that falls into it (late work). `now_ns` goes into the frame's
 * due_ns, and nowhere else. Returns bits of lw_tick. */
int lw_performer_tick(lw_performer *p, int64_t now_ns, int draw);
/* Consumer: the same for n of them, distinct, into out[0..n); in less time than one after the other, with the same bits. */
void lw_performer_tick_many(lw_performer *const *p, size_t n, int64_t now_ns, int draw, int *out);
/* Consumer, behind a tick that returned `out`: 1 where the reader is to be told, because there is a picture or an event, or
 * config.batch blocks wait. */
int lw_performer_due(const lw_performer *p, int out);
/* Reader, or consumer. Blocks that wait to be read. */
int64_t lw_performer_waiting(const lw_performer *p);
/* Reader. The first sample of the oldest block that waits; there has to be one. */
int64_t lw_performer_sample(const lw_performer *p);
/* Reader. A block of PCM (LW_BLOCK samples) -> 1 with *sample, or 0. */
int lw_performer_read_pcm(lw_performer *p, int16_t out[LW_BLOCK], int64_t *sample);
/* Reader. Samples of an utterance within the blocks read so far, the silence of an underrun not counted; *utterance is
 * the one that the newest block speaks, or that was spoken last, and 0 before any. */
int64_t lw_performer_heard(const lw_performer *p, uint64_t *utterance);
/* Reader. Interrupts that the newest block read knows of: below what lw_performer_interrupt returned, it is stale. */
int64_t lw_performer_heeded(const lw_performer *p);
/* Reader. The oldest event: 1, or 0 for none. */
int lw_performer_read_event(lw_performer *p, lw_event *event);
/* Reader. The oldest frame: 1 with the slot that it lies in, or 0 for none. The slot's bytes stay as they are until it
 * is released; slots may be released in any order, by any thread. */
int lw_performer_acquire_frame(lw_performer *p, int *slot, lw_frame_info *info);
/* Reader. The unit of a frame that has been acquired and has a node: each once, in their order. `stale` 1: the frame knows
 * of fewer interrupts than there were; its unit keeps the variants shown before, as its mouth is not to be seen, and the
 * head goes on. Where it begins the units anew its mouth is that of rest. *key (may be NULL): whether it is an IDR
 * picture. Returns its bytes, at most lw_atlas_bound. LW_EINVAL: no such frame, or out of order; LW_ENOSPC: `room` is too
 * small. Where there is no unit of a frame, the next frames are drawn until the units can begin again. */
int64_t lw_performer_unit(lw_performer *p, int slot, int stale, int *key, uint8_t *out, size_t room);
/* Reader. The next unit that can be one is to be an IDR picture. */
void lw_performer_request_key(lw_performer *p);
/* A slot's pixels; NULL for a slot out of range, or frames of 0 x 0. */
uint8_t *lw_performer_frame(lw_performer *p, int slot);
void lw_performer_release_frame(lw_performer *p, int slot);
/* Any thread. */
void lw_performer_stats(const lw_performer *p, lw_performer_counters *counters);
void lw_performer_close(lw_performer **p);

#ifdef __cplusplus
}
#endif
#endif
