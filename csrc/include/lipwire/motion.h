/* Motion: viseme rows in, one smoothed pose per 10 ms out, with blinks, breathing, gestures and idle life.
 *
 * The state is integer; the same seed, rows and settings give the same poses. One thread at a time.
 *
 * Example of use:
 *
 *     lw_pose pose;
 *     lw_motion *m;
 *     const float *rest = NULL;
 *     if (lw_motion_open(&m, &(lw_motion_config){.seed = 1}) < 0)
 *         return 1;
 *     lw_motion_set(m, LW_MOTION_GESTURE, LW_GESTURE_NOD);
 *     for (int i = 0; i < 50; i++) // half a second at rest, nodding
 *         lw_motion_step(m, &rest, 1, 0, &pose);
 *     printf("head %d\n", pose.axis[LW_AXIS_HEAD_Y]);
 *     lw_motion_close(&m);
 */
#ifndef LIPWIRE_MOTION_H
#define LIPWIRE_MOTION_H

#include "lipwire/base.h"
#include "lipwire/viseme.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Axes of a pose, q15: 0..32767, or -32767..32767 where a sign makes sense. */
enum lw_axis {
    LW_AXIS_HEAD_X = 0, /* turn: + is to the viewer's right */
    LW_AXIS_HEAD_Y,     /* nod: + is down */
    LW_AXIS_BREATH,     /* 0 breathed out .. 1 in */
    LW_AXIS_BLINK,      /* 0 open .. 1 closed */
    LW_AXIS_GAZE_X,
    LW_AXIS_GAZE_Y,
    LW_AXIS_BROW,       /* -1 frown .. +1 raised */
    LW_AXIS_JAW,        /* 0 closed .. 1 open */
    LW_AXIS_HEAD_ROLL,  /* tilt: + is clockwise as the viewer sees it */
    LW_AXIS_HAPPY,      /* weights of the expressions, 0..1; neutral is none of them */
    LW_AXIS_CONCERNED,
    LW_AXIS_SURPRISED,
    LW_AXIS_LIDS,       /* 0 as wide as they go, LW_LIDS_REST at rest, 1 shut: blinks, expression and state together */
    LW_AXIS_WAVE,       /* 0 the arm is down .. about 0.4 up; a waving hand goes to and fro between 0.4 and 1 */
    LW_AXIS_HEAD_TURN,  /* head_x as 0 .. 0.5 ahead .. 1, for banks of head-turn frames */
    LW_AXES
};
#define LW_LIDS_REST 8192
typedef struct lw_pose {
    int16_t axis[LW_AXES];
    int16_t viseme[LW_VISEMES]; /* q15 weights, sum <= 32767; what is missing to 1 is rest (sil) */
    int16_t loudness;           /* q15 */
} lw_pose;

typedef struct lw_motion lw_motion;
typedef struct lw_motion_config {
    uint32_t seed;
} lw_motion_config;

enum lw_motion_setting {
    LW_MOTION_STATE = 0,  /* an lw_state, until the next */
    LW_MOTION_EXPRESSION, /* an lw_expression, until the next; fades in 300 ms */
    LW_MOTION_GESTURE,    /* an lw_gesture, played once; one that still plays gives way */
    LW_MOTION_SETTINGS
};
enum lw_state { /* what the face does while no utterance plays */
    LW_STATE_IDLE = 0,
    LW_STATE_LISTENING, /* looks at the viewer, head tilted, brows up, a small nod now and then */
    LW_STATE_THINKING,  /* looks up and aside, brows down, few blinks */
    LW_STATES
};
enum lw_expression {
    LW_EXPRESSION_NEUTRAL = 0,
    LW_EXPRESSION_HAPPY,
    LW_EXPRESSION_CONCERNED,
    LW_EXPRESSION_SURPRISED,
    LW_EXPRESSIONS
};
enum lw_gesture {
    LW_GESTURE_NOD = 0,
    LW_GESTURE_SHAKE,
    LW_GESTURE_WAVE,
    LW_GESTURE_BEAT, /* a small, short nod, lowest after 0.24 s: of who listens, or on a stressed word */
    LW_GESTURES
};

/* What speech makes of the mouth, without what an expression adds. */
typedef struct lw_mouth {
    int16_t viseme[LW_VISEMES]; /* as in lw_pose */
    int16_t jaw, loudness;
} lw_mouth;

int lw_motion_open(lw_motion **out, const lw_motion_config *config);
/* 0, or LW_EINVAL: no such setting or value. */
int lw_motion_check(int setting, int value);
/* Between steps: acts from the next one on. Returns as lw_motion_check. */
int lw_motion_set(lw_motion *m, int setting, int value);
#define LW_MOTION_AHEAD 12 /* rows that a step makes use of */
/* rows[i] is the row of the step that comes i steps later, LW_CHANNELS floats, or NULL for rest; rows[0] is this step's.
 * `known`: how many there are, 1 at least. The more, the better the mouth is in time: closures are set out for. `speaking`
 * is 1 while an utterance plays. */
void lw_motion_step(lw_motion *m, const float *const *rows, int known, int speaking, lw_pose *pose);
/* The mouth of the last step. */
void lw_motion_mouth(const lw_motion *m, lw_mouth *mouth);
/* What the last step added to the head for a gesture that was set, and for expressions: head_x, head_y, head_roll. Returns
 * whether it is anything; a head that goes another way by itself adds the same. */
int lw_motion_added(const lw_motion *m, int16_t added[3]);
/* Speech was cut off: from the mouth that was `shown` last, whatever it has done since, the next steps go straight to
 * rest and nowhere else, until one with `speaking`. */
void lw_motion_cut(lw_motion *m, const lw_mouth *shown);
/* Of a pose what speech alone has made of its mouth: without what its expressions add. Weights as in lw_pose. */
void lw_motion_said(const lw_pose *pose, int16_t said[LW_VISEMES]);
/* Asks for its memory, of which a step will soon have need. */
void lw_motion_prefetch(const lw_motion *m);
void lw_motion_close(lw_motion **m);

#ifdef __cplusplus
}
#endif
#endif
