/* Decoders of the jitter buffer that need no library, and RTP's header. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "lipwire/g711.h"
#include "lipwire/g722.h"
#include "lipwire/jitter.h"

static int32_t one_each(void *state, const uint8_t *payload, size_t n)
{
    (void)state, (void)payload;
    return (int32_t)n;
}

static int32_t ulaw(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room)
{
    (void)state;
    if (n > (size_t)room)
        return LW_ENOSPC;
    lw_ulaw_decode(out, payload, n);
    return (int32_t)n;
}

static int32_t alaw(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room)
{
    (void)state;
    if (n > (size_t)room)
        return LW_ENOSPC;
    lw_alaw_decode(out, payload, n);
    return (int32_t)n;
}

static int32_t half(void *state, const uint8_t *payload, size_t n)
{
    (void)state, (void)payload;
    return n & 1 ? LW_EDATA : (int32_t)(n / 2);
}

static int32_t l16(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room)
{
    (void)state;
    if (n & 1 || n / 2 > (size_t)room)
        return n & 1 ? LW_EDATA : LW_ENOSPC;
    for (size_t i = 0; i < n / 2; i++)
        out[i] = (int16_t)(uint16_t)(payload[2 * i] << 8 | payload[2 * i + 1]);
    return (int32_t)(n / 2);
}

static int32_t twice(void *state, const uint8_t *payload, size_t n)
{
    (void)state, (void)payload;
    return (int32_t)(2 * n);
}

static int32_t g722(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room)
{
    return (int32_t)lw_g722_decoder_process(state, payload, n, out, (size_t)room);
}

static void g722_reset(void *state)
{
    lw_g722_decoder_reset(state);
}

int lw_jitter_codec_open(lw_jitter_decoder *out, const char *codec, int32_t sample_rate)
{
    if (!out)
        return LW_EINVAL;
    *out = (lw_jitter_decoder){0};
    if (!codec)
        return LW_EINVAL;
    if (!strcmp(codec, "pcmu")) {
        *out = (lw_jitter_decoder){.duration = one_each, .decode = ulaw};
    } else if (!strcmp(codec, "pcma")) {
        *out = (lw_jitter_decoder){.duration = one_each, .decode = alaw};
    } else if (!strcmp(codec, "l16")) {
        *out = (lw_jitter_decoder){.duration = half, .decode = l16};
    } else if (!strcmp(codec, "g722") && sample_rate == 16000) {
        lw_g722_decoder *decoder;
        int rc = lw_g722_decoder_open(&decoder, &(lw_g722_config){.bitrate = 64000});
        if (rc < 0)
            return rc;
        *out = (lw_jitter_decoder){.state = decoder, .duration = twice, .decode = g722, .reset = g722_reset};
    } else {
        return LW_EINVAL;
    }
    return 0;
}

void lw_jitter_codec_close(lw_jitter_decoder *decoder)
{
    if (!decoder)
        return;
    if (decoder->decode == g722) {
        lw_g722_decoder *state = decoder->state;
        lw_g722_decoder_close(&state);
    }
    *decoder = (lw_jitter_decoder){0};
}

int lw_rtp_parse(lw_rtp_packet *out, const uint8_t *packet, size_t n)
{
    if (n < 12 || packet[0] >> 6 != 2)
        return LW_EDATA;
    size_t head = 12 + 4 * (size_t)(packet[0] & 15);
    if (packet[0] & 0x10) { /* one extension: profile, words, and those */
        if (n < head + 4)
            return LW_EDATA;
        head += 4 + 4 * ((size_t)packet[head + 2] << 8 | packet[head + 3]);
    }
    if (n < head)
        return LW_EDATA;
    size_t padding = packet[0] & 0x20 ? packet[n - 1] : 0;
    if ((packet[0] & 0x20 && !padding) || padding > n - head)
        return LW_EDATA;
    *out = (lw_rtp_packet){
        .payload = packet + head,
        .size = n - head - padding,
        .sequence = (uint16_t)(packet[2] << 8 | packet[3]),
        .timestamp = (uint32_t)packet[4] << 24 | (uint32_t)packet[5] << 16 | (uint32_t)packet[6] << 8 | packet[7],
        .ssrc = (uint32_t)packet[8] << 24 | (uint32_t)packet[9] << 16 | (uint32_t)packet[10] << 8 | packet[11],
        .payload_type = packet[1] & 0x7F,
        .marker = packet[1] >> 7,
    };
    return 0;
}
