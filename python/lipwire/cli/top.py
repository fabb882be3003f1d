"""`lipwire top`: how a server, or all nodes of a cluster, do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLContext
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..cluster.placement import UNIT
from ..cluster.view import ClusterView, NodeView, WorkerView
from ..errors import InvalidArgument
from .options import CaFile, out

if TYPE_CHECKING:
    import httpx

SERVER = "http://127.0.0.1:8764"
WAIT = 10.0
"""Seconds that the server has to answer."""
STYLES = {"up": "green", "full": "yellow", "starting": "cyan", "draining": "cyan", "silent": "bold red", "down": "red"}
WARN_SKEW, WARN_LATE, WARN_LAG = 45.0, 0.01, 100.0
"""From here on a figure is in yellow: ms that sound may lead by unnoticed (ITU-R BT.1359), the part of the pictures
that an alert of docs/watching.md is for, and ms."""

ENDLESS = 10_000
"""Columns of a terminal in which every table has room."""

Frames = Mapping[tuple[str, int, int], tuple[int, int]]
"""(node, worker, process id) -> frames and late frames, ever since the process began."""


class Unanswered(InvalidArgument):
    """The server could not be asked; the next time it may."""


def top(
    url: Annotated[str, typer.Option(help="The HTTP side of the server, or of any node.")] = SERVER,
    api_key: Annotated[str, typer.Option(envvar="LIPWIRE_API_KEY", help="The operator's API key.")] = "",
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds from one look to the next.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table; as where the output is no terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the server says, once, as JSON.")] = False,
    ca: CaFile = None,
) -> None:
    """Show how a server does, live: nodes, workers, sessions, CPU, skew, late frames, queues. Ctrl-C ends it."""

    from ..servers.tls import trust

    if not api_key:
        raise InvalidArgument("the server wants the operator's API key: --api-key or LIPWIRE_API_KEY")
    with _client(url, api_key, trust(ca)) as client:
        view = ask(client, url)
        if as_json:
            print(msgspec.json.format(msgspec.json.encode(view), indent=2).decode())
        elif once or not out.is_terminal:
            out.print(shown(view, {}, out))
        else:
            try:
                _watch(client, url, view, interval)
            except KeyboardInterrupt:
                pass


def _client(url: str, api_key: str, tls: SSLContext | bool) -> httpx.Client:
    import httpx

    try:
        return httpx.Client(base_url=url, headers={"x-api-key": api_key}, timeout=WAIT, trust_env=False, verify=tls)
    except (httpx.InvalidURL, ValueError) as exc:
        raise InvalidArgument(f"--url {url}: {exc}") from exc


def ask(client: httpx.Client, url: str) -> ClusterView:
    """What a server says. Raises InvalidArgument, which says what to do; Unanswered: it may answer the next time."""
    import httpx

    where = f"{url.rstrip('/')}/cluster"
    try:
        reply = client.get("cluster")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        text = f"{url} does not answer ({exc or type(exc).__name__}): is it the server's http_port? See --url"
        raise Unanswered(text) from exc
    if reply.status_code == 404:
        raise InvalidArgument(f"there is no {where}: it is no Lipwire, or one before 0.6.0, or this is its pages' port")
    try:
        if reply.status_code == 200:
            return msgspec.json.decode(reply.content, type=ClusterView)
        why = str(reply.json()["message"])
    except (ValueError, KeyError, TypeError) as exc:
        if reply.status_code == 200:
            raise InvalidArgument(f"{where} is not understood ({exc}): are both of one version?") from exc
        why = reply.text[:200]
    kind = InvalidArgument
    if reply.status_code in (429, 502, 503, 504):
        kind = Unanswered
    elif reply.status_code in (401, 403):
        why += "; the operator's key is wanted, LIPWIRE_API_KEY where the server was started"
    raise kind(f"{where} answered {reply.status_code}: {why}")


def _watch(client: httpx.Client, url: str, view: ClusterView, interval: float) -> None:
    before: Frames = {}
    with Live(console=out, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        lost = ""
        while True:
            told = [shown(view, before, out)] + ([Text(lost, style="bold red")] if lost else [])
            live.update(Group(*told), refresh=True)
            time.sleep(interval)
            try:
                before, view, lost = frames(view) if not lost else before, ask(client, url), ""
            except Unanswered as exc:
                lost = f"{exc}. What is shown is old; asking again."


# --------------------------------------------------------------------------------------------------------- the table


def frames(view: ClusterView) -> Frames:
    """The counters of every worker."""
    return {
        (node.name, worker.index, worker.pid): (worker.figures.frames, worker.figures.late)
        for node in view.nodes
        for worker in node.workers
    }


class Row(NamedTuple):
    """One worker, or all of a node."""

    workers: Sequence[WorkerView]
    late: float
    """Part of its pictures that were late, 0..1."""

    def sum(self, name: str) -> float:
        """Of a figure."""
        return sum(float(getattr(worker.figures, name)) for worker in self.workers)

    def most(self, name: str) -> float:
        """Of a figure."""
        return max((float(getattr(worker.figures, name)) for worker in self.workers), default=0.0)


class Column(NamedTuple):
    """A column of figures."""

    name: str
    told: Callable[[Row], str | Text]
    rank: int = 0
    """The higher, the sooner it goes where there is no room."""


def _warned(text: str, warned: bool) -> Text:
    return Text(text, style="yellow" if warned else "")


def _used(row: Row) -> str:
    used, capacity = sum(w.used for w in row.workers), sum(w.capacity for w in row.workers)
    return f"{used / UNIT:.1f}/{capacity / UNIT:g}"


COLUMNS = (
    Column("pid", lambda row: str(row.workers[0].pid) if len(row.workers) == 1 else "", 6),
    Column("sessions", lambda row: f"{row.sum('sessions'):g}"),
    Column("agents", lambda row: f"{row.sum('agents'):g}", 2),
    Column("rooms", lambda row: f"{row.sum('rooms'):g}", 4),
    Column("viewers", lambda row: f"{row.sum('viewers'):g}", 3),
    Column("talking", lambda row: f"{row.sum('talking'):g}", 2),
    Column("used", _used),
    Column("CPU", lambda row: f"{100 * row.sum('cpu'):.0f}%"),
    Column("MiB", lambda row: f"{row.sum('memory_mb'):g}", 2),
    Column("skew", lambda row: _warned(f"{row.most('skew_ms'):.0f} ms", row.most("skew_ms") > WARN_SKEW)),
    Column("late", lambda row: _warned(f"{100 * row.late:.1f}%", row.late > WARN_LATE)),
    Column("lag", lambda row: _warned(f"{row.most('lag_ms'):.0f} ms", row.most("lag_ms") > WARN_LAG), 1),
    Column("buffer", lambda row: f"{row.most('buffered_ms') / 1000:.1f} s", 4),
    Column("queue", lambda row: f"{row.sum('queued'):g}"),
    Column("restarts", lambda row: _restarts(row), 5),
)


def _restarts(row: Row) -> Text:
    count = sum(worker.restarts for worker in row.workers)
    return _warned(str(count), count > 0)


def shown(view: ClusterView, before: Frames, console: Console) -> Group:
    """A cluster as a table, as wide as there is room. `before`: the counters of the look before, which late frames are
    counted from; {} = since each process began."""
    ranks = sorted({column.rank for column in COLUMNS}, reverse=True)
    for most in ranks:
        table = _table(view, before, [column for column in COLUMNS if column.rank <= most])
        if Measurement.get(console, console.options.update(max_width=ENDLESS), table).maximum <= console.width:
            break
    notes = [
        Text(f"{node.name}/{worker.index}: {worker.figures.overloaded}", style="yellow")
        for node in view.nodes
        for worker in node.workers
        if worker.figures.overloaded
    ]
    return Group(table, *notes, Text(summary(view), style="dim"))


def _table(view: ClusterView, before: Frames, columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("node", "state"):
        table.add_column(name, no_wrap=True)
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)

    def add(name: Text, state: str, workers: Sequence[tuple[str, WorkerView]]) -> None:
        row = Row([worker for _, worker in workers], _late(workers, before))
        table.add_row(name, Text(state, style=STYLES[state]), *(column.told(row) for column in columns))

    for node in view.nodes:
        own = [(node.name, worker) for worker in node.workers]
        add(_name(node, view), node.state, own)
        if len(own) > 1:
            for one in own:
                add(Text(f"  {one[1].index}", style="dim"), one[1].state, [one])
    return table


def _name(node: NodeView, view: ClusterView) -> Text:
    name = Text(node.name or "this machine", style="bold")
    if node.seen >= 2 and node.name != view.asked:
        name.append(f" ({node.seen:.0f} s ago)", style="red")
    return name


def _late(workers: Sequence[tuple[str, WorkerView]], before: Frames) -> float:
    made = late = 0
    for node, worker in workers:
        then = before.get((node, worker.index, worker.pid), (0, 0))
        made += max(0, worker.figures.frames - then[0])
        late += max(0, worker.figures.late - then[1])
    return late / (made + late) if made + late else 0.0


def summary(view: ClusterView) -> str:
    """The line below the table."""
    workers = [worker for node in view.nodes for worker in node.workers]
    counts = [(len(view.nodes), "node"), (len(workers), "worker")]
    counts.append((sum(worker.figures.sessions for worker in workers), "session"))
    counts.append((sum(worker.figures.agents for worker in workers), "agent"))
    parts = [f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts]
    parts.append(f"{view.placed} placed, {view.refused} refused by {view.asked or 'this machine'}")
    if view.reserve_ms:
        parts.append(f"a place is found in {view.reserve_ms:.1f} ms")
    if view.nats != "none":
        parts.append(f"NATS {view.nats}")
    return " · ".join(parts)
