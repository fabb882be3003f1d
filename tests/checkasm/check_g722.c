/* G.722's kernels. A state comes from running the plain C form for a while, so that it is one that can be. */
#include "checkasm.h"
#include "g722.h"

enum { STEPS = LW_G722_BLOCK, LANES = LW_G722_LANES };

static int16_t low[STEPS][LANES] __attribute__((aligned(64))), high[STEPS][LANES] __attribute__((aligned(64)));
static int16_t pairs[2][2 * STEPS][LANES] __attribute__((aligned(64)));
static uint8_t codes[2][STEPS][LANES] __attribute__((aligned(64)));
static lw_g722_lanes lanes[2];
static int16_t level[64];

static void bands(int16_t *to, size_t n, int kind)
{
    ca_pcm(to, n, kind);
    for (size_t i = 0; i < n; i++)
        to[i] = (int16_t)(to[i] >> (kind == 3 ? 4 : 1));
}

/* As the decoder's levels are: odd in the sign, and what 0..3 give is what 63 gives. */
static void levels(void)
{
    for (int code = 32; code < 64; code++)
        level[code] = (int16_t)ca_random_in(-24808, 24808);
    for (int code = 4; code < 32; code++)
        level[code] = (int16_t)-level[code + 28];
    for (int code = 0; code < 4; code++)
        level[code] = level[63];
}

static void split(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_split", c->g722_split == candidate->g722_split))
        return;
    for (size_t n = 0; n <= STEPS; n++) {
        int16_t *x = ca_end_of_page((LW_G722_HISTORY + 2 * n) * 2), *want[2], *got[2];
        ca_pcm(x, LW_G722_HISTORY + 2 * n, (int)n & 3);
        for (int k = 0; k < 2; k++)
            want[k] = ca_end_of_page(2 * n), got[k] = ca_end_of_page(2 * n);
        c->g722_split(want[0], want[1], x, n);
        candidate->g722_split(got[0], got[1], x, n);
        for (int k = 0; k < 2; k++)
            ca_same(want[k], got[k], 2 * n, "band %d of %zu", k, n);
        ca_release();
    }
    static int16_t x[LW_G722_HISTORY + 2 * STEPS], out[2][STEPS];
    ca_pcm(x, LW_G722_HISTORY + 2 * STEPS, 0);
    CA_BENCH("g722_split", 2 * STEPS, "sample", c->g722_split(out[0], out[1], x, STEPS),
             candidate->g722_split(out[0], out[1], x, STEPS));
}

static void join(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_join", c->g722_join == candidate->g722_join))
        return;
    for (size_t n = 0; n <= STEPS; n++) {
        int16_t *x = ca_end_of_page((LW_G722_HISTORY + 2 * n) * 2);
        int16_t *want = ca_end_of_page(4 * n), *got = ca_end_of_page(4 * n);
        ca_pcm(x, LW_G722_HISTORY + 2 * n, (int)n & 3);
        c->g722_join(want, x, n);
        candidate->g722_join(got, x, n);
        ca_same(want, got, 4 * n, "%zu", n);
        ca_release();
    }
    static int16_t x[LW_G722_HISTORY + 2 * STEPS], out[2 * STEPS];
    ca_pcm(x, LW_G722_HISTORY + 2 * STEPS, 0);
    CA_BENCH("g722_join", 2 * STEPS, "sample", c->g722_join(out, x, STEPS), candidate->g722_join(out, x, STEPS));
}

static int same_band(const lw_g722_band *want, const lw_g722_band *got, const char *name, size_t n)
{
    return ca_same(want->d, got->d, 6 * 2, "%s d after %zu", name, n) &&
           ca_same(want->b, got->b, 6 * 2, "%s b after %zu", name, n) &&
           ca_same(&want->a1, &got->a1, 9 * 2, "%s after %zu", name, n);
}

static void reset(lw_g722_state *state)
{
    *state = (lw_g722_state){.low.det = LW_G722_LOW_SCALE, .high.det = LW_G722_HIGH_SCALE};
}

