/* The one place where kernels are chosen. */
#include "dsp.h"

/* clang-format off */
#define PLAIN_C { \
    .fir = lw_fir_c, \
    .fir_block = lw_fir_c, \
    .alaw_encode = lw_alaw_encode_c, \
    .ulaw_encode = lw_ulaw_encode_c, \
    .alaw_decode = lw_alaw_decode_c, \
    .ulaw_decode = lw_ulaw_decode_c, \
    .g722_split = lw_g722_split_c, \
    .g722_join = lw_g722_join_c, \
    .g722_encode = lw_g722_encode_c, \
    .g722_decode = lw_g722_decode_c, \
    .g722_encode_lanes = lw_g722_encode_lanes_c, \
    .g722_decode_lanes = lw_g722_decode_lanes_c, \
    .turn8 = lw_turn8_c, \
    .turn16 = lw_turn16_c, \
    .correlate = lw_correlate_c, \
    .dot = lw_dot_c, \
    .burg = lw_burg_c, \
    .base64 = lw_base64_c, \
    .viseme_spectrum = lw_viseme_spectrum_c, \
    .viseme_mel = lw_viseme_mel_c, \
    .viseme_dense = lw_viseme_dense_c, \
    .viseme_rectify = lw_viseme_rectify_c, \
    .viseme_gates = lw_viseme_gates_c, \
    .viseme_classes = lw_viseme_classes_c, \
    .blend = lw_blend_c, \
    .lerp = lw_lerp_c, \
    .warp = lw_warp_c, \
    .look = lw_look_c, \
    .scale_row = lw_scale_row_c, \
    .scale_mix = lw_scale_mix_c, \
    .rgba_luma = lw_rgba_luma_c, \
    .rgba_chroma = lw_rgba_chroma_c, \
}
/* clang-format on */

lw_dsp lw_kernels = PLAIN_C;

void lw_dsp_fill(lw_dsp *dsp, uint32_t mask)
{
    *dsp = (lw_dsp)PLAIN_C;
#if defined(__x86_64__)
    if (mask & LW_CPU_AVX2) {
        dsp->fir = lw_fir_avx2;
        dsp->fir_block = lw_fir_block_avx2;
        dsp->alaw_encode = lw_alaw_encode_avx2;
        dsp->ulaw_encode = lw_ulaw_encode_avx2;
        dsp->alaw_decode = lw_alaw_decode_avx2;
        dsp->ulaw_decode = lw_ulaw_decode_avx2;
        dsp->g722_split = lw_g722_split_avx2;
        dsp->g722_join = lw_g722_join_avx2;
        dsp->g722_encode = lw_g722_encode_avx2;
        dsp->g722_decode = lw_g722_decode_avx2;
        dsp->g722_encode_lanes = lw_g722_encode_lanes_avx2;
        dsp->g722_decode_lanes = lw_g722_decode_lanes_avx2;
        dsp->turn8 = lw_turn8_avx2;
        dsp->turn16 = lw_turn16_avx2;
        dsp->correlate = lw_correlate_avx2;
        dsp->dot = lw_dot_avx2;
        dsp->burg = lw_burg_avx2;
        dsp->base64 = lw_base64_avx2;
        dsp->viseme_spectrum = lw_viseme_spectrum_avx2;
        dsp->viseme_mel = lw_viseme_mel_avx2;
        dsp->viseme_dense = lw_viseme_dense_avx2;
        dsp->viseme_rectify = lw_viseme_rectify_avx2;
        dsp->viseme_gates = lw_viseme_gates_avx2;
        dsp->blend = lw_blend_avx2;
        dsp->lerp = lw_lerp_avx2;
        dsp->warp = lw_warp_avx2;
        dsp->look = lw_look_avx2;
        dsp->scale_row = lw_scale_row_avx2;
        dsp->scale_mix = lw_scale_mix_avx2;
        dsp->rgba_luma = lw_rgba_luma_avx2;
        dsp->rgba_chroma = lw_rgba_chroma_avx2;
    }
    if (mask & LW_CPU_AVX512) {
        dsp->fir = lw_fir_avx512;
        dsp->fir_block = lw_fir_block_avx512;
        dsp->dot = lw_dot_avx512;
        dsp->burg = lw_burg_avx512;
        dsp->g722_encode_lanes = lw_g722_encode_lanes_avx512;
        dsp->g722_decode_lanes = lw_g722_decode_lanes_avx512;
        dsp->base64 = lw_base64_avx512;
        dsp->viseme_spectrum = lw_viseme_spectrum_avx512;
        dsp->viseme_mel = lw_viseme_mel_avx512;
        dsp->viseme_dense = lw_viseme_dense_avx512;
        dsp->viseme_rectify = lw_viseme_rectify_avx512;
        dsp->viseme_gates = lw_viseme_gates_avx512;
        dsp->viseme_classes = lw_viseme_classes_avx512;
        dsp->blend = lw_blend_avx512;
        dsp->lerp = lw_lerp_avx512;
        dsp->warp = lw_warp_avx512;
        dsp->look = lw_look_avx512;
        dsp->scale_row = lw_scale_row_avx512;
        dsp->scale_mix = lw_scale_mix_avx512;
        dsp->rgba_luma = lw_rgba_luma_avx512;
        dsp->rgba_chroma = lw_rgba_chroma_avx512;
    }
#elif defined(__aarch64__)
    if (mask & LW_CPU_NEON) {
        dsp->fir = dsp->fir_block = lw_fir_neon;
        dsp->alaw_encode = lw_alaw_encode_neon;
        dsp->ulaw_encode = lw_ulaw_encode_neon;
        dsp->alaw_decode = lw_alaw_decode_neon;
        dsp->ulaw_decode = lw_ulaw_decode_neon;
        dsp->g722_split = lw_g722_split_neon;
        dsp->g722_join = lw_g722_join_neon;
        dsp->g722_encode_lanes = lw_g722_encode_lanes_neon;
        dsp->g722_decode_lanes = lw_g722_decode_lanes_neon;
        dsp->turn8 = lw_turn8_neon;
        dsp->turn16 = lw_turn16_neon;
        dsp->correlate = lw_correlate_neon;
        dsp->dot = lw_dot_neon;
        dsp->burg = lw_burg_neon;
        dsp->base64 = lw_base64_neon;
        dsp->viseme_spectrum = lw_viseme_spectrum_neon;
        dsp->viseme_mel = lw_viseme_mel_neon;
        dsp->viseme_dense = lw_viseme_dense_neon;
        dsp->blend = lw_blend_neon;
        dsp->lerp = lw_lerp_neon;
        dsp->warp = lw_warp_neon;
        dsp->scale_row = lw_scale_row_neon;
        dsp->scale_mix = lw_scale_mix_neon;
        dsp->rgba_luma = lw_rgba_luma_neon;
        dsp->rgba_chroma = lw_rgba_chroma_neon;
    }
#else
    (void)mask;
#endif
}
