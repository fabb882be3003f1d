#!/bin/sh
# FFmpeg gives no sample of a PCM WAV from a pipe before 64 KiB of it have come, however little it is told to probe.
#
# Expected: a WAV says in its first 44 bytes all that there is to know, so that with `probesize` and `analyzeduration` at
# their least, sound that is made while it is sent (text to speech over HTTP) is heard as soon as it is there.
# What happens: while it opens the file, the WAV demuxer reads 64 KiB of sound to see whether it is S/PDIF in disguise
# (`set_spdif` in libavformat/wavdec.c; AC-3 and DTS are kept so). No option turns that off. At 24 kHz that is 1.4 s of
# speech, and of a shorter sentence nothing is heard until its end. It is done for all integer PCM (format tag 1); float
# (tag 3) begins at once.
# Seen with: PyAV 18.1.0 (FFmpeg 8), Linux x86-64.
# What to do: read the chunks of a WAV that streams yourself, and leave FFmpeg what is no plain PCM; or ask the service
# for raw samples.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0
cat > waits.py <<'END'
import struct
import sys

import av


class Pipe:
    """Gives 500 bytes at a time, and cannot seek."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, size):
        piece = self.data[self.at : self.at + min(size, 500)]
        self.at += len(piece)
        return piece


def first_sound(tag, bits):
    """Bytes that were read before the first sample came out of four seconds of silence, 24 kHz, mono."""
    sound = bytes(4 * 24_000 * bits // 8)
    form = struct.pack("<HHIIHH", tag, 1, 24_000, 24_000 * bits // 8, bits // 8, bits)
    head = b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    pipe = Pipe(head + b"data" + struct.pack("<I", len(sound)) + sound)
    with av.open(pipe, format="wav", options={"probesize": "2048", "analyzeduration": "1"}) as file:
        next(file.decode(audio=0))
    return pipe.at


libavformat = ".".join(map(str, av.library_versions["libavformat"]))
integer, floating = first_sound(1, 16), first_sound(3, 32)
print(f"PyAV {av.__version__}, libavformat {libavformat}: bytes read before the first sample")
print(f"16-bit integers: {integer}")
print(f"32-bit float: {floating}")
sys.exit(0 if integer >= 65_536 and floating < 16_384 else "CHANGED: it is no longer as this script describes")
END
env/bin/python waits.py
# Output as seen:
#   PyAV 18.1.0, libavformat 62.12.102: bytes read before the first sample
#   16-bit integers: 66000
#   32-bit float: 8500
