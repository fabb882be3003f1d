"""A head of our own for three dimensions: `head_glb` makes it.

Everything of it is computed (`sculpt`, `skin`, `expressions`, `parts`, `build`); no file of it exists before it is
asked for. It has ARKit's 52 morph targets by name, eyes, lashes, brows, teeth, a tongue and hair, and nodes `head`,
`neck`, `leftEye` and `rightEye`. It is as large as a real one, in metres, faces +Z, and may be used for whatever
Lipwire may.
"""

from .cache import head_glb as head_glb
