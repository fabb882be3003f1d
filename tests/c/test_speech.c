/* The speech timeline: every sample is heard once, in order, without a click, and an interrupt leaves nothing stale. */
#include <stdlib.h>
#include <string.h>

#include "speech_run.h"

#define MAX_LOOKS 4000

/* What is expected on the clock, fades apart; -32768 where unknown. Filled by tick(), checked by check_looks(). */
static int16_t source[LONGEST], timeline[LONGEST];
static int64_t source_count, source_read;
static struct {
    int16_t block[LW_BLOCK];
    int64_t sample;
    int restarted, before; /* before: it had not been played yet */
} looks[MAX_LOOKS];
static int look_count;

static lw_speech *open_speech(int32_t capacity, int32_t prebuffer, int32_t dry_timeout)
{
    source_count = source_read = look_count = 0;
    return open_run(capacity, prebuffer, dry_timeout);
}

static int64_t put(lw_speech *s, const int16_t *pcm, int64_t n)
{
    int64_t took = lw_speech_write(s, pcm, (size_t)n);
    if (took > 0) {
        memcpy(source + source_count, pcm, (size_t)took * sizeof *pcm);
        source_count += took;
    }
    return took;
}

static int64_t put_constant(lw_speech *s, int16_t value, int64_t n)
{
    int16_t block[LW_BLOCK];
    int64_t total = 0;
    for (int i = 0; i < LW_BLOCK; i++)
        block[i] = value;
    while (total < n) {
        int64_t part = n - total < LW_BLOCK ? n - total : LW_BLOCK, took = put(s, block, part);
        if (took <= 0)
            break;
        total += took;
    }
    return total;
}

/* One tick, noting where on the clock the consumed samples lie (an interrupt's block apart). */
static int tick(lw_speech *s)
{
    int64_t clock = lw_speech_clock(s), before = lw_speech_buffered(s);
    int was_active = lw_speech_active(s);
    int got = lw_speech_tick(s, heard + heard_count, events + event_count, MAX_EVENTS - event_count);
    int64_t consumed = before - lw_speech_buffered(s), at = 0;
    int unknown = 0, placed = was_active;
    for (int i = 0; i < got; i++) {
        const lw_event *e = &events[event_count + i];
        if (!placed && (e->type == LW_EVENT_STARTED || e->type == LW_EVENT_UNDERRUN))
            at = e->sample - clock;
        placed |= e->type == LW_EVENT_STARTED;
        unknown |= e->type == LW_EVENT_FINISHED && e->value;
    }
    for (int i = 0; i < LW_BLOCK; i++)
        timeline[heard_count + i] = unknown ? -32768 : 0;
    for (int64_t i = 0; i < consumed && !unknown && at + i < LW_BLOCK; i++)
        timeline[heard_count + at + i] = source[source_read + i];
    source_read += consumed;
    event_count += got;
    heard_count += LW_BLOCK;
    return got;
}

static void look_all(lw_speech *s, int32_t ahead)
{
    while (look_count < MAX_LOOKS &&
           lw_speech_look(s, ahead, looks[look_count].block, &looks[look_count].sample, &looks[look_count].restarted)) {
        looks[look_count].before = looks[look_count].sample >= lw_speech_clock(s);
        look_count++;
    }
}

static int all_zero(int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        if (heard[i])
            return 0;
    return 1;
}

static const lw_event *find_event(int type, uint64_t utterance)
{
    for (int i = 0; i < event_count; i++)
        if (events[i].type == type && events[i].utterance == utterance)
            return &events[i];
    return NULL;
}

static int count_events(int type, uint64_t utterance)
{
    int n = 0;
    for (int i = 0; i < event_count; i++)
        n += events[i].type == type && (!utterance || events[i].utterance == utterance);
    return n;
}

/* Softly beginning noise. */
static void make_speech(int16_t *pcm, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        pcm[i] = (int16_t)random_in(-32768, 32767);
    if (n)
        pcm[0] = 5;
}

static int16_t speech[LONGEST];

