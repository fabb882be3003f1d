/* The viseme extractor's last stage: a hidden Markov model over the network's word on each row, so that a mouth switches
 * as often as people's do.
 *
 * Each viseme has two states and so lasts 20 ms at least; how long it lasts and what follows it was counted in the
 * training labels (tools/lipsync/decode.py). A row is the chances of the states given everything up to it: the forward
 * recursion (Rabiner, "A tutorial on hidden Markov models", 1989, section III). It does not look ahead: the network's
 * head has done so, and a lag of 10 or 20 ms on top brought 0.2 points. Sums over visemes are taken in their order, 16
 * lanes side by side: the same bits however a compiler vectorises it. */
#include "viseme_kernels.h"

#define LIKELY_FLOOR 1e-6f

void lw_viseme_decoder_reset(lw_viseme_decoder *d)
{
    *d = (lw_viseme_decoder){.second = {1.0f}}; /* sil */
}

void lw_viseme_decode(lw_viseme_decoder *d, const float likely[LW_VISEME_LANES], float row[LW_VISEME_LANES])
{
    const lw_viseme_model *m = &lw_viseme_weights;
    float enter[LW_VISEME_LANES] = {0};
    for (int i = 0; i < LW_VISEMES; i++)
        for (int j = 0; j < LW_VISEME_LANES; j++)
            enter[j] += d->second[i] * m->leave[i][j];
    for (int i = 0; i < LW_VISEME_LANES; i++) {
        float seen = lw_exp2(lw_log(likely[i] + LIKELY_FLOOR) * 1.44269504f + m->seen[i]);
        d->second[i] = (d->first[i] + d->second[i] * m->stay[i]) * seen;
        d->first[i] = enter[i] * seen;
        row[i] = d->first[i] + d->second[i];
    }
    float scale = 1.0f / lw_tree16(row);
    for (int i = 0; i < LW_VISEME_LANES; i++) {
        d->first[i] *= scale;
        d->second[i] *= scale;
        row[i] *= scale;
    }
}
