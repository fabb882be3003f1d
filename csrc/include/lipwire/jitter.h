/* A jitter buffer for speech: RTP packets in as they come, 10 ms of PCM out whenever it is asked for.
 *
 * Packets may come late, twice, out of order, or not at all, from a clock that is not quite ours. What comes out is
 * always 10 ms, is never out of order, and lags behind by as little as the network's own lateness allows: how late
 * packets are is measured, and the lag follows by leaving out and repeating single periods of the voice. What is lost is
 * made up: by the codec, if it can, else of what was before and, where that has come, of what is behind.
 *
 * Time is an argument, in nanoseconds of any monotonic clock. Sound is mono, at one rate. The same packets at the same
 * times give the same samples at every kernel level and on every machine.
 *
 * Example of use:
 *
 *     lw_jitter_decoder ulaw; // what to do with a payload of G.711 mu-law
 *     lw_jitter *jitter;
 *     int16_t pcm[80];
 *     const uint8_t payload[160] = {0};
 *     if (lw_jitter_codec_open(&ulaw, "pcmu", 8000) < 0)
 *         return 1;
 *     if (lw_jitter_open(&jitter, &(lw_jitter_config){.sample_rate = 8000, .decoder = ulaw}) < 0)
 *         return 1;
 *     for (int64_t i = 0, now = 0; i < 50; i++, now += 20000000) {
 *         lw_jitter_put(jitter, now, (uint16_t)i, (uint32_t)(160 * i), LW_JITTER_SPEECH, payload, sizeof payload);
 *         lw_jitter_get(jitter, now, pcm);            // LW_JITTER_NORMAL, as a rule
 *         lw_jitter_get(jitter, now + 10000000, pcm); // the next 10 ms
 *     }
 *     lw_jitter_close(&jitter);
 *     lw_jitter_codec_close(&ulaw);
 */
#ifndef LIPWIRE_JITTER_H
#define LIPWIRE_JITTER_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_JITTER_MAX_PAYLOAD 2048   /* bytes of one packet: more than an Ethernet frame holds, 20 ms of L16 at 48 kHz */
#define LW_JITTER_MAX_PACKETS 1024
#define LW_JITTER_MAX_DELAY_MS 10000
#define LW_JITTER_MAX_DURATION_MS 120 /* of one packet */

/* How one codec's payloads become PCM16 mono at the buffer's sample rate. Functions that are NULL it has not. All are
 * called from within lw_jitter_put and lw_jitter_get, and must neither wait nor keep a pointer. */
typedef struct lw_jitter_decoder {
    void *state; /* handed to each of them; outlives the buffer */
    /* How many samples a payload decodes to; below 0: it is damaged. Required. */
    int32_t (*duration)(void *state, const uint8_t *payload, size_t n);
    /* Decodes into `out`, which holds `room` samples. Returns how many, below 0 where it is damaged. Required. */
    int32_t (*decode)(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room);
    /* The codec's own concealment: exactly `samples`, which is a multiple of 10 ms. Returns that, or below 0. */
    int32_t (*conceal)(void *state, int16_t *out, int32_t samples);
    /* Exactly the `samples` right before the packet `next`, out of the redundancy in it; 0 where it carries none. */
    int32_t (*recover)(void *state, const uint8_t *next, size_t n, int16_t *out, int32_t samples);
    /* A new stream begins. */
    void (*reset)(void *state);
} lw_jitter_decoder;

/* The decoders of codecs that need no library: "pcmu", "pcma" (any sample rate of the buffer's; 8000 as a rule), "l16"
 * (RFC 3551: big endian) and "g722" (sample rate 16000). LW_EINVAL: another name or rate. */
int lw_jitter_codec_open(lw_jitter_decoder *out, const char *codec, int32_t sample_rate);
void lw_jitter_codec_close(lw_jitter_decoder *decoder);

typedef struct lw_jitter_config {
    int32_t sample_rate;  /* of the PCM: 8000, 16000, 24000 or 48000 */
    int32_t clock_rate;   /* of RTP timestamps, 8000..192000; 0 = sample_rate. G.722 has 8000 (RFC 3551, 4.5.2) */
    int32_t max_packets;  /* 2..LW_JITTER_MAX_PACKETS; 0 = 200. When full, the oldest gives way */
    int32_t min_delay_ms; /* 0..max_delay_ms: no less than this behind the fastest packet */
    int32_t max_delay_ms; /* 20..LW_JITTER_MAX_DELAY_MS, 0 = 2000: what is older than this is left out */
    lw_jitter_decoder decoder;
} lw_jitter_config;

enum lw_jitter_kind {
    LW_JITTER_SPEECH = 0,
    LW_JITTER_CN = 1,    /* comfort noise, RFC 3389: silence of this kind until speech goes on */
    LW_JITTER_EVENT = 2, /* telephone event, RFC 4733: read with lw_jitter_event; no sound */
    LW_JITTER_DTX = 3    /* decodes, and says that nothing more may come for a while: silence, nothing is lost */
};

