#include "channel.h"

#include "double.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint64_t fnv(uint64_t h, const char *text) {
    for (; *text; text++) h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
    return (h ^ 0xff) * 0x100000001b3ull;
}

static socklen_t address(struct sockaddr_un *a, const char *name) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    size_t n = strlen(name);
    memcpy(a->sun_path + 1, name, n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
}

static int post(const seat *s, const char *to, const void *data, size_t size) {
    struct sockaddr_un a;
    socklen_t n = address(&a, to);
    for (int tries = 0;; tries++) { /* the kernel queues as few as 10 datagrams; a reader that is late gets 5 ms */
        if (sendto(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&a, n) >= 0) return 0;
        if (errno != EAGAIN || size == 0 || tries == 25) return errno;
        usleep(200);
    }
}

int seat_take(seat *s, const char *app, const char *channel, const char *uid) {
    static int number;
    memset(s, 0, sizeof *s);
    s->fd = s->video_fd = -1;
    const char *folder = double_folder();
    if (folder == NULL) return 0; /* a channel of one */
    s->hash = fnv(fnv(0xcbf29ce484222325ull, app), channel);
    snprintf(s->uid, sizeof s->uid, "%s", uid);
    snprintf(s->name, sizeof s->name, "agora-double-%llx-%d-%d", (unsigned long long)fnv(s->hash, folder), getpid(),
             __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED));
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un a;
    socklen_t n = address(&a, s->name);
    int room = 1 << 21;
    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, n) < 0) return -1;
    int at = snprintf(s->marker, sizeof s->marker, "%s/m.%016llx.", folder, (unsigned long long)s->hash);
    for (const char *c = uid; *c && at < (int)sizeof s->marker - 3; c++)
        at += sprintf(s->marker + at, "%02x", (uint8_t)*c);
    char fresh[560];
    snprintf(fresh, sizeof fresh, "%s/new.%s", folder, s->name);
    FILE *f = fopen(fresh, "w");
    if (f == NULL) return -1;
    fprintf(f, "%s %d %s\n", s->name, getpid(), uid);
    fclose(f);
    return rename(fresh, s->marker);
}

static int read_marker(const char *path, member *m) {
    FILE *f = fopen(path, "r");
    if (f == NULL) return -1;
    int n = fscanf(f, "%63s %d %255[^\n]", m->socket, &m->pid, m->uid);
    fclose(f);
    return n == 3 ? 0 : -1;
}

void seat_leave(seat *s) {
    if (s->fd < 0) return;
    member m;
    if (read_marker(s->marker, &m) == 0 && strcmp(m.socket, s->name) == 0) unlink(s->marker);
    close(s->fd);
    s->fd = -1;
    if (s->video != NULL) {
        char path[560];
        snprintf(path, sizeof path, "%s/v.%s", double_folder(), s->name);
        unlink(path);
        munmap(s->video, s->video_size * VIDEO_SLOTS);
        close(s->video_fd);
        s->video = NULL;
    }
}

void seat_look(seat *s, void *context, void (*joined)(void *, const char *), void (*left)(void *, const char *)) {
    if (s->fd < 0) return;
    static _Thread_local member now[MEMBERS];
    int count = 0;
    char prefix[32], path[768];
    int length = snprintf(prefix, sizeof prefix, "m.%016llx.", (unsigned long long)s->hash);
    DIR *d = opendir(double_folder());
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL && count < MEMBERS;) {
        if (strncmp(e->d_name, prefix, (size_t)length) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", double_folder(), e->d_name);
        member *m = &now[count];
        if (read_marker(path, m) < 0 || strcmp(m->uid, s->uid) == 0) continue;
        if (post(s, m->socket, "", 0) == ECONNREFUSED) unlink(path); /* its process died */
        else count++;
    }
    if (d != NULL) closedir(d);
    member before[MEMBERS];
    int old = s->count;
    memcpy(before, s->members, sizeof before);
    memcpy(s->members, now, sizeof now);
    s->count = count;
    for (int i = 0; i < old; i++) {
        int there = 0;
        for (int j = 0; j < count; j++) there |= strcmp(before[i].socket, now[j].socket) == 0;
        if (!there) left(context, before[i].uid);
    }
    for (int j = 0; j < count; j++) {
        int there = 0;
        for (int i = 0; i < old; i++) there |= strcmp(before[i].socket, now[j].socket) == 0;
        if (!there) joined(context, now[j].uid);
    }
}

void seat_send(const seat *s, packet *p) {
    snprintf(p->uid, sizeof p->uid, "%s", s->uid);
    for (int i = 0; i < s->count; i++) post(s, s->members[i].socket, p, offsetof(packet, data) + (size_t)p->size);
}

void seat_send_picture(seat *s, packet *p, const uint8_t *i420, size_t size) {
    if (s->fd < 0 || s->count == 0) return;
    if (s->video != NULL && s->video_size != size) {
        munmap(s->video, s->video_size * VIDEO_SLOTS);
        s->video = NULL;
    }
    if (s->video == NULL) {
        char path[560];
        snprintf(path, sizeof path, "%s/v.%s", double_folder(), s->name);
        if (s->video_fd < 0) s->video_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (s->video_fd < 0 || ftruncate(s->video_fd, (off_t)(size * VIDEO_SLOTS)) < 0) return;
        void *at = mmap(NULL, size * VIDEO_SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, s->video_fd, 0);
        if (at == MAP_FAILED) return;
        s->video = at;
        s->video_size = size;
    }
    p->c = s->video_slot++ % VIDEO_SLOTS;
    memcpy(s->video + size * (size_t)p->c, i420, size);
    p->size = (int)strlen(s->name);
    memcpy(p->data, s->name, (size_t)p->size);
    seat_send(s, p);
}

int seat_receive(const seat *s, packet *p) {
    ssize_t n;
    do n = recv(s->fd, p, sizeof *p, 0);
    while (n == 0); /* someone looked whether we live */
    if (n < (ssize_t)offsetof(packet, data)) return -1;
    p->data[n - (ssize_t)offsetof(packet, data) < DATAGRAM ? n - (ssize_t)offsetof(packet, data) : DATAGRAM - 1] = 0;
    return 0;
}

int seat_picture(const seat *s, const packet *p, uint8_t *i420, size_t size) {
    (void)s;
    char path[560];
    snprintf(path, sizeof path, "%s/v.%.*s", double_folder(), p->size, p->data);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = pread(fd, i420, size, (off_t)(size * (size_t)p->c));
    close(fd);
    return n == (ssize_t)size ? 0 : -1;
}
