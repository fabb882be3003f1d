"""`lipwire bench lipsync`: from flags to sets and systems, and from a report to screen and files."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lipwire.audio import espeak as voice
from lipwire.errors import BadData, InvalidArgument

from . import bench, picture, sets, spoken, systems
from .conditions import CONDITIONS

WIDTH = 110


@dataclass(frozen=True)
class Request:
    """The flags; see `lipwire bench lipsync --help`."""

    sets: tuple[Path, ...] = ()
    final: bool = False
    systems: tuple[str, ...] = ()
    conditions: str = bench.CLEAN
    limit: int | None = None
    seed: int = 0
    peers: Path | None = None
    install_peers: bool = False
    rhubarb: Path | None = None
    cherry: Path | None = None
    json_file: Path | None = None
    picture: Path | None = None
    utterance: str | None = None


def parse_conditions(text: str) -> list[str]:
    if text == "all":
        return list(CONDITIONS)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in CONDITIONS:
            raise InvalidArgument(f"--conditions: no {name!r}; there are: all, {', '.join(CONDITIONS)}")
    return names


def load_sets(request: Request, notes: Console) -> list[sets.LabelledSet]:
    """The sets asked for; else those that espeak-ng makes, and those in the cache, final ones only on request.

    Raises:
        BadData: a set is not as it should be, or there is none.
    """
    found: list[sets.LabelledSet] = []
    if request.sets:
        found = [sets.read(folder) for folder in request.sets]
    else:
        if voice.available():
            found = [spoken.espeak_set(languages, seed=request.seed) for languages in spoken.DEFAULT_SETS]
        else:
            notes.print("skipped: sets that espeak-ng makes: pip install 'lipwire[demo]'", markup=False)
        for folder in sets.installed():
            if request.final or sets.read_about(folder).split == "dev":
                found.append(sets.read(folder))
    if not found:
        raise BadData("there is no labelled set: name one by --set, or pip install 'lipwire[demo]'")
    names = [s.about.name for s in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadData(f"two sets are called {', '.join(twice)}")
    return [dataclasses.replace(s, utterances=s.utterances[: request.limit]) for s in found]


def find_systems(request: Request, notes: Console) -> tuple[list[systems.System], dict[str, str]]:
    """Those that are here, and why the others are not."""
    for name in request.systems:
        if name not in systems.NAMES:
            raise InvalidArgument(f"--system: no {name!r}; there are: {', '.join(systems.NAMES)}")
    peers = request.peers or systems.peers_folder()
    if request.install_peers:
        notes.print(f"installing {', '.join(systems.NPM_PACKAGES.values())} into {peers}", markup=False)
        systems.install_peers(peers)
    found: list[systems.System] = []
    skipped: dict[str, str] = {}
    for name in request.systems or systems.NAMES:
        try:
            found.append(systems.find(name, peers, request.rhubarb, request.cherry))
        except systems.Missing as missing:
            skipped[name] = str(missing)
            notes.print(f"skipped: {name}: {missing}", markup=False, soft_wrap=True)
    if not found:
        raise InvalidArgument("none of the systems asked for is here")
    return found, skipped


def find_utterance(name: str | None, labelled: list[sets.LabelledSet]) -> tuple[int, int]:
    """`SET/NAME` -> indices. Raises InvalidArgument: there is none."""
    if name is None:
        return 0, 0
    for a, s in enumerate(labelled):
        for b, u in enumerate(s.utterances):
            if f"{s.about.name}/{u.name}" == name:
                return a, b
    example = f"{labelled[0].about.name}/{labelled[0].utterances[0].name}"
    raise InvalidArgument(f"--utterance: no {name!r}; write it as SET/NAME, say {example}")


def run_lipsync(request: Request, out: Console, notes: Console, bar: Progress) -> None:
    """Tables to `out`, what was skipped to `notes`, files as asked.

    Raises:
        BadData: a set is not as it should be. InvalidArgument: a flag is not. BadState: Pillow, or a peer, fails.
    """
    conditions = parse_conditions(request.conditions)
    for path in (request.json_file, request.picture):  # better now than after minutes of work
        if path and not path.parent.is_dir():
            raise InvalidArgument(f"there is no folder {path.parent} to write {path.name} into")
    if request.picture:
        picture.check()
    found, skipped = find_systems(request, notes)
    labelled = load_sets(request, notes)
    sample = find_utterance(request.utterance, labelled) if request.picture else None
    runs = len({bench.CLEAN, *conditions}) * len(found) + len(bench.closure_rates(found))
    with bar:
        task = bar.add_task("starting", total=runs * sum(len(s.utterances) for s in labelled))
        report, drawn = bench.run(
            labelled,
            found,
            conditions,
            skipped=skipped,
            sample=sample,
            progress=lambda what, done: bar.update(task, description=what, advance=done),
        )
    # A pipe has 80 columns, which would cut figures off.
    wide = out if out.width >= WIDTH else Console(file=out.file, width=WIDTH, highlight=False)
    for table in bench.tables(report):
        wide.print(table)
        wide.print()
    wide.print(bench.LEGEND, markup=False)
    if request.json_file:
        request.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if request.picture and drawn:
        picture.draw(drawn, request.picture)
        out.print(f"drawn: {request.picture}", markup=False)


def lipsync(
    sets: Annotated[
        list[Path] | None,
        typer.Option("--set", help="Folder of a labelled set, repeatable (default: made by espeak-ng, and installed)."),
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Installed final sets, too: for when you are done.")] = False,
    systems: Annotated[
        list[str] | None, typer.Option("--system", help="Only this one, repeatable (default: what is found).")
    ] = None,
    conditions: Annotated[str, typer.Option(help="Comma-separated names, or all; clean is always there.")] = "clean",
    limit: Annotated[int | None, typer.Option(min=1, help="Utterances of each set, at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sets that espeak-ng makes.")] = 0,
    peers: Annotated[Path | None, typer.Option(help="Folder of npm peers (default: in the user's cache).")] = None,
    install_peers: Annotated[
        bool, typer.Option("--install-peers", help="First install the npm peers into that folder.")
    ] = False,
    rhubarb: Annotated[Path | None, typer.Option(help="Rhubarb's executable (default: on PATH).")] = None,
    cherry: Annotated[Path | None, typer.Option(help="Cherry's, cherrylipsync (default: on PATH).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw one utterance into this PNG.")] = None,
    utterance: Annotated[
        str | None, typer.Option(help="SET/NAME of the utterance to draw (default: the first).")
    ] = None,
) -> None:
    """Score lip-sync systems on labelled speech: right mouths, closed lips, silence, flicker, delay, speed.

    Sets are folders of NAME.wav (16 kHz mono PCM16) with NAME.lab ("start end phone" lines) and set.json;
    docs/lipsync.md describes them, the figures and the method. Nothing is downloaded but by --install-peers.
    """
    err = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} utterances"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    request = Request(
        sets=tuple(sets or ()),
        final=final,
        systems=tuple(systems or ()),
        conditions=conditions,
        limit=limit,
        seed=seed,
        peers=peers,
        install_peers=install_peers,
        rhubarb=rhubarb,
        cherry=cherry,
        json_file=json_file,
        picture=picture,
        utterance=utterance,
    )
    try:
        run_lipsync(request, Console(highlight=False), err, bar)
    except BadData as exc:
        err.print("error:", style="bold red", end=" ")
        err.print(str(exc), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
