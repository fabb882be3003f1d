/* The other end of a connection, for the tests of the net: a pair of datagram sockets, and packets taken apart by hand. */
#ifndef LW_TEST_NET_PEER_H
#define LW_TEST_NET_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/rtp.h"

typedef struct rtp {
    int size; /* 0: none came */
    uint8_t bytes[2048];
    int payload_type, marker, sequence;
    uint32_t timestamp, ssrc;
    int extensions; /* bytes, with their header */
    int twcc, abs_send_time; /* -1: not there */
    char mid[17];
    const uint8_t *payload;
    int payload_size, rtcp;
} rtp;

enum { MID_ID = 1, ABS_ID = 2, TWCC_ID = 3 };

static inline void read_extensions(rtp *p)
{
    const uint8_t *at = p->bytes + 16, *end = p->bytes + 12 + p->extensions;
    while (at < end) {
        int id = *at >> 4, size = (*at & 15) + 1;
        if (!id) {
            at++;
            continue;
        }
        if (id == MID_ID)
            memcpy(p->mid, at + 1, (size_t)size);
        else if (id == ABS_ID)
            p->abs_send_time = at[1] << 16 | at[2] << 8 | at[3];
        else if (id == TWCC_ID)
            p->twcc = at[1] << 8 | at[2];
        at += 1 + size;
    }
}

/* The next packet that came; its size, 0 where there is none. */
static inline int receive(int fd, rtp *p)
{
    memset(p, 0, sizeof *p);
    ssize_t n = recv(fd, p->bytes, sizeof p->bytes, MSG_DONTWAIT);
    if (n < 12)
        return 0;
    p->size = (int)n;
    p->twcc = p->abs_send_time = -1;
    p->rtcp = p->bytes[1] >= 192 && p->bytes[1] <= 223;
    p->payload_type = p->bytes[1] & 127;
    p->marker = p->bytes[1] >> 7;
    p->sequence = (int)lw_get16(p->bytes + 2);
    p->timestamp = lw_get32(p->bytes + 4);
    p->ssrc = lw_get32(p->bytes + 8);
    if (!p->rtcp && p->bytes[0] & 0x10) {
        p->extensions = 4 + 4 * (int)lw_get16(p->bytes + 14);
        read_extensions(p);
    }
    p->payload = p->bytes + 12 + p->extensions;
    p->payload_size = p->size - 12 - p->extensions;
    return p->size;
}

/* The next packet that is RTP. */
static inline int receive_rtp(int fd, rtp *p)
{
    while (receive(fd, p))
        if (!p->rtcp)
            return p->size;
    return 0;
}

static inline void open_pair(int fd[2])
{
    int room = 4 << 20;
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fd)) {
        perror("socketpair");
        exit(1);
    }
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

#endif
