/* The speech timeline against rules that hold for any run: random ones, and two threads at once. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "speech_run.h"

static int16_t voice(uint64_t utterance)
{
    return (int16_t)(1000 + (int)(utterance % 50) * 600);
}

#define MODEL_UTTERANCES 20000
static int64_t given[MODEL_UTTERANCES];

/* The rules that hold for the events of any run; `given` are the samples of every utterance. */
static int events_hold(uint64_t utterances)
{
    static lw_event open;
    uint64_t last = 0;
    int speaking = 0;
    int64_t gaps = 0;
    for (int i = 0; i < event_count; i++) {
        const lw_event *e = &events[i];
        if (e->type == LW_EVENT_STARTED) {
            if (speaking || e->utterance <= last)
                return __LINE__;
            open = *e;
            speaking = 1;
            gaps = 0;
        } else if (e->type == LW_EVENT_UNDERRUN) {
            if (!speaking || e->utterance != open.utterance)
                return __LINE__;
            gaps += e->value;
            if (e->sample - open.sample != e->played + gaps)
                return __LINE__;
        } else if (e->type == LW_EVENT_FINISHED) {
            if (e->utterance != last + 1)
                return __LINE__;
            if (speaking) {
                int64_t span = e->sample - open.sample - gaps;
                if (e->utterance != open.utterance || (e->value ? span < e->played : span != e->played))
                    return __LINE__;
            } else if (!e->value || e->played) {
                return __LINE__;
            }
            if ((e->value ? e->played > given[e->utterance] : e->played != given[e->utterance]))
                return __LINE__;
            last = e->utterance;
            speaking = 0;
        } else {
            return __LINE__;
        }
    }
    return speaking || last != utterances ? __LINE__ : 0;
}

static int sounds_hold(void)
{
    int at = 0;
    const lw_event *speaking = NULL;
    for (int64_t i = 0; i < heard_count; i++) {
        while (at < event_count && events[at].sample <= i) {
            if (events[at].type == LW_EVENT_STARTED)
                speaking = &events[at];
            else if (events[at].type == LW_EVENT_FINISHED)
                speaking = NULL;
            at++;
        }
        if (heard[i] && (!speaking || heard[i] < 0 || heard[i] > voice(speaking->utterance)))
            return 0;
    }
    return 1;
}

/* A tail, and what is still open about it. */
typedef struct pending {
    int64_t samples;
    uint64_t utterance;
} pending;

/* Before a write: a tail that nobody has played was not written. */
static int64_t taken_back(lw_speech *s, pending *tail)
{
    int64_t played = lw_speech_take_back(s), gone = 0;
    if (lw_speech_writing(s) == tail->utterance && !played)
        gone = tail->samples;
    given[tail->utterance] -= gone;
    *tail = (pending){0};
    return gone;
}

static int64_t largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t put_tail(lw_speech *s, int64_t n, pending *tail)
{
    int16_t block[LW_SPEECH_TAIL];
    uint64_t u = lw_speech_writing(s);
    for (int i = 0; i < n; i++)
        block[i] = voice(u);
    int64_t took = lw_speech_tail(s, block, (size_t)n);
    if (took <= 0)
        return 0;
    *tail = (pending){.samples = took, .utterance = u};
    given[u] += took;
    return took;
}

static void test_model(void)
{
    int rules = 0, sounds = 1, sums = 1;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        int32_t capacity = random_in(0, 1) ? 3000 : 40000;
        lw_speech *s = open_run(capacity, random_in(1, 3000), random_in(1, 8) * 1000);
        int64_t written = 0, dropped = 0, played = 0;
        pending tail = {0};
        random_state = seed * 7919;
        memset(given, 0, sizeof given);
        while (heard_count < 9 * LW_RATE) {
            int what = random_in(0, 99);
            if (what < 40) {
                int64_t gone = taken_back(s, &tail);
                written -= gone;
                uint64_t u = lw_speech_writing(s);
                int64_t space = lw_speech_space(s), n = random_in(1, 1500), took;
                int16_t block[1500];
                for (int i = 0; i < n; i++)
                    block[i] = voice(u);
                took = lw_speech_write(s, block, (size_t)n);
                sums &= took == (n < space ? n : space) || took == LW_ENOSPC;
                if (took > 0) {
                    given[u] += took;
                    written += took;
                }
                if (seed & 1) /* what is known of an utterance never becomes less */
                    written += put_tail(s, largest(random_in(1, LW_SPEECH_TAIL), gone - took), &tail);
            } else if (what < 48) {
                int32_t grace = random_in(0, 2) * random_in(0, 3000);
                int kept = !grace && lw_speech_writing(s) == tail.utterance;
                lw_speech_end(s, grace);
                tail = kept ? (pending){0} : tail;
            } else if (what < 50) {
                lw_speech_interrupt(s);
                tail = (pending){0};
            } else {
                sums &= lw_speech_clock(s) == heard_count;
                event_count += lw_speech_tick(s, heard + heard_count, events + event_count, MAX_EVENTS - event_count);
                heard_count += LW_BLOCK;
            }
        }
        lw_speech_end(s, 0);
        for (int i = 0; i < 200; i++) {
            event_count += lw_speech_tick(s, heard + heard_count, events + event_count, MAX_EVENTS - event_count);
            heard_count += LW_BLOCK;
        }
        uint64_t utterances = lw_speech_writing(s) - 1;
        for (int i = 0; i < event_count; i++)
            if (events[i].type == LW_EVENT_FINISHED) {
                played += events[i].played;
                dropped += given[events[i].utterance] - events[i].played;
            }
        sums &= lw_speech_buffered(s) == 0 && !lw_speech_active(s) && played + dropped == written && played > 0;
        if (!rules)
            rules = events_hold(utterances);
        sounds &= sounds_hold() && largest_step(0, heard_count) <= 31000 / FADE + 2;
        lw_speech_close(&s);
    }
    if (rules)
        printf("# rule at line %d\n", rules);
    CHECK(!rules, "random runs: every utterance once, with its samples");
    CHECK(sounds, "random runs: only what is being said is heard, no clicks");
    CHECK(sums, "random runs: played + dropped = written");
}

