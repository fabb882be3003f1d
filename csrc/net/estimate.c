/* The estimate of a path's bit rate; see estimate.h. */
#include <string.h>

#include "common.h"
#include "estimate.h"

#define MS 1000000.0
#define GROUP_NS 5000000         /* packets that leave within this are one group */
#define JUMP_NS 3000000000LL     /* delays that change by this are a new path */
#define BUCKET_NS 100000000      /* of a meter */
#define REMB_FRESH_NS 5000000000LL
#define WINDOW_NS 2000000000LL   /* of loss, by transport-wide feedback: chance alone must not look like congestion */
#define WINDOW_PACKETS 50
#define REPORT_NS 5000000000LL   /* between two report blocks; what is beyond it is not made up for */

#define LEAST 12.5 /* ms: of the threshold; the draft has 6, which takes 50 ms of jitter for congestion */

enum { NORMAL, OVER, UNDER };

/* ---- meters ---- */

static void meter_add(lw_meter *m, int64_t now_ns, int64_t bytes)
{
    int64_t bucket = now_ns / BUCKET_NS;
    if (!m->bucket || bucket - m->bucket >= LW_ESTIMATE_BUCKETS || m->bucket - bucket >= LW_ESTIMATE_BUCKETS) {
        memset(m, 0, sizeof *m);
        m->bucket = m->first = bucket;
    }
    for (; m->bucket < bucket; m->bucket++)
        m->bytes[(m->bucket + 1) % LW_ESTIMATE_BUCKETS] = 0;
    if (bucket >= m->first)
        m->bytes[bucket % LW_ESTIMATE_BUCKETS] += bytes;
}

/* bit/s, 0 before there has been half a second. */
static double meter_rate(const lw_meter *m)
{
    int64_t buckets = lw_min64(m->bucket - m->first + 1, LW_ESTIMATE_BUCKETS), bytes = 0;
    for (int i = 0; i < LW_ESTIMATE_BUCKETS; i++)
        bytes += m->bytes[i];
    return buckets < LW_ESTIMATE_BUCKETS / 2 ? 0 : 8.0 * (double)bytes / ((double)buckets * BUCKET_NS / 1e9);
}

/* ---- the delay's gradient ---- */

/* The slope of a line through the points, by least squares: ms of delay a ms. */
static double slope(const lw_estimate *e)
{
    int n = LW_ESTIMATE_LINE;
    double mean_at = 0, mean_delay = 0, above = 0, below = 0;
    for (int i = 0; i < n; i++) {
        mean_at += e->at[i] / n;
        mean_delay += e->delay[i] / n;
    }
    for (int i = 0; i < n; i++) {
        above += (e->at[i] - mean_at) * (e->delay[i] - mean_delay);
        below += (e->at[i] - mean_at) * (e->at[i] - mean_at);
    }
    return below > 0 ? above / below : 0;
}

/* draft-ietf-rmcat-gcc-02, 5.4, with its constants. */
static void adapt_threshold(lw_estimate *e, double trend, int64_t arrived_ns)
{
    double size = trend < 0 ? -trend : trend;
    double ms = e->threshold_ns ? (double)(arrived_ns - e->threshold_ns) / MS : 0;
    e->threshold_ns = arrived_ns;
    if (size > e->threshold + 15 || ms <= 0)
        return;
    e->threshold += (size < e->threshold ? 0.00018 : 0.01) * (size - e->threshold) * (ms < 100 ? ms : 100);
    e->threshold = e->threshold < LEAST ? LEAST : e->threshold > 600 ? 600 : e->threshold;
}

static void detect(lw_estimate *e, double trend, double sent_ms, int64_t arrived_ns)
{
    if (trend > e->threshold) {
        e->over_ms += e->over_count ? sent_ms : sent_ms / 2;
        e->over_count++;
        if (e->over_ms > 10 && e->over_count > 1 && trend >= e->trend) {
            e->usage = OVER;
            e->over_ms = 0;
            e->over_count = 0;
        }
    } else {
        e->usage = trend < -e->threshold ? UNDER : NORMAL;
        e->over_ms = 0;
        e->over_count = 0;
    }
    e->trend = trend;
    adapt_threshold(e, trend, arrived_ns);
}

