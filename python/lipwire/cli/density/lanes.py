"""The ways from speech to whoever sees and hears it, each measured by itself. One more is one more `Lane`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Features = Mapping[str, Any]
"""What `served.features` says of a build."""


class Lane(Struct, frozen=True, kw_only=True):
    """One way, and how it is measured."""

    name: str
    title: str
    what: Literal["sessions", "viewers", "times real time"] = "sessions"
    """What is counted: sessions, viewers of one session, or, of a film, how fast it is made."""
    mode: Literal["process", "service"] = "service"
    """Where sessions come from: the server's own process, or clients."""
    wants: Literal["pictures", "nothing", "units", "x264", "viewers"] = "pictures"
    """What becomes of their pictures (`served`)."""
    chunk_ms: int = 100
    """Of a client's messages."""
    viewers: int = 0
    """Of each session."""
    codec: Literal["H264", "VP8"] = "H264"
    """That they would rather have."""
    first: int = 16
    """The count to begin with."""
    goal: str = ""
    """For 640x360 at 25 fps on one core."""
    needs: tuple[str, ...] = ()
    """Features of a build, by name."""
    preencoded: bool = False
    """It is about pictures that are pre-encoded, where a build can do that; they are made before it begins."""
    rival: str = ""
    """What a build that lacks it has in its place: another lane's name."""

    def lacks(self, features: Features) -> str:
        """Why a build has it not; empty: it has."""
        missing = [MISSING[name] for name in self.needs if not features.get(name)]
        if self.mode == "service" and self.what != "times real time" and not features.get("service"):
            missing.append(MISSING["service"])
        return ", ".join(missing)


MISSING = {
    "wants": "it draws every picture, whoever looks",
    "units": "its sessions give pictures only, and no access units",
    "atlas": "it has nothing pre-encoded",
    "service": "the server is not installed: pip install 'lipwire[server]'",
    "webrtc": "WebRTC is not installed: pip install 'lipwire[webrtc]'",
}
"""Feature -> what a build without it does, or lacks."""

LANES = (
    Lane(
        name="engine",
        title="engine alone, every picture drawn",
        mode="process",
        first=64,
        goal=">= 500, 4x",
    ),
    Lane(
        name="nobody",
        title="engine alone, nobody looks",
        mode="process",
        wants="nothing",
        first=128,
        goal=">= 1500",
        needs=("wants",),
        rival="engine",
    ),
    Lane(name="ws", title="WebSocket clients, 100 ms chunks, pictures drawn", first=64, goal=">= 400"),
    Lane(name="ws20", title="the same, 20 ms chunks", chunk_ms=20, first=64),
    Lane(
        name="x264",
        title="WebSocket clients, x264 ultrafast a session",
        wants="x264",
        first=16,
        goal="58 before",
    ),
    Lane(
        name="units",
        title="WebSocket clients, pre-encoded H.264 to a sink",
        wants="units",
        first=64,
        goal=">= 350, 6x",
        needs=("units", "atlas"),
        preencoded=True,
        rival="x264",
    ),
    Lane(
        name="webrtc",
        title="WebRTC, one viewer a session",
        wants="viewers",
        viewers=1,
        first=4,
        goal=">= 60, 13x",
        needs=("webrtc",),
        preencoded=True,
    ),
    Lane(
        name="webrtc-vp8",
        title="the same, viewers take VP8 only",
        wants="viewers",
        viewers=1,
        codec="VP8",
        first=2,
        goal="4.6 before",
        needs=("webrtc",),
    ),
    Lane(
        name="viewers",
        title="WebRTC, viewers of one session",
        what="viewers",
        wants="viewers",
        first=8,
        goal=">= 100",
        needs=("webrtc",),
        preencoded=True,
    ),
    Lane(
        name="render",
        title="a film, made offline",
        what="times real time",
        goal=">= 100",
        preencoded=True,
    ),
)
BY_NAME = {lane.name: lane for lane in LANES}
