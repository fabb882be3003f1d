"""Where a model of speech is on this machine: in Lipwire's own folder of models, or in an installed package.

    find("whisper-tiny.en")      # its folder; raises ModelFailed, which says how to get it

What is found is what the table says, byte for byte: a file's SHA-256 is computed before it is used, and remembered,
with its size and time, for the next time. A package is looked up, never imported. One whose files are in parts is put
together in Lipwire's folder, once. `lipwire models get` (`fetch`) puts models there, too.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from .. import caches
from ..errors import InvalidArgument, ModelFailed
from .table import MODELS, PURPOSES, Carrier, File, Model, known

BLOCK = 1 << 20
LICENCES = "licences"
"""Folder beside a model's files, for the texts that go with them."""

Open = Callable[[], IO[bytes]]
"""Opens a part of a file."""


class Place(Struct, frozen=True):
    """Where a model is."""

    path: Path
    """What `find` gives."""
    source: str
    """For people: the package and its version, or Lipwire's folder."""
    unfit: str = ""
    """Why it is not used, whatever its files are."""


def folder() -> Path:
    """Lipwire's folder of models, in the user's cache. Raises ModelFailed: there is no home to have one in."""
    try:
        return caches.folder("models")
    except RuntimeError as exc:
        raise ModelFailed(f"there is no folder for models: {exc}; set XDG_CACHE_HOME") from exc


def home(model: Model) -> Path:
    """Its folder there, whether it exists or not: another one for other files. Raises as `folder`."""
    digest = hashlib.sha256(b"".join(file.sha256.encode() for file in model.files.values())).hexdigest()
    return folder() / f"{model.name}-{digest[:8]}"


def find(name: str) -> Path:
    """A model's folder, its file, or the folder from which its package can be imported, as the table's `kind` says; a
    path of the user's is what it is. Takes a while the first time: some 0.1 s per 100 MB.

    Raises:
        InvalidArgument: there is no such model, and no such path.
        ModelFailed: it is not on this machine, or is damaged; the message says how to get it.
    """
    if name not in MODELS and Path(name).exists():
        return Path(name)
    return place(known(name)).path


def check_hearing(name: str) -> None:
    """Whether a setting names a model that can hear: one of the table's, or a folder. Raises InvalidArgument."""
    if name not in MODELS and not Path(name).is_dir():
        ears = ", ".join(model.name for model in MODELS.values() if model.purpose == "ears")
        raise InvalidArgument(f"hearing_model: {name!r:.200} is no folder, and no model ({ears})")
    if name in MODELS and MODELS[name].purpose != "ears":
        raise InvalidArgument(f"hearing_model: {name} is for {PURPOSES[MODELS[name].purpose]}")


def place(model: Model) -> Place:
    """As `find`."""
    wrong: list[str] = []
    for candidate in _places(model):
        if candidate.unfit:
            wrong.append(candidate.unfit)
            continue
        damaged = [file for file in model.files if not is_right(candidate.path / file, model.files[file])]
        if not damaged:
            return _given(model, candidate)
        where = "Lipwire's folder of models" if candidate.source == str(candidate.path) else candidate.source
        wrong.append(f"{where} has another {damaged[0]} than Lipwire knows, or a damaged one")
    for carrier in model.carriers:
        if (parts := _parts(carrier)) is not None:
            own = assemble(model, {name: [_opener(path) for path in paths] for name, paths in parts.items()})
            return _given(model, Place(own, f"{carrier.pinned}, joined"))
    raise ModelFailed(f"the model {model.name} is not there{''.join(f': {text}' for text in wrong[:1])}. {how(model)}")


def there(model: Model) -> Place | None:
    """Where it seems to be: its files are of the right size. Quick; for lists, and for who chooses a default."""
    for candidate in _places(model):
        if not candidate.unfit and all(_size(candidate.path / name) == file.size for name, file in model.files.items()):
            return _given(model, candidate)
    for carrier in model.carriers:
        if _parts(carrier) is not None:
            return Place(home(model), carrier.pinned)
    return None


def lacks(model: Model) -> list[str]:
    """The modules that would run it and are not installed."""
    return [module for module in model.needs if importlib.util.find_spec(module) is None]


def how(model: Model) -> str:
    """How to get it, in a sentence."""
    extra = "pip install 'lipwire[offline]', or " if model.in_extra else ""
    return f"To get it: {extra}lipwire models get {model.name}"


# --------------------------------------------------------------------------------------------------------------- places


def _places(model: Model) -> Iterator[Place]:
    """Folders that may hold all of its files under their names."""
    with suppress(ModelFailed):
        if (own := home(model)).is_dir():
            yield Place(own, str(own))
    for carrier in model.carriers:
        roots = _roots(carrier)
        if roots is None or any(len(parts) > 1 for parts in carrier.files.values()):
            continue
        ((name, (path,)), *_) = carrier.files.items()
        inner = path.removesuffix(name)  # the same for all of them
        found = ", ".join(f"{dist} {version}" for dist, (version, _) in roots.items())
        (_, root) = next(iter(roots.values()))
        other = any(roots[wheel.distribution][0] != wheel.version for wheel in carrier.wheels)
        strange = model.kind == "package" and other
        unfit = f"{found} is installed, and of its code Lipwire knows {carrier.pinned} alone" if strange else ""
        yield Place(root / inner, found, unfit)


def _given(model: Model, found: Place) -> Place:
    """What `find` gives, where the files are in `found`."""
    path = found.path / next(iter(model.files)) if model.kind == "file" else found.path
    return Place(path, found.source)


