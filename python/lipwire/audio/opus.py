"""Opus: packets (RFC 6716, section 3) and coding (libopus).

    packet = opus.parse(payload)            # mode, bandwidth, frames, samples, dtx, fec; BadData says which rule broke
    forty = opus.pack([first, second])      # 20 ms + 20 ms = 40 ms, bit for bit the same sound
    decoder = opus.OpusDecoder(channels=1)
    pcm = decoder.decode(payload)           # 48 kHz PCM16
    pcm = decoder.decode(following, fec=True) if opus.parse(following).fec else decoder.conceal()   # a lost packet

libopus is called directly, without FFmpeg in between: the one in PyAV's wheel, else the system's. `library()` says
which. Where there is neither, coding goes through PyAV, slower, at 48 kHz only for decoding, and without FEC.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._core import OpusDecoder, OpusEncoder
from .._core import OpusPacket as Packet
from .._core import opus_library as library
from .._core import opus_pack as pack
from .._core import opus_pad as pad
from .._core import opus_parse as parse
from .._core import opus_split as split
from .._core import opus_unpad as unpad
from ..errors import BadData, BadState

__all__ = ["OpusDecoder", "OpusEncoder", "Packet", "library", "pack", "pad", "parse", "split", "unpad"]


def _libraries() -> Iterator[str]:
    """Where libopus may be, best first. PyAV itself is not imported."""
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        beside = Path(spec.origin).parent.with_name("av.libs")  # where a wheel keeps what it links to
        yield from sorted(str(path) for path in beside.glob("libopus[-.]*"))
    yield "libopus.so.0"


class _SpareDecoder:
    """What OpusDecoder does without a libopus to call: PyAV's."""

    def __init__(self, rate: int, channels: int) -> None:
        if rate != 48_000:
            raise BadState(f"decoding to {rate} Hz needs libopus (Debian: libopus0); PyAV alone gives 48000 Hz")
        self.channels = channels
        self.reset()

    def reset(self) -> None:
        import av

        self._codec: Any = av.CodecContext.create("libopus", "r")
        self._codec.format = "s16"
        self._codec.layout = "stereo" if self.channels == 2 else "mono"
        self._codec.sample_rate = 48_000
        self._frame = b"\x08"

    def decode(self, packet: bytes) -> bytes:
        import av

        try:
            frames = self._codec.decode(av.Packet(packet))
        except av.FFmpegError as exc:
            raise BadData(f"not an Opus packet ({len(packet)} bytes): {exc}") from exc
        self._frame = bytes((packet[0] & 0xFC,))
        return b"".join(frame.to_ndarray().tobytes() for frame in frames)

    def conceal(self, samples: int) -> bytes:
        """FFmpeg takes no "lost", but an empty frame of the stream's kind makes libopus do the same."""
        size, pcm = samples * self.channels * 2, b""
        while len(pcm) < size:
            pcm += self.decode(self._frame)
        return pcm[:size]


class _SpareEncoder:
    """What OpusEncoder does without a libopus to call: PyAV's. One frame in, one packet out."""

    def __init__(
        self,
        rate: int,
        channels: int,
        bitrate: int,
        application: str,
        frame_ms: float,
        fec: bool,
        packet_loss: int,
        dtx: bool,
        complexity: int,
        vbr: bool,
    ) -> None:
        self.rate, self.bitrate = rate, bitrate
        self.layout = "stereo" if channels == 2 else "mono"
        self.options = {
            "application": application,
            "frame_duration": f"{frame_ms:g}",
            "fec": str(int(fec)),
            "packet_loss": str(packet_loss),
            "dtx": str(int(dtx)),
            "compression_level": str(complexity),
            "vbr": "constrained" if vbr else "off",
        }
        self.reset()

    def reset(self) -> None:
        import av

        self._codec: Any = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = self.rate, self.layout, "s16"
        self._codec.bit_rate = self.bitrate
        self._codec.options = self.options
        self._pts = 0

    def encode(self, pcm: bytes) -> bytes:
        import av
        import numpy as np

        samples = np.frombuffer(pcm, dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=self.layout)
        frame.sample_rate = self.rate
        frame.pts = self._pts
        self._pts += frame.samples
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))
