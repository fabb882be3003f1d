"""The avatar provider's use cases, shared by HTTP and WebSocket: who may start, stop and speak through a session.

No web framework and no socket here. A session itself comes from an injected factory, `make_session`; what it says
back goes through `emit` to the WebSocket that is connected at the moment, if any. Everything runs on one event loop.

Life of a session: `start` (HTTP) -> `attach` (a WebSocket comes, maybe many times) -> `dispatch` (its messages) ->
`stop`, the idle timeout or the end of its owner's keys in `sweep`, a newer session for the same channel and uid, or
`close`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
import uuid
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from ..closing import close_within
from ..errors import BufferFull, LipwireError, NoCapacity, OutOfMemory
from ..logs import sampled
from ..protocol import messages as m
from ..protocol.access import Access
from ..protocol.ingest import Close, Event, Ingest, Init
from .authority import Authority, Refused
from .keys import KeyRing, Owner
from .outbox import CLOSE_DRAIN, CLOSE_FAULT, CLOSE_NORMAL, Outbox
from .quotas import Admission
from .utterances import UtteranceGate

logger = sampled("lipwire.provider")

Emit = Callable[[m.ServerEvent], None]
EndReason = Literal["stopped", "replaced", "idle", "failed", "shutdown"]

MISSED = 200
"""Events that are kept for a client that is not connected; the oldest is dropped. Fewer than an outbox holds."""
PIECE = 128 << 10
"""Bytes of speech that are written in one step: about 3 ms of work where the rate is the least favourable one."""
HUSH = 0.5
"""Seconds that a session which ends in speech has to fall silent, and to tell how much of it was heard."""


class ProviderConfig(Struct, kw_only=True, frozen=True):
    """What the provider needs to know. Times in seconds."""

    api_key: str
    """What `x-api-key` must say. Not empty. Other owners' keys: `Provider(keys=...)`."""
    session_secret: str = msgspec.field(default_factory=lambda: secrets.token_hex(32))
    """Signs the session tokens (HS256); 32 bytes or more. Random unless set, so a restart ends every token."""
    public_ws_url: str = "ws://127.0.0.1:8765"
    """What `websocket_address` says."""
    token_ttl: float = 24 * 3600.0
    max_sessions: int = 50
    max_pixel_rate: int = 0
    """Width x height x frames a second of all sessions together; 0 = no limit."""
    retry_after: float = 5.0
    """What `Retry-After` says when there is no room."""
    max_message_bytes: int = 4 << 20
    """A larger WebSocket message closes its connection with 1009."""
    max_body_bytes: int = 64 << 10
    """A larger HTTP body is a 413."""
    event_queue: int = 256
    """Events kept for a slow WebSocket reader; the oldest is dropped when full."""
    guard_window: float = 0.0
    """`voice` within this time after an interrupt is dropped."""
    check_rate: bool = True
    """Report `rate_mismatch`."""
    correct_rate: bool = False
    """And take the rate that was measured for that of the label, from the next `voice` on."""
    close_timeout: float = 10.0
    """How long a session may take to leave its channel before it is given up."""
    voice_end_grace: float = 0.3
    """How long after `voice_end` audio still belongs to the utterance; counts while the server drains."""
    egress: m.Egress | None = None
    """What of a face is sent where a request does not say; None = both."""

    def __post_init__(self) -> None:
        if not self.api_key:
            raise ValueError("an API key must not be empty")


