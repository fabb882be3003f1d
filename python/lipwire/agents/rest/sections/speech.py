"""v2's `asr` and `tts`.

A vendor is called where the client brings its key. Without one the service would use its own account there (which is
what a `preset` is, and the SDK takes the key's fields away then): here the server's own speech service does it, and the
voice is the one that `params` names, where it knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ....protocol.agent_bodies import AnyLanguage, Words, show
from ...describe import Changes
from ...options import Vendor
from ..reading import Given, Target, to
from .shared import headers, voice

OWN_EARS = frozenset({"ares", "fengming"})
"""Vendors of asr that are the service itself."""
NEED_NO_KEY = frozenset({"generic_http"})
STOOD_IN_FOR = frozenset({"deepgram", "openai", "minimax", "microsoft"})
"""Vendors that a client may name without a key: those of the presets, and v2's default."""
DEFAULT = {"asr": "ares", "tts": "microsoft"}
"""The vendors of sections that name none."""
TTS_VENDORS = (
    *("minimax", "microsoft", "elevenlabs", "openai", "cartesia", "google", "amazon", "deepgram", "gradium", "humeai"),
    *("rime", "fishaudio", "mistral", "typecast", "sarvam", "murf", "xai", "smallestai", "generic_http"),
    *("tencent", "bytedance", "bytedance_duplex", "cosyvoice", "stepfun"),
)
ASR_VENDORS = (
    *("ares", "deepgram", "microsoft", "openai", "google", "gemini", "amazon", "assemblyai", "speechmatics", "sarvam"),
    *("xai", "smallestai", "fengming", "tencent", "xfyun", "xfyun_bigmodel", "xfyun_dialect"),
)
"""What the service's documents know."""
KEYS = frozenset(
    (
        *("key", "api_key", "token", "secret", "secret_id", "secret_key", "access_key", "api_secret", "credentials"),
        *("aws_access_key_id", "aws_secret_access_key", "access_key_id", "access_key_secret", "secret_access_key"),
        *("adc_credentials_string", "api_subscription_key"),
    )
)
"""What vendors call a key in `params`."""
LIKE_A_KEY = re.compile(r"(key|token|secret)(id)?$|credentials(string)?$")
"""The letters of a member's name that is one of these, or is meant to be."""
KEYWORDS = ("keyterm", "keyterms", "keywords")
"""What vendors call words to be expected, in `params`."""
VOICES = ("voice", "voice_id", "voice_name")
"""What they call a voice there."""
PRESETS = (
    *("deepgram_nova_2", "deepgram_nova_3"),
    *("openai_gpt_4o_mini", "openai_gpt_4_1_mini", "openai_gpt_5_nano", "openai_gpt_5_mini"),
    *("minimax_speech_2_6_turbo", "minimax_speech_2_8_turbo", "openai_tts_1"),
)


def _object_voice(found: str | Mapping[str, Any]) -> Changes:
    """`params.voice`, which Cartesia has as an object. Raises ValueError."""
    name = found if isinstance(found, str) else found.get("id")
    if not isinstance(name, str) or len(name) > 256:
        raise ValueError
    return voice(name)


SPEECH: dict[str, Target] = {
    "tts.params.voice_name": Target(voice, update=True),
    "tts.params.voice_id": Target(voice, update=True),
    "tts.params.voice": Target(_object_voice, update=True),
    "tts.skip_patterns": Target(lambda found: {"skip_patterns": sorted(set(found))}),
    "asr.headers": headers("stt_headers"),
    "tts.headers": headers("tts_headers"),
}


