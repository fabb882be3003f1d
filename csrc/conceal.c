/* Concealment of lost speech.
 *
 *   forward   the last period, looped without a seam, and noise of the same colour, mixed by how voiced it was. From
 *             HOLD on it fades, at FADE only the background's noise is left. As G.711 Appendix I, with noise
 *   bridge    where what follows is there, too: from both ends. If both are voiced and alike, one voice is carried
 *             across: its periods change from those before to those behind, its pitch a little faster or slower, so that
 *             it arrives in phase (waveform interpolation). Else each side goes on by itself, a voice by its period,
 *             noise mirrored, and one goes over into the other
 *
 * What remains of a jump at the seams is evened out over RAMP. */
#include "conceal.h"

#include <string.h>

#include "common.h"

#define HOLD_MS 12
#define FADE_VOICED_MS 110
#define FADE_HISS_MS 80
#define RAMP_US 2500
#define VOICED_FROM 11469  /* Q15: likeness at which there begins to be a voice */
#define VOICED 16384       /* Q15: from here on a bridge carries it */
#define TREND_LEAST 24576  /* Q15: a voice that dies away does not do so at once */
#define LAGS LW_PITCH_LAGS
#define ONE ((int64_t)1 << 24) /* a period, as a phase */

static int32_t fade_ms(const lw_conceal *c)
{
    return c->voiced > 23170 ? FADE_VOICED_MS : FADE_HISS_MS;
}

/* The period before `end`; its end goes over into what was before its beginning, so that it can be looped. */
static void loop_before(int16_t *period, const int16_t *end, int32_t lag)
{
    int32_t seam = lag / 4;
    memcpy(period, end - lag, (size_t)lag * sizeof *period);
    for (int32_t i = 0; i < seam; i++) {
        int32_t k = lag - seam + i, other = end[k - 2 * lag];
        period[k] = (int16_t)(period[k] + (other - period[k]) * (i + 1) / (seam + 1));
    }
}

/* The period behind `start`, of which `have` samples are there; its beginning comes out of what follows its end. */
static void loop_behind(int16_t *period, const int16_t *start, int32_t have, int32_t lag)
{
    int32_t seam = lag / 4 < have - lag ? lag / 4 : have - lag;
    memcpy(period, start, (size_t)lag * sizeof *period);
    for (int32_t i = 0; i < seam; i++) {
        int32_t other = start[lag + i];
        period[i] = (int16_t)(other + (period[i] - other) * (i + 1) / (seam + 1));
    }
}

void lw_conceal_begin(lw_conceal *c, const int16_t *end, const int16_t *quiet, int32_t rate)
{
    uint32_t seed = c->unvoiced.seed, ground = c->ground.seed;
    lw_match m = lw_pitch_before(end, rate);
    *c = (lw_conceal){.rate = rate, .lag = m.lag, .gain = 32767};
    c->unvoiced.seed = seed;
    c->ground.seed = ground ? ground : lw_random_seed(2);
    c->voiced = lw_clamp((m.likeness_q15 - VOICED_FROM) * 2, 0, 32767);
    c->hiss = (int32_t)lw_root((uint64_t)(((int64_t)1 << 30) - (int64_t)c->voiced * c->voiced));
    if (c->hiss < 4096)
        c->hiss = 0;
    loop_before(c->period, end, c->lag);
    int32_t last = lw_level(end - c->lag, c->lag), before = lw_level(end - 2 * c->lag, c->lag);
    c->trend = before > 0 ? lw_clamp((int32_t)(((int64_t)last << 15) / before), TREND_LEAST, 32767) : 32767;
    c->step = end[-1] - end[-1 - c->lag];
    c->ramp = rate / 400;
    lw_noise_like(&c->unvoiced, end - lw_pitch_window(rate), rate);
    if (quiet)
        lw_noise_like(&c->ground, quiet, rate);
    else
        c->ground.reach = 0;
}

int lw_conceal_over(const lw_conceal *c)
{
    return c->run >= fade_ms(c) * (c->rate / 1000);
}

/* Q15: what is left of the sound itself. */
static int32_t envelope(const lw_conceal *c, int32_t run)
{
    int32_t ms = c->rate / 1000, hold = HOLD_MS * ms, all = fade_ms(c) * ms;
    return run < hold ? 32768 : run >= all ? 0 : (int32_t)((int64_t)(all - run) * 32768 / (all - hold));
}

