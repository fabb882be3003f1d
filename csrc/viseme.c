/* Viseme extractor: what the mouth does, from speech, in 60 ms, or a little less surely in 20.
 *
 * Goals: 15 viseme weights every 10 ms in about a microsecond; no movement in silence or noise; the first syllable
 * after silence as good as any; the same bits for any chunking, any company in a batch and on any machine.
 *
 *   frame      25 ms Hann window centred on the row's hop, 10 ms apart, FFT 512
 *   features   log-mel bands minus a running mean of speech, which starts from a learnt prior; Q12
 *   gate       a voice, or not (viseme_gate.c): closed = sil, whatever the model says; and the gain that brings the voice to
 *              the level that the model knows
 *   network    convolution over a window of frames -> rectifier -> GRU -> 28 phone-like classes -> 15 visemes; one head
 *              for a row at once, another for the row some frames back, which knows more
 *   decode     a hidden Markov model (viseme_decode.c)
 *   look-ahead half window beyond the hop (7.5 ms), and 10 ms for each frame of context and of the head
 *
 * Up to LW_VISEME_SESSIONS sessions go through these stages side by side, so that one pass over the weights serves all
 * of them: the network is larger than a core's first-level cache. The arithmetic is in kernels (viseme_front.c,
 * viseme_net.c and their vector forms); what is here is what a session remembers and decides. */
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "lipwire/viseme.h"
#include "viseme_gate.h"

#define LEAD ((LW_VISEME_FRAME - LW_VISEME_HOP) / 2) /* a frame reaches this far beyond its hop on either side */

/* How rows are seen. `ahead`: frames between a row and the newest one it needs. */
typedef struct mode {
    int32_t head, shift, ahead;
} mode;
static const mode early_mode = {0, LW_EARLY, LW_AHEAD + LW_EARLY}, final_mode = {1, LW_FINAL, LW_AHEAD + LW_FINAL};
#define AHEAD_MOST (LW_AHEAD + LW_FINAL)
#define VIEWS 2 /* early and final: what is behind the network's heads; all before them is the same */

/* Running mean of speech: the prior weighs as many frames as MEAN_PRIOR, the memory is MEAN_MEMORY frames. */
#define MEAN_PRIOR 100.0f
#define MEAN_MEMORY 500.0f
#define SPEECH_RANGE 20.0f /* dB below the voice's louder frames that still count as speech */
#define SPEECH_RISE 0.05f
#define SPEECH_FALL 0.003f
#define SPEECH_SINK 0.02f /* dB per frame below that range: a much quieter voice */
#define FEATURE_SCALE (1.0f / 3.0f)

/* A bin's power of what roundings to 16 bits add on the way here, and which a gain of 30 dB makes heard. */
#define ROUNDING 2.5e-8f
#define ROUNDING_HEARD 1000.0f

#define FADE_STEP (1.0f / 3.0f) /* how fast a closing gate takes over from the model, per row */
#define REST_ROWS 20            /* closed this long: the recurrent state starts afresh */

/* Loudness: -60..-12 dBFS is 0..1, after a slow gain towards LW_VOICE_NOMINAL. */
#define LOUD_LOW (-60.0f)
#define LOUD_RANGE 48.0f
#define GAIN_LEAST (-6.0f)
#define GAIN_MOST 15.0f

#define JAW_QUIET 0.6f /* share of the opening that does not depend on loudness */

static const float jaw_of[LW_VISEME_LANES] = {
    0.0f, 0.0f, 0.0f, 0.12f, 0.15f, 0.2f, 0.12f, 0.08f, 0.15f, 0.22f, 1.0f, 0.58f, 0.3f, 0.6f, 0.22f,
};

/* The rows of one mode. */
typedef struct view {
    mode mode;
    int32_t warm; /* frames still missing before the first row */
    int64_t skip; /* samples until the first row's last one */
    int32_t left; /* samples until the row after it */
    lw_viseme_decoder decoder;
    float smooth; /* level behind the loudness */
} view;

struct lw_viseme {
    const lw_viseme_tables *tables;
    view view[VIEWS];
    int32_t views;
    float known; /* level of the voice as it was given, or 0 */

    /* Input. */
    _Alignas(64) int16_t pcm[LW_VISEME_PCM]; /* the frame, then 0 */
    int32_t have;
    int32_t zeros; /* the newest samples that are 0, at most LW_VISEME_FRAME */

