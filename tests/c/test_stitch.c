/* csrc/h264.c, atlas.c, stitch.c: that what comes out has the slices' bits behind headers that say what they have to,
 * for every alignment and whatever the bits are. tests/core/test_stitch.py lets decoders judge. */
#include "allocations.h"
#include "bits.h"
#include "check.h"

enum { ROWS = 3, WIDTH = 80, HEIGHT = 40, COLUMNS = 5 };
enum { NODES = 6, VARIANTS = 3, SLOTS = 2 + VARIANTS, SLICES = 64, DATA = 1 << 16 };

/* What was stored, to compare with. */
static struct source {
    uint8_t bits[600];
    lw_payload payload;
} sources[SLICES];
static lw_atlas_slice slices[SLICES];
static uint8_t data[DATA];
static uint32_t slice_count;
static uint64_t used;

static uint8_t blob[DATA + 65536], unit[DATA], again[DATA];
static size_t blob_bytes;
static int stored = 1, packed = 1;

/* Random bits, often zeros: those have to be escaped. */
static uint32_t add_slice(int32_t stripe, int32_t type, size_t bit_length)
{
    struct source *s = &sources[slice_count];
    uint32_t zeros = random_u32() % 3;
    memset(s->bits, 0, sizeof s->bits);
    for (size_t i = 0; i < (bit_length + 7) / 8; i++)
        s->bits[i] = (uint8_t)(zeros == 0 ? 0 : zeros == 1 ? random_u32() & random_u32() & 3 : random_u32());
    if (bit_length % 8)
        s->bits[bit_length / 8] &= (uint8_t)(0xff00 >> bit_length % 8);
    s->payload = (lw_payload){s->bits, bit_length, type, random_in(0, 51)};
    int64_t bytes = lw_slice_store(&s->payload, stripe * COLUMNS, data + used, DATA - used);
    stored &= bytes > 0 && (size_t)bytes <= bit_length / 8 * 3 / 2 + 8;
    slices[slice_count] = (lw_atlas_slice){used, (uint32_t)bytes, type, s->payload.qp, stripe};
    used += (uint64_t)bytes;
    return slice_count++;
}

/* Three stripes: a static one, a moving one, a choice. Nodes 0..3 and 4..5; anchors 0, 3 and 4. */
static void make_blob(void)
{
    static uint32_t entries[NODES * SLOTS];
    static lw_atlas_node nodes[NODES];
    static int16_t values[VARIANTS][LW_AXES];
    static int64_t costs[2 * VARIANTS] = {0, 10, 20, 90000, 60000, 0};
    slice_count = 0, used = 0;
    lw_atlas_stripe stripes[ROWS] = {{.kind = LW_STRIPE_STATIC, .rows = 1},
                                     {.kind = LW_STRIPE_MOVING, .rows = 1},
                                     {.kind = LW_STRIPE_CHOICE, .rows = 1, .variants = VARIANTS}};
    for (int v = 0; v < VARIANTS; v++)
        values[v][LW_AXIS_JAW] = (int16_t)(100 * v);
    stripes[0].still = add_slice(0, LW_SLICE_I, 1 + random_u32() % 4000);
    stripes[2].values = values[0], stripes[2].costs = costs, stripes[2].weight[LW_AXIS_JAW] = 1;
    for (int i = 0; i < NODES; i++) {
        int anchor = i == 0 || i == 3 || i == 4;
        nodes[i] = (lw_atlas_node){.anchor = anchor};
        nodes[i].axis[LW_AXIS_HEAD_X] = (int16_t)(1000 * i);
        uint32_t *row = entries + i * SLOTS;
        row[0] = i == 2 ? LW_ATLAS_NONE : add_slice(1, anchor ? LW_SLICE_I : LW_SLICE_P, 1 + random_u32() % 4000);
        row[1] = anchor || i == 2 ? LW_ATLAS_NONE : add_slice(2, LW_SLICE_P, 1 + random_u32() % 4000);
        for (int v = 0; v < VARIANTS; v++)
            row[2 + v] = i == 4 ? entries[2 + v] : add_slice(2, LW_SLICE_I, 1 + random_u32() % 4000);
    }
    entries[4 * SLOTS] = entries[0]; /* both segments begin at rest */
    lw_atlas_segment segments[2] = {{0, 4, 1}, {4, 2, LW_ATLAS_SPEAKING}};
    lw_atlas_plan plan = {.width = WIDTH, .height = HEIGHT, .fps_num = 30000, .fps_den = 1001};
    plan.walk_axes = 1 << LW_AXIS_HEAD_X, plan.mouths = 2, plan.axis_max[LW_AXIS_JAW] = 250;
    plan.stripes = stripes, plan.stripe_count = ROWS, plan.nodes = nodes, plan.node_count = NODES;
    plan.segments = segments, plan.segment_count = 2, plan.entries = entries;
    plan.slices = slices, plan.slice_count = slice_count, plan.data = data, plan.data_bytes = used;
    plan.note = "made for a test", plan.note_bytes = 15;
    int64_t bytes = lw_atlas_pack(&plan, NULL, 0);
    packed &= bytes > 0 && bytes <= (int64_t)sizeof blob &&
              lw_atlas_pack(&plan, blob, (size_t)bytes - 1) == LW_ENOSPC &&
              lw_atlas_pack(&plan, blob, sizeof blob) == bytes;
    blob_bytes = (size_t)bytes;
}

