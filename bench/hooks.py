"""What a compiled hook costs: a numba hook and a C function in the same place, each doing next to nothing to a
frame, in turn, on one core. What differs is numba's part of the call: unpacking the frame's planes and its record."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import harness
import lipwire
from harness import Results
from lipwire import _core

GOAL = 100
SOURCE = """
#include <stdint.h>
#include "lipwire/performer.h"
int draw(void *user, uint8_t *i420, const lw_draw_info *info)
{
    (void)user;
    i420[0] = (uint8_t)(16 + info->sequence % 200);
    return 0;
}
"""


def in_c(folder: str) -> lipwire.Hook:
    source, made = Path(folder, "hook.c"), Path(folder, "hook.so")
    source.write_text(SOURCE)
    include = Path(__file__).parents[1] / "csrc/include"
    compiler = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-I"]
    subprocess.run([*compiler, include, source, "-o", made], check=True)
    library = ctypes.CDLL(str(made))
    address = ctypes.cast(library.draw, ctypes.c_void_p).value
    assert address
    return lipwire.Hook(address, name="C", keep=library)


@lipwire.hook
def in_numba(y, u, v, frame):  # type: ignore[no-untyped-def]
    y[0, 0] = 16 + frame.sequence % 200


def per_frame(performer: _core.Performer, frames: int) -> float:
    """Nanoseconds in the hook, the clock's two readings included, mean of `frames`."""
    before = performer.stats()
    for _ in range(frames):
        performer.tick()
        while performer.read_pcm():
            pass
        frame = performer.read_frame()
        assert frame is not None and frame.i420[0, 0] == 16 + frame.sequence % 200
        del frame
    after = performer.stats()
    assert after["draws"] - before["draws"] == frames and not after["draw_errors"]
    return (after["draw_ns"] - before["draw_ns"]) / frames


def run(results: Results, quick: bool) -> None:
    harness.one_core()
    rounds = 20 if quick else 200
    with tempfile.TemporaryDirectory() as folder:
        hooks = {"C": in_c(folder), "numba": in_numba}
        performers = {
            name: _core.Performer(None, (100, 1), size=(640, 360), draw=hook.bind()) for name, hook in hooks.items()
        }
        taken: dict[str, list[float]] = {name: [] for name in hooks}
        for _ in range(rounds):
            for name, performer in performers.items():
                taken[name].append(per_frame(performer, 50))
    for name, values in taken.items():
        results.add(f"{name} hook", min(values), "ns", n=rounds * 50, p50=float(np.median(values)))
    over = min(taken["numba"]) - min(taken["C"])
    results.add("numba's overhead", over, "ns", n=rounds * 50, goal=f"<= {GOAL}")


if __name__ == "__main__":
    harness.main(run, __doc__)
