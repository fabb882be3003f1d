"""A small avatar provider of its own, right in every point, and wrong in those that are switched on.

It shares no code with Lipwire's server: its HTTP is a loop over a stream, its playback a clock. `SLOPPY` and `SUBTLE`
name its faults, each with what it is; a test says which rules of the conformance kit each of them breaks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

import jwt
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from lipwire import opus

KEY, OTHER_KEY = "key-of-one", "key-of-another"
SECRET = "0123456789abcdef0123456789abcdef"
LATE = 3.0
GRACE, END_AFTER = 0.3, 1.0
"""Seconds in which audio after `voice_end` belongs to the utterance; without audio after which an utterance ends."""

SLOPPY = {
    "accept then close": "bad tokens pass the handshake and are closed then",
    "500 on bad JSON": "the parser's error is nobody's",
    "ignores interrupts": "what is queued plays on",
    "dies of unknown commands": "closes with 1011",
    "loses late audio": "after voice_end nothing is taken",
    "no heartbeat_ack": "heartbeats are read and forgotten",
    "closes on bad base64": "closes with 1011",
    "dies of binary frames": "closes with 1003",
    "dies of broken JSON": "closes with 1007",
    "messages of 1 MiB": "the library's default",
    "no OPUS": "an error for every packet",
    "page for an unknown path": "the framework's own 404",
    "names one missing field": "the first",
    "closed list of keys": "an unknown key is a 400",
    "no CORS": "OPTIONS is an unknown path",
    "stop wants the token": "though the API key is there",
    "stop knows no bearer": "only the API key",
    "stop asks nobody": "no credentials, and it is stopped",
    "nothing is said": "errors are swallowed",
    "channel in use": "409 to its own owner",
    "no idle timeout": "sessions stay",
    "1 MiB of body": "no limit for HTTP bodies",
}
SUBTLE = {
    "expired tokens": "exp is not looked at",
    "alg none": "unsigned tokens are taken",
    "position of what was queued": "an interrupted utterance counts what it was given",
    "init again restarts": "what is queued is gone",
    "Authorization has a case": "the header is compared as written",
    "x-api-key has a case": "the same, over HTTP",
    "400 for unknown sessions": "as if the request were wrong",
    "a drop ends the session": "the connection is the session",
    "second voice_end kills": "closes with 1011",
    "second voice_end counts": "playback_finished comes twice",
    "any token stops": "the bearer's session is not compared",
    "PCM8 as PCM16": "two bytes are a sample",
    "one rate": "sampleRate is not looked at",
    "acknowledges with its own clock": "heartbeat_ack has the server's timestamp",
    "interrupt drops one": "only the utterance that plays",
    "an utterance for each id": "event_id alone decides",
    "heartbeats are no activity": "only speech is",
    "0 is at once": "activity_idle_timeout 0 ends the session",
    "two mouths": "the older connection stays",
    "the replaced one lives": "a new session leaves the old one alone",
    "stop leaves the connection": "the WebSocket stays open",
    "stop is a fault": "closes with 1011",
    "as fast as it comes": "playback takes no time",
    "too large is an error": "an event in place of 1009",
    "half a sample kills": "closes with 1011",
    "event_id is lost": "playback events have none",
    "first init only": "a second init is not acknowledged",
    "other sessions' init": "session_id is not compared",
    "body before key": "the JSON is checked first",
    "ids that count": "session_id is 1, 2, 3",
    "ended is unknown": "401 where 404 says more",
    "one path": "another path than / is refused",
    "token wanted": "agora_settings.token may not be null",
    "another owner's channel": "whoever has a key replaces the session",
    "grants what it has": "egress is video, whatever was asked",
    "restarts after a drop": "queued speech is gone with the connection",
    "waits for everything": "plays when voice_end has come",
    "starts late": "three seconds after the first speech",
    "tells of interrupts late": "three seconds after them",
    "acknowledges late": "a heartbeat's answer takes three seconds",
}
RULES = ("avatar_id", "quality", "version", "video_encoding", "agora_settings")
NESTED = ("app_id", "channel", "uid", "enable_string_uid")
CODES = {
    "VALIDATION_ERROR": (400, "Invalid request"),
    "INVALID_JSON": (400, "Invalid request"),
    "INVALID_API_KEY": (401, "Unauthorized"),
    "MISSING_API_KEY": (403, "Forbidden"),
    "SESSION_NOT_FOUND": (404, "Not found"),
    "ENDPOINT_NOT_FOUND": (404, "Not found"),
    "CHANNEL_IN_USE": (409, "Conflict"),
    "BODY_TOO_LARGE": (413, "Payload too large"),
}


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Utterance:
    event_id: str | None
    seconds: float = 0.0
    one_id: bool = True
    last: float = 0.0
    ended: float | None = None
    started: float | None = None

    def over_at(self, *, at_once: bool) -> float:
        """When it is over, if nothing more comes. `at_once`: playing takes no time."""
        assert self.started is not None
        if at_once and self.ended is not None:
            return self.started
        dry = self.started + self.seconds
        return max(dry, self.last) + END_AFTER if self.ended is None else max(dry, self.ended + GRACE)


@dataclass
class Session:
    id: str
    key: str
    channel: tuple[str, ...]
    idle: float
    faults: frozenset[str]
    line: ServerConnection | None = None
    lines: list[ServerConnection] = field(default_factory=list)
    active: float = field(default_factory=time.monotonic)
    queue: deque[Utterance] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    last_end: str | None = ""
    initialized: bool = False
    over: bool = False

    def __post_init__(self) -> None:
        self.player = asyncio.create_task(self.play())

    async def tell(self, command: str, **fields: Any) -> None:
        if command.startswith("playback_") and "event_id is lost" in self.faults:
            fields["event_id"] = None
        if self.line is not None:
            with contextlib.suppress(ConnectionClosed):
                await self.line.send(json.dumps({"command": command, **fields}))

    def voice(self, seconds: float, event_id: str | None) -> None:
        now = time.monotonic()
        current = self.queue[-1] if self.queue else None
        if current is not None and current.ended is not None:
            if "loses late audio" in self.faults and event_id == current.event_id:
                return
            if now > current.ended + GRACE or (current.one_id and event_id not in (None, current.event_id)):
                current = None
        if current is not None and "an utterance for each id" in self.faults and event_id != current.event_id:
            current.ended, current = now, None
        if current is None:
            current = Utterance(event_id)
            self.queue.append(current)
        current.one_id &= event_id == current.event_id
        current.seconds += seconds
        current.last = now
        self.wake.set()

    async def end(self, event_id: str | None) -> None:
        doubled, self.last_end = event_id is not None and event_id == self.last_end, event_id
        if doubled and "second voice_end kills" in self.faults:
            raise RuntimeError("ended twice")
        if doubled and "second voice_end counts" in self.faults:
            await self.tell("playback_finished", event_id=event_id, position_ms=300.0, interrupted=False)
        if self.queue and self.queue[-1].ended is None:
            self.queue[-1].ended = time.monotonic()
            self.wake.set()

    async def play(self) -> None:
        while True:
            while not self.queue or ("waits for everything" in self.faults and self.queue[0].ended is None):
                self.wake.clear()
                await self.wake.wait()
            now = self.queue[0]
            if "starts late" in self.faults:
                await asyncio.sleep(LATE)
            now.started = time.monotonic()
            await self.tell("playback_started", event_id=now.event_id)
            at_once = "as fast as it comes" in self.faults
            while (left := now.over_at(at_once=at_once) - time.monotonic()) > 0:
                self.wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):  # wait_for of Python 3.11 can swallow a cancellation
                        await self.wake.wait()
            self.queue.popleft()
            await self.tell(
                "playback_finished", event_id=now.event_id, position_ms=now.seconds * 1000, interrupted=False
            )

    async def interrupt(self) -> None:
        if not self.queue or "ignores interrupts" in self.faults:
            return
        now = self.queue.popleft()
        if "interrupt drops one" not in self.faults:
            self.queue.clear()
        played = 0.0 if now.started is None else min(time.monotonic() - now.started, now.seconds)
        if "position of what was queued" in self.faults:
            played = now.seconds
        self.restart()
        if "tells of interrupts late" in self.faults:
            await asyncio.sleep(LATE)
        if now.started is not None:
            await self.tell("playback_finished", event_id=now.event_id, position_ms=played * 1000, interrupted=True)

    def clear(self) -> None:
        self.queue.clear()
        self.restart()

    def restart(self) -> None:
        self.player.cancel()
        if not self.over:
            self.player = asyncio.create_task(self.play())


class FlawedProvider:
    """Serves on free ports of 127.0.0.1 while it is open. `faults`: names from `SLOPPY` and `SUBTLE`."""

    def __init__(self, *faults: str) -> None:
        unknown = set(faults) - SLOPPY.keys() - SUBTLE.keys()
        assert not unknown, unknown
        self.faults = frozenset(faults)
        self.sessions: dict[str, Session] = {}
        self.ended: set[str] = set()
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._http = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=4 << 20)
        self.http = f"http://127.0.0.1:{self._http.sockets[0].getsockname()[1]}"
        limit = None if "too large is an error" in self.faults else 4 << 20
        self._ws: Server = await serve(
            self._talk,
            "127.0.0.1",
            0,
            process_request=self._check,
            compression=None,
            max_size=1 << 20 if "messages of 1 MiB" in self.faults else limit,
            close_timeout=1,
        )
        self.ws = f"ws://127.0.0.1:{next(iter(self._ws.sockets)).getsockname()[1]}"
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *what: object) -> None:
        self._sweeper.cancel()
        for session in list(self.sessions.values()):
            await self.stop(session)
        self._ws.close()
        await self._ws.wait_closed()
        self._http.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(self._sweeper, *self.tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------------- HTTP

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(_find(headers, "content-length") or 0))
                status, reply = await self._answer(method, path, headers, body)
                html = isinstance(reply, str)
                content = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
                writer.write(
                    f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: {len(content)}\r\n"
                    f"content-type: {'text/html' if html else 'application/json'}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _answer(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> tuple[int, Any]:
        try:
            if method == "OPTIONS" and "no CORS" not in self.faults:
                return 204, ""
            if (method, path) == ("POST", "/session/start"):
                return 200, await self._start(headers, raw)
            if (method, path) == ("DELETE", "/session/stop"):
                return 200, await self._stop(headers, raw)
            if "page for an unknown path" in self.faults:
                return 404, "<h1>Not Found</h1>"
            raise Refused("ENDPOINT_NOT_FOUND", "there is no such endpoint")
        except Refused as exc:
            status, error = CODES[exc.code]
            if exc.code == "SESSION_NOT_FOUND" and "400 for unknown sessions" in self.faults:
                status = 400
            return status, {"error": error, "message": str(exc), "code": exc.code}
        except ValueError:
            return 500, "<h1>Internal Server Error</h1>"

    def _key(self, headers: dict[str, str]) -> str:
        key = headers.get("x-api-key") if "x-api-key has a case" in self.faults else _find(headers, "x-api-key")
        if key is None:
            raise Refused("MISSING_API_KEY", "x-api-key is missing")
        if key not in (KEY, OTHER_KEY):
            raise Refused("INVALID_API_KEY", "x-api-key is wrong")
        return key

    def _object(self, raw: bytes) -> dict[str, Any]:
        if len(raw) > 64 << 10 and "1 MiB of body" not in self.faults:
            raise Refused("BODY_TOO_LARGE", "64 KiB are the limit")
        try:
            body = json.loads(raw)
        except ValueError:
            if "500 on bad JSON" in self.faults:
                raise
            body = None
        if not isinstance(body, dict):
            raise Refused("INVALID_JSON", "the body is no JSON object")
        return body

    async def _start(self, headers: dict[str, str], raw: bytes) -> dict[str, str]:
        if "body before key" in self.faults:
            self._object(raw)
        key = self._key(headers)
        body = self._object(raw)
        self._validate(body)
        agora = body["agora_settings"]
        channel = (agora["app_id"], agora["channel"], agora["uid"])
        for old in [session for session in self.sessions.values() if session.channel == channel]:
            if (old.key != key and "another owner's channel" not in self.faults) or "channel in use" in self.faults:
                raise Refused("CHANNEL_IN_USE", "it is")
            if "the replaced one lives" not in self.faults:
                await self.stop(old)
        number = str(len(self.sessions) + len(self.ended) + 1)
        session_id = number if "ids that count" in self.faults else str(uuid.uuid4())
        idle = float(body.get("activity_idle_timeout", 120))
        self.sessions[session_id] = Session(session_id, key, channel, idle, self.faults)
        now = int(time.time())
        token = jwt.encode({"sub": session_id, "iat": now, "exp": now + 3600, "jti": str(uuid.uuid4())}, SECRET)
        names = ("session_id", "websocket_address", "session_token")
        reply: dict[str, Any] = dict(zip(names, (session_id, self.ws, token), strict=True))
        if (egress := body.get("egress")) is not None:
            reply["granted"] = {"egress": "video" if "grants what it has" in self.faults else egress}
        return reply

    def _validate(self, body: dict[str, Any]) -> None:
        agora = body.get("agora_settings")
        missing = [name for name in RULES if body.get(name) is None]
        if isinstance(agora, dict):
            nested = (*NESTED, "token") if "token wanted" in self.faults else NESTED
            missing += [f"agora_settings.{name}" for name in nested if agora.get(name) is None]
        if missing:
            named = missing[:1] if "names one missing field" in self.faults else missing
            raise Refused("VALIDATION_ERROR", f"Missing required field(s): {', '.join(named)}")
        allowed = {"quality": ("low", "medium", "high"), "version": ("v1",), "video_encoding": ("H264", "VP8", "AV1")}
        idle = body.get("activity_idle_timeout", 120)
        wrong = [name for name, values in allowed.items() if body[name] not in values]
        wrong += [name for name in ("avatar_id",) if not isinstance(body[name], str)]
        wrong += ["agora_settings"] if not isinstance(agora, dict) else []
        wrong += [
            f"agora_settings.{name}"
            for name in NESTED[:3]
            if isinstance(agora, dict) and not isinstance(agora[name], str)
        ]
        wrong += [] if isinstance(idle, int | float) and idle >= 0 else ["activity_idle_timeout"]
        if "closed list of keys" in self.faults:
            wrong += [name for name in body if name not in (*RULES, "activity_idle_timeout", "egress")]
        if wrong:
            raise Refused("VALIDATION_ERROR", f"Invalid value for {wrong[0]}")

    async def _stop(self, headers: dict[str, str], raw: bytes) -> dict[str, str]:
        bearer = None
        if _find(headers, "x-api-key") is None and _find(headers, "authorization") is not None:
            if "stop knows no bearer" in self.faults:
                raise Refused("MISSING_API_KEY", "x-api-key is missing")
            bearer = self._token(headers)
            if bearer is None:
                raise Refused("INVALID_API_KEY", "the bearer token is wrong")
        elif "stop asks nobody" not in self.faults or _find(headers, "x-api-key") is not None:
            self._key(headers)
        body = self._object(raw)
        if not isinstance(body.get("session_id"), str):
            raise Refused("VALIDATION_ERROR", "Missing required field: session_id")
        if "stop wants the token" in self.faults and bearer is None and not body.get("session_token"):
            raise Refused("VALIDATION_ERROR", "Missing required field: session_token")
        session = self.sessions.get(body["session_id"])
        if session is None or (bearer not in (None, session.id) and "any token stops" not in self.faults):
            raise Refused("SESSION_NOT_FOUND", "there is no such session")
        await self.stop(session)
        return {"status": "success", "message": "Session terminated successfully"}

    async def stop(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self.ended.add(session.id)
        session.over = True
        session.player.cancel()
        if "stop leaves the connection" not in self.faults:
            code = 1011 if "stop is a fault" in self.faults else 1000
            await asyncio.gather(*(line.close(code) for line in session.lines))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            for session in list(self.sessions.values()):
                silent = time.monotonic() - session.active
                if session.idle == 0:
                    over = "0 is at once" in self.faults
                else:
                    over = silent > session.idle and not session.queue and "no idle timeout" not in self.faults
                if over:
                    await self.stop(session)

    # --------------------------------------------------------------------------------------------------- WebSocket

    def _token(self, headers: dict[str, str]) -> str | None:
        """The session that a bearer token names, None for a bad token."""
        case = "Authorization has a case" in self.faults
        value = headers.get("Authorization") if case else _find(headers, "authorization")
        scheme, _, token = (value or "").partition(" ")
        if scheme != "Bearer" if case else scheme.lower() != "bearer":
            return None
        options = {"verify_exp": "expired tokens" not in self.faults}
        try:
            if "alg none" in self.faults and jwt.get_unverified_header(token)["alg"] == "none":
                return str(jwt.decode(token, options={"verify_signature": False})["sub"])
            return str(jwt.decode(token, SECRET, algorithms=["HS256"], options=options)["sub"])  # type: ignore[arg-type]
        except (jwt.InvalidTokenError, KeyError):
            return None

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        if "one path" in self.faults and urlsplit(request.path).path not in ("", "/"):
            return connection.respond(HTTPStatus.NOT_FOUND, "another path\n")
        session_id = self._token(dict(request.headers.raw_items()))
        status = HTTPStatus.UNAUTHORIZED if session_id is None else HTTPStatus.NOT_FOUND
        if session_id not in self.sessions and "accept then close" not in self.faults:
            if "ended is unknown" in self.faults:
                status = HTTPStatus.UNAUTHORIZED
            return connection.respond(status, "refused\n")
        connection.session = self.sessions.get(session_id or "")  # type: ignore[attr-defined]
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        session: Session | None = connection.session  # type: ignore[attr-defined]
        if session is None:
            await connection.close(1008, "bad token")
            return
        older, session.line = session.line, connection
        session.lines.append(connection)
        if older is not None and "two mouths" not in self.faults:
            await older.close(1000, "a newer connection has taken over")
        try:
            async for message in connection:
                await self._read(session, message)
        except ConnectionClosed:
            pass
        except UnicodeDecodeError:
            await connection.close(1007)
        except TypeError:
            await connection.close(1003)
        except Exception:
            await connection.close(1011)
        finally:
            session.lines.remove(connection)
            if session.line is connection:
                session.line = None
                if "restarts after a drop" in self.faults:
                    session.clear()
                if "a drop ends the session" in self.faults:
                    await self.stop(session)

    async def _read(self, session: Session, message: str | bytes) -> None:
        session.active = session.active if "heartbeats are no activity" in self.faults else time.monotonic()
        try:
            if isinstance(message, bytes):
                raise TypeError("binary")
            body = json.loads(message)
            if not isinstance(body, dict):
                raise UnicodeDecodeError("json", b"", 0, 1, "no object")
        except (ValueError, TypeError, RecursionError) as exc:
            if isinstance(exc, TypeError) and "dies of binary frames" in self.faults:
                raise
            if not isinstance(exc, TypeError) and "dies of broken JSON" in self.faults:
                raise UnicodeDecodeError("json", b"", 0, 1, "broken") from exc
            await self._error(session, "INVALID_JSON", "no JSON object", None)
            return
        command = body.get("command", "init" if "avatar_id" in body else None)
        event_id = body.get("event_id")
        if command != "heartbeat":
            session.active = time.monotonic()
        if command == "init":
            await self._init(session, body)
        elif command == "heartbeat":
            stamp = time.time() * 1000 if "acknowledges with its own clock" in self.faults else body.get("timestamp")
            if "acknowledges late" in self.faults:
                await asyncio.sleep(LATE)
            if "no heartbeat_ack" not in self.faults:
                await session.tell("heartbeat_ack", event_id=event_id, timestamp=stamp)
        elif command not in ("voice", "voice_end", "voice_interrupt", "special"):
            if "dies of unknown commands" in self.faults:
                raise RuntimeError("unknown")
            await self._error(session, "UNKNOWN_COMMAND", "unknown command", event_id)
        elif not session.initialized:
            await self._error(session, "NOT_INITIALIZED", "init is missing", event_id)
        elif command == "voice":
            await self._voice(session, body, event_id)
        elif command == "voice_end":
            await session.end(event_id)
        elif command == "voice_interrupt":
            await session.interrupt()

    async def _init(self, session: Session, body: dict[str, Any]) -> None:
        if body.get("session_id", session.id) != session.id and "other sessions' init" not in self.faults:
            assert session.line is not None
            await session.line.close(1008)
            return
        if session.initialized and "init again restarts" in self.faults:
            session.clear()
        if not (session.initialized and "first init only" in self.faults):
            await session.tell("init_ack", session_id=session.id)
        session.initialized = True

    async def _voice(self, session: Session, body: dict[str, Any], event_id: Any) -> None:
        try:
            audio, rate, encoding = body["audio"], body["sampleRate"], body["encoding"]
            if len(audio) > 4 << 20:
                raise ValueError("too large")
            data = base64.b64decode(audio, validate=True)
            if not isinstance(rate, int) or not 8000 <= rate <= 48000:
                raise ValueError(f"sampleRate {rate}")
            session.voice(self._seconds(data, rate, encoding), event_id)
        except binascii.Error:
            if "closes on bad base64" in self.faults:
                raise RuntimeError("base64") from None
            await self._error(session, "INVALID_AUDIO", "no base64", event_id)
        except (KeyError, TypeError, ValueError) as exc:
            await self._error(session, "VALIDATION_ERROR", f"bad voice: {exc}", event_id)

    def _seconds(self, data: bytes, rate: int, encoding: str) -> float:
        if encoding == "OPUS" and "no OPUS" not in self.faults:
            return opus.parse(data).samples / 48_000
        if encoding not in ("PCM16", "PCM8"):
            raise ValueError(f"encoding {encoding}")
        size = 1 if encoding == "PCM8" and "PCM8 as PCM16" not in self.faults else 2
        if len(data) % size:
            if "half a sample kills" in self.faults:
                raise RuntimeError("half a sample")
            raise ValueError("half a sample")
        return len(data) / size / (16_000 if "one rate" in self.faults else rate)

    async def _error(self, session: Session, code: str, message: str, event_id: Any) -> None:
        if "nothing is said" not in self.faults:
            await session.tell("error", code=code, message=message, event_id=event_id)


def _find(headers: dict[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)
