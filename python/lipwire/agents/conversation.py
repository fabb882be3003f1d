"""What is said, heard, interrupted and told in the life of an agent: events and the clock in, actions out. No I/O.

    channel: who comes, goes, speaks, writes ─┐                    ┌─► brain:    Hear, Say, Tell, Interrupted, ...
    brain:   SpeechStarted, ReplyAudio, ...  ─┤                    ├─► playout:  Add, Play, Finish, Drop, Hold, Release
    playout: how much was heard, what is over ┼─►  Conversation ───┼─► channel:  Send
    control: speak, tell, interrupt, pause   ─┤                    ├─► listener: Emit
    clock:   at, tick, look                  ─┘                    └─► agent:    Look, Spot, Leave

Who runs it (`agent.Agent`; a test) says with `at` what time it is, calls the method for what has happened, and then
carries out what is in `actions`, in order. Nothing calls back while a method runs, so nothing re-enters.

Time is the channel's: samples of sound that went into it, at 48 kHz.

Each side has a file and a state of its own, and knows those above it only:

    ConversationState   who is there, the clock, turns and history, the actions
    Saying            what the agent says: what waits, is due, has begun, is heard, is over
    Interruptions       whether users interrupt that, or made but a noise
    Listening           what users say: their turns and texts
    Clients             what users' clients send and are sent besides: functions, pictures
    Conversation        what all of it means, and the state that follows
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

from .._core import RATE
from ..errors import InvalidArgument, LipwireError
from ..protocol import transcript as t
from . import client_messages as m
from .actions import Emit, Finish, Floor, Leave, Look, Play, Respond, Tell
from .brains import base as b
from .client_messages import Priority
from .clients import Clients
from .config import AgentConfig
from .conversation_state import ConversationState
from .events import StateChanged
from .interruptions import Interruptions
from .listening import Listening
from .replies import Reply
from .saying import Saying
from .silence import SilenceWatch
from .speech.commands import Command
from .think_actions import Later, ThinkActions, Thought
from .turns import Cause, StartReason, Transport, Turn

logger = logging.getLogger("lipwire.agents")

TICK = 10
"""Blocks of 10 ms between two looks at what time brings."""
MAX_SPEAK = 512
"""Bytes of text that `speak` takes (v2)."""
MAX_TELL = 16_384
"""Characters of a message in text."""


class Conversation:
    """One conversation, from the agent's coming to its leaving.

    Args:
        config: what the agent is. Read whenever it counts, so that changes hold at once.
        room: bytes that a packet of the channel holds.
        sender: begins the ids of the messages that go into the channel; unique in it.
    """

    def __init__(self, config: AgentConfig, *, room: int = t.PACKET, sender: str = "m") -> None:
        self.config = config
        self._state = state = ConversationState(config, room, sender)
        self._saying = Saying(state, sender)
        self._interruptions = Interruptions(state, self._saying)
        self._listening = Listening(state, self._saying, self._interruptions)
        self.clients = Clients(state)
        self.users = state.users
        """Who else is there."""
        self.turns = state.turns
        self.history = state.history
        self.transcripts = state.transcripts
        self.actions = state.actions
        """What is to be done, in order. Whoever does it takes it out."""
        self._do = state.actions.append
        self._last: tuple[Reply, float] | None = None
        """What is the last that is said, once it winds up, and how many ms of it had been heard when it became that."""
        self._ended = False
        self._blocks = 0
        self._alone_since = 0
        self._silence = SilenceWatch()
        self._later = Later()
        """What is to be thought of when what is said and answered allows it."""

    @property
    def state(self) -> t.AgentState:
        """What the agent does."""
        return self._state.agent_state

    @property
    def paused(self) -> bool:
        """Whether it is silent, and hears nothing, until `resume`."""
        return self._state.paused

    @property
    def clock(self) -> int:
        """Samples of sound that have gone into the channel."""
        return self._state.clock

    @property
    def spoken(self) -> int | None:
        """The id of the turn whose user speaks; None: nobody does."""
        spoken = self._listening.spoken
        return None if spoken is None else spoken.turn.turn_id

    def wants(self, user: str) -> bool:
        """Whether the agent hears and sees this user."""
        return self._state.wants(user)

    def check_not_paused(self) -> None:
        """Raises BadState: the agent is paused, or about to leave."""
        self._state.check_not_paused()

    # --------------------------------------------------------------------------------------------------- time, actions

    def at(self, monotonic_ns: int, wall_ms: int, playing: tuple[str | None, float]) -> None:
        """Says what time it is: CLOCK_MONOTONIC, ms since 1970, and of which reply how many ms have been heard (None =
        of none). To be called before what happens is told."""
        self._state.at(monotonic_ns, wall_ms, playing)

    def tick(self, clock: int) -> bool:
        """10 ms of sound have gone into the channel, which has `clock` samples now. Returns whether `look` is due: that
        costs more, and mostly nothing has come of 10 ms."""
        self._state.clock = clock
        self._blocks += 1
        return bool(self._saying.live) or self._blocks % TICK == 0

    def look(self) -> None:
        """Looks at what is heard, and, every TICK, at what else time brings."""
        heard = self._saying.live.get(self._state.playing[0] or "")
        if heard is not None and heard.state == "begun":
            heard.state = "heard"
            if heard.turn is not None:
                heard.turn.mark("first_sample", self._state.ns)
            self._review()
        self._saying.act(heard)
        if self._state.winding_up and self._saying.live:
            self._look_at_the_last()
        if self._blocks % TICK == 0:
            self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        held = self._interruptions.held
        for reply in self._saying.live.values():
            if reply.state == "heard" and reply.text and reply not in held:
                self._saying.transcribe(reply, t.RUNNING, self._state.played_ms(reply))
        self._interruptions.look()
        self._listening.look()
        self.clients.look()
        self._saying.look()
        self._say_by_itself()
        if self._state.accompanied:
            self._alone_since = self.clock
        elif self.config.idle_timeout and self.clock - self._alone_since >= self.config.idle_timeout * RATE:
            self._do(Leave("idle_timeout"))
        self._take_up()
        self._review()

    def _say_by_itself(self) -> None:
        """The greeting, where its time has come; what is said while an answer is waited for; what breaks a silence."""
        free = self.state in ("listening", "idle") and self._is_answered() and self._state.may_speak
        if free and self._saying.greeter.waits and self._state.accompanied:
            self._greet()
        self._saying.fill(self._user_speaks)
        silence = self.config.silence
        quiet = free and self.state == "listening" and not self._saying.greeter.waits
        if not self._silence.look(silence, self.clock, quiet) or silence is None or not silence.content.strip():
            return
        if silence.action == "speak":
            self._say(silence.content, "silence")
        else:
            self._listening.forget_pause()
            self.turns.begin("silence", self._state.now_ms).action = "think"
            self._do(Tell(self._expect_reply("silence"), silence.content, "user"))

    # --------------------------------------------------------------------------------------------------------- control

    def speak(
        self, text: str, priority: Priority = "INTERRUPT", interruptable: bool = True, *, user: str = ""
    ) -> Reply | None:
        """Has a text said (`Agent.speak`). `user`: who sent it, where it came through the channel. Raises
        InvalidArgument, BadState, BufferFull."""
        self.check_not_paused()
        if not text.strip() or len(text.encode()) > MAX_SPEAK:
            raise InvalidArgument(f"text must have 1..{MAX_SPEAK} bytes, got {len(text.encode())}")
        if priority not in ("INTERRUPT", "APPEND", "IGNORE"):
            raise InvalidArgument(f"priority must be INTERRUPT, APPEND or IGNORE, got {priority!r:.40}")
        if priority == "IGNORE" and self.state in ("speaking", "thinking"):
            return None
        if priority == "INTERRUPT":
            self._interruptions.cut(force=True, cause="speak", transport="rtm" if user else "http")
        self._saying.check_room()
        return self._say(text, "speak", interruptable, user=user)

    def interrupt(self, transport: Transport = "http") -> bool:
        """Stops what is being said or thought, or waits to be; returns whether there was anything. `transport`: how
        that was asked."""
        waited = self._later.clear()
        waited = self._listening.refuse_what_waits(transport) or waited
        return self._hush("interrupt", transport) or waited

    def _hush(self, cause: Cause, transport: Transport) -> bool:
        cut = self._interruptions.cut(force=True, cause=cause, transport=transport)
        cut = self._saying.refuse_due(cause, transport) or cut
        self._review()
        return cut

    def tell(self, text: str, role: Literal["user", "system"] = "user", *, user: str = "") -> Reply:
        """Takes a message in text, which is answered (`Agent.tell`). Raises InvalidArgument, BadState."""
        self._check_told(text)
        turn, reply = self._ask("text", user)
        self._saying.greeter.answered()
        turn.user_text = text
        self.history.add(role, text, turn.turn_id, self.transcripts.wall_ms)
        self._do(Tell(reply, text, role))
        return reply

    def ask(
        self, text: str, user: str, priority: m.WhenBusy = "interrupted", interruptable: bool = True
    ) -> Reply | None:
        """Takes a question that was typed, and tells it as the user's transcript when it is asked. Returns the answer,
        or None: it was dropped, as `priority` has it. Raises InvalidArgument, BadState, BufferFull."""
        self._check_told(text)
        if priority == "ignore" and self.state in ("thinking", "speaking"):
            return None
        thought = Thought(Reply("text", interruptable=interruptable), text, user=user)
        if priority == "append" and not self._is_answered():
            self._later.add(thought)
        else:
            if priority == "interrupted":
                self._interruptions.cut(force=False, cause="think", transport="rtm")
            self._think_of(thought)
        return thought.reply

    def think(
        self,
        text: str,
        actions: ThinkActions | None = None,
        *,
        user: str = "",
        interruptable: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Reply | None:
        """Takes a text as if the user had said it (`Agent.think`). `user`: who sent it, where it came through the
        channel. Raises InvalidArgument, BadState, BufferFull."""
        self._check_told(text)
        action = (actions or ThinkActions()).of(self.state)
        if action == "ignore":
            return None
        thought = Thought(Reply("think", interruptable=interruptable), text, metadata or {}, user)
        if action == "inject" and self._listening.user_is_speaking:
            return self._listening.inject(thought)
        if action == "append" and not self._is_answered():
            self._later.add(thought)
            return thought.reply
        if action == "interrupt":
            self._hush("think", "rtm" if user else "http")
        self._think_of(thought)
        return thought.reply

    def _think_of(self, thought: Thought) -> None:
        turn = self._turn_of("text" if thought.reply.reason == "text" else "think", thought.user)
        turn.user_text = thought.text
        self._saying.greeter.answered()
        self.history.add("user", thought.text, turn.turn_id, self.transcripts.wall_ms)
        if thought.reply.reason == "text":  # others see what was asked
            self.transcripts.user(turn.turn_id, thought.user, thought.text, True, (), self._state.now_ms)
        self._expect(thought.reply)
        self._do(Tell(thought.reply, thought.text, "user", metadata=thought.metadata))

    def _take_up(self) -> None:
        """What waits to be thought of is, where it can be."""
        if self._later and self._is_answered() and not self.paused:
            self._think_of(self._later.next())

    def _is_answered(self) -> bool:
        """Nobody waits for an answer, or for the rest of what one says; it may still be heard."""
        asked = self._saying.is_asked
        waits = self._user_speaks or self.turns.open is not None or self._saying.is_due or asked
        return not waits and all(reply.written or reply.complete for reply in self._saying.live.values())

    @property
    def _user_speaks(self) -> bool:
        return self._listening.spoken is not None or self._interruptions.doubt is not None

    def _check_told(self, text: str) -> None:
        self.check_not_paused()
        if not text.strip() or len(text) > MAX_TELL:
            raise InvalidArgument(f"text must have 1..{MAX_TELL} characters, got {len(text)}")

    def respond(self, instructions: str | None = None) -> Reply:
        """Has the brain answer now (`Agent.respond`). Raises BadState."""
        self.check_not_paused()
        _, reply = self._ask("respond")
        self._do(Respond(reply, instructions))
        return reply

    def _ask(self, reason: StartReason, user: str = "") -> tuple[Turn, Reply]:
        """A turn that nobody speaks, and the reply that is due to it."""
        self._interruptions.cut(force=False, cause="think", transport="rtm" if user else "http")
        return self._turn_of(reason, user), self._expect_reply(reason)

    def _turn_of(self, reason: StartReason, user: str) -> Turn:
        """Begins a turn that nobody speaks, in the place of what waits for an answer, or may yet turn out to."""
        self._saying.let_go(force=False)
        self._listening.forget_pause()
        if self._interruptions.settled is not None:
            self._interruptions.settled.replaced = True
        turn = self.turns.begin(reason, self._state.now_ms, user)
        turn.user_ended_ns = self._state.ns
        return turn

    def tool_result(self, call_id: str, output: str) -> None:
        """Takes what a function of the client's returned (`Agent.tool_result`), whatever the agent does meanwhile: it
        has been called, and is not called again. Raises InvalidArgument."""
        self.clients.tool_result(call_id, output)

    def pause(self) -> None:
        """Falls silent, and hears nothing but "Hey ... Start" until `resume`."""
        if self.paused:
            return
        self._state.paused = True
        self._saying.let_go()
        self._forget_thoughts()
        self.turns.drop_open(self._state.now_ms, "interrupt")
        self._listening.forget_beside("interrupt")
        self._interruptions.cut(force=True, cause="interrupt")
        self._listening.pause()
        self._review(always=True)

    def resume(self) -> None:
        """Goes on."""
        if self.paused:
            self._state.paused = False
            self._welcome()
            self._review(always=True)

    def _command(self, command: Command | None) -> None:
        if command is not None:
            self.command(command)

    def command(self, command: Command) -> None:
        """Somebody said a voice command."""
        logger.info("[%s] voice command: %s", self.config.name, command)
        if command == "stop":
            self.pause()
        else:
            self.resume()

    def end(self) -> None:
        """The agent leaves: what is said breaks off, and its state changes no more."""
        if self.transcripts.sent:
            self.transcripts.state("idle", self.paused, self.turns.newest_id)
        self._ended = True
        self._state.agent_state = "idle"
        self._saying.let_go()
        self._forget_thoughts()
        self._listening.forget_beside("leave")
        self._interruptions.cut(force=True, cause="leave")
        self.turns.drop_open(self._state.now_ms, "leave")

    def wind_up(self) -> None:
        """Nothing new is said, answered or thought of. What is heard goes on to the end of its sentence; what must not
        be interrupted, to its own. Who speaks meanwhile interrupts it as ever."""
        if self._state.winding_up:
            return
        self._state.winding_up = True
        self._saying.let_go()
        self._forget_thoughts()
        self.turns.drop_open(self._state.now_ms, "leave")
        self._listening.forget_beside("leave")
        self._saying.refuse(list(self._saying.waiting))
        if self._interruptions.doubt is not None:  # the user speaks: nothing goes on
            self._interruptions.cut(force=False)
        heard = next((reply for reply in self._saying.live.values() if reply.state == "heard"), None)
        if heard is None:
            self._interruptions.cut(force=True, cause="leave")
        else:
            self._last = heard, self._state.played_ms(heard)
        self._review()

    def _forget_thoughts(self) -> None:
        """What waits to be thought of will not be."""
        self._later.clear()
        self._listening.forget_injected()

    def farewell(self) -> None:
        """Nothing new is answered or thought of. What is said, and what is due already, goes on to its end; who speaks
        meanwhile interrupts it as ever."""
        self._state.leaving = True
        self._forget_thoughts()
        self._review()

    @property
    def silent(self) -> bool:
        """Nothing is being said; where it says farewell, nothing will be, or nobody is there to hear it."""
        if not self._state.leaving:
            return not self._saying.live
        due = self._saying.is_due or self._saying.is_asked
        return not self._state.accompanied or not (self._saying.live or due)

    def _look_at_the_last(self) -> None:
        """While it winds up: whether the sentence is over in which that began, or the reply is."""
        if self._last is not None:
            reply, since_ms = self._last
            end_ms = reply.sentence_end(since_ms) if reply.interruptable else None
            if reply.id in self._saying.live and (end_ms is None or self._state.played_ms(reply) < end_ms):
                return
        self._interruptions.cut(force=True, cause="leave")

    # ----------------------------------------------------------------------------------------------------- the channel

    def joined(self, user: str) -> None:
        """Somebody is there. The first one who is wanted is greeted."""
        if user in self.users:
            return
        self.users.add(user)
        self._welcome()
        self._review()

    def _welcome(self) -> None:
        """Who is there is greeted, where that is due and the agent may speak."""
        if self._state.may_speak and self._state.accompanied:
            self._saying.greeter.came(self.config.greeting, self.clock)
            self._greet()

    def _greet(self) -> None:
        how, text = self.config.greeting, self.config.llm.greeting_message or ""
        if self._saying.greeter.look(self.clock) and (text or how.audio_url):
            self._saying.cut_off([reply for reply in self._saying.live.values() if reply.reason == "greeting"], None)
            self._say(text, "greeting", how.interruptable, recorded=bool(how.audio_url))

    def left(self, user: str) -> None:
        """Somebody is gone."""
        self.users.discard(user)
        if not self._state.accompanied:
            self._saying.nobody_hears()
        self._listening.left(user)
        self._review()

    def out_of_channel(self, reason: str) -> None:
        """The connection is lost. Who is there will be said anew; until then the agent counts as alone, and leaves in
        time."""
        self.users.clear()
        self._do(Emit(b.Failed("CHANNEL_FAILED", f"out of the channel: {reason}")))
        self._review()

    def token_expires(self) -> None:
        """The channel's token expires soon."""
        self._state.tell_error("the token expires soon; update it", "TOKEN_EXPIRING", 0)
        self._do(Emit(b.Failed("TOKEN_EXPIRING", "the channel's token expires soon: update `token`")))

    def hear(self, user: str, pcm: bytes) -> None:
        """10 ms of what a user says: PCM16 mono at 16 kHz. It may be told without `at`."""
        if user not in self.users:
            self.joined(user)
        if self.wants(user):
            self._listening.hear(user, pcm)

    def message(self, user: str, data: bytes) -> Reply | None:
        """A data message of a user's (`client_messages`), as it is or in packets. Returns the reply that it wants."""
        said = self.clients.said(user, data)
        if said is None:
            return None
        try:
            return self._told(user, m.read(said))
        except LipwireError as exc:
            self.clients.refused(exc, said)
        return None

    def _told(self, user: str, message: m.ClientMessage | None) -> Reply | None:
        match message:
            case m.Chat(text):
                self.joined(user)
                return self.tell(text, user=user)
            case m.Question(text=text, priority=when_busy, interruptable=interruptable):
                self.joined(user)
                return self.ask(text, user, when_busy, interruptable)
            case m.Thought():
                self.joined(user)
                return self.think(
                    message.text,
                    ThinkActions(
                        listening=message.on_listening, thinking=message.on_thinking, speaking=message.on_speaking
                    ),
                    user=user,
                    interruptable=message.interruptable,
                    metadata=message.metadata,
                )
            case m.Announcement(text=text, priority=priority, interruptable=interruptable):
                return self.speak(text, priority, interruptable, user=user)
            case m.Interrupt():
                self.interrupt("rtm")
            case m.ToolResult(call_id, output):
                self.tool_result(call_id, output)
            case m.Upload():
                self.clients.uploaded(user, message)
            case m.Mark(begins=begins, request_id=request_id):
                spoken = self.spoken
                why_not = self.manual_start(user) if begins else self.manual_end(user)
                turn_id = self.turns.newest_id if begins or spoken is None else spoken
                self.transcripts.marked(begins, request_id, turn_id, why_not)
            case None:
                self._state.ignored += 1
        return None

    # ------------------------------------------------------------------------------------------------------- the brain

    def brain(self, event: b.BrainEvent) -> None:
        """The brain says something."""
        match event:
            case b.ReplyAudio(reply_id, pcm, rate):
                if (reply := self._interruptions.reply(reply_id)) is not None:
                    self._saying.answer_begins(reply)
                    reply.syllables.add(pcm, rate)
                    self._do(Play(reply, pcm, rate))
            case b.ReplyText(reply_id):
                if (reply := self._interruptions.reply(reply_id)) is not None:
                    reply.add(event)
            case b.ReplyStarted(reply_id, asked_ns, item_id):
                if (reply := self._interruptions.reply(reply_id, item_id)) is not None and reply.turn is not None:
                    reply.turn.mark("asked", asked_ns)
            case b.ReplyFinished(reply_id, text, reason):
                if (reply := self._interruptions.reply(reply_id)) is not None:
                    self._finished(reply, text, reason)
            case b.Stamp(reply_id, name, at_ns):
                if (reply := self._interruptions.reply(reply_id)) is not None and reply.turn is not None:
                    reply.turn.mark(name, at_ns)
            case b.SpeechStarted(onset_ns, item_id, aside):
                self._listening.user_speaks(onset_ns, item_id, aside)
            case b.SpeechStopped(end_ns, item_id, reply_id):
                self._listening.user_spoke(end_ns, item_id, reply_id)
            case b.SpeechResumed():
                self._listening.user_goes_on()
            case b.UserText():
                self._command(self._listening.text(event))
            case b.ToolCalled():
                self.clients.tool_called(event)
            case b.Failed():
                self._saying.failed(self._interruptions.unheard(event))
        self._take_up()
        self._review()

    def asked(self, reply: Reply, reply_id: str) -> None:
        """The brain is going to say a reply, and has named it."""
        self._saying.named(reply, reply_id)

    def over(self, reply: Reply) -> None:
        """The playout has played all of a reply, or there was nothing to play."""
        self._saying.over(reply)
        self._take_up()
        self._review()

    def manual_start(self, user: str) -> str | None:
        """A client says that this user's speech begins (`turn_detection.start_of_speech` "manual"). Returns None, or
        why that cannot be, for people."""
        why = self._listening.manual_start(user)
        self._review()
        return why

    def manual_end(self, user: str) -> str | None:
        """A client says that this user's speech is over (`turn_detection.end_of_speech` "manual", or `enabled` false).
        Returns None, or why that cannot be, for people."""
        return self._listening.manual_end(user)

    def refused(self, reply: Reply, error: LipwireError) -> None:
        """The brain does not say a reply."""
        reply.state, reply.error = "refused", error
        if reply is self._saying.due:
            self._saying.due = None
            if self.turns.open is not None:
                self.turns.open.error = error.code, str(error)
                self.turns.end(self.turns.open, "failed", self._state.now_ms)
        elif reply is self._listening.injected:
            self._listening.injected = None
        elif reply in self._saying.waiting:
            self._saying.waiting.remove(reply)
        nobody_asked = reply.own_words or reply.reason == "silence"
        if nobody_asked and reply.reason not in ("speak", "filler"):  # nobody else hears of it
            self._state.failures += 1
            logger.warning("[%s] the %s message cannot be said: %s", self.config.name, reply.reason, error)
            self._do(Emit(b.Failed("TTS_ERROR" if reply.own_words else "LLM_ERROR", str(error))))
        self._review()

    def _finished(self, reply: Reply, text: str, reason: Literal["done", "cancelled", "failed"]) -> None:
        """The brain has handed over all of a reply, or gives it up."""
        if reason != "done":
            reply.outcome = "failed"
        if reason == "cancelled" and reply.interruptable:
            self._interruptions.cut(force=False)
        else:
            reply.written = True
            self._do(Finish(reply, text))

    # ------------------------------------------------------------------------------------------------- replies, states

    def _say(
        self, text: str, reason: StartReason, interruptable: bool = True, *, recorded: bool = False, user: str = ""
    ) -> Reply:
        reply = self._saying.say(text, reason, interruptable, recorded=recorded, user=user)
        self._review()
        return reply

    def _expect_reply(self, reason: StartReason) -> Reply:
        return self._expect(Reply(reason))

    def _expect(self, reply: Reply) -> Reply:
        self._saying.expect(reply)
        self._review()
        return reply

    def _review(self, *, always: bool = False) -> None:
        """The state follows from what there is. While what was said is held, the agent listens."""
        held = self._interruptions.held
        said = [reply for reply in self._saying.live.values() if reply not in held]
        if self.paused:
            state: t.AgentState = "idle"
        elif any(reply.state == "heard" for reply in said):
            state = "speaking"
        elif self._saying.is_due or said or self._saying.is_asked:
            state = "thinking"
        elif self._listening.waits and self._state.may_speak:
            self._command(self._listening.answer_what_waits())
            self._review(always=always)
            return
        else:
            state = "listening" if self._state.accompanied else "idle"
        if (state == self.state and not always) or self._ended:
            return
        self._state.agent_state = state
        self._do(Floor(state))
        if state != "speaking":
            self._do(Look(state))
        self.transcripts.state(state, self.paused, self.turns.newest_id)
        self._do(Emit(StateChanged(state, self.paused)))

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able."""
        return {
            "state": self.state,
            "paused": self.paused,
            "users": sorted(self.users),
            "turns": self.turns.count,
            "interruptions": self._state.interruptions,
            "false_interruptions": self._state.false_interruptions,
            "failures": self._state.failures,
            "ignored_messages": self._state.ignored,
            "captions_sent": self.transcripts.sent,
            "captions_dropped": self.transcripts.dropped,
            "clock_s": self.clock / RATE,
        }
