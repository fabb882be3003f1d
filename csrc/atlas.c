/* Atlases: the blob, written and checked, and what is asked of it. Its layout is in stitch.h.
 *
 * A blob may come from a file that anybody wrote. Whatever the stitcher will touch is checked once, when it is opened:
 * that each part lies in the blob, that each entry names a slice of its stripe and of a type that may stand there, and
 * that each slice lies in the data. What the slices show stays unread. */
#include <stdlib.h>

#include "atlas.h"

enum { MAX_NODES = 1 << 20, MAX_SLICES = 1 << 26, AXES = 16 };

/* Where the numbers of the header stand. */
enum {
    H_VERSION = 8, H_WALK = 12, H_BYTES = 16, H_WIDTH = 24, H_HEIGHT = 28, H_FPS_NUM = 32, H_FPS_DEN = 36,
    H_MATRIX = 40, H_MOUTHS = 44, H_STRIPES = 48, H_NODES = 52, H_SEGMENTS = 56, H_SLICES = 60, H_NOTE_BYTES = 64,
    H_MIN = 72, H_MAX = 104, H_PARTS = 136, H_DATA_BYTES = 184, H_NOTE = 192
};
static const char MAGIC[8] = "LWATLAS";

/* ---- writing ---- */

static void store32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
}

static void store64(uint8_t *p, uint64_t value)
{
    memcpy(p, &value, 8);
}

/* Parts of a blob, one behind the other. With `out` NULL they are only measured. */
typedef struct parts {
    uint8_t *out;
    uint64_t used;
} parts;

static uint64_t part(parts *p, uint64_t bytes)
{
    uint64_t at = (p->used + 7) & ~(uint64_t)7;
    if (p->out)
        memset(p->out + p->used, 0, at - p->used);
    p->used = at + bytes;
    return at;
}

static uint64_t copied(parts *p, const void *from, uint64_t bytes)
{
    uint64_t at = part(p, bytes);
    if (p->out && bytes)
        memcpy(p->out + at, from, bytes);
    return at;
}

static void pack_axes(uint8_t *to, const int16_t axis[LW_AXES])
{
    memset(to, 0, 2 * AXES);
    memcpy(to, axis, 2 * LW_AXES);
}

static void pack_stripe(parts *p, uint64_t at, const lw_atlas_stripe *s, int32_t mouths)
{
    uint64_t values = 0, costs = 0, variants = (uint64_t)s->variants;
    if (s->values) {
        values = part(p, variants * 2 * AXES);
        for (uint64_t v = 0; p->out && v < variants; v++)
            pack_axes(p->out + values + v * 2 * AXES, s->values + v * LW_AXES);
    }
    if (s->costs)
        costs = copied(p, s->costs, variants * (uint64_t)mouths * 8);
    if (!p->out)
        return;
    uint8_t *to = p->out + at;
    memset(to, 0, LW_STRIPE_BYTES);
    store32(to, (uint32_t)s->kind);
    store32(to + 4, (uint32_t)s->rows);
    store32(to + 8, s->kind == LW_STRIPE_CHOICE ? (uint32_t)s->refresh : s->still);
    store32(to + 12, (uint32_t)s->variants);
    store64(to + 16, values);
    store64(to + 24, costs);
    memcpy(to + 32, s->weight, sizeof s->weight);
}

static void pack_nodes(uint8_t *to, const lw_atlas_plan *plan)
{
    for (int32_t i = 0; i < plan->segment_count; i++) {
        const lw_atlas_segment *s = &plan->segments[i];
        for (int32_t k = 0; k < s->count && s->first + k < plan->node_count; k++) {
            uint8_t *node = to + (size_t)(s->first + k) * LW_NODE_BYTES;
            store32(node + 32, (uint32_t)i);
        }
    }
    for (int32_t i = 0; i < plan->node_count; i++, to += LW_NODE_BYTES) {
        pack_axes(to, plan->nodes[i].axis);
        store32(to + 36, plan->nodes[i].anchor != 0);
    }
}

