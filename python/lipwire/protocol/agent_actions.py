"""The wire of what a running agent is asked to do, and asked about, over REST v2 (protocol.md C): bodies and answers.

How a body is declared stands in `agent_bodies`.
"""

from __future__ import annotations

from .agent_bodies import ErrorReply


class ConflictReply(ErrorReply, kw_only=True, omit_defaults=True):
    """Body of a 409 of v2."""

    agent_id: str = ""
    """The agent that is in the way, where it is one of the caller's."""
