"""A quiet voice moves the mouth as a full one does: at once where all of it is there, within a second live."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire import VisemeExtractor, _core, resample
from lipwire.audio import espeak
from lipwire.errors import InvalidArgument
from lipwire.session import offline
from lipwire.session.offline import perform
from lipwire.session.voice_level import voice_level

pytestmark = pytest.mark.kernels

RATE = 16_000
FULL = -20.0
"""dBFS of the whole, RMS."""
Samples = NDArray[np.float64]


@pytest.fixture(scope="module")
def voice() -> Samples:
    spoken = espeak.speak(
        "Good morning, how may I help you? Please give me the number of your order, and I will look it up for you.",
        "en-us+f3",
    )
    x = np.frombuffer(resample(spoken.pcm, spoken.rate, RATE), "<i2") / 32768.0
    return np.asarray(x / np.sqrt((x**2).mean()), float)


def at(x: Samples, dbfs: float) -> bytes:
    return np.clip(np.rint(x * 10 ** (dbfs / 20) * 32768), -32768, 32767).astype("<i2").tobytes()


def shapes(pcm: bytes, voice: float | None) -> NDArray[np.int64]:
    """The likeliest viseme of each frame at 25 a second."""
    out = []
    for item in perform(iter([pcm]), RATE, None, voice=voice):
        if not isinstance(item, tuple):
            out.append(int(np.argmax(item.visemes)))
            del item
    return np.array(out)


@pytest.mark.parametrize(("dbfs", "least"), [(-12.0, 0.9), (-26.0, 0.95), (-32.0, 0.95), (-42.0, 0.9), (-48.0, 0.85)])
def test_any_level_gives_the_mouth_of_the_full_one(voice: Samples, dbfs: float, least: float) -> None:
    """Rounding to 16 bits leaves less of a quieter voice."""
    twice = np.concatenate([voice, np.zeros(RATE // 2), voice])
    full, quiet = at(twice, FULL), at(twice, dbfs)
    heard = [voice_level([pcm], RATE) for pcm in (full, quiet)]
    assert heard[0] is not None and heard[1] is not None and abs(heard[1] - heard[0] - (dbfs - FULL)) < 1.5
    for known, start in ((True, 0), (False, 25)):
        one, other = (
            shapes(pcm, level if known else None)[start:] for pcm, level in zip((full, quiet), heard, strict=True)
        )
        assert (one == other).mean() >= least, "render" if known else "live"


def test_render_listens_first(voice: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def listen(*args: Any, **options: Any) -> Any:
        told.append(options["voice"])
        return perform(*args, **options)

    monkeypatch.setattr(offline, "perform", listen)
    path = tmp_path / "quiet.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(at(voice[: 2 * RATE], -42.0))
    offline.render(path, tmp_path / "out.mp4", size=(64, 36))
    assert len(told) == 1 and told[0] == pytest.approx(-38, abs=5)


def test_where_nobody_speaks_there_is_no_level() -> None:
    assert voice_level([bytes(3 * RATE)], 48_000) is None
    assert voice_level([], RATE) is None


def test_the_extractor_says_what_it_knows() -> None:
    assert VisemeExtractor().voice == pytest.approx(-18)
    extractor = VisemeExtractor(voice=-45.0)
    assert extractor.voice == pytest.approx(-45)
    extractor.process(bytes(2 * RATE))
    extractor.reset()
    assert extractor.voice == pytest.approx(-45)
    for bad in (0.0, 3.0, -300.0, float("nan")):
        with pytest.raises(InvalidArgument):
            VisemeExtractor(voice=bad)
        with pytest.raises(InvalidArgument):
            _core.Performer(None, voice=bad)
