/* Opus packets (RFC 6716, section 3): taken apart and put together.
 *
 *   TOC byte      config (5 bits: mode, bandwidth, frame duration), stereo (1), code (2)
 *   code 0        1 frame              TOC, frame
 *   code 1        2 frames, one size   TOC, frames
 *   code 2        2 frames             TOC, length, frames
 *   code 3 CBR    M frames, one size   TOC, M, [padding length], frames, padding
 *   code 3 VBR    M frames             TOC, M, [padding length], M - 1 lengths, frames, padding
 *   length        1 byte below 252, else 2: first + 4 second, 252..1275
 *   padding       the length's bytes add up; 255 means 254 more, and another length byte
 *
 * The last frame's size is what is left. A length has one encoding only, so the shortest packet of some frames is
 * unique: packing what was parsed gives the same bytes back unless they were padded or wasteful. */
#include <string.h>

#include "common.h"
#include "lipwire/opus.h"

#define CODE 3
#define STEREO 4
#define VBR 0x80
#define PADDED 0x40
#define COUNT 0x3F
#define TWO_BYTES 252 /* lengths from here on */

/* By config. */
static const struct config {
    uint8_t mode, bandwidth;
    uint16_t samples;
} configs[32] = {
    {LW_OPUS_SILK, LW_OPUS_NB, 480},    {LW_OPUS_SILK, LW_OPUS_NB, 960},    {LW_OPUS_SILK, LW_OPUS_NB, 1920},
    {LW_OPUS_SILK, LW_OPUS_NB, 2880},   {LW_OPUS_SILK, LW_OPUS_MB, 480},    {LW_OPUS_SILK, LW_OPUS_MB, 960},
    {LW_OPUS_SILK, LW_OPUS_MB, 1920},   {LW_OPUS_SILK, LW_OPUS_MB, 2880},   {LW_OPUS_SILK, LW_OPUS_WB, 480},
    {LW_OPUS_SILK, LW_OPUS_WB, 960},    {LW_OPUS_SILK, LW_OPUS_WB, 1920},   {LW_OPUS_SILK, LW_OPUS_WB, 2880},
    {LW_OPUS_HYBRID, LW_OPUS_SWB, 480}, {LW_OPUS_HYBRID, LW_OPUS_SWB, 960}, {LW_OPUS_HYBRID, LW_OPUS_FB, 480},
    {LW_OPUS_HYBRID, LW_OPUS_FB, 960},  {LW_OPUS_CELT, LW_OPUS_NB, 120},    {LW_OPUS_CELT, LW_OPUS_NB, 240},
    {LW_OPUS_CELT, LW_OPUS_NB, 480},    {LW_OPUS_CELT, LW_OPUS_NB, 960},    {LW_OPUS_CELT, LW_OPUS_WB, 120},
    {LW_OPUS_CELT, LW_OPUS_WB, 240},    {LW_OPUS_CELT, LW_OPUS_WB, 480},    {LW_OPUS_CELT, LW_OPUS_WB, 960},
    {LW_OPUS_CELT, LW_OPUS_SWB, 120},   {LW_OPUS_CELT, LW_OPUS_SWB, 240},   {LW_OPUS_CELT, LW_OPUS_SWB, 480},
    {LW_OPUS_CELT, LW_OPUS_SWB, 960},   {LW_OPUS_CELT, LW_OPUS_FB, 120},    {LW_OPUS_CELT, LW_OPUS_FB, 240},
    {LW_OPUS_CELT, LW_OPUS_FB, 480},    {LW_OPUS_CELT, LW_OPUS_FB, 960},
};

const char *lw_opus_rule(int rule)
{
    static const char *const rules[] = {
        "no rule is broken",
        "R1: a packet has at least one byte",
        "R2: a frame has at most 1275 bytes",
        "R3: code 1 needs an even number of payload bytes",
        "R4: code 2 needs a whole frame length, and as many bytes as it says",
        "R5: code 3 has at least one frame, and at most 120 ms of them",
        "R6: code 3 CBR needs its header and padding, and between them a multiple of the frame count",
        "R7: code 3 VBR needs all the bytes that its header, frame lengths and padding ask for",
    };
    return rule >= 0 && rule <= 7 ? rules[rule] : "unknown rule";
}

static int broken(lw_opus_packet *out, int rule)
{
    out->rule = (uint8_t)rule;
    return LW_EDATA;
}

