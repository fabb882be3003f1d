/* From viseme rows to a pose: smoothing, blinks, breath, gaze and head life. Integer state, q15.
 *
 *   mouth     one pole per viseme, faster up than down. Closures (PP, FF) are the fastest, stay for a frame of video at
 *             least, so that short ones are seen, and have the right of way: other shapes share what they leave
 *   head      a damped spring towards random targets, wider while speaking, with a small nod on stressed syllables
 *   gaze      saccades: jumps within two steps, mostly back to the viewer
 *   blink     every 2.2 to 6 s, 80 ms down, 40 ms shut, 140 ms up
 *   breath    a sine of 4 s
 *
 * One step is 10 ms. Randomness is a counter-seeded xorshift32, so the same seed and rows give the same poses. */
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define ONE 32767
#define BREATH_STEPS 400
#define FIRST_VOWEL 10 /* aa */
#define FIRST_CLOSURE 1 /* PP, FF */
#define CLOSURES 2
#define CLOSURE_STEPS 4 /* how long a closure stays: a frame at 25 a second */

typedef struct spring {
    int32_t x, v; /* q15 << 8 */
    int32_t target; /* q15 */
    int32_t hold;   /* steps until the next target */
} spring;

struct lw_motion {
    uint32_t random;
    int32_t viseme[LW_VISEMES];
    int32_t closure[CLOSURES], closure_hold[CLOSURES]; /* the last one's target, and the steps it still stays */
    int32_t jaw, loud_fast, loud_slow;
    spring head_x, head_y;
    int32_t gaze_x, gaze_y, gaze_to_x, gaze_to_y, gaze_hold;
    int32_t brow;
    int32_t blink_at, blink_step; /* steps until the next; position in the table, or -1 */
    int32_t breath;
};

static const int16_t blink_curve[] = {3000,  9000,  17000, 24500, 29500, 32000, 32767, 32767, 32767, 32767, 31000, 28500,
                                      25500, 22000, 18500, 15000, 11500, 8500,  6000,  4000,  2400,  1200,  400,   0};

/* sin over a quarter wave in 16 steps, q15 */
static const int16_t quarter_sine[17] = {0,     3212,  6393,  9512,  12539, 15446, 18204, 20787, 23170,
                                         25329, 27245, 28898, 30273, 31356, 32137, 32609, 32767};

/* 0..ONE over a period of `steps`, lowest at 0. */
static int32_t raised_sine(int32_t at, int32_t steps)
{
    int32_t phase = (int32_t)((int64_t)at * 4096 / steps) - 1024; /* -1024 is the trough; 4096 a full turn */
    int32_t fold = phase < 1024 ? phase : 2048 - phase;           /* -1024..1024 */
    int32_t mag = fold < 0 ? -fold : fold;
    int32_t i = mag >> 6, f = mag & 63;
    int32_t s = i >= 16 ? ONE : quarter_sine[i] + (quarter_sine[i + 1] - quarter_sine[i]) * f / 64;
    return (ONE + (fold < 0 ? -s : s)) / 2;
}

static uint32_t next_random(lw_motion *m)
{
    uint32_t x = m->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return m->random = x;
}

static int32_t between(lw_motion *m, int32_t lo, int32_t hi)
{
    return lo + (int32_t)(next_random(m) % (uint32_t)(hi - lo + 1));
}

static int32_t approach(int32_t x, int32_t target, int32_t rate_q15)
{
    int32_t d = target - x;
    int32_t step = (int32_t)(((int64_t)d * rate_q15) >> 15);
    if (!step) /* the last fraction: always arrive, so that rest is exactly rest */
        step = d > 0 ? 1 : d < 0 ? -1 : 0;
    return x + step;
}

static void spring_step(spring *s)
{
    int32_t d = s->target * 256 - s->x;
    s->v += d / 420 - s->v / 10; /* about 2 s to settle, critically damped */
    s->x += s->v;
}

int lw_motion_open(lw_motion **out, const lw_motion_config *config)
{
    if (!out)
        return LW_EINVAL;
    lw_motion *m = *out = calloc(1, sizeof *m);
    if (!m)
        return LW_ENOMEM;
    m->random = (config ? config->seed : 0) * 2654435761u + 0x9E3779B9u;
    if (!m->random)
        m->random = 1;
    m->blink_step = -1;
    m->blink_at = between(m, 80, 300);
    m->head_x.hold = m->head_y.hold = 1;
    m->gaze_hold = 100;
    m->breath = between(m, 0, BREATH_STEPS - 1);
    return 0;
}

/* The target of closure i, which stays for CLOSURE_STEPS. */
static int32_t hold_closure(lw_motion *m, int i, int32_t target)
{
    if (target > ONE / 2 && (target >= m->closure[i] || !m->closure_hold[i])) {
        m->closure[i] = target;
        m->closure_hold[i] = CLOSURE_STEPS;
    }
    if (!m->closure_hold[i])
        return target;
    m->closure_hold[i]--;
    return target > m->closure[i] ? target : m->closure[i];
}