/* ---- two threads ---- */

typedef struct work {
    lw_speech *s;
    _Atomic int done;
    int grace, interrupts, tails;
    int64_t written;
} work;

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void *produce(void *arg)
{
    work *w = arg;
    int16_t block[700];
    uint64_t state = 77;
    pending tail = {0};
    int64_t until = now_ms() + 400;
    for (int turn = 0; turn % 64 || now_ms() < until; turn++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t r = (uint32_t)(state >> 33);
        uint64_t u = lw_speech_writing(w->s);
        if (u >= MODEL_UTTERANCES - 2)
            break;
        if (r % 16 < 12) {
            int64_t gone = taken_back(w->s, &tail);
            w->written -= gone;
            int n = 1 + (int)(r >> 8) % 700;
            for (int i = 0; i < n; i++)
                block[i] = voice(u);
            int64_t took = lw_speech_write(w->s, block, (size_t)n);
            if (took > 0) {
                given[lw_speech_utterance(w->s)] += took; /* the clock goes on: the next one, perhaps */
                w->written += took;
            }
            if (w->tails)
                w->written += put_tail(w->s, largest(1 + (r >> 4) % 144, gone - took), &tail);
        } else if (r % 16 < 15) {
            lw_speech_end(w->s, w->grace ? (int32_t)((r >> 8) % 2000) : 0);
            tail = (pending){0};
        } else if (w->interrupts) {
            lw_speech_interrupt(w->s);
            tail = (pending){0};
        }
    }
    while (lw_speech_end(w->s, 0) < 0) {
    }
    atomic_store(&w->done, 1);
    return NULL;
}

static void run_threads(work *w)
{
    pthread_t thread;
    w->s = open_run(20000, 700, w->grace ? 4800 : INT32_MAX); /* the clock races: it must not end utterances */
    memset(given, 0, sizeof given);
    if (pthread_create(&thread, NULL, produce, w)) {
        CHECK(0, "thread");
        return;
    }
    for (int rest = 0; rest < 50;) {
        rest += atomic_load(&w->done);
        if (heard_count + LW_BLOCK > LONGEST) { /* enough is kept; the rest is played all the same */
            heard_count = 0;
            while (!atomic_load(&w->done) || lw_speech_active(w->s) || lw_speech_buffered(w->s)) {
                int16_t out[LW_BLOCK];
                event_count += lw_speech_tick(w->s, out, events + event_count, MAX_EVENTS - event_count);
            }
        }
        event_count += lw_speech_tick(w->s, heard + heard_count, events + event_count, MAX_EVENTS - event_count);
        int16_t block[LW_BLOCK];
        int64_t sample;
        int restarted;
        while (lw_speech_look(w->s, 960, block, &sample, &restarted)) {
        }
        heard_count += LW_BLOCK;
    }
    pthread_join(thread, NULL);
}

static void test_threads(void)
{
    work w = {.interrupts = 1};
    run_threads(&w);
    uint64_t utterances = lw_speech_writing(w.s) - 1;
    int rule = event_count < MAX_EVENTS ? events_hold(utterances) : 0;
    if (rule)
        printf("# rule at line %d\n", rule);
    CHECK(!rule && utterances > 10, "two threads: every utterance once, with its samples");
    CHECK(lw_speech_buffered(w.s) == 0 && largest_step(0, heard_count) <= 31000 / FADE + 2, "two threads: no click");
    lw_speech_close(&w.s);

    work t = {.interrupts = 1, .tails = 1};
    run_threads(&t);
    rule = event_count < MAX_EVENTS ? events_hold(lw_speech_writing(t.s) - 1) : 0;
    if (rule)
        printf("# rule at line %d\n", rule);
    CHECK(!rule && lw_speech_buffered(t.s) == 0, "two threads, tails: every utterance once, with its samples");
    lw_speech_close(&t.s);

    work g = {.grace = 1};
    run_threads(&g);
    int64_t played = 0;
    for (int i = 0; i < event_count; i++)
        played += events[i].type == LW_EVENT_FINISHED ? events[i].played : 0;
    rule = event_count < MAX_EVENTS ? events_hold(lw_speech_writing(g.s) - 1) : 0;
    if (rule)
        printf("# rule at line %d\n", rule);
    CHECK(event_count >= MAX_EVENTS || (played == g.written && !rule),
          "two threads, grace: every sample is played, every utterance begins and ends once");
    lw_speech_close(&g.s);
}

int main(void)
{
    test_model();
    test_threads();
    return failures != 0;
}