static void pack_segments(uint8_t *to, const lw_atlas_plan *plan)
{
    for (int32_t i = 0; i < plan->segment_count; i++, to += LW_SEGMENT_BYTES) {
        const lw_atlas_segment *s = &plan->segments[i];
        store32(to, (uint32_t)s->first);
        store32(to + 4, (uint32_t)s->count);
        store32(to + 8, s->modes);
        store32(to + 12, 0);
    }
}

static void pack_slices(uint8_t *to, const lw_atlas_plan *plan)
{
    for (uint32_t i = 0; i < plan->slice_count; i++, to += LW_SLICE_BYTES) {
        const lw_atlas_slice *s = &plan->slices[i];
        store64(to, s->at);
        store32(to + 8, s->bytes);
        to[12] = (uint8_t)s->type;
        to[13] = (uint8_t)s->qp;
        to[14] = (uint8_t)s->stripe;
        to[15] = 0;
    }
}

static void pack_header(uint8_t *to, const lw_atlas_plan *plan, uint64_t bytes)
{
    const struct {
        int at;
        uint32_t value;
    } numbers[] = {{H_VERSION, LW_ATLAS_VERSION},
                   {H_WALK, plan->walk_axes},
                   {H_WIDTH, (uint32_t)plan->width},
                   {H_HEIGHT, (uint32_t)plan->height},
                   {H_FPS_NUM, (uint32_t)plan->fps_num},
                   {H_FPS_DEN, (uint32_t)plan->fps_den},
                   {H_MATRIX, (uint32_t)plan->matrix},
                   {H_MOUTHS, (uint32_t)plan->mouths},
                   {H_STRIPES, (uint32_t)plan->stripe_count},
                   {H_NODES, (uint32_t)plan->node_count},
                   {H_SEGMENTS, (uint32_t)plan->segment_count},
                   {H_SLICES, plan->slice_count},
                   {H_NOTE_BYTES, plan->note_bytes}};
    memcpy(to, MAGIC, sizeof MAGIC);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        store32(to + numbers[i].at, numbers[i].value);
    store64(to + H_BYTES, bytes);
    store64(to + H_DATA_BYTES, plan->data_bytes);
    pack_axes(to + H_MIN, plan->axis_min);
    pack_axes(to + H_MAX, plan->axis_max);
}

static int cannot_be_packed(const lw_atlas_plan *plan)
{
    if (!plan || plan->stripe_count < 1 || plan->stripe_count > LW_ATLAS_STRIPES || !plan->stripes ||
        plan->node_count < 1 || plan->node_count > MAX_NODES || !plan->nodes || plan->segment_count < 1 ||
        plan->segment_count > plan->node_count || !plan->segments || plan->slice_count > MAX_SLICES ||
        (plan->slice_count && !plan->slices) || plan->mouths < 0 || plan->mouths > 65536 ||
        (plan->data_bytes && !plan->data) || plan->data_bytes > (uint64_t)1 << 48 || (plan->note_bytes && !plan->note))
        return 1;
    for (int32_t i = 0; i < plan->stripe_count; i++)
        if (plan->stripes[i].variants < 0 || plan->stripes[i].variants > LW_ATLAS_VARIANTS)
            return 1;
    for (int32_t i = 0; i < plan->segment_count; i++)
        if (plan->segments[i].first < 0 || plan->segments[i].first >= plan->node_count || plan->segments[i].count < 1)
            return 1;
    return 0;
}

static uint64_t slots_of(const lw_atlas_plan *plan)
{
    uint64_t slots = 0;
    for (int32_t i = 0; i < plan->stripe_count; i++)
        slots += lw_stripe_entries(plan->stripes[i].kind, plan->stripes[i].variants, plan->stripes[i].refresh);
    return slots;
}

