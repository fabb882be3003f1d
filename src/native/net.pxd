from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "lipwire/net.h" nogil:
    enum:
        LW_NET_H264
        LW_NET_VP8
        LW_NET_OPUS
        LW_NET_AUDIO
        LW_NET_KEY
        LW_NET_BEHIND
        LW_NET_RATE
        LW_NET_ERROR
    ctypedef struct lw_net:
        pass
    ctypedef struct lw_connection:
        pass
    ctypedef struct lw_group:
        pass
    ctypedef int (*lw_srtp_protect)(void *context, void *packet, int *size)
    ctypedef struct lw_net_config:
        int32_t packets
        int32_t manual
        int64_t wall_ns
    ctypedef struct lw_net_event:
        int64_t connection
        int32_t kind
        int32_t value
    ctypedef struct lw_net_counters:
        int64_t connections
        int64_t passes
        int64_t busy_ns
        int64_t packets_free
        int64_t refused
    ctypedef struct lw_connection_config:
        int32_t fd
        const char *host
        int32_t port
        lw_srtp_protect protect
        lw_srtp_protect protect_rtcp
        void *context
        int32_t start_bitrate
        int32_t min_bitrate
        int32_t max_bitrate
    ctypedef struct lw_stream_config:
        int32_t kind
        uint32_t ssrc
        int32_t payload_type
        int32_t clock_rate
        const char *cname
        const char *mid
        int32_t mid_id
        int32_t abs_send_time_id
        int32_t twcc_id
        uint32_t rtx_ssrc
        int32_t rtx_payload_type
        int32_t mode
        int32_t mtu
        int32_t history_ms
        uint32_t first_timestamp
        uint16_t first_sequence
        uint8_t random
    ctypedef struct lw_media:
        const void *data
        size_t size
        int64_t sample
        int32_t duration
        int32_t key
    ctypedef struct lw_connection_counters:
        int64_t packets
        int64_t bytes
        int64_t units
        int64_t units_dropped
        int64_t retransmitted
        int64_t nacked
        int64_t nacks_ignored
        int64_t key_requests
        int64_t rtcp_bad
        int64_t unsent
        int64_t protect_errors
        int64_t queue_bytes
        int64_t queue_packets
        int64_t rtt_us
        int64_t loss_ppm
        int64_t bitrate
        int64_t received_bitrate
        int64_t remb
    ctypedef struct lw_group_config:
        int32_t kind
        int32_t mode
        int32_t mtu
    int lw_net_open(lw_net **out, const lw_net_config *config)
    int lw_net_fd(const lw_net *net)
    int lw_net_events(lw_net *net, lw_net_event *events, int most)
    int64_t lw_net_run(lw_net *net, int64_t now_ns)
    void lw_net_stats(lw_net *net, lw_net_counters *counters)
    int lw_net_close(lw_net **net)
    int lw_connection_open(lw_connection **out, lw_net *net, const lw_connection_config *config)
    int64_t lw_connection_id(const lw_connection *c)
    int lw_connection_route(lw_connection *c, int fd, const char *host, int port, int channel)
    int lw_connection_rtcp_route(lw_connection *c, int fd, const char *host, int port)
    int lw_connection_stream(lw_connection *c, const lw_stream_config *config)
    int lw_connection_send(lw_connection *c, int stream, const lw_media *media)
    int lw_connection_rtcp(lw_connection *c, const void *data, size_t size)
    int lw_connection_forward(lw_connection *c, const void *data, size_t size)
    void lw_connection_stats(const lw_connection *c, lw_connection_counters *counters)
    void lw_connection_close(lw_connection **c)
    int lw_group_open(lw_group **out, lw_net *net, const lw_group_config *config)
    int lw_group_add(lw_group *g, lw_connection *c, int stream)
    int lw_group_remove(lw_group *g, lw_connection *c, int stream)
    int lw_group_send(lw_group *g, const lw_media *media)
    void lw_group_close(lw_group **g)
