"""The process that Agora's SDK lives in: one app id, one kind of uid, many connections.

    python -m lipwire.channel.agora.worker FD APP_ID STRING_UID LOGS

FD is its end of the link to the session's process (wire); without that process it leaves every channel and ends. One
thread does everything: every 10 ms it sends what the feeds (feed) hold and is due; the SDK's callbacks,
which come from foreign threads, only put events into a queue.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import select
import shutil
import sys
import time
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ..._core import BLOCK, RATE, SharedPcm
from ...audio.fade import is_fade
from ...errors import BufferFull
from ...process.child import end_within, to_parent
from ...process.link import OUT, Link
from ..base import ChannelEvent, Connection, Heard, Message, Network, Seen, SoundNote, Trouble, UserJoined
from . import wire
from .codec import AudioEncoder
from .data import Pacer
from .feed import FeedReader
from .presence import SDK_FOLDER, lacking
from .sdk import KeyRequest, Scenario, Sdk, SdkConnection, SdkError

if TYPE_CHECKING:
    from .units import Encoder, Units

logger = logging.getLogger("lipwire.agora.worker")

TICK = BLOCK / RATE
BURST = 3
"""Blocks that may go at once after the session's process came late; the SDK plays them in time."""
MOTIONS = 64
"""Packets of motion that wait for their sound."""
CATCH_UP = 5
"""Blocks that wait from which silent ones are left out, until the sound is on time again."""
SILENCE = bytes(BLOCK * 2)
NOT_CONNECTED = (-7, -113)
"""What a push may give between the loss of the connection and the callback that tells of it; it is tried again."""
FDS = 4096
"""File descriptors of sessions that wait to join, two each."""
STARTING, LEAVING = 60.0, 10.0
"""Seconds in which the SDK gets ready, and every channel is left; else the process ends without."""
PATIENCE = 1.0
"""Seconds after which a push that is refused so counts as done: no callback has come."""
TOO_OFTEN = -12
MISSABLE = (Heard, Seen, Message, SoundNote, Network)
"""Events that are dropped while the session's process does not read."""


