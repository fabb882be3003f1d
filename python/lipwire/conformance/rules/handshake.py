"""The WebSocket's handshake (docs/protocol.md B): who may come in is decided there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..client import Client, Line, Session
from ..rule import Registry
from ..verdict import Failed, Skipped
from .cases import Cases
from .http import jwt_part

rules = Registry()
rule = rules.rule

B = "protocol B; Agora's generic avatar, WebSocket"
LOOP = "A known client that is let in and then closed connects again at once, for ever."
REFUSE = "Check the token while the handshake is handled (an HTTP response with a status), not after the upgrade."


@rule(
    "handshake.ok",
    "The session's token opens a WebSocket at websocket_address",
    "must",
    source=B,
    why="It is the only way in.",
    does="connects with Authorization: Bearer <session_token> and sends init",
    expects="101, and a connection that stays",
    fix="Let websocket_address be what clients can reach, and accept the token that was just given out.",
)
async def ok(client: Client) -> None:
    await (await client.open()).alive("init")


@rule(
    "handshake.header-case",
    "Neither the header's name nor the word Bearer has a case",
    "must",
    source="RFC 9110, sections 5.1 and 11.1",
    why="Some clients write authorization, some proxies write it anew.",
    does="connects with authorization: bearer <session_token>",
    expects="101",
    fix="Look headers up without regard to case, and compare the scheme so.",
)
async def header_case(client: Client) -> None:
    session = await client.start()
    await client.connect(session, {"authorization": f"Bearer {session.token}"})
    await client.connect(session, {"AUTHORIZATION": f"bearer {session.token}"})


@rule(
    "handshake.missing-token",
    "Without a token the handshake is refused",
    "must",
    source=B,
    why=LOOP,
    does="connects without Authorization, and with an empty one",
    expects="401 in the handshake",
    fix=REFUSE,
)
async def missing_token(client: Client) -> None:
    session = await client.start()
    cases = Cases()
    for case, headers in {"no header": {}, "no token": {"Authorization": "Bearer "}}.items():
        cases.add(case, await _refusal(client, session, headers))
    cases.judge()


@rule(
    "handshake.bad-token",
    "A token that is none, or was changed, is refused in the handshake",
    "must",
    source=B,
    why=LOOP + " And whoever can write a token himself can speak through every avatar.",
    does="connects with 'nonsense', with a token whose signature was changed, and with one signed by nobody (alg none)",
    expects="401 in the handshake",
    fix=REFUSE + " Verify the signature, with the one algorithm that you sign with.",
)
async def bad_token(client: Client) -> None:
    session = await client.start()
    flipped = session.token[:-6] + ("A" if session.token[-6] != "A" else "B") + session.token[-5:]
    tokens = {"nonsense": "nonsense", "a changed signature": flipped}
    claims = jwt_part(session.token, 1)
    if claims is not None:
        tokens["alg none"] = f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."
    cases = Cases()
    for case, token in tokens.items():
        cases.add(case, await _refusal(client, session, {"Authorization": f"Bearer {token}"}))
    cases.judge()


@rule(
    "handshake.expired-token",
    "An expired token is refused in the handshake",
    "must",
    source=B,
    why="A token that leaks, into a log for example, must not open the session for ever.",
    does="connects to a live session with its token's claims, but signed anew with a time of expiry an hour ago",
    expects="401 in the handshake",
    fix=REFUSE + " Compare exp with the clock.",
)
async def expired_token(client: Client) -> None:
    secret = client.target.token_secret
    if secret is None:
        raise Skipped("to make an expired token takes the secret that signs them: --token-secret")
    session = await client.start()
    header, claims = jwt_part(session.token, 0), jwt_part(session.token, 1)
    if header is None or claims is None or header.get("alg") != "HS256":
        raise Skipped("session_token is no JWT that is signed with HS256")
    fresh = {"Authorization": f"Bearer {_signed(header, claims, secret)}"}
    if isinstance(status := await client.handshake(session, fresh), int):
        raise Skipped(f"--token-secret is another one: a token that it signed anew was refused with {status}")
    hour = 3600
    now = int(time.time())
    past = claims | {name: now - 2 * hour for name in ("iat", "nbf") if name in claims} | {"exp": now - hour}
    cases = Cases()
    headers = {"Authorization": f"Bearer {_signed(header, past, secret)}"}
    cases.add("expired an hour ago", await _refusal(client, session, headers))
    cases.judge()


@rule(
    "handshake.ended",
    "The token of a session that was stopped is refused in the handshake",
    "must",
    source=B,
    why=LOOP,
    does="stops a session and connects with its token",
    expects="404 in the handshake (401, 403 and 410 will do)",
    fix=REFUSE + " Look the session up there, too.",
)
async def ended(client: Client) -> None:
    session = await client.start()
    (await client.stop(session)).expect(200)
    line = await client.handshake(session)
    if isinstance(line, Line):
        await line.closes()
        raise Failed(f"the handshake was accepted (101); then {line.summary()}")
    if line not in (401, 403, 404, 410):
        raise Failed(f"the handshake was answered with {line}")


@rule(
    "handshake.ended-status",
    "An ended session is told from a bad token: 404",
    "should",
    source="protocol B (Lipwire's)",
    why="A client that gets 404 starts a new session; one that gets 401 has a token to fix.",
    does="stops a session and connects with its token",
    expects="404 in the handshake",
    fix="Check the token's signature first (401), then whether the session lives (404).",
)
async def ended_status(client: Client) -> None:
    session = await client.start()
    (await client.stop(session)).expect(200)
    line = await client.handshake(session)
    if isinstance(line, Line):
        raise Skipped("the handshake was accepted: see handshake.ended")
    if line != 404:
        raise Failed(f"{line} in the handshake")


@rule(
    "handshake.path",
    "Any path and query will do",
    "should",
    source="protocol B",
    why="Clients append paths of their own, and proxies cut them.",
    does="connects to /, to /ws/v1 and to /any?x=1, with a good token",
    expects="101 each time",
    fix="Do not route by path on this port; the token says which session is meant.",
)
async def path(client: Client) -> None:
    session = await client.start()
    base = urlsplit(client.target.ws or session.address)
    cases = Cases()
    for where, query in (("/", ""), ("/ws/v1", ""), ("/any", "x=1")):
        line = await client.handshake(session, url=urlunsplit((base.scheme, base.netloc, where, query, "")))
        cases.add(where, f"refused with {line}" if isinstance(line, int) else None)
    cases.judge()


async def _refusal(client: Client, session: Session, headers: dict[str, str]) -> str | None:
    """What is wrong with how these headers were refused."""
    line = await client.handshake(session, headers)
    if isinstance(line, int):
        return None if line == 401 else f"{line} in the handshake"
    await line.closes(client.target.settle)
    return f"the handshake was accepted (101); then {line.summary()}" if line.over else "the connection was accepted"


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _signed(header: dict[str, Any], claims: dict[str, Any], secret: str) -> str:
    """A JWT of these parts with HS256 (RFC 7515, RFC 7518 section 3.2)."""
    text = f"{_part(header)}.{_part(claims)}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
