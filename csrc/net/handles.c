/* What callers hold: connections, their streams, and groups. What they are told to do is checked and packetized here, in
 * the caller's thread, and left in the inbox. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common.h"
#include "sender.h"

#define LONG_AGO (-3600 * LW_SECOND) /* of the net's clock */

/* ---- what is put in: packets ---- */

typedef struct making {
    lw_net *net;
    int32_t first, last, packets;
} making;

static uint8_t *take_packet(void *user)
{
    making *m = user;
    int32_t packet = lw_pool_take(m->net);
    if (packet < 0)
        return NULL;
    if (m->first < 0)
        m->first = packet;
    else
        m->net->pool[m->last].next = packet;
    m->last = packet;
    m->packets++;
    return m->net->pool[packet].data;
}

static void give_packet(void *user, size_t size)
{
    making *m = user;
    m->net->pool[m->last].size = (uint16_t)size;
}

static int refuse(lw_net *net)
{
    lw_net_count(net, 0, 0, 1);
    return LW_ENOSPC;
}

/* Leaves a command with the packets that it is about; the number of packets. */
static int leave_media(lw_net *net, lw_command command, int kind, int mode, int mtu, const lw_media *media)
{
    making made = {.net = net, .first = -1, .last = -1};
    lw_payloads to = {.user = &made, .most = (size_t)(mtu - LW_NET_OVERHEAD), .take = take_packet, .give = give_packet};
    int rc = lw_rtp_packetize(kind, mode, media->data, media->size, &to);
    if (rc >= 0) {
        command.packet = made.first;
        command.packets = made.packets;
        command.sample = media->sample;
        command.duration = media->duration;
        command.key = media->key;
        rc = lw_net_leave(net, &command);
    } else if (rc == LW_ENOSPC) {
        rc = refuse(net);
    }
    if (rc < 0)
        lw_pool_give(net, made.first);
    return rc < 0 ? rc : made.packets;
}

/* Leaves a command with some bytes. */
static int leave_bytes(lw_connection *c, int kind, const void *data, size_t size)
{
    if (!c || !data || !size || size > LW_NET_MAX_MTU)
        return LW_EINVAL;
    int32_t packet = lw_pool_take(c->net);
    if (packet < 0)
        return refuse(c->net);
    memcpy(c->net->pool[packet].data, data, size);
    c->net->pool[packet].size = (uint16_t)size;
    int rc = lw_net_leave(c->net, &(lw_command){.kind = kind, .connection = c, .packet = packet});
    if (rc < 0)
        lw_pool_give(c->net, packet);
    return rc;
}

static int bad_media(const lw_media *media)
{
    /* Behind that the ns of a media time would not fit; it is 185 years. */
    return !media || !media->data || media->duration < 0 || media->sample < 0 || media->sample >> 48;
}

/* ---- connections ---- */

/* A numeric address as the socket of `fd` takes it. */
static int resolve(int fd, const char *host, int port, lw_route *out)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof own;
    char service[8];
    out->to_size = 0;
    if (!host)
        return 0;
    if (port < 1 || port > 65535 || getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return LW_EINVAL;
    int mapped = own.ss_family == AF_INET6 ? AI_V4MAPPED : 0;
    struct addrinfo hints = {.ai_family = own.ss_family,
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | mapped};
    struct addrinfo *found = NULL;
    snprintf(service, sizeof service, "%d", port);
    if ((own.ss_family != AF_INET && own.ss_family != AF_INET6) || getaddrinfo(host, service, &hints, &found))
        return LW_EINVAL;
    memcpy(&out->to, found->ai_addr, found->ai_addrlen);
    out->to_size = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int make_route(lw_route *out, int fd, const char *host, int port, int channel)
{
    memset(out, 0, sizeof *out);
    out->fd = -1;
    if (channel && (channel < 0x4000 || channel > 0x4fff))
        return LW_EINVAL;
    out->channel = channel;
    if (fd < 0)
        return host ? LW_EINVAL : 0;
    int rc = resolve(fd, host, port, out);
    if (rc < 0)
        return rc;
    /* One of our own: it stays a socket, and ours, when its owner closes his. */
    out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return out->fd < 0 ? LW_ENOMEM : 0;
}

int lw_connection_open(lw_connection **out, lw_net *net, const lw_connection_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!net || !config || !config->protect != !config->protect_rtcp)
        return LW_EINVAL;
    int64_t min = config->min_bitrate ? config->min_bitrate : 50000;
    int64_t max = config->max_bitrate ? config->max_bitrate : 5000000;
    int64_t start = config->start_bitrate ? config->start_bitrate : lw_max64(min, lw_min64(max, 800000));
    if (min < 1000 || max < min || start < min || start > max)
        return LW_EINVAL;
    lw_route to;
    int rc = make_route(&to, config->fd, config->host, config->port, 0);
    if (rc < 0)
        return rc;
    lw_connection *c = calloc(1, sizeof *c);
    if (!c) {
        if (to.fd >= 0)
            close(to.fd);
        return LW_ENOMEM;
    }
    c->net = net;
    c->fd = to.fd;
    c->to = to.to;
    c->to_size = to.to_size;
    c->rtcp_fd = -1;
    c->protect = config->protect;
    c->protect_rtcp = config->protect_rtcp;
    c->context = config->context;
    c->rtt_ns = -1;
    c->rate = c->rate_told = start;
    lw_estimate_open(&c->estimate, start, min, max);
    atomic_store_explicit(&c->count.rtt_us, -1, memory_order_relaxed);
    atomic_store_explicit(&c->count.bitrate, start, memory_order_relaxed);
    pthread_mutex_lock(&net->lock);
    c->id = ++net->next_id;
    net->connections++;
    pthread_mutex_unlock(&net->lock);
    rc = lw_net_leave(net, &(lw_command){.kind = LW_DO_OPEN, .connection = c, .packet = -1});
    if (rc < 0) {
        lw_net_count(net, -1, 0, 0);
        if (c->fd >= 0)
            close(c->fd);
        free(c);
        return LW_ENOMEM;
    }
    *out = c;
    return 0;
}

