/* The walk over an atlas's nodes, and what a performer makes of it: units that follow on each other, pictures where there are
 * none, and the same head in both. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "lipwire/lipwire.h"
#include "walk.h"

#define W 64
#define H 48
#define COLUMNS (W / 16)
#define LENGTH 24 /* nodes of a segment */
#define SEGMENTS 4
#define NODES (SEGMENTS * LENGTH)
#define ANCHOR_EVERY 8
#define SLICES (1 + 2 * NODES + 2)
#define STEP 1200 /* of an axis, from node to node at most; the walk adds steps of 1500 of its own */

/* ---- an avatar and its atlas ---- */

static lw_avatar *avatar;
static lw_atlas *atlas;
static uint8_t blob[1 << 16];

static void make_avatar(void)
{
    static uint8_t back[W * H * 4], mouths[2][16 * 8 * 4];
    static int16_t coords[2] = {0, 8000}, visemes[LW_VISEMES] = {[10] = 8000, [11] = 8000, [12] = 8000, [13] = 8000, [14] = 8000};
    memset(back, 255, sizeof back);
    memset(mouths[1], 90, sizeof mouths[1]);
    lw_image images[3] = {{back, W, H}, {mouths[0], 16, 8}, {mouths[1], 16, 8}};
    lw_layer mouth = {.first_image = 1, .image_count = 2, .select = LW_SELECT_MOUTH, .x8 = 190, .y8 = 160};
    mouth.kx8[LW_AXIS_HEAD_X] = 40;
    lw_avatar_config config = {.width = W, .height = H, .images = images, .image_count = 3, .layers = &mouth, .layer_count = 1,
                               .mouth_dims = 1, .mouth_count = 2, .mouth_coords = coords, .viseme_coords = visemes};
    if (!CHECK(lw_avatar_open(&avatar, &config) == 0, "avatar"))
        exit(1);
}

/* A row of macroblocks of one grey, or one that is skipped. */
static void add_slice(lw_atlas_plan *plan, lw_atlas_slice *slices, uint8_t *data, int32_t row, int32_t type)
{
    static const uint8_t grey[COLUMNS] = {0x27, 0x27, 0x27, 0x27}, skipped[1] = {0x28}; /* Intra_16x16; mb_skip_run 4 */
    lw_payload payload = {.bits = type == LW_SLICE_I ? grey : skipped, .bit_length = type == LW_SLICE_I ? 8 * COLUMNS : 5,
                          .type = type, .qp = 20 + (int32_t)(plan->slice_count % 20)};
    int64_t bytes = lw_slice_store(&payload, row * COLUMNS, data + plan->data_bytes, 64);
    slices[plan->slice_count++] = (lw_atlas_slice){.at = plan->data_bytes, .bytes = (uint32_t)bytes, .type = type,
                                                   .qp = payload.qp, .stripe = row};
    plan->data_bytes += (uint64_t)bytes;
}

/* Where the head is at a node: out to one side and back, each segment another way. */
static void place(lw_atlas_node *node, int32_t segment, int32_t at)
{
    int32_t out = at < LENGTH / 2 ? at : LENGTH - 1 - at;
    node->axis[LW_AXIS_HEAD_X] = (int16_t)(out * (segment % 2 ? STEP : -STEP));
    node->axis[LW_AXIS_HEAD_Y] = (int16_t)(segment > 1 ? out * 500 : 0);
    node->axis[LW_AXIS_HEAD_TURN] = (int16_t)((node->axis[LW_AXIS_HEAD_X] + 32767) / 2);
    node->anchor = at % ANCHOR_EVERY == 0;
}

