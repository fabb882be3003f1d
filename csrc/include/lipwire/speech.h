/* The speech timeline: the media clock, and the speech on it.
 *
 * Two threads use one object. The producer calls write, tail, take_back, arrived, give_back, end, interrupt, space, writing
 * and utterance; the consumer calls tick, look and played. The two share only atomics. clock, buffered, generation and
 * active may be called by any thread.
 *
 * Speech is written into utterances, which begin with a write and end with an end, an interrupt, or by running dry. Each
 * has one FINISHED, in order; before it one STARTED, unless it was interrupted before anything of it was heard. The
 * clock goes on through speech, gaps and silence alike: each tick is LW_BLOCK samples, whatever there is to play.
 *
 * Example of use:
 *
 *     int16_t speech[4800] = {0}, block[LW_BLOCK]; // 100 ms
 *     lw_event events[8];
 *     lw_speech *s;
 *     if (lw_speech_open(&s, &(lw_speech_config){.capacity = LW_RATE}) < 0)
 *         return 1;
 *     if (lw_speech_write(s, speech, 4800) != 4800 || lw_speech_end(s, 0) < 0)
 *         return 1;
 *     for (int tick = 0; tick < 12; tick++) // 10 ms each: STARTED in the first, FINISHED in the tenth or so
 *         for (int i = 0, n = lw_speech_tick(s, block, events, 8); i < n; i++)
 *             printf("event %d at %lld\n", events[i].type, (long long)events[i].sample);
 *     lw_speech_close(&s);
 */
#ifndef LIPWIRE_SPEECH_H
#define LIPWIRE_SPEECH_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lw_speech lw_speech;
enum lw_speech_default { /* samples; what a setting of 0 means, here and in everything above */
    LW_SPEECH_CAPACITY = 600 * LW_RATE, /* a reading of ten minutes in one burst; memory is touched as speech waits */
    LW_SPEECH_PREBUFFER = LW_RATE * 60 / 1000,
    LW_SPEECH_DRY_TIMEOUT = LW_RATE
};
#define LW_SPEECH_TAIL 255 /* samples that a tail has at most */

typedef struct lw_speech_config {
    int32_t capacity;         /* samples of speech buffered ahead; 0 = LW_SPEECH_CAPACITY */
    int32_t prebuffer;        /* samples that must be there before an utterance starts or resumes; 0 = LW_SPEECH_PREBUFFER */
    int32_t dry_timeout; /* an utterance without end finishes after this many dry samples; 0 = LW_SPEECH_DRY_TIMEOUT */
    int32_t prebuffer_max; /* what the prebuffer grows to, by what was missing, where speech that comes as it is said runs dry;
                              it shrinks again by half of that for every 30 s without. 0: it stays as it is */
    int32_t catch_up; /* 1: where such speech is late, its pauses are shortened, to 100 ms at least and by half at most; what
                         is not silence is never touched. Speech that comes faster than it is said is never late */
} lw_speech_config;

enum lw_event_type {
    LW_EVENT_STARTED = 1,  /* utterance's first sample is in this block */
    LW_EVENT_FINISHED = 2, /* value = 1 if interrupted; `played` samples of it were heard */
    LW_EVENT_UNDERRUN = 3, /* speech went on after a gap; value = the gap in samples */
    LW_EVENT_MOUTH = 4     /* first frame of the utterance that shows an open mouth (performer only); value = 1: nobody looks,
                              and `played` is the `now_ns` of its tick */
};
typedef struct lw_event {
    int32_t type;
    int32_t value;
    uint64_t utterance; /* counts from 1 */
    int64_t sample;     /* media clock at which it happened */
    int64_t played;     /* samples of the utterance heard so far, with those left out to catch up */
} lw_event;

/* LW_EINVAL: one of them is out of range. LW_ENOMEM. */
int lw_speech_open(lw_speech **out, const lw_speech_config *config);
/* Queues n samples for the current utterance; the first write after an end, or after it finished by itself, opens the
 * next one. Returns how many fitted: fewer than n means the buffer is full. LW_ENOSPC: it would begin an utterance, and
 * lw_speech_room says no. What an interrupt drops is free for writing again after the next tick. Samples that are written
 * at the very moment at which their utterance's grace or patience runs out either belong to it still or begin the next
 * one. */
