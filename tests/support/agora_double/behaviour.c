/* What the double does: the life of services, connections, tracks and senders; callbacks from a thread of its own, as
 * the library's are foreign to Python; and a channel that connections on this machine share (channel.h).
 *
 * Environment: AGORA_DOUBLE the folder of records and channels, AGORA_DOUBLE_CONNECT_MS from connect to connected (20),
 * AGORA_DOUBLE_HASH=0 leaves the hashes of pictures out (for figures), AGORA_DOUBLE_CODEC the codec in which pictures
 * arrive, whatever was asked for. Control: a test sends a connection's socket a
 * datagram of kind C; see control(). */
#include "channel.h"
#include "double.h"
#include "sdk.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CONNS = 256, EVENTS = 1024, MAX_MESSAGE = 1024, MESSAGES_A_SECOND = 60, BYTES_A_SECOND = 30 * 1024 };
enum { DISCONNECTED = 1, CONNECTING, CONNECTED, RECONNECTING, FAILED }; /* the library's numbers */
enum { BAD = -2, TOO_OFTEN = -12, NOT_CONNECTED = -7, WRONG_STATE = -8 };

typedef struct {
    int released;
    char app[64];
} service;

typedef struct sender sender;
typedef struct conn conn;
typedef struct {
    sender *from;
    int enabled, codec;
} track;
struct sender {
    conn *to; /* the connection that publishes its track */
    track *track;
};

struct conn {
    service *service;
    struct RTCConnConfigInner config;
    struct RTCConnectionObserverInner on;
    struct RTCLocalUserObserverInner user_on;
    struct AudioFrameObserverInner audio_on;
    struct VideoFrameObserverInner *video_on;
    struct CapabilitiesObserverInner *capabilities_on;
    int has_on, has_user_on, has_audio_on, state, live, all_audio, all_video, rate, channels, stream;
    char uid[UID], channel[UID], audio_of[UID], video_of[UID], seen[UID]; /* seen: whose track it was told of */
    long long sent_at[MESSAGES_A_SECOND];
    int sent_size[MESSAGES_A_SECOND], sent, sent_bytes, audio_bytes, video_bytes;
    long long looked, stats_at;
    seat seat;
};

typedef struct {
    long long at;
    conn *to;
    char kind[32], text[96];
    int value;
} event;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Held around a callback: an observer that has been unregistered is not called any more once that call returns. */
static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER;
static conn *conns[CONNS];
static event events[EVENTS];
static int event_count, wake = -1;
static pthread_t thread;
static _Thread_local int is_thread;