static void test_interface(void)
{
    static const lw_speech_config bad[] = {{.capacity = LW_BLOCK - 1},
                                           {.capacity = -1},
                                           {.capacity = INT32_MAX},
                                           {.prebuffer = -1},
                                           {.capacity = 1000, .prebuffer = 1001},
                                           {.dry_timeout = -1}};
    lw_speech *s = (lw_speech *)(uintptr_t)16;
    int refused = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused &= lw_speech_open(&s, &bad[i]) == LW_EINVAL && !s;
    CHECK(refused && lw_speech_open(NULL, NULL) == LW_EINVAL, "bad configurations are refused");
    CHECK(lw_speech_open(&s, NULL) == 0 && s, "defaults");
    CHECK(lw_speech_space(s) == LW_SPEECH_CAPACITY && lw_speech_clock(s) == 0 && !lw_speech_active(s), "fresh state");
    CHECK(lw_speech_write(s, NULL, 1) == LW_EINVAL && lw_speech_write(NULL, speech, 1) == LW_EINVAL &&
              lw_speech_write(s, speech, 0) == 0 && lw_speech_end(s, -1) == LW_EINVAL, "bad arguments");
    CHECK(lw_speech_writing(s) == 1 && lw_speech_end(s, 0) == 0 && lw_speech_writing(s) == 1, "an end without speech");
    lw_speech_close(&s);
    lw_speech_close(&s);
    lw_speech_close(NULL);
    CHECK(!s, "close nulls");

    s = open_speech(0, 0, 0);
    int quiet = 1;
    for (int i = 0; i < 50; i++) {
        quiet &= lw_speech_clock(s) == i * LW_BLOCK;
        memset(heard + heard_count, 0x55, LW_BLOCK * sizeof *heard);
        quiet &= tick(s) == 0;
    }
    CHECK(quiet && all_zero(0, heard_count), "the clock runs through silence");
    lw_speech_close(&s);
}

static void test_prebuffer(void)
{
    lw_speech *s = open_speech(0, 2880, 0);
    make_speech(speech, 9600);
    put(s, speech, 2879);
    tick(s);
    CHECK(event_count == 0 && all_zero(0, heard_count) && !lw_speech_active(s), "waits below the prebuffer");
    put(s, speech + 2879, 1);
    tick(s);
    const lw_event *e = find_event(LW_EVENT_STARTED, 1);
    CHECK(e && e->sample == LW_BLOCK && e->played == 0 && lw_speech_active(s), "starts at the prebuffer");
    lw_speech_close(&s);

    s = open_speech(0, 2880, 0);
    put(s, speech, 100);
    for (int i = 0; i < 12; i++)
        tick(s);
    e = find_event(LW_EVENT_STARTED, 1);
    CHECK(e && e->sample >= 2880 - LW_BLOCK && e->sample <= 2880 + LW_BLOCK, "or once it has waited that long");
    lw_speech_close(&s);

    s = open_speech(0, 2880, 0);
    put(s, speech, 100);
    lw_speech_end(s, 0);
    tick(s);
    e = find_event(LW_EVENT_STARTED, 1);
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(e && e->sample == 0 && f && f->sample == 100 && f->played == 100 && !f->value, "or at once when it is whole");
    lw_speech_close(&s);
}

static void test_exact(void)
{
    enum { N = 48000 + 123 };
    lw_speech *s = open_speech(0, 0, 0);
    make_speech(speech, N);
    int64_t at = 0;
    tick(s);
    while (at < N) {
        int64_t part = random_in(1, 3000);
        part = part < N - at ? part : N - at;
        at += put(s, speech + at, part);
        if (lw_speech_buffered(s) > 6000 || random_in(0, 9) == 0)
            tick(s);
    }
    lw_speech_end(s, 0);
    while (lw_speech_buffered(s) || lw_speech_active(s))
        tick(s);
    const lw_event *e = find_event(LW_EVENT_STARTED, 1), *f = find_event(LW_EVENT_FINISHED, 1);
    if (CHECK(e && f && event_count == 2, "one start, one end")) {
        CHECK(!memcmp(heard + e->sample, speech, (N - FADE) * sizeof *speech), "samples come through bit for bit");
        CHECK(all_zero(0, e->sample) && all_zero(e->sample + N, heard_count), "and nothing around them");
        CHECK(f->sample == e->sample + N && f->played == N && f->value == 0, "the end is where the samples end");
        int tail = heard[f->sample - 1] == 0;
        for (int i = 1; i <= FADE; i++)
            tail &= abs(heard[f->sample - i]) <= abs(speech[N - i]) * i / FADE + 1;
        CHECK(tail, "the tail fades out");
    }
    lw_speech_close(&s);

    s = open_speech(0, 0, 0);
    put_constant(s, -20000, 9600);
    lw_speech_end(s, 0);
    for (int i = 0; i < 25; i++)
        tick(s);
    CHECK(largest_step(0, heard_count) <= 20000 / FADE + 2 && heard[FADE] == -20000 && heard[9600 - FADE - 1] == -20000,
          "a hard edge is faded, the rest is not");
    lw_speech_close(&s);
}