enum lw_jitter_mode { /* what most of the 10 ms are */
    LW_JITTER_NORMAL = 0,     /* as they were sent */
    LW_JITTER_ACCELERATE = 1, /* some was left out, to lag less */
    LW_JITTER_EXPAND = 2,     /* some was repeated, to lag more */
    LW_JITTER_CONCEALED = 3,  /* made up, in place of what was lost or is late */
    LW_JITTER_COMFORT = 4,    /* comfort noise that the sender asked for */
    LW_JITTER_IDLE = 5        /* exact silence: no stream yet, or it pauses */
};

/* Counters since open. Those with a name in W3C webrtc-stats (RTCInboundRtpStreamStats) mean what they mean there; times
 * are in nanoseconds instead of seconds, and samples are of the buffer's rate. */
typedef struct lw_jitter_stats {
    int64_t packets_received;  /* taken or not, without duplicates */
    int64_t packets_lost;      /* expected less received, RFC 3550 A.3: may fall when a late one comes */
    int64_t packets_discarded; /* too late, or no room: never played */
    int64_t packets_duplicate;
    int64_t packets_damaged;   /* the decoder refused them, or they were no RTP of this stream */
    int64_t packets_reordered; /* came behind one that was sent later */
    int64_t fec_packets_recovered; /* losses made good out of the next packet */
    int64_t jitter_ns;             /* interarrival jitter, RFC 3550 6.4.1 */
    int64_t jitter_buffer_delay_ns;         /* summed over the samples emitted: arrival to exit */
    int64_t jitter_buffer_target_delay_ns;  /* the same of the target */
    int64_t jitter_buffer_minimum_delay_ns; /* the same of what jitter alone asks for, without min_delay_ms */
    int64_t jitter_buffer_emitted_count;    /* samples: those that came in packets */
    int64_t total_samples_received;         /* all samples that came out */
    int64_t concealed_samples;
    int64_t silent_concealed_samples; /* of these, silence and comfort noise */
    int64_t concealment_events;
    int64_t inserted_samples_for_deceleration;
    int64_t removed_samples_for_acceleration;
    int64_t comfort_samples; /* comfort noise that the sender asked for */
    int64_t idle_samples;
    int64_t restarts;           /* the sender began anew, or counts its time from elsewhere on */
    int32_t buffered_packets;   /* now */
    int32_t buffered_ns;        /* now: decoded and not */
    int32_t target_ns;          /* now: lag that is aimed at, behind the fastest packets of late */
} lw_jitter_stats_t;

/* A telephone event (RFC 4733). It is told when it begins and, with its length, when it has ended: its
 * sender says so, another one begins, or nothing has been heard of it for 120 ms. */
typedef struct lw_jitter_event_t {
    int32_t event;    /* 0..15: DTMF 0-9, *, #, A-D; 16: flash */
    int32_t volume;   /* dBm0 below 0: 0..63 */
    int32_t end;      /* it has ended */
    int32_t duration; /* so far, in units of the clock rate */
} lw_jitter_event_t;

typedef struct lw_jitter lw_jitter;

int lw_jitter_open(lw_jitter **out, const lw_jitter_config *config);
/* A packet that arrived at now_ns. 1: taken. 0: not wanted (too late, a duplicate, refused by the decoder, not of this
 * stream) and counted. LW_EINVAL: no such kind, or more than LW_JITTER_MAX_PAYLOAD bytes. Any bytes are safe. */
int lw_jitter_put(lw_jitter *j, int64_t now_ns, uint16_t sequence, uint32_t timestamp, int kind, const uint8_t *payload,
                  size_t n);
/* The next 10 ms, sample_rate / 100 samples, which are played from now_ns on. Call it every 10 ms: the times may
 * wobble, and may be the same for two blocks that are wanted at once. Returns enum lw_jitter_mode. */
int32_t lw_jitter_get(lw_jitter *j, int64_t now_ns, int16_t *out);
/* The next telephone event, if there is one: 1, else 0. 32 are kept, the newest ones. */
int lw_jitter_event(lw_jitter *j, lw_jitter_event_t *out);
/* 1: nothing is being said (LW_JITTER_IDLE or LW_JITTER_COMFORT would come, or did last). */
int lw_jitter_idle(const lw_jitter *j);
void lw_jitter_stats(const lw_jitter *j, lw_jitter_stats_t *out);
/* Forgets stream and delays; counters go on. */
void lw_jitter_reset(lw_jitter *j);
void lw_jitter_close(lw_jitter **j);

/* An RTP packet taken apart (RFC 3550, 5.1): `payload` lies in the packet, behind CSRCs and extension, before the
 * padding. */
typedef struct lw_rtp_packet {
    const uint8_t *payload;
    size_t size;
    uint32_t timestamp, ssrc;
    uint16_t sequence;
    uint8_t payload_type, marker;
} lw_rtp_packet;

/* 0, or LW_EDATA: not version 2, or shorter than it says. */
int lw_rtp_parse(lw_rtp_packet *out, const uint8_t *packet, size_t n);

#ifdef __cplusplus
}
#endif
#endif
