"""When a user's turn begins and ends: Silero and Smart Turn, as agents use them, beside Lipwire's own voice activity.

Speech is Asterisk's English prompts (Debian's asterisk-core-sounds-en-g722, one woman, read). What is no speech is made
(turn_sounds.py). Time is that of the sound: what is measured does not depend on how fast this machine is, but for the
time that Smart Turn takes, which is measured here, on one core, and put in.

A false start is a turn that begins with no person's speech near by. A crowd of eight, 15 dB softer than a user, is no
speech. One voice of a television is, however it came there: its figure has no goal.

A cut sentence ends with a word, 35 to 80 % into it, and 10 ms of fade. Its pause is no person's hesitation, who would
slow down before it: how that comes out is not known.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import turn_sounds
from harness import ROOT, Results, main, one_core, percentile
from lipwire import G722Decoder
from lipwire.agents.config import TurnDetection
from lipwire.agents.speech.activity import Activity, SileroActivity
from lipwire.agents.speech.judge import OnProbability
from lipwire.agents.speech.turn_detector import ASK_MS, OVER, TurnDetector
from lipwire.agents.speech.vad import FRAME, FRAME_MS, LATE, Vad
from lipwire.errors import ModelFailed
from lipwire.models.ears.whisper import Whisper
from lipwire.models.find import find
from lipwire.models.turn.silero import Silero
from lipwire.models.turn.smart_turn import SmartTurn
from lipwire_lipsync.conditions import noise as coloured
from turn_sounds import RATE, Floats

sys.path.insert(0, str(ROOT / "tools" / "lipsync"))
import human

CHUNK_SPREAD = 512
"""Samples by which speech begins earlier or later: detectors have chunks."""
KEPT = 0.97
"""Of whole sentences that are to be over a line."""
SOFT_MS = 250
"""An onset that takes longer to be heard is a soft one that was missed."""


def run(results: Results, quick: bool) -> None:
    one_core()
    if not Path(human.TEXTS.format("en")).exists():
        return results.skip("all", "apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    try:
        silero = Silero.shared()
    except ModelFailed as exc:
        return results.skip("all", str(exc))
    rivals: dict[str, Callable[[], Activity]] = {"silero": lambda: SileroActivity(silero), "Lipwire's": Vad}
    clips = sentences()[: 6 if quick else None]
    cost(results, rivals, clips)
    frames_told_apart(results, rivals, clips[: 3 if quick else 40])
    false_starts(results, rivals, clips, 20 if quick else 300)
    onsets(results, rivals, clips)
    ends(results, clips)


# ------------------------------------------------------------------------------------------------------------- speech


@dataclass(frozen=True)
class Clip:
    name: str
    text: str
    sound: Floats
    first: int
    """Sample of the first sound, 38 dB under the loudest 10 ms,"""
    last: int
    """and the one after the last."""


def sentences() -> list[Clip]:
    source, made = human.SOURCES["en"], []
    found = human.prompts(source)
    names = sorted(name for name, text in found.items() if 4 <= len(words(text)) <= 14)
    random.Random(4).shuffle(names)
    for name in names:
        pcm = G722Decoder().decode((human.SOUNDS / source.folder / f"{name}.g722").read_bytes())
        sound = np.frombuffer(pcm, np.int16).astype(float)
        db = levels(sound)
        loud = np.flatnonzero(db > max(db.max() - 38, 20))
        made.append(Clip(name, found[name], sound, int(loud[0]) * FRAME, int(loud[-1] + 1) * FRAME))
    return made


def words(text: str) -> list[str]:
    """None where it is no sentence of words alone."""
    return [] if re.search(r"[\d\[<(]|\.\.\.", text) else re.findall(r"[a-z']+", text.lower())


def levels(sound: Floats) -> Floats:
    """dB of each 10 ms over one step of 16 bits."""
    blocks = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(10 * np.log10((blocks**2).mean(1) + 1))


def quiet(samples: int, rng: Any) -> Floats:
    """A room in which nobody speaks, 80 dB under full scale."""
    return np.asarray(rng.standard_normal(samples) * 3)


def pieces(sound: Floats) -> Iterator[bytes]:
    pcm = np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME):
        yield pcm[at : at + 2 * FRAME]


CONDITIONS = {"clean": 0.0, "pink noise 10 dB": 10 ** (-10 / 20), "pink noise 0 dB": 1.0}


def in_noise(sound: Floats, clip: Clip, amount: float) -> Floats:
    level = np.sqrt((clip.sound[np.abs(clip.sound) > 50] ** 2).mean())
    return sound + coloured(len(sound), "pink", 2) * level * amount


# ------------------------------------------------------------------------------------------------------ voice activity


def cost(results: Results, rivals: dict[str, Callable[[], Activity]], clips: list[Clip]) -> None:
    speech = np.concatenate([clip.sound for clip in clips[:6]])
    for name, make in rivals.items():
        for what, sound in (("silence", np.zeros(RATE * 10)), ("speech", speech)):
            for streams in (1, 50):
                heard, hears = list(pieces(sound))[: 2000 // streams + 100], [make() for _ in range(streams)]
                for activity in hears:
                    activity.process(heard[0])
                began = time.process_time()
                for piece in heard:
                    for activity in hears:
                        activity.process(piece)
                spent = (time.process_time() - began) / len(heard) / streams * 1e6
                share = spent / 1e4
                results.add(f"{name}, {what}, {streams} streams", spent, "us/frame", n=len(heard), of_a_core=share)


def frames_told_apart(results: Results, rivals: dict[str, Callable[[], Activity]], clips: list[Clip]) -> None:
    """Area under the ROC curve. What is speech, the level of the clean clip says, 20 ms wider."""
    for condition, amount in CONDITIONS.items():
        for name, make in rivals.items():
            speech, other = [], []
            for clip in clips:
                rng = np.random.default_rng(1)
                sound = np.concatenate([quiet(RATE, rng), clip.sound, quiet(RATE, rng)])
                db = levels(sound)
                said = np.convolve(db > db.max() - 38, np.ones(5), "same") > 0.5
                activity = make()
                told = np.array([activity.process(piece) for piece in pieces(in_noise(sound, clip, amount))])
                told, said = told[LATE + 1 :], said[: len(told) - LATE - 1]
                speech.append(told[said])
                other.append(told[~said])
            yes, no = np.sort(np.concatenate(speech)), np.sort(np.concatenate(other))
            above = len(yes) - np.searchsorted(yes, no, "right")
            level = np.searchsorted(yes, no, "right") - np.searchsorted(yes, no, "left")
            area = float((above + level / 2).sum()) / len(yes) / len(no)
            results.add(f"{name}, AUC of frames, {condition}", area, "", n=len(yes) + len(no))


def false_starts(results: Results, rivals: dict[str, Callable[[], Activity]], clips: list[Clip], seconds: int) -> None:
    spoken = [clip.sound for clip in clips]
    near = np.sqrt(np.mean([(clip.sound[np.abs(clip.sound) > 50] ** 2).mean() for clip in clips]))
    crowd_level = 20 * np.log10(near / 32768) - 15
    made = {**turn_sounds.SOUNDS, "a crowd, 15 dB softer": turn_sounds.crowd(spoken, 8, crowd_level)}
    made["one voice of a television, 15 dB softer"] = turn_sounds.crowd(spoken, 1, crowd_level)
    for what, make_sound in made.items():
        length = seconds * 4 if "crowd" in what else seconds  # it counts once while it lasts
        sound = make_sound(length, np.random.default_rng(7))
        for name, make in rivals.items():
            count = sum(kind == "started" for kind, _, _ in turns(sound, make()))
            goal = {} if "voice" in what or name != "silero" else {"goal": "<= 6"}
            results.add(f"{name}, false starts, {what}", count * 3600 / length, "per hour", n=length, **goal)


def turns(sound: Floats, activity: Activity) -> list[tuple[str, int, int]]:
    """(kind, ms at which it was decided, ms from which on it is)"""
    detector = TurnDetector(TurnDetection(silence_duration_ms=500), activity=activity)
    found = []
    for n, piece in enumerate(pieces(sound)):
        if (event := detector.hear(piece)) is not None:
            found.append((event.kind, (n + 1) * FRAME_MS, event.frame * FRAME_MS))
    return found


def onsets(results: Results, rivals: dict[str, Callable[[], Activity]], clips: list[Clip]) -> None:
    """First sound at all, soft ones too, to the decision to interrupt."""
    for condition, gain, amount in (
        ("clean", 1.0, 0.0),
        ("12 dB softer", 0.25, 0.0),
        ("pink noise 10 dB", 1.0, 10**-0.5),
    ):
        for name, make in rivals.items():
            rng, waits, missed, split = np.random.default_rng(3), [], 0, 0
            for clip in clips:
                lead = RATE + int(rng.integers(CHUNK_SPREAD))
                sound = np.concatenate([quiet(lead, rng), clip.sound, quiet(RATE, rng)])
                sound = in_noise(sound, clip, amount) * gain if amount else sound * gain
                began = [at for kind, at, _ in turns(sound, make()) if kind == "started"]
                missed += not began
                split += max(len(began) - 1, 0)
                waits += [at - (lead + clip.first) / RATE * 1000 for at in began[:1]]
            shares = {"p90": percentile(waits, 90), "p95": percentile(waits, 95), "max": max(waits)}
            soft = 100 * sum(wait > SOFT_MS for wait in waits) / len(waits)
            extra = {"soft_onsets_missed_percent": soft, "missed": missed, "split": split, **shares}
            results.add(
                f"{name}, speech begins -> interrupt, {condition}", percentile(waits, 50), "ms", n=len(waits), **extra
            )


# --------------------------------------------------------------------------------------------------------- end of turn


class Timed:
    """A judge: Smart Turn, whose answer comes when it would on this core, by the detector's own time."""

    def __init__(self, model: SmartTurn) -> None:
        self._model = model
        self._waiting: tuple[int, OnProbability, float] | None = None
        self.took: list[float] = []
        self.said: list[float] = []
        self.frame = 0

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Timed:
        began = time.process_time()
        probability = self._model.probability(pcm)
        self.took.append((time.process_time() - began) * 1000)
        self.said.append(probability)
        self._waiting = self.frame + int(self.took[-1] // FRAME_MS) + 1, on_probability, probability
        return self

    def drop(self) -> None:
        self._waiting = None

    def tick(self) -> None:
        """10 ms more."""
        self.frame += 1
        if self._waiting is not None and self.frame >= self._waiting[0]:
            _, on_probability, probability = self._waiting
            self._waiting = None
            on_probability(probability)


TEXT_FRAMES = 13
"""From 100 ms of silence to the text of it: whisper takes 100 to 130 ms."""


def ends(results: Results, clips: list[Clip]) -> None:
    try:
        model = SmartTurn(find("smart-turn"))
        model.probability(bytes(RATE))
    except ModelFailed as exc:
        results.skip("Smart Turn", str(exc))
        model = None
    aligned = [(clip, placed) for clip in clips if (placed := places(clip))]
    whole = [(clip, clip.last) for clip, _ in aligned if re.search(r"[.!?]$", clip.text)]
    rng = random.Random(5)
    cut = []
    for clip, placed in aligned:
        count = min(rng.randint(max(2, round(len(placed) * 0.35)), max(3, round(len(placed) * 0.8))), len(placed) - 1)
        cut.append((clip, int(placed[count - 1][1] * RATE)))
    ways: dict[str, tuple[SmartTurn | None, bool]] = {"melody": (None, False), "melody and text": (None, True)}
    if model is not None:
        held_out(results, model, whole, cut)
        ways |= {"Smart Turn": (model, False), "Smart Turn and text": (model, True)}
    said = {(clip.name, end): understood(clip, end) for clip, end in [*whole, *cut]}
    for name, (judge, texts) in ways.items():
        best = name == "Smart Turn and text"
        took: list[float] = []
        waits = [ended(clip, end, said[clip.name, end] if texts else None, judge, took) for clip, end in whole]
        found = [wait for wait in waits if wait is not None]
        extra: dict[str, Any] = {"p50": percentile(found, 50), "p95": percentile(found, 95), "max": max(found)}
        quick = 100 * sum(wait <= 300 for wait in found) / len(waits)
        extra |= {"goal": ">= 95"} if best else {}
        results.add(f"{name}: a whole sentence ends within 300 ms", quick, "%", n=len(waits), **extra)
        waits = [ended(clip, end, said[clip.name, end] if texts else None, judge, took) for clip, end in cut]
        held, half = (100 * sum(wait is None or wait > ms for wait in waits) / len(waits) for ms in (1000, 450))
        extra = {"goal": ">= 60"} if best else {}
        results.add(f"{name}: a cut sentence is waited for", held, "%", n=len(waits), half_a_second=half, **extra)
        if took:
            results.add(f"{name}, a question", percentile(took, 50), "ms of CPU", n=len(took), p95=percentile(took, 95))
    silence = TurnDetection(silence_duration_ms=500)
    waits = [ended(clip, end, None, None, [], silence) for clip, end in whole]
    found = [wait for wait in waits if wait is not None]
    results.add("500 ms of silence alone: a whole sentence ends", percentile(found, 50), "ms", n=len(waits))


def held_out(results: Results, model: SmartTurn, whole: list[Any], cut: list[Any]) -> None:
    """The line from which on a turn is over, chosen on one half of the prompts and tried on the other, and the other
    way round: the highest that `KEPT` of the half's whole sentences are over. Whether the last word leaves a text open
    is not looked at."""

    def half(clip: Clip) -> int:
        return hashlib.sha256(clip.name.encode()).digest()[0] & 1

    overs = [
        [[judged(model, clip, end) for clip, end in found if half(clip) == side] for side in (0, 1)]
        for found in (whole, cut)
    ]
    for side in (0, 1):
        line = float(np.quantile(overs[0][side], 1 - KEPT, method="lower"))
        for name, at in (("chosen on the other half", line), ("agents' line", OVER)):
            ends, waits = (np.array(found[1 - side]) for found in overs)
            share, line_at = 100 * (ends >= at).mean(), round(at, 3)
            about = f"Smart Turn, half {1 - side}, {name}"
            results.add(f"{about}: whole sentences over it", share, "%", n=len(ends), line=line_at)
            share = 100 * (waits < at).mean()
            results.add(f"{about}: cut ones under it", share, "%", n=len(waits), line=line_at)


class Noting(SmartTurn):
    """Keeps what it has answered last."""

    def __init__(self, model: SmartTurn) -> None:
        self._model, self.last = model, 0.0

    def probability(self, pcm: bytes) -> float:
        self.last = self._model.probability(pcm)
        return self.last


def judged(model: SmartTurn, clip: Clip, end: int) -> float:
    """How probable it is to be over, when agents ask that of a clip that is cut at a sample; 0 = they do not."""
    noting = Noting(model)
    ended(clip, end, None, noting, [])
    return noting.last


def understood(clip: Clip, end: int) -> str:
    """What whisper makes of a clip that is cut at a sample."""
    rng = np.random.default_rng(9)
    said = np.concatenate([quiet(RATE * 3 // 10, rng), clip.sound[clip.first : end], quiet(RATE // 10, rng)])
    pcm = np.clip(np.rint(said), -32768, 32767).astype("<i2").tobytes()
    return ears().transcribe(pcm, "en", words=False, partial=False).text


@cache
def ears() -> Whisper:
    return Whisper(find("whisper-tiny.en"))


def places(clip: Clip) -> list[tuple[str, float]]:
    """Words and the seconds at which they end; none where the text does not fit."""
    text = human.clean(clip.text, "en")
    try:
        if not text or human.align(clip.sound.astype(np.int16), text, human.SOURCES["en"]) is None:
            return []
    except KeyError:
        return []
    found = [word for word in human.decoder().get_alignment() if not word.name.startswith("<")]
    return [(re.sub(r"\(\d+\)$", "", w.name), (w.start + w.duration) * 0.01 + human.FRAME_OFFSET) for w in found]


def ended(
    clip: Clip,
    end: int,
    text: str | None,
    model: SmartTurn | None,
    took: list[float],
    config: TurnDetection | None = None,
) -> float | None:
    """Ms from the last sound of a clip, cut at a sample, to the end of its turn; None: none within 2.5 s, or there was
    no turn. `text`: what will have been understood of it."""
    rng = np.random.default_rng(9)
    said = clip.sound[:end].copy()
    said[-FRAME:] *= np.linspace(1, 0, FRAME)
    sound = np.concatenate([quiet(RATE // 2, rng), said, quiet(RATE * 5 // 2, rng)])
    judge = None if model is None else Timed(model)
    detector = TurnDetector(config or TurnDetection(), judge=judge, activity=SileroActivity(Silero.shared()))
    last, text_at, result = RATE // 2 + end, 0, None
    for n, piece in enumerate(pieces(sound)):
        event = detector.hear(piece)
        if judge is not None:
            judge.tick()
        silence = detector.endpointer.silence_ms
        if silence < ASK_MS:
            text_at = 0
        elif text is not None and not text_at:
            detector.expect_text()
            text_at = n + TEXT_FRAMES
        if text_at and n == text_at and (n + 1) * FRAME > last:
            detector.understood(text or "")
        at = (n + 1) * FRAME
        if event is not None and event.kind == "stopped" and at > last - RATE // 5:
            result = (at - last) / RATE * 1000
            break
    if judge is not None:
        took += judge.took
    return result


if __name__ == "__main__":
    main(run, __doc__)
