/* The viseme extractor's front end: its tables, and in plain C its kernels, power spectrum and log-mel bands.
 *
 * Spectrum: real FFT of 512 points as a complex one of 256, then split by symmetry. Radix 4, decimation in frequency,
 * in place: the first two passes' butterflies are 16 or more apart, so vectors run over neighbours; then the 16 x 16
 * matrix of what is left is transposed, and so do the last two. Frequency f = j0 + 4 j1 + 16 j2 + 64 j3 has come out of
 * term j of each pass.
 *
 * Bands: triangles, evenly spaced on the mel scale. A band is whole groups of 16 bins, weighed and added lane by lane,
 * then one lw_tree16. */
#include <pthread.h>

#include "common.h"
#include "dsp.h"
#include "viseme_kernels.h"

#define MEL_LOW 60.0
#define MEL_HIGH 7700.0
#define WARP_KNEE 5600.0
#define WARP_TOP 7900.0
#define WINDOW_SQUARES 150.0 /* sum of the squared taps */

static lw_viseme_tables tables;

/* e^(-2 pi i n / size), 0 <= n < size. */
static void turn(int n, int size, float *re, float *im)
{
    double u = 2.0 * n / size;                       /* angle / pi */
    double s = u < 0.5 ? 0.5 - u : u - 0.5;          /* sin(pi u) = cos(pi s) */
    u = u > 1.0 ? 2.0 - u : u;
    double sign = s > 1.0 ? -1.0 : 1.0;
    s = s > 1.0 ? s - 1.0 : s;                       /* cos(pi s) = -cos(pi (s - 1)), and cosine is even */
    *re = u == 0.5 ? 0.0f : (float)lw_cos_pi(u);
    *im = s == 0.5 ? 0.0f : (float)(-sign * lw_cos_pi(s));
}

static void make_spectrum(lw_viseme_tables *t)
{
    for (int i = 0; i < LW_VISEME_FRAME; i++) {
        double u = 2.0 * (i + 0.5) / LW_VISEME_FRAME;
        double hann = 0.5 - 0.5 * lw_cos_pi(u > 1.0 ? 2.0 - u : u);
        t->window[i & 1][i / 2] = (float)(0.5 * hann / 32768.0); /* the split's sums are twice the spectrum */
    }
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < 64; i++)
            turn(i * (j + 1), 256, &t->pass0[j][0][i], &t->pass0[j][1][i]);
        for (int i = 0; i < 16; i++)
            turn(i * (j + 1), 64, &t->pass1[j][0][i], &t->pass1[j][1][i]);
        for (int i = 0; i < 4; i++)
            turn(i * (j + 1), 16, &t->pass2[j][0][i], &t->pass2[j][1][i]);
    }
    for (int k = 0; k < LW_FFT_HALF / 2; k++)
        turn(k, LW_FFT_SIZE, &t->split[0][k], &t->split[1][k]);
}

/* The n-th root of x > 1, by Newton's method from above. */
static double root(double x, int n)
{
    double r = x;
    for (int step = 0; step < 200; step++) {
        double power = 1.0;
        for (int i = 1; i < n; i++)
            power *= r;
        r -= (r * power - x) / (n * power);
    }
    return r;
}

static int whole_from(double x)
{
    int n = (int)x;
    return n < x ? n + 1 : n;
}

/* A frequency axis stretched up to WARP_KNEE and squeezed above, so that WARP_TOP stays where it is. */
static double warped(double hz, double warp)
{
    if (hz < WARP_KNEE)
        return hz * warp;
    return WARP_KNEE * warp + (hz - WARP_KNEE) * (WARP_TOP - WARP_KNEE * warp) / (WARP_TOP - WARP_KNEE);
}

