"""How often the offline spotter of voice commands errs: misses of "Hey ... Start" and "Hey ... Stop", and false accepts
an hour of ordinary speech. The commands are spoken by hibari and espeak-ng (voices, paces, names, noise), the ordinary
speech by espeak-ng and by whatever recordings are given.

    python tools/voice_commands.py [--ears whisper|pocketsphinx] [FOLDER_OR_WAV ...]
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

import lipwire
from lipwire import resample
from lipwire.agents.speech.commands import Command, command_said
from lipwire.agents.speech.keywords import Phrases, find
from lipwire.audio import espeak as voice
from lipwire.models.ears.whisper import Whisper
from lipwire.models.find import find as model
from lipwire.models.voices.names import parse
from lipwire.models.voices.speaker import speak

VOICES = ("en-us", "en", "en-us+f3", "en-us+m3", "en-us+f5", "en-gb-scotland", "en-us+m7")
PACES = (130, 165, 190)
HIBARI = ("hibari:heart", "hibari:heart+child", "hibari:heart+man")
NAMES = ("", "Lipwire", "Aria", "agent", "assistant", "computer", "Alexander")
NOISE_DB = (None, 20, 10)
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


Find = Callable[[bytes, Command], bool]


def by_whisper() -> Find:
    """As `WhisperSpotter` finds a command in a piece."""
    whisper = Whisper(model("whisper-tiny.en"))
    return lambda piece, wanted: (
        command_said(whisper.transcribe(piece, "en", words=False, partial=False).text) == wanted
    )


def spotted(pcm: bytes, wanted: Command, look: Find) -> int:
    """Commands in sound, as an agent would find them."""
    phrases, found = Phrases(), 0
    for at in range(0, len(pcm) - 319, 320):
        piece = phrases.hear(pcm[at : at + 320])
        found += piece is not None and look(piece, wanted)
    return found


def said(text: str) -> Iterator[tuple[str, bytes]]:
    """(what speaks, its sound) of a text, by every voice and pace."""
    for speaker, pace in itertools.product(VOICES, PACES):
        yield "espeak-ng", resample(*voice.synthesize(text, speaker, pace), 16_000)
    for name in HIBARI:
        wanted = parse(name)
        assert wanted is not None
        sounds = speak(wanted, text)
        yield "hibari", resample(b"".join(sound.pcm for sound in sounds), sounds[0].rate, 16_000)


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


def misses(look: Find) -> None:
    """How many commands are not found."""
    commands: tuple[Command, ...] = ("start", "stop")
    for snr, wanted in itertools.product(NOISE_DB, commands):
        missed: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for name in NAMES:
            text = f"Hey {name}, {wanted}!" if name else f"Hey, {wanted}!"
            for speaker, pcm in said(text):
                missed[speaker] += not spotted(with_noise(pcm, snr, total.total()), wanted, look)
                total[speaker] += 1
        noise = "quiet" if snr is None else f"{snr} dB over noise"
        for speaker, count in total.items():
            share = 100 * missed[speaker] / count
            print(f"{wanted:6} {noise:18} {speaker:10} {missed[speaker]:4} of {count} missed ({share:.0f} %)")


def accepts(name: str, speech: Iterator[bytes], seconds_most: float, look: Find) -> None:
    """How many are found where there are none."""
    samples, found = 0, {"start": 0, "stop": 0}
    for n, pcm in enumerate(speech):
        sound = with_noise(pcm, None, n)
        samples += len(sound) // 2
        for wanted in ("start", "stop"):
            found[wanted] += spotted(sound, wanted, look)  # type: ignore[arg-type]
        if samples > seconds_most * 16_000:
            break
    for wanted, count in found.items() if samples else ():
        print(f"{name}: {count} false {wanted} in {samples / HOUR * 60:.1f} min, {count / samples * HOUR:.1f} an hour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of each kind of ordinary speech, at most")
    parser.add_argument("--ears", choices=("whisper", "pocketsphinx"), default="whisper")
    options = parser.parse_args()
    look = by_whisper() if options.ears == "whisper" else find
    misses(look)
    spoken = (
        resample(*voice.synthesize(text, speaker, pace), 16_000)
        for text, pace, speaker in itertools.product(TEXTS, PACES, VOICES)
    )
    accepts("espeak-ng", spoken, options.minutes * 60, look)
    for path in options.recordings:
        accepts(path.name, recordings([path]), options.minutes * 60, look)


if __name__ == "__main__":
    main()
