/* Stitching: H.264 video of an avatar, assembled from slices that were encoded once.
 *
 * A picture is cut into stripes: full-width rows of macroblocks, one slice each. An atlas holds the slices of one
 * avatar at one size and frame rate: for stripes that never change, for those that move with the head, and for those
 * that show one of several variants (of the mouth, of the eyes). A stitcher makes of it one stream: what has changed is
 * copied behind a slice header, what has not is skipped, and a picture costs about as much as copying its bytes.
 *
 * The stream is of the constrained baseline profile (ITU-T H.264): CAVLC, one reference picture, output in decoding
 * order, no deblocking, I and P slices mixed. Slices of one position of the head (a node) may be P: they refer to the
 * node before in the same segment, and to what is within their own stripe. So a stream goes from a node to itself, to
 * the next one, or to an anchor, whose slices are all I; then no drift is possible. IDR pictures are of anchors, too.
 *
 * Slices lie in the atlas as they are sent: shifted for the header that goes before them, closed, and escaped. That
 * works as the headers of one slice have one length modulo 8 in every picture; idr_pic_id is of 7 bits (7 or 8) so that
 * this holds for an IDR picture, too.
 *
 * Example of use:
 *
 *     const uint8_t grey = 0x27; // a macroblock: Intra_16x16, DC, nothing coded
 *     lw_payload payload = {.bits = &grey, .bit_length = 8, .type = LW_SLICE_I, .qp = 26};
 *     uint8_t data[16], blob[1024], unit[256];
 *     lw_atlas_slice slice = {.type = LW_SLICE_I, .qp = 26};
 *     slice.bytes = (uint32_t)lw_slice_store(&payload, 0, data, sizeof data);
 *     lw_atlas_plan plan = {.width = 16, .height = 16, .fps_num = 25, .fps_den = 1};
 *     plan.data = data, plan.data_bytes = slice.bytes;
 *     plan.stripes = &(lw_atlas_stripe){.kind = LW_STRIPE_STATIC, .rows = 1}, plan.stripe_count = 1;
 *     plan.nodes = &(lw_atlas_node){.anchor = 1}, plan.node_count = 1;
 *     plan.segments = &(lw_atlas_segment){.count = 1, .modes = 1}, plan.segment_count = 1;
 *     plan.slices = &slice, plan.slice_count = 1;
 *     int64_t bytes = lw_atlas_pack(&plan, blob, sizeof blob);
 *     lw_atlas *atlas;
 *     lw_stitcher *stitcher;
 *     if (bytes < 0 || lw_atlas_open(&atlas, blob, (size_t)bytes, NULL) < 0 ||
 *         lw_stitcher_open(&stitcher, atlas, LW_ANNEX_B) < 0)
 *         return 1;
 *     int64_t first = lw_stitcher_unit(stitcher, 0, NULL, 1, unit, sizeof unit);  // IDR, with its parameter sets
 *     int64_t second = lw_stitcher_unit(stitcher, 0, NULL, 0, unit, sizeof unit); // nothing has changed
 *     printf("%d and %d bytes\n", (int)first, (int)second);
 *     lw_stitcher_close(&stitcher);
 *     lw_atlas_close(&atlas);
 *     if (first < 20 || second > 12)
 *         return 1;
 */
#ifndef LIPWIRE_STITCH_H
#define LIPWIRE_STITCH_H

#include "lipwire/avatar.h"
#include "lipwire/base.h"
#include "lipwire/motion.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- slices of an encoder's ---- */

enum lw_slice_type { LW_SLICE_P = 0, LW_SLICE_I = 2 };

/* The slice data of a slice (clause 7.3.4): what is behind its header, without the stop bit and unescaped. */
typedef struct lw_payload {
    const uint8_t *bits; /* the first is the highest of bits[0] */
    size_t bit_length;   /* 1..2^31 - 1 */
    int32_t type;        /* enum lw_slice_type */
    int32_t qp;          /* SliceQPY, 0..51 */
} lw_payload;

/* Finds the next NAL unit of an Annex B stream from *at on: 1, *nal and *bytes without start code and zeros behind, *at
 * moved behind it; or 0 where there is none. */
int lw_nal_next(const uint8_t *stream, size_t n, size_t *at, const uint8_t **nal, size_t *bytes);

/* Reads one NAL unit with a slice, by the parameter sets (NAL units, too) that it was encoded with. `bits` is where its
 * data goes: n bytes are always enough. *first_mb (may be NULL): its first macroblock. LW_EDATA: it is malformed, or of
 * a kind that cannot be stitched, and *why (may be NULL) says in a few words what for: CAVLC, frames, 4:2:0, 8 bit, no
 * 8x8 transform, one reference, no weighted prediction, no deblocking (idc 1), chroma_qp_index_offset -6,
 * I, or P with constrained_intra_pred_flag 1. LW_ENOSPC: `room` is too small. */
