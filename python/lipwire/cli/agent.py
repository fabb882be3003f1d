"""`lipwire agent`: a voice agent in a channel, and the page to talk with it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..app.config import Config
from ..avatar import DEFAULT, Avatar
from .options import ApiKey, FindLlm, ServerOptions, out, run_server, with_server_options

DEFAULT_MODEL = Config().llm_model


@with_server_options
def agent(
    server: ServerOptions,
    channel: Annotated[str, typer.Option(help="Name of the channel it joins.")],
    brain: Annotated[
        str | None,
        typer.Option(
            help="realtime, cascade, guide, echo or script (default: cascade with an --llm-url, an --llm-model or "
            "a model that is found, realtime with an OPENAI_API_KEY, else guide)."
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What it is told to be.")] = None,
    greeting: Annotated[str | None, typer.Option(help="Said to the first who comes.")] = None,
    voice: Annotated[
        str | None, typer.Option(help="One that `lipwire voices` lists, or the service's (default: the avatar's).")
    ] = None,
    language: Annotated[str, typer.Option(help="Of speech to text.")] = "en-US",
    llm_url: Annotated[str | None, typer.Option(help="Chat completions for cascade (default: OpenAI's).")] = None,
    llm_model: Annotated[
        str | None,
        typer.Option(
            "--llm-model",
            "--model",
            help=f"Its model (default: {DEFAULT_MODEL}; of a server on this machine, one that it has).",
        ),
    ] = None,
    find_llm: FindLlm = None,
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
    film: Annotated[
        str | None,
        typer.Option(help="Record it into this .mp4 or .webm, what is said beside it as .vtt (default: it is not)."),
    ] = None,
    api_key: ApiKey = None,
) -> None:
    """Put a voice agent into a channel, and serve the page to talk to it."""
    from ..app.agent_setup import check_brain

    config = server.load(
        agent_brain=None if brain is None else check_brain(brain),
        llm_url=llm_url,
        llm_model=llm_model,
        find_llm=find_llm,
        avatar=None if avatar == "none" else avatar,
        api_key=api_key,
    )
    from ..app.agent_command import describe_agent, run_agent, take_model
    from ..app.local_llm import settle_llm

    config, found = asyncio.run(settle_llm(take_model(config, llm_model), llm_key, named=llm_model))
    wanted = describe_agent(
        config,
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
        film=film,
    )
    run_server(lambda asked: run_agent(config, wanted, out, asked, found))
