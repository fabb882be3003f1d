/* Viseme extractor: what the mouth does, from speech, in 37.5 ms.
 *
 * Goals: 15 viseme weights every 10 ms at a few microseconds; no movement in silence or noise; the first syllable
 * after silence as good as any; the same bits for any chunking.
 *
 *   frame      25 ms Hann window centred on the row's hop, 10 ms apart, FFT 512
 *   features   32 log-mel bands minus a running mean of speech, which starts from a learnt prior; Q12
 *   gate       level against an adaptive noise floor, hysteresis, 80 ms hold: closed = sil, whatever the model says
 *   model      convolution over frames t-2..t+2 -> rectifier -> GRU -> 28 phone-like classes -> 15 visemes
 *   smoothing  1/4 1/2 1/4 over neighbouring rows: a seventh fewer switches (people: 1.68 to 1.44 per true one)
 *   look-ahead half window beyond the hop (7.5 ms) + two frames of context + one of smoothing (30 ms)
 *
 * Dot products are int16 x int16 -> int32: exact in any order, so they vectorise. The rest is float with plain
 * + - * / and our own log2 and exp2; libm only makes tables in open. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fft.h"
#include "lipwire.h"
#include "viseme_model.h"

#define WINDOW 400
#define LEAD ((WINDOW - LW_VISEME_HOP) / 2) /* a frame reaches this far beyond its hop on either side */
#define AHEAD (LW_AHEAD + 1)                /* frames between a row and the newest one it needs */
#define LOOKAHEAD (LEAD + AHEAD * LW_VISEME_HOP)
#define MEL_LOW 60.0
#define MEL_HIGH 7700.0
#define MEL_FLOOR 2e-6f /* added to a band's power: about white noise at -75 dBFS */

/* Running mean of speech: the prior weighs as many frames as MEAN_PRIOR, the memory is MEAN_MEMORY frames. */
#define MEAN_PRIOR 100.0f
#define MEAN_MEMORY 500.0f
#define SPEECH_RANGE 20.0f /* dB below the voice's louder frames that still count as speech */
#define SPEECH_RISE 0.05f
#define SPEECH_FALL 0.003f
#define SPEECH_SINK 0.02f /* dB per frame below that range: a much quieter voice */
#define FEATURE_SCALE (1.0f / 3.0f)

/* The gate, in dBFS of a frame. Opens above floor + OPEN_MARGIN, closes below floor + CLOSE_MARGIN for HOLD frames. */
#define OPEN_MARGIN 9.0f
#define CLOSE_MARGIN 6.0f
#define OPEN_LEAST (-54.0f)
#define CLOSE_LEAST (-57.0f)
#define HOLD 8
#define FLOOR_START (-75.0f)
#define FLOOR_MOST (-38.0f)
#define FLOOR_DROP 0.2f    /* of the distance, per frame */
#define FLOOR_RISE 0.04f   /* dB per frame */
#define FLOOR_STEADY 0.25f /* dB per frame while the level stands still, as only noise does */
#define STEADY_RANGE 5.0f  /* dB within STEADY_FRAMES */
#define STEADY_FRAMES 32
#define FADE_STEP (1.0f / 3.0f) /* how fast a closing gate takes over from the model, per row */
#define REST_ROWS 20            /* closed this long: the recurrent state starts afresh */

/* Loudness: -60..-12 dBFS is 0..1, after a slow gain towards LOUD_TARGET. */
#define LOUD_LOW (-60.0f)
#define LOUD_RANGE 48.0f
#define LOUD_TARGET (-18.0f)
#define GAIN_LEAST (-6.0f)
#define GAIN_MOST 15.0f

#define JAW_QUIET 0.6f /* share of the opening that does not depend on loudness */

static const float jaw_of[LW_VISEMES] = {
    0.0f, 0.0f, 0.0f, 0.12f, 0.15f, 0.2f, 0.12f, 0.08f, 0.15f, 0.22f, 1.0f, 0.58f, 0.3f, 0.6f, 0.22f,
};

typedef struct frame {
    float level;  /* dBFS */
    int32_t open; /* the gate */
    int16_t feature[LW_MEL];
} frame;

struct lw_viseme {
    /* Tables. */
    lw_fft fft;
    float window[2][WINDOW / 2]; /* even and odd samples' taps, scaled to full scale 1 */
    float rising[LW_FFT_BINS];   /* a bin's weight in the band whose upper neighbour's centre it approaches */
    float falling[LW_FFT_BINS];
    int32_t edge[LW_MEL + 2];    /* first bin at or above each band centre, edges included */

