"""GStreamer and FFmpeg as the other end of plain RTP on loopback."""

from __future__ import annotations

import socket
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from lipwire.rtp.ports import Pair, Ports, receive
from support.gstreamer import exists, launch
from support.machine import require
from support.rtp_offers import free_pairs

GSTREAMER = {
    "pcmu": ("mulawenc", "rtppcmupay"),
    "pcma": ("alawenc", "rtppcmapay"),
    "g722": ("avenc_g722", "rtpg722pay"),
    "opus": ("opusenc", "rtpopuspay"),
    "l16": ("identity", "rtpL16pay"),
}
"""What encodes, and what makes packets."""
SRTPENC = [f"{of}-{what}" for of in ("rtp", "rtcp") for what in ("cipher=aes-128-icm", "auth=hmac-sha1-80")]
PTIME = "max-ptime=20000000"
"""20 ms; without it a packet is as long as what was read of the file."""
FFMPEG = {"pcmu": "pcm_mulaw", "g722": "g722", "opus": "libopus"}


def captured(pair: Pair) -> list[bytes]:
    """The RTP that has come."""
    found = []
    while datagrams := receive(pair.rtp, 64):
        found += [one.data for one in datagrams]
    return found


def opened() -> Pair:
    """Ports with room for seconds of speech."""
    pair = Ports("127.0.0.1", free_pairs(1)).open()
    pair.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    return pair


def gstreamer_sends(codec: str, pcm: bytes, rate: int, folder: Path, secret: bytes = b"") -> list[bytes]:
    """RTP of GStreamer's that carries PCM16 mono; with a master key and salt SRTP, AES_CM_128_HMAC_SHA1_80. Skips where
    it is not installed."""
    encoder, payloader = GSTREAMER[codec]
    require(
        exists("udpsink", "wavparse", encoder, payloader, *(["srtpenc"] if secret else [])),
        f"GStreamer's {encoder} and {payloader}",
    )
    path = folder / "speech.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    pair = opened()
    chain: list[str | list[str]] = ["wavparse", "audioconvert", encoder, [payloader, PTIME]]
    chain += [["srtpenc", f"key={secret.hex()}", *SRTPENC]] if secret else []
    launch(
        *("filesrc", f"location={path}"),
        *(word for one in chain for word in ("!", *([one] if isinstance(one, str) else one))),
        *("!", "udpsink", "host=127.0.0.1", f"port={pair.port}", "sync=false"),
    )
    packets = captured(pair)
    pair.close()
    return packets


def ffmpeg_sends(codec: str, pcm: bytes, rate: int, folder: Path) -> list[bytes]:
    """RTP of FFmpeg's that carries PCM16 mono."""
    pair = opened()
    with av.open(f"rtp://127.0.0.1:{pair.port}", "w", format="rtp") as out:
        stream: Any = out.add_stream(FFMPEG[codec], rate=rate)
        stream.codec_context.layout = "mono"
        if codec == "opus":
            stream.codec_context.options = {"application": "audio", "frame_duration": "20"}
            stream.codec_context.bit_rate = 64_000
        size = rate // 50
        samples = np.frombuffer(pcm, np.int16)
        for at in range(0, len(samples), size):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + size], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    packets = captured(pair)
    pair.close()
    return packets


def aligned_snr(sent: np.ndarray[Any, Any], heard: np.ndarray[Any, Any], piece: int) -> list[float]:
    """dB by which each piece of so many samples of what was sent stands out of the difference to what was heard of it,
    where that fits best: a jitter buffer may begin later, and leave out or repeat some periods between pieces."""
    b = heard.astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum(b * b)])
    found = []
    for at in range(0, len(sent) - piece + 1, piece):
        a = sent[at : at + piece].astype(np.float64)
        size = 1 << (len(b) + piece - 1).bit_length()
        products = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)[: len(b) - piece + 1]
        error = np.dot(a, a) + energy[piece:] - energy[:-piece] - 2 * products
        found.append(10 * float(np.log10(np.dot(a, a) / max(float(error.min()), 1e-3))))
    return found


class Receiver:
    """FFmpeg (PyAV's) that plays a description."""

    def __init__(self, sdp: str, folder: Path, **options: str) -> None:
        path = folder / "play.sdp"
        path.write_text(sdp)
        allowed = {"protocol_whitelist": "file,rtp,udp,srtp", "reorder_queue_size": "0"}
        self._in = av.open(str(path), format="sdp", options=allowed | options, timeout=20)

    def frames(self, kind: str, count: int) -> list[Any]:
        """So many of the first stream of a kind."""
        return [frame for frame, _ in zip(self._decoded(kind), range(count), strict=False)]

    def _decoded(self, kind: str) -> Iterator[Any]:
        yield from self._in.decode(self._in.streams.video[0] if kind == "video" else self._in.streams.audio[0])

    def close(self) -> None:
        self._in.close()
