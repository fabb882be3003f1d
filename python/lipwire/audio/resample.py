"""PCM16 as a whole, where `Resampler` takes it as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._core import Resampler

if TYPE_CHECKING:
    from typing_extensions import Buffer


def resample(
    pcm: Buffer, in_rate: int, out_rate: int, *, channels: int = 1, quality: Literal["voice", "high"] = "voice"
) -> bytes:
    """A whole clip of PCM16 at another rate, by `Resampler`: it starts where the clip starts, and has its length.

    Args:
        pcm: int16, interleaved where `channels` is 2. Rates: Hz, 8000 to 48000.

    Raises:
        InvalidArgument: rates, channels or a quality that there are not, or half a sample.
    """
    resampler = Resampler(in_rate, out_rate, channels=channels, quality=quality)
    return resampler.process(pcm) + resampler.flush()