class LiveSession(Protocol):
    """What plays: the provider's view of one session. All calls come from the event loop's thread.

    The four that take input may raise `LipwireError`: the client gets an `error` event with its `code` and nothing
    else happens. Anything else they raise is a fault: it is logged, and the WebSocket closes with 1011.
    """

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None) -> None:
        """Queues speech: not empty, PCM16 (even) or PCM8 or one OPUS packet, 8000..48000 Hz."""

    def voice_end(self, event_id: str | None) -> None:
        """The utterance is complete, but for audio within the grace window."""

    def check_room(self, seconds: float) -> None:
        """Raises BufferFull: so much speech does not fit now."""

    @property
    def generation(self) -> int:
        """How many interrupts there were."""

    def interrupt(self, event_id: str | None) -> None:
        """Stops speaking and drops what is queued."""

    def special(self, content: Any, event_id: str | None) -> None:
        """`content` as decoded from JSON."""

    def renew(self, token: str) -> None:
        """Takes a new token for the session's channel. Raises InvalidArgument where that has none."""

    async def finished(self) -> None:
        """Waits until nothing is spoken or queued, and all of it has been told to `emit`."""

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able. Known keys feed /metrics: `talking` (bool), and ever-growing ints `frames`,
        `late`, `underruns`. `talking` also keeps a session from idling out, as does `receiving` (bool): sound comes by
        another way than the WebSocket."""
        ...

    async def close(self) -> None:
        """Leaves the channel and frees everything. Called once."""


class Tap(Protocol):
    """What hears a session's wire, such as a recording. Connections are told apart by identity. It must not raise."""

    def connected(self, connection: object, now: float) -> None:
        """A WebSocket came."""

    def disconnected(self, connection: object, now: float) -> None:
        """It went."""

    def receives(self, connection: object, message: str | bytes, now: float) -> None:
        """A message is about to act."""

    def received(self, events: Sequence[Event]) -> None:
        """It has acted; this is what it meant."""

    def pauses(self, events: Sequence[Event]) -> None:
        """A part of it has; others may act before the rest does, if it ever does."""

    def resumes(self, connection: object, now: float) -> None:
        """The rest is about to act."""

    def sent(self, event: m.ServerEvent) -> None:
        """An event is on its way to a client."""

    def drains(self, now: float) -> None:
        """No new utterance is taken from now on."""

    def end(self, reason: str) -> None:
        """The session has ended."""


MakeSession = Callable[[str, m.StartRequest, m.Granted, Emit], Awaitable[LiveSession]]
"""(session_id, request, granted, emit) -> session.

May raise `InvalidArgument` (-> 400, say for an unknown avatar), `NoCapacity` or `OutOfMemory` (-> 503). It may change
`granted` to what it really gives. `emit` belongs to the event loop's thread. A session with an attribute `tap` that is
not None has its wire told to that `Tap`; one with a `rtp_answer` that is not None has answered the request's `rtp`.
"""


class ProviderError(LipwireError):
    """A use case was refused: `status`, `error`, `code` and `message` as protocol.md A has them."""

    KINDS: ClassVar[dict[str, tuple[int, str]]] = {
        "VALIDATION_ERROR": (400, "Invalid request"),
        "INVALID_JSON": (400, "Invalid request"),
        "INVALID_API_KEY": (401, "Unauthorized"),
        "INVALID_TOKEN": (401, "Unauthorized"),
        "MISSING_TOKEN": (401, "Unauthorized"),
        "MISSING_API_KEY": (403, "Forbidden"),
        "NOT_ALLOWED": (403, "Forbidden"),
        "NO_MOTION": (403, "Forbidden"),
        "ORIGIN_NOT_ALLOWED": (403, "Forbidden"),
        "SESSION_NOT_FOUND": (404, "Not found"),
        "ENDPOINT_NOT_FOUND": (404, "Not found"),
        "CHANNEL_IN_USE": (409, "Conflict"),
        "PRECONDITION_FAILED": (412, "Precondition failed"),
        "BODY_TOO_LARGE": (413, "Payload too large"),
        "UNSUPPORTED_MEDIA_TYPE": (415, "Unsupported media type"),
        "HOST_NOT_ALLOWED": (421, "Misdirected request"),
        "PRECONDITION_REQUIRED": (428, "Precondition required"),
        "BUFFER_FULL": (429, "Too many requests"),
        "SESSION_LIMIT": (429, "Too many sessions"),
        "RATE_LIMITED": (429, "Too many requests"),
        "INTERNAL_ERROR": (500, "Internal error"),
        "CHANNEL_FAILED": (502, "Bad gateway"),
        "WORKER_LOST": (502, "Bad gateway"),
        "NO_CAPACITY": (503, "No capacity"),
    }

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status, self.error = self.KINDS[code]
        self.retry_after = retry_after

    def reply(self) -> m.ErrorReply:
        """The body."""
        return m.ErrorReply(error=self.error, message=str(self), code=self.code)


