/* Coloured noise: uniform random numbers through an all-pole lattice, which is stable for any coefficients below 1.
 *
 *   from sound     autocorrelation of 10 ms -> reflection coefficients by Schur's recursion
 *   from RFC 3389  they are in the payload
 *   gain           the filter multiplies power by 1 / product of (1 - k^2); the excitation is that much weaker
 */
#include "comfort.h"

#include <string.h>

#include "common.h"
#include "dsp.h"
#include "pitch.h"

#define LIKE_ORDER 8
#define K_MOST 32100         /* 0.98 */
#define ROOT3_Q15 56756      /* a uniform number reaches root 3 times its effective value */
#define DECIBEL_Q31 1913946816 /* 10^(-1/20) */
#define WINDOW_MOST (LW_PITCH_MOST_RATE / 100)

/* `power` is the mean square, Q8. */
static void set_gain(lw_noise *noise, int64_t power)
{
    for (int32_t m = 0; m < noise->order; m++)
        power = power * (32768 - (noise->k[m] * noise->k[m] >> 15)) >> 15;
    noise->reach = (int32_t)((int64_t)lw_root((uint64_t)power) * ROOT3_Q15 >> 15);
}

/* Schur's recursion; r[0] is the largest and below 2^31. */
static int32_t schur(int16_t *k, const int64_t *r, int32_t order)
{
    int64_t u[LIKE_ORDER + 1], v[LIKE_ORDER + 1];
    memcpy(u, r, sizeof u);
    memcpy(v, r, sizeof v);
    for (int32_t m = 1; m <= order; m++) {
        if (v[m - 1] <= 0)
            return m - 1;
        int64_t q = -(u[m] * 32768) / v[m - 1];
        k[m - 1] = (int16_t)(q < -K_MOST ? -K_MOST : q > K_MOST ? K_MOST : q);
        for (int32_t i = order; i >= m; i--) {
            int64_t before = v[i - 1], ahead = u[i];
            u[i] = ahead + k[m - 1] * before / 32768;
            v[i] = before + k[m - 1] * ahead / 32768;
        }
    }
    return order;
}

void lw_noise_like(lw_noise *noise, const int16_t *x, int32_t rate)
{
    int32_t n = lw_pitch_window(rate), bits = 0, shift = 0, sums[LIKE_ORDER + 1];
    int16_t scaled[WINDOW_MOST + LIKE_ORDER + 1] = {0};
    uint32_t seed = noise->seed;
    *noise = (lw_noise){.seed = seed ? seed : lw_random_seed(1)};
    for (int32_t i = 0; i < n; i++)
        bits |= x[i] < 0 ? ~x[i] : x[i];
    while (bits >> shift > 2047)
        shift++;
    for (int32_t i = 0; i < n; i++)
        scaled[i] = (int16_t)(x[i] >> shift);
    lw_kernels.correlate(sums, scaled, scaled, (size_t)n, LIKE_ORDER + 1);
    if (sums[0] <= 0)
        return;
    int64_t r[LIKE_ORDER + 1];
    for (int32_t i = 0; i <= LIKE_ORDER; i++)
        r[i] = sums[i];
    r[0] += (r[0] >> 9) + 1; /* a floor under deep valleys of the spectrum */
    noise->order = schur(noise->k, r, LIKE_ORDER);
    set_gain(noise, (((int64_t)sums[0] << 8) / n) << (2 * shift));
}

void lw_noise_payload(lw_noise *noise, const uint8_t *payload, size_t n)
{
    uint32_t seed = noise->seed;
    *noise = (lw_noise){.seed = seed ? seed : lw_random_seed(1)};
    int64_t value = (int64_t)32768 << 16;
    for (int32_t level = n ? payload[0] & 127 : 127; level > 0; level--)
        value = value * DECIBEL_Q31 >> 31;
    for (; noise->order < LW_NOISE_ORDER && (size_t)noise->order + 1 < n; noise->order++)
        noise->k[noise->order] =
            (int16_t)lw_clamp((payload[noise->order + 1] - 127) * 258, -K_MOST, K_MOST); /* RFC 3389, section 3 */
    value >>= 12; /* Q4 */
    set_gain(noise, value * value);
}

void lw_noise_make(lw_noise *noise, int16_t *out, int32_t n)
{
    int32_t *b = noise->back;
    if (!noise->reach) {
        memset(out, 0, (size_t)n * sizeof *out);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t random = (int32_t)(lw_random_next(&noise->seed) >> 16) - 32768;
        int64_t f = (int64_t)random * noise->reach >> 15;
        for (int32_t m = noise->order - 1; m >= 0; m--) {
            f -= noise->k[m] * (int64_t)b[m] >> 15;
            f = f < -(1 << 24) ? -(1 << 24) : f > 1 << 24 ? 1 << 24 : f;
            int64_t next = b[m] + (noise->k[m] * f >> 15);
            b[m + 1] = (int32_t)(next < -(1 << 24) ? -(1 << 24) : next > 1 << 24 ? 1 << 24 : next);
        }
        b[0] = (int32_t)f;
        out[i] = lw_sat16((f + 8) >> 4);
    }
}
