/* A session's sound and pictures in shared memory: one writer, any number of readers that can only read.
 *
 * Two monotonic counters a ring say all there is to know: `written`, how many items there have been, and `oldest`, the
 * number of the first one that is still whole. Item n is good while oldest <= n < written. The writer raises `oldest`
 * before it touches an item's memory again, so whoever finds oldest <= n after using item n saw no byte of another.
 * There is nothing a reader could write, so nothing a reader does, or leaves undone, reaches the writer.
 *
 *   writer: oldest = n + 1; release fence; the bytes; written = m (release); wake + 1; futex
 *   reader: written (acquire); the bytes; acquire fence; oldest
 *
 * docs/sharing.md has the layout byte for byte. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "lipwire/share.h"

/* Newer than some C libraries. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define PAGE 4096 /* of the layout, whatever the machine's page is */
#define PREFIX "lipwire-"
#define SHM_FOLDER "/dev/shm"
#define NAME_BYTES 64

typedef struct counters {
    _Atomic int64_t written, oldest;
    uint8_t unused[48]; /* a cache line each */
} counters;

typedef struct header {
    /* written once, before the magic */
    char magic[8];
    uint32_t version, header_bytes;
    uint64_t bytes;
    char session[64];
    int32_t width, height, fps_num, fps_den, matrix, rate, block, pid;
    int32_t pcm_blocks, frame_slots, frames_kept, reserved;
    uint64_t pcm_offset, entry_offset, frame_offset, frame_stride;
    uint8_t unused[88];
    /* from here on it moves */
    counters pcm, frames;
    _Atomic int64_t generation, heartbeat_ns, clock;
    _Atomic uint32_t ended, wake;
} header;

typedef struct block {
    int64_t sample, generation, published_ns;
    uint8_t unused[40];
    int16_t pcm[LW_BLOCK];
} block;

#define UNCHANGED 1u
#define MOUTH_OPEN 2u

typedef struct entry {
    int64_t sample, sequence, generation;
    uint64_t utterance;
    int64_t due_ns, published_ns;
    int32_t slot;
    uint32_t flags;
    int64_t number;
} entry;

_Static_assert(offsetof(header, session) == 24 && offsetof(header, width) == 88 &&
                   offsetof(header, pcm_blocks) == 120 && offsetof(header, pcm_offset) == 136 &&
                   offsetof(header, pcm) == 256 && offsetof(header, frames) == 320 && offsetof(header, generation) == 384 &&
                   offsetof(header, ended) == 408 && sizeof(header) == 416,
               "the header is as docs/sharing.md says");
_Static_assert(sizeof(block) == 1024 && offsetof(block, pcm) == 64 && sizeof(entry) == 64 &&
                   offsetof(entry, slot) == 48 && offsetof(entry, number) == 56, "and so is what it describes");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "a lock would be of one process");

static const char MAGIC[8] = "LWSHARE";

struct lw_share {
    header *h;
    size_t bytes;
    int fd;    /* read-only: the one to hand over */
    int owned; /* holds the lock that says a named ring is alive; or -1 */
    pid_t pid; /* a forked child holds a copy of this object, but not the ring */
    char name[NAME_BYTES];
};

typedef struct cursor {
    int64_t next, lost, stale;
} cursor;

struct lw_share_reader {
    const header *h;
    header fixed; /* what the header said at attach: never read again from memory that someone else writes */
    cursor pcm, frames;
};

#define READ(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define SEE(x) atomic_load_explicit(&(x), memory_order_acquire)
#define SET(x, value) atomic_store_explicit(&(x), (value), memory_order_relaxed)

/* ---- the layout ---- */

