/* Similarity by normalised cross-correlation, in two steps.
 *
 *   scaling      everything to 11 bits and a sign: 512 products of that fit 32 bits
 *   at 8 kHz     means of rate / 8000 samples; the best lag by c^2 / e, c > 0
 *   at the rate  the lags around it, the same way */
#include "pitch.h"

#include "common.h"
#include "dsp.h"

#define COARSE_RATE 8000
#define MOST_FACTOR 6
#define WINDOW_MOST (LW_PITCH_MOST_RATE / 100)

/* out[l] = sum of x[i] y[i + l], i < n, l < lags. */
void lw_correlate_c(int32_t *out, const int16_t *x, const int16_t *y, size_t n, size_t lags)
{
    for (size_t l = 0; l < lags; l++) {
        int32_t sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += x[i] * y[i + l];
        out[l] = sum;
    }
}

uint32_t lw_root(uint64_t x)
{
    uint64_t root = 0;
    for (uint64_t bit = 1ull << 62; bit; bit >>= 2) {
        if (x >= root + bit) {
            x -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

int32_t lw_level(const int16_t *x, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i] < 0 ? -x[i] : x[i];
    return n > 0 ? sum / n : 0;
}

static int32_t peak(const int16_t *x, int32_t n)
{
    int32_t most = 0;
    for (int32_t i = 0; i < n; i++)
        most |= x[i] < 0 ? ~x[i] : x[i]; /* its highest bit is that of the largest */
    return most;
}

static void scale(int16_t *to, const int16_t *x, int32_t n, int32_t shift)
{
    for (int32_t i = 0; i < n; i++)
        to[i] = (int16_t)(x[i] >> shift);
}

/* n means of `factor`, 1, 2, 3 or 6, samples; of three, quarters of the sum. */
static void thin(int16_t *to, const int16_t *x, int32_t n, int32_t factor)
{
    int32_t shift = factor == 1 ? 0 : factor == 2 ? 1 : factor == 3 ? 2 : 3;
    for (int32_t i = 0; i < n; i++, x += factor) {
        int32_t sum = 0;
        for (int32_t k = 0; k < factor; k++)
            sum += x[k];
        to[i] = (int16_t)(sum >> shift);
    }
}

typedef struct found {
    int32_t lag, c, e;
} found;

/* The best of lags first..first + lags - 1. */
static found best(const int16_t *a, const int16_t *b, int32_t n, int32_t first, int32_t lags)
{
    int32_t c[LW_PITCH_LAGS], e;
    found top = {first, 0, 1};
    int64_t score = 0;
    b += first;
    lw_kernels.correlate(c, a, b, (size_t)n, (size_t)lags);
    lw_kernels.correlate(&e, b, b, (size_t)n, 1);
    for (int32_t l = 0; l < lags; l++) {
        if (c[l] > 0 && e > 0) {
            int64_t s = (int64_t)c[l] * c[l] / e;
            if (s > score) {
                score = s;
                top = (found){first + l, c[l], e};
            }
        }
        if (l + 1 < lags) /* what it reads beyond the last window is not there */
            e += b[l + n] * b[l + n] - b[l] * b[l];
    }
    return top;
}

lw_match lw_match_find(const int16_t *a, const int16_t *b, int32_t lags, int32_t rate)
{
    int16_t as[WINDOW_MOST], bs[WINDOW_MOST + LW_PITCH_LAGS];
    int16_t at[WINDOW_MOST], bt[WINDOW_MOST + LW_PITCH_LAGS];
    int32_t n = lw_pitch_window(rate), factor = rate / COARSE_RATE, all = n + lags - 1;
    int32_t bits = peak(a, n) | peak(b, all), shift = 0;
    if (!bits)
        return (lw_match){0, 0};
    while (bits >> shift > 2047)
        shift++;
    scale(as, a, n, shift);
    scale(bs, b, all, shift);
    found top = {0, 0, 1};
    if (factor > 1) {
        int32_t thin_lags = (lags - 1) / factor + 1;
        thin(at, as, n / factor, factor);
        thin(bt, bs, (thin_lags - 1) + n / factor, factor);
        top = best(at, bt, n / factor, 0, thin_lags);
        int32_t first = lw_clamp(top.lag * factor - factor + 1, 0, lags - 1);
        int32_t last = lw_clamp(top.lag * factor + factor - 1, 0, lags - 1);
        top = best(as, bs, n, first, last - first + 1);
    } else {
        top = best(as, bs, n, 0, lags);
    }
    int32_t ea;
    lw_kernels.correlate(&ea, as, as, (size_t)n, 1);
    int64_t whole = lw_root((uint64_t)ea * (uint64_t)top.e);
    int64_t likeness = whole > 0 ? ((int64_t)top.c << 15) / whole : 0;
    return (lw_match){top.lag, (int32_t)(likeness > 32767 ? 32767 : likeness)};
}

lw_match lw_pitch_before(const int16_t *end, int32_t rate)
{
    int32_t n = lw_pitch_window(rate), least = lw_pitch_least(rate), most = lw_pitch_most(rate);
    lw_match m = lw_match_find(end - n, end - n - most, most - least + 1, rate);
    m.lag = most - m.lag;
    return m;
}
