"""Sound as services send it: by its label first and its bytes second. PCM16 mono out, as it comes in.

A container says itself what it is, so its bytes are believed where a label says otherwise; plain samples say nothing,
so there the label is.
"""

from __future__ import annotations

import math
import re
from email.message import Message
from typing import Any

from ..errors import BadData
from .container import ContainerReader, container_of
from .pcm import MAX_CHANNELS, Encoding, PcmFormat, PcmReader
from .wav import OtherCodec, WavReader

MIN_RATE, MAX_RATE = 8000, 48_000
"""Hz of what comes out."""
DEFAULT_RATE = 24_000
"""Hz of samples whose label says none: OpenAI's."""

_KINDS: dict[str, PcmFormat] = {
    "basic": PcmFormat(encoding="ulaw", rate=8000),
    "pcmu": PcmFormat(encoding="ulaw", rate=8000),
    "pcma": PcmFormat(encoding="alaw", rate=8000),
    "l8": PcmFormat(encoding="u8"),
    "l16": PcmFormat(encoding="s16", big=True, doubtful=True),
    "l24": PcmFormat(encoding="s24", big=True),
}
"""By the type's second half, without "x-" in front."""
_LAWS: dict[str, Encoding] = {"mulaw": "ulaw", "ulaw": "ulaw", "pcmu": "ulaw", "alaw": "alaw", "pcma": "alaw"}
_CODED = re.compile(r"mpeg|mp3|mp2|aac|mpa")
"""Types whose sound comes in frames that may begin a little later."""


def _number(params: dict[str, str], *names: str) -> int | None:
    for name in names:
        if found := re.fullmatch(r"\s*(\d{1,7})(\.0*)?\s*(hz)?\s*", params.get(name, ""), re.IGNORECASE):
            return int(found[1])
    return None


def _params(label: str) -> tuple[str, dict[str, str]]:
    """A Content-Type and its parameters, unquoted, in small letters."""
    message = Message()
    flat = label.replace("\n", " ").replace("\r", " ")
    message["content-type"] = re.sub(r",(?=\s*[\w-]+\s*=)", ";", flat)  # GStreamer's caps have commas
    found = message.get_params(failobj=[("", "")], unquote=True)
    (kind, _), *params = [(str(name).strip().lower(), str(value).strip()) for name, value in found]
    return kind, {name: value.lower() for name, value in params}


def pcm_format(label: str, rate: int | None = None) -> PcmFormat:
    """What plain samples are by their label: `audio/pcm;rate=16000`, `audio/L16; rate="24000"; channels=2`,
    `audio/x-mulaw`, `audio/x-raw;format=F32LE`, ...

    Args:
        rate: Hz where the label says none; None = the type's own, or DEFAULT_RATE.
    """
    kind, params = _params(label)
    subtype = kind.partition("/")[2].removeprefix("x-").removeprefix("vnd.")
    base = _KINDS.get(subtype, PcmFormat(rate=DEFAULT_RATE))
    said = " ".join(
        [subtype, *(params.get(name, "") for name in ("encoding", "format", "codec", "codecs", "sample-format"))]
    )
    encoding, big, doubtful = base.encoding, base.big, base.doubtful
    bits = _number(params, "bits", "bit", "bitdepth", "bit-depth", "bit_depth", "bits-per-sample", "bits_per_sample")
    if law := next((name for word, name in _LAWS.items() if word in said.replace("-", "")), None):
        encoding = law
    elif found := re.search(r"\b(?:pcm_?)?([suf])(8|16|24|32|64)_?(le|be)?\b", said):
        encoding = _encoding(found[1], int(found[2])) or encoding
        if found[3]:
            big, doubtful = found[3] == "be", False
    elif "float" in said:
        encoding = _encoding("f", bits or 32) or encoding
    elif bits is not None and base.encoding == "s16":
        encoding = _encoding("s", bits) or encoding
    order = " ".join(params.get(name, "") for name in ("endian", "endianness", "byte-order", "byteorder", "byte_order"))
    if "big" in order or "little" in order:
        big, doubtful = "big" in order, False
    if law and not base.encoding.endswith("law"):
        base = PcmFormat(rate=8000)
    hz = _number(params, "rate", "samplerate", "sample-rate", "sample_rate", "sampling-rate", "sampling_rate", "freq")
    channels = _number(params, "channels", "channel", "ch", "numchannels") or base.channels
    if channels > MAX_CHANNELS:
        raise BadData(f"the sound has {channels} channels; {MAX_CHANNELS} will do")
    return PcmFormat(
        encoding=encoding,
        rate=hz or rate or base.rate,
        channels=channels,
        big=big,
        doubtful=doubtful and encoding == "s16",
    )


