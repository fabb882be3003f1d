"""A session on its way to servers and players: FFmpeg listens, and what it gets is what was handed over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.errors import BadState, InvalidArgument
from lipwire.outward import ANY, Outward, OutwardRefused
from lipwire.publish import Restream, Tee
from lipwire.publish import restream_wire as w
from lipwire.publish.destination import destination
from lipwire.stream import Unit
from support.broadcast import (
    RATE,
    SIZE,
    SOUND_ONLY,
    SPEC,
    Ears,
    Flash,
    Shown,
    check_together,
    claps,
    happy_for_a_while,
    performed,
    read,
    read_from,
    source,
)
from support.certificates import Authority
from support.ports import free_ports

WAIT = 60
KEY = "se|cr'et:k]e\\y"
"""A stream's key, with all that FFmpeg's own syntax uses."""
URL_KEY = "live_53cr3t-k3y"


class Listener:
    """FFmpeg's RTMP server, for one stream after the other."""

    def __init__(self, port: int) -> None:
        self.url = f"rtmp://127.0.0.1:{port}/live/{URL_KEY}"
        self.port = port

    async def hear(self, until: Callable[[Any], Shown] = read_from) -> Shown:
        """One stream, to its end."""

        def listen() -> Shown:
            options = {"listen": "1", "listen_timeout": str(WAIT)}
            with av.open(f"rtmp://127.0.0.1:{self.port}/live/x", options=options, timeout=WAIT) as file:
                return until(file)

        return await asyncio.to_thread(listen)


async def hand(stream: Restream, items: list[Any]) -> None:
    """Hands items over, no faster than they are written."""
    before = stream.stats()["written_s"]
    for item in items:
        if isinstance(item, tuple):
            stream.audio(*item)
            handed = (item[1] - items[0][1]) / RATE
            while stream.connected.is_set() and handed > stream.stats()["written_s"] - before + 0.2:
                await asyncio.sleep(0.001)
        elif isinstance(item, Unit):
            stream.unit(item)
        else:
            stream.video(item)


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT):
        while not what():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def opened(stream: Restream, spec: Any = SPEC, *, connects: bool = True) -> AsyncIterator[Restream]:
    await stream.open(spec)
    try:
        if connects:
            async with asyncio.timeout(WAIT):
                await stream.connected.wait()
        yield stream
    finally:
        await stream.close()


def check(shown: Shown, items: list[Any]) -> None:
    given = source(items)
    assert set(shown.codecs) == {"h264", "aac"}
    assert abs(len(shown.times) - len(given.times)) <= 2 and shown.jumps < 0.003
    assert np.allclose(np.diff(shown.times), 0.04, atol=0.0021)
    check_together(shown, given)


async def test_a_session_reaches_an_rtmp_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "lipwire")
    listener = Listener(*free_ports(1))
    hearing = asyncio.create_task(listener.hear())
    items = list(performed(3))
    stream = Restream(listener.url)
    assert stream.wants == "nothing"
    async with opened(stream):
        assert stream.wants == "pictures" and stream.state == "live"
        await hand(stream, items)
    check(await hearing, items)
    stats = stream.stats()
    assert (stats["state"], stats["connections"], stats["pictures_dropped"]) == ("ended", 1, 0)
    assert stats["written_s"] > 2.8 and stats["silence_s"] == 0
    told = caplog.text + repr(stream) + repr(stats)
    assert URL_KEY not in told and "127.0.0.1" in told


async def test_a_live_session_is_sent_on_with_sound_and_picture_together() -> None:
    listener = Listener(*free_ports(1))
    hearing = asyncio.create_task(listener.hear())
    stream, ears = Restream(listener.url), Ears()
    async with lipwire.Session(Tee(ears, stream), avatar=Flash(), size=SIZE) as session:
        async with asyncio.timeout(WAIT):
            await stream.connected.wait()
        session.write(claps(2), RATE)
        session.end()
        await session.finished()
    check_together(await hearing, source(ears.items))


async def test_units_are_sent_on_as_they_are_and_keys_asked_for() -> None:
    spec, items = happy_for_a_while()
    listener = Listener(*free_ports(1))
    hearing = asyncio.create_task(listener.hear())
    stream = Restream(listener.url)
    keys: list[int] = []
    stream.request_key = lambda: keys.append(1)  # as a session sets it
    async with opened(stream, spec):
        assert stream.wants == "units" and keys == [1]  # for who has just come
        frames = [item for item in items if not isinstance(item, tuple)]
        key = next(n for n, item in enumerate(frames) if isinstance(item, Unit) and not item.key)
        stream.unit(frames[key])  # cannot be shown
        await until(lambda: len(keys) == 2)
        await hand(stream, items)
    shown = await hearing
    assert len(shown.times) == len(frames) and np.allclose(np.diff(shown.times), 0.04, atol=0.0021)


