/* G.711's kernels: every sample and code, every length up to several vectors, odd alignment. */
#include "checkasm.h"

static void encode(const char *name, lw_g711_encode_fn *c, lw_g711_encode_fn *candidate)
{
    static int16_t all[65536];
    static uint8_t want_all[65536], got_all[65536];
    if (!ca_kernel(name, c == candidate))
        return;
    for (int32_t i = 0; i < 65536; i++)
        all[i] = (int16_t)(i - 32768);
    c(want_all, all, 65536);
    candidate(got_all, all, 65536);
    ca_same(want_all, got_all, sizeof want_all, "every sample");
    for (size_t n = 0; n < 200; n++) {
        /* One byte in front of the samples makes their address odd. */
        uint8_t *pcm = ca_end_of_page(2 * n + 1);
        pcm = n & 1 ? pcm + 1 : pcm;
        uint8_t *want = ca_end_of_page(n), *got = ca_end_of_page(n);
        ca_pcm((int16_t *)(void *)pcm, n, (int)n & 3);
        c(want, (int16_t *)(void *)pcm, n);
        candidate(got, (int16_t *)(void *)pcm, n);
        ca_same(want, got, n, "n %zu", n);
        ca_release();
    }
    CA_BENCH(name, 160, "sample", c(want_all, all + 32600, 160), candidate(got_all, all + 32600, 160));
}

static void decode(const char *name, lw_g711_decode_fn *c, lw_g711_decode_fn *candidate)
{
    static uint8_t codes[256];
    static int16_t want_all[256], got_all[256];
    if (!ca_kernel(name, c == candidate))
        return;
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    c(want_all, codes, 256);
    candidate(got_all, codes, 256);
    ca_same(want_all, got_all, sizeof want_all, "every code");
    for (size_t n = 0; n < 200; n++) {
        uint8_t *in = ca_end_of_page(n), *want = ca_end_of_page(2 * n + 1), *got = ca_end_of_page(2 * n + 1);
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)ca_random();
        c((int16_t *)(void *)(want + 1), in, n);
        candidate((int16_t *)(void *)(got + 1), in, n);
        ca_same(want + 1, got + 1, 2 * n, "n %zu", n);
        ca_release();
    }
    CA_BENCH(name, 160, "sample", c(want_all, codes, 160), candidate(got_all, codes, 160));
}

void check_g711(const lw_dsp *c, const lw_dsp *candidate)
{
    encode("alaw_encode", c->alaw_encode, candidate->alaw_encode);
    encode("ulaw_encode", c->ulaw_encode, candidate->ulaw_encode);
    decode("alaw_decode", c->alaw_decode, candidate->alaw_decode);
    decode("ulaw_decode", c->ulaw_decode, candidate->ulaw_decode);
}
