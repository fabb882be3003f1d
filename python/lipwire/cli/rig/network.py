"""Where the nodes are: network namespaces on a bridge of this machine, which root alone can make, or loopback
addresses.

Names have this process's id in them, so that the next run takes away what a killed one left.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import socket
import subprocess
from types import TracebackType
from typing import Protocol, Self

from ...errors import BadState
from .script import Slowness

NETWORKS = ipaddress.ip_network("198.19.0.0/16").subnets(new_prefix=24)
"""Of the block that RFC 2544 keeps for tests."""
OWN, NATS, FIRST = 1, 2, 11
"""Last octets: of the bridge, where the calls come from; of NATS; of the first node."""
PORTS = 8764, 8765, 8766
"""In a namespace: of HTTP, of the pages, and of the first worker's speech."""
_SPACE = re.compile(r"lwrig(\d+)-[a-z0-9]+")
_LINK = re.compile(r"lwb(\d+)")


class Place(Protocol):
    """Of one node, or of NATS."""

    address: str
    ports: tuple[int, int, int]
    """Of HTTP, of the pages, and of the first worker's speech; NATS takes the first."""

    @property
    def prefix(self) -> list[str]:
        """What to put before a command that is to run there."""


class Network(Protocol):
    """Use as a context manager: it is gone behind."""

    about: str
    """What it is, for people."""
    cuts: bool
    """Whether `cut`, `slow` and `heal` can be done."""

    def __enter__(self) -> Network: ...
    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def place(self, name: str) -> Place:
        """Of "nats" or a node, which it makes."""

    def cut(self, name: str) -> None:
        """No packet goes there or comes from there any more."""

    def slow(self, name: str, how: Slowness) -> None:
        """They take longer, and get lost."""

    def heal(self, name: str) -> None:
        """As before."""