/* A frame length at *at, which moves behind it; -1 if it is not there as a whole. */
static int32_t read_length(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *p = *at;
    if (p >= end)
        return -1;
    int32_t length = *p++;
    if (length >= TWO_BYTES) {
        if (p >= end)
            return -1;
        length += 4 * *p++;
    }
    *at = p;
    return length;
}

/* A range decoder's symbols of probability 1/2 are plain bits, highest first, while there were no others. So a SILK
 * header can be read as it stands: for mid, then for side, a VAD flag for each 20 ms and one LBRR flag. */
static int has_lbrr(const lw_opus_packet *p, uint8_t first)
{
    int flags = p->frame_samples > 960 ? p->frame_samples / 960 : 1;
    int mid = first >> (7 - flags) & 1;
    return p->channels == 1 ? mid : mid | (first >> (6 - 2 * flags) & 1);
}

/* The frame count byte and what follows: *at moves to the first frame, *end to the padding. The sizes of a VBR packet
 * but the last are written. Returns 0 or the rule that is broken. */
static int read_code_3(const uint8_t **at, const uint8_t **end, lw_opus_packet *out)
{
    const uint8_t *p = *at, *stop = *end;
    if (p == stop)
        return 6; /* whether it wanted to be CBR cannot be known */
    int head = *p++, count = head & COUNT;
    if (!count || count * out->frame_samples > LW_OPUS_MAX_SAMPLES)
        return 5;
    int too_short = head & VBR ? 7 : 6;
    out->frames = (uint8_t)count;
    out->vbr = head >> 7;
    if (head & PADDED) {
        size_t padding = 0;
        int byte;
        do {
            if (p == stop)
                return too_short;
            byte = *p++;
            padding += byte == 255 ? 254 : (size_t)byte;
        } while (byte == 255);
        if (padding > (size_t)(stop - p))
            return too_short;
        out->padding = (uint32_t)padding;
        stop -= padding;
    }
    if (head & VBR) {
        for (int i = 0; i < count - 1; i++) {
            int32_t size = read_length(&p, stop);
            if (size < 0)
                return 7;
            out->size[i] = (uint16_t)size;
        }
    }
    *at = p;
    *end = stop;
    return 0;
}

int lw_opus_parse(const uint8_t *packet, size_t n, lw_opus_packet *out)
{
    if (!out || (n && !packet) || n > INT32_MAX)
        return LW_EINVAL;
    if (!n)
        return broken(out, 1);
    const uint8_t *at = packet + 1, *end = packet + n;
    int toc = packet[0], code = toc & CODE, rule;
    const struct config *config = &configs[toc >> 3];
    out->toc = (uint8_t)toc;
    out->config = (uint8_t)(toc >> 3);
    out->mode = config->mode;
    out->bandwidth = config->bandwidth;
    out->channels = toc & STEREO ? 2 : 1;
    out->code = (uint8_t)code;
    out->vbr = code == 2;
    out->frames = code ? 2 : 1;
    out->rule = 0;
    out->frame_samples = config->samples;
    out->padding = 0;
    if (code == 2) {
        int32_t size = read_length(&at, end);
        if (size < 0)
            return broken(out, 4);
        out->size[0] = (uint16_t)size;
    } else if (code == 3 && (rule = read_code_3(&at, &end, out))) {
        return broken(out, rule);
    }

    int count = out->frames, coded = 0;
    size_t left = (size_t)(end - at);
    uint32_t offset = (uint32_t)(at - packet);
    if (out->vbr) {
        for (int i = 0; i < count - 1; i++) {
            if (out->size[i] > left)
                return broken(out, code == 2 ? 4 : 7);
            out->offset[i] = offset;
            offset += out->size[i];
            left -= out->size[i];
            coded |= out->size[i] > 1;
        }
        if (left > LW_OPUS_MAX_FRAME_BYTES)
            return broken(out, 2);
        out->offset[count - 1] = offset;
        out->size[count - 1] = (uint16_t)left;
        coded |= left > 1;
    } else {
        size_t size = left;
        if (count > 1) {
            size = count == 2 ? left / 2 : left / (size_t)count;
            if (size * (size_t)count != left)
                return broken(out, code == 1 ? 3 : 6);
        }
        if (size > LW_OPUS_MAX_FRAME_BYTES)
            return broken(out, 2);
        for (int i = 0; i < count; i++) {
            out->offset[i] = offset;
            out->size[i] = (uint16_t)size;
            offset += (uint32_t)size;
        }
        coded = size > 1;
    }
    out->samples = (uint16_t)(count * config->samples);
    out->dtx = (uint8_t)!coded;
    /* In a frame of a byte nothing is coded; a decoder does not look into it. */
    out->fec = (uint8_t)(config->mode != LW_OPUS_CELT && out->size[0] > 1 && has_lbrr(out, packet[out->offset[0]]));
    return count;
}

