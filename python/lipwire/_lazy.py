"""What lets `import lipwire` cost nothing: names that are imported when they are first used, and module paths of
earlier releases.

A path or name that has moved works for one release, with a DeprecationWarning that says where it is now.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import FrameType, ModuleType
from typing import Any

EXTRAS = {
    "aiortc": "webrtc",
    "aioice": "webrtc",
    "litestar": "server",
    "uvicorn": "server",
    "jwt": "server",
    "prometheus_client": "server",
    "regex": "server",
    "typer": "cli",
    "rich": "cli",
    "httpx": "agents",
    "pocketsphinx": "agents",
    "sentencex": "agents",
    "ctranslate2": "offline",
    "onnxruntime": "offline",
    "hibari": "offline",
    "PIL": "avatar",
    "numba": "hooks",
    "opentelemetry": "otel",
}
"""Which extra of the distribution brings a package."""

_LIPSYNC = ("bench", "conditions", "labels", "metrics", "picture", "sets", "spoken", "systems")

MOVED: dict[str, tuple[str, ...]] = {
    "agents.brain": ("agents.brains.base",),
    "agents.captions": ("agents.transcripts",),
    "agents.cascade": (
        "agents.brains.cascade",
        "agents.brains.cascade_hearing",
        "agents.brains.cascade_replies",
        "agents.brains.cascade_thinking",
        "agents.brains.speech_services",
    ),
    "agents.chat": ("agents.brains.chat", "agents.brains.completion", "agents.brains.sse"),
    "agents.client": ("agents.rest.client",),
    "agents.commands": ("agents.speech.keywords", "agents.speech.commands"),
    "agents.ear": ("agents.speech.turn_detector",),
    "agents.echo": ("agents.brains.echo",),
    "agents.history": ("agents.brains.context",),
    "agents.page": ("app.agent_page",),
    "agents.realtime": ("agents.brains.realtime",),
    "agents.run": ("app.agent_command",),
    "agents.senses": ("agents.video",),
    "agents.sentences": ("agents.speech.sentences",),
    "agents.setup": ("app.agent_setup",),
    "agents.speaking": ("agents.playout", "agents.replies"),
    "agents.stt": ("agents.speech.stt",),
    "agents.tools": ("agents.brains.tools",),
    "agents.tts": ("agents.speech.tts",),
    "agents.vad": ("agents.speech.vad", "agents.speech.endpointing"),
    "avatar.command": ("cli.avatar",),
    "avatar.sheet": ("cli.avatar_sheet",),
    "client": ("provider.client",),
    "codecs": ("audio.voice_decoder",),
    "config": ("app.config",),
    "demo": ("app.demo",),
    "g711": ("audio.g711",),
    "opus": ("audio.opus",),
    "lipsync": ("lipwire_lipsync",),
    **{f"lipsync.{name}": (f"lipwire_lipsync.{name}",) for name in _LIPSYNC},
    "pcm": ("audio.resample",),
    "progress": ("cli.progress",),
    "protocol.agents": ("agents.rest.wire",),
    "publish.agora": ("channel.agora.channel",),
    "publish.base": ("stream",),
    "publish.channel": ("channel.base",),
    "publish.microphone": ("channel.room.microphone",),
    "publish.room": ("channel.room.room", "channel.room.place"),
    "render": ("session.offline", "audio.speech_file"),
    "renderer": ("drawing.renderer", "drawing.hook"),
    "runtime": ("session.runtime",),
    "service": ("app.service",),
    "source": ("drawing.frame_source",),
    "source_process": ("drawing.process_source",),
    "stage": ("drawing.stage",),
    "voice": ("audio.espeak",),
}
"""Modules of 0.1: where what they held is now, below `lipwire` or in the distribution lipwire-lipsync."""

MOVED_NAMES = {
    **{
        f"protocol.agent_bodies.{name}": f"agents.errors.{name}"
        for name in (
            *("AgentError", "InvalidAgentRequest", "AgentForbidden", "AgentNotFound", "AgentConflict", "AgentLimit"),
            *("AgentRateLimit", "AgentUnreachable", "GatewayFault", "AgentStartFailed", "AgentTimeout"),
        )
    },
    "publish.Agora": "channel.Agora",
    "publish.AgoraOptions": "channel.AgoraOptions",
    "publish.Channel": "channel.Channel",
    "publish.RoomChannel": "channel.RoomChannel",
    "publish.Rooms": "channel.Rooms",
}

RENAMED = {
    "agents.brain.Word": "TimedWord",
    "agents.chat.Reply": "Completion",
    "agents.ear.Ear": "TurnDetector",
    "agents.history.History": "ChatContext",
    "agents.tts.Speaker": "SynthesisStream",
    "agents.vad.Turn": "TurnBoundary",
    "agents.vad.TurnDetector": "Endpointer",
}
"""Names in modules of 0.1 that are others where the module is now."""

_STILL_PUBLIC = {"g711", "opus", "render"}
"""Paths that `lipwire` itself offers under the old name; no warning."""


def extra_for(missing: ModuleNotFoundError) -> str | None:
    """The extra that brings what is missing; None = no extra does."""
    return EXTRAS.get((missing.name or "").partition(".")[0])


def installed(name: str) -> bool:
    """Whether a package can be imported; it is not."""
    return find_spec(name) is not None


def attribute(package: str, where: Mapping[str, str], name: str) -> Any:
    """For a package's `__getattr__`: the attribute `name` of the module that `where` names, kept from now on.

    Raises:
        AttributeError: there is none. ModuleNotFoundError: it needs an extra; the message says which.
    """
    if name not in where:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    try:
        module = import_module(where[name], package)
    except ModuleNotFoundError as exc:
        extra = extra_for(exc)
        if extra is None:
            raise
        raise ModuleNotFoundError(
            f"{package}.{name} needs {exc.name}: pip install 'lipwire[{extra}]'", name=exc.name
        ) from exc
    value = getattr(module, name, module)
    setattr(sys.modules[package], name, value)
    return value


def moved(package: str, name: str) -> Any:
    """For a module's `__getattr__`: a name that was here in 0.1. Raises AttributeError for another."""
    old = f"{package.removeprefix('lipwire.')}.{name}"
    if old not in MOVED_NAMES:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    new = MOVED_NAMES[old]
    warnings.warn(f"lipwire.{old} is now lipwire.{new}", DeprecationWarning, stacklevel=3)
    place, _, name = new.rpartition(".")
    return getattr(import_module(f"lipwire.{place}"), name)


