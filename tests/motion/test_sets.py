"""Names of sets, as everybody who takes some reads them."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire._core import MOTION_SETS
from lipwire.errors import InvalidArgument
from lipwire.motion.sets import DEFAULT_SETS, check_sets


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("pose", ("pose",)),
        ("pose, head,arkit", ("arkit", "head", "pose")),
        (["head", "visemes", "head"], ("visemes", "head")),
        (reversed(tuple(MOTION_SETS)), tuple(MOTION_SETS)),
        (DEFAULT_SETS, DEFAULT_SETS),
    ],
)
def test_each_once_and_in_their_order(said: Any, meant: tuple[str, ...]) -> None:
    assert check_sets(said) == meant


@pytest.mark.parametrize(("said", "got"), [("", "none"), ([], "none"), (["arkit", "smell"], "'smell'"), ([""], "''")])
def test_what_is_none(said: Any, got: str) -> None:
    with pytest.raises(InvalidArgument, match=f"motion_sets: there are visemes, arkit, .*; got {got}"):
        check_sets(said, "motion_sets")