static void make_atlas(void)
{
    static lw_atlas_slice slices[SLICES];
    static lw_atlas_node nodes[NODES];
    static uint32_t entries[NODES * 4];
    static uint8_t data[SLICES * 64];
    static const int16_t values[2][LW_AXES] = {{0}};
    static const int64_t costs[2][2] = {{0, 1}, {1, 0}};
    lw_atlas_segment segments[SEGMENTS];
    lw_atlas_stripe stripes[3] = {
        {.kind = LW_STRIPE_STATIC, .rows = 1},
        {.kind = LW_STRIPE_CHOICE, .rows = 1, .variants = 2, .values = values[0], .costs = costs[0]},
        {.kind = LW_STRIPE_MOVING, .rows = 1}};
    lw_atlas_plan plan = {.width = W, .height = H, .fps_num = 25, .fps_den = 1, .mouths = 2, .stripes = stripes, .stripe_count = 3,
                          .nodes = nodes, .node_count = NODES, .segments = segments, .segment_count = SEGMENTS,
                          .entries = entries, .slices = slices, .data = data,
                          .walk_axes = 1u << LW_AXIS_HEAD_X | 1u << LW_AXIS_HEAD_Y | 1u << LW_AXIS_HEAD_TURN};
    for (int i = 0; i < LW_AXES; i++) {
        int expresses = i == LW_AXIS_HAPPY || i == LW_AXIS_CONCERNED || i == LW_AXIS_SURPRISED || i == LW_AXIS_WAVE;
        plan.axis_min[i] = expresses ? 0 : INT16_MIN, plan.axis_max[i] = expresses ? 0 : INT16_MAX;
    }
    add_slice(&plan, slices, data, 0, LW_SLICE_I);
    add_slice(&plan, slices, data, 1, LW_SLICE_I);
    add_slice(&plan, slices, data, 1, LW_SLICE_I);
    for (int32_t s = 0, n = 0, e = 0; s < SEGMENTS; s++) {
        segments[s] = (lw_atlas_segment){.first = n, .count = LENGTH, .modes = s < 2 ? 1u << LW_STATE_IDLE : LW_ATLAS_SPEAKING};
        for (int32_t at = 0; at < LENGTH; at++, n++) {
            place(&nodes[n], s, at);
            entries[e++] = LW_ATLAS_NONE; /* rest stays as it is */
            entries[e++] = 1, entries[e++] = 2;
            entries[e++] = plan.slice_count;
            add_slice(&plan, slices, data, 2, nodes[n].anchor ? LW_SLICE_I : LW_SLICE_P);
        }
    }
    int64_t bytes = lw_atlas_pack(&plan, blob, sizeof blob);
    const char *why = "";
    if (!CHECK(bytes > 0 && lw_atlas_open(&atlas, blob, (size_t)bytes, &why) == 0, "atlas")) {
        printf("%s\n", why);
        exit(1);
    }
}

/* ---- the walk ---- */

/* Any way that modes change, each step is one that a stitcher takes, and none that anybody sees. */
static void test_walk(void)
{
    static uint8_t unit[1 << 16];
    static const uint32_t modes[] = {1u << LW_STATE_IDLE, LW_ATLAS_SPEAKING, 1u << LW_STATE_THINKING};
    static int32_t first[4000];
    int legal = 1, smooth = 1, arrives = 1, repeatable = 1, seen[NODES] = {0}, all = 1;
    lw_atlas_info info;
    lw_atlas_describe(atlas, &info);
    for (uint32_t seed = 1; seed < 4; seed++)
        for (int again = 0; again < 2; again++) {
            lw_walk walk;
            lw_stitcher *stitcher;
            lw_pose pose = {0}, before = {0};
            uint32_t mode = modes[0];
            int waits = 0;
            lw_walk_open(&walk, atlas, seed);
            if (!CHECK(lw_stitcher_open(&stitcher, atlas, LW_ANNEX_B) == 0, "stitcher"))
                exit(1);
            random_state = seed;
            for (int i = 0; i < 4000; i++) {
                int changed = random_in(0, 60) == 0;
                if (changed)
                    mode = modes[random_in(0, 2)];
                int32_t node = lw_walk_step(&walk, mode);
                lw_atlas_segment in;
                if (lw_atlas_segment_at(atlas, lw_atlas_segment_of(atlas, node), &in) < 0)
                    exit(1);
                legal &= lw_stitcher_unit(stitcher, node, &(int32_t){random_in(0, 1)}, i == 0, unit, sizeof unit) > 0;
                lw_atlas_head(atlas, node, &pose);
                for (int a = 0; a < LW_AXES; a++)
                    smooth &= i == 0 || abs(pose.axis[a] - before.axis[a]) <= 1500;
                before = pose;
                waits = mode == modes[2] || in.modes & mode || changed ? 0 : waits + 1;
                arrives &= waits <= LENGTH;
                seen[node] = 1;
                if (again)
                    repeatable &= first[i] == node;
                else
                    first[i] = node;
            }
            lw_stitcher_close(&stitcher);
        }
    for (int n = 0; n < NODES; n++)
        all &= seen[n];
    CHECK(legal, "walk: each step is one that a stitcher takes");
    CHECK(smooth, "walk: the head does not jump");
    CHECK(arrives, "walk: a mode is reached");
    CHECK(repeatable, "walk: the same seed, the same way");
    CHECK(all, "walk: every node is reached");
}

