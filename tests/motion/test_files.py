"""The kinds of files, by what their names end in."""

from __future__ import annotations

from fractions import Fraction

import pytest

from lipwire import _core
from lipwire.errors import InvalidArgument
from lipwire.motion import MotionHeader, MotionTrack, encode_motion
from lipwire.motion.files import WRITERS, writer_for


@pytest.mark.parametrize("end", WRITERS)
def test_the_longest_end_counts(end: str) -> None:
    assert writer_for(f"folder.lwm/My Talk.v2{end.upper()}") is WRITERS[end]


@pytest.mark.parametrize("name", ["a.mp4", "a", "lwm", "a.json/b.wav", ""])
def test_other_names_are_none_of_motion(name: str) -> None:
    assert writer_for(name) is None
    with pytest.raises(InvalidArgument, match=r"end its name in one of \.a2f\.json \(blend shapes"):
        encode_motion(MotionTrack.of_frames(MotionHeader(groups=(), fps=Fraction(25)), []), name)


@pytest.mark.parametrize("end", [end for end, writer in WRITERS.items() if writer.sets])
def test_what_a_kind_is_made_of_has_to_be_there(end: str) -> None:
    header = MotionHeader(groups=_core.MOTION_SETS["pose"], fps=Fraction(25))
    with pytest.raises(InvalidArgument, match=r"it takes the set\(s\) .*, and there is pose"):
        encode_motion(MotionTrack.of_frames(header, []), "out" + end)