static uint64_t pages(uint64_t bytes)
{
    return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* 0, or what is wrong with these. */
static const char *check_sizes(const header *h)
{
    if (memchr(h->session, 0, sizeof h->session) == NULL)
        return "the session's id has no end";
    if (h->width || h->height || h->frame_slots) {
        if (lw_size_check(h->width, h->height))
            return "the frame size is out of range";
        if (h->frame_slots < 2 || h->frame_slots > 256 || h->frames_kept < 1 || h->frames_kept >= h->frame_slots)
            return "the frame slots are out of range";
    } else if (h->frames_kept) {
        return "the frame slots are out of range";
    }
    if (lw_bad_fps(h->fps_num, h->fps_den))
        return "the frame rate is out of range";
    if (h->matrix != LW_BT709 && h->matrix != LW_BT601)
        return "the colour matrix is unknown";
    if (h->pcm_blocks < 2 || h->pcm_blocks > 65536)
        return "the PCM blocks are out of range";
    return NULL;
}

static void place(header *h)
{
    h->pcm_offset = PAGE;
    h->entry_offset = h->pcm_offset + (uint64_t)h->pcm_blocks * sizeof(block);
    h->frame_offset = pages(h->entry_offset + (uint64_t)h->frame_slots * sizeof(entry));
    h->frame_stride = pages((uint64_t)h->width * (uint64_t)h->height * 3 / 2);
    h->bytes = h->frame_offset + (uint64_t)h->frame_slots * h->frame_stride;
}

static block *block_at(const header *base, const header *fixed, int64_t n)
{
    return (block *)(uintptr_t)((const uint8_t *)base + fixed->pcm_offset) + n % fixed->pcm_blocks;
}

static entry *entry_at(const header *base, const header *fixed, int64_t n)
{
    return (entry *)(uintptr_t)((const uint8_t *)base + fixed->entry_offset) + n % fixed->frame_slots;
}

/* ---- names in /dev/shm ---- */

/* Whoever can lock it finds its owner gone, whatever way it went. Process ids come again, and containers count them
 * each for itself; a lock knows nothing of them. (A child that the owner forked keeps it until it execs or ends.) */
static int lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

int lw_share_sweep(void)
{
    DIR *folder = opendir(SHM_FOLDER);
    if (!folder)
        return 0;
    int swept = 0;
    struct dirent *e;
    while ((e = readdir(folder))) {
        if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1))
            continue;
        int fd = openat(dirfd(folder), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (lock(fd))
            swept += unlinkat(dirfd(folder), e->d_name, 0) == 0;
        close(fd);
    }
    closedir(folder);
    return swept;
}

/* A new file under the first free name of ours, locked. */
static int create_named(char name[NAME_BYTES])
{
    for (int n = 0; n < INT_MAX; n++) {
        snprintf(name, NAME_BYTES, "/" PREFIX "%d-%d", (int)getpid(), n);
        int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return -1;
        struct stat s;
        /* A sweep may have come between the two: then the name is gone, or about to be. */
        if (lock(fd) && fstat(fd, &s) == 0 && s.st_nlink == 1)
            return fd;
        close(fd);
    }
    return -1;
}

