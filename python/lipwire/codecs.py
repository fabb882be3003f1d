"""The encodings that `voice` messages carry, as PCM16."""

from __future__ import annotations

from typing import Any

import av

from ._core import RATE, pcm8_decode
from .errors import BadData, InvalidArgument


class VoiceDecoder:
    """Decodes one stream of `voice` payloads. Opus packets depend on those before them; `reset` forgets those."""

    def __init__(self) -> None:
        self._opus: Any = None

    def reset(self) -> None:
        """The next packet starts a new stream."""
        self._opus = None

    def decode(self, payload: bytes, encoding: str, rate: int) -> tuple[bytes, int]:
        """(PCM16 mono, its rate in Hz). PCM16 passes through; PCM8 is unsigned, 128 = silence; Opus comes as 48 kHz.

        Raises:
            InvalidArgument: unknown encoding. BadData: it is no Opus packet.
        """
        if encoding == "PCM16":
            return payload, rate
        if encoding == "PCM8":
            return pcm8_decode(payload), rate
        if encoding == "OPUS":
            return self._decode_opus(payload), RATE
        raise InvalidArgument(f"unknown encoding {encoding!r}; known: PCM16, PCM8, OPUS")

    def _decode_opus(self, packet: bytes) -> bytes:
        if self._opus is None:
            self._opus = av.CodecContext.create("libopus", "r")
            self._opus.format = "s16"
            self._opus.layout = "mono"
            self._opus.sample_rate = RATE
        try:
            frames = self._opus.decode(av.Packet(packet))
        except av.FFmpegError as exc:
            raise BadData(f"not an Opus packet ({len(packet)} bytes): {exc}") from exc
        return b"".join(frame.to_ndarray().tobytes() for frame in frames)