    /* Input. */
    int16_t pcm[WINDOW];
    int32_t have;
    int64_t skip; /* samples until the first row's last one */
    int32_t left; /* samples until the row after it */
    int32_t zeros; /* the newest samples that are 0, at most WINDOW */

    /* Front end. */
    float prior[LW_MEL], mean[LW_MEL];
    float mean_frames;
    float floor;
    float recent[STEADY_FRAMES];
    int32_t recent_at;
    int32_t open, quiet;
    float speech; /* level of this voice's louder frames, dBFS */

    /* Model. */
    frame frames[LW_WINDOW]; /* oldest first */
    int32_t warm;            /* frames still missing before the first row */
    float fade;              /* 1 = the model's word, 0 = sil */
    int32_t rest;            /* rows since the gate closed */
    float smooth;            /* level behind the loudness */
    float state[LW_GRU];
    float weights[3][LW_VISEMES]; /* of the row before, the row, the row after */
};

/* ---- elementary functions ------------------------------------------------------------------------------------- */

static inline float as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Natural logarithm of a positive normal number; error below 2e-6 absolute. atanh series on [1/sqrt 2, sqrt 2). */
static inline float log_approx(float x)
{
    uint32_t bits = as_bits(x) - 0x3f3504f3u;
    float exponent = (float)((int32_t)bits >> 23);
    float m = as_float((bits & 0x7fffffu) + 0x3f3504f3u);
    float t = (m - 1.0f) / (m + 1.0f), s = t * t;
    return exponent * 0.69314718f + t * (2.0f + s * (0.66666667f + s * (0.4f + s * 0.28571429f)));
}

/* 2^x for |x| <= 120; error below 4e-6 relative. */
static inline float exp2_approx(float x)
{
    float shifted = x + 12582912.0f; /* 1.5 * 2^23: the low bits become round(x) */
    float f = (x - (shifted - 12582912.0f)) * 0.69314718f;
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.16666667f + f * (0.041666667f + f * 0.0083333333f))));
    return p * as_float((as_bits(shifted) << 23) + 0x3f800000u);
}

static inline float clampf(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* Clamps to -limit..limit through integers: gcc does not vectorise a comparison of floats that might trap. */
static inline float limit_to(float x, float limit)
{
    uint32_t bits = as_bits(x), most = as_bits(limit), size = bits & 0x7fffffffu;
    size = (int32_t)size < (int32_t)most ? size : most;
    return as_float(size | (bits & 0x80000000u));
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + exp2_approx(limit_to(x, 30.0f) * -1.44269504f));
}

/* round(x * 2^bits), saturated; |x| * 2^bits must stay finite. */
static inline int16_t quantise(float x, int bits)
{
    float shifted = limit_to(x * (float)(1 << bits), 32767.0f) + 12582912.0f;
    return (int16_t)((int32_t)as_bits(shifted) - 0x4b400000);
}

static inline int16_t rectified(int16_t q)
{
    return q > 0 ? q : 0;
}

/* ---- front end ------------------------------------------------------------------------------------------------ */

static void make_tables(lw_viseme *v)
{
    const double pi = 3.14159265358979323846;
    lw_fft_init(&v->fft);
    for (int i = 0; i < WINDOW; i++)
        v->window[i & 1][i / 2] = (float)((0.5 - 0.5 * cos(2.0 * pi * (i + 0.5) / WINDOW)) / 32768.0);

    double low = 1127.0 * log(1.0 + MEL_LOW / 700.0), high = 1127.0 * log(1.0 + MEL_HIGH / 700.0);
    double centre[LW_MEL + 2];
    for (int b = 0; b < LW_MEL + 2; b++) {
        double hz = 700.0 * (exp((low + (high - low) * b / (LW_MEL + 1)) / 1127.0) - 1.0);
        centre[b] = hz * LW_FFT_SIZE / LW_VISEME_RATE;
        v->edge[b] = (int32_t)ceil(centre[b]);
    }
    for (int b = 0; b <= LW_MEL; b++)
        for (int k = v->edge[b]; k < v->edge[b + 1]; k++) {
            double share = (k - centre[b]) / (centre[b + 1] - centre[b]);
            v->rising[k] = (float)share;
            v->falling[k] = (float)(1.0 - share);
        }
}

/* The power spectrum of the 25 ms in v->pcm. */
static void spectrum(const lw_viseme *v, float power[LW_FFT_BINS])
{
    float re[LW_FFT_HALF], im[LW_FFT_HALF];
    for (int i = 0; i < WINDOW / 2; i++) {
        re[i] = (float)v->pcm[2 * i] * v->window[0][i];
        im[i] = (float)v->pcm[2 * i + 1] * v->window[1][i];
    }
    memset(re + WINDOW / 2, 0, sizeof re - WINDOW / 2 * sizeof re[0]);
    memset(im + WINDOW / 2, 0, sizeof im - WINDOW / 2 * sizeof im[0]);
    lw_fft_power(&v->fft, re, im, power);
}

