/* Tables of the resampler: its impulse response at the places that a pair of rates asks for.
 *
 * A table costs `phases * taps` values of a series of 31 or 47 terms: 30 720 of them from 11025 to 48000 Hz, a
 * millisecond. So nobody designs one twice, and no rate that a stranger chooses asks for one:
 *
 *   both rates standard   a table of the pair, shared and kept: 72 pairs, 5 MB if all of them are used, 0.3 MB for those
 *                         from all voice rates to 48 kHz
 *   any other, up         one table for all of them, a grid of GRID steps to the input sample: going up, the filter is
 *                         that of the input rate, whatever the output rate. An output is interpolated between the
 *                         outputs of two rows, whose error is (pi / 2 GRID)^2 / 2 of a tone at the edge of the band
 *   any other, down       a table of the resampler's own: only who calls the library chooses such rates */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "lipwire/resample.h"
#include "resample_design.h"
#include "resample_table.h"

#define LANE LW_FIR_LANE
#define COARSE_BITS 14
#define MAX_FINE_BITS 12
#define QUALITIES 2
#define GRID 512

static const struct quality {
    int32_t half, order;
    const double *series;
} qualities[QUALITIES] = {
    [LW_RESAMPLER_VOICE] = {VOICE_HALF_WIDTH, sizeof voice_series / sizeof *voice_series - 1, voice_series},
    [LW_RESAMPLER_HIGH] = {HIGH_HALF_WIDTH, sizeof high_series / sizeof *high_series - 1, high_series},
};

static const int32_t standard[] = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000};
enum { STANDARD = sizeof standard / sizeof *standard };

/* A shared table. */
typedef struct table {
    int32_t fine_bits;
    _Alignas(64) int16_t coefs[];
} table;

/* By quality and rates; the last one of each quality is the grid. */
static _Atomic(table *) tables[QUALITIES][STANDARD * STANDARD + 1];

