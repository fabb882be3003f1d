/* The jitter buffer: packets in the order of their time, and a strip of sound that is played from its beginning.
 *
 *   put    sequence and timestamp to 64 bits -> duplicates, strays -> how late it is (jitter_delay.c) -> its place
 *   get    the strip is filled up to 10 ms: by the next packet, by what stands in for one, or by silence; then, if there
 *          is too much or too little of a lag, it is shortened or lengthened by a period (stretch.c)
 *
 *   strip    |-- history, 40 ms --|-- to be played --|      history is what was played
 *                                 read               write
 *   place    samples since the first packet, by timestamps. `next` is that of what comes behind the strip
 *   lag      offset (jitter_delay.h) of playing: time - place. Packets are needed when a block begins, so of a lag only
 *            whole blocks count: what the strip holds beyond whole blocks is of no use, and is cut when it can be
 *
 *   idle      nothing is played until the first packet's time has come: its place plus the target
 *   playing   a packet that is missing when it is needed is late or lost. Nothing behind it has come: the sound goes on by
 *             itself (conceal.c). Something has: lost, and the gap is bridged to it. It comes after all: it takes over
 *             from where it ought to be, or, if we are to lag more anyway or it would lose too much, from its beginning
 *   comfort   noise as the sender described it, until speech is due
 */
#include <stdlib.h>
#include <string.h>

#include "comfort.h"
#include "common.h"
#include "conceal.h"
#include "jitter_delay.h"
#include "lipwire/jitter.h"
#include "pitch.h"
#include "stretch.h"

#define MS INT64_C(1000000)
#define BLOCK_NS (10 * MS)
#define STRIP_MS 300
#define BRIDGE_MS 60          /* wider gaps are filled from the front, until they are no wider */
#define OVERLAP_US 5000       /* a bridge's cross-fade into what follows */
#define TAKE_OVER_MS 40       /* a packet that is late by no more takes over from where it ought to be */
#define GIVE_UP_MS 500        /* without a packet: the stream pauses */
#define TIMES_OFF_NS (200 * MS) /* calls that are so far off are another beginning */
#define STRAY_SEQUENCE 3000   /* RFC 3550, A.1: MAX_DROPOUT */
#define STEP (1000 * MS)      /* a packet that is here so long before its time has another time */
#define STEP_LATE (200 * MS)  /* what is further from being on time than this is not right behind what was before */
#define SEEN 1024             /* sequence numbers that duplicates are known of */
#define KEY_HELD_NS (120 * MS) /* a telephone event's packets come at least so often */
#define SEGMENT 0xFFFF        /* the length of a telephone event's segment that others follow */
#define EVENTS 32
#define HYSTERESIS (3 * MS)
#define SLACK (4 * MS)        /* what the lag may be short of */
#define PATIENT_MS 20         /* so much too much waits for somebody to be quiet */
#define QUIET_MOST 330        /* mean absolute value: about -38 dBov */

enum { IDLE, PLAYING, COMFORT };

typedef struct packet {
    int64_t sequence, place, arrival;
    int32_t duration, kind, size;
} packet;

struct lw_jitter {
    lw_jitter_config config;
    int32_t rate, block, most; /* samples a second, in 10 ms, in the longest packet */

    /* Packets: `order` is a ring of the indices of those that wait, by place. */
    packet *packets;
    uint8_t *payloads;
    uint16_t *order, *spare;
    int32_t slots, head, count, spares;

    /* The stream's numbers. */
    int known;
    int64_t start_ns, first_time, last_time; /* last_time: extended timestamp */
    int64_t first_sequence, top_sequence, received;
    int64_t anew; /* sequence number from which on time is counted as it is now */
    int64_t last_offset;
    uint64_t seen[SEEN / 64];
    int64_t silent[EVENTS]; /* sequence numbers of packets without sound */
    int32_t silents;
    struct {
        int known;
        uint16_t sequence;
        uint32_t timestamp;
        int64_t now;
    } stray;
    lw_delay delay;

    /* Playing. */
    int state, tail, dtx, clocked;
    int64_t clock;         /* when the block that is being made is played */
    int64_t next, next_sequence;
    int32_t run;           /* samples that stand in for what is at `next` */
    int32_t rest;          /* blocks since the last stretch */
    int concealing;
    lw_conceal conceal;
    lw_noise comfort;
    int32_t floor, quiet_known;
    int64_t packet_ns;

    int16_t *strip, *future, *quiet;
    int32_t read, write, cap, history;
    int32_t made_from, made_to; /* of the strip: the last stretch that was made up */
    int stretched;              /* this block: enum lw_jitter_mode */

    lw_jitter_event_t events[EVENTS];
    int32_t event_head, event_count;
    int64_t event_time, held_until;
    int32_t event_known, event_ended, event_before; /* event_before: of its length, in segments that are over */
    lw_jitter_event_t event;                        /* as its newest packet has it */

