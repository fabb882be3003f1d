"""docs/agents/rest.md: its examples are run, and answer as it says."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import Any

import pytest

from lipwire.agents.rest.wire import UPDATABLE
from lipwire.app.config import Config
from support.agent_site import KEY, serve
from support.agent_stand_in import manager
from support.machine import require
from support.paths import ROOT

DOC = ROOT / "docs" / "agents" / "rest.md"
EXAMPLE = re.compile(r"```sh\n(curl .*?)\n```\n(?:```json\n(.*?)\n```\n)?", re.S)


def same(shown: Any, real: Any) -> bool:
    """Whether an answer is as shown: "..." stands for any text, 0 for any number."""
    if isinstance(shown, dict):
        return isinstance(real, dict) and shown.keys() == real.keys() and all(same(shown[k], real[k]) for k in shown)
    if isinstance(shown, list):
        return isinstance(real, list) and len(shown) == len(real) and all(map(same, shown, real))
    if shown == "..." or (shown == 0 and shown is not False):
        return isinstance(real, type(shown)) and bool(real)
    return bool(shown == real)


@pytest.mark.asyncio
async def test_every_example() -> None:
    require(shutil.which("curl"), "curl")
    examples = EXAMPLE.findall(DOC.read_text())
    assert len(examples) == len(re.findall(r"^curl ", DOC.read_text(), re.M)) >= 12
    async for site in serve(manager()):
        agent_id, checked = "", 0
        for command, answer in examples:
            process = await asyncio.create_subprocess_exec(
                *("sh", "-c", command),
                env={"PATH": "/usr/bin:/bin", "SERVER": site.service.http_url, "KEY": KEY, "ID": agent_id},
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert process.returncode == 0, command
            real = json.loads(out)
            if answer:
                assert same(json.loads(answer), real), (command, real)
                checked += 1
            else:
                assert real.get("agent_id") == agent_id, (command, real)
            agent_id = real.get("agent_id", agent_id)
        assert checked >= 10


def spread(text: str) -> list[str]:
    """The paths that "a.{b, c.{d, e}}" stands for."""
    found = re.search(r"\{([^{}]*,[^{}]*)\}", text)
    if found is None:
        return [text]
    names = (name.strip() for name in found[1].split(","))
    return [path for name in names for path in spread(text[: found.start()] + name + text[found.end() :])]


def test_its_tables_are_complete() -> None:
    text = DOC.read_text()
    (row,) = [line for line in text.splitlines() if "/agents/{id}/update" in line and line.startswith("|")]
    named = {path for one in re.findall(r"`([^`]+)`", row.split(";")[0]) for path in spread(one)}
    assert set(UPDATABLE["v2"]) <= named, set(UPDATABLE["v2"]) - named
    assert named - set(UPDATABLE["v2"]) == {"POST /agents/{id}/update"}
    for name in ("agent_brain", "max_agents", "openai_api_key", "llm_url", "stt_model", "tts_url", "realtime_model"):
        assert name in Config.__struct_fields__
        assert f"`{name}`" in text
