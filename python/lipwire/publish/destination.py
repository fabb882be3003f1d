"""Where a stream goes: what a URL or a path means for FFmpeg. What is secret in it is told by nothing but a `Place`."""

from __future__ import annotations

import abc
import ipaddress
import os
import re
import ssl
import time
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

import av
from msgspec import Struct

from ..errors import BadState, InvalidArgument
from ..outward import PORTS, RTMP, Outward, redact
from .film import KEY_SECONDS
from .live_writer import LiveForm

TIMEOUT = 10
"""Seconds after which a server that takes nothing is given up."""
IN_FLIGHT = 256 << 10
"""Bytes that the system may keep for a server: what is late is to be late here, where it can be left out."""
DATAGRAM = 1316
"""Bytes of MPEG-TS in a datagram: seven packets of 188, the most that fits into an Ethernet frame."""
UDP_NUMBERS = {"ttl": (0, 255), "localport": (0, 65535), "pkt_size": (188, 65507), "dscp": (0, 63)}
"""Options of FFmpeg's udp that a URL may have, with what each may be;"""
UDP_OPTIONS = UDP_NUMBERS.keys() | {"localaddr"}
"""and all of them."""
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS, BSD
)
"""Where systems have the certificates that they trust in one file; FFmpeg takes no folder of them."""
IN_OPTION, IN_TEE = "\\':]", "\\'|"
"""What means something within an option of an output of `tee`, and within all of its outputs."""
LISTED = 6
"""Segments in an HLS playlist."""
SHORTEST, LONGEST = 1.0, 30.0
"""Seconds of an HLS segment."""
KNOWN = "rtmp://, rtmps://, udp:// (MPEG-TS), or the path of a playlist that ends in .m3u8 (HLS)"
LACKING = {
    "srt": "SRT",
    "rist": "RIST",
    "rtmpe": "encrypted RTMP (take rtmps://)",
    "rtmpt": "RTMP over HTTP",
    "rtmpts": "RTMP over HTTPS",
}
"""What people send streams by, and PyAV's FFmpeg has not, or not so that it can be relied on."""


class Place(Struct, frozen=True):
    """What is handed to FFmpeg, secrets and all."""

    place: str
    form: LiveForm
    folder: str = ""
    """That the place is in, where it is a file: FFmpeg finds a meaning in some characters of paths."""


class Destination(abc.ABC):
    """Where a stream goes."""

    name: str
    """For logs, errors and figures: without secrets."""
    every: float = KEY_SECONDS
    """Seconds from one key frame to the next."""
    formats: tuple[str, ...]
    """FFmpeg's, that it takes."""

    async def check(self, outward: Outward) -> None:
        """Whether a policy lets it lead there. Raises OutwardRefused."""

    @abc.abstractmethod
    async def place(self, outward: Outward) -> Place:
        """Where that is now. Raises OutwardRefused; OSError: there is no such host."""


def destination(url: str | os.PathLike[str], *, segment: float = 2.0, ca: str | None = None) -> Destination:
    """What a URL or the path of a playlist stands for.

    Args:
        segment: seconds of an HLS segment.
        ca: a PEM file of the certificates to trust behind rtmps; None = the system's.

    Raises:
        InvalidArgument: it is none, or one that PyAV's FFmpeg cannot write. BadState: a PyAV without its formats.
    """
    text = os.fspath(url)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    made: Destination
    if scheme in RTMP:
        made = RtmpDestination(text, ca)
    elif scheme == "udp":
        made = UdpDestination(text)
    elif not scheme and text.lower().endswith(".m3u8"):
        made = HlsDestination(Path(text), segment)
    elif scheme in LACKING:
        raise InvalidArgument(f"{scheme}://: PyAV's FFmpeg ({av.__version__}) has no {LACKING[scheme]}; take {KNOWN}")
    else:
        what = f"{scheme:.20}://" if scheme else repr(Path(text).name[:80])
        raise InvalidArgument(f"{what} is no destination of a stream; take {KNOWN}")
    if lacking := [name for name in made.formats if name not in av.formats_available]:
        raise BadState(f"this PyAV's FFmpeg has no {', '.join(lacking)}: install PyAV's own wheel (pip install av)")
    return made


def _split(url: str, shape: str) -> SplitResult:
    """Raises InvalidArgument: it is no URL of that shape."""
    try:
        parts = urlsplit(url)
        found = parts.hostname and parts.port != 0
    except ValueError:
        found = False
    if not found or not url.isprintable() or " " in url:
        raise InvalidArgument(f"a URL that cannot be read: write it as {shape}")
    return parts


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone may be any text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _escaped(text: str, special: str) -> str:
    """For FFmpeg's av_get_token, to which these characters mean something."""
    return "".join(f"\\{c}" if c in special else c for c in text)


def _trusted() -> str:
    """The file of the certificates that the system trusts. Raises InvalidArgument: there is none."""
    for file in (ssl.get_default_verify_paths().cafile, *BUNDLES):
        if file is not None and os.path.isfile(file):
            return file
    raise InvalidArgument("rtmps://: this system has no file of the certificates that it trusts; give ca=")


