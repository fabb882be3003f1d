"""Somebody else's face: an agent's speech goes to an avatar provider, which shows and speaks it in the agent's channel.

    Session ── blocks ──► ChannelSink ──► Face ── voice, voice_end, voice_interrupt ──► provider ──► the channel
                              │             ◄──────── playback_started, _finished ────────┘
                              └─ silence ──► the agent's own track in the channel

The agent's clock, its session and its playout go on as ever; what the face says is silent in the agent's own track.
A provider says things later than it gets them. Where it reports playback, that tells how far speech has been heard,
and a reply is over when the provider has played it; else both go by the session's clock.

Without the provider (it refuses, breaks off, or plays nothing of what it gets) the agent goes on with its own voice, at
once, and says so. A connection that broke is made again, with the same session at first and then with a new one; the
face speaks again from the next utterance on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct
from websockets.asyncio.client import ClientConnection

from .._core import RATE, Resampler
from ..answers import read_all
from ..errors import InvalidArgument, LipwireError
from ..outward import Outward, OutwardRefused, site
from ..protocol import messages as m
from ..provider.client import ProviderClient, is_name
from .http import ServiceClient, ServiceError, failure, opened, refusal
from .options import AvatarProvider

logger = logging.getLogger("lipwire.agents")

WHAT = "the avatar provider"
SOUND_RATE = 24_000
"""Hz of what is sent: what speech services make, and every provider takes."""
CHUNK = SOUND_RATE // 50 * 2
"""Bytes of a `voice` message: 20 ms."""
OPEN = 8.0
"""Seconds that an agent waits for its face when it starts."""
ANSWER = 8.0
"""Seconds until a provider answers a request."""
LEAVE = 4.0
"""Seconds for stopping the session at the end."""
RETRY = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try to reach a provider again; after the last one it is given up."""
SAME = 3
"""So many of these are with the session that was there."""
STABLE = 10.0
"""Seconds after which a connection that breaks is the first one again."""
REPORTS = RATE
"""Samples within which a provider that reports playback at all has reported the beginning of the first utterance."""
SILENT = 5 * RATE
"""Samples after which one that reports is taken to have lost what it does not report."""
MOST_STALLS = 1
"""So often it is tried again after that."""
WAITING = 200
"""Messages that may wait to be sent; a provider for which more wait has stalled."""
MOST_ANSWERED = 1 << 16
OURS = ("agora_appid", "agora_channel")
"""Members of the params that /session/start has elsewhere."""
FIXED = ("agora_settings", "session_id", "command")


def start_request(
    provider: AvatarProvider, app_id: str, channel: str, *, token: str, string_uid: bool
) -> m.StartRequest:
    """What /session/start is asked. Raises InvalidArgument: something is missing, or leads elsewhere."""
    where = "avatar.params"
    for name in ("avatar_id", "agora_uid"):
        if not getattr(provider, name):
            raise InvalidArgument(f"{where}.{name}: the provider of params.api_base_url needs one")
    if not string_uid and not (provider.agora_uid.isdecimal() and 0 < int(provider.agora_uid) < 2**32):
        raise InvalidArgument(f"{where}.agora_uid: must be a number 1..{2**32 - 1}, in digits")
    for name, value in zip(OURS, (app_id, channel), strict=True):
        if provider.params.get(name, value) != value:
            raise InvalidArgument(f"{where}.{name}: the face is where the agent is; leave it out, or say {value!r}")
    agora = m.AgoraSettings(
        app_id=app_id, token=token, channel=channel, uid=provider.agora_uid, enable_string_uid=string_uid
    )
    return m.StartRequest(
        avatar_id=provider.avatar_id,
        quality="high",
        version="v1",
        video_encoding="H264",
        agora_settings=agora,
        activity_idle_timeout=60.0,
    )