async def test_a_connection_that_breaks_is_made_anew_and_holds_nobody_up() -> None:
    (port,) = free_ports(1)
    listener = Listener(port)
    stream = Restream(listener.url)

    def some(file: Any) -> Shown:
        for _ in zip(range(20), file.demux(), strict=False):
            pass
        return Shown()  # and hangs up

    items = list(performed(3))
    async with opened(stream, connects=False):
        await until(lambda: stream.stats()["failures"])  # nobody is there yet
        assert stream.stats()["last_failure"] == "Connection refused" and stream.wants == "nothing"
        await until(lambda: stream.state == "connecting" and stream._child is not None)
        assert stream.stats()["last_failure"] == "Connection refused"  # until there is another one
        first = asyncio.create_task(listener.hear(some))
        await until(stream.connected.is_set)
        n = 0
        while stream.connected.is_set():  # what is handed over meanwhile is dropped
            for item in items[n : n + 5]:
                stream.audio(*item) if isinstance(item, tuple) else stream.video(item)
            n = (n + 5) % len(items)
            await asyncio.sleep(0.01)
        await first
        second = asyncio.create_task(listener.hear())
        await until(stream.connected.is_set)
        await hand(stream, items)
        stats = stream.stats()
        assert stats["connections"] == 2 and stats["failures"] >= 2
    shown = await second
    check(shown, items)
    assert shown.times[0] < 0.1  # from zero again


class Valve:
    """A connection to a server that can be stopped, with as little in it as the system allows."""

    def __init__(self, to: int) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self._to = to
        self.port = 0

    async def __aenter__(self) -> Valve:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._forward, sock=listener, limit=4096)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(pump(reader, back, self.open), pump(there, writer))


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, when: asyncio.Event | None = None) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(1 << 16):
            if when is not None:
                await when.wait()
            sink.write(data)
            await sink.drain()
    sink.close()


