/* From viseme rows to a pose: smoothing, blinks, breath, gaze, head life, expressions and gestures. Integer state, q15.
 *
 *   mouth       the mean of the rows around the step, 40 ms to either side, so that shapes flow into each other and are
 *               neither early nor late. Closures (PP, FF) are no mean: they go all the way once they are the likeliest shape,
 *               stay for a frame of video, so that short ones are seen, and have the right of way: the lips set out for them in
 *               time, and other shapes share what they leave
 *   speed       what all this asks for is approached on a straight line in the space of shapes, so far that the mouth's
 *               opening moves by OPENING_STEP, whatever the frame rate: jaws have mass. Only a closure that was not seen
 *               coming is faster
 *   cut off     the shapes of what was shown last shrink alike: a straight way to rest, on which no other shape lies
 *   head        damped springs towards random targets, wider while speaking; stressed syllables nod, phrases begin with
 *               the head and the brows going up and the eyes on the viewer
 *   gaze        saccades: jumps within two steps, mostly back to the viewer; a wide one may take a blink along
 *   blink       80 ms down, 40 ms shut, 140 ms up; every few seconds by state, sometimes twice, and never in the first half
 *               second, which thumbnails show. Lids never come down while the lips close: a blink waits, and one that has
 *               begun turns back
 *   expression  a weight that fades in 300 ms; it moves brows, lids and, where speech leaves room, the mouth
 *   gesture     a motion of the head, or of the arm, added to all this
 *   breath      a sine of 4 s
 *
 * One step is 10 ms. Randomness is a counter-seeded xorshift32, so the same seed and rows give the same poses. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "lipwire/motion.h"

#define ONE 32767
#define BREATH_STEPS 400
#define FIRST_VOWEL 10 /* aa */
#define FIRST_CLOSURE 1 /* PP, FF */
#define CLOSURES 2
#define CLOSURE_STEPS 4 /* how long a closure stays: a frame at 25 a second */
#define CLOSURE_MOST 12 /* how long it may take until it is there, and stays */
#define CLOSURE_WAY 4   /* the least time that lips take to close */
#define CLOSED 31500    /* the least that a closure goes to */
#define BLUR 4          /* rows to either side whose mean is taken */
#define OPENING_STEP 2400 /* q15: 0.3 of the whole opening in 40 ms */
#define CLOSURE_STEP 4000 /* for a closure that was not seen coming */
#define SHAPE_STEP 15000  /* q15: of the way to another shape, however narrow both are */
#define AWAKE 60          /* steps before the first blink */
#define CUT_KEEP 21000  /* q15: what a step leaves of a mouth that was cut off */
#define FADE_STEPS 30
#define UPRIGHT (80 * 256) /* of an axis' ONE * 256: less than anybody sees */
#define TILTS 25           /* of 100 phrases, how many are said with the head tilted */
#define NOD_AFTER 300     /* steps after a gesture in which a listener does not nod by itself */
#define PHRASE_GAP 25     /* steps of quiet that make the next sound the beginning of a phrase */
#define PHRASE_LOUD 4500
#define BLINK_COUNT ((int32_t)(sizeof blink_curve / sizeof *blink_curve))
#define BLINK_SHUT 10     /* steps of the curve until the lids go up again */

enum mode { SPEAKING = LW_STATES, MODES };

typedef struct spring {
    int32_t x, v; /* q15 << 8 */
    int32_t target; /* q15 */
    int32_t hold;   /* steps until the next target */
} spring;

/* What tells the modes apart. Ranges of head and gaze are around a centre; the centre's x and roll go to the `side` that
 * the face has chosen for the occasion. Times in steps. */
typedef struct manner {
    int16_t head_x, head_y, roll;                   /* centre */
    int16_t range_x, range_y, range_roll;
    int16_t hold_least, hold_most;
    int16_t gaze_x, gaze_y;                         /* where the eyes rest */
    int16_t away;                                   /* of 100 looks, how many go elsewhere */
    int16_t brow, lids;                             /* offsets */
    int16_t blink_least, blink_spread;
} manner;

