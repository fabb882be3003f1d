/* The whole chain of one session: sound, pictures and events on one clock, bounded and repeatable. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "lipwire/lipwire.h"

#define PI 3.14159265358979323846
#define W 64
#define H 48
#define FRAME_BYTES (W * H * 3 / 2)
#define MAX_SAMPLES (20 * LW_RATE)
#define MAX_FRAMES 3000
#define MAX_EVENTS 4000

/* ---- material ---- */

static lw_avatar *avatar;

/* A background, a box that follows the head, and three mouths: shut, half, open. */
static void make_avatar(void)
{
    static uint8_t back[W * H * 4], box[12 * 12 * 4], mouths[3][16 * 10 * 4];
    static int16_t coords[3] = {0, 4000, 8000}, visemes[LW_VISEMES] = {0,    0,    2000, 3000, 3000, 3000, 3000, 3000,
                                                                       3000, 3000, 8000, 6000, 5000, 6000, 5000};
    for (size_t i = 0; i < sizeof back; i++)
        back[i] = (uint8_t)(i % 4 == 3 ? 255 : i * 7 / 4);
    for (size_t i = 0; i < sizeof box; i++)
        box[i] = (uint8_t)(i % 4 == 3 ? 255 : 255 - i);
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof mouths[k]; i++)
            mouths[k][i] = (uint8_t)(i % 4 == 3 ? 255 : 90 * k);
    lw_image images[5] = {{back, W, H}, {box, 12, 12}, {mouths[0], 16, 10}, {mouths[1], 16, 10}, {mouths[2], 16, 10}};
    lw_layer layers[2] = {{.first_image = 1, .image_count = 1, .select = LW_SELECT_FIXED, .x8 = 200, .y8 = 60},
                          {.first_image = 2, .image_count = 3, .select = LW_SELECT_MOUTH, .x8 = 190, .y8 = 260}};
    layers[0].kx8[LW_AXIS_HEAD_X] = 90;
    layers[0].ky8[LW_AXIS_BREATH] = 30;
    lw_avatar_config config = {.width = W, .height = H, .images = images, .image_count = 5, .layers = layers,
                               .layer_count = 2, .mouth_dims = 1, .mouth_count = 3, .mouth_coords = coords,
                               .viseme_coords = visemes};
    if (lw_avatar_open(&avatar, &config) < 0) {
        CHECK(0, "avatar");
        exit(1);
    }
}

static int16_t speech[MAX_SAMPLES];

/* -1..1 */
static double uneven(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 23) - 1.0;
}

/* /a/: a pulse train through three resonances, beginning and ending softly; no two pulses are quite alike, as in a
 * throat: a machine's hum is no voice. */
static void make_vowel(int64_t n, int32_t rate)
{
    static const double formants[3] = {760.0, 1250.0, 2500.0};
    double y[3][2] = {{0}}, phase = 0.0, tilt = 0.0, pitch = 120.0;
    uint32_t random = 1;
    for (int64_t i = 0; i < n; i++) {
        phase += pitch / rate;
        tilt *= pow(0.9, 16000.0 / rate);
        if (phase >= 1.0) {
            phase -= 1.0;
            tilt += 1.0 + 0.2 * uneven(&random);
            pitch = 120.0 + 3.0 * uneven(&random);
        }
        double x = tilt * 16000.0 / rate;
        for (int f = 0; f < 3; f++) {
            double r = exp(-PI * (60.0 + 30.0 * f) / rate), c = 2.0 * r * cos(2.0 * PI * formants[f] / rate);
            double out = x * (1.0 - c + r * r) + c * y[f][0] - r * r * y[f][1];
            y[f][1] = y[f][0];
            y[f][0] = x = out;
        }
        double edge = fmin(1.0, fmin((double)i, (double)(n - 1 - i)) / (0.01 * rate));
        speech[i] = (int16_t)fmax(-32000.0, fmin(32000.0, 9000.0 * edge * x));
    }
}

/* ---- running ---- */

typedef struct run {
    lw_performer *p;
    int64_t now;
    int keep_frames, keep_pcm; /* leave them in the rings */
} run;

static int16_t heard[MAX_SAMPLES];
static int64_t heard_count;
static lw_frame_info frames[MAX_FRAMES];
static lw_event events[MAX_EVENTS];
static int frame_count, event_count, contiguous;
static uint64_t pixels_hash;

static run start(lw_performer_config config)
{
    run r = {0};
    if (!config.fps_num)
        config.fps_num = 25, config.fps_den = 1;
    if (lw_performer_open(&r.p, &config) < 0) {
        CHECK(0, "open");
        exit(1);
    }
    heard_count = frame_count = event_count = 0;
    contiguous = 1;
    pixels_hash = 14695981039346656037u;
    return r;
}

static void read_pcm(run *r)
{
    int64_t sample;
    while (heard_count + LW_BLOCK <= MAX_SAMPLES && lw_performer_read_pcm(r->p, heard + heard_count, &sample)) {
        contiguous &= sample == heard_count;
        heard_count += LW_BLOCK;
    }
}

static void read_frames(run *r)
{
    int slot;
    while (frame_count < MAX_FRAMES && lw_performer_acquire_frame(r->p, &slot, &frames[frame_count])) {
        const uint8_t *pixels = lw_performer_frame(r->p, slot);
        for (int i = 0; pixels && i < FRAME_BYTES; i++)
            pixels_hash = (pixels_hash ^ pixels[i]) * 1099511628211u;
        frame_count++;
        lw_performer_release_frame(r->p, slot);
    }
}

