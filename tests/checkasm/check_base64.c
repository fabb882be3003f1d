/* The base64 decoder's kernels. */
#include "checkasm.h"

#define MOST 700

static void text(uint8_t *to, size_t n)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)alphabet[ca_random() & 63];
}

/* Both forms on the n characters at `in`: the same place, the same bytes before it, none behind the output's end. */
static void compare(const lw_dsp *c, const lw_dsp *candidate, const uint8_t *in, size_t n, const char *what)
{
    const size_t bytes = n / 4 * 3;
    uint8_t *want = ca_end_of_page(bytes), *got = ca_end_of_page(bytes);
    const size_t good = c->base64(want, in, n), found = candidate->base64(got, in, n);
    CA_OK(good == found, "%s: n %zu, stops at %zu instead of %zu", what, n, found, good);
    ca_same(want, got, good / 4 * 3, "%s: n %zu, stops at %zu", what, n, good);
}

void check_base64(const lw_dsp *c, const lw_dsp *candidate)
{
    static const uint8_t outside[] = {0, 31, '"', '=', '*', ',', '-', '.', ':', '@', '[', '\\', '_', '`', '{', 127, 128,
                                      'A' | 128, '+' | 128, 255};
    if (!ca_kernel("base64", c->base64 == candidate->base64))
        return;

    for (size_t n = 0; n <= MOST; n += 4) {
        uint8_t *in = ca_end_of_page(n);
        text(in, n);
        compare(c, candidate, in, n, "valid");
        ca_release();
        in = ca_start_of_page(n);
        text(in, n);
        compare(c, candidate, in, n, "valid, at a page's start");
        ca_release();
    }
    for (size_t align = 1; align < 64; align++) {
        uint8_t *in = ca_end_of_page(MOST + align);
        text(in, MOST);
        compare(c, candidate, in, MOST, "odd input");
        uint8_t *want = ca_end_of_page(MOST / 4 * 3 + align), *got = ca_end_of_page(MOST / 4 * 3 + align);
        memset(want, 0x55, MOST / 4 * 3 + align);
        memset(got, 0x55, MOST / 4 * 3 + align);
        c->base64(want, in, MOST);
        candidate->base64(got, in, MOST);
        ca_same(want, got, MOST / 4 * 3 + align, "output %zu before the page's end", align);
        ca_release();
    }
    /* Every byte value in every place of a block; one wrong byte in every place of every length; two of them. */
    for (int byte = 0; byte < 256; byte++) {
        uint8_t in[64], want[48], got[48];
        for (size_t at = 0; at < 64; at++) {
            text(in, 64);
            in[at] = (uint8_t)byte;
            const size_t good = c->base64(want, in, 64), found = candidate->base64(got, in, 64);
            CA_OK(good == found, "byte %d at %zu: stops at %zu instead of %zu", byte, at, found, good);
            ca_same(want, got, good / 4 * 3, "byte %d at %zu", byte, at);
        }
    }
    for (size_t n = 4; n <= MOST; n += n < 300 ? 4 : 44) {
        uint8_t *in = ca_end_of_page(n), *want = ca_end_of_page(n / 4 * 3), *got = ca_end_of_page(n / 4 * 3);
        text(in, n);
        for (size_t at = 0; at < n; at++) {
            const uint8_t good_byte = in[at];
            in[at] = outside[ca_random() % sizeof outside];
            const size_t good = c->base64(want, in, n), found = candidate->base64(got, in, n);
            CA_OK(good == at && found == at, "n %zu, wrong at %zu: stops at %zu and %zu", n, at, good, found);
            ca_same(want, got, at / 4 * 3, "n %zu, wrong at %zu", n, at);
            const size_t second = (size_t)ca_random_in(0, (int32_t)n - 1);
            const uint8_t second_byte = in[second];
            in[second] = outside[ca_random() % sizeof outside];
            CA_OK(c->base64(want, in, n) == candidate->base64(got, in, n), "n %zu, wrong at %zu and %zu", n, at,
                  second);
            in[second] = second_byte;
            in[at] = good_byte;
        }
        ca_release();
    }

    static uint8_t in[32000], out[24000];
    text(in, sizeof in);
    CA_BENCH("base64 20 ms (1280 characters)", 1280, "char", c->base64(out, in, 1280),
             candidate->base64(out, in, 1280));
    CA_BENCH("base64 500 ms (32000 characters)", 32000, "char", c->base64(out, in, 32000),
             candidate->base64(out, in, 32000));
}
