"""Pictures that users send: fetched or taken out of base64, bounded, turned upright, and made a JPEG for the brain."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..errors import BufferFull, InvalidArgument, LipwireError
from ..outward import Outward
from .client_messages import MAX_PICTURE, Upload
from .http import fetch
from .video import as_jpeg

logger = logging.getLogger("lipwire.agents")

MAX_FETCHED = 8 << 20
"""Bytes of a picture at a URL."""
MAX_PIXELS = 40_000_000
"""Of a picture as it comes."""
MAX_SIDE = 1536
"""Pixels of the longer side of what the brain is shown."""
SECONDS = 10.0
"""What fetching one may take."""
MAX_WAITING = 4
"""Pictures that may be on their way; another one is refused."""
_KINDS = (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "mjpeg"), (b"RIFF", "webp")
"""By their first bytes: FFmpeg's decoders."""


class Shown(Struct, frozen=True):
    """A picture for the brain, and what came: its sides (as it is to be seen) and its bytes."""

    jpeg: bytes
    width: int
    height: int
    size: int


def shown(data: bytes, quality: int = 4) -> Shown:
    """A picture (PNG, JPEG, WebP) as an upright JPEG whose longer side has MAX_SIDE pixels at most, what is transparent
    on white. Some 10 to 200 ms; any thread.

    Raises:
        InvalidArgument: it is none of these, damaged, or has more than MAX_PIXELS.
    """
    codec = next((codec for mark, codec in _KINDS if data.startswith(mark)), None)
    if codec is None:
        raise InvalidArgument("the picture is no PNG, JPEG or WebP")
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    try:
        frame = next(iter(decoder.decode(av.Packet(data)) or decoder.decode(None)))
    except (av.FFmpegError, StopIteration, ValueError):
        raise InvalidArgument(f"the picture is damaged, or has more than {MAX_PIXELS} pixels") from None
    scale = min(1.0, MAX_SIDE / max(frame.width, frame.height))
    sides = max(2, round(frame.width * scale / 2) * 2), max(2, round(frame.height * scale / 2) * 2)
    rgba: NDArray[np.uint8] = frame.reformat(*sides, format="rgba").to_ndarray()
    upright = np.rot90(_on_white(rgba), frame.rotation // 90 % 4)
    turned = frame.rotation % 180 != 0
    width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
    jpeg = as_jpeg(av.VideoFrame.from_ndarray(np.ascontiguousarray(upright), "rgb24"), quality)
    return Shown(jpeg, width, height, len(data))


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return rgba[..., :3]
    mixed = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _decoded(text: str) -> bytes:
    """Raises InvalidArgument."""
    head, comma, rest = text.partition(",")
    if comma and head.startswith("data:"):
        text = rest
    if len(text) > MAX_PICTURE * 4 // 3 + 4:
        raise InvalidArgument(f"image_base64 holds {MAX_PICTURE} bytes at most; send an image_url")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("image_base64 is no base64") from None


class Pictures:
    """Of one agent: takes what users send, one after the other.

    Args:
        outward: where their URLs may lead; None = nowhere: pictures come in messages only.
        taken: gets a user, the upload and the picture, on the event loop.
        refused: gets the upload and what was wrong.
    """

    def __init__(
        self,
        outward: Outward | None,
        taken: Callable[[str, Upload, Shown], None],
        refused: Callable[[Upload, LipwireError], None],
    ) -> None:
        self._outward = outward
        self._taken, self._refused = taken, refused
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, user: str, upload: Upload) -> None:
        """A user has sent one."""
        if len(self._tasks) >= MAX_WAITING:
            self._refused(upload, BufferFull(f"{MAX_WAITING} pictures are on their way already"))
            return
        task = asyncio.get_running_loop().create_task(self._take(user, upload), name="lipwire-picture")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, user: str, upload: Upload) -> None:
        try:
            async with self._turn:
                data = await self._fetch(upload.url) if upload.url else _decoded(upload.base64)
                picture = await asyncio.to_thread(shown, data)
        except LipwireError as exc:
            self._refused(upload, exc)
        except Exception:  # the edge of the task
            logger.exception("a picture of %s was not taken", user)
            self._refused(upload, LipwireError("the picture cannot be used"))
        else:
            self._taken(user, upload, picture)

    async def _fetch(self, url: str) -> bytes:
        if self._outward is None:
            raise InvalidArgument("image_url: this agent fetches no pictures; send image_base64")
        return await fetch("image_url", url, self._outward, most=MAX_FETCHED, seconds=SECONDS)

    async def close(self) -> None:
        """Nothing more is taken."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._taken, self._refused = lambda *told: None, lambda *told: None  # who made it is kept by it no longer
