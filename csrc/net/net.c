/* The net: its thread, its inbox, what it tells, and the functions that others call. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "sender.h"

#define INBOX 4096             /* commands that may wait */
#define RESERVED 512           /* of those, kept for what is not media */
#define SWEEP_NS (100 * LW_MS)
#define PASS_NS LW_MS          /* from one pass to the next, at least: what comes meanwhile is done together */
#define NICE (-10)
#define LONGEST_NS (3600 * LW_SECOND)

enum { UNTIL_ANY = 1, UNTIL_URGENT }; /* what the sleeping thread is woken for */

/* ---- what is told ---- */

void lw_net_tell(lw_connection *c, int kind, int value)
{
    lw_net *net = c->net;
    const uint64_t one = 1;
    ssize_t woken = 0;
    pthread_mutex_lock(&net->event_lock);
    if (kind == LW_NET_KEY)
        c->told.key |= 1u << value;
    else if (kind == LW_NET_BEHIND)
        c->told.behind |= 1u << value;
    else if (kind == LW_NET_RATE)
        c->told.rate = value;
    else
        c->told.error = value;
    if (!c->told.linked) {
        if (!net->event_first)
            woken = write(net->fd, &one, sizeof one);
        *(net->event_first ? &net->event_last->told.next : &net->event_first) = c;
        net->event_last = c;
        c->told.linked = 1;
        c->told.next = NULL;
    }
    pthread_mutex_unlock(&net->event_lock);
    (void)woken; /* it fails only where the counter is full, and then it is readable */
}

/* One event of c; 0 where it has none left. */
static int take_event(lw_connection *c, lw_net_event *out)
{
    out->connection = c->id;
    if (c->told.behind) {
        *out = (lw_net_event){c->id, LW_NET_BEHIND, __builtin_ctz(c->told.behind)};
        c->told.behind &= c->told.behind - 1;
    } else if (c->told.key) {
        *out = (lw_net_event){c->id, LW_NET_KEY, __builtin_ctz(c->told.key)};
        c->told.key &= c->told.key - 1;
    } else if (c->told.rate) {
        *out = (lw_net_event){c->id, LW_NET_RATE, c->told.rate};
        c->told.rate = 0;
    } else if (c->told.error) {
        *out = (lw_net_event){c->id, LW_NET_ERROR, c->told.error};
        c->told.error = 0;
    } else {
        return 0;
    }
    return 1;
}

static void unlink_event(lw_net *net)
{
    lw_connection *c = net->event_first;
    uint64_t count;
    net->event_first = c->told.next;
    c->told.linked = 0;
    ssize_t reset = net->event_first ? 0 : read(net->fd, &count, sizeof count);
    (void)reset; /* it can only be 0 already */
}

int lw_net_events(lw_net *net, lw_net_event *events, int most)
{
    int n = 0;
    if (!net || (most > 0 && !events))
        return LW_EINVAL;
    pthread_mutex_lock(&net->event_lock);
    while (n < most && net->event_first) {
        if (take_event(net->event_first, &events[n]))
            n++;
        else
            unlink_event(net);
    }
    /* The last one may have given its last event: the descriptor must not say that there is more. */
    while (net->event_first && !net->event_first->told.behind && !net->event_first->told.key &&
           !net->event_first->told.rate && !net->event_first->told.error)
        unlink_event(net);
    pthread_mutex_unlock(&net->event_lock);
    return n;
}

/* A connection that goes tells nothing any more. */
static void untell(lw_connection *c)
{
    lw_net *net = c->net;
    pthread_mutex_lock(&net->event_lock);
    lw_connection *before = NULL;
    for (lw_connection *at = net->event_first; at && c->told.linked; before = at, at = at->told.next) {
        if (at != c)
            continue;
        if (before) {
            before->told.next = c->told.next;
            net->event_last = net->event_last == c ? before : net->event_last;
            c->told.linked = 0;
        } else {
            unlink_event(net);
        }
        break;
    }
    pthread_mutex_unlock(&net->event_lock);
}

uint32_t lw_net_random(lw_net *net)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 7;
    net->random ^= net->random << 17;
    return (uint32_t)(net->random >> 32);
}

