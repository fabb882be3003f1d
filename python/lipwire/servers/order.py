"""In which order what is listed came, for a front process that puts lists of several workers together.

A front process asks with a header that no client can send through it, and is answered with one: a number for each thing
that is listed, which grows. It is when that came, in microseconds since 1970, so that it can be compared with another
process's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import AnyRequest

HEADER = b"x-lipwire-order"


def order_headers(request: AnyRequest, order: Iterable[int]) -> dict[str, str]:
    """The header for a list in this order, where the request asks for it."""
    if not any(name == HEADER for name, _ in request.scope["headers"]):
        return {}
    return {HEADER.decode(): ",".join(map(str, order))}


def read_order(headers: Iterable[tuple[bytes, bytes]]) -> list[int]:
    """What an answer says of it."""
    value: Any = next((value for name, value in headers if name.lower() == HEADER), b"")
    return [int(number) for number in value.split(b",")] if value else []
