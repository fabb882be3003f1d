"""`lipwire doctor`: what is set, what is there, what is missing."""

from __future__ import annotations

import importlib.util
import json
import platform
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


def doctor(config: ConfigFile = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the settings in force, the versions, and what is missing."""
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
        "missing": {extra: names for extra, names in missing.items() if names},
        "config": config_shown,
    }
    if as_json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            if name == "config":
                out.print("config:")
                for key, setting in config_shown.items():
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


def _tls(cfg: Config) -> str:
    if cfg.tls_cert is None:
        return "off"
    from ..servers.tls import Certificate

    try:
        Certificate(cfg.tls_cert, cfg.tls_key)
    except InvalidArgument as exc:
        return str(exc)
    return "ready"
