/* The jitter buffer, in virtual time: what comes out for what comes in, and when. */
#include <math.h>

#include "allocations.h"
#include "check.h"

#define MS 1000000LL

enum { RATE = 16000, BLOCK = RATE / 100, PACKET = RATE / 50, SECONDS = 40, PACKETS = 50 * SECONDS };

/* One run: a packet every 20 ms, which arrives when `delay` says, and a block every 10 ms. */
typedef struct run {
    int packets;
    int32_t rate;
    double delay_ms[PACKETS]; /* below 0: lost */
    int copies[PACKETS];      /* more of them, 3 ms apart */
    double skew;              /* the sender's clock is faster by this */
    uint16_t sequence;
    uint32_t timestamp;
    int16_t sound[PACKETS * 48000 / 50];
    /* what came of it */
    int16_t out[PACKETS * 48000 / 50 + 48000];
    int modes[2 * PACKETS + 100];
    double lag_ms[2 * PACKETS + 100]; /* mean delay of what was decoded, by block */
    int64_t concealed[2 * PACKETS + 100]; /* until then */
    int blocks;
    lw_jitter_stats_t stats;
} run;

typedef struct arrival {
    int64_t time;
    int packet;
} arrival;

static run r;

static int earlier(const void *a, const void *b)
{
    const arrival *x = a, *y = b;
    return x->time != y->time ? (x->time > y->time) - (x->time < y->time) : (x->packet > y->packet) - (x->packet < y->packet);
}

static void begin(int packets, int32_t rate)
{
    memset(&r, 0, sizeof r);
    r.packets = packets;
    r.rate = rate;
}

static void tone(double hertz, double amplitude)
{
    int n = r.packets * r.rate / 50;
    for (int i = 0; i < n; i++)
        r.sound[i] = (int16_t)lround(amplitude * sin(2 * 3.14159265358979 * hertz * i / r.rate));
}

/* A voice: a train of pulses through two resonances, its pitch gliding, syllables with pauses of faint noise. */
static void voice(void)
{
    int n = r.packets * r.rate / 50;
    double y1 = 0, y2 = 0, z1 = 0, z2 = 0, phase = 0, dt = 1.0 / r.rate;
    for (int i = 0; i < n; i++) {
        double t = i * dt, pitch = 120 + 30 * sin(2 * t), syllable = sin(2 * 3.14159265 * 2.3 * t);
        phase += pitch * dt;
        double pulse = phase >= 1 ? (phase -= 1, 1) : 0;
        double loud = syllable > 0 ? syllable : 0;
        double x = 6000 * pulse * loud + random_in(-20, 20) * (0.2 + loud);
        double y = x + 1.85 * cos(2 * 3.14159265 * 600 * dt) * y1 - 0.86 * y2;
        double z = y + 1.8 * cos(2 * 3.14159265 * 1500 * dt) * z1 - 0.81 * z2;
        y2 = y1, y1 = y, z2 = z1, z1 = z;
        r.sound[i] = (int16_t)lround(fmax(-30000, fmin(30000, 0.15 * z)));
    }
}

