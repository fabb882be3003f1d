"""Faults as they are written down: WHAT:WHOM[=HOW]@SECONDS[+SECONDS]."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from ...errors import InvalidArgument

Do = Literal["kill", "end", "restart", "freeze", "thaw", "cut", "slow", "heal", "full", "free"]
Part = Literal["node", "front", "worker", "nats", "all"]

GRAMMAR = """\
A fault is WHAT:WHOM@SECONDS, or WHAT:WHOM@SECONDS+SECONDS where it is undone after that time:

  kill:node2@10        SIGKILL to node 2 and its workers, as if the machine had died; +5: started again after 5 s
  kill:node2/1@10      to its worker 1 alone; kill:node2/front@10 to its front process alone; kill:nats@10 to NATS
  end:node2@10         SIGTERM: it drains
  restart:nats@10+2    SIGTERM, and started again after 2 s (default: at once)
  freeze:node2@10+4    SIGSTOP to all of it, and SIGCONT after 4 s; also node2/1, node2/front, nats. thaw:WHOM@SECONDS
  cut:node2@10+4       its network is down; also nats. heal:WHOM@SECONDS
  slow:node2=80ms,2%@5 each packet, both ways, takes 80 ms longer, and 2 % are lost; also nats. heal:WHOM@SECONDS
  full:node2@10+5      all its places are taken; full:all@10 those of all nodes. free:WHOM@SECONDS

Seconds count from the first call. cut and slow need root."""

WHOM: dict[Do, frozenset[Part]] = {
    "kill": frozenset({"node", "front", "worker", "nats"}),
    "end": frozenset({"node", "nats"}),
    "restart": frozenset({"node", "nats"}),
    "freeze": frozenset({"node", "front", "worker", "nats"}),
    "thaw": frozenset({"node", "front", "worker", "nats"}),
    "cut": frozenset({"node", "nats"}),
    "slow": frozenset({"node", "nats"}),
    "heal": frozenset({"node", "nats"}),
    "full": frozenset({"node", "all"}),
    "free": frozenset({"node", "all"}),
}
"""What can be done to whom."""
UNDONE: dict[Do, Do] = {"freeze": "thaw", "cut": "heal", "slow": "heal", "full": "free"}
"""What undoes it. What is killed or ended is started again."""
_FAULT = re.compile(
    r"(?P<do>[a-z]+):(?P<whom>nats|all|node(?P<node>[1-9]\d?)(?:/(?P<part>front|\d{1,2}))?)"
    r"(?:=(?P<how>[^@]+))?@(?P<at>\d{1,5}(?:\.\d+)?)(?:\+(?P<lasts>\d{1,5}(?:\.\d+)?))?"
)
_HOW = re.compile(r"(?:(?P<ms>\d{1,5})ms)?,?(?:(?P<loss>\d{1,2}(?:\.\d+)?)%)?")


class Slowness(Struct, frozen=True):
    """What becomes of packets, each way."""

    ms: int = 0
    loss: float = 0.0
    """Per cent."""


class Fault(Struct, frozen=True, kw_only=True):
    """One of them."""

    do: Do
    part: Part
    node: int = 0
    """From 1; 0: none."""
    worker: int = -1
    at: float
    """Seconds from the first call."""
    lasts: float | None = None
    how: Slowness = Slowness()

    @property
    def whom(self) -> str:
        """As it is written."""
        if self.part in ("nats", "all"):
            return self.part
        suffix = {"front": "/front", "worker": f"/{self.worker}"}.get(self.part, "")
        return f"node{self.node}{suffix}"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.do}:{self.whom}@{self.at:g}" + ("" if self.lasts is None else f"+{self.lasts:g}")

    @property
    def over(self) -> float:
        """When it is undone, or has been done."""
        return self.at + (self.lasts or 0.0)


def parse(text: str, *, nodes: int, workers: int, seconds: float) -> Fault:
    """One fault.

    Args:
        nodes, workers: how many there are, workers of each node. seconds: how long the calls go on.

    Raises:
        InvalidArgument: it is none; the message says what is wrong with it.
    """

    def wrong(why: str) -> InvalidArgument:
        return InvalidArgument(f"--fault {text}: {why}")

    match = _FAULT.fullmatch(text.strip())
    if match is None:
        raise wrong("write it as WHAT:WHOM@SECONDS, say kill:node2@10 (lipwire bench cluster --help)")
    do, node, part = match["do"], int(match["node"] or 0), match["part"]
    if do not in WHOM:
        raise wrong(f"there is no {do!r}; there are {', '.join(WHOM)}")
    kind: Part = "nats" if match["whom"] == "nats" else "all" if match["whom"] == "all" else "node"
    if part is not None:
        kind = "front" if part == "front" else "worker"
    if kind not in WHOM[do]:
        raise wrong(f"{do} is for {', '.join(sorted(WHOM[do]))}")
    if node > nodes:
        raise wrong(f"there are {nodes} nodes")
    worker = int(part) if kind == "worker" else -1
    if worker >= workers:
        raise wrong(f"a node has {workers} workers, numbered from 0")
    at, lasts = float(match["at"]), None if match["lasts"] is None else float(match["lasts"])
    if at + (lasts or 0.0) > seconds:
        raise wrong(f"the calls go on for {seconds:g} s")
    if lasts is not None and do in ("thaw", "heal", "free"):
        raise wrong(f"{do} is not undone")
    if lasts is not None and do == "kill" and kind in ("front", "worker"):
        raise wrong("a worker is started again by its front process, and that not at all")
    how = _slowness(match["how"] or "") if do == "slow" else Slowness()
    if how is None:
        raise wrong("say how: slow:node2=80ms@5, slow:node2=2%@5 or slow:node2=80ms,2%@5")
    if do != "slow" and match["how"] is not None:
        raise wrong(f"{do} takes no '='")
    return Fault(do=do, part=kind, node=node, worker=worker, at=at, lasts=lasts, how=how)


def _slowness(text: str) -> Slowness | None:
    match = _HOW.fullmatch(text)
    if match is None or (match["ms"] is None and match["loss"] is None):
        return None
    return Slowness(int(match["ms"] or 0), float(match["loss"] or 0.0))


class Step(Struct, frozen=True):
    """What is to be done at one moment."""

    at: float
    fault: Fault
    undo: bool = False


def steps(faults: Iterable[Fault]) -> list[Step]:
    """All that is to be done, in order."""
    found = []
    for fault in faults:
        found.append(Step(fault.at, fault))
        if fault.lasts is not None or fault.do == "restart":
            found.append(Step(fault.over, fault, undo=True))
    return sorted(found, key=lambda step: (step.at, step.undo))