static const manner manners[MODES] = {
    [LW_STATE_IDLE] = {0, 0, 0, 9000, 5000, 0, 220, 520, 0, 0, 25, 0, 0, 200, 400},
    [LW_STATE_LISTENING] = {5000, 2500, 19000, 4000, 3000, 3000, 200, 400, 0, 0, 6, 9000, -1800, 240, 430},
    [LW_STATE_THINKING] = {13000, -9000, -10000, 3000, 3000, 3000, 160, 360, 19000, -21000, 35, -11000, 3200, 330, 470},
    [SPEAKING] = {0, 0, 0, 21000, 9000, 9000, 60, 190, 0, 0, 30, 2500, 0, 160, 380},
};

/* How an expression shows beyond its own axis: brows, lids, and shapes of the mouth at rest. */
typedef struct look {
    int16_t brow, lids, roll;
    int16_t mouth[LW_VISEMES];
} look;

static const look looks[LW_EXPRESSIONS] = {
    [LW_EXPRESSION_HAPPY] = {5000, 1800, 0, {[11] = 9000, [12] = 13000}},  /* E, I: a smile */
    [LW_EXPRESSION_CONCERNED] = {1500, 1200, 6000, {[1] = 15500, [14] = 5000}}, /* PP, U: pressed and narrow */
    [LW_EXPRESSION_SURPRISED] = {24000, -8192, 0, {[10] = 3000, [13] = 14000}}, /* aa, O: parted */
};

static const uint8_t axis_of[LW_EXPRESSIONS] = {0, LW_AXIS_HAPPY, LW_AXIS_CONCERNED, LW_AXIS_SURPRISED};

struct lw_motion {
    uint32_t random;
    int mode, side, state, expression, gesture, gesture_step; /* gesture_step -1: none plays */
    int32_t weight[LW_EXPRESSIONS];
    int32_t viseme[LW_VISEMES];
    int16_t past[BLUR][LW_VISEMES + 1]; /* rows before this step's, newest first: shapes, then the jaw */
    int32_t closure_hold[CLOSURES], closure_wait[CLOSURES]; /* steps that the last one still stays, may still take */
    int32_t jaw, loud_fast, loud_slow;
    int cut;        /* speech was cut off, and there is none yet */
    lw_mouth mouth; /* of the last step */
    int32_t quiet, beat_wait, phrase; /* steps of quiet; steps until the next nod; how much a phrase's beginning shows */
    spring head_x, head_y, roll;
    int32_t beat, added_x, added_y, wave; /* smoothed: nods of stress, gestures */
    int32_t set_x, set_y;                 /* of the gestures, those that were set */
    int32_t gaze_x, gaze_y, gaze_to_x, gaze_to_y, gaze_hold;
    int32_t brow, lids;
    int32_t age;                  /* steps, up to AWAKE */
    int32_t blink_at, blink_step; /* steps until the next; position in the curve, or -1 */
    int32_t nod_at;               /* steps until a listener's small nod */
    int32_t breath;
};

static const int16_t blink_curve[] = {3000,  9000,  17000, 24500, 29500, 32000, 32767, 32767, 32767, 32767, 31000, 28500,
                                      25500, 22000, 18500, 15000, 11500, 8500,  6000,  4000,  2400,  1200,  400,   0};

/* sin over a quarter wave in 16 steps, q15 */
static const int16_t quarter_sine[17] = {0,     3212,  6393,  9512,  12539, 15446, 18204, 20787, 23170,
                                         25329, 27245, 28898, 30273, 31356, 32137, 32609, 32767};

/* q15 of a phase whose full turn is 4096. */
static int32_t sine(int32_t phase)
{
    phase &= 4095;
    int32_t fold = phase < 2048 ? phase : phase - 2048; /* a half wave */
    int32_t rise = fold < 1024 ? fold : 2048 - fold;
    int32_t i = rise >> 6, f = rise & 63;
    int32_t s = i >= 16 ? ONE : quarter_sine[i] + (quarter_sine[i + 1] - quarter_sine[i]) * f / 64;
    return phase < 2048 ? s : -s;
}