/* ---- a unit, taken apart ---- */

typedef struct found {
    int sets, slices, idr;
    uint32_t source[ROWS]; /* of each stripe, or LW_ATLAS_NONE where it was skipped */
    int right;
} found;

static uint32_t same_as(const lw_payload *p)
{
    for (uint32_t i = 0; i < slice_count; i++) {
        const lw_payload *q = &sources[i].payload;
        if (q->bit_length == p->bit_length && q->qp == p->qp && q->type == p->type &&
            !memcmp(q->bits, p->bits, (p->bit_length + 7) / 8))
            return i;
    }
    return LW_ATLAS_NONE;
}

/* mb_skip_run and nothing else: how many macroblocks, or 0. */
static int32_t skip_run(const lw_payload *p)
{
    uint32_t zeros = 0, value = 0;
    while (zeros < p->bit_length && !(p->bits[zeros / 8] >> (7 - zeros % 8) & 1))
        zeros++;
    if (p->type != LW_SLICE_P || p->bit_length != 2 * zeros + 1)
        return 0;
    for (uint32_t i = zeros; i < p->bit_length; i++)
        value = value << 1 | (p->bits[i / 8] >> (7 - i % 8) & 1);
    return (int32_t)value - 1;
}

static found take_apart(const lw_atlas *a, const uint8_t *unit, size_t n)
{
    found f = {.right = 1};
    size_t at = 0, bytes, sps_bytes, pps_bytes;
    const uint8_t *nal, *sps = lw_atlas_sps(a, &sps_bytes), *pps = lw_atlas_pps(a, &pps_bytes);
    static uint8_t bits[8192];
    int32_t expected = 0, first;
    for (size_t i = 0; i + 2 < n; i++) /* 00 00 02 never, 00 00 00 in start codes only */
        f.right &= unit[i] || unit[i + 1] || (unit[i + 2] != 2 && (unit[i + 2] || (i + 3 < n && unit[i + 3] == 1)));
    while (lw_nal_next(unit, n, &at, &nal, &bytes)) {
        f.right &= nal >= unit + 4 && !nal[-4]; /* four bytes each */
        if ((nal[0] & 31) >= 7) {
            f.sets++;
            continue;
        }
        lw_payload p;
        const char *why = NULL;
        if (lw_slice_read(nal, bytes, sps, sps_bytes, pps, pps_bytes, bits, sizeof bits, &p, &first, &why)) {
            printf("# %s\n", why);
            f.right = 0;
            return f;
        }
        f.idr |= (nal[0] & 31) == 5;
        f.slices++;
        f.right &= first == expected && first % COLUMNS == 0;
        uint32_t source = same_as(&p);
        int32_t mbs = source == LW_ATLAS_NONE ? skip_run(&p) : COLUMNS;
        f.right &= mbs > 0 && mbs % COLUMNS == 0;
        for (int32_t mb = 0; mb < mbs && first / COLUMNS + mb / COLUMNS < ROWS; mb += COLUMNS)
            f.source[(first + mb) / COLUMNS] = source;
        expected += mbs;
    }
    f.right &= expected == ROWS * COLUMNS;
    return f;
}

