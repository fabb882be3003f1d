"""Messages from the client: what a provider takes, and what it survives (docs/protocol.md B).

Whether a message was taken can be told by what comes back, where the provider sends events; where it sends none, by
that the connection lives on.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from .. import sound
from ..client import Client, Line, new_id
from ..rule import Registry
from ..verdict import Failed, Skipped
from .cases import Cases

rules = Registry()
rule = rules.rule

B = "protocol B; Agora's generic avatar, WebSocket"
QUIRK = "protocol B; what real clients send"
LIVES = "a connection that lives on; an error event, from a provider that sends events"
CATCH = "Catch what a message can raise, answer with an error event or log it, and read the next one."
SPEECH = 0.3
"""Seconds of an utterance where its length does not matter."""
MEDIA_TOLERANCE_MS = 100
"""By how much position_ms may differ from what was sent: fades, resampling, a codec's delay."""


async def taken(line: Line, after: str, since: int) -> None:
    """Raises Failed where what was sent since a mark was answered with an error, or ended the connection."""
    await line.alive(after)
    errors = line.seen("error", since)
    if errors:
        raise Failed(f"{after} was answered with an error: {errors[0].get('code')}: {errors[0].get('message')}")


async def played(line: Line, since: int, seconds: float) -> str | None:
    """What is wrong with how long the next utterance since a mark was said to have played; None without events."""
    if not line.client.feedback:
        return None
    found = await line.wait("playback_finished", since, within=seconds + line.client.target.patience)
    if found is None:
        return f"no playback_finished came; {line.summary(since)}"
    position = found[1].get("position_ms")
    if not isinstance(position, int | float) or abs(position - seconds * 1000) > MEDIA_TOLERANCE_MS:
        return f"{seconds * 1000:.0f} ms were sent, but position_ms is {position}"
    return None


# ------------------------------------------------------------------------------------------------------------- init


