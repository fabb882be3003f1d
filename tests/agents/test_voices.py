"""agents/voices.py: an agent without a voice of its own speaks with that of its face, as its service calls it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import Services
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.voices import settle_voice
from lipwire.audio import espeak
from lipwire.avatar import Avatar, Voice
from lipwire.errors import BadState, InvalidArgument
from lipwire.models.voices import choose
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from support.artwork import TOML, files, write
from support.machine import require

OPENAI, OTHER = "https://api.openai.com/v1/audio/speech", "http://127.0.0.1:1/v1/audio/speech"


def settled(brain: str = "cascade", avatar: str | None = None, tts: str | None = None, **more: Any) -> str:
    config = AgentConfig(name="a", channel="c", brain=brain, avatar=avatar, llm=Llm(url="http://127.0.0.1:1/"), **more)  # type: ignore[arg-type]
    settle_voice(config, Services(tts_url=tts))
    return config.voice


@pytest.mark.parametrize(
    ("brain", "tts", "voices"),
    [
        ("echo", None, ("hibari:heart", "hibari:heart+robot", "hibari:heart+child", "hibari:heart")),
        ("cascade", None, ("hibari:heart", "hibari:heart+robot", "hibari:heart+child", "hibari:heart")),
        ("cascade", OPENAI, ("coral", "echo", "sage", "alloy")),
        ("realtime", None, ("coral", "echo", "sage", "alloy")),
        (
            "cascade", OTHER,
            ("en-US-AvaMultilingualNeural", "en-US-AndrewMultilingualNeural", "en-US-AnaNeural",
             "en-US-AndrewMultilingualNeural"),
        ),
    ],
)  # fmt: skip
def test_the_voice_of_the_face(brain: str, tts: str | None, voices: tuple[str, ...]) -> None:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    faces = ("aria", "ohm", "kit", None)
    assert tuple(settled(brain, face, tts) for face in faces) == voices
    assert {settled(brain, face, tts, voice="own") for face in faces} == {"own"}


def test_its_language_is_that_of_the_agent() -> None:
    require(espeak.available(), "espeak-ng")
    assert settled("cascade", "aria", language="de-DE") == "de+f3"
    assert settled("echo", "aria", language="zz") == "en-us+f3"
    audio = Llm(url="http://127.0.0.1:1/", output_modalities=["audio"])
    config = AgentConfig(name="a", channel="c", avatar="aria", llm=audio)
    settle_voice(config, Services())
    assert config.voice == "coral"


def test_artwork_names_its_own(tmp_path: Path) -> None:
    require(espeak.available(), "espeak-ng")
    table = TOML + '\n[voice]\nespeak = "+m3"\nopenai = "verse"\n'
    face = str(write(tmp_path / "dot", files(table)))
    assert (settled("echo", face), settled("realtime", face)) == ("en-us+m3", "verse")
    assert settled("cascade", face, OTHER) == "en-US-AndrewMultilingualNeural"
    every = str(write(tmp_path / "one", files(TOML.replace("size", 'voice = "en-GB-SoniaNeural"\nsize', 1))))
    assert Avatar.load(every).voice.service == settled("cascade", every, OTHER) == "en-GB-SoniaNeural"
    assert (settled("echo", every), settled("realtime", every)) == ("en", "alloy")
    names = {"+f3": "espeak", "de": "espeak", "en-gb+m3": "espeak", "coral": "openai", "en-US-AvaNeural": "service"}
    names |= {"hibari:heart+child": "offline", "piper:amy": "offline"}
    for name, kind in names.items():
        assert getattr(Voice.named(name), kind) == name and (Voice.named(name).espeak is None) == (kind != "espeak")
    assert settled("echo", str(tmp_path / "none")) == settled("echo")  # it has no such face, and is told so later


def test_a_voice_of_the_operators_is_known_by_its_name(tmp_path: Path) -> None:
    require(espeak.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")
    (tmp_path / "amy.onnx").touch()
    (tmp_path / "amy.onnx.json").write_text('{"audio": {"sample_rate": 22050}, "phoneme_id_map": {}}')
    face = write(tmp_path / "amys", files(TOML.replace("size", 'voice = "piper:amy"\nsize', 1)))
    config = AgentConfig(name="a", channel="c", brain="echo", avatar=str(face))
    settle_voice(config, Services(voices=str(tmp_path)))
    assert (config.voice, config.spare_voice) == ("piper:amy", "en-us")


def test_what_is_missing_is_told_before_a_reply_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencex", None)
    config = AgentConfig(name="a", channel="c", llm=Llm(url="http://127.0.0.1:1/"))
    with pytest.raises(BadState, match=r"sentencex.*lipwire\[agents\]"):
        make_brain(config, Services(stt_url="http://127.0.0.1:1/", tts_url=OTHER))


@pytest.mark.parametrize(
    ("voice", "why"), [("piper:nobody", "no folder of voices"), ("hibari:emma", "hibari:emma is not on this machine")]
)
def test_a_face_whose_own_voice_cannot_be_had_is_told_of(
    voice: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    require(espeak.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    monkeypatch.setattr(choose, "_told", set())
    face = str(write(tmp_path / "own", files(TOML.replace("size", f'voice = "{voice}"\nsize', 1))))
    assert {settled("echo", face) for _ in range(2)} == {"en-us"}
    (told,) = [record.message for record in caplog.records if "the face's own" in record.message]
    assert voice in told and why in told and "There are: hibari:heart, " in told


@pytest.mark.parametrize("brain", ["echo", "script"])
def test_a_voice_that_there_is_not_is_told_when_the_brain_is_made(brain: Any) -> None:
    require(espeak.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")
    with pytest.raises(InvalidArgument, match="hibari has no voice 'nobody'"):
        make_brain(AgentConfig(name="a", channel="c", brain=brain, voice="hibari:nobody"), Services())


def test_a_brain_is_made_with_it() -> None:
    config = AgentConfig(name="a", channel="c", brain="echo", avatar="aria")
    make_brain(config, Services())
    assert (config.voice, config.spare_voice) in (("hibari:heart", "en-us+f3"), ("en-us+f3", ""))
