/* The scanner of voice messages and the base64 decoder against a reference that is written for being obvious: a whole
 * JSON reader (RFC 8259) that keeps the members of the outer object, and base64 bit by bit. Both ways: what the
 * scanner takes the reference agrees with, and what the reference calls usual the scanner takes.
 *
 * An input is a recipe: bytes 0x80..0xbf stand for the pieces of a message, 0xfe lets the next byte through as it is,
 * 0xff begins the next message of the same connection, everything else is itself. So whole messages are found without
 * a corpus. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lipwire/lipwire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(ok)                                                    \
    do {                                                            \
        if (!(ok)) {                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok); \
            abort();                                                \
        }                                                           \
    } while (0)

/* ---- the reference ---- */

enum kind { NOTHING, STRING, INTEGER, FLOAT, OTHER_NULL, OTHER };

typedef struct member {
    size_t key, key_chars, value, value_chars; /* of strings: what is between the quotes */
    enum kind kind;
    int plain; /* neither escapes nor bytes above 127, in key and value */
} member;

typedef struct reader {
    const uint8_t *s;
    size_t n, at;
    int failed;
    member members[8];
    int count;
} reader;

static int peek(reader *r)
{
    return r->at < r->n ? r->s[r->at] : -1;
}

static int take(reader *r, int c)
{
    if (peek(r) != c)
        return 0;
    r->at++;
    return 1;
}

static void blank(reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\n' || peek(r) == '\r' || peek(r) == '\t')
        r->at++;
}

static void string(reader *r, size_t *begin, size_t *chars, int *plain)
{
    if (!take(r, '"')) {
        r->failed = 1;
        return;
    }
    *begin = r->at;
    for (;;) {
        int c = peek(r);
        if (c < 0x20) { /* the end is one of them */
            r->failed = 1;
            return;
        }
        if (c == '"')
            break;
        if (c == '\\' || c > 127)
            *plain = 0; /* whatever it is: the scanner has to leave it */
        r->at += c == '\\' ? 2 : 1;
    }
    *chars = r->at - *begin;
    r->at++;
}

static int digits(reader *r)
{
    size_t before = r->at;
    while (peek(r) >= '0' && peek(r) <= '9')
        r->at++;
    return r->at > before;
}

static enum kind number(reader *r)
{
    enum kind kind = INTEGER;
    take(r, '-');
    if (!take(r, '0') && !digits(r))
        r->failed = 1;
    if (take(r, '.')) {
        kind = FLOAT;
        r->failed |= !digits(r);
    }
    if (take(r, 'e') || take(r, 'E')) {
        kind = FLOAT;
        if (!take(r, '+'))
            take(r, '-');
        r->failed |= !digits(r);
    }
    return kind;
}

static int word(reader *r, const char *w)
{
    size_t n = strlen(w);
    if (r->n - r->at < n || memcmp(r->s + r->at, w, n))
        return 0;
    r->at += n;
    return 1;
}

static void value(reader *r, member *m, int depth);

/* Members or elements up to `close`. */
static void container(reader *r, int close, int depth)
{
    blank(r);
    if (take(r, close))
        return;
    do {
        member m = {.plain = 1};
        blank(r);
        if (close == '}') {
            string(r, &m.key, &m.key_chars, &m.plain);
            blank(r);
            if (r->failed || !take(r, ':')) {
                r->failed = 1;
                return;
            }
        }
        value(r, &m, depth + 1);
        if (depth == 0) {
            if (r->count < 8)
                r->members[r->count] = m;
            r->count++;
        }
        blank(r);
    } while (!r->failed && take(r, ','));
    if (!take(r, close))
        r->failed = 1;
}

static void value(reader *r, member *m, int depth)
{
    blank(r);
    int c = peek(r);
    m->value = r->at;
    m->kind = OTHER;
    if (depth > 50) {
        r->failed = 1;
    } else if (c == '"') {
        m->kind = STRING;
        string(r, &m->value, &m->value_chars, &m->plain);
    } else if (c == '{' || c == '[') {
        r->at++;
        container(r, c == '{' ? '}' : ']', depth);
    } else if (word(r, "null")) {
        m->kind = OTHER_NULL;
    } else if (!word(r, "true") && !word(r, "false")) {
        m->kind = number(r);
        m->value_chars = r->at - m->value;
    }
}

