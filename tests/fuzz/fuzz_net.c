/* A hostile viewer: a net without its thread, one connection, and whatever the input says: media of any bytes, RTCP of any
 * bytes (or a packet that is well-formed but for them), forwarded packets, time that goes on. Every packet of the pool
 * comes back at the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(ok)     \
    do {             \
        if (!(ok))   \
            abort(); \
    } while (0)

enum { PACKETS = 256 };

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static unsigned byte(input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

/* Some of what is left, in an allocation of just its size: a byte read too far shows. */
static uint8_t *some(input *in, size_t most, size_t *size)
{
    size_t n = byte(in) * 6;
    n = n < most ? n : most;
    n = n < in->left ? n : in->left;
    uint8_t *copy = malloc(n ? n : 1);
    MUST(copy);
    memcpy(copy, in->at, n);
    in->at += n;
    in->left -= n;
    *size = n;
    return copy;
}

static int protect(void *context, void *packet, int *size)
{
    (void)packet;
    *size += 16; /* as a tag; it has room for 148 */
    return ++*(int *)context % 64 == 0;
}

static void send(input *in, lw_connection *c, lw_group *g, int stream, int64_t sample)
{
    static const uint8_t start[] = {0, 0, 1};
    size_t size;
    uint8_t *bytes = some(in, 1400, &size);
    if (size > 4 && bytes[0] & 1)
        memcpy(bytes, start, 3);
    lw_media m = {.data = bytes, .size = size, .sample = sample, .duration = 960, .key = size & 1};
    int rc = stream == 3 ? lw_group_send(g, &m) : lw_connection_send(c, stream, &m);
    MUST(rc > 0 || rc == LW_EINVAL || rc == LW_ENOSPC);
    free(bytes);
}

static void rtcp(input *in, lw_connection *c, unsigned how)
{
    static const uint8_t kinds[8][2] = {{1, 200}, {1, 201}, {1, 205}, {15, 205}, {1, 206}, {4, 206}, {15, 206}, {2, 203}};
    size_t size;
    uint8_t *bytes = some(in, 1400, &size);
    size &= ~(size_t)3;
    if (how & 1 && size >= 12) {
        bytes[0] = (uint8_t)(0x80 | kinds[how >> 1 & 7][0]);
        bytes[1] = kinds[how >> 1 & 7][1];
        bytes[2] = (uint8_t)((size / 4 - 1) >> 8);
        bytes[3] = (uint8_t)(size / 4 - 1);
        memcpy(bytes + 8, "\0\0\0\1", 4);
        bytes[11] = (uint8_t)(1 + (how >> 4) % 4);
    }
    int rc = lw_connection_rtcp(c, bytes, size);
    MUST(size ? !rc || rc == LW_ENOSPC : rc == LW_EINVAL);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    lw_net *net;
    lw_connection *c;
    lw_group *g;
    lw_net_event events[16];
    int context = 0;
    int64_t now = 1000000000000, sample = 0;
    unsigned flags = byte(&in);
    MUST(!lw_net_open(&net, &(lw_net_config){.packets = PACKETS, .manual = 1, .wall_ns = 1700000000000000000}));
    MUST(!lw_connection_open(&c, net, &(lw_connection_config){.fd = -1, .protect = protect, .protect_rtcp = protect, .context = &context}));
    for (int i = 0; i < 3; i++) {
        lw_stream_config f = {.kind = i + 1, .ssrc = (uint32_t)i + 1, .payload_type = 96 + i, .clock_rate = 90000, .cname = "c",
                              .mid = "m", .mid_id = 1, .abs_send_time_id = 2, .twcc_id = 3, .mode = 1, .history_ms = 400,
                              .rtx_ssrc = flags & 1 ? (uint32_t)i + 100 : 0, .rtx_payload_type = 120, .mtu = flags & 2 ? 300 : 1200};
        MUST(lw_connection_stream(c, &f) == i);
    }
    MUST(!lw_group_open(&g, net, &(lw_group_config){LW_NET_H264, 1, flags & 2 ? 300 : 1200}));
    MUST(!lw_group_add(g, c, 0));
    while (in.left) {
        unsigned what = byte(&in);
        if (what < 96)
            send(&in, c, g, what % 4, sample += 960);
        else if (what < 192)
            rtcp(&in, c, byte(&in));
        else if (what < 200)
            lw_connection_forward(c, "\x80\xc9\0\1\0\0\0\7", 1 + what % 8);
        now += (int64_t)(what % 32) * (what & 64 ? 1000000 : 20000000);
        MUST(lw_net_run(net, now) >= now);
        if (what & 1)
            MUST(lw_net_events(net, events, 16) >= 0);
    }
    lw_connection_counters count;
    lw_connection_stats(c, &count);
    MUST(count.bitrate >= 50000 && count.bitrate <= 5000000 && count.queue_bytes >= 0 && count.queue_packets >= 0);
    lw_connection_close(&c);
    lw_group_close(&g);
    lw_net_counters all;
    lw_net_stats(net, &all);
    MUST(all.packets_free == PACKETS);
    MUST(!lw_net_close(&net));
    return 0;
}
