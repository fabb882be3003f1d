"""The replies of a realtime brain: those that wait, the one that is asked for, the service's responses under way.

The service makes one at a time. A reply is one response, or several where functions are called in between.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections import deque
from typing import Any, Literal

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection

from ...errors import BadState, BufferFull
from ..face_tags import plain as without_tags
from ..realtime_socket import WORD, word
from .aloud import ReadAloud
from .base import Failed, ReplyFinished, ReplyStarted
from .calls import MAX_CALLS, MAX_ROUNDS, read_arguments, valid_arguments
from .generation import Generation
from .realtime_link import RealtimeLink
from .realtime_state import RealtimeState
from .tools import Caller

logger = logging.getLogger("lipwire.agents")

STALLED = 15.0
"""Seconds after which a response that does not move is given up."""
SUPERSEDED = 2.0
"""Seconds after which a response that does not move is over where it was cancelled, or a newer one has moved meanwhile:
the service makes one answer at a time, so it has forgotten to say so."""
TRIES = 10
"""Times that a response is asked for where another one is in the way."""
MAX_WAITING = 16
"""Replies that may wait for their turn; another one is refused."""
KEPT_REPLIES = 8
"""Replies whose sound can still be cut off after all of it has been handed over."""
MAX_RESPONSES = 16
"""Responses under way; the oldest is forgotten."""
MAX_UNASKED = 30
"""Responses that the service may begin by itself within UNASKED_SECONDS, such as those to users' turns; more of them
are cancelled."""
UNASKED_SECONDS = 60.0
MAX_ID = 256
"""Characters of an id of the service's."""
MAX_TASKS = 128
"""Calls of functions that may run at once, whichever responses they are of."""
TAG = "lipwire_reply"
"""The name in a response's metadata under which the id of its reply stands."""


class RealtimeReply(Generation):
    """A reply: one response of the service, or several where functions are called in between."""

    def __init__(self, kind: Literal["chat", "speak"], options: dict[str, Any]) -> None:
        super().__init__(kind)
        self.options = options
        """Members of response.create."""
        self.items: list[tuple[str, float]] = []
        """The service's items, and where in the reply's sound each begins."""
        self.spoken_item: str | None = None
        """The conversation's item that repeats what `speak` said."""
        self.started = self.done = False
        self.calls: list[Call] = []
        self.item: str | None = None
        """The user's item that it answers, where the service was to answer it by itself."""
        self.tries = 0
        """How often it was asked for in vain."""
        self.told: set[str] = set()
        """The service's items of which text has come,"""
        self.part: tuple[str, int] | None = None
        """and the item and its part that the newest text is of."""
        self.aloud: tuple[ReadAloud, asyncio.Task[None]] | None = None
        """Says what the service sends as text alone."""
        self.written: dict[str, str] = {}
        """Such text, by the service's items."""
        self.mute = False
        """Such text cannot be said, which has been told."""
        self.behind: list[dict[str, Any]] = []
        """Events that came behind such text, until that has been handed over,"""
        self.behind_bytes = 0
        """and how many bytes they have."""
        self.length = 0
        """Characters of text that have come of it."""
        self.rounds = 0
        """How often it has called functions."""


class Call(Struct, eq=False):
    """A call of a function that a response asked for. `arguments`: JSON, as they may be sent back; `key`: the same for
    all calls of a function with these arguments, however they are written."""

    id: str
    name: str
    arguments: str
    key: tuple[str, bytes]
    result: asyncio.Task[str]
    """Those of equal calls may be one."""


class Response(Struct, eq=False):
    """A response of the service that is under way."""

    id: str
    reply: RealtimeReply
    number: int
    """Counts the responses of a connection."""
    moved: float
    """When something of it came last."""


def check_id(value: Any) -> Any:
    """The id, or what stands in its place. Raises ValueError: it is too long to be kept."""
    if isinstance(value, str) and len(value) > MAX_ID:
        raise ValueError("an id is too long")
    return value


