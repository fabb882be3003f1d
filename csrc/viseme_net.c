/* The viseme extractor's network: its tables, and its kernels in plain C. Layout and formulas: viseme_model.h. */
#include "dsp.h"
#include "viseme_kernels.h"

/* ---- tables ---------------------------------------------------------------------------------------------------- */

lw_viseme_layer lw_viseme_layer_of(const int8_t *weight, int32_t rows, int32_t columns, int32_t *offset)
{
    for (int32_t r = 0; r < rows; r++) {
        const int8_t *w = weight + r / 16 * 16 * columns + r % 16 * 4;
        int32_t sum = 0;
        for (int32_t c = 0; c < columns; c += 4, w += 64)
            sum += w[0] + w[1] + w[2] + w[3];
        offset[r] = -32768 * sum;
    }
    return (lw_viseme_layer){weight, offset, rows, columns};
}

void lw_viseme_network(lw_viseme_tables *t, const lw_viseme_model *m)
{
    enum { CONV = LW_ROWS(LW_CONV), GATES = 3 * LW_ROWS(LW_GRU), OUT = LW_HEADS * LW_CLASS_LANES };
    int32_t *offset = t->offsets;
    t->conv = lw_viseme_layer_of(m->conv, CONV, LW_WINDOW * LW_FEATURES, offset);
    t->gate_in = lw_viseme_layer_of(m->gate_in, GATES, LW_CONV, offset + CONV);
    t->gate_state = lw_viseme_layer_of(m->gate_state, GATES, LW_GRU, offset + CONV + GATES);
    t->out = lw_viseme_layer_of(m->out, OUT, LW_GRU, offset + CONV + 2 * GATES);

    int members[LW_VISEME_LANES] = {0};
    for (int j = 0; j < LW_MEMBERS; j++)
        for (int v = 0; v < LW_VISEME_LANES; v++)
            t->members[j][v] = LW_CLASS_LANES - 1;
    for (int c = 0; c < LW_CLASSES; c++) {
        int v = m->viseme[c];
        t->members[members[v]++][v] = c;
    }
}

/* ---- the kernels in plain C ------------------------------------------------------------------------------------ */

void lw_viseme_dense_c(int32_t *sums, size_t step, const int16_t *const *x, size_t sessions,
                       const lw_viseme_layer *layer)
{
    for (size_t s = 0; s < sessions; s++) {
        const int8_t *w = layer->weight;
        for (int32_t r = 0; r < layer->rows; r += 16) {
            int32_t part[16][4] = {{0}};
            for (int32_t c = 0; c < layer->columns; c += 4, w += 64)
                for (int i = 0; i < 16; i++)
                    for (int k = 0; k < 4; k++)
                        part[i][k] += w[4 * i + k] * x[s][c + k];
            for (int i = 0; i < 16; i++)
                sums[s * step + (size_t)(r + i)] = part[i][0] + part[i][1] + part[i][2] + part[i][3];
        }
    }
}

void lw_viseme_rectify_c(int16_t *q, const int32_t *sums, const lw_viseme_model *m)
{
    for (int i = 0; i < LW_ROWS(LW_CONV); i++) {
        int16_t x = lw_quantise((float)sums[i] * m->conv_scale[i] + m->conv_bias[i], LW_CONV_BITS);
        q[i] = x > 0 ? x : 0;
    }
}

void lw_viseme_gates_c(float *state, int16_t *state_q, const int32_t *in, const int32_t *rec,
                       const lw_viseme_model *m)
{
    enum { N = LW_ROWS(LW_GRU) };
    const float *in_scale = m->gate_in_scale, *rec_scale = m->gate_state_scale, *bias = m->gate_bias;
    for (int i = 0; i < N; i++) {
        float r = (float)in[i] * in_scale[i] + (float)rec[i] * rec_scale[i] + bias[i];
        float z = (float)in[N + i] * in_scale[N + i] + (float)rec[N + i] * rec_scale[N + i] + bias[N + i];
        float n = (float)in[2 * N + i] * in_scale[2 * N + i] + bias[2 * N + i];
        float h = (float)rec[2 * N + i] * rec_scale[2 * N + i] + m->candidate_bias[i];
        /* One division for both sigmoids: 1 / a = b / (a b). */
        float a = lw_one_plus_exp(r), b = lw_one_plus_exp(z), both = 1.0f / (a * b);
        float reset = both * b, update = both * a;
        float candidate = 2.0f / lw_one_plus_exp(2.0f * (n + reset * h)) - 1.0f;
        state[i] = candidate + update * (state[i] - candidate);
        state_q[i] = lw_quantise(state[i], LW_GRU_BITS);
    }
}

void lw_viseme_classes_c(float *weights, const int32_t *sums, const float *scale, const float *bias,
                         const lw_viseme_tables *t)
{
    float likely[LW_CLASS_LANES] = {0};
    for (int i = 0; i < LW_CLASSES; i++)
        likely[i] = lw_exp2(lw_limit(((float)sums[i] * scale[i] + bias[i]) * 1.44269504f, 60.0f));
    lw_viseme_fold(weights, likely, t);
    float inverse = 1.0f / lw_tree16(weights);
    for (int v = 0; v < LW_VISEME_LANES; v++)
        weights[v] = weights[v] * inverse;
}
