"""A client of any avatar provider that speaks the protocol (protocol.md A and B), Lipwire or another."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .._core import RATE, pcm_bytes
from ..answers import IDENTITY, beginning, read_all
from ..audio.opus import OpusEncoder
from ..audio.pcm8 import pcm8_encode
from ..audio.resample import resample
from ..errors import BadData, InvalidArgument, LipwireError
from ..protocol import messages as m

if TYPE_CHECKING:
    from typing_extensions import Buffer

logger = logging.getLogger("lipwire.client")

HEARTBEAT = 10.0
TIMEOUT = 15.0
OPUS_MS = (10, 20, 40, 60)
MOST_ANSWERED = 1 << 16
"""Bytes of a provider's answer."""


class ProviderFault(LipwireError, RuntimeError):
    """The provider refused or broke off; the message says how."""

    code = "PROVIDER_FAULT"
    status: int | None = None
    """Of its answer over HTTP, where that is what it was."""


def request(
    channel: str = "lipwire", *, uid: str = "1", avatar_id: str = "aria", quality: m.Quality = "medium", **more: Any
) -> m.StartRequest:
    """A start request with the fields that a local test needs."""
    agora = m.AgoraSettings(app_id="local", token="local", channel=channel, uid=uid, enable_string_uid=False)
    return m.StartRequest(
        avatar_id=avatar_id, quality=quality, version="v1", video_encoding="H264", agora_settings=agora, **more
    )


class Line(Protocol):
    """How a provider is reached."""

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """The body of the answer 200. Raises LipwireError: there is none; `status` is that of another answer."""

    async def connect(self, url: str, headers: Mapping[str, str]) -> ClientConnection:
        """A WebSocket. Raises LipwireError: there is none; `status` is that of a refusal."""

    async def close(self) -> None:
        """Ends what stays open between calls."""


