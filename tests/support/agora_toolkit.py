"""Agora's client toolkit for agents, from npm, in node: what an application sees of what an agent sends."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

from support.machine import require
from support.npm import package

NAME, VERSION = "agora-agent-client-toolkit", "2.9.1"

SCRIPT = """
import { readFileSync } from 'node:fs';
import { AgoraVoiceAI, AgoraVoiceAIEvents } from 'file://TOOLKIT/dist/index.mjs';

const { lines, options } = JSON.parse(readFileSync(0, 'utf8')), told = [], heard = {};
const rtcEngine = { on: (name, tell) => { heard[name] = tell; }, off: () => {} };
const ai = await AgoraVoiceAI.init({ rtcEngine, ...options });
for (const name of Object.values(AgoraVoiceAIEvents)) {
  ai.on(name, (...what) => told.push([name, structuredClone(what)]));
}
ai.subscribeMessage('channel');
for (const line of lines) heard['stream-message'](9000, Uint8Array.from(Buffer.from(line, 'base64')));
process.stdout.write(JSON.stringify(told));
ai.destroy();
"""


def told(packets: Iterable[bytes], **options: Any) -> list[tuple[str, list[Any]]]:
    """The toolkit's events, (name, arguments), once it has got these packets from the data stream of an Agora channel.
    `options`: of `AgoraVoiceAI.init`. Skips where the toolkit is not to be had."""
    node = shutil.which("node")
    require(node, "node")
    script = SCRIPT.replace("TOOLKIT", str(package(NAME, VERSION)))
    lines = [base64.b64encode(packet).decode() for packet in packets]
    command = [str(node), "--input-type=module", "--eval", script]
    given = json.dumps({"lines": lines, "options": options})
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [(name, arguments) for name, arguments in json.loads(done.stdout)]


def shown(events: Iterable[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    """The lines that the application shows at last: `uid` ("0" = the user), `turn_id`, `text`."""
    return [arguments[0] for name, arguments in events if name == "transcript-updated"][-1]
