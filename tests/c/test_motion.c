/* Motion: repeatable, within its ranges, and a face that is at rest when nothing is said. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lipwire/lipwire.h"

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

/* A step of which nothing more is known. */
static void one_step(lw_motion *m, const float *row, int speaking, lw_pose *pose)
{
    lw_motion_step(m, &row, 1, speaking, pose);
}

/* Step i of `count` rows, the coming ones known. */
static void step_of(lw_motion *m, const float (*rows)[LW_CHANNELS], int i, int count, lw_pose *pose)
{
    const float *ahead[LW_MOTION_AHEAD];
    int known = 0;
    for (; known < LW_MOTION_AHEAD && i + known < count; known++)
        ahead[known] = rows[i + known];
    lw_motion_step(m, ahead, known, 1, pose);
}

/* How far the lips are apart, q15: the shapes' own openings. */
static double opening(const lw_pose *pose)
{
    static const double of[LW_VISEMES] = {0, 0, 0.13, 0.26, 0.22, 0.30, 0.24, 0.14, 0.16, 0.24, 1, 0.5, 0.24, 0.6, 0.28};
    double sum = 0;
    for (int i = 3; i < LW_VISEMES; i++)
        sum += of[i] * pose->viseme[i];
    return sum;
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
            one_step(m, i % 400 < 100 ? NULL : random_row(i), i % 400 >= 100, &pose);
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
            one_step(m, random_row(i), 1, &pose);
        for (int i = 0; i < SECONDS(20); i++) {
            one_step(m, kind ? row_of(SIL, 0.0f, 0.0f) : NULL, 0, &pose);
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
        one_step(m, row_of(AA, 0.8f, 0.7f), 1, &pose);
    CHECK(pose.viseme[AA] > 16384 && pose.axis[LW_AXIS_JAW] > 8192, "a held vowel opens");
    for (int i = 0; i < 12; i++) {
        one_step(m, row_of(PP, 0.0f, 0.5f), 1, &pose);
        best = pose.viseme[PP] > best ? pose.viseme[PP] : best;
    }
    CHECK(best >= 0.9 * 32767, "a closure that nobody saw coming is reached");
    lw_motion_close(&m);

    /* What 25 frames a second show, whenever they are drawn, of a closure of 20 ms within a vowel that is known before. */
    enum { ROWS = 100, AT = 60 };
    static float rows[ROWS][LW_CHANNELS];
    int seen = 1, between = 1, timely = 1;
    for (int phase = 0; phase < 4; phase++)
        for (int closure = PP; closure <= FF; closure++) {
            for (int i = 0; i < ROWS; i++)
                memcpy(rows[i], i == AT || i == AT + 1 ? row_of(closure, 0.0f, 0.5f) : row_of(AA, 0.8f, 0.9f), sizeof rows[i]);
            m = open_motion(7);
            double shown[ROWS / 4];
            int frames = 0, at = 0, vowel = 0, jaw = 0;
            best = 0;
            for (int i = 0; i < ROWS; i++) {
                step_of(m, (const float(*)[LW_CHANNELS])rows, i, ROWS, &pose);
                if (i % 4 != phase)
                    continue;
                if (pose.viseme[closure] > best)
                    best = pose.viseme[closure], vowel = pose.viseme[AA], jaw = pose.axis[LW_AXIS_JAW], at = i;
                shown[frames++] = opening(&pose);
            }
            seen &= best >= 0.85 * 32767 && vowel <= 0.15 * 32767 && jaw <= 0.15 * 32767;
            timely &= at >= AT - 2 && at <= AT + 5;
            int part = 0;
            for (int f = 1; f < frames; f++) {
                between &= fabs(shown[f] - shown[f - 1]) <= 0.31 * 32767;
                part += shown[f] > 0.08 * 32767 && shown[f] < 0.5 * 32767 && f > 6;
            }
            between &= part >= 2;
            lw_motion_close(&m);
        }
    CHECK(seen, "a closure of 20 ms within a vowel is seen on some frame, whenever frames are drawn");
    CHECK(timely, "when it is heard");
    CHECK(between, "with a frame on the way there, and one on the way back");

    m = open_motion(7);
    best = 0;
    for (int i = 0; i < 64; i++) {
        one_step(m, i >= 50 && i < 54 ? row_of(PP, 0.0f, 0.3f) : NULL, 1, &pose);
        best = pose.viseme[PP] > best ? pose.viseme[PP] : best;
    }
    CHECK(best >= 0.7 * 32767, "and so does one out of rest");
    lw_motion_close(&m);

    int closed = 1;
    for (int viseme = 1; viseme < LW_VISEMES; viseme++) {
        m = open_motion(7);
        for (int i = 0; i < 100; i++)
            one_step(m, row_of(viseme, 1.0f, 1.0f), 1, &pose);
        closed &= mouth_sum(&pose) > 26000;
        for (int i = 0; i < 16; i++)
            one_step(m, NULL, 0, &pose);
        closed &= mouth_sum(&pose) < 3277 && pose.axis[LW_AXIS_JAW] < 3277;
        lw_motion_close(&m);
    }
    CHECK(closed, "silence that nobody saw coming closes any mouth within 160 ms");
}

/* People's blinks, by what the face does: the most steps from one to the next. */
static void test_blinks(void)
{
    static const int most[] = {600, 670, 800, 540};
    int whole = 1, apart = 1, pairs = 0, counts[4] = {0};
    for (int mode = 0; mode < 4; mode++) {
        lw_motion *m = open_motion(5u + (uint32_t)mode);
        lw_pose pose;
        int last = -1, end = -1, before = 0, shut = 1;
        if (mode < 3)
            lw_motion_set(m, LW_MOTION_STATE, mode);
        for (int i = 0; i < SECONDS(900); i++) {
            one_step(m, mode == 3 ? row_of(AA, 0.5f, 0.5f) : NULL, mode == 3, &pose);
            int now = pose.axis[LW_AXIS_BLINK];
            if (now && !before) {
                int gap = i - end;
                whole &= shut;
                pairs += last >= 0 && gap < 20;
                apart &= last < 0 || gap <= most[mode] + 3;
                counts[mode]++;
                last = i;
                shut = 0;
            }
            if (!now && before)
                end = i;
            shut |= now == 32767;
            before = now;
        }
        lw_motion_close(&m);
    }
    CHECK(whole, "every blink shuts the eyes");
    CHECK(apart, "and the next comes within the time of its state");
    CHECK(pairs > 20 && pairs < 250, "now and then two in a row");
    CHECK(counts[3] > counts[0] && counts[0] > counts[LW_STATE_THINKING] && counts[LW_STATE_THINKING] > 60,
          "most while speaking, least while thinking");
}

/* Any rows at all: while the lips close, the lids do not come down, and are open again within 100 ms. */
static void test_no_blink_in_a_closure(void)
{
    int down = 0, long_shut = 0, closures = 0, blinks = 0;
    for (uint32_t seed = 0; seed < 40; seed++) {
        lw_motion *m = open_motion(seed);
        lw_pose pose, before = {0};
        random_state = seed + 1;
        int closed_for = 0, burst = 0, closure = PP;
        for (int i = 0; i < SECONDS(60); i++) {
            if (!burst && random_in(0, 20) == 0)
                burst = random_in(1, 30), closure = random_in(PP, FF);
            const float *row = burst ? row_of(closure, 0.0f, 0.5f) : random_row(i);
            burst -= burst > 0;
            one_step(m, row, i % 700 > 100, &pose);
            int closed = pose.viseme[PP] > 16384 || pose.viseme[FF] > 16384;
            closed_for = closed ? closed_for + 1 : 0;
            closures += closed_for == 1;
            blinks += pose.axis[LW_AXIS_BLINK] && !before.axis[LW_AXIS_BLINK];
            down += closed && pose.axis[LW_AXIS_BLINK] > before.axis[LW_AXIS_BLINK];
            long_shut += closed_for > 10 && pose.axis[LW_AXIS_BLINK] > 16384;
            before = pose;
        }
        lw_motion_close(&m);
    }
    CHECK(closures > 2000 && blinks > 300, "there are closures and blinks");
    CHECK(!down && !long_shut, "no lid comes down during a closure");
}

static void test_closures_are_reached(void)
{
    int reached = 1, open = 1;
    for (int closure = PP; closure <= FF; closure++)
        for (int length = 1; length <= 6; length++)
            for (int viseme = FF + 1; viseme < LW_VISEMES; viseme++) {
                lw_motion *m = open_motion(3);
                lw_pose pose;
                int best = 0, after = 0;
                for (int i = 0; i < 100; i++) {
                    float row[LW_CHANNELS];
                    memcpy(row, row_of(viseme, 0.8f, 0.6f), sizeof row);
                    if (i >= 60 && i < 60 + length) { /* just the likeliest shape */
                        row[viseme] = 0.42f;
                        row[closure] = 0.56f;
                    }
                    one_step(m, row, 1, &pose);
                    best = pose.viseme[closure] > best ? pose.viseme[closure] : best;
                    after = pose.viseme[viseme];
                }
                reached &= best >= 0.9 * 32767;
                open &= after > 16384;
                lw_motion_close(&m);
            }
    CHECK(reached, "a closure that is the likeliest shape for 10 ms is reached");
    CHECK(open, "and lets go again");
}

/* Any speech, and any frame rate: the lips and the jaw move as far as time allows. */
static void test_no_popping(void)
{
    enum { ROWS = SECONDS(120) };
    static float rows[ROWS][LW_CHANNELS];
    double opened = 0, shut = 0, jaw = 0;
    lw_motion *m = open_motion(3);
    lw_pose pose, before = {0};
    random_state = 11;
    for (int i = 0; i < ROWS; i++)
        memcpy(rows[i], random_row(i / 2 * 7), sizeof rows[i]);
    for (int i = 0; i < ROWS; i++) {
        step_of(m, (const float(*)[LW_CHANNELS])rows, i, ROWS, &pose);
        double step = opening(&pose) - opening(&before);
        int closing = pose.viseme[PP] + pose.viseme[FF] > 16384;
        opened = step > opened ? step : opened;
        shut = !closing && -step > shut ? -step : shut;
        jaw = !closing && abs(pose.axis[LW_AXIS_JAW] - before.axis[LW_AXIS_JAW]) > jaw
                  ? abs(pose.axis[LW_AXIS_JAW] - before.axis[LW_AXIS_JAW])
                  : jaw;
        before = pose;
    }
    lw_motion_close(&m);
    CHECK(opened <= 0.077 * 32767 && shut <= 0.19 * 32767 && jaw <= 0.19 * 32767, "0.3 of the way in 40 ms");
}

/* Where sound begins the face is awake, whatever it was told before, and every avatar's blinks are its own. */
static void test_no_blink_at_first(void)
{
    int none = 1, first[64], alike = 0;
    for (uint32_t seed = 0; seed < 64; seed++)
        for (int kind = 3; kind >= 0; kind--) {
            lw_motion *m = open_motion(seed);
            lw_pose pose;
            if (kind < 3)
                lw_motion_set(m, LW_MOTION_STATE, kind);
            first[seed] = -1;
            for (int i = 0; i < SECONDS(10); i++) {
                one_step(m, kind == 3 ? row_of(AA, 0.5f, 0.5f) : NULL, kind == 3, &pose);
                none &= i >= 50 || !pose.axis[LW_AXIS_BLINK];
                if (first[seed] < 0 && pose.axis[LW_AXIS_BLINK])
                    first[seed] = i;
            }
            lw_motion_close(&m);
        }
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < a; b++)
            alike += first[a] == first[b];
    CHECK(none, "no blink in the first half second");
    CHECK(alike < 64 * 63 / 2 / 10, "no two seeds blink alike");
}

