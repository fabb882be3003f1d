/* What the viseme extractor's kernels share: the elementary functions, and the tables that every session reads.
 *
 * Kernels give the same bits in every form and on every machine: dot products are exact integers; floats are + - * /
 * of single precision, element by element, and a sum over lanes is always the tree of lw_tree16. The tables are made
 * of the same operations, so that no libm has a say. */
#ifndef LW_VISEME_KERNELS_H
#define LW_VISEME_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lipwire/viseme.h"
#include "viseme_model.h"

#define LW_VISEME_FRAME 400                      /* samples: 25 ms */
#define LW_VISEME_PCM 416                        /* what a kernel may read of a frame, padded with 0 */
#define LW_FFT_SIZE 512
#define LW_FFT_HALF 256
#define LW_FFT_BINS 257
#define LW_MEL_LEVEL LW_ROWS(LW_MEL)             /* where the level is behind the bands and their padding */
#define LW_MEL_VALUES (LW_MEL_LEVEL + 1)
#define LW_MEL_SPAN 5                            /* groups of 16 bins that a band touches, at most */
#define LW_VISEME_SESSIONS 8                     /* whose rows are computed together */
#define LW_PAD32(n) (((n) + 31) / 32 * 32)       /* values that a dense layer may read of its input */

#define LW_MEL_FLOOR 2e-6f      /* added to a band's power: about white noise at -75 dBFS */
#define LW_LEVEL_FLOOR 2.6e-14f /* and to the mean square: -136 dBFS */

/* A dense layer (layout: viseme_model.h). */
typedef struct lw_viseme_layer {
    const int8_t *weight;
    const int32_t *offset; /* -32768 times the sum of each row's weights: what a form that takes inputs + 32768 adds */
    int32_t rows, columns;
} lw_viseme_layer;

typedef struct lw_viseme_tables {
    /* Spectrum: Hann window of even and odd samples, scaled so that power is that of a full scale of 1; e^(-2 pi i n)
     * for the first pass' butterflies, the second's and the third's, by output term 1..3; and for the real split. */
    _Alignas(64) float window[2][LW_VISEME_PCM / 2];
    float pass0[3][2][64], pass1[3][2][16], pass2[3][2][4];
    float split[2][LW_FFT_HALF / 2];
    /* Bands: row r is weighed bins of mel_count[r / 16] groups of 16, from group mel_first[r] on; the level, of all. */
    float mel_weight[LW_MEL_SPAN * LW_ROWS(LW_MEL)][16], level_weight[LW_FFT_HALF];
    uint8_t mel_first[LW_ROWS(LW_MEL)], mel_count[LW_ROWS(LW_MEL) / 16];
    float quiet[LW_MEL_VALUES]; /* what silence gives */
    /* Network. members[j][v]: the j-th class of viseme v, or a class lane that holds 0. */
    lw_viseme_layer conv, gate_in, gate_state, out;
    _Alignas(64) int32_t members[LW_MEMBERS][LW_VISEME_LANES];
    _Alignas(64) int32_t offsets[LW_ROWS(LW_CONV) + 6 * LW_ROWS(LW_GRU) + LW_HEADS * LW_CLASS_LANES];
} lw_viseme_tables;

/* `offset` takes a value for each row; it and the weights must outlive the layer. */
lw_viseme_layer lw_viseme_layer_of(const int8_t *weight, int32_t rows, int32_t columns, int32_t *offset);
/* Fills in the network's part of the tables. */
void lw_viseme_network(lw_viseme_tables *t, const lw_viseme_model *m);
/* Fills in the bands. Training stretches the frequency axis by `warp`, as if the speaker were larger or smaller. */
void lw_viseme_bands(lw_viseme_tables *t, double warp);
/* Made by the first caller; immutable, the same for the whole process. */
const lw_viseme_tables *lw_viseme_tables_get(void);

/* The decoder (viseme_decode.c): the chances of each viseme's first and second state, given all so far. */
typedef struct lw_viseme_decoder {
    float first[LW_VISEME_LANES], second[LW_VISEME_LANES];
} lw_viseme_decoder;

void lw_viseme_decoder_reset(lw_viseme_decoder *d);
/* Takes what the network says of a row, gives what to make of it; both sum to 1. */
void lw_viseme_decode(lw_viseme_decoder *d, const float likely[LW_VISEME_LANES], float row[LW_VISEME_LANES]);

/* ---- elementary functions ------------------------------------------------------------------------------------- */

static inline float lw_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t lw_as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Natural logarithm of a positive normal number; error below 2e-6 absolute. atanh series on [1/sqrt 2, sqrt 2). */
static inline float lw_log(float x)
{
    uint32_t bits = lw_as_bits(x) - 0x3f3504f3u;
    float exponent = (float)((int32_t)bits >> 23);
    float m = lw_as_float((bits & 0x7fffffu) + 0x3f3504f3u);
    float t = (m - 1.0f) / (m + 1.0f), s = t * t;
    return exponent * 0.69314718f + t * (2.0f + s * (0.66666667f + s * (0.4f + s * 0.28571429f)));
}

/* 2^x for |x| <= 120; error below 3e-6 relative, none at whole numbers. Minimax polynomial on [-1/2, 1/2]. */
static inline float lw_exp2(float x)
{
    float shifted = x + 12582912.0f; /* 1.5 * 2^23: the low bits become round(x) */
    float f = x - (shifted - 12582912.0f);
    float p = 1.0f + f * (0.69312419f + f * (0.24024099f + f * (0.055906426f + f * 0.0095828532f)));
    return lw_as_float(lw_as_bits(p) + (lw_as_bits(shifted) << 23));
}

/* Clamps to -limit..limit through integers: gcc does not vectorise a comparison of floats that might trap. */
static inline float lw_limit(float x, float limit)
{
    uint32_t bits = lw_as_bits(x), most = lw_as_bits(limit), size = bits & 0x7fffffffu;
    size = (int32_t)size < (int32_t)most ? size : most;
    return lw_as_float(size | (bits & 0x80000000u));
}

/* 1 + e^-x, the reciprocal of the sigmoid; |x| is limited to 30. */
static inline float lw_one_plus_exp(float x)
{
    return 1.0f + lw_exp2(lw_limit(x, 30.0f) * -1.44269504f);
}

/* round(x * 2^bits), saturated; |x| * 2^bits must stay finite. */
static inline int16_t lw_quantise(float x, int bits)
{
    float shifted = lw_limit(x * (float)(1 << bits), 32767.0f) + 12582912.0f;
    return (int16_t)((int32_t)lw_as_bits(shifted) - 0x4b400000);
}

/* The sum of 16 values, in the order that suits vectors: of halves, element by element. */
static inline float lw_tree16(const float x[16])
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[i] = x[i] + x[i + 8];
    for (int i = 0; i < 4; i++)
        a[i] = a[i] + a[i + 4];
    return (a[0] + a[2]) + (a[1] + a[3]);
}

/* Visemes from class lanes: each the sum of its members. */
static inline void lw_viseme_fold(float weights[LW_VISEME_LANES], const float likely[LW_CLASS_LANES],
                                  const lw_viseme_tables *t)
{
    for (int v = 0; v < LW_VISEME_LANES; v++) {
        float sum = likely[t->members[0][v]];
        for (int j = 1; j < LW_MEMBERS; j++)
            sum += likely[t->members[j][v]];
        weights[v] = sum;
    }
}

#endif
