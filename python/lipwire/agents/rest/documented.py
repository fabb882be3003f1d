"""What becomes of each field of v2's join that Agora's documents and SDK know: the table of docs/agents/rest.md.

Whoever reads a body refuses by the same table, so that it cannot say one thing and the server do another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any, Literal

from msgspec import Struct, field

from .reading import Given
from .sections.mllm import OTHERS, VENDORS
from .sections.speech import ASR_VENDORS, OWN_EARS, PRESETS, STOOD_IN_FOR

Class = Literal["done", "refused", "harmless"]


class Row(Struct, frozen=True):
    """Fields of which the same is to be said.

    `path`: below `properties`, but for `preset` and `pipeline_id`, which stand beside them; "{a,b}" stands for each of
    several names, "[]" for each of a list's, a "*" at the end for whatever is below.
    """

    path: str
    means: Class
    words: str = ""
    values: dict[str, str] = field(default_factory=dict)
    """Values that are refused, and why."""

    @property
    def paths(self) -> list[str]:
        """Each path."""
        return list(_spread(self.path))

    def covers(self, path: str) -> bool:
        """Whether it is one of these."""
        return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in self.paths)


def _spread(path: str) -> Iterator[str]:
    found = re.search(r"\{([^{}]+)\}", path)
    if found is None:
        yield path
        return
    for name in found[1].split(","):
        yield from _spread(path[: found.start()] + name.strip() + path[found.end() :])


def _named(*vendors: Set[str]) -> str:
    *most, last = sorted(set().union(*vendors))
    return f"{', '.join(most)} and {last}"


GEMINIS = "must be left out: it is Gemini's"
MODE = "where it is left out that of the one config that is there; configs of another mode are not used"
THERE = "a section that says anything is enabled, unless this is false"
TABLE: tuple[Row, ...] = (
    Row("preset", "done", f"the server's own services stand in for {', '.join(PRESETS)}; others are refused"),
    Row("pipeline_id", "done", "the server's own settings stand in for a pipeline that lies with Agora"),
    # -- the channel
    Row("channel", "done"),
    Row("token", "done", "null or absent: made where the server has the certificate"),
    Row(
        "{agent_rtc_uid,remote_rtc_uids}",
        "done",
        'strings or numbers; "0" = any, and of `remote_rtc_uids` everyone, as `["*"]`, unless `enable_string_uid`',
    ),
    Row("enable_string_uid", "done"),
    Row("idle_timeout", "done", "seconds, 0 = never; 72 h are no limit here"),
    Row("geofence.{area,exclude_area}", "harmless", "the agent runs where the server is"),
    Row("labels", "done", "come back in webhooks"),
    Row(
        "rtc.{encryption_key,encryption_mode,encryption_salt}",
        "done",
        "in an Agora channel; modes 7 and 8 need a salt of 32 bytes",
    ),
    Row("advanced_features.enable_rtm", "harmless", "what goes by RTM there goes by data messages here"),
    Row("advanced_features.enable_tools", "done", "must be true with tools or mcp_servers; false: they are not used"),
    Row("advanced_features.enable_mllm", "done", "older word for mllm.enable"),
    Row(
        "advanced_features.enable_sal",
        "refused",
        "must be false: this server does not tell speakers apart by their voices",
    ),
    Row(
        "sal.{sal_mode,sample_urls}",
        "refused",
        "must be left out: this server does not tell speakers apart by their voices",
    ),
    Row(
        "parameters.data_channel", "harmless", "what is said goes by data messages either way ([the toolkit](rooms.md))"
    ),
    Row("parameters.{enable_metrics,enable_error_message}", "done", "true where nothing is said"),
    Row("parameters.audio_scenario", "harmless", "the top-level `audio_scenario` (0, 9) is the one of Agora's SDK"),
    Row("parameters.opt_out", "harmless", "nothing of a session is kept beyond what the server is set to"),
    # -- what it says by itself
    Row("parameters.silence_config.{timeout_ms,action,content}", "done", "[silence](runtime.md)"),
    Row("parameters.farewell_config.{graceful_enabled,graceful_timeout_seconds}", "done", "30 s where nothing is said"),
    Row("filler_words.enable", "done", THERE),
    Row("filler_words.trigger.{mode,fixed_time_config.response_wait_ms}", "done"),
    Row("filler_words.content.mode", "done", '"generated" needs `static_config` as well, whose phrases are said'),
    Row("filler_words.content.static_config.{phrases,selection_rule}", "done"),
    Row("filler_words.content.generated_config.*", "harmless", "its fallback is what is said"),
    # -- hearing and speaking
    Row(
        "asr.vendor",
        "done",
        "a vendor whose key is in `params` is called ([which](brains.md)); without a key the server's own ears hear "
        f"for {_named(STOOD_IN_FOR & set(ASR_VENDORS), OWN_EARS)}, and for who names none; other vendors are refused",
    ),
    Row(
        "asr.language",
        "done",
        '"auto", "multi" and "" are en-US, with a vendor, too: none is detected (Deepgram: `params.language` "multi"), '
        "which `services.language` of the answer says",
    ),
    Row("asr.keywords", "done", "the server's own ears are told, too; pocketsphinx cannot be"),
    Row("asr.params*", "done", "the vendor's own fields: what it does not know is refused"),
    Row(
        "tts.vendor",
        "done",
        "a vendor whose key is in `params` is called ([which](voices.md)), microsoft where none is named; without a "
        f"key the server's own voice speaks for {_named(STOOD_IN_FOR)}; other vendors are refused",
    ),
    Row(
        "tts.params*",
        "done",
        "the vendor's own fields; without a key `voice_name`, `voice_id` or `voice` names the server's voice",
    ),
    Row("tts.{url,headers}", "done", "of generic_http; `headers` also for the server's own `tts_url`"),
    Row("tts.skip_patterns", "done"),
    Row("tts.credential_mode", "done", '"managed": without a key the server\'s own voice speaks, whatever the vendor'),
    # -- llm
    Row("llm.{url,api_key,headers}", "done", "without `url` the server's own LLM; a 400 where it has none"),
    Row(
        "llm.style",
        "done",
        "",
        {
            "bedrock": "must be openai, anthropic, gemini or dify: this server signs no requests for AWS; name a "
            "gateway with OpenAI's protocol in front of Bedrock"
        },
    ),
    Row(
        "llm.{access_key,secret_key,region}",
        "refused",
        "must be left out: they are bedrock's, which is not spoken here",
    ),
    Row(
        "llm.vendor",
        "done",
        '"custom" adds turn_id and timestamp to each message; another name changes nothing, the dialect is `style`',
    ),
    Row("llm.model", "done", "where `params` has none"),
    Row("llm.params*", "done"),
    Row("llm.system_messages", "done"),
    Row("llm.max_history", "done", "32 where nothing is said"),
    Row("llm.{input_modalities,output_modalities}", "done"),
    Row("llm.{greeting_message,failure_message}", "done"),
    Row("llm.greeting_audio_url", "done"),
    Row("llm.greeting_configs.{mode,delay_ms,interruptable,audio_download_timeout_ms,audio_pcm_sample_rate}", "done"),
    Row(
        "llm.greeting_configs.uninterruptible_asr_policy",
        "done",
        "what is said meanwhile is answered after it",
        {"context": 'must be "merge_reply": what a user says during the greeting is answered here'},
    ),
    Row("llm.ignore_empty", "done"),
    Row(
        "llm.template_variables",
        "done",
        "once, in system_messages, greeting_message, failure_message and silence content",
    ),
    Row("llm.mcp_servers", "done", "`name endpoint transport headers allowed_tools timeout_ms`"),
    Row("llm.tools[].{type,execution.mode}", "done", '"function", "sync"'),
    Row("llm.tools[].function.{name,description,parameters*}", "done"),
    Row("llm.tools[].server.{method,url,headers,body,timeout_ms}", "done", "no placeholder in the host of a url"),
    # -- mllm
    Row("mllm.enable", "done", THERE),
    Row("mllm.vendor", "done", f"{' and '.join(VENDORS)}; {', '.join(OTHERS)} are refused"),
    Row("mllm.{url,api_key,messages}", "done", "without `url` the server's own"),
    Row("mllm.params.{model,voice,instructions}", "done"),
    Row("mllm.params.input_audio_transcription*", "done"),
    Row("mllm.params.{transcribe_agent,transcribe_user}", "done", "always; false is refused"),
    Row("mllm.params.{affective_dialog,proactive_audio,http_options*}", "refused", GEMINIS),
    Row("mllm.params.{language,sample_rate}", "refused", "must be left out: it is xAI's"),
    Row("mllm.{adc_credentials_string,project_id,location}", "refused", "must be left out: it is Vertex AI's"),
    Row("mllm.max_history", "harmless", "the model's service keeps the conversation"),
    Row("mllm.input_modalities", "done", "must have audio; with image it is shown pictures"),
    Row("mllm.output_modalities", "done", "must have audio; its text is always there"),
    Row("mllm.{greeting_message,failure_message}", "done"),
    Row("mllm.tools[].{type,execution.mode}", "done"),
    Row("mllm.tools[].function.{name,description,parameters*}", "done"),
    Row("mllm.tools[].server.{method,url,headers,body,timeout_ms}", "done"),
    Row("mllm.mcp_servers[].{name,endpoint,transport,headers,allowed_tools,timeout_ms}", "done"),
    Row(
        "mllm.turn_detection.mode",
        "done",
        "goes before the top-level `turn_detection`, which holds where this is not there",
    ),
    Row("mllm.turn_detection.agora_vad_config.{prefix_padding_ms,silence_duration_ms,threshold}", "done"),
    Row(
        "mllm.turn_detection.agora_vad_config.interrupt_duration_ms",
        "refused",
        "must be left out: the model's service finds where speech begins",
    ),
    Row(
        "mllm.turn_detection.server_vad_config.{prefix_padding_ms,silence_duration_ms,threshold,idle_timeout_ms}",
        "done",
    ),
    Row(
        "mllm.turn_detection.server_vad_config.{start_of_speech_sensitivity,end_of_speech_sensitivity}",
        "refused",
        GEMINIS,
    ),
    Row("mllm.turn_detection.semantic_vad_config.eagerness", "done"),
    # -- the face
    Row("avatar.enable", "done", f"{THERE}, whatever the vendor"),
    Row(
        "avatar.vendor",
        "done",
        '"generic": a face of this server, or with `params.api_base_url` anybody\'s; others are told what to use',
    ),
    Row(
        "avatar.params",
        "done",
        "works with mllm, too; an `avatar_id` that is not here shows the server's own face, unless `any_avatar` is "
        "false",
    ),
    # -- turns
    Row("turn_detection.mode", "done", '"default"'),
    Row("turn_detection.config.speech_threshold", "done"),
    Row("turn_detection.config.start_of_speech.mode", "done", MODE),
    Row(
        "turn_detection.config.start_of_speech.vad_config.{interrupt_duration_ms,speaking_interrupt_duration_ms,prefix_padding_ms}",
        "done",
    ),
    Row(
        "turn_detection.config.start_of_speech.keywords_config.{interrupt_duration_ms,prefix_padding_ms,triggered_keywords}",
        "done",
        "deprecated for `interruption`",
    ),
    Row("turn_detection.config.start_of_speech.disabled_config.strategy", "done", "deprecated for `interruption`"),
    Row("turn_detection.config.end_of_speech.mode", "done", MODE),
    Row("turn_detection.config.end_of_speech.vad_config.silence_duration_ms", "done"),
    Row(
        "turn_detection.config.end_of_speech.semantic_config.{silence_duration_ms,max_wait_ms,pause_state_enabled}",
        "done",
    ),
    Row("turn_detection.language", "done", "where `asr.language` is not there"),
    Row(
        "turn_detection.{threshold,prefix_padding_ms,silence_duration_ms,interrupt_duration_ms}",
        "done",
        "older flat words; `config` goes before them",
    ),
    Row(
        "turn_detection.{interrupt_mode,interrupt_keywords}",
        "done",
        'deprecated for `interruption`; "adaptive": while the agent speaks, voice must last 320 ms; '
        "`interrupt_keywords` alone have the mode of keywords",
    ),
    Row("turn_detection.type", "done", 'with mllm; without it must be "agora_vad"'),
    Row("turn_detection.{create_response,interrupt_response}", "done", "always; false is refused"),
    Row("turn_detection.eagerness", "done", 'with mllm and type "semantic_vad"; else must be "auto"'),
    Row(
        "interruption.{enable,mode,keywords_config.trigger_keywords,disabled_config.strategy}",
        "done",
        f"{MODE}; `disabled_config` needs `enable`, which is false with it",
    ),
)
"""Each field once. What turns out not to be there is refused by changing its row: `means`, or one of its `values`."""


def check(given: Given) -> None:
    """Refuses what the table refuses: a field of a body that says anything (true, a text, a list or an object with
    members), or a value."""
    for row in TABLE:
        if row.means != "refused" and not row.values:
            continue
        for path in (path.removesuffix("*") for path in row.paths):
            value = given.get(path)
            if row.means == "refused" and _says(value):
                given.refuse(path, row.words)
            elif isinstance(value, str) and value in row.values:
                given.refuse(path, row.values[value])


def _says(value: Any) -> bool:
    return any(inner is not None for inner in value.values()) if isinstance(value, dict) else bool(value)


def markdown() -> str:
    """The table of the docs."""
    lines = ["| field of `properties` | | |", "|---|---|---|"]
    for row in TABLE:
        refused = "; ".join(f"`{value}` is refused" for value in row.values)
        words = "; ".join(text for text in (row.words, refused) if text)
        lines.append(f"| `{row.path}` | {row.means} | {words} |")
    return "\n".join(lines) + "\n"
