/* The target of the delay.
 *
 *   histogram  offsets of arrivals in bins of 2 ms; each packet weighs 1/256 more than the one before it, so a packet
 *              is forgotten to a third after 256 others (5 s of 20 ms)
 *   cheapest   the delay that costs least: its own square, for a delay that is small anyway may be larger, and the share
 *              of packets that are late with it
 *   start      of the first packets one cannot tell how late the latest will be: a multiple of what four in five need
 *   peaks      packets that follow on one another and are all late: if that comes again, so much is waited for
 *   held       the target rises at once and falls slowly, as every change can be heard
 *   calm       but when the last second and a quarter spread over much less than that, what they say holds at once: a
 *              burst of jitter is forgotten when it is over, unless it is one of several
 *   loss       where packets get lost, it pays to have the next one there when one is missing
 */
#include "jitter_delay.h"

#include <string.h>

#include "common.h"

#define MS INT64_C(1000000)
#define BIN (2 * MS)
#define MARGIN MS
#define SQUARE_MS 80         /* what a delay costs: its square over this, in ms */
#define LATE_COSTS_MS 3500   /* what it costs if all packets are late */
#define USUAL_Q16 13107      /* 20 % are later than is usual */
#define FORGET 8             /* 1/2^8 a packet */
#define WEIGHT_FIRST (1u << 12)
#define WEIGHT_MOST (1u << 22)
#define PRIOR (8 * MS)       /* a first guess, worth one packet */
#define START_FEW 6          /* packets of which nothing can be said */
#define START_PACKETS 100    /* from here on the histogram tells more */
#define START_TIMES 3        /* what is usual; but twice what was most is enough */
#define START_MOST (100 * MS)
#define ANEW 8               /* packets after which the cheapest is looked for again */
#define FALL 500             /* the held target falls by 1/500 of the time: 2 ms a second */
#define BLOCK (250 * MS)
#define CALM_TIMES 4
#define CALM_UNLESS 3        /* times that it was not, in the last 32 blocks */
#define PEAK_OVER (20 * MS)
#define PEAK_PACKETS 3
#define PEAK_APART (600 * MS)
#define PEAK_MEMORY (20000 * MS)
#define PEAKS_NEEDED 2
#define LOSS_MATTERS_Q16 262 /* 0.4 % */

void lw_delay_reset(lw_delay *d)
{
    memset(d, 0, sizeof *d);
    d->weight = WEIGHT_FIRST;
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
    d->usual.bin = lw_clamp(d->usual.bin + by, 0, LW_DELAY_BINS - 1);
    count_above(d, &d->usual);
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
    d->usual.above += at > d->usual.bin ? weight : 0;
}

static int64_t usual(const lw_delay *d)
{
    return d->origin + (d->usual.bin + 1) * BIN;
}

static int64_t cheapest(const lw_delay *d)
{
    uint64_t late = d->total, least = UINT64_MAX;
    int32_t at = 0, base = (int32_t)((lw_delay_base(d) - d->origin) / BIN);
    for (int32_t i = 0; i < LW_DELAY_BINS && late; i++) {
        late -= d->bins[i];
        uint64_t ms = (uint64_t)lw_max64(i - base, 0) * (BIN / MS);
        uint64_t cost = ms * ms / SQUARE_MS * d->total + late * LATE_COSTS_MS;
        if (cost < least) {
            least = cost;
            at = i;
        }
    }
    return d->origin + (at + 1) * BIN;
}

/* Packets that follow on one another and are all later than others, and how late they were at most. */
static void note_peak(lw_delay *d, int64_t now_ns, int64_t offset)
{
    if (offset - d->cheapest < PEAK_OVER) {
        d->beyond = 0;
        return;
    }
    if (!d->beyond++)
        d->beyond_most = offset;
    d->beyond_most = lw_max64(d->beyond_most, offset);
    if (d->beyond < PEAK_PACKETS)
        return;
    if (!d->peaks[d->peak].time || now_ns - d->beyond_time > PEAK_APART) {
        d->peak = (d->peak + 1) % LW_DELAY_PEAKS;
        d->peaks[d->peak].height = d->beyond_most;
    }
    d->peaks[d->peak].time = now_ns ? now_ns : 1;
    d->peaks[d->peak].height = lw_max64(d->peaks[d->peak].height, d->beyond_most);
    d->beyond_time = now_ns;
}