static void test_settings(void)
{
    lw_motion *m = open_motion(1);
    CHECK(lw_motion_set(NULL, LW_MOTION_STATE, 0) == LW_EINVAL && lw_motion_set(m, -1, 0) == LW_EINVAL &&
              lw_motion_set(m, LW_MOTION_SETTINGS, 0) == LW_EINVAL &&
              lw_motion_set(m, LW_MOTION_STATE, LW_STATES) == LW_EINVAL &&
              lw_motion_set(m, LW_MOTION_EXPRESSION, -1) == LW_EINVAL &&
              lw_motion_set(m, LW_MOTION_GESTURE, LW_GESTURES) == LW_EINVAL,
          "no such setting or value");
    lw_motion_close(&m);
}

static void test_expressions(void)
{
    static const int axis[] = {-1, LW_AXIS_HAPPY, LW_AXIS_CONCERNED, LW_AXIS_SURPRISED};
    int fades = 1, mouth = 1, returns = 1;
    for (int e = 1; e < LW_EXPRESSIONS; e++) {
        lw_motion *m = open_motion(1);
        lw_pose pose, before = {0};
        CHECK(lw_motion_set(m, LW_MOTION_EXPRESSION, e) == 0, "an expression");
        for (int i = 0; i < 30; i++) {
            one_step(m, NULL, 0, &pose);
            fades &= pose.axis[axis[e]] > before.axis[axis[e]] && abs(pose.axis[axis[e]] - 1093 * (i + 1)) < 1100;
            before = pose;
        }
        fades &= pose.axis[axis[e]] == 32767;
        mouth &= mouth_sum(&pose) > 8000 && mouth_sum(&pose) + pose.viseme[SIL] <= 32767;
        for (int i = 0; i < 50; i++) /* speech takes what it needs */
            one_step(m, row_of(PP, 0.0f, 0.8f), 1, &pose);
        mouth &= pose.viseme[PP] > 31000;
        lw_motion_set(m, LW_MOTION_EXPRESSION, LW_EXPRESSION_NEUTRAL);
        for (int i = 0; i < 100; i++)
            one_step(m, NULL, 0, &pose);
        returns &= at_rest(&pose) && pose.axis[axis[e]] == 0;
        lw_motion_close(&m);
    }
    CHECK(fades, "fades in 300 ms, evenly");
    CHECK(mouth, "moves the mouth at rest, and leaves speech its shapes");
    CHECK(returns, "and goes again");
    lw_motion *m = open_motion(1);
    lw_pose wide, rest;
    for (int i = 0; i < 60; i++)
        one_step(m, NULL, 0, &rest);
    lw_motion_set(m, LW_MOTION_EXPRESSION, LW_EXPRESSION_SURPRISED);
    for (int i = 0; i < 60; i++)
        one_step(m, NULL, 0, &wide);
    lw_motion_close(&m);
    CHECK(rest.axis[LW_AXIS_LIDS] == LW_LIDS_REST && wide.axis[LW_AXIS_LIDS] < 100 &&
              wide.axis[LW_AXIS_BROW] > rest.axis[LW_AXIS_BROW] + 20000,
          "surprise opens the eyes and lifts the brows");
}

