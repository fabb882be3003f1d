"""`lipwire motion`: what is in a file of motion, and into another kind with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import out

if TYPE_CHECKING:
    from ..motion import MotionTrack

app = typer.Typer(help="Files of motion: what a face does, as numbers.", no_args_is_help=True)

Partial = Annotated[
    bool, typer.Option("--partial", help="Of a .lwm that is damaged or cut off, take what lies before.")
]
MotionFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .lwm or .json file.")]


@app.command()
def info(file: MotionFile, partial: Partial = False) -> None:
    """Print what is in a file of motion."""
    track = _read(file, partial)
    header = track.header
    out.print(f"{file}: {track.duration:.2f} s, {len(track.samples)} frames at {float(header.fps):g} a second")
    for name, channels in header.sets.items():
        moving = int((track.of(name) != 0).any(axis=0).sum())
        out.print(f"  {name}: {len(channels)} channels, {moving} of them ever other than 0")
    if len(track.samples):
        out.print(f"  speaking: {track.speaking.mean():.0%} of the frames; interrupts: {track.generations[-1]}")
    for kind, count in Counter(event.kind for event in track.events).items():
        out.print(f"  {kind}: {count}")


@app.command()
def convert(
    file: MotionFile,
    to: Annotated[Path, typer.Argument(metavar="TO", help="What to write; its end says which kind (docs/motion.md).")],
    speech: Annotated[str, typer.Option(help="Where the sound is, for kinds of files that name it.")] = "",
    head: Annotated[Path | None, typer.Option(help="A .glb file of a head to put the motion on, for .glb.")] = None,
    partial: Partial = False,
) -> None:
    """Write what is in a file of motion as another kind of file."""
    from ..session.beside import check_names
    from ..session.motion_files import write_motion

    check_names([to], [file, head])
    track = _read(file, partial)
    write_motion(track, to, speech=speech, head=head)
    out.print(f"{to}: {track.duration:.2f} s, {len(track.samples)} frames, {to.stat().st_size / 1000:.1f} kB")


def _read(file: Path, partial: bool) -> MotionTrack:
    """Raises BadData, which says what can be done."""
    from ..errors import BadData
    from ..motion import read_motion

    try:
        return read_motion(file, partial=partial)
    except BadData as exc:
        if partial or file.suffix.lower() != ".lwm":
            raise
        raise BadData(f"{exc}; --partial takes what lies before") from exc


@app.command()
def head(
    to: Annotated[Path, typer.Argument(metavar="TO", help="A .glb file.")],
) -> None:
    """Write Lipwire's own 3D head, at rest (docs/heads.md)."""
    from ..motion.head import head_glb
    from ..session.motion_files import write_whole

    if to.suffix.lower() != ".glb":
        raise typer.BadParameter(f"{to} is to end in .glb", param_hint="TO")
    data = head_glb()
    write_whole(to, data)
    out.print(f"{to}: {len(data) / 1_000_000:.1f} MB, 52 morph targets")