/* Runs it: blocks are asked for from 0 on, 3 ms after the packets are sent. Returns 1: every call did what it had to. */
static int play(lw_jitter *j, int32_t clock_rate)
{
    static arrival arrivals[2 * PACKETS];
    static uint8_t payload[LW_JITTER_MAX_PAYLOAD];
    int count = 0, next = 0, good = 1, n = r.rate / 50;
    for (int i = 0; i < r.packets; i++)
        for (int k = 0; k <= r.copies[i] && r.delay_ms[i] >= 0; k++) {
            double sent = 20.0 * i / (1 + r.skew);
            arrivals[count++] = (arrival){(int64_t)((sent + r.delay_ms[i] + 3 * k) * MS), i};
        }
    qsort(arrivals, (size_t)count, sizeof *arrivals, earlier);
    lw_jitter_stats_t before;
    lw_jitter_stats(j, &before);
    r.blocks = 2 * r.packets + 50;
    for (int b = 0; b < r.blocks; b++) {
        int64_t now = 10 * MS * b + 3 * MS;
        for (; next < count && arrivals[next].time <= now; next++) {
            int i = arrivals[next].packet;
            for (int k = 0; k < n; k++) {
                payload[2 * k] = (uint8_t)((uint16_t)r.sound[i * n + k] >> 8);
                payload[2 * k + 1] = (uint8_t)r.sound[i * n + k];
            }
            int rc = lw_jitter_put(j, arrivals[next].time, (uint16_t)(r.sequence + i),
                                   r.timestamp + (uint32_t)i * (uint32_t)(clock_rate / 50), LW_JITTER_SPEECH, payload,
                                   (size_t)(2 * n));
            good &= rc == 0 || rc == 1;
        }
        int16_t *to = r.out + (size_t)b * (size_t)(r.rate / 100);
        to[r.rate / 100] = 0x5A5A;
        r.modes[b] = lw_jitter_get(j, now, to);
        good &= r.modes[b] >= LW_JITTER_NORMAL && r.modes[b] <= LW_JITTER_IDLE && to[r.rate / 100] == 0x5A5A;
        lw_jitter_stats(j, &r.stats);
        int64_t emitted = r.stats.jitter_buffer_emitted_count - before.jitter_buffer_emitted_count;
        r.lag_ms[b] = emitted ? (double)(r.stats.jitter_buffer_delay_ns - before.jitter_buffer_delay_ns) / (double)emitted / MS
                              : b ? r.lag_ms[b - 1] : 0;
        r.concealed[b] = r.stats.concealed_samples;
        before = r.stats;
    }
    return good;
}

static int run_l16(int32_t min_delay_ms)
{
    lw_jitter *j = NULL;
    lw_jitter_decoder l16;
    if (lw_jitter_codec_open(&l16, "l16", r.rate) ||
        lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = r.rate, .min_delay_ms = min_delay_ms, .decoder = l16}))
        return 0;
    int good = play(j, r.rate);
    lw_jitter_close(&j);
    lw_jitter_close(&j);
    lw_jitter_codec_close(&l16);
    return good && !j;
}

static double uniform(void)
{
    return random_u32() / 4294967296.0;
}

/* Where the sound begins in what came out; -1: not at all. */
static int find_start(int samples)
{
    for (int at = 0; at + samples < r.blocks * r.rate / 100; at++)
        if (r.out[at] == r.sound[0] && !memcmp(r.out + at, r.sound, (size_t)samples * 2))
            return at;
    return -1;
}

/* ---- what must be so ---- */

static void test_in_order(void)
{
    static const int32_t rates[] = {8000, 16000, 24000, 48000};
    int same = 1, soon = 1, counted = 1;
    for (int k = 0; k < 4; k++) {
        begin(100, rates[k]);
        int n = 100 * rates[k] / 50;
        for (int i = 0; i < n; i++)
            r.sound[i] = (int16_t)(i % 30000 + 1);
        r.sequence = 65500; /* over the edge of 16 bits, and of 32 */
        r.timestamp = 0xFFFFFFFFu - 5000;
        for (int i = 0; i < 100; i++)
            r.delay_ms[i] = 5;
        for (int i = 10; i + 4 < 100; i += 7) {
            r.delay_ms[i] += k > 1 ? 19 : 0; /* overtaken, and not too late: nobody notices */
            r.copies[i + 2] = 1;
        }
        same &= run_l16(60);
        int at = find_start(n);
        same &= at >= 0;
        soon &= at >= 55 * rates[k] / 1000 && at <= 85 * rates[k] / 1000;
        counted &= r.stats.packets_received == 100 && !r.stats.packets_lost && !r.stats.packets_discarded &&
                   r.stats.packets_duplicate == 13 && r.stats.concealed_samples >= 0 &&
                   r.stats.jitter_buffer_emitted_count == n &&
                   r.stats.total_samples_received == (int64_t)r.blocks * rates[k] / 100;
    }
    CHECK(same, "packets in any order, some twice, come out as they were sent");
    CHECK(soon, "as late as min_delay_ms says");
    CHECK(counted, "and are counted");
}

