/* Lipwire: the C core's only public header.
 *
 * Conventions, true of every function here:
 *  - `lw_<noun>_open(&obj, &config)` makes an object with one allocation and leaves *out NULL on failure;
 *    `lw_<noun>_close(&obj)` frees it and nulls the pointer (closing NULL or twice is safe).
 *  - The caller owns every buffer it passes; the core copies what it needs and keeps no caller pointer after return.
 *  - Return values >= 0 are counts ("nothing ready" is 0), negatives are LW_E* codes; lw_strerror() names them.
 *  - After open nothing allocates, locks or logs, and no function reads a clock (lw_engine's thread excepted).
 *  - PCM is signed 16-bit, little endian, mono. Pixels are I420, 8 bit, limited range, BT.709 unless BT.601 is asked for.
 *  - "Sample" without a rate means one sample at LW_RATE. The media clock counts those from 0.
 */
#ifndef LIPWIRE_H
#define LIPWIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- constants ------------------------------------------------------------------------------------------------ */

#define LW_RATE 48000          /* Hz: the media clock and every PCM output */
#define LW_BLOCK 480           /* samples in one tick: 10 ms */
#define LW_VISEME_RATE 16000   /* Hz: the extractor's input */
#define LW_VISEME_HOP 160      /* samples at LW_VISEME_RATE per viseme row: 10 ms */
#define LW_VISEMES 15          /* sil PP FF TH DD kk CH SS nn RR aa E I O U (OVR order) */
#define LW_CHANNELS 17         /* one viseme row: LW_VISEMES weights, then jaw opening, then loudness */
#define LW_JAW 15
#define LW_LOUDNESS 16

enum lw_error {
    LW_EINVAL = -1, /* an argument is outside its documented range */
    LW_ENOMEM = -2, /* open could not allocate */
    LW_ENOSPC = -3, /* a bounded queue or buffer is full; nothing was taken beyond the returned count */
    LW_EDATA = -4,  /* the input bytes are malformed */
    LW_ESTATE = -5  /* the call does not fit the object's state */
};

const char *lw_version(void);
const char *lw_strerror(int code);

/* ---- processor ------------------------------------------------------------------------------------------------ */

/* Kernels come in plain C and in forms for vector units; all give the same bits. */
enum lw_cpu {
    LW_CPU_AVX2 = 1,
    LW_CPU_AVX512 = 2, /* F, BW, DQ, VL, VBMI and VNNI: Ice Lake, Zen 4 and later */
    LW_CPU_NEON = 4
};

/* What this processor and its operating system have. */
uint32_t lw_cpu_detect(void);
/* Sets the kernels for the whole process: those of `mask` that the processor has; returns that. Plain C until it is
 * called. Call it before any other function of the core, `lw_cpu_use(lw_cpu_detect())` as a rule. */
uint32_t lw_cpu_use(uint32_t mask);
uint32_t lw_cpu_used(void);
/* "c", "avx2", "avx512" or "neon": the best level in a mask. */
const char *lw_cpu_level(uint32_t mask);

/* ---- resampler ------------------------------------------------------------------------------------------------ */

/* Streaming polyphase FIR, linear phase, int16 in and out, integer arithmetic throughout: the same bits on every
 * machine. Time-aligned: output n is the signal at n / out_rate seconds, so the only latency is look-ahead
 * (lw_resampler_delay_ns). Rates are 8000..48000 Hz with in_rate / gcd and out_rate / gcd at most
 * LW_RESAMPLER_MAX_PHASES. Stereo is interleaved, and equals two mono resamplers bit for bit. A frame is one sample of
 * every channel. */
#define LW_RESAMPLER_MAX_PHASES 1920

enum lw_resampler_quality {
    LW_RESAMPLER_VOICE = 0, /* >= 93 dB rejection from 1.1 of the lower Nyquist frequency, flat within 0.01 dB to 0.9
                               of it, delay 24 samples of the lower rate: at most 3 ms */
    LW_RESAMPLER_HIGH = 1   /* >= 110 dB from 1.08, within 0.002 dB to 0.92, 40 samples: at most 5 ms */
};

typedef struct lw_resampler lw_resampler;
typedef struct lw_resampler_config {
    int32_t in_rate;  /* Hz */
    int32_t out_rate; /* Hz */
    int32_t channels; /* 1 or 2; 0 = 1 */
    int32_t quality;  /* enum lw_resampler_quality */
} lw_resampler_config;

int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config);
/* Takes up to n frames of `in` (*consumed says how many) and writes up to `cap` to `out`; returns how many were
 * written. It stops early only when `out` is full; call again with the rest. `in` may be odd-aligned. */
int64_t lw_resampler_process(lw_resampler *r, const int16_t *in, size_t n, size_t *consumed, int16_t *out, size_t cap);
/* Writes the frames still owed for the input so far, as if silence followed, so that the total is
 * ceil(inputs * out_rate / in_rate). Returns the count; 0 when all is out; then the state is as after reset. */
int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap);
/* Exactly how many frames processing n more will write, with room for them. */
size_t lw_resampler_ready(const lw_resampler *r, size_t n);
/* The most frames that processing n more, then flushing, can write. */
size_t lw_resampler_bound(const lw_resampler *r, size_t n);
/* Look-ahead in nanoseconds: how much later an input must have arrived than the output it is centred on. */
int64_t lw_resampler_delay_ns(const lw_resampler *r);
void lw_resampler_reset(lw_resampler *r);
void lw_resampler_close(lw_resampler **r);

/* ---- G.711 ---------------------------------------------------------------------------------------------------- */

/* A-law and mu-law, ITU-T G.711 (11/1988): PCM16 at 8 kHz as a rule, one byte a sample. The 16-bit scale is that of
 * the ITU-T software tools (G.191): A-law takes the upper 13 bits, mu-law the upper 14; negative values are quantised
 * by their one's complement. Others code some samples at a decision threshold as the neighbouring step: audioop 508
 * negative ones of mu-law, FFmpeg 964 of either law; decoding is the same everywhere. Stateless: n samples to n codes
 * and back; buffers may be odd-aligned and must not overlap. */
