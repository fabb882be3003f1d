"""Where the services of agents are reached, and what is told when that fails: real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipwire.agents import http
from lipwire.agents.brains.chat import ChatClient
from lipwire.agents.brains.completion import Completion
from lipwire.agents.brains.mcp import McpClient
from lipwire.agents.brains.tools import Caller
from lipwire.agents.config import Llm, Tool
from lipwire.agents.http import ServiceClient, ServiceError, failure, fetch, refusal, websocket
from lipwire.agents.options import McpServer, ToolServer
from lipwire.agents.speech.stt import HttpStt
from lipwire.agents.speech.vendors.openai import OpenAiTts
from lipwire.errors import LipwireError
from lipwire.outward import Outward, OutwardRefused, Resolve
from lipwire.provider.client import Direct
from support.fakes.server import HttpFake, Request, Response

Answer = Callable[[str], str]


class Server:
    """An HTTP server that notes the heads of its requests; `answer` makes each answer of that."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.answer: Answer = lambda head: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = next((int(li[15:]) for li in head.lower().splitlines() if li.startswith("content-length:")), 0)
                await reader.readexactly(length)
                writer.write(self.answer(head).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, **options)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def redirect(to: str, status: int = 307) -> Answer:
    return lambda head: f"HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"


def names(**answers: list[list[str]]) -> Resolve:
    """A resolver: each name's answers in turn, the last for ever."""

    async def resolve(host: str, port: int, owner: str) -> list[str]:
        rounds = answers[host.replace(".", "_")]
        return rounds.pop(0) if len(rounds) > 1 else rounds[0]

    return resolve


async def post(client: ServiceClient, url: str, key: str | None = None) -> int:
    reply = await client.post(url, key=key, headers={}, content=b"{}")
    await reply.aread()
    await reply.aclose()
    return reply.status_code


async def test_a_private_address_gets_no_connection() -> None:
    async with serving() as inner:
        client = ServiceClient(5.0, Outward(resolve=names(llm_test=[["127.0.0.1"]])))
        with pytest.raises(OutwardRefused, match="no public address"):
            await post(client, f"http://llm.test:{inner.port}/")
        plain = ServiceClient(5.0, Outward())
        for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
            with pytest.raises(OutwardRefused, match="no public address"):
                await post(plain, f"http://{host}:{inner.port}/")
        await client.aclose()
        await plain.aclose()
    assert inner.connections == 0


async def test_no_redirect_leads_to_an_inner_server() -> None:
    async with serving() as inner, serving() as outer:
        outward = Outward([f"127.0.0.1:{outer.port}"])
        client = ServiceClient(5.0, outward)
        for status in (301, 302, 303, 307, 308):
            outer.answer = redirect(f"http://127.0.0.1:{inner.port}/admin", status)
            assert await post(client, f"http://127.0.0.1:{outer.port}/chat") == status
        await client.aclose()
    assert len(outer.heads) == 5 and inner.connections == 0


async def test_a_redirect_within_the_host_keeps_method_body_and_key() -> None:
    async with serving() as outer:
        own = f"http://127.0.0.1:{outer.port}"

        wanted = [0]

        def answer(head: str) -> str:
            path = head.split(" ")[1]
            if path == "/v1?api-version=1":
                return redirect("/v1/?api-version=1", wanted[0])(head)
            if path == "/round":
                return redirect("/round")(head)
            if path == "/elsewhere":
                return redirect("http://me:hunter2@127.0.0.1/")(head)
            return "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

        outer.answer = answer
        for client in (ServiceClient(5.0), ServiceClient(5.0, Outward(["127.0.0.1"]))):
            for wanted[0] in (301, 302, 307, 308):
                assert await post(client, f"{own}/v1?api-version=1", "k") == 200
                first, second = outer.heads[-2:]
                assert second.startswith("POST /v1/?api-version=1 ") and first.count("Bearer k") == 1
                assert second.partition("\r\n")[2] == first.partition("\r\n")[2]  # every header, the length among them
            wanted[0] = 303
            assert await post(client, f"{own}/v1?api-version=1") == 303
            before = len(outer.heads)
            assert await post(client, f"{own}/round") == 307
            assert len(outer.heads) == before + 1 + http.MAX_REDIRECTS
            assert await post(client, f"{own}/elsewhere") == 307
            assert await post(client, f"http://me:hunter2@127.0.0.1:{outer.port}/v1?api-version=1") == 303
            await client.aclose()