/* Every packet has a value of its own, which rises. In what is not made up it must never fall, but for the period that is
 * repeated to lag more, and no value may take longer than its packet and what was added. */
static void test_order(void)
{
    int good = 1, rising = 1, once = 1, bounded = 1;
    for (int round = 0; round < 60; round++) {
        begin(200, 8000);
        double loss = round % 4 * 0.05, jitter = random_in(0, 80), spread = round % 3 * 200;
        for (int i = 0; i < 200; i++) {
            for (int k = 0; k < 160; k++)
                r.sound[i * 160 + k] = (int16_t)(1000 + 100 * i);
            r.delay_ms[i] = uniform() < loss ? -1 : 5 + jitter * uniform() + (random_in(0, 40) ? 0 : spread);
            r.copies[i] = !random_in(0, 9);
        }
        r.sequence = (uint16_t)random_u32();
        r.timestamp = random_u32();
        good &= run_l16(0);
        int last = 0, held[201] = {0};
        for (int i = 0; i + 20 < r.blocks * 80; i += 20) {
            int x = r.out[i], steady = r.modes[i / 80] == LW_JITTER_NORMAL && x >= 1000 && x % 100 == 0;
            for (int k = 1; k < 20; k++)
                steady &= r.out[i + k] == x;
            if (steady) { /* not in a cross-fade */
                int b = i / 80, repeats = b > 1 && (r.modes[b - 1] == LW_JITTER_EXPAND || r.modes[b - 2] == LW_JITTER_EXPAND);
                rising &= x >= last - 100 * repeats;
                last = x;
                held[(x - 1000) / 100 % 201] += 20;
            }
        }
        for (int i = 0; i < 200; i++)
            once &= held[i] <= 160 + 120;
        for (int b = 100; b < r.blocks; b++)
            bounded &= r.lag_ms[b] < 700;
    }
    CHECK(good, "any schedule gives whole blocks");
    CHECK(rising, "nothing comes out before what was sent earlier");
    CHECK(once, "nothing comes out twice");
    CHECK(bounded, "the delay is bounded");
}

/* The largest second difference. */
static int roughest(const int16_t *x, int from, int to)
{
    int most = 0;
    for (int i = from + 1; i + 1 < to; i++) {
        int bend = abs(x[i - 1] - 2 * x[i] + x[i + 1]);
        if (bend > most)
            most = bend;
    }
    return most;
}

static void test_clicks(void)
{
    static const double hertz[] = {90, 140, 200, 310};
    for (int k = 0; k < 5; k++) {
        begin(500, RATE);
        if (k < 4)
            tone(hertz[k], 10000);
        else
            voice();
        for (int i = 0; i < 500; i++)
            r.delay_ms[i] = !random_in(0, 29) ? -1 : 5 + 50 * uniform();
        int good = run_l16(0);
        char name[100];
        int most = roughest(r.out, BLOCK * 20, BLOCK * 990), own = roughest(r.sound, 0, 500 * PACKET);
        snprintf(name, sizeof name, "no click in 50 ms of jitter and 3 %% of loss: %s (%d, its own %d)",
                 k < 4 ? "a tone" : "a voice", most, own);
        CHECK(good && most <= (k < 4 ? own + 200 : own * 6 / 5), name);
    }
}

/* What the issue asks of it. */
static void test_one_loss(void)
{
    begin(200, RATE);
    voice();
    for (int i = 0; i < 200; i++)
        r.delay_ms[i] = i == 60 ? -1 : 5;
    int good = run_l16(0);
    double before = r.lag_ms[115], after = r.lag_ms[140];
    CHECK(good && fabs(after - before) < 0.5 && after < 25, "one lost packet costs nothing that lasts");
    CHECK(r.stats.packets_lost == 1 && r.concealed[115] == 0 && r.concealed[390] > 0 && r.concealed[390] <= 2 * PACKET,
          "and is made up once");
}

