"""What is called `agora` and is not Agora's SDK."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lipwire.channel.agora import presence


def make(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / "agora" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


SDK = ("__init__.py", "rtc/__init__.py", "rtc/agora_service.py", "agora_sdk/libagora_rtc_sdk.so")


@pytest.mark.parametrize("named", [True, False], ids=["in LIPWIRE_AGORA_SDK", "on the path"])
@pytest.mark.parametrize(
    ("files", "lacking"),
    [
        (SDK, None),
        ((*SDK[:3], "agora_sdk/libAgoraRtcKit.dylib"), None),
        (SDK[:3], r"libagora_rtc_sdk\.so is not there; python -c 'import agora\.rtc'"),
        (("notes.txt",), r"lipwire\[agora\].*is called agora, too, but is not Agora's SDK"),
        (("__init__.py", "models.py"), "has no agora.rtc"),
        (("__init__.py", "rtc/__init__.py"), "has no agora.rtc"),  # of another package's
        (SDK[1:], "is not Agora's SDK"),  # what an uninstalled one left
        ((), r"^agora-python-server-sdk \(pip install 'lipwire\[agora\]'\)$"),
    ],
)
def test_presence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...], lacking: str | None, named: bool
) -> None:
    make(tmp_path, *files)
    monkeypatch.delitem(sys.modules, "agora", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delenv(presence.SDK_FOLDER, raising=False)
    if named:
        monkeypatch.setattr(sys, "path", [])
        monkeypatch.setenv(presence.SDK_FOLDER, str(tmp_path))
    with monkeypatch.context() as finders:
        finders.setattr(sys, "path_importer_cache", {})
        said = presence.lacking()
    assert presence.available() is (lacking is None)
    if lacking is None:
        assert said is None
    else:
        with pytest.raises(AssertionError, match=lacking):
            raise AssertionError(said)


def test_the_real_one_is_found_and_not_imported(sdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(presence.SDK_FOLDER, str(sdk))
    assert presence.lacking() is None and "agora" not in sys.modules


def test_a_folder_in_front_does_not_hide_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python goes on looking behind a folder without an `__init__.py`; and so does this."""
    make(tmp_path / "project", "notes.txt")
    make(tmp_path / "site", *SDK)
    monkeypatch.delenv(presence.SDK_FOLDER, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "project"), str(tmp_path / "site")])
    assert presence.lacking() is None
    make(tmp_path / "project", "__init__.py")
    sys.path_importer_cache.clear()
    assert "has no agora.rtc" in (presence.lacking() or "")
