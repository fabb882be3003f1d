# Poses as ARKit names them: lipwire/face.h.

# ARKit's blendshapes, in the order of the alphabet: that of the set "arkit".
FACE_NAMES = tuple([lw_face_name(i).decode() for i in range(LW_FACE_SHAPES)])
FACE_RADIAN = LW_FACE_RADIAN
