"""Motion over a WebSocket, on the port of WHEP: for who draws the face and has no WebRTC, or no use for it.

| route | for |
|---|---|
| GET /motion/{session_id} | the motion of a session |
| GET /motion/rooms/{name} | of the face in a room, where one is a user then, as ?user= |

?sets=arkit,head &encoding=binary|json &sound=none|pcm16|opus say what is sent (docs/motion.md). A token comes as
`Authorization: Bearer`, or as the subprotocol "token.<token>", since a browser's WebSocket has no headers; the
subprotocol that is taken is "lipwire-motion". What is refused is refused in the handshake, as an HTTP answer `{error,
message, code}`; a page, which a browser tells nothing of that, asks with GET: 204, or the same refusal, but for what
passes by waiting. What the client says is read and means nothing. A client that reads slowly misses frames and sound of
the same time; its queue has an end (`publish.motion_queue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from litestar import WebSocket, route, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from ..channel.room.place import made_up_user
from ..channel.room.room import Rooms
from ..errors import InvalidArgument, LipwireError
from ..provider.sessions import ProviderError
from ..publish.motion import check_ask
from ..publish.motion_queue import NORMAL, MotionQueue, check_codec
from ..publish.webrtc import WebRTC
from .access import Gate
from .errors import AnyRequest, as_provider_error
from .guard import refuse
from .rooms import Desk, leave_some, user_of
from .viewer import Watched
from .webrtc_http import READ

PROTOCOL = "lipwire-motion"
TOKEN = "token."
Socket = WebSocket[Any, Any, Any]
Asked = Socket | AnyRequest


class _Asking(Struct):
    """Who asks for a WebSocket, as the `Gate` looks at a request."""

    scope: dict[str, Any]


def with_token(socket: Asked) -> AnyRequest:
    scope = cast("dict[str, Any]", socket.scope)
    headers = list(scope["headers"])
    token = next((one[len(TOKEN) :] for one in scope.get("subprotocols", ()) if one.startswith(TOKEN)), None)
    if token is not None and not any(name == b"authorization" for name, _ in headers):
        headers.append((b"authorization", b"Bearer " + token.encode("latin-1", "replace")))
    return cast(AnyRequest, _Asking(scope | {"headers": headers}))


def _wanted(socket: Asked, *more: str) -> MotionQueue:
    """What its query asks for, which may have `more`. Raises InvalidArgument."""
    query, known = socket.query_params, ("sets", "encoding", "sound", *more)
    if unknown := next((name for name in query if name not in known), None):
        raise InvalidArgument(f"there is no {unknown!r:.40} to ask for; there are: {', '.join(known)}")
    named = query.get("sets")
    ask = check_ask(None if named is None else named.split(","), query.get("encoding"))
    return MotionQueue(ask, check_codec(query.get("sound")))


def motion_routes(
    sessions: Mapping[str, Watched], desk_of: Callable[[str], Desk], *, gate: Gate
) -> list[ControllerRouterHandler]:
    """The handlers, for `viewer.create_viewer`.

    Args:
        sessions: those that can be watched. desk_of: the rooms of an owner. gate: lets in who may.
    """

    def in_session(socket: Asked, session_id: str) -> tuple[MotionQueue, WebRTC]:
        """Whose motion is asked for, and how. Raises LipwireError: there will be none."""
        gate.session(with_token(socket), session_id, "watch")
        watched = sessions.get(session_id)
        if watched is None:
            raise ProviderError("SESSION_NOT_FOUND", "This session has ended")
        queue = _wanted(socket)
        watched.publisher.motions.check()
        return queue, watched.publisher

    def in_room(socket: Asked, name: str) -> tuple[MotionQueue, Rooms, str]:
        """The same, and as whom."""
        caller = gate.room(with_token(socket), name, "watch")
        user = user_of(caller, {"user": socket.query_params.get("user") or caller.name or str(made_up_user())})
        queue = _wanted(socket, "user")
        rooms = desk_of(caller.owner.name).rooms
        rooms.check_listen(name, user)
        return queue, rooms, user

    def join_session(socket: Socket, session_id: str) -> tuple[MotionQueue, Callable[[], None]]:
        queue, publisher = in_session(socket, session_id)
        gate.count_join()
        publisher.listen(queue)
        return queue, lambda: publisher.leave(queue)

    def join_room(socket: Socket, name: str) -> tuple[MotionQueue, Callable[[], None]]:
        queue, rooms, user = in_room(socket, name)
        gate.count_join()
        leave_some(rooms, name)
        watcher = rooms.listen(name, user, queue)
        return queue, watcher.leave_room

    @websocket("/motion/rooms/{name:str}")
    async def room(socket: Socket, name: FromPath[str]) -> None:
        await _serve(socket, lambda: join_room(socket, name))

    @websocket("/motion/{session_id:str}")
    async def session(socket: Socket, session_id: FromPath[str]) -> None:
        await _serve(socket, lambda: join_session(socket, session_id))

    @route("/motion/rooms/{name:str}", http_method=READ, status_code=204, include_in_schema=False, sync_to_thread=False)
    def room_refuses(request: AnyRequest, name: FromPath[str]) -> None:
        in_room(request, name)

    @route("/motion/{session_id:str}", http_method=READ, status_code=204, include_in_schema=False, sync_to_thread=False)
    def session_refuses(request: AnyRequest, session_id: FromPath[str]) -> None:
        in_session(request, session_id)

    return [room, session, room_refuses, session_refuses]


async def _serve(socket: Socket, join: Callable[[], tuple[MotionQueue, Callable[[], None]]]) -> None:
    await socket.receive()  # websocket.connect
    try:
        queue, leave = join()
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
