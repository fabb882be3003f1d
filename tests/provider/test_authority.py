"""Several owners on one provider: what each may have, and that none reaches what is another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipwire.protocol import messages as m
from lipwire.provider.authority import ASKING_FROM
from lipwire.provider.keys import LOOK_EVERY, OPERATOR, KeyRing, Owner, Quota, add_key, key_line, make_key, remove_keys
from lipwire.provider.quotas import Admission, Load
from lipwire.provider.sessions import ProviderError
from support.provider_stage import KEY, OTHER_KEY, Stage

MEDIUM = 640 * 360 * 25


def refused(code: str) -> Any:
    return pytest.raises(ProviderError, check=lambda exc: exc.code == code)


class Keyed:
    """A stage with two owners in a file, `acme` within this quota."""

    def __init__(self, tmp_path: Path, **quota: Any) -> None:
        self.file, self.acme, self.umbrella = tmp_path / "keys", make_key(), make_key()
        add_key(self.file, key_line("acme", self.acme, quota))
        add_key(self.file, key_line("umbrella", self.umbrella))
        self.stage = Stage()
        keys = KeyRing(KEY, file=self.file, clock=lambda: self.stage.now)
        self.stage.provider.authority.keys = keys


@pytest.mark.asyncio
async def test_another_owners_session_is_not_there() -> None:
    stage = Stage()
    mine, other = stage.provider.check_api_key(KEY), stage.provider.check_api_key(OTHER_KEY)
    reply = await stage.start()
    assert stage.provider.get(reply.session_id, mine).owner == OPERATOR
    with refused("SESSION_NOT_FOUND"):
        stage.provider.get(reply.session_id, other)
    for request in (
        {"session_id": reply.session_id},
        {"session_token": reply.session_token},
        {"session_id": reply.session_id, "session_token": reply.session_token},
    ):
        with refused("SESSION_NOT_FOUND") as caught:
            await stage.provider.stop(m.parse_stop(request), owner=other)
        with refused("SESSION_NOT_FOUND") as nobody:
            await stage.provider.stop(m.parse_stop({"session_id": "nobody"}), owner=other)
        assert str(caught.value) == str(nobody.value), "the two cannot be told apart"
    assert stage.made[0].closed == 0
    await stage.provider.stop(m.parse_stop({"session_id": reply.session_id}), owner=mine)
    assert stage.made[0].closed == 1


@pytest.mark.asyncio
async def test_an_owner_has_so_many_sessions_and_the_others_theirs(tmp_path: Path) -> None:
    world = Keyed(tmp_path, sessions=2)
    for n in range(2):
        await world.stage.start(world.acme, uid=str(n))
    with refused("SESSION_LIMIT") as caught:
        await world.stage.start(world.acme, uid="2")
    assert "This key's limit of 2 sessions" in str(caught.value)
    assert caught.value.retry_after
    await world.stage.start(world.acme, uid="1")  # in place of one of them
    await world.stage.start(world.umbrella, uid="3")
    await world.stage.start(KEY, uid="4")
    assert len(world.stage.provider.sessions) == 4


@pytest.mark.asyncio
async def test_an_owner_has_so_many_pixels_a_second(tmp_path: Path) -> None:
    world = Keyed(tmp_path, pixel_rate=3 * MEDIUM)
    await world.stage.start(world.acme)
    with refused("SESSION_LIMIT") as caught:
        await world.stage.start(world.acme, uid="2", width=1920, height=1920, fps=60)
    assert f"would add {1920 * 1920 * 60}" in str(caught.value)
    await world.stage.start(world.acme, uid="2", width=1280, height=360)
    with refused("SESSION_LIMIT"):
        await world.stage.start(world.acme, uid="3", quality="low")
    await world.stage.start(world.umbrella, uid="3", width=1920, height=1920, fps=60)


@pytest.mark.asyncio
async def test_all_have_so_many_pixels_a_second() -> None:
    stage = Stage(max_pixel_rate=2 * MEDIUM)
    await stage.start()
    await stage.start(OTHER_KEY, uid="2")
    with refused("SESSION_LIMIT") as caught:
        await stage.start(uid="3", quality="low")
    assert str(caught.value).startswith("The limit")
    await stage.provider.end(stage.provider.sessions[0], "stopped")
    await stage.start(uid="3", quality="low")


@pytest.mark.asyncio
async def test_requests_of_one_key_are_counted_and_those_of_another_are_not_held_up(tmp_path: Path) -> None:
    world = Keyed(tmp_path, request_rate=2)
    check = world.stage.provider.check_api_key
    for _ in range(4):
        check(world.acme)
    with refused("RATE_LIMITED") as caught:
        check(world.acme)
    assert caught.value.status == 429
    assert caught.value.retry_after == pytest.approx(0.5)
    check(world.umbrella)
    check(KEY)
    world.stage.now += 0.5
    check(world.acme)


@pytest.mark.asyncio
async def test_a_key_that_is_gone_ends_its_tokens_and_its_sessions(tmp_path: Path) -> None:
    world = Keyed(tmp_path)
    provider = world.stage.provider
    reply = await world.stage.start(world.acme, activity_idle_timeout=0)
    others = [await world.stage.start(key, uid=uid) for uid, key in (("2", world.umbrella), ("3", KEY))]
    token = provider.authority.issue("room", "lobby", "member", ttl=60, owner="acme", name="Ann")
    assert provider.check_access(token).name == "Ann"
    assert await provider.sweep(world.stage.now) == []
    remove_keys(world.file, "acme")
    world.stage.now += LOOK_EVERY
    with refused("INVALID_TOKEN"):
        provider.check_access(token)
    with refused("INVALID_API_KEY"):
        provider.check_api_key(world.acme)
    world.stage.made[0].figures["talking"] = True
    assert await provider.sweep(world.stage.now) == [reply.session_id]
    assert (provider.ended_total, world.stage.made[0].closed) == ({"stopped": 1}, 1)
    with refused("SESSION_NOT_FOUND"):
        provider.check_token(reply.session_token)
    assert [session.id for session in provider.sessions] == [other.session_id for other in others]


def test_a_token_of_another_role_is_no_session_token() -> None:
    stage = Stage()
    for subject, role in (("session", "watch"), ("session", "control"), ("room", "member"), ("owner", "admin")):
        token = stage.provider.authority.issue(subject, "x", role, ttl=60)  # type: ignore[arg-type]
        with refused("INVALID_TOKEN"):
            stage.provider.check_token(token)


@pytest.mark.asyncio
async def test_a_machine_that_is_late_takes_no_more_but_what_is_there_can_be_replaced() -> None:
    stage = Stage()
    await stage.start()
    admission: Admission = stage.provider.admission
    for n in range(21):
        admission.observe(Load(frames=10 * n, late=10 * n), stage.now + n / 2)
    stage.now += 10
    with refused("NO_CAPACITY") as caught:
        await stage.start(uid="2")
    assert (caught.value.status, caught.value.retry_after) == (503, Admission.RETRY)
    await stage.start()
    assert [session.closed for session in stage.made] == [1, 0]
    stage.now += 11
    await stage.start(uid="2")


@pytest.mark.parametrize("first", ["keys", "tokens"])
def test_wrong_tokens_lock_no_key_out_and_wrong_keys_no_token(first: str) -> None:
    provider = Stage().provider
    asking = ASKING_FROM.set("203.0.113.9")
    try:

        def guess(what: str) -> str:
            with pytest.raises(ProviderError) as caught:
                provider.check_api_key("guess") if what == "keys" else provider.check_access("a.b.c")
            return caught.value.code

        wrong = {"keys": "INVALID_API_KEY", "tokens": "INVALID_TOKEN"}
        other = "tokens" if first == "keys" else "keys"
        assert [guess(first) for _ in range(8)] == [wrong[first]] * 6 + ["RATE_LIMITED"] * 2
        if first == "tokens":
            assert provider.check_api_key(KEY).name == OPERATOR, "a key that somebody chose"
        assert guess(other) == wrong[other]
    finally:
        ASKING_FROM.reset(asking)


def test_an_owner_is_known_by_name_and_keeps_what_is_theirs() -> None:
    authority = Stage().provider.authority
    assert authority.owner_named("other") == Owner("other")
    assert authority.owner_named("gone") == Owner("gone", Quota())
