#!/bin/sh
# FFmpeg decodes chained Ogg Opus with a burst at every joint, 9 dB above anything that is in the file.
#
# Expected: a chained Ogg file (RFC 3533, section 4: `cat one.opus two.opus`, what an internet radio sends and what a voice
# service's replies become when they are written one behind the other) sounds like its links, each decoded by itself. A new link
# begins a new stream, and its decoder starts afresh; the demuxer knows, as it skips the second link's pre-skip, and the
# number of samples is right to the sample.
# What happens: the decoder goes on with the state of the link before, while the encoder began from nothing. For about 100 ms
# after the joint the sound is distorted, at nearly three times the peak of what was encoded. Nothing is reported.
# Seen with: PyAV 18.1.0 (FFmpeg 8.1.2, native decoder `opus`), Python 3.11, Linux x86-64.
# What to do: cut the file at the pages that begin a stream (bit 1 of the sixth byte of a page, after one without it) and open each
# link as a file of its own. It is the cure for links of other channels or codecs, too, which libavformat refuses.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5
cat > chained.py <<'END'
import io
import sys
from fractions import Fraction

import av
import numpy as np

RATE = 48000


def encoded(hz):
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE)
        stream.layout = "mono"
        tone = (0.27 * 32768 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype("<i2")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def decoded(data):
    with av.open(io.BytesIO(data)) as file:
        return np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])


one, two = encoded(400), encoded(700)
apart = np.concatenate([decoded(one), decoded(two)])
chained = decoded(one + two)
print(f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}")
peaks = [float(np.abs(sound).max()) for sound in (apart, chained)]
print(f"each link by itself: {len(apart)} samples, peak {peaks[0]:.2f}")
print(f"the chained file:    {len(chained)} samples, peak {peaks[1]:.2f}, at {np.abs(chained).argmax() / RATE:.3f} s")
same = len(apart) == len(chained) and peaks[0] < 0.4 and peaks[1] > 0.6
sys.exit(0 if same else "CHANGED: it is no longer as this script describes")
END
env/bin/python chained.py
# Output as seen:
#   PyAV 18.1.0, libavcodec 62.28.102
#   each link by itself: 96000 samples, peak 0.28
#   the chained file:    96000 samples, peak 0.77, at 1.010 s
