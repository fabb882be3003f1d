"""Whether users interrupt what their agent says: it is cut off, or held until it is known (`doubt`). No I/O."""

from __future__ import annotations

from msgspec import structs

from .actions import Doubted, Hold, Interrupted, Release, Respond
from .brains import base as b
from .conversation_state import ConversationState
from .doubt import Doubt
from .replies import Reply
from .saying import Saying
from .turns import Cause, Transport, Turn


class Interruptions:
    """What is cut off, and what is held and why.

    Args:
        state: of the conversation.
        saying: what may be interrupted.
    """

    def __init__(self, state: ConversationState, saying: Saying) -> None:
        self._state = state
        self._config = state.config
        self._turns = state.turns
        self._saying = saying
        self._do = state.actions.append
        self.doubt: Doubt | None = None
        """The user speaks into what is being said, and may not mean it."""
        self.settled: Doubt | None = None
        """The doubt that ended last with nobody having said anything."""
        self.transcribed = self._textless = False
        """Whether any text of a user's has come: then no text means that nothing was said; and whether the brain has
        answered one without."""

    def cut(self, *, force: bool, cause: Cause = "speech", transport: Transport = "http") -> bool:
        """Stops what is being said or thought, `force`: also what the user must not interrupt. Returns whether there
        was anything."""
        cut = [reply for reply in self._saying.live.values() if force or reply.interruptable]
        self._saying.cut_off(cut, cause, transport)
        unsaid = [reply for reply in self._saying.waiting if force or reply.interruptable]
        refused = self._saying.refuse(unsaid, cause, transport)
        self._end_doubt()
        return refused or bool(cut)

    def hold(self) -> None:
        """The user speaks: what may be interrupted is held, if anything is said, until it is known whether it is."""
        detection = self._config.turn_detection
        if not (detection.ends_by_itself and detection.resume_false_interruption) or self._state.winding_up:
            return  # where turns do not end by silence nobody would know that a noise has
        live = [reply for reply in self._saying.live.values() if reply.interruptable]
        held = live + [reply for reply in self._saying.waiting if reply.interruptable]
        if not held:
            return
        self.doubt = doubt = Doubt(held, self.left_ms(held))
        self.settled = None
        self._do(Hold())
        if not doubt.at_the_end:
            self._do(Doubted(True))

    @property
    def held(self) -> list[Reply]:
        """What is held."""
        return self.doubt.held if self.doubt is not None else []

    def left_ms(self, replies: list[Reply]) -> float | None:
        """How much of these is left to be said; None: that is not known yet."""
        left = [reply.received_ms - self._state.played_ms(reply) if reply.complete else None for reply in replies]
        known = [ms for ms in left if ms is not None]
        return sum(known) if len(known) == len(left) else None

    def settle(self, turn: Turn, event: b.UserText) -> bool:
        """What a text of the user's means for what is held. Returns whether it means nothing else."""
        doubt, language, detection = self.doubt, self._config.language, self._config.turn_detection
        if doubt is not None and turn in doubt.turns:
            if doubt.means(event.text, language, detection, final=event.final):
                self._interrupted()
                return False
            if event.final and turn is doubt.turns[-1] and doubt.until is not None:
                self._go_on()
            return True
        late = self.settled
        if late is None or turn not in late.turns:
            return False
        if not late.means(event.text, language, detection, final=event.final):
            return True
        self.settled = None  # it was more than a noise after all, and took long to be understood
        if late.replaced:
            return False
        self.cut(force=False)
        waits = self._turns.open
        if waits is not None and waits is not turn and waits.start_reason == "speech":
            return False  # the user has gone on: that is answered, and this with it
        if event.final or turn.user_ended_ns is not None:
            self._saying.let_go(force=False)
            self._turns.drop_open(self._state.now_ms, "speech")
            self._turns.again(turn)
            reply = self._saying.expect_reply("speech")
            if late.answers:  # which the brain has given, and will not give again by itself
                self._do(Respond(reply, None))
        return False

    def look(self) -> None:
        """Looks at the clock: whether it is decided that nobody has said anything."""
        doubt = self.doubt
        if doubt is None or doubt.until is None or self._state.clock < doubt.until:
            return
        if doubt.answers and not self.transcribed:  # the brain tells no texts; it answers what was said
            self._textless = True
            self._interrupted()
        else:
            self._go_on()

    def _interrupted(self) -> None:
        """The user has interrupted what is held. Answers to that are said now."""
        doubt = self.doubt
        assert doubt is not None
        self._saying.cut_off([reply for reply in doubt.held if reply.id in self._saying.live])
        self._saying.refuse([reply for reply in doubt.held if reply in self._saying.waiting])
        # Of several turns only the last is answered, and none while the user speaks.
        stale = [one for one in doubt.answers if doubt.until is None or one.turn is not doubt.turns[-1]]
        self._saying.cut_off([reply for reply in stale if reply.id in self._saying.live])
        self._end_doubt()

    def _go_on(self) -> None:
        """Nobody has said anything: what is held goes on, and nothing of it is answered."""
        doubt = self.doubt
        assert doubt is not None
        self._saying.cut_off([reply for reply in doubt.answers if reply.id in self._saying.live])
        due = self._saying.due
        if due is not None and due.reason != "think":  # what was given meanwhile is answered all the same
            if due.id and due.state == "asked":  # the brain drops it, and will not give it again by itself
                doubt.answers.append(due)
            self._saying.let_go()
        self._turns.drop_open(self._state.now_ms)
        self.settled = doubt
        self._state.false_interruptions += 1
        self._end_doubt()

    def unheard(self, event: b.Failed) -> b.Failed:
        """Where speech to text has failed nobody will know whether the user said anything: the agent goes on, unless
        the model has heard it by itself (`minor`). Returns the failure as it is from then on: no answer is due."""
        doubt = self.doubt
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
        if self.doubt is not None:
            self.doubt = None
            self._do(Release())
            self._do(Doubted(False))

    def reply(self, reply_id: str, item_id: str | None = None) -> Reply | None:
        """The reply of that id, begun if need be; None if it is over or not to be said. `item_id`: the user's item that
        it answers, if any."""
        reply, due = self._saying.replies.get(reply_id), self._saying.due
        if reply is None:
            if self._answers_nothing(item_id):
                reply = Reply("agent")
                reply.state = "refused"
                assert self.settled is not None
                self.settled.answers.append(reply)
            elif item_id is None and (kept := self._saying.unnamed) is not None:
                reply = kept
            elif self._gave_way(item_id) and (due is None or due.state == "asked"):
                reply = Reply("agent")
                reply.state = "refused"
            elif due is None or due.id:
                reply = Reply("agent")
            else:
                reply, self._saying.due = due, None
            self._saying.named(reply, reply_id)
            if reply.state == "refused":
                self._do(Interrupted(reply_id, 0.0, ""))
        if reply.state == "asked":
            self._weigh(reply, item_id)
            self._saying.begin(reply)
        return reply if reply.state in ("begun", "heard") else None

    def _weigh(self, reply: Reply, item_id: str | None) -> None:
        """A reply begins while there is a doubt: it answers what the user has said, if that was anything, and waits; or
        what was said before, and is held. `item_id`: the user's item that it answers, where the brain says so."""
        doubt = self.doubt
        if doubt is None or reply.own_words or reply.turn is not None:
            return
        turn = self._state.items.of(item_id)
        if not (turn in doubt.turns if turn is not None else doubt.until is not None):
            if reply.interruptable:
                doubt.held.append(reply)
        elif doubt.untold or (not self.transcribed and (self._textless or item_id is None)):
            self._interrupted()  # there will be no text, and the brain has understood something
        else:
            doubt.answers.append(reply)

    def _answers_nothing(self, item_id: str | None) -> bool:
        """Whether an item is known to be a noise."""
        turn = self._state.items.of(item_id)
        return turn is not None and self.settled is not None and turn in self.settled.turns

    def _gave_way(self, item_id: str | None) -> bool:
        """Whether an item's turn is not to be answered, as something that was asked for took its place."""
        turn = self._state.items.of(item_id)
        return turn is not None and turn.end_reason is not None and turn.caused_by in ("think", "interrupt")
