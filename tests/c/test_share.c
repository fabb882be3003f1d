/* The shared ring: its model in one process, and what two processes do to each other. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "allocations.h"
#include "check.h"

#define W 32
#define H 16
#define BYTES (W * H * 3 / 2)

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static const lw_share_config SMALL = {.session = "s-1",
                                      .width = W,
                                      .height = H,
                                      .fps_num = 25,
                                      .fps_den = 1,
                                      .frame_slots = 5,
                                      .frames_kept = 3,
                                      .pcm_blocks = 8};

static lw_share *open_share(const lw_share_config *config)
{
    lw_share *s = NULL;
    if (lw_share_open(&s, config) < 0 || !s) {
        CHECK(0, "open");
        exit(1);
    }
    return s;
}

static lw_share_reader *attach(int fd)
{
    lw_share_reader *r = NULL;
    const char *why = NULL;
    if (lw_share_reader_open(&r, fd, &why) < 0 || !r) {
        printf("refused: %s\n", why);
        CHECK(0, "attach");
        exit(1);
    }
    return r;
}

/* Every byte of an item follows from its number. */
static void fill(void *to, size_t bytes, int64_t number)
{
    uint64_t x = (uint64_t)number * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy((uint8_t *)to + i, &x, 8);
    }
}

static int filled(const void *from, size_t bytes, int64_t number)
{
    uint8_t want[BYTES > 2 * LW_BLOCK ? BYTES : 2 * LW_BLOCK];
    fill(want, bytes, number);
    return !memcmp(from, want, bytes);
}

static int put_frame(lw_share *s, int64_t number)
{
    int slot = lw_share_free_slot(s);
    fill(lw_share_slot(s, slot), BYTES, number);
    lw_frame_info info = {.sample = number * 1920, .sequence = 2 * number, .utterance = 7, .changed = number % 3 != 0,
                          .mouth_open = number % 2, .due_ns = 100 + number};
    return lw_share_write_frame(s, slot, &info, 1000 + number);
}

static int put_pcm(lw_share *s, int64_t number)
{
    int16_t pcm[LW_BLOCK];
    fill(pcm, sizeof pcm, number);
    return lw_share_write_pcm(s, pcm, number * LW_BLOCK, 2000 + number);
}

/* Of one process: others on this machine may have rings, and sweep what is dead. */
static int named_rings(pid_t pid)
{
    DIR *folder = opendir("/dev/shm");
    int n = 0;
    char prefix[32];
    size_t length = (size_t)snprintf(prefix, sizeof prefix, "lipwire-%d-", (int)pid);
    struct dirent *e;
    while (folder && (e = readdir(folder)))
        n += !strncmp(e->d_name, prefix, length);
    if (folder)
        closedir(folder);
    return n;
}

static int descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

/* ---- one process ---- */

