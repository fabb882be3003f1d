"""A client of chat services, streamed, whatever dialect they speak (`dialects`)."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ...answers import pieces, read_all
from ...errors import BadData
from ...outward import Outward, OutwardRefused, site
from ..config import Llm
from ..http import MAX_WAIT, ServiceClient, ServiceError, failure, log_details, refusal
from .calls import encode
from .completion import RATE, BrokeOff, Completion, Piece
from .dialects import Question, dialect_of
from .sse import MAX_EVENT, EventReader

logger = logging.getLogger("lipwire.agents")

MAX_SECONDS = 600.0
"""From the beginning of a stream to its end."""
LINGER = 0.2
"""Seconds within which the stream has to end after the reply has."""
ALIVE = 60.0
"""Seconds for which signs of life (comments, empty events) keep the wait for the next piece of a reply going."""
BUSY = frozenset({429, 503, 529})
"""Statuses of a service that has not looked at the request: it may be sent again, and is not thought about twice."""
OPENAI_RATE = 24_000
"""Hz of the sound that OpenAI itself sends."""

_THINKERS = re.compile(r"deepseek-r1|r1-distill|\bqwq\b|qwen3[^/]*thinking", re.IGNORECASE)
"""Models whose templates open the first thought in the question, so that their text begins within it."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long the service may take, in seconds."""

    first_token: float = 15.0
    """From the request to the first piece of the reply."""
    between: float = 10.0
    """Between two pieces."""


class Picture(Struct, frozen=True):
    """A JPEG and when it was seen (CLOCK_MONOTONIC, seconds)."""

    jpeg: bytes
    at: float


def with_picture(message: dict[str, Any], picture: Picture) -> dict[str, Any]:
    """A user's message that carries it."""
    url = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
    text = [{"type": "text", "text": message["content"]}] if message["content"] else []
    return {**message, "content": [*text, {"type": "image_url", "image_url": {"url": url}}]}


