#!/bin/sh
# FFmpeg's H.264 decoder says nothing of a picture that is missing: no error with `err_detect=explode`, no corrupt flag.
#
# Expected: a receiver or a test that decodes with every check on (`err_detect` crccheck+bitstream+buffer+explode) learns that a P
# picture was lost: frame_num jumps, the SPS forbids gaps (gaps_in_frame_num_value_allowed_flag 0), and ITU-T H.264, 8.2.5.2, calls that an
# unintentional loss. At least the pictures that refer to what is not there would be marked as corrupt.
# What happens: the decoder fills the gap with a copy, returns a picture for every packet, and marks none; up to the next key frame each
# differs from what was sent. Of a lost slice within a picture it does say so.
# Seen with: PyAV 18.1.0 (FFmpeg 8.1.2, libx264), numpy 2.3.5, Python 3.11, Linux x86-64.
# What to do: compare the pictures, or count frame_num (or RTP sequence numbers) oneself; "it decoded without an error" proves nothing.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > lost.py <<'END'
import sys
from fractions import Fraction

import av
import numpy as np

FRAMES, LOST = 12, 5
noise = np.random.default_rng(1).integers(16, 236, (360, 320), dtype=np.uint8)


def stream():
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = 320, 240, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, 25), Fraction(25)
    codec.options = {"profile": "baseline", "x264-params": "slices=2:ref=1:scenecut=0:keyint=infinite:threads=1"}
    packets = []
    for n in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * n, axis=1), format="yuv420p")
        frame.pts = n
        packets += codec.encode(frame)
    return [bytes(packet) for packet in [*packets, *codec.encode(None)]]


def decoded(packets):
    """Of each packet: the picture, and what the decoder says of it."""
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    codec.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    pictures, said = {}, []
    for n, packet in packets:
        try:
            for frame in codec.decode(av.Packet(packet)):
                pictures[n] = frame.to_ndarray(format="yuv420p")
                said += [f"{n} corrupt"] if frame.is_corrupt else []
        except av.error.FFmpegError as error:
            said.append(f"{n} {type(error).__name__}")
    return pictures, said


av.logging.set_level(None)
print(f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}")
packets = list(enumerate(stream()))
whole, said_whole = decoded(packets)
without, said_without = decoded([packet for packet in packets if packet[0] != LOST])
wrong = [n for n in without if (without[n] != whole[n]).any()]
half = [(n, p if n != LOST else p[: p.rindex(b"\0\0\1")]) for n, p in packets]
_, said_half = decoded(half)
print(f"whole:            {len(whole)} pictures, the decoder says: {said_whole}")
print(f"picture {LOST} lost:   {len(without)} pictures, {len(wrong)} wrong, the decoder says: {said_without}")
print(f"its second slice: the decoder says: {said_half}")
same = not said_whole and not said_without and len(without) == FRAMES - 1 and wrong == list(range(LOST + 1, FRAMES)) and said_half
sys.exit(0 if same else "CHANGED: it is no longer as this script describes")
END
env/bin/python lost.py
# Output as seen:
#   PyAV 18.1.0, libavcodec 62.28.102
#   whole:            12 pictures, the decoder says: []
#   picture 5 lost:   11 pictures, 6 wrong, the decoder says: []
#   its second slice: the decoder says: ['5 corrupt']
