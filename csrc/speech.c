/* The speech timeline: PCM in at any pace, one steady block out per tick.
 *
 * Two counters run through this file. `clock` counts samples played since open, silence included: the media clock.
 * `read` and `written` count speech samples and index the ring. While an utterance plays, `read` belongs to `clock`.
 *
 * The producer tags the stream with marks in a second ring: BEGIN(utterance, position) before its first sample,
 * END(utterance, deadline) after its last. The consumer pops a BEGIN when it has played up to its position.
 *
 * Where an utterance ends by itself, the consumer sets CLOSED in `written`, if that still is where it has read to. The
 * producer writes on with a compare-and-swap, which fails then: a sample belongs to the utterance or begins the next one,
 * never to one that is over. So every utterance finishes once.
 *
 * The tail is what follows the samples written if nothing more comes: who resamples knows the last milliseconds for
 * certain only then. It lies behind them in the ring, and its length beside the position, in one word. Where the consumer
 * gets that far it moves the position behind the tail, and plays it; before it writes on, the producer takes the tail
 * back, and one of the two comes first. So nobody reads what the other writes, and all that has come can be played.
 *
 * Catching up: late speech goes on behind a part of its next pause. The pause is cut where nobody has looked yet, and
 * what lies before the cut is moved up to it, so that the visemes follow the same samples as the sound.
 *
 * No clicks: a gain steps by at most 1/FADE per sample and reaches 0 exactly where the known speech runs out. */
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "common.h"
#include "lipwire/speech.h"
#include "pace.h"

#define FADE 240 /* samples: 5 ms */
#define MARKS 256 /* bounds the utterances that wait */
#define PAUSE_KEPT (LW_RATE / 20) /* samples: 50 ms of a pause stay on either side of a cut */
#define CUT_MOST (LW_RATE / 10)   /* at once; then as long as the way to the next cut, so that half of a pause stays */
#define CUT_LEAST LW_BLOCK
#define LATE (LW_RATE / 50)    /* beyond the prebuffer: less is no delay */
#define LOOK_TICKS 50          /* how long a smallest backlog is looked for */
#define STEADY (30LL * LW_RATE) /* without an underrun: then the prebuffer shrinks */
#define PACES 512              /* of utterances, more than can wait */
#define PAGE 32768 /* samples: 64 KiB, what lw_pages_empty gives back at least */
#define KEPT (4 * PAGE) /* so many that have been played are given back at once */
#define CLOSED ((int64_t)1 << 62)
#define TAIL_BITS 8
_Static_assert(LW_SPEECH_TAIL < 1 << TAIL_BITS, "its length has its bits");
#define QUIET_START 64 /* a first sample below this (-54 dBFS) needs no fade-in: speech that starts softly is untouched */

enum mark_kind { MARK_BEGIN, MARK_END };

typedef struct mark {
    int32_t kind;
    uint64_t utterance;
    int64_t at; /* BEGIN: ring position; END: media clock of the deadline */
} mark;

enum state { IDLE, WAITING, PLAYING, DRY };

struct lw_speech {
    lw_speech_config config;
    size_t bytes; /* mapped */
    int64_t mask;
    int16_t *ring;
    mark *marks;

    /* producer */
    uint64_t utterance; /* being written, or the last one */
    int open;           /* the next write belongs to it (unless the deadline has passed) */
    int ending;
    int64_t deadline;
    lw_pace pace;    /* of the one being written */
    int64_t tail, tail_at; /* samples of the tail, where it is not known what became of it, and their ring position */
    int64_t emptied; /* ring position, of a page: the memory of what lies before it has been given back */

    /* shared: each has one writer */
    _Alignas(64) _Atomic int64_t written; /* ring position << TAIL_BITS | samples of the tail, and CLOSED. The consumer
                                             moves the position behind the tail, and sets CLOSED */
    _Atomic int64_t marks_written;
    _Atomic int64_t drop; /* an interrupt drops positions below this */
    _Atomic int64_t generation;
    _Alignas(64) _Atomic int64_t read;
    _Atomic int64_t marks_read;
    _Atomic int64_t clock;
    _Atomic int active;
    _Atomic int64_t prebuffer, caught_up;
    _Atomic uint8_t paces[PACES];  /* lw_pace_verdict, by number; the producer's */
    _Atomic int32_t aheads[PACES]; /* samples that its sender is ahead of speech; the producer's */

