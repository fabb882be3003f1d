/* Motion: repeatable, within its ranges, and a face that is at rest when nothing is said. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lipwire.h"

#define SECONDS(n) ((n) * 100)
#define SIL 0
#define PP 1
#define FF 2
#define AA 10

static lw_motion *open_motion(uint32_t seed)
{
    lw_motion *m = NULL;
    lw_motion_config config = {seed};
    if (lw_motion_open(&m, &config) < 0 || !m) {
        CHECK(0, "open");
        exit(1);
    }
    return m;
}

static const float *row_of(int viseme, float jaw, float loudness)
{
    static float row[LW_CHANNELS];
    memset(row, 0, sizeof row);
    row[viseme] = 1.0f;
    row[LW_JAW] = jaw;
    row[LW_LOUDNESS] = loudness;
    return row;
}

/* Speech of a sort: random rows with pauses. */
static const float *random_row(int step)
{
    static float row[LW_CHANNELS];
    float sum = 0.0f;
    if (step % 7)
        return row;
    if (random_in(0, 5) == 0)
        return memcpy(row, row_of(SIL, 0.0f, 0.0f), sizeof row);
    for (int i = 0; i < LW_VISEMES; i++)
        sum += row[i] = (float)random_in(0, 3) * (float)random_in(0, 1000);
    for (int i = 0; i < LW_VISEMES; i++)
        row[i] = sum > 0.0f ? row[i] / sum : i == SIL;
    row[LW_JAW] = (float)random_in(0, 1000) / 1000.0f;
    row[LW_LOUDNESS] = (float)random_in(0, 1000) / 1000.0f;
    return row;
}

static int mouth_sum(const lw_pose *pose)
{
    int sum = 0;
    for (int i = 1; i < LW_VISEMES; i++)
        sum += pose->viseme[i];
    return sum;
}

static int at_rest(const lw_pose *pose)
{
    return mouth_sum(pose) == 0 && pose->viseme[SIL] == 32767 && pose->axis[LW_AXIS_JAW] == 0 && pose->loudness == 0;
}

static void test_seeds(void)
{
    static lw_pose first[SECONDS(20)];
    int same = 1, differ = 0;
    for (int run = 0; run < 3; run++) {
        lw_motion *m = open_motion(run == 2 ? 43 : 42);
        random_state = 5;
        (void)random_row(0);
        for (int i = 0; i < SECONDS(20); i++) {
            lw_pose pose;
            memset(&pose, run, sizeof pose); /* every field is written */
            lw_motion_step(m, i % 400 < 100 ? NULL : random_row(i), i % 400 >= 100, &pose);
            if (run == 0)
                first[i] = pose;
            else if (run == 1)
                same &= !memcmp(&first[i], &pose, sizeof pose);
            else
                differ += memcmp(first[i].axis, pose.axis, sizeof pose.axis) != 0;
        }
        lw_motion_close(&m);
    }
    CHECK(same, "the same seed and rows give the same poses");
    CHECK(differ > SECONDS(10), "another seed lives differently");
    lw_motion *m = open_motion(0);
    lw_motion_close(&m);
    lw_motion_close(&m);
    lw_motion_close(NULL);
    CHECK(!m && lw_motion_open(NULL, NULL) == LW_EINVAL, "close nulls, open needs a place");
}

static void test_rest(void)
{
    for (int kind = 0; kind < 2; kind++) {
        lw_motion *m = open_motion(7);
        lw_pose pose;
        int rest = 1, settled = -1;
        for (int i = 0; i < 100; i++)
            lw_motion_step(m, random_row(i), 1, &pose);
        for (int i = 0; i < SECONDS(20); i++) {
            lw_motion_step(m, kind ? row_of(SIL, 0.0f, 0.0f) : NULL, 0, &pose);
            if (settled < 0 && at_rest(&pose))
                settled = i;
            rest &= settled < 0 || at_rest(&pose);
        }
        CHECK(settled >= 0 && settled < SECONDS(2), kind ? "a sil row comes to rest" : "no row comes to rest");
        CHECK(rest, "and the mouth stays exactly there");
        lw_motion_close(&m);
    }
}

