#!/bin/sh
# A PNG of 2 or 4 bit grey whose tRNS chunk makes one level clear is opaque in Pillow and in FFmpeg.
#
# Expected: the pixels of that level are clear. tRNS holds a sample of the image's own depth (ISO/IEC 15948, 11.3.1.1: for 2 bits
# white is 3), and a decoder compares before it scales 3 to 255. Every 8-bit file works, so does a palette.
# What happens: both scale the samples to 8 bits first, and compare with the value as it stands in the file: 255 is not 3, so
# nothing is clear. Level 0, which scales to itself, is clear as it should be, and a test with a black key finds nothing. Of 16 bit
# grey Pillow makes 255 of every sample over 255 when it converts: all but black is white.
# Seen with: Pillow 13.0.0, PyAV 18.1.0 (FFmpeg 8.1.2), Python 3.11, Linux x86-64.
# What to do: take the samples without the transparency, undo the scaling (v * (2**depth - 1) // 255), compare with tRNS yourself;
# round 16 bits by (v * 255 + 32895) >> 16 before converting.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0 av==18.1.0 numpy==2.4.6
cat > grey.py <<'END'
import io
import struct
import sys
import zlib

import av
import PIL
from PIL import Image


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth, row, clear=None):
    """Four pixels wide, one row, grey."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0))
    key = b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear))
    return b"\x89PNG\r\n\x1a\n" + head + key + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


def pillow(data, band):
    return list(Image.open(io.BytesIO(data)).convert("RGBA").getchannel(band).tobytes())


def ffmpeg(data):
    with av.open(io.BytesIO(data), "r", format="png_pipe") as file:
        return next(file.decode(video=0)).to_ndarray(format="rgba")[0, :, 3].tolist()


four = bytes([0b00_01_10_11])  # levels 0 1 2 3
white, black = png(2, four, clear=3), png(2, four, clear=0)
deep = png(16, struct.pack(">4H", 0, 257, 32896, 65535))
found = {
    "white is clear, Pillow": pillow(white, "A"),
    "white is clear, FFmpeg": ffmpeg(white),
    "black is clear, Pillow": pillow(black, "A"),
    "16 bits, Pillow": pillow(deep, "R"),
}
print(f"Pillow {PIL.__version__}, PyAV {av.__version__}")
for what, values in found.items():
    print(f"{what}: {values}")
seen = [[255, 255, 255, 255], [255, 255, 255, 255], [0, 255, 255, 255], [0, 255, 255, 255]]
sys.exit(0 if list(found.values()) == seen else "CHANGED: it is no longer as this script describes")
END
env/bin/python grey.py
# Output as seen (right would be 255 255 255 0 twice, then 0 255 255 255, then 0 1 128 255):
#   Pillow 13.0.0, PyAV 18.1.0
#   white is clear, Pillow: [255, 255, 255, 255]
#   white is clear, FFmpeg: [255, 255, 255, 255]
#   black is clear, Pillow: [0, 255, 255, 255]
#   16 bits, Pillow: [0, 255, 255, 255]
