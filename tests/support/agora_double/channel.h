/* The "channel": how connections on this machine, in one process or several, find and hear each other.
 *
 * A member is a datagram socket in the abstract namespace, which the kernel removes with its process, and a file
 * FOLDER/m.CHANNEL.UID that names it. Pictures pass through a file, FOLDER/v.SOCKET; the rest in datagrams. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { UID = 256, MEMBERS = 64, DATAGRAM = 16384, VIDEO_SLOTS = 4 };

/* A datagram. `kind`: A sound, V picture, M stream message, D metadata of sound, C control (from a test). */
typedef struct {
    char kind, uid[UID];
    int a, b, c, size, codec; /* A: rate, channels, samples. V: width, height, slot, codec. M: stream id */
    int64_t pts;
    uint8_t data[DATAGRAM];
} packet;

typedef struct {
    char uid[UID], socket[64];
    int pid;
} member;

typedef struct {
    int fd, count, video_fd, video_slot;
    char name[64], marker[512], uid[UID];
    uint8_t *video;
    size_t video_size;
    uint64_t hash;
    member members[MEMBERS];
} seat;

/* Takes a seat in `channel` of `app`; 0, or -1. Joins with the uid of a live member take its seat, as the service. */
int seat_take(seat *s, const char *app, const char *channel, const char *uid);
void seat_leave(seat *s);
/* Looks who is there: calls joined and left for each change since the last look. */
void seat_look(seat *s, void *context, void (*joined)(void *, const char *), void (*left)(void *, const char *));
/* To everyone else. */
void seat_send(const seat *s, packet *p);
void seat_send_picture(seat *s, packet *p, const uint8_t *i420, size_t size);
/* One datagram, or -1 when there is none. */
int seat_receive(const seat *s, packet *p);
/* The picture of a V packet, `size` bytes; 0, or -1 when it is gone. */
int seat_picture(const seat *s, const packet *p, uint8_t *i420, size_t size);