static int equals(const uint8_t *s, size_t chars, const char *text)
{
    return chars == strlen(text) && !memcmp(s, text, chars);
}

/* Base64, a bit at a time. Returns the bytes, or -1. */
static long bits(const uint8_t *s, size_t n, uint8_t *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t chars = n;
    while (chars && n - chars < 2 && s[chars - 1] == '=')
        chars--;
    if (n % 4 || (n && chars % 4 == 1))
        return -1;
    size_t total = chars * 6 / 8;
    memset(out, 0, total);
    for (size_t i = 0; i < chars; i++) {
        const char *place = s[i] ? strchr(alphabet, s[i]) : NULL;
        if (!place)
            return -1;
        for (size_t bit = 0; bit < 6; bit++) {
            size_t to = i * 6 + bit;
            if (to / 8 < total && ((place - alphabet) >> (5 - bit) & 1))
                out[to / 8] |= (uint8_t)(0x80 >> to % 8);
        }
    }
    return (long)total;
}

/* The five members of a usual message, or 0. */
static int reference(const uint8_t *text, size_t n, lw_voice *v, uint8_t *payload)
{
    reader r = {.s = text, .n = n};
    blank(&r);
    if (!take(&r, '{'))
        return 0;
    container(&r, '}', 0);
    blank(&r);
    if (r.failed || r.at != n || r.count > 5)
        return 0;
    static const char *const names[] = {"command", "audio", "sampleRate", "encoding", "event_id"};
    const member *found[5] = {0};
    *v = (lw_voice){0};
    for (int i = 0; i < r.count; i++) {
        const member *m = &r.members[i];
        int name = 0;
        while (name < 5 && !equals(text + m->key, m->key_chars, names[name]))
            name++;
        if (!m->plain || name == 5 || found[name])
            return 0;
        found[name] = m;
    }
    if (!found[0] || !found[1] || !found[2] || !found[3])
        return 0;
    if (found[0]->kind != STRING || !equals(text + found[0]->value, found[0]->value_chars, "voice") ||
        found[1]->kind != STRING || found[2]->kind != INTEGER || found[3]->kind != STRING)
        return 0;
    if (found[4] && found[4]->kind == STRING) {
        v->has_id = 1;
        v->id = found[4]->value;
        v->id_chars = found[4]->value_chars;
    } else if (found[4] && found[4]->kind != OTHER_NULL) {
        return 0;
    }
    if (found[2]->value_chars > 5 || text[found[2]->value] == '-')
        return 0;
    for (size_t i = 0; i < found[2]->value_chars; i++)
        v->rate = v->rate * 10 + text[found[2]->value + i] - '0';
    if (v->rate < 8000 || v->rate > 48000)
        return 0;
    const uint8_t *encoding = text + found[3]->value;
    size_t chars = found[3]->value_chars;
    v->encoding = equals(encoding, chars, "PCM16") ? LW_PCM16 : equals(encoding, chars, "PCM8") ? LW_PCM8 : LW_OPUS;
    if (v->encoding == LW_OPUS && !equals(encoding, chars, "OPUS"))
        return 0;
    v->audio = found[1]->value;
    v->audio_chars = found[1]->value_chars;
    long bytes = bits(text + v->audio, v->audio_chars, payload);
    if (bytes <= 0 || (v->encoding == LW_PCM16 && bytes % 2))
        return 0;
    v->audio_bytes = (size_t)bytes;
    return 1;
}

/* ---- the comparison ---- */

