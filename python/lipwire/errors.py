"""Every error Lipwire raises on purpose.

Each class also is the builtin a caller would expect, so `except ValueError` works without importing this module, and
carries `code`, the word that stands for it on the wire (`error {code, message, event_id}`, protocol.md B).
"""

from __future__ import annotations

__all__ = [
    "BadData",
    "BadState",
    "BufferFull",
    "InvalidArgument",
    "LipwireError",
    "ModelFailed",
    "NoCapacity",
    "OutOfMemory",
    "StorageError",
]


class LipwireError(Exception):
    """Base of all of them."""

    code = "INTERNAL_ERROR"


class InvalidArgument(LipwireError, ValueError):
    """An argument is outside its documented range (the core's LW_EINVAL)."""

    code = "VALIDATION_ERROR"


class OutOfMemory(LipwireError, MemoryError):
    """An object could not be allocated (LW_ENOMEM)."""

    code = "NO_CAPACITY"


class BufferFull(LipwireError, BlockingIOError):
    """A bounded queue is full; nothing was taken (LW_ENOSPC).

    A `BlockingIOError`, because the cure is the same: let the other side drain, then try again.
    """

    code = "BUFFER_FULL"


class BadData(LipwireError, ValueError):
    """The input bytes are malformed (LW_EDATA)."""

    code = "INVALID_AUDIO"


class BadState(LipwireError, RuntimeError):
    """The call does not fit the object's state (LW_ESTATE)."""

    code = "BAD_STATE"


class NoCapacity(LipwireError, RuntimeError):
    """This process cannot take another session now. `retry_after` is in seconds."""

    code = "NO_CAPACITY"

    def __init__(self, message: str = "No capacity for another session", retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelFailed(LipwireError, RuntimeError):
    """A model of speech is not there, is damaged, or its process ended; the message says what to do.

    `died`: the process did, so the same may go well in the next one.
    """

    code = "MODEL_FAILED"

    def __init__(self, message: str, *, died: bool = False) -> None:
        super().__init__(message)
        self.died = died


class StorageError(LipwireError, OSError):
    """A file cannot be written any further: the disk is full, a quota is reached, the device fails."""

    code = "STORAGE_FAILED"
