/* G.722's ADPCM for many channels, one a lane of 16 bits: the body that x86/ and arm/ compile for their vectors.
 *
 * All of the Recommendation's arithmetic is 16 bits with saturation, so a lane is an int16, and one vector operation is
 * one operation of W channels. The two bands share nothing and run one after the other, which keeps a band's state in
 * registers; the delay line of quantised differences is a file of rows that a step reads at six places. Tables of 8
 * entries (by the coarse quantiser's magnitude m) are one byte shuffle.
 *
 * Before including, define
 *   FORM(name)         the function's name in this form         TARGET   its attributes; INLINE: static, always inlined
 *   W, V               lanes, vector type                      LOAD STORE SET1 ADD SUB ADDS SUBS MIN MAX AND OR XOR
 *   SLL SRL SRA        by a constant                            MUL15(a, b)   (a b) >> 15
 *   MULHI(a, b)        (a b) >> 16                             SCALE(q, v)   (q v) >> 12, q < 2^12, v <= 2^14
 *   DOWN_IF_GT(m,a,b)  m - 1 where a > b                        IF_ZERO(v)    -1 where v == 0
 *   TABLE(p), INDEX(m), LOOK(t, i)         8 int16 at p; byte indices of m (type PLACES); the entries
 *   MANTISSA(nb, shift) (mantissa[nb >> 6 & 31] >> (shift - (nb >> 11))) << 2
 *   LEVELS, LEVELS_OF(p), LEVEL(l, i, code, sign)               the decoder's levels; that of a code of 6 bits
 *   LOAD8(p), STORE8(p, v)                                      W bytes, zero-extended; their low bytes */

typedef struct FORM(band) {
    V b[LW_G722_TAPS], a1, a2, r, p1, p2, s, sz, nb, det;
} FORM(band);

TARGET INLINE FORM(band) FORM(open)(const lw_g722_band_lanes *q, size_t at, int16_t (*d)[W])
{
    FORM(band) x;
    for (int k = 0; k < LW_G722_TAPS; k++) {
        x.b[k] = LOAD(q->b[k] + at);
        STORE(d[k], LOAD(q->d[k] + at));
    }
    x.a1 = LOAD(q->a1 + at), x.a2 = LOAD(q->a2 + at), x.r = LOAD(q->r + at), x.p1 = LOAD(q->p1 + at);
    x.p2 = LOAD(q->p2 + at), x.s = LOAD(q->s + at), x.sz = LOAD(q->sz + at), x.nb = LOAD(q->nb + at);
    x.det = LOAD(q->det + at);
    return x;
}

TARGET INLINE void FORM(close)(lw_g722_band_lanes *q, size_t at, int16_t (*d)[W], const FORM(band) *x)
{
    for (int k = 0; k < LW_G722_TAPS; k++) {
        STORE(q->b[k] + at, x->b[k]);
        STORE(q->d[k] + at, LOAD(d[k]));
    }
    STORE(q->a1 + at, x->a1), STORE(q->a2 + at, x->a2), STORE(q->r + at, x->r), STORE(q->p1 + at, x->p1);
    STORE(q->p2 + at, x->p2), STORE(q->s + at, x->s), STORE(q->sz + at, x->sz), STORE(q->nb + at, x->nb);
    STORE(q->det + at, x->det);
}

/* The scale factor's next value, in the logarithm and out of it. */
TARGET INLINE void FORM(rescale)(FORM(band) *x, V step, int16_t top, int shift)
{
    x->nb = MAX(MIN(ADD(ADD(x->nb, MULHI(x->nb, SET1(-512))), step), SET1(top)), SET1(0));
    x->det = MANTISSA(x->nb, shift);
}

/* One step of the predictor. `rows` is the delay line: 2 d of the last six steps; the seventh row is written. With
 * `small`, |d| < 2^12, so that 4 d is an int16 too and one multiplication makes a product. */
