/* The net without its thread, by the test's own clock: packets as RFC 6184 and RFC 7741 want them, RTCP both ways,
 * retransmission, pacing, groups, and the estimate on simulated paths. */
#include <poll.h>

#include "check.h"
#include "net/estimate.h"
#include "net/rtcp.h"
#include "net_peer.h"

#define MS 1000000LL
#define SECOND 1000000000LL
#define WALL (1700000000 * SECOND)

/* ---- packetizers ---- */

typedef struct parts {
    uint8_t data[256][1500];
    size_t size[256];
    int n, most;
} parts;

static uint8_t *take(void *user)
{
    parts *p = user;
    return p->n < p->most ? p->data[p->n] : NULL;
}

static void give(void *user, size_t size)
{
    parts *p = user;
    p->size[p->n++] = size;
}

static int packetize(parts *p, int kind, int mode, size_t most, const void *data, size_t size)
{
    p->n = 0;
    p->most = 256;
    return lw_rtp_packetize(kind, mode, data, size, &(lw_payloads){.user = p, .most = most, .take = take, .give = give});
}

/* What a receiver makes of H.264 payloads: an access unit in Annex B; its size, or -1. */
static long unpack_h264(const parts *p, uint8_t *out)
{
    long at = 0;
    for (int i = 0; i < p->n; i++) {
        const uint8_t *in = p->data[i];
        size_t n = p->size[i], k = 1;
        int type = in[0] & 31;
        if (type == 28) {
            if (in[1] & 0x80) {
                memcpy(out + at, "\0\0\0\1", 4);
                out[at + 4] = (uint8_t)((in[0] & 0xe0) | (in[1] & 31));
                at += 5;
            }
            if ((in[1] & 0xc0) == 0xc0)
                return -1;
            memcpy(out + at, in + 2, n - 2);
            at += (long)n - 2;
            continue;
        }
        for (int more = 1; more; more = type == 24 && k < n) {
            size_t size = type == 24 ? lw_get16(in + k) : n;
            const uint8_t *nal = type == 24 ? in + k + 2 : in;
            if (type == 24 && k + 2 + size > n)
                return -1;
            memcpy(out + at, "\0\0\0\1", 4);
            memcpy(out + at + 4, nal, size);
            at += 4 + (long)size;
            k += 2 + size;
        }
    }
    return at;
}

/* An access unit of `nals` NAL units, none of which has a byte below 1; its size. */
static size_t make_unit(uint8_t *out, int nals, int most, int key)
{
    size_t at = 0;
    for (int i = 0; i < nals; i++) {
        int size = random_in(1, most);
        memcpy(out + at, "\0\0\0\1", 4);
        out[at + 4] = (uint8_t)(key && i < 2 ? 0x67 + i : key ? 0x65 : 0x41);
        for (int k = 1; k < size; k++)
            out[at + 4 + (size_t)k] = (uint8_t)random_in(1, 255);
        at += 4 + (size_t)size;
    }
    return at;
}

static void test_h264(void)
{
    static parts p;
    static uint8_t unit[200000], back[200000];
    int same = 1, small = 1, full = 1;
    for (int round = 0; round < 300; round++) {
        size_t most = (size_t)random_in(80, 1410), size = make_unit(unit, random_in(1, 9), round % 3 ? 400 : 6000, round & 1);
        same &= packetize(&p, LW_NET_H264, 1, most, unit, size) == p.n && p.n > 0;
        same &= unpack_h264(&p, back) == (long)size && !memcmp(unit, back, size);
        for (int i = 0; i < p.n; i++) {
            small &= p.size[i] <= most;
            full &= i + 1 == p.n || p.size[i] + p.size[i + 1] + 5 > most || (p.data[i][0] & 31) == 28 || (p.data[i + 1][0] & 31) == 28;
        }
    }
    CHECK(same, "H.264 in mode 1 comes out as it went in");
    CHECK(small, "no payload is longer than it may be");
    CHECK(full, "what fits together is together");
    const uint8_t sets[] = "\0\0\1\x09\x10\0\0\0\1\x67\x42\xc0\0\0\1\x68\xce\0\0\1\x0c\xff\0\0\1\x65\x88\x80\0\0";
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, sets, sizeof sets - 1) == 1 && p.data[0][0] == (0x60 | 24), "parameter sets and IDR are one STAP-A");
    CHECK(p.size[0] == 1 + 2 + 3 + 2 + 2 + 2 + 3, "without delimiter, filler and trailing zeros");
    CHECK(packetize(&p, LW_NET_H264, 0, 1138, sets, sizeof sets - 1) == 3 && p.data[2][0] == 0x65, "mode 0 sends each alone");
    size_t size = make_unit(unit, 1, 1, 0);
    memset(unit + size, 7, 2000);
    CHECK(packetize(&p, LW_NET_H264, 0, 1138, unit, size + 2000) == LW_EINVAL, "mode 0 has no fragments");
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, unit + 1, 20) == 1, "a start code of three bytes");
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, unit + 2, 20) == LW_EINVAL, "no start code");
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, "\0\0\1\x09\x10", 5) == LW_EINVAL, "nothing that is sent");
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, "\0\0\1\x1c\x85\1", 6) == LW_EINVAL, "a type that only RTP has");
    CHECK(packetize(&p, LW_NET_H264, 1, 1138, unit, 0) == LW_EINVAL, "nothing");
    p.n = 0, p.most = 1;
    lw_payloads few = {.user = &p, .most = 1138, .take = take, .give = give};
    CHECK(lw_rtp_packetize(LW_NET_H264, 1, unit, size + 2000, &few) == LW_ENOSPC, "no memory for a payload");
}

static void test_vp8_and_sound(void)
{
    static parts p;
    static uint8_t frame[20000], back[20000];
    int right = 1;
    for (int round = 0; round < 100; round++) {
        size_t size = (size_t)random_in(1, sizeof frame), at = 0;
        for (size_t i = 0; i < size; i++)
            frame[i] = (uint8_t)random_u32();
        right &= packetize(&p, LW_NET_VP8, 0, 1138, frame, size) == p.n;
        for (int i = 0; i < p.n; i++) {
            lw_vp8_picture(p.data[i], 0x7abc);
            right &= p.size[i] <= 1138 && p.data[i][0] == (i ? 0x80 : 0x90) && p.data[i][1] == 0x80;
            right &= p.data[i][2] == (0x80 | 0x7a) && p.data[i][3] == 0xbc;
            memcpy(back + at, p.data[i] + 4, p.size[i] - 4);
            at += p.size[i] - 4;
        }
        right &= at == size && !memcmp(frame, back, size);
    }
    CHECK(right, "VP8 comes out as it went in, behind its descriptors");
    CHECK(packetize(&p, LW_NET_OPUS, 0, 1138, frame, 200) == 1 && p.size[0] == 200 && !memcmp(frame, p.data[0], 200), "a packet of sound is a payload");
    CHECK(packetize(&p, LW_NET_OPUS, 0, 1138, frame, 1139) == LW_EINVAL, "sound is not cut");
}