static void test_interface(void)
{
    lw_share *s = (lw_share *)(uintptr_t)16;
    CHECK(lw_share_open(NULL, &SMALL) == LW_EINVAL && lw_share_open(&s, NULL) == LW_EINVAL && !s, "no arguments");
    char longest[65];
    memset(longest, 'x', 64);
    longest[64] = 0;
    lw_share_config bad[] = {SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL, SMALL};
    bad[0].session = longest;
    bad[1].width = 33;
    bad[2].height = 4098;
    bad[3].fps_num = 0;
    bad[4].matrix = 2;
    bad[5].frame_slots = 257;
    bad[6].frames_kept = 5;
    bad[7].frames_kept = 0;
    bad[8].pcm_blocks = 65537;
    bad[9].width = bad[9].height = 0;
    for (int i = 0; i < 10; i++)
        CHECK(lw_share_open(&s, &bad[i]) == LW_EINVAL && !s, "a bad config");
    s = open_share(&SMALL);
    CHECK(!lw_share_slot(s, -1) && !lw_share_slot(s, 5) && lw_share_stride(s) == 4096 &&
              lw_share_slot(s, 1) == lw_share_slot(s, 0) + 4096 && (uintptr_t)lw_share_slot(s, 0) % 4096 == 0, "slots");
    lw_frame_info info = {0};
    CHECK(lw_share_write_frame(s, 5, &info, 0) == LW_EINVAL && lw_share_write_frame(s, 0, NULL, 0) == LW_EINVAL &&
              lw_share_write_pcm(s, NULL, 0, 0) == LW_EINVAL, "nothing to write");
    lw_share_reader *r = attach(lw_share_fd(s));
    lw_share_config got;
    int32_t pid;
    lw_share_reader_geometry(r, &got, &pid);
    CHECK(!strcmp(got.session, "s-1") && got.width == W && got.height == H && got.fps_num == 25 && got.fps_den == 1 &&
              got.frame_slots == 5 && got.frames_kept == 3 && got.pcm_blocks == 8 && pid == getpid(), "geometry");
    CHECK(!lw_share_name(s), "a memfd has no name");
    lw_share_end(s);
    CHECK(lw_share_write_frame(s, 0, &info, 0) == LW_ESTATE && put_pcm(s, 0) == LW_ESTATE, "after the end");
    CHECK(lw_share_reader_wait(r, 0, INT64_MAX / 2) == 1, "an end wakes for good");
    lw_share_close(&s);
    lw_share_close(&s);
    lw_share_reader_counters stats;
    lw_share_reader_stats(r, &stats);
    CHECK(stats.ended == 1 && !s, "the reader outlives the writer and knows");
    lw_share_reader_close(&r);
    lw_share_reader_close(&r);
    lw_share_close(NULL);
    lw_share_reader_close(NULL);

    lw_share_config sound = {.fps_num = 25, .fps_den = 1};
    s = open_share(&sound);
    r = attach(lw_share_fd(s));
    lw_share_frame frame;
    CHECK(lw_share_free_slot(s) == LW_EINVAL && !lw_share_reader_read_frame(r, &frame) && lw_share_reader_seek(r, 0) == 0 &&
              put_pcm(s, 0) == 0, "sound only");
    lw_share_reader_close(&r);
    lw_share_close(&s);
}

static void test_sealed(void)
{
    lw_share *s = open_share(&SMALL);
    int fd = lw_share_fd(s);
    struct stat st;
    fstat(fd, &st);
    CHECK(write(fd, "x", 1) < 0 && ftruncate(fd, 0) < 0, "the descriptor is read-only");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    CHECK(again >= 0, "whoever may open it for writing");
    CHECK(ftruncate(again, 100) < 0 && errno == EPERM && ftruncate(again, st.st_size * 2) < 0, "cannot resize it");
    if (fcntl(again, F_GET_SEALS) & 0x0010) {
        void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        CHECK(map == MAP_FAILED && write(again, "x", 1) < 0, "nor its bytes");
    } else {
        printf("this kernel has no F_SEAL_FUTURE_WRITE\n");
    }
    close(again);
    lw_share_close(&s);
}

/* The ring beside a list: random writes, reads, seeks and interrupts, two readers of which one is slow. */
typedef struct model {
    int64_t generation[20000];
    int64_t written, oldest, keep;
} model;

typedef struct model_reader {
    int64_t next, lost, stale;
} model_reader;

static int64_t model_read(const model *m, model_reader *r, int64_t generation)
{
    for (;;) {
        if (r->next < m->oldest) {
            r->lost += m->oldest - r->next;
            r->next = m->oldest;
        }
        if (r->next >= m->written)
            return -1;
        if (m->generation[r->next] >= generation)
            return r->next++;
        r->next++;
        r->stale++;
    }
}

static void model_write(model *m, int64_t generation)
{
    m->generation[m->written++] = generation;
    if (m->written - m->oldest > m->keep)
        m->oldest++;
}

