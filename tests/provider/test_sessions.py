"""The provider's use cases without a socket. Also home of the session double that test_http and test_ws share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from lipwire.errors import BufferFull, InvalidArgument, LipwireError, NoCapacity
from lipwire.protocol import messages as m
from lipwire.provider.outbox import Outbox
from lipwire.provider.sessions import ProviderConfig, ProviderError
from support.provider_stage import KEY, OTHER_KEY, Stage, start_body


def refused(code: str) -> Any:
    return pytest.raises(ProviderError, check=lambda exc: exc.code == code)


# ------------------------------------------------------------------------------------------------------ credentials


def test_api_key() -> None:
    async def run() -> None:
        provider = Stage().provider
        assert provider.check_api_key(KEY) == provider.check_api_key(KEY.encode())
        assert provider.check_api_key(KEY) != provider.check_api_key(OTHER_KEY)
        with refused("MISSING_API_KEY"):
            provider.check_api_key(None)
        for wrong in ("", KEY + "x", KEY[:-1], "clé", b"\xff\xfe", "\udcff", KEY.upper()):
            with refused("INVALID_API_KEY"):
                provider.check_api_key(wrong)

    asyncio.run(run())


@pytest.mark.parametrize("keys", [{"api_key": ""}])
def test_an_empty_key_is_no_key(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="empty"):
        ProviderConfig(**({"api_key": KEY} | keys))


@pytest.mark.asyncio
async def test_token_is_bound_to_its_session_and_expires() -> None:
    stage = Stage(token_ttl=60)
    reply = await stage.start()
    assert stage.provider.check_token(reply.session_token).id == reply.session_id
    stage.wall += 59
    stage.provider.check_token(reply.session_token)
    stage.wall += 1
    with refused("INVALID_TOKEN"):
        stage.provider.check_token(reply.session_token)
    for bad in ("", "x", reply.session_token[:-2], "..", "a.b.c", "é"):
        with refused("INVALID_TOKEN"):
            stage.provider.check_token(bad)


# ------------------------------------------------------------------------------------------------------ start, stop


@pytest.mark.asyncio
async def test_start_gives_what_was_asked() -> None:
    stage = Stage(public_ws_url="wss://face.example")
    reply = await stage.start()
    assert reply.websocket_address == "wss://face.example"
    assert "granted" not in m.encode(reply)
    reply = await stage.start(uid="2", width=320, height=240, fps=10, sample_rate=24000, egress="both")
    granted = reply.granted
    assert isinstance(granted, m.Granted)
    assert (granted.width, granted.height, granted.fps, granted.sample_rate) == (320, 240, 10, 24000)
    assert granted.egress == "both"
    assert stage.made[1].granted is stage.provider.get(reply.session_id).granted


@pytest.mark.asyncio
async def test_the_same_owner_replaces_a_session_it_forgot() -> None:
    stage = Stage(max_sessions=1)
    first = await stage.start()
    second = await stage.start()
    assert [s.id for s in stage.provider.sessions] == [second.session_id]
    assert stage.made[0].closed == 1
    assert stage.made[1].closed == 0
    with refused("SESSION_NOT_FOUND"):
        stage.provider.check_token(first.session_token)


@pytest.mark.asyncio
async def test_another_owner_meets_a_conflict() -> None:
    stage = Stage()
    await stage.start()
    with refused("CHANNEL_IN_USE"):
        await stage.start(OTHER_KEY)
    assert stage.made[0].closed == 0
    for other in ({"uid": "2"}, {"channel": "other"}, {"app_id": "b" * 32}):
        await stage.start(OTHER_KEY, **other)
    assert len(stage.provider.sessions) == 4


@pytest.mark.asyncio
async def test_starts_for_one_channel_queue_up() -> None:
    stage = Stage(max_sessions=1)
    stage.gate = asyncio.Event()
    starts = [asyncio.create_task(stage.start()) for _ in range(3)]
    await asyncio.sleep(0)
    with refused("SESSION_LIMIT"):  # one is on its way and counts
        await stage.start(uid="2")
    stage.gate.set()
    replies = await asyncio.gather(*starts)
    assert [s.closed for s in stage.made] == [1, 1, 0]
    assert [s.id for s in stage.provider.sessions] == [replies[-1].session_id]


@pytest.mark.asyncio
async def test_a_new_session_waits_until_the_old_one_has_left() -> None:
    stage = Stage()
    await stage.start()
    leaving = asyncio.Event()
    old = stage.made[0]

    async def close() -> None:
        await leaving.wait()
        old.closed += 1

    old.close = close  # type: ignore[method-assign]
    stop = asyncio.create_task(stage.provider.end(stage.provider.sessions[0], "stopped"))
    await asyncio.sleep(0)
    start = asyncio.create_task(stage.start(OTHER_KEY))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(stage.made) == 1
    leaving.set()
    await asyncio.gather(stop, start)
    assert old.closed == 1
    assert len(stage.made) == 2


def lingering(session: Any) -> asyncio.Event:
    """Makes a session take its time to leave its channel, until what is returned is set."""
    leaving, leave = asyncio.Event(), session.close

    async def close() -> None:
        await leaving.wait()
        await leave()

    session.close = close
    return leaving


@pytest.mark.parametrize("limit", [{"max_sessions": 1}, {"max_pixel_rate": 640 * 360 * 25}])
@pytest.mark.asyncio
async def test_a_session_counts_until_it_has_left(limit: dict[str, Any]) -> None:
    stage = Stage(**limit)
    await stage.start(width=640, height=360, fps=25)
    leaving = lingering(stage.made[0])
    stop = asyncio.create_task(stage.provider.end(stage.provider.sessions[0], "stopped"))
    await asyncio.sleep(0)
    assert stage.provider.sessions == []
    for key in (KEY, OTHER_KEY):
        with refused("SESSION_LIMIT"):
            await stage.start(key, uid="2", width=640, height=360, fps=25)
    same = asyncio.create_task(stage.start(width=64, height=36, fps=25))  # waits for it, and takes its place
    for _ in range(5):
        await asyncio.sleep(0)
    with refused("SESSION_LIMIT"):
        await stage.start(uid="2", width=640, height=360, fps=25)
    assert len(stage.made) == 1
    leaving.set()
    await asyncio.gather(stop, same)
    await stage.provider.end(stage.provider.sessions[0], "stopped")
    await stage.start(uid="2", width=640, height=360, fps=25)


@pytest.mark.asyncio
async def test_a_replaced_session_and_its_successor_count_as_one() -> None:
    stage = Stage(max_sessions=2)
    await stage.start()
    leaving = lingering(stage.made[0])
    successor = asyncio.create_task(stage.start())
    for _ in range(5):
        await asyncio.sleep(0)
    await stage.start(uid="2")
    with refused("SESSION_LIMIT"):
        await stage.start(uid="3")
    successor.cancel()  # its client has gone, and the old one has not left yet
    await asyncio.gather(successor, return_exceptions=True)
    with refused("SESSION_LIMIT"):
        await stage.start(uid="3")
    leaving.set()
    await stage.provider.close()
    assert [session.closed for session in stage.made] == [1, 1]


@pytest.mark.asyncio
async def test_limits_and_capacity() -> None:
    stage = Stage(max_sessions=1, retry_after=7)
    await stage.start()
    with refused("SESSION_LIMIT") as caught:
        await stage.start(uid="2")
    assert caught.value.retry_after == 7
    await stage.provider.end(stage.provider.sessions[0], "stopped")
    stage.refuse = NoCapacity(retry_after=2.5)
    with refused("NO_CAPACITY") as caught:
        await stage.start()
    assert caught.value.retry_after == 2.5
    stage.refuse = InvalidArgument("no avatar called aria")
    with refused("VALIDATION_ERROR") as caught:
        await stage.start()
    assert str(caught.value) == "no avatar called aria"
    stage.refuse = RuntimeError("boom")
    with pytest.raises(RuntimeError):
        await stage.start()
    stage.refuse = None
    await stage.start()  # no slot leaked


@pytest.mark.asyncio
async def test_stop_by_id_by_token_and_by_both() -> None:
    stage = Stage()

    async def stop(bearer: str | None = None, **request: Any) -> None:
        session = stage.provider.check_token(bearer) if bearer else None
        assert (await stage.provider.stop(m.parse_stop(request), bearer=session)).status == "success"

    reply = await stage.start()
    await stop(session_id=reply.session_id)
    reply = await stage.start()
    await stop(session_token=reply.session_token)
    reply = await stage.start()
    stage.wall += 10 * 86400  # a session may outlive its token
    await stop(session_id=reply.session_id, session_token=reply.session_token)
    reply = await stage.start()
    await stop(reply.session_token)
    assert [s.closed for s in stage.made] == [1, 1, 1, 1]

    reply, other = await stage.start(), await stage.start(uid="2")
    with refused("VALIDATION_ERROR") as caught:
        await stop()
    assert str(caught.value) == "Missing required field: session_id"
    for request in (
        {"session_id": "nobody"},
        {"session_token": "nonsense"},
        {"session_id": reply.session_id, "session_token": other.session_token},
        {"session_id": reply.session_id, "session_token": "nonsense"},
    ):
        with refused("SESSION_NOT_FOUND"):
            await stop(**request)
    for request in ({"session_id": other.session_id}, {"session_token": other.session_token}):
        with refused("SESSION_NOT_FOUND"):
            await stop(reply.session_token, **request)
    assert len(stage.provider.sessions) == 2


@pytest.mark.asyncio
async def test_idle_sessions_end_and_talking_ones_do_not() -> None:
    stage = Stage()
    await stage.start(uid="1", activity_idle_timeout=10)
    await stage.start(uid="2", activity_idle_timeout=0)
    await stage.start(uid="3", activity_idle_timeout=10)
    stage.made[2].figures["receiving"] = True  # it hears, by RTP, somebody who says nothing
    assert await stage.provider.sweep(stage.now + 9.9) == []
    assert await stage.provider.sweep(stage.now + 10) == [stage.made[0].id]
    assert stage.made[0].closed == 1
    stage.made[2].figures |= {"talking": True, "receiving": False}
    assert await stage.provider.sweep(stage.now + 19.9) == []
    assert await stage.provider.sweep(stage.now + 20) == []
    stage.made[2].figures["talking"] = False
    assert await stage.provider.sweep(stage.now + 29.9) == []
    assert await stage.provider.sweep(stage.now + 1e9) == [stage.made[2].id]
    assert [s.id for s in stage.provider.sessions] == [stage.made[1].id]


@pytest.mark.asyncio
async def test_every_message_keeps_a_session_alive() -> None:
    stage = Stage()
    await stage.start(activity_idle_timeout=10)
    session = stage.provider.sessions[0]
    ingest, outbox = stage.provider.attach(session)
    for _ in range(5):
        stage.now += 9
        stage.provider.receive(session, ingest, outbox, '{"command":"heartbeat","event_id":"h","timestamp":1}')
        assert await stage.provider.sweep(stage.now) == []
    stage.now += 9
    stage.provider.detach(session, outbox)
    assert await stage.provider.sweep(stage.now + 9) == []
    assert len(await stage.provider.sweep(stage.now + 10)) == 1


@pytest.mark.asyncio
async def test_close_drains(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    await stage.start()
    await stage.start(uid="2")

    async def close() -> None:
        raise OSError("the channel is gone")

    stage.made[0].close = close  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR):
        await stage.provider.close()
    assert caplog.records[0].session_id == stage.made[0].id  # type: ignore[attr-defined]
    assert stage.made[0].id in caplog.text
    assert stage.made[1].closed == 1
    assert stage.provider.sessions == []
    with refused("NO_CAPACITY"):
        await stage.start()
    await stage.provider.close()


@pytest.mark.asyncio
async def test_a_session_that_does_not_leave_is_given_up() -> None:
    stage = Stage(close_timeout=0.01)
    await stage.start()

    async def close() -> None:
        await asyncio.sleep(60)

    stage.made[0].close = close  # type: ignore[method-assign]
    await stage.start()
    assert len(stage.provider.sessions) == 1


# ------------------------------------------------------------------------------------------------------- connection


@pytest.mark.asyncio
async def test_outbox_drops_the_oldest() -> None:
    outbox = Outbox(3)
    for n in range(5):
        outbox.put(str(n))
    assert outbox.dropped == 2
    assert await outbox.take() == ["2", "3", "4"]
    outbox.put("last")
    outbox.close(1000, "bye")
    outbox.close(1011, "later")
    outbox.put("too late")
    assert await outbox.take() == ["last"]
    assert await outbox.take() == []
    assert outbox.closing == (1000, "bye")


@pytest.mark.asyncio
async def test_events_reach_the_connected_socket_only() -> None:
    stage = Stage(event_queue=2)
    await stage.start()
    fake, session = stage.made[0], stage.provider.sessions[0]
    fake.emit(m.PlaybackStarted("lost"))
    _, first = stage.provider.attach(session)
    fake.emit(m.PlaybackStarted("one"))
    _, second = stage.provider.attach(session)
    assert first.closing == (1000, "superseded by a newer connection")
    assert [m.decode_event(f) for f in await first.take()] == [m.PlaybackStarted("one")]
    stage.provider.detach(session, first)
    assert session.outbox is second
    fake.emit(m.ErrorEvent("BUFFER_FULL", "full", "two"))
    assert [m.decode_event(f) for f in await second.take()] == [m.ErrorEvent("BUFFER_FULL", "full", "two")]
    stage.provider.detach(session, second)
    assert session.outbox is None
    assert session.events_dropped == 0  # the one that nobody was there for is kept for who says init
    assert stage.provider.errors_total == {"BUFFER_FULL": 1}


@pytest.mark.asyncio
async def test_a_refusing_session_answers_with_an_error_and_a_faulty_one_raises() -> None:
    stage = Stage()
    await stage.start()
    fake, session = stage.made[0], stage.provider.sessions[0]
    ingest, outbox = stage.provider.attach(session)

    def receive(**message: Any) -> None:
        stage.provider.receive(session, ingest, outbox, m.msgspec.json.encode(message).decode())

    receive(command="init", session_id=session.id, **start_body())
    fake.fail = BufferFull("30 s are queued")
    receive(command="voice", audio="AAA=", sampleRate=16000, encoding="PCM16", event_id="v1")
    receive(command="voice", audio="AAA=", sampleRate=16000, encoding="PCM16", event_id="v2")
    receive(command="special", content={"gesture": "nod"}, event_id="s")
    events = [m.decode_event(frame) for frame in await outbox.take()]
    assert isinstance(events[0], m.InitAck)
    assert events[1:] == [m.ErrorEvent("BUFFER_FULL", "30 s are queued", "v1")]
    assert fake.calls == [("voice", b"\0\0", "PCM16", 16000, "v2"), ("special", {"gesture": "nod"}, "s")]
    fake.fail = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        receive(command="voice_end")
    assert stage.provider.messages_total["voice"] == 2


@pytest.mark.asyncio
async def test_attach_after_the_end() -> None:
    stage = Stage()
    await stage.start()
    session = stage.provider.sessions[0]
    await stage.provider.end(session, "stopped")
    with refused("SESSION_NOT_FOUND"):
        stage.provider.attach(session)


@pytest.mark.asyncio
async def test_totals_only_grow() -> None:
    stage = Stage()
    await stage.start()
    await stage.start(uid="2")
    stage.made[1].figures["talking"] = True
    before = stage.provider.totals()
    none = dict.fromkeys(("channel_restarts", "channel_lost", "channel_late"), 0)
    assert before == {"frames": 6, "late": 2, "underruns": 4, "events_dropped": 0, "talking": 1} | none
    await stage.provider.close()
    assert stage.provider.totals() == before | {"talking": 0}


@pytest.mark.parametrize(
    ("make", "builtin"),
    [(InvalidArgument, ValueError), (BufferFull, BlockingIOError), (NoCapacity, RuntimeError)],
)
def test_errors_are_builtins_too(make: Callable[[str], LipwireError], builtin: type[Exception]) -> None:
    exc = make("what happened")
    assert isinstance(exc, builtin)
    assert isinstance(exc, LipwireError)
    assert str(exc) == "what happened"


# ------------------------------------------------------------------------------------------------------ draining


@pytest.mark.asyncio
async def test_draining_ends_the_silent_at_once_and_the_others_when_they_have_spoken() -> None:
    stage = Stage()
    silent, speaking = [await stage.start(uid=uid) for uid in ("1", "2")]
    boxes = {}
    for reply in (silent, speaking):
        session = stage.provider.get(reply.session_id)
        boxes[reply.session_id] = stage.provider.attach(session)[1]
    stage.made[1].silent.clear()
    draining = asyncio.create_task(stage.provider.drain(1000.0))
    while stage.made[0].closed == 0:
        await asyncio.sleep(0)
    assert [session.id for session in stage.provider.sessions] == [speaking.session_id]
    assert boxes[silent.session_id].closing == (1012, "session ended: shutdown")
    assert boxes[speaking.session_id].closing is None
    with refused("NO_CAPACITY") as caught:
        await stage.start(uid="3")
    assert caught.value.retry_after
    assert not draining.done()
    stage.made[1].silent.set()
    await draining
    assert boxes[speaking.session_id].closing == (1012, "session ended: shutdown")
    assert [made.closed for made in stage.made] == [1, 1]
    assert all(call[0] != "interrupt" for made in stage.made for call in made.calls)


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["too long", "cancelled", "stopped"])
async def test_who_does_not_finish_breaks_off_and_tells_so_before_the_close(how: str) -> None:
    stage = Stage()
    session = stage.provider.get((await stage.start()).session_id)
    _, outbox = stage.provider.attach(session)
    made = stage.made[0]
    made.silent.clear()
    interrupt = made.interrupt

    def tell(event_id: str | None) -> None:
        interrupt(event_id)
        made.emit(m.PlaybackFinished("e", 12.0, True))

    made.interrupt = tell  # type: ignore[method-assign]
    if how == "too long":
        await stage.provider.drain(0)
    elif how == "stopped":
        await stage.provider.end(session, "stopped")
    else:
        draining = asyncio.create_task(stage.provider.drain(1000.0))
        await asyncio.sleep(0)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        assert outbox.closing is None
        await stage.provider.close()
    (event,) = await outbox.take()
    assert m.decode_event(event) == m.PlaybackFinished("e", 12.0, True)
    assert outbox.closing == (1000 if how == "stopped" else 1012, f"session ended: {session.ended}")
    assert made.closed == 1


@pytest.mark.asyncio
async def test_while_it_drains_the_utterance_goes_on_and_no_other_begins() -> None:
    stage = Stage(voice_end_grace=0.3)
    session = stage.provider.get((await stage.start()).session_id)
    ingest, outbox = stage.provider.attach(session)
    made = stage.made[0]

    def say(command: str, event_id: str | None) -> list[Any]:
        """What is answered."""
        body: dict[str, Any] = {"command": command, "event_id": event_id}
        if command == "voice":
            body |= {"audio": "AAAAAA==", "sampleRate": 16000, "encoding": "PCM16"}
        outbox.pop()
        stage.provider.receive(session, ingest, outbox, m.msgspec.json.encode(body).decode())
        return [m.decode_event(frame) for frame in outbox.pop()]

    stage.provider.receive(session, ingest, outbox, m.msgspec.json.encode({"command": "init"} | start_body()).decode())
    assert say("voice", "a") == []
    made.silent.clear()
    stage.provider.draining = True
    assert say("voice", "a") == [] and say("voice_end", "a") == [] and say("voice", "a") == []
    (error,) = say("voice", "b")
    assert (error.code, error.event_id) == ("SHUTTING_DOWN", "b")
    stage.now += 0.4
    assert [error.code for error in (*say("voice", "a"), *say("voice", None))] == ["SHUTTING_DOWN"] * 2
    assert len([call for call in made.calls if call[0] == "voice"]) == 3
    stage.provider.draining = False
    assert say("voice", "b") == [] and say("voice_interrupt", "b") == []
    stage.provider.draining = True
    assert [error.code for error in say("voice", "b")] == ["SHUTTING_DOWN"]


@pytest.mark.asyncio
async def test_one_that_heeds_no_cancellation_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(close_timeout=0.02)
    for uid in ("1", "2", "3"):
        await stage.start(uid=uid)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def broken() -> None:
        raise RuntimeError("it broke")

    stage.made[0].close, stage.made[1].close = stubborn, broken  # type: ignore[method-assign]
    await stage.provider.close()
    assert stage.made[2].closed == 1 and stage.provider.sessions == []
    assert "not closed within" in caplog.text and "it broke" in caplog.text
    release.set()
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_session_ends_although_who_ended_it_is_cancelled() -> None:
    stage = Stage()
    session = stage.provider.get((await stage.start()).session_id)
    _, outbox = stage.provider.attach(session)
    leaving = asyncio.Event()

    async def slow() -> None:
        await leaving.wait()

    stage.made[0].close = slow  # type: ignore[method-assign]
    stopping = asyncio.create_task(stage.provider.end(session, "stopped"))
    while outbox.closing is None:
        await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    closing = asyncio.create_task(stage.provider.close())
    await asyncio.sleep(0)
    assert not closing.done() and not session.closed.is_set()
    leaving.set()
    await closing
    assert session.closed.is_set()
    assert stage.provider._by_channel == {}
