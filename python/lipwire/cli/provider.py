"""`lipwire serve`, `demo` and `send`: the avatar provider, and a client for any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..app.config import Config
from ..avatar import DEFAULT
from ..errors import InvalidArgument
from ..rtp.ports import PORTS
from .options import ApiKey, CaFile, FindLlm, ServerOptions, err, out, run, run_server, settle, with_server_options
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..app.front.server import FrontService
    from ..app.service import Service


@with_server_options
def serve(
    server: ServerOptions,
    viewer: Annotated[bool | None, typer.Option(help="Serve the viewer page.")] = None,
    public_ws_url: Annotated[
        str | None, typer.Option(help="What websocket_address says, for clients that come through a proxy.")
    ] = None,
    public_viewer_url: Annotated[
        str | None, typer.Option(help="Where browsers reach the pages, for the links that are printed.")
    ] = None,
    api_key: ApiKey = None,
    api_keys_file: Annotated[
        str | None, typer.Option(help="API keys of several owners (lipwire key new makes them).")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            help="Processes that run sessions, behind one for HTTP; auto = one for each processor (default: 1)."
        ),
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(help="NATS servers by which several machines are one: nats://host:4222,... (default: none)."),
    ] = None,
    node: Annotated[str | None, typer.Option(help="This machine's name among them (default: made up).")] = None,
    cluster: Annotated[str | None, typer.Option(help="The name that all of them share (default: lipwire).")] = None,
    advertise_url: Annotated[
        str | None, typer.Option(help="Where the other machines reach its HTTP side (default: found out).")
    ] = None,
    advertise_viewer_url: Annotated[
        str | None, typer.Option(help="Where they reach its pages (default: found out).")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(help="Of each worker; more are refused with 429 (default: 50).")
    ] = None,
    avatar: Annotated[
        str | None, typer.Option(help=f"Name or path, shown for unknown avatar ids (default: {DEFAULT}).")
    ] = None,
    rtp: Annotated[
        bool | None, typer.Option(help="Take speech by RTP, and send by it, for sessions started with an SDP.")
    ] = None,
    rtp_ports: Annotated[str | None, typer.Option(help=f"UDP ports for that, as a range (default: {PORTS}).")] = None,
    agora: Annotated[
        str | None, typer.Option(help="Publish into Agora channels: on, off, or auto = where the SDK is installed.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(help="Record every session into this folder, for `lipwire replay` (default: none is).")
    ] = None,
    films: Annotated[
        str | None, typer.Option(help="Folder for films of sessions and agents that ask for one (default: none may).")
    ] = None,
) -> None:
    """Run the avatar provider: HTTP, WebSocket and the viewer page."""
    config = server.load(
        log_level="info",
        viewer=viewer,
        public_ws_url=public_ws_url,
        public_viewer_url=public_viewer_url,
        api_key=api_key,
        api_keys_file=api_keys_file,
        workers=workers,
        nats=nats,
        node=node,
        cluster=cluster,
        advertise_url=advertise_url,
        advertise_viewer_url=advertise_viewer_url,
        max_sessions=max_sessions,
        avatar=avatar,
        rtp=rtp,
        rtp_ports=rtp_ports,
        agora=agora,
        record=record,
        films=films,
    )
    run_server(lambda asked: _serve(config, asked))


async def _serve(config: Config, asked: asyncio.Event) -> None:
    from ..app.lifetime import run_service

    if config.fronted:
        from ..app.front.server import FrontService

        front = FrontService(config, preencodes=True)
        await run_service(front, lambda: _told(front, config, front.about), asked)
    else:
        from ..app.service import Service

        service = Service(config, preencodes=True)
        await run_service(service, lambda: _told(service, config), asked)


async def _told(service: Service | FrontService, config: Config, about: str = "") -> None:
    """What is there, printed once it is; then nothing, for ever. `about`: what it is among others."""
    from ..app.links import link_note, shown_link
    from ..servers.rooms import PageConfig

    settle()
    out.print(f"HTTP       {service.http_url}  (docs at {service.http_url}/schema)")
    for url in service.ws_urls:
        out.print(f"WebSocket  {url}")
    if config.viewer:
        out.print(f"viewer     {shown_link(service, out)}", markup=False, soft_wrap=True)
        out.print(f"agents     {shown_link(service, out, PageConfig().channel)}", markup=False, soft_wrap=True)
        if (note := link_note(service, out)) is not None:
            out.print(f"           ({note})", soft_wrap=True)
    if config.api_key is None:
        out.print(f"API key    {service.api_key}  (random; set LIPWIRE_API_KEY to keep one)", soft_wrap=True)
    if config.rtp:
        out.print(f"RTP        ports {config.rtp_ports} of {config.rtp_host or config.bind}")
    if config.record is not None:
        out.print(f"recording  every session, into {config.record}", soft_wrap=True)
    if config.films is not None:
        out.print(f"films      of who asks for one, into {config.films}", soft_wrap=True)
    if about:
        out.print(f"cluster    {about}", soft_wrap=True)
    out.print("Ctrl-C ends it.")
    await asyncio.Event().wait()


@with_server_options
def demo(
    server: ServerOptions,
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after this long.")] = None,
    speech: Annotated[Path | None, typer.Option(help="Speak this audio file instead of a text.")] = None,
    text: Annotated[str | None, typer.Option(help="Speak this text.")] = None,
    voice: Annotated[
        str | None, typer.Option(help="One that `lipwire voices` lists, or espeak-ng's (default: the avatar's).")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(help="low (320x180), medium (640x360) or high (1280x720; default, where there is room)."),
    ] = None,
    avatar: Annotated[str | None, typer.Option(help=f"Name or path (default: {DEFAULT}).")] = None,
    find_llm: FindLlm = None,
) -> None:
    """Start Lipwire and let it speak: open the printed address in a browser."""
    config = server.load(avatar=avatar, find_llm=find_llm)
    from ..app.demo import run_demo

    run_server(
        lambda asked: run_demo(
            config, out, seconds=seconds, speech=speech, text=text, voice=voice, quality=quality, asked=asked
        )
    )


def send(
    speech: Annotated[Path, typer.Argument(help="Any audio file; -: standard input.")],
    url: Annotated[str, typer.Option(help="The provider's HTTP side.")] = "http://127.0.0.1:8764",
    api_key: Annotated[str, typer.Option(envvar="LIPWIRE_API_KEY", help="Its API key.")] = "",
    encoding: Annotated[str, typer.Option(help="PCM16, PCM8 or OPUS.")] = "PCM16",
    chunk_ms: Annotated[int, typer.Option(help="Length of a voice message, 10..1000 (OPUS: 10, 20, 40, 60).")] = 20,
    fast: Annotated[bool, typer.Option("--fast", help="Send as fast as possible instead of in real time.")] = False,
    avatar_id: Annotated[str, typer.Option(help="For /session/start.")] = DEFAULT,
    quality: Annotated[str, typer.Option(help="low, medium or high.")] = "medium",
    channel: Annotated[str, typer.Option(help="Channel name.")] = "lipwire",
    uid: Annotated[str, typer.Option(help="User id in the channel.")] = "1",
    app_id: Annotated[str, typer.Option(help="Agora app id.")] = "local",
    token: Annotated[str, typer.Option(help="Agora token.")] = "local",
    ca: CaFile = None,
    linger: Annotated[float, typer.Option(help="Seconds to wait for the end of playback beyond the speech.")] = 10.0,
) -> None:
    """Speak an audio file through any avatar provider that speaks the protocol."""
    if encoding not in ("PCM16", "PCM8", "OPUS"):
        raise InvalidArgument(f"--encoding {encoding}: PCM16, PCM8 or OPUS")
    from ..audio.decode import standard_input
    from ..audio.speech_file import load_speech
    from ..protocol import messages as m
    from ..provider.client import ProviderClient
    from ..servers.tls import trust

    # The file first: who mistypes its name is not asked for a key.
    samples, rate = load_speech(standard_input() if speech == Path("-") else speech)
    if not api_key:
        raise InvalidArgument("the provider wants an API key: --api-key or LIPWIRE_API_KEY")
    context = trust(ca)
    body = {
        "avatar_id": avatar_id,
        "quality": quality,
        "version": "v1",
        "video_encoding": "H264",
        "agora_settings": {
            "app_id": app_id,
            "token": token,
            "channel": channel,
            "uid": uid,
            "enable_string_uid": not uid.isdecimal(),
        },
    }
    start = m.parse_start(body)
    duration = len(samples) / rate

    async def job() -> None:
        def show(event: m.ServerEvent) -> None:
            print(m.encode(event), flush=True)  # JSON lines, not for rich to wrap or to colour

        async with ProviderClient(url, api_key, start, on_event=show, tls=context) as client:
            out.print(f"session {client.session.session_id if client.session else ''}: {duration:.1f} s at {rate} Hz")
            began = time.monotonic()
            with ProgressBar(err) as bar:
                task = bar.add_task("sending", total=duration)
                await client.speak(
                    samples.tobytes(),
                    rate,
                    encoding=encoding,  # type: ignore[arg-type]
                    chunk_ms=chunk_ms,
                    pace=None if fast else 1.0,
                    progress=lambda done: bar.update(task, completed=min(done, duration)),
                )
            left = max(0.0, duration - (time.monotonic() - began)) + linger
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.wait_finished(1), left)
            if not client.reports_playback:
                out.print("the provider sent no playback events")

    run(job())