int64_t lw_connection_id(const lw_connection *c)
{
    return c->id;
}

static int leave_route(lw_connection *c, int kind, int fd, const char *host, int port, int channel)
{
    lw_route to;
    if (!c)
        return LW_EINVAL;
    int rc = make_route(&to, fd, host, port, channel);
    if (rc >= 0)
        rc = leave_bytes(c, kind, &to, sizeof to);
    if (rc < 0 && to.fd >= 0)
        close(to.fd);
    return rc;
}

int lw_connection_route(lw_connection *c, int fd, const char *host, int port, int channel)
{
    return leave_route(c, LW_DO_ROUTE, fd, host, port, channel);
}

int lw_connection_rtcp_route(lw_connection *c, int fd, const char *host, int port)
{
    return leave_route(c, LW_DO_RTCP_ROUTE, fd, host, port, 0);
}

static int bad_name(const char *name, size_t most)
{
    size_t size = strnlen(name, most + 1);
    return size < 1 || size > most;
}

static int bad_format(int kind, int mode, int mtu)
{
    return kind < LW_NET_H264 || kind > LW_NET_AUDIO || mode < 0 || mode > 1 || (mtu && (mtu < 256 || mtu > LW_NET_MAX_MTU));
}

static int bad_stream(const lw_stream_config *f)
{
    const int32_t ids[] = {f->mid_id, f->abs_send_time_id, f->twcc_id};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            if (ids[i] < 0 || ids[i] > 14 || (i != k && ids[i] && ids[i] == ids[k]))
                return 1;
    return bad_format(f->kind, f->mode, f->mtu) || !f->ssrc || f->ssrc == f->rtx_ssrc || f->payload_type < 0 ||
           f->payload_type > 127 || f->clock_rate < 1000 || f->clock_rate > 192000 || !f->cname || bad_name(f->cname, 63) ||
           !f->mid_id != !f->mid || (f->mid && bad_name(f->mid, 16)) || f->rtx_payload_type < 0 ||
           f->rtx_payload_type > 127 || f->history_ms < 0 || f->history_ms > 10000 || (f->rtx_ssrc && !f->history_ms);
}

static int has_ssrc(const lw_stream *s, uint32_t ssrc)
{
    return ssrc && (s->config.ssrc == ssrc || s->config.rtx_ssrc == ssrc);
}

static uint32_t any_u32(void)
{
    uint32_t x = 0;
    if (getrandom(&x, sizeof x, 0) < 0)
        x = (uint32_t)lw_now_ns() * 2654435761u;
    return x;
}

int lw_connection_stream(lw_connection *c, const lw_stream_config *config)
{
    if (!c || !config || bad_stream(config))
        return LW_EINVAL;
    int number = lw_stream_count(c);
    for (int i = 0; i < number; i++)
        if (has_ssrc(lw_stream_of(c, i), config->ssrc) || has_ssrc(lw_stream_of(c, i), config->rtx_ssrc))
            return LW_EINVAL;
    if (number == LW_NET_STREAMS)
        return LW_ENOSPC;
    int kept = config->history_ms ? LW_KEPT : 0;
    lw_stream *s = calloc(1, sizeof *s + (size_t)kept * sizeof *s->kept);
    if (!s)
        return LW_ENOMEM;
    s->config = *config;
    s->config.mtu = config->mtu ? config->mtu : 1200;
    memcpy(s->cname, config->cname, strlen(config->cname));
    if (config->mid)
        memcpy(s->mid, config->mid, strlen(config->mid));
    s->config.cname = s->cname;
    s->config.mid = s->mid;
    s->number = number;
    s->connection = c;
    /* The first half of the numbers: RFC 3711, 3.3.1, does not wrap before a receiver knows the stream. */
    s->timestamp = config->random ? any_u32() : config->first_timestamp;
    s->sequence = config->random ? (uint16_t)(any_u32() & 0x7fff) : config->first_sequence;
    s->rtx_sequence = (uint16_t)(any_u32() & 0x7fff);
    s->picture = (uint16_t)(any_u32() & 0x7fff);
    s->fir = -1;
    s->waiting = !lw_is_sound(s);
    s->key_told_ns = s->key_sent_ns = LONG_AGO;
    for (int i = 0; i < kept; i++)
        s->kept[i].packet = -1;
    atomic_store_explicit(&c->stream[number], s, memory_order_release);
    atomic_store_explicit(&c->streams, number + 1, memory_order_release);
    return number;
}