async def test_azure_gets_its_header_and_its_version() -> None:
    async with serving() as azure:
        resolver = names(mine_openai_azure_com=[["127.0.0.1"]], openai_azure_com_evil_test=[["127.0.0.1"]])
        client = ServiceClient(5.0, Outward([f"127.0.0.1:{azure.port}"], resolve=resolver))
        path = f":{azure.port}/openai/deployments/d/chat/completions?api-version=2024-10-21"
        assert await post(client, f"http://mine.openai.azure.com{path}", "k3y") == 200
        assert await post(client, f"http://openai.azure.com.evil.test{path}", "k3y") == 200
        await client.aclose()
    first, second = (head.lower() for head in azure.heads)
    assert first.startswith("post /openai/deployments/d/chat/completions?api-version=2024-10-21 ")
    assert "api-key: k3y" in first and "authorization" not in first
    assert "authorization: bearer k3y" in second and "api-key" not in second


async def test_who_sends_to_another_host_gets_no_second_request() -> None:
    """Nor to another port, nor from https to http; from http to https there, yes."""
    for url, to, onward in (
        ("http://a.test/x", "http://b.test/x", None),
        ("http://a.test/x", "http://a.test:8080/x", None),
        ("https://a.test/x", "http://a.test/x", None),
        ("http://a.test/x", "//b.test/x", None),
        ("http://a.test/x", "http://a.test@b.test/", None),
        ("http://a.test/x", "ftp://a.test/", None),
        ("http://a.test/x", "http://a.test:99999/", None),
        ("http://a.test/x", "https://a.test/y?k=1#f", "https://a.test/y?k=1"),
        ("http://u:p@a.test/x", "y/", "http://u:p@a.test/y/"),
        ("http://a.test:80/x", "http://A.test/y", "http://A.test/y"),
    ):
        response = httpx.Response(308, headers={"location": to})
        assert http._onward(url, response) == onward, (url, to)


async def test_a_name_that_changes_its_address_gains_nothing() -> None:
    """Rebinding: good at the door and inner afterwards, or inner at any look-up but the first."""
    async with serving() as inner, serving() as outer:
        allowed = [f"127.0.0.1:{outer.port}"]
        url = f"http://evil.test:{outer.port}/"
        outward = Outward(allowed, resolve=names(evil_test=[["127.0.0.1"], ["127.0.0.2"]]))
        await outward.check(url)
        client = ServiceClient(5.0, outward)
        with pytest.raises(OutwardRefused):
            await post(client, url)
        await client.aclose()
        outward = Outward(allowed, resolve=names(evil_test=[["127.0.0.1"], ["127.0.0.2"]]))
        client = ServiceClient(5.0, outward)
        assert await post(client, url) == 200  # the one that was checked is the one that was connected to
        assert await post(client, url) == 200  # kept open: nothing is looked up
        await client.aclose()
    assert outer.connections == 1 and inner.connections == 0
    assert outer.heads[0].splitlines()[1].lower() == f"host: evil.test:{outer.port}"


async def test_of_several_addresses_one_that_answers_is_taken() -> None:
    async with serving() as outer:
        allowed = [f"127.0.0.0/8:{outer.port}"]
        client = ServiceClient(5.0, Outward(allowed, resolve=names(two_test=[["127.0.0.9", "127.0.0.1"]])))
        assert await post(client, f"http://two.test:{outer.port}/") == 200
        none = ServiceClient(5.0, Outward(allowed, resolve=names(two_test=[["127.0.0.9"]])))
        with pytest.raises(Exception, match="attempts failed") as caught:
            await post(none, f"http://two.test:{outer.port}/")
        assert "127.0.0.9" not in str(failure("the LLM", f"http://two.test:{outer.port}/", caught.value))
        await client.aclose()
        await none.aclose()


async def test_a_connection_kept_for_the_operators_url_serves_no_other() -> None:
    async with serving() as inner:
        own = f"http://127.0.0.1:{inner.port}/v1/chat"
        client = ServiceClient(5.0, Outward(trusted=[own]))
        assert await post(client, own) == 200
        with pytest.raises(OutwardRefused):
            await post(client, f"http://127.0.0.1:{inner.port}/admin")
        await client.aclose()
    assert len(inner.heads) == 1


