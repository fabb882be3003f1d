"""Texts after which more must follow."""

from __future__ import annotations

import pytest

from lipwire.agents.speech.ending import is_open


@pytest.mark.parametrize(
    ("text", "language", "result"),
    [
        ("I would like to", "en-US", True),
        ("I would like to.", "en-GB", True),
        ("Well, because.", "en-US", True),
        ("I\u2019d", "en", True),
        ("Um.", "en-US", True),
        ("It is for my", "en-US", True),
        ("First, the red one,", "en-US", True),
        ("I want...", "en-US", True),
        ("Yes.", "en-US", False),
        ("Who is it for?", "en-US", False),
        ("Stop that!", "en-US", False),
        ("I have no idea.", "en-US", False),
        ("", "en-US", False),
        ("   ", "en-US", False),
        ("?", "en-US", False),
        ("So do I.", "en-US", False),
        ("What are you looking at.", "en-US", False),
        ("Ich möchte gern zum", "de-DE", True),
        ("Mach das Licht aus.", "de-DE", False),
        ("Schalte das Licht ein.", "de-DE", False),
        ("Danke sehr.", "de-DE", False),
        ("Ich komme mit.", "de-DE", False),
        ("Denk darüber nach.", "de-DE", False),
        ("Doe het licht uit.", "nl-NL", False),
        ("Ik weet het.", "nl-NL", False),
        ("Ik wil een", "nl-NL", True),
        ("Einmal ohne.", "de-DE", False),
        ("Avec ou sans.", "fr-FR", False),
        ("Tu viens avec.", "fr-BE", False),
        ("Con o sin.", "es-ES", False),
        ("Por favor, para.", "es-MX", False),
        ("Para.", "pt-BR", False),
        ("Com ou sem.", "pt-PT", False),
        ("Met of zonder.", "nl-NL", False),
        ("Daar hou ik van.", "nl-BE", False),
        ("Mi piace molto.", "it-IT", False),
        ("Mamma mia.", "it-IT", False),
        ("Vorrei un po' di", "it-IT", True),
        ("Gosto muito.", "pt-BR", False),
        ("Vou embora.", "pt-BR", False),
        ("Eu gostaria de", "pt-PT", True),
        ("Quiero este.", "es-ES", False),
        ("Prends-le.", "fr-FR", False),
        ("Ich möchte das Brot.", "de-DE", False),
        ("je voudrais du", "fr-CA", True),
        ("quiero ir a", "es-419", True),
        ("I would like to", "ja-JP", False),
        ("それは、", "ja-JP", True),
        ("そうですか？", "ja-JP", False),
    ],
)
def test_the_last_word_says_whether_more_must_follow(text: str, language: str, result: bool) -> None:
    assert is_open(text, language) is result
