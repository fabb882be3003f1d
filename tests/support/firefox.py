"""Firefox as Debian ships it, driven by what it speaks itself: WebDriver BiDi (W3C), which is JSON over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

WAIT = 60
NOWHERE = 9
"""A port that nobody listens on (discard): where everything goes that is not on this machine."""
PREFERENCES: dict[str, bool | int | str] = {
    "media.autoplay.default": 0,  # allowed
    "media.autoplay.blocking_policy": 0,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": NOWHERE,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": NOWHERE,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
}
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
# What a peer connection has received; decoded pictures, and what the sound's samples add up to.
RECEIVED = """async () => {
  const pc = window.lipwire.pc, out = {frames: 0, energy: 0, samples: 0, video: '', audio: ''};
  if (!pc) return out;
  const report = await pc.getStats();
  for (const s of report.values()) if (s.type === 'inbound-rtp') {
    const codec = report.get(s.codecId)?.mimeType ?? '';
    if (s.kind === 'video') { out.frames = s.framesDecoded ?? 0; out.video = codec; }
    else { out.energy = s.totalAudioEnergy ?? 0; out.samples = s.totalSamplesReceived ?? 0; out.audio = codec; }
  }
  return out;
}"""


class BidiError(AssertionError):
    """Firefox refused a command, or a page raised an exception; the message says which."""


class Firefox:
    """A running one. Made by `firefox`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        """Errors and warnings that pages have logged."""

    async def read(self) -> None:
        """Takes what it says, until it is gone."""
        async for text in self._connection:
            said = json.loads(text)
            if (number := said.get("id")) is not None:
                self._answers.pop(number).set_result(said)
            elif said.get("method") == "log.entryAdded" and said["params"]["level"] in ("error", "warn"):
                self.complaints.append(str(said["params"]["text"]))

    async def do(self, method: str, **params: Any) -> dict[str, Any]:
        """A command, and its result. Raises BidiError."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(WAIT):
            said = await self._answers[number]
        if said["type"] != "success":
            raise BidiError(f"{method}: {said.get('error')}: {said.get('message')}")
        result: dict[str, Any] = said["result"]
        return result

    async def open(self, url: str) -> Page:
        """A page, loaded."""
        context = (await self.do("browsingContext.create", type="tab"))["context"]
        page = Page(self, context)
        await page.go(url)
        return page


class Page:
    """A tab of Firefox's."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self.browser, self.context = browser, context

    async def go(self, url: str) -> None:
        """Loads another page in it."""
        await self.browser.do("browsingContext.navigate", context=self.context, url=url, wait="complete")

    async def ask(self, function: str) -> Any:
        """What a JavaScript function without arguments returns, or what its promise comes to: anything that JSON has.
        The page takes it for something that its user does. Raises BidiError."""
        result = await self.browser.do(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({function})()) ?? 'null')()",
            target={"context": self.context},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] != "success":
            raise BidiError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    async def received(self) -> dict[str, Any]:
        """Of the viewer page: `frames` decoded, `samples` and `energy` of the sound, the codecs `video` and `audio`."""
        received: dict[str, Any] = await self.ask(RECEIVED)
        return received

    async def close(self) -> None:
        await self.browser.do("browsingContext.close", context=self.context)


def _preference(name: str, value: bool | int | str) -> str:
    return f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"


@asynccontextmanager
async def firefox(executable: str, profile: Path) -> AsyncIterator[Firefox]:
    """Starts one with a profile of its own, an empty folder, which reaches nothing but this machine."""
    (profile / "user.js").write_text("".join(_preference(*one) for one in PREFERENCES.items()))
    process = await asyncio.create_subprocess_exec(
        *(executable, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(profile), "PATH": "/usr/bin:/bin", "MOZ_CRASHREPORTER_DISABLE": "1"},
    )
    assert process.stderr is not None
    said = process.stderr
    try:
        async with asyncio.timeout(WAIT):
            while (found := LISTENING.search((await said.readline()).decode(errors="replace"))) is None:
                assert process.returncode is None, "Firefox has ended"
        draining = asyncio.create_task(_drain(said))
        async with connect(f"{found[1]}/session", max_size=None, compression=None, proxy=None) as connection:
            browser = Firefox(connection)
            reading = asyncio.create_task(browser.read())
            await browser.do("session.new", capabilities={})
            await browser.do("session.subscribe", events=["log.entryAdded"])
            yield browser
            reading.cancel()
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    """Keeps a pipe from filling up."""
    while await stream.read(65536):
        pass