static void mouth(lw_motion *m, const float *row, lw_pose *pose)
{
    static const int16_t attack[LW_VISEMES] = {22000, 28000, 27000, 20000, 20000, 18000, 19000, 20000,
                                               19000, 18000, 18000, 18000, 18000, 18000, 18000};
    static const int16_t release[LW_VISEMES] = {12000, 12000, 12000, 12000, 12000, 11000, 11000, 11000,
                                                11000, 9500,  9500,  9500,  9500,  9500,  9500};
    int32_t loud = row ? (int32_t)(lw_clamp((int32_t)(row[LW_LOUDNESS] * ONE), 0, ONE)) : 0;
    int32_t jaw = row ? (int32_t)(lw_clamp((int32_t)(row[LW_JAW] * ONE), 0, ONE)) : 0;
    m->loud_fast = approach(m->loud_fast, loud, 11000);
    m->loud_slow = approach(m->loud_slow, loud, 700);
    /* Vowels open with the voice: a calm one to about three quarters, only a loud one all the way. */
    int32_t effort = 14000 + (int32_t)((int64_t)m->loud_fast * 14500 >> 15);
    jaw = (int32_t)(((int64_t)jaw * effort) >> 15);
    m->jaw = approach(m->jaw, jaw, jaw > m->jaw ? 16000 : 9000);
    int32_t closed = 0, others = 0;
    for (int i = 0; i < LW_VISEMES; i++) {
        int closure = i - FIRST_CLOSURE;
        int32_t target = row ? lw_clamp((int32_t)(row[i] * ONE), 0, ONE) : i ? 0 : ONE;
        if (i >= FIRST_VOWEL)
            target = (int32_t)(((int64_t)target * effort) >> 15);
        if (closure >= 0 && closure < CLOSURES)
            target = hold_closure(m, closure, target);
        m->viseme[i] = approach(m->viseme[i], target, target > m->viseme[i] ? attack[i] : release[i]);
        *(closure >= 0 && closure < CLOSURES ? &closed : &others) += m->viseme[i];
    }
    int32_t room = ONE - (closed < ONE ? closed : ONE);
    for (int i = 0; i < LW_VISEMES; i++) {
        int closure = i >= FIRST_CLOSURE && i < FIRST_CLOSURE + CLOSURES;
        int32_t share = closure ? ONE : room, sum = closure ? closed : others;
        pose->viseme[i] = (int16_t)(sum > share ? (int64_t)m->viseme[i] * share / sum : m->viseme[i]);
    }
    pose->loudness = (int16_t)m->loud_fast;
    pose->axis[LW_AXIS_JAW] = (int16_t)(m->jaw < room ? m->jaw : room);
}

static void life(lw_motion *m, int speaking, lw_pose *pose)
{
    if (--m->head_x.hold <= 0) {
        int32_t range = speaking ? 21000 : 9000;
        m->head_x.target = between(m, -range, range);
        m->head_x.hold = speaking ? between(m, 60, 190) : between(m, 220, 520);
    }
    if (--m->head_y.hold <= 0) {
        int32_t range = speaking ? 11000 : 5000;
        m->head_y.target = between(m, -range, range);
        m->head_y.hold = speaking ? between(m, 50, 160) : between(m, 240, 560);
    }
    spring_step(&m->head_x);
    spring_step(&m->head_y);
    int32_t stress = speaking ? lw_clamp(m->loud_fast - m->loud_slow, 0, ONE) : 0;
    m->brow = approach(m->brow, stress + (speaking ? 2500 : 0), 2600);

    if (--m->gaze_hold <= 0) {
        int away = between(m, 0, 99) < (speaking ? 35 : 25);
        m->gaze_to_x = away ? between(m, -20000, 20000) : 0;
        m->gaze_to_y = away ? between(m, -9000, 9000) : 0;
        m->gaze_hold = away ? between(m, 30, 90) : between(m, 120, 360);
    }
    m->gaze_x = approach(m->gaze_x, m->gaze_to_x, 18000);
    m->gaze_y = approach(m->gaze_y, m->gaze_to_y, 18000);

    if (m->blink_step < 0 && --m->blink_at <= 0)
        m->blink_step = 0;
    int32_t blink = 0;
    if (m->blink_step >= 0) {
        blink = blink_curve[m->blink_step++];
        if (m->blink_step == (int32_t)(sizeof blink_curve / sizeof *blink_curve)) {
            m->blink_step = -1;
            m->blink_at = between(m, 220, 600);
        }
    }
    m->breath = (m->breath + 1) % BREATH_STEPS;

    pose->axis[LW_AXIS_HEAD_X] = (int16_t)lw_clamp(m->head_x.x >> 8, -ONE, ONE);
    pose->axis[LW_AXIS_HEAD_Y] = (int16_t)lw_clamp((m->head_y.x >> 8) + stress / 3, -ONE, ONE);
    pose->axis[LW_AXIS_BREATH] = (int16_t)raised_sine(m->breath, BREATH_STEPS);
    pose->axis[LW_AXIS_BLINK] = (int16_t)blink;
    pose->axis[LW_AXIS_GAZE_X] = (int16_t)m->gaze_x;
    pose->axis[LW_AXIS_GAZE_Y] = (int16_t)m->gaze_y;
    pose->axis[LW_AXIS_BROW] = (int16_t)lw_clamp(m->brow, -ONE, ONE);
}

void lw_motion_step(lw_motion *m, const float *row, int speaking, lw_pose *pose)
{
    mouth(m, row, pose);
    life(m, speaking, pose);
}

void lw_motion_close(lw_motion **m)
{
    if (m) {
        free(*m);
        *m = NULL;
    }
}
