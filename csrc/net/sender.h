/* What the files of the net share: its structures. Who may touch what:
 *
 *   lock         the inbox, the pool's free packets, `sleeping`, `urgent`, `stop`, the counts of objects
 *   event_lock   what is to be told: the `told` part of each connection, and their list
 *   atomics      counters, and how many streams a connection has
 *   all else     the thread's (in a manual net: whoever calls lw_net_run)
 *
 * A caller cuts media into packets of the pool, and leaves a command with the first of them; the thread gives a
 * reference to each stream that takes it, and the packets go back when the last has sent and forgotten them. */
#ifndef LW_NET_SENDER_H
#define LW_NET_SENDER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "estimate.h"
#include "lipwire/net.h"
#include "rtcp.h"
#include "rtp.h"

#define LW_BATCH 32              /* packets of one sendmmsg */
#define LW_KEPT 512              /* packets of a stream that can be kept; a power of two */
#define LW_UNITS 128             /* pictures of a connection that can wait */
#define LW_RESENDS 256           /* packets of a connection that can wait for retransmission */
#define LW_TRACKED 1024          /* packets that transport-wide feedback may still speak of; a power of two */
#define LW_CHANNEL 4             /* bytes of a TURN channel's header */
#define LW_TRAILER 148           /* that SRTP or SRTCP may add */

typedef struct lw_packet {
    int32_t refs, next; /* next of its unit, or of those that are free; -1: none */
    uint16_t size;
    uint8_t data[LW_NET_MAX_MTU];
} lw_packet;

/* A picture that waits: the packets of it that are left. Each holds a reference to them. */
typedef struct lw_unit {
    int64_t queued_ns;
    int32_t packet, packets, bytes;
    uint32_t timestamp;
    uint16_t picture;
    uint8_t stream, begun, key;
} lw_unit;

/* A packet that has been sent and may be asked for again; it holds a reference. */
typedef struct lw_kept {
    int64_t first_ns, last_ns;
    int32_t packet; /* -1: none */
    uint32_t timestamp, abs_send_time;
    uint16_t sequence, picture, twcc;
    uint8_t marker, times;
} lw_kept;

typedef struct lw_stream {
    lw_stream_config config; /* with cname and mid pointing at what follows; never changed */
    char cname[64], mid[17];
    int number;
    lw_connection *connection;
    lw_group *group;
    struct lw_stream *next, **link; /* members of the group */

    uint32_t timestamp; /* of sample 0 */
    uint16_t sequence, rtx_sequence, picture;
    uint32_t packets, octets; /* as a sender report counts them */
    int64_t next_sample;      /* where sound goes on without a gap; -1: not known */
    int started, waiting, fir;
    int key_asked; /* since a key frame last began; not told of yet */
    int64_t key_told_ns, key_sent_ns, report_ns;
    uint32_t highest; /* sequence number that the peer has told of */
    int reported;
    uint16_t oldest; /* sequence number of what is kept */
    lw_kept kept[];  /* LW_KEPT, or none */
} lw_stream;

typedef struct lw_tracked {
    int64_t sent_ns;
    uint16_t sequence, size;
    uint8_t state;
} lw_tracked;

enum { LW_TRACK_NONE, LW_TRACK_SENT, LW_TRACK_MISSING };

/* A train of retransmissions that nobody asked for, to see whether more fits. */
typedef struct lw_probe {
    int left;     /* packets to send */
    int open;     /* its feedback is waited for */
    uint16_t first, last; /* transport-wide sequence numbers */
    int64_t begun_ns, next_ns, wait_ns;
    double rate; /* bit/s */
    int packets;
    int64_t bytes, first_sent, last_sent, first_arrived, last_arrived, first_size;
} lw_probe;

struct lw_connection {
    lw_net *net;
    int64_t id;
    _Atomic int32_t streams;
    lw_stream *_Atomic stream[LW_NET_STREAMS];

    int fd;
    struct sockaddr_storage to;
    socklen_t to_size; /* 0: the socket is connected */
    int channel;
    int rtcp_fd; /* RTCP leaves here, for rtcp_to; -1: as RTP does */
    struct sockaddr_storage rtcp_to;
    socklen_t rtcp_to_size;
    lw_srtp_protect protect, protect_rtcp;
    void *context;

    lw_estimate estimate;
    int64_t rate, rate_told, pace_ns, due_ns;
    int64_t rtt_ns, origin_ns; /* rtt: -1, not known */
    int anchored, twcc_used;
    lw_unit unit[LW_UNITS];
    int unit_first, units;
    struct {
        uint8_t stream;
        uint16_t sequence;
    } resend[LW_RESENDS];
    int resend_first, resends;
    int64_t rtx_bytes, rtx_ns; /* the budget, and when it was last filled */
    int64_t failed_ns;

    uint16_t twcc;
    lw_tracked tracked[LW_TRACKED];
    int64_t reference; /* of the last feedback, in 64 ms, without wrapping */
    int32_t reference_raw;
    int64_t block_expected, block_lost;
    lw_probe probe;

    lw_connection *next, **link;  /* all of the net */
    lw_connection *next_active;   /* those that have something to send later */
    int active;

    struct {
        uint32_t key, behind; /* a bit a stream */
        int32_t rate, error;  /* 0: nothing to tell */
        lw_connection *next;
        int linked;
    } told;

    struct {
        _Atomic int64_t packets, bytes, units, units_dropped, retransmitted, nacked, nacks_ignored, key_requests, rtcp_bad,
            unsent, protect_errors, queue_bytes, queue_packets, rtt_us, loss_ppm, bitrate, received_bitrate, remb;
    } count;
};

