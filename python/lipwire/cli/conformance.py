"""`lipwire conformance`: does an avatar provider do what its clients need?"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import InvalidArgument
from .options import CaFile, err, out, run
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..conformance import Report, Rule, Target

MISUSE = 2
"""Exit code: the provider cannot be reached, or an option is wrong."""


def conformance(
    http: Annotated[str | None, typer.Option("--http", help="Where /session/start is appended to.")] = None,
    ws: Annotated[str | None, typer.Option("--ws", help="Connect here instead of to websocket_address.")] = None,
    api_key: Annotated[str, typer.Option(envvar="LIPWIRE_API_KEY", help="What x-api-key has to say.")] = "",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="GROUP|RULE", help="Only these; may be given several times.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without the rules that wait for seconds.")] = False,
    list_rules: Annotated[bool, typer.Option("--list", help="Print the rules and end.")] = False,
    every: Annotated[bool, typer.Option("--every", help="Show the rules that passed, too.")] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML there.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON there.")] = None,
    other_api_key: Annotated[str | None, typer.Option(help="Another owner's key: for http.channel-in-use.")] = None,
    token_secret: Annotated[
        str | None, typer.Option(help="What signs session tokens (HS256): for handshake.expired-token.")
    ] = None,
    avatar_id: Annotated[str, typer.Option(help="For /session/start.")] = "aria",
    quality: Annotated[str, typer.Option(help="low, medium or high.")] = "low",
    video_encoding: Annotated[str, typer.Option(help="H264, VP8 or AV1.")] = "H264",
    app_id: Annotated[str, typer.Option(help="Agora app id.")] = "local",
    agora_token: Annotated[str, typer.Option(help="Agora token; it has to fit --channel and --uid.")] = "local",
    channel: Annotated[
        str | None, typer.Option(help="The one channel of all sessions (default: a random one for each).")
    ] = None,
    uid: Annotated[str, typer.Option(help="User id in the channel.")] = "1",
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Rules checked at once; 1 with --channel.")] = 4,
    patience: Annotated[float, typer.Option(min=0.5, max=120, help="Seconds to wait for what ought to come.")] = 5.0,
    settle: Annotated[
        float, typer.Option(min=0.05, max=30, help="Seconds to wait for a close that ought not to come.")
    ] = 0.5,
    tolerance: Annotated[
        float, typer.Option(min=0.05, max=60, help="Seconds by which times may differ, the network's included.")
    ] = 0.5,
    start_within: Annotated[
        float, typer.Option(min=0.05, max=60, help="Seconds from the first speech to playback_started.")
    ] = 1.0,
    message_limit: Annotated[
        int, typer.Option(min=1 << 16, max=64 << 20, help="Bytes; the largest message that the provider takes.")
    ] = 4 << 20,
    ca: CaFile = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not check certificates of https and wss.")] = False,
) -> None:
    """Check any avatar provider against the rules that its clients live by.

    It drives the provider as real clients do, and stops every session that it opened. Exit code: 0 all musts are kept,
    1 some are not, 2 it cannot be reached or an option is wrong.
    """
    from ..conformance import RULES, Target
    from ..conformance.rule import select
    from ..servers.tls import trust

    try:
        rules = select(RULES, only or (), quick=quick)
        if list_rules:
            from .conformance_report import show_rules

            show_rules(rules, out)
            return
        if http is None:
            raise InvalidArgument("which provider? --http URL, say --http http://127.0.0.1:8764")
        if ca is not None and insecure:
            raise InvalidArgument("--ca or --insecure: one of them")
        if not rules:
            raise InvalidArgument("no rule is left: --quick leaves out all that --only names")
        target = Target(
            http=http,
            ws=ws,
            api_key=api_key,
            other_api_key=other_api_key,
            token_secret=token_secret,
            avatar_id=avatar_id,
            quality=quality,
            video_encoding=video_encoding,
            app_id=app_id,
            agora_token=agora_token,
            channel=channel,
            uid=uid,
            message_limit=message_limit,
            patience=patience,
            settle=settle,
            tolerance=tolerance,
            start_within=start_within,
            verify=not insecure,
            tls=trust(ca),
        )
        for file in (junit, json):
            if file is not None and not file.absolute().parent.is_dir():
                raise InvalidArgument(f"{file}: there is no folder {file.absolute().parent}")
    except InvalidArgument as exc:
        _misuse(str(exc))
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run(_job(target, rules, parallel, every=every, junit=junit, json=json))


async def _job(
    target: Target, rules: list[Rule], parallel: int, *, every: bool, junit: Path | None, json: Path | None
) -> None:
    from ..conformance import Unreachable
    from ..conformance import run as judge
    from .conformance_report import show_report

    try:
        with ProgressBar(err, "{task.completed}/{task.total} rules") as bar:
            task = bar.add_task("checking", total=len(rules))
            report: Report = await judge(
                target,
                rules,
                parallel=parallel,
                progress=lambda result: bar.update(task, advance=1, description=result.rule.id),
            )
    except Unreachable as exc:
        _misuse(str(exc))
    show_report(report, out, every=every)
    for file, made in ((junit, report.junit), (json, report.json)):
        if file is not None:
            file.write_bytes(made())
    if not report.conformant:
        raise typer.Exit(1 if report.count("fail", "must") else MISUSE)


def _misuse(why: str) -> NoReturn:
    err.print("error:", style="bold red", end=" ")
    err.print(why, markup=False, soft_wrap=True)
    raise typer.Exit(MISUSE)