async def test_proxies_of_the_environment_are_for_the_operators_urls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, serving() as outer:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        own = "http://own.test/v1"
        outward = Outward(["asked.test"], trusted=[own], resolve=names(asked_test=[["127.0.0.1"]]))
        client = ServiceClient(5.0, outward)
        assert await post(client, own) == 200
        assert await post(client, f"http://asked.test:{outer.port}/") == 200
        await client.aclose()
    assert len(proxy.heads) == 1 and proxy.heads[0].startswith("POST http://own.test/v1") and len(outer.heads) == 1


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*command, "-addext", f"subjectAltName=DNS:{name}"], check=True, capture_output=True)
    return key, cert


async def test_the_certificate_is_the_names_where_the_address_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate(tmp_path, "llm.test")
    seen: list[str | None] = []
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(cert, key)
    server_tls.sni_callback = lambda _socket, name, _context: seen.append(name)
    client_tls = ssl.create_default_context(cafile=str(cert))
    monkeypatch.setattr(http, "_tls", lambda: client_tls)
    async with serving(ssl=server_tls) as outer:
        resolver = names(llm_test=[["127.0.0.1"]], other_test=[["127.0.0.1"]])
        client = ServiceClient(5.0, Outward([f"127.0.0.1:{outer.port}"], resolve=resolver))
        assert await post(client, f"https://llm.test:{outer.port}/") == 200
        with pytest.raises(Exception, match="certificate verify failed"):
            await post(client, f"https://other.test:{outer.port}/")
        await client.aclose()
    assert seen == ["llm.test", "other.test"]


# ------------------------------------------------------------------------------------------------------- what is told

SECRETS = ("hunter2", "s3cret", "sk-inner", "inner-database")


async def chat_failure(url: str, outward: Outward | None = None) -> str:
    client = ChatClient(Llm(url=url, api_key="sk-key-of-the-caller"), None, outward)
    try:
        with pytest.raises(ServiceError) as caught:
            async for _ in client.stream({}, Completion()):
                pass
    finally:
        await client.close()
    return str(caught.value)


BODY = '{"error": {"message": "inner-database at 10.0.0.7 says: bad key sk-inner"}}'
EVENT = f"data: {BODY}\n\n"
FAULTS: dict[str, tuple[str, str]] = {
    "status": (f"HTTP/1.1 500 No\r\ncontent-length: {len(BODY)}\r\n\r\n{BODY}", "answered 500"),
    "redirect": (
        "HTTP/1.1 302 Found\r\nlocation: http://u:hunter2@x/?k=s3cret\r\ncontent-length: 0\r\n\r\n",
        "answered 302, and redirects to another place are not followed",
    ),
    "event": (
        f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(EVENT)}\r\n\r\n{EVENT}",
        "broke off with an error",
    ),
    "no HTTP": ("inner-database 1.0 sk-inner\r\n\r\n", "it broke off, or sent what is no HTTP"),
}


