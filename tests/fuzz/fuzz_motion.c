/* Messages of the motion stream, one behind the other as a carrier brings them: lengths first. What could be read is written
 * again, and has to come back the same. */
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The name that begins at `at` of a group: its size. */
static size_t name_at(const lw_stream_group *group, size_t at)
{
    const char *space = memchr(group->names + at, ' ', group->names_size - at);
    return space ? (size_t)(space - group->names) - at : group->names_size - at;
}

/* A reader finds channels by set and name, so no two may have both. */
static void differ(const lw_stream_group *a, const lw_stream_group *b)
{
    if (a->set_size != b->set_size || memcmp(a->set, b->set, a->set_size))
        return;
    for (size_t i = 0; i < a->names_size; i += name_at(a, i) + 1)
        for (size_t k = a == b ? i + name_at(a, i) + 1 : 0; k < b->names_size; k += name_at(b, k) + 1)
            if (name_at(a, i) == name_at(b, k) && !memcmp(a->names + i, b->names + k, name_at(b, k)))
                abort();
}

static void look_at(const lw_motion_decoder *d, const lw_stream_record *record)
{
    lw_stream_header header;
    if (lw_motion_decoder_header(d, &header) < 0)
        return;
    volatile int64_t seen = 0;
    for (int i = 0; i < record->frames; i++) {
        int64_t sample;
        const int32_t *values = lw_motion_decoder_values(d, i, &sample);
        if (!values || sample < 0 || sample > record->sample)
            abort();
        for (int k = 0; k < header.channels; k++)
            seen += values[k];
    }
    int channels = 0;
    for (int i = 0; i < header.groups; i++) {
        lw_stream_group group;
        if (lw_motion_decoder_group(d, i, &group) < 0 || group.kind >= LW_STREAM_KINDS || group.count < 1)
            abort();
        for (size_t k = 0; k < group.names_size; k++)
            seen += group.names[k];
        channels += group.count;
        for (int k = 0; record->type == LW_STREAM_HEADER && k <= i; k++) {
            lw_stream_group other;
            lw_motion_decoder_group(d, k, &other);
            differ(k == i ? &group : &other, &group);
        }
    }
    if (channels != header.channels)
        abort();
    (void)seen;
}

static void again(const lw_stream_record *record)
{
    lw_stream_note note = {.number = record->number, .sample = record->sample, .generation = record->generation,
                           .kind = record->kind, .value = (const char *)record->bytes, .size = record->size};
    uint8_t *out = malloc(record->size + 64);
    lw_motion_decoder *d;
    lw_stream_record back;
    size_t at = 0;
    if (!out || lw_motion_decoder_open(&d) < 0)
        abort();
    int64_t n = record->type == LW_STREAM_EVENT
                    ? lw_stream_put_event(&note, out, record->size + 64)
                    : lw_stream_put_sound(record->sample, record->kind, record->bytes, record->size, out, record->size + 64);
    if (n < 0 || lw_motion_decoder_next(d, out, (size_t)n, &at, &back) != 1 || back.sample != record->sample ||
        back.size != record->size || (back.size && memcmp(back.bytes, record->bytes, back.size)))
        abort();
    lw_motion_decoder_close(&d);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t sets[2] = {LW_STREAM_ARKIT, LW_STREAM_HEAD};
    lw_motion_encoder *e;
    lw_motion_decoder *d;
    uint8_t header[2048];
    lw_stream_record record;
    if (lw_motion_encoder_open(&e, &(lw_motion_encoder_config){.sets = sets, .set_count = 2, .fps_num = 25, .fps_den = 1}) < 0 ||
        lw_motion_decoder_open(&d) < 0)
        abort();
    int64_t n = lw_motion_encoder_header(e, header, sizeof header);
    size_t at = 0;
    if (lw_motion_decoder_next(d, header, (size_t)n, &at, &record) != 1)
        abort();
    while (size) {
        size_t length = *data++;
        size--;
        length = length < size ? length : size;
        for (size_t place = 0; place < length;) {
            int rc = lw_motion_decoder_next(d, data, length, &place, &record);
            if (rc <= 0 && place == length)
                break;
            if (rc <= 0)
                continue;
            look_at(d, &record);
            if (record.type == LW_STREAM_EVENT || record.type == LW_STREAM_SOUND)
                again(&record);
        }
        data += length;
        size -= length;
    }
    lw_motion_encoder_close(&e);
    lw_motion_decoder_close(&d);
    return 0;
}
