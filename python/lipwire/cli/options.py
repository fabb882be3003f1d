"""What several commands share: the options of a server, consoles, and how a job runs until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import os
import signal
import sys
import threading
import typing
from collections.abc import Callable, Coroutine, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..app.config import Config, load
from ..avatar import Avatar
from ..errors import InvalidArgument
from ..logs import to_stderr
from ..pools import end_pools
from ..publish.audience import MAX_VIEWERS
from ..servers.listen import raise_descriptor_limit
from ..stream import frame_rate

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (default: lipwire.toml, if it is there).")
]
CaFile = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of certificates to trust behind https (default: the system's).")
]
Size = Annotated[str, typer.Option(help="Frame size in pixels, even numbers.")]


def voices_folder() -> Path | None:
    """Where the user's voices are, by the setting `voices`, for a command that has no settings of a server."""
    folder = load(environment=os.environ).voices
    return None if folder is None else Path(folder)


def read_fps(text: str | Fraction) -> Fraction:
    """Of an option. Raises BadParameter."""
    try:
        return frame_rate(text)
    except InvalidArgument as exc:
        raise typer.BadParameter(str(exc)) from exc


Fps = Annotated[
    Fraction, typer.Option(parser=read_fps, metavar="RATE", help="Frames a second: 25, 29.97 or 30000/1001.")
]
AvatarName = Annotated[
    str, typer.Option("--avatar", help=f"A name ({', '.join(Avatar.builtin())}), or the path of a folder or zip.")
]


def _port(what: str, setting: str) -> Any:
    default = Config.__struct_defaults__[Config.__struct_fields__.index(setting)]
    return Annotated[int | None, typer.Option(help=f"Port of {what} (default: {default}); 0 = any free one.")]


SERVER_OPTIONS: dict[str, Any] = {
    "host": Annotated[
        str | None, typer.Option(help="Address to listen on (default: 127.0.0.1; every one if an API key is set).")
    ],
    "http_port": _port("POST /session/start", "http_port"),
    "ws_port": _port("the WebSocket that speech comes in on", "ws_port"),
    "viewer_port": _port("the viewer page", "viewer_port"),
    "public_hosts": Annotated[
        str | None, typer.Option(help="Names of this server, with commas; of other Hosts requests are refused.")
    ],
    "allowed_origins": Annotated[
        str | None, typer.Option(help="Other web pages that may call this server: https://app.example.org,...")
    ],
    "tls_cert": Annotated[
        str | None, typer.Option(help="PEM file of a certificate: https and wss on every port (default: no TLS).")
    ],
    "tls_key": Annotated[str | None, typer.Option(help="PEM file of its key (default: in the same file).")],
    "ice_host": Annotated[
        str | None, typer.Option(help="The one address to offer WebRTC media on (default: every address).")
    ],
    "max_viewers": Annotated[
        int | None,
        typer.Option(help=f"Browsers that are sent sound and pictures; more get a 503 (default: {MAX_VIEWERS})."),
    ],
    "drain_seconds": Annotated[
        float | None,
        typer.Option(
            "--drain",
            "--drain-seconds",
            help="Seconds that speech may go on when it is asked to end (default: 10; 0 = none).",
        ),
    ],
    "log_level": Annotated[
        str | None, typer.Option(help="debug, info, warning or error (default: warning; of serve: info).")
    ],
    "config": ConfigFile,
}
FindLlm = Annotated[
    bool | None,
    typer.Option(
        "--find-llm/--no-find-llm", help="Look for a model on this machine where none is named (default: yes)."
    ),
]
ApiKey = Annotated[str | None, typer.Option(help="What clients send as x-api-key (default: a random one, printed).")]


