/* From a client's messages to PCM: the WebSocket frame, the `voice` message, base64, PCM8, and the meter of wrong rate labels.
 *
 * `voice` is the one JSON message (RFC 8259) that comes fifty times a second,
 *   {"command":"voice","audio":"<base64>","sampleRate":24000,"encoding":"PCM16","event_id":"..."}
 * and it is read without a JSON parser. Keys in any order, whitespace anywhere, event_id absent or null: that is usual.
 * Whatever else a parser would take, or refuse, is "unusual" and left to one: escapes, bytes outside ASCII, unknown or
 * repeated keys, a rate that is not a plain integer 8000..48000, an unknown encoding, odd PCM16, no audio. So an
 * answer, once its audio decodes, is what a parser would have said, and there are no errors here.
 *
 * Example of use:
 *
 *     const char text[] = "{\"command\":\"voice\",\"audio\":\"AAAAAA==\",\"sampleRate\":24000,\"encoding\":\"PCM16\"}";
 *     lw_voice voice;
 *     uint8_t pcm[4];
 *     if (!lw_voice_scan(text, sizeof text - 1, &voice))
 *         return 1; // unusual: parse it
 *     if (lw_base64_decode(pcm, text + voice.audio, voice.audio_chars) != (int64_t)voice.audio_bytes)
 *         return 1; // not base64: parse it, for the error
 */
#ifndef LIPWIRE_INGEST_H
#define LIPWIRE_INGEST_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum lw_encoding {
    LW_PCM16 = 0, /* little endian */
    LW_PCM8 = 1,  /* unsigned, 128 = silence */
    LW_OPUS = 2   /* one raw packet */
};

typedef struct lw_voice {
    size_t audio;       /* where the base64 text begins in the message, */
    size_t audio_chars; /* its length, a multiple of 4, */
    size_t audio_bytes; /* and what it decodes to, > 0 */
    size_t id;          /* event_id's text, without the quotes */
    size_t id_chars;
    int32_t has_id;     /* 0: event_id is absent or null */
    int32_t rate;       /* Hz */
    int32_t encoding;   /* enum lw_encoding */
} lw_voice;

/* Returns 1 and fills *v, or 0: unusual. The audio has not been looked at but for its closing quote and padding: the
 * answer holds only if lw_base64_decode takes it. `text` need not end with a zero. */
int lw_voice_scan(const void *text, size_t n, lw_voice *v);

/* The messages of one client differ in nothing but their audio, so what is around it can be compared instead of
 * scanned. All zero is a good start; the fields are the core's. */
#define LW_VOICE_AROUND 384
typedef struct lw_voice_around {
    lw_voice last;
    size_t before, after;          /* bytes up to the audio, and behind it; 0 = nothing is remembered */
    uint8_t text[LW_VOICE_AROUND]; /* those bytes: more than that is scanned each time */
} lw_voice_around;

/* As lw_voice_scan; 2 = and apart from the audio everything is as in the last message that gave 1 or 2. */
int lw_voice_next(lw_voice_around *around, const void *text, size_t n, lw_voice *v);

/* Base64 (RFC 4648 section 4) with its padding, nothing else between, before or behind. The bits that padding leaves
 * over are ignored, whatever they are. */
/* What n characters decode to, by their number and padding: `out` has to have room for that. LW_EDATA where they
 * cannot be base64. */
int64_t lw_base64_bytes(const void *text, size_t n);
/* Returns the bytes written to `out`, or LW_EDATA: `out` is then undefined. */
int64_t lw_base64_decode(void *out, const void *text, size_t n);

/* The head of a WebSocket frame (RFC 6455, section 5.2). */
typedef struct lw_ws_head {
    size_t bytes;     /* of the head itself: 2..14 */
    uint64_t payload; /* bytes behind it */
    int32_t first;    /* FIN, RSV and opcode, as they come */
    int32_t masked;   /* 1: the head's last four bytes are the mask */
} lw_ws_head;
#define LW_WS_TEXT 0x81 /* `first` of a whole message of text */
/* Reads the head at `in`: 1, or 0 where n bytes are not all of it. Whether it is a good one is not looked at. */
int lw_ws_head_at(const void *in, size_t n, lw_ws_head *head);
/* Takes the mask off n bytes. Returns 1 where all of them are ASCII, else 0; `out` is written in either case. */
int lw_ws_unmask(void *out, const void *in, size_t n, const uint8_t mask[4]);

/* PCM8 to PCM16, n samples; either may have any alignment. */
void lw_pcm8_decode(void *out, const void *in, size_t n);

/* Tells a wrong sample rate label from paced delivery: a client that sends audio as it is spoken delivers as many
 * samples a second as its rate says, whatever its label says. A stretch counts when it is 4 s and 8 chunks long without
 * a pause, the wait for each chunk matches its length (coefficient of variation at most 0.35), and the rate found is
 * within 2 % of one that audio comes in, other than the label. Two such stretches in a row that agree are a mismatch.
 * Delivery at a whole multiple of the label is a sender that runs ahead, and never reported; other rates above the
 * label only from a metronome (variation at most 0.15). The fields are the core's; start with lw_rate_meter_reset. */
typedef struct lw_rate_meter {
    double last, start;         /* arrivals: of the last chunk, of the stretch's first, in s */
    double mean, m2;            /* Welford's, of seconds per sample */
    int64_t samples;            /* of the last chunk; 0 = no chunk yet */
    int64_t total, count;       /* samples and chunks of the stretch, without the last one */
    int32_t declared;           /* Hz */
    int32_t suspect[2], reported[2]; /* declared, measured; 0 = none */
} lw_rate_meter;

void lw_rate_meter_reset(lw_rate_meter *m);
/* The stretch is over: an utterance ended, or delivery stopped. */
void lw_rate_meter_pause(lw_rate_meter *m);
/* One chunk of `samples` > 0 labelled `declared` > 0 Hz, arrived at `now` s of any monotonic clock. Returns the rate
 * in Hz that it really has, once for each mismatch, else 0. */
int lw_rate_meter_add(lw_rate_meter *m, int32_t declared, int64_t samples, double now);

#ifdef __cplusplus
}
#endif
#endif