TARGET INLINE void FORM(adapt)(FORM(band) *x, V d, int16_t (*rows)[W], int small)
{
    V r = ADDS(x->s, d), p = SRA(ADDS(x->sz, d), 15);
    r = ADDS(r, r);
    V other1 = XOR(p, x->p1), other2 = XOR(p, x->p2), same1 = XOR(other1, SET1(-1)); /* 0 or -1 */

    V a2 = ADDS(x->a1, x->a1);
    a2 = ADDS(a2, a2);
    a2 = SRA(SUBS(XOR(a2, same1), same1), 7);
    a2 = ADD(a2, SUB(XOR(SET1(128), other2), other2));
    a2 = ADD(a2, ADD(x->a2, MULHI(x->a2, SET1(-512))));
    a2 = MAX(MIN(a2, SET1(12288)), SET1(-12288));
    V most = SUB(SET1(15360), a2);
    V a1 = ADD(ADD(x->a1, MULHI(x->a1, SET1(-256))), SUB(XOR(SET1(192), other1), other1));
    a1 = MAX(MIN(a1, most), SUB(SET1(0), most));

    V move = SUB(SET1(128), AND(IF_ZERO(d), SET1(128))), sz = SET1(0), d2 = ADD(d, d);
    STORE(rows[LW_G722_TAPS], d2);
    for (int k = 0; k < LW_G722_TAPS; k++) {
        V away = SRA(XOR(LOAD(rows[k]), d), 15);
        x->b[k] = ADD(ADD(x->b[k], MULHI(x->b[k], SET1(-256))), SUB(XOR(move, away), away));
        V delayed = k == LW_G722_TAPS - 1 ? d2 : LOAD(rows[k + 1]);
        V product = small ? MULHI(x->b[k], ADD(delayed, delayed)) : MUL15(x->b[k], delayed);
        sz = k ? ADDS(sz, product) : product;
    }
    x->s = ADDS(ADDS(MUL15(a1, r), MUL15(a2, x->r)), sz);
    x->sz = sz;
    x->r = r;
    x->a1 = a1;
    x->a2 = a2;
    x->p2 = x->p1;
    x->p1 = p;
}

/* Thresholds of the coarse quantiser are every fourth; between two of them lie three fine ones, none that is within
 * reach below the first but one. By m, then: those three, the code of the lowest level for either sign. */
#define NEVER 4095
static const int16_t FORM(fine)[3][8] = {{35, 110, 276, 473, 714, 1023, 1458, 2195},
                                         {NEVER, 150, 323, 530, 786, 1121, 1612, 2557},
                                         {NEVER, 190, 370, 587, 858, 1219, 1765, 2919}};
static const int16_t FORM(positive)[8] = {61, 59, 55, 51, 47, 43, 39, 35};
static const int16_t FORM(negative)[8] = {63, 31, 27, 23, 19, 15, 11, 7};

TARGET INLINE void FORM(encode_low)(int16_t (*codes)[W], const int16_t *low, size_t n, lw_g722_band_lanes *q,
                                           size_t at)
{
    int16_t rows[LW_G722_BLOCK + LW_G722_TAPS][W] __attribute__((aligned(64)));
    FORM(band) x = FORM(open)(q, at, rows);
    for (size_t t = 0; t < n; t++) {
        V e = SUBS(LOAD(low + t * LW_G722_LANES), x.s), sign = SRA(e, 15), magnitude = XOR(e, sign), m = SET1(7);
        m = DOWN_IF_GT(m, SCALE(SET1(72), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(233), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(422), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(650), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(940), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(1339), x.det), magnitude);
        m = DOWN_IF_GT(m, SCALE(SET1(1980), x.det), magnitude);
        PLACES i = INDEX(m);
        V positive = LOOK(TABLE(FORM(positive)), i), negative = LOOK(TABLE(FORM(negative)), i);
        V lowest = OR(AND(negative, sign), AND(positive, XOR(sign, SET1(-1)))), above = SET1(3);
        for (int k = 0; k < 3; k++)
            above = DOWN_IF_GT(above, SCALE(LOOK(TABLE(FORM(fine)[k]), i), x.det), magnitude);
        STORE(codes[t], SUB(lowest, above));
        V level = LOOK(TABLE(lw_g722_low_level), i);
        V d = MUL15(SUB(XOR(level, sign), sign), x.det);
        FORM(rescale)(&x, LOOK(TABLE(lw_g722_low_step), i), LW_G722_LOW_TOP, LW_G722_LOW_SHIFT);
        FORM(adapt)(&x, d, rows + t, 0);
    }
    FORM(close)(q, at, rows + n, &x);
}

TARGET INLINE void FORM(encode_high)(uint8_t *codes, int16_t (*low)[W], const int16_t *high, size_t n,
                                            lw_g722_band_lanes *q, size_t at)
{
    int16_t rows[LW_G722_BLOCK + LW_G722_TAPS][W] __attribute__((aligned(64)));
    FORM(band) x = FORM(open)(q, at, rows);
    for (size_t t = 0; t < n; t++) {
        V e = SUBS(LOAD(high + t * LW_G722_LANES), x.s), sign = SRA(e, 15), magnitude = XOR(e, sign);
        /* inner: -1 below the threshold */
        V inner = DOWN_IF_GT(SET1(0), SCALE(SET1(LW_G722_HIGH_THRESHOLD), x.det), magnitude);
        /* 3, 2, 1, 0: positive inner, positive outer, negative inner, negative outer */
        V code = SUB(ADD(SET1(2), ADD(sign, sign)), inner);
        STORE8(codes + t * LW_G722_LANES, OR(LOAD(low[t]), SLL(code, 6)));
        V level = ADD(SET1(LW_G722_HIGH_OUTER), AND(inner, SET1(LW_G722_HIGH_INNER - LW_G722_HIGH_OUTER)));
        V d = MUL15(SUB(XOR(level, sign), sign), x.det);
        V step = ADD(SET1(LW_G722_HIGH_STEP_OUTER),
                     AND(inner, SET1(LW_G722_HIGH_STEP_INNER - LW_G722_HIGH_STEP_OUTER)));
        FORM(rescale)(&x, step, LW_G722_HIGH_TOP, LW_G722_HIGH_SHIFT);
        FORM(adapt)(&x, d, rows + t, 1);
    }
    FORM(close)(q, at, rows + n, &x);
}

