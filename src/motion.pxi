# Poses and what sets them: lipwire/motion.h.

AXES = LW_AXES
LIDS_REST = LW_LIDS_REST / 32767
MOTION_STATE = LW_MOTION_STATE
MOTION_EXPRESSION = LW_MOTION_EXPRESSION
MOTION_GESTURE = LW_MOTION_GESTURE


cdef lw_pose _pose(axes, visemes) except *:
    cdef lw_pose pose
    cdef int i
    memset(&pose, 0, sizeof(pose))
    for i in range(LW_AXES):
        pose.axis[i] = <int16_t>round(min(1.0, max(-1.0, float(axes[i]))) * 32767)
    for i in range(LW_VISEMES):
        pose.viseme[i] = <int16_t>round(min(1.0, max(0.0, float(visemes[i]))) * 32767)
    return pose