static void assembles(void)
{
    int right = 1, framed = 1, bounded = 1;
    for (int round = 0; round < 40; round++) {
        make_blob();
        lw_atlas *a;
        lw_stitcher *s, *lengths;
        const char *why;
        if (lw_atlas_open(&a, blob, blob_bytes, &why) || lw_stitcher_open(&s, a, LW_ANNEX_B) ||
            lw_stitcher_open(&lengths, a, LW_AVCC)) {
            CHECK(0, why ? why : "it opens");
            return;
        }
        size_t bound = lw_atlas_bound(a);
        uint8_t *out = malloc(bound), *other = malloc(bound);
        int32_t node = 0;
        for (int i = 0; i < 100; i++) {
            int key = i == 0 || (lw_atlas_anchor(a, node) && random_u32() % 4 == 0);
            int32_t variant = random_in(0, VARIANTS - 1);
            int64_t n = lw_stitcher_unit(s, node, &variant, key, out, bound);
            bounded &= n > 0 && (size_t)n <= bound;
            found f = take_apart(a, out, (size_t)n);
            right &= f.right && f.idr == key && f.sets == 2 * key;
            right &= !key || f.slices == ROWS;
            /* The same with lengths. */
            size_t at = 0, bytes, in = 0;
            const uint8_t *nal;
            int64_t m = lw_stitcher_unit(lengths, node, &variant, key, other, bound);
            while (lw_nal_next(out, (size_t)n, &at, &nal, &bytes)) {
                if ((nal[0] & 31) >= 7)
                    continue;
                uint32_t length = 0;
                for (int k = 0; k < 4; k++)
                    length = length << 8 | other[in + k];
                framed &= length == bytes && !memcmp(other + in + 4, nal, bytes);
                in += 4 + bytes;
            }
            framed &= (int64_t)in == m;
            uint32_t what = random_u32() % 8;
            node = what == 0 ? node : what == 1 || node == 3 ? 4 : node == 5 ? 0 : node + 1;
        }
        free(out);
        free(other);
        lw_stitcher_close(&s);
        lw_stitcher_close(&lengths);
        lw_atlas_close(&a);
    }
    CHECK(stored && packed, "slices are stored within their bound, and packed");
    CHECK(right, "units have the slices' bits, or skip runs, for every macroblock once");
    CHECK(framed, "both framings have the same NAL units");
    CHECK(bounded, "no unit is larger than its bound");
}

/* What a slice header says of the picture; of one that is no IDR picture idr_id is 0. */
static void numbers_of(const uint8_t *nal, size_t n, uint32_t *frame_num, uint32_t *idr_id)
{
    uint8_t rbsp[24];
    size_t bytes = 0;
    for (size_t i = 1; i < n && bytes < sizeof rbsp; i++)
        if (i < 3 || nal[i] != 3 || nal[i - 1] || nal[i - 2])
            rbsp[bytes++] = nal[i];
    lw_bits b = {.data = rbsp, .end = 8 * bytes};
    lw_bits_ue(&b);
    lw_bits_ue(&b);
    lw_bits_ue(&b);
    *frame_num = lw_bits_u(&b, 8);
    *idr_id = (nal[0] & 31) == 5 ? lw_bits_ue(&b) : 0;
}

