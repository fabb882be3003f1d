/* A pose as ARKit's blendshapes.
 *
 *   mouth     each viseme has a place of its own: shares of a few parts (jaw, lips, tongue), which are summed by weight. The
 *             weights are those of motion.c, where shapes flow into each other and closures go all the way
 *   closures  while PP is shown mouthClose follows jawOpen, so that the lips meet wherever the jaw is, and what parts the
 *             lips goes; they are pressed, and rolled in a little. While FF is, the lower lip is rolled in, under the teeth of an
 *             upper lip that stays up
 *   rounding  funnel and pucker take the width: corners that smile or are stretched come in
 *   feelings  expressions move corners, cheeks, brows and lids, the mouth in the room that speech leaves
 *   emphasis  brows go up with stress and phrases (motion.c); cheeks tense with what the brows do while something is said
 *   eyes      gaze, less most of what the head turns, so that they stay on the viewer; lids and their blinks */
#include "common.h"
#include "lipwire/face.h"

#define ONE 32767
#define SHUT 31000 /* q15: of PP or FF; motion.c shows at least so much of one that has arrived */
#define HARDLY 4096 /* q15: less than that of all shapes together says nothing */

enum part {
    JAW,
    FORWARD,
    LOWER,
    UPPER,
    STRETCH,
    SMILE,
    DIMPLE,
    FUNNEL,
    PUCKER,
    PRESS,
    ROLL_LOWER,
    ROLL_UPPER,
    SHRUG,
    TONGUE,
    PARTS
};

/* Per cent of each part in each viseme at full weight. */
static const int8_t places[LW_VISEMES][PARTS] = {
    [1] = {[JAW] = 6, [PRESS] = 48, [ROLL_LOWER] = 24, [ROLL_UPPER] = 20, [SHRUG] = 8},            /* PP */
    [2] = {[JAW] = 8, [ROLL_LOWER] = 58, [UPPER] = 24, [SHRUG] = 22, [STRETCH] = 6},               /* FF */
    [3] = {[JAW] = 15, [TONGUE] = 32, [LOWER] = 24, [UPPER] = 14},                                 /* TH */
    [4] = {[JAW] = 12, [LOWER] = 24, [UPPER] = 12, [STRETCH] = 10},                                /* DD */
    [5] = {[JAW] = 18, [LOWER] = 20, [UPPER] = 12, [STRETCH] = 6},                                 /* kk */
    [6] = {[JAW] = 9, [FORWARD] = 14, [FUNNEL] = 46, [PUCKER] = 18, [LOWER] = 22, [UPPER] = 18},   /* CH */
    [7] = {[JAW] = 5, [FORWARD] = 8, [STRETCH] = 30, [LOWER] = 30, [UPPER] = 20, [DIMPLE] = 8},    /* SS */
    [8] = {[JAW] = 13, [LOWER] = 22, [UPPER] = 10, [STRETCH] = 8},                                 /* nn */
    [9] = {[JAW] = 12, [FUNNEL] = 32, [PUCKER] = 22, [LOWER] = 12, [UPPER] = 8},                   /* RR */
    [10] = {[JAW] = 74, [LOWER] = 32, [UPPER] = 20, [STRETCH] = 8},                                /* aa */
    [11] = {[JAW] = 38, [LOWER] = 32, [UPPER] = 18, [STRETCH] = 24, [SMILE] = 14, [DIMPLE] = 8},   /* E */
    [12] = {[JAW] = 20, [LOWER] = 28, [UPPER] = 14, [STRETCH] = 30, [SMILE] = 20, [DIMPLE] = 12},  /* I */
    [13] = {[JAW] = 46, [FUNNEL] = 58, [PUCKER] = 20, [LOWER] = 10},                               /* O */
    [14] = {[JAW] = 20, [FUNNEL] = 26, [PUCKER] = 72},                                             /* U */
};

