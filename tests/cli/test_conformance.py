"""`lipwire conformance` as a user runs it: exit codes, what it prints, what it writes, and what it leaves."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from lipwire.cli.conformance_report import show_report, show_rules
from lipwire.conformance import RULES, Report, Result
from support.flawed_provider import KEY, FlawedProvider

LIPWIRE = Path(sys.executable).parent / "lipwire"
WAIT = 120
QUICK = ("--only", "http", "--patience", "20")


async def start(*args: object) -> asyncio.subprocess.Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIPWIRE_")}
    return await asyncio.create_subprocess_exec(
        LIPWIRE,
        "conformance",
        *map(str, args),
        env=kept | {"COLUMNS": "120", "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


async def run(*args: object) -> tuple[int | None, str, str]:
    process = await start(*args)
    out, err = await asyncio.wait_for(process.communicate(), WAIT)
    return process.returncode, out.decode(), err.decode()


async def test_a_right_provider(tmp_path: Path) -> None:
    junit, document = tmp_path / "junit.xml", tmp_path / "report.json"
    async with FlawedProvider() as provider:
        code, out, err = await run(
            "--http", provider.http, "--api-key", KEY, *QUICK, "--junit", junit, "--json", document, "--every"
        )
    assert (code, err) == (0, "")
    assert "CONFORMANT: every must that was checked is kept" in out and "FAIL" not in out
    assert "ok    http.start.ok" in out
    assert "http.channel-in-use\n      it takes a second key: --other-api-key\n" in out
    chosen = {rule.id for rule in RULES if rule.group == "http"}
    assert {case.get("name") for case in ET.parse(junit).getroot().iter("testcase")} == chosen
    assert {entry["id"] for entry in json.loads(document.read_bytes())["rules"]} == chosen


async def test_a_must_that_fails_is_told_at_once_and_exits_1() -> None:
    async with FlawedProvider("500 on bad JSON") as provider:
        code, out, err = await run("--http", provider.http, "--api-key", KEY, *QUICK)
    assert (code, err) == (1, "")
    lines = [line.strip() for line in out.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.endswith("http.start.bad-json"))
    assert lines[at].startswith("FAIL must  A body that is no JSON object is a 400")
    told = [line.split("  ")[0] for line in lines[at + 1 :]]
    order = ["the client", "expected", "came", "it matters", "how to fix", "source", "on the wire"]
    assert [word for word in told if word in order][:7] == order
    assert "half an object: 500, text/html" in out
    assert lines[-2] == "NOT CONFORMANT: http.start.bad-json, http.stop.bad-request"
    assert lines[-1] == "one of them again: the same command with --only RULE"


async def test_a_should_that_fails_is_told_and_exits_0() -> None:
    async with FlawedProvider("no CORS") as provider:
        code, out, _ = await run("--http", provider.http, "--api-key", KEY, *QUICK)
    assert code == 0
    assert "FAIL should" in out and "should  " in out and "1 failed" in out and "CONFORMANT" in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--http", "http://127.0.0.1:9", "--api-key", KEY), "no answer to POST /session/start"),
        (("--api-key", KEY), "which provider? --http URL"),
        (("--http", "http://127.0.0.1:9"), "the provider wants an API key: --api-key or LIPWIRE_API_KEY"),
        (("--http", "x", "--api-key", KEY), "--http x: a URL that begins with http:// or https://"),
        (("--http", "http://a", "--api-key", KEY, "--only", "nothing"), "no rule and no group is called 'nothing'"),
        (("--http", "http://a", "--api-key", KEY, "--junit", "/nowhere/at/all.xml"), "there is no folder /nowhere/at"),
    ],
)
async def test_what_cannot_be_judged_exits_2(args: tuple[str, ...], told: str) -> None:
    code, out, err = await run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and told in err


async def test_a_wrong_key_exits_2() -> None:
    async with FlawedProvider() as provider:
        code, _, err = await run("--http", provider.http, "--api-key", "wrong")
    assert code == 2 and "refuses the API key: 401" in err


async def test_ctrl_c_leaves_no_session() -> None:
    async with FlawedProvider() as provider:
        process = await start("--http", provider.http, "--api-key", KEY, "--only", "speech", "--parallel", 8)
        async with asyncio.timeout(WAIT):
            while len(provider.sessions) < 4:
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            await process.wait()
        assert process.returncode == 130
        assert provider.sessions == {}


async def test_the_list_needs_no_provider() -> None:
    code, out, err = await run("--list", "--only", "timing", "--only", "life.idle")
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  ")] == [
        "life.idle", "life.idle.active", "life.idle.never",
        "timing.start", "timing.pace", "timing.interrupt", "timing.heartbeat",
    ]  # fmt: skip


def test_every_rule_can_be_shown_in_a_narrow_terminal() -> None:
    results = tuple(
        Result(rule=rule, outcome="fail", came="[bold]not markup[/bold] " * 20, wire=("[x] " * 100,)) for rule in RULES
    )
    report = Report(http="http://[::1]", version="1", started="", seconds=1.0, events=(), results=results)
    out = Console(file=io.StringIO(), width=60)
    show_report(report, out)
    show_rules(list(RULES), out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]not" in text and "http://[::1]" in text
    assert all(rule.id in text for rule in RULES)
