/* The resampler's kernels, and the resampler against FFmpeg's. */
#include <stdlib.h>

#include "checkasm.h"
#include "lipwire/resample.h"

#ifdef HAVE_LIBSWRESAMPLE
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>

#include "lipwire/resample.h"
#endif

static int16_t coefs[160 * 2 * 480] __attribute__((aligned(64)));

static void check(const char *name, lw_fir_fn *c, lw_fir_fn *candidate, const int32_t shapes[][4], size_t count)
{
    if (!ca_kernel(name, c == candidate))
        return;
    for (size_t s = 0; s < count; s++) {
        lw_fir f = {coefs, shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3]};
        /* As large as the promise "both sums fit 32 bit" allows. */
        int32_t most = 55000 / f.taps;
        for (size_t i = 0; i < (size_t)f.phases * 2 * f.taps; i++)
            coefs[i] = (int16_t)(ca_random_in(0, 7) ? ca_random_in(-most, most) : ca_random() & 1 ? most : -most);
        for (size_t n = 0; n < 140; n++) {
            int32_t phase = ca_random_in(0, f.phases - 1);
            size_t reads = n ? (size_t)((phase + (int64_t)(n - 1) * f.step) / f.phases + f.taps) : 0;
            int16_t *x = ca_end_of_page(reads * 2), *want = ca_end_of_page(n * 2), *got = ca_end_of_page(n * 2);
            ca_pcm(x, reads, (int)n & 3);
            c(want, n, x, &f, phase);
            candidate(got, n, x, &f, phase);
            ca_same(want, got, n * 2, "taps %d phases %d step %d n %zu phase %d", f.taps, f.phases, f.step, n, phase);
            x = ca_start_of_page(reads * 2);
            ca_pcm(x, reads, 3);
            c(want, n, x, &f, phase);
            candidate(got, n, x, &f, phase);
            ca_same(want, got, n * 2, "taps %d phases %d step %d n %zu phase %d", f.taps, f.phases, f.step, n, phase);
            ca_release();
        }
        static int16_t in[4000], out[480];
        ca_pcm(in, 4000, 0);
        char what[64];
        snprintf(what, sizeof what, "%s, %d taps, %d phases, step %d", name, f.taps, f.phases, f.step);
        CA_BENCH(what, 480, "output", c(out, 480, in, &f, 0), candidate(out, 480, in, &f, 0));
    }
}

#ifdef HAVE_LIBSWRESAMPLE
/* 20 ms chunks, the same band and rejection: swresample with 64 taps a phase. It is float inside. */
static void against_swresample(int32_t from, int32_t to)
{
    static int16_t in[960], out[1200];
    ca_pcm(in, 960, 0);
    int32_t n = from / 50;
    SwrContext *swr = swr_alloc();
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
    av_opt_set_chlayout(swr, "in_chlayout", &mono, 0);
    av_opt_set_chlayout(swr, "out_chlayout", &mono, 0);
    av_opt_set_int(swr, "in_sample_rate", from, 0);
    av_opt_set_int(swr, "out_sample_rate", to, 0);
    av_opt_set_sample_fmt(swr, "in_sample_fmt", AV_SAMPLE_FMT_S16, 0);
    av_opt_set_sample_fmt(swr, "out_sample_fmt", AV_SAMPLE_FMT_S16, 0);
    av_opt_set_sample_fmt(swr, "internal_sample_fmt", AV_SAMPLE_FMT_FLTP, 0);
    av_opt_set_int(swr, "filter_size", 64, 0);
    av_opt_set_double(swr, "cutoff", 1.0, 0);
    lw_resampler *r = NULL;
    size_t used;
    if (swr_init(swr) < 0 || lw_resampler_open(&r, &(lw_resampler_config){.in_rate = from, .out_rate = to}) < 0) {
        printf("# no swresample %d -> %d\n", from, to);
    } else {
        const uint8_t *source = (const uint8_t *)in;
        uint8_t *target = (uint8_t *)out;
        char what[64];
        snprintf(what, sizeof what, "swresample 64 -> lipwire, %d -> %d", from, to);
        CA_BENCH(what, to / 50, "output", swr_convert(swr, &target, 1200, &source, n),
                 lw_resampler_process(r, in, (size_t)n, &used, out, 1200));
    }
    lw_resampler_close(&r);
    swr_free(&swr);
}
#endif

void check_resample(const lw_dsp *c, const lw_dsp *candidate)
{
    static const int32_t shapes[][4] = {/* taps, phases, step, fine bits */
                                        {16, 1, 1, 8},    {48, 2, 1, 12},  {48, 3, 2, 12}, {48, 160, 147, 12},
                                        {80, 2, 3, 11},   {144, 1, 3, 10}, {80, 80, 147, 11}, {480, 1, 6, 9}};
    static const int32_t small[][4] = {{16, 1, 1, 8},  {48, 2, 1, 12}, {48, 3, 1, 12}, {48, 4, 1, 12},
                                    {48, 5, 1, 12}, {48, 6, 1, 12}, {80, 2, 1, 11}, {80, 3, 1, 11}, {32, 7, 1, 12},
                                       {80, 2, 3, 11}, {144, 1, 3, 10}, {64, 3, 4, 12}, {96, 1, 2, 11}, {128, 3, 8, 11},
                                       {64, 8, 3, 11}, {480, 1, 6, 9}, {48, 9, 1, 12}, {48, 2, 9, 12}};
    check("fir", c->fir, candidate->fir, shapes, sizeof shapes / sizeof *shapes);
    check("fir_block", c->fir_block, candidate->fir_block, small, sizeof small / sizeof *small);
#ifdef HAVE_LIBSWRESAMPLE
    static const int32_t pairs[][2] = {{24000, 48000}, {24000, 16000}, {16000, 48000}, {44100, 48000}, {48000, 16000}};
    if (ca_benching && ca_kernel("swresample", c->fir == candidate->fir))
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            against_swresample(pairs[i][0], pairs[i][1]);
#endif
}