void lw_conceal_more(lw_conceal *c, int16_t *out, int32_t n)
{
    int16_t noise[LW_PITCH_MOST_RATE / 100], ground[LW_PITCH_MOST_RATE / 100];
    while (n > 0) {
        int32_t part = n < c->rate / 100 ? n : c->rate / 100;
        int32_t from = envelope(c, c->run), to = envelope(c, c->run + part);
        lw_noise_make(&c->ground, ground, part);
        if (!from) {
            memcpy(out, ground, (size_t)part * sizeof *out);
        } else {
            if (c->hiss)
                lw_noise_make(&c->unvoiced, noise, part);
            for (int32_t i = 0; i < part; i++) {
                int32_t left = from + (to - from) * i / part;
                int64_t x = (int64_t)c->period[c->at] * c->gain >> 15;
                if (c->run + i < c->ramp)
                    x += c->step * (c->ramp - c->run - i) / c->ramp;
                x = x * c->voiced + (c->hiss ? (int64_t)noise[i] * c->hiss : 0);
                out[i] = lw_sat16(((x >> 15) * left + (int64_t)ground[i] * (32768 - left) + 16384) >> 15);
                if (++c->at == c->lag) {
                    c->at = 0;
                    c->gain = c->gain * c->trend >> 15;
                }
            }
        }
        c->run += part;
        out += part;
        n -= part;
    }
}

/* ---- from both ends ---- */

/* The value of a loop at a place in Q8, by the cubic through four neighbours (Catmull and Rom, 1974). */
static int32_t between(const int16_t *period, int32_t lag, int32_t place)
{
    int32_t i = place >> 8, f = place & 255;
    int32_t b = period[i], c = period[i + 1 < lag ? i + 1 : 0];
    if (!f)
        return b;
    int32_t a = period[i > 0 ? i - 1 : lag - 1], d = period[i + 2 < lag ? i + 2 : i + 2 - lag];
    int64_t cube = 3 * (b - c) + d - a, square = 2 * a - 5 * b + 4 * c - d, line = c - a;
    int64_t slope = (((cube * f >> 8) + square) * f >> 8) + line;
    return b + (int32_t)(slope * f >> 9);
}

/* Sound that goes on beyond an end: a loop, or, where there is no period, what was before the end backwards. */
typedef struct side {
    const int16_t *period; /* NULL: mirrored */
    const int16_t *mirror; /* [0] is nearest to the end */
    int32_t lag, direction, folds;
} side;

/* i samples beyond the end. */
static int32_t beyond(const side *s, int32_t i)
{
    if (s->period)
        return s->direction > 0 ? s->period[i % s->lag] : s->period[s->lag - 1 - i % s->lag];
    int32_t k = i % (2 * s->folds);
    return s->mirror[-s->direction * (k < s->folds ? k : 2 * s->folds - 1 - k)];
}

/* Weights of sounds that have nothing to do with each other: their squares add up to about 1. t is Q15. */
static int32_t rise(int32_t t)
{
    return (int32_t)((int64_t)t * (49152 - ((int64_t)t * t >> 16)) >> 15);
}

static void two_sounds(int16_t *out, int32_t gap, const int16_t *future, int32_t overlap, const side *past,
                       const side *next)
{
    int32_t all = gap + overlap;
    for (int32_t i = 0; i < all; i++) {
        int32_t t = (int32_t)(((int64_t)(2 * i + 1) << 14) / all);
        int64_t x = (int64_t)beyond(past, i) * rise(32768 - t);
        x += (int64_t)(i < gap ? beyond(next, gap - 1 - i) : future[i - gap]) * rise(t);
        out[i] = lw_sat16((x + 16384) >> 15);
    }
}

/* The place of a phase, Q24 of a period, in a loop of `lag` samples: Q8. */
static int32_t place(int64_t phase, int32_t lag)
{
    return (int32_t)((phase & 0xFFFFFF) * lag >> 16);
}

/* Periods that go by in `meet` samples while their length changes, Q24. */
static int64_t natural_phase(int32_t meet, int32_t lag, int32_t next_lag)
{
    return (ONE / lag + ONE / next_lag) * meet / 2;
}

/* What has to be added to that for both voices to be in phase there: half a period at most. `shift`: where in the loop
 * before the gap the future begins. */
static int64_t off_phase(int32_t meet, int32_t overlap, int32_t lag, int32_t next_lag, int32_t shift)
{
    int64_t off = (shift + overlap / 2) * ONE / lag - natural_phase(meet, lag, next_lag);
    off &= ONE - 1;
    return off < ONE / 2 ? off : off - ONE;
}

