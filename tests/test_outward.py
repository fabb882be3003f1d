"""Where URLs of requests may lead."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lipwire.errors import InvalidArgument
from lipwire.outward import (
    HTTP,
    WEBSOCKET,
    Lookups,
    Outward,
    OutwardRefused,
    is_public,
    redact,
    same_origin,
    secrets_of,
    site,
)

_CLOSED = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2001:0:7f00:1::1 2001:db8::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo
fec0::1 ff02::1 100::1 5f00::1 3fff::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1
"""
_OPEN = """
1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.3.1 223.255.255.255 169.253.0.1
2606:4700:4700::1111 2a00:1450:4001:82f::200e ::ffff:8.8.8.8 64:ff9b::808:808 2606:4700::5efe:808:808
"""
CLOSED, OPEN = _CLOSED.split(), _OPEN.split()


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OPEN)
def test_what_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class Names:
    """A resolver: each name's answers in turn, the last for ever."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): rounds for name, rounds in answers.items()}
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int, owner: str) -> list[str]:
        self.asked.append((host, port))
        if host not in self.answers:
            return await Lookups()(host, port, owner)
        rounds = self.answers[host]
        return rounds.pop(0) if len(rounds) > 1 else rounds[0]


@pytest.mark.parametrize(
    "url",
    [
        *(f"http://{f'[{a}]' if ':' in a else a}/v1/chat" for a in CLOSED if "%" not in a),
        "http://localhost/",
        "https://localhost:8443/",
        "http://LOCALHOST/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://user:password@127.0.0.1:80/",
        "http://8.8.8.8@127.0.0.1/",
        "http://inner.test/",
        "http://mixed.test/",
    ],
)
async def test_a_private_address_is_refused_however_it_is_written(url: str) -> None:
    names = Names(inner_test=[["10.1.2.3"]], mixed_test=[["93.184.216.34", "::1"]])
    with pytest.raises(OutwardRefused, match="no public address") as refused:
        await Outward(resolve=names).check(url)
    assert "password" not in str(refused.value) and "10.1.2.3" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "x", "ftp://a/", "file:///etc/passwd", "http://", "http://a:b/", "ws://a/", "//a"])
async def test_what_is_no_url_of_the_scheme_is_refused(url: str) -> None:
    for outward in (Outward(), Outward(["*"])):
        with pytest.raises(OutwardRefused, match="no URL that begins with http:// or https://"):
            await outward.check(url)


async def test_public_ones_and_names_not_known_yet_pass_the_door() -> None:
    names = Names(public_test=[["93.184.216.34", "2606:2800:220:1::1"]])
    outward = Outward(resolve=names)
    await outward.check("https://public.test/v1")
    await outward.check("wss://public.test", WEBSOCKET)
    assert names.asked == [("public.test", 443)] * 2
    await outward.check("https://no-such-name.invalid/")
    await outward.check(f"https://{'a' * 70}.test/")


@pytest.mark.parametrize(
    ("allowed", "passes", "refused"),
    [
        (["localhost"], ["http://localhost/", "http://localhost:1/"], ["http://127.0.0.1/"]),
        (["127.0.0.1"], ["http://127.0.0.1:5/", "http://127.1/"], ["http://127.0.0.2/", "http://[::1]/"]),
        (["127.0.0.1:11434"], ["http://127.0.0.1:11434/"], ["http://127.0.0.1/", "http://127.0.0.1:8080/"]),
        (
            ["10.0.0.0/8", "[::1]:80"],
            ["http://10.9.9.9/", "http://[::1]/"],
            ["http://[::1]:81/", "http://192.168.0.1/"],
        ),
        (["fd00::/8"], ["http://[fd00::1]:7/"], ["http://[fe80::1]/"]),
        (["Inner.Test.:443"], ["https://inner.test/"], ["http://inner.test/", "https://other.test/"]),
        (["*"], ["http://127.0.0.1/", "http://inner.test/", "http://169.254.169.254/"], []),
        ([], [], ["http://127.0.0.1/"]),
    ],
)
async def test_what_the_settings_allow(allowed: list[str], passes: list[str], refused: list[str]) -> None:
    names = Names(inner_test=[["10.1.2.3"]], other_test=[["10.1.2.3"]])
    outward = Outward(allowed, resolve=names)
    for url in passes:
        await outward.check(url)
    for url in refused:
        with pytest.raises(OutwardRefused):
            await outward.check(url)


@pytest.mark.parametrize("entry", ["", "a b", "10.0.0.0/99", "a:x", "a:0", "a:70000", "http://a/", "300.1.1.1", "*.a"])
def test_an_entry_that_is_none_is_told(entry: str) -> None:
    with pytest.raises(InvalidArgument, match="is no "):
        Outward([entry])


async def test_the_operators_own_url_is_trusted_to_the_letter() -> None:
    outward = Outward(trusted=["http://127.0.0.1:11434/v1/chat/completions", None, ""])
    await outward.check("http://127.0.0.1:11434/v1/chat/completions")
    for other in (
        "http://127.0.0.1:11434/api/delete",
        "http://127.0.0.1:11434/v1/chat/completions?x",
        "http://127.0.0.1",
    ):
        with pytest.raises(OutwardRefused):
            await outward.check(other)


def test_what_is_told_of_a_url() -> None:
    secret = "https://user:hunter2@llm.example.org:8443/v1/chat?key=s3cret&model=gpt#frag"
    assert site(secret) == "llm.example.org:8443"
    assert redact(secret) == "https://llm.example.org:8443/v1/chat?key=***&model=***"
    assert secrets_of(secret) >= {"user", "hunter2", "s3cret"}
    assert (site("https://a"), site("http://[::1]:5/x"), redact("http://[::1]/x")) == ("a", "[::1]:5", "http://[::1]/x")
    assert redact("http://a/?s3cret&b=s3cret") == "http://a/?***&b=***"
    assert redact("rtmp://u:s3cret@a:1935/app/s3cret?k=s3cret") == "rtmp://a:1935/***"
    assert site("http://u:p@a:port/") == "an address that cannot be read" and redact("http://u:p@a:port/") == "(no URL)"
    assert "\n" not in redact("http://a/x\ny") and "\x1b" not in site("http://a\x1b[31m/")


# --------------------------------------------------------------------------------------------------------- look-ups


async def test_slow_names_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, real = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        if options.get("flags"):  # whether it is an address
            return real(host, *args, **options)
        if host == "slow.test":  # its name server does not answer
            answer.wait(60)
        return real("127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    lookups = Lookups(threads=3, each=2, seconds=0.2)
    outward = Outward(["127.0.0.1"], resolve=lookups)
    mine, other = outward.of("mallory"), outward.of("other")
    try:
        told = await asyncio.gather(*(mine.addresses("slow.test", 80) for _ in range(8)), return_exceptions=True)
        assert [type(one) for one in told] == [OSError] * 8 and "not found in time" in str(told[0])
        await mine.check("http://slow.test/")  # as a name that is not known yet
        lookups.seconds = 60
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert await other.addresses("quick.test", 80) == ["127.0.0.1"], "two of the three threads are still held"
        assert await mine.addresses("127.1", 80) == ["127.0.0.1"], "an address needs no thread"
        waiting = asyncio.ensure_future(mine.addresses("quick.test", 80))
        await other.addresses("quick.test", 80)
        assert not waiting.done(), "a look-up that nobody waits for any more holds its owner's turn"
        answer.set()
        assert await waiting == ["127.0.0.1"]
    finally:
        answer.set()


async def test_more_look_ups_than_turns_are_all_answered() -> None:
    outward = Outward(["localhost"]).of("operator")
    found = await asyncio.gather(*(outward.addresses("localhost", 80) for _ in range(20)))
    assert len(found) == 20 and all(one == found[0] for one in found)


@pytest.mark.parametrize(
    "allowed, host, named",
    [
        ((), "8.8.8.8", False),
        (("8.8.0.0/16",), "8.8.8.8", True),
        (("8.8.8.8:5004",), "8.8.8.8", True),
        (("8.8.8.8:9",), "8.8.8.8", False),
        (("PBX.example.org",), "pbx.example.org.", True),
        (("*",), "8.8.8.8", True),
    ],
)
def test_what_the_settings_name_and_what_is_merely_public(allowed: tuple[str, ...], host: str, named: bool) -> None:
    assert Outward(allowed).names(host, "8.8.8.8", 5004) == named


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://A.example:443/x?y", True),
        ("https://u:p@a.example", True),
        ("http://a.example", False),
        ("https://a.example:444", False),
        ("https://a.example@b.example", False),
        ("https://b.example/a.example", False),
        ("https://a.example:port", False),
        ("", False),
    ],
)
def test_one_origin(other: str, same: bool) -> None:
    assert same_origin("https://a.example/v1", other) == same_origin(other, "https://a.example/v1") == same
    assert not same_origin("https://a:port", "https://a:port")


async def test_many_are_looked_up_at_once_and_each_host_once() -> None:
    asked: list[tuple[str, int]] = []

    async def slow(host: str, port: int, owner: str) -> list[str]:
        asked.append((host, port))
        await asyncio.sleep(60 if host == "never.test" else 0.2)
        if host == "gone.test":
            raise OSError("no such name")
        return ["10.0.0.1" if host == "inner.test" else "8.8.8.8"]

    outward = Outward(["192.0.2.1"], trusted=["http://own.test/"], resolve=slow)
    urls = [(f"https://one.test/{n}", HTTP) for n in range(100)]
    urls += [("https://ONE.test:443", HTTP), ("https://one.test:444", HTTP), ("http://own.test/", HTTP)]
    urls += [("https://inner.test/", HTTP), ("ftp://one.test", HTTP), ("https://gone.test", HTTP)]
    began = asyncio.get_running_loop().time()
    found = await outward.check_all([*urls, ("https://never.test", HTTP)], 1.0)
    assert asyncio.get_running_loop().time() - began < 5
    refused = {urls[n][0]: str(why) for n, why in enumerate(found) if why is not None}
    assert set(refused) == {"https://inner.test/", "ftp://one.test"}
    assert refused["https://inner.test/"].startswith("leads to inner.test, which is no public address")
    hosts = [("gone.test", 443), ("inner.test", 443), ("never.test", 443), ("one.test", 443), ("one.test", 444)]
    assert sorted(asked) == hosts
    assert await outward.check_all([]) == []
