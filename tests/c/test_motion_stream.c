/* The motion stream: what is written is read, any room that is too small is said, and nothing that comes in does harm. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "lipwire/lipwire.h"

#define ROOM 32768

static uint8_t message[ROOM], made[ROOM];

static lw_motion_encoder *encoder(const uint8_t *sets, int count, int earlier)
{
    lw_motion_encoder *e;
    lw_motion_encoder_config config = {.sets = sets, .set_count = count, .fps_num = 60, .fps_den = 1, .earlier = earlier, .id = 3};
    if (lw_motion_encoder_open(&e, &config) < 0)
        exit(1);
    return e;
}

static lw_motion_decoder *decoder(void)
{
    lw_motion_decoder *d;
    if (lw_motion_decoder_open(&d) < 0)
        exit(1);
    return d;
}

/* A step of a random walk, in each kind's range. */
static void wander(int32_t *values, int channels)
{
    for (int k = random_in(0, channels); k > 0; k--) {
        int i = random_in(0, channels - 1);
        values[i] = random_in(0, 3) ? (values[i] + random_in(-9, 9)) & 255 : random_in(0, 255);
    }
}

static const uint8_t all[LW_STREAM_SETS] = {LW_STREAM_HEAD, LW_STREAM_ARKIT, LW_STREAM_AZURE, LW_STREAM_VISEMES, LW_STREAM_POSE};

static void test_there_and_back(void)
{
    static int32_t sent[200][LW_STREAM_OURS];
    for (int earlier = 0; earlier <= LW_STREAM_EARLIER; earlier += 5) {
        lw_motion_encoder *e = encoder(all, LW_STREAM_SETS, earlier);
        lw_motion_decoder *d = decoder();
        lw_stream_record record;
        lw_stream_header header;
        size_t at = 0;
        CHECK(lw_motion_encoder_channels(e) == LW_STREAM_OURS && lw_motion_encoder_bound(e) <= ROOM, "channels and bound");
        CHECK(lw_motion_decoder_header(d, &header) == LW_ESTATE && !lw_motion_decoder_values(d, 0, NULL), "nothing is known");
        int64_t n = lw_motion_encoder_header(e, message, ROOM);
        CHECK(lw_motion_decoder_next(d, message, (size_t)n, &at, &record) == 1 && record.type == LW_STREAM_HEADER &&
                  at == (size_t)n && lw_motion_decoder_header(d, &header) == 0 && header.id == 3 && header.clock_rate == LW_RATE &&
                  header.fps_num == 60 && header.channels == LW_STREAM_OURS && header.groups == LW_STREAM_SETS, "header");
        int same = 1;
#ifdef COUNTING
        int before = allocations;
#endif
        for (int i = 0; i < 200; i++) {
            memcpy(sent[i], sent[i ? i - 1 : 0], sizeof *sent);
            wander(sent[i], LW_STREAM_OURS);
            lw_stream_frame frame = {.sample = 800 * i, .generation = i / 100, .speaking = i & 1, .values = sent[i]};
            n = lw_motion_encoder_frame(e, &frame, message, ROOM);
            at = 0;
            same &= n > 0 && (size_t)n <= lw_motion_encoder_bound(e);
            same &= lw_motion_decoder_next(d, message, (size_t)n, &at, &record) == 1 && record.sample == frame.sample &&
                    record.generation == frame.generation && record.speaking == frame.speaking;
            int expected = i % 100 < earlier ? i % 100 + 1 : earlier + 1; /* of this generation */
            same &= record.frames == expected;
            for (int k = 0; same && k < record.frames; k++) {
                int64_t sample;
                const int32_t *values = lw_motion_decoder_values(d, k, &sample);
                int of = i - record.frames + 1 + k;
                same &= sample == 800 * of && !memcmp(values, sent[of], sizeof *sent);
            }
            same &= !lw_motion_decoder_values(d, record.frames, NULL) && !lw_motion_decoder_values(d, -1, NULL);
        }
#ifdef COUNTING
        CHECK(allocations == before, "no allocation");
#endif
        CHECK(same, "every frame comes back, and those before it");
        lw_motion_encoder_close(&e);
        lw_motion_decoder_close(&d);
    }
}

