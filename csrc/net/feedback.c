/* What a peer's RTCP does, and probes. Whatever it says, the work is bounded by its length: see rtcp.c for statuses, and
 * lw_connection_resend for NACKs. */
#include <string.h>

#include "common.h"
#include "sender.h"

#define STATUS_NS 250000
#define REFERENCE_NS (64 * LW_MS)
#define REFERENCE_START (1LL << 24) /* any, so that no time of arrival is below 0 */
#define REFERENCE_END (1LL << 36)
#define BLOCK_PACKETS 50     /* that a loss is of, at least */
#define BLOCK_JUMP 100000    /* packets between two reports: those are not of one stream */
#define PROBE_PACKETS 6
#define PROBE_PAUSE_NS (5 * LW_SECOND) /* doubled each time that a probe shows nothing new, up to a minute */
#define PROBE_PATIENCE_NS LW_SECOND

/* The stream with this SSRC; NULL, and counted, where there is none. Of an RTX stream nothing is wanted. */
static lw_stream *stream_of_ssrc(lw_connection *c, uint32_t ssrc)
{
    for (int i = 0, n = lw_stream_count(c); i < n; i++) {
        lw_stream *s = lw_stream_of(c, i);
        if (s->config.ssrc == ssrc)
            return s;
        if (s->config.rtx_ssrc && s->config.rtx_ssrc == ssrc)
            return NULL;
    }
    LW_COUNT(c->count.rtcp_bad, 1);
    return NULL;
}

/* ---- receiver reports ---- */

/* RFC 3550, 6.4.1: from the last sender report that came, and how long ago that was, by the peer's clock. */
static void round_trip(lw_connection *c, const lw_rtcp_block *block)
{
    int64_t wall = c->net->wall_ns + c->net->now_ns;
    uint32_t now = (uint32_t)((wall / LW_SECOND + LW_NTP_1970) << 16 | ((wall % LW_SECOND) << 16) / LW_SECOND);
    uint32_t trip = now - block->last_report - block->delay;
    if (!block->last_report || trip >> 31 || trip > 60 << 16)
        return;
    int64_t ns = lw_max64(lw_scale(trip, LW_SECOND, 1 << 16), 1);
    c->rtt_ns = c->rtt_ns < 0 ? ns : (7 * c->rtt_ns + ns) / 8;
    lw_estimate_rtt(&c->estimate, c->rtt_ns);
    atomic_store_explicit(&c->count.rtt_us, c->rtt_ns / 1000, memory_order_relaxed);
}

static void on_block(void *user, const lw_rtcp_block *block)
{
    lw_connection *c = user;
    lw_stream *s = stream_of_ssrc(c, block->ssrc);
    if (!s)
        return;
    round_trip(c, block);
    uint32_t expected = block->highest - s->highest;
    if (s->reported && expected <= BLOCK_JUMP) {
        c->block_expected += expected;
        c->block_lost += (int64_t)expected * block->fraction / 256;
    }
    s->reported = 1;
    s->highest = block->highest;
}

static void use_blocks(lw_connection *c)
{
    if (c->block_expected < BLOCK_PACKETS)
        return;
    double fraction = (double)c->block_lost / (double)c->block_expected;
    lw_estimate_report(&c->estimate, c->net->now_ns, fraction);
    atomic_store_explicit(&c->count.loss_ppm, (int64_t)(1e6 * fraction), memory_order_relaxed);
    c->block_expected = c->block_lost = 0;
}

/* ---- requests ---- */

static void on_nack(void *user, uint32_t ssrc, uint16_t first, uint16_t more)
{
    lw_connection *c = user;
    lw_stream *s = stream_of_ssrc(c, ssrc);
    if (!s)
        return;
    lw_connection_resend(c, s, first);
    for (int i = 0; i < 16; i++)
        if (more >> i & 1)
            lw_connection_resend(c, s, (uint16_t)(first + 1 + i));
}

static void on_key(void *user, uint32_t ssrc, int fir)
{
    lw_connection *c = user;
    lw_stream *s = stream_of_ssrc(c, ssrc);
    if (!s || lw_is_sound(s))
        return;
    LW_COUNT(c->count.key_requests, 1);
    /* RFC 5104, 4.3.1.2: the same number is the same command. */
    if (fir >= 0 && fir == s->fir)
        return;
    /* Where one is on its way that may be too old for this: it comes again by the same number. */
    if (lw_connection_key(c, s) && fir >= 0)
        s->fir = fir;
}

static void on_remb(void *user, int64_t bitrate)
{
    lw_connection *c = user;
    lw_estimate_remb(&c->estimate, c->net->now_ns, bitrate);
    atomic_store_explicit(&c->count.remb, bitrate, memory_order_relaxed);
}

/* ---- transport-wide feedback ---- */

/* Its reference time without wrapping, in ns. */
static int64_t reference_ns(lw_connection *c, int32_t raw)
{
    int32_t ahead = (int32_t)((uint32_t)(raw - c->reference_raw) << 8) >> 8;
    c->reference = c->reference ? c->reference + ahead : REFERENCE_START;
    if (c->reference < REFERENCE_START / 2 || c->reference > REFERENCE_END)
        c->reference = REFERENCE_START;
    c->reference_raw = raw;
    return c->reference * REFERENCE_NS;
}

