#!/bin/sh
# FFmpeg's G.711 encoders do not give the codes of ITU-T G.711.
#
# Expected: G.711 is a table of 256 codes that everybody has had since 1972. Two encoders give the same byte for the same
# 16-bit sample, so recordings, echo tests and golden files can be compared byte by byte.
# What happens: FFmpeg's pcm_alaw and pcm_mulaw differ from the Recommendation for 964 of the 65536 samples each, by one
# code. G.711 has decision values: where a segment ends the step doubles, and the border is where the finer steps end
# (16384 in A-law's last segment). FFmpeg makes its table from the decoder's: a sample gets the code whose decoded value is
# nearest, and the middle between the last fine step and the first coarse one lies higher (16512). So 16384 to 16511 get
# the last code of the segment below, and so on at every border. That has the smaller error; it is not the standard's.
# The rest are negative samples on a decision value, which the software tools of the ITU (G.191) round towards zero.
# Decoding is the same everywhere.
# Seen with: av 18.1.0 (FFmpeg 8), numpy 2.4.6, Python 3.11, Linux x86-64.
# What to do: compare G.711 after decoding, or count codes that differ by one as equal.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6
cat > codes.py <<'END'
import sys

import av
import numpy as np

samples = np.arange(-32768, 32768)


def alaw(x):
    """Sign, 3 bits of segment, 4 bits within it; even bits inverted. By the decision values of table 1a/G.711."""
    size = (~x if x < 0 else x) >> 4  # 11 bits, one's complement as in G.191
    segment = max(0, size.bit_length() - 5)
    return ((segment << 4) + (size >> segment) | (0x80 if x >= 0 else 0)) ^ 0x55


def mulaw(x):
    """The same by table 2a/G.711: a bias of 33 in 13 bits, all bits inverted."""
    size = min(((~x if x < 0 else x) >> 2) + 33, 0x1FFF)
    segment = size.bit_length() - 6
    return ~(segment << 4 | (size >> segment + 1) & 15 | (0 if x >= 0 else 0x80)) & 0xFF


def ffmpeg(codec):
    context = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = 8000
    return np.frombuffer(b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)]), np.uint8)


print(f"av {av.__version__}, libavcodec {av.library_versions['libavcodec']}")
changed = False
for codec, standard, border in (("pcm_alaw", alaw, 16384), ("pcm_mulaw", mulaw, 16252)):
    right = np.array([standard(int(x)) for x in samples], np.uint8)
    given = ffmpeg(codec)
    wrong = samples[given != right]
    above = wrong[(wrong >= border) & (wrong < border + 256)]
    print(f"{codec}: {len(wrong)} samples with another code than G.711's; at the last border {above.min()}..{above.max()}")
    changed |= len(wrong) != 964 or above.min() != border or above.max() != border + 127
sys.exit("CHANGED: it is no longer as this script describes" if changed else 0)
END
env/bin/python codes.py
# Output as seen:
#   av 18.1.0, libavcodec (62, 28, 102)
#   pcm_alaw: 964 samples with another code than G.711's; at the last border 16384..16511
#   pcm_mulaw: 964 samples with another code than G.711's; at the last border 16252..16379
