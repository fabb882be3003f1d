/* From a WebSocket message to PCM, before the resampler.
 *
 * Goal: the message is read once, and most of it by one kernel.
 *
 *   frame              its mask comes off eight bytes at a time, and whether it is ASCII is known with it
 *   around the audio   compared with the last message's; scanned only where it differs
 *   base64             four characters to three bytes, as many at once as a vector holds, checked in the same pass
 *   the rate's label   a handful of numbers a connection
 *
 * The scanner knows what it is sure of and nothing else: a message it does not take costs a JSON parser's time, one it
 * took wrongly would be a bug that only some clients see. */
#include <math.h>
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "lipwire/ingest.h"

/* ---- base64 ---- */

#define BAD 0x80

/* The alphabet's values; 26 letters in two cases, 10 digits, + and /. */
#define B BAD
const uint8_t lw_base64_values[256] __attribute__((aligned(64))) = {
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  62, B,  B,  B,  63, 52, 53, 54, 55,
    56, 57, 58, 59, 60, 61, B,  B,  B,  B,  B,  B,  B,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
    13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, B,  B,  B,  B,  B,  B,  26, 27, 28, 29, 30, 31, 32,
    33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
    B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,  B,
};
#undef B

size_t lw_base64_c(uint8_t *out, const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t a = lw_base64_values[in[i]], b = lw_base64_values[in[i + 1]];
        uint32_t c = lw_base64_values[in[i + 2]], d = lw_base64_values[in[i + 3]];
        if ((a | b | c | d) & BAD)
            return i + (a & BAD ? 0 : b & BAD ? 1 : c & BAD ? 2 : 3);
        uint32_t bits = a << 18 | b << 12 | c << 6 | d;
        *out++ = (uint8_t)(bits >> 16);
        *out++ = (uint8_t)(bits >> 8);
        *out++ = (uint8_t)bits;
    }
    return n;
}

/* How many of the last characters are padding; n > 0. */
static size_t padding(const uint8_t *in, size_t n)
{
    return in[n - 1] != '=' ? 0 : in[n - 2] != '=' ? 1 : 2;
}

int64_t lw_base64_bytes(const void *text, size_t n)
{
    if (n & 3 || (n && !text))
        return LW_EDATA;
    return n ? (int64_t)(n / 4 * 3 - padding(text, n)) : 0;
}

int64_t lw_base64_decode(void *to, const void *text, size_t n)
{
    const uint8_t *in = text;
    uint8_t *out = to;
    int64_t bytes = lw_base64_bytes(text, n);
    if (bytes <= 0)
        return bytes;
    size_t pad = padding(in, n), whole = pad ? n - 4 : n;
    if (lw_kernels.base64(out, in, whole) != whole)
        return LW_EDATA;
    if (pad) {
        uint32_t a = lw_base64_values[in[whole]], b = lw_base64_values[in[whole + 1]];
        uint32_t c = pad == 1 ? lw_base64_values[in[whole + 2]] : 0;
        if ((a | b | c) & BAD)
            return LW_EDATA;
        out += whole / 4 * 3;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (pad == 1)
            out[1] = (uint8_t)(b << 4 | c >> 2);
    }
    return bytes;
}

/* ---- WebSocket frames ---- */

int lw_ws_head_at(const void *in, size_t n, lw_ws_head *head)
{
    const uint8_t *p = in;
    if (n < 2)
        return 0;
    size_t bytes = 2, length = p[1] & 127;
    size_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
    *head = (lw_ws_head){.first = p[0], .masked = p[1] >> 7, .payload = more ? 0 : length};
    bytes += more + (head->masked ? 4 : 0);
    if (n < bytes)
        return 0;
    for (size_t i = 0; i < more; i++)
        head->payload = head->payload << 8 | p[2 + i];
    head->bytes = bytes;
    return 1;
}

int lw_ws_unmask(void *out, const void *in, size_t n, const uint8_t mask[4])
{
    const uint8_t *from = in;
    uint8_t *to = out, seen = 0;
    uint64_t all = 0, key;
    uint8_t twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&key, twice, sizeof key);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t eight;
        memcpy(&eight, from + i, sizeof eight);
        eight ^= key;
        all |= eight;
        memcpy(to + i, &eight, sizeof eight);
    }
    for (; i < n; i++)
        seen |= to[i] = from[i] ^ mask[i & 3];
    return !(all & 0x8080808080808080u) && seen < 128;
}