    lw_jitter_stats_t stats;
};

/* ---- time ---- */

static int64_t ns_of(const lw_jitter *j, int64_t samples)
{
    return samples / j->rate * 1000000000 + samples % j->rate * 1000000000 / j->rate;
}

static int64_t samples_of(const lw_jitter *j, int64_t ns)
{
    return ns / 1000000000 * j->rate + ns % 1000000000 * j->rate / 1000000000;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static int64_t place_of(const lw_jitter *j, int64_t time)
{
    int64_t t = time - j->first_time, clock = j->config.clock_rate, whole = floor_div(t, clock);
    return whole * j->rate + (t - whole * clock) * j->rate / clock;
}

static int64_t offset_of(const lw_jitter *j, int64_t now, int64_t place)
{
    return now - j->start_ns - ns_of(j, place);
}

static int32_t pending(const lw_jitter *j)
{
    return j->write - j->read;
}

/* Without min_delay_ms. What a lost packet needs of the next one, if that can pay: half a packet's time for a bridge to it, all of
 * it for the redundancy in it. */
static int64_t wanted(const lw_jitter *j)
{
    return lw_delay_target(&j->delay, j->config.decoder.recover ? j->packet_ns : j->packet_ns / 2);
}

static int64_t target(const lw_jitter *j)
{
    int64_t base = lw_delay_base(&j->delay), t = wanted(j);
    t = lw_max64(t, base + j->config.min_delay_ms * MS);
    return lw_min64(t, base + j->config.max_delay_ms * MS);
}

/* The offset with which the sample of place `next` would be played if it were put behind the strip. */
static int64_t lag(const lw_jitter *j, int64_t next)
{
    return offset_of(j, j->clock, next) + ns_of(j, pending(j));
}

/* ---- packets ---- */

static packet *at(const lw_jitter *j, int32_t i)
{
    return &j->packets[j->order[(j->head + i) % j->slots]];
}

static const uint8_t *payload(const lw_jitter *j, const packet *p)
{
    return j->payloads + (p - j->packets) * LW_JITTER_MAX_PAYLOAD;
}

static packet *head(const lw_jitter *j)
{
    return j->count ? at(j, 0) : NULL;
}

static void pop(lw_jitter *j)
{
    j->spare[j->spares++] = j->order[j->head];
    j->head = (j->head + 1) % j->slots;
    j->count--;
}

static void discard(lw_jitter *j)
{
    j->stats.packets_discarded++;
    pop(j);
}

static void clear(lw_jitter *j)
{
    j->head = j->count = 0;
    j->spares = j->slots;
    for (int32_t i = 0; i < j->slots; i++)
        j->spare[i] = (uint16_t)(j->slots - 1 - i);
}

static void forget_stream(lw_jitter *j)
{
    clear(j);
    lw_delay_reset(&j->delay);
    j->known = j->stray.known = 0;
    j->tail = j->state == PLAYING;
    j->state = IDLE;
    j->run = j->dtx = 0;
    j->held_until = INT64_MIN;
    j->event_known = 0;
}

static void begin_stream(lw_jitter *j, int64_t now, uint16_t sequence, uint32_t timestamp)
{
    j->known = 1;
    j->start_ns = now;
    j->first_time = j->last_time = timestamp;
    j->first_sequence = sequence;
    j->anew = INT64_MIN;
    j->top_sequence = j->first_sequence - 1;
    j->received = 0;
    j->last_offset = 0;
    j->silents = 0;
    j->next = INT64_MIN;
    memset(j->seen, 0, sizeof j->seen);
    if (j->config.decoder.reset)
        j->config.decoder.reset(j->config.decoder.state);
}

static void tell_event(lw_jitter *j, lw_jitter_event_t event)
{
    if (j->event_count == EVENTS) {
        j->event_head = (j->event_head + 1) % EVENTS;
        j->event_count--;
    }
    j->events[(j->event_head + j->event_count++) % EVENTS] = event;
}

/* An event that goes on is over, whether its end was lost or not, as long as is known. */
static void close_event(lw_jitter *j)
{
    if (!j->event_known || j->event_ended)
        return;
    j->event_ended = 1;
    j->event.end = 1;
    tell_event(j, j->event);
}

/* Can it be of the same stream? A new beginning is believed at once when nothing is being played, else when the packet
 * behind it goes on in the same way (RFC 3550, A.1). Returns 1: go on. */
static int follow_stream(lw_jitter *j, int64_t now, uint16_t sequence, uint32_t timestamp, int kind)
{
    if (j->known) {
        int32_t ahead = (int16_t)(sequence - (uint16_t)j->top_sequence);
        int64_t time = j->last_time + (int32_t)(timestamp - (uint32_t)j->last_time);
        int64_t off = offset_of(j, now, place_of(j, time)) - j->last_offset, most = (j->config.max_delay_ms + 1000) * MS;
        if (kind == LW_JITTER_EVENT)
            off = 0; /* its timestamp is that of its beginning */
        if (ahead < STRAY_SEQUENCE && ahead > -STRAY_SEQUENCE && off < most && off > -most) {
            j->stray.known = 0;
            return 1;
        }
        int64_t since = (int64_t)(int32_t)(timestamp - j->stray.timestamp) * 1000000000 / j->config.clock_rate;
        int goes_on = j->stray.known && sequence == (uint16_t)(j->stray.sequence + 1) &&
                      since - (now - j->stray.now) < 1000 * MS && since - (now - j->stray.now) > -1000 * MS;
        if (!goes_on && (j->state == PLAYING || j->count)) {
            j->stray.known = 1;
            j->stray.sequence = sequence;
            j->stray.timestamp = timestamp;
            j->stray.now = now;
            j->stats.packets_damaged++;
            return 0;
        }
        j->stats.packets_lost += j->top_sequence - j->first_sequence + 1 - j->received;
        j->stats.restarts++;
        close_event(j);
        forget_stream(j);
    }
    begin_stream(j, now, sequence, timestamp);
    return 1;
}

/* A sender that counts time from elsewhere on, in the middle of its sequence: the newest packet is of an earlier time than one
 * before it, or it is here a second and more before its time. It is played right behind what was before it, but for what is lost
 * between; where that is not about now, behind a pause say, as if it were on time. */
static void follow_step(lw_jitter *j, int64_t now, uint16_t sequence, int64_t time)
{
    int32_t ahead = (int16_t)(sequence - (uint16_t)j->top_sequence);
    if (ahead <= 0 || !j->delay.known || (time >= j->last_time && time - j->last_time <= j->config.clock_rate))
        return;
    int64_t base = lw_delay_base(&j->delay), one = samples_of(j, j->packet_ns);
    int64_t last = place_of(j, j->last_time), place = last + ahead * one, stands = place_of(j, time);
    if (time >= j->last_time &&
        (stands - place <= samples_of(j, STEP) || offset_of(j, now, stands) >= base - STEP))
        return;
    int64_t late = offset_of(j, now, place) - base;
    if (late > STEP_LATE || late < -STEP_LATE)
        place = lw_max64(last + one, samples_of(j, now - j->start_ns - base));
    j->first_time = time - (place / j->rate * j->config.clock_rate + place % j->rate * j->config.clock_rate / j->rate);
    j->last_time = time;
    j->anew = j->top_sequence + ahead;
    j->stats.restarts++;
}

/* The extended sequence number; -1: it was here before, or too long ago to know. */
static int64_t take_sequence(lw_jitter *j, uint16_t sequence)
{
    int64_t s = j->top_sequence + (int16_t)(sequence - (uint16_t)j->top_sequence);
    if (s > j->top_sequence) {
        for (int64_t i = lw_max64(j->top_sequence + 1, s - SEEN + 1); i <= s; i++)
            j->seen[(uint64_t)i / 64 % (SEEN / 64)] &= ~(UINT64_C(1) << (i & 63));
        j->top_sequence = s;
    } else if (j->top_sequence - s >= SEEN) {
        j->stats.packets_duplicate++;
        return INT64_MIN;
    }
    uint64_t *word = &j->seen[(uint64_t)s / 64 % (SEEN / 64)], bit = UINT64_C(1) << (s & 63);
    if (*word & bit) {
        j->stats.packets_duplicate++;
        return INT64_MIN;
    }
    *word |= bit;
    j->stats.packets_reordered += s < j->top_sequence;
    j->stats.packets_received++;
    if (s >= j->first_sequence)
        j->received++;
    return s;
}

/* RFC 4733, 2.3. All packets of an event have its first timestamp; the last one is sent three times. What is longer than its
 * field for that comes in segments, each of which begins where the one before is full (2.5.1.3). */
static int take_event(lw_jitter *j, int64_t now, int64_t time, const uint8_t *data, size_t n)
{
    if (n < 4) {
        j->stats.packets_damaged++;
        return 0;
    }
    lw_jitter_event_t event = {data[0], data[1] & 63, data[1] >> 7, data[2] << 8 | data[3]};
    if (j->event_known && time < j->event_time)
        return 0; /* of an event that is over */
    int goes_on = j->event_known && !j->event_ended && event.event == j->event.event;
    if (goes_on && time - j->event_time == SEGMENT) {
        j->event_time = time;
        j->event_before += SEGMENT;
    } else if (!j->event_known || time > j->event_time) {
        close_event(j);
        j->event_known = 1;
        j->event_time = time;
        j->event_ended = j->event_before = 0;
        j->event = event;
        if (!event.end)
            tell_event(j, event);
    }
    j->held_until = now + KEY_HELD_NS;
    if (j->event_ended)
        return 1;
    event.duration += j->event_before;
    if (event.duration >= j->event.duration || event.end)
        j->event = event;
    if (event.end)
        close_event(j);
    return 1;
}

/* Puts it in its place; 0: there is one already. */
static int insert(lw_jitter *j, const packet *p, const uint8_t *data)
{
    int32_t i = j->count;
    while (i > 0 && at(j, i - 1)->place > p->place)
        i--;
    if (i > 0 && at(j, i - 1)->place == p->place && (at(j, i - 1)->kind == LW_JITTER_CN) == (p->kind == LW_JITTER_CN)) {
        j->stats.packets_duplicate++;
        return 0;
    }
    if (!j->spares) {
        discard(j);
        i = i > 0 ? i - 1 : 0;
    }
    uint16_t slot = j->spare[--j->spares];
    j->packets[slot] = *p;
    if (p->size)
        memcpy(j->payloads + (size_t)slot * LW_JITTER_MAX_PAYLOAD, data, (size_t)p->size);
    for (int32_t k = j->count++; k > i; k--)
        j->order[(j->head + k) % j->slots] = j->order[(j->head + k - 1) % j->slots];
    j->order[(j->head + i) % j->slots] = slot;
    return 1;
}

int lw_jitter_put(lw_jitter *j, int64_t now_ns, uint16_t sequence, uint32_t timestamp, int kind, const uint8_t *data,
                  size_t n)
{
    if (kind < LW_JITTER_SPEECH || kind > LW_JITTER_DTX || n > LW_JITTER_MAX_PAYLOAD)
        return LW_EINVAL;
    if (!follow_stream(j, now_ns, sequence, timestamp, kind))
        return 0;
    int64_t time = j->last_time + (int32_t)(timestamp - (uint32_t)j->last_time);
    if (kind != LW_JITTER_EVENT) /* whose timestamp is that of its beginning */
        follow_step(j, now_ns, sequence, time);
    int64_t s = take_sequence(j, sequence);
    if (s == INT64_MIN)
        return 0;
    if (kind == LW_JITTER_EVENT) {
        j->silent[j->silents++ % EVENTS] = s;
        return take_event(j, now_ns, time, data, n);
    }
    if (s < j->anew) {
        j->stats.packets_discarded++; /* of a time that is no longer known */
        return 0;
    }
    packet p = {.sequence = s, .place = place_of(j, time), .arrival = now_ns, .kind = kind, .size = (int32_t)n};
    if (kind != LW_JITTER_CN)
        p.duration = j->config.decoder.duration(j->config.decoder.state, data, n);
    if (kind == LW_JITTER_CN ? !n : p.duration <= 0 || p.duration > j->most) {
        j->stats.packets_damaged++;
        return 0;
    }
    int64_t offset = offset_of(j, now_ns, p.place), off = offset - j->last_offset;
    j->last_time = lw_max64(time, j->last_time);
    if (kind != LW_JITTER_CN) {
        j->stats.jitter_ns += ((off < 0 ? -off : off) - j->stats.jitter_ns) / 16;
        j->last_offset = offset;
        j->packet_ns = ns_of(j, p.duration);
        lw_delay_arrival(&j->delay, now_ns, offset);
    }
    if (j->next != INT64_MIN && p.place + p.duration <= j->next && (p.duration || p.place < j->next)) {
        j->stats.packets_discarded++;
        return 0;
    }
    return insert(j, &p, data);
}

/* ---- the strip ---- */

/* The end of the strip, with room for n samples. */
static int16_t *room(lw_jitter *j, int32_t n)
{
    if (j->write + n > j->cap) {
        int32_t by = j->read - j->history;
        memmove(j->strip, j->strip + by, (size_t)(j->write - by) * sizeof *j->strip);
        j->read -= by;
        j->write -= by;
        j->made_from -= by;
        j->made_to -= by;
    }
    return j->strip + j->write;
}

/* The n samples behind the strip are made up. */
static void made_up(lw_jitter *j, int32_t n)
{
    if (j->made_to != j->write || j->made_to <= j->read)
        j->made_from = j->write;
    j->made_to = j->write + n;
}

static void count_concealed(lw_jitter *j, int32_t n, int silent)
{
    j->stats.concealed_samples += n;
    j->stats.silent_concealed_samples += silent ? n : 0;
}

/* From here on sound is made up; what it goes on from is behind `to`, the strip's end. */
static void go_on_from(lw_jitter *j, const int16_t *to)
{
    if (!j->concealing || j->config.decoder.conceal)
        lw_conceal_begin(&j->conceal, to, j->quiet_known ? j->quiet : NULL, j->rate);
}

static void begin_concealing(lw_jitter *j)
{
    j->stats.concealment_events += !j->concealing;
    j->concealing = 1;
}

/* What is missing to a block, of what might have come. */
static void go_on(lw_jitter *j)
{
    const lw_jitter_decoder *d = &j->config.decoder;
    int32_t n = j->block - pending(j);
    int16_t *to = room(j, j->block);
    if (d->conceal) {
        n = j->block;
        if (d->conceal(d->state, to, n) != n)
            memset(to, 0, (size_t)n * sizeof *to);
        count_concealed(j, n, j->run >= j->rate / 5);
    } else {
        go_on_from(j, to);
        count_concealed(j, n, lw_conceal_over(&j->conceal));
        lw_conceal_more(&j->conceal, to, n);
    }
    begin_concealing(j);
    made_up(j, n);
    j->write += n;
    j->run += n;
}

/* Decodes the first packet into `to`, and takes it out. Returns its samples; 0: it is damaged, and lost. */
static int32_t decode(lw_jitter *j, int16_t *to)
{
    const lw_jitter_decoder *d = &j->config.decoder;
    packet *p = head(j);
    int32_t made = d->decode(d->state, payload(j, p), (size_t)p->size, to, j->most);
    if (made > 0) {
        int64_t late = j->clock + ns_of(j, pending(j)) - p->arrival;
        j->stats.jitter_buffer_delay_ns += late * made;
        j->stats.jitter_buffer_emitted_count += made;
        int64_t base = lw_delay_base(&j->delay);
        j->stats.jitter_buffer_target_delay_ns += (target(j) - base) * made;
        j->stats.jitter_buffer_minimum_delay_ns += (wanted(j) - base) * made;
        lw_delay_decoded(&j->delay, 0);
        j->next = p->place + made;
        j->next_sequence = p->sequence + 1;
        j->dtx = p->kind == LW_JITTER_DTX;
    } else {
        j->stats.packets_damaged++;
        made = 0;
    }
    pop(j);
    return made;
}

/* Plays the first packet, but for `skip` samples of it, behind `gap` samples that were lost. `seam`: what it goes on from
 * is not what was before it. */
static void play(lw_jitter *j, int32_t skip, int32_t gap, int seam)
{
    int16_t *to = seam ? j->future : room(j, j->most);
    int32_t made = decode(j, to), have = made - skip;
    if (!made)
        return;
    if (!seam && have > 0) {
        if (skip > 0)
            memmove(to, to + skip, (size_t)have * sizeof *to);
        j->write += have;
    } else if (have > 0) {
        int32_t overlap = (int32_t)((int64_t)j->rate * OVERLAP_US / 1000000) * (gap ? 1 : 2);
        overlap = overlap < have ? overlap : have;
        to = room(j, gap + have);
        go_on_from(j, to);
        lw_conceal_bridge(&j->conceal, to, gap, j->future + skip, have, overlap);
        memcpy(to + gap + overlap, j->future + skip + overlap, (size_t)(have - overlap) * sizeof *to);
        if (gap) {
            begin_concealing(j);
            count_concealed(j, gap, 0);
            made_up(j, gap);
        }
        j->write += gap + have;
    }
    j->run = 0;
    j->concealing = 0;
}

/* Silence or comfort noise to the end of the block; the first of it goes over from what was before. */
static void be_quiet(lw_jitter *j)
{
    int32_t n = j->block - pending(j);
    int16_t *to = room(j, n);
    if (j->state == COMFORT)
        lw_noise_make(&j->comfort, to, n);
    else
        memset(to, 0, (size_t)n * sizeof *to);
    if (j->tail) {
        int16_t tail[LW_PITCH_MOST_RATE / 100];
        go_on_from(j, to);
        lw_conceal_more(&j->conceal, tail, n);
        for (int32_t i = 0; i < n; i++)
            to[i] = lw_sat16((to[i] * i + tail[i] * (n - i)) / n);
    }
    j->tail = j->concealing = 0;
    j->write += n;
}

static void pause_stream(lw_jitter *j)
{
    j->state = IDLE;
    j->tail = 1;
    j->run = 0;
}

/* ---- what comes next ---- */

/* How many packets are missing before the first one. */
static int32_t missing(const lw_jitter *j, const packet *p)
{
    int64_t n = p->sequence - j->next_sequence;
    for (int32_t i = 0; i < EVENTS && i < j->silents; i++)
        n -= j->silent[i] >= j->next_sequence && j->silent[i] < p->sequence;
    return (int32_t)lw_max64(0, lw_min64(n, 1000));
}

static void next_from(lw_jitter *j, const packet *p)
{
    j->next = p->place;
    j->next_sequence = p->sequence;
}

static void enter_comfort(lw_jitter *j, packet *p)
{
    lw_noise_payload(&j->comfort, payload(j, p), (size_t)p->size);
    j->tail = j->state == PLAYING;
    j->state = COMFORT;
    j->run = 0;
    j->next = lw_max64(p->place, j->next);
    j->next_sequence = p->sequence + 1;
    pop(j);
}

static void drop_stale(lw_jitter *j)
{
    for (packet *p = head(j); p && p->duration && p->place + p->duration <= j->next; p = head(j))
        discard(j);
}

/* Speech begins: with the first packet. */
static void start_speech(lw_jitter *j, packet *p)
{
    int from_noise = j->state == COMFORT;
    int32_t skip = j->next > p->place ? (int32_t)(j->next - p->place) : 0, before = pending(j);
    j->state = PLAYING;
    if (!skip)
        next_from(j, p);
    play(j, skip, 0, j->tail);
    j->tail = 0;
    int32_t made = pending(j) - before, n = made < j->block / 2 ? made : j->block / 2;
    if (from_noise && n > 0) {
        int16_t noise[LW_PITCH_MOST_RATE / 200], *to = j->strip + j->write - made;
        lw_noise_make(&j->comfort, noise, n);
        for (int32_t i = 0; i < n; i++)
            to[i] = lw_sat16(to[i] + noise[i] * (n - i) / n);
    }
}

/* Nothing is said, until the first packet is due. */
static void wait_for_stream(lw_jitter *j)
{
    drop_stale(j);
    packet *p = head(j);
    if (!p || lag(j, p->place) < target(j))
        be_quiet(j);
    else if (p->kind == LW_JITTER_CN)
        enter_comfort(j, p);
    else if (p->kind == LW_JITTER_DTX && j->state == IDLE)
        decode(j, j->future); /* its codec knows of it; nobody hears it */
    else
        start_speech(j, p);
}

/* The first packet has come when its time is past: from where does it take over? */
static void play_late(lw_jitter *j, packet *p)
{
    int32_t overlap = (int32_t)(j->next - p->place);
    int64_t now = lag(j, j->next), kept = now - ns_of(j, j->run);
    int keep = j->run <= TAKE_OVER_MS * (j->rate / 1000) && target(j) <= kept + ns_of(j, j->run) / 2;
    if (!keep) {
        play(j, overlap, 0, 1);
    } else if (j->run >= p->duration - overlap) {
        j->run -= p->duration - overlap;
        j->next = p->place + p->duration;
        j->next_sequence = p->sequence + 1;
        discard(j);
    } else {
        play(j, overlap + j->run, 0, 1);
    }
}

/* What the first packet is behind is lost. */
static void fill_gap(lw_jitter *j, packet *p, int32_t gap)
{
    const lw_jitter_decoder *d = &j->config.decoder;
    int32_t left = gap - j->run, quarter = j->rate / 400;
    if (d->recover && left <= p->duration && left % quarter == 0 && p->kind == LW_JITTER_SPEECH &&
        d->recover(d->state, payload(j, p), (size_t)p->size, room(j, left), left) == left) {
        j->stats.fec_packets_recovered++;
        lw_delay_decoded(&j->delay, missing(j, p));
        j->write += left;
        j->run = j->concealing = 0;
        next_from(j, p);
    } else if (d->conceal || p->kind == LW_JITTER_CN || left > BRIDGE_MS * (j->rate / 1000)) {
        go_on(j);
    } else {
        lw_delay_decoded(&j->delay, missing(j, p));
        play(j, 0, left, 1);
    }
}

static void fill(lw_jitter *j)
{
    if (j->state != PLAYING) {
        wait_for_stream(j);
        return;
    }
    drop_stale(j);
    packet *p = head(j);
    if (!p) {
        if (j->dtx || j->clock < j->held_until || j->run >= GIVE_UP_MS * (j->rate / 1000))
            pause_stream(j);
        else
            go_on(j);
        return;
    }
    int64_t gap = p->place - j->next;
    if (gap > 0 && !missing(j, p)) {
        pause_stream(j); /* nothing is missing: nothing was sent */
    } else if (gap > j->run) {
        fill_gap(j, p, (int32_t)lw_min64(gap, INT32_MAX / 2));
    } else {
        if (gap > 0) { /* what stood in for what is lost was long enough */
            lw_delay_decoded(&j->delay, missing(j, p));
            j->run -= (int32_t)gap;
            next_from(j, p);
        }
        if (p->kind == LW_JITTER_CN)
            enter_comfort(j, p);
        else if (lag(j, j->next) > lw_delay_base(&j->delay) + j->config.max_delay_ms * MS && j->count > 1) {
            discard(j);
            next_from(j, head(j));
            j->run = 1; /* a seam */
        } else if (j->run || j->concealing)
            play_late(j, p);
        else
            play(j, (int32_t)(j->next - p->place), 0, 0);
    }
}

/* ---- more or less of a lag ---- */

/* Decodes ahead what follows without a gap, until the strip holds n samples. */
static int decode_ahead(lw_jitter *j, int32_t n)
{
    while (pending(j) < n) {
        packet *p = head(j);
        if (!p || p->kind != LW_JITTER_SPEECH || p->place != j->next)
            return 0;
        play(j, 0, 0, 0);
    }
    return 1;
}

/* Samples to cut (above 0) or to add (below). */
static int32_t too_much(const lw_jitter *j)
{
    int32_t odd = pending(j) % j->block;
    int64_t counts = lag(j, j->next) - ns_of(j, odd), t = target(j);
    if (t > counts + SLACK)
        return odd - (int32_t)((t - counts + BLOCK_NS - 1) / BLOCK_NS) * j->block;
    int64_t blocks = counts - t - HYSTERESIS;
    return odd + (blocks > 0 ? (int32_t)(blocks / BLOCK_NS) * j->block : 0);
}

static void adapt(lw_jitter *j)
{
    int32_t ms = j->rate / 1000, excess = too_much(j), least = lw_pitch_least(j->rate), most = lw_pitch_most(j->rate);
    int urgent = excess > 60 * ms;
    j->rest++;
    if (j->rest < (urgent ? 1 : 3))
        return;
    lw_stretch how = {
        .rate = j->rate,
        .least = least,
        .quiet = j->floor < QUIET_MOST ? 2 * j->floor + 4 : 0,
        .likeness_q15 = urgent ? 19661 : 24576,
    };
    int patient = excess <= PATIENT_MS * ms && lw_level(j->strip + j->read, j->block) > how.quiet;
    if (excess >= least && !patient) {
        how.most = excess < most ? excess : most;
        how.wanted = excess;
        if (!decode_ahead(j, j->block + how.most))
            return;
        int32_t cut = lw_shorten(j->strip + j->read, pending(j), &how);
        j->write -= cut;
        j->stats.removed_samples_for_acceleration += cut;
        j->stretched = cut ? LW_JITTER_ACCELERATE : j->stretched;
        j->rest = cut ? 0 : j->rest;
    } else if (excess < 0) {
        how.most = most;
        how.wanted = -excess;
        how.likeness_q15 = 24576;
        room(j, most);
        int32_t added = lw_lengthen(j->strip + j->read, pending(j), &how);
        j->write += added;
        j->stats.inserted_samples_for_deceleration += added;
        j->stretched = added ? LW_JITTER_EXPAND : j->stretched;
        j->rest = added ? 0 : j->rest;
    }
}

/* ---- 10 ms ---- */

static void keep_time(lw_jitter *j, int64_t now)
{
    int64_t off = now - (j->clock + BLOCK_NS);
    if (!j->clocked || off > TIMES_OFF_NS || off < -TIMES_OFF_NS)
        j->clock = now;
    else
        j->clock += BLOCK_NS + off / 32;
    j->clocked = 1;
}

/* How loud it is when nobody speaks, and how that sounds. */
static void learn_quiet(lw_jitter *j, const int16_t *x)
{
    int32_t level = lw_level(x, j->block);
    if (level <= j->floor)
        j->floor = level;
    else
        j->floor += (j->floor >> 8) + !(j->stats.total_samples_received / j->block & 15);
    if (level <= j->floor * 3 / 2 + 2 && level < QUIET_MOST) {
        memcpy(j->quiet, x, (size_t)j->block * sizeof *x);
        j->quiet_known = 1;
    }
}

int32_t lw_jitter_get(lw_jitter *j, int64_t now_ns, int16_t *out)
{
    keep_time(j, now_ns);
    if (j->clock >= j->held_until)
        close_event(j);
    j->stretched = LW_JITTER_NORMAL;
    int state = j->state;
    while (pending(j) < j->block) {
        fill(j);
        state = j->state;
    }
    if (j->state == PLAYING && !j->run && j->made_to <= j->read)
        adapt(j);
    const int16_t *x = j->strip + j->read;
    int32_t from = j->made_from > j->read ? j->made_from : j->read;
    int32_t to = j->made_to < j->read + j->block ? j->made_to : j->read + j->block;
    memcpy(out, x, (size_t)j->block * sizeof *out);
    j->read += j->block;
    j->stats.total_samples_received += j->block;
    if (2 * (to - from) >= j->block)
        return LW_JITTER_CONCEALED;
    if (state == COMFORT) {
        j->stats.comfort_samples += j->block;
        return LW_JITTER_COMFORT;
    }
    if (state == IDLE) {
        j->stats.idle_samples += j->block;
        return LW_JITTER_IDLE;
    }
    if (to <= from)
        learn_quiet(j, x);
    return j->stretched;
}

/* ---- the object ---- */

static void lay_out(lw_jitter *j, lw_arena *arena)
{
    j->packets = lw_carve(arena, (size_t)j->slots * sizeof *j->packets);
    j->order = lw_carve(arena, (size_t)j->slots * sizeof *j->order);
    j->spare = lw_carve(arena, (size_t)j->slots * sizeof *j->spare);
    j->strip = lw_carve(arena, (size_t)j->cap * sizeof *j->strip);
    j->future = lw_carve(arena, (size_t)j->most * sizeof *j->future);
    j->quiet = lw_carve(arena, (size_t)j->block * sizeof *j->quiet);
    j->payloads = lw_carve(arena, (size_t)j->slots * LW_JITTER_MAX_PAYLOAD);
}

static int valid(lw_jitter_config *c)
{
    c->clock_rate = c->clock_rate ? c->clock_rate : c->sample_rate;
    c->max_packets = c->max_packets ? c->max_packets : 200;
    c->max_delay_ms = c->max_delay_ms ? c->max_delay_ms : 2000;
    return (c->sample_rate == 8000 || c->sample_rate == 16000 || c->sample_rate == 24000 || c->sample_rate == 48000) &&
           c->clock_rate >= 8000 && c->clock_rate <= 192000 && c->max_packets >= 2 &&
           c->max_packets <= LW_JITTER_MAX_PACKETS && c->max_delay_ms >= 20 &&
           c->max_delay_ms <= LW_JITTER_MAX_DELAY_MS && c->min_delay_ms >= 0 && c->min_delay_ms <= c->max_delay_ms &&
           c->decoder.duration && c->decoder.decode;
}

int lw_jitter_open(lw_jitter **out, const lw_jitter_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config)
        return LW_EINVAL;
    lw_jitter plan = {.config = *config};
    if (!valid(&plan.config))
        return LW_EINVAL;
    plan.rate = plan.config.sample_rate;
    plan.block = plan.rate / 100;
    plan.most = plan.rate / 1000 * LW_JITTER_MAX_DURATION_MS;
    plan.history = lw_conceal_history(plan.rate);
    plan.cap = plan.history + plan.rate / 1000 * STRIP_MS;
    plan.slots = plan.config.max_packets;
    lw_arena arena = {NULL, sizeof plan};
    lay_out(&plan, &arena);
    /* calloc leaves pages that are not used untouched: the payloads of packets that never wait. */
    uint8_t *memory = calloc(1, arena.used);
    if (!memory)
        return LW_ENOMEM;
    arena = (lw_arena){memory, sizeof plan};
    lay_out(&plan, &arena);
    lw_jitter *j = (lw_jitter *)(void *)memory;
    *j = plan;
    lw_jitter_reset(j);
    *out = j;
    return 0;
}

