"""SRTP keys in a description (SDES, RFC 4568), and what is encrypted with them (libsrtp, through pylibsrtp).

pylibsrtp comes with the extra `webrtc`, and is imported when a description asks for it. What it has no
public way for, the addresses of libsrtp's functions for the native sender, stands in `native` alone.
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
import re
import secrets
from typing import Any

from msgspec import Struct

from ..errors import InvalidArgument

logger = logging.getLogger("lipwire.rtp")

SUITES: dict[str, tuple[str, int]] = {
    "AEAD_AES_256_GCM": ("SRTP_PROFILE_AEAD_AES_256_GCM", 44),
    "AEAD_AES_128_GCM": ("SRTP_PROFILE_AEAD_AES_128_GCM", 28),
    "AES_CM_128_HMAC_SHA1_80": ("SRTP_PROFILE_AES128_CM_SHA1_80", 30),
    "AES_CM_128_HMAC_SHA1_32": ("SRTP_PROFILE_AES128_CM_SHA1_32", 30),
}
"""Crypto suite (RFC 4568 6.2, RFC 7714 14.2) -> its name in pylibsrtp, and the bytes of master key and salt."""
LEAST_LIFETIME = 1 << 20
"""Packets that a key has to be good for: it is not changed while a session lasts, and this is hours of speech."""
_KEY = re.compile(r"(\d{1,9}) (\w{1,40}) inline:([A-Za-z0-9+/=]{1,80})(?:\|(2\^\d{1,2}|\d{1,18}))?", re.ASCII)
MAX_SSRCS = 16
"""Sources of one key that are known at a time: libsrtp keeps something of each, so the one that has been silent for the
longest is forgotten."""


class Key(Struct, frozen=True):
    """One a=crypto: a suite, and its master key and salt."""

    tag: str
    suite: str
    secret: bytes

    def line(self) -> str:
        """Its attribute."""
        return f"a=crypto:{self.tag} {self.suite} inline:{base64.b64encode(self.secret).decode()}"

    def __repr__(self) -> str:  # no key in a log
        return f"Key({self.tag}, {self.suite})"


def parse_key(value: str) -> Key | None:
    """The value of an a=crypto; None = it is none that can be used: another suite, several keys, an MKI, parameters of
    the session, a lifetime that is too short."""
    match = _KEY.fullmatch(value.strip())
    if match is None or match[2] not in suites():
        return None
    try:
        secret = base64.b64decode(match[3], validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(secret) != SUITES[match[2]][1] or (match[4] is not None and _lifetime(match[4]) < LEAST_LIFETIME):
        return None
    return Key(match[1], match[2], secret)


def _lifetime(text: str) -> int:
    return 1 << int(text[2:]) if text.startswith("2^") else int(text)


def make_key(like: Key) -> Key:
    """A new one of our own, for the answer to `like`."""
    return Key(like.tag, like.suite, secrets.token_bytes(len(like.secret)))


@functools.cache
def suites() -> frozenset[str]:
    """Those that this machine's libsrtp has; none without pylibsrtp."""
    try:
        import pylibsrtp
    except ImportError:
        return frozenset()
    found = set()
    for suite, (_, size) in SUITES.items():
        try:
            _session(Key("1", suite, bytes(size)), inbound=True)
        except pylibsrtp.Error:  # built without OpenSSL or NSS: no GCM
            continue
        found.add(suite)
    return frozenset(found)


def _session(key: Key, *, inbound: bool) -> Any:
    from pylibsrtp import Policy, Session

    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    policy = Policy(key=key.secret, ssrc_type=kind, srtp_profile=getattr(Policy, SUITES[key.suite][0]))
    policy.allow_repeat_tx = True  # what is lost is sent again, bit for bit
    return Session(policy)


class Opened:
    """What is received under a peer's key.

    Args:
        key: from its description.
    """

    def __init__(self, key: Key) -> None:
        from pylibsrtp import Error

        self._session = _session(key, inbound=True)
        self._faults: tuple[type[Exception], ...] = (Error, ValueError)
        self._ssrcs: dict[bytes, None] = {}
        """Those that are known, the one that was heard last at the end."""
        self._full = False

    def rtp(self, packet: bytes) -> bytes | None:
        """The packet in the clear; None = it is not its sender's, or came before."""
        return self._open(self._session.unprotect, packet, packet[8:12])

    def rtcp(self, packet: bytes) -> bytes | None:
        """The same for RTCP."""
        return self._open(self._session.unprotect_rtcp, packet, packet[4:8])

    def _open(self, unprotect: Any, packet: bytes, ssrc: bytes) -> bytes | None:
        if len(ssrc) < 4:
            return None
        try:
            clear: bytes = unprotect(packet)
        except self._faults:
            return None
        self._ssrcs.pop(ssrc, None)
        self._ssrcs[ssrc] = None
        if len(self._ssrcs) > MAX_SSRCS:
            self._forget(next(iter(self._ssrcs)))
        return clear

    def _forget(self, ssrc: bytes) -> None:
        del self._ssrcs[ssrc]
        self._session.remove_stream(int.from_bytes(ssrc))
        if not self._full:
            logger.info("a peer's key has had more than %d sources; those that are silent are forgotten", MAX_SSRCS)
        self._full = True


class Sealed:
    """What is sent under our own key. One thread at a time: where the native sender has it, nobody else does."""

    def __init__(self, key: Key) -> None:
        self.session = _session(key, inbound=False)

    def rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet, encrypted."""
        sealed: bytes = self.session.protect_rtcp(packet)
        return sealed

    def native(self) -> tuple[int, int, int, Any]:
        """For `_core.Connection`: addresses of libsrtp's functions for RTP and RTCP and of the context, and who owns
        that."""
        from pylibsrtp._binding import ffi, lib

        def address(of: Any) -> int:
            return int(ffi.cast("intptr_t", of))

        protect, protect_rtcp = (address(ffi.addressof(lib, name)) for name in ("srtp_protect", "srtp_protect_rtcp"))
        return protect, protect_rtcp, address(self.session._srtp[0]), self.session


def check_suites() -> None:
    """Raises InvalidArgument: there is no SRTP on this machine."""
    if not suites():
        raise InvalidArgument("SRTP needs pylibsrtp: pip install 'lipwire[webrtc]'")