void lw_pcm8_decode(void *to, const void *from, size_t n)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = 0;
        out[2 * i + 1] = in[i] ^ 0x80;
    }
}

/* ---- the scanner ---- */

typedef struct span {
    const uint8_t *at, *end;
} span;

/* Everything below returns NULL for "unusual". p == end is a place like any other until a byte is needed. */

static inline const uint8_t *space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

static inline const uint8_t *expect(const uint8_t *p, const uint8_t *end, uint8_t byte)
{
    return p && p < end && *p == byte ? p + 1 : NULL;
}

/* A string of printable ASCII without escapes; DEL is no control character to JSON. */
static const uint8_t *string(const uint8_t *p, const uint8_t *end, span *out)
{
    if (!(p = expect(p, end, '"')))
        return NULL;
    out->at = p;
    while (p < end && *p != '"') {
        if (*p < 0x20 || *p >= 0x80 || *p == '\\')
            return NULL;
        p++;
    }
    out->end = p;
    return expect(p, end, '"');
}

static int is(span s, const char *word, size_t chars)
{
    return (size_t)(s.end - s.at) == chars && !memcmp(s.at, word, chars);
}
#define IS(s, literal) is(s, literal, sizeof literal - 1)

static const uint8_t *rate(const uint8_t *p, const uint8_t *end, int32_t *out)
{
    int32_t value = 0;
    const uint8_t *first = p;
    while (p < end && *p >= '0' && *p <= '9' && p - first < 5)
        value = value * 10 + (*p++ - '0');
    *out = value;
    return *first != '0' && value >= 8000 && value <= 48000 ? p : NULL; /* a sixth digit is no , or } */
}

static const uint8_t *encoding(const uint8_t *p, const uint8_t *end, int32_t *out)
{
    span s;
    if (!(p = string(p, end, &s)))
        return NULL;
    *out = IS(s, "PCM16") ? LW_PCM16 : IS(s, "PCM8") ? LW_PCM8 : LW_OPUS;
    return *out == LW_OPUS && !IS(s, "OPUS") ? NULL : p;
}

/* The decoder looks at what is inside: a quote that ends it too early was behind a backslash, which it refuses. */
static const uint8_t *audio(const uint8_t *p, const uint8_t *end, span *out)
{
    if (!(p = expect(p, end, '"')))
        return NULL;
    out->at = p;
    out->end = memchr(p, '"', (size_t)(end - p));
    return out->end ? out->end + 1 : NULL;
}

enum { COMMAND = 1, AUDIO = 2, RATE = 4, ENCODING = 8, NEEDED = 15, ID = 16 };

int lw_voice_scan(const void *text, size_t n, lw_voice *v)
{
    if (!text || !v)
        return 0;
    const uint8_t *const begin = text, *const end = begin + n;
    const uint8_t *p = expect(space(begin, end), end, '{');
    span base64 = {begin, begin}, id = {begin, begin}, s;
    int seen = 0;
    *v = (lw_voice){0};
    for (;;) {
        if (!p || !(p = string(space(p, end), end, &s)))
            return 0;
        int key = IS(s, "audio")        ? AUDIO
                  : IS(s, "command")    ? COMMAND
                  : IS(s, "sampleRate") ? RATE
                  : IS(s, "encoding")   ? ENCODING
                  : IS(s, "event_id")   ? ID
                                        : 0;
        if (!key || seen & key || !(p = expect(space(p, end), end, ':')) || (p = space(p, end)) == end)
            return 0;
        seen |= key;
        if (key == AUDIO) {
            p = audio(p, end, &base64);
        } else if (key == RATE) {
            p = rate(p, end, &v->rate);
        } else if (key == ENCODING) {
            p = encoding(p, end, &v->encoding);
        } else if (key == COMMAND) {
            p = string(p, end, &s);
            if (p && !IS(s, "voice"))
                return 0;
        } else if (*p == 'n') {
            p = end - p >= 4 && !memcmp(p, "null", 4) ? p + 4 : NULL;
        } else {
            p = string(p, end, &id);
            v->has_id = 1;
        }
        if (!p || (p = space(p, end)) == end)
            return 0;
        if (*p == '}')
            break;
        p = expect(p, end, ',');
    }
    if (space(p + 1, end) != end || (seen & NEEDED) != NEEDED)
        return 0;
    v->audio = (size_t)(base64.at - begin);
    v->audio_chars = (size_t)(base64.end - base64.at);
    v->id = (size_t)(id.at - begin);
    v->id_chars = (size_t)(id.end - id.at);
    int64_t bytes = lw_base64_bytes(base64.at, v->audio_chars);
    if (bytes <= 0 || (v->encoding == LW_PCM16 && bytes & 1))
        return 0;
    v->audio_bytes = (size_t)bytes;
    return 1;
}

