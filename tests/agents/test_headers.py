"""The key of a service, and headers of the user's own."""

from __future__ import annotations

import pytest

from lipwire.agents.headers import check_headers, credentials, is_azure, is_openai, joined
from lipwire.errors import InvalidArgument

AZURE = "https://mine.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("url", "azure", "openai"),
    [
        (AZURE, True, True),
        ("https://MINE.cognitiveservices.azure.com:443/x", True, True),
        ("https://mine.services.ai.azure.com/openai/v1/chat/completions", True, True),
        ("wss://mine.openai.azure.us/openai/realtime", True, True),
        ("https://openai.azure.com.example.org/", False, False),
        ("https://mine.openai.azure.com.evil.test/", False, False),
        ("https://example.org/mine.openai.azure.com", False, False),
        ("https://api.openai.com/v1/audio/speech", False, True),
        ("https://notopenai.com/", False, False),
        ("no URL", False, False),
    ],
)
def test_whose_service_it_is(url: str, azure: bool, openai: bool) -> None:
    assert (is_azure(url), is_openai(url)) == (azure, openai)
    assert credentials(url, "k") == ({"api-key": "k"} if azure else {"authorization": "Bearer k"})
    assert credentials(url, None) == {} == credentials(url, "")


def test_who_brings_credentials_wants_no_others() -> None:
    token = "eyJ0eXAi.eyJhdWQi.c2ln"  # of Entra ID
    assert credentials(AZURE, token) == {"authorization": f"Bearer {token}"}
    assert joined(AZURE, "k", {"X-Title": "t"}) == {"api-key": "k", "x-title": "t"}
    assert joined("http://a", "k", {"API-Key": "own"}) == {"api-key": "own"}
    assert joined("http://a", "k", {"authorization": "Basic x"}) == {"authorization": "Basic x"}


def test_which_headers_may_be_said() -> None:
    check_headers({})
    check_headers({"X-Title": "my agent", "api-key": "!~", "Cookie": "a=b; c=d", "X-Empty": "", "Accept": "text/plain"})
    faults = {
        "Host": "h",
        "content-length": "1",
        "Content-Type": "x",
        "Transfer-Encoding": "chunked",
        "a b": "1",
        "": "1",
        "X:": "1",
        "Ü": "1",
        "X-1": "a\r\nX-2: s3cret",
        "X-3": "s3cret\0",
        "X-4": "s3crét",
        "X-5": " s3cret",
    }
    for name, value in faults.items():
        with pytest.raises(InvalidArgument) as caught:
            check_headers({name: value})
        assert "s3cr" not in str(caught.value)
    for many in ({f"X-{n}": "1" for n in range(33)}, {"X": "y" * 9000}, {"X-A": "1", "x-a": "2"}):
        with pytest.raises(InvalidArgument, match=r"headers|twice"):
            check_headers(many)
