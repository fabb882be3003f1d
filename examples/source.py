"""A model that makes frames from speech, in a process of its own, with the sound waiting for it.

    python examples/source.py speech.wav out.mp4

The "model" takes 30 ms for each 40 ms of speech and draws its spectrum; put a network in its place. What it shows is
late by `latency`, the sound waits as long, and both stay together.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import lipwire

FRAME = 48000 // 25


class Spectrum(lipwire.FrameSource):
    latency = 0.25  # a piece of 40 ms, 30 ms of work, the way there and back, and room to breathe
    block = 640

    def open(self, spec, emit):
        self.width, self.height = spec.width, spec.height
        self.window = np.hanning(self.block)

    def speech(self, pcm, sample):
        time.sleep(0.03)
        power = np.abs(np.fft.rfft(np.pad(pcm, (0, self.block - len(pcm))) * self.window)) ** 2
        bars = np.clip(np.log10(power[4:196].reshape(24, 8).sum(1) + 1) / 12, 0, 1)
        picture = np.full((self.height, self.width, 3), (16, 24, 40), np.uint8)
        step = self.width // 24
        for i, bar in enumerate(bars):
            picture[round((1 - bar) * self.height) :, i * step + 2 : (i + 1) * step - 2] = (250, 180, 60)
        # Frames show the moments at which they are due: multiples of a frame, on the media clock.
        first = -(-sample // FRAME) * FRAME
        return [(at, picture) for at in range(first, sample + 3 * len(pcm), FRAME)]


if __name__ == "__main__":  # the other process imports this file, too
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    done = lipwire.render(sys.argv[1], sys.argv[2], avatar=lipwire.ProcessSource(Spectrum), size=(640, 360))
    print(f"{sys.argv[2]}: {done.duration:.1f} s, {done.frames} frames")
