"""The outcome of a run, as JSON and as JUnit XML."""

from __future__ import annotations

import re
from typing import Literal
from xml.etree import ElementTree as ET

import msgspec
from msgspec import Struct

from .rule import GROUPS, Level, Rule

Outcome = Literal["pass", "fail", "skip", "error"]
"""`error`: the kit itself failed, so that nothing is known."""
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Result(Struct, frozen=True, kw_only=True):
    """What became of one rule."""

    rule: Rule
    outcome: Outcome
    came: str = ""
    """fail: what came instead. skip, error: why it was not judged. `printable`, as `wire` is."""
    seconds: float = 0.0
    wire: tuple[str, ...] = ()
    """What went over the wire, newest last, without secrets."""


class Report(Struct, frozen=True, kw_only=True):
    """Everything that a run found."""

    http: str
    version: str
    """Of the kit."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    events: tuple[str, ...]
    """Names of the events that the provider was seen to send, sorted."""
    results: tuple[Result, ...]

    def count(self, outcome: Outcome, level: Level | None = None, group: str | None = None) -> int:
        """How many rules, of this level and group if given."""
        return sum(
            each.outcome == outcome and level in (None, each.rule.level) and group in (None, each.rule.group)
            for each in self.results
        )

    def of(self, outcome: Outcome) -> list[Result]:
        """The results of this outcome, in order."""
        return [each for each in self.results if each.outcome == outcome]

    @property
    def conformant(self) -> bool:
        """No must failed, and every must could be judged or has a reason not to be."""
        return self.count("fail", "must") == 0 and not self.of("error")

    def json(self) -> bytes:
        """The whole report as a JSON document."""
        counts = {
            level: {outcome: self.count(outcome, level) for outcome in ("pass", "fail", "skip", "error")}
            for level in ("must", "should")
        }
        document = {
            "kit": f"lipwire {self.version}",
            "http": self.http,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "events": self.events,
            "conformant": self.conformant,
            "counts": counts,
            "rules": [_entry(result) for result in self.results],
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def junit(self) -> bytes:
        """JUnit XML as CI systems read it: a suite for each group, a case for each rule. A `should` that fails is a
        failure of type `should`."""
        suites = ET.Element(
            "testsuites", self._counts(None) | {"name": "lipwire conformance", "time": f"{self.seconds:.3f}"}
        )
        for group, about in GROUPS.items():
            results = [result for result in self.results if result.rule.group == group]
            if not results:
                continue
            took = sum(result.seconds for result in results)
            about_it = {"name": group, "time": f"{took:.3f}", "timestamp": self.started}
            suite = ET.SubElement(suites, "testsuite", about_it | self._counts(group))
            properties = ET.SubElement(suite, "properties")
            ET.SubElement(properties, "property", name="about", value=about)
            ET.SubElement(properties, "property", name="provider", value=self.http)
            for result in results:
                _case(suite, result)
        ET.indent(suites)
        document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
        return document + b"\n"

    def _counts(self, group: str | None) -> dict[str, str]:
        return {
            "tests": str(sum(group in (None, result.rule.group) for result in self.results)),
            "failures": str(self.count("fail", group=group)),
            "errors": str(self.count("error", group=group)),
            "skipped": str(self.count("skip", group=group)),
        }


def _entry(result: Result) -> dict[str, object]:
    rule = result.rule
    entry: dict[str, object] = {
        "id": rule.id,
        "level": rule.level,
        "title": rule.title,
        "source": rule.source,
        "outcome": result.outcome,
        "seconds": round(result.seconds, 3),
    }
    if result.outcome in ("skip", "error"):
        entry["reason"] = result.came
    if result.outcome == "fail":
        told = {name: getattr(rule, name) for name in ("does", "expects", "why", "fix")}
        entry |= {"came": result.came, **told, "wire": result.wire}
    return entry


def _case(suite: ET.Element, result: Result) -> None:
    rule = result.rule
    case = ET.SubElement(
        suite, "testcase", classname=f"conformance.{rule.group}", name=rule.id, time=f"{result.seconds:.3f}"
    )
    if result.outcome == "skip":
        ET.SubElement(case, "skipped", message=result.came)
    if result.outcome == "error":
        ET.SubElement(case, "error", message=result.came)
    if result.outcome == "fail":
        failure = ET.SubElement(case, "failure", type=rule.level, message=f"{rule.title}: {result.came}")
        failure.text = (
            f"the client: {rule.does}\nexpected:   {rule.expects}\ncame:       {result.came}\n"
            f"why:        {rule.why}\nhow to fix: {rule.fix}\n"
        )
        ET.SubElement(case, "system-out").text = "\n".join(result.wire)


def printable(text: str) -> str:
    """`text`, which can hold anything that a provider sent, for terminals and files: characters that XML 1.0 (section
    2.2) and UTF-8 cannot hold are replaced, control characters among them."""
    return _NOT_TEXT.sub("\ufffd", text)
