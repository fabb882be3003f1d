"""The links that a command prints: with a token for a terminal alone."""

from __future__ import annotations

import io
import os
import pty
from typing import Any

from rich.console import Console

from lipwire.app.config import Config
from lipwire.app.links import link_note, shown_link
from lipwire.app.service import Service
from lipwire.protocol.tokens import verify_access

SECRET = "s" * 32
PORTS: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0}


def test_a_terminal_is_shown_a_token_and_nothing_else_is() -> None:
    service = Service(Config(**PORTS, api_key="k", session_secret=SECRET))
    kept = Console(file=io.StringIO(), force_terminal=True)  # colours are no terminal: FORCE_COLOR
    assert shown_link(service, kept) == service.public_viewer_url
    assert shown_link(service, kept, "the lobby") == f"{service.public_viewer_url}agent?channel=the%20lobby"
    assert "no token is printed" in (link_note(service, kept) or "")

    here, there = pty.openpty()
    try:
        with open(there, "w") as file:
            terminal = Console(file=file)
            page, _, token = shown_link(service, terminal, "lobby").partition("#token=")
            assert page == f"{service.public_viewer_url}agent?channel=lobby"
            assert verify_access(token, SECRET, now=0).role == "admin"
            assert "for an hour" in (link_note(service, terminal) or "")
    finally:
        os.close(here)


def test_pages_that_ask_for_nothing_have_plain_links() -> None:
    service = Service(Config(**PORTS))
    kept = Console(file=io.StringIO())
    assert (shown_link(service, kept), link_note(service, kept)) == (service.viewer_url, None)
