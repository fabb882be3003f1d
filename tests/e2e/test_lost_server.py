"""A server that is killed while its pages are open: both say so, and come back with the next one by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browsing import ALLOWED, MICROPHONE, becomes, browser, eventually
from support.ports import free_ports

LIPWIRE = Path(sys.executable).parent / "lipwire"


@contextlib.contextmanager
def demo(place: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """`lipwire demo` in a process of its own; killed at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPWIRE_", "OPENAI_"))}
    names = ("--http-port", "--ws-port", "--viewer-port")
    flags = [str(part) for pair in zip(names, ports, strict=True) for part in pair]
    command = [str(LIPWIRE), "demo", *flags, "--ice-host", "127.0.0.1", "--quality", "low"]
    with open(place / "log", "ab") as log:
        process = subprocess.Popen(command, cwd=place, env=kept, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.slow
async def test_both_pages_say_so_and_come_back(chromium: str, tmp_path: Path) -> None:
    ports = free_ports(3)
    url = f"http://127.0.0.1:{ports[2]}/"
    async with browser(chromium, MICROPHONE, ALLOWED) as launched:
        viewer, agent = await launched.new_page(), await launched.new_page()

        async def opened() -> bool:
            with contextlib.suppress(Exception):  # playwright's, while nothing listens
                return bool(await viewer.goto(url))
            return False

        async def in_sync() -> bool:
            return await viewer.inner_text("#skew-note") == "In sync"

        with demo(tmp_path, ports):
            await eventually(opened)
            await agent.goto(f"{url}agent")
            await agent.click("#join-quiet")
            await eventually(becomes(agent, "idle", "listening", "speaking"))
            await agent.wait_for_selector("#still.there")
            await viewer.bring_to_front()
            await eventually(in_sync)
        await eventually(becomes(viewer, "reconnecting"))
        await eventually(becomes(agent, "reconnecting"))
        for page, again in ((viewer, "#again"), (agent, "#notice-action")):
            await eventually(lambda page=page, again=again: page.is_visible(again))  # type: ignore[misc]
            assert await page.inner_text(again) == "Try now"
            assert await page.inner_text("#chip-text") == "Connection lost"
            await page.wait_for_selector("#still.there")  # the face stays
        assert await viewer.inner_text("#skew-note") == "No connection"
        assert await viewer.inner_text("#skew") == "–"
        with demo(tmp_path, ports):
            await asyncio.gather(
                eventually(becomes(viewer, "idle", "speaking")),
                eventually(becomes(agent, "idle", "listening", "speaking")),
            )
            await eventually(in_sync)
            assert await agent.inner_text("#copy-text") == "Copy"
