/* The viseme extractor's gate: which frames are a voice, and which gain brings that voice to the level that the network
 * knows.
 *
 *   level     above a noise floor that adapts, with hysteresis and a hold: what a quiet room needs
 *   steady    noise of any colour, hum and tones are told from speech by how little their bands vary within 200 ms. The
 *             variance of a band's logarithm is, for Gaussian noise, a matter of its width alone: the mean over the bands of
 *             variance / expected variance is 0.7..1.3 for every colour, 2 and more for speech, and next to 0 for tones. What is
 *             steady is shut out, and remembered: the gate then opens at what exceeds it in some band
 *   vowels    that are held are steady, too. They are as loud as the voice and have a pitch; hum has one as well, but
 *             not the least variation
 *   tones     one or two narrow peaks with nothing beside them never open it, from their first moment to their last:
 *             a frame must be followed by others that are no tone before it counts
 *   gain      the voice's level is a quantile of its frames, found quickly and kept slowly. A voice much below what was
 *             expected does not open the gate; half a second of sound that varies as speech does corrects the level
 *
 * Plain C, the same bits everywhere: sums of floats are over 16 lanes or in the order written. */
#include "viseme_gate.h"

/* The gate opens above floor + OPEN_MARGIN, closes below floor + CLOSE_MARGIN for HOLD frames; the least of both is
 * behind the gain. */
#define OPEN_MARGIN 9.0f
#define CLOSE_MARGIN 6.0f
#define OPEN_LEAST (-54.0f)
#define CLOSE_LEAST (-57.0f)
#define HOLD 8
#define FLOOR_START (-75.0f)
#define FLOOR_MOST (-38.0f) /* behind the gain */
#define FLOOR_DROP 0.2f     /* of the distance, per frame */
#define FLOOR_RISE 0.04f    /* dB per frame */
#define FLOOR_STEADY 0.35f  /* dB per frame while the level stands still */
#define RANGE 8.0f          /* dB within LW_GATE_RANGE frames: it stands still */

#define STEADY 1.4f       /* of the variance that Gaussian noise has; the fewer bands there are, the more */
#define VARIES 3.0f       /* of the same: sure to be no noise */
#define REPEATS 0.002f    /* a machine's, to the last harmonic; vowels have 0.005 at least */
#define ALIVE (-55.0f)    /* dB behind the gain: a band that is above LW_MEL_FLOOR */
#define STEP 64.0f        /* of a group, per dB */
#define NEAR_VOICE 10.0f  /* dB below the voice: what may be a vowel of it, */
#define NEAR_ANY 20.0f    /* and while its level is not known */
#define UNVOICED 3        /* frames without a pitch */
#define NOISE_SHARE 0.05f /* how fast the known noise follows, per frame */
#define NOISE_LOWER 6.0f  /* dB: it is gone */
#define STAYS 0.55f       /* of what opens the gate keeps it open */

#define TONE_OPEN 0.0005f /* what is left of a tone's power beside two peaks: -33 dB; speech has -29 at least */
#define TONE_SHUT 0.004f  /* where nobody speaks, -24 dB: tones that begin */
#define TONE_WIDTH 4      /* bins of a peak to either side: a Hann window's main lobe, and a little */
#define YOUNG 4           /* frames after it has opened in which a tone shuts it */
#define TONE_TAIL 4       /* frames in which a tone's end looks like anything */

#define VOICE_QUANTILE 0.85f
#define VOICE_FIRST 0.5f  /* dB per frame at the beginning, */
#define VOICE_LAST 0.03f  /* and at last */
#define VOICE_MOST 400
#define VOICE_HEARD 50    /* frames that give a level */
#define VOICE_KNOWN 200   /* frames that a level known before is worth */
#define VOICE_BELOW 27.0f /* dB below the voice: no frame of it */
#define VOICE_ABOVE 6.0f  /* dB above: it is louder than believed */
#define VOICE_RISE 0.2f   /* of what is above, per frame */
#define GAIN_LEAST (-20.0f)
#define GAIN_MOST 48.0f
#define EVIDENCE 30.0f      /* frames */
#define EVIDENCE_LESS 0.25f /* a frame that is none */
#define EVIDENCE_BELOW 12.0f
#define EVIDENCE_LEVEL (-80.0f)
#define PEAK_FALL 0.1f
#define PEAK_ABOVE 3.0f /* dB of the loudest frame above the quantile */

