"""What each role may do, and what its tokens look like."""

from __future__ import annotations

import itertools
from typing import get_args

import jwt
import pytest

from lipwire.errors import InvalidArgument
from lipwire.protocol import tokens as t
from lipwire.protocol.access import MAY, Access, Action, Role, Subject, roles

SECRET = "0123456789abcdef0123456789abcdef"
ALL = [(role, subject) for role in MAY for subject in MAY[role]]
FULL = {"list", "create", "watch", "control", "join", "agents"}
EXPECTED: dict[tuple[str, str], set[str]] = {
    ("speak", "session"): {"speak", "figures", "stop"},
    ("watch", "session"): {"watch"},
    ("watch", "room"): {"watch"},
    ("control", "session"): {"watch", "control"},
    ("member", "room"): {"watch", "join"},
    ("host", "room"): {"watch", "join", "agents"},
    ("admin", "owner"): FULL,
}


def access(role: Role, subject: Subject, **more: str) -> Access:
    return Access(subject=subject, id="one", role=role, **more)  # type: ignore[arg-type]


def test_the_table_says_who_may_what_and_nothing_else() -> None:
    assert set(ALL) == set(EXPECTED)
    assert set(MAY) == set(get_args(Role))
    for (role, subject), action in itertools.product(ALL, get_args(Action)):
        one = access(role, subject)
        assert one.may(action, subject, "one") is (action in EXPECTED[role, subject])
        # Of another thing only an owner's token says anything; whose that is, is compared by who knows.
        assert one.may(action, subject, "two") is (subject == "owner" and action in FULL)


def test_a_token_for_a_session_says_nothing_about_a_room_of_that_name() -> None:
    assert not access("watch", "session").may("watch", "room", "one")
    assert not access("watch", "room").may("watch", "session", "one")


def test_why_a_token_is_none_is_said_in_words_for_who_has_a_link() -> None:
    token = t.issue_access(access("member", "room"), SECRET, now=1000, ttl=60)
    head, body, signature = token.split(".")
    odd = jwt.encode({"sub": "a:b", "role": "x", "iat": 1, "exp": 9}, SECRET, algorithm="HS256")
    damaged = "the token is incomplete or damaged"
    foreign = "this server did not make the token, or has been restarted since"
    for text, secret, why in (
        ("", SECRET, damaged),
        ("x", SECRET, damaged),
        (head, SECRET, damaged),
        (f"{head}.{body}", SECRET, damaged),
        (f"{head}.{body}.{signature[:-5]}", SECRET, damaged),
        (f"{head[:-3]}.{body}.{signature}", SECRET, damaged),
        (f"{head}.{body[:-4]}.{signature}", SECRET, foreign),
        (token, SECRET[::-1], foreign),
        (jwt.encode({"sub": "x", "iat": 1, "exp": 9}, "s" * 64, algorithm="HS512"), SECRET, foreign),
        (jwt.encode({"sub": "x"}, SECRET, algorithm="HS256"), SECRET, "does not say what it is for"),
        (odd, SECRET, "cannot be read"),
        ("x" * 5000, SECRET, "longer than any"),
    ):
        with pytest.raises(t.TokenError) as caught:
            t.verify_access(text, secret, now=1001)
        assert why in str(caught.value), text


@pytest.mark.parametrize(("role", "subject"), itertools.product(get_args(Role), get_args(Subject)))
def test_a_role_fits_its_subject_or_there_is_no_such_token(role: Role, subject: Subject) -> None:
    if (role, subject) not in EXPECTED:
        with pytest.raises(InvalidArgument, match="role must be"):
            access(role, subject)
        forged = jwt.encode({"sub": f"{subject}:one", "role": role, "iat": 1, "exp": 9}, SECRET, algorithm="HS256")
        with pytest.raises(t.TokenError):
            t.verify_access(forged, SECRET, now=2)
        return
    assert role in roles(subject)
    made = access(role, subject, owner="" if role == "speak" else "acme", name="Ann" if subject == "room" else "")
    token = t.issue_access(made, SECRET, now=1000.7, ttl=60)
    read = t.verify_access(token, SECRET, now=1059.9)
    assert (read.subject, read.id, read.role, read.owner, read.name) == (subject, "one", role, made.owner, made.name)
    assert (read.issued, read.expires) == (1000, 1060)
    with pytest.raises(t.TokenError) as caught:
        t.verify_access(token, SECRET, now=1060)
    assert caught.value.expired
    with pytest.raises(t.TokenError):
        t.verify_access(token, SECRET[::-1], now=1001)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "room:lobby"},
        {"sub": "lobby", "role": "member"},
        {"sub": "room:", "role": "member"},
        {"sub": "house:lobby", "role": "member"},
        {"sub": "room:lobby", "role": "owner"},
        {"sub": "room:lobby", "role": ["member"]},
        {"sub": "room:lobby", "role": "member", "name": 7},
        {"sub": "room:lobby", "role": "member", "name": "n" * 65},
        {"sub": "room:lobby", "role": "member", "exp": float("inf")},
        {"sub": "room:lobby", "role": "member", "exp": True},
        {"sub": "", "iat": 1},
    ],
)
def test_claims_that_say_something_else_are_refused(claims: dict[str, object]) -> None:
    token = jwt.encode({"iat": 1, "exp": 9, **claims}, SECRET, algorithm="HS256")
    with pytest.raises(t.TokenError):
        t.verify_access(token, SECRET, now=2)


def test_what_is_too_long_is_not_looked_at() -> None:
    token = jwt.encode({"sub": "s" * 4000, "iat": 1, "exp": 9}, SECRET, algorithm="HS256")
    with pytest.raises(t.TokenError, match="longer than"):
        t.verify_access(token, SECRET, now=2)
