"""Into an Agora channel, through Agora's Python SDK in a process of its own (agora_worker).

    channel = lipwire.channel.Agora(AgoraOptions(app_id=..., token=..., channel="room", uid="1"))
    async with lipwire.Session(channel) as session:
        ...

`Agora` is a Publisher and a Channel. Its worker is started on demand, one for each app id, kind of uid and area, and
shared; a worker that dies or hangs is started again, joins its channels again, and goes on with the sound that had not
been sent. docs/agora.md says what was verified.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import shutil
import string
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from ..._core import Frame, SharedWriter
from ...errors import BadState, BufferFull, InvalidArgument, LipwireError
from ...motion.sets import DEFAULT_SETS, check_sets
from ...process.spawn import Module
from ...process.supervisor import Child, Ended, Limits, Supervisor
from ...protocol.messages import Area, Egress, Quality, VideoEncoding, bit_rate
from ...protocol.transcript import PACKET, chunks
from ...publish.motion import Carrier, Motion, MotionFigures
from ...publish.motion_video import SIZE as BLACK
from ...stream import Cue, StreamSpec, Unit, Wants
from ..base import Channel, ChannelEvent, Connection, Network, State, TokenExpiring, Trouble
from . import data as data_stream
from . import wire
from .feed import FeedWriter
from .motion import MotionPackets, MotionUnits

logger = logging.getLogger("lipwire.agora")

JOIN_TIMEOUT = 10.0
"""Seconds that `open` waits for the channel."""
LEAVE_TIMEOUT = 3.0
PING_EVERY, PING_LOST = 1.0, 5.0
"""Seconds; a worker that has not answered for the second is killed."""
START = 30.0
"""Seconds until the first answer of a worker: the SDK may be loading its library."""
BACKOFF = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a worker is started again, by deaths in a row."""
STABLE = 10.0
"""Seconds after which a death is the first one again."""
RETRY = (1.0, 2.0, 5.0, 10.0)
"""Seconds before a channel that was lost for good, as the SDK sees it, is joined again, by failures in a row."""
FINAL = {
    "banned by the server",
    "rejected by the server",
    "the same uid joined elsewhere",
    "invalid app id",
    "invalid channel name",
}
"""Reasons after which it is not: the service meant it."""
NEEDS_TOKEN = {"invalid token", "token expired"}
"""Reasons after which it is, if there is a certificate to make a token with."""
HELD = 64 * 1024
"""Bytes of data messages that wait for a new worker."""
AI_SERVER = 9


class AgoraOptions(Struct, kw_only=True):
    """Where and how to publish."""

    app_id: str
    token: str
    channel: str
    uid: str
    """Decimal, "0" = any; a name where `string_uid`."""
    string_uid: bool = False
    certificate: str | None = None
    """The app certificate, with which tokens are made anew before they expire; else `TokenExpiring` is an event."""
    quality: Quality = "medium"
    video_encoding: VideoEncoding = "H264"
    rtc_codec: wire.RtcCodec | None = None
    """None: PCM, which the SDK encodes. 0 PCMU, 8 PCMA, 9 G.722, 120 Opus (wide-band), 122 Opus (full-band): encoded
    here."""
    audio_scenario: int = AI_SERVER
    """The SDK's AUDIO_SCENARIO_TYPE; 0 default, 3 game streaming, 9 AI server."""
    receive: bool = False
    """Whether `subscribe` is going to be used."""
    seen_every: float = 1.0
    """Seconds between the pictures of one user that are handed over; 0 = every picture."""
    video: bool = True
    egress: Egress = "video"
    """What of a face is published: its pictures, its motion, or both; motion in the sets `motion_sets` (docs/motion.md)
    in data messages, or as user data of a video of black pictures ("sei"), which takes the place of the pictures."""
    motion_carrier: Carrier = "data"
    motion_sets: tuple[str, ...] = DEFAULT_SETS
    encryption: wire.Encryption | None = None
    """Of sound and pictures; data messages are not encrypted by it, as Agora's clients do not expect it by default."""
    area: Area | None = None
    """Where Agora's servers are; None = anywhere. Sessions of one area share a worker."""