class ProviderSession:
    """One live session as the provider keeps it."""

    def __init__(
        self,
        session_id: str,
        request: m.StartRequest,
        owner: str,
        now: float,
        errors_total: Counter[str],
        grace: float = 0.3,
        egress: m.Egress | None = None,
    ) -> None:
        self.id = session_id
        self.request = request
        self.granted = m.grant(request, egress)
        self.owner = owner
        """The name of the owner of the API key that started it."""
        self.started = self.last_activity = now
        self.outbox: Outbox | None = None
        self.ended: EndReason | None = None
        self.closed = asyncio.Event()
        """It has ended, and has left its channel."""
        self.connections = 0
        self.messages = 0
        self.errors = 0
        self.events_dropped = 0
        self.rates: dict[int, int] = {}
        """Label of voice -> the rate that it really has, where that is to be corrected."""
        self._missed: deque[str] = deque(maxlen=MISSED)
        self.live: LiveSession | None = None
        self.gate = UtteranceGate(grace)
        self.tap: Tap | None = None
        self.rtp_answer: str | None = None
        """The SDP that the request's is answered with."""
        self.log = session_logger(session_id)
        self._errors_total = errors_total

    def emit(self, event: m.ServerEvent) -> None:
        """Sends an event to the connected WebSocket; without one it waits for the next `init`. Event loop's thread
        only."""
        self.send(event, self.outbox)

    def send(self, event: m.ServerEvent, outbox: Outbox | None, *, answer: bool = False) -> None:
        """Sends an event to one connection. `answer`: to a message of its client."""
        if isinstance(event, m.ErrorEvent):
            self.errors += 1
            self._errors_total[event.code] += 1
        if self.tap is not None:
            self.tap.sent(event)
        if outbox is None or (outbox.closing is not None and not answer):
            self._keep([m.encode(event)])
        else:
            outbox.put(m.encode(event), answer=answer)

    def _keep(self, frames: list[str]) -> None:
        """Events that nobody was there to hear."""
        for frame in frames:
            self.events_dropped += len(self._missed) == self._missed.maxlen
            self._missed.append(frame)

    def resume(self, outbox: Outbox) -> None:
        """A client is back: it hears what it missed."""
        while self._missed:
            outbox.put(self._missed.popleft())

    def leave(self, outbox: Outbox) -> None:
        """A connection is gone. What it was not sent is for the one that comes."""
        self.events_dropped += outbox.dropped
        untold = outbox.untold()
        if self.outbox is outbox:
            self.outbox = None
        if self.outbox is None:
            self._missed.extendleft(reversed(untold[: MISSED - len(self._missed)]))  # they are older
        else:
            for frame in untold:
                self.outbox.put(frame)


