"""The `lipwire` command: its subcommands, and how errors are told."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, NoReturn

import typer

from .. import _core
from .._lazy import extra_for
from ..app.config import read_env
from ..errors import InvalidArgument, LipwireError
from . import agent, avatar, conformance, doctor, keys, models, motion, provider, render, replay, tokens, top, voices
from .density.command import density
from .options import err, out
from .rig.command import EPILOG, cluster

app = typer.Typer(
    help="A face for voice agents: speech in, lip-synced video out.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(avatar.app, name="avatar")
app.add_typer(keys.app, name="key")
app.add_typer(models.app, name="models")
app.add_typer(motion.app, name="motion")
for command in (
    provider.serve,
    agent.agent,
    provider.demo,
    provider.send,
    render.render,
    conformance.conformance,
    replay.replay,
    tokens.token,
    top.top,
    voices.voices,
    doctor.doctor,
):
    app.command()(command)
NO_PLACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Why a file cannot be written, whoever writes it."""
bench = typer.Typer(help="Measure Lipwire and its peers.", no_args_is_help=True)
app.add_typer(bench, name="bench")
bench.command("density")(density)
bench.command("cluster", epilog=EPILOG)(cluster)


@bench.command("lipsync")
def _lipsync_is_missing() -> None:
    """Score lip-sync systems on labelled speech (needs the package lipwire-lipsync)."""
    raise InvalidArgument(
        "this benchmark is a package of its own: pip install lipwire-lipsync (in a clone: pip install ./lipsync)"
    )


def _broken(why: str) -> Callable[[], None]:
    def command() -> None:
        """It cannot be loaded."""
        raise InvalidArgument(why)

    return command


for found in entry_points(group="lipwire.bench"):  # other distributions' benchmarks; the last of a name counts
    try:
        bench.command(found.name)(found.load())
    except Exception as exc:  # the edge: another distribution's fault must not take the other commands along
        bench.command(found.name)(_broken(f"{found.value} cannot be loaded: {exc!r}"))


def main() -> None:
    """Entry point: errors as one line, Ctrl-C as exit code 130. A file .env adds to the environment."""
    try:
        for name, value in read_env().items():
            os.environ.setdefault(name, value)
        app()
    except LipwireError as exc:
        _fail(str(exc))
    except OSError as exc:
        if exc.errno not in NO_PLACE:
            raise
        _fail(f"cannot write {exc.filename or 'a file'}: {exc.strerror}")
    except ModuleNotFoundError as exc:
        if (extra := extra_for(exc)) is None:
            raise
        _fail(f"this command needs {exc.name}: pip install 'lipwire[{extra}]'")


def _fail(why: str) -> NoReturn:
    err.print("error:", style="bold red", end=" ")
    err.print(why, markup=False, soft_wrap=True)
    sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(_core.core_version())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
