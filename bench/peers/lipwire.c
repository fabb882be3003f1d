/* Lipwire's own jitter buffer behind driver.h, from C as its peers are. */
#include "lipwire/jitter.h"

#include <stdint.h>
#include <stdlib.h>

typedef struct {
    lw_jitter_decoder decoder;
    lw_jitter *jitter;
} buffer;

static buffer *buffer_open(int rate)
{
    lw_cpu_use(lw_cpu_detect());
    buffer *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    if (lw_jitter_codec_open(&b->decoder, "l16", rate) < 0) {
        free(b);
        return NULL;
    }
    if (lw_jitter_open(&b->jitter, &(lw_jitter_config){.sample_rate = rate, .decoder = b->decoder}) < 0) {
        lw_jitter_codec_close(&b->decoder);
        free(b);
        return NULL;
    }
    return b;
}

static void buffer_put(buffer *b, int64_t now_ns, uint16_t sequence, uint32_t timestamp, const uint8_t *l16, size_t bytes)
{
    lw_jitter_put(b->jitter, now_ns, sequence, timestamp, LW_JITTER_SPEECH, l16, bytes);
}

static void buffer_get(buffer *b, int64_t now_ns, int16_t *out)
{
    lw_jitter_get(b->jitter, now_ns, out);
}

static void buffer_report(buffer *);

static void buffer_close(buffer *b)
{
    lw_jitter_close(&b->jitter);
    lw_jitter_codec_close(&b->decoder);
    free(b);
}

#include "driver.h"

static void buffer_report(buffer *b)
{
    lw_jitter_stats_t s;
    lw_jitter_stats(b->jitter, &s);
    printf("samples %lld\n", (long long)s.total_samples_received);
    printf("concealed %lld\n", (long long)s.concealed_samples);
    printf("removed %lld\n", (long long)s.removed_samples_for_acceleration);
    printf("inserted %lld\n", (long long)s.inserted_samples_for_deceleration);
    printf("discarded %lld\n", (long long)s.packets_discarded);
}