static int32_t between(lw_motion *m, int32_t lo, int32_t hi)
{
    return lo + (int32_t)(lw_random_next(&m->random) % (uint32_t)(hi - lo + 1));
}

static int32_t times(int32_t a, int32_t b_q15)
{
    return (int32_t)(((int64_t)a * b_q15) >> 15);
}

static int32_t approach(int32_t x, int32_t target, int32_t rate_q15)
{
    int32_t d = target - x;
    int32_t step = times(d, rate_q15);
    if (!step) /* the last fraction: always arrive, so that rest is exactly rest */
        step = d > 0 ? 1 : d < 0 ? -1 : 0;
    return x + step;
}

static void spring_step(spring *s)
{
    int32_t d = s->target * 256 - s->x;
    s->v += d / 420 - s->v / 10; /* about 2 s to settle, critically damped */
    s->x += s->v;
    if (!s->target && abs(s->x) < UPRIGHT && abs(s->v) < UPRIGHT / 16) /* else it would creep for ever */
        s->x = s->v = 0;
}

static void take_row(const float *row, int16_t out[LW_VISEMES + 1]);

/* ---- open and settings ---- */

int lw_motion_open(lw_motion **out, const lw_motion_config *config)
{
    if (!out)
        return LW_EINVAL;
    lw_motion *m = *out = calloc(1, sizeof *m);
    if (!m)
        return LW_ENOMEM;
    m->random = lw_random_seed(config ? config->seed : 0);
    m->blink_step = m->gesture_step = -1;
    m->blink_at = between(m, 80, 300);
    m->head_x.hold = m->head_y.hold = m->roll.hold = 1;
    m->gaze_hold = 100;
    m->side = 1;
    m->viseme[0] = ONE;
    for (int k = 0; k < BLUR; k++)
        take_row(NULL, m->past[k]);
    m->lids = LW_LIDS_REST;
    m->breath = between(m, 0, BREATH_STEPS - 1);
    return 0;
}

int lw_motion_check(int setting, int value)
{
    static const int values[LW_MOTION_SETTINGS] = {LW_STATES, LW_EXPRESSIONS, LW_GESTURES};
    return setting < 0 || setting >= LW_MOTION_SETTINGS || value < 0 || value >= values[setting] ? LW_EINVAL : 0;
}

int lw_motion_set(lw_motion *m, int setting, int value)
{
    if (!m || lw_motion_check(setting, value) < 0)
        return LW_EINVAL;
    if (setting == LW_MOTION_STATE)
        m->state = value;
    else if (setting == LW_MOTION_EXPRESSION)
        m->expression = value;
    else
        m->gesture = value, m->gesture_step = 0;
    return 0;
}

/* ---- mouth ---- */

/* How far each shape opens the mouth, q15: between the lips, not of the jaw. */
static const int16_t opening_of[LW_VISEMES] = {0,    0,     4260,  8520,  7209,  9830,  7864, 4587,
                                               5243, 7864, 32767, 16384, 7864, 19660, 9175};

static int32_t opening(const int32_t viseme[LW_VISEMES])
{
    int32_t sum = 0;
    for (int i = FIRST_CLOSURE + CLOSURES; i < LW_VISEMES; i++)
        sum += times(viseme[i], opening_of[i]);
    return sum;
}

_Static_assert(LW_JAW == LW_VISEMES, "the jaw is behind the shapes, here and in a row");

/* A row as integers: shapes, then the jaw; NULL is rest. */
static void take_row(const float *row, int16_t out[LW_VISEMES + 1])
{
    static const int16_t rest[LW_VISEMES + 1] = {ONE};
    if (!row)
        memcpy(out, rest, sizeof rest);
    for (int i = 0; row && i <= LW_JAW; i++)
        out[i] = (int16_t)lw_clamp((int32_t)(row[i] * ONE), 0, ONE);
}

