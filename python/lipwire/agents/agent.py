"""An agent: it joins a channel, hears the users, asks its brain, and speaks.

                 Heard, Seen, Message                      BrainEvent
    Channel  ───────────────────────►   Agent   ◄── queue ◄─────────────  Brain
             ◄─── transcripts, states ─   │ ▲   ── hear, tell, interrupted ►
             ◄─── Session ◄── Playout ◄───┤ │
                                  Conversation

What any of it means is the `Conversation`'s to know. The agent tells it what has happened and what time it is, and
carries out what it answers. Everything runs on one event loop. The agent's clock is the session's: samples of sound
that went into the channel.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from msgspec import to_builtins

from .._core import RATE
from ..channel.base import (
    Channel,
    ChannelEvent,
    Connection,
    Heard,
    Message,
    Seen,
    TokenExpiring,
    Trouble,
    UserJoined,
    UserLeft,
    as_channel,
)
from ..errors import BadState, BufferFull, LipwireError
from ..outward import Outward, same_origin
from ..protocol import transcript as t
from ..protocol.agent_actions import OnBusy, OnListening
from ..protocol.agent_bodies import InUse
from ..protocol.messages import PlaybackFinished
from ..publish.live_film import LiveFilm
from ..publish.tee import Tee
from ..session.preencoded import Preencoded
from ..session.session import Session, SessionEvent
from . import actions as c
from .brains.base import Brain, BrainEvent, Failed
from .client_messages import Priority, Upload
from .config import AgentConfig
from .conversation import Conversation
from .cues import Captions
from .doubt import Doubting
from .events import AgentEvent, AgentFailed, Ended
from .filler import Filling
from .in_use import Part, Serving
from .pictures import Pictures, Shown
from .playout import ChannelSink, Playout
from .recording import GreetingSound, Recording, Remembering
from .replies import Reply
from .speech import keywords as commands
from .speech.commands import Command
from .speech.echo import EchoGuard
from .speech.whisper_spotter import open_spotter
from .think_actions import ThinkActions
from .turn_taking import TurnTaker
from .update import apply, check
from .video import VideoSampler

if TYPE_CHECKING:
    from .face import Face

logger = logging.getLogger("lipwire.agents")

R = TypeVar("R", Reply, "Reply | None")

DRY = 60.0
"""Seconds without sound after which a reply that the brain does not finish is given up."""
AHEAD = 30.0
"""Seconds of speech that the session holds; the rest waits in the playout."""
FLUSH = 10
"""Blocks of 10 ms between two tries to hand the session what waits."""


class EventQueue:
    """What a brain has to say, until its agent takes it. Calling it with an event only puts that in, so that nothing
    re-enters the brain; the event loop calls `drain` with its next turn."""

    def __init__(self, drain: Callable[[], None]) -> None:
        self.drain = drain
        """Has the agent take everything now."""
        self.events: deque[BrainEvent] = deque()
        """What has not been taken, the oldest first."""
        self._scheduled = False

    def close(self) -> None:
        """Nobody takes anything any more; the brain, which keeps this, does not keep its agent by it."""
        self.drain = self.events.clear

    def __call__(self, event: BrainEvent) -> None:
        self.events.append(event)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._soon)

    def _soon(self) -> None:
        self._scheduled = False
        if self.events:
            self.drain()


class Agent:
    """One agent. Every method belongs to the event loop's thread.

    Args:
        config: what it is. It is the agent's own from now on: `update` changes it.
        channel: where it is, not open yet: a Channel, or an object with its methods.
        brain: what thinks; not open yet.
        on_event: gets each AgentEvent. What it asks of the agent within the call is done after it.
        spotter: hears voice commands; None = the offline one, where `config.voice_commands`.
        preencoded: as of Session, but that "on" has nobody wait: an encoder does its work until the video is there.
        film: records it: what the channel hears and sees of the agent, not of others. What both say is written beside
            it, as WebVTT, where `config.film` names it.
        outward: where the URLs of pictures that users send may lead, and that of a greeting's recording; None = none
            are fetched, but for the recording, whose URL is the operator's own.
        face: somebody else's, which shows and speaks what the agent says; `config.avatar` is None then.
    """

    def __init__(
        self,
        config: AgentConfig,
        channel: Channel,
        brain: Brain,
        *,
        on_event: Callable[[AgentEvent], None] | None = None,
        spotter: commands.Spotter | None = None,
        preencoded: Preencoded = "auto",
        film: LiveFilm | None = None,
        outward: Outward | None = None,
        face: Face | None = None,
    ) -> None:
        self.config = config
        self.face = face
        self.film = film
        self.channel = channel
        self._channel = as_channel(channel)
        self.brain = brain
        self.on_event = on_event
        self.conversation = Conversation(config, room=self._channel.packet_size, sender=secrets.token_hex(5))
        self._echo = EchoGuard()
        self._captions: Captions | None = None
        if film is not None:
            self._captions = Captions(film)
        sink = ChannelSink(self._channel, self._block, self._echo.played, face)
        self.session = Session(
            sink if film is None else Tee(sink, film),
            avatar=config.avatar,
            size=(config.width, config.height),
            fps=config.fps,
            session_id=f"agent-{config.name}",
            on_event=self._session_event,
            voice_end_grace=0.0,
            voice_end_timeout=DRY,
            capacity=AHEAD,
            preencoded=preencoded,
            egress=config.egress or "both",
        )
        self.session.waits_for_atlas = False
        self._playout = Playout(self.session, self.conversation.over, face)
        if face is not None:
            sink.said = lambda: self.session.heard[0]
            face.on_failed, face.on_finished = self._face_failed, self._face_finished
        self._spotter = spotter
        self._video = VideoSampler(brain.see)
        greeting = config.greeting
        self._recording = GreetingSound(greeting, outward) if greeting.audio_url else None
        self._greeting: asyncio.Task[None] | None = None
        """Waits for the recording."""
        self._pictures = Pictures(outward, self._picture, self._no_picture)
        self._queue = EventQueue(self._take_events)
        self._settling = False
        self._life: Literal["new", "running", "ended"] = "new"
        self._finished: asyncio.Future[str] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._silent: asyncio.Event | None = None
        """While it winds up: set when it says nothing any more."""

    # -------------------------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Opens the brain, joins the channel, and listens.

        Raises:
            LipwireError: the brain or the channel refuses; everything is closed again.
        """
        if self._life != "new":
            raise BadState("an agent starts once")
        self._finished = asyncio.get_running_loop().create_future()
        self._life = "running"
        if self._recording is not None:
            self._recording.start()
        try:
            if self.config.voice_commands and self._spotter is None:
                try:
                    self._spotter = await open_spotter()
                except BadState as exc:  # without it a paused agent could not be resumed
                    logger.warning("[%s] no voice commands: %s", self.config.name, exc)
                    self.config.voice_commands = False
            await self.brain.open(self._queue)
            early: list[ChannelEvent] = []
            self._channel.on_event = early.append  # sound comes once it is subscribed to, so these are few
            await self.session.start()
            if self._life != "running":
                raise BadState("the agent was stopped while it started")
            for user in self.config.remote_uids or (None,):
                self._channel.subscribe(user, audio=True, video=self._sees)
        except BaseException:
            if self._life == "running":
                await self._close("failed to start")
            else:  # `stop` has closed what there was by then
                await self._close_parts()
            raise
        self._channel.on_event = self._channel_event
        for event in early:
            self._channel_event(event)

    async def stop(self, reason: str = "stopped") -> None:
        """Leaves the channel, and closes the brain. Safe to call twice, and before `start`."""
        if self._life == "new":
            self._life = "ended"
            return
        await asyncio.shield(self._stop_soon(reason))

    @property
    def finished(self) -> Awaitable[str]:
        """Done when the agent has ended: why ("idle_timeout", or what `stop` was given). Raises AgentFailed where it
        could not go on."""
        if self._finished is None:
            raise BadState("the agent has not been started")
        return asyncio.shield(self._finished)

    async def wind_up(self) -> None:
        """Says nothing new, ends the sentence that is being said, and returns when it is silent. To be followed by
        `stop`."""
        if self._life == "running":
            self._now().wind_up()
            await self._until_silent()

    async def farewell(self) -> None:
        """Answers nothing new, ends what it says and thinks, and returns when it is silent, or nobody is there to hear
        it. To be followed by `stop`."""
        if self._life == "running":
            self._now().farewell()
            await self._until_silent()

    async def _until_silent(self) -> None:
        self._silent = silent = self._silent or asyncio.Event()
        self._settle()
        self._see_whether_silent()
        await silent.wait()
        await self.session.finished()

    def _see_whether_silent(self) -> None:
        if self._silent is not None and (self.conversation.silent or self._life != "running"):
            self._silent.set()

    def _stop_soon(self, reason: str, failure: AgentFailed | None = None) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._close(reason, failure))
        return self._stopping

    async def _close(self, reason: str, failure: AgentFailed | None = None) -> None:
        if self._life == "ended":
            return
        self._now().end()
        self._life = "ended"
        while self.conversation.actions:
            try:
                self._settle()
            except Exception:  # the edge: what cannot be told any more must not keep the channel open
                logger.exception("[%s] ending failed", self.config.name)
        self._see_whether_silent()
        self._video.close()
        await self._close_parts()
        assert self._finished is not None
        if not self._finished.done():
            if failure is None:
                self._finished.set_result(reason)
            else:
                self._finished.set_exception(failure)
                self._finished.exception()  # whoever awaits it gets it; nobody has to
        self._emit(Ended(reason))

    async def _close_parts(self) -> None:
        self._channel.on_event = None
        self._queue.close()
        if self._greeting is not None:
            self._greeting.cancel()
        parts: list[Any] = [
            self._pictures,
            self._recording,
            self.brain,
            self.session,
            self.film,
            self._spotter,
            self._captions,
        ]
        for close in [part.close for part in parts if part is not None]:
            try:
                await close()
            except Exception:  # the edge: the others are to be closed as well
                logger.exception("[%s] closing failed", self.config.name)

    # ----------------------------------------------------------------------------------------------------- control

    def speak(self, text: str, priority: Priority = "INTERRUPT", interruptable: bool = True) -> Reply | None:
        """Says exactly this. Returns the reply, whose `state` tells how far it is; None where `priority` is IGNORE and
        the agent is busy.

        Args:
            text: 1..512 bytes.
            priority: INTERRUPT what is being said; APPEND to it; IGNORE this where something is being said.
            interruptable: whether the user may interrupt it by speaking.

        Raises:
            InvalidArgument: no text, or too long. BadState: not running, or paused. BufferFull: 32 replies wait to be
            heard already. LipwireError: the brain cannot say it.
        """
        self._check_running()
        return self._done(self._now().speak(text, priority, interruptable))

    def interrupt(self) -> bool:
        """Falls silent at once. Returns whether there was anything to stop. Raises BadState: not running."""
        if self._life != "running":
            raise BadState("the agent is not running")
        cut = self._now().interrupt()
        self._settle()
        return cut

    def tell(self, text: str, role: Literal["user", "system"] = "user", *, user: str = "") -> Reply:
        """A message in text, which is answered. Returns the answer, which is yet to begin.

        Raises:
            InvalidArgument: no text, or more than 16384 characters. BadState: not running, or paused. LipwireError:
            the brain cannot answer it.
        """
        self._check_running()
        return self._done(self._now().tell(text, role, user=user))

    def think(
        self,
        text: str,
        *,
        listening: OnListening = "interrupt",
        thinking: OnBusy = "interrupt",
        speaking: OnBusy = "ignore",
        interruptable: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Reply | None:
        """Takes a text as if the user had said it, and answers. What it does with it depends on what it does just then
        (`think_actions`). Returns the answer, which may have to wait before it begins; None where it is ignored.

        Args:
            text: 1..16384 characters.
            listening: interrupt (a turn of its own now), inject (into what the user is saying; a turn of its own where
                nobody speaks), append (after the user's turn and its answer) or ignore.
            thinking: interrupt (in place of the answer in the making), append (after it) or ignore.
            speaking: interrupt (falls silent), append (answers after what is said) or ignore.
            interruptable: whether the user may interrupt the answer by speaking.
            metadata: goes with the request for the answer, to a chat service that takes any.

        Raises:
            InvalidArgument: no text, too long, or no such action. BadState: not running, or paused. BufferFull: 16
            texts wait already. LipwireError: the brain cannot answer it.
        """
        self._check_running()
        reply = self._now().think(
            text,
            ThinkActions(listening=listening, thinking=thinking, speaking=speaking),
            interruptable=interruptable,
            metadata=metadata,
        )
        return self._done(reply)

    def respond(self, instructions: str | None = None) -> Reply:
        """Answers now, by these instructions where given. Returns the answer, which is yet to begin.

        Raises:
            BadState: not running, or paused. LipwireError: the brain cannot answer.
        """
        self._check_running()
        return self._done(self._now().respond(instructions))

    def commit(self) -> None:
        """The user's turn is over now. Raises BadState: not running, or paused."""
        self._check_running()
        self.conversation.check_not_paused()
        self.brain.commit()
        self._settle()

    def manual_start(self, user: str) -> str | None:
        """A client says that this user's speech begins (`turn_detection.start_of_speech` "manual"). Returns None, or
        why that cannot be, for people. Raises BadState: not running."""
        self._check_running()
        why = self._now().manual_start(user)
        self._settle()
        return why

    def manual_end(self, user: str) -> str | None:
        """A client says that this user's speech is over (`turn_detection.end_of_speech` "manual"). Returns None, or why
        that cannot be, for people. Raises BadState: not running."""
        self._check_running()
        why = self._now().manual_end(user)
        self._settle()
        return why

    def tool_result(self, call_id: str, output: str) -> None:
        """What a function of the client's has returned. Raises InvalidArgument: no such call waits."""
        self._check_running()
        self._now().tool_result(call_id, output)
        self._settle()

    def update(self, changes: dict[str, Any]) -> None:
        """Changes fields of the configuration (dotted names, "llm.model"), all of them or none.

        Raises:
            InvalidArgument: a field is unknown, fixed while it runs, or of a wrong type; the message names it. Or the
            voice cannot be had. BadState: not running.
        """
        if self._life != "running":
            raise BadState("the agent is not running")
        checked = check(self.config, changes)
        token = checked.pop("token", None)
        llm = self.config.llm
        if "llm.url" in checked and not same_origin(checked["llm.url"], llm.url):
            # Keys and headers are one service's, and go to no other: what is given with the URL takes their place.
            checked = {"llm.api_key": None, "llm.headers": {}} | checked
        if llm.server_key and checked.keys() & {"llm.url", "llm.api_key"}:
            # Never with our key to where the caller says: it goes first, and theirs, if there is one, takes its place.
            checked = {"llm.api_key": None} | checked | {"llm.server_key": False}
        if checked:
            self.brain.update(checked)  # it may refuse, and then nothing holds
        if token is not None:
            self._channel.renew(token)
            apply(self.config, {"token": token})
        apply(self.config, checked)
        if checked:
            self._settle()

    def pause(self) -> None:
        """Falls silent, and hears nothing but "Hey ... Start" until `resume`."""
        if self._life == "running":
            self._now().pause()
            self._settle()

    def resume(self) -> None:
        """Goes on."""
        if self._life == "running":
            self._now().resume()
            self._settle()

    def _check_running(self) -> None:
        if self._life != "running" or self._stopping is not None:
            raise BadState("the agent is not running")

    def _done(self, reply: R) -> R:
        """Has a reply asked for. Raises LipwireError where the brain refuses it at once."""
        self._settle()
        if reply is not None and reply.error is not None:
            raise reply.error
        return reply

    # -------------------------------------------------------------------------------------------------------- look

    @property
    def state(self) -> t.AgentState:
        """What the agent does: idle, listening, thinking or speaking."""
        return self.conversation.state

    @property
    def paused(self) -> bool:
        """Whether it hears nothing but "Hey ... Start"."""
        return self.conversation.paused

    @property
    def users(self) -> set[str]:
        """Who else is in the channel."""
        return self.conversation.users

    def history(self) -> list[dict[str, Any]]:
        """What was said: `{role, content, turn_id, timestamp, speech_start_ms, speech_end_ms}`, the newest 200. Of the
        agent only what was heard."""
        return self.conversation.history.as_list()

    def turns(self) -> list[dict[str, Any]]:
        """The newest 200 turns, with reasons, `e2e_latency_ms` and its `segments` (turns.py)."""
        return self.conversation.turns.as_list()

    def in_use(self) -> dict[Part, InUse]:
        """What it hears, speaks and tells turns with, and in whose place; nothing where its brain does not say."""
        return self.brain.in_use() if isinstance(self.brain, Serving) else {}

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able."""
        return self.conversation.stats() | {
            "services": to_builtins(self.in_use()),
            "sound_lost": self._playout.lost,
            "session": self.session.stats() if self.session.performer is not None else None,
            "film": None if self.film is None else self.film.stats(),
            "face": None if self.face is None else self.face.stats(),
            "channel": self._channel.stats(),
        }

    # ------------------------------------------------------------------------------------------------ what happens

    def _now(self) -> Conversation:
        """The conversation, which knows what time it is."""
        self.conversation.at(time.monotonic_ns(), time.time_ns() // 1_000_000, self._playout.heard)
        return self.conversation

    def _block(self, sample: int) -> None:
        """10 ms have gone into the channel."""
        if self._life != "running":
            return
        if self.conversation.tick(sample + RATE // 100):
            self._now().look()
            self._settle()
        if sample // (RATE // 100) % FLUSH == 0:
            self._playout.flush()
            self._settle()

    def _session_event(self, event: SessionEvent) -> None:
        if isinstance(event, PlaybackFinished):
            self._now()
            self._playout.playback_finished(event)
            self._settle()

    def _face_finished(self, event: PlaybackFinished) -> None:
        if self._life == "running":
            self._now()
            self._playout.face_finished(event)
            self._settle()

    def _face_failed(self, why: str) -> None:
        if self._life == "running":
            self._now().brain(Failed("AVATAR_ERROR", why, minor=True))
            self._settle()

    def _command(self, command: Command) -> None:
        if self._life == "running":
            self._now().command(command)
            self._settle()

    @property
    def _sees(self) -> bool:
        return "image" in self.config.llm.input_modalities

    def _channel_event(self, event: ChannelEvent) -> None:
        if self._life != "running" or (self.face is not None and getattr(event, "user", None) == self.face.user):
            return  # the face is no user: it neither is heard nor keeps the agent here
        if isinstance(event, Heard):  # a hundred a second of each user
            guarded = self.config.turn_detection.suppress_echo
            self.conversation.hear(event.user, self._echo.hear(event.pcm, event.user) if guarded else event.pcm)
            self._settle()
            return
        conversation = self._now()
        match event:
            case UserJoined(user):
                conversation.joined(user)
            case UserLeft(user):
                conversation.left(user)
            case Seen(user):
                if self._sees and conversation.wants(user) and not self.paused:
                    self._video.see(event, conversation.clock * 1000 // RATE)
            case Message(user, data):
                self._message(user, data)
            case Connection(state, reason):
                logger.info("[%s] channel: %s %s", self.config.name, state, reason)
                if state in ("disconnected", "failed"):
                    conversation.out_of_channel(reason or state)
            case Trouble(what, code, message):
                logger.warning("[%s] channel: %s (%d) %s", self.config.name, what, code, message)
            case TokenExpiring():
                conversation.token_expires()
            case _:
                pass
        self._settle()

    def _message(self, user: str, data: bytes) -> None:
        reply = self.conversation.message(user, data)
        self._settle()
        if reply is not None and reply.error is not None:
            self.conversation.clients.refused(reply.error)
            self._settle()

    def _picture(self, user: str, upload: Upload, picture: Shown) -> None:
        if self._life == "running":
            self.brain.see(user, picture.jpeg, sent=True)
            self._now().clients.picture_taken(upload, picture.width, picture.height, picture.size)
            self._settle()

    def _no_picture(self, upload: Upload, exc: LipwireError) -> None:
        if self._life == "running":
            self._now().clients.picture_refused(upload.uuid, exc.code, str(exc))
            self._settle()

    # --------------------------------------------------------------------------------------------- what is to be done

    def _take_events(self) -> None:
        try:
            self._settle()
        except Exception as exc:  # the edge: an agent that has lost its thread does not stay as a mute one
            logger.exception("[%s] an event of the brain's failed", self.config.name)
            self._stop_soon("failed", AgentFailed(f"INTERNAL_ERROR: {type(exc).__name__}: {exc}"))

    def _settle(self) -> None:
        """Carries out what the conversation wants and tells it what the brain says to that, until nothing is left."""
        actions, events = self.conversation.actions, self._queue.events
        if self._settling or not (actions or events):
            return  # who is at it does the rest
        self._settling = True
        try:
            while actions or events:
                if actions:
                    self._perform(actions.popleft())
                    continue
                event = events.popleft()
                if self._life == "running":
                    self._now().brain(event)
        finally:
            self._settling = False
        self._see_whether_silent()

    def _perform(self, action: c.Action) -> None:
        match action:
            case c.Hear(pcm, user):
                self.brain.hear(pcm, user)
            case c.Play(reply, pcm, rate):
                self._playout.sound(reply, pcm, rate)
            case c.Send(packets):
                self._send(packets)
            case c.Emit(event):
                self._emit(event)
            case c.Say() | c.Fill() | c.Tell() | c.Respond():
                self._ask(action)
            case c.Interrupted(reply_id, played_ms, text):
                self.brain.interrupted(reply_id, played_ms, text)
            case c.ToolResult(call_id, output):
                self.brain.tool_result(call_id, output)
            case c.Add(reply, before):
                self._playout.add(reply, before)
            case c.Finish(reply, text):
                self._playout.finish(reply, text)
            case c.Drop(replies):
                self._playout.drop(replies)
            case c.Hold():
                self._playout.hold()
            case c.Release():
                self._playout.release()
            case c.Caption():
                if self._captions is not None:
                    self._captions.add(action)
            case c.Doubted(on):
                if isinstance(self.brain, Doubting):
                    self.brain.doubt(on)
            case c.Floor(state):
                if isinstance(self.brain, TurnTaker):
                    self.brain.agent_is(state)
            case c.Begin(user):
                if isinstance(self.brain, TurnTaker):
                    self.brain.begin(user)
            case c.Commit():
                self.brain.commit()
            case c.Look(state):
                if self.session.width:
                    self.session.special({"state": state})
            case c.Show(feeling):
                if self.session.width:
                    shown = {"emotion": feeling.mood, "gesture": feeling.gesture}
                    self.session.special({name: value for name, value in shown.items() if value is not None})
            case c.TakePicture(user, upload):
                self._pictures.take(user, upload)
            case c.Spot(pcm, wanted):
                if self._spotter is not None:
                    self._spotter.hear(pcm, wanted, self._command)
            case c.Leave(reason, failure):
                self._stop_soon(reason, failure)

    def _ask(self, action: c.Say | c.Fill | c.Tell | c.Respond) -> None:
        reply = action.reply
        if reply.state != "asked":
            return
        try:
            match action:
                case c.Say(_, text, True) if self._recording is not None:
                    if self._greeting is not None:
                        self._greeting.cancel()
                    greet = self._play(self._recording, reply, text)
                    self._greeting = asyncio.get_running_loop().create_task(greet, name="lipwire-greet")
                case c.Say(_, text):
                    self.conversation.asked(reply, self.brain.speak(text))
                case c.Fill(_, text):
                    if not isinstance(self.brain, Filling):
                        raise BadState("this brain says nothing while it thinks")
                    self.conversation.asked(reply, self.brain.fill(text))
                case c.Tell(_, text, role):
                    more: dict[str, Any] = {"metadata": action.metadata} if action.metadata else {}
                    more |= {} if action.respond else {"respond": False}
                    more |= {} if reply.interruptable else {"interruptable": False}
                    self._named(reply, self.brain.tell(text, role, **more))
                case c.Respond(_, instructions):
                    self._named(reply, self.brain.respond(instructions))
        except LipwireError as exc:
            self.conversation.refused(reply, exc)

    def _named(self, reply: Reply, reply_id: str | None) -> None:
        if reply_id is not None:
            self.conversation.asked(reply, reply_id)

    async def _play(self, recording: GreetingSound, reply: Reply, text: str) -> None:
        """Says a greeting as it was recorded; where that cannot be had, its text."""
        found: Recording | None = None
        error = LipwireError("the greeting's recording cannot be used")
        try:
            found = await recording.get()
        except LipwireError as exc:
            error = exc
        except Exception:  # the edge: there is the text
            logger.exception("[%s] the greeting's recording failed", self.config.name)
        if self._life != "running" or reply.state != "asked":
            return
        conversation = self._now()
        if found is None and not text:
            conversation.refused(reply, error)
        elif found is None:
            logger.warning("[%s] %s; its text is said", self.config.name, error)
            self._emit(Failed("TTS_ERROR", f"{error}; its text is said", minor=True))
            self._ask(c.Say(reply, text))
        else:
            reply_id = f"greeting_{secrets.token_hex(8)}"
            conversation.asked(reply, reply_id)
            if isinstance(self.brain, Remembering):
                self.brain.remember(reply_id, text)
            for event in found.as_reply(reply_id, text, time.monotonic_ns()):
                conversation.brain(event)
        self._settle()

    def _send(self, packets: list[bytes]) -> None:
        try:
            for packet in packets:
                self._channel.send(packet)
        except BufferFull:
            self.conversation.transcripts.dropped += 1
        except LipwireError as exc:
            self.conversation.transcripts.dropped += 1
            logger.warning("[%s] a data message was not taken: %s", self.config.name, exc)

    def _emit(self, event: AgentEvent) -> None:
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except Exception:  # the edge: whoever listens does not stop the agent
            logger.exception("[%s] on_event failed", self.config.name)