/* Lays all parts out in `out`, or, where that is NULL, only measures them. */
static uint64_t pack_parts(const lw_atlas_plan *plan, uint8_t *out)
{
    parts p = {.out = out};
    uint64_t at[6], stripes, note;
    part(&p, LW_HEADER_BYTES);
    if (out)
        memset(out, 0, LW_HEADER_BYTES);
    at[0] = stripes = part(&p, (uint64_t)plan->stripe_count * LW_STRIPE_BYTES);
    for (int32_t i = 0; i < plan->stripe_count; i++)
        pack_stripe(&p, stripes + (uint64_t)i * LW_STRIPE_BYTES, &plan->stripes[i], plan->mouths);
    at[1] = part(&p, (uint64_t)plan->node_count * LW_NODE_BYTES);
    at[2] = part(&p, (uint64_t)plan->segment_count * LW_SEGMENT_BYTES);
    at[3] = copied(&p, plan->entries, slots_of(plan) * (uint64_t)plan->node_count * 4);
    at[4] = part(&p, (uint64_t)plan->slice_count * LW_SLICE_BYTES);
    at[5] = copied(&p, plan->data, plan->data_bytes);
    note = copied(&p, plan->note, plan->note_bytes);
    if (out) {
        memset(out + at[1], 0, (size_t)plan->node_count * LW_NODE_BYTES);
        pack_nodes(out + at[1], plan);
        pack_segments(out + at[2], plan);
        pack_slices(out + at[4], plan);
        pack_header(out, plan, p.used);
        for (int i = 0; i < 6; i++)
            store64(out + H_PARTS + 8 * i, at[i]);
        store64(out + H_NOTE, note);
    }
    return p.used;
}

int64_t lw_atlas_pack(const lw_atlas_plan *plan, void *out, size_t room)
{
    if (cannot_be_packed(plan) || (slots_of(plan) && !plan->entries))
        return LW_EINVAL;
    uint64_t bytes = pack_parts(plan, NULL);
    if (!out)
        return (int64_t)bytes;
    if (room < bytes)
        return LW_ENOSPC;
    pack_parts(plan, out);
    return (int64_t)bytes;
}

/* ---- opening ---- */

typedef struct blob {
    const uint8_t *data;
    uint64_t bytes;
} blob;

/* `count` records of `size` bytes at an offset; NULL where they do not lie in the blob. `size` > 0. */
static const uint8_t *records(const blob *b, uint64_t at, uint64_t count, uint64_t size)
{
    return at <= b->bytes && count <= (b->bytes - at) / size ? b->data + at : NULL;
}

static const char *open_header(lw_atlas *a, const blob *b)
{
    const uint8_t *h = b->data;
    if (b->bytes < LW_HEADER_BYTES || memcmp(h, MAGIC, sizeof MAGIC))
        return "no atlas";
    if (lw_load32(h + H_VERSION) != LW_ATLAS_VERSION)
        return "an atlas of another version";
    if (lw_load64(h + H_BYTES) != b->bytes)
        return "cut off, or longer than it says";
    lw_atlas_info *i = &a->info;
    i->width = (int32_t)lw_load32(h + H_WIDTH), i->height = (int32_t)lw_load32(h + H_HEIGHT);
    i->fps_num = (int32_t)lw_load32(h + H_FPS_NUM), i->fps_den = (int32_t)lw_load32(h + H_FPS_DEN);
    i->matrix = (int32_t)lw_load32(h + H_MATRIX), i->mouths = (int32_t)lw_load32(h + H_MOUTHS);
    i->walk_axes = lw_load32(h + H_WALK);
    i->stripes = (int32_t)lw_load32(h + H_STRIPES), i->nodes = (int32_t)lw_load32(h + H_NODES);
    i->segments = (int32_t)lw_load32(h + H_SEGMENTS), i->slices = lw_load32(h + H_SLICES);
    i->bytes = (size_t)b->bytes;
    if (lw_size_check(i->width, i->height) || lw_bad_fps(i->fps_num, i->fps_den) ||
        (i->matrix != LW_BT709 && i->matrix != LW_BT601) || i->walk_axes >> LW_AXES)
        return "size, frame rate, matrix or axes out of range";
    if (i->stripes < 1 || i->stripes > LW_ATLAS_STRIPES || i->nodes < 1 || i->nodes > MAX_NODES || i->segments < 1 ||
        i->segments > i->nodes || i->slices > MAX_SLICES || i->mouths < 0 || i->mouths > 65536)
        return "a number of parts out of range";
    memcpy(a->axis_min, h + H_MIN, sizeof a->axis_min);
    memcpy(a->axis_max, h + H_MAX, sizeof a->axis_max);
    return NULL;
}

