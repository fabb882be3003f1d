"""An agent: it joins a channel, hears the users, asks its brain, and speaks.

                 Heard, Seen, Message              BrainEvent
    Channel  ───────────────────────►  Agent  ◄───────────────────  Brain
             ◄─── captions, states ───   │    ─ hear, tell, interrupted ►
             ◄──────── Session ◄─── Speaker

Everything runs on one event loop. The agent's clock is the session's: samples of sound that went into the channel.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

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
)
from ..errors import BadState, InvalidArgument, LipwireError
from ..protocol import transcript as t
from ..protocol.messages import PlaybackFinished
from ..session.session import Session, SessionEvent
from .brains import base as b
from .config import AgentConfig
from .events import AgentEvent, AgentFailed, Ended, Said, StateChanged, TurnEnded
from .senses import Eyes, loud
from .speaking import Outlet, Reply, Speaker
from .speech import keywords as commands
from .transcripts import Captions
from .turns import History, StartReason, Turn, Turns
from .update import apply, check

logger = logging.getLogger("lipwire.agents")

Priority = Literal["INTERRUPT", "APPEND", "IGNORE"]

TICK = 10
"""Blocks of 10 ms between two looks at what time brings."""
MAX_SPEAK = 512
"""Bytes of text that `speak` takes (v2)."""
MAX_TELL = 16_384
"""Characters of a message in text."""
REPLY_DUE = 15.0
"""Seconds after the end of a user's turn in which the agent counts as thinking without a reply having begun."""
NO_SPEECH_DUE = 0.2
"""The same, where the user's turn had no words in it."""
TOOL_TIMEOUT = 30.0
"""Seconds that a function of the client's may take."""
MAX_TOOLS = 32
DRY = 60.0
"""Seconds without sound after which a reply that the brain does not finish is given up."""
AHEAD = 30.0
"""Seconds of speech that the session holds; the rest waits here."""
REMEMBERED = 256
"""Replies that are over: what still comes of them is ignored."""


