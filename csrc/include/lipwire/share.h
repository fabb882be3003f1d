/* Shared rings: a session's sound and pictures for other processes.
 *
 * One writer puts PCM blocks and frames into memory that any number of processes map read-only and follow, each at its
 * own pace. There are no locks: an item is good until its memory is used again, and a reader can tell. A reader that
 * stalls or dies loses what was overwritten, is told how much, and is never waited for. docs/sharing.md has the layout.
 *
 * The memory is a memfd, sealed against change of size and (Linux 5.1) against writing by anyone else, which is gone
 * with its last user; or POSIX shared memory for processes that cannot be handed a descriptor, unlinked at the end, or
 * by the next sweep where the writer was killed. Times are CLOCK_MONOTONIC (lw_now_ns), given by the caller.
 *
 * A writer is of one thread at a time, a reader likewise; the two may be in different threads or processes.
 *
 * Example of use:
 *
 *     int16_t block[LW_BLOCK] = {1, 2, 3};
 *     lw_share *ring;
 *     if (lw_share_open(&ring, &(lw_share_config){.fps_num = 25, .fps_den = 1}) < 0) // sound only
 *         return 1;
 *     lw_share_reader *reader; // as a rule in another process, which was handed the descriptor
 *     if (lw_share_reader_open(&reader, lw_share_fd(ring), NULL) < 0)
 *         return 1;
 *     lw_share_write_pcm(ring, block, 0, lw_now_ns());
 *     lw_share_pcm read;
 *     if (lw_share_reader_read_pcm(reader, &read)) {
 *         memcpy(block, read.pcm, sizeof block);
 *         if (!lw_share_reader_pcm_valid(reader, read.number))
 *             return 1; // overtaken while it was copied
 *     }
 *     lw_share_reader_close(&reader);
 *     lw_share_close(&ring);
 */
#ifndef LIPWIRE_SHARE_H
#define LIPWIRE_SHARE_H

#include "lipwire/base.h"
#include "lipwire/performer.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_SHARE_VERSION 1
#define LW_SHARE_SILENT_NS 1000000000 /* a writer that has not beaten for so long counts as dead */

typedef struct lw_share lw_share;
typedef struct lw_share_reader lw_share_reader;

typedef struct lw_share_config {
    const char *session;      /* id, at most 63 bytes, copied; or NULL */
    int32_t named;            /* 1: POSIX shared memory */
    int32_t width, height;    /* see lw_size_check; 0 x 0 with no frame_slots: sound only */
    int32_t fps_num, fps_den; /* 1..100 frames a second */
    int32_t matrix;           /* enum lw_matrix */
    int32_t frame_slots;      /* 2..256: pictures in memory, those that are being drawn included */
    int32_t frames_kept;      /* 1..frame_slots - 1: the newest that readers may use */
    int32_t pcm_blocks;       /* 2..65536, 0 = 1024 (10.24 s) */
} lw_share_config;

/* LW_ENOMEM: no memory, or no descriptor. A named one sweeps first. */
int lw_share_open(lw_share **out, const lw_share_config *config);
/* Read-only; the ring's own, for others to dup or open by /proc. */
int lw_share_fd(const lw_share *s);
const char *lw_share_name(const lw_share *s); /* as for shm_open; NULL for a memfd, and after the end */
/* A slot's pixels, width * height * 3 / 2 bytes, to draw into while none of the last frames_kept frames shows it; the
 * next slot is lw_share_stride bytes on. NULL: out of range. */
uint8_t *lw_share_slot(lw_share *s, int slot);
size_t lw_share_stride(const lw_share *s);
/* The lowest slot that no frame shows; for writers that keep no account of their own. LW_EINVAL: there are no slots. */
int lw_share_free_slot(const lw_share *s);
/* LW_BLOCK samples, copied. LW_ESTATE after the end, here and below. */
int lw_share_write_pcm(lw_share *s, const void *pcm, int64_t sample, int64_t now_ns);
/* Publishes what is in the slot, uncopied. Of `info` it takes sample, sequence, utterance, changed, mouth_open and
 * due_ns. Returns 1 where the oldest frame had to go (its slot may be drawn into), or 0. */