static int closes(const int16_t row[LW_VISEMES + 1])
{
    return row[FIRST_CLOSURE] > ONE / 2 || row[FIRST_CLOSURE + 1] > ONE / 2;
}

/* The mean of the rows around this step, which becomes the newest of the past ones; closures, which have a way of their own,
 * have no part in it. Where the coming rows are not known they are as the last one that is. */
static void blur(lw_motion *m, const float *const *rows, int known, int32_t mean[LW_VISEMES + 1])
{
    int16_t around[2 * BLUR + 1][LW_VISEMES + 1];
    int32_t count = 0;
    memcpy(around, m->past, sizeof m->past);
    for (int k = 0; k <= BLUR; k++)
        take_row(rows[k < known ? k : known - 1], around[BLUR + k]);
    memset(mean, 0, (LW_VISEMES + 1) * sizeof *mean);
    for (int k = 0; k <= 2 * BLUR; k++) {
        if (closes(around[k]))
            continue;
        count++;
        for (int i = 0; i <= LW_VISEMES; i++)
            mean[i] += around[k][i];
    }
    for (int i = 0; count && i <= LW_VISEMES; i++)
        mean[i] /= count;
    memmove(m->past[1], m->past[0], sizeof m->past - sizeof m->past[0]);
    memcpy(m->past[0], around[BLUR], sizeof m->past[0]);
}

/* How far closure i is to go: all the way while it is the likeliest shape, and until it has been there for CLOSURE_STEPS; on the
 * way to one that comes, so far that the mouth's opening is closed evenly. */
static int32_t closure_target(lw_motion *m, int i, const float *const *rows, int known, int32_t open)
{
    int shape = FIRST_CLOSURE + i;
    int32_t way = open / OPENING_STEP + 2, target = 0;
    way = way > CLOSURE_WAY ? way : CLOSURE_WAY;
    int now = rows[0] && rows[0][shape] > 0.5f;
    if (now && !m->closure_wait[i]) {
        m->closure_hold[i] = CLOSURE_STEPS;
        m->closure_wait[i] = CLOSURE_MOST;
    }
    m->closure_wait[i] -= m->closure_wait[i] > now;
    m->closure_hold[i] -= m->closure_hold[i] && m->viseme[shape] > CLOSED - ONE / 8;
    if (now || (m->closure_hold[i] && m->closure_wait[i]))
        return CLOSED;
    m->closure_hold[i] = m->closure_wait[i] = 0;
    for (int k = 1; k < known && k <= way; k++)
        if (rows[k] && rows[k][shape] > 0.5f) {
            int32_t there = (int32_t)((int64_t)CLOSED * (way + 1 - k) / way); /* a step early: the mouth lags by one */
            target = there > target ? there : target;
        }
    return target;
}

/* Moves on towards the target: of the straight way there, as much as the opening's speed allows. */
static void move_mouth(lw_motion *m, const int32_t target[LW_VISEMES], int32_t jaw, int32_t speed)
{
    int32_t far = abs(opening(target) - opening(m->viseme)), share = SHAPE_STEP;
    if (speed > OPENING_STEP)
        share = ONE;
    if (times(far, share) > speed)
        share = (int32_t)((int64_t)speed * ONE / far);
    int32_t rest = ONE, most = FIRST_VOWEL;
    for (int i = 1; i < LW_VISEMES; i++) {
        m->viseme[i] = approach(m->viseme[i], target[i], share);
        rest -= m->viseme[i];
        most = m->viseme[i] > m->viseme[most] ? i : most;
    }
    m->viseme[most] += rest < 0 ? rest : 0; /* what rounding adds */
    m->viseme[0] = rest < 0 ? 0 : rest;
    m->jaw += lw_clamp(jaw - m->jaw, -speed, speed);
}

