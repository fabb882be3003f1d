"""`lipwire doctor`: what is set, what is there, what is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import _core
from ..app.config import Config, shown
from ..audio import opus
from ..avatar import Avatar
from ..errors import InvalidArgument
from .options import ConfigFile, out, settings

EXTRAS = {
    "server": ("litestar", "uvicorn", "jwt", "prometheus_client"),
    "webrtc": ("aiortc",),
    "avatar": ("PIL",),
    "demo": ("espeakng_loader", "httpx"),
}


def doctor(
    config: ConfigFile = None,
    every: Annotated[bool, typer.Option("--all", help="Show what is as by default, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for programs.")] = False,
) -> None:
    """Show what is set, the versions, and what is missing."""
    cfg = settings(config)
    config_shown = {name: shown(name, getattr(cfg, name)) for name in cfg.__struct_fields__}
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
        "tls": _tls(cfg),
        "api_keys_file": _keys(cfg),
        "record": _record(cfg),
        "missing": {extra: names for extra, names in missing.items() if names},
        "config": config_shown,
    }
    if as_json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            if name == "config":
                out.print("config:")
                defaults = Config()
                for key, setting in config_shown.items():
                    if every or getattr(cfg, key) != getattr(defaults, key):
                        out.print(f"  {key} = {setting}", markup=False, soft_wrap=True)
                if not every:
                    out.print("  (the rest is as by default: --all shows it)")
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
    return f"ready: {len(owners)} keys of {len({owner.name for owner in owners.values()})} owners"


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