/* Interrupts `s`, ticks once, and checks that block: a fade of what was playing, then silence. */
static int fades_out(lw_speech *s, int16_t level)
{
    int64_t at = heard_count;
    int last = at ? heard[at - 1] : 0, ok = 1;
    lw_speech_interrupt(s);
    tick(s);
    for (int i = 0; i < LW_BLOCK; i++) {
        int x = heard[at + i];
        ok &= level > 0 ? x >= 0 && x <= last : x <= 0 && x >= last;
        ok &= i < FADE || x == 0;
        last = x;
    }
    return ok && largest_step(at ? at - 1 : 0, heard_count) <= abs(level) / FADE + 2;
}

static void test_interrupt(void)
{
    enum { A = 30000, BLOCKS = 20 };
    lw_speech *s = open_speech(0, 0, 0);
    put_constant(s, A, 200 * LW_BLOCK);
    for (int i = 0; i < BLOCKS; i++)
        tick(s);
    int64_t at = heard_count;
    CHECK(fades_out(s, A), "an interrupt fades out within 5 ms");
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(f && f->value == 1 && f->played == BLOCKS * LW_BLOCK + FADE && f->sample == at + FADE,
        "and says what was heard");
    CHECK(lw_speech_buffered(s) == 0 && !lw_speech_active(s) && lw_speech_generation(s) == 1, "and drops the rest");
    for (int i = 0; i < 20; i++)
        tick(s);
    CHECK(all_zero(at + LW_BLOCK, heard_count) && event_count == 2, "nothing comes after it");
    CHECK(lw_speech_interrupt(s) == 2 && lw_speech_interrupt(s) == 3, "generations count up");
    lw_speech_close(&s);

    /* Speech that follows at once is the next utterance; nothing of the old one is among it. */
    s = open_speech(0, 0, 0);
    put_constant(s, A, 200 * LW_BLOCK);
    for (int i = 0; i < BLOCKS; i++)
        tick(s);
    lw_speech_interrupt(s);
    CHECK(lw_speech_writing(s) == 2, "a write behind an interrupt opens the next utterance");
    put_constant(s, -A, 30 * LW_BLOCK);
    lw_speech_end(s, 0);
    at = heard_count;
    for (int i = 0; i < 40; i++)
        tick(s);
    int clean = 1;
    for (int64_t i = at + FADE; i < heard_count; i++)
        clean &= heard[i] <= 0;
    const lw_event *e = find_event(LW_EVENT_STARTED, 2);
    f = find_event(LW_EVENT_FINISHED, 2);
    CHECK(clean && e && e->sample == at + LW_BLOCK && f && !f->value && f->played == 30 * LW_BLOCK,
          "and it is heard whole, alone");
    CHECK(largest_step(0, heard_count) <= A / FADE + 2, "without a click");
    lw_speech_close(&s);

    /* At every phase of playing, and for queued utterances. */
    int ok = 1, finished = 1;
    for (int phase = 0; phase < 60; phase++) {
        s = open_speech(0, 1, 0);
        put_constant(s, A, 1 + phase * 17);
        if (phase & 1)
            lw_speech_end(s, 0);
        for (int i = 0; i < phase % 4; i++)
            tick(s);
        for (int i = 0; i < phase % 3; i++) {
            lw_speech_end(s, 0);
            put_constant(s, A, 2000);
        }
        uint64_t last = lw_speech_writing(s) - (phase & 1 && phase % 3 == 0);
        ok &= fades_out(s, A);
        tick(s);
        ok &= all_zero(heard_count - LW_BLOCK, heard_count) && largest_step(0, heard_count) <= A / FADE + 2;
        for (uint64_t u = 1; u <= last; u++)
            finished &= count_events(LW_EVENT_FINISHED, u) == 1;
        lw_speech_close(&s);
    }
    CHECK(ok, "a fade at every phase of speech");
    CHECK(finished, "whatever was queued is finished");
}

