# Mirrors csrc/lipwire.h, in its order.
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "lipwire.h" nogil:
    enum: LW_RATE
    enum: LW_BLOCK
    enum: LW_VISEME_RATE
    enum: LW_VISEME_HOP
    enum: LW_VISEMES
    enum: LW_CHANNELS
    enum: LW_JAW
    enum: LW_LOUDNESS
    enum: LW_CPU_AVX2
    enum: LW_CPU_AVX512
    enum: LW_CPU_NEON
    enum: LW_RESAMPLER_MAX_PHASES
    enum: LW_G722_MAX_CHANNELS
    enum: LW_OPUS_MAX_FRAMES
    enum: LW_OPUS_MAX_FRAME_BYTES
    enum: LW_RESAMPLER_VOICE
    enum: LW_RESAMPLER_HIGH
    enum: LW_PCM16
    enum: LW_PCM8
    enum: LW_OPUS
    enum: LW_MAX_LAYERS
    enum: LW_MOUTH_DIMS
    enum: LW_BT709
    enum: LW_BT601
    enum: LW_SELECT_FIXED
    enum: LW_SELECT_MOUTH
    enum: LW_ENGINE_MAX_LAG_MS
    enum: LW_EINVAL
    enum: LW_ENOMEM
    enum: LW_ENOSPC
    enum: LW_EDATA
    enum: LW_ESTATE
    enum: LW_EVENT_STARTED
    enum: LW_EVENT_FINISHED
    enum: LW_EVENT_UNDERRUN
    enum: LW_EVENT_MOUTH
    enum: LW_AXIS_HEAD_X
    enum: LW_AXIS_HEAD_Y
    enum: LW_AXIS_BREATH
    enum: LW_AXIS_BLINK
    enum: LW_AXIS_GAZE_X
    enum: LW_AXIS_GAZE_Y
    enum: LW_AXIS_BROW
    enum: LW_AXIS_JAW
    enum: LW_AXIS_HEAD_ROLL
    enum: LW_AXIS_HAPPY
    enum: LW_AXIS_CONCERNED
    enum: LW_AXIS_SURPRISED
    enum: LW_AXIS_LIDS
    enum: LW_AXIS_WAVE
    enum: LW_AXIS_HEAD_TURN
    enum: LW_AXES
    enum: LW_LIDS_REST
    enum: LW_MOTION_STATE
    enum: LW_MOTION_EXPRESSION
    enum: LW_MOTION_GESTURE
    const char *lw_version()
    const char *lw_strerror(int code)
    uint32_t lw_cpu_detect()
    uint32_t lw_cpu_use(uint32_t mask)
    uint32_t lw_cpu_used()
    const char *lw_cpu_level(uint32_t mask)
    ctypedef struct lw_resampler:
        pass
    ctypedef struct lw_resampler_config:
        int32_t in_rate
        int32_t out_rate
        int32_t channels
        int32_t quality
    int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config)
    int64_t lw_resampler_process(lw_resampler *r, const int16_t *pcm, size_t n, size_t *consumed, int16_t *out, size_t cap)
    int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap)
    size_t lw_resampler_ready(const lw_resampler *r, size_t n)
    size_t lw_resampler_bound(const lw_resampler *r, size_t n)
    int64_t lw_resampler_delay_ns(const lw_resampler *r)
    void lw_resampler_reset(lw_resampler *r)
    void lw_resampler_close(lw_resampler **r)
    void lw_alaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
    void lw_ulaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
    void lw_alaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
    void lw_ulaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
    ctypedef struct lw_g722_config:
        int32_t bitrate
    ctypedef struct lw_g722_encoder:
        pass
    ctypedef struct lw_g722_decoder:
        pass
    int lw_g722_encoder_open(lw_g722_encoder **out, const lw_g722_config *config)
    int64_t lw_g722_encoder_process(lw_g722_encoder *e, const int16_t *pcm, size_t n, uint8_t *codes, size_t cap)
    size_t lw_g722_encoder_bound(const lw_g722_encoder *e, size_t n)
    void lw_g722_encoder_reset(lw_g722_encoder *e)
    void lw_g722_encoder_close(lw_g722_encoder **e)
    int lw_g722_decoder_open(lw_g722_decoder **out, const lw_g722_config *config)
    int64_t lw_g722_decoder_process(lw_g722_decoder *d, const uint8_t *codes, size_t n, int16_t *pcm, size_t cap)
    void lw_g722_decoder_reset(lw_g722_decoder *d)
    void lw_g722_decoder_close(lw_g722_decoder **d)
    ctypedef struct lw_g722_batch_config:
        int32_t bitrate
        int32_t channels
    ctypedef struct lw_g722_encoder_batch:
        pass
    ctypedef struct lw_g722_decoder_batch:
        pass
    int lw_g722_encoder_batch_open(lw_g722_encoder_batch **out, const lw_g722_batch_config *config)
    int64_t lw_g722_encoder_batch_process(lw_g722_encoder_batch *b, const int16_t **pcm, size_t n, uint8_t **codes)
    int lw_g722_encoder_batch_reset(lw_g722_encoder_batch *b, int32_t channel)
    void lw_g722_encoder_batch_close(lw_g722_encoder_batch **b)
    int lw_g722_decoder_batch_open(lw_g722_decoder_batch **out, const lw_g722_batch_config *config)
    int64_t lw_g722_decoder_batch_process(lw_g722_decoder_batch *b, const uint8_t **codes, size_t n, int16_t **pcm)
    int lw_g722_decoder_batch_reset(lw_g722_decoder_batch *b, int32_t channel)
    void lw_g722_decoder_batch_close(lw_g722_decoder_batch **b)
    ctypedef struct lw_opus_packet:
        uint8_t toc
        uint8_t config
        uint8_t mode
        uint8_t bandwidth
        uint8_t channels
        uint8_t code
        uint8_t vbr
        uint8_t frames
        uint8_t dtx
        uint8_t fec
        uint8_t rule
        uint16_t frame_samples
        uint16_t samples
        uint32_t padding
        uint32_t offset[LW_OPUS_MAX_FRAMES]
        uint16_t size[LW_OPUS_MAX_FRAMES]
    ctypedef struct lw_opus_frame:
        const uint8_t *data
        size_t size
    int lw_opus_parse(const uint8_t *packet, size_t n, lw_opus_packet *out)
    const char *lw_opus_rule(int rule)
    int64_t lw_opus_pack(uint8_t toc, const lw_opus_frame *frames, int count, size_t size, uint8_t *out, size_t cap)
    int64_t lw_opus_pad(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap)
    int64_t lw_opus_unpad(const uint8_t *packet, size_t n, uint8_t *out, size_t cap)
    ctypedef struct lw_voice:
        size_t audio
        size_t audio_chars
        size_t audio_bytes
        size_t id
        size_t id_chars
        int32_t has_id
        int32_t rate
        int32_t encoding
    ctypedef struct lw_voice_around:
        pass
    int lw_voice_scan(const void *text, size_t n, lw_voice *v)
    int lw_voice_next(lw_voice_around *around, const void *text, size_t n, lw_voice *v)
    int64_t lw_base64_bytes(const void *text, size_t n)
    int64_t lw_base64_decode(void *out, const void *text, size_t n)
    void lw_pcm8_decode(void *out, const void *pcm8, size_t n)
    ctypedef struct lw_rate_meter:
        pass
    void lw_rate_meter_reset(lw_rate_meter *m)
    void lw_rate_meter_pause(lw_rate_meter *m)
    int lw_rate_meter_add(lw_rate_meter *m, int32_t declared, int64_t samples, double now)
    ctypedef struct lw_viseme:
        pass
    ctypedef struct lw_viseme_config:
        int32_t early

    int lw_viseme_open(lw_viseme **out, const lw_viseme_config *config)
    int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap)
    size_t lw_viseme_bound(const lw_viseme *v, size_t n)
    int64_t lw_viseme_process_many(lw_viseme **v, size_t sessions, const int16_t **pcm, const size_t *n, float **rows,
                                   size_t cap)
    int lw_viseme_lookahead(const lw_viseme *v)
    void lw_viseme_reset(lw_viseme *v)
    void lw_viseme_close(lw_viseme **v)
    ctypedef struct lw_speech:
        pass
    ctypedef struct lw_speech_config:
        int32_t capacity
        int32_t prebuffer
        int32_t dry_timeout
    ctypedef struct lw_event:
        int32_t type
        int32_t value
        uint64_t utterance
        int64_t sample
        int64_t played
    int lw_speech_open(lw_speech **out, const lw_speech_config *config)
    int64_t lw_speech_write(lw_speech *s, const int16_t *pcm, size_t n)
    int64_t lw_speech_space(const lw_speech *s)
    int lw_speech_end(lw_speech *s, int32_t grace)
    int64_t lw_speech_interrupt(lw_speech *s)
    int lw_speech_tick(lw_speech *s, int16_t *out, lw_event *events, int cap)
    int lw_speech_look(lw_speech *s, int32_t ahead, int16_t *out, int64_t *sample, int *restarted)
    int64_t lw_speech_clock(const lw_speech *s)
    int64_t lw_speech_buffered(const lw_speech *s)
    int64_t lw_speech_generation(const lw_speech *s)
    int64_t lw_speech_heeded(const lw_speech *s)
    uint64_t lw_speech_writing(const lw_speech *s)
    uint64_t lw_speech_utterance(const lw_speech *s)
    int lw_speech_active(const lw_speech *s)
    int64_t lw_speech_played(const lw_speech *s, uint64_t *utterance)
    void lw_speech_close(lw_speech **s)
    ctypedef struct lw_pose:
        int16_t axis[15]
        int16_t viseme[15]
        int16_t loudness
    ctypedef struct lw_motion:
        pass
    ctypedef struct lw_motion_config:
        uint32_t seed
    int lw_motion_open(lw_motion **out, const lw_motion_config *config)
    int lw_motion_check(int setting, int value)
    int lw_motion_set(lw_motion *m, int setting, int value)
    void lw_motion_step(lw_motion *m, const float *row, int speaking, lw_pose *pose)
    void lw_motion_close(lw_motion **m)
    ctypedef struct lw_image:
        const uint8_t *rgba
        int32_t width
        int32_t height
    ctypedef struct lw_picture:
        uint8_t *i420
        int32_t width
        int32_t height
    int lw_picture_from_rgba(const lw_picture *to, const lw_image *image, int32_t matrix)
    int lw_picture_fill(const lw_picture *to, uint8_t r, uint8_t g, uint8_t b, int32_t matrix)
    int lw_picture_to_rgb(const lw_picture *source, uint8_t *rgb, int32_t matrix)
    int lw_picture_scale(const lw_picture *to, const lw_picture *source)
    ctypedef struct lw_key:
        uint8_t r
        uint8_t g
        uint8_t b
        int32_t similarity
        int32_t smoothness
        int32_t spill
        int32_t matrix
    int lw_chroma_key(uint8_t *out, const lw_image *image, const lw_key *key)
    ctypedef struct lw_sprite:
        pass
    int lw_sprite_open(lw_sprite **out, const lw_image *image, int32_t matrix)
    int lw_sprite_open_scaled(lw_sprite **out, const lw_sprite *source, int32_t width, int32_t height)
    int lw_sprite_width(const lw_sprite *s)
    int lw_sprite_height(const lw_sprite *s)
    size_t lw_sprite_bytes(const lw_sprite *s)
    int lw_sprite_blend(const lw_sprite *s, const lw_picture *to, int32_t x8, int32_t y8)
    ctypedef struct lw_turn:
        int32_t x8
        int32_t y8
        int32_t pivot_x8
        int32_t pivot_y8
        int32_t angle
        int32_t scale_q16
    int lw_sprite_warp(const lw_sprite *s, const lw_picture *to, const lw_turn *turn)
    void lw_sprite_close(lw_sprite **s)
    ctypedef struct lw_layer:
        int32_t first_image
        int32_t image_count
        int32_t select
        int32_t x8
        int32_t y8
        int32_t kx8[15]
        int32_t ky8[15]
        int32_t pivot_x8
        int32_t pivot_y8
        int32_t kangle[15]
    ctypedef struct lw_avatar:
        pass
    ctypedef struct lw_avatar_config:
        int32_t width
        int32_t height
        const lw_image *images
        int32_t image_count
        const lw_layer *layers
        int32_t layer_count
        int32_t mouth_dims
        int32_t mouth_count
        const int16_t *mouth_coords
        const int16_t *viseme_coords
        int32_t matrix
    int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config)
    int lw_avatar_width(const lw_avatar *a)
    int lw_avatar_height(const lw_avatar *a)
    int lw_avatar_matrix(const lw_avatar *a)
    size_t lw_avatar_bytes(const lw_avatar *a)
    void lw_avatar_close(lw_avatar **a)
    ctypedef struct lw_canvas:
        int32_t valid
        int32_t image[32]
        int32_t x8[32]
        int32_t y8[32]
        int32_t angle[32]
    int lw_canvas_same(const lw_canvas *a, const lw_canvas *b)
    int lw_compose(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, int *mouth_open)
    ctypedef struct lw_performer:
        pass
    ctypedef struct lw_draw_info:
        int64_t sample
        int64_t sequence
        uint64_t utterance
        int32_t width
        int32_t height
        float loudness
        float axis[LW_AXES]
        float viseme[LW_VISEMES]

    enum:
        LW_DRAW_SAME
        LW_DRAW_SLOW_NS
    ctypedef int (*lw_draw)(void *user, uint8_t *i420, const lw_draw_info *info) nogil

    ctypedef struct lw_performer_config:
        lw_avatar *avatar
        lw_draw draw
        void *draw_user
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t frame_slots
        int32_t pcm_blocks
        uint8_t *frames
        size_t frame_stride
        uint32_t seed
        lw_speech_config speech
    ctypedef struct lw_stats:
        int64_t clock
        int64_t buffered
        int64_t generation
        int64_t frames
        int64_t frames_unchanged
        int64_t frames_skipped
        int64_t frames_dropped
        int64_t pcm_dropped
        int64_t events_dropped
        int64_t underruns
        int64_t underrun_samples
        int64_t utterances
        int64_t draws
        int64_t draw_errors
        int64_t draw_slow
        int64_t draw_ns
        int64_t draw_worst_ns
        int64_t active
        int64_t bytes
    ctypedef struct lw_frame_info:
        int64_t sample
        int64_t sequence
        uint64_t utterance
        int64_t generation
        int32_t changed
        int32_t mouth_open
        int64_t due_ns
        lw_pose pose
    int lw_performer_open(lw_performer **out, const lw_performer_config *config)
    int lw_performer_write(lw_performer *p, const void *pcm, size_t n, int32_t rate)
    int lw_performer_end(lw_performer *p, int32_t grace)
    int64_t lw_performer_interrupt(lw_performer *p)
    int lw_performer_set(lw_performer *p, int setting, int value)
    uint64_t lw_performer_writing(const lw_performer *p)
    uint64_t lw_performer_utterance(const lw_performer *p)
    int64_t lw_performer_space(const lw_performer *p)
    int lw_performer_tick(lw_performer *p, int64_t now_ns, int draw)
    int lw_performer_read_pcm(lw_performer *p, int16_t *out, int64_t *sample)
    int64_t lw_performer_heard(const lw_performer *p, uint64_t *utterance)
    int64_t lw_performer_heeded(const lw_performer *p)
    int lw_performer_read_event(lw_performer *p, lw_event *event)
    int lw_performer_acquire_frame(lw_performer *p, lw_frame_info *info)
    uint8_t *lw_performer_frame(lw_performer *p, int slot)
    void lw_performer_release_frame(lw_performer *p, int slot)
    void lw_performer_stats(const lw_performer *p, lw_stats *stats)
    void lw_performer_close(lw_performer **p)
    enum:
        LW_SHARE_VERSION
        LW_SHARE_SILENT_NS
    ctypedef struct lw_share:
        pass
    ctypedef struct lw_share_reader:
        pass
    ctypedef struct lw_share_config:
        const char *session
        int32_t named
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t matrix
        int32_t frame_slots
        int32_t frames_kept
        int32_t pcm_blocks
    int lw_share_open(lw_share **out, const lw_share_config *config)
    int lw_share_fd(const lw_share *s)
    const char *lw_share_name(const lw_share *s)
    uint8_t *lw_share_slot(lw_share *s, int slot)
    size_t lw_share_stride(const lw_share *s)
    int lw_share_free_slot(const lw_share *s)
    int lw_share_write_pcm(lw_share *s, const void *pcm, int64_t sample, int64_t now_ns)
    int lw_share_write_frame(lw_share *s, int slot, const lw_frame_info *info, int64_t now_ns)
    int lw_share_retire(lw_share *s, int64_t sample)
    int64_t lw_share_interrupt(lw_share *s)
    void lw_share_beat(lw_share *s, int64_t now_ns)
    void lw_share_end(lw_share *s)
    void lw_share_close(lw_share **s)
    int lw_share_sweep()
    ctypedef struct lw_share_pcm:
        int64_t number
        int64_t sample
        int64_t generation
        int64_t published_ns
        const int16_t *pcm
    ctypedef struct lw_share_frame:
        int64_t number
        int64_t sample
        int64_t sequence
        int64_t generation
        uint64_t utterance
        int64_t due_ns
        int64_t published_ns
        int32_t slot
        int32_t changed
        int32_t mouth_open
        const uint8_t *i420
    ctypedef struct lw_share_stats:
        int64_t generation
        int64_t clock
        int64_t heartbeat_ns
        int64_t ended
        int64_t pcm_lag
        int64_t pcm_lost
        int64_t pcm_stale
        int64_t frames_lag
        int64_t frames_lost
        int64_t frames_stale
    int lw_share_attach(lw_share_reader **out, int fd, const char **why)
    void lw_share_geometry(const lw_share_reader *r, lw_share_config *out, int32_t *pid)
    int lw_share_read_pcm(lw_share_reader *r, lw_share_pcm *out)
    int lw_share_read_frame(lw_share_reader *r, lw_share_frame *out)
    int lw_share_pcm_valid(const lw_share_reader *r, int64_t number)
    int lw_share_frame_valid(const lw_share_reader *r, int64_t number)
    int64_t lw_share_seek(lw_share_reader *r, int64_t sample)
    int lw_share_wait(lw_share_reader *r, int64_t now_ns, int64_t until_ns)
    void lw_share_stats_get(const lw_share_reader *r, lw_share_stats *stats)
    void lw_share_detach(lw_share_reader **r)
    ctypedef struct lw_engine:
        pass
    ctypedef struct lw_engine_stats:
        int64_t ticks
        int64_t late_ticks
        int64_t lost_ticks
        int64_t busy_ns
        int64_t worst_ns
        int64_t sessions
    int lw_engine_open(lw_engine **out, int max_sessions)
    int lw_engine_fd(const lw_engine *e)
    int lw_engine_attach(lw_engine *e, lw_performer *p)
    int lw_engine_detach(lw_engine *e, lw_performer *p)
    void lw_engine_stats_get(const lw_engine *e, lw_engine_stats *stats)
    void lw_engine_close(lw_engine **e)
