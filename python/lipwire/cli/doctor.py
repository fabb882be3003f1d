"""`lipwire doctor`: what can be used here, what is missing for the rest and how to get it, and what is set."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import socket
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import typer
from msgspec import Struct, to_builtins

from .. import _core
from ..agents.openai_models import ending
from ..agents.speech.offline_stt import told as ears_told
from ..agents.speech.turn_detector import told as turns_told
from ..app.config import Config, is_loopback, shown
from ..app.local_llm import looks, settle_llm
from ..audio import opus
from ..avatar import Avatar
from ..errors import BadState, InvalidArgument, LipwireError, ModelFailed
from ..models.find import check_hearing, how, lacks, place, there
from ..models.table import MODELS, PURPOSES, Model
from ..models.voices.choose import choose
from ..outward import site
from .options import ConfigFile, out, settings

EXTRAS = {
    "server": ("litestar", "uvicorn", "jwt", "prometheus_client"),
    "webrtc": ("aiortc",),
    "avatar": ("PIL",),
    "demo": ("espeakng_loader", "httpx"),
}
"""What `lipwire demo` needs; without it this command's exit code is 1."""
SERVE_LOG_LEVEL = "info"
"""Of `lipwire serve`, where nothing is set."""

BRAINS = (
    ("cascade", "ears, a chat model, a voice", ("llm_url", "stt_url", "tts_url")),
    ("realtime", "OpenAI Realtime", ("openai_url",)),
    ("guide", "answers questions about Lipwire by a script", ("stt_url", "tts_url")),
)
"""Brains that can lean on services: what they are, and the settings that name those."""

State = Literal["ok", "soon", "missing", "off", "wrong"]
STYLES: dict[State, str] = {"ok": "green", "soon": "yellow", "missing": "yellow", "off": "dim", "wrong": "bold red"}


class Part(Struct):
    """Something that a user may want."""

    name: str
    state: State
    note: str = ""
    """What it is there; how to get it; what is wrong with it."""