/* ---- the inbox ---- */

int lw_net_leave(lw_net *net, const lw_command *command)
{
    int media = command->kind == LW_DO_MEDIA || command->kind == LW_DO_GROUP_MEDIA || command->kind == LW_DO_RTCP ||
                command->kind == LW_DO_FORWARD;
    int rc = 0;
    pthread_mutex_lock(&net->lock);
    if (net->left - net->taken >= INBOX - (media ? RESERVED : 0)) {
        net->refused++;
        rc = LW_ENOSPC;
    } else {
        net->inbox[net->left % INBOX] = *command;
        net->left++;
        net->urgent |= command->done != NULL;
        if (net->sleeping == UNTIL_ANY || (net->urgent && net->sleeping == UNTIL_URGENT))
            pthread_cond_signal(&net->wake);
    }
    pthread_mutex_unlock(&net->lock);
    return rc;
}

void lw_net_leave_and_wait(lw_net *net, lw_command command)
{
    _Atomic int done = 0;
    command.done = &done;
    while (lw_net_leave(net, &command) == LW_ENOSPC) {
        if (net->manual)
            lw_net_run(net, net->now_ns);
        else
            nanosleep(&(struct timespec){.tv_nsec = LW_MS}, NULL);
    }
    if (net->manual)
        lw_net_run(net, net->now_ns);
    pthread_mutex_lock(&net->lock);
    while (!atomic_load_explicit(&done, memory_order_relaxed))
        pthread_cond_wait(&net->done, &net->lock);
    pthread_mutex_unlock(&net->lock);
}

static void join_group(lw_group *g, lw_stream *s)
{
    if (s->group == g)
        return;
    lw_stream_leave(s);
    s->group = g;
    s->next = g->members;
    if (s->next)
        s->next->link = &s->next;
    s->link = &g->members;
    g->members = s;
    s->waiting = !lw_is_sound(s);
}

static void link_connection(lw_net *net, lw_connection *c)
{
    c->next = net->all;
    if (c->next)
        c->next->link = &c->next;
    c->link = &net->all;
    net->all = c;
}

static void unlink_connection(lw_net *net, lw_connection *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    for (lw_connection **at = &net->active; *at; at = &(*at)->next_active)
        if (*at == c) {
            *at = c->next_active;
            break;
        }
}

static void route(lw_connection *c, const lw_packet *packet)
{
    lw_route to;
    memcpy(&to, packet->data, sizeof to);
    if (c->net->batch_of == c)
        lw_net_flush(c->net);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = to.fd;
    c->channel = to.channel;
    c->to = to.to;
    c->to_size = to.to_size;
}

static void rtcp_route(lw_connection *c, const lw_packet *packet)
{
    lw_route to;
    memcpy(&to, packet->data, sizeof to);
    if (c->rtcp_fd >= 0)
        close(c->rtcp_fd);
    c->rtcp_fd = to.fd;
    c->rtcp_to = to.to;
    c->rtcp_to_size = to.to_size;
}

static void execute(lw_net *net, const lw_command *m)
{
    lw_connection *c = m->connection;
    switch (m->kind) {
    case LW_DO_MEDIA: lw_connection_media(c, lw_stream_of(c, m->stream), m); break;
    case LW_DO_GROUP_MEDIA:
        for (lw_stream *s = m->group->members; s; s = s->next)
            lw_connection_media(s->connection, s, m);
        break;
    case LW_DO_RTCP: lw_connection_feedback(c, net->pool[m->packet].data, net->pool[m->packet].size); break;
    case LW_DO_FORWARD: lw_connection_raw(c, net->pool[m->packet].data, net->pool[m->packet].size); break;
    case LW_DO_ROUTE: route(c, &net->pool[m->packet]); break;
    case LW_DO_RTCP_ROUTE: rtcp_route(c, &net->pool[m->packet]); break;
    case LW_DO_ADD: join_group(m->group, lw_stream_of(c, m->stream)); break;
    case LW_DO_REMOVE:
        if (lw_stream_of(c, m->stream)->group == m->group)
            lw_stream_leave(lw_stream_of(c, m->stream));
        break;
    case LW_DO_OPEN: link_connection(net, c); break;
    case LW_DO_CLOSE:
        unlink_connection(net, c);
        lw_connection_end(c);
        untell(c);
        break;
    case LW_DO_GROUP_CLOSE:
        while (m->group->members)
            lw_stream_leave(m->group->members);
        break;
    }
    if (m->packet >= 0)
        lw_pool_drop_unit(net, m->packet);
}