/* ---- RTCP ---- */

typedef struct heard {
    int blocks, nacks, keys, fir, feedbacks, received, missing;
    int64_t remb, delta;
    uint32_t ssrc, first, more;
    lw_rtcp_block block;
} heard;

static void on_block(void *user, const lw_rtcp_block *block)
{
    heard *h = user;
    h->blocks++;
    h->block = *block;
}

static void on_nack(void *user, uint32_t ssrc, uint16_t first, uint16_t more)
{
    heard *h = user;
    h->nacks++;
    h->ssrc = ssrc;
    h->first = first;
    h->more = more;
}

static void on_key(void *user, uint32_t ssrc, int fir)
{
    heard *h = user;
    h->keys++;
    h->ssrc = ssrc;
    h->fir = fir;
}

static void on_remb(void *user, int64_t bitrate)
{
    ((heard *)user)->remb = bitrate;
}

static void on_feedback(void *user, lw_rtcp_feedback *f)
{
    heard *h = user;
    int32_t delta;
    h->feedbacks++;
    for (int status; (status = lw_rtcp_status(f, &delta)) >= 0;) {
        h->received += status;
        h->missing += !status;
        h->delta += status ? delta : 0;
    }
}

static int hear(heard *h, const void *data, size_t size)
{
    memset(h, 0, sizeof *h);
    return lw_rtcp_read(data, size, &(lw_rtcp_reader){h, on_block, on_nack, on_key, on_remb, on_feedback});
}

/* One packet: header, the words behind it. */
static size_t rtcp(uint8_t *out, int count, int type, const uint32_t *words, int n)
{
    lw_put32(out, 0x80000000u | (uint32_t)count << 24 | (uint32_t)type << 16 | (uint32_t)n);
    for (int i = 0; i < n; i++)
        lw_put32(out + 4 + 4 * i, words[i]);
    return 4 + 4 * (size_t)n;
}

#define RTCP(out, count, type, ...) \
    rtcp(out, count, type, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static void test_rtcp_in(void)
{
    uint8_t b[256];
    heard h;
    size_t n = RTCP(b, 1, 201, 7, 0x1234, 0x40000005, 70000, 9, 11, 13);
    CHECK(!hear(&h, b, n) && h.blocks == 1 && h.block.fraction == 64 && h.block.lost == 5 && h.block.highest == 70000 &&
              h.block.last_report == 11 && h.block.delay == 13, "a receiver report");
    n = RTCP(b, 1, 200, 7, 0, 0, 0, 0, 0, 0x1234, 0, 0, 0, 0, 0);
    CHECK(!hear(&h, b, n) && h.blocks == 1 && h.block.ssrc == 0x1234, "the block of a sender report");
    n = RTCP(b, 1, 205, 7, 0x1234, 0x00640005, 0x00c80000);
    CHECK(!hear(&h, b, n) && h.nacks == 2 && h.first == 200, "a NACK of two");
    n = RTCP(b, 1, 206, 7, 0x1234);
    n += RTCP(b + n, 4, 206, 7, 0, 0x5678, 0x09000000);
    CHECK(!hear(&h, b, n) && h.keys == 2 && h.ssrc == 0x5678 && h.fir == 9, "PLI and FIR");
    n = RTCP(b, 15, 206, 7, 0, 0x52454d42, 0x01000000 | 5 << 18 | 50000, 0x1234);
    CHECK(!hear(&h, b, n) && h.remb == 50000 << 5, "REMB");
    /* Five packets from 100 on: there, there 2 ms earlier, not, there, not; then a run of three that are there. */
    n = RTCP(b, 15, 205, 7, 0x1234, 100 << 16 | 8, 1000 << 8 | 1, (0xc000u | 1 << 12 | 2 << 10 | 0 << 8 | 1 << 6 | 0 << 4 | 1 << 2 | 1) << 16 | 0x2001,
             0x04fff808, 0x01010100);
    CHECK(!hear(&h, b, n) && h.feedbacks == 1 && h.received == 6 && h.missing == 2 && h.delta == 4 - 8 + 8 + 1 + 1 + 1, "transport-wide feedback");
    n = RTCP(b, 15, 205, 7, 0x1234, 100 << 16 | 2000, 0, 0x1fff0000);
    CHECK(hear(&h, b, n) == 1 && !h.feedbacks, "feedback about more than can be open");
    n = RTCP(b, 1, 201, 7);
    CHECK(hear(&h, b, n) == 1, "fewer blocks than announced");
    n = RTCP(b, 1, 206, 7, 0x1234);
    lw_put16(b + 2, 3);
    CHECK(hear(&h, b, n) == 1 && !h.keys, "longer than it is");
    b[0] = 0x41;
    CHECK(hear(&h, b, n) == 1, "another version");
    n = RTCP(b, 1, 206, 7, 0x1234, 0x00000005);
    b[0] |= 0x20;
    CHECK(hear(&h, b, n) == 1, "padding that is longer than the packet may be");
    CHECK(hear(&h, b, 3) == 1 && hear(&h, b, 0) == 0, "less than a header");
    int stable = 1;
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)random_in(0, sizeof b);
        for (size_t i = 0; i < size; i++)
            b[i] = (uint8_t)random_u32();
        for (size_t at = 0; at + 4 <= size && random_in(0, 9); at += 4 * (1 + (size_t)b[at + 3])) {
            b[at] = (uint8_t)(0x80 | random_in(0, 31));
            b[at + 1] = (uint8_t)random_in(199, 207);
            b[at + 2] = 0;
            b[at + 3] = (uint8_t)random_in(0, 12);
        }
        stable &= hear(&h, b, size) >= 0 && h.received + h.missing <= 8 * LW_RTCP_STATUSES;
    }
    CHECK(stable, "any bytes");
}

