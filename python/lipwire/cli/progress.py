"""The progress bar of the commands."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS = "{task.completed:.1f}/{task.total:.1f} s"


class ProgressBar(Progress):
    """Shown where `console` is a terminal, gone when it is done.

    While it is open, Ctrl-C ends a job that reports its progress even where a library swallows the KeyboardInterrupt
    that Python raises in the middle of it, as PyAV does where it makes an error of its own: the next `update` raises it
    again.

    Args:
        amount: how much is done, as rich writes it.
    """

    def __init__(self, console: Console, amount: str = SECONDS) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(amount), TimeElapsedColumn())
        super().__init__(
            *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
        )
        self._interrupted = self._watching = False

    def __enter__(self) -> Self:
        # An event loop has a handler of its own, which is enough; and what started this may want no Ctrl-C.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
            self._watching = True
        return super().__enter__()

    def __exit__(self, *what: Any) -> None:
        super().__exit__(*what)
        if self._watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._watching = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def update(self, *args: Any, **fields: Any) -> None:
        """As rich's. Raises KeyboardInterrupt: there was one."""
        if self._interrupted:
            raise KeyboardInterrupt
        super().update(*args, **fields)
