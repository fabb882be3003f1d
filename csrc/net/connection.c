/* What the thread does for one peer: numbering, pacing, sending, keeping, sending again, and sender reports. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "sender.h"

#define BURST_NS (10 * LW_MS)   /* how far pacing may run ahead: the packets of an ordinary picture leave together */
#define PACE_PERCENT 250        /* of the estimate */
#define RESEND_NS (5 * LW_MS)   /* between two retransmissions of a packet, at least */
#define RESEND_TIMES 10
#define LATE_NS (200 * LW_MS)   /* that a key frame may be held up by pictures of its stream */
#define LARGE 500               /* bytes of a payload that is worth a probe */

/* ---- the socket ---- */

void lw_net_flush(lw_net *net)
{
    lw_connection *c = net->batch_of;
    int n = net->batch, at = 0, refused = 0;
    net->batch = 0;
    if (c && c->fd < 0)
        LW_COUNT(c->count.unsent, n);
    while (c && c->fd >= 0 && at < n) {
        int sent = sendmmsg(c->fd, net->message + at, (unsigned)(n - at), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
        } else if (errno != EINTR) {
            /* As a network that lost them: NACKs bring them back. A full buffer is full for the rest of them, too. */
            refused = errno;
            int lost = errno == EAGAIN || errno == ENOBUFS ? n - at : 1;
            LW_COUNT(c->count.unsent, lost);
            at += lost;
        }
    }
    if (refused && (!c->failed_ns || net->now_ns - c->failed_ns >= LW_SECOND)) {
        c->failed_ns = net->now_ns;
        lw_net_tell(c, LW_NET_ERROR, refused);
    }
}

/* bit/s */
static int64_t pace_of(const lw_connection *c)
{
    return lw_max64(LW_NET_MIN_PACE, c->rate * PACE_PERCENT / 100);
}

/* ns that so many bytes take to leave. */
static int64_t leaving_ns(const lw_connection *c, int64_t bytes)
{
    return 8 * bytes * LW_SECOND / pace_of(c);
}

/* Room for a packet to c, aligned as libsrtp wants it. */
static uint8_t *packet_room(lw_connection *c)
{
    lw_net *net = c->net;
    if (net->batch_of != c || net->batch == LW_BATCH) {
        lw_net_flush(net);
        net->batch_of = c;
    }
    return net->buffer[net->batch] + LW_CHANNEL;
}

/* Protects what was written to packet_room, and queues it for the socket. */
static void transmit(lw_connection *c, int size, lw_srtp_protect protect)
{
    lw_net *net = c->net;
    uint8_t *data = net->buffer[net->batch] + LW_CHANNEL;
    if (protect && protect(c->context, data, &size)) {
        LW_COUNT(c->count.protect_errors, 1);
        return;
    }
    if (c->channel) {
        data -= LW_CHANNEL;
        lw_put16(data, (uint32_t)c->channel);
        lw_put16(data + 2, (uint32_t)size);
        size += LW_CHANNEL;
    }
    struct mmsghdr *m = &net->message[net->batch];
    net->piece[net->batch] = (struct iovec){data, (size_t)size};
    *m = (struct mmsghdr){.msg_hdr = {.msg_iov = &net->piece[net->batch], .msg_iovlen = 1}};
    if (c->to_size) {
        m->msg_hdr.msg_name = &c->to;
        m->msg_hdr.msg_namelen = c->to_size;
    }
    net->batch++;
    LW_COUNT(c->count.packets, 1);
    LW_COUNT(c->count.bytes, size);
    lw_estimate_sent(&c->estimate, net->now_ns, size);
    c->pace_ns = lw_max64(c->pace_ns, net->now_ns - BURST_NS) + leaving_ns(c, size);
}

/* The same for RTCP. Where it has a way of its own it leaves at once: it is rare, and no batch is for two sockets. */
static void transmit_rtcp(lw_connection *c, int size)
{
    uint8_t *data = c->net->buffer[c->net->batch] + LW_CHANNEL;
    if (c->rtcp_fd < 0) {
        transmit(c, size, c->protect_rtcp);
        return;
    }
    if (c->protect_rtcp && c->protect_rtcp(c->context, data, &size)) {
        LW_COUNT(c->count.protect_errors, 1);
        return;
    }
    const struct sockaddr *to = c->rtcp_to_size ? (const struct sockaddr *)&c->rtcp_to : NULL;
    if (sendto(c->rtcp_fd, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL, to, c->rtcp_to_size) < 0)
        LW_COUNT(c->count.unsent, 1);
    LW_COUNT(c->count.packets, 1);
    LW_COUNT(c->count.bytes, size);
}