/* Log-mel bands (natural log) and level (dBFS, full-scale square = 0). */
static float analyse(const lw_viseme *v, float mel[LW_MEL])
{
    float up[LW_MEL + 1], down[LW_MEL + 1], total = 1e-9f;
    if (v->zeros >= WINDOW) {
        for (int b = 0; b < LW_MEL; b++)
            mel[b] = log_approx(MEL_FLOOR);
    } else {
        float power[LW_FFT_BINS], rise[LW_FFT_BINS], fall[LW_FFT_BINS];
        spectrum(v, power);
        for (int k = 0; k < LW_FFT_BINS; k++) {
            rise[k] = power[k] * v->rising[k];
            fall[k] = power[k] * v->falling[k];
        }
        for (int b = 0; b <= LW_MEL; b++) {
            float r = 0.0f, f = 0.0f;
            for (int k = v->edge[b]; k < v->edge[b + 1]; k++) {
                r += rise[k];
                f += fall[k];
            }
            up[b] = r;
            down[b] = f;
        }
        for (int b = 1; b <= LW_MEL; b++) /* from the first centre, 115 Hz, up: hum does not open the gate */
            total += up[b] + down[b];
        for (int b = 0; b < LW_MEL; b++)
            mel[b] = log_approx(up[b] + down[b + 1] + MEL_FLOOR);
    }
    /* Mean square = 2 total / (FFT size * sum of squared window taps = 150). */
    return 4.3429448f * log_approx(total * (2.0f / (LW_FFT_SIZE * 150.0f)));
}

static void track_floor(lw_viseme *v, float level)
{
    v->recent[v->recent_at] = level;
    v->recent_at = (v->recent_at + 1) % STEADY_FRAMES;
    if (level < v->floor) {
        v->floor += FLOOR_DROP * (level - v->floor);
        return;
    }
    float least = level, most = level;
    for (int i = 0; i < STEADY_FRAMES; i++) {
        least = v->recent[i] < least ? v->recent[i] : least;
        most = v->recent[i] > most ? v->recent[i] : most;
    }
    v->floor += most - least < STEADY_RANGE ? FLOOR_STEADY : FLOOR_RISE;
    v->floor = v->floor < level ? v->floor : level;
    v->floor = v->floor < FLOOR_MOST ? v->floor : FLOOR_MOST;
}

static void move_gate(lw_viseme *v, float level)
{
    float opens = v->floor + OPEN_MARGIN, closes = v->floor + CLOSE_MARGIN;
    opens = opens > OPEN_LEAST ? opens : OPEN_LEAST;
    closes = closes > CLOSE_LEAST ? closes : CLOSE_LEAST;
    v->quiet = level < closes ? v->quiet + 1 : 0;
    if (level > opens)
        v->open = 1;
    else if (v->quiet >= HOLD)
        v->open = 0;
    v->quiet = v->quiet < HOLD ? v->quiet : HOLD;
}

/* One frame from v->pcm to the end of v->frames. */
static void push_frame(lw_viseme *v)
{
    float mel[LW_MEL];
    float level = analyse(v, mel);
    track_floor(v, level);
    move_gate(v, level);
    if (v->open && level > v->speech - SPEECH_RANGE) {
        v->mean_frames += v->mean_frames < MEAN_MEMORY ? 1.0f : 0.0f;
        float share = 1.0f / v->mean_frames;
        for (int b = 0; b < LW_MEL; b++)
            v->mean[b] += (mel[b] - v->mean[b]) * share;
        v->speech += (level > v->speech ? SPEECH_RISE : SPEECH_FALL) * (level - v->speech);
    } else if (v->open) {
        v->speech -= SPEECH_SINK;
    }
    memmove(v->frames, v->frames + 1, sizeof v->frames - sizeof v->frames[0]);
    frame *f = &v->frames[LW_WINDOW - 1];
    f->level = level;
    f->open = v->open;
    for (int b = 0; b < LW_MEL; b++)
        f->feature[b] = quantise((mel[b] - v->mean[b]) * FEATURE_SCALE, LW_FEATURE_BITS);
}

/* ---- model ---------------------------------------------------------------------------------------------------- */