static void test_gestures(void)
{
    static const int axis[] = {LW_AXIS_HEAD_Y, LW_AXIS_HEAD_X, LW_AXIS_WAVE, LW_AXIS_HEAD_Y};
    for (int g = 0; g < LW_GESTURES; g++) {
        lw_motion *with = open_motion(1), *without = open_motion(1);
        lw_pose pose, plain;
        int low = 0, high = 0, others = 0, step = 0, before = 0, late = 0, turns = 0, way = 0, at = 0;
        for (int i = 0; i < SECONDS(6); i++) {
            if (i == 50)
                lw_motion_set(with, LW_MOTION_GESTURE, g);
            one_step(with, NULL, 0, &pose);
            one_step(without, NULL, 0, &plain);
            int d = pose.axis[axis[g]] - plain.axis[axis[g]];
            low = d < low ? d : low;
            at = d > high ? i : at;
            high = d > high ? d : high;
            step = abs(d - before) > step ? abs(d - before) : step;
            turns += d != before && way && (d > before) != (way > 0);
            way = d == before ? way : d > before ? 1 : -1;
            for (int k = 0; k < LW_AXES; k++)
                others += k != axis[g] && k != LW_AXIS_HEAD_TURN && pose.axis[k] != plain.axis[k];
            late += i > 400 && d;
            before = d;
        }
        if (g == LW_GESTURE_BEAT) {
            CHECK(high > 11000 && high < 14000 && low == 0, "is small, and goes one way");
            CHECK(turns == 1 && abs(at - (50 + 24)) <= 1, "down and up again, lowest when it says");
        } else {
            CHECK(high > 16000 && (g == LW_GESTURE_WAVE || low < -12000), "moves far enough to be seen");
            CHECK(turns >= 3, "to and fro");
        }
        CHECK(!others && !late && step < 4500, "moves its own axis alone, smoothly, once");
        lw_motion_close(&with);
        lw_motion_close(&without);
    }
}