async def test_the_log_has_no_path_of_a_url_and_no_words_of_the_service(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as server:
        server.answer = lambda head: "HTTP/1.1 500 inner-database\r\ncontent-length: 0\r\n\r\n"
        url = f"http://127.0.0.1:{server.port}/api/s/S3CRET-OF-THE-PATH/mcp"
        client = ServiceClient(5.0)
        assert await post(client, url) == 500
        await client.aclose()
        with pytest.raises(ServiceError):
            await fetch("the picture", url, Outward(["*"]), most=10, seconds=5)
        assert "S3CRET" not in caplog.text and "inner-database" not in caplog.text
        async with httpx.AsyncClient(trust_env=False) as others:  # of whoever embeds us: that is his to say
            await others.get(f"http://127.0.0.1:{server.port}/theirs")
        assert "/theirs" in caplog.text


async def test_no_cookie_is_kept() -> None:
    async with serving() as server:
        server.answer = lambda head: "HTTP/1.1 200 OK\r\nset-cookie: who=me; path=/\r\ncontent-length: 2\r\n\r\nok"
        for client in (ServiceClient(5.0), ServiceClient(5.0, Outward(["127.0.0.1"]))):
            for _ in range(2):
                assert await post(client, f"http://127.0.0.1:{server.port}/") == 200
            await client.aclose()
    assert len(server.heads) == 4 and not any("cookie" in head.lower() for head in server.heads)


@pytest.mark.parametrize("fault", FAULTS)
async def test_neither_the_url_nor_an_inner_answer_is_told(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer, words = FAULTS[fault]
    async with serving() as server:
        server.answer = lambda head: answer
        url = f"http://me:hunter2@127.0.0.1:{server.port}/v1/chat?key=s3cret"
        told = await chat_failure(url, Outward(["*"]))
    assert words in told and "the LLM" in told
    for secret in (*SECRETS, "sk-key-of-the-caller"):
        assert secret not in told and secret not in caplog.text


async def test_at_debug_the_operator_reads_what_was_said_without_the_requests_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as server:
        server.answer = lambda head: FAULTS["status"][0]
        await chat_failure(f"http://127.0.0.1:{server.port}/?key=s3cret", Outward(["*"]))
        assert "inner-database at 10.0.0.7" in caplog.text
        body = "no key s3cret, and none called sk-key-of-the-caller"
        server.answer = lambda head: f"HTTP/1.1 401 No\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        await chat_failure(f"http://127.0.0.1:{server.port}/?key=s3cret", Outward(["*"]))
    assert "it repeats a secret" in caplog.text
    assert "s3cret" not in caplog.text and "sk-key-of-the-caller" not in caplog.text


async def test_a_refused_service_is_told_by_its_host() -> None:
    told = await chat_failure("http://me:hunter2@127.0.0.1:9/?key=s3cret", Outward())
    assert told.startswith("the LLM leads to 127.0.0.1, which is no public address") and "allowed_outward" in told
    assert "hunter2" not in told and "s3cret" not in told
    assert "hunter2" not in await chat_failure("http://a:hunter2@b:s3cret/")


async def test_user_and_password_of_a_url_are_sent(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:
        client = ServiceClient(5.0, Outward(["127.0.0.1"]))
        assert await post(client, f"http://me:hunter2@127.0.0.1:{server.port}/a?key=s3cret") == 200
        assert await post(client, f"http://127.0.0.1:{server.port}/", key="k") == 200
        await client.aclose()
    assert server.heads[0].startswith("POST /a?key=s3cret ") and "Basic bWU6aHVudGVyMg==" in server.heads[0]
    assert "Bearer k" in server.heads[1]


async def test_a_refusal_reads_no_more_than_it_needs() -> None:
    async with serving() as server:
        server.answer = lambda head: "HTTP/1.1 500 No\r\ncontent-length: 9999999\r\n\r\n" + "x" * 20_000
        client = ServiceClient(5.0)
        reply = await client.post(f"http://127.0.0.1:{server.port}/", key=None, headers={}, content=b"")
        assert str(await refusal("it", "http://a.test/", reply)) == "it at a.test answered 500"
        await reply.aclose()
        await client.aclose()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:47 GMT"}, 10.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:07 GMT"}, 0.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:47 GMT"}, 10.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ],
)
def test_when_a_service_wants_to_be_asked_again(headers: dict[str, str], seconds: float | None) -> None:
    assert http.retry_after(headers, 784_111_777.0) == seconds  # the moment of RFC 9110's example
    error = ServiceError("no")
    error.wait = seconds
    assert 0 <= error.seconds_to_wait() <= http.MAX_WAIT
    error.wait = 1e9
    assert error.seconds_to_wait() == http.MAX_WAIT


async def test_headers_of_the_callers_are_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = "no such key: s3cret-of-the-header"
    async with serving() as server:
        server.answer = lambda head: f"HTTP/1.1 401 No\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        url = f"http://127.0.0.1:{server.port}/"
        client = ChatClient(Llm(url=url, headers={"X-Key": "s3cret-of-the-header"}), own={url: {"X-Own": "mine"}})
        with pytest.raises(ServiceError, match="answered 401"):
            async for _ in client.stream({}, Completion()):
                pass
        client.llm.url += "other"
        with pytest.raises(ServiceError, match="answered 401"):
            async for _ in client.stream({}, Completion()):
                pass
        await client.close()
    first, second = (head.lower() for head in server.heads)
    assert "x-key: s3cret" in first and "x-own: mine" in first
    assert "x-key: s3cret" in second and "x-own" not in second  # the operator's are for his own URL
    assert "it repeats a secret" in caplog.text and "s3cret" not in caplog.text


# --------------------------------------------------------------------------------------------------------- WebSockets


async def opened(url: str, outward: Outward | None = None, **options: Any) -> ClientConnection:
    return await websocket(url, outward, open_timeout=5.0, close_timeout=0.1, **options)


async def test_a_websocket_is_checked_and_so_is_where_it_is_sent() -> None:
    async with serving() as inner, serving() as outer:
        with pytest.raises(OutwardRefused):
            await opened(f"ws://127.0.0.1:{inner.port}/", Outward())
        own = f"ws://127.0.0.1:{outer.port}/"
        for there in (f"ws://127.0.0.1:{inner.port}/admin", f"ws://127.0.0.2:{outer.port}/", "wss://elsewhere.test/"):
            outer.answer = redirect(there, 302)
            for outward in (None, Outward([f"127.0.0.1:{outer.port}"]), Outward(["*"])):
                with pytest.raises(InvalidStatus):
                    await opened(own, outward)
            with pytest.raises(ServiceError, match="answered 302, and redirects to another place are not followed"):
                await http.opened("the service", own, {}, None)
        assert inner.connections == 0
        rebound = Outward([f"127.0.0.1:{outer.port}"], resolve=names(evil_test=[["127.0.0.1"], ["127.0.0.2"]]))
        outer.answer = lambda head: "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"
        with pytest.raises(InvalidStatus):
            await opened(f"ws://evil.test:{outer.port}/", rebound)
        with pytest.raises(OutwardRefused):
            await opened(f"ws://evil.test:{outer.port}/", rebound)
    assert outer.heads[-1].lower().count(f"host: evil.test:{outer.port}") == 1


async def test_a_websocket_is_redirected_within_the_host_with_its_headers() -> None:
    no = "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"
    async with serving() as outer:
        outer.answer = lambda head: no if "GET /v1/ " in head else redirect("/v1/", 302)(head)
        for outward in (None, Outward(["127.0.0.1"])):
            outer.heads.clear()
            with pytest.raises(InvalidStatus, match="403"):
                await opened(f"ws://127.0.0.1:{outer.port}/v1", outward, additional_headers={"authorization": "s3cret"})
            assert len(outer.heads) == 2 and all("s3cret" in head for head in outer.heads)
    assert http._within("ws://a.test/x", "wss://a.test/y") == "wss://a.test/y"
    assert http._within("wss://a.test/x", "ws://a.test/y") is None


async def test_a_websockets_handshake_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as server:
        server.answer = lambda head: "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"
        with pytest.raises(InvalidStatus):
            await opened(f"ws://127.0.0.1:{server.port}/?key=s3cret", additional_headers={"Authorization": "hunter2"})
    assert "hunter2" in server.heads[0] and "s3cret" in server.heads[0]
    assert "hunter2" not in caplog.text and "s3cret" not in caplog.text


# ----------------------------------------------------------------------------------------------- what answers unpack to

VAST = 64 << 20
MESSAGE = 1 << 20


class Bomb(HttpFake):
    """Answers with few bytes that are many when they are unpacked, twice."""

    def __init__(self, status: int = 200) -> None:
        super().__init__()
        self.status, self.body = status, gzip.compress(gzip.compress(bytes(VAST)))

    async def _respond(self, request: Request) -> Response:
        return Response(self.status, self.body, headers={"content-encoding": "gzip, gzip"})


async def read_chat(url: str) -> None:
    client = ChatClient(Llm(url=url))
    try:
        async for _ in client.stream({}, Completion()):
            pass
    finally:
        await client.close()


async def read_upload(url: str) -> None:
    client = ChatClient(Llm(url=url))
    try:
        await client._post(url, content=b"")
    finally:
        await client.close()


async def read_mcp(url: str) -> None:
    client = ServiceClient(5.0, once=True)
    try:
        await McpClient(McpServer(name="w", endpoint=url), client).open()
    finally:
        await client.aclose()


async def read_tool(url: str) -> None:
    caller = Caller([Tool(name="f", server=ToolServer(url=url))], lambda event: None)
    try:
        raise ServiceError(await caller.answer("c", "f", "{}"))
    finally:
        await caller.close()


async def read_sound(url: str) -> None:
    tts = OpenAiTts(url, voice="alloy")
    try:
        async for _ in tts.speak("hello"):
            pass
    finally:
        await tts.close()


async def read_text(url: str) -> None:
    stt = HttpStt(url, language="en-US")
    try:
        await stt.transcribe(bytes(3200))
    finally:
        await stt.close()


async def read_picture(url: str) -> None:
    await fetch("the picture", url, Outward(["127.0.0.1"]), most=8 << 20, seconds=10)


READERS = (read_chat, read_upload, read_mcp, read_tool, read_sound, read_text, read_picture)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("read", READERS)
async def test_what_is_compressed_is_not_unpacked(
    read: Callable[[str], Awaitable[None]], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WAIT", 0.0)
    async with Bomb(status) as server:
        assert len(server.body) < 1000
        tracemalloc.start()
        try:
            with pytest.raises(ServiceError, match="is compressed" if status == 200 else "answered 500|is compressed"):
                await read(server.url)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < VAST / 8
        assert {request.headers["accept-encoding"] for request in server.received} == {"identity"}


def test_what_repeats_a_secret_is_not_told() -> None:
    url = "http://me:hunter2@a.test/s/path-with-a-secret?key=s3cret"
    for text in ("hunter2", "?key=s3cret", "Basic bWU6aHVudGVyMg==", "at /s/path-with-a-secret", "given: sk-1234"):
        told = http.harmless(f"no {text} here", url, "Bearer sk-1234")
        assert told.startswith("no ") and "***" in told and told.endswith(" here")
        assert not any(secret in told for secret in ("hunter2", "s3cret", "bWU6", "path-with-a-secret", "sk-1234"))
    for text in ("no such city", "it is me", "http://a.test/s/"):
        assert http.harmless(text, url, "Bearer sk-1234", "de", None) == text
    assert http.harmless("is http://[ a URL?", "http://[") == "is *** a URL?"


def test_the_last_word_of_a_text_is_no_secret() -> None:
    for text in ("no flight today", "in-flight meals"):
        assert http.harmless(text, "http://a.test?q=find%20me%20a%20flight", "find me a flight", "My flight") == text
    for scheme in ("Bearer", "basic", "Token", "Key"):
        assert http.harmless("given: sk-1234", "http://a.test", f"{scheme} sk-1234") == "given: ***"


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("ab/cd/ef", r"ab\/cd\/ef"),
        ("s3cr&et<key>", "s3cr&amp;et&lt;key&gt;"),
        ("s3cr&et<key>", "s3cr&#38;et&#60;key&#62;"),
        ("käse/wurst", "k\\u00e4se\\/wurst"),
        ("a b/c+d", "a%20b%2Fc%2Bd"),
        ("a b/c+d", "a%20b%2fc%2bd"),
        ("".join(map(chr, range(65, 123))), "".join(map(chr, range(66, 122)))),
        ("".join(map(chr, range(65, 123))), "".join(map(chr, range(70, 86)))),
    ],
)
def test_a_secret_in_another_spelling_or_in_part_is_one(secret: str, told: str) -> None:
    for given in (secret, f"Bearer {secret}"):
        assert http.repeats(f"bad token {told}!", "http://a.test", given)
        assert told not in http.harmless(f"bad token {told}!", "http://a.test", given)
    assert not http.repeats("bad token", "http://a.test", secret)


