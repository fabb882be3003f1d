"""`import lipwire` costs nothing until a name is used, and the paths of 0.1 still lead somewhere."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings

import pytest

import lipwire
from lipwire import _lazy
from lipwire.errors import LipwireError


def imported_by(code: str) -> set[str]:
    """Modules that a fresh interpreter has after `code`."""
    command = [sys.executable, "-c", f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]))


def test_the_package_alone_imports_nothing_of_others() -> None:
    modules = imported_by("import lipwire")
    assert {name for name in modules if name.startswith("lipwire")} == {"lipwire", "lipwire._lazy"}
    assert not modules & {"numpy", "av", "asyncio", "msgspec"}


def test_a_resampler_needs_numpy_alone() -> None:
    """Not how long it takes, but what is imported: at numpy's own price (0.01 s beyond it, where it was measured)."""
    beyond = imported_by("import lipwire; lipwire.Resampler(16000, 48000)") - imported_by("import numpy, typing")
    assert {name for name in beyond if name.startswith("lipwire")} == {
        "lipwire", "lipwire._core", "lipwire._lazy", "lipwire.errors",
    }  # fmt: skip
    assert not {name.partition(".")[0] for name in beyond} & {"av", "asyncio", "msgspec", "websockets", "aiortc"}


@pytest.mark.parametrize("name", lipwire.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lipwire, name) is not None
    assert name in dir(lipwire)


MODULES = "avatar codecs errors pcm protocol publish.agora publish.base publish.file renderer session source stage"


@pytest.mark.parametrize("name", MODULES.split())
def test_a_module_that_came_with_the_package_in_0_1_still_does(name: str) -> None:
    code = f"import lipwire, types; assert isinstance(lipwire.{name}, types.ModuleType); print(lipwire.{name}.__doc__)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() != "None"


def test_looking_at_everything_needs_no_extra() -> None:
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(_lazy.EXTRAS)!r}))\n"
        "import inspect, lipwire, pydoc\n"
        "names = {name for name, _ in inspect.getmembers(lipwire)}\n"
        "assert set(lipwire.__all__) - names == {'AgoraAgents', 'create_app'}, names\n"
        "assert 'Session' in pydoc.render_doc(lipwire)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"lipwire.*Nobody"):
        _ = lipwire.Nobody  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lipwire.nobody")


@pytest.mark.parametrize(
    ("missing", "imports", "extra"),
    [
        ("litestar", "from lipwire.servers.rooms import create_rooms", "server"),
        ("litestar", "from lipwire import create_app", "server"),
        ("uvicorn", "import lipwire.servers.http", "server"),
        ("jwt", "from lipwire.app.service import Service", "server"),
        ("prometheus_client", "import lipwire.servers.metrics", "server"),
        ("aiortc", "from lipwire.publish.webrtc import WebRTC", "webrtc"),
        ("aiortc", "from lipwire.channel.room.room import Rooms", "webrtc"),
        ("httpx", "from lipwire.provider.client import ProviderClient", "agents"),
    ],
)
def test_whatever_needs_an_extra_that_is_not_installed_says_which(missing: str, imports: str, extra: str) -> None:
    """Not installed: no finder has it. By whatever path it is imported; and who only looks for it finds nothing."""
    code = (
        "import importlib.util, sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        return None if name == {missing!r} else self.finder.find_spec(name, path, target)\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]\n"
        "import lipwire\n"
        f"assert importlib.util.find_spec({missing!r}) is None and not lipwire._lazy.installed({missing!r})\n"
        f"try: import {missing}\n"
        "except ModuleNotFoundError as exc: assert 'lipwire' not in str(exc), exc\n"
        f"try: {imports}\n"
        f"except ModuleNotFoundError as exc: assert exc.name == {missing!r}; print(exc)\n"
        "else: raise SystemExit('it is not missing')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"pip install 'lipwire[{extra}]'" in done.stdout and missing in done.stdout


def test_an_extra_that_is_missing_is_named() -> None:
    code = (
        "import sys; sys.modules['aiortc'] = None\n"
        "import lipwire\n"
        "try: lipwire.publish.WebRTC\n"
        "except ModuleNotFoundError as exc: assert 'lipwire[webrtc]' in str(exc), exc\n"
        "else: raise SystemExit('it is not missing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("old", sorted(_lazy.MOVED))
def test_a_path_of_0_1_leads_to_where_it_is_now(old: str) -> None:
    name = f"lipwire.{old}"
    sys.modules.pop(name, None)
    if old in _lazy._STILL_PUBLIC:
        face = importlib.import_module(name)
    else:
        with pytest.warns(DeprecationWarning, match=f"lipwire.{old} is now {_lazy.whole(_lazy.MOVED[old][0])}"):
            face = importlib.import_module(name)
    for place in _lazy.MOVED[old]:
        module = importlib.import_module(_lazy.whole(place))
        public = [each for each in vars(module) if not each.startswith("_")]
        assert all(getattr(face, each) is getattr(module, each) for each in public)
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        _ = face.nobody


@pytest.mark.parametrize("old", sorted(_lazy.MOVED_NAMES))
def test_a_name_of_0_1_is_where_it_was(old: str) -> None:
    package, _, name = old.rpartition(".")
    module = importlib.import_module(f"lipwire.{package}")
    with pytest.warns(DeprecationWarning, match=f"lipwire.{_lazy.MOVED_NAMES[old]}"):
        was = getattr(module, name)
    place, _, name = _lazy.MOVED_NAMES[old].rpartition(".")
    assert was is getattr(importlib.import_module(f"lipwire.{place}"), name)


def test_a_moved_module_is_the_module_itself() -> None:
    for old, (place, *more) in _lazy.MOVED.items():
        if not more and old not in _lazy._KEEP_FACE:
            sys.modules.pop(f"lipwire.{old}", None)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert importlib.import_module(f"lipwire.{old}") is importlib.import_module(_lazy.whole(place))


def test_render_is_a_function_whoever_imported_the_module_of_that_name() -> None:
    code = (
        "import lipwire\n"
        "from lipwire.render import SpeechFile, perform\n"
        "import lipwire.render\n"
        "try: lipwire.render('nowhere.wav', 'out.mp4')\n"
        "except lipwire.LipwireError as exc: assert 'nowhere.wav' in str(exc)\n"
        "else: raise SystemExit('it did not run')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert issubclass(LipwireError, Exception)
