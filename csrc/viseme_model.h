/* Shape of the viseme model and its tables. viseme_model.c is written by tools/visemes/train.py, which reads the
 * shape from here. A layer is out = scale[row] * dot(weight[row], in_q) + bias[row]; weights are 8-bit values held as
 * int16 so that the dot product is one multiply-add instruction per eight inputs. */
#ifndef LW_VISEME_MODEL_H
#define LW_VISEME_MODEL_H

#include <stdint.h>

#define LW_MEL 32     /* log-mel bands, 60..7700 Hz */
#define LW_PAST 2     /* frames of context before the one classified */
#define LW_AHEAD 2    /* and after it: look-ahead */
#define LW_WINDOW 5   /* LW_PAST + 1 + LW_AHEAD */
#define LW_CONV 40    /* outputs of the convolution over the window */
#define LW_GRU 96     /* recurrent units */
#define LW_CLASSES 28 /* phone-like classes, summed to LW_VISEMES */

/* Fixed point of each layer's input: value = q / 2^bits. */
#define LW_FEATURE_BITS 12
#define LW_CONV_BITS 12
#define LW_GRU_BITS 15

typedef struct lw_viseme_model {
    float prior[LW_MEL]; /* mean log-mel of speech, natural log: where the normalisation starts */
    int16_t conv[LW_CONV][LW_WINDOW * LW_MEL]; /* oldest frame first */
    float conv_scale[LW_CONV], conv_bias[LW_CONV];
    int16_t gate_in[3 * LW_GRU][LW_CONV]; /* rows: reset, update, candidate */
    float gate_in_scale[3 * LW_GRU], gate_in_bias[3 * LW_GRU];
    int16_t gate_state[3 * LW_GRU][LW_GRU];
    float gate_state_scale[3 * LW_GRU], gate_state_bias[3 * LW_GRU];
    int16_t out[LW_CLASSES][LW_GRU];
    float out_scale[LW_CLASSES], out_bias[LW_CLASSES];
    uint8_t viseme[LW_CLASSES]; /* class -> viseme */
} lw_viseme_model;

extern const lw_viseme_model lw_viseme_weights;

#endif
