"""`lipwire voices`: the voices of this machine, and how they sound."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ..avatar import Avatar
from .options import err, out, voices_folder

SAMPLE = "Hello! This is how I sound. Five thousand voices, very few faces."


def voices(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where --sample is written, a .wav (default: NAME.wav).")
    ] = None,
    sample: Annotated[str | None, typer.Option(metavar="NAME", help="Write what this voice sounds like.")] = None,
    text: Annotated[str | None, typer.Option(help=f"What it says (default: {SAMPLE}).")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where your voices are, .onnx files (default: the setting `voices`).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The list, for programs.")] = False,
) -> None:
    """List the voices of this machine: which speak, and what the others lack; or let one of them speak."""
    from ..models.voices import catalogue

    if folder is not None and not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder", param_hint="--folder")
    folder = folder or voices_folder()
    if sample is not None:
        if as_json:
            raise typer.BadParameter("it is for the list, not for --sample", param_hint="--json")
        _write(sample, file, SAMPLE if text is None else text, folder)
        return
    for name, given in (("FILE", file), ("--text", text)):
        if given is not None:
            raise typer.BadParameter("say which voice: --sample NAME", param_hint=name)
    listed = catalogue.voices(folder)
    faces = {name: Avatar.load(name).voice.offline for name in Avatar.builtin()}
    of = {voice.name: [name for name, its in faces.items() if its == voice.name] for voice in listed}
    if as_json:
        print(json.dumps([msgspec.to_builtins(voice) | {"avatars": of[voice.name]} for voice in listed]))
        return
    rows = [("voice", "language", "who", "avatar", "licence")]
    rows += [(v.name, v.language, v.about, ", ".join(of[v.name]), v.licence) for v in listed if not v.missing]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), markup=False, soft_wrap=True)
    for voice in listed:
        if voice.missing:
            out.print(f"not here: {voice.name}. {voice.missing}", markup=False, soft_wrap=True)
    out.print("To hear one: lipwire voices --sample NAME. More of each: docs/agents/voices.md.", soft_wrap=True)


def _write(name: str, file: Path | None, text: str, folder: Path | None) -> None:
    from ..avatar import Voice
    from ..models.voices.choose import choose
    from ..models.voices.speaker import speak

    sounds = speak(choose(name, Voice(), folder=folder).name, text)
    pcm = b"".join(sound.pcm for sound in sounds)
    path = file or Path("".join(c if c.isalnum() or c in "+-" else "-" for c in name) + ".wav")
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sounds[0].rate)
        wav.writeframes(pcm)
    err.print(f"{path}: {len(pcm) / 2 / sounds[0].rate:.1f} s of {name}", markup=False, soft_wrap=True)
