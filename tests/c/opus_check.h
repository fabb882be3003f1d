/* What holds of every input to the Opus packet functions: for the tests and the fuzz target. */
#ifndef LW_TEST_OPUS_CHECK_H
#define LW_TEST_OPUS_CHECK_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

static inline void opus_spans(const uint8_t *packet, const lw_opus_packet *p, lw_opus_frame *frames)
{
    for (int i = 0; i < p->frames; i++)
        frames[i] = (lw_opus_frame){packet + p->offset[i], p->size[i]};
}

/* 1 where two packets hold the same frames under the same TOC. */
static inline int opus_same_frames(const uint8_t *a, const lw_opus_packet *pa, const uint8_t *b,
                                   const lw_opus_packet *pb)
{
    int same = (pa->toc | 3) == (pb->toc | 3) && pa->frames == pb->frames && pa->samples == pb->samples &&
               pa->dtx == pb->dtx && pa->fec == pb->fec;
    for (int i = 0; same && i < pa->frames; i++)
        same = pa->size[i] == pb->size[i] && !memcmp(a + pa->offset[i], b + pb->offset[i], pa->size[i]);
    return same;
}

/* NULL, or what is wrong. `pad` is how much to pad by. */
static inline const char *opus_check(const uint8_t *packet, size_t n, size_t pad)
{
    lw_opus_packet p, q;
    lw_opus_frame frames[LW_OPUS_MAX_FRAMES];
    uint8_t none[1];
    int count = lw_opus_parse(packet, n, &p);
    if (count < 0)
        return count != LW_EDATA || p.rule < 1 || p.rule > 7             ? "refused without a rule"
               : lw_opus_unpad(packet, n, none, sizeof none) != LW_EDATA ? "unpad takes what parse refuses"
               : lw_opus_pad(packet, n, n + pad, none, 0) != LW_EDATA    ? "pad takes what parse refuses"
                                                                         : NULL;
    if (p.rule || count != p.frames || count < 1 || count > LW_OPUS_MAX_FRAMES ||
        p.samples != count * p.frame_samples || p.samples > LW_OPUS_MAX_SAMPLES)
        return "counts";
    size_t at = p.offset[0];
    for (int i = 0; i < count; i++) {
        if (p.offset[i] != at || p.size[i] > LW_OPUS_MAX_FRAME_BYTES)
            return "frames";
        at += p.size[i];
    }
    if (at + p.padding != n || p.offset[0] < 1)
        return "header + frames + padding is not the packet";

    const char *wrong = NULL;
    uint8_t *packed = malloc(n), *padded = malloc(n + pad), *back = malloc(n);
    opus_spans(packet, &p, frames);
    int64_t length = lw_opus_pack(p.toc, frames, count, 0, packed, n);
    if (!packed || !padded || !back)
        wrong = "no memory";
    else if (length < 1)
        wrong = "the shortest encoding is not shorter";
    else if (lw_opus_parse(packed, (size_t)length, &q) != count || !opus_same_frames(packet, &p, packed, &q))
        wrong = "pack loses something";
    else if (lw_opus_pack(p.toc, frames, count, 0, back, (size_t)length - 1) != LW_ENOSPC)
        wrong = "pack into too little";
    else if (lw_opus_unpad(packet, n, back, n) != length || memcmp(back, packed, (size_t)length))
        wrong = "unpad is not pack";
    else if (lw_opus_pad(packet, n, n + pad, padded, n + pad) != (int64_t)(n + pad))
        wrong = "pad misses its size";
    else if (lw_opus_parse(padded, n + pad, &q) != count || !opus_same_frames(packet, &p, padded, &q))
        wrong = "pad loses something";
    else if (lw_opus_unpad(padded, n + pad, back, n) != length || memcmp(back, packed, (size_t)length))
        wrong = "pad, then unpad";
    free(packed);
    free(padded);
    free(back);
    return wrong;
}

#endif
