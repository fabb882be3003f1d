/* Concealment of lost speech.
 *
 *   forward   the last period, looped without a seam: for PURE it alone, then with noise of the same colour, as much of it
 *             as there was. From HOLD on it fades, until only the background's noise is left. As G.711 Appendix I, with noise
 *   bridge    where what follows is there, too: the period before from the front, the period behind from the back, and in
 *             the middle of the gap one goes over into the other
 *
 * What PESQ says (bench/jitter.py) is not what one would think: noise from the first sample on
 * costs 0.2 to 0.3 MOS, in hiss, too; evening out whatever the loop jumps by where it begins costs 0.2; and a bridge whose phase is
 * bent until both voices meet is worse than one voice going over into another, by 0.5. */
#include "conceal.h"

#include <string.h>

#include "common.h"

#define HOLD_MS 20
#define PURE_MS 20
#define ROUGH_MS 40          /* from here on there is all of the noise */
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

/* Q15: how much of the noise that belongs to it the sound has: at first the period alone, which is nearer to what was lost
 * than any noise is. */
static int32_t roughness(const lw_conceal *c, int32_t run)
{
    int32_t begin = PURE_MS * (c->rate / 1000), all = ROUGH_MS * (c->rate / 1000);
    return lw_clamp((int32_t)((int64_t)(run - begin) * 32768 / (all - begin)), 0, 32768);
}

void lw_conceal_more(lw_conceal *c, int16_t *out, int32_t n)
{
    int16_t noise[LW_PITCH_MOST_RATE / 100], ground[LW_PITCH_MOST_RATE / 100];
    while (n > 0) {
        int32_t part = n < c->rate / 100 ? n : c->rate / 100;
        int32_t from = envelope(c, c->run), to = envelope(c, c->run + part);
        int32_t rough = roughness(c, c->run), rougher = roughness(c, c->run + part);
        lw_noise_make(&c->ground, ground, part);
        if (!from) {
            memcpy(out, ground, (size_t)part * sizeof *out);
        } else {
            int hiss = c->hiss && rougher;
            if (hiss)
                lw_noise_make(&c->unvoiced, noise, part);
            for (int32_t i = 0; i < part; i++) {
                int32_t left = from + (to - from) * i / part, some = rough + (rougher - rough) * i / part;
                int64_t x = (int64_t)c->period[c->at] * c->gain >> 15;
                x = x * (32767 - ((32767 - c->voiced) * some >> 15));
                x += hiss ? (int64_t)noise[i] * (c->hiss * some >> 15) : 0;
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

/* What a loop of `lag` samples that ends beside x jumps by, if that can be heard: more than the sound itself does. `step` leads
 * away from the end. */
static int32_t jump(const int16_t *x, int32_t lag, int32_t step)
{
    int32_t by = x[0] - x[step * lag], most = 0;
    for (int32_t i = 0; i < lag; i++) {
        int32_t d = x[step * i] - x[step * (i + 1)];
        most = d > most ? d : -d > most ? -d : most;
    }
    return by > most || -by > most ? by : 0;
}

/* Evens it out over 2.5 ms, from x on. */
static void even_out(int16_t *x, int32_t by, int32_t n, int32_t step, int32_t rate)
{
    int32_t all = rate / 400 < n ? rate / 400 : n;
    for (int32_t i = 0; by && i < all; i++)
        x[step * i] = lw_sat16(x[step * i] + by * (all - i) / (all + 1));
}

/* out = the loop `before` from its beginning; from `from` on it goes over, during `fade`, into the loop `behind`, which ends
 * with out[gap - 1]. */
static void join(int16_t *out, int32_t gap, const int16_t *before, int32_t lag, const int16_t *behind, int32_t next_lag,
                 int32_t from, int32_t fade)
{
    for (int32_t i = 0; i < gap; i++) {
        int32_t a = before[i % lag], b = behind[next_lag - 1 - (gap - 1 - i) % next_lag];
        int32_t t = i < from ? 0 : lw_clamp((2 * (i - from) + 1) * (16384 / fade), 0, 32768);
        out[i] = lw_sat16(a + (((int64_t)(b - a) * t + 16384) >> 15));
    }
}

void lw_conceal_bridge(int16_t *out, int32_t gap, const int16_t *future, int32_t have, int32_t overlap, int32_t rate)
{
    int16_t before[LAGS], behind[LAGS];
    int32_t window = lw_pitch_window(rate), least = lw_pitch_least(rate), most = lw_pitch_most(rate);
    int32_t seen = most < have - window ? most : have - window; /* the longest period that the future shows */
    int32_t lag = lw_pitch_before(out, rate).lag, fade = window < gap ? window : gap;
    loop_before(before, out, lag);
    memcpy(out + gap, future, (size_t)overlap * sizeof *out);
    if (gap && seen >= least) {
        int32_t next_lag = least + lw_match_find(future, future + least, seen - least + 1, rate).lag;
        loop_behind(behind, future, have, next_lag);
        join(out, gap, before, lag, behind, next_lag, (gap - fade) / 2, fade);
        even_out(out, jump(out - 1, lag, -1), gap, 1, rate);
        even_out(out + gap - 1, have > next_lag ? jump(future, next_lag, 1) : 0, gap, -1, rate);
        return;
    }
    for (int32_t i = 0; i < gap; i++)
        out[i] = before[i % lag];
    for (int32_t i = 0; i < overlap; i++) {
        int32_t a = before[(gap + i) % lag], t = (2 * i + 1) * (16384 / overlap);
        out[gap + i] = (int16_t)(a + (((future[i] - a) * t + 16384) >> 15));
    }
}
