"""People's recorded speech through Chromium's microphone to an agent that asks nobody but a chat service on loopback:
Silero, whisper, Smart Turn and hibari, all of them the real ones, in a real room and a real page.

The speech is of Debian's asterisk-core-sounds-en-g722 (Allison Smith's, read). When sound is in the microphone and in
what the page plays is looked at in the page, every 5 ms: so the latency is what a user has, the way there and back too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import wave
from pathlib import Path
from typing import Any

import pytest

from lipwire import G722Decoder, resample
from lipwire.agents.speech.offline_stt import what_hears
from lipwire.agents.speech.turn_detector import told
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.models.host import ModelHost
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from support.browsing import RATE, becomes, browser, eventually, items, speaks
from support.fakes.chat import FakeChat
from support.machine import require

SOUNDS = Path("/usr/share/asterisk/sounds/en")
SAID = {
    "conf-getpin": "Please enter the conference pin number.",
    "check-number-dial-again": "Please check the number and dial again.",
}
"""Prompts, and what is said in them."""
ANSWER = "All right, that is done."
BEFORE, AFTER = 8.0, 40.0
"""Seconds of silence: the agent joins; and as long as a machine may take that has much else to do."""
TRIES = 3
"""How often a prompt is said, as people say it again: a browser of a busy machine loses some sound."""

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


def record(path: Path, prompt: str) -> None:
    """What the microphone hears, once."""
    spoken = resample(G722Decoder().decode((SOUNDS / f"{prompt}.g722").read_bytes()), 16_000, RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(int(BEFORE * RATE) * 2) + bytes(spoken) + bytes(int(AFTER * RATE) * 2))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


class Talk:
    """What came of a prompt that was said once."""

    def __init__(self, prompt: str) -> None:
        self.said = words(SAID[prompt])
        self.log: list[dict[str, Any]] = []
        """What the page shows,"""
        self.stretches: dict[str, list[list[float]]] = {}
        """and when there was sound in it."""
        self.history: list[dict[str, Any]] = []
        self.used: dict[str, str] = {}
        self.asked: list[str] = []
        self.complaints: list[str] = []

    async def run(self, chromium: str, path: Path) -> None:
        ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}
        async with FakeChat(ANSWER) as chat:
            config = Config(**ports, host="127.0.0.1", ice_host="127.0.0.1", agent_brain="cascade", llm_url=chat.url)
            async with Service(config) as service, browser(chromium, *speaks(Path(f"{path}%noloop"))) as launched:
                page = await launched.new_page(viewport={"width": 800, "height": 600})
                await page.add_init_script(PROBE)
                page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: self.complaints.append(str(error)))
                await page.goto(service.page_link("offline"))
                await page.wait_for_selector("#join:enabled")
                await page.click("#join")
                await eventually(becomes(page, "idle", "listening"))
                (agent,) = service.agents.active

                async def answered() -> bool:
                    return any(item["final"] for item in await items(page, "agent"))

                with contextlib.suppress(TimeoutError):
                    await eventually(answered, BEFORE + AFTER)
                self.log = await page.evaluate("() => window.lipwire.items")
                self.stretches = await page.evaluate("() => window.stretches")
                self.used = {part: one.name for part, one in agent.in_use().items()}
                self.history = agent.history()
            self.asked = [request["messages"][-1]["content"] for request in chat.requests]

    @property
    def came_through(self) -> bool:
        """Whether the page's microphone, and then the agent, had the prompt in one piece, and its answer came."""
        heard = words(self.log[0]["text"]) if self.log else []
        likely = len({*heard} & {*self.said}) >= 0.7 * len({*self.said}) and len(heard) <= len(self.said) + 2
        return likely and [len(found) for found in self.stretches.values()] == [1, 1] and len(self.log) == 2


@pytest.mark.slow
@pytest.mark.parametrize("prompt", SAID)
async def test_recorded_speech_is_heard_and_answered_without_an_account(
    prompt: str, chromium: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require((SOUNDS / f"{prompt}.g722").is_file(), "asterisk-core-sounds-en-g722")
    require(what_hears("en-US") == ("whisper-tiny.en", ""), "whisper-tiny.en")
    require("in place of" not in told("auto"), "silero-vad or smart-turn")
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    monkeypatch.setattr("lipwire.agents.speech.whisper_stt.TIMEOUT", 120.0)  # a busy machine is slow, and that is all
    path = tmp_path / "user.wav"
    await asyncio.to_thread(record, path, prompt)
    host = ModelHost.of()
    await host.warm("ears", "whisper-tiny.en")  # before any clock runs: on a busy machine that takes its time
    await host.warm("voice", "hibari:heart")
    await host.warm("turn")
    for _ in range(TRIES):
        talk = Talk(prompt)
        await talk.run(chromium, path)
        if talk.came_through:
            break
    await host.leave()
    assert talk.came_through, (talk.log, talk.stretches)

    # What was said is what was heard, is what was asked, was answered, and that is all.
    question, answer = talk.log
    assert [(item["role"], item["final"], item["interrupted"]) for item in talk.log] == [
        ("user", True, False),
        ("agent", True, False),
    ]
    assert answer["text"] == ANSWER and talk.asked == [question["text"]]
    assert [entry["content"] for entry in talk.history] == [question["text"], ANSWER]
    assert talk.used == {
        "ears": "whisper-tiny.en",
        "turns": "smart-turn",
        "activity": "silero-vad",
        "voice": "hibari:heart",
    }

    # The answer is heard behind the question.
    ((_, end),), ((begin, _),) = talk.stretches["user"], talk.stretches["agent"]
    assert begin > end, talk.stretches
    assert talk.complaints == []
    with capsys.disabled():
        print(f"\n{prompt}: last sound at the microphone -> first of the answer in the page: {begin - end:.0f} ms")