def run(*command: str) -> str:
    """What a command prints. Raises BadState where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadState(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    return os.path.exists(f"/proc/{pid}")


class Space:
    """A namespace."""

    def __init__(self, name: str, link: str, address: str) -> None:
        self.name, self.link, self.address, self.ports = name, link, address, PORTS

    @property
    def prefix(self) -> list[str]:
        """See `Place`."""
        return ["ip", "netns", "exec", self.name]


class Namespaces:
    """A namespace each, on a bridge. See `Network`.

    Raises:
        BadState: this process may not make them, or `ip` is missing.
    """

    cuts = True

    def __init__(self) -> None:
        self._bridge = f"lwb{os.getpid()}"
        self._spaces: dict[str, Space] = {}
        self._net = ipaddress.ip_network("198.19.0.0/24")
        self.about = ""

    def __enter__(self) -> Self:
        sweep()
        used = run("ip", "-o", "address")
        self._net = next(net for net in NETWORKS if f" {net.network_address + OWN}/" not in used)
        self.about = f"network namespaces on a bridge ({self._net})"
        try:
            run("ip", "link", "add", self._bridge, "type", "bridge")
            run("ip", "address", "add", f"{self._net.network_address + OWN}/24", "dev", self._bridge)
            run("ip", "link", "set", self._bridge, "up")
        except BaseException:
            self.close()
            raise
        return self

    def place(self, name: str) -> Space:
        """See `Network`."""
        if name in self._spaces:
            return self._spaces[name]
        number = 0 if name == "nats" else int(name.removeprefix("node"))
        octet = NATS if name == "nats" else FIRST - 1 + number
        space = Space(f"lwrig{os.getpid()}-{name}", f"lw{os.getpid()}n{number}", f"{self._net.network_address + octet}")
        run("ip", "netns", "add", space.name)
        self._spaces[name] = space
        run("ip", "link", "add", space.link, "type", "veth", "peer", "name", "eth0", "netns", space.name)
        run("ip", "link", "set", space.link, "master", self._bridge, "up")
        run(*space.prefix, "ip", "link", "set", "lo", "up")
        run(*space.prefix, "ip", "address", "add", f"{space.address}/24", "dev", "eth0")
        run(*space.prefix, "ip", "link", "set", "eth0", "up")
        return space

    def cut(self, name: str) -> None:
        """See `Network`."""
        run("ip", "link", "set", self._spaces[name].link, "down")

    def slow(self, name: str, how: Slowness) -> None:
        """See `Network`. Raises BadState: this kernel has no netem."""
        space, netem = self._spaces[name], ["netem", "delay", f"{how.ms}ms", "loss", f"{how.loss}%"]
        run("tc", "qdisc", "replace", "dev", space.link, "root", *netem)
        run(*space.prefix, "tc", "qdisc", "replace", "dev", "eth0", "root", *netem)

    def heal(self, name: str) -> None:
        """See `Network`."""
        space = self._spaces[name]
        run("ip", "link", "set", space.link, "up")
        for prefix, link in (([], space.link), (space.prefix, "eth0")):
            if "netem" in run(*prefix, "tc", "qdisc", "show", "dev", link):
                run(*prefix, "tc", "qdisc", "del", "dev", link, "root")

    def close(self) -> None:
        """Takes all of it away; what is in it must have ended. Safe to call twice."""
        for space in self._spaces.values():  # each takes its own ends of links along
            subprocess.run(["ip", "netns", "delete", space.name], capture_output=True, check=False)
        self._spaces.clear()
        subprocess.run(["ip", "link", "delete", self._bridge], capture_output=True, check=False)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Address:
    """A loopback address."""

    prefix: list[str] = []  # noqa: RUF012 - nothing to put before a command

    def __init__(self, address: str) -> None:
        self.address = address
        self.ports = _free_ports(address)


class Loopback:
    """An address of 127.0.0.0/8 each. See `Network`."""

    cuts = False

    def __init__(self, why: str) -> None:
        self.about = f"loopback addresses, since {why}: no fault 'cut' or 'slow'"
        self._places: dict[str, Address] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.clear()

    def place(self, name: str) -> Address:
        """See `Network`."""
        if name not in self._places:
            octet = NATS if name == "nats" else FIRST - 1 + int(name.removeprefix("node"))
            self._places[name] = Address(f"127.0.0.{octet}")
        return self._places[name]

    def cut(self, name: str) -> None:
        """Cannot be done. Raises BadState."""
        raise BadState(f"{name} cannot be cut off: it is on a loopback address")

    def slow(self, name: str, how: Slowness) -> None:
        """Cannot be done. Raises BadState."""
        raise BadState(f"{name} cannot be made slow: it is on a loopback address")

    def heal(self, name: str) -> None:
        """Nothing is cut."""


SPAN = 66
"""Ports that a node may need: two, and one for each worker."""


def _free_ports(address: str) -> tuple[int, int, int]:
    """A row of ports that nobody has."""
    for base in range(20_000, 32_000, SPAN):
        if all(_free(address, port) for port in range(base, base + SPAN)):
            return base, base + 1, base + 2
    raise BadState(f"{address} has no row of {SPAN} free ports from 20000 to 32000")


def _free(address: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def choose(kind: str) -> Network:
    """`auto`: namespaces where this process may make them. Raises BadState: it may not, and was told to."""
    why = _hindrance()
    if kind == "loopback" or (kind == "auto" and why):
        return Loopback(why or "it was asked for")
    if why:
        raise BadState(f"--network namespaces: {why}; --network loopback does without")
    return Namespaces()


def _hindrance() -> str:
    """Why there can be no namespaces; empty: they can be."""
    if os.geteuid() != 0:
        return "network namespaces are made by root alone"
    if missing := [name for name in ("ip", "tc") if shutil.which(name) is None]:
        return f"{' and '.join(missing)} is missing (apt install iproute2)"
    name = f"lwrig{os.getpid()}-try"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return f"this machine refuses network namespaces ({tried.stderr.strip()})" if tried.returncode else ""


def left(*pids: int) -> list[str]:
    """Namespaces and bridges of these processes; without any, of all that live no more."""
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout
    found = [(match[0], int(match[1])) for match in map(_SPACE.match, spaces.splitlines()) if match]
    names = (line.split(": ")[1].partition("@")[0] for line in links.splitlines())
    found += [(match[0], int(match[1])) for match in map(_LINK.fullmatch, names) if match]
    return [name for name, pid in found if (pid in pids if pids else not alive(pid))]


def sweep() -> None:
    """Takes away what runs have left that were killed."""
    for name in left():
        kind = ["netns"] if name.startswith("lwrig") else ["link"]
        subprocess.run(["ip", *kind, "delete", name], capture_output=True, check=False)
