"""Overload: what viewers get when they are more than the machine can do. Twenty aiortc viewers in a process of their
own, decoding everything, beside as many processes that burn as there are processors: packets of sound and pictures at
each viewer, against the media clock. Goal: each gets every packet of sound that the clock made, but for the blocks that
the engine itself had to drop (`pcm_dropped`), however it was lost.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
from msgspec import Struct

from harness import ROOT, Results, main
from lipwire import Session
from lipwire._core import BLOCK, RATE
from lipwire.publish import WebRTC
from lipwire.publish.sound import PACKET_BLOCKS
from lipwire.publish.turns import processors

sys.path.insert(0, str(ROOT / "tests"))
from support.viewers import Got, Viewers

VIEWERS = 20


class Counted(WebRTC):
    """Lets sound through while it is told to, and knows what the clock made meanwhile."""

    open_ = False
    first = -1
    """Sample at which the first block began that it let through,"""
    end = -1
    """and the last one ended."""

    def audio(self, pcm: bytes, sample: int) -> None:
        if self.open_:
            self.first = sample if self.first < 0 else self.first
            self.end = sample + BLOCK
            super().audio(pcm, sample)


class Watched(Struct):
    """What came of one run."""

    seconds: float
    """On the media clock, of sound that was let through."""
    made: int
    """Packets of sound that a viewer ought to have got in them."""
    got: list[Got]
    pcm_dropped: int
    """Blocks of them that the engine had no room for."""
    dropped: int
    """Packets that there was no room for on the way out, of all viewers together."""


async def watched(burning: int, seconds: int) -> Watched:
    publisher = Counted(ice_host="127.0.0.1")
    second = (np.sin(np.arange(RATE) / 25) * 9000).astype("<i2").tobytes()
    async with Session(publisher, size=(640, 360)) as session, Viewers(publisher, VIEWERS) as viewers:

        def lost() -> int:
            return int(session.performer.stats()["pcm_dropped"])

        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(burning)]
        try:
            first, lost_before, dropped_before = await viewers.got(), lost(), publisher.missed.sound
            publisher.open_ = True
            for _ in range(seconds):
                session.write(second, RATE)
                await asyncio.sleep(1)
            publisher.open_, pcm_dropped = False, lost() - lost_before
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        ended = last = await viewers.got()
        while True:  # until nothing is under way any more
            await asyncio.sleep(1)
            before, last = last, await viewers.got()
            if [g.sound for g in before] == [g.sound for g in last]:
                break
        got = [
            Got(c.sound - a.sound, c.lost - a.lost, b.pictures - a.pictures)
            for a, b, c in zip(first, ended, last, strict=True)
        ]
        samples = publisher.end - publisher.first
        return Watched(
            seconds=samples / RATE,
            made=(samples // BLOCK - pcm_dropped) // PACKET_BLOCKS,
            got=got,
            pcm_dropped=pcm_dropped,
            dropped=publisher.missed.sound - dropped_before,
        )


def run(results: Results, quick: bool) -> None:
    for burning in (0, processors()):
        seen = asyncio.run(watched(burning, 5 if quick else 20))
        name = f"{VIEWERS} viewers beside {burning} processes that burn"
        results.add(
            f"{name}: packets of sound that a viewer did not get",
            seen.made - min(g.sound for g in seen.got),
            "packets",
            n=sum(g.sound for g in seen.got),
            goal="<= 0",
            made=seen.made,
            a_second=[g.sound / seen.seconds for g in seen.got],
            blocks_the_loop_was_too_late_for=seen.pcm_dropped,
            dropped_on_the_way_out=seen.dropped,
            lost_on_the_way=sum(g.lost for g in seen.got),
        )
        fps = [g.pictures / seen.seconds for g in seen.got]
        results.add(f"{name}: pictures", min(fps), "fps", n=VIEWERS, most=max(fps))


if __name__ == "__main__":
    main(run, __doc__)