static size_t length_bytes(size_t size)
{
    return size < TWO_BYTES ? 1 : 2;
}

static uint8_t *write_length(uint8_t *at, size_t size)
{
    if (size < TWO_BYTES) {
        *at++ = (uint8_t)size;
    } else {
        *at++ = (uint8_t)(TWO_BYTES + (size & 3));
        *at++ = (uint8_t)((size - TWO_BYTES) >> 2);
    }
    return at;
}

int64_t lw_opus_pack(uint8_t toc, const lw_opus_frame *frames, int count, size_t size, uint8_t *out, size_t cap)
{
    if (!frames || count < 1 || count > LW_OPUS_MAX_FRAMES || size > INT32_MAX || (cap && !out) ||
        count * configs[toc >> 3].samples > LW_OPUS_MAX_SAMPLES)
        return LW_EINVAL;
    size_t payload = 0, lengths = 0;
    int vbr = 0;
    for (int i = 0; i < count; i++) {
        if (frames[i].size > LW_OPUS_MAX_FRAME_BYTES || (frames[i].size && !frames[i].data))
            return LW_EINVAL;
        payload += frames[i].size;
        lengths += i < count - 1 ? length_bytes(frames[i].size) : 0;
        vbr |= frames[i].size != frames[0].size;
    }
    lengths = vbr ? lengths : 0;
    int code = count == 1 ? 0 : count > 2 ? 3 : vbr ? 2 : 1;
    size_t total = (code == 3 ? 2 : 1) + lengths + payload, padding = 0;
    if (size && size != total) {
        if (size < total)
            return LW_EINVAL;
        /* Only code 3 can be longer than it must: by its count byte, then by padding. */
        total += code != 3;
        code = 3;
        padding = size - total;
        total = size;
    }
    if (total > cap)
        return LW_ENOSPC;

    uint8_t *at = out;
    *at++ = (uint8_t)((toc & ~CODE) | code);
    if (code == 3)
        *at++ = (uint8_t)(count | (vbr ? VBR : 0) | (padding ? PADDED : 0));
    if (padding) {
        /* `padding` includes these bytes; 255 stands for itself and 254 more. */
        size_t full = (padding - 1) / 255;
        memset(at, 255, full);
        at += full;
        *at++ = (uint8_t)(padding - 255 * full - 1);
        padding -= full + 1;
    }
    for (int i = 0; vbr && i < count - 1; i++)
        at = write_length(at, frames[i].size);
    for (int i = 0; i < count; i++) {
        if (frames[i].size)
            memcpy(at, frames[i].data, frames[i].size);
        at += frames[i].size;
    }
    memset(at, 0, padding);
    return (int64_t)total;
}

static int64_t repack(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap)
{
    lw_opus_packet p;
    lw_opus_frame frames[LW_OPUS_MAX_FRAMES];
    int count = lw_opus_parse(packet, n, &p);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        frames[i] = (lw_opus_frame){packet + p.offset[i], p.size[i]};
    return lw_opus_pack(p.toc, frames, count, size, out, cap);
}

int64_t lw_opus_pad(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap)
{
    if (size > n || !n)
        return repack(packet, n, size, out, cap);
    /* Not a byte to add: as it is, if it is a packet. */
    lw_opus_packet p;
    int count = lw_opus_parse(packet, n, &p);
    if (count < 0)
        return count;
    if (size < n || (cap && !out))
        return LW_EINVAL;
    if (n > cap)
        return LW_ENOSPC;
    memcpy(out, packet, n);
    return (int64_t)n;
}

int64_t lw_opus_unpad(const uint8_t *packet, size_t n, uint8_t *out, size_t cap)
{
    return repack(packet, n, 0, out, cap);
}
