"""Answers over HTTP, read as they come: bounded, and none unpacked. 660 bytes may be 300 MB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .errors import BadData

if TYPE_CHECKING:
    import httpx

IDENTITY = {"accept-encoding": "identity"}
"""The header that asks for an answer as it is: `pieces` decodes none."""


async def pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body of an answer as it comes, which was asked for with `stream=True` and IDENTITY.

    Raises:
        httpx.HTTPError: it is compressed, or as httpx has it.
    """
    import httpx

    if response.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise httpx.DecodingError("it is compressed", request=response.request)
    async for piece in response.aiter_raw():
        yield piece


async def read_all(reply: httpx.Response, most: int) -> bytes:
    """The whole body. Raises BadData: it has more than `most` bytes; and what httpx raises."""
    body = bytearray()
    async for piece in pieces(reply):
        body += piece
        if len(body) > most:
            raise BadData(f"the answer has more than {most} bytes")
    return bytes(body)


async def beginning(reply: httpx.Response, most: int) -> bytes:
    """The first bytes of a body of which the status is known; of one that is compressed there are none. Raises what
    httpx raises."""
    import httpx

    body = bytearray()
    try:
        async for piece in pieces(reply):
            body += piece
            if len(body) >= most:
                break
    except httpx.DecodingError:
        pass
    return bytes(body[:most])
