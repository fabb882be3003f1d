/* The viseme extractor's float kernels on vectors: what csrc/x86/viseme.c and csrc/arm/viseme.c instantiate. It is the
 * arithmetic of viseme_front.c and viseme_net.c, element by element, in the compiler's vector types. Before including
 * it, define
 *
 *   W               floats in a vector: 4, 8 or 16
 *   TARGET          the function attribute of the instruction set, or nothing
 *   FORM(name)      the local name of a function or type
 *   EXPORT(name)    the kernel's name
 *   MIRROR(a, b)    b[0], a[W - 1], a[W - 2], ... a[1]
 *   TRANSPOSE(x)    of the W vectors x[]
 *   SUMS(x)         vector of the W sums over the lanes of x[0..W-1], each as the tail of lw_tree16 from W lanes on
 *
 * and, where they pay (the compiler's own vectors do as well on NEON),
 *
 *   MIN, MAX             of two vectors: for the kernels `rectify` and `gates`
 *   FOLD(to, likely, t)  as lw_viseme_fold: for `classes`
 *
 * All are undefined again at the end. */

typedef float FORM(f) __attribute__((vector_size(4 * W)));
typedef int32_t FORM(i) __attribute__((vector_size(4 * W)));
typedef uint32_t FORM(u) __attribute__((vector_size(4 * W)));
typedef int16_t FORM(half) __attribute__((vector_size(2 * W)));
typedef float FORM(fp) __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t FORM(ip) __attribute__((vector_size(4 * W), aligned(2), may_alias));
typedef int16_t FORM(halfp) __attribute__((vector_size(2 * W), aligned(2), may_alias));

#define F FORM(f)
#define U FORM(u)
#define I FORM(i)
#define LOAD(p) ((F) * (const FORM(fp) *)(p))
#define STORE(p, v) (*(FORM(fp) *)(p) = (FORM(fp))(v))
#define LOADI(p) ((I) * (const FORM(ip) *)(p))
#define FLOAT(v) __builtin_convertvector(v, F)
#define ALL(x) ((F){0} + (x))
#define UNROLL _Pragma("GCC unroll 16")

/* ---- elementary functions: viseme_kernels.h -------------------------------------------------------------------- */

TARGET INLINE F FORM(log)(F x)
{
    U bits = (U)x - 0x3f3504f3u;
    F exponent = FLOAT((I)bits >> 23);
    F m = (F)((bits & 0x7fffffu) + 0x3f3504f3u);
    F t = (m - 1.0f) / (m + 1.0f), s = t * t;
    return exponent * 0.69314718f + t * (2.0f + s * (0.66666667f + s * (0.4f + s * 0.28571429f)));
}

/* ---- spectrum ---------------------------------------------------------------------------------------------------- */

/* Terms 0..3 of a radix-4 butterfly, in place. */
TARGET INLINE void FORM(butterfly)(F re[4], F im[4])
{
    F sr = re[0] + re[2], si = im[0] + im[2], tr = re[0] - re[2], ti = im[0] - im[2];
    F ur = re[1] + re[3], ui = im[1] + im[3], vr = re[1] - re[3], vi = im[1] - im[3];
    re[0] = sr + ur, im[0] = si + ui;
    re[1] = tr + vi, im[1] = ti - vr;
    re[2] = sr - ur, im[2] = si - ui;
    re[3] = tr - vi, im[3] = ti + vr;
}

TARGET INLINE void FORM(rotate)(F *re, F *im, F wr, F wi)
{
    F r = *re * wr - *im * wi, i = *re * wi + *im * wr;
    *re = r, *im = i;
}

