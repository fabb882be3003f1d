"""What an agent says: what waits to be said, the answer that is due, what has begun, what is heard and what is over.
No I/O.

It knows nothing of who speaks into it: `interruptions` and `listening` do, and cut off here what is not to be said.
"""

from __future__ import annotations

import logging

from ..errors import BufferFull
from ..protocol import transcript as t
from .actions import Add, Caption, Drop, Emit, Fill, Finish, Interrupted, Leave, Say, Show
from .brains import base as b
from .conversation_state import ConversationState
from .events import AgentFailed, Said, TurnEnded
from .failures import for_users
from .feelings import Acting
from .filler import Fillers
from .greeting import Greeter
from .replies import Lead, Outcome, Reply
from .speech.stress import Syllables
from .turns import Cause, StartReason, Transport, Turn

logger = logging.getLogger("lipwire.agents")

REPLY_DUE = 15.0
"""Seconds after the end of a user's turn in which the agent counts as thinking without a reply having begun."""
MAX_REPLIES = 32
"""Replies that may wait to be heard; another one is refused."""
TOO_MANY = f"{MAX_REPLIES} replies wait to be heard already"
REMEMBERED = 256
"""Replies that are known by their ids, those that are over included: what still comes of them is ignored."""


class Saying:
    """The agent's side.

    Args:
        state: of the conversation.
        sender: as `Conversation`.
    """

    def __init__(self, state: ConversationState, sender: str) -> None:
        self._state = state
        self._config = state.config
        self._turns = state.turns
        self._transcripts = state.transcripts
        self._do = state.actions.append
        self.replies: dict[str, Reply] = {}
        """The replies that the brain has named, by id, whatever their state."""
        self.live: dict[str, Reply] = {}
        """The replies that have begun and are not over, in the order in which they began."""
        self.waiting: list[Reply] = []
        """Replies that have not begun: of the agent's own words, and answers that come in spite of what the user says
        (`let_go`)."""
        self.due: Reply | None = None
        """The answer to the user's turn, until the brain begins it. One that was interrupted before that is refused;
        where the brain has not named it, it stays here to take the place of what the brain begins next."""
        self.greeter = Greeter()
        self._fillers = Fillers(sender)
        self._filler: Reply | None = None
        """What is said while an answer is waited for."""
        self._acting = Acting()
        """What the face shows of what is said."""

    def check_room(self) -> None:
        """Raises BufferFull: as many replies wait to be heard as may."""
        if len(self.live) + sum(self._state.clock < reply.expected_until for reply in self.waiting) >= MAX_REPLIES:
            raise BufferFull(TOO_MANY)

    def say(
        self, text: str, reason: StartReason, interruptable: bool = True, *, recorded: bool = False, user: str = ""
    ) -> Reply:
        """The brain is to say these words of the agent's own."""
        reply = Reply(reason, interruptable=interruptable, expected_until=self._state.after(REPLY_DUE), own_words=True)
        reply.user = user
        self.waiting.append(reply)
        if len(self.waiting) > REMEMBERED:
            self.waiting.pop(0).state = "refused"
        self._do(Say(reply, text, recorded))
        return reply

    def expect_reply(self, reason: StartReason) -> Reply:
        """As `expect`, of a new one."""
        return self.expect(Reply(reason))

    def expect(self, reply: Reply) -> Reply:
        """From now on this is the answer that is due."""
        if reply.reason != "silence":
            self._fillers.wait(self._state.clock)
        self.let_go()
        self.due = reply
        self.due.expected_until = self._state.after(REPLY_DUE)
        if self._state.leaving:
            reply.state = "refused"
            self._turns.drop_open(self._state.now_ms, "leave")
        return self.due

    def let_go(self, *, force: bool = True, status: t.TurnStatus = t.INTERRUPTED) -> None:
        """The answer that is due will not be said; without `force` one that must not be interrupted will, in its own
        turn. `status`: of what was said in its place."""
        due, self.due = self.due, None
        if due is None or due.state != "asked":
            return
        if force or due.interruptable:
            self._not_said(due, status)
        else:
            due.turn, self._turns.open = self._turns.open, None
            self.waiting.append(due)

    def _not_said(self, answer: Reply, status: t.TurnStatus = t.INTERRUPTED) -> None:
        """An answer that is due will not be said. What filled in for it is all that is."""
        answer.state = "refused"
        answer.turn = self._turns.open
        if answer.lead is not None and answer.turn is not None:
            self.transcribe(answer, status, 0.0, "")
        if answer.id:
            self._do(Interrupted(answer.id, 0.0, ""))

    def named(self, reply: Reply, reply_id: str) -> None:
        """The brain is going to say a reply, and has named it."""
        reply.id = reply_id
        self.replies[reply.id] = reply
        if len(self.replies) > REMEMBERED:
            forgotten = next((one for one in self.replies.values() if one.state in ("over", "refused")), None)
            if forgotten is not None:
                del self.replies[forgotten.id]

    def begin(self, reply: Reply) -> None:
        """The brain begins a reply, which is refused where nothing is to be said now, or too much waits."""
        if reply in self.waiting:
            self.waiting.remove(reply)
        elif reply is self.due:
            self.due = None
        unasked = self._state.leaving and reply.reason == "agent"
        full = len(self.live) >= MAX_REPLIES
        if self._state.paused or self._state.winding_up or unasked or full:
            reply.state = "refused"
            self._do(Interrupted(reply.id, 0.0, ""))
            if full:
                reply.error = BufferFull(TOO_MANY)
                self._state.failures += 1
                self._do(Emit(b.Failed("TTS_ERROR", TOO_MANY)))
            if reply.turn is not None:
                self._turns.end(reply.turn, "no_reply", self._state.now_ms)
            elif not reply.own_words and reply.reason != "agent":  # the turn that waited for it
                self._turns.drop_open(self._state.now_ms)
            return
        if reply.fills is not None:
            self._begin_filler(reply, reply.fills)
            return
        assert reply.reason != "filler"
        if reply.own_words:
            reply.turn = self._turns.beside(reply.reason, self._state.now_ms, reply.user)
            if reply.reason == "silence":
                reply.turn.action = "speak"
        elif reply.reason == "agent" and self.is_due:  # the turn that waits has an answer of its own
            reply.turn = self._turns.beside("agent", self._state.now_ms)
        else:
            reply.turn = reply.turn or self._turns.answered(self._state.now_ms)
        reply.state = "begun"
        self.live[reply.id] = reply
        self._do(Add(reply))

    def _begin_filler(self, reply: Reply, answer: Reply) -> None:
        """It is part of the turn whose answer it fills in for, and its times are not that turn's."""
        waits = self._turns.open if answer is self.due else answer.turn
        if waits is None or answer is not self.awaited():
            reply.state = "refused"
            self._do(Interrupted(reply.id, 0.0, ""))
            return
        reply.turn = Turn(turn_id=waits.turn_id, start_reason="agent", start_ms=self._state.now_ms)
        reply.state = "begun"
        self.live[reply.id] = reply
        self._do(Add(reply, None if answer is self.due else answer))

    def answer_begins(self, answer: Reply) -> None:
        """The first sound of an answer has come: what was to fill in for it, and has none, is not needed."""
        filler = self._filler
        if filler is None or filler.fills is not answer:
            return
        self._filler = None
        if filler in self.waiting:
            self.refuse([filler])
        elif filler.id in self.live and not filler.received_ms:
            self.cut_off([filler])

    def over(self, reply: Reply) -> None:
        """The playout has played all of a reply, or there was nothing to play."""
        if self.live.pop(reply.id, None) is None:
            return
        text = reply.heard(reply.received_ms) if reply.outcome == "failed" else reply.text.strip()
        self._end(reply, reply.outcome or "finished", text, reply.received_ms)

    def cut_off(self, cut: list[Reply], cause: Cause | None = "speech", transport: Transport = "http") -> None:
        """Stops these, of those that have begun. `cause`: None = nobody interrupts them."""
        if cut:
            self._do(Drop(cut))
        for reply in cut:
            del self.live[reply.id]
            played_ms = self._state.played_ms(reply)
            text = reply.heard(played_ms)
            self._do(Interrupted(reply.id, played_ms, text))
            if reply.state == "heard":
                for feeling in self._acting.cut(self._state.clock):
                    self._do(Show(feeling))
                self._state.interruptions += cause is not None
                self._transcripts.interrupted(reply.turn_id, self._state.now_ms)
            if reply.turn is not None:
                reply.turn.caused_by, reply.turn.transport = cause, transport
            self._end(reply, "interrupted", text, played_ms)

    def refuse(self, unsaid: list[Reply], cause: Cause | None = None, transport: Transport = "http") -> bool:
        """What was asked for and has not begun is not said. Returns whether there was any."""
        for reply in unsaid:
            reply.state = "refused"
            self.waiting.remove(reply)
            if reply.lead is not None:
                self.transcribe(reply, t.INTERRUPTED, 0.0, "")
            if reply.turn is not None:
                self._turns.end(reply.turn, "no_reply", self._state.now_ms, cause, transport)
            if reply.id:
                self._do(Interrupted(reply.id, 0.0, ""))
        return bool(unsaid)

    def refuse_due(self, cause: Cause, transport: Transport) -> bool:
        """The answer that is due, and has not begun, is not said either. Returns whether there was one."""
        if self._turns.open is None or self.due is None or self.due.state != "asked":
            return False
        self._not_said(self.due)
        if self.due.id:
            self.due = None
        self._turns.end(self._turns.open, "interrupted", self._state.now_ms, cause, transport)
        return True

    def nobody_hears(self) -> None:
        """All are gone: whom nobody has heard greeted is to be greeted anew."""
        unheard = [one for one in self.live.values() if one.reason == "greeting" and one.state == "begun"]
        self.cut_off(unheard, None)
        unsaid = self.refuse([one for one in self.waiting if one.reason == "greeting"])
        self.greeter.alone(self._config.greeting, missed=unsaid or bool(unheard))

    def failed(self, event: b.Failed) -> None:
        """Something went wrong in the brain: what it was to say is over, and users are told."""
        self._state.failures += 1
        logger.warning("[%s] %s: %s", self._config.name, event.code, event.message)
        reply = self.replies.get(event.reply_id) if event.reply_id is not None else None
        turn = self._turns.open if reply is None or reply is self.due else reply.turn
        sentence = for_users(event, self._config)
        if sentence:
            self._state.tell_error(sentence, event.code, turn.turn_id if turn is not None else 0)
        self._do(Emit(event))
        if event.fatal:
            self._do(Leave("failed", AgentFailed(f"{event.code}: {event.message}")))
            return
        if event.minor:
            return
        if reply is not None and reply in self.waiting:  # the agent's own words, which will not come
            reply.state = "refused"
            self.waiting.remove(reply)
            return
        if turn is None or turn.end_reason in ("finished", "interrupted", "no_reply"):
            return
        if turn.error is None:
            turn.error = event.code, event.message
        if reply is not None and reply.id in self.live:
            reply.outcome = "failed"
            self._do(Finish(reply, reply.text))
        elif turn is self._turns.open:
            if turn.user_ended_ns is None:
                return  # the user still speaks: no reply is due yet
            self.let_go(status=t.ENDED)
            self._turns.end(turn, "failed", self._state.now_ms)
        message = "" if self._config.llm.failure_message == "" else sentence
        own_words = reply is not None and reply.own_words
        waits = any(one.reason == "failure" for one in (*self.live.values(), *self.waiting))
        if (
            message
            and not own_words
            and not (self._state.paused or self._state.winding_up or self._state.leaving or waits)
        ):
            self.say(message, "failure")

    def _end(self, reply: Reply, outcome: Outcome, text: str, played_ms: float) -> None:
        reply.state, reply.outcome = "over", outcome
        reply.syllables = Syllables()  # it is remembered, and its sound is not
        if text or reply.lead is not None:
            status: t.TurnStatus = t.INTERRUPTED if outcome == "interrupted" else t.ENDED
            waits = reply.fills is not None and reply.fills.state in ("asked", "begun", "heard")
            if waits and outcome != "interrupted":  # the turn goes on
                status = t.RUNNING
            self.transcribe(reply, status, played_ms, text)
        if text:
            speech = max(0.0, self._state.now_ms - played_ms), self._state.now_ms
            self._state.history.add("assistant", text, reply.turn_id, self._transcripts.wall_ms, speech)
            self._do(Emit(Said("assistant", text, reply.turn_id, outcome == "interrupted")))
            if self._config.film:
                words = tuple(reply.heard_words(played_ms))
                self._do(Caption(self._config.name, text, self._state.now_ms - played_ms, self._state.now_ms, words))
        turn = reply.turn
        if reply.fills is not None and text:
            start_ms = self._state.now_ms - played_ms
            reply.fills.lead = Lead(text, start_ms, played_ms, tuple(reply.heard_words(played_ms)))
        if turn is None or reply.fills is not None:
            return
        turn.agent_text, turn.played_ms = text, played_ms
        self._turns.end(turn, outcome, self._state.now_ms, turn.caused_by, turn.transport)
        self._tell_times(turn)
        self._do(Emit(TurnEnded(turn.as_dict(), reply.id, turn.times())))

    def _tell_times(self, turn: Turn) -> None:
        e2e_ms = turn.e2e_latency_ms
        if e2e_ms is None:
            return
        self._transcripts.turn_finished(self._config.agent_id or self._config.name, turn)
        if not self._config.metrics:
            return
        model = "mllm" if self._config.brain == "realtime" else "llm"
        for module, name, ms in (
            (model, "ttft", turn.between("asked", "first_token")),
            ("tts", "ttfb", turn.between("first_sentence", "first_audio")),
        ):
            if ms is not None:
                self._transcripts.metrics(module, name, turn.turn_id, ms)
        self._transcripts.metrics("turn", "e2e_latency", turn.turn_id, e2e_ms, turn.segments())

    def transcribe(self, reply: Reply, status: t.TurnStatus, played_ms: float, text: str | None = None) -> None:
        """Tells the clients what has been said of a reply: `text`, or what `played_ms` say."""
        heard = reply.heard(played_ms) if text is None else text
        start_ms = self._state.now_ms - played_ms
        words = reply.heard_words(played_ms) if status != t.RUNNING else []
        if reply.lead is not None:
            heard, words, ms = reply.lead.before(heard, words, start_ms)
            start_ms, played_ms = start_ms - ms, played_ms + ms
        if heard:
            self._transcripts.agent(reply.turn_id, heard, status, start_ms, played_ms, words)

    def act(self, heard: Reply | None) -> None:
        """Has the face show what is meant by what is heard."""
        if self._config.feelings is False:
            shown = self._acting.cut(self._state.clock)
        else:
            shown = self._acting.look(heard, self._state.playing[1], self._state.clock, self._config.language)
        for feeling in shown:
            self._do(Show(feeling))

    def look(self) -> None:
        """Looks at the clock: what was waited for too long is not to come any more. An answer that the brain has named
        has its time from when all is handed over that is said before it."""
        due = self.due
        if any(not (reply.written or reply.complete) for reply in self.live.values()):
            for reply in (*self.waiting, *([due] if due is not None else [])):
                if reply.id and reply.state == "asked" and not reply.own_words:
                    reply.expected_until = self._state.after(REPLY_DUE)
        if due is not None and due.state == "asked" and self._state.clock >= due.expected_until:
            self.let_go(status=t.ENDED)
            self._turns.drop_open(self._state.now_ms)
        self.refuse([one for one in self.waiting if not one.own_words and self._state.clock >= one.expected_until])

    def nod(self, seconds: float) -> None:
        """A user goes on after a pause, and has spoken for so long: who listens nods."""
        for feeling in self._acting.listen(seconds, self._state.clock):
            self._do(Show(feeling))

    def fill(self, speaks: bool) -> None:
        """Whoever waits for an answer that does not begin is told something, once. `speaks`: a user does."""
        answer = self.awaited()
        if answer is None:
            self._fillers.over()
        filler = self._config.filler
        busy = speaks or self.waiting or any(reply.state == "heard" for reply in self.live.values())
        if answer is None or answer.filled or filler is None or busy or not self._is_understood(answer):
            return
        if text := self._fillers.look(filler, self._state.clock):
            self._filler = reply = Reply("filler", interruptable=answer.interruptable, own_words=True)
            reply.fills, answer.filled = answer, True
            self.waiting.append(reply)
            self._do(Fill(reply, text))

    def awaited(self) -> Reply | None:
        """The answer that a user waits for, and that the model has not begun."""
        if self.is_due:
            return self.due
        return next((reply for reply in self.live.values() if not (reply.own_words or reply.begins)), None)

    def _is_understood(self, answer: Reply) -> bool:
        """Whether it is known what it answers: what is none may be a cough."""
        turn = self._turns.open if answer is self.due else answer.turn
        return turn is not None and (turn.start_reason != "speech" or bool(turn.user_text))

    @property
    def unnamed(self) -> Reply | None:
        """The oldest answer that waits and that the brain has not named."""
        return next((one for one in self.waiting if not (one.own_words or one.id)), None)

    @property
    def is_due(self) -> bool:
        """Whether an answer is due."""
        return self.due is not None and self.due.state == "asked"

    @property
    def is_asked(self) -> bool:
        """Whether something waits that the brain may still be expected to begin."""
        return any(self._state.clock < reply.expected_until for reply in self.waiting)
