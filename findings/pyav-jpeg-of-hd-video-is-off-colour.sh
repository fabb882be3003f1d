#!/bin/sh
# A JPEG that PyAV (FFmpeg's mjpeg encoder) makes of a BT.709 frame has the wrong colours in every viewer.
#
# Expected: HD video is tagged BT.709, JFIF is always BT.601, and `frame.reformat(format="yuvj420p")` converts: it does from limited
# to full range, which is the other half of the same difference, and to RGB it heeds the tag. So a thumbnail of a film
# looks like the film.
# What happens: the matrix of the frame stays BT.709, the encoder writes these numbers as they are, and nothing in the file
# says so. Viewers read them as BT.601: a green is off by 23 of 255, a red turns orange. The same frame as RGB is right.
# Seen with: PyAV 18.1.0 (FFmpeg 8.1.2), Pillow 12.0.0 as the viewer, Python 3.11, Linux x86-64.
# What to do: `reformat(format="yuvj420p", dst_colorspace="ITU601")`, or go by way of an RGB frame without tags.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0 numpy==2.3.5 pillow==12.0.0
cat > thumbnail.py <<'END'
import io
import sys
from fractions import Fraction

import av
import numpy as np
import PIL
from PIL import Image

COLOUR = np.array([20, 160, 60])

# A film of one colour, encoded and tagged as HD video is.
film = io.BytesIO()
with av.open(film, "w", format="mp4") as file:
    stream = file.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    rgb = av.VideoFrame.from_ndarray(np.full((360, 640, 3), COLOUR, np.uint8), format="rgb24")
    file.mux(stream.encode(rgb.reformat(format="yuv420p", dst_colorspace="ITU709")))
    file.mux(stream.encode(None))
film.seek(0)
with av.open(film) as file:
    frame = next(iter(file.decode(video=0)))


def jpeg(**how):
    picture = frame.reformat(format="yuvj420p", **how)
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 360, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "1", "qmax": "1"}
    picture.pts = 0
    data = b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)[180, 320]


plain, told, direct = jpeg(), jpeg(dst_colorspace="ITU601"), frame.to_ndarray(format="rgb24")[180, 320].astype(int)
print(f"PyAV {av.__version__}, Pillow {PIL.__version__}; the frame is tagged {frame.colorspace} (1 = BT.709)")
print("encoded:                      ", *COLOUR)
print("the frame as RGB:             ", *direct)
print("its JPEG:                     ", *plain)
print("its JPEG, told to be BT.601:  ", *told)
off = [int(np.abs(seen - COLOUR).max()) for seen in (direct, plain, told)]
same = off[0] <= 4 and off[1] >= 10 and off[2] <= 4
sys.exit(0 if same else "CHANGED: it is no longer as this script describes")
END
env/bin/python thumbnail.py
# Output as seen:
#   PyAV 18.1.0, Pillow 12.0.0; the frame is tagged 1 (1 = BT.709)
#   encoded:                       20 160 60
#   the frame as RGB:              19 159 59
#   its JPEG:                      29 183 61
#   its JPEG, told to be BT.601:   18 160 58
