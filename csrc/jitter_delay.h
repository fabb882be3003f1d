/* How far behind the sender to play: what the arrival of packets says about that. Nothing here is exported.
 *
 * An offset is the time at which something happens less its RTP time, in ns: the smaller it is, the less late. Arrivals
 * have offsets, and so has playing: what is played with an offset no smaller than that of its arrival was there in
 * time. Only differences of offsets mean anything, so a sender's clock that is too fast or too slow shows as offsets
 * that drift, and forgetting is all that it takes to follow. */
#ifndef LW_JITTER_DELAY_H
#define LW_JITTER_DELAY_H

#include <stdint.h>

#define LW_DELAY_BINS 1024
#define LW_DELAY_BLOCKS 5
#define LW_DELAY_PEAKS 8

/* A quantile that follows its histogram. */
typedef struct lw_quantile {
    int32_t bin;
    uint32_t beyond_q16; /* the share of packets that may be later */
    uint64_t above;      /* the weight of the bins above */
} lw_quantile;

typedef struct lw_delay {
    int64_t origin; /* the offset where the first bin begins */
    int32_t known;  /* there has been a packet */
    uint32_t weight; /* of the next packet: it grows, which is how the others are forgotten */
    uint64_t total;
    uint32_t arrivals;
    int64_t cheapest, held, held_time;
    lw_quantile usual;
    uint32_t bins[LW_DELAY_BINS];
    /* The last second and a quarter: least and most in blocks of a quarter. */
    int64_t least[LW_DELAY_BLOCKS], most[LW_DELAY_BLOCKS], block_time;
    int32_t block, blocks;
    uint32_t late; /* a bit for each block, the last one first: was it as late as half of what was held? */
    /* Bursts of lateness; the one that goes on, in packets, and how late they were at most. */
    struct {
        int64_t time, height;
    } peaks[LW_DELAY_PEAKS];
    int64_t beyond_time, beyond_most;
    int32_t beyond;
    int32_t peak;
    uint32_t loss_q16; /* share of packets that never came */
} lw_delay;

void lw_delay_reset(lw_delay *d);
/* A packet with this offset has arrived. */
void lw_delay_arrival(lw_delay *d, int64_t now_ns, int64_t offset);
/* `lost` packets had to be done without before the one that is decoded now. */
void lw_delay_decoded(lw_delay *d, int32_t lost);
/* The least offset of late. */
int64_t lw_delay_base(const lw_delay *d);
/* The offset to play with. ahead_ns: how long before it is due the packet behind a lost one is of use. */
int64_t lw_delay_target(const lw_delay *d, int64_t ahead_ns);

#endif