static void test_model(void)
{
    static model pcm, frames;
    lw_share *s = open_share(&SMALL);
    int fd = lw_share_fd(s);
    lw_share_reader *r[2] = {attach(fd), attach(fd)};
    model_reader p[2] = {{0}}, f[2] = {{0}};
    int64_t generation = 0;
    int ok = 1, retired_ok = 1;
    pcm = (model){.keep = 8};
    frames = (model){.keep = 3};
    int before = 0;
#ifdef COUNTING
    before = allocations;
#endif
    for (int step = 0; step < 40000 && pcm.written < 20000 && frames.written < 20000; step++) {
        int what = random_in(0, 99), who = random_in(0, 9) == 0;
        if (what < 30) {
            ok &= put_pcm(s, pcm.written) == 0;
            model_write(&pcm, generation);
        } else if (what < 45) {
            retired_ok &= put_frame(s, frames.written) == (frames.written - frames.oldest == 3);
            model_write(&frames, generation);
        } else if (what < 46) {
            ok &= lw_share_interrupt(s) == ++generation;
        } else if (what < 47 && frames.written) {
            int64_t until = random_in((int)frames.oldest - 1, (int)frames.written - 1);
            ok &= lw_share_retire(s, until * 1920 + random_in(0, 1919)) == until + 1 - frames.oldest;
            frames.oldest = until + 1;
        } else if (what < 49) {
            int64_t to = random_in(-1, (int)pcm.written + 3) * (int64_t)LW_BLOCK + random_in(0, 2);
            int64_t lost = lw_share_reader_seek(r[who], to);
            if (to < 0) {
                p[who].next = pcm.written;
                f[who].next = frames.written;
            } else {
                int64_t at = lw_share_reader_seek(r[who], to), first = pcm.oldest;
                while (first < pcm.written && (first + 1) * LW_BLOCK <= to)
                    first++;
                p[who].next = first;
                int64_t late = first < pcm.written && first * LW_BLOCK > to ? first * LW_BLOCK - to : 0;
                ok &= at == lost && lost == late;
                for (first = frames.oldest; first < frames.written && first * 1920 < to;)
                    first++;
                f[who].next = first;
            }
        } else if (what < 80) {
            lw_share_pcm b;
            int64_t want = model_read(&pcm, &p[who], generation);
            int got = lw_share_reader_read_pcm(r[who], &b);
            ok &= got == (want >= 0);
            if (got)
                ok &= b.number == want && b.sample == want * LW_BLOCK && b.generation == generation &&
                      b.published_ns == 2000 + want && filled(b.pcm, 2 * LW_BLOCK, want) &&
                      lw_share_reader_pcm_valid(r[who], want);
        } else {
            lw_share_frame b;
            int64_t want = model_read(&frames, &f[who], generation);
            int got = lw_share_reader_read_frame(r[who], &b);
            ok &= got == (want >= 0);
            if (got)
                ok &= b.number == want && b.sample == want * 1920 && b.sequence == 2 * want && b.utterance == 7 &&
                      b.generation == generation && b.changed == (want % 3 != 0) && b.mouth_open == want % 2 &&
                      b.due_ns == 100 + want && b.published_ns == 1000 + want && filled(b.i420, BYTES, want) &&
                      lw_share_reader_frame_valid(r[who], want);
        }
        lw_share_reader_counters stats;
        lw_share_reader_stats(r[who], &stats);
        ok &= stats.pcm_lost == p[who].lost && stats.frames_lost == f[who].lost && stats.pcm_stale == p[who].stale &&
              stats.frames_stale == f[who].stale && stats.generation == generation &&
              stats.pcm_lag == pcm.written - p[who].next && stats.frames_lag == frames.written - f[who].next;
        ok &= !lw_share_reader_pcm_valid(r[0], pcm.oldest - 1) && !lw_share_reader_frame_valid(r[0], frames.oldest - 1);
        if (!ok) {
            printf("at step %d, %d\n", step, what);
            break;
        }
    }
#ifdef COUNTING
    CHECK(allocations == before, "nothing allocates after open");
#else
    (void)before;
#endif
    CHECK(ok, "the ring does what the list does");
    CHECK(retired_ok, "the writer is told when a slot comes back");
    CHECK(p[0].lost > 0 && p[1].lost > 0 && f[1].lost > 0 && p[0].stale > 0 && generation > 50, "all of it happened");
    lw_share_reader_close(&r[0]);
    lw_share_reader_close(&r[1]);
    lw_share_close(&s);
}

static void refused(int fd, const char *what, const char *name)
{
    lw_share_reader *r = (lw_share_reader *)(uintptr_t)16;
    const char *why = NULL;
    int rc = lw_share_reader_open(&r, fd, &why);
    if (!CHECK(rc == LW_EDATA && !r && !strcmp(why, what), name))
        printf("  %d, %s\n", rc, why);
}