TARGET void EXPORT(spectrum)(float *power, const int16_t *pcm, const lw_viseme_tables *t)
{
    _Alignas(64) float re[LW_FFT_HALF], im[LW_FFT_HALF], mid_re[LW_FFT_HALF], mid_im[LW_FFT_HALF];
    _Alignas(64) float out_re[LW_FFT_HALF + W], out_im[LW_FFT_HALF + W];
    for (int i = 0; i < LW_VISEME_PCM / 2; i += W) {
        I pair = LOADI(pcm + 2 * i); /* even sample in the lower half of a lane, odd one in the upper */
        STORE(re + i, FLOAT((I)((U)pair << 16) >> 16) * LOAD(t->window[0] + i));
        STORE(im + i, FLOAT(pair >> 16) * LOAD(t->window[1] + i));
    }
    for (int i = LW_VISEME_PCM / 2; i < LW_FFT_HALF; i += W)
        STORE(re + i, ALL(0.0f)), STORE(im + i, ALL(0.0f));

    for (int i = 0; i < 64; i += W) {
        F x[4], y[4];
        UNROLL for (int k = 0; k < 4; k++)
            x[k] = LOAD(re + i + 64 * k), y[k] = LOAD(im + i + 64 * k);
        FORM(butterfly)(x, y);
        UNROLL for (int j = 0; j < 4; j++) {
            if (j)
                FORM(rotate)(&x[j], &y[j], LOAD(t->pass0[j - 1][0] + i), LOAD(t->pass0[j - 1][1] + i));
            STORE(mid_re + i + 64 * j, x[j]);
            STORE(mid_im + i + 64 * j, y[j]);
        }
    }
    for (int j0 = 0; j0 < 4; j0++) {
        for (int i = 0; i < 16; i += W) {
            F x[4], y[4];
            UNROLL for (int k = 0; k < 4; k++)
                x[k] = LOAD(mid_re + 64 * j0 + 16 * k + i), y[k] = LOAD(mid_im + 64 * j0 + 16 * k + i);
            FORM(butterfly)(x, y);
            UNROLL for (int j = 0; j < 4; j++) {
                if (j)
                    FORM(rotate)(&x[j], &y[j], LOAD(t->pass1[j - 1][0] + i), LOAD(t->pass1[j - 1][1] + i));
                STORE(re + 16 * (j0 + 4 * j) + i, x[j]);
                STORE(im + 16 * (j0 + 4 * j) + i, y[j]);
            }
        }
    }
    for (int r = 0; r < 16; r += W) { /* W rows of the matrix, turned into lanes */
        F x[16], y[16];
        UNROLL for (int c = 0; c < 16; c += W) {
            UNROLL for (int k = 0; k < W; k++)
                x[c + k] = LOAD(re + 16 * (r + k) + c);
            TRANSPOSE(x + c);
            UNROLL for (int k = 0; k < W; k++)
                y[c + k] = LOAD(im + 16 * (r + k) + c);
            TRANSPOSE(y + c);
        }
        F a[16], b[16];
        UNROLL for (int i = 0; i < 4; i++) {
            F p[4] = {x[i], x[i + 4], x[i + 8], x[i + 12]}, q[4] = {y[i], y[i + 4], y[i + 8], y[i + 12]};
            FORM(butterfly)(p, q);
            UNROLL for (int j = 0; j < 4; j++) {
                if (i && j)
                    FORM(rotate)(&p[j], &q[j], ALL(t->pass2[j - 1][0][i]), ALL(t->pass2[j - 1][1][i]));
                a[4 * j + i] = p[j], b[4 * j + i] = q[j];
            }
        }
        UNROLL for (int j2 = 0; j2 < 4; j2++) {
            FORM(butterfly)(a + 4 * j2, b + 4 * j2);
            UNROLL for (int j = 0; j < 4; j++) {
                STORE(out_re + 64 * j + 16 * j2 + r, a[4 * j2 + j]);
                STORE(out_im + 64 * j + 16 * j2 + r, b[4 * j2 + j]);
            }
        }
    }
    STORE(out_re + LW_FFT_HALF, LOAD(out_re));
    STORE(out_im + LW_FFT_HALF, LOAD(out_im));

    F before = ALL(0.0f);
    for (int k = 0; k < LW_FFT_HALF / 2; k += W) {
        const float *end_re = out_re + LW_FFT_HALF - k, *end_im = out_im + LW_FFT_HALF - k;
        F ar = LOAD(out_re + k), ai = LOAD(out_im + k);
        F br = MIRROR(LOAD(end_re - W), LOAD(end_re)), bi = MIRROR(LOAD(end_im - W), LOAD(end_im));
        F er = ar + br, ei = ai - bi, dr = ar - br, di = ai + bi;
        F wr = LOAD(t->split[0] + k), wi = LOAD(t->split[1] + k);
        F tr = di * wr + dr * wi, ti = di * wi - dr * wr;
        F xr = er + tr, xi = ei + ti, yr = er - tr, yi = ei - ti;
        STORE(power + k, xr * xr + xi * xi);
        F opposite = yr * yr + yi * yi; /* bins 256 - k, 255 - k, ... */
        if (k)
            STORE(power + LW_FFT_HALF - k, MIRROR(before, opposite));
        else
            power[LW_FFT_HALF] = opposite[0];
        before = opposite;
    }
    F middle_re = 2.0f * LOAD(out_re + LW_FFT_HALF / 2), middle_im = 2.0f * LOAD(out_im + LW_FFT_HALF / 2);
    STORE(power + LW_FFT_HALF / 2, MIRROR(before, middle_re * middle_re + middle_im * middle_im));
}

