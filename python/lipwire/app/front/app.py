"""The front's ASGI app, one for each of the two ports that a server has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from litestar import MediaType, Request, Response
from litestar.types import Receive, Send
from prometheus_client import CollectorRegistry, generate_latest

from ...agents.errors import AgentNotFound
from ...cluster.ledger import Gone as Past
from ...cluster.placement import Key, Need, Place, Placement
from ...cluster.view import ClusterView, NodeView, State
from ...errors import LipwireError
from ...logs import sampled
from ...protocol.agent_bodies import AgentReply
from ...provider.authority import ASKING_FROM
from ...provider.quotas import Remembered
from ...provider.sessions import ProviderError
from ...servers.access import count_requests
from ...servers.allowlist import Allowlist
from ...servers.errors import (
    AnyRequest,
    agent_refused,
    on_control_exception,
    on_exception,
    on_process_exception,
)
from ...servers.guard import Guard, refuse
from ...servers.order import HEADER as ORDER
from ..config import Config
from . import bodies, hop
from .asking import Reception, Who
from .figures import Reserving, merge_texts
from .lists import Part, merge
from .relay import Body, Gone, ask, give, headers_of, may_repeat, pass_socket, target_of, while_there
from .routes import KIND, STARTS, Found, Table
from .upstream import Answer, Headers, Lost, Upstream

logger = sampled("lipwire.front")
T = TypeVar("T")

RETRY = 1.0
"""Seconds to ask again after, where a worker died: the next one is there by then."""
FULL_RETRY = 5.0
"""The same where there is no room."""
KNOWN = 65_536
"""Ids that are remembered of what answers have named, with where that is."""
WAITS = (0.02, 0.05, 0.1, 0.2)
"""Seconds before a place is looked for again that is lost."""
LIST_WAIT = 3.0
"""Seconds that a worker has to say its part of a list, or its figures."""
PAGE = 20
"""Agents on a page where nobody says."""
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


class Crew(Protocol):
    """The workers of this machine (`cluster.pool`)."""

    @property
    def state(self) -> State: ...
    @property
    def live(self) -> list[int]:
        """Those that answer."""
        ...

    def paths(self, worker: int) -> tuple[str, str]:
        """The Unix sockets of what stands on `http_port`, and of the pages."""
        ...

    def why(self, key: Key) -> Past | None:
        """What is remembered of a session or an agent whose worker died."""
        ...

    def view(self) -> NodeView: ...


class Nodes(Protocol):
    """The other machines."""

    def urls(self, node: str) -> tuple[str, str] | None:
        """Where its front process is reached: what stands on `http_port`, and the pages. None = it is not known."""
        ...

    @property
    def names(self) -> list[str]:
        """Of those that live."""
        ...

    def doubt(self, node: str) -> None:
        """It did not answer, or does not know what it had: is it there?"""

    async def view(self) -> ClusterView: ...


class Desk:
    """What both ports share: who asks, where things are, and the ways there.

    Args:
        config: the settings. secret: signs tokens, and what nodes say to each other.
        node: the name of this machine. nodes: the others; None = there are none.
    """

    def __init__(
        self,
        config: Config,
        crew: Crew,
        placement: Placement,
        reception: Reception,
        *,
        secret: str,
        node: str = "",
        nodes: Nodes | None = None,
    ) -> None:
        self.config, self.crew, self.placement, self.reception = config, crew, placement, reception
        self.secret, self.node, self.nodes = secret, node, nodes
        self.reserving = Reserving()
        self.registry = CollectorRegistry()
        self._known: Remembered[Key, Place] = Remembered(KNOWN)
        self._upstreams: dict[tuple[str, bool], Upstream] = {}
        self._running: set[asyncio.Task[Any]] = set()

    def upstream(self, place: Place, *, pages: bool) -> Upstream:
        """The way to a place. Raises Lost: there is none any more."""
        path = url = ""
        if place.node:
            urls = None if self.nodes is None else self.nodes.urls(place.node)
            if urls is None:
                raise Lost(f"node {place.node} is gone", sent=False)
            url = urls[pages]
        else:
            path = self.crew.paths(place.worker)[pages]
        key = (path or url, pages)
        if key not in self._upstreams:
            self._upstreams[key] = Upstream(path=path, url=url)
        return self._upstreams[key]

    async def find(self, key: Key) -> Place | None:
        """Where something is; what an answer has just named is known before its worker has told of it.

        Raises:
            LipwireError: it was on a machine that is gone.
            TimeoutError: whether it is anywhere cannot be known now.
        """
        try:
            found = await self.placement.find(key)
        except TimeoutError:
            known = self._known.get(key)
            if known is None or (known.node and (self.nodes is None or known.node not in self.nodes.names)):
                raise
            return known
        if found is not None or self.crew.why(key) is not None:
            return found
        known = self._known.get(key)
        if known is None or not known.node or self.nodes is None:
            return known
        if self.nodes.urls(known.node) is not None:
            self.nodes.doubt(known.node)
            return known
        if key.kind in ("session", "agent", "peer"):
            raise _vanished(key, known.node)
        return None

    def learn(self, keys: Sequence[Key], place: Place) -> None:
        """An answer from there has named these."""
        for key in keys:
            self._known.put(key, msgspec.structs.replace(place, ticket=""))

    def confirm(self, place: Place, kind: str, named: tuple[Key, ...]) -> None:
        """It runs there now; its answer has named these. Keys that it was reserved with it has had since then."""
        self.learn(named, place)
        if place.ticket:
            self.placement.confirm(place, tuple(key for key in named if key.kind == kind))

    def cancel(self, place: Place) -> None:
        """It does not, after all."""
        if place.ticket:
            self.placement.cancel(place)

    def any_worker(self, path: str, lost: Place | None = None) -> Place:
        """`lost`: rather not that one. Raises Lost: there is none."""
        live = self.crew.live
        if lost is not None and not lost.node:
            live = [worker for worker in live if worker != lost.worker] or live
        if not live:
            raise Lost("no worker is up", sent=False)
        return Place(node="", worker=bodies.choose(live, path), ticket="")

    async def reserve(self, need: Need) -> Place | None:
        """A place, and how long that took. Raises LipwireError: a quota is used up."""
        began, place = time.perf_counter(), None
        try:
            place = await self.placement.reserve(need)
        finally:
            self.reserving.note(time.perf_counter() - began, place is not None)
        return place

    def finish(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Has something done to its end, whatever becomes of who waits for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # who waited for it has it, or is gone

    async def close(self) -> None:
        """Ends what is under way, and all connections."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(one.close() for one in self._upstreams.values()))


