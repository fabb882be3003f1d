/* Time-scale modification by whole periods (WSOLA with one splice): the sound goes over from where it is to where it
 * sounds the same, 2.5 to 15 ms later or earlier, in a cross-fade of 10 ms.
 *
 *   voiced   the lag at which the 10 ms of the cross-fade are most alike: a period, or several
 *   quiet    as much as is wanted: a cross-fade of noise is noise */
#include "stretch.h"

#include <string.h>

#include "common.h"
#include "pitch.h"

/* to = a in the beginning, b at the end. */
static void cross_fade(int16_t *to, const int16_t *a, const int16_t *b, int32_t n)
{
    int32_t step = 32768 / n, weight = step / 2;
    for (int32_t i = 0; i < n; i++, weight += step)
        to[i] = (int16_t)(a[i] + (((b[i] - a[i]) * weight + 16384) >> 15));
}

/* How many samples away the splice goes, of least..most; 0 = nowhere. The candidates begin at b. */
static int32_t choose(const int16_t *x, const int16_t *b, int32_t around, const lw_stretch *how, int backwards)
{
    int32_t n = lw_pitch_window(how->rate);
    if (lw_level(x, n) <= how->quiet && lw_level(b, around) <= how->quiet)
        return lw_clamp(how->wanted, 1, how->most);
    lw_match m = lw_match_find(x, b, how->most - how->least + 1, how->rate);
    if (m.likeness_q15 < how->likeness_q15)
        return 0;
    return backwards ? how->most - m.lag : how->least + m.lag;
}

int32_t lw_shorten(int16_t *x, int32_t n, const lw_stretch *how)
{
    int32_t window = lw_pitch_window(how->rate);
    int32_t cut = choose(x, x + how->least, window + how->most - how->least, how, 0);
    if (cut) {
        cross_fade(x, x, x + cut, window);
        memmove(x + window, x + window + cut, (size_t)(n - window - cut) * sizeof *x);
    }
    return cut;
}

int32_t lw_lengthen(int16_t *x, int32_t n, const lw_stretch *how)
{
    int32_t window = lw_pitch_window(how->rate);
    int16_t joined[LW_PITCH_MOST_RATE / 100];
    int32_t added = choose(x, x - how->most, how->most, how, 1);
    if (added) {
        cross_fade(joined, x, x - added, window);
        memmove(x + window, x + window - added, (size_t)(n - window + added) * sizeof *x);
        memcpy(x, joined, (size_t)window * sizeof *x);
    }
    return added;
}