    /* consumer */
    _Alignas(64) enum state state;
    int64_t generation_seen;
    uint64_t playing;
    int64_t began; /* ring position of its first sample */
    int64_t played;
    int has_deadline;
    int64_t end_deadline;
    int64_t waited, dry; /* samples */
    int64_t missing;     /* of `dry`, until more came */
    int64_t steady;      /* samples since the last underrun */
    int64_t low[2];      /* the smallest backlog: of these LOOK_TICKS, and of those before */
    int low_ticks;
    int64_t splice_at, splice; /* ring position of the last cut that is still to be played, and its length; or 0 */
    int32_t gain;        /* 0..FADE */
    int64_t look;        /* media clock of the next block to look at */
    int64_t finished_at; /* media clock at which an utterance ended without a gap, or -1 */
    int64_t looked_to;   /* ring position up to which silence was assumed to follow, or -1 */
    int restarted;
    int16_t last[LW_BLOCK];
};

static const lw_speech_config defaults = {
    .capacity = LW_SPEECH_CAPACITY, .prebuffer = LW_SPEECH_PREBUFFER, .dry_timeout = LW_SPEECH_DRY_TIMEOUT};

static void layout(lw_speech *s, lw_arena *arena)
{
    const uintptr_t page = PAGE * sizeof(int16_t);
    uintptr_t ring = (uintptr_t)lw_carve(arena, (size_t)(s->mask + 1) * sizeof(int16_t) + page);
    s->ring = (int16_t *)((ring + page - 1) & ~(page - 1));
    s->marks = lw_carve(arena, MARKS * sizeof(mark));
}

int lw_speech_open(lw_speech **out, const lw_speech_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    lw_speech want = {.config = config ? *config : defaults, .looked_to = -1, .finished_at = -1};
    if (!want.config.capacity)
        want.config.capacity = defaults.capacity;
    if (!want.config.prebuffer)
        want.config.prebuffer = defaults.prebuffer;
    if (!want.config.dry_timeout)
        want.config.dry_timeout = defaults.dry_timeout;
    if (!want.config.prebuffer_max)
        want.config.prebuffer_max = want.config.prebuffer;
    atomic_init(&want.prebuffer, want.config.prebuffer);
    if (want.config.capacity < LW_BLOCK || want.config.capacity > 3600 * LW_RATE || want.config.prebuffer < 0 ||
        want.config.prebuffer_max > want.config.capacity || want.config.prebuffer_max < want.config.prebuffer || want.config.dry_timeout < 0)
        return LW_EINVAL;
    int64_t size = 1;
    while (size < want.config.capacity)
        size <<= 1;
    want.mask = size - 1;

    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    want.bytes = arena.used;
    lw_speech *s = lw_pages_open(want.bytes); /* most stay untouched until so much speech waits */
    if (!s)
        return LW_ENOMEM;
    memcpy(s, &want, sizeof want);
    arena = (lw_arena){.base = (uint8_t *)s};
    lw_carve(&arena, sizeof want);
    layout(s, &arena);
    *out = s;
    return 0;
}

void lw_speech_close(lw_speech **s)
{
    if (s && *s) {
        lw_pages_close(*s, (*s)->bytes);
        *s = NULL;
    }
}

/* ---- producer ---- */

/* Marks that still fit. */
static int64_t mark_room(const lw_speech *s)
{
    return MARKS - (atomic_load_explicit(&s->marks_written, memory_order_relaxed) -
                    atomic_load_explicit(&s->marks_read, memory_order_acquire));
}

static int push_mark(lw_speech *s, int32_t kind, int64_t at)
{
    int64_t n = atomic_load_explicit(&s->marks_written, memory_order_relaxed);
    if (mark_room(s) <= 0)
        return LW_ENOSPC;
    s->marks[n % MARKS] = (mark){.kind = kind, .utterance = s->utterance, .at = at};
    atomic_store_explicit(&s->marks_written, n + 1, memory_order_release);
    return 0;
}

int lw_speech_room(const lw_speech *s)
{
    return (int)(mark_room(s) / 2); /* their ENDs will find room, too */
}

static int64_t word_of(int64_t position, int64_t tail)
{
    return position << TAIL_BITS | tail;
}

