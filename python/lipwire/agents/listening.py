"""What users say: their turns, begun and ended by what is heard or by hand, and their texts. No I/O."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import BadState
from .actions import Begin, Caption, Commit, Emit, Hear, Interrupted, Respond, Spot, Tell
from .beside import Aside, Beside, fate, unwanted
from .brains import base as b
from .config import MAX_TURN_MS
from .conversation_state import ConversationState
from .doubt import AT_THE_END
from .events import Said, SpeechCut
from .interruptions import Interruptions
from .replies import Reply
from .saying import Saying
from .speech.commands import Command, command_in
from .speech.pauses import asks_for_pause
from .think_actions import Thought
from .turn_taking import TELLS_TURNS, Spoken, why_no_end, why_no_start
from .turns import Cause, Transport, Turn

NO_SPEECH_DUE = 0.2
"""`saying.REPLY_DUE` where the user's turn had no words in it."""
PAUSE = 15.0
"""Seconds for which the wish to wait holds (`speech.pauses`): then what was said is answered."""
LOUD_RMS = 150.0
"""Level of 16-bit samples (-47 dBFS) from which a user is taken for the one who speaks, where there are several."""


def loud(pcm: bytes) -> bool:
    """Whether PCM16 is louder than a quiet room."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    return len(samples) > 0 and float(np.dot(samples, samples)) / len(samples) >= LOUD_RMS**2


class Listening:
    """The users' side.

    Args:
        state: of the conversation.
        saying: what the agent says, which gives way, and what answers.
        interruptions: whether it gives way.
    """

    def __init__(self, state: ConversationState, saying: Saying, interruptions: Interruptions) -> None:
        self._state = state
        self._config = state.config
        self._turns = state.turns
        self._saying = saying
        self._interruptions = interruptions
        self._do = state.actions.append
        self.spoken: Spoken | None = None
        """The turn whose user speaks."""
        self.injected: Reply | None = None
        """Answers what the user is saying, and what was given to be thought of with it."""
        self._pause: tuple[Turn, int] | None = None
        """The turn that ended with the wish to wait, and the clock until which nothing is answered."""
        self._speaks = ""
        """The user who speaks, or spoke last."""
        self._beside = Beside()
        """What users say into what the agent says, where that does not interrupt it."""
        self._quiet_frames: dict[str, int] = {}
        """Of each user, 10 ms of silence that the brain is still to hear while the agent is paused, so that a turn
        ends."""

    def hear(self, user: str, pcm: bytes) -> None:
        """10 ms of what a user says: PCM16 mono at 16 kHz."""
        if user != self._speaks and (len(self._state.users) == 1 or not self._speaks or loud(pcm)):
            self._speaks = user
        if self._config.voice_commands:
            self._do(Spot(pcm, "start" if self._state.paused else "stop"))
        if not self._state.paused:
            self._do(Hear(pcm, user))
        elif self._quiet_frames.get(user, 0) > 0:
            self._quiet_frames[user] -= 1
            self._do(Hear(bytes(len(pcm)), user))

    def pause(self) -> None:
        """The agent hears nothing from now on."""
        self.forget_pause()
        if self._by_client is not None:
            self.spoken = None
            self._do(Commit())
        # A turn that has begun is to end in the brain too; what it answers is not said.
        frames = self._config.turn_detection.longest_ms // 10 + 30
        self._quiet_frames = dict.fromkeys(self._state.users, frames)

    def user_speaks(self, onset_ns: int, item_id: str | None, aside: bool = False, user: str | None = None) -> None:
        """A user begins to speak. `user`: who has begun it by hand."""
        if self._state.paused:
            return
        detection, spoke = self._config.turn_detection, self._state.agent_state == "speaking"
        if self.spoken is not None and self.spoken.by_hand and not self.spoken.named:
            self.spoken.named = True
            self.spoken.turn.user_began_ns = onset_ns
            self._state.items.add(item_id, self.spoken.turn)
            return
        by_hand, user = user is not None, self._speaks if user is None else user
        if not aside:
            if self._interruptions.doubt is None and not by_hand:
                self._interruptions.hold()
            if self._interruptions.doubt is None:
                self._interruptions.cut(force=False)
        if self._state.winding_up:
            return
        if aside:
            turn = self._turns.beside("speech", self._state.now_ms, user)
            left = self._interruptions.left_ms([one for one in self._saying.live.values() if one.interruptable])
            self._beside.began(turn, at_the_end=left is not None and left <= AT_THE_END)
        else:
            self._saying.let_go(force=False)
            turn = self._turns.begin("speech", self._state.now_ms, user)
        turn.user_began_ns = onset_ns
        turn.least_voice_ms = detection.speaking_interrupt_duration_ms if spoke else detection.interrupt_duration_ms
        self._state.items.add(item_id, turn)
        self.spoken = Spoken(turn, user, by_hand, self._state.after(MAX_TURN_MS / 1000))
        if self._interruptions.doubt is not None:
            self._interruptions.doubt.until = None
            self._interruptions.doubt.turns.append(turn)

    def user_spoke(self, end_ns: int, item_id: str | None, reply_id: str | None = None) -> None:
        """A user has finished: an answer is due. `reply_id`: what the brain calls it, where it has named it."""
        if item_id is None and self.spoken is not None:
            known: Turn | None = self.spoken.turn
        else:
            known = self._state.items.of(item_id)
        if self.spoken is not None and known in (None, self.spoken.turn):
            self.spoken = None
        if self._state.paused or self._state.winding_up:
            refused = Reply("speech")
            refused.state = "refused"
            self._name(refused, reply_id)
            return
        if (aside := self._beside.of(known)) is not None and not aside.calls:
            aside.turn.user_ended_ns = end_ns
            return
        if self._beside.forgot(known):
            return
        turn = self._turns.open
        if turn is None or turn.start_reason != "speech":
            self._saying.let_go(force=False)
            if known is not None and known.end_reason == "no_reply" and known.user_ended_ns is None:
                turn = known  # something else was asked while the user spoke
                self._turns.drop_open(self._state.now_ms, "speech")
                self._turns.again(turn)
            else:
                turn = self._turns.begin("speech", self._state.now_ms, self._speaks)
            if self._interruptions.doubt is not None:
                self._interruptions.doubt.turns.append(turn)
        self._state.items.add(item_id, turn)
        turn.user_ended_ns = end_ns
        injected, self.injected = self.injected, None
        self._name(self._saying.expect(injected or Reply("speech")), reply_id)
        if self._interruptions.doubt is not None:
            timeout = self._config.turn_detection.false_interruption_timeout
            self._interruptions.doubt.until = self._state.after(timeout)

    def _name(self, reply: Reply, reply_id: str | None) -> None:
        """The brain has named the answer to what a user has said, if it has; one that is not wanted is let go."""
        if reply_id is not None:
            self._saying.named(reply, reply_id)
            if reply.state == "refused":
                self._do(Interrupted(reply_id, 0.0, ""))

    def user_goes_on(self) -> None:
        """After a pause in his turn: who listens nods."""
        if self._config.feelings is False or self._state.agent_state != "listening" or self._interruptions.doubt:
            return
        if self.spoken is not None:
            self._saying.nod((self._state.now_ms - self.spoken.turn.start_ms) / 1000)

    def text(self, event: b.UserText) -> Command | None:
        """A text of a user's. Returns the voice command that was said in it."""
        self._interruptions.transcribed = True
        turn = self._state.items.of(event.item_id)
        if turn is None:
            turn = self._turns.open or self._turns.newest
            turn = turn or self._turns.begin("speech", self._state.now_ms, self._speaks)
            self._state.items.add(event.item_id, turn)
        user = turn.user or self._speaks
        aside, forgotten = self._beside.of(turn), self._beside.forgot(turn)
        if not (aside or forgotten) or not unwanted(self._config.interruption):
            self._state.transcripts.user(turn.turn_id, user, event.text, event.final, event.words, self._state.now_ms)
        if aside is not None:
            return self._said_beside(aside, event)
        if forgotten or self._interruptions.settle(turn, event) or not event.final:
            return None
        if not event.text.strip():
            if turn is self._turns.open and self._saying.is_due:  # no speech: most likely nothing is due
                assert self._saying.due is not None
                self._saying.due.expected_until = self._state.after(NO_SPEECH_DUE)
            return None
        command = self._said(turn, event)
        detection = self._config.turn_detection
        ours = self._config.brain in TELLS_TURNS  # else somebody else says what is answered, and when
        waits = ours and detection.end_of_speech == "semantic" and detection.pause_state
        if waits and turn is self._turns.open and asks_for_pause(event.text, self._config.language):
            self._saying.let_go()  # the brain waits for what follows
            self._turns.drop_open(self._state.now_ms)
            self._pause = turn, self._state.after(PAUSE)
        return command

    def _said(self, turn: Turn, event: b.UserText) -> Command | None:
        """A text of the user's is final, and counts. Returns the voice command in it."""
        self.forget_pause()
        self._saying.greeter.answered()
        turn.user_text = event.text
        start_ms = self._state.ms_at(turn.user_began_ns, turn.start_ms)
        end_ms = max(start_ms, self._state.ms_at(turn.user_ended_ns, self._state.now_ms))
        self._state.history.add("user", event.text, turn.turn_id, self._state.transcripts.wall_ms, (start_ms, end_ms))
        self._do(Emit(Said("user", event.text, turn.turn_id)))
        if self._config.film:
            self._do(Caption(turn.user or self._speaks or "user", event.text, start_ms, end_ms))
        return self._command_in(event)

    def _command_in(self, event: b.UserText) -> Command | None:
        return command_in(event.text) if self._config.voice_commands else None

    def manual_start(self, user: str) -> str | None:
        """A client says that this user's speech begins (`turn_detection.start_of_speech` "manual"). Returns None, or
        why that cannot be, for people."""
        if (why := self._not_heard(user)) is not None:
            return why
        how = self._config.interruption
        if (why := why_no_start(self._config.turn_detection, how, self._state.agent_state, self.spoken)) is not None:
            return why
        aside = not how.by_voice and self._state.agent_state in ("speaking", "thinking")
        self.user_speaks(self._state.ns, None, aside, user)
        self._do(Begin(user))
        return None

    def manual_end(self, user: str) -> str | None:
        """A client says that this user's speech is over (`turn_detection.end_of_speech` "manual", or `enabled` false).
        Returns None, or why that cannot be, for people."""
        why = self._not_heard(user) or why_no_end(self._config.turn_detection, user, self.spoken)
        if why is None:
            self._do(Commit())
        return why

    def _not_heard(self, user: str) -> str | None:
        if not self._state.wants(user):
            return "the agent does not hear this user (remote_rtc_uids)"
        try:
            self._state.check_not_paused()
        except BadState as exc:
            return str(exc)
        return None

    def look(self) -> None:
        """Looks at the clock: speech that a client is to end lasts only so long, and a pause that a user has asked
        for."""
        self._look_at_the_pause()
        if self._by_client is not None and self._state.clock >= self._by_client.until:
            self._cut_speech("max_duration")

    def _look_at_the_pause(self) -> None:
        if self._pause is None or self._state.clock < self._pause[1]:
            return
        quiet = self.spoken is None and self._interruptions.doubt is None and self._turns.open is None
        turn, _ = self._pause
        if not self._state.accompanied:
            self.forget_pause()  # whoever comes next has not asked it
        elif quiet and self._state.may_speak:
            self.forget_pause()
            self._turns.again(turn)
            turn.let_wait_ns = self._state.ns
            self._do(Respond(self._saying.expect_reply("speech"), None))

    def forget_pause(self) -> bool:
        """What ended with the wish to wait is not answered by itself. Returns whether there was any."""
        waited, self._pause = self._pause is not None, None
        return waited

    def left(self, user: str) -> None:
        """A user is gone, and with him what only he would have ended, and what he wanted an answer to later."""
        if self._pause is not None and (self._pause[0].user == user or not self._state.accompanied):
            self.forget_pause()
        if self._by_client is not None and self._by_client.user == user:
            self._cut_speech("left")

    @property
    def _by_client(self) -> Spoken | None:
        """The turn whose user speaks, where a client is to end it."""
        return self.spoken if self.spoken is not None and self.spoken.by_client(self._config.turn_detection) else None

    def _cut_speech(self, reason: Literal["max_duration", "left"]) -> None:
        """Speech that a client has not ended is over."""
        assert self.spoken is not None
        self._state.transcripts.speech_ended(reason, MAX_TURN_MS, self.spoken.turn.turn_id)
        self._do(Emit(SpeechCut(self.spoken.turn.turn_id, reason, MAX_TURN_MS)))
        self.spoken = None
        self._do(Commit())

    def _said_beside(self, aside: Aside, event: b.UserText) -> Command | None:
        turn, what = aside.turn, fate(aside, event, self._config)
        if what == "calls":
            aside.calls = True
            self._interruptions.cut(force=False)
            self._saying.let_go(force=False)
            self._turns.drop_open(self._state.now_ms)
            self._turns.again(turn)
            if turn.user_ended_ns is not None:
                self._saying.expect_reply("speech")
        elif what == "waits":
            aside.said = event
        elif what is not None:
            self._beside.drop(aside)
            turn.user_text = event.text
            self._turns.end(turn, "no_reply", self._state.now_ms, None if what == "nothing" else what)
            return self._command_in(event)
        if event.final and aside.calls:
            self._beside.drop(aside)
            if event.text.strip():
                return self._answer_beside([(turn, event)])
            if turn is self._turns.open:  # what was taken for a keyword was none
                self._saying.let_go()
                self._turns.drop_open(self._state.now_ms)

        return None

    @property
    def waits(self) -> bool:
        """Whether something was said beside that is to be answered as soon as nobody speaks, the agent included."""
        return self.spoken is None and self._beside.waits

    def answer_what_waits(self) -> Command | None:
        """What was said beside, and `waits`, is answered now. Returns the voice command in it."""
        return self._answer_beside([(one.turn, one.said) for one in self._beside.take() if one.said is not None])

    def _answer_beside(self, said: list[tuple[Turn, b.UserText]]) -> Command | None:
        """What was said beside is answered now, and its last turn has the answer."""
        commands = [self._said(turn, event) for turn, event in said]
        command = next((one for one in reversed(commands) if one is not None), None)
        turn, _ = said[-1]
        for other, _ in said[:-1]:
            self._turns.end(other, "no_reply", self._state.now_ms)
        if command == "stop":
            self._turns.end(turn, "no_reply", self._state.now_ms)
            return command
        if turn is not self._turns.open:
            self._turns.drop_open(self._state.now_ms)
            self._turns.again(turn)
            turn.let_wait_ns = self._state.ns
        due = self._saying.due
        reply = due if due is not None and due.state == "asked" else self._saying.expect_reply("speech")
        self._do(Tell(reply, "\n".join(event.text for _, event in said), "user"))
        return command

    def forget_beside(self, cause: Cause) -> None:
        """Nothing that was said beside will be answered."""
        for aside in self._beside.forget():
            self._unanswered(aside, cause)

    def refuse_what_waits(self, transport: Transport) -> bool:
        """What was said beside, or with the wish to wait, and is to be answered later, is not. Returns whether there
        was any."""
        waited = self._beside.take()
        for aside in waited:
            self._unanswered(aside, "interrupt", transport)
        if self._pause is not None:
            turn, _ = self._pause
            turn.caused_by, turn.transport = "interrupt", transport
        return self.forget_pause() or bool(waited)

    def _unanswered(self, aside: Aside, cause: Cause, transport: Transport = "http") -> None:
        if aside.said is not None:
            aside.turn.user_text = aside.said.text
        self._turns.end(aside.turn, "no_reply", self._state.now_ms, cause, transport)

    def inject(self, thought: Thought) -> Reply:
        """The user is saying something: what answers that answers this, too."""
        assert self.spoken is not None
        turn = self.spoken.turn
        self.injected = reply = self.injected or thought.reply
        reply.interruptable = reply.interruptable and thought.reply.interruptable
        self._state.history.add("user", thought.text, turn.turn_id, self._state.transcripts.wall_ms)
        self._do(Tell(reply, thought.text, "user", respond=False, metadata=thought.metadata))
        return reply

    @property
    def user_is_speaking(self) -> bool:
        """Whether a user is in the middle of a turn, which will be answered."""
        if self.spoken is None:
            return False
        aside = self._beside.of(self.spoken.turn)
        return not self._beside.forgot(self.spoken.turn) and (aside is None or aside.calls)

    def forget_injected(self) -> None:
        """What was given to be thought of with what the user says will not be."""
        if self.injected is not None:
            self.injected.state, self.injected = "refused", None