void lw_connection_raw(lw_connection *c, const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    memcpy(packet_room(c), data, size);
    if (data[1] >= 192 && data[1] <= 223) /* RFC 5761, 4 */
        transmit_rtcp(c, (int)size);
    else
        transmit(c, (int)size, c->protect);
}

/* ---- one packet ---- */

static uint16_t track(lw_connection *c)
{
    uint16_t sequence = c->twcc++;
    c->tracked[sequence % LW_TRACKED] =
        (lw_tracked){.sent_ns = c->net->now_ns, .sequence = sequence, .state = LW_TRACK_SENT};
    return sequence;
}

/* Of a packet that is new; a retransmission that is the same packet has the old values. */
static lw_rtp_fields fields_of(const lw_stream *s)
{
    const lw_stream_config *f = &s->config;
    return (lw_rtp_fields){.ssrc = f->ssrc,
                           .payload_type = (uint8_t)f->payload_type,
                           .mid_id = (uint8_t)f->mid_id,
                           .mid_size = (uint8_t)strlen(s->mid),
                           .mid = s->mid,
                           .abs_send_time_id = (uint8_t)f->abs_send_time_id,
                           .twcc_id = (uint8_t)f->twcc_id};
}

static uint32_t abs_send_time(int64_t now_ns)
{
    return (uint32_t)(now_ns % (64 * LW_SECOND) * (1 << 18) / LW_SECOND) & 0xffffff;
}

/* `original`: the number of the packet that this retransmits in an RTX stream; -1: none. */
static void send_as(lw_connection *c, const lw_stream *s, const lw_rtp_fields *fields, const lw_packet *payload,
                    uint16_t picture, int original)
{
    uint8_t *out = packet_room(c);
    size_t at = lw_rtp_header(out, fields);
    if (original >= 0) {
        lw_put16(out + at, (uint32_t)original);
        at += 2;
    }
    memcpy(out + at, payload->data, payload->size);
    if (s->config.kind == LW_NET_VP8)
        lw_vp8_picture(out + at, picture);
    at += payload->size;
    lw_tracked *tracked = &c->tracked[fields->twcc % LW_TRACKED];
    if (fields->twcc_id && tracked->sequence == fields->twcc)
        tracked->size = (uint16_t)at;
    transmit(c, (int)at, c->protect);
}

static void forget(lw_connection *c, lw_kept *kept)
{
    if (kept->packet >= 0)
        lw_pool_drop(c->net, kept->packet);
    kept->packet = -1;
}

/* Sends packet `packet` of the pool, of which it takes the reference, as the stream's next. */
static void send_packet(lw_connection *c, lw_stream *s, int32_t packet, uint32_t timestamp, uint16_t picture, int marker)
{
    lw_net *net = c->net;
    const lw_packet *payload = &net->pool[packet];
    lw_rtp_fields fields = fields_of(s);
    fields.timestamp = timestamp;
    fields.sequence = s->sequence++;
    fields.marker = (uint8_t)marker;
    fields.abs_send_time = abs_send_time(net->now_ns);
    if (fields.twcc_id)
        fields.twcc = track(c);
    send_as(c, s, &fields, payload, picture, -1);
    s->packets++;
    s->octets += payload->size;
    if (!s->started) {
        s->started = 1;
        s->report_ns = net->now_ns;
        s->oldest = fields.sequence;
        net->sweep_ns = net->now_ns;
    }
    if (!s->config.history_ms) {
        lw_pool_drop(net, packet);
        return;
    }
    lw_kept *kept = &s->kept[fields.sequence % LW_KEPT];
    forget(c, kept);
    *kept = (lw_kept){.first_ns = net->now_ns,
                      .packet = packet,
                      .timestamp = timestamp,
                      .abs_send_time = fields.abs_send_time,
                      .sequence = fields.sequence,
                      .picture = picture,
                      .twcc = fields.twcc,
                      .marker = (uint8_t)marker};
}

