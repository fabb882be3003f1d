/* What of H.264 the stitcher writes: parameter sets and slice headers. Not exported. */
#ifndef LW_H264_H
#define LW_H264_H

#include "bits.h"
#include "lipwire/stitch.h"

enum {
    LW_H264_CHROMA_QP = -6,  /* chroma_qp_index_offset: coarse chroma is seen, as bands */
    LW_H264_PARAMETERS = 96, /* bytes that are enough for a parameter set, */
    LW_H264_HEADER = 20,     /* for a slice header with the NAL unit's own byte, and a skip run */
    LW_H264_FRAME_NUMS = 256, /* MaxFrameNum */
    LW_H264_IDR_ID = 7       /* idr_pic_id is this or one more; see lw_h264_header */
};

typedef struct lw_h264_format {
    int32_t width, height, fps_num, fps_den, matrix;
} lw_h264_format;

/* The lowest level (table A-1) that has pictures of this size, so many a second. */
int lw_h264_level(const lw_h264_format *f);
/* NAL units, escaped. Return their bytes. */
size_t lw_h264_sps(const lw_h264_format *f, uint8_t out[LW_H264_PARAMETERS]);
size_t lw_h264_pps(uint8_t out[LW_H264_PARAMETERS]);

typedef struct lw_h264_slice {
    uint32_t first_mb;
    int32_t type, qp; /* as in lw_payload */
    uint32_t frame_num;
    int32_t idr_id;   /* of an IDR picture: LW_H264_IDR_ID or one more; else 0 */
} lw_h264_slice;

/* Writes the NAL unit's byte and the slice header, not escaped. */
void lw_h264_header(lw_put *put, const lw_h264_slice *slice);
/* Copies with emulation prevention (clause 7.4.1), `zeros` = 0..2 of them before `from`. Returns the bytes written. */
size_t lw_h264_escape(uint8_t *to, const uint8_t *from, size_t n, int zeros);

#endif
