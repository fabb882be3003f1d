"""Rooms: the embedded channel. Browsers join by WebRTC; sessions and agents join in process.

    rooms = Rooms()
    channel = rooms.channel("lobby", "agent")
    channel.on_event = print
    async with lipwire.Session(channel) as session:
        channel.subscribe()  # Heard, UserJoined, Message ...
        sdp, kind = await rooms.answer("lobby", "anna", offer_sdp)  # what a browser sent

Everyone is heard by everyone: a browser gets the others' sound mixed, an in-process member gets each user's by itself.
A browser shows one face, that of the first in-process member that sends pictures; cameras are for in-process members.

Nothing is encoded, decoded or resampled that nobody wants. Everything belongs to one event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from ..._core import BLOCK, RATE, Frame, Resampler
from ...audio.fade import fade_out, is_fade
from ...errors import BadState, NoCapacity
from ...motion.sets import DEFAULT_SETS
from ...protocol.messages import Egress
from ...publish.audience import Audience
from ...publish.encoders import USUAL_FPS
from ...publish.ice import IceServers
from ...publish.motion import NO_MOTION, Motion, MotionFigures
from ...publish.motion_queue import GOING_DOWN, MotionQueue, MotionSounds
from ...publish.motion_track import MotionTracks
from ...publish.peer import Direction, Peer
from ...publish.sound import Sounds
from ...publish.streams import Pictures
from ...rtp.tally import Tally
from ...stream import LOOKS, WANTS, Cue, Unit, Wants, no_key
from ..base import HEARD_RATE, ChannelEvent, Heard, Message, Seen, UserJoined, UserLeft
from .browser import Browser
from .channel import RoomChannel
from .microphone import HEARD_BYTES, SEEN_EVERY
from .mix import MIX_BLOCKS, Mix
from .place import Member, Role, RoomError, check_name, made_up_user
from .watcher import Watcher

__all__ = ["Member", "Role", "Room", "RoomChannel", "RoomError", "Rooms"]

logger = logging.getLogger("lipwire.room")

HELD = 60.0
"""Seconds that a room that was made for later stays while nobody joins."""
LEAD_LOST = MIX_BLOCKS / 100
"""Seconds after which a member whose clock drives the mix, and has stopped, no longer does."""
MIX_IDLE = 100
"""10 ms ticks without any sound after which the room's own clock stops."""
SILENT = bytes(BLOCK * 2)


class _Seat:
    """What a room keeps of an in-process member."""

    def __init__(self) -> None:
        self.offset = 0
        """From its clock to the room's, in samples."""
        self.seen_at = float("-inf")
        """When a picture of it was handed to other in-process members."""
        self._resampler: Resampler | None = None
        self._pcm = bytearray()
        self._cut = False

    def fades(self, pcm: bytes) -> bool:
        """Whether its next block is the fade of what was interrupted."""
        fades, self._cut = self._cut and is_fade(pcm), False
        return fades

    def narrow(self, pcm: bytes) -> Iterator[bytes]:
        """Its sound as in-process members hear it: blocks of 10 ms at 16 kHz."""
        if self._resampler is None:
            self._resampler = Resampler(RATE, HEARD_RATE)
        self._pcm += self._resampler.process(pcm)
        while len(self._pcm) >= HEARD_BYTES:
            yield bytes(self._pcm[:HEARD_BYTES])
            del self._pcm[:HEARD_BYTES]

    def interrupt(self) -> None:
        """What is left of its sound fades out, and what the resampler holds back is silent; neither is dropped, since
        the blocks to come keep their time."""
        self._cut = True
        if self._resampler is not None:
            held = round(self._resampler.delay * HEARD_RATE)
            self._pcm[:] = fade_out(bytes(self._pcm) + bytes(2 * held), HEARD_RATE)
            self._resampler = None