int lw_slice_read(const void *nal, size_t n, const void *sps, size_t sps_bytes, const void *pps, size_t pps_bytes,
                  uint8_t *bits, size_t room, lw_payload *payload, int32_t *first_mb, const char **why);

/* The slice as an atlas has it: shifted for its header where it begins at first_mb, closed and escaped. Returns the
 * bytes written, at most bit_length / 8 * 3 / 2 + 8; LW_EINVAL, LW_ENOSPC. */
int64_t lw_slice_store(const lw_payload *payload, int32_t first_mb, uint8_t *out, size_t room);

/* Where a box of macroblocks lies in a P slice. */
typedef struct lw_slice_box {
    int32_t columns, rows;            /* macroblocks of the slice, 1..256 */
    int32_t left, top, width, height; /* of the box, within it; 0 x 0: there is none */
} lw_slice_box;

/* What macroblocks of a P slice have beside their motion: quantized levels in the order in which they are coded, for
 * each macroblock 16 luma blocks of 16, Cb's and Cr's DC of 4, Cb's and then Cr's four blocks of 15. */
#define LW_RESIDUAL_LEVELS 384
#define LW_RESIDUAL_MOST 2000 /* a level is within +- this */
#define LW_RESIDUAL_BYTES 1536 /* that a macroblock of them takes at most */
typedef struct lw_residual {
    const int16_t *levels; /* [columns * rows][LW_RESIDUAL_LEVELS]; those in the box do not count */
    int32_t qp;            /* QPY */
} lw_residual;

/* Makes a P slice of parts. `around` is one of P_L0_16x16, P_8x8 (of P_L0_8x8) and skipped macroblocks without a
 * residual, in which the box is skipped, though its vectors are predicted as if that was intra; `residual` (may be NULL)
 * is added, to macroblocks that are not skipped; `box` (NULL where there is none) is an I slice of a picture that is as
 * large as the box. The box's macroblocks decode to the same samples as in that picture, whatever the slice refers to.
 * `bits` is where the slice data goes: LW_PATCH_BYTES of both's bit_length and the box's macroblocks, and with a
 * residual LW_RESIDUAL_BYTES for each of the slice. LW_EDATA: one of them is malformed, or has something else in it, and
 * *why (may be NULL) says what; LW_EINVAL, LW_ENOSPC. */
#define LW_PATCH_BYTES(around, box, macroblocks) (((around) + (box)) / 8 + 64 * (size_t)(macroblocks) + 8)
int lw_slice_patch(const lw_payload *around, const lw_residual *residual, const lw_payload *box,
                   const lw_slice_box *where, uint8_t *bits, size_t room, lw_payload *payload, const char **why);

/* ---- atlases ---- */

#define LW_ATLAS_VERSION 2
#define LW_ATLAS_STRIPES 64    /* of a picture */
#define LW_ATLAS_CHOICES 16    /* of those, that show a variant */
#define LW_ATLAS_VARIANTS 4096 /* of a stripe */
#define LW_ATLAS_REFRESH 4096  /* P slices behind an I slice */
#define LW_ATLAS_NONE 0xffffffffu

enum lw_stripe_kind {
    LW_STRIPE_STATIC = 0, /* one I slice */
    LW_STRIPE_MOVING,     /* depends on the node: I at anchors, else P; or NONE: as at the node before */
    LW_STRIPE_CHOICE      /* depends on node and variant: I; or a step from the node before to this one */
};

/* Which variant a stripe shows: that of the least
 *   costs[mouth image][variant] + sum over axes of weight[axis] * (pose axis - values[variant][axis])^2,
 * the lowest of equals. */
typedef struct lw_atlas_stripe {
    int32_t kind;            /* enum lw_stripe_kind */
    int32_t rows;            /* of macroblocks; all stripes together have the picture's */
    uint32_t still;          /* STATIC: its slice */
    int32_t variants;        /* CHOICE: 1..LW_ATLAS_VARIANTS; else 0 */
    int32_t refresh;         /* CHOICE: how its chains are walked, 0..LW_ATLAS_REFRESH; see lw_atlas_plan */
    int32_t weight[LW_AXES]; /* 0..2^20 */
    const int16_t *values;   /* [variants][LW_AXES], or NULL: all 0 */
    const int64_t *costs;    /* [the plan's mouths][variants], 0..2^60; or NULL: the mouth does not matter */
} lw_atlas_stripe;

typedef struct lw_atlas_node {
    int16_t axis[LW_AXES]; /* as in lw_pose; those that count are the plan's walk_axes */
    int32_t anchor;        /* 1: all of its slices are I */
} lw_atlas_node;