/* ---- a pass ---- */

/* All commands that have been left by now. */
static void empty_inbox(lw_net *net)
{
    pthread_mutex_lock(&net->lock);
    int64_t from = net->taken, to = net->left;
    pthread_mutex_unlock(&net->lock);
    for (int64_t i = from; i < to; i++)
        execute(net, &net->inbox[i % INBOX]);
    if (from == to)
        return;
    pthread_mutex_lock(&net->lock);
    for (int64_t i = from; i < to; i++)
        if (net->inbox[i % INBOX].done)
            atomic_store_explicit(net->inbox[i % INBOX].done, 1, memory_order_relaxed);
    net->taken = to;
    pthread_cond_broadcast(&net->done);
    pthread_mutex_unlock(&net->lock);
}

/* Does what is due; returns when something will be. */
static int64_t pass(lw_net *net)
{
    LW_COUNT(net->passes, 1);
    empty_inbox(net);
    if (net->now_ns >= net->sweep_ns) {
        net->sweep_ns = net->now_ns + SWEEP_NS;
        for (lw_connection *c = net->all; c; c = c->next)
            lw_connection_sweep(c);
    }
    int64_t due = net->all ? net->sweep_ns : net->now_ns + LONGEST_NS;
    for (lw_connection **at = &net->active; *at;) {
        lw_connection *c = *at;
        lw_connection_pump(c);
        if (c->due_ns == INT64_MAX) {
            *at = c->next_active;
            c->active = 0;
            continue;
        }
        due = lw_min64(due, c->due_ns);
        at = &c->next_active;
    }
    lw_net_flush(net);
    net->batch_of = NULL;
    lw_pool_settle(net);
    if (net->scarce)
        net->sweep_ns = net->now_ns + LW_MS;
    /* What a pumped stream's first packet made due: its report. */
    return net->all ? lw_min64(due, net->sweep_ns) : due;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * LW_SECOND + t.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / LW_SECOND, .tv_nsec = ns % LW_SECOND};
}

/* Waits for a command or `due`, and then for `next`, so that what comes meanwhile is done together, or until somebody
 * waits for his command; 0 when the net is to end. */
static int wait_for_work(lw_net *net, int64_t due, int64_t next)
{
    const struct timespec at_due = timespec_of(due), at_next = timespec_of(next);
    pthread_mutex_lock(&net->lock);
    net->sleeping = UNTIL_ANY;
    while (!net->stop && net->left == net->taken && pthread_cond_timedwait(&net->wake, &net->lock, &at_due) != ETIMEDOUT)
        ;
    net->sleeping = UNTIL_URGENT;
    while (!net->stop && !net->urgent && pthread_cond_timedwait(&net->wake, &net->lock, &at_next) != ETIMEDOUT)
        ;
    net->sleeping = net->urgent = 0;
    int go_on = !net->stop;
    pthread_mutex_unlock(&net->lock);
    return go_on;
}

static void *run(void *arg)
{
    lw_net *net = arg;
    /* As the engine's thread: where that is not permitted, it is a thread as any other. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    for (int64_t due = 0; wait_for_work(net, due, net->now_ns + PASS_NS);) {
        net->now_ns = lw_now_ns();
        due = pass(net);
        atomic_store_explicit(&net->busy_ns, cpu_ns(), memory_order_relaxed);
    }
    return NULL;
}

int64_t lw_net_run(lw_net *net, int64_t now_ns)
{
    if (!net->manual)
        return LW_ESTATE;
    net->now_ns = lw_max64(net->now_ns, now_ns);
    return pass(net);
}

/* ---- the net ---- */

static void lay_out(lw_net *net, lw_arena *arena)
{
    net->inbox = lw_carve(arena, INBOX * sizeof *net->inbox);
    net->message = lw_carve(arena, LW_BATCH * sizeof *net->message);
    net->piece = lw_carve(arena, LW_BATCH * sizeof *net->piece);
    net->buffer = lw_carve(arena, LW_BATCH * sizeof *net->buffer);
    net->arrived = lw_carve(arena, LW_RTCP_STATUSES * sizeof *net->arrived);
}

static int open_thread(lw_net *net)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&net->lock, NULL);
    pthread_mutex_init(&net->event_lock, NULL);
    pthread_cond_init(&net->wake, &attr);
    pthread_cond_init(&net->done, &attr);
    pthread_condattr_destroy(&attr);
    if (net->manual)
        return 0;
    if (pthread_create(&net->thread, NULL, run, net))
        return LW_ENOMEM;
    pthread_setname_np(net->thread, "lipwire-net");
    return 0;
}