/* RFC 4588 with an RTX stream, else bit for bit: the same packet protected again gives the same bytes. */
static void send_again(lw_connection *c, lw_stream *s, lw_kept *kept)
{
    lw_net *net = c->net;
    const lw_packet *payload = &net->pool[kept->packet];
    lw_rtp_fields fields = fields_of(s);
    fields.timestamp = kept->timestamp;
    fields.marker = kept->marker;
    fields.sequence = kept->sequence;
    fields.abs_send_time = kept->abs_send_time;
    fields.twcc = kept->twcc;
    if (s->config.rtx_ssrc) {
        fields.ssrc = s->config.rtx_ssrc;
        fields.payload_type = (uint8_t)s->config.rtx_payload_type;
        fields.sequence = s->rtx_sequence++;
        fields.abs_send_time = abs_send_time(net->now_ns);
        if (fields.twcc_id)
            fields.twcc = track(c);
    }
    send_as(c, s, &fields, payload, kept->picture, s->config.rtx_ssrc ? kept->sequence : -1);
    kept->last_ns = net->now_ns;
}

/* ---- media ---- */

/* The one line from media time to this clock; all streams of a connection follow it. */
static void anchor(lw_connection *c, int64_t sample)
{
    int64_t origin = c->net->now_ns - lw_scale(sample, LW_SECOND, LW_RATE), off = origin - c->origin_ns;
    if (c->anchored && off < LW_SECOND && off > -LW_SECOND)
        return;
    c->anchored = 1;
    c->origin_ns = origin;
    for (int i = 0, n = lw_stream_count(c); i < n; i++)
        lw_stream_of(c, i)->report_ns = c->net->now_ns;
}

void lw_connection_activate(lw_connection *c)
{
    if (c->active)
        return;
    c->active = 1;
    c->next_active = c->net->active;
    c->net->active = c;
}

static lw_unit *unit_at(lw_connection *c, int i)
{
    return &c->unit[(c->unit_first + i) % LW_UNITS];
}

/* Whether one waits for its turn, which answers whoever has asked. */
static int key_waits(lw_connection *c, const lw_stream *s)
{
    for (int i = 0; i < c->units; i++) {
        const lw_unit *u = unit_at(c, i);
        if (u->stream == s->number && u->key && !u->begun)
            return 1;
    }
    return 0;
}

/* What was asked for is told of now, or by the sweep when the last time is long enough ago, unless a key frame begins. */
static void tell_key(lw_connection *c, lw_stream *s)
{
    if (!s->key_asked || c->net->now_ns - s->key_told_ns < LW_NET_KEY_NS || key_waits(c, s))
        return;
    s->key_asked = 0;
    s->key_told_ns = c->net->now_ns;
    lw_net_tell(c, LW_NET_KEY, s->number);
}

int lw_connection_key(lw_connection *c, lw_stream *s)
{
    /* One that has only just left may be what this asks for. */
    if (c->rtt_ns > 0 && c->net->now_ns - s->key_sent_ns < lw_min64(c->rtt_ns, LW_NET_KEY_NS))
        return 0;
    s->key_asked = 1;
    tell_key(c, s);
    return 1;
}

static void count_queue(lw_connection *c, int64_t bytes, int64_t packets)
{
    LW_COUNT(c->count.queue_bytes, bytes);
    LW_COUNT(c->count.queue_packets, packets);
}

/* Leaves out every picture of the stream that has not begun. */
static void give_up(lw_connection *c, const lw_stream *s)
{
    int left = 0;
    for (int i = 0; i < c->units; i++) {
        lw_unit *u = unit_at(c, i);
        if (u->stream != s->number || u->begun) {
            *unit_at(c, left++) = *u;
            continue;
        }
        count_queue(c, -u->bytes, -u->packets);
        lw_pool_drop_unit(c->net, u->packet);
        LW_COUNT(c->count.units_dropped, 1);
    }
    c->units = left;
}

/* What waits of a stream's pictures. */
typedef struct backlog {
    int64_t bytes, key_bytes; /* all; those of key frames among them */
    int64_t waited;           /* ns: the oldest */
} backlog;

