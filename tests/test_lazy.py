"""What `import lipwire` costs, and the paths of 0.1."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module

import pytest

import lipwire
from lipwire._lazy import _STILL_PUBLIC, MOVED, MOVED_NAMES


@pytest.fixture(autouse=True)
def names_as_before() -> Iterator[None]:
    """Importing a path of 0.1 puts its face among the names of `lipwire`; the other tests meet what stood there."""
    before = dict(vars(lipwire))
    yield
    vars(lipwire).clear()
    vars(lipwire).update(before)


def test_importing_lipwire_imports_nothing_heavy() -> None:
    heavy = ("av", "asyncio", "websockets", "msgspec", "aiortc", "litestar", "httpx", "PIL", "numba", "typer")
    program = (
        "import sys, lipwire; lipwire.Resampler(16000, 48000).process(bytes(320)); lipwire.g711.ulaw_encode(bytes(2)); "
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", sorted(set(lipwire.__all__) | {"__version__"}))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lipwire, name) is not None
    assert name in dir(lipwire)


def test_a_name_that_is_none_is_said_so() -> None:
    with pytest.raises(AttributeError, match="module 'lipwire' has no attribute 'Nothing'"):
        lipwire.Nothing  # noqa: B018


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_path_of_0_1_leads_to_what_it_held(old: str) -> None:
    sys.modules.pop(f"lipwire.{old}", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        face = import_module(f"lipwire.{old}")
    told = [
        str(w.message) for w in caught if issubclass(w.category, DeprecationWarning) and f"lipwire.{old} " in str(w)
    ]
    assert len(told) == (old not in _STILL_PUBLIC)
    for place in MOVED[old]:
        new = import_module(f"lipwire.{place}")
        names = [name for name in vars(new) if not name.startswith("_")]
        assert names
        first = next(import_module(f"lipwire.{p}") for p in MOVED[old])
        for name in names:
            assert getattr(face, name) is getattr(first, name, getattr(new, name)), name
    with pytest.raises(AttributeError, match="nothing_at_all"):
        _ = face.nothing_at_all


def test_the_function_render_stays_a_function_when_its_old_path_is_imported() -> None:
    import_module("lipwire.render")
    assert callable(lipwire.render)


@pytest.mark.parametrize("old", sorted(MOVED_NAMES))
def test_a_name_of_0_1_leads_to_where_it_is(old: str) -> None:
    package, _, name = old.rpartition(".")
    place, _, new = MOVED_NAMES[old].rpartition(".")
    with pytest.warns(DeprecationWarning, match=old):
        found = getattr(import_module(f"lipwire.{package}"), name)
    assert found is getattr(import_module(f"lipwire.{place}"), new)
