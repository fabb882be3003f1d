"""Webhooks: notices of what happens to agents and sessions, as Agora's Conversational AI words and signs them (its
message notification service, NCS). No I/O.

A notice is a JSON object `{noticeId, productId, eventType, notifyMs, sid, payload}`. It is signed over the bytes of its
body with the webhook's secret: the header `Agora-Signature` has the hex HMAC-SHA1, `Agora-Signature-V2` the hex
HMAC-SHA256.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

PRODUCT = 17
"""Conversational AI."""
SIGNATURE, SIGNATURE_V2 = "Agora-Signature", "Agora-Signature-V2"

JOINED, LEFT, HISTORY, EXPIRES, FAILED, METRICS, TURNS = 101, 102, 103, 104, 110, 111, 112
"""Of agents, with the numbers that the service has for them."""
SESSION_STARTED, SESSION_ENDED, SESSION_FAILED = 1101, 1102, 1103
"""Lipwire's own: of avatar sessions (protocol.md A)."""
EVENTS: dict[int, str] = {
    JOINED: "an agent has joined its channel",
    LEFT: "an agent has left, or could not join",
    HISTORY: "what was said, at the end",
    EXPIRES: "an agent's token is about to expire",
    FAILED: "something failed in an agent",
    METRICS: "the waiting times of an agent's turns, at the end",
    TURNS: "an agent's turns, at the end",
    SESSION_STARTED: "an avatar session has started",
    SESSION_ENDED: "an avatar session has ended",
    SESSION_FAILED: "an avatar session has broken",
}
"""Every event, and when it comes."""


class Notice(Struct, frozen=True, kw_only=True, rename="camel"):
    """One notice. Repeats of it are the same to the byte."""

    notice_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells repeats: one that was lost on the way back comes again."""
    product_id: int = PRODUCT
    event_type: int
    """Of EVENTS."""
    notify_ms: int
    """When it happened, ms since 1970."""
    sid: str
    """The id of the agent, or of the session."""
    payload: dict[str, Any]

    def body(self) -> bytes:
        """What is sent, and signed."""
        return msgspec.json.encode(self)


def sign(body: bytes, secret: str) -> dict[str, str]:
    """The headers that prove that a body comes from who knows the secret."""
    return {
        SIGNATURE: hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        SIGNATURE_V2: hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def verify(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    """Whether a body comes from who knows the secret: for whoever receives notices.

    A body that is sent again by somebody else has the same signature: remember the `noticeId` of those that you have
    acted on.

    Args:
        body: as it came, to the byte.
        headers: of the request, in any case. `Agora-Signature-V2` counts where it is there, else `Agora-Signature`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    for name, right in reversed(sign(body, secret).items()):
        if (signature := given.get(name.lower())) is not None:
            return hmac.compare_digest(signature.encode(), right.encode())
    return False
