/* Visemes from speech: 16 kHz PCM in, one row of LW_CHANNELS floats per 10 ms out, which are the 15 OVR viseme weights
 * (>= 0, sum 1), the jaw opening 0..1 and the loudness 0..1.
 *
 * Row i describes the input samples [160 i, 160 (i + 1)); it is written once lw_viseme_lookahead() further samples have
 * come in. Digital or room silence gives weight 1 to `sil` and 0 to the jaw. The same bits for any chunking, any
 * company in a batch, every kernel level and every machine. A session holds less than 5 kB; tables and weights are one
 * copy for the process, made by the first open.
 *
 * Example of use:
 *
 *     int16_t second[16000] = {0};
 *     float rows[100][LW_CHANNELS];
 *     lw_viseme *v;
 *     if (lw_viseme_open(&v, NULL) < 0)
 *         return 1;
 *     int64_t made = lw_viseme_process(v, second, 16000, rows[0], 100);
 *     for (int64_t i = 0; i < made; i++)
 *         if (rows[i][0] != 1) // sil
 *             return 1;
 *     lw_viseme_close(&v);
 */
#ifndef LIPWIRE_VISEME_H
#define LIPWIRE_VISEME_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_VISEME_RATE 16000 /* Hz: the extractor's input */
#define LW_VISEME_HOP 160    /* samples at LW_VISEME_RATE per viseme row: 10 ms */
#define LW_VISEMES 15        /* sil PP FF TH DD kk CH SS nn RR aa E I O U (OVR order) */
#define LW_CHANNELS 17       /* one viseme row: LW_VISEMES weights, then jaw opening, then loudness */
#define LW_JAW 15
#define LW_LOUDNESS 16

typedef struct lw_viseme lw_viseme;

typedef struct lw_viseme_config {
    int32_t early; /* 1: rows come with the least look-ahead, about 20 ms, and are less exact */
    float voice;   /* dBFS of the voice's louder frames, as lw_viseme_voice gives it, where it is known before; 0: it is
                      found out within a second */
    int32_t both;  /* 1: early rows and, later, exact ones, in little more time than either: lw_viseme_process_both.
                      `early` has no say */
} lw_viseme_config;

/* `config` may be NULL. */
int lw_viseme_open(lw_viseme **out, const lw_viseme_config *config);
/* Takes all n samples; writes every row that became ready, at most `cap` rows of LW_CHANNELS floats. Returns the rows
 * written, or LW_ENOSPC (nothing taken) where `cap` is below lw_viseme_bound(v, n). */
int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap);
/* Exactly the rows that n more samples will give. */
size_t lw_viseme_bound(const lw_viseme *v, size_t n);
/* Many sessions at once: as lw_viseme_process(v[s], pcm[s], n[s], rows[s], cap) for s = 0..sessions-1, the same bits,
 * in less time, as the weights are read once for several of them. The sessions are distinct, may be at different places
 * in their streams and take different amounts; pcm[s] may be NULL where n[s] is 0, rows[s] where it gives none. PCM may
 * be odd-aligned. Returns the rows written in all. LW_EINVAL, or LW_ENOSPC where one of them needs more than cap rows:
 * nothing was taken from any. */
int64_t lw_viseme_process_many(lw_viseme *const *v, size_t sessions, const int16_t *const *pcm, const size_t *n,
                               float *const *rows, size_t cap);
/* A session's part in lw_viseme_process_both. */
typedef struct lw_viseme_part {
    lw_viseme *v;       /* opened with `both` */
    const int16_t *pcm; /* as in lw_viseme_process_many */
    size_t n;
    float *early, *final;          /* where the rows go, each of LW_CHANNELS floats */
    size_t early_rows, final_rows; /* out: how many they were */
} lw_viseme_part;
/* As lw_viseme_process_many for extractors that give both: each session's early rows are those of an extractor with
 * `early`, its final ones those of one without, bit for bit. Returns 0; LW_EINVAL, or LW_ENOSPC where one needs more than
 * `cap` rows of a kind: nothing was taken from any. lw_viseme_bound speaks of the early ones, lw_viseme_lookahead of the
 * others. */
int lw_viseme_process_both(lw_viseme_part *parts, size_t sessions, size_t cap);
/* Samples at LW_VISEME_RATE beyond the end of a row's own hop that must have arrived; constant, <= 1280 (80 ms). */
int lw_viseme_lookahead(const lw_viseme *v);
/* Forgets all input. */
void lw_viseme_reset(lw_viseme *v);
/* New speech of the same voice: forgets all input but how loud that is. */
void lw_viseme_restart(lw_viseme *v);
/* Level of the voice's louder frames, dBFS: what was given or is assumed, until there has been speech. */
/* Asks for its memory, of which a call will soon have need. */
void lw_viseme_prefetch(const lw_viseme *v);
float lw_viseme_voice(const lw_viseme *v);
void lw_viseme_close(lw_viseme **v);

#ifdef __cplusplus
}
#endif
#endif
