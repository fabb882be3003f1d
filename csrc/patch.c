/* Patches: a P slice whose macroblocks are moved or skipped, with a box of intra macroblocks that an encoder wrote into
 * an I slice of their own.
 *
 * The stream says constrained_intra_pred_flag 1: to the box's macroblocks the inter ones around it are as if they were
 * not there, for samples (8.3.1.2, 8.3.3, 8.3.4) and for modes (8.3.1.1), just as nothing was there in the I slice. So
 * every prediction, mode and level holds as it is. What differs is mb_type, which counts on from the P types (table
 * 7-13), and which table a coeff_token is of: that asks how many coefficients the blocks to the left and above have
 * (9.2.1), and a block that has none is not the same as no block. mb_qp_delta follows the macroblock before in decoding
 * order; those between, without a residual, hand its quantizer on (7.4.5). Clauses are of ITU-T H.264. */
#include <string.h>

#include "common.h"
#include "h264.h"

enum { COLUMNS = LW_SIZE_MAX / 16, TYPES_P = 5, I_PCM = 25 };

/* ---- codes of residual blocks: 9.2 ---- */

/* A code by its length and its value. */
typedef struct code {
    uint8_t length, bits;
} code;

/* Table 9-5, for 0 <= nC < 2, < 4, < 8 and for nC = -1: by [coefficients][trailing ones]. From 8 on codes have 6 bits. */
static const code tokens_0[17][4] = {
    {{1, 1}},
    {{6, 5}, {2, 1}},
    {{8, 7}, {6, 4}, {3, 1}},
    {{9, 7}, {8, 6}, {7, 5}, {5, 3}},
    {{10, 7}, {9, 6}, {8, 5}, {6, 3}},
    {{11, 7}, {10, 6}, {9, 5}, {7, 4}},
    {{13, 15}, {11, 6}, {10, 5}, {8, 4}},
    {{13, 11}, {13, 14}, {11, 5}, {9, 4}},
    {{13, 8}, {13, 10}, {13, 13}, {10, 4}},
    {{14, 15}, {14, 14}, {13, 9}, {11, 4}},
    {{14, 11}, {14, 10}, {14, 13}, {13, 12}},
    {{15, 15}, {15, 14}, {14, 9}, {14, 12}},
    {{15, 11}, {15, 10}, {15, 13}, {14, 8}},
    {{16, 15}, {15, 1}, {15, 9}, {15, 12}},
    {{16, 11}, {16, 14}, {16, 13}, {15, 8}},
    {{16, 7}, {16, 10}, {16, 9}, {16, 12}},
    {{16, 4}, {16, 6}, {16, 5}, {16, 8}},
};
static const code tokens_2[17][4] = {
    {{2, 3}},
    {{6, 11}, {2, 2}},
    {{6, 7}, {5, 7}, {3, 3}},
    {{7, 7}, {6, 10}, {6, 9}, {4, 5}},
    {{8, 7}, {6, 6}, {6, 5}, {4, 4}},
    {{8, 4}, {7, 6}, {7, 5}, {5, 6}},
    {{9, 7}, {8, 6}, {8, 5}, {6, 8}},
    {{11, 15}, {9, 6}, {9, 5}, {6, 4}},
    {{11, 11}, {11, 14}, {11, 13}, {7, 4}},
    {{12, 15}, {11, 10}, {11, 9}, {9, 4}},
    {{12, 11}, {12, 14}, {12, 13}, {11, 12}},
    {{12, 8}, {12, 10}, {12, 9}, {11, 8}},
    {{13, 15}, {13, 14}, {13, 13}, {12, 12}},
    {{13, 11}, {13, 10}, {13, 9}, {13, 12}},
    {{13, 7}, {14, 11}, {13, 6}, {13, 8}},
    {{14, 9}, {14, 8}, {14, 10}, {13, 1}},
    {{14, 7}, {14, 6}, {14, 5}, {14, 4}},
};
static const code tokens_4[17][4] = {
    {{4, 15}},
    {{6, 15}, {4, 14}},
    {{6, 11}, {5, 15}, {4, 13}},
    {{6, 8}, {5, 12}, {5, 14}, {4, 12}},
    {{7, 15}, {5, 10}, {5, 11}, {4, 11}},
    {{7, 11}, {5, 8}, {5, 9}, {4, 10}},
    {{7, 9}, {6, 14}, {6, 13}, {4, 9}},
    {{7, 8}, {6, 10}, {6, 9}, {4, 8}},
    {{8, 15}, {7, 14}, {7, 13}, {5, 13}},
    {{8, 11}, {8, 14}, {7, 10}, {6, 12}},
    {{9, 15}, {8, 10}, {8, 13}, {7, 12}},
    {{9, 11}, {9, 14}, {8, 9}, {8, 12}},
    {{9, 8}, {9, 10}, {9, 13}, {8, 8}},
    {{10, 13}, {9, 7}, {9, 9}, {9, 12}},
    {{10, 9}, {10, 12}, {10, 11}, {10, 10}},
    {{10, 5}, {10, 8}, {10, 7}, {10, 6}},
    {{10, 1}, {10, 4}, {10, 3}, {10, 2}},
};
static const code tokens_dc[5][4] = {
    {{2, 1}},
    {{6, 7}, {1, 1}},
    {{6, 4}, {6, 6}, {3, 1}},
    {{6, 3}, {7, 3}, {7, 2}, {6, 5}},
    {{6, 2}, {8, 3}, {8, 2}, {7, 0}},
};

