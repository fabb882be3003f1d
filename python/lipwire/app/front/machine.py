"""This machine: its pool of workers, as the front and the other nodes want it."""

from __future__ import annotations

import msgspec

from ...cluster.ledger import Gone
from ...cluster.placement import Key
from ...cluster.pool import Pool
from ...cluster.view import NodeView, State


class Machine:
    """Tells how a pool does.

    Args:
        about: what of this node does not change.
    """

    def __init__(self, pool: Pool, about: NodeView) -> None:
        self.pool, self.about = pool, about

    @property
    def state(self) -> State:
        """`starting` until a worker is up, `full` while none has room for a face."""
        if self.pool.draining:
            return "draining"
        states = {worker.state for worker in self.pool.view()}
        return next((state for state in ("up", "full") if state in states), "starting")

    @property
    def live(self) -> list[int]:
        """The workers that answer."""
        return [worker.index for worker in self.pool.workers if worker.up]

    def paths(self, worker: int) -> tuple[str, str]:
        """A worker's Unix sockets: of what stands on `http_port`, and of the pages."""
        found = self.pool.workers[worker]
        return found.http_path, found.viewer_path

    def why(self, key: Key) -> Gone | None:
        """What is remembered of a session or an agent whose worker died."""
        return self.pool.gone(key)

    def view(self) -> NodeView:
        """As GET /cluster shows it."""
        return msgspec.structs.replace(self.about, state=self.state, workers=self.pool.view())
