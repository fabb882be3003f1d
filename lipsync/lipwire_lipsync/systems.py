"""The systems that are compared: Lipwire's extractor and its peers, each found where it is installed or not at all.

A system gets whole utterances and gives one row every 10 ms: what a live player knows at the end of those 10 ms. So a
system that thinks for 40 ms is 40 ms late in its rows, and the benchmark's search for the delay finds it. Offline
systems hear the whole file; their rows are those of the moment itself, which no live player could have.

Nothing of the peers is in this package: the runners under `peers/` drive what the user installed.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lipwire import VisemeExtractor, render
from lipwire.audio import espeak as voice
from lipwire.errors import BadState

from . import labels, sets, spoken
from .metrics import Kind, Rows

HOP = sets.RATE // 100
RUNNERS = Path(__file__).with_name("peers")
NPM_PACKAGES = {"headaudio": "@met4citizen/headaudio@0.1.0", "wlipsync": "wlipsync@1.3.1"}
Progress = Callable[[int], None]
"""Called with the number of utterances done since the last call."""


@dataclass(frozen=True)
class Answer:
    """One array of class indices an utterance, a whole 10 ms each, and the CPU time it took."""

    rows: list[Rows]
    cpu_seconds: float


class System(Protocol):
    name: str
    kind: Kind
    offline: bool

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer: ...


class Missing(BadState):
    """A system that is not installed here; the message says how to get it."""


# ---- Lipwire ------------------------------------------------------------------------------------------------------


class Lipwire:
    """`lipwire.VisemeExtractor`, cold at the start of each utterance."""

    kind: Kind = "visemes"
    offline = False

    def __init__(self, name: str = "lipwire", early: bool = False) -> None:
        self.name = name
        self.early = early

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer:
        out: list[Rows] = []
        began = time.thread_time()
        for pcm in sounds:
            extractor = VisemeExtractor(early=self.early)
            # The row of hop i comes with hop i + late: the first one that completes its look-ahead.
            late = -(-round(extractor.lookahead * sets.RATE) // HOP)
            weights = np.asarray(extractor.process(pcm.data))
            rows = np.zeros(len(pcm) // HOP, np.int64)
            said = weights[: max(0, len(rows) - late), : len(labels.VISEMES)].argmax(1)
            rows[late : late + len(said)] = said
            out.append(rows)
            progress(1)
        return Answer(out, time.thread_time() - began)


# ---- npm packages under node --------------------------------------------------------------------------------------


def peers_folder() -> Path:
    """Where `install_peers` puts npm packages by default."""
    return sets.default_folder().with_name("peers")


def install_peers(folder: Path) -> None:
    """Installs the npm peers, without running their scripts. Raises BadState: npm is missing or fails."""
    npm = shutil.which("npm")
    if npm is None:
        raise BadState("npm is missing: install Node.js (Debian: nodejs, npm)")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    done = subprocess.run([*command, *NPM_PACKAGES.values()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadState(f"npm install failed: {done.stderr.strip() or done.stdout.strip()}")


def _node(runner: str, folder: Path) -> tuple[str, Path]:
    """Node's executable and the package's folder."""
    node = shutil.which("node")
    if node is None:
        raise Missing("needs Node.js (Debian: nodejs) and --install-peers")
    scoped = NPM_PACKAGES[runner].rpartition("@")[0]
    package = folder / "node_modules" / scoped
    if not package.is_dir():
        raise Missing(f"no {scoped} under {folder}: lipwire bench lipsync --install-peers")
    return node, package


def _write_raw(folder: str, prefix: str, sounds: Sequence[sets.Samples]) -> list[str]:
    paths = [str(Path(folder, f"{prefix}{i}.raw")) for i in range(len(sounds))]
    for path, pcm in zip(paths, sounds, strict=True):
        Path(path).write_bytes(pcm.astype("<i2").tobytes())
    return paths


class _NodePeer:
    kind: Kind = "visemes"
    offline = False
    name: str
    batch = 32

    def __init__(self, folder: Path) -> None:
        self._node, self._package = _node(self.name, folder)

    def _job(self, folder: str) -> dict[str, Any]:
        """What else the runner has to know."""
        return {}

    def _take(self, answer: dict[str, Any]) -> None:
        """What else the runner found out."""

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer:
        rows: list[Rows] = []
        cpu = 0.0
        with tempfile.TemporaryDirectory() as folder:
            for start in range(0, len(sounds), self.batch):
                some = sounds[start : start + self.batch]
                job = {"package": str(self._package), "files": _write_raw(folder, "", some), **self._job(folder)}
                done = subprocess.run(
                    [self._node, str(RUNNERS / f"{self.name}.mjs")],
                    input=json.dumps(job),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    raise BadState(f"{self.name} failed: {done.stderr.strip()[-2000:]}")
                answer = json.loads(done.stdout)
                self._take(answer)
                rows += [np.array(r, np.int64) for r in answer["rows"]]
                cpu += answer["cpu_seconds"]
                progress(len(some))
        return Answer(rows, cpu)


class HeadAudio(_NodePeer):
    """@met4citizen/headaudio: its decisions, before the easing of its animation."""

    name = "headaudio"


CALIBRATION_UTTERANCES = 96


class WLipSync(_NodePeer):
    """wlipsync. It has no profile of its own: calibrated on 15 visemes, on espeak-ng's voices in the languages of
    `spoken` (other timbres than those of the test sets), the mean over all windows that lie within a viseme."""

    name = "wlipsync"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not voice.available():
            raise Missing("is calibrated with espeak-ng: pip install 'lipwire[demo]'")
        self._profile: Any = None

    def _take(self, answer: dict[str, Any]) -> None:
        self._profile = answer["profile"]

    def _job(self, folder: str) -> dict[str, Any]:
        if self._profile is not None:
            return {"profile": self._profile}
        made = spoken.espeak_set(tuple(spoken.SENTENCES), CALIBRATION_UTTERANCES, 1, spoken.CALIBRATION_TIMBRES)
        examples = [(u.pcm, u.visemes(made.about.phone_set)) for u in made.utterances]
        paths = _write_raw(folder, "calibration", [pcm for pcm, _ in examples])
        pairs = zip(paths, examples, strict=True)
        return {"calibration": [{"file": path, "visemes": truth.tolist()} for path, (_, truth) in pairs]}


# ---- programs and packages that hear the whole file ---------------------------------------------------------------

# The shapes of both are letters; what each is for is in their documentation. E is an open round mouth; L, EE, SH and R
# have the teeth near each other.
RHUBARB_GROUPS = dict(zip("ABCDEFGHX", "ABCDFFGBX", strict=True))
CHERRY_GROUPS = dict(zip("ABCDEFGHIJKX", "ABCDFFGBBBBX", strict=True))


def parse_shapes(text: str, groups: dict[str, str], count: int) -> Rows:
    """`seconds TAB shape` lines -> group index of each of `count` rows at its centre.

    Raises:
        BadState: a line that is something else.
    """
    rows = np.zeros(count, np.int64)
    for line in text.splitlines():
        start, _, shape = line.partition("\t")
        if not line.strip():
            continue
        try:
            first = max(0, int(np.ceil(float(start) / labels.HOP - 0.5)))
            rows[first:] = labels.GROUPS.index(groups[shape.strip()])
        except (ValueError, KeyError):
            raise BadState(f'no "seconds TAB shape": {line!r}') from None
    return rows


class Program:
    """A command that writes the shapes of a WAVE file as `seconds TAB shape` lines."""

    kind: Kind = "groups"
    offline = True

    def __init__(self, name: str, command: list[str], groups: dict[str, str]) -> None:
        self.name, self._command, self._groups = name, command, groups

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer:
        """CPU time includes starting the program, once an utterance."""
        rows: list[Rows] = []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "speech.wav")
            for pcm in sounds:
                sets.write_wave(path, pcm)
                command = [str(path) if word == "FILE" else word for word in self._command]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise BadState(f"{self.name} failed: {done.stderr.strip()[-2000:]}")
                rows.append(parse_shapes(done.stdout, self._groups, len(pcm) // HOP))
                progress(1)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Answer(rows, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _program(given: Path | None, default: str, link: str) -> str:
    found = shutil.which(str(given or default))
    if found is None:
        raise Missing(f"no executable {given or default}: build or download it ({link}), put it on PATH or name it")
    return found


def rhubarb(given: Path | None, name: str, recognizer: str) -> System:
    program = _program(given, "rhubarb", "github.com/DanielSWolf/rhubarb-lip-sync")
    options = ["-q", "-r", recognizer, "-f", "tsv", "--extendedShapes", "GHX", "--threads", "1"]
    return Program(name, [program, *options, "FILE"], RHUBARB_GROUPS)


def cherry(given: Path | None) -> System:
    program = _program(given, "cherrylipsync", "github.com/nwhitehead/cherry-lip-sync")
    return Program("cherry", [program, "--fps", "100", "-i", "FILE"], CHERRY_GROUPS)


class Mouths:
    """The mouth shapes that `lipwire.render` writes of a file, in Rhubarb's format."""

    name = "lipwire-mouths"
    kind: Kind = "groups"
    offline = True

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer:
        rows: list[Rows] = []
        began = time.thread_time()
        with tempfile.TemporaryDirectory() as folder:
            speech, shapes = Path(folder, "speech.wav"), Path(folder, "mouths.tsv")
            for pcm in sounds:
                sets.write_wave(speech, pcm)
                render(speech, shapes)
                rows.append(parse_shapes(shapes.read_text(), RHUBARB_GROUPS, len(pcm) // HOP))
                progress(1)
        return Answer(rows, time.thread_time() - began)


class PocketSphinx:
    """pocketsphinx's phone recognition (allphone) with the English model that it bundles."""

    name = "pocketsphinx"
    kind: Kind = "visemes"
    offline = True

    FRAME_OFFSET = 0.0256 / 2 - 0.005
    """Frame i is a window of 25.6 ms from i * 10 ms on: a phone starts between the centres of two frames."""

    def __init__(self) -> None:
        if importlib.util.find_spec("pocketsphinx") is None:
            raise Missing("needs pocketsphinx: pip install lipwire-lipsync")

    def run(self, sounds: Sequence[sets.Samples], progress: Progress) -> Answer:
        import pocketsphinx

        decoder = pocketsphinx.Decoder(
            loglevel="FATAL", allphone=pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"), lw=2.0, pip=0.3
        )
        out: list[Rows] = []
        began = time.thread_time()
        for pcm in sounds:
            decoder.start_utt()
            decoder.process_raw(pcm.tobytes(), full_utt=True)
            decoder.end_utt()
            phones = [
                (
                    segment.start_frame * labels.HOP + self.FRAME_OFFSET,
                    (segment.end_frame + 1) * labels.HOP + self.FRAME_OFFSET,
                    "_" if segment.word in ("SIL", "+NSN+", "+SPN+") else segment.word.lower(),
                )
                for segment in decoder.seg() or ()
            ]
            out.append(labels.visemes(phones, "cmu", len(pcm) // HOP))
            progress(1)
        return Answer(out, time.thread_time() - began)


# ---- all of them --------------------------------------------------------------------------------------------------

NAMES = (
    "lipwire", "lipwire-early", "lipwire-mouths", "headaudio", "wlipsync", "pocketsphinx", "rhubarb-phonetic",
    "rhubarb-words", "cherry",
)  # fmt: skip


def find(name: str, peers: Path, rhubarb_program: Path | None = None, cherry_program: Path | None = None) -> System:
    """The system of that name (one of NAMES). Raises Missing: it is not installed."""
    makers: dict[str, Callable[[], System]] = {
        "lipwire": Lipwire,
        "lipwire-early": lambda: Lipwire("lipwire-early", early=True),
        "lipwire-mouths": Mouths,
        "headaudio": lambda: HeadAudio(peers),
        "wlipsync": lambda: WLipSync(peers),
        "pocketsphinx": PocketSphinx,
        "rhubarb-phonetic": lambda: rhubarb(rhubarb_program, name, "phonetic"),
        "rhubarb-words": lambda: rhubarb(rhubarb_program, name, "pocketSphinx"),
        "cherry": lambda: cherry(cherry_program),
    }
    return makers[name]()
