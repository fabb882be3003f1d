"""A minimal avatar provider that is right: what Agora's engine needs of one, and no more. It has no face.

    python examples/provider.py        # prints its addresses and its API key
    lipwire conformance --http http://127.0.0.1:8764 --api-key secret

It uses nothing of Lipwire, and sends none of Lipwire's events; every must of `lipwire conformance` holds. Where it says
`play`, `stop talking` and `leave`, put your renderer.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
import time
import uuid
from http import HTTPStatus

import jwt
import uvicorn
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

API_KEY, SECRET = "secret", uuid.uuid4().hex
REQUIRED = ("avatar_id", "agora_settings"), ("app_id", "channel", "uid")
ALLOWED = {"quality": ("low", "medium", "high"), "version": ("v1",), "video_encoding": ("H264", "VP8", "AV1")}
SAMPLE_BYTES = {"PCM16": 2, "PCM8": 1, "OPUS": 1}
sessions: dict[str, Session] = {}


class Session:
    def __init__(self, channel: tuple, idle: float) -> None:
        self.id, self.channel, self.idle = str(uuid.uuid4()), channel, idle
        self.active, self.line = time.monotonic(), None

    async def end(self) -> None:
        sessions.pop(self.id, None)  # leave the channel here
        if self.line is not None:
            await self.line.close(1000, "the session is over")


class Refused(Exception):
    """(status, error, code, message)"""


# HTTP: POST /session/start, DELETE /session/stop


def field_problem(body: dict) -> str | None:
    missing = [name for name in REQUIRED[0] if body.get(name) is None]
    agora = body.get("agora_settings")
    if isinstance(agora, dict):
        missing += [f"agora_settings.{name}" for name in REQUIRED[1] if agora.get(name) is None]
    if missing:
        return f"Missing required field(s): {', '.join(missing)}"
    wrong = [name for name, values in ALLOWED.items() if body.get(name, values[0]) not in values]
    wrong += [name for name in ("avatar_id",) if not isinstance(body[name], str)]
    wrong += [] if isinstance(agora, dict) else ["agora_settings"]
    wrong += [name for name in REQUIRED[1] if isinstance(agora, dict) and not isinstance(agora[name], str)]
    idle = body.get("activity_idle_timeout", 120)
    wrong += [] if isinstance(idle, int | float) and idle >= 0 else ["activity_idle_timeout"]
    return f"Invalid value for {', '.join(wrong)}" if wrong else None


def check_key(headers: dict) -> None:
    if "x-api-key" not in headers:
        raise Refused(403, "Forbidden", "MISSING_API_KEY", "API key header missing")
    if headers["x-api-key"] != API_KEY:
        raise Refused(401, "Unauthorized", "INVALID_API_KEY", "Invalid API key")


def read_object(raw: bytes) -> dict:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "Invalid request", "INVALID_JSON", "The body is no JSON object")
    return body


async def start(headers: dict, raw: bytes, ws_url: str) -> dict:
    check_key(headers)
    body = read_object(raw)
    if (problem := field_problem(body)) is not None:
        raise Refused(400, "Invalid request", "VALIDATION_ERROR", problem)
    channel = tuple(body["agora_settings"][name] for name in REQUIRED[1])
    for old in [session for session in sessions.values() if session.channel == channel]:
        await old.end()  # its client gave it up without a word
    session = Session(channel, body.get("activity_idle_timeout", 120))
    sessions[session.id] = session
    token = jwt.encode({"sub": session.id, "exp": int(time.time()) + 86400}, SECRET, "HS256")
    return {"session_id": session.id, "websocket_address": ws_url, "session_token": token}


async def stop(headers: dict, raw: bytes) -> dict:
    bearer = None
    if "x-api-key" not in headers and "authorization" in headers:
        bearer = session_of(headers["authorization"])
        if bearer is None:
            raise Refused(401, "Unauthorized", "INVALID_API_KEY", "Invalid session token")
    else:
        check_key(headers)
    session_id = read_object(raw).get("session_id")
    if not isinstance(session_id, str):
        raise Refused(400, "Invalid request", "VALIDATION_ERROR", "Missing required field: session_id")
    if session_id not in sessions or bearer not in (None, session_id):
        raise Refused(404, "Not found", "SESSION_NOT_FOUND", "Session not found or already terminated")
    await sessions[session_id].end()
    return {"status": "success", "message": "Session terminated successfully"}


def http(ws_url: str):
    async def app(scope, receive, send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        status = 200
        try:
            match scope["method"], scope["path"]:
                case "POST", "/session/start":
                    reply = await start(headers, raw, ws_url)
                case "DELETE", "/session/stop":
                    reply = await stop(headers, raw)
                case _:
                    raise Refused(404, "Not found", "ENDPOINT_NOT_FOUND", "There is no such endpoint")
        except Refused as refused:
            status, error, code, text = refused.args
            reply = {"error": error, "message": text, "code": code}
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(reply).encode()})

    return app


# WebSocket: who may come in is decided in the handshake


def session_of(authorization: str) -> str | None:
    """The session that a bearer token was given out for; None for a bad or expired token."""
    scheme, _, token = authorization.partition(" ")
    try:
        return jwt.decode(token, SECRET, ["HS256"])["sub"] if scheme.lower() == "bearer" else None
    except jwt.InvalidTokenError:
        return None


def check(connection, request):
    session_id = session_of(request.headers.get("Authorization", ""))
    if session_id is None:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "bad token\n")
    if session_id not in sessions:
        return connection.respond(HTTPStatus.NOT_FOUND, "the session is over\n")
    connection.session = sessions[session_id]


async def talk(connection) -> None:
    session = connection.session
    older, session.line = session.line, connection
    if older is not None:
        await older.close(1000, "a newer connection has taken over")
    with contextlib.suppress(ConnectionClosedError):  # a drop is no leave: the client comes back
        async for message in connection:
            session.active = time.monotonic()
            try:
                hear(json.loads(message))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
                print(f"ignored: {exc!r}", file=sys.stderr)


def hear(message: dict) -> None:
    match message.get("command"):
        case "voice":
            pcm = base64.b64decode(message["audio"], validate=True)
            if not 8000 <= message["sampleRate"] <= 48000 or len(pcm) % SAMPLE_BYTES[message["encoding"]]:
                raise ValueError("bad voice")
            # play
        case "voice_interrupt":
            pass  # stop talking, and drop what is queued
        case _:
            pass  # init (again and again), voice_end, heartbeat, special; and what newer clients say


async def sweep() -> None:
    while True:
        await asyncio.sleep(0.5)
        for session in list(sessions.values()):
            if session.idle and time.monotonic() - session.active > session.idle:
                await session.end()


async def main(http_port: int = 8764) -> None:
    async with serve(talk, "127.0.0.1", 0, process_request=check, max_size=4 << 20) as ws:
        ws_url = f"ws://127.0.0.1:{next(iter(ws.sockets)).getsockname()[1]}"
        print(f"http://127.0.0.1:{http_port}  {ws_url}  API key: {API_KEY}", flush=True)
        sweeper = asyncio.create_task(sweep())
        config = uvicorn.Config(http(ws_url), port=http_port, lifespan="off", log_level="warning")
        await uvicorn.Server(config).serve()
        sweeper.cancel()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
