"""What nodes say to each other, as MessagePack, and on which subjects.

| subject, behind `lw.<cluster>.` | who listens | what comes | answer |
|---|---|---|---|
| `place.<class>` | nodes with room for that weight, in one group | `Ask` | `Given`, or `Full` |
| `offer` | every node | `Seek` | `Offer` of those that have room for just that, else none |
| `node.<name>` | that node | `Ask`, `Open`, `Look` | `Given` or `Full`; a `NodeView` |
| `key.<kind>.<digest>` | who owns the key | `Find`; `Claim` | `Given` without a ticket; none |
| `beat` | who places | `Beat` | none |
| `cancel` | every node | `Cancel` | none |
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .placement import UNIT, Key, Need, Use

T = TypeVar("T")
LOWEST = UNIT >> 3
"""Weight of class 0. Each class weighs twice as much as the one before; most of what there is weighs UNIT, which is one
of them just so."""
CLASSES = 12
"""The heaviest is 256 faces."""


class Ask(Struct, tag=True, frozen=True, kw_only=True):
    """Reserve this."""

    id: str
    """Of the reservation, for `Cancel`."""
    need: Need


class Open(Struct, tag=True, frozen=True, kw_only=True):
    """To the home of a key that nobody owns yet: reserve a place for it, the same for all who ask."""

    id: str
    need: Need
    key: Key


class Seek(Struct, tag=True, frozen=True, kw_only=True):
    """Who has room for so much in one worker?"""

    weight: int


class Find(Struct, tag=True, frozen=True):
    """Where is it?"""


class Claim(Struct, tag=True, frozen=True, kw_only=True):
    """A node owns the key since `at`, Unix seconds. Where two do, one gives way."""

    node: str
    at: float


class Look(Struct, tag=True, frozen=True):
    """How do you do?"""


class Cancel(Struct, tag=True, frozen=True):
    """A reservation whose answer never came, or that is not wanted after all."""

    id: str


class Given(Struct, tag=True, frozen=True, kw_only=True):
    """Here, or there."""

    node: str
    worker: int
    ticket: str = ""


class Full(Struct, tag=True, frozen=True, kw_only=True):
    """No room. `quota`: because its owner has used up what it may; in words."""

    quota: str = ""


class Offer(Struct, tag=True, frozen=True, kw_only=True):
    """There is room here; `free` in the freest worker."""

    node: str
    free: int


class Beat(Struct, tag=True, frozen=True, kw_only=True):
    """A sign of life, every second."""

    name: str
    http_url: str
    viewer_url: str
    version: str
    state: str
    """As `view.State`; "gone": it ends."""
    free: int
    used: int
    capacity: int
    owners: dict[str, Use] = {}
    """Those that are not the operator."""
    instance: str = ""
    """Of its process: two of one name are found out by it."""
    seal: str = ""
    """Of the secret that all nodes share: who has another cannot be passed anything on."""
    at: float = 0.0
    """When, Unix seconds, by its clock."""


Asked = Ask | Open | Look
Answer = Given | Full
_encode = msgspec.msgpack.Encoder().encode
_ASKED = msgspec.msgpack.Decoder(Asked)
_ANSWER = msgspec.msgpack.Decoder(Answer)


def encode(message: Any) -> bytes:
    """One of these messages as bytes."""
    return _encode(message)


def decode(data: bytes, kind: type[T]) -> T | None:
    """Bytes as a message; None = they are none."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError:
        return None


def asked(data: bytes) -> Asked | None:
    """What came on `node.<name>`; None = nonsense."""
    try:
        return _ASKED.decode(data)
    except msgspec.MsgspecError:
        return None


def answered(data: bytes) -> Answer:
    """An answer; nonsense is `Full`."""
    try:
        return _ANSWER.decode(data)
    except msgspec.MsgspecError:
        return Full()


def class_of(weight: int) -> int:
    """The lightest class that weighs no less."""
    number = 0
    while number < CLASSES - 1 and LOWEST << number < weight:
        number += 1
    return number


def classes_within(free: int) -> int:
    """How many classes fit: 0..this-1."""
    number = 0
    while number < CLASSES and LOWEST << number <= free:
        number += 1
    return number


def id_of(ticket: str) -> str:
    """The reservation's id, which a ticket of another node has behind a colon."""
    return ticket.partition(":")[2]


def seal_of(secret: str) -> str:
    """Tells two secrets apart, and says nothing of them."""
    return hmac.new(secret.encode(), b"lipwire beat", hashlib.sha256).hexdigest()[:16]


class Subjects:
    """The subjects of one cluster."""

    def __init__(self, cluster: str) -> None:
        self._root = f"lw.{cluster}"
        self.offer, self.beat, self.cancel = f"{self._root}.offer", f"{self._root}.beat", f"{self._root}.cancel"

    def place(self, number: int) -> str:
        """Where a place for a class is asked for."""
        return f"{self._root}.place.{number}"

    def node(self, name: str) -> str:
        """A node's own."""
        return f"{self._root}.node.{name}"

    def key(self, key: Key) -> str:
        """Of whoever owns it. A digest: names of users are no words of a subject, and nobody's to read."""
        text = "\0".join((key.kind, key.owner, key.id)).encode()
        return f"{self._root}.key.{key.kind}.{hashlib.blake2b(text, digest_size=16).hexdigest()}"


def home(key: Key, names: list[str]) -> list[str]:
    """Nodes in the order in which they are a key's home (rendezvous hashing: D. Thaler and C. Ravishankar, "A
    name-based mapping scheme for rendezvous", 1996): with one node more or less most keys stay."""
    text = "\0".join(key)

    def weight(name: str) -> bytes:
        return hashlib.blake2b(f"{name}\0{text}".encode(), digest_size=8).digest()

    return sorted(names, key=weight, reverse=True)