/* An expression's mouth in the room that the shapes of speech leave. */
static void add_expressions(const lw_motion *m, lw_pose *pose)
{
    int32_t used = 0;
    for (int i = 1; i < LW_VISEMES; i++)
        used += pose->viseme[i];
    int32_t room = ONE - used, added = 0;
    for (int e = 1; e < LW_EXPRESSIONS; e++)
        for (int i = 1; m->weight[e] && i < LW_VISEMES; i++) {
            int32_t more = times(times(looks[e].mouth[i], m->weight[e]), room);
            pose->viseme[i] = (int16_t)(pose->viseme[i] + more);
            added += more;
        }
    if (pose->viseme[0] > room - added)
        pose->viseme[0] = (int16_t)(room - added);
}

/* The way back from add_expressions: what is left to rest, and which share of the room the expressions took, say how much
 * room there was. */
void lw_motion_said(const lw_pose *pose, int16_t said[LW_VISEMES])
{
    int32_t share[LW_VISEMES] = {0}, shares = 0, left = ONE, rest = ONE;
    for (int e = 1; e < LW_EXPRESSIONS; e++)
        for (int i = 1; pose->axis[axis_of[e]] > 0 && i < LW_VISEMES; i++)
            share[i] += times(looks[e].mouth[i], pose->axis[axis_of[e]]);
    for (int i = 1; i < LW_VISEMES; i++) {
        shares += share[i];
        left -= pose->viseme[i];
    }
    int32_t room = shares >= ONE ? 0 : lw_clamp((int32_t)((int64_t)left * ONE / (ONE - shares)), 0, ONE);
    for (int i = 1; i < LW_VISEMES; i++) {
        said[i] = (int16_t)lw_clamp(pose->viseme[i] - times(share[i], room), 0, ONE);
        rest -= said[i];
    }
    said[0] = (int16_t)lw_clamp(rest, 0, ONE);
}

/* One step of the way to rest of a mouth that was cut off. */
static void close_mouth(lw_motion *m)
{
    int32_t open = opening(m->viseme), keep = CUT_KEEP;
    if (times(open, ONE - keep) > OPENING_STEP)
        keep = ONE - (int32_t)((int64_t)OPENING_STEP * ONE / open);
    m->viseme[0] = ONE;
    for (int i = 1; i < LW_VISEMES; i++) {
        m->viseme[i] = times(m->viseme[i], keep);
        m->viseme[0] -= m->viseme[i];
    }
    int32_t jaw = times(m->jaw, keep);
    m->jaw = jaw > m->jaw - OPENING_STEP ? jaw : m->jaw - OPENING_STEP;
    m->loud_fast = times(m->loud_fast, CUT_KEEP);
    m->loud_slow = approach(m->loud_slow, 0, 700);
}

/* Returns whether the lips close. */
static int speak(lw_motion *m, const float *const *rows, int known)
{
    int32_t target[LW_VISEMES + 1], closed = 0;
    int32_t loud = rows[0] ? lw_clamp((int32_t)(rows[0][LW_LOUDNESS] * ONE), 0, ONE) : 0;
    m->loud_fast = approach(m->loud_fast, loud, 11000);
    m->loud_slow = approach(m->loud_slow, loud, 700);
    blur(m, rows, known, target);
    /* Vowels open with the voice: a calm one to about three quarters, only a loud one all the way. */
    int32_t effort = 14000 + times(m->loud_fast, 14500), open = 0;
    for (int i = FIRST_VOWEL; i <= LW_VISEMES; i++)
        target[i] = times(target[i], effort);
    open = opening(target);
    int shut = 0, closing = 0;
    for (int i = 0; i < CLOSURES; i++) {
        int shape = FIRST_CLOSURE + i;
        int32_t to = closure_target(m, i, rows, known, open);
        shut |= m->closure_wait[i] > 0;
        to = to > target[shape] ? to : target[shape];
        target[shape] = to < ONE - closed ? to : ONE - closed;
        closed += target[shape];
    }
    for (int i = 0; i <= LW_VISEMES; i++)
        if (i < FIRST_CLOSURE || i >= FIRST_CLOSURE + CLOSURES)
            target[i] = times(target[i], ONE - closed);
    move_mouth(m, target, target[LW_VISEMES], shut ? CLOSURE_STEP : OPENING_STEP);
    for (int i = FIRST_CLOSURE; i < FIRST_CLOSURE + CLOSURES; i++)
        closing |= target[i] > ONE / 2 || m->viseme[i] > ONE / 2;
    return closing;
}