def noise(seconds: int) -> list[Any]:
    """Sound and pictures that no codec makes small."""
    chance = np.random.default_rng(1)
    items: list[Any] = []
    sound = chance.integers(-8000, 8000, 480 * 100).astype("<i2")
    frames = []
    for _ in range(8):
        frames.append(_core.Frame(*SIZE))
        frames[-1].i420[:] = chance.integers(0, 256, frames[-1].i420.shape, dtype=np.uint8)
    for n in range(seconds * 100):
        items.append((np.roll(sound, n)[:480].tobytes(), n * 480))
        if n % 4 == 0:
            items.append((frames[n // 4 % 8], n * 480))
    return items


async def test_a_server_that_stands_still_gets_what_is_new_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits meanwhile is bounded, and nobody waits for it."""
    monkeypatch.setattr("lipwire.publish.destination.TIMEOUT", WAIT)
    listener = Listener(*free_ports(1))
    hearing = asyncio.create_task(listener.hear())
    async with Valve(listener.port) as valve:
        stream = Restream(f"rtmp://127.0.0.1:{valve.port}/live/{URL_KEY}")
        async with opened(stream):
            child: Any = stream._child
            valve.open.clear()
            most = 0
            for what, sample in noise(30):
                if isinstance(what, bytes):
                    stream.audio(what, sample)
                else:
                    child.tell(w.Drawn(what.i420.tobytes(), sample))  # as `video`, with a time
                most = max(most, child.waiting)
                if sample % 4800 == 0:
                    await asyncio.sleep(0.001)
            valve.open.set()
            await until(lambda: stream.stats()["written_s"] > 29)
            stats = stream.stats()
            assert stats["connections"] == 1 and most < 8 << 20
            assert stats["silence_s"] > 4 and stats["pictures_dropped"] > 100
    shown = await hearing
    # One stream still, whose sound has no hole: silence is where it was left out.
    assert shown.jumps < 0.003 and len(shown.sound) > 28 * RATE
    assert 100 < len(shown.times) < 650 and shown.times[-1] > 28


async def test_a_server_that_takes_nothing_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.publish.destination.TIMEOUT", 1)
    listener = Listener(*free_ports(1))
    hearing = asyncio.create_task(listener.hear())
    async with Valve(listener.port) as valve:
        stream = Restream(f"rtmp://127.0.0.1:{valve.port}/live/{URL_KEY}")
        async with opened(stream):
            child: Any = stream._child
            valve.open.clear()
            for what, sample in noise(60):
                if isinstance(what, bytes):
                    stream.audio(what, sample)
                else:
                    child.tell(w.Drawn(what.i420.tobytes(), sample))
                while stream.connected.is_set() and sample / RATE > stream.stats()["written_s"] + 0.3:
                    await asyncio.sleep(0.001)
            await until(lambda: stream.stats()["failures"])
            assert stream.stats()["last_failure"] and stream.wants == "nothing"
        valve.open.set()
    with contextlib.suppress(OSError):  # the beginning of a stream is none
        await hearing


async def test_tcurl_and_keys_reach_the_server_as_they_were_written() -> None:
    """What FFmpeg sends first, read without FFmpeg: the handshake, then `connect` and `releaseStream` or `publish`."""
    (port,) = free_ports(1)
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        c0c1 = await reader.readexactly(1537)
        writer.write(b"\3" + bytes(1536) + c0c1[1:])
        await reader.readexactly(1536)
        with contextlib.suppress(asyncio.IncompleteReadError):
            heard.extend(await reader.readuntil(b"\0\0\x09"))
        writer.close()

    sent = Restream(f"rtmp://localhost:{port}/app/{KEY}?token=a&b=c")
    async with await asyncio.start_server(serve, "127.0.0.1", port), opened(sent, connects=False):
        await until(lambda: sent.stats()["failures"])
    heard = heard.replace(b"\xc3", b"")  # begins the next chunk of the message
    assert f"rtmp://localhost:{port}/app".encode() in heard and b"127.0.0.1" not in heard


@pytest.mark.parametrize("trusted", [True, False])
async def test_rtmps_is_for_the_host_that_the_certificate_names(trusted: bool, tmp_path: Path) -> None:
    """A server of TLS in front of FFmpeg's, which has none."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    plain, secure = free_ports(2)
    listener = Listener(plain)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", plain)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    hearing = asyncio.create_task(listener.hear()) if trusted else None
    url = f"rtmps://localhost:{secure}/live/{URL_KEY}"
    async with await asyncio.start_server(forward, "127.0.0.1", secure, ssl=context):
        stream = Restream(url, ca=authority.file if trusted else None)
        async with opened(stream, connects=trusted):
            if hearing is None:
                await until(lambda: stream.stats()["failures"])
                assert stream.stats()["connections"] == 0
                return
            items = list(performed(1))
            await hand(stream, items)
        assert len((await hearing).times) > 20


async def test_a_system_whose_certificates_are_no_file_is_told_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bundle = f"rtmps://localhost/live/{URL_KEY}", tmp_path / "bundle.crt"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("lipwire.publish.destination.BUNDLES", (str(bundle),))
    with pytest.raises(InvalidArgument, match="give ca="):
        destination(url)
    bundle.touch()
    assert f"ca_file={bundle}" in (await destination(url).place(Outward([ANY]))).place.replace("\\", "")


async def test_mpeg_ts_goes_over_udp(tmp_path: Path) -> None:
    items = list(performed(3))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        datagrams: list[bytes] = []

        def take() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    datagrams.append(receiver.recv(65536))

        asyncio.get_running_loop().add_reader(receiver.fileno(), take)
        async with opened(Restream(f"udp://127.0.0.1:{receiver.getsockname()[1]}?ttl=1&localaddr=127.0.0.1")) as stream:
            await hand(stream, items)
        asyncio.get_running_loop().remove_reader(receiver.fileno())
        take()
    assert all(data[0] == 0x47 and len(data) % 188 == 0 and len(data) <= 1316 for data in datagrams)
    path = tmp_path / "x.ts"
    path.write_bytes(b"".join(datagrams))
    check(read(str(path)), items)


@pytest.mark.parametrize("spec", [SPEC, SOUND_ONLY], ids=["pictures", "sound alone"])
async def test_an_hls_playlist_is_live_and_its_old_segments_go(spec: Any, tmp_path: Path) -> None:
    folder = tmp_path / "live: 100%d"
    folder.mkdir()
    old = folder / "show-1700000000000-00007.m4s"
    mine = folder / "show-notes-00001.m4s"
    for path in (old, mine):
        path.write_bytes(b"")
    items = [item for item in performed(11) if spec.width or isinstance(item, tuple)]
    playlist = folder / "show.m3u8"
    stream = Restream(playlist, segment_seconds=1)
    async with opened(stream, spec):
        assert not old.exists() and mine.exists()
        await hand(stream, items)
        await until(lambda: stream.stats()["written_s"] >= 9.9)
        lively = playlist.read_text()
    final = playlist.read_text()
    assert "#EXT-X-ENDLIST" not in lively and final.rstrip().endswith("#EXT-X-ENDLIST")
    for text in (lively, final):
        assert "#EXT-X-MAP:URI=" in text and ("#EXT-X-INDEPENDENT-SEGMENTS" in text or not spec.width)
        target = int(re.search(r"#EXT-X-TARGETDURATION:(\d+)", text)[1])  # type: ignore[index]
        lengths = [float(found) for found in re.findall(r"#EXTINF:([\d.]+)", text)]
        # RFC 8216, 4.3.3.1: rounded, none is longer; and it does not change.
        assert target == 1 and len(lengths) <= 6 and all(round(length) <= target for length in lengths)
    assert int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", final)[1]) >= 4  # type: ignore[index]
    listed = re.findall(r"^show-\d+-\d+\.m4s$", final, re.MULTILINE)
    there = {path.name for path in folder.glob("show-*.m4s")} - {mine.name}
    assert set(listed) <= there and len(there) <= len(listed) + 2
    shown = read(str(playlist), format="hls", options={"allowed_extensions": "ALL", "extension_picky": "0"})
    given = source(items)
    if spec.width:
        assert len(shown.times) >= 5 * 25 and np.allclose(shown.skews(), np.mean(given.skews()), atol=0.03)
    assert len(shown.bursts()) >= 5


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("srt://host:9000", "has no SRT"),
        ("rist://host:9000", "has no RIST"),
        ("rtmpt://host/app/key", "has no RTMP over HTTP"),
        ("rtmpe://host/app/key", "rtmps"),
        ("https://host/x.m3u8", "no destination"),
        ("file:///x.m3u8", "no destination"),
        ("x.mp4", "no destination"),
        ("", "no destination"),
        ("rtmp://host/app", "rtmp://HOST"),
        ("rtmp:///app/key", "cannot be read"),
        ("rtmp://host:x/app/key", "cannot be read"),
        ("udp://host", "needs a port"),
        ("udp://host:1?fifo_size=1", "cannot have fifo_size"),
        ("udp://host:1/x", "cannot have a path"),
        ("udp://host:1?ttl=300", r"ttl must be a whole number, 0\.\.255"),
        ("udp://host:1?pkt_size=+7", "pkt_size must be"),
        ("udp://host:1?dscp=%261", "dscp must be"),
        ("udp://host:1?localaddr=1.2.3.4%26ttl=1", "localaddr must be an IP address"),
        ("udp://host:1?localaddr=fe80::1%25a%26ttl=1", "localaddr must be an IP address"),
        ("no/such/folder/x.m3u8", "no folder"),
    ],
)
def test_what_ffmpeg_cannot_do_is_refused_at_once(url: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        Restream(url)


def test_what_is_refused_tells_no_key() -> None:
    for url in (
        f"rtmp://user:{URL_KEY}@host/{URL_KEY}",
        f"rtmp://host:{URL_KEY}/a/b",
        f"srt://h:1?passphrase={URL_KEY}",
    ):
        with pytest.raises(InvalidArgument) as refused:
            Restream(url)
        assert URL_KEY not in str(refused.value)


@pytest.mark.parametrize("seconds", [0.3, 0, 31])
def test_segments_are_of_a_length_that_ffmpeg_can_list(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="low-latency HLS"):
        Restream(tmp_path / "x.m3u8", segment_seconds=seconds)


async def test_a_url_of_somebody_elses_leads_where_the_policy_says() -> None:
    names: list[list[str]] = [["93.184.216.34"], ["127.0.0.1"]]

    async def resolve(host: str, port: int, owner: str) -> list[str]:
        return names.pop(0)

    for url in ("rtmp://127.0.0.1/app/key", "udp://239.1.1.1:5000", "rtmps://[::1]/app/key"):
        with pytest.raises(OutwardRefused, match="no public address"):
            await Restream(url, outward=Outward()).open(SPEC)
    # The name's owner gives another answer when the connection is made.
    stream = Restream("rtmp://public.test/app/key", outward=Outward(resolve=resolve))
    async with opened(stream, connects=False):
        await until(lambda: stream.stats()["failures"])
        assert "no public address" in str(stream.stats()["last_failure"])
    with pytest.raises(BadState, match="one session"):
        await stream.open(SPEC)


async def test_a_name_is_connected_to_by_the_address_that_was_checked() -> None:
    async def resolve(host: str, port: int, owner: str) -> list[str]:
        return ["93.184.216.34"]

    def place(url: str) -> Any:
        return destination(url).place(Outward(resolve=resolve))

    assert "]rtmp://93.184.216.34:1935/app/key?t=1" in (await place("rtmp://name.test/app/key?t=1")).place
    assert (await place("udp://name.test:5000")).place == "udp://93.184.216.34:5000?pkt_size=1316"
    assert (await place("udp://name.test:5000?localaddr=::1")).place.endswith("&localaddr=::1")
    secure = (await place("rtmps://u:p@name.test/app/inst/key")).place  # whose certificate says so
    assert "]rtmps://u:p@name.test:443/app/inst/key" in secure and "tls_verify=1" in secure
