"""What is said, heard, interrupted and told in the life of an agent: events and the clock in, actions out. No I/O.

    channel: who comes, goes, speaks, writes ─┐                    ┌─► brain:    Hear, Say, Tell, Interrupted, ...
    brain:   SpeechStarted, ReplyAudio, ...  ─┤                    ├─► playout:  Add, Play, Finish, Drop, Hold, Release
    playout: how much was heard, what is over ┼─►  Conversation ───┼─► channel:  Send
    control: speak, tell, interrupt, pause   ─┤                    ├─► listener: Emit
    clock:   at, tick, look                  ─┘                    └─► agent:    Look, Spot, Leave

Who runs it (`agent.Agent`; a test) says with `at` what time it is, calls the method for what has happened, and then
carries out what is in `actions`, in order. Nothing calls back while a method runs, so nothing re-enters.

Time is the channel's: samples of sound that went into it, at 48 kHz.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import structs

from .._core import RATE
from ..errors import BadState, BufferFull, InvalidArgument, LipwireError
from ..protocol import transcript as t
from . import client_messages as m
from .actions import (
    Action,
    Add,
    Begin,
    Caption,
    Commit,
    Doubted,
    Drop,
    Emit,
    Fill,
    Finish,
    Floor,
    Hear,
    Hold,
    Interrupted,
    Leave,
    Look,
    Play,
    Release,
    Respond,
    Say,
    Send,
    Show,
    Spot,
    TakePicture,
    Tell,
    ToolResult,
)
from .beside import Aside, Beside, fate, unwanted
from .brains import base as b
from .client_messages import Priority
from .config import MAX_TURN_MS, AgentConfig
from .doubt import AT_THE_END, Doubt
from .events import AgentFailed, Said, SpeechCut, StateChanged, TurnEnded
from .failures import for_users
from .feelings import Acting
from .filler import Fillers
from .greeting import Greeter
from .replies import Lead, Outcome, Reply
from .silence import SilenceWatch
from .speech.commands import Command, command_in
from .speech.pauses import asks_for_pause
from .speech.stress import Syllables
from .think_actions import Later, ThinkActions, Thought
from .transcripts import Transcripts
from .turn_taking import Spoken, why_no_end, why_no_start
from .turns import Cause, History, StartReason, Transport, Turn, Turns

logger = logging.getLogger("lipwire.agents")

TICK = 10
"""Blocks of 10 ms between two looks at what time brings."""
MAX_SPEAK = 512
"""Bytes of text that `speak` takes (v2)."""
MAX_TELL = 16_384
"""Characters of a message in text."""
REPLY_DUE = 15.0
"""Seconds after the end of a user's turn in which the agent counts as thinking without a reply having begun."""
NO_SPEECH_DUE = 0.2
"""REPLY_DUE where the user's turn had no words in it."""
TOOL_TIMEOUT = 30.0
"""Seconds that a function of the client's may take."""
MAX_TOOLS = 32
"""Calls of the client's functions that may wait; more are answered with an error."""
MAX_REPLIES = 32
"""Replies that may wait to be heard; another one is refused."""
TOO_MANY = f"{MAX_REPLIES} replies wait to be heard already"
MAX_ITEMS = 64
"""Items of the users' whose turns are remembered."""
REMEMBERED = 256
"""Replies that are known by their ids, those that are over included: what still comes of them is ignored."""
LOUD_RMS = 150.0
"""Level of 16-bit samples (-47 dBFS) from which a user is taken for the one who speaks, where there are several."""


