/* A change of rate in the midst of a signal.
 *
 * Each resampler needs samples on both sides of an output: the old one some of what comes, the new one some of what was.
 * Neither is there at its rate; but each is what the other's output, at the rate that both go up to, is at its places.
 * So the two are found together: from a first guess each side's outputs give the other its missing samples, round by
 * round. A round takes most of what is wrong away, as samples that are known weigh more than those that are guessed.
 *
 *   time            ... from's samples ... | change | ... to's samples ...
 *   u, out's rate   ... heard ... | owed    |  ahead
 *   from takes                      future, read from u
 *   to takes          past, read from u
 *
 * Between its own samples u is read with the table that resamples any rate up. What only the higher rate's band holds
 * ends, or begins, at the change; it does not click, but nothing can go on there. */
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "resample_design.h"
#include "resample_join.h"

#define ROUNDS 8
#define AHEAD 176 /* outputs behind the change: 3 ms, and what reading there takes */
#define NEEDED 208 /* samples that `to` takes for so many */
#define EDGE 24   /* samples of u that reading between two of them takes on either side */
#define PLACE_BITS 24

typedef struct join {
    lw_resampler *from, *to;
    lw_resampler_place old, new;
    lw_fir between;
    int32_t phase;    /* of to's first output */
    int64_t owed;
    int64_t behind_q; /* from the change to u[LW_JOIN_PAST], in Q24 outputs */
    int16_t u[LW_JOIN_PAST + AHEAD + EDGE];
    int16_t future[EDGE], past[EDGE], next[NEEDED];
} join;

static int16_t mirrored(int16_t at, int16_t x)
{
    return lw_sat16(2 * at - x);
}

/* u at a place in Q24 outputs from u[LW_JOIN_PAST]. */
static int16_t value_at(const join *j, int64_t place)
{
    int64_t whole = place >> PLACE_BITS, part = place & ((1 << PLACE_BITS) - 1);
    const int16_t *x = j->u + LW_JOIN_PAST + whole;
    if (!part)
        return *x;
    int16_t row[2];
    lw_fir_c(row, 2, x - (j->between.taps / 2 - 1), &j->between, (int32_t)(part >> 15));
    return (int16_t)(row[0] + (((row[1] - row[0]) * (int32_t)(part & 32767) + (1 << 14)) >> 15));
}

/* i samples of a resampler, in Q24 outputs. */
static int64_t samples_q(const lw_resampler_place *of, int64_t i)
{
    return (i * of->phases << PLACE_BITS) / of->step;
}

static void find_future(join *j)
{
    for (int32_t i = 0; i < j->old.ahead; i++)
        j->future[i] = value_at(j, samples_q(&j->old, i) - j->behind_q);
}

static void find_past(join *j)
{
    for (int32_t i = 1; i <= j->new.past; i++)
        j->past[j->new.past - i] = value_at(j, -samples_q(&j->new, i) - j->behind_q);
}

static void make_owed(join *j)
{
    lw_resampler_tail(j->from, j->future, (size_t)j->old.ahead, j->u + LW_JOIN_PAST - j->owed, (size_t)j->owed);
}

static void make_ahead(join *j)
{
    size_t used;
    lw_resampler_start(j->to, j->past, (size_t)j->new.past, j->phase);
    lw_resampler_process(j->to, j->next, NEEDED, &used, j->u + LW_JOIN_PAST, AHEAD);
}

/* The first guess: on either side of the change the signal is as on the other, turned about it. */
static void guess(join *j, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < NEEDED; i++) {
        size_t last = n - 1;
        j->next[i] = i < n ? pcm[i] : i - last <= last ? mirrored(pcm[last], pcm[last - (i - last)]) : j->next[i - 1];
    }
    for (int32_t i = 1; i <= j->new.past; i++)
        j->past[j->new.past - i] = mirrored(j->next[0], j->next[i]);
    for (int32_t i = 0; i < j->old.ahead; i++)
        j->future[i] = j->next[0];
}

static int32_t gcd(int32_t a, int64_t b)
{
    while (b) {
        int32_t t = (int32_t)(a % b);
        a = (int32_t)b;
        b = t;
    }
    return a;
}

static int fits(const lw_resampler_place *r)
{
    return r->phases >= r->step && r->ahead <= EDGE && r->past <= EDGE;
}

int64_t lw_resampler_join(lw_resampler *from, lw_resampler *to, const int16_t heard[LW_JOIN_PAST], const int16_t *pcm,
                          size_t n, int16_t out[LW_JOIN_TAIL])
{
    if (!from || !to || !heard || !pcm || !n || !out)
        return LW_EINVAL;
    join j = {.from = from, .to = to, .old = lw_resampler_where(from), .new = lw_resampler_where(to)};
    j.owed = (int64_t)lw_resampler_bound(from, 0);
    if (!fits(&j.old) || !fits(&j.new) || j.owed > LW_JOIN_TAIL)
        return LW_EINVAL;
    lw_fir_shape shape = lw_fir_measure(47999, 48000, LW_RESAMPLER_VOICE);
    if (lw_fir_shared(&shape, &j.between) < 0)
        return LW_ENOMEM;
    j.behind_q = ((int64_t)j.old.behind << PLACE_BITS) / j.old.step;
    int32_t between = j.old.step / gcd(j.old.step, (int64_t)j.old.behind * j.new.step);
    if (between > 1) {
        int32_t most = LW_RESAMPLER_FINEST / j.new.phases;
        lw_resampler_divide(to, between < most ? between : most);
        j.new = lw_resampler_where(to);
    }
    /* Exact, or to the nearest where that takes too many phases: then to a thousandth of an output. */
    int64_t phase = ((int64_t)j.old.behind * j.new.step * 2 + j.old.step) / (2 * (int64_t)j.old.step);
    j.phase = j.new.ahead ? (int32_t)phase : 0;

    int16_t known[NEEDED]; /* from any address */
    size_t count = (size_t)lw_min64((int64_t)n, NEEDED);
    memcpy(known, pcm, count * sizeof *pcm);
    memcpy(j.u, heard + j.owed, (LW_JOIN_PAST - (size_t)j.owed) * sizeof *j.u);
    guess(&j, known, count);
    make_owed(&j);
    make_ahead(&j);
    for (int round = 0; round < ROUNDS; round++) {
        find_future(&j);
        make_owed(&j);
        find_past(&j);
        make_ahead(&j);
    }
    lw_resampler_start(to, j.past, (size_t)j.new.past, j.phase);
    memcpy(out, j.u + LW_JOIN_PAST - j.owed, (size_t)j.owed * sizeof *out);
    return j.owed;
}