static void step(run *r, int ticks)
{
    for (int i = 0; i < ticks; i++) {
        r->now += 10000000;
        (void)lw_performer_tick(r->p, r->now, 1);
        if (!r->keep_pcm)
            read_pcm(r);
        if (!r->keep_frames)
            read_frames(r);
        while (event_count < MAX_EVENTS && lw_performer_read_event(r->p, &events[event_count]))
            event_count++;
    }
}

static const lw_event *find_event(int type, uint64_t utterance)
{
    for (int i = 0; i < event_count; i++)
        if (events[i].type == type && events[i].utterance == utterance)
            return &events[i];
    return NULL;
}

static int open_sum(const lw_pose *pose)
{
    int sum = 0;
    for (int i = 1; i < LW_VISEMES; i++)
        sum += pose->viseme[i];
    return sum;
}

/* ---- tests ---- */

static void test_interface(void)
{
    const lw_performer_config bad[] = {
        {.fps_num = 0, .fps_den = 1},    {.fps_num = 25, .fps_den = 0},  {.fps_num = -25, .fps_den = -1},
        {.fps_num = 101, .fps_den = 1},  {.fps_num = 1, .fps_den = 2},   {.fps_num = 25, .fps_den = 1,
            .frame_slots = -1},
        {.fps_num = 25, .fps_den = 1, .frame_slots = 100000},            {.fps_num = 25, .fps_den = 1,
            .pcm_blocks = -1},
        {.fps_num = 25, .fps_den = 1, .pcm_blocks = INT32_MAX},          {.fps_num = 25, .fps_den = 1,
            .speech = {.capacity = 1}},
        {.fps_num = 25, .fps_den = 1, .speech = {.prebuffer = -1}}};
    lw_performer *p;
    int refused = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        p = (lw_performer *)(uintptr_t)16;
        refused &= lw_performer_open(&p, &bad[i]) == LW_EINVAL && !p;
    }
    CHECK(refused && lw_performer_open(&p, NULL) == LW_EINVAL && lw_performer_open(NULL, &bad[0]) == LW_EINVAL,
          "bad configurations are refused");

    run r = start((lw_performer_config){.avatar = avatar, .speech = {.capacity = 4800, .prebuffer = 480}});
    lw_performer_counters stats;
    CHECK(lw_performer_write(NULL, speech, 1, 48000) == LW_EINVAL && lw_performer_write(r.p, NULL, 1,
        48000) == LW_EINVAL &&
              lw_performer_write(r.p, speech, 1, 7999) == LW_EINVAL && lw_performer_write(r.p, speech, 1,
                  96000) == LW_EINVAL &&
              lw_performer_end(r.p, -1) == LW_EINVAL && lw_performer_end(NULL, 0) == LW_EINVAL, "bad arguments");
    make_vowel(6000, 48000);
    int none = lw_performer_write(r.p, speech, 4801, 48000) == LW_ENOSPC &&
               lw_performer_write(r.p, speech, 1601, 16000) == LW_ENOSPC && lw_performer_space(r.p) == 4800;
    CHECK(none, "a write that does not fit is refused whole");
    CHECK(lw_performer_write(r.p, speech, 1600, 16000) == 0 && lw_performer_end(r.p, 0) == 0 &&
              lw_performer_space(r.p) == 0, "one that just fits is taken, its tail too");
    step(&r, 20);
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
    lw_performer_stats(r.p, &stats);
    uint64_t last;
    CHECK(lw_performer_heard(r.p, &last) == 4800 && last == 1, "heard is what the blocks read hold");
    CHECK(f && f->played == 4800 && stats.utterances == 1 && stats.clock == 9600 && !stats.active && stats.bytes > 0,
          "and played");
    CHECK(!lw_performer_frame(r.p, -1) && !lw_performer_frame(r.p, 6) && lw_performer_frame(r.p, 5), "slots in range");
    lw_performer_close(&r.p);
    lw_performer_close(&r.p);
    lw_performer_close(NULL);
    CHECK(!r.p, "close nulls");
}

