"""`special` messages: gestures, emotions and states act on the next frame; what is unknown is logged and left."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.avatar.art import AXES, EXPRESSIONS, GESTURES, STATES
from lipwire.errors import BadState, InvalidArgument

pytestmark = pytest.mark.kernels


def watch(seconds: float, *settings: tuple[int, int], fps: int = 100) -> dict[str, np.ndarray]:
    """Axes over time of a performer without an avatar, settings made before the first tick."""
    performer = _core.Performer(None, (fps, 1), seed=3)
    for setting in settings:
        performer.set(*setting)
    rows = []
    for _ in range(round(seconds * 100)):
        performer.tick()
        performer.read_pcm()
        while (frame := performer.read_frame()) is not None:
            rows.append(frame.axes)
            del frame
    return dict(zip(AXES, np.array(rows).T, strict=True))


def test_the_names_are_those_of_the_core() -> None:
    for setting, names in (
        (_core.MOTION_STATE, STATES),
        (_core.MOTION_EXPRESSION, EXPRESSIONS),
        (_core.MOTION_GESTURE, GESTURES),
    ):
        performer = _core.Performer(None)
        for value in range(len(names)):
            performer.set(setting, value)
        for bad in (-1, len(names), 256):
            with pytest.raises(InvalidArgument):
                performer.set(setting, bad)
    assert len(AXES) == _core.AXES


def test_it_acts_on_the_next_frame() -> None:
    for i, name in enumerate(EXPRESSIONS[1:], 1):
        axes = watch(0.5, (_core.MOTION_EXPRESSION, i))
        assert axes[name][0] > 0 and axes[name][-1] == 1 and (np.diff(axes[name]) >= 0).all()
        assert 0.28 <= np.argmax(axes[name] == 1) / 100 <= 0.32
    still = watch(1.2)
    for i, axis in enumerate(("head_y", "head_x", "wave")):
        axes = watch(1.2, (_core.MOTION_GESTURE, i))
        assert np.abs(axes[axis] - still[axis]).max() > 0.4
    beat = watch(1.2, (_core.MOTION_GESTURE, GESTURES.index("beat")))["head_y"] - still["head_y"]
    assert 0.3 < beat.max() < 0.45 and np.argmax(beat) / 100 == pytest.approx(0.24, abs=0.02)


def test_states_can_be_told_apart() -> None:
    idle, listening, thinking = (watch(60, (_core.MOTION_STATE, i), fps=25) for i in range(3))
    assert np.abs(listening["head_roll"]).mean() > np.abs(idle["head_roll"]).mean() + 0.25
    assert listening["brow"].mean() > idle["brow"].mean() + 0.2 > thinking["brow"].mean() + 0.4
    assert thinking["gaze_y"].mean() < idle["gaze_y"].mean() - 0.4
    assert (np.diff((thinking["blink"] > 0.5).astype(int)) > 0).sum() < (
        np.diff((idle["blink"] > 0.5).astype(int)) > 0
    ).sum()


def test_the_same_settings_give_the_same_poses() -> None:
    settings = ((_core.MOTION_STATE, 2), (_core.MOTION_EXPRESSION, 1), (_core.MOTION_GESTURE, 2))
    first, second = watch(10, *settings), watch(10, *settings)
    assert all(np.array_equal(first[axis], second[axis]) for axis in AXES)


class Last:
    """Keeps the axes of the newest frame."""

    axes: np.ndarray

    async def open(self, spec: Any) -> None: ...

    def audio(self, pcm: bytes, sample: int) -> None: ...

    def video(self, frame: lipwire.Frame) -> None:
        self.axes = frame.axes

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    "content", [{"emotion": "happy"}, '{"emotion": "happy", "gesture": "wave", "state": "thinking"}']
)
async def test_a_session_acts_on_it(content: Any) -> None:
    import asyncio

    out = Last()
    async with asyncio.timeout(30), lipwire.Session(out, width=64, height=36) as session:
        session.special(content, "e")
        while getattr(out, "axes", np.zeros(len(AXES)))[AXES.index("happy")] < 1:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"gesture": "bow"}, "no gesture 'bow'; there are: nod, shake, wave, beat"),
        ({"emotion": 5}, "no emotion 5; there are: neutral, happy, concerned, surprised"),
        ({"state": ["idle"]}, "no state ['idle']; there are: idle, listening, thinking"),
        ({"background": "beach"}, "'background' is not acted on; what is: state, emotion, gesture"),
        ('"nod"', "an object was expected"),
        ("nod", "an object was expected"),
        pytest.param("[" * 100_000, "an object was expected", id="deep"),
        ([1], "an object was expected"),
        (None, "an object was expected"),
    ],
)
async def test_what_is_not_known_is_logged(content: Any, message: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lipwire.session")
    async with lipwire.Session(Last(), width=64, height=36) as session:
        session.special(content)
    assert message in caplog.text


@pytest.mark.parametrize(("action", "does"), [("wave", {"gesture": "wave"}), ("happy", {"emotion": "happy"})])
async def test_actions_as_clients_of_other_avatars_send_them(
    action: str, does: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lipwire.Session(Last(), width=64, height=36) as session:
        cues: list[Any] = []
        monkeypatch.setattr(session, "_cue", lambda kind, name, sample: cues.append(name))
        session.special({"type": "action", "action": action})
        session.special(does)
        assert cues == [action, action]


async def test_actions_that_are_not_ours_go_to_the_application() -> None:
    told: list[dict[Any, Any]] = []
    session = lipwire.Session(lipwire.publish.Null(), width=64, height=36, on_special=told.append)
    async with session:
        session.special({"type": "action", "action": "jump"})
        session.special({"type": "action", "action": ["wave"]})
    assert told == [{"type": "action", "action": "jump"}, {"type": "action", "action": ["wave"]}]


async def test_it_needs_a_running_session() -> None:
    session = lipwire.Session(Last(), width=64, height=36)
    with pytest.raises(BadState):
        session.special({"gesture": "nod"})


async def test_what_is_not_ours_goes_to_the_application() -> None:
    told: list[dict[Any, Any]] = []
    session = lipwire.Session(lipwire.publish.Null(), width=64, height=36, on_special=told.append)
    async with session:
        session.special({"gesture": "nod", "background": "#00ff00", "avatar_id": 7})
        session.special('{"emotion": "happy"}')
    assert told == [{"background": "#00ff00", "avatar_id": 7}]
