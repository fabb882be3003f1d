"""Text to speech by OpenAI's protocol: the server's own service, and a client's at OpenAI or at a URL of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from ....outward import Outward, site
from ...describe import openai_voice
from ...headers import is_openai
from ...http import ServiceError
from ...openai_models import SPEECH
from ..answers import ANY_FORMAT, FORMATS, other_format
from .service import HttpTts

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("lipwire.agents")

MAX_SERVICES = 256
"""Services whose formats are remembered."""


class OpenAiTts(HttpTts):
    """An OpenAI-compatible /audio/speech. It is asked for `pcm`, which is PCM16 at 24 kHz, and after a refusal that is
    about that for what it has.

    Args:
        voice, model: None = none is asked for.
        headers: go with every request, besides those that it needs (`headers.check_headers`).
        more: members for the request's body.
        rate: Hz of plain samples whose answer says none; None = 24000.
        outward: where the URL may lead; None = it is the operator's own.
    """

    _formats: ClassVar[dict[tuple[str, str | None], str]] = {}
    """What was not refused, by URL and model: who comes next need not ask again."""

    def __init__(
        self,
        url: str,
        *,
        voice: str | None,
        model: str | None = SPEECH,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
        rate: int | None = None,
        outward: Outward | None = None,
    ) -> None:
        self.headers = dict(headers or {})
        super().__init__(url, (api_key, *self.headers.values()), outward)
        self.model = model
        self.voice = openai_voice(voice) if voice is not None and is_openai(url) else voice
        self.api_key = api_key
        self.more = dict(more or {})
        self.plain_rate = rate

    async def _ask(self, text: str) -> httpx.Response:
        """The answer to a request in a format that the service has."""
        service = (self.url, self.model)
        tried = [self._formats.get(service, FORMATS[0])]
        headers = {"content-type": "application/json", **self.headers}
        while True:
            body: dict[str, Any] = {"model": self.model, "voice": self.voice, "input": text, **self.more}
            body = {name: value for name, value in body.items() if value is not None}
            if tried[-1] != ANY_FORMAT:
                body["response_format"] = tried[-1]
            try:
                reply = await self._post(msgspec.json.encode(body), headers, self.api_key)
            except ServiceError as refused:
                other = other_format(refused.said, tried) if refused.status in (400, 406, 415, 422) else None
                if other is None:
                    raise
                tried.append(other)
            else:
                if len(tried) > 1:
                    self._remember(service, tried[-1])
                return reply

    def _remember(self, service: tuple[str, str | None], format: str) -> None:
        logger.info("text to speech at %s is asked for %s from now on", site(self.url), format or "no format")
        self._formats[service] = format
        if len(self._formats) > MAX_SERVICES:
            del self._formats[next(iter(self._formats))]