def doctor(
    config: ConfigFile = None,
    every: Annotated[bool, typer.Option("--all", help="Show every setting, those as by default, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
) -> None:
    """Show what can be used here, what is missing for the rest and how to get it."""
    cfg = settings(config)
    report = examine(cfg)
    if as_json:
        print(json.dumps(report))
    else:
        _print(cfg, report, every)
    if report["missing"]:
        raise typer.Exit(1)


def examine(cfg: Config, today: date | None = None) -> dict[str, Any]:
    """Everything, JSON-able. `today`: the day for which it is told what ends soon."""
    import av

    from ..app.agent_setup import AgentSetup

    missing = {extra: [n for n in names if importlib.util.find_spec(n) is None] for extra, names in EXTRAS.items()}
    needs = AgentSetup(cfg).missing()
    report: dict[str, Any] = {
        "lipwire": _core.core_version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernels": f"{_core.cpu_level()} (this processor has {', '.join(_core.cpu_levels())})",
        "av": av.__version__,
        "opus": opus.library() or "through PyAV: no libopus found to call",
        "avatars": list(Avatar.builtin()),
        "agents": {name: f"needs {'; '.join(lacks)}" if lacks else "ready" for name, lacks in needs.items()},
        "tls": _tls(cfg),
        "api_keys_file": _keys(cfg),
        "record": _record(cfg),
        "webhooks": _webhooks(cfg),
        "missing": {extra: names for extra, names in missing.items() if names},
    }
    report["parts"] = to_builtins([*_parts(cfg, report, needs), *_ending(cfg, today or date.today())])
    report["config"] = {name: shown(name, getattr(cfg, name)) for name in cfg.__struct_fields__}
    return report


# ------------------------------------------------------------------------------------------------------------- parts


def _parts(cfg: Config, report: dict[str, Any], needs: dict[str, list[str]]) -> Iterator[Part]:
    missing = report["missing"]
    yield _avatar(cfg)
    yield _extra("films: lipwire render", (), "h264" if _has_codec("libx264") else "")
    yield _extra("a server for voice engines", missing.get("server", ()), _ports(cfg), "server")
    yield _extra("browsers that watch and talk", missing.get("webrtc", ()), "H264 and VP8", "webrtc")
    yield _extra("artwork of your own (PNG)", missing.get("avatar", ()), "", "avatar")
    yield _voice(cfg)
    yield Part("turns of an agent's users", "ok", turns_told(cfg.end_of_turn))
    yield _ears(cfg)
    yield from _models(cfg)
    yield Part("agent: echo", "ok", "says back what it hears; needs nothing")
    for brain, what, urls in BRAINS:
        silent = [name for name in urls if not _listens(getattr(cfg, name))]
        part = _brain(f"agent: {brain}", needs[brain], what)
        yield Part(part.name, "wrong", f"nothing listens at {', '.join(silent)} on this machine") if silent else part
    yield _local_llm(cfg)
    yield _brain("Agora channels", needs["agora"], "set up")
    yield _module("renderers that are compiled (numba)", "numba", "hooks")
    yield _module("tracing (OpenTelemetry)", "opentelemetry", "otel")
    for name, told in (
        ("TLS", report["tls"]),
        ("API keys file", report["api_keys_file"]),
        ("recordings", report["record"]),
        ("webhooks", report["webhooks"]),
    ):
        yield _told(name, told)


def _ears(cfg: Config) -> Part:
    """What hears English here, and what for if that is not the default."""
    name = "ears on this machine"
    try:
        return Part(name, "ok", ears_told("en", cfg.hearing_model or ""))
    except InvalidArgument as exc:
        return Part(name, "wrong", str(exc))
    except BadState as exc:
        return Part(name, "missing", str(exc))


def _voice(cfg: Config) -> Part:
    """Who speaks on this machine where nobody says who, and in whose place."""
    name = "a voice on this machine"
    try:
        chosen = choose(None, Avatar.load(cfg.avatar).voice, folder=cfg.voices)
    except BadState:
        return _lacks(name, ["hibari", "espeakng_loader"], "offline")
    except LipwireError as exc:
        return Part(name, "wrong", str(exc))
    return Part(name, "ok", f"{chosen.name}, in place of {chosen.instead}" if chosen.instead else str(chosen.name))


def _models(cfg: Config) -> Iterator[Part]:
    """The models of speech, and a setting that names one."""
    for model in MODELS.values():
        yield _speech_model(f"{PURPOSES[model.purpose]}: {model.name}", model)
    if cfg.hearing_model is not None:
        try:
            check_hearing(cfg.hearing_model)
        except InvalidArgument as exc:
            yield Part("the model that hears", "wrong", str(exc))
        else:
            yield Part("the model that hears", "ok", cfg.hearing_model)


def _speech_model(name: str, model: Model) -> Part:
    found = there(model)
    if found is None:
        return Part(name, "missing" if model.in_extra else "off", how(model))
    if lacking := lacks(model):
        return _lacks(name, lacking, "offline")
    try:
        return Part(name, "ok", place(model).source if found.path.exists() else f"{found.source}, not joined yet")
    except ModelFailed as exc:
        return Part(name, "wrong", str(exc))


def _extra(name: str, lacking: Sequence[str], note: str, extra: str = "") -> Part:
    return _lacks(name, lacking, extra) if lacking else Part(name, "ok", note)


def _lacks(name: str, lacking: Sequence[str], extra: str) -> Part:
    return Part(name, "missing", f"{', '.join(lacking)}: pip install 'lipwire[{extra}]'")


def _module(name: str, module: str, extra: str) -> Part:
    return _extra(name, [] if importlib.util.find_spec(module) else [module], "", extra)


def _brain(name: str, lacking: Sequence[str], what: str) -> Part:
    return Part(name, "missing", f"needs {'; '.join(lacking)}") if lacking else Part(name, "ok", what)


def _local_llm(cfg: Config) -> Part:
    """Of a model on this machine, which is used where nobody says where an agent thinks."""
    name = "a model on this machine"
    if not looks(cfg):
        return Part(name, "off", "not looked for: the settings say where agents think, or find_llm is off")
    try:
        _, found = asyncio.run(settle_llm(cfg))
    except InvalidArgument as exc:
        return Part(name, "wrong", str(exc))
    return (
        Part(name, "off", "none found; start Ollama, LM Studio, llama.cpp, ...")
        if found is None
        else Part(name, "ok", found.told())
    )


def _ending(cfg: Config, today: date) -> Iterator[Part]:
    """Models of OpenAI's that are in use and end within 90 days."""
    from ..app.agent_setup import openai_models

    for told in ending(openai_models(cfg), today):
        yield Part("OpenAI's models", "wrong" if " ended on " in told else "soon", told)


def _told(name: str, told: str) -> Part:
    """What one of the checks of a setting has found."""
    state: State = "off" if told in ("off", "none") else "ok" if told.startswith("ready") else "wrong"
    notes = {"off": "not set", "ok": told.removeprefix("ready").removeprefix(": ")}
    return Part(name, state, notes.get(state, told))


def _has_codec(name: str) -> bool:
    import av

    return name in av.codecs_available


def _listens(url: str | None) -> bool:
    """Whether something does at a URL of this machine; True for others, which are not asked."""
    parts = urlsplit(url or "")
    if not parts.hostname or not is_loopback(parts.hostname):
        return True
    port = parts.port or {"http": 80, "ws": 80}.get(parts.scheme, 443)
    try:
        socket.create_connection((parts.hostname, port), timeout=1).close()
    except OSError:
        return False
    return True


def _avatar(cfg: Config) -> Part:
    try:
        name = Avatar.load(cfg.avatar).name
    except LipwireError as exc:
        return Part("the avatar", "wrong", str(exc))
    others = [other for other in Avatar.builtin() if other != name]
    return Part("the avatar", "ok", f"{name}; there is also {', '.join(others)} (--avatar)")


def _ports(cfg: Config) -> str:
    """Which of the ports are taken by now, in words."""
    names = [
        name for name in ("http_port", "ws_port", "viewer_port") if (port := getattr(cfg, name)) and _taken(cfg, port)
    ]
    taken = ", ".join(f"{getattr(cfg, name)} (--{name.replace('_', '-')})" for name in names)
    return f"in use now, by a server that runs or by something else: {taken}" if taken else "its ports are free"


def _taken(cfg: Config, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in cfg.bind else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((cfg.bind, port))
        except OSError:
            return True
    return False


# ------------------------------------------------------------------------------------------------------------- print


def _print(cfg: Config, report: dict[str, Any], every: bool) -> None:
    out.print(
        f"lipwire {report['lipwire']}, Python {report['python']}, {report['machine']}, kernels {report['kernels']}",
        soft_wrap=True,
    )
    out.print(f"av {report['av']}, opus {report['opus']}", markup=False, soft_wrap=True)
    out.print()
    width = max(len(part["name"]) for part in report["parts"])
    for part in report["parts"]:
        out.print(f"{part['state']:<8}", style=STYLES[part["state"]], end="")
        out.print(f"{part['name']:<{width}}  {part['note']}".rstrip(), markup=False, soft_wrap=True)
    out.print()
    _print_settings(cfg, report["config"], every)


def _print_settings(cfg: Config, values: dict[str, Any], every: bool) -> None:
    defaults = Config()
    changed = [name for name in values if getattr(cfg, name) != getattr(defaults, name)]
    if not (changed or every):
        out.print("All settings are as by default; --all shows them.")
        return
    out.print("config:")
    for name in values if every else changed:
        note = f"  ({SERVE_LOG_LEVEL} for lipwire serve)" if name == "log_level" and name not in changed else ""
        out.print(f"  {name} = {values[name]}{note}", markup=False, soft_wrap=True)
    if not every:
        out.print("  (the rest is as by default: --all shows it)")


# ------------------------------------------------------------------------------------------------- what settings name


def _tls(cfg: Config) -> str:
    if cfg.tls_cert is None:
        return "off"
    from ..servers.tls import Certificate

    try:
        Certificate(cfg.tls_cert, cfg.tls_key)
    except InvalidArgument as exc:
        return str(exc)
    return "ready"


def _keys(cfg: Config) -> str:
    if cfg.api_keys_file is None:
        return "none"
    from ..provider.keys import check_keys

    file = Path(cfg.api_keys_file)
    try:
        owners = check_keys(file, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        return f"{file} cannot be read: {exc}"
    except InvalidArgument as exc:
        return str(exc)
    return f"ready: {_count(len(owners), 'key')} of {_count(len({owner.name for owner in owners.values()}), 'owner')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _webhooks(cfg: Config) -> str:
    """Nothing is sent here."""
    if cfg.webhook_url is None:
        return "off"
    signed = "signed" if cfg.webhook_secret else "not signed: with webhook_secret the receiver knows whose they are"
    return f"ready: to {site(cfg.webhook_url)}, {signed}"


def _record(cfg: Config) -> str:
    """Nothing is made here; the server makes the folder when it records."""
    if cfg.record is None:
        return "off"
    folder = Path(cfg.record).absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written to"
    return "ready"
