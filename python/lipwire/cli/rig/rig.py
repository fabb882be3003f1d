"""A cluster of this machine's, its load, and its faults, from the first process to the last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Struct

from ...errors import BadState, LipwireError
from ...protocol import messages as m
from ...provider.client import request
from . import network as n
from .calls import IDLE, Balancer, Call, Habits, Load
from .nodes import Nats, Node, Traffic
from .processes import adopting, outlive, reap
from .report import Memory, NatsUse, Result
from .script import UNDONE, Fault, Step, steps
from .speech import Script
from .watch import NOT_THERE, Aftermath, Watch

SETTLE = 5.0
"""Seconds after a fault is undone within which its sessions may still end by it."""
TWINS = 3.0
"""Seconds between two channels that are started twice at once, and that the cluster has to end one of the two."""
LEAVE = 10.0
"""Seconds that sessions have to end when every call has; those that nobody knows of have `calls.IDLE` besides."""
FILL = 4
"""Calls at a time that fill a node."""
WATCHED = 60.0
"""Seconds after the last call that is waited for what is being watched."""
LONG = 40
"""Characters of a folder's path, below which the paths of Unix sockets have no room."""
SHM = Path("/dev/shm")


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done."""

    nodes: int = 3
    workers: int = 2
    places: int = 20
    """Sessions that a worker takes."""
    seconds: float = 30.0
    """In which calls come."""
    seed: int = 1
    habits: Habits = Habits()
    faults: tuple[Fault, ...] = ()
    network: str = "auto"
    size: tuple[int, int] = (640, 360)
    settings: dict[str, str] = {}
    """More of every node's."""


