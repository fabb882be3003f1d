"""Sound on its way to browsers: gathered to packets of 20 ms, and encoded once for all who hear the same in one codec.

It is encoded within the event loop's own turn, and leaves as it is encoded: 41 us each, less than it takes a thread to
be given the interpreter's lock twice, which on a loop that is busy is 5 ms each time. So nothing waits here but the
first half of a packet.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from copy import copy
from typing import ClassVar, Literal

from msgspec import Struct

from .._core import BLOCK, RATE, G722Encoder, Resampler, alaw_encode, ulaw_encode
from ..audio.fade import fade_in, fade_out, is_fade
from ..audio.opus import OpusEncoder
from ..errors import BufferFull
from .native import Fan, Outgoing

PACKET_BLOCKS = 2
"""10 ms blocks in a packet,"""
PACKET = PACKET_BLOCKS * BLOCK
"""and samples at 48 kHz."""
BITRATE = 64_000
"""Bit/s of Opus."""
COMPLEXITY = 5
"""Of libopus, 0..10. A packet takes 41 us at 5 and 60 us from 8 on, and speech at `BITRATE` sounds the same."""
SETTLED = 3
"""Packets of silence that are all the same, after which the next ones are, too."""
HANGOVER, REFRESH = 10, 20
"""Packets of silence before those who prefer discontinuous transmission are sent no more of it, but one in so many."""


class Sound(Struct, frozen=True):
    """A packet of PCM16 mono at 48 kHz."""

    pcm: bytes
    sample: int
    """Where it begins, on the clock."""


class SoundPackets:
    """Gathers blocks of 10 ms to packets of 20 ms."""

    def __init__(self) -> None:
        self._pcm = b""
        self._at = 0
        self._cut = False
        """The block that comes next may be the fade of what was interrupted;"""
        self._faded = False
        """what was gathered has faded out already."""

    def add(self, pcm: bytes, sample: int, fades: bool | None = None) -> Sound | None:
        """Takes a block, whose first sample is `sample` on the clock; a packet, when one is full. `fades`: whether
        there is the fade of an interrupt in it; None = as `is_fade` says."""
        if self._cut:
            fades = is_fade(pcm) if fades is None else fades
            pcm = fade_in(pcm) if fades and self._faded else pcm
            self._cut = self._faded = False
        if not self._pcm:
            self._at = sample
        self._pcm += pcm
        if len(self._pcm) < 2 * PACKET:
            return None
        pcm, self._pcm = self._pcm, b""
        return Sound(pcm, self._at)

    def interrupt(self) -> None:
        """What was gathered fades out within 5 ms, and the rest of it that is yet to come is silent. What is new is
        heard from its first sample on."""
        self._cut = True
        if self._pcm:
            self._pcm, self._faded = fade_out(self._pcm), True

    def clear(self) -> None:
        """Forgets what was gathered: nobody listens."""
        self._pcm, self._cut, self._faded = b"", False, False


class Coder(abc.ABC):
    """Packets of one codec, one after the other on the clock."""

    kind: ClassVar[Literal["opus", "audio"]]
    """Of the native sender's stream."""

    @abc.abstractmethod
    def encode(self, sound: Sound) -> Iterator[tuple[bytes, int]]:
        """(packet, sample of the clock that is heard when its first one is played), none or one at a time."""


class Opus(Coder):
    """Silence is encoded until it is the same packet again and again, and then it is that packet."""

    kind = "opus"

    def __init__(self) -> None:
        self._encoder = OpusEncoder(bitrate=BITRATE, application="audio", complexity=COMPLEXITY)
        self._ahead = round(self._encoder.lookahead * RATE)
        """Samples by which a decoder is behind what was encoded."""
        self._silence = b""
        self._same = 0
        """How often that packet came in a row."""

    def encode(self, sound: Sound) -> Iterator[tuple[bytes, int]]:
        at = sound.sample - self._ahead
        if not is_silent(sound.pcm):
            self._same = 0
        elif self._same >= SETTLED:
            yield self._silence, at
            return
        (packet,) = self._encoder.encode(sound.pcm)
        if is_silent(sound.pcm):
            self._same = self._same + 1 if packet == self._silence else 0
            self._silence = packet
        yield packet, at