/* No decoder can be trusted with this: FFmpeg fills a gap and says nothing. */
static void counts(void)
{
    make_blob();
    lw_atlas *a;
    lw_stitcher *s;
    lw_atlas_open(&a, blob, blob_bytes, NULL);
    lw_stitcher_open(&s, a, LW_ANNEX_B);
    int numbered = 1, alternate = 1, same = 1;
    uint32_t expected = 0, last_idr = 0;
    for (int i = 0; i < 1500; i++) {
        int key = i == 0 || i == 700 || i > 1490;
        int32_t variant = i % VARIANTS;
        int64_t n = lw_stitcher_unit(s, i % 4 ? 0 : 3, &variant, key, unit, sizeof unit);
        size_t at = 0, bytes;
        const uint8_t *nal;
        uint32_t idr = 0;
        expected = key ? 0 : (expected + 1) % 256;
        for (int slice = 0; lw_nal_next(unit, (size_t)n, &at, &nal, &bytes);) {
            uint32_t frame_num, idr_id;
            if ((nal[0] & 31) >= 7)
                continue;
            numbers_of(nal, bytes, &frame_num, &idr_id);
            numbered &= frame_num == expected;
            same &= nal[0] >> 5 == 3 && (!slice++ || idr == idr_id);
            idr = idr_id;
        }
        alternate &= key ? idr != last_idr : !idr;
        last_idr = key ? idr : last_idr;
    }
    CHECK(numbered, "frame_num counts, wraps at 256, and begins again at an IDR picture");
    CHECK(alternate, "an IDR picture has another idr_pic_id than the one before");
    CHECK(same, "all slices of a picture say the same");
    lw_stitcher_close(&s);
    lw_atlas_close(&a);
}

static void takes_what_changes(void)
{
    make_blob();
    lw_atlas *a;
    lw_stitcher *s;
    lw_atlas_open(&a, blob, blob_bytes, NULL);
    lw_stitcher_open(&s, a, LW_ANNEX_B);
    const struct {
        int32_t node, variant;
        int key;
        int fixed, moving, choice; /* 1: taken; choice: 2, a P slice */
    } steps[] = {
        {0, 0, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 1}, {0, 1, 1, 1, 1, 1},
        {1, 1, 0, 0, 1, 1}, {1, 1, 0, 0, 0, 0}, {1, 2, 0, 0, 0, 1}, {2, 2, 0, 0, 0, 1},
        {3, 2, 0, 0, 1, 1}, {4, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 0, 0}, {4, 0, 0, 0, 0, 0},
        {5, 0, 0, 0, 1, 2}, {3, 1, 1, 1, 1, 1}, /* the chain of variant 0: */
        {0, 0, 0, 0, 1, 1}, {1, 0, 0, 0, 1, 2}, {1, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0},
        {3, 0, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1}, {1, 0, 0, 0, 1, 2}, {1, 1, 0, 0, 0, 1},
        {1, 0, 0, 0, 0, 1}, {1, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 0},
    };
    int right = 1;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        int64_t n = lw_stitcher_unit(s, steps[i].node, &steps[i].variant, steps[i].key, unit, sizeof unit);
        found f = take_apart(a, unit, n > 0 ? (size_t)n : 0);
        int ok = n > 0 && f.right;
        ok &= (f.source[0] != LW_ATLAS_NONE) == steps[i].fixed && (f.source[1] != LW_ATLAS_NONE) == steps[i].moving;
        int choice = f.source[2] == LW_ATLAS_NONE ? 0 : sources[f.source[2]].payload.type == LW_SLICE_P ? 2 : 1;
        ok &= choice == steps[i].choice;
        if (!ok)
            printf("# step %d\n", (int)i);
        right &= ok;
    }
    CHECK(right, "only what has changed is sent; equal slices count as unchanged; skipped neighbours share a slice");
    lw_stitcher_close(&s);
    lw_atlas_close(&a);
}

