"""What an installed wheel must do, without the source tree: `make wheel` and cibuildwheel run it.

    python -I tools/wheel_check.py

It needs the extra `demo`. Ports are any free ones of 127.0.0.1.
"""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import wave
from importlib import metadata
from pathlib import Path

COMMAND = str(Path(sysconfig.get_path("scripts")) / "lipwire")
DATA = (
    *("py.typed", "_core.pyi", "index.html", "agent.html", "viewer.js", "agent.js", "viewer.css", "favicon.svg"),
    "player.js",
)
"""Files that a wheel must hold, wherever in the package they stand."""


def main() -> None:
    import lipwire

    package = Path(lipwire.__file__).parent
    site = Path(sysconfig.get_path("platlib"))
    assert site in package.parents, f"{package} is not what was installed in {site}: run it with -I, elsewhere"
    print("lipwire", lipwire.__version__, "for", sysconfig.get_platform(), "Python", sys.version.split()[0])
    contents(package, lipwire.__version__)
    for name in lipwire.__all__:
        getattr(lipwire, name)
    sound()
    with tempfile.TemporaryDirectory() as folder:
        film(Path(folder))
        command(lipwire.__version__)
        pages(Path(folder))
    print("good")


def contents(package: Path, version: str) -> None:
    """The data files, the licence, and nothing but the package."""
    missing = [name for name in DATA if not any(package.rglob(name))]
    assert not missing, f"not in the wheel: {', '.join(missing)}"
    about = metadata.metadata("lipwire")
    assert metadata.version("lipwire") == version, (metadata.version("lipwire"), version)
    assert about["License-Expression"] == "Apache-2.0"
    assert set(about.get_all("License-File") or ()) == {"LICENSE", "NOTICE"}
    files = metadata.files("lipwire") or []
    tops = {f.parts[0] for f in files if ".." not in f.parts}
    assert tops <= {"lipwire", f"lipwire-{version}.dist-info", "lipwire.libs"}, tops
    print(f"{len(files)} files, {sum(f.size or 0 for f in files) / 1e6:.1f} MB")


def sound() -> None:
    """A tone at another rate is the tone."""
    import numpy as np

    from lipwire import Resampler, g711

    tone = (8000 * np.sin(2 * math.pi * 440 * np.arange(16000) / 16000)).astype("<i2")
    wide = Resampler(16000, 48000)
    out = np.frombuffer(wide.process(tone) + wide.flush(), "<i2")
    expected = 8000 * np.sin(2 * math.pi * 440 * np.arange(len(out)) / 48000)
    assert len(out) == 48000 and np.abs(out - expected)[200:-200].max() < 12, "the resampler's tone"
    assert g711.alaw_decode(g711.alaw_encode(tone[:1])) == struct.pack("<h", 8)


def film(folder: Path) -> None:
    """A second of a talking avatar."""
    import av

    import lipwire

    with wave.open(str(folder / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", 6000 if n % 114 < 57 else -6000) for n in range(16000)))
    out = folder / "out.mp4"
    done = lipwire.render(str(folder / "speech.wav"), str(out), size=(320, 180))
    with av.open(str(out)) as film:
        frames = sum(1 for _ in film.decode(video=0))
    assert frames == done.frames >= 25, (frames, done)


def command(version: str) -> None:
    """`lipwire` is there and says so."""
    for words in (["--help"], ["doctor"], ["--version"]):
        said = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False, timeout=120)
        assert said.returncode == 0, (words, said)
    assert said.stdout.strip() == version, said


def pages(folder: Path) -> None:
    """`lipwire serve` gives out its pages."""
    ports = ["--http-port", "0", "--ws-port", "0", "--viewer-port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen([COMMAND, "serve", *ports], stdout=subprocess.PIPE, text=True, cwd=folder)
    try:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"lipwire serve ended: {said}"
            said += line
        found = re.search(r"viewer\s+(http://\S+)", said)
        assert found, said
        served = (("", b"viewer.js"), ("agent", b"agent.js"), ("viewer.js", b"RTCPeerConnection"))
        for path, word in (*served, ("client/index.js", b"Player"), ("client/head.glb", b"jawOpen")):
            with urllib.request.urlopen(found[1] + path, timeout=30) as answer:
                body = answer.read()
            assert answer.status == 200 and word in body, (path, body[:200])
    finally:
        process.terminate()
        assert process.wait(30) == 0, process.returncode


if __name__ == "__main__":
    try:
        main()
    except AssertionError as exc:
        sys.exit(f"the wheel fails: {exc!r}")
