"""The metrics of the lip-sync benchmark: hand-made cases for every rule, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire_lipsync import labels, metrics

V = {name: i for i, name in enumerate(labels.VISEMES)}


def rows(text: str) -> np.ndarray:
    """ "sil*3 PP*2" -> indices"""
    parts = (part.partition("*") for part in text.split())
    return np.concatenate([np.full(int(count or 1), V[name], np.int64) for name, _, count in parts])


def scored(truth: str, guess: str) -> metrics.Result:
    total = metrics.Score()
    total.add(rows(truth), rows(guess))
    return total.result()


@st.composite
def speech(draw: st.DrawFn) -> np.ndarray:
    """Runs of 3 to 12 rows in which neighbours differ, silence at both ends."""
    lengths = st.integers(3, 12)
    values = draw(st.lists(st.integers(1, 14), min_size=12, max_size=40))
    values = [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]
    parts = [np.full(draw(lengths), v, np.int64) for v in values]
    return np.concatenate([np.zeros(20, np.int64), *parts, np.zeros(20, np.int64)])


@given(speech())
def test_a_perfect_prediction_has_full_marks(truth: np.ndarray) -> None:
    total = metrics.Score()
    total.add(truth, truth)
    r = total.result()
    for share in (r.accuracy, r.f1, r.group_accuracy, r.group_f1, r.accuracy_inside, r.silence_recall, r.switches):
        assert share == 1.0
    assert r.false_silence == 0.0
    assert r.rows == len(truth)
    if r.group_switches is not None:
        assert r.group_switches == r.boundaries_found == 1.0
        assert r.boundary_median_ms == r.boundary_90_ms == 0.0
    for share in (r.pp_recall, r.pp_precision, r.ff_recall, r.ff_precision):
        assert share in (None, 1.0)


@given(speech(), st.sampled_from(metrics.DELAYS), st.sampled_from(("visemes", "groups")))
def test_a_shift_is_found_and_undone(truth: np.ndarray, delay: int, kind: metrics.Kind) -> None:
    said = truth if kind == "visemes" else labels.GROUP_OF[truth]
    padded = np.concatenate([said, np.zeros(metrics.PADDING, np.int64)])
    late = metrics.shifted(padded, -delay, len(padded))  # said[i] is known at row i + delay
    found = metrics.best_delay([(truth, late)], kind)
    figures = metrics.score([(truth, late)], kind, found)
    assert (figures.accuracy if kind == "visemes" else figures.group_f1) == 1.0
    if len(set(labels.GROUP_OF[truth])) > 2:  # else a shifted one may be as good
        assert found == delay


@given(speech(), speech(), st.integers(1, 5))
def test_utterances_add_up(first: np.ndarray, second: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    guesses = [rng.integers(0, 15, len(x)) for x in (first, second)]
    together = metrics.score([(first, guesses[0]), (second, guesses[1])], "visemes", 0)
    apart = [metrics.score([pair], "visemes", 0) for pair in ((first, guesses[0]), (second, guesses[1]))]
    assert together.rows == sum(r.rows for r in apart)
    right = sum((r.accuracy or 0) * r.rows for r in apart)
    assert together.accuracy == pytest.approx(right / together.rows)


def test_groups_of_a_viseme_system_equal_those_of_a_group_system() -> None:
    rng = np.random.default_rng(1)
    truth, guess = np.repeat(rng.integers(0, 15, 200), 5), np.repeat(rng.integers(0, 15, 250), 4)
    visemes = metrics.score([(truth, guess)], "visemes", 0)
    groups = metrics.score([(truth, labels.GROUP_OF[guess])], "groups", 0)
    for name in metrics.Result.__struct_fields__:
        if name not in ("accuracy", "f1", "accuracy_inside", "f1_inside", "switches"):
            assert getattr(visemes, name) == getattr(groups, name), name
    assert groups.accuracy is groups.f1 is groups.switches is None


def test_macro_f1_is_over_the_classes_that_occur() -> None:
    r = scored("aa*4 E*4", "aa*4 E*2 O*2")
    assert r.accuracy == 0.75
    assert r.f1 == pytest.approx((1.0 + 2 / 3) / 2)  # O never occurs, but its rows count against E
    assert r.group_f1 == pytest.approx((1.0 + 2 / 3) / 2)


def test_visemes_of_one_group_are_right_by_groups() -> None:
    r = scored("DD*5 SS*5", "kk*5 nn*5")
    assert (r.accuracy, r.group_accuracy) == (0.0, 1.0)


def test_inside_leaves_out_two_rows_at_each_side_of_a_change() -> None:
    wrong_at_the_edge = scored("aa*5 E*5", "aa*3 I*4 E*3")
    assert wrong_at_the_edge.accuracy == 0.6
    assert wrong_at_the_edge.accuracy_inside == 1.0
    wrong_inside = scored("aa*5 E*5", "I*1 aa*4 E*5")
    assert wrong_inside.accuracy_inside == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("truth", "guess", "recall"),
    [
        ("aa*10 PP*3 aa*10", "aa*10 PP*1 aa*12", 1.0),
        ("aa*10 PP*3 aa*10", "aa*8 PP*1 aa*14", 1.0),  # 20 ms early
        ("aa*10 PP*3 aa*10", "aa*7 PP*1 aa*15", 0.0),  # 30 ms
        ("aa*10 PP*3 aa*10", "aa*14 PP*1 aa*8", 1.0),  # 20 ms late
        ("aa*10 PP*3 aa*10", "aa*15 PP*1 aa*7", 0.0),
        ("aa*10 PP*2 aa*10", "aa*22", None),  # too short to be an event
        ("PP*3 aa*10", "PP*1 aa*12", 1.0),
    ],
)
def test_recall_of_a_closure(truth: str, guess: str, recall: float | None) -> None:
    assert scored(truth, guess).pp_recall == recall


@pytest.mark.parametrize(
    ("truth", "guess", "precision"),
    [
        ("aa*10 FF*3 aa*10", "aa*10 FF*1 aa*12", 1.0),
        ("aa*10 FF*3 aa*10", "aa*7 FF*1 aa*15", 1.0),  # the truth begins within 30 ms
        ("aa*10 FF*3 aa*10", "aa*6 FF*1 aa*16", 0.0),
        ("aa*10 FF*3 aa*10", "aa*15 FF*1 aa*7", 1.0),
        ("aa*10 FF*3 aa*10", "aa*16 FF*1 aa*6", 0.0),
        ("aa*10 FF*1 aa*12", "aa*10 FF*1 aa*5 FF*1 aa*6", 0.5),  # a short true run is no less true
        ("aa*10 FF*3 aa*10", "aa*23", None),
    ],
)
def test_precision_of_lip_on_teeth(truth: str, guess: str, precision: float | None) -> None:
    assert scored(truth, guess).ff_precision == precision


def test_silence() -> None:
    r = scored("sil*10 aa*20", "sil*8 aa*17 sil*5")
    assert r.silence_recall == 0.8
    assert r.false_silence == 0.25
    assert scored("aa*3", "aa*3").silence_recall is None


def test_boundaries_are_changes_of_the_group_within_100_ms() -> None:
    r = scored("sil*20 aa*20 DD*5 SS*15", "sil*22 aa*13 DD*25")
    assert r.boundaries_found == 1.0  # into aa and into group B; DD to SS is no change of the mouth
    assert r.boundary_median_ms == 35.0  # 20 and 50
    far = scored("sil*20 aa*40", "sil*31 aa*29")
    assert (far.boundaries_found, far.boundary_median_ms) == (0.0, None)
    near = scored("sil*20 aa*40", "sil*30 aa*30")
    assert (near.boundaries_found, near.boundary_median_ms) == (1.0, 100.0)


def test_switches() -> None:
    r = scored("sil*4 aa*4 E*4", "sil*4 aa*1 I*1 aa*2 nn*2 E*2")
    assert r.switches == 2.5  # five for two
    assert r.group_switches == 2.5
    within = scored("sil*4 DD*8", "sil*4 DD*4 SS*4")
    assert (within.switches, within.group_switches) == (2.0, 1.0)


def test_what_was_not_said_is_silence() -> None:
    said = np.array([1, 2, 3])
    assert metrics.shifted(said, 1, 3).tolist() == [2, 3, 0]
    assert metrics.shifted(said, -1, 5).tolist() == [0, 1, 2, 3, 0]
    assert metrics.shifted(said, 9, 2).tolist() == [0, 0]


def test_of_equal_delays_the_one_nearest_to_none() -> None:
    silent = np.zeros(50, np.int64)
    assert metrics.best_delay([(silent, silent)]) == 0


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="3 true rows, 2 predicted"):
        metrics.Score().add(np.zeros(3, np.int64), np.zeros(2, np.int64))
