"""Under what names a language is looked for where there is a table of languages. No I/O."""

from __future__ import annotations

_OTHERS = {
    **{"cmn": ("zh",), "yue": ("yue", "zh"), "zh-hk": ("yue", "zh"), "zh-mo": ("yue", "zh"), "zh-yue": ("yue", "zh")},
    **{"no": ("nb",), "nn": ("nb",), "iw": ("he",), "in": ("id",), "ji": ("yi",)},
}
"""Other codes of theirs, and what is spoken in a region; of the older ones see IANA's language subtag registry."""


def names(language: str) -> tuple[str, ...]:
    """The codes (ISO 639) of a language ("en-US", "zh_Hant_HK"), the one that fits best first: ("yue", "zh")."""
    code, *rest = language.replace("_", "-").lower().split("-")
    of_region = (_OTHERS[f"{code}-{part}"] for part in rest if f"{code}-{part}" in _OTHERS)
    return next(of_region, None) or _OTHERS.get(code, (code,))