/* Returns whether the lips close. */
static int mouth(lw_motion *m, const float *const *rows, int known, int speaking, lw_pose *pose)
{
    int closing = 0;
    m->cut &= !speaking;
    if (m->cut)
        close_mouth(m);
    else
        closing = speak(m, rows, known);
    for (int i = 0; i < LW_VISEMES; i++)
        pose->viseme[i] = (int16_t)m->viseme[i];
    pose->axis[LW_AXIS_JAW] = (int16_t)m->jaw;
    pose->loudness = (int16_t)m->loud_fast;
    memcpy(m->mouth.viseme, pose->viseme, sizeof m->mouth.viseme);
    m->mouth.jaw = pose->axis[LW_AXIS_JAW];
    m->mouth.loudness = pose->loudness;
    add_expressions(m, pose);
    return closing;
}

void lw_motion_mouth(const lw_motion *m, lw_mouth *mouth)
{
    *mouth = m->mouth;
}

void lw_motion_cut(lw_motion *m, const lw_mouth *shown)
{
    for (int i = 0; i < LW_VISEMES; i++)
        m->viseme[i] = shown->viseme[i];
    m->jaw = shown->jaw;
    m->loud_fast = shown->loudness;
    memset(m->closure_hold, 0, sizeof m->closure_hold);
    for (int k = 0; k < BLUR; k++)
        take_row(NULL, m->past[k]);
    m->cut = 1;
}

/* ---- the rest of the face ---- */

static void fade_expressions(lw_motion *m, lw_pose *pose)
{
    for (int e = 1; e < LW_EXPRESSIONS; e++) {
        int32_t to = e == m->expression ? ONE : 0, step = ONE / FADE_STEPS + 1;
        m->weight[e] += lw_clamp(to - m->weight[e], -step, step);
        pose->axis[axis_of[e]] = (int16_t)m->weight[e];
    }
}

/* Sum of an offset over the expressions, each at its weight. */
#define OF_EXPRESSION(m, field)                                                                                        \
    (times(looks[1].field, (m)->weight[1]) + times(looks[2].field, (m)->weight[2]) +                                   \
     times(looks[3].field, (m)->weight[3]))

static void look_at(lw_motion *m, int32_t x, int32_t y, int32_t hold)
{
    int32_t far = abs(x - m->gaze_to_x) + abs(y - m->gaze_to_y);
    m->gaze_to_x = x;
    m->gaze_to_y = y;
    m->gaze_hold = hold;
    if (far > 16000 && m->blink_step < 0 && between(m, 0, 99) < 30)
        m->blink_at = 1;
}

static void enter(lw_motion *m, int mode)
{
    m->mode = mode;
    m->side = between(m, 0, 1) ? 1 : -1;
    m->head_x.hold = m->head_y.hold = m->roll.hold = m->gaze_hold = 0;
    m->nod_at = between(m, 120, 300);
}

/* Who speaks holds the head upright or tilts it for a phrase; a head that is upright is also the cheaper to draw. */
static void tilt(lw_motion *m)
{
    int32_t range = manners[SPEAKING].range_roll;
    m->roll.target = between(m, 0, 99) < TILTS ? between(m, -range, range) : 0;
    m->roll.hold = between(m, 400, 800);
}

