"""The colours of the skin."""

from __future__ import annotations

import numpy as np

from .parts import blend, colour
from .sculpt import F64, f64, length, smoothstep
from .skin import Skin


def skin_colours(on: Skin) -> F64:
    """The skin's, the lips' and the inside of the mouth's, (n, 3)."""
    p, net_of = on.rest, on.from_net
    c = np.tile(colour("#e7b595"), (on.total, 1))

    def spot(centre: tuple[float, float, float], radius: float) -> F64:
        out = np.zeros(on.total)
        for x in (1, -1):
            out = np.maximum(out, np.exp(-((length((p - f64(centre) * (x, 1, 1)) / radius)) ** 2)))
        return f64(out)

    c = blend(c, colour("#e08c76"), 0.50 * spot((0.36, -0.24, 0.72), 0.19))
    c = blend(c, colour("#de8f78"), 0.42 * spot((0.0, -0.33, 1.03), 0.14))
    c = blend(c, colour("#dd9a80"), 0.30 * spot((0.0, -0.98, 0.80), 0.20))
    c = blend(c, colour("#b5735f"), 0.30 * spot((0.325, 0.08, 0.75), 0.24))
    c = blend(c, colour("#5a2620"), 0.90 * spot((0.058, -0.402, 0.93), 0.036))
    lid = np.zeros(on.total)
    shape = on.lid_shape(np.zeros(on.count), True)
    close = np.exp(-(((on.from_lids) / 2.0) ** 2)) * (shape > 0.02) * (abs(on.from_lids) < 8)
    lid[: on.count] = close
    c = blend(c, colour("#8a4a3e"), 0.40 * lid * ~on.under_eye[on.from_net])
    s = on.s[net_of]
    red = np.where(on.lower, smoothstep(1.18, 0.86, on.d_low), smoothstep(1.22, 0.84, on.d_up))
    red = red * smoothstep(1.03, 0.90, abs(s)) * (on.neck[net_of] == 0) * (abs(on.q) < 12)
    c = blend(c, np.where(on.lower[:, None], colour("#c4605c"), colour("#b95653")), 0.92 * red)
    seam = (
        np.where(on.lower, np.exp(-((on.d_low / 0.12) ** 2)), np.exp(-((on.d_up / 0.12) ** 2)))
        * (abs(s) < 1.02)
        * (on.behind < 0)
    )
    c = blend(c, colour("#7d2f30"), 0.55 * seam * (abs(on.q) < 5))
    behind = on.behind >= 0
    c[behind] = blend(colour("#a14a49"), colour("#2a0a0c"), smoothstep(0.0, 4.5, on.behind[behind]))
    rims = np.arange(on.total) >= on.count
    c[rims & ~behind] = colour("#c98577")
    return c