static void test_interrupt_storm(void)
{
    lw_speech *s = open_speech(48000, 480, 0);
    static uint8_t finished[20001];
    int64_t refused = 0, interrupts = 0;
    int exact = 1;
    memset(finished, 0, sizeof finished);
    memset(speech, 0, 4000 * sizeof *speech);
    for (int round = 0; round < 10000; round++) {
        refused += lw_speech_write(s, speech, (size_t)random_in(1, 600)) < 0;
        if (random_in(0, 3) == 0)
            lw_speech_end(s, random_in(0, 1) * 500);
        exact &= lw_speech_interrupt(s) == ++interrupts;
        if (random_in(0, 1)) {
            int16_t out[LW_BLOCK];
            int got = lw_speech_tick(s, out, events, MAX_EVENTS);
            for (int i = 0; i < got; i++)
                if (events[i].type == LW_EVENT_FINISHED && events[i].utterance <= 20000)
                    finished[events[i].utterance]++;
        }
    }
    int got = lw_speech_tick(s, heard, events, MAX_EVENTS);
    for (int i = 0; i < got; i++)
        finished[events[i].utterance] += events[i].type == LW_EVENT_FINISHED;
    uint64_t utterances = lw_speech_writing(s) - 1;
    for (uint64_t u = 1; u <= utterances; u++)
        exact &= finished[u] == 1;
    CHECK(exact && utterances > 9000 && refused == 0, "10000 interrupts: each utterance finishes once");
    CHECK(lw_speech_generation(s) == 10000 && lw_speech_buffered(s) == 0, "and every one is counted");

    /* Without a single tick the marks run out before the memory does. */
    int64_t rc = 1;
    for (int i = 0; i < 1000 && rc > 0; i++) {
        rc = lw_speech_write(s, speech, 1);
        lw_speech_interrupt(s);
    }
    CHECK(rc == LW_ENOSPC, "too many waiting utterances are refused");
    (void)lw_speech_tick(s, heard, events, 3);
    CHECK(lw_speech_write(s, speech, 1) == 1, "until the clock moves on");
    lw_speech_close(&s);
}

static void test_grace(void)
{
    lw_speech *s = open_speech(0, 480, 0);
    put_constant(s, 1000, 4800);
    lw_speech_end(s, 9600);
    for (int i = 0; i < 15; i++)
        tick(s);
    CHECK(lw_speech_writing(s) == 1 && !find_event(LW_EVENT_FINISHED, 1) && lw_speech_active(s), "grace keeps it open");
    put_constant(s, 1000, 960);
    for (int i = 0; i < 10; i++)
        tick(s);
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1), *u = find_event(LW_EVENT_UNDERRUN, 1);
    CHECK(u && u->sample == 7200 && u->value == 2400 && u->played == 4800, "late speech belongs to it, after a gap");
    CHECK(f && f->played == 5760 && !f->value && f->sample == 8160, "it finishes where its last sample was");
    CHECK(lw_speech_writing(s) == 2 && count_events(LW_EVENT_FINISHED, 0) == 1, "then it is over");
    CHECK(lw_speech_end(s, 96000) == 0 && lw_speech_writing(s) == 2, "an end behind the grace ends nothing");
    put_constant(s, 1000, 960);
    lw_speech_end(s, 0);
    for (int i = 0; i < 5; i++)
        tick(s);
    f = find_event(LW_EVENT_FINISHED, 2);
    CHECK(f && f->played == 960 && find_event(LW_EVENT_STARTED, 2), "and speech opens the next utterance");
    lw_speech_close(&s);

    s = open_speech(0, 480, 0);
    put_constant(s, 1000, 4800);
    lw_speech_end(s, 4800);
    for (int i = 0; i < 8; i++)
        tick(s);
    lw_speech_end(s, 4800); /* until 8640 */
    for (int i = 0; i < 9; i++)
        tick(s);
    CHECK(lw_speech_writing(s) == 1 && lw_speech_active(s), "a second end re-arms the grace");
    for (int i = 0; i < 3; i++)
        tick(s);
    f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(lw_speech_writing(s) == 2 && f && f->played == 4800 && f->sample == 4800, "until it runs out");
    lw_speech_close(&s);

    s = open_speech(0, 480, 0);
    put_constant(s, 1000, 48000);
    lw_speech_end(s, 960);
    tick(s);
    tick(s);
    CHECK(lw_speech_writing(s) == 2 && lw_speech_active(s), "the grace may pass while it still plays");
    put_constant(s, 2000, 9600);
    lw_speech_end(s, 0);
    for (int i = 0; i < 130; i++)
        tick(s);
    f = find_event(LW_EVENT_FINISHED, 1);
    const lw_event *e = find_event(LW_EVENT_STARTED, 2);
    CHECK(f && f->played == 48000 && e && e->sample == f->sample, "and speech behind it is another utterance");
    lw_speech_close(&s);

    s = open_speech(0, 480, 4800);
    put_constant(s, 1000, 4800);
    for (int i = 0; i < 19; i++)
        tick(s);
    CHECK(!find_event(LW_EVENT_FINISHED, 1), "without an end it stays open");
    for (int i = 0; i < 4; i++)
        tick(s);
    f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(f && f->played == 4800 && f->sample == 4800 && !f->value && !lw_speech_active(s),
        "until it has been dry for long");
    lw_speech_close(&s);
}