def speech(given: Given) -> Changes:
    """Which services; the rest of the sections is in SPEECH."""
    changes: Changes = {}
    asr, tts = given.below("asr"), given.below("tts")
    language = _language(asr, asr.get("language", given.get("turn_detection.language")))
    if language not in (None, "", "auto", "multi"):
        changes["language"] = language
    elif language and not (_hears(asr) and _params(asr).get("language")):  # else the vendor makes what it likes of it
        changes["asked_language"] = language
    for section, name, own in ((asr, "asr", "ears hear"), (tts, "tts", "voice speaks")):
        _check_key(section, name, f"the server's own {own}")
    keywords = asr.get("keywords", [])
    for section, part, brought in ((asr, "ears", _hears(asr)), (tts, "voice", _speaks(tts))):
        if not brought and (vendor := section.get("vendor")) and vendor not in OWN_EARS:
            changes[f"stands_in_for.{part}"] = vendor
    if _hears(asr):
        changes["asr"] = Vendor(name=_vendor(asr, "asr"), params=_params(asr), keywords=keywords)
    elif expected := list(dict.fromkeys([*keywords, *_expected(asr)])):
        changes["asr_keywords"] = expected
    if _speaks(tts):
        changes["tts"] = Vendor(name=_vendor(tts, "tts"), params=_params(tts), url=tts.get("url", ""))
        changes["voice"] = ""  # it is among the vendor's params
    elif "url" in tts:
        tts.refuse("url", 'must be left out, unless vendor is "generic_http"')
    return changes


def _params(given: Given) -> dict[str, Any]:
    return dict(given.get("params", {}))


def _language(asr: Given, beside: str | None) -> str | None:
    """The language among the vendor's params goes before that `beside` them: AgentKit puts there what it is asked for,
    and "en-US" beside it whatever that is. What is no language tag (each vendor has codes of its own) is for the vendor
    alone; and where both are the same language, the one with a region holds."""
    found = _params(asr).get("language")
    if not found or not _is(found, AnyLanguage):
        return beside
    return beside if beside and re.match(rf"{found}[-_]", beside, re.IGNORECASE) else str(found)


def _expected(asr: Given) -> list[str]:
    """The words to be expected that the vendor's params name, where they may be `asr.keywords`."""
    found: list[str] = []
    for name in KEYWORDS:
        value = _params(asr).get(name)
        words: Any = [value] if isinstance(value, str) else value
        found += words if _is(words, Words) else []
    return found


def _is(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def unheard(given: Given) -> Iterator[str]:
    """The members of a vendor's params, by their paths below `given`, that the server's own services do not know."""
    asr, tts = given.below("asr"), given.below("tts")
    for section, name, known in ((asr, "asr", ("language", *KEYWORDS)), (tts, "tts", VOICES)):
        if not (_hears(section) if name == "asr" else _speaks(section)):
            yield from (f"{name}.params.{member}" for member in _params(section) if member not in known)


def _vendor(section: Given, name: str) -> str:
    return str(section.get("vendor", DEFAULT[name]))


def _check_key(section: Given, name: str, instead: str) -> None:
    """Refuses a vendor without a key, unless that is how the service's own account there is asked for: a key that is
    forgotten, empty or misspelt would be another voice without a word."""
    vendor, params = _vendor(section, name), _params(section)
    if (_hears if name == "asr" else _speaks)(section) or section.get("credential_mode") == "managed":
        return
    meant = next((one for one in params if LIKE_A_KEY.search(re.sub("[^a-z]", "", one.lower()))), None)
    none = f"has no key of {vendor}'s (key or api_key, say)"
    if vendor not in OWN_EARS | STOOD_IN_FOR:
        section.refuse("params", f"{none}; without vendor {instead}")
    elif meant is not None and vendor in STOOD_IN_FOR:
        section.refuse("params", f"{none}, but {show(meant)}; without that {instead}")
    elif meant is not None and "vendor" not in section:
        section.refuse("params", f"has {show(meant)}, and no vendor is named whose key that is; without it {instead}")


def _hears(asr: Given) -> bool:
    vendor = _vendor(asr, "asr")
    return vendor not in OWN_EARS and _brought(asr, vendor, ASR_VENDORS)


def _speaks(tts: Given) -> bool:
    return _brought(tts, _vendor(tts, "tts"), TTS_VENDORS)


def _brought(given: Given, vendor: str, known: tuple[str, ...]) -> bool:
    """Whether the client brings the service along. One that no document knows is for who has the list to refuse."""
    has_key = any(isinstance(value, str) and value for name, value in _params(given).items() if name in KEYS)
    return has_key or vendor in NEED_NO_KEY or vendor not in known


def check_preset(given: Given) -> None:
    """`preset` of a join body: the names of what the server's own services stand in for."""
    names = [name.strip() for name in given.get("preset", "").split(",") if name.strip()]
    if any(name not in PRESETS for name in names):
        given.must("preset", f"some of {', '.join(PRESETS)}, with commas between")


LANGUAGE = {"asr.language": to("language")}
"""v1's."""