static int64_t next(lw_stitcher *s, int32_t node, int32_t variant, int key)
{
    return lw_stitcher_unit(s, node, &variant, key, unit, sizeof unit);
}

static void refuses(void)
{
    make_blob();
    lw_atlas *a;
    lw_stitcher *s, *fresh;
    lw_atlas_open(&a, blob, blob_bytes, NULL);
    lw_stitcher_open(&s, a, LW_ANNEX_B);
    lw_stitcher_open(&fresh, a, LW_ANNEX_B);
    int32_t variant = 0;
    CHECK(next(s, 0, 0, 0) == LW_ESTATE && next(s, 1, 0, 0) == LW_ESTATE && next(s, 1, 0, 1) == LW_EINVAL,
          "the first picture is an IDR picture of an anchor");
    next(s, 0, 0, 1);
    next(s, 1, 0, 0);
    CHECK(next(s, -1, 0, 0) == LW_EINVAL && next(s, NODES, 0, 0) == LW_EINVAL, "no such node");
    CHECK(next(s, 2, VARIANTS, 0) == LW_EINVAL && next(s, 2, -1, 0) == LW_EINVAL &&
              lw_stitcher_unit(s, 2, NULL, 0, unit, sizeof unit) == LW_EINVAL,
          "no such variant");
    CHECK(next(s, 5, 0, 0) == LW_EINVAL && next(s, 2, 0, 1) == LW_EINVAL, "no way there, no IDR picture there");
    CHECK(lw_stitcher_unit(s, 2, &variant, 0, unit, 3) == LW_ENOSPC, "no room");
    next(fresh, 0, 0, 1);
    next(fresh, 1, 0, 0);
    int64_t n = lw_stitcher_unit(fresh, 2, &variant, 0, again, sizeof again);
    CHECK(n > 0 && next(s, 2, 0, 0) == n && !memcmp(unit, again, (size_t)n), "after an error all is as it was");
    lw_stitcher_reset(s);
    CHECK(next(s, 3, 0, 0) == LW_ESTATE && next(s, 3, 0, 1) > 0, "after a reset the next picture is the first");
    lw_stitcher_close(&s);
    lw_stitcher_close(&s);
    lw_stitcher_close(&fresh);
    lw_atlas_close(&a);
    lw_atlas_close(&a);
    CHECK(lw_stitcher_open(&s, NULL, 0) == LW_EINVAL && !s, "no atlas");
}

