/* Opus packets: the framing of RFC 6716, section 3. What a packet says about itself is read, and packets are joined,
 * split and padded, without decoding anything. Sizes are in bytes, durations in samples at LW_RATE.
 *
 * Example of use:
 *
 *     const uint8_t silence[3] = {0xF8, 0xFF, 0xFE}; // CELT, fullband, mono, one frame of 20 ms
 *     lw_opus_packet packet;
 *     if (lw_opus_parse(silence, sizeof silence, &packet) < 0) {
 *         printf("%s\n", lw_opus_rule(packet.rule));
 *         return 1;
 *     }
 *     printf("%d frame, %d samples\n", packet.frames, packet.samples); // 1 frame, 960 samples
 */
#ifndef LIPWIRE_OPUS_H
#define LIPWIRE_OPUS_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_OPUS_MAX_FRAMES 48        /* 120 ms of 2.5 ms frames */
#define LW_OPUS_MAX_FRAME_BYTES 1275 /* what a length can say */
#define LW_OPUS_MAX_SAMPLES 5760     /* 120 ms */

enum lw_opus_mode { LW_OPUS_SILK = 0, LW_OPUS_HYBRID = 1, LW_OPUS_CELT = 2 };
enum lw_opus_bandwidth { /* audio bandwidth 4, 6, 8, 12, 20 kHz */
    LW_OPUS_NB = 0,
    LW_OPUS_MB = 1,
    LW_OPUS_WB = 2,
    LW_OPUS_SWB = 3,
    LW_OPUS_FB = 4
};

typedef struct lw_opus_packet {
    uint8_t toc;           /* the first byte: config, stereo bit, code */
    uint8_t config;        /* 0..31 */
    uint8_t mode;          /* enum lw_opus_mode */
    uint8_t bandwidth;     /* enum lw_opus_bandwidth */
    uint8_t channels;      /* 1, 2 */
    uint8_t code;          /* 0 one frame, 1 two of one size, 2 two of any sizes, 3 any number of them */
    uint8_t vbr;           /* the sizes are written out one by one: code 2, and code 3 with its v bit */
    uint8_t frames;        /* 1..LW_OPUS_MAX_FRAMES */
    uint8_t dtx;           /* no frame has more than one byte: nothing is coded, a decoder fills in (section 2.1.9) */
    uint8_t fec;           /* the first frame also holds what was before it, coded coarsely (LBRR, section 4.2.4) */
    uint8_t rule;          /* 0; the rule it breaks, 1..7, where lw_opus_parse returned LW_EDATA (only this is set) */
    uint16_t frame_samples; /* of each frame, 120..2880 */
    uint16_t samples;       /* of all, <= LW_OPUS_MAX_SAMPLES */
    uint32_t padding;      /* bytes behind the last frame; those that say how many there are belong to the header */
    uint32_t offset[LW_OPUS_MAX_FRAMES]; /* of each frame in the packet; [0] is the size of the header */
    uint16_t size[LW_OPUS_MAX_FRAMES];   /* of each frame; 0 = lost, or not sent (DTX) */
} lw_opus_packet;

typedef struct lw_opus_frame {
    const uint8_t *data;
    size_t size;
} lw_opus_frame;

/* Takes a packet apart. Returns the number of frames, or LW_EDATA with out->rule = the first of the requirements
 * R1..R7 (section 3.4) found broken; LW_EINVAL above 2^31 - 1 bytes. Accepts and refuses as libopus does. */
int lw_opus_parse(const uint8_t *packet, size_t n, lw_opus_packet *out);
/* "R3: ..." for 1..7. */
const char *lw_opus_rule(int rule);
/* Puts frames that share a TOC byte (its code is ignored) into one packet, in the shortest encoding there is, or, with
 * `size` > 0, padded to exactly `size` bytes. Returns its length. LW_EINVAL: no frames, more than 120 ms of them, one
 * above LW_OPUS_MAX_FRAME_BYTES, or they do not fit `size`; LW_ENOSPC: `cap` is too small. Then nothing is written.
 * The frames must not lie in `out`. */
int64_t lw_opus_pack(uint8_t toc, const lw_opus_frame *frames, int count, size_t size, uint8_t *out, size_t cap);
/* The same packet padded to exactly `size` bytes (>= n, else LW_EINVAL), or without any padding: the shortest encoding
 * of its frames. Return as lw_opus_pack, and LW_EDATA. */
int64_t lw_opus_pad(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap);
int64_t lw_opus_unpad(const uint8_t *packet, size_t n, uint8_t *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
