/* Noise of a given colour and level: comfort noise, and what is unvoiced in concealed speech. Nothing here is exported. */
#ifndef LW_COMFORT_H
#define LW_COMFORT_H

#include <stddef.h>
#include <stdint.h>

#define LW_NOISE_ORDER 12

typedef struct lw_noise {
    int32_t order;
    int32_t reach; /* the excitation is uniform within +-reach, Q4 */
    uint32_t seed;
    int16_t k[LW_NOISE_ORDER];        /* reflection coefficients, Q15: A(z) = 1 + k1 / z for order 1 */
    int32_t back[LW_NOISE_ORDER + 1]; /* the lattice's state, Q4 */
} lw_noise;

/* Like the 10 ms at x. */
void lw_noise_like(lw_noise *noise, const int16_t *x, int32_t rate);
/* As a payload of RFC 3389 has it: a level in -dBov, and reflection coefficients, of which the first 12 count. */
void lw_noise_payload(lw_noise *noise, const uint8_t *payload, size_t n);
/* Goes on with n samples. */
void lw_noise_make(lw_noise *noise, int16_t *out, int32_t n);

#endif
