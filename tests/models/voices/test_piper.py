"""The engines Piper and Kokoro, with small models of the tests' own that have their inputs, outputs and files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwire.audio import espeak
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.voices import kokoro, piper
from lipwire.models.voices.base import MOST_VOICES
from lipwire.models.voices.catalogue import missing, resolved, voices
from lipwire.models.voices.kokoro import Kokoro
from lipwire.models.voices.level import LEVEL, active_level
from lipwire.models.voices.names import Name
from lipwire.models.voices.phonemes import clauses
from lipwire.models.voices.piper import Piper
from support.machine import require
from support.small_onnx import FLOAT, INT64, speaking

HOP = 256
SIGNS = {
    sign: [n] for n, sign in enumerate(["_", "^", "$", " ", ",", ".", *"abdefhijklmnoprstuvwzæðŋɐɑɔəɛɜɡɪɹʃʊʌʒˈˌːɚθ"])
}
ABOUT: dict[str, Any] = {
    "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_id_map": SIGNS, "num_speakers": 1,
    "inference": {"noise_scale": 0.6, "length_scale": 1.2, "noise_w": 0.8}, "phoneme_type": "espeak",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of voices: one of Piper's, one without durations, and Kokoro's model with some voices."""
    others: dict[str, tuple[int, list[int | str]]] = {"input_lengths": (INT64, [1]), "scales": (FLOAT, [3])}
    for name, durations in (("amy", "/Ceil_output_0"), ("old", "/other")):
        (tmp_path / f"{name}.onnx").write_bytes(speaking(durations, "input", others, HOP))
        (tmp_path / f"{name}.onnx.json").write_text(json.dumps(ABOUT))
    (tmp_path / "kokoros").mkdir()
    others = {"style": (FLOAT, [1, 256]), "speed": (FLOAT, [1])}
    (tmp_path / "kokoros" / "k.onnx").write_bytes(speaking("/encoder/Clip_output_0", "tokens", others, 600))
    style = np.zeros((510, 1, 256), np.float32)
    np.savez(tmp_path / "kokoros" / "many.npz", af_one=style, jf_two=style)
    style.tofile(tmp_path / "kokoros" / "em_three.bin")
    return tmp_path


def test_a_damaged_archive_has_no_voices(folder: Path) -> None:
    file, archive = folder / "kokoros" / "k.onnx", folder / "kokoros" / "many.npz"
    whole = archive.read_bytes()
    directory = whole.index(b"PK\1\2")
    for at, names in ((0, {"af_one", "jf_two", "em_three"}), (directory, {"em_three"})):  # the first voice, the list
        archive.write_bytes(whole[:at] + b"XXXX" + whole[at + 4 :])
        assert set(kokoro.styles(file)) == names
        with pytest.raises(ModelFailed, match="has no voice af_one of Kokoro's"):
            kokoro._style(archive, "af_one")


@pytest.mark.parametrize("voice", ["amy", "old"])
def test_piper_says_a_text_with_times_of_its_words(folder: Path, voice: str) -> None:
    require(espeak.available(), "espeak-ng")
    text = "Hello there, it is 3.5 o'clock. Bye."
    spoken = list(Piper().speak(resolved(Name("piper", voice), folder).voice, text))
    assert len(spoken) == 2 and {one.rate for one in spoken} == {22050}
    words = [word for one in spoken for word in one.words]
    assert [word for word, _, _ in words] == text.split()
    times = [time for _, start, end in words for time in (start, end)]
    assert times == sorted(times) and times[-1] <= sum(len(one.pcm) for one in spoken) / 2 / 22050
    samples = np.frombuffer(spoken[0].pcm, "<i2").astype(np.float32) / np.float32(32768)
    assert active_level(samples, 22050) == pytest.approx(LEVEL, rel=0.05)


