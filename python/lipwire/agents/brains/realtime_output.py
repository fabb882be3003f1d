"""What a realtime service's responses are made of, text and sound, handed over in order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec

from ...errors import LipwireError
from ...protocol.agent_bodies import InUse
from ..config import AgentConfig
from ..in_use import instead
from ..realtime_socket import RATE
from ..speech.tts import OfflineTts, Tts
from .aloud import ReadAloud
from .base import BrainEvent, Failed, ReplyAudio, ReplyText
from .completion import MAX_TEXT
from .realtime_replies import RealtimeReplies, RealtimeReply
from .realtime_state import RealtimeState

MAX_AUDIO_MS = 30 * 60_000
MAX_ITEMS = 256
"""The service's items that one reply may be made of."""
MAX_BEHIND = 32 << 20
"""Bytes of events that may wait for text that is read aloud: some 8 minutes of sound."""


class RealtimeOutput:
    """Reads the events of the answers.

    Args:
        state: of the brain.
        replies: that they are of.
        tts: as `RealtimeBrain`.
    """

    def __init__(
        self, state: RealtimeState, replies: RealtimeReplies, tts: Callable[[AgentConfig], Tts] | None
    ) -> None:
        self._state = state
        self._replies = replies
        self._tts = tts
        self._reads: Tts | None = None
        """What read an answer aloud last."""

    @property
    def in_use(self) -> InUse:
        """What speaks: the model itself, unless it has answered in text."""
        config, tts = self._state.config, self._reads
        if tts is None:
            return InUse(name=config.voice)
        name = tts.in_use.name if isinstance(tts, OfflineTts) else config.tts.name if config.tts else config.voice
        return instead(name, f"the model's {config.voice}".strip(), "the service answered in text")

    def _stamp(self, reply: RealtimeReply, name: Literal["first_token", "first_audio"]) -> None:
        if (stamp := reply.stamp(name)) is not None:
            self._state.emit(stamp)

    def told(self, reply: RealtimeReply, event: dict[str, Any], text: str) -> None:
        """Text that goes with sound, or that nobody can say."""
        if reply.aloud is not None:
            self._wait(reply, event)
            return
        if self._tells(reply, event):
            reply.next_part()
        if taken := self._counted(reply, text):
            self._tell(reply, taken)
        if len(taken) < len(text):
            self._too_long(reply)

    def _tell(self, reply: RealtimeReply, text: str) -> None:
        self._stamp(reply, "first_token")
        if not (text := reply.reads(text)):
            return
        text, marks = reply.adds(text)
        self._state.context.said(reply.id, reply.text)
        self._state.emit(ReplyText(reply.id, text, marks=marks))

    def _tells(self, reply: RealtimeReply, event: dict[str, Any]) -> bool:
        """Text of one of the service's items has come. Returns whether it begins another part of the answer than the
        text before it: the two are not one text."""
        item_id = event.get("item_id", "")
        reply.told.add(item_id)
        before, reply.part = reply.part, (item_id, event.get("content_index") or 0)
        return before not in (None, reply.part)

    def written(self, reply: RealtimeReply, event: dict[str, Any], text: str) -> None:
        """Text of an answer that has no sound: the agent's own voice says it; without one it is told."""
        item_id = event.get("item_id", "")
        if reply.behind:
            self._wait(reply, event)
            return
        if any(item == item_id for item, _ in reply.items) or (reply.aloud is None and not self._read_aloud(reply)):
            self.told(reply, event, text)
            return
        assert reply.aloud is not None
        if self._tells(reply, event):
            reply.aloud[0].next_part()
        if taken := self._counted(reply, text):
            reply.written[item_id] = reply.written.get(item_id, "") + taken
            self._stamp(reply, "first_token")
            reply.aloud[0].say(taken)
        if len(taken) < len(text):
            self._too_long(reply)

    def _counted(self, reply: RealtimeReply, text: str) -> str:
        """What of a piece of a reply's text is taken."""
        if len(reply.told) > MAX_ITEMS:
            self._too_long(reply)
            return ""
        text = text[: MAX_TEXT - reply.length]
        reply.length += len(text)
        return text

    def _wait(self, reply: RealtimeReply, event: dict[str, Any]) -> None:
        """An event waits until the text before it has been read aloud."""
        reply.behind.append(event)
        reply.behind_bytes += 1024 + len(msgspec.json.encode(event))  # a small one takes more than its letters
        if reply.behind_bytes > MAX_BEHIND:
            self._too_long(reply)

    def _too_long(self, reply: RealtimeReply) -> None:
        if not reply.dropped:
            self._state.complain("REALTIME_ERROR", "the reply is too long; it is cut off", reply.id)
            self._replies.break_off(reply)

    def _read_aloud(self, reply: RealtimeReply) -> bool:
        """Begins to read a reply aloud; returns whether there is a voice for it."""
        if reply.mute:
            return False
        message = "the agent has no text to speech"
        if self._tts is not None:
            try:
                tts = self._tts(self._state.config)
            except LipwireError as exc:
                message = str(exc)
            else:
                language, said = self._state.config.language, partial(self._said_aloud, tts)
                aloud = ReadAloud(tts, reply, said, lambda good: self._aloud_over(reply, good), language)
                reply.aloud = aloud, self._state.spawn(aloud.run())
                return True
        reply.mute = True
        message = f"the service answered in text, which cannot be said: {message}"
        self._state.emit(Failed("TTS_ERROR", message, reply.id, minor=True))
        return False

    def _said_aloud(self, tts: Tts, event: BrainEvent) -> None:
        if isinstance(event, ReplyAudio):
            self._reads = tts
        if isinstance(event, ReplyText):
            reply = next((one for one in self._replies.kept if one.id == event.reply_id), None)
            if reply is not None:
                self._state.context.said(reply.id, reply.text)
        self._state.emit(event)

    def _follow(self, reply: RealtimeReply) -> None:
        """What came behind text that was read aloud."""
        behind, reply.behind, reply.behind_bytes = reply.behind, [], 0
        for event in behind:
            if reply.dropped:
                return
            if event["type"].endswith("audio.delta"):
                self._sound(reply, event)
            else:
                self.told(reply, event, event.get("delta") or event.get("transcript") or event.get("text") or "")

    def _aloud_over(self, reply: RealtimeReply, good: bool) -> None:
        """All that came as text has been handed over: what came behind it follows."""
        reply.aloud = None
        reply.mute = reply.mute or not good
        if reply.done or reply.dropped:
            return
        self._follow(reply)
        if not any(response.reply is reply for response in self._replies.under_way.values()) and not reply.calls:
            self._replies.finish(reply, "done" if good else "failed")
        self._replies.pump()

    def heard(self, reply: RealtimeReply, event: dict[str, Any]) -> None:
        """Sound of an answer."""
        text = reply.written.get(event.get("item_id", ""))
        if reply.aloud is not None and text is not None and not reply.position_ms:
            reply.aloud[1].cancel()  # the text is that of sound, which comes after all
            reply.aloud = None
            reply.restart()
            reply.length = len(reply.text)
            self.told(reply, event, text)
            self._follow(reply)
        if reply.aloud is None:
            self._sound(reply, event)
        else:
            self._wait(reply, event)

    def _sound(self, reply: RealtimeReply, event: dict[str, Any]) -> None:
        try:
            pcm = base64.b64decode(event["delta"], validate=True)
        except binascii.Error as exc:
            raise ValueError(f"the sound is no base64: {exc}") from exc
        pcm = pcm[: len(pcm) // 2 * 2]
        if reply.position_ms > MAX_AUDIO_MS or len(reply.items) > MAX_ITEMS:
            self._too_long(reply)
            return
        if not reply.items or reply.items[-1][0] != event["item_id"]:
            reply.items.append((event["item_id"], reply.position_ms))
        self._stamp(reply, "first_token")
        self._stamp(reply, "first_audio")
        reply.position_ms += len(pcm) / 2 / RATE * 1000
        self._state.emit(ReplyAudio(reply.id, pcm, RATE))
