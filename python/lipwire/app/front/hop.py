"""What one node's front process says to another's when it passes a request on: for whom it speaks, and to which worker.

The header is signed with the secret of sessions, which all nodes of a cluster share and nobody else has: so a client
cannot give itself another address, or reach a worker past what is counted. It holds for one request, for seconds, and
a request that has one is not passed on again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import msgspec
from msgspec import Struct

HEADER = b"x-lipwire-hop"
PREFIX = b"x-lipwire-"
"""Of headers that clients cannot send: they are dropped."""
WRONG = "x-lipwire-hop: not signed by a node of this cluster now; is session_secret or the clock another there?"
"""What one is told whose header does not hold."""
FRESH = 30.0
"""Seconds that one is good for, so much may clocks of two nodes differ."""


class Hop(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request's."""

    node: str
    """Who passes it on."""
    address: str = ""
    """Of the client; "" = nobody knows."""
    owner: str | None = None
    """Whose key was shown; None = it is not known, or the worker is to say what is wrong with it."""
    worker: int = -1
    """Which of the other node's workers is to have it; -1 = the request is for the node: its part of a list."""
    ticket: str = ""
    """The reservation that it is to use."""
    at: float = 0.0
    """When, Unix seconds."""


def sign(hop: Hop, secret: str, method: str, target: str, *, now: float | None = None) -> bytes:
    """The header's value, for this request alone."""
    at = time.time() if now is None else now
    body = base64.urlsafe_b64encode(msgspec.json.encode(msgspec.structs.replace(hop, at=at)))
    return body + b"." + _seal(body, secret, method, target)


def check(value: bytes, secret: str, method: str, target: str, *, now: float | None = None) -> Hop | None:
    """What a header says; None = it is none of ours, or too old."""
    body, _, seal = value.partition(b".")
    if not hmac.compare_digest(seal, _seal(body, secret, method, target)):
        return None
    hop = msgspec.json.decode(base64.urlsafe_b64decode(body), type=Hop)
    return hop if abs((time.time() if now is None else now) - hop.at) <= FRESH else None


def _seal(body: bytes, secret: str, method: str, target: str) -> bytes:
    text = b"\n".join((b"lipwire hop", method.encode(), target.encode("latin-1", "replace"), body))
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().encode()