/* A chain of nodes, one a frame, that may be followed by any other's first. That is an anchor. */
typedef struct lw_atlas_segment {
    int32_t first, count; /* nodes; segments lie one behind the other and have all nodes */
    uint32_t modes;       /* in which it is walked: 1 << enum lw_state, and LW_ATLAS_SPEAKING */
} lw_atlas_segment;
#define LW_ATLAS_SPEAKING (1u << LW_STATES)

typedef struct lw_atlas_slice {
    uint64_t at;       /* in the data */
    uint32_t bytes;    /* that lw_slice_store gave */
    int32_t type, qp;  /* as in lw_payload */
    int32_t stripe;    /* that it was stored for */
} lw_atlas_slice;

/* What an atlas is made of. A node has one entry of `entries` for each MOVING stripe and 1 + variants of them for each
 * CHOICE stripe (more where `refresh` is not 0), in the order of the stripes; a plan has those of all nodes, one behind
 * the other.
 *
 * The first entry of a CHOICE stripe is its chain, NONE at anchors: the slice, P or I, that turns variant 0 at the node
 * before into variant 0 at this one, or NONE where that stays as it is. It is taken as long as the stripe is chained:
 * it has shown nothing but variant 0 since an anchor. From another variant on, and until the next anchor, the I slices
 * count.
 *
 * Where `refresh` is not 0, the P slices of the stripe's chains say how it has moved and nothing else, so that they go on
 * from whatever it shows, anchors (but a segment's first) included. Behind its variants such a stripe has, if it has
 * more than one, another entry for each: the change, a slice that turns any variant at the node before into this one
 * here, with what lies around it moved as the chain says, or NONE.
 *   A variant's own slice is I at anchors. It is taken there on a jump, where the chain is I, where there is no change,
 * and once `refresh` P slices have moved the stripe. At other nodes it is I, or a P slice that shows the same whatever
 * was before, and is always taken; or NONE, where the chain is not I and there are changes to all variants. */
typedef struct lw_atlas_plan {
    int32_t width, height;          /* as lw_size_check has it; what is over to whole macroblocks is cropped */
    int32_t fps_num, fps_den;       /* 1..100 frames a second */
    int32_t matrix;                 /* enum lw_matrix */
    uint32_t walk_axes;             /* 1 << axis: set by the node */
    int16_t axis_min[LW_AXES], axis_max[LW_AXES]; /* poses beyond are not covered */
    int32_t mouths;                 /* images that an avatar's mouth has, 0..65536 */
    const lw_atlas_stripe *stripes; /* from top to bottom */
    int32_t stripe_count;
    const lw_atlas_node *nodes;
    int32_t node_count;
    const lw_atlas_segment *segments;
    int32_t segment_count;
    const uint32_t *entries;        /* slices */
    const lw_atlas_slice *slices;
    uint32_t slice_count;
    const uint8_t *data;
    uint64_t data_bytes;
    const void *note;               /* the maker's own, kept as it is */
    uint32_t note_bytes;
} lw_atlas_plan;

/* Writes the atlas as one blob, and returns its bytes; with `out` NULL only that. LW_ENOSPC. What lw_atlas_open refuses
 * is not looked for, but for LW_EINVAL where there are more, or less than 0, of anything than there can be.
 *
 * The blob is little-endian. Each part begins at a multiple of 8, nothing is said of the bytes between them. Of
 * LW_AXES numbers there are 16: the last are 0.
 *
 * header, 256 bytes: 0 "LWATLAS" and a zero, 8 u32 version, 12 u32 walk_axes, 16 u64 bytes of the blob, 24 u32 width,
 *   28 u32 height, 32 u32 fps_num, 36 u32 fps_den, 40 u32 matrix, 44 u32 mouths, 48 u32 stripes, 52 u32 nodes,
 *   56 u32 segments, 60 u32 slices, 64 u32 bytes of the note, 68 u32 0, 72 i16[16] axis_min, 104 i16[16] axis_max;
 *   then u64, where these begin: 136 stripes, 144 nodes, 152 segments, 160 entries, 168 slices, 176 data; 184 u64 bytes
 *   of the data, 192 u64 where the note begins, up to 256: 0
 * stripe, 96 bytes: 0 u32 kind, 4 u32 rows, 8 u32 still (of a choice: refresh), 12 u32 variants, 16 u64 where values and
 *   24 u64 where costs begin (0: there are none), 32 i32[16] weight
 * values: i16[variants][16]; costs: i64[mouths][variants]
 * node, 40 bytes: 0 i16[16] axis, 32 u32 segment, 36 u32 anchor
 * segment, 16 bytes: 0 u32 first, 4 u32 count, 8 u32 modes, 12 u32 0
 * entry: u32 slice, or LW_ATLAS_NONE
 * slice, 16 bytes: 0 u64 at (from the beginning of the data), 8 u32 bytes, 12 u8 type, 13 u8 qp, 14 u8 stripe, 15: 0 */