class _Line:
    """How the provider is reached: to where requests may lead, and nothing told of what it said."""

    def __init__(self, outward: Outward | None, key: str) -> None:
        self._outward = outward
        self._key = key
        self._http = ServiceClient(ANSWER, outward, once=True)

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        import httpx

        try:
            async with asyncio.timeout(ANSWER):
                reply = await self._http.request(method, url, headers=headers, content=body)
                try:
                    if reply.status_code != 200:
                        raise await refusal(WHAT, url, reply, self._key)
                    return await read_all(reply, MOST_ANSWERED)
                finally:
                    await reply.aclose()
        except TimeoutError as exc:
            slow = ServiceError(f"{WHAT} at {site(url)} did not answer within {ANSWER:g} s")
            slow.passing = True
            raise slow from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise failure(WHAT, url, exc, self._key) from exc
        except OutwardRefused as exc:
            raise OutwardRefused(f"{WHAT} {exc}") from exc

    async def connect(self, url: str, headers: Mapping[str, str]) -> ClientConnection:
        # What the provider names is checked as what the client named: it may lead to inner places no more than that.
        secrets = (value.rpartition(" ")[2] for value in headers.values())
        return await opened(WHAT, url, headers, self._outward, self._key, *secrets)

    async def close(self) -> None:
        await self._http.aclose()


class _Said(Struct):
    """An utterance that the provider has been sent, or is being sent."""

    name: str
    began: int
    """The clock at its first sound."""
    sent: int = 0
    """Samples of it."""
    ended: int | None = None
    """The clock where all of it had been sent."""
    started: int | None = None
    """The clock where the provider began to play what it plays now of it,"""
    before: float = 0.0
    """and the ms of it that it had played before."""
    told: float = 0.0
    """ms that have been told of. A gap is known when it is over, and what is heard does not go back for it."""
    over: m.PlaybackFinished | None = None
    """The session has played it to its end, which is told when the provider has."""

    def heard(self, clock: int) -> float:
        """ms of it."""
        played = 0.0 if self.started is None else max(0, clock - self.started) * 1000 / RATE
        self.told = max(self.told, min(self.before + played, self.sent * 1000 / RATE))
        return self.told


