"""The encodings that `voice` messages carry, as PCM16."""

from __future__ import annotations

from .._core import RATE, pcm8_decode
from ..errors import InvalidArgument
from .opus import OpusDecoder


class VoiceDecoder:
    """Decodes one stream of `voice` payloads. Opus packets depend on those before them; `reset` forgets those."""

    def __init__(self) -> None:
        self._opus: OpusDecoder | None = None

    def reset(self) -> None:
        """The next packet starts a new stream."""
        if self._opus is not None:
            self._opus.reset()

    def decode(self, payload: bytes, encoding: str, rate: int) -> tuple[bytes, int]:
        """(PCM16 mono, its rate in Hz). PCM16 passes through; PCM8 is unsigned, 128 = silence; Opus comes as 48 kHz.

        Raises:
            InvalidArgument: unknown encoding. BadData: no Opus packet; the message names the rule that it breaks.
        """
        if encoding == "PCM16":
            return payload, rate
        if encoding == "PCM8":
            return pcm8_decode(payload), rate
        if encoding == "OPUS":
            if self._opus is None:
                self._opus = OpusDecoder(RATE)
            return self._opus.decode(payload), RATE
        raise InvalidArgument(f"unknown encoding {encoding!r}; known: PCM16, PCM8, OPUS")