static void test_forgets(void)
{
    begin(500, RATE);
    voice();
    for (int i = 0; i < 500; i++)
        r.delay_ms[i] = i >= 150 && i < 200 ? 5 + 50 * uniform() : 5;
    int good = run_l16(0);
    char name[100];
    snprintf(name, sizeof name, "a second of jitter is forgotten within two: %.1f ms before, %.1f in it, %.1f after",
             r.lag_ms[295], r.lag_ms[450], r.lag_ms[601]);
    CHECK(good && r.lag_ms[450] > 30 && r.lag_ms[601] < r.lag_ms[295] + 12, name);
}

static void test_skew(void)
{
    int good = 1, near = 1, whole = 1;
    for (int k = 0; k < 2; k++) {
        begin(2000, RATE);
        voice();
        r.skew = k ? 200e-6 : -200e-6;
        for (int i = 0; i < 2000; i++)
            r.delay_ms[i] = 5 + uniform();
        good &= run_l16(0);
        near &= r.lag_ms[3900] < 30 && r.lag_ms[3900] > 0;
        whole &= r.concealed[3990] == 0 && !r.stats.packets_lost;
    }
    CHECK(good && near && whole, "a clock that is 200 ppm off is followed, without a hole");
}

static void test_overtaken(void)
{
    int good = 1;
    for (int by = 2; by <= 5; by += 3) {
        begin(300, RATE);
        voice();
        for (int i = 0; i < 300; i++)
            r.delay_ms[i] = i == 100 ? 5 + 20 * by + 1 : 5;
        good &= run_l16(0) && r.lag_ms[400] < r.lag_ms[195] + 12;
    }
    CHECK(good, "a packet that others overtake costs nothing that lasts");
}

/* ---- kinds of packets ---- */

static const uint8_t sound80[80] = {0x20}, *const any = sound80;

static lw_jitter *open_ulaw(lw_jitter_config config)
{
    lw_jitter *j = NULL;
    config.sample_rate = 8000;
    lw_jitter_codec_open(&config.decoder, "pcmu", 8000);
    lw_jitter_open(&j, &config);
    return j;
}

/* Speech packets of 20 ms from `first` on, and the blocks of that time. Returns the last mode. */
static int speak(lw_jitter *j, int first, int count, uint32_t shift, int64_t *now)
{
    uint8_t ulaw[160];
    int16_t out[80];
    int mode = 0;
    for (int i = first; i < first + count; i++) {
        for (int k = 0; k < 160; k++)
            ulaw[k] = (uint8_t)(0x90 + (k * 7 & 31));
        lw_jitter_put(j, *now, (uint16_t)i, (uint32_t)i * 160 + shift, LW_JITTER_SPEECH, ulaw, sizeof ulaw);
        lw_jitter_get(j, *now + MS, out);
        mode = lw_jitter_get(j, *now + 11 * MS, out);
        *now += 20 * MS;
    }
    return mode;
}

