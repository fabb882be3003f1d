"""Events that tell a client what became of its messages (docs/protocol.md B): Lipwire's additions."""

from __future__ import annotations

from ..client import Client
from ..rule import Registry
from ..verdict import Failed
from .cases import Cases

rules = Registry()
rule = rules.rule

OURS = "protocol B (Lipwire's events)"


@rule(
    "feedback.init-ack",
    "init is acknowledged, each time",
    "should",
    source=OURS,
    why="A client knows by it that it was understood, and what it was given.",
    does="sends init twice",
    expects="two init_ack with the session's id",
    fix="Answer every init, also a repeated one.",
    needs=("events",),
)
async def init_ack(client: Client) -> None:
    line = await client.connect(await client.start())
    for _ in range(2):
        since = line.mark()
        await line.init()
        _, event = await line.expect("init_ack", since)
        if event.get("session_id") != line.session.id:
            raise Failed(f"init_ack has session_id {event.get('session_id')!r} in place of {line.session.id!r}")


@rule(
    "feedback.heartbeat-ack",
    "A heartbeat is acknowledged with its own event_id and timestamp",
    "should",
    source=OURS,
    why="The only way for a client to see that the connection is more than open, and how far away the provider is.",
    does="sends three heartbeats with different timestamps",
    expects="three heartbeat_ack, each with event_id and timestamp as they were sent",
    fix="Send both back unchanged; do not put your own clock there.",
    needs=("events",),
)
async def heartbeat_ack(client: Client) -> None:
    line = await client.open()
    for stamp in (1_764_444_444_444, 1_764_444_454_445, 1):
        since = line.mark()
        sent = await line.heartbeat(stamp)
        _, event = await line.expect("heartbeat_ack", since)
        for name in ("event_id", "timestamp"):
            if event.get(name) != sent[name]:
                raise Failed(f"heartbeat_ack has {name} {event.get(name)!r} in place of {sent[name]!r}")


@rule(
    "feedback.error",
    "A bad message is answered with an error event",
    "should",
    source=OURS,
    why="Without one, speech that is refused is only silence, and nobody knows why.",
    does="sends an unknown command, broken base64, an unknown encoding, and text that is no JSON",
    expects="an error event for each: code and message, and the event_id of the message where it had one",
    fix="Answer what you refuse: {command: error, code, message, event_id}.",
    needs=("events",),
)
async def error(client: Client) -> None:
    line = await client.open()
    voice = {"command": "voice", "audio": "AAAA", "sampleRate": 16000, "encoding": "PCM16", "event_id": "conformance"}
    cases = Cases()
    for case, message, event_id in (
        ("an unknown command", {"command": "voice_pause", "event_id": "conformance"}, "conformance"),
        ("broken base64", voice | {"audio": "%%%"}, "conformance"),
        ("encoding MP3", voice | {"encoding": "MP3"}, "conformance"),
        ("no JSON", "{", None),
    ):
        since = line.mark()
        await line.send(message)
        found = await line.wait("error", since)
        if found is None:
            cases.add(case, f"no error came; {line.summary(since)}")
            continue
        event = found[1]
        wrong = [name for name in ("code", "message") if not isinstance(event.get(name), str) or not event[name]]
        cases.add(case, f"{', '.join(wrong)} is missing: {event}" if wrong else None)
        if event_id is not None and event.get("event_id") != event_id:
            cases.add(case, f"event_id {event.get('event_id')!r} in place of {event_id!r}")
    cases.judge()
