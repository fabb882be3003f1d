"""What users are told of failures: a sentence for each, in the agent's language, and nothing that is not theirs."""

from __future__ import annotations

import pytest

from lipwire.agents.brains.base import Failed
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.failures import SENTENCES, for_users


def config(language: str = "en-US", failure_message: str | None = None) -> AgentConfig:
    return AgentConfig(name="a", channel="c", language=language, llm=Llm(failure_message=failure_message))


@pytest.mark.parametrize("code", ["LLM_ERROR", "STT_ERROR", "TTS_ERROR", "TOOL_ERROR", "REALTIME_ERROR", "X"])
@pytest.mark.parametrize("minor", [False, True])
def test_every_failure_has_a_sentence_in_every_language(code: str, minor: bool) -> None:
    failed = Failed(code, "10.0.0.7 answered 500", minor=minor)
    said = {language: for_users(failed, config(f"{language}-XX")) for language in SENTENCES}
    assert len(set(said.values())) == len(SENTENCES)
    for sentence in said.values():
        assert sentence[-1] in ".?؟。" and not set("0123456789_") & set(sentence)
    assert for_users(failed, config("xx")) == said["en"]
    assert for_users(failed, config("DE_at")) == said["de"]
    assert {for_users(failed, config(one)) for one in ("cmn-Hans-CN", "zh-HK", "yue", "zh_TW")} == {said["zh"]}


def test_kinds_differ_and_the_agents_own_message_wins() -> None:
    failures = [Failed(code, "x") for code in ("LLM_ERROR", "STT_ERROR", "TTS_ERROR", "TOOL_ERROR")]
    failures.append(Failed("LLM_ERROR", "x", minor=True))
    assert len({for_users(failed, config()) for failed in failures}) == 5
    own = [for_users(failed, config(failure_message="One moment, please.")) for failed in failures]
    assert [said == "One moment, please." for said in own] == [True, True, True, False, False]
    assert for_users(failures[0], config(failure_message="")) == for_users(failures[0], config())
    assert for_users(Failed("LLM_REFUSED", "I will not.", minor=True), config()) == ""  # the model has said it
