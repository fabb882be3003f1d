"""The table of Session's arguments in docs/embedding.md has all of them and their defaults; `size` is the one way."""

from __future__ import annotations

import inspect
import re
import warnings

import numpy as np
import pytest

import lipwire
from lipwire.publish import Null
from support.paths import ROOT


def test_arguments_of_session() -> None:
    text = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
    table = re.findall(
        r"^\| (`.*?`) \| .* \| (.*) \|$", text.split("| argument of `Session`")[1].split("\n\n")[0], re.M
    )
    told = {
        name: value.strip("` ")
        for names, values in table
        for name, value in zip(re.findall(r"`(\w+)`", names), values.split(", " if "," in names else "\0"), strict=True)
    }
    real = dict(inspect.signature(lipwire.Session).parameters)
    assert set(told) == set(real) - {"width", "height"}
    numbers = {name: float(value) for name, value in told.items() if re.fullmatch(r"[\d.]+", value)}
    assert numbers == {name: real[name].default for name in numbers} and len(numbers) >= 6
    assert told["size"] == str((real["width"].default, real["height"].default))


def test_width_and_height_apart_still_work() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = lipwire.Session(Null(), size=(64, 48))
        assert (lipwire.Session(Null()).width, one.width, one.height) == (640, 64, 48)
    with pytest.warns(DeprecationWarning, match=r"size=\(width, height\)"):
        assert lipwire.Session(Null(), width=64, height=48).height == 48


def test_numbers_of_a_frame_have_names() -> None:
    performer = lipwire._core.Performer(lipwire.Avatar.load("kit").at(64, 64))
    for _ in range(4):
        performer.tick()
    frame = performer.read_frame()
    assert frame is not None and len(frame.axes) == len(lipwire.Axis) and len(frame.visemes) == len(lipwire.Viseme)
    assert lipwire.Axis.JAW.name.lower() == lipwire.avatar.AXES[lipwire.Axis.JAW] == "jaw"
    assert np.isclose(frame.axes[lipwire.Axis.LIDS], lipwire._core.LIDS_REST, atol=0.01)
    assert lipwire.Viseme["PP"] == lipwire.avatar.VISEMES.index("PP")
