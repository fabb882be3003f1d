/* Is there a voice, and how loud is it? What the viseme extractor knows of the sound beside its phones (viseme_gate.c). */
#ifndef LW_VISEME_GATE_H
#define LW_VISEME_GATE_H

#include "viseme_kernels.h"

#define LW_GATE_GROUPS (LW_MEL / 4)
#define LW_GATE_STEADY 20 /* frames: 200 ms that tell noise from speech */
#define LW_GATE_CONFIRM 3 /* frames that make a voice: those before the one that opens it were its own, too */
#define LW_GATE_RANGE 32  /* frames within which a level that stands still raises the floor */

/* All levels are dBFS of the sound as it came in, before the gain. */
typedef struct lw_viseme_gate {
    float voice;  /* of this voice's louder frames, as it is believed */
    float gain;   /* dB, that brings them to LW_VOICE_NOMINAL */
    float factor; /* the same for a power */
    int32_t heard;               /* frames of the voice so far, up to VOICE_MOST */
    float evidence, peak;        /* of a voice much quieter than believed: frames, and its loudest level */
    float floor;                 /* of the room's noise */
    float recent[LW_GATE_RANGE]; /* levels */
    int32_t recent_at;
    int32_t open;                /* 1: a voice */
    int32_t pending;             /* closed, but that many frames may be a voice's first ones */
    int32_t quiet, tone;         /* frames in a row without a voice; for which a tone is still remembered */
    int32_t young;               /* frames in which it still may have been a tone that opened it */
    int32_t unvoiced;            /* frames in a row that were looked at and had no pitch */
    int32_t lower;               /* frames in a row well below the noise that is known */
    /* The last frames, as means of four bands each, in 1/64 dB, and their sums; the noise that is known, if it is. */
    int32_t frames, at;
    int16_t group[LW_GATE_STEADY][LW_GATE_GROUPS];
    int32_t sum[LW_GATE_GROUPS], squares[LW_GATE_GROUPS];
    int32_t known;
    float noise[LW_GATE_GROUPS], noise_level;
} lw_viseme_gate;

#define LW_VOICE_NOMINAL (-18.0f) /* dBFS of a voice's louder frames, which the rest of the extractor expects */

/* `voice`: dBFS of the louder frames where that is known before, or 0. */
void lw_viseme_gate_reset(lw_viseme_gate *g, float voice);
/* New speech of the same voice. */
void lw_viseme_gate_restart(lw_viseme_gate *g);
/* A frame: its level in dB and its log-mel bands, both behind the gain, its power spectrum and its samples, NULL where all
 * of them are 0. */
void lw_viseme_gate_frame(lw_viseme_gate *g, float level, const float mel[LW_MEL_VALUES], const float *power,
                          const int16_t *pcm);

#endif
