"""What ships, and what builds it elsewhere, as far as that can be checked here; docs/release.md says how far."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest

import lipwire

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a linter of the extra `release`."""
    path = shutil.which(name, path=str(SCRIPTS))
    if path is None:
        pytest.skip(f"{name} is missing: pip install '.[release]'")
    return subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def steps() -> set[str]:
    """Of `.ci/run`."""
    return set(subprocess.run([ROOT / ".ci/run", "--list"], capture_output=True, text=True, check=True).stdout.split())


def test_metadata() -> None:
    done = tool("validate-pyproject", "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    about = PROJECT["project"]
    assert about["license"] == "Apache-2.0" and about["license-files"] == ["LICENSE", "NOTICE"]
    assert about["version"] == lipwire.__version__
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").count("Apache License") >= 2
    versions = {c.rpartition(" ")[2] for c in about["classifiers"] if re.search(r":: 3\.\d+$", c)}
    built = {f"3.{n}" for n in re.findall(r"cp3(\d+)-", PROJECT["tool"]["cibuildwheel"]["build"])}
    assert versions == built


def test_the_hosted_wheels_are_the_eight_that_are_meant() -> None:
    arguments = ("--print-build-identifiers", "--platform", "linux", "--archs", "x86_64,aarch64")
    done = tool("cibuildwheel", *arguments)
    assert done.returncode == 0, done.stderr
    wanted = {f"cp3{n}-manylinux_{m}" for n in (11, 12, 13, 14) for m in ("x86_64", "aarch64")}
    assert set(done.stdout.split()) == wanted


def test_a_wrong_wheel_option_is_refused(tmp_path: Path) -> None:
    """validate-pyproject really knows cibuildwheel's options."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wrong = tmp_path / "pyproject.toml"
    wrong.write_text(text.replace("test-command =", "tests-command ="), encoding="utf-8")
    done = tool("validate-pyproject", str(wrong))
    assert done.returncode != 0 and "cibuildwheel" in done.stdout + done.stderr


def test_wheels_are_checked_by_the_same_script() -> None:
    assert "tools/wheel_check.py" in PROJECT["tool"]["cibuildwheel"]["test-command"]
    assert "tools/wheel_check.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_wheel_check_refuses_the_source_tree() -> None:
    """It must never take an editable installation for the wheel."""
    command = [sys.executable, "-I", "tools/wheel_check.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0 and "is not what was installed" in done.stderr


def test_workflows_are_well_formed() -> None:
    assert WORKFLOWS
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))
    assert done.returncode == 0, done.stdout


def test_hosted_ci_runs_every_step_and_no_other() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^ +step: \[(.+)\]$", text, re.M)
    assert {name.strip() for name in listed.split(",")} == steps()
    assert set(re.findall(r"\.ci/run ([\w-]+)$", text, re.M)) <= steps()
    done = subprocess.run([ROOT / ".ci/run", "nosuch"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert set(done.stderr.rpartition(":")[2].split()) == steps()


def test_actions_and_tools_are_pinned() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        for used in re.findall(r"uses: (\S+)", text):
            assert re.search(r"@v\d+$|@[0-9a-f]{40}$", used), used
        for installed in re.findall(r"pip install (\S+)", text):
            assert "==" in installed, installed
        assert re.search(r"^permissions:\n  contents: read$", text, re.M), f"{path.name} may do more than it needs"
    for requirement in PROJECT["project"]["optional-dependencies"]["docs"]:
        assert "==" in requirement, requirement


def test_the_container_file() -> None:
    done = tool("hadolint", "Containerfile")
    assert done.returncode == 0 and not done.stdout, done.stdout
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER [1-9]\d*$", text, re.M), "it must not run as root"
    assert (ROOT / ".containerignore").read_text(encoding="utf-8").split() == ["*", "!build/wheel/*.whl"]