static void test_chain(void)
{
    static const int32_t rates[] = {8000, 16000, 22050, 24000, 44100, 48000};
    static const int32_t fps[][2] = {{25, 1}, {30, 1}, {30000, 1001}, {15, 1}, {100, 1}, {25, 1}};
    int sound = 1, frame_times = 1, told = 1, mouth = 1, same = 1;
    for (size_t k = 0; k < 6; k++) {
        run r = start((lw_performer_config){.avatar = avatar, .fps_num = fps[k][0], .fps_den = fps[k][1], .seed = 3});
        int64_t n = rates[k] * 3 / 2 + 17, length = (n * LW_RATE + rates[k] - 1) / rates[k];
        make_vowel(n, rates[k]);
        step(&r, 33);
        for (int64_t at = 0; at < n;) {
            int64_t part = random_in(1, 5000);
            part = part < n - at ? part : n - at;
            sound &= lw_performer_write(r.p, speech + at, (size_t)part, rates[k]) == 0;
            at += part;
        }
        sound &= lw_performer_end(r.p, 0) == 0;
        step(&r, 267);
        lw_performer_counters stats;
        lw_performer_stats(r.p, &stats);
        sound &= contiguous && heard_count == 300 * LW_BLOCK && stats.clock == heard_count && !stats.pcm_dropped;
        const lw_event *s = find_event(LW_EVENT_STARTED, 1), *m = find_event(LW_EVENT_MOUTH, 1),
                       *f = find_event(LW_EVENT_FINISHED, 1);
        if (!s || !m || !f) {
            told = 0;
            lw_performer_close(&r.p);
            continue;
        }
        told &= s->sample == 33 * LW_BLOCK && f->played == length && f->sample == s->sample + length && !f->value &&
                m->sample >= s->sample - 2 * LW_RATE * fps[k][1] / fps[k][0] && m->sample < s->sample + LW_RATE / 5;
        if (rates[k] == LW_RATE)
            same &= !memcmp(heard + s->sample, speech, (size_t)(n - 240) * sizeof *speech);
        int opened = 0;
        for (int i = 0; i < frame_count; i++) {
            const lw_frame_info *info = &frames[i];
            int64_t due = (int64_t)i * LW_RATE * fps[k][1] / fps[k][0];
            frame_times &= info->sequence == i && info->sample == due &&
                           info->due_ns == (due / LW_BLOCK + 1) * 10000000;
            if (info->mouth_open && info->utterance == 1 && !opened) {
                opened = 1;
                told &= info->sample == m->sample;
            }
            int before = info->sample < s->sample - 960, after = info->sample > f->sample + LW_RATE / 5;
            mouth &= !(before || after) || !info->mouth_open;
            mouth &= info->mouth_open || info->sample < s->sample + LW_RATE / 5 ||
                info->sample > f->sample - LW_RATE / 5;
            frame_times &= info->utterance == (info->sample / LW_BLOCK * LW_BLOCK >= s->sample / LW_BLOCK * LW_BLOCK &&
                                               info->sample / LW_BLOCK < f->sample / LW_BLOCK);
        }
        int64_t second = (int64_t)LW_RATE * fps[k][1], due_by_now = (heard_count * fps[k][0] + second - 1) / second;
        frame_times &= frame_count == due_by_now && stats.frames == frame_count && !stats.frames_dropped &&
                       !stats.frames_skipped;
        lw_performer_close(&r.p);
    }
    CHECK(sound, "sound: every block, in order");
    CHECK(same, "sound at 48 kHz comes through unchanged");
    CHECK(frame_times, "frames at their exact samples, in order");
    CHECK(told, "events say when it began, opened and ended, and how much was played");
    CHECK(mouth, "the mouth is open while a vowel is heard, and shut around it");
}

static void test_repeatable(void)
{
    static int16_t first[300 * LW_BLOCK];
    uint64_t hash = 0;
    int same = 1, seeds = 0;
    make_vowel(48000, 24000);
    for (int k = 0; k < 4; k++) {
        run r = start((lw_performer_config){.avatar = avatar, .seed = k == 3 ? 12 : 11});
        for (int64_t at = 0; at < 48000;) {
            int64_t part = k == 1 ? 48000 : random_in(1, 3000);
            part = part < 48000 - at ? part : 48000 - at;
            (void)lw_performer_write(r.p, speech + at, (size_t)part, 24000);
            at += part;
        }
        lw_performer_end(r.p, 0);
        step(&r, 300);
        if (k == 0) {
            memcpy(first, heard, sizeof first);
            hash = pixels_hash;
        } else {
            same &= !memcmp(first, heard, sizeof first);
            if (k < 3)
                same &= pixels_hash == hash;
            else
                seeds = pixels_hash != hash;
        }
        lw_performer_close(&r.p);
    }
    CHECK(same, "the same seed and input give the same sound and pixels, however cut");
    CHECK(seeds, "another seed moves otherwise");
}

/* Many in one call: each does what it would alone. */
static void test_together(void)
{
    enum { MANY = 11, TICKS = 150 };
    static lw_frame_info shown[2][MANY][TICKS];
    static int16_t sound[2][MANY][TICKS][LW_BLOCK];
    make_vowel(48000, 48000);
    int ok = 1, frames_seen[2][MANY] = {{0}};
    for (int together = 0; together < 2; together++) {
        lw_performer *p[MANY];
        for (int i = 0; i < MANY; i++) {
            lw_performer_config config = {.avatar = avatar, .fps_num = 25, .fps_den = 1, .seed = (uint32_t)i, .turns = i == 5};
            ok &= lw_performer_open(&p[i], &config) == 0;
            ok &= lw_performer_write(p[i], speech, (size_t)(20000 + 2000 * i), i % 2 ? 48000 : 24000) == 0;
            ok &= lw_performer_end(p[i], 0) == 0;
        }
        for (int tick = 0; tick < TICKS; tick++) {
            int out[MANY];
            if (tick == 40)
                lw_performer_interrupt(p[3]);
            for (int i = 0; i < MANY && !together; i++)
                out[i] = lw_performer_tick(p[i], tick, 1);
            if (together)
                lw_performer_tick_many(p, MANY, tick, 1, out);
            for (int i = 0; i < MANY; i++) {
                int64_t sample;
                lw_event event;
                int slot;
                ok &= !!(out[i] & LW_TICK_PCM) && lw_performer_due(p[i], out[i]) && lw_performer_waiting(p[i]) == 1 &&
                      lw_performer_sample(p[i]) == tick * LW_BLOCK;
                ok &= lw_performer_read_pcm(p[i], sound[together][i][tick], &sample);
                while (lw_performer_read_event(p[i], &event))
                    ;
                if (out[i] & LW_TICK_FRAME) {
                    ok &= lw_performer_acquire_frame(p[i], &slot, &shown[together][i][frames_seen[together][i]++]);
                    lw_performer_release_frame(p[i], slot);
                }
            }
        }
        for (int i = 0; i < MANY; i++)
            lw_performer_close(&p[i]);
    }
    CHECK(ok && !memcmp(frames_seen[0], frames_seen[1], sizeof frames_seen[0]) && frames_seen[0][0] > 30,
          "eleven performers tick in one call");
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < frames_seen[0][i]; k++)
            ok &= !memcmp(&shown[0][i][k], &shown[1][i][k], offsetof(lw_frame_info, pose) + sizeof(lw_pose));
    CHECK(ok && !memcmp(sound[0], sound[1], sizeof sound[0]),
          "each has the sound and the poses that it has alone");
}

