"""Motion: what a face does, as numbers, for who draws it elsewhere. Files of it are read and written here."""

from __future__ import annotations

from .files import encode_motion
from .reader import MotionReader, read_motion
from .track import MotionEvent, MotionFrame, MotionHeader, MotionTrack
from .wire import JsonEncoder

__all__ = [
    "JsonEncoder",
    "MotionEvent",
    "MotionFrame",
    "MotionHeader",
    "MotionReader",
    "MotionTrack",
    "encode_motion",
    "read_motion",
]