/* How high the peaks are that come again and again, between their mean and the highest; INT64_MIN: none do. */
static int64_t peaks(const lw_delay *d, int64_t now_ns)
{
    int64_t sum = 0, most = 0;
    int32_t count = 0;
    for (int32_t i = 0; i < LW_DELAY_PEAKS; i++)
        if (d->peaks[i].time && now_ns - d->peaks[i].time < PEAK_MEMORY) {
            count++;
            sum += d->peaks[i].height - d->cheapest;
            most = lw_max64(most, d->peaks[i].height - d->cheapest);
        }
    return count >= PEAKS_NEEDED ? d->cheapest + (sum / count + most) / 2 : INT64_MIN;
}

/* How much later than the least late ones packets were in the last second and a quarter. */
static int64_t spread_of(const lw_delay *d)
{
    int64_t most = d->most[0];
    for (int32_t i = 1; i < d->blocks; i++)
        most = lw_max64(most, d->most[i]);
    return most - lw_delay_base(d);
}

/* That, and a little more: INT64_MAX, if it is of no use. */
static int64_t calm(const lw_delay *d)
{
    int64_t base = lw_delay_base(d), spread = spread_of(d) * 5 / 4 + 2 * BIN;
    int again = 0; /* how often late blocks began */
    for (uint32_t begins = d->late & ~(d->late << 1); begins; begins &= begins - 1)
        again++;
    if (d->blocks < LW_DELAY_BLOCKS || d->held - base <= CALM_TIMES * spread || again >= CALM_UNLESS)
        return INT64_MAX;
    return base + spread;
}

static void hold(lw_delay *d, int64_t now_ns)
{
    int64_t base = lw_delay_base(d), high = peaks(d, now_ns), want = lw_max64(d->cheapest, high);
    if (d->arrivals >= START_FEW && d->arrivals < START_PACKETS)
        want = lw_max64(want, base + lw_min64((usual(d) - base) * START_TIMES, lw_min64(2 * spread_of(d), START_MOST)));
    d->held = lw_max64(want, d->held - (now_ns - d->held_time) / FALL);
    d->held_time = now_ns;
    if (high == INT64_MIN)
        d->held = lw_min64(d->held, calm(d));
}

static void next_block(lw_delay *d, int64_t now_ns, int64_t offset)
{
    int64_t base = lw_delay_base(d);
    d->late = d->late << 1 | (2 * (d->most[d->block] - base) > d->held - base);
    d->block = (d->block + 1) % LW_DELAY_BLOCKS;
    d->blocks += d->blocks < LW_DELAY_BLOCKS;
    d->least[d->block] = d->most[d->block] = offset;
    d->block_time = now_ns;
}

void lw_delay_arrival(lw_delay *d, int64_t now_ns, int64_t offset)
{
    if (!d->known) {
        d->known = 1;
        d->origin = offset - 8 * BIN;
        d->block_time = d->held_time = now_ns;
        d->blocks = 1;
        d->least[0] = d->most[0] = offset;
        add(d, offset + PRIOR, d->weight);
        d->held = d->cheapest = offset + PRIOR;
    } else {
        note_peak(d, now_ns, offset);
    }
    if (now_ns - d->block_time >= BLOCK)
        next_block(d, now_ns, offset);
    d->least[d->block] = lw_min64(d->least[d->block], offset);
    d->most[d->block] = lw_max64(d->most[d->block], offset);
    add(d, offset, d->weight);
    d->weight += d->weight >> FORGET;
    follow(d, &d->usual);
    if (d->weight > WEIGHT_MOST)
        tidy(d);
    d->arrivals++;
    if (d->arrivals < START_PACKETS || d->arrivals % ANEW == 0) {
        d->cheapest = cheapest(d);
        hold(d, now_ns);
    }
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

int64_t lw_delay_target(const lw_delay *d, int64_t ahead_ns)
{
    int64_t target = d->held + MARGIN;
    return d->loss_q16 > LOSS_MATTERS_Q16 ? lw_max64(target, usual(d) + ahead_ns) : target;
}
