/* Power spectrum of a real 512-point block; used by the viseme extractor only. */
#ifndef LW_FFT_H
#define LW_FFT_H

#define LW_FFT_SIZE 512
#define LW_FFT_HALF (LW_FFT_SIZE / 2)
#define LW_FFT_BINS (LW_FFT_HALF + 1)

typedef struct lw_fft {
    float pass_re[3][3][64]; /* twiddles of the radix-4 passes: [pass][w, w^2, w^3] */
    float pass_im[3][3][64];
    float split_re[LW_FFT_HALF]; /* e^(-2 pi i k / 512) */
    float split_im[LW_FFT_HALF];
} lw_fft;

void lw_fft_init(lw_fft *f);
/* re, im: the block's even and odd samples, LW_FFT_HALF each; both are overwritten. */
void lw_fft_power(const lw_fft *f, float *re, float *im, float power[LW_FFT_BINS]);

#endif
