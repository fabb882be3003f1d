"""What an agent uses, and in whose place, as clients are told it."""

from __future__ import annotations

import logging
import sysconfig
from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.failures import for_users
from lipwire.agents.in_use import Part, fell_back, instead, standing_in, told, without_paths
from lipwire.agents.options import StandsInFor
from lipwire.agents.rest.wire import parse_join
from lipwire.agents.rest.writing import join_body
from lipwire.models.find import folder
from lipwire.protocol.agent_bodies import InUse


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("/srv/ears/tiny has no model.bin", "tiny has no model.bin"),
        ("the model in /srv/ears/tiny/ does not load", "the model in tiny does not load"),
        ("cannot open '/srv/a b/model.bin': no such file", "cannot open 'model.bin': no such file"),
        ('File "~/x/y.py", line 3', 'File "y.py", line 3'),
        ("see https://example.com/a/b, and a/b, 1/2 or and/or", None),
        ("pip install 'lipwire[offline]', or lipwire models get hibari", None),
        (f"{sysconfig.get_path('purelib')}/hibari/model.onnx is damaged", "hibari/model.onnx is damaged"),
    ],
)
def test_paths_keep_their_last_part(text: str, short: str | None) -> None:
    assert without_paths(text, "/srv/a b") == (text if short is None else short)


def test_lipwires_own_folder_is_not_told() -> None:
    assert without_paths(f"{folder()}/whisper-tiny.en-1234 is no folder") == "whisper-tiny.en-1234 is no folder"


def test_the_log_has_what_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lipwire.agents"):
        assert told("it hangs") == "it hangs" and not caplog.records
        assert told("/srv/my ears: damaged", "/srv/my ears") == "my ears: damaged"
    assert [record.message for record in caplog.records] == ["/srv/my ears: damaged"]


def test_a_fallback_is_for_who_runs_the_agent_alone() -> None:
    used = instead("pocketsphinx", "whisper-tiny.en", "/srv/ears/tiny is damaged")
    assert used == InUse(name="pocketsphinx", instead_of="whisper-tiny.en", because="tiny is damaged")
    failed = fell_back("ears", used)
    assert failed.minor and not failed.fatal and failed.code == "STT_FALLBACK"
    assert failed.message == "ears: pocketsphinx in place of whisper-tiny.en: tiny is damaged"
    assert for_users(failed, AgentConfig(name="a", channel="c")) == ""
    assert fell_back("turns", used).code == "TURNS_FALLBACK" and fell_back("voice", used).code == "TTS_FALLBACK"


def test_for_whom_the_servers_own_stand_in_is_told() -> None:
    properties = {"channel": "c", "agent_rtc_uid": "0", "remote_rtc_uids": ["*"]}
    vendors = {"asr": {"vendor": "deepgram"}, "tts": {"vendor": "minimax"}, "llm": {"vendor": "anthropic"}}
    config = parse_join({"name": "n", "properties": properties | vendors}, "v2")
    asked = config.stands_in_for
    assert parse_join(join_body(config, "v2"), "v2").stands_in_for == asked
    assert asked == StandsInFor(ears="deepgram", voice="minimax", model="anthropic")
    own: dict[str, Any] = {
        "asr": {"vendor": "ares"},
        "tts": {"vendor": "minimax", "params": {"key": "k", "voice_id": "v"}},
        "llm": {"vendor": "anthropic", "api_key": "k"},
    }
    assert parse_join({"name": "n", "properties": properties | own}, "v2").stands_in_for == StandsInFor()
    fell = instead("espeak", "hibari", "it is damaged")
    used: dict[Part, InUse] = {"ears": InUse(name="tiny.en"), "voice": fell, "turns": InUse(name="silence")}
    told = standing_in(dict(used), asked)
    because = "no key of deepgram's was given; the server's own is used"
    assert told == used | {"ears": InUse(name="tiny.en", instead_of="deepgram", because=because)}
    assert standing_in(dict(used), StandsInFor()) == used
