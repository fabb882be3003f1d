/* An open atlas, for the stitcher. */
#ifndef LW_ATLAS_H
#define LW_ATLAS_H

#include <string.h>

#include "common.h"
#include "h264.h"
#include "lipwire/stitch.h"

typedef struct lw_stripe {
    int32_t kind, first_mb, mbs;
    int32_t slot;     /* its first entry in a node's, a CHOICE's chain; STATIC: its slice */
    int32_t variants, refresh; /* CHOICE */
    int32_t used;     /* axes with a weight, */
    uint8_t axis[LW_AXES];
    uint32_t weight[LW_AXES]; /* and those weights */
    const uint8_t *values, *costs;
} lw_stripe;

struct lw_atlas {
    lw_atlas_info info;
    uint32_t slots; /* entries of a node */
    size_t note_bytes, sps_bytes, pps_bytes;
    uint64_t data_bytes;
    const uint8_t *nodes, *segments, *entries, *slices, *data, *note;
    int16_t axis_min[LW_AXES], axis_max[LW_AXES];
    int32_t choice[LW_ATLAS_CHOICES]; /* their stripes */
    lw_stripe stripe[LW_ATLAS_STRIPES];
    uint8_t sps[LW_H264_PARAMETERS], pps[LW_H264_PARAMETERS];
};

/* Numbers of the blob, at any address; it is little-endian as the machines are that this runs on. */
static inline uint32_t lw_load32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

static inline uint64_t lw_load64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

enum { LW_NODE_BYTES = 40, LW_SEGMENT_BYTES = 16, LW_SLICE_BYTES = 16, LW_STRIPE_BYTES = 96, LW_HEADER_BYTES = 256 };

/* A stripe's entries in each node: its chain, its variants, and changes to them; see lw_atlas_plan. */
static inline uint32_t lw_stripe_entries(int32_t kind, int32_t variants, int32_t refresh)
{
    uint32_t count = (uint32_t)variants;
    return kind == LW_STRIPE_STATIC ? 0 : kind == LW_STRIPE_MOVING ? 1 : 1 + count + (refresh && count > 1 ? count : 0);
}

static inline int lw_atlas_node_anchor(const lw_atlas *a, int32_t node)
{
    return a->nodes[(size_t)node * LW_NODE_BYTES + 36] & 1;
}

static inline uint32_t lw_atlas_entry(const lw_atlas *a, int32_t node, int32_t slot)
{
    return lw_load32(a->entries + 4 * ((size_t)node * a->slots + (size_t)slot));
}

static inline lw_atlas_slice lw_atlas_slice_at(const lw_atlas *a, uint32_t slice)
{
    const uint8_t *p = a->slices + (size_t)slice * LW_SLICE_BYTES;
    return (lw_atlas_slice){.at = lw_load64(p), .bytes = lw_load32(p + 8), .type = p[12], .qp = p[13], .stripe = p[14]};
}

#endif