static void test_rtcp_out(void)
{
    uint8_t b[256];
    lw_rtcp_sender s = {.ssrc = 0x1234, .timestamp = 5, .packets = 6, .octets = 7, .ntp = 0x0102030405060708u, .cname = "me"};
    size_t n = lw_rtcp_sender_report(b, &s, 0, 0);
    CHECK(n == 28 + 16 && b[1] == 200 && lw_get32(b + 8) == 0x01020304 && lw_get32(b + 12) == 0x05060708 && lw_get32(b + 16) == 5, "SR");
    CHECK(b[29] == 202 && lw_get16(b + 30) == 3 && b[36] == 1 && b[37] == 2 && !memcmp(b + 38, "me\0", 3), "SDES with the CNAME");
    n = lw_rtcp_sender_report(b, &s, 1, 0x99);
    CHECK(n == 44 + 12 && b[44] == 0x82 && b[45] == 203 && lw_get32(b + 52) == 0x99, "BYE of both SSRCs");
    s.cname = "123456789012345678901234567890123456789012345678901234567890123";
    CHECK(lw_rtcp_sender_report(b, &s, 1, 1) <= 120, "the longest");
}

/* ---- the net ---- */

typedef struct scene {
    lw_net *net;
    lw_connection *peer[4];
    int fd[4][2];
    int64_t now;
} scene;

static lw_stream_config video_config(void)
{
    return (lw_stream_config){.kind = LW_NET_H264, .ssrc = 0x1000, .payload_type = 102, .clock_rate = 90000, .cname = "cname", .mid = "v",
                              .mid_id = MID_ID, .abs_send_time_id = ABS_ID, .twcc_id = TWCC_ID, .rtx_ssrc = 0x1001, .rtx_payload_type = 103,
                              .mode = 1, .history_ms = 1000, .first_timestamp = 0xffffff00u, .first_sequence = 0xfffe};
}

static lw_stream_config sound_config(void)
{
    return (lw_stream_config){.kind = LW_NET_OPUS, .ssrc = 0x2000, .payload_type = 111, .clock_rate = 48000, .cname = "cname", .mid = "a",
                              .mid_id = MID_ID, .twcc_id = TWCC_ID, .first_timestamp = 1000, .first_sequence = 7};
}

/* `peers` connections, each with video (stream 0) and sound (stream 1). */
static scene open_scene(int peers, int start_bitrate)
{
    scene s = {.now = 1000 * SECOND};
    if (lw_net_open(&s.net, &(lw_net_config){.packets = 4096, .manual = 1, .wall_ns = WALL}))
        exit(1);
    lw_net_run(s.net, s.now);
    for (int i = 0; i < peers; i++) {
        lw_stream_config video = video_config(), sound = sound_config();
        open_pair(s.fd[i]);
        if (lw_connection_open(&s.peer[i], s.net, &(lw_connection_config){.fd = s.fd[i][0], .start_bitrate = start_bitrate}))
            exit(1);
        close(s.fd[i][0]);
        if (lw_connection_stream(s.peer[i], &video) != 0 || lw_connection_stream(s.peer[i], &sound) != 1)
            exit(1);
    }
    return s;
}

static void close_scene(scene *s)
{
    for (int i = 0; i < 4 && s->fd[i][1]; i++) {
        lw_connection_close(&s->peer[i]);
        close(s->fd[i][1]);
    }
    lw_net_counters counters;
    lw_net_stats(s->net, &counters);
    CHECK(counters.packets_free == 4096 && !counters.connections, "every packet came back");
    CHECK(!lw_net_close(&s->net) && !s->net, "the net closes");
}

static void advance(scene *s, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++)
        lw_net_run(s->net, s->now += MS);
}

static int next_event(scene *s, lw_net_event *e)
{
    return lw_net_events(s->net, e, 1);
}

static int readable(const lw_net *net)
{
    struct pollfd p = {.fd = lw_net_fd(net), .events = POLLIN};
    return poll(&p, 1, 0);
}

static int send_video(lw_connection *c, size_t size, int64_t sample, int key)
{
    static uint8_t unit[400000];
    memset(unit, 5, size);
    memcpy(unit, key ? "\0\0\0\1\x65" : "\0\0\0\1\x41", 5);
    return lw_connection_send(c, 0, &(lw_media){.data = unit, .size = size, .sample = sample, .key = key});
}

static int send_sound(lw_connection *c, int64_t sample)
{
    return lw_connection_send(c, 1, &(lw_media){.data = "sound", .size = 5, .sample = sample, .duration = 960});
}

static void test_headers(void)
{
    scene s = open_scene(1, 0);
    rtp p;
    send_sound(s.peer[0], 960);
    send_sound(s.peer[0], 1920);
    send_sound(s.peer[0], 4800);
    advance(&s, 1);
    CHECK(receive_rtp(s.fd[0][1], &p) && p.ssrc == 0x2000 && p.payload_type == 111 && p.sequence == 7 && p.timestamp == 1960, "the first packet of sound");
    CHECK(p.marker && !strcmp(p.mid, "a") && p.twcc == 0 && p.abs_send_time < 0, "marked, with its extensions");
    CHECK(p.payload_size == 5 && !memcmp(p.payload, "sound", 5), "and its payload");
    CHECK(receive_rtp(s.fd[0][1], &p) && p.sequence == 8 && !p.marker && p.twcc == 1, "what goes on is not marked");
    CHECK(receive_rtp(s.fd[0][1], &p) && p.marker && p.timestamp == 5800, "what comes after a pause is");
    CHECK(send_video(s.peer[0], 3000, 1920, 1) == 3, "three packets of video");
    advance(&s, 30);
    CHECK(receive_rtp(s.fd[0][1], &p) && p.sequence == 0xfffe && !p.marker && p.timestamp == 0xffffff00u + 3600, "the first of a picture");
    CHECK(p.abs_send_time == (int)((1000 * SECOND + 2 * MS) % (64 * SECOND) * (1 << 18) / SECOND) && p.twcc == 3, "when it left");
    CHECK(receive_rtp(s.fd[0][1], &p) && p.sequence == 0xffff && !p.marker, "the second");
    CHECK(receive_rtp(s.fd[0][1], &p) && p.sequence == 0 && p.marker && p.timestamp == 0xe10u - 0x100, "the last is marked, behind the wrap");
    lw_media bad = {.data = "x", .size = 1, .sample = -1};
    CHECK(lw_connection_send(s.peer[0], 1, &bad) == LW_EINVAL && lw_connection_send(s.peer[0], 2, &bad) == LW_EINVAL, "no such stream or time");
    close_scene(&s);
}