static backlog backlog_of(lw_connection *c, const lw_stream *s)
{
    backlog b = {0};
    for (int i = 0; i < c->units; i++) {
        const lw_unit *u = unit_at(c, i);
        if (u->stream != s->number)
            continue;
        b.bytes += u->bytes;
        b.key_bytes += u->key ? u->bytes : 0;
        b.waited = lw_max64(b.waited, c->net->now_ns - u->queued_ns);
    }
    return b;
}

/* Whether the stream's pictures would take too long to leave, or there is no place for another. Key frames do not count:
 * who is given up for the size of one needs another, and would be given up for that. */
static int is_behind(lw_connection *c, const lw_stream *s)
{
    const backlog b = backlog_of(c, s);
    return c->units == LW_UNITS || leaving_ns(c, b.bytes - b.key_bytes) > LW_NET_BEHIND_NS || b.waited > LW_NET_STALE_NS;
}

/* Whether a key frame would be held up by what waits, which nothing needs once it is there: by too much of it, other key
 * frames counted, or by what is late already. */
static int holds_up(lw_connection *c, const lw_stream *s)
{
    const backlog b = backlog_of(c, s);
    return leaving_ns(c, b.bytes) > LATE_NS || b.waited > LATE_NS;
}

static int count_queued(lw_connection *c, const lw_stream *s)
{
    int n = 0;
    for (int i = 0; i < c->units; i++)
        n += unit_at(c, i)->stream == s->number;
    return n;
}

static int take_picture(lw_connection *c, lw_stream *s, const lw_command *m, uint32_t timestamp)
{
    if (s->waiting && !m->key) {
        if (!count_queued(c, s))
            lw_connection_key(c, s);
        return 0;
    }
    if (is_behind(c, s) || (m->key && holds_up(c, s))) {
        give_up(c, s);
        if (!m->key || c->units == LW_UNITS) {
            s->waiting = 1;
            lw_net_tell(c, LW_NET_BEHIND, s->number);
            return 0;
        }
    }
    s->waiting = 0;
    int32_t bytes = 0;
    for (int32_t p = m->packet; p >= 0; p = c->net->pool[p].next)
        bytes += c->net->pool[p].size;
    lw_pool_hold(c->net, m->packet);
    *unit_at(c, c->units++) = (lw_unit){.queued_ns = c->net->now_ns,
                                        .packet = m->packet,
                                        .packets = m->packets,
                                        .bytes = bytes,
                                        .timestamp = timestamp,
                                        .stream = (uint8_t)s->number,
                                        .key = m->key != 0};
    count_queue(c, bytes, m->packets);
    lw_connection_activate(c);
    return 1;
}

void lw_connection_media(lw_connection *c, lw_stream *s, const lw_command *m)
{
    uint32_t timestamp = s->timestamp + (uint32_t)lw_scale(m->sample, s->config.clock_rate, LW_RATE);
    anchor(c, m->sample);
    LW_COUNT(c->count.units, 1);
    if (!lw_is_sound(s)) {
        if (!take_picture(c, s, m, timestamp))
            LW_COUNT(c->count.units_dropped, 1);
        return;
    }
    /* RFC 3551, 4.1: the first packet behind a pause is marked. */
    int marker = !s->started || (s->next_sample >= 0 && m->sample != s->next_sample);
    s->next_sample = m->duration ? m->sample + m->duration : -1;
    lw_pool_hold(c->net, m->packet);
    send_packet(c, s, m->packet, timestamp, 0, marker);
}

/* ---- retransmission ---- */

static lw_kept *find_kept(lw_connection *c, lw_stream *s, uint16_t sequence)
{
    if (!s->config.history_ms)
        return NULL;
    lw_kept *kept = &s->kept[sequence % LW_KEPT];
    if (kept->packet < 0 || kept->sequence != sequence || c->net->now_ns - kept->first_ns > s->config.history_ms * LW_MS)
        return NULL;
    return kept;
}

static int within_budget(lw_connection *c, int bytes)
{
    int64_t now = c->net->now_ns, rate = lw_max64(100000, c->rate * LW_NET_RTX_SHARE / 100) / 8;
    int64_t most = lw_max64(16384, rate / 2);
    c->rtx_bytes = lw_min64(most, c->rtx_bytes + lw_scale(lw_min64(now - c->rtx_ns, LW_SECOND), rate, LW_SECOND));
    c->rtx_ns = now;
    if (c->rtx_bytes < bytes)
        return 0;
    c->rtx_bytes -= bytes;
    return 1;
}

