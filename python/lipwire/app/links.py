"""The links to the pages that a command prints."""

from __future__ import annotations

from rich.console import Console

from .service import Service


def shown_link(service: Service, console: Console, channel: str | None = None) -> str:
    """A page's link for this console: with a token only where that is a terminal. What is printed elsewhere is kept, in
    systemd's journal or a container's log, and read by others."""
    return service.page_link(channel, token=console.file.isatty())


def link_note(service: Service, console: Console) -> str | None:
    """What is to be known of these links; None where they need no token."""
    if service.gate.open:
        return None
    if console.file.isatty():
        return "these links open everything for an hour; lipwire token makes others"
    return "no token is printed where this is no terminal; lipwire token makes links that have one"
