"""Pictures of one stripe, in macroblocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 6, 4
WIDTH, HEIGHT = 16 * COLUMNS, 16 * ROWS


def picture(seed: int, noise: float, columns: int = COLUMNS, rows: int = ROWS) -> NDArray[np.uint8]:
    """Waves in all colours (I420), and noise in one half: all kinds of blocks, from none coded to large ones."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: 24 * rows, : 16 * columns]
    waves = 128 + 60 * np.sin((x + 7 * seed) / 9) * np.cos(y / 7 + seed)
    made = waves + noise * random.normal(0, 40, waves.shape) * (x > 8 * columns)
    return np.clip(made, 0, 255).astype(np.uint8)