def _encoding(kind: str, bits: int) -> Encoding | None:
    names: dict[tuple[str, int], Encoding] = {
        **{("u", 8): "u8", ("s", 8): "s8", ("s", 16): "s16", ("s", 24): "s24", ("s", 32): "s32"},
        **{("f", 32): "f32", ("f", 64): "f64"},
    }
    return names.get((kind, bits))


class NotSound(BadData):
    """What came is no sound by its label, and by its bytes none either."""


class _Rate:
    """Takes what is slower or faster than may come out to a rate that may."""

    def __init__(self) -> None:
        self._rate = 0
        self._resampler: Any = None

    def take(self, pcm: bytes, rate: int) -> list[tuple[bytes, int]]:
        """More of it. Raises BadData: no such rate."""
        import av
        import numpy as np

        found = [] if rate == self._rate else self.end()
        if MIN_RATE <= rate <= MAX_RATE:
            return [*found, (pcm, rate)]
        if not 1000 <= rate <= 768_000:
            raise BadData(f"the sound is said to have {rate} Hz")
        if self._resampler is None:
            to = MAX_RATE if rate > MAX_RATE else 2 * MIN_RATE
            self._rate, self._resampler = rate, av.AudioResampler(format="s16", layout="mono", rate=to)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[None], format="s16", layout="mono")
        frame.sample_rate = rate
        return found + self._out(frame)

    def end(self) -> list[tuple[bytes, int]]:
        """What was held back."""
        found = self._out(None) if self._resampler is not None else []
        self._rate, self._resampler = 0, None
        return found

    def _out(self, frame: Any) -> list[tuple[bytes, int]]:
        return [(out.to_ndarray().tobytes(), out.sample_rate) for out in self._resampler.resample(frame)]


class SoundReader:
    """The body of one answer in, in pieces of any size; PCM16 mono and its rate (8000 to 48000 Hz) out.

    Args:
        label: its Content-Type; "" = none.
        rate: Hz of plain samples whose label says none.
        plain: whether it may be plain samples. Where not, what is no known container raises NotSound.
        most: seconds after which what is coded is not decoded any more, but raises BadData.
    """

    def __init__(self, label: str = "", *, rate: int | None = None, plain: bool = True, most: float = math.inf) -> None:
        self._label, self._plain, self._default, self._most = label, plain, rate, most
        self._head = bytearray()
        self._wav: WavReader | None = None
        self._pcm: PcmReader | None = None
        self._container: ContainerReader | None = None
        self._rate = _Rate()

    @property
    def lost(self) -> int:
        """Packets that were broken, and left out."""
        return 0 if self._container is None else self._container.lost

    async def take(self, data: bytes) -> list[tuple[bytes, int]]:
        """More of it. Raises BadData: it cannot be read, or it is no sound that is known here."""
        return self._within(await self._read(data, ended=False))

    async def end(self) -> list[tuple[bytes, int]]:
        """There is no more: what was held back. Raises BadData."""
        return self._within(await self._read(b"", ended=True)) + self._rate.end()

    def close(self) -> None:
        """Ends what it has started. Safe to call twice."""
        if self._container is not None:
            self._container.close()

    def _within(self, found: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        return [out for pcm, rate in found if pcm for out in self._rate.take(pcm, rate)]

    async def _read(self, data: bytes, *, ended: bool) -> list[tuple[bytes, int]]:
        if self._wav is None and self._pcm is None and self._container is None:
            self._head += data
            if not self._choose(ended=ended):
                return []
            data = bytes(self._head)
            self._head.clear()
        if self._wav is not None:
            try:
                return self._wav.take(data) + (self._wav.end() if ended else [])
            except OtherCodec:
                data, self._wav, self._container = bytes(self._wav.head), None, ContainerReader("wav", self._most)
        if self._container is not None:
            found = await self._container.take(data) if data else []
            return found + (await self._container.end() if ended else [])
        assert self._pcm is not None
        pcm = self._pcm.take(data) + (self._pcm.end() if ended else b"")
        return [(pcm, self._pcm.format.rate)]

    def _choose(self, *, ended: bool) -> bool:
        """By what its bytes and its label say, as soon as they say it; False: not yet."""
        if not self._head:
            return False
        name = container_of(bytes(self._head), search=bool(_CODED.search(self._label.lower())), ended=ended)
        if name is None:
            return False
        if name == "wav" and self._head[:4] != b"RIFX":
            self._wav = WavReader()
        elif name:
            self._container = ContainerReader(name, self._most)
        elif self._plain:
            self._pcm = PcmReader(pcm_format(self._label, self._default))
        else:
            raise NotSound("it is no sound that is known here")
        return True