/* Blocks wait for each other; what else comes does not. */
static void test_batch(void)
{
    lw_performer *bad;
    CHECK(lw_performer_open(&bad, &(lw_performer_config){.fps_num = 25, .fps_den = 1, .batch = -1}) == LW_EINVAL &&
              lw_performer_open(&bad, &(lw_performer_config){.fps_num = 25, .fps_den = 1, .batch = 65}) == LW_EINVAL,
          "a batch that the ring cannot hold");
    run r = start((lw_performer_config){.fps_num = 10, .fps_den = 1, .batch = 3});
    int ok = 1;
    make_vowel(4800, 48000);
    for (int tick = 0; tick < 60; tick++) {
        if (tick == 30)
            ok &= lw_performer_write(r.p, speech, 4800, 48000) == 0 && lw_performer_end(r.p, 0) == 0;
        int out = lw_performer_tick(r.p, 0, 1), due = lw_performer_due(r.p, out);
        ok &= due == (out & (LW_TICK_FRAME | LW_TICK_EVENTS) || lw_performer_waiting(r.p) >= 3);
        ok &= (out & LW_TICK_FRAME) == (tick % 10 ? 0 : LW_TICK_FRAME);
        if (due) {
            read_pcm(&r);
            read_frames(&r);
        }
    }
    while (lw_performer_read_event(r.p, &events[event_count]))
        event_count++;
    CHECK(ok && contiguous && find_event(LW_EVENT_FINISHED, 1), "its reader is told of three blocks, a frame or an event");
    lw_performer_close(&r.p);
}

static void test_held_slots(void)
{
    static uint8_t copies[3][FRAME_BYTES];
    static int16_t free_run[120 * LW_BLOCK];
    make_vowel(48000, 48000);
    run r = start((lw_performer_config){.avatar = avatar, .frame_slots = 3});
    (void)lw_performer_write(r.p, speech, 48000, 48000);
    step(&r, 120);
    memcpy(free_run, heard, sizeof free_run);
    lw_performer_close(&r.p);

    r = start((lw_performer_config){.avatar = avatar, .frame_slots = 3});
    (void)lw_performer_write(r.p, speech, 48000, 48000);
    r.keep_frames = 1;
    int slots[3], slot = -1, held = 0, unchanged = 1;
    for (int i = 0; i < 60; i++) {
        step(&r, 1);
        if (held < 3 && lw_performer_acquire_frame(r.p, &slots[held], &frames[held])) {
            memcpy(copies[held], lw_performer_frame(r.p, slots[held]), FRAME_BYTES);
            held++;
        }
        for (int k = 0; k < held; k++)
            unchanged &= !memcmp(copies[k], lw_performer_frame(r.p, slots[k]), FRAME_BYTES);
    }
    lw_performer_counters stats;
    lw_performer_stats(r.p, &stats);
    CHECK(held == 3 && slots[0] != slots[1] && slots[1] != slots[2] && slots[0] != slots[2] && unchanged,
          "held frames stay as they are");
    CHECK(stats.frames == 3 && stats.frames_dropped == 12 && !lw_performer_acquire_frame(r.p, &slot, &frames[0]),
          "and what finds no slot is dropped and counted");
    lw_performer_release_frame(r.p, slots[1]); /* any order */
    step(&r, 4);
    CHECK(lw_performer_acquire_frame(r.p, &slot, &frames[3]) == 1 && slot == slots[1] && frames[3].sequence == 15 && frames[3].sample == 15 * 1920,
        "a released slot is used again");
    lw_performer_release_frame(r.p, slots[0]);
    lw_performer_release_frame(r.p, slots[2]);
    lw_performer_release_frame(r.p, slot);
    lw_performer_release_frame(r.p, -1);
    lw_performer_release_frame(r.p, 3);
    r.keep_frames = 0;
    frame_count = 0;
    step(&r, 56);
    CHECK(frame_count == 14 && frames[13].sequence == 29, "and all goes on");
    CHECK(contiguous && heard_count == 120 * LW_BLOCK && !memcmp(free_run, heard, sizeof free_run),
          "the sound does not notice");
    lw_performer_close(&r.p);
}

