"""FFmpeg's own WHIP sender, as PyAV has it: `python -m support.ffmpeg_whip URL TOKEN CERTIFICATE KEY` speaks until its
standard input ends. A process of its own: PyAV holds the interpreter while it connects.

The certificate is given: that which FFmpeg makes by itself with GnuTLS, as in PyAV's, is on a curve (P-224) which
OpenSSL does not take (findings/ffmpeg-whip-certificate-is-refused-by-openssl.sh).
"""

from __future__ import annotations

import sys
import threading
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE, PACKET = 48_000, 960


def speak(url: str, token: str, certificate: str, key: str) -> None:
    """Half a second of a tone, a second of silence, and so on; grey pictures beside it."""
    options = {"authorization": token, "cert_file": certificate, "key_file": key}
    out = av.open(url, "w", format="whip", options=options)
    sound: Any = out.add_stream("libopus", rate=RATE)
    sound.layout = "stereo"
    pictures: Any = out.add_stream("libx264", rate=25)
    pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
    pictures.options = {"tune": "zerolatency", "preset": "ultrafast", "profile": "baseline"}
    out.start_encoding()  # connects
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    began, at = time.monotonic(), 0
    while not ended.is_set():
        t = at + np.arange(PACKET)
        tone = (np.sin(2 * np.pi * 300 * t / RATE) * 9000 * (t % 72_000 < 24_000)).astype(np.int16)
        heard = av.AudioFrame.from_ndarray(np.repeat(tone, 2).reshape(1, -1), format="s16", layout="stereo")
        heard.sample_rate, heard.pts, heard.time_base = RATE, at, Fraction(1, RATE)
        out.mux(sound.encode(heard))
        if at % (2 * PACKET) == 0:
            seen = av.VideoFrame.from_ndarray(np.full((96, 64), 128, np.uint8), format="yuv420p")
            seen.pts, seen.time_base = at // (2 * PACKET), Fraction(1, 25)
            out.mux(pictures.encode(seen))
        at += PACKET
        time.sleep(max(0.0, began + at / RATE - time.monotonic()))
    out.close()


if __name__ == "__main__":
    speak(*sys.argv[1:])