static int64_t position_of(int64_t word)
{
    return (word & ~CLOSED) >> TAIL_BITS;
}

static int64_t tail_of(int64_t word)
{
    return word & ((1 << TAIL_BITS) - 1);
}

/* Ring position behind the newest sample, the tail not counted. */
static int64_t written_to(const lw_speech *s, memory_order order)
{
    return position_of(atomic_load_explicit(&s->written, order));
}

int64_t lw_speech_space(const lw_speech *s)
{
    int64_t read = atomic_load_explicit(&s->read, memory_order_acquire);
    return s->config.capacity - (written_to(s, memory_order_acquire) - read);
}

/* No utterance is open: none begun, ended, the grace after its end has passed, or it ran dry for too long. */
static int is_over(const lw_speech *s)
{
    return !s->open || (s->ending && lw_speech_clock(s) >= s->deadline) ||
           (atomic_load_explicit(&s->written, memory_order_acquire) & CLOSED);
}

uint64_t lw_speech_writing(const lw_speech *s)
{
    return s->utterance + (is_over(s) ? 1 : 0);
}

uint64_t lw_speech_utterance(const lw_speech *s)
{
    return s->utterance;
}

/* Copies between the linear buffer and the ring, wrapping once. */
static void ring_copy(const lw_speech *s, int64_t position, int16_t *out, const void *in, size_t n)
{
    size_t at = (size_t)(position & s->mask);
    size_t first = (size_t)s->mask + 1 - at;
    first = first < n ? first : n;
    if (out) {
        memcpy(out, s->ring + at, first * sizeof(int16_t));
        memcpy(out + first, s->ring, (n - first) * sizeof(int16_t));
    } else {
        memcpy(s->ring + at, in, first * sizeof(int16_t));
        memcpy(s->ring, (const uint8_t *)in + first * sizeof(int16_t), (n - first) * sizeof(int16_t));
    }
}

void lw_speech_give_back(lw_speech *s)
{
    int64_t size = s->mask + 1, to = atomic_load_explicit(&s->read, memory_order_acquire) & ~(int64_t)(PAGE - 1);
    /* Where the ring has come round, what was played first has been written over. */
    int64_t over = written_to(s, memory_order_relaxed) - size;
    int64_t from = lw_max64(s->emptied, (over + PAGE - 1) & ~(int64_t)(PAGE - 1)), n = to - from;
    if (n < KEPT)
        return;
    int64_t at = from & s->mask, first = lw_min64(n, size - at);
    lw_pages_empty(s->ring + at, (size_t)first * sizeof *s->ring);
    lw_pages_empty(s->ring, (size_t)(n - first) * sizeof *s->ring);
    s->emptied = to;
}

/* `to` samples of the tail, all or none, count as written, unless the consumer has played it: then all do. Returns how
 * many. */
static int64_t settle_tail(lw_speech *s, int64_t to)
{
    int64_t tail = s->tail, found = word_of(s->tail_at, tail), next = word_of(s->tail_at + to, 0);
    s->tail = 0;
    if (!tail)
        return 0;
    int ours = atomic_compare_exchange_strong_explicit(&s->written, &found, next, memory_order_acq_rel,
                                                       memory_order_acquire);
    return ours ? to : tail;
}

static void keep_tail(lw_speech *s)
{
    settle_tail(s, s->tail);
}

int64_t lw_speech_take_back(lw_speech *s)
{
    if (is_over(s)) {
        keep_tail(s);
        return 0;
    }
    return settle_tail(s, 0);
}

static int begin(lw_speech *s, int64_t at)
{
    if (!lw_speech_room(s))
        return LW_ENOSPC;
    s->utterance++;
    s->open = 1;
    s->ending = 0;
    s->pace = (lw_pace){0};
    atomic_store_explicit(&s->paces[s->utterance % PACES], LW_PACE_NONE, memory_order_relaxed);
    atomic_store_explicit(&s->aheads[s->utterance % PACES], 0, memory_order_relaxed);
    return push_mark(s, MARK_BEGIN, at);
}

