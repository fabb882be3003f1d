/* The sender: RTP to many peers from one native thread.
 *
 * A net has one thread, which numbers packets, protects, paces and sends them, keeps some for retransmission, reads RTCP,
 * estimates what each path carries, and writes sender reports. Whoever has media or RTCP leaves it with the net and goes
 * on. It stands beside the rest of the core, which has no socket.
 *
 *   lw_net         the thread, the memory of all packets that wait or are kept, the eventfd
 *   lw_connection  one peer: a socket that somebody else reads, an address, an SRTP context, streams, one estimate
 *   stream         one SSRC of a connection, named by its number there
 *   lw_group       many streams that get the same media: packetized once, sent to each under its own headers
 *
 * RTP: RFC 3550 and 8285 (one-byte header extensions); H.264: RFC 6184, packetization modes 0 and 1; VP8: RFC 7741 with
 * a picture id of 15 bits; Opus: RFC 7587. RTCP: SR, SDES and BYE out; RR, NACK and PLI (RFC 4585), FIR (RFC 5104),
 * REMB (draft-alvestrand-rmcat-remb-03) and transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01)
 * in. Retransmission: RFC 4588, or the packet once more, bit for bit, where no RTX payload type was agreed.
 *
 * Time: `sample` is the media clock (LW_RATE). All streams of a connection share one line from it to the wall clock, so
 * a receiver that goes by sender reports plays sound and pictures of one sample at one moment. The line is laid by the
 * first thing that is sent, and again when media and clock have come apart by more than a second.
 *
 * Sound leaves at once. Pictures wait in a queue per connection and leave at 2.5 times the estimated rate (never below
 * LW_NET_MIN_PACE), so that a key frame does not overrun the path. A queue that is LW_NET_BEHIND_NS long, or full, is
 * emptied of what has not begun, the stream waits for the next key frame, and nobody else notices. What of its stream
 * would hold up a key frame for more than 200 ms, or is as late, and has not begun, is given up for it.
 *
 * What a hostile peer can cost is bounded: feedback about packets that were not sent is counted and dropped, a packet is
 * retransmitted at most once a round trip and all of them within a budget of LW_NET_RTX_SHARE per cent of the estimate.
 *
 * Threads: lw_connection_send, lw_connection_rtcp, lw_connection_forward, lw_group_send, lw_net_events and the stats may
 * be called by any thread at any time. Everything else, on one object, by one thread at a time. These calls take a lock
 * that is never held for longer than it takes to queue something; lw_connection_close and lw_net_close wait for the
 * thread.
 *
 * Example of use:
 *
 *     lw_net *net;
 *     lw_connection *peer;
 *     if (lw_net_open(&net, &(lw_net_config){.packets = 1024}) < 0)
 *         return 1;
 *     lw_connection_config to = {.fd = -1}; // no socket yet: what is sent is counted, and goes nowhere
 *     if (lw_connection_open(&peer, net, &to) < 0)
 *         return 1;
 *     lw_stream_config sound = {.kind = LW_NET_OPUS, .ssrc = 1, .payload_type = 111, .clock_rate = 48000, .cname = "me"};
 *     int stream = lw_connection_stream(peer, &sound);
 *     const unsigned char packet[] = {0xf8, 0xff, 0xfe};
 *     lw_media media = {.data = packet, .size = sizeof packet, .sample = 0, .duration = 960};
 *     lw_connection_send(peer, stream, &media);
 *     struct pollfd wait = {.fd = lw_net_fd(net), .events = POLLIN};
 *     poll(&wait, 1, 0);
 *     lw_net_event events[16];
 *     int n = lw_net_events(net, events, 16);
 *     for (int i = 0; i < n; i++)
 *         printf("connection %lld: %d\n", (long long)events[i].connection, events[i].kind);
 *     lw_connection_close(&peer);
 *     lw_net_close(&net);
 */
#ifndef LIPWIRE_NET_H
#define LIPWIRE_NET_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_NET_STREAMS 16             /* of one connection */
#define LW_NET_MAX_MTU 1472           /* bytes of a UDP datagram: Ethernet's, without IP and UDP headers */
#define LW_NET_OVERHEAD 62            /* of an MTU: RTP header 12, extensions 32, RTX 2, SRTP tag 16 */
#define LW_NET_MAX_UNIT (2 << 20)     /* bytes of an access unit */
#define LW_NET_BEHIND_NS 600000000    /* pictures are given up that would take this long to leave, key frames not counted, */
#define LW_NET_STALE_NS 2000000000LL  /* or have waited this long */
#define LW_NET_MIN_PACE 150000        /* bit/s: sound, which is not paced but counted, leaves pictures some of it */
#define LW_NET_RTX_SHARE 50           /* per cent of the estimate, and never below 100 kbit/s */
#define LW_NET_KEY_NS 200000000       /* between two LW_NET_KEY of a stream; who asks sooner waits, unless a key frame begins */

