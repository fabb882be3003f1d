"""What was measured, for people and for programs."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from .lanes import BY_NAME, Lane
from .measure import Build, Result, Settings

MIB = 1 << 20


def machine() -> str:
    """The processor and the system."""
    names = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{name} x{len(names)}, {platform.system()} {platform.release()}"


def load() -> float:
    """Of the last minute."""
    return float((_read("/proc/loadavg") or ["0"])[0].split()[0])


def _read(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


class Report:
    """The results, in the order in which they came.

    Args:
        builds: what is measured, the one before first where there is one.
    """

    def __init__(self, settings: Settings, builds: list[Build]) -> None:
        self.settings, self.builds = settings, builds
        self.results: list[Result] = []
        self.preencoded: dict[str, str] = {}
        """What builds said of their tables of pictures, by their names."""

    def of(self, lane: Lane, build: Build) -> Result | None:
        """What a lane came to."""
        return next((r for r in self.results if (r.lane, r.build) == (lane.name, build.name)), None)

    def rival(self, lane: Lane) -> Result | None:
        """What the build before is compared by: the lane, or what it has in its place."""
        if len(self.builds) < 2:
            return None
        before = self.of(lane, self.builds[0])
        if before is not None and before.lacks and lane.rival:
            before = self.of(BY_NAME[lane.rival], self.builds[0])
        return before

    def ratio(self, lane: Lane) -> float | None:
        """This build over the one before."""
        now, before = self.of(lane, self.builds[-1]), self.rival(lane)
        return None if now is None or before is None or not (now.value and before.value) else now.value / before.value

    def lanes(self) -> list[Lane]:
        """Those that were measured."""
        return [BY_NAME[name] for name in dict.fromkeys(result.lane for result in self.results)]

    # ---------------------------------------------------------------------------------------------------- for people

    def print(self, out: Console) -> None:
        """Tables."""
        settings = self.settings
        out.print(
            f"\n{settings.avatar}, {settings.size} at {settings.fps} pictures a second, everyone talking; one core"
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("path")
        for build in self.builds:
            table.add_column(build.name, justify="right")
        if len(self.builds) > 1:
            table.add_column("ratio", justify="right")
        table.add_column("goal")
        for lane in self.lanes():
            cells = [f"{lane.name}: {lane.title}", *(self._figure(lane, build) for build in self.builds)]
            if len(self.builds) > 1:
                ratio = self.ratio(lane)
                cells.append("" if ratio is None else f"{ratio:.1f}x")
            table.add_row(*cells, lane.goal)
        out.print(table)
        for result in self.results:
            self._explain(result, out)
        for name, said in self.preencoded.items():
            out.print(f"pre-encoded ({name}): {said}")
        for build in self.builds:
            out.print(f"{build.name}: lipwire {build.features['version']}, core {build.features['core']}", style="dim")
        out.print(f"{machine()}; load {load():.1f}; {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}", style="dim")

    def _figure(self, lane: Lane, build: Build) -> str:
        result = self.of(lane, build)
        if result is None:
            return ""
        if result.lacks or result.failed:
            return "failed" if result.failed else "-"
        if lane.what == "times real time":
            return f"{result.value:.1f}x"
        if self.settings.at is not None:
            return "in time" if result.value else "not in time"
        unproven = result.found is not None and (result.found.unproven or result.found.fails is None)
        return f"{'>= ' if unproven else ''}{result.value:.0f}"

    def _explain(self, result: Result, out: Console) -> None:
        """Where the time goes, what was late first, and what it takes of memory."""
        name = f"{result.lane} ({result.build})"
        if result.lacks:
            out.print(f"{name}: this build lacks it: {result.lacks}")
            return
        if result.failed:
            out.print(f"{name}: failed: {result.failed}", markup=False)
            return
        if result.film:
            out.print(
                f"{name}: {result.film['duration']:.1f} s of film in {result.film['cpu']:.2f} s of processor time"
            )
            return
        parts = []
        if (window := result.window) is not None:
            where = sorted(window.spent.items(), key=lambda item: -item[1])
            spent = ", ".join(f"{purpose} {100 * share:.0f}" for purpose, share in where if share >= 0.005)
            parts.append(f"at {window.count}: {100 * window.cores:.0f} % of the core ({spent})")
            if window.done < 0.995:
                parts.append(f"{100 * window.done:.0f} % of the pictures came")
            if result.by_processor is not None:
                parts.append(f"by processor time {result.by_processor:.0f} a core")
            if bits := window.bits_each(self.settings.seconds):
                parts.append(f"{bits / 1000:.0f} kbit/s each")
            if window.served.get("units") and (drawn := window.served.get("drawn", 0)):
                parts.append(f"{drawn} pictures were not in the table")
            if result.bytes_each is not None:
                parts.append(f"{window.resident / MIB:.0f} MiB, {result.bytes_each / MIB:.2f} each")
            if window.start_p50_ms is not None and window.start_p99_ms is not None:
                parts.append(f"heard after {window.start_p50_ms:.0f} ms (p99 {window.start_p99_ms:.0f})")
            if window.mouth_p50_ms is not None:
                parts.append(f"mouth after {window.mouth_p50_ms:.0f} ms")
            parts.append(f"latest {window.worst_ms:.0f} ms")
            parts.append(f"others on the core {100 * window.others:.0f} %")
            if window.generator_cores:
                share = 100 * window.generator_cores
                parts.append(f"generator {share:.0f} % of its core, late {window.generator_late_ms:.1f} ms")
        found = result.found
        if found is not None and found.fails is not None:
            last = next(tried for tried in reversed(found.attempts) if tried.count == found.fails and tried.faults)
            parts.append(f"at {found.fails}: {', '.join(f'{count} {what}' for what, count in last.faults.items())}")
        elif found is not None and found.attempts and found.attempts[-1].faults and not found.unproven:
            faults = found.attempts[-1].faults
            parts.append(f"not in time: {', '.join(f'{count} {what}' for what, count in faults.items())}")
        if found is not None and found.unproven:
            parts.append(f"not judged further: {found.unproven}")
        if result.codecs:
            parts.append(f"pictures as {', '.join(result.codecs)}")
        if result.decoded:
            parts.append(f"one viewer's packets, decoded: {result.decoded}")
        out.print(f"{name}: {'; '.join(parts)}")

    # -------------------------------------------------------------------------------------------------- for programs

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        lanes = []
        for lane in self.lanes():
            found = [result for result in self.results if result.lane == lane.name]
            entries = [
                msgspec.to_builtins(result) | {"by_processor": result.by_processor, "bytes_each": result.bytes_each}
                for result in found
            ]
            lanes.append(
                {"name": lane.name, "title": lane.title, "counts": lane.what, "goal": lane.goal}
                | {"ratio": self.ratio(lane), "results": entries}
            )
        return {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(),
            "load": load(),
            "settings": msgspec.to_builtins(self.settings),
            "builds": [{"name": build.name, **build.features} for build in self.builds],
            "preencoded": self.preencoded,
            "lanes": lanes,
        }
