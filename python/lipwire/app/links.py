"""The links to the pages that a command prints."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console


class Linked(Protocol):
    """A server that has pages."""

    @property
    def open(self) -> bool:
        """They ask nobody for a token."""
        ...

    def page_link(self, channel: str | None = None, *, token: bool = True) -> str: ...


def shown_link(service: Linked, console: Console, channel: str | None = None) -> str:
    """A page's link for this console: with a token only where that is a terminal. What is printed elsewhere is kept, in
    systemd's journal or a container's log, and read by others."""
    return service.page_link(channel, token=console.file.isatty())


def link_note(service: Linked, console: Console) -> str | None:
    """What is to be known of these links; None where they need no token."""
    if service.open:
        return None
    if console.file.isatty():
        return "these links open everything for an hour; lipwire token makes others"
    return "no token is printed where this is no terminal; lipwire token makes links that have one"
