"""Sends notices (`protocol.webhooks`) to the one address that the settings name.

Notices of one subject, an agent or a session, go one after the other, in the order in which they came; those of others
do not wait for them. One that is not taken is sent again, the same to the byte. What waits is bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Collection

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..agents.http import ServiceClient
from ..errors import LipwireError
from ..logs import sampled
from ..outward import site
from ..protocol.webhooks import FAILED, Notice, sign

logger = sampled("lipwire.webhooks")

ANSWER_SECONDS = 10.0
"""Within which the receiver answers with 2xx; otherwise it has not taken the notice."""
AGAIN = 3
"""Tries after the first one, as the service has it."""
FIRST_WAIT, FACTOR, LONGEST_WAIT = 1.0, 3.0, 15.0
"""Seconds between the first two tries; each wait is so many times the one before, up to the longest."""
AT_ONCE = 8
"""Requests."""
MOST_BYTES = 64 << 20
"""Of bodies that wait."""
MOST_FAILURES = 100
"""Notices of one subject that wait, from which on its failures (110) are dropped: what fails again and again takes no
room from the others' notices."""


class Webhooks:
    """One receiver.

    Args:
        url: where notices are posted. It is the operator's own, and may be anywhere.
        secret: signs them; None = they are not signed.
        events: those that are sent; empty = all.
        retry: seconds after the first try until which one is sent again, where AGAIN tries take less.
        most: notices that may wait; those that come then are dropped, and counted.

    Raises:
        BadState: httpx is not installed.
    """

    def __init__(
        self, url: str, secret: str | None, *, events: Collection[int] = (), retry: float = 0.0, most: int = 10_000
    ) -> None:
        self._url = url
        self._secret = secret
        self._events = frozenset(events)
        self._retry = retry
        self._most = most
        self._client = ServiceClient(ANSWER_SECONDS)
        self._waiting: dict[str, deque[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._bytes = 0
        self._closed = False
        self.counts: Counter[str] = Counter()
        """`sent`, `retried`, `failed` (given up), `dropped` (never sent: too many waited, or the server ended)."""

    @property
    def waiting(self) -> int:
        """Notices that have not been taken yet."""
        return sum(map(len, self._waiting.values()))

    def put(self, notice: Notice) -> None:
        """Sends a notice, after those of the same `sid` that came before. Never blocks."""
        if self._events and notice.event_type not in self._events:
            return
        body, queue = notice.body(), self._waiting.get(notice.sid)
        if (why := self._why_not(notice, len(body), 0 if queue is None else len(queue))) is not None:
            self.counts["dropped"] += 1
            logger.error("[%s] notice %d was dropped: %s", notice.sid, notice.event_type, why)
            return
        self._bytes += len(body)
        if queue is not None:
            queue.append(body)
            return
        self._waiting[notice.sid] = deque([body])
        task = asyncio.get_running_loop().create_task(self._send_all(notice.sid), name="lipwire-webhook")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _why_not(self, notice: Notice, size: int, before: int) -> str | None:
        """Why a notice is not taken; None = it is. `before`: of its subject that wait."""
        if self._closed:
            return "the server ends"
        if notice.event_type == FAILED and before >= MOST_FAILURES:
            return f"{before} of its notices wait already"
        if self.waiting >= self._most or self._bytes + size > MOST_BYTES:
            return f"{self.waiting} notices of {self._bytes} bytes wait already"
        return None

    async def _send_all(self, subject: str) -> None:
        queue = self._waiting[subject]
        while queue:
            try:
                taken = await self._deliver(subject, queue[0])
            except Exception:  # the edge: those behind it are sent all the same
                logger.exception("[%s] a notice was given up", subject)
                taken = False
            self.counts["sent" if taken else "failed"] += 1
            self._bytes -= len(queue.popleft())
        del self._waiting[subject]

    async def _deliver(self, subject: str, body: bytes) -> bool:
        """Sends one until it is taken. False: it has been given up."""
        clock = asyncio.get_running_loop().time
        began, wait, tries = clock(), FIRST_WAIT, 0
        while (why := await self._try(body)) is not None:
            tries += 1
            if tries > AGAIN and clock() - began + wait > self._retry:
                logger.error("[%s] a notice was given up after %d tries: %s", subject, tries, why)
                return False
            logger.warning("[%s] a notice was not taken, and goes again in %g s: %s", subject, wait, why)
            await asyncio.sleep(wait)
            wait = min(wait * FACTOR, LONGEST_WAIT)
            self.counts["retried"] += 1
        return True

    async def _try(self, body: bytes) -> str | None:
        """Why it was not taken; None = it was."""
        import httpx

        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            headers |= sign(body, self._secret)
        try:
            async with self._slots, asyncio.timeout(ANSWER_SECONDS):
                answer = await self._client.post(self._url, key=None, headers=headers, content=body)
                await answer.aclose()
        except TimeoutError:
            return f"{site(self._url)} did not answer within {ANSWER_SECONDS:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, LipwireError) as exc:
            return f"{site(self._url)}: {type(exc).__name__}"
        return None if answer.is_success else f"{site(self._url)} answered {answer.status_code}"

    async def close(self, seconds: float = 5.0) -> None:
        """No more are taken; what waits has so long to be sent, and is dropped then. Safe to call twice."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.waiting:
            logger.error("%d notices were dropped: the server has ended, and they were not taken in time", self.waiting)
            self.counts["dropped"] += self.waiting
        self._waiting.clear()
        self._bytes = 0
        await self._client.aclose()


class WebhookCollector(Collector):
    """What is sent, for Prometheus."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def collect(self) -> list[Metric]:
        counts = self._webhooks.counts
        what = {
            "sent": "Notices that the receiver has taken",
            "retried": "Tries after the first one",
            "failed": "Notices that were given up after all their tries",
            "dropped": "Notices that were not sent: too many waited, or the server ended",
        }
        waiting = self._webhooks.waiting
        return [
            GaugeMetricFamily("lipwire_webhooks_waiting", "Notices that have not been taken yet", waiting),
            *(CounterMetricFamily(f"lipwire_webhooks_{name}", text, counts[name]) for name, text in what.items()),
        ]
