from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "lipwire/jitter.h" nogil:
    enum:
        LW_JITTER_MAX_PAYLOAD
        LW_JITTER_SPEECH
        LW_JITTER_CN
        LW_JITTER_EVENT
        LW_JITTER_DTX
    ctypedef struct lw_jitter_decoder:
        void *state
        int32_t (*duration)(void *state, const uint8_t *payload, size_t n) noexcept nogil
        int32_t (*decode)(void *state, const uint8_t *payload, size_t n, int16_t *out, int32_t room) noexcept nogil
        int32_t (*conceal)(void *state, int16_t *out, int32_t samples) noexcept nogil
        int32_t (*recover)(void *state, const uint8_t *next, size_t n, int16_t *out, int32_t samples) noexcept nogil
        void (*reset)(void *state) noexcept nogil
    int lw_jitter_codec_open(lw_jitter_decoder *out, const char *codec, int32_t sample_rate)
    void lw_jitter_codec_close(lw_jitter_decoder *decoder)
    ctypedef struct lw_jitter_config:
        int32_t sample_rate
        int32_t clock_rate
        int32_t max_packets
        int32_t min_delay_ms
        int32_t max_delay_ms
        lw_jitter_decoder decoder
    ctypedef struct lw_jitter_stats_t:
        int64_t packets_received
        int64_t packets_lost
        int64_t packets_discarded
        int64_t packets_duplicate
        int64_t packets_damaged
        int64_t packets_reordered
        int64_t fec_packets_recovered
        int64_t jitter_ns
        int64_t jitter_buffer_delay_ns
        int64_t jitter_buffer_target_delay_ns
        int64_t jitter_buffer_minimum_delay_ns
        int64_t jitter_buffer_emitted_count
        int64_t total_samples_received
        int64_t concealed_samples
        int64_t silent_concealed_samples
        int64_t concealment_events
        int64_t inserted_samples_for_deceleration
        int64_t removed_samples_for_acceleration
        int64_t comfort_samples
        int64_t idle_samples
        int64_t restarts
        int32_t buffered_packets
        int32_t buffered_ns
        int32_t target_ns
    ctypedef struct lw_jitter_event_t:
        int32_t event
        int32_t volume
        int32_t end
        int32_t duration
    ctypedef struct lw_jitter:
        pass
    int lw_jitter_open(lw_jitter **out, const lw_jitter_config *config)
    int lw_jitter_put(lw_jitter *j, int64_t now_ns, uint16_t sequence, uint32_t timestamp, int kind,
                      const uint8_t *payload, size_t n)
    int32_t lw_jitter_get(lw_jitter *j, int64_t now_ns, int16_t *out)
    int lw_jitter_event(lw_jitter *j, lw_jitter_event_t *out)
    int lw_jitter_idle(const lw_jitter *j)
    void lw_jitter_stats(const lw_jitter *j, lw_jitter_stats_t *out)
    void lw_jitter_reset(lw_jitter *j)
    void lw_jitter_close(lw_jitter **j)
    ctypedef struct lw_rtp_packet:
        const uint8_t *payload
        size_t size
        uint32_t timestamp
        uint32_t ssrc
        uint16_t sequence
        uint8_t payload_type
        uint8_t marker
    int lw_rtp_parse(lw_rtp_packet *out, const uint8_t *packet, size_t n)