void lw_connection_resend(lw_connection *c, lw_stream *s, uint16_t sequence)
{
    lw_kept *kept = find_kept(c, s, sequence);
    int64_t pause = lw_max64(c->rtt_ns, RESEND_NS);
    LW_COUNT(c->count.nacked, 1);
    if (!kept || kept->times >= RESEND_TIMES || (kept->last_ns && c->net->now_ns - kept->last_ns < pause) ||
        c->resends == LW_RESENDS || !within_budget(c, c->net->pool[kept->packet].size)) {
        LW_COUNT(c->count.nacks_ignored, 1);
        return;
    }
    kept->last_ns = c->net->now_ns; /* asked for twice in one packet is asked for once */
    int at = (c->resend_first + c->resends++) % LW_RESENDS;
    c->resend[at].stream = (uint8_t)s->number;
    c->resend[at].sequence = sequence;
    lw_connection_activate(c);
}

/* Sends the largest of what is kept once more, as part of a probe; 0 where there is none. */
static int send_probe_packet(lw_connection *c)
{
    lw_stream *of = NULL;
    lw_kept *best = NULL;
    for (int i = 0, n = lw_stream_count(c); i < n; i++) {
        lw_stream *s = lw_stream_of(c, i);
        if (!s->started || !s->config.rtx_ssrc || !s->config.twcc_id || lw_is_sound(s))
            continue;
        for (int back = 1; back <= 32; back++) {
            lw_kept *kept = find_kept(c, s, (uint16_t)(s->sequence - back));
            if (kept && (!best || c->net->pool[kept->packet].size > c->net->pool[best->packet].size)) {
                best = kept;
                of = s;
            }
        }
    }
    if (!best || c->net->pool[best->packet].size < LARGE)
        return 0;
    send_again(c, of, best);
    return 1;
}

/* ---- pacing ---- */

/* The next retransmission or the next packet of the queue; 0 where there is none. */
static int send_next(lw_connection *c)
{
    if (c->resends) {
        lw_stream *s = lw_stream_of(c, c->resend[c->resend_first].stream);
        lw_kept *kept = find_kept(c, s, c->resend[c->resend_first].sequence);
        c->resend_first = (c->resend_first + 1) % LW_RESENDS;
        c->resends--;
        if (kept) {
            send_again(c, s, kept);
            kept->times++;
            LW_COUNT(c->count.retransmitted, 1);
        }
        return 1;
    }
    if (!c->units)
        return 0;
    lw_unit *u = unit_at(c, 0);
    lw_stream *s = lw_stream_of(c, u->stream);
    if (!u->begun) {
        u->begun = 1;
        u->picture = s->picture++;
        if (u->key) {
            s->key_asked = 0;
            s->key_sent_ns = c->net->now_ns;
        }
    }
    int32_t packet = u->packet;
    u->packet = c->net->pool[packet].next;
    u->packets--;
    u->bytes -= c->net->pool[packet].size;
    count_queue(c, -c->net->pool[packet].size, -1);
    send_packet(c, s, packet, u->timestamp, u->picture, !u->packets);
    if (!u->packets) {
        if (u->key)
            s->key_sent_ns = c->net->now_ns;
        c->unit_first = (c->unit_first + 1) % LW_UNITS;
        c->units--;
    }
    return 1;
}

static void send_probe(lw_connection *c)
{
    lw_probe *p = &c->probe;
    while (p->left && p->next_ns <= c->net->now_ns) {
        uint16_t sequence = c->twcc;
        int64_t before = atomic_load_explicit(&c->count.bytes, memory_order_relaxed);
        if (!send_probe_packet(c)) {
            p->left = 0;
            return;
        }
        int64_t bytes = atomic_load_explicit(&c->count.bytes, memory_order_relaxed) - before;
        p->last = sequence;
        p->left--;
        p->next_ns = lw_max64(p->next_ns, c->net->now_ns - 2 * LW_MS) + (int64_t)(8e9 * (double)bytes / p->rate);
    }
}