static int setting(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

static void later(conn *to, int ms, const char *kind, int value, const char *text) {
    if (event_count == EVENTS) abort(); /* the double is too small for this test */
    event *e = &events[event_count++];
    *e = (event){.at = double_now_ns() + ms * 1000000ll, .to = to, .value = value};
    snprintf(e->kind, sizeof e->kind, "%s", kind);
    snprintf(e->text, sizeof e->text, "%s", text ? text : "");
    if (wake >= 0) eventfd_write(wake, 1);
}

/* Calls an observer's function where it has one, with the marks that records of calls within it carry. */
#define CALL(has, observer, function, ...)                              \
    do {                                                                \
        if ((has) && (observer).function != NULL) {                     \
            pthread_mutex_unlock(&lock);                                \
            double_enter_callback(#function);                           \
            (observer).function(__VA_ARGS__);                           \
            double_leave_callback();                                    \
            pthread_mutex_lock(&lock);                                  \
        }                                                               \
    } while (0)

static struct RTCConnInfoInner info(conn *c) {
    return (struct RTCConnInfoInner){
        .id = 1, .channel_id = c->channel, .state = c->state, .local_user_id = c->uid, .internal_uid = 1};
}

static void user_joined(void *context, const char *uid) {
    conn *c = context;
    char copy[UID];
    snprintf(copy, sizeof copy, "%s", uid);
    CALL(c->has_on, c->on, on_user_joined, c, copy);
}

static void user_left(void *context, const char *uid) {
    conn *c = context;
    char copy[UID];
    snprintf(copy, sizeof copy, "%s", uid);
    CALL(c->has_on, c->on, on_user_left, c, copy, 0);
}

static void deliver(event *e) {
    conn *c = e->to;
    const char *k = e->kind;
    struct RTCConnInfoInner i = info(c);
    if (strcmp(k, "connected") == 0) {
        if (c->state != CONNECTING || seat_take(&c->seat, c->service->app, c->channel, c->uid) < 0) return;
        i.state = c->state = CONNECTED;
        c->stats_at = double_now_ns();
        CALL(c->has_on, c->on, on_connected, c, &i, e->value);
    } else if (strcmp(k, "connecting") == 0) CALL(c->has_on, c->on, on_connecting, c, &i, e->value);
    else if (strcmp(k, "disconnected") == 0) {
        seat_leave(&c->seat);
        i.state = c->state = DISCONNECTED;
        CALL(c->has_on, c->on, on_disconnected, c, &i, e->value);
    } else if (strcmp(k, "failure") == 0) {
        seat_leave(&c->seat);
        i.state = c->state = FAILED;
        CALL(c->has_on, c->on, on_connection_failure, c, &i, e->value);
    } else if (strcmp(k, "reconnecting") == 0) {
        i.state = c->state = RECONNECTING;
        CALL(c->has_on, c->on, on_reconnecting, c, &i, e->value);
    } else if (strcmp(k, "reconnected") == 0) {
        i.state = c->state = CONNECTED;
        CALL(c->has_on, c->on, on_reconnected, c, &i, e->value);
    } else if (strcmp(k, "lost") == 0) CALL(c->has_on, c->on, on_connection_lost, c, &i);
    else if (strcmp(k, "token_will_expire") == 0) CALL(c->has_on, c->on, on_token_privilege_will_expire, c, e->text);
    else if (strcmp(k, "token_did_expire") == 0) CALL(c->has_on, c->on, on_token_privilege_did_expire, c);
    else if (strcmp(k, "error") == 0) CALL(c->has_on, c->on, on_error, c, e->value, e->text);
    else if (strcmp(k, "warning") == 0) CALL(c->has_on, c->on, on_warning, c, e->value, e->text);
    else if (strcmp(k, "quality") == 0) CALL(c->has_on, c->on, on_user_network_quality, c, c->uid, e->value, e->value);
    else if (strcmp(k, "capabilities") == 0 && c->capabilities_on != NULL)
        CALL(1, *c->capabilities_on, on_capabilities_changed, c->capabilities_on, NULL, 0);
    else if (strcmp(k, "intra") == 0) CALL(c->has_user_on, c->user_on, on_intra_request_received, c);
    else if (strcmp(k, "stats") == 0) {
        struct RTCStatsInner s = {.connection_id = 1, .gateway_rtt = e->value, .tx_k_bit_rate = e->value * 50};
        s.user_count = (unsigned)c->seat.count + 1;
        s.tx_audio_bytes = (unsigned)c->audio_bytes;
        s.tx_video_bytes = (unsigned)c->video_bytes;
        s.tx_bytes = s.tx_audio_bytes + s.tx_video_bytes;
        s.lastmile_delay = 7;
        CALL(c->has_on, c->on, on_transport_stats, c, &s);
    }
}

/* "event KIND [VALUE [TEXT]]" or "fail NAME VALUE COUNT" */
static void control(conn *c, const char *text) {
    char kind[96] = "", rest[96] = "";
    long long value = 0;
    int count = -1;
    if (sscanf(text, "event %31s %lld %95[^\n]", kind, &value, rest) >= 1) later(c, 0, kind, (int)value, rest);
    else if (sscanf(text, "fail %95s %lld %d", kind, &value, &count) == 3) double_inject(kind, (intptr_t)value, count);
}

static int wants(int all, const char *one, const char *uid) { return all || strcmp(one, uid) == 0; }

static void hear(conn *c, packet *p) {
    int rate = c->rate ? c->rate : p->a, step = p->a / rate > 0 ? p->a / rate : 1, samples = p->c / step;
    int16_t *in = (int16_t *)p->data, out[DATAGRAM / 2];
    for (int i = 0; i < samples; i++) { /* the mean of `step` samples: enough for a double */
        int sum = 0;
        for (int j = 0; j < step; j++) sum += in[(i * step + j) * p->b];
        out[i] = (int16_t)(sum / step);
    }
    struct AudioFrameInner f = {.samples_per_channel = samples,
                                .bytes_per_sample = 2,
                                .channels = 1,
                                .samples_per_sec = p->a / step,
                                .buffer = out,
                                .presentation_ms = p->pts};
    CALL(c->has_audio_on, c->audio_on, on_playback_audio_frame_before_mixing, c, c->channel, p->uid, &f);
}

static void tell_track(conn *c, packet *p) {
    if (strcmp(c->seen, p->uid) == 0) return;
    snprintf(c->seen, UID, "%s", p->uid);
    struct VideoTrackInfoInner track = {.channel_id = c->channel, .codec_type = p->codec};
    CALL(c->has_user_on, c->user_on, on_user_video_track_subscribed, c, p->uid, &track, &c->seen);
}

static void see(conn *c, packet *p) {
    tell_track(c, p);
    size_t size = (size_t)p->a * (size_t)p->b * 3 / 2;
    uint8_t *i420 = malloc(size);
    if (c->video_on != NULL && seat_picture(&c->seat, p, i420, size) == 0) {
        struct VideoFrameInner f = {.type = 1, .width = p->a, .height = p->b, .y_stride = p->a};
        f.render_time_ms = p->pts;
        f.u_stride = f.v_stride = p->a / 2;
        f.y_buffer = i420;
        f.u_buffer = i420 + (size_t)p->a * (size_t)p->b;
        f.v_buffer = f.u_buffer + (size_t)p->a * (size_t)p->b / 4;
        CALL(1, *c->video_on, on_frame, c->video_on, c->channel, p->uid, &f);
    }
    free(i420);
}

static void receive(conn *c) {
    static packet p;
    for (int n = 0; n < 64 && c->live && c->seat.fd >= 0 && seat_receive(&c->seat, &p) == 0; n++) {
        int all_audio = c->all_audio || c->config.auto_subscribe_audio;
        int all_video = c->all_video || c->config.auto_subscribe_video;
        if (p.kind == 'C') control(c, (const char *)p.data);
        else if (p.kind == 'A' && wants(all_audio, c->audio_of, p.uid)) hear(c, &p);
        else if (p.kind == 'V' && wants(all_video, c->video_of, p.uid)) see(c, &p);
        else if (p.kind == 'M')
            CALL(c->has_user_on, c->user_on, on_stream_message, c, p.uid, p.a, (char *)p.data, (unsigned long)p.size);
        else if (p.kind == 'D')
            CALL(c->has_user_on, c->user_on, on_audio_meta_data_received, c, p.uid, (char *)p.data,
                 (unsigned long)p.size);
    }
}

static void *run(void *unused) {
    (void)unused;
    is_thread = 1;
    struct pollfd fds[CONNS + 1];
    for (;;) {
        int n = 0;
        fds[n++] = (struct pollfd){.fd = wake, .events = POLLIN};
        pthread_mutex_lock(&lock);
        for (int i = 0; i < CONNS; i++) {
            if (conns[i] == NULL || conns[i]->seat.fd < 0) continue;
            fds[n++] = (struct pollfd){.fd = conns[i]->seat.fd, .events = POLLIN};
        }
        long long next = double_now_ns() + 50000000;
        for (int i = 0; i < event_count; i++) next = events[i].at < next ? events[i].at : next;
        pthread_mutex_unlock(&lock);
        long long wait = next - double_now_ns();
        poll(fds, (nfds_t)n, wait > 0 ? (int)((wait + 999999) / 1000000) : 0);
        eventfd_t cleared;
        if (fds[0].revents) eventfd_read(wake, &cleared);
        pthread_mutex_lock(&calling);
        pthread_mutex_lock(&lock);
        for (int i = 0; i < event_count;) {
            if (events[i].at > double_now_ns()) {
                i++;
                continue;
            }
            event e = events[i];
            memmove(&events[i], &events[i + 1], sizeof(event) * (size_t)(--event_count - i));
            if (e.to->live) deliver(&e);
        }
        for (int i = 0; i < CONNS; i++) {
            conn *c = conns[i];
            if (c == NULL || c->seat.fd < 0) continue;
            receive(c);
            if (c->seat.fd >= 0 && double_now_ns() - c->looked > 50000000) {
                c->looked = double_now_ns();
                seat_look(&c->seat, c, user_joined, user_left);
            }
            if (c->state == CONNECTED && double_now_ns() - c->stats_at > 500000000) {
                c->stats_at = double_now_ns();
                later(c, 0, "stats", 12, NULL);
            }
        }
        pthread_mutex_unlock(&lock);
        pthread_mutex_unlock(&calling);
    }
    return NULL;
}

/* Waits for the callback that is under way, so that none of its observers is used afterwards. */
static void quiesce(void) {
    if (is_thread) return;
    pthread_mutex_lock(&calling);
    pthread_mutex_unlock(&calling);
}

/* ------------------------------------------------------------------------------------------------------ service */

void *do_agora_service_create(void) { return calloc(1, sizeof(service)); }

int do_agora_service_initialize(void *s, struct AgoraServiceConfigInner *config) {
    if (s == NULL || config->app_id == NULL || strlen(config->app_id) != 32) return BAD;
    snprintf(((service *)s)->app, sizeof((service *)s)->app, "%s", config->app_id);
    double_note("\"app\":\"%s\",\"string_uid\":%d,\"video\":%d,\"scenario\":%d,\"area\":%u", config->app_id,
                config->use_string_uid, config->enable_video, config->audio_scenario, config->area_code);
    pthread_mutex_lock(&lock);
    if (wake < 0) {
        wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        pthread_create(&thread, NULL, run, NULL);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

int do_agora_service_release(void *s) {
    int left = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CONNS; i++) left += conns[i] != NULL && conns[i]->service == s;
    ((service *)s)->released = 1;
    pthread_mutex_unlock(&lock);
    double_note("\"connections_left\":%d", left);
    return left ? WRONG_STATE : 0;
}

void *do_agora_service_create_media_node_factory(void *s) { return s; }
void *do_agora_service_get_agora_parameter(void *s) { return s; }
void *do_agora_rtc_conn_get_agora_parameter(void *c) { return c; }
static void *new_sender(void) { return calloc(1, sizeof(sender)); }
void *do_agora_media_node_factory_create_audio_pcm_data_sender(void *f) { return f ? new_sender() : NULL; }
void *do_agora_media_node_factory_create_audio_encoded_frame_sender(void *f) { return f ? new_sender() : NULL; }
void *do_agora_media_node_factory_create_video_frame_sender(void *f) { return f ? new_sender() : NULL; }
void *do_agora_media_node_factory_create_video_encoded_image_sender(void *f) { return f ? new_sender() : NULL; }
void do_agora_audio_pcm_data_sender_destroy(void *s) { free(s); }
void do_agora_audio_encoded_frame_sender_destroy(void *s) { free(s); }
void do_agora_video_frame_sender_destroy(void *s) { free(s); }
void do_agora_video_encoded_image_sender_destroy(void *s) { free(s); }

static void *new_track(void *from) {
    track *t = calloc(1, sizeof *t);
    t->from = from;
    t->from->track = t;
    return t;
}

void *do_agora_service_create_custom_audio_track_pcm(void *s, void *from) { return s && from ? new_track(from) : NULL; }
void *do_agora_service_create_direct_custom_audio_track_pcm(void *s, void *from) {
    return s && from ? new_track(from) : NULL;
}
void *do_agora_service_create_custom_audio_track_encoded(void *s, void *from, int mix) {
    (void)mix;
    return s && from ? new_track(from) : NULL;
}
void *do_agora_service_create_custom_video_track_frame(void *s, void *from) {
    return s && from ? new_track(from) : NULL;
}
void *do_agora_service_create_custom_video_track_encoded(void *s, void *from, struct SenderOptionsInner *options) {
    double_note("\"kbps\":%d,\"codec\":%d", options->target_bitrate, options->codec_type);
    return s && from ? new_track(from) : NULL;
}
void do_agora_local_audio_track_destroy(void *t) { free(t); }
void *do_agora_local_video_track_destroy(void *t) {
    free(t);
    return NULL;
}

int do_agora_local_audio_track_set_enabled(void *t, int on) {
    ((track *)t)->enabled = on;
    return 0;
}
int do_agora_local_video_track_set_enabled(void *t, int on) {
    ((track *)t)->enabled = on;
    return 0;
}

int do_agora_local_video_track_set_video_encoder_config(void *t, struct VideoEncoderConfigurationInner *v) {
    if (t == NULL) return BAD;
    ((track *)t)->codec = v->codec_type;
    double_note("\"codec\":%d,\"width\":%d,\"height\":%d,\"fps\":%d,\"bitrate\":%d,\"min_bitrate\":%d,\"degradation\":%d",
                v->codec_type, v->dimensions.width, v->dimensions.height, v->frame_rate, v->bitrate, v->min_bitrate,
                v->degradation_preference);
    return 0;
}

/* -------------------------------------------------------------------------------------------------- connection */

void *do_agora_rtc_conn_create(void *s, struct RTCConnConfigInner *config) {
    if (s == NULL) return NULL;
    conn *c = calloc(1, sizeof *c);
    c->service = s;
    c->config = *config;
    c->state = DISCONNECTED;
    c->live = 1;
    c->seat.fd = -1;
    double_note("\"role\":%d,\"profile\":%d,\"auto_audio\":%d,\"auto_video\":%d", config->client_role_type,
                config->channel_profile, config->auto_subscribe_audio, config->auto_subscribe_video);
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < CONNS && conns[i] != NULL) i++;
    if (i == CONNS) abort();
    conns[i] = c;
    pthread_mutex_unlock(&lock);
    return c;
}

void *do_agora_rtc_conn_get_local_user(void *c) { return c; }
const char *do_agora_rtc_conn_get_sid(void *c) { return c ? "double" : NULL; }

void do_agora_rtc_conn_destroy(void *at) {
    conn *c = at;
    pthread_mutex_lock(&lock);
    c->live = 0;
    pthread_mutex_unlock(&lock);
    quiesce();
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CONNS; i++)
        if (conns[i] == c) conns[i] = NULL;
    for (int i = 0; i < event_count;)
        if (events[i].to == c) memmove(&events[i], &events[i + 1], sizeof(event) * (size_t)(--event_count - i));
        else i++;
    seat_leave(&c->seat);
    pthread_mutex_unlock(&lock);
    free(c);
}

int do_agora_rtc_conn_connect(void *at, const char *token, const char *channel, const char *uid) {
    conn *c = at;
    int ms = setting("AGORA_DOUBLE_CONNECT_MS", 20);
    pthread_mutex_lock(&lock);
    int rc = c->state == DISCONNECTED || c->state == FAILED ? 0 : WRONG_STATE;
    if (strlen(channel) == 0 || strlen(channel) > 64) rc = BAD;
    if (rc == 0) {
        snprintf(c->channel, sizeof c->channel, "%s", channel);
        if (*uid == 0 || strcmp(uid, "0") == 0) snprintf(c->uid, sizeof c->uid, "%lld", double_now_ns() % 1000000000);
        else snprintf(c->uid, sizeof c->uid, "%s", uid);
        c->state = CONNECTING;
        later(c, 0, "connecting", 0, NULL);
        if (strcmp(token, "bad") == 0) later(c, ms, "failure", 8, NULL); /* 8: invalid token */
        else later(c, ms, "connected", 1, NULL);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Only what is said before it connects holds. */
int do_agora_rtc_conn_enable_encryption(void *at, int enabled, struct EncryptionConfigInner *v) {
    conn *c = at;
    double_note("\"mode\":%d,\"key\":%u,\"salt\":%u,\"data\":%d,\"early\":%d", v->encryption_mode,
                double_adler32(v->encryption_key, strlen(v->encryption_key)),
                double_adler32(v->encryption_kdf_salt, sizeof v->encryption_kdf_salt),
                v->datastream_encryption_enabled, c->state == DISCONNECTED);
    return enabled && c->state == DISCONNECTED ? 0 : WRONG_STATE;
}

int do_agora_rtc_conn_disconnect(void *at) {
    conn *c = at;
    pthread_mutex_lock(&lock);
    seat_leave(&c->seat);
    c->state = DISCONNECTED;
    later(c, 0, "disconnected", 5, NULL); /* 5: left */
    pthread_mutex_unlock(&lock);
    return 0;
}

int do_agora_rtc_conn_renew_token(void *c, const char *token) { return c && *token ? 0 : BAD; }

int do_agora_rtc_conn_register_observer(void *at, struct RTCConnectionObserverInner *on) {
    conn *c = at;
    pthread_mutex_lock(&lock);
    c->on = *on;
    c->has_on = 1;
    pthread_mutex_unlock(&lock);
    return 0;
}

#define UNREGISTER(statement)        \
    pthread_mutex_lock(&lock);       \
    statement;                       \
    pthread_mutex_unlock(&lock);     \
    quiesce();                       \
    return 0

int do_agora_rtc_conn_unregister_observer(void *c) { UNREGISTER(((conn *)c)->has_on = 0); }
int do_agora_local_user_unregister_observer(void *c) { UNREGISTER(((conn *)c)->has_user_on = 0); }
int do_agora_local_user_unregister_audio_frame_observer(void *c) { UNREGISTER(((conn *)c)->has_audio_on = 0); }
int do_agora_local_user_unregister_video_frame_observer(void *c, void *o) {
    (void)o;
    UNREGISTER(((conn *)c)->video_on = NULL);
}
int do_agora_local_user_unregister_capabilities_observer(void *c, void *o) {
    (void)o;
    UNREGISTER(((conn *)c)->capabilities_on = NULL);
}

int do_agora_local_user_register_observer(void *at, struct RTCLocalUserObserverInner *on) {
    conn *c = at;
    pthread_mutex_lock(&lock);
    c->user_on = *on;
    c->has_user_on = 1;
    pthread_mutex_unlock(&lock);
    return 0;
}

int do_agora_local_user_register_audio_frame_observer(void *at, struct AudioFrameObserverInner *on) {
    conn *c = at;
    pthread_mutex_lock(&lock);
    c->audio_on = *on;
    c->has_audio_on = 1;
    pthread_mutex_unlock(&lock);
    return 0;
}

void *do_agora_video_frame_observer2_create(struct VideoFrameObserverInner *on) { return on; }
void *do_agora_local_user_capabilities_observer_create(struct CapabilitiesObserverInner *on) { return on; }
int do_agora_local_user_register_video_frame_observer(void *c, void *on) {
    UNREGISTER(((conn *)c)->video_on = on);
}
int do_agora_local_user_register_capabilities_observer(void *c, void *on) {
    UNREGISTER(((conn *)c)->capabilities_on = on);
}

int do_agora_local_user_set_playback_audio_frame_before_mixing_parameters(void *c, int channels, int rate) {
    if (channels != 1) return BAD; /* all that the double can */
    ((conn *)c)->channels = channels;
    ((conn *)c)->rate = rate;
    return 0;
}

int do_agora_local_user_subscribe_all_audio(void *c) { UNREGISTER(((conn *)c)->all_audio = 1); }
int do_agora_local_user_unsubscribe_all_audio(void *c) { UNREGISTER(((conn *)c)->all_audio = 0); }
int do_agora_local_user_subscribe_audio(void *c, const char *uid) {
    UNREGISTER(snprintf(((conn *)c)->audio_of, UID, "%s", uid));
}
int do_agora_local_user_subscribe_all_video(void *c, struct VideoSubscriptionOptionsInner *o) {
    (void)o;
    UNREGISTER(((conn *)c)->all_video = 1);
}
int do_agora_local_user_subscribe_video(void *c, const char *uid, struct VideoSubscriptionOptionsInner *o) {
    (void)o;
    UNREGISTER(snprintf(((conn *)c)->video_of, UID, "%s", uid));
}

static int publish(void *c, void *t, conn *to) {
    if (c == NULL || t == NULL) return BAD;
    pthread_mutex_lock(&lock);
    ((track *)t)->from->to = to;
    pthread_mutex_unlock(&lock);
    return 0;
}

int do_agora_local_user_publish_audio(void *c, void *t) { return publish(c, t, c); }
int do_agora_local_user_publish_video(void *c, void *t) { return publish(c, t, c); }
int do_agora_local_user_unpublish_audio(void *c, void *t) { return publish(c, t, NULL); }
int do_agora_local_user_unpublish_video(void *c, void *t) { return publish(c, t, NULL); }

/* ------------------------------------------------------------------------------------------------------- media */

static int ready(sender *s) { return s->to == NULL ? WRONG_STATE : s->to->state == CONNECTED ? 0 : NOT_CONNECTED; }

int do_agora_audio_pcm_data_sender_send(void *at, void *data, unsigned timestamp, long pts, unsigned samples,
                                        unsigned bytes, unsigned channels, unsigned rate) {
    (void)timestamp;
    sender *s = at;
    size_t size = (size_t)samples * channels * bytes;
    if (bytes != 2 || samples == 0 || samples * 1000 % rate != 0) return BAD;
    double_note("\"hash\":%u,\"size\":%zu", double_adler32(data, size), size);
    pthread_mutex_lock(&lock);
    int rc = ready(s);
    if (rc == 0) {
        double_note(",\"uid\":\"%s\"", s->to->uid);
        s->to->audio_bytes += (int)size;
        unsigned block = rate / 100;
        for (unsigned i = 0; i + block <= samples && s->to->seat.count > 0; i += block) {
            static packet p;
            p.kind = 'A';
            p.a = (int)rate;
            p.b = (int)channels;
            p.c = (int)block;
            p.pts = pts + i * 1000 / rate;
            p.size = (int)(block * channels * 2);
            memcpy(p.data, (uint8_t *)data + (size_t)i * channels * 2, (size_t)p.size);
            seat_send(&s->to->seat, &p);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int do_agora_audio_encoded_frame_sender_send(void *at, void *data, unsigned size,
                                             struct EncodedAudioFrameInfoInner *i) {
    double_note("\"hash\":%u,\"codec\":%d,\"rate\":%d,\"samples\":%d,\"channels\":%d,\"capture_ms\":%ld",
                double_adler32(data, size), i->codec, i->sample_rate_hz, i->samples_per_channel, i->number_of_channels,
                i->capture_time_ms);
    pthread_mutex_lock(&lock);
    int rc = ready(at);
    if (rc == 0) {
        double_note(",\"uid\":\"%s\"", ((sender *)at)->to->uid);
        ((sender *)at)->to->audio_bytes += (int)size;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int do_agora_video_frame_sender_send(void *at, struct ExternalVideoFrameInner *f) {
    sender *s = at;
    if (f->type != 1 || f->format != 1 || f->buffer == NULL || f->stride <= 0 || f->height <= 0) return BAD;
    size_t size = (size_t)f->stride * (size_t)f->height * 3 / 2;
    int hash = setting("AGORA_DOUBLE_HASH", 1);
    double_note("\"buffer\":\"%p\",\"width\":%d,\"height\":%d,\"pts\":%ld,\"hash\":%u", f->buffer, f->stride, f->height,
                f->timestamp, hash ? double_adler32(f->buffer, size) : 0);
    pthread_mutex_lock(&lock);
    int rc = ready(s);
    if (rc == 0) {
        static packet p;
        double_note(",\"uid\":\"%s\"", s->to->uid);
        s->to->video_bytes += (int)size;
        p.kind = 'V';
        p.codec = setting("AGORA_DOUBLE_CODEC", s->track->codec);
        p.a = f->stride;
        p.b = f->height;
        p.pts = f->timestamp;
        seat_send_picture(&s->to->seat, &p, f->buffer, size);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* An access unit must begin with a start code, and one that is a key with a sequence parameter set. 1: taken. */
int do_agora_video_encoded_image_sender_send(void *at, uint8_t *data, unsigned size,
                                             struct EncodedVideoFrameInfoInner *i) {
    static const uint8_t start[4] = {0, 0, 0, 1};
    int key = i->frame_type == 3, sps = size > 4 && (data[4] & 31) == 7;
    double_note("\"hash\":%u,\"size\":%u,\"codec\":%d,\"width\":%d,\"height\":%d,\"fps\":%d,\"key\":%d,\"capture_ms\":%ld",
                double_adler32(data, size), size, i->codec_type, i->width, i->height, i->frames_per_second, key,
                (long)i->capture_time_ms);
    if (size < 5 || memcmp(data, start, 4) || key != sps) return 0;
    pthread_mutex_lock(&lock);
    int rc = ready(at);
    if (rc == 0) {
        double_note(",\"uid\":\"%s\"", ((sender *)at)->to->uid);
        ((sender *)at)->to->video_bytes += (int)size;
        char path[4096]; /* what was sent, for a decoder */
        snprintf(path, sizeof path, "%s/video.%s", double_folder() ? double_folder() : ".", ((sender *)at)->to->uid);
        FILE *file = double_folder() ? fopen(path, "ab") : NULL;
        if (file != NULL) {
            fwrite(data, 1, size, file);
            fclose(file);
        }
    }
    pthread_mutex_unlock(&lock);
    return rc == 0;
}

/* ---------------------------------------------------------------------------------------------------- messages */

int do_agora_rtc_conn_create_data_stream(void *c, int *id, int reliable, int ordered) {
    (void)reliable;
    (void)ordered;
    *id = ++((conn *)c)->stream;
    return 0;
}

int do_agora_rtc_conn_send_stream_message(void *at, int id, const char *data, unsigned size) {
    conn *c = at;
    double_note("\"size\":%u", size);
    if (size > MAX_MESSAGE || id <= 0 || memchr(data, 0, size) != NULL) return BAD;
    pthread_mutex_lock(&lock);
    long long now = double_now_ns();
    int messages = 0, bytes = (int)size;
    for (int i = 0; i < MESSAGES_A_SECOND; i++)
        if (c->sent_at[i] > now - 1000000000) {
            messages++;
            bytes += c->sent_size[i];
        }
    int rc = c->state != CONNECTED ? NOT_CONNECTED : 0;
    if (rc == 0 && (messages >= MESSAGES_A_SECOND || bytes > BYTES_A_SECOND)) rc = TOO_OFTEN;
    if (rc == 0) {
        c->sent_at[c->sent % MESSAGES_A_SECOND] = now;
        c->sent_size[c->sent++ % MESSAGES_A_SECOND] = (int)size;
        static packet p;
        p.kind = 'M';
        p.a = id;
        p.size = (int)size;
        memcpy(p.data, data, size);
        seat_send(&c->seat, &p);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int do_agora_local_user_send_audio_meta_data(void *at, const char *data, unsigned long size) {
    conn *c = at;
    if (size > MAX_MESSAGE) return BAD;
    pthread_mutex_lock(&lock);
    int rc = c->state == CONNECTED ? 0 : NOT_CONNECTED;
    if (rc == 0) {
        static packet p;
        p.kind = 'D';
        p.size = (int)size;
        memcpy(p.data, data, size);
        seat_send(&c->seat, &p);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