void lw_jitter_reset(lw_jitter *j)
{
    if (j->known)
        j->stats.packets_lost += j->top_sequence - j->first_sequence + 1 - j->received;
    forget_stream(j);
    j->tail = j->clocked = j->concealing = j->stretched = 0;
    j->event_head = j->event_count = 0;
    j->packet_ns = 20 * MS;
    j->floor = 32767;
    j->quiet_known = 0;
    j->rest = 0;
    j->read = j->write = j->history;
    j->made_from = j->made_to = 0;
    memset(j->strip, 0, (size_t)j->history * sizeof *j->strip);
    memset(&j->conceal, 0, sizeof j->conceal);
    memset(&j->comfort, 0, sizeof j->comfort);
}

int lw_jitter_event(lw_jitter *j, lw_jitter_event_t *out)
{
    if (!j->event_count)
        return 0;
    *out = j->events[j->event_head];
    j->event_head = (j->event_head + 1) % EVENTS;
    j->event_count--;
    return 1;
}

int lw_jitter_idle(const lw_jitter *j)
{
    return j->state != PLAYING && (!j->count || lag(j, at(j, 0)->place) < target(j));
}

void lw_jitter_stats(const lw_jitter *j, lw_jitter_stats_t *out)
{
    *out = j->stats;
    if (j->known) {
        out->packets_lost += j->top_sequence - j->first_sequence + 1 - j->received;
        out->target_ns = (int32_t)lw_max64(0, target(j) - lw_delay_base(&j->delay));
    }
    int64_t samples = pending(j);
    for (int32_t i = 0; i < j->count; i++)
        samples += at(j, i)->duration;
    out->buffered_packets = j->count;
    out->buffered_ns = (int32_t)lw_min64(ns_of(j, samples), INT32_MAX);
}

void lw_jitter_close(lw_jitter **j)
{
    if (j) {
        free(*j);
        *j = NULL;
    }
}