/* By arrival: nearly sorted, but for a hostile peer, whom it costs no more than 1024 log 1024 either (Shell's sort). */
static void sort_arrived(struct lw_arrived *a, int n)
{
    static const int gaps[] = {301, 132, 57, 23, 10, 4, 1};
    for (size_t g = 0; g < sizeof gaps / sizeof *gaps; g++)
        for (int i = gaps[g]; i < n; i++) {
            struct lw_arrived x = a[i];
            int j = i;
            for (; j >= gaps[g] && a[j - gaps[g]].arrived_ns > x.arrived_ns; j -= gaps[g])
                a[j] = a[j - gaps[g]];
            a[j] = x;
        }
}

static int in_probe(const lw_probe *p, uint16_t sequence)
{
    return p->open && (uint16_t)(sequence - p->first) <= (uint16_t)(p->last - p->first);
}

static void probe_arrival(lw_probe *p, const struct lw_arrived *a)
{
    if (!in_probe(p, a->sequence))
        return;
    if (!p->packets) {
        p->first_sent = p->last_sent = a->sent_ns;
        p->first_arrived = a->arrived_ns;
        p->first_size = a->size;
    }
    p->packets++;
    p->bytes += a->size;
    p->first_sent = lw_min64(p->first_sent, a->sent_ns);
    p->last_sent = lw_max64(p->last_sent, a->sent_ns);
    p->last_arrived = lw_max64(p->last_arrived, a->arrived_ns);
}

/* The rates of what lies behind the first packet. One that was lost for a part, or left at once, says nothing. */
static void end_probe(lw_connection *c)
{
    lw_probe *p = &c->probe;
    int64_t now = c->net->now_ns;
    int sent = (uint16_t)(p->last - p->first) + 1;
    double before = (double)lw_estimate_rate(&c->estimate, now);
    p->open = 0;
    int64_t leaving = p->last_sent - p->first_sent, coming = p->last_arrived - p->first_arrived;
    if (p->packets >= 4 && p->packets * 5 >= sent * 4 && leaving > 0 && coming > 0) {
        double bits = 8e9 * (double)(p->bytes - p->first_size);
        double sent_rate = bits / (double)leaving;
        lw_estimate_probe(&c->estimate, now, sent_rate < p->rate ? sent_rate : p->rate, bits / (double)coming);
    }
    int better = (double)lw_estimate_rate(&c->estimate, now) > 1.05 * before;
    p->wait_ns = better ? PROBE_PAUSE_NS / 5 : lw_min64(2 * lw_max64(p->wait_ns, PROBE_PAUSE_NS / 2), 60 * LW_SECOND);
}

void lw_connection_probe(lw_connection *c)
{
    lw_probe *p = &c->probe;
    int64_t now = c->net->now_ns;
    if (p->open && !p->left && now - p->begun_ns > PROBE_PATIENCE_NS)
        end_probe(c);
    if (p->open || now - p->begun_ns < lw_max64(p->wait_ns, PROBE_PAUSE_NS / 5) || c->units || c->resends ||
        !lw_estimate_idle(&c->estimate, now))
        return;
    *p = (lw_probe){.left = PROBE_PACKETS,
                    .open = 1,
                    .first = c->twcc,
                    .last = c->twcc,
                    .begun_ns = now,
                    .next_ns = now,
                    .wait_ns = p->wait_ns,
                    .rate = 2.0 * (double)lw_estimate_rate(&c->estimate, now)};
    lw_connection_activate(c);
}

static void on_feedback(void *user, lw_rtcp_feedback *f)
{
    lw_connection *c = user;
    struct lw_arrived *arrived = c->net->arrived;
    int64_t at = reference_ns(c, f->reference), received = 0, lost = 0;
    int n = 0;
    int32_t delta = 0;
    uint16_t sequence = f->first;
    for (int status; (status = lw_rtcp_status(f, &delta)) >= 0; sequence++) {
        at += status ? delta * (int64_t)STATUS_NS : 0;
        lw_tracked *t = &c->tracked[sequence % LW_TRACKED];
        if (t->state == LW_TRACK_NONE || t->sequence != sequence)
            continue;
        if (!status) {
            lost += t->state == LW_TRACK_SENT;
            t->state = LW_TRACK_MISSING;
            continue;
        }
        lost -= t->state == LW_TRACK_MISSING;
        t->state = LW_TRACK_NONE;
        arrived[n++] = (struct lw_arrived){t->sent_ns, at, sequence, t->size};
    }
    received = n;
    sort_arrived(arrived, n);
    for (int i = 0; i < n; i++) {
        lw_estimate_arrival(&c->estimate, arrived[i].sent_ns, arrived[i].arrived_ns, arrived[i].size);
        probe_arrival(&c->probe, &arrived[i]);
    }
    if (!received && !lost) {
        LW_COUNT(c->count.rtcp_bad, 1);
        return;
    }
    lw_estimate_feedback(&c->estimate, c->net->now_ns, received, lost);
    if (c->probe.open && !c->probe.left && (int16_t)(sequence - c->probe.last) > 0)
        end_probe(c);
}

void lw_connection_feedback(lw_connection *c, const uint8_t *data, size_t size)
{
    const lw_rtcp_reader reader = {
        .user = c, .block = on_block, .nack = on_nack, .key = on_key, .remb = on_remb, .feedback = on_feedback};
    int bad = lw_rtcp_read(data, size, &reader);
    LW_COUNT(c->count.rtcp_bad, bad);
    use_blocks(c);
    lw_connection_rated(c);
}
