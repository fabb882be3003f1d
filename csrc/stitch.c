/* The stitcher: for each stripe the slice that it takes, or none; then slices behind fresh headers, and one skip slice
 * for stripes that stay as they are and lie together.
 *
 * A skipped stripe shows what it showed: P_Skip takes its vector from neighbours in its own slice (ITU-T H.264,
 * 8.4.1.1), there is none above the first row and none to the left of the first column, so that every vector is 0. */
#include <stdlib.h>

#include "atlas.h"

struct lw_stitcher {
    const lw_atlas *atlas;
    int32_t framing;
    int32_t started;    /* a picture was sent since open or reset */
    int32_t node;       /* of the last picture */
    uint32_t frame_num; /* of the last picture */
    int32_t idr_id;     /* for the next IDR picture: two in a row have different ones (7.4.3) */
    uint32_t shown[LW_ATLAS_STRIPES]; /* the slice that made each stripe what it shows */
    uint64_t chained;   /* a bit for each stripe that has shown variant 0 since an anchor; a MOVING one always does */
    int32_t variant[LW_ATLAS_STRIPES]; /* that each CHOICE shows, */
    int32_t age[LW_ATLAS_STRIPES];     /* and P slices since its I slice */
};

int lw_stitcher_open(lw_stitcher **out, const lw_atlas *atlas, int32_t framing)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!atlas || (framing != LW_ANNEX_B && framing != LW_AVCC))
        return LW_EINVAL;
    lw_stitcher *s = calloc(1, sizeof *s);
    if (!s)
        return LW_ENOMEM;
    s->atlas = atlas;
    s->framing = framing;
    s->idr_id = LW_H264_IDR_ID;
    *out = s;
    return 0;
}

void lw_stitcher_reset(lw_stitcher *s)
{
    s->started = 0;
}

void lw_stitcher_close(lw_stitcher **s)
{
    if (!s)
        return;
    free(*s);
    *s = NULL;
}

/* ---- what a picture takes ---- */

/* 0, or the reason why the walk may not go there. */
static int check_walk(const lw_stitcher *s, int32_t node, int key)
{
    const lw_atlas *a = s->atlas;
    if (node < 0 || node >= a->info.nodes)
        return LW_EINVAL;
    if (lw_atlas_node_anchor(a, node))
        return key || s->started ? 0 : LW_ESTATE;
    if (key)
        return LW_EINVAL;
    if (!s->started)
        return LW_ESTATE;
    /* A node that is no anchor has one before it in its segment, which begins with one. */
    return node == s->node || node == s->node + 1 ? 0 : LW_EINVAL;
}

typedef struct plan {
    uint32_t picks[LW_ATLAS_STRIPES];        /* the slice that each stripe takes, or NONE */
    lw_atlas_slice slices[LW_ATLAS_STRIPES]; /* those that are taken */
    uint64_t chained;                        /* afterwards, */
    int32_t variant[LW_ATLAS_STRIPES], age[LW_ATLAS_STRIPES]; /* these, too */
} plan;

/* The slice that a CHOICE takes whose P slices say motion alone, into *slice, or NONE. LW_EINVAL: none shows that
 * variant now. */