int lw_share_write_frame(lw_share *s, int slot, const lw_frame_info *info, int64_t now_ns);
/* Takes back the frames up to `sample`, for a writer that knows that its reader is done; returns how many. */
int lw_share_retire(lw_share *s, int64_t sample);
/* What was published before is stale: readers skip it. Returns the new generation. */
int64_t lw_share_interrupt(lw_share *s);
/* Says that the writer lives, for one that has nothing to write; each write does the same. */
void lw_share_beat(lw_share *s, int64_t now_ns);
/* Tells the readers and takes the name away; the memory stays. Close does it, too. In a forked child neither touches
 * the ring. */
void lw_share_end(lw_share *s);
void lw_share_close(lw_share **s);
/* Unlinks the named rings whose writers are gone; returns how many. */
int lw_share_sweep(void);

typedef struct lw_share_pcm {
    int64_t number; /* counts the ring's blocks from 0 */
    int64_t sample, generation, published_ns;
    const int16_t *pcm; /* LW_BLOCK samples in the ring; good while lw_share_reader_pcm_valid */
} lw_share_pcm;

typedef struct lw_share_frame {
    int64_t number; /* counts the ring's frames from 0 */
    int64_t sample, sequence, generation;
    uint64_t utterance;
    int64_t due_ns, published_ns;
    int32_t slot, changed, mouth_open; /* as in lw_frame_info; `changed` 0 means nothing to who missed the one before */
    const uint8_t *i420; /* in the ring; good while lw_share_reader_frame_valid */
} lw_share_frame;

typedef struct lw_share_reader_counters {
    int64_t generation, clock, heartbeat_ns, ended; /* the writer's; clock: the sample behind the newest block */
    int64_t pcm_lag, pcm_lost, pcm_stale;           /* blocks: waiting, overwritten before they were read, skipped */
    int64_t frames_lag, frames_lost, frames_stale;
} lw_share_reader_counters;

/* Maps a ring read-only, to begin with what is published next; the descriptor may be closed afterwards. LW_EDATA:
 * refused, and *why (may be NULL) says in a few words what for. */
int lw_share_reader_open(lw_share_reader **out, int fd, const char **why);
/* What the ring was opened with; `session` points into the reader. */
void lw_share_reader_geometry(const lw_share_reader *r, lw_share_config *out, int32_t *pid);
/* The next block or frame of the newest generation: 1, or 0 for none. One thread at a time. */
int lw_share_reader_read_pcm(lw_share_reader *r, lw_share_pcm *out);
int lw_share_reader_read_frame(lw_share_reader *r, lw_share_frame *out);
/* Asked after the last use: 1 = what was read is the item's, all of it; 0 = it was overtaken. */
int lw_share_reader_pcm_valid(const lw_share_reader *r, int64_t number);
int lw_share_reader_frame_valid(const lw_share_reader *r, int64_t number);
/* Goes to the oldest block that reaches beyond `sample`, and the oldest frame not before it; or, < 0, behind the
 * newest. Returns how many samples from `sample` on are no longer there. */
int64_t lw_share_reader_seek(lw_share_reader *r, int64_t sample);
/* Sleeps until there is something to read or the writer has ended: 1; or until `until_ns`, a signal, or the moment at
 * which the writer has been silent for LW_SHARE_SILENT_NS: 0. */
int lw_share_reader_wait(lw_share_reader *r, int64_t now_ns, int64_t until_ns);
void lw_share_reader_stats(const lw_share_reader *r, lw_share_reader_counters *counters);
void lw_share_reader_close(lw_share_reader **r);

#ifdef __cplusplus
}
#endif
#endif
