/* The viseme extractor's arithmetic against a reference in double precision: naive Fourier sums, triangles drawn from
 * the mel formula, the network in floating point with its 8-bit weights and unquantised activations. */
#include <math.h>

#include "check.h"
#include "dsp.h"
#include "viseme_kernels.h"

#define PI 3.14159265358979323846
#define INPUTS (LW_WINDOW * LW_FEATURES)
#define ROWS_GRU LW_ROWS(LW_GRU)

/* ---- front end ---- */

/* Bounds, for a full scale of 1 (a single sine's power there is up to 10^4): of a bin's power, to the largest bin's;
 * of a logarithm. */
#define POWER_BOUND 1e-6
#define LOG_BOUND 1e-4

static void reference_power(const int16_t *pcm, double power[LW_FFT_BINS])
{
    for (int k = 0; k < LW_FFT_BINS; k++) {
        double re = 0.0, im = 0.0;
        for (int i = 0; i < LW_VISEME_FRAME; i++) {
            double x = pcm[i] / 32768.0 * (0.5 - 0.5 * cos(2.0 * PI * (i + 0.5) / LW_VISEME_FRAME));
            re += x * cos(2.0 * PI * k * i / LW_FFT_SIZE);
            im -= x * sin(2.0 * PI * k * i / LW_FFT_SIZE);
        }
        power[k] = re * re + im * im;
    }
}

static double mel_of(double hz)
{
    return 1127.0 * log(1.0 + hz / 700.0);
}

/* Bands, then the level. */
static void reference_mel(const double power[LW_FFT_BINS], double out[LW_MEL + 1])
{
    double low = mel_of(60.0), high = mel_of(7700.0), total = 0.0, centre[LW_MEL + 2];
    for (int b = 0; b < LW_MEL + 2; b++)
        centre[b] = 700.0 * (exp((low + (high - low) * b / (LW_MEL + 1)) / 1127.0) - 1.0) * 512.0 / 16000.0;
    for (int b = 0; b < LW_MEL; b++) {
        double sum = 0.0;
        for (int k = 0; k < LW_FFT_BINS; k++) {
            double up = (k - centre[b]) / (centre[b + 1] - centre[b]);
            double down = (centre[b + 2] - k) / (centre[b + 2] - centre[b + 1]);
            sum += power[k] * fmax(0.0, fmin(up, down));
        }
        out[b] = log(sum + 2e-6);
    }
    for (int k = 0; k < LW_FFT_BINS; k++)
        total += k >= centre[1] && k < centre[LW_MEL + 1] ? power[k] : 0.0;
    out[LW_MEL] = log(total * 2.0 / (512.0 * 150.0) + 2.6e-14);
}

static void make_frame(int16_t *pcm, int kind)
{
    double a = random_in(40, 7000) / 16000.0, b = random_in(40, 7000) / 16000.0;
    int scale = 1 << random_in(0, 14);
    for (int i = 0; i < LW_VISEME_FRAME; i++)
        pcm[i] = (int16_t)(kind == 0   ? random_in(-32768, 32767)
                           : kind == 1 ? random_in(-scale, scale)
                           : kind == 2 ? lrint(16000.0 * sin(2.0 * PI * a * i) + 9000.0 * sin(2.0 * PI * b * i))
                           : kind == 3 ? (i % random_in(60, 70) ? 0 : 20000)
                           : kind == 4 ? 30000
                                       : (i & 1 ? 32767 : -32768));
}

/* Not fmax: gcc 12 for arm64 breaks down on that as a reduction. */
static void at_least(double *most, double x)
{
    if (x > *most)
        *most = x;
}