static int pick_moved(const lw_stitcher *s, int32_t stripe, int32_t node, int32_t variant, int key, uint32_t *slice,
                      int32_t *age)
{
    const lw_atlas *a = s->atlas;
    const lw_stripe *st = &a->stripe[stripe];
    uint32_t own = lw_atlas_entry(a, node, st->slot + 1 + variant), step = lw_atlas_entry(a, node, st->slot);
    int stays = node == s->node, same = variant == s->variant[stripe];
    int goes_on = node == s->node + 1 && lw_atlas_segment_of(a, node) == lw_atlas_segment_of(a, s->node);
    uint32_t change = st->variants > 1 ? lw_atlas_entry(a, node, st->slot + 1 + st->variants + variant) : LW_ATLAS_NONE;
    if (!key && !stays && goes_on) {
        int anchor = lw_atlas_node_anchor(a, node), only = !same && change == LW_ATLAS_NONE;
        int due = step != LW_ATLAS_NONE && (*age >= st->refresh || lw_atlas_slice_at(a, step).type == LW_SLICE_I);
        if (own == LW_ATLAS_NONE || (anchor && !due && !only)) {
            *age += step != LW_ATLAS_NONE;
            *slice = same ? step : change;
            return 0;
        }
    } else if (!key && stays && (same || own == LW_ATLAS_NONE)) {
        if (!same && step != LW_ATLAS_NONE)
            return LW_EINVAL; /* its change would move what has moved already */
        *slice = same ? LW_ATLAS_NONE : change;
        return 0;
    }
    *age = 0;
    *slice = own == s->shown[stripe] && !key ? LW_ATLAS_NONE : own;
    return 0;
}

/* The slice that a stripe takes, or NONE. `variant`: 0 but of a CHOICE. */
static uint32_t pick(const lw_stitcher *s, int32_t stripe, int32_t node, int32_t variant, int key, uint64_t *chained)
{
    const lw_stripe *st = &s->atlas->stripe[stripe];
    if (st->kind == LW_STRIPE_STATIC)
        return key ? (uint32_t)st->slot : LW_ATLAS_NONE;
    int anchor = lw_atlas_node_anchor(s->atlas, node), choice = st->kind == LW_STRIPE_CHOICE;
    int chain = variant == 0 && (anchor || s->chained >> stripe & 1);
    *chained |= (uint64_t)chain << stripe;
    if (chain && !anchor && node == s->node)
        return LW_ATLAS_NONE; /* its step has been taken */
    int32_t entry = !choice || (chain && !anchor) ? 0 : 1 + variant; /* a step, or what the node has by itself */
    uint32_t slice = lw_atlas_entry(s->atlas, node, st->slot + entry);
    if (key || slice == LW_ATLAS_NONE)
        return slice;
    /* An I slice shows what it shows; the same P slice twice is two steps. */
    int same = slice == s->shown[stripe] && lw_atlas_slice_at(s->atlas, slice).type == LW_SLICE_I;
    return same ? LW_ATLAS_NONE : slice;
}

/* Returns the most bytes that the unit can have, or LW_EINVAL. */
static int64_t pick_all(const lw_stitcher *s, int32_t node, const int32_t *variants, int key, plan *p)
{
    const lw_atlas *a = s->atlas;
    int64_t most = key ? 8 + (int64_t)(a->sps_bytes + a->pps_bytes) : 0;
    int32_t choice = 0;
    p->chained = 0;
    for (int32_t i = 0; i < a->info.stripes; i++) {
        int32_t variant = 0;
        if (a->stripe[i].kind == LW_STRIPE_CHOICE) {
            variant = variants ? variants[choice++] : -1;
            if (variant < 0 || variant >= a->stripe[i].variants)
                return LW_EINVAL;
        }
        p->variant[i] = variant;
        p->age[i] = s->age[i];
        if (!a->stripe[i].refresh)
            p->picks[i] = pick(s, i, node, variant, key, &p->chained);
        else if (pick_moved(s, i, node, variant, key, &p->picks[i], &p->age[i]))
            return LW_EINVAL;
        most += 4 + LW_H264_HEADER;
        if (p->picks[i] != LW_ATLAS_NONE) {
            p->slices[i] = lw_atlas_slice_at(a, p->picks[i]);
            most += p->slices[i].bytes;
        }
    }
    return most;
}

/* ---- writing it ---- */

typedef struct unit {
    uint8_t *to;
    int32_t framing;
    uint32_t frame_num;
    int32_t idr_id;
} unit;