static int create_memfd(void)
{
    int fd = memfd_create("lipwire", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("lipwire", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int open_read_only(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* ---- writer ---- */

int lw_share_open(lw_share **out, const lw_share_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!config || (config->session && strlen(config->session) >= sizeof ((header *)0)->session))
        return LW_EINVAL;
    header fixed = {.version = LW_SHARE_VERSION,
                    .header_bytes = PAGE,
                    .width = config->width,
                    .height = config->height,
                    .fps_num = config->fps_num,
                    .fps_den = config->fps_den,
                    .matrix = config->matrix,
                    .rate = LW_RATE,
                    .block = LW_BLOCK,
                    .pid = getpid(),
                    .pcm_blocks = config->pcm_blocks ? config->pcm_blocks : 1024,
                    .frame_slots = config->frame_slots,
                    .frames_kept = config->frames_kept};
    if (config->session)
        strcpy(fixed.session, config->session);
    if (check_sizes(&fixed))
        return LW_EINVAL;
    place(&fixed);

    lw_share *s = calloc(1, sizeof *s);
    if (!s)
        return LW_ENOMEM;
    s->fd = -1;
    s->bytes = fixed.bytes;
    s->pid = getpid();
    if (config->named)
        lw_share_sweep();
    s->owned = config->named ? create_named(s->name) : create_memfd();
    if (s->owned < 0)
        s->name[0] = 0;
    void *map = MAP_FAILED;
    if (s->owned >= 0 && ftruncate(s->owned, (off_t)fixed.bytes) == 0)
        map = mmap(NULL, fixed.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->owned, 0);
    if (map != MAP_FAILED) {
        s->h = map;
        s->fd = open_read_only(s->owned);
    }
    /* What readers get cannot be cut short under them; nor, from Linux 5.1 on, written, whichever way they open it. */
    if (s->fd < 0 || (!config->named && fcntl(s->owned, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)) {
        lw_share_close(&s);
        return LW_ENOMEM;
    }
    if (!config->named) {
        fcntl(s->owned, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
        fcntl(s->owned, F_ADD_SEALS, F_SEAL_SEAL);
        close(s->owned);
        s->owned = -1;
    }
    memcpy(s->h, &fixed, offsetof(header, pcm));
    atomic_thread_fence(memory_order_release);
    memcpy(s->h->magic, MAGIC, sizeof MAGIC);
    *out = s;
    return 0;
}

int lw_share_fd(const lw_share *s)
{
    return s->fd;
}

const char *lw_share_name(const lw_share *s)
{
    return s->name[0] ? s->name : NULL;
}

uint8_t *lw_share_slot(lw_share *s, int slot)
{
    if (slot < 0 || slot >= s->h->frame_slots)
        return NULL;
    return (uint8_t *)s->h + s->h->frame_offset + (uint64_t)slot * s->h->frame_stride;
}

size_t lw_share_stride(const lw_share *s)
{
    return s->h->frame_stride;
}

int lw_share_free_slot(const lw_share *s)
{
    int64_t written = READ(s->h->frames.written);
    uint8_t used[256] = {0};
    for (int64_t n = READ(s->h->frames.oldest); n < written; n++)
        used[entry_at(s->h, s->h, n)->slot] = 1;
    for (int i = 0; i < s->h->frame_slots; i++)
        if (!used[i])
            return i;
    return LW_EINVAL; /* only where there are none */
}

static void wake(header *h)
{
    atomic_fetch_add_explicit(&h->wake, 1, memory_order_release);
    syscall(SYS_futex, &h->wake, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Takes back the oldest item where `keep` are there. Whatever is written to its memory next comes after. */
static int make_room(counters *c, int64_t keep)
{
    int64_t oldest = READ(c->oldest);
    if (READ(c->written) - oldest < keep)
        return 0;
    SET(c->oldest, oldest + 1);
    atomic_thread_fence(memory_order_release);
    return 1;
}

static void publish(header *h, counters *c, int64_t now_ns)
{
    SET(h->heartbeat_ns, now_ns);
    atomic_store_explicit(&c->written, READ(c->written) + 1, memory_order_release);
    wake(h);
}

int lw_share_write_pcm(lw_share *s, const void *pcm, int64_t sample, int64_t now_ns)
{
    if (!s || !pcm)
        return LW_EINVAL;
    if (READ(s->h->ended))
        return LW_ESTATE;
    make_room(&s->h->pcm, s->h->pcm_blocks);
    block *b = block_at(s->h, s->h, READ(s->h->pcm.written));
    b->sample = sample;
    b->generation = READ(s->h->generation);
    b->published_ns = now_ns;
    memcpy(b->pcm, pcm, sizeof b->pcm);
    SET(s->h->clock, sample + LW_BLOCK);
    publish(s->h, &s->h->pcm, now_ns);
    return 0;
}

int lw_share_write_frame(lw_share *s, int slot, const lw_frame_info *info, int64_t now_ns)
{
    if (!s || !info)
        return LW_EINVAL;
    if (READ(s->h->ended))
        return LW_ESTATE;
    if (slot < 0 || slot >= s->h->frame_slots)
        return LW_EINVAL;
    int retired = make_room(&s->h->frames, s->h->frames_kept);
    int64_t number = READ(s->h->frames.written);
    uint32_t flags = (info->changed ? 0 : UNCHANGED) | (info->mouth_open ? MOUTH_OPEN : 0);
    *entry_at(s->h, s->h, number) = (entry){.sample = info->sample,
                                            .sequence = info->sequence,
                                            .generation = READ(s->h->generation),
                                            .utterance = info->utterance,
                                            .due_ns = info->due_ns,
                                            .published_ns = now_ns,
                                            .slot = slot,
                                            .flags = flags,
                                            .number = number};
    publish(s->h, &s->h->frames, now_ns);
    return retired;
}

int lw_share_retire(lw_share *s, int64_t sample)
{
    int64_t written = READ(s->h->frames.written), oldest = READ(s->h->frames.oldest), n = oldest;
    while (n < written && entry_at(s->h, s->h, n)->sample <= sample)
        n++;
    SET(s->h->frames.oldest, n);
    atomic_thread_fence(memory_order_release);
    return (int)(n - oldest);
}

int64_t lw_share_interrupt(lw_share *s)
{
    int64_t generation = READ(s->h->generation) + 1;
    atomic_store_explicit(&s->h->generation, generation, memory_order_release);
    wake(s->h);
    return generation;
}

void lw_share_beat(lw_share *s, int64_t now_ns)
{
    SET(s->h->heartbeat_ns, now_ns);
}

/* Of the owner only: what a forked child drops is not the ring, but its own copy of the handle. */
void lw_share_end(lw_share *s)
{
    if (!s || s->pid != getpid())
        return;
    if (s->h && !READ(s->h->ended)) {
        atomic_store_explicit(&s->h->ended, 1, memory_order_release);
        wake(s->h);
    }
    if (s->name[0])
        shm_unlink(s->name);
    s->name[0] = 0;
}

void lw_share_close(lw_share **s)
{
    if (!s || !*s)
        return;
    lw_share_end(*s);
    if ((*s)->h)
        munmap((*s)->h, (*s)->bytes);
    if ((*s)->fd >= 0)
        close((*s)->fd);
    if ((*s)->owned >= 0)
        close((*s)->owned);
    free(*s);
    *s = NULL;
}

/* ---- reader ---- */

static const char *check_header(const header *h, uint64_t bytes)
{
    if (memcmp(h->magic, MAGIC, sizeof MAGIC))
        return "it is no shared ring, or not ready yet";
    if (h->version != LW_SHARE_VERSION)
        return "its layout has another version";
    if (h->header_bytes != PAGE || h->rate != LW_RATE || h->block != LW_BLOCK)
        return "its header, sample rate or block size is not this version's";
    const char *why = check_sizes(h);
    if (why)
        return why;
    header want = *h;
    place(&want);
    if (h->pcm_offset != want.pcm_offset || h->entry_offset != want.entry_offset ||
        h->frame_offset != want.frame_offset || h->frame_stride != want.frame_stride || h->bytes != want.bytes)
        return "its parts are not where its sizes put them";
    return bytes == want.bytes ? NULL : "the file's size is not the ring's";
}

int lw_share_reader_open(lw_share_reader **out, int fd, const char **why)
{
    const char *ignored;
    why = why ? why : &ignored;
    *why = "";
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    struct stat s;
    lw_share_reader *r = calloc(1, sizeof *r);
    if (!r)
        return LW_ENOMEM;
    if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode))
        *why = "it is no file";
    else if (pread(fd, &r->fixed, sizeof r->fixed, 0) != sizeof r->fixed)
        *why = "the file is too short for a header";
    else
        *why = check_header(&r->fixed, (uint64_t)s.st_size);
    if (*why) {
        free(r);
        return LW_EDATA;
    }
    *why = "";
    void *map = mmap(NULL, r->fixed.bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        free(r);
        return LW_ENOMEM;
    }
    r->h = map;
    lw_share_reader_seek(r, -1);
    *out = r;
    return 0;
}

void lw_share_reader_geometry(const lw_share_reader *r, lw_share_config *out, int32_t *pid)
{
    *out = (lw_share_config){.session = r->fixed.session,
                             .width = r->fixed.width,
                             .height = r->fixed.height,
                             .fps_num = r->fixed.fps_num,
                             .fps_den = r->fixed.fps_den,
                             .matrix = r->fixed.matrix,
                             .frame_slots = r->fixed.frame_slots,
                             .frames_kept = r->fixed.frames_kept,
                             .pcm_blocks = r->fixed.pcm_blocks};
    *pid = r->fixed.pid;
}

/* The number of the next item that may be there, or -1. What was overwritten is counted. */
static int64_t next_item(cursor *at, const counters *c)
{
    int64_t written = SEE(c->written), oldest = SEE(c->oldest);
    if (at->next < oldest) {
        at->lost += oldest - at->next;
        at->next = oldest;
    }
    return at->next < written ? at->next : -1;
}

static int whole(const counters *c, int64_t number)
{
    atomic_thread_fence(memory_order_acquire);
    return READ(c->oldest) <= number;
}

int lw_share_reader_read_pcm(lw_share_reader *r, lw_share_pcm *out)
{
    for (int64_t n; (n = next_item(&r->pcm, &r->h->pcm)) >= 0;) {
        const block *b = block_at(r->h, &r->fixed, n);
        *out = (lw_share_pcm){.number = n,
                              .sample = b->sample,
                              .generation = b->generation,
                              .published_ns = b->published_ns,
                              .pcm = b->pcm};
        if (!whole(&r->h->pcm, n))
            continue; /* next_item counts it */
        r->pcm.next = n + 1;
        if (out->generation >= SEE(r->h->generation))
            return 1;
        r->pcm.stale++;
    }
    return 0;
}

int lw_share_reader_read_frame(lw_share_reader *r, lw_share_frame *out)
{
    for (int64_t n; r->fixed.frame_slots && (n = next_item(&r->frames, &r->h->frames)) >= 0;) {
        const entry e = *entry_at(r->h, &r->fixed, n);
        if (!whole(&r->h->frames, n))
            continue;
        r->frames.next = n + 1;
        if (e.slot < 0 || e.slot >= r->fixed.frame_slots)
            return LW_EDATA;
        *out = (lw_share_frame){
            .number = n,
            .sample = e.sample,
            .sequence = e.sequence,
            .generation = e.generation,
            .utterance = e.utterance,
            .due_ns = e.due_ns,
            .published_ns = e.published_ns,
            .slot = e.slot,
            .changed = !(e.flags & UNCHANGED),
            .mouth_open = (e.flags & MOUTH_OPEN) != 0,
            .i420 = (const uint8_t *)r->h + r->fixed.frame_offset + (uint64_t)e.slot * r->fixed.frame_stride};
        if (e.generation >= SEE(r->h->generation))
            return 1;
        r->frames.stale++;
    }
    return 0;
}

int lw_share_reader_pcm_valid(const lw_share_reader *r, int64_t number)
{
    return whole(&r->h->pcm, number);
}

int lw_share_reader_frame_valid(const lw_share_reader *r, int64_t number)
{
    return whole(&r->h->frames, number);
}

/* The oldest one, and where they end; counters that make no sense must not lead out of the ring. */
static int64_t first_item(const counters *c, int64_t size, int64_t *end)
{
    *end = lw_max64(0, SEE(c->written));
    return lw_max64(SEE(c->oldest), lw_max64(0, *end - size));
}

/* The first block with a sample at or behind `sample`. */
static int64_t find_pcm(const lw_share_reader *r, int64_t sample, int64_t *first)
{
    int64_t end, n = first_item(&r->h->pcm, r->fixed.pcm_blocks, &end);
    while (n < end) {
        int64_t at = block_at(r->h, &r->fixed, n)->sample;
        if (!whole(&r->h->pcm, n)) {
            n = lw_max64(n + 1, SEE(r->h->pcm.oldest));
            continue;
        }
        if (at + LW_BLOCK > sample) {
            *first = at;
            return n;
        }
        n++;
    }
    return end;
}

static int64_t find_frame(const lw_share_reader *r, int64_t sample)
{
    int64_t end, n = first_item(&r->h->frames, r->fixed.frame_slots, &end);
    while (n < end) {
        int64_t at = entry_at(r->h, &r->fixed, n)->sample;
        if (!whole(&r->h->frames, n))
            n = lw_max64(n + 1, SEE(r->h->frames.oldest));
        else if (at >= sample)
            break;
        else
            n++;
    }
    return lw_min64(n, end);
}

int64_t lw_share_reader_seek(lw_share_reader *r, int64_t sample)
{
    if (sample < 0) {
        r->pcm.next = lw_max64(0, SEE(r->h->pcm.written));
        r->frames.next = lw_max64(0, SEE(r->h->frames.written));
        return 0;
    }
    int64_t first = sample;
    r->pcm.next = find_pcm(r, sample, &first);
    r->frames.next = r->fixed.frame_slots ? find_frame(r, sample) : 0;
    return lw_max64(0, first - sample);
}

static int64_t waiting(const cursor *at, const counters *c)
{
    return lw_max64(0, SEE(c->written) - at->next);
}

int lw_share_reader_wait(lw_share_reader *r, int64_t now_ns, int64_t until_ns)
{
    for (;;) {
        uint32_t seen = SEE(r->h->wake);
        if (waiting(&r->pcm, &r->h->pcm) || waiting(&r->frames, &r->h->frames) || SEE(r->h->ended))
            return 1;
        int64_t silent = READ(r->h->heartbeat_ns) + LW_SHARE_SILENT_NS;
        int64_t until = lw_max64(0, silent > now_ns ? lw_min64(until_ns, silent) : until_ns);
        struct timespec t = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        /* WAIT_BITSET takes a point of CLOCK_MONOTONIC. A reader that lives in another process: not PRIVATE. */
        if (syscall(SYS_futex, &r->h->wake, FUTEX_WAIT_BITSET, seen, &t, NULL, FUTEX_BITSET_MATCH_ANY) < 0 &&
            errno != EAGAIN)
            return 0;
    }
}

void lw_share_reader_stats(const lw_share_reader *r, lw_share_reader_counters *counters)
{
    *counters = (lw_share_reader_counters){.generation = SEE(r->h->generation),
                              .clock = READ(r->h->clock),
                              .heartbeat_ns = READ(r->h->heartbeat_ns),
                              .ended = (int64_t)SEE(r->h->ended),
                              .pcm_lag = waiting(&r->pcm, &r->h->pcm),
                              .pcm_lost = r->pcm.lost,
                              .pcm_stale = r->pcm.stale,
                              .frames_lag = waiting(&r->frames, &r->h->frames),
                              .frames_lost = r->frames.lost,
                              .frames_stale = r->frames.stale};
}

void lw_share_reader_close(lw_share_reader **r)
{
    if (!r || !*r)
        return;
    munmap((void *)(uintptr_t)(*r)->h, (*r)->fixed.bytes);
    free(*r);
    *r = NULL;
}
