/* A walk over the nodes of an atlas: where the head is in each frame. Nothing here is exported. */
#ifndef LW_WALK_H
#define LW_WALK_H

#include <stdint.h>

#include "lipwire/stitch.h"

typedef struct lw_walk {
    const lw_atlas *atlas;
    lw_atlas_info info;
    uint32_t random;
    lw_atlas_segment segment; /* that it is in */
    int32_t which;            /* its number */
    int32_t node;             /* of the newest frame; -1: there has been none */
} lw_walk;

/* The atlas has to outlive it. The same seed and modes give the same walk. */
void lw_walk_open(lw_walk *w, const lw_atlas *atlas, uint32_t seed);

/* The next frame's node, in a mode: one bit of lw_atlas_segment.modes. It is the next of its segment, or an anchor: behind
 * a segment's last node comes the first of another one of this mode; where the segment is not of this mode any more, the
 * walk leaves it at the first anchor that lies near one of a segment that is, so near that nobody sees the step. Where
 * there are no segments of the mode, it goes on as where all are of it. */
int32_t lw_walk_step(lw_walk *w, uint32_t mode);

#endif