static void test_late_and_full(void)
{
    run r = start((lw_performer_config){.avatar = avatar, .pcm_blocks = 8});
    r.keep_pcm = 1;
    step(&r, 20);
    lw_performer_counters stats;
    lw_performer_stats(r.p, &stats);
    CHECK(stats.pcm_dropped == 12, "blocks that find no room are dropped and counted");
    int16_t block[LW_BLOCK];
    int64_t sample, oldest = 1;
    for (int i = 0; i < 8; i++)
        oldest &= lw_performer_read_pcm(r.p, block, &sample) == 1 && sample == i * LW_BLOCK;
    CHECK(oldest && !lw_performer_read_pcm(r.p, block, &sample), "the oldest stay");
    step(&r, 1);
    CHECK(lw_performer_read_pcm(r.p, block, &sample) == 1 && sample == 20 * LW_BLOCK, "the next is where the clock is");
    for (int i = 0; i < 8; i++)
        (void)lw_performer_tick(r.p, 0, 0);
    lw_performer_stats(r.p, &stats);
    CHECK(stats.frames_skipped == 2 && stats.clock == 29 * LW_BLOCK, "late frames are skipped and counted");
    frame_count = r.keep_pcm = 0;
    step(&r, 4);
    CHECK(frame_count == 1 && frames[0].sequence == 8, "and the next has its own number");
    int blocks = 0, pictures = 0, others = 0;
    for (int i = 0; i < 12; i++) {
        int bits = lw_performer_tick(r.p, 0, 1);
        blocks += bits & 1;
        pictures += bits >> 1 & 1;
        others += bits >> 2;
    }
    CHECK(blocks == 8 && pictures == 3 && !others, "a tick says what it put out");
    lw_performer_close(&r.p);

    r = start((lw_performer_config){.frame_slots = 2});
    step(&r, 40);
    CHECK(frame_count == 10 && frames[9].sample == 9 * 1920 && !lw_performer_frame(r.p, 0),
          "without an avatar there are poses");
    lw_performer_close(&r.p);
}

/* A reader who falls behind, catches up and falls behind again, from other places of the ring each time, gets what one gets
 * who reads at every tick. */
static void test_lagging_reader(void)
{
    static int16_t prompt[60 * LW_BLOCK];
    static const int takes[] = {0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 5, 1};
    make_vowel(40 * LW_BLOCK, 48000);
    for (int lags = 0; lags < 2; lags++) {
        run r = start((lw_performer_config){.avatar = avatar, .pcm_blocks = 5});
        CHECK(lw_performer_write(r.p, speech, 40 * LW_BLOCK, 48000) == 0, "speech");
        r.keep_pcm = lags;
        for (int i = 0; i < 60; i++) {
            step(&r, 1);
            int64_t sample;
            for (int n = lags ? takes[i % 15] : 0; n && lw_performer_read_pcm(r.p, heard + heard_count, &sample); n--) {
                contiguous &= sample == heard_count;
                heard_count += LW_BLOCK;
            }
        }
        lw_performer_counters stats;
        lw_performer_stats(r.p, &stats);
        read_pcm(&r);
        CHECK(contiguous && heard_count == 60 * LW_BLOCK && !stats.pcm_dropped, "every block, in order");
        if (lags)
            CHECK(!memcmp(heard, prompt, sizeof prompt), "a reader who lags hears the same");
        memcpy(prompt, heard, sizeof prompt);
        lw_performer_close(&r.p);
    }
}

static void test_interrupt(void)
{
    int closes = 1, silent = 1, told = 1;
    make_vowel(96000, 48000);
    for (int k = 0; k < 12; k++) {
        run r = start((lw_performer_config){.avatar = avatar, .seed = (uint32_t)k});
        (void)lw_performer_write(r.p, speech, 96000, 48000);
        step(&r, 40 + 3 * k);
        int was_open = frames[frame_count - 1].mouth_open;
        int64_t at = heard_count;
        lw_performer_interrupt(r.p);
        step(&r, 60);
        int last = 40000;
        for (int i = 0; i < frame_count; i++) {
            if (frames[i].sample < at + 1920)
                continue;
            int sum = open_sum(&frames[i].pose);
            closes &= sum <= last;
            last = sum;
            closes &= frames[i].sample < at + 7200 || (!frames[i].mouth_open && sum < 3277);
        }
        closes &= was_open;
        for (int64_t i = at + 240; i < heard_count; i++)
            silent &= heard[i] == 0;
        const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
        told &= f && f->value == 1 && f->played == at + 240 && f->sample == at + 240;
        lw_performer_close(&r.p);
    }
    CHECK(closes, "after an interrupt the mouth only closes, within 150 ms");
    CHECK(silent, "and it is silent after the fade");
    CHECK(told, "and the event says what was heard");
}

/* An utterance that the resampler holds back whole uses up its number, and ends. */
static void test_interrupt_of_what_is_held_back(void)
{
    const int16_t one = 8000;
    make_vowel(9600, 48000);
    run r = start((lw_performer_config){.avatar = avatar});
    int number = lw_performer_write(r.p, &one, 1, 16000) == 0 && lw_performer_utterance(r.p) == 1;
    lw_performer_interrupt(r.p);
    number &= lw_performer_write(r.p, speech, 9600, 48000) == 0 && lw_performer_utterance(r.p) == 2;
    lw_performer_end(r.p, 0);
    step(&r, 40);
    const lw_event *first = find_event(LW_EVENT_FINISHED, 1), *second = find_event(LW_EVENT_FINISHED, 2);
    CHECK(number, "the next one has a number of its own");
    CHECK(first && first->value == 1 && !first->played && second && !second->value && second->played == 9600,
          "and each of them ends");
    lw_performer_close(&r.p);
}

