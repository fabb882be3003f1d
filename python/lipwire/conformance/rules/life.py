"""The life of a session: lost connections, resumption, a second connection, its end (docs/protocol.md A and B)."""

from __future__ import annotations

import asyncio
import time

from ..client import Client, Session
from ..rule import Registry
from ..verdict import Busy, Failed, Skipped
from .messages import SPEECH, played, taken

rules = Registry()
rule = rules.rule

B = "protocol B; what real clients do"
IDLE = 2
"""Seconds; the shortest activity_idle_timeout that rules ask for."""


@rule(
    "life.resume",
    "A lost connection is no leave: the same token opens the session again",
    "must",
    source=B,
    why="Clients come back after a second. A session that died with its connection has taken the avatar away.",
    does="cuts the TCP connection without a close frame, connects again with the same token, sends init and speaks",
    expects="101, and speech that is taken",
    fix="Let the avatar idle in its channel until activity_idle_timeout is over.",
)
async def resume(client: Client) -> None:
    line = await client.open()
    await line.speak(SPEECH)
    await line.alive()
    await line.drop()
    await asyncio.sleep(client.target.settle)
    await _speaks_again(client, line.session)


@rule(
    "life.clean-close",
    "A connection that was closed properly can be resumed as well, with a burst behind it",
    "must",
    source=B,
    why="A close can go unnoticed for 10 seconds at a client; what was said meanwhile comes all at once.",
    does="closes with 1000, connects again with the same token, sends init and 10 seconds of speech at once",
    expects="101, and speech that is taken",
    fix="End a session by /session/stop and the idle timeout, not by a close.",
)
async def clean_close(client: Client) -> None:
    line = await client.open()
    await line.speak(SPEECH)
    await line.alive()
    await line.close(1000)
    await asyncio.sleep(client.target.settle)
    again = await client.connect(line.session)
    await again.init()
    since = again.mark()
    await again.speak(10.0, ms=50)
    await taken(again, "a burst after a reconnect", since)


async def _speaks_again(client: Client, session: Session) -> None:
    again = await client.handshake(session)
    if isinstance(again, int):
        raise Failed(f"the second WebSocket handshake was refused with {again}")
    await again.init()
    since = again.mark()
    await again.speak(SPEECH)
    await taken(again, "speech after a reconnect", since)


@rule(
    "life.resume.many",
    "A session survives ten lost connections in a row",
    "must",
    source=B,
    why="A bad network drops again and again.",
    does="ten times: connects, sends init and speech without its end, cuts the connection",
    expects="101 each time, and speech that is taken at last",
    fix="Leave nothing behind with a connection: no task, no lock, no place in a count.",
)
async def resume_many(client: Client) -> None:
    session = await client.start()
    for number in range(10):
        line = await client.handshake(session)
        if isinstance(line, int):
            raise Failed(f"connection {number + 1} was refused with {line}")
        await line.init()
        await line.speak(0.1, end=False)
        await line.drop()
    await _speaks_again(client, session)


@rule(
    "life.resume.speech",
    "What was accepted before a drop is still heard, and told to the new connection",
    "should",
    source="protocol B",
    why="Nothing that was already accepted is lost.",
    does="sends two seconds of speech, cuts the connection when they have started, and connects again",
    expects="playback_finished over the new connection, with position_ms as long as was sent",
    fix="Let speech belong to the session, and events go to whichever connection there is.",
    needs=("playback",),
)
async def resume_speech(client: Client) -> None:
    line = await client.open()
    await line.speak(2.0)
    started, _ = await line.expect("playback_started")
    await line.drop()
    again = await client.connect(line.session)
    if time.monotonic() - started > 1.5:
        raise Busy("the speech was nearly over before this machine had connected again")
    await again.init()
    if (problem := await played(again, 0, 2.0)) is not None:
        raise Failed(problem)


@rule(
    "life.second-connection",
    "A second connection with the same token works, whatever becomes of the first",
    "must",
    source=B,
    why="A client comes back before the server has noticed that it was gone.",
    does="connects a second time while the first connection is open, and speaks through the second",
    expects="101, and speech that is taken",
    fix="The newer connection takes over.",
)
async def second_connection(client: Client) -> None:
    await _speaks_again(client, (await client.open()).session)


@rule(
    "life.second-connection.older",
    "The older of two connections is closed",
    "should",
    source="protocol B (Lipwire's)",
    why="Two connections that both speak are two voices in one mouth.",
    does="connects a second time while the first connection is open",
    expects="a close of the first with 1000",
    fix="Close the older one as soon as the newer one is there.",
)
async def second_connection_older(client: Client) -> None:
    line = await client.open()
    again = await client.connect(line.session)
    await again.init()
    if not await line.closes():
        raise Failed("both connections stayed open")
    if line.code not in (1000, 1001):
        raise Failed(line.ending())