static void test_refusals(void)
{
    lw_share *s = open_share(&SMALL);
    struct stat st;
    fstat(lw_share_fd(s), &st);
    static uint8_t whole[1 << 16];
    size_t bytes = (size_t)st.st_size;
    CHECK(bytes < sizeof whole && pread(lw_share_fd(s), whole, bytes, 0) == (ssize_t)bytes, "the ring's bytes");
    const struct {
        int at, value;
        const char *why;
    } cases[] = {{0, 'X', "it is no shared ring, or not ready yet"},
                 {8, 2, "its layout has another version"},
                 {12, 64, "its header, sample rate or block size is not this version's"},
                 {108, 16000, "its header, sample rate or block size is not this version's"},
                 {112, 960, "its header, sample rate or block size is not this version's"},
                 {88, 33, "the frame size is out of range"},
                 {92, -2, "the frame size is out of range"},
                 {96, 0, "the frame rate is out of range"},
                 {104, 9, "the colour matrix is unknown"},
                 {120, 1 << 20, "the PCM blocks are out of range"},
                 {124, 1000, "the frame slots are out of range"},
                 {128, 5, "the frame slots are out of range"},
                 {136, 4097, "its parts are not where its sizes put them"},
                 {160, 0, "its parts are not where its sizes put them"},
                 {120, 9, "its parts are not where its sizes put them"}};
    int fd = memfd_create("other", MFD_CLOEXEC);
    refused(fd, "the file is too short for a header", "an empty file");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(pwrite(fd, whole, bytes, 0) == (ssize_t)bytes, "a copy");
        CHECK(pwrite(fd, &cases[i].value, 4, cases[i].at) == 4, "changed");
        refused(fd, cases[i].why, cases[i].why);
    }
    CHECK(pwrite(fd, whole, bytes, 0) == (ssize_t)bytes, "a copy");
    CHECK(ftruncate(fd, (off_t)bytes - 4096) == 0, "a page less");
    refused(fd, "the file's size is not the ring's", "cut short");
    CHECK(pwrite(fd, whole, bytes, 0) == (ssize_t)bytes, "a copy");
    memset(whole + 24, 'x', 64);
    CHECK(pwrite(fd, whole, bytes, 0) == (ssize_t)bytes, "an id of 64 bytes");
    refused(fd, "the session's id has no end", "an id without an end");
    close(fd);
    refused(fd, "it is no file", "a closed descriptor");
    int pipes[2];
    CHECK(pipe(pipes) == 0, "pipe");
    refused(pipes[0], "it is no file", "a pipe");
    close(pipes[0]);
    close(pipes[1]);
    lw_share_close(&s);
}

/* A performer draws where readers look. */
static void test_performer(void)
{
    lw_share_config config = SMALL;
    config.frame_slots = 8;
    lw_share *s = open_share(&config);
    lw_share_reader *r = attach(lw_share_fd(s));
    lw_performer *p = NULL;
    lw_performer_config want = {.width = W, .height = H, .fps_num = 100, .fps_den = 1, .speech = {.capacity = 48000},
                                .frame_slots = 8, .frames = lw_share_slot(s, 0), .frame_stride = BYTES - 1};
    CHECK(lw_performer_open(&p, &want) == LW_EINVAL, "a stride below the picture's size");
    want.frame_stride = lw_share_stride(s);
    want.frame_slots = 0;
    CHECK(lw_performer_open(&p, &want) == LW_EINVAL, "how many slots is not for the performer to say");
    want.frame_slots = 8;
    CHECK(lw_performer_open(&p, &want) == 0, "a performer in the ring's memory");
    int shown[3], ok = 1;
    for (int i = 0; i < 200; i++) {
        lw_frame_info info;
        lw_performer_tick(p, i, 1);
        int slot = -1;
        ok &= lw_performer_acquire_frame(p, &slot, &info) == 1 && lw_performer_frame(p, slot) == lw_share_slot(s, slot);
        for (int k = 0; k < 3 && k < i; k++)
            ok &= shown[k] != slot;
        fill(lw_performer_frame(p, slot), BYTES, i);
        int retired = lw_share_write_frame(s, slot, &info, i);
        ok &= retired == (i >= 3);
        if (retired)
            lw_performer_release_frame(p, shown[i % 3]);
        shown[i % 3] = slot;
        lw_share_frame frame;
        ok &= lw_share_reader_read_frame(r, &frame) == 1 && frame.slot == slot && frame.sample == info.sample &&
              frame.sequence == i && filled(frame.i420, BYTES, i) && lw_share_reader_frame_valid(r, i);
    }
    CHECK(ok, "what it drew is what the reader sees, in the same slot");
    lw_performer_close(&p);
    lw_share_reader_close(&r);
    lw_share_close(&s);
}

