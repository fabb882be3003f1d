"""servers/forwarded.py: who a proxy on this machine speaks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import unix_connect

from lipwire.servers.forwarded import asking_from
from lipwire.servers.http import serve_http
from lipwire.servers.listen import Door


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),  # the client said the first
        ("127.0.0.1", ["198.51.100.1", "192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1, 127.0.0.1"], "192.0.2.1"),  # another proxy here
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1:5000"], "192.0.2.1"),
        ("127.0.0.1", ["[2001:db8::1]:5000"], "2001:db8::1"),
        ("127.0.0.1", ["nobody"], "nobody"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
        ("192.0.2.9", ["192.0.2.1"], "192.0.2.9"),  # no proxy of ours
        ("", ["192.0.2.1"], ""),
    ],
)
def test_whom_a_request_is_from(peer: str, forwarded: list[str], address: str) -> None:
    assert asking_from(peer, forwarded) == address


async def tells(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers with what it sees."""
    if scope["type"] == "lifespan":
        return
    headers = [[name.decode(), value.decode()] for name, value in scope["headers"] if name.startswith(b"x-")]
    seen = msgspec.json.encode({"client": scope["client"], "scheme": scope["scheme"], "headers": headers})
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": seen.decode()})
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": seen})


FOR, PROTO = "x-forwarded-for", "x-forwarded-proto"


@pytest.mark.parametrize(
    ("sent", "client", "scheme", "left"),
    [
        ([], None, "http", []),
        ([(FOR, "192.0.2.1")], ["192.0.2.1", 0], "http", []),
        ([(FOR, "192.0.2.1"), (PROTO, "https")], ["192.0.2.1", 0], "https", []),
        ([(FOR, "198.51.100.1, 192.0.2.1")], ["192.0.2.1", 0], "http", [[FOR, "198.51.100.1"]]),
        ([(FOR, "198.51.100.1"), (FOR, "::1")], ["::1", 0], "http", [[FOR, "198.51.100.1"]]),
        ([(FOR, "127.0.0.1"), (PROTO, "gopher"), ("x-api-key", "k")], ["127.0.0.1", 0], "http", [["x-api-key", "k"]]),
    ],
)
async def test_what_the_front_passes_on_is_as_it_came_in_there(
    tmp_path: Path, sent: list[tuple[str, str]], client: Any, scheme: str, left: Any
) -> None:
    path, door = str(tmp_path / "http"), Door()
    server = await serve_http(tells, path=path, door=door)
    try:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path)) as http:
            for _ in range(2):  # over the same connection
                answer = await http.get("http://localhost/", headers=sent)
                assert answer.json() == {"client": client, "scheme": scheme, "headers": left}
            assert len(door) == 1
        async with unix_connect(path, "ws://localhost/", additional_headers=sent) as socket:
            seen = msgspec.json.decode(await socket.recv())
            assert seen == {"client": client, "scheme": scheme.replace("http", "ws"), "headers": left}
    finally:
        await server.close()
    assert not Path(path).exists()
