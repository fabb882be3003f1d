/* speexdsp's jitter buffer behind driver.h (Debian's libspeexdsp-dev). It hands out packets and knows nothing of sound: what
 * is missing, and what it wants inserted, is silence here, as it is for a codec without concealment of its own. */
#include <speex/speex_jitter.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    JitterBuffer *jitter;
    int span, block, left;
    long pulled, missing;
    uint8_t packet[1920];
} buffer;

static buffer *buffer_open(int rate)
{
    buffer *b = calloc(1, sizeof *b);
    if (!b || !(b->jitter = jitter_buffer_init(rate / 50))) {
        free(b);
        return NULL;
    }
    b->span = rate / 50;
    b->block = rate / 100;
    return b;
}

static void buffer_put(buffer *b, int64_t now_ns, uint16_t sequence, uint32_t timestamp, const uint8_t *l16, size_t bytes)
{
    (void)now_ns; /* it tells the time by its ticks */
    const JitterBufferPacket packet = {
        .data = (char *)l16, .len = (uint32_t)bytes, .timestamp = timestamp, .span = (uint32_t)b->span, .sequence = sequence};
    jitter_buffer_put(b->jitter, &packet);
}

static void buffer_get(buffer *b, int64_t now_ns, int16_t *out)
{
    (void)now_ns;
    if (!b->left) {
        JitterBufferPacket packet = {.data = (char *)b->packet, .len = sizeof b->packet};
        spx_int32_t offset = 0;
        if (jitter_buffer_get(b->jitter, &packet, b->span, &offset) != JITTER_BUFFER_OK) {
            memset(b->packet, 0, sizeof b->packet);
            b->missing += b->span;
        }
        jitter_buffer_tick(b->jitter);
        b->left = 2;
    }
    const uint8_t *from = b->packet + (b->left == 1 ? 2 * b->block : 0);
    for (int i = 0; i < b->block; i++)
        out[i] = (int16_t)(from[2 * i] << 8 | from[2 * i + 1]);
    b->left--;
    b->pulled += b->block;
}

static void buffer_report(buffer *);

static void buffer_close(buffer *b)
{
    jitter_buffer_destroy(b->jitter);
    free(b);
}

#include "driver.h"

static void buffer_report(buffer *b)
{
    printf("samples %ld\n", b->pulled);
    printf("concealed %ld\n", b->missing);
}