/* Writes samples, or a tail. */
static int64_t put(lw_speech *s, const int16_t *pcm, size_t n, int is_tail)
{
    int over = is_over(s);
    if (n)
        settle_tail(s, over ? s->tail : 0); /* the tail of the utterance before belongs to it */
    int64_t take = lw_min64((int64_t)n, lw_speech_space(s));
    if (take <= 0)
        return 0;
    int64_t w = written_to(s, memory_order_relaxed);
    lw_speech_give_back(s);
    ring_copy(s, w, NULL, pcm, (size_t)take);
    int64_t open = word_of(w, 0), next = is_tail ? word_of(w, take) : word_of(w + take, 0);
    /* Fails where the utterance has been closed: then there is a next one to begin. */
    if (over || !atomic_compare_exchange_strong_explicit(&s->written, &open, next, memory_order_release,
                                                         memory_order_relaxed)) {
        int rc = begin(s, w);
        if (rc < 0)
            return rc;
        atomic_store_explicit(&s->written, next, memory_order_release);
    }
    s->tail = is_tail ? take : 0;
    s->tail_at = w;
    return take;
}

int64_t lw_speech_write(lw_speech *s, const int16_t *pcm, size_t n)
{
    if (!s || (n && !pcm))
        return LW_EINVAL;
    return put(s, pcm, n, 0);
}

int64_t lw_speech_tail(lw_speech *s, const int16_t *pcm, size_t n)
{
    if (!s || (n && !pcm) || n > LW_SPEECH_TAIL)
        return LW_EINVAL;
    return put(s, pcm, n, 1);
}

void lw_speech_arrived(lw_speech *s, int64_t samples, int64_t now_ns)
{
    int verdict = lw_pace_add(&s->pace, samples, now_ns);
    int32_t ahead = (int32_t)lw_min64(s->pace.ahead * LW_RATE / 1000000000, INT32_MAX);
    atomic_store_explicit(&s->aheads[s->utterance % PACES], ahead, memory_order_relaxed);
    atomic_store_explicit(&s->paces[s->utterance % PACES], (uint8_t)verdict, memory_order_relaxed);
}

int lw_speech_end(lw_speech *s, int32_t grace)
{
    if (!s || grace < 0)
        return LW_EINVAL;
    if (is_over(s))
        return 0;
    if (!grace)
        keep_tail(s);
    int64_t deadline = lw_speech_clock(s) + grace;
    /* A first END has its room since the BEGIN. One that re-arms it may not take that of utterances to come. */
    if (!s->ending || mark_room(s) > MARKS / 2)
        push_mark(s, MARK_END, deadline);
    s->ending = 1;
    s->deadline = deadline;
    if (!grace)
        s->open = 0;
    return 0;
}

int64_t lw_speech_interrupt(lw_speech *s)
{
    keep_tail(s);
    s->open = 0;
    s->ending = 0;
    atomic_store_explicit(&s->drop, written_to(s, memory_order_relaxed), memory_order_release);
    return atomic_fetch_add_explicit(&s->generation, 1, memory_order_release) + 1;
}

/* ---- consumer ---- */

static int emit(lw_event *events, int count, int cap, lw_event event)
{
    if (count < cap)
        events[count] = event;
    return count + 1;
}

static const mark *peek_mark(const lw_speech *s)
{
    int64_t n = atomic_load_explicit(&s->marks_read, memory_order_relaxed);
    return n < atomic_load_explicit(&s->marks_written, memory_order_acquire) ? &s->marks[n % MARKS] : NULL;
}

static void pop_mark(lw_speech *s)
{
    atomic_fetch_add_explicit(&s->marks_read, 1, memory_order_release);
}

/* Ring position behind all that has come, the tail with it. */
static int64_t known_to(const lw_speech *s)
{
    int64_t word = atomic_load_explicit(&s->written, memory_order_acquire);
    return position_of(word) + tail_of(word);
}

/* What lies before ring position `to` is about to be read, of the tail, too: then all of it counts as written. Returns up
 * to where there is something to read; less than was known where the producer has just taken the tail back. */
static int64_t reach(lw_speech *s, int64_t to)
{
    int64_t word = atomic_load_explicit(&s->written, memory_order_acquire);
    while (tail_of(word) && position_of(word) < to) {
        int64_t all = word_of(position_of(word) + tail_of(word), 0);
        if (atomic_compare_exchange_weak_explicit(&s->written, &word, all, memory_order_acq_rel, memory_order_acquire))
            word = all;
    }
    return position_of(word);
}

