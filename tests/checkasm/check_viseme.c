/* The viseme extractor's kernels, float ones too: memcmp. The dense layer on shapes of any size, the others on the
 * model's. */
#include <stdlib.h>

#include "checkasm.h"
#include "viseme_kernels.h"

enum { ROUNDS = 300, MOST_ROWS = 384, MOST_COLUMNS = 512, GATES = 3 * LW_ROWS(LW_GRU) };

static float uniform(float low, float high)
{
    return low + (high - low) * (float)ca_random() * 2.3283064e-10f;
}

/* A frame of PCM: noise, squares, clicks, silence, one step of a bit, alternation, and all of that scaled down. */
static void frame(int16_t pcm[LW_VISEME_PCM], int kind)
{
    memset(pcm, 0, LW_VISEME_PCM * sizeof *pcm);
    if (kind < 4)
        ca_pcm(pcm, LW_VISEME_FRAME, kind);
    for (int i = 0; i < LW_VISEME_FRAME; i++)
        pcm[i] = (int16_t)(kind == 5 ? ca_random_in(-1, 1) : kind == 6 ? (i & 1 ? 32767 : -32768)
                           : kind == 7 ? -32768 : pcm[i] >> ca_random_in(0, kind == 3 ? 12 : 0));
}

static void spectrum_and_bands(const lw_dsp *c, const lw_dsp *candidate)
{
    const lw_viseme_tables *t = lw_viseme_tables_get();
    _Alignas(64) int16_t pcm[LW_VISEME_PCM];
    _Alignas(64) float want[LW_MEL_VALUES], got[LW_MEL_VALUES];
    static _Alignas(64) float power[2][LW_FFT_BINS + 15];
    if (ca_kernel("viseme_spectrum", c->viseme_spectrum == candidate->viseme_spectrum)) {
        for (int round = 0; round < ROUNDS; round++) {
            frame(pcm, round % 8);
            c->viseme_spectrum(power[0], pcm, t);
            candidate->viseme_spectrum(power[1], pcm, t);
            ca_same(power[0], power[1], sizeof(float[LW_FFT_BINS]), "kind %d", round % 8);
        }
        frame(pcm, 0);
        CA_BENCH("viseme_spectrum", 1, "frame", c->viseme_spectrum(power[0], pcm, t),
                 candidate->viseme_spectrum(power[1], pcm, t));
    }
    if (ca_kernel("viseme_mel", c->viseme_mel == candidate->viseme_mel)) {
        for (int round = 0; round < ROUNDS; round++) {
            frame(pcm, round % 8);
            c->viseme_spectrum(power[0], pcm, t);
            if (round >= ROUNDS / 2) /* no frame's */
                for (int k = 0; k < LW_FFT_BINS; k++)
                    power[0][k] = lw_exp2(uniform(-60.0f, 20.0f));
            c->viseme_mel(want, power[0], t);
            candidate->viseme_mel(got, power[0], t);
            ca_same(want, got, sizeof want, "round %d", round);
        }
        CA_BENCH("viseme_mel", 1, "frame", c->viseme_mel(want, power[0], t), candidate->viseme_mel(got, power[0], t));
    }
}

static void dense(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("viseme_dense", c->viseme_dense == candidate->viseme_dense))
        return;
    static _Alignas(64) int32_t want[LW_VISEME_SESSIONS][MOST_ROWS], got[LW_VISEME_SESSIONS][MOST_ROWS];
    const int16_t *x[LW_VISEME_SESSIONS];
    int32_t *offset = aligned_alloc(64, MOST_ROWS * sizeof *offset);
    for (int round = 0; round < ROUNDS; round++) {
        int32_t rows = 16 * ca_random_in(1, MOST_ROWS / 16), columns = 4 * ca_random_in(1, MOST_COLUMNS / 4);
        size_t sessions = (size_t)ca_random_in(1, LW_VISEME_SESSIONS), weights = (size_t)(rows * columns);
        int8_t *weight = ca_end_of_page(weights);
        for (size_t i = 0; i < weights; i++)
            weight[i] = (int8_t)(round & 1 ? ca_random_in(-127, 127) : ca_random() & 1 ? 127 : -127);
        for (size_t s = 0; s < sessions; s++) {
            int16_t *in = ca_end_of_page((size_t)LW_PAD32(columns) * sizeof *in);
            ca_pcm(in, (size_t)LW_PAD32(columns), round & 3);
            x[s] = in;
        }
        lw_viseme_layer layer = lw_viseme_layer_of(weight, rows, columns, offset);
        c->viseme_dense(want[0], MOST_ROWS, x, sessions, &layer);
        candidate->viseme_dense(got[0], MOST_ROWS, x, sessions, &layer);
        for (size_t s = 0; s < sessions; s++)
            ca_same(want[s], got[s], (size_t)rows * sizeof(int32_t), "%d x %d, session %zu of %zu", rows, columns, s,
                    sessions);
        ca_release();
    }
    free(offset);
    static _Alignas(64) int16_t in[LW_VISEME_SESSIONS][MOST_COLUMNS];
    for (size_t s = 0; s < LW_VISEME_SESSIONS; s++) {
        ca_pcm(in[s], MOST_COLUMNS, 0);
        x[s] = in[s];
    }
    const lw_viseme_layer *layer = &lw_viseme_tables_get()->gate_state;
    CA_BENCH("viseme_dense, one session", 1, "row", c->viseme_dense(want[0], MOST_ROWS, x, 1, layer),
             candidate->viseme_dense(got[0], MOST_ROWS, x, 1, layer));
    CA_BENCH("viseme_dense, all sessions", LW_VISEME_SESSIONS, "row",
             c->viseme_dense(want[0], MOST_ROWS, x, LW_VISEME_SESSIONS, layer),
             candidate->viseme_dense(got[0], MOST_ROWS, x, LW_VISEME_SESSIONS, layer));
}

