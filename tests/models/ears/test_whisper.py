"""lipwire.models.ears.whisper, with the real tiny.en. How well it hears people: bench/agents_hearing.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire import resample
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.ears.mel import RATE
from lipwire.models.ears.whisper import LONGEST, Whisper, doubled, piece, pieces, repetitive
from lipwire.models.wire import Heard

from .conftest import SENTENCE, STORY, plain


def test_it_hears_a_sentence_and_when_each_word_was_said(whisper: Whisper, sentence: bytes) -> None:
    heard = whisper.transcribe(sentence, "en-US", words=True, partial=False)
    assert heard.text == SENTENCE and heard.no_speech < 0.5 and heard.language == "en"
    assert " ".join(word for word, _, _ in heard.words) == SENTENCE
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(heard), type=Heard) == heard
    times = [time for _, start, end in heard.words for time in (start, end)]
    assert times == sorted(times) and times[-1] <= len(sentence) / 32_000
    assert 0.1 < heard.words[1][1] < 1.2  # "how", said after 0.3 s of silence and "hello"
    assert heard.words[-1][1] > times[-1] / 2
    assert whisper.transcribe(sentence[:-1], "en", words=False, partial=True).text == SENTENCE  # half a sample less


def noise(kind: str) -> bytes:
    random, n = np.random.default_rng(5), 2 * RATE
    t = np.arange(n) / RATE
    x: NDArray[np.float64]
    if kind == "silence":
        x = np.zeros(n)
    elif kind == "white":
        x = random.normal(0, 600, n)
    elif kind == "pink":
        x = np.fft.irfft(np.fft.rfft(random.normal(size=n)) / np.sqrt(np.maximum(np.arange(n // 2 + 1), 1)), n)
        x *= 3000 / x.std()
    elif kind == "hum":
        x = 2000 * np.sum([np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)], axis=0)
    else:  # knocks
        x = 15_000 * np.exp(-(np.arange(n) % 8000) / 80) * random.choice((-1, 1), n)
    return np.clip(x, -32768, 32767).astype(np.int16).tobytes()


@pytest.mark.parametrize("kind", ["silence", "white", "pink", "hum", "knocks"])
def test_what_nobody_says_is_not_heard(whisper: Whisper, kind: str) -> None:
    heard = whisper.transcribe(noise(kind), "en", words=True, partial=False)
    assert (heard.text, heard.words) == ("", ()) and heard.no_speech >= 0.5
    assert whisper.transcribe(b"", "en", words=True, partial=False).text == ""


def test_words_that_are_expected_are_heard(whisper: Whisper, say: Callable[[str], tuple[bytes, int]]) -> None:
    pcm = bytes(9600) + resample(*say("Does it work with Deepgram and ElevenLabs?"), 16_000) + bytes(9600)
    names = ("ElevenLabs", "Deepgram")

    def heard(*expected: str) -> list[str]:
        text = whisper.transcribe(pcm, "en", words=True, partial=False, expected=expected)
        assert " ".join(word for word, _, _ in text.words) == text.text
        return [name for name in names if name in text.text]

    assert set(names) - set(heard()) and heard(*names) == list(names)
    assert heard(*names, " ", *[f"Otherwise{n}" for n in range(500)]) == list(names)  # more than there is room for


def test_what_is_expected_is_heard_in_nothing_else(whisper: Whisper, sentence: bytes) -> None:
    expected = ("Lipwire", "Agora", "Kubernetes")
    assert whisper.transcribe(sentence, "en", words=False, partial=False, expected=expected).text == SENTENCE
    for kind in ("silence", "white", "pink", "hum", "knocks"):
        assert whisper.transcribe(noise(kind), "en", words=True, partial=False, expected=expected).text == ""


def test_what_is_long_is_cut_where_it_is_softest(whisper: Whisper, story: bytes) -> None:
    """35 s: four sentences, with silences between."""
    assert len(story) / 32_000 == pytest.approx(35, abs=0.1)
    heard = whisper.transcribe(story, "en", words=True, partial=False)
    assert plain(heard.text) == plain(" ".join(STORY))
    starts = [start for word, start, _ in heard.words if word in ("Hello,", "I", "What", "Yes,")]
    assert starts == pytest.approx([0.3, 9.05, 17.8, 26.55], abs=0.3)
    loud = np.full(int(2 * LONGEST * RATE), 1000, np.int16)
    loud[20 * RATE : 21 * RATE] = 3
    assert piece(loud.tobytes()) / 32_000 == pytest.approx(20.5, abs=0.5)
    assert b"".join(pieces(loud.tobytes())) == loud.tobytes()


def test_languages_that_it_does_not_know_are_refused_with_those_that_it_does(whisper: Whisper) -> None:
    assert whisper.languages == ("en",)
    with pytest.raises(InvalidArgument, match=r"does not know the language 'de-DE', but en$"):
        whisper.transcribe(bytes(3200), "de-DE", words=False, partial=False)


def test_a_folder_that_is_no_model_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match="is no folder"):
        Whisper(tmp_path / "nowhere")
    with pytest.raises(ModelFailed, match=r"has no model\.bin"):
        Whisper(tmp_path)
    for name in ("config.json", "vocabulary.txt"):
        shutil.copy(model / name, tmp_path)
    (tmp_path / "model.bin").write_bytes((model / "model.bin").read_bytes()[:100_000])  # a download that broke off
    with pytest.raises(ModelFailed, match="does not load"):
        Whisper(tmp_path)


def test_repetition_is_known() -> None:
    assert repetitive("I'm going to be here. " * 8) and not repetitive("no no no")
    assert not repetitive("You cannot reply to this message because the sender does not have a mailbox.")


def test_a_sentence_that_is_written_twice_is_known_by_its_haste() -> None:
    once = "Please enter the conference PIN number."
    assert doubled(f"{once} {once}", 3.1) and doubled(f"{once} {once.lower()}", 3.1)
    assert not doubled(f"{once} {once}", 5.0), "somebody said it twice"
    assert not doubled(once, 0.5) and not doubled("no no no no", 0.5) and not doubled("", 0.0)
