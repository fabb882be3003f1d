"""servers/tls.py: a real authority, real handshakes on every port, files that change under a running server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect

from lipwire.agents.rest.client import AgoraAgents
from lipwire.app.config import Config, load
from lipwire.app.demo import run_demo
from lipwire.app.service import Service
from lipwire.errors import InvalidArgument
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, ProviderFault, request
from lipwire.servers.tls import Certificate, trust
from support.browsing import ARGS, WAIT
from support.captured import record
from support.certificates import Authority
from support.zygote import let_go, zygote

KEY = "a key behind TLS"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(cert: Path, key: Path | None, **more: Any) -> Config:
    base = Config(http_port=0, ws_port=0, viewer_port=0, api_key=KEY, host="127.0.0.1", ice_host="127.0.0.1")
    return msgspec.structs.replace(base, tls_cert=str(cert), tls_key=str(key or cert), **more)


async def shown(port: int, ca: Path, name: str | None = None) -> str:
    """The common name of the certificate that a new connection sees. `name`: what it asks for (SNI)."""
    context = trust(ca)
    context.check_hostname = False
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "")
    found = writer.get_extra_info("peercert")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    del reader
    return dict(pair[0] for pair in found["subject"])["commonName"]


async def test_https_and_wss_on_every_port(authority: Authority) -> None:
    cert, key = authority.issue("127.0.0.1", "localhost")
    async with Service(settings(cert, key)) as service:
        assert service.http_url == f"https://127.0.0.1:{service.http_port}"
        assert service.viewer_url == f"https://127.0.0.1:{service.viewer_port}/"
        heard: list[m.ServerEvent] = []
        start = request("secure", width=64, height=64, fps=5)
        async with ProviderClient(
            service.http_url, KEY, start, on_event=heard.append, tls=trust(authority.file)
        ) as client:
            assert client.session is not None
            assert client.session.websocket_address == f"wss://127.0.0.1:{service.ws_port}"
            await client.speak(bytes(16000), 16000, pace=None)
            await client.wait_finished(1)
        assert [type(event) for event in heard] == [m.InitAck, m.PlaybackStarted, m.PlaybackFinished]
        async with httpx.AsyncClient(verify=trust(authority.file), trust_env=False) as http:
            assert (await http.get(service.viewer_url)).status_code == 200
            assert (await http.get(f"{service.http_url}/healthz")).headers.get("strict-transport-security") is None
            with pytest.raises(httpx.HTTPError):  # plain HTTP is no way in
                await http.get(f"http://127.0.0.1:{service.http_port}/healthz")
        options: dict[str, Any] = {"base_url": service.http_url, "tls": trust(authority.file), "trust_env": False}
        async with AgoraAgents("app", "any", KEY, **options) as agents:
            assert (await agents.list()).total == 0


async def test_who_does_not_trust_the_authority_does_not_connect(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("127.0.0.1")
    other = Authority(tmp_path, "somebody else")
    async with Service(settings(cert, key)) as service:
        for tls in (None, trust(other.file)):
            with pytest.raises(ProviderFault, match="certificate verify failed"):
                await ProviderClient(service.http_url, KEY, tls=tls).__aenter__()
        assert service.provider.started_total == 0
    cert, key = authority.issue("elsewhere.example")
    async with Service(settings(cert, key)) as service:
        with pytest.raises(ProviderFault, match="certificate verify failed"):
            await ProviderClient(service.http_url, KEY, tls=trust(authority.file)).__aenter__()


async def test_old_versions_of_tls_are_refused(authority: Authority) -> None:
    cert, key = authority.issue("127.0.0.1")
    async with Service(settings(cert, key)) as service:
        for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            fine = version is not ssl.TLSVersion.TLSv1_1
            context = trust(authority.file)
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning) if not fine else contextlib.nullcontext():
                context.minimum_version = context.maximum_version = version
            for port in (service.http_port, service.ws_port, service.viewer_port):
                with contextlib.nullcontext() if fine else pytest.raises((ssl.SSLError, OSError)):
                    _, writer = await asyncio.open_connection(
                        "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
                    )
                    writer.close()


async def test_new_files_count_for_new_connections(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("a.example", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def replace(new: tuple[Path, Path]) -> None:
        for source, target in zip(new, (cert, key), strict=True):
            os.replace(source, target)

    replace(files)
    async with Service(settings(cert, key)) as service:
        ports = (service.http_port, service.ws_port, service.viewer_port)
        async with httpx.AsyncClient(verify=trust(authority.file), trust_env=False) as http:
            assert (await http.get(f"{service.http_url}/healthz")).status_code == 200
            replace(authority.issue("b.example", "127.0.0.1"))
            assert [await shown(port, authority.file) for port in ports] == ["b.example"] * 3
            assert (await http.get(f"{service.http_url}/healthz")).status_code == 200  # the connection of before
        with caplog.at_level(logging.INFO, "lipwire.tls"):
            caplog.clear()
            cert.write_text("not a certificate")
            for _ in range(3):
                assert await shown(service.http_port, authority.file, "b.example") == "b.example"
            broken = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert len(broken) == 1
            assert "the old one stays" in broken[0].getMessage()
            cert.unlink()
            assert await shown(service.ws_port, authority.file) == "b.example"
            new = authority.issue("c.example", "127.0.0.1")
            os.replace(new[0], cert)  # the key of the old one: they do not fit
            assert await shown(service.http_port, authority.file) == "b.example"
            os.replace(new[1], key)
            assert [await shown(port, authority.file) for port in ports] == ["c.example"] * 3


async def test_browsers_that_came_by_name_are_told_to_come_over_tls_only(authority: Authority) -> None:
    cert, key = authority.issue("avatar.example", "localhost", "127.0.0.1")
    async with Service(settings(cert, key, public_hosts=("avatar.example", "*.b.example"))) as service:
        assert service.provider.config.public_ws_url == f"wss://avatar.example:{service.ws_port}"
        async with httpx.AsyncClient(verify=trust(authority.file), trust_env=False) as http:
            for base, path in ((service.http_url, "/healthz"), (service.viewer_url, "")):
                for host, told in (
                    ("avatar.example", True),
                    ("x.b.example:1", True),
                    ("localhost", False),
                    ("127.0.0.1", False),
                ):
                    reply = await http.get(base + path, headers={"host": host})
                    assert ("strict-transport-security" in reply.headers) is told
                assert (await http.get(base + path, headers={"host": "evil.example"})).status_code == 421
                plain = {"origin": "http://avatar.example", "host": "avatar.example"}
                assert (await http.get(base + path, headers=plain)).status_code == 403
                secure = {"origin": "https://avatar.example", "host": "avatar.example"}
                assert (await http.get(base + path, headers=secure)).status_code == 200


async def test_who_does_not_finish_its_handshake_is_closed(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    cert, key = authority.issue("127.0.0.1")
    async with Service(settings(cert, key, request_timeout_seconds=0.3)) as service:
        ports = (service.http_port, service.ws_port, service.viewer_port)
        clients = [socket.create_connection(("127.0.0.1", port)) for port in ports for _ in range(3)]
        for client in clients:
            client.setblocking(False)
        clients[0].send(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of one
        async with asyncio.timeout(20):
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.get_running_loop().sock_recv(client, 100) == b""
                client.close()
            while len(service.door):
                await asyncio.sleep(0.001)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_the_demo_reaches_itself(
    authority: Authority, tmp_path: Path, say: Callable[[str], tuple[bytes, int]]
) -> None:
    from rich.console import Console

    cert, key = authority.issue("named.example")  # not for 127.0.0.1
    told = io.StringIO()
    await run_demo(
        settings(cert, key),
        Console(file=told, width=300),
        seconds=3,
        text="Hello.",
        quality="low",
        asked=asyncio.Event(),
    )
    assert re.search(r"summary: .* [1-9]\d* frames", told.getvalue())


def test_files_that_are_of_no_use(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("a.example")
    _, other = authority.issue("b.example")
    _, locked = authority.issue("c.example", password=b"secret")
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    assert Certificate(both).context.minimum_version == ssl.TLSVersion.TLSv1_2
    for pair, words in (
        ((cert, other), "fit together"),
        ((cert, tmp_path / "none.pem"), "No such file"),
        ((tmp_path / "none.pem", key), "No such file"),
        ((cert, None), "fit together"),
        ((key, key), "fit together"),
        ((cert, locked), "encrypted"),
    ):
        with pytest.raises(InvalidArgument, match=words) as caught:
            Certificate(*pair)
        assert "tls_cert" in str(caught.value)
        assert ("tls_key" in str(caught.value)) is (pair[1] not in (None, pair[0]))
    for wrong in (tmp_path / "none.pem", key):
        with pytest.raises(InvalidArgument, match="--ca"):
            trust(wrong)
    with pytest.raises(InvalidArgument, match="tls_cert"):
        load({"tls_key": str(key)})


async def test_the_command_sends_with_a_given_authority(authority: Authority, tmp_path: Path) -> None:
    import wave

    speech = tmp_path / "speech.wav"
    with wave.open(str(speech), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(16000))
    cert, key = authority.issue("127.0.0.1")
    async with Service(settings(cert, key)) as service:
        command = [
            sys.executable,
            "-m",
            "lipwire",
            "send",
            str(speech),
            "--url",
            service.http_url,
            "--api-key",
            KEY,
            "--fast",
        ]

        def run(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)

        good = await asyncio.to_thread(run, "--ca", str(authority.file))
        assert good.returncode == 0, good.stderr
        events = [json.loads(line)["command"] for line in good.stdout.splitlines() if line.startswith("{")]
        assert events == ["init_ack", "playback_started", "playback_finished"]
        bad = await asyncio.to_thread(run)
        assert bad.returncode != 0
        assert "certificate verify failed" in bad.stderr
        assert "Traceback" not in bad.stderr


async def test_every_command_that_calls_a_server_trusts_a_given_authority(authority: Authority, tmp_path: Path) -> None:
    """token, replay and conformance, by --ca and by SSL_CERT_FILE; without, no certificate of ours is trusted."""
    service = await record(tmp_path / "recorded", [11], steps=4)
    (recording,) = (service.file(session_id) for session_id in service.memories)
    cert, key = authority.issue("127.0.0.1")
    async with Service(settings(cert, key)) as server:
        for command in (
            ["token", "--room", "lobby", "--url", server.http_url],
            ["replay", str(recording), "--http", server.http_url, "--fast"],
            ["conformance", "--http", server.http_url, "--only", "http.start.ok"],
        ):

            def run(*more: str, words: list[str] = command, **env: str) -> tuple[int, str]:
                code, out, err = zygote().run(tmp_path, [*words, "--api-key", KEY, *more], os.environ | env, 60)
                return code, out + err

            given = await asyncio.to_thread(run, "--ca", str(authority.file))
            assert given[0] == 0, given
            known = await asyncio.to_thread(run, SSL_CERT_FILE=str(authority.file))
            assert known[0] == 0, known
            code, told = await asyncio.to_thread(run)
            assert code != 0 and "certificate verify failed" in told and "Traceback" not in told, (command, told)
            code, told = await asyncio.to_thread(run, "--ca", str(tmp_path / "none.pem"))
            assert code != 0 and "--ca" in told and "Traceback" not in told, (command, told)
    let_go()


@pytest.mark.slow
async def test_a_browser_watches_over_https(authority: Authority, chromium: str) -> None:
    from playwright.async_api import async_playwright

    cert, key = authority.issue("127.0.0.1", "localhost")
    async with Service(settings(cert, key)) as service, async_playwright() as playwright:
        start = request("secure", width=64, height=64, fps=5)
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
        async with ProviderClient(service.http_url, KEY, start, tls=trust(authority.file)):
            # Its own list of authorities is not ours to change: it takes the certificate as it is.
            page = await browser.new_page(ignore_https_errors=True)
            await page.goto(service.page_link())
            async with asyncio.timeout(WAIT):
                while not await page.evaluate("document.querySelector('video').videoWidth"):
                    await asyncio.sleep(0.05)
            assert await page.evaluate("[location.protocol, isSecureContext]") == ["https:", True]
        await browser.close()


async def test_a_websocket_alone(authority: Authority) -> None:
    cert, key = authority.issue("localhost", "127.0.0.1")
    async with Service(settings(cert, key, viewer=False)) as service:
        reply = await service.provider.start(
            request("x", width=64, height=64, fps=5), service.provider.check_api_key(KEY.encode())
        )
        headers = {"Authorization": f"Bearer {reply.session_token}"}
        url = f"wss://localhost:{service.ws_port}"
        async with connect(
            url, additional_headers=headers, ssl=trust(authority.file), host="127.0.0.1", proxy=None
        ) as ws:
            assert ws.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