/* ---- bands ------------------------------------------------------------------------------------------------------- */

/* A group of 16 lanes, folded to W as lw_tree16 begins. */
TARGET INLINE F FORM(halve)(const F x[16 / W])
{
#if W == 16
    return x[0];
#elif W == 8
    return x[0] + x[1];
#else
    return (x[0] + x[2]) + (x[1] + x[3]);
#endif
}

/* The sums of `groups` groups of 16 weighed bins. */
TARGET INLINE void FORM(weigh)(F sum[16 / W], const float *bins, const float *weight, int groups)
{
    UNROLL for (int i = 0; i < 16 / W; i++)
        sum[i] = LOAD(bins + i * W) * LOAD(weight + i * W);
    for (int g = 16; g < 16 * groups; g += 16)
        UNROLL for (int i = 0; i < 16 / W; i++)
            sum[i] = sum[i] + LOAD(bins + g + i * W) * LOAD(weight + g + i * W);
}

TARGET void EXPORT(mel)(float *mel, const float *power, const lw_viseme_tables *t)
{
    const float *weight = t->mel_weight[0];
    for (int r = 0; r < LW_MEL_LEVEL; r += W) {
        F rows[W];
        int groups = t->mel_count[r / 16];
        UNROLL for (int k = 0; k < W; k++, weight += 16 * groups) {
            F sum[16 / W];
            FORM(weigh)(sum, power + 16 * t->mel_first[r + k], weight, groups);
            rows[k] = FORM(halve)(sum);
        }
        STORE(mel + r, FORM(log)(SUMS(rows) + LW_MEL_FLOOR));
    }
    F level[16 / W];
    _Alignas(64) float lanes[16];
    FORM(weigh)(level, power, t->level_weight, LW_FFT_HALF / 16);
    UNROLL for (int i = 0; i < 16 / W; i++)
        STORE(lanes + i * W, level[i]);
    mel[LW_MEL_LEVEL] = lw_log(lw_tree16(lanes) + LW_LEVEL_FLOOR);
}

/* ---- network ----------------------------------------------------------------------------------------------------- */

#ifdef MIN
TARGET INLINE F FORM(exp2)(F x)
{
    F shifted = x + 12582912.0f;
    F f = x - (shifted - 12582912.0f);
    F p = 1.0f + f * (0.69312419f + f * (0.24024099f + f * (0.055906426f + f * 0.0095828532f)));
    return (F)((U)p + ((U)shifted << 23));
}

