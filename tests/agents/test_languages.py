"""agents/languages.py"""

from __future__ import annotations

import pytest

from lipwire.agents.languages import names


@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("en-US", ("en",)),
        ("DE_at", ("de",)),
        ("zh-Hant-TW", ("zh",)),
        ("zh-Hant-HK", ("yue", "zh")),
        ("yue-CN", ("yue", "zh")),
        ("cmn", ("zh",)),
        ("nn-NO", ("nb",)),
        ("xx", ("xx",)),
        ("", ("",)),
    ],
)
def test_names(language: str, found: tuple[str, ...]) -> None:
    assert names(language) == found