class Front:
    """The app of one port.

    Args:
        desk: what it shares with the other port's. pages: whether it is `viewer_port`'s.
        allowlist: the names of this server, and the pages that may call it.
    """

    def __init__(self, desk: Desk, table: Table, allowlist: Allowlist, *, pages: bool) -> None:
        self._desk, self._table, self._pages = desk, table, pages
        count = count_requests(desk.reception.authority, desk.config.address_request_rate)
        self._guarded = Guard(self._outside, allowlist, [count])
        """What comes from clients."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        said = next((value for name, value in scope["headers"] if name == hop.HEADER), None)
        method = scope.get("method", "WEBSOCKET")
        passed = None
        if said is not None:
            passed = hop.check(said, self._desk.secret, method, target_of(scope).decode("latin-1"))
        if passed is None:
            await self._guarded(scope, receive, send)
        else:
            ASKING_FROM.set(passed.address)
            await self._serve(scope, receive, send, passed)

    async def _outside(self, scope: Any, receive: Receive, send: Send) -> None:
        """What has a node's header that does not hold is not taken for a client's request: all nodes would be asked
        for their parts of a list again, and ask back."""
        if self._desk.nodes is not None and any(name == hop.HEADER for name, _ in scope["headers"]):
            found = self._table.find(scope.get("method", "WEBSOCKET"), scope["path"])
            await self._refuse(scope, found, ProviderError("NOT_ALLOWED", hop.WRONG), send)
            return
        await self._serve(scope, receive, send, None)

    async def _serve(self, scope: Any, receive: Receive, send: Any, passed: hop.Hop | None) -> None:
        method = scope.get("method", "WEBSOCKET")
        found = self._table.find(method, scope["path"])
        try:
            who = self._desk.reception.who(scope, found) if passed is None else Who(passed.owner)
            if scope["type"] == "websocket":
                await self._socket(scope, receive, send, found, who, passed)
            else:
                await self._http(scope, receive, send, found, who, passed)
        except Gone:
            pass
        except LipwireError as exc:
            await self._refuse(scope, found, exc, send)
        except Lost as exc:
            logger.warning("%s %s: %s", method, scope["path"], exc)
            await self._refuse(scope, found, _lost(exc), send)

    async def _refuse(self, scope: Any, found: Found, exc: LipwireError, send: Any) -> None:
        if scope["type"] == "websocket":
            error = exc if isinstance(exc, ProviderError) else ProviderError("NO_CAPACITY", str(exc))
            await refuse(scope, error, send)
            return
        request: AnyRequest = Request(scope)
        if found.where == "page agent":
            response = agent_refused(exc)
        elif found.shape == "C":
            response = on_control_exception(request, exc)
        elif found.shape == "D":
            response = on_process_exception(request, exc)
        else:
            response = on_exception(request, exc)
        await _answer(send, response)

    # ------------------------------------------------------------------------------------------------------ one request

    async def _http(
        self, scope: Any, receive: Receive, send: Send, found: Found, who: Who, passed: hop.Hop | None
    ) -> None:
        desk, body = self._desk, Body(receive)
        match found.where:
            case "health":
                await self._health(scope, send)
            case "metrics":
                await self._metrics(send)
            case "cluster":
                desk.reception.check_operator(scope, pages=self._pages)
                await _answer(send, Response(await self._view(), media_type=MediaType.JSON))
            case "sessions" | "agents" | "rooms":
                await self._list(scope, receive, send, found, who, passed)
            case _:
                if found.where.startswith("enter"):
                    desk.reception.count_join(who)
                data = await body.read()
                if passed is not None and found.where in STARTS:
                    await self._pass(scope, receive, send, found, who, body, _here(passed))
                elif found.where in STARTS and body.whole:
                    await self._start(scope, receive, send, found, who, body, data)
                else:
                    place = None if passed is None else _here(passed)
                    await self._to_owner(scope, receive, send, found, who, body, data, place)

    async def _to_owner(
        self,
        scope: Any,
        receive: Receive,
        send: Send,
        found: Found,
        who: Who,
        body: Body,
        data: bytes,
        place: Place | None,
    ) -> None:
        """What is about something goes where that is, or to `place`. Who is lost there is looked for once more."""
        key = bodies.key_of(found, who, data, self._desk.secret)
        if place is None:
            place = await self._where(scope, send, found, who, key)
        if place is None:
            return
        try:
            await self._pass(scope, receive, send, found, who, body, place)
        except Lost as exc:
            if not may_repeat(scope, body, exc):
                raise
            logger.warning("%s %s: %s; once more", scope["method"], scope["path"], exc)
            again = await self._where(scope, send, found, who, key, lost=place)
            if again is not None:
                await self._pass(scope, receive, send, found, who, body, again)

    async def _where(
        self, scope: Any, send: Send, found: Found, who: Who, key: Key | None, lost: Place | None = None
    ) -> Place | None:
        """Where a request goes; None = it has been told that what it is about died. `lost`: that place did not
        answer."""
        desk, place = self._desk, None
        if key is not None:
            place = await (_found(desk.find(key)) if lost is None else self._found_again(key, lost))
        past = None if place is not None or key is None else desk.crew.why(key)
        if past is not None and await self._tell_past(scope, send, found, who, past):
            return None
        return place or desk.any_worker(scope["path"] if found.where == "any" else "", lost)

    async def _found_again(self, key: Key, lost: Place) -> Place | None:
        """A worker's connections break a moment before it is known that it has died."""
        desk = self._desk
        for wait in WAITS:
            place = await _found(desk.find(key))
            if place is None or (place.node, place.worker) != (lost.node, lost.worker) or place.node:
                return place
            if place.worker not in desk.crew.live:
                return None
            await asyncio.sleep(wait)
        return place

    async def _start(
        self, scope: Any, receive: Receive, send: Send, found: Found, who: Who, body: Body, data: bytes
    ) -> None:
        """What needs a place gets one, and keeps it if the worker says yes."""
        desk = self._desk
        need = bodies.need_of(found, who, data, scope["path"], desk.config)
        if need is None:
            await self._pass(scope, receive, send, found, who, body, desk.any_worker(""))
            return
        for wait in (*WAITS, None):
            place = await desk.reserve(need)
            if place is None:
                raise self._full()
            try:
                return await self._pass(scope, receive, send, found, who, body, place)
            except Lost as exc:
                if exc.sent or wait is None or not body.whole:
                    raise
                logger.warning("%s %s: %s; placed once more", scope["method"], scope["path"], exc)
                await asyncio.sleep(wait)  # until it is known that its worker, or its node, is no place any more

    def _full(self) -> ProviderError:
        crew = self._desk.crew
        if crew.state == "draining":
            return ProviderError("NO_CAPACITY", "The server is shutting down", retry_after=FULL_RETRY)
        if crew.state == "starting" or any(worker.state == "starting" for worker in crew.view().workers):
            return ProviderError("NO_CAPACITY", "The workers of this server are starting", retry_after=RETRY)
        return ProviderError("NO_CAPACITY", "Every worker of this server is full", retry_after=FULL_RETRY)

    async def _pass(
        self,
        scope: Any,
        receive: Receive,
        send: Send,
        found: Found,
        who: Who,
        body: Body,
        place: Place,
    ) -> None:
        """Passes a request on, and its answer back. What starts something is done to its end, even if the client is
        gone: only the answer tells whether it keeps its place."""
        if not body.whole:
            self._desk.cancel(place)
            await self._relay(scope, send, body, place, who)
            return
        try:
            await self._pass_whole(scope, receive, send, found, who, body, place)
        except Lost:
            if place.node and self._desk.nodes is not None:
                self._desk.nodes.doubt(place.node)
            raise

    async def _pass_whole(
        self, scope: Any, receive: Receive, send: Send, found: Found, who: Who, body: Body, place: Place
    ) -> None:
        starts = found.where in STARTS or found.where == "enter session"
        begun = self._desk.finish(self._begin(scope, found, who, body, place)) if starts else None
        with while_there(receive):
            if begun is None:
                await self._relay(scope, send, body, place, who)
            else:
                answer, whole = await asyncio.shield(begun)
                await _send(send, answer.status, answer.headers, whole)

    async def _relay(self, scope: Any, send: Send, body: Body, place: Place, who: Who) -> None:
        upstream = self._desk.upstream(place, pages=self._pages)
        async with await ask(upstream, scope, body, self._hop(scope, place, who)) as answer:
            await give(answer, send)

    async def _begin(self, scope: Any, found: Found, who: Who, body: Body, place: Place) -> tuple[Answer, bytes]:
        """Has something begun, and knows it before the client does."""
        desk = self._desk
        named: tuple[Key, ...] | None = None
        try:
            upstream = desk.upstream(place, pages=self._pages)
            async with await ask(upstream, scope, body, self._hop(scope, place, who)) as answer:
                whole = await answer.read()
            if 200 <= answer.status < 300:
                named = bodies.keys_in(found, who, answer, whole)
        finally:
            if named is None:
                desk.cancel(place)
            else:
                desk.confirm(place, KIND[found.where], named)
        return answer, whole

    def _hop(self, scope: Any, place: Place, who: Who) -> Headers:
        """For another node."""
        if not place.node:
            return []
        said = hop.Hop(
            node=self._desk.node,
            address=ASKING_FROM.get(),
            owner=who.owner,
            worker=place.worker,
            ticket=place.ticket,
        )
        method, target = scope.get("method", "WEBSOCKET"), target_of(scope).decode("latin-1")
        return [(hop.HEADER, hop.sign(said, self._desk.secret, method, target))]

    async def _socket(
        self, scope: Any, receive: Receive, send: Any, found: Found, who: Who, passed: hop.Hop | None
    ) -> None:
        desk = self._desk
        if passed is not None:
            place = _here(passed)
        else:
            if found.where.startswith("listen"):
                desk.reception.count_join(who)
            key = bodies.key_of(found, who, b"", desk.secret)
            try:
                there = None if key is None else await _found(desk.find(key))
            except Lost:
                if found.where != "listen room":
                    raise
                there = None  # one that cannot be found is opened here, as other starts are
            if there is None and found.where == "listen room":
                need = bodies.need_of(found, who, b"", scope["path"], desk.config)
                if need is not None and (there := await desk.reserve(need)) is None:
                    raise self._full()
            place = there or desk.any_worker("")
        accepted = False

        def accept() -> None:
            nonlocal accepted
            accepted = True
            desk.confirm(place, "room", ())

        try:
            upstream = desk.upstream(place, pages=self._pages)
            await pass_socket(upstream, scope, receive, send, self._hop(scope, place, who), accept)
        finally:
            if not accepted:
                desk.cancel(place)

    # -------------------------------------------------------------------------------------------- what the front says

    async def _tell_past(self, scope: Any, send: Send, found: Found, who: Who, past: Past) -> bool:
        """Says why something is gone whose worker died, to who may know; False: that is a worker's to refuse."""
        theirs = who.owner is not None and past.owner == who.owner
        theirs |= past.key.kind == "session" and who.session == past.key.id
        if scope["method"] != "GET" or not theirs or not found.known:
            return False
        if past.key.kind == "session":
            raise ProviderError("SESSION_NOT_FOUND", f"Session not found or already terminated: {past.reason}")
        if found.shape != "C" or scope["path"].rstrip("/").endswith(("/history", "/turns")):
            return False
        reply = msgspec.convert(past.told, AgentReply, strict=False)
        if who.scope is not None and reply.channel != who.scope:
            return False
        if not past.over:
            v1 = "/v1/" in scope["path"]
            reply.state, reply.status = ("FAILED", None) if v1 else (None, "FAILED")
            reply.message, reply.stop_ts = past.reason, past_at(past)
        await _answer(send, Response(reply, media_type=MediaType.JSON))
        return True

    async def _health(self, scope: Any, send: Send) -> None:
        state = self._desk.crew.state
        node = self._desk.crew.view()
        body = {
            "status": "ok" if state == "up" else state,
            "sessions": sum(worker.figures.sessions for worker in node.workers),
            "workers": len(self._desk.crew.live),
        }
        live = b"live" in scope.get("query_string", b"").split(b"&")
        await _answer(send, Response(body, status_code=200 if live or state == "up" else 503))

    async def _view(self) -> ClusterView:
        desk = self._desk
        if desk.nodes is not None:
            return await desk.nodes.view()
        r = desk.reserving
        return ClusterView(
            nodes=[desk.crew.view()], asked=desk.node, placed=r.placed, refused=r.refused, reserve_ms=r.median_ms
        )

    async def _metrics(self, send: Send) -> None:
        desk = self._desk
        node = {"node": desk.node} if desk.node else {}
        live = desk.crew.live

        async def text(worker: int) -> tuple[dict[str, str], str]:
            upstream = desk.upstream(Place(node="", worker=worker, ticket=""), pages=False)
            async with await upstream.request("GET", b"/metrics", [], timeout=LIST_WAIT) as answer:
                return {"worker": str(worker)} | node, (await answer.read()).decode()

        told = await asyncio.gather(*map(text, live), return_exceptions=True)
        texts = [one for one in told if not isinstance(one, BaseException)]
        own = generate_latest(desk.registry).decode()
        merged = merge_texts([*texts, (node, own)])
        await _send(send, 200, [(b"content-type", _PROMETHEUS)], merged.encode())

    # ----------------------------------------------------------------------------------------------------------- lists

    async def _list(
        self, scope: Any, receive: Receive, send: Send, found: Found, who: Who, passed: hop.Hop | None
    ) -> None:
        """All workers' lists as one; where one refuses, it says it for all."""
        desk = self._desk
        places = [Place(node="", worker=worker, ticket="") for worker in desk.crew.live]
        if passed is None and desk.nodes is not None:
            places += [Place(node=name, worker=-1, ticket="") for name in desk.nodes.names]
        if not places:
            raise Lost("no worker is up", sent=False)
        with while_there(receive):
            told = await asyncio.gather(*(self._part(scope, place, who) for place in places), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException) and not isinstance(one, Lost):
                raise one
        parts = [one for one in told if not isinstance(one, BaseException)]
        if not parts:
            raise Lost("no worker answered", sent=True)
        if (refused := next((part for part in parts if part.status != 200), None)) is not None:
            await _send(send, refused.status, refused.headers, refused.body)
            return
        said = bodies.asked_for(scope["query_string"], "limit")
        merged = merge(found.where, parts, int(said) if said.isdecimal() else PAGE)
        headers = [(n, v) for n, v in parts[0].headers if n not in (ORDER, b"content-length", b"date")]
        if passed is not None:
            headers.append((ORDER, ",".join(map(str, merged.order)).encode()))
        await _send(send, 200, headers, merged.body)

    async def _part(self, scope: Any, place: Place, who: Who) -> Part:
        upstream = self._desk.upstream(place, pages=self._pages)
        headers = [*headers_of(scope), (ORDER, b"1"), *self._hop(scope, place, who)]
        async with await upstream.request("GET", target_of(scope), headers, timeout=LIST_WAIT) as answer:
            return Part(answer.status, answer.headers, await answer.read())


