"""Which syllables are stressed, on syllables whose places, levels and pitches are known."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire.agents.speech.stress import Syllable, Syllables

EVERY, LONG = 250, 150
"""Ms between the beginnings of two syllables, and of one."""


def speech(*syllables: tuple[float, float], rate: int = 24_000) -> bytes:
    """Of each its level in dB and its pitch in Hz. The n-th is loudest at (n * EVERY + LONG / 2) ms."""
    out = np.zeros(len(syllables) * EVERY * rate // 1000)
    for n, (level, hz) in enumerate(syllables):
        t = np.arange(LONG * rate // 1000) / rate
        voice = sum((np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6)), 0 * t)
        first = n * EVERY * rate // 1000
        out[first : first + len(t)] = voice * np.hanning(len(t)) * 3000 * 10 ** (level / 20)
    return out.astype(np.int16).tobytes()


def middle(n: int) -> float:
    return n * EVERY + LONG / 2


def heard(pcm: bytes, rate: int = 24_000, *, chunk: int = 0) -> Syllables:
    syllables = Syllables()
    for at in range(0, len(pcm), chunk or max(len(pcm), 1)):
        syllables.add(pcm[at : at + (chunk or len(pcm))], rate)
    syllables.add(bytes(max(rate // 5, 0) * 2), rate)
    syllables.catch_up()
    return syllables


PLAIN = (0.0, 200.0)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_each_syllable_is_found_with_its_pitch(rate: int) -> None:
    found = heard(speech(*[PLAIN] * 6, rate=rate), rate).known
    assert [one.ms for one in found] == pytest.approx([middle(n) for n in range(6)], abs=15)
    for one in found:
        assert one.pitch == pytest.approx(12 * np.log2(200), abs=0.5)
        assert one.level == pytest.approx(found[0].level, abs=0.5)


@pytest.mark.parametrize("stressed", [(6.0, 200.0), (3.0, 230.0), (0.0, 290.0)], ids=["loud", "both", "high"])
def test_the_loudest_and_highest_is_stressed(stressed: tuple[float, float]) -> None:
    found = heard(speech(PLAIN, PLAIN, PLAIN, stressed, PLAIN, PLAIN)).stressed(0, 1500)
    assert found is not None and found.ms == pytest.approx(middle(3), abs=15)


def test_of_those_that_are_alike_none_is() -> None:
    assert heard(speech(*[PLAIN] * 6)).stressed(0, 1500) is None
    assert heard(speech(PLAIN, PLAIN, (9.0, 200.0))).stressed(0, 750) is None, "of three there is nothing to tell"
    assert heard(speech(*[PLAIN] * 4, (-6.0, 120.0))).stressed(0, 1500) is None


def test_a_sentence_counts_for_itself() -> None:
    loud, louder = (6.0, 200.0), (15.0, 200.0)
    found = heard(speech(PLAIN, loud, PLAIN, PLAIN, PLAIN, louder, PLAIN, PLAIN))
    first, second = found.stressed(0, 1000), found.stressed(1000, 2000)
    assert first is not None and first.ms == pytest.approx(middle(1), abs=15)
    assert second is not None and second.ms == pytest.approx(middle(5), abs=15)


def test_what_it_is_too_late_for_does_not_count() -> None:
    found = heard(speech((15.0, 200.0), PLAIN, PLAIN, (6.0, 200.0), PLAIN, PLAIN))
    first, later = found.stressed(0, 1500), found.stressed(0, 1500, middle(0) + 20)
    assert first is not None and first.ms == pytest.approx(middle(0), abs=15)
    assert later is not None and later.ms == pytest.approx(middle(3), abs=15)
    assert found.stressed(0, 1500, middle(3) + 20) is None
    assert found.stressed(0, 1500, 2000) is None


@pytest.mark.parametrize("chunk", [2, 778, 960, 48_000])
def test_however_it_comes_it_is_the_same(chunk: int) -> None:
    chance = np.random.default_rng(1)
    pcm = speech(*[(float(chance.uniform(-6, 6)), float(chance.uniform(120, 250))) for _ in range(20)])
    at_once, in_parts = heard(pcm), heard(pcm, chunk=chunk)
    assert [one.ms for one in in_parts.known] == pytest.approx([one.ms for one in at_once.known])
    assert [one.level for one in in_parts.known] == pytest.approx([one.level for one in at_once.known], abs=1e-3)
    assert in_parts.until_ms == pytest.approx(at_once.until_ms)


def test_it_is_known_how_far_it_is_known() -> None:
    syllables = Syllables()
    assert syllables.until_ms == 0.0
    syllables.add(speech(*[PLAIN] * 4), 24_000)
    assert 800 <= syllables.until_ms <= 1000
    assert all(isinstance(one, Syllable) and one.ms <= syllables.until_ms for one in syllables.known)
    syllables.add(b"", 24_000)
    syllables.catch_up()
    syllables.catch_up()
    assert 800 <= syllables.until_ms <= 1000


def test_another_rate_goes_on_where_the_other_ended() -> None:
    syllables = heard(speech(PLAIN, PLAIN))
    syllables.add(speech(PLAIN, PLAIN, rate=16_000), 16_000)
    syllables.add(bytes(3200 * 2), 16_000)
    syllables.catch_up()
    assert [one.ms for one in syllables.known] == pytest.approx(
        [middle(0), middle(1), middle(2) + 200, middle(3) + 200], abs=15
    )


@pytest.mark.parametrize("ms", [45, 400, 900])
def test_what_was_not_listened_to_when_the_rate_changes_counts(ms: int) -> None:
    """`ms` of silence are no whole piece, and 45 no whole frame."""
    syllables = Syllables()
    syllables.add(bytes(16 * ms * 2), 16_000)
    syllables.add(speech(PLAIN, PLAIN), 24_000)
    syllables.add(bytes(4800 * 2), 24_000)
    syllables.catch_up()
    assert [one.ms for one in syllables.known] == pytest.approx([middle(0) + ms, middle(1) + ms], abs=15)


@pytest.mark.parametrize("rate", [-8000, 0, 1, 7999])
def test_a_rate_that_is_too_low_has_no_syllables(rate: int) -> None:
    syllables = heard(speech(*[PLAIN] * 4), rate)
    assert syllables.known == []


def test_silence_and_faint_noise_have_none() -> None:
    assert heard(bytes(96_000)).known == []
    noise = np.random.default_rng(2).integers(-30, 30, 48_000).astype(np.int16).tobytes()
    assert heard(noise).known == []
