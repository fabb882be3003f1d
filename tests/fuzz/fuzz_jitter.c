/* Any packets at any times, of every kind and codec: whole blocks come out, at every kernel level the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

#define REQUIRE(ok)  \
    do {             \
        if (!(ok))   \
            abort(); \
    } while (0)

enum { BLOCK_MOST = 480, STEPS = 80 };

/* Plays `data`, seven bytes a step; returns a sum of all that came out. */
static uint64_t run(const uint8_t *data, size_t size)
{
    static const char *const codecs[] = {"pcmu", "pcma", "l16", "g722"};
    static const int32_t rates[] = {8000, 16000, 24000, 48000};
    int which = data[0] & 3;
    int32_t rate = which == 3 ? 16000 : rates[data[0] >> 2 & 3];
    lw_jitter_decoder decoder;
    lw_jitter *j;
    REQUIRE(!lw_jitter_codec_open(&decoder, codecs[which], rate));
    REQUIRE(!lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = rate,
                                                    .clock_rate = which == 3 ? 8000 : 0,
                                                    .max_packets = 2 + (data[1] & 63),
                                                    .min_delay_ms = data[2] & 15 ? 0 : 60,
                                                    .max_delay_ms = 60 + 10 * data[3],
                                                    .decoder = decoder}));
    uint64_t sum = 0;
    uint32_t timestamp = (uint32_t)data[1] << 24, sequence = data[2];
    int64_t now = 0;
    data += 4, size -= 4;
    for (int step = 0; size >= 7 && step < STEPS; step++, data += 7, size -= 7) {
        static uint8_t payload[LW_JITTER_MAX_PAYLOAD];
        int16_t out[BLOCK_MOST + 1];
        /* Mostly the next packet of the stream, and now and then anything. */
        sequence += (data[0] & 7) < 6 ? 1 : (uint32_t)(int8_t)data[1] * (data[0] & 1 ? 1 : 257);
        timestamp += (data[0] & 0x18) < 0x18 ? (uint32_t)(which == 3 ? 160 : rate / 50)
                                             : (uint32_t)(int8_t)data[2] << (data[3] & 31);
        size_t n = data[4] < 200 ? (size_t)(which == 2 ? rate / 25 : which == 3 ? 160 : rate / 50)
                                 : (size_t)data[5] * 9;
        n = n < sizeof payload ? n : sizeof payload;
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)(data[5] + (uint8_t)(i * i) * data[6]);
        int kind = data[6] < 220 ? LW_JITTER_SPEECH : data[6] & 3;
        int taken = lw_jitter_put(j, now, (uint16_t)sequence, timestamp, kind, payload, n);
        REQUIRE(taken == 0 || taken == 1);
        for (int k = data[3] & 3; k >= 0; k--) {
            out[rate / 100] = 0x5A5A;
            int32_t mode = lw_jitter_get(j, now, out);
            REQUIRE(mode >= LW_JITTER_NORMAL && mode <= LW_JITTER_IDLE && out[rate / 100] == 0x5A5A);
            for (int32_t i = 0; i < rate / 100; i++)
                sum = sum * 31 + (uint16_t)out[i];
            now += 10000000;
        }
        now += (int64_t)(int8_t)data[5] * (data[4] & 1 ? 10000 : 1000000);
        lw_jitter_event_t event;
        lw_jitter_event(j, &event);
        if (data[4] == 255)
            lw_jitter_reset(j);
    }
    lw_jitter_stats_t s;
    lw_jitter_stats(j, &s);
    REQUIRE(s.buffered_packets >= 0 && s.concealed_samples <= s.total_samples_received + rate);
    lw_jitter_close(&j);
    lw_jitter_codec_close(&decoder);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    lw_rtp_packet packet;
    if (!lw_rtp_parse(&packet, data, size))
        REQUIRE(packet.payload >= data && packet.payload + packet.size <= data + size);
    lw_cpu_use(0);
    uint64_t plain = run(data, size);
    lw_cpu_use(lw_cpu_detect());
    REQUIRE(run(data, size) == plain);
    return 0;
}
