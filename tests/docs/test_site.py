"""The documentation site builds without a warning, is complete in itself, and says what the code says."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import lipwire

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "docs"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_there_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 35
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]+src="(https?:[^"]+)"', text)
        loaded += re.findall(r'<link(?![^>]*rel="(?:canonical|prev|next)")[^>]+href="(https?:[^"]+)"', text)
        assert loaded == [], page


def test_links_between_pages_lead_somewhere(site: Path) -> None:
    """mkdocs looks at those in Markdown; here are all that came out."""
    checked = 0
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links begin at the root of the host
            continue
        for target in re.findall(r'href="([^"#:]+\.html)(?:#[^"]*)?"', page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page, target)
            checked += 1
    assert checked > 1000


def test_a_link_that_leads_nowhere_fails(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    import shutil

    for name in ("docs", "tools", "examples", "bench", "findings", "python"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").unlink()
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "NOTICE"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs" / "deploy.md").write_text("# Deploy\n\n[nowhere](nowhere.md) [no anchor](agora.md#nowhere)\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr and "agora.md#nowhere" in done.stderr


def test_the_page_of_rules_has_every_rule() -> None:
    import reference

    page = reference.rules_page()
    for rule in importlib.import_module(reference.RULES).RULES:
        (row,) = [line for line in page.splitlines() if f'id="{rule.id}"' in line]
        assert f"| {rule.level}" in row and reference.prose(rule.title) in row and reference.prose(rule.fix) in row
        assert row.replace("\\|", "").count("|") == 5, "a bar or a line break would end the cell"


def test_the_table_of_settings_has_every_setting() -> None:
    import reference

    page = reference.settings_page()
    for field in msgspec.structs.fields(importlib.import_module(reference.CONFIG).Config):
        (row,) = [line for line in page.splitlines() if f'id="{field.name}"' in line]
        assert f"LIPWIRE_{field.name.upper()}" in row
        assert len(row.split(" | ")[-1]) > 8, f"{field.name} says what it means"
    (port,) = [line for line in page.splitlines() if 'id="http_port"' in line]
    assert "--http-port" in port and ">8764<" in port and "0 to 65535" in port
    (brain,) = [line for line in page.splitlines() if 'id="agent_brain"' in line]
    assert "`realtime`, `cascade`, `guide`, `echo`, `script`" in brain


def test_every_public_name_has_its_place() -> None:
    import reference

    reference.check_complete()
    text = "".join(reference.names_page(group) for group in reference.GROUPS)
    for name in lipwire.__all__:
        heading = text.index(f"## lipwire.{name} {{#{name}}}")
        assert text[heading : heading + 600].count("\n") > 3, name
    for method in ("process(pcm: Buffer) -> bytes", "interrupt(", "OpusDecoder(", "ulaw_encode("):
        assert method in text


def test_every_command_is_there() -> None:
    import reference

    page = reference.commands_page()
    for command in ("serve", "send", "agent", "render", "demo", "token", "doctor", "avatar new", "avatar check"):
        assert f"\n## lipwire {command}\n" in page