enum lw_net_kind { LW_NET_H264 = 1, LW_NET_VP8 = 2, LW_NET_OPUS = 3, LW_NET_AUDIO = 4 /* a packet as it is */ };

enum lw_net_event_kind {
    LW_NET_KEY = 1,    /* value: the stream that needs a key frame: PLI, FIR, its begin, or it has caught up again */
    LW_NET_BEHIND = 2, /* value: the stream whose pictures were given up; LW_NET_KEY follows when its queue is empty */
    LW_NET_RATE = 3,   /* value: bit/s that the path carries; whenever that has changed by 5 per cent */
    LW_NET_ERROR = 4   /* value: errno of a send that failed; at most once a second */
};

typedef struct lw_net lw_net;
typedef struct lw_connection lw_connection;
typedef struct lw_group lw_group;

typedef struct lw_net_config {
    int32_t packets; /* that may wait or be kept, 64..1048576; 0: 65536. 1.5 KB each, touched when first used */
    int32_t manual;  /* 1: no thread; lw_net_run is called instead, with its own time */
    int64_t wall_ns; /* manual: UTC, ns since 1970, when now_ns is 0 */
} lw_net_config;

typedef struct lw_net_event {
    int64_t connection; /* lw_connection_id */
    int32_t kind;       /* enum lw_net_event_kind */
    int32_t value;
} lw_net_event;

typedef struct lw_net_counters {
    int64_t connections;
    int64_t passes;       /* of the thread */
    int64_t busy_ns;      /* thread CPU time */
    int64_t packets_free; /* of lw_net_config.packets */
    int64_t refused;      /* calls that found no free packet, or the thread too far behind */
} lw_net_counters;

/* A libsrtp 2 function, srtp_protect or srtp_protect_rtcp: 0 is success; `packet` has room for 148 bytes more. */
typedef int (*lw_srtp_protect)(void *context, void *packet, int *size);

typedef struct lw_connection_config {
    int32_t fd;                   /* of a UDP socket, duplicated; -1: lw_connection_route comes later */
    const char *host;             /* a numeric address; NULL: the socket is connected */
    int32_t port;
    lw_srtp_protect protect;      /* NULL, both: plain RTP */
    lw_srtp_protect protect_rtcp;
    void *context;                /* their srtp_t; used by the net's thread alone until lw_connection_close returns */
    int32_t start_bitrate;        /* bit/s, the first estimate; 0: 800000 */
    int32_t min_bitrate;          /* 0: 50000 */
    int32_t max_bitrate;          /* 0: 5000000 */
} lw_connection_config;

typedef struct lw_stream_config {
    int32_t kind; /* enum lw_net_kind */
    uint32_t ssrc;
    int32_t payload_type;     /* 0..127 */
    int32_t clock_rate;       /* Hz, of RTP timestamps: 90000, 48000, 8000, ...; 1000..192000 */
    const char *cname;        /* 1..63 bytes */
    const char *mid;          /* 1..16 bytes, or NULL */
    int32_t mid_id;           /* one-byte header extension ids, 1..14; 0: not sent */
    int32_t abs_send_time_id;
    int32_t twcc_id;
    uint32_t rtx_ssrc;        /* 0: retransmitted as they were */
    int32_t rtx_payload_type;
    int32_t mode;             /* H.264 packetization-mode, 0 or 1 */
    int32_t mtu;              /* bytes of a UDP datagram at most, 256..LW_NET_MAX_MTU; 0: 1200 */
    int32_t history_ms;       /* how long packets are kept for NACKs, 0..10000; at most 512 of them */
    uint32_t first_timestamp; /* RTP timestamp of sample 0, and first sequence number; both random where `random` is 1 */
    uint16_t first_sequence;
    uint8_t random;
} lw_stream_config;

typedef struct lw_media {
    const void *data; /* H.264: an Annex B access unit; VP8: a frame; Opus and other sound: a packet. Copied */
    size_t size;      /* 1..LW_NET_MAX_UNIT; sound: at most what one packet holds */
    int64_t sample;   /* of the media clock */
    int32_t duration; /* samples; sound that does not go on where this ends is marked as a new talkspurt. 0: not known */
    int32_t key;      /* pictures: decoding can begin here */
} lw_media;

