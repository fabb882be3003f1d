"""What became of a cluster under load, for people and for programs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.table import Table

from ..density.report import MIB, load, machine
from .calls import Call
from .nodes import Traffic
from .watch import Aftermath, Seen, percentile


class Memory(Struct, kw_only=True):
    """Bytes of all processes of a node."""

    node: str
    before: int
    after: int
    restarted: bool
    """A fault was there, so that they may be other processes."""


class NatsUse(Struct, kw_only=True):
    """What went through NATS, the cluster's own traffic and what the rig asks of it."""

    seconds: float
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    subscriptions: int
    """At the end,"""
    mem: int
    """and bytes of its memory then."""

    @classmethod
    def between(cls, before: Traffic, after: Traffic, seconds: float) -> NatsUse:
        """Two looks at one server."""
        return cls(
            seconds=seconds,
            in_msgs=after.in_msgs - before.in_msgs,
            out_msgs=after.out_msgs - before.out_msgs,
            in_bytes=after.in_bytes - before.in_bytes,
            out_bytes=after.out_bytes - before.out_bytes,
            subscriptions=after.subscriptions,
            mem=after.mem,
        )


class Starts(Struct, kw_only=True):
    """How starts did. Milliseconds; None: there were none."""

    placed: int = 0
    refused: int = 0
    hint: int = 0
    """Refusals with Retry-After."""
    unanswered: int = 0
    """No node gave an answer."""
    failed: int = 0
    """Another status, or no WebSocket."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    worst_ms: float | None = None
    refusal_p50_ms: float | None = None
    refusal_p99_ms: float | None = None
    by_node: dict[str, int] = {}


class Result(Struct, kw_only=True):
    """All of it."""

    network: str
    nodes: int
    workers: int
    seed: int
    starts: Starts = field(default_factory=Starts)
    outcomes: dict[str, int] = {}
    missed: int = 0
    """Calls that did not come, since there were as many as may be."""
    utterances: int = 0
    interrupts: int = 0
    drops: int = 0
    returns: int = 0
    underruns: int = 0
    watched: int = 0
    lost: list[str] = []
    """Sessions that ended though no fault was of their nodes: which, and how."""
    failed: list[str] = []
    """Starts that did."""
    unseen: list[str] = []
    """Sessions that a node did not know, while their calls went on."""
    twins: int = 0
    """Channels that were started at two nodes at once;"""
    doubled: int = 0
    """of these, those that had two sessions 3 s later,"""
    missing: int = 0
    """and those that had none."""
    left_over: int = 0
    """Sessions 10 s after every call had ended; 35 s where one ended so that nobody could stop its session."""
    faults: list[Aftermath] = []
    seen: Seen = field(default_factory=Seen)
    memory: list[Memory] = []
    nats: NatsUse | None = None
    """None: it has been started again, or there is none."""
    left: list[str] = []
    """Processes, namespaces and shared memory that were there behind it."""

    def take(self, calls: Iterable[Call], missed: int) -> None:
        """Counts the calls."""
        ours = [call for call in calls if not call.filler]
        self.outcomes, self.missed = dict(Counter(call.outcome for call in ours)), missed
        placed = [call for call in ours if call.session_id]
        refused = [call for call in ours if call.outcome == "refused"]
        times, refusals = [1000 * call.start for call in placed], [1000 * call.start for call in refused]
        self.starts = Starts(
            placed=len(placed),
            refused=len(refused),
            hint=sum(call.retry_after for call in refused),
            unanswered=self.outcomes.get("unanswered", 0),
            failed=self.outcomes.get("failed", 0),
            p50_ms=percentile(times, 0.5),
            p99_ms=percentile(times, 0.99),
            worst_ms=max(times, default=None),
            refusal_p50_ms=percentile(refusals, 0.5),
            refusal_p99_ms=percentile(refusals, 0.99),
            by_node=dict(sorted(Counter(call.node for call in placed).items())),
        )
        self.utterances = sum(call.utterances for call in ours)
        self.interrupts = sum(call.interrupted for call in ours)
        self.drops, self.returns = sum(call.dropped for call in ours), sum(call.returned for call in ours)
        self.underruns = sum(len(call.underruns) for call in ours)
        self.watched = sum(call.watched for call in ours)
        self.lost = [
            f"{call.session_id} of {call.node}/{call.worker}, call {call.number}: {call.why or call.closed}"
            for call in ours
            if call.outcome == "lost"
        ]
        self.failed = [f"start of call {call.number}: {call.why}" for call in ours if call.outcome == "failed"]

    def wrong(self) -> list[str]:
        """What must not be."""
        found = []
        for count, what in (
            (len(self.lost), "sessions lost whose nodes had no fault"),
            (self.doubled, "channels with two sessions"),
            (self.missing, "channels started twice that have no session"),
            (len(self.unseen), "sessions that a node does not know"),
            (self.left_over, "sessions left when every call had ended"),
            (self.starts.failed, "starts failed"),
            (len(self.left), "things left behind"),
        ):
            if count:
                found.append(f"{count} {what}")
        for after in self.faults:
            if after.noticed:
                found.append(f"{after.noticed} sessions noticed {after.fault}")
            if len(after.reported) < after.asked:
                found.append(f"{after.asked - len(after.reported)} sessions not reported as over after {after.fault}")
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        about: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(),
            "load": load(),
        }
        about |= msgspec.to_builtins(self)
        return about | {"wrong": self.wrong()}

    # ---------------------------------------------------------------------------------------------------- for people

    def print(self, out: Console) -> None:
        """Tables."""
        out.print(f"\n{self.nodes} nodes of {self.workers} workers; {self.network}; seed {self.seed}")
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column()
        for name, text in self._rows():
            table.add_row(name, text)
        out.print(table)
        for after in self.faults:
            out.print(f"\n{after.fault}", style="bold", markup=False)
            for line in describe(after):
                out.print(f"  {line}", markup=False)
        wrong = self.wrong()
        out.print()
        for line in (*self.lost, *self.failed, *self.unseen, *self.left):
            out.print(f"  {line}", markup=False)
        out.print("nothing lost, doubled or left behind" if not wrong else "; ".join(wrong), markup=False)
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        out.print(f"{machine()}; load {load():.1f}; {date}", style="dim")

    def _rows(self) -> list[tuple[str, str]]:
        s, seen = self.starts, self.seen
        places = ", ".join(f"{name} {count}" for name, count in s.by_node.items())
        rows = [
            ("starts", f"{s.placed} placed ({places}), {s.refused} refused ({s.hint} with Retry-After), "
             f"{s.unanswered} without an answer, {s.failed} failed"),
            ("", f"{_ms(s.p50_ms)} (p99 {_ms(s.p99_ms)}, worst {_ms(s.worst_ms)}); "
             f"a refusal {_ms(s.refusal_p50_ms)} (p99 {_ms(s.refusal_p99_ms)})"),
            ("calls", ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))),
            ("", f"{self.utterances} utterances, {self.interrupts} interrupts, {self.drops} connections dropped, "
             f"{self.returns} returned, {self.underruns} underruns; {self.missed} calls had no room here"),
            ("sessions", f"{len(self.lost)} lost, {self.doubled} doubled and {self.missing} missing of {self.twins} "
             f"channels started twice at once, {self.left_over} left over"),
            ("late", f"{seen.late} pictures of sessions whose nodes had no fault, skew {seen.skew_ms:.0f} ms at worst "
             f"({self.watched} were watched); this rig itself {seen.lag_ms:.0f} ms"),
        ]  # fmt: skip
        for one in self.memory:
            again = " (a fault was there)" if one.restarted else ""
            rows.append(
                (f"memory {one.node}", f"{one.before / MIB:.0f} MiB before, {one.after / MIB:.0f} after{again}")
            )
        if (nats := self.nats) is not None:
            text = f"{nats.in_msgs} messages in ({nats.in_bytes} bytes), {nats.out_msgs} out ({nats.out_bytes} bytes) "
            rows.append(("NATS", text + f"in {nats.seconds:.0f} s; {nats.subscriptions} subscriptions now"))
        return rows


def describe(after: Aftermath) -> list[str]:
    """What came of a fault, in lines."""
    lines = []
    if after.died:
        codes = ", ".join(f"{count} with {code}" for code, count in after.codes.items())
        lines.append(
            f"{after.died} calls were there; {len(after.told)} were told{_span(after.told)}{codes and f': {codes}'}"
        )
    if after.asked:
        lines.append(f"GET /session/{{id}} says so of {len(after.reported)} of {after.asked}{_span(after.reported)}")
        if after.words:
            lines.append(f"  {after.words!r}")
    if after.avoided:
        lines.append(f"the last start that went there, or waited for it, came {after.avoided:.2f} s behind it")
    for value, what in (
        (after.known, "until all other nodes call it down"),
        (after.ended, "until its last process had ended"),
        (after.recovered, "until every node knew all others, once NATS was back"),
        (after.started, "until it took starts, once it was back"),
    ):
        if value is not None:
            lines.append(f"{value:.2f} s {what}")
    if after.placed or after.refused:
        lines.append(
            f"starts meanwhile: {after.placed} placed, {after.refused} refused "
            f"({after.hint} with Retry-After, the slowest after {1000 * after.slowest:.0f} ms)"
        )
    if after.noticed is not None:
        lines.append(f"{after.noticed} sessions noticed")
    return lines or ["done"]


def _span(values: list[float]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f" after {high:.2f} s" if len(values) == 1 else f" after {low:.2f} to {high:.2f} s"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