async def test_a_websocket_unpacks_nothing_and_few_messages_wait() -> None:
    sent: list[int] = []

    async def talk(ws: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for _ in range(16):
                await ws.send(bytes(MESSAGE))
                sent.append(MESSAGE)

    async with serve(talk, "127.0.0.1", 0, compression="deflate") as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        direct = Direct(url)
        for made in (http.opened("it", url, {}), direct.connect(url, {})):
            ws = await made
            assert ws.response is not None and "sec-websocket-extensions" not in ws.response.headers
            await asyncio.sleep(0.3)
            assert len(sent) < 16, "the service waits until it is read"
            async with asyncio.timeout(20):
                for _ in range(16):
                    assert len(await ws.recv()) == MESSAGE
            await ws.close()
            sent.clear()
        await direct.close()


async def test_a_redirect_to_what_is_no_url_is_told() -> None:
    outward = Outward(["127.0.0.1"])
    async with serving() as server:
        for place in ("//[", "http://[::1", "http://[x]/", "http://h:99999/"):
            server.answer = redirect(place)
            url = f"http://127.0.0.1:{server.port}/a"
            with pytest.raises(LipwireError, match="the picture"):
                await fetch("the picture", url, outward, most=100, seconds=5)
            with pytest.raises(ServiceError, match="what it is at"):
                await http.opened("what it is", url.replace("http", "ws"), {}, outward)