/* Sums of n rows that spread over what can be, far too large ones among them. */
static void random_sums(int32_t *sums, int n)
{
    for (int i = 0; i < n; i++)
        sums[i] = (int32_t)ca_random() >> ca_random_in(1, 20);
}

static void activations(const lw_dsp *c, const lw_dsp *candidate)
{
    const lw_viseme_model *m = &lw_viseme_weights;
    static _Alignas(64) int32_t sums[GATES], rec[GATES];
    if (ca_kernel("viseme_rectify", c->viseme_rectify == candidate->viseme_rectify)) {
        _Alignas(64) int16_t want[LW_ROWS(LW_CONV)], got[LW_ROWS(LW_CONV)];
        for (int round = 0; round < ROUNDS; round++) {
            random_sums(sums, LW_ROWS(LW_CONV));
            c->viseme_rectify(want, sums, m);
            candidate->viseme_rectify(got, sums, m);
            ca_same(want, got, sizeof want, "round %d", round);
        }
        CA_BENCH("viseme_rectify", 1, "row", c->viseme_rectify(want, sums, m), candidate->viseme_rectify(got, sums, m));
    }
    if (ca_kernel("viseme_gates", c->viseme_gates == candidate->viseme_gates)) {
        _Alignas(64) float want[LW_ROWS(LW_GRU)], got[LW_ROWS(LW_GRU)];
        _Alignas(64) int16_t want_q[LW_ROWS(LW_GRU)], got_q[LW_ROWS(LW_GRU)];
        for (int round = 0; round < ROUNDS; round++) {
            random_sums(sums, GATES);
            random_sums(rec, GATES);
            for (int i = 0; i < LW_ROWS(LW_GRU); i++)
                want[i] = got[i] = round % 10 ? uniform(-1.0f, 1.0f) : round & 1 ? 1.0f : -1.0f;
            c->viseme_gates(want, want_q, sums, rec, m);
            candidate->viseme_gates(got, got_q, sums, rec, m);
            ca_same(want, got, sizeof want, "state, round %d", round);
            ca_same(want_q, got_q, sizeof want_q, "quantised state, round %d", round);
        }
        CA_BENCH("viseme_gates", 1, "row", c->viseme_gates(want, want_q, sums, rec, m),
                 candidate->viseme_gates(got, got_q, sums, rec, m));
    }
    if (ca_kernel("viseme_classes", c->viseme_classes == candidate->viseme_classes)) {
        const lw_viseme_tables *t = lw_viseme_tables_get();
        _Alignas(64) float want[LW_VISEME_LANES], got[LW_VISEME_LANES];
        for (int round = 0; round < ROUNDS; round++) {
            random_sums(sums, LW_CLASS_LANES);
            c->viseme_classes(want, sums, m->out_scale, m->out_bias, t);
            candidate->viseme_classes(got, sums, m->out_scale, m->out_bias, t);
            ca_same(want, got, sizeof want, "round %d", round);
        }
        CA_BENCH("viseme_classes", 1, "row", c->viseme_classes(want, sums, m->out_scale, m->out_bias, t),
                 candidate->viseme_classes(got, sums, m->out_scale, m->out_bias, t));
    }
}

void check_viseme(const lw_dsp *c, const lw_dsp *candidate)
{
    spectrum_and_bands(c, candidate);
    dense(c, candidate);
    activations(c, candidate);
}
