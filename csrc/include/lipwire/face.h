/* A pose as others name it: the 52 blendshapes of ARKit with the angles of the head, the 15 visemes of speech alone, and
 * the viseme ids of Azure's speech service.
 *
 * All of it is a function of one pose, in integers: the same pose gives the same face on every machine and at any frame
 * rate, and who joins late sees what the others see. docs/motion.md has the mapping and where its numbers come from.
 *
 * - Lips that close do: while PP is shown mouthClose is jawOpen, what parts the lips goes to 0, and the lips are pressed.
 * - "Left" and "Right" are the person's own.
 * - Angles are right handed about the axes of glTF, for a face that looks along +Z with +Y up: pitch about +X, + is a nod
 *   down; yaw about +Y, + to the person's left; roll about +Z, + towards the person's right shoulder. Yaw first, then pitch,
 *   then roll.
 *
 * Example of use:
 *
 *     lw_pose pose = {.axis[LW_AXIS_LIDS] = LW_LIDS_REST, .viseme[10] = 32767}; // aa
 *     lw_face face;
 *     lw_face_of(&pose, &face);
 *     for (int i = 0; i < LW_FACE_SHAPES; i++)
 *         if (face.shape[i])
 *             printf("%s %d\n", lw_face_name(i), face.shape[i]);
 */
#ifndef LIPWIRE_FACE_H
#define LIPWIRE_FACE_H

#include "lipwire/base.h"
#include "lipwire/motion.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ARKit's blendshapes, in the order of the alphabet. */
enum lw_face_shape {
    LW_FACE_BROW_DOWN_LEFT = 0,
    LW_FACE_BROW_DOWN_RIGHT,
    LW_FACE_BROW_INNER_UP,
    LW_FACE_BROW_OUTER_UP_LEFT,
    LW_FACE_BROW_OUTER_UP_RIGHT,
    LW_FACE_CHEEK_PUFF,
    LW_FACE_CHEEK_SQUINT_LEFT,
    LW_FACE_CHEEK_SQUINT_RIGHT,
    LW_FACE_EYE_BLINK_LEFT,
    LW_FACE_EYE_BLINK_RIGHT,
    LW_FACE_EYE_LOOK_DOWN_LEFT,
    LW_FACE_EYE_LOOK_DOWN_RIGHT,
    LW_FACE_EYE_LOOK_IN_LEFT,
    LW_FACE_EYE_LOOK_IN_RIGHT,
    LW_FACE_EYE_LOOK_OUT_LEFT,
    LW_FACE_EYE_LOOK_OUT_RIGHT,
    LW_FACE_EYE_LOOK_UP_LEFT,
    LW_FACE_EYE_LOOK_UP_RIGHT,
    LW_FACE_EYE_SQUINT_LEFT,
    LW_FACE_EYE_SQUINT_RIGHT,
    LW_FACE_EYE_WIDE_LEFT,
    LW_FACE_EYE_WIDE_RIGHT,
    LW_FACE_JAW_FORWARD,
    LW_FACE_JAW_LEFT,
    LW_FACE_JAW_OPEN,
    LW_FACE_JAW_RIGHT,
    LW_FACE_MOUTH_CLOSE,
    LW_FACE_MOUTH_DIMPLE_LEFT,
    LW_FACE_MOUTH_DIMPLE_RIGHT,
    LW_FACE_MOUTH_FROWN_LEFT,
    LW_FACE_MOUTH_FROWN_RIGHT,
    LW_FACE_MOUTH_FUNNEL,
    LW_FACE_MOUTH_LEFT,
    LW_FACE_MOUTH_LOWER_DOWN_LEFT,
    LW_FACE_MOUTH_LOWER_DOWN_RIGHT,
    LW_FACE_MOUTH_PRESS_LEFT,
    LW_FACE_MOUTH_PRESS_RIGHT,
    LW_FACE_MOUTH_PUCKER,
    LW_FACE_MOUTH_RIGHT,
    LW_FACE_MOUTH_ROLL_LOWER,
    LW_FACE_MOUTH_ROLL_UPPER,
    LW_FACE_MOUTH_SHRUG_LOWER,
    LW_FACE_MOUTH_SHRUG_UPPER,
    LW_FACE_MOUTH_SMILE_LEFT,
    LW_FACE_MOUTH_SMILE_RIGHT,
    LW_FACE_MOUTH_STRETCH_LEFT,
    LW_FACE_MOUTH_STRETCH_RIGHT,
    LW_FACE_MOUTH_UPPER_UP_LEFT,
    LW_FACE_MOUTH_UPPER_UP_RIGHT,
    LW_FACE_NOSE_SNEER_LEFT,
    LW_FACE_NOSE_SNEER_RIGHT,
    LW_FACE_TONGUE_OUT,
    LW_FACE_SHAPES
};

enum lw_face_angle {
    LW_FACE_PITCH = 0,
    LW_FACE_YAW,
    LW_FACE_ROLL,
    LW_FACE_LEFT_EYE_ROLL, /* eyes stay behind where the head tilts */
    LW_FACE_RIGHT_EYE_ROLL,
    LW_FACE_ANGLES
};

#define LW_FACE_RADIAN 2000 /* of an angle's units */

typedef struct lw_face {
    int16_t shape[LW_FACE_SHAPES]; /* q15, 0..32767 */
    int16_t angle[LW_FACE_ANGLES]; /* LW_FACE_RADIAN to a radian */
} lw_face;

void lw_face_of(const lw_pose *pose, lw_face *face);
/* ARKit's name of a blendshape, such as "jawOpen"; NULL: there is none of that number. */
const char *lw_face_name(int shape);
/* As lw_motion_said, of which the id of Azure's speech service (0..21) is taken: that of the largest, 0 where hardly
 * anything is said. */
int lw_face_azure(const int16_t said[LW_VISEMES]);

#ifdef __cplusplus
}
#endif
#endif