_KEEP_FACE = {"render", "lipsync", *(old.rpartition(".")[0] for old in RENAMED)}
"""The first is called; below the second, modules would be found a second time; the others have names that changed."""


def whole(place: str) -> str:
    """The module that an entry of `MOVED` names."""
    return place if place.startswith("lipwire_") else f"lipwire.{place}"


def _import(place: str) -> ModuleType:
    try:
        return import_module(whole(place))
    except ModuleNotFoundError as exc:
        if exc.name != "lipwire_lipsync":
            raise
        raise ModuleNotFoundError("lipwire.lipsync is a package of its own: pip install lipwire-lipsync") from exc


class _Face(ModuleType):
    """A module of 0.1: everything in it is where it is now."""

    def __init__(self, name: str, places: Sequence[str]) -> None:
        super().__init__(name, f"Moved: see {', '.join(map(whole, places))}.")
        self._places = [_import(place) for place in places]

    def __getattr__(self, name: str) -> Any:
        name = RENAMED.get(f"{self.__name__.partition('.')[2]}.{name}", name)
        for place in self._places if not name.startswith("__") else ():
            if hasattr(place, name):
                return getattr(place, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # `import lipwire.render` puts this module in the place of the function `lipwire.render`.
        return self.__getattr__(self.__name__.rpartition(".")[2])(*args, **kwargs)


def _for_an_import_of_ours() -> bool:
    """Whether what asks for a module is an `import` in one of our own. It is not where one is only looked for
    (`importlib.util.find_spec`), or where a user's program tries one."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib")):
        if frame.f_code.co_name == "find_spec":
            return False
        frame = frame.f_back
    return frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "lipwire"


class _Moved:
    """Finds the modules of 0.1 (PEP 451). It is asked last, so for what is missing, too: where one of our own modules
    needs that, the error says how to get it."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname in EXTRAS and _for_an_import_of_ours():
            how = f"pip install 'lipwire[{EXTRAS[fullname]}]'"
            raise ModuleNotFoundError(
                f"this part of lipwire needs {fullname}, which is not installed: {how}", name=fullname
            )
        package, _, name = fullname.partition(".")
        loader: Any = _Moved
        if package != "lipwire" or name not in MOVED:
            return None
        return ModuleSpec(fullname, loader, is_package=any(other.startswith(f"{name}.") for other in MOVED))

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        name = spec.name.partition(".")[2]
        if name not in _STILL_PUBLIC:
            warnings.warn(
                f"lipwire.{name} is now {' and '.join(map(whole, MOVED[name]))}",
                DeprecationWarning,
                stacklevel=2,
            )
        return _Face(spec.name, MOVED[name])

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Puts the module itself in its face's place, where it is one: what imports it then gets that."""
        name = module.__name__.partition(".")[2]
        if len(MOVED[name]) == 1 and name not in _KEEP_FACE:
            sys.modules[module.__name__] = _import(MOVED[name][0])


def find_moved() -> None:
    """Makes `import lipwire.<a module of 0.1>` work."""
    if _Moved not in sys.meta_path:
        sys.meta_path.append(_Moved)
