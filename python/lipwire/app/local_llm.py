"""A chat model on this machine, for who has said nothing of where an agent thinks.

Servers such as Ollama and LM Studio listen on ports of their own and all answer `GET /v1/models` as OpenAI does. They
are asked at once, on loopback and nowhere else, and only where no key, header or URL has been set that could go astray.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from ..errors import InvalidArgument
from ..outward import redact
from .config import Config, is_loopback

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("lipwire.agents")

HOSTS = ("127.0.0.1", "[::1]")


class Port(Struct, frozen=True):
    """Where a server listens by default."""

    number: int
    name: str
    """Of the server that has this port by default; another one may sit there."""
    path: str = "/v1"


PORTS: tuple[Port, ...] = (
    Port(11434, "Ollama"),
    Port(1234, "LM Studio"),
    Port(8080, "llama.cpp or LocalAI"),
    Port(8000, "vLLM"),
    Port(1337, "Jan"),
    Port(5001, "KoboldCpp"),
    Port(5000, "text-generation-webui"),
    Port(4891, "GPT4All"),
    Port(30000, "SGLang"),
    Port(4000, "LiteLLM"),
    Port(12434, "Docker Model Runner", "/engines/v1"),
)
"""In the order in which they are preferred."""
TIMEOUT = 2.0
"""Seconds that all of them have together; on loopback an answer takes a millisecond, and a closed port none."""
MAX_LIST = 1 << 20
"""Bytes of a list of models that are read."""
MAX_MODELS = 1000

_NO_CHAT = re.compile(
    r"embed|rerank|whisper|moderation|guard|minilm|colbert|transcribe|"
    r"(?:^|[-_/.: ])(?:bge|gte|e5|clip|tts|stt|asr|flux|sdxl|stable-diffusion|base)(?:$|[-_/.: \d])",
    re.IGNORECASE,
)
"""Names of models that do not chat."""
_SLOW = re.compile(r"deepseek-r1|r1-distill|\bqwq\b|thinking|reason|magistral|gpt-oss", re.IGNORECASE)
"""Those that think long before they say a word,"""
_CODE = re.compile(r"code|coder|math", re.IGNORECASE)
"""and those that are made for something else than talk."""


class Found(Struct, frozen=True):
    """A server and the model of it that was chosen."""

    url: str
    """Of its chat completions."""
    model: str
    models: tuple[str, ...]
    """All that it has."""
    name: str | None = None
    """What has its port by default; None = the user has named the URL."""

    def told(self) -> str:
        """What was taken, and what else there is, for a terminal."""
        others = [model for model in self.models if model != self.model]
        more = f"; it has {_listed(others)} (--llm-model)" if others else ""
        port = "" if self.name is None else f" (the port of {self.name})"
        return f"{self.model} at {redact(self.url)}{port}{more}"


def choose_model(models: Sequence[str]) -> str | None:
    """The model to talk with: one that chats; rather one that does not think long first; else the server's order. None:
    there is none that chats."""
    chat = [model for model in models if not _NO_CHAT.search(model)]
    return min(chat, key=lambda model: bool(_SLOW.search(model)) + bool(_CODE.search(model)), default=None)


def read_models(body: bytes) -> tuple[str, ...] | None:
    """The names in an answer to `GET /v1/models`, in its order; None where it is no list of models."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(answer, dict) or "data" not in answer:
        return None
    data = answer["data"] or []  # null: Ollama without any
    if not isinstance(data, list) or len(data) > MAX_MODELS:
        return None
    names = [one.get("id") if isinstance(one, dict) else None for one in data]
    if not all(isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() for name in names):
        return None
    return tuple(names)  # type: ignore[arg-type]


async def ask_models(*urls: str) -> list[tuple[str, ...] | None]:
    """The models of servers, which are asked at once. `urls`: of their lists; None where nothing there gives one within
    TIMEOUT."""
    import httpx

    from ..answers import IDENTITY

    # No proxy of the user's; and no certificates, which take 20 ms to read, and which nobody on loopback has.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=TIMEOUT, headers=IDENTITY) as client:
        return await asyncio.gather(*(_ask(client, url) for url in urls))


async def _ask(client: httpx.AsyncClient, url: str) -> tuple[str, ...] | None:
    import httpx

    from ..answers import read_all
    from ..errors import BadData

    try:
        async with asyncio.timeout(TIMEOUT), client.stream("GET", url) as answer:
            if answer.status_code != 200:
                return None
            return read_models(await read_all(answer, MAX_LIST))
    except (BadData, TimeoutError, httpx.HTTPError, OSError):
        return None