static void test_streams_refused(void)
{
    scene s = open_scene(1, 0);
    lw_stream_config f = video_config();
    CHECK(lw_connection_stream(s.peer[0], &f) == LW_EINVAL, "an SSRC that is taken");
    f.ssrc = 5, f.rtx_ssrc = 0x2000;
    CHECK(lw_connection_stream(s.peer[0], &f) == LW_EINVAL, "an RTX SSRC that is taken");
    f.rtx_ssrc = 6;
    int32_t *fields[] = {&f.kind, &f.payload_type, &f.clock_rate, &f.mid_id, &f.abs_send_time_id, &f.mtu, &f.mode, &f.history_ms};
    const int32_t wrong[] = {9, 128, 10, 15, TWCC_ID, 2000, 2, 20000};
    for (int i = 0; i < 8; i++) {
        int32_t right = *fields[i];
        *fields[i] = wrong[i];
        CHECK(lw_connection_stream(s.peer[0], &f) == LW_EINVAL, "a value out of range");
        *fields[i] = right;
    }
    f.cname = "";
    CHECK(lw_connection_stream(s.peer[0], &f) == LW_EINVAL, "no CNAME");
    f.cname = "c";
    for (int i = 2; i < LW_NET_STREAMS; i++, f.ssrc += 2, f.rtx_ssrc += 2)
        if (lw_connection_stream(s.peer[0], &f) != i)
            CHECK(0, "a stream");
    CHECK(lw_connection_stream(s.peer[0], &f) == LW_ENOSPC, "one too many");
    close_scene(&s);
}

/* Sound and pictures of one sample have one NTP time, whenever their reports are made. */
static void test_media_time(void)
{
    scene s = open_scene(1, 0);
    uint32_t at[2][3] = {{0}};
    double sample[2] = {0};
    rtp p;
    for (int i = 0; i < 150; i++) {
        send_sound(s.peer[0], 960 * i);
        advance(&s, 7); /* a picture is handed over later than its sound */
        if (!(i & 1))
            send_video(s.peer[0], 400, 960 * i, !i);
        advance(&s, 13);
        while (receive(s.fd[0][1], &p))
            if (p.rtcp && p.bytes[1] == 200) {
                int k = lw_get32(p.bytes + 4) == 0x2000;
                double ntp = lw_get32(p.bytes + 8) - 2208988800.0 - WALL / SECOND + lw_get32(p.bytes + 12) / 4294967296.0;
                double media = k ? (lw_get32(p.bytes + 16) - 1000) / 48000.0 : (lw_get32(p.bytes + 16) - 0xffffff00u) / 90000.0;
                sample[k] = ntp - media; /* the NTP time of sample 0 */
                at[k][0]++;
            }
    }
    CHECK(at[0][0] >= 2 && at[1][0] >= 2, "both streams report");
    CHECK(sample[0] - sample[1] < 4e-5 && sample[1] - sample[0] < 4e-5, "and say the same of sample 0");
    close_scene(&s);
}

static void nack(lw_connection *c, uint32_t ssrc, int first, int more)
{
    uint8_t b[32];
    lw_connection_rtcp(c, b, RTCP(b, 1, 205, 7, ssrc, (uint32_t)first << 16 | (uint32_t)more));
}

static void test_retransmission(void)
{
    scene s = open_scene(1, 0);
    rtp p, first;
    lw_connection_counters count;
    send_video(s.peer[0], 3000, 0, 1);
    advance(&s, 30);
    receive_rtp(s.fd[0][1], &first);
    while (receive(s.fd[0][1], &p))
        ;
    nack(s.peer[0], 0x1000, 0xfffe, 3);
    nack(s.peer[0], 0x1000, 0xfffe, 3); /* once more, at once */
    advance(&s, 20);
    CHECK(receive_rtp(s.fd[0][1], &p) && p.ssrc == 0x1001 && p.payload_type == 103 && p.timestamp == first.timestamp, "a retransmission is of the RTX stream");
    CHECK(lw_get16(p.payload) == 0xfffe && p.payload_size == first.payload_size + 2 && !memcmp(p.payload + 2, first.payload, (size_t)first.payload_size), "the packet behind its number");
    CHECK(p.twcc == 3, "with a transport-wide number of its own");
    int rtx = p.sequence;
    CHECK(receive_rtp(s.fd[0][1], &p) && p.sequence == ((rtx + 1) & 0xffff) && lw_get16(p.payload) == 0xffff, "the next");
    CHECK(receive_rtp(s.fd[0][1], &p) && p.marker && lw_get16(p.payload) == 0, "and the last");
    CHECK(!receive_rtp(s.fd[0][1], &p), "each once");
    lw_connection_stats(s.peer[0], &count);
    CHECK(count.nacked == 6 && count.retransmitted == 3 && count.nacks_ignored == 3, "counted");
    advance(&s, 1500);
    nack(s.peer[0], 0x1000, 0xffff, 0);
    nack(s.peer[0], 0x9999, 0xffff, 0);
    advance(&s, 20);
    CHECK(!receive_rtp(s.fd[0][1], &p), "what is too old is not kept");
    lw_connection_stats(s.peer[0], &count);
    CHECK(count.rtcp_bad == 1, "a stream that is not there");
    close_scene(&s);

    /* Without an RTX stream the packet is the same, bit for bit. */
    s = open_scene(1, 0);
    lw_stream_config f = video_config();
    f.ssrc = 0x3000, f.rtx_ssrc = 0, f.kind = LW_NET_VP8;
    int number = lw_connection_stream(s.peer[0], &f);
    lw_connection_send(s.peer[0], number, &(lw_media){.data = "picture", .size = 7, .key = 1});
    advance(&s, 5);
    receive_rtp(s.fd[0][1], &first);
    nack(s.peer[0], 0x3000, 0xfffe, 0);
    advance(&s, 5);
    CHECK(receive_rtp(s.fd[0][1], &p) && p.size == first.size && !memcmp(p.bytes, first.bytes, (size_t)p.size), "the same packet again");
    close_scene(&s);
}