static void test_pauses(void)
{
    static const struct {
        int kind, mode;
        const uint8_t payload[3];
        size_t n;
        const char *name;
    } kinds[] = {{LW_JITTER_CN, LW_JITTER_COMFORT, {40, 100}, 2, "comfort noise (RFC 3389) lasts as long as the pause"},
                 {LW_JITTER_DTX, LW_JITTER_IDLE, {0x20}, 1, "a pause (DTX) is as long as it was, and silent"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        lw_jitter *j = open_ulaw((lw_jitter_config){0});
        int64_t now = 0;
        int16_t out[80];
        speak(j, 0, 100, 0, &now);
        lw_jitter_stats_t s0, s1;
        lw_jitter_stats(j, &s0);
        int loud = 0;
        lw_jitter_put(j, now, 100, 16000, kinds[k].kind, kinds[k].payload, kinds[k].n);
        int quiet = 0, first = -1, blocks = 0, idle = 0;
        int64_t began = now;
        for (; now < began + 420 * MS; now += 10 * MS, blocks++) {
            int mode = lw_jitter_get(j, now + MS, out);
            quiet += mode == kinds[k].mode;
            first = mode == kinds[k].mode && first < 0 ? blocks : first;
            for (int i = 0; i < 80 && blocks > 10; i++)
                if (abs(out[i]) > loud)
                    loud = abs(out[i]);
            idle += lw_jitter_idle(j);
        }
        int mode = 0, more = 0;
        speak(j, 101, 0, 0, &now);
        uint8_t ulaw[160];
        memset(ulaw, 0x90, sizeof ulaw);
        for (int i = 0; i < 20; i++) {
            lw_jitter_put(j, now, (uint16_t)(101 + i), (uint32_t)(16000 + 3360 + 160 * i), LW_JITTER_SPEECH, ulaw, 160);
            for (int b = 0; b < 2; b++) {
                mode = lw_jitter_get(j, now + MS + 10 * MS * b, out);
                more += mode == kinds[k].mode;
            }
            now += 20 * MS;
        }
        lw_jitter_stats(j, &s1);
        quiet += more;
        CHECK(quiet >= 38 && quiet <= 44 && idle > 30 && mode == LW_JITTER_NORMAL, kinds[k].name);
        CHECK(s1.packets_lost == 0 && s1.concealed_samples - s0.concealed_samples <= 160, "and nothing is lost or made up");
        CHECK(kinds[k].mode == LW_JITTER_IDLE ? loud == 0 : loud > 100 && loud < 3000, "at its level");
        lw_jitter_close(&j);
    }
}

static void test_events(void)
{
    lw_jitter *j = open_ulaw((lw_jitter_config){0});
    int64_t now = 0;
    int16_t out[80];
    speak(j, 0, 50, 0, &now);
    for (int i = 0; i < 8; i++) { /* 5 while the key is down, the end three times */
        int end = i >= 5, duration = 160 * ((i < 5 ? i : 5) + 1);
        uint8_t event[4] = {11, (uint8_t)(end << 7 | 10), (uint8_t)(duration >> 8), (uint8_t)duration};
        CHECK(lw_jitter_put(j, now, (uint16_t)(50 + i), 8000, LW_JITTER_EVENT, event, 4) == 1, "a telephone event");
        lw_jitter_get(j, now, out);
        lw_jitter_get(j, now + 10 * MS, out);
        now += 20 * MS;
    }
    uint8_t late[4] = {11, 10, 0, 160};
    CHECK(lw_jitter_put(j, now, 58, 7000, LW_JITTER_EVENT, late, 4) == 0, "one that is over is not begun again");
    CHECK(lw_jitter_put(j, now, 59, 9000, LW_JITTER_EVENT, late, 3) == 0, "a short one is damaged");
    lw_jitter_event_t e;
    CHECK(lw_jitter_event(j, &e) && e.event == 11 && !e.end && e.duration == 160 && e.volume == 10, "begins");
    CHECK(lw_jitter_event(j, &e) && e.event == 11 && e.end && e.duration == 960, "ends, once");
    CHECK(!lw_jitter_event(j, &e), "and that is all");
    lw_jitter_stats_t s;
    lw_jitter_stats(j, &s);
    CHECK(s.packets_lost == 0 && s.packets_damaged == 1, "its packets are not missed");
    lw_jitter_close(&j);
}

static void press(lw_jitter *j, uint16_t sequence, uint32_t timestamp, int key, int end, int duration, int64_t now)
{
    uint8_t event[4] = {(uint8_t)key, (uint8_t)(end << 7 | 10), (uint8_t)(duration >> 8), (uint8_t)duration};
    lw_jitter_put(j, now, sequence, timestamp, LW_JITTER_EVENT, event, 4);
}

/* Ends that are lost, and a key that is held for longer than its length can say at once. */
static void test_events_whose_end_is_lost(void)
{
    lw_jitter *j = open_ulaw((lw_jitter_config){0});
    int64_t now = 0;
    int16_t out[80];
    lw_jitter_event_t e;
    speak(j, 0, 50, 0, &now);
    press(j, 50, 8000, 5, 0, 160, now);
    press(j, 51, 8000, 5, 0, 320, now);
    press(j, 55, 9600, 6, 0, 160, now); /* three are missing */
    CHECK(lw_jitter_event(j, &e) && e.event == 5 && !e.end, "a key");
    CHECK(lw_jitter_event(j, &e) && e.event == 5 && e.end && e.duration == 320, "is over when the next one is pressed");
    CHECK(lw_jitter_event(j, &e) && e.event == 6 && !e.end && !lw_jitter_event(j, &e), "which goes on");
    for (int i = 0; i < 14; i++)
        lw_jitter_get(j, now += 10 * MS, out);
    CHECK(lw_jitter_event(j, &e) && e.event == 6 && e.end && e.duration == 160, "until nothing is heard of it");
    press(j, 56, 9600, 6, 1, 320, now);
    CHECK(!lw_jitter_event(j, &e), "and that is told once");
    press(j, 57, 16000, 7, 0, 0xFFFF, now);
    press(j, 58, 16000 + 0xFFFF, 7, 0, 160, now);
    press(j, 59, 16000 + 0xFFFF, 7, 1, 320, now);
    CHECK(lw_jitter_event(j, &e) && e.event == 7 && !e.end, "a long one begins");
    CHECK(lw_jitter_event(j, &e) && e.event == 7 && e.end && e.duration == 0xFFFF + 320, "and ends, whole");
    CHECK(!lw_jitter_event(j, &e), "and that is all");
    lw_jitter_close(&j);
}

static void test_strays(void)
{
    lw_jitter *j = open_ulaw((lw_jitter_config){.max_packets = 8});
    int64_t now = 0;
    lw_jitter_stats_t s;
    speak(j, 0, 50, 0, &now);
    CHECK(lw_jitter_put(j, now, 30000, 8000, LW_JITTER_SPEECH, any, 80) == 0, "a sequence number from nowhere");
    CHECK(lw_jitter_put(j, now, 50, 8000u + 4000000, LW_JITTER_SPEECH, any, 80) == 0, "a timestamp from nowhere");
    CHECK(speak(j, 50, 50, 0, &now) == LW_JITTER_NORMAL, "disturb nothing");
    lw_jitter_stats(j, &s);
    CHECK(s.packets_damaged == 2 && s.restarts == 0 && s.packets_received == 100, "and are counted");
    speak(j, 40000, 100, 123456789, &now);
    lw_jitter_stats(j, &s);
    CHECK(s.restarts == 1 && s.packets_damaged == 3 && s.packets_lost == 0, "a new beginning is believed at its second packet");
    CHECK(lw_jitter_put(j, now, 40100, 0, LW_JITTER_SPEECH, any, 0) == 0, "nothing in it");
    CHECK(lw_jitter_put(j, now, 40100, 0, 9, any, 80) == LW_EINVAL, "no such kind");
    CHECK(lw_jitter_put(j, now, 40100, 0, 0, any, LW_JITTER_MAX_PAYLOAD + 1) == LW_EINVAL, "too large");
    lw_jitter_reset(j);
    for (int i = 0; i < 20; i++) /* nobody takes anything out */
        CHECK(lw_jitter_put(j, now, (uint16_t)i, (uint32_t)(160 * i), LW_JITTER_SPEECH, any, 80) == 1, "taken when it is full");
    lw_jitter_stats(j, &s);
    CHECK(s.buffered_packets == 8, "the oldest have given way");
    lw_jitter_close(&j);
}

/* A sender whose timestamps step while its sequence goes on is heard on at once: all of it, with nothing between. */
static void test_steps(void)
{
    static const struct {
        int step_ms, lost, pause_ms;
    } cases[] = {{1500, 0, 0}, {2900, 0, 0}, {-60, 0, 0}, {-700, 0, 0}, {-2900, 0, 0}, {1500, 2, 0}, {-1500, 2, 0}, {-1500, 0, 900}};
    int whole = 1, soon = 1, lag = 1;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lw_jitter *j = open_ulaw((lw_jitter_config){0});
        int64_t now = 0;
        lw_jitter_stats_t s0, s1;
        int16_t out[80];
        speak(j, 0, 100, 0, &now);
        lw_jitter_stats(j, &s0);
        for (int64_t end = now + (cases[k].pause_ms + 20 * cases[k].lost) * MS; now < end; now += 10 * MS)
            lw_jitter_get(j, now + MS, out);
        speak(j, 100 + cases[k].lost, 40, (uint32_t)(8 * cases[k].step_ms), &now);
        whole &= !lw_jitter_put(j, now, 99, 99 * 160, LW_JITTER_SPEECH, any, 80); /* was there */
        for (int i = 0; i < 20; i++, now += 10 * MS)
            lw_jitter_get(j, now + MS, out);
        lw_jitter_stats(j, &s1);
        whole &= s1.packets_received == 140 && s1.packets_lost == cases[k].lost && !s1.packets_discarded && s1.restarts == 1 &&
                 s1.jitter_buffer_emitted_count - s0.jitter_buffer_emitted_count >= 40 * 160;
        int64_t other = s1.idle_samples - s0.idle_samples + s1.concealed_samples - s0.concealed_samples;
        soon &= other <= 8 * (200 + cases[k].pause_ms + 20 * cases[k].lost);
        lag &= s1.target_ns < s0.target_ns + 12 * MS;
        lw_jitter_close(&j);
    }
    CHECK(whole, "timestamps that step lose nothing");
    CHECK(soon, "and what is said goes on at once");
    CHECK(lag, "no later than it did");
}