/* The same, told by the bytes around the audio. Base64 holds no quote, so that a scan would have stopped where they
 * begin again. */
static int same_around(const lw_voice_around *a, const uint8_t *text, size_t n, lw_voice *v)
{
    if (!a->before || n < a->before + a->after || memcmp(text, a->text, a->before) ||
        memcmp(text + n - a->after, a->text + a->before, a->after))
        return 0;
    size_t chars = n - a->before - a->after;
    int64_t bytes = lw_base64_bytes(text + a->before, chars);
    if (bytes <= 0 || (a->last.encoding == LW_PCM16 && bytes & 1))
        return 0;
    *v = a->last;
    v->audio_chars = chars;
    v->audio_bytes = (size_t)bytes;
    if (v->id > v->audio)
        v->id += chars - a->last.audio_chars;
    return 1;
}

int lw_voice_next(lw_voice_around *a, const void *text, size_t n, lw_voice *v)
{
    if (!a || !text || !v)
        return 0;
    if (same_around(a, text, n, v))
        return 2;
    if (!lw_voice_scan(text, n, v))
        return 0;
    const uint8_t *bytes = text;
    size_t behind = v->audio + v->audio_chars;
    a->before = 0;
    if (v->audio + (n - behind) <= sizeof a->text) {
        a->last = *v;
        a->before = v->audio;
        a->after = n - behind;
        memcpy(a->text, bytes, a->before);
        memcpy(a->text + a->before, bytes + behind, a->after);
    }
    return 1;
}

/* ---- the rate meter ---- */

#define WINDOW 4.0
#define CHUNKS 8
#define JITTER 0.35
#define METRONOME 0.15
#define SNAP 0.02

void lw_rate_meter_reset(lw_rate_meter *m)
{
    *m = (lw_rate_meter){0};
}

void lw_rate_meter_pause(lw_rate_meter *m)
{
    m->samples = 0;
    m->start = 0.0;
    m->total = m->count = 0;
    m->mean = m->m2 = 0.0;
}

static int judge(lw_rate_meter *m, double now)
{
    static const int32_t rates[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
    const int64_t samples = m->samples;
    const double found = (double)m->total / (now - m->start);
    const double variation = sqrt(m->m2 / (double)m->count) / m->mean;
    lw_rate_meter_pause(m);
    m->samples = samples; /* the next stretch follows on */
    m->start = now;
    const int32_t before[2] = {m->suspect[0], m->suspect[1]};
    memset(m->suspect, 0, sizeof m->suspect);
    if (fabs(found / m->declared - 1.0) < 2 * SNAP) {
        memset(m->reported, 0, sizeof m->reported);
        return 0;
    }
    int32_t rate = rates[0];
    for (size_t i = 1; i < sizeof rates / sizeof *rates; i++)
        if (fabs(rates[i] - found) < fabs(rate - found))
            rate = rates[i];
    if (variation > (rate < m->declared ? JITTER : METRONOME) || fabs(found / rate - 1.0) > SNAP ||
        rate % m->declared == 0)
        return 0;
    m->suspect[0] = m->declared;
    m->suspect[1] = rate;
    if (memcmp(before, m->suspect, sizeof before) || !memcmp(m->reported, m->suspect, sizeof before))
        return 0;
    memcpy(m->reported, m->suspect, sizeof m->reported);
    return rate;
}

int lw_rate_meter_add(lw_rate_meter *m, int32_t declared, int64_t samples, double now)
{
    if (declared <= 0 || samples <= 0)
        return LW_EINVAL;
    const int64_t last = declared == m->declared ? m->samples : 0;
    const double wait = now - m->last;
    m->declared = declared;
    m->last = now;
    if (last == 0 || wait < 0 || wait > 0.25 + (double)(8 * last) / declared) {
        lw_rate_meter_pause(m);
        m->samples = samples;
        m->start = now;
        return 0;
    }
    m->samples = samples;
    m->total += last;
    m->count++;
    const double per_sample = wait / (double)last, delta = per_sample - m->mean;
    m->mean += delta / (double)m->count;
    m->m2 += delta * (per_sample - m->mean);
    return m->count < CHUNKS || now - m->start < WINDOW ? 0 : judge(m, now);
}