/* Tables 9-7 and 9-8: total_zeros by [coefficients - 1][zeros], and 9-9 a, of chroma's DC. */
static const code zeros_4x4[15][16] = {
    {{1, 1}, {3, 3}, {3, 2}, {4, 3}, {4, 2}, {5, 3}, {5, 2}, {6, 3}, {6, 2}, {7, 3}, {7, 2}, {8, 3}, {8, 2}, {9, 3},
     {9, 2}, {9, 1}},
    {{3, 7}, {3, 6}, {3, 5}, {3, 4}, {3, 3}, {4, 5}, {4, 4}, {4, 3}, {4, 2}, {5, 3}, {5, 2}, {6, 3}, {6, 2}, {6, 1},
     {6, 0}},
    {{4, 5}, {3, 7}, {3, 6}, {3, 5}, {4, 4}, {4, 3}, {3, 4}, {3, 3}, {4, 2}, {5, 3}, {5, 2}, {6, 1}, {5, 1}, {6, 0}},
    {{5, 3}, {3, 7}, {4, 5}, {4, 4}, {3, 6}, {3, 5}, {3, 4}, {4, 3}, {3, 3}, {4, 2}, {5, 2}, {5, 1}, {5, 0}},
    {{4, 5}, {4, 4}, {4, 3}, {3, 7}, {3, 6}, {3, 5}, {3, 4}, {3, 3}, {4, 2}, {5, 1}, {4, 1}, {5, 0}},
    {{6, 1}, {5, 1}, {3, 7}, {3, 6}, {3, 5}, {3, 4}, {3, 3}, {3, 2}, {4, 1}, {3, 1}, {6, 0}},
    {{6, 1}, {5, 1}, {3, 5}, {3, 4}, {3, 3}, {2, 3}, {3, 2}, {4, 1}, {3, 1}, {6, 0}},
    {{6, 1}, {4, 1}, {5, 1}, {3, 3}, {2, 3}, {2, 2}, {3, 2}, {3, 1}, {6, 0}},
    {{6, 1}, {6, 0}, {4, 1}, {2, 3}, {2, 2}, {3, 1}, {2, 1}, {5, 1}},
    {{5, 1}, {5, 0}, {3, 1}, {2, 3}, {2, 2}, {2, 1}, {4, 1}},
    {{4, 0}, {4, 1}, {3, 1}, {3, 2}, {1, 1}, {3, 3}},
    {{4, 0}, {4, 1}, {2, 1}, {1, 1}, {3, 1}},
    {{3, 0}, {3, 1}, {1, 1}, {2, 1}},
    {{2, 0}, {2, 1}, {1, 1}},
    {{1, 0}, {1, 1}},
};
static const code zeros_dc[3][4] = {{{1, 1}, {2, 1}, {3, 1}, {3, 0}}, {{1, 1}, {2, 1}, {2, 0}}, {{1, 1}, {1, 0}}};