class Direct:
    """Straight to where the URLs lead.

    Args:
        tls: what is trusted behind https and wss; by default what the system trusts.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        verify = self._trusted(url) or False  # never asked where there is no TLS
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=verify, headers=IDENTITY)

    def _trusted(self, url: str) -> ssl.SSLContext | None:
        if not url.lower().startswith(("https:", "wss:")):
            return None
        self._tls = self._tls or ssl.create_default_context()
        return self._tls

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """As `Line` has it. Raises ProviderFault."""
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._http.stream(method, url, content=body, headers=dict(headers)) as reply,
            ):
                if reply.status_code != 200:
                    said = (await beginning(reply, MOST_ANSWERED)).decode("utf-8", "replace")
                    fault = ProviderFault(f"{method} {url} answered {reply.status_code}: {said[:300]}")
                    fault.status = reply.status_code
                    raise fault
                return await read_all(reply, MOST_ANSWERED)
        except (httpx.HTTPError, BadData, TimeoutError) as exc:
            raise ProviderFault(f"{method} {url} failed: {str(exc) or type(exc).__name__}") from exc

    async def connect(self, url: str, headers: Mapping[str, str]) -> ClientConnection:
        """As `Line` has it. Raises ProviderFault."""
        try:
            return await connect(
                url,
                additional_headers=headers,
                max_size=1 << 20,
                max_queue=8,
                compression=None,  # 1 kB may be 1 MB
                proxy=None,
                open_timeout=TIMEOUT,
                ssl=self._trusted(url),
            )
        except (OSError, InvalidStatus, TimeoutError) as exc:
            fault = ProviderFault(f"cannot connect to {url}: {exc}")
            fault.status = exc.response.status_code if isinstance(exc, InvalidStatus) else None
            raise fault from exc

    async def close(self) -> None:
        """As `Line` has it."""
        await self._http.aclose()


class ProviderClient:
    """One session at a provider, as the Conversational AI engine would hold it.

    Use as an async context manager: it starts the session, connects, sends `init` and heartbeats, and stops it again.

    Args:
        url: of the HTTP side, say http://127.0.0.1:8764.
        api_key: for `x-api-key`.
        start: the body of /session/start.
        on_event: called with each server event that this version knows.
        tls: what is trusted behind https and wss; by default what the system trusts.
        more: members of /session/start and `init` besides, or in the place of, those of `start`.
        line: how the provider is reached; the client's own from then on. None = `Direct`.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        start: m.StartRequest | None = None,
        *,
        on_event: Callable[[m.ServerEvent], None] | None = None,
        tls: ssl.SSLContext | None = None,
        more: Mapping[str, Any] | None = None,
        line: Line | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.start_request = start or request()
        self.on_event = on_event
        self.session: m.StartReply | None = None
        self._api_key = api_key
        self._more = more or {}
        self._line: Line = line or Direct(self.url, tls)
        self._ws: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._finished = asyncio.Condition()
        self._finished_count = 0
        self.reports_playback = False
        """True once the provider has sent a playback event: not every provider does."""

    async def __aenter__(self) -> Self:
        try:
            start = msgspec.to_builtins(self.start_request) | self._more
            body = await self._call("POST", "/session/start", start)
            try:
                self.session = msgspec.json.decode(body, type=m.StartReply)
            except msgspec.DecodeError as exc:
                raise ProviderFault(f"the answer to /session/start is none: {exc}") from exc
            await self._connect(self.session)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, method: str, path: str, body: Any) -> bytes:
        headers = {"x-api-key": self._api_key, "content-type": "application/json"}
        return await self._line.call(method, self.url + path, headers, msgspec.json.encode(body))

    async def _connect(self, session: m.StartReply) -> None:
        headers = {"Authorization": f"Bearer {session.session_token}"}
        self._ws = await self._line.connect(session.websocket_address, headers)
        fields = {name: getattr(self.start_request, name) for name in m.StartRequest.__struct_fields__}
        init = msgspec.to_builtins(m.InitMessage(session_id=session.session_id, **fields))
        more = {name: value for name, value in self._more.items() if name not in ("command", "session_id")}
        await self._send(init | more)
        self._tasks = [asyncio.create_task(self._heartbeats()), asyncio.create_task(self._events())]

    async def reconnect(self) -> None:
        """Connects once more, with the same session, where the connection is gone.

        Raises:
            LipwireError: there is none; with `status` 401 or 404 the session is over.
        """
        assert self.session is not None
        await self._disconnect()
        self._finished_count = 0
        await self._connect(self.session)

    async def wait_closed(self) -> int | None:
        """Waits until the connection is gone; its close code, None where there is none."""
        assert self._ws is not None
        await self._ws.wait_closed()
        return self._ws.close_code

    async def send(self, message: m.Voice | m.VoiceEnd | m.Interrupt | m.Special) -> None:
        """Sends a message as it is. Raises ProviderFault: the connection is gone."""
        await self._send(message)

    async def _send(self, message: msgspec.Struct | dict[str, Any]) -> None:
        assert self._ws is not None
        try:
            await self._ws.send(msgspec.json.encode(message).decode())
        except ConnectionClosed as exc:
            raise ProviderFault(_closed(exc)) from exc

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self._send(m.Heartbeat(str(uuid.uuid4()), int(time.time() * 1000)))

    async def _events(self) -> None:
        assert self._ws is not None
        try:
            async for text in self._ws:
                event = m.decode_event(text)
                if event is None:
                    logger.info("unknown event%s", _named(text))
                    logger.debug("unknown event: %.200s", text)
                    continue
                if isinstance(event, m.PlaybackStarted | m.PlaybackFinished):
                    self.reports_playback = True
                if isinstance(event, m.PlaybackFinished):
                    async with self._finished:
                        self._finished_count += 1
                        self._finished.notify_all()
                if self.on_event is not None:
                    self.on_event(event)
        except ConnectionClosed as exc:
            logger.info("%s", _closed(exc))
            logger.debug("the provider closed the WebSocket: %s", exc)
        finally:
            async with self._finished:
                self._finished_count = 1 << 62
                self._finished.notify_all()

    async def speak(
        self,
        pcm: Buffer,
        rate: int,
        *,
        encoding: m.AudioEncoding = "PCM16",
        chunk_ms: int = 20,
        pace: float | None = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> str:
        """Sends an utterance and its `voice_end`; returns its event id.

        Args:
            pcm: PCM16 mono at `rate` Hz. chunk_ms: 10..1000 (OPUS: 10, 20, 40 or 60).
            pace: times real time; None = as fast as possible.
            progress: called with the seconds sent so far.
        """
        event_id = str(uuid.uuid4())
        began = time.monotonic()
        for number, payload in enumerate(encode(pcm, rate, encoding, chunk_ms)):
            if pace is not None:
                due = began + number * chunk_ms / 1000 / pace
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._send(m.Voice(payload, RATE if encoding == "OPUS" else rate, encoding, event_id))
            if progress is not None:
                progress((number + 1) * chunk_ms / 1000)
        await self._send(m.VoiceEnd(event_id))
        return event_id

    async def interrupt(self) -> None:
        """Stops what is playing and drops what is queued."""
        await self._send(m.Interrupt(str(uuid.uuid4())))

    @property
    def finished_count(self) -> int:
        """Utterances that the provider has reported as played to the end, or broken off."""
        return self._finished_count

    async def wait_finished(self, count: int) -> None:
        """Waits until `finished_count` reaches `count`, or the connection is gone."""
        async with self._finished:
            await self._finished.wait_for(lambda: self._finished_count >= count)

    async def close(self) -> None:
        """Stops the session and disconnects. Errors on the way out are logged, not raised."""
        await self._disconnect()
        if self.session is not None:
            session, self.session = self.session, None
            stop = m.StopRequest(session_id=session.session_id, session_token=session.session_token)
            try:
                await self._call("DELETE", "/session/stop", stop)
            except LipwireError as exc:
                if getattr(exc, "status", None) != 404:  # it has ended by itself, as sessions of a server do that is
                    logger.warning("stopping the session failed: %s", exc)  # told to end
        await self._line.close()

    async def _disconnect(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._ws is not None:
            await self._ws.close()
            self._ws = None


# What a provider says may repeat keys and tokens, and tell of inner things: at debug only, and to nobody else.


class _Unknown(msgspec.Struct):
    command: str


def _named(text: str | bytes) -> str:
    """What a message calls itself, if that is a name."""
    try:
        command = msgspec.json.decode(text, type=_Unknown).command
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return ""
    return f" {command!r}" if is_name(command) else ""


def is_name(text: str) -> bool:
    """Whether a text of the provider's can be the name of a thing, and hardly anything else."""
    return re.fullmatch(r"[A-Za-z][A-Za-z_.-]{0,39}", text) is not None


def _closed(exc: ConnectionClosed) -> str:
    if exc.rcvd is None:
        return "the connection to the provider broke"
    return f"the provider closed the WebSocket ({exc.rcvd.code})"


def encode(pcm: Buffer, rate: int, encoding: m.AudioEncoding, chunk_ms: int) -> Iterator[bytes]:
    """Cuts PCM16 mono, in any buffer, into the payloads of `voice` messages: number n begins `n * chunk_ms` after the
    first, to the sample.

    Raises:
        InvalidArgument: encoding, chunk or rate is out of range, or the buffer holds no PCM16.
    """
    pcm = pcm_bytes(pcm)
    if not m.MIN_RATE <= rate <= m.MAX_RATE:
        raise InvalidArgument(f"sample rate {rate} Hz; {m.MIN_RATE}..{m.MAX_RATE} are allowed")
    if encoding == "OPUS":
        yield from _encode_opus(pcm, rate, chunk_ms)
        return
    if encoding not in ("PCM16", "PCM8"):
        raise InvalidArgument(f"unknown encoding {encoding!r}; known: PCM16, PCM8, OPUS")
    if not 10 <= chunk_ms <= 1000:
        raise InvalidArgument(f"chunk of {chunk_ms} ms; 10..1000 are allowed")
    for number in range(-(-len(pcm) * 500 // (rate * chunk_ms))):
        # Not all of one size where a message holds no whole number of samples: their ends keep to the clock.
        begin, end = (at * rate * chunk_ms // 1000 * 2 for at in (number, number + 1))
        chunk = pcm[begin:end]
        yield pcm8_encode(chunk) if encoding == "PCM8" else chunk


def _encode_opus(pcm: bytes, rate: int, chunk_ms: int) -> Iterator[bytes]:
    if chunk_ms not in OPUS_MS:
        raise InvalidArgument(f"Opus chunks have {', '.join(map(str, OPUS_MS))} ms, got {chunk_ms}")
    encoder = OpusEncoder(RATE, bitrate=32_000, frame_ms=chunk_ms)
    yield from encoder.encode(resample(pcm, rate, RATE))
    yield from encoder.flush()