@rule(
    "messages.init.again",
    "init may be sent again",
    "must",
    source=B,
    why="Clients send it on every reconnect, and some after every pause; the avatar must not restart.",
    does="sends init twice over one connection, with speech after each",
    expects="a connection that lives on, no error, and speech before it that plays to its end",
    fix="Make init idempotent: what is there already stays.",
)
async def init_again(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(SPEECH)
    await line.init()
    await taken(line, "a second init", since)
    if (problem := await played(line, since, SPEECH)) is not None:
        raise Failed(f"speech before a second init: {problem}")
    since = line.mark()
    await line.speak(SPEECH)
    await taken(line, "speech after a second init", since)


@rule(
    "messages.init.samples",
    "init is taken in the forms that published samples send",
    "should",
    source=QUIRK,
    why="One sample leaves out command, another session_id. Whoever starts from them is deaf and dumb otherwise.",
    does="sends init without command, over another connection init without session_id; then speaks",
    expects="no error, and speech that plays",
    fix="Tell an init without command by its avatar_id. The token names the session where session_id is missing.",
)
async def init_samples(client: Client) -> None:
    cases = Cases()
    for missing in ("command", "session_id"):
        line = await client.connect(await client.start())
        message: dict[str, Any] = {"command": "init", "session_id": line.session.id, **line.session.body}
        del message[missing]
        await line.send(message)
        since = line.mark()
        await line.speak(SPEECH)
        try:
            await taken(line, f"an init without {missing}", since)
            cases.add(f"without {missing}", await played(line, since, SPEECH))
        except Failed as exc:
            cases.add(f"without {missing}", str(exc))
    cases.judge()


@rule(
    "messages.init.unknown-keys",
    "Unknown keys of init are ignored",
    "must",
    source=B,
    why="Newer clients send more.",
    does="sends init with keys that no document knows",
    expects="no error, and a connection that lives on",
    fix="Do not validate against a closed list of keys.",
)
async def init_unknown_keys(client: Client) -> None:
    line = await client.connect(await client.start())
    since = line.mark()
    await line.init(x_new={"a": []}, event_id=new_id())
    await taken(line, "an init with unknown keys", since)


@rule(
    "messages.init.other-session",
    "init for another session closes with 1008",
    "should",
    source="protocol B (Lipwire's)",
    why="A client that mixes its sessions up would speak through somebody else's avatar.",
    does="sends init with another session's id",
    expects="a close with 1008",
    fix="Compare session_id with the session of the connection's token.",
)
async def init_other_session(client: Client) -> None:
    line = await client.connect(await client.start())
    await line.init(session_id=new_id())
    if not await line.closes():
        raise Failed(f"the connection stayed open; {line.summary()}")
    if line.code != 1008:
        raise Failed(line.ending())


@rule(
    "messages.init.late",
    "Speech that comes before init does no harm",
    "must",
    source=QUIRK,
    why="After a reconnect a client's queue can leave before its init.",
    does="sends voice and a heartbeat, then init, then speaks",
    expects=LIVES,
    fix="Answer with an error event, and wait for init.",
)
async def init_late(client: Client) -> None:
    line = await client.connect(await client.start())
    await line.voice(sound.pcm16(0.02))
    await line.heartbeat()
    await line.init()
    since = line.mark()
    await line.speak(SPEECH)
    await line.alive("voice before init")
    if (problem := await played(line, since, SPEECH)) is not None:
        raise Failed(f"speech after a late init: {problem}")


@rule(
    "messages.init.no-waiting",
    "Speech may follow init at once",
    "must",
    source=QUIRK,
    why="Clients wait for no acknowledgement: the greeting is on its way before the channel is joined.",
    does="sends init and an utterance without a pause",
    expects="no error; the whole utterance plays",
    fix="Queue speech until the publisher is ready.",
)
async def init_no_waiting(client: Client) -> None:
    line = await client.connect(await client.start())
    await line.init()
    await line.speak(SPEECH)
    await taken(line, "speech right behind init", 0)
    if (problem := await played(line, 0, SPEECH)) is not None:
        raise Failed(problem)


# ------------------------------------------------------------------------------------------------------------ voice


@rule(
    "messages.voice.pcm16",
    "PCM16 is taken at every usual rate",
    "must",
    source=B,
    why="The rate is the speech service's: 8 kHz of a telephone voice, 24 kHz of most, 44.1 kHz of some.",
    does="speaks at 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz",
    expects="no error; utterances as long as was sent",
    fix="Resample by sampleRate of each message, and do not assume one rate.",
)
async def voice_pcm16(client: Client) -> None:
    line = await client.open()
    cases = Cases()
    for rate in sound.RATES:
        since, event_id = line.mark(), new_id()
        for piece in sound.pieces(sound.pcm16(SPEECH, rate), rate):
            await line.voice(piece, rate, event_id=event_id)
        await line.end(event_id)
        await taken(line, f"PCM16 at {rate} Hz", since)
        cases.add(f"{rate} Hz", await played(line, since, SPEECH))
    cases.judge()


@rule(
    "messages.voice.pcm8",
    "PCM8 is taken",
    "must",
    source=B,
    why="It is one of the three documented encodings. Unsigned: 128 is silence.",
    does="speaks PCM8 at 8 and at 16 kHz",
    expects="no error; utterances as long as was sent",
    fix="One byte is one sample. Taken for PCM16 it would last half as long.",
)
async def voice_pcm8(client: Client) -> None:
    line = await client.open()
    cases = Cases()
    for rate in (8_000, 16_000):
        since, event_id = line.mark(), new_id()
        for piece in sound.pieces(sound.pcm8(SPEECH, rate), rate, sample_bytes=1):
            await line.voice(piece, rate, "PCM8", event_id)
        await line.end(event_id)
        await taken(line, f"PCM8 at {rate} Hz", since)
        cases.add(f"{rate} Hz", await played(line, since, SPEECH))
    cases.judge()


@rule(
    "messages.voice.opus",
    "OPUS is taken, one raw packet a message",
    "must",
    source=B,
    why="It is one of the three documented encodings.",
    does="speaks OPUS in packets of 20 ms, and of 60 ms",
    expects="no error; utterances as long as was sent",
    fix="There is no Ogg container. Keep one decoder for each stream: packets depend on those before them.",
)
async def voice_opus(client: Client) -> None:
    line = await client.open()
    cases = Cases()
    for ms in (20, 60):
        since, event_id = line.mark(), new_id()
        packets = sound.opus(SPEECH, ms)
        for packet in packets:
            await line.voice(packet, sound.OPUS_RATE, "OPUS", event_id)
        await line.end(event_id)
        await taken(line, f"OPUS in packets of {ms} ms", since)
        cases.add(f"packets of {ms} ms", await played(line, since, len(packets) * ms / 1000))
    cases.judge()


@rule(
    "messages.voice.short",
    "Chunks of 10 ms, and an utterance of one of them, are taken",
    "must",
    source=B,
    why="Some speech services give 10 ms at a time; 'hm' is short.",
    does="speaks in chunks of 10 ms, then an utterance that is one chunk of 10 ms, then single samples",
    expects="no error",
    fix="Do not wait for a chunk of a certain length: voice_end says that there is no more.",
)
async def voice_short(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(SPEECH, ms=10)
    await line.speak(0.01, ms=10)
    await line.speak(0.001, ms=1 / 16)
    await taken(line, "speech in chunks of 10 ms", since)


@rule(
    "messages.voice.long",
    "One chunk may be many seconds long",
    "must",
    source=B,
    why="Some speech services give a sentence at once. Many WebSocket libraries refuse messages over 1 MiB by default.",
    does="sends 15 seconds of PCM16 at 48 kHz as one message (1.9 MB), then interrupts",
    expects="no error, and a connection that lives on",
    fix="Raise the library's message limit; 4 MiB is what Lipwire takes.",
)
async def voice_long(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.voice(sound.pcm16(15.0, 48_000), 48_000)
    await taken(line, "a chunk of 15 seconds", since)
    await line.interrupt()
    await line.alive("an interrupt of it")


@rule(
    "messages.voice.burst",
    "Speech may come far faster than real time",
    "must",
    source=QUIRK,
    why="Speech services are faster than speech, and after a lost connection all that waited comes at once.",
    does="sends 20 seconds of speech as 1000 messages without a pause, then interrupts",
    expects="no error, and a connection that lives on",
    fix="Queue at least 30 seconds. Count bytes, not messages.",
)
async def voice_burst(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(20.0, ms=20)
    await taken(line, "20 seconds in a burst", since)
    await line.interrupt()
    await line.alive("an interrupt of it")


@rule(
    "messages.voice.unknown-keys",
    "Unknown keys of voice, and a missing event_id, do no harm",
    "must",
    source=B,
    why="Newer clients send more, older ones less.",
    does="speaks with keys that no document knows, and without event_id",
    expects="no error; an utterance as long as was sent",
    fix="Do not validate against a closed list of keys.",
)
async def voice_unknown_keys(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    for piece in sound.pieces(sound.pcm16(SPEECH)):
        await line.voice(piece, turn={"id": 1}, sequence=7)
    await line.send({"command": "voice_end", "x": 1})
    await taken(line, "voice with unknown keys", since)
    if (problem := await played(line, since, SPEECH)) is not None:
        raise Failed(problem)


# --------------------------------------------------------------------------------------------------------- voice_end


@rule(
    "messages.voice-end.alone",
    "voice_end without speech does no harm",
    "must",
    source=QUIRK,
    why="A turn whose speech was empty still ends.",
    does="sends voice_end before anything was said",
    expects="a connection that lives on",
    fix="There is nothing to end; ignore it.",
)
async def voice_end_alone(client: Client) -> None:
    line = await client.open()
    await line.end()
    await line.alive("voice_end without speech")


@rule(
    "messages.voice-end.doubled",
    "A second voice_end does no harm",
    "must",
    source=QUIRK,
    why="Clients that join two services send one for each.",
    does="speaks, sends voice_end twice, and speaks again",
    expects="no error; a connection that lives on, and speaks",
    fix="An utterance that has ended cannot end again; ignore it.",
)
async def voice_end_doubled(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    event_id = await line.speak(SPEECH)
    await line.end(event_id)
    await taken(line, "a second voice_end", since)
    if (problem := await played(line, since, SPEECH)) is not None:
        raise Failed(problem)


@rule(
    "messages.voice-end.early",
    "Speech after its voice_end does no harm",
    "must",
    source=QUIRK,
    why="voice_end overtakes the last audio at some clients.",
    does="sends speech, voice_end, and 200 ms later the last of the speech",
    expects="no error, and a connection that lives on (whether it is heard: speech.voice-end.early)",
    fix="For a moment after voice_end, take speech as belonging to the utterance.",
)
async def voice_end_early(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    event_id = await line.speak(SPEECH)
    await asyncio.sleep(0.2)
    await line.voice(sound.pcm16(0.1), event_id=event_id)
    await taken(line, "speech after voice_end", since)


# ------------------------------------------------------------------------------------------- interrupt, special, ...


@rule(
    "messages.interrupt.idle",
    "An interrupt while nothing is said does no harm",
    "must",
    source=QUIRK,
    why="Users speak first, too.",
    does="sends voice_interrupt before anything was said, and twice, and after an utterance is over",
    expects="a connection that lives on",
    fix="There is nothing to drop; ignore it.",
)
async def interrupt_idle(client: Client) -> None:
    line = await client.open()
    await line.interrupt()
    await line.interrupt()
    await line.alive("interrupts before anything was said")
    since = line.mark()
    await line.speak(0.1)
    await played(line, since, 0.1)
    await line.interrupt()
    await line.alive("an interrupt after the end of an utterance")


@rule(
    "messages.interrupt.late-voice",
    "Speech that was on its way when an interrupt was sent does no harm",
    "must",
    source=QUIRK,
    why="Nothing says to which turn a message belongs, and two services do not stop at the same moment.",
    does="speaks, interrupts, and sends more of the same utterance and its voice_end; then speaks anew",
    expects="no error, and a connection that lives on",
    fix="Play it or drop it (Lipwire: guard_window_ms), but do not take it for a fault.",
)
async def interrupt_late_voice(client: Client) -> None:
    line = await client.open()
    since, event_id = line.mark(), new_id()
    await line.speak(SPEECH, event_id=event_id, end=False)
    await line.interrupt()
    await line.speak(0.1, event_id=event_id)
    await line.speak(SPEECH)
    await taken(line, "speech behind an interrupt", since)


@rule(
    "messages.interrupt.hundred",
    "A hundred interruptions in a row are survived",
    "must",
    source=QUIRK,
    why="A noisy room interrupts again and again. Timers, tasks and threads that are not ended pile up.",
    does="a hundred times: speaks half a second without its end, interrupts; then speaks once more",
    expects="a connection that lives on, and a last utterance that plays",
    fix="End what belongs to an utterance with it.",
)
async def interrupt_hundred(client: Client) -> None:
    line = await client.open()
    for _ in range(100):
        await line.speak(0.5, end=False)
        await line.interrupt()
    await line.alive("a hundred interrupts")
    since, event_id = line.mark(), new_id()
    await line.speak(SPEECH, event_id=event_id)
    if not client.feedback:
        await line.alive("a hundred interrupts and an utterance")
        return
    finished = await line.wait("playback_finished", since, where=lambda event: event.get("interrupted") is not True)
    if finished is None:
        raise Failed(f"the utterance after them did not play to its end; {line.summary(since)}")


@rule(
    "messages.heartbeat",
    "Heartbeats are taken",
    "must",
    source=B,
    why="Every client sends one every 10 seconds.",
    does="sends heartbeats: one as documented, one without event_id, one with a timestamp in fractions",
    expects="a connection that lives on",
    fix="A heartbeat is no unknown command.",
)
async def heartbeat(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.heartbeat()
    await line.send({"command": "heartbeat", "timestamp": 1764444444444})
    await line.send({"command": "heartbeat", "event_id": new_id(), "timestamp": 1764444444444.25})
    await taken(line, "a heartbeat", since)


@rule(
    "messages.special",
    "special is taken, whatever its content",
    "must",
    source=B,
    why="Its content is the application's affair; a provider does what it knows, and nothing about the rest.",
    does="sends special with an object, with JSON in a string, with plain text and with an unknown wish",
    expects="a connection that lives on",
    fix="Ignore what you do not know.",
)
async def special(client: Client) -> None:
    line = await client.open()
    for content in ({"gesture": "wave"}, '{"emotion": "happy"}', "hello", {"conformance": [1, {"a": None}]}):
        await line.send({"command": "special", "content": content, "event_id": new_id()})
    await line.alive("special")


# ------------------------------------------------------------------------------------------------------ bad messages


def _survives(id: str, title: str, does: str, what: dict[str, Any], fix: str = CATCH) -> None:
    """A rule that a connection survives each of `what`, and speaks afterwards."""

    async def check(client: Client) -> None:
        line = await client.open()
        for case, message in what.items():
            await line.send(message)
            await line.alive(case)
        await line.interrupt()  # what a bad message may have begun
        await line.alive("an interrupt")
        since = line.mark()
        await line.speak(SPEECH)
        await line.alive("speech after bad messages")
        if (problem := await played(line, since, SPEECH)) is not None:
            raise Failed(f"speech after {', '.join(what)}: {problem}")

    why = "One bad message must not take the speech before and behind it away; a close goes unnoticed for 10 seconds."
    rule(id, title, "must", source=B, why=why, does=does, expects=LIVES, fix=fix)(check)


def _voice(**changes: Any) -> dict[str, Any]:
    whole = {
        "command": "voice",
        "audio": "AAAAAA==",
        "sampleRate": 16000,
        "encoding": "PCM16",
        "event_id": "conformance",
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


_survives(
    "messages.bad.command",
    "An unknown command is survived",
    "sends commands that no document knows, a command that is a number, and an object without command",
    {
        "an unknown command": {"command": "voice_pause", "event_id": "conformance"},
        "a command that is a number": {"command": 7},
        "a message without command": {"event_id": "conformance"},
    },
)
_survives(
    "messages.bad.json",
    "Text that is no JSON object is survived",
    "sends half a JSON object, a list, a number, an empty text, and brackets a thousand deep",
    {
        "half an object": '{"command": "voice"',
        "a list": "[1, 2]",
        "a number": "7",
        "an empty text": "",
        "brackets a thousand deep": "[" * 1000,
    },
)
_survives(
    "messages.bad.binary",
    "A binary frame is survived",
    "sends raw PCM in a binary frame, and an empty one",
    {"a binary frame": sound.pcm16(0.02), "an empty binary frame": b""},
)
_survives(
    "messages.bad.base64",
    "Broken base64 is survived",
    "sends voice whose audio is no base64, or lacks its padding's right length",
    {"audio that is no base64": _voice(audio="%%% no base64 %%%"), "base64 of a wrong length": _voice(audio="AAAAA")},
)
_survives(
    "messages.bad.odd",
    "Half a sample is survived",
    "sends voice with three bytes of PCM16, and with none",
    {"three bytes of PCM16": _voice(audio="AAAA"), "no sound": _voice(audio="")},
)
_survives(
    "messages.bad.fields",
    "Fields that are missing or of the wrong type are survived",
    "sends voice without audio, without sampleRate, with a rate of 0, of -1 and of 'fast', with an unknown encoding, "
    "with audio that is a number; special without content",
    {
        "voice without audio": _voice(audio=None),
        "voice without sampleRate": _voice(sampleRate=None),
        "sampleRate 0": _voice(sampleRate=0),
        "sampleRate -1": _voice(sampleRate=-1),
        "sampleRate 'fast'": _voice(sampleRate="fast"),
        "encoding MP3": _voice(encoding="MP3"),
        "audio that is a number": _voice(audio=5),
        "special without content": {"command": "special", "event_id": "conformance"},
    },
)
_survives(
    "messages.bad.opus",
    "A broken OPUS packet is survived",
    "sends OPUS packets that are empty, or noise",
    {
        "an empty OPUS packet": _voice(encoding="OPUS", audio="", sampleRate=48000),
        "an OPUS packet of noise": _voice(encoding="OPUS", audio="/////////w==", sampleRate=48000),
    },
    "Catch the decoder's error, and take the next packet.",
)


@rule(
    "messages.too-large",
    "A message over the limit closes with 1009",
    "should",
    source="protocol B (Lipwire's); RFC 6455, section 7.4.1",
    why="A server without a limit can be filled from outside; another code makes the client send the same again.",
    does="sends one message that is larger than --message-limit (4 MiB) by a byte",
    expects="a close with 1009",
    fix="Set the library's message limit; it sends 1009 by itself.",
)
async def too_large(client: Client) -> None:
    line = await client.open()
    head = json.dumps(_voice(audio=""))
    await line.send(head.replace('"audio": ""', f'"audio": "{"A" * (client.target.message_limit + 1 - len(head))}"'))
    if not await line.closes():
        raise Failed(f"the connection stayed open; {line.summary()}")
    if line.code == 1006:
        raise Skipped("the connection was cut before a close frame came: the kit was still sending")
    if line.code != 1009:
        raise Failed(line.ending())
