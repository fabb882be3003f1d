/* The target of the delay.
 *
 *   histogram  offsets of arrivals in bins of 2 ms; each packet weighs 1/256 more than the one before it, so a packet
 *              is forgotten to a third after 256 others (5 s of 20 ms)
 *   quantile   1 % of them may be later
 *   calm       but when the last second and a quarter spread over much less than that, what they say holds at once:
 *              a burst of jitter is forgotten when it is over
 *   peaks      bursts of lateness that come again, three within 20 s, are waited for
 *   loss       where packets get lost, it pays to have the next one there when one is missing: to know both sides of
 *              the gap, or for the codec's redundancy
 */
#include "jitter_delay.h"

#include <string.h>

#include "common.h"

#define MS INT64_C(1000000)
#define BIN (2 * MS)
#define MARGIN MS
#define LATE_Q16 655         /* 1 % */
#define USUAL_Q16 13107      /* 20 % */
#define FORGET 8             /* 1/2^8 a packet */
#define WEIGHT_FIRST (1u << 12)
#define WEIGHT_MOST (1u << 22)
#define PRIOR (20 * MS)      /* a first guess, worth one packet */
#define BLOCK (250 * MS)
#define PEAK_OVER (20 * MS)
#define PEAK_APART (600 * MS)
#define PEAK_MEMORY (20000 * MS)
#define PEAKS_NEEDED 3
#define LOSS_MATTERS_Q16 262 /* 0.4 % */

void lw_delay_reset(lw_delay *d)
{
    memset(d, 0, sizeof *d);
    d->weight = WEIGHT_FIRST;
    d->late.beyond_q16 = LATE_Q16;
    d->usual.beyond_q16 = USUAL_Q16;
}

static void follow(const lw_delay *d, lw_quantile *q)
{
    uint64_t allowed = d->total * q->beyond_q16 >> 16;
    while (q->above > allowed && q->bin < LW_DELAY_BINS - 1)
        q->above -= d->bins[++q->bin];
    while (q->bin > 0 && q->above + d->bins[q->bin] <= allowed)
        q->above += d->bins[q->bin--];
}

static void count_above(const lw_delay *d, lw_quantile *q)
{
    q->above = 0;
    for (int32_t i = q->bin + 1; i < LW_DELAY_BINS; i++)
        q->above += d->bins[i];
}

/* Moves all by `bins` upwards (below 0: downwards); what falls off an end stays in the last bin there. */
static void move(lw_delay *d, int64_t bins)
{
    int32_t by = (int32_t)lw_max64(-(LW_DELAY_BINS - 1), lw_min64(bins, LW_DELAY_BINS - 1));
    uint32_t fallen = 0;
    if (by > 0) {
        for (int32_t i = LW_DELAY_BINS - by; i < LW_DELAY_BINS; i++)
            fallen += d->bins[i];
        memmove(d->bins + by, d->bins, (size_t)(LW_DELAY_BINS - by) * sizeof *d->bins);
        memset(d->bins, 0, (size_t)by * sizeof *d->bins);
        d->bins[LW_DELAY_BINS - 1] += fallen;
    } else {
        by = -by;
        for (int32_t i = 0; i < by; i++)
            fallen += d->bins[i];
        memmove(d->bins, d->bins + by, (size_t)(LW_DELAY_BINS - by) * sizeof *d->bins);
        memset(d->bins + LW_DELAY_BINS - by, 0, (size_t)by * sizeof *d->bins);
        d->bins[0] += fallen;
        by = -by;
    }
    d->origin -= bins * BIN;
    lw_quantile *all[] = {&d->late, &d->usual};
    for (int i = 0; i < 2; i++) {
        all[i]->bin = lw_clamp(all[i]->bin + by, 0, LW_DELAY_BINS - 1);
        count_above(d, all[i]);
    }
}

/* Keeps weights small, and the histogram near its beginning. */
static void tidy(lw_delay *d)
{
    d->total = 0;
    for (int32_t i = 0; i < LW_DELAY_BINS; i++)
        d->total += d->bins[i] >>= 10;
    d->weight >>= 10;
    uint64_t below = 0;
    int32_t first = 0;
    while (first < LW_DELAY_BINS - 1 && (below += d->bins[first]) <= d->total >> 10)
        first++;
    move(d, first > 64 ? 32 - first : 0);
}