static void test_front(void)
{
    const lw_viseme_tables *t = lw_viseme_tables_get();
    double worst_power = 0.0, worst_log = 0.0;
    for (int round = 0; round < 60; round++) {
        static _Alignas(64) int16_t pcm[LW_VISEME_PCM];
        static _Alignas(64) float power[LW_FFT_BINS], mel[LW_MEL_VALUES];
        double want[LW_FFT_BINS], most = 0.0, bands[LW_MEL + 1];
        make_frame(pcm, round % 6);
        lw_kernels.viseme_spectrum(power, pcm, t);
        lw_kernels.viseme_mel(mel, power, t);
        reference_power(pcm, want);
        for (int k = 0; k < LW_FFT_BINS; k++)
            at_least(&most, want[k]);
        for (int k = 0; k < LW_FFT_BINS; k++)
            at_least(&worst_power, fabs(power[k] - want[k]) / most);
        /* A band that rounding noise of the loudest bin reaches says little; its logarithm is not compared. */
        reference_mel(want, bands);
        for (int b = 0; b < LW_MEL; b++)
            if (exp(bands[b]) > 1e-7 * most)
                at_least(&worst_log, fabs(mel[b] - bands[b]));
        if (round % 6 < 4) /* of a constant, of alternation nothing is left in the bands */
            at_least(&worst_log, fabs(mel[LW_MEL_LEVEL] - bands[LW_MEL]));
    }
    printf("# power within %.1e of the largest, logarithms within %.1e\n", worst_power, worst_log);
    CHECK(worst_power < POWER_BOUND, "power spectrum");
    CHECK(worst_log < LOG_BOUND, "log-mel bands and level");
}

/* ---- network ---- */

/* Of a viseme's weight, after any number of steps: what quantised activations and our exponential cost. */
#define WEIGHT_BOUND 5e-4
#define MEAN_BOUND 2e-5

static double weight_at(const int8_t *w, int columns, int r, int c)
{
    return w[((r / 16 * (columns / 4) + c / 4) * 16 + r % 16) * 4 + c % 4];
}

