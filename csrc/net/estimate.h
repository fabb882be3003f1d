/* What bit rate a path carries: a sender-side estimate from what its peer reports.
 *
 * It follows draft-ietf-rmcat-gcc-02 ("Google congestion control") in its parts: groups of packets by when they left, the
 * gradient of the one-way delay, an adaptive threshold, an increase and decrease by state, and a controller by loss; the
 * least of them holds. What differs, and why:
 *
 * - The gradient is the slope of a line through the last 20 smoothed delays instead of a Kalman filter's state, which
 *   needs no model of the noise (Carlucci et al., "Congestion Control for Web Real-Time Communication", 2017). It is
 *   weighted by the number of deltas that it has seen, up to 60, and by 4, for the threshold to mean what it does there.
 * - An avatar's pictures need little, so what arrives says nothing of what more would fit. Growth is held to 1.5 times
 *   what arrived, or what a probe (lw_estimate_probe) showed to fit, whichever is more.
 * - Loss cuts what was sent, not what could have been; it is looked at over two seconds, so that chance does not cut.
 * - The threshold does not fall below where it began: jitter of 50 ms would pass for congestion.
 *
 * Without transport-wide feedback, loss comes from receiver reports, and REMB is a ceiling while it is fresh. All times
 * are ns of one clock, all rates bit/s. */
#ifndef LW_NET_ESTIMATE_H
#define LW_NET_ESTIMATE_H

#include <stdint.h>

#define LW_ESTIMATE_LINE 20   /* delays that the slope is of */
#define LW_ESTIMATE_BUCKETS 10

/* Bytes a second over the last second, by bucket. */
typedef struct lw_meter {
    int64_t bucket, first; /* the newest; that of the first byte */
    int64_t bytes[LW_ESTIMATE_BUCKETS];
} lw_meter;

typedef struct lw_estimate {
    double min, max, delay_rate, loss_rate;
    int64_t remb, remb_ns, rtt_ns;
    lw_meter sent, received;

    /* groups of packets, ns: the one that grows, and the one before */
    struct {
        int64_t first_sent, last_sent, arrived;
    } group, before;
    int groups; /* of those two, that are there */

    int deltas, points;
    double accumulated, smoothed, first_arrival; /* ms */
    double at[LW_ESTIMATE_LINE], delay[LW_ESTIMATE_LINE];
    double trend, threshold, over_ms;
    int over_count, usage;
    int64_t threshold_ns;

    int increasing, told; /* told: transport-wide feedback comes */
    int64_t changed_ns, decreased_ns, loss_ns, report_ns;
    double knee; /* what arrived when it was last too much; 0: not known */
    int64_t window_received, window_lost, window_ns;
    double loss;
} lw_estimate;

void lw_estimate_open(lw_estimate *e, int64_t start, int64_t min, int64_t max);
void lw_estimate_sent(lw_estimate *e, int64_t now_ns, int64_t bytes);
/* A packet that arrived: when it left, and when the peer says that it came. In the order of arrival. */
void lw_estimate_arrival(lw_estimate *e, int64_t sent_ns, int64_t arrived_ns, int64_t bytes);
/* The end of one transport-wide feedback: how many it reported as arrived, and as lost; `lost` is negative where earlier
 * ones were wrong. */
void lw_estimate_feedback(lw_estimate *e, int64_t now_ns, int64_t received, int64_t lost);
/* A report block; `fraction` is lost / expected since the one before, 0..1. */
void lw_estimate_report(lw_estimate *e, int64_t now_ns, double fraction);
void lw_estimate_remb(lw_estimate *e, int64_t now_ns, int64_t bitrate);
void lw_estimate_rtt(lw_estimate *e, int64_t rtt_ns);
/* A train of packets that left at `sent` bit/s came at `arrived`. */
void lw_estimate_probe(lw_estimate *e, int64_t now_ns, double sent, double arrived);
/* Whether growth is held up by there being too little to send, on a path that shows no sign of being full. */
int lw_estimate_idle(const lw_estimate *e, int64_t now_ns);

int64_t lw_estimate_rate(const lw_estimate *e, int64_t now_ns);
int64_t lw_estimate_received(const lw_estimate *e); /* bit/s; 0: not known */

#endif