/* Strokes of the head that are quicker than those of its own drift, in a minute of listening. */
static int quick_nods(int beat_every)
{
    lw_motion *m = open_motion(3);
    lw_pose pose;
    int nods = 0, down = 0, before = 0;
    lw_motion_set(m, LW_MOTION_STATE, LW_STATE_LISTENING);
    for (int i = 0; i < SECONDS(60); i++) {
        if (beat_every && i % beat_every == 0)
            lw_motion_set(m, LW_MOTION_GESTURE, LW_GESTURE_BEAT);
        one_step(m, NULL, 0, &pose);
        int quick = i && pose.axis[LW_AXIS_HEAD_Y] - before > 500;
        nods += quick && !down;
        down = quick;
        before = pose.axis[LW_AXIS_HEAD_Y];
    }
    lw_motion_close(&m);
    return nods;
}

static void test_a_listener_nods_once(void)
{
    int alone = quick_nods(0), beaten = quick_nods(290);
    CHECK(alone >= 8 && alone <= 45, "nods now and then by itself");
    CHECK(beaten == (SECONDS(60) + 289) / 290, "and not where it is told when");
}

/* Means of what tells the states apart, over ten minutes. */
static void test_states(void)
{
    double gaze[4] = {0}, roll[4] = {0}, brow[4] = {0}, lids[4] = {0}, moves[4] = {0};
    for (int mode = 0; mode < 4; mode++)
        for (uint32_t seed = 0; seed < 4; seed++) {
            lw_motion *m = open_motion(seed);
            lw_pose pose, before = {0};
            random_state = seed + 1;
            if (mode < 3)
                lw_motion_set(m, LW_MOTION_STATE, mode);
            for (int i = 0; i < SECONDS(150); i++) {
                one_step(m, mode == 3 ? random_row(i) : NULL, mode == 3, &pose);
                gaze[mode] += abs(pose.axis[LW_AXIS_GAZE_X]) - pose.axis[LW_AXIS_GAZE_Y];
                roll[mode] += abs(pose.axis[LW_AXIS_HEAD_ROLL]);
                brow[mode] += pose.axis[LW_AXIS_BROW];
                lids[mode] += pose.axis[LW_AXIS_LIDS];
                moves[mode] += i ? abs(pose.axis[LW_AXIS_HEAD_X] - before.axis[LW_AXIS_HEAD_X]) : 0;
                before = pose;
            }
            lw_motion_close(&m);
        }
    double n = SECONDS(600);
    CHECK(gaze[LW_STATE_THINKING] > gaze[LW_STATE_IDLE] + 15000 * n, "thinking looks up and aside");
    CHECK(gaze[LW_STATE_LISTENING] < gaze[LW_STATE_IDLE] - 300 * n, "listening looks at the viewer");
    CHECK(roll[LW_STATE_LISTENING] > roll[LW_STATE_IDLE] + 10000 * n, "with the head tilted");
    CHECK(brow[LW_STATE_LISTENING] > brow[LW_STATE_IDLE] + 6000 * n && brow[LW_STATE_THINKING] < brow[LW_STATE_IDLE] - 8000 * n,
          "brows up, and down");
    CHECK(lids[LW_STATE_LISTENING] < lids[LW_STATE_IDLE] && lids[LW_STATE_THINKING] > lids[LW_STATE_IDLE], "lids, too");
    CHECK(moves[3] > 2 * moves[LW_STATE_IDLE], "speaking moves the head most");
}

