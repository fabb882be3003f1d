"""API keys of several owners, in a file that changes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lipwire.errors import InvalidArgument
from lipwire.provider.keys import (
    LOOK_EVERY,
    OPERATOR,
    KeyRing,
    Owner,
    Quota,
    add_key,
    digest,
    key_line,
    make_key,
    parse_keys,
    remove_keys,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_found_by_its_digest_and_is_nowhere_in_the_file(tmp_path: Path, clock: Clock) -> None:
    file, key, second, other = tmp_path / "keys", make_key(), make_key(), make_key()
    add_key(file, key_line("acme", key, {"sessions": 2}))
    add_key(file, key_line("acme", second))
    add_key(file, key_line("umbrella", other))
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert key not in text and digest(key) in text

    ring = KeyRing("the operator's", file=file, default=Quota(sessions=9, agents=4), clock=clock)
    acme = Owner("acme", Quota(sessions=2, agents=4))
    assert ring.find(key.encode()) == ring.find(second.encode()) == acme
    assert ring.find(other.encode()) == Owner("umbrella", Quota(sessions=9, agents=4))
    assert ring.find(b"the operator's") == Owner(OPERATOR)
    assert set(ring.owners) == {"acme", "umbrella", OPERATOR}
    for wrong in (b"", key.encode()[:-1], digest(key).encode(), b"\xff" * 35, b"x" * 5000, make_key().encode()):
        assert ring.find(wrong) is None


def test_a_password_that_somebody_chose_opens_nothing_even_if_its_digest_is_in_the_file(
    clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"acme:{digest('hunter2')}\n")
    assert KeyRing("k", file=file, clock=clock).find(b"hunter2") is None


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    file, first, second = tmp_path / "keys", make_key(), make_key()
    add_key(file, key_line("acme", first))
    ring = KeyRing("k", file=file, clock=clock)
    add_key(file, key_line("umbrella", second))
    assert ring.find(second.encode()) is None, "it was not a second yet"
    clock.now += LOOK_EVERY
    assert ring.find(second.encode()) == Owner("umbrella")

    assert remove_keys(file, "acme") == 1
    clock.now += LOOK_EVERY
    assert ring.find(first.encode()) is None
    assert "acme" not in ring.owners

    for broken in ("acme:nonsense\n", None):
        file.unlink() if broken is None else file.write_text(broken)
        with caplog.at_level(logging.ERROR, "lipwire.keys"):
            for _ in range(3):
                clock.now += LOOK_EVERY
                assert ring.find(second.encode()) == Owner("umbrella"), "what was read before holds"
        assert len(caplog.records) == 1, "told once"
        caplog.clear()

    add_key(file, key_line("acme", first))
    clock.now += LOOK_EVERY
    assert ring.find(first.encode()) == Owner("acme")
    assert ring.find(second.encode()) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("acme", "line 1"),
        ("\n# nothing\nacme:1234", "line 3"),
        (f"a b:{digest('x')}", "line 1"),
        (f"{OPERATOR}:{digest('x')}", "operator"),
        (f"acme:{digest('x')}\numbrella:{digest('x')}", "belongs to acme"),
        (f"acme:{digest('x')} pixels=3", "none of sessions"),
        (f"acme:{digest('x')} sessions=many", "acme: "),
        (f"acme:{digest('x')} sessions=-1", "0 or more"),
        (f"acme:{digest('x')} request_rate=nan", "0.01 or more"),
        (f"acme:{digest('x')} request_rate=0", "request_rate must be 0.01 or more"),
        (f"acme:{digest('x')} sessions=1\nacme:{digest('y')} sessions=2", "line 2: acme has another sessions"),
    ],
)
def test_a_line_with_a_fault_is_named(text: str, why: str, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(InvalidArgument, match=why):
        parse_keys(text, Quota())
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=f"api_keys_file .*{why}"):
        KeyRing("k", file=file, clock=clock)
    with pytest.raises(InvalidArgument):
        add_key(file, key_line("other", make_key()))
    assert file.read_text() == text, "nothing is written over a fault"


def test_a_ring_needs_its_file_and_no_empty_key(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        KeyRing("k", file=tmp_path / "none", clock=clock)
    for key, named in (("", {}), ("k", {"acme": ""})):
        with pytest.raises(InvalidArgument, match="empty"):
            KeyRing(key, named=named, clock=clock)
    with pytest.raises(InvalidArgument, match="cannot be written"):
        add_key(tmp_path / "no" / "where", key_line("acme", make_key()))