/* A CHOICE stripe's tables. */
static const char *open_choice(lw_atlas *a, const blob *b, lw_stripe *s, const uint8_t *from)
{
    uint64_t values = lw_load64(from + 16), costs = lw_load64(from + 24);
    s->variants = (int32_t)lw_load32(from + 12);
    s->refresh = (int32_t)lw_load32(from + 8);
    if (s->refresh < 0 || s->refresh > LW_ATLAS_REFRESH)
        return "a choice's refresh out of range";
    if (a->info.choices == LW_ATLAS_CHOICES || s->variants < 1 || s->variants > LW_ATLAS_VARIANTS)
        return "too many choices, or variants of one";
    a->choice[a->info.choices++] = (int32_t)(s - a->stripe);
    s->values = values ? records(b, values, (uint64_t)s->variants, 2 * AXES) : NULL;
    s->costs = costs ? records(b, costs, (uint64_t)s->variants * (uint64_t)a->info.mouths, 8) : NULL;
    if ((values && !s->values) || (costs && !s->costs))
        return "a choice's tables lie outside";
    for (int axis = 0; axis < LW_AXES; axis++) {
        uint32_t weight = lw_load32(from + 32 + 4 * axis);
        if (weight > 1 << 20)
            return "a weight out of range";
        if (weight && s->values) {
            s->axis[s->used] = (uint8_t)axis;
            s->weight[s->used++] = weight;
        }
    }
    return NULL;
}

static const char *open_stripes(lw_atlas *a, const blob *b)
{
    const uint8_t *from = records(b, lw_load64(b->data + H_PARTS), (uint64_t)a->info.stripes, LW_STRIPE_BYTES);
    int32_t columns = (a->info.width + 15) / 16, left = (a->info.height + 15) / 16, first = 0;
    if (!from)
        return "the stripes lie outside";
    for (int32_t i = 0; i < a->info.stripes; i++, from += LW_STRIPE_BYTES) {
        lw_stripe *s = &a->stripe[i];
        uint32_t kind = lw_load32(from), rows = lw_load32(from + 4);
        if (kind > LW_STRIPE_CHOICE || rows < 1 || rows > (uint32_t)left)
            return "a stripe's kind or rows out of range";
        left -= (int32_t)rows;
        s->kind = (int32_t)kind;
        s->first_mb = first;
        s->mbs = (int32_t)rows * columns;
        first += s->mbs;
        if (kind == LW_STRIPE_STATIC) {
            uint32_t still = lw_load32(from + 8);
            if (still >= a->info.slices)
                return "a static stripe without a slice";
            s->slot = (int32_t)still;
            continue;
        }
        s->slot = (int32_t)a->slots;
        const char *wrong = kind == LW_STRIPE_CHOICE ? open_choice(a, b, s, from) : NULL;
        if (wrong)
            return wrong;
        a->slots += lw_stripe_entries(s->kind, s->variants, s->refresh);
    }
    return left ? "the stripes are not as high as the picture" : NULL;
}

static const char *open_parts(lw_atlas *a, const blob *b)
{
    const uint8_t *at = b->data + H_PARTS;
    a->nodes = records(b, lw_load64(at + 8), (uint64_t)a->info.nodes, LW_NODE_BYTES);
    a->segments = records(b, lw_load64(at + 16), (uint64_t)a->info.segments, LW_SEGMENT_BYTES);
    a->entries = records(b, lw_load64(at + 24), (uint64_t)a->info.nodes * a->slots, 4);
    a->slices = records(b, lw_load64(at + 32), a->info.slices, LW_SLICE_BYTES);
    a->data_bytes = lw_load64(b->data + H_DATA_BYTES);
    a->data = records(b, lw_load64(at + 40), a->data_bytes, 1);
    a->note_bytes = lw_load32(b->data + H_NOTE_BYTES);
    a->note = records(b, lw_load64(b->data + H_NOTE), a->note_bytes, 1);
    return a->nodes && a->segments && a->entries && a->slices && a->data && a->note ? NULL : "a part lies outside";
}

