"""The engine hibari, with its own model: what it says, when which word is said, how loud, and as whom."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.voices import hibari as module
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.english import readable
from lipwire.models.voices.hibari import RATE, Hibari, part
from lipwire.models.voices.level import LEVEL, active_level
from lipwire.models.voices.names import Name
from lipwire.models.voices.timing import places
from support.machine import require

TEXT = "My lips stay with my voice."


@pytest.fixture(scope="module")
def engine() -> Iterator[Hibari]:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    yield Hibari()


def sound(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2") / 32768


def pitch(samples: NDArray[np.float64]) -> float:
    """The median fundamental frequency in Hz, by autocorrelation, where there is one."""
    found = []
    for at in range(0, len(samples) - 1200, 480):
        frame = samples[at : at + 1200] * np.hanning(1200)
        power = np.fft.irfft(np.abs(np.fft.rfft(frame, 4096)) ** 2)
        lag = 60 + int(np.argmax(power[60:400]))
        if power[0] > 0.1 and power[lag] > 0.5 * power[0]:
            found.append(RATE / lag)
    return float(np.median(found))


def envelope(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the mean spectrum, without what the pitch makes of it."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512] * np.hanning(1024)
    cepstrum = np.fft.irfft(np.log((np.abs(np.fft.rfft(frames)) ** 2).sum(0) + 1e-9))
    cepstrum[40:-40] = 0.0
    return np.asarray(np.fft.rfft(cepstrum).real)


def stretch(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Times which the frequencies of one spectrum are most like those of the other, of 300 to 5000 Hz."""
    hz = np.arange(len(before)) * RATE / 1024
    at = (hz > 300) & (hz < 5000)
    factors = np.arange(0.7, 1.5, 0.01)
    alike = [np.corrcoef(np.interp(hz[at] / factor, hz, before), after[at])[0, 1] for factor in factors]
    return float(factors[int(np.argmax(alike))])


@pytest.fixture(scope="module")
def plain(engine: Hibari) -> Any:
    (spoken,) = engine.speak("heart", TEXT)
    return spoken


def test_every_word_has_its_time(plain: Any) -> None:
    assert plain.whole and plain.rate == RATE
    assert [word for word, _, _ in plain.words] == TEXT.split()
    times = [time for _, start, end in plain.words for time in (start, end)]
    assert times == sorted(times) and times[0] < 0.2
    assert times[-1] == pytest.approx(len(plain.pcm) / 2 / RATE, abs=0.25)
    samples = sound(plain.pcm)
    gap = samples[round(times[5] * RATE) : round(times[6] * RATE)]  # between words: no louder than within them
    assert not len(gap) or np.abs(gap).mean() <= np.abs(samples).max() / 4


def test_it_is_as_loud_as_the_others_and_comes_and_goes_softly(plain: Any) -> None:
    samples = sound(plain.pcm)
    assert 20 * abs(np.log10(active_level(samples.astype(np.float32), RATE) / LEVEL)) < 2.0
    assert np.abs(samples).max() < 1.0
    assert max(np.abs(samples[:3]).max(), np.abs(samples[-3:]).max()) < 0.002


@pytest.mark.parametrize(
    ("who", "hz", "head"), [("child", 1.35, 1.18), ("man", 0.6, 0.86), ("robot", 120.0, 0.92)]
)  # fmt: skip
def test_another_speaks_at_the_same_pace(engine: Hibari, plain: Any, who: str, hz: float, head: float) -> None:
    (other,) = engine.speak(f"heart+{who}", TEXT)
    before, after = sound(plain.pcm), sound(other.pcm)
    wanted = hz if hz > 2 else hz * pitch(before)
    assert pitch(after) == pytest.approx(wanted, rel=0.05)
    assert stretch(envelope(before), envelope(after)) == pytest.approx(head, abs=0.04)
    assert [word for word, _, _ in other.words] == TEXT.split()
    for (_, start, end), (_, begin, until) in zip(plain.words, other.words, strict=True):
        assert begin == pytest.approx(start, abs=0.05) and until == pytest.approx(end, abs=0.05)
    levels = [20 * np.log10(active_level(one.astype(np.float32), RATE)) for one in (before, after)]
    assert abs(levels[0] - levels[1]) < 2.5
    jumps = [np.abs(np.diff(one)).max() / np.abs(one).max() for one in (before, after)]
    assert jumps[1] < 2 * jumps[0]  # nothing clicks where grains are joined


