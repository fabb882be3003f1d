/* A walk over the nodes of an atlas. Segments are chosen at random, never the same one twice in a row where
 * there are others; what a stitcher asks of the way from node to node holds for each step. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "walk.h"

#define NEAR 1024
/* q15: how far apart two nodes may be on an axis for a step from one to the other, that nobody sees: about as far as a head goes
 * from one frame to the next in any case (the 97th percentile of its motion at 25 a second). */
static const int16_t near[LW_AXES] = {[LW_AXIS_HEAD_X] = 1500,
                                      [LW_AXIS_HEAD_Y] = 1500,
                                      [LW_AXIS_HEAD_ROLL] = 1000,
                                      [LW_AXIS_HEAD_TURN] = 800,
                                      [LW_AXIS_BREATH] = 5000};
#define NEAR_OTHER 700

void lw_walk_open(lw_walk *w, const lw_atlas *atlas, uint32_t seed)
{
    *w = (lw_walk){.atlas = atlas, .random = lw_random_seed(seed), .which = -1, .node = -1};
    lw_atlas_describe(atlas, &w->info);
}

/* 1 where a segment is of the mode, or none is. */
static int suits(const lw_walk *w, int32_t segment, uint32_t mode)
{
    lw_atlas_segment s;
    return lw_atlas_segment_at(w->atlas, segment, &s) >= 0 && (!mode || s.modes & mode);
}

/* The mode itself, or 0, any, where no segment is of it. */
static uint32_t known(const lw_walk *w, uint32_t mode)
{
    for (int32_t i = 0; i < w->info.segments; i++)
        if (suits(w, i, mode))
            return mode;
    return 0;
}

static int32_t enter(lw_walk *w, int32_t segment, int32_t node)
{
    w->which = segment;
    lw_atlas_segment_at(w->atlas, segment, &w->segment);
    return w->node = node;
}

/* The beginning of a segment of the mode. */
static int32_t begin(lw_walk *w, uint32_t mode)
{
    int32_t count = 0;
    for (int32_t i = 0; i < w->info.segments; i++)
        count += i != w->which && suits(w, i, mode);
    int32_t pick = count ? (int32_t)(lw_random_next(&w->random) % (uint32_t)count) : -1, chosen = w->which;
    for (int32_t i = 0; i < w->info.segments && pick >= 0; i++)
        if (i != w->which && suits(w, i, mode) && pick-- == 0)
            chosen = i;
    lw_atlas_segment s;
    lw_atlas_segment_at(w->atlas, chosen, &s);
    return enter(w, chosen, s.first);
}

/* How far apart two nodes are on the axis on which they are farthest, in 1/NEAR of what may be. */
static int32_t distance(const lw_walk *w, int32_t a, int32_t b)
{
    lw_pose one = {0}, other = {0};
    int32_t most = 0;
    lw_atlas_head(w->atlas, a, &one);
    lw_atlas_head(w->atlas, b, &other);
    for (int i = 0; i < LW_AXES; i++) {
        int32_t d = abs(one.axis[i] - other.axis[i]) * NEAR / (near[i] ? near[i] : NEAR_OTHER);
        most = d > most ? d : most;
    }
    return most;
}

/* From the anchor that would come next, the nearest anchor of the mode, if it is near enough: 1, and the walk is there. */
static int change_over(lw_walk *w, int32_t from, uint32_t mode)
{
    int32_t best = NEAR + 1, node = -1, segment = -1;
    for (int32_t i = 0; i < w->info.segments; i++) {
        lw_atlas_segment s;
        if (!suits(w, i, mode) || lw_atlas_segment_at(w->atlas, i, &s) < 0)
            continue;
        for (int32_t n = s.first; n < s.first + s.count; n++) {
            int32_t far = lw_atlas_anchor(w->atlas, n) == 1 ? distance(w, from, n) : best;
            if (far < best)
                best = far, node = n, segment = i;
        }
    }
    if (node >= 0)
        enter(w, segment, node);
    return node >= 0;
}

int32_t lw_walk_step(lw_walk *w, uint32_t mode)
{
    mode = known(w, mode);
    int32_t next = w->node + 1;
    if (w->node < 0 || next >= w->segment.first + w->segment.count)
        return begin(w, mode);
    if (mode && !(w->segment.modes & mode) && lw_atlas_anchor(w->atlas, next) == 1 && change_over(w, next, mode))
        return w->node;
    return w->node = next;
}