void lw_alaw_encode(uint8_t *codes, const int16_t *pcm, size_t n);
void lw_ulaw_encode(uint8_t *codes, const int16_t *pcm, size_t n);
void lw_alaw_decode(int16_t *pcm, const uint8_t *codes, size_t n);
void lw_ulaw_decode(int16_t *pcm, const uint8_t *codes, size_t n);

/* ---- G.722 ---------------------------------------------------------------------------------------------------- */

/* ITU-T G.722 (09/2012): PCM16 at 16 kHz, two samples to one byte, at 64, 56 or 48 kbit/s (modes 1, 2, 3). A byte is
 * always one code: bits 7..6 the upper band, bits 5..0 the lower band. At 56 and 48 kbit/s the lowest one or two bits
 * belong to the Recommendation's auxiliary data channel: the encoder, which adapts in the same way at every rate,
 * writes them as 0; the decoder ignores them. (A packed stream of 7-bit or 6-bit codes, or codes moved down to bit 0,
 * is not G.722 as RTP carries it, and not taken.) Delay of encoder and decoder together: 22 samples.
 *
 * Bit-exact with the ITU-T software tools (G.191), on every input. FFmpeg and spandsp differ from those, and so from
 * this, in two places that speech does not reach: they leave out the limit of the split bands to -16384..16383, which
 * shows when a signal overshoots full scale in a band (a full-scale square), and they do not saturate each addition of
 * the zero section, which shows in the decoder on long runs of one large code, which no encoder makes. */
typedef struct lw_g722_config {
    int32_t bitrate; /* 64000, 56000 or 48000 */
} lw_g722_config;

typedef struct lw_g722_encoder lw_g722_encoder;
typedef struct lw_g722_decoder lw_g722_decoder;

int lw_g722_encoder_open(lw_g722_encoder **out, const lw_g722_config *config);
/* Takes all n samples, writes one byte for each two; an odd one left over waits for the next call, so any chunking
 * gives the same bytes. `pcm` may be odd-aligned. Returns the bytes written, or LW_ENOSPC (nothing taken) where `cap`
 * is below lw_g722_encoder_bound(e, n). */
int64_t lw_g722_encoder_process(lw_g722_encoder *e, const int16_t *pcm, size_t n, uint8_t *codes, size_t cap);
/* Exactly what n more samples will give. */
size_t lw_g722_encoder_bound(const lw_g722_encoder *e, size_t n);
void lw_g722_encoder_reset(lw_g722_encoder *e);
void lw_g722_encoder_close(lw_g722_encoder **e);

int lw_g722_decoder_open(lw_g722_decoder **out, const lw_g722_config *config);
/* Takes all n bytes, writes 2 n samples and returns that, or LW_ENOSPC (nothing taken) where `cap` is below 2 n. Every
 * byte is a code. `pcm` may be odd-aligned. */
int64_t lw_g722_decoder_process(lw_g722_decoder *d, const uint8_t *codes, size_t n, int16_t *pcm, size_t cap);
void lw_g722_decoder_reset(lw_g722_decoder *d);
void lw_g722_decoder_close(lw_g722_decoder **d);

/* Many independent channels at once, in the lanes of one vector: the same bits as that many single objects, at a
 * fraction of the time. A channel is a slot, and slots come and go: a slot given NULL in a call sits it out, costs
 * nothing more, and starts anew when it is given data again. */
#define LW_G722_MAX_CHANNELS 4096

typedef struct lw_g722_batch_config {
    int32_t bitrate;  /* of all: 64000, 56000 or 48000 */
    int32_t channels; /* slots, 1..LW_G722_MAX_CHANNELS */
} lw_g722_batch_config;

typedef struct lw_g722_encoder_batch lw_g722_encoder_batch;
typedef struct lw_g722_decoder_batch lw_g722_decoder_batch;

int lw_g722_encoder_batch_open(lw_g722_encoder_batch **out, const lw_g722_batch_config *config);
/* pcm[c] holds n samples, n even, codes[c] takes n / 2 bytes, for c = 0..channels-1; either may be odd-aligned.
 * Returns n / 2. */
int64_t lw_g722_encoder_batch_process(lw_g722_encoder_batch *b, const int16_t *const *pcm, size_t n,
                                      uint8_t *const *codes);
/* One slot, or all of them where `channel` is -1. */
int lw_g722_encoder_batch_reset(lw_g722_encoder_batch *b, int32_t channel);
void lw_g722_encoder_batch_close(lw_g722_encoder_batch **b);

int lw_g722_decoder_batch_open(lw_g722_decoder_batch **out, const lw_g722_batch_config *config);
/* codes[c] holds n bytes, pcm[c] takes 2 n samples. Returns 2 n. */
int64_t lw_g722_decoder_batch_process(lw_g722_decoder_batch *b, const uint8_t *const *codes, size_t n,
                                      int16_t *const *pcm);
int lw_g722_decoder_batch_reset(lw_g722_decoder_batch *b, int32_t channel);
void lw_g722_decoder_batch_close(lw_g722_decoder_batch **b);

/* ---- Opus packets --------------------------------------------------------------------------------------------- */

/* The framing of RFC 6716, section 3: what a packet says about itself, without decoding it. Sizes are in bytes,
 * durations in samples at LW_RATE. */
#define LW_OPUS_MAX_FRAMES 48        /* 120 ms of 2.5 ms frames */
#define LW_OPUS_MAX_FRAME_BYTES 1275 /* what a length can say */
#define LW_OPUS_MAX_SAMPLES 5760     /* 120 ms */

enum lw_opus_mode { LW_OPUS_SILK = 0, LW_OPUS_HYBRID = 1, LW_OPUS_CELT = 2 };
enum lw_opus_bandwidth { /* audio bandwidth 4, 6, 8, 12, 20 kHz */
    LW_OPUS_NB = 0,
    LW_OPUS_MB = 1,
    LW_OPUS_WB = 2,
    LW_OPUS_SWB = 3,
    LW_OPUS_FB = 4
};