class Member:
    """One connection and its feed."""

    def __init__(self, join: wire.Join, feed: FeedReader, sdk: Sdk, events: SimpleQueue[tuple[Member, object]]) -> None:
        self.join = join
        self.feed = feed
        self.pacer = Pacer()
        self.encoder = AudioEncoder(join.rtc_codec) if join.rtc_codec is not None else None
        self.connected = False
        self.troubles: set[str] = set()
        """What has failed and has not worked since; each is reported once."""
        self._due = 0.0
        self._refused_at = math.inf
        self._position = 0
        self._generation = 0
        """Of the newest block that was encoded."""
        self._events = events
        self._motions: deque[wire.Motion] = deque(maxlen=MOTIONS)
        self.units: Units | None = None
        self.pictures: Encoder | None = None
        if join.video and join.encoded:
            from .units import Encoder, Units  # PyAV: for those alone who need it

            self.units = Units()
            self.pictures = Encoder(join.width, join.height, join.fps, join.kbps, join.matrix)
        self.connection: SdkConnection = sdk.connect(join, lambda event: events.put((self, event)))

    def pump(self, now: float) -> None:
        """Sends what is due at `now` (monotonic seconds)."""
        if not self.connected:
            return
        while now >= self._due - TICK / 2 and (block := self.feed.block()) is not None:
            behind = block.sample + BLOCK
            if self.feed.waiting > CATCH_UP and memoryview(block) == SILENCE:
                self.feed.take(skipped=True)
                self.feed.sent(behind)
            elif self._send_sound(block, now):
                self._due = max(self._due + TICK, now - BURST * TICK)
            else:
                return  # not taken: it is tried again
            self._position = behind
        if self.join.video:
            self._show()
        while self._motions and self._motions[0].sample <= self._position:
            self._put_motion(self._motions.popleft())
        while (data := self.pacer.take(now)) is not None:
            rc = self.connection.message(data)
            if rc == TOO_OFTEN or rc in NOT_CONNECTED:
                self.pacer.give_back(data)
                break
            self._note_result("data message", rc)

    def move(self, motion: wire.Motion) -> None:
        """Takes a packet of motion, which leaves with its sound; one that finds too many waiting takes the place of the
        oldest."""
        self._motions.append(motion)

    def drop_motion(self) -> None:
        """What waits is stale, but for events."""
        self._motions = deque((motion for motion in self._motions if motion.kept), MOTIONS)
        self.pacer.put_newest(None)

    def _put_motion(self, motion: wire.Motion) -> None:
        if not motion.kept:
            self.pacer.put_newest(motion.data)
            return
        with suppress(BufferFull):  # it is in the next packets, too
            self.pacer.put(motion.data)

    def _send_sound(self, block: SharedPcm, now: float) -> bool:
        behind = block.sample + BLOCK
        if self.encoder is None:
            rc = self.connection.sound(block, block.sample)
            self._refused_at = min(self._refused_at, now) if rc in NOT_CONNECTED else math.inf
            if rc in NOT_CONNECTED and now < self._refused_at + PATIENCE:
                return False
            self._note_result("sound", rc)
            self.feed.take()
            self.feed.sent(behind)
            return True
        self.feed.take()
        pcm: bytes | SharedPcm = block
        if block.generation > self._generation:
            self._generation = block.generation
            if self.encoder.interrupt() and is_fade(bytes(block)):
                pcm = SILENCE  # the fade that is heard is that of what the encoder had
        for packet in self.encoder.encode(pcm):
            at = behind - self.encoder.samples * RATE // self.encoder.rate
            self._note_result("sound", self.connection.packet(packet, self.encoder.samples, self.encoder.rate, at))
            self.feed.sent(behind - self.encoder.waiting)
        return True

    def _show(self) -> None:
        at = self._position - 1
        frame = self.feed.picture(at)
        if self.units is not None and self.pictures is not None:
            self._send_units(self.units, at if frame is None else frame.sample)
        if frame is not None:
            if self.pictures is None:
                self._note_result("picture", self.connection.picture(frame, frame.sample))
            else:
                data, key = self.pictures.encode(frame)
                self._note_result("picture", self.connection.unit(data, frame.sample, key))
            self.feed.shown(frame)
            if self.units is not None:
                self._send_units(self.units, at)

    def _send_units(self, units: Units, sample: int) -> None:
        assert self.pictures is not None
        for unit in units.due(sample):
            self._note_result("picture", self.connection.unit(unit.data, unit.sample, unit.key))
            self.pictures.begin()

    def _note_result(self, what: str, rc: int) -> None:
        if rc >= 0:
            self.troubles.discard(what)
        elif what not in self.troubles:
            self.troubles.add(what)
            self._events.put((self, Trouble(f"{what} was refused", rc)))

    def close(self) -> None:
        """Leaves the channel."""
        self.connected = False
        self.connection.close()
        self.feed.close()