/* What the resampler holds back never surfaces in another utterance. */
static void test_tails(void)
{
    int16_t loud[1600], quiet[1600] = {0};
    for (int i = 0; i < 1600; i++)
        loud[i] = (int16_t)(i & 1 ? 30000 : 29000);
    run r = start((lw_performer_config){.avatar = avatar});
    (void)lw_performer_write(r.p, loud, 1600, 16000);
    lw_performer_end(r.p, 9600);
    step(&r, 5);
    (void)lw_performer_write(r.p, loud, 1600, 16000); /* within the grace, and never flushed */
    step(&r, 35);
    int64_t at = heard_count;
    (void)lw_performer_write(r.p, quiet, 1600, 16000);
    lw_performer_end(r.p, 0);
    step(&r, 20);
    int clean = find_event(LW_EVENT_STARTED, 2) != NULL;
    for (int64_t i = at; i < heard_count; i++)
        clean &= heard[i] == 0;
    CHECK(clean, "a tail that nobody flushed is not heard in the next utterance");
    lw_performer_close(&r.p);

    r = start((lw_performer_config){.avatar = avatar, .speech = {.dry_timeout = 9600}});
    (void)lw_performer_write(r.p, loud, 1600, 16000);
    step(&r, 60);
    CHECK(find_event(LW_EVENT_FINISHED, 1) && lw_performer_writing(r.p) == 2, "a dry utterance is over");
    lw_performer_end(r.p, 0);
    step(&r, 20);
    CHECK(!find_event(LW_EVENT_STARTED, 2) && lw_performer_writing(r.p) == 2, "a late end opens no other one");
    lw_performer_close(&r.p);

    /* Rates that change within an utterance lose nothing; an interrupt drops what is held. */
    r = start((lw_performer_config){.avatar = avatar});
    (void)lw_performer_write(r.p, loud, 1600, 16000);
    (void)lw_performer_write(r.p, loud, 801, 8000);
    (void)lw_performer_write(r.p, loud, 441, 44100);
    (void)lw_performer_write(r.p, loud, 480, 48000);
    lw_performer_end(r.p, 0);
    step(&r, 60);
    const lw_event *f = find_event(LW_EVENT_FINISHED, 1);
    CHECK(f && f->played == 4800 + 4806 + 480 + 480, "rates may change within an utterance");
    (void)lw_performer_write(r.p, loud, 1600, 16000);
    lw_performer_interrupt(r.p);
    (void)lw_performer_write(r.p, quiet, 1600, 16000);
    lw_performer_end(r.p, 0);
    at = heard_count;
    step(&r, 30);
    f = find_event(LW_EVENT_FINISHED, 3);
    clean = f && f->played == 4800;
    for (int64_t i = at; i < heard_count; i++)
        clean &= heard[i] == 0;
    CHECK(clean, "an interrupt drops what the resampler holds");

    /* Too many waiting utterances: refused whole, and taken whole later. */
    int rc = 0, queued = 0;
    while (queued < 1000 && !(rc = lw_performer_write(r.p, quiet, 160, 16000))) {
        queued++;
        lw_performer_end(r.p, 0);
    }
    int64_t space = lw_performer_space(r.p);
    CHECK(rc == LW_ENOSPC && lw_performer_write(r.p, quiet, 160, 16000) == LW_ENOSPC &&
        lw_performer_space(r.p) == space,
          "too many utterances are refused");
    step(&r, queued + 20);
    uint64_t next = lw_performer_writing(r.p);
    CHECK(lw_performer_write(r.p, quiet, 160, 16000) == 0 && lw_performer_end(r.p, 0) == 0, "until there is room");
    step(&r, 20);
    f = find_event(LW_EVENT_FINISHED, next);
    CHECK(f && f->played == 480, "and a refused one leaves nothing behind");
    lw_performer_close(&r.p);
}

