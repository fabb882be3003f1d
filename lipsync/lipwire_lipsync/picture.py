"""A picture of one utterance: spectrogram, true and predicted mouths as coloured bands, jaw and loudness."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lipwire import VisemeExtractor
from lipwire.errors import BadState

from . import labels, metrics, sets

if TYPE_CHECKING:
    from PIL import ImageDraw

    from .bench import Sample

ROW = sets.RATE // 100
SCALE = 5
"""Pixels a row of 10 ms."""
MARGIN, SPECTROGRAM, BAND, CURVES, GAP = 120, 256, 30, 90, 6
COLOURS = {
    "sil": "#d9d9d9", "PP": "#d62728", "FF": "#ff7f0e", "TH": "#9edae5", "DD": "#6baed6", "kk": "#3182bd",
    "CH": "#17becf", "SS": "#08519c", "nn": "#c6dbef", "RR": "#9e9ac8", "aa": "#2ca02c", "E": "#98df8a", "I": "#bcbd22",
    "O": "#e377c2", "U": "#8c3b9e",
}  # fmt: skip
GROUP_COLOURS = {g: COLOURS[v] for g, v in zip("XABCDFG", ("sil", "PP", "DD", "E", "aa", "O", "FF"), strict=True)}


def spectrogram(pcm: sets.Samples, height: int) -> npt.NDArray[np.uint8]:
    """(height, rows) grey values, dark is loud, 8 kHz at the top, 70 dB of range."""
    window, size = 400, 2 * height
    around = np.pad(pcm.astype(float), (window - ROW) // 2)
    frames = np.lib.stride_tricks.sliding_window_view(around, window)[::ROW][: len(pcm) // ROW]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), size)[:, :height]) ** 2
    db = 10 * np.log10(power + 1)
    level = np.clip((db - db.max() + 70) / 70, 0, 1)
    return np.asarray(255 * (1 - level.T[::-1]), np.uint8)


def _band(draw: ImageDraw.ImageDraw, top: int, name: str, rows: metrics.Rows, kind: metrics.Kind) -> None:
    names = labels.VISEMES if kind == "visemes" else labels.GROUPS
    colours = COLOURS if kind == "visemes" else GROUP_COLOURS
    draw.text((MARGIN - 8, top + BAND // 2), name, "black", anchor="rm", font_size=13)
    for start, end, value in zip(*metrics.runs(rows), strict=True):
        left, right = MARGIN + SCALE * int(start), MARGIN + SCALE * int(end) - 1
        draw.rectangle((left, top, right, top + BAND), colours[names[value]])
        if right - left > 18 and names[value] not in ("sil", "X"):
            middle = ((left + right) // 2, top + BAND // 2)
            draw.text(middle, names[value], "black", anchor="mm", font_size=12)


def check() -> None:
    """Raises BadState: Pillow is not installed."""
    if importlib.util.find_spec("PIL") is None:
        raise BadState("a picture needs Pillow: pip install lipwire-lipsync")


def draw(sample: Sample, path: Path) -> None:
    """Writes a PNG. Raises BadState: Pillow is not installed."""
    check()
    from PIL import Image, ImageDraw

    count = len(sample.truth)
    bands = [("truth", sample.truth, "visemes"), *((n, rows, kind) for n, (kind, rows) in sample.said.items())]
    height = SPECTROGRAM + GAP + len(bands) * (BAND + GAP) + CURVES + 24
    image = Image.new("RGB", (MARGIN + SCALE * count + 10, height), "white")
    grey = np.repeat(spectrogram(sample.pcm, SPECTROGRAM), SCALE, axis=1)
    image.paste(Image.fromarray(grey), (MARGIN, 0))
    canvas = ImageDraw.Draw(image)
    canvas.text((MARGIN - 8, 8), "8 kHz", "black", anchor="rm", font_size=13)
    canvas.text((MARGIN - 8, SPECTROGRAM - 8), "0", "black", anchor="rm", font_size=13)
    top = SPECTROGRAM + GAP
    for name, rows, kind in bands:
        _band(canvas, top, name, rows, "groups" if kind == "groups" else "visemes")
        top += BAND + GAP
    extractor = VisemeExtractor()
    tail = np.zeros(round(extractor.lookahead * sets.RATE), np.int16)
    heard = np.concatenate([sample.pcm, tail])
    channels = np.asarray(extractor.process_channels(heard.data))[:count, len(labels.VISEMES) :]
    for channel, (name, colour) in enumerate((("jaw", "#2ca02c"), ("loudness", "#7f7f7f"))):
        canvas.text((MARGIN - 8, top + 12 + 18 * channel), name, colour, anchor="rm", font_size=13)
        heights = np.clip(channels[:, channel], 0, 1)
        points = [(MARGIN + SCALE * i + SCALE // 2, top + CURVES - float(v) * CURVES) for i, v in enumerate(heights)]
        canvas.line(points, colour, width=2)
    for tick in range(0, count, 10):
        left, whole = MARGIN + SCALE * tick, tick % 100 == 0
        canvas.line((left, top + CURVES, left, top + CURVES + (8 if whole else 4)), "black")
        if whole:
            canvas.text((left, top + CURVES + 16), f"{tick // 100} s", "black", anchor="mm", font_size=12)
    image.save(path, "PNG")
