/* Concealment of lost speech.
 *
 *   forward   for KNOWN linear prediction (predict.c), which goes on with formants, period and phase. Behind it the last
 *             period, looped without a seam, with noise of the same colour, as much of it as there was. From HOLD on all of it
 *             fades, until only the background's noise is left
 *   bridge    where what follows is there, too: it is predicted backwards, and one goes over into the other
 *
 * What PESQ says (bench/jitter.py): prediction from both ends is worth 1.0 MOS where every twelfth packet is lost, against
 * periods from both ends; noise from the first sample on costs 0.2 to 0.3, in hiss, too. */
#include "conceal.h"

#include <string.h>

#include "common.h"

#define AHEAD_MS 30        /* what a predictor is made of, and its order */
#define AHEAD_ORDER_MS 8
#define BEHIND_US 6250     /* the order of the one backwards, of one packet */
#define KNOWN_MS 20        /* so long nothing but prediction, and all of it */
#define DOUBT_MS 30        /* from here on none of it */
#define ROUGH_MS 40        /* from here on there is all of the noise */
#define FADE_VOICED_MS 110
#define FADE_HISS_MS 80
#define VOICED_FROM 11469  /* Q15: likeness at which there begins to be a voice */
#define TREND_LEAST 24576  /* Q15: a voice that dies away does not do so at once */
#define LAGS LW_PITCH_LAGS

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
    lw_predict_begin(&c->ahead, end - rate * AHEAD_MS / 1000, rate * AHEAD_MS / 1000, rate / 1000 * AHEAD_ORDER_MS, 1);
    int32_t last = lw_level(end - c->lag, c->lag), before = lw_level(end - 2 * c->lag, c->lag);
    c->trend = before > 0 ? lw_clamp((int32_t)(((int64_t)last << 15) / before), TREND_LEAST, 32767) : 32767;
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

/* out = a in the beginning, b at the end. */
static void cross_fade(int16_t *out, const int16_t *a, const int16_t *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t t = (int32_t)(((int64_t)(2 * i + 1) << 14) / n);
        out[i] = lw_sat16(a[i] + (((int64_t)(b[i] - a[i]) * t + 16384) >> 15));
    }
}

/* Q15, by samples so far: 1 for KNOWN, and from `to_ms` on 0. */
static int32_t share(const lw_conceal *c, int32_t run, int32_t to_ms)
{
    int32_t ms = c->rate / 1000, from = KNOWN_MS * ms, to = to_ms * ms;
    return lw_clamp((int32_t)((int64_t)(to - run) * 32768 / (to - from)), 0, 32768);
}

/* Which part of the period is due. */
static void advance(lw_conceal *c, int32_t n)
{
    c->run += n;
    for (c->at += n; c->at >= c->lag; c->at -= c->lag)
        c->gain = c->gain * c->trend >> 15;
}

/* 10 ms at most of what is not known any more. */
static void decline(lw_conceal *c, int16_t *out, int32_t n)
{
    int16_t hiss[LW_PITCH_MOST_RATE / 100], ground[LW_PITCH_MOST_RATE / 100], known[LW_PITCH_MOST_RATE / 100] = {0};
    int32_t run = c->run, end = run + n;
    int32_t left = share(c, run, fade_ms(c)), less = share(c, end, fade_ms(c));
    int32_t sure = share(c, run, DOUBT_MS), surer = share(c, end, DOUBT_MS);
    int32_t pure = share(c, run, ROUGH_MS), purer = share(c, end, ROUGH_MS);
    lw_noise_make(&c->ground, ground, n);
    lw_noise_make(&c->unvoiced, hiss, n);
    if (sure)
        lw_predict_more(&c->ahead, known, n);
    int32_t at = c->at, gain = c->gain;
    for (int32_t i = 0; i < n; i++) {
        int32_t trust = sure + (surer - sure) * i / n, rough = 32768 - (pure + (purer - pure) * i / n);
        int32_t keep = left + (less - left) * i / n;
        int64_t x = ((int64_t)c->period[at] * gain >> 15) * (32768 - ((32768 - c->voiced) * rough >> 15));
        x = (x + (int64_t)hiss[i] * (c->hiss * rough >> 15)) >> 15;
        x += (known[i] - x) * trust >> 15;
        out[i] = lw_sat16((x * keep + (int64_t)ground[i] * (32768 - keep) + 16384) >> 15);
        if (++at == c->lag) {
            at = 0;
            gain = gain * c->trend >> 15;
        }
    }
    advance(c, n);
}

void lw_conceal_more(lw_conceal *c, int16_t *out, int32_t n)
{
    while (n > 0) {
        int32_t known = KNOWN_MS * (c->rate / 1000) - c->run, most = known > 0 ? known : c->rate / 100;
        int32_t part = n < most ? n : most;
        if (known > 0) {
            lw_predict_more(&c->ahead, out, part);
            advance(c, part);
        } else if (lw_conceal_over(c)) {
            lw_noise_make(&c->ground, out, part);
            advance(c, part);
        } else {
            decline(c, out, part);
        }
        out += part;
        n -= part;
    }
}

void lw_conceal_bridge(lw_conceal *c, int16_t *out, int32_t gap, const int16_t *future, int32_t have, int32_t overlap)
{
    int16_t ahead[LW_PITCH_MOST_RATE / 10], back[LW_PITCH_MOST_RATE / 10];
    lw_conceal_more(c, ahead, gap ? gap : overlap);
    if (!gap) {
        cross_fade(out, ahead, future, overlap);
        return;
    }
    lw_predictor behind;
    lw_predict_begin(&behind, future, have < c->rate / 50 ? have : c->rate / 50, c->rate * BEHIND_US / 1000000, -1);
    lw_predict_more(&behind, back, gap);
    for (int32_t i = 0; i < gap / 2; i++) {
        int16_t t = back[i];
        back[i] = back[gap - 1 - i];
        back[gap - 1 - i] = t;
    }
    cross_fade(out, ahead, back, gap);
    memcpy(out + gap, future, (size_t)overlap * sizeof *out);
}
