"""One live session, the engine that ticks it, and the same offline."""

from __future__ import annotations

from .session import Latency, Session, SessionEvent

__all__ = ["Latency", "Session", "SessionEvent"]
