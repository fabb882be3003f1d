"""protocol/tokens.py: AccessToken2 against PyPI agoraiotools as the oracle, and the session JWT."""

from __future__ import annotations

import base64
import importlib
import secrets
import time
import zlib
from typing import Any

import jwt
import pytest
from agoraiotools.RtcTokenBuilder2 import Role_Publisher, Role_Subscriber, RtcTokenBuilder2
from agoraiotools.RtmTokenBuilder2 import RtmTokenBuilder2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lipwire
from lipwire.errors import InvalidArgument
from lipwire.protocol import tokens as t
from lipwire.protocol.access import Access

oracle = importlib.import_module("agoraiotools.AccessToken2")
apaas = importlib.import_module("agoraiotools.apaas_token_builder")

APP = "970ca35de60c44645bbae8a215061b33"
CERT = "5cfd2fd1755d40ecb72977518be15d3b"
NOW, SALT = 1_700_000_000, 1_234_567


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle takes its time and salt from the system: pin them."""

    class Random:
        def randint(self, low: int, high: int) -> int:
            return SALT

    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr(secrets, "SystemRandom", Random)


def rtc(uid: int | str = 7, **kwargs: Any) -> str:
    return t.build_rtc_token(APP, CERT, "room", uid, **({"issue_ts": NOW, "salt": SALT, "expire": 600} | kwargs))


@pytest.mark.parametrize("uid", [0, 1, 4294967295, "0", "", "alice", "ünïcode-名", "x" * 255])
@pytest.mark.parametrize("channel", ["room", "", "канал !#$%&()+-:;<=.>?@[]^_{}|~,"])
@pytest.mark.parametrize(("publish", "role"), [(True, Role_Publisher), (False, Role_Subscriber)])
@pytest.mark.parametrize("privilege_expire", [0, 300])
@pytest.mark.usefixtures("pinned")
def test_rtc_is_the_oracles(uid: int | str, channel: str, publish: bool, role: int, privilege_expire: int) -> None:
    theirs = RtcTokenBuilder2.build_token_with_user_account(APP, CERT, channel, uid, role, 600, privilege_expire)
    ours = t.build_rtc_token(
        APP,
        CERT,
        channel,
        uid,
        issue_ts=NOW,
        salt=SALT,
        expire=600,
        privilege_expire=privilege_expire,
        publish=publish,
    )
    assert ours == theirs


@pytest.mark.usefixtures("pinned")
def test_other_builders_of_the_oracle() -> None:
    assert rtc(privilege_expire={1: 10, 2: 20, 3: 30, 4: 40}) == (
        RtcTokenBuilder2.build_token_with_user_account_and_privilege(APP, CERT, "room", 7, 600, 10, 20, 30, 40)
    )
    assert rtc("bob", rtm_user_id="bob", privilege_expire=60, rtm_expire=600) == (
        RtcTokenBuilder2.build_token_with_rtm(APP, CERT, "room", "bob", Role_Publisher, 600, 60)
    )
    assert t.build_rtm_token(APP, CERT, "bob", issue_ts=NOW, salt=SALT, expire=900) == (
        RtmTokenBuilder2.build_token(APP, CERT, "bob", 900)
    )


hexes = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
seconds = st.integers(0, 2**32 - 1)


@settings(max_examples=500)
@given(
    app=hexes,
    certificate=hexes,
    channel=names,
    account=names,
    user=names,
    issue_ts=st.integers(1, 2**32 - 1),
    salt=seconds,
    expire=st.integers(1, 86400),
    privileges=st.dictionaries(st.integers(0, 2**16 - 1), seconds, max_size=6),
    login=seconds,
    rtc=st.booleans(),
    rtm=st.booleans(),
)
def test_random_tokens_are_the_oracles(
    app: str,
    certificate: str,
    channel: str,
    account: str,
    user: str,
    issue_ts: int,
    salt: int,
    expire: int,
    privileges: dict[int, int],
    login: int,
    rtc: bool,
    rtm: bool,
) -> None:
    assume(rtc or rtm)
    theirs = oracle.AccessToken2(app, certificate, issue_ts=issue_ts, expire=expire)
    theirs._AccessToken__salt = salt
    services = []
    if rtc:
        service = oracle.ServiceRtc(channel, account)
        for privilege, until in privileges.items():
            service.add_privilege(privilege, until)
        theirs.add_service(service)
        services.append(t.Service(type=t.RTC, privileges=privileges, strings=(channel, account)))
    if rtm:
        service = oracle.ServiceRtm(user)
        service.add_privilege(t.LOGIN, login)
        theirs.add_service(service)
        services.append(t.Service(type=t.RTM, privileges={t.LOGIN: login}, strings=(user,)))
    ours = t.AccessToken(app_id=app, issue_ts=issue_ts, expire=expire, salt=salt, services=services)
    token = ours.build(certificate)
    assert token == theirs.build()
    parsed = t.parse_token(token)
    assert (parsed.app_id, parsed.issue_ts, parsed.expire, parsed.salt) == (app, issue_ts, expire, salt)
    assert parsed.services == services
    assert t.explain_token(token, now=issue_ts, certificate=certificate)


def test_a_token_is_explained() -> None:
    token = rtc(7, rtm_user_id="bob", privilege_expire={t.JOIN: 0, t.PUBLISH_AUDIO: 60, 99: 1})
    assert t.explain_token(token, now=NOW + 100, certificate=CERT) == [
        f"app id     {APP}",
        "issued     2023-11-14 22:13:20 UTC",
        "expires    2023-11-14 22:23:20 UTC (600 s after; valid for another 500 s)",
        "salt       1234567",
        "signature  of this certificate",
        "RTC        channel 'room', user '7'",
        "  may join, as long as the token",
        "  may publish audio, for 60 s after it was issued",
        "  may privilege 99, for 1 s after it was issued",
        "RTM        user 'bob'",
        "  may log in, for 600 s after it was issued",
    ]
    late = t.explain_token(rtc(0, expire=10), now=NOW + 25, certificate=CERT[::-1])
    assert "expired 15 s ago" in late[2] and "NOT" in late[4] and "any user" in late[5]
    assert not any("signature" in line for line in t.explain_token(token, now=NOW))
    assert "in the future" in t.explain_token(token, now=NOW - 5)[2]
    with pytest.raises(t.TokenError):
        t.explain_token("007", now=NOW)


def test_agora_token_is_for_now() -> None:
    before = int(time.time())
    both = t.parse_token(lipwire.agora_token(APP, CERT, "room", "alice", rtm_user_id="bob", expire=60, publish=False))
    assert before <= both.issue_ts <= time.time() and both.expire == 60
    assert (both.channel, both.account, both.services[0].privileges) == ("room", "alice", {t.JOIN: 0})
    only = t.parse_token(lipwire.agora_token(APP, CERT, rtm_user_id="bob"))
    assert [s.strings for s in only.services] == [("bob",)]
    with pytest.raises(InvalidArgument, match="channel"):
        lipwire.agora_token(APP, CERT)


def test_the_oracle_reads_ours() -> None:
    token = oracle.AccessToken2()
    assert token.from_string(rtc("alice", rtm_user_id="alice"))


def test_parse_and_rebuild() -> None:
    token = rtc("alice", rtm_user_id="bob", privilege_expire=5)
    parsed = t.parse_token(token)
    assert (parsed.app_id, parsed.issue_ts, parsed.expire, parsed.salt) == (APP, NOW, 600, SALT)
    assert (parsed.channel, parsed.account) == ("room", "alice")
    assert parsed.services[0].privileges == {1: 5, 2: 5, 3: 5, 4: 5}
    assert parsed.service(t.RTM) == t.Service(type=2, privileges={1: 600}, strings=("bob",))
    assert parsed.build(CERT) == token
    only_rtm = t.parse_token(t.build_rtm_token(APP, CERT, "bob", issue_ts=NOW, salt=SALT))
    assert only_rtm.channel is only_rtm.account is None


def test_verify() -> None:
    token = rtc()
    for now in (NOW, NOW + 599.9):
        assert t.verify_token(token, CERT, now=now, app_id=APP).account == "7"
    with pytest.raises(t.TokenError, match="expired") as caught:
        t.verify_token(token, CERT, now=NOW + 600)
    assert caught.value.expired
    with pytest.raises(t.TokenError, match="signature") as caught:
        t.verify_token(token, CERT[::-1], now=NOW)
    assert not caught.value.expired
    with pytest.raises(t.TokenError, match="app id"):
        t.verify_token(token, CERT, now=NOW, app_id=APP[::-1])


def test_a_day_is_the_most() -> None:
    assert rtc(expire=86400)
    for expire in (0, -1, 86401):
        with pytest.raises(InvalidArgument, match="expire"):
            rtc(expire=expire)
    long = oracle.AccessToken2(APP, CERT, issue_ts=NOW, expire=10**6)
    long.add_service(oracle.ServiceRtm("bob"))
    token = long.build()
    assert t.verify_token(token, CERT, now=NOW + 86399)
    with pytest.raises(t.TokenError, match="expired"):
        t.verify_token(token, CERT, now=NOW + 86400)


@pytest.mark.parametrize(
    "change",
    [
        {"app_id": "x"},
        {"app_id": "g" * 32},
        {"certificate": ""},
        {"channel": "x" * 65536},
        {"channel": "\ud800"},
        {"salt": 2**32},
        {"salt": -1},
        {"issue_ts": -1},
        {"privilege_expire": -1},
    ],
)
def test_bad_arguments(change: dict[str, Any]) -> None:
    good: Any = {"app_id": APP, "certificate": CERT, "channel": "room", "uid": 1, "issue_ts": NOW, "salt": SALT}
    with pytest.raises(InvalidArgument):
        t.build_rtc_token(**(good | change))
    with pytest.raises(InvalidArgument, match="service"):
        t.AccessToken(app_id=APP, issue_ts=NOW, expire=1, salt=1).build(CERT)


def pack(data: bytes) -> str:
    return "007" + base64.b64encode(zlib.compress(data)).decode()


def test_malformed_tokens() -> None:
    token = rtc()
    data = zlib.decompress(base64.b64decode(token[3:]))
    bad = ["", "006abc", "007", "007!", "007é", token[:-4], token + "A", token[:3] + " " + token[3:], pack(b"")]
    bad += [pack(data[:n]) for n in range(len(data))]
    bad += [pack(data + b"\0"), pack(b"\0" * 10_000_000), pack(data.replace(b"\1\0\4\0", b"\13\0\4\0"))]
    for text in bad:
        with pytest.raises(t.TokenError):
            t.parse_token(text)


def test_the_format_before_is_told() -> None:
    old = "006" + APP + base64.b64encode(bytes(40)).decode()
    for call in (
        t.parse_token,
        lambda text: t.verify_token(text, CERT, now=0),
        lambda text: t.explain_token(text, now=0),
    ):
        with pytest.raises(t.TokenError, match=r"begins with 006.* before AccessToken2; use one that begins with 007"):
            call(old)


EVERY = [
    t.Service(type=t.RTC, privileges={t.JOIN: 0, t.PUBLISH_AUDIO: 9}, strings=("room", "7")),
    t.Service(type=t.RTM, privileges={t.LOGIN: 9}, strings=("bob",)),
    t.Service(type=t.STREAMING, privileges={1: 9}, strings=("room", "7")),
    t.Service(type=t.FPA, privileges={t.LOGIN: 9}),
    t.Service(type=t.CHAT, privileges={1: 9}, strings=("bob",)),
    t.Service(type=t.FCDN, privileges={2: 9}, strings=("room", "")),
    t.Service(type=t.APAAS, privileges={1: 9}, strings=("room", "bob"), tail=b"\1\0"),
    t.Service(
        type=t.RTM2, privileges={t.LOGIN: 9}, strings=("bob",), tail=bytes.fromhex("0100 0000 0100 0100 0100 0200 6162")
    ),
    t.Service(type=t.CONVO_AI),
    t.Service(type=t.STT),
]
"""One of each: APaaS with a role, RTM 2 with the right to write into the message channel "ab"."""


def signed(services: list[t.Service]) -> str:
    return t.AccessToken(app_id=APP, issue_ts=NOW, expire=600, salt=SALT, services=services).build(CERT)


@pytest.mark.parametrize(
    "some", [EVERY, *([service] for service in EVERY)], ids=lambda some: f"{len(some)}-{some[0].type}"
)
def test_every_service_is_read_and_written_byte_for_byte(some: list[t.Service]) -> None:
    token = signed(some)
    parsed = t.verify_token(token, CERT, now=NOW, app_id=APP)
    assert parsed.services == some
    assert t.AccessToken(app_id=APP, issue_ts=NOW, expire=600, salt=SALT, services=parsed.services).build(CERT) == token
    data = zlib.decompress(base64.b64decode(token[3:]))
    for n in range(len(data)):
        with pytest.raises(t.TokenError):
            t.parse_token(pack(data[:n]))


def test_what_service_a_token_is_for_is_told() -> None:
    lines = t.explain_token(signed(EVERY), now=NOW)
    for words in (
        "RTC        channel 'room', user '7'",
        "FCDN       channel 'room', any user",
        "APaaS      user 'room', user 'bob'",
        "RTM 2      user 'bob'",
        "ConvoAI",
        "STT",
    ):
        assert words in lines
    assert "  may play, for 9 s after it was issued" in lines


def test_the_education_tokens_of_the_oracle_are_read() -> None:
    token = apaas.ApaasTokenBuilder.build_room_user_token(APP, CERT, "room", "bob", 2, 600)
    service = t.verify_token(token, CERT, now=time.time(), app_id=APP).service(t.APAAS)
    assert service is not None
    assert (service.strings, service.tail) == (("room", "bob"), b"\2\0")


@given(st.text() | st.binary(max_size=120).map(pack) | st.binary().map(lambda b: "007" + base64.b64encode(b).decode()))
def test_parse_raises_only_token_error(text: str) -> None:
    try:
        t.parse_token(text)
    except t.TokenError:
        pass


@given(st.integers(0, 200), st.integers(0, 7))
def test_every_flipped_bit_is_noticed(at: int, bit: int) -> None:
    data = bytearray(zlib.decompress(base64.b64decode(rtc("alice")[3:])))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(t.TokenError):
        t.verify_token(pack(bytes(data)), CERT, now=NOW)


# ----------------------------------------------------------------------------------------------------- session JWT

SECRET = "0123456789abcdef0123456789abcdef"


def test_session_token() -> None:
    token = t.issue_access(Access(subject="session", id="the-session", role="speak"), SECRET, now=1000.7, ttl=60)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert jwt.decode(token, options={"verify_signature": False}) == {"sub": "the-session", "iat": 1000, "exp": 1060}
    assert t.verify_access(token, SECRET, now=1059.9).id == "the-session"
    with pytest.raises(t.TokenError) as caught:
        t.verify_access(token, SECRET, now=1060)
    assert caught.value.expired
    assert t.verify_access(token, SECRET, now=9e9, allow_expired=True).id == "the-session"
    with pytest.raises(t.TokenError):
        t.verify_access(token, SECRET[::-1], now=1000)


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode({"sub": "s", "iat": 1, "exp": 9}, "", algorithm="none"),
        jwt.encode({"sub": "s", "iat": 1, "exp": 9}, SECRET * 2, algorithm="HS512"),
        jwt.encode({"iat": 1, "exp": 9}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "s", "iat": 1}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "s", "exp": 9}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "s", "iat": 1, "exp": "soon"}, SECRET, algorithm="HS256"),
        "",
        "a.b.c",
        "é.é.é",
        "\ud800",
    ],
)
def test_bad_session_tokens(token: str) -> None:
    with pytest.raises(t.TokenError):
        t.verify_access(token, SECRET, now=2)


@given(st.text())
def test_session_tokens_raise_only_token_error(token: str) -> None:
    with pytest.raises(t.TokenError):
        t.verify_access(token, SECRET, now=2)