static void encode(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_encode", c->g722_encode == candidate->g722_encode))
        return;
    lw_g722_state want, got;
    for (int round = 0; round < 40; round++) {
        reset(&want);
        got = want;
        for (int part = 0; part < 30; part++) {
            size_t n = round & 1 ? STEPS : (size_t)ca_random_in(0, STEPS);
            int16_t *l = ca_end_of_page(2 * n), *h = ca_end_of_page(2 * n);
            uint8_t *code[2] = {ca_end_of_page(n), ca_end_of_page(n)};
            bands(l, n, round >> 1 & 3);
            bands(h, n, round >> 3 & 3);
            c->g722_encode(code[0], l, h, n, &want);
            candidate->g722_encode(code[1], l, h, n, &got);
            int same = ca_same(code[0], code[1], n, "codes of %zu", n);
            same &= same_band(&want.low, &got.low, "low", n);
            same &= same_band(&want.high, &got.high, "high", n);
            ca_release();
            if (!same)
                return;
        }
    }
    int16_t l[STEPS], h[STEPS];
    uint8_t out[STEPS];
    bands(l, STEPS, 3);
    bands(h, STEPS, 3);
    CA_BENCH("g722_encode", 2 * STEPS, "sample", c->g722_encode(out, l, h, STEPS, &want),
             candidate->g722_encode(out, l, h, STEPS, &got));
}

static void decode(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_decode", c->g722_decode == candidate->g722_decode))
        return;
    lw_g722_state want, got;
    for (int round = 0; round < 40; round++) {
        reset(&want);
        got = want;
        levels();
        for (int part = 0; part < 30; part++) {
            size_t n = round & 1 ? STEPS : (size_t)ca_random_in(0, STEPS);
            uint8_t *code = ca_end_of_page(n);
            int16_t *out[2] = {ca_end_of_page(4 * n), ca_end_of_page(4 * n)};
            for (size_t i = 0; i < n; i++)
                code[i] = (uint8_t)(round < 10 ? ca_random() : ca_random_in(0, 40) ? 0xA0 : ca_random() & 0xE3);
            c->g722_decode(out[0], code, n, level, &want);
            candidate->g722_decode(out[1], code, n, level, &got);
            int same = ca_same(out[0], out[1], 4 * n, "pairs of %zu", n);
            same &= same_band(&want.low, &got.low, "low", n);
            same &= same_band(&want.high, &got.high, "high", n);
            ca_release();
            if (!same)
                return;
        }
    }
    int16_t out[2 * STEPS];
    uint8_t code[STEPS];
    for (int i = 0; i < STEPS; i++)
        code[i] = (uint8_t)ca_random();
    CA_BENCH("g722_decode", 2 * STEPS, "sample", c->g722_decode(out, code, STEPS, level, &want),
             candidate->g722_decode(out, code, STEPS, level, &got));
}

static void reset_lanes(void)
{
    memset(lanes, 0, sizeof lanes);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < LANES; i++)
            lanes[k].low.det[i] = LW_G722_LOW_SCALE, lanes[k].high.det[i] = LW_G722_HIGH_SCALE;
}

/* Of `rows` rows, the first `used` lanes. */
static int same_lanes(const int16_t (*want)[LANES], const int16_t (*got)[LANES], size_t rows, size_t used,
                      const char *what, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        if (!ca_same(want[r], got[r], 2 * used, "%s row %zu, %zu lanes, n %zu", what, r, used, n))
            return 0;
    return 1;
}

static int same_states(size_t used, size_t n)
{
    enum { ROWS = sizeof(lw_g722_lanes) / sizeof(int16_t[LANES]) };
    return same_lanes((const int16_t(*)[LANES])(void *)&lanes[0], (const int16_t(*)[LANES])(void *)&lanes[1], ROWS,
                      used, "state", n);
}

static void encode_lanes(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_encode_lanes", c->g722_encode_lanes == candidate->g722_encode_lanes))
        return;
    for (size_t used = 1; used <= LANES; used++) {
        reset_lanes();
        for (int part = 0; part < 12; part++) {
            size_t n = part & 1 ? STEPS : (size_t)ca_random_in(0, STEPS);
            bands(low[0], STEPS * LANES, part >> 1 & 3);
            bands(high[0], STEPS * LANES, part >> 2 & 3);
            c->g722_encode_lanes(codes[0][0], low[0], high[0], n, used, &lanes[0]);
            candidate->g722_encode_lanes(codes[1][0], low[0], high[0], n, used, &lanes[1]);
            int same = 1;
            for (size_t t = 0; t < n && same; t++)
                same = ca_same(codes[0][t], codes[1][t], used, "codes, step %zu of %zu, %zu lanes", t, n, used);
            if (!same || !same_states(used, n))
                return;
        }
    }
    bands(low[0], STEPS * LANES, 3);
    bands(high[0], STEPS * LANES, 3);
    static const size_t counts[] = {1, 16, 32};
    for (int k = 0; k < 3; k++) {
        size_t used = counts[k];
        char what[64];
        snprintf(what, sizeof what, "g722_encode_lanes, %zu channels", used);
        CA_BENCH(what, 2 * STEPS * used, "sample",
                 c->g722_encode_lanes(codes[0][0], low[0], high[0], STEPS, used, &lanes[0]),
                 candidate->g722_encode_lanes(codes[1][0], low[0], high[0], STEPS, used, &lanes[1]));
    }
}

