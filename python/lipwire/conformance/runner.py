"""Runs rules against a provider, and leaves nothing behind there."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpx

from .client import Client, Unreachable
from .report import Outcome, Report, Result, printable
from .rule import NEEDS, Need, Rule
from .target import Target
from .verdict import Busy, Failed, Skipped

logger = logging.getLogger("lipwire.conformance")

PROBE = 1.0
"""Seconds in which a provider that sends events at all sends a first one."""
TRIES = 3
"""How often a rule is tried that this machine was too slow for."""
RULE_LIMIT = 90.0
"""Seconds beyond the target's patience that a rule may take."""
OUR_EVENTS = {
    "init_ack",
    "heartbeat_ack",
    "playback_started",
    "playback_finished",
    "underrun",
    "rate_mismatch",
    "error",
}


async def run(
    target: Target,
    rules: Sequence[Rule],
    *,
    parallel: int = 4,
    progress: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Judges a provider. Every session that was opened is stopped, also where this is cancelled.

    Args:
        parallel: rules that run at once, each with sessions and channels of its own; 1 where the target names a
            channel. Rules that measure time run alone, at the end.
        progress: called as each rule is over.

    Raises:
        Unreachable: there is no provider, or it refuses the key.
    """
    began, started = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    places = asyncio.Semaphore(1 if target.channel is not None else parallel)
    async with httpx.AsyncClient(timeout=max(15.0, target.patience), trust_env=False, verify=target.context()) as http:
        abilities = await probe(Client(target, http))

        async def judge(rule: Rule) -> Result:
            async with places:
                result = await check(rule, Client(target, http, abilities))
            progress(result)
            return result

        async with asyncio.TaskGroup() as group:
            together = [group.create_task(judge(rule)) for rule in rules if not rule.alone]
        results = [task.result() for task in together] + [await judge(rule) for rule in rules if rule.alone]
    by_id = {result.rule.id: result for result in results}
    return Report(
        http=target.http,
        version=_version(),
        started=started,
        seconds=time.monotonic() - began,
        events=tuple(sorted(abilities)),
        results=tuple(by_id[rule.id] for rule in rules),
    )


async def probe(client: Client) -> frozenset[str]:
    """Which of our events the provider sends: a session that says one word and one thing wrong.

    Raises:
        Unreachable: there is no provider, or it refuses the key.
    """
    try:
        reply = await client.try_start()
        if reply.status in (401, 403):
            raise Unreachable(f"{client.target.http} refuses the API key: {reply}")
        line = await client.connect(await client.start())
        await line.init()
        await line.heartbeat()
        await line.speak(0.3)
        await line.wait("playback_started", within=PROBE)
        within = client.target.patience if line.events else 0.0  # who sends some events is given time for the others
        for command in ("heartbeat_ack", "playback_started", "playback_finished"):
            await line.wait(command, within=within)
        await line.send({"command": "conformance_probe"})
        await line.wait("error", within=PROBE / 2)
        return frozenset(str(event.get("command")) for _, event in line.events) & OUR_EVENTS
    except Failed as exc:
        if isinstance(exc.__cause__, httpx.TransportError | OSError):
            raise Unreachable(str(exc)) from exc
        return frozenset()
    finally:
        await client.close()


async def check(rule: Rule, client: Client) -> Result:
    """One rule, by a client of its own, which is closed then."""
    began = time.monotonic()
    came = ""
    outcome: Outcome = "pass"
    missing = [need for need in rule.needs if not _has(client, need)]
    try:
        if missing:
            raise Skipped(NEEDS[missing[0]])
        async with asyncio.timeout(RULE_LIMIT + client.target.patience):
            for left in reversed(range(TRIES)):
                try:
                    await rule.check(client)
                    break
                except Busy:
                    if not left:
                        raise
    except Failed as exc:
        outcome, came = "fail", str(exc)
    except Skipped as exc:
        outcome, came = "skip", str(exc)
    except TimeoutError:
        outcome, came = "fail", "it did not come to an end"
    except Exception as exc:  # the edge of a rule: a fault of the kit's must not take the other rules along
        logger.exception("rule %s", rule.id)
        outcome, came = "error", f"a fault of the kit's, not the provider's: {exc!r}"
    finally:
        seconds, wire = time.monotonic() - began, tuple(client.log.lines())
        await client.close()
    told = tuple(printable(line) for line in wire)
    return Result(rule=rule, outcome=outcome, came=printable(came), seconds=seconds, wire=told)


def _has(client: Client, need: Need) -> bool:
    return bool(client.abilities) if need == "events" else client.feedback


def _version() -> str:
    try:
        return importlib.metadata.version("lipwire")
    except importlib.metadata.PackageNotFoundError:
        return "0"


__all__ = ["Unreachable", "check", "probe", "run"]