/* Settings come from the producer's side and act on the next tick; the same gesture twice is played twice. */
/* What nobody looks at is not drawn, and all else goes on: twins, one of which is not looked at for a while. */
static void test_nobody_looks(void)
{
    static lw_frame_info seen[MAX_FRAMES];
    static lw_event told[MAX_EVENTS];
    int seen_count = 0, told_count = 0, compared = 0, same = 1;
    make_vowel(LW_RATE, LW_RATE);
    for (int blind = 0; blind < 2; blind++) {
        run r = start((lw_performer_config){.avatar = avatar, .seed = 5});
        lw_performer_write(r.p, speech, LW_RATE, LW_RATE);
        lw_performer_end(r.p, 0);
        step(&r, 2);
        CHECK(lw_performer_look(r.p, 8) == LW_EINVAL && lw_performer_look(NULL, 0) == LW_EINVAL, "look: refused");
        CHECK(lw_performer_look(r.p, blind ? 0 : LW_LOOK_PICTURES) == 0, "look");
        int before = frame_count;
        step(&r, 100);
        CHECK(!blind || frame_count == before, "nobody looks: no frame");
        lw_performer_look(r.p, LW_LOOK_PICTURES);
        step(&r, 70);
        lw_performer_counters counters;
        lw_performer_stats(r.p, &counters);
        CHECK(counters.frames == 43 && counters.frames_unseen == (blind ? 25 : 0) && counters.frames_skipped == 0,
              "nobody looks: counted");
        CHECK(contiguous && heard_count == 172 * LW_BLOCK, "nobody looks: the sound goes on");
        if (!blind) {
            memcpy(seen, frames, sizeof seen);
            memcpy(told, events, sizeof told);
            seen_count = frame_count, told_count = event_count;
        }
        lw_performer_close(&r.p);
    }
    for (int i = 0, k = 0; i < seen_count && k < frame_count; i++)
        if (seen[i].sample == frames[k].sample) {
            same &= !memcmp(&seen[i].pose, &frames[k].pose, sizeof(lw_pose)) && seen[i].sequence == frames[k].sequence &&
                    seen[i].mouth_open == frames[k].mouth_open;
            compared++, k++;
        }
    CHECK(same && compared == frame_count && compared == 18, "nobody looks: the same face afterwards");
    CHECK(told_count == event_count && event_count == 3, "nobody looks: the same events");
    for (int i = 0; i < event_count; i++) {
        int mouth = events[i].type == LW_EVENT_MOUTH;
        CHECK(events[i].type == told[i].type && events[i].sample == told[i].sample &&
                  events[i].utterance == told[i].utterance, "nobody looks: an event");
        CHECK(!mouth || (events[i].value == 1 && events[i].played == 10000000 * (events[i].sample / LW_BLOCK + 1)),
              "nobody looks: the tick of the open mouth");
    }
    run r = start((lw_performer_config){.avatar = avatar}); /* an interrupt goes on from the mouth that would have been seen */
    lw_performer_look(r.p, 0);
    lw_performer_write(r.p, speech, LW_RATE, LW_RATE);
    step(&r, 40);
    lw_performer_interrupt(r.p);
    lw_performer_look(r.p, LW_LOOK_PICTURES);
    step(&r, 1);
    CHECK(frame_count == 1 && frames[0].mouth_open && frames[0].pose.viseme[0] < 32000,
          "nobody looked: the mouth closes from where it was");
    lw_performer_close(&r.p);
}

/* Who wants poses alone has every frame, and none is drawn: twins, one of which is looked at. */
static void test_poses_alone(void)
{
    static lw_frame_info seen[MAX_FRAMES];
    int seen_count = 0, same = 1;
    make_vowel(LW_RATE / 2, LW_RATE);
    for (int alone = 0; alone < 2; alone++) {
        run r = start((lw_performer_config){.avatar = avatar, .seed = 5});
        lw_performer_look(r.p, alone ? LW_LOOK_POSES : LW_LOOK_PICTURES | LW_LOOK_POSES);
        lw_performer_write(r.p, speech, LW_RATE / 2, LW_RATE);
        lw_performer_end(r.p, 0);
        step(&r, 30);
        lw_performer_interrupt(r.p);
        step(&r, 30);
        lw_performer_counters counters;
        lw_performer_stats(r.p, &counters);
        CHECK(counters.frames == 15 && counters.frames_unseen == 0 && counters.frames_undrawn == (alone ? 15 : 0),
              "poses alone: counted");
        if (!alone) {
            memcpy(seen, frames, sizeof seen);
            seen_count = frame_count;
        }
        lw_performer_close(&r.p);
    }
    for (int i = 0; i < seen_count; i++)
        same &= !memcmp(&seen[i].pose, &frames[i].pose, sizeof(lw_pose)) && seen[i].sample == frames[i].sample &&
                seen[i].mouth_open == frames[i].mouth_open && seen[i].generation == frames[i].generation &&
                seen[i].drawn && !frames[i].drawn && frames[i].node < 0;
    CHECK(seen_count == 15 && frame_count == 15 && same, "poses alone: the same face");
}

static void test_settings(void)
{
    lw_performer *p = NULL;
    lw_performer_config config = {.avatar = avatar, .fps_num = 100, .fps_den = 1, .frame_slots = 2};
    if (lw_performer_open(&p, &config) < 0) {
        CHECK(0, "open");
        return;
    }
    CHECK(lw_performer_set(NULL, LW_MOTION_STATE, 0) == LW_EINVAL && lw_performer_set(p, LW_MOTION_SETTINGS, 0) == LW_EINVAL &&
              lw_performer_set(p, LW_MOTION_GESTURE, LW_GESTURES) == LW_EINVAL && lw_performer_set(p, 0, -1) == LW_EINVAL,
          "no such setting or value");
    int first = 0, waves = 0, before = 0, open = 0, parted = 0;
    for (int i = 0; i < 900; i++) {
        int16_t pcm[LW_BLOCK];
        int64_t sample;
        if (i == 10) {
            lw_performer_set(p, LW_MOTION_EXPRESSION, LW_EXPRESSION_CONCERNED);
            lw_performer_set(p, LW_MOTION_EXPRESSION, LW_EXPRESSION_HAPPY);
        }
        if (i == 10 || i == 450)
            lw_performer_set(p, LW_MOTION_GESTURE, LW_GESTURE_WAVE);
        lw_performer_tick(p, 0, 1);
        while (lw_performer_read_pcm(p, pcm, &sample))
            ;
        lw_frame_info info;
        int slot;
        if (!lw_performer_acquire_frame(p, &slot, &info))
            continue;
        lw_performer_release_frame(p, slot);
        const int16_t *axis = info.pose.axis;
        if (i == 10)
            first = axis[LW_AXIS_HAPPY] > 0 && !axis[LW_AXIS_CONCERNED] && axis[LW_AXIS_WAVE] > 0;
        waves += axis[LW_AXIS_WAVE] > 0 && !before;
        before = axis[LW_AXIS_WAVE];
        open += info.mouth_open;
        parted += info.pose.viseme[12] > 8000;
    }
    lw_performer_close(&p);
    CHECK(first, "acts on the next frame, the last of two counts");
    CHECK(waves == 2, "the same gesture again is played again");
    CHECK(parted > 800 && !open, "a smile is no open mouth");
}

