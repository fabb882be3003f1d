"""Whether what a client asks for can be had of the services that it names, so that it hears of it at once. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidArgument
from .config import Llm, Tool


def check_style(llm: Llm, tools: Sequence[Tool] = ()) -> None:
    """Whether a service of that style can be asked for all of it. Raises InvalidArgument: it cannot."""
    if llm.style == "openai":
        return
    style = f"a service of style {llm.style!r}"
    if "audio" in llm.output_modalities:
        raise InvalidArgument(f"llm.output_modalities: {style} answers with text; leave out audio")
    if llm.custom:
        raise InvalidArgument(f"llm.vendor: 'custom' is of style 'openai', not {llm.style!r}; leave out one of them")
    if llm.metadata_enabled:
        raise InvalidArgument(f"llm.extra_metadata: {style} takes none; put its own members into llm.params")
    if llm.style == "dify" and (tools or llm.mcp_servers):
        name = "llm.tools" if tools else "llm.mcp_servers"
        raise InvalidArgument(f"{name}: an app of Dify's has its tools there, and takes none of a request's")
