"""A rule that tries several things of one kind says about all of them what went wrong."""

from __future__ import annotations

from ..verdict import Failed


class Cases:
    """Collects what went wrong, case by case."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def add(self, case: str, problem: str | None) -> None:
        """`problem` None: this case was right."""
        if problem is not None:
            self._problems.append(f"{case}: {problem}")

    def judge(self) -> None:
        """Raises Failed with every problem, a line each."""
        if self._problems:
            raise Failed("\n".join(self._problems))
