"""A publisher of your own: where a session's sound and pictures go.

    python examples/publisher.py speech.wav out.wav

This one keeps the sound as a WAV file and counts the pictures in which something moved. It can stand wherever a
publisher does, alone or in a `publish.Tee` beside others.
"""

from __future__ import annotations

import asyncio
import sys
import wave

import lipwire


class Recorder(lipwire.Publisher):
    """All calls come from the event loop's thread. None of them may block: 10 ms later the next one is due."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pictures = self.moved = 0
        self.brightness = 0.0

    async def open(self, spec: lipwire.publish.StreamSpec) -> None:
        self.file = wave.open(self.path, "wb")  # noqa: SIM115, it is closed below
        self.file.setnchannels(1)
        self.file.setsampwidth(2)
        self.file.setframerate(spec.rate)

    def audio(self, pcm: bytes, sample: int) -> None:
        self.file.writeframes(pcm)  # 480 samples; the first is `sample` on the media clock

    def video(self, frame: lipwire.Frame) -> None:
        self.pictures += 1
        self.moved += frame.changed
        self.brightness = float(frame.planes[0].mean())  # read it now: the memory is one of the session's few slots

    def interrupt(self) -> None:
        """What was handed over and has not left is stale. A file has nothing that waits."""

    async def close(self) -> None:
        self.file.close()


async def main(speech: str, out: str) -> None:
    with wave.open(speech, "rb") as file:
        rate, pcm = file.getframerate(), file.readframes(file.getnframes())
    recorder = Recorder(out)
    async with lipwire.Session(recorder) as session:
        session.write(pcm, rate=rate)
        session.end()
        await session.finished()
    print(f"{out}: {recorder.pictures} pictures, {recorder.moved} of them new, brightness {recorder.brightness:.0f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