/* Room for n - 1 bytes: refused, and the next attempt is as good. */
static void test_room(void)
{
    static const uint8_t sets[1] = {LW_STREAM_ARKIT};
    int32_t values[LW_STREAM_OURS] = {0};
    lw_motion_encoder *e = encoder(sets, 1, 1), *other = encoder(sets, 1, 1);
    int good = 1;
    for (int i = 0; i < 3; i++) {
        wander(values, LW_FACE_SHAPES);
        lw_stream_frame frame = {.sample = 10 * i, .values = values};
        int64_t n = lw_motion_encoder_frame(other, &frame, made, ROOM), m = LW_ENOSPC;
        size_t room = 0;
        while (m == LW_ENOSPC)
            m = lw_motion_encoder_frame(e, &frame, message, room++);
        good &= m == n && !memcmp(message, made, (size_t)n) && room <= (size_t)n + 12;
    }
    lw_stream_note note = {.number = 1, .sample = 480, .kind = 4, .value = "thinking", .size = 8};
    good &= lw_stream_put_event(&note, message, 11 + 12) == LW_ENOSPC && lw_stream_put_event(&note, message, 64) == 16;
    good &= lw_stream_put_sound(480, 1, made, 100, message, 100) == LW_ENOSPC && lw_stream_put_sound(480, 1, made, 100, message, 200) == 105;
    good &= lw_motion_encoder_header(e, message, 700) == LW_ENOSPC;
    CHECK(good, "too little room is said");
    CHECK(lw_motion_encoder_frame(e, &(lw_stream_frame){.sample = -1, .values = values}, message, ROOM) == LW_EINVAL &&
              lw_motion_encoder_frame(e, &(lw_stream_frame){.sample = 1}, message, ROOM) == LW_EINVAL &&
              lw_motion_encoder_keep(NULL, NULL) == LW_EINVAL && lw_stream_put_event(NULL, message, 9) == LW_EINVAL &&
              lw_stream_put_sound(0, 256, NULL, 0, message, 9) == LW_EINVAL, "refused");
    lw_motion_encoder_forget(e);
    int64_t n = lw_motion_encoder_frame(e, &(lw_stream_frame){.sample = 90, .values = values}, message, ROOM);
    CHECK(n > 0 && (message[5] & 15) == 0, "forgotten");
    lw_motion_encoder_close(&e);
    lw_motion_encoder_close(&other);
    lw_motion_encoder_close(&e);
    static const uint8_t twice[2] = {1, 1}, none[1] = {LW_STREAM_SETS};
    lw_motion_encoder_config bad[] = {{.sets = twice, .set_count = 2, .fps_num = 25, .fps_den = 1},
                                      {.sets = none, .set_count = 1, .fps_num = 25, .fps_den = 1},
                                      {.sets = twice, .set_count = 1},
                                      {.sets = twice, .set_count = 1, .fps_num = 25, .fps_den = 1, .earlier = 16},
                                      {.sets = twice, .fps_num = 25, .fps_den = 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(lw_motion_encoder_open(&e, &bad[i]) == LW_EINVAL && !e, "open: refused");
}

/* A good message, of which bytes are changed, cut off or repeated. */
static void test_hostile(void)
{
    lw_motion_encoder *e = encoder(all, 3, 2);
    lw_motion_decoder *d = decoder();
    int32_t values[LW_STREAM_OURS] = {0};
    int64_t size = lw_motion_encoder_header(e, made, ROOM);
    for (int i = 0; i < 4; i++) {
        wander(values, 58);
        size += lw_motion_encoder_frame(e, &(lw_stream_frame){.sample = i * 800, .values = values}, made + size, (size_t)(ROOM - size));
    }
    lw_stream_note note = {.number = 1, .sample = 480, .kind = 4, .value = "thinking", .size = 8};
    size += lw_stream_put_event(&note, made + size, (size_t)(ROOM - size));
    int read = 0, damaged = 0;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)random_in(0, (int32_t)size), at = 0;
        uint8_t *exact = malloc(n + !n); /* so that what reads beyond it is seen */
        if (!exact)
            exit(1);
        memcpy(exact, made, n);
        for (int k = random_in(0, 8); n && k > 0; k--)
            exact[random_in(0, (int32_t)n - 1)] = (uint8_t)random_u32();
        lw_stream_record record;
        for (int rc = 1; rc && at <= n;) {
            rc = lw_motion_decoder_next(d, exact, n, &at, &record);
            read += rc > 0;
            damaged += rc < 0;
            volatile int64_t seen = 0;
            for (int i = 0; rc > 0 && i < record.frames; i++) {
                lw_stream_header header;
                lw_motion_decoder_header(d, &header);
                seen += lw_motion_decoder_values(d, i, NULL)[header.channels - 1];
            }
            if (rc > 0 && record.size)
                seen += record.bytes[record.size - 1];
            (void)seen;
        }
        free(exact);
    }
    CHECK(read > 1000 && damaged > 1000, "some is read, some is damaged");
    CHECK(lw_motion_decoder_next(d, NULL, 1, &(size_t){0}, &(lw_stream_record){0}) == LW_EINVAL, "next: refused");
    lw_motion_encoder_close(&e);
    lw_motion_decoder_close(&d);
    lw_motion_decoder_close(&d);
}

int main(void)
{
    test_there_and_back();
    test_room();
    test_hostile();
    return failures != 0;
}
