"""Runs benchmarks, each in a process of its own, one after the other (--jobs: more at once). Results are JSON lines on
stdout (and in --out), the table is on stderr. What each figure means: bench/README.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent
BENCHES = (
    "render_offline",
    "compose",
    "preencode",
    "motion_bandwidth",
    "resampler",
    "visemes",
    "g7xx",
    "opus",
    "jitter",
    "ingest",
    "hooks",
    "share",
    "engine_cpu",
    "motion_cpu",
    "memory",
    "latency",
    "agora",
    "agents_brains",
    "agents_hearing",
    "agents_nods",
    "models",
    "agents_turns",
    "agents_offline",
    "agents",
    "agents_talk",
    "agents_join",
    "room",
    "whep",
    "doors",
    "front",
    "placement",
    "cluster_sim",
    "messages",
    "interrupts",
    "overload",
    "sync",
    "browser_sync",
    "motion_sync",
    "density",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"any of {', '.join(BENCHES)}; default: all",
    )
    parser.add_argument("--quick", action="store_true", help="all of it in some minutes; figures are rougher")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also append the JSON lines to FILE")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="so many at once: to see that they run, not to measure"
    )
    parser.add_argument("--check", action="store_true", help="exit code 1 if a goal is missed")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}")

    cores = len(os.sched_getaffinity(0))
    if os.getloadavg()[0] > cores / 2:
        print(
            f"note: load is {os.getloadavg()[0]:.1f} on {cores} cores; see 'Noisy machines' in bench/README.md",
            file=sys.stderr,
        )
    results: list[dict[str, Any]] = []
    failed = []
    out = options.out.open("a") if options.out else None
    writing = threading.Lock()

    def run(name: str) -> None:
        began = time.monotonic()
        good = bench(name, options.quick, out, results, writing)
        with writing:
            if not good:
                failed.append(name)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)

    pool = ThreadPoolExecutor(options.jobs)
    try:
        list(pool.map(run, options.names or BENCHES))
    except KeyboardInterrupt:
        failed.append("interrupted")
    finally:
        pool.shutdown(cancel_futures=True)
        if out is not None:
            out.close()
    table(results)
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    missed = any(line.get("ok") is False for line in results)
    return 1 if failed or (options.check and missed) else 0


def bench(name: str, quick: bool, out: TextIO | None, results: list[dict[str, Any]], writing: threading.Lock) -> bool:
    """Runs one; passes its lines on as they come."""
    command = [sys.executable, str(HERE / f"{name}.py"), *(["--quick"] if quick else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            with writing:
                sys.stdout.write(line)
                sys.stdout.flush()
                if out is not None:
                    out.write(line)
                    out.flush()
                results.append(json.loads(line))
    return process.returncode == 0


def table(results: list[dict[str, Any]]) -> None:
    rows = [("bench", "figure", "value", "unit", "goal", "", "n")]
    for r in results:
        verdict = {True: "ok", False: "MISSED", None: ""}[r.get("ok")]
        rows.append((r["bench"], r["name"], f"{r['value']:g}", r["unit"], r.get("goal", ""), verdict, str(r["n"])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(file=sys.stderr)
    for row in rows:
        cells = (
            cell.rjust(w) if i in (2, 6) else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip(), file=sys.stderr)
    print("\nn: measurements of a value; ok, MISSED: by its goal, where it has one (bench/README.md)", file=sys.stderr)
    if results:
        print(f"\n{results[0]['machine']}; {results[0]['build']}; {results[0]['date']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
