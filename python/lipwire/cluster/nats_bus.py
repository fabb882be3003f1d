"""A bus over NATS (nats-py, the extra `cluster`).

Requests on a subject that nobody listens on fail at once (NoResponders of NATS 2.2 and later). The connection is made
anew for ever when it is lost; what was subscribed holds again then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidArgument
from ..outward import redact
from .bus import BusDown, Handler, Message, NoResponders

logger = logging.getLogger("lipwire.cluster")

CONNECT = 5.0
"""Seconds that the first connection may take."""
AGAIN = 0.2
"""Seconds between two attempts to connect again."""
PING = 2
"""Seconds between two pings; a server that leaves three unanswered is left."""
REFUSED = "user, password or credentials are refused"
_Step = tuple[str, Any, Any]


class NatsBus:
    """One connection. Made by `connect`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._steps: asyncio.Queue[_Step] = asyncio.Queue()
        self._task = asyncio.create_task(self._send(), name="lipwire-nats")
        self.closed = False
        self.on_connection: Callable[[bool], None] = lambda connected: None
        """Hears that the connection is lost, and that it is there again."""

    @classmethod
    async def connect(
        cls, servers: Sequence[str], *, name: str, credentials: str | None = None, nkey: str | None = None
    ) -> NatsBus:
        """Connects.

        Args:
            servers: URLs as nats://user:password@host:4222 or tls://host; the next one where one is away.
            name: ours, as NATS shows it.
            credentials: a file of `nsc` (JWT and seed). nkey: a file with an nkey's seed.

        Raises:
            InvalidArgument: nats-py is missing, a file is, or nobody lets us in; it says which.
        """
        try:
            from nats.aio.client import Client
            from nats.errors import Error
        except ImportError as exc:
            raise InvalidArgument("nats needs nats-py: pip install 'lipwire[cluster]'") from exc
        for file in (credentials, nkey):
            if file is not None and not Path(file).is_file():
                raise InvalidArgument(f"{file}: no such file (credentials for NATS)")
        shown = ", ".join(redact(server) for server in servers)
        client = Client()
        held: list[NatsBus] = []
        last: list[Exception] = []

        async def lost() -> None:
            if held and not held[0].closed:
                logger.warning("NATS: the connection to %s is lost; live sessions go on", shown)
                held[0].on_connection(False)

        async def back() -> None:
            logger.warning("NATS: connected again")
            held[0].on_connection(True)

        async def failed(exc: Exception) -> None:
            last[:] = [exc]
            if _reason(exc) == REFUSED:  # trying again does not help
                connecting.cancel()
            logger.debug("NATS: %s", type(exc).__name__)  # its text may have the URL, and so the password

        options: dict[str, Any] = {}
        if credentials is not None:
            options["user_credentials"] = credentials
        if nkey is not None:
            options["nkeys_seed"] = nkey
        connecting = asyncio.ensure_future(
            client.connect(
                list(servers),
                name=name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=AGAIN,  # type: ignore[arg-type]  # it takes any number
                connect_timeout=2,
                ping_interval=PING,
                disconnected_cb=lost,
                reconnected_cb=back,
                error_cb=failed,
                **options,
            )
        )
        try:
            async with asyncio.timeout(CONNECT):
                await connecting
        except (OSError, TimeoutError, Error, ValueError, asyncio.CancelledError) as exc:
            cancelled = isinstance(exc, asyncio.CancelledError)
            if cancelled and not (last and _reason(last[0]) == REFUSED):
                raise
            why = last[0] if last and (cancelled or isinstance(exc, TimeoutError)) else exc
            await client.close()
            raise InvalidArgument(f"nats: cannot connect to {shown}: {_reason(why)}") from None
        bus = cls(client)
        held.append(bus)
        return bus

    async def close(self) -> None:
        """Ends the connection."""
        self.closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.close()

    @property
    def connected(self) -> bool:
        """As `Bus`."""
        return bool(self._client.is_connected)

    def publish(self, subject: str, data: bytes) -> None:
        """As `Bus`."""
        if self.connected:
            self._steps.put_nowait(("publish", subject, data))

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """As `Bus`."""
        from nats.errors import Error, NoRespondersError
        from nats.errors import TimeoutError as Late

        self._check()
        try:
            answer = await self._client.request(subject, data, timeout=timeout)
        except NoRespondersError:
            raise NoResponders(f"nobody listens on {subject}") from None
        except Late:
            raise TimeoutError(f"nobody answered on {subject}") from None
        except Error as exc:
            raise BusDown(f"NATS: {type(exc).__name__}") from exc
        return bytes(answer.data)

    async def gather(self, subject: str, data: bytes, seconds: float) -> list[bytes]:
        """As `Bus`."""
        self._check()
        answers: list[bytes] = []
        nobody = asyncio.Event()
        inbox = self._client.new_inbox()

        async def heard(message: Any) -> None:
            if message.headers and message.headers.get("Status") == "503":
                nobody.set()
            else:
                answers.append(bytes(message.data))

        held = await self._client.subscribe(inbox, cb=heard)
        try:
            await self._client.publish(subject, data, reply=inbox)
            try:
                async with asyncio.timeout(seconds):
                    await nobody.wait()
            except TimeoutError:
                pass
        finally:
            await held.unsubscribe()
        return answers

    def subscribe(self, subject: str, handler: Handler, *, group: str = "") -> _Subscription:
        """As `Bus`."""
        one = _Subscription(self._steps, subject, group)

        async def heard(message: Any) -> None:
            if one.closed:
                return
            reply = message.reply
            try:
                handler(Message(bytes(message.data), (lambda data: self._answer(reply, data)) if reply else None))
            except Exception:  # the edge: nats-py would end the subscription
                logger.exception("a message on %s could not be handled", subject)

        self._steps.put_nowait(("subscribe", one, heard))
        return one

    async def flush(self, timeout: float = 2.0) -> None:
        """As `Bus`."""
        self._check()
        async with asyncio.timeout(timeout):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._steps.put_nowait(("flush", done, None))
            await done
            await self._client.flush(timeout)

    def _answer(self, reply: str, data: bytes) -> None:
        self._steps.put_nowait(("publish", reply, data))

    def _check(self) -> None:
        if not self.connected:
            raise BusDown("NATS is not connected")

    async def _send(self) -> None:
        """In the order in which it was asked for; nats-py's calls are coroutines, ours are not."""
        while True:
            what, subject, more = await self._steps.get()
            try:
                if what == "publish":
                    await self._client.publish(subject, more)
                elif what == "subscribe":
                    if not subject.closed:
                        subject.held = await self._client.subscribe(subject.subject, subject.group, cb=more)
                elif what == "unsubscribe":
                    if subject.held is not None:
                        await subject.held.unsubscribe()
                elif not subject.done():
                    subject.set_result(None)
            except Exception as exc:  # the edge: the connection is closed, or a message is too large
                logger.warning("NATS: %s failed: %s", what, type(exc).__name__)


def _reason(exc: BaseException) -> str:
    """Not its own text, which may have the URL, and so the password."""
    text = str(exc).lower()
    if "authorization violation" in text or "expired" in text:
        return REFUSED
    return type(exc).__name__


class _Subscription:
    def __init__(self, steps: asyncio.Queue[_Step], subject: str, group: str) -> None:
        self._steps, self.subject, self.group = steps, subject, group
        self.held: Any = None
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._steps.put_nowait(("unsubscribe", self, None))
