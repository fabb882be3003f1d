/* A signal whose rate changes: what comes out is the signal, at the change as everywhere. */
#include <math.h>

#include "check.h"
#include "resample_join.h"

#define PI 3.14159265358979323846
#define AMPLITUDE 8000
#define EDGE 200 /* outputs on either side of a change that are looked at */

static const int32_t rates[] = {8000, 8001, 11025, 12000, 16000, 22050, 24000, 32000, 37123, 44100, 48000};
enum { RATES = sizeof rates / sizeof *rates };

static int16_t in[48000], out[300000];

typedef struct signal {
    double hz, phase;
    double now; /* seconds of it that were written */
    int64_t made;
    int16_t last[LW_JOIN_PAST];
    lw_resampler *r;
    int32_t rate;
} signal;

static void take(signal *s, const int16_t *pcm, int64_t n)
{
    memcpy(out + s->made, pcm, (size_t)n * sizeof *pcm);
    s->made += n;
}

/* n samples at `rate`, and what the change to it owes. */
static int64_t write_part(signal *s, int32_t rate, int32_t n)
{
    static int16_t made[300000];
    for (int32_t i = 0; i < n; i++)
        in[i] = (int16_t)lrint(AMPLITUDE * cos(2.0 * PI * s->hz * (s->now + (double)i / rate) + s->phase));
    int64_t change = 0;
    if (rate != s->rate) {
        lw_resampler *to;
        if (lw_resampler_open(&to, &(lw_resampler_config){.in_rate = rate, .out_rate = LW_RATE}) < 0)
            return -1;
        if (s->r) {
            int16_t tail[LW_JOIN_TAIL];
            for (int64_t i = 0; i < LW_JOIN_PAST; i++)
                s->last[i] = s->made >= LW_JOIN_PAST - i ? out[s->made - LW_JOIN_PAST + i] : 0;
            int64_t owed = lw_resampler_join(s->r, to, s->last, in, (size_t)n, tail);
            if (owed < 0)
                return owed;
            take(s, tail, owed);
            change = s->made;
        }
        lw_resampler_close(&s->r);
        s->r = to;
        s->rate = rate;
    }
    size_t used;
    take(s, made, lw_resampler_process(s->r, in, (size_t)n, &used, made, 300000));
    s->now += (double)n / rate;
    return change;
}

static double worst_error(const signal *s, int64_t from, int64_t to)
{
    double worst = 0;
    for (int64_t i = from; i < to && i < s->made; i++) {
        double is = AMPLITUDE * cos(2.0 * PI * s->hz * ((double)i / LW_RATE) + s->phase);
        worst = fmax(worst, fabs(out[i] - is));
    }
    return worst;
}

/* Odd lengths: a change may lie between two outputs. */
static void test_every_pair(void)
{
    static const struct { double hz, most; } tones[] = {{500, 40}, {1000, 40}, {3400, 100}};
    for (int t = 0; t < 3; t++) {
        double worst = 0;
        for (int a = 0; a < RATES; a++)
            for (int b = 0; b < RATES; b++) {
                if (a == b)
                    continue;
                signal s = {.hz = tones[t].hz, .phase = a + 0.3 * b};
                write_part(&s, rates[a], rates[a] / 10 + 7);
                int64_t at = write_part(&s, rates[b], rates[b] / 10);
                worst = at > 0 ? fmax(worst, worst_error(&s, at - EDGE, at + EDGE)) : 1e9;
                lw_resampler_close(&s.r);
            }
        printf("# %4.0f Hz: off by %.0f of %d at most\n", tones[t].hz, worst, AMPLITUDE);
        CHECK(worst < tones[t].most, "a tone goes on from any rate to any other");
    }
}

/* Back and forth, 20 ms each: nothing drifts, nothing is lost. */
static void test_many_changes(void)
{
    signal s = {.hz = 700};
    double worst = 0;
    int64_t before = 0;
    for (int i = 0; i < 200; i++) {
        int32_t rate = rates[(i * 7) % RATES];
        int64_t at = write_part(&s, rate, rate / 50 + i % 3);
        worst = at < 0 ? 1e9 : worst;
        before = s.made;
    }
    worst = fmax(worst, worst_error(&s, EDGE, before));
    printf("# off by %.0f of %d at most, %.3f samples in all\n", worst, AMPLITUDE,
           s.now * LW_RATE - (double)(s.made + (int64_t)lw_resampler_bound(s.r, 0)));
    CHECK(worst < 60, "nor does it drift, however often the rate changes");
    CHECK(fabs(s.now * LW_RATE - (double)(s.made + (int64_t)lw_resampler_bound(s.r, 0))) < 1.0, "and nothing is lost");
    lw_resampler_close(&s.r);
}

