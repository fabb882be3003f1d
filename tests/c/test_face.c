/* Poses as ARKit names them: lips that meet, sides that belong together, and numbers in their range. */
#include "check.h"
#include "lipwire/lipwire.h"

static lw_pose at_rest(void)
{
    lw_pose pose = {.axis[LW_AXIS_LIDS] = LW_LIDS_REST, .viseme[0] = 32767};
    return pose;
}

/* A pose that says `viseme`, at weight, and the rest of it `other`. */
static lw_face says(int viseme, int weight, int other)
{
    lw_pose pose = at_rest();
    pose.viseme[0] = 0;
    pose.viseme[viseme] = (int16_t)weight;
    pose.viseme[other] = (int16_t)(pose.viseme[other] + 32767 - weight);
    pose.loudness = 12000;
    lw_face face;
    lw_face_of(&pose, &face);
    return face;
}

static int gap(const lw_face *f)
{
    return f->shape[LW_FACE_JAW_OPEN] - f->shape[LW_FACE_MOUTH_CLOSE] + f->shape[LW_FACE_MOUTH_LOWER_DOWN_LEFT] +
           f->shape[LW_FACE_MOUTH_UPPER_UP_LEFT] + f->shape[LW_FACE_MOUTH_FUNNEL];
}

static void test_mouth(void)
{
    lw_pose pose = at_rest();
    lw_face face, shut;
    lw_face_of(&pose, &face);
    int moved = 0;
    for (int i = 0; i < LW_FACE_SHAPES; i++)
        moved |= face.shape[i];
    CHECK(!moved, "a face at rest is ARKit's neutral one");
    for (int other = 0; other < LW_VISEMES; other++) {
        shut = says(1, 31500, other == 1 ? 0 : other); /* as much as motion.c shows of it */
        CHECK(shut.shape[LW_FACE_JAW_OPEN] == shut.shape[LW_FACE_MOUTH_CLOSE] && gap(&shut) == 0, "PP: the lips meet");
        CHECK(shut.shape[LW_FACE_MOUTH_PRESS_LEFT] > 12000 && shut.shape[LW_FACE_MOUTH_ROLL_LOWER] > 6000, "and are pressed");
    }
    for (int weight = 0, before = 1 << 20; weight <= 31500; weight += 500) { /* on the way from an open vowel */
        face = says(1, weight, 10);
        CHECK(gap(&face) <= before, "a closure closes evenly");
        before = gap(&face);
    }
    face = says(2, 32767, 10);
    CHECK(face.shape[LW_FACE_MOUTH_ROLL_LOWER] > 15000 && face.shape[LW_FACE_MOUTH_UPPER_UP_LEFT] > 6000 &&
              !face.shape[LW_FACE_MOUTH_LOWER_DOWN_LEFT], "FF: the lower lip is under the upper teeth");
    for (int i = 1; i < LW_VISEMES; i++) {
        face = says(i, 32767, 0);
        CHECK((face.shape[LW_FACE_TONGUE_OUT] > 0) == (i == 3), "TH has the tongue out, and nothing else has");
        CHECK(i == 10 || face.shape[LW_FACE_JAW_OPEN] < says(10, 32767, 0).shape[LW_FACE_JAW_OPEN], "aa is the widest");
        CHECK((face.shape[LW_FACE_MOUTH_FUNNEL] + face.shape[LW_FACE_MOUTH_PUCKER] > 10000) == (i == 6 || i == 9 || i >= 13),
              "rounded are CH RR O U");
    }
}