/* Of Gaussian noise: the variance of a group of bands within LW_GATE_STEADY frames, dB^2. Measured; any colour. */
static const float variance_of_noise[LW_GATE_GROUPS] = {4.64f, 3.88f, 2.55f, 2.01f, 1.52f, 1.05f, 0.84f, 0.59f};
/* How far a frame of known noise stays below, dB: three standard deviations, and a dB. */
static const float margin_of_noise[LW_GATE_GROUPS] = {7.6f, 7.1f, 6.2f, 5.8f, 5.4f, 4.9f, 4.6f, 4.2f};

static float limited(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

static void set_voice(lw_viseme_gate *g, float voice)
{
    g->voice = voice;
    g->gain = limited(LW_VOICE_NOMINAL - voice, GAIN_LEAST, GAIN_MOST);
    g->factor = lw_exp2(g->gain * 0.33219281f);
}

void lw_viseme_gate_reset(lw_viseme_gate *g, float voice)
{
    *g = (lw_viseme_gate){.heard = voice < 0.0f ? VOICE_KNOWN : 0};
    set_voice(g, voice < 0.0f ? voice : LW_VOICE_NOMINAL);
    lw_viseme_gate_restart(g);
}

void lw_viseme_gate_restart(lw_viseme_gate *g)
{
    *g = (lw_viseme_gate){.voice = g->voice,
                          .gain = g->gain,
                          .factor = g->factor,
                          .heard = g->heard,
                          .floor = FLOOR_START,
                          .quiet = HOLD,
                          .peak = EVIDENCE_LEVEL};
    for (int i = 0; i < LW_GATE_RANGE; i++)
        g->recent[i] = -100.0f;
}

/* ---- tones and pitch ------------------------------------------------------------------------------------------- */

static float total(const float power[LW_FFT_BINS])
{
    float lane[16] = {0};
    for (int k = 0; k < LW_FFT_HALF; k += 16)
        for (int i = 0; i < 16; i++)
            lane[i] += power[k + i];
    return lw_tree16(lane) + power[LW_FFT_HALF];
}

/* Two peaks at most, and next to nothing beside them. */
static int is_tone(const float *power, float most)
{
    float rest[LW_FFT_BINS], all = total(power);
    memcpy(rest, power, sizeof rest);
    for (int peak = 0; peak < 2; peak++) {
        int at = 0;
        for (int k = 1; k < LW_FFT_BINS; k++)
            at = rest[k] > rest[at] ? k : at;
        int from = at > TONE_WIDTH ? at - TONE_WIDTH : 0;
        int to = at + TONE_WIDTH < LW_FFT_HALF ? at + TONE_WIDTH : LW_FFT_HALF;
        for (int k = from; k <= to; k++)
            rest[k] = 0.0f;
    }
    return total(rest) < most * all;
}

/* Has the frame a pitch of 70 to 450 Hz? The autocorrelation of the differences, which whiten, at 0.55 and more. */
static int is_voiced(const int16_t *pcm)
{
    enum { N = LW_VISEME_FRAME - 1, LEAST = 36, MOST = 228, ONE = 1023 };
    int16_t x[N];
    int32_t most = 1, energy[N + 1];
    for (int i = 0; i < N; i++) {
        int32_t d = pcm[i + 1] - pcm[i];
        most = d > most ? d : -d > most ? -d : most;
    }
    energy[0] = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (int16_t)((pcm[i + 1] - pcm[i]) * ONE / most);
        energy[i + 1] = energy[i] + x[i] * x[i];
    }
    for (int lag = LEAST; lag <= MOST; lag++) {
        int32_t sum = 0;
        for (int i = lag; i < N; i++)
            sum += x[i] * x[i - lag];
        int64_t one = energy[N] - energy[lag], other = energy[N - lag];
        if (sum > 0 && (int64_t)sum * sum > one * other * 3 / 10)
            return 1;
    }
    return 0;
}

/* ---- steady sounds --------------------------------------------------------------------------------------------- */

