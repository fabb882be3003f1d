"""`lipwire agent`: a server with one agent in one of its channels."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from ..agents.config import AgentConfig, BrainKind, Tool
from ..agents.describe import Changes, make_config
from ..agents.describe import prompt as prompt_changes
from ..agents.errors import AgentStartFailed
from ..agents.rest.reading import check_body
from ..agents.speech.turn_detector import told as turns_told
from ..errors import InvalidArgument
from ..protocol.agent_bodies import Asr, TokenRequest
from ..publish.live_film import check_new_film
from ..servers.rooms import PICTURE
from .agent_page import fit
from .agent_setup import AgentSetup
from .config import Config
from .lifetime import run_service
from .links import link_note, shown_link
from .local_llm import DEFAULTS, Found, told
from .service import Service

NO_AVATAR = "none"


def load_tools(places: Iterable[str]) -> list[Tool]:
    """The functions that the model may call.

    Args:
        places: "module:name" each: a module that Python finds from the working directory, and in it a function, a
            `Tool`, or a list of them.

    Raises:
        InvalidArgument: there is no such thing, or a function cannot be described.
    """
    tools: list[Tool] = []
    for place in places:
        module, colon, name = place.partition(":")
        if not (module and colon and name):
            raise InvalidArgument(f"tool {place!r}: write it as module:function")
        here = os.getcwd()
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as exc:
            raise InvalidArgument(f"tool {place!r}: there is no module {exc.name}") from exc
        except AttributeError:
            raise InvalidArgument(f"tool {place!r}: {module} has no {name}") from None
        tools += [_tool(one, place) for one in (found if isinstance(found, list | tuple) else [found])]
    names = [tool.name for tool in tools]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidArgument(f"tools have one name twice: {', '.join(sorted(twice))}")
    return tools


def _tool(found: Any, place: str) -> Tool:
    if isinstance(found, Tool):
        return found
    if not callable(found):
        raise InvalidArgument(f"tool {place!r} is no function but a {type(found).__name__}")
    return describe_tool(found)


def describe_tool(function: Callable[..., Any]) -> Tool:
    """A function as a tool: its name, the first paragraph of its docstring, and its parameters' types as JSON Schema.

    Raises:
        InvalidArgument: it has parameters that cannot be passed by name, or of types that JSON does not know.
    """
    name = function.__name__
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidArgument(f"tool {name}: parameter {parameter.name} cannot be passed by name")
        kind = hints.get(parameter.name, Any)
        given = parameter.default
        fields.append((parameter.name, kind) if given is parameter.empty else (parameter.name, kind, given))
    try:
        struct = msgspec.defstruct("Arguments", fields, kw_only=True)
        _, components = msgspec.json.schema_components([struct])
    except (TypeError, ValueError) as exc:
        raise InvalidArgument(f"tool {name}: its parameters have no JSON Schema: {exc}") from exc
    schema = components.pop("Arguments")
    schema.pop("title", None)
    if components:
        raise InvalidArgument(f"tool {name}: parameters must be plain types, not {', '.join(components)}")
    text = inspect.getdoc(function) or ""
    return Tool(name=name, description=text.partition("\n\n")[0], parameters=schema, run=function)


def take_model(config: Config, model: str | None) -> Config:
    """The settings, where the command line names a chat `model`, if only the default one: then the brain is the one
    that asks it.

    Raises:
        InvalidArgument: another brain is set.
    """
    if model is None:
        return config
    if config.agent_brain not in (None, "cascade"):
        raise InvalidArgument(f"--llm-model: the brain {config.agent_brain} asks no chat model; take --brain cascade")
    return msgspec.structs.replace(config, agent_brain="cascade", llm_model=model)


def choose_brain(config: Config, llm_key: str | None = None) -> BrainKind:
    """The brain that was asked for; else cascade where a chat service or model is named, realtime where there is a key
    for it, the guide where it can hear and speak, or echo, which needs nothing.

    Raises:
        AgentStartFailed: something that it needs is missing.
    """
    missing = AgentSetup(config).missing(llm_key)
    brain: BrainKind = config.agent_brain or _default_brain(config, llm_key, missing["guide"])
    if missing[brain]:
        raise AgentStartFailed(f"the brain {brain} needs {'; '.join(missing[brain])}. Or take --brain echo")
    return brain


def _default_brain(config: Config, llm_key: str | None, guide_lacks: list[str]) -> BrainKind:
    """The brain where nobody has said which."""
    if config.llm_url != DEFAULTS.llm_url or config.llm_model != DEFAULTS.llm_model or llm_key:
        return "cascade"  # which says what is missing for it
    if config.openai_api_key or config.openai_url:
        return "realtime"
    return "echo" if guide_lacks else "guide"


def describe_agent(
    config: Config,
    channel: str,
    *,
    name: str | None = None,
    uid: int = 0,
    prompt: str | None = None,
    greeting: str | None = None,
    voice: str | None = None,
    language: str = "en-US",
    llm_key: str | None = None,
    avatar: str = NO_AVATAR,
    tools: Iterable[str] = (),
    idle_timeout: float = 0.0,
    film: str | None = None,
) -> AgentConfig:
    """What the command line asks for, checked as the REST API would.

    Raises:
        InvalidArgument: something is out of range; it says what.
    """
    check_body(TokenRequest, {"channel": channel, "uid": uid})
    check_body(Asr, {"language": language})
    if film is not None:
        check_new_film(Path(film))
    changes: Changes = {
        "brain": choose_brain(config, llm_key),
        "uid": str(uid),
        "language": language,
        "voice_commands": True,
        "idle_timeout": idle_timeout,
        "llm.greeting_message": greeting,
        "llm.api_key": llm_key,
        "avatar": None if avatar == NO_AVATAR else avatar,
        "width": PICTURE[0],
        "height": PICTURE[1],
        "tools": load_tools(tools),
        "film": film or "",
    }
    if voice:
        changes["voice"] = voice
    return make_config(name or f"agent in {channel}", channel, changes | prompt_changes(prompt or ""))


async def run_agent(
    config: Config, agent: AgentConfig, console: Console, asked: asyncio.Event, found: Found | None = None
) -> None:
    """Runs the server and the agent until the agent ends, or until it is `asked` to end: then in good order. `found`:
    where it thinks, if that was found on this machine.

    Raises:
        AgentError: it cannot start. AgentStartFailed: it ran, and failed.
    """
    notes = told(found, None if config.agent_brain else agent.brain)
    config = msgspec.structs.replace(config, agent_brain=agent.brain)
    service = Service(config)

    async def live() -> None:
        # The user's own words, which may be paths.
        (face, agent.avatar), (voice, agent.voice) = (agent.avatar, None), (agent.voice, "")
        service.agent_setup.prepare(agent)
        agent.avatar, agent.voice = face, voice
        fit(agent, service.has_room_for)
        record = await service.agents.start(agent, prepared=True)
        assert record.task is not None
        where = "Agora channel" if service.agent_setup.in_agora else "room"
        shown = "sound only" if face is None else f"avatar {face} at {agent.width}x{agent.height}"
        kind = f"brain {agent.brain}, {shown}, voice {agent.voice or 'none'}"
        console.print(f"agent      {record.id} in {where} {agent.channel!r}: {kind}", markup=False, soft_wrap=True)
        if (ears := service.agent_setup.ears(agent)) is not None:
            console.print(f"ears       {ears}", markup=False, soft_wrap=True)
        if agent.brain != "realtime":
            console.print(f"turns      {turns_told(config.end_of_turn)}", markup=False, soft_wrap=True)
        for line in notes:
            console.print(line, markup=False, soft_wrap=True)
        if agent.film:
            console.print(f"recording  the agent, into {agent.film}", markup=False, soft_wrap=True)
        console.print(f"HTTP       {service.http_url}  (docs at {service.http_url}/schema)")
        if config.viewer:
            console.print(f"talk to it {shown_link(service, console, agent.channel)}", markup=False, soft_wrap=True)
            if (note := link_note(service, console)) is not None:
                console.print(f"           ({note})", soft_wrap=True)
        if config.api_key is None:
            console.print(f"API key    {service.api_key}  (random; set LIPWIRE_API_KEY to keep one)", soft_wrap=True)
        console.print("Ctrl-C ends it.")
        await asyncio.wait({record.task})
        if record.status == "FAILED":
            raise AgentStartFailed(f"the agent failed: {record.reason}")
        console.print(f"the agent has left: {record.reason}", markup=False)

    await run_service(service, live, asked)
