"""What the documentation site has besides docs/*.md: the reference, the examples, and the project's own papers.

mkdocs calls these functions (`hooks` in mkdocs.yml). Pages that stand elsewhere in the repository are shown where they
are, so that nobody has to keep two copies; links to them are bent to the shown page.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
import reference  # noqa: E402

PAPERS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "LICENSE": "license.md",
    "NOTICE": "notice.md",
    "bench/README.md": "benchmarks.md",
    "tools/lipsync/README.md": "viseme-model.md",
    "findings/README.md": "findings.md",
}
"""File of the repository -> its page."""
LOGO = "python/lipwire/servers/web/favicon.svg"
LINK = re.compile(r"(?<!!)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def shown() -> dict[str, str]:
    """File of the repository -> its page, for all that the site shows from outside of docs/."""
    examples = {f"examples/{p.name}": f"examples/{p.stem}.md" for p in sorted((ROOT / "examples").glob("*.py"))}
    return PAPERS | examples


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made, and those that stand elsewhere."""
    reference.check_complete()
    made = dict(reference.pages())
    for source, target in shown().items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".py"):
            title = Path(source).name
            text = f"# {title}\n\n`{source}`; a test runs it.\n\n```python\n{text}```\n"
        elif not source.endswith(".md"):
            text = f"# {source.capitalize()}\n\n```text\n{text.strip()}\n```\n"
        made[target] = text
    for target, text in made.items():
        if files.get_file_from_path(target) is not None:
            raise SystemExit(f"docs/{target} is there already, and {__file__} makes a page of that name")
        files.append(File.generated(config, target, content=text))
    files.append(File.generated(config, "logo.svg", abs_src_path=str(ROOT / LOGO)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are in the repository, bent to pages; tables as Python-Markdown reads them."""
    pages = shown()
    origin = {target: source for source, target in pages.items()}
    uri = page.file.src_uri
    here = posixpath.dirname(origin.get(uri, f"docs/{uri}"))

    def bent(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match[1]))
        if target in pages:
            target = pages[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif uri in origin:
            raise SystemExit(f"{origin[uri]} links to {match[1]}, which is no page of the site: {__file__} lists them")
        else:
            return match[0]  # to a file that is not there, or a made page: mkdocs judges
        return f"]({posixpath.relpath(target, posixpath.dirname(uri) or '.')}{match[2] or ''})"

    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [prose(LINK.sub(bent, markdown[end : fence.start()])), fence[0]]
        end = fence.end()
    return "".join([*parts, prose(LINK.sub(bent, markdown[end:]))])


def prose(text: str) -> str:
    """In code within a table `\\|` stands for `|`; Python-Markdown takes it as it is."""
    lines = [
        re.sub(r"`[^`]*`", lambda m: m[0].replace("\\|", "|"), line) if line.startswith("|") else line
        for line in text.split("\n")
    ]
    return "\n".join(lines)