def agora_token(
    app_id: str,
    certificate: str,
    channel: str | None = None,
    uid: int | str = 0,
    *,
    expire: int = 3600,
    publish: bool = True,
    rtm_user_id: str | None = None,
) -> str:
    """An AccessToken2 ("007"), valid from now on: to join `channel` as `uid` (0 = any), to log in to RTM, or both.

    Args:
        app_id, certificate: 32 hexadecimal digits each.
        expire: lifetime in seconds, 1..86400.
        publish: whether it allows to publish, or only to subscribe.
        rtm_user_id: the RTM user; None = no RTM.

    Raises:
        InvalidArgument: neither channel nor RTM user, or see `protocol.tokens.AccessToken.build`.
    """
    from ...protocol.tokens import build_rtc_token, build_rtm_token  # needs PyJWT, which is an extra

    now, salt = int(time.time()), secrets.randbelow(99_999_999) + 1
    if channel is not None:
        return build_rtc_token(
            app_id,
            certificate,
            channel,
            uid,
            issue_ts=now,
            salt=salt,
            expire=expire,
            publish=publish,
            rtm_user_id=rtm_user_id,
        )
    if rtm_user_id is None:
        raise InvalidArgument("a token is for a channel, for an RTM user, or for both")
    return build_rtm_token(app_id, certificate, rtm_user_id, issue_ts=now, salt=salt, expire=expire)


OLD_TOKEN = "006"
"""What a token of the format before AccessToken2 begins with."""


def _heed(token: str) -> None:
    """An old token is passed on: whether it is still good is the service's to say."""
    if token.startswith(OLD_TOKEN):
        _warn_of_old_tokens()


@cache
def _warn_of_old_tokens() -> None:
    logger.warning(
        "a token begins with %s: it is an AccessToken, the format before AccessToken2 (007). It is passed on as it is, "
        "but nothing here can read or renew it, and Agora may refuse it: use one that begins with 007 "
        "(`lipwire token CHANNEL` makes one, and so does RtcTokenBuilder2 of Agora's token libraries)",
        OLD_TOKEN,
    )


class AgoraError(LipwireError, RuntimeError):
    """The channel cannot be joined."""

    code = "CHANNEL_FAILED"


def is_app_id(text: str) -> bool:
    """Whether it looks like one: 32 hexadecimal digits."""
    return len(text) == 32 and set(text.lower()) <= set(string.hexdigits)


