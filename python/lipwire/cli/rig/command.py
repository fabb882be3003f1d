"""`lipwire bench cluster`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from ...errors import InvalidArgument
from ...servers.listen import raise_descriptor_limit
from ..options import Size, err, out, parse_size, run
from .calls import Habits
from .rig import Plan, Rig
from .script import GRAMMAR, Fault, parse

OWN = frozenset(
    {"host", "http_port", "viewer_port", "ws_port", "workers", "nats", "node", "cluster", "api_key", "session_secret"}
)
"""Settings that the rig gives its nodes itself."""


def cluster(
    nodes: Annotated[int, typer.Option(help="Servers, each as on a machine of its own.", min=1, max=16)] = 3,
    workers: Annotated[int, typer.Option(help="Of each server.", min=1, max=16)] = 2,
    places: Annotated[int, typer.Option(help="Sessions that a worker takes.", min=1, max=1024)] = 20,
    seconds: Annotated[float, typer.Option(help="In which calls come.", min=5, max=3600)] = 30.0,
    rate: Annotated[float, typer.Option(help="Calls a second, on average.", min=0.01, max=100)] = 1.0,
    call_seconds: Annotated[float, typer.Option(help="Of a call, on average.", min=1, max=3600)] = 15.0,
    most: Annotated[int, typer.Option(help="Calls at a time; more do not come.", min=1, max=1000)] = 50,
    watched: Annotated[int, typer.Option(help="Of these, looked at by WebRTC.", min=0, max=50)] = 2,
    size: Size = "640x360",
    fault: Annotated[
        list[str] | None, typer.Option(help="What fails, and when: WHAT:WHOM@SECONDS, as below. As many as you like.")
    ] = None,
    network: Annotated[
        Literal["auto", "namespaces", "loopback"],
        typer.Option(help="Namespaces on a bridge (root), or loopback addresses."),
    ] = "auto",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of all servers, as NAME=VALUE. As many as you like.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is random.", min=0)] = 1,
    scaling: Annotated[
        bool, typer.Option("--scaling", help="Measure another thing: what 1 and 2 workers of half a core each carry.")
    ] = False,
    cores: Annotated[float, typer.Option(help="With --scaling: processors of a worker.", min=0.05, max=1.0)] = 0.5,
    viewers: Annotated[int, typer.Option(help="With --scaling: WebRTC viewers of each session.", min=0, max=4)] = 1,
    json: Annotated[Path | None, typer.Option(help="Write all of it into this file, too.")] = None,
) -> None:
    """A cluster of several servers under calls, and what becomes of them when something fails.

    Starts NATS, servers (`lipwire serve --workers --nats`) and clients on this machine, and ends all of it again. Calls
    come at random, talk and pause, are interrupted, lose their connection and come back, and hang up. The exit code is
    1 where a session was lost whose server had no fault, or one was there twice, or anything was left behind.
    """
    if scaling:
        if fault or settings:
            raise InvalidArgument("--scaling goes without --fault and --set")
        parse_size(size)
        run(_scale(cores, viewers, size, json))
        return
    faults = tuple(parse(text, nodes=nodes, workers=workers, seconds=seconds) for text in fault or ())
    plan = Plan(
        nodes=nodes, workers=workers, places=places, seconds=seconds, seed=seed, faults=faults, network=network,
        habits=Habits(rate=rate, seconds=call_seconds, most=most, watched=watched),
        size=parse_size(size), settings=_settings(settings or ()),
    )  # fmt: skip
    raise_descriptor_limit()
    logging.getLogger("lipwire.client").setLevel(logging.ERROR)  # it would tell of each call whose server has died
    rig = Rig(plan, _note)
    run(_run(rig))
    rig.result.print(out)
    _write(json, rig.result.to_json())
    if rig.result.wrong():
        raise typer.Exit(1)


async def _scale(cores: float, viewers: int, size: str, json: Path | None) -> None:
    from .scaling import measure

    measured = await measure(cores_each=cores, viewers=viewers, size=size, note=_note)
    measured.print(out)
    _write(json, measured.to_json())


def _note(line: str) -> None:
    err.print(line, style="dim", markup=False)


async def _run(rig: Rig) -> None:
    async with rig:
        await rig.run()


def _settings(texts: list[str] | tuple[()]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidArgument(f"--set {text}: write it as NAME=VALUE, say max_late_percent=0")
        if name in OWN:
            raise InvalidArgument(f"--set {text}: the servers of a rig are given {name} by it")
        found[name] = value
    return found


def _write(path: Path | None, what: object) -> None:
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(what)))


EPILOG = "\n\n".join("\b\n" + block for block in GRAMMAR.split("\n\n"))
"""For --help: lines are kept as they are."""

__all__ = ["EPILOG", "Fault", "cluster"]