/* Table 9-10: run_before by [zeros left - 1, 6 for more][run]. */
static const code runs[7][15] = {
    {{1, 1}, {1, 0}},
    {{1, 1}, {2, 1}, {2, 0}},
    {{2, 3}, {2, 2}, {2, 1}, {2, 0}},
    {{2, 3}, {2, 2}, {2, 1}, {3, 1}, {3, 0}},
    {{2, 3}, {2, 2}, {3, 3}, {3, 2}, {3, 1}, {3, 0}},
    {{2, 3}, {3, 0}, {3, 1}, {3, 3}, {3, 2}, {3, 5}, {3, 4}},
    {{3, 7}, {3, 6}, {3, 5}, {3, 4}, {3, 3}, {3, 2}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}, {9, 1}, {10, 1},
     {11, 1}},
};

/* coded_block_pattern of Intra_4x4 by codeNum (table 9-4): the lowest bits luma's, then chroma's. */
static const uint8_t coded_blocks[48] = {47, 31, 15, 0,  23, 27, 29, 30, 7,  11, 13, 14, 39, 43, 45, 46,
                                         16, 3,  5,  10, 12, 19, 21, 26, 28, 35, 37, 42, 44, 1,  2,  4,
                                         8,  17, 18, 20, 24, 6,  9,  22, 25, 32, 33, 34, 36, 40, 38, 41};

/* The codeNum of a coded_block_pattern of an inter macroblock (table 9-4). */
static const uint8_t coded_numbers[48] = {0,  2,  3,  7,  4,  8,  17, 13, 5,  18, 9,  14, 10, 15, 16, 11,
                                          1,  32, 33, 36, 34, 37, 44, 40, 35, 45, 38, 41, 39, 42, 43, 19,
                                          6,  24, 25, 20, 26, 21, 46, 28, 27, 47, 22, 29, 23, 30, 31, 12};

/* The next 16 bits; zeros behind the last one. */
static uint32_t ahead(const lw_bits *b)
{
    uint32_t value = 0;
    for (size_t i = b->at; i < b->at + 16; i++)
        value = value << 1 | (i < b->end ? (uint32_t)b->data[i / 8] >> (7 - i % 8) & 1 : 0);
    return value;
}

/* The number of the code that comes next among `count`; -1: none does. */
static int next_code(lw_bits *b, const code *codes, int count)
{
    uint32_t bits = ahead(b);
    for (int i = 0; i < count; i++)
        if (codes[i].length && bits >> (16 - codes[i].length) == codes[i].bits && b->end - b->at >= codes[i].length) {
            b->at += codes[i].length;
            return i;
        }
    b->failed = 1;
    return -1;
}

/* ---- macroblocks ---- */

/* How many coefficients the 4x4 blocks of one component have along an edge. */
typedef struct edge {
    uint8_t luma[4], chroma[2][2];
} edge;

/* A slice on its way. */
typedef struct patch {
    lw_bits in; /* the box */
    lw_put out;
    const lw_slice_box *where;
    const lw_residual *residual;
    int32_t column, row; /* the macroblock, */
    int32_t x, y;        /* and where it is in the box */
    int32_t box_qp, qp;  /* QPY of the macroblock before, in the box's own slice and in this one */
    edge left, above[COLUMNS];
} patch;

static void copy_bits(lw_put *out, const lw_bits *in, size_t from, size_t to)
{
    lw_bits b = {.data = in->data, .end = to, .at = from};
    while (b.at < to) {
        int count = (int)lw_min64((int64_t)(to - b.at), 32);
        lw_put_u(out, lw_bits_u(&b, count), count);
    }
}

