/* The motion stream, written and read; lipwire/motion_stream.h says what it is, docs/motion.md byte by byte.
 *
 * A frame is a step from another (the newest one from zeros): which channels differ, and by how much. A channel that is the other
 * side of the one before it, as eyeBlinkRight is of eyeBlinkLeft, is expected to differ by as much as that one: a symmetric face
 * costs half. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "lipwire/motion_stream.h"

#define FRAMES (LW_STREAM_EARLIER + 1)
#define VARINT 10 /* bytes, at most */
#define SIDES 64  /* characters of a name that has another side */

/* ---- sets ---- */

#define VISEME_NAMES "sil PP FF TH DD kk CH SS nn RR aa E ih oh ou"

static const struct {
    const char *name, *channels;
    int32_t kind, count;
} sets[LW_STREAM_SETS] = {
    [LW_STREAM_VISEMES] = {"visemes", VISEME_NAMES, LW_STREAM_BYTE, LW_VISEMES},
    [LW_STREAM_ARKIT] =
        {"arkit",
         "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
         "cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight "
         "eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft "
         "eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft "
         "mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight "
         "mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
         "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft "
         "noseSneerRight tongueOut",
         LW_STREAM_BYTE, LW_FACE_SHAPES},
    [LW_STREAM_HEAD] = {"head", "headPitch headYaw headRoll leftEyeRoll rightEyeRoll", LW_STREAM_ANGLE, LW_FACE_ANGLES},
    [LW_STREAM_POSE] = {"pose",
                        "head_x head_y breath blink gaze_x gaze_y brow jaw head_roll happy concerned surprised lids wave "
                        "head_turn " VISEME_NAMES " loudness",
                        LW_STREAM_Q15, LW_AXES + LW_VISEMES + 1},
    [LW_STREAM_AZURE] = {"azure", "viseme", LW_STREAM_ID, 1},
};

static lw_stream_group described(int set)
{
    return (lw_stream_group){.set = sets[set].name,
                             .names = sets[set].channels,
                             .set_size = strlen(sets[set].name),
                             .names_size = strlen(sets[set].channels),
                             .kind = sets[set].kind,
                             .count = sets[set].count};
}

int lw_stream_describe(int set, lw_stream_group *group)
{
    if (set < 0 || set >= LW_STREAM_SETS || !group)
        return LW_EINVAL;
    *group = described(set);
    return 0;
}

/* What is known of a channel. */
typedef struct channel {
    uint8_t kind;
    uint8_t other_side; /* of the channel before it */
} channel;

/* Replaces the first `from` in a name by the longer `to`; characters, or 0 where there is none. */
static size_t turned(const char *name, size_t n, const char *from, const char *to, char out[SIDES + 1])
{
    size_t f = strlen(from), t = strlen(to);
    for (size_t i = 0; n <= SIDES - (t - f) && i + f <= n; i++) {
        if (memcmp(name + i, from, f))
            continue;
        memcpy(out, name, i);
        memcpy(out + i, to, t);
        memcpy(out + i + t, name + i + f, n - i - f);
        return n + t - f;
    }
    return 0;
}

static int is_other_side(const char *left, size_t left_size, const char *right, size_t right_size)
{
    char of[SIDES + 1];
    size_t n = turned(left, left_size, "Left", "Right", of);
    if (!n)
        n = turned(left, left_size, "left", "right", of);
    return n && n == right_size && !memcmp(of, right, n);
}

/* A group's channels. Returns 0, or LW_EDATA: they are not `count` names. */
static int know(const lw_stream_group *group, channel *out)
{
    const char *at = group->names, *end = at + group->names_size, *before = NULL;
    size_t before_size = 0;
    for (int32_t i = 0; i < group->count; i++) {
        const char *from = at;
        while (at < end && *at > ' ' && *at <= '~')
            at++;
        if (at == from || (i + 1 < group->count ? at == end || *at != ' ' : at != end))
            return LW_EDATA;
        out[i].kind = (uint8_t)group->kind;
        out[i].other_side = before && is_other_side(before, before_size, from, (size_t)(at - from));
        before = from;
        before_size = (size_t)(at - from);
        at++;
    }
    return 0;
}

/* ---- bytes out ---- */

typedef struct sink {
    uint8_t *at, *end;
    int full;
} sink;

static void put_byte(sink *s, uint8_t byte)
{
    if (s->at < s->end)
        *s->at++ = byte;
    else
        s->full = 1;
}

