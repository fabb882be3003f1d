"""PCM8: unsigned 8-bit samples, 128 = silence, as `voice` messages may carry them; `_core.pcm8_decode` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._core import pcm_bytes

if TYPE_CHECKING:
    from typing_extensions import Buffer


def pcm8_encode(pcm: Buffer) -> bytes:
    """PCM16 (any buffer) to the nearest step of 256; what is above the last one is that.

    Raises:
        InvalidArgument: the buffer holds no PCM16.
    """
    samples = np.frombuffer(pcm_bytes(pcm), "<i2").astype(np.int32)
    codes: NDArray[np.uint8] = np.minimum((samples + 128 >> 8) + 128, 255).astype(np.uint8)
    return codes.tobytes()
