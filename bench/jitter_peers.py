"""The jitter buffers that bench/jitter.py compares: one call through each of them, on a clock that is an argument."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness import ROOT
from jitter_traces import PACKET_MS, Trace

HERE = Path(__file__).resolve().parent / "peers"
PULL_NS = 10_000_000
PHASE_NS = 3_700_000
"""When the first pull is: the sender's clock and ours do not tick together."""
AFTER_MS = 600
"""How long is pulled after the last packet was sent."""
FIRST_SEQUENCE, FIRST_TIMESTAMP = 65500, (1 << 32) - 4000
"""As in peers/driver.h."""

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Call:
    """What is said, and when its packets come."""

    rate: int
    said: Samples
    arrivals: NDArray[np.int64]
    packets: NDArray[np.int64]
    sent: int
    """Packets, the lost ones too."""

    @property
    def pulls(self) -> int:
        return self.counted + AFTER_MS // 10

    @property
    def counted(self) -> int:
        """Pulls until the last packet has been sent: then the counters are read."""
        return self.sent * PACKET_MS // 10

    @property
    def lost(self) -> float:
        """Per cent."""
        return 100.0 * (1 - len(self.packets) / self.sent)


@dataclass(frozen=True)
class Played:
    heard: Samples
    ns: float
    """For putting and getting, a packet that arrived."""
    concealed: float
    """Per cent, as the buffer itself says."""