static void put_varint(sink *s, uint64_t value)
{
    for (; value > 127; value >>= 7)
        put_byte(s, (uint8_t)(value | 128));
    put_byte(s, (uint8_t)value);
}

static void put_signed(sink *s, int64_t value)
{
    put_varint(s, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static void put_bytes(sink *s, const void *from, size_t n)
{
    if (n && n <= (size_t)(s->end - s->at)) {
        memcpy(s->at, from, n);
        s->at += n;
    } else if (n) {
        s->full = 1;
    }
}

static void put_text(sink *s, const char *text, size_t n)
{
    put_varint(s, n);
    put_bytes(s, text, n);
}

static size_t varint_size(uint64_t value)
{
    size_t n = 1;
    for (; value > 127; value >>= 7)
        n++;
    return n;
}

/* A record's body has been written at `body`, VARINT + 1 bytes behind where the record begins: brings it to its type and length.
 * Returns the record's bytes. */
static int64_t finish(uint8_t *out, const sink *s, int type)
{
    uint8_t *body = out + VARINT + 1;
    size_t n = (size_t)(s->at - body), head = 1 + varint_size(n);
    memmove(out + head, body, n);
    sink h = {.at = out, .end = out + head};
    put_byte(&h, (uint8_t)type);
    put_varint(&h, n);
    return (int64_t)(head + n);
}

static sink begin(uint8_t *out, size_t room)
{
    int fits = out && room > VARINT + 1;
    return fits ? (sink){.at = out + VARINT + 1, .end = out + room} : (sink){.full = 1};
}

/* ---- encoder ---- */

struct lw_motion_encoder {
    int32_t fps_num, fps_den, earlier, id, set_count, channels;
    uint8_t set[LW_STREAM_SETS];
    channel channel[LW_STREAM_OURS];
    int64_t generation;
    int32_t kept, newest; /* frames in the ring, and where the newest one is */
    int64_t sample[FRAMES];
    int32_t values[FRAMES][LW_STREAM_OURS];
};

int lw_motion_encoder_open(lw_motion_encoder **out, const lw_motion_encoder_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config || !config->sets || config->set_count < 1 || config->set_count > LW_STREAM_SETS ||
        lw_bad_fps(config->fps_num, config->fps_den) || config->earlier < 0 || config->earlier > LW_STREAM_EARLIER ||
        config->id < 0 || config->id > 255)
        return LW_EINVAL;
    unsigned seen = 0;
    for (int i = 0; i < config->set_count; i++) {
        if (config->sets[i] >= LW_STREAM_SETS || seen & 1u << config->sets[i])
            return LW_EINVAL;
        seen |= 1u << config->sets[i];
    }
    lw_motion_encoder *e = *out = calloc(1, sizeof *e);
    if (!e)
        return LW_ENOMEM;
    e->fps_num = config->fps_num;
    e->fps_den = config->fps_den;
    e->earlier = config->earlier;
    e->id = config->id;
    e->set_count = config->set_count;
    memcpy(e->set, config->sets, (size_t)config->set_count);
    for (int i = 0; i < e->set_count; i++) {
        lw_stream_group group = described(e->set[i]);
        know(&group, e->channel + e->channels);
        e->channels += group.count;
    }
    return 0;
}

int lw_motion_encoder_channels(const lw_motion_encoder *e)
{
    return e->channels;
}

size_t lw_motion_encoder_bound(const lw_motion_encoder *e)
{
    size_t channels = (size_t)e->channels, frame = VARINT + (channels + 7) / 8 + channels * VARINT;
    return 4096 + (size_t)(e->earlier + 1) * frame; /* all names are less */
}

static int32_t *write_visemes(const lw_pose *pose, int32_t *to)
{
    int16_t said[LW_VISEMES];
    lw_motion_said(pose, said);
    for (int i = 0; i < LW_VISEMES; i++)
        *to++ = (said[i] * 255 + 16383) / 32767;
    return to;
}

static int32_t *write_azure(const lw_pose *pose, int32_t *to)
{
    int16_t said[LW_VISEMES];
    lw_motion_said(pose, said);
    *to++ = lw_face_azure(said);
    return to;
}

static int32_t *write_pose(const lw_pose *pose, int32_t *to)
{
    for (int i = 0; i < LW_AXES; i++)
        *to++ = pose->axis[i];
    for (int i = 0; i < LW_VISEMES; i++)
        *to++ = pose->viseme[i];
    *to++ = pose->loudness;
    return to;
}

void lw_motion_encoder_values(const lw_motion_encoder *e, const lw_pose *pose, int32_t *values)
{
    lw_face face;
    int faced = 0;
    for (int k = 0; k < e->set_count; k++) {
        int set = e->set[k];
        if ((set == LW_STREAM_ARKIT || set == LW_STREAM_HEAD) && !faced++)
            lw_face_of(pose, &face);
        if (set == LW_STREAM_VISEMES)
            values = write_visemes(pose, values);
        else if (set == LW_STREAM_POSE)
            values = write_pose(pose, values);
        else if (set == LW_STREAM_AZURE)
            values = write_azure(pose, values);
        for (int i = 0; set == LW_STREAM_ARKIT && i < LW_FACE_SHAPES; i++)
            *values++ = (face.shape[i] * 255 + 16383) / 32767;
        for (int i = 0; set == LW_STREAM_HEAD && i < LW_FACE_ANGLES; i++)
            *values++ = face.angle[i];
    }
}

int64_t lw_motion_encoder_header(const lw_motion_encoder *e, uint8_t *out, size_t room)
{
    sink s = begin(out, room);
    put_byte(&s, LW_STREAM_VERSION);
    put_byte(&s, (uint8_t)e->id);
    put_varint(&s, LW_RATE);
    put_varint(&s, (uint64_t)e->fps_num);
    put_varint(&s, (uint64_t)e->fps_den);
    put_varint(&s, (uint64_t)e->set_count);
    for (int i = 0; i < e->set_count; i++) {
        lw_stream_group group = described(e->set[i]);
        put_text(&s, group.set, group.set_size);
        put_byte(&s, (uint8_t)group.kind);
        put_varint(&s, (uint64_t)group.count);
        put_text(&s, group.names, group.names_size);
    }
    return s.full ? LW_ENOSPC : finish(out, &s, LW_STREAM_HEADER);
}

static const int32_t zeros[LW_STREAM_CHANNELS];

/* A frame as a step from `base`: a bitmap, and what differs. */
static void put_step(sink *s, const lw_motion_encoder *e, const int32_t *base, const int32_t *values)
{
    size_t bitmap = ((size_t)e->channels + 7) / 8;
    uint8_t *bits = s->at;
    if (bitmap > (size_t)(s->end - s->at)) {
        s->full = 1;
        return;
    }
    memset(bits, 0, bitmap);
    s->at += bitmap;
    int64_t before = 0;
    for (int i = 0; i < e->channels; i++) {
        int64_t step = (int64_t)values[i] - base[i], more = step - (e->channel[i].other_side ? before : 0);
        before = step;
        if (e->channel[i].kind == LW_STREAM_BYTE)
            more = (uint8_t)more;
        if (!more)
            continue;
        bits[i / 8] |= (uint8_t)(1 << i % 8);
        if (e->channel[i].kind == LW_STREAM_BYTE)
            put_byte(s, (uint8_t)more);
        else
            put_signed(s, more);
    }
}

void lw_motion_encoder_forget(lw_motion_encoder *e)
{
    e->kept = 0;
}

/* Whether it can be sent; forgets what cannot be repeated beside it. */
static int accept(lw_motion_encoder *e, const lw_stream_frame *frame)
{
    if (!e || !frame || !frame->values || frame->sample < 0 || frame->generation < 0)
        return LW_EINVAL;
    if (frame->generation != e->generation || (e->kept && frame->sample <= e->sample[e->newest]))
        e->kept = 0;
    e->generation = frame->generation;
    return 0;
}

static void remember(lw_motion_encoder *e, const lw_stream_frame *frame)
{
    e->newest = (e->newest + 1) % FRAMES;
    e->sample[e->newest] = frame->sample;
    memcpy(e->values[e->newest], frame->values, (size_t)e->channels * sizeof *frame->values);
    e->kept += e->kept < e->earlier;
}

int lw_motion_encoder_keep(lw_motion_encoder *e, const lw_stream_frame *frame)
{
    int rc = accept(e, frame);
    if (rc >= 0)
        remember(e, frame);
    return rc;
}

int64_t lw_motion_encoder_frame(lw_motion_encoder *e, const lw_stream_frame *frame, uint8_t *out, size_t room)
{
    int rc = accept(e, frame);
    if (rc < 0)
        return rc;
    sink s = begin(out, room);
    put_byte(&s, (uint8_t)e->id);
    put_varint(&s, (uint64_t)frame->sample);
    put_varint(&s, (uint64_t)frame->generation);
    put_byte(&s, (uint8_t)(e->kept | (frame->speaking ? 16 : 0)));
    put_step(&s, e, zeros, frame->values);
    const int32_t *behind = frame->values;
    int64_t sample = frame->sample;
    for (int i = 0; i < e->kept; i++) {
        int at = (e->newest + FRAMES - i) % FRAMES;
        put_varint(&s, (uint64_t)(sample - e->sample[at]));
        put_step(&s, e, behind, e->values[at]);
        behind = e->values[at];
        sample = e->sample[at];
    }
    if (s.full)
        return LW_ENOSPC;
    remember(e, frame);
    return finish(out, &s, LW_STREAM_FRAMES);
}

int64_t lw_stream_put_event(const lw_stream_note *event, uint8_t *out, size_t room)
{
    if (!event || event->number < 0 || event->sample < 0 || event->generation < 0 || event->kind < 0 || event->kind > 255 ||
        (event->size && !event->value))
        return LW_EINVAL;
    sink s = begin(out, room);
    put_varint(&s, (uint64_t)event->number);
    put_varint(&s, (uint64_t)event->sample);
    put_varint(&s, (uint64_t)event->generation);
    put_byte(&s, (uint8_t)event->kind);
    put_text(&s, event->value, event->size);
    return s.full ? LW_ENOSPC : finish(out, &s, LW_STREAM_EVENT);
}

int64_t lw_stream_put_sound(int64_t sample, int codec, const uint8_t *payload, size_t size, uint8_t *out, size_t room)
{
    if (sample < 0 || codec < 0 || codec > 255 || (size && !payload))
        return LW_EINVAL;
    sink s = begin(out, room);
    put_varint(&s, (uint64_t)sample);
    put_byte(&s, (uint8_t)codec);
    put_bytes(&s, payload, size);
    return s.full ? LW_ENOSPC : finish(out, &s, LW_STREAM_SOUND);
}

void lw_motion_encoder_close(lw_motion_encoder **e)
{
    if (e) {
        free(*e);
        *e = NULL;
    }
}

/* ---- bytes in ---- */

typedef struct source {
    const uint8_t *at, *end;
    int broken;
} source;

static uint8_t get_byte(source *s)
{
    if (s->at < s->end)
        return *s->at++;
    s->broken = 1;
    return 0;
}

static uint64_t get_varint(source *s)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_byte(s);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    s->broken = 1;
    return 0;
}

