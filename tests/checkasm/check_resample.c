/* The resampler's kernels. */
#include "checkasm.h"

void check_resample(const lw_dsp *c, const lw_dsp *candidate)
{
    static const int32_t shapes[][4] = {/* taps, phases, step, fine bits */
                                        {16, 1, 1, 8},  {48, 2, 1, 11},   {48, 3, 2, 8}, {64, 160, 147, 8},
                                        {80, 2, 3, 10}, {144, 1, 3, 8}, {288, 1, 6, 8}};
    if (!ca_kernel("fir", c->fir == candidate->fir))
        return;
    static int16_t coefs[160 * 2 * 288];
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        lw_fir f = {coefs, shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3]};
        /* As large as the promise "both sums fit 32 bit" allows. */
        int32_t most = 65535 / f.taps;
        for (size_t i = 0; i < (size_t)f.phases * 2 * f.taps; i++)
            coefs[i] = (int16_t)ca_random_in(-most, most);
        for (size_t n = 0; n < 70; n++) {
            int32_t phase = ca_random_in(0, f.phases - 1);
            size_t reads = n ? (size_t)((phase + (int64_t)(n - 1) * f.step) / f.phases + f.taps) : 0;
            int16_t *x = ca_end_of_page(reads * 2), *want = ca_end_of_page(n * 2), *got = ca_end_of_page(n * 2);
            ca_pcm(x, reads, (int)n & 3);
            c->fir(want, n, x, &f, phase);
            candidate->fir(got, n, x, &f, phase);
            ca_same(want, got, n * 2, "taps %d phases %d step %d n %zu phase %d", f.taps, f.phases, f.step, n, phase);
            ca_release();
        }
        static int16_t in[3000], out[480];
        ca_pcm(in, 3000, 0);
        char what[64];
        snprintf(what, sizeof what, "fir taps %d phases %d step %d", f.taps, f.phases, f.step);
        CA_BENCH(what, 480, "output", c->fir(out, 480, in, &f, 0), candidate->fir(out, 480, in, &f, 0));
    }
}