static int32_t gcd(int32_t a, int32_t b)
{
    while (b) {
        int32_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static int standard_index(int32_t rate)
{
    for (int i = 0; i < STANDARD; i++)
        if (standard[i] == rate)
            return i;
    return -1;
}

static int is_standard(const lw_fir_shape *s)
{
    return standard_index(s->in_rate) >= 0 && standard_index(s->out_rate) >= 0;
}

lw_fir_shape lw_fir_measure(int32_t in_rate, int32_t out_rate, int32_t quality)
{
    int32_t g = gcd(in_rate, out_rate), lower = in_rate < out_rate ? in_rate : out_rate, half = qualities[quality].half;
    int32_t ahead = (int32_t)(((int64_t)half * in_rate + lower - 1) / lower);
    return (lw_fir_shape){.in_rate = in_rate,
                          .out_rate = out_rate,
                          .quality = quality,
                          .half = half,
                          .ahead = ahead,
                          .taps = (2 * ahead + LANE - 1) / LANE * LANE,
                          .phases = out_rate / g,
                          .step = in_rate / g};
}

int lw_fir_is_grid(const lw_fir_shape *s)
{
    return s->in_rate < s->out_rate && !is_standard(s);
}

int lw_fir_is_shared(const lw_fir_shape *s)
{
    return s->in_rate < s->out_rate || is_standard(s);
}

/* The impulse response at u[] of its half width, 0 <= u < 1, for a group of taps: Clenshaw's recurrence on cos(pi u). */
static void response(const struct quality *q, const double u[LANE], double h[LANE])
{
    double twice[LANE], b1[LANE] = {0}, b2[LANE] = {0};
    for (int i = 0; i < LANE; i++)
        twice[i] = 2.0 * lw_cos_pi(u[i]);
    for (int32_t k = q->order; k > 0; k--)
        for (int i = 0; i < LANE; i++) {
            double b = q->series[k] + twice[i] * b1[i] - b2[i];
            b2[i] = b1[i];
            b1[i] = b;
        }
    for (int i = 0; i < LANE; i++)
        h[i] = q->series[0] + 0.5 * twice[i] * b1[i] - b2[i];
}

static long nearest(double x)
{
    return x < 0.0 ? (long)(x - 0.5) : (long)(x + 0.5);
}

/* Fills `rows` rows, `steps` of them to the input sample, with Q(14 + bits) coefficients. Returns 0 where a row's fine
 * sum could leave 32 bit. */
static int fill(const lw_fir_shape *s, int32_t rows, int32_t steps, int32_t bits, int16_t *to)
{
    const struct quality *q = &qualities[s->quality];
    int64_t in = s->in_rate, lower = s->in_rate < s->out_rate ? s->in_rate : s->out_rate;
    int64_t edge = (int64_t)q->half * in * steps;
    double unit = (double)lower / (double)in * (1 << COARSE_BITS);
    for (int32_t p = 0; p < rows; p++) {
        int64_t fine_sum = 0;
        for (int32_t group = 0; group < s->taps; group += LANE, to += 2 * LANE) {
            double u[LANE], h[LANE];
            for (int32_t k = 0; k < LANE; k++) {
                /* The tap's distance from the output, exact until it is divided. */
                int64_t t = ((int64_t)(group + k - (s->taps - 1 - s->ahead)) * steps - p) * lower;
                t = t < 0 ? -t : t;
                u[k] = t < edge ? (double)t / (double)edge : 1.0; /* where the series is 0 */
            }
            response(q, u, h);
            for (int32_t k = 0; k < LANE; k++) {
                double c = u[k] < 1.0 ? h[k] * unit : 0.0;
                long hi = nearest(c), lo = nearest((c - (double)hi) * (1 << bits));
                to[k] = (int16_t)hi;
                to[LANE + k] = (int16_t)lo;
                fine_sum += lo < 0 ? -lo : lo;
            }
        }
        if (fine_sum > 65000)
            return 0;
    }
    return 1;
}

static int32_t rows_of(const lw_fir_shape *s)
{
    return lw_fir_is_grid(s) ? GRID + 1 : s->phases;
}

size_t lw_fir_bytes(const lw_fir_shape *s)
{
    return (size_t)rows_of(s) * 2 * s->taps * sizeof(int16_t);
}

void lw_fir_design(const lw_fir_shape *s, int16_t *coefs, lw_fir *fir)
{
    int32_t rows = rows_of(s), grid = lw_fir_is_grid(s);
    *fir = (lw_fir){.coefs = coefs, .taps = s->taps, .phases = rows, .step = grid ? 1 : s->step};
    /* As many bits as the longest filters leave room for. The first guess fits nearly always. */
    fir->fine_bits = s->taps <= 64 ? MAX_FINE_BITS : s->taps <= 128 ? 11 : s->taps <= 256 ? 10 : 9;
    while (!fill(s, rows, grid ? rows - 1 : rows, fir->fine_bits, coefs))
        fir->fine_bits--;
}

static table *make(const lw_fir_shape *s)
{
    size_t bytes = (sizeof(table) + lw_fir_bytes(s) + 63) & ~(size_t)63;
    table *made = aligned_alloc(64, bytes); /* a coefficient load that crosses cache lines costs twice */
    if (!made)
        return NULL;
    lw_fir fir;
    lw_fir_design(s, made->coefs, &fir);
    made->fine_bits = fir.fine_bits;
    return made;
}

int lw_fir_shared(const lw_fir_shape *s, lw_fir *fir)
{
    int grid = lw_fir_is_grid(s);
    int at = grid ? STANDARD * STANDARD : standard_index(s->in_rate) * STANDARD + standard_index(s->out_rate);
    _Atomic(table *) *place = &tables[s->quality][at];
    table *t = atomic_load_explicit(place, memory_order_acquire);
    if (!t) {
        table *made = make(s);
        if (!made)
            return LW_ENOMEM;
        if (atomic_compare_exchange_strong_explicit(place, &t, made, memory_order_acq_rel, memory_order_acquire))
            t = made;
        else /* another thread was faster, with the same numbers */
            free(made);
    }
    *fir = (lw_fir){.coefs = t->coefs,
                    .taps = s->taps,
                    .phases = rows_of(s),
                    .step = grid ? 1 : s->step,
                    .fine_bits = t->fine_bits};
    return 0;
}

int lw_resampler_prepare(int32_t out_rate)
{
    for (int i = 0; i < STANDARD; i++) {
        int32_t rates[] = {standard[i], standard[i] + 1}; /* and the grid, once */
        for (int k = 0; k < 2; k++) {
            lw_fir_shape shape = lw_fir_measure(rates[k], out_rate, LW_RESAMPLER_VOICE);
            lw_fir fir;
            if (rates[k] < out_rate && lw_fir_shared(&shape, &fir) < 0)
                return LW_ENOMEM;
        }
    }
    return 0;
}