class Rig:
    """Use as an async context manager: the nodes are up within, and nothing of it is left behind.

    Args:
        note: called with a line about what is done now.
    """

    def __init__(self, plan: Plan, note: Callable[[str], None] = lambda line: None) -> None:
        self.plan, self._note = plan, note
        self._network = n.choose(plan.network)
        self._stack = contextlib.ExitStack()
        self._chance = random.Random(plan.seed)
        self._key = secrets.token_hex(16)
        self.nodes: list[Node] = []
        self._nats: Nats | None = None
        """None: a single node needs none."""
        self._gone_until: dict[tuple[str, int], float] = {}
        """(node, worker or -1 for all of it) -> until when its sessions may have ended by a fault (monotonic)."""
        self._fillers: dict[Fault, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._memory: list[int] = []
        self._traffic: Traffic | None = None
        self._twins = self._doubled = self._missing = 0
        self._nats_away = False
        self._hanging_up = asyncio.Event()
        self._first = 0.0
        self.result = Result(network=self._network.about, nodes=plan.nodes, workers=plan.workers, seed=plan.seed)

    # ---------------------------------------------------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        self._check()
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def _open(self) -> None:
        plan = self.plan
        self._script = Script()
        self._stack.enter_context(adopting())
        place = None if len(tempfile.gettempdir()) < LONG else "/tmp"
        self._folder = Path(tempfile.mkdtemp(prefix="lipwire-cluster-", dir=place))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._stack.enter_context(self._network)
        self.result.network = self._network.about
        if any(fault.do == "slow" for fault in plan.faults):
            self._try_slow()
        self._note(f"{plan.nodes} nodes of {plan.workers} workers on {self._network.about}")
        if plan.nodes > 1 or any(fault.part == "nats" for fault in plan.faults):
            self._nats = Nats(self._network.place("nats"), self._folder)
            await self._nats.start()
        settings = self._settings()
        for number in range(1, plan.nodes + 1):
            name = f"node{number}"
            own = settings if self._nats is None else settings | {"node": name}
            node = Node(name, self._network.place(name), self._folder, own, self._key)
            self.nodes.append(node)
        await asyncio.gather(*(node.start() for node in self.nodes))
        self._balancer = Balancer(self.nodes, random.Random(f"{plan.seed}/balancer"))
        self._load = Load(
            self._balancer, self._key, self._script, plan.habits,
            place=self._place, gone=self._gone, size=plan.size, seed=plan.seed,
        )  # fmt: skip
        self._watch = Watch(self.nodes, self._load, self._balancer)
        if self._nats is not None and await self._watch.whole(plan.nodes) is None:
            raise BadState(f"the nodes do not find each other; node1 said: {self.nodes[0].process.last_words()}")
        self._memory = [node.memory() for node in self.nodes]
        self._traffic = None if self._nats is None else await self._nats.traffic()

    def _check(self) -> None:
        """Raises BadState: a fault needs what there is not."""
        for fault in self.plan.faults:
            if fault.do in ("cut", "slow") and not self._network.cuts:
                raise BadState(f"--fault {fault.name} needs network namespaces; there are {self._network.about}")

    def _try_slow(self) -> None:
        """Raises BadState: this kernel cannot."""
        self._network.place("node1")
        try:
            self._network.slow("node1", next(f.how for f in self.plan.faults if f.do == "slow"))
        except BadState as exc:
            raise BadState(f"--fault slow: this kernel has no netem ({exc})") from exc
        self._network.heal("node1")

    def _settings(self) -> dict[str, object]:
        plan = self.plan
        found = {} if self._nats is None else {"nats": self._nats.url, "cluster": f"rig{plan.seed}"}
        return (
            found
            | {
                "workers": plan.workers,
                "session_secret": secrets.token_hex(32),
                "max_sessions": plan.places,
                "max_viewers_per_address": 0,
                "joins_a_minute": 0,
                "address_request_rate": 0,
                "key_request_rate": 1_000_000,
                "max_connections_per_address": 1_000_000,
                "drain_seconds": 1,
                "agora": "off",
                "preencoded": "off",
                "log_level": "warning",
            }
            | plan.settings
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends everything, whatever there is. Safe to call twice; it goes on though its caller is cancelled."""
        await _to_its_end(self._close())

    async def _close(self) -> None:
        if self.nodes:
            self._note("ending everything")
        tasks = [*self._tasks, *self._fillers.values()]
        self._tasks.clear()
        self._fillers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if hasattr(self, "_load"):
            await self._load.break_off()
            await self._balancer.end()
        left = await asyncio.gather(*(node.close() for node in self.nodes), return_exceptions=True)
        for found in left:
            self.result.left += [str(found)] if isinstance(found, BaseException) else found
        pids = {pid for node in self.nodes for pid in node.process.pids}
        self.nodes = []
        if self._nats is not None:
            self.result.left += await self._nats.process.close()
        self._stack.close()
        self.result.left += [f"/dev/shm/{name}" for pid in pids for name in _rings(pid)]
        if self._network.cuts:
            self.result.left += n.left(os.getpid())

    # ----------------------------------------------------------------------------------------------------------- run

    async def run(self) -> Result:
        """Calls and faults; what came of them."""
        plan = self.plan
        self._first = time.monotonic()
        self._tasks = [
            asyncio.create_task(self._balancer.watch()),
            asyncio.create_task(self._watch.sessions()),
            asyncio.create_task(self._start_twins()),
        ]
        self._note(f"calls come for {plan.seconds:g} s")
        followed: list[asyncio.Task[None]] = []
        calls = asyncio.create_task(self._load.run(plan.seconds))
        self._tasks.append(calls)
        try:
            afters: dict[Fault, Aftermath] = {}
            for step in steps(plan.faults):
                await asyncio.sleep(max(0.0, self._first + step.at - time.monotonic()))
                self._note(("undoing " if step.undo else "") + step.fault.name)
                after = afters.get(step.fault)
                if after is None:
                    after = afters[step.fault] = Aftermath(fault=step.fault.name, at=step.fault.at)
                    self.result.faults.append(after)
                follow = await self._do(step, after)
                followed.append(asyncio.create_task(follow))
                self._tasks.append(followed[-1])
            await calls
            if followed:
                await asyncio.wait(followed, timeout=WATCHED)
            for task in followed:
                if task.done() and not task.cancelled():
                    task.result()
        finally:
            for filler in self._fillers.values():
                filler.cancel()
        self._note("hanging up")
        await self._checkpoint()
        await self._load.hang_up()
        await self._count()
        return self.result

    def _place(self, url: str) -> tuple[str, int]:
        """Node and worker of a `websocket_address`."""
        parts = urlsplit(url)
        for node in self.nodes:
            if node.place.address == parts.hostname:
                return node.name, (parts.port or 0) - node.place.ports[2]
        return "", -1

    def _gone(self, call: Call) -> bool:
        """Whether its session may have ended by a fault."""
        return any(call.began <= self._gone_until.get((call.node, worker), -1.0) for worker in (-1, call.worker))

    def _named(self, fault: Fault) -> Node:
        return self.nodes[fault.node - 1]

    # --------------------------------------------------------------------------------------------------------- faults

    async def _do(self, step: Step, after: Aftermath) -> Any:
        """Does it at once; a coroutine that follows what comes of it."""
        fault = step.fault
        do = UNDONE.get(fault.do, "again") if step.undo else fault.do
        if fault.part == "nats":
            return await self._do_nats(fault, do, after)
        if do in ("full", "free"):
            return await self._fill(fault, do, after)
        if fault.part == "worker" and do == "kill":
            return await self._kill_worker(fault, after)
        return await self._do_node(fault, do, after)

    async def _do_node(self, fault: Fault, do: str, after: Aftermath) -> Any:
        node, process = self._named(fault), self._named(fault).process
        if do in ("thaw", "heal", "again"):
            return self._back(fault, do, after)
        worker = fault.worker if fault.part == "worker" else -1
        calls = [c for c in self._load.live if c.node == node.name and worker in (-1, c.worker)]
        frozen = (await node.workers())[worker] if worker >= 0 else None
        now = time.monotonic()
        if do == "slow":
            self._network.slow(node.name, fault.how)
            return _nothing()
        self._watch.troubled.add((node.name, worker))
        self._gone_until[node.name, worker] = float("inf")
        if worker < 0:
            node.since = now
        kin = process.look()
        match do:
            case "kill":
                process.signal(signal.SIGKILL, alone=fault.part == "front")
            case "end" | "restart":
                process.signal(signal.SIGTERM, alone=True)
            case "freeze":
                if frozen is not None:
                    frozen.signal(signal.SIGSTOP)
                else:
                    process.signal(signal.SIGSTOP, alone=fault.part == "front")
            case "cut":
                self._network.cut(node.name)

        async def follow() -> None:
            name = node.name if worker < 0 else f"{node.name}/{worker}"
            over = do in ("kill", "end", "restart") or fault.lasts is None
            watching = [self._watch.dead(after, now, calls, name, over=over)]
            if do in ("kill", "end", "restart"):
                watching.append(self._ended(after, now, kin))
            await asyncio.gather(*watching)
            self._watch.avoided(after, now, time.monotonic(), node.name, None if worker < 0 else worker)

        return follow()

    async def _ended(self, after: Aftermath, since: float, kin: list[Any]) -> None:
        left = await outlive(kin, 20.0)
        after.ended = time.monotonic() - since
        self.result.left += [f"process {pid} after {after.fault}" for pid in left]

    async def _back(self, fault: Fault, do: str, after: Aftermath) -> None:
        """A node is let go, or started again."""
        node, now = self._named(fault), time.monotonic()
        if do == "thaw":
            node.process.signal(signal.SIGCONT)
        elif do == "heal":
            self._network.heal(node.name)
        else:
            await node.process.ended(15.0)
            await node.start()
        if await self._watch.up(node) is not None:
            after.started = time.monotonic() - now
        node.since = None
        for key in [key for key in self._gone_until if key[0] == node.name]:
            self._gone_until[key] = time.monotonic() + SETTLE

    async def _kill_worker(self, fault: Fault, after: Aftermath) -> Any:
        node, worker = self._named(fault), fault.worker
        victim = (await node.workers())[worker]
        calls = [call for call in self._load.live if (call.node, call.worker) == (node.name, worker)]
        now = time.monotonic()
        self._watch.troubled.add((node.name, worker))
        self._gone_until[node.name, worker] = now
        victim.signal(signal.SIGKILL)

        async def again() -> None:
            while time.monotonic() - now < 60:
                with contextlib.suppress(httpx.HTTPError, msgspec.DecodeError):
                    found = (await node.workers()).get(worker)
                    view = await node.view()
                    own = next(one for one in view.nodes if one.name == view.asked).workers[worker]
                    if found is not None and found.pid != victim.pid and own.state in ("up", "full"):
                        after.started = time.monotonic() - now
                        return
                await asyncio.sleep(0.05)

        async def follow() -> None:
            await asyncio.gather(
                self._watch.dead(after, now, calls, f"{node.name}/{worker}", over=True),
                self._ended(after, now, [victim]),
                again(),
            )
            since = now + (after.started or 60)
            after.avoided = max(
                (c.began - now for c in self._load.calls if now <= c.began < since and c.start > 1.0), default=0.0
            )

        return follow()

    async def _do_nats(self, fault: Fault, do: str, after: Aftermath) -> Any:
        nats, now = self._nats, time.monotonic()
        assert nats is not None
        if do in ("thaw", "heal", "again"):
            if do == "thaw":
                nats.process.signal(signal.SIGCONT)
            elif do == "heal":
                self._network.heal("nats")
            else:
                await nats.process.ended(15.0)
                await nats.start()
            return self._nats_back(fault, after)
        self._nats_away = True
        nats.since = now
        if do in ("kill", "end", "restart"):
            self._traffic = None  # it will begin to count anew
        match do:
            case "kill":
                nats.process.signal(signal.SIGKILL)
            case "end" | "restart":
                nats.process.signal(signal.SIGTERM)
            case "freeze":
                nats.process.signal(signal.SIGSTOP)
            case "cut":
                self._network.cut("nats")
            case "slow":
                self._nats_away = False
                self._network.slow("nats", fault.how)
        return self._nats_gone(fault, after, now) if fault.lasts is None and do != "restart" else _nothing()

    async def _nats_gone(self, fault: Fault, after: Aftermath, since: float) -> None:
        """To the end of the calls."""
        await asyncio.sleep(max(0.0, self._first + self.plan.seconds - time.monotonic()))
        self._about_nats(fault, after, since)

    async def _nats_back(self, fault: Fault, after: Aftermath) -> None:
        assert self._nats is not None
        since, now = self._nats.since or time.monotonic(), time.monotonic()
        count = sum(node.since is None for node in self.nodes)
        if await self._watch.whole(count) is not None:
            after.recovered = time.monotonic() - now
        self._about_nats(fault, after, since)
        self._nats.since = None
        self._nats_away = False

    def _about_nats(self, fault: Fault, after: Aftermath, since: float) -> None:
        now = time.monotonic()
        self._watch.starts(after, since, now)
        after.noticed = self._watch.noticed(since, now, self.plan.faults)

    async def _fill(self, fault: Fault, do: str, after: Aftermath) -> Any:
        if do == "free":
            found = [one for one in self._fillers if one.whom == fault.whom]
            for one in found:
                self._fillers.pop(one).cancel()
            return self._freed(after)
        now = time.monotonic()
        self._fillers[fault] = asyncio.create_task(self._keep_full(fault))
        end = now + fault.lasts if fault.lasts is not None else self._first + self.plan.seconds

        async def follow() -> None:
            await asyncio.sleep(max(0.0, end - time.monotonic()))
            self._watch.starts(after, now, end)
            name = f"node{fault.node}"
            into = [c for c in self._load.calls if not c.filler and c.node == name and now <= c.began < end]
            after.avoided = max((call.began - now for call in into), default=0.0) if fault.node else 0.0

        return follow()

    async def _freed(self, after: Aftermath) -> None:
        """Starts find places again."""
        began = time.monotonic()
        while time.monotonic() - began < 20:
            call = self._load.begin(filler=True)
            while call.outcome == "live" and not call.session_id:
                await asyncio.sleep(0.02)
            if call.session_id:
                after.started = time.monotonic() - began
                await self._load.go(call)
                return
            await asyncio.sleep(0.1)

    async def _keep_full(self, fault: Fault) -> None:
        """Takes every place of a node, or of all, until it is cancelled; then all are free again."""
        held: list[Call] = []
        try:
            while True:
                if fault.node and await self._is_full(fault):
                    await asyncio.sleep(0.1)
                    continue
                wave = [self._load.begin(filler=True) for _ in range(FILL)]
                while any(call.outcome == "live" and not call.session_id for call in wave):
                    await asyncio.sleep(0.02)
                strangers = [call for call in wave if fault.node and call.node != f"node{fault.node}"]
                await asyncio.gather(*map(self._load.go, strangers))
                held += [call for call in wave if call.session_id and call not in strangers]
                if any(call.outcome == "refused" for call in wave):
                    await asyncio.sleep(0.3)
        finally:
            await asyncio.gather(*map(self._load.go, (*held, *(c for c in self._load.live if c.filler))))

    async def _is_full(self, fault: Fault) -> bool:
        try:
            view = await self._named(fault).view()
        except (httpx.HTTPError, msgspec.DecodeError):
            return False
        return any(node.name == view.asked and node.state == "full" for node in view.nodes)

    # ---------------------------------------------------------------------------------------------------------- counts

    async def _start_twins(self) -> None:
        """Now and then one channel is started at two nodes at once: one session is to be there in the end."""
        while len(self.nodes) > 1:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hanging_up.wait(), TWINS)
                return
            if self._nats_away or self._fillers or any(node.since is not None for node in self.nodes):
                continue
            with contextlib.suppress(httpx.HTTPError, LipwireError, ValueError):
                await self._twin()

    async def _twin(self) -> None:
        channel, nodes = f"twin-{self._twins}", self._chance.sample(self.nodes, 2)
        body = m.encode(request(channel, width=self.plan.size[0], height=self.plan.size[1], activity_idle_timeout=8))
        headers = {"content-type": "application/json"}
        replies = await asyncio.gather(
            *(node.http.post("/session/start", content=body, headers=headers) for node in nodes)
        )
        ids = [reply.json()["session_id"] for reply in replies if reply.status_code == 200]
        if len(ids) < 2:  # there was no room
            return

        async def alive() -> list[str]:
            told = await asyncio.gather(*(nodes[0].session(one) for one in ids))
            return [one for one, (status, _) in zip(ids, told, strict=True) if status == 200]

        until, living = time.monotonic() + TWINS, await alive()
        while len(living) > 1 and time.monotonic() < until:
            await asyncio.sleep(0.1)
            living = await alive()
        troubled = self._nats_away or any(node.since is not None for node in self.nodes)
        if not troubled:
            self._twins += 1
            self._doubled += len(living) > 1
            self._missing += not living
        for one in ids:
            await nodes[0].http.request("DELETE", "/session/stop", json={"session_id": one})

    async def _checkpoint(self) -> None:
        """While calls are there: every session of theirs is at one node, and answers."""
        self._hanging_up.set()
        await asyncio.wait({self._tasks[2]}, timeout=30)  # the last twins are stopped as well
        if self._nats_away:
            return
        for call in self._load.live:
            if call.filler or self._gone(call):
                continue
            for node in self._watch.living:
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    status, _ = await node.session(call.session_id)
                    if status in NOT_THERE and call.outcome == "live":
                        self.result.unseen.append(f"{call.session_id} of {call.node} at {node.name}: {status}")

    async def _count(self) -> None:
        result, load = self.result, self._load
        result.take(load.calls, load.missed)
        result.twins, result.doubled, result.missing = self._twins, self._doubled, self._missing
        result.seen = self._watch.seen
        if self._nats is not None and self._traffic is not None and self._nats.since is None:
            result.nats = NatsUse.between(self._traffic, await self._nats.traffic(), time.monotonic() - self._first)
        living = self._watch.living
        orphans = any(call.outcome in ("unanswered", "died", "broken off") for call in load.calls)
        until = time.monotonic() + (IDLE + LEAVE if orphans else LEAVE)
        while True:
            figures = await asyncio.gather(*(node.figures() for node in living), return_exceptions=True)
            told = [one for one in figures if not isinstance(one, BaseException)]
            result.left_over = sum(one.sessions for one in told)
            if not result.left_over or time.monotonic() > until:
                break
            await asyncio.sleep(0.2)
        result.memory = [
            Memory(
                node=node.name,
                before=before,
                after=node.memory(),
                restarted=any(name == node.name for name, _ in self._watch.troubled),
            )
            for node, before in zip(self.nodes, self._memory, strict=True)
            if node.since is None
        ]
        for node in self.nodes:
            reap(node.process.kin)


def _rings(pid: int) -> list[str]:
    """Shared memory that a process has named (share.h)."""
    return [path.name for path in SHM.glob(f"lipwire-{pid}-*")]


async def _nothing() -> None:
    """There is nothing to follow."""


async def _to_its_end(job: Any) -> None:
    """Waits for it, though whoever waits is cancelled meanwhile, even several times."""
    task = asyncio.ensure_future(job)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