/* What is to be 0..most. */
static int64_t get_number(source *s, int64_t most)
{
    uint64_t value = get_varint(s);
    if (value <= (uint64_t)most)
        return (int64_t)value;
    s->broken = 1;
    return 0;
}

static int64_t get_signed(source *s)
{
    uint64_t value = get_varint(s);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static const uint8_t *get_bytes(source *s, uint64_t n)
{
    const uint8_t *from = s->at;
    if (n > (uint64_t)(s->end - s->at)) {
        s->broken = 1;
        return from;
    }
    s->at += n;
    return from;
}

/* ---- decoder ---- */

typedef struct text {
    uint32_t at, size; /* in the names of a header */
} text;

typedef struct header {
    lw_stream_header is;
    lw_stream_group group[LW_STREAM_GROUPS];
    channel channel[LW_STREAM_CHANNELS];
    int32_t known; /* channels of the newest set, whose names lie in order in `name` */
    text name[LW_STREAM_CHANNELS];
    size_t names_size;
    char names[LW_STREAM_NAMES];
} header;

struct lw_motion_decoder {
    header headers[2]; /* the one that holds, and the one that is being read */
    int holds;
    int any;           /* one has been read */
    int records;       /* of the message that is read, so far */
    int frames;
    int64_t sample[FRAMES]; /* newest first, as below */
    int32_t values[FRAMES][LW_STREAM_CHANNELS];
};

int lw_motion_decoder_open(lw_motion_decoder **out)
{
    if (!out)
        return LW_EINVAL;
    *out = lw_pages_open(sizeof **out);
    return *out ? 0 : LW_ENOMEM;
}

/* A text of the message, kept beside the header. NULL: there is too much of it, or it is no printable ASCII. */
static const char *keep_text(header *h, source *s, size_t *size)
{
    uint64_t n = get_varint(s);
    const uint8_t *from = get_bytes(s, n);
    if (s->broken || n > LW_STREAM_NAMES - h->names_size)
        return NULL;
    for (uint64_t i = 0; i < n; i++)
        if (from[i] < ' ' || from[i] > '~')
            return NULL;
    char *to = h->names + h->names_size;
    memcpy(to, from, (size_t)n);
    h->names_size += (size_t)n;
    *size = (size_t)n;
    return to;
}

static int compare(const header *h, text a, text b)
{
    int order = memcmp(h->names + a.at, h->names + b.at, a.size < b.size ? a.size : b.size);
    return order ? order : (int)a.size - (int)b.size;
}

/* The newest set has a channel of that name. Returns 0, or LW_EDATA: it has one already. */
static int add_name(header *h, text name)
{
    int32_t from = 0, to = h->known;
    while (from < to) {
        int32_t middle = (from + to) / 2;
        int order = compare(h, name, h->name[middle]);
        if (!order)
            return LW_EDATA;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    memmove(h->name + from + 1, h->name + from, (size_t)(h->known++ - from) * sizeof *h->name);
    h->name[from] = name;
    return 0;
}

static int same_set(const lw_stream_group *a, const lw_stream_group *b)
{
    return a->set_size == b->set_size && !memcmp(a->set, b->set, a->set_size);
}

/* Returns 0, or LW_EDATA: the newest group is of a set that has been before another one, or has a name of its set again. */
static int is_apart(header *h)
{
    const lw_stream_group *g = &h->group[h->is.groups];
    if (!h->is.groups || !same_set(g, g - 1)) {
        for (int32_t i = 0; i < h->is.groups; i++)
            if (same_set(g, &h->group[i]))
                return LW_EDATA;
        h->known = 0;
    }
    text name = {.at = (uint32_t)(g->names - h->names)};
    for (const char *end = g->names + g->names_size; h->names + name.at < end; name.at += name.size + 1) {
        const char *from = h->names + name.at, *space = memchr(from, ' ', (size_t)(end - from));
        name.size = (uint32_t)((space ? space : end) - from);
        if (add_name(h, name) < 0)
            return LW_EDATA;
    }
    return 0;
}

static int read_group(header *h, source *s)
{
    lw_stream_group *g = &h->group[h->is.groups];
    g->set = keep_text(h, s, &g->set_size);
    if (!g->set || !g->set_size || memchr(g->set, ' ', g->set_size))
        return LW_EDATA;
    g->kind = get_byte(s);
    g->count = (int32_t)get_number(s, LW_STREAM_CHANNELS - h->is.channels);
    g->names = keep_text(h, s, &g->names_size);
    if (s->broken || !g->names || !g->count || g->kind >= LW_STREAM_KINDS ||
        know(g, h->channel + h->is.channels) < 0 || is_apart(h) < 0)
        return LW_EDATA;
    h->is.channels += g->count;
    h->is.groups++;
    return 0;
}

static int read_header(lw_motion_decoder *d, source *s, lw_stream_record *record)
{
    header *h = &d->headers[!d->holds];
    h->is = (lw_stream_header){0};
    h->names_size = 0;
    if (get_byte(s) != LW_STREAM_VERSION)
        return LW_EDATA;
    h->is.id = get_byte(s);
    h->is.clock_rate = get_number(s, INT32_MAX);
    h->is.fps_num = get_number(s, INT32_MAX);
    h->is.fps_den = get_number(s, INT32_MAX);
    int64_t groups = get_number(s, LW_STREAM_GROUPS);
    if (s->broken || !h->is.clock_rate || !h->is.fps_num || !h->is.fps_den || !groups)
        return LW_EDATA;
    while (groups--)
        if (read_group(h, s) < 0)
            return LW_EDATA;
    if (s->at != s->end)
        return LW_EDATA;
    d->holds = !d->holds;
    d->any = 1;
    d->frames = 0; /* those that were are of other channels */
    record->id = h->is.id;
    return 1;
}

static int read_step(const header *h, source *s, const int32_t *base, int32_t *values)
{
    const uint8_t *bits = get_bytes(s, ((uint64_t)h->is.channels + 7) / 8);
    int64_t before = 0;
    for (int i = 0; !s->broken && i < h->is.channels; i++) {
        int is_byte = h->channel[i].kind == LW_STREAM_BYTE;
        int64_t step = h->channel[i].other_side ? before : 0, value;
        if (bits[i / 8] >> i % 8 & 1) {
            int64_t more = is_byte ? get_byte(s) : get_signed(s);
            if (more < -(INT64_C(1) << 40) || more > INT64_C(1) << 40) /* no sum runs over */
                return LW_EDATA;
            step += more;
        }
        value = base[i] + step;
        if (is_byte)
            value &= 255;
        if (value < INT32_MIN || value > INT32_MAX)
            return LW_EDATA;
        before = value - base[i];
        values[i] = (int32_t)value;
    }
    return s->broken ? LW_EDATA : 0;
}

/* 1, 0 where nothing is known of its channels, or LW_EDATA. */
static int read_frames(lw_motion_decoder *d, source *s, lw_stream_record *record)
{
    const header *h = &d->headers[d->holds];
    record->id = get_byte(s);
    if (s->broken)
        return LW_EDATA;
    if (!d->any || record->id != h->is.id)
        return 0;
    d->frames = 0;
    record->sample = get_number(s, INT64_MAX);
    record->generation = get_number(s, INT64_MAX);
    uint8_t flags = get_byte(s);
    int count = (flags & 15) + 1;
    int64_t sample = record->sample;
    for (int i = 0; i < count; i++) {
        if (i) {
            int64_t before = get_number(s, sample);
            if (!before)
                return LW_EDATA;
            sample -= before;
        }
        if (s->broken || read_step(h, s, i ? d->values[i - 1] : zeros, d->values[i]) < 0)
            return LW_EDATA;
        d->sample[i] = sample;
    }
    if (s->at != s->end)
        return LW_EDATA;
    record->speaking = flags >> 4 & 1;
    record->frames = d->frames = count;
    return 1;
}

static int read_event(source *s, lw_stream_record *record)
{
    record->number = get_number(s, INT64_MAX);
    record->sample = get_number(s, INT64_MAX);
    record->generation = get_number(s, INT64_MAX);
    record->kind = get_byte(s);
    record->size = (size_t)get_number(s, INT32_MAX);
    record->bytes = get_bytes(s, record->size);
    return s->broken || s->at != s->end ? LW_EDATA : 1;
}

static int read_sound(source *s, lw_stream_record *record)
{
    record->sample = get_number(s, INT64_MAX);
    record->kind = get_byte(s);
    record->bytes = s->at;
    record->size = (size_t)(s->end - s->at);
    return s->broken ? LW_EDATA : 1;
}

int lw_motion_decoder_next(lw_motion_decoder *d, const uint8_t *message, size_t n, size_t *at, lw_stream_record *record)
{
    if (!d || !at || !record || (n && !message) || *at > n)
        return LW_EINVAL;
    if (*at == 0)
        d->records = 0;
    while (*at < n) {
        if (++d->records > LW_STREAM_RECORDS) {
            *at = n;
            return LW_EDATA;
        }
        source all = {.at = message + *at, .end = message + n};
        *record = (lw_stream_record){.type = get_byte(&all)};
        const uint64_t size = get_varint(&all);
        source body = {.at = get_bytes(&all, size)};
        if (all.broken) {
            *at = n; /* where the next record begins nobody knows */
            return LW_EDATA;
        }
        body.end = all.at;
        *at = (size_t)(all.at - message);
        int rc = 0;
        if (record->type == LW_STREAM_HEADER)
            rc = read_header(d, &body, record);
        else if (record->type == LW_STREAM_FRAMES)
            rc = read_frames(d, &body, record);
        else if (record->type == LW_STREAM_EVENT)
            rc = read_event(&body, record);
        else if (record->type == LW_STREAM_SOUND)
            rc = read_sound(&body, record);
        if (rc)
            return rc;
    }
    return 0;
}

const int32_t *lw_motion_decoder_values(const lw_motion_decoder *d, int frame, int64_t *sample)
{
    if (!d || frame < 0 || frame >= d->frames)
        return NULL;
    int at = d->frames - 1 - frame;
    if (sample)
        *sample = d->sample[at];
    return d->values[at];
}

int lw_motion_decoder_header(const lw_motion_decoder *d, lw_stream_header *header)
{
    if (!d || !header)
        return LW_EINVAL;
    if (!d->any)
        return LW_ESTATE;
    *header = d->headers[d->holds].is;
    return 0;
}

int lw_motion_decoder_group(const lw_motion_decoder *d, int group, lw_stream_group *out)
{
    if (!d || !out || !d->any || group < 0 || group >= d->headers[d->holds].is.groups)
        return LW_EINVAL;
    *out = d->headers[d->holds].group[group];
    return 0;
}

void lw_motion_decoder_close(lw_motion_decoder **d)
{
    if (d && *d) {
        lw_pages_close(*d, sizeof **d);
        *d = NULL;
    }
}