class RtmpDestination(Destination):
    """A server's ingest, by RTMP or RTMPS. FFmpeg's muxer `tee` is what hands options to the connection, as PyAV by
    itself does not: how long to wait, which host the server is told, and that a certificate is looked at, which by
    default it is not.

    A name is connected to by the address that the policy has seen; but for TLS, where the certificate has to be the
    name's.
    """

    formats = "tee", "flv"
    SHAPE = "rtmp://HOST[:PORT]/APP/KEY"

    def __init__(self, url: str, ca: str | None) -> None:
        self._url, self._ca = url, ca
        self._parts = parts = _split(url, self.SHAPE)
        names = parts.path.removeprefix("/").split("/")
        if len(names) < 2 or not all((names[0], names[-1])):
            raise InvalidArgument(f"{redact(url)}: write it as {self.SHAPE}")
        # As FFmpeg takes a path apart: the application has two names where there are three.
        self._app = "/".join(names[: 1 if len(names) == 2 else 2])
        self._host = parts.hostname or ""
        self._port = parts.port or PORTS[parts.scheme]
        self.name = redact(url)
        if parts.scheme == "rtmps" and self._ca is None:
            self._ca = _trusted()

    async def check(self, outward: Outward) -> None:
        """As `Destination.check`."""
        await outward.check(self._url, RTMP)

    async def place(self, outward: Outward) -> Place:
        """As `Destination.place`."""
        addresses = await outward.addresses(self._host, self._port)
        parts, host = self._parts, _bracketed(self._host)
        options = {
            "f": "flv",
            "flvflags": "no_duration_filesize",
            "rw_timeout": str(TIMEOUT * 1_000_000),
            "send_buffer_size": str(IN_FLIGHT),
            "rtmp_tcurl": f"{parts.scheme}://{host}:{self._port}/{self._app}",
        }
        if parts.scheme == "rtmps":
            options["tls_verify"] = "1"
            assert self._ca is not None
            options["ca_file"] = self._ca
        else:
            host = _bracketed(addresses[0])
        user, at, _ = parts.netloc.rpartition("@")
        query = f"?{parts.query}" if parts.query else ""
        target = f"{parts.scheme}://{user}{at}{host}:{self._port}{parts.path}{query}"
        listed = ":".join(f"{name}={_escaped(value, IN_OPTION)}" for name, value in options.items())
        return Place(_escaped(f"[{listed}]{target}", IN_TEE), LiveForm(name="tee"))


class UdpDestination(Destination):
    """MPEG-TS in datagrams."""

    formats = ("mpegts",)
    SHAPE = "udp://HOST:PORT"

    def __init__(self, url: str) -> None:
        self._url = url
        self._parts = parts = _split(url, self.SHAPE)
        if parts.port is None:
            raise InvalidArgument(f"udp://{parts.hostname}: udp needs a port; write it as {self.SHAPE}")
        self._host, self._port = parts.hostname or "", parts.port
        self._options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = ", ".join(sorted(self._options.keys() - UDP_OPTIONS)) or "a path or a user"
        self.name = f"udp://{_bracketed(self._host)}:{self._port}"
        if self._options.keys() - UDP_OPTIONS or parts.path not in ("", "/") or parts.username is not None:
            known = ", ".join(sorted(UDP_OPTIONS))
            raise InvalidArgument(f"{self.name} cannot have {unknown:.80}; options are {known}")
        self._check_options()

    def _check_options(self) -> None:
        """Raises InvalidArgument. FFmpeg takes the values as they are, and decodes nothing in them."""
        for option, value in self._options.items():
            if option in UDP_NUMBERS:
                least, most = UDP_NUMBERS[option]
                wanted = f"a whole number, {least}..{most}"
                good = re.fullmatch("[0-9]{1,5}", value) and least <= int(value) <= most
            else:
                wanted, good = "an IP address", _is_address(value)
            if not good:
                raise InvalidArgument(f"{self.name}: {option} must be {wanted}, got {value!r:.40}")

    async def check(self, outward: Outward) -> None:
        """As `Destination.check`."""
        await outward.check(self._url, ("udp",))

    async def place(self, outward: Outward) -> Place:
        """As `Destination.place`."""
        addresses = await outward.addresses(self._host, self._port)
        query = "&".join(f"{name}={value}" for name, value in ({"pkt_size": str(DATAGRAM)} | self._options).items())
        form = LiveForm(name="mpegts", options={"flush_packets": "1"})
        return Place(f"udp://{_bracketed(addresses[0])}:{self._port}?{query}", form)


class HlsDestination(Destination):
    """A playlist of fragmented MP4 in a folder. Segments are called otherwise each time, so that what a cache has kept
    of an earlier stream is never taken for this one's; what an earlier one has left is deleted."""

    formats = "hls", "mp4"

    def __init__(self, path: Path, segment: float) -> None:
        if not SHORTEST <= segment <= LONGEST:
            raise InvalidArgument(
                f"segment_seconds must be {SHORTEST:g}..{LONGEST:g}, got {segment!r}: shorter ones are low-latency "
                "HLS, which FFmpeg does not write"
            )
        if not path.parent.is_dir():
            raise InvalidArgument(f"cannot write {path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise InvalidArgument(f"cannot write into {path.parent}: Permission denied")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", path.stem):
            raise InvalidArgument(f"{path.name!r}: it becomes part of URLs; take letters, digits, '.', '_' and '-'")
        self._path, self.every = path, segment
        self.name = str(path)

    async def place(self, outward: Outward) -> Place:
        """As `Destination.place`."""
        path = self._path
        ours = re.compile(re.escape(path.stem) + r"-\d{13}(-\d{5,}\.m4s|\.mp4)(\.tmp)?")
        for old in [found for found in path.parent.iterdir() if ours.fullmatch(found.name)]:
            old.unlink(missing_ok=True)
        stem = f"{path.stem}-{time.time_ns() // 1_000_000}"
        options = {
            "hls_time": f"{self.every:g}",
            "hls_list_size": str(LISTED),
            "hls_flags": "delete_segments+independent_segments+program_date_time+temp_file",
            "hls_segment_type": "fmp4",
            "hls_fmp4_init_filename": f"{stem}.mp4",
            "hls_segment_filename": f"{stem}-%05d.m4s",
        }
        return Place(path.name, LiveForm(name="hls", options=options), str(path.parent))