void lw_viseme_bands(lw_viseme_tables *t, double warp)
{
    /* Band centres in bins: hz / 700 + 1 is a geometric sequence. */
    double centre[LW_MEL + 2], at = 1.0 + MEL_LOW / 700.0;
    double ratio = root((1.0 + MEL_HIGH / 700.0) / at, LW_MEL + 1);
    for (int b = 0; b < LW_MEL + 2; b++, at *= ratio)
        centre[b] = warped(700.0 * (at - 1.0), warp) * LW_FFT_SIZE / LW_VISEME_RATE;

    int from[LW_ROWS(LW_MEL)] = {0}, to[LW_ROWS(LW_MEL)] = {0}; /* bins; none in the padding */
    for (int r = 0; r < LW_MEL; r++)
        from[r] = whole_from(centre[r]), to[r] = whole_from(centre[r + 2]);
    float(*weight)[16] = t->mel_weight;
    memset(t->mel_weight, 0, sizeof t->mel_weight);
    memset(t->level_weight, 0, sizeof t->level_weight);
    for (int block = 0; block < LW_ROWS(LW_MEL) / 16; block++) {
        int count = 1; /* enough for each of the block, so that a kernel's loops do not vary from row to row */
        for (int r = 16 * block; r < 16 * block + 16; r++) {
            int groups = to[r] > from[r] ? (to[r] - 1) / 16 - from[r] / 16 + 1 : 0;
            count = groups > count ? groups : count;
        }
        t->mel_count[block] = (uint8_t)count;
        for (int r = 16 * block; r < 16 * block + 16; r++, weight += count) {
            int first = from[r] / 16 < 16 - count ? from[r] / 16 : 16 - count;
            t->mel_first[r] = (uint8_t)first;
            for (int k = from[r]; k < to[r]; k++) {
                double share = k < centre[r + 1] ? (k - centre[r]) / (centre[r + 1] - centre[r])
                                                 : (centre[r + 2] - k) / (centre[r + 2] - centre[r + 1]);
                weight[k / 16 - first][k % 16] = (float)share;
            }
        }
    }
    /* The mean square, from the first band's centre up: hum does not open the gate. */
    for (int k = whole_from(centre[1]); k < whole_from(centre[LW_MEL + 1]); k++)
        t->level_weight[k] = (float)(2.0 / (LW_FFT_SIZE * WINDOW_SQUARES));
    const float nothing[LW_FFT_BINS] = {0};
    lw_viseme_mel_c(t->quiet, nothing, t);
}

static void make_tables(void)
{
    make_spectrum(&tables);
    lw_viseme_bands(&tables, 1.0);
    lw_viseme_network(&tables, &lw_viseme_weights);
}

const lw_viseme_tables *lw_viseme_tables_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_tables);
    return &tables;
}

/* ---- the kernels in plain C ------------------------------------------------------------------------------------ */

/* Butterfly of x[0], x[step], x[2 step], x[3 step]: term j goes to j * to_step, times w[j - 1] where there is a w. */
static inline void butterfly(const float *re, const float *im, int step, float *out_re, float *out_im, int to_step)
{
    float ar = re[0], br = re[step], cr = re[2 * step], dr = re[3 * step];
    float ai = im[0], bi = im[step], ci = im[2 * step], di = im[3 * step];
    float sr = ar + cr, si = ai + ci, tr = ar - cr, ti = ai - ci;
    float ur = br + dr, ui = bi + di, vr = br - dr, vi = bi - di;
    out_re[0] = sr + ur, out_im[0] = si + ui;
    out_re[to_step] = tr + vi, out_im[to_step] = ti - vr;
    out_re[2 * to_step] = sr - ur, out_im[2 * to_step] = si - ui;
    out_re[3 * to_step] = tr - vi, out_im[3 * to_step] = ti + vr;
}

static inline void rotate(float *re, float *im, float wr, float wi)
{
    float r = *re * wr - *im * wi, i = *re * wi + *im * wr;
    *re = r, *im = i;
}

