"""How `lipwire conformance` shows what it found: failures whole, everything else in a line a group."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..conformance import Report, Result, Rule
from ..conformance.rule import GROUPS

WIRE_LINES = 12
"""Newest lines of what went over the wire, under a failure."""
STYLE = {"must": "bold red", "should": "yellow"}
SIGN = {"pass": ("ok", "green"), "fail": ("FAIL", "bold red"), "skip": ("skip", "dim"), "error": ("ERROR", "bold red")}


def show_report(report: Report, out: Console, *, every: bool = False) -> None:
    """Prints it. `every`: a line for each rule that passed, too."""
    out.print(f"\n[bold]{escape(report.http)}[/bold], checked by Lipwire {report.version} in {report.seconds:.0f} s")
    events = ", ".join(report.events) or "none (so that rules about them are skipped: they are no must)"
    out.print(f"events it sends: {events}\n", style="dim")
    for group, about in GROUPS.items():
        _group(report, group, about, out, every)
    _skipped(report, out)
    _verdict(report, out)


def _group(report: Report, group: str, about: str, out: Console, every: bool) -> None:
    results = [result for result in report.results if result.rule.group == group]
    if not results:
        return
    counts = [f"[green]{report.count('pass', group=group)} ok[/green]"]
    for outcome, word in (("fail", "failed"), ("error", "not judged"), ("skip", "skipped")):
        if number := sum(result.outcome == outcome for result in results):
            counts.append(f"[{SIGN[outcome][1]}]{number} {word}[/]")
    out.print(f"[bold]{group:<10}[/bold] {', '.join(counts)}  [dim]{about}[/dim]")
    for result in results:
        if result.outcome in ("fail", "error"):
            out.print(Padding(_failure(result), (1, 0, 1, 2)))
        elif every:
            sign, style = SIGN[result.outcome]
            out.print(f"  [{style}]{sign:<5}[/] {result.rule.id:<28} {escape(result.rule.title)}", soft_wrap=True)


def _failure(result: Result) -> Table:
    """One failure: what broke, and below it what a reader asks, in the order in which he asks it."""
    rule = result.rule
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    sign = SIGN[result.outcome][0]
    title = Text.assemble((rule.title, "bold"), "  ", (rule.id, "cyan"))
    table.add_row(Text(f"{sign} {rule.level}" if result.outcome == "fail" else sign, style=STYLE[rule.level]), title)
    if result.outcome == "error":
        table.add_row("why", Text(result.came))
        return table
    table.add_row("the client", Text(rule.does))
    table.add_row("expected", Text(rule.expects, style="green"))
    table.add_row("came", Text(result.came, style=STYLE[rule.level]))
    table.add_row("it matters", Text(rule.why))
    table.add_row("how to fix", Text(rule.fix))
    table.add_row("source", Text(rule.source, style="dim"))
    for number, line in enumerate(result.wire[-WIRE_LINES:]):
        table.add_row("" if number else "on the wire", Text(line, style="dim"))
    return table


def _skipped(report: Report, out: Console) -> None:
    reasons: dict[str, list[str]] = {}
    for result in report.of("skip"):
        reasons.setdefault(result.came, []).append(result.rule.id)
    if reasons:
        out.print("\n[bold]skipped[/bold]")
    for reason, names in reasons.items():
        out.print(f"  [dim]{', '.join(names)}[/dim]\n      {escape(reason)}")


def _verdict(report: Report, out: Console) -> None:
    out.print()
    for level in ("must", "should"):
        failed = report.count("fail", level)
        told = f"[{STYLE[level]}]{failed} failed[/]" if failed else "0 failed"
        out.print(
            f"{level:<7} {report.count('pass', level)} ok, {told}, {report.count('skip', level)} skipped"
            + (f", {errors} not judged" if (errors := report.count("error", level)) else "")
        )
    musts = report.count("fail", "must")
    if musts:
        names = ", ".join(result.rule.id for result in report.of("fail") if result.rule.level == "must")
        out.print(f"[bold red]NOT CONFORMANT[/bold red]: {names}")
        out.print("[dim]one of them again: the same command with --only RULE[/dim]")
    elif report.of("error"):
        out.print("[bold red]NOT JUDGED[/bold red]: the kit itself failed; please tell Lipwire's authors")
    else:
        out.print("[bold green]CONFORMANT[/bold green]: every must that was checked is kept")


def show_rules(rules: list[Rule], out: Console) -> None:
    """Prints a line for each rule, by group."""
    for group, about in GROUPS.items():
        of_group = [rule for rule in rules if rule.group == group]
        if of_group:
            out.print(f"[bold]{group}[/bold]  [dim]{about}[/dim]")
        for rule in of_group:
            slow = "  [dim](slow)[/dim]" if rule.slow else ""
            out.print(f"  {rule.level:<6} {rule.id:<28} {escape(rule.title)}{slow}", soft_wrap=True)