class _SessionLog(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        assert self.extra is not None
        kwargs["extra"] = {**self.extra, **(kwargs.get("extra") or {})}
        return f"[{self.extra['session_id']}] {msg}", kwargs


def session_logger(session_id: str) -> logging.LoggerAdapter[logging.Logger]:
    """A logger whose records carry `session_id` as an attribute and in their text."""
    return _SessionLog(logger, {"session_id": session_id})


class Provider:
    """All sessions of this process.

    Args:
        config: limits and secrets.
        make_session: see `MakeSession`.
        keys: the API keys and whose each is; by default the one of `config`.
        admission: refuses sessions while this machine does not keep up; somebody has to feed it (`Admission.observe`).
        clock: seconds, monotonic: idle times and arrival times.
        wall_clock: Unix seconds: token lifetimes.
    """

    def __init__(
        self,
        config: ProviderConfig,
        make_session: MakeSession,
        *,
        keys: KeyRing | None = None,
        admission: Admission | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.clock = clock
        self.draining = False
        self.started_total = 0
        self.ended_total: Counter[str] = Counter()
        self.messages_total: Counter[str] = Counter()
        self.errors_total: Counter[str] = Counter()
        self.authority = Authority(
            keys or KeyRing(config.api_key, clock=clock), config.session_secret, clock=clock, wall_clock=wall_clock
        )
        self.admission = admission or Admission()
        self._make_session = make_session
        self._sessions: dict[str, ProviderSession] = {}
        self._by_channel: dict[tuple[str, str, str], ProviderSession] = {}
        self._locks: weakref.WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self._starting: list[_Place] = []
        """Of the sessions that are being made."""
        self.on_session: Callable[[ProviderSession, EndReason | None], None] = lambda session, ended: None
        """Hears that a session has started (None), and that it has ended and left its channel. It must not raise."""
        self.also_drawn: Callable[[], list[tuple[str, int]]] = list
        """Owners and pixel rates of what this machine draws besides sessions, out of the same quotas: agents."""
        self._opening: dict[str, ProviderSession] = {}
        self._past: Counter[str] = Counter()
        self._ending: dict[ProviderSession, asyncio.Task[None]] = {}
        """Those that have ended, until they have left their channels."""

    # ------------------------------------------------------------------------------------------------ who is asking

    def check_api_key(self, key: bytes | str | None) -> Owner:
        """The owner that an `x-api-key` header stands for; it counts as a request of theirs.

        Raises:
            ProviderError: MISSING_API_KEY (None), INVALID_API_KEY or RATE_LIMITED.
        """
        try:
            return self.authority.owner_of(key)
        except Refused as exc:
            raise refusal(exc) from None

    def wrong_token(self, token: str) -> None:
        """A token of Agora's was wrong. Raises ProviderError: RATE_LIMITED, as wrong tokens of ours do."""
        try:
            self.authority.wrong_token(token)
        except Refused as exc:
            raise refusal(exc) from None

    def check_access(self, token: str, *, allow_expired: bool = False) -> Access:
        """What a token stands for. Raises ProviderError: INVALID_TOKEN (malformed, forged, expired)."""
        try:
            return self.authority.access(token, allow_expired=allow_expired)
        except Refused as exc:
            raise refusal(exc) from None

    def check_token(self, token: str, *, allow_expired: bool = False) -> ProviderSession:
        """The live session that a session token speaks through.

        Raises:
            ProviderError: INVALID_TOKEN (malformed, forged, expired, or with another role) or SESSION_NOT_FOUND (it has
            ended).
        """
        access = self.check_access(token, allow_expired=allow_expired)
        if access.role != "speak":
            raise ProviderError("INVALID_TOKEN", f"a token with the role {access.role} is no session token")
        return self.get(access.id)

    # ------------------------------------------------------------------------------------------------- start, stop

    @property
    def sessions(self) -> list[ProviderSession]:
        """The live sessions, oldest first."""
        return list(self._sessions.values())

    def get(self, session_id: str, owner: Owner | None = None) -> ProviderSession:
        """A live session; with an `owner` one of theirs. Another's is not there, so that nobody learns of it.

        Raises:
            ProviderError: SESSION_NOT_FOUND.
        """
        session = self._sessions.get(session_id)
        if session is None or (owner is not None and session.owner != owner.name):
            raise ProviderError("SESSION_NOT_FOUND", "Session not found or already terminated")
        return session

    def owner_of(self, session_id: str) -> str | None:
        """The name of the owner of a session that lives, or is being made; None = there is no such session."""
        session = self._sessions.get(session_id) or self._opening.get(session_id)
        return None if session is None else session.owner

    async def start(self, request: m.StartRequest, owner: Owner) -> m.StartReply:
        """Opens a session for `owner` (from `check_api_key`).

        A live session of the same owner for the same app id, channel and uid is closed first: a client that gave up
        on a session opens a new one without stopping the old.

        Raises:
            ProviderError: CHANNEL_IN_USE (another owner's), SESSION_LIMIT, NO_CAPACITY, VALIDATION_ERROR.
        """
        key = _channel(request)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            old = self._by_channel.get(key)
            live = old is not None and old.ended is None
            if old is not None and live and old.owner != owner.name:
                raise ProviderError("CHANNEL_IN_USE", "Another session is live with this app_id, channel and uid")
            self.check_not_draining()
            place = _Place(owner.name, pixel_rate(m.grant(request, self.config.egress)), old)
            self._check_space(place, owner)
            if not live:
                self._check_load()
            if old is not None:  # until it has left, the larger of the two counts
                place = place._replace(rate=max(place.rate, pixel_rate(old.granted)))
            self._starting.append(place)
            try:
                if old is not None:
                    await self.end(old, "replaced")
                session = await self._open(request, owner)
            finally:
                self._starting.remove(place)
            if self.draining:  # close() came while the session was being made
                await self._close_live(session)
                self.check_not_draining()
            self._sessions[session.id] = session
            self._by_channel[key] = session
        self.started_total += 1
        session.log.info("session started: channel %r uid %r, %s", key[1], key[2], session.granted)
        self.on_session(session, None)
        additions = any(getattr(request, name) is not None for name in m.ADDITIONS)
        additions |= session.granted.video_encoding != request.video_encoding  # a wish that is not met is told
        return m.StartReply(
            session_id=session.id,
            websocket_address=self.config.public_ws_url,
            session_token=self.session_token(session),
            granted=session.granted if additions else msgspec.UNSET,
            rtp=msgspec.UNSET if session.rtp_answer is None else m.RtpReply(sdp=session.rtp_answer),
        )

    def session_token(self, session: ProviderSession, ttl: float | None = None) -> str:
        """A new token to speak through a session with; the older ones stay good until they expire."""
        return self.authority.issue("session", session.id, "speak", ttl=self.config.token_ttl if ttl is None else ttl)

    def check_not_draining(self) -> None:
        """Raises ProviderError: NO_CAPACITY, once this server is to end: nothing new begins."""
        if self.draining:
            raise ProviderError("NO_CAPACITY", "The server is shutting down", retry_after=self.config.retry_after)

    def _check_space(self, place: _Place, owner: Owner) -> None:
        """Whether one more fits into the server's limits and its owner's, beside all that there are: those that are
        being made, and those that have ended but have not left their channels yet. Raises ProviderError."""
        there = self._there(place)
        theirs = [one for one in there if one.owner == owner.name]
        text = (
            _too_many("The", self.config.max_sessions, there)
            or _too_many("This key's", owner.quota.sessions, theirs)
            or self._excess_pixels(owner, place.rate, there)
        )
        if text:
            raise ProviderError("SESSION_LIMIT", text, retry_after=self.config.retry_after)

    def _check_load(self) -> None:
        """Whether this machine keeps up. Raises ProviderError."""
        try:
            self.admission.check(self.clock())
        except NoCapacity as exc:
            raise ProviderError("NO_CAPACITY", str(exc), retry_after=exc.retry_after) from None

    def _there(self, place: _Place | None = None) -> list[_Place]:
        """The sessions that are there, being made or on their way out, but for those that others wait to replace."""
        gone = {None if place is None else place.instead_of, *(one.instead_of for one in self._starting)}
        there = [_Place(s.owner, pixel_rate(s.granted)) for s in (*self.sessions, *self._ending) if s not in gone]
        return there + self._starting

    def excess_pixels(self, owner: Owner, wanted: int) -> str:
        """Which limit `wanted` more pixels a second of an owner's, for what is no session, would exceed; "" = none."""
        return self._excess_pixels(owner, wanted, self._there())

    def _excess_pixels(self, owner: Owner, wanted: int, there: list[_Place]) -> str:
        drawn = [(one.owner, one.rate) for one in there] + self.also_drawn()
        ours = sum(rate for _, rate in drawn)
        theirs = sum(rate for name, rate in drawn if name == owner.name)
        most = self.config.max_pixel_rate or None
        for whose, limit, used in (("The", most, ours), ("This key's", owner.quota.pixel_rate, theirs)):
            if wanted and limit is not None and used + wanted > limit:
                return f"{whose} limit of {limit} pixels a second is reached: this would add {wanted}"
        return ""

    async def _open(self, request: m.StartRequest, owner: Owner) -> ProviderSession:
        c = self.config
        now, id = self.clock(), str(uuid.uuid4())
        session = ProviderSession(id, request, owner.name, now, self.errors_total, c.voice_end_grace, c.egress)
        self._opening[session.id] = session
        try:
            session.live = await self._make_session(session.id, request, session.granted, session.emit)
            session.tap = getattr(session.live, "tap", None)
            session.rtp_answer = getattr(session.live, "rtp_answer", None)
        except (NoCapacity, OutOfMemory) as exc:
            wait = exc.retry_after if isinstance(exc, NoCapacity) else self.config.retry_after
            raise ProviderError("NO_CAPACITY", str(exc), retry_after=wait) from exc
        except LipwireError as exc:
            if exc.code not in ("VALIDATION_ERROR", "CHANNEL_FAILED"):
                raise
            raise ProviderError(exc.code, str(exc)) from exc
        finally:
            del self._opening[session.id]
        return session

    async def stop(
        self, request: m.StopRequest, *, bearer: ProviderSession | None = None, owner: Owner | None = None
    ) -> m.StopReply:
        """Ends a session. `owner` is whose API key asks, `bearer` the session of the token that stood in for one.

        With an API key either id or token is enough. What does not fit together is not found, so that nobody learns
        of another's session.

        Raises:
            ProviderError: VALIDATION_ERROR (neither was given) or SESSION_NOT_FOUND.
        """
        session = bearer
        if request.session_token is not None:
            try:
                named = self.check_token(request.session_token, allow_expired=True)
            except ProviderError:
                named = None
            if named is None or session not in (None, named) or (owner is not None and named.owner != owner.name):
                raise ProviderError("SESSION_NOT_FOUND", "Session not found or already terminated")
            session = named
        if request.session_id is not None:
            if session is not None and request.session_id != session.id:
                raise ProviderError("SESSION_NOT_FOUND", "Session not found or already terminated")
            session = self.get(request.session_id, owner)
        if session is None:
            raise ProviderError("VALIDATION_ERROR", m.missing_message(["session_id"]))
        await self.end(session, "stopped")
        return m.StopReply()

    async def end(self, session: ProviderSession, reason: EndReason) -> None:
        """Ends a session, whatever it is doing, and waits until it has left its channel.

        Speech breaks off, and its `playback_finished` says how far it came. Then its WebSocket closes (1011 for
        `failed`, 1012 for `shutdown`, else 1000), and its token is not found from now on. The first reason counts.
        Where the caller is cancelled meanwhile, the session ends all the same.
        """
        if session.ended is not None:
            await session.closed.wait()
            return
        session.ended = reason
        self._sessions.pop(session.id, None)
        self.ended_total[reason] += 1
        self._ending[session] = ending = asyncio.create_task(self._end(session, reason))
        await asyncio.shield(ending)

    async def _end(self, session: ProviderSession, reason: EndReason) -> None:
        if reason != "failed":
            await self._hush(session)
        if session.tap is not None:
            session.tap.end(reason)
        if session.outbox is not None:
            code = {"failed": CLOSE_FAULT, "shutdown": CLOSE_DRAIN}.get(reason, CLOSE_NORMAL)
            session.outbox.close(code, f"session ended: {reason}")
        session.log.info("session ended: %s after %.1f s", reason, self.clock() - session.started)
        await self._close_live(session)
        self.on_session(session, reason)

    async def _hush(self, session: ProviderSession) -> None:
        """What is said breaks off, and the client hears how far it came before its WebSocket closes."""
        live = session.live
        assert live is not None
        silent = asyncio.ensure_future(live.finished())
        try:
            if not (await asyncio.wait({silent}, timeout=0))[0]:
                live.interrupt(None)
                await asyncio.wait({silent}, timeout=HUSH)
            if silent.done():
                silent.result()
        except Exception:  # the edge: it ends all the same
            session.log.exception("falling silent failed")
        finally:
            silent.cancel()

    async def _close_live(self, session: ProviderSession) -> None:
        live = session.live
        assert live is not None
        try:
            self._past.update(_counters(session, live.stats()))
            await close_within(self.config.close_timeout, live.close, "the session", session.log)
        except Exception:  # one session's fault must not keep the others from ending
            session.log.exception("closing the session failed")
        finally:
            key = _channel(session.request)
            if self._by_channel.get(key) is session:
                del self._by_channel[key]
            self._ending.pop(session, None)
            session.closed.set()

    async def sweep(self, now: float) -> list[str]:
        """Ends the sessions whose `activity_idle_timeout` is over at `now` (of `clock`), and those whose owner has no
        key any more, which nobody could stop; their ids.

        Activity is any message, a WebSocket that comes or goes, speech that still plays, and sound that comes by RTP.
        """
        over: dict[ProviderSession, EndReason] = {}
        owners = self.authority.keys.owners
        for session in self.sessions:
            timeout = session.request.activity_idle_timeout
            if session.owner not in owners:
                over[session] = "stopped"
            elif timeout == 0 or now - session.last_activity < timeout:
                continue
            elif (stats := _stats(session)).get("talking") or stats.get("receiving"):
                session.last_activity = now
            else:
                over[session] = "idle"
        await asyncio.gather(*(self.end(session, reason) for session, reason in over.items()))
        return [session.id for session in over]

    async def sweep_forever(self, interval: float = 1.0) -> None:
        """Runs `sweep` every `interval` seconds until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.sweep(self.clock())
            except Exception:  # the edge of a task
                logger.exception("sweeping sessions failed")

    async def drain(self, seconds: float) -> None:
        """Ends each session as soon as it says nothing any more: one that is silent now, at once. One that still speaks
        after `seconds` breaks off. Their WebSockets close with 1012, after the last `playback_finished`. New starts and
        connections are refused from now on, and so are new utterances, with an `error` SHUTTING_DOWN.

        Cancelled, it leaves those that speak to `close`.
        """
        self.draining = True
        for session in self.sessions:
            if session.tap is not None:
                session.tap.drains(self.clock())
        await asyncio.gather(*(self._drain(session, seconds) for session in self.sessions))

    async def _drain(self, session: ProviderSession, seconds: float) -> None:
        assert session.live is not None
        try:
            async with asyncio.timeout(seconds):
                await session.live.finished()
        except TimeoutError:
            session.log.info("it was still speaking %g s after it was asked to end", seconds)
        except Exception:  # the edge: it ends all the same
            session.log.exception("waiting for the end of its speech failed")
        await self.end(session, "shutdown")

    async def close(self) -> None:
        """Ends every session; their WebSockets close with 1012. New starts are refused from now on."""
        self.draining = True
        await asyncio.gather(*(self.end(session, "shutdown") for session in self.sessions))
        if self._ending:  # whose callers were cancelled, or wait elsewhere
            await asyncio.wait(self._ending.values())

    # -------------------------------------------------------------------------------------------------- a connection

    def attach(self, session: ProviderSession) -> tuple[Ingest, Outbox]:
        """A WebSocket has come for this session. One that was there is read out and closed with 1000; who reads the new
        one waits for that (`Outbox.first`).

        1000, because the ones it replaces are half-dead ones of the same client, or a second client: any code that
        means "try again" would let the two replace each other for ever.

        Raises:
            ProviderError: SESSION_NOT_FOUND, if the session ended after the handshake.
        """
        if session.ended is not None:
            raise ProviderError("SESSION_NOT_FOUND", "Session not found or already terminated")
        before, session.outbox = session.outbox, Outbox(self.config.event_queue, session.outbox)
        if before is not None:
            before.supersede()
            session.log.info("a newer connection replaces the old one")
        session.connections += 1
        session.last_activity = self.clock()
        if session.tap is not None:
            session.tap.connected(session.outbox, session.last_activity)
        ingest = Ingest(
            session.id,
            session.granted,
            guard_window=self.config.guard_window,
            check_rate=self.config.check_rate,
            rates=session.rates if self.config.correct_rate else None,
        )
        return ingest, session.outbox

    def detach(self, session: ProviderSession, outbox: Outbox) -> None:
        """A WebSocket has gone. The session goes on, without one or with the one that replaced it."""
        if session.tap is not None:
            session.tap.disconnected(outbox, self.clock())
        if session.outbox is outbox:
            session.last_activity = self.clock()
        session.leave(outbox)

    def receive(self, session: ProviderSession, ingest: Ingest, outbox: Outbox, message: str | bytes) -> None:
        """One WebSocket frame: through `ingest` into the session, answers into `outbox`."""
        for _ in self.steps(session, ingest, outbox, message):
            pass

    def steps(
        self, session: ProviderSession, ingest: Ingest, outbox: Outbox, message: str | bytes
    ) -> Iterator[Literal[True]]:
        """`receive`, in steps that take a few milliseconds at most, whatever a client sends. Each True says that there
        is more to do; it may be left undone."""
        if session.ended is not None:
            return
        now = self.clock()
        session.last_activity = now
        session.messages += 1
        if session.tap is not None:
            session.tap.receives(outbox, message, now)
        events = ingest.receive(message, now)
        for answer in ingest.take():
            session.send(answer, outbox, answer=not isinstance(answer, m.InitAck | m.RateMismatch))
        for event in events:
            if isinstance(event, m.Voice) and len(event.payload) > PIECE and event.encoding != "OPUS":
                yield from self._long_voice(session, event, outbox, now, events)
            else:
                self.messages_total[_COMMAND[type(event)]] += 1
                self._do(session, event, outbox, now)
        if session.tap is not None:
            session.tap.received(events)

    def _long_voice(
        self, session: ProviderSession, voice: m.Voice, outbox: Outbox, now: float, events: list[Event]
    ) -> Iterator[Literal[True]]:
        """Many seconds of speech in one message: all of it or nothing, as with a short one, but a piece at a time. An
        interrupt that comes in between, from elsewhere, ends it."""
        live = session.live
        assert live is not None
        generation = live.generation
        sample_bytes = 2 if voice.encoding == "PCM16" else 1
        seconds = len(voice.payload) / sample_bytes / voice.sample_rate
        self.messages_total["voice"] += 1
        try:
            live.check_room(seconds)
        except BufferFull as full:
            session.send(m.ErrorEvent(full.code, str(full), voice.event_id), outbox, answer=True)
            return
        payload = memoryview(voice.payload)
        for at in range(0, len(payload), PIECE):
            if at:
                if session.tap is not None:
                    session.tap.pauses(events)
                yield True
                now = self.clock()
                if session.tap is not None:
                    session.tap.resumes(outbox, now)
            if session.ended is not None or live.generation != generation:
                return
            piece = m.Voice(bytes(payload[at : at + PIECE]), voice.sample_rate, voice.encoding, voice.event_id)
            if not self._do(session, piece, outbox, now):
                return

    def _do(self, session: ProviderSession, event: Event, outbox: Outbox, now: float) -> bool:
        """Does what `event`, which came at `now`, says; whether it could. A `LipwireError` of the session becomes an
        `error` event. Nothing here looks at the clock: a replay has the times of messages alone."""
        live = session.live
        assert live is not None
        try:
            if isinstance(event, m.Voice):
                session.gate.voice(event.event_id, now, closing=self.draining)
                live.voice(event.payload, event.encoding, event.sample_rate, event.event_id)
            elif isinstance(event, m.VoiceEnd):
                session.gate.voice_end(event.event_id, now)
                live.voice_end(event.event_id)
            elif isinstance(event, m.Interrupt):
                session.gate.interrupt(now)
                live.interrupt(event.event_id)
            elif isinstance(event, m.Special):
                live.special(event.content, event.event_id)
            elif isinstance(event, Close):
                outbox.close(event.code, event.reason)
            elif isinstance(event, Init):
                session.log.info("init%s", " again" if event.again or session.connections > 1 else "")
                session.resume(outbox)
        except LipwireError as exc:
            session.send(m.ErrorEvent(exc.code, str(exc), getattr(event, "event_id", None)), outbox, answer=True)
            return False
        return True

    # ----------------------------------------------------------------------------------------------------- figures

    def describe(self, session: ProviderSession) -> dict[str, Any]:
        """Live figures of one session, JSON-able; no token and no key. Times in seconds."""
        now = self.clock()
        agora = session.request.agora_settings
        return {
            "session_id": session.id,
            "avatar_id": session.request.avatar_id,
            "channel": agora.channel,
            "uid": agora.uid,
            "granted": session.granted,
            "age": round(now - session.started, 3),
            "idle": round(now - session.last_activity, 3),
            "idle_timeout": session.request.activity_idle_timeout,
            "connected": session.outbox is not None,
            "connections": session.connections,
            "messages": session.messages,
            "errors": session.errors,
            "events_dropped": session.events_dropped,
            "stats": _stats(session),
        }

    def totals(self) -> dict[str, int]:
        """Sums over all sessions, past and present: `frames`, `late`, `underruns`, `events_dropped`, and of their
        channels `restarts`, `lost` and `late` as `channel_...`; and how many are `talking` now."""
        sums: Counter[str] = Counter(self._past)
        for session in self.sessions:
            stats = _stats(session)
            sums.update(_counters(session, stats))
            sums["talking"] += bool(stats.get("talking"))
        return {name: sums[name] for name in (*_SUMMED, *_CHANNEL_SUMMED, "events_dropped", "talking")}

    def channels(self) -> list[dict[str, Any]]:
        """Figures of the channels that live sessions publish into (`Channel.stats`)."""
        found = (_stats(session).get("channel") for session in self.sessions)
        return [channel for channel in found if channel is not None]


_SUMMED = ("frames", "late", "underruns")
_CHANNEL_SUMMED = ("channel_restarts", "channel_lost", "channel_late")
_COMMAND = {
    Init: "init",
    m.Voice: "voice",
    m.VoiceEnd: "voice_end",
    m.Interrupt: "voice_interrupt",
    m.Special: "special",
    Close: "close",
}


def _channel(request: m.StartRequest) -> tuple[str, str, str]:
    agora = request.agora_settings
    return agora.app_id, agora.channel, agora.uid


def pixel_rate(granted: m.Granted) -> int:
    """Width x height x frames a second, rounded up; none where no picture is made."""
    if granted.egress == "motion":
        return 0
    return math.ceil(granted.width * granted.height * granted.fps)


class _Place(NamedTuple):
    """What one session takes of the limits."""

    owner: str
    rate: int
    """Pixels a second."""
    instead_of: ProviderSession | None = None
    """Whose end it waits for, so that the two are one."""


def _too_many(whose: str, limit: int | None, there: list[_Place]) -> str:
    """Says that one more session than those that are there would be too many; "" = it would not."""
    return f"{whose} limit of {limit} sessions is reached" if limit is not None and len(there) >= limit else ""


def refusal(exc: Refused) -> ProviderError:
    """A refusal of the authority, in the words of protocol.md A."""
    return ProviderError(exc.code, str(exc), retry_after=exc.retry_after)


def _stats(session: ProviderSession) -> dict[str, Any]:
    return {} if session.live is None else session.live.stats()


def _counters(session: ProviderSession, stats: dict[str, Any]) -> dict[str, int]:
    channel = stats.get("channel") or {}
    return {
        **{name: int(stats.get(name, 0)) for name in _SUMMED},
        **{name: int(channel.get(name.removeprefix("channel_"), 0)) for name in _CHANNEL_SUMMED},
        "events_dropped": session.events_dropped,
    }
