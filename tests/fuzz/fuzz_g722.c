/* G.722: decoding any bytes, and coding any PCM, in pieces is the same as at once, at every rate; a batch of channels
 * is the same as each of them alone. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

#define REQUIRE(ok)  \
    do {             \
        if (!(ok))   \
            abort(); \
    } while (0)

enum { MOST = 2048, CHANNELS = 35 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t rates[] = {64000, 56000, 48000};
    static int16_t pcm[2 * MOST], again[2 * MOST], apart[2 * MOST], lanes[CHANNELS][2 * MOST];
    static uint8_t codes[MOST], recoded[MOST], lane_codes[CHANNELS][MOST];
    if (size < 4)
        return 0;
    lw_cpu_use(data[0] & 3 ? lw_cpu_detect() : data[0] & 4 ? LW_CPU_AVX2 : 0);
    lw_g722_config config = {rates[data[1] % 3]};
    uint32_t seed = data[2] | (uint32_t)data[3] << 8;
    data += 4, size -= 4;
    size_t n = size < MOST ? size : MOST;

    lw_g722_decoder *d;
    lw_g722_encoder *e;
    REQUIRE(!lw_g722_decoder_open(&d, &config) && !lw_g722_encoder_open(&e, &config));
    REQUIRE(lw_g722_decoder_process(d, data, n, pcm, 2 * n) == (int64_t)(2 * n));
    lw_g722_decoder_reset(d);
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t part = (seed >> 16) % (seed >> 31 ? 9 : 400);
        part = part < n - at ? part : n - at;
        REQUIRE(lw_g722_decoder_process(d, data + at, part, again + 2 * at, 2 * part) == (int64_t)(2 * part));
        at += part;
    }
    REQUIRE(!memcmp(pcm, again, 4 * n));

    /* The input once more, as samples at any address. */
    const int16_t *samples = (const int16_t *)(const void *)data;
    size_t count = n / 2, coded = count / 2, put = 0;
    REQUIRE(lw_g722_encoder_process(e, samples, count, codes, coded) == (int64_t)coded);
    lw_g722_encoder_reset(e);
    for (size_t at = 0; at < count;) {
        seed = seed * 1664525u + 1013904223u;
        size_t part = (seed >> 16) % (seed >> 31 ? 9 : 400);
        part = part < count - at ? part : count - at;
        size_t bound = lw_g722_encoder_bound(e, part);
        const int16_t *piece = (const int16_t *)(const void *)(data + 2 * at);
        REQUIRE(lw_g722_encoder_process(e, piece, part, recoded + put, bound) == (int64_t)bound);
        at += part;
        put += bound;
    }
    REQUIRE(put == coded && !memcmp(codes, recoded, coded));

    /* Channel c has what follows byte c; those that have nothing sit out. */
    int32_t channels = 1 + (int32_t)(seed >> 8) % CHANNELS;
    size_t length = n / 2 < 300 ? n / 2 : 300;
    lw_g722_batch_config many = {config.bitrate, channels};
    lw_g722_decoder_batch *db;
    lw_g722_encoder_batch *eb;
    REQUIRE(!lw_g722_decoder_batch_open(&db, &many) && !lw_g722_encoder_batch_open(&eb, &many));
    const uint8_t *in[CHANNELS];
    const int16_t *pcm_in[CHANNELS];
    int16_t *out[CHANNELS];
    uint8_t *code_out[CHANNELS];
    for (int32_t c = 0; c < channels; c++) {
        in[c] = (size_t)c + length <= n ? data + c : NULL;
        pcm_in[c] = (const int16_t *)(const void *)in[c];
        out[c] = lanes[c];
        code_out[c] = lane_codes[c];
    }
    size_t pairs = length / 4;
    REQUIRE(lw_g722_decoder_batch_process(db, in, length, out) == (int64_t)(2 * length));
    REQUIRE(lw_g722_encoder_batch_process(eb, pcm_in, 2 * pairs, code_out) == (int64_t)pairs);
    for (int32_t c = 0; c < channels; c++) {
        if (!in[c])
            continue;
        lw_g722_decoder_reset(d);
        lw_g722_encoder_reset(e);
        lw_g722_decoder_process(d, in[c], length, apart, 2 * length);
        REQUIRE(!memcmp(apart, out[c], 4 * length));
        lw_g722_encoder_process(e, pcm_in[c], 2 * pairs, codes, pairs);
        REQUIRE(!memcmp(codes, code_out[c], pairs));
    }
    lw_g722_decoder_batch_close(&db);
    lw_g722_encoder_batch_close(&eb);
    lw_g722_decoder_close(&d);
    lw_g722_encoder_close(&e);
    return 0;
}