static void push_groups(lw_viseme_gate *g, const float *mel)
{
    int16_t *to = g->group[g->at];
    for (int k = 0; k < LW_GATE_GROUPS; k++) {
        float sum = (mel[4 * k] + mel[4 * k + 1]) + (mel[4 * k + 2] + mel[4 * k + 3]);
        int16_t now = (int16_t)((sum * (4.3429448f / 4.0f) - g->gain) * STEP);
        int32_t old = g->frames == LW_GATE_STEADY ? to[k] : 0;
        g->sum[k] += now - old;
        g->squares[k] += now * now - old * old;
        to[k] = now;
    }
    g->at = (g->at + 1) % LW_GATE_STEADY;
    g->frames += g->frames < LW_GATE_STEADY;
}

/* How much the last frames vary, and how much half of them differs from the other half, 100 ms later; 1 being noise. The
 * latter is 0 for whatever repeats itself 10, 20, ... times a second, as hum does. Both are means over the bands that there
 * is anything in; VARIES where there is none, or not enough frames. */
typedef struct variation {
    float within, apart;
    int32_t bands;
} variation;

static float share_of_noise(int64_t squares, float count, int group)
{
    return (float)squares / (count * STEP * STEP * variance_of_noise[group]);
}

static variation vary(const lw_viseme_gate *g)
{
    enum { N = LW_GATE_STEADY, HALF = N / 2 };
    variation v = {0.0f, 0.0f, 0};
    uint32_t apart[LW_GATE_GROUPS] = {0};
    for (int i = 0; i < HALF; i++) /* wherever the oldest lies, these are the pairs */
        for (int k = 0; k < LW_GATE_GROUPS; k++) {
            int32_t d = g->group[i][k] - g->group[i + HALF][k];
            apart[k] += (uint32_t)(d * d);
        }
    for (int k = 0; g->frames == N && k < LW_GATE_GROUPS; k++) {
        if ((float)g->sum[k] * (1.0f / (N * STEP)) + g->gain < ALIVE)
            continue;
        v.within += share_of_noise((int64_t)g->squares[k] * N - (int64_t)g->sum[k] * g->sum[k], N * N, k);
        v.apart += share_of_noise(apart[k], 2 * HALF, k);
        v.bands++;
    }
    if (!v.bands)
        return (variation){VARIES, VARIES, 0};
    v.within /= (float)v.bands;
    v.apart /= (float)v.bands;
    return v;
}

/* Hum, a tone or noise, and not a vowel that is held? */
static int is_noise(lw_viseme_gate *g, float level, variation v, const float *power, const int16_t *pcm)
{
    float least = v.within < v.apart ? v.within : v.apart;
    if (!v.bands || least > STEADY * (1.0f + 1.0f / (float)v.bands)) {
        g->unvoiced = 0;
        return 0;
    }
    if (v.apart < REPEATS || level < g->voice - (g->heard < VOICE_HEARD ? NEAR_ANY : NEAR_VOICE) ||
        is_tone(power, TONE_OPEN))
        return 1;
    g->unvoiced = is_voiced(pcm) ? 0 : g->unvoiced + 1;
    return g->unvoiced >= UNVOICED;
}

static void learn_noise(lw_viseme_gate *g, float level)
{
    for (int k = 0; k < LW_GATE_GROUPS; k++)
        g->noise[k] = (float)g->sum[k] * (1.0f / (LW_GATE_STEADY * STEP));
    g->noise_level = g->known ? g->noise_level + NOISE_SHARE * (level - g->noise_level) : level;
    g->known = 1;
    g->lower = 0;
}

/* Does the newest frame exceed the known noise in some band, by `share` of its margin? */
static int exceeds(const lw_viseme_gate *g, float share)
{
    const int16_t *now = g->group[(g->at + LW_GATE_STEADY - 1) % LW_GATE_STEADY];
    for (int k = 0; k < LW_GATE_GROUPS; k++) {
        float level = (float)now[k] * (1.0f / STEP);
        if (level + g->gain > ALIVE && level > g->noise[k] + share * margin_of_noise[k])
            return 1;
    }
    return 0;
}

/* ---- levels ---------------------------------------------------------------------------------------------------- */

static void track_floor(lw_viseme_gate *g, float level)
{
    g->recent[g->recent_at] = level;
    g->recent_at = (g->recent_at + 1) % LW_GATE_RANGE;
    if (level < g->floor) {
        g->floor += FLOOR_DROP * (level - g->floor);
        return;
    }
    float least = level, most = level;
    for (int i = 0; i < LW_GATE_RANGE && most - least < RANGE; i++) {
        least = g->recent[i] < least ? g->recent[i] : least;
        most = g->recent[i] > most ? g->recent[i] : most;
    }
    g->floor += most - least < RANGE ? FLOOR_STEADY : FLOOR_RISE;
    g->floor = g->floor < level ? g->floor : level;
    g->floor = g->floor < FLOOR_MOST - g->gain ? g->floor : FLOOR_MOST - g->gain;
}

