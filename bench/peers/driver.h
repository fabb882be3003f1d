/* Plays one call through a jitter buffer, on a clock of its own: what the peers of bench/jitter.py share. Each includes this
 * after it has defined
 *
 *     typedef struct { ... } buffer;
 *     static buffer *buffer_open(int rate);                       NULL: it could not
 *     static void buffer_put(buffer *, int64_t now_ns, uint16_t sequence, uint32_t timestamp, const uint8_t *l16, size_t bytes);
 *     static void buffer_get(buffer *, int64_t now_ns, int16_t *out);     10 ms
 *     static void buffer_report(buffer *);                        prints "name value" lines of what it counts
 *     static void buffer_close(buffer *);
 *
 * Usage: PROGRAM rate trace speech out pulls counted phase_ns rounds buffers
 *
 * `trace`: for each packet that arrives, in that order, two int64: ns, and its number. `speech`: PCM16, whole packets of
 * 20 ms. A pull is made every 10 ms from `phase_ns` on, after what has arrived until then was put in; what the first
 * buffer of the first round gives goes to `out`. It reports after `counted` pulls. Last comes a line "ns": CPU time for putting and
 * getting, a packet that arrived, of the best of `rounds`, each with `buffers` new buffers in turn at every pull.
 * Numbers and timestamps wrap within the first second.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIRST_SEQUENCE = 65500 };
static const uint32_t FIRST_TIMESTAMP = 0u - 4000u;
static const int64_t PULL_NS = 10000000;

static void *whole(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*bytes + 1);
    if (!data || fread(data, 1, *bytes, file) != *bytes) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return data;
}

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: %s rate trace speech out pulls counted phase_ns rounds buffers\n", argv[0]);
        return 2;
    }
    const int rate = atoi(argv[1]), rounds = atoi(argv[8]), count = atoi(argv[9]);
    const long pulls = atol(argv[5]), counted = atol(argv[6]);
    const int64_t phase = atoll(argv[7]);
    const size_t span = (size_t)rate / 50, block = (size_t)rate / 100;
    size_t bytes, speech_bytes;
    int64_t *trace = (int64_t *)whole(argv[2], &bytes);
    const size_t arrivals = bytes / 16;
    uint8_t *speech = (uint8_t *)whole(argv[3], &speech_bytes);
    for (size_t i = 0; i + 1 < speech_bytes; i += 2) { /* L16 is big endian, RFC 3551 section 4.5.11 */
        const uint8_t low = speech[i];
        speech[i] = speech[i + 1];
        speech[i + 1] = low;
    }
    int16_t *out = (int16_t *)calloc((size_t)pulls * block, sizeof *out), *unused = (int16_t *)calloc(block, sizeof *unused);
    buffer **buffers = (buffer **)calloc((size_t)count, sizeof *buffers);
    double best = 1e300;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++)
            if (!(buffers[i] = buffer_open(rate))) {
                fprintf(stderr, "%s: no buffer at %d Hz\n", argv[0], rate);
                return 2;
            }
        const double began = cpu_ns();
        size_t next = 0;
        for (long pull = 0; pull < pulls; pull++) {
            const int64_t now = phase + pull * PULL_NS;
            size_t until = next;
            while (until < arrivals && trace[2 * until] <= now)
                until++;
            for (int i = 0; i < count; i++) {
                for (size_t k = next; k < until; k++) {
                    const size_t packet = (size_t)trace[2 * k + 1];
                    buffer_put(buffers[i], trace[2 * k], (uint16_t)(FIRST_SEQUENCE + packet),
                               FIRST_TIMESTAMP + (uint32_t)(packet * span), speech + packet * span * 2, span * 2);
                }
                buffer_get(buffers[i], now, i || round ? unused : out + (size_t)pull * block);
            }
            next = until;
            if (!round && pull == counted - 1)
                buffer_report(buffers[0]);
        }
        const double taken = (cpu_ns() - began) / (double)next / count;
        best = taken < best ? taken : best;
        for (int i = 0; i < count; i++)
            buffer_close(buffers[i]);
    }
    printf("ns %.1f\n", best);
    FILE *file = fopen(argv[4], "wb");
    if (!file || fwrite(out, sizeof *out * block, (size_t)pulls, file) != (size_t)pulls || fclose(file)) {
        perror(argv[4]);
        return 2;
    }
    free(buffers);
    free(unused);
    free(out);
    free(speech);
    free(trace);
    return 0;
}

#endif
