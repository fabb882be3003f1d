from libc.stdint cimport int16_t

from native.motion cimport lw_pose


cdef extern from "lipwire/face.h" nogil:
    enum:
        LW_FACE_SHAPES
        LW_FACE_ANGLES
        LW_FACE_RADIAN
    ctypedef struct lw_face:
        int16_t shape[LW_FACE_SHAPES]
        int16_t angle[LW_FACE_ANGLES]
    void lw_face_of(const lw_pose *pose, lw_face *face)
    const char *lw_face_name(int shape)