int64_t lw_speech_write(lw_speech *s, const int16_t *pcm, size_t n);
/* What follows the samples written if nothing more comes, as who resamples knows it: n samples, LW_SPEECH_TAIL at most.
 * They are played where nothing more has come in time, and belong to the utterance when it ends. Otherwise as a write;
 * the next write is in their place, which with its own tail reaches at least as far. LW_EINVAL, LW_ENOSPC. */
int64_t lw_speech_tail(lw_speech *s, const int16_t *pcm, size_t n);
/* Before a write: how many samples of the tail have been played since, all or none. What is written next follows them.
 * 0, too, where the write would begin an utterance: the tail stays with the one before. */
int64_t lw_speech_take_back(lw_speech *s);
/* Right behind a write: when its samples came, on a monotonic clock; `samples` at LW_RATE. Without it nothing is late and
 * the prebuffer stays. */
void lw_speech_arrived(lw_speech *s, int64_t samples, int64_t now_ns);
/* The producer, every now and then: gives the memory of what has been played or dropped back to the system, where it is
 * 256 KiB or more. A write does so, too. */
void lw_speech_give_back(lw_speech *s);
/* How many utterances can begin before others are over. 0: so many wait that a write cannot begin another: 128 that have
 * an end, 255 that were interrupted. */
int lw_speech_room(const lw_speech *s);
/* Free samples. */
int64_t lw_speech_space(const lw_speech *s);
/* Ends the current utterance `grace` samples of clock from now: what is written until then still belongs to it. A
 * second end within the grace re-arms it (unless more than 64 utterances wait). 0 ends it at what has been written so far.
 * LW_EINVAL. */
int lw_speech_end(lw_speech *s, int32_t grace);
/* Drops everything written so far; what is being played fades out within 5 ms. Returns the new generation. */
int64_t lw_speech_interrupt(lw_speech *s);
/* One step of the media clock: writes LW_BLOCK samples to out. Returns how many events happened; the first `cap` of
 * them are written. */
int lw_speech_tick(lw_speech *s, int16_t out[LW_BLOCK], lw_event *events, int cap);
/* Looks ahead for the viseme extractor: writes the next not yet seen block of LW_BLOCK samples if it lies at most
 * `ahead` samples past the clock and is certain (speech already buffered and playing, or silence already played).
 * Returns 1 with *sample = its position on the media clock, 0 if none is ready. After an interrupt or a jump the
 * sequence restarts at the block just played and *restarted is set to 1. */
int lw_speech_look(lw_speech *s, int32_t ahead, int16_t out[LW_BLOCK], int64_t *sample, int *restarted);
/* Any thread, but where it says which. */
/* Asks for the memory of which a tick will soon have need: its own; then, when that is there, the `samples`. */
void lw_speech_prefetch(const lw_speech *s, int samples);
int64_t lw_speech_clock(const lw_speech *s);      /* samples played, silence included */
int64_t lw_speech_buffered(const lw_speech *s);   /* speech samples waiting, the tail's with them */
int64_t lw_speech_generation(const lw_speech *s); /* interrupts so far */
int64_t lw_speech_heeded(const lw_speech *s);     /* of them, those that the newest block knows of (consumer) */
uint64_t lw_speech_writing(const lw_speech *s);   /* number of the utterance that a write now would go to (producer) */
uint64_t lw_speech_utterance(const lw_speech *s); /* number of the one that the last write went to (producer) */
int lw_speech_active(const lw_speech *s);         /* 1 while an utterance has begun and not finished */
int64_t lw_speech_prebuffer(const lw_speech *s);  /* as it has grown, samples */
int64_t lw_speech_caught_up(const lw_speech *s);  /* samples of silence left out so far */
/* Consumer: samples played of the utterance that plays, or of the last one, those left out in between counted; *utterance =
 * its number, 0 before any. */
int64_t lw_speech_played(const lw_speech *s, uint64_t *utterance);
void lw_speech_close(lw_speech **s);

#ifdef __cplusplus
}
#endif
#endif