typedef struct lw_connection_counters {
    int64_t packets, bytes;             /* sent, all of them; bytes of UDP payload */
    int64_t units, units_dropped;       /* of media; dropped: behind, or before the first key frame */
    int64_t retransmitted, nacked;      /* packets; those that a NACK named */
    int64_t nacks_ignored;              /* not kept any more, too soon again, or beyond the budget */
    int64_t key_requests;               /* PLI and FIR, before joining those that come close together */
    int64_t rtcp_bad;                   /* packets that are malformed, or about streams that are not there */
    int64_t unsent;                     /* packets: no route, or the socket refused them */
    int64_t protect_errors;
    int64_t queue_bytes;                /* pictures that wait */
    int64_t queue_packets;
    int64_t rtt_us;                     /* -1: not known yet */
    int64_t loss_ppm;                   /* of the last report, packets per million */
    int64_t bitrate;                    /* estimate, bit/s */
    int64_t received_bitrate;           /* what transport-wide feedback says arrived, bit/s */
    int64_t remb;                       /* last REMB, bit/s; 0: none */
} lw_connection_counters;

/* LW_ENOMEM: no memory, no thread, or no descriptor. */
int lw_net_open(lw_net **out, const lw_net_config *config);
int lw_net_fd(const lw_net *net); /* eventfd, non-blocking: readable while events wait; owned by the net */
/* Takes up to `most` events; the eventfd is reset when none is left. Each kind is kept once for each connection and
 * stream, the newest value, so nothing is lost however late this is called. */
int lw_net_events(lw_net *net, lw_net_event *events, int most);
/* Manual nets: does what is due at now_ns (of any clock that does not go back); returns when something will be next.
 * LW_ESTATE: it has a thread. */
int64_t lw_net_run(lw_net *net, int64_t now_ns);
void lw_net_stats(lw_net *net, lw_net_counters *counters);
/* Stops the thread. Its connections and groups are of no use any more, but still have to be closed first. LW_ESTATE:
 * there are some; nothing was done. */
int lw_net_close(lw_net **net);

/* LW_EINVAL: a rate, or an address that the socket cannot have. LW_ENOMEM: no memory or descriptor. */
int lw_connection_open(lw_connection **out, lw_net *net, const lw_connection_config *config);
int64_t lw_connection_id(const lw_connection *c); /* unique in its net */
/* Where packets go from now on. `channel`: 0, or a TURN channel number (RFC 8656, 0x4000..0x4fff), which is put in
 * front of each. What is queued stays queued. */
int lw_connection_route(lw_connection *c, int fd, const char *host, int port, int channel);
/* Where RTCP goes from now on, to a peer that takes it elsewhere than RTP (no rtcp-mux, RFC 5761): from a socket of its
 * own. fd -1: as RTP again. */
int lw_connection_rtcp_route(lw_connection *c, int fd, const char *host, int port);
/* The new stream's number, 0... LW_EINVAL: a value is out of range, or the SSRC is taken. LW_ENOSPC: too many. */
int lw_connection_stream(lw_connection *c, const lw_stream_config *config);
/* Returns the number of packets it makes. LW_EINVAL: no such stream; empty, too long, or no NAL unit in it; in mode 0, a
 * NAL unit that no packet holds. LW_ENOSPC: see `refused`. */
int lw_connection_send(lw_connection *c, int stream, const lw_media *media);
/* A compound packet that came from the peer, decrypted. LW_EINVAL: longer than LW_NET_MAX_MTU, or empty. */
int lw_connection_rtcp(lw_connection *c, const void *data, size_t size);
/* An RTP or RTCP packet that somebody else made for this peer: protected with the same context, and sent as it is. */
int lw_connection_forward(lw_connection *c, const void *data, size_t size);
void lw_connection_stats(const lw_connection *c, lw_connection_counters *counters);
/* Leaves all groups, sends BYE, lets go of socket and context. Waits for the thread, 0.1 ms or so. */
void lw_connection_close(lw_connection **c);

typedef struct lw_group_config {
    int32_t kind, mode, mtu; /* as of a stream; every member's are the same */
} lw_group_config;

int lw_group_open(lw_group **out, lw_net *net, const lw_group_config *config);
/* LW_EINVAL: no such stream, or one of another kind, mode or mtu; LW_ESTATE: it is of another net. It gets what is sent
 * from now on; pictures from the next key frame on. A stream is in one group at most, and leaves the one that it was in. */
int lw_group_add(lw_group *g, lw_connection *c, int stream);
int lw_group_remove(lw_group *g, lw_connection *c, int stream);
/* As lw_connection_send, for all members; it costs the caller the same. */
int lw_group_send(lw_group *g, const lw_media *media);
void lw_group_close(lw_group **g);

#ifdef __cplusplus
}
#endif
#endif
