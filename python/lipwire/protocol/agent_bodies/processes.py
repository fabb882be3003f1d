"""Bodies of /start_agent and its kin (reference 003), and of /token (reference 001)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .fields import Channel, Flag, Language, Name, Short, Text, Uid


class StartAgent(Struct, kw_only=True):
    """Body of POST /start_agent (reference 003). `avatar` is an addition of ours: the name of a face. Without `voice`
    the agent has that of its face; without a face, "alloy"."""

    channel_name: Channel
    uid: Uid = 0
    language: Language = "en"
    system_instruction: Text = ""
    voice: Name = ""
    avatar: Short = ""


class StopAgent(Struct, kw_only=True):
    """Body of POST /stop_agent."""

    channel_name: Channel


Command = Literal[
    "update_instruction",
    "update_turn_detection",
    "send_user_text",
    "send_system_text",
    "create_response",
    "commit_audio_buffer",
]
NEEDS: dict[str, str | None] = {
    "update_instruction": "new_instruction",
    "update_turn_detection": "new_turn_detection",
    "send_user_text": "input_text",
    "send_system_text": "input_text",
    "create_response": "new_instruction",
    "commit_audio_buffer": None,
}
"""What each command must come with."""


class ControlAgent(Struct, kw_only=True):
    """Body of POST /control_agent."""

    channel_name: Channel
    command: Annotated[Command, Meta(description=f"one of {', '.join(NEEDS)}")]
    new_instruction: Text = ""
    new_turn_detection: Flag = True
    input_text: Text = ""


class TokenRequest(Struct, kw_only=True):
    """Body (or query) of /token; what is not given is made up."""

    channel: Channel = ""
    uid: Uid = 0