int64_t lw_atlas_pack(const lw_atlas_plan *plan, void *out, size_t room);

/* A blob that is looked at where it lies: it must neither change nor go before the atlas is closed, and any number of
 * stitchers on any thread may share it. LW_EDATA: it is refused, and *why (may be NULL) says what for; whatever bytes
 * it has, no function reads or writes beyond its memory. What its slices show is not looked at. LW_ENOMEM. */
typedef struct lw_atlas lw_atlas;
int lw_atlas_open(lw_atlas **out, const void *blob, size_t n, const char **why);
void lw_atlas_close(lw_atlas **a);

typedef struct lw_atlas_info {
    int32_t width, height, fps_num, fps_den, matrix, mouths;
    uint32_t walk_axes;
    int32_t nodes, segments, stripes;
    int32_t choices; /* CHOICE stripes */
    uint32_t slices;
    int32_t level;   /* level_idc */
    size_t bytes;    /* of the blob */
    size_t bound;    /* lw_atlas_bound */
} lw_atlas_info;
void lw_atlas_describe(const lw_atlas *a, lw_atlas_info *info);
/* The maker's; it lies in the blob. */
const uint8_t *lw_atlas_note(const lw_atlas *a, size_t *bytes);
/* The most bytes that a unit of either framing can have. */
size_t lw_atlas_bound(const lw_atlas *a);
/* The parameter sets as NAL units. They are the atlas's. */
const uint8_t *lw_atlas_sps(const lw_atlas *a, size_t *bytes);
const uint8_t *lw_atlas_pps(const lw_atlas *a, size_t *bytes);
/* AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), for LW_AVCC. Returns its bytes, at most LW_AVCC_BYTES;
 * LW_ENOSPC. */
#define LW_AVCC_BYTES 128
int lw_atlas_avcc(const lw_atlas *a, uint8_t *out, size_t room);

/* 0, or LW_EINVAL: there is no such segment. */
int lw_atlas_segment_at(const lw_atlas *a, int32_t segment, lw_atlas_segment *out);
/* The segment of a node; LW_EINVAL: there is no such node. */
int32_t lw_atlas_segment_of(const lw_atlas *a, int32_t node);
/* 1 or 0; LW_EINVAL: there is no such node. */
int lw_atlas_anchor(const lw_atlas *a, int32_t node);
/* Gives the pose's walk_axes the node's values. 0 or LW_EINVAL. */
int lw_atlas_head(const lw_atlas *a, int32_t node, lw_pose *pose);
/* The variants that a CHOICE stripe has; those are counted from the top, from 0. LW_EINVAL: there is no such choice. */
int32_t lw_atlas_variants(const lw_atlas *a, int32_t choice);
/* The variant that suits the pose best, see lw_atlas_stripe; `mouth` is the image that the avatar would show.
 * LW_EINVAL: there is no such choice or mouth. */
int32_t lw_atlas_choose(const lw_atlas *a, int32_t choice, const lw_pose *pose, int32_t mouth);
/* All of them, into variants[choices]. 0 or LW_EINVAL. */
int lw_atlas_choose_all(const lw_atlas *a, const lw_pose *pose, int32_t mouth, int32_t *variants);
/* 1 where no axis but those of the walk is beyond the table's limits; 0: this pose needs an encoder. */
int lw_atlas_covers(const lw_atlas *a, const lw_pose *pose);

/* ---- stitchers ---- */

enum lw_framing {
    LW_ANNEX_B = 0, /* start codes of four bytes, SPS and PPS before each IDR picture */
    LW_AVCC         /* a length of four bytes, big endian, before each NAL unit; the parameter sets are elsewhere */
};

typedef struct lw_stitcher lw_stitcher;
/* The atlas is kept, and has to outlive it. LW_EINVAL, LW_ENOMEM. */
int lw_stitcher_open(lw_stitcher **out, const lw_atlas *atlas, int32_t framing);
/* The next picture, one access unit: the node with these variants (one for each choice from the top, NULL where there
 * are none). `key` 1: as IDR picture; the first one has to be. Returns its bytes. LW_EINVAL: no such node or variant,
 * `key` away from an anchor, a node that is neither that of the last picture, nor the next of its segment, nor an
 * anchor, or, at the last picture's, another variant that only a change from the node before shows. LW_ESTATE: the first one without `key`. LW_ENOSPC: `room` may be too small; lw_atlas_bound never
 * is. After an error all is as it was. */
int64_t lw_stitcher_unit(lw_stitcher *s, int32_t node, const int32_t *variants, int key, uint8_t *out, size_t room);
/* The next picture is the first one: something else was sent meanwhile. */
void lw_stitcher_reset(lw_stitcher *s);
void lw_stitcher_close(lw_stitcher **s);

#ifdef __cplusplus
}
#endif
#endif
