"""docs/rtp.md: the command lines that speak into a session are run as they stand, and are heard."""

from __future__ import annotations

import asyncio
import re
import shutil
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lipwire.app.config import Config
from lipwire.app.service import Service
from support.machine import require
from support.paths import ROOT
from support.provider_stage import start_body

KEY, RATE = "key-of-the-tests", 24_000
TEXT = (ROOT / "docs" / "rtp.md").read_text(encoding="utf-8").replace("\\\n", " ")
LINE = re.compile(r"^(?P<command>(?:ffmpeg|gst-launch-1\.0) [^\n#]*\b20014\b[^\n#]*)(?:# (?P<offer>.*))?$", re.M)


def offer(said: str | None) -> str:
    """What the comment behind a line says; "..." and nothing at all stand for what was said before."""
    types, _, maps = (said or "... 96, a=rtpmap:96 opus/48000/2").partition(", ")
    types = types.replace("...", "m=audio 4000 RTP/AVP")
    return "\r\n".join(filter(None, ["v=0", "c=IN IP4 127.0.0.1", types, maps, "a=sendonly", ""]))


async def test_what_they_send_is_said(tmp_path: Path) -> None:
    lines = LINE.findall(TEXT)
    assert len(lines) == 4
    for program in ("ffmpeg", "gst-launch-1.0"):
        require(shutil.which(program), program)
    t = np.arange(RATE) / RATE
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.sin(2 * np.pi * 300 * t) * 9000).astype("<i2").tobytes())
    config = Config(http_port=0, ws_port=0, viewer=False, host="127.0.0.1", rtp=True, api_key=KEY)
    async with (
        Service(config) as service,
        httpx.AsyncClient(base_url=service.http_url, trust_env=False, timeout=60, headers={"x-api-key": KEY}) as http,
    ):

        async def speak(number: int, command: str, said: str) -> None:
            body = start_body(width=64, height=64, fps=10, channel=f"line-{number}") | {"rtp": {"sdp": offer(said)}}
            started = (await http.post("/session/start", json=body)).json()
            assert "rtp" in started, started
            port = re.search(r"m=audio (\d+)", started["rtp"]["sdp"])
            assert port is not None
            running = await asyncio.create_subprocess_shell(
                command.replace("20014", port[1]),
                cwd=tmp_path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await running.communicate()
            assert running.returncode == 0, f"{command}\n{output.decode()}"
            path = f"/session/{started['session_id']}"
            told: dict[str, Any] = {"utterances": 0}
            async with asyncio.timeout(30):
                while not told["utterances"]:
                    told = (await http.get(path)).json()["stats"]["rtp"]["in"]
            assert told["buffer"]["packetsLost"] == 0 and told["packets"] > 10, f"{command}\n{told}"

        async with asyncio.TaskGroup() as group:
            for number, line in enumerate(lines):
                group.create_task(speak(number, *line))
