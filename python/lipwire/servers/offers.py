"""WebRTC offers over HTTP: as JSON, or as the plain SDP that they are (application/sdp, RFC 8866 section 8.1)."""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

from ..provider.sessions import ProviderError
from .docs import SDP
from .errors import AnyRequest
from .http import media_type, read_body, read_object


class Offer(Struct):
    """What a viewer sends."""

    sdp: str
    type: str = "offer"


class Answer(Struct):
    """What it gets."""

    sdp: str
    type: str


ANSWERED = {200: ResponseSpec(Answer, description="With all candidates in it", generate_examples=False)}


async def read_offer(request: AnyRequest) -> dict[str, Any]:
    """The fields of an offer, `sdp` and `type` among them. Where the body is plain SDP, the others come in the query.

    Raises:
        ProviderError: INVALID_JSON, UNSUPPORTED_MEDIA_TYPE; VALIDATION_ERROR: it is no text.
    """
    if media_type(request) != SDP:
        return await read_object(request)
    try:
        sdp = (await read_body(request)).decode()
    except UnicodeDecodeError:
        raise ProviderError("VALIDATION_ERROR", "The SDP is no UTF-8 text") from None
    return {**{name: str(value) for name, value in request.query_params.items()}, "sdp": sdp, "type": "offer"}


def give_answer(request: AnyRequest, sdp: str, kind: str) -> Response[Any]:
    """The answer, in the form in which the offer came."""
    if media_type(request) == SDP:
        return Response(sdp, media_type=SDP)
    return Response(Answer(sdp, kind))