class ServerOptions:
    """What the options of a server were given as."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._path: Path | None = given.pop("config")
        self._flags = given

    def load(self, *, log_level: str | None = None, **flags: Any) -> Config:
        """The settings, these flags among them. `log_level`: where neither a flag, the environment nor the file says
        one."""
        defaults = {} if log_level is None else {"log_level": log_level}
        return settings(self._path, defaults, **self._flags, **flags)


def with_server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of a server behind its own; it takes them as `server: ServerOptions`."""
    hints = typing.get_type_hints(command, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        parameter.replace(annotation=hints[name], kind=keyword)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "server"
    ]
    parameters += [
        inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in SERVER_OPTIONS.items()
    ]

    @functools.wraps(command)
    def run_with(**given: Any) -> None:
        server = ServerOptions({name: given.pop(name) for name in SERVER_OPTIONS})
        with interrupts_end_at_once():
            raise_descriptor_limit()
            command(server=server, **given)

    # typer reads the signature, and would resolve its annotations where the command was defined.
    told: Any = run_with
    told.__signature__ = inspect.Signature(parameters)
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del told.__wrapped__
    return run_with


def settings(path: Path | None, defaults: Mapping[str, Any] | None = None, **flags: Any) -> Config:
    """Defaults < the file < the environment < flags; logging is set up by them."""
    config = load(flags, environment=os.environ, path=path, defaults=defaults)
    to_stderr(config.log_level)
    if err.is_terminal and config.log_level.lower() == "warning":
        logging.getLogger("lipwire.models").setLevel(logging.INFO)  # what is loaded, since somebody waits for it
    return config


@contextlib.contextmanager
def interrupts_end_at_once() -> Iterator[None]:
    """Within, Ctrl-C ends the process as SIGTERM does, without a word, unless somebody takes care of it (`run_server`).
    A KeyboardInterrupt while a server is imported would come out of whatever module is being read."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def settle() -> None:
    """Takes what the process holds by now out of garbage collection. A full one goes through every object there is,
    tens of milliseconds for modules and routes that never change, and all sessions stand still meanwhile."""
    gc.collect()
    gc.freeze()


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT. Raises InvalidArgument."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal()):
        raise InvalidArgument(f"--size {text}: write it as WIDTHxHEIGHT, say 640x360")
    return int(width), int(height)


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


THREADS = 3.0
"""Seconds that threads have to end when everything is closed; a renderer's that hangs keeps no process alive."""
ENDED = {signal.SIGTERM: 0, signal.SIGINT: 130}
FORCED = {signal.SIGTERM: 143, signal.SIGINT: 130}
"""Exit codes: of a server that ended in good order when it was asked to, which is what service managers expect of
SIGTERM and shells of Ctrl-C; and of one that was told a second time."""


def run_server(job: Callable[[asyncio.Event], Coroutine[Any, Any, object]]) -> None:
    """Runs a server until it ends. SIGTERM or SIGINT sets the event that `job` is given, and it ends in good order
    (`app.lifetime`); another one cancels it, and everything that it opened is closed at once."""
    signals: list[signal.Signals] = []

    async def guarded() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        asked = asyncio.Event()

        def on_signal(number: signal.Signals) -> None:
            signals.append(number)
            if len(signals) == 1:
                asked.set()
            elif len(signals) == 2:
                task.cancel()

        for number in ENDED:
            loop.add_signal_handler(number, on_signal, number)
        try:
            await job(asked)
        finally:
            joining = asyncio.ensure_future(loop.shutdown_default_executor())
            if not (await asyncio.wait({joining}, timeout=THREADS))[0]:
                _leave(signals)

    before = set(threading.enumerate())
    try:
        asyncio.run(guarded())
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(_code(signals)) from None
    finally:
        # All is closed. The loop has put Python's own handler back, which would raise into what is left to do here.
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        end_pools()
        left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
        for thread in left:
            thread.join(THREADS / len(left))
        if any(thread.is_alive() for thread in left):
            _leave(signals)
    if signals:
        raise typer.Exit(_code(signals))


def _code(signals: list[signal.Signals]) -> int:
    if not signals:
        return 130
    return (ENDED if len(signals) == 1 else FORCED)[signals[-1]]


def _leave(signals: list[signal.Signals]) -> None:
    """Ends the process although a thread hangs. All is closed by now, so nothing is lost."""
    logging.getLogger("lipwire.service").error("a thread did not end within %g s; left behind", THREADS)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_code(signals) if signals else 0)