/* Takes the END marks at the head of the queue; says where the playing utterance's samples stop for now, and whether
 * another one has begun behind it. An END comes after its samples: what was written is read again behind each one. */
static int64_t utterance_limit(lw_speech *s, int *closed)
{
    for (;;) {
        int64_t known = known_to(s);
        const mark *m = peek_mark(s);
        if (!m || m->kind == MARK_BEGIN) {
            *closed = m != NULL;
            return m ? m->at : known;
        }
        s->has_deadline = 1;
        s->end_deadline = m->at;
        pop_mark(s);
    }
}

/* As utterance_limit, where samples up to `to` are about to be read: the tail may have been taken back, and another
 * utterance have begun in its place. */
static int64_t readable_limit(lw_speech *s, int64_t limit, int64_t to, int *closed)
{
    int64_t there = reach(s, to), now = utterance_limit(s, closed);
    if (*closed)
        return now;
    return lw_min64(now, there < to ? there : limit);
}

static void set_state(lw_speech *s, enum state state)
{
    s->state = state;
    atomic_store_explicit(&s->active, state == PLAYING || state == DRY, memory_order_relaxed);
}

static int finish(lw_speech *s, lw_event *events, int count, int cap, int64_t sample, int interrupted)
{
    count = emit(events, count, cap,
                 (lw_event){.type = LW_EVENT_FINISHED,
                            .value = interrupted,
                            .utterance = s->playing,
                            .sample = sample,
                            .played = s->played});
    set_state(s, IDLE);
    s->has_deadline = 0;
    s->dry = 0;
    s->splice = 0;
    return count;
}

static int pace_of(const lw_speech *s)
{
    return atomic_load_explicit(&s->paces[s->playing % PACES], memory_order_relaxed);
}

/* ---- lateness ---- */

static int16_t *sample_at(lw_speech *s, int64_t position)
{
    return s->ring + (position & s->mask);
}

static void set_prebuffer(lw_speech *s, int64_t samples)
{
    atomic_store_explicit(&s->prebuffer, samples, memory_order_relaxed);
}

/* More has come after a gap: had the prebuffer been larger by that much, there would have been none. A gap that no
 * prebuffer may cover is the sender's pause. */
static void grow_prebuffer(lw_speech *s)
{
    int pace = pace_of(s);
    s->missing = lw_max64(s->dry, 1);
    if ((pace == LW_PACE_NEW || pace == LW_PACE_PACED) && s->missing <= s->config.prebuffer_max)
        set_prebuffer(s, lw_min64(lw_speech_prebuffer(s) + lw_max64(s->missing, LW_BLOCK), s->config.prebuffer_max));
    s->steady = 0;
}

static void shrink_prebuffer(lw_speech *s, int64_t played)
{
    s->steady += played;
    if (s->steady < STEADY)
        return;
    s->steady = 0;
    int64_t more = (lw_speech_prebuffer(s) - s->config.prebuffer) / 2;
    set_prebuffer(s, s->config.prebuffer + (more < LW_BLOCK / 2 ? 0 : more));
}

static void forget_backlog(lw_speech *s)
{
    s->low[0] = INT64_MAX;
    s->low[1] = 0; /* nothing is late before the first stretch is over */
    s->low_ticks = 0;
}

/* How late the playing speech is: what is always left over, whatever the sizes in which it comes, but for what a sender
 * who is ahead of his own speech has sent too early. */
static int64_t lateness(lw_speech *s, int64_t backlog)
{
    s->low[0] = lw_min64(s->low[0], backlog);
    if (++s->low_ticks == LOOK_TICKS) {
        s->low[1] = s->low[0];
        s->low[0] = backlog;
        s->low_ticks = 0;
    }
    int64_t ahead = atomic_load_explicit(&s->aheads[s->playing % PACES], memory_order_relaxed);
    return lw_min64(s->low[0], s->low[1]) - lw_speech_prebuffer(s) - ahead;
}

/* Silent samples from `position` on, at most `most`. */
static int64_t quiet_run(lw_speech *s, int64_t position, int64_t most)
{
    int64_t n = 0;
    while (n < most) {
        int16_t x = *sample_at(s, position + n);
        if (x <= -QUIET_START || x >= QUIET_START)
            break;
        n++;
    }
    return n;
}

/* Leaves `cut` samples out at ring position `at`: fades from what lies before them into what lies behind, and moves what
 * is still to be played up to it. Returns the new `read`. */
