"""A client of any avatar provider, as rules need one: it can also do what no well-behaved client does.

`Client` speaks HTTP, and knows which sessions it opened; `Line` is one WebSocket. Whatever a rule needs to go on and
does not get is a `Failed` that says what came.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State

from . import sound
from .target import Target
from .verdict import Failed
from .wirelog import WireLog, shown

ROOM_TRIES = 3
"""How often a session is asked for where the provider says that it has no room at the moment."""
LONGEST_WAIT = 10.0
"""Seconds; of a `Retry-After` at most."""
RECEIVE_LIMIT = 8 << 20
STOP_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
"""Seconds that a provider has to answer a close."""
PLAYBACK = ("playback_started", "playback_finished")
KEY = "\0the target's"
"""Stands for the target's API key where a call may have another, or none."""


class Unreachable(Exception):
    """The provider cannot be reached, or refuses the API key: nothing can be judged."""


class Reply(Struct, frozen=True):
    """An HTTP answer. `body` is the object in it, None where it is no JSON object."""

    status: int
    content_type: str
    text: str
    body: dict[str, Any] | None
    headers: Mapping[str, str]

    def __str__(self) -> str:
        what = self.content_type.partition(";")[0] or "no content type"
        return f"{self.status}, {what}: {shown(self.text) if self.text else 'an empty body'}"

    def problem(self, status: int | tuple[int, ...], code: str | None = None, names: Iterable[str] = ()) -> str | None:
        """What differs from an answer of `status` with an error of `code` whose message names all `names`."""
        statuses = (status,) if isinstance(status, int) else status
        if self.status not in statuses:
            return str(self)
        body = self.body or {}
        if code is not None and body.get("code") != code:
            return f"{self.status}, but code {body.get('code')!r} in place of {code!r}: {shown(self.text)}"
        unnamed = [name for name in names if name not in str(body.get("message"))]
        if unnamed:
            return f"{self.status}, but its message does not name {', '.join(unnamed)}: {shown(self.text)}"
        return None

    def expect(self, status: int | tuple[int, ...], code: str | None = None, names: Iterable[str] = ()) -> Reply:
        """Itself. Raises Failed where there is a `problem`."""
        if (problem := self.problem(status, code, names)) is not None:
            raise Failed(problem)
        return self


class Session(Struct, frozen=True):
    """A session that was started: the reply, and what asked for it."""

    id: str
    address: str
    token: str
    body: dict[str, Any]
    key: str
    """The API key that it was asked for with."""