static void decode_lanes(const lw_dsp *c, const lw_dsp *candidate)
{
    if (!ca_kernel("g722_decode_lanes", c->g722_decode_lanes == candidate->g722_decode_lanes))
        return;
    for (size_t used = 1; used <= LANES; used++) {
        reset_lanes();
        levels();
        for (int part = 0; part < 12; part++) {
            size_t n = part & 1 ? STEPS : (size_t)ca_random_in(0, STEPS);
            uint8_t *all = (uint8_t *)codes;
            for (size_t i = 0; i < STEPS * LANES; i++)
                all[i] = (uint8_t)(part < 6 ? ca_random() : ca_random_in(0, 40) ? 0xA0 : ca_random() & 0xE3);
            c->g722_decode_lanes(pairs[0][0], codes[0][0], n, used, level, &lanes[0]);
            candidate->g722_decode_lanes(pairs[1][0], codes[0][0], n, used, level, &lanes[1]);
            const int16_t(*want)[LANES] = (const int16_t(*)[LANES])pairs[0];
            const int16_t(*got)[LANES] = (const int16_t(*)[LANES])pairs[1];
            if (!same_lanes(want, got, 2 * n, used, "pairs", n) || !same_states(used, n))
                return;
        }
    }
    static const size_t counts[] = {1, 16, 32};
    for (int k = 0; k < 3; k++) {
        size_t used = counts[k];
        char what[64];
        snprintf(what, sizeof what, "g722_decode_lanes, %zu channels", used);
        CA_BENCH(what, 2 * STEPS * used, "sample",
                 c->g722_decode_lanes(pairs[0][0], codes[0][0], STEPS, used, level, &lanes[0]),
                 candidate->g722_decode_lanes(pairs[1][0], codes[0][0], STEPS, used, level, &lanes[1]));
    }
}

static void turn(const lw_dsp *c, const lw_dsp *candidate)
{
    static int16_t from[64][70], want[64][80], got[64][80];
    if (ca_kernel("turn16", c->turn16 == candidate->turn16)) {
        for (size_t rows = 16; rows <= 64; rows += 16) {
            for (size_t columns = 16; columns <= 64; columns += 16) {
                ca_pcm(from[0], 64 * 70, 0);
                c->turn16(want[0], 80, from[0], 70, rows, columns);
                candidate->turn16(got[0], 80, from[0], 70, rows, columns);
                ca_same(want, got, sizeof want, "%zu x %zu", rows, columns);
            }
        }
        CA_BENCH("turn16", 64 * 64, "value", c->turn16(want[0], 80, from[0], 70, 64, 64),
                 candidate->turn16(got[0], 80, from[0], 70, 64, 64));
    }
    if (ca_kernel("turn8", c->turn8 == candidate->turn8)) {
        uint8_t *in = (uint8_t *)from[0], *to = (uint8_t *)want[0], *other = (uint8_t *)got[0];
        for (size_t rows = 16; rows <= 64; rows += 16) {
            for (size_t columns = 16; columns <= 64; columns += 16) {
                ca_pcm(from[0], 64 * 70, 0);
                c->turn8(to, 80, in, 70, rows, columns);
                candidate->turn8(other, 80, in, 70, rows, columns);
                ca_same(want, got, sizeof want, "%zu x %zu", rows, columns);
            }
        }
        CA_BENCH("turn8", 64 * 64, "value", c->turn8(to, 80, in, 70, 64, 64),
                 candidate->turn8(other, 80, in, 70, 64, 64));
    }
}

void check_g722(const lw_dsp *c, const lw_dsp *candidate)
{
    split(c, candidate);
    join(c, candidate);
    encode(c, candidate);
    decode(c, candidate);
    encode_lanes(c, candidate);
    decode_lanes(c, candidate);
    turn(c, candidate);
}