static void add(lw_delay *d, int64_t offset, uint32_t weight)
{
    int64_t bin = (offset - d->origin) / BIN;
    if (offset < d->origin) {
        move(d, (d->origin - offset) / BIN + 1 + 8);
        bin = (offset - d->origin) / BIN;
    }
    int32_t at = (int32_t)lw_min64(bin, LW_DELAY_BINS - 1);
    d->bins[at] += weight;
    d->total += weight;
    d->late.above += at > d->late.bin ? weight : 0;
    d->usual.above += at > d->usual.bin ? weight : 0;
}

static void note_peak(lw_delay *d, int64_t now_ns, int64_t offset)
{
    int64_t normal = d->origin + (d->late.bin + 1) * BIN;
    if (offset - normal < PEAK_OVER)
        return;
    if (!d->peaks[d->peak].time || now_ns - d->beyond_time > PEAK_APART) {
        d->peak = (d->peak + 1) % LW_DELAY_PEAKS;
        d->peaks[d->peak].height = offset;
    }
    d->peaks[d->peak].time = now_ns ? now_ns : 1;
    d->peaks[d->peak].height = lw_max64(d->peaks[d->peak].height, offset);
    d->beyond_time = now_ns;
}

void lw_delay_arrival(lw_delay *d, int64_t now_ns, int64_t offset)
{
    if (!d->known) {
        d->known = 1;
        d->origin = offset - 8 * BIN;
        d->block_time = now_ns;
        d->blocks = 1;
        d->least[0] = d->most[0] = offset;
        add(d, offset + PRIOR, d->weight);
    } else {
        note_peak(d, now_ns, offset);
    }
    if (now_ns - d->block_time >= BLOCK) {
        d->block = (d->block + 1) % LW_DELAY_BLOCKS;
        d->blocks += d->blocks < LW_DELAY_BLOCKS;
        d->least[d->block] = d->most[d->block] = offset;
        d->block_time = now_ns;
    }
    d->least[d->block] = lw_min64(d->least[d->block], offset);
    d->most[d->block] = lw_max64(d->most[d->block], offset);
    add(d, offset, d->weight);
    d->weight += d->weight >> FORGET;
    follow(d, &d->late);
    follow(d, &d->usual);
    if (d->weight > WEIGHT_MOST)
        tidy(d);
}

void lw_delay_decoded(lw_delay *d, int32_t lost)
{
    for (int32_t i = 0; i < lost && i < 16; i++)
        d->loss_q16 += (65536 - d->loss_q16) >> 9;
    d->loss_q16 -= d->loss_q16 >> 9;
}

int64_t lw_delay_base(const lw_delay *d)
{
    int64_t least = d->least[0];
    for (int32_t i = 1; i < d->blocks; i++)
        least = lw_min64(least, d->least[i]);
    return least;
}

int64_t lw_delay_target(const lw_delay *d, int64_t now_ns, int64_t packet_ns)
{
    int64_t target = d->origin + (d->late.bin + 1) * BIN;
    int64_t usual = d->origin + (d->usual.bin + 1) * BIN;
    if (d->blocks == LW_DELAY_BLOCKS) {
        int64_t least = lw_delay_base(d), most = d->most[0];
        for (int32_t i = 1; i < LW_DELAY_BLOCKS; i++)
            most = lw_max64(most, d->most[i]);
        int64_t calm = least + (most - least) * 5 / 4 + 2 * BIN;
        target = lw_min64(target, calm);
        usual = lw_min64(usual, calm);
    }
    int32_t peaks = 0;
    int64_t height = target;
    for (int32_t i = 0; i < LW_DELAY_PEAKS; i++)
        if (d->peaks[i].time && now_ns - d->peaks[i].time < PEAK_MEMORY) {
            peaks++;
            height = lw_max64(height, d->peaks[i].height);
        }
    if (peaks >= PEAKS_NEEDED)
        target = height;
    if (d->loss_q16 > LOSS_MATTERS_Q16)
        target = lw_max64(target, usual + packet_ns);
    return target + MARGIN;
}
