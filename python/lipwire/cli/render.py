"""`lipwire render`: a speech file, or a text, into a film, or into files of motion."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..avatar import DEFAULT
from .options import AvatarName, err, out, parse_size, read_fps, voices_folder
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..session.preencoded import Preencoded

STANDARD_INPUT = Path("-")


def render(
    speech: Annotated[
        Path | None,
        typer.Argument(metavar="SPEECH", help="Any audio file; -: standard input. Left out where there is --text."),
    ] = None,
    film: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILM",
            help="What to write: .mp4, .m4v, .mov, .mkv, .webm, or .gif without sound; or a file of motion alone.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(help="Frame size in pixels, even numbers (default: 640x360).")] = None,
    fps: Annotated[
        Fraction | None,
        typer.Option(parser=read_fps, metavar="RATE", help="Frames a second: 25, 29.97 or 30000/1001 (default: 25)."),
    ] = None,
    avatar: AvatarName = DEFAULT,
    text: Annotated[str | None, typer.Option(help="Say this instead of a file.")] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            help="Who says it: one that `lipwire voices` lists, or espeak-ng's de, en-us+f3 (default: the avatar's)."
        ),
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
    motion: Annotated[
        list[str] | None,
        typer.Option(
            help="Write what the face does, too, or alone: a path that ends in .lwm, .json, .tsv, .xml, .dat, .glb, "
            ".rhubarb.json, .a2f.json, .azure.json (docs/motion.md), or such an end alone. May be given several times."
        ),
    ] = None,
    motion_sets: Annotated[
        str | None,
        typer.Option(
            help="What .lwm and .json have, with commas: visemes, arkit, head, pose, azure (default: arkit,head)."
        ),
    ] = None,
    motion_head: Annotated[
        Path | None, typer.Option(help="A head of yours, .glb, to put the motion of a .glb on.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of blinks and idle movement.")] = 0,
) -> None:
    """Render a speech file, or a text, into a film, or into files of motion, faster than real time."""
    from ..audio.decode import standard_input
    from ..session.offline import render as render_file

    if text is not None and film is not None:
        raise typer.BadParameter("with --text, give the film to write only", param_hint="SPEECH FILM")
    source, target = (speech, film) if text is None else (None, speech)
    if (text is None and source is None) or (target is None and not motion):
        raise typer.BadParameter(
            "give the speech and the film to write, or --motion"
            if text is None
            else "with --text, give the film to write",
            param_hint="SPEECH FILM",
        )
    given: Any = standard_input() if source == STANDARD_INPUT else source
    with ProgressBar(err) as bar:
        task = bar.add_task("rendering", total=1.0)
        result = render_file(
            given,
            target,
            avatar=avatar,
            size=None if size is None else parse_size(size),
            fps=fps,
            seed=seed,
            text=text,
            voice=voice,
            voices=None if text is None else voices_folder(),
            background=background,
            quality=quality,
            crf=crf,
            subtitles=subtitles,
            transcript=transcript,
            poster=poster,
            preencoded=cast("Preencoded", preencoded),
            motion=motion or (),
            motion_head=motion_head,
            motion_sets=motion_sets,
            progress=lambda done, total: bar.update(task, description="rendering", completed=done, total=total or done),
            note=lambda line: bar.update(task, description=line),
        )
    took = f"in {result.elapsed:.2f} s ({result.speed:.1f}x real time)"
    if result.frames:
        out.print(
            f"{target}: {result.duration:.2f} s, {result.frames} frames, {took}"
            f"{', of pre-encoded video' if result.preencoded else ''}"
        )
    for file in result.motion:
        alone = "" if result.frames else f", {took}"
        out.print(f"{file.path}: {result.duration:.2f} s, {file.frames} poses, {file.size / 1000:.1f} kB{alone}")