def loud(pcm: bytes) -> bool:
    """Whether PCM16 is louder than a quiet room."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    return len(samples) > 0 and float(np.dot(samples, samples)) / len(samples) >= LOUD_RMS**2


class Conversation:
    """One conversation, from the agent's coming to its leaving.

    Args:
        config: what the agent is. Read whenever it counts, so that changes hold at once.
        room: bytes that a packet of the channel holds.
        sender: begins the ids of the messages that go into the channel; unique in it.
    """

    def __init__(self, config: AgentConfig, *, room: int = t.PACKET, sender: str = "m") -> None:
        self.config = config
        self.state: t.AgentState = "idle"
        self.paused = False
        self.winding_up = False
        """What is heard now is the last that is said."""
        self.leaving = False
        """What is being said, answered and thought of now is the last."""
        self._last: tuple[Reply, float] | None = None
        """That, and how many ms of it had been heard when it became the last."""
        self.users: set[str] = set()
        """Who else is there."""
        self.turns = Turns()
        self.history = History()
        self.transcripts = Transcripts(
            lambda packets: self._do(Send(packets)), config.transcripts, room, config.language, sender
        )
        self.interruptions = self.false_interruptions = self.failures = self.ignored = 0
        self.actions: deque[Action] = deque()
        """What is to be done, in order. Whoever does it takes it out."""
        self.clock = 0
        """Samples of sound that have gone into the channel."""
        self._ns = 0
        self._playing: tuple[str | None, float] = (None, 0.0)
        """The reply that is heard, and how many ms of it."""
        self._do = self.actions.append
        self._ended = False
        self._blocks = 0
        self._speaks = ""
        """The user who speaks, or spoke last."""
        self._assembler = t.Assembler()
        self._alone_since = 0
        self._greeter = Greeter()
        self._silence = SilenceWatch()
        self._fillers = Fillers(sender)
        self._filler: Reply | None = None
        """What is said while an answer is waited for."""
        self._later = Later()
        """What is to be thought of when what is said and answered allows it."""
        self._injected: Reply | None = None
        """Answers what the user is saying, and what was given to be thought of with it."""
        self._replies: dict[str, Reply] = {}
        """The replies that the brain has named, by id, whatever their state."""
        self._live: dict[str, Reply] = {}
        """The replies that have begun and are not over, in the order in which they began."""
        self._asked: list[Reply] = []
        """Replies that have not begun: of the agent's own words, and answers that come in spite of what the user says
        (`_let_go`)."""
        self._due: Reply | None = None
        """The answer to the user's turn, until the brain begins it. One that was interrupted before that is refused,
        and stays here to take the place of what the brain begins next."""
        self._items: dict[str, Turn] = {}
        """The turns of the user's items, by the brain's ids for them."""
        self._spoken: Spoken | None = None
        """The turn whose user speaks."""
        self._beside = Beside()
        """What users say into what the agent says, where that does not interrupt it."""
        self._doubt: Doubt | None = None
        """The user speaks into what is being said, and may not mean it."""
        self._settled: Doubt | None = None
        """The doubt that ended last with nobody having said anything."""
        self._transcribed = self._textless = False
        """Whether any text of a user's has come: then no text means that nothing was said; and whether the brain has
        answered one without."""
        self._pictures = 0
        """How many the users have sent."""
        self._tools: dict[str, int] = {}
        """Calls that the client has not answered: the clock at which they are given up."""
        self._acting = Acting()
        """What the face shows of what is said."""
        self._quiet_frames: dict[str, int] = {}
        """Of each user, 10 ms of silence that the brain is still to hear while the agent is paused, so that a turn
        ends."""

    # ------------------------------------------------------------------------------------------------- time, actions

    def at(self, monotonic_ns: int, wall_ms: int, playing: tuple[str | None, float]) -> None:
        """Says what time it is: CLOCK_MONOTONIC, ms since 1970, and of which reply how many ms have been heard (None =
        of none). To be called before what happens is told."""
        self._ns = monotonic_ns
        self.transcripts.wall_ms = wall_ms
        self.turns.began_at = wall_ms - self._now_ms
        self._playing = playing

    @property
    def _now_ms(self) -> int:
        return self.clock * 1000 // RATE

    def _ms_at(self, at_ns: int | None, otherwise: float) -> float:
        """What the clock's time was at a moment of CLOCK_MONOTONIC."""
        if at_ns is None:
            return otherwise
        return max(0.0, min(self._now_ms - (self._ns - at_ns) / 1e6, self._now_ms))

    def _in(self, seconds: float) -> int:
        return self.clock + round(seconds * RATE)

    def tick(self, clock: int) -> bool:
        """10 ms of sound have gone into the channel, which has `clock` samples now. Returns whether `look` is due: that
        costs more, and mostly nothing has come of 10 ms."""
        self.clock = clock
        self._blocks += 1
        return bool(self._live) or self._blocks % TICK == 0

    def look(self) -> None:
        """Looks at what is heard, and, every TICK, at what else time brings."""
        heard = self._live.get(self._playing[0] or "")
        if heard is not None and heard.state == "begun":
            heard.state = "heard"
            if heard.turn is not None:
                heard.turn.mark("first_sample", self._ns)
            self._review()
        self._act(heard)
        if self.winding_up and self._live:
            self._look_at_the_last()
        if self._blocks % TICK == 0:
            self._look_at_the_clock()

    def _act(self, heard: Reply | None) -> None:
        """Has the face show what is meant by what is heard."""
        if self.config.feelings is False:
            shown = self._acting.cut(self.clock)
        else:
            shown = self._acting.look(heard, self._playing[1], self.clock, self.config.language)
        for feeling in shown:
            self._do(Show(feeling))

    def _look_at_the_clock(self) -> None:
        held = self._doubt.held if self._doubt is not None else []
        for reply in self._live.values():
            if reply.state == "heard" and reply.text and reply not in held:
                self._transcribe(reply, t.RUNNING, self._played_ms(reply))
        self._look_at_the_doubt()
        if self._spoken is not None and self._spoken.until is not None and self.clock >= self._spoken.until:
            self._cut_speech("max_duration")
        for call_id in [name for name, until in self._tools.items() if self.clock >= until]:
            del self._tools[call_id]
            self._do(ToolResult(call_id, json.dumps({"error": "the client has not answered"})))
        due = self._due
        if due is not None and due.state == "asked" and self.clock >= due.expected_until:
            self._let_go()
            self.turns.drop_open(self._now_ms)
        self._refuse([one for one in self._asked if not one.own_words and self.clock >= one.expected_until])
        self._say_by_itself()
        if self.accompanied:
            self._alone_since = self.clock
        elif self.config.idle_timeout and self.clock - self._alone_since >= self.config.idle_timeout * RATE:
            self._do(Leave("idle_timeout"))
        self._take_up()
        self._review()

    def _say_by_itself(self) -> None:
        """The greeting, where its time has come; what is said while an answer is waited for; what breaks a silence."""
        free = self.state in ("listening", "idle") and self._is_answered()
        free = free and not (self.paused or self.winding_up or self.leaving)
        if free and self._greeter.waits and self.accompanied:
            self._greet()
        self._fill()
        silence = self.config.silence
        quiet = free and self.state == "listening" and not self._greeter.waits
        if not self._silence.look(silence, self.clock, quiet) or silence is None or not silence.content.strip():
            return
        if silence.action == "speak":
            self._say(silence.content, "silence")
        else:
            self.turns.begin("silence", self._now_ms).action = "think"
            self._do(Tell(self._expect_reply("silence"), silence.content, "user"))

    # ------------------------------------------------------------------------------------------------------- control

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
            self._cut(force=True, cause="speak", transport="rtm" if user else "http")
        if len(self._live) + sum(self.clock < reply.expected_until for reply in self._asked) >= MAX_REPLIES:
            raise BufferFull(TOO_MANY)
        return self._say(text, "speak", interruptable, user=user)

    def interrupt(self, transport: Transport = "http") -> bool:
        """Stops what is being said or thought, or waits to be; returns whether there was anything. `transport`: how
        that was asked."""
        waited = self._later.clear()
        return self._hush("interrupt", transport) or waited

    def _hush(self, cause: Cause, transport: Transport) -> bool:
        cut = self._cut(force=True, cause=cause, transport=transport)
        if self.turns.open is not None and self._is_due():  # an answer that has not begun will not be said either
            assert self._due is not None
            self._due.state = "refused"
            self.turns.end(self.turns.open, "interrupted", self._now_ms, cause, transport)
            cut = True
        self._review()
        return cut

    def tell(self, text: str, role: Literal["user", "system"] = "user", *, user: str = "") -> Reply:
        """Takes a message in text, which is answered (`Agent.tell`). Raises InvalidArgument, BadState."""
        self._check_told(text)
        turn, reply = self._ask("text", user)
        self._greeter.answered()
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
                self._cut(force=False, cause="think", transport="rtm")
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
        if action == "inject" and self._user_is_speaking():
            return self._inject(thought)
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
        self._greeter.answered()
        self.history.add("user", thought.text, turn.turn_id, self.transcripts.wall_ms)
        if thought.reply.reason == "text":  # others see what was asked
            self.transcripts.user(turn.turn_id, thought.user, thought.text, True, (), self._now_ms)
        self._expect(thought.reply)
        self._do(Tell(thought.reply, thought.text, "user", metadata=thought.metadata))

    def _inject(self, thought: Thought) -> Reply:
        """The user is saying something: what answers that answers this, too."""
        turn = self.turns.open
        assert turn is not None
        self._injected = reply = self._injected or thought.reply
        reply.interruptable = reply.interruptable and thought.reply.interruptable
        self.history.add("user", thought.text, turn.turn_id, self.transcripts.wall_ms)
        self._do(Tell(reply, thought.text, "user", respond=False, metadata=thought.metadata))
        return reply

    def _take_up(self) -> None:
        """What waits to be thought of is, where it can be."""
        if self._later and self._is_answered() and not self.paused:
            self._think_of(self._later.next())

    def _user_is_speaking(self) -> bool:
        turn = self.turns.open
        return turn is not None and turn.start_reason == "speech" and turn.user_ended_ns is None

    def _is_answered(self) -> bool:
        """Nobody waits for an answer, or for the rest of what one says; it may still be heard."""
        asked = any(self.clock < reply.expected_until for reply in self._asked)
        speaks = self._spoken is not None or self._doubt is not None
        waits = speaks or self.turns.open is not None or self._is_due() or asked
        return not waits and all(reply.written or reply.complete for reply in self._live.values())

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
        self._cut(force=False, cause="think", transport="rtm" if user else "http")
        return self._turn_of(reason, user), self._expect_reply(reason)

    def _turn_of(self, reason: StartReason, user: str) -> Turn:
        """Begins a turn that nobody speaks, in the place of what waits for an answer, or may yet turn out to."""
        self._let_go(force=False)
        if self._settled is not None:
            self._settled.replaced = True
        turn = self.turns.begin(reason, self._now_ms, user)
        turn.user_ended_ns = self._ns
        return turn

    def tool_result(self, call_id: str, output: str) -> None:
        """Takes what a function of the client's returned (`Agent.tool_result`), whatever the agent does meanwhile: it
        has been called, and is not called again. Raises InvalidArgument."""
        if self._tools.pop(call_id, None) is None:
            raise InvalidArgument(f"no call {call_id!r:.60} waits for a result")
        self._do(ToolResult(call_id, output))

    def pause(self) -> None:
        """Falls silent, and hears nothing but "Hey ... Start" until `resume`."""
        if self.paused:
            return
        self.paused = True
        self._let_go()
        self._forget_thoughts()
        self.turns.drop_open(self._now_ms, "interrupt")
        self._nothing_beside()
        self._cut(force=True, cause="interrupt")
        if self._spoken is not None and self._spoken.until is not None:
            self._spoken = None
            self._do(Commit())
        # A turn that has begun is to end in the brain too; what it answers is not said.
        frames = self.config.turn_detection.longest_ms // 10 + 30
        self._quiet_frames = dict.fromkeys(self.users, frames)
        self._review(always=True)

    def resume(self) -> None:
        """Goes on."""
        if self.paused:
            self.paused = False
            self._welcome()
            self._review(always=True)

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
            self.transcripts.state("idle", self.paused, self._newest_turn)
        self._ended = True
        self.state = "idle"
        self._forget_thoughts()
        self._nothing_beside()
        self._cut(force=True, cause="leave")
        self.turns.drop_open(self._now_ms, "leave")

    def wind_up(self) -> None:
        """Nothing new is said, answered or thought of. What is heard goes on to the end of its sentence; what must not
        be interrupted, to its own. Who speaks meanwhile interrupts it as ever."""
        if self.winding_up:
            return
        self.winding_up = True
        self._let_go()
        self._forget_thoughts()
        self.turns.drop_open(self._now_ms, "leave")
        self._nothing_beside()
        self._refuse(list(self._asked))
        if self._doubt is not None:  # the user speaks: nothing goes on
            self._cut(force=False)
        heard = next((reply for reply in self._live.values() if reply.state == "heard"), None)
        if heard is None:
            self._cut(force=True, cause="leave")
        else:
            self._last = heard, self._played_ms(heard)
        self._review()

    def _forget_thoughts(self) -> None:
        """What waits to be thought of will not be."""
        self._later.clear()
        if self._injected is not None:
            self._injected.state, self._injected = "refused", None

    def farewell(self) -> None:
        """Nothing new is answered or thought of. What is said, and what is due already, goes on to its end; who speaks
        meanwhile interrupts it as ever."""
        self.leaving = True
        self._forget_thoughts()
        self._review()

    @property
    def silent(self) -> bool:
        """Nothing is being said; where it says farewell, nothing will be, or nobody is there to hear it."""
        if not self.leaving:
            return not self._live
        due = self._is_due() or any(self.clock < reply.expected_until for reply in self._asked)
        return not self.accompanied or not (self._live or due)

    def _look_at_the_last(self) -> None:
        """While it winds up: whether the sentence is over in which that began, or the reply is."""
        if self._last is not None:
            reply, since_ms = self._last
            end_ms = reply.sentence_end(since_ms) if reply.interruptable else None
            if reply.id in self._live and (end_ms is None or self._played_ms(reply) < end_ms):
                return
        self._cut(force=True, cause="leave")

    def check_not_paused(self) -> None:
        """Raises BadState: the agent is paused, or about to leave."""
        if self.winding_up:
            raise BadState("the agent is leaving: the server is shutting down")
        if self.leaving:
            raise BadState("the agent is leaving")
        if self.paused:
            raise BadState("the agent is paused; resume it first")

    # --------------------------------------------------------------------------------------------------- the channel

    def wants(self, user: str) -> bool:
        """Whether the agent hears and sees this user."""
        return not self.config.remote_uids or user in self.config.remote_uids

    @property
    def accompanied(self) -> bool:
        """Whether somebody is there whom it hears: others, bots say, keep no agent in a channel."""
        return any(map(self.wants, self.users))

    def joined(self, user: str) -> None:
        """Somebody is there. The first one who is wanted is greeted."""
        if user in self.users:
            return
        self.users.add(user)
        self._welcome()
        self._review()

    def _welcome(self) -> None:
        """Who is there is greeted, where that is due and the agent may speak."""
        if not (self.paused or self.winding_up or self.leaving) and self.accompanied:
            self._greeter.came(self.config.greeting, self.clock)
            self._greet()

    def _greet(self) -> None:
        how, text = self.config.greeting, self.config.llm.greeting_message or ""
        if self._greeter.look(self.clock) and (text or how.audio_url):
            self._cut_off([reply for reply in self._live.values() if reply.reason == "greeting"], None)
            self._say(text, "greeting", how.interruptable, recorded=bool(how.audio_url))

    def left(self, user: str) -> None:
        """Somebody is gone."""
        self.users.discard(user)
        if not self.accompanied:
            unheard = [one for one in self._live.values() if one.reason == "greeting" and one.state == "begun"]
            self._cut_off(unheard, None)
            unsaid = self._refuse([one for one in self._asked if one.reason == "greeting"])
            self._greeter.alone(self.config.greeting, missed=unsaid or bool(unheard))
        if self._spoken is not None and self._spoken.until is not None and self._spoken.user == user:
            self._cut_speech("left")
        self._review()

    def out_of_channel(self, reason: str) -> None:
        """The connection is lost. Who is there will be said anew; until then the agent counts as alone, and leaves in
        time."""
        self.users.clear()
        self._do(Emit(b.Failed("CHANNEL_FAILED", f"out of the channel: {reason}")))
        self._review()

    def token_expires(self) -> None:
        """The channel's token expires soon."""
        self._tell_error("the token expires soon; update it", "TOKEN_EXPIRING", 0)
        self._do(Emit(b.Failed("TOKEN_EXPIRING", "the channel's token expires soon: update `token`")))

    def hear(self, user: str, pcm: bytes) -> None:
        """10 ms of what a user says: PCM16 mono at 16 kHz. It may be told without `at`."""
        if user not in self.users:
            self.joined(user)
        if not self.wants(user):
            return
        if user != self._speaks and (len(self.users) == 1 or not self._speaks or loud(pcm)):
            self._speaks = user
        if self.config.voice_commands:
            self._do(Spot(pcm, "start" if self.paused else "stop"))
        if not self.paused:
            self._do(Hear(pcm, user))
        elif self._quiet_frames.get(user, 0) > 0:
            self._quiet_frames[user] -= 1
            self._do(Hear(bytes(len(pcm)), user))

    def message(self, user: str, data: bytes) -> Reply | None:
        """A data message of a user's (`client_messages`), as it is or in packets. Returns the reply that it wants."""
        whole = data if data.lstrip()[:1] == b"{" else self._assembler.add(data, self.clock / RATE)
        if whole is None:
            return None
        try:
            said = msgspec.json.decode(whole)
        except (msgspec.DecodeError, RecursionError):
            said = None
        if not isinstance(said, dict) or not self.wants(user):
            self.ignored += 1
            return None
        try:
            return self._told(user, m.read(said))
        except LipwireError as exc:
            if (uuid := m.picture_in(said)) is None:
                self.message_refused(exc)
            else:
                self.picture_refused(uuid, exc.code, str(exc))
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
                self._uploaded(user, message)
            case m.Mark(begins=begins, request_id=request_id):
                spoken = self.spoken
                why_not = self.manual_start(user) if begins else self.manual_end(user)
                turn_id = self._newest_turn if begins or spoken is None else spoken
                self.transcripts.marked(begins, request_id, turn_id, why_not)
            case None:
                self.ignored += 1
        return None

    def _uploaded(self, user: str, upload: m.Upload) -> None:
        why = None
        if self.config.brain not in ("cascade", "realtime"):
            why = f"the brain {self.config.brain} takes none"
        elif "image" not in self.config.llm.input_modalities:
            why = "llm.input_modalities has no image"
        if why is None:
            self._do(TakePicture(user, upload))
        else:
            self.picture_refused(upload.uuid, "NO_PICTURES", f"This agent sees no pictures: {why}.")

    def picture_taken(self, upload: m.Upload, width: int, height: int, size: int) -> None:
        """A picture of a user's is shown to the brain: its sides, and the bytes that it came in."""
        self._pictures += 1
        facts = {
            "uuid": upload.uuid[: m.MAX_TOLD],
            "width": width,
            "height": height,
            "size_bytes": size,
            "source_type": "url" if upload.url else "base64",
            "source_value": upload.url[: m.MAX_TOLD],
            "total_user_images": self._pictures,
        }
        self.transcripts.picture_taken(facts, self._newest_turn)

    def picture_refused(self, uuid: str, reason: str, message: str) -> None:
        """A picture of a user's is not used: a word, and why."""
        self.ignored += 1
        self.transcripts.picture_refused(uuid[: m.MAX_TOLD], reason, message[:400], self._newest_turn)

    def message_refused(self, exc: LipwireError) -> None:
        """A message came to nothing; its sender is told."""
        self.ignored += 1
        self.transcripts.error(str(exc), exc.code, 0)

    # ----------------------------------------------------------------------------------------------------- the brain

    def brain(self, event: b.BrainEvent) -> None:
        """The brain says something."""
        match event:
            case b.ReplyAudio(reply_id, pcm, rate):
                if (reply := self._reply(reply_id)) is not None:
                    self._answer_begins(reply)
                    reply.syllables.add(pcm, rate)
                    self._do(Play(reply, pcm, rate))
            case b.ReplyText(reply_id):
                if (reply := self._reply(reply_id)) is not None:
                    reply.add(event)
            case b.ReplyStarted(reply_id, asked_ns, item_id):
                if (reply := self._reply(reply_id, item_id)) is not None and reply.turn is not None:
                    reply.turn.mark("asked", asked_ns)
            case b.ReplyFinished(reply_id, text, reason):
                if (reply := self._reply(reply_id)) is not None:
                    self._finished(reply, text, reason)
            case b.Stamp(reply_id, name, at_ns):
                if (reply := self._reply(reply_id)) is not None and reply.turn is not None:
                    reply.turn.mark(name, at_ns)
            case b.SpeechStarted(onset_ns, item_id, aside):
                self._user_speaks(onset_ns, item_id, aside)
            case b.SpeechStopped(end_ns, item_id):
                self._user_spoke(end_ns, item_id)
            case b.SpeechResumed():
                self._user_goes_on()
            case b.UserText():
                self._user_text(event)
            case b.ToolCalled():
                self._tool_called(event)
            case b.Failed():
                self._failed(self._unheard(event))
        self._take_up()
        self._review()

    def asked(self, reply: Reply, reply_id: str) -> None:
        """The brain is going to say a reply, and has named it."""
        reply.id = reply_id
        self._remember(reply)

    def refused(self, reply: Reply, error: LipwireError) -> None:
        """The brain does not say a reply."""
        reply.state, reply.error = "refused", error
        if reply is self._due:
            self._due = None
            if self.turns.open is not None:
                self.turns.open.error = error.code, str(error)
                self.turns.end(self.turns.open, "failed", self._now_ms)
        elif reply is self._injected:
            self._injected = None
        elif reply in self._asked:
            self._asked.remove(reply)
        nobody_asked = reply.own_words or reply.reason == "silence"
        if nobody_asked and reply.reason not in ("speak", "filler"):  # nobody else hears of it
            self.failures += 1
            logger.warning("[%s] the %s message cannot be said: %s", self.config.name, reply.reason, error)
            self._do(Emit(b.Failed("TTS_ERROR", str(error))))
        self._review()

    def _user_speaks(self, onset_ns: int, item_id: str | None, aside: bool = False, user: str | None = None) -> None:
        """A user begins to speak. `user`: who has begun it by hand."""
        if self.paused:
            return
        detection, spoke = self.config.turn_detection, self.state == "speaking"
        if self._spoken is not None and self._spoken.by_hand and not self._spoken.named:
            self._spoken.named = True
            self._spoken.turn.user_began_ns = onset_ns
            self._is_of(item_id, self._spoken.turn)
            return
        by_hand, user = user is not None, self._speaks if user is None else user
        if not aside:
            if self._doubt is None and not by_hand:
                self._hold()
            if self._doubt is None:
                self._cut(force=False)
        if self.winding_up:
            return
        if aside:
            turn = self.turns.beside("speech", self._now_ms, user)
            left = self._left_ms([reply for reply in self._live.values() if reply.interruptable])
            self._beside.began(turn, at_the_end=left is not None and left <= AT_THE_END)
        else:
            self._let_go(force=False)
            turn = self.turns.begin("speech", self._now_ms, user)
        turn.user_began_ns = onset_ns
        turn.least_voice_ms = detection.speaking_interrupt_duration_ms if spoke else detection.interrupt_duration_ms
        self._is_of(item_id, turn)
        by_client = by_hand or not detection.ends_by_itself
        self._spoken = Spoken(turn, user, by_hand, self._in(MAX_TURN_MS / 1000) if by_client else None)
        if self._doubt is not None:
            self._doubt.until = None
            self._doubt.turns.append(turn)

    def _user_spoke(self, end_ns: int, item_id: str | None) -> None:
        known = self._items.get(item_id) if item_id is not None else None
        if self._spoken is not None and known in (None, self._spoken.turn):
            self._spoken = None
        if self.paused or self.winding_up:
            return
        if (aside := self._beside.of(known)) is not None and not aside.calls:
            aside.turn.user_ended_ns = end_ns
            return
        if self._beside.forgot(known):
            return
        turn = self.turns.open
        if turn is None or turn.start_reason != "speech":
            self._let_go(force=False)
            if known is not None and known.end_reason == "no_reply" and known.user_ended_ns is None:
                turn = known  # something else was asked while the user spoke
                self.turns.drop_open(self._now_ms, "speech")
                self.turns.again(turn)
            else:
                turn = self.turns.begin("speech", self._now_ms, self._speaks)
            if self._doubt is not None:
                self._doubt.turns.append(turn)
        self._is_of(item_id, turn)
        turn.user_ended_ns = end_ns
        injected, self._injected = self._injected, None
        self._expect(injected or Reply("speech"))
        if self._doubt is not None:
            self._doubt.until = self._in(self.config.turn_detection.false_interruption_timeout)

    def _user_goes_on(self) -> None:
        """After a pause in his turn: who listens nods."""
        if self.config.feelings is False or self.state != "listening" or self._spoken is None or self._doubt:
            return
        for feeling in self._acting.listen((self._now_ms - self._spoken.turn.start_ms) / 1000, self.clock):
            self._do(Show(feeling))

    def _is_of(self, item_id: str | None, turn: Turn) -> None:
        """An item of the user's belongs to this turn; what it belongs to already stays."""
        if item_id is not None and item_id not in self._items:
            self._items[item_id] = turn
            if len(self._items) > MAX_ITEMS:
                del self._items[next(iter(self._items))]

    def _user_text(self, event: b.UserText) -> None:
        self._transcribed = True
        turn = self._items.get(event.item_id)
        if turn is None:
            turn = self.turns.open or self.turns.newest or self.turns.begin("speech", self._now_ms, self._speaks)
            self._is_of(event.item_id, turn)
        user = turn.user or self._speaks
        aside, forgotten = self._beside.of(turn), self._beside.forgot(turn)
        if not (aside or forgotten) or not unwanted(self.config.interruption):
            self.transcripts.user(turn.turn_id, user, event.text, event.final, event.words, self._now_ms)
        if aside is not None:
            self._said_beside(aside, event)
        if aside is not None or forgotten:
            return
        if self._settle_doubt(turn, event) or not event.final:
            return
        if not event.text.strip():
            if turn is self.turns.open and self._is_due():  # no speech: most likely nothing is due
                assert self._due is not None
                self._due.expected_until = self._in(NO_SPEECH_DUE)
            return
        self._user_said(turn, event)
        detection = self.config.turn_detection
        waits = detection.end_of_speech == "semantic" and detection.pause_state
        if waits and turn is self.turns.open and asks_for_pause(event.text, self.config.language):
            self._let_go()  # the brain waits for what follows
            self.turns.drop_open(self._now_ms)

    def _user_said(self, turn: Turn, event: b.UserText) -> None:
        """A text of the user's is final, and counts."""
        self._greeter.answered()
        turn.user_text = event.text
        start_ms = self._ms_at(turn.user_began_ns, turn.start_ms)
        end_ms = max(start_ms, self._ms_at(turn.user_ended_ns, self._now_ms))
        self.history.add("user", event.text, turn.turn_id, self.transcripts.wall_ms, (start_ms, end_ms))
        self._do(Emit(Said("user", event.text, turn.turn_id)))
        if self.config.film:
            self._do(Caption(turn.user or self._speaks or "user", event.text, start_ms, end_ms))
        if self.config.voice_commands and (command := command_in(event.text)) is not None:
            self.command(command)

    # ------------------------------------------------------------------ what does not interrupt, and who speaks by hand

    def manual_start(self, user: str) -> str | None:
        """A client says that this user's speech begins (`turn_detection.start_of_speech` "manual"). Returns None, or
        why that cannot be, for people."""
        if (why := self._not_heard(user)) is not None:
            return why
        how = self.config.interruption
        if (why := why_no_start(self.config.turn_detection, how, self.state, self._spoken)) is not None:
            return why
        aside = not how.by_voice and self.state in ("speaking", "thinking")
        self._user_speaks(self._ns, None, aside, user)
        self._do(Begin(user))
        self._review()
        return None

    def manual_end(self, user: str) -> str | None:
        """A client says that this user's speech is over (`turn_detection.end_of_speech` "manual", or `enabled` false).
        Returns None, or why that cannot be, for people."""
        why = self._not_heard(user) or why_no_end(self.config.turn_detection, user, self._spoken)
        if why is None:
            self._do(Commit())
        return why

    @property
    def spoken(self) -> int | None:
        """The id of the turn whose user speaks; None: nobody does."""
        return None if self._spoken is None else self._spoken.turn.turn_id

    def _not_heard(self, user: str) -> str | None:
        if not self.wants(user):
            return "the agent does not hear this user (remote_rtc_uids)"
        try:
            self.check_not_paused()
        except BadState as exc:
            return str(exc)
        return None

    def _cut_speech(self, reason: Literal["max_duration", "left"]) -> None:
        """Speech that a client has not ended is over."""
        assert self._spoken is not None
        self.transcripts.speech_ended(reason, MAX_TURN_MS, self._spoken.turn.turn_id)
        self._do(Emit(SpeechCut(self._spoken.turn.turn_id, reason, MAX_TURN_MS)))
        self._spoken = None
        self._do(Commit())

    def _said_beside(self, aside: Aside, event: b.UserText) -> None:
        turn, what = aside.turn, fate(aside, event, self.config)
        if what == "calls":
            aside.calls = True
            self._cut(force=False)
            self._let_go(force=False)
            self.turns.drop_open(self._now_ms)
            self.turns.again(turn)
            if turn.user_ended_ns is not None:
                self._expect_reply("speech")
        elif what == "waits":
            aside.said = event
        elif what is not None:
            self._beside.drop(aside)
            turn.user_text = event.text
            self.turns.end(turn, "no_reply", self._now_ms, None if what == "nothing" else what)
            if self.config.voice_commands and (command := command_in(event.text)) is not None:
                self.command(command)
        if event.final and aside.calls:
            self._beside.drop(aside)
            if event.text.strip():
                self._answer_beside([(turn, event)])
            elif turn is self.turns.open:  # what was taken for a keyword was none
                self._let_go()
                self.turns.drop_open(self._now_ms)

    def _answer_beside(self, said: list[tuple[Turn, b.UserText]]) -> None:
        """What was said beside is answered now, and its last turn has the answer."""
        for turn, event in said:
            self._user_said(turn, event)
        turn, _ = said[-1]
        for other, _ in said[:-1]:
            self.turns.end(other, "no_reply", self._now_ms)
        if self.paused:  # by what was said
            self.turns.end(turn, "no_reply", self._now_ms)
            return
        if turn is not self.turns.open:
            self.turns.drop_open(self._now_ms)
            self.turns.again(turn)
            turn.let_wait_ns = self._ns
        reply = self._due if self._is_due() and self._due is not None else self._expect_reply("speech")
        self._do(Tell(reply, "\n".join(event.text for _, event in said), "user"))

    def _nothing_beside(self) -> None:
        """Nothing that was said beside will be answered."""
        for aside in self._beside.forget():
            self.turns.end(aside.turn, "no_reply", self._now_ms)

    # --------------------------------------------------------------------------------- does the user interrupt it?

    def _hold(self) -> None:
        """The user speaks: what may be interrupted is held, if anything is said, until it is known whether it is."""
        detection = self.config.turn_detection
        if not (detection.ends_by_itself and detection.resume_false_interruption) or self.winding_up:
            return  # where turns do not end by silence nobody would know that a noise has
        live = [reply for reply in self._live.values() if reply.interruptable]
        held = live + [reply for reply in self._asked if reply.interruptable]
        if not held:
            return
        self._doubt = doubt = Doubt(held, self._left_ms(held))
        self._settled = None
        self._do(Hold())
        if not doubt.at_the_end:
            self._do(Doubted(True))

    def _left_ms(self, replies: list[Reply]) -> float | None:
        """How much of these is left to be said; None: that is not known yet."""
        left = [reply.received_ms - self._played_ms(reply) if reply.complete else None for reply in replies]
        known = [ms for ms in left if ms is not None]
        return sum(known) if len(known) == len(left) else None

    def _settle_doubt(self, turn: Turn, event: b.UserText) -> bool:
        """What a text of the user's means for what is held. Returns whether it means nothing else."""
        doubt, detection = self._doubt, self.config.turn_detection
        if doubt is not None and turn in doubt.turns:
            if doubt.means(event.text, self.config.language, detection, final=event.final):
                self._interrupted()
                return False
            if event.final and turn is doubt.turns[-1] and doubt.until is not None:
                self._go_on()
            return True
        late = self._settled
        if late is None or turn not in late.turns:
            return False
        if not late.means(event.text, self.config.language, detection, final=event.final):
            return True
        self._settled = None  # it was more than a noise after all, and took long to be understood
        if late.replaced:
            return False
        self._cut(force=False)
        if event.final or turn.user_ended_ns is not None:
            self._let_go(force=False)
            self.turns.again(turn)
            reply = self._expect_reply("speech")
            if late.answers:  # which the brain has given, and will not give again by itself
                self._do(Respond(reply, None))
        return False

    def _look_at_the_doubt(self) -> None:
        doubt = self._doubt
        if doubt is None or doubt.until is None or self.clock < doubt.until:
            return
        if doubt.answers and not self._transcribed:  # the brain tells no texts; it answers what was said
            self._textless = True
            self._interrupted()
        else:
            self._go_on()

    def _interrupted(self) -> None:
        """The user has interrupted what is held. Answers to that are said now."""
        doubt = self._doubt
        assert doubt is not None
        self._cut_off([reply for reply in doubt.held if reply.id in self._live])
        self._refuse([reply for reply in doubt.held if reply in self._asked])
        # Of several turns only the last is answered, and none while the user speaks.
        stale = [one for one in doubt.answers if doubt.until is None or one.turn is not doubt.turns[-1]]
        self._cut_off([reply for reply in stale if reply.id in self._live])
        self._end_doubt()

    def _go_on(self) -> None:
        """Nobody has said anything: what is held goes on, and nothing of it is answered."""
        doubt = self._doubt
        assert doubt is not None
        self._cut_off([reply for reply in doubt.answers if reply.id in self._live])
        if self._due is not None and self._due.reason != "think":  # what was given meanwhile is answered all the same
            self._let_go()
        self.turns.drop_open(self._now_ms)
        self._settled = doubt
        self.false_interruptions += 1
        self._end_doubt()

    def _unheard(self, event: b.Failed) -> b.Failed:
        """Where speech to text has failed nobody will know whether the user said anything: the agent goes on, unless
        the model has heard it by itself (`minor`). Returns the failure as it is from then on: no answer is due."""
        doubt = self._doubt
        if doubt is None or event.code != "STT_ERROR" or event.reply_id is not None:
            return event
        if not event.minor:
            if doubt.until is not None:  # else the user speaks again
                self._go_on()
            return structs.replace(event, minor=True)
        doubt.untold = True
        if doubt.answers:
            self._interrupted()
        return event

    def _end_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt = None
            self._do(Release())
            self._do(Doubted(False))

    def _weigh(self, reply: Reply, item_id: str | None) -> None:
        """A reply begins while there is a doubt: it answers what the user has said, if that was anything, and waits; or
        what was said before, and is held. `item_id`: the user's item that it answers, where the brain says so."""
        doubt = self._doubt
        if doubt is None or reply.own_words or reply.turn is not None:
            return
        turn = self._items.get(item_id) if item_id is not None else None
        if not (turn in doubt.turns if turn is not None else doubt.until is not None):
            doubt.held.append(reply)
        elif doubt.untold or (not self._transcribed and (self._textless or item_id is None)):
            self._interrupted()  # there will be no text, and the brain has understood something
        else:
            doubt.answers.append(reply)

    def _answers_nothing(self, item_id: str | None) -> bool:
        """Whether an item is known to be a noise."""
        turn = self._items.get(item_id) if item_id is not None else None
        return turn is not None and self._settled is not None and turn in self._settled.turns

    def _gave_way(self, item_id: str | None) -> bool:
        """Whether an item's turn is not to be answered, as something that was asked for took its place."""
        turn = self._items.get(item_id) if item_id is not None else None
        return turn is not None and turn.end_reason is not None and turn.caused_by in ("think", "interrupt")

    def _tool_called(self, event: b.ToolCalled) -> None:
        self._do(Emit(event))
        if event.handled:
            return
        if len(self._tools) >= MAX_TOOLS:
            self._do(ToolResult(event.call_id, json.dumps({"error": "too many calls wait for the client"})))
            return
        self._tools[event.call_id] = self._in(TOOL_TIMEOUT)
        self.transcripts.tool(event.call_id, event.name, event.arguments)

    def _failed(self, event: b.Failed) -> None:
        self.failures += 1
        logger.warning("[%s] %s: %s", self.config.name, event.code, event.message)
        reply = self._replies.get(event.reply_id) if event.reply_id is not None else None
        turn = self.turns.open if reply is None else reply.turn
        sentence = for_users(event, self.config)
        if sentence:
            self._tell_error(sentence, event.code, turn.turn_id if turn is not None else 0)
        self._do(Emit(event))
        if event.fatal:
            self._do(Leave("failed", AgentFailed(f"{event.code}: {event.message}")))
            return
        if event.minor:
            return
        if reply is not None and reply.state == "asked":  # the agent's own words, which will not come
            reply.state = "refused"
            self._asked.remove(reply)
            return
        if turn is None or turn.end_reason in ("finished", "interrupted", "no_reply"):
            return
        if turn.error is None:
            turn.error = event.code, event.message
        if reply is not None and reply.id in self._live:
            reply.outcome = "failed"
            self._do(Finish(reply, reply.text))
        elif turn is self.turns.open:
            if turn.user_ended_ns is None:
                return  # the user still speaks: no reply is due yet
            self._let_go()
            self.turns.end(turn, "failed", self._now_ms)
        message = "" if self.config.llm.failure_message == "" else sentence
        own_words = reply is not None and reply.own_words
        waits = any(one.reason == "failure" for one in (*self._live.values(), *self._asked))
        if message and not own_words and not (self.paused or self.winding_up or self.leaving or waits):
            self._say(message, "failure")

    def _tell_error(self, sentence: str, code: str, turn_id: int) -> None:
        if self.config.error_messages:
            self.transcripts.error(sentence, code, turn_id)

    # --------------------------------------------------------------------------------------------------- the replies

    def _is_due(self) -> bool:
        return self._due is not None and self._due.state == "asked"

    def _fill(self) -> None:
        """Whoever waits for an answer that does not begin is told something, once."""
        answer = self._awaited()
        if answer is None:
            self._fillers.over()
        filler = self.config.filler
        speaks = self._spoken is not None or self._doubt is not None
        busy = speaks or self._asked or any(reply.state == "heard" for reply in self._live.values())
        if answer is None or answer.filled or filler is None or busy or not self._is_understood(answer):
            return
        if text := self._fillers.look(filler, self.clock):
            self._filler = reply = Reply("filler", interruptable=answer.interruptable, own_words=True)
            reply.fills, answer.filled = answer, True
            self._asked.append(reply)
            self._do(Fill(reply, text))

    def _awaited(self) -> Reply | None:
        """The answer that a user waits for, and that the model has not begun."""
        if self._is_due():
            return self._due
        return next((reply for reply in self._live.values() if not (reply.own_words or reply.begins)), None)

    def _is_understood(self, answer: Reply) -> bool:
        """Whether it is known what it answers: what is none may be a cough."""
        turn = self.turns.open if answer is self._due else answer.turn
        return turn is not None and (turn.start_reason != "speech" or bool(turn.user_text))

    def _expect_reply(self, reason: StartReason) -> Reply:
        return self._expect(Reply(reason))

    def _expect(self, reply: Reply) -> Reply:
        if reply.reason != "silence":
            self._fillers.wait(self.clock)
        self._let_go()
        self._due = reply
        self._due.expected_until = self._in(REPLY_DUE)
        if self.leaving:
            reply.state = "refused"
            self.turns.drop_open(self._now_ms, "leave")
        self._review()
        return self._due

    def _let_go(self, *, force: bool = True) -> None:
        """The answer that is due will not be said; without `force` one that must not be interrupted will, in its own
        turn."""
        due, self._due = self._due, None
        if due is None or due.state != "asked":
            return
        if force or due.interruptable:
            due.state = "refused"
        else:
            due.turn, self.turns.open = self.turns.open, None
            self._asked.append(due)

    def _say(
        self, text: str, reason: StartReason, interruptable: bool = True, *, recorded: bool = False, user: str = ""
    ) -> Reply:
        reply = Reply(reason, interruptable=interruptable, expected_until=self._in(REPLY_DUE), own_words=True)
        reply.user = user
        self._asked.append(reply)
        if len(self._asked) > REMEMBERED:
            self._asked.pop(0).state = "refused"
        self._do(Say(reply, text, recorded))
        self._review()
        return reply

    def _remember(self, reply: Reply) -> None:
        self._replies[reply.id] = reply
        if len(self._replies) > REMEMBERED:
            forgotten = next((one for one in self._replies.values() if one.state in ("over", "refused")), None)
            if forgotten is not None:
                del self._replies[forgotten.id]

    def _reply(self, reply_id: str, item_id: str | None = None) -> Reply | None:
        """The reply of that id, begun if need be; None if it is over or not to be said. `item_id`: the user's item that
        it answers, if any."""
        reply = self._replies.get(reply_id)
        if reply is None:
            if self._answers_nothing(item_id):
                reply = Reply("agent")
                reply.state = "refused"
                assert self._settled is not None
                self._settled.answers.append(reply)
            elif item_id is None and (kept := next((one for one in self._asked if not one.own_words), None)):
                reply = kept
            elif self._gave_way(item_id) and (self._due is None or self._due.state == "asked"):
                reply = Reply("agent")
                reply.state = "refused"
            else:
                reply, self._due = self._due or Reply("agent"), None
            self.asked(reply, reply_id)
            if reply.state == "refused":
                self._do(Interrupted(reply_id, 0.0, ""))
        if reply.state == "asked":
            self._weigh(reply, item_id)
            self._begin(reply)
        return reply if reply.state in ("begun", "heard") else None

    def _begin(self, reply: Reply) -> None:
        if reply in self._asked:
            self._asked.remove(reply)
        unasked = self.leaving and reply.reason == "agent"
        full = len(self._live) >= MAX_REPLIES
        if self.paused or self.winding_up or unasked or full:
            reply.state = "refused"
            self._do(Interrupted(reply.id, 0.0, ""))
            if full:
                reply.error = BufferFull(TOO_MANY)
                self.failures += 1
                self._do(Emit(b.Failed("TTS_ERROR", TOO_MANY)))
            if reply.turn is not None:
                self.turns.end(reply.turn, "no_reply", self._now_ms)
            elif not reply.own_words and reply.reason != "agent":  # the turn that waited for it
                self.turns.drop_open(self._now_ms)
            return
        if reply.fills is not None:
            self._begin_filler(reply, reply.fills)
            return
        assert reply.reason != "filler"
        if reply.own_words:
            reply.turn = self.turns.beside(reply.reason, self._now_ms, reply.user)
            if reply.reason == "silence":
                reply.turn.action = "speak"
        else:
            reply.turn = reply.turn or self.turns.answered(self._now_ms)
        reply.state = "begun"
        self._live[reply.id] = reply
        self._do(Add(reply))

    def _begin_filler(self, reply: Reply, answer: Reply) -> None:
        """It is part of the turn whose answer it fills in for, and its times are not that turn's."""
        waits = self.turns.open if answer is self._due else answer.turn
        if waits is None or answer is not self._awaited():
            reply.state = "refused"
            self._do(Interrupted(reply.id, 0.0, ""))
            return
        reply.turn = Turn(turn_id=waits.turn_id, start_reason="agent", start_ms=self._now_ms)
        reply.state = "begun"
        self._live[reply.id] = reply
        self._do(Add(reply, None if answer is self._due else answer))

    def _answer_begins(self, answer: Reply) -> None:
        """The first sound of an answer has come: what was to fill in for it, and has none, is not needed."""
        filler = self._filler
        if filler is None or filler.fills is not answer:
            return
        self._filler = None
        if filler in self._asked:
            self._refuse([filler])
        elif filler.id in self._live and not filler.received_ms:
            self._cut_off([filler])

    def _finished(self, reply: Reply, text: str, reason: Literal["done", "cancelled", "failed"]) -> None:
        """The brain has handed over all of a reply, or gives it up."""
        if reason != "done":
            reply.outcome = "failed"
        if reason == "cancelled" and reply.interruptable:
            self._cut(force=False)
        else:
            reply.written = True
            self._do(Finish(reply, text))

    def over(self, reply: Reply) -> None:
        """The playout has played all of a reply, or there was nothing to play."""
        if self._live.pop(reply.id, None) is None:
            return
        text = reply.heard(reply.received_ms) if reply.outcome == "failed" else reply.text.strip()
        self._end(reply, reply.outcome or "finished", text, reply.received_ms)
        self._take_up()
        self._review()

    def _played_ms(self, reply: Reply) -> float:
        name, ms = self._playing
        return ms if name == reply.id else 0.0

    def _cut(self, *, force: bool, cause: Cause = "speech", transport: Transport = "http") -> bool:
        """Stops what is being said or thought, `force`: also what the user must not interrupt. Returns whether there
        was anything."""
        cut = [reply for reply in self._live.values() if force or reply.interruptable]
        self._cut_off(cut, cause, transport)
        refused = self._refuse([reply for reply in self._asked if force or reply.interruptable], cause, transport)
        self._end_doubt()
        return refused or bool(cut)

    def _cut_off(self, cut: list[Reply], cause: Cause | None = "speech", transport: Transport = "http") -> None:
        """Stops these, of those that have begun. `cause`: None = nobody interrupts them."""
        if cut:
            self._do(Drop(cut))
        for reply in cut:
            del self._live[reply.id]
            played_ms = self._played_ms(reply)
            text = reply.heard(played_ms)
            self._do(Interrupted(reply.id, played_ms, text))
            if reply.state == "heard":
                for feeling in self._acting.cut(self.clock):
                    self._do(Show(feeling))
                self.interruptions += cause is not None
                self.transcripts.interrupted(reply.turn_id, self._now_ms)
            if reply.turn is not None:
                reply.turn.caused_by, reply.turn.transport = cause, transport
            self._end(reply, "interrupted", text, played_ms)

    def _refuse(self, unsaid: list[Reply], cause: Cause | None = None, transport: Transport = "http") -> bool:
        """What was asked for and has not begun is not said. Returns whether there was any."""
        for reply in unsaid:
            reply.state = "refused"
            self._asked.remove(reply)
            if reply.turn is not None:
                self.turns.end(reply.turn, "no_reply", self._now_ms, cause, transport)
            if reply.id:
                self._do(Interrupted(reply.id, 0.0, ""))
        return bool(unsaid)

    def _end(self, reply: Reply, outcome: Outcome, text: str, played_ms: float) -> None:
        reply.state, reply.outcome = "over", outcome
        reply.syllables = Syllables()  # it is remembered, and its sound is not
        if text or reply.lead is not None:
            status: t.TurnStatus = t.INTERRUPTED if outcome == "interrupted" else t.ENDED
            waits = reply.fills is not None and reply.fills.state in ("asked", "begun", "heard")
            if waits and outcome != "interrupted":  # the turn goes on
                status = t.RUNNING
            self._transcribe(reply, status, played_ms, text)
        if text:
            speech = max(0.0, self._now_ms - played_ms), self._now_ms
            self.history.add("assistant", text, reply.turn_id, self.transcripts.wall_ms, speech)
            self._do(Emit(Said("assistant", text, reply.turn_id, outcome == "interrupted")))
            if self.config.film:
                words = tuple(reply.heard_words(played_ms))
                self._do(Caption(self.config.name, text, self._now_ms - played_ms, self._now_ms, words))
        turn = reply.turn
        if reply.fills is not None and text:
            start_ms = self._now_ms - played_ms
            reply.fills.lead = Lead(text, start_ms, played_ms, tuple(reply.heard_words(played_ms)))
        if turn is None or reply.fills is not None:
            return
        turn.agent_text, turn.played_ms = text, played_ms
        self.turns.end(turn, outcome, self._now_ms, turn.caused_by, turn.transport)
        self._tell_times(turn)
        self._do(Emit(TurnEnded(turn.as_dict(), reply.id, turn.times())))

    def _tell_times(self, turn: Turn) -> None:
        e2e_ms = turn.e2e_latency_ms
        if e2e_ms is None:
            return
        self.transcripts.turn_finished(self.config.agent_id or self.config.name, turn)
        if not self.config.metrics:
            return
        model = "mllm" if self.config.brain == "realtime" else "llm"
        for module, name, ms in (
            (model, "ttft", turn.between("asked", "first_token")),
            ("tts", "ttfb", turn.between("first_sentence", "first_audio")),
        ):
            if ms is not None:
                self.transcripts.metrics(module, name, turn.turn_id, ms)
        self.transcripts.metrics("turn", "e2e_latency", turn.turn_id, e2e_ms, turn.segments())

    def _transcribe(self, reply: Reply, status: t.TurnStatus, played_ms: float, text: str | None = None) -> None:
        heard = reply.heard(played_ms) if text is None else text
        start_ms = self._now_ms - played_ms
        words = reply.heard_words(played_ms) if status != t.RUNNING else []
        if reply.lead is not None:
            heard, words, ms = reply.lead.before(heard, words, start_ms)
            start_ms, played_ms = start_ms - ms, played_ms + ms
        if heard:
            self.transcripts.agent(reply.turn_id, heard, status, start_ms, played_ms, words)

    # ------------------------------------------------------------------------------------------------------- states

    def _review(self, *, always: bool = False) -> None:
        """The state follows from what there is. While what was said is held, the agent listens."""
        held = self._doubt.held if self._doubt is not None else []
        said = [reply for reply in self._live.values() if reply not in held]
        if self.paused:
            state: t.AgentState = "idle"
        elif any(reply.state == "heard" for reply in said):
            state = "speaking"
        elif self._is_due() or said or any(self.clock < reply.expected_until for reply in self._asked):
            state = "thinking"
        elif self._spoken is None and not (self.winding_up or self.leaving) and (waiting := self._beside.take()):
            self._answer_beside([(one.turn, one.said) for one in waiting if one.said is not None])
            return  # which has looked at it again
        else:
            state = "listening" if self.accompanied else "idle"
        if (state == self.state and not always) or self._ended:
            return
        self.state = state
        self._do(Floor(state))
        if state != "speaking":
            self._do(Look(state))
        self.transcripts.state(state, self.paused, self._newest_turn)
        self._do(Emit(StateChanged(state, self.paused)))

    @property
    def _newest_turn(self) -> int:
        newest = self.turns.newest
        return newest.turn_id if newest is not None else 0

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able."""
        return {
            "state": self.state,
            "paused": self.paused,
            "users": sorted(self.users),
            "turns": self.turns.count,
            "interruptions": self.interruptions,
            "false_interruptions": self.false_interruptions,
            "failures": self.failures,
            "ignored_messages": self.ignored,
            "captions_sent": self.transcripts.sent,
            "captions_dropped": self.transcripts.dropped,
            "clock_s": self.clock / RATE,
        }
