#!/bin/sh
# Opus speech takes less time at libopus' highest complexity than at a middle one, where the application is "voip".
#
# Expected: a lower complexity (FFmpeg's `compression_level`) takes less time; that is what it is for.
# What happens: of mono at 64 kbit/s complexity 5 takes twice as long as 10. At 10 libopus analyses what it hears, and finds CELT alone
# right at this bit rate; lower down it does not, the application decides, and "voip" means the hybrid mode, which runs SILK besides.
# The first byte of a packet says which (RFC 6716, section 3.1).
# Seen with: PyAV 18.1.0 (its wheel's libopus), Python 3.11, Linux x86-64.
# What to do: say application "audio", and then a low complexity.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0
cat > look.py <<'END'
import math
import struct
import sys
import time

import av

print("PyAV", av.__version__, "libavcodec", *av.library_versions["libavcodec"])
RATE, FRAME, SECONDS = 48000, 960, 6


def voice(n):
    """A buzz of 120 Hz with its formant at 700 Hz, with pauses."""
    t = n / RATE
    if math.sin(4 * math.pi * t) < -0.5:
        return 0
    phase = 120 * t + 0.6 * math.sin(6 * math.pi * t)
    return int(900 * sum(math.sin(2 * math.pi * k * phase) * math.exp(-(((k * 120 - 700) / 600) ** 2)) for k in range(1, 16)))


pcm = [voice(n) for n in range(RATE)] * SECONDS


def encode(application, complexity):
    """(us of the processor a packet, modes)"""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE, "mono", "s16", 64000
    codec.options = {"application": application, "compression_level": str(complexity), "frame_duration": "20"}
    frames = []
    for at in range(0, len(pcm), FRAME):
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(struct.pack(f"<{FRAME}h", *pcm[at : at + FRAME]))
        frame.sample_rate, frame.pts = RATE, at
        frames.append(frame)
    began, modes = time.process_time(), set()
    for frame in frames:
        for packet in codec.encode(frame):
            config = bytes(packet)[0] >> 3
            modes.add("SILK" if config < 12 else "hybrid" if config < 16 else "CELT")
    return (time.process_time() - began) / len(frames) * 1e6, modes


took = {}
for application in ("voip", "audio"):
    for complexity in (0, 5, 10):
        us, modes = min(encode(application, complexity) for _ in range(3))
        took[application, complexity] = us
        print(f"{application:5}, complexity {complexity:2}: {us:4.0f} us a packet of 20 ms, {', '.join(sorted(modes))}")
if took["voip", 5] > 1.2 * took["voip", 10] and took["audio", 5] < took["audio", 10]:
    print("complexity 5 takes longer than 10, where the application is voip")
else:
    sys.exit("CHANGED: a lower complexity takes less time")
END
env/bin/python look.py