/* What stands before a NAL unit that goes up to `end`. */
static void frame_nal(uint8_t *at, const uint8_t *end, int32_t framing)
{
    uint32_t n = framing == LW_AVCC ? (uint32_t)(end - at - 4) : 1;
    at[0] = (uint8_t)(n >> 24), at[1] = (uint8_t)(n >> 16), at[2] = (uint8_t)(n >> 8), at[3] = (uint8_t)n;
}

static void put_set(unit *u, const uint8_t *set, size_t bytes)
{
    frame_nal(u->to, u->to + 4 + bytes, u->framing);
    memcpy(u->to + 4, set, bytes);
    u->to += 4 + bytes;
}

static lw_put begin_slice(const unit *u, uint8_t header[LW_H264_HEADER], int32_t first_mb, int32_t type, int32_t qp)
{
    lw_put put = {.out = header};
    lw_h264_slice slice = {(uint32_t)first_mb, type, qp, u->frame_num, u->idr_id};
    lw_h264_header(&put, &slice);
    return put;
}

static void put_slice(unit *u, const lw_stripe *st, const lw_atlas_slice *slice, const uint8_t *data)
{
    uint8_t header[LW_H264_HEADER], *nal = u->to;
    lw_put put = begin_slice(u, header, st->first_mb, slice->type, slice->qp);
    uint8_t *to = nal + 4 + lw_h264_escape(nal + 4, header, (size_t)(put.out - header), 0);
    memcpy(to, data, slice->bytes);
    to[0] |= (uint8_t)((put.bits & ((1u << put.count) - 1)) << (8 - put.count)); /* the header's last bits */
    u->to = to + slice->bytes;
    frame_nal(nal, u->to, u->framing);
}

static void put_skip(unit *u, int32_t first_mb, int32_t mbs)
{
    uint8_t header[LW_H264_HEADER], *nal = u->to;
    lw_put put = begin_slice(u, header, first_mb, LW_SLICE_P, 26);
    lw_put_ue(&put, (uint32_t)mbs); /* mb_skip_run */
    lw_put_end(&put);
    u->to = nal + 4 + lw_h264_escape(nal + 4, header, (size_t)(put.out - header), 0);
    frame_nal(nal, u->to, u->framing);
}

int64_t lw_stitcher_unit(lw_stitcher *s, int32_t node, const int32_t *variants, int key, uint8_t *out, size_t room)
{
    const lw_atlas *a = s->atlas;
    plan p;
    int wrong = check_walk(s, node, key);
    if (wrong)
        return wrong;
    int64_t most = pick_all(s, node, variants, key, &p);
    if (most < 0)
        return most;
    if (!out || room < (size_t)most)
        return LW_ENOSPC;

    unit u = {.to = out, .framing = s->framing, .idr_id = key ? s->idr_id : 0};
    u.frame_num = key ? 0 : (s->frame_num + 1) % LW_H264_FRAME_NUMS;
    if (key && s->framing == LW_ANNEX_B) {
        put_set(&u, a->sps, a->sps_bytes);
        put_set(&u, a->pps, a->pps_bytes);
    }
    for (int32_t i = 0; i < a->info.stripes;) {
        if (p.picks[i] != LW_ATLAS_NONE) {
            put_slice(&u, &a->stripe[i], &p.slices[i], a->data + p.slices[i].at);
            s->shown[i] = p.picks[i];
            i++;
            continue;
        }
        int32_t first = i, mbs = 0;
        for (; i < a->info.stripes && p.picks[i] == LW_ATLAS_NONE; i++)
            mbs += a->stripe[i].mbs;
        put_skip(&u, a->stripe[first].first_mb, mbs);
    }
    s->started = 1;
    s->node = node;
    s->chained = p.chained;
    memcpy(s->variant, p.variant, sizeof s->variant);
    memcpy(s->age, p.age, sizeof s->age);
    s->frame_num = u.frame_num;
    if (key)
        s->idr_id ^= LW_H264_IDR_ID ^ (LW_H264_IDR_ID + 1);
    return u.to - out;
}