static void *exact(const void *bytes, size_t n) /* so that the sanitizer sees a byte read too far */
{
    void *copy = malloc(n ? n : 1);
    MUST(copy);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

static void answer(int found, const lw_voice *v, const uint8_t *text, int usual, const lw_voice *want,
                   const uint8_t *want_bytes)
{
    uint8_t *out = found ? malloc(v->audio_bytes) : NULL;
    int taken = found && lw_base64_decode(out, text + v->audio, v->audio_chars) >= 0;
    MUST(taken == usual);
    if (taken) {
        MUST(v->audio == want->audio && v->audio_chars == want->audio_chars && v->audio_bytes == want->audio_bytes);
        MUST(v->rate == want->rate && v->encoding == want->encoding && v->has_id == want->has_id);
        MUST(!v->has_id || (v->id == want->id && v->id_chars == want->id_chars));
        MUST(!memcmp(out, want_bytes, v->audio_bytes));
    }
    free(out);
}

static void message(lw_voice_around *around, const uint8_t *bytes, size_t n)
{
    static const uint32_t levels[] = {0, LW_CPU_AVX2 | LW_CPU_NEON, ~0u};
    uint8_t *text = exact(bytes, n), *payload = malloc(n + 1);
    lw_voice want, v;
    MUST(payload);
    int usual = reference(text, n, &want, payload);
    for (size_t level = 0; level < 3; level++) {
        lw_cpu_use(levels[level]);
        int found = lw_voice_scan(text, n, &v);
        answer(found, &v, text, usual, &want, payload);
    }
    int found = lw_voice_next(around, text, n, &v);
    answer(found, &v, text, usual, &want, payload);
    free(payload);

    /* The same bytes as base64. */
    uint8_t *by_bits = malloc(n + 1);
    long want_bytes = bits(text, n, by_bits);
    int64_t size = lw_base64_bytes(text, n);
    MUST(want_bytes < 0 || size == want_bytes);
    uint8_t *out = malloc(size > 0 ? (size_t)size : 1);
    int64_t got = lw_base64_decode(out, text, n);
    MUST(want_bytes < 0 ? got == LW_EDATA : got == want_bytes && !memcmp(out, by_bits, (size_t)got));
    free(out);
    free(by_bits);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const pieces[64] = {
        "{", "}", ",", ":", "\"", "null", "true", "24000", "8000", "48000", "7999", "48001", "0", "-1", "1.5", "2e4",
        "{\"command\":\"voice\",\"audio\":\"", "\",\"sampleRate\":24000,\"encoding\":\"PCM16\",\"event_id\":\"e\"}",
        "\"command\":\"voice\"", "\"audio\":\"", "\"sampleRate\":", "\"encoding\":\"PCM16\"", "\"encoding\":\"PCM8\"",
        "\"encoding\":\"OPUS\"", "\"event_id\":\"e\"", "\"event_id\":null", "\"event_id\":\"", "\"command\":",
        "command",
        "audio", "sampleRate", "encoding", "event_id", "\"voice\"", "\"voice_end\"", "\"audio\":\"AAEC\"",
        "\"audio\":\"AAE=\"", "\"audio\":\"AAECAw==\"", "\"sampleRate\":24000", "AAAA", "AAE=", "AA==", "=", "+/+/",
        "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy", "\\", "\\\"", "\\u0041", " ", "\n", "\t", "\r", "[", "]", "\"x\":1",
        "{\"audio\":\"", "\",\"command\":\"voice\",\"encoding\":\"OPUS\",\"sampleRate\":8000}", ",\"event_id\":\"",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef",
        "\x7f", "\x1f", "\xc3\xa9", "e", "\",",
    };
    lw_voice_around around = {0};
    size_t n = 0, room = size * 100 + 1; /* the longest piece */
    uint8_t *text = malloc(room);
    MUST(text);
    for (size_t i = 0; i < size; i++) {
        uint8_t b = data[i];
        if (b == 0xff) {
            message(&around, text, n);
            n = 0;
        } else if (b == 0xfe && i + 1 < size) {
            text[n++] = data[++i];
        } else if (b >= 0x80 && b < 0xc0) {
            size_t k = strlen(pieces[b - 0x80]);
            MUST(n + k <= room);
            memcpy(text + n, pieces[b - 0x80], k);
            n += k;
        } else {
            text[n++] = b;
        }
    }
    message(&around, text, n);
    free(text);
    return 0;
}