/* An expression takes nothing of what is said, and its own mouth is not taken for speech. */
static void test_expressions(void)
{
    int16_t said[LW_VISEMES];
    lw_motion *m;
    lw_pose pose;
    float row[LW_CHANNELS] = {0.2f};
    const float *rows[1] = {row};
    row[10] = row[LW_JAW] = 0.8f;
    row[LW_LOUDNESS] = 0.7f;
    for (int expression = 1; expression < LW_EXPRESSIONS; expression++)
        for (int speaking = 0; speaking < 2; speaking++) {
            int16_t plain[LW_VISEMES] = {0};
            for (int e = 0; e < 2; e++) {
                const float *rest = NULL;
                if (lw_motion_open(&m, &(lw_motion_config){.seed = 1}) < 0)
                    exit(1);
                lw_motion_set(m, LW_MOTION_EXPRESSION, e * expression);
                for (int i = 0; i < 60; i++)
                    lw_motion_step(m, speaking ? rows : &rest, 1, speaking, &pose);
                lw_motion_close(&m);
                lw_motion_said(&pose, said);
                if (!e)
                    memcpy(plain, said, sizeof plain);
            }
            int far = 0, sum = 0;
            for (int i = 0; i < LW_VISEMES; i++) {
                far = abs(said[i] - plain[i]) > far ? abs(said[i] - plain[i]) : far;
                sum += said[i];
            }
            CHECK(far < 40 && abs(sum - 32767) < 40, "what is said is what was said without it");
            CHECK(speaking || lw_face_azure(said) == 0, "a smile says nothing");
            CHECK(!speaking || lw_face_azure(said) == 2, "aa is Azure's 2");
            lw_face face;
            lw_face_of(&pose, &face);
            static const int shows[LW_EXPRESSIONS] = {0, LW_FACE_MOUTH_SMILE_LEFT, LW_FACE_MOUTH_FROWN_RIGHT,
                                                      LW_FACE_BROW_OUTER_UP_LEFT};
            CHECK(face.shape[shows[expression]] > 9000, "it shows");
            CHECK(expression != LW_EXPRESSION_HAPPY ||
                      (face.shape[LW_FACE_CHEEK_SQUINT_LEFT] > 8000 && face.shape[LW_FACE_EYE_SQUINT_LEFT] > 8000),
                  "who smiles does with cheeks and eyes");
            CHECK(expression != LW_EXPRESSION_SURPRISED || face.shape[LW_FACE_EYE_WIDE_LEFT] > 12000, "eyes wide");
        }
}

static void test_eyes_and_head(void)
{
    static const int axes[4] = {LW_AXIS_GAZE_X, LW_AXIS_GAZE_Y, LW_AXIS_HEAD_X, LW_AXIS_HEAD_Y};
    static const int looks[2][2] = {{LW_FACE_EYE_LOOK_OUT_LEFT, LW_FACE_EYE_LOOK_IN_RIGHT},
                                    {LW_FACE_EYE_LOOK_DOWN_LEFT, LW_FACE_EYE_LOOK_DOWN_RIGHT}};
    static const int others[2][2] = {{LW_FACE_EYE_LOOK_IN_LEFT, LW_FACE_EYE_LOOK_OUT_RIGHT},
                                     {LW_FACE_EYE_LOOK_UP_LEFT, LW_FACE_EYE_LOOK_UP_RIGHT}};
    lw_face face;
    for (int i = 0; i < 4; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            lw_pose pose = at_rest();
            pose.axis[axes[i]] = (int16_t)(sign * 20000);
            lw_face_of(&pose, &face);
            const int *seen = (sign > 0) == (i < 2) ? looks[i % 2] : others[i % 2];
            CHECK(face.shape[seen[0]] > 4000 && face.shape[seen[0]] == face.shape[seen[1]],
                  "eyes look together; they stay behind where the head turns");
            int angle = i == 2 ? LW_FACE_YAW : LW_FACE_PITCH;
            CHECK(i < 2 || (face.angle[angle] > 0) == (sign > 0), "a turn to the viewer's right and a nod down are positive");
        }
    lw_pose pose = at_rest();
    pose.axis[LW_AXIS_HEAD_ROLL] = 32767;
    pose.axis[LW_AXIS_LIDS] = 32767;
    lw_face_of(&pose, &face);
    CHECK(face.angle[LW_FACE_ROLL] == -419 && face.angle[LW_FACE_LEFT_EYE_ROLL] == 52 && face.angle[LW_FACE_RIGHT_EYE_ROLL] == 52,
          "a tilt, and the eyes behind it");
    CHECK(face.shape[LW_FACE_EYE_BLINK_LEFT] == 32767 && face.shape[LW_FACE_EYE_BLINK_RIGHT] == 32767, "lids that are shut are");
}

/* Whatever the pose: every shape within its range. */
static void test_range(void)
{
    int good = 1;
    for (int round = 0; round < 20000; round++) {
        lw_pose pose;
        lw_face face;
        for (int i = 0; i < LW_AXES; i++)
            pose.axis[i] = (int16_t)random_in(-32768, 32767);
        for (int i = 0; i < LW_VISEMES; i++)
            pose.viseme[i] = (int16_t)random_in(0, 32767);
        pose.loudness = (int16_t)random_in(0, 32767);
        lw_face_of(&pose, &face);
        for (int i = 0; i < LW_FACE_SHAPES; i++)
            good &= face.shape[i] >= 0;
    }
    CHECK(good, "no shape is negative, whatever the pose");
    for (int i = 1; i < LW_FACE_SHAPES; i++)
        good &= strcmp(lw_face_name(i - 1), lw_face_name(i)) < 0;
    CHECK(good, "names are in the alphabet's order");
    CHECK(!lw_face_name(-1) && !lw_face_name(LW_FACE_SHAPES), "no such name");
}

int main(void)
{
    test_mouth();
    test_expressions();
    test_eyes_and_head();
    test_range();
    return failures != 0;
}
