/* The pace of an utterance's sender.
 *
 *   before it is proven   a sender that is ever more than SLACK ahead, counted from the end of his last pause, sends
 *                         bursts: a sentence at a time, say
 *   proven                when PROOF of speech has come that took its time, piece by piece
 *   then                  counted from the first sample. A network or a machine that stood still delivers late, and much
 *                         at once; but no more than there would have been without
 *
 * His clock may be faster than ours by DRIFT, which is more than any sound card's. */
#include "pace.h"
#include "common.h"

#define MS 1000000LL
#define SLACK (250 * MS) /* jitter of the first arrival, and the size of a chunk */
#define PROOF (1000 * MS)
#define DRIFT 1000 /* parts in a million */

int lw_pace_add(lw_pace *p, int64_t samples, int64_t now_ns)
{
    int64_t length = samples * 1000000000 / LW_RATE;
    if (p->verdict == LW_PACE_NONE) {
        *p = (lw_pace){.verdict = LW_PACE_NEW, .first = now_ns, .last = now_ns};
    } else {
        int64_t gap = lw_max64(0, now_ns - p->last);
        p->lead = lw_max64(0, p->lead - gap);
        p->proven += lw_min64(lw_min64(length, gap), SLACK);
        p->last = now_ns;
    }
    int64_t passed = now_ns - p->first, due = passed + passed / 1000000 * DRIFT;
    p->ahead = lw_max64(0, p->sent - due);
    p->lead += length;
    p->sent += length;
    if ((p->verdict == LW_PACE_PACED ? p->sent - due : p->lead) > SLACK)
        p->verdict = LW_PACE_BURST;
    else if (p->verdict == LW_PACE_NEW && p->proven >= PROOF)
        p->verdict = LW_PACE_PACED;
    return p->verdict;
}