/* One more difference between two groups: how much later the second came than it left. */
static void add_delta(lw_estimate *e, int64_t arrived_ns, double sent_ms, double later_ms)
{
    if (!e->deltas)
        e->first_arrival = (double)arrived_ns / MS;
    e->deltas = e->deltas < 60 ? e->deltas + 1 : 60;
    e->accumulated += later_ms;
    e->smoothed = 0.9 * e->smoothed + 0.1 * e->accumulated;
    memmove(e->at, e->at + 1, sizeof e->at - sizeof e->at[0]);
    memmove(e->delay, e->delay + 1, sizeof e->delay - sizeof e->delay[0]);
    e->at[LW_ESTIMATE_LINE - 1] = (double)arrived_ns / MS - e->first_arrival;
    e->delay[LW_ESTIMATE_LINE - 1] = e->smoothed;
    e->points += e->points < LW_ESTIMATE_LINE;
    if (e->points == LW_ESTIMATE_LINE)
        detect(e, 4 * e->deltas * slope(e), sent_ms, arrived_ns);
}

static void new_path(lw_estimate *e)
{
    e->groups = e->deltas = e->points = 0;
    e->accumulated = e->smoothed = e->trend = 0;
    e->over_ms = e->over_count = 0;
    e->usage = NORMAL;
}

void lw_estimate_arrival(lw_estimate *e, int64_t sent_ns, int64_t arrived_ns, int64_t bytes)
{
    meter_add(&e->received, arrived_ns, bytes);
    if (e->groups && sent_ns < e->group.first_sent)
        return; /* overtaken */
    if (e->groups && sent_ns - e->group.first_sent <= GROUP_NS) {
        e->group.last_sent = lw_max64(e->group.last_sent, sent_ns);
        e->group.arrived = lw_max64(e->group.arrived, arrived_ns);
        return;
    }
    if (e->groups == 2) {
        int64_t sent = e->group.last_sent - e->before.last_sent, came = e->group.arrived - e->before.arrived;
        if (sent > JUMP_NS || came > JUMP_NS || came < -JUMP_NS)
            new_path(e);
        else
            add_delta(e, e->group.arrived, (double)sent / MS, (double)(came - sent) / MS);
    }
    e->before = e->group;
    e->groups = e->groups < 2 ? e->groups + 1 : 2;
    e->group.first_sent = e->group.last_sent = sent_ns;
    e->group.arrived = arrived_ns;
}

/* ---- control ---- */

static double bounded(const lw_estimate *e, double rate)
{
    return rate < e->min ? e->min : rate > e->max ? e->max : rate;
}

static double ceiling(const lw_estimate *e)
{
    double arrived = meter_rate(&e->received);
    return arrived > 0 ? 1.5 * arrived + 10000 : e->max;
}

/* draft-ietf-rmcat-gcc-02, 5.5: 8 per cent a second, and near what was once too much a packet a response time. What held
 * already is not taken away for want of traffic. */
static void increase(lw_estimate *e, int64_t now_ns)
{
    double seconds = (double)lw_min64(now_ns - e->changed_ns, 1000000000) / 1e9, more = e->delay_rate;
    double arrived = meter_rate(&e->received);
    if (e->knee > 0 && arrived > 1.15 * e->knee)
        e->knee = 0;
    if (e->knee > 0 && e->delay_rate > 0.85 * e->knee) {
        double responses = seconds / ((double)e->rtt_ns / 1e9 + 0.1);
        more += (responses < 1 ? responses : 1) * 0.5 * 8 * 1200;
    } else {
        more *= 1 + 0.08 * seconds;
    }
    double most = ceiling(e);
    if (more > most)
        more = most > e->delay_rate ? most : e->delay_rate;
    e->delay_rate = bounded(e, more);
}

static void decrease(lw_estimate *e, int64_t now_ns)
{
    double arrived = meter_rate(&e->received);
    /* What a decrease does is not seen before a round trip. */
    if (now_ns - e->decreased_ns < lw_max64(e->rtt_ns, 100000000))
        return;
    e->decreased_ns = now_ns;
    if (arrived > 0) {
        e->knee = e->knee > 0 ? 0.75 * e->knee + 0.25 * arrived : arrived;
        if (0.85 * arrived < e->delay_rate)
            e->delay_rate = bounded(e, 0.85 * arrived);
    } else {
        e->delay_rate = bounded(e, 0.85 * e->delay_rate);
    }
}