class ChatClient:
    """Asks one service; `llm` may change between two requests, but for its style.

    Args:
        outward: where its URL may lead; None = anywhere.
        own: the operator's headers, by the URL that they go to.
    """

    def __init__(
        self,
        llm: Llm,
        timeouts: Timeouts | None = None,
        outward: Outward | None = None,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.llm = llm
        self._own = own or {}
        self.timeouts = timeouts or Timeouts()
        # ours come first
        self._http = ServiceClient(max(self.timeouts.first_token, self.timeouts.between) + 5, outward)
        self.dialect = dialect_of(llm)
        self.rate = RATE
        self._unopened: set[tuple[str, Any]] = set()
        """Services and models that have begun with a thought that nothing opened."""

    def _opens_no_thought(self, body: dict[str, Any]) -> bool:
        model = body.get("model")
        return (self.llm.url, model) in self._unopened or bool(_THINKERS.search(str(model or "")))

    async def close(self) -> None:
        await self._http.aclose()

    def _headers(self) -> dict[str, str]:
        """Those that are not the request's."""
        return {**self._own.get(self.llm.url, {}), **self.llm.headers}

    def completion(self, names: Collection[str] = ()) -> Completion:
        """What reads one answer. `names`: of the functions that there are."""
        return Completion(names, self.dialect.reader())

    async def body(self, asked: Question) -> dict[str, Any]:
        """The body of a request. Raises ServiceError: what has to be there before it cannot be."""
        await self.dialect.ahead(self.llm, asked, self._post)
        return self.dialect.body(self.llm, asked)

    async def _post(self, url: str, **body: Any) -> Any:
        """The JSON that a part of the service answers. Raises ServiceError."""
        import httpx

        key, headers = self.llm.api_key, self._headers()
        try:
            async with asyncio.timeout(self.timeouts.first_token):
                response = await self._http.post(url, key=key, headers=self._in_front({}), **body)
                try:
                    if response.status_code // 100 != 2:
                        raise await refusal("the LLM", url, response, key, *headers.values())
                    return msgspec.json.decode(await read_all(response, MAX_EVENT))
                finally:
                    await response.aclose()
        except TimeoutError as exc:
            raise ServiceError(f"the LLM at {site(url)} did not answer for {self.timeouts.first_token:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure("the LLM", url, exc, key, *headers.values()) from exc
        except (BadData, msgspec.DecodeError) as exc:
            raise ServiceError(f"the LLM at {site(url)} sent what is no answer: {exc}") from exc

    def _in_front(self, engine: Mapping[str, str]) -> dict[str, str]:
        """The headers of a request: those of the engine's own go before those of others, and the dialect's after."""
        own = {name.lower(): one for name, one in self._headers().items()}
        return {**self.dialect.headers(self.llm, own), **own, **engine}

    async def stream(self, body: dict[str, Any], completion: Completion) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer to `body`, which also gather in `completion`. A service that is too busy to look at
        it (BUSY) is asked once more, when it wants that; and so is one that has forgotten the conversation.

        Raises:
            ServiceError: the service refused, broke off, stalled, or sent what is no completion.
        """
        for again in (False, True):
            try:
                async with aclosing(self._answer(body, completion)) as answer:
                    async for piece in answer:
                        yield piece
                return
            except ServiceError as exc:
                if not again and (anew := self.dialect.again(self.llm, exc.status)) is not None:
                    body = anew
                    continue
                if again or exc.status not in BUSY or (exc.wait or 0.0) > MAX_WAIT:
                    raise
                wait = exc.seconds_to_wait()
                logger.warning("%s: it is asked again in %.1f s", exc, wait)
            await asyncio.sleep(wait)

    async def _answer(self, body: dict[str, Any], completion: Completion) -> AsyncGenerator[Piece, None]:
        import httpx

        url, key = self.dialect.url(self.llm), self.llm.api_key
        host = urlsplit(url).hostname or ""
        self.rate = OPENAI_RATE if host == "openai.com" or host.endswith(".openai.com") else RATE
        headers = self._in_front({"content-type": "application/json", "accept": "text/event-stream"})
        wait = _Wait(self.timeouts)
        try:
            content = encode(body)
            if self._opens_no_thought(body):
                completion.hold()
            async with asyncio.timeout(self.timeouts.first_token) as limit:
                response = await self._http.post(url, key=key, headers=headers, content=content)
                try:
                    async for piece in self._pieces(response, completion, limit, wait):
                        yield piece
                finally:
                    if completion.thinks_unopened:
                        self._unopened.add((url, body.get("model")))
                    await response.aclose()
        except TimeoutError as exc:
            if completion.over:
                return
            raise ServiceError(f"the LLM at {site(url)} {wait.over}") from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure("the LLM", url, exc, key, *self._headers().values()) from exc
        except BrokeOff as exc:
            log_details("the LLM", exc.said, url, key, *self._headers().values())
            raise
        except BadData as exc:
            raise ServiceError(f"the LLM's stream is broken: {exc}") from exc

    async def _pieces(
        self, response: Any, completion: Completion, limit: asyncio.Timeout, wait: _Wait
    ) -> AsyncGenerator[Piece, None]:
        if response.status_code // 100 != 2:
            raise await refusal("the LLM", self.llm.url, response, self.llm.api_key, *self._headers().values())
        loop = asyncio.get_running_loop()
        reader = EventReader()
        wait.begins(loop.time())
        linger, late = 0.0, False
        async for data in pieces(response):
            for event in reader.feed(data):
                moves, over = completion.moves, completion.over
                if (piece := completion.take(event, self.rate)) is not None:
                    # What is done with the piece is not the service's time.
                    limit.reschedule(None)
                    yield piece
                if completion.moves > moves:
                    wait.moved(loop.time(), completion.began)
                    late = late or over  # a service that says with every piece that it is the last
            if completion.over:  # the stream's own end leaves the connection open for the next turn
                linger = linger or loop.time() + LINGER
            limit.reschedule(linger if linger and not late else wait.until(loop.time()))
        for event in reader.end():
            if (piece := completion.take(event, self.rate)) is not None:
                yield piece
        if not completion.over:
            label = response.headers.get("content-type", "")
            hint = f"; it is labelled {label:.60}" if not completion.moves and "event-stream" not in label else ""
            raise ServiceError(f"the LLM's stream ended in the middle of the reply{hint}")


class _Wait:
    """How long the service may take for what comes next."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._end = self._moved = 0.0
        self._thinks = self._began = False
        self.over = f"did not begin for {timeouts.first_token:g} s"
        """What to say when that is over."""

    def begins(self, now: float) -> None:
        """It answers."""
        self._moved, self._end = now, now + MAX_SECONDS

    def moved(self, now: float, began: bool) -> None:
        """A piece of the reply has come. `began`: one that is not a thought, now or before."""
        self._moved, self._thinks, self._began = now, True, began

    def until(self, now: float) -> float:
        """When it is over, something having come now."""
        seconds = self._timeouts.between if self._began else self._timeouts.first_token
        self.over = f"{'fell silent' if self._thinks else 'did not begin'} for {seconds:g} s"
        until = now + seconds
        if self._moved + ALIVE < until:
            until = self._moved + ALIVE
            self.over = f"sent nothing of a reply for {ALIVE:g} s"
        return min(until, self._end)