async def find(wanted: str | None = None, ports: Iterable[Port] = PORTS, hosts: Iterable[str] = HOSTS) -> Found | None:
    """The first server of this machine that has a model to talk with; None = there is none.

    Args:
        wanted: that model and no other, with or without the ":latest" that Ollama appends; None = the one that seems
            best.
        ports: where to look, the most wanted first. hosts: addresses of this machine.

    Raises:
        InvalidArgument: there are servers with models, and `wanted` is none of them.
    """
    places = [(port, f"http://{host}:{port.number}{port.path}") for port in ports for host in hosts]
    answers = await ask_models(*(f"{base}/models" for _, base in places))
    others: list[str] = []
    for (port, base), models in zip(places, answers, strict=True):
        if models is None:
            continue
        model = choose_model(models) if wanted is None else _named(wanted, models)
        if model is not None:
            return Found(f"{base}/chat/completions", model, models, port.name)
        logger.info("%s: a server of models is there, and has not %s", base, wanted or "one that chats")
        others += [other for other in models if other not in others]
    if wanted is not None and others:
        raise InvalidArgument(
            f"llm_model {wanted!r}: the servers on this machine have {_listed(others)}. Name one of those, "
            "or say where it is (llm_url, or OPENAI_API_KEY)"
        )
    return None


def _named(wanted: str, models: Sequence[str]) -> str | None:
    """The model of that name, as its server writes it."""
    return next((name for name in (wanted, f"{wanted}:latest") if name in models), None)


def _listed(models: Sequence[str]) -> str:
    return f"{', '.join(models[:4])}{' and others' if len(models) > 4 else ''}"


DEFAULTS = Config()


def looks(config: Config, llm_key: str | None = None) -> bool:
    """Whether a server is looked for: nobody has said where an agent thinks, or with whose key."""
    says = config.openai_api_key or config.openai_url or config.llm_headers or llm_key
    named = says or config.llm_url != DEFAULTS.llm_url
    return config.find_llm and not named and config.agent_brain in (None, "cascade")


async def settle_llm(
    config: Config, llm_key: str | None = None, ports: Iterable[Port] = PORTS, named: str | None = None
) -> tuple[Config, Found | None]:
    """The settings with a model of this machine: where nobody has said where an agent thinks, one that is found; where
    the URL of a server of this machine was given and no model, one that it has. And what was found, if anything.

    Args:
        named: the model that somebody has named, who may have named the default one: it, and no other.

    Raises:
        InvalidArgument: see `find`; or what was found has a port of ours.
    """
    own_model = named is not None or config.llm_model != DEFAULTS.llm_model
    found: Found | None = None
    if looks(config, llm_key):
        found = await find(config.llm_model if own_model else None, ports)
    elif config.find_llm and not own_model and not llm_key and is_loopback(urlsplit(config.llm_url).hostname or ""):
        url = config.llm_url
        (models,) = await ask_models(url.removesuffix("/chat/completions") + "/models")
        if models and (model := choose_model(models)) is not None:
            found = Found(url, model, models)
    if found is None:
        return config, None
    settled = structs.replace(config, llm_url=found.url, llm_model=found.model)
    if found.name is not None and (setting := at_ourselves(settled)) is not None:
        raise InvalidArgument(
            f"{setting} {getattr(config, setting)}: {found.name} or another server of models has that port. "
            f"Set {setting} (--{setting.replace('_', '-')}) to another one"
        )
    return settled, found


def at_ourselves(config: Config) -> str | None:
    """The setting of the port, where `llm_url` leads to this server itself; None = it does not."""
    try:
        parts = urlsplit(config.llm_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not is_loopback(host) or not port or not (is_loopback(config.bind) or config.bind in ("0.0.0.0", "::")):
        return None
    names = ["http_port", "ws_port", *(["viewer_port"] if config.viewer else [])]
    return next((name for name in names if getattr(config, name) == port), None)


def told(found: Found | None, brain: str | None) -> list[str]:
    """What to print of where an agent thinks: lines. `brain`: the one that it has; None = it was asked for by name."""
    if found is not None:
        how = [] if found.name is None else ["           (found on this machine; --no-find-llm looks for none)"]
        return [f"model      {found.told()}", *how]
    if brain in ("guide", "echo"):
        what = "a guide by a script" if brain == "guide" else "an echo"
        return [f"model      none: {what} answers. Set OPENAI_API_KEY, start Ollama, or give --llm-url and --llm-model"]
    return []