/* Every slice; and how many bytes the largest of each stripe has. */
static const char *check_slices(const lw_atlas *a, uint32_t largest[LW_ATLAS_STRIPES])
{
    for (uint32_t i = 0; i < a->info.slices; i++) {
        lw_atlas_slice s = lw_atlas_slice_at(a, i);
        if (!s.bytes || s.at > a->data_bytes || s.bytes > a->data_bytes - s.at)
            return "a slice lies outside";
        if ((s.type != LW_SLICE_P && s.type != LW_SLICE_I) || s.qp > 51 || s.stripe >= a->info.stripes)
            return "a slice's type, QP or stripe out of range";
        if (s.bytes > largest[s.stripe])
            largest[s.stripe] = s.bytes;
    }
    return NULL;
}

static const char *check_segments(const lw_atlas *a)
{
    uint32_t next = 0, nodes = (uint32_t)a->info.nodes;
    for (int32_t i = 0; i < a->info.segments; i++) {
        lw_atlas_segment s;
        lw_atlas_segment_at(a, i, &s);
        if ((uint32_t)s.first != next || s.count < 1 || (uint32_t)s.count > nodes - next)
            return "the segments are not one behind the other";
        if (!lw_atlas_node_anchor(a, s.first))
            return "a segment does not begin with an anchor";
        for (; next < (uint32_t)(s.first + s.count); next++)
            if (lw_load32(a->nodes + (size_t)next * LW_NODE_BYTES + 32) != (uint32_t)i ||
                lw_load32(a->nodes + (size_t)next * LW_NODE_BYTES + 36) > 1)
                return "a node is not of its segment";
    }
    return next == nodes ? NULL : "the segments are not one behind the other";
}

static int is_slice(const lw_atlas *a, uint32_t slice, int32_t stripe, int only_i)
{
    if (slice >= a->info.slices)
        return 0;
    lw_atlas_slice s = lw_atlas_slice_at(a, slice);
    return s.stripe == stripe && (s.type == LW_SLICE_I || !only_i);
}

/* Of a CHOICE whose chains are of motion alone. */
static int is_free_node(const lw_atlas *a, int32_t stripe, int32_t node)
{
    const lw_stripe *s = &a->stripe[stripe];
    uint32_t step = lw_atlas_entry(a, node, s->slot);
    int anchor = lw_atlas_node_anchor(a, node);
    int needed = anchor || (step != LW_ATLAS_NONE && is_slice(a, step, stripe, 1));
    int right = step == LW_ATLAS_NONE || is_slice(a, step, stripe, 0);
    for (int32_t v = 0; v < s->variants; v++) {
        uint32_t own = lw_atlas_entry(a, node, s->slot + 1 + v), change = LW_ATLAS_NONE;
        if (s->variants > 1)
            change = lw_atlas_entry(a, node, s->slot + 1 + s->variants + v);
        needed |= change == LW_ATLAS_NONE && s->variants > 1;
        right &= own == LW_ATLAS_NONE ? !needed : is_slice(a, own, stripe, anchor);
        right &= change == LW_ATLAS_NONE || is_slice(a, change, stripe, 0);
    }
    return right;
}

/* Of any other stripe that is not STATIC. */
static int is_node_of(const lw_atlas *a, int32_t stripe, int32_t node)
{
    const lw_stripe *s = &a->stripe[stripe];
    uint32_t step = lw_atlas_entry(a, node, s->slot); /* from the node before */
    int right;
    if (!lw_atlas_node_anchor(a, node))
        right = step == LW_ATLAS_NONE || is_slice(a, step, stripe, 0);
    else if (s->kind == LW_STRIPE_CHOICE)
        right = step == LW_ATLAS_NONE;
    else
        right = is_slice(a, step, stripe, 1);
    for (int32_t v = 0; v < s->variants; v++)
        right &= is_slice(a, lw_atlas_entry(a, node, s->slot + 1 + v), stripe, 1);
    return right;
}

