/* The record of calls: one JSON line per call in FOLDER/calls.PID, FOLDER from AGORA_DOUBLE. Failures to inject come
 * from AGORA_DOUBLE_FAIL ("name=value:count,...") and from control messages. */
#include "double.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 8192, FAILURES = 64 };

static _Thread_local struct {
    const char *name;
    const char *callback;
    char args[LINE], notes[LINE / 2];
    int at, noted;
} rec;

static struct {
    char name[96];
    intptr_t value;
    int count;
} failures[FAILURES];
static pthread_mutex_t failures_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int log_fd = -1;

const char *double_folder(void) { return getenv("AGORA_DOUBLE"); }

long long double_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

uint32_t double_adler32(const void *data, size_t size) {
    const uint8_t *p = data;
    uint32_t a = 1, b = 0;
    while (size > 0) {
        size_t n = size < 5552 ? size : 5552; /* b cannot overflow before that many */
        size -= n;
        while (n-- > 0) {
            a += *p++;
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

static void start(void) {
    const char *folder = double_folder();
    if (folder != NULL) {
        char path[512];
        snprintf(path, sizeof path, "%s/calls.%d", folder, (int)getpid());
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    const char *fail = getenv("AGORA_DOUBLE_FAIL");
    char copy[1024], *rest = copy, *one;
    snprintf(copy, sizeof copy, "%s", fail ? fail : "");
    while ((one = strsep(&rest, ",")) != NULL) {
        char name[96];
        long long value;
        int count = -1;
        if (sscanf(one, "%95[^=]=%lld:%d", name, &value, &count) >= 2) double_inject(name, (intptr_t)value, count);
    }
}

void double_inject(const char *name, intptr_t value, int count) {
    pthread_mutex_lock(&failures_lock);
    int empty = -1;
    for (int i = 0; i < FAILURES; i++) {
        if (strcmp(failures[i].name, name) == 0) {
            empty = i;
            break;
        }
        if (empty < 0 && failures[i].count == 0) empty = i;
    }
    if (empty >= 0) {
        snprintf(failures[empty].name, sizeof failures[empty].name, "%s", name);
        failures[empty].value = value;
        failures[empty].count = count;
    }
    pthread_mutex_unlock(&failures_lock);
}

int double_injected(intptr_t *value) {
    int hit = 0;
    pthread_mutex_lock(&failures_lock);
    for (int i = 0; i < FAILURES && !hit; i++) {
        if (failures[i].count == 0 || strcmp(failures[i].name, rec.name) != 0) continue;
        if (failures[i].count > 0) failures[i].count--;
        *value = failures[i].value;
        hit = 1;
    }
    pthread_mutex_unlock(&failures_lock);
    return hit;
}

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...) {
    if (rec.at >= LINE - 2) return;
    va_list v;
    va_start(v, format);
    rec.at += vsnprintf(rec.args + rec.at, (size_t)(LINE - rec.at), format, v);
    va_end(v);
    if (rec.at > LINE - 2) rec.at = LINE - 2;
}

void double_begin(const char *name) {
    pthread_once(&once, start);
    rec.name = name;
    rec.at = rec.noted = 0;
    rec.args[0] = rec.notes[0] = 0;
}

void double_int(long long value) { add("%s%lld", rec.at ? "," : "", value); }
void double_real(double value) { add("%s%.17g", rec.at ? "," : "", value); }
void double_ptr(const void *p) { add("%s\"%#zx\"", rec.at ? "," : "", (size_t)(uintptr_t)p); }

void double_str(const char *text) {
    if (text == NULL) {
        add("%snull", rec.at ? "," : "");
        return;
    }
    add("%s\"", rec.at ? "," : "");
    for (int n = 0; *text && n < 1100; text++, n++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') add("\\%c", c);
        else if (c < 32 || c > 126) add("\\u%04x", c);
        else add("%c", c);
    }
    add("\"");
}

void double_note(const char *format, ...) {
    va_list v;
    va_start(v, format);
    rec.noted += vsnprintf(rec.notes + rec.noted, sizeof rec.notes - (size_t)rec.noted, format, v);
    va_end(v);
    if (rec.noted > (int)sizeof rec.notes - 1) rec.noted = (int)sizeof rec.notes - 1;
}

void double_end(intptr_t result) {
    if (log_fd < 0) return;
    char line[LINE + LINE];
    int n = snprintf(line, sizeof line, "{\"t\":%lld,\"thread\":%ld,\"call\":\"%s\",\"args\":[%s],\"ret\":%lld%s%s",
                     double_now_ns(), syscall(SYS_gettid), rec.name, rec.args, (long long)result,
                     rec.noted ? "," : "", rec.notes);
    if (rec.callback) n += snprintf(line + n, sizeof line - (size_t)n, ",\"within\":\"%s\"", rec.callback);
    n += snprintf(line + n, sizeof line - (size_t)n, "}\n");
    if (write(log_fd, line, (size_t)n) != n) log_fd = -1;
}

void double_enter_callback(const char *name) { rec.callback = name; }
void double_leave_callback(void) { rec.callback = NULL; }
