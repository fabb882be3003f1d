"""`lipwire bench density`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ...audio import espeak
from ...avatar import DEFAULT
from ...errors import BadState, InvalidArgument
from ..options import AvatarName, Size, err, out, parse_size
from .lanes import BY_NAME, LANES, Lane
from .measure import Build, Measurement, Settings, find_build
from .report import Report

NAMES = ", ".join(lane.name for lane in LANES)


def density(
    paths: Annotated[
        str | None, typer.Option(help=f"Some of the ways only, with commas: {NAMES} (default: all).")
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="Measure another build beside this one: its interpreter, or its working tree (.venv)."),
    ] = None,
    avatar: AvatarName = DEFAULT,
    size: Size = "640x360",
    fps: Annotated[int, typer.Option(help="Pictures a second.", min=1, max=60)] = 25,
    seconds: Annotated[float, typer.Option(help="Of each window in which a number is judged.", min=0.5)] = 6.0,
    limit: Annotated[int, typer.Option(help="Most sessions to try.", min=1)] = Settings().limit,
    at: Annotated[int | None, typer.Option(help="This number alone, once: where the time goes.", min=1)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Shorter windows; rougher.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write all of it into this file, too.")] = None,
) -> None:
    """How many sessions a core carries, by the way that sound and pictures take.

    The server gets one core, its clients and viewers another. Their number is raised until the first picture or sound
    is late, lost or missing, as the server and its clients see it, in two windows of a number. Late is later than one
    picture after another. Windows in which the clients were late themselves are thrown away.
    """
    lanes = choose(paths)
    parse_size(size)
    if not espeak.available():
        raise BadState("the speech is espeak-ng's: pip install 'lipwire[demo]'")
    settings = Settings(
        avatar=avatar, size=size, fps=fps, seconds=min(seconds, 2.0) if quick else seconds,
        settle=1.5 if quick else Settings().settle, limit=limit, at=at,
    )  # fmt: skip
    builds = [find_build("this build")]
    if before is not None:
        builds.insert(0, find_build("before", before))
    report = Report(settings, builds)
    with err.status("") as status, Measurement(settings, status.update) as measurement:
        try:
            for lane, build in order(lanes, builds):
                if not err.is_terminal:  # where there is no line that says what goes on
                    err.print(f"measuring {lane.name}, {build.name}: some minutes", markup=False)
                report.results.append(measurement.run(lane, build))
        finally:  # what there is by then is worth something, too
            status.stop()
            report.preencoded = measurement.preencoded
            report.print(out)
            if json is not None:
                json.write_bytes(msgspec.json.format(msgspec.json.encode(report.to_json())))
    if any(result.failed for result in report.results):
        raise typer.Exit(1)


def choose(paths: str | None) -> list[Lane]:
    """The lanes named. Raises InvalidArgument."""
    if paths is None:
        return list(LANES)
    names = [name.strip() for name in paths.split(",") if name.strip()]
    for name in names:
        if name not in BY_NAME:
            raise InvalidArgument(f"--paths: no {name!r}; there are: {NAMES}")
    return [BY_NAME[name] for name in names]


def order(lanes: list[Lane], builds: list[Build]) -> list[tuple[Lane, Build]]:
    """What to measure: each lane in all builds, one after the other, so that what a machine does meanwhile hits them
    alike; and what the build before has in place of a lane that it lacks."""
    wanted: list[tuple[Lane, Build]] = []
    for lane in lanes:
        for build in builds:
            wanted.append((lane, build))
            if len(builds) > 1 and build is builds[0] and lane.rival and lane.lacks(build.features):
                wanted.append((BY_NAME[lane.rival], build))
    found: list[tuple[Lane, Build]] = []
    for one in wanted:
        if one not in found:
            found.append(one)
    return found