static void dense(const int16_t *restrict weight, const float *restrict scale, const float *restrict bias, int rows,
                  int columns, const int16_t *restrict in, float *restrict out)
{
    for (int r = 0; r < rows; r++) {
        const int16_t *w = weight + (size_t)r * (size_t)columns;
        int32_t sum = 0;
        for (int c = 0; c < columns; c++)
            sum += w[c] * in[c];
        out[r] = (float)sum * scale[r] + bias[r];
    }
}

/* Class probabilities of the row whose window is in v->frames, folded to visemes. */
static void infer(lw_viseme *v, float weights[LW_VISEMES])
{
    const lw_viseme_model *m = &lw_viseme_weights;
    int16_t window[LW_WINDOW * LW_MEL], conv_q[LW_CONV], state_q[LW_GRU];
    float conv[LW_CONV], in[3 * LW_GRU], rec[3 * LW_GRU], logit[LW_CLASSES];

    for (int t = 0; t < LW_WINDOW; t++)
        memcpy(window + t * LW_MEL, v->frames[t].feature, sizeof v->frames[t].feature);
    dense(m->conv[0], m->conv_scale, m->conv_bias, LW_CONV, LW_WINDOW * LW_MEL, window, conv);
    for (int i = 0; i < LW_CONV; i++)
        conv_q[i] = rectified(quantise(conv[i], LW_CONV_BITS));
    for (int i = 0; i < LW_GRU; i++)
        state_q[i] = quantise(v->state[i], LW_GRU_BITS);
    dense(m->gate_in[0], m->gate_in_scale, m->gate_in_bias, 3 * LW_GRU, LW_CONV, conv_q, in);
    dense(m->gate_state[0], m->gate_state_scale, m->gate_state_bias, 3 * LW_GRU, LW_GRU, state_q, rec);
    for (int i = 0; i < LW_GRU; i++) {
        float reset = sigmoid(in[i] + rec[i]);
        float update = sigmoid(in[LW_GRU + i] + rec[LW_GRU + i]);
        float candidate = 2.0f * sigmoid(2.0f * (in[2 * LW_GRU + i] + reset * rec[2 * LW_GRU + i])) - 1.0f;
        v->state[i] = candidate + update * (v->state[i] - candidate);
    }
    for (int i = 0; i < LW_GRU; i++)
        state_q[i] = quantise(v->state[i], LW_GRU_BITS);
    dense(m->out[0], m->out_scale, m->out_bias, LW_CLASSES, LW_GRU, state_q, logit);

    float most = logit[0], sum = 0.0f;
    for (int i = 1; i < LW_CLASSES; i++)
        most = logit[i] > most ? logit[i] : most;
    for (int i = 0; i < LW_CLASSES; i++)
        logit[i] = exp2_approx(limit_to((logit[i] - most) * 1.44269504f, 40.0f));
    for (int i = 0; i < LW_CLASSES; i++)
        sum += logit[i];
    memset(weights, 0, LW_VISEMES * sizeof weights[0]);
    for (int i = 0; i < LW_CLASSES; i++)
        weights[m->viseme[i]] += logit[i] / sum;
}

/* Loudness of the row in the middle of the window: rises at once, falls within some 40 ms. */
static float loudness(lw_viseme *v)
{
    float level = v->frames[LW_WINDOW - 1 - AHEAD].level;
    v->smooth += (level > v->smooth ? 0.6f : 0.25f) * (level - v->smooth);
    float gain = clampf(LOUD_TARGET - v->speech, GAIN_LEAST, GAIN_MOST);
    return v->fade * clampf((v->smooth + gain - LOUD_LOW) / LOUD_RANGE, 0.0f, 1.0f);
}

/* The model's step for the newest frame: the weights of the row after the one to be written. */
static void step(lw_viseme *v)
{
    int open = v->frames[LW_WINDOW - 1].open;
    float *newest = v->weights[2];
    memmove(v->weights[0], v->weights[1], 2 * sizeof v->weights[0]);
    v->fade = open ? 1.0f : v->fade > FADE_STEP ? v->fade - FADE_STEP : 0.0f;
    v->rest = open ? 0 : v->rest < REST_ROWS ? v->rest + 1 : REST_ROWS;
    if (v->rest < REST_ROWS)
        infer(v, newest);
    else
        memset(v->state, 0, sizeof v->state);
    if (v->fade == 0.0f) {
        memset(newest, 0, sizeof v->weights[2]);
        newest[0] = 1.0f;
    } else if (v->fade < 1.0f) {
        for (int i = 0; i < LW_VISEMES; i++)
            newest[i] *= v->fade;
        newest[0] += 1.0f - v->fade;
    }
}