static void test_underrun(void)
{
    enum { A = 30000 };
    lw_speech *s = open_speech(0, 2400, 0);
    put_constant(s, A, 5000);
    for (int i = 0; i < 20; i++)
        tick(s);
    CHECK(lw_speech_active(s) && all_zero(5000, heard_count), "silence while it is dry");
    put_constant(s, A, 2399);
    tick(s);
    CHECK(!find_event(LW_EVENT_UNDERRUN, 1) && all_zero(5000, heard_count), "it gathers the prebuffer again");
    put_constant(s, A, 7000);
    for (int i = 0; i < 5; i++)
        tick(s);
    const lw_event *u = find_event(LW_EVENT_UNDERRUN, 1);
    CHECK(u && u->sample == 21 * LW_BLOCK && u->value == u->sample - 5000 && u->played == 5000, "the gap is reported");
    lw_speech_end(s, 0);
    for (int i = 0; i < 30; i++)
        tick(s);
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(f && f->played == 14399 && count_events(LW_EVENT_UNDERRUN, 0) == 1, "every sample is played");
    CHECK(largest_step(0, heard_count) <= A / FADE + 2 && heard[2000] == A && heard[12000] == A,
        "a gap does not click");
    lw_speech_close(&s);
}

static void test_back_to_back(void)
{
    lw_speech *s = open_speech(0, 480, 0);
    static const int length[4] = {10000, 777, 24000, 481};
    int64_t total = 0, sample = 0;
    for (int k = 0; k < 4; k++) {
        make_speech(speech + total, length[k]);
        put(s, speech + total, length[k]);
        lw_speech_end(s, 0);
        total += length[k];
    }
    for (int i = 0; i < 80; i++)
        tick(s);
    int order = event_count == 8, same = 1;
    for (int k = 0; k < 4 && order; k++) {
        const lw_event *e = &events[2 * k], *f = &events[2 * k + 1];
        order &= e->type == LW_EVENT_STARTED && f->type == LW_EVENT_FINISHED && e->utterance == (uint64_t)k + 1 &&
                 f->utterance == e->utterance && e->sample == sample && f->sample == sample + length[k] &&
                 f->played == length[k];
        same &= !memcmp(heard + sample, speech + sample, (size_t)(length[k] - FADE) * sizeof *speech);
        sample += length[k];
    }
    CHECK(order, "utterances follow without a gap, events in order");
    CHECK(same && all_zero(total, heard_count), "and no sample is lost between them");
    lw_speech_close(&s);
}

static void test_capacity(void)
{
    lw_speech *s = open_speech(1000, 480, 0);
    make_speech(speech, LONGEST / 4);
    CHECK(put(s, speech, 1500) == 1000 && lw_speech_space(s) == 0 && lw_speech_buffered(s) == 1000, "a partial write");
    CHECK(put(s, speech, 1) == 0, "a full buffer takes nothing");
    tick(s);
    CHECK(lw_speech_space(s) == 480 && put(s, speech + 1000, 1000) == 480, "and takes what has been played");
    lw_speech_close(&s);

    /* Many small writes, around the ring many times. */
    int64_t at = 0, total = 90000;
    s = open_speech(2000, 1500, 0);
    while (at < total) {
        int64_t part = random_in(1, 300);
        at += put(s, speech + at, part < total - at ? part : total - at);
        if (lw_speech_space(s) < 300)
            tick(s);
    }
    lw_speech_end(s, 0);
    while (lw_speech_active(s))
        tick(s);
    const lw_event *e = find_event(LW_EVENT_STARTED, 1), *f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(e && f && f->played == total && event_count == 2 &&
              !memcmp(heard + e->sample, speech, (size_t)(total - FADE) * sizeof *speech), "the ring wraps unseen");
    lw_speech_close(&s);
}