static lw_stream *known_stream(lw_connection *c, int stream)
{
    return c && stream >= 0 && stream < lw_stream_count(c) ? lw_stream_of(c, stream) : NULL;
}

int lw_connection_send(lw_connection *c, int stream, const lw_media *media)
{
    const lw_stream *s = known_stream(c, stream);
    if (!s || bad_media(media))
        return LW_EINVAL;
    const lw_stream_config *f = &s->config;
    lw_command command = {.kind = LW_DO_MEDIA, .connection = c, .stream = stream};
    return leave_media(c->net, command, f->kind, f->mode, f->mtu, media);
}

int lw_connection_rtcp(lw_connection *c, const void *data, size_t size)
{
    return leave_bytes(c, LW_DO_RTCP, data, size);
}

int lw_connection_forward(lw_connection *c, const void *data, size_t size)
{
    return leave_bytes(c, LW_DO_FORWARD, data, size);
}

void lw_connection_stats(const lw_connection *c, lw_connection_counters *counters)
{
#define READ(name) .name = atomic_load_explicit(&c->count.name, memory_order_relaxed)
    *counters = (lw_connection_counters){READ(packets), READ(bytes), READ(units), READ(units_dropped), READ(retransmitted),
                                         READ(nacked), READ(nacks_ignored), READ(key_requests), READ(rtcp_bad),
                                         READ(unsent), READ(protect_errors), READ(queue_bytes), READ(queue_packets),
                                         READ(rtt_us), READ(loss_ppm), READ(bitrate), READ(received_bitrate), READ(remb)};
#undef READ
}

void lw_connection_close(lw_connection **out)
{
    if (!out || !*out)
        return;
    lw_connection *c = *out;
    *out = NULL;
    if (c->net->pid != getpid())
        return;
    lw_net_leave_and_wait(c->net, (lw_command){.kind = LW_DO_CLOSE, .connection = c, .packet = -1});
    lw_net_count(c->net, -1, 0, 0);
    for (int i = 0; i < lw_stream_count(c); i++)
        free(lw_stream_of(c, i));
    free(c);
}

/* ---- groups ---- */

int lw_group_open(lw_group **out, lw_net *net, const lw_group_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!net || !config || bad_format(config->kind, config->mode, config->mtu))
        return LW_EINVAL;
    lw_group *g = calloc(1, sizeof *g);
    if (!g)
        return LW_ENOMEM;
    g->net = net;
    g->config = *config;
    g->config.mtu = config->mtu ? config->mtu : 1200;
    lw_net_count(net, 0, 1, 0);
    *out = g;
    return 0;
}

int lw_group_add(lw_group *g, lw_connection *c, int stream)
{
    const lw_stream *s = known_stream(c, stream);
    if (!g || !s || s->config.kind != g->config.kind || s->config.mode != g->config.mode ||
        s->config.mtu != g->config.mtu)
        return LW_EINVAL;
    if (c->net != g->net)
        return LW_ESTATE;
    lw_command command = {.kind = LW_DO_ADD, .group = g, .connection = c, .stream = stream, .packet = -1};
    return lw_net_leave(g->net, &command);
}

int lw_group_remove(lw_group *g, lw_connection *c, int stream)
{
    if (!g || !known_stream(c, stream))
        return LW_EINVAL;
    lw_command command = {.kind = LW_DO_REMOVE, .group = g, .connection = c, .stream = stream, .packet = -1};
    return lw_net_leave(g->net, &command);
}

int lw_group_send(lw_group *g, const lw_media *media)
{
    if (!g || bad_media(media))
        return LW_EINVAL;
    lw_command command = {.kind = LW_DO_GROUP_MEDIA, .group = g};
    return leave_media(g->net, command, g->config.kind, g->config.mode, g->config.mtu, media);
}

void lw_group_close(lw_group **out)
{
    if (!out || !*out)
        return;
    lw_group *g = *out;
    *out = NULL;
    if (g->net->pid != getpid())
        return;
    lw_net_leave_and_wait(g->net, (lw_command){.kind = LW_DO_GROUP_CLOSE, .group = g, .packet = -1});
    lw_net_count(g->net, 0, -1, 0);
    free(g);
}