def _here(passed: hop.Hop) -> Place:
    """The place on this machine that another node's front process means. A reservation is named after both sides."""
    return Place(node="", worker=passed.worker, ticket=passed.ticket.partition(":")[0])


def past_at(past: Past) -> int:
    """When it ended, Unix seconds, of a time by the monotonic clock."""
    return int(time.time() - (time.monotonic() - past.at))


def _vanished(key: Key, node: str) -> LipwireError:
    why = f"the machine that ran it ({node}) is gone"
    if key.kind == "agent":
        return AgentNotFound(f"agent {key.id} has ended: {why}")
    return ProviderError("SESSION_NOT_FOUND", f"Session not found or already terminated: {why}")


def _lost(exc: Lost) -> ProviderError:
    if exc.sent:
        return ProviderError("WORKER_LOST", "The worker that had this request gave no answer to it", retry_after=RETRY)
    return ProviderError("NO_CAPACITY", "No worker can take this request now", retry_after=RETRY)


async def _found(finding: Awaitable[Place | None]) -> Place | None:
    try:
        return await finding
    except TimeoutError as exc:
        raise Lost("the node that has it does not answer", sent=False) from exc


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [(name, value) for name, value in headers if name not in (b"content-length", b"date")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _answer(send: Send, response: Response[Any]) -> None:
    headers = [(name.lower().encode(), str(value).encode()) for name, value in response.headers.items()]
    headers.append((b"content-type", b"application/json"))
    await _send(send, response.status_code or 200, headers, msgspec.json.encode(response.content))


async def live(receive: Any, send: Any) -> None:
    """uvicorn's lifespan: there is nothing to do at its start or end."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
