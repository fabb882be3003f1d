"""Mouth shapes for cartoons: held for long enough to be seen, with every closure, and in good time."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipwire.errors import InvalidArgument
from lipwire.motion import MotionHeader, MotionTrack
from lipwire.motion.mouths import HELD, RESTED, SHAPE_OF, mouth_cues

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")


def track_of(weights: NDArray[np.float64], fps: int = 100) -> MotionTrack:
    count = len(weights)
    return MotionTrack(
        header=MotionHeader(groups=(("visemes", 0, VISEMES),), fps=Fraction(fps)),
        samples=np.arange(count, dtype=np.int64) * (48_000 // fps),
        values=weights.astype(np.float32),
        speaking=np.ones(count, dtype=np.bool_),
        generations=np.zeros(count, dtype=np.int64),
    )


def said(*spans: tuple[str, int], fps: int = 100) -> MotionTrack:
    """Visemes and how many frames each is shown alone."""
    rows = [VISEMES.index(name) for name, count in spans for _ in range(count)]
    return track_of(np.eye(len(VISEMES))[rows], fps)


def shapes(track: MotionTrack) -> str:
    return "".join(cue.shape for cue in mouth_cues(track))


@pytest.mark.parametrize(
    ("spans", "drawn"),
    [
        ([("sil", 30)], "X"),
        ([("sil", 20), ("PP", 10), ("aa", 30), ("sil", 20)], "XACDCX"),  # C on the way
        ([("sil", 20), ("PP", 10), ("E", 20), ("PP", 4), ("E", 20), ("sil", 20)], "XACACX"),  # a short closure stays
        ([("kk", 20), ("SS", 3), ("kk", 20)], "B"),
        ([("E", 20), ("kk", 3), ("E", 20)], "C"),  # too short to be seen
        ([("E", 20), ("sil", 5), ("E", 20)], "C"),  # no pause yet
        ([("E", 20), ("sil", 14), ("E", 20)], "CXC"),
        ([("E", 20), ("nn", 10), ("E", 20)], "CHC"),  # the tongue shows between two open mouths
        ([("kk", 20), ("nn", 10), ("E", 20)], "BC"),
        ([("ou", 24), ("aa", 40), ("FF", 8)], "FEDCG"),
        ([("RR", 12), ("oh", 12)], "BE"),
        ([("aa", 3)], "D"),
    ],
)
def test_what_is_drawn(spans: list[tuple[str, int]], drawn: str) -> None:
    assert shapes(said(*spans)) == drawn


def test_the_mouth_of_another_rate_is_drawn_alike() -> None:
    spans = [("sil", 1), ("aa", 1), ("PP", 1), ("E", 1), ("sil", 1)]
    at_100, at_25 = (said(*((name, count * fps // 5) for name, count in spans), fps=fps) for fps in (100, 25))
    assert shapes(at_100) == shapes(at_25)
    assert mouth_cues(at_100)[-1].end == mouth_cues(at_25)[-1].end == pytest.approx(1.0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([25, 60, 100]))
def test_every_shape_is_held_and_nothing_is_left_out(seed: int, count: int, fps: int) -> None:
    random = np.random.default_rng(seed)
    weights = np.abs(random.normal(size=(count, len(VISEMES)))) ** 3
    weights /= np.maximum(1.0, weights.sum(axis=1, keepdims=True))
    cues = mouth_cues(track_of(weights, fps))
    assert cues[0].start == 0
    assert cues[-1].end == pytest.approx(count / fps)
    for before, after in pairwise(cues):
        assert before.end == after.start
        assert before.shape != after.shape
    step = 1 / fps
    if count * step > RESTED:
        for cue in cues:
            # A way takes a third of the longer shape's time; what is held never is on the way.
            least = RESTED if cue.shape == "X" else HELD
            assert cue.end - cue.start >= min(0.04, least * 2 / 3) - step / 2 - 1e-9


def test_of_all_ways_to_hold_shapes_the_best_is_taken() -> None:
    """Against all ways there are, of a track that is short enough to try them."""
    random = np.random.default_rng(5)
    weights = np.zeros((6, len(VISEMES)))
    weights[:, [VISEMES.index("DD"), VISEMES.index("oh")]] = random.random((6, 2)) / 2  # B and E; the rest is X
    found = mouth_cues(track_of(weights, 25))  # held for 2 frames, X for 3
    worth = {"B": weights[:, 4], "E": weights[:, 13], "X": 1 - weights.sum(axis=1)}
    ways = []
    for number in range(3**6):
        way = [("B", "E", "X")[number // 3**place % 3] for place in range(6)]
        runs = [(shape, len(list(same))) for shape, same in groupby(way)]
        if all(count >= (3 if shape == "X" else 2) for shape, count in runs):
            ways.append((sum(worth[shape][at] for at, shape in enumerate(way)), "".join(way)))
    drawn = "".join(cue.shape * round((cue.end - cue.start) * 25) for cue in found)
    assert drawn == max(ways)[1]


def test_visemes_are_needed_and_all_have_a_shape() -> None:
    assert set(SHAPE_OF) == set(VISEMES)
    track = said(("aa", 10))
    with pytest.raises(InvalidArgument, match="no motion of the set 'visemes'"):
        mouth_cues(MotionTrack.of_frames(MotionHeader(groups=(("x", 0, ("a",)),), fps=track.header.fps), []))
