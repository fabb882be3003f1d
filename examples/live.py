"""A live session: speech goes in as fast as it can be read, an avatar says it in real time, and is interrupted.

    python examples/live.py speech.wav out.mp4 [SECONDS]

After SECONDS (default: never) it is interrupted: silence within 10 ms. What leaves goes into a film; in place of
`publish.File` may stand any other publisher: `publish.WebRTC` for browsers, `channel.Rooms`, `channel.Agora`, one of
your own (examples/publisher.py).
"""

from __future__ import annotations

import asyncio
import sys

import av

import lipwire

RATE = 24000


def chunks(path: str):
    """PCM16 mono at 24 kHz, as it would come from a speech service: in pieces of any length."""
    with av.open(path) as file:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in [*file.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                yield bytes(piece.planes[0])[: piece.samples * 2]


async def main(speech: str, out: str, seconds: float | None = None) -> None:
    said = asyncio.Event()

    def on_event(event: object) -> None:  # PlaybackStarted, PlaybackFinished, Underrun
        print(event)
        if type(event).__name__ == "PlaybackStarted":
            said.set()

    async with lipwire.Session(lipwire.publish.File(out), avatar="kit", on_event=on_event) as session:
        for pcm in chunks(speech):
            session.write(pcm, rate=RATE, event_id="greeting")
        session.end("greeting")
        if seconds is not None:
            await said.wait()
            await asyncio.sleep(seconds)
            session.interrupt()
        await session.finished()  # PlaybackFinished has told by now how much was heard
        print(f"A/V skew at most {session.max_skew_ms:.1f} ms, late frames {session.stats()['late']}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])))
