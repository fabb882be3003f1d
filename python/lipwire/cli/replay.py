"""`lipwire replay`: what `lipwire serve --record` has written, shown, played again, or sent to a provider again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ..app.config import LOOPBACK, Config
from ..errors import InvalidArgument
from .options import CaFile, out, run


def replay(
    recording: Annotated[Path, typer.Argument(help="A file that `lipwire serve --record` has written.")],
    show: Annotated[bool, typer.Option("--show", help="Print what happened, line by line, and play nothing.")] = False,
    video: Annotated[
        Path | None, typer.Option("--out", help="Write sound and pictures into this film, say an .mp4.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="In real time, on the viewer page of this command.")] = False,
    viewer_port: Annotated[int | None, typer.Option(help="Of --live (default: 8080); 0 = any free one.")] = None,
    avatar: Annotated[
        str | None, typer.Option(help="Another face, or the path of the recorded one if it is not built in.")
    ] = None,
    http: Annotated[
        str | None, typer.Option(help="Send it to this provider's HTTP side instead, as its client did.")
    ] = None,
    ws: Annotated[str | None, typer.Option(help="That provider's WebSocket, if not where it says itself.")] = None,
    api_key: Annotated[str, typer.Option(envvar="LIPWIRE_API_KEY", help="That provider's API key.")] = "",
    channel: Annotated[str | None, typer.Option(help="Channel there (default: as recorded).")] = None,
    token: Annotated[str | None, typer.Option(help="Agora token there: none is recorded.")] = None,
    ca: CaFile = None,
    fast: Annotated[bool, typer.Option("--fast", help="With --http: as fast as possible.")] = False,
) -> None:
    """Show a recorded session, play it again, or send it to a provider again.

    Played again, the same samples and the same pictures come out; it says whether they did, and fails if not."""
    if sum([show, video is not None, live, http is not None]) > 1:
        raise InvalidArgument("choose one of --show, --out, --live and --http")
    if http is None and (ws or channel or token or ca or fast):
        raise InvalidArgument("--ws, --channel, --token, --ca and --fast are for --http")
    if viewer_port is not None and not live:
        raise InvalidArgument("--viewer-port is for --live")
    if avatar is not None and (show or http is not None):
        raise InvalidArgument("--avatar is for a recording that is played: not with --show or --http")
    if show:
        from ..capture.timeline import timeline

        for line in timeline(recording):
            print(line)  # not for rich to wrap
    elif http is not None:
        if not api_key:
            raise InvalidArgument("the provider wants an API key: --api-key or LIPWIRE_API_KEY")
        run(_send(recording, http, ws, api_key, channel, token, ca, fast))
    elif live:
        run(_watch(recording, 8080 if viewer_port is None else viewer_port, avatar))
    else:
        run(_play(recording, video, avatar))


async def _send(
    recording: Path,
    url: str,
    ws: str | None,
    api_key: str,
    channel: str | None,
    token: str | None,
    ca: Path | None,
    fast: bool,
) -> None:
    import msgspec

    from ..capture.resend import Resend
    from ..servers.tls import trust

    resend = Resend(
        recording,
        url,
        api_key,
        ws_url=ws,
        pace=None if fast else 1.0,
        on_event=lambda text: print(text, flush=True),
        tls=trust(ca),
    )
    changes = {name: value for name, value in (("channel", channel), ("token", token)) if value is not None}
    resend.agora = msgspec.structs.replace(resend.agora, **changes)
    done = await resend.run()
    out.print(f"{done.messages} messages sent, {done.events} events came back")
    if done.left_out or done.closed:
        out.print(f"{done.left_out} are not in the recording, {done.closed} found their connection closed")


async def _play(recording: Path, video: Path | None, avatar: str | None) -> None:
    from ..capture.replay import Replay
    from ..publish.file import File

    publisher = None if video is None else File(video, backlog=1 << 30)
    outcome = await Replay(recording, publisher, avatar=avatar).run()
    for line in outcome.lines():
        out.print(line, soft_wrap=True, markup=False)
    if not outcome.exact:
        raise typer.Exit(1)


async def _watch(recording: Path, viewer_port: int, avatar: str | None) -> None:
    """On the viewer page: begins when somebody watches."""
    from ..app.service import Service
    from ..capture.replay import Replay
    from ..publish.webrtc import WebRTC
    from ..servers.viewer import Watched

    config = Config(host=LOOPBACK, http_port=0, ws_port=0, viewer_port=viewer_port, ice_host=LOOPBACK)
    async with Service(config) as service:
        viewers = WebRTC(ice_host=config.ice_host)
        played = Replay(recording, viewers, avatar=avatar, pace=1.0)

        async def somebody() -> None:
            service.watched[played.session.id] = Watched(played.session, viewers)
            while not viewers.viewers:
                await asyncio.sleep(0.1)

        out.print(f"viewer     {service.viewer_url}  (it begins when you watch; Ctrl-C ends it)")
        outcome = await played.run(begin=somebody)
        for line in outcome.lines():
            out.print(line, soft_wrap=True, markup=False)
        del service.watched[played.session.id]
