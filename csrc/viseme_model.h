/* Shape of the viseme model and layout of its table. viseme_model.c is written by tools/lipsync/table.py, which reads
 * the shape from here: plain numbers, a line each.
 *
 * A layer is out[r] = scale[r] * sum over c of weight[r][c] in_q[c] + bias[r], with 8-bit weights -127..127 and inputs
 * in_q of 16 bits. Its rows are padded to LW_ROWS(rows), a multiple of 16, with weights, scales and biases of 0; its
 * columns are a multiple of 4. Weight (r, c) is at
 *
 *   [r / 16][c / 4][r % 16][c % 4]   of   [LW_ROWS(rows) / 16][columns / 4][16][4]
 *
 * so that a vector holds 16 rows by 4 columns, every lane adds up its own row and no sum is taken across lanes. A row's
 * scale undoes both its weights' and its input's fixed point: scale = (largest |weight| / 127) / 2^bits of the input.
 *
 *   layer       rows                                        columns                        input
 *   conv        LW_CONV                                     LW_WINDOW frames, oldest       features, LW_FEATURE_BITS
 *                                                           first, of LW_FEATURES each
 *   gate_in     3: reset, update, candidate; each LW_GRU    LW_CONV                        rectified, LW_CONV_BITS
 *               padded to LW_ROWS(LW_GRU)
 *   gate_state  as gate_in                                  LW_GRU                         state, LW_GRU_BITS
 *   out         LW_HEADS heads of LW_CLASSES, each padded   LW_GRU                         the new state
 *               to LW_CLASS_LANES
 *
 *   reset, update = sigmoid(gate_in + gate_state + gate_bias)
 *   candidate     = tanh(gate_in + gate_bias + reset * (gate_state + candidate_bias))
 *   state         = candidate + update * (state - candidate)
 *
 * gate_bias is the sum of the input's and the state's biases for reset and update, and the input's alone for the
 * candidate, whose state bias is candidate_bias (PyTorch's nn.GRU: b_ir + b_hr, b_iz + b_hz, b_in; b_hn).
 *
 * Two heads read the same state: the early one speaks of the row LW_EARLY frames before the window's middle, the final one
 * of the row LW_FINAL before it, having heard more. Behind them is a hidden Markov model (viseme_decode.c). */
#ifndef LW_VISEME_MODEL_H
#define LW_VISEME_MODEL_H

#include <stdint.h>

#define LW_MEL 32      /* log-mel bands, 60..7700 Hz */
#define LW_FEATURES 32 /* inputs per frame: the bands first; a multiple of 4 */
#define LW_PAST 3      /* frames of context before the one classified */
#define LW_AHEAD 1     /* and after it: look-ahead */
#define LW_WINDOW 5    /* LW_PAST + 1 + LW_AHEAD */
#define LW_CONV 32     /* outputs of the convolution over the window; a multiple of 8 */
#define LW_GRU 104     /* recurrent units; a multiple of 8 */
#define LW_HEADS 2     /* output layers on one state: early, final */
#define LW_EARLY 0     /* frames that a head runs behind the window's middle */
#define LW_FINAL 4
#define LW_CLASSES 28  /* phone-like classes, fewer than LW_CLASS_LANES; at most LW_MEMBERS of them to a viseme */

/* Fixed point of each layer's input: value = q / 2^bits. */
#define LW_FEATURE_BITS 12
#define LW_CONV_BITS 12
#define LW_GRU_BITS 15

#define LW_ROWS(rows) (((rows) + 15) / 16 * 16)
#define LW_VISEME_LANES (16)
#define LW_CLASS_LANES (32)
#define LW_MEMBERS (4)

typedef struct lw_viseme_model {
    _Alignas(64) int8_t conv[LW_ROWS(LW_CONV) * LW_WINDOW * LW_FEATURES];
    _Alignas(64) int8_t gate_in[3 * LW_ROWS(LW_GRU) * LW_CONV];
    _Alignas(64) int8_t gate_state[3 * LW_ROWS(LW_GRU) * LW_GRU];
    _Alignas(64) int8_t out[LW_HEADS * LW_CLASS_LANES * LW_GRU];
    _Alignas(64) float conv_scale[LW_ROWS(LW_CONV)];
    float conv_bias[LW_ROWS(LW_CONV)];
    float gate_in_scale[3 * LW_ROWS(LW_GRU)];
    float gate_state_scale[3 * LW_ROWS(LW_GRU)];
    float gate_bias[3 * LW_ROWS(LW_GRU)];
    float candidate_bias[LW_ROWS(LW_GRU)];
    float out_scale[LW_HEADS * LW_CLASS_LANES], out_bias[LW_HEADS * LW_CLASS_LANES];
    /* Visemes, padded to LW_VISEME_LANES: the chance that one is left for another, a row, and that it goes on. */
    float leave[LW_VISEME_LANES][LW_VISEME_LANES], stay[LW_VISEME_LANES];
    float seen[LW_VISEME_LANES]; /* added to log2 of what the network says */
    float prior[LW_MEL];        /* mean log-mel of speech, natural log: where the normalisation starts */
    uint8_t viseme[LW_CLASSES]; /* class -> viseme */
} lw_viseme_model;

_Static_assert(sizeof(lw_viseme_model) <= 65536, "the table stays in a core's second-level cache beside other work");
_Static_assert(LW_WINDOW == LW_PAST + 1 + LW_AHEAD, "the window is the context");
_Static_assert(LW_FEATURES >= LW_MEL && LW_FEATURES % 4 == 0, "columns come in fours");
_Static_assert(LW_CONV % 8 == 0 && LW_GRU % 8 == 0, "columns come in fours, quantisation in eights");
_Static_assert(LW_CLASSES < LW_CLASS_LANES, "one lane of the classes is always 0");
/* |weight| <= 127 and |input| <= 32768: no order of additions leaves 32 bit. */
_Static_assert(127LL * 32768 * LW_WINDOW * LW_FEATURES <= INT32_MAX && 127LL * 32768 * LW_GRU <= INT32_MAX &&
                   127LL * 32768 * LW_CONV <= INT32_MAX, "a layer's sums fit");

extern const lw_viseme_model lw_viseme_weights;

#endif
