/* H.264 syntax: parameter sets and slice headers read of an encoder's stream, and written for a stitched one. Clauses
 * are of ITU-T H.264. */
#include <string.h>

#include "common.h"
#include "h264.h"

enum { NAL_SLICE = 1, NAL_IDR = 5, NAL_SPS = 7, NAL_PPS = 8 };

/* ---- NAL units: 7.3.1, annex B ---- */

int lw_nal_next(const uint8_t *stream, size_t n, size_t *at, const uint8_t **nal, size_t *bytes)
{
    size_t i = *at;
    while (i + 3 <= n && (stream[i] || stream[i + 1] || stream[i + 2] != 1))
        i++;
    if (i + 3 > n) {
        *at = n;
        return 0;
    }
    size_t begin = i + 3, end = begin;
    while (end < n && (end + 3 > n || stream[end] || stream[end + 1] || stream[end + 2] > 1))
        end++;
    *at = end;
    while (end > begin && !stream[end - 1]) /* trailing_zero_8bits */
        end--;
    *nal = stream + begin;
    *bytes = end - begin;
    return 1;
}

/* Takes the emulation prevention out, up to `room` bytes of what is left. `to` may be `from`. */
static size_t unescape(uint8_t *to, const uint8_t *from, size_t n, size_t room)
{
    size_t put = 0;
    int zeros = 0;
    for (size_t i = 0; i < n && put < room; i++) {
        if (zeros >= 2 && from[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = from[i] ? 0 : zeros + 1;
        to[put++] = from[i];
    }
    return put;
}

size_t lw_h264_escape(uint8_t *to, const uint8_t *from, size_t n, int zeros)
{
    uint8_t *put = to;
    for (size_t i = 0; i < n; i++) {
        if (zeros == 2 && from[i] <= 3) {
            *put++ = 3;
            zeros = 0;
        }
        zeros = from[i] ? 0 : zeros + 1;
        *put++ = from[i];
    }
    return (size_t)(put - to);
}

/* The bits before the stop bit (rbsp_trailing_bits); 0 where there is none. */
static size_t before_stop(const uint8_t *rbsp, size_t n)
{
    while (n && !rbsp[n - 1])
        n--;
    return n ? 8 * n - 1 - (size_t)__builtin_ctz(rbsp[n - 1]) : 0;
}

/* ---- reading an encoder's ---- */

typedef struct sets {
    uint32_t frame_num_bits, poc_type, poc_bits, mbs; /* SPS */
    int delta_always_zero;
    uint32_t id; /* PPS */
    int bottom_field_order, weighted, deblocking_control, constrained_intra, redundant;
    uint32_t references;
    int64_t qp;
} sets;

/* Opens a parameter set; 0 where it is not of the type. */
static int open_set(lw_bits *b, uint8_t rbsp[512], const uint8_t *nal, size_t n, int type)
{
    if (!nal || n < 2 || (nal[0] & 0x9f) != type)
        return 0;
    size_t bytes = unescape(rbsp, nal + 1, n - 1, 512);
    *b = (lw_bits){.data = rbsp, .end = before_stop(rbsp, bytes)};
    return 1;
}

/* The part of a high profile's SPS (7.3.2.1.1) that others lack. Returns what is wrong, or NULL. */
static const char *read_high(lw_bits *b)
{
    if (lw_bits_ue(b) != 1)
        return "the SPS: not 4:2:0";
    if (lw_bits_ue(b) | lw_bits_ue(b))
        return "the SPS: not 8 bit";
    return lw_bits_u(b, 2) ? "the SPS: lossless, or with scaling matrices" : NULL;
}

static int is_high(uint32_t profile)
{
    static const uint8_t high[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
    return memchr(high, (int)profile, sizeof high) != NULL;
}

static const char *read_sps(sets *s, const uint8_t *nal, size_t n) /* 7.3.2.1.1 */
{
    uint8_t rbsp[512];
    lw_bits b;
    if (!open_set(&b, rbsp, nal, n, NAL_SPS))
        return "the SPS is none";
    uint32_t profile = lw_bits_u(&b, 8);
    lw_bits_u(&b, 16); /* constraints, level */
    lw_bits_ue(&b);
    const char *wrong = is_high(profile) ? read_high(&b) : NULL;
    if (wrong)
        return wrong;
    uint32_t frame_num_bits = lw_bits_ue(&b), poc_bits = 0;
    s->poc_type = lw_bits_ue(&b);
    if (s->poc_type == 0) {
        poc_bits = lw_bits_ue(&b);
    } else if (s->poc_type == 1) {
        s->delta_always_zero = (int)lw_bits_u(&b, 1);
        lw_bits_se(&b);
        lw_bits_se(&b);
        for (uint32_t cycle = lw_bits_ue(&b); cycle && !b.failed; cycle--)
            lw_bits_se(&b);
    }
    lw_bits_ue(&b); /* references */
    lw_bits_u(&b, 1);
    uint64_t width = (uint64_t)lw_bits_ue(&b) + 1, height = (uint64_t)lw_bits_ue(&b) + 1;
    int frames = (int)lw_bits_u(&b, 1);
    if (b.failed || frame_num_bits > 12 || s->poc_type > 2 || poc_bits > 12 || width > 65536 || height > 65536)
        return "the SPS is malformed";
    s->frame_num_bits = frame_num_bits + 4;
    s->poc_bits = poc_bits + 4;
    s->mbs = (uint32_t)lw_min64((int64_t)(width * height), UINT32_MAX);
    return frames ? NULL : "the SPS: interlaced";
}

static const char *read_pps(sets *s, const uint8_t *nal, size_t n) /* 7.3.2.2 */
{
    uint8_t rbsp[512];
    lw_bits b;
    if (!open_set(&b, rbsp, nal, n, NAL_PPS))
        return "the PPS is none";
    s->id = lw_bits_ue(&b);
    lw_bits_ue(&b);
    if (lw_bits_u(&b, 1))
        return "the PPS: CABAC; CAVLC is wanted (cabac=0)";
    s->bottom_field_order = (int)lw_bits_u(&b, 1);
    if (lw_bits_ue(&b))
        return "the PPS: slice groups";
    s->references = lw_bits_ue(&b);
    lw_bits_ue(&b);
    s->weighted = (int)lw_bits_u(&b, 1);
    lw_bits_u(&b, 2);
    s->qp = 26 + lw_bits_se(&b);
    lw_bits_se(&b);
    if (lw_bits_se(&b) != LW_H264_CHROMA_QP)
        return "the PPS: chroma_qp_index_offset is not -6 (psy=0:chroma-qp-offset=-6)";
    s->deblocking_control = (int)lw_bits_u(&b, 1);
    s->constrained_intra = (int)lw_bits_u(&b, 1);
    s->redundant = (int)lw_bits_u(&b, 1);
    if (b.at < b.end && (lw_bits_u(&b, 2) || lw_bits_se(&b))) /* of a high profile */
        return "the PPS: 8x8 transform, scaling matrices, or a second chroma_qp_index_offset (8x8dct=0)";
    return b.failed ? "the PPS is malformed" : NULL;
}

/* dec_ref_pic_marking, 7.3.3.3. */
static void skip_marking(lw_bits *b, int idr)
{
    if (idr) {
        lw_bits_u(b, 2);
        return;
    }
    if (!lw_bits_u(b, 1))
        return;
    uint32_t operation;
    while (!b->failed && (operation = lw_bits_ue(b))) {
        if (operation != 5)
            lw_bits_ue(b);
        if (operation == 3)
            lw_bits_ue(b);
    }
}

static void skip_order(lw_bits *b, const sets *s)
{
    if (s->poc_type == 0) {
        lw_bits_u(b, (int)s->poc_bits);
        if (s->bottom_field_order)
            lw_bits_se(b);
    } else if (s->poc_type == 1 && !s->delta_always_zero) {
        lw_bits_se(b);
        if (s->bottom_field_order)
            lw_bits_se(b);
    }
}

/* Up to the slice data: 7.3.3. Returns what is wrong, or NULL. */
static const char *read_header(lw_bits *b, const sets *s, uint8_t nal, lw_payload *payload, uint32_t *first_mb)
{
    int idr = (nal & 31) == NAL_IDR;
    *first_mb = lw_bits_ue(b);
    uint32_t type = lw_bits_ue(b) % 5;
    if (type != LW_SLICE_P && type != LW_SLICE_I)
        return "neither an I nor a P slice (bframes=0)";
    if (lw_bits_ue(b) != s->id)
        return "the slice is of another PPS";
    lw_bits_u(b, (int)s->frame_num_bits);
    if (idr)
        lw_bits_ue(b);
    skip_order(b, s);
    if (s->redundant && lw_bits_ue(b))
        return "a redundant slice";
    if (type == LW_SLICE_P) {
        if (!s->constrained_intra)
            return "the PPS: constrained_intra_pred_flag is 0 (constrained-intra=1)";
        uint32_t references = lw_bits_u(b, 1) ? lw_bits_ue(b) : s->references;
        if (references)
            return "more than one reference (ref=1)";
        if (lw_bits_u(b, 1))
            return "references in an order of their own";
        if (s->weighted)
            return "weighted prediction (weightp=0)";
    }
    if (nal >> 5 & 3)
        skip_marking(b, idr);
    int64_t qp = s->qp + lw_bits_se(b);
    if (!s->deblocking_control || lw_bits_ue(b) != 1)
        return "the slice is deblocked (no-deblock=1)";
    if (b->failed || qp < 0 || qp > 51 || *first_mb >= s->mbs)
        return "the slice header is malformed";
    payload->type = (int32_t)type;
    payload->qp = (int32_t)qp;
    return NULL;
}

/* Moves the bits from `at` on to the beginning; behind them are zeros. */
static void take_bits(uint8_t *bits, size_t at, size_t count)
{
    const uint8_t *from = bits + at / 8;
    int shift = (int)(at % 8);
    size_t bytes = (count + 7) / 8, last = (at + count - 1) / 8 - at / 8;
    for (size_t i = 0; i < bytes; i++)
        bits[i] = (uint8_t)(from[i] << shift | (i < last ? from[i + 1] >> (8 - shift) : 0));
    if (count % 8)
        bits[bytes - 1] &= (uint8_t)(0xff00 >> count % 8);
}

int lw_slice_read(const void *nal, size_t n, const void *sps, size_t sps_bytes, const void *pps, size_t pps_bytes,
                  uint8_t *bits, size_t room, lw_payload *payload, int32_t *first_mb, const char **why)
{
    const uint8_t *from = nal;
    const char *unused;
    sets s = {0};
    uint32_t first = 0;
    if (!nal || !bits || !payload)
        return LW_EINVAL;
    if (room < n)
        return LW_ENOSPC;
    why = why ? why : &unused;
    int type = n ? from[0] & 0x9f : 0; /* with forbidden_zero_bit */
    if (type != NAL_SLICE && type != NAL_IDR) {
        *why = "the NAL unit is no slice";
        return LW_EDATA;
    }
    if ((*why = read_sps(&s, sps, sps_bytes)) || (*why = read_pps(&s, pps, pps_bytes)))
        return LW_EDATA;
    uint8_t header = from[0];
    size_t bytes = unescape(bits, from + 1, n - 1, room);
    lw_bits b = {.data = bits, .end = before_stop(bits, bytes)};
    if ((*why = read_header(&b, &s, header, payload, &first)))
        return LW_EDATA;
    if (b.at >= b.end || b.end - b.at > INT32_MAX) {
        *why = "the slice has no data";
        return LW_EDATA;
    }
    payload->bits = bits;
    payload->bit_length = b.end - b.at;
    take_bits(bits, b.at, payload->bit_length);
    if (first_mb)
        *first_mb = (int32_t)first;
    return 0;
}

/* ---- writing ---- */

int lw_h264_level(const lw_h264_format *f)
{
    static const struct {
        int32_t level, rate, size; /* level_idc, MaxMBPS, MaxFS */
    } levels[] = {{10, 1485, 99},       {11, 3000, 396},      {12, 6000, 396},      {13, 11880, 396},
                  {21, 19800, 792},     {22, 20250, 1620},    {30, 40500, 1620},    {31, 108000, 3600},
                  {32, 216000, 5120},   {40, 245760, 8192},   {42, 522240, 8704},   {50, 589824, 22080},
                  {51, 983040, 36864},  {52, 2073600, 36864}, {60, 4177920, 139264}};
    int64_t w = (f->width + 15) / 16, h = (f->height + 15) / 16;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (w * h <= levels[i].size && w * h * f->fps_num <= (int64_t)levels[i].rate * f->fps_den &&
            w * w <= 8 * levels[i].size && h * h <= 8 * levels[i].size)
            return levels[i].level;
    return 61; /* LW_SIZE_MAX x LW_SIZE_MAX, a hundred times a second */
}

/* E.1.1: what the samples mean, how long a picture is, and that none is held back. */
static void put_vui(lw_put *p, const lw_h264_format *f)
{
    uint32_t colours = f->matrix == LW_BT709 ? 1 : 6;
    lw_put_u(p, 1, 1);
    lw_put_u(p, 1, 8);    /* square pixels */
    lw_put_u(p, 0, 1);    /* overscan */
    lw_put_u(p, 1, 1);    /* video_signal_type: */
    lw_put_u(p, 5 << 2 | 1, 5); /* unspecified format, limited range, colours: */
    for (int i = 0; i < 3; i++)
        lw_put_u(p, colours, 8);
    lw_put_u(p, 0, 1);    /* chroma location */
    lw_put_u(p, 1, 1);    /* timing: */
    lw_put_u(p, (uint32_t)f->fps_den, 32);
    lw_put_u(p, 2 * (uint64_t)f->fps_num, 32);
    lw_put_u(p, 0, 1);    /* not fixed: a picture may be left out */
    lw_put_u(p, 0, 3);    /* NAL and VCL HRD, pic_struct */
    lw_put_u(p, 3, 2);    /* bitstream_restriction: vectors may lead over the edges */
    lw_put_ue(p, 0);
    lw_put_ue(p, 0);
    lw_put_ue(p, 15);
    lw_put_ue(p, 15);
    lw_put_ue(p, 0);      /* no reordering, */
    lw_put_ue(p, 1);      /* one picture kept */
}

static size_t finish(lw_put *p, const uint8_t *raw, uint8_t *out)
{
    lw_put_end(p);
    return lw_h264_escape(out, raw, (size_t)(p->out - raw), 0);
}

size_t lw_h264_sps(const lw_h264_format *f, uint8_t out[LW_H264_PARAMETERS])
{
    uint8_t raw[LW_H264_PARAMETERS * 2 / 3];
    lw_put p = {.out = raw};
    uint32_t w = (uint32_t)(f->width + 15) / 16, h = (uint32_t)(f->height + 15) / 16;
    uint32_t right = (16 * w - (uint32_t)f->width) / 2, bottom = (16 * h - (uint32_t)f->height) / 2;
    lw_put_u(&p, 3 << 5 | NAL_SPS, 8);
    lw_put_u(&p, 66, 8);   /* baseline, */
    lw_put_u(&p, 0xc0, 8); /* constrained */
    lw_put_u(&p, (uint32_t)lw_h264_level(f), 8);
    lw_put_ue(&p, 0);
    lw_put_ue(&p, 4);   /* frame_num has 8 bits: LW_H264_FRAME_NUMS */
    lw_put_ue(&p, 2);   /* output in decoding order */
    lw_put_ue(&p, 1);   /* one reference */
    lw_put_u(&p, 0, 1); /* no gaps in frame_num */
    lw_put_ue(&p, w - 1);
    lw_put_ue(&p, h - 1);
    lw_put_u(&p, 3, 2); /* frames; direct_8x8_inference */
    lw_put_u(&p, right || bottom, 1);
    if (right || bottom) {
        lw_put_ue(&p, 0);
        lw_put_ue(&p, right);
        lw_put_ue(&p, 0);
        lw_put_ue(&p, bottom);
    }
    lw_put_u(&p, 1, 1);
    put_vui(&p, f);
    return finish(&p, raw, out);
}

size_t lw_h264_pps(uint8_t out[LW_H264_PARAMETERS])
{
    uint8_t raw[16];
    lw_put p = {.out = raw};
    lw_put_u(&p, 3 << 5 | NAL_PPS, 8);
    lw_put_ue(&p, 0);
    lw_put_ue(&p, 0);
    lw_put_u(&p, 0, 2); /* CAVLC; no order of fields */
    lw_put_ue(&p, 0);   /* no slice groups */
    lw_put_ue(&p, 0);   /* one reference */
    lw_put_ue(&p, 0);
    lw_put_u(&p, 0, 3); /* no weighted prediction */
    lw_put_se(&p, 0);   /* QP 26 */
    lw_put_se(&p, 0);
    lw_put_se(&p, LW_H264_CHROMA_QP);
    lw_put_u(&p, 6, 3); /* slices say that they are not deblocked; constrained intra prediction; nothing redundant */
    return finish(&p, raw, out);
}

void lw_h264_header(lw_put *p, const lw_h264_slice *s) /* 7.3.3 */
{
    lw_put_u(p, 3 << 5 | (s->idr_id ? NAL_IDR : NAL_SLICE), 8);
    lw_put_ue(p, s->first_mb);
    lw_put_ue(p, (uint32_t)s->type);
    lw_put_ue(p, 0); /* the PPS */
    lw_put_u(p, s->frame_num, 8);
    /* An IDR picture's header is longer by the 7 bits of idr_pic_id and one of dec_ref_pic_marking: a whole byte. */
    if (s->idr_id)
        lw_put_ue(p, (uint32_t)s->idr_id);
    if (s->type == LW_SLICE_P)
        lw_put_u(p, 0, 2); /* as many references as the PPS says, in their order */
    lw_put_u(p, 0, s->idr_id ? 2 : 1); /* the picture is a reference, for a short time */
    lw_put_se(p, s->qp - 26);
    lw_put_ue(p, 1); /* no deblocking */
}

/* One byte of a NAL unit, with the byte before it that keeps three in a row from reading as a start code
 * (H.264 7.4.1.1). `solid`: it counts as not zero. */
static uint8_t *store_byte(uint8_t *to, uint8_t byte, int *zeros, int solid)
{
    if (*zeros == 2 && byte <= 3) {
        *to++ = 3;
        *zeros = 0;
    }
    *zeros = byte || solid ? 0 : *zeros + 1;
    *to++ = byte;
    return to;
}

int64_t lw_slice_store(const lw_payload *payload, int32_t first_mb, uint8_t *out, size_t room)
{
    uint8_t header[LW_H264_HEADER];
    lw_put put = {.out = header};
    if (!payload || !payload->bits || !payload->bit_length || payload->bit_length > INT32_MAX || !out || first_mb < 0 ||
        first_mb > 65535 || (payload->type != LW_SLICE_P && payload->type != LW_SLICE_I) || payload->qp < 0 ||
        payload->qp > 51)
        return LW_EINVAL;
    if (room < payload->bit_length / 8 * 3 / 2 + 8)
        return LW_ENOSPC;
    lw_h264_header(&put, &(lw_h264_slice){.first_mb = (uint32_t)first_mb, .type = payload->type, .qp = payload->qp});
    int shift = put.count, zeros = 0;
    size_t whole = payload->bit_length / 8;
    int rest = (int)(payload->bit_length % 8);
    uint8_t *to = out;
    /* The header ends with 010. So a first byte that has two bits of it or more is not 0, and never has to be escaped;
     * and one that has fewer comes behind a byte that is not 0. Either way no zeros are pending. */
    uint32_t held = 0; /* its lowest `shift` bits wait for their byte */
    for (size_t i = 0; i < whole; i++) {
        held = held << 8 | payload->bits[i];
        to = store_byte(to, (uint8_t)(held >> shift), &zeros, to == out && shift >= 2);
    }
    if (rest)
        held = held << rest | (uint32_t)payload->bits[whole] >> (8 - rest);
    int count = shift + rest + 1, pad = -count & 7;
    held = (held << 1 | 1) << pad; /* the stop bit, and zeros up to a whole byte */
    for (count += pad - 8; count >= 0; count -= 8)
        to = store_byte(to, (uint8_t)(held >> count), &zeros, to == out && shift >= 2);
    return to - out;
}
