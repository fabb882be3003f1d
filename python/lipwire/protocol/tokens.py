"""Tokens: AccessToken2 ("007") for Agora's channels, and our own: JWTs of the avatar provider, the pages and rooms.

AccessToken2 (protocol.md G; the format of Agora's AgoraDynamicKey):
`"007" + base64(zlib(str(signature) + info))`, little-endian, `str` = u16 length + bytes;
info = str app id, u32 issue time, u32 expiry (s after issue), u32 salt, u16 count, services;
service = u16 type, u16 count of (u16 privilege, u32 expiry), strings (RTC: channel, account; RTM: user id; which others
have how many: `_STRINGS`), and of two a tail (APaaS: u16 role; RTM 2: permissions on resources);
key = HMAC-SHA256(salt, HMAC-SHA256(issue time, certificate)), signature = HMAC-SHA256(key, info).

Time (Unix seconds) and salt are arguments, so the same call gives the same token.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import hmac
import math
import string
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from msgspec import Struct, field

from ..errors import InvalidArgument, LipwireError
from .access import Access

VERSION = "007"
LEGACY = "006"
OLD = (
    f"the token begins with {LEGACY}: it is an AccessToken, the format before AccessToken2; use one that begins with "
    f"{VERSION} (`lipwire token CHANNEL` makes one, and so does RtcTokenBuilder2 of Agora's token libraries)"
)
"""What is said of such a one, in its place."""
MAX_EXPIRE = 24 * 3600
"""Seconds: what Agora honours at most."""
_MAX_INFLATED = 1 << 16

RTC, RTM, STREAMING, FPA, CHAT, FCDN, APAAS, RTM2, CONVO_AI, STT = range(1, 11)
JOIN, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA = 1, 2, 3, 4
LOGIN = 1
_STRINGS = {RTC: 2, RTM: 1, STREAMING: 2, FPA: 0, CHAT: 1, FCDN: 2, APAAS: 2, RTM2: 1, CONVO_AI: 0, STT: 0}
"""Strings after the privileges, by service type. Of the services other than RTC and RTM none is built here."""


class TokenError(LipwireError, ValueError):
    """A token is malformed, forged, expired or for something else. `expired` tells the third from the others."""

    code = "INVALID_TOKEN"

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


class Service(Struct, kw_only=True):
    """One service of a token: its privileges (number -> seconds, 0 = as the token) and its strings."""

    type: int
    privileges: dict[int, int] = {}
    strings: tuple[str, ...] = ()
    tail: bytes = b""
    """What follows the strings, as it is."""


class AccessToken(Struct, kw_only=True):
    """The content of a 007 token. `expire` is in seconds after `issue_ts` (Unix seconds)."""

    app_id: str
    issue_ts: int
    expire: int
    salt: int
    services: list[Service] = field(default_factory=list)
    signature: bytes = b""
    info: bytes = b""
    """The signed bytes, as parsed."""

    def service(self, kind: int) -> Service | None:
        """The service of this type, if the token has it."""
        return next((s for s in self.services if s.type == kind), None)

    @property
    def channel(self) -> str | None:
        """The RTC channel."""
        rtc = self.service(RTC)
        return rtc.strings[0] if rtc else None

    @property
    def account(self) -> str | None:
        """The RTC user: decimal uid or string account, "" = any."""
        rtc = self.service(RTC)
        return rtc.strings[1] if rtc else None

    def build(self, certificate: str) -> str:
        """The token, signed with the app certificate (32 hex digits).

        Raises:
            InvalidArgument: app id or certificate are no 32 hex digits, there is no service, the lifetime is not
                1..86400 s, or a number or string does not fit its field.
        """
        for name, value in (("app_id", self.app_id), ("certificate", certificate)):
            if len(value) != 32 or not set(value) <= set(string.hexdigits):
                raise InvalidArgument(f"{name} must be 32 hexadecimal digits")
        if not self.services:
            raise InvalidArgument("a token needs at least one service")
        if not 0 < self.expire <= MAX_EXPIRE:
            raise InvalidArgument(f"expire must be 1..{MAX_EXPIRE} seconds, not {self.expire}")
        try:
            info = _pack_str(self.app_id)
            info += struct.pack("<IIIH", self.issue_ts, self.expire, self.salt, len(self.services))
            for service in sorted(self.services, key=lambda s: s.type):
                info += struct.pack("<HH", service.type, len(service.privileges))
                for privilege, seconds in sorted(service.privileges.items()):
                    info += struct.pack("<HI", privilege, seconds)
                info += b"".join(_pack_str(text) for text in service.strings) + service.tail
        except (struct.error, UnicodeError) as exc:
            raise InvalidArgument(f"a token field is out of range: {exc}") from None
        signature = _sign(info, self.issue_ts, self.salt, certificate)
        packed = zlib.compress(_pack_str(signature) + info)
        return VERSION + base64.b64encode(packed).decode()


def build_rtc_token(
    app_id: str,
    certificate: str,
    channel: str,
    uid: int | str,
    *,
    issue_ts: int,
    salt: int,
    expire: int = 3600,
    privilege_expire: int | Mapping[int, int] = 0,
    publish: bool = True,
    rtm_user_id: str | None = None,
    rtm_expire: int | None = None,
) -> str:
    """A token to join `channel` as `uid` (0 = any), and to publish unless `publish` is false.

    Args:
        issue_ts: now, Unix seconds.
        salt: a random u32 (`secrets.randbelow(99_999_999) + 1` is what Agora's builders take).
        expire: lifetime in seconds, 1..86400.
        privilege_expire: seconds for every privilege (0 = as the token), or a map from privilege to seconds.
        rtm_user_id: adds the RTM service for this user, with `rtm_expire` seconds (default: `expire`).

    Raises:
        InvalidArgument: see `AccessToken.build`.
    """
    if isinstance(privilege_expire, Mapping):
        privileges = dict(privilege_expire)
    else:
        granted = (JOIN, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA) if publish else (JOIN,)
        privileges = dict.fromkeys(granted, privilege_expire)
    account = "" if uid == 0 else str(uid)
    services = [Service(type=RTC, privileges=privileges, strings=(channel, account))]
    if rtm_user_id is not None:
        services.append(_rtm(rtm_user_id, expire if rtm_expire is None else rtm_expire))
    return AccessToken(app_id=app_id, issue_ts=issue_ts, expire=expire, salt=salt, services=services).build(certificate)


def build_rtm_token(
    app_id: str, certificate: str, user_id: str, *, issue_ts: int, salt: int, expire: int = 3600
) -> str:
    """A token to log `user_id` in to RTM. Arguments and errors as in `build_rtc_token`."""
    services = [_rtm(user_id, expire)]
    return AccessToken(app_id=app_id, issue_ts=issue_ts, expire=expire, salt=salt, services=services).build(certificate)


def parse_token(token: str) -> AccessToken:
    """The content of a 007 token; nothing is verified.

    Raises:
        TokenError: it is none.
    """
    if token.startswith(LEGACY):
        raise TokenError(OLD)
    if not token.startswith(VERSION):
        raise TokenError(f"an AccessToken2 starts with {VERSION}")
    try:
        packed = base64.b64decode(token[len(VERSION) :], validate=True)
        inflate = zlib.decompressobj()
        data = inflate.decompress(packed, _MAX_INFLATED)
        if not inflate.eof:
            raise TokenError("malformed token: cut short, or too large")
        signature, at = _unpack_str(data, 0)
        info = data[at:]
        app_id, at = _unpack_str(data, at)
        issue_ts, expire, salt, count = struct.unpack_from("<IIIH", data, at)
        at += 14
        services = []
        for _ in range(count):
            service, at = _unpack_service(data, at)
            services.append(service)
        if at != len(data):
            raise TokenError("malformed token: bytes after the last service")
        return AccessToken(
            app_id=app_id.decode(),
            issue_ts=issue_ts,
            expire=expire,
            salt=salt,
            services=services,
            signature=signature,
            info=info,
        )
    except (binascii.Error, zlib.error, struct.error, UnicodeError, ValueError) as exc:
        if isinstance(exc, TokenError):
            raise
        raise TokenError(f"malformed token: {exc}") from None


_PRIVILEGES = {
    RTC: {JOIN: "join", PUBLISH_AUDIO: "publish audio", PUBLISH_VIDEO: "publish video", PUBLISH_DATA: "publish data"},
    RTM: {LOGIN: "log in"},
    STREAMING: {1: "publish a mix", 2: "publish raw streams"},
    FPA: {LOGIN: "log in"},
    CHAT: {1: "act as a user", 2: "act as the application"},
    FCDN: {1: "publish", 2: "play"},
    APAAS: {1: "act as a user of the room", 2: "act as a user", 3: "act as the application"},
    RTM2: {LOGIN: "log in"},
}
_SERVICES = {
    RTC: "RTC",
    RTM: "RTM",
    STREAMING: "Streaming",
    FPA: "FPA",
    CHAT: "Chat",
    FCDN: "FCDN",
    APAAS: "APaaS",
    RTM2: "RTM 2",
    CONVO_AI: "ConvoAI",
    STT: "STT",
}


def explain_token(token: str, *, now: float, certificate: str | None = None) -> list[str]:
    """What a 007 token says, for people, a fact a line; with a certificate also whether that signed it.

    Raises:
        TokenError: it is none.
    """
    parsed = parse_token(token)
    ends = parsed.issue_ts + min(parsed.expire, MAX_EXPIRE)
    state = f"expired {round(now - ends)} s ago" if now >= ends else f"valid for another {round(ends - now)} s"
    if now < parsed.issue_ts:
        state += f", issued {round(parsed.issue_ts - now)} s in the future"
    lines = [
        f"app id     {parsed.app_id}",
        f"issued     {_utc(parsed.issue_ts)}",
        f"expires    {_utc(ends)} ({parsed.expire} s after; {state})",
        f"salt       {parsed.salt}",
    ]
    if parsed.expire > MAX_EXPIRE:
        lines.append(f"note       the service takes more than {MAX_EXPIRE} s for {MAX_EXPIRE} s")
    if certificate is not None:
        good = hmac.compare_digest(_sign(parsed.info, parsed.issue_ts, parsed.salt, certificate), parsed.signature)
        lines.append(f"signature  {'of this certificate' if good else 'NOT of this certificate'}")
    for service in parsed.services:
        name = _SERVICES[service.type]
        if service.type in (RTC, STREAMING, FCDN):
            user = f"user {service.strings[1]!r}" if service.strings[1] else "any user"
            lines.append(f"{name:<10} channel {service.strings[0]!r}, {user}")
        else:
            lines.append(f"{name:<10} {', '.join(f'user {text!r}' for text in service.strings)}".rstrip())
        for privilege, seconds in service.privileges.items():
            what = _PRIVILEGES.get(service.type, {}).get(privilege, f"privilege {privilege}")
            until = f"for {seconds} s after it was issued" if seconds else "as long as the token"
            lines.append(f"  may {what}, {until}")
    return lines


def _utc(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def verify_token(token: str, certificate: str, *, now: float, app_id: str | None = None) -> AccessToken:
    """The content of a token that `certificate` signed and that is valid at `now` (Unix seconds).

    A lifetime above 24 h counts as 24 h. Privileges' own expiries are the caller's to compare.

    Raises:
        TokenError: malformed, signed by another certificate, for another app id, or expired (`expired` is true).
    """
    parsed = parse_token(token)
    expected = _sign(parsed.info, parsed.issue_ts, parsed.salt, certificate)
    if not hmac.compare_digest(expected, parsed.signature):
        raise TokenError("the token's signature does not match")
    if app_id is not None and parsed.app_id != app_id:
        raise TokenError("the token is for another app id")
    if now >= parsed.issue_ts + min(parsed.expire, MAX_EXPIRE):
        raise TokenError("the token has expired", expired=True)
    return parsed


def _rtm(user_id: str, seconds: int) -> Service:
    return Service(type=RTM, privileges={LOGIN: seconds}, strings=(user_id,))


def _sign(info: bytes, issue_ts: int, salt: int, certificate: str) -> bytes:
    key = hmac.digest(struct.pack("<I", issue_ts), certificate.encode(), hashlib.sha256)
    key = hmac.digest(struct.pack("<I", salt), key, hashlib.sha256)
    return hmac.digest(key, info, hashlib.sha256)


def _pack_str(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(data)) + data


def _unpack_str(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<H", data, at)
    at += 2
    if at + length > len(data):
        raise TokenError("malformed token: cut short")
    return data[at : at + length], at + length


def _unpack_service(data: bytes, at: int) -> tuple[Service, int]:
    kind, count = struct.unpack_from("<HH", data, at)
    at += 4
    if kind not in _STRINGS:
        raise TokenError(f"malformed token: unknown service type {kind}")
    privileges = {}
    for _ in range(count):
        privilege, seconds = struct.unpack_from("<HI", data, at)
        privileges[privilege] = seconds
        at += 6
    strings = []
    for _ in range(_STRINGS[kind]):
        text, at = _unpack_str(data, at)
        strings.append(text.decode())
    end = _after_tail(kind, data, at)
    return Service(type=kind, privileges=privileges, strings=tuple(strings), tail=data[at:end]), end


def _after_tail(kind: int, data: bytes, at: int) -> int:
    """Where a service ends whose strings end at `at`."""
    if kind == APAAS:
        struct.unpack_from("<h", data, at)  # its role
        return at + 2
    if kind == RTM2:  # resource type -> permission -> names of resources
        (resources,) = struct.unpack_from("<H", data, at)
        at += 2
        for _ in range(resources):
            _, permissions = struct.unpack_from("<HH", data, at)
            at += 4
            for _ in range(permissions):
                _, names = struct.unpack_from("<HH", data, at)
                at += 4
                for _ in range(names):
                    _, at = _unpack_str(data, at)
    return at


# -------------------------------------------------------------------------------------------------- our own tokens

ALGORITHM = "HS256"
MAX_TOKEN = 4096
"""Characters; no token of ours is near it, and what is longer is not looked at."""
SIGNATURE = 43
"""Characters of an HS256 signature."""
DAMAGED = "the token is incomplete or damaged"
FOREIGN = "this server did not make the token, or has been restarted since"
_OPTIONS: Any = {"require": ["sub", "iat", "exp"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}


def issue_access(access: Access, secret: str, *, now: float, ttl: float) -> str:
    """A JWT (RFC 7519, HS256) for `access`, whose times are overwritten: issued now, for `ttl` seconds, both whole.

    Claims: `sub` ("session:<id>", "room:<name>", "owner:<name>"), `role`, `iat`, `exp`, and where set `iss` (the
    owner) and `name`. A session token (role speak) has its bare session id as `sub` and no role (protocol.md A).

    Args:
        secret: should have 32 bytes or more (RFC 7518, 3.2).
    """
    issued = math.floor(now)
    claims: dict[str, Any] = {"sub": f"{access.subject}:{access.id}", "role": access.role}
    if access.role == "speak":
        claims = {"sub": access.id}
    claims |= {"iat": issued, "exp": issued + math.ceil(ttl)}
    claims |= {name: text for name, text in (("iss", access.owner), ("name", access.name)) if text}
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify_access(token: str, secret: str, *, now: float, allow_expired: bool = False) -> Access:
    """What a token of `issue_access` stands for, if `secret` signed it and it is valid at `now` (Unix seconds). The
    signature is compared in constant time (PyJWT), and no other algorithm than HS256 is taken.

    Raises:
        TokenError: too long, malformed, signed by something else, without one of the claims, or with a role that does
        not fit; or expired (`expired` is true).
    """
    if len(token) > MAX_TOKEN:
        raise TokenError("the token is longer than any of this server")
    try:
        claims = jwt.decode(token, secret, algorithms=[ALGORITHM], options=_OPTIONS)
        access = _read(claims)
    except jwt.InvalidSignatureError:
        if len(token.rpartition(".")[2]) != SIGNATURE:
            raise TokenError(DAMAGED) from None
        raise TokenError(FOREIGN) from None
    except jwt.InvalidAlgorithmError:
        raise TokenError(FOREIGN) from None
    except jwt.MissingRequiredClaimError:
        raise TokenError("the token does not say what it is for") from None
    except (jwt.InvalidTokenError, RecursionError):
        raise TokenError(DAMAGED) from None
    except (ValueError, OverflowError):
        raise TokenError("the token is none of this server's: what it is for cannot be read") from None
    if not allow_expired and now >= access.expires:
        raise TokenError("the token has expired", expired=True)
    return access


def _read(claims: dict[str, Any]) -> Access:
    """Raises ValueError."""
    subject, role, owner, name = (claims.get(key, "") for key in ("sub", "role", "iss", "name"))
    times = claims["iat"], claims["exp"]
    if not all(isinstance(text, str) for text in (subject, role, owner, name)):
        raise ValueError("claims of the wrong type")
    if not all(isinstance(time, (int, float)) and not isinstance(time, bool) and math.isfinite(time) for time in times):
        raise ValueError("times of the wrong type")
    kind, colon, about = subject.partition(":")
    if not role and not colon:
        kind, about, role = "session", subject, "speak"
    fields = {"subject": kind, "id": about, "role": role, "owner": owner, "name": name}
    return msgspec.convert(fields | {"issued": int(times[0]), "expires": math.floor(times[1])}, Access)
