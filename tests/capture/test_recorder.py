"""Recordings are bounded, private, and never in a session's way."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.test_service import KEY, Wire, config, post_start, small, tone
from capture.test_file import header
from lipwire.app.service import Service
from lipwire.capture import recorder as module
from lipwire.capture import records as r
from lipwire.capture.file import SUFFIX, Writer, read
from lipwire.capture.recorder import Recorder, RecordingLimits
from lipwire.capture.replay import Replay
from lipwire.errors import BadState, InvalidArgument
from lipwire.provider.client import ProviderClient
from support.captured import Recording
from support.paths import ROOT

MIB = 1 << 20
ROOMY = RecordingLimits(session=MIB, total=8 * MIB)


def named(number: int) -> r.Header:
    made = header()
    made.session_id = f"session-{number}"
    return made


def noise(size: int) -> r.Record:
    return r.Sent(1.0, os.urandom(size).hex())


async def test_nothing_is_recorded_unless_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Service(config()) as service:
        session = await post_start(service)
        assert service.recorder is None and service.watched[session.session_id].session.performer.moments is None
        assert "lipwire-capture" not in {thread.name for thread in threading.enumerate()}
    assert os.listdir(tmp_path) == []


async def test_a_file_a_session_for_its_owner_only_and_without_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    async with Service(config(record=str(folder), max_sessions=4)) as service:
        token = "an-agora-token-that-nobody-may-see"
        start = small("room")
        start.agora_settings.token = token
        async with ProviderClient(service.http_url, KEY, start) as client:
            await client.speak(tone(0.2), 16_000, pace=None)
            assert client.session is not None
            secret = client.session.session_token
            await client.wait_finished(1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = b"".join(r.encode(record) for record in read(path)).decode()
    assert text.count("voice") >= 10
    for hidden in (token, secret, KEY, service.provider.config.session_secret):
        assert hidden not in text


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidArgument, match="record: cannot write into"):
        Recorder(tmp_path / "file" / "folder", ROOMY)


def test_a_recording_ends_at_its_limit_and_says_so(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecordingLimits(session=100_000, total=MIB))
    recording = recorder.open(named(1))
    for _ in range(200):
        recording.put(lambda: noise(1000))
    recording.end("stopped")
    recorder.close()
    found = list(read(recording.path))
    assert isinstance(found[-1], r.Ended) and found[-1].reason == "limit"
    assert recording.path.stat().st_size <= 101_000
    assert recorder.counts["full"] == 1 and recorder.active == 0


def test_the_oldest_make_room_for_the_newest_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(bytes(10 * MIB))
    (tmp_path / "old.gz").write_bytes(bytes(10 * MIB))
    for number in range(4):
        path = tmp_path / f"{number}{SUFFIX}"
        path.write_bytes(bytes(300_000))
        os.utime(path, (number, number))
    recorder = Recorder(tmp_path, RecordingLimits(session=MIB, total=MIB))
    open_one = recorder.open(named(1))
    open_one.put(lambda: noise(150_000))
    open_one.end("stopped")
    recorder.close()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([f"2{SUFFIX}", f"3{SUFFIX}", open_one.path.name, "mine.txt", "old.gz"])
    assert recorder.counts["deleted"] == 2
    assert isinstance(list(read(open_one.path))[-1], r.Ended)


def test_what_another_process_records_counts_and_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks are a file's, so two recorders of one process are as those of two."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.0)
    limits = RecordingLimits(session=2 * MIB, total=MIB)
    ours, theirs = Recorder(tmp_path, limits), Recorder(tmp_path, limits)
    other = theirs.open(named(1))
    other.put(lambda: noise(300_000))
    deadline = time.monotonic() + 20
    while not (other.path.exists() and other.path.stat().st_size > 200_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.utime(other.path, (1, 1))
    (tmp_path / f"old{SUFFIX}").write_bytes(bytes(400_000))
    os.utime(tmp_path / f"old{SUFFIX}", (2, 2))
    recording = ours.open(named(2))
    recording.put(lambda: noise(400_000))
    recording.end("stopped")
    ours.close()
    assert other.path.exists() and not (tmp_path / f"old{SUFFIX}").exists() and ours.counts["deleted"] == 1
    other.end("stopped")
    theirs.close()
    assert [type(record) for record in read(other.path)][-1] is r.Ended


def test_a_disk_that_fails_ends_the_recording_and_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Writer, lines: bytes) -> None:
        raise OSError(28, "No space left on device")

    recorder = Recorder(tmp_path, ROOMY)
    good = recorder.open(named(1))
    good.end("stopped")
    deadline = time.monotonic() + 60
    while recorder.active or good.writer is None:  # the thread writes it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setattr(Writer, "append", full)
    recording = recorder.open(named(2))
    for _ in range(100):
        recording.put(lambda: noise(10))
    recording.end("stopped")
    recorder.close()
    assert recorder.counts["failed"] == 1 and recorder.active == 0
    assert [record.message for record in caplog.records if "No space left" in record.message] != []
    assert len(caplog.records) == 1
    assert isinstance(list(read(good.path))[-1], r.Ended)
    with pytest.raises(BadState):
        recorder.open(named(3))


async def test_a_session_goes_on_when_its_folder_is_gone(tmp_path: Path) -> None:
    service = Recording(tmp_path / "folder")
    async with service:
        service.folder.rmdir()
        session = await post_start(service)
        wire = await Wire.open(session)
        await wire.voice(tone(0.3))
        await wire.end()
        finished = await wire.until(r.m.PlaybackFinished)
        assert finished.position_ms == 300.0
        assert service.recorder is not None
        while not service.recorder.counts["failed"]:
            await asyncio.sleep(0.01)


async def test_a_slow_disk_loses_records_and_the_file_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES", 100_000)
    gate = threading.Event()
    append = Writer.append

    def slow(self: Writer, lines: bytes) -> None:
        gate.wait(20)
        append(self, lines)

    monkeypatch.setattr(Writer, "append", slow)
    service = Recording(tmp_path)
    async with service:
        session = await post_start(service)
        wire = await Wire.open(session)
        for _ in range(20):
            await wire.voice(tone(0.5))
        await wire.say(command="heartbeat", timestamp=1)
        await wire.until(r.m.HeartbeatAck)
        assert service.recorder is not None and service.recorder.counts["lost"] > 0
        gate.set()
        await wire.end()
        await asyncio.sleep(0.1)
        await wire.say(command="voice_interrupt")
        await wire.until(r.m.PlaybackFinished)
        await wire.ws.close()
    path = service.file(session.session_id)
    marked = sum(record.count for record in read(path) if isinstance(record, r.Lost))
    assert marked == service.recorder.counts["lost"]
    outcome = await Replay(path).run()
    assert outcome.lost == marked
    assert any("incomplete" in line for line in outcome.lines())


SERVE = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from app.test_service import Wire, config, post_start, tone
from lipwire.app.service import Service

async def main():
    async with Service(config(record=sys.argv[1])) as service:
        wire = await Wire.open(await post_start(service))
        while True:
            await wire.voice(tone(0.02))
            print("said", flush=True)
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


async def test_kill_9_leaves_a_file_that_replays_exactly_as_far_as_it_goes(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path), str(ROOT / "tests")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = 0
    while said < 80 and child.stdout.readline():
        said += 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (path,) = tmp_path.iterdir()
    outcome = await Replay(path).run()
    assert outcome.exact and not outcome.complete
    assert outcome.messages >= 70 and outcome.blocks >= 100
    assert "breaks off" in "\n".join(outcome.lines())