/* A voice that is heard: its level. */
static void track_voice(lw_viseme_gate *g, float level)
{
    if (level < g->voice - VOICE_BELOW)
        return;
    g->heard += g->heard < VOICE_MOST;
    float step = VOICE_FIRST / (1.0f + (float)g->heard * 0.1f), voice = g->voice;
    step = step > VOICE_LAST ? step : VOICE_LAST;
    voice += level > voice ? step : step * ((VOICE_QUANTILE - 1.0f) / VOICE_QUANTILE);
    if (level > voice + VOICE_ABOVE)
        voice += VOICE_RISE * (level - voice - VOICE_ABOVE);
    set_voice(g, voice);
}

/* A voice that is too quiet to be heard as one. */
static void track_evidence(lw_viseme_gate *g, float level, float varies)
{
    g->peak -= PEAK_FALL;
    if (level > g->voice - EVIDENCE_BELOW) { /* it is as loud as believed */
        g->evidence = 0.0f;
        g->peak = EVIDENCE_LEVEL;
        return;
    }
    if (varies <= VARIES || level < g->floor + OPEN_MARGIN || level < EVIDENCE_LEVEL) {
        g->evidence = g->evidence > EVIDENCE_LESS ? g->evidence - EVIDENCE_LESS : 0.0f;
        return;
    }
    g->peak = level > g->peak ? level : g->peak;
    g->evidence += 1.0f;
    if (g->evidence < EVIDENCE)
        return;
    g->evidence = 0.0f;
    if (g->peak - PEAK_ABOVE < g->voice - EVIDENCE_BELOW / 2.0f) {
        set_voice(g, g->peak - PEAK_ABOVE);
        g->heard = 0;
    }
}

/* ---- the gate -------------------------------------------------------------------------------------------------- */

static float higher(float x, float y)
{
    return x > y ? x : y;
}

/* Closed: what may be a voice becomes one. */
static void try_to_open(lw_viseme_gate *g, float level, const float *power)
{
    int loud = g->known ? exceeds(g, 1.0f) : level > higher(g->floor + OPEN_MARGIN, OPEN_LEAST - g->gain);
    g->tone -= g->tone > 0;
    if (!loud) {
        g->pending = 0;
    } else if (is_tone(power, TONE_SHUT)) {
        g->pending = 0;
        g->tone = TONE_TAIL;
    } else if (++g->pending >= (g->tone ? TONE_TAIL + 1 : LW_GATE_CONFIRM)) {
        g->open = 1;
        g->pending = g->quiet = 0;
        g->young = YOUNG;
    }
}

static void try_to_close(lw_viseme_gate *g, float level, const float *power)
{
    int heard = g->known ? exceeds(g, STAYS) : level >= higher(g->floor + CLOSE_MARGIN, CLOSE_LEAST - g->gain);
    g->quiet = heard ? 0 : g->quiet + 1;
    g->open = g->quiet < HOLD;
    if (power && g->young && g->open && is_tone(power, TONE_SHUT)) { /* it was none, but a tone's beginning */
        g->open = 0;
        g->tone = TONE_TAIL;
    }
    g->young -= g->young > 0;
}

void lw_viseme_gate_frame(lw_viseme_gate *g, float level, const float mel[LW_MEL_VALUES], const float *power,
                          const int16_t *pcm)
{
    level -= g->gain;
    track_floor(g, level);
    push_groups(g, mel);
    variation v = vary(g);
    if (g->known && (g->lower = level < g->noise_level - NOISE_LOWER ? g->lower + 1 : 0) >= HOLD)
        g->known = 0;
    if (pcm && is_noise(g, level, v, power, pcm)) {
        learn_noise(g, level);
        g->open = g->pending = 0;
        return;
    }
    if (g->open)
        try_to_close(g, level, pcm ? power : NULL);
    else if (pcm)
        try_to_open(g, level, power);
    else
        g->pending = 0;
    if (g->open)
        track_voice(g, level);
    track_evidence(g, level, v.within);
}