/* A phrase after quiet lifts head and brows, a stressed syllable nods. */
static void test_prosody(void)
{
    double brow = 0, lift = 0, nod = 0;
    for (uint32_t seed = 0; seed < 64; seed++) {
        lw_motion *with = open_motion(seed), *without = open_motion(seed);
        lw_pose pose, plain;
        for (int i = 0; i < 130; i++) {
            const float loud = i < 60 ? 0.0f : i < 75 ? 0.5f : i < 85 ? 0.3f : i < 95 ? 0.9f : 0.3f;
            one_step(with, row_of(AA, 0.5f, loud), 1, &pose);
            one_step(without, row_of(SIL, 0.0f, 0.0f), 1, &plain);
            int y = pose.axis[LW_AXIS_HEAD_Y] - plain.axis[LW_AXIS_HEAD_Y];
            if (i == 72)
                brow += pose.axis[LW_AXIS_BROW] - plain.axis[LW_AXIS_BROW];
            lift += i == 66 ? y : 0;
            nod += i == 100 ? y : 0;
        }
        lw_motion_close(&with);
        lw_motion_close(&without);
    }
    CHECK(brow / 64 > 5000, "brows go up where a phrase begins");
    CHECK(lift / 64 < -600, "and the head lifts");
    CHECK(nod / 64 > 1200, "a stressed syllable nods");
}