    /* Front end. */
    float mean[LW_MEL];
    float mean_frames;
    lw_viseme_gate gate;
    float speech;                /* level of this voice's louder frames behind the gain, dBFS */
    float level[AHEAD_MOST + 1]; /* dBFS behind the gain, oldest first, to the newest frame's */

    /* Network. */
    int32_t context; /* frames still missing before it runs */
    float fade[AHEAD_MOST + 1]; /* 1 = the network's word, 0 = sil; oldest first, to the newest frame's */
    int32_t rest; /* rows since the gate closed */
    _Alignas(64) int16_t feature[LW_PAD32(LW_WINDOW * LW_FEATURES)]; /* of the window's frames, oldest first */
    _Alignas(64) int16_t state_q[LW_PAD32(LW_ROWS(LW_GRU))];         /* the state as the layers take it */
    _Alignas(64) float state[LW_ROWS(LW_GRU)];
};

static inline float clampf(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* ---- front end ------------------------------------------------------------------------------------------------ */

/* Log-mel bands (natural log) of the 25 ms in v->pcm, behind the gain, and their level (dBFS, full-scale square = 0).
 * Returns whether there is any sound; `power` has its spectrum. */
static int analyse(const lw_viseme *v, float power[LW_FFT_BINS], float mel[LW_MEL_VALUES])
{
    const lw_viseme_tables *t = v->tables;
    if (v->zeros >= LW_VISEME_FRAME) {
        memcpy(mel, t->quiet, sizeof t->quiet);
        return 0;
    }
    lw_kernels.viseme_spectrum(power, v->pcm, t);
    float factor = v->gate.factor, less = factor > ROUNDING_HEARD ? ROUNDING * (1.0f - ROUNDING_HEARD / factor) : 0.0f;
    for (int k = 0; less == 0.0f && k < LW_FFT_BINS; k++) /* the same, without a comparison that keeps it from vectors */
        power[k] *= factor;
    for (int k = 0; less > 0.0f && k < LW_FFT_BINS; k++)
        power[k] = power[k] > less ? (power[k] - less) * factor : 0.0f;
    lw_kernels.viseme_mel(mel, power, t);
    return 1;
}

/* The normalised bands of a frame to the end of the window; features beside the bands, if the model has any, are 0. */
static void push_features(lw_viseme *v, const float *mel)
{
    memmove(v->feature, v->feature + LW_FEATURES, (LW_WINDOW - 1) * LW_FEATURES * sizeof v->feature[0]);
    int16_t *newest = v->feature + (LW_WINDOW - 1) * LW_FEATURES;
    for (int b = 0; b < LW_MEL; b++)
        newest[b] = lw_quantise((mel[b] - v->mean[b]) * FEATURE_SCALE, LW_FEATURE_BITS);
}

/* The frame in v->pcm: its level, the gate, its features. */
static void push_frame(lw_viseme *v)
{
    _Alignas(64) float mel[LW_MEL_VALUES], power[LW_FFT_BINS];
    int sound = analyse(v, power, mel);
    float level = 4.3429448f * mel[LW_MEL_LEVEL];
    lw_viseme_gate_frame(&v->gate, level, mel, power, sound ? v->pcm : NULL);
    if (v->gate.open && level > v->speech - SPEECH_RANGE) {
        v->mean_frames += v->mean_frames < MEAN_MEMORY ? 1.0f : 0.0f;
        float share = 1.0f / v->mean_frames;
        for (int b = 0; b < LW_MEL; b++)
            v->mean[b] += (mel[b] - v->mean[b]) * share;
        v->speech += (level > v->speech ? SPEECH_RISE : SPEECH_FALL) * (level - v->speech);
    } else if (v->gate.open) {
        v->speech -= SPEECH_SINK;
    }
    memmove(v->level, v->level + 1, AHEAD_MOST * sizeof v->level[0]);
    v->level[AHEAD_MOST] = level;
    push_features(v, mel);
}

/* ---- network -------------------------------------------------------------------------------------------------- */

/* One step of each session, from the window in its features: the viseme weights of each view's row. */
static void infer(lw_viseme *const *v, size_t sessions, float weights[][VIEWS][LW_VISEME_LANES])
{
    enum { CONV = LW_ROWS(LW_CONV), GATES = 3 * LW_ROWS(LW_GRU), OUT = LW_HEADS * LW_CLASS_LANES };
    const lw_viseme_model *m = &lw_viseme_weights;
    const lw_viseme_tables *t = v[0]->tables;
    _Alignas(64) int32_t sums[LW_VISEME_SESSIONS][GATES], rec[LW_VISEME_SESSIONS][GATES];
    _Alignas(64) int16_t conv[LW_VISEME_SESSIONS][LW_PAD32(CONV)];
    _Static_assert((int)CONV <= (int)GATES && (int)OUT <= (int)GATES, "one buffer for every layer's sums");
    const int16_t *feature[LW_VISEME_SESSIONS] = {0}, *rectified[LW_VISEME_SESSIONS] = {0};
    const int16_t *state[LW_VISEME_SESSIONS] = {0};
    for (size_t s = 0; s < sessions; s++)
        feature[s] = v[s]->feature, rectified[s] = conv[s], state[s] = v[s]->state_q;

    lw_kernels.viseme_dense(sums[0], GATES, feature, sessions, &t->conv);
    for (size_t s = 0; s < sessions; s++)
        lw_kernels.viseme_rectify(conv[s], sums[s], m);
    lw_kernels.viseme_dense(sums[0], GATES, rectified, sessions, &t->gate_in);
    lw_kernels.viseme_dense(rec[0], GATES, state, sessions, &t->gate_state);
    for (size_t s = 0; s < sessions; s++)
        lw_kernels.viseme_gates(v[s]->state, v[s]->state_q, sums[s], rec[s], m);
    lw_kernels.viseme_dense(sums[0], GATES, state, sessions, &t->out);
    for (size_t s = 0; s < sessions; s++)
        for (int k = 0; k < v[s]->views; k++) {
            int head = v[s]->view[k].mode.head * LW_CLASS_LANES;
            lw_kernels.viseme_classes(weights[s][k], sums[s] + head, m->out_scale + head, m->out_bias + head, t);
        }
}

/* Before the network: does it run for the newest frame? */
static int wakes(lw_viseme *v)
{
    const lw_viseme_gate *g = &v->gate;
    if (v->context > 0) {
        v->context--;
        return 0;
    }
    float before = v->fade[AHEAD_MOST];
    memmove(v->fade, v->fade + 1, AHEAD_MOST * sizeof v->fade[0]);
    v->fade[AHEAD_MOST] = g->open ? 1.0f : before > FADE_STEP ? before - FADE_STEP : 0.0f;
    for (int i = 1; g->open && i < LW_GATE_CONFIRM; i++) /* those that had to be confirmed were the voice's, too */
        v->fade[AHEAD_MOST - i] = 1.0f;
    v->rest = g->open || g->pending ? 0 : v->rest < REST_ROWS ? v->rest + 1 : REST_ROWS;
    if (v->rest < REST_ROWS)
        return 1;
    memset(v->state, 0, sizeof v->state);
    memset(v->state_q, 0, sizeof v->state_q);
    return 0;
}

/* The closing gate has its way. */
static void fade_out(float weights[LW_VISEME_LANES], float fade)
{
    for (int i = 0; i < LW_VISEMES; i++)
        weights[i] *= fade;
    weights[0] += 1.0f - fade;
}

/* ---- output --------------------------------------------------------------------------------------------------- */

/* Loudness of the row: rises at once, falls within some 40 ms. */
static float loudness(const lw_viseme *v, view *w)
{
    float level = v->level[AHEAD_MOST - w->mode.ahead];
    w->smooth += (level > w->smooth ? 0.6f : 0.25f) * (level - w->smooth);
    float gain = clampf(LW_VOICE_NOMINAL - v->speech, GAIN_LEAST, GAIN_MOST);
    return v->fade[AHEAD_MOST - w->mode.shift] * clampf((w->smooth + gain - LOUD_LOW) / LOUD_RANGE, 0.0f, 1.0f);
}

static void write_row(const lw_viseme *v, view *w, const float weights[LW_VISEME_LANES], float *row)
{
    float loud = loudness(v, w), opening[LW_VISEME_LANES];
    for (int i = 0; i < LW_VISEME_LANES; i++)
        opening[i] = weights[i] * jaw_of[i];
    float share = JAW_QUIET + (1.0f - JAW_QUIET) * clampf(1.2f * loud, 0.0f, 1.0f);
    memcpy(row, weights, LW_VISEMES * sizeof *row);
    row[LW_JAW] = clampf(lw_tree16(opening) * share, 0.0f, 1.0f);
    row[LW_LOUDNESS] = loud;
}

/* What the newest frame gives of one view, `likely` being the network's word: 1, or 0 while there is no row. */
static int show(const lw_viseme *v, view *w, const float likely[LW_VISEME_LANES], float *to)
{
    _Alignas(64) float row[LW_VISEME_LANES];
    if (w->warm > 0) {
        w->warm--;
        return 0;
    }
    lw_viseme_decode(&w->decoder, likely, row);
    fade_out(row, v->fade[AHEAD_MOST - w->mode.shift]);
    write_row(v, w, row, to);
    w->left = LW_VISEME_HOP;
    return 1;
}

/* ---- sessions side by side ------------------------------------------------------------------------------------- */

/* A session's input and where the rows of its views go. */
typedef struct feed {
    lw_viseme *v;
    const uint8_t *from; /* samples, may be odd-aligned */
    size_t n;
    float *rows[VIEWS];
} feed;

/* Takes samples up to the end of the next frame; returns whether they sufficed. */
static int fill_frame(feed *f)
{
    lw_viseme *v = f->v;
    size_t take = (size_t)(LW_VISEME_FRAME - v->have);
    take = take < f->n ? take : f->n;
    int16_t *to = v->pcm + v->have;
    if (take)
        memcpy(to, f->from, take * sizeof *to);
    f->from += take * sizeof *to;
    f->n -= take;
    v->have += (int32_t)take;
    size_t trail = 0;
    while (trail < take && to[take - 1 - trail] == 0)
        trail++;
    v->zeros = trail == take ? v->zeros + (int32_t)take : (int32_t)trail;
    v->zeros = v->zeros < LW_VISEME_FRAME ? v->zeros : LW_VISEME_FRAME;
    for (view *w = v->view; w < v->view + v->views; w++)
        if (w->skip > 0)
            w->skip -= (int64_t)take;
        else
            w->left -= (int32_t)take;
    return v->have == LW_VISEME_FRAME;
}

static void next_frame(lw_viseme *v)
{
    v->have -= LW_VISEME_HOP;
    memmove(v->pcm, v->pcm + LW_VISEME_HOP, (size_t)v->have * sizeof v->pcm[0]);
}

/* All that the feeds have: a frame of each that can fill one, until none can. */
static void run(feed *feeds, size_t sessions)
{
    for (;;) {
        _Alignas(64) float weights[LW_VISEME_SESSIONS][VIEWS][LW_VISEME_LANES];
        feed *full[LW_VISEME_SESSIONS];
        lw_viseme *awake[LW_VISEME_SESSIONS];
        int is_awake[LW_VISEME_SESSIONS];
        size_t frames = 0, steps = 0;
        for (size_t s = 0; s < sessions; s++)
            if (fill_frame(&feeds[s]))
                full[frames++] = &feeds[s];
        if (!frames)
            return;
        for (size_t i = 0; i < frames; i++) {
            lw_viseme *v = full[i]->v;
            push_frame(v);
            next_frame(v);
            is_awake[i] = wakes(v);
            if (is_awake[i])
                awake[steps++] = v;
        }
        if (steps)
            infer(awake, steps, weights);
        for (size_t i = 0, step = 0; i < frames; i++) {
            static const float sil[LW_VISEME_LANES] = {1.0f};
            lw_viseme *v = full[i]->v;
            for (int k = 0; k < v->views; k++)
                if (show(v, &v->view[k], is_awake[i] ? weights[step][k] : sil, full[i]->rows[k]))
                    full[i]->rows[k] += LW_CHANNELS;
            step += (size_t)is_awake[i];
        }
    }
}

/* ---- the interface -------------------------------------------------------------------------------------------- */

int lw_viseme_open(lw_viseme **out, const lw_viseme_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = aligned_alloc(64, sizeof **out);
    if (!*out)
        return LW_ENOMEM;
    lw_viseme *v = *out;
    v->tables = lw_viseme_tables_get();
    v->views = config && config->both ? VIEWS : 1;
    v->view[0].mode = config && (config->early || config->both) ? early_mode : final_mode;
    v->view[1].mode = final_mode;
    v->known = config ? config->voice : 0.0f;
    lw_viseme_reset(*out);
    return 0;
}

/* As new, with a gate that has been set up. */
static void begin(lw_viseme *v)
{
    *v = (lw_viseme){
        .tables = v->tables,
        .view = {{.mode = v->view[0].mode}, {.mode = v->view[1].mode}},
        .views = v->views,
        .known = v->known,
        .gate = v->gate,
        .have = LEAD, /* silence before the first sample */
        .zeros = LW_VISEME_FRAME,
        .mean_frames = MEAN_PRIOR,
        .speech = LW_VOICE_NOMINAL,
        .context = LW_AHEAD,
        .rest = REST_ROWS,
    };
    for (view *w = v->view; w < v->view + VIEWS; w++) {
        w->warm = w->mode.ahead;
        w->skip = LW_VISEME_HOP + LEAD + w->mode.ahead * LW_VISEME_HOP;
        w->left = LW_VISEME_HOP;
        w->smooth = -100.0f;
        lw_viseme_decoder_reset(&w->decoder);
    }
    memcpy(v->mean, lw_viseme_weights.prior, sizeof v->mean);
    for (int i = 0; i <= AHEAD_MOST; i++)
        v->level[i] = -100.0f;
    for (int i = 0; i < LW_WINDOW; i++)
        push_features(v, v->tables->quiet);
}

void lw_viseme_reset(lw_viseme *v)
{
    if (!v)
        return;
    lw_viseme_gate_reset(&v->gate, v->known);
    begin(v);
}

void lw_viseme_restart(lw_viseme *v)
{
    if (!v)
        return;
    lw_viseme_gate_restart(&v->gate);
    begin(v);
}

void lw_viseme_prefetch(const lw_viseme *v)
{
    lw_prefetch(v, sizeof *v);
}

float lw_viseme_voice(const lw_viseme *v)
{
    return v ? v->gate.voice : LW_VOICE_NOMINAL;
}

int lw_viseme_lookahead(const lw_viseme *v)
{
    return v ? LEAD + v->view[v->views - 1].mode.ahead * LW_VISEME_HOP : LW_EINVAL;
}

/* Exactly the rows of a view that n more samples will give. */
static size_t bound(const view *w, size_t n)
{
    size_t first = w->skip > 0 ? (size_t)w->skip : (size_t)w->left;
    return n < first ? 0 : 1 + (n - first) / LW_VISEME_HOP;
}

size_t lw_viseme_bound(const lw_viseme *v, size_t n)
{
    return v ? bound(&v->view[0], n) : 0; /* where there are both, the early ones are ahead */
}

int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap)
{
    return lw_viseme_process_many(&v, 1, &pcm, &n, &rows, cap);
}

