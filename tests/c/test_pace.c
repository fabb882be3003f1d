/* Who sends as he speaks, and who sends ahead. */
#include "check.h"
#include "pace.h"

#define MS 1000000LL

/* `count` chunks of `ms` of speech, `gap_us` apart, from *now on. */
static int send(lw_pace *p, int64_t *now, int count, int ms, int64_t gap_us)
{
    int verdict = p->verdict;
    for (int i = 0; i < count; i++) {
        verdict = lw_pace_add(p, (int64_t)ms * LW_RATE / 1000, *now);
        *now += gap_us * 1000;
    }
    return verdict;
}

static void test_paced(void)
{
    static const int sizes[] = {1, 10, 20, 60, 100, 200, 240};
    int paced = 1, soon = 1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lw_pace p = {0};
        int64_t now = 5;
        soon &= send(&p, &now, 900 / sizes[i], sizes[i], sizes[i] * 1000) == LW_PACE_NEW;
        paced &= send(&p, &now, 20000 / sizes[i], sizes[i], sizes[i] * 1000) == LW_PACE_PACED;
        now += 5000 * MS; /* the machine stands still; what was said in that time comes at once */
        paced &= send(&p, &now, 5000 / sizes[i], sizes[i], 0) == LW_PACE_PACED;
        paced &= send(&p, &now, 2000 / sizes[i], sizes[i], sizes[i] * 1000) == LW_PACE_PACED;
    }
    CHECK(paced, "as it is said, in chunks of any size up to 240 ms, and with stalls");
    CHECK(soon, "a second of it has to come first");

    lw_pace fast = {0};
    int64_t now = 0;
    int hours = 1; /* 500 ppm: three hours */
    for (int i = 0; i < 540000; i++) {
        hours &= lw_pace_add(&fast, 960, now) == (i > 60 ? LW_PACE_PACED : fast.verdict);
        now += 20 * MS - 20 * MS / 2000;
    }
    CHECK(hours, "a clock that is fast by 500 ppm is no burst in three hours");

    lw_pace jittery = {0};
    int still = 1;
    for (int i = 0; i < 20000; i++) {
        int64_t at = i * 20 * MS + random_in(0, 200) * MS;
        now = at > now || !i ? at : now;
        still &= lw_pace_add(&jittery, 960, now) != LW_PACE_BURST;
    }
    CHECK(still && jittery.verdict == LW_PACE_PACED, "nor is jitter of 200 ms");
}

static void test_burst(void)
{
    static const double speeds[] = {1.1, 1.5, 2.0, 10.0, 50.0};
    int burst = 1, stays = 1;
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++) {
        lw_pace p = {0};
        int64_t now = 0;
        burst &= send(&p, &now, 300, 20, (int64_t)(20000 / speeds[i])) == LW_PACE_BURST;
        stays &= send(&p, &now, 1000, 20, 20000) == LW_PACE_BURST;
    }
    lw_pace whole = {0};
    int64_t now = 0;
    burst &= send(&whole, &now, 1, 3000, 0) == LW_PACE_BURST;
    CHECK(burst, "faster than it is said, or a sentence at once");
    CHECK(stays, "and that stays so");

    lw_pace sentences = {0};
    now = 0;
    int never = 1; /* "Oh." And then a sentence each three seconds, made in no time */
    (void)send(&sentences, &now, 10, 20, 1000);
    for (int i = 0; i < 20; i++) {
        now += 3000 * MS;
        never &= send(&sentences, &now, 125, 20, 100) == LW_PACE_BURST;
    }
    CHECK(never, "sentences with pauses between them are bursts, though no more has come than time has passed");
}

int main(void)
{
    test_paced();
    test_burst();
    return failures != 0;
}