/* ---- two processes ---- */

/* Reads until the end: 0, or 1 where an item that passed as whole was not. */
static int follow(lw_share_reader *r, int64_t *read, int64_t *lost, int dawdle)
{
    int64_t last_pcm = -1, last_frame = -1;
    int torn = 0;
    for (;;) {
        lw_share_pcm b;
        lw_share_frame f;
        lw_share_reader_counters stats;
        lw_share_reader_stats(r, &stats);
        int got = 0;
        if (lw_share_reader_read_pcm(r, &b)) {
            int same = filled(b.pcm, 2 * LW_BLOCK, b.number);
            torn |= lw_share_reader_pcm_valid(r, b.number) && !same;
            torn |= b.number <= last_pcm || b.sample != b.number * LW_BLOCK;
            last_pcm = b.number;
            got = 1;
        }
        if (lw_share_reader_read_frame(r, &f)) {
            if (dawdle && f.number % dawdle == 0)
                usleep(50);
            int same = filled(f.i420, BYTES, f.number);
            torn |= lw_share_reader_frame_valid(r, f.number) && !same;
            torn |= f.number <= last_frame || f.sequence != 2 * f.number;
            last_frame = f.number;
            ++*read;
            got = 1;
        }
        if (!got && stats.ended)
            break;
        if (!got)
            lw_share_reader_wait(r, now_ns(), now_ns() + 1000000000);
    }
    lw_share_reader_counters stats;
    lw_share_reader_stats(r, &stats);
    *lost = stats.frames_lost;
    return torn;
}

static void test_torn(int64_t frames)
{
    lw_share *s = open_share(&SMALL);
    lw_share_reader *r = attach(lw_share_fd(s)); /* before the children run: they count from the first frame on */
    int pipes[2][2];
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        CHECK(pipe(pipes[i]) == 0, "pipe");
        child[i] = fork();
        if (!child[i]) {
            int64_t told[2] = {0};
            int torn = follow(r, &told[0], &told[1], i ? 16 : 0);
            ssize_t n = write(pipes[i][1], told, sizeof told);
            _exit(torn || n != sizeof told);
        }
    }
    for (int64_t n = 0; n < frames; n++) {
        put_pcm(s, n);
        put_frame(s, n);
        if (n % 64 == 0) /* else the readers would hardly ever find anything whole */
            usleep(20);
    }
    lw_share_end(s);
    for (int i = 0; i < 2; i++) {
        int status;
        int64_t told[2];
        waitpid(child[i], &status, 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "nothing that passed as whole was torn");
        CHECK(read(pipes[i][0], told, sizeof told) == sizeof told && told[0] + told[1] == frames && told[0] > 0,
              "what was read and what was lost is all there was");
        printf("  reader %d: %lld read, %lld lost\n", i, (long long)told[0], (long long)told[1]);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    lw_share_reader_close(&r);
    lw_share_close(&s);
}