static void answers(void)
{
    make_blob();
    lw_atlas *a;
    lw_atlas_open(&a, blob, blob_bytes, NULL);
    lw_pose pose = {0};
    int32_t chosen;
    lw_atlas_segment segment;
    size_t bytes;
    CHECK(lw_atlas_choose(a, 0, &pose, 0) == 0 && lw_atlas_choose(a, 0, &pose, 1) == 2, "the mouth's image decides");
    pose.axis[LW_AXIS_JAW] = 100;
    CHECK(lw_atlas_choose(a, 0, &pose, 0) == 1 && !lw_atlas_choose_all(a, &pose, 1, &chosen) && chosen == 2,
          "the pose decides");
    pose.axis[LW_AXIS_JAW] = 50; /* costs 0 + 2500 and 10 + 2500 */
    CHECK(lw_atlas_choose(a, 0, &pose, 0) == 0, "both count");
    CHECK(lw_atlas_choose(a, 1, &pose, 0) == LW_EINVAL && lw_atlas_choose(a, 0, &pose, 2) == LW_EINVAL &&
              lw_atlas_choose(a, 0, &pose, -1) == LW_EINVAL,
          "no such choice, no such mouth");
    CHECK(lw_atlas_covers(a, &pose) == 1, "covered");
    pose.axis[LW_AXIS_HEAD_X] = -9; /* the walk's own */
    CHECK(lw_atlas_covers(a, &pose) == 1, "the walk's axes do not count");
    pose.axis[LW_AXIS_JAW] = 251;
    CHECK(lw_atlas_covers(a, &pose) == 0, "beyond the table");
    CHECK(!lw_atlas_head(a, 2, &pose) && pose.axis[LW_AXIS_HEAD_X] == 2000 && pose.axis[LW_AXIS_JAW] == 251 &&
              lw_atlas_head(a, NODES, &pose) == LW_EINVAL,
          "a node sets the walk's axes");
    CHECK(!lw_atlas_segment_at(a, 1, &segment) && segment.first == 4 && segment.count == 2 &&
              segment.modes == LW_ATLAS_SPEAKING && lw_atlas_segment_at(a, 2, &segment) == LW_EINVAL &&
              lw_atlas_segment_of(a, 3) == 0 && lw_atlas_segment_of(a, 5) == 1,
          "segments");
    CHECK(!memcmp(lw_atlas_note(a, &bytes), "made for a test", 15) && bytes == 15, "the note");
    lw_atlas_close(&a);
}

/* Every byte of the index, one after the other, to other values: refused with a reason, or walked without harm. */
static void survives(void)
{
    make_blob();
    int reasons = 1;
    size_t index = blob_bytes < 4096 ? blob_bytes : 4096;
    for (size_t at = 0; at < index; at++) {
        uint8_t before = blob[at], *copy = malloc(blob_bytes);
        static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
        blob[at] = values[random_u32() % 5];
        memcpy(copy, blob, blob_bytes);
        blob[at] = before;
        const char *why = NULL;
        lw_atlas *a;
        int rc = lw_atlas_open(&a, copy, blob_bytes, &why);
        reasons &= rc == 0 ? !why && a : rc == LW_EDATA && why && !a;
        if (!rc) {
            lw_stitcher *s;
            size_t bound = lw_atlas_bound(a);
            lw_atlas_info info;
            lw_atlas_describe(a, &info);
            int32_t variants[LW_ATLAS_CHOICES] = {0};
            uint8_t *out = malloc(bound);
            lw_stitcher_open(&s, a, LW_ANNEX_B);
            for (int32_t node = 0; node < info.nodes && node < 20; node++)
                lw_stitcher_unit(s, node, variants, node == 0, out, bound);
            free(out);
            lw_stitcher_close(&s);
            lw_atlas_close(&a);
        }
        free(copy);
    }
    const char *why = NULL;
    lw_atlas *a;
    CHECK(reasons, "damaged blobs are refused with a reason, or do no harm");
    CHECK(lw_atlas_open(&a, blob, blob_bytes - 1, &why) == LW_EDATA && strstr(why, "cut off") &&
              lw_atlas_open(&a, "LWATLAS", 8, &why) == LW_EDATA,
          "cut off");
}

/* One stripe of motion alone, two variants, three nodes, an anchor first: with these entries it opens, or does not. */
static int opens(const uint32_t entries[3 * 5])
{
    static uint8_t made[4096];
    static int16_t values[2][LW_AXES];
    lw_atlas_slice two[2] = {{0, 8, LW_SLICE_I, 26, 0}, {8, 8, LW_SLICE_P, 26, 0}};
    lw_atlas_stripe stripe = {.kind = LW_STRIPE_CHOICE, .rows = 1, .variants = 2, .refresh = 1, .values = values[0]};
    lw_atlas_node nodes[3] = {{.anchor = 1}};
    lw_atlas_segment segment = {0, 3, 1};
    lw_atlas_plan plan = {.width = 16, .height = 16, .fps_num = 25, .fps_den = 1, .stripes = &stripe, .stripe_count = 1};
    plan.nodes = nodes, plan.node_count = 3, plan.segments = &segment, plan.segment_count = 1, plan.entries = entries;
    plan.slices = two, plan.slice_count = 2, plan.data = data, plan.data_bytes = 16;
    int64_t bytes = lw_atlas_pack(&plan, made, sizeof made);
    lw_atlas *a;
    int rc = lw_atlas_open(&a, made, bytes > 0 ? (size_t)bytes : 0, NULL);
    lw_atlas_close(&a);
    return rc == 0;
}