static void test_allocations(void)
{
#ifdef COUNTING
    make_vowel(48000, 16000);
    run r = start((lw_performer_config){.avatar = avatar});
    (void)lw_performer_write(r.p, speech, 4800, 16000);
    step(&r, 50);
    int before = allocations;
    for (int k = 0; k < 20; k++) {
        (void)lw_performer_write(r.p, speech, 4800, 16000);
        step(&r, 20);
        if (k % 3 == 0)
            lw_performer_interrupt(r.p);
        if (k % 3 == 1)
            lw_performer_end(r.p, 480);
        step(&r, 20);
        lw_performer_counters stats;
        lw_performer_stats(r.p, &stats);
    }
    int during = allocations - before;
    (void)lw_performer_write(r.p, speech, 480, 48000);
    CHECK(during == 0 && allocations > before, "nothing allocates but another rate");
    lw_performer_close(&r.p);
#else
    printf("# allocations are counted only without sanitizers\n");
#endif
}

/* ---- three threads ---- */

static _Atomic int done;

static void *produce(void *arg)
{
    lw_performer *p = arg;
    uint64_t state = 5;
    for (int i = 0; i < 3000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t r = (uint32_t)(state >> 33) % 64;
        if (r < 48)
            (void)lw_performer_write(p, speech, 1 + r * 20, i / 500 % 2 ? 16000 : 24000);
        else if (r < 60)
            (void)lw_performer_end(p, (int32_t)(r - 48) * 100);
        else
            (void)lw_performer_interrupt(p);
    }
    return NULL;
}

static void *tick_on(void *arg)
{
    for (int i = 0; i < 1500; i++)
        (void)lw_performer_tick(arg, i, 1);
    atomic_store(&done, 1);
    return NULL;
}

static void test_threads(void)
{
    lw_performer_config config = {.avatar = avatar, .fps_num = 50, .fps_den = 1, .frame_slots = 4};
    lw_performer *p = NULL;
    pthread_t producer, consumer;
    make_vowel(2000, 16000);
    if (lw_performer_open(&p, &config) < 0 || pthread_create(&producer, NULL, produce, p) ||
        pthread_create(&consumer, NULL, tick_on, p)) {
        CHECK(0, "threads");
        return;
    }
    int ordered = 1, whole = 1, held = -1, slot = 0;
    int64_t blocks = 0, shown = 0, last_sample = -1, last_frame = -1, told = 0, sample;
    for (int rest = 0; rest < 2; rest += atomic_load(&done)) {
        int16_t block[LW_BLOCK];
        lw_event event;
        lw_frame_info info;
        lw_performer_counters stats;
        while (lw_performer_read_pcm(p, block, &sample)) {
            ordered &= sample > last_sample && sample % LW_BLOCK == 0;
            last_sample = sample;
            blocks++;
        }
        while (lw_performer_read_event(p, &event))
            told++;
        while (lw_performer_acquire_frame(p, &slot, &info)) {
            static uint8_t copy[FRAME_BYTES];
            ordered &= info.sequence > last_frame;
            last_frame = info.sequence;
            shown++;
            memcpy(copy, lw_performer_frame(p, slot), FRAME_BYTES);
            if (held >= 0)
                lw_performer_release_frame(p, held);
            whole &= !memcmp(copy, lw_performer_frame(p, slot), FRAME_BYTES);
            held = slot;
        }
        lw_performer_stats(p, &stats);
    }
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    lw_performer_counters stats;
    lw_performer_stats(p, &stats);
    CHECK(ordered && whole, "three threads: everything in order, held frames still");
    CHECK(blocks + stats.pcm_dropped == 1500 && shown == stats.frames && shown + stats.frames_dropped == 750,
          "three threads: everything counted");
    CHECK(stats.clock == 1500 * LW_BLOCK && told >= 0, "three threads: the clock never waits");
    lw_performer_close(&p);
}

int main(void)
{
    make_avatar();
    test_interface();
    test_chain();
    test_repeatable();
    test_together();
    test_batch();
    test_held_slots();
    test_late_and_full();
    test_lagging_reader();
    test_interrupt();
    test_interrupt_of_what_is_held_back();
    test_tails();
    test_nobody_looks();
    test_poses_alone();
    test_settings();
    test_allocations();
    test_threads();
    lw_avatar_close(&avatar);
    return failures != 0;
}
