"""Overload: what viewers get when they are more than the machine can do. Twenty aiortc viewers in a process of their
own, decoding everything, beside as many processes that burn as there are processors: packets of sound and pictures a
second at each viewer, while the media clock runs. Goal: no packet of sound is left out.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import numpy as np

from harness import ROOT, Results, main
from lipwire import Session
from lipwire._core import RATE
from lipwire.publish import WebRTC
from lipwire.publish.turns import processors

sys.path.insert(0, str(ROOT / "tests"))
from support.viewers import Got, Viewers

VIEWERS = 20


async def watched(burning: int, seconds: int) -> tuple[float, list[Got], dict[str, Any]]:
    """(seconds on the media clock, what each viewer got in them, the publisher's figures)."""
    publisher = WebRTC(ice_host="127.0.0.1")
    second = (np.sin(np.arange(RATE) / 25) * 9000).astype("<i2").tobytes()
    async with Session(publisher, width=640, height=360) as session, Viewers(publisher, VIEWERS) as viewers:
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(burning)]
        try:
            first, began = await viewers.got(), session.performer.stats()["clock"]
            for _ in range(seconds):
                session.write(second, RATE)
                await asyncio.sleep(1)
            last, ended = await viewers.got(), session.performer.stats()["clock"]
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        lost = session.performer.stats()["pcm_dropped"]
        got = [
            Got(b.sound - a.sound, b.lost - a.lost, b.pictures - a.pictures) for a, b in zip(first, last, strict=True)
        ]
        return (ended - began) / RATE, got, publisher.stats() | {"pcm_dropped": lost}


def run(results: Results, quick: bool) -> None:
    for burning in (0, processors()):
        seconds, got, figures = asyncio.run(watched(burning, 5 if quick else 20))
        name = f"{VIEWERS} viewers beside {burning} processes that burn"
        results.add(
            f"{name}: packets of sound left out",
            figures["sound_dropped"],
            "packets",
            n=sum(g.sound for g in got),
            goal="<= 0",
            a_second=[g.sound / seconds for g in got],
            blocks_the_loop_was_too_late_for=figures["pcm_dropped"],
            lost_on_the_way=sum(g.lost for g in got),
        )
        fps = [g.pictures / seconds for g in got]
        results.add(f"{name}: pictures", min(fps), "fps", n=VIEWERS, most=max(fps))


if __name__ == "__main__":
    main(run, __doc__)
