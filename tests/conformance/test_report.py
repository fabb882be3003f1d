"""The report as JSON and as JUnit XML, and the log that goes into them."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from lipwire.conformance import RULES, Report, Result
from lipwire.conformance.report import Outcome, printable
from lipwire.conformance.wirelog import LINES, WireLog, shown

BY_ID = {rule.id: rule for rule in RULES}


def result(id: str, outcome: Outcome, came: str = "", wire: tuple[str, ...] = ()) -> Result:
    return Result(rule=BY_ID[id], outcome=outcome, came=printable(came), seconds=0.25, wire=wire)


@pytest.fixture
def report() -> Report:
    results = (
        result("http.start.ok", "pass"),
        result(
            "http.start.bad-json",
            "fail",
            "500, text/html: <h1>\x00 & \ud800\x1b[31m</h1>",
            ("  0.000 > {", "  0.001 < 500"),
        ),
        result("http.cors", "fail", "404"),
        result("life.resume", "skip", "no <reason>"),
        result("life.stop", "error", "a fault of the kit's, not the provider's: KeyError('x')"),
    )
    return Report(
        http="http://a",
        version="1.2.3",
        started="2026-01-02T03:04:05Z",
        seconds=2.0,
        events=("error",),
        results=results,
    )


def test_json(report: Report) -> None:
    document = json.loads(report.json())
    assert document["kit"] == "lipwire 1.2.3" and document["conformant"] is False
    assert document["counts"] == {
        "must": {"pass": 1, "fail": 1, "skip": 1, "error": 1},
        "should": {"pass": 0, "fail": 1, "skip": 0, "error": 0},
    }
    entries = {entry["id"]: entry for entry in document["rules"]}
    failed = entries["http.start.bad-json"]
    rule = BY_ID["http.start.bad-json"]
    assert {name: failed[name] for name in ("level", "expects", "does", "why", "fix")} == {
        name: getattr(rule, name) for name in ("level", "expects", "does", "why", "fix")
    }
    assert failed["wire"] == ["  0.000 > {", "  0.001 < 500"] and failed["came"].startswith("500, text/html")
    assert entries["life.resume"]["reason"] == "no <reason>" and "came" not in entries["life.resume"]


def test_junit_is_what_ci_systems_read(report: Report) -> None:
    """The shape of the common schema: testsuites > testsuite > properties, testcase > skipped, failure, error,
    system-out; counts that agree with what is there."""
    root = ET.fromstring(report.junit())
    check_junit(root)
    assert root.tag == "testsuites"
    assert {suite.get("name"): suite.get("failures") for suite in root} == {"http": "2", "life": "0"}
    failure = root.find("./testsuite/testcase[@name='http.start.bad-json']/failure")
    assert failure is not None and failure.get("type") == "must"
    assert "how to fix: " in (failure.text or "") and "\ufffd & \ufffd" in (failure.text or "")
    out = root.find("./testsuite/testcase[@name='http.start.bad-json']/system-out")
    assert out is not None and out.text == "  0.000 > {\n  0.001 < 500"


def check_junit(root: ET.Element) -> None:
    allowed = {"testsuites": {"testsuite"}, "testsuite": {"properties", "testcase"}}
    assert {child.tag for child in root} <= allowed["testsuites"]
    sums = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in root:
        assert {child.tag for child in suite} <= allowed["testsuite"]
        assert suite.get("name") and suite.get("timestamp") and float(suite.get("time", "")) >= 0
        cases = suite.findall("testcase")
        found = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        assert {name: int(suite.get(name, "")) for name in found} == found
        for case in cases:
            assert case.get("name") and case.get("classname") and float(case.get("time", "")) >= 0
            assert {child.tag for child in case} <= {"skipped", "failure", "error", "system-out"}
        for name, number in found.items():
            sums[name] += number
    assert {name: int(root.get(name, "")) for name in sums} == sums


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('{"session_token": "eyJ", "session_id": "a"}', '{"session_token": "***", "session_id": "a"}'),
        (b'{"agora_settings": {"token": "007"}}', '{"agora_settings": {"token": "***"}}'),
        ({"agora_settings": {"token": ""}}, '{"agora_settings": {"token": ""}}'),
        ({"command": "voice", "audio": "A" * 100}, '{"command": "voice", "audio": "AAAAAAAAAAAA... (100 characters)"}'),
        ({"event_id": "00620d01-306d-4448-b04e-ac1bff3353b3"}, '{"event_id": "00620d01..."}'),
        ("<h1>", "'<h1>'"),
        (b"\xff{", "'\ufffd{'"),
    ],
)
def test_what_is_shown_has_no_secrets(value: Any, text: str) -> None:
    assert shown(value) == text


def test_the_log_is_bounded_and_keeps_the_newest() -> None:
    log = WireLog()
    for number in range(2 * LINES):
        log.frame(">", {"number": number})
    for _ in range(50):
        log.frame(">", {"command": "voice", "audio": "A" * 5000})
    log.frame("<", b"\x00" * 640)
    log.frame(">", "x" * (2 << 20))
    log.add("-", "y" * 1000)
    lines = log.lines()
    assert len(lines) == LINES and max(map(len, lines)) < 300
    assert lines[-4].endswith('"AAAAAAAAAAAA... (5000 characters)"} and 49 more voice messages')
    assert lines[-3].endswith("< 640 bytes, binary") and "2097152 bytes" in lines[-2] and lines[-1].endswith("...")