/* Stress nods, a phrase begins with head and brows up. Returns how stressed this moment is. */
static int32_t prosody(lw_motion *m)
{
    int32_t stress = m->mode == SPEAKING ? lw_clamp(m->loud_fast - m->loud_slow, 0, ONE) : 0;
    m->quiet += m->loud_fast < PHRASE_LOUD && m->quiet < PHRASE_GAP;
    if (m->mode == SPEAKING && m->loud_fast >= PHRASE_LOUD) {
        if (m->quiet >= PHRASE_GAP) {
            m->phrase = ONE;
            m->head_x.hold = 0;
            tilt(m);
            look_at(m, 0, 0, between(m, 80, 200));
        }
        m->quiet = 0;
    }
    m->phrase = approach(m->phrase, 0, 700);
    m->beat_wait -= m->beat_wait > 0;
    if (stress > 5000 && !m->beat_wait) {
        m->head_y.v += lw_clamp(stress, 0, 16000) * 12; /* a push that the spring gives back */
        m->beat_wait = between(m, 28, 60);
    }
    m->beat = approach(m->beat, stress / 4 - times(m->phrase, 6500), 3600);
    return stress;
}

static void head(lw_motion *m)
{
    const manner *k = &manners[m->mode];
    struct {
        spring *s;
        int32_t centre, range;
    } parts[] = {{&m->head_x, m->side * k->head_x, k->range_x},
                 {&m->head_y, k->head_y, k->range_y},
                 {&m->roll, m->side * k->roll, k->range_roll}};
    for (int i = 0; i < 3; i++) {
        spring *s = parts[i].s;
        if (--s->hold <= 0 && s == &m->roll && m->mode == SPEAKING) {
            tilt(m);
        } else if (s->hold <= 0) {
            s->target = parts[i].centre + between(m, -parts[i].range, parts[i].range);
            s->hold = between(m, k->hold_least, k->hold_most);
        }
        spring_step(s);
    }
}

static void gaze(lw_motion *m)
{
    const manner *k = &manners[m->mode];
    if (--m->gaze_hold <= 0) {
        int away = between(m, 0, 99) < k->away;
        int32_t x = m->side * k->gaze_x + (away ? between(m, -18000, 18000) : 0);
        int32_t y = k->gaze_y + (away ? between(m, -9000, 9000) : 0);
        look_at(m, lw_clamp(x, -ONE, ONE), lw_clamp(y, -ONE, ONE), away ? between(m, 30, 90) : between(m, 120, 360));
    }
    m->gaze_x = approach(m->gaze_x, m->gaze_to_x, 18000);
    m->gaze_y = approach(m->gaze_y, m->gaze_to_y, 18000);
}

/* How far the lids are shut by the blink alone. `closing`: the lips close. */
static int32_t blink(lw_motion *m, int closing)
{
    const manner *k = &manners[m->mode];
    if (m->blink_step < 0) {
        m->blink_at -= m->blink_at > 0;
        if (m->blink_at || closing || m->age < AWAKE)
            return 0;
        m->blink_step = 0;
    } else if (closing && m->blink_step < BLINK_SHUT) { /* turn back from where the lids are */
        int32_t now = blink_curve[m->blink_step - (m->blink_step > 0)];
        for (m->blink_step = BLINK_SHUT; blink_curve[m->blink_step] > now;)
            m->blink_step++;
    }
    int32_t shut = blink_curve[m->blink_step++];
    if (m->blink_step >= BLINK_COUNT) {
        /* The sum of two uniform numbers leans to the middle, as people's intervals do; one in eight comes as a pair. */
        int32_t half = k->blink_spread / 2;
        m->blink_at = between(m, 0, 7) ? k->blink_least + between(m, 0, half) + between(m, 0, half) : between(m, 6, 16);
        m->blink_step = -1;
    }
    return shut;
}

/* A swing of `cycles` in q12 turns over `steps`, that swells and dies away. */
static int32_t swing(int32_t at, int32_t steps, int32_t cycles_q12)
{
    int32_t envelope = sine(at * 2048 / steps);
    return times(sine(at * cycles_q12 / steps), envelope);
}

