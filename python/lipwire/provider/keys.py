"""API keys: whose each is, and how much its owner may have.

The operator's own key is a setting (`api_key`) and may be any text; its owner goes by the name OPERATOR. The other
owners' keys stand as digests in a file, one a line:

    # name:digest                      what the owner may have, where it differs from the settings
    acme:sha256-4f1c...                sessions=20 pixel_rate=100000000 agents=5 rooms=5 request_rate=10 films_mb=2048
    acme:sha256-90ab...                a second key of the same owner, while the first is being replaced

Those keys are made here and nowhere else (`make_key`: 192 random bits), and what does not look like one is not
compared. So a plain SHA-256 is enough: there is nothing to guess, and checking a key costs microseconds, right or
wrong. A digest of a password that somebody chose is of no use in the file.

The file is read again when it changes. One that is missing or has faults by then changes nothing, and is logged once.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument

logger = logging.getLogger("lipwire.keys")

OPERATOR = "operator"
"""The owner of the setting `api_key`."""
KEY_BYTES = 24
_KEY = re.compile(r"lw_[A-Za-z0-9_-]{32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256-[0-9a-f]{64}")
MAX_KEY = 1024
"""Bytes of a key that is looked at."""
MAX_FILE = 4 << 20
LOOK_EVERY = 1.0
"""Seconds between two looks at the file."""


MIN_RATE = 0.01
"""Requests a second, at the least: a key that may ask nothing is no key."""


class Quota(Struct, kw_only=True, frozen=True):
    """What one owner may have at a time; None = as much as the server has, 0 = none."""

    sessions: int | None = None
    pixel_rate: int | None = None
    """Width x height x frames a second, of all its sessions and agents together."""
    agents: int | None = None
    rooms: int | None = None
    request_rate: float | None = None
    """Requests a second with its keys, MIN_RATE or more; twice as many at once."""
    films_mb: int | None = None
    """MiB of all its films, those that have ended among them."""


class Owner(Struct, frozen=True):
    """Whose something is."""

    name: str
    quota: Quota = Quota()


def make_key() -> str:
    """A new API key: 192 random bits."""
    return f"lw_{secrets.token_urlsafe(KEY_BYTES)}"


def is_made(key: bytes) -> bool:
    """Whether `make_key` makes such keys: nobody guesses one."""
    return _KEY.fullmatch(key.decode("ascii", errors="replace")) is not None


def digest(key: str) -> str:
    """What the file has of a key."""
    return f"sha256-{hashlib.sha256(key.encode()).hexdigest()}"


def key_line(name: str, key: str, quota: Mapping[str, int | float] | None = None) -> str:
    """The line of the file for a key. Raises InvalidArgument: the name or the quota is none."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r:.80} is no owner's name: 1..64 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    if name == OPERATOR:
        raise InvalidArgument(f"{OPERATOR} is the owner of the setting api_key; choose another name")
    line = " ".join([f"{name}:{digest(key)}", *(f"{field}={value}" for field, value in (quota or {}).items())])
    parse_keys(line, Quota())
    return line