@rule(
    "life.new-session",
    "A new session for the same channel and uid is given although the old one was not stopped",
    "must",
    source=B,
    why="A client that failed to reconnect three times starts anew, and never stops the old session.",
    does="starts two sessions with the same app id, channel and uid, and speaks through the second",
    expects="200 twice; a second session that works",
    fix="Replace the old session of the same owner.",
)
async def new_session(client: Client) -> None:
    old = await client.open()
    reply = await client.try_start(old.session.body)
    reply.expect(200)
    if (reply.body or {}).get("session_id") == old.session.id:
        raise Skipped("the provider gives the same session again")
    fresh = client.session(reply)
    line = await client.connect(fresh)
    await line.init()
    since = line.mark()
    await line.speak(SPEECH)
    await taken(line, "speech of the new session", since)


@rule(
    "life.new-session.reaps",
    "The session that was replaced is over",
    "should",
    source="protocol B (Lipwire's)",
    why="Two avatars with one uid throw each other out of the channel.",
    does="starts two sessions with the same app id, channel and uid, and looks after the first",
    expects="the first one's connection closed, and its token refused in the handshake",
    fix="Stop the old session before the new one joins.",
)
async def new_session_reaps(client: Client) -> None:
    old = await client.open()
    reply = await client.try_start(old.session.body)
    reply.expect(200)
    if (reply.body or {}).get("session_id") == old.session.id:
        raise Skipped("the provider gives the same session again")
    if not await old.closes():
        raise Failed("the replaced session's connection stayed open")
    if not isinstance(await client.handshake(old.session), int):
        raise Failed("the replaced session's token still opens a connection")


@rule(
    "life.stop",
    "Stopping a session ends its connection",
    "must",
    source="protocol A and B",
    why="Else the client speaks on, to nobody.",
    does="stops a session while it is connected",
    expects="a close",
    fix="Close the session's WebSocket when it ends.",
)
async def stop(client: Client) -> None:
    line = await client.open()
    await line.alive()
    (await client.stop(line.session)).expect(200)
    if not await line.closes():
        raise Failed(f"the connection was still open after {client.target.patience:g} s")


@rule(
    "life.stop.code",
    "A session that was stopped closes with 1000",
    "should",
    source="protocol B (Lipwire's); RFC 6455, section 7.4.1",
    why="1011 and a broken connection are faults, which clients answer with a reconnect.",
    does="stops a session while it is connected",
    expects="a close with 1000 or 1001",
    fix="Close with 1000. 1011 is for faults, 1012 for a server that goes down.",
)
async def stop_code(client: Client) -> None:
    line = await client.open()
    await line.alive()
    (await client.stop(line.session)).expect(200)
    if not await line.closes():
        raise Skipped("the connection stayed open: see life.stop")
    if line.code not in (1000, 1001):
        raise Failed(line.ending())


@rule(
    "life.idle",
    "A session ends by itself after activity_idle_timeout without a message",
    "must",
    source="protocol A",
    why="Clients crash; their avatars must not stay, and cost, for ever.",
    does="starts a session with activity_idle_timeout 2, connects, sends init and then nothing",
    expects="within 12 seconds a closed connection, and a token that is refused in the handshake",
    fix="Look for idle sessions every second.",
    slow=True,
)
async def idle(client: Client) -> None:
    line = await client.open(activity_idle_timeout=IDLE)
    if not await line.closes(IDLE + 10.0):
        raise Failed(f"the connection was still open after {IDLE + 10} s")
    if not isinstance(again := await client.handshake(line.session), int):
        await again.drop()
        raise Failed("the connection was closed, but the session still lives: its token opens another one")


@rule(
    "life.idle.active",
    "Heartbeats keep a session",
    "must",
    source="protocol A and B",
    why="A user who listens for two minutes is no reason to leave.",
    does="starts a session with activity_idle_timeout 2 and sends a heartbeat every half second for 5 seconds",
    expects="a session that lives",
    fix="Any message is activity.",
    slow=True,
)
async def idle_active(client: Client) -> None:
    line = await client.open(activity_idle_timeout=IDLE)
    for _ in range(10):
        sent = time.monotonic()
        await line.heartbeat()
        await asyncio.sleep(0.5)
        if time.monotonic() - sent > IDLE / 2:
            raise Busy("this machine was too busy to send a heartbeat every half second")
    await line.alive("5 seconds of heartbeats")


@rule(
    "life.idle.never",
    "activity_idle_timeout 0 means never",
    "must",
    source="protocol A",
    why="0 is documented. A session that is over at once, or a 400, is what falls out of a careless comparison.",
    does="starts a session with activity_idle_timeout 0, is silent for 3 seconds, and speaks",
    expects="a session that lives",
    fix="Treat 0 as no timeout.",
    slow=True,
)
async def idle_never(client: Client) -> None:
    line = await client.open(activity_idle_timeout=0)
    await asyncio.sleep(3.0)
    since = line.mark()
    await line.speak(SPEECH)
    await taken(line, "3 seconds of silence", since)
