"""Sessions per core on every way that sound and pictures take: `lipwire bench density`, which has more to say.

LIPWIRE_BEFORE names the working tree or the interpreter of another build, which is measured in the same run.
"""

from __future__ import annotations

import os
import sys

from harness import Results, main
from lipwire.cli.density.command import choose, order
from lipwire.cli.density.measure import Measurement, Settings, find_build
from lipwire.cli.density.report import Report

QUICK = "engine,ws"


def run(results: Results, quick: bool) -> None:
    settings = Settings(at=2, seconds=1.0, settle=0.5) if quick else Settings()
    builds = [find_build("now")]
    if place := os.environ.get("LIPWIRE_BEFORE"):
        builds.insert(0, find_build("before", place))
    report, failed = Report(settings, builds), False
    with Measurement(settings, lambda line: print(line, file=sys.stderr)) as measurement:
        for lane, build in order(choose(QUICK if quick else None), builds):
            result = measurement.run(lane, build)
            report.results.append(result)
            if result.lacks or result.failed:
                results.skip(f"{lane.name}, {build.name}", result.lacks or result.failed)
                failed |= bool(result.failed)
                continue
            window, goal = result.window, lane.goal.partition(",")[0]
            results.add(
                f"{lane.name}, {build.name}",
                result.value,
                lane.what,
                n=len(result.found.attempts) if result.found else 1,
                goal=goal if goal.startswith(">=") and build is builds[-1] and not quick else None,
                fails=result.found and result.found.fails,
                by_processor=result.by_processor,
                bytes_each=result.bytes_each,
                spent=window and window.spent,
                others=window and window.others,
                ratio=report.ratio(lane) if build is builds[-1] else None,
            )
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main(run, __doc__)