static int64_t splice(lw_speech *s, int64_t read, int64_t at, int64_t cut)
{
    for (int i = 0; i < FADE; i++) {
        int16_t *behind = sample_at(s, at + cut + i);
        *behind = (int16_t)((*sample_at(s, at + i) * (FADE - i) + *behind * i) / FADE);
    }
    for (int64_t i = at; i-- > read;)
        *sample_at(s, i + cut) = *sample_at(s, i);
    for (int i = 0; i < 2; i++)
        s->low[i] -= s->low[i] == INT64_MAX ? 0 : cut;
    s->splice_at = at + cut;
    s->splice = cut;
    LW_COUNT(s->caught_up, cut);
    return read + cut;
}

/* Behind a block of playing speech: shortens the pause that comes next, where speech is late. `clock` is that behind the
 * block. Returns `read`, or what it is now. */
static int64_t catch_up(lw_speech *s, int64_t read, int64_t limit, int64_t clock)
{
    int64_t late = lateness(s, limit - read);
    if (!s->config.catch_up || late <= LATE || s->splice || s->restarted || s->gain < FADE || pace_of(s) != LW_PACE_PACED)
        return read;
    int64_t at = read + lw_max64(PAUSE_KEPT, s->look - clock), from = at - PAUSE_KEPT;
    int64_t run = quiet_run(s, from, lw_min64(limit - from, 2 * PAUSE_KEPT + CUT_MOST));
    int64_t cut = lw_min64(run - 2 * PAUSE_KEPT, late);
    return cut < CUT_LEAST ? read : splice(s, read, at, cut);
}

