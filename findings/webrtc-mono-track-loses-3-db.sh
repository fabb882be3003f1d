#!/bin/sh
# A mono audio track leaves aiortc 3 dB quieter than it was put in.
#
# Expected: mono is made stereo by giving both channels the same samples, so the level stays. That is what Web Audio does
# with a mono source ("speakers" up-mixing), and what one hears when a mono file is played.
# What happens: FFmpeg's libswresample takes mono as the front centre channel, and puts a centre into stereo with a gain of
# sqrt(1/2) a channel, so that the power stays the same and not the level. PyAV's AudioResampler has no option against it.
# aiortc's Opus encoder always encodes stereo and makes it with that resampler: every mono track (microphone, speech
# synthesis) comes out at 0.707 of its amplitude. Mono into 5.1 keeps its level: there is a centre channel.
# Seen with: av 18.1.0, aiortc 1.16.0, Python 3.11, Linux x86-64.
# What to do: hand stereo frames to the track, both channels filled by yourself. Then nothing is converted.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 aiortc==1.16.0 numpy==2.4.6
cat > level.py <<'END'
import sys
from fractions import Fraction

import aiortc
import av
import numpy as np
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.jitterbuffer import JitterFrame

RATE, PEAK = 48000, 10000
tone = (PEAK * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)


def frame(samples, layout, pts=0):
    made = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
    made.sample_rate, made.pts, made.time_base = RATE, pts, Fraction(1, RATE)
    return made


def resampled(layout):
    out = av.AudioResampler(format="s16", layout=layout, rate=RATE).resample(frame(tone, "mono"))
    return np.concatenate([f.to_ndarray().ravel() for f in out])


def over_webrtc(samples, layout, channels):
    """Through aiortc's encoder and decoder, 20 ms at a time."""
    encoder, decoder, heard = OpusEncoder(), OpusDecoder(), []
    for at in range(0, RATE, 960):
        packets, _ = encoder.encode(frame(samples[at * channels : (at + 960) * channels], layout, at))
        for data in packets:
            heard += [f.to_ndarray().ravel() for f in decoder.decode(JitterFrame(data=data, timestamp=at))]
    return np.concatenate(heard)[RATE // 2 :]  # the codec has settled


def gain(samples):
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)) / (PEAK / np.sqrt(2)))


figures = {
    "resampler, mono -> stereo": (float(np.abs(resampled("stereo")).max() / PEAK), 0.707),
    "resampler, mono -> 5.1, its loudest channel": (float(np.abs(resampled("5.1")).max() / PEAK), 1.0),
    "aiortc's Opus there and back, mono frames": (gain(over_webrtc(tone, "mono", 1)), 0.707),
    "aiortc's Opus there and back, stereo frames": (gain(over_webrtc(np.repeat(tone, 2), "stereo", 2)), 1.0),
}
print(f"av {av.__version__}, aiortc {aiortc.__version__}, libswresample {av.library_versions['libswresample']}")
changed = False
for what, (found, described) in figures.items():
    print(f"{what}: amplitude x {found:.3f}")
    changed |= abs(found - described) > 0.02
sys.exit("CHANGED: it is no longer as this script describes" if changed else 0)
END
env/bin/python level.py
# Output as seen:
#   av 18.1.0, aiortc 1.16.0, libswresample (6, 3, 102)
#   resampler, mono -> stereo: amplitude x 0.707
#   resampler, mono -> 5.1, its loudest channel: amplitude x 1.000
#   aiortc's Opus there and back, mono frames: amplitude x 0.709
#   aiortc's Opus there and back, stereo frames: amplitude x 1.006