typedef struct lw_opus_packet {
    uint8_t toc;           /* the first byte: config, stereo bit, code */
    uint8_t config;        /* 0..31 */
    uint8_t mode;          /* enum lw_opus_mode */
    uint8_t bandwidth;     /* enum lw_opus_bandwidth */
    uint8_t channels;      /* 1, 2 */
    uint8_t code;          /* 0 one frame, 1 two of one size, 2 two of any sizes, 3 any number of them */
    uint8_t vbr;           /* the sizes are written out one by one: code 2, and code 3 with its v bit */
    uint8_t frames;        /* 1..LW_OPUS_MAX_FRAMES */
    uint8_t dtx;           /* no frame has more than one byte: nothing is coded, a decoder fills in (section 2.1.9) */
    uint8_t fec;           /* the first frame also holds what was before it, coded coarsely (LBRR, section 4.2.4) */
    uint8_t rule;          /* 0; the rule it breaks, 1..7, where lw_opus_parse returned LW_EDATA (only this is set) */
    uint16_t frame_samples; /* of each frame, 120..2880 */
    uint16_t samples;       /* of all, <= LW_OPUS_MAX_SAMPLES */
    uint32_t padding;      /* bytes behind the last frame; those that say how many there are belong to the header */
    uint32_t offset[LW_OPUS_MAX_FRAMES]; /* of each frame in the packet; [0] is the size of the header */
    uint16_t size[LW_OPUS_MAX_FRAMES];   /* of each frame; 0 = lost, or not sent (DTX) */
} lw_opus_packet;

typedef struct lw_opus_frame {
    const uint8_t *data;
    size_t size;
} lw_opus_frame;

/* Takes a packet apart. Returns the number of frames, or LW_EDATA with out->rule = the first of the requirements
 * R1..R7 (section 3.4) found broken; LW_EINVAL above 2^31 - 1 bytes. Accepts and refuses as libopus does. */
int lw_opus_parse(const uint8_t *packet, size_t n, lw_opus_packet *out);
/* "R3: ..." for 1..7. */
const char *lw_opus_rule(int rule);
/* Puts frames that share a TOC byte (its code is ignored) into one packet, in the shortest encoding there is, or, with
 * `size` > 0, padded to exactly `size` bytes. Returns its length. LW_EINVAL: no frames, more than 120 ms of them, one
 * above LW_OPUS_MAX_FRAME_BYTES, or they do not fit `size`; LW_ENOSPC: `cap` is too small. Then nothing is written.
 * The frames must not lie in `out`. */
int64_t lw_opus_pack(uint8_t toc, const lw_opus_frame *frames, int count, size_t size, uint8_t *out, size_t cap);
/* The same packet padded to exactly `size` bytes (>= n, else LW_EINVAL), or without any padding: the shortest encoding
 * of its frames. Return as lw_opus_pack, and LW_EDATA. */
int64_t lw_opus_pad(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap);
int64_t lw_opus_unpad(const uint8_t *packet, size_t n, uint8_t *out, size_t cap);

/* ---- ingest: a `voice` message ---------------------------------------------------------------------------------- */

/* The one JSON message that comes fifty times a second (RFC 8259),
 *   {"command":"voice","audio":"<base64>","sampleRate":24000,"encoding":"PCM16","event_id":"..."}
 * read without a JSON parser. Keys in any order, whitespace anywhere, event_id absent or null: that is usual. Whatever
 * else a parser would take, or refuse, is "unusual" and left to one: escapes, bytes outside ASCII, unknown or repeated
 * keys, a rate that is not a plain integer 8000..48000, an unknown encoding, odd PCM16, no audio. So an answer, once
 * its audio decodes, is what a parser would have said, and there are no errors here. */
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

/* PCM8 to PCM16, n samples; either may have any alignment. */
void lw_pcm8_decode(void *out, const void *in, size_t n);

/* Tells a wrong sample rate label from paced delivery: the rule is described in lipwire.protocol.ingest. The fields
 * are the core's; start with lw_rate_meter_reset. */
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

/* ---- viseme extractor ----------------------------------------------------------------------------------------- */

/* 16 kHz speech in, one row of LW_CHANNELS floats per 10 ms out: the 15 OVR viseme weights (>= 0, sum 1), the jaw
 * opening 0..1 and the loudness 0..1. Row i describes the input samples [160 i, 160 (i + 1)); it is written once
 * lw_viseme_lookahead() further samples have come in. Digital or room silence gives weight 1 to `sil` and 0 jaw.
 * The same bits for any chunking, any company in a batch, every kernel level and every machine. A session holds less
 * than 3 kB; tables and weights are one copy for the process, made by the first open. */
typedef struct lw_viseme lw_viseme;

typedef struct lw_viseme_config {
    int32_t early; /* 1: rows come with the least look-ahead, about 20 ms, and are less exact */
} lw_viseme_config;

/* `config` may be NULL. */
int lw_viseme_open(lw_viseme **out, const lw_viseme_config *config);
/* Takes all n samples; writes every row that became ready, at most `cap` rows of LW_CHANNELS floats. Returns the rows
 * written, or LW_ENOSPC (nothing taken) where `cap` is below lw_viseme_bound(v, n). */
int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap);
/* Exactly the rows that n more samples will give. */
size_t lw_viseme_bound(const lw_viseme *v, size_t n);
/* Many sessions at once: as lw_viseme_process(v[s], pcm[s], n[s], rows[s], cap) for s = 0..sessions-1, the same bits,
 * in less time, as the weights are read once for several of them. The sessions are distinct, may be at different
 * places in their streams and take different amounts; pcm[s] may be NULL where n[s] is 0, rows[s] where it gives none.
 * PCM may be odd-aligned. Returns the rows written in all. LW_EINVAL, or LW_ENOSPC where one of them needs more than cap
 * rows: nothing was taken from any. */
