"""A face that numba compiles: the engine's own thread draws it, with no GIL.

    pip install 'lipwire[hooks]' && python examples/hook.py speech.wav out.mp4

A disc with two eyes that blink, and a mouth that opens with the jaw and narrows for O and U.
"""

from __future__ import annotations

import sys

import lipwire

BLINK, JAW, HEAD_X, HEAD_Y = 3, 7, 0, 1  # of frame.axis
O, U = 13, 14  # of frame.viseme  # noqa: E741


@lipwire.hook(boundscheck=False)  # every index below is a loop's own
def face(y, u, v, frame):
    h, w = frame.height, frame.width
    size = 0.42 * h
    cx = 0.5 * w + 0.05 * h * frame.axis[HEAD_X]
    cy = 0.5 * h + 0.04 * h * frame.axis[HEAD_Y]
    eye = max(0.02, 0.13 * (1.0 - frame.axis[BLINK]))
    wide = 0.42 - 0.22 * min(1.0, frame.viseme[O] + 1.2 * frame.viseme[U])
    tall = 0.015 + 0.3 * frame.axis[JAW] + 0.1 * (frame.viseme[O] + frame.viseme[U])
    for row in range(h):
        b = (row - cy) / size
        for column in range(w):
            a = (column - cx) / size
            luma, blue, red = 40, 140, 122  # night
            if a * a + b * b < 1.0:
                luma, blue, red = 180, 60, 150  # a sun
                side = abs(a) - 0.36
                if (side / 0.1) ** 2 + ((b + 0.25) / eye) ** 2 < 1.0:
                    luma, blue, red = 30, 128, 128
                if (a / wide) ** 2 + ((b - 0.4) / tall) ** 2 < 1.0:
                    luma, blue, red = 50, 115, 170
            y[row, column] = luma
            if not (row | column) & 1:
                u[row >> 1, column >> 1] = blue
                v[row >> 1, column >> 1] = red


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    done = lipwire.render(sys.argv[1], sys.argv[2], avatar=face, size=(640, 360))
    print(f"{sys.argv[2]}: {done.duration:.1f} s at {done.speed:.0f} times real time")
