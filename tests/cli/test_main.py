"""The `lipwire` command as a user runs it: processes, exit codes, what they print and what they leave."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from rich.console import Console

import lipwire
from lipwire.avatar.cache import drawn
from lipwire.cli.progress import ProgressBar
from support.agent_bodies import V2
from support.machine import require
from support.provider_stage import start_body
from support.zygote import zygote

LIPWIRE = Path(sys.executable).parent / "lipwire"
COMMANDS = (
    "demo", "serve", "agent", "send", "render", "avatar", "conformance", "token", "key", "bench", "doctor", "models",
)  # fmt: skip
PORTS = ("--http-port", "0", "--ws-port", "0", "--viewer-port", "0", "--ice-host", "127.0.0.1")
WAIT = 90
"""Seconds after which a process counts as hung."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working directory, with a folder for temporary files beside it."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def environment(place: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIPWIRE_", "AGORA_", "OPENAI_"))}
    own = {"TMPDIR": str(place.parent / "tmp"), "COLUMNS": "400", "NO_COLOR": "1"}
    return kept | own | more


def start(place: Path, *args: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(LIPWIRE), *map(str, args)],
        cwd=place,
        env=environment(place, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's job in the background inherits that SIGINT is ignored, and so would what is started here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(place: Path, *args: object, **more: str) -> tuple[int, str, str]:
    """The command, to its end: (exit code, stdout, stderr)."""
    if "PYTHONPATH" not in more:  # which counts where imports begin
        return zygote().run(place, [*map(str, args)], environment(place, **more), WAIT)
    process = start(place, *args, **more)
    try:
        out, err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    return process.returncode, out, err


def fails(place: Path, *args: object, **more: str) -> str:
    """The one line of an error of ours: exit code 1, nothing on stdout, no traceback."""
    code, out, err = run(place, *args, **more)
    assert (code, out) == (1, ""), (code, out, err)
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


def test_an_extra_that_is_missing_is_one_line(place: Path) -> None:
    """In a process that cannot import what the extra brings."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('aiortc', 'aioice')))\n"
        f"sys.argv = ['lipwire', 'serve', *{PORTS!r}]\n"
        "from lipwire.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment(place), capture_output=True, text=True, timeout=WAIT
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: this command needs aiortc: pip install 'lipwire[webrtc]'\n"


def test_a_benchmark_that_cannot_be_loaded_breaks_no_other_command(place: Path) -> None:
    metadata = place / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lipwire.bench]\nbroken = nowhere.at_all:run\n")
    assert run(place, "--version", PYTHONPATH=str(place))[0] == 0
    assert "nowhere.at_all:run cannot be loaded" in fails(place, "bench", "broken", PYTHONPATH=str(place))


def speech_file(path: Path, seconds: float = 1.0, rate: int = 24_000) -> Path:
    t = np.arange(round(seconds * rate)) / rate
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.sin(2 * np.pi * 300 * t) * 9000).astype(np.int16).tobytes())
    return path


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def nothing_left(place: Path, *expected: str) -> None:
    assert sorted(p.name for p in place.iterdir()) == sorted(expected)
    assert list((place.parent / "tmp").iterdir()) == []


# ------------------------------------------------------------------------------------------------------ small things


@pytest.mark.slow
def test_help_version_and_unknown(place: Path) -> None:
    started = {command: start(place, command, "--help") for command in COMMANDS}
    for command, process in started.items():
        out, err = process.communicate(timeout=WAIT)
        assert process.returncode == 0, err
        assert f"lipwire {command}" in out
        assert err == ""
    code, out, _ = run(place, "--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    assert run(place, "--version") == (0, f"{lipwire.__version__}\n", "")
    for args, word in ((["--nonsense"], "--nonsense"), (["serve", "--colour"], "--colour"), (["dance"], "dance")):
        code, _, err = run(place, *args)
        assert code == 2
        assert word in err
        assert "Traceback" not in err
    assert "Usage" in "".join(run(place)[1:])
    nothing_left(place)


def test_python_dash_m(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lipwire", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(place),
    )
    assert done.stdout == f"{lipwire.__version__}\n"


def test_token(place: Path) -> None:
    app = {"AGORA_APP_ID": "0123456789abcdef" * 2, "AGORA_APP_CERTIFICATE": "fedcba9876543210" * 2}
    code, out, err = run(place, "token", "room", "7", **app)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"007[A-Za-z0-9+/=]{50,}\n", out)
    assert "AGORA_APP_ID" in fails(place, "token", "room")
    code, _, err = run(place, "token", "room", "--expire", "90000", **app)
    assert code == 2
    assert "86400" in err
    code, said, err = run(place, "token", "--explain", out.strip(), **app)
    assert (code, err) == (0, "")
    assert "channel 'room', user '7'" in said and "signature  of this certificate" in said
    code, out, _ = run(place, "token", "--rtm", "bob", **app)
    assert code == 0
    code, said, _ = run(place, "token", "--explain", out.strip())
    assert "RTM        user 'bob'" in said and "signature" not in said and "RTC" not in said
    assert "begins with 006: it is an AccessToken" in fails(place, "token", "--explain", "006abc")


def test_doctor(place: Path) -> None:
    (place / "lipwire.toml").write_text("http_port = 1234\napi_key = 'a secret'\n")
    code, out, _ = run(place, "doctor", "--json", LIPWIRE_WS_PORT="4321")
    report = json.loads(out)
    assert code == (1 if report["missing"] else 0)
    assert report["lipwire"] == lipwire.__version__
    assert (report["config"]["http_port"], report["config"]["ws_port"]) == (1234, 4321)
    assert report["config"]["api_key"] == "set"
    assert "a secret" not in out
    code, out, _ = run(place, "doctor")
    assert "http_port = 1234" in out
    assert "a secret" not in out
    assert "ws_port" not in out, "it is as by default"
    out = run(place, "doctor", "--all")[1]
    assert "ws_port = 8765" in out and "log_level = warning  (info for lipwire serve)" in out
    assert "(default: warning; of serve: info)" in re.sub(r"\s+", " ", run(place, "serve", "--help")[1])


def test_doctor_says_what_there_is_and_how_to_get_the_rest(place: Path) -> None:
    """One row for each part that a user may want; nothing but that where nothing is set."""
    (place / "file").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        more = {"LIPWIRE_VIEWER_PORT": str(port), "LIPWIRE_HTTP_PORT": "0", "LIPWIRE_AVATAR": "nobody"}
        more["LIPWIRE_TTS_URL"] = f"http://127.0.0.1:{port}/v1/audio/speech"
        more["LIPWIRE_HEARING_MODEL"] = "whisper-giant"
        more["LIPWIRE_LLM_URL"] = "http://127.0.0.1:1/v1/chat/completions"
        out = run(place, "doctor", "--json", LIPWIRE_RECORD="file/recorded", **more)[1]
    parts = {part["name"]: part for part in json.loads(out)["parts"]}
    assert {part["state"] for part in parts.values()} <= {"ok", "missing", "off", "wrong"}
    assert parts["agent: echo"]["state"] == "ok"
    assert (parts["agent: realtime"]["state"], parts["agent: realtime"]["note"]) == ("missing", "needs OPENAI_API_KEY")
    assert (parts["the avatar"]["state"], "nobody" in parts["the avatar"]["note"]) == ("wrong", True)
    cascade = parts["agent: cascade"]
    assert (cascade["state"], cascade["note"]) == ("wrong", "nothing listens at llm_url on this machine")
    assert f"{port} (--viewer-port)" in parts["a server for voice engines"]["note"]
    assert parts["the model that hears"]["state"] == "wrong" != parts["text to speech: hibari"]["state"]
    assert (parts["TLS"]["state"], parts["recordings"]["state"]) == ("off", "wrong")
    for part in parts.values():
        assert part["state"] != "missing" or "pip install" in part["note"] or "needs" in part["note"], part
    _, out, err = run(place, "doctor")
    assert err == "" and "None" not in out and "config:" not in out
    assert re.search(r"^ok +agent: echo ", out, re.M) and "--all shows them" in out


def test_doctor_looks_at_the_keys_file_and_the_folder_of_recordings(place: Path) -> None:
    (place / "keys").write_text(f"acme:sha256-{'0' * 64}\n")
    (place / "file").touch()

    def told(**more: str) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(run(place, "doctor", "--json", **more)[1])
        return report

    report = told()
    assert (report["api_keys_file"], report["record"]) == ("none", "off")
    report = told(LIPWIRE_API_KEYS_FILE="keys", LIPWIRE_RECORD="new/folder")
    assert (report["api_keys_file"], report["record"]) == ("ready: 1 key of 1 owner", "ready")
    assert not (place / "new").exists()
    report = told(LIPWIRE_API_KEYS_FILE="none", LIPWIRE_RECORD="file/recorded")
    assert "none cannot be read" in report["api_keys_file"] and report["record"].endswith("file is no folder")
    (place / "keys").write_text("acme\n")
    assert told(LIPWIRE_API_KEYS_FILE="keys")["api_keys_file"].startswith("keys, line 1")


def test_no_password_of_a_url_is_shown(place: Path) -> None:
    url = "https://user:hidden@llm.example/v1?key=SECRET"
    names = ("llm_url", "stt_url", "tts_url", "openai_url", "public_viewer_url", "public_ws_url")
    given = {f"LIPWIRE_{name.upper()}": url for name in names} | {
        "LIPWIRE_OPENAI_URL": url.replace("https", "wss"),
        "LIPWIRE_PUBLIC_WS_URL": url.replace("https", "wss"),
    }
    for options in ((), ("--json",)):
        _, out, _ = run(place, "doctor", *options, **given)
        assert "hidden" not in out and "SECRET" not in out
        assert out.count("://llm.example/v1?key=***") == len(names)
    for name in ("llm_url", "stt_url", "tts_url", "openai_url"):
        told = fails(place, "doctor", **{f"LIPWIRE_{name.upper()}": url.replace("https", "ftp")})
        assert "hidden" not in told and "SECRET" not in told
        assert f"{name} must start with" in told and "ftp://llm.example/v1" in told


def test_doctor_says_what_each_brain_needs(place: Path) -> None:
    agents = json.loads(run(place, "doctor", "--json")[1])["agents"]
    assert agents["echo"] == "ready"
    assert agents["realtime"] == "needs OPENAI_API_KEY"
    assert "OPENAI_API_KEY" in agents["cascade"]
    assert "AGORA_APP_ID; AGORA_APP_CERTIFICATE" in agents["agora"]
    app_id = "a" * 32
    text = f"# keys\nexport OPENAI_API_KEY='sk-secret'\nAGORA_APP_ID={app_id}\nLIPWIRE_WS_PORT=1\n"
    (place / ".env").write_text(text)
    out = run(place, "doctor", "--json", LIPWIRE_WS_PORT="2")[1]
    report = json.loads(out)
    assert report["agents"]["realtime"] == "ready"
    assert report["agents"]["agora"].startswith("needs AGORA_APP_CERTIFICATE")
    assert (report["config"]["openai_api_key"], report["config"]["agora_app_id"]) == ("set", app_id)
    assert report["config"]["ws_port"] == 2  # the real environment wins
    assert "sk-secret" not in out
    out = run(place, "doctor")[1]
    assert re.search(r"^ok +agent: realtime ", out, re.M)
    assert "sk-secret" not in out
    (place / ".env").write_text("OPENAI_API_KEY\n")
    assert ".env, line 1" in fails(place, "doctor")


@pytest.mark.slow
def test_agents_that_cannot_be(place: Path) -> None:
    (place / "tools.py").write_text("number = 5\ndef all_of_it(*everything): ...\n")
    assert "brain must be one of" in fails(place, "agent", "--channel", "room", "--brain", "human")
    assert "OPENAI_API_KEY" in fails(place, "agent", "--channel", "room", "--brain", "realtime")
    assert "llm_url" in fails(place, "agent", "--channel", "room", "--brain", "cascade")
    assert "channel must be" in fails(place, "agent", "--channel", "a/b")
    assert "nobody" in fails(place, "agent", "--channel", "room", "--avatar", "nobody")
    for tool, word in {
        "tools": "module:function",
        "nowhere:x": "no module nowhere",
        "tools:none": "has no none",
        "tools:number": "no function",
        "tools:all_of_it": "everything cannot be passed by name",
    }.items():
        assert word in fails(place, "agent", "--channel", "room", "--brain", "echo", "--tool", tool)
    code, _, err = run(place, "agent")
    assert (code, "--channel" in err) == (2, True)


def test_agent(place: Path) -> None:
    """Its server, its room, its page's address; SIGTERM takes it out of the room."""
    require(importlib.util.find_spec("lipwire.agents.agent"), "the agent runtime")
    process = start(place, "agent", "--channel", "the room", "--brain", "echo", *PORTS, LIPWIRE_API_KEY="the key")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        found = re.match(r"agent      (\w{32}) in room 'the room': brain echo, avatar ", lines[0])
        assert found, lines
        assert re.match(r"turns      .+; .+", lines.pop(1))
        assert "agent?channel=the%20room" in lines[2]
        assert "#token=" not in lines[2] and "no token is printed" in lines[3]
        assert lines[4] == "Ctrl-C ends it.\n"
        url = lines[1].split()[1]
        reply = httpx.get(f"{url}/api/conversational-ai-agent/v2/projects/x/agents", auth=("me", "the key"))
        (shown,) = reply.json()["data"]["list"]
        assert (shown["agent_id"], shown["status"], shown["channel"]) == (found[1], "RUNNING", "the room")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


HOOK = """
import asyncio, os, signal, sys
def tell(): os.kill(os.getpid(), signal.{number})
class At:
    def find_spec(self, name, path=None, target=None):
        if name == {place!r}: tell()
sys.meta_path.insert(0, At())
if {place!r} in ("start", "started", "end"):
    import lipwire.cli.options as options, lipwire.app.service as service
    start, end = service.Service.start, options.end_pools
    async def told(self):
        if {place!r} == "start": tell()
        await start(self)
        if {place!r} != "start": tell()
        return self
    def ended():
        if {place!r} == "end": tell()
        end()
    service.Service.start, options.end_pools = told, ended
sys.argv = ["lipwire", *{args!r}]
from lipwire.cli.entry import main
main()
"""


@pytest.mark.parametrize(
    ("command", "number", "at"),
    [
        ("serve", "SIGINT", "rich.console"),
        ("agent", "SIGINT", "lipwire.app.agent_command"),
        ("demo", "SIGTERM", "start"),
        ("agent", "SIGINT", "started"),
        ("serve", "SIGINT", "end"),  # a second one, when all is closed
    ],
)
def test_a_server_that_is_ended_while_it_starts_says_nothing(place: Path, command: str, number: str, at: str) -> None:
    """At the import of a module, before and after the start, and at the end of an end."""
    args = [command, *PORTS, *(("--channel", "c", "--brain", "echo") if command == "agent" else ())]
    code = HOOK.format(number=number, place=at, args=args)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment(place, LIPWIRE_LOG_LEVEL="warning"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT,
        # A job in the background inherits that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert done.stderr == ""
    assert done.returncode in {"SIGINT": (-2, 130), "SIGTERM": (-15, 0)}[number]


def test_bad_settings_are_one_line(place: Path) -> None:
    (place / "lipwire.toml").write_text("htpp_port = 1\n")
    error = fails(place, "serve", *PORTS)
    assert "lipwire.toml" in error
    assert "htpp_port" in error
    (place / "lipwire.toml").unlink()
    assert "LIPWIRE_WS_PORT" in fails(place, "serve", LIPWIRE_WS_PORT="many")
    assert "http_port" in fails(place, "doctor", LIPWIRE_HTTP_PORT="70000")
    assert "LIPWIRE_API_KEY" in fails(place, "serve", *PORTS, "--host", "0.0.0.0")
    assert "none.toml" in fails(place, "serve", "--config", "none.toml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = fails(place, "serve", *PORTS, "--http-port", port)
        assert str(port) in error
        assert "--http-port" in error
    nothing_left(place)


# ------------------------------------------------------------------------------------------------------------ render


def test_render(place: Path) -> None:
    speech_file(place / "in.wav")
    code, out, err = run(place, "render", "in.wav", "out.mp4", "--size", "128x72", "--fps", "29.97")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"out\.mp4: 1\.2\d s, 3\d frames, in [\d.]+ s \([\d.]+x real time\)\n", out)
    with av.open(str(place / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (128, 72, Fraction(30000, 1001))
        assert file.streams.audio[0].rate == 48_000
    nothing_left(place, "in.wav", "out.mp4")


def test_render_of_a_text(place: Path, say: Callable[[str], tuple[bytes, int]]) -> None:
    assert say("ready?")
    more = (
        "--voice",
        "en-us+f3",
        "--background",
        "teal",
        "--subtitles",
        "vtt",
        "--poster",
        "still.png",
        "--quality",
        "low",
    )
    code, out, err = run(place, "render", "--text", "Well said.", "a:b.webm", "--size", "64x36", "--fps", "100", *more)
    assert (code, err) == (0, "")
    assert out.startswith("a:b.webm: ")
    with av.open(f"file:{place / 'a:b.webm'}") as file:
        assert [stream.codec_context.name for stream in file.streams] == ["vp9", "opus"]
    assert "Well said." in (place / "a:b.vtt").read_text()
    nothing_left(place, "a:b.webm", "a:b.vtt", "still.png")


def test_render_of_what_cannot_be(place: Path) -> None:
    speech_file(place / "in.wav")
    assert ".mkv, .webm, .gif" in fails(place, "render", "in.wav", "out.avi")
    assert "it is empty" in fails(place, "render", "-", "out.mp4")
    for args in (["in.wav"], ["in.wav", "out.mp4", "--text", "Hi."], ["in.wav", "in.wav", "out.mp4"]):
        code, _, err = run(place, "render", *args)
        assert code == 2 and "FILM" in err
    (place / "text.wav").write_text("no sound at all")
    assert "missing.wav" in fails(place, "render", "missing.wav", "out.mp4")
    assert "text.wav" in fails(place, "render", "text.wav", "out.mp4")
    assert "no/out.mp4" in fails(place, "render", "in.wav", "no/out.mp4")
    (place / "folder").mkdir()
    assert "cannot write" in fails(place, "render", "in.wav", "folder")
    assert "63x36" in fails(place, "render", "in.wav", "out.mp4", "--size", "63x36")
    assert "big" in fails(place, "render", "in.wav", "out.mp4", "--size", "big")
    assert "nobody" in fails(place, "render", "in.wav", "out.mp4", "--avatar", "nobody")
    code, _, err = run(place, "render", "in.wav", "out.mp4", "--fps", "101")
    assert code == 2
    assert "--fps" in err
    nothing_left(place, "folder", "in.wav", "text.wav")


@pytest.mark.parametrize("out", [".", "/", ""])
def test_render_into_a_path_without_a_name(place: Path, out: str) -> None:
    speech_file(place / "in.wav")
    assert "cannot write" in fails(place, "render", "in.wav", out)


def test_a_render_that_is_interrupted_leaves_no_file(place: Path) -> None:
    speech_file(place / "in.wav", 600)
    process = start(place, "render", "in.wav", "out.mp4", "--size", "1280x720")
    while len(list(place.iterdir())) == 1 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    nothing_left(place, "in.wav")


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))


@contextlib.contextmanager
def small_disk(where: Path) -> Iterator[None]:
    """A file system of 32 KiB."""
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(where)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


@pytest.mark.parametrize("how", ["limit", "disk"])
def test_a_render_that_finds_no_place_leaves_what_was_there(place: Path, how: str) -> None:
    speech_file(place / "in.wav", 8)
    with small_disk(place / "out") if how == "disk" else contextlib.nullcontext((place / "out").mkdir()):
        target = place / "out" / "out.mp4"
        target.write_bytes(b"the old one")
        # Coverage of the child would write a file of its own, and complain of the limit.
        env = {name: value for name, value in environment(place).items() if not name.startswith("COV")}
        done = subprocess.run(
            [str(LIPWIRE), "render", "in.wav", str(target), "--size", "320x240"],
            cwd=place,
            env=env,
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
            preexec_fn=limit_files if how == "limit" else None,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith(f"error: cannot write {target}: ")
        assert done.stderr.count("\n") == 1
        assert ("too large" if how == "limit" else "No space left") in done.stderr
        assert [file.name for file in target.parent.iterdir()] == ["out.mp4"]
        assert target.read_bytes() == b"the old one"


def test_an_interrupt_that_a_library_swallows_ends_the_job() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), ProgressBar(Console(file=io.StringIO())) as bar:
        task = bar.add_task("rendering", total=2.0)
        bar.update(task, completed=1.0)
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        bar.update(task, completed=2.0)
        raise AssertionError("it goes on")
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


# ------------------------------------------------------------------------------------------------------ serve and send


class Server:
    """A running `lipwire serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            self.printed += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"^HTTP +(http://[\d.:]+) ", self.printed, re.M)
        assert found, self.printed
        self.url = found[1]
        self.ports = sorted({int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.printed)})
        key = re.search(r"^API key +(\S+) .*keep one\)$", self.printed, re.M)
        self.key = key[1] if key else ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(how)
        _, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, err


@pytest.fixture
def serve(place: Path) -> Iterator[Callable[..., Server]]:
    started: list[subprocess.Popen[str]] = []

    def launch(*args: object, **more: str) -> Server:
        started.append(start(place, "serve", *PORTS, *args, **{"LIPWIRE_PREENCODED": "off"} | more))
        return Server(started[-1])

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def test_serve_and_send(place: Path, serve: Callable[..., Server]) -> None:
    speech_file(place / "in.wav")
    server = serve()
    assert len(server.ports) == 3
    assert server.key
    ways: list[tuple[str, int, list[str]]] = [
        ("PCM16", 20, []),
        ("PCM16", 1000, ["--fast"]),
        ("PCM8", 10, ["--fast"]),
        ("OPUS", 60, ["--fast"]),
    ]
    sending = [
        start(
            place,
            "send",
            "in.wav",
            *("--url", server.url, "--encoding", encoding, "--chunk-ms", chunk, "--channel", n, *more),
            LIPWIRE_API_KEY=server.key,
        )
        for n, (encoding, chunk, more) in enumerate(ways)
    ]
    for process, (encoding, _, _) in zip(sending, ways, strict=True):
        out, err = process.communicate(timeout=WAIT)
        assert (process.returncode, err) == (0, "")
        heard = [e for e in events(out) if e["command"] != "underrun"]  # what is sent live may be late here
        assert [e["command"] for e in heard] == ["init_ack", "playback_started", "playback_finished"]
        # Opus comes in whole packets, and one more holds what the encoder kept back.
        assert heard[2]["position_ms"] in ((1020, 1080) if encoding == "OPUS" else (1000,))
        assert heard[2]["interrupted"] is False
    code, err = server.stop()
    assert code == 130, err
    assert "Traceback" not in err
    assert "ERROR" not in err
    assert not any(map(is_open, server.ports))
    nothing_left(place, "in.wav")


def test_send_prints_one_event_a_line(place: Path, serve: Callable[..., Server]) -> None:
    speech_file(place / "in.wav", 0.1)
    server = serve("--no-viewer")
    code, out, err = run(
        place, "send", "in.wav", "--url", server.url, "--fast", COLUMNS="80", LIPWIRE_API_KEY=server.key
    )
    assert (code, err) == (0, "")
    assert len(events(out)) == 3


def speaking(place: Path, server: Server, key: str, *more: object) -> subprocess.Popen[str]:
    """A client that speaks `in.wav`, and is heard."""
    client = start(place, "send", "in.wav", "--url", server.url, "--api-key", key, *more)
    assert client.stdout is not None
    for line in client.stdout:
        if "playback_started" in line:
            return client
    raise AssertionError("it was not heard")


def test_ctrl_c_in_the_middle_of_speech(place: Path, serve: Callable[..., Server]) -> None:
    speech_file(place / "in.wav", 60)
    server = serve("--drain", 0.2, LIPWIRE_API_KEY="secret-of-mine")
    assert server.key == ""
    assert "secret-of-mine" not in server.printed
    client = speaking(place, server, "secret-of-mine")
    code, err = server.stop()
    assert code == 130, err
    assert "Traceback" not in err
    assert not any(map(is_open, server.ports))
    _, err = client.communicate(timeout=WAIT)
    assert client.returncode == 1
    assert "error: the provider closed the WebSocket" in err
    assert "Traceback" not in err
    nothing_left(place, "in.wav")


def test_sigterm_ends_it_too(place: Path, serve: Callable[..., Server]) -> None:
    server = serve("--no-viewer")
    code, err = server.stop(signal.SIGTERM)
    assert code == 0, err
    assert "Traceback" not in err
    assert not any(map(is_open, server.ports))


def finished(out: str) -> list[tuple[float, bool]]:
    """(position_ms, interrupted) of each utterance."""
    return [(e["position_ms"], e["interrupted"]) for e in events(out) if e["command"] == "playback_finished"]


def test_sigterm_in_speech_lets_it_end(place: Path, serve: Callable[..., Server]) -> None:
    """All of it is heard and told, and meanwhile nothing new begins. Video that is pre-encoded is broken off."""
    speech_file(place / "in.wav", 4)
    server = serve("--no-viewer", LIPWIRE_PREENCODED="auto", XDG_CACHE_HOME=str(place / "cache"))
    client = speaking(place, server, server.key)
    server.process.send_signal(signal.SIGTERM)
    health = httpx.get(f"{server.url}/healthz")
    while health.status_code == 200:  # until the signal has arrived
        health = httpx.get(f"{server.url}/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "draining", "sessions": 1})
    base = f"{server.url}/api/conversational-ai-agent/v2/projects/x"
    refused = [
        httpx.post(f"{server.url}/session/start", headers={"x-api-key": server.key}, json=start_body(uid="9")),
        httpx.post(f"{base}/join", auth=("me", server.key), json=V2),
    ]
    assert [(reply.status_code, "retry-after" in reply.headers) for reply in refused] == [(503, True)] * 2
    out, err = client.communicate(timeout=WAIT)
    assert (client.returncode, finished(out)) == (0, [(4000.0, False)]), err
    _, err = server.process.communicate(timeout=WAIT)
    assert server.process.returncode == 0, err
    assert "Traceback" not in err
    assert not any(map(is_open, server.ports))


@pytest.mark.parametrize(("how", "drain", "code"), [("once", "0", 0), ("once", "0.3", 0), ("twice", "60", 143)])
def test_speech_that_takes_too_long_breaks_off_and_is_told(
    place: Path, serve: Callable[..., Server], how: str, drain: str, code: int
) -> None:
    """At once, after --drain SECONDS, or with a second signal."""
    speech_file(place / "in.wav", 60)
    server = serve("--no-viewer", "--drain", drain)
    client = speaking(place, server, server.key, "--fast")
    server.process.send_signal(signal.SIGTERM)
    if how == "twice":
        while httpx.get(f"{server.url}/healthz").status_code == 200:
            pass
        server.process.send_signal(signal.SIGTERM)
    _, err = server.process.communicate(timeout=WAIT)
    assert server.process.returncode == code, err
    assert "Traceback" not in err
    out, _ = client.communicate(timeout=WAIT)
    ((position_ms, interrupted),) = finished(out)
    assert interrupted and 0 < position_ms < 60_000
    assert not any(map(is_open, server.ports))


def until_ours(pid: int) -> None:
    """Waits until the command has begun: before, Python itself catches SIGINT, and has a lot to say."""
    caught_once = False
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"SigCgt:\s*(\w+)", status)
        assert found
        caught = int(found[1], 16) >> (signal.SIGINT - 1) & 1
        if caught_once and not caught:
            return
        caught_once = caught_once or bool(caught)
        time.sleep(0.002)


@pytest.mark.parametrize("command", [("serve",), ("agent", "--channel", "x", "--brain", "echo")])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_without_a_word(
    place: Path, command: tuple[str, ...], how: signal.Signals
) -> None:
    for wait in (0.0, 0.3, 0.6, 0.9, 1.2):
        process = start(place, *command, *PORTS)
        try:
            until_ours(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait)
            process.send_signal(how)
            _, err = process.communicate(timeout=WAIT)
        finally:
            process.kill()
        assert process.returncode in (0, 130, -how), err  # minus: before there was anything to end
        assert "Traceback" not in err and "ERROR" not in err


def test_public_ws_url(serve: Callable[..., Server]) -> None:
    assert "wss://voice.example/ws" in serve("--public-ws-url", "wss://voice.example/ws").printed


def test_send_what_cannot_be(place: Path, serve: Callable[..., Server]) -> None:
    speech_file(place / "in.wav", 0.2)
    server = serve("--no-viewer")
    to = ("--url", server.url)
    key = ("--api-key", server.key)
    assert "API key" in fails(place, "send", "in.wav", *to)
    assert "401" in fails(place, "send", "in.wav", *to, "--api-key", "wrong")
    assert "missing.wav" in fails(place, "send", "missing.wav", *to), "the file comes before the key"
    assert "MP3" in fails(place, "send", "in.wav", *to, *key, "--encoding", "MP3")
    assert "quality" in fails(place, "send", "in.wav", *to, *key, "--quality", "best")
    assert "failed" in fails(place, "send", "in.wav", "--url", "http://127.0.0.1:9", *key)
    for chunk, encoding in ((5, "PCM16"), (1001, "PCM8"), (30, "OPUS")):
        code, _, err = run(place, "send", "in.wav", *to, *key, "--chunk-ms", chunk, "--encoding", encoding)
        assert code == 1
        assert f" {chunk}" in err
        assert err.count("\n") == 1


# -------------------------------------------------------------------------------------------------------------- demo


def test_the_demo_ends_by_itself(place: Path, say: Callable[[str], tuple[bytes, int]]) -> None:
    assert say("ready?")
    drawn("aria", 1280, 720)  # on a busy machine that takes longer than a client waits for a session
    for seconds in (6, 40):  # and so does the first word
        code, out, err = run(place, "demo", "--seconds", seconds, *PORTS)
        assert (code, err) == (0, "")
        lines = out.splitlines()
        if any("speaking" in line for line in lines):
            break
    assert re.match(r"Open http://127\.0\.0\.1:\d+/ to see and hear aria\. The picture is 1280x720", lines[0])
    live = [line for line in lines if line.startswith("session ")]
    assert len(live) >= 3
    assert any("speaking" in line for line in live)
    for line in live:
        assert re.search(
            r"(speaking|idle) +[\d.]+ fps +A/V skew [+-][\d.]+ ms +speech-to-mouth .* late frames \d+", line
        )
    summary = re.match(
        r"summary: ([\d.]+) s, \d+ utterances?, (\d+) frames, \d+ late, A/V skew at most ([\d.]+) ms", lines[-1]
    )
    assert summary
    assert int(summary[2]) > 0
    assert float(summary[3]) <= 40
    nothing_left(place)


def test_the_demo_speaks_a_file(place: Path) -> None:
    speech_file(place / "in.wav", 0.5)
    code, out, err = run(place, "demo", "--seconds", 4, "--speech", "in.wav", "--quality", "low", *PORTS)
    assert (code, err) == (0, "")
    assert int(re.findall(r"(\d+) utterances", out)[-1]) >= 1
    assert "missing.wav" in fails(place, "demo", "--seconds", 2, "--speech", "missing.wav", *PORTS)
    assert "best" in fails(place, "demo", "--seconds", 2, "--quality", "best", *PORTS)
    code, out, err = run(place, "demo", "--seconds", 2, "--voice", "klingonx", *PORTS)
    assert (code, out) == (1, "") and "espeak-ng has no voice 'klingonx'" in err  # before anything is started


def test_the_demo_shows_the_avatar_asked_for(place: Path) -> None:
    code, out, err = run(place, "demo", "--seconds", 3, "--avatar", "kit", *PORTS)
    assert code == 0, err
    assert "to see and hear kit." in out


def test_ctrl_c_ends_the_demo(place: Path, say: Callable[[str], tuple[bytes, int]]) -> None:
    assert say("ready?")
    process = start(place, "demo", *PORTS)
    assert process.stdout is not None
    first = process.stdout.readline()
    port = int(re.findall(r":(\d+)/", first)[0])
    for line in process.stdout:
        if "speaking" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 130, err
    assert "summary: " in out
    assert "Traceback" not in err
    assert not is_open(port)
    nothing_left(place)
