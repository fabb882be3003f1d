"""`lipwire key` and `lipwire token` against a server that runs: processes, as a user has them."""

from __future__ import annotations

import itertools
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.test_main import LIPWIRE, PORTS, WAIT, environment, fails, place, run, start
from lipwire.provider.keys import digest
from support.provider_stage import start_body

__all__ = ["place"]


class Running:
    """`lipwire serve` with the operator's key and a file of others'."""

    def __init__(self, place: Path) -> None:
        more = {"LIPWIRE_API_KEY": "the key", "LIPWIRE_API_KEYS_FILE": "keys", "LIPWIRE_SESSION_SECRET": "s" * 32}
        self.process: subprocess.Popen[str] = start(place, "serve", *PORTS, "--host", "127.0.0.1", **more)
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith("Ctrl-C"):
            self.lines.append(self.process.stdout.readline())
            assert self.lines[-1], self.process.communicate()[1]
        self.url = self.lines[0].split()[1]

    def get(self, path: str, key: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"x-api-key": key}, trust_env=False)

    def start_session(self, key: str, uid: str) -> httpx.Response:
        body = start_body(uid=uid, width=64, height=36)
        return httpx.post(f"{self.url}/session/start", headers={"x-api-key": key}, json=body, trust_env=False)


@pytest.fixture
def server(place: Path) -> Iterator[Running]:
    (place / "keys").touch()
    running = Running(place)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def test_a_key_is_made_used_limited_and_removed_while_the_server_runs(place: Path, server: Running) -> None:
    code, out, err = run(place, "key", "new", "acme", "--file", "keys", "--sessions", "1")
    assert (code, err) == (0, "")
    key = out.strip()
    assert re.fullmatch(r"lw_[\w-]{32}", key)
    assert (place / "keys").read_text() == f"acme:{digest(key)} sessions=1\n"

    deadline = time.monotonic() + WAIT
    while (reply := server.start_session(key, "1")).status_code == 401:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert reply.status_code == 200, reply.text
    session = reply.json()["session_id"]
    limited = server.start_session(key, "2")
    assert (limited.status_code, limited.json()["code"]) == (429, "SESSION_LIMIT")
    assert limited.headers["retry-after"]
    assert server.get(f"/session/{session}", key).status_code == 200
    assert server.get(f"/session/{session}", "the key").status_code == 404

    # A token for it is its owner's to make.
    made = {"--url": server.url, "--role": "watch", "--ttl": "15m"}
    asked = ["token", "--session", session, *(word for pair in made.items() for word in pair)]
    assert "404" in fails(place, *asked, LIPWIRE_API_KEY="the key")
    code, link, err = run(place, *asked, LIPWIRE_API_KEY=key)
    assert (code, err) == (0, "")
    page, _, token = link.strip().partition("#token=")
    assert page.endswith(f"/?session={session}")
    assert token.count(".") == 2
    reply = httpx.get(
        page.partition("?")[0] + f"api/sessions/{session}",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert reply.json()["capabilities"] == {"say": False, "interrupt": False}

    code, out, _ = run(place, "key", "list", LIPWIRE_API_KEYS_FILE="keys")
    assert (code, out) == (0, "acme  1 key  sessions=1\n")
    assert run(place, "key", "remove", "acme", "--file", "keys")[:2] == (0, "1 key of acme removed\n")
    while server.get(f"/session/{session}", key).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_is_kept_has_no_token_and_a_room_link_is_for_one(place: Path, server: Running) -> None:
    links = [line.split()[1] for line in server.lines if line.startswith(("viewer ", "agents "))]
    assert "token=" not in "".join(server.lines)
    assert any("no token is printed" in line for line in server.lines)
    assert links[1] == f"{links[0]}agent?channel=lobby"
    base = links[0]
    assert httpx.get(f"{base}api/sessions", trust_env=False).json()["code"] == "MISSING_TOKEN"

    asked = ["token", "--room", "the lobby", "--role", "member", "--name", "Ann", "--ttl", "1h", "--url", server.url]
    code, link, err = run(place, *asked, "--api-key", "the key")
    assert (code, err) == (0, "")
    page, _, token = link.strip().partition("#token=")
    assert page == f"{base}agent?channel=the%20lobby"
    headers = {"Authorization": f"Bearer {token}"}
    config = httpx.get(f"{base}api/config", headers=headers, trust_env=False).json()
    assert (config["room"], config["user"], config["agents"]) == ("the lobby", "Ann", False)
    assert httpx.get(f"{base}api/sessions", headers=headers, trust_env=False).json()["code"] == "NOT_ALLOWED"
    code, bare, _ = run(place, *asked, "--api-key", "the key", "--bare")
    assert bare.count(".") == 2
    assert "#" not in bare


def test_the_links_on_a_terminal_open_the_pages(place: Path) -> None:
    here, there = pty.openpty()
    process = subprocess.Popen(
        [str(LIPWIRE), "serve", *PORTS, "--host", "127.0.0.1"],
        cwd=place, env=environment(place, LIPWIRE_API_KEY="the key"), stdin=subprocess.DEVNULL, stdout=there,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        os.close(there)
        with open(here, encoding="utf-8") as terminal:
            lines = list(itertools.takewhile(lambda line: not line.startswith("Ctrl-C"), iter(terminal.readline, "")))
            links = [line.split()[1] for line in lines if "#token=" in line]
            assert [link.partition("#")[0].rpartition("/")[2] for link in links] == ["", "agent?channel=lobby"]
            base = links[0].partition("#")[0]
            for link in links:
                headers = {"Authorization": f"Bearer {link.partition('#token=')[2]}"}
                assert httpx.get(f"{base}api/sessions", headers=headers, trust_env=False).json()["sessions"] == []
                assert httpx.get(f"{base}api/config", headers=headers, trust_env=False).json()["agents"] is True
    finally:
        process.kill()
        process.wait()


def test_what_cannot_be_said_is_one_line(place: Path) -> None:
    assert "LIPWIRE_API_KEY" in fails(place, "token", "--room", "lobby")
    assert "one thing at a time" in fails(place, "token", "--room", "lobby", "--session", "x")
    assert "one thing at a time" in fails(place, "token", "channel", "--room", "lobby")
    assert "--role, --ttl: only with" in fails(place, "token", "channel", "--role", "watch", "--ttl", "1h")
    assert "--name is for a room" in fails(place, "token", "--session", "x", "--name", "Ann")
    assert "15m" in fails(place, "token", "--room", "x", "--ttl", "soon", "--api-key", "k")
    nowhere = ("--url", "http://127.0.0.1:1", "--api-key", "k")
    assert "does not answer" in fails(place, "token", "--room", "x", *nowhere)
    assert "which file" in fails(place, "key", "new", "acme")
    assert "no owner's name" in fails(place, "key", "new", "a b", "--file", "keys")
    assert "operator" in fails(place, "key", "new", "operator", "--file", "keys")
    assert not (place / "keys").exists()
    assert "cannot be read" in fails(place, "key", "list", "--file", "keys")
    assert "no key of acme" in fails(place, "key", "remove", "acme", "--file", "keys")
    (place / "keys").write_text("nonsense\n")
    assert "line 1" in fails(place, "key", "new", "acme", "--file", "keys")
    assert "line 1" in fails(place, "serve", *PORTS, "--api-keys-file", "keys")
    assert (place / "keys").read_text() == "nonsense\n"


@pytest.mark.parametrize("given", [["--expire", "60"], ["--subscriber"], ["--expire", "60", "--subscriber"]])
def test_what_an_agora_token_has_is_refused_for_one_of_ours(place: Path, given: list[str]) -> None:
    for what in ("--room", "--session"):
        told = fails(place, "token", what, "lobby", *given, "--api-key", "k")
        assert "only for an Agora token" in told
        assert all(option in told for option in given if option.startswith("--"))


def test_errors_say_which_name_file_or_folder(place: Path) -> None:
    told = fails(place, "key", "new", "a b", "--file", "keys")
    assert "'a b' is no owner's name" in told and "line 1" not in told
    told = fails(place, "key", "new", "operator", "--file", "keys")
    assert "owner of the setting api_key" in told and "line 1" not in told
    assert "there is no folder nowhere" in fails(place, "key", "new", "acme", "--file", "nowhere/keys")
    (place / "keys").write_text("acme\n")
    for words in (["list"], ["new", "acme"], ["remove", "acme"]):
        assert "keys, line 1: " in fails(place, "key", *words, "--file", "keys")
    assert "--room must have 1..64 characters" in fails(place, "token", "--room", "a/b", "--api-key", "k")
    assert "no session has such an id" in fails(place, "token", "--session", "a/b", "--api-key", "k")


def test_an_option_that_has_no_effect_is_refused(place: Path) -> None:
    assert "--url: only with --room" in fails(place, "token", "channel", "--url", "http://127.0.0.1:9")
    assert "--bare: only with --room" in fails(place, "token", "channel", "--bare")
    assert "--expire: not with --explain" in fails(place, "token", "--explain", "007x", "--expire", "60")
    assert "CHANNEL, UID: not with --explain" in fails(place, "token", "channel", "7", "--explain", "007x")
    assert "--subscriber: only with a channel" in fails(place, "token", "--rtm", "ann", "--subscriber")
