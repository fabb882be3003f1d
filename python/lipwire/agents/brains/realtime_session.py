"""The configuration of a session of OpenAI Realtime, in the shape of its GA; no I/O.

A client that brings its own realtime model (`AgentConfig.realtime`) says more of it, in `params`: members of the
session, by their names of today or of the beta, which Agora's clients still use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import AgentConfig
from ..describe import openai_voice
from ..openai_models import TRANSCRIPTION
from ..realtime_socket import RATE

_PLACES: dict[str, tuple[str, ...]] = {
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "max_response_output_tokens": ("max_output_tokens",),
    "modalities": ("output_modalities",),
}
"""Where what the beta had at the top stands now."""
_ELSEWHERE = frozenset({"model", "type", "tools", "input_audio_format", "output_audio_format"})
"""What `params` do not say: the model is in the URL, the functions are the agent's, the sound is PCM at 24 kHz."""


def session(config: AgentConfig, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """What `session.update` sends. `tools`: as `Toolbox.for_realtime` has them."""
    detection = config.turn_detection
    vad: dict[str, Any] | None = {
        "type": "server_vad",
        "threshold": detection.threshold,
        "prefix_padding_ms": detection.prefix_padding_ms,
        "silence_duration_ms": detection.plain_ms,
    }
    transcription: dict[str, Any] = {"model": TRANSCRIPTION, "language": config.language.partition("-")[0]}
    made: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {
            "input": {"transcription": transcription, "turn_detection": vad},
            "output": {"voice": openai_voice(config.voice)},
        },
        "tools": tools,
        "tool_choice": "auto",
    }
    if config.instructions is not None:
        made["instructions"] = config.instructions
    if (theirs := config.realtime) is not None:
        for name, value in theirs.params.items():
            if name not in _ELSEWHERE:
                _put(made, _PLACES.get(name, (name,)), value)
        if theirs.turn_detection:
            made["audio"]["input"]["turn_detection"] = dict(theirs.turn_detection)
        if "audio" in made["output_modalities"]:
            made["output_modalities"] = ["audio"]  # with its text, and never both
    sound = made["audio"]["input"]
    if isinstance(sound["transcription"], dict):
        sound["transcription"] = {"model": TRANSCRIPTION} | sound["transcription"]
    if not detection.enabled:
        sound["turn_detection"] = None
    elif isinstance(sound["turn_detection"], dict):
        # The agent may be saying what is not to be interrupted; and an answer costs no time if it is asked for there.
        sound["turn_detection"] = sound["turn_detection"] | {"create_response": True, "interrupt_response": False}
    for way in ("input", "output"):
        made["audio"][way]["format"] = {"type": "audio/pcm", "rate": RATE}
    return made


def _put(made: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    """Sets a member; of an object that is there already (`audio`), its members."""
    *above, name = place
    for one in above:
        made = made[one]
    if name == "audio" and isinstance(value, Mapping):
        for way, members in value.items():
            if way in made["audio"] and isinstance(members, Mapping):
                made["audio"][way] |= members
    else:
        made[name] = value
