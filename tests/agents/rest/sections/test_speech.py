"""agents/rest/sections/speech.py: whose ears and voice an agent has."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import Vendor
from lipwire.agents.rest.sections.speech import KEYS, STOOD_IN_FOR
from lipwire.agents.rest.wire import parse_join
from support.agent_bodies import V2, changed


def joined(**more: Any) -> AgentConfig:
    return parse_join({**V2, "properties": V2["properties"] | more}, "v2")


def test_a_vendor_is_called_where_its_key_is_there() -> None:
    for name, key in (("elevenlabs", "key"), ("cartesia", "api_key"), ("amazon", "aws_access_key_id")):
        params = {key: "secret", "voice_id": "somebody", "nothing": None}
        config = joined(tts={"vendor": name, "params": params})
        assert config.tts == Vendor(name=name, params={key: "secret", "voice_id": "somebody"})
        assert config.voice == ""
    asr = {"vendor": "deepgram", "params": {"key": "k", "model": "nova-3"}, "keywords": ["Lipwire"]}
    assert joined(asr=asr).asr == Vendor(name="deepgram", params={"key": "k", "model": "nova-3"}, keywords=["Lipwire"])
    own = joined(asr={"vendor": "ares", "keywords": ["Lipwire"]})
    assert (own.asr, own.asr_keywords) == (None, ["Lipwire"])
    generic = {"vendor": "generic_http", "url": "https://tts.example.org/speech", "params": {"voice": "x"}}
    url = "https://tts.example.org/speech"
    assert joined(tts=generic).tts == Vendor(name="generic_http", params={"voice": "x"}, url=url)


def test_without_a_key_the_servers_own_services_do_it() -> None:
    for tts, voice in (
        ({"vendor": "openai", "params": {"voice": "coral"}}, "coral"),
        ({"vendor": "minimax", "params": {"voice_setting": {"voice_id": "English_captivating_female1"}}}, ""),
        ({"vendor": "minimax", "params": {"voice": {"mode": "id", "id": "abc"}}}, "abc"),
        ({"vendor": "microsoft", "params": {"key": None, "voice_name": "en-US-JaneNeural"}}, "en-US-JaneNeural"),
        ({"params": {"voice_id": "x", "keyterm": "y", "monkey_business": 1}}, "x"),
        ({"vendor": "rime", "credential_mode": "managed", "params": {"base_url": "u", "modelId": "m"}}, ""),
        (None, ""),
    ):
        config = joined(tts=tts)
        assert (config.tts, config.voice) == (None, voice), tts
    for asr in ({"vendor": "ares"}, {"vendor": "deepgram", "params": {"language": "en"}}, {}, None):
        assert joined(asr=asr).asr is None
    assert joined(asr={"vendor": "ares", "params": {"key": "of nobody"}}).asr is None


@pytest.mark.parametrize(
    ("section", "found", "instead"),
    [
        ("tts", {"vendor": "elevenlabs", "params": {"apikey": "k", "voice_id": "v"}}, "voice speaks"),
        ("tts", {"vendor": "elevenlabs", "params": {"key": "", "voice_id": "v"}}, "voice speaks"),
        ("tts", {"vendor": "rime"}, "voice speaks"),
        ("asr", {"vendor": "amazon", "params": {"region": "eu-central-1"}}, "ears hear"),
    ],
)
def test_a_key_that_is_forgotten_is_no_other_voice(section: str, found: dict[str, Any], instead: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        joined(**{section: found})
    told = str(caught.value)
    assert told.startswith(
        f"properties.{section}.params has no key of {found['vendor']}'s (key or api_key, say); without"
    )
    assert told.endswith(instead)


MEANT = [*({name: ""} for name in sorted(KEYS)), {"key": 5}, {"apiKey": "s3cret"}, {"API-Key": "s3cret"}]
MEANT += [{"Token": "s3cret"}, {"subscription_key": "s3cret"}, {"openai_api_key": "s3cret"}, {"secretId": "s3cret"}]


@pytest.mark.parametrize("meant", MEANT)
@pytest.mark.parametrize(
    ("section", "vendor"),
    [("tts", vendor) for vendor in sorted(STOOD_IN_FOR)]
    + [("asr", "deepgram"), ("asr", "microsoft"), ("asr", "openai")],
)
def test_a_key_that_is_empty_or_misspelt_is_none_where_the_server_would_stand_in(
    section: str, vendor: str, meant: dict[str, Any]
) -> None:
    spec: dict[str, Any] = {"vendor": vendor, "params": {"voice": "x", **meant}}
    with pytest.raises(InvalidAgentRequest) as caught:
        joined(**{section: spec})
    name = next(iter(meant))
    told = f"properties.{section}.params has no key of {vendor}'s (key or api_key, say), but "
    assert str(caught.value).startswith(f'{told}"{name}"; without that the server\'s own ')
    right = {**spec, "params": {**spec["params"], "api_key" if name == "key" else "key": "k"}}
    assert getattr(joined(**{section: right}), section).name == vendor  # what is beside it is the vendor's to refuse
    if section == "tts":
        assert joined(tts=spec | {"credential_mode": "managed"}).tts is None


def test_a_vendor_that_is_not_named_is_the_default_one() -> None:
    params = {"key": "k", "region": "eastus", "voice_name": "en-US-JennyNeural"}
    assert joined(tts={"params": params}).tts == Vendor(name="microsoft", params=params)
    with pytest.raises(InvalidAgentRequest, match=r'tts\.params has no key of microsoft\'s .*, but "apikey"; without'):
        joined(tts={"params": {"apikey": "k"}})
    for key in ("key", "apiKey"):  # ares, which has none
        with pytest.raises(InvalidAgentRequest, match=rf'asr\.params has "{key}", and no vendor is named whose key'):
            joined(asr={"params": {key: "k"}})


def test_a_vendor_that_no_document_knows_is_for_the_list_of_those_that_are_called() -> None:
    assert joined(tts={"vendor": "somebodys", "params": {}}).tts == Vendor(name="somebodys")


@pytest.mark.parametrize("language", [None, "", "auto", "multi"])
def test_the_language_is_the_servers_default(language: str | None) -> None:
    config = joined(asr={"language": language})
    assert (config.language, config.asked_language) == ("en-US", language or "")
    beside = joined(asr={"language": language}, turn_detection={"language": "de-DE"})
    assert beside.language == ("de-DE" if language is None else "en-US")  # null is as if it were not there


def test_which_language_goes_first() -> None:
    assert joined(asr={"language": "fr-FR"}, turn_detection={"language": "de-DE"}).language == "fr-FR"
    assert joined(turn_detection={"language": "de-DE"}).language == "de-DE"


def test_what_agentkit_puts_into_params_is_heard() -> None:
    asked = {"vendor": "deepgram", "language": "en-US", "params": {"language": "de", "keyterm": "Lipwire"}}
    config = joined(asr=asked, turn_detection={"language": "en-US"})
    assert (config.language, config.asr_keywords) == ("de", ["Lipwire"])
    words = {"keywords": ["one"], "params": {"keyterms": ["two"], "keywords": ["one", "three"]}}
    assert joined(asr=words).asr_keywords == ["one", "two", "three"]
    assert joined(asr={"params": {"keywords": [5], "keyterms": {"a": 1}}}).asr_keywords == []
    own: dict[str, Any] = {
        "vendor": "deepgram",
        "language": "en-US",
        "params": {"key": "k", "language": "de-DE", "keyterm": "x"},
    }
    config = joined(asr=own)
    assert (config.language, config.asr_keywords) == ("de-DE", [])
    assert config.asr == Vendor(name="deepgram", params=own["params"])
    for language in ("multi", "auto"):  # nobody says which
        config = joined(asr={"language": "de-DE", "params": {"language": language}})
        assert (config.language, config.asked_language) == ("en-US", language)
        config = joined(asr={"vendor": "deepgram", "params": {"key": "k", "language": language}})
        assert (config.language, config.asked_language) == ("en-US", "")  # which is for the vendor to detect
    for other in ("", "a code of theirs", 5, None, "de"):
        assert joined(asr={"language": "de-DE", "params": {"language": other}}).language == "de-DE"


def test_skip_patterns_and_headers() -> None:
    config = joined(tts={"skip_patterns": [4, 3, 3], "headers": {"X": "y"}}, asr={"headers": {"A": "b"}})
    assert (config.skip_patterns, config.tts_headers, config.stt_headers) == ([3, 4], {"X": "y"}, {"A": "b"})


def test_what_is_refused() -> None:
    for path, value, words in (
        ("properties.tts.url", "https://a.example.org", 'must be left out, unless vendor is "generic_http"'),
        ("preset", "openai_gpt_5_mini,mine", "must be some of deepgram_nova_2, "),
    ):
        with pytest.raises(InvalidAgentRequest) as caught:
            parse_join(changed(V2, path, value), "v2")
        assert str(caught.value).startswith(f"{path} {words}")