static int64_t wall_offset(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * LW_SECOND + t.tv_nsec - lw_now_ns();
}

int lw_net_open(lw_net **out, const lw_net_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    int32_t packets = config && config->packets ? config->packets : 65536;
    if (!config || packets < 64 || packets > 1048576 || config->wall_ns < 0)
        return LW_EINVAL;
    lw_arena size = {.used = sizeof(lw_net)};
    lay_out(&(lw_net){0}, &size);
    lw_net *net = aligned_alloc(64, (size.used + 63) & ~(size_t)63);
    if (!net)
        return LW_ENOMEM;
    memset(net, 0, sizeof *net);
    lay_out(net, &(lw_arena){.base = (uint8_t *)net, .used = sizeof *net});
    net->manual = config->manual != 0;
    net->packets = net->free_packets = packets;
    net->free_packet = net->released = -1;
    net->pid = getpid();
    net->wall_ns = net->manual ? config->wall_ns : wall_offset();
    net->random = 0x9e3779b97f4a7c15u;
    if (!net->manual && getrandom(&net->random, sizeof net->random, 0) < 0)
        net->random ^= (uint64_t)lw_now_ns();
    net->random |= 1;
    net->pool = lw_pages_open((size_t)packets * sizeof *net->pool);
    net->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!net->pool || net->fd < 0 || open_thread(net) < 0) {
        lw_pages_close(net->pool, (size_t)packets * sizeof *net->pool);
        if (net->fd >= 0)
            close(net->fd);
        free(net);
        return LW_ENOMEM;
    }
    *out = net;
    return 0;
}

int lw_net_fd(const lw_net *net)
{
    return net->fd;
}

void lw_net_stats(lw_net *net, lw_net_counters *counters)
{
    pthread_mutex_lock(&net->lock);
    *counters = (lw_net_counters){.connections = net->connections,
                                  .passes = atomic_load_explicit(&net->passes, memory_order_relaxed),
                                  .busy_ns = atomic_load_explicit(&net->busy_ns, memory_order_relaxed),
                                  .packets_free = net->free_packets,
                                  .refused = net->refused};
    pthread_mutex_unlock(&net->lock);
}

int lw_net_close(lw_net **out)
{
    if (!out || !*out)
        return 0;
    lw_net *net = *out;
    /* A forked child has no thread, and what it inherited is not its own to free. */
    if (net->pid != getpid()) {
        *out = NULL;
        return 0;
    }
    pthread_mutex_lock(&net->lock);
    int used = net->connections || net->groups;
    net->stop = !used;
    pthread_cond_signal(&net->wake);
    pthread_mutex_unlock(&net->lock);
    if (used)
        return LW_ESTATE;
    if (!net->manual)
        pthread_join(net->thread, NULL);
    pthread_cond_destroy(&net->wake);
    pthread_cond_destroy(&net->done);
    pthread_mutex_destroy(&net->lock);
    pthread_mutex_destroy(&net->event_lock);
    close(net->fd);
    lw_pages_close(net->pool, (size_t)net->packets * sizeof *net->pool);
    free(net);
    *out = NULL;
    return 0;
}

void lw_net_count(lw_net *net, int connections, int groups, int refused)
{
    pthread_mutex_lock(&net->lock);
    net->connections += connections;
    net->groups += groups;
    net->refused += refused;
    pthread_mutex_unlock(&net->lock);
}