/* nC of the counts to the left and above, -1 where there is none. */
static int context(int left, int above)
{
    if (left < 0 || above < 0)
        return left < 0 && above < 0 ? 0 : left < 0 ? above : left;
    return (left + above + 1) / 2;
}

/* The table of a context. */
static const code *tokens_of(int context)
{
    return context < 0 ? tokens_dc[0] : context < 2 ? tokens_0[0] : context < 4 ? tokens_2[0] : tokens_4[0];
}

/* coeff_token, in one context: 4 * coefficients + trailing ones, or -1. */
static int read_token(lw_bits *b, int context)
{
    if (context < 8)
        return next_code(b, tokens_of(context), context < 0 ? 5 * 4 : 17 * 4);
    int bits = (int)lw_bits_u(b, 6);
    int token = bits == 3 ? 0 : bits + 4;
    b->failed |= token % 4 > token / 4;
    return b->failed ? -1 : token;
}

static void put_token(lw_put *p, int token, int context)
{
    if (context < 8) {
        code c = tokens_of(context)[token];
        lw_put_u(p, c.bits, c.length);
    } else {
        lw_put_u(p, token ? (uint32_t)token - 4 : 3, 6);
    }
}

static void skip_levels(lw_bits *b, int count, int ones) /* 9.2.2 */
{
    int suffix = count > 10 && ones < 3;
    lw_bits_u(b, ones);
    for (int i = ones; i < count && !b->failed; i++) {
        int prefix = 0;
        while (!b->failed && !lw_bits_u(b, 1))
            prefix++;
        if (prefix > 15) { /* beyond what the baseline profile has */
            b->failed = 1;
            return;
        }
        int size = prefix == 14 && !suffix ? 4 : prefix == 15 ? 12 : suffix;
        int64_t level = ((int64_t)prefix << suffix) + lw_bits_u(b, size);
        level += (prefix == 15 && !suffix ? 15 : 0) + (i == ones && ones < 3 ? 2 : 0);
        level = level / 2 + 1; /* without its sign */
        suffix += suffix == 0;
        suffix += suffix < 6 && level > 3 << (suffix - 1);
    }
}

static void skip_runs(lw_bits *b, int count, int most) /* 9.2.3 */
{
    int left = 0;
    if (count < most)
        left = most == 4 ? next_code(b, zeros_dc[count - 1], 4) : next_code(b, zeros_4x4[count - 1], 16);
    if (left > most - count)
        b->failed = 1;
    for (int i = 1; i < count && left > 0 && !b->failed; i++) {
        int run = next_code(b, runs[left > 6 ? 6 : left - 1], 15);
        b->failed |= run > left;
        left -= run;
    }
}

/* A residual block of at most `most` coefficients, from one context to another. Returns how many it has. */
static int copy_block(patch *p, int most, int was, int is)
{
    int token = read_token(&p->in, was), count = token / 4;
    if (token < 0 || count > most) {
        p->in.failed = 1;
        return 0;
    }
    put_token(&p->out, token, is);
    size_t from = p->in.at;
    if (count) {
        skip_levels(&p->in, count, token % 4);
        skip_runs(&p->in, count, most);
    }
    if (!p->in.failed)
        copy_bits(&p->out, &p->in, from, p->in.at);
    return count;
}

/* The contexts of a block at column x and row y of its macroblock: as it was in the box's own slice, and as it is. */
static void contexts(const patch *p, const uint8_t *left, const uint8_t *above, int x, int y, int *was, int *is)
{
    *was = context(x || p->x ? *left : -1, y || p->y ? *above : -1);
    *is = context(x || p->column ? *left : -1, y || p->row ? *above : -1);
}

static void copy_luma(patch *p, int whole, int coded)
{
    edge *above = &p->above[p->column];
    int was, is;
    if (whole) { /* Intra_16x16: DC first, in the context of the first block */
        contexts(p, &p->left.luma[0], &above->luma[0], 0, 0, &was, &is);
        copy_block(p, 16, was, is);
    }
    for (int i = 0; i < 16; i++) {
        int x = (i & 1) | (i >> 1 & 2), y = (i >> 1 & 1) | (i >> 2 & 2), count = 0;
        if (coded >> (i / 4) & 1) {
            contexts(p, &p->left.luma[y], &above->luma[x], x, y, &was, &is);
            count = copy_block(p, whole ? 15 : 16, was, is);
        }
        p->left.luma[y] = above->luma[x] = (uint8_t)count;
    }
}