/* Microsoft's table of ids has them by phoneme; each viseme of OVR has the id of its phonemes, or of most of them. */
static const uint8_t azure[LW_VISEMES] = {0, 21, 18, 17, 19, 20, 16, 15, 19, 13, 2, 4, 6, 8, 7};

static const char *const names[LW_FACE_SHAPES] = {
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut"};

const char *lw_face_name(int shape)
{
    return shape >= 0 && shape < LW_FACE_SHAPES ? names[shape] : NULL;
}

static int32_t percent(int32_t x, int32_t of)
{
    return x * of / 100;
}

static int32_t times(int32_t a, int32_t b)
{
    return a * b / ONE;
}

/* What is left where `taken` is: q15. */
static int32_t less(int32_t x, int32_t taken)
{
    return times(x, ONE - lw_clamp(taken, 0, ONE));
}

static int32_t positive(int32_t x)
{
    return x > 0 ? x : 0;
}

static void put(lw_face *face, int shape, int32_t value)
{
    face->shape[shape] = (int16_t)lw_clamp(value, 0, ONE);
}

/* The left one and the right one, which is behind it. */
static void put_pair(lw_face *face, int left, int32_t value)
{
    put(face, left, value);
    put(face, left + 1, value);
}

/* Of a closure how much has arrived, q15. */
static int32_t arrived(int32_t weight)
{
    return weight >= SHUT ? ONE : weight * ONE / SHUT;
}

/* What the mouth does. Returns how much it smiles. */
static int32_t mouth(const lw_pose *pose, const int16_t said[LW_VISEMES], lw_face *face)
{
    int32_t part[PARTS] = {0}, room = said[0];
    for (int i = 1; i < LW_VISEMES; i++)
        for (int k = 0; said[i] && k < PARTS; k++)
            part[k] += said[i] * places[i][k];
    for (int k = 0; k < PARTS; k++)
        part[k] = lw_clamp(part[k] / 100, 0, ONE);
    int32_t shut = arrived(said[1]), tucked = arrived(said[2]);
    int32_t happy = pose->axis[LW_AXIS_HAPPY], concerned = pose->axis[LW_AXIS_CONCERNED];
    int32_t surprised = times(pose->axis[LW_AXIS_SURPRISED], room);
    int32_t jaw = part[JAW] + percent(surprised, 20), round = part[FUNNEL] + part[PUCKER];
    int32_t smile = less(part[SMILE] + percent(happy, 56), percent(round, 75));
    put(face, LW_FACE_JAW_OPEN, jaw);
    put(face, LW_FACE_MOUTH_CLOSE, times(jaw, lw_clamp(shut + percent(tucked, 50), 0, ONE)));
    put(face, LW_FACE_JAW_FORWARD, part[FORWARD]);
    put_pair(face, LW_FACE_MOUTH_LOWER_DOWN_LEFT, less(less(part[LOWER], shut), tucked));
    put_pair(face, LW_FACE_MOUTH_UPPER_UP_LEFT, less(part[UPPER], shut));
    put_pair(face, LW_FACE_MOUTH_STRETCH_LEFT, less(part[STRETCH], percent(round, 75)));
    put_pair(face, LW_FACE_MOUTH_SMILE_LEFT, smile);
    put_pair(face, LW_FACE_MOUTH_DIMPLE_LEFT, part[DIMPLE] + percent(happy, 12));
    put(face, LW_FACE_MOUTH_FUNNEL, less(part[FUNNEL] + percent(surprised, 16), shut));
    put(face, LW_FACE_MOUTH_PUCKER, part[PUCKER]);
    put_pair(face, LW_FACE_MOUTH_PRESS_LEFT, part[PRESS] + percent(times(concerned, room), 26));
    put(face, LW_FACE_MOUTH_ROLL_LOWER, part[ROLL_LOWER]);
    put(face, LW_FACE_MOUTH_ROLL_UPPER, part[ROLL_UPPER]);
    put(face, LW_FACE_MOUTH_SHRUG_LOWER, part[SHRUG] + percent(times(concerned, room), 18));
    put_pair(face, LW_FACE_MOUTH_FROWN_LEFT, percent(less(concerned, percent(round, 50)), 42));
    put(face, LW_FACE_TONGUE_OUT, part[TONGUE]);
    put(face, LW_FACE_CHEEK_PUFF, percent(times(shut, pose->loudness), 14));
    return smile;
}

static void brows(const lw_pose *pose, int32_t smile, lw_face *face)
{
    int32_t brow = pose->axis[LW_AXIS_BROW], up = positive(brow), down = positive(-brow);
    int32_t concerned = pose->axis[LW_AXIS_CONCERNED], happy = pose->axis[LW_AXIS_HAPPY];
    put_pair(face, LW_FACE_BROW_DOWN_LEFT, percent(down, 90) + percent(concerned, 22));
    put(face, LW_FACE_BROW_INNER_UP, percent(up, 75) + percent(concerned, 58));
    put_pair(face, LW_FACE_BROW_OUTER_UP_LEFT, percent(up, 80));
    put_pair(face, LW_FACE_CHEEK_SQUINT_LEFT, percent(smile, 60) + percent(times(up, pose->loudness), 40));
    put_pair(face, LW_FACE_EYE_SQUINT_LEFT, percent(happy, 34) + percent(down, 35));
}

static void eyes(const lw_pose *pose, lw_face *face)
{
    int32_t x = percent(pose->axis[LW_AXIS_GAZE_X], 55) - percent(pose->axis[LW_AXIS_HEAD_X], 40);
    int32_t y = percent(pose->axis[LW_AXIS_GAZE_Y], 45) - percent(pose->axis[LW_AXIS_HEAD_Y], 30);
    int32_t lids = pose->axis[LW_AXIS_LIDS];
    put_pair(face, LW_FACE_EYE_BLINK_LEFT, positive(lids - LW_LIDS_REST) * ONE / (ONE - LW_LIDS_REST));
    put_pair(face, LW_FACE_EYE_WIDE_LEFT, percent(positive(LW_LIDS_REST - lids) * ONE / LW_LIDS_REST, 70));
    put(face, LW_FACE_EYE_LOOK_OUT_LEFT, x);
    put(face, LW_FACE_EYE_LOOK_IN_RIGHT, x);
    put(face, LW_FACE_EYE_LOOK_IN_LEFT, -x);
    put(face, LW_FACE_EYE_LOOK_OUT_RIGHT, -x);
    put_pair(face, LW_FACE_EYE_LOOK_DOWN_LEFT, y);
    put_pair(face, LW_FACE_EYE_LOOK_UP_LEFT, -y);
}

/* Full deflections: a turn of 20 degrees, a nod of 15, a tilt of 12. */
static void angles(const lw_pose *pose, lw_face *face)
{
    static const int32_t most[3] = {524, 698, -419};
    static const uint8_t axis[3] = {LW_AXIS_HEAD_Y, LW_AXIS_HEAD_X, LW_AXIS_HEAD_ROLL};
    for (int i = 0; i < 3; i++)
        face->angle[i] = (int16_t)(pose->axis[axis[i]] * most[i] / ONE);
    face->angle[LW_FACE_LEFT_EYE_ROLL] = face->angle[LW_FACE_RIGHT_EYE_ROLL] = (int16_t)(-face->angle[LW_FACE_ROLL] / 8);
}

void lw_face_of(const lw_pose *pose, lw_face *face)
{
    int16_t said[LW_VISEMES];
    lw_motion_said(pose, said);
    *face = (lw_face){0};
    brows(pose, mouth(pose, said, face), face);
    eyes(pose, face);
    angles(pose, face);
}

int lw_face_azure(const int16_t said[LW_VISEMES])
{
    int most = 1, sum = 0;
    for (int i = 1; i < LW_VISEMES; i++) {
        sum += said[i];
        most = said[i] > said[most] ? i : most;
    }
    return sum < HARDLY ? 0 : azure[most];
}