class Client:
    """One client, for one rule.

    Args:
        target: whom to drive.
        http: shared by all clients of a run.
        abilities: names of the events that the provider was seen to send.
    """

    def __init__(self, target: Target, http: httpx.AsyncClient, abilities: frozenset[str] = frozenset()) -> None:
        self.target = target
        self.abilities = abilities
        self.log = WireLog()
        self._http = http
        self._sessions: dict[str, Session] = {}
        self._lines: list[Line] = []

    @property
    def feedback(self) -> bool:
        """The provider reports playback."""
        return not self.abilities.isdisjoint(PLAYBACK)

    # ------------------------------------------------------------------------------------------------------- HTTP

    def body(self, **changes: Any) -> dict[str, Any]:
        """A complete body of /session/start, for a channel of its own; fields may be changed."""
        target = self.target
        return {
            "avatar_id": target.avatar_id,
            "quality": target.quality,
            "version": "v1",
            "video_encoding": target.video_encoding,
            "activity_idle_timeout": 120,
            "agora_settings": {
                "app_id": target.app_id,
                "token": target.agora_token,
                "channel": target.channel or f"conformance-{secrets.token_hex(6)}",
                "uid": target.uid,
                "enable_string_uid": not target.uid.isdecimal(),
            },
        } | changes

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        """`request`, again after a while where the provider slows its clients, or those that guess keys, down (429)."""
        for _ in range(ROOM_TRIES - 1):
            reply = await self.request(method, path, body, **more)
            if reply.status != 429:
                return reply
            await asyncio.sleep(_pause(reply.headers))
        return await self.request(method, path, body, **more)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        bearer: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request. `body`: an object, raw bytes, or None for none. `key`: what `x-api-key` says, None = not there.

        Raises:
            Failed: there was no answer.
        """
        sent = {"content-type": "application/json"} if body is not None else {}
        if key is not None:
            sent["x-api-key"] = self.target.api_key if key == KEY else key
        if bearer is not None:
            sent["authorization"] = f"Bearer {bearer}"
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        who = "the key" if key == KEY else "no key" if key is None else "another key"
        told = "without a body" if content is None else shown(content) if content else "with an empty body"
        self.log.add(">", f"{method} {path} ({who}{', a bearer token' if bearer else ''}) {told}")
        request = asyncio.ensure_future(
            self._http.request(
                method, self.target.http.rstrip("/") + path, content=content, headers=sent | dict(headers or {})
            )
        )
        try:
            reply = await asyncio.shield(request)
        except httpx.HTTPError as exc:
            self.log.add("-", f"no answer: {exc!r}")
            raise Failed(f"no answer to {method} {path}: {exc or type(exc).__name__}") from exc
        except asyncio.CancelledError:
            # A session that is being started has no id yet by which it could be stopped.
            with contextlib.suppress(httpx.HTTPError):
                self._remember(await request, body, key)
            raise
        self._remember(reply, body, key)
        answer = Reply(
            reply.status_code, reply.headers.get("content-type", ""), reply.text, _object(reply.text), reply.headers
        )
        self.log.add("<", str(answer))
        return answer

    def _remember(self, reply: httpx.Response, asked: Any, key: str | None) -> None:
        """Notes the session that a reply gives, if it gives one."""
        given = _object(reply.text) or {}
        session_id, address, token = (given.get(name) for name in ("session_id", "websocket_address", "session_token"))
        if (
            reply.status_code == 200
            and isinstance(session_id, str)
            and isinstance(address, str)
            and isinstance(token, str)
        ):
            body = asked if isinstance(asked, dict) else self.body()
            self._sessions[session_id] = Session(session_id, address, token, body, key or KEY)

    async def try_start(self, body: dict[str, Any] | None = None, **more: Any) -> Reply:
        """POST /session/start, again after a while where there was no room."""
        body = self.body() if body is None else body
        for attempt in range(ROOM_TRIES):
            reply = await self.call("POST", "/session/start", body, **more)
            if reply.status != 503 or attempt == ROOM_TRIES - 1:
                break
            await asyncio.sleep(_pause(reply.headers))
        return reply

    async def start(self, body: dict[str, Any] | None = None, **changes: Any) -> Session:
        """A session, of this body or of a complete one with `changes`."""
        return self.session(await self.try_start(self.body(**changes) if body is None else body))

    def session(self, reply: Reply) -> Session:
        """The session that a reply of /session/start gave."""
        session = self._sessions.get(str((reply.body or {}).get("session_id"))) if reply.status == 200 else None
        if session is None:
            raise Failed(f"the session that this needs was not started: {reply}")
        return session

    async def stop(self, session: Session, **more: Any) -> Reply:
        """DELETE /session/stop with key, id and token."""
        body = {"session_id": session.id, "session_token": session.token}
        reply = await self.call("DELETE", "/session/stop", body, **more)
        if reply.status == 200:
            self._sessions.pop(session.id, None)
        return reply

    async def close(self) -> None:
        """Stops every session that was opened and may still live, and closes every connection. Raises nothing."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            try:
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self.stop(session, key=session.key)
            except (Failed, TimeoutError):
                continue  # it is over already, or its own timeout ends it
        await asyncio.gather(*(line.close() for line in self._lines))

    # -------------------------------------------------------------------------------------------------- WebSocket

    async def handshake(
        self, session: Session, headers: Mapping[str, str] | None = None, *, url: str | None = None
    ) -> Line | int:
        """Connects with these headers (by default those of `session`): a line, or the status of the refusal. It tries
        again after a while where that is 429."""
        for _ in range(ROOM_TRIES - 1):
            line, pause = await self._handshake(session, headers, url)
            if line != 429:
                return line
            await asyncio.sleep(pause)
        return (await self._handshake(session, headers, url))[0]

    async def _handshake(
        self, session: Session, headers: Mapping[str, str] | None, url: str | None
    ) -> tuple[Line | int, float]:
        url = url or self.target.ws or session.address
        if headers is None:
            headers = {"Authorization": f"Bearer {session.token}"}
        self.log.add(">", f"WebSocket handshake with {', '.join(headers) or 'no Authorization'}: {url}")
        context: dict[str, Any] = {}
        if url.lower().startswith("wss:"):
            context["ssl"] = self.target.context()
        try:
            ws = await connect(
                url,
                additional_headers=dict(headers),
                compression=None,
                max_size=RECEIVE_LIMIT,
                max_queue=None,
                ping_interval=None,
                open_timeout=max(10.0, self.target.patience),
                close_timeout=CLOSE_TIMEOUT,
                proxy=None,
                **context,
            )
        except InvalidStatus as exc:
            status, text = exc.response.status_code, (exc.response.body or b"").decode(errors="replace")
            self.log.add("<", f"refused with {status} {text}")
            return status, _pause(exc.response.headers)
        except (OSError, InvalidHandshake, TimeoutError, ValueError) as exc:
            self.log.add("-", f"no WebSocket: {exc!r}")
            raise Failed(f"no WebSocket at {url}: {exc or type(exc).__name__}") from exc
        self.log.add("<", "101, connected")
        line = Line(self, session, ws)
        self._lines.append(line)
        return line, 0.0

    async def connect(self, session: Session, headers: Mapping[str, str] | None = None, **more: Any) -> Line:
        """A line. Raises Failed where the handshake is refused."""
        line = await self.handshake(session, headers, **more)
        if isinstance(line, int):
            raise Failed(f"the WebSocket handshake was refused with {line}")
        return line

    async def open(self, **changes: Any) -> Line:
        """A new session, connected, with `init` sent."""
        line = await self.connect(await self.start(**changes))
        await line.init()
        return line


