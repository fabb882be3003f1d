"""What webhooks are told of avatar sessions (`protocol.webhooks`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..protocol import webhooks as w
from .sessions import EndReason, ProviderSession


class SessionNotices:
    """Makes the notices.

    Args:
        put: takes each.
        clock: the provider's, seconds.
        now: Unix seconds.
    """

    def __init__(
        self,
        put: Callable[[w.Notice], Any],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._clock = clock
        self._now = now

    def status(self, session: ProviderSession, ended: EndReason | None) -> None:
        """A session has started, or has ended and left its channel."""
        now = self._now()
        settings = session.request.agora_settings
        payload: dict[str, Any] = {
            "session_id": session.id,
            "avatar_id": session.request.avatar_id,
            "app_id": settings.app_id,
            "channel": settings.channel,
            "uid": settings.uid,
            "start_ts": int(now - (self._clock() - session.started)),
        }
        event_type = w.SESSION_STARTED
        if ended is not None:
            event_type = w.SESSION_FAILED if ended == "failed" else w.SESSION_ENDED
            payload |= {"stop_ts": int(now), "message": ended}
        self._put(w.Notice(event_type=event_type, notify_ms=round(now * 1000), sid=session.id, payload=payload))
