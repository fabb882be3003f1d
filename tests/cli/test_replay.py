"""`lipwire replay`, as a command of its own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import httpx
import pytest
import pytest_asyncio

from app.test_service import KEY
from capture.test_file import header
from fuzz.webrtc import Watcher
from lipwire.capture import records as r
from lipwire.capture.file import Writer, read
from support.captured import Recording, record


@pytest_asyncio.fixture
async def recording(tmp_path: Path) -> Path:
    service = await record(tmp_path / "recorded", [11], steps=12)
    (path,) = (service.file(session_id) for session_id in service.memories)
    return path


def lipwire(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "lipwire", "replay", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env=os.environ | {"LIPWIRE_API_KEY": ""},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


async def test_a_recording_is_shown_played_and_made_into_a_video(recording: Path, tmp_path: Path) -> None:
    code, told, _ = lipwire(recording, "--show")
    assert code == 0 and told.startswith("session ") and "connection 1 came" in told
    code, told, _ = lipwire(recording)
    assert code == 0 and told.rstrip().endswith("exact: every sample and every picture came out again")
    out = tmp_path / "out.mp4"
    code, told, _ = lipwire(recording, "--out", out)
    assert code == 0
    blocks = sum(len(found.sound) for found in read(recording) if isinstance(found, r.Played))
    with av.open(str(out)) as video:
        stream = video.streams.audio[0]
        assert stream.duration is not None and stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(blocks / 100, abs=0.1)


async def test_a_replay_that_differs_fails(recording: Path) -> None:
    code, told, _ = lipwire(recording, "--avatar", "ohm")
    assert code == 1 and told.rstrip().endswith("NOT as recorded")


async def test_it_is_sent_to_a_provider_that_is_another_process_of_its_own(recording: Path, tmp_path: Path) -> None:
    async with Recording(tmp_path / "second") as second:
        child = subprocess.Popen(
            [sys.executable, "-m", "lipwire", "replay", recording, "--http", second.http_url, "--fast"],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"LIPWIRE_API_KEY": KEY},
        )  # fmt: skip
        told, _ = await asyncio.to_thread(child.communicate, timeout=60)
        assert child.returncode == 0 and "messages sent" in told
        assert second.provider.started_total == 1


async def test_it_is_shown_on_a_page_to_who_watches(recording: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lipwire", "replay", str(recording), "--live", "--viewer-port", "0",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    url = re.search(rb"http://[^/]+", await child.stdout.readline())
    assert url is not None
    page = url[0].decode()
    async with httpx.AsyncClient(trust_env=False) as http:
        while not (sessions := (await http.get(page + "/api/sessions")).json()["sessions"]):
            await asyncio.sleep(0.05)

        class Page:
            async def answer(self, sdp: str) -> tuple[str, str]:
                plain = {"content-type": "application/sdp"}
                reply = await http.post(f"{page}/whep/{sessions[0]['session_id']}", headers=plain, content=sdp)
                return reply.text, "answer"

        watcher = await Watcher(Page()).join()  # type: ignore[arg-type]
        told, _ = await child.communicate()
        assert watcher.packets > 0
        await watcher.close()
    assert child.returncode == 0 and told.decode().rstrip().endswith("every picture came out again")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no-such-file"], "cannot read"),
        (["FILE", "--show", "--live"], "choose one of"),
        (["FILE", "--fast"], "are for --http"),
        (["FILE", "--show", "--avatar", "ohm"], "--avatar is for"),
        (["FILE", "--http", "http://127.0.0.1:9", "--api-key", "k", "--avatar", "ohm"], "--avatar is for"),
        (["FILE", "--show", "--viewer-port", "1"], "--viewer-port is for --live"),
        (["FILE", "--viewer-port", "0"], "--viewer-port is for --live"),
        (["FILE", "--http", "http://127.0.0.1:9"], "wants an API key"),
        (["FILE", "--http", "http://127.0.0.1:9", "--api-key", "k"], "failed"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    writer = Writer(tmp_path / "r.lipwire.gz")
    writer.append(r.encode(header()))
    code, _, told = lipwire(*(str(writer.path) if word == "FILE" else word for word in arguments))
    assert code == 1 and says in told and "Traceback" not in told