class Narrow(Coder):
    """Codecs of the telephone: PCMU, PCMA (G.711) and G722."""

    kind = "audio"

    def __init__(self, codec: str) -> None:
        self._rate = 16_000 if codec == "g722" else 8_000
        self._codec = codec
        self._bytes = 2 * PACKET * self._rate // RATE
        self._next: int | None = None
        self._begin(0)

    def _begin(self, sample: int) -> None:
        self._resampler = Resampler(RATE, self._rate)
        encoders: dict[str, Callable[[bytes], bytes]] = {"pcmu": ulaw_encode, "pcma": alaw_encode}
        self._encode = encoders.get(self._codec) or G722Encoder().encode
        self._pcm, self._at = b"", sample

    def encode(self, sound: Sound) -> Iterator[tuple[bytes, int]]:
        if sound.sample != self._next:  # the first, or the clock has leapt
            self._begin(sound.sample)
        self._next = sound.sample + PACKET
        self._pcm += self._resampler.process(sound.pcm)
        while len(self._pcm) >= self._bytes:
            yield self._encode(self._pcm[: self._bytes]), self._at
            self._pcm = self._pcm[self._bytes :]
            self._at += PACKET


def is_silent(pcm: bytes) -> bool:
    """Whether nothing is in it but zeros."""
    return pcm.count(0) == len(pcm)


class SoundStream:
    """One codec's packets for all who take it."""

    def __init__(self, codec: str) -> None:
        self._coder: Coder = Opus() if codec == "opus" else Narrow(codec)
        self._always, self._speech = Fan(self._coder.kind), Fan(self._coder.kind)
        """Who is sent each packet, and who prefers to be sent no silence (usedtx; RFC 7587, section 7.1)."""
        self._silent = 0
        """Packets of silence in a row."""

    def __len__(self) -> int:
        return len(self._always) + len(self._speech)

    def _of(self, out: Outgoing) -> Fan:
        return self._speech if out.dtx else self._always

    def add(self, out: Outgoing) -> None:
        """Somebody listens."""
        self._of(out).add(out)

    def remove(self, out: Outgoing) -> None:
        """Somebody does not any more."""
        self._of(out).remove(out)

    def send(self, sound: Sound) -> None:
        """Encodes it, and has it sent to everyone."""
        self._silent = self._silent + 1 if is_silent(sound.pcm) else 0
        sparse = self._silent > HANGOVER and self._silent % REFRESH
        for packet, sample in self._coder.encode(sound):
            if sample < 0:  # of what was before the clock began
                continue
            for fan in (self._always,) if sparse else (self._always, self._speech):
                try:
                    fan.send(packet, sample, key=True, duration=PACKET)
                except BufferFull:
                    fan.miss()


class Sounds:
    """A sound, block by block, for everyone who hears it."""

    def __init__(self) -> None:
        self._packets = SoundPackets()
        self._streams: dict[str, SoundStream] = {}
        """By codec: those that somebody takes."""

    def fork(self) -> Sounds:
        """Another sound, which has been the same up to now, and which nobody hears yet."""
        other = Sounds()
        other._packets = copy(self._packets)
        return other

    def add(self, out: Outgoing) -> None:
        """Somebody listens from now on."""
        if out.codec not in self._streams:
            self._streams[out.codec] = SoundStream(out.codec)
        self._streams[out.codec].add(out)

    def remove(self, out: Outgoing) -> None:
        """Somebody does not any more. Safe to call twice."""
        if (stream := self._streams.get(out.codec)) is not None:
            stream.remove(out)
            if not len(stream):
                del self._streams[out.codec]

    def audio(self, pcm: bytes, sample: int, fades: bool | None = None) -> None:
        """10 ms or some of them, as a `Publisher` gets them. `fades`: whether there is the fade of an interrupt in it;
        None = as `is_fade` says."""
        if not self._streams:
            self._packets.clear()
            return
        for at in range(0, len(pcm), 2 * BLOCK):
            if (sound := self._packets.add(pcm[at : at + 2 * BLOCK], sample + at // 2, fades)) is not None:
                for stream in self._streams.values():
                    stream.send(sound)

    def interrupt(self) -> None:
        """What has not left is silent, after a fade of 5 ms."""
        self._packets.interrupt()
