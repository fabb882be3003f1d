"""The kit tells a sloppy provider from a right one: each fault turns exactly its rules red, and no others."""

from __future__ import annotations

import asyncio

import pytest

from lipwire.conformance import RULES, Report, Target, run
from lipwire.conformance.rule import select
from support.flawed_provider import KEY, OTHER_KEY, SECRET, SLOPPY, SUBTLE, FlawedProvider

RED: dict[str, str] = {
    "accept then close": "handshake.missing-token handshake.bad-token handshake.expired-token handshake.ended "
    "life.idle life.new-session.reaps",
    "500 on bad JSON": "http.start.bad-json http.stop.bad-request",
    "ignores interrupts": "messages.interrupt.hundred speech.interrupt.ends",
    "dies of unknown commands": "messages.bad.command feedback.error speech.after-bad",
    "loses late audio": "speech.voice-end.early",
    "no heartbeat_ack": "feedback.heartbeat-ack",
    "closes on bad base64": "messages.bad.base64 feedback.error speech.after-bad",
    "dies of binary frames": "messages.bad.binary",
    "dies of broken JSON": "messages.bad.json feedback.error speech.after-bad",
    "messages of 1 MiB": "messages.voice.long",
    "no OPUS": "messages.voice.opus",
    "page for an unknown path": "http.endpoint-not-found http.errors.shape",
    "names one missing field": "http.start.missing-fields",
    "closed list of keys": "http.start.unknown-keys",
    "no CORS": "http.cors",
    "stop wants the token": "http.stop.without-token http.stop.unknown",
    "stop knows no bearer": "http.stop.bearer",
    "stop asks nobody": "http.stop.no-credentials",
    "nothing is said": "feedback.error",
    "channel in use": "life.new-session life.new-session.reaps",
    "no idle timeout": "life.idle",
    "1 MiB of body": "http.start.large-body",
    "expired tokens": "handshake.expired-token",
    "alg none": "handshake.bad-token",
    "position of what was queued": "speech.interrupt.position",
    "init again restarts": "messages.init.again life.resume.speech",
    "Authorization has a case": "handshake.header-case http.stop.bearer",
    "x-api-key has a case": "http.start.header-case",
    "400 for unknown sessions": "http.stop.twice http.stop.unknown",
    "a drop ends the session": "life.resume life.resume.many life.resume.speech life.clean-close",
    "second voice_end kills": "messages.voice-end.doubled speech.voice-end.doubled",
    "second voice_end counts": "speech.voice-end.doubled",
    "any token stops": "http.stop.foreign-token",
    "PCM8 as PCM16": "messages.voice.pcm8",
    "one rate": "messages.voice.pcm16 messages.voice.pcm8",
    "acknowledges with its own clock": "feedback.heartbeat-ack",
    "interrupt drops one": "speech.interrupt.queued",
    "an utterance for each id": "speech.ids-differ",
    "heartbeats are no activity": "life.idle.active",
    "0 is at once": "life.idle.never",
    "two mouths": "life.second-connection.older",
    "the replaced one lives": "life.new-session.reaps",
    "stop leaves the connection": "life.stop life.idle life.new-session.reaps",
    "stop is a fault": "life.stop.code",
    "as fast as it comes": "speech.interrupt.ends speech.interrupt.position speech.voice-end.early life.resume.speech "
    "timing.pace",
    "too large is an error": "messages.too-large",
    "half a sample kills": "messages.bad.odd",
    "event_id is lost": "speech.event-id",
    "first init only": "feedback.init-ack",
    "other sessions' init": "messages.init.other-session",
    "body before key": "http.start.order",
    "ids that count": "http.start.identity",
    "ended is unknown": "handshake.ended-status",
    "one path": "handshake.path",
    "token wanted": "http.start.no-app-token",
    "another owner's channel": "http.channel-in-use",
    "grants what it has": "http.start.egress",
    "restarts after a drop": "life.resume.speech",
    "waits for everything": "speech.voice-end.missing",
    "starts late": "timing.start",
    "tells of interrupts late": "timing.interrupt",
    "acknowledges late": "timing.heartbeat",
}
"""Fault -> the rules that it breaks."""
OF_TIME = ("as fast as it comes", "starts late", "tells of interrupts late", "acknowledges late")
"""Faults that show in how long something takes: judged by a stricter clock than the others."""
AT_ONCE = 4
"""Providers that are judged side by side: they wait more than they compute."""
OTHERS = sorted(RED.keys() - OF_TIME)


async def judge(
    *faults: str,
    only: tuple[str, ...] = (),
    patience: float = 8.0,
    tolerance: float = 6.0,
    start_within: float = 20.0,
) -> Report:
    async with FlawedProvider(*faults) as provider:
        target = Target(
            http=provider.http,
            api_key=KEY,
            other_api_key=OTHER_KEY,
            token_secret=SECRET,
            patience=patience,
            tolerance=tolerance,
            start_within=start_within,
        )
        report = await run(target, select(RULES, only), parallel=8)
        assert report.of("error") == []
        if "stop leaves the connection" not in faults:
            assert provider.sessions == {}
        return report


def chosen(fault: str) -> tuple[str, ...]:
    """All rules but those of time, and but the slow ones where the fault is about none of them."""
    slow = any(rule.slow and rule.id in RED[fault].split() for rule in RULES)
    return tuple(rule.id for rule in RULES if rule.group != "timing" and (slow or not rule.slow))


def red(report: Report) -> set[str]:
    return {result.rule.id for result in report.of("fail")}


def test_every_fault_has_its_rules_and_every_rule_is_of_the_kit() -> None:
    assert RED.keys() == SLOPPY.keys() | SUBTLE.keys()
    assert not SLOPPY.keys() & SUBTLE.keys()
    assert {name for names in RED.values() for name in names.split()} <= {rule.id for rule in RULES}


async def test_without_a_fault_every_rule_is_kept() -> None:
    report = await judge()
    assert {result.rule.id: result.came for result in report.results if result.outcome != "pass"} == {}


@pytest.mark.slow
@pytest.mark.parametrize("faults", [OTHERS[at : at + AT_ONCE] for at in range(0, len(OTHERS), AT_ONCE)], ids=", ".join)
async def test_each_fault_breaks_its_rules_and_no_others(faults: list[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        jobs = {fault: tasks.create_task(judge(fault, only=chosen(fault))) for fault in faults}
    found = {fault: red(job.result()) for fault, job in jobs.items()}
    assert found == {fault: set(RED[fault].split()) for fault in faults}


@pytest.mark.parametrize("fault", OF_TIME[1:])
async def test_what_is_late_is_told(fault: str) -> None:
    """Each of these is three seconds late, whatever the machine does: it can only be later."""
    report = await judge(fault, only=tuple(RED[fault].split()), tolerance=2.5, start_within=2.5)
    assert red(report) == set(RED[fault].split())
    assert "ms" in report.results[0].came


async def test_speech_that_takes_no_time_is_told() -> None:
    report = await judge(OF_TIME[0], only=("speech", "life.resume", "timing.pace"))
    assert red(report) == set(RED[OF_TIME[0]].split())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sloppy", "subtle"])
async def test_all_faults_at_once(kind: str) -> None:
    """A provider with every fault: it is not the kit that breaks."""
    report = await judge(*(SLOPPY if kind == "sloppy" else SUBTLE), patience=1.0)
    assert not report.conformant
    assert report.count("fail", "must") >= 10