class Line:
    """One WebSocket of a session, and what came over it. Answers are read as they come, whether one waits or not."""

    def __init__(self, client: Client, session: Session, ws: ClientConnection) -> None:
        self.client, self.session, self.ws = client, session, ws
        self.events: list[tuple[float, dict[str, Any]]] = []
        """Monotonic seconds of its arrival, and the object."""
        self._news = asyncio.Condition()
        self._over = False
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for frame in self.ws:
                self.client.log.frame("<", frame)
                event = _object(frame)
                async with self._news:
                    self.events.append((time.monotonic(), event if event is not None else {"not JSON": repr(frame)}))
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        self.client.log.add("-", self.ending())
        async with self._news:
            self._over = True
            self._news.notify_all()

    # ------------------------------------------------------------------------------------------------------ sending

    async def send(self, message: Mapping[str, Any] | str | bytes) -> None:
        """One frame: an object as JSON, or text or bytes as they are. A connection that is gone is found by who waits
        for what comes next."""
        frame = json.dumps(message) if isinstance(message, Mapping) else message
        self.client.log.frame(">", message)
        try:
            await self.ws.send(frame)
        except ConnectionClosed:
            self.client.log.add("-", "not sent: the connection is gone")

    async def init(self, **changes: Any) -> None:
        """`init` with the session's body."""
        await self.send({"command": "init", "session_id": self.session.id, **self.session.body} | changes)

    async def voice(
        self, payload: bytes, rate: int = sound.RATE, encoding: str = "PCM16", event_id: str | None = None, **more: Any
    ) -> None:
        """One chunk; without an event_id where there is none."""
        audio = base64.b64encode(payload).decode()
        message = {"command": "voice", "audio": audio, "sampleRate": rate, "encoding": encoding}
        await self.send(message | ({} if event_id is None else {"event_id": event_id}) | more)

    async def end(self, event_id: str | None = None) -> None:
        """`voice_end`; without an event_id where there is none."""
        await self.send({"command": "voice_end"} | ({} if event_id is None else {"event_id": event_id}))

    async def interrupt(self) -> None:
        """`voice_interrupt`."""
        await self.send({"command": "voice_interrupt", "event_id": new_id()})

    async def speak(self, seconds: float, *, ms: float = 100, event_id: str | None = None, end: bool = True) -> str:
        """An utterance as fast as it can be sent, with its `voice_end`; its id."""
        event_id = event_id or new_id()
        for piece in sound.pieces(sound.pcm16(seconds), ms=ms):
            await self.voice(piece, event_id=event_id)
        if end:
            await self.end(event_id)
        return event_id

    # ----------------------------------------------------------------------------------------------------- receiving

    def mark(self) -> int:
        """Where `wait` may begin to look, so that it finds only what comes from now on."""
        return len(self.events)

    def seen(self, command: str, since: int = 0) -> list[dict[str, Any]]:
        """Events of this name that have come."""
        return [event for _, event in self.events[since:] if event.get("command") == command]

    async def several(self, command: str, count: int, since: int = 0, *, within: float) -> list[dict[str, Any]]:
        """The events of this name since a mark, once there are `count` of them, or when `within` seconds are over."""
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: self._over or len(self.seen(command, since)) >= count)
        except TimeoutError:
            pass
        return self.seen(command, since)

    async def wait(
        self,
        command: str,
        since: int = 0,
        *,
        within: float | None = None,
        where: Callable[[dict[str, Any]], bool] = lambda event: True,
    ) -> tuple[float, dict[str, Any]] | None:
        """The first such event at or after a mark, with the time when it came; None where none comes.

        Args:
            within: seconds; by default the target's patience.
        """

        def found() -> tuple[float, dict[str, Any]] | None:
            for at, event in self.events[since:]:
                if event.get("command") == command and where(event):
                    return at, event
            return None

        try:
            async with asyncio.timeout(self.client.target.patience if within is None else within), self._news:
                await self._news.wait_for(lambda: self._over or found() is not None)
        except TimeoutError:
            pass
        return found()

    async def expect(self, command: str, since: int = 0, **more: Any) -> tuple[float, dict[str, Any]]:
        """As `wait`. Raises Failed where nothing comes."""
        found = await self.wait(command, since, **more)
        if found is None:
            raise Failed(f"no {command} came; {self.summary(since)}")
        return found

    def summary(self, since: int = 0) -> str:
        """What came instead, in words."""
        names = [str(event.get("command", event)) for _, event in self.events[since:]]
        told = [self.ending()] if self._over else []
        if names or not told:
            told.append(f"what came: {', '.join(names[:12])}" if names else "nothing came")
        return "; ".join(told)

    # ------------------------------------------------------------------------------------------------------ its end

    @property
    def over(self) -> bool:
        """The connection has ended."""
        return self._over

    @property
    def code(self) -> int | None:
        """The close code that came, 1006 where none did; None while it lives."""
        return self.ws.close_code if self._over else None

    def ending(self) -> str:
        """How it ended, in words."""
        if self.ws.close_code in (None, 1006):
            return "the connection broke off without a close frame (1006)"
        reason = f": {self.ws.close_reason}" if self.ws.close_reason else ""
        return f"the provider closed the connection with {self.ws.close_code}{reason}"

    async def closes(self, within: float | None = None) -> bool:
        """Whether it ends by itself, within the target's patience or so many seconds."""
        try:
            async with asyncio.timeout(self.client.target.patience if within is None else within), self._news:
                await self._news.wait_for(lambda: self._over)
        except TimeoutError:
            return False
        return True

    async def alive(self, after: str = "") -> None:
        """Raises Failed unless the provider still reads this connection, whatever was sent before.

        A heartbeat's acknowledgement shows that all before it was read. Where the provider sends none, the connection
        has to stay open for a moment and to answer a ping.
        """
        what = f"after {after} " if after else ""
        if "heartbeat_ack" in self.client.abilities:
            since = self.mark()
            await self.heartbeat()
            if await self.wait("heartbeat_ack", since) is None:
                raise Failed(what + (self.ending() if self._over else "heartbeats were no longer acknowledged"))
            return
        if await self.closes(self.client.target.settle):
            raise Failed(what + self.ending())
        try:
            async with asyncio.timeout(self.client.target.patience):
                await (await self.ws.ping())
        except TimeoutError:
            raise Failed(f"{what}pings were no longer answered") from None
        except ConnectionClosed:
            raise Failed(what + self.ending()) from None

    async def round_trip(self) -> float:
        """Seconds until the provider has shown that it read all that was sent."""
        began = time.monotonic()
        await self.alive()
        return time.monotonic() - began

    async def heartbeat(self, timestamp: int | None = None) -> dict[str, Any]:
        """Sends one; what was sent."""
        stamp = int(time.time() * 1000) if timestamp is None else timestamp
        message = {"command": "heartbeat", "event_id": new_id(), "timestamp": stamp}
        await self.send(message)
        return message

    async def drop(self) -> None:
        """Cuts the TCP connection, as a lost network does: no close frame."""
        if self.ws.state is not State.CLOSED:  # asyncio fails where a transport that is gone is aborted
            self.ws.transport.abort()
        await self._task

    async def close(self, code: int = 1000) -> None:
        """Closes it as it should be, unless it is over."""
        if self.ws.state is State.OPEN:
            await self.ws.close(code)
        await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
        await self.drop()


def _pause(headers: Mapping[str, str]) -> float:
    """Seconds to wait before the next try: what `Retry-After` says, within bounds."""
    wait = headers.get("retry-after", "")
    return min(float(wait) if wait.isdecimal() else 1.0, LONGEST_WAIT)


def new_id() -> str:
    """An event id, as clients make them."""
    return str(uuid.uuid4())


def _object(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