/* Can that be done without the voice falling or rising by more than a third? */
static int bends(int32_t gap, int32_t overlap, int32_t lag, int32_t next_lag, int32_t shift)
{
    int32_t meet = gap + overlap / 2 > 0 ? gap + overlap / 2 : 1;
    int64_t off = off_phase(meet, overlap, lag, next_lag, shift);
    return 3 * (off < 0 ? -off : off) <= natural_phase(meet, lag, next_lag);
}

static void one_voice(int16_t *out, int32_t gap, const int16_t *future, int32_t overlap, const int16_t *before,
                      int32_t lag, const int16_t *behind, int32_t next_lag, int32_t shift)
{
    int32_t all = gap + overlap, meet = gap + overlap / 2 > 0 ? gap + overlap / 2 : 1;
    int64_t rate = ONE / lag, next_rate = ONE / next_lag, bent = next_rate - rate;
    int64_t extra = off_phase(meet, overlap, lag, next_lag, shift), end = natural_phase(meet, lag, next_lag) + extra;
    int64_t at_gap = rate * gap + bent * gap * gap / (2 * meet) + extra * gap / meet;
    for (int32_t i = 0; i < all; i++) {
        int64_t phase = i < meet ? rate * i + bent * i * i / (2 * meet) + extra * i / meet : end + next_rate * (i - meet);
        int32_t t = (int32_t)(((int64_t)(2 * i + 1) << 14) / all);
        int32_t a = between(before, lag, place(phase, lag));
        int32_t b = i < gap ? between(behind, next_lag, place(phase - at_gap, next_lag)) : future[i - gap];
        out[i] = lw_sat16(a + (((int64_t)(b - a) * t + 16384) >> 15));
    }
}

void lw_conceal_bridge(int16_t *out, int32_t gap, const int16_t *future, int32_t have, int32_t overlap, int32_t rate)
{
    if (gap + overlap <= 0)
        return;
    int16_t before[LAGS], behind[LAGS], twice[LAGS + LW_PITCH_MOST_RATE / 100];
    int32_t window = lw_pitch_window(rate), least = lw_pitch_least(rate), most = lw_pitch_most(rate);
    lw_match past = lw_pitch_before(out, rate), next = {0, 0}, joint = {0, 0};
    int32_t lag = past.lag, next_lag = lag;
    int voiced = past.likeness_q15 >= VOICED, next_voiced = 0;
    int32_t seen = most < have - window ? most : have - window; /* the longest period that the future shows */
    if (seen >= least) {
        int32_t low = voiced && lag * 4 / 5 > least ? lag * 4 / 5 : least;
        int32_t high = voiced && lag * 5 / 4 < seen ? lag * 5 / 4 : seen;
        if (high >= low && !(voiced && lag > seen)) {
            next = lw_match_find(future, future + low, high - low + 1, rate);
            next_lag = low + next.lag;
            next_voiced = next.likeness_q15 >= VOICED;
        }
        if (!next_voiced)
            next_lag = lag;
    }
    if (voiced) {
        loop_before(before, out, lag);
        if (have >= window) {
            for (int32_t i = 0; i < lag + window - 1; i++)
                twice[i] = before[i % lag];
            joint = lw_match_find(future, twice, lag, rate);
        }
    }
    int joined = voiced && joint.likeness_q15 >= VOICED && have >= next_lag && bends(gap, overlap, lag, next_lag, joint.lag);
    if (joined || next_voiced)
        loop_behind(behind, future, have, next_lag);
    if (joined) {
        one_voice(out, gap, future, overlap, before, lag, behind, next_lag, joint.lag);
    } else {
        side a = {voiced ? before : NULL, out - 1, lag, 1, rate / 50};
        side b = {next_voiced ? behind : NULL, future, next_lag, -1, have < rate / 50 ? have : rate / 50};
        two_sounds(out, gap, future, overlap, &a, &b);
    }
    int32_t ramp = rate / 400 < gap + overlap ? rate / 400 : gap + overlap;
    int32_t jump = voiced ? out[-1] - out[-1 - lag] : 0;
    for (int32_t i = 0; i < ramp; i++)
        out[i] = lw_sat16(out[i] + jump * (ramp - i) / (ramp + 1));
    ramp = rate / 400 < gap ? rate / 400 : gap;
    jump = (joined || next_voiced) && have > next_lag ? (future[0] - future[next_lag]) * gap / (gap + overlap) : 0;
    for (int32_t i = 0; i < ramp; i++)
        out[gap - 1 - i] = lw_sat16(out[gap - 1 - i] + jump * (ramp - i) / (ramp + 1));
}