int64_t lw_viseme_process_many(lw_viseme *const *v, size_t sessions, const int16_t *const *pcm, const size_t *n,
                               float *const *rows, size_t cap);
/* Samples at LW_VISEME_RATE beyond the end of a row's own hop that must have arrived; constant, <= 1280 (80 ms). */
int lw_viseme_lookahead(const lw_viseme *v);
void lw_viseme_reset(lw_viseme *v);
void lw_viseme_close(lw_viseme **v);

/* ---- speech timeline ------------------------------------------------------------------------------------------ */

/* The media clock and the speech on it. One producer thread calls write, end, interrupt and space; one consumer
 * thread calls tick, look and the clock's readers. The two share only atomics. */
typedef struct lw_speech lw_speech;
typedef struct lw_speech_config {
    int32_t capacity;         /* samples of speech buffered ahead; 0 = 120 s */
    int32_t prebuffer;        /* samples that must be there before an utterance starts or resumes; 0 = 60 ms */
    int32_t dry_timeout;      /* an utterance without end finishes after this many dry samples; 0 = 1000 ms */
} lw_speech_config;

enum lw_event_type {
    LW_EVENT_STARTED = 1,  /* utterance's first sample is in this block */
    LW_EVENT_FINISHED = 2, /* value = 1 if interrupted; `played` samples of it were heard */
    LW_EVENT_UNDERRUN = 3, /* speech went on after a gap; value = the gap in samples */
    LW_EVENT_MOUTH = 4     /* first frame of the utterance that shows an open mouth (performer only) */
};
typedef struct lw_event {
    int32_t type;
    int32_t value;
    uint64_t utterance; /* counts from 1 */
    int64_t sample;     /* media clock at which it happened */
    int64_t played;     /* samples of the utterance heard so far */
} lw_event;

int lw_speech_open(lw_speech **out, const lw_speech_config *config);
/* Queues n samples for the current utterance; the first write after an end, or after it finished by itself, opens the
 * next one. Returns how many fitted: fewer than n means the buffer is full. LW_ENOSPC: 256 marks wait, which is about
 * 128 utterances. What an interrupt drops is free for writing again after the next tick. */
int64_t lw_speech_write(lw_speech *s, const int16_t *pcm, size_t n);
/* Free samples. */
int64_t lw_speech_space(const lw_speech *s);
/* Ends the current utterance `grace` samples of clock from now: what is written until then still belongs to it. A
 * second end within the grace re-arms it. 0 ends it at what has been written so far. */
int lw_speech_end(lw_speech *s, int32_t grace);
/* Drops everything written so far; what is being played fades out within 5 ms. Returns the new generation. */
int64_t lw_speech_interrupt(lw_speech *s);
/* One step of the media clock: writes LW_BLOCK samples to out. Returns how many events happened; the first `cap` of
 * them are written. */
int lw_speech_tick(lw_speech *s, int16_t out[LW_BLOCK], lw_event *events, int cap);
/* Looks ahead for the viseme extractor: writes the next not yet seen block of LW_BLOCK samples if it lies at most
 * `ahead` samples past the clock and is certain (speech already buffered and playing, or silence already played).
 * Returns 1 with *sample = its position on the media clock, 0 if none is ready. After an interrupt or a jump the
 * sequence restarts at the block just played and *restarted is set to 1. */
int lw_speech_look(lw_speech *s, int32_t ahead, int16_t out[LW_BLOCK], int64_t *sample, int *restarted);
int64_t lw_speech_clock(const lw_speech *s);      /* samples played, silence included */
int64_t lw_speech_buffered(const lw_speech *s);   /* speech samples waiting */
int64_t lw_speech_generation(const lw_speech *s); /* interrupts so far */
/* Consumer. Of them, those that the newest block knows of: what came before a later one is stale. */
int64_t lw_speech_heeded(const lw_speech *s);
uint64_t lw_speech_writing(const lw_speech *s);   /* number of the utterance that a write now would go to (producer) */
uint64_t lw_speech_utterance(const lw_speech *s); /* number of the one that the last write went to (producer) */
int lw_speech_active(const lw_speech *s);         /* 1 while an utterance has begun and not finished */
/* Consumer: samples played of the utterance that plays, or of the last one; *utterance = its number, 0 before any. */
int64_t lw_speech_played(const lw_speech *s, uint64_t *utterance);
void lw_speech_close(lw_speech **s);

/* ---- motion --------------------------------------------------------------------------------------------------- */

/* Axes of a pose, q15: 0..32767, or -32767..32767 where a sign makes sense. */
enum lw_axis {
    LW_AXIS_HEAD_X = 0, /* turn: + is to the viewer's right */
    LW_AXIS_HEAD_Y,     /* nod: + is down */
    LW_AXIS_BREATH,     /* 0 breathed out .. 1 in */
    LW_AXIS_BLINK,      /* 0 open .. 1 closed */
    LW_AXIS_GAZE_X,
    LW_AXIS_GAZE_Y,
    LW_AXIS_BROW,       /* -1 frown .. +1 raised */
    LW_AXIS_JAW,        /* 0 closed .. 1 open */
    LW_AXIS_HEAD_ROLL,  /* tilt: + is clockwise as the viewer sees it */
    LW_AXIS_HAPPY,      /* weights of the expressions, 0..1; neutral is none of them */
    LW_AXIS_CONCERNED,
    LW_AXIS_SURPRISED,
    LW_AXIS_LIDS,       /* 0 as wide as they go, LW_LIDS_REST at rest, 1 shut: blinks, expression and state together */
    LW_AXIS_WAVE,       /* 0 the arm is down .. about 0.4 up; a waving hand goes to and fro between 0.4 and 1 */
    LW_AXIS_HEAD_TURN,  /* head_x as 0 .. 0.5 ahead .. 1, for banks of head-turn frames */
    LW_AXES
};
#define LW_LIDS_REST 8192
typedef struct lw_pose {
    int16_t axis[LW_AXES];
    int16_t viseme[LW_VISEMES]; /* q15 weights, sum <= 32767; what is missing to 1 is rest (sil) */
    int16_t loudness;           /* q15 */
} lw_pose;

