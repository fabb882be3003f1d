/* What both tests of the speech timeline share: what came out of one run. */
#ifndef LW_TEST_SPEECH_RUN_H
#define LW_TEST_SPEECH_RUN_H

#include <stdlib.h>

#include "check.h"
#include "lipwire/lipwire.h"

#define FADE 240
#define LONGEST (120 * LW_RATE)
#define MAX_EVENTS 60000

static int16_t heard[LONGEST];
static int64_t heard_count;
static lw_event events[MAX_EVENTS];
static int event_count;

static inline lw_speech *open_run(int32_t capacity, int32_t prebuffer, int32_t dry_timeout)
{
    lw_speech *s = NULL;
    lw_speech_config config = {.capacity = capacity, .prebuffer = prebuffer, .dry_timeout = dry_timeout};
    heard_count = event_count = 0;
    if (lw_speech_open(&s, &config) < 0 || !s) {
        CHECK(0, "open");
        exit(1);
    }
    return s;
}

static inline int largest_step(int64_t from, int64_t to)
{
    int worst = 0;
    for (int64_t i = from + 1; i < to; i++) {
        int d = abs(heard[i] - heard[i - 1]);
        worst = d > worst ? d : worst;
    }
    return worst;
}

#endif