class Room:
    """One room. Made, found and removed by `Rooms`."""

    def __init__(self, rooms: Rooms, name: str) -> None:
        self.name = name
        self.since = time.time_ns() // 1000
        """When it was made, in microseconds since 1970."""
        self.agents: dict[str, RoomChannel] = {}
        self.browsers: dict[str, Browser | Watcher] = {}
        self.peers: set[Peer] = set()
        self.sounds = Sounds()
        self.pictures = Pictures()
        self.motion = Motion(rooms.motion_figures)
        self.motion_sounds = MotionSounds(self.motion.figures)
        self.videos = MotionTracks(self.motion)
        """The face's motion in black videos."""
        self._rooms = rooms
        self._seats: dict[RoomChannel, _Seat] = {}
        self._mix = Mix()
        self._face: RoomChannel | None = None
        """Whose pictures the browsers see."""
        self._led_at = float("-inf")
        self._would_be = self._shown = -1
        self._missed = [0, 0]
        """Packets and pictures, and messages, that browsers missed which are gone."""
        self._ticking: asyncio.Task[None] | None = None

    # ----------------------------------------------------------------------------------------------------- members

    def members(self) -> list[Member]:
        """Who is there, agents first."""
        agents = [Member(agent.user, "agent", True, True) for agent in self.agents.values()]
        users = [Member(b.user, "user", b.connected, b.speaks) for b in self.browsers.values() if b.joined]
        return agents + users

    def announce(self, event: ChannelEvent, but: Browser | Watcher | RoomChannel) -> None:
        """Tells the in-process members."""
        for agent in tuple(self.agents.values()):
            if agent is not but:
                agent.emit(event)

    def tell_members(self) -> None:
        """Tells the browsers who is there."""
        members = msgspec.to_builtins(self.members())
        for browser in self.browsers.values():
            body = {"type": "room", "room": self.name, "you": browser.user, "members": members}
            browser.send(msgspec.json.encode(body).decode())

    def enter(self, agent: RoomChannel) -> None:
        """An in-process member joins."""
        self.agents[agent.user] = agent
        self._seats[agent] = _Seat()
        self.motion.refuse(self._motion_refusal())
        self.announce(UserJoined(agent.user), agent)
        self.tell_members()
        self.review()

    def remove(self, member: Browser | Watcher | RoomChannel) -> None:
        """A member is gone. Safe to call twice."""
        there: dict[str, Any] = self.agents if isinstance(member, RoomChannel) else self.browsers
        if there.get(member.user) is not member:
            return
        del there[member.user]
        self._mix.remove(member.user)
        known = True
        if isinstance(member, RoomChannel):
            del self._seats[member]
        else:
            known = member.joined
            self._count(member)
            member.leave()
        if member is self._face:
            self._face = None
            self.motion.end()
            self.pictures.begin_anew(no_key)  # it has the face's performer
        self.motion.refuse(self._motion_refusal())
        if known:
            self.announce(UserLeft(member.user), member)
            self.tell_members()
        self.review()
        self._rooms.tidy(self)

    def _count(self, gone: Browser | Watcher) -> None:
        """Keeps what a browser has missed that goes."""
        if gone.peer is not None:
            self._missed[0] += gone.peer.dropped
            self._missed[1] += gone.peer.messages_dropped

    def watch(self, watcher: Watcher) -> None:
        """A user comes by a WebSocket, or goes on by it who was there by whatever way."""
        there = self.browsers.get(watcher.user)
        self.browsers[watcher.user] = watcher
        follows = there is not None and there.joined
        if there is not None:
            self._mix.remove(watcher.user)
            self._count(there)
            there.replace()
        watcher.join(follows=follows)

    def follow(self, watcher: Watcher, browser: Browser) -> None:
        """A user goes on by WebRTC. Raises RoomError: it has left meanwhile, or come by yet another way."""
        if self.browsers.get(watcher.user) is not watcher:
            browser.leave()
            raise RoomError(f"{watcher.user!r} has come to {self.name!r}, or left, at the same time; try again")
        self.browsers[watcher.user] = browser
        watcher.replace()
        browser.follow()

    def review(self) -> None:
        """Has decoded what is wanted, and nothing else."""
        connected = sum(browser.connected for browser in self.browsers.values())
        for browser in self.browsers.values():
            wants = [agent.subscribed(browser.user) for agent in self.agents.values()]
            others = connected - browser.connected
            browser.review(others > 0 or any(audio for audio, _ in wants), any(video for _, video in wants))

    # ------------------------------------------------------------------------------------------------ to in-process

    def heard(self, source: Browser, event: Heard) -> None:
        """10 ms of a browser."""
        for agent in tuple(self.agents.values()):
            if agent.subscribed(source.user)[0]:
                agent.emit(event)

    def seen(self, source: Browser | RoomChannel, event: Seen) -> None:
        """A picture of a member."""
        for agent in tuple(self.agents.values()):
            if agent is not source and agent.subscribed(source.user)[1]:
                agent.emit(event)

    def send(self, source: RoomChannel, data: bytes) -> None:
        """A data message of an in-process member, to everyone."""
        self.announce(Message(source.user, data), source)
        for browser in self.browsers.values():
            browser.send(data)

    # ------------------------------------------------------------------------------------------------- to browsers

    def sound(self, source: RoomChannel, pcm: bytes, sample: int) -> None:
        """10 ms of an in-process member."""
        seat = self._seats[source]
        fades = seat.fades(pcm)
        listeners = [a for a in self.agents.values() if a is not source and a.subscribed(source.user)[0]]
        if listeners:
            for block in seat.narrow(SILENT if fades else pcm):  # they have heard a fade of their own
                event = Heard(source.user, block, sample * 1000 // RATE)
                for agent in listeners:
                    agent.emit(event)
        if self._mix.leads(source.user, source is self._face):
            seat.offset = self._mix.clock - sample
            self._led_at = asyncio.get_running_loop().time()
            self._play(pcm, source.user, fades)
        else:
            seat.offset = self._mix.clock - sample
            self._mix.put(source.user, SILENT if fades else pcm)  # `Mix.cut` has made the fade

    def voice(self, source: Browser, pcm: bytes) -> None:
        """10 ms of a browser, for the other browsers."""
        if sum(browser.connected for browser in self.browsers.values()) < 2:
            return
        self._mix.put(source.user, pcm)
        if asyncio.get_running_loop().time() - self._led_at > LEAD_LOST and self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="lipwire-room-clock")

    async def _tick(self) -> None:
        """The room's own clock, while users talk and no in-process member has one."""
        now = asyncio.get_running_loop().time
        due, idle = now(), 0
        try:
            while idle < MIX_IDLE and now() - self._led_at > LEAD_LOST:
                idle = 0 if self._mix.waiting else idle + 1
                self._play(SILENT, None)
                due = max(due + 0.01, now() - LEAD_LOST)
                await asyncio.sleep(due - now())
        finally:
            self._ticking = None

    def _play(self, pcm: bytes, lead: str | None, fades: bool = False) -> None:
        at, heard = self._mix.block(pcm, lead, self.browsers)
        quiet = next((user for user, browser in self.browsers.items() if browser.sounds is None), None)
        pcm = pcm if quiet is None else heard[quiet]
        self.sounds.audio(pcm, at, fades)  # the same for all who say nothing
        self.motion_sounds.audio(pcm, at, fades)
        for user, browser in self.browsers.items():
            if browser.sounds is not None:
                browser.sounds.audio(heard[user], at, fades)

    def _watched(self, source: RoomChannel) -> bool:
        return any(agent is not source and agent.subscribed(source.user)[1] for agent in self.agents.values())

    def wanted(self, source: RoomChannel) -> Wants:
        """What of the video of an in-process member somebody is shown."""
        looks = LOOKS["pictures"] if self._watched(source) else 0
        if self._may_be_face(source):
            looks |= LOOKS[self.pictures.wants]
        return WANTS[looks]

    def show(self, source: RoomChannel, frame: Frame) -> None:
        """A picture of an in-process member."""
        seat = self._seats[source]
        if self._watched(source):
            now = asyncio.get_running_loop().time()
            if now - seat.seen_at >= SEEN_EVERY:
                seat.seen_at = now
                self.seen(source, Seen(source.user, frame.width, frame.height, bytes(memoryview(frame))))
        if self._is_face(source):
            self.pictures.show(frame, self._shown_at(frame.sample + seat.offset), source.fps)

    def show_unit(self, source: RoomChannel, unit: Unit) -> None:
        """The same, encoded beforehand."""
        if self._is_face(source):
            self.pictures.unit(unit.data, self._shown_at(unit.sample + self._seats[source].offset), unit.key)

    def takes_motion(self, source: RoomChannel) -> bool:
        """Whether somebody draws the face of an in-process member."""
        others = (agent for agent in self.agents.values() if agent is not source)
        first = source.shows or not any(agent.shows for agent in others)
        return first and self.motion.takes and self._may_be_face(source)

    def move(self, source: RoomChannel, frame: Frame) -> None:
        """A frame of an in-process member, for those who draw it."""
        if self._is_face(source):
            self.motion.frame(frame, max(0, frame.sample + self._seats[source].offset))

    def cue(self, source: RoomChannel, cue: Cue) -> None:
        """What happened to it, for them."""
        if self._is_face(source):
            self.motion.cue(cue, max(0, cue.sample + self._seats[source].offset))

    def _motion_refusal(self) -> str | None:
        """Why nobody's motion can come now; None = somebody's can: of the face, which gives way to who has pictures, or
        of those who may be it."""
        shown = [agent for agent in self.agents.values() if agent.shows]
        faces = [self._face] if self._face is not None and (self._face.shows or not shown) else shown
        return NO_MOTION if faces and all(agent.egress == "video" for agent in faces) else None

    def _may_be_face(self, source: RoomChannel) -> bool:
        """Whether browsers see it, or would: who has pictures takes the place of who only moves."""
        return self._face is None or self._face is source or (source.shows and not self._face.shows)

    def _is_face(self, source: RoomChannel) -> bool:
        """Whether browsers see it: the first that shows itself."""
        if self._face is not source and self._may_be_face(source):
            self._face = source
            self.pictures.begin_anew(source.request_key)
            self.motion.sets = source.motion_sets
            self.motion.begin(source.fps or USUAL_FPS, self._motion_refusal(), face=source.face)
        return self._face is source

    def _shown_at(self, sample: int) -> int:
        """When, on the room's clock, a picture is shown that would be at `sample`: each after the one before, and both
        forms of one at once."""
        if sample != self._would_be:
            self._would_be, self._shown = sample, max(self._shown + 1, sample)
        return self._shown

    def interrupt(self, source: RoomChannel) -> None:
        """What waits of an in-process member is stale. It is mixed already with what others said at the same time, of
        which 10 ms at most go with it."""
        self._mix.cut(source.user)
        self._seats[source].interrupt()
        self.pictures.interrupt()
        self.sounds.interrupt()
        self.motion_sounds.interrupt()
        if source is self._face:
            self.motion.interrupt()
        for browser in self.browsers.values():
            if browser.sounds is not None:
                browser.sounds.interrupt()

    def stats(self) -> dict[str, Any]:
        """See `RoomChannel.stats`."""
        peers = [browser.peer for browser in self.browsers.values() if browser.peer is not None]
        users = {
            browser.user: browser.microphone.stats()
            for browser in self.browsers.values()
            if browser.microphone is not None
        }
        return {
            "members": len(self.members()),
            "viewers": sum(peer.connected for peer in peers),
            "dropped": self._missed[0] + sum(peer.dropped for peer in peers),
            "messages_dropped": self._missed[1] + sum(peer.messages_dropped for peer in peers),
            "messages_waiting": sum(peer.messages_waiting for peer in peers),
            "users": users,
            **self.motion.figures.stats(),
        }