static const char *check_entries(const lw_atlas *a)
{
    for (int32_t i = 0; i < a->info.stripes; i++) {
        const lw_stripe *s = &a->stripe[i];
        if (s->kind == LW_STRIPE_STATIC && !is_slice(a, (uint32_t)s->slot, i, 1))
            return "a static stripe without an I slice of its own";
        for (int32_t node = 0; s->kind != LW_STRIPE_STATIC && node < a->info.nodes; node++)
            if (!(s->refresh ? is_free_node(a, i, node) : is_node_of(a, i, node)))
                return "an entry is no slice of its stripe, or not of a type that may be there";
    }
    return NULL;
}

static const char *open_blob(lw_atlas *a, const blob *b)
{
    const char *wrong;
    uint32_t largest[LW_ATLAS_STRIPES] = {0};
    if ((wrong = open_header(a, b)) || (wrong = open_stripes(a, b)) || (wrong = open_parts(a, b)) ||
        (wrong = check_slices(a, largest)) || (wrong = check_segments(a)) || (wrong = check_entries(a)))
        return wrong;
    lw_h264_format format = {a->info.width, a->info.height, a->info.fps_num, a->info.fps_den, a->info.matrix};
    a->info.level = lw_h264_level(&format);
    a->sps_bytes = lw_h264_sps(&format, a->sps);
    a->pps_bytes = lw_h264_pps(a->pps);
    a->info.bound = 8 + a->sps_bytes + a->pps_bytes;
    for (int32_t i = 0; i < a->info.stripes; i++)
        a->info.bound += 4 + LW_H264_HEADER + largest[i];
    return NULL;
}

int lw_atlas_open(lw_atlas **out, const void *data, size_t n, const char **why)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!data)
        return LW_EINVAL;
    lw_atlas *a = calloc(1, sizeof *a);
    if (!a)
        return LW_ENOMEM;
    const char *wrong = open_blob(a, &(blob){.data = data, .bytes = n});
    if (why)
        *why = wrong;
    if (wrong) {
        free(a);
        return LW_EDATA;
    }
    *out = a;
    return 0;
}

void lw_atlas_close(lw_atlas **a)
{
    if (!a)
        return;
    free(*a);
    *a = NULL;
}

/* ---- what is asked ---- */

void lw_atlas_describe(const lw_atlas *a, lw_atlas_info *info)
{
    *info = a->info;
}

const uint8_t *lw_atlas_note(const lw_atlas *a, size_t *bytes)
{
    *bytes = a->note_bytes;
    return a->note;
}

size_t lw_atlas_bound(const lw_atlas *a)
{
    return a->info.bound;
}

const uint8_t *lw_atlas_sps(const lw_atlas *a, size_t *bytes)
{
    *bytes = a->sps_bytes;
    return a->sps;
}

const uint8_t *lw_atlas_pps(const lw_atlas *a, size_t *bytes)
{
    *bytes = a->pps_bytes;
    return a->pps;
}

int lw_atlas_avcc(const lw_atlas *a, uint8_t *out, size_t room)
{
    size_t bytes = 11 + a->sps_bytes + a->pps_bytes;
    if (room < bytes)
        return LW_ENOSPC;
    *out++ = 1;
    memcpy(out, a->sps + 1, 3); /* profile, constraints, level */
    out += 3;
    *out++ = 0xff; /* lengths of four bytes */
    *out++ = 0xe1; /* one SPS */
    *out++ = 0;
    *out++ = (uint8_t)a->sps_bytes;
    memcpy(out, a->sps, a->sps_bytes);
    out += a->sps_bytes;
    *out++ = 1;
    *out++ = 0;
    *out++ = (uint8_t)a->pps_bytes;
    memcpy(out, a->pps, a->pps_bytes);
    return (int)bytes;
}