def test_sentences_come_one_by_one_with_times_of_the_whole(engine: Hibari) -> None:
    text = "It costs $5 at https://example.com/docs, ok 好. And then? 😀 Bye-bye."
    spoken = list(engine.speak("heart", text))
    assert len(spoken) == 3 and not any(one.whole for one in spoken)
    words = [word for one in spoken for word in one.words]
    assert [word for word, _, _ in words] == "It costs $5 at https://example.com/docs, ok And then? Bye-bye.".split()  # noqa: SIM905
    starts = [start for start, _ in places(text, words)]
    assert len(starts) == len(words) and all(a < b for a, b in itertools.pairwise(starts))
    assert starts[6] > len(spoken[0].pcm) / 2 / RATE and starts[8] > sum(len(one.pcm) for one in spoken[:2]) / 2 / RATE
    again = [one.pcm for one in engine.speak("heart", text)]
    assert again == [one.pcm for one in spoken]


@pytest.mark.parametrize("text", ["", "你好。", "…", "😀", "привет"])
def test_what_it_cannot_say_is_told(engine: Hibari, text: str) -> None:
    with pytest.raises(InvalidArgument, match="finds nothing that it can say"):
        list(engine.speak("heart", text))


def test_nothing_that_is_written_is_too_much_for_it(engine: Hibari) -> None:
    (spoken,) = engine.speak("heart", "7" * 40 + " ①²½ ٣ C3-PO's 1e9 $1.234.567 1/0 25:99 IVX'II é" + "a" * 30)
    assert len(spoken.words) == 10
    parts = list(engine.speak("heart", "one, two " * 50))
    assert len(parts) == 2 and sum(len(part.words) for part in parts) == 100


def test_a_voice_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, engine: Hibari) -> None:
    for voice, why in (("nobody", "hibari has no voice 'nobody', it has heart, "), ("heart+dog", "child, man, robot")):
        with pytest.raises(InvalidArgument, match=why):
            list(engine.speak(voice, TEXT))

    def gone(name: str) -> None:
        raise ModelFailed("the model hibari is not there. To get it: ...")

    monkeypatch.setattr(module, "find", gone)
    with pytest.raises(ModelFailed, match="To get it"):
        list(Hibari().speak("heart", TEXT))


def test_the_code_that_runs_is_what_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    part("dsp")
    for version in ("new", "known"):
        (tmp_path / version / "hibari").mkdir(parents=True)
        (tmp_path / version / "hibari" / "__init__.py").touch()
        (tmp_path / version / "hibari" / "dsp.py").write_text(f"version = {version!r}")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "new"), *sys.path])
    monkeypatch.setattr(module, "find", lambda name: tmp_path / "known")
    with pytest.raises(ModelFailed, match="has imported another hibari"):
        part("dsp")
    for name in [name for name in sys.modules if name.partition(".")[0] == "hibari"]:
        monkeypatch.delitem(sys.modules, name)
    try:
        assert part("dsp").version == "known"
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "hibari"]:
            del sys.modules[name]


def test_text_as_one_says_it() -> None:
    said = {
        "See https://www.example.com/a or mailto:bob@site.org.": "See example dot com/a or bob at site dot org.",
        "e.g. node.js 3.5 m² of x³": "e.g. node dot js 3.5 m squared of x cubed",
        "Größe ① 好": "Größe  1   ",
        "12345678901234567": " ".join("12345678901234567"),
        "$9.99, 20% off, v2.0.1": "9 dollars and 99 cents, 20% off, v2 dot 0 dot 1",
        "[it](/is/) Agora's": "[it] (/is/) [Agora's](/əɡˈɔɹəz/)",
    }
    assert {text: readable(text) for text in said} == said