/* ---- a performer's units ---- */

typedef struct shown {
    lw_frame_info info;
    int64_t bytes; /* of the unit; 0: it is none */
    int key;
} shown;

static int64_t now;

/* Ticks, and takes all there is. Returns how many frames. */
static int take(lw_performer *p, int ticks, int stale, shown *out)
{
    static uint8_t unit[1 << 16];
    int count = 0, slot;
    int16_t block[LW_BLOCK];
    int64_t sample;
    lw_event event;
    for (int i = 0; i < ticks; i++) {
        lw_performer_tick(p, now += 10000000, 1);
        while (lw_performer_read_pcm(p, block, &sample) || lw_performer_read_event(p, &event))
            ;
        for (; lw_performer_acquire_frame(p, &slot, &out[count].info); count++) {
            out[count].bytes = out[count].key = 0;
            if (out[count].info.node >= 0)
                out[count].bytes = lw_performer_unit(p, slot, stale, &out[count].key, unit, sizeof unit);
            lw_performer_release_frame(p, slot);
        }
    }
    return count;
}

static lw_performer *perform(uint32_t seed)
{
    lw_performer *p;
    lw_performer_config config = {.avatar = avatar, .fps_num = 25, .fps_den = 1, .atlas = atlas, .seed = seed};
    if (!CHECK(lw_performer_open(&p, &config) == 0, "performer with an atlas"))
        exit(1);
    return p;
}

static void test_refused(void)
{
    lw_performer *p;
    lw_performer_config fps = {.avatar = avatar, .fps_num = 30, .fps_den = 1, .atlas = atlas},
                        nobody = {.width = W, .height = H, .fps_num = 25, .fps_den = 1, .atlas = atlas},
                        framing = {.avatar = avatar, .fps_num = 50, .fps_den = 2, .atlas = atlas, .framing = 9};
    CHECK(lw_performer_open(&p, &fps) == LW_EINVAL && lw_performer_open(&p, &nobody) == LW_EINVAL &&
              lw_performer_open(&p, &framing) == LW_EINVAL, "an atlas of something else is refused");
}