/* A peer that asks for everything, for ever. */
static void test_nack_storm(void)
{
    scene s = open_scene(1, 0);
    lw_connection_counters before, after;
    rtp p;
    for (int i = 0; i < 50; i++) {
        send_video(s.peer[0], 4000, 1920 * i, !i);
        advance(&s, 40);
    }
    lw_connection_stats(s.peer[0], &before);
    uint8_t b[1472];
    uint32_t words[2 + 300] = {7, 0x1000};
    for (int i = 0; i < 300; i++)
        words[2 + i] = (uint32_t)(uint16_t)(0xfffe + 17 * (i % 12)) << 16 | 0xffff;
    size_t n = rtcp(b, 1, 205, words, 302);
    for (int i = 0; i < 1000; i++) {
        lw_connection_rtcp(s.peer[0], b, n);
        advance(&s, 1);
        while (receive(s.fd[0][1], &p))
            ;
    }
    lw_connection_stats(s.peer[0], &after);
    int64_t bits = 8 * (after.bytes - before.bytes);
    CHECK(after.nacked == 17 * 300 * 1000, "five million requests");
    CHECK(bits < 800000 * LW_NET_RTX_SHARE / 100 + 8 * 50000 + 20000, "answered within the budget");
    close_scene(&s);
}

/* A pool that is too small for what could be kept: what is kept goes, nothing is refused. */
static void test_scarce_packets(void)
{
    scene s = {.now = SECOND};
    lw_net_counters all;
    lw_connection_counters count;
    lw_stream_config f = video_config();
    if (lw_net_open(&s.net, &(lw_net_config){.packets = 64, .manual = 1}) ||
        lw_connection_open(&s.peer[0], s.net, &(lw_connection_config){.fd = -1}) || lw_connection_stream(s.peer[0], &f))
        exit(1);
    for (int i = 0; i < 300; i++) {
        send_video(s.peer[0], 3000, 1920 * i, !i);
        advance(&s, 20);
    }
    lw_net_stats(s.net, &all);
    lw_connection_stats(s.peer[0], &count);
    CHECK(!all.refused && count.units == 300 && !count.units_dropped, "what is kept makes room for what is new");
    lw_connection_close(&s.peer[0]);
    CHECK(!lw_net_close(&s.net), "the net closes");
}

static int key_events(scene *s)
{
    lw_net_event e;
    int keys = 0;
    while (next_event(s, &e))
        keys += e.kind == LW_NET_KEY;
    return keys;
}

static void test_key_requests(void)
{
    scene s = open_scene(1, 0);
    uint8_t b[64];
    send_video(s.peer[0], 100, 0, 0);
    advance(&s, 1);
    CHECK(readable(s.net) && key_events(&s) == 1 && !readable(s.net), "a stream begins with a key frame");
    send_video(s.peer[0], 100, 1920, 1);
    advance(&s, 300);
    for (int i = 0; i < 20; i++) {
        lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 206, 7, 0x1000));
        advance(&s, 5);
    }
    CHECK(key_events(&s) == 1, "requests that come close together are one");
    send_video(s.peer[0], 100, 3840, 1);
    advance(&s, 500);
    CHECK(!key_events(&s), "and a key frame answers them all");
    lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 206, 7, 0x1000));
    advance(&s, 40);
    send_video(s.peer[0], 100, 5760, 1);
    advance(&s, 110);
    CHECK(key_events(&s) == 1, "who asks is answered");
    lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 206, 7, 0x1000));
    advance(&s, 5);
    CHECK(!key_events(&s), "who asks again for a key frame that was lost waits");
    advance(&s, 200);
    CHECK(key_events(&s) == 1, "but need not repeat it");
    advance(&s, 500);
    CHECK(!key_events(&s), "and is answered once");
    for (int i = 0; i < 3; i++) {
        lw_connection_rtcp(s.peer[0], b, RTCP(b, 4, 206, 7, 0, 0x1000, 0x05000000));
        advance(&s, 250);
    }
    CHECK(key_events(&s) == 1, "a FIR that is sent again is the same command");
    lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 206, 7, 0x1000));
    int told = 0;
    for (int i = 0; i < 4; i++) {
        advance(&s, i ? 250 : 5);
        told += key_events(&s);
        if (!i)
            lw_connection_rtcp(s.peer[0], b, RTCP(b, 4, 206, 7, 0, 0x1000, 0x06000000));
    }
    advance(&s, 5);
    CHECK(told == 2 && !key_events(&s), "nor a FIR that came too close to another request");
    lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 206, 7, 0x2000));
    advance(&s, 5);
    CHECK(!key_events(&s), "sound has no key frames");
    lw_connection_counters count;
    lw_connection_stats(s.peer[0], &count);
    CHECK(count.key_requests == 27, "counted");
    close_scene(&s);
}

/* A key frame of `size` bytes where `estimate` bit/s are carried: `pace` bit/s leave. */
static void test_pacing(int estimate, int size, int pace)
{
    scene s = open_scene(1, estimate);
    rtp p;
    int64_t bytes = 0, most = 0, begun = s.now;
    int wanted = send_video(s.peer[0], (size_t)size, 0, 1);
    send_sound(s.peer[0], 0);
    advance(&s, 1);
    int sound = 0, packets = 0;
    for (; packets < wanted && s.now - begun < SECOND; advance(&s, 1)) {
        while (receive_rtp(s.fd[0][1], &p)) {
            sound += p.ssrc == 0x2000 && s.now - begun == MS;
            packets += p.ssrc == 0x1000;
            bytes += p.size;
        }
        int64_t ahead = bytes - (s.now - begun) / MS * pace / 8000;
        most = ahead > most ? ahead : most;
    }
    int64_t took = (s.now - begun) / MS, due = (int64_t)size * 8000 / pace;
    CHECK(sound == 1, "sound does not wait for a key frame");
    CHECK(packets == wanted, "the key frame leaves");
    CHECK(most <= pace / 8000 * 10 + 1300, "never faster than 2.5 times the estimate, but for 10 ms");
    CHECK(took >= due * 7 / 10 && took <= due * 23 / 20, "and not slower");
    close_scene(&s);
}

/* A key frame that takes 1.6 s: what waits behind it is not given up, for that would ask for another. */
static void test_large_key_frame(void)
{
    scene s = open_scene(1, 600000);
    lw_connection_counters count;
    rtp p;
    int pictures = 0;
    for (int i = 0; i < 75; i++) {
        send_video(s.peer[0], i ? 1200 : 300000, 1920 * i, !i);
        for (int ms = 0; ms < 40; ms++) {
            advance(&s, 1);
            while (receive_rtp(s.fd[0][1], &p))
                pictures += p.marker;
        }
    }
    lw_connection_stats(s.peer[0], &count);
    CHECK(!count.units_dropped && pictures == 75 && !count.queue_bytes && !count.queue_packets, "a large key frame is no reason for another");
    close_scene(&s);
}

