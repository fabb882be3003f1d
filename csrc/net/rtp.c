/* Packetizers, and the RTP header. Nothing here allocates or keeps anything. */
#include <string.h>

#include "lipwire/net.h"
#include "rtp.h"

#define STAP_A 24
#define FU_A 28
#define FU_START 0x80
#define FU_END 0x40
#define NAL_TYPE 0x1f
#define NAL_IMPORTANCE 0x60 /* nal_ref_idc */
#define NAL_FORBIDDEN 0x80
#define AUD 9
#define FILLER 12

typedef struct nal {
    const uint8_t *data;
    size_t size;
} nal;

/* The first 00 00 01 in [at, end); `end` where there is none. */
static const uint8_t *start_code(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from = at;
    while (end - at > 2) {
        const uint8_t *one = memchr(at + 2, 1, (size_t)(end - at - 2));
        if (!one)
            return end;
        if (one - from >= 2 && !one[-1] && !one[-2])
            return one - 2;
        at = one - 1;
    }
    return end;
}

/* The next NAL unit that is sent, in Annex B bytes from *at on, without the zeros behind it; 0 at the end. */
static int next_nal(const uint8_t **at, const uint8_t *end, nal *out)
{
    while (*at < end) {
        const uint8_t *from = *at + 3, *to = start_code(from, end);
        *at = to;
        while (to > from && !to[-1])
            to--;
        int type = to > from ? from[0] & NAL_TYPE : AUD;
        if (type == AUD || type == FILLER)
            continue;
        *out = (nal){from, (size_t)(to - from)};
        return 1;
    }
    return 0;
}

static int put(const lw_payloads *to, const uint8_t *head, size_t head_size, const uint8_t *data, size_t size)
{
    uint8_t *out = to->take(to->user);
    if (!out)
        return LW_ENOSPC;
    memcpy(out, head, head_size);
    memcpy(out + head_size, data, size);
    to->give(to->user, head_size + size);
    return 1;
}

/* RFC 6184, 5.8. */
static int fragment(const nal *unit, const lw_payloads *to)
{
    const uint8_t *data = unit->data + 1;
    size_t left = unit->size - 1, room = to->most - 2;
    size_t parts = (left + room - 1) / room;
    for (size_t i = 0; i < parts; i++) {
        size_t part = left / (parts - i);
        const uint8_t head[2] = {(uint8_t)((unit->data[0] & ~NAL_TYPE) | FU_A),
                                 (uint8_t)((unit->data[0] & NAL_TYPE) | (i ? 0 : FU_START) | (i + 1 < parts ? 0 : FU_END))};
        int rc = put(to, head, sizeof head, data, part);
        if (rc < 0)
            return rc;
        data += part;
        left -= part;
    }
    return (int)parts;
}

/* RFC 6184, 5.7.1: `units` NAL units from `first` on. */
static int aggregate(nal first, int units, const uint8_t *at, const uint8_t *end, const lw_payloads *to)
{
    uint8_t *out = to->take(to->user);
    if (!out)
        return LW_ENOSPC;
    size_t size = 1;
    uint8_t importance = 0, forbidden = 0;
    for (nal unit = first;; next_nal(&at, end, &unit)) {
        lw_put16(out + size, (uint32_t)unit.size);
        memcpy(out + size + 2, unit.data, unit.size);
        size += 2 + unit.size;
        forbidden |= unit.data[0] & NAL_FORBIDDEN;
        if ((unit.data[0] & NAL_IMPORTANCE) > importance)
            importance = unit.data[0] & NAL_IMPORTANCE;
        if (!--units)
            break;
    }
    out[0] = (uint8_t)(forbidden | importance | STAP_A);
    to->give(to->user, size);
    return 1;
}

static int packetize_h264(int mode, const uint8_t *data, size_t size, const lw_payloads *to)
{
    const uint8_t *end = data + size, *at = start_code(data, end);
    int packets = 0;
    for (const uint8_t *zero = data; zero < at; zero++)
        if (*zero)
            return LW_EINVAL;
    for (nal unit; next_nal(&at, end, &unit);) {
        int type = unit.data[0] & NAL_TYPE, rc;
        if (!type || type >= STAP_A)
            return LW_EINVAL;
        if (unit.size > to->most) {
            rc = mode ? fragment(&unit, to) : LW_EINVAL;
        } else {
            /* How many of the next ones share its packet. */
            const uint8_t *ahead = at, *behind = at;
            size_t whole = 3 + unit.size;
            int units = 1;
            for (nal more; mode && next_nal(&ahead, end, &more) && whole + 2 + more.size <= to->most;) {
                whole += 2 + more.size;
                units++;
                behind = ahead;
            }
            rc = units > 1 ? aggregate(unit, units, at, end, to) : put(to, unit.data, 0, unit.data, unit.size);
            at = behind;
        }
        if (rc < 0)
            return rc;
        packets += rc;
    }
    return packets ? packets : LW_EINVAL;
}

static int packetize_vp8(const uint8_t *data, size_t size, const lw_payloads *to)
{
    size_t room = to->most - LW_VP8_DESCRIPTOR;
    int parts = (int)((size + room - 1) / room);
    for (int i = 0; i < parts; i++) {
        /* X, and S in the first; I; and the picture id, M set. */
        const uint8_t head[LW_VP8_DESCRIPTOR] = {(uint8_t)(i ? 0x80 : 0x90), 0x80, 0x80, 0};
        size_t part = size / (size_t)(parts - i);
        int rc = put(to, head, sizeof head, data, part);
        if (rc < 0)
            return rc;
        data += part;
        size -= part;
    }
    return parts;
}

int lw_rtp_packetize(int kind, int mode, const uint8_t *data, size_t size, const lw_payloads *to)
{
    if (!size || size > LW_NET_MAX_UNIT)
        return LW_EINVAL;
    if (kind == LW_NET_H264)
        return packetize_h264(mode, data, size, to);
    if (kind == LW_NET_VP8)
        return packetize_vp8(data, size, to);
    return size > to->most ? LW_EINVAL : put(to, data, 0, data, size);
}

size_t lw_rtp_header(uint8_t *out, const lw_rtp_fields *f)
{
    int extended = f->mid_id || f->abs_send_time_id || f->twcc_id;
    out[0] = (uint8_t)(0x80 | extended << 4);
    out[1] = (uint8_t)(f->marker << 7 | f->payload_type);
    lw_put16(out + 2, f->sequence);
    lw_put32(out + 4, f->timestamp);
    lw_put32(out + 8, f->ssrc);
    if (!extended)
        return LW_RTP_HEADER;
    size_t at = LW_RTP_HEADER + 4;
    if (f->abs_send_time_id) {
        out[at] = (uint8_t)(f->abs_send_time_id << 4 | 2);
        out[at + 1] = (uint8_t)(f->abs_send_time >> 16);
        lw_put16(out + at + 2, f->abs_send_time);
        at += 4;
    }
    if (f->twcc_id) {
        out[at] = (uint8_t)(f->twcc_id << 4 | 1);
        lw_put16(out + at + 1, f->twcc);
        at += 3;
    }
    if (f->mid_id) {
        out[at] = (uint8_t)(f->mid_id << 4 | (f->mid_size - 1));
        memcpy(out + at + 1, f->mid, f->mid_size);
        at += 1 + f->mid_size;
    }
    while (at & 3)
        out[at++] = 0;
    lw_put16(out + LW_RTP_HEADER, 0xbede);
    lw_put16(out + LW_RTP_HEADER + 2, (uint32_t)(at - LW_RTP_HEADER - 4) / 4);
    return at;
}
