/* Does speech come as it is said, or ahead of that? An utterance whose sender made it while it was sent cannot be ahead
 * of its own beginning; one that was synthesized before it was sent soon is. */
#ifndef LW_PACE_H
#define LW_PACE_H

#include "lipwire/base.h"

enum lw_pace_verdict {
    LW_PACE_NONE = 0, /* nobody has said when it came */
    LW_PACE_NEW,      /* too little has come to say */
    LW_PACE_PACED,    /* as it is said: what waits above the prebuffer is delay */
    LW_PACE_BURST     /* ahead, and for good: what waits is what is still to be said, at its own time */
};

typedef struct lw_pace {
    int verdict;
    int64_t first, last;    /* ns: arrivals */
    int64_t sent;           /* ns of speech */
    int64_t lead;           /* ns that the sender is ahead, pauses of his not counted against it */
    int64_t ahead;          /* ns that the sender was, counted from the first sample, before what came last */
    int64_t proven;         /* ns of speech that took its time to come */
} lw_pace;

/* `samples` at LW_RATE have come at now_ns, a monotonic clock's. Returns the verdict. The pace of a new utterance is {0}. */
int lw_pace_add(lw_pace *p, int64_t samples, int64_t now_ns);

#endif