class Face:
    """The face of one agent. Every method belongs to the event loop's thread.

    Args:
        provider: where, and with what key.
        start: what /session/start is asked (`start_request`).
        outward: where its URLs may lead; None = anywhere.
    """

    def __init__(self, provider: AvatarProvider, start: m.StartRequest, outward: Outward | None = None) -> None:
        self.provider = provider
        self.user = provider.agora_uid
        """Who it is in the channel."""
        self.on_failed: Callable[[str], None] = _nobody
        """Called with why, when the agent goes on with its own voice."""
        self.on_finished: Callable[[m.PlaybackFinished], None] = _nobody
        """Called when the provider has played what `keeps` kept."""
        self.up = False
        """Whether it speaks."""
        self.sessions = self.connections = 0
        self._stalls = 0
        """How often in a row it was left since it played nothing, or took nothing any more."""
        self._start = start
        self._outward = outward
        self._more = {name: value for name, value in provider.params.items() if name not in OURS + FIXED}
        self._client: ProviderClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._waiting: deque[m.Voice | m.VoiceEnd | m.Interrupt] = deque()
        self._more_waits = asyncio.Event()
        self._broken: asyncio.Future[str] | None = None
        self._down = Resampler(RATE, SOUND_RATE)
        self._pcm = bytearray()
        self._said: deque[_Said] = deque()
        self._name: str | None = None
        """The utterance of the newest block,"""
        self._speaks = False
        """and whether the face says it."""
        self._unheard = False
        """Whether it has been sent anything since the last interrupt: the end may still be played."""
        self._cut: str | None = None
        """That which was interrupted: the rest of it is a fade."""
        self._clock = 0
        self._reports: bool | None = None
        """Whether the provider reports playback, once that is known."""

    # -------------------------------------------------------------------------------------------------------- life

    async def open(self) -> None:
        """Begins, and waits until the face is there, or is not to be had. It goes on trying where that may help."""
        self._task = asyncio.create_task(self._run(), name="lipwire-face")
        try:
            async with asyncio.timeout(OPEN):
                await self._settled.wait()
        except TimeoutError:
            self._settle(f"{WHAT} at {site(self.provider.api_base_url)} is not ready after {OPEN:g} s")

    async def close(self) -> None:
        """Stops the session. Safe to call twice."""
        task, self._task = self._task, None
        self.up = False
        self.on_failed = self.on_finished = _nobody
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._leave()

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE):
                    await client.close()

    async def _run(self) -> None:
        failures, stood = 0, time.monotonic()
        while True:
            try:
                client = await self._connected(failures)
            except LipwireError as exc:
                self._settle(str(exc))
                failures += 1
                if failures > len(RETRY) or not _may_pass(exc):
                    break
            except Exception as exc:  # the edge of the task: a provider may answer anything
                logger.exception("the face could not be had")
                self._settle(f"{WHAT} failed: {type(exc).__name__}")
                break
            else:
                stood = time.monotonic()
                why = await self._speaking(client)
                stable = time.monotonic() - stood > STABLE
                failures = 1 if stable else failures + 1
                if stable and not self._reports:  # else what it has played says that it is well
                    self._stalls = min(self._stalls, 1)
                self._lost(why)
                if failures > len(RETRY) or self._stalls > MOST_STALLS:
                    break
            await asyncio.sleep(RETRY[failures - 1])
        logger.warning("%s at %s is given up", WHAT, site(self.provider.api_base_url))
        await self._leave()

    async def _connected(self, failures: int) -> ProviderClient:
        """A client whose connection stands: that which is there, or another with a session of its own."""
        if (client := self._client) is not None and failures <= SAME:
            try:
                await client.reconnect()
                return client
            except LipwireError as exc:
                if getattr(exc, "status", None) not in (401, 403, 404, 410):  # else that session is over
                    raise
        await self._leave()
        line = _Line(self._outward, self.provider.api_key)
        client = ProviderClient(
            self.provider.api_base_url,
            self.provider.api_key,
            self._start,
            on_event=self._event,
            more=self._more,
            line=line,
        )
        await client.__aenter__()
        self._client = client
        self.sessions += 1
        return client

    async def _speaking(self, client: ProviderClient) -> str:
        """Sends what there is to send until that cannot go on; why."""
        where = f"{WHAT} at {site(self.provider.api_base_url)}"
        self._waiting.clear()
        self._broken = asyncio.get_running_loop().create_future()
        self.connections += 1
        self.up = True
        self._settled.set()
        sending = asyncio.create_task(self._send(client))
        closed = asyncio.create_task(client.wait_closed())
        try:
            ends: set[asyncio.Future[Any]] = {sending, closed, self._broken}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._broken.done():
                return f"{where} {self._broken.result()}"
            await asyncio.wait({closed}, timeout=1.0)
            return f"{where} closed the connection ({closed.result() if closed.done() else 'it hangs'})"
        finally:
            self.up = False
            for task in (sending, closed):
                task.cancel()
            await asyncio.gather(sending, closed, return_exceptions=True)

    async def _send(self, client: ProviderClient) -> None:
        while True:
            while self._waiting:
                await client.send(self._waiting.popleft())
            self._more_waits.clear()
            await self._more_waits.wait()

    def _settle(self, why: str) -> None:
        """It is known that the face is not there."""
        if self._settled.is_set():
            logger.info("the face is not back yet: %s", why)
        else:
            self._settled.set()
            self.on_failed(f"{why}; the agent speaks with its own voice, without a face")

    def _lost(self, why: str) -> None:
        """The agent's own voice says the rest, and what has been sent counts as heard where the session says so."""
        said = tuple(self._said)
        self._said.clear()
        self._pcm.clear()
        self._down.reset()
        self._speaks = False
        for one in said:
            if one.over is not None:
                self.on_finished(one.over)
        self.on_failed(f"{why}; the agent goes on with its own voice, without a face")

    def _break(self, why: str) -> None:
        if self._broken is not None and not self._broken.done():
            self._stalls += 1
            self._broken.set_result(why)

    # ------------------------------------------------------------------------------------------------------ speech

    def speak(self, pcm: bytes, sample: int, utterance: str | None) -> bool:
        """Takes sound of the session's, and what it is of. Returns whether the face says it, so that the agent's own
        track is silent there."""
        self._clock = sample + len(pcm) // 2
        if utterance != self._name and utterance != self._cut:
            self._end()
            if utterance is not None and self.up:
                self._speaks = self._unheard = True
                self._said.append(_Said(utterance, sample))
            self._name = utterance
        if utterance is None or utterance == self._cut:
            self._look()
            return self.up
        if self._speaks:
            self._said[-1].sent += len(pcm) // 2
            self._pcm += self._down.process(pcm)
            while len(self._pcm) >= CHUNK:
                self._voice(CHUNK)
            self._look()
        return self._speaks

    def _voice(self, size: int) -> None:
        data = bytes(self._pcm[:size])
        del self._pcm[:size]
        self._put(m.Voice(data, SOUND_RATE, "PCM16", self._name))

    def _end(self) -> None:
        """All of the utterance has been said."""
        if not self._speaks or self._name is None:
            return
        self._pcm += self._down.flush()
        self._down.reset()
        if self._pcm:
            self._voice(len(self._pcm))
        self._put(m.VoiceEnd(self._name))
        self._speaks = False
        for one in self._said:
            if one.name == self._name:
                one.ended = self._clock

    def interrupt(self) -> None:
        """Falls silent: nothing of what has been sent is to be heard any more."""
        self._cut = self._name
        self._pcm.clear()
        self._down.reset()
        self._waiting.clear()
        self._said.clear()
        if self._unheard:
            self._put(m.Interrupt(f"{self._name or 'all'}-interrupt"))
        self._speaks = self._unheard = False

    def _put(self, message: m.Voice | m.VoiceEnd | m.Interrupt) -> None:
        if not self.up:
            return
        if len(self._waiting) >= WAITING:
            self._break("takes nothing any more")
            return
        self._waiting.append(message)
        self._more_waits.set()

    # ------------------------------------------------------------------------------------------------------- heard

    def heard(self, by_clock: tuple[str | None, float]) -> tuple[str | None, float]:
        """How far speech has been heard, as `Session.heard`, which is given."""
        if not self._said or self._reports is False:
            return by_clock
        one = self._said[0]
        if one.started is None and not one.before:
            return None, 0.0
        return one.name, one.heard(self._clock)

    def keeps(self, event: m.PlaybackFinished) -> bool:
        """The session has played an utterance. Whether it is over only when the provider has played it, too."""
        if event.event_id == self._name:
            self._end()
        if self._reports is False or event.interrupted:
            return False
        for one in self._said:
            if one.name == event.event_id:
                one.over = event
                return True
        return False

    def _event(self, event: m.ServerEvent) -> None:
        match event:
            case m.PlaybackStarted(event_id):
                if (one := self._find(event_id)) is not None:
                    self._reports = True
                    one.started = self._clock
            case m.PlaybackFinished(event_id, position_ms, interrupted):
                one = self._find(event_id)
                if one is None or interrupted:
                    return
                if one.ended is None:  # it ran dry there: what comes is an utterance of its own to the provider
                    one.before, one.started = one.before + _sane(position_ms), None
                else:
                    self._reports, self._stalls = True, 0
                    self._over(one)
            case m.Underrun(_, duration_ms):
                if self._said and self._said[0].started is not None:
                    self._said[0].started += round(_sane(duration_ms) * RATE / 1000)
            case m.ErrorEvent(code):
                what = repr(code) if is_name(code) else "an error"
                logger.warning("%s at %s: %s", WHAT, site(self.provider.api_base_url), what)

    def _find(self, name: str | None) -> _Said | None:
        return next((one for one in self._said if one.name == name), None)

    def _over(self, one: _Said) -> None:
        """The provider has played it, and all before it."""
        while any(each is one for each in self._said):
            first = self._said.popleft()
            if first.over is not None:
                self.on_finished(first.over)

    def _look(self) -> None:
        """What does not come in time."""
        if not self._said or self._reports is False:
            while self._said and (self._said[0].ended is not None):
                self._over(self._said[0])
            return
        one = self._said[0]
        if self._reports is None:
            if self._clock - one.began > REPORTS:
                self._reports = False
                for each in tuple(self._said):
                    if each.over is not None:
                        self._over(each)
            return
        if one.started is None and not one.before and self._clock - one.began > SILENT:
            self._break("plays nothing of what it is sent")
        elif one.ended is not None and self._clock - one.ended > SILENT:
            self._over(one)

    # ----------------------------------------------------------------------------------------------------- figures

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able."""
        return {
            "provider": site(self.provider.api_base_url),
            "up": self.up,
            "sessions": self.sessions,
            "connections": self.connections,
            "reports_playback": bool(self._reports),
            "waiting": len(self._waiting),
        }


def _sane(ms: float) -> float:
    """What a provider says of its playback, as far as that can be: 0 to a day."""
    return min(max(ms, 0.0), 86_400_000.0)


def _may_pass(exc: LipwireError) -> bool:
    """Whether it may go better in a moment."""
    return bool(getattr(exc, "passing", False)) or getattr(exc, "code", "") == "PROVIDER_FAULT"


def _nobody(what: object) -> None:
    """Who listened has gone."""