class RealtimeReplies:
    """All of them.

    Args:
        state: of the brain.
        link: to the service.
        caller: runs functions.
    """

    def __init__(self, state: RealtimeState, link: RealtimeLink, caller: Caller) -> None:
        self._state = state
        self._link = link
        self._caller = caller
        self.waiting: deque[RealtimeReply] = deque()
        self.kept: deque[RealtimeReply] = deque(maxlen=KEPT_REPLIES)
        """Those that began last."""
        self._unasked: deque[float] = deque(maxlen=MAX_UNASKED)
        """When the service began responses by itself last."""
        self._running: dict[tuple[str, bytes], asyncio.Task[str]] = {}
        """The calls whose results the service has not been told, by their keys."""
        self._fresh()

    def _fresh(self) -> None:
        """The state that is a connection's."""
        self.under_way: dict[str, Response] = {}
        """What is under way, by the service's ids, in the order in which it began."""
        self._numbers = itertools.count(1)
        self._newest_moved = 0
        """The number of the newest response that has moved, or ended."""
        self._next: RealtimeReply | None = None
        """The reply that has begun, and is about to be asked for."""
        self.asked: RealtimeReply | None = None
        """The reply whose response was asked for and has not begun."""
        self._asked_at = time.monotonic()
        self._echoes = False
        """Whether the service repeats the metadata of what is asked for."""

    def lost(self, reason: str) -> bool:
        """The connection is gone: what was being said is broken off, what waits is said on the next one. Returns
        whether anything was broken off, of which the reason is told."""
        replies = list(dict.fromkeys(response.reply for response in self.under_way.values()))
        for reply in replies:
            if reply.calls:  # it goes on with their results
                self._state.spawn(self._follow_up(reply, None))
        active = [reply for reply in replies if not reply.dropped and not reply.calls]
        for reply in active:
            self._state.complain("REALTIME_ERROR", reason, reply.id)
            self.finish(reply, "failed")
        begun = self.asked or self._next
        if begun is not None and not begun.dropped:
            self.waiting.appendleft(begun)
        self._fresh()
        return bool(active)

    def answer(self, answer: RealtimeReply, *, kept: bool = False) -> str:
        """The reply that is being made gives way to this one. Returns the id of that."""
        under_way = [response.reply for response in self.under_way.values()]
        for reply in (*under_way, self.asked, self._next, *self.waiting):
            if reply is not None and reply.kind == "chat" and not (reply.dropped or reply.kept):
                self.break_off(reply)
        answer.kept = kept
        self.want(answer)
        return answer.id

    def remember(self, reply_id: str, text: str) -> None:
        """See `Remembering`."""
        reply = RealtimeReply("speak", {})
        reply.id, reply.text = reply_id, without_tags(text)
        self.kept.append(reply)
        self._state.context.said(reply.id, reply.text)
        self.finish(reply, "done")

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        """See `Brain`."""
        reply = next((reply for reply in (*self.kept, *self.waiting) if reply.id == reply_id), None)
        if reply is None:
            return
        reply.text = text
        self._state.context.said(reply.id, text)
        if reply.kind == "speak":
            if reply.spoken_item is not None:
                self._link.delete(reply.spoken_item)
                reply.spoken_item = None
                if text.strip():
                    reply.spoken_item = f"spoken_{next(self._state.ids)}"
                    self._link.add_item("assistant", text, reply.spoken_item)
        else:
            for number, (item_id, start) in enumerate(reply.items):
                end = reply.items[number + 1][1] if number + 1 < len(reply.items) else reply.position_ms
                heard = min(max(played_ms - start, 0.0), end - start)
                under_way = not reply.done and number + 1 == len(reply.items)
                if not heard:  # nobody has heard any of it
                    self._link.delete(item_id)
                elif heard < end - start or under_way:
                    self._link.send(
                        {
                            "type": "conversation.item.truncate",
                            "item_id": item_id,
                            "content_index": 0,
                            "audio_end_ms": int(heard),
                        }
                    )
        if not reply.done:
            self.break_off(reply)

    def want(self, reply: RealtimeReply) -> None:
        """A reply waits for its turn. Raises BadState, BufferFull."""
        if self._state.closed:
            raise BadState("the brain is closed")
        if len(self.waiting) >= MAX_WAITING:
            raise BufferFull(f"{MAX_WAITING} replies wait to be said already")
        self.waiting.append(reply)
        self.pump()

    def pump(self) -> None:
        """Begins the next reply; the service makes one at a time."""
        if self._link.ws is None or self.under_way or self.asked is not None or self._next is not None:
            return
        while self.waiting:
            reply = self.waiting.popleft()
            if not reply.dropped:
                self._next = reply
                self._start(reply, item_id=reply.item)
                # The agent takes that first; it may not want the reply.
                asyncio.get_running_loop().call_soon(self._ask, reply)
                return

    def _ask(self, reply: RealtimeReply) -> None:
        """Asks the service for a reply that has begun."""
        if reply is not self._next:
            return  # the connection broke meanwhile
        self._next = None
        if reply.dropped:
            self.pump()
            return
        self.asked = reply
        self._asked_at = time.monotonic()
        response = {**reply.options, "metadata": {TAG: reply.id}}
        self._link.send({"type": "response.create", "event_id": reply.id, "response": response})

    async def watch(self) -> None:
        """Responses that stall are broken off; what could not be asked for is asked for again."""
        while True:
            await asyncio.sleep(min(STALLED / 10, SUPERSEDED / 4))
            now = time.monotonic()
            for response in list(self.under_way.values()):
                still = now - response.moved
                if still >= STALLED:
                    self._give_up(response)
                elif still >= SUPERSEDED and (response.reply.dropped or response.number < self._newest_moved):
                    logger.info("agent %s: response %s has not ended", self._state.config.name, response.id)
                    self._cancel(response)
                    self.over(response, {"status": "completed"})
            asked = self.asked
            if asked is not None and now - self._asked_at >= STALLED:
                self.asked = None
                self._stalled(asked)
            self.pump()

    def _give_up(self, response: Response) -> None:
        self.under_way.pop(response.id, None)
        self._cancel(response)
        self._stalled(response.reply)
        if response.reply.calls:
            self._state.spawn(self._follow_up(response.reply, self._link.ws))

    def _stalled(self, reply: RealtimeReply) -> None:
        if not reply.dropped:
            reply.dropped = True
            self._state.complain("REALTIME_ERROR", f"the response stalled for {STALLED:g} s", reply.id)
            self.finish(reply, "failed")

    def _cancel(self, response: Response) -> None:
        """By its name: without one the service would cancel whatever it is making in the conversation, and nothing of
        what is made beside it."""
        self._link.send({"type": "response.cancel", "response_id": response.id})

    def _start(self, reply: RealtimeReply, asked_ns: int = 0, item_id: str | None = None) -> None:
        if not reply.started:
            reply.started = True
            self.kept.append(reply)
            self._state.emit(ReplyStarted(reply.id, asked_ns or time.monotonic_ns(), item_id))

    def finish(self, reply: RealtimeReply, reason: Literal["done", "cancelled", "failed"]) -> None:
        """Nothing more comes of a reply; what is read aloud is said to its end where that is no failure."""
        if reply.done:
            return
        if reply.aloud is not None:
            aloud, task = reply.aloud
            if reason == "done" and not reply.dropped:
                aloud.finish()  # which finishes the reply
                return
            reply.aloud = None
            task.cancel()
        reply.done = True
        reply.behind.clear()
        if reply.kind == "speak" and reply.text.strip():
            reply.spoken_item = f"spoken_{next(self._state.ids)}"
            self._link.add_item("assistant", reply.text, reply.spoken_item)
        if reply.started:
            self._state.emit(ReplyFinished(reply.id, reply.text, reason))

    def break_off(self, reply: RealtimeReply) -> None:
        """Nothing more of it is wanted. What has been asked for and has not begun is cancelled as it begins."""
        reply.dropped = True
        for response in self.under_way.values():
            if response.reply is reply:
                self._cancel(response)
        self.finish(reply, "cancelled")

    def in_the_way(self, asked: RealtimeReply | None, about: str | None) -> None:
        """Another response keeps the service from one: it is asked for again when that is over."""
        if asked is None:
            if about is None and len(self.waiting) < MAX_WAITING:  # what we did not ask for answers the user's turn
                answer = RealtimeReply("chat", {})
                answer.item = self._state.item
                self.waiting.appendleft(answer)
            return
        self.asked = None
        asked.tries += 1
        if asked.tries < TRIES:
            self.waiting.appendleft(asked)
        elif not asked.dropped:
            self._state.emit(Failed("REALTIME_ERROR", "the service is always at another response", asked.id))
            self.finish(asked, "failed")

    def created(self, event: dict[str, Any]) -> None:
        """A response begins (`response.created`)."""
        created = event["response"]
        response_id = check_id(created["id"])
        if response_id in self.under_way:
            return
        tag = (created.get("metadata") or {}).get(TAG)
        self._echoes = self._echoes or tag is not None
        asked = self.asked
        if asked is not None and self._is_answer_to(asked, created, tag):
            self.asked, reply = None, asked
        else:
            known = (one for one in self.kept if tag is not None and one.id == tag)
            reply = next(known, None) or self._by_itself()
        if len(self.under_way) >= MAX_RESPONSES:
            self._give_up(next(iter(self.under_way.values())))
        response = Response(response_id, reply, next(self._numbers), time.monotonic())
        self.under_way[response_id] = response
        if reply.dropped or reply.done:  # broken off, or given up, while it was asked for
            self._cancel(response)
            return
        if not reply.started:  # the service's own voice activity detection asked for it
            self._start(reply, self._state.stopped_ns, self._state.item)
        if reply.kind == "chat":
            self._state.context.place("assistant", reply.id)

    def _by_itself(self) -> RealtimeReply:
        """The reply that a response belongs to which nobody asked for. One of too many is not wanted."""
        reply, now = RealtimeReply("chat", {}), time.monotonic()
        if len(self._unasked) == MAX_UNASKED and now - self._unasked[0] < UNASKED_SECONDS:
            reply.dropped = True
            many = f"more than {MAX_UNASKED} responses within {UNASKED_SECONDS:g} s that nobody asked for"
            self._state.complain("REALTIME_ERROR", f"the service begins {many}; they are cancelled", minor=True)
        else:
            self._unasked.append(now)
        return reply

    def _is_answer_to(self, asked: RealtimeReply, created: dict[str, Any], tag: str | None) -> bool:
        """Whether a response that begins is the one that was asked for last. Services that do not repeat the metadata
        say at least which conversation it belongs to, or nothing."""
        if tag is not None or self._echoes:
            return tag == asked.id
        if "conversation_id" in created:
            return (created["conversation_id"] is None) == (asked.kind == "speak")
        return True

    def response(self, response_id: str | None) -> Response | None:
        """The response of that id; of a service that names none, the newest."""
        if response_id is None:
            return next(reversed(self.under_way.values()), None)
        return self.under_way.get(response_id)

    def moved(self, response: Response) -> None:
        """Something of a response has come."""
        self._newest_moved = max(self._newest_moved, response.number)

    def of(self, event: dict[str, Any]) -> RealtimeReply | None:
        """The reply that an event of a response belongs to; None = nobody wants it any more."""
        response = self.response(event.get("response_id"))
        if response is None:
            return None
        response.moved = time.monotonic()
        self.moved(response)
        return None if response.reply.dropped else response.reply

    def over(self, response: Response, done: dict[str, Any]) -> None:
        """A response is over, by what the service says of it."""
        self.under_way.pop(response.id, None)
        reply, status = response.reply, done.get("status")
        details = done.get("status_details") or {}
        if reply.calls:
            self._state.spawn(self._follow_up(reply, self._link.ws))
        elif reply.dropped or status in ("completed", None):
            self.finish(reply, "done")
        elif status in ("incomplete", "cancelled"):
            self._cut_short(reply, status, details.get("reason"))
        else:
            error = details.get("error") or {}
            self._link.details(str(error.get("message", error)))
            why = word(error) if error else status
            self._state.complain("REALTIME_ERROR", f"the response failed: {why}", reply.id)
            self.finish(reply, "failed")
        self.pump()

    def _cut_short(self, reply: RealtimeReply, status: str, why: Any) -> None:
        """The service ended a response before its end. What it has said of it stands, and is told to be a part; where
        it has said nothing, the answer has failed."""
        why = why if isinstance(why, str) and re.fullmatch(WORD, why) else "no reason given"
        begun = bool(reply.text.strip() or reply.position_ms or reply.aloud)
        if why != "turn_detected":  # else the user speaks, which everybody knows
            self._state.complain("REALTIME_ERROR", f"the response is {status}: {why}", reply.id, minor=begun)
        if reply.aloud is not None or (begun and status == "incomplete"):
            self.finish(reply, "done")
        else:
            self.finish(reply, "failed")

    async def _follow_up(self, reply: RealtimeReply, ws: ClientConnection | None) -> None:
        """The answers to a response's calls, then the reply goes on. `ws`: the connection that knows of the calls.
        Where there is none now, the next one is told of them as it begins."""
        calls, reply.calls = reply.calls, []
        reply.rounds += 1
        if reply.rounds >= MAX_ROUNDS:  # it has to answer now
            reply.options = {**reply.options, "tool_choice": "none"}
        try:
            results = await asyncio.gather(*[call.result for call in calls])
        finally:
            for call in calls:
                if self._running.get(call.key) is call.result:
                    del self._running[call.key]
        for call, result in zip(calls, results, strict=True):
            self._state.context.called(reply.id, call.id, call.name, call.arguments, result)
            if self._link.ws is not ws:  # the call was the old connection's
                self._link.add_call(call.id, call.name, call.arguments)
            self._link.add_result(call.id, result)
        if not reply.dropped and not reply.done:
            self.waiting.appendleft(reply)
        self.pump()

    def call(self, reply: RealtimeReply, call_id: str, name: str, arguments: str) -> None:
        """Runs a function. Where another response asked for just that, and has not been told the result, it is run
        once for both: the model asks anew for what it does not see answered. One that makes too many is broken off."""
        if len(reply.calls) >= MAX_CALLS or reply.rounds >= MAX_ROUNDS or len(self._state.tasks) >= MAX_TASKS:
            if not reply.dropped:
                few = reply.rounds < MAX_ROUNDS
                what = "more functions at once than it may" if few else f"functions {MAX_ROUNDS + 1} times"
                self._state.complain("REALTIME_ERROR", f"the service calls {what}; its reply is cut off", reply.id)
                self.break_off(reply)
            return
        key = name, msgspec.json.encode(read_arguments(arguments), order="sorted")
        result = self._running.get(key)
        if result is None or any(call.result is result for call in reply.calls):
            self._running[key] = result = self._state.spawn(self._caller.answer(call_id, name, arguments))
        reply.calls.append(Call(call_id, name, valid_arguments(arguments), key, result))