class Worker:
    """The loop."""

    def __init__(self, link: Link[wire.Command], sdk: Sdk) -> None:
        self.link = link
        self.sdk = sdk
        self.members: dict[int, Member] = {}
        self.events: SimpleQueue[tuple[Member, object]] = SimpleQueue()

    def run(self) -> None:
        """Until the session's process is gone."""
        poll = select.poll()
        next_tick = time.monotonic()
        while True:
            writing = select.POLLOUT if self.link.waiting else 0
            poll.register(self.link.sock, select.POLLIN | writing)
            poll.poll(max(0.0, (next_tick - time.monotonic()) * 1000))
            if not self.turn():
                break
            now = time.monotonic()
            if now >= next_tick:
                for member in tuple(self.members.values()):
                    self.pump(member, now)
                next_tick = max(next_tick + TICK, now)

    def close(self) -> None:
        """Leaves every channel."""
        for session in tuple(self.members):
            self.leave(session)
        self.sdk.close()

    def pump(self, member: Member, now: float) -> None:
        """Sends what is due; a session for which that fails is out of its channel."""
        try:
            member.pump(now)
        except Exception as exc:  # the edge, as in `turn`
            logger.exception("[%s] sending failed", member.join.session)
            self.members.pop(member.join.session).close()
            self.report(member.join.session, Connection("failed", f"{type(exc).__name__}: {exc}"))

    def turn(self) -> bool:
        """What the session's process says, and what the SDK said. False once that process is gone."""
        commands = self.link.receive()
        if commands is None:
            return False
        for command in commands:
            try:
                self.obey(command)
            except Exception as exc:  # the edge: whatever the SDK raises for one session, the others go on
                session = getattr(command, "session", 0)
                self.report(session, Trouble(type(command).__name__.lower(), message=str(exc)))
                logger.warning("[%s] %s failed: %s", session, type(command).__name__, exc)
        while True:
            try:
                member, event = self.events.get_nowait()
            except Empty:
                break
            self.heard(member, event)
        self.link.flush()
        return True

    def heard(self, member: Member, event: object) -> None:
        """An event of a connection; those of one that has been closed or replaced are not passed on."""
        session = member.join.session
        if self.members.get(session) is not member:
            return
        if isinstance(event, Scenario):
            rc = member.connection.set_scenario(event.value)
            logger.info("[%s] receivers need audio scenario %s: %s", session, event.value, rc)
            return
        if isinstance(event, Connection):
            member.connected = event.state == "connected"
        if isinstance(event, KeyRequest | UserJoined) and member.pictures is not None:
            member.pictures.begin()
            self.link.send(wire.KeyWanted(session))
        if isinstance(event, KeyRequest):
            return
        self.report(session, event)  # type: ignore[arg-type]

    def report(self, session: int, event: ChannelEvent) -> None:
        """To the session's process, unless it does not read and the event can be missed."""
        if self.link.waiting < OUT or not isinstance(event, MISSABLE):
            self.link.send(wire.Happened(session, event))

    def obey(self, command: wire.Command) -> None:
        """One command; those for a connection that is gone do nothing."""
        match command:
            case wire.Join():
                self.enter(command)
                return
        member = self.members.get(command.session)
        if member is None:
            if isinstance(command, wire.Leave):
                self.link.send(wire.Left(command.session))
            return
        match command:
            case wire.Leave(session):
                self.leave(session)
            case wire.Renew(_, token):
                refuse("renew_token", member.connection.renew(token))
            case wire.Send(_, data):
                member.pacer.put(data)
            case wire.Note(_, data):
                refuse("send_audio_meta_data", member.connection.note(data))
            case wire.Subscribe(_, user, audio, video):
                member.connection.subscribe(user, audio, video)
            case wire.Motion():
                member.move(command)
            case wire.Stale():
                member.drop_motion()
            case wire.Unit():
                if member.units is not None and not (member.connected and member.units.put(command)):
                    member.units.clear()
                    self.link.send(wire.KeyWanted(command.session))

    def enter(self, join: wire.Join) -> None:
        """Joins a channel; anew, if the session has a connection that failed."""
        if (before := self.members.pop(join.session, None)) is not None:
            before.close()
        feed = FeedReader(self.link.fds.popleft(), self.link.fds.popleft())
        try:
            self.members[join.session] = Member(join, feed, self.sdk, self.events)
        except Exception as exc:  # the edge, as in `turn`
            feed.close()
            self.report(join.session, Connection("failed", str(exc)))

    def leave(self, session: int) -> None:
        """Leaves a channel."""
        self.members.pop(session).close()
        self.link.send(wire.Left(session))


def refuse(what: str, rc: int) -> None:
    """Raises SdkError for a failure."""
    if rc < 0:
        raise SdkError(f"{what}: {rc}")


def main(arguments: list[str]) -> None:
    """Entry of the process."""
    fd, app_id, string_uid, area, logs = arguments
    faulthandler.enable()
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)
    # The SDK logs where its library is as two errors, at every import.
    logging.getLogger("agora").addFilter(lambda r: not r.getMessage().startswith(("sdk_library_dir:", "zip_path:")))
    link: Link[wire.Command] = to_parent(int(fd), wire.Command, fds=FDS)
    if SDK_FOLDER in os.environ:
        os.environ[SDK_FOLDER] = os.path.abspath(os.environ[SDK_FOLDER])
    os.chdir(logs)  # the native library writes beside where it runs
    end_within(STARTING)
    try:
        sdk = Sdk(app_id, string_uid == "1", area, logs)
    except BaseException as exc:  # the edge: whatever the import and the library may raise, SystemExit included
        reason = f"{type(exc).__name__}: {exc}"
        if isinstance(exc, ModuleNotFoundError):
            reason = f"Agora's SDK is missing: {lacking() or reason}; see docs/agora.md"
        link.send(wire.Broken(reason))
        raise SystemExit(reason) from exc
    end_within(0)
    worker = Worker(link, sdk)
    worker.run()
    end_within(LEAVING)
    worker.close()
    shutil.rmtree(logs, ignore_errors=True)  # the session's process may not be there to do it


if __name__ == "__main__":
    main(sys.argv[1:])
