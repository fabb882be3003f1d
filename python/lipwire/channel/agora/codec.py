"""The encoders behind `rtc_codec`: 10 ms blocks of 48 kHz in, packets of 20 ms out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._core import RATE, G722Encoder, OpusEncoder, Resampler
from ...audio import g711
from ...audio.fade import fade_out
from ...errors import InvalidArgument

if TYPE_CHECKING:
    from typing_extensions import Buffer

PACKET_MS = 20


class AudioEncoder:
    """Args:
    rtc_codec: 0 PCMU, 8 PCMA, 9 G.722, 120 Opus (wide-band), 122 Opus (full-band).
    """

    def __init__(self, rtc_codec: int) -> None:
        self.rate = {0: 8000, 8: 8000, 9: 16000, 120: 16000, 122: 48000}.get(rtc_codec, 0)
        """Hz of what is encoded."""
        if not self.rate:
            raise InvalidArgument(f"rtc_codec {rtc_codec} is none of 0, 8, 9, 120, 122")
        self.samples = self.rate * PACKET_MS // 1000
        """In a packet."""
        self._down = Resampler(RATE, self.rate) if self.rate != RATE else None
        self._pcm = bytearray()
        self._encode: Callable[[bytes], bytes]
        if rtc_codec == 0:
            self._encode = g711.ulaw_encode
        elif rtc_codec == 8:
            self._encode = g711.alaw_encode
        elif rtc_codec == 9:
            self._encode = G722Encoder().encode
        else:
            from ...audio import opus  # finds libopus

            encoder: OpusEncoder = opus.OpusEncoder(self.rate, 1, bitrate=24000 if rtc_codec == 120 else 48000)
            self._encode = lambda pcm: b"".join(encoder.encode(pcm))

    @property
    def waiting(self) -> int:
        """Samples at 48 kHz that are in no packet yet."""
        held = 0.0 if self._down is None else self._down.delay
        return round((len(self._pcm) // 2 / self.rate + held) * RATE)

    def interrupt(self) -> bool:
        """What waits for the rest of its packet fades out within 5 ms, and what the resampler holds back is silent.
        Returns whether there is any."""
        waits = bool(self._pcm)
        if self._down is not None and waits:
            self._pcm += bytes(2 * round(self._down.delay * self.rate))
            self._down = Resampler(RATE, self.rate)
        self._pcm[:] = fade_out(bytes(self._pcm), self.rate)
        return waits

    def encode(self, pcm: Buffer) -> list[bytes]:
        """The packets that this block completes."""
        self._pcm += self._down.process(pcm) if self._down is not None else pcm
        size, packets = self.samples * 2, []
        while len(self._pcm) >= size:
            packets.append(self._encode(bytes(self._pcm[:size])))
            del self._pcm[:size]
        return packets