/* Every block seen belongs where it says it does; restarts only where allowed. */
static int check_looks(int restarts_allowed)
{
    int64_t next = 0;
    int restarts = 0;
    for (int i = 0; i < look_count; i++) {
        if (looks[i].restarted) {
            restarts++;
            if (looks[i].sample > next)
                return 0;
            next = looks[i].sample;
        }
        if (looks[i].sample != next)
            return 0;
        next += LW_BLOCK;
        /* A block that a restart took back was a promise that did not hold. */
        int taken_back = 0;
        for (int k = i + 1; k < look_count && !taken_back; k++)
            taken_back = looks[k].restarted && looks[k].sample <= looks[i].sample;
        if (taken_back)
            continue;
        const int16_t *want = looks[i].before ? timeline : heard;
        for (int k = 0; k < LW_BLOCK && looks[i].sample + k < heard_count; k++)
            if (want[looks[i].sample + k] != looks[i].block[k] && want[looks[i].sample + k] != -32768)
                return 0;
    }
    return restarts == restarts_allowed && next >= heard_count;
}

static void test_look(void)
{
    enum { AHEAD = 4800 };
    lw_speech *s = open_speech(0, 0, 0);
    make_speech(speech, 200000);
    for (int i = 0; i < 5; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    put(s, speech, 20000);
    int reach = 0;
    for (int i = 0; i < 20; i++) {
        tick(s);
        look_all(s, AHEAD);
        int64_t last = looks[look_count - 1].sample;
        reach |= last == lw_speech_clock(s) + AHEAD;
        if (last > lw_speech_clock(s) + AHEAD)
            reach = 2;
    }
    CHECK(reach == 1, "looks as far ahead as it may");
    put(s, speech + 20000, 10000);
    lw_speech_end(s, 0);
    for (int i = 0; i < 80; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(check_looks(0), "every block is looked at once, in order");

    put(s, speech + 30000, 20000); /* the silence has been played: nothing to take back */
    lw_speech_end(s, 0);
    for (int i = 0; i < 80; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(check_looks(0), "also in the next utterance");

    put(s, speech + 50000, 3333);
    lw_speech_end(s, 0);
    put(s, speech + 53333, 7777);
    lw_speech_end(s, 0);
    put(s, speech + 61110, 10000);
    lw_speech_end(s, 0);
    for (int i = 0; i < 80; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(check_looks(0), "and across queued ones");

    put(s, speech + 80000, 6000);
    for (int i = 0; i < 20; i++) { /* dry, then more */
        tick(s);
        look_all(s, AHEAD);
    }
    put(s, speech + 90000, 6000);
    lw_speech_end(s, 0);
    for (int i = 0; i < 40; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(count_events(LW_EVENT_UNDERRUN, 0) == 1 && check_looks(0), "and over an underrun");

    put(s, speech + 100000, 48000);
    for (int i = 0; i < 10; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    lw_speech_interrupt(s);
    int before = look_count;
    tick(s);
    int64_t clock = lw_speech_clock(s);
    look_all(s, AHEAD);
    CHECK(look_count > before && looks[before].restarted && looks[before].sample == clock - LW_BLOCK,
          "an interrupt restarts it at the block just played");
    put(s, speech + 150000, 20000);
    lw_speech_end(s, 0);
    for (int i = 0; i < 60; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(check_looks(1), "and it goes on from there");
    lw_speech_close(&s);

    /* Silence behind an end is taken for granted until speech comes there after all. */
    s = open_speech(0, 0, 0);
    put(s, speech, 9600);
    lw_speech_end(s, 0);
    for (int i = 0; i < 15; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(looks[look_count - 1].sample >= 9600, "silence behind an end is seen ahead");
    put(s, speech + 20000, 9600);
    lw_speech_end(s, 0);
    for (int i = 0; i < 40; i++) {
        tick(s);
        look_all(s, AHEAD);
    }
    CHECK(check_looks(1), "speech in its place restarts it");
    lw_speech_close(&s);
}

int main(void)
{
    test_interface();
    test_prebuffer();
    test_exact();
    test_interrupt();
    test_interrupt_storm();
    test_grace();
    test_underrun();
    test_back_to_back();
    test_capacity();
    test_look();
    return failures != 0;
}
