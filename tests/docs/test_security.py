"""docs/security.md claims nothing that no test shows: every test that it names is there."""

from __future__ import annotations

import re

from support.paths import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    names = set(re.findall(r"`(test_\w+)`", TEXT))
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(names) > 20
    assert [name for name in sorted(names) if f"def {name}(" not in code] == []


def test_every_place_that_is_named_is_there() -> None:
    places = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert places
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []


def test_every_row_that_claims_something_says_what_shows_it() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and line.count("|") == 4]
    claims = [line for line in rows if "shown by" not in line and "---" not in line]
    assert len(claims) > 20
    assert [line for line in claims if not re.search(r"`test", line.split("|")[3])] == []