TARGET INLINE V FORM(limit)(V x)
{
    return MAX(MIN(x, SET1(16383)), SET1(-16384));
}

TARGET INLINE void FORM(decode_low)(int16_t (*out)[W], const uint8_t *codes, size_t n, const int16_t *level,
                                           lw_g722_band_lanes *q, size_t at)
{
    int16_t rows[LW_G722_BLOCK + LW_G722_TAPS][W] __attribute__((aligned(64)));
    FORM(band) x = FORM(open)(q, at, rows);
    LEVELS levels = LEVELS_OF(level);
    for (size_t t = 0; t < n; t++) {
        V code = AND(LOAD8(codes + t * LW_G722_LANES), SET1(63));
        /* 0..3 decode like 63, at every rate; then the sign is bit 5 alone. */
        code = OR(code, AND(IF_ZERO(AND(code, SET1(60))), SET1(63)));
        V sign = ADD(SRL(code, 5), SET1(-1)), coarse = SRL(code, 2); /* -1: negative */
        PLACES i = INDEX(AND(SUB(SUB(SET1(15), coarse), sign), SET1(7)));
        STORE(out[t], FORM(limit)(ADDS(x.s, MUL15(LEVEL(levels, i, code, sign), x.det))));
        V coarse_level = LOOK(TABLE(lw_g722_low_level), i);
        V d = MUL15(SUB(XOR(coarse_level, sign), sign), x.det);
        FORM(rescale)(&x, LOOK(TABLE(lw_g722_low_step), i), LW_G722_LOW_TOP, LW_G722_LOW_SHIFT);
        FORM(adapt)(&x, d, rows + t, 0);
    }
    FORM(close)(q, at, rows + n, &x);
}

TARGET INLINE void FORM(decode_high)(int16_t *pairs, int16_t (*low)[W], const uint8_t *codes, size_t n,
                                            lw_g722_band_lanes *q, size_t at)
{
    int16_t rows[LW_G722_BLOCK + LW_G722_TAPS][W] __attribute__((aligned(64)));
    FORM(band) x = FORM(open)(q, at, rows);
    for (size_t t = 0; t < n; t++) {
        V code = SRL(LOAD8(codes + t * LW_G722_LANES), 6), inner = SUB(SET1(0), AND(code, SET1(1)));
        V sign = ADD(SRL(code, 1), SET1(-1));
        V level = ADD(SET1(LW_G722_HIGH_OUTER), AND(inner, SET1(LW_G722_HIGH_INNER - LW_G722_HIGH_OUTER)));
        V d = MUL15(SUB(XOR(level, sign), sign), x.det), y = LOAD(low[t]), z = FORM(limit)(ADDS(x.s, d));
        STORE(pairs + 2 * t * LW_G722_LANES, ADD(y, z));
        STORE(pairs + (2 * t + 1) * LW_G722_LANES, SUB(y, z));
        V step = ADD(SET1(LW_G722_HIGH_STEP_OUTER),
                     AND(inner, SET1(LW_G722_HIGH_STEP_INNER - LW_G722_HIGH_STEP_OUTER)));
        FORM(rescale)(&x, step, LW_G722_HIGH_TOP, LW_G722_HIGH_SHIFT);
        FORM(adapt)(&x, d, rows + t, 1);
    }
    FORM(close)(q, at, rows + n, &x);
}

/* W channels from lane `at` on. */
TARGET static void FORM(encode)(uint8_t *codes, const int16_t *low, const int16_t *high, size_t n, size_t at,
                                lw_g722_lanes *lanes)
{
    int16_t half[LW_G722_BLOCK][W] __attribute__((aligned(64)));
    FORM(encode_low)(half, low + at, n, &lanes->low, at);
    FORM(encode_high)(codes + at, half, high + at, n, &lanes->high, at);
}

TARGET static void FORM(decode)(int16_t *pairs, const uint8_t *codes, size_t n, size_t at, const int16_t *level,
                                lw_g722_lanes *lanes)
{
    int16_t half[LW_G722_BLOCK][W] __attribute__((aligned(64)));
    FORM(decode_low)(half, codes + at, n, level, &lanes->low, at);
    FORM(decode_high)(pairs + at, half, codes + at, n, &lanes->high, at);
}

#undef NEVER
