/* The motion stream: poses and what happens between them as bytes, version 1; docs/motion.md has it byte by byte.
 *
 * A message is one or more records: a header, which names the channels; frames, of which each stands alone, the newest one
 * whole and earlier ones behind it as differences, so that a lost message costs nothing while the next one comes; events;
 * sound. Any carrier takes messages, in any order.
 *
 * An encoder makes them of one selection of sets, a decoder reads them; neither knows a carrier. What a decoder is given may be
 * anything: it never reads beyond it, needs the same memory whatever it says, and goes on after what was damaged.
 *
 * Example of use:
 *
 *     static const uint8_t sets[2] = {LW_STREAM_ARKIT, LW_STREAM_HEAD};
 *     lw_motion_encoder *e;
 *     lw_motion_decoder *d;
 *     lw_pose pose = {.axis[LW_AXIS_LIDS] = LW_LIDS_REST, .viseme[1] = 32767}; // PP
 *     int32_t values[LW_STREAM_OURS];
 *     uint8_t message[4096];
 *     if (lw_motion_encoder_open(&e, &(lw_motion_encoder_config){.sets = sets, .set_count = 2, .fps_num = 25, .fps_den = 1}) < 0)
 *         return 1;
 *     if (lw_motion_decoder_open(&d) < 0)
 *         return 1;
 *     int64_t n = lw_motion_encoder_header(e, message, sizeof message);
 *     lw_motion_encoder_values(e, &pose, values);
 *     n += lw_motion_encoder_frame(e, &(lw_stream_frame){.sample = 1920, .values = values}, message + n, sizeof message - (size_t)n);
 *     size_t at = 0;
 *     lw_stream_record record;
 *     while (lw_motion_decoder_next(d, message, (size_t)n, &at, &record) > 0)
 *         if (record.type == LW_STREAM_FRAMES)
 *             printf("jawOpen %d\n", lw_motion_decoder_values(d, record.frames - 1, NULL)[LW_FACE_JAW_OPEN]);
 *     lw_motion_encoder_close(&e);
 *     lw_motion_decoder_close(&d);
 */
#ifndef LIPWIRE_MOTION_STREAM_H
#define LIPWIRE_MOTION_STREAM_H

#include "lipwire/base.h"
#include "lipwire/face.h"
#include "lipwire/motion.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_STREAM_VERSION 1
#define LW_STREAM_EARLIER 15 /* frames that a message repeats, at most */

enum lw_stream_set {
    LW_STREAM_VISEMES = 0, /* 15, of speech alone (lw_motion_said) */
    LW_STREAM_ARKIT,       /* lw_face_shape */
    LW_STREAM_HEAD,        /* lw_face_angle */
    LW_STREAM_POSE,        /* lw_axis, then LW_VISEMES, then the loudness: lw_pose to the last bit */
    LW_STREAM_AZURE,       /* 1: lw_face_azure */
    LW_STREAM_SETS
};
#define LW_STREAM_OURS (2 * LW_VISEMES + LW_FACE_SHAPES + LW_FACE_ANGLES + LW_AXES + 2) /* channels of all of them */

/* What an integer of a channel stands for. */
enum lw_stream_kind {
    LW_STREAM_BYTE = 0, /* v / 255: 0..1 */
    LW_STREAM_Q15,      /* v / 32767: -1..1 */
    LW_STREAM_ID,       /* v */
    LW_STREAM_ANGLE,    /* v / LW_FACE_RADIAN, in radians */
    LW_STREAM_KINDS
};

enum lw_stream_type {
    LW_STREAM_HEADER = 1,
    LW_STREAM_FRAMES,
    LW_STREAM_EVENT,
    LW_STREAM_SOUND
};

typedef struct lw_stream_group {
    const char *set;   /* name of the set that these channels are of; `set_size` characters, no NUL */
    const char *names; /* of the channels, with one space between two; `names_size` characters, no NUL */
    size_t set_size, names_size;
    int32_t kind;
    int32_t count;     /* channels */
} lw_stream_group;

/* What this library's own sets are: one group each. LW_EINVAL: there is none of that number. */
int lw_stream_describe(int set, lw_stream_group *group);

/* ---- encoder ---- */

typedef struct lw_motion_encoder lw_motion_encoder;
typedef struct lw_motion_encoder_config {
    const uint8_t *sets;      /* set_count of lw_stream_set, each once: the channels are in this order. Not kept */
    int32_t set_count;
    int32_t fps_num, fps_den; /* 1..100 */
    int32_t earlier;          /* frames that a message repeats, 0..LW_STREAM_EARLIER */
    int32_t id;               /* of the header, 0..255: another one where sets or rate are others */
} lw_motion_encoder_config;