def test_kokoro_says_a_text_with_times_of_its_words(folder: Path) -> None:
    require(espeak.available(), "espeak-ng")
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    file = folder / "kokoros" / "k.onnx"
    engine = Kokoro()
    for voice, text in (("af_one", "Hello there, it costs $5."), ("em_three", "Buenos días, mi amigo.")):
        (spoken,) = engine.speak(f"{file}/{voice}", text)
        assert [word for word, _, _ in spoken.words] == text.split() and spoken.rate == 24_000
    assert set(kokoro.styles(file)) == {"af_one", "jf_two", "em_three"}
    for voice, why in (
        ("jf_two", "speaks Japanese"),
        ("af_none", "there is no voice 'af_none'"),
        ("x", "a language that"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            resolved(Name("kokoro", f"{file}/{voice}"))


def test_few_voices_stay_loaded(folder: Path) -> None:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    k = folder / "kokoros" / "k.onnx"
    other = k.with_name("other.onnx")
    other.write_bytes(k.read_bytes())
    for n in range(MOST_VOICES):
        np.zeros((510, 1, 256), np.float32).tofile(k.with_name(f"ef_{n}.bin"))
    for engine, first, others in (
        (Piper(), "amy.onnx", [f"{n}.onnx" for n in range(MOST_VOICES)]),
        (Kokoro(), "kokoros/k.onnx/af_one", [f"kokoros/other.onnx/ef_{n}" for n in range(MOST_VOICES)]),
    ):
        for name in others if isinstance(engine, Piper) else ():
            (folder / name).write_bytes((folder / "amy.onnx").read_bytes())
            (folder / f"{name}.json").write_text(json.dumps(ABOUT))
        paths = [str(folder / name) for name in (first, *others)]
        for path in [*paths[:-1], paths[0], paths[-1]]:  # the first one is used again
            engine.speak(path, "Hello.")
        assert [engine.has(path) for path in paths] == [True, False] + [True] * (MOST_VOICES - 1)
    assert isinstance(engine, Kokoro) and set(engine._sessions) == {k, other}
    for path in paths[1:]:
        engine.speak(path, "Hello.")
    assert set(engine._sessions) == {other}  # the other model is of no use any more


def test_the_list_has_what_is_there(folder: Path) -> None:
    listed = {voice.name: voice for voice in voices(folder)}
    assert (listed["piper:amy"].language, listed["piper:amy"].missing) == ("en-us", "")
    there = {voice.name: voice for voice in voices(folder / "kokoros")}
    assert "Japanese" in there["kokoro:k/jf_two"].missing and there["kokoro:k/em_three"].language == "es"
    assert voices()[-1].name == "espeak:en-us"


def test_what_runs_a_voice_or_reads_for_it_is_looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(espeak.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")
    amy, english, spanish = (
        Name("piper", f"{folder}/amy.onnx"),
        *(Name("kokoro", f"{folder}/kokoros/k.onnx/{name}") for name in ("af_one", "em_three")),
    )
    monkeypatch.setattr(espeak, "available", lambda: False)
    assert [missing(name).partition(":")[0] for name in (amy, english, spanish)] == [
        "Piper needs espeak-ng", "", "Kokoro needs espeak-ng",
    ]  # fmt: skip
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "Piper needs onnxruntime, espeak-ng: pip install" in missing(amy) and "onnxruntime" in missing(english)


def test_a_file_that_is_no_voice_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = folder / "bad.onnx"
    with pytest.raises(InvalidArgument, match=r"had: bad\.onnx\.json: No such file.*\. There are: .*piper:amy") as told:
        resolved(Name("piper", "bad"), folder)
    assert str(folder) not in str(told.value) and str(folder) in caplog.text
    assert Name("kokoro", "/srv/k.onnx/af_one").told("kokoro:/srv/k.onnx/af_one") == "kokoro:k.onnx/af_one"
    bad.write_bytes(b"no model")
    with pytest.raises(InvalidArgument, match=r"a voice of Piper's is a \.onnx file and this one"):
        resolved(Name("piper", str(bad)))
    for about, why in (("{}", "no description"), (json.dumps(ABOUT | {"phoneme_type": "pinyin"}), "'pinyin'")):
        bad.with_name("bad.onnx.json").write_text(about)
        with pytest.raises(InvalidArgument, match=why):
            piper.settings(bad)
    bad.with_name("bad.onnx.json").write_text(json.dumps(ABOUT))
    with pytest.raises(ModelFailed, match="is no model that onnxruntime can load"):
        list(Piper().speak(str(bad), "Hello."))
    for name in ("../amy", "amy.onnx/x y"):
        with pytest.raises(InvalidArgument, match="cannot be had"):
            resolved(Name("piper", name), folder)


def test_clauses_are_read_by_espeaks_rules() -> None:
    require(espeak.available(), "espeak-ng")
    found = clauses("Yes, 3.5 miles。Oh!", "en-us")
    assert [(clause.text, clause.mark) for clause in found] == [("Yes", ","), ("3.5 miles", "."), ("Oh", "!")]
    assert found[0].words == ("jˈɛs",) and len(found[1].words) > 2
