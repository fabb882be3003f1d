"""Motion over a WebSocket, on the port of WHEP: for who draws the face and has no WebRTC, or no use for it.

| route | for |
|---|---|
| GET /motion/{session_id} | the motion of a session |
| GET /motion/rooms/{name} | of the face in a room, where one is a user then, as ?user= |

?sets=arkit,head &encoding=binary|json &sound=none|pcm16|opus say what is sent (docs/motion.md). A token comes as
`Authorization: Bearer`, or as the subprotocol "token.<token>", since a browser's WebSocket has no headers; the
subprotocol that is taken is "lipwire-motion". What is refused is refused in the handshake, as an HTTP answer `{error,
message, code}`. What the client says is read and means nothing. A client that reads slowly misses frames and sound of
the same time; its queue has an end (`publish.motion_queue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.handlers import WebsocketRouteHandler
from litestar.params import FromPath
from msgspec import Struct

from ..channel.room.place import made_up_user
from ..errors import LipwireError
from ..provider.sessions import ProviderError
from ..publish.motion import check_ask
from ..publish.motion_queue import NORMAL, MotionQueue, check_codec
from .access import Gate
from .errors import AnyRequest, as_provider_error
from .guard import refuse
from .rooms import Desk, leave_some, user_of
from .viewer import Watched

PROTOCOL = "lipwire-motion"
TOKEN = "token."
Socket = WebSocket[Any, Any, Any]


class _Asking(Struct):
    """Who asks for a WebSocket, as the `Gate` looks at a request."""

    scope: dict[str, Any]


def _asking(socket: Socket) -> AnyRequest:
    scope = cast("dict[str, Any]", socket.scope)
    headers = list(scope["headers"])
    token = next((one[len(TOKEN) :] for one in scope["subprotocols"] if one.startswith(TOKEN)), None)
    if token is not None and not any(name == b"authorization" for name, _ in headers):
        headers.append((b"authorization", b"Bearer " + token.encode("latin-1", "replace")))
    return cast(AnyRequest, _Asking(scope | {"headers": headers}))


def _wanted(socket: Socket) -> MotionQueue:
    """What its query asks for. Raises InvalidArgument."""
    query = socket.query_params
    named = query.get("sets")
    ask = check_ask(None if named is None else named.split(","), query.get("encoding"))
    return MotionQueue(ask, check_codec(query.get("sound")))


def motion_routes(
    sessions: Mapping[str, Watched], desk_of: Callable[[str], Desk], *, gate: Gate
) -> list[WebsocketRouteHandler]:
    """The handlers, for `viewer.create_viewer`.

    Args:
        sessions: those that can be watched. desk_of: the rooms of an owner. gate: lets in who may.
    """

    async def of_session(socket: Socket, session_id: str) -> tuple[MotionQueue, Callable[[], None]]:
        gate.session(_asking(socket), session_id, "watch")
        watched = sessions.get(session_id)
        if watched is None:
            raise ProviderError("SESSION_NOT_FOUND", "This session has ended")
        publisher = watched.publisher
        queue = _wanted(socket)
        if publisher.motions.refusal is not None:
            raise ProviderError("NOT_ALLOWED", publisher.motions.refusal)
        gate.count_join()
        publisher.listen(queue)
        return queue, lambda: publisher.leave(queue)

    async def of_room(socket: Socket, name: str) -> tuple[MotionQueue, Callable[[], None]]:
        caller = gate.room(_asking(socket), name, "watch")
        user = user_of(caller, {"user": socket.query_params.get("user") or caller.name or str(made_up_user())})
        queue = _wanted(socket)
        gate.count_join()
        rooms = desk_of(caller.owner.name).rooms
        leave_some(rooms, name)
        refusal = rooms.motion_refusal(name)
        if refusal is not None:
            raise ProviderError("NOT_ALLOWED", refusal)
        watcher = rooms.listen(name, user, queue)
        return queue, watcher.leave_room

    @websocket("/motion/rooms/{name:str}")
    async def room(socket: Socket, name: FromPath[str]) -> None:
        await _serve(socket, lambda: of_room(socket, name))

    @websocket("/motion/{session_id:str}")
    async def session(socket: Socket, session_id: FromPath[str]) -> None:
        await _serve(socket, lambda: of_session(socket, session_id))

    return [room, session]


async def _serve(socket: Socket, admit: Callable[[], Any]) -> None:
    await socket.receive()  # websocket.connect
    try:
        queue, leave = await admit()
    except LipwireError as exc:
        error = exc if isinstance(exc, ProviderError) else as_provider_error(exc)
        await refuse(socket.scope, error, cast(Any, socket.send))
        return
    try:
        offered = cast("dict[str, Any]", socket.scope)["subprotocols"]
        protocol = PROTOCOL if PROTOCOL in offered else None
        await socket.send(cast(Any, {"type": "websocket.accept", "subprotocol": protocol, "headers": []}))
        reader = asyncio.create_task(_read(socket, queue), name="lipwire-motion-reader")
        try:
            await _write(socket, queue)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
    finally:
        leave()


async def _read(socket: Socket, queue: MotionQueue) -> None:
    """Until the client is gone."""
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        queue.end(NORMAL, "")


async def _write(socket: Socket, queue: MotionQueue) -> None:
    """Sends what waits, until it ends."""
    try:
        while (message := await queue.take()) is not None:
            await socket.send_data(message, "text" if queue.ask.encoding == "json" else "binary")
        code, reason = queue.ended or (NORMAL, "")
        await socket.close(code, reason)
    except WebSocketDisconnect:
        pass
    except Exception:  # uvicorn's ClientDisconnected, which is no name of ours; whatever it is, the reader has heard
        if queue.ended is None:
            raise
