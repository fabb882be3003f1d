"""`lipwire render`: a speech file into a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from ..avatar import DEFAULT
from .options import AvatarName, Fps, Size, err, out, parse_size
from .progress import ProgressBar


def render(
    speech: Annotated[Path, typer.Argument(help="Any audio file.")],
    video: Annotated[Path, typer.Argument(help="The MP4 to write.")],
    size: Size = "640x360",
    fps: Fps = Fraction(25),
    avatar: AvatarName = DEFAULT,
    seed: Annotated[int, typer.Option(help="Of blinks and idle movement.")] = 0,
) -> None:
    """Render a speech file into an MP4, faster than real time."""
    from ..session.offline import render as render_file

    with ProgressBar(err) as bar:
        task = bar.add_task("rendering", total=1.0)
        result = render_file(
            speech,
            video,
            avatar=avatar,
            size=parse_size(size),
            fps=fps,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total or done),
        )
    out.print(
        f"{video}: {result.duration:.2f} s, {result.frames} frames, in {result.elapsed:.2f} s "
        f"({result.speed:.1f}x real time)"
    )