def _roots(carrier: Carrier) -> dict[str, tuple[str, Path]] | None:
    """Distribution -> its installed version, and the folder that its paths begin in; None: not all are installed."""
    found = {}
    for wheel in carrier.wheels:
        try:
            distribution = importlib.metadata.distribution(wheel.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None
        found[wheel.distribution] = distribution.version, Path(str(distribution.locate_file("")))
    return found


def _parts(carrier: Carrier) -> dict[str, list[Path]] | None:
    """The parts of its files, where they are installed in parts; else None."""
    if all(len(parts) == 1 for parts in carrier.files.values()) or (roots := _roots(carrier)) is None:
        return None
    folders = [root for _, root in roots.values()]
    found: dict[str, list[Path]] = {}
    for name, parts in carrier.files.items():
        paths = [next((there for root in folders if (there := root / part).is_file()), None) for part in parts]
        whole = [path for path in paths if path is not None]
        if len(whole) < len(paths):
            return None
        found[name] = whole
    return found


def _opener(path: Path) -> Open:
    return lambda: path.open("rb")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


# --------------------------------------------------------------------------------------------------------- is it right

Seen = tuple[int, int, str]
"""Size, time of the last change in ns, SHA-256."""


_here: dict[str, Seen] = {}
"""What this process has looked at: what the file below says is read once."""


def is_right(path: Path, file: File) -> bool:
    """Whether a file is the one that the table means."""
    try:
        stat = path.stat()
        if stat.st_size != file.size:
            return False
        seen = _here.get(str(path)) or _remembered().get(str(path))
        if seen is not None and seen[:2] == (stat.st_size, stat.st_mtime_ns):
            _here[str(path)] = seen
            return seen[2] == file.sha256
        digest = hashlib.sha256()
        with path.open("rb") as opened:
            while block := opened.read(BLOCK):
                digest.update(block)
    except OSError:
        return False
    _remember(path, (stat.st_size, stat.st_mtime_ns, digest.hexdigest()))
    return digest.hexdigest() == file.sha256


def _remembered() -> dict[str, Seen]:
    try:
        return msgspec.json.decode((folder() / "seen.json").read_bytes(), type=dict[str, Seen])
    except (OSError, ModelFailed, msgspec.MsgspecError):
        return {}


def _remember(path: Path, seen: Seen) -> None:
    """For the next time; where that cannot be written it is computed again then. Another process may do the same, and
    one of the two is forgotten."""
    known_now = {name: what for name, what in _remembered().items() if Path(name).exists()} | {str(path): seen}
    with suppress(OSError, ModelFailed):
        folder().mkdir(parents=True, exist_ok=True)
        caches.write(folder() / "seen.json", lambda file: file.write(msgspec.json.encode(known_now)))


# ------------------------------------------------------------------------------------------------------------- putting


def assemble(model: Model, parts: Mapping[str, list[Open]], others: Mapping[str, Open] | None = None) -> Path:
    """Puts a model into Lipwire's folder, whole or not at all, whatever other processes do. Its folder.

    Args:
        parts: of each of its files, in their order.
        others: what goes with them, under these names.

    Raises:
        ModelFailed: what came is not what the table says, or the folder cannot be written.
    """
    own = home(model)
    need = f"{model.size / 1e6:.0f} MB"
    try:
        own.parent.mkdir(parents=True, exist_ok=True)
        _sweep(own.parent)
        temporary = Path(tempfile.mkdtemp(dir=own.parent, suffix=".part"))
        try:
            for name, opens in parts.items():
                if (digest := _write(temporary / name, opens)) != model.files[name].sha256:
                    raise ModelFailed(
                        f"{name} of the model {model.name} is damaged: its SHA-256 begins with {digest[:8]}, not with "
                        f"{model.files[name].sha256[:8]}. {how(model)}"
                    )
            for name, opened in (others or {}).items():
                _write(temporary / name, [opened])
            temporary.chmod(0o755)
            _put(temporary, own, model)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as exc:
        raise ModelFailed(
            f"the model {model.name} cannot be put into {own.parent}: {exc.strerror or exc}. It needs {need} there; "
            "XDG_CACHE_HOME names another place"
        ) from exc
    return own


def _write(path: Path, parts: list[Open]) -> str:
    """Its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with ExitStack() as stack:
        file = stack.enter_context(path.open("wb"))
        for part in parts:
            source = stack.enter_context(part())
            while block := source.read(BLOCK):
                digest.update(block)
                file.write(block)
    return digest.hexdigest()


def _put(temporary: Path, own: Path, model: Model) -> None:
    """Renames a folder that is whole to where it belongs. What another process has put there meanwhile stays, if it is
    right."""
    for _ in range(2):
        try:
            os.rename(temporary, own)
            return
        except OSError:
            if not own.is_dir():
                raise
            if all(is_right(own / name, file) for name, file in model.files.items()):
                return
            damaged = Path(tempfile.mkdtemp(dir=own.parent, suffix=".part"))
            with suppress(FileNotFoundError):  # another process has just done the same
                os.rename(own, damaged)
            shutil.rmtree(damaged, ignore_errors=True)
    os.rename(temporary, own)


def _sweep(parent: Path) -> None:
    """Removes what processes that are gone have left in part."""
    for part in parent.glob("*.part"):
        with suppress(OSError):  # another process has just removed it
            if part.is_dir() and part.stat().st_mtime < time.time() - caches.ABANDONED:
                shutil.rmtree(part, ignore_errors=True)
