"""The minimal provider of examples/: no line of Lipwire is in it, and the kit finds it right."""

from __future__ import annotations

import ast
import asyncio
import socket
import sys

from lipwire.conformance import RULES, Target, run
from support.paths import ROOT

EXAMPLE = ROOT / "examples" / "provider.py"


def test_it_uses_nothing_of_lipwire() -> None:
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(EXAMPLE.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "lipwire" not in names and {"uvicorn", "websockets", "jwt"} <= names


async def test_every_must_is_kept_without_lipwires_events() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLE, str(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        url, _, *words = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()
        target = Target(http=url, api_key=words[-1], patience=20.0)
        while True:  # it has said where it will listen; it may not do so yet
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.returncode is None
            await asyncio.sleep(0.05)
        report = await run(target, RULES, parallel=8)
    finally:
        process.terminate()
        await process.wait()
    assert {result.rule.id: result.came for result in report.of("fail") if result.rule.level == "must"} == {}
    assert report.conformant and report.events == ()
    skipped = {result.rule.id for result in report.of("skip") if result.rule.level == "must"}
    assert skipped == {"handshake.expired-token"}
    assert all(result.outcome == "skip" for result in report.results if result.rule.needs)