/* Pieces shorter than the filters are known on either side. */
static void test_short_pieces(void)
{
    signal s = {.hz = 300};
    write_part(&s, 16000, 1600);
    int taken = 1;
    for (int i = 0; i < 40; i++)
        taken &= write_part(&s, i & 1 ? 16000 : 24000, 1 + i) >= 0;
    int64_t total = s.made + (int64_t)lw_resampler_bound(s.r, 0);
    CHECK(taken && fabs((double)total - s.now * LW_RATE) < 1.0, "pieces of a few samples lose nothing");
    int largest = 0;
    for (int64_t i = 1; i < s.made; i++)
        largest = abs(out[i] - out[i - 1]) > largest ? abs(out[i] - out[i - 1]) : largest;
    CHECK(largest < 2500, "and do not click");
    lw_resampler_close(&s.r);
}

static void test_tail(void)
{
    for (int a = 0; a < RATES; a++) {
        lw_resampler *r;
        int16_t tail[LW_JOIN_TAIL], flushed[LW_JOIN_TAIL];
        size_t used;
        for (int i = 0; i < 4000; i++)
            in[i] = (int16_t)random_in(-20000, 20000);
        if (lw_resampler_open(&r, &(lw_resampler_config){.in_rate = rates[a], .out_rate = LW_RATE}) < 0)
            continue;
        lw_resampler_process(r, in, 1237, &used, out, 300000);
        int64_t n = lw_resampler_tail(r, NULL, 0, tail, LW_JOIN_TAIL);
        int64_t again = lw_resampler_tail(r, in + 1237, 400, out, LW_JOIN_TAIL);
        int64_t next = lw_resampler_process(r, in + 1237, 400, &used, out + 1000, 3000);
        int ok = n == (int64_t)lw_resampler_bound(r, 0) || rates[a] == LW_RATE || n > 0;
        ok &= again == n && next >= n && !memcmp(out, out + 1000, (size_t)n * sizeof *out);
        lw_resampler_reset(r);
        lw_resampler_process(r, in, 1237, &used, out, 300000);
        ok &= lw_resampler_flush(r, flushed, LW_JOIN_TAIL) == n && !memcmp(tail, flushed, (size_t)n * sizeof *tail);
        ok &= rates[a] == LW_RATE || lw_resampler_tail(r, NULL, 0, NULL, 0) == 0;
        CHECK(ok, "the tail is what a flush would write, or what comes, and changes nothing");
        lw_resampler_close(&r);
    }
}

static void test_bad(void)
{
    lw_resampler *up, *down, *two;
    const int16_t past[LW_JOIN_PAST] = {0}, one = 5;
    int16_t tail[LW_JOIN_TAIL];
    if (lw_resampler_open(&up, &(lw_resampler_config){.in_rate = 16000, .out_rate = 48000}) < 0 ||
        lw_resampler_open(&down, &(lw_resampler_config){.in_rate = 48000, .out_rate = 16000}) < 0 ||
        lw_resampler_open(&two, &(lw_resampler_config){.in_rate = 16000, .out_rate = 48000, .channels = 2}) < 0) {
        CHECK(0, "open");
        return;
    }
    CHECK(lw_resampler_join(up, down, past, &one, 1, tail) == LW_EINVAL &&
              lw_resampler_join(down, up, past, &one, 1, tail) == LW_EINVAL &&
              lw_resampler_join(up, up, past, &one, 0, tail) == LW_EINVAL, "a join of what does not fit");
    CHECK(lw_resampler_divide(down, 2) == LW_EINVAL && lw_resampler_divide(two, 2) == LW_EINVAL &&
              lw_resampler_divide(up, 0) == LW_EINVAL && lw_resampler_divide(up, LW_RESAMPLER_FINEST) == LW_EINVAL,
          "divisions that there are not");
    CHECK(lw_resampler_start(up, NULL, 1, 0) == LW_EINVAL && lw_resampler_start(up, NULL, 0, -1) == LW_EINVAL &&
              lw_resampler_start(two, NULL, 0, 0) == LW_EINVAL && lw_resampler_tail(two, NULL, 0, tail, 5) == LW_EINVAL,
          "bad arguments");
    lw_resampler_close(&up);
    lw_resampler_close(&down);
    lw_resampler_close(&two);
}

int main(void)
{
    test_every_pair();
    test_many_changes();
    test_short_pieces();
    test_tail();
    test_bad();
    return failures != 0;
}