class Agora(Channel):
    """One member of a channel. Every method belongs to the event loop's thread.

    Args:
        options: where and how.
        on_event: gets each ChannelEvent (channel.py).
        workers: the processes to use; by default those of this module.
        motion_figures: of all motion, of which this is a part.
    """

    packet_size = PACKET

    _numbers = itertools.count(1)

    def __init__(
        self,
        options: AgoraOptions,
        on_event: Callable[[ChannelEvent], None] | None = None,
        *,
        workers: Workers | None = None,
        motion_figures: MotionFigures | None = None,
    ) -> None:
        if not is_app_id(options.app_id):
            raise InvalidArgument("app_id must be 32 hexadecimal digits")
        if not options.string_uid and not (options.uid.isdecimal() and int(options.uid) < 2**32):
            raise InvalidArgument(f"uid {options.uid!r} is no number below 2**32; string_uid allows names")
        if options.encryption is not None:
            wire.check_encryption(options.encryption)
        if options.egress == "both" and options.motion_carrier == "sei":
            raise InvalidArgument("motion in SEI comes in a video of its own: egress must be motion, not both")
        self.options = options
        self.motion_figures = MotionFigures(motion_figures)
        self._motion: Motion | None = None
        self._units: MotionUnits | None = None
        self.on_event = on_event
        self.number = next(self._numbers)
        self.state: State = "disconnected"
        self.network = Network()
        self.restarts = 0
        self.longest_gap = 0.0
        """Seconds from a worker's death to being in the channel again."""
        self.feed: FeedWriter | None = None
        self._token = options.token
        _heed(options.token)
        self._workers = workers or default_workers
        self._worker: Worker | None = None
        self._spec: StreamSpec | None = None
        self._subscriptions: dict[str | None, tuple[bool, bool]] = {}
        self._held: list[bytes] = []
        self._joined = asyncio.Event()
        self._left = asyncio.Event()
        self._reason = ""
        self._out_since: float | None = None
        """Since when it is out of the channel, if it was in it."""
        self._failures = 0

    # -------------------------------------------------------------------------------------------------------- life

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        """Where it publishes H.264: then they are sent as they are, and the SDK encodes nothing."""
        return self._pictures and self.options.video_encoding == "H264"

    @property
    def _pictures(self) -> bool:
        """Whether the face's own are published."""
        return self.options.video and self.options.egress != "motion"

    @property
    def _black(self) -> bool:
        """Whether it publishes black ones, with motion in them."""
        return self.options.egress == "motion" and self.options.motion_carrier == "sei"

    @property
    def wants(self) -> Wants:
        """Units, where the session has some when it opens: the SDK's connection is for encoded video or for
        pictures."""
        if not self._pictures:
            return "nothing"
        return "units" if self._encoded else "pictures"

    @property
    def _encoded(self) -> bool:
        return self.takes_units and self._spec is not None and self._spec.preencoded

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter:
        """The feed's ring, so that pictures are drawn where the worker reads them."""
        if self.feed is not None:
            raise BadState("one session, one channel")
        self._spec = spec
        self.feed = FeedWriter(spec, slots)
        return self.feed.ring

    async def open(self, spec: StreamSpec) -> None:
        """Joins the channel.

        Raises:
            AgoraError: the service refuses, or does not answer within JOIN_TIMEOUT.
        """
        if self._worker is not None:
            raise BadState("the channel is open")
        if self.feed is None:  # nobody draws in it: pictures are copied
            self.memory(spec, 1)
        self._spec = spec
        self._motion = self._make_motion(spec)
        self._worker = self._workers.attach(self)
        try:
            async with asyncio.timeout(START if self._worker.starting else JOIN_TIMEOUT):
                await self._joined.wait()
        except TimeoutError:
            self._reason = self._reason or "no answer"
        except BaseException:
            await self.close()
            raise
        if self.state != "connected":
            reason = self._reason
            await self.close()
            raise AgoraError(f"cannot join channel {self.options.channel!r}: {reason}")

    def _make_motion(self, spec: StreamSpec) -> Motion | None:
        o = self.options
        if o.egress == "video":
            return None
        motion, sets = Motion(self.motion_figures), check_sets(o.motion_sets)
        motion.begin(spec.fps, face=spec.avatar)
        if self._black:
            self._units = MotionUnits(self.number, sets, spec.fps, self._tell_motion)
            motion.add(self._units)
        else:
            motion.add(MotionPackets(self.number, sets, spec.fps, self._tell_motion))
        return motion

    def _tell_motion(self, command: wire.Command) -> bool:
        """Hands it to the worker. True: there is none."""
        if self._worker is None or self._out_since is not None:
            return True
        self._worker.tell(command)
        return False

    def join_command(self) -> wire.Join:
        """What the worker is told, at first and after each restart."""
        assert self._spec is not None
        o, s = self.options, self._spec
        width, height = BLACK if self._black else (s.width, s.height)
        return wire.Join(
            session=self.number,
            token=self._token,
            channel=o.channel,
            uid=o.uid,
            width=width,
            height=height,
            fps=float(s.fps),
            video=self._black or (self._pictures and s.width > 0),
            codec=o.video_encoding,
            kbps=bit_rate(o.quality, width, height, float(s.fps)) // 1000,
            rtc_codec=o.rtc_codec,
            audio_scenario=o.audio_scenario,
            receive=o.receive,
            seen_every=o.seen_every,
            encoded=self._encoded or self._black,
            matrix=s.matrix,
            encryption=o.encryption,
        )

    async def close(self) -> None:
        """Leaves the channel. Safe to call twice."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.tell(wire.Leave(self.number))
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._left.wait()
        except TimeoutError:
            logger.warning("[%s] the worker did not answer to leaving %r", self.number, self.options.channel)
        await self._workers.detach(self)
        if self.feed is not None:
            self.feed.close()
        self._set("disconnected", "left")

    # ------------------------------------------------------------------------------------------------------- media

    def audio(self, pcm: bytes, sample: int) -> None:
        """10 ms, into the feed."""
        if self._worker is not None and self.feed is not None:
            self.feed.sound(pcm, sample)

    def video(self, frame: Frame) -> None:
        """A picture, into the feed."""
        if self._worker is not None and self.feed is not None and self._pictures:
            self.feed.picture(frame)

    @property
    def takes_motion(self) -> bool:
        """Whether it publishes motion."""
        return self._motion is not None and self._motion.takes

    def motion(self, frame: Frame) -> None:
        """A frame's pose, to the worker."""
        if self._motion is not None:
            self._motion.frame(frame)

    def cue(self, cue: Cue) -> None:
        """What happened, in the motion."""
        if self._motion is not None:
            self._motion.cue(cue)

    def unit(self, unit: Unit) -> None:
        """A picture as encoded video, to the worker; one that is being started again misses some, and then asks for a
        key."""
        if self._worker is not None and self._encoded:
            self._tell(wire.Unit(self.number, unit.sample, unit.data, unit.key))

    def interrupt(self) -> None:
        """Drops what the worker has not sent. Where it keeps up that is a block, or none; after a stall, or while the
        channel is out of reach, more. What is heard fades out within 5 ms."""
        if self._worker is not None and self.feed is not None and self.feed.waiting:
            self.feed.drop(fade=self.state == "connected")
        if self._motion is not None:
            self._motion.interrupt()

    # ---------------------------------------------------------------------------------------------------- messages

    def send(self, data: bytes) -> None:
        """One data-stream packet, 1..1024 bytes without NUL, paced within the service's caps. While there is no worker
        it waits for the next one.

        Raises:
            InvalidArgument: it does not fit a packet. BufferFull: too much waits for a worker.
        """
        data = data_stream.check(data)
        if self._worker is not None and self._out_since is not None:
            if sum(map(len, self._held)) + len(data) > HELD:
                raise BufferFull("the worker is being started again, and enough data messages wait for it")
            self._held.append(data)
        else:
            self._tell(wire.Send(self.number, data))

    def send_message(self, message_id: str, payload: bytes) -> None:
        """A message of any size and content, as packets `message_id|index|total|base64` (protocol.md E)."""
        for packet in chunks(message_id, payload):
            self.send(packet)

    def send_note(self, data: bytes) -> None:
        """Metadata that travels with the sound, such as the presentation times that captions need; one packet."""
        self._tell(wire.Note(self.number, data_stream.check(data)))

    def renew(self, token: str) -> None:
        """A new token, now and for rejoining."""
        _heed(token)
        self._token = token
        self._tell(wire.Renew(self.number, token))

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        """A user's sound and pictures; None = everyone's. Needs `receive`."""
        if not self.options.receive:
            raise BadState("subscribing needs AgoraOptions.receive")
        self._subscriptions[user] = (audio, video)
        self._tell(wire.Subscribe(self.number, user, audio, video))

    def unsubscribe(self, user: str | None = None) -> None:
        """Ends it."""
        if self._subscriptions.pop(user, None) is not None:
            self._tell(wire.Subscribe(self.number, user, False, False))

    def _tell(self, command: wire.Command) -> None:
        if self._worker is None:
            raise BadState("the channel is not open")
        self._worker.tell(command)

    # ------------------------------------------------------------------------------------------ what the worker says

    def rejoin(self, worker: Worker) -> None:
        """A worker is there: joins with what holds now."""
        assert self.feed is not None
        self._left.clear()
        if self._out_since is not None and self.options.certificate:
            self._token = self._make_token()
        worker.tell(self.join_command(), self.feed.fds)
        for user, (audio, video) in self._subscriptions.items():
            worker.tell(wire.Subscribe(self.number, user, audio, video))

    def worker_died(self, reason: str) -> None:
        """The worker is gone; another one is on its way."""
        self.restarts += 1
        if self._out_since is None:
            self._out_since = time.monotonic()
        self._left.set()
        if self._worker is not None:
            self._set("interrupted", reason)

    def worker_broken(self, reason: str) -> None:
        """The worker cannot use the SDK. Who waits for the channel hears it at once; who had it, keeps trying."""
        if not self._joined.is_set():
            self._set("failed", reason)

    def worker_said(self, report: wire.Left | wire.Happened | wire.KeyWanted) -> None:
        """A report for this session."""
        if isinstance(report, wire.Left):
            self._left.set()
            return
        if isinstance(report, wire.KeyWanted):
            if self._units is not None:
                self._units.want_key()
            else:
                self.request_key()
            return
        event = report.event
        match event:
            case Connection(state, reason):
                self._set(state, reason)
                return
            case Network():
                self.network = event
            case TokenExpiring() if self.options.certificate:
                self.renew(self._make_token())
                return
            case Trouble():
                logger.warning("[%s] %s (%s) %s", self.number, event.what, event.code, event.message)
        self._emit(event)

    def _make_token(self) -> str:
        o = self.options
        assert o.certificate is not None
        return agora_token(o.app_id, o.certificate, o.channel, o.uid if o.string_uid else int(o.uid))

    def _set(self, state: State, reason: str) -> None:
        if state == "disconnected" and self.state == "interrupted":
            return
        self.state, self._reason = state, reason
        if state == "connected":
            if self._out_since is not None:
                self.longest_gap = max(self.longest_gap, time.monotonic() - self._out_since)
                self._out_since = None
            held, self._held = self._held, []
            for data in held:
                self.send(data)
            self._joined.set()
            self._failures = 0
        elif state == "failed":
            if self._joined.is_set():
                self._retry_later(reason)
            self._joined.set()
        self._emit(Connection(state, reason))

    def _retry_later(self, reason: str) -> None:
        if self._out_since is None:
            self._out_since = time.monotonic()
        if reason not in FINAL and (self.options.certificate or reason not in NEEDS_TOKEN):
            delay = RETRY[min(self._failures, len(RETRY) - 1)]
            self._failures += 1
            asyncio.get_running_loop().call_later(delay, self._retry)

    def _retry(self) -> None:
        if self._worker is not None and self.state == "failed":
            self.rejoin(self._worker)

    def _emit(self, event: ChannelEvent) -> None:
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:  # the edge: one session's listener must not stop the others' events
                logger.exception("[%s] a listener failed", self.number)

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: `state`, `restarts`, `longest_gap_ms`, `network`, the feed's counters, and
        where it publishes motion `MotionFigures.stats`."""
        network = {name: getattr(self.network, name) for name in Network.__struct_fields__}
        feed = self.feed.stats() if self._worker is not None and self.feed is not None else {}
        gap = round(self.longest_gap * 1000, 1)
        motion = {} if self._motion is None else self.motion_figures.stats()
        found = {"state": self.state, "restarts": self.restarts, "longest_gap_ms": gap, "network": network}
        return {**found, **feed, **motion}


class Worker:
    """One worker process and the sessions in it; kept alive while there are any."""

    def __init__(self, app_id: str, string_uid: bool, area: Area) -> None:
        self.sessions: dict[int, Agora] = {}
        self._logs = tempfile.mkdtemp(prefix="lipwire-agora-")
        self._process: Supervisor[wire.Report] = Supervisor(
            Module("lipwire.channel.agora.worker", app_id, str(int(string_uid)), area, self._logs),
            wire.Report,
            name="agora worker",
            on_message=self._said,
            on_start=self._started,
            on_death=self._died,
            limits=Limits(start=START, ping_every=PING_EVERY, ping_lost=PING_LOST, leave=LEAVE_TIMEOUT),
            backoff=BACKOFF,
            stable=STABLE,
            logger=logger,
        )
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def starting(self) -> bool:
        """Nothing has been heard of this process yet."""
        return self._process.starting

    def tell(self, command: wire.Command, fds: Sequence[int] = ()) -> None:
        """Sends a command. While there is no process it is dropped: what lasts is told again by `rejoin`."""
        self._process.tell(command, fds)

    def _started(self, process: Child[wire.Report]) -> None:
        for session in self.sessions.values():
            try:
                session.rejoin(self)
            except Exception:  # the edge: one session must not keep the others out
                logger.exception("[%s] the channel could not be joined again", session.number)

    def _said(self, report: wire.Report) -> None:
        if isinstance(report, wire.Broken):
            for waiting in tuple(self.sessions.values()):
                waiting.worker_broken(report.reason)
        elif (session := self.sessions.get(report.session)) is not None:
            session.worker_said(report)

    def _died(self, ended: Ended) -> None:
        for session in tuple(self.sessions.values()):
            session.worker_died(f"the worker died: {ended.reason}")

    async def close(self) -> None:
        """After the last session: the process leaves by itself when its link closes."""
        try:
            await self._process.close()
        finally:
            shutil.rmtree(self._logs, ignore_errors=True)


class Workers:
    """The worker processes of this program, by app id, kind of uid and area. They belong to one event loop."""

    def __init__(self) -> None:
        self._workers: dict[tuple[str, bool, Area], Worker] = {}

    def attach(self, session: Agora) -> Worker:
        """The worker for a session, started if need be; it joins."""
        key = _kind(session.options)
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = Worker(*key)
        worker.sessions[session.number] = session
        session.rejoin(worker)
        return worker

    async def detach(self, session: Agora) -> None:
        """A session has left; a worker without any ends."""
        key = _kind(session.options)
        worker = self._workers.get(key)
        if worker is None or worker.sessions.pop(session.number, None) is None:
            return
        if not worker.sessions:
            del self._workers[key]
            await worker.close()


def _kind(options: AgoraOptions) -> tuple[str, bool, Area]:
    """What is the same for all connections of a process."""
    return options.app_id, options.string_uid, options.area or "GLOBAL"


default_workers = Workers()
