/* Atlases and slices of anybody's: a blob that was packed and then changed at random opens or is refused, and whatever
 * opens can be asked and walked without a byte beyond its memory; slices of any bits, by parameter sets of any bits, are
 * read or refused; and what is read, stored and stitched reads as the same bits; slices of any bits are put together to
 * a patch, or refused.
 *
 * The first byte says which of these. Of a blob the rest is changes: place (2 bytes), value, and then the walk. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(ok)                                                     \
    do {                                                             \
        if (!(ok)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok); \
            abort();                                                 \
        }                                                            \
    } while (0)

static void *exact(const void *bytes, size_t n) /* so that the sanitizer sees a byte read too far */
{
    void *copy = malloc(n ? n : 1);
    MUST(copy);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

/* ---- blobs ---- */

enum { COLUMNS = 3, VARIANTS = 4, FREE = 2, NODES = 5, SLOTS = 2 + VARIANTS + 1 + 2 * FREE, ROOM = 8192 };
enum { STRIPES = 4, FIRST_FREE = 2 + NODES + VARIANTS, SLICES = FIRST_FREE + 1 + 2 * FREE };

static size_t make_blob(uint8_t out[ROOM])
{
    static uint8_t stored[4096];
    lw_atlas_slice slices[SLICES];
    uint32_t count = 0, entries[NODES * SLOTS];
    uint64_t used = 0;
    lw_atlas_node nodes[NODES] = {{.anchor = 1}, {.anchor = 0}, {.anchor = 0}, {.anchor = 1}, {.anchor = 0}};
    int16_t values[VARIANTS][LW_AXES] = {{0}, {1}, {2}, {3}};
    int64_t costs[2 * VARIANTS] = {0, 1, 2, 3, 3, 2, 1, 0};
    lw_atlas_stripe stripes[STRIPES] = {{.kind = LW_STRIPE_STATIC, .rows = 1},
                                        {.kind = LW_STRIPE_MOVING, .rows = 2},
                                        {.kind = LW_STRIPE_CHOICE, .rows = 1, .variants = VARIANTS},
                                        {.kind = LW_STRIPE_CHOICE, .rows = 1, .variants = FREE, .refresh = 2}};
    stripes[2].values = values[0], stripes[2].costs = costs, stripes[3].values = values[0];
    static const int32_t first_mb[STRIPES] = {0, COLUMNS, 3 * COLUMNS, 4 * COLUMNS};
    stripes[2].weight[0] = stripes[2].weight[14] = stripes[3].weight[0] = 5;
    for (int i = 0; i < SLICES; i++) {
        int32_t stripe = i == 0 ? 0 : i <= NODES ? 1 : i < FIRST_FREE ? 2 : 3;
        int p_slice = stripe == 1 ? !nodes[i - 1].anchor : i == FIRST_FREE - 1 || i >= FIRST_FREE + FREE; /* chains */
        uint8_t bits[40] = {0};
        bits[i] = (uint8_t)(1 + i);
        lw_payload p = {bits, 200 + (size_t)i, p_slice ? LW_SLICE_P : LW_SLICE_I, 20 + i};
        int64_t n = lw_slice_store(&p, first_mb[stripe], stored + used, sizeof stored - used);
        MUST(n > 0);
        slices[count++] = (lw_atlas_slice){used, (uint32_t)n, p.type, p.qp, stripe};
        used += (uint64_t)n;
    }
    for (int i = 0; i < NODES; i++) {
        entries[i * SLOTS] = i == 2 ? LW_ATLAS_NONE : (uint32_t)(1 + i);
        for (int v = 0; v < VARIANTS; v++)
            entries[i * SLOTS + 2 + v] = (uint32_t)(1 + NODES + v);
        entries[i * SLOTS + 1] = nodes[i].anchor ? LW_ATLAS_NONE : 1 + NODES + VARIANTS;
        uint32_t *own = entries + i * SLOTS + 2 + VARIANTS;
        own[0] = i % 2 ? FIRST_FREE + 2 * FREE : LW_ATLAS_NONE;
        for (uint32_t v = 0; v < FREE; v++) {
            own[1 + v] = i == 1 || i == 2 ? LW_ATLAS_NONE : FIRST_FREE + v;
            own[1 + FREE + v] = i == 4 ? LW_ATLAS_NONE : FIRST_FREE + FREE + v;
        }
    }
    lw_atlas_segment segments[2] = {{0, 3, 1}, {3, 2, 2}};
    lw_atlas_plan plan = {.width = 16 * COLUMNS, .height = 76, .fps_num = 25, .fps_den = 1, .walk_axes = 3, .mouths = 2};
    plan.stripes = stripes, plan.stripe_count = STRIPES, plan.nodes = nodes, plan.node_count = NODES, plan.segments = segments;
    plan.segment_count = 2, plan.entries = entries, plan.slices = slices, plan.slice_count = count;
    plan.data = stored, plan.data_bytes = used, plan.note = "note", plan.note_bytes = 4;
    int64_t bytes = lw_atlas_pack(&plan, out, ROOM);
    MUST(bytes > 0);
    return (size_t)bytes;
}

static void walk(const lw_atlas *a, const uint8_t *steps, size_t n)
{
    lw_stitcher *s;
    lw_atlas_info info;
    lw_pose pose = {0};
    lw_atlas_segment segment;
    int32_t variants[LW_ATLAS_CHOICES] = {0};
    size_t bound = lw_atlas_bound(a), bytes;
    uint8_t *unit = malloc(bound), record[LW_AVCC_BYTES];
    uint64_t sum = 0;
    MUST(unit);
    lw_atlas_describe(a, &info);
    const uint8_t *note = lw_atlas_note(a, &bytes);
    for (size_t i = 0; i < bytes; i++)
        sum += note[i];
    MUST(sum <= 255 * bytes);
    MUST(lw_atlas_avcc(a, record, sizeof record) > 0);
    for (int framing = 0; framing < 2; framing++) {
        MUST(!lw_stitcher_open(&s, a, framing));
        MUST(lw_stitcher_unit(s, 0, variants, 1, unit, bound) > 0);
        for (size_t i = 0; i + 4 <= n; i += 4) {
            pose.axis[steps[i] % LW_AXES] = (int16_t)(steps[i + 1] << 8 | steps[i + 2]);
            int mouth = steps[i + 3] % 4;
            int ok = lw_atlas_choose_all(a, &pose, mouth, variants) == 0;
            MUST(ok || mouth >= info.mouths);
            for (int32_t k = 0; ok && k < info.choices; k++)
                MUST(variants[k] >= 0 && variants[k] < lw_atlas_variants(a, k));
            lw_atlas_covers(a, &pose);
            int32_t node = (steps[i + 3] >> 2) % (info.nodes + 1);
            int64_t got = lw_stitcher_unit(s, node, variants, steps[i] & 1, unit, bound);
            MUST(got > 0 || got == LW_EINVAL);
            MUST(got <= (int64_t)bound);
            if (node < info.nodes) {
                MUST(!lw_atlas_head(a, node, &pose) && lw_atlas_anchor(a, node) >= 0);
                MUST(!lw_atlas_segment_at(a, lw_atlas_segment_of(a, node), &segment));
                MUST(segment.first <= node && node < segment.first + segment.count);
            }
            if (steps[i] == 0xff) {
                lw_stitcher_reset(s);
                MUST(lw_stitcher_unit(s, 0, variants, 0, unit, bound) == LW_ESTATE);
                MUST(lw_stitcher_unit(s, 0, variants, 1, unit, bound) > 0);
            }
        }
        lw_stitcher_close(&s);
    }
    free(unit);
}

static void blobs(const uint8_t *data, size_t size)
{
    static uint8_t made[ROOM];
    static size_t made_bytes;
    if (!made_bytes)
        made_bytes = make_blob(made);
    uint8_t *blob = exact(made, made_bytes);
    uint64_t stripes;
    memcpy(&stripes, blob + 136, 8);
    blob[stripes + 3 * 96 + 8] = size ? 1 + (data[0] >> 3 & 3) : 1; /* the free choice's refresh */
    size_t changes = size ? data[0] % 8 : 0, at = 1;
    for (; changes && at + 3 <= size; changes--, at += 3)
        blob[(data[at] << 8 | data[at + 1]) % made_bytes] = data[at + 2];
    const char *why = NULL;
    lw_atlas *a;
    int rc = lw_atlas_open(&a, blob, made_bytes, &why);
    MUST(rc ? rc == LW_EDATA && why && !a : a && !why);
    if (a && at < size)
        walk(a, data + at, size - at);
    lw_atlas_close(&a);
    free(blob);
}

/* ---- slices ---- */

/* Through an atlas of one stripe and back. */
static void round_trip(const lw_payload *p)
{
    size_t room = p->bit_length / 8 * 3 / 2 + 8, sps_bytes, pps_bytes, nal_bytes, at = 0;
    uint8_t *stored = malloc(room);
    MUST(stored);
    int64_t n = lw_slice_store(p, 0, stored, room);
    MUST(n > 0 && (size_t)n <= room);
    lw_atlas_slice slice = {0, (uint32_t)n, LW_SLICE_I, p->qp, 0};
    lw_atlas_plan plan = {.width = 16, .height = 16, .fps_num = 25, .fps_den = 1};
    plan.data = stored, plan.data_bytes = (uint64_t)n;
    plan.stripes = &(lw_atlas_stripe){.rows = 1}, plan.stripe_count = 1, plan.slices = &slice, plan.slice_count = 1;
    plan.nodes = &(lw_atlas_node){.anchor = 1}, plan.node_count = 1;
    plan.segments = &(lw_atlas_segment){0, 1, 1}, plan.segment_count = 1;
    int64_t bytes = lw_atlas_pack(&plan, NULL, 0);
    uint8_t *blob = malloc((size_t)bytes);
    MUST(blob && lw_atlas_pack(&plan, blob, (size_t)bytes) == bytes);
    lw_atlas *a;
    lw_stitcher *s;
    MUST(!lw_atlas_open(&a, blob, (size_t)bytes, NULL) && !lw_stitcher_open(&s, a, LW_ANNEX_B));
    size_t bound = lw_atlas_bound(a);
    uint8_t *unit = malloc(bound), *bits = malloc(bound);
    MUST(unit && bits);
    int64_t got = lw_stitcher_unit(s, 0, NULL, 1, unit, bound);
    MUST(got > 0);
    const uint8_t *nal = NULL, *sps = lw_atlas_sps(a, &sps_bytes), *pps = lw_atlas_pps(a, &pps_bytes);
    for (int i = 0; i < 3; i++)
        MUST(lw_nal_next(unit, (size_t)got, &at, &nal, &nal_bytes));
    MUST(nal + nal_bytes == unit + got);
    lw_payload again;
    int32_t first_mb;
    MUST(!lw_slice_read(nal, nal_bytes, sps, sps_bytes, pps, pps_bytes, bits, bound, &again, &first_mb, NULL));
    MUST(first_mb == 0 && again.bit_length == p->bit_length && again.qp == p->qp && again.type == LW_SLICE_I);
    MUST(!memcmp(again.bits, p->bits, (p->bit_length + 7) / 8));
    lw_stitcher_close(&s);
    lw_atlas_close(&a);
    free(stored);
    free(blob);
    free(unit);
    free(bits);
}

/* The first *n bytes of what is left of the input, taken off it. */
static uint8_t *take(const uint8_t **data, size_t *size, size_t *n)
{
    *n = *n < *size ? *n : *size;
    uint8_t *taken = exact(*data, *n);
    *data += *n, *size -= *n;
    return taken;
}

/* By the parameter sets of an atlas, or by any. */
static void slices(const uint8_t *data, size_t size, int good_sets)
{
    static lw_atlas *atlas;
    static uint8_t blob[ROOM];
    if (!atlas)
        MUST(!lw_atlas_open(&atlas, blob, make_blob(blob), NULL));
    if (size < 2)
        return;
    size_t sps_bytes = data[0] % 64, pps_bytes = data[1] % 64;
    data += 2, size -= 2;
    uint8_t *sps, *pps;
    if (good_sets) {
        const uint8_t *first = lw_atlas_sps(atlas, &sps_bytes), *second = lw_atlas_pps(atlas, &pps_bytes);
        sps = exact(first, sps_bytes), pps = exact(second, pps_bytes);
    } else {
        sps = take(&data, &size, &sps_bytes);
        pps = take(&data, &size, &pps_bytes);
    }
    uint8_t *nal = exact(data, size), *bits = malloc(size ? size : 1);
    const char *why = NULL;
    lw_payload p;
    int rc = lw_slice_read(nal, size, sps, sps_bytes, pps, pps_bytes, bits, size, &p, NULL, &why);
    MUST(rc ? rc == LW_EDATA && why : !why);
    if (!rc) {
        MUST(p.bit_length > 0 && (p.bit_length + 7) / 8 <= size);
        p.type = LW_SLICE_I;
        round_trip(&p);
    }
    const uint8_t *found;
    size_t at = 0, bytes, before = 0;
    while (lw_nal_next(nal, size, &at, &found, &bytes)) {
        MUST(found >= nal + before + 3 && found + bytes <= nal + at && at <= size);
        before = at;
    }
    free(sps);
    free(pps);
    free(nal);
    free(bits);
}

/* ---- patches ---- */

/* The first bytes are the sizes, the P slice's bytes among them, then come both slices. */
static void patches(const uint8_t *data, size_t size)
{
    if (size < 8)
        return;
    lw_slice_box where = {1 + data[0] % 6, 1 + data[1] % 6, data[2] % 4, data[3] % 4, 1 + data[4] % 4, 1 + data[5] % 4};
    size_t n = 1 + data[6];
    int cut = data[7] % 8;
    data += 8, size -= 8;
    uint8_t *first = take(&data, &size, &n), *second = exact(data, size);
    lw_payload around = {first, 8 * n, LW_SLICE_P, 20}, box = {second, 8 * size, LW_SLICE_I, 30}, made = {0};
    if (n && size) {
        around.bit_length -= (size_t)cut, box.bit_length -= (size_t)cut;
        size_t mbs = (size_t)(where.columns * where.rows), boxed = (size_t)(where.width * where.height);
        int16_t *levels = calloc(mbs, LW_RESIDUAL_LEVELS * sizeof *levels);
        MUST(levels);
        for (size_t i = 0; i < size; i++) /* levels of all sizes, those of the box as its slice, at places of it */
            levels[(i * 37 + second[i]) % (mbs * LW_RESIDUAL_LEVELS)] = (int16_t)((second[i] - 128) * (1 << second[i] % 6));
        lw_residual residual = {levels, 25}, *added = cut % 2 ? &residual : NULL;
        size_t room = LW_PATCH_BYTES(around.bit_length, box.bit_length, boxed) + (added ? LW_RESIDUAL_BYTES * mbs : 0);
        uint8_t *bits = malloc(room);
        const char *why = NULL;
        MUST(bits);
        int rc = lw_slice_patch(&around, added, &box, &where, bits, room, &made, &why);
        MUST(rc == 0 || rc == LW_EINVAL || (rc == LW_EDATA && why));
        MUST(rc || (made.bit_length && (made.bit_length + 7) / 8 <= room && made.type == LW_SLICE_P && made.qp == 30));
        MUST(rc == LW_EINVAL || lw_slice_patch(&around, added, &box, &where, bits, room - 1, &made, &why) == LW_ENOSPC);
        free(levels);
        free(bits);
    }
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] % 8 == 4)
        patches(data + 1, size - 1);
    else if (data[0] % 4 == 0)
        blobs(data + 1, size - 1);
    else if (data[0] % 4 == 3) {
        lw_payload p = {data + 1, 8 * (size - 1), LW_SLICE_I, data[0] % 52};
        if (size > 1)
            round_trip(&p);
    } else
        slices(data + 1, size - 1, data[0] % 4 == 1);
    return 0;
}