static void copy_chroma(patch *p, int coded)
{
    edge *above = &p->above[p->column];
    for (int c = 0; c < 2 && coded; c++)
        copy_block(p, 4, -1, -1);
    for (int i = 0; i < 8; i++) {
        int x = i & 1, y = i >> 1 & 1, c = i >> 2, count = 0, was, is;
        if (coded == 2) {
            contexts(p, &p->left.chroma[c][y], &above->chroma[c][x], x, y, &was, &is);
            count = copy_block(p, 15, was, is);
        }
        p->left.chroma[c][y] = above->chroma[c][x] = (uint8_t)count;
    }
}

/* mb_qp_delta: 7.4.5. */
static void put_qp(patch *p, int32_t qp)
{
    int32_t delta = qp - p->qp;
    lw_put_se(&p->out, delta > 25 ? delta - 52 : delta < -26 ? delta + 52 : delta);
    p->qp = qp;
}

static void copy_macroblock(patch *p) /* 7.3.5 */
{
    lw_bits *b = &p->in;
    uint32_t type = lw_bits_ue(b), blocks = 0;
    if (type >= I_PCM) {
        b->failed = 1;
        return;
    }
    lw_put_ue(&p->out, type + TYPES_P);
    size_t from = b->at;
    for (int i = 0; i < 16 && !type; i++)
        if (!lw_bits_u(b, 1))
            lw_bits_u(b, 3);
    lw_bits_ue(b); /* intra_chroma_pred_mode */
    if (type) {
        blocks = (type > 12 ? 15 : 0) | (type - 1) / 4 % 3 << 4;
    } else {
        uint32_t number = lw_bits_ue(b);
        b->failed |= number > 47;
        blocks = number > 47 ? 0 : coded_blocks[number];
    }
    if (!b->failed)
        copy_bits(&p->out, b, from, b->at);
    if (type || blocks) {
        int64_t delta = lw_bits_se(b);
        b->failed |= delta < -26 || delta > 25;
        p->box_qp = (int32_t)((p->box_qp + 52 + (b->failed ? 0 : delta)) % 52);
        put_qp(p, p->box_qp);
    }
    copy_luma(p, type != 0, (int)blocks & 15);
    copy_chroma(p, (int)blocks >> 4);
}

/* ---- residuals ---- */

static void put_level(lw_put *out, int level, int first, int suffix) /* 9.2.2.1, the other way round */
{
    uint32_t code = (uint32_t)(level > 0 ? 2 * level - 2 : -2 * level - 1) - (first ? 2 : 0);
    uint32_t escape = suffix ? 15u << suffix : 30, prefix = suffix ? code >> suffix : code;
    if (code >= escape) {
        lw_put_u(out, 1, 16);
        lw_put_u(out, code - escape, 12);
    } else if (!suffix && code >= 14) {
        lw_put_u(out, 1, 15);
        lw_put_u(out, code - 14, 4);
    } else {
        lw_put_u(out, 1, (int)prefix + 1);
        lw_put_u(out, suffix ? code & ((1u << suffix) - 1) : 0, suffix);
    }
}

static void put_code(lw_put *out, code c)
{
    lw_put_u(out, c.bits, c.length);
}

