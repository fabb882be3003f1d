"""Every Python block of the documentation and of the README runs, or says in front of it why it does not.

A block is executed as it stands and imports what it uses, as one who pastes it would want; a few names that the text
around it speaks of are given (`given`: `pcm`, `payload`, ...), and a folder with a `speech.wav`. `await` may stand at
its top. A function `main` that it defines and does not call is called. A block whose first line is a comment with a
file's name is that file. What it writes as *.mp4 must be there afterwards. One that cannot run has `<!-- not run: why
-->` in the line before.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import re
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire import opus

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^(<!-- not run: (?P<why>.+?) -->\n)?```python\n(?P<code>.*?)^```$", re.M | re.S)
FILE = re.compile(r"# (\w+\.py)\n")
NEEDS = {"numba": "@lipwire.hook", "aiortc": "Rooms(", "pylibsrtp": "publish.RTP", "litestar": "create_"}


def blocks() -> list[Any]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            found.append(pytest.param(page, match["code"], match["why"], id=name))
    return found


BLOCKS = blocks()


def tone(rate: int, seconds: float = 0.4) -> bytes:
    t = np.arange(round(rate * seconds)) / rate
    return bytes((np.sign(np.sin(2 * np.pi * 140 * t)) * 4000).astype("<i2"))


def given() -> dict[str, Any]:
    """What the pages' text speaks of."""
    encoder = opus.OpusEncoder(48000, 1, 24000, "voip", 20, fec=True, packet_loss=20)
    packets = [packet for _ in range(3) for packet in encoder.encode(tone(48000, 0.02))]
    return {
        "__name__": "page",
        "pcm": tone(24000),
        "pcm8k": tone(8000),
        "pcm16k": tone(16000),
        "payload": packets[0],
        "packet": packets[0],
        "following": packets[-1],
        "rooms": None if importlib.util.find_spec("aiortc") is None else lipwire.channel.Rooms(),
        "stop_agent": lambda request: None,
    }


def run(code: str, name: str) -> dict[str, Any]:
    """Executes a block; returns its names."""
    names = given()
    compiled = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)
    if inspect.iscoroutine(result):
        asyncio.run(result)
    main = names.get("main")
    if inspect.iscoroutinefunction(main) and "asyncio.run(main" not in code:
        asyncio.run(main(*(names[p] for p in inspect.signature(main).parameters)))
    return names


@pytest.mark.parametrize(("page", "code", "why"), BLOCKS)
def test_it_runs(page: Path, code: str, why: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why is not None:
        assert len(why) > 10, "say what it needs"
        compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return
    for module, word in NEEDS.items():
        if word in code:
            pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    with wave.open("speech.wav", "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(tone(24000))
    files = {m[1]: c.values[1] for c in BLOCKS if c.values[0] == page and (m := FILE.match(c.values[1]))}
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    if own := FILE.match(code):
        compile(code, str(page), "exec")  # run by the block that starts it
        assert any(own[1] in c.values[1] and c.values[1] != code for c in BLOCKS), "nothing starts it"
        return
    run(code, str(page))
    for out in re.findall(r'"([\w-]+\.mp4)"', code):
        assert Path(out).stat().st_size > 1000, out


def test_the_meter_of_the_renderers_page_is_empty_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And full where it is loud: a block that runs may still be wrong."""
    monkeypatch.chdir(tmp_path)
    (code,) = (block.values[1] for block in BLOCKS if "class Meter" in str(block.values[1]))
    with wave.open("speech.wav", "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(bytes(24000) + tone(24000, 1.0))
    run(str(code), "renderers.md")
    with av.open("out.mp4") as film:
        luma = [frame.to_ndarray()[: frame.height].mean() for frame in film.decode(video=0)]
    assert abs(luma[2] - 40) < 3, "silence"
    assert max(luma) > 60, "speech"


def test_there_are_some_and_most_of_them_run() -> None:
    assert len(BLOCKS) >= 15
    assert sum(block.values[2] is not None for block in BLOCKS) <= 4


def test_a_block_that_fails_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner itself: top-level await, a main of its own, and errors that come through."""
    monkeypatch.chdir(tmp_path)
    assert run("import asyncio\nawait asyncio.sleep(0)\nx = 1", "block")["x"] == 1
    called = run("got = []\nasync def main(pcm):\n    got.append(len(pcm))\n", "block")
    assert called["got"] == [len(called["pcm"])]
    with pytest.raises(ZeroDivisionError):
        run("async def main():\n    1 / 0\n", "block")


def test_every_example_has_a_test() -> None:
    """By a name that stands in a test of examples."""
    tests = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "examples").glob("test_*.py"))
    for example in (ROOT / "examples").glob("*.py"):
        assert re.search(rf"\b{example.stem}\b", tests), f"examples/{example.name} has no test"


COMMAND = re.compile(r"^(?:\S+=\S+ )*(?:\.venv/bin/)?lipwire ((?:[a-z]+ ?)+)(.*?)(?:  +#.*)?$", re.M)
SHELL = re.compile(r"^```(?:sh)?\n([\s\S]*?)^```$|((?:^    \S[^\n]*\n)+)", re.M)


def test_commands_that_pages_show_are_there() -> None:
    """Commands and flags of `lipwire ...` in shell blocks, by the command line's own tables."""
    import sys

    sys.path.insert(0, str(ROOT / "tools" / "docs"))
    import reference

    known = {" ".join(words[1:]): command for words, command in reference.commands()}
    seen = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shell = "".join(block or inspect.cleandoc(indented) + "\n" for block, indented in SHELL.findall(text))
        for words, rest in COMMAND.findall(shell):
            name = next((n for n in (" ".join(words.split()[:k]) for k in (2, 1)) if n in known), None)
            assert name is not None, f"{page.name}: lipwire {words}"
            seen.add(name)
            flags = {flag for p in known[name].params for flag in [*p.opts, *p.secondary_opts]}
            for flag in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert flag in flags, f"{page.name}: lipwire {name} {flag}"
    assert {"serve", "send", "agent", "render", "avatar list", "avatar check", "doctor", "bench lipsync"} <= seen


def test_make_targets_that_pages_show_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]:
        for target in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M):
            assert set(filter(None, target)) <= targets, f"{page.name}: make {target}"
