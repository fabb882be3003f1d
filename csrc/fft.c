/* Real FFT of 512 points as a complex one of 256, then split by symmetry.
 *
 * Method: Stockham autosort, radix 4, four passes, real and imaginary parts in separate arrays so that the
 * arithmetic runs over contiguous rows and vectorises. A pass reads butterfly i = s p + q (s = 4^pass) from
 * x[i + 64 k], k = 0..3, and writes term j to y[s (4 p + j) + q]; the last one needs no twiddles. Plain IEEE
 * operations in a fixed order: the same tables give the same result on every machine (libm makes the tables and
 * nothing else). */
#include "fft.h"

#include <math.h>

#define QUARTER (LW_FFT_HALF / 4)

void lw_fft_init(lw_fft *f)
{
    const double turn = 6.283185307179586476925286766559;
    for (int pass = 0; pass < 3; pass++) {
        int stride = 1 << (2 * pass);
        for (int i = 0; i < QUARTER; i++)
            for (int j = 0; j < 3; j++) {
                double angle = turn * (double)((i / stride) * stride * (j + 1)) / LW_FFT_HALF;
                f->pass_re[pass][j][i] = (float)cos(angle);
                f->pass_im[pass][j][i] = (float)-sin(angle);
            }
    }
    for (int k = 0; k < LW_FFT_HALF; k++) {
        f->split_re[k] = (float)cos(turn * k / LW_FFT_SIZE);
        f->split_im[k] = (float)-sin(turn * k / LW_FFT_SIZE);
    }
}

/* 64 butterflies: quarter j of the output holds term j, in the order of the input. */
static void butterflies(const float *restrict re, const float *restrict im, const float (*restrict wr)[QUARTER],
                        const float (*restrict wi)[QUARTER], float *restrict out_re, float *restrict out_im)
{
    for (int i = 0; i < QUARTER; i++) {
        float ar = re[i], br = re[i + QUARTER], cr = re[i + 2 * QUARTER], dr = re[i + 3 * QUARTER];
        float ai = im[i], bi = im[i + QUARTER], ci = im[i + 2 * QUARTER], di = im[i + 3 * QUARTER];
        float sr = ar + cr, si = ai + ci, tr = ar - cr, ti = ai - ci;
        float ur = br + dr, ui = bi + di, vr = br - dr, vi = bi - di;
        float x1r = tr + vi, x1i = ti - vr, x2r = sr - ur, x2i = si - ui, x3r = tr - vi, x3i = ti + vr;
        out_re[i] = sr + ur;
        out_im[i] = si + ui;
        out_re[i + QUARTER] = x1r * wr[0][i] - x1i * wi[0][i];
        out_im[i + QUARTER] = x1r * wi[0][i] + x1i * wr[0][i];
        out_re[i + 2 * QUARTER] = x2r * wr[1][i] - x2i * wi[1][i];
        out_im[i + 2 * QUARTER] = x2r * wi[1][i] + x2i * wr[1][i];
        out_re[i + 3 * QUARTER] = x3r * wr[2][i] - x3i * wi[2][i];
        out_im[i + 3 * QUARTER] = x3r * wi[2][i] + x3i * wr[2][i];
    }
}

/* Puts term j of butterfly (p, q) where the next pass looks for it. */
static void scatter1(const float *restrict from, float *restrict to)
{
    for (int p = 0; p < QUARTER; p++)
        for (int j = 0; j < 4; j++)
            to[4 * p + j] = from[j * QUARTER + p];
}

static void scatter(const float *restrict from, float *restrict to, int stride)
{
    for (int p = 0; p < QUARTER / stride; p++)
        for (int j = 0; j < 4; j++)
            for (int q = 0; q < stride; q += 4)
                for (int k = 0; k < 4; k++)
                    to[stride * (4 * p + j) + q + k] = from[j * QUARTER + p * stride + q + k];
}

static void last_pass(const float *restrict re, const float *restrict im, float *restrict out_re,
                      float *restrict out_im)
{
    for (int i = 0; i < QUARTER; i++) {
        float ar = re[i], br = re[i + QUARTER], cr = re[i + 2 * QUARTER], dr = re[i + 3 * QUARTER];
        float ai = im[i], bi = im[i + QUARTER], ci = im[i + 2 * QUARTER], di = im[i + 3 * QUARTER];
        float sr = ar + cr, si = ai + ci, tr = ar - cr, ti = ai - ci;
        float ur = br + dr, ui = bi + di, vr = br - dr, vi = bi - di;
        out_re[i] = sr + ur;
        out_im[i] = si + ui;
        out_re[i + QUARTER] = tr + vi;
        out_im[i + QUARTER] = ti - vr;
        out_re[i + 2 * QUARTER] = sr - ur;
        out_im[i + 2 * QUARTER] = si - ui;
        out_re[i + 3 * QUARTER] = tr - vi;
        out_im[i + 3 * QUARTER] = ti + vr;
    }
}

void lw_fft_power(const lw_fft *f, float *re, float *im, float power[LW_FFT_BINS])
{
    float work_re[LW_FFT_HALF], work_im[LW_FFT_HALF];
    for (int pass = 0; pass < 3; pass++) {
        butterflies(re, im, f->pass_re[pass], f->pass_im[pass], work_re, work_im);
        if (pass == 0) {
            scatter1(work_re, re);
            scatter1(work_im, im);
        } else {
            scatter(work_re, re, 1 << (2 * pass));
            scatter(work_im, im, 1 << (2 * pass));
        }
    }
    last_pass(re, im, work_re, work_im);

    float mirror_re[LW_FFT_HALF], mirror_im[LW_FFT_HALF];
    for (int k = 1; k < LW_FFT_HALF; k++) {
        mirror_re[k] = work_re[LW_FFT_HALF - k];
        mirror_im[k] = work_im[LW_FFT_HALF - k];
    }
    for (int k = 1; k < LW_FFT_HALF; k++) {
        float er = work_re[k] + mirror_re[k], ei = work_im[k] - mirror_im[k];
        float dr = work_re[k] - mirror_re[k], di = work_im[k] + mirror_im[k];
        float xr = er + di * f->split_re[k] + dr * f->split_im[k];
        float xi = ei + di * f->split_im[k] - dr * f->split_re[k];
        power[k] = 0.25f * (xr * xr + xi * xi);
    }
    float dc = work_re[0] + work_im[0], nyquist = work_re[0] - work_im[0];
    power[0] = dc * dc;
    power[LW_FFT_HALF] = nyquist * nyquist;
}
