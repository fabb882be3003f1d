"""`lipwire serve` with a session beside it whose pictures come from a process of its own; arguments are serve's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

import lipwire
from lipwire.app import service
from lipwire.drawing.frame_source import Image


class Plain(lipwire.FrameSource):
    """A grey picture for each piece of speech."""

    def speech(self, pcm: Any, sample: int) -> Iterable[tuple[int, Image]]:
        yield sample, np.full((36, 64, 3), 127, np.uint8)


class Whole(service.Service):
    """A service with one session more."""

    async def start(self) -> Whole:
        await super().start()
        self.beside = lipwire.Session(
            lipwire.publish.Null(), avatar=lipwire.ProcessSource(Plain), width=64, height=36, session_id="beside"
        )
        await self.beside.start()
        self.talking = asyncio.create_task(self.talk())
        return self

    async def talk(self) -> None:
        while True:
            self.beside.write(bytes(range(256)) * 125, 16_000)
            self.beside.end()
            await self.beside.finished()

    async def close(self) -> None:
        await super().close()
        if hasattr(self, "beside"):
            self.talking.cancel()
            await self.beside.close()


if __name__ == "__main__":
    from lipwire.cli.entry import main

    service.Service = Whole  # type: ignore[misc]
    sys.argv[1:1] = ["serve"]
    main()
