"""What the documentation and the code's comments point at is there."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "docs"))
reference = pytest.importorskip("reference")

PAPERS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md")]
PAGES = [*PAPERS, ROOT / "tools/lipsync/README.md", ROOT / "findings/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
CODE = ("python", "csrc", "src", "tests", "tools", "bench", "examples")
SUFFIXES = {".py", ".pyx", ".pxi", ".pxd", ".pyi", ".c", ".h", ".js", ".html", ".css"}


def comments() -> Iterator[tuple[Path, str]]:
    """Every source file but this one."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and path != Path(__file__) and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and Python-Markdown make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M):
        plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    made = {(ROOT / "docs" / path).resolve(): text for path, text in reference.pages().items()}
    text = page.read_text(encoding="utf-8")
    for target, anchor in LINK.findall(FENCE.sub("", text)):
        where = (page.parent / target).resolve() if target else page
        assert where.exists() or where in made, f"{page.name}: {target}"
        if anchor and where in made:
            assert f"#{anchor}}}" in made[where] or f'id="{anchor}"' in made[where], f"{page.name}: {target}#{anchor}"
        elif anchor:
            assert anchor in anchors(where.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def test_sections_of_protocol_md_that_comments_cite_are_there() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## ([A-Z])\. ", text, re.M))
    cited = 0
    for path, source in comments():
        for letters in re.findall(r"protocol\.md ([A-Z](?:(?:, | and )[A-Z])*)\b", source):
            cited += 1
            assert set(re.findall("[A-Z]", letters)) <= sections, f"{path}: protocol.md {letters}"
    assert cited >= 20 and sections == set("ABCDEFGH")


def test_references_that_comments_cite_are_in_the_table() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| reference (\d{3}) \|", text, re.M))
    cited = {(path, number) for path, source in comments() for number in re.findall(r"reference (\d{3})\b", source)}
    assert len(cited) >= 3 and {number for _, number in cited} <= rows, cited


def test_pages_that_comments_cite_are_there() -> None:
    cited = {(path, page) for path, source in comments() for page in re.findall(r"\bdocs/[\w/-]+\.md", source)}
    assert len(cited) >= 10
    for path, page in cited:
        assert (ROOT / page).exists(), f"{path} cites {page}"


NAMED = re.compile(r"(?<![\w./<-])([a-z_]+/[\w./-]*\w\.(?:py|pyx|pxi|c|h|js))\b")
"""A file of code, named in a page from the project's root or below the package."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda p: p.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """NAME and SUBJECT stand for the reader's own."""
    for path in NAMED.findall(page.read_text(encoding="utf-8")):
        if "NAME" not in path and "SUBJECT" not in path:
            places = [folder / path for folder in (ROOT, ROOT / "python" / "lipwire", page.parent)]
            assert any(place.exists() for place in places), f"{page.name}: {path}"


def test_the_changelog_is_dated_and_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sections = re.findall(r"^## (.+)$", text, re.M)
    for section in sections:
        assert re.fullmatch(r"\d+\.\d+\.\d+ \((\d{4}-\d\d-\d\d|unreleased)\)", section), section
    assert sections[0].startswith(f"{version} ")
    assert not any("unreleased" in section for section in sections[1:])


def test_findings_keep_their_form() -> None:
    for script in (ROOT / "findings").glob("*.sh"):
        text = script.read_text(encoding="utf-8")
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert text.startswith("#!/bin/sh\n#") and "set -eu" in text and "mktemp -d" in text and "trap" in text, script
        assert re.search(r"[\w-]+(==|@)[\d.]+", text), f"{script.name} pins no version"
        assert "lipwire" not in text.lower(), script.name