static void write_row(lw_viseme *v, float *row)
{
    float loud = loudness(v), jaw = 0.0f;
    for (int i = 0; i < LW_VISEMES; i++)
        row[i] = 0.25f * v->weights[0][i] + 0.5f * v->weights[1][i] + 0.25f * v->weights[2][i];
    for (int i = 0; i < LW_VISEMES; i++)
        jaw += row[i] * jaw_of[i];
    row[LW_JAW] = clampf(jaw * (JAW_QUIET + (1.0f - JAW_QUIET) * clampf(1.2f * loud, 0.0f, 1.0f)), 0.0f, 1.0f);
    row[LW_LOUDNESS] = loud;
}

/* ---- the interface -------------------------------------------------------------------------------------------- */

int lw_viseme_open(lw_viseme **out)
{
    if (!out)
        return LW_EINVAL;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return LW_ENOMEM;
    make_tables(*out);
    memcpy((*out)->prior, lw_viseme_weights.prior, sizeof (*out)->prior);
    lw_viseme_reset(*out);
    return 0;
}

void lw_viseme_reset(lw_viseme *v)
{
    if (!v)
        return;
    memset(v->pcm, 0, sizeof v->pcm);
    v->have = LEAD; /* silence before the first sample */
    v->skip = LW_VISEME_HOP + LOOKAHEAD;
    v->left = LW_VISEME_HOP;
    v->zeros = WINDOW;
    memcpy(v->mean, v->prior, sizeof v->mean);
    v->mean_frames = MEAN_PRIOR;
    v->floor = FLOOR_START;
    for (int i = 0; i < STEADY_FRAMES; i++)
        v->recent[i] = -100.0f;
    v->recent_at = 0;
    v->open = 0;
    v->quiet = HOLD;
    v->speech = LOUD_TARGET;
    for (int t = 0; t < LW_WINDOW; t++) {
        v->frames[t].level = -100.0f;
        v->frames[t].open = 0;
        for (int b = 0; b < LW_MEL; b++)
            v->frames[t].feature[b] =
                quantise((log_approx(MEL_FLOOR) - v->mean[b]) * FEATURE_SCALE, LW_FEATURE_BITS);
    }
    v->warm = AHEAD;
    v->fade = 0.0f;
    v->rest = REST_ROWS;
    v->smooth = -100.0f;
    memset(v->state, 0, sizeof v->state);
    memset(v->weights, 0, sizeof v->weights);
    for (int i = 0; i < 3; i++)
        v->weights[i][0] = 1.0f;
}

int lw_viseme_lookahead(void)
{
    return LOOKAHEAD;
}

size_t lw_viseme_bound(const lw_viseme *v, size_t n)
{
    if (!v)
        return 0;
    if (v->skip > 0)
        return n < (size_t)v->skip ? 0 : 1 + (n - (size_t)v->skip) / LW_VISEME_HOP;
    return n < (size_t)v->left ? 0 : 1 + (n - (size_t)v->left) / LW_VISEME_HOP;
}

int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap)
{
    if (!v || (n && !pcm))
        return LW_EINVAL;
    size_t bound = lw_viseme_bound(v, n);
    if (bound > cap)
        return LW_ENOSPC;
    if (bound && !rows)
        return LW_EINVAL;
    const uint8_t *from = (const uint8_t *)pcm; /* may be odd-aligned */
    int64_t written = 0;
    while (n) {
        size_t take = (size_t)(WINDOW - v->have);
        take = take < n ? take : n;
        int16_t *to = v->pcm + v->have;
        memcpy(to, from, take * sizeof *to);
        from += take * sizeof *to;
        n -= take;
        v->have += (int32_t)take;
        size_t trail = 0;
        while (trail < take && to[take - 1 - trail] == 0)
            trail++;
        v->zeros = trail == take ? v->zeros + (int32_t)take : (int32_t)trail;
        v->zeros = v->zeros < WINDOW ? v->zeros : WINDOW;
        if (v->skip > 0) {
            v->skip -= (int64_t)take;
        } else {
            v->left -= (int32_t)take;
        }
        if (v->have < WINDOW)
            break;
        push_frame(v);
        if (v->warm <= AHEAD - LW_AHEAD)
            step(v);
        v->have -= LW_VISEME_HOP;
        memmove(v->pcm, v->pcm + LW_VISEME_HOP, (size_t)v->have * sizeof v->pcm[0]);
        if (v->warm > 0) {
            v->warm--;
        } else {
            write_row(v, rows + LW_CHANNELS * written);
            v->left = LW_VISEME_HOP;
            written++;
        }
    }
    return written;
}

void lw_viseme_close(lw_viseme **v)
{
    if (!v)
        return;
    free(*v);
    *v = NULL;
}
