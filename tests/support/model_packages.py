"""Small packages that carry small models: as installed ones, and as wheels."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from lipwire.models.table import Carrier, File, Model, Wheel


def install(site: Path, distribution: str, version: str, files: dict[str, bytes]) -> None:
    """As pip leaves it in a folder of packages."""
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    for name, data in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def wheel(folder: Path, distribution: str, version: str, files: dict[str, bytes]) -> Wheel:
    """A wheel in a folder, which depends on a package that is nowhere."""
    stem = f"{distribution.replace('-', '_')}-{version}"
    meta = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    meta += "Requires-Dist: lipwire-test-no-such-package\n"
    every = {
        **files,
        f"{stem}.dist-info/METADATA": meta.encode(),
        f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in every.items())
    every[f"{stem}.dist-info/RECORD"] = (record + f"{stem}.dist-info/RECORD,,\n").encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in every.items():
            archive.writestr(name, data)
    return Wheel(distribution, version, hashlib.sha256(path.read_bytes()).hexdigest())


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def file(data: bytes) -> File:
    return File(hashlib.sha256(data).hexdigest(), len(data))


def model(files: dict[str, bytes], *carriers: Carrier, kind: str = "folder") -> Model:
    return Model(
        name="small",
        purpose="ears",
        kind=kind,  # type: ignore[arg-type]
        languages="any",
        maker="the tests",
        licence="none",
        files={name: file(data) for name, data in files.items()},
        carriers=carriers,
        needs=("msgspec",),
    )