static void test_too_late(void)
{
    begin(300, RATE);
    voice();
    for (int i = 0; i < 300; i++) /* everything stands still for 3 s */
        r.delay_ms[i] = i >= 100 && i < 250 ? 5 + 20.0 * (250 - i) : 5;
    lw_jitter *j;
    lw_jitter_decoder l16;
    lw_jitter_codec_open(&l16, "l16", RATE);
    lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = RATE, .max_delay_ms = 500, .decoder = l16});
    int good = play(j, RATE);
    lw_jitter_close(&j);
    double most = 0;
    for (int b = 520; b < 600; b++)
        most = fmax(most, r.lag_ms[b]);
    CHECK(good && most < 520, "what is older than max_delay_ms is left out");
}

/* The same samples at every level of kernels. */
static void test_levels(void)
{
    static int16_t first[sizeof r.out / sizeof *r.out];
    uint32_t used = lw_cpu_used();
    int good = 1;
    for (int round = 0; round < 4; round++) {
        static const int32_t rates[] = {8000, 16000, 24000, 48000};
        begin(300, rates[round]);
        voice();
        for (int i = 0; i < 300; i++)
            r.delay_ms[i] = !random_in(0, 9) ? -1 : 5 + (i > 50 && i < 150) * 60 * uniform();
        lw_cpu_use(0);
        good &= run_l16(0);
        memcpy(first, r.out, sizeof first);
        good &= r.stats.removed_samples_for_acceleration > 0 && r.stats.concealed_samples > 0;
        lw_cpu_use(used);
        good &= run_l16(0) && !memcmp(first, r.out, sizeof first);
    }
    CHECK(good, "the same samples as in plain C");
}