/* Nothing of the playing utterance has come behind `read`, and from now on nothing will: it is over. 0: something has. */
static int close_at(lw_speech *s, int64_t read)
{
    int64_t word = word_of(read, 0), closed = word | CLOSED;
    return atomic_compare_exchange_strong_explicit(&s->written, &word, closed, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           word == closed;
}

/* Fades the next samples of `read` into out while the gain lasts; returns how many were written. */
static int play(lw_speech *s, int16_t *out, int room, int64_t read, int64_t limit)
{
    int n = (int)lw_min64(room, limit - read);
    if (n <= 0)
        return 0;
    ring_copy(s, read, out, NULL, (size_t)n);
    int64_t left = limit - read;
    if (s->gain == FADE && left - n >= FADE)
        return n;
    for (int i = 0; i < n; i++) {
        if (left - i <= s->gain)
            s->gain = (int32_t)(left - i - 1);
        else if (s->gain < FADE && left - i > s->gain + 1)
            s->gain++;
        int32_t gain_q15 = s->gain * 32768 / FADE;
        out[i] = (int16_t)((out[i] * gain_q15 + 16384) >> 15);
    }
    return n;
}

/* Drops what the interrupt covers, playing the last few samples of it out as a fade. Returns the samples written. */
static int drop(lw_speech *s, int16_t *out, int64_t clock, lw_event *events, int *count, int cap)
{
    int64_t to = atomic_load_explicit(&s->drop, memory_order_acquire);
    int64_t read = atomic_load_explicit(&s->read, memory_order_relaxed);
    int faded = 0;
    if ((s->state == PLAYING || s->state == DRY) && s->began >= to)
        return 0; /* written behind the interrupt, and reached before the tick that hears of it */
    if (s->state == PLAYING || s->state == DRY) {
        if (s->state == PLAYING && s->gain)
            faded = play(s, out, LW_BLOCK, read, lw_min64(to, read + s->gain));
        s->played += faded;
        *count = finish(s, events, *count, cap, clock + faded, 1);
    }
    const mark *m;
    while ((m = peek_mark(s)) && (m->kind == MARK_END || m->at < to)) {
        if (m->kind == MARK_BEGIN)
            *count = emit(events, *count, cap,
                          (lw_event){.type = LW_EVENT_FINISHED,
                                     .value = 1,
                                     .utterance = m->utterance,
                                     .sample = clock + faded});
        pop_mark(s);
    }
    s->gain = 0;
    s->has_deadline = 0;
    set_state(s, IDLE);
    s->restarted = 1;
    atomic_store_explicit(&s->read, lw_max64(read, to), memory_order_release);
    return faded;
}

/* 1 when speech may (re)start: enough is there, all of it is there, or it has waited long enough. */
static int ready(lw_speech *s, int64_t available, int all)
{
    int64_t prebuffer = lw_speech_prebuffer(s);
    int go = available >= prebuffer || all || s->waited >= prebuffer;
    s->waited = go ? 0 : s->waited + LW_BLOCK;
    return go;
}

/* From here `read` belongs to `sample` again; what was looked at beyond it was something else. */
static void align(lw_speech *s, int64_t sample, int32_t gain)
{
    if (s->look > sample)
        s->restarted = 1;
    s->gain = gain;
    s->dry = s->missing = 0;
    forget_backlog(s);
    set_state(s, PLAYING);
}

/* Begins the next utterance if there is one and it is ready. */
static int start(lw_speech *s, int64_t read, int64_t sample)
{
    const mark *m;
    int64_t known = known_to(s);
    while ((m = peek_mark(s)) && m->kind == MARK_END) /* of an utterance that finished while its END was on the way */
        pop_mark(s);
    if (!m || read >= known)
        return 0;
    int64_t next = atomic_load_explicit(&s->marks_read, memory_order_relaxed) + 1;
    int all = next < atomic_load_explicit(&s->marks_written, memory_order_acquire);
    set_state(s, WAITING);
    if (!ready(s, known - read, all) || reach(s, read + 1) <= read)
        return 0;
    s->playing = m->utterance;
    pop_mark(s);
    s->began = read;
    s->played = 0;
    s->has_deadline = 0;
    int16_t first;
    ring_copy(s, read, &first, NULL, 1);
    int32_t gain = first > -QUIET_START && first < QUIET_START ? FADE : 0;
    int seamless = sample == s->finished_at; /* what was looked at ahead is just this speech */
    align(s, seamless ? lw_max64(sample, s->look) : sample, gain);
    return 1;
}

int lw_speech_tick(lw_speech *s, int16_t out[LW_BLOCK], lw_event *events, int cap)
{
    int count = 0, filled = 0;
    int64_t clock = atomic_load_explicit(&s->clock, memory_order_relaxed);
    int64_t generation = atomic_load_explicit(&s->generation, memory_order_acquire);
    if (generation != s->generation_seen) {
        s->generation_seen = generation;
        filled = drop(s, out, clock, events, &count, cap);
    }
    int64_t read = atomic_load_explicit(&s->read, memory_order_relaxed), limit = read;

    int silent = filled > 0; /* behind a fade the block stays silent; the next utterance begins with the next one */
    while (!silent && filled < LW_BLOCK) {
        int64_t sample = clock + filled;
        if (s->state == IDLE || s->state == WAITING) {
            if (!start(s, read, sample))
                break;
            count = emit(events, count, cap,
                         (lw_event){.type = LW_EVENT_STARTED, .utterance = s->playing, .sample = sample});
        }
        int closed;
        limit = utterance_limit(s, &closed);
        if (s->state == DRY && read < limit) {
            if (!s->missing)
                grow_prebuffer(s);
            if (!ready(s, limit - read, closed || s->has_deadline))
                break;
            count = emit(events, count, cap,
                         (lw_event){.type = LW_EVENT_UNDERRUN,
                                    .value = (int32_t)s->dry,
                                    .utterance = s->playing,
                                    .sample = sample,
                                    .played = s->played});
            align(s, sample, 0);
        }
        if (!closed)
            limit = readable_limit(s, limit, read + LW_BLOCK - filled, &closed);
        int n = play(s, out + filled, LW_BLOCK - filled, read, limit);
        filled += n;
        read += n;
        s->played += n;
        shrink_prebuffer(s, n);
        if (s->splice && read >= s->splice_at) {
            s->played += s->splice;
            s->splice = 0;
        }
        if (read < limit)
            break; /* the block is full */
        int timeout = s->has_deadline ? clock + filled >= s->end_deadline : s->dry >= s->config.dry_timeout;
        if (!closed && timeout && !close_at(s, read))
            continue; /* more has come in this moment, or another one has begun */
        if (closed || timeout) {
            s->finished_at = s->state == PLAYING ? clock + filled : -1;
            count = finish(s, events, count, cap, clock + filled - s->dry, 0);
        } else if (filled < LW_BLOCK) {
            if (s->state == PLAYING)
                set_state(s, DRY);
            break;
        }
    }
    if (s->state == DRY)
        s->dry += LW_BLOCK - filled;
    else if (s->state == PLAYING && filled == LW_BLOCK)
        read = catch_up(s, read, lw_min64(limit, written_to(s, memory_order_acquire)), clock + LW_BLOCK);
    memset(out + filled, 0, (size_t)(LW_BLOCK - filled) * sizeof(int16_t));
    memcpy(s->last, out, sizeof s->last);
    atomic_store_explicit(&s->read, read, memory_order_release);
    atomic_store_explicit(&s->clock, clock + LW_BLOCK, memory_order_release);
    return count;
}

int lw_speech_look(lw_speech *s, int32_t ahead, int16_t out[LW_BLOCK], int64_t *sample, int *restarted)
{
    int64_t clock = atomic_load_explicit(&s->clock, memory_order_relaxed);
    int64_t written = written_to(s, memory_order_acquire);
    /* What was taken for the silence behind the end turned out to be speech: look again from here. */
    if (s->looked_to >= 0 && written > s->looked_to) {
        s->restarted |= s->look > clock;
        s->looked_to = -1;
    }
    *restarted = s->restarted;
    if (s->restarted) {
        s->restarted = 0;
        s->look = clock - LW_BLOCK;
        s->looked_to = -1;
    }
    if (s->look < clock) { /* just played: certain whatever it was */
        memcpy(out, s->last, sizeof s->last);
        *sample = s->look = clock - LW_BLOCK;
        s->look += LW_BLOCK;
        return 1;
    }
    if (s->state != PLAYING || s->look - clock > ahead)
        return 0;
    int64_t position = atomic_load_explicit(&s->read, memory_order_relaxed) + (s->look - clock);
    int64_t n = lw_min64(LW_BLOCK, lw_max64(0, written - position));
    if (n < LW_BLOCK) {
        int closed;
        utterance_limit(s, &closed);
        if (!s->has_deadline)
            return 0; /* more may come */
        written = reach(s, position + LW_BLOCK);
        n = lw_min64(LW_BLOCK, lw_max64(0, written - position));
        s->looked_to = n < LW_BLOCK ? written : -1;
    }
    ring_copy(s, position, out, NULL, (size_t)n);
    memset(out + n, 0, (size_t)(LW_BLOCK - n) * sizeof(int16_t));
    *sample = s->look;
    s->look += LW_BLOCK;
    return 1;
}

void lw_speech_prefetch(const lw_speech *s, int samples)
{
    if (!samples) {
        lw_prefetch(s, offsetof(lw_speech, paces));
        lw_prefetch(&s->state, sizeof *s - offsetof(lw_speech, state));
        return;
    }
    int64_t read = atomic_load_explicit(&s->read, memory_order_relaxed);
    int64_t ahead = s->look - atomic_load_explicit(&s->clock, memory_order_relaxed);
    lw_prefetch(s->ring + (read & s->mask), LW_BLOCK * sizeof(int16_t));
    lw_prefetch(s->ring + ((read + ahead) & s->mask), LW_BLOCK * sizeof(int16_t));
}

/* ---- readers of the clock ---- */

int64_t lw_speech_clock(const lw_speech *s)
{
    return atomic_load_explicit(&s->clock, memory_order_acquire);
}

int64_t lw_speech_buffered(const lw_speech *s)
{
    int64_t read = atomic_load_explicit(&s->read, memory_order_acquire);
    return known_to(s) - read;
}

int64_t lw_speech_generation(const lw_speech *s)
{
    return atomic_load_explicit(&s->generation, memory_order_relaxed);
}

int64_t lw_speech_heeded(const lw_speech *s)
{
    return s->generation_seen;
}

int64_t lw_speech_played(const lw_speech *s, uint64_t *utterance)
{
    *utterance = s->playing;
    return s->played;
}

int64_t lw_speech_prebuffer(const lw_speech *s)
{
    return atomic_load_explicit(&s->prebuffer, memory_order_relaxed);
}

int64_t lw_speech_caught_up(const lw_speech *s)
{
    return atomic_load_explicit(&s->caught_up, memory_order_relaxed);
}

int lw_speech_active(const lw_speech *s)
{
    return atomic_load_explicit(&s->active, memory_order_relaxed);
}