static int is_node(const lw_atlas *a, int32_t node)
{
    return node >= 0 && node < a->info.nodes;
}

static const lw_stripe *choice_at(const lw_atlas *a, int32_t choice)
{
    return choice >= 0 && choice < a->info.choices ? &a->stripe[a->choice[choice]] : NULL;
}

int lw_atlas_segment_at(const lw_atlas *a, int32_t segment, lw_atlas_segment *out)
{
    if (segment < 0 || segment >= a->info.segments)
        return LW_EINVAL;
    const uint8_t *p = a->segments + (size_t)segment * LW_SEGMENT_BYTES;
    *out = (lw_atlas_segment){(int32_t)lw_load32(p), (int32_t)lw_load32(p + 4), lw_load32(p + 8)};
    return 0;
}

int32_t lw_atlas_segment_of(const lw_atlas *a, int32_t node)
{
    return is_node(a, node) ? (int32_t)lw_load32(a->nodes + (size_t)node * LW_NODE_BYTES + 32) : LW_EINVAL;
}

int lw_atlas_anchor(const lw_atlas *a, int32_t node)
{
    return is_node(a, node) ? lw_atlas_node_anchor(a, node) : LW_EINVAL;
}

int lw_atlas_head(const lw_atlas *a, int32_t node, lw_pose *pose)
{
    int16_t axis[LW_AXES];
    if (!is_node(a, node))
        return LW_EINVAL;
    memcpy(axis, a->nodes + (size_t)node * LW_NODE_BYTES, sizeof axis);
    for (int i = 0; i < LW_AXES; i++)
        if (a->info.walk_axes >> i & 1)
            pose->axis[i] = axis[i];
    return 0;
}

int32_t lw_atlas_variants(const lw_atlas *a, int32_t choice)
{
    const lw_stripe *s = choice_at(a, choice);
    return s ? s->variants : LW_EINVAL;
}

/* Unsigned, so that it cannot overflow into what is undefined, whatever the table has. */
static uint64_t cost(const lw_stripe *s, int32_t variant, const lw_pose *pose, int32_t mouth)
{
    uint64_t sum = s->costs ? lw_load64(s->costs + 8 * ((size_t)mouth * (size_t)s->variants + (size_t)variant)) : 0;
    for (int i = 0; i < s->used; i++) {
        int16_t value;
        memcpy(&value, s->values + 2 * ((size_t)variant * AXES + s->axis[i]), 2);
        int64_t d = (int64_t)pose->axis[s->axis[i]] - value;
        sum += s->weight[i] * (uint64_t)(d * d);
    }
    return sum;
}

int32_t lw_atlas_choose(const lw_atlas *a, int32_t choice, const lw_pose *pose, int32_t mouth)
{
    const lw_stripe *s = choice_at(a, choice);
    if (!s || (s->costs && (mouth < 0 || mouth >= a->info.mouths)))
        return LW_EINVAL;
    int32_t best = 0;
    uint64_t least = UINT64_MAX;
    for (int32_t v = 0; v < s->variants; v++) {
        uint64_t c = cost(s, v, pose, mouth);
        if (c < least)
            least = c, best = v;
    }
    return best;
}

int lw_atlas_choose_all(const lw_atlas *a, const lw_pose *pose, int32_t mouth, int32_t *variants)
{
    for (int32_t i = 0; i < a->info.choices; i++) {
        int32_t v = lw_atlas_choose(a, i, pose, mouth);
        if (v < 0)
            return LW_EINVAL;
        variants[i] = v;
    }
    return 0;
}

int lw_atlas_covers(const lw_atlas *a, const lw_pose *pose)
{
    for (int i = 0; i < LW_AXES; i++)
        if (!(a->info.walk_axes >> i & 1) && (pose->axis[i] < a->axis_min[i] || pose->axis[i] > a->axis_max[i]))
            return 0;
    return 1;
}