typedef struct lw_stream_frame {
    int64_t sample;         /* media clock, 0 or more */
    int64_t generation;     /* interrupts so far, 0 or more */
    int32_t speaking;       /* 1: an utterance plays */
    const int32_t *values;  /* one of each channel */
} lw_stream_frame;

typedef struct lw_stream_note {
    int64_t number;     /* of the session's events, from 1 on, so that one that is sent again is known; 0: not numbered */
    int64_t sample, generation;
    int32_t kind;       /* 0..255 */
    const char *value;  /* UTF-8, `size` bytes */
    size_t size;
} lw_stream_note;

/* LW_EINVAL, LW_ENOMEM. */
int lw_motion_encoder_open(lw_motion_encoder **out, const lw_motion_encoder_config *config);
int lw_motion_encoder_channels(const lw_motion_encoder *e);
/* Bytes of the largest record of frames, and of the header. */
size_t lw_motion_encoder_bound(const lw_motion_encoder *e);
/* A pose as the integers that are sent, one of each channel. */
void lw_motion_encoder_values(const lw_motion_encoder *e, const lw_pose *pose, int32_t *values);
/* These return the bytes that they wrote: one record. LW_ENOSPC: `room` is too small, nothing has changed. */
int64_t lw_motion_encoder_header(const lw_motion_encoder *e, uint8_t *out, size_t room);
/* With as many of the frames before as `earlier` says, of the same generation; a frame that is no later than the one before
 * it has none. Bytes are taken modulo 256. LW_EINVAL: sample or generation is negative. */
int64_t lw_motion_encoder_frame(lw_motion_encoder *e, const lw_stream_frame *frame, uint8_t *out, size_t room);
/* Takes a frame without a message: the next one repeats it. Returns as lw_motion_encoder_frame, 0. */
int lw_motion_encoder_keep(lw_motion_encoder *e, const lw_stream_frame *frame);
/* The next message repeats nothing. */
void lw_motion_encoder_forget(lw_motion_encoder *e);
/* LW_EINVAL: a negative number, or a kind that is none of 0..255. */
int64_t lw_stream_put_event(const lw_stream_note *event, uint8_t *out, size_t room);
int64_t lw_stream_put_sound(int64_t sample, int codec, const uint8_t *payload, size_t size, uint8_t *out, size_t room);
void lw_motion_encoder_close(lw_motion_encoder **e);

/* ---- decoder ---- */

#define LW_STREAM_CHANNELS 1024
#define LW_STREAM_GROUPS 32
#define LW_STREAM_NAMES 65536 /* bytes of all names */
#define LW_STREAM_RECORDS 64  /* of a message, whatever they are: what is made of it is bounded */

typedef struct lw_motion_decoder lw_motion_decoder;
typedef struct lw_stream_record {
    int32_t type;       /* lw_stream_type */
    int32_t id;         /* of the header that it is, or that its frames are of */
    int32_t frames;     /* how many, until the next record is read: lw_motion_decoder_values */
    int32_t speaking;
    int64_t sample;     /* of the newest frame, the event, the sound */
    int64_t generation;
    int64_t number;     /* of the event */
    int32_t kind;       /* of the event; the sound's codec */
    const uint8_t *bytes; /* the event's value, the sound: `size` bytes of the message */
    size_t size;
} lw_stream_record;

typedef struct lw_stream_header {
    int32_t id, groups, channels;
    int64_t clock_rate, fps_num, fps_den;
} lw_stream_header;

/* LW_ENOMEM. */
int lw_motion_decoder_open(lw_motion_decoder **out);
/* The record at *at of a message, which begins at 0, and *at behind it: 1; 0 where it ends. What is of an unknown type is passed over, and so are
 * frames of a header that is not the one read last. LW_EDATA: damaged, or beyond the limits above; what was read before holds,
 * and the next call goes on behind it. */
int lw_motion_decoder_next(lw_motion_decoder *d, const uint8_t *message, size_t n, size_t *at, lw_stream_record *record);
/* Of the frames read last, oldest first: one integer of each channel, and the frame's sample (which may be NULL). NULL: there
 * is none of that number. */
const int32_t *lw_motion_decoder_values(const lw_motion_decoder *d, int frame, int64_t *sample);
/* The header read last. LW_ESTATE: none has been. */
int lw_motion_decoder_header(const lw_motion_decoder *d, lw_stream_header *header);
/* Its groups. LW_EINVAL: there is none of that number. The names are the decoder's, until the next header. */
int lw_motion_decoder_group(const lw_motion_decoder *d, int group, lw_stream_group *out);
void lw_motion_decoder_close(lw_motion_decoder **d);

#ifdef __cplusplus
}
#endif
#endif