def call(trace: Trace, speech: Samples, rate: int, seed: int) -> Call:
    """`speech` as often as the trace says, with noise of one step, in whole packets."""
    span = rate * PACKET_MS // 1000
    said = np.tile(speech, trace.repeats)
    said = said[: len(said) // span * span]
    noise = np.random.default_rng(seed).integers(-1, 2, len(said))
    said = np.clip(said + noise, -32768, 32767).astype(np.int16)
    sent = len(said) // span
    return Call(rate, said, *trace.arrivals(sent, seed), sent)


# -------------------------------------------------------------------------------------------------------------- native


WEBRTC = ["-DWEBRTC_POSIX", "-DWEBRTC_LINUX", "-DNDEBUG", "-isystem", "/usr/include/tg_owt"]
WEBRTC_LIBRARIES = ["-ltg_owt", "-labsl_strings", "-labsl_bad_optional_access", "-labsl_throw_delegate", "-pthread"]


class Native:
    """Programs in peers/: built where a compiler and the library are there, else `missing` says what is not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}
        core = ROOT / "build" / "c" / "liblipwire_core.a"
        ours = ["-I", str(ROOT / "csrc/include"), str(HERE / "lipwire.c"), str(core), "-lm", "-lrt", "-pthread"]
        self._build("speexdsp", ["cc", "-std=gnu11", str(HERE / "speexdsp.c"), "-lspeexdsp"], "libspeexdsp-dev")
        self._build("lipwire", ["cc", *ours], "`make ctest`")
        self._build("neteq", ["c++", "-std=c++17", *WEBRTC, str(HERE / "neteq.cc"), *WEBRTC_LIBRARIES], "libtgowt-dev")

    def _build(self, name: str, command: list[str], needs: str) -> None:
        try:
            built = subprocess.run(
                [*command, "-O2", "-o", str(self.folder / name)], capture_output=True, text=True, check=False
            )
        except OSError as exc:
            self.missing[name] = str(exc)
            return
        if built.returncode:
            self.missing[name] = f"needs a compiler and {needs}"

    def play(self, name: str, call: Call, rounds: int = 1, buffers: int = 1) -> Played:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            trace, speech, out = (Path(folder, part) for part in ("trace", "speech", "out"))
            trace.write_bytes(np.stack([call.arrivals, call.packets], axis=1).astype("<i8").tobytes())
            speech.write_bytes(call.said.astype("<i2").tobytes())
            command = [self.folder / name, call.rate, trace, speech, out, call.pulls, call.counted]
            command += [PHASE_NS, rounds, buffers]
            ran = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
            heard = np.fromfile(out, "<i2")
        said = {key: float(value) for key, _, value in (line.partition(" ") for line in ran.stdout.splitlines())}
        return Played(heard, said["ns"], 100.0 * said["concealed"] / said["samples"])


# -------------------------------------------------------------------------------------------------------------- Python


class Buffer(Protocol):
    def put(self, now_ns: int, packet: Any) -> None: ...

    def get(self, now_ns: int) -> Samples: ...

    def concealed(self) -> int:
        """Samples until now."""
        ...


class Lipwire:
    """What a program has of it: `lipwire.JitterBuffer`."""

    def __init__(self, rate: int) -> None:
        from lipwire import JitterBuffer

        self._buffer = JitterBuffer("l16", sample_rate=rate)

    @staticmethod
    def packet(sequence: int, timestamp: int, payload: bytes) -> tuple[int, int, bytes]:
        return sequence, timestamp, payload

    def put(self, now_ns: int, packet: Any) -> None:
        self._buffer.put_payload(*packet, now_ns)

    def get(self, now_ns: int) -> Samples:
        return self._buffer.get(now_ns)

    def concealed(self) -> int:
        return int(self._buffer.stats()["concealedSamples"])


class Aiortc:
    """aiortc's buffer with the capacity and prefetch that its receiver gives it for sound, and behind it the queue that
    a track's `recv` reads: frames are handed on when a later packet comes, who plays them steadily waits where there is
    none, and nothing is ever made up for or caught up with."""

    def __init__(self, rate: int) -> None:
        from aiortc.jitterbuffer import JitterBuffer

        self._buffer = JitterBuffer(capacity=16, prefetch=4)
        self._queue: deque[int] = deque()
        self._waiting = np.zeros(0, np.int16)
        self._block = rate // 100
        self._silent = 0

    @staticmethod
    def packet(sequence: int, timestamp: int, payload: bytes) -> Any:
        from aiortc.rtp import RtpPacket

        packet: Any = RtpPacket(payload_type=96, sequence_number=sequence, timestamp=timestamp, payload=payload)
        packet._data = payload
        return packet

    def put(self, now_ns: int, packet: Any) -> None:
        _, frame = self._buffer.add(packet)
        if frame is not None:
            self._waiting = np.concatenate([self._waiting, np.frombuffer(frame.data, ">i2").astype(np.int16)])

    def get(self, now_ns: int) -> Samples:
        if len(self._waiting) < self._block:
            self._silent += self._block
            return np.zeros(self._block, np.int16)
        block, self._waiting = self._waiting[: self._block], self._waiting[self._block :]
        return block

    def concealed(self) -> int:
        return self._silent


PYTHON = {"lipwire": Lipwire, "aiortc": Aiortc}


def play(name: str, call: Call) -> Played:
    """The same as peers/driver.h, for the buffers that Python has."""
    kind: Any = PYTHON[name]
    buffer: Buffer = kind(call.rate)
    span = call.rate * PACKET_MS // 1000
    payload = call.said.astype(">i2").tobytes()
    packets = [
        kind.packet(
            (FIRST_SEQUENCE + number) % 65536,
            (FIRST_TIMESTAMP + number * span) % (1 << 32),
            payload[number * span * 2 : (number + 1) * span * 2],
        )
        for number in call.packets.tolist()
    ]
    arrivals = call.arrivals.tolist()
    heard = []
    at = taken = concealed = 0
    for now in range(PHASE_NS, PHASE_NS + call.pulls * PULL_NS, PULL_NS):
        began = time.perf_counter_ns()
        while at < len(arrivals) and arrivals[at] <= now:
            buffer.put(arrivals[at], packets[at])
            at += 1
        block = buffer.get(now)
        taken += time.perf_counter_ns() - began
        heard.append(np.array(block, np.int16))
        if len(heard) == call.counted:
            concealed = buffer.concealed()
    return Played(np.concatenate(heard), taken / at, 100.0 * concealed / (call.counted * call.rate // 100))