/* Viseme rows in, one smoothed pose per 10 ms out, with blinks, breathing, gestures and idle life. Integer state; the
 * same seed, rows and settings give the same poses. */
typedef struct lw_motion lw_motion;
typedef struct lw_motion_config {
    uint32_t seed;
} lw_motion_config;

enum lw_motion_setting {
    LW_MOTION_STATE = 0,  /* an lw_state, until the next */
    LW_MOTION_EXPRESSION, /* an lw_expression, until the next; fades in 300 ms */
    LW_MOTION_GESTURE,    /* an lw_gesture, played once; one that still plays gives way */
    LW_MOTION_SETTINGS
};
enum lw_state { /* what the face does while no utterance plays */
    LW_STATE_IDLE = 0,
    LW_STATE_LISTENING, /* looks at the viewer, head tilted, brows up, a small nod now and then */
    LW_STATE_THINKING,  /* looks up and aside, brows down, few blinks */
    LW_STATES
};
enum lw_expression {
    LW_EXPRESSION_NEUTRAL = 0,
    LW_EXPRESSION_HAPPY,
    LW_EXPRESSION_CONCERNED,
    LW_EXPRESSION_SURPRISED,
    LW_EXPRESSIONS
};
enum lw_gesture {
    LW_GESTURE_NOD = 0,
    LW_GESTURE_SHAKE,
    LW_GESTURE_WAVE,
    LW_GESTURES
};

int lw_motion_open(lw_motion **out, const lw_motion_config *config);
/* 0, or LW_EINVAL: no such setting or value. */
int lw_motion_check(int setting, int value);
/* Between steps: acts from the next one on. Returns as lw_motion_check. */
int lw_motion_set(lw_motion *m, int setting, int value);
/* `row` holds LW_CHANNELS floats, or is NULL for rest. `speaking` is 1 while an utterance plays. */
void lw_motion_step(lw_motion *m, const float *row, int speaking, lw_pose *pose);
void lw_motion_close(lw_motion **m);

/* ---- pictures and sprites ------------------------------------------------------------------------------------- */

/* RGB to YUV: Rec. ITU-R BT.709-6 or BT.601-7, limited range (Y 16..235, U and V 16..240), coefficients in Q14. One
 * luma pixel is rounded once; a chroma pixel is the mean of four, rounded once at the end. */
enum lw_matrix { LW_BT709 = 0, LW_BT601 = 1 };

/* Straight-alpha RGBA, 8 bit, rows packed. */
typedef struct lw_image {
    const uint8_t *rgba;
    int32_t width, height;
} lw_image;

/* I420: width * height * 3 / 2 contiguous bytes, sizes even, 16..4096. */
typedef struct lw_picture {
    uint8_t *i420;
    int32_t width, height;
} lw_picture;

/* An image of the same size; its alpha is ignored. */
int lw_picture_from_rgba(const lw_picture *to, const lw_image *image, int32_t matrix);
int lw_picture_fill(const lw_picture *to, uint8_t r, uint8_t g, uint8_t b, int32_t matrix);
/* To width * height * 3 bytes of RGB. A chroma sample stands for its four pixels; rounded once, limited to 0..255. */
int lw_picture_to_rgb(const lw_picture *from, uint8_t *rgb, int32_t matrix);
/* Bilinear. Pixel i samples `from` at (i + 1/2) * from / to - 1/2, rounded to 128ths of a pixel, edges repeated; the
 * four products are rounded once. No size may fall below half (LW_EINVAL): exactly a half is the mean of 2 x 2 pixels,
 * so scale repeatedly. The two must not overlap. */
int lw_picture_scale(const lw_picture *to, const lw_picture *from);

/* Makes what has the key's colour transparent, by the distance of (U, V) from the key's in steps of 8 bits: up to
 * `similarity` alpha becomes 0, from there it rises to what it was over `smoothness`; over `spill` colours rise from
 * grey of their own luma, so that no rim of the key's colour is left. The three in 16ths of a step, 0..8192; the distance's
 * square is rounded down to a multiple of 8. `out` has the image's size and may be the image. */
typedef struct lw_key {
    uint8_t r, g, b;
    int32_t similarity, smoothness, spill;
    int32_t matrix;
} lw_key;
int lw_chroma_key(uint8_t *out, const lw_image *image, const lw_key *key);

/* An image in the compositor's form: premultiplied, with alpha in both resolutions, trimmed to what is visible.
 * Immutable after open.
 *   luma     (Y * alpha) / 255, rounded
 *   chroma   sum of four U * alpha / 1020, rounded; alpha: their mean, halves rounded up
 *   sampled  (sum of 4 neighbours * weights + 128) >> 8, weights in 16ths x 16ths; transparent outside
 *   drawn    sample + dst * (255 - alpha) / 255, the quotient rounded, the sum limited to 255 */
typedef struct lw_sprite lw_sprite;
int lw_sprite_open(lw_sprite **out, const lw_image *image, int32_t matrix);
/* The same, scaled as lw_picture_scale does, transparent beyond its edges. */
int lw_sprite_open_scaled(lw_sprite **out, const lw_sprite *from, int32_t width, int32_t height);
int lw_sprite_width(const lw_sprite *s);
int lw_sprite_height(const lw_sprite *s);
size_t lw_sprite_bytes(const lw_sprite *s);
/* Draws it with its top left corner at (x8, y8) eighths of a luma pixel, each +-524288. */
int lw_sprite_blend(const lw_sprite *s, const lw_picture *to, int32_t x8, int32_t y8);
/* Draws it turned clockwise by angle / 65536 turns and scaled by scale_q16 / 65536 (1/4..16) about a pivot of the
 * image, which stays where it would be in lw_sprite_blend. The place that a pixel samples is rounded to 16ths of a pixel. */
