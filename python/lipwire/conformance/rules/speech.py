"""Speech, as far as playback events tell of it (docs/protocol.md B). A provider without these events is not judged."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from .. import sound
from ..client import Client, Line, new_id
from ..rule import Registry
from ..verdict import Busy, Failed, Skipped
from .messages import MEDIA_TOLERANCE_MS, SPEECH, played

rules = Registry()
rule = rules.rule

OURS = "protocol B (Lipwire's events)"
LONG = 15.0
"""Seconds that are sent before an interrupt: far more than can have been played."""
HEARD = 0.5
"""Seconds of playback before an interrupt."""


@rule(
    "speech.told",
    "An utterance is told once when it starts and once when it is over",
    "should",
    source=OURS,
    why="The agent knows by these when it may listen again.",
    does="speaks an utterance",
    expects="playback_started, then playback_finished with interrupted false and position_ms as long as was sent",
    fix="Tell what was played, when it was played, not when it was received.",
    needs=("playback",),
)
async def told(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(SPEECH)
    problem = await played(line, since, SPEECH)
    await line.alive()
    names = [event["command"] for event in _playback(line, since)]
    if names != ["playback_started", "playback_finished"]:
        raise Failed(f"one playback_started and one playback_finished were expected; {line.summary(since)}")
    if problem is not None:
        raise Failed(problem)
    if _playback(line, since)[1].get("interrupted") is True:
        raise Failed("playback_finished says interrupted, but nothing was")


@rule(
    "speech.event-id",
    "Playback events carry the utterance's event_id",
    "should",
    source=OURS,
    why="A client that has queued two utterances has to know which of them was heard.",
    does="speaks an utterance whose messages all have one event_id",
    expects="that event_id in playback_started and playback_finished",
    fix="Keep the id of the utterance's first message.",
    needs=("playback",),
)
async def event_id(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    sent = await line.speak(SPEECH)
    await line.expect("playback_finished", since, within=SPEECH + client.target.patience)
    for event in _playback(line, since):
        if event.get("event_id") != sent:
            raise Failed(f"{event['command']} has event_id {event.get('event_id')!r} in place of {sent!r}")


@rule(
    "speech.ids-differ",
    "Messages with an event_id each are one utterance",
    "should",
    source="protocol B; what real clients send",
    why="Some clients give every message an id of its own. An utterance for each would be fifty a second.",
    does="speaks an utterance whose messages have different event_ids",
    expects="one playback_started and one playback_finished, as long as was sent",
    fix="Let voice_end, and time, end an utterance.",
    needs=("playback",),
)
async def ids_differ(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    for piece in sound.pieces(sound.pcm16(SPEECH)):
        await line.voice(piece, event_id=new_id())
    await line.end(new_id())
    problem = await played(line, since, SPEECH)
    await line.alive()
    if problem is not None or len(_playback(line, since)) != 2:
        raise Failed(problem or line.summary(since))


@rule(
    "speech.queue",
    "Two utterances that come at once play one behind the other",
    "should",
    source=OURS,
    why="An agent's sentences come faster than they are spoken.",
    does="sends two utterances without a pause",
    expects="started and finished of the first, then of the second, each as long as was sent",
    fix="Queue; do not mix, and do not let the second replace the first.",
    needs=("playback",),
)
async def queue(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    for seconds in (0.4, 0.6):
        await line.speak(seconds)
    done = await line.several("playback_finished", 2, since, within=1.0 + client.target.patience)
    positions = [event.get("position_ms") for event in done]
    if len(positions) != 2 or any(
        not isinstance(position, int | float) or abs(position - wanted) > MEDIA_TOLERANCE_MS
        for position, wanted in zip(positions, (400, 600), strict=False)
    ):
        raise Failed(f"positions {positions} in place of 400 and 600 ms; {line.summary(since)}")


@rule(
    "speech.after-bad",
    "A bad message takes nothing away from the speech around it",
    "should",
    source="protocol B",
    why="What was accepted before must still be heard.",
    does="speaks an utterance with an unknown command, broken base64 and half a JSON object in the middle of it",
    expects="playback_finished with position_ms as long as was sent",
    fix="Refuse the message, not the utterance.",
    needs=("playback",),
)
async def after_bad(client: Client) -> None:
    line = await client.open()
    since, event_id = line.mark(), new_id()
    await line.speak(SPEECH, event_id=event_id, end=False)
    await line.send({"command": "voice_pause", "event_id": event_id})
    await line.voice(b"", event_id=event_id, audio="%%%")
    await line.send("{")
    await line.speak(SPEECH, event_id=event_id)
    await line.alive("bad messages within an utterance")
    if (problem := await played(line, since, 2 * SPEECH)) is not None:
        raise Failed(problem)


@rule(
    "speech.voice-end.early",
    "Speech that comes within 300 ms after its voice_end is heard",
    "should",
    source="protocol B; what real clients send",
    why="voice_end overtakes the last audio at some clients: the last syllable is lost.",
    does="sends a second of speech, voice_end, and right behind it 300 ms more with the same event_id",
    expects="one playback_finished with position_ms 1300",
    fix="Keep an utterance open for 300 ms after voice_end.",
    needs=("playback",),
)
async def voice_end_early(client: Client) -> None:
    line = await client.open()
    usual = await line.round_trip()
    since = line.mark()
    event_id = await line.speak(1.0)
    ended = time.monotonic()
    await asyncio.sleep(0.02)
    await line.voice(sound.pcm16(0.3), event_id=event_id)
    await line.round_trip()
    if time.monotonic() - ended > usual + 0.2:
        raise Busy("the last of the speech came too late: this machine, or the way to the provider, is too slow")
    if (problem := await played(line, since, 1.3)) is not None:
        raise Failed(problem)


@rule(
    "speech.voice-end.missing",
    "An utterance whose voice_end never comes ends by itself",
    "should",
    source="protocol B; what real clients send",
    why="Else the agent waits for the end for ever, and does not listen.",
    does="speaks without voice_end",
    expects="playback_finished, about a second after the sound ran dry, with position_ms as long as was sent",
    fix="End an utterance after a second without audio, once the buffer is empty.",
    needs=("playback",),
    slow=True,
)
async def voice_end_missing(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(SPEECH, end=False)
    if (problem := await played(line, since, SPEECH)) is not None:
        raise Failed(problem)


@rule(
    "speech.voice-end.doubled",
    "A second voice_end does not end it a second time",
    "should",
    source="protocol B; what real clients send",
    why="A client that counts its utterances is out of step from there on.",
    does="speaks and sends voice_end twice",
    expects="one playback_finished",
    fix="An utterance that has ended cannot end again.",
    needs=("playback",),
)
async def voice_end_doubled(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    event_id = await line.speak(SPEECH)
    await line.end(event_id)
    await line.expect("playback_finished", since, within=SPEECH + client.target.patience)
    await asyncio.sleep(client.target.settle)
    await line.alive()
    if len(line.seen("playback_finished", since)) != 1:
        raise Failed(line.summary(since))


# -------------------------------------------------------------------------------------------------------- interrupts


async def _interrupted(client: Client) -> tuple[Line, str, float, tuple[float, dict[str, Any]] | None]:
    """A long utterance that is interrupted a moment after it started: the line, its id, when it started (monotonic
    seconds), and the end that was told, if one was."""
    line = await client.open()
    since = line.mark()
    event_id = await line.speak(LONG, ms=500)
    started, _ = await line.expect("playback_started", since)
    await asyncio.sleep(HEARD)
    await line.interrupt()
    return line, event_id, started, await line.wait("playback_finished", since)


@rule(
    "speech.interrupt.ends",
    "An interrupt ends what is being said",
    "should",
    source=OURS,
    why="Speech that goes on after an interruption is what users complain of most.",
    does="sends 15 seconds of speech, interrupts half a second after playback_started",
    expects="playback_finished with interrupted true",
    fix="Drop everything that is queued, in every stage, and tell that it ended.",
    needs=("playback",),
)
async def interrupt_ends(client: Client) -> None:
    line, _, _, finished = await _interrupted(client)
    if finished is None:
        raise Failed(f"no playback_finished came within {client.target.patience:g} s; {line.summary()}")
    if finished[1].get("interrupted") is not True:
        raise Failed(f"playback_finished came, but interrupted is {finished[1].get('interrupted')!r}")


@rule(
    "speech.interrupt.position",
    "position_ms of an interrupted utterance is what was played",
    "should",
    source=OURS,
    why="The agent cuts its memory of what it said there. Else it believes that the user heard what he did not.",
    does="sends 15 seconds of speech, interrupts half a second after playback_started",
    expects="a position_ms of at most the time since playback_started, with --tolerance",
    fix="Count samples that left, not samples that came.",
    needs=("playback",),
)
async def interrupt_position(client: Client) -> None:
    _, _, started, finished = await _interrupted(client)
    if finished is None:
        raise Skipped("no playback_finished came after the interrupt: see speech.interrupt.ends")
    at, event = finished
    position, most = event.get("position_ms"), (at - started + client.target.tolerance) * 1000
    if not isinstance(position, int | float) or not 0 <= position <= most:
        raise Failed(f"position_ms is {position}, {(at - started) * 1000:.0f} ms after playback_started")


@rule(
    "speech.interrupt.silence",
    "After an interrupt nothing of the old is heard, and the new at once",
    "should",
    source=OURS,
    why="What was queued in a later stage comes up again otherwise, before or within the new answer.",
    does="interrupts as above, and speaks a new utterance at once",
    expects="no more events of the old utterance; started and finished of the new one, as long as was sent",
    fix="Number the interrupts, and drop in every stage what has an older number.",
    needs=("playback",),
)
async def interrupt_silence(client: Client) -> None:
    line, old, _, finished = await _interrupted(client)
    if finished is None:
        raise Skipped("no playback_finished came after the interrupt: see speech.interrupt.ends")
    since = line.mark()
    await line.speak(SPEECH)
    problem = await played(line, since, SPEECH)
    stale = [event for event in _playback(line, since) if event.get("event_id") == old]
    if stale:
        raise Failed(f"{stale[0]['command']} of the utterance that was interrupted came again")
    if problem is not None:
        raise Failed(f"the utterance after the interrupt: {problem}")


@rule(
    "speech.interrupt.queued",
    "An interrupt drops utterances that have not begun, too",
    "should",
    source=OURS,
    why="Else the avatar falls silent for a moment and goes on with its next sentence.",
    does="sends 15 seconds of speech and a second utterance, interrupts half a second after playback_started",
    expects="no playback_started of the second one",
    fix="Drop the whole queue, not only its head.",
    needs=("playback",),
)
async def interrupt_queued(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(LONG, ms=500)
    second = await line.speak(SPEECH)
    await line.expect("playback_started", since)
    await asyncio.sleep(HEARD)
    sent = time.monotonic()
    await line.interrupt()
    if await line.wait("playback_finished", since) is None:
        raise Skipped("no playback_finished came after the interrupt: see speech.interrupt.ends")
    await asyncio.sleep(client.target.settle)
    await line.alive()
    started = await line.wait("playback_started", since, within=0, where=lambda event: event.get("event_id") == second)
    if started is not None and started[0] > sent:
        raise Failed("playback_started of the second utterance came after the interrupt")


def _playback(line: Line, since: int) -> list[dict[str, Any]]:
    """Playback events since a mark."""
    return [event for _, event in line.events[since:] if str(event.get("command")).startswith("playback_")]
