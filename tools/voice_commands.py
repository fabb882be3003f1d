"""How often the offline spotter of voice commands errs: misses of "Hey ... Start" and "Hey ... Stop", and false accepts
an hour of ordinary speech. The commands are spoken by espeak-ng (voices, paces, names, noise), the ordinary speech by
espeak-ng and by whatever recordings are given.

    python tools/voice_commands.py [FOLDER_OR_WAV ...]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

import lipwire
from lipwire import resample
from lipwire.agents.speech.commands import Command
from lipwire.agents.speech.keywords import Phrases, find
from lipwire.audio import espeak as voice

VOICES = ("en-us", "en", "en-us+f3", "en-us+m3", "en-us+f5", "en-gb-scotland", "en-us+m7")
PACES = (130, 165, 190)
NAMES = ("", "Lipwire", "Aria", "agent", "assistant", "computer", "Alexander")
NOISE_DB = (None, 20)
"""Signal over white noise."""
TEXTS = (
    "Hello, how are you today? I would like to book a table for two, please. When do we start the meeting?",
    "Please stop the car. They started to shop at the corner. He stayed at the top for a day, and then he stopped.",
    "Hey, how are you doing? Hey, what time is it? They say that the weather in Berlin is going to be fine.",
    "Tell me a story about a dragon. Can you hear me? Say it again, please. Yes, that is right. No, not that one.",
    "My order has not arrived yet. The number is four seven two nine. Could you check where it is? Thank you.",
    "What can I do? It is a long way to the station. Hey Peter, look at this! Is there a bus stop? Let us start over.",
)
HOUR = 3600 * 16_000


def with_noise(pcm: bytes, snr_db: float | None, seed: int) -> bytes:
    """Half a second of near silence before, a whole one behind, and white noise over all of it."""
    x = np.concatenate([np.zeros(8000), np.frombuffer(pcm, np.int16).astype(np.float64), np.zeros(16_000)])
    rms = float(np.sqrt(np.mean(np.frombuffer(pcm, np.int16).astype(np.float64) ** 2)))
    level = 3.0 if snr_db is None else rms / 10 ** (snr_db / 20)
    return np.clip(x + np.random.default_rng(seed).normal(0, level, len(x)), -32768, 32767).astype(np.int16).tobytes()


def spotted(pcm: bytes, wanted: Command) -> int:
    """Commands in sound, as an agent would find them."""
    phrases, found = Phrases(), 0
    for at in range(0, len(pcm) - 319, 320):
        piece = phrases.hear(pcm[at : at + 320])
        found += piece is not None and find(piece, wanted)
    return found


def recordings(paths: list[Path]) -> Iterator[bytes]:
    """PCM16 at 16 kHz of every file that can be read."""
    for path in itertools.chain.from_iterable(sorted(p.rglob("*")) if p.is_dir() else [p] for p in paths):
        if not path.is_file():
            continue
        if path.suffix == ".g722":  # as Asterisk keeps its prompts
            yield bytes(lipwire.G722Decoder().decode(path.read_bytes()))
        if path.suffix not in (".wav", ".flac", ".mp3", ".ogg"):
            continue
        try:
            with av.open(str(path)) as file:
                resampler = av.AudioResampler("s16", "mono", 16_000)
                frames = [f for frame in file.decode(audio=0) for f in resampler.resample(frame)]
                yield b"".join(f.to_ndarray().tobytes() for f in frames)
        except av.FFmpegError as exc:
            print(f"{path}: {exc}", file=sys.stderr)


def misses() -> None:
    """How many commands are not found."""
    commands: tuple[Command, ...] = ("start", "stop")
    for snr, wanted in itertools.product(NOISE_DB, commands):
        found = total = 0
        for n, (name, pace, speaker) in enumerate(itertools.product(NAMES, PACES, VOICES)):
            text = f"Hey {name}, {wanted}!" if name else f"Hey, {wanted}!"
            pcm = resample(*voice.synthesize(text, speaker, pace), 16_000)
            found += spotted(with_noise(pcm, snr, n), wanted) > 0
            total += 1
        noise = "quiet" if snr is None else f"{snr} dB over noise"
        print(f"{wanted:6} {noise:18} {total - found:4} of {total} missed ({100 * (total - found) / total:.0f} %)")


def accepts(name: str, speech: Iterator[bytes], seconds_most: float) -> None:
    """How many are found where there are none."""
    samples, found = 0, {"start": 0, "stop": 0}
    for n, pcm in enumerate(speech):
        sound = with_noise(pcm, None, n)
        samples += len(sound) // 2
        for wanted in ("start", "stop"):
            found[wanted] += spotted(sound, wanted)  # type: ignore[arg-type]
        if samples > seconds_most * 16_000:
            break
    for wanted, count in found.items() if samples else ():
        print(f"{name}: {count} false {wanted} in {samples / HOUR * 60:.1f} min, {count / samples * HOUR:.1f} an hour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of each kind of ordinary speech, at most")
    options = parser.parse_args()
    misses()
    spoken = (
        resample(*voice.synthesize(text, speaker, pace), 16_000)
        for text, pace, speaker in itertools.product(TEXTS, PACES, VOICES)
    )
    accepts("espeak-ng", spoken, options.minutes * 60)
    for path in options.recordings:
        accepts(path.name, recordings([path]), options.minutes * 60)


if __name__ == "__main__":
    main()