static void test_life(void)
{
    int ranges = 1, moved[LW_AXES] = {0};
    for (uint32_t seed = 0; seed < 5; seed++) {
        lw_motion *m = open_motion(seed * 77777u);
        lw_pose pose, before = {0};
        int step = 0;
        for (int i = 0; i < SECONDS(600); i++) {
            int speaking = i / 1500 % 2;
            if (i % 700 == 0) {
                lw_motion_set(m, LW_MOTION_EXPRESSION, i / 700 % LW_EXPRESSIONS);
                lw_motion_set(m, LW_MOTION_GESTURE, i / 700 % LW_GESTURES);
                lw_motion_set(m, LW_MOTION_STATE, i / 2100 % LW_STATES);
            }
            one_step(m, speaking ? random_row(i) : NULL, speaking, &pose);
            int sum = 0;
            for (int k = 0; k < LW_VISEMES; k++) {
                ranges &= pose.viseme[k] >= 0;
                sum += pose.viseme[k];
            }
            ranges &= sum <= 32767 && pose.loudness >= 0;
            for (int k = 0; k < LW_AXES; k++) {
                int is_signed = k <= LW_AXIS_HEAD_Y || k == LW_AXIS_GAZE_X || k == LW_AXIS_GAZE_Y || k == LW_AXIS_BROW ||
                                k == LW_AXIS_HEAD_ROLL;
                ranges &= pose.axis[k] >= (is_signed ? -32767 : 0);
                moved[k] |= i && pose.axis[k] != before.axis[k];
            }
            int head = abs(pose.axis[LW_AXIS_HEAD_X] - before.axis[LW_AXIS_HEAD_X]);
            step = i && head > step ? head : step;
            before = pose;
        }
        ranges &= step < 5000; /* the head turns, it does not jump */
        lw_motion_close(&m);
    }
    CHECK(ranges, "ten minutes within the ranges");
    int all = 1;
    for (int k = 0; k < LW_AXES; k++)
        all &= moved[k];
    CHECK(all, "every axis lives");
}

/* At any moment of any speech, back to any mouth that was shown shortly before. */
static void test_cut(void)
{
    int falls = 1, rests = 1, back = 1, slow = 1, goes_on = 1;
    for (uint32_t seed = 1; seed <= 5000; seed++) {
        lw_motion *m = open_motion(seed);
        lw_pose pose, last = {0};
        lw_mouth shown = {0};
        int steps = 5 + (int)(seed % 60), ago = (int)(seed % 5);
        for (int i = 0; i < steps; i++) {
            one_step(m, random_row(i + (int)seed), 1, &pose);
            if (i == steps - 1 - ago) {
                lw_motion_mouth(m, &shown);
                last = pose;
            }
        }
        lw_motion_cut(m, &shown);
        for (int i = 0; i < 40; i++) {
            const float *row = i % 3 ? NULL : random_row(i); /* what is left of the old speech is not looked at */
            one_step(m, row, 0, &pose);
            for (int k = 1; k < LW_VISEMES; k++)
                falls &= pose.viseme[k] <= last.viseme[k];
            falls &= pose.axis[LW_AXIS_JAW] <= last.axis[LW_AXIS_JAW] && pose.loudness <= last.loudness;
            back &= i < 4 || 4 * mouth_sum(&pose) <= 3 * mouth_sum(&last) || mouth_sum(&last) < 2000;
            slow &= opening(&last) - opening(&pose) <= 0.077 * 32767;
            last = pose;
        }
        rests &= !mouth_sum(&pose) && !pose.loudness;
        for (int i = 0; i < 20; i++)
            one_step(m, row_of(AA, 0.8f, 0.8f), 1, &pose);
        goes_on &= pose.viseme[AA] > 16384;
        lw_motion_close(&m);
    }
    CHECK(falls && back, "a mouth that is cut off closes from what was shown, shape by shape");
    CHECK(rests && slow, "and comes to rest, no faster than jaws do");
    CHECK(goes_on, "until there is speech again");
}

int main(void)
{
    test_seeds();
    test_rest();
    test_mouth();
    test_blinks();
    test_no_blink_in_a_closure();
    test_no_blink_at_first();
    test_closures_are_reached();
    test_no_popping();
    test_settings();
    test_expressions();
    test_gestures();
    test_a_listener_nods_once();
    test_states();
    test_prosody();
    test_life();
    test_cut();
    return failures != 0;
}