typedef struct lw_turn {
    int32_t x8, y8, pivot_x8, pivot_y8;
    int32_t angle, scale_q16;
} lw_turn;
int lw_sprite_warp(const lw_sprite *s, const lw_picture *to, const lw_turn *turn);
void lw_sprite_close(lw_sprite **s);

/* ---- avatar and composition ----------------------------------------------------------------------------------- */

#define LW_MAX_LAYERS 32
#define LW_MOUTH_DIMS 16
#define LW_SELECT_FIXED (-1) /* the first image */
#define LW_SELECT_MOUTH (-2) /* the image whose mouth coordinate is nearest to the pose's */

/* A layer shows one image of its bank at a position that is linear in the pose's axes:
 * x = (x8 + sum kx8[a] * axis[a]) / 8 pixels, y likewise (eighths of a luma pixel at full deflection), and turned about
 * its pivot by sum kangle[a] * axis[a]. A chroma pixel lies in the middle of its four luma pixels. */
typedef struct lw_layer {
    int32_t first_image, image_count; /* all images of a layer have one size */
    int32_t select;                   /* an lw_axis (bank index linear in 0..1), LW_SELECT_FIXED or _MOUTH */
    int32_t x8, y8;
    int32_t kx8[LW_AXES], ky8[LW_AXES];
    int32_t pivot_x8, pivot_y8;       /* eighths of a luma pixel from the image's top left corner, +-524288 */
    int32_t kangle[LW_AXES];          /* turns x 65536 at full deflection, + is clockwise; all 0: never turned */
} lw_layer;

typedef struct lw_avatar lw_avatar;
typedef struct lw_avatar_config {
    int32_t width, height;         /* frame size in luma pixels, even, 16..4096 */
    const lw_image *images;        /* image 0 is the opaque background, width x height */
    int32_t image_count;
    const lw_layer *layers;        /* bottom to top, above the background */
    int32_t layer_count;
    int32_t mouth_dims;            /* 1..LW_MOUTH_DIMS */
    int32_t mouth_count;           /* coordinates given = images in the LW_SELECT_MOUTH layer */
    const int16_t *mouth_coords;   /* [mouth_count][mouth_dims], any fixed-point scale */
    const int16_t *viseme_coords;  /* [LW_VISEMES][mouth_dims], the same scale */
    int32_t matrix;                /* enum lw_matrix: of the frames drawn */
} lw_avatar_config;

/* Converts the images to premultiplied I420 with alpha. Immutable after open: any number of performers on any thread
 * may share it, and it must outlive them. */
int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config);
int lw_avatar_width(const lw_avatar *a);
int lw_avatar_height(const lw_avatar *a);
int lw_avatar_matrix(const lw_avatar *a);
size_t lw_avatar_bytes(const lw_avatar *a); /* native memory held */
void lw_avatar_close(lw_avatar **a);

/* What a frame buffer shows, so that the next drawing into it touches only what changed. */
typedef struct lw_canvas {
    int32_t valid; /* 0: unknown, draw everything */
    int32_t image[LW_MAX_LAYERS], x8[LW_MAX_LAYERS], y8[LW_MAX_LAYERS], angle[LW_MAX_LAYERS];
} lw_canvas;

/* 1 if both are known and show the same. */
int lw_canvas_same(const lw_canvas *a, const lw_canvas *b);

/* Draws the pose into an I420 frame of width * height * 3 / 2 contiguous bytes. Returns the luma pixels redrawn (0
 * when the frame already showed it); *mouth_open (may be NULL) is 1 when the mouth image is not the one at rest. */
int lw_compose(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, int *mouth_open);

/* ---- performer: one session's chain --------------------------------------------------------------------------- */

/* write -> resample -> speech timeline -tick-> look-ahead visemes -> motion -> compose -> rings. Producer and
 * consumer threads as for lw_speech; a third, the reader, drains the rings. Lock-free between the three. */
typedef struct lw_performer lw_performer;

/* What a renderer that is not the compositor is told of the frame that it draws. Compiled hooks read it field by field:
 * Python declares it again in renderer.py. */
typedef struct lw_draw_info {
    int64_t sample;      /* media clock of the frame */
    int64_t sequence;    /* as in lw_frame_info */
    uint64_t utterance;  /* being spoken, or 0 */
    int32_t width, height; /* luma pixels */
    float loudness;      /* 0..1 */
    float axis[LW_AXES]; /* -1..1, see lw_axis */
    float viseme[LW_VISEMES]; /* weights 0..1; what is missing to 1 is rest (sil) */
} lw_draw_info;

/* Draws a whole I420 frame of width * height * 3 / 2 contiguous bytes, which hold some older picture. Runs on the thread
 * that ticks, where LW_DRAW_SLOW_NS is long. Returns 0: drawn; LW_DRAW_SAME: nothing drawn, it looks as the frame
 * before; anything else: failed, and the frame shows the last good picture. */
#define LW_DRAW_SAME 1
#define LW_DRAW_SLOW_NS 5000000
typedef int (*lw_draw)(void *user, uint8_t *i420, const lw_draw_info *info);

typedef struct lw_performer_config {
    lw_avatar *avatar;      /* what draws: this, or draw, or the reader into what it acquires, or (0 x 0) nobody */
    lw_draw draw;
    void *draw_user;
    int32_t width, height;  /* of frames without an avatar: even, 16..4096, or 0 */
    int32_t fps_num, fps_den; /* e.g. 25 / 1; 1..100 frames a second */
    int32_t frame_slots;    /* 0 = 6; full: new frames are skipped and counted */
    int32_t pcm_blocks;     /* 0 = 64 (640 ms); full: the oldest stay, new blocks are dropped and counted */
    uint8_t *frames;        /* where to draw: frame_slots pictures, frame_stride bytes apart, zeroed, the caller's
                               until close (an lw_share's slots); NULL: in memory of its own */
    size_t frame_stride;
    uint32_t seed;
    lw_speech_config speech;
} lw_performer_config;