static double row(const int8_t *w, const float *scale, int bits, int columns, int r, const double *x)
{
    double sum = 0.0;
    for (int c = 0; c < columns; c++)
        sum += weight_at(w, columns, r, c) * x[c];
    return sum * scale[r] * (1 << bits);
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static void reference_step(double state[LW_GRU], const double *input, double weights[LW_VISEMES])
{
    const lw_viseme_model *m = &lw_viseme_weights;
    double conv[LW_CONV], next[LW_GRU], likely[LW_CLASSES], sum = 0.0;
    for (int r = 0; r < LW_CONV; r++) {
        conv[r] = row(m->conv, m->conv_scale, LW_FEATURE_BITS, INPUTS, r, input) + m->conv_bias[r];
        conv[r] = fmin(fmax(conv[r], 0.0), 8.0);
    }
    for (int i = 0; i < LW_GRU; i++) {
        double in[3], rec[3];
        for (int g = 0; g < 3; g++) {
            int r = g * ROWS_GRU + i;
            in[g] = row(m->gate_in, m->gate_in_scale, LW_CONV_BITS, LW_CONV, r, conv) + m->gate_bias[r];
            rec[g] = row(m->gate_state, m->gate_state_scale, LW_GRU_BITS, LW_GRU, r, state);
        }
        double reset = sigmoid(in[0] + rec[0]), update = sigmoid(in[1] + rec[1]);
        double candidate = tanh(in[2] + reset * (rec[2] + m->candidate_bias[i]));
        next[i] = candidate + update * (state[i] - candidate);
    }
    memcpy(state, next, sizeof next);
    memset(weights, 0, LW_VISEMES * sizeof *weights);
    for (int c = 0; c < LW_CLASSES; c++)
        sum += likely[c] = exp(row(m->out, m->out_scale, LW_GRU_BITS, LW_GRU, c, state) + m->out_bias[c]);
    for (int c = 0; c < LW_CLASSES; c++)
        weights[m->viseme[c]] += likely[c] / sum;
}

/* The same step by the kernels. */
static void step(float *state, int16_t *state_q, const int16_t *input, float *weights)
{
    const lw_viseme_model *m = &lw_viseme_weights;
    const lw_viseme_tables *t = lw_viseme_tables_get();
    static _Alignas(64) int32_t sums[3 * ROWS_GRU], rec[3 * ROWS_GRU];
    static _Alignas(64) int16_t conv[LW_PAD32(LW_ROWS(LW_CONV))];
    const int16_t *x = conv, *q = state_q;
    lw_kernels.viseme_dense(sums, 3 * ROWS_GRU, &input, 1, &t->conv);
    lw_kernels.viseme_rectify(conv, sums, m);
    lw_kernels.viseme_dense(sums, 3 * ROWS_GRU, &x, 1, &t->gate_in);
    lw_kernels.viseme_dense(rec, 3 * ROWS_GRU, &q, 1, &t->gate_state);
    lw_kernels.viseme_gates(state, state_q, sums, rec, m);
    lw_kernels.viseme_dense(sums, 3 * ROWS_GRU, &q, 1, &t->out);
    lw_kernels.viseme_classes(weights, sums, m->out_scale, m->out_bias, t);
}

/* A syllable's worth of vowel-like bands, or noise: what a feature can be, 2^12 being three nepers. */
static void make_features(int16_t *newest, int at, int wild)
{
    static double height[LW_FEATURES];
    for (int b = 0; b < LW_FEATURES; b++) {
        int phone = at / 12;
        double want = wild ? random_in(-12000, 12000) : 3500.0 * sin(0.5 + phone * 1.7 + b * (0.2 + phone % 3 * 0.15));
        height[b] += 0.4 * (want - height[b]);
        newest[b] = (int16_t)lrint(height[b] + random_in(-200, 200));
    }
}

static void test_network(void)
{
    for (int wild = 0; wild < 2; wild++) {
        static _Alignas(64) int16_t input[LW_PAD32(INPUTS)], state_q[LW_PAD32(ROWS_GRU)];
        static _Alignas(64) float state[ROWS_GRU], weights[LW_VISEME_LANES];
        double exact[LW_GRU] = {0}, x[INPUTS], want[LW_VISEMES], worst = 0.0, mean = 0.0;
        memset(state, 0, sizeof state);
        memset(state_q, 0, sizeof state_q);
        enum { STEPS = 600 };
        for (int at = 0; at < STEPS; at++) {
            memmove(input, input + LW_FEATURES, (INPUTS - LW_FEATURES) * sizeof *input);
            make_features(input + INPUTS - LW_FEATURES, at, wild);
            for (int c = 0; c < INPUTS; c++)
                x[c] = input[c] / (double)(1 << LW_FEATURE_BITS);
            step(state, state_q, input, weights);
            reference_step(exact, x, want);
            for (int v = 0; v < LW_VISEMES; v++) {
                worst = fmax(worst, fabs(weights[v] - want[v]));
                mean += fabs(weights[v] - want[v]) / (STEPS * LW_VISEMES);
            }
        }
        printf("# %s features: weights within %.1e, %.1e on average\n", wild ? "random" : "smooth", worst, mean);
        CHECK(worst < WEIGHT_BOUND && mean < MEAN_BOUND, "network");
    }
}

static void test_functions(void)
{
    double worst_exp = 0.0, worst_log = 0.0;
    for (int i = -120000; i <= 120000; i++) {
        float x = (float)i / 1000.0f;
        worst_exp = fmax(worst_exp, fabs(lw_exp2(x) / exp2(x) - 1.0));
        float y = (float)exp2(x);
        worst_log = fmax(worst_log, fabs(lw_log(y) - log(y)) / fmax(1.0, fabs(log(y)) / 10.0));
    }
    printf("# exp2 within %.1e, log within %.1e\n", worst_exp, worst_log);
    CHECK(worst_exp < 3e-6 && lw_exp2(0.0f) == 1.0f && lw_exp2(7.0f) == 128.0f, "2^x");
    CHECK(worst_log < 4e-6, "logarithm");
    CHECK(lw_quantise(1.0f, 15) == 32767 && lw_quantise(-9.0f, 12) == -32767 && lw_quantise(0.50001f, 0) == 1 &&
              lw_quantise(-2.25f, 2) == -9, "quantisation rounds to nearest and saturates");
}

int main(void)
{
    test_functions();
    test_front();
    test_network();
    return failures != 0;
}
