"""Puts the unmodified Agora SDK and the double of its native library where the worker finds both.

    python tests/agora_double/install.py FOLDER [SDIST]

makes FOLDER/sdk/agora (the package from PyPI, as released) and, in the places where it looks when it is imported,
FOLDER/sdk/agora/agora_sdk/libagora_rtc_sdk.so, libaosl.so (the double) and FOLDER/sdk/agora/version.txt. The last names
the download that the SDK believes is installed; without it the import would remove agora_sdk and download. Nothing is
done when FOLDER is up to date. Without SDIST the source archive comes from the package index that pip is set to; only
pip's own metadata step runs, not the SDK's install step.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).parent
VERSION = "2.4.10"
SDIST = f"agora_python_server_sdk-{VERSION}.tar.gz"
LIBRARIES = ("libagora_rtc_sdk.so", "libaosl.so")


def fetch(into: Path) -> Path:
    """The SDK's source archive."""
    requirement = f"agora-python-server-sdk=={VERSION}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(into), requirement], check=True, stdout=subprocess.DEVNULL)
    return into / SDIST


def download_name(package: Path) -> str:
    """What version.txt must hold: the address that this SDK compares it with, on this machine.

    The check is a function of agora/__init__.py. It alone is run, with nothing in reach that downloads or removes; a
    release that checks otherwise ends in an error here.
    """
    tree = ast.parse((package / "__init__.py").read_text())
    checks = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_check_download_and_extract_sdk"]
    seen: list[str] = []

    class Any_:
        def __eq__(self, other: object) -> bool:
            seen.append(str(other))
            return True

        __hash__ = object.__hash__

    scope: dict[str, Any] = {
        "__file__": str(package / "__init__.py"),
        "_get_url_from_version_file": lambda path: Any_(),
        "sdk_library_dir": str(package / "agora_sdk"),
        "sdk_root_dir": str(package),
        "logger": logging.getLogger("agora.discarded"),
        "os": SimpleNamespace(path=os.path),
        "sys": SimpleNamespace(platform=sys.platform),
        "platform": platform,
    }
    scope["logger"].disabled = True
    exec(compile(ast.Module(body=[*checks], type_ignores=[]), "agora/__init__.py", "exec"), scope)
    scope["_check_download_and_extract_sdk"]()
    if len(seen) != 1:
        raise SystemExit(f"agora/__init__.py no longer compares version.txt with one address: {seen}")
    return seen[0]


def build(folder: Path, package: Path) -> None:
    """Generates, compiles, and puts the libraries in place."""
    generated = folder / "generated"
    generated.mkdir(parents=True, exist_ok=True)
    libraries = package / "agora_sdk"
    libraries.mkdir(exist_ok=True)
    for name in LIBRARIES:  # the SDK's check asks only whether the first is there; the generator loads neither
        (libraries / name).touch()
    (package / "version.txt").write_text(download_name(package))
    subprocess.run([sys.executable, str(HERE / "generate.py"), str(package.parent), str(generated)], check=True)
    compiler = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    compiler += ["-fPIC", "-shared", "-fvisibility=hidden", "-pthread", f"-I{generated}", f"-I{HERE}"]
    sources = [str(generated / "sdk.c"), *map(str, sorted(HERE.glob("*.c")))]
    subprocess.run([*compiler, *sources, "-o", str(libraries / LIBRARIES[0])], check=True)
    subprocess.run([*compiler, "-x", "c", os.devnull, "-o", str(libraries / LIBRARIES[1])], check=True)


def install(folder: Path, sdist: Path | None = None) -> Path:
    """Makes FOLDER up to date, one process at a time; returns the folder to put on the worker's module path."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install(folder, sdist)


def _install(folder: Path, sdist: Path | None) -> Path:
    digest = hashlib.sha256(VERSION.encode())
    for source in sorted(HERE.iterdir()):
        if source.suffix in (".c", ".h", ".py"):
            digest.update(source.read_bytes())
    stamp, sdk = folder / "stamp", folder / "sdk"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return sdk
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        if not (folder / SDIST).exists():
            shutil.copy(sdist or fetch(Path(scratch)), folder / SDIST)
        safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(folder / SDIST) as archive:
            archive.extractall(scratch, **safely)
        shutil.rmtree(sdk, ignore_errors=True)
        shutil.copytree(Path(scratch) / SDIST.removesuffix(".tar.gz") / "agora", sdk / "agora")
    build(folder, sdk / "agora")
    stamp.write_text(digest.hexdigest())
    return sdk


if __name__ == "__main__":
    print(install(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