class Rooms:
    """Rooms by name. They come with their first member and go with their last.

    Args:
        max_rooms: how many there may be; more are refused.
        max_members: how many may be in one, agents and users together; more are refused.
        ice_host: the one address to offer browsers media on; None = every address of the machine.
        audience: of which the browsers of all rooms are a part, and which has a limit; None = of their own.
        ice_servers: STUN and TURN for our end of each browser's connection; None = neither.
        tally: has the jitter buffers of all who are heard.
        motion_figures: of all motion, of which theirs is a part.
    """

    def __init__(
        self,
        *,
        max_rooms: int = 64,
        max_members: int = 16,
        ice_host: str | None = None,
        audience: Audience | None = None,
        ice_servers: IceServers | None = None,
        tally: Tally | None = None,
        motion_figures: MotionFigures | None = None,
    ) -> None:
        self.motion_figures = motion_figures
        self.max_rooms, self.max_members = max_rooms, max_members
        self.ice_host, self.ice_servers, self._tally = ice_host, ice_servers, tally
        self.audience = Audience() if audience is None else audience
        self.on_room: Callable[[str, bool], None] = lambda name, there: None
        """Hears that a room is there, and that it is gone. It must not raise."""
        self._rooms: dict[str, Room] = {}
        self._held: dict[str, asyncio.TimerHandle] = {}
        self.closed = False

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def encoded(self) -> int:
        """Pixels a second that are encoded for those who watch now."""
        return sum(room.pictures.encoded for room in self._rooms.values())

    def list(self) -> dict[str, list[Member]]:
        """Who is where."""
        return {name: room.members() for name, room in self._rooms.items()}

    def since(self, name: str) -> int:
        """When a room was made, in microseconds since 1970; 0 = there is none."""
        room = self._rooms.get(name)
        return 0 if room is None else room.since

    def create(self, name: str | None = None) -> str:
        """Makes a room for somebody who joins within `HELD` seconds; returns its name, a new one by default.

        Raises:
            InvalidArgument: a bad name. NoCapacity: there are too many rooms.
        """
        name = check_name("room", name) if name is not None else f"room-{secrets.token_hex(4)}"
        room = self._room(name)
        if not room.agents and not room.browsers and name not in self._held:
            self._held[name] = asyncio.get_running_loop().call_later(HELD, self._release, room)
        return name

    def channel(
        self,
        name: str,
        user_id: str = "0",
        on_event: Callable[[ChannelEvent], None] | None = None,
        *,
        egress: Egress = "both",
        motion_sets: tuple[str, ...] = DEFAULT_SETS,
    ) -> RoomChannel:
        """An in-process member, which joins when it is opened.

        Args:
            name: of the room. user_id: of the member there; "0" or nothing = one that is made up.
            egress, motion_sets: as of `RoomChannel`.

        Raises:
            InvalidArgument: a bad name.
        """
        if user_id in ("", "0"):
            user_id = str(made_up_user())
        name, user_id = check_name("room", name), check_name("user", user_id)
        return RoomChannel(self, name, user_id, on_event, egress=egress, motion_sets=motion_sets)

    async def answer(
        self, name: str, user: str, sdp: str, kind: str = "offer", *, role: Role = "speaker", writes: bool = True
    ) -> tuple[str, str]:
        """A browser joins: takes its offer; (sdp, "answer"), with all candidates in it.

        One that has the name of a user who is there follows it: the same user, on a new connection. A "viewer" is not
        heard or seen; its data messages reach the others, unless `writes` is false.

        Raises:
            InvalidArgument: a bad name, or no usable offer. RoomError: an agent has this name. NoCapacity: the room is
            full, or there are too many rooms or viewers.
        """
        return (await self.admit(name, user, sdp, kind, role=role, writes=writes))[0], "answer"

    async def admit(
        self,
        name: str,
        user: str,
        sdp: str,
        kind: str = "offer",
        *,
        role: Role = "speaker",
        writes: bool = True,
        direction: Direction = "sendrecv",
        black: tuple[str, ...] | None = None,
    ) -> tuple[str, Peer]:
        """The same, for a browser that may be one that only sends ("recvonly", as we answer) or only watches
        ("sendonly"); (the answer's SDP, the connection). `black`: as of `WebRTC.admit`."""
        name, user = check_name("room", name), check_name("user", user)
        room = self._room(name)
        there = room.browsers.get(user)
        try:
            if user in room.agents:
                raise RoomError(f"an agent in {name!r} has the name {user!r}; choose another")
            if isinstance(there, Browser):
                browser = there
            else:
                browser = Browser(room, user, self.ice_host, self.audience, self.ice_servers, self._tally)
            video = None if black is None else room.videos.of(black, USUAL_FPS)
            if there is None:
                self._check_space(room)
                room.browsers[user] = browser
                self._unhold(name)
            answer = await browser.admit(sdp, kind, role, writes, direction, video)
            if isinstance(there, Watcher):  # once the offer has turned out to be good
                room.follow(there, browser)
            return answer
        finally:
            self.tidy(room)

    def check_listen(self, name: str, user: str) -> None:
        """Raises what `listen` does for what does not pass by waiting: InvalidArgument, NoMotion or RoomError."""
        name, user = check_name("room", name), check_name("user", user)
        room = self._rooms.get(name)
        if room is None:
            return
        if user in room.agents:
            raise RoomError(f"an agent in {name!r} has the name {user!r}; choose another")
        room.motion.check()

    def listen(self, name: str, user: str, queue: MotionQueue) -> Watcher:
        """A user joins who is sent motion, and sound where `queue.sound` says so, and nothing by WebRTC. It stays until
        `Watcher.leave_room`. One that has the name of a user who is there, by whatever way, follows it: the same user,
        on a new connection.

        Raises:
            InvalidArgument: a bad name. NoMotion: the room's face sends none. RoomError: an agent has this name.
            NoCapacity: the room is full, or there are too many rooms or viewers.
        """
        self.check_listen(name, user)
        name, user = name.strip(), user.strip()
        room = self._room(name)
        try:
            if user not in room.browsers:
                self._check_space(room)
            watcher = Watcher(room, user, queue, self.audience)
            watcher.enter()
            self._unhold(name)
            room.watch(watcher)
            return watcher
        finally:
            self.tidy(room)

    def leave(self, name: str, user: str, peer: Peer | None = None) -> bool:
        """A browser's user leaves, at once; False = it is not there, or not by this connection alone."""
        room = self._rooms.get(name.strip())
        browser = room.browsers.get(user.strip()) if room is not None else None
        if room is None or browser is None or (peer is not None and not browser.ends_with(peer)):
            return False
        room.remove(browser)
        return True

    def enter(self, channel: RoomChannel) -> Room:
        """For RoomChannel."""
        room = self._room(channel.name)
        try:
            if channel.user in room.agents or channel.user in room.browsers:
                raise RoomError(f"somebody in {channel.name!r} has the name {channel.user!r}; choose another")
            self._check_space(room)
            self._unhold(channel.name)
            room.enter(channel)
        finally:
            self.tidy(room)
        return room

    def tidy(self, room: Room) -> None:
        """Removes a room without members."""
        empty = not room.agents and not room.browsers and room.name not in self._held
        if empty and self._rooms.pop(room.name, None) is not None:
            self.on_room(room.name, False)

    async def close(self) -> None:
        """Ends every room."""
        self.closed = True
        for handle in self._held.values():
            handle.cancel()
        self._held.clear()
        await self._end(tuple(self._rooms.values()), "the rooms were closed")

    async def end(self, name: str) -> bool:
        """Ends one room, whose members may come back at once, into it or into another of its name; whether it was
        there."""
        room = self._rooms.get(name)
        if room is None:
            return False
        self._unhold(name)
        await self._end((room,), "the room was closed")
        return True

    async def _end(self, rooms: Iterable[Room], reason: str) -> None:
        peers: list[Peer] = []
        for room in rooms:
            peers += list(room.peers)
            for browser in tuple(room.browsers.values()):
                if isinstance(browser, Watcher):
                    browser.queue.end(GOING_DOWN, reason)
                room.remove(browser)
            for agent in tuple(room.agents.values()):
                agent.left(reason)
        await asyncio.gather(*(peer.close() for peer in peers))

    def _room(self, name: str) -> Room:
        if self.closed:
            raise BadState("the rooms were closed")
        room = self._rooms.get(name)
        if room is None:
            if len(self._rooms) >= self.max_rooms:
                raise NoCapacity(f"there are {self.max_rooms} rooms, and no more are allowed")
            room = self._rooms[name] = Room(self, name)
            self.on_room(name, True)
        return room

    def _check_space(self, room: Room) -> None:
        if len(room.agents) + len(room.browsers) >= self.max_members:
            raise NoCapacity(f"room {room.name!r} is full: {self.max_members} members")

    def _unhold(self, name: str) -> None:
        if (handle := self._held.pop(name, None)) is not None:
            handle.cancel()

    def _release(self, room: Room) -> None:
        self._held.pop(room.name, None)
        self.tidy(room)
