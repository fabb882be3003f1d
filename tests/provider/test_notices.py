"""provider/notices.py: what is told of avatar sessions, without a socket."""

from __future__ import annotations

import pytest

from lipwire.protocol import webhooks as w
from lipwire.provider.notices import SessionNotices
from support.provider_stage import Stage

pytestmark = pytest.mark.asyncio


async def test_started_ended_and_broken() -> None:
    stage = Stage()
    told: list[w.Notice] = []
    stage.provider.on_session = SessionNotices(told.append, stage.provider.clock, lambda: 5000.0).status
    first = await stage.start()
    (started,) = told
    assert (started.event_type, started.sid, started.notify_ms) == (1101, first.session_id, 5_000_000)
    settings = stage.provider.get(first.session_id).request.agora_settings
    assert started.payload == {
        "session_id": first.session_id,
        "avatar_id": stage.provider.get(first.session_id).request.avatar_id,
        "app_id": settings.app_id,
        "channel": settings.channel,
        "uid": settings.uid,
        "start_ts": 5000,
    }
    assert not any(settings.token in str(value) for value in started.payload.values() if settings.token)
    await stage.provider.end(stage.provider.get(first.session_id), "idle")
    assert (told[1].event_type, told[1].payload["message"], told[1].payload["stop_ts"]) == (1102, "idle", 5000)
    second = await stage.start()
    await stage.provider.end(stage.provider.get(second.session_id), "failed")
    assert [one.event_type for one in told] == [1101, 1102, 1101, 1103]
    assert told[-1].sid == second.session_id