struct lw_group {
    lw_net *net;
    lw_group_config config;
    lw_stream *members;
};

enum lw_command_kind {
    LW_DO_MEDIA,       /* connection, stream: the packets from `packet` on */
    LW_DO_GROUP_MEDIA, /* group */
    LW_DO_RTCP,        /* connection: the bytes in `packet` */
    LW_DO_FORWARD,
    LW_DO_ROUTE,       /* connection: a lw_route in `packet` */
    LW_DO_RTCP_ROUTE,
    LW_DO_ADD,         /* group, connection, stream */
    LW_DO_REMOVE,
    LW_DO_OPEN,        /* connection */
    LW_DO_CLOSE,
    LW_DO_GROUP_CLOSE
};

typedef struct lw_route {
    int fd, channel;
    socklen_t to_size;
    struct sockaddr_storage to;
} lw_route;

typedef struct lw_command {
    int kind, stream;
    lw_connection *connection;
    lw_group *group;
    int32_t packet, packets, duration, key;
    int64_t sample;
    _Atomic int *done; /* set when it is, or NULL */
} lw_command;

struct lw_net {
    int fd, manual, pid;
    int64_t now_ns, wall_ns; /* wall: UTC when now is 0 */
    uint64_t random;

    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    lw_command *inbox;
    int64_t taken, left; /* commands: that the thread is through with, that have been left */
    int sleeping, urgent, stop, connections, groups;
    int64_t next_id, refused;
    int32_t free_packet, free_packets, fresh; /* the first that came back; how many; the first that was never used */
    pthread_t thread;

    pthread_mutex_t event_lock;
    lw_connection *event_first, *event_last;

    lw_packet *pool;
    int32_t packets;
    lw_connection *all, *active;
    int64_t sweep_ns;
    int32_t released, released_last, released_packets; /* packets that go back at the end of a pass */
    int scarce; /* few are free: nothing is kept */

    lw_connection *batch_of;
    int batch;
    struct mmsghdr *message;
    struct iovec *piece;
    uint8_t (*buffer)[LW_CHANNEL + LW_NET_MAX_MTU + LW_TRAILER + 8];
    struct lw_arrived {
        int64_t sent_ns, arrived_ns;
        uint16_t sequence, size;
    } *arrived; /* LW_RTCP_STATUSES */

    _Atomic int64_t passes, busy_ns;
};

/* Milliseconds and so on. */
#define LW_MS 1000000LL
#define LW_SECOND 1000000000LL
#define LW_NTP_1970 2208988800LL /* seconds from the beginning of NTP to that of Unix */

/* a * b / c without losing bits, rounded down; |a| and b, c as of clocks. */
static inline int64_t lw_scale(int64_t a, int64_t b, int64_t c)
{
    int64_t whole = a / c, rest = a % c;
    if (rest < 0) {
        whole--;
        rest += c;
    }
    return whole * b + rest * b / c;
}

static inline lw_stream *lw_stream_of(lw_connection *c, int number)
{
    return atomic_load_explicit(&c->stream[number], memory_order_acquire);
}

static inline int lw_stream_count(const lw_connection *c)
{
    return atomic_load_explicit(&c->streams, memory_order_acquire);
}

static inline int lw_is_sound(const lw_stream *s)
{
    return s->config.kind == LW_NET_OPUS || s->config.kind == LW_NET_AUDIO;
}

/* pool.c */
int32_t lw_pool_take(lw_net *net);                     /* by any thread: a packet with one reference, or -1 */
void lw_pool_give(lw_net *net, int32_t packet);        /* by any thread: a unit that nobody else has */
void lw_pool_hold(lw_net *net, int32_t packet);        /* the thread's: one more reference to each of a unit */
void lw_pool_drop(lw_net *net, int32_t packet);        /* the thread's: one less of one packet */
void lw_pool_drop_unit(lw_net *net, int32_t packet);   /* of each of a unit */
void lw_pool_settle(lw_net *net);                      /* the thread's: what has no reference left can be taken again */

/* net.c */
/* By any thread: leaves a command. LW_ENOSPC: no room, and for media none that is not reserved; the caller keeps its
 * packets. And waits until it is done. */
int lw_net_leave(lw_net *net, const lw_command *command);
void lw_net_leave_and_wait(lw_net *net, lw_command command);
void lw_net_count(lw_net *net, int connections, int groups, int refused); /* adds */
void lw_net_tell(lw_connection *c, int kind, int value);
uint32_t lw_net_random(lw_net *net);

/* connection.c: the thread's side of connections and streams */
void lw_connection_media(lw_connection *c, lw_stream *s, const lw_command *m);
void lw_connection_raw(lw_connection *c, const uint8_t *data, size_t size); /* lw_connection_forward's */
void lw_connection_resend(lw_connection *c, lw_stream *s, uint16_t sequence); /* a NACK's */
int lw_connection_key(lw_connection *c, lw_stream *s); /* asks for a key frame, now or soon: 1, or 0 where one is on its way */
void lw_connection_pump(lw_connection *c); /* sends what is due; leaves in due_ns when something will be, or INT64_MAX */
void lw_connection_activate(lw_connection *c);
void lw_connection_sweep(lw_connection *c); /* reports, what is kept for too long; every 100 ms */
void lw_connection_rated(lw_connection *c); /* the estimate has been told something */
void lw_connection_end(lw_connection *c);   /* BYE, and everything let go */
void lw_stream_leave(lw_stream *s);         /* its group, if it is in one */
void lw_net_flush(lw_net *net);

/* feedback.c */
void lw_connection_feedback(lw_connection *c, const uint8_t *data, size_t size);
void lw_connection_probe(lw_connection *c); /* every 100 ms: begins one, or gives one up */

#endif
