/* Linear prediction of high order by Burg's recursion (1967): it takes the samples as they are, without a window, and
 * what it predicts cannot grow. An order of several milliseconds holds the voice's period as well as its formants. */
#include "predict.h"

#include <string.h>

#include "common.h"
#include "dsp.h"

#define LANES 16
#define FRESH 16 /* steps from which on the errors' power, which follows from the one before, is summed up anew */

static float add_up(const float *lane)
{
    float eight[8], four[4];
    for (int i = 0; i < 8; i++)
        eight[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        four[i] = eight[i] + eight[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

float lw_dot_c(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += a[i + k] * b[i + k];
    for (size_t k = 0; i < n; i++, k++)
        lane[k] += a[i] * b[i];
    return add_up(lane);
}

float lw_burg_c(float *f, float *b, size_t n, float k)
{
    for (size_t i = 0; i < n; i++) {
        float t = f[i];
        f[i] = t + k * b[i];
        b[i] = b[i] + k * t;
    }
    return lw_dot_c(f + 1, b, n - 1);
}

void lw_predict_begin(lw_predictor *p, const int16_t *x, int32_t n, int32_t order, int32_t direction)
{
    float forward[LW_PREDICT_SAMPLES], backward[LW_PREDICT_SAMPLES];
    float a[LW_PREDICT_ORDER + 2], turned[2 * LW_PREDICT_ORDER + 2], *r = turned + LW_PREDICT_ORDER + 1;
    order = lw_clamp(order, 0, n / 3 < LW_PREDICT_ORDER ? n / 3 : LW_PREDICT_ORDER);
    memset(p, 0, sizeof *p);
    for (int32_t i = 0; i < n; i++)
        forward[i] = backward[i] = direction > 0 ? x[i] : x[n - 1 - i];
    for (int32_t i = 0; i < order; i++)
        p->past[LW_PREDICT_ORDER - order + i] = forward[n - order + i];
    /* The coefficients so far, and the same backwards with a 0 in front, which takes the same step as the errors do. */
    a[0] = r[0] = 1;
    int32_t made = 0;
    /* Errors of prediction forwards, from f on, and backwards, of the samples that both have. */
    float *f = forward + 1;
    float shared = lw_kernels.dot(f, backward, (size_t)n - 1);
    double power = 0;
    for (size_t left = (size_t)n - 1; made < order; made++, f++, left--) {
        if (made % FRESH == 0)
            power = (double)lw_kernels.dot(f, f, left) + (double)lw_kernels.dot(backward, backward, left);
        if (!(power > 1))
            break;
        float k = (float)(-2 * (double)shared / power);
        k = k > 1 ? 1 : k < -1 ? -1 : k;
        shared = lw_kernels.burg(f, backward, left, k);
        power = power * (1 - (double)k * k) - (double)f[0] * f[0] - (double)backward[left - 1] * backward[left - 1];
        a[made + 1] = *--r = 0;
        lw_kernels.burg(a, r, (size_t)made + 2, k);
    }
    p->order = made;
    for (int32_t i = 0; i < made; i++)
        p->weight[LW_PREDICT_ORDER - 1 - i] = -a[i + 1];
}

void lw_predict_more(lw_predictor *p, int16_t *out, int32_t n)
{
    int32_t reach = (p->order + LANES - 1) / LANES * LANES;
    const float *weight = p->weight + LW_PREDICT_ORDER - reach;
    for (int32_t i = 0; i < n; i++) {
        if (p->at == LW_PREDICT_ORDER) {
            memmove(p->past, p->past + p->at, LW_PREDICT_ORDER * sizeof *p->past);
            p->at = 0;
        }
        float y = lw_kernels.dot(weight, p->past + p->at + LW_PREDICT_ORDER - reach, (size_t)reach);
        y = y > 32767 ? 32767 : y < -32768 ? -32768 : y;
        p->past[LW_PREDICT_ORDER + p->at++] = y;
        out[i] = (int16_t)(y < 0 ? y - 0.5f : y + 0.5f);
    }
}