static void gesture(lw_motion *m)
{
    static const int16_t length[LW_GESTURES] = {90, 110, 240, 44};
    int32_t x = 0, y = 0, wave = 0, at = m->gesture_step;
    if (at >= 0) {
        if (m->gesture == LW_GESTURE_NOD)
            y = swing(at, length[0], 2 * 4096);
        else if (m->gesture == LW_GESTURE_SHAKE)
            x = swing(at, length[1], 5 * 2048);
        else if (m->gesture == LW_GESTURE_BEAT)
            y = times(swing(at, length[3], 2048), 13000);
        else
            wave = at < 30 ? 22000 : at < 200 ? 22900 + 9800 * sine((at - 30) * 4096 / 42) / ONE : 0;
        m->gesture_step = at + 1 < length[m->gesture] ? at + 1 : -1;
        m->nod_at = m->nod_at > NOD_AFTER ? m->nod_at : NOD_AFTER;
    } else if (m->mode == LW_STATE_LISTENING && --m->nod_at <= 0) { /* "go on" */
        if (m->nod_at > -60)
            y = times(swing(-m->nod_at, 60, 4096), 14000);
        else
            m->nod_at = between(m, 250, 600);
    }
    m->added_x = approach(m->added_x, x, 11000);
    m->added_y = approach(m->added_y, y, 11000);
    m->set_x = approach(m->set_x, x, 11000);
    m->set_y = approach(m->set_y, at >= 0 ? y : 0, 11000);
    m->wave = approach(m->wave, wave, 4600);
}

static int16_t signed_axis(int32_t value)
{
    return (int16_t)lw_clamp(value, -ONE, ONE);
}

int lw_motion_added(const lw_motion *m, int16_t added[3])
{
    added[0] = signed_axis(m->set_x);
    added[1] = signed_axis(m->set_y);
    added[2] = signed_axis(OF_EXPRESSION(m, roll));
    return added[0] || added[1] || added[2];
}

void lw_motion_step(lw_motion *m, const float *const *rows, int known, int speaking, lw_pose *pose)
{
    int mode = speaking ? SPEAKING : m->state;
    fade_expressions(m, pose);
    int closing = mouth(m, rows, known, speaking, pose);
    m->age += m->age < AWAKE;
    if (mode != m->mode)
        enter(m, mode);
    int32_t stress = prosody(m);
    head(m);
    gaze(m);
    gesture(m);
    const manner *k = &manners[m->mode];
    m->brow = approach(m->brow, stress + k->brow + times(m->phrase, 9000), 2600);
    m->lids = approach(m->lids, LW_LIDS_REST + k->lids, 2600);
    int32_t shut = blink(m, closing);
    int32_t lids = lw_clamp(m->lids + OF_EXPRESSION(m, lids), 0, ONE);
    m->breath = (m->breath + 1) % BREATH_STEPS;

    pose->axis[LW_AXIS_HEAD_X] = signed_axis((m->head_x.x >> 8) + m->added_x);
    pose->axis[LW_AXIS_HEAD_Y] = signed_axis((m->head_y.x >> 8) + m->beat + m->added_y);
    pose->axis[LW_AXIS_HEAD_ROLL] = signed_axis((m->roll.x >> 8) + OF_EXPRESSION(m, roll));
    pose->axis[LW_AXIS_BREATH] = (int16_t)((ONE + sine(m->breath * 4096 / BREATH_STEPS - 1024)) / 2);
    pose->axis[LW_AXIS_BLINK] = (int16_t)shut;
    pose->axis[LW_AXIS_LIDS] = (int16_t)(lids + times(ONE - lids, shut + (shut == ONE)));
    pose->axis[LW_AXIS_GAZE_X] = (int16_t)m->gaze_x;
    pose->axis[LW_AXIS_GAZE_Y] = (int16_t)m->gaze_y;
    pose->axis[LW_AXIS_BROW] = signed_axis(m->brow + OF_EXPRESSION(m, brow));
    pose->axis[LW_AXIS_WAVE] = (int16_t)m->wave;
    pose->axis[LW_AXIS_HEAD_TURN] = (int16_t)((pose->axis[LW_AXIS_HEAD_X] + ONE) / 2);
}

void lw_motion_prefetch(const lw_motion *m)
{
    lw_prefetch(m, sizeof *m);
}

void lw_motion_close(lw_motion **m)
{
    if (m) {
        free(*m);
        *m = NULL;
    }
}
