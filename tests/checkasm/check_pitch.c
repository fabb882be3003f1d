/* The kernel of similarity: every number of lags up to several vectors, every alignment. */
#include "checkasm.h"

void check_pitch(const lw_dsp *c, const lw_dsp *candidate)
{
    static const size_t windows[] = {16, 80, 160, 240, 480};
    static int32_t want[768], got[768];
    if (!ca_kernel("correlate", c->correlate == candidate->correlate))
        return;
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
        for (size_t lags = 1; lags < 24; lags++) {
            size_t n = windows[w], reads = n + lags - 1;
            int16_t *x = ca_end_of_page(n * 2), *y = ca_end_of_page(reads * 2);
            for (size_t i = 0; i < n; i++)
                x[i] = (int16_t)(lags & 1 ? -2048 : ca_random_in(-2048, 2047)); /* 11 bits: what callers promise */
            for (size_t i = 0; i < reads; i++)
                y[i] = (int16_t)(lags & 1 ? (w & 1 ? -2048 : 2047) : ca_random_in(-2048, 2047));
            c->correlate(want, x, y, n, lags);
            candidate->correlate(got, x, y, n, lags);
            ca_same(want, got, lags * sizeof *want, "n %zu lags %zu", n, lags);
            ca_release();
        }
    static int16_t x[480], y[480 + 768];
    ca_pcm(x, 80, 2);
    ca_pcm(y, 200, 2);
    CA_BENCH("correlate, 80 samples, 101 lags", 101, "lag", c->correlate(want, x, y, 80, 101),
             candidate->correlate(got, x, y, 80, 101));
}
