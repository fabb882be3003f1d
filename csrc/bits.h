/* Bits of a raw byte sequence payload, read and written: ITU-T H.264, clauses 7.2 and 9.1. */
#ifndef LW_BITS_H
#define LW_BITS_H

#include <stddef.h>
#include <stdint.h>

/* ---- reading ---- */

typedef struct lw_bits {
    const uint8_t *data;
    size_t end, at; /* bits */
    int failed;     /* more was read than there is, or a code was too long; what was read then is 0 */
} lw_bits;

static inline uint32_t lw_bits_u(lw_bits *b, int count) /* 0..32 bits */
{
    if (b->failed || b->end - b->at < (size_t)count) {
        b->failed = 1;
        return 0;
    }
    uint64_t value = 0;
    for (int i = 0; i < count; i++, b->at++)
        value = value << 1 | (b->data[b->at / 8] >> (7 - b->at % 8) & 1);
    return (uint32_t)value;
}

static inline uint32_t lw_bits_ue(lw_bits *b) /* 0..2^32 - 2 */
{
    int zeros = 0;
    while (!b->failed && !lw_bits_u(b, 1))
        if (++zeros > 31)
            b->failed = 1;
    return b->failed ? 0 : (uint32_t)((1ull << zeros) - 1 + lw_bits_u(b, zeros));
}

static inline int64_t lw_bits_se(lw_bits *b)
{
    int64_t code = lw_bits_ue(b);
    return code & 1 ? (code + 1) / 2 : -(code / 2);
}

/* ---- writing ---- */

typedef struct lw_put {
    uint8_t *out;   /* where the next whole byte goes */
    uint64_t bits;  /* the lowest `count` of them wait for their byte */
    int count;      /* 0..7 */
} lw_put;

static inline void lw_put_u(lw_put *p, uint64_t value, int count) /* 0..48 bits, `value` has no others */
{
    p->bits = p->bits << count | value;
    p->count += count;
    while (p->count >= 8) {
        p->count -= 8;
        *p->out++ = (uint8_t)(p->bits >> p->count);
    }
}

static inline void lw_put_ue(lw_put *p, uint32_t value) /* 0..2^23 */
{
    int length = 32 - __builtin_clz(value + 1);
    lw_put_u(p, value + 1, 2 * length - 1);
}

static inline void lw_put_se(lw_put *p, int32_t value)
{
    lw_put_ue(p, value > 0 ? 2 * (uint32_t)value - 1 : 2 * (uint32_t)-value);
}

/* The stop bit, and zeros up to a whole byte. */
static inline void lw_put_end(lw_put *p)
{
    lw_put_u(p, 1, 1);
    lw_put_u(p, 0, (8 - p->count) & 7);
}

#endif