/* A key frame of 0.4 s every 0.5 s, as others ask for them: those that come do not queue up behind those that have not begun. */
static void test_many_key_frames(void)
{
    scene s = open_scene(1, 600000); /* 187 bytes a ms leave */
    lw_connection_counters count;
    rtp p;
    int pictures = 0;
    int64_t late = 0, begun = s.now;
    for (int i = 0; i < 250; i++) {
        send_video(s.peer[0], i % 13 ? 3000 : 75000, 1920 * i, !(i % 13));
        for (int ms = 0; ms < 40; ms++) {
            advance(&s, 1);
            while (receive_rtp(s.fd[0][1], &p)) {
                if (!p.marker)
                    continue;
                int64_t sent = begun + (int64_t)(uint32_t)(p.timestamp - 0xffffff00u) / 90 * MS;
                late = s.now - sent > late ? s.now - sent : late;
                pictures++;
            }
        }
    }
    lw_connection_stats(s.peer[0], &count);
    printf("# %d pictures, at most %d ms late\n", pictures, (int)(late / MS));
    CHECK(late < 600 * MS, "key frames do not queue up");
    CHECK(pictures > 100 && count.units_dropped + pictures > 230, "and pictures come between them");
    advance(&s, 1000);
    while (receive_rtp(s.fd[0][1], &p))
        ;
    for (int i = 250; i < 280; i++)
        send_video(s.peer[0], 300, 1920 * i, !(i % 10));
    for (pictures = 0; s.now < begun + 12 * SECOND; advance(&s, 1))
        while (receive_rtp(s.fd[0][1], &p))
            pictures += p.marker;
    CHECK(pictures == 30, "small ones that come at once all leave");
    close_scene(&s);
}

static void test_groups(void)
{
    scene s = open_scene(3, 1600000);
    lw_group *g, *wrong;
    rtp p;
    lw_net_event e;
    lw_stream_config f = video_config();
    CHECK(!lw_group_open(&g, s.net, &(lw_group_config){.kind = LW_NET_H264, .mode = 1}), "a group");
    CHECK(!lw_group_open(&wrong, s.net, &(lw_group_config){.kind = LW_NET_H264, .mode = 0}), "another");
    CHECK(lw_group_add(wrong, s.peer[0], 0) == LW_EINVAL && lw_group_add(g, s.peer[0], 1) == LW_EINVAL, "what does not fit is refused");
    for (int i = 0; i < 3; i++)
        lw_group_add(g, s.peer[i], 0);
    uint8_t unit[3000];
    memset(unit, 9, sizeof unit);
    memcpy(unit, "\0\0\0\1\x65", 5);
    lw_media m = {.data = unit, .size = sizeof unit, .key = 1};
    CHECK(lw_group_send(g, &m) == 3, "three packets");
    advance(&s, 20);
    int all = 1;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            all &= receive_rtp(s.fd[i][1], &p) && p.ssrc == f.ssrc && p.twcc == k;
        all &= p.marker && !receive_rtp(s.fd[i][1], &p);
    }
    CHECK(all, "for each member, under his own numbers");
    while (next_event(&s, &e))
        ;
    /* The second one's path is slow: 1.5 Mbit/s leave, and 2.6 are wanted; the others have 4. */
    uint8_t b[64];
    lw_connection_rtcp(s.peer[1], b, RTCP(b, 15, 206, 7, 0, 0x52454d42, 0x01000000 | 4 << 18 | 37500, 0x1000));
    static uint8_t big[25000];
    memset(big, 9, sizeof big);
    memcpy(big, "\0\0\0\1\x41", 5);
    int got[3] = {0}, behind = 0, key = 0, slow_units = 0;
    for (int i = 1; i <= 50; i++) {
        lw_connection_rtcp(s.peer[1], b, RTCP(b, 15, 206, 7, 0, 0x52454d42, 0x01000000 | 4 << 18 | 37500, 0x1000));
        lw_group_send(g, &(lw_media){.data = big, .size = i % 25 ? 12000 : sizeof big, .sample = 1920 * i, .key = i % 25 == 0});
        for (int k = 0; k < (i == 50 ? 100 : 40); k++) {
            advance(&s, 1);
            for (int n = 0; n < 3; n++)
                while (receive_rtp(s.fd[n][1], &p)) {
                    got[n] += p.marker;
                    slow_units += n == 1 && p.marker;
                }
        }
        while (next_event(&s, &e)) {
            behind += e.kind == LW_NET_BEHIND && e.connection == lw_connection_id(s.peer[1]);
            key += e.kind == LW_NET_KEY;
            all &= e.kind != LW_NET_BEHIND || e.connection == lw_connection_id(s.peer[1]);
        }
    }
    CHECK(got[0] == 50 && got[2] == 50, "who keeps up gets every picture");
    CHECK(behind >= 1 && key >= 1 && all, "who does not is told of, and asks for a key frame when he can");
    CHECK(slow_units < 50 && slow_units > 10, "and goes on with it");
    lw_connection_counters count;
    lw_connection_stats(s.peer[1], &count);
    CHECK(count.units_dropped > 0 && count.units == 51, "what was left out is counted");
    lw_group_remove(g, s.peer[0], 0);
    lw_connection_close(&s.peer[2]);
    advance(&s, 700);
    while (receive(s.fd[0][1], &p) || receive(s.fd[1][1], &p))
        ;
    m.sample = 1920 * 60;
    lw_group_send(g, &m);
    advance(&s, 20);
    CHECK(!receive_rtp(s.fd[0][1], &p) && receive_rtp(s.fd[1][1], &p), "who has left gets nothing");
    while (receive(s.fd[2][1], &p))
        ;
    lw_group_close(&g);
    lw_group_close(&wrong);
    close_scene(&s);
}