/* A block of `most` coefficients, in the order of the scan. Returns how many are not 0. */
static int put_block(lw_put *out, const int16_t *scan, int most, int context)
{
    int at[16], count = 0, ones = 0;
    for (int i = most - 1; i >= 0; i--)
        if (scan[i])
            at[count++] = i;
    while (ones < count && ones < 3 && (scan[at[ones]] == 1 || scan[at[ones]] == -1))
        ones++;
    put_token(out, 4 * count + ones, context);
    int suffix = count > 10 && ones < 3;
    for (int i = 0; i < count; i++) {
        int level = scan[at[i]];
        if (i < ones) {
            lw_put_u(out, level < 0, 1);
            continue;
        }
        put_level(out, level, i == ones && ones < 3, suffix);
        suffix += suffix == 0;
        suffix += suffix < 6 && (level < 0 ? -level : level) > 3 << (suffix - 1);
    }
    int zeros = count ? at[0] + 1 - count : 0;
    if (count && count < most)
        put_code(out, most == 4 ? zeros_dc[count - 1][zeros] : zeros_4x4[count - 1][zeros]);
    for (int i = 0; i + 1 < count && zeros; i++) {
        int run = at[i] - at[i + 1] - 1;
        put_code(out, runs[zeros > 6 ? 6 : zeros - 1][run]);
        zeros -= run;
    }
    return count;
}

static int any(const int16_t *levels, int count)
{
    int found = 0;
    for (int i = 0; i < count; i++)
        found |= levels[i];
    return found != 0;
}

/* coded_block_pattern of a macroblock's levels; -1: one is beyond what can be said. */
static int pattern(const int16_t *levels)
{
    int coded = 0;
    for (int i = 0; levels && i < LW_RESIDUAL_LEVELS; i++)
        if (levels[i] < -LW_RESIDUAL_MOST || levels[i] > LW_RESIDUAL_MOST)
            return -1;
    for (int i = 0; levels && i < 4; i++)
        coded |= any(levels + 64 * i, 64) << i;
    return coded | (!levels ? 0 : any(levels + 264, 120) ? 32 : any(levels + 256, 8) ? 16 : 0);
}

/* What follows on an inter macroblock's vectors. `coded`: its pattern; 0: nothing. */
static void put_residual(patch *p, const int16_t *levels, int coded)
{
    edge *above = &p->above[p->column];
    int was, is;
    p->x = p->y = 1; /* not that of the box */
    lw_put_ue(&p->out, coded_numbers[coded]);
    if (coded)
        put_qp(p, p->residual->qp);
    for (int i = 0; i < 16; i++) {
        int x = (i & 1) | (i >> 1 & 2), y = (i >> 1 & 1) | (i >> 2 & 2), count = 0;
        contexts(p, &p->left.luma[y], &above->luma[x], x, y, &was, &is);
        if (coded >> (i / 4) & 1)
            count = put_block(&p->out, levels + 16 * i, 16, is);
        p->left.luma[y] = above->luma[x] = (uint8_t)count;
    }
    for (int c = 0; c < 2 && coded >> 4; c++)
        put_block(&p->out, levels + 256 + 4 * c, 4, -1);
    for (int i = 0; i < 8; i++) {
        int x = i & 1, y = i >> 1 & 1, c = i >> 2, count = 0;
        contexts(p, &p->left.chroma[c][y], &above->chroma[c][x], x, y, &was, &is);
        if (coded >> 4 == 2)
            count = put_block(&p->out, levels + 264 + 15 * i, 15, is);
        p->left.chroma[c][y] = above->chroma[c][x] = (uint8_t)count;
    }
}

/* ---- slices ---- */

/* The macroblock of a P slice that comes next, vectors without a residual: skipped over, but for the last bit. */
static void skip_moved(lw_bits *b)
{
    uint32_t type = lw_bits_ue(b);
    b->failed |= type != 0 && type != 3; /* P_L0_16x16 or P_8x8 */
    for (int i = 0; i < 4 && type; i++)
        b->failed |= lw_bits_ue(b) != 0; /* P_L0_8x8 */
    for (int i = 0; i < (type ? 8 : 2); i++)
        lw_bits_se(b);
    b->failed |= lw_bits_ue(b) != 0; /* coded_block_pattern */
    b->at -= !b->failed;
}

static int in_box(const lw_slice_box *w, int32_t mb)
{
    int32_t x = mb % w->columns - w->left, y = mb / w->columns - w->top;
    return x >= 0 && x < w->width && y >= 0 && y < w->height;
}

