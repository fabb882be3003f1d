"""`lipwire render`: a speech file, or a text, into a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..avatar import DEFAULT
from .options import AvatarName, Fps, Size, err, out, parse_size
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..session.preencoded import Preencoded

STANDARD_INPUT = Path("-")


def render(
    speech: Annotated[
        Path,
        typer.Argument(metavar="SPEECH", help="Any audio file; -: standard input. Left out where there is --text."),
    ],
    film: Annotated[
        Path | None,
        typer.Argument(metavar="FILM", help="What to write: .mp4, .m4v, .mov, .mkv, .webm, or .gif without sound."),
    ] = None,
    size: Size = "640x360",
    fps: Fps = Fraction(25),
    avatar: AvatarName = DEFAULT,
    text: Annotated[str | None, typer.Option(help="Say this instead of a file (espeak-ng).")] = None,
    voice: Annotated[
        str | None, typer.Option(help="espeak-ng voice that says it, say de or en-us+f3 (default: the avatar's).")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="In place of the avatar's own: a colour (#2b6777, teal), or a picture's path.")
    ] = None,
    quality: Annotated[
        str | None, typer.Option(help="low, medium or high: of the picture's encoding (default: medium).")
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="In place of it the encoder's constant rate factor; less is better and larger.")
    ] = None,
    subtitles: Annotated[
        str | None,
        typer.Option(help="Write these, too, of the text or the transcript: a .vtt or .srt path, or vtt or srt alone."),
    ] = None,
    transcript: Annotated[
        Path | None, typer.Option(help="What is said in the speech file: a text, or subtitles with their times.")
    ] = None,
    poster: Annotated[
        str | None, typer.Option(help="Write the first picture, too: a .png or .jpg path, or png or jpg alone.")
    ] = None,
    preencoded: Annotated[
        str,
        typer.Option(
            help="Take the avatar's video as it was encoded before: auto (where it has been), on (do so now) or off."
        ),
    ] = "off",
    seed: Annotated[int, typer.Option(help="Of blinks and idle movement.")] = 0,
) -> None:
    """Render a speech file, or a text, into a film, faster than real time."""
    from ..audio.decode import standard_input
    from ..session.offline import render as render_file

    if (film is None) == (text is None):
        raise typer.BadParameter(
            "give the speech and the film to write" if text is None else "with --text, give the film to write only",
            param_hint="SPEECH FILM",
        )
    source: Any = None if text is not None else standard_input() if speech == STANDARD_INPUT else speech
    target = speech if film is None else film
    with ProgressBar(err) as bar:
        task = bar.add_task("rendering", total=1.0)
        result = render_file(
            source,
            target,
            avatar=avatar,
            size=parse_size(size),
            fps=fps,
            seed=seed,
            text=text,
            voice=voice,
            background=background,
            quality=quality,
            crf=crf,
            subtitles=subtitles,
            transcript=transcript,
            poster=poster,
            preencoded=cast("Preencoded", preencoded),
            progress=lambda done, total: bar.update(task, description="rendering", completed=done, total=total or done),
            note=lambda line: bar.update(task, description=line),
        )
    out.print(
        f"{target}: {result.duration:.2f} s, {result.frames} frames, in {result.elapsed:.2f} s "
        f"({result.speed:.1f}x real time){', of pre-encoded video' if result.preencoded else ''}"
    )