void lw_connection_pump(lw_connection *c)
{
    int64_t now = c->net->now_ns;
    c->pace_ns = lw_max64(c->pace_ns, now - BURST_NS);
    while (c->pace_ns <= now && send_next(c))
        ;
    send_probe(c);
    c->due_ns = c->resends || c->units ? lw_max64(c->pace_ns, now + 1) : INT64_MAX;
    if (c->probe.left)
        c->due_ns = lw_min64(c->due_ns, lw_max64(c->probe.next_ns, now + 1));
}

/* ---- reports ---- */

static void report(lw_connection *c, lw_stream *s, int bye)
{
    int64_t now = c->net->now_ns, wall = c->net->wall_ns + now;
    int64_t media = lw_scale(now - c->origin_ns, s->config.clock_rate, LW_SECOND);
    lw_rtcp_sender sender = {.ssrc = s->config.ssrc,
                             .timestamp = s->timestamp + (uint32_t)media,
                             .packets = s->packets,
                             .octets = s->octets,
                             .ntp = (uint64_t)(wall / LW_SECOND + LW_NTP_1970) << 32 |
                                    (uint64_t)(((wall % LW_SECOND) << 32) / LW_SECOND),
                             .cname = s->cname};
    uint8_t *out = packet_room(c);
    transmit_rtcp(c, (int)lw_rtcp_sender_report(out, &sender, bye, s->config.rtx_ssrc));
}

static void expire(lw_connection *c, lw_stream *s)
{
    if (!s->config.history_ms || !s->started)
        return;
    if ((uint16_t)(s->sequence - s->oldest) > LW_KEPT)
        s->oldest = (uint16_t)(s->sequence - LW_KEPT);
    for (; s->oldest != s->sequence; s->oldest++) {
        lw_kept *kept = &s->kept[s->oldest % LW_KEPT];
        if (kept->packet >= 0 && !c->net->scarce && c->net->now_ns - kept->first_ns <= s->config.history_ms * LW_MS)
            return;
        forget(c, kept);
    }
}

void lw_connection_sweep(lw_connection *c)
{
    int64_t now = c->net->now_ns;
    for (int i = 0, n = lw_stream_count(c); i < n; i++) {
        lw_stream *s = lw_stream_of(c, i);
        expire(c, s);
        tell_key(c, s);
        if (s->started && now >= s->report_ns) {
            report(c, s, 0);
            /* RFC 3550, 6.2: about a second, and never two senders in step. */
            s->report_ns = now + LW_SECOND / 2 + lw_net_random(c->net) % LW_SECOND;
        }
    }
    lw_connection_probe(c);
    lw_connection_rated(c);
}

void lw_connection_rated(lw_connection *c)
{
    c->rate = lw_estimate_rate(&c->estimate, c->net->now_ns);
    atomic_store_explicit(&c->count.bitrate, c->rate, memory_order_relaxed);
    atomic_store_explicit(&c->count.received_bitrate, lw_estimate_received(&c->estimate), memory_order_relaxed);
    int64_t change = c->rate > c->rate_told ? c->rate - c->rate_told : c->rate_told - c->rate;
    if (change * 20 >= c->rate_told) {
        c->rate_told = c->rate;
        lw_net_tell(c, LW_NET_RATE, (int)c->rate);
    }
}

/* ---- the end ---- */

void lw_stream_leave(lw_stream *s)
{
    if (!s->link)
        return;
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->link = NULL;
    s->group = NULL;
}

void lw_connection_end(lw_connection *c)
{
    for (int i = 0, n = lw_stream_count(c); i < n; i++) {
        lw_stream *s = lw_stream_of(c, i);
        if (s->started)
            report(c, s, 1);
        if (s->config.history_ms)
            for (int k = 0; k < LW_KEPT; k++)
                forget(c, &s->kept[k]);
        lw_stream_leave(s);
    }
    while (c->units) {
        lw_pool_drop_unit(c->net, unit_at(c, 0)->packet);
        c->unit_first = (c->unit_first + 1) % LW_UNITS;
        c->units--;
    }
    c->resends = c->probe.left = 0;
    lw_net_flush(c->net);
    c->net->batch_of = NULL;
    if (c->fd >= 0)
        close(c->fd);
    if (c->rtcp_fd >= 0)
        close(c->rtcp_fd);
    c->fd = c->rtcp_fd = -1;
}