static void checks_changes(void)
{
    enum { I = 0, P = 1 };
    const uint32_t none = LW_ATLAS_NONE;
    uint32_t entries[3 * 5] = {none, I, I, none, none, /* its chain, its variants, changes to them */
                               P, none, none, P, P, P, I, I, P, none};
    CHECK(opens(entries), "variants of their own may be missing where there are changes");
    static const struct {
        int at;
        uint32_t value;
    } wrong[] = {{1, LW_ATLAS_NONE}, {2, P}, {5, I}, {8, LW_ATLAS_NONE}, {11, 2}, {12, LW_ATLAS_NONE}, {13, 2}, {10, 2}};
    int refused = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t before = entries[wrong[i].at];
        entries[wrong[i].at] = wrong[i].value;
        refused &= !opens(entries);
        entries[wrong[i].at] = before;
    }
    entries[5] = none, entries[11] = P;
    CHECK(refused && opens(entries), "each node shows each variant, whatever was before");
}

/* Two macroblocks, the second one in the place of a skipped one: Intra_16x16, DC, nothing coded. */
static void patches_boxes(void)
{
    const uint8_t skip = 0x60, grey = 0x27; /* mb_skip_run 2; mb_type 3, chroma mode 0, mb_qp_delta 0, no coefficient */
    lw_payload around = {&skip, 3, LW_SLICE_P, 30}, box = {&grey, 8, LW_SLICE_I, 26}, made;
    lw_slice_box where = {2, 1, 1, 0, 1, 1};
    uint8_t bits[LW_PATCH_BYTES(3, 8, 1)];
    const char *why = NULL;
    /* 010: one is skipped; 0001001: mb_type 8; 1, 1, 1. */
    CHECK(!lw_slice_patch(&around, NULL, &box, &where, bits, sizeof bits, &made, &why) && made.bit_length == 13 &&
              bits[0] == 0x42 && bits[1] == 0x78 && made.type == LW_SLICE_P && made.qp == 26,
          "a box goes into a slice");
    where.left = 0; /* 1, 0001001, 1, 1, 1, 010 */
    CHECK(!lw_slice_patch(&around, NULL, &box, &where, bits, sizeof bits, &made, &why) && made.bit_length == 14 &&
              bits[0] == 0x89 && bits[1] == 0xe8,
          "and skipped ones may follow");
    CHECK(lw_slice_patch(&around, NULL, &box, &where, bits, sizeof bits - 1, &made, &why) == LW_ENOSPC, "no room");
    where.width = 3;
    CHECK(lw_slice_patch(&around, NULL, &box, &where, bits, sizeof bits, &made, &why) == LW_EINVAL, "a box that sticks out");
}

int main(void)
{
    checks_changes();
    patches_boxes();
    assembles();
    counts();
    takes_what_changes();
    refuses();
    answers();
    survives();
#ifdef COUNTING
    make_blob();
    lw_atlas *a;
    lw_stitcher *s;
    lw_atlas_open(&a, blob, blob_bytes, NULL);
    lw_stitcher_open(&s, a, LW_ANNEX_B);
    int before = allocations;
    for (int32_t i = 0; i < 1000; i++)
        next(s, i % 4, i % 3, i % 4 == 0);
    CHECK(allocations == before, "nothing is allocated after open");
    lw_stitcher_close(&s);
    lw_atlas_close(&a);
#endif
    return failures != 0;
}
