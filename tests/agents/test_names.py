"""What was renamed inside `lipwire.agents` is found under its name of 0.1 for one release."""

from __future__ import annotations

import importlib
import warnings

import pytest

from lipwire._lazy import RENAMED


@pytest.mark.parametrize("old", RENAMED)
def test_old_names_lead_to_new_ones(old: str) -> None:
    module, _, name = old.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        face = importlib.import_module(f"lipwire.{module}")
    assert getattr(face, name).__name__ == RENAMED[old] and getattr(face, name) is getattr(face, RENAMED[old])
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        face.nothing  # noqa: B018


def test_errors_that_have_moved() -> None:
    from lipwire.agents import errors
    from lipwire.protocol import agent_bodies

    with pytest.warns(DeprecationWarning, match=r"is now lipwire\.agents\.errors\.AgentNotFound"):
        assert agent_bodies.AgentNotFound is errors.AgentNotFound
    with pytest.raises(AttributeError):
        agent_bodies.AgentNowhere  # noqa: B018
