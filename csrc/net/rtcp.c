/* Reading and writing RTCP. Every length is checked before it is used, and no packet makes more work than its statuses,
 * which are at most LW_RTCP_STATUSES for each feedback. */
#include <string.h>

#include "rtcp.h"
#include "rtp.h"

enum { SR = 200, RR = 201, SDES = 202, BYE = 203, RTPFB = 205, PSFB = 206 };
enum { NACK = 1, TRANSPORT_WIDE = 15 }; /* of RTPFB */
enum { PLI = 1, FIR = 4, APPLICATION = 15 }; /* of PSFB */

#define FEEDBACKS 8 /* transport-wide ones that are read of one compound packet */

static size_t header(uint8_t *out, int count, int type, size_t size)
{
    out[0] = (uint8_t)(0x80 | count);
    out[1] = (uint8_t)type;
    lw_put16(out + 2, (uint32_t)(size / 4 - 1));
    return size;
}

size_t lw_rtcp_sender_report(uint8_t *out, const lw_rtcp_sender *s, int bye, uint32_t other)
{
    size_t at = header(out, 0, SR, 28);
    lw_put32(out + 4, s->ssrc);
    lw_put32(out + 8, (uint32_t)(s->ntp >> 32));
    lw_put32(out + 12, (uint32_t)s->ntp);
    lw_put32(out + 16, s->timestamp);
    lw_put32(out + 20, s->packets);
    lw_put32(out + 24, s->octets);
    /* One chunk: SSRC, CNAME, and at least one zero up to the next word. */
    size_t name = strlen(s->cname), size = (4 + 4 + 2 + name + 1 + 3) & ~(size_t)3;
    memset(out + at, 0, size);
    header(out + at, 1, SDES, size);
    lw_put32(out + at + 4, s->ssrc);
    out[at + 8] = 1;
    out[at + 9] = (uint8_t)name;
    memcpy(out + at + 10, s->cname, name);
    at += size;
    if (!bye)
        return at;
    lw_put32(out + at + 4, s->ssrc);
    lw_put32(out + at + 8, other);
    return at + header(out + at, other ? 2 : 1, BYE, other ? 12 : 8);
}

static int read_blocks(const uint8_t *at, size_t size, int count, const lw_rtcp_reader *reader)
{
    if (size < (size_t)count * 24)
        return 1;
    for (; count--; at += 24) {
        lw_rtcp_block block = {.ssrc = lw_get32(at),
                               .fraction = at[4],
                               .lost = lw_get32(at + 4) & 0xffffff,
                               .highest = lw_get32(at + 8),
                               .jitter = lw_get32(at + 12),
                               .last_report = lw_get32(at + 16),
                               .delay = lw_get32(at + 20)};
        reader->block(reader->user, &block);
    }
    return 0;
}

/* A chunk's first status, and how many it has (draft-holmer, 3.1.3 and 3.1.4). */
static void open_chunk(lw_rtcp_feedback *f, uint32_t chunk)
{
    f->run = !(chunk & 0x8000);
    f->bits = f->run || chunk & 0x4000 ? 2 : 1;
    f->left = f->run ? (int)(chunk & 0x1fff) : 14 / f->bits;
    f->symbols = f->run ? chunk >> 13 & 3 : chunk & 0x3fff;
}

/* Finds where the deltas begin: behind the chunks that have `count` statuses. */
static int open_feedback(lw_rtcp_feedback *f, const uint8_t *fci, size_t size)
{
    if (size < 8)
        return 1;
    uint32_t reference = lw_get32(fci + 4) >> 8;
    *f = (lw_rtcp_feedback){.first = (uint16_t)lw_get16(fci),
                            .count = (uint16_t)lw_get16(fci + 2),
                            .reference = (int32_t)(reference << 8) >> 8,
                            .number = fci[7],
                            .chunk = fci + 8,
                            .end = fci + size};
    if (!f->count || f->count > LW_RTCP_STATUSES)
        return 1;
    const uint8_t *at = f->chunk;
    for (int told = 0; told < f->count; at += 2) {
        if (f->end - at < 2)
            return 1;
        open_chunk(f, lw_get16(at));
        told += f->left;
    }
    f->chunks_end = f->delta = at;
    f->left = 0;
    return 0;
}