TARGET INLINE F FORM(limit)(F x, float limit)
{
    return MIN(MAX(x, ALL(-limit)), ALL(limit));
}

TARGET INLINE F FORM(one_plus_exp)(F x)
{
    return 1.0f + FORM(exp2)(FORM(limit)(x, 30.0f) * -1.44269504f);
}

TARGET INLINE I FORM(quantise)(F x, int bits)
{
    F shifted = FORM(limit)(x * (float)(1 << bits), 32767.0f) + 12582912.0f;
    return (I)shifted - 0x4b400000;
}

TARGET void EXPORT(rectify)(int16_t *q, const int32_t *sums, const lw_viseme_model *m)
{
    for (int i = 0; i < LW_ROWS(LW_CONV); i += W) {
        F x = FLOAT(LOADI(sums + i)) * LOAD(m->conv_scale + i) + LOAD(m->conv_bias + i);
        *(FORM(halfp) *)(q + i) =
            __builtin_convertvector(FORM(quantise)(MAX(x, ALL(0.0f)), LW_CONV_BITS), FORM(half));
    }
}

TARGET void EXPORT(gates)(float *state, int16_t *state_q, const int32_t *in, const int32_t *rec,
                          const lw_viseme_model *m)
{
    enum { N = LW_ROWS(LW_GRU) };
    for (int i = 0; i < N; i += W) {
        F pre[3], rec_pre[3];
        UNROLL for (int g = 0; g < 3; g++) {
            pre[g] = FLOAT(LOADI(in + g * N + i)) * LOAD(m->gate_in_scale + g * N + i);
            rec_pre[g] = FLOAT(LOADI(rec + g * N + i)) * LOAD(m->gate_state_scale + g * N + i);
        }
        F r = pre[0] + rec_pre[0] + LOAD(m->gate_bias + i);
        F z = pre[1] + rec_pre[1] + LOAD(m->gate_bias + N + i);
        F n = pre[2] + LOAD(m->gate_bias + 2 * N + i);
        F h = rec_pre[2] + LOAD(m->candidate_bias + i);
        F a = FORM(one_plus_exp)(r), b = FORM(one_plus_exp)(z), both = 1.0f / (a * b);
        F reset = both * b, update = both * a;
        F candidate = 2.0f / FORM(one_plus_exp)(2.0f * (n + reset * h)) - 1.0f;
        F next = candidate + update * (LOAD(state + i) - candidate);
        STORE(state + i, next);
        *(FORM(halfp) *)(state_q + i) = __builtin_convertvector(FORM(quantise)(next, LW_GRU_BITS), FORM(half));
    }
}
#endif

#ifdef FOLD
TARGET void EXPORT(classes)(float *weights, const int32_t *sums, const float *scale, const float *bias,
                            const lw_viseme_tables *t)
{
    static const float exists[LW_CLASS_LANES] = {[0 ... LW_CLASSES - 1] = 1.0f};
    _Alignas(64) float likely[LW_CLASS_LANES], folded[LW_VISEME_LANES];
    for (int i = 0; i < LW_CLASS_LANES; i += W) {
        F logit = FLOAT(LOADI(sums + i)) * LOAD(scale + i) + LOAD(bias + i);
        STORE(likely + i, FORM(exp2)(FORM(limit)(logit * 1.44269504f, 60.0f)) * LOAD(exists + i));
    }
    FOLD(folded, likely, t);
    float inverse = 1.0f / lw_tree16(folded);
    for (int i = 0; i < LW_VISEME_LANES; i += W)
        STORE(weights + i, LOAD(folded + i) * inverse);
}
#endif

#undef F
#undef U
#undef I
#undef LOAD
#undef STORE
#undef LOADI
#undef FLOAT
#undef ALL
#undef UNROLL
#undef W
#undef TARGET
#undef FORM
#undef EXPORT
#undef MIN
#undef MAX
#undef MIRROR
#undef TRANSPOSE
#undef SUMS
#undef FOLD