static void test_goodbye(void)
{
    scene s = open_scene(2, 0);
    rtp p;
    int bye = 0;
    send_sound(s.peer[0], 0);
    advance(&s, 10);
    CHECK(lw_net_close(&s.net) == LW_ESTATE && s.net, "a net with connections does not close");
    int fd = s.fd[0][1];
    lw_connection_close(&s.peer[0]);
    while (receive(fd, &p))
        bye |= p.rtcp && p.size > 44 && p.bytes[p.size - 7] == 203;
    CHECK(bye, "BYE");
    CHECK(recv(fd, p.bytes, 1, MSG_DONTWAIT) <= 0, "and the socket is let go");
    /* No route: counted, never sent; then one. */
    lw_connection *c;
    lw_stream_config sound = sound_config();
    lw_connection_counters count;
    CHECK(!lw_connection_open(&c, s.net, &(lw_connection_config){.fd = -1}), "without a socket");
    lw_connection_stream(c, &sound);
    lw_connection_send(c, 0, &(lw_media){.data = "x", .size = 1, .duration = 960});
    advance(&s, 1);
    lw_connection_stats(c, &count);
    CHECK(count.unsent >= 1, "what has no route is counted");
    int pair[2];
    open_pair(pair);
    CHECK(lw_connection_route(c, pair[0], NULL, 0, 0x4001) == 0 && lw_connection_route(c, pair[0], NULL, 0, 9) == LW_EINVAL, "a route through TURN");
    lw_connection_send(c, 0, &(lw_media){.data = "x", .size = 1, .sample = 960, .duration = 960});
    lw_connection_forward(c, "\x80\xc9\0\1\0\0\0\7", 8);
    advance(&s, 1);
    uint8_t b[100];
    ssize_t n = recv(pair[1], b, sizeof b, MSG_DONTWAIT);
    CHECK(n > 16 && lw_get16(b) == 0x4001 && lw_get16(b + 2) == (uint32_t)n - 4 && b[4] == 0x90, "has its channel in front");
    n = recv(pair[1], b, sizeof b, MSG_DONTWAIT);
    CHECK(n == 12 && b[5] == 201, "as has what is forwarded");
    int beside[2];
    open_pair(beside);
    CHECK(lw_connection_rtcp_route(c, beside[0], NULL, 0) == 0, "RTCP has a way of its own");
    lw_connection_forward(c, "\x80\xc9\0\1\0\0\0\7", 8);
    lw_connection_send(c, 0, &(lw_media){.data = "x", .size = 1, .sample = 1920, .duration = 960});
    advance(&s, 1);
    CHECK(recv(beside[1], b, sizeof b, MSG_DONTWAIT) == 8 && b[1] == 201, "which it goes, as it is");
    CHECK(recv(pair[1], b, sizeof b, MSG_DONTWAIT) > 16 && b[4] == 0x90 && b[5] < 192, "and RTP the other");
    CHECK(recv(pair[1], b, sizeof b, MSG_DONTWAIT) < 0, "alone");
    CHECK(lw_connection_rtcp_route(c, -1, NULL, 0) == 0, "and takes that of RTP again");
    lw_connection_forward(c, "\x80\xc9\0\1\0\0\0\7", 8);
    advance(&s, 1);
    CHECK(recv(pair[1], b, sizeof b, MSG_DONTWAIT) == 12 && recv(beside[1], b, 1, MSG_DONTWAIT) <= 0, "with it");
    close(beside[0]);
    close(beside[1]);
    CHECK(lw_connection_rtcp_route(c, pair[0], "127.0.0.1", 9) == LW_EINVAL, "an address that RTCP cannot have");
    CHECK(lw_connection_route(c, pair[0], "127.0.0.1", 9, 0) == LW_EINVAL, "an address that the socket cannot have");
    close(pair[1]);
    close(pair[0]);
    lw_connection_send(c, 0, &(lw_media){.data = "x", .size = 1, .sample = 1920, .duration = 960});
    advance(&s, 1);
    lw_net_event e;
    int error = 0;
    while (next_event(&s, &e))
        error |= e.kind == LW_NET_ERROR && e.connection == lw_connection_id(c) ? e.value : 0;
    CHECK(error == ECONNREFUSED || error == ENOTCONN || error == EPIPE, "an error is told");
    lw_connection_close(&c);
    close_scene(&s);
}

static void test_round_trip(void)
{
    scene s = open_scene(1, 0);
    uint8_t b[64];
    rtp p;
    uint32_t middle = 0;
    lw_connection_counters count;
    send_sound(s.peer[0], 0);
    advance(&s, 200);
    while (receive(s.fd[0][1], &p))
        if (p.rtcp)
            middle = lw_get32(p.bytes + 10);
    advance(&s, 80);
    lw_connection_rtcp(s.peer[0], b, RTCP(b, 1, 201, 7, 0x2000, 0, 7, 0, middle, 65536 / 20));
    advance(&s, 1);
    lw_connection_stats(s.peer[0], &count);
    CHECK(middle && count.rtt_us > 225000 && count.rtt_us < 235000, "the round trip, by the report");
    close_scene(&s);
}

/* ---- the estimate ---- */

/* A path of `capacity` bit/s with a queue of `queue_ms`, and `jitter_ms`, `loss` of 256: packets of `wanted` bit/s, or as
 * many as the estimate allows, for `seconds`. Returns the estimate at the end. */
static int64_t simulate(lw_estimate *e, double capacity, int queue_ms, int jitter_ms, int loss, double wanted, int seconds, int64_t *from)
{
    double free_at = 0, debt = 0;
    int64_t now = *from, end = now + seconds * SECOND, told = now;
    struct {
        int64_t sent, arrived;
    } flying[4096];
    int n = 0, lost = 0;
    for (; now < end; now += 5 * MS) {
        double rate = (double)lw_estimate_rate(e, now);
        debt += (wanted > 0 && wanted < rate ? wanted : rate) * 0.005 / 8;
        for (; debt >= 1000 && n < 4096; debt -= 1000) {
            lw_estimate_sent(e, now, 1000);
            double begin = free_at > (double)now ? free_at : (double)now;
            if (begin - (double)now > (double)queue_ms * MS || random_in(0, 255) < loss) {
                lost++;
                continue;
            }
            free_at = begin + 8e12 / capacity;
            flying[n].sent = now;
            flying[n++].arrived = (int64_t)free_at + 20 * MS + (jitter_ms ? random_in(0, jitter_ms * 1000) * 1000LL : 0);
        }
        if (now - told < 100 * MS)
            continue;
        told = now;
        int left = 0, got = 0;
        for (int i = 1; i < n; i++)
            for (int k = i; k && flying[k - 1].arrived > flying[k].arrived; k--) {
                int64_t a = flying[k].arrived, b = flying[k].sent;
                flying[k] = flying[k - 1];
                flying[k - 1].arrived = a;
                flying[k - 1].sent = b;
            }
        for (int i = 0; i < n; i++)
            if (flying[i].arrived <= now) {
                lw_estimate_arrival(e, flying[i].sent, flying[i].arrived, 1000);
                got++;
            } else {
                flying[left++] = flying[i];
            }
        n = left;
        if (got || lost)
            lw_estimate_feedback(e, now, got, lost);
        lost = 0;
    }
    *from = now;
    return lw_estimate_rate(e, now);
}

