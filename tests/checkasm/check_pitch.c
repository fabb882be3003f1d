/* The kernels of similarity and prediction: every length or number of lags up to several vectors. */
#include "checkasm.h"

static void random_floats(float *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)ca_random_in(-32768, 32767) / (float)ca_random_in(1, 9);
}

static void check_predictor(const lw_dsp *c, const lw_dsp *candidate)
{
    static float a[480], b[480], f[480], g[480];
    random_floats(a, 480);
    random_floats(b, 480);
    if (ca_kernel("dot", c->dot == candidate->dot)) {
        for (size_t n = 0; n < 100; n++) {
            float *x = ca_end_of_page(n * sizeof *x), *y = ca_end_of_page(n * sizeof *y);
            random_floats(x, n);
            random_floats(y, n);
            float want = c->dot(x, y, n), got = candidate->dot(x, y, n);
            ca_same(&want, &got, sizeof want, "n %zu", n);
            ca_release();
        }
        volatile float sink;
        CA_BENCH("dot", 480, "sample", sink = c->dot(a, b, 480), sink = candidate->dot(a, b, 480));
        (void)sink;
    }
    if (ca_kernel("burg", c->burg == candidate->burg)) {
        for (size_t n = 1; n < 100; n++) {
            float *x = ca_end_of_page(n * sizeof *x), *y = ca_end_of_page(n * sizeof *y);
            float *u = ca_end_of_page(n * sizeof *u), *v = ca_end_of_page(n * sizeof *v);
            random_floats(x, n);
            random_floats(y, n);
            memcpy(u, x, n * sizeof *u);
            memcpy(v, y, n * sizeof *v);
            float k = (float)ca_random_in(-1000, 1000) / 1000;
            float want = c->burg(x, y, n, k), got = candidate->burg(u, v, n, k);
            ca_same(&want, &got, sizeof want, "sum, n %zu", n);
            ca_same(x, u, n * sizeof *x, "f, n %zu", n);
            ca_same(y, v, n * sizeof *y, "b, n %zu", n);
            ca_release();
        }
        memcpy(f, a, sizeof f);
        memcpy(g, b, sizeof g);
        volatile float sink;
        CA_BENCH("burg", 480, "sample", sink = c->burg(a, b, 480, 0), sink = candidate->burg(f, g, 480, 0));
        (void)sink;
    }
}

void check_pitch(const lw_dsp *c, const lw_dsp *candidate)
{
    check_predictor(c, candidate);
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