int64_t lw_viseme_process_many(lw_viseme *const *v, size_t sessions, const int16_t *const *pcm, const size_t *n,
                               float *const *rows, size_t cap)
{
    if (sessions && (!v || !pcm || !n || !rows))
        return LW_EINVAL;
    int64_t made = 0;
    for (size_t s = 0; s < sessions; s++) {
        if (!v[s] || v[s]->views != 1 || (n[s] && !pcm[s]))
            return LW_EINVAL;
        size_t most = lw_viseme_bound(v[s], n[s]);
        if (most > cap)
            return LW_ENOSPC;
        if (most && !rows[s])
            return LW_EINVAL;
        made += (int64_t)most;
    }
    for (size_t first = 0; first < sessions; first += LW_VISEME_SESSIONS) {
        feed feeds[LW_VISEME_SESSIONS];
        size_t count = sessions - first < LW_VISEME_SESSIONS ? sessions - first : LW_VISEME_SESSIONS;
        for (size_t i = 0; i < count; i++)
            feeds[i] = (feed){v[first + i], (const uint8_t *)pcm[first + i], n[first + i], {rows[first + i]}};
        run(feeds, count);
    }
    return made;
}

int lw_viseme_process_both(lw_viseme_part *parts, size_t sessions, size_t cap)
{
    if (sessions && !parts)
        return LW_EINVAL;
    for (lw_viseme_part *p = parts; p < parts + sessions; p++) {
        if (!p->v || p->v->views != VIEWS || (p->n && !p->pcm))
            return LW_EINVAL;
        p->early_rows = bound(&p->v->view[0], p->n);
        p->final_rows = bound(&p->v->view[1], p->n);
        if (p->early_rows > cap)
            return LW_ENOSPC;
        if ((p->early_rows && !p->early) || (p->final_rows && !p->final))
            return LW_EINVAL;
    }
    for (size_t first = 0, count; first < sessions; first += count) {
        feed feeds[LW_VISEME_SESSIONS];
        count = sessions - first < LW_VISEME_SESSIONS ? sessions - first : LW_VISEME_SESSIONS;
        for (size_t i = 0; i < count; i++) {
            const lw_viseme_part *p = &parts[first + i];
            feeds[i] = (feed){p->v, (const uint8_t *)p->pcm, p->n, {p->early, p->final}};
        }
        run(feeds, count);
    }
    return 0;
}

void lw_viseme_close(lw_viseme **v)
{
    if (!v)
        return;
    free(*v);
    *v = NULL;
}