static const char *write_patch(patch *p, lw_bits *around)
{
    const lw_slice_box *w = p->where;
    int32_t mbs = w->columns * w->rows, skipped = -1; /* macroblocks that are still to be skipped; -1: not read yet */
    uint32_t run = 0;
    for (int32_t mb = 0; mb < mbs; mb++) {
        if (skipped < 0) {
            uint32_t count = lw_bits_ue(around);
            if (around->failed || count > (uint32_t)(mbs - mb))
                return "the P slice is malformed, or has not as many macroblocks";
            skipped = (int32_t)count;
        }
        p->column = mb % w->columns, p->row = mb / w->columns;
        const int16_t *levels = p->residual ? p->residual->levels + (size_t)mb * LW_RESIDUAL_LEVELS : NULL;
        int boxed = in_box(w, mb), coded = boxed ? 0 : pattern(levels);
        if (coded < 0 || (coded && skipped))
            return "the residual is out of range, or of a skipped macroblock";
        if (boxed) {
            if (!skipped)
                return "the P slice does not skip the box";
            lw_put_ue(&p->out, run);
            run = 0;
            p->x = p->column - w->left, p->y = p->row - w->top;
            copy_macroblock(p);
            if (p->in.failed)
                return "the box is malformed, or has PCM macroblocks";
            skipped--;
        } else if (skipped) {
            p->left = p->above[p->column] = (edge){0};
            run++;
            skipped--;
        } else {
            size_t from = around->at;
            skip_moved(around);
            if (around->failed)
                return "the P slice has more than vectors";
            lw_put_ue(&p->out, run);
            copy_bits(&p->out, around, from, around->at++);
            put_residual(p, levels, coded);
            run = 0;
            skipped = -1;
        }
    }
    if (run)
        lw_put_ue(&p->out, run);
    return around->at != around->end || p->in.at != p->in.end ? "bits are left over" : NULL;
}

static int good(const lw_payload *p, int32_t type)
{
    return p && p->bits && p->bit_length && p->bit_length <= INT32_MAX && p->type == type && p->qp >= 0 && p->qp <= 51;
}

int lw_slice_patch(const lw_payload *around, const lw_residual *residual, const lw_payload *box,
                   const lw_slice_box *where, uint8_t *bits, size_t room, lw_payload *payload, const char **why)
{
    const lw_slice_box *w = where;
    if (!good(around, LW_SLICE_P) || (box && !good(box, LW_SLICE_I)) || !w || !bits || !payload || w->columns < 1 ||
        w->columns > COLUMNS || w->rows < 1 || w->rows > COLUMNS || w->left < 0 || w->top < 0 || w->width < 0 ||
        w->height < 0 || w->left > w->columns - w->width || w->top > w->rows - w->height)
        return LW_EINVAL;
    int32_t boxed = w->width * w->height;
    if (!box != !boxed || (residual && (!residual->levels || residual->qp < 0 || residual->qp > 51)))
        return LW_EINVAL;
    size_t inside = box ? box->bit_length : 0, most = LW_PATCH_BYTES(around->bit_length, inside, boxed);
    if (room < most + (residual ? LW_RESIDUAL_BYTES * (size_t)(w->columns * w->rows) : 0))
        return LW_ENOSPC;
    patch p = {.in = {.data = box ? box->bits : NULL, .end = inside}, .out = {.out = bits}, .where = w};
    p.residual = residual;
    p.qp = p.box_qp = box ? box->qp : residual ? residual->qp : around->qp;
    const char *wrong = write_patch(&p, &(lw_bits){.data = around->bits, .end = around->bit_length});
    if (wrong) {
        if (why)
            *why = wrong;
        return LW_EDATA;
    }
    *payload = (lw_payload){.bits = bits, .bit_length = 8 * (size_t)(p.out.out - bits) + (size_t)p.out.count};
    payload->type = LW_SLICE_P, payload->qp = box ? box->qp : residual ? residual->qp : around->qp;
    if (p.out.count)
        *p.out.out = (uint8_t)((p.out.bits & ((1u << p.out.count) - 1)) << (8 - p.out.count));
    return 0;
}