/* And on every machine, by every compiler. */
static void test_machines(void)
{
    uint64_t digest = 14695981039346656037u;
    begin(400, RATE);
    random_state = 7;
    for (int i = 0, y = 0, z = 0, left = 0; i < 400 * PACKET; i++) { /* pulses and noise, low-passed, in whole numbers */
        left = left ? left - 1 : 90 + i / 2000 % 60;
        y += ((left ? 0 : 60000) + random_in(-400, 400) - y) / 6;
        z += (y - z) / 3;
        r.sound[i] = (int16_t)(2 * (y - z / 2));
    }
    for (int i = 0; i < 400; i++)
        r.delay_ms[i] = random_in(0, 11) ? 5 + random_in(0, i > 100 && i < 200 ? 50 : 3) : -1;
    int good = run_l16(0) && r.stats.removed_samples_for_acceleration > 0 && r.stats.concealed_samples > 0;
    for (int i = 0; i < r.blocks * BLOCK; i++)
        digest = (digest ^ (uint16_t)r.out[i]) * 1099511628211u;
    char name[80];
    snprintf(name, sizeof name, "the same samples on every machine: %016llx", (unsigned long long)digest);
    CHECK(good && digest == 0xc19de4501e03cfcb, name); /* of this buffer: whoever changes what it does, changes it */
}

