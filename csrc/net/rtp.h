/* RTP packets: what goes into them, and what stands in front. */
#ifndef LW_NET_RTP_H
#define LW_NET_RTP_H

#include <stddef.h>
#include <stdint.h>

#define LW_RTP_HEADER 12
#define LW_RTP_EXTENSIONS 32 /* the most that lw_rtp_header writes of them */
#define LW_VP8_DESCRIPTOR 4

/* Where a packetizer's payloads go. `take` gives memory for one of `most` bytes, or NULL where there is none left;
 * `give` says how many of them it has. */
typedef struct lw_payloads {
    void *user;
    size_t most;
    uint8_t *(*take)(void *user);
    void (*give)(void *user, size_t size);
} lw_payloads;

/* Cuts a unit of `kind` (enum lw_net_kind) into payloads; the number of them, LW_EINVAL where the unit makes none, or
 * LW_ENOSPC where `take` had no more memory: what was given by then is of no use.
 *
 * H.264, RFC 6184: `mode` 0 sends NAL units alone, 1 puts those that fit together into STAP-A, and cuts longer ones into
 * FU-A of nearly equal sizes. Access unit delimiters and filler are left out.
 * VP8, RFC 7741: a descriptor with an empty picture id of 15 bits (lw_vp8_picture) in front of nearly equal parts. */
int lw_rtp_packetize(int kind, int mode, const uint8_t *data, size_t size, const lw_payloads *to);

/* Puts a picture id into a payload that has a VP8 descriptor. */
static inline void lw_vp8_picture(uint8_t *payload, uint16_t picture)
{
    payload[2] = (uint8_t)(0x80 | (picture >> 8 & 0x7f));
    payload[3] = (uint8_t)picture;
}

typedef struct lw_rtp_fields {
    uint32_t ssrc, timestamp;
    uint16_t sequence;
    uint8_t payload_type, marker;
    uint8_t mid_id, mid_size, abs_send_time_id, twcc_id; /* 0: not there */
    const char *mid;
    uint32_t abs_send_time; /* 24 bits: seconds with 18 bits behind the point */
    uint16_t twcc;
} lw_rtp_fields;

/* Writes header and extensions (RFC 8285, one-byte headers), at most LW_RTP_HEADER + LW_RTP_EXTENSIONS bytes; returns
 * how many. */
size_t lw_rtp_header(uint8_t *out, const lw_rtp_fields *fields);

static inline void lw_put16(uint8_t *out, uint32_t x)
{
    out[0] = (uint8_t)(x >> 8);
    out[1] = (uint8_t)x;
}

static inline void lw_put32(uint8_t *out, uint32_t x)
{
    lw_put16(out, x >> 16);
    lw_put16(out + 2, x);
}

static inline uint32_t lw_get16(const uint8_t *in)
{
    return (uint32_t)in[0] << 8 | in[1];
}

static inline uint32_t lw_get32(const uint8_t *in)
{
    return lw_get16(in) << 16 | lw_get16(in + 2);
}

#endif
