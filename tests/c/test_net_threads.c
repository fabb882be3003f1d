/* The net with its thread: media, RTCP, groups, routes and closing from several threads at once. `make tsan` looks for
 * races; that nothing is lost or leaked is looked for here. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"
#include "net_peer.h"

#define PEERS 6
#define ROUNDS 400

typedef struct stage {
    lw_net *net;
    lw_group *group;
    lw_connection *peer[PEERS];
    int fd[PEERS][2];
    _Atomic int stop, received, events;
} stage;

static void rest_us(int us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

static void start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    if (pthread_create(thread, NULL, run, arg)) {
        CHECK(0, "thread");
        exit(1);
    }
}

static void open_peer(stage *s, int i)
{
    lw_connection_config to = {.fd = s->fd[i][0]};
    lw_stream_config video = {.kind = LW_NET_H264, .ssrc = 1, .payload_type = 102, .clock_rate = 90000, .cname = "c", .mode = 1,
                              .twcc_id = TWCC_ID, .rtx_ssrc = 2, .rtx_payload_type = 103, .history_ms = 500, .random = 1};
    lw_stream_config sound = {.kind = LW_NET_OPUS, .ssrc = 3, .payload_type = 111, .clock_rate = 48000, .cname = "c", .random = 1};
    if (lw_connection_open(&s->peer[i], s->net, &to) || lw_connection_stream(s->peer[i], &video) != 0 ||
        lw_connection_stream(s->peer[i], &sound) != 1 || lw_group_add(s->group, s->peer[i], 0)) {
        CHECK(0, "peer");
        exit(1);
    }
}

static void *send_group(void *arg)
{
    stage *s = arg;
    uint8_t unit[3000];
    memset(unit, 3, sizeof unit);
    for (int i = 0; i < ROUNDS; i++) {
        memcpy(unit, i % 8 ? "\0\0\0\1\x41" : "\0\0\0\1\x65", 5);
        lw_group_send(s->group, &(lw_media){.data = unit, .size = 200 + (size_t)(i * 37 % 2800), .sample = 1920 * i, .key = i % 8 == 0});
        rest_us(300);
    }
    return NULL;
}

/* Sound for the first half of the peers, which stay. */
static void *send_sound(void *arg)
{
    stage *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        lw_connection_send(s->peer[i % (PEERS / 2)], 1, &(lw_media){.data = "sound", .size = 5, .sample = 960 * i, .duration = 960});
        rest_us(200);
    }
    return NULL;
}

static void *send_rtcp(void *arg)
{
    stage *s = arg;
    uint8_t nack[16] = {0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0xff, 0xff}, pli[12] = {0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1};
    for (int i = 0; i < ROUNDS; i++) {
        lw_connection *c = s->peer[i % (PEERS / 2)];
        lw_put16(nack + 12, (uint32_t)i * 31);
        lw_connection_rtcp(c, nack, sizeof nack);
        lw_connection_rtcp(c, pli, sizeof pli);
        lw_connection_forward(c, "\x80\xc9\0\1\0\0\0\7", 8);
        lw_connection_counters count;
        lw_connection_stats(c, &count);
        rest_us(200);
    }
    return NULL;
}

static void *receive_all(void *arg)
{
    stage *s = arg;
    rtp p;
    lw_net_event events[8];
    lw_net_counters count;
    while (!atomic_load(&s->stop)) {
        for (int i = 0; i < PEERS; i++)
            while (receive(s->fd[i][1], &p))
                atomic_fetch_add(&s->received, 1);
        atomic_fetch_add(&s->events, lw_net_events(s->net, events, 8));
        lw_net_stats(s->net, &count);
        rest_us(500);
    }
    return NULL;
}

/* The other half comes and goes. */
static void *come_and_go(void *arg)
{
    stage *s = arg;
    for (int i = 0; i < ROUNDS / 8; i++) {
        int k = PEERS / 2 + i % (PEERS - PEERS / 2);
        lw_group_remove(s->group, s->peer[k], 0);
        lw_connection_route(s->peer[k], s->fd[k][0], NULL, 0, i & 1 ? 0x4000 : 0);
        lw_connection_close(&s->peer[k]);
        open_peer(s, k);
        rest_us(500);
    }
    return NULL;
}

int main(void)
{
    static stage s;
    pthread_t thread[5];
    lw_net_counters count;
    if (lw_net_open(&s.net, &(lw_net_config){.packets = 8192}) || lw_group_open(&s.group, s.net, &(lw_group_config){LW_NET_H264, 1, 0})) {
        CHECK(0, "net");
        return 1;
    }
    for (int i = 0; i < PEERS; i++) {
        open_pair(s.fd[i]);
        open_peer(&s, i);
    }
    void *(*const run[])(void *) = {send_group, send_sound, send_rtcp, come_and_go, receive_all};
    for (int i = 0; i < 5; i++)
        start(&thread[i], run[i], &s);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    CHECK(lw_net_close(&s.net) == LW_ESTATE, "it is in use");
    for (int i = 0; i < PEERS; i++)
        lw_connection_close(&s.peer[i]);
    lw_group_close(&s.group);
    atomic_store(&s.stop, 1);
    pthread_join(thread[4], NULL);
    lw_net_stats(s.net, &count);
    CHECK(count.packets_free == 8192, "every packet came back");
    CHECK(!count.connections && !count.refused, "nothing was refused");
    CHECK(atomic_load(&s.received) > ROUNDS, "packets came");
    CHECK(atomic_load(&s.events) > 0, "and events");
    CHECK(!lw_net_close(&s.net), "the net closes");
    for (int i = 0; i < PEERS; i++) {
        close(s.fd[i][0]);
        close(s.fd[i][1]);
    }
    return failures != 0;
}