static void test_arguments(void)
{
    lw_jitter *j = (lw_jitter *)(void *)&r;
    lw_jitter_decoder d, none = {0};
    CHECK(lw_jitter_codec_open(&d, "g722", 8000) == LW_EINVAL && lw_jitter_codec_open(&d, "gsm", 8000) == LW_EINVAL &&
              lw_jitter_codec_open(&d, NULL, 8000) == LW_EINVAL, "codecs that are not there");
    CHECK(lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 8000, .decoder = none}) == LW_EINVAL && !j, "no decoder");
    lw_jitter_codec_open(&d, "pcma", 8000);
    CHECK(lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 11025, .decoder = d}) == LW_EINVAL, "a rate");
    CHECK(lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 8000, .max_packets = 1, .decoder = d}) == LW_EINVAL &&
              lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 8000, .max_packets = 1025, .decoder = d}) == LW_EINVAL &&
              lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 8000, .min_delay_ms = 2001, .decoder = d}) == LW_EINVAL &&
              lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = 8000, .max_delay_ms = 19, .decoder = d}) == LW_EINVAL &&
              lw_jitter_open(&j, NULL) == LW_EINVAL && lw_jitter_open(NULL, NULL) == LW_EINVAL, "and limits");
    lw_rtp_packet p;
    const uint8_t plain[] = {0x80, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xAA, 0xBB};
    CHECK(!lw_rtp_parse(&p, plain, sizeof plain) && p.sequence == 0x102 && p.timestamp == 0x3040506 && p.ssrc == 0x708090A &&
              p.payload_type == 9 && p.marker && p.size == 2 && p.payload == plain + 12, "RTP");
    const uint8_t full[] = {0xB1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xBE, 0xDE, 0, 1, 1, 2, 3, 4, 0xCC, 0, 0, 3};
    CHECK(!lw_rtp_parse(&p, full, sizeof full) && p.size == 1 && *p.payload == 0xCC, "with CSRC, extension and padding");
    int safe = 1;
    for (size_t n = 0; n < sizeof full; n++)
        safe &= n >= 25 || lw_rtp_parse(&p, full, n) == LW_EDATA || p.payload + p.size <= full + n;
    CHECK(safe && lw_rtp_parse(&p, (const uint8_t[12]){0x40}, 12) == LW_EDATA, "cut short, or of another version");
}

static void test_allocations(void)
{
#ifdef COUNTING
    begin(100, RATE);
    voice();
    for (int i = 0; i < 100; i++)
        r.delay_ms[i] = !random_in(0, 9) ? -1 : 5 + 60 * uniform();
    lw_jitter *j = NULL;
    lw_jitter_decoder l16;
    lw_jitter_codec_open(&l16, "l16", RATE);
    int before = allocations;
    lw_jitter_open(&j, &(lw_jitter_config){.sample_rate = RATE, .decoder = l16});
    CHECK(j && allocations == before + 1, "open allocates once");
    before = allocations;
    int16_t out[BLOCK];
    uint8_t payload[2 * PACKET] = {0};
    for (int i = 0; i < 100; i++) {
        if (i % 9)
            lw_jitter_put(j, i * 20 * MS, (uint16_t)i, (uint32_t)(i * PACKET), 0, payload, sizeof payload);
        lw_jitter_get(j, i * 20 * MS, out);
        lw_jitter_get(j, i * 20 * MS + 10 * MS, out);
    }
    lw_jitter_reset(j);
    CHECK(allocations == before, "nothing allocates after open");
    lw_jitter_close(&j);
#endif
}

int main(void)
{
    test_allocations();
    test_in_order();
    test_order();
    test_clicks();
    test_one_loss();
    test_forgets();
    test_skew();
    test_overtaken();
    test_pauses();
    test_events();
    test_events_whose_end_is_lost();
    test_strays();
    test_steps();
    test_too_late();
    test_levels();
    test_machines();
    test_arguments();
    return failures != 0;
}
