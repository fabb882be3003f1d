"""The `lipwire` command."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
except ModuleNotFoundError as missing:
    sys.exit(f"the lipwire command needs {missing.name}: pip install 'lipwire[demo]'")

from .. import _core
from ..app.config import SECRETS, Config, load, read_env
from ..audio import opus
from ..avatar import DEFAULT, Avatar
from ..errors import BadData, InvalidArgument, LipwireError
from . import avatar as avatar_command
from .progress import ProgressBar

app = typer.Typer(
    help="A face for voice agents: speech in, lip-synced video out.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(avatar_command.app, name="avatar")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Host = Annotated[
    str | None, typer.Option(help="Address to listen on (default: 127.0.0.1; every one if an API key is set).")
]
HttpPort = Annotated[int | None, typer.Option(help="Port of POST /session/start (default: 8764); 0 = any free one.")]
WsPort = Annotated[int | None, typer.Option(help="Port that speech comes in on (default: 8765); 0 = any free one.")]
ViewerPort = Annotated[int | None, typer.Option(help="Port of the viewer page (default: 8080); 0 = any free one.")]
ApiKey = Annotated[str | None, typer.Option(help="What clients send as x-api-key (default: a random one, printed).")]
IceHost = Annotated[str | None, typer.Option(help="The one address to offer WebRTC media on (default: every address).")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: lipwire.toml, if it is there).")
]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error (default: warning).")]
Size = Annotated[str, typer.Option(help="Frame size in pixels, even numbers.")]
Fps = Annotated[int, typer.Option(min=1, max=60, help="Frames a second.")]
AvatarName = Annotated[
    str, typer.Option("--avatar", help=f"A name ({', '.join(Avatar.builtin())}), or the path of a folder or zip.")
]


def main() -> None:
    """Entry point: errors as one line, Ctrl-C as exit code 130. A file .env adds to the environment."""
    try:
        for name, value in read_env().items():
            os.environ.setdefault(name, value)
        app()
    except LipwireError as exc:
        err.print("error:", style="bold red", end=" ")
        err.print(str(exc), markup=False, soft_wrap=True)
        sys.exit(1)


def run(job: Coroutine[Any, Any, object]) -> None:
    """Runs a job until it ends or SIGINT or SIGTERM cancels it; then everything it opened is closed."""

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await job

    try:
        asyncio.run(guarded())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except asyncio.CancelledError:
        raise typer.Exit(143) from None


def settings(path: Path | None, **flags: Any) -> Config:
    config = load(flags, environment=os.environ, path=path)
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return config


def parse_size(text: str) -> tuple[int, int]:
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal()):
        raise InvalidArgument(f"--size {text}: write it as WIDTHxHEIGHT, say 640x360")
    return int(width), int(height)


def print_version(wanted: bool) -> None:
    if wanted:
        out.print(_core.core_version())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Host = None,
    http_port: HttpPort = None,
    ws_port: WsPort = None,
    viewer_port: ViewerPort = None,
    viewer: Annotated[bool | None, typer.Option(help="Serve the viewer page.")] = None,
    public_ws_url: Annotated[
        str | None, typer.Option(help="What websocket_address says, for clients that come through a proxy.")
    ] = None,
    api_key: ApiKey = None,
    max_sessions: Annotated[int | None, typer.Option(help="More are refused with 429 (default: 50).")] = None,
    avatar: Annotated[
        str | None, typer.Option(help=f"Name or path, shown for unknown avatar ids (default: {DEFAULT}).")
    ] = None,
    agora: Annotated[
        str | None, typer.Option(help="Publish into Agora channels: on, off, or auto = where the SDK is installed.")
    ] = None,
    ice_host: IceHost = None,
    log_level: LogLevel = None,
    config: ConfigFile = None,
) -> None:
    """Run the avatar provider: HTTP, WebSocket and the viewer page."""
    flags = {k: v for k, v in locals().items() if k != "config"}
    flags["log_level"] = log_level or os.environ.get("LIPWIRE_LOG_LEVEL") or "info"
    cfg = settings(config, **flags)
    run(_serve(cfg))


async def _serve(config: Config) -> None:
    from ..app.service import Service

    async with Service(config) as service:
        out.print(f"HTTP       {service.http_url}  (docs at {service.http_url}/schema)")
        out.print(f"WebSocket  {service.provider.config.public_ws_url}")
        if config.viewer:
            out.print(f"viewer     {service.viewer_url}")
            out.print(f"agents     {service.viewer_url}agent")
        if config.api_key is None:
            out.print(f"API key    {service.api_key}  (random; set LIPWIRE_API_KEY to keep one)")
        out.print("Ctrl-C ends it.")
        await asyncio.Event().wait()


@app.command()
def agent(
    channel: Annotated[str, typer.Option(help="Name of the channel it joins.")],
    brain: Annotated[
        str | None,
        typer.Option(help="realtime, cascade, echo or script (default: realtime with an OPENAI_API_KEY, else echo)."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What it is told to be.")] = None,
    greeting: Annotated[str | None, typer.Option(help="Said to the first who comes.")] = None,
    voice: Annotated[
        str | None, typer.Option(help="By the speech service's names (default: alloy for realtime).")
    ] = None,
    language: Annotated[str, typer.Option(help="Of speech to text.")] = "en-US",
    llm_url: Annotated[str | None, typer.Option(help="Chat completions for cascade (default: OpenAI's).")] = None,
    llm_model: Annotated[str | None, typer.Option(help="Its model (default: gpt-4o-mini).")] = None,
    llm_key: Annotated[
        str | None, typer.Option(envvar="LIPWIRE_LLM_KEY", help="Its key (default: OPENAI_API_KEY's).")
    ] = None,
    avatar: Annotated[
        str, typer.Option(help=f"A name ({', '.join(Avatar.builtin())}), or a path; none = sound only.")
    ] = DEFAULT,
    tool: Annotated[list[str] | None, typer.Option(help="module:function that the model may call, repeatable.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the agent.")] = None,
    uid: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Its user id in the channel; 0 = any.")] = 0,
    idle_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds without anybody after which it leaves; 0 = never.")
    ] = 0,
    host: Host = None,
    http_port: HttpPort = None,
    ws_port: WsPort = None,
    viewer_port: ViewerPort = None,
    api_key: ApiKey = None,
    ice_host: IceHost = None,
    log_level: LogLevel = None,
    config: ConfigFile = None,
) -> None:
    """Put a voice agent into a channel, and serve the page to talk to it."""
    from ..app.agent_setup import check_brain

    cfg = settings(
        config,
        agent_brain=None if brain is None else check_brain(brain),
        llm_url=llm_url,
        llm_model=llm_model,
        avatar=None if avatar == "none" else avatar,
        host=host,
        http_port=http_port,
        ws_port=ws_port,
        viewer_port=viewer_port,
        api_key=api_key,
        ice_host=ice_host,
        log_level=log_level,
    )
    from ..app.agent_command import describe_agent, run_agent

    wanted = describe_agent(
        cfg,
        channel,
        name=name,
        uid=uid,
        prompt=prompt,
        greeting=greeting,
        voice=voice,
        language=language,
        llm_key=llm_key,
        avatar=avatar,
        tools=tool or (),
        idle_timeout=idle_timeout,
    )
    run(run_agent(cfg, wanted, out))


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after this long.")] = None,
    speech: Annotated[Path | None, typer.Option(help="Speak this audio file instead of a text.")] = None,
    text: Annotated[str | None, typer.Option(help="Speak this text (espeak-ng).")] = None,
    voice: Annotated[str, typer.Option(help="espeak-ng voice.")] = "en-us",
    quality: Annotated[str, typer.Option(help="low, medium or high.")] = "medium",
    avatar: Annotated[str | None, typer.Option(help=f"Name or path (default: {DEFAULT}).")] = None,
    host: Host = None,
    http_port: HttpPort = None,
    ws_port: WsPort = None,
    viewer_port: ViewerPort = None,
    ice_host: IceHost = None,
    log_level: LogLevel = None,
    config: ConfigFile = None,
) -> None:
    """Start Lipwire and let it speak: open the printed address in a browser."""
    cfg = settings(
        config,
        host=host,
        http_port=http_port,
        ws_port=ws_port,
        viewer_port=viewer_port,
        ice_host=ice_host,
        log_level=log_level,
        avatar=avatar,
    )
    from ..app.demo import run_demo

    run(run_demo(cfg, out, seconds=seconds, speech=speech, text=text, voice=voice, quality=quality))


@app.command()
def send(
    speech: Annotated[Path, typer.Argument(help="Any audio file.")],
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
    linger: Annotated[float, typer.Option(help="Seconds to wait for the end of playback beyond the speech.")] = 10.0,
) -> None:
    """Speak an audio file through any avatar provider that speaks the protocol."""
    if not api_key:
        raise InvalidArgument("the provider wants an API key: --api-key or LIPWIRE_API_KEY")
    if encoding not in ("PCM16", "PCM8", "OPUS"):
        raise InvalidArgument(f"--encoding {encoding}: PCM16, PCM8 or OPUS")
    from ..protocol import messages as m
    from ..provider.client import ProviderClient
    from ..session.offline import load_speech

    samples, rate = load_speech(speech)
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

        async with ProviderClient(url, api_key, start, on_event=show) as client:
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


@app.command()
def render(
    speech: Annotated[Path, typer.Argument(help="Any audio file.")],
    video: Annotated[Path, typer.Argument(help="The MP4 to write.")],
    size: Size = "640x360",
    fps: Fps = 25,
    avatar: AvatarName = DEFAULT,
    seed: Annotated[int, typer.Option(help="Of blinks and idle movement.")] = 0,
) -> None:
    """Render a speech file into an MP4, faster than real time."""
    from ..session.offline import render as render_file

    with ProgressBar(err) as bar:
        task = bar.add_task("rendering", total=1.0)
        result = render_file(
            speech,
            video,
            avatar=avatar,
            size=parse_size(size),
            fps=fps,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total or done),
        )
    out.print(
        f"{video}: {result.duration:.2f} s, {result.frames} frames, in {result.elapsed:.2f} s "
        f"({result.speed:.1f}x real time)"
    )


@app.command()
def token(
    channel: Annotated[str | None, typer.Argument(help="Channel name.")] = None,
    uid: Annotated[str, typer.Argument(help="User id; 0 = any.")] = "0",
    app_id: Annotated[str, typer.Option(envvar="AGORA_APP_ID", help="Agora app id.")] = "",
    certificate: Annotated[str, typer.Option(envvar="AGORA_APP_CERTIFICATE", help="Agora app certificate.")] = "",
    expire: Annotated[int, typer.Option(min=1, max=86400, help="Lifetime in seconds.")] = 3600,
    subscriber: Annotated[bool, typer.Option("--subscriber", help="No right to publish.")] = False,
    rtm: Annotated[str | None, typer.Option(help="RTM user to log in, too; without a channel: only.")] = None,
    explain: Annotated[str, typer.Option(help="A token: say what is in it, and whether CERTIFICATE signed it.")] = "",
) -> None:
    """Print an Agora token (AccessToken2, "007") to join a channel, or explain one."""
    if explain:
        from ..protocol.tokens import explain_token

        print("\n".join(explain_token(explain, now=time.time(), certificate=certificate or None)))
        return
    from ..channel.agora.channel import agora_token

    if not app_id or not certificate:
        raise InvalidArgument("an app id and its certificate are needed: AGORA_APP_ID and AGORA_APP_CERTIFICATE")
    user = int(uid) if uid.isdecimal() else uid
    print(agora_token(app_id, certificate, channel, user, expire=expire, publish=not subscriber, rtm_user_id=rtm))


bench = typer.Typer(help="Measure Lipwire and its peers.", no_args_is_help=True)
app.add_typer(bench, name="bench")


@bench.command()
def lipsync(
    sets: Annotated[
        list[Path] | None,
        typer.Option("--set", help="Folder of a labelled set, repeatable (default: made by espeak-ng, and installed)."),
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Installed final sets, too: for when you are done.")] = False,
    systems: Annotated[
        list[str] | None, typer.Option("--system", help="Only this one, repeatable (default: what is found).")
    ] = None,
    conditions: Annotated[str, typer.Option(help="Comma-separated names, or all; clean is always there.")] = "clean",
    limit: Annotated[int | None, typer.Option(min=1, help="Utterances of each set, at most.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sets that espeak-ng makes.")] = 0,
    peers: Annotated[Path | None, typer.Option(help="Folder of npm peers (default: in the user's cache).")] = None,
    install_peers: Annotated[
        bool, typer.Option("--install-peers", help="First install the npm peers into that folder.")
    ] = False,
    rhubarb: Annotated[Path | None, typer.Option(help="Rhubarb's executable (default: on PATH).")] = None,
    cherry: Annotated[Path | None, typer.Option(help="Cherry's, cherrylipsync (default: on PATH).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw one utterance into this PNG.")] = None,
    utterance: Annotated[
        str | None, typer.Option(help="SET/NAME of the utterance to draw (default: the first).")
    ] = None,
) -> None:
    """Score lip-sync systems on labelled speech: right mouths, closed lips, silence, flicker, delay, speed.

    Sets are folders of NAME.wav (16 kHz mono PCM16) with NAME.lab ("start end phone" lines) and set.json;
    docs/lipsync.md describes them, the figures and the method. Nothing is downloaded but by --install-peers.
    """
    from .lipsync import Request, run_lipsync

    request = Request(
        sets=tuple(sets or ()),
        final=final,
        systems=tuple(systems or ()),
        conditions=conditions,
        limit=limit,
        seed=seed,
        peers=peers,
        install_peers=install_peers,
        rhubarb=rhubarb,
        cherry=cherry,
        json_file=json_file,
        picture=picture,
        utterance=utterance,
    )
    try:
        run_lipsync(request, out, err, ProgressBar(err, "{task.completed:.0f}/{task.total:.0f} utterances"))
    except BadData as exc:
        err.print("error:", style="bold red", end=" ")
        err.print(str(exc), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


EXTRAS = {
    "server": ("litestar", "uvicorn", "jwt", "prometheus_client"),
    "webrtc": ("aiortc",),
    "avatar": ("PIL",),
    "demo": ("espeakng_loader", "httpx"),
}


@app.command()
def doctor(config: ConfigFile = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the settings in force, the versions, and what is missing."""
    cfg = settings(config)
    shown = {
        name: ("set" if getattr(cfg, name) else None) if name in SECRETS else getattr(cfg, name)
        for name in cfg.__struct_fields__
    }
    import av

    from ..app.agent_setup import AgentSetup

    missing = {
        extra: [name for name in names if importlib.util.find_spec(name) is None] for extra, names in EXTRAS.items()
    }
    report: dict[str, Any] = {
        "lipwire": _core.core_version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernels": f"{_core.cpu_level()} (this processor has {', '.join(_core.cpu_levels())})",
        "av": av.__version__,
        "opus": opus.library() or "through PyAV: no libopus found to call",
        "avatars": list(Avatar.builtin()),
        "agents": {
            name: f"needs {'; '.join(needs)}" if needs else "ready" for name, needs in AgentSetup(cfg).missing().items()
        },
        "missing": {extra: names for extra, names in missing.items() if names},
        "config": shown,
    }
    if as_json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            if name == "config":
                out.print("config:")
                for key, setting in shown.items():
                    out.print(f"  {key} = {setting}")
            elif name == "agents":
                out.print("agents:")
                for key, text in report["agents"].items():
                    out.print(f"  {key}: {text}", markup=False, soft_wrap=True)
            elif name == "missing":
                for extra, names in report["missing"].items():
                    out.print(
                        f"missing: {', '.join(names)}: pip install 'lipwire[{extra}]'", markup=False, soft_wrap=True
                    )
            else:
                out.print(f"{name}: {value}")
    if report["missing"]:
        raise typer.Exit(1)