class Agent:
    """One agent. Every method belongs to the event loop's thread.

    Args:
        config: what it is. It is the agent's own from now on: `update` changes it.
        channel: where it is; not open yet.
        brain: what thinks; not open yet.
        on_event: gets each AgentEvent.
        spotter: hears voice commands; None = the offline one, where `config.voice_commands`.
    """

    def __init__(
        self,
        config: AgentConfig,
        channel: Channel,
        brain: b.Brain,
        *,
        on_event: Callable[[AgentEvent], None] | None = None,
        spotter: commands.Spotter | None = None,
    ) -> None:
        self.config = config
        self.channel = channel
        self.brain = brain
        self.on_event = on_event
        self.state: t.AgentState = "idle"
        self.paused = False
        self.users: set[str] = set()
        """Who else is there."""
        self.session = Session(
            Outlet(channel, self._block),
            avatar=config.avatar,
            width=config.width,
            height=config.height,
            fps=config.fps,
            session_id=f"agent-{config.name}",
            on_event=self._session_event,
            voice_end_grace=0.0,
            voice_end_timeout=DRY,
            capacity=AHEAD,
        )
        self._speaker = Speaker(self.session, self._reply_heard, self._reply_over)
        self._turns = Turns()
        self._history = History()
        self._captions = Captions(channel.send, config.transcripts, channel.packet_size, config.language)
        self._speaks = ""
        """The user who speaks, or spoke last."""
        self._spotter = spotter
        self._assembler = t.Assembler()
        self._life: Literal["new", "running", "ended"] = "new"
        self._finished: asyncio.Future[str] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._clock = 0
        """Samples."""
        self._ticks = 0
        self._alone_since = 0
        self._due_until = 0
        """Clock until which a reply is expected."""
        self._refusing = False
        """The answer that the brain begins next was interrupted before it began."""
        self._greeted = False
        self._over: dict[str, None] = {}
        """Replies that are over, the newest last."""
        self._said: dict[str, tuple[StartReason, bool, int]] = {}
        """Replies that the agent has asked for itself and that have not begun: why, whether they may be cut, and the
        clock at which they are given up."""
        self._saying: tuple[StartReason, bool] | None = None
        self._items: dict[str, int] = {}
        """The user's items: their turns."""
        self._tools: dict[str, int] = {}
        """Calls that the client has not answered: the clock at which they are given up."""
        self._quiet_frames = 0
        """10 ms of silence that the brain is still to hear, so that its turn ends."""
        self._eyes = Eyes(brain.see)
        self._interruptions = self._failures = self._ignored = 0

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
        try:
            if self.config.voice_commands and self._spotter is None:
                try:
                    self._spotter = await commands.KeywordSpotter.open()
                except BadState as exc:  # without it a paused agent could not be resumed
                    logger.warning("[%s] no voice commands: %s", self.config.name, exc)
                    self.config.voice_commands = False
            await self.brain.open(self._brain_event)
            early: list[ChannelEvent] = []
            self.channel.on_event = early.append  # sound comes once it is subscribed to, so these are few
            await self.session.start()
            if self._life != "running":
                await self.brain.close()
                await self.session.close()
                raise BadState("the agent was stopped while it started")
            for user in self.config.remote_uids or (None,):
                self.channel.subscribe(user, audio=True, video=self._sees)
        except BaseException:
            await self._close("failed to start")
            raise
        self.channel.on_event = self._channel_event
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

    def _stop_soon(self, reason: str, failure: AgentFailed | None = None) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._close(reason, failure))
        return self._stopping

    async def _close(self, reason: str, failure: AgentFailed | None = None) -> None:
        if self._life == "ended":
            return
        if self._captions.sent:
            self._captions.state("idle", self.paused, 0)
        self._life = "ended"
        self.state = "idle"
        self._eyes.close()
        self._cut(force=True)
        if self._turns.open is not None:
            self._turns.end(self._turns.open, "no_reply", self._now_ms)
        self.channel.on_event = None
        for close in (self.brain.close, self.session.close, *([self._spotter.close] if self._spotter else ())):
            try:
                await close()
            except Exception:  # the edge: the others are to be closed as well
                logger.exception("[%s] closing failed", self.config.name)
        assert self._finished is not None
        if not self._finished.done():
            if failure is None:
                self._finished.set_result(reason)
            else:
                self._finished.set_exception(failure)
                self._finished.exception()  # whoever awaits it gets it; nobody has to
        self._emit(Ended(reason))

    def _check_running(self) -> None:
        if self._life != "running" or self._stopping is not None:
            raise BadState("the agent is not running")
        if self.paused:
            raise BadState("the agent is paused; resume it first")

    # ----------------------------------------------------------------------------------------------------- control

    def speak(self, text: str, priority: Priority = "INTERRUPT", interruptable: bool = True) -> str | None:
        """Says exactly this. Returns the reply's id; None where `priority` is IGNORE and the agent is busy.

        Args:
            text: 1..512 bytes.
            priority: INTERRUPT what is being said; APPEND to it; IGNORE this where something is being said.
            interruptable: whether the user may interrupt it by speaking.

        Raises:
            InvalidArgument: no text, or too long. BadState: not running, or paused.
        """
        self._check_running()
        if not text.strip() or len(text.encode()) > MAX_SPEAK:
            raise InvalidArgument(f"text must have 1..{MAX_SPEAK} bytes, got {len(text.encode())}")
        if priority not in ("INTERRUPT", "APPEND", "IGNORE"):
            raise InvalidArgument(f"priority must be INTERRUPT, APPEND or IGNORE, got {priority!r:.40}")
        if priority == "IGNORE" and self.state in ("speaking", "thinking"):
            return None
        if priority == "INTERRUPT":
            self._cut(force=True)
        return self._say(text, "speak", interruptable)

    def interrupt(self) -> bool:
        """Falls silent at once. Returns whether there was anything to stop."""
        if self._life != "running":
            raise BadState("the agent is not running")
        cut = self._cut(force=True)
        if self._turns.open is not None and self._due_until:  # an answer that has not begun will not be said either
            self._refusing = cut = True
            self._due_until = 0
            self._turns.end(self._turns.open, "interrupted", self._now_ms)
        self._review()
        return cut

    def tell(self, text: str, role: Literal["user", "system"] = "user", *, user: str = "") -> None:
        """A message in text, which is answered.

        Raises:
            InvalidArgument: no text, or more than 16384 characters. BadState: not running, or paused.
        """
        self._check_running()
        if not text.strip() or len(text) > MAX_TELL:
            raise InvalidArgument(f"text must have 1..{MAX_TELL} characters, got {len(text)}")
        self._cut(force=False)
        turn = self._turns.begin("text", self._now_ms, user)
        turn.user_ended_ns = time.monotonic_ns()
        turn.user_text = text
        self._history.add(role, text, turn.turn_id)
        self._expect_reply()
        self.brain.tell(text, role)

    def respond(self, instructions: str | None = None) -> None:
        """Answers now, by these instructions where given. Raises BadState: not running, or paused."""
        self._check_running()
        self._cut(force=False)
        turn = self._turns.begin("respond", self._now_ms)
        turn.user_ended_ns = time.monotonic_ns()
        self._expect_reply()
        self.brain.respond(instructions)

    def commit(self) -> None:
        """The user's turn is over now. Raises BadState: not running, or paused."""
        self._check_running()
        self.brain.commit()

    def tool_result(self, call_id: str, output: str) -> None:
        """What a function of the client's has returned. Raises InvalidArgument: no such call waits."""
        self._check_running()
        if self._tools.pop(call_id, None) is None:
            raise InvalidArgument(f"no call {call_id!r:.60} waits for a result")
        self.brain.tool_result(call_id, output)

    def update(self, changes: dict[str, Any]) -> None:
        """Changes fields of the configuration (dotted names, "llm.model"), all of them or none.

        Raises:
            InvalidArgument: a field is unknown, fixed while it runs, or of a wrong type; the message names it.
        """
        if self._life != "running":
            raise BadState("the agent is not running")
        checked = check(self.config, changes)
        token = checked.pop("token", None)
        if token is not None:
            self.channel.renew(token)
            apply(self.config, {"token": token})
        apply(self.config, checked)
        if checked:
            self.brain.update(checked)

    def pause(self) -> None:
        """Falls silent, and hears nothing but "Hey ... Start" until `resume`."""
        if self._life != "running" or self.paused:
            return
        self.paused = True
        self._due_until = 0
        self._turns.drop_open(self._now_ms)
        self._cut(force=True)
        # A turn that has begun is to end in the brain too; what it answers is not said.
        self._quiet_frames = self.config.turn_detection.silence_duration_ms // 10 + 30
        self._review(always=True)

    def resume(self) -> None:
        """Goes on."""
        if self._life != "running" or not self.paused:
            return
        self.paused = False
        self._review(always=True)

    # -------------------------------------------------------------------------------------------------------- look

    def history(self) -> list[dict[str, Any]]:
        """What was said: `{role, content, turn_id, timestamp}`, the newest 200. Of the agent only what was heard."""
        return self._history.as_list()

    def turns(self) -> list[dict[str, Any]]:
        """The newest 200 turns, with reasons, `e2e_latency_ms` and its `segments` (turns.py)."""
        return self._turns.as_list()

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able."""
        return {
            "state": self.state,
            "paused": self.paused,
            "users": sorted(self.users),
            "turns": self._turns.count,
            "interruptions": self._interruptions,
            "failures": self._failures,
            "ignored_messages": self._ignored,
            "captions_sent": self._captions.sent,
            "captions_dropped": self._captions.dropped,
            "sound_lost": self._speaker.lost,
            "clock_s": self._clock / RATE,
            "session": self.session.stats() if self.session.performer is not None else None,
            "channel": self.channel.stats(),
        }

    # ---------------------------------------------------------------------------------------------------- the clock

    @property
    def _now_ms(self) -> int:
        return self._clock * 1000 // RATE

    def _block(self, sample: int) -> None:
        """10 ms have gone into the channel."""
        self._clock = sample + RATE // 100
        self._speaker.block()
        self._ticks += 1
        if self._ticks % TICK == 0 and self._life == "running":
            self._tick()

    def _tick(self) -> None:
        self._speaker.flush()
        for reply in self._speaker.replies:
            if reply.started and reply.text:
                self._caption(reply, t.RUNNING, self._speaker.played(reply))
        for call_id in [name for name, until in self._tools.items() if self._clock >= until]:
            del self._tools[call_id]
            self.brain.tool_result(call_id, json.dumps({"error": "the client has not answered"}))
        for reply_id in [name for name, (_, _, until) in self._said.items() if self._clock >= until]:
            del self._said[reply_id]
        if self._due_until and self._clock >= self._due_until:
            self._due_until = 0
            self._turns.drop_open(self._now_ms)
        if self.users:
            self._alone_since = self._clock
        elif self.config.idle_timeout and self._clock - self._alone_since >= self.config.idle_timeout * RATE:
            self._stop_soon("idle_timeout")
        self._review()

    # -------------------------------------------------------------------------------------------------- the channel

    def _channel_event(self, event: ChannelEvent) -> None:
        if self._life != "running":
            return
        match event:
            case Heard(user, pcm):
                self._hear(user, pcm)
            case UserJoined(user):
                self._joined(user)
            case UserLeft(user):
                self.users.discard(user)
                self._review()
            case Seen(user):
                if self._sees and self._wanted(user) and not self.paused:
                    self._eyes.see(event, self._now_ms)
            case Message(user, data):
                self._message(user, data)
            case Connection(state, reason):
                self._connection(state, reason)
            case Trouble(what, code, message):
                logger.warning("[%s] channel: %s (%d) %s", self.config.name, what, code, message)
            case TokenExpiring():
                self._captions.error("channel", "the token expires soon; update it", "TOKEN_EXPIRING", 0)
                self._emit(b.Failed("TOKEN_EXPIRING", "the channel's token expires soon: update `token`"))
            case _:
                pass

    def _connection(self, state: str, reason: str) -> None:
        logger.info("[%s] channel: %s %s", self.config.name, state, reason)
        if state in ("disconnected", "failed"):
            # Who is there will be said anew; until then the agent counts as alone, and leaves in time.
            self.users.clear()
            self._emit(b.Failed("CHANNEL_FAILED", f"out of the channel: {reason or state}"))
            self._review()

    @property
    def _sees(self) -> bool:
        return "image" in self.config.llm.input_modalities

    def _wanted(self, user: str) -> bool:
        return not self.config.remote_uids or user in self.config.remote_uids

    def _joined(self, user: str) -> None:
        if user in self.users:
            return
        self.users.add(user)
        if not self._greeted and self._wanted(user):
            self._greeted = True
            if self.config.llm.greeting_message and not self.paused:
                self._say(self.config.llm.greeting_message, "greeting", True)
        self._review()

    def _hear(self, user: str, pcm: bytes) -> None:
        self._joined(user)
        if not self._wanted(user):
            return
        if user != self._speaks and (len(self.users) == 1 or not self._speaks or loud(pcm)):
            self._speaks = user
        if self._spotter is not None and self.config.voice_commands:
            self._spotter.hear(pcm, "start" if self.paused else "stop", self._command)
        if not self.paused:
            self.brain.hear(pcm, user)
        elif self._quiet_frames > 0:
            self._quiet_frames -= 1
            self.brain.hear(bytes(len(pcm)), user)

    def _command(self, command: commands.Command) -> None:
        logger.info("[%s] voice command: %s", self.config.name, command)
        if command == "stop":
            self.pause()
        else:
            self.resume()

    def _message(self, user: str, data: bytes) -> None:
        """`{"type": "chat", "text"}`, `{"type": "interrupt"}`, `{"type": "tool_result", "call_id", "output"}`, as they
        are or in packets."""
        whole = data if data.lstrip()[:1] == b"{" else self._assembler.add(data, self._clock / RATE)
        if whole is None:
            return
        try:
            said = msgspec.json.decode(whole)
        except (msgspec.DecodeError, RecursionError):
            said = None
        if not isinstance(said, dict) or not self._wanted(user):
            self._ignored += 1
            return
        try:
            match said:
                case {"type": "chat", "text": str(text)}:
                    self._joined(user)
                    self.tell(text, user=user)
                case {"type": "interrupt"}:
                    self.interrupt()
                case {"type": "tool_result", "call_id": str(call_id), "output": output}:
                    self.tool_result(call_id, output if isinstance(output, str) else json.dumps(output))
                case _:
                    self._ignored += 1
        except LipwireError as exc:
            self._ignored += 1
            self._captions.error("agent", str(exc), exc.code, 0)

    # ---------------------------------------------------------------------------------------------------- the brain

    def _brain_event(self, event: b.BrainEvent) -> None:
        if self._life != "running":
            return
        match event:
            case b.ReplyAudio(reply_id, pcm, rate):
                if (reply := self._reply(reply_id)) is not None:
                    self._speaker.sound(reply, pcm, rate)
            case b.ReplyText(reply_id):
                if (reply := self._reply(reply_id)) is not None:
                    reply.add(event)
            case b.ReplyStarted(reply_id, asked_ns):
                if (reply := self._reply(reply_id)) is not None and (turn := self._turns.get(reply.turn_id)):
                    turn.mark("asked", asked_ns)
            case b.ReplyFinished(reply_id, text, reason):
                if (reply := self._reply(reply_id)) is not None:
                    reply.failed |= reason != "done"
                    if reason == "cancelled" and reply.interruptable:
                        self._cut(force=False)
                    else:
                        self._speaker.finish(reply, text)
            case b.Stamp(reply_id, name, at_ns):
                if (reply := self._reply(reply_id)) is not None and (turn := self._turns.get(reply.turn_id)):
                    turn.mark(name, at_ns)
            case b.SpeechStarted():
                self._user_speaks()
            case b.SpeechStopped(end_ns):
                self._user_spoke(end_ns)
            case b.UserText():
                self._user_text(event)
            case b.ToolCalled():
                self._tool_called(event)
            case b.Failed():
                self._failed(event)
        self._review()

    def _user_speaks(self) -> None:
        if self.paused:
            return
        self._cut(force=False)
        self._refusing = False
        self._due_until = 0
        self._turns.begin("speech", self._now_ms, self._speaks)

    def _user_spoke(self, end_ns: int) -> None:
        if self.paused:
            return
        turn = self._turns.open
        if turn is None or turn.start_reason != "speech":
            turn = self._turns.begin("speech", self._now_ms, self._speaks)
        turn.user_ended_ns = end_ns
        self._expect_reply()

    def _user_text(self, event: b.UserText) -> None:
        turn_id = self._items.get(event.item_id)
        if turn_id is None:
            turn = self._turns.open or self._turns.newest
            if turn is None:
                turn = self._turns.begin("speech", self._now_ms, self._speaks)
            turn_id = self._items[event.item_id] = turn.turn_id
            if len(self._items) > 64:
                del self._items[next(iter(self._items))]
        said_in = self._turns.get(turn_id)
        user = (said_in.user if said_in is not None else "") or self._speaks
        self._captions.user(turn_id, user, event.text, event.final, event.words, self._now_ms)
        if not event.final:
            return
        if not event.text.strip():
            if said_in is self._turns.open and self._due_until:  # no speech: most likely nothing is due
                self._due_until = self._clock + round(NO_SPEECH_DUE * RATE)
            return
        if said_in is not None:
            said_in.user_text = event.text
        self._history.add("user", event.text, turn_id)
        self._emit(Said("user", event.text, turn_id))
        if self.config.voice_commands and (command := commands.command_in(event.text)) is not None:
            self._command(command)

    def _tool_called(self, event: b.ToolCalled) -> None:
        self._emit(event)
        if event.handled:
            return
        if len(self._tools) >= MAX_TOOLS:
            self.brain.tool_result(event.call_id, json.dumps({"error": "too many calls wait for the client"}))
            return
        self._tools[event.call_id] = self._clock + round(TOOL_TIMEOUT * RATE)
        self._captions.tool(event.call_id, event.name, event.arguments)

    def _failed(self, event: b.Failed) -> None:
        self._failures += 1
        logger.warning("[%s] %s: %s", self.config.name, event.code, event.message)
        reply = self._speaker.get(event.reply_id) if event.reply_id is not None else None
        turn = self._turns.of_reply(event.reply_id) or self._turns.open
        module = event.code.partition("_")[0].lower()
        self._captions.error(module, event.message, event.code, turn.turn_id if turn is not None else 0)
        self._emit(event)
        if event.fatal:
            self._stop_soon("failed", AgentFailed(f"{event.code}: {event.message}"))
            return
        if event.reply_id in self._said:  # the agent's own words, which will not come
            del self._said[event.reply_id]
            return
        if turn is None or turn.end_reason in ("finished", "interrupted", "no_reply"):
            return
        if reply is not None:
            reply.failed = True
            self._speaker.finish(reply, reply.text)
        elif turn is self._turns.open:
            if turn.user_ended_ns is None:
                return  # the user still speaks: no reply is due yet
            self._due_until = 0
            self._turns.end(turn, "failed", self._now_ms)
        message = self.config.llm.failure_message
        own_words = turn.start_reason in ("speak", "greeting", "failure")
        if message and not own_words and not self.paused and not self._failure_waits():
            self._say(message, "failure", True)

    def _failure_waits(self) -> bool:
        """One failure message at a time."""
        turns = [self._turns.get(reply.turn_id) for reply in self._speaker.replies]
        waiting = [reason for reason, _, _ in self._said.values()]
        return "failure" in [*waiting, *(turn.start_reason for turn in turns if turn is not None)]

    # -------------------------------------------------------------------------------------------------- the replies

    def _say(self, text: str, why: StartReason, interruptable: bool) -> str | None:
        self._saying = why, interruptable
        try:
            reply_id = self.brain.speak(text)
        except LipwireError as exc:
            if why == "speak":
                raise
            self._failures += 1
            logger.warning("[%s] the %s message cannot be said: %s", self.config.name, why, exc)
            self._emit(b.Failed("TTS_ERROR", str(exc)))
            return None
        finally:
            self._saying = None
        if self._speaker.get(reply_id) is None and reply_id not in self._over:
            self._said[reply_id] = why, interruptable, self._clock + round(REPLY_DUE * RATE)
            if len(self._said) > REMEMBERED:
                del self._said[next(iter(self._said))]
        return reply_id

    def _reply(self, reply_id: str) -> Reply | None:
        """The reply of that id, begun if need be; None if it is over or not to be said."""
        reply = self._speaker.get(reply_id)
        if reply is not None or reply_id in self._over:
            return reply
        said = self._said.pop(reply_id, None)
        own = said[:2] if said is not None else self._saying
        refused, self._refusing = self._refusing and own is None, self._refusing and own is not None
        if self.paused or refused or self._speaker.full:
            self._forget(reply_id)
            self.brain.interrupted(reply_id, 0.0, "")
            return None
        if own is not None:
            turn = self._open_beside(own[0])
            turn.reply_id = reply_id
        else:
            turn = self._turns.reply(reply_id, self._now_ms)
            self._due_until = 0
        reply = Reply(reply_id, turn.turn_id, interruptable=own is None or own[1])
        self._speaker.begin(reply)
        return reply

    def _open_beside(self, why: StartReason) -> Turn:
        """A turn for the agent's own words; the one that waits for an answer goes on waiting."""
        waits, self._turns.open = self._turns.open, None
        turn = self._turns.begin(why, self._now_ms)
        self._turns.open = waits
        return turn

    def _session_event(self, event: SessionEvent) -> None:
        if isinstance(event, PlaybackFinished):
            self._speaker.playback_finished(event)

    def _reply_heard(self, reply: Reply) -> None:
        """Its first sample is in the channel."""
        turn = self._turns.get(reply.turn_id)
        if turn is not None:
            turn.mark("first_sample", time.monotonic_ns())
        self._review()

    def _reply_over(self, reply: Reply) -> None:
        """It was heard to its end."""
        self._forget(reply.id)
        text = reply.heard(reply.received_ms) if reply.failed else reply.text.strip()
        self._end_reply(reply, "failed" if reply.failed else "finished", text, reply.received_ms)
        self._review()

    def _cut(self, *, force: bool) -> bool:
        """Stops what is being said or thought; returns whether there was anything."""
        cuts = self._speaker.interrupt(force=force)
        for cut in cuts:
            self._forget(cut.reply.id)
            self.brain.interrupted(cut.reply.id, cut.played_ms, cut.text)
            if cut.reply.started:
                self._interruptions += 1
                self._captions.interrupted(cut.reply.turn_id, self._now_ms)
            self._end_reply(cut.reply, "interrupted", cut.text, cut.played_ms)
        dropped = [reply_id for reply_id, (_, may, _) in self._said.items() if force or may]
        for reply_id in dropped:
            del self._said[reply_id]
            self._forget(reply_id)
            self.brain.interrupted(reply_id, 0.0, "")
        return bool(cuts or dropped)

    def _end_reply(
        self, reply: Reply, reason: Literal["finished", "interrupted", "failed"], text: str, played_ms: float
    ) -> None:
        turn = self._turns.get(reply.turn_id)
        if text:
            self._caption(reply, t.INTERRUPTED if reason == "interrupted" else t.ENDED, played_ms, text)
            self._history.add("assistant", text, reply.turn_id)
            self._emit(Said("assistant", text, reply.turn_id, reason == "interrupted"))
        if turn is None:
            return
        turn.agent_text = text
        self._turns.end(turn, reason, self._now_ms)
        if turn.e2e_latency_ms is not None:
            for module, name, ms in (
                ("llm", "ttft", turn.between("asked", "first_token")),
                ("tts", "ttfb", turn.between("first_sentence", "first_audio")),
            ):
                if ms is not None:
                    self._captions.metrics(module, name, turn.turn_id, ms)
            self._captions.metrics("turn", "e2e_latency", turn.turn_id, turn.e2e_latency_ms, turn.segments())
        self._emit(TurnEnded(turn.as_dict()))

    def _caption(self, reply: Reply, status: t.TurnStatus, played_ms: float, text: str | None = None) -> None:
        heard = reply.heard(played_ms) if text is None else text
        if heard:
            start_ms = self._now_ms - played_ms
            words = reply.heard_words(played_ms) if status != t.RUNNING else []
            self._captions.agent(reply.turn_id, heard, status, start_ms, played_ms, words)

    def _forget(self, reply_id: str) -> None:
        self._over[reply_id] = None
        if len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]

    # ------------------------------------------------------------------------------------------------------ states

    def _expect_reply(self) -> None:
        self._refusing = False
        self._due_until = self._clock + round(REPLY_DUE * RATE)
        self._review()

    def _review(self, *, always: bool = False) -> None:
        """The state follows from what there is."""
        if self.paused:
            state: t.AgentState = "idle"
        elif self._speaker.speaking:
            state = "speaking"
        elif self._due_until or self._speaker.replies or self._said:
            state = "thinking"
        else:
            state = "listening" if self.users else "idle"
        if (state == self.state and not always) or self._life != "running":
            return
        self.state = state
        if self.session.width and state != "speaking":
            self.session.special({"state": state})
        newest = self._turns.newest
        self._captions.state(state, self.paused, newest.turn_id if newest is not None else 0)
        self._emit(StateChanged(state, self.paused))

    def _emit(self, event: AgentEvent) -> None:
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except Exception:  # the edge: whoever listens does not stop the agent
            logger.exception("[%s] on_event failed", self.config.name)
