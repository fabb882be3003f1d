"""A session that can be recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from .. import _core
from ..session.session import Session
from .recorder import Recording
from .records import Settings


class RecordedSession(Session):
    """A Session with a recording of what comes in and goes out, where `record` was called before it started."""

    tap: Recording | None = None
    """The recording; the provider tells it of the wire."""

    def record(self, recording: Recording) -> None:
        """Records this session. The recording is one of its publishers, too: the caller puts it there."""
        self.tap = recording
        self._options["turns"] = True
        self._clock = recording.now_ns

    def settings(self, *, guard_window: float, check_rate: bool, correct_rate: bool) -> Settings:
        """What a replay needs to know."""
        return Settings(
            avatar=self.avatar,
            width=self.width,
            height=self.height,
            fps=self.fps.as_integer_ratio(),
            seed=self._seed,
            prebuffer=self._options["prebuffer"],
            prebuffer_max=self._options["prebuffer_max"],
            catch_up=bool(self._options["catch_up"]),
            capacity=self._options["capacity"],
            voice_end_grace=self._grace,
            voice_end_timeout=self._options["dry_timeout"],
            guard_window=guard_window,
            correct_rate=correct_rate,
            check_rate=check_rate,
        )

    async def start(self) -> Self:
        try:
            await super().start()
        except BaseException:
            if self.tap is not None:
                self.tap.end("failed")
            raise
        if self.tap is not None and self.performer.moments is not None:
            self.tap.follow(self.performer.moments)
        return self

    def _tell(self, kind: int, value: int, number: int, sample: int, played: int) -> None:
        if self.tap is not None and kind != _core.EVENT_MOUTH:  # that depends on which pictures were late
            self.tap.told += 1
        super()._tell(kind, value, number, sample, played)

    # What the provider's messages do is recorded as messages; who else calls, such as the viewer page, as calls.

    @contextmanager
    def _noted(self, what: str, **fields: Any) -> Iterator[None]:
        found = None if self.tap is None else self.tap.calls()
        try:
            yield
        finally:
            if self.tap is not None and found is not None:
                self.tap.called(found, what, **fields)

    def write(self, pcm: Any, rate: int, event_id: str | None = None) -> None:
        with self._noted("write", pcm=pcm, rate=rate, event_id=event_id):
            super().write(pcm, rate, event_id)

    def end(self, event_id: str | None = None) -> None:
        with self._noted("end", event_id=event_id):
            super().end(event_id)

    def interrupt(self, event_id: str | None = None) -> None:
        with self._noted("interrupt", event_id=event_id):
            super().interrupt(event_id)

    def special(self, content: Any, event_id: str | None = None) -> None:
        with self._noted("special", content=content, event_id=event_id):
            super().special(content, event_id)