int lw_rtcp_status(lw_rtcp_feedback *f, int32_t *delta)
{
    if (!f->count)
        return -1;
    while (!f->left) {
        if (f->chunk >= f->chunks_end)
            return -1;
        open_chunk(f, lw_get16(f->chunk));
        f->chunk += 2;
    }
    f->count--;
    f->left--;
    uint32_t symbol = f->run ? f->symbols : f->symbols >> (f->left * f->bits) & (f->bits == 2 ? 3 : 1);
    if (symbol == 1 && f->end - f->delta >= 1) {
        *delta = *f->delta++;
        return 1;
    }
    if (symbol == 2 && f->end - f->delta >= 2) {
        *delta = (int16_t)lw_get16(f->delta);
        f->delta += 2;
        return 1;
    }
    return 0;
}

static int read_nacks(uint32_t ssrc, const uint8_t *fci, size_t size, const lw_rtcp_reader *reader)
{
    if (!size || size & 3)
        return 1;
    for (; size; size -= 4, fci += 4)
        reader->nack(reader->user, ssrc, (uint16_t)lw_get16(fci), (uint16_t)lw_get16(fci + 2));
    return 0;
}

static int read_firs(const uint8_t *fci, size_t size, const lw_rtcp_reader *reader)
{
    if (!size || size & 7)
        return 1;
    for (; size; size -= 8, fci += 8)
        reader->key(reader->user, lw_get32(fci), fci[4]);
    return 0;
}

/* draft-alvestrand-rmcat-remb-03, 2.2. Other messages of applications are none of ours. */
static int read_application(const uint8_t *fci, size_t size, const lw_rtcp_reader *reader)
{
    if (size < 4 || memcmp(fci, "REMB", 4))
        return 0;
    if (size < 8 || size < 8 + 4 * (size_t)fci[4])
        return 1;
    int exponent = fci[5] >> 2;
    int64_t mantissa = (int64_t)(fci[5] & 3) << 16 | lw_get16(fci + 6);
    reader->remb(reader->user, mantissa << (exponent < 40 ? exponent : 40));
    return 0;
}

static int read_feedback(int type, int format, const uint8_t *at, size_t size, int *feedbacks, const lw_rtcp_reader *reader)
{
    if (size < 8)
        return 1;
    uint32_t ssrc = lw_get32(at + 4);
    const uint8_t *fci = at + 8;
    size -= 8;
    if (type == RTPFB && format == NACK)
        return read_nacks(ssrc, fci, size, reader);
    if (type == RTPFB && format == TRANSPORT_WIDE) {
        lw_rtcp_feedback feedback;
        if (++*feedbacks > FEEDBACKS || open_feedback(&feedback, fci, size))
            return 1;
        reader->feedback(reader->user, &feedback);
    } else if (type == PSFB && format == PLI) {
        reader->key(reader->user, ssrc, -1);
    } else if (type == PSFB && format == FIR) {
        return read_firs(fci, size, reader);
    } else if (type == PSFB && format == APPLICATION) {
        return read_application(fci, size, reader);
    }
    return 0;
}

int lw_rtcp_read(const uint8_t *data, size_t size, const lw_rtcp_reader *reader)
{
    int bad = 0, feedbacks = 0;
    while (size) {
        if (size < 4 || data[0] >> 6 != 2)
            return bad + 1;
        size_t whole = ((size_t)lw_get16(data + 2) + 1) * 4, body = whole - 4;
        if (whole > size)
            return bad + 1;
        int count = data[0] & 31, type = data[1];
        const uint8_t *at = data + 4;
        if (data[0] & 0x20) {
            size_t padding = data[whole - 1];
            if (!padding || padding > body)
                return bad + 1;
            body -= padding;
        }
        if (type == SR)
            bad += body < 24 || read_blocks(at + 24, body - 24, count, reader);
        else if (type == RR)
            bad += body < 4 || read_blocks(at + 4, body - 4, count, reader);
        else if (type == RTPFB || type == PSFB)
            bad += read_feedback(type, count, at, body, &feedbacks, reader);
        data += whole;
        size -= whole;
    }
    return bad;
}