static void test_units(void)
{
    static shown seen[400], twin[400];
    lw_performer *p = perform(3), *q = perform(3); /* of q the pictures are seen, too */
    int16_t loud[4800];
    for (int i = 0; i < 4800; i++)
        loud[i] = (int16_t)(i % 400 * 40 - 8000);
    CHECK(lw_performer_look(p, LW_LOOK_UNITS | LW_LOOK_POSES) == 0 && lw_performer_look(q, LW_LOOK_PICTURES | LW_LOOK_UNITS) == 0,
          "look at units, and at poses, which are there in any case");
#ifdef COUNTING
    int before = allocations;
#endif
    int n = 0, m = 0, whole = 1, twins = 1, drawn = 0, first_back = -1;
    for (int part = 0; part < 40; part++) {
        if (part == 10)
            for (lw_performer *each = p;; each = q) {
                lw_performer_set(each, LW_MOTION_EXPRESSION, LW_EXPRESSION_HAPPY);
                if (each == q)
                    break;
            }
        if (part == 18) {
            lw_performer_set(p, LW_MOTION_EXPRESSION, LW_EXPRESSION_NEUTRAL);
            lw_performer_set(q, LW_MOTION_EXPRESSION, LW_EXPRESSION_NEUTRAL);
        }
        n += take(p, 20, 0, seen + n);
        m += take(q, 20, 0, twin + m);
    }
#ifdef COUNTING
    CHECK(allocations == before, "no allocation in ticks and units");
#endif
    for (int i = 0; i < n; i++) {
        const lw_frame_info *f = &seen[i].info;
        int unit = f->node >= 0;
        whole &= unit ? seen[i].bytes > 0 && !f->drawn && seen[i].key == f->key : f->drawn && !f->key;
        if (unit && (i == 0 || seen[i - 1].info.node < 0))
            whole &= f->key && lw_atlas_anchor(atlas, f->node) == 1;
        else if (unit)
            whole &= !f->key;
        drawn += !unit;
        if (unit && drawn && first_back < 0)
            first_back = i;
        twins &= !memcmp(&f->pose, &twin[i].info.pose, sizeof f->pose) && f->node == twin[i].info.node &&
                 seen[i].bytes == twin[i].bytes && twin[i].info.drawn;
    }
    CHECK(n == 200 && m == n && whole, "a frame is a unit or a picture");
    CHECK(drawn >= 40 && drawn < 70 && first_back > 90, "an expression is drawn, and then it goes on with an IDR picture");
    CHECK(twins, "the same units where the pictures are seen, too");
    lw_performer_counters counters;
    lw_performer_stats(p, &counters);
    CHECK(counters.frames == 200 && counters.frames_stitched == 200 - drawn, "counted");

    /* A key that is asked for comes at the next anchor. */
    lw_performer_request_key(p);
    n = take(p, 40, 0, seen);
    int keys = 0, at = -1;
    for (int i = 0; i < n; i++) {
        keys += seen[i].key;
        at = seen[i].key && at < 0 ? i : at;
    }
    CHECK(n == 10 && keys == 1 && at < ANCHOR_EVERY && !seen[at].info.key, "a key that was asked for");

    /* Speech that is cut off: the units of what nobody is to see any more go on with the mouth of before. */
    lw_performer_write(p, loud, 4800, LW_RATE);
    n = take(p, 24, 0, seen);
    lw_performer_interrupt(p);
    n = take(p, 8, 1, seen);
    CHECK(n == 2 && seen[0].bytes > 0 && seen[1].bytes > 0, "stale frames have their unit");

    /* One that was left out: pictures, until it can begin again. */
    int slot;
    lw_frame_info info;
    for (int i = 0; i < 4; i++)
        lw_performer_tick(p, now += 10000000, 1);
    if (CHECK(lw_performer_acquire_frame(p, &slot, &info) && info.node >= 0, "a frame that is not stitched"))
        lw_performer_release_frame(p, slot);
    n = take(p, 60, 0, seen);
    int refused = 0, pictures = 0, began = 0;
    for (int i = 0; i < n; i++) {
        refused += seen[i].bytes < 0;
        pictures += seen[i].info.node < 0;
        began += seen[i].info.key && seen[i].bytes > 0;
        whole &= !began || seen[i].bytes > 0;
    }
    CHECK(refused == 1 && pictures < ANCHOR_EVERY && began == 1 && whole, "a unit left out breaks nothing for long");
    CHECK(lw_performer_unit(p, 0, 0, NULL, NULL, 0) == LW_EINVAL && lw_performer_unit(p, -1, 0, NULL, blob, 1) == LW_EINVAL &&
              lw_performer_unit(p, 99, 0, NULL, blob, 1) == LW_EINVAL, "units of nothing");

    /* Nobody looks, and the head goes on; a gesture is drawn. */
    lw_performer_look(p, 0);
    n = take(p, 40, 0, seen);
    lw_performer_look(p, LW_LOOK_UNITS);
    int again = take(p, 40, 0, seen);
    whole = n == 0 && again == 10;
    for (int i = 0; i < again; i++)
        whole &= seen[i].info.node >= 0 ? seen[i].bytes > 0 : seen[i].info.drawn;
    CHECK(whole && (seen[again - 1].bytes > 0), "somebody looks again");
    lw_performer_set(p, LW_MOTION_GESTURE, LW_GESTURE_NOD);
    n = take(p, 160, 0, seen);
    int nods = 0;
    for (int i = 0; i < n; i++)
        nods += seen[i].info.node < 0 && abs(seen[i].info.pose.axis[LW_AXIS_HEAD_Y]) > 8000;
    CHECK(nods > 3 && seen[n - 1].bytes > 0, "a gesture is seen, and over");
    lw_performer_close(&p);
    lw_performer_close(&q);
}

int main(void)
{
    make_avatar();
    make_atlas();
    test_refused();
    test_walk();
    test_units();
    lw_atlas_close(&atlas);
    lw_avatar_close(&avatar);
    return failures != 0;
}