void lw_viseme_spectrum_c(float *power, const int16_t *pcm, const lw_viseme_tables *t)
{
    float re[LW_FFT_HALF + 1] = {0}, im[LW_FFT_HALF + 1] = {0}, mid_re[LW_FFT_HALF], mid_im[LW_FFT_HALF];
    for (int i = 0; i < LW_VISEME_FRAME / 2; i++) {
        re[i] = (float)pcm[2 * i] * t->window[0][i];
        im[i] = (float)pcm[2 * i + 1] * t->window[1][i];
    }
    for (int i = 0; i < 64; i++)
        butterfly(re + i, im + i, 64, mid_re + i, mid_im + i, 64);
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 64; i++)
            rotate(&mid_re[64 * (j + 1) + i], &mid_im[64 * (j + 1) + i], t->pass0[j][0][i], t->pass0[j][1][i]);
    for (int j0 = 0; j0 < 4; j0++) /* row j0 + 4 j1 of the matrix */
        for (int i = 0; i < 16; i++)
            butterfly(mid_re + 64 * j0 + i, mid_im + 64 * j0 + i, 16, re + 16 * j0 + i, im + 16 * j0 + i, 64);
    for (int j1 = 1; j1 < 4; j1++)
        for (int j0 = 0; j0 < 4; j0++)
            for (int i = 0; i < 16; i++)
                rotate(&re[64 * j1 + 16 * j0 + i], &im[64 * j1 + 16 * j0 + i], t->pass1[j1 - 1][0][i],
                       t->pass1[j1 - 1][1][i]);
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < 16; i++)
            mid_re[16 * i + r] = re[16 * r + i], mid_im[16 * i + r] = im[16 * r + i];
    for (int i = 0; i < 4; i++)
        for (int r = 0; r < 16; r++)
            butterfly(mid_re + 16 * i + r, mid_im + 16 * i + r, 64, re + 16 * i + r, im + 16 * i + r, 64);
    for (int j2 = 1; j2 < 4; j2++)
        for (int i = 1; i < 4; i++)
            for (int r = 0; r < 16; r++)
                rotate(&re[64 * j2 + 16 * i + r], &im[64 * j2 + 16 * i + r], t->pass2[j2 - 1][0][i],
                       t->pass2[j2 - 1][1][i]);
    for (int j2 = 0; j2 < 4; j2++)
        for (int r = 0; r < 16; r++)
            butterfly(re + 64 * j2 + r, im + 64 * j2 + r, 16, mid_re + 16 * j2 + r, mid_im + 16 * j2 + r, 64);

    /* With z the complex spectrum, bins k and 256 - k come from z[k] and z[256 - k], z[256] being z[0]. */
    for (int k = 0; k <= LW_FFT_HALF; k++)
        re[k] = mid_re[(LW_FFT_HALF - k) % LW_FFT_HALF], im[k] = mid_im[(LW_FFT_HALF - k) % LW_FFT_HALF];
    for (int k = 0; k < LW_FFT_HALF / 2; k++) {
        float er = mid_re[k] + re[k], ei = mid_im[k] - im[k];
        float dr = mid_re[k] - re[k], di = mid_im[k] + im[k];
        float tr = di * t->split[0][k] + dr * t->split[1][k];
        float ti = di * t->split[1][k] - dr * t->split[0][k];
        float xr = er + tr, xi = ei + ti, yr = er - tr, yi = ei - ti;
        power[k] = xr * xr + xi * xi;
        power[LW_FFT_HALF - k] = yr * yr + yi * yi;
    }
    float xr = 2.0f * mid_re[LW_FFT_HALF / 2], xi = 2.0f * mid_im[LW_FFT_HALF / 2];
    power[LW_FFT_HALF / 2] = xr * xr + xi * xi;
}

/* The sum of `groups` groups of 16 weighed bins. */
static inline float weigh(const float *bins, const float *weight, int groups)
{
    float sum[16] = {0};
    for (int g = 0; g < groups; g++)
        for (int i = 0; i < 16; i++)
            sum[i] += bins[16 * g + i] * weight[16 * g + i];
    return lw_tree16(sum);
}

void lw_viseme_mel_c(float *mel, const float *power, const lw_viseme_tables *t)
{
    const float *weight = t->mel_weight[0];
    for (int r = 0; r < LW_MEL_LEVEL; r++) {
        int groups = t->mel_count[r / 16];
        mel[r] = weigh(power + 16 * t->mel_first[r], weight, groups) + LW_MEL_FLOOR;
        weight += 16 * groups;
    }
    mel[LW_MEL_LEVEL] = weigh(power, t->level_weight, LW_FFT_HALF / 16) + LW_LEVEL_FLOOR;
    for (int r = 0; r <= LW_MEL_LEVEL; r++)
        mel[r] = lw_log(mel[r]);
}
