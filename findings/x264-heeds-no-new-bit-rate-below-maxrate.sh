#!/bin/sh
# An open x264 encoder takes a new bit rate without an error, and goes on at the old one, where `maxrate` leaves room above it.
#
# Expected: WebRTC senders follow the receiver's bandwidth by setting `bit_rate` of the open encoder, which FFmpeg's libx264 hands to
# x264 with the next frame. `maxrate` bounds peaks, so that one sets it to the most there may ever be.
# What happens: with `maxrate` above the rate not one byte changes. With `maxrate` equal to the first rate a lower one is heeded,
# late; and there is no room for a higher one.
# Seen with: PyAV 18.1.0 (FFmpeg 8.1.2, libx264), numpy 2.3.5, Python 3.11, Linux x86-64.
# What to do: open a new encoder for each new rate, in large steps; each costs a key frame.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > rates.py <<'END'
import hashlib
import sys
from fractions import Fraction

import av
import numpy as np

RATE, LOW, FRAMES = 1_500_000, 300_000, 150
moving = np.random.default_rng(1).integers(0, 256, (720, 640), dtype=np.uint8)
moving = (moving.astype(float).cumsum(0) % 255 * 0.3 + moving * 0.7).astype(np.uint8)


def encoded(maxrate, later):
    """(kbit/s of the last four seconds of six, digest): the rate is set to `later` after two."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 640, 360, "yuv420p"
    codec.time_base, codec.framerate, codec.bit_rate = Fraction(1, 25), Fraction(25), RATE
    codec.thread_count, codec.gop_size = 1, 3000
    codec.options = {"preset": "veryfast", "tune": "zerolatency", "maxrate": str(maxrate), "bufsize": str(RATE // 2)}
    size, digest = 0, hashlib.sha256()
    for n in range(FRAMES):
        if n == 50:
            codec.bit_rate = later
        frame = av.VideoFrame.from_ndarray(np.repeat(moving[n : n + 360, :, None], 3, 2), format="rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, 25)
        for packet in codec.encode(frame):
            data = bytes(packet)
            digest.update(data)
            size += len(data) * (n >= 50)
    return round(size * 8 / 4000), digest.hexdigest()[:12]


print(f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}")
results = {}
for name, maxrate, later in (
    ("maxrate 2x, rate kept", 2 * RATE, RATE),
    ("maxrate 2x, rate / 5", 2 * RATE, LOW),
    ("maxrate = rate, rate kept", RATE, RATE),
    ("maxrate = rate, rate / 5", RATE, LOW),
):
    results[name] = encoded(maxrate, later)
    print(f"{name:28} {results[name][0]:5} kbit/s  {results[name][1]}")
(_, kept), (_, low), (wide, _), (narrow, _) = results.values()
same = kept == low and narrow < 0.7 * wide
sys.exit(0 if same else "CHANGED: it is no longer as this script describes")
END
env/bin/python rates.py
# Output as seen:
#   PyAV 18.1.0, libavcodec 62.28.102
#   maxrate 2x, rate kept          914 kbit/s  b3fbf9644f1e
#   maxrate 2x, rate / 5           914 kbit/s  b3fbf9644f1e
#   maxrate = rate, rate kept     1211 kbit/s  a2854d09500a
#   maxrate = rate, rate / 5       427 kbit/s  e9105ba55b27