typedef struct lw_stats {
    int64_t clock;           /* samples */
    int64_t buffered;        /* speech samples waiting */
    int64_t generation;
    int64_t frames;          /* put into the ring */
    int64_t frames_unchanged;/* of those, not a pixel differed from the one before */
    int64_t frames_skipped;  /* not drawn: late */
    int64_t frames_dropped;  /* not drawn: the reader held every slot */
    int64_t pcm_dropped;     /* blocks */
    int64_t events_dropped;
    int64_t underruns;
    int64_t underrun_samples;
    int64_t utterances;      /* finished */
    int64_t draws;           /* calls of lw_draw */
    int64_t draw_errors;     /* of those, failed */
    int64_t draw_slow;       /* of those, longer than LW_DRAW_SLOW_NS */
    int64_t draw_ns;         /* in all */
    int64_t draw_worst_ns;
    int64_t active;          /* 1 while an utterance plays */
    int64_t bytes;           /* native memory, the shared avatar and the buffered speech excluded */
} lw_stats;

typedef struct lw_frame_info {
    int64_t sample;      /* media clock of the frame */
    int64_t sequence;    /* counts frames of the session, skipped ones included */
    uint64_t utterance;  /* being spoken, or 0 */
    int64_t generation;  /* interrupts that it knows of */
    int32_t changed;     /* 0: every pixel as in the frame before; 1 where the reader draws */
    int32_t mouth_open;  /* the mouth's image is not that at rest; without an avatar: the pose's mouth is open */
    int64_t due_ns;      /* the `now` given to the tick that made it */
    lw_pose pose;
} lw_frame_info;

int lw_performer_open(lw_performer **out, const lw_performer_config *config);
/* Producer. Queues n samples at `rate` Hz for the current utterance; all or nothing (LW_ENOSPC). A rate other than
 * the one before starts a new resampler (the only allocation outside open). */
int lw_performer_write(lw_performer *p, const void *pcm, size_t n, int32_t rate);
int lw_performer_end(lw_performer *p, int32_t grace);
int64_t lw_performer_interrupt(lw_performer *p);
/* As lw_motion_set, from the next tick on. Of several between two ticks the last one of each setting counts. */
int lw_performer_set(lw_performer *p, int setting, int value);
uint64_t lw_performer_writing(const lw_performer *p);   /* as lw_speech_writing */
uint64_t lw_performer_utterance(const lw_performer *p); /* as lw_speech_utterance */
int64_t lw_performer_space(const lw_performer *p); /* samples at LW_RATE */
/* Consumer: one 10 ms step. `draw` 0 skips a frame that falls into it (late work). Returns bits of what was put into
 * the rings: 1 PCM, 2 frame, 4 events. */
int lw_performer_tick(lw_performer *p, int64_t now_ns, int draw);
/* Reader. A block of PCM (LW_BLOCK samples) -> 1 with *sample, or 0. */
int lw_performer_read_pcm(lw_performer *p, int16_t out[LW_BLOCK], int64_t *sample);
/* Reader. Samples within the blocks read so far of the utterance that they speak, or spoke last: *utterance, or 0. */
int64_t lw_performer_heard(const lw_performer *p, uint64_t *utterance);
/* Reader. Interrupts that the newest block read knows of: below what lw_performer_interrupt returned, it is stale. */
int64_t lw_performer_heeded(const lw_performer *p);
int lw_performer_read_event(lw_performer *p, lw_event *event);
/* The oldest frame: its slot number + 1, or 0. The slot's bytes stay until it is released, in any order, by any thread. */
int lw_performer_acquire_frame(lw_performer *p, lw_frame_info *info);
uint8_t *lw_performer_frame(lw_performer *p, int slot); /* NULL for a slot out of range or frames of 0 x 0 */
void lw_performer_release_frame(lw_performer *p, int slot);
void lw_performer_stats(const lw_performer *p, lw_stats *stats);
void lw_performer_close(lw_performer **p);

/* ---- shared ring: a session's sound and pictures for other processes ------------------------------------------- */

/* One writer puts PCM blocks and frames into memory that any number of processes map read-only and follow, each at its
 * own pace. No locks: an item is good until its memory is used again, and a reader can tell. A reader that stalls or
 * dies loses what was overwritten, is told how much, and is never waited for. The layout: docs/sharing.md.
 *
 * The memory is a memfd, sealed against change of size and (Linux 5.1) against writing by anyone else, which is gone
 * with its last user; or POSIX shared memory for processes that cannot be handed a descriptor, unlinked at the end, or
 * by the next sweep where the writer was killed. Times are CLOCK_MONOTONIC, given by the caller. */
#define LW_SHARE_VERSION 1
#define LW_SHARE_SILENT_NS 1000000000 /* a writer that has not beaten for so long counts as dead */

typedef struct lw_share lw_share;
typedef struct lw_share_reader lw_share_reader;

typedef struct lw_share_config {
    const char *session;      /* id, at most 63 bytes; or NULL */
    int32_t named;            /* 1: POSIX shared memory */
    int32_t width, height;    /* even, 16..4096; 0 x 0 with no frame_slots: sound only */
    int32_t fps_num, fps_den; /* 1..100 frames a second */
    int32_t matrix;           /* enum lw_matrix */
    int32_t frame_slots;      /* 2..256: pictures in memory, those that are being drawn included */
    int32_t frames_kept;      /* 1..frame_slots - 1: the newest that readers may use */
    int32_t pcm_blocks;       /* 2..65536, 0 = 1024 (10.24 s) */
} lw_share_config;