/* draft-ietf-rmcat-gcc-02, 6. */
static void by_loss(lw_estimate *e, int64_t now_ns, double fraction, double seconds)
{
    e->loss = fraction;
    if (fraction > 0.10) {
        if (now_ns - e->loss_ns < e->rtt_ns + 300000000)
            return;
        double sent = meter_rate(&e->sent);
        if (sent > 0 && sent < e->loss_rate)
            e->loss_rate = sent;
        e->loss_rate = bounded(e, e->loss_rate * (1 - 0.5 * fraction));
        e->loss_ns = now_ns;
    } else if (fraction < 0.02) {
        e->loss_rate = bounded(e, e->loss_rate * (1 + 0.05 * seconds));
    }
}

void lw_estimate_feedback(lw_estimate *e, int64_t now_ns, int64_t received, int64_t lost)
{
    e->told = 1;
    if (e->usage == OVER)
        decrease(e, now_ns);
    else if (e->usage == NORMAL)
        increase(e, now_ns);
    e->usage = e->usage == OVER ? NORMAL : e->usage;
    e->changed_ns = now_ns;
    e->window_received += received;
    e->window_lost += lost;
    int64_t expected = e->window_received + lw_max64(0, e->window_lost);
    /* Where a quarter is lost, nobody has to wait for more. */
    if (expected < WINDOW_PACKETS || (now_ns - e->window_ns < WINDOW_NS && 4 * e->window_lost < expected))
        return;
    double seconds = (double)lw_min64(now_ns - e->window_ns, WINDOW_NS) / 1e9;
    by_loss(e, now_ns, (double)lw_max64(0, e->window_lost) / (double)expected, seconds);
    e->window_received = e->window_lost = 0;
    e->window_ns = now_ns;
}

void lw_estimate_report(lw_estimate *e, int64_t now_ns, double fraction)
{
    int64_t since = e->report_ns ? lw_min64(now_ns - e->report_ns, REPORT_NS) : 0;
    e->report_ns = now_ns;
    if (!e->told)
        by_loss(e, now_ns, fraction, (double)since / 1e9);
}

void lw_estimate_remb(lw_estimate *e, int64_t now_ns, int64_t bitrate)
{
    e->remb = bitrate;
    e->remb_ns = now_ns;
}

void lw_estimate_rtt(lw_estimate *e, int64_t rtt_ns)
{
    e->rtt_ns = rtt_ns;
}

void lw_estimate_probe(lw_estimate *e, int64_t now_ns, double sent, double arrived)
{
    /* A train that came slower than it left met its narrowest link; leave room for others on it. */
    double fits = arrived < 0.9 * sent ? 0.85 * arrived : arrived < sent ? arrived : sent;
    if (e->usage != OVER && now_ns - e->decreased_ns > 2000000000 && fits > e->delay_rate) {
        e->delay_rate = bounded(e, fits);
        e->loss_rate = fits > e->loss_rate ? e->delay_rate : e->loss_rate; /* it arrived */
        e->knee = 0;
    }
}

int lw_estimate_idle(const lw_estimate *e, int64_t now_ns)
{
    return e->told && e->usage == NORMAL && now_ns - e->decreased_ns > 5000000000 && e->loss < 0.02 &&
           e->delay_rate < e->max && e->delay_rate >= 0.95 * ceiling(e);
}

void lw_estimate_sent(lw_estimate *e, int64_t now_ns, int64_t bytes)
{
    meter_add(&e->sent, now_ns, bytes);
}

int64_t lw_estimate_rate(const lw_estimate *e, int64_t now_ns)
{
    double rate = e->loss_rate;
    if (e->told && e->delay_rate < rate)
        rate = e->delay_rate;
    if (e->remb_ns && now_ns - e->remb_ns < REMB_FRESH_NS && (double)e->remb < rate)
        rate = (double)e->remb;
    return (int64_t)bounded(e, rate);
}

int64_t lw_estimate_received(const lw_estimate *e)
{
    return (int64_t)meter_rate(&e->received);
}

void lw_estimate_open(lw_estimate *e, int64_t start, int64_t min, int64_t max)
{
    *e = (lw_estimate){.min = (double)min, .max = (double)max, .threshold = 12.5};
    e->delay_rate = e->loss_rate = (double)start;
    e->decreased_ns = e->loss_ns = e->remb_ns = 0;
}
