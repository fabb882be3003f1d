"""Real senders: what GStreamer and FFmpeg send on loopback is heard as it went in.

Packets are caught from the socket first and played by the clock of their own timestamps, so that nothing here depends
on how fast this machine is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipwire.rtp.formats import Speech
from lipwire.rtp.inbound import Inbound
from lipwire.rtp.keys import Key, Opened
from lipwire.rtp.sdp import Address
from support.rtp_peers import aligned_snr, ffmpeg_sends, gstreamer_sends

PEER = Address("127.0.0.1", 4000)
SPEECH = {
    "pcmu": Speech("pcmu", 0, 8000, 8000),
    "pcma": Speech("pcma", 8, 8000, 8000),
    "g722": Speech("g722", 9, 8000, 16000),
    "opus": Speech("opus", 96, 48000, 48000),
    "l16": Speech("l16", 96, 16000, 16000),
}
LEAST_DB = {"pcmu": 34.0, "pcma": 34.0, "g722": 20.0, "opus": 14.0, "l16": 80.0}
SECOND = 1_000_000_000


def voice(rate: int, seconds: float = 1.2) -> np.ndarray:
    """A hum of some harmonics that glides and swells."""
    t = np.arange(round(rate * seconds)) / rate
    phase = 2 * np.pi * (130 * t + 12 * t**2)
    swell = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * t)
    return (4000 * swell * sum(np.sin(n * phase) / n for n in range(1, 9))).astype(np.int16)


@pytest.mark.parametrize(
    "sender, codec",
    [("gstreamer", one) for one in ("pcmu", "pcma", "g722", "opus", "l16")]
    + [("ffmpeg", one) for one in ("pcmu", "g722", "opus")]
    + [("gstreamer, encrypted", "pcmu")],
)
def test_what_comes_out_is_what_went_in(sender: str, codec: str, tmp_path: Path) -> None:
    speech = SPEECH[codec]
    sent = voice(speech.sample_rate)
    what = codec, sent.tobytes(), speech.sample_rate, tmp_path
    if sender == "gstreamer, encrypted":
        key = Key("1", "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
        opened = Opened(key)
        packets = [clear for one in gstreamer_sends(*what, key.secret) if (clear := opened.rtp(one)) is not None]
    else:
        packets = (gstreamer_sends if sender == "gstreamer" else ffmpeg_sends)(*what)
    assert packets, "nothing was caught"
    payload_type = packets[0][1] & 127
    agreed = Speech(codec, payload_type, speech.clock_rate, speech.sample_rate)  # type: ignore[arg-type]
    heard: list[bytes] = []
    inbound = Inbound(agreed, lambda pcm, quiet: heard.append(pcm), lambda digit: None, expected=PEER)
    times = [int.from_bytes(packet[4:8]) for packet in packets]
    now = 0
    for packet, ended in zip(packets, [*times[1:], times[-1] + speech.clock_rate // 50], strict=True):
        # Live, a packet leaves when what is in it has been said.
        now = SECOND + ((ended - times[0]) & 0xFFFFFFFF) * SECOND // speech.clock_rate
        inbound.advance(now)
        inbound.receive(packet, PEER, now)
    inbound.advance(now + SECOND // 2)
    assert inbound.packets == len(packets) and not inbound.counts
    snr = aligned_snr(sent, np.frombuffer(b"".join(heard), np.int16), speech.sample_rate // 20)
    print(f"{sender} {codec}: {np.median(snr):.1f} dB, {min(snr):.1f} at worst, of {len(packets)} packets")
    # Some pieces lack a period, or have one twice: the buffer has found that it should wait less, or longer.
    assert np.median(snr) > LEAST_DB[codec] and inbound.stats()["lost"] == 0
