"""Frames of a talking avatar with the phone that is heard in each, to judge the mouth by eye.

    python tools/lipsync/contact_sheet.py OUT.png                        # espeak-ng says TEXT
    python tools/lipsync/contact_sheet.py OUT.png --set human-en-dev --utterance auth-incorrect

For each of the longest-lasting phones of every viseme, and then in the order of time, the frame that `lipwire render`
shows in the middle of the phone, at 100 frames a second.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lipwire.audio import espeak as voice
from lipwire.avatar import Avatar
from lipwire.session.offline import perform
from lipwire_lipsync import labels, sets

TEXT = "Five brave judges thought you should put my purple boat by the far shore."
SIZE = (640, 360)
FPS = 100
COLUMNS = 5
SHEET = 20
SHOWN = (0.34, 0.2, 0.66, 0.78)  # left, top, right, bottom, of the picture: the face


def font():
    """One with IPA where there is one."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", 14)
    except OSError:
        return ImageFont.load_default(14)


def rgb(planes):
    """BT.709 limited range I420 planes -> (h, w, 3) uint8."""
    y, u, v = (np.asarray(p, np.float32) for p in planes)
    u, v = (p.repeat(2, 0).repeat(2, 1) - 128 for p in (u, v))
    y = 1.1644 * (y - 16)
    picture = np.stack([y + 1.7927 * v, y - 0.2132 * u - 0.5329 * v, y + 2.1124 * u], -1)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def frames(pcm, rate, times):
    """{time: (h, w, 3)} of the frames nearest to `times`, in the sound's own time."""
    data = pcm.tobytes()
    step = rate // 50 * 2
    chunks = (data[at : at + step] for at in range(0, len(data), step))
    heard, late, found, wanted = b"", None, {}, sorted(times)
    onset = np.argmax(np.abs(pcm) > 300) / rate
    for item in perform(chunks, rate, Avatar.load("aria").at(*SIZE), Fraction(FPS)):
        if isinstance(item, tuple):
            heard += item[0]
            if late is None and np.abs(np.frombuffer(item[0], np.int16)).max(initial=0) > 300:
                late = np.argmax(np.abs(np.frombuffer(heard, np.int16)) > 300) / 48000 - onset
        elif late is not None and wanted and item.sample / 48000 - late >= wanted[0]:
            found[wanted.pop(0)] = rgb(item.planes)
        del item
    return found


def choose(phones, phone_set):
    """Phones to show: the longest of each viseme first, at most SHEET, in the order of time."""
    ranked = {}
    for start, end, name in phones:
        parts = labels.classes_of(phone_set, name)
        if parts:
            ranked.setdefault(parts[0][0].split(".")[0], []).append((end - start, start, end, name))
    order = [sorted(found, reverse=True) for found in ranked.values()]
    chosen = [found[i] for i in range(SHEET) for found in order if i < len(found)][:SHEET]
    return sorted((start, end, name) for _, start, end, name in chosen)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("out", type=Path)
    options.add_argument("--text", default=TEXT)
    options.add_argument("--set", help="an installed set, instead of espeak-ng")
    options.add_argument("--utterance", help="its utterance; default: the first")
    options = options.parse_args()
    if options.set:
        labelled = sets.read(sets.default_folder() / options.set)
        utterance = next(u for u in labelled.utterances if options.utterance in (None, u.name))
        pcm, rate, phones, phone_set = utterance.pcm, sets.RATE, utterance.phones, labelled.about.phone_set
    else:
        spoken = voice.speak(options.text, words_per_minute=150)
        pcm, rate, phones, phone_set = np.frombuffer(spoken.pcm, np.int16), spoken.rate, spoken.phones, "ipa"

    chosen = choose(phones, phone_set)
    pictures = frames(pcm, rate, [(start + end) / 2 for start, end, _ in chosen])
    left, top, right, bottom = (round(v * s) for v, s in zip(SHOWN, (*SIZE, *SIZE), strict=True))
    width, height = right - left, bottom - top + 22
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(chosen) // COLUMNS) * height), "white")
    draw, letters = ImageDraw.Draw(sheet), font()
    for i, (start, end, name) in enumerate(chosen):
        x, y = i % COLUMNS * width, i // COLUMNS * height
        sheet.paste(Image.fromarray(pictures[(start + end) / 2][top:bottom, left:right]), (x, y + 22))
        viseme = labels.classes_of(phone_set, name)[0][0].split(".")[0]
        draw.text((x + 6, y + 4), f"{(start + end) / 2:.2f} s  {name}  ({viseme})", fill="black", font=letters)
    sheet.quantize(256).save(options.out, optimize=True)
    print(f"{options.out}: {len(chosen)} phones")


if __name__ == "__main__":
    main()
