from libc.stdint cimport int16_t, uint32_t

from native.viseme cimport LW_VISEMES


cdef extern from "lipwire/motion.h" nogil:
    enum:
        LW_AXES
        LW_LIDS_REST
        LW_MOTION_STATE
        LW_MOTION_EXPRESSION
        LW_MOTION_GESTURE
    ctypedef struct lw_pose:
        int16_t axis[LW_AXES]
        int16_t viseme[LW_VISEMES]
        int16_t loudness
    ctypedef struct lw_motion:
        pass
    ctypedef struct lw_motion_config:
        uint32_t seed
    int lw_motion_open(lw_motion **out, const lw_motion_config *config)
    int lw_motion_check(int setting, int value)
    int lw_motion_set(lw_motion *m, int setting, int value)
    void lw_motion_step(lw_motion *m, const float *const *rows, int known, int speaking, lw_pose *pose)
    void lw_motion_close(lw_motion **m)