def parse_keys(text: str, default: Quota) -> dict[str, Owner]:
    """The digests of a file, and whose each is.

    Args:
        default: what an owner may have of whom no line says otherwise.

    Raises:
        InvalidArgument: a line is none; it says which and why.
    """
    names: dict[str, str] = {}
    quotas: dict[str, dict[str, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        name, colon, key = words[0].partition(":")
        if not colon or not _NAME.fullmatch(name) or not _DIGEST.fullmatch(key):
            raise InvalidArgument(
                f"line {number}: write it as name:sha256-<64 hexadecimal digits>; lipwire key new does"
            )
        if name == OPERATOR:
            raise InvalidArgument(f"line {number}: {OPERATOR} is the owner of the setting api_key; choose another name")
        if names.setdefault(key, name) != name:
            raise InvalidArgument(f"line {number}: this key belongs to {names[key]} already")
        for word in words[1:]:
            field, equals, value = word.partition("=")
            if not equals or field not in Quota.__struct_fields__:
                raise InvalidArgument(
                    f"line {number}: {word!r} is none of {', '.join(Quota.__struct_fields__)}, with =N"
                )
            if quotas.setdefault(name, {}).setdefault(field, value) != value:
                raise InvalidArgument(f"line {number}: {name} has another {field} on a line above")
    owners = {name: Owner(name, _quota(name, quotas.get(name, {}), default)) for name in names.values()}
    return {key: owners[name] for key, name in names.items()}


def _quota(name: str, given: dict[str, str], default: Quota) -> Quota:
    try:
        quota = msgspec.convert(msgspec.to_builtins(default) | given, Quota, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"{name}: {exc}") from None
    for field in Quota.__struct_fields__:
        value = getattr(quota, field)
        least = MIN_RATE if field == "request_rate" else 0
        if value is not None and not least <= value < 1e15:
            raise InvalidArgument(f"{name}: {field} must be {least:g} or more, got {value:g}")
    return quota


class KeyRing:
    """All keys of a server.

    Args:
        api_key: the operator's; not empty.
        named: keys in the clear, by the names of their owners, for who embeds Lipwire.
        file: digests of others' keys; it must be there.
        default: what the owners in the file may have.
        clock: seconds, monotonic: when to look at the file again.

    Raises:
        InvalidArgument: a key is empty, or the file cannot be read or has faults; it says which line.
    """

    def __init__(
        self,
        api_key: str,
        *,
        named: Mapping[str, str] | None = None,
        file: Path | None = None,
        default: Quota | None = None,
        clock: Callable[[], float],
    ) -> None:
        clear = {OPERATOR: api_key, **(named or {})}
        if not all(clear.values()):
            raise InvalidArgument("an API key must not be empty")
        self._clear = [(_hash(key.encode()), Owner(name)) for name, key in clear.items()]
        self._file, self._default, self._clock = file, default or Quota(), clock
        self._listed: dict[str, Owner] = {}
        """By the digests of their keys."""
        self._owners: dict[str, Owner] = {}
        self._stamp: tuple[int, ...] | None = None
        self._looked = clock()
        if file is not None:
            self._stamp, self._listed = self._read(file)
        self._gather()

    @property
    def owners(self) -> dict[str, Owner]:
        """All of them, by name."""
        self._look()
        return self._owners

    def _gather(self) -> None:
        everyone = (*self._listed.values(), *(owner for _, owner in self._clear))
        self._owners = {owner.name: owner for owner in everyone}

    def find(self, key: bytes) -> Owner | None:
        """Whose key it is. Digests are compared, each in constant time, so that the time tells nothing of a key."""
        if len(key) > MAX_KEY:
            return None
        self._look()
        hashed, found = _hash(key), None
        for expected, owner in self._clear:
            if hmac.compare_digest(hashed, expected):
                found = owner
        if found is not None:
            return found
        # A look-up by digest: who does not know the key cannot choose its digest's beginning.
        return self._listed.get(digest(key.decode())) if is_made(key) else None

    def _look(self) -> None:
        now = self._clock()
        if self._file is None or now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            stamp = _stamp(self._file)
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._stamp, self._listed = self._read(self._file)
        except InvalidArgument as exc:
            logger.error("%s; the keys that were read before stay as they are", exc)
        else:
            self._gather()
            logger.info("%s was read again: %d keys", self._file, len(self._listed))

    def _read(self, file: Path) -> tuple[tuple[int, ...], dict[str, Owner]]:
        try:
            stamp = _stamp(file)
            if stamp[1] > MAX_FILE:
                raise InvalidArgument(f"it has more than {MAX_FILE} bytes")
            return stamp, parse_keys(file.read_text(encoding="utf-8"), self._default)
        except OSError as exc:
            raise InvalidArgument(f"api_keys_file {file} cannot be read: {exc.strerror or exc}") from exc
        except (InvalidArgument, UnicodeDecodeError) as exc:
            raise InvalidArgument(f"api_keys_file {file}, {exc}") from exc


def add_key(file: Path, line: str) -> None:
    """Puts a line at the end of the file, whole or not at all; makes the file, for its owner alone to read.

    Raises:
        InvalidArgument: with it the file would have faults, or it cannot be written.
    """
    _rewrite(file, lambda text: text + ("" if not text or text.endswith("\n") else "\n") + line + "\n")


def remove_keys(file: Path, name: str) -> int:
    """Takes every key of an owner out of the file; how many there were. Raises InvalidArgument."""
    gone: list[str] = []
    if not file.exists():
        return 0

    def without(text: str) -> str:
        lines = text.splitlines(keepends=True)
        gone.extend(line for line in lines if line.split("#", 1)[0].strip().startswith(f"{name}:"))
        return "".join(line for line in lines if line not in gone)

    _rewrite(file, without)
    return len(gone)


def check_keys(file: Path, text: str) -> dict[str, Owner]:
    """As `parse_keys`, for people: what is wrong is said with the name of the file. Raises InvalidArgument."""
    try:
        return parse_keys(text, Quota())
    except InvalidArgument as exc:
        raise InvalidArgument(f"{file}, {exc}") from exc


def _rewrite(file: Path, change: Callable[[str], str]) -> None:
    """The new file takes the old one's place at once, so that no server reads half of it."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    if not file.parent.is_dir():
        raise InvalidArgument(f"{file} cannot be written: there is no folder {file.parent}")
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
        changed = change(text)
        check_keys(file, changed)
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(changed)
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
    except OSError as exc:
        raise InvalidArgument(f"{file} cannot be written: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise InvalidArgument(f"{file} is no text: {exc}") from exc


def _stamp(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
