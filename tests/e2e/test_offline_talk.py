"""People's recorded speech through Chromium's microphone to an agent that asks nobody but a chat service on loopback:
Silero, whisper, Smart Turn and hibari, all of them the real ones, in a real room and a real page.

The speech is of Debian's asterisk-core-sounds-en-g722 (Allison Smith's, read). When sound is in the microphone and in
what the page plays is looked at in the page, every 5 ms: so the latency is what a user has, the way there and back too.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import wave
from pathlib import Path
from typing import Any

import pytest

from lipwire import G722Decoder, resample
from lipwire.agents.speech.offline_stt import what_hears
from lipwire.agents.speech.turn_detector import told
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from support.browsing import RATE, becomes, browser, eventually, items, speaks
from support.fakes.chat import FakeChat
from support.machine import require

SOUNDS = Path("/usr/share/asterisk/sounds/en")
SAID = {
    "conf-getpin": "Please enter the conference pin number.",
    "check-number-dial-again": "Please check the number and dial again.",
    "conf-onlyperson": "You are currently the only person in this conference.",
}
"""Prompts, and what is said in them."""
ANSWERS = ["All right.", "That is done.", "Nobody else is there."]
BEFORE, BETWEEN = 10.0, 8.0
"""Seconds of silence: models are loaded, an answer is heard."""
LATE = 6000.0
"""Ms after which an answer is none, on a machine that has much else to do."""

# [begin, end] (performance.now) of each stretch of sound in the microphone and from the room; pauses within one are
# shorter than 0.7 s.
PROBE = """(() => {
  window.stretches = {user: [], agent: []};
  const watch = (stream, found) => {
    const context = new AudioContext(), analyser = context.createAnalyser();
    const wave = new Float32Array(analyser.fftSize = 256);
    context.createMediaStreamSource(stream).connect(analyser);
    setInterval(() => {
      analyser.getFloatTimeDomainData(wave);
      if (Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length) < 0.01) return;
      const now = performance.now();
      if (!found.length || now - found.at(-1)[1] > 700) found.push([now, now]);
      found.at(-1)[1] = now;
    }, 5);
  };
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    watch(stream.clone(), window.stretches.user);
    return stream;
  };
  const Connection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Connection {
    constructor(...settings) {
      super(...settings);
      this.addEventListener('track', ({track}) => {
        if (track.kind === 'audio') watch(new MediaStream([track]), window.stretches.agent);
      });
    }
  };
})()"""


def record(path: Path) -> None:
    """What the microphone hears, once."""
    pcm = bytearray(int(BEFORE * RATE) * 2)
    for name in SAID:
        spoken = G722Decoder().decode((SOUNDS / f"{name}.g722").read_bytes())
        pcm += bytes(resample(spoken, 16_000, RATE)) + bytes(int(BETWEEN * RATE) * 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(pcm))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


@pytest.mark.slow
async def test_recorded_speech_is_heard_and_answered_without_an_account(
    chromium: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require(all((SOUNDS / f"{name}.g722").is_file() for name in SAID), "asterisk-core-sounds-en-g722")
    require(what_hears("en-US") == ("whisper-tiny.en", ""), "whisper-tiny.en")
    require("in place of" not in told("auto"), "silero-vad or smart-turn")
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    monkeypatch.setattr("lipwire.agents.speech.whisper_stt.TIMEOUT", 120.0)  # a busy machine is slow, and that is all
    path = tmp_path / "user.wav"
    await asyncio.to_thread(record, path)
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
    complaints: list[str] = []
    async with FakeChat(ANSWERS) as chat:
        config = Config(**ports, host="127.0.0.1", ice_host="127.0.0.1", agent_brain="cascade", llm_url=chat.url)
        async with Service(config) as service, browser(chromium, *speaks(Path(f"{path}%noloop"))) as launched:
            page = await launched.new_page(viewport={"width": 800, "height": 600})
            await page.add_init_script(PROBE)
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            await page.goto(service.page_link("offline"))
            await page.wait_for_selector("#join:enabled")
            await page.click("#join")
            await eventually(becomes(page, "idle", "listening"))
            (agent,) = service.agents.active

            async def answered() -> bool:
                return len([item for item in await items(page, "agent") if item["final"]]) >= len(SAID)

            await eventually(answered, BEFORE + len(SAID) * (BETWEEN + 6.0) + 60.0)
            log = await page.evaluate("() => window.lipwire.items")
            stretches = await page.evaluate("() => window.stretches")
            used, history = agent.in_use(), agent.history()

    # What was said is what was heard, each followed by its answer, and that is all.
    assert [item["role"] for item in log] == ["user", "agent"] * len(SAID), log
    assert all(item["final"] and not item["interrupted"] for item in log), log
    for item, text in zip(log[::2], SAID.values(), strict=True):
        heard, said = words(item["text"]), words(text)
        assert len({*heard} & {*said}) >= 0.7 * len({*said}) and len(heard) <= len(said) + 2, (heard, said)
    assert [item["text"] for item in log[1::2]] == ANSWERS
    asked = [[message["content"] for message in request["messages"]][-1] for request in chat.requests]
    assert asked == [item["text"] for item in log[::2]]  # no request for half of what was said
    assert [entry["content"] for entry in history] == [item["text"] for item in log]
    assert {part: one.name for part, one in used.items()} == {
        "ears": "whisper-tiny.en",
        "turns": "smart-turn",
        "activity": "silero-vad",
        "voice": "hibari:heart",
    }

    # Nobody spoke into what the other said, and no answer was long in coming.
    user, spoken = stretches["user"], stretches["agent"]
    assert len(user) == len(spoken) == len(SAID), stretches
    latencies = [answer[0] - question[1] for question, answer in zip(user, spoken, strict=True)]
    assert all(0 < ms < LATE for ms in latencies), latencies
    assert all(answer[1] < question[0] for answer, question in zip(spoken, user[1:], strict=False)), stretches
    assert complaints == []
    with capsys.disabled():
        each = ", ".join(f"{ms:.0f}" for ms in latencies)
        print(f"\nlast sound at the microphone -> first of the answer in the page: {each} ms, "
              f"median {statistics.median(latencies):.0f}")  # fmt: skip