static void test_mouth(void)
{
    lw_motion *m = open_motion(7);
    lw_pose pose;
    int best = 0;
    for (int i = 0; i < 50; i++)
        lw_motion_step(m, row_of(AA, 0.8f, 0.7f), 1, &pose);
    CHECK(pose.viseme[AA] > 16384 && pose.axis[LW_AXIS_JAW] > 8192, "a held vowel opens");
    for (int i = 0; i < 4; i++) {
        lw_motion_step(m, row_of(PP, 0.0f, 0.5f), 1, &pose);
        best = pose.viseme[PP] > best ? pose.viseme[PP] : best;
    }
    CHECK(best >= 0.9 * 32767, "a closure of 40 ms within a vowel reaches 0.9");
    lw_motion_close(&m);

    int seen = 1;
    for (int phase = 0; phase < 4; phase++)
        for (int closure = PP; closure <= FF; closure++) {
            m = open_motion(7);
            best = 0;
            int vowel = 0, jaw = 0;
            for (int i = 0; i < 100; i++) {
                lw_motion_step(m, i == 60 || i == 61 ? row_of(closure, 0.0f, 0.5f) : row_of(AA, 0.8f, 0.7f), 1, &pose);
                if (i % 4 == phase && pose.viseme[closure] > best) /* what 25 frames a second show */
                    best = pose.viseme[closure], vowel = pose.viseme[AA], jaw = pose.axis[LW_AXIS_JAW];
            }
            seen &= best >= 0.85 * 32767 && vowel <= 0.15 * 32767 && jaw <= 0.15 * 32767;
            lw_motion_close(&m);
        }
    CHECK(seen, "a closure of 20 ms within a vowel is seen on some frame, whenever frames are drawn");

    m = open_motion(7);
    best = 0;
    for (int i = 0; i < 60; i++) {
        lw_motion_step(m, i >= 50 && i < 54 ? row_of(PP, 0.0f, 0.3f) : NULL, 1, &pose);
        best = pose.viseme[PP] > best ? pose.viseme[PP] : best;
    }
    CHECK(best >= 0.7 * 32767, "and so does one out of rest");
    lw_motion_close(&m);

    int closed = 1;
    for (int viseme = 1; viseme < LW_VISEMES; viseme++) {
        m = open_motion(7);
        for (int i = 0; i < 100; i++)
            lw_motion_step(m, row_of(viseme, 1.0f, 1.0f), 1, &pose);
        closed &= mouth_sum(&pose) > 26000;
        for (int i = 0; i < 10; i++)
            lw_motion_step(m, NULL, 0, &pose);
        closed &= mouth_sum(&pose) < 3277 && pose.axis[LW_AXIS_JAW] < 3277;
        lw_motion_close(&m);
    }
    CHECK(closed, "silence closes any mouth within 100 ms");
}

static void test_life(void)
{
    int ranges = 1, blinks = 1, moved[LW_AXES] = {0};
    for (uint32_t seed = 0; seed < 5; seed++) {
        lw_motion *m = open_motion(seed * 77777u);
        lw_pose pose, before = {0};
        int last = -1, count = 0, shut = 0, step = 0;
        for (int i = 0; i < SECONDS(600); i++) {
            int speaking = i / 1500 % 2;
            lw_motion_step(m, speaking ? random_row(i) : NULL, speaking, &pose);
            int sum = 0;
            for (int k = 0; k < LW_VISEMES; k++) {
                ranges &= pose.viseme[k] >= 0;
                sum += pose.viseme[k];
            }
            ranges &= sum <= 32767 && pose.loudness >= 0;
            for (int k = 0; k < LW_AXES; k++) {
                ranges &= pose.axis[k] >= -32767;
                moved[k] |= i && pose.axis[k] != before.axis[k];
            }
            ranges &= pose.axis[LW_AXIS_BREATH] >= 0 && pose.axis[LW_AXIS_BLINK] >= 0 && pose.axis[LW_AXIS_JAW] >= 0;
            int head = abs(pose.axis[LW_AXIS_HEAD_X] - before.axis[LW_AXIS_HEAD_X]);
            step = i && head > step ? head : step;
            if (pose.axis[LW_AXIS_BLINK] > 0 && before.axis[LW_AXIS_BLINK] == 0) {
                blinks &= i - last <= 650 && (last < 0 || i - last >= 200);
                last = i;
                count++;
                shut = 0;
            }
            shut |= pose.axis[LW_AXIS_BLINK] == 32767;
            blinks &= last < 0 || i - last < 40 || shut;
            before = pose;
        }
        blinks &= SECONDS(600) - last <= 650 && count > 90 && count < 300;
        ranges &= step < 3000; /* the head turns, it does not jump */
        lw_motion_close(&m);
    }
    CHECK(ranges, "ten minutes within the ranges");
    CHECK(blinks, "a whole blink every 2 to 6.5 seconds");
    int all = 1;
    for (int k = 0; k < LW_AXES; k++)
        all &= moved[k];
    CHECK(all, "every axis lives");
}

int main(void)
{
    test_seeds();
    test_rest();
    test_mouth();
    test_life();
    return failures != 0;
}