static void test_estimate(void)
{
    lw_estimate e;
    int64_t now = 1000 * SECOND, rate;
    lw_estimate_open(&e, 300000, 50000, 5000000);
    lw_estimate_rtt(&e, 50 * MS);
    rate = simulate(&e, 1000000, 300, 0, 0, 0, 60, &now);
    printf("# 1 Mbit/s: %lld\n", (long long)rate);
    CHECK(rate > 600000 && rate < 1200000, "it finds what the path carries");
    rate = simulate(&e, 300000, 300, 0, 0, 0, 20, &now);
    printf("# then 300 kbit/s: %lld\n", (long long)rate);
    CHECK(rate > 150000 && rate < 380000, "and follows it down");
    rate = simulate(&e, 2000000, 300, 0, 0, 0, 60, &now);
    printf("# then 2 Mbit/s: %lld\n", (long long)rate);
    CHECK(rate > 900000, "and up");
    lw_estimate_open(&e, 800000, 50000, 5000000);
    rate = simulate(&e, 20e6, 300, 50, 13, 600000, 60, &now);
    printf("# wide, 50 ms of jitter, 5 %% lost: %lld\n", (long long)rate);
    CHECK(rate > 500000, "jitter and a little loss are no congestion");
    lw_estimate_open(&e, 800000, 50000, 5000000);
    rate = simulate(&e, 20e6, 300, 0, 77, 600000, 20, &now);
    printf("# 30 %% lost: %lld\n", (long long)rate);
    CHECK(rate < 300000, "much loss is");
    lw_estimate_open(&e, 250000, 50000, 5000000);
    rate = simulate(&e, 20e6, 300, 0, 0, 250000, 30, &now);
    printf("# 250 kbit/s wanted: %lld\n", (long long)rate);
    CHECK(rate < 500000 && lw_estimate_idle(&e, now), "what was not tried is not promised");
    lw_estimate_probe(&e, now, 900000, 890000);
    CHECK(lw_estimate_rate(&e, now) == 890000, "a probe shows what fits");
    lw_estimate_open(&e, 800000, 50000, 5000000);
    for (int i = 0; i < 20; i++) {
        lw_estimate_sent(&e, now += SECOND / 2, 30000);
        lw_estimate_sent(&e, now += SECOND / 2, 30000);
        lw_estimate_report(&e, now, 0.25);
    }
    CHECK(lw_estimate_rate(&e, now) < 200000, "reports alone cut by their loss");
    for (int i = 0; i < 100; i++)
        lw_estimate_report(&e, now += SECOND, 0);
    CHECK(lw_estimate_rate(&e, now) > 1000000, "and let it grow again");
    lw_estimate_remb(&e, now, 400000);
    CHECK(lw_estimate_rate(&e, now) == 400000 && lw_estimate_rate(&e, now + 6 * SECOND) > 1000000, "REMB is a ceiling while it is fresh");
}

/* The whole way: a peer with 3 Mbit/s, feedback in RTCP, pictures that want 300 kbit/s; probes find the rest. */
static void test_probes(void)
{
    scene s = open_scene(1, 300000);
    rtp p;
    lw_connection_counters count;
    double free_at = 0;
    uint32_t words[2 + 2 + 600];
    int64_t arrived[512], base = 0;
    int first = -1, n = 0;
    uint8_t b[4096];
    for (int frame = 0; frame < 25 * 40; frame++) {
        send_video(s.peer[0], 1500, 1920 * frame, !frame);
        for (int ms = 0; ms < 40; ms++) {
            advance(&s, 1);
            while (receive(s.fd[0][1], &p)) {
                free_at = (free_at > (double)s.now ? free_at : (double)s.now) + 8e9 * p.size / 3e6;
                if (p.twcc < 0 || n == 512)
                    continue;
                first = first < 0 ? p.twcc : first;
                arrived[n++] = (int64_t)free_at / 250000;
            }
        }
        if (frame % 3 || !n)
            continue;
        /* All of them, in order, each with a delta of two bytes. */
        base = arrived[0] / 256;
        words[0] = 7, words[1] = 0x1000, words[2] = (uint32_t)first << 16 | (uint32_t)n;
        words[3] = (uint32_t)(base & 0xffffff) << 8;
        uint8_t *at = b + 4 + 16;
        lw_put16(at, 0x4000u | (uint32_t)n);
        at += 2;
        int64_t last = base * 256;
        for (int i = 0; i < n; last = arrived[i++], at += 2)
            lw_put16(at, (uint32_t)(arrived[i] - last));
        while ((at - b) & 3)
            *at++ = 0;
        size_t size = (size_t)(at - b);
        lw_put32(b, 0x8fcd0000u | (uint32_t)(size / 4 - 1));
        for (int i = 0; i < 4; i++)
            lw_put32(b + 4 + 4 * i, words[i]);
        lw_connection_rtcp(s.peer[0], b, size);
        first = -1, n = 0;
    }
    lw_connection_stats(s.peer[0], &count);
    printf("# 300 kbit/s wanted, 3 Mbit/s there: estimate %lld, received %lld\n", (long long)count.bitrate, (long long)count.received_bitrate);
    CHECK(!count.rtcp_bad, "every feedback is understood");
    CHECK(count.received_bitrate > 250000 && count.received_bitrate < 450000, "what arrives is measured");
    CHECK(count.bitrate > 1200000 && count.bitrate < 3100000, "probes find what else would fit");
    CHECK(!count.units_dropped, "and cost no picture");
    close_scene(&s);
}

int main(void)
{
    test_h264();
    test_vp8_and_sound();
    test_rtcp_in();
    test_rtcp_out();
    test_headers();
    test_streams_refused();
    test_media_time();
    test_retransmission();
    test_nack_storm();
    test_scarce_packets();
    test_key_requests();
    test_pacing(800000, 50000, 2000000);
    test_pacing(100000, 8000, 250000);
    test_pacing(50000, 6000, LW_NET_MIN_PACE);
    test_large_key_frame();
    test_many_key_frames();
    test_groups();
    test_goodbye();
    test_round_trip();
    test_estimate();
    test_probes();
    return failures != 0;
}