static void test_reader_killed(void)
{
    lw_share *s = open_share(&SMALL);
    int64_t n = 0;
    int ok = 1;
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (!child) {
            int64_t told[2] = {0};
            follow(attach(lw_share_fd(s)), &told[0], &told[1], 3);
            _exit(0);
        }
        for (int64_t until = now_ns() + random_in(0, 5000) * 1000; now_ns() < until; n++) {
            ok &= put_pcm(s, n) == 0;
            ok &= put_frame(s, n) >= 0;
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    lw_share_reader *r = attach(lw_share_fd(s));
    lw_share_frame f;
    put_frame(s, n);
    CHECK(ok && lw_share_reader_read_frame(r, &f) == 1 && f.number == n && filled(f.i420, BYTES, n),
          "readers that are killed leave no trace");
    lw_share_reader_close(&r);
    lw_share_close(&s);
}

/* The reader finds a killed writer silent no later than LW_SHARE_SILENT_NS after its last beat, and not before. */
static void test_writer_killed(void)
{
    int pipes[2];
    CHECK(pipe(pipes) == 0, "pipe");
    pid_t child = fork();
    if (!child) {
        lw_share *s = open_share(&SMALL);
        int32_t fd = lw_share_fd(s);
        if (write(pipes[1], &fd, sizeof fd) != sizeof fd)
            _exit(1);
        for (int64_t n = 0;; n++) {
            int16_t pcm[LW_BLOCK] = {0};
            lw_share_write_pcm(s, pcm, n * LW_BLOCK, now_ns());
            usleep(2000);
        }
    }
    int32_t fd = -1;
    char path[64];
    CHECK(read(pipes[0], &fd, sizeof fd) == sizeof fd, "the writer's descriptor");
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)child, (int)fd);
    int mine = open(path, O_RDONLY | O_CLOEXEC);
    lw_share_reader *r = attach(mine);
    close(mine);
    lw_share_pcm b;
    int heard = 0;
    while (heard < 20 && lw_share_reader_wait(r, now_ns(), now_ns() + 20000000000))
        while (lw_share_reader_read_pcm(r, &b))
            heard++;
    CHECK(heard >= 20, "a writer found by /proc");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (lw_share_reader_read_pcm(r, &b))
        ;
    lw_share_reader_counters stats;
    lw_share_reader_stats(r, &stats);
    int rc = lw_share_reader_wait(r, now_ns(), now_ns() + 60000000000);
    int64_t silent = now_ns() - stats.heartbeat_ns;
    CHECK(rc == 0 && silent >= LW_SHARE_SILENT_NS, "its reader wakes when it has been silent for so long");
    printf("  after %.0f ms\n", (double)silent / 1e6);
    rc = lw_share_reader_wait(r, now_ns(), now_ns() + 1000000);
    CHECK(rc == 0 && !lw_share_reader_read_pcm(r, &b), "and then waits as long as it is told");
    lw_share_reader_close(&r);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_names(void)
{
    pid_t me = getpid();
    lw_share_config config = SMALL;
    config.named = 1;
    lw_share *s = open_share(&config), *t = open_share(&config);
    char name[64];
    snprintf(name, sizeof name, "%s", lw_share_name(s));
    int fd = shm_open(name, O_RDONLY | O_CLOEXEC, 0);
    CHECK(fd >= 0 && strcmp(name, lw_share_name(t)) && named_rings(me) == 2, "two rings, two names");
    lw_share_sweep();
    CHECK(named_rings(me) == 2, "a sweep leaves what lives");
    lw_share_reader *r = attach(fd);
    close(fd);
    put_frame(s, 0);
    lw_share_frame f;
    CHECK(lw_share_reader_read_frame(r, &f) == 1 && filled(f.i420, BYTES, 0), "a reader by name");

    pid_t child = fork();
    if (!child) {
        lw_share_close(&s);
        lw_share_close(&t);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    lw_share_reader_counters stats;
    lw_share_reader_stats(r, &stats);
    CHECK(!stats.ended && named_rings(me) == 2, "a forked child that closes its copy ends nothing");
    lw_share_close(&s);
    lw_share_close(&t);
    CHECK(!named_rings(me) && lw_share_reader_frame_valid(r, 0) && filled(f.i420, BYTES, 0),
          "the names are gone, what was mapped stays");
    lw_share_reader_close(&r);

    int pipes[2];
    CHECK(pipe(pipes) == 0, "pipe");
    child = fork();
    if (!child) {
        open_share(&config);
        int had = named_rings(getpid());
        if (write(pipes[1], &had, sizeof had) == sizeof had)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int had = 0, status;
    CHECK(read(pipes[0], &had, sizeof had) == sizeof had && had == 1, "a writer with a name");
    close(pipes[0]);
    close(pipes[1]);
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status), "was killed");
    s = open_share(&config);
    CHECK(!named_rings(child) && named_rings(me) == 1, "the next one takes its name away");
    lw_share_close(&s);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* children that are killed must not say things twice */
    int before = descriptors();
    test_interface();
    test_sealed();
    test_model();
    test_refusals();
    test_performer();
    test_torn(100000);
    test_reader_killed();
    test_writer_killed();
    test_names();
    CHECK(descriptors() == before, "no descriptor is left open");
    return failures != 0;
}