/* LW_ENOMEM: no memory, or no descriptor. A named one sweeps first. */
int lw_share_open(lw_share **out, const lw_share_config *config);
/* Read-only; the ring's own, for others to dup or open by /proc. */
int lw_share_fd(const lw_share *s);
const char *lw_share_name(const lw_share *s); /* as for shm_open; NULL for a memfd, and after the end */
/* A slot's pixels, width * height * 3 / 2 bytes, to draw into while none of the last frames_kept frames shows it; the
 * next slot is lw_share_stride bytes on. NULL: out of range. */
uint8_t *lw_share_slot(lw_share *s, int slot);
size_t lw_share_stride(const lw_share *s);
/* The lowest slot that no frame shows; for writers that keep no account of their own. LW_EINVAL: there are no slots. */
int lw_share_free_slot(const lw_share *s);
/* LW_BLOCK samples, copied. LW_ESTATE after the end, here and below. */
int lw_share_write_pcm(lw_share *s, const void *pcm, int64_t sample, int64_t now_ns);
/* Publishes what is in the slot, uncopied, with what `info` says of its sample, sequence, utterance, changed, mouth_open
 * and due_ns. Returns 1 where the oldest frame had to go: its slot may be drawn into. */
int lw_share_write_frame(lw_share *s, int slot, const lw_frame_info *info, int64_t now_ns);
/* Takes back the frames up to `sample`, for a writer that knows that its reader is done; returns how many. */
int lw_share_retire(lw_share *s, int64_t sample);
/* What was published before is stale: readers skip it. Returns the new generation. */
int64_t lw_share_interrupt(lw_share *s);
void lw_share_beat(lw_share *s, int64_t now_ns); /* for a writer with nothing to write; each write does the same */
/* Tells the readers, takes the name away; the memory stays. Close does it, too. Neither touches it in a forked child. */
void lw_share_end(lw_share *s);
void lw_share_close(lw_share **s);
int lw_share_sweep(void); /* unlinks the named rings whose writers are gone; returns how many */

typedef struct lw_share_pcm {
    int64_t number; /* counts the ring's blocks from 0 */
    int64_t sample, generation, published_ns;
    const int16_t *pcm; /* LW_BLOCK samples in the ring; good while lw_share_pcm_valid */
} lw_share_pcm;

typedef struct lw_share_frame {
    int64_t number; /* counts the ring's frames from 0 */
    int64_t sample, sequence, generation;
    uint64_t utterance;
    int64_t due_ns, published_ns;
    int32_t slot, changed, mouth_open; /* as in lw_frame_info; `changed` 0 means nothing to who missed the one before */
    const uint8_t *i420; /* in the ring; good while lw_share_frame_valid */
} lw_share_frame;

typedef struct lw_share_stats {
    int64_t generation, clock, heartbeat_ns, ended; /* the writer's; clock: the sample behind the newest block */
    int64_t pcm_lag, pcm_lost, pcm_stale;           /* blocks: waiting, overwritten before they were read, skipped */
    int64_t frames_lag, frames_lost, frames_stale;
} lw_share_stats;

/* Maps a ring read-only, to begin with what is published next; the descriptor may be closed afterwards. LW_EDATA:
 * refused, and *why (may be NULL) says in a few words what for. */
int lw_share_attach(lw_share_reader **out, int fd, const char **why);
/* What the ring was opened with; `session` is the reader's. */
void lw_share_geometry(const lw_share_reader *r, lw_share_config *out, int32_t *pid);
/* The next block or frame of the newest generation: 1, or 0 for none. One thread at a time. */
int lw_share_read_pcm(lw_share_reader *r, lw_share_pcm *out);
int lw_share_read_frame(lw_share_reader *r, lw_share_frame *out);
/* Asked after the last use: 1 = what was read is the item's, all of it; 0 = it was overtaken. */
int lw_share_pcm_valid(const lw_share_reader *r, int64_t number);
int lw_share_frame_valid(const lw_share_reader *r, int64_t number);
/* Goes to the oldest block that reaches beyond `sample`, and the oldest frame not before it; or, < 0, behind the
 * newest. Returns how many samples from `sample` on are no longer there. */
int64_t lw_share_seek(lw_share_reader *r, int64_t sample);
/* Sleeps until there is something to read or the writer has ended: 1; or until `until_ns`, a signal, or the moment at
 * which the writer has been silent for LW_SHARE_SILENT_NS: 0. */
int lw_share_wait(lw_share_reader *r, int64_t now_ns, int64_t until_ns);
void lw_share_stats_get(const lw_share_reader *r, lw_share_stats *stats);
void lw_share_detach(lw_share_reader **r);

/* ---- engine: every session on one native thread --------------------------------------------------------------- */

/* A thread that ticks all attached performers every 10 ms against absolute deadlines of CLOCK_MONOTONIC, and adds 1
 * to an eventfd when anything came out. A wake-up that is late by less than LW_ENGINE_MAX_LAG_MS makes up every tick
 * (late frames are skipped, sound is not); beyond that the lost ticks are counted and left out. */
#define LW_ENGINE_MAX_LAG_MS 1000

typedef struct lw_engine lw_engine;
typedef struct lw_engine_stats {
    int64_t ticks;         /* of the thread */
    int64_t late_ticks;    /* began 10 ms or more after their deadline */
    int64_t lost_ticks;    /* left out */
    int64_t busy_ns;       /* thread CPU time spent in ticks */
    int64_t worst_ns;      /* longest single pass over all sessions */
    int64_t sessions;
} lw_engine_stats;

int lw_engine_open(lw_engine **out, int max_sessions);
int lw_engine_fd(const lw_engine *e); /* the eventfd, non-blocking; owned by the engine */
/* Ticks it from now on; the first tick may be up to three later, so that sessions do not all draw in the same one. */
int lw_engine_attach(lw_engine *e, lw_performer *p);
/* Returns when the thread has let go of the performer (at most a tick or so). */
int lw_engine_detach(lw_engine *e, lw_performer *p);
void lw_engine_stats_get(const lw_engine *e, lw_engine_stats *stats);
void lw_engine_close(lw_engine **e);

#ifdef __cplusplus
}
#endif
#endif
