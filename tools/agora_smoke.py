"""Publishes the demo avatar into an Agora channel, watches it from a second connection, and says how it went.

    make agora-smoke APP_ID=... CERT=... CHANNEL=...

The one command for who has an account: what Lipwire's tests prove on a double of Agora's native library, this proves
on the real service. Two connections with the app's certificate: one publishes for --seconds, the other subscribes.
Once a second the sound carries a short 2 kHz tone and a corner of the picture changes between black and white; when
these arrive gives the latency, and the skew between sound and picture, whatever the codecs did.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from fractions import Fraction

import numpy as np

import lipwire
from lipwire.audio import espeak as voice
from lipwire.channel.agora.channel import Agora, AgoraError, AgoraOptions, agora_token
from lipwire.channel.base import HEARD_RATE, ChannelEvent, Coded, Connection, Heard, Network, Seen, Trouble
from lipwire.stream import StreamSpec

RATE, TONE_HZ, TONE_MS, CORNER = 48_000, 2000, 40, 64
TEXT = "Hello! I am the face of your voice agent. What you hear and what you see are bound to one sample clock."
LIMITS = {"fps": 0.9, "dbfs": -45.0, "markers": 0.6, "latency_ms": 1500.0, "skew_ms": 120.0}
"""fps and markers: the share that must arrive."""


class Marked:
    """A publisher that marks every second in sound and picture, and keeps when each mark was handed over. Pictures are
    copied for it: what the session draws is not to be drawn into."""

    def __init__(self, options: AgoraOptions) -> None:
        self.channel = Agora(options, self.note)
        self.open, self.close = self.channel.open, self.channel.close
        self.sounds: dict[int, float] = {}
        self.pictures: dict[int, float] = {}
        self.troubles: list[str] = []
        t = np.arange(RATE * TONE_MS // 1000) / RATE
        self._tone = (np.sin(2 * np.pi * TONE_HZ * t) * 16000).astype(np.int16).tobytes()

    def note(self, event: ChannelEvent) -> None:
        """Keeps what went wrong."""
        if isinstance(event, Trouble) or (isinstance(event, Connection) and event.state in ("failed", "interrupted")):
            self.troubles.append(str(event))

    def audio(self, pcm: bytes, sample: int) -> None:
        """With the tone, if its second begins."""
        second, at = divmod(sample, RATE)
        if at * 2 < len(self._tone):
            self.sounds.setdefault(second, time.monotonic())
            pcm = self._tone[at * 2 : at * 2 + len(pcm)]
        self.channel.audio(pcm, sample)

    def video(self, frame: lipwire.Frame) -> None:
        """With the corner of its second."""
        second = frame.sample // RATE
        self.pictures.setdefault(second, time.monotonic())
        marked = frame.copy()
        marked.planes[0][:CORNER, :CORNER] = 235 if second % 2 else 16
        for plane in marked.planes[1:]:
            plane[: CORNER // 2, : CORNER // 2] = 128
        self.channel.video(marked)


class Watcher:
    """What the second connection hears and sees."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.sounds: list[float] = []
        self.pictures: list[float] = []
        self.seen: list[float] = []
        self.energy = 0.0
        self.blocks = 0
        self.size = (0, 0)
        self.network = Network()
        self.codecs: list[str] = []
        self._corner: bool | None = None
        n = np.arange(HEARD_RATE // 100)
        self._probe = np.exp(-2j * np.pi * TONE_HZ / HEARD_RATE * n) * 2 / len(n)

    def __call__(self, event: ChannelEvent) -> None:
        now = time.monotonic()
        match event:
            case Heard(user, pcm) if user == self.user:
                sound = np.frombuffer(pcm, np.int16).astype(float)
                self.energy += float((sound**2).mean())
                self.blocks += 1
                loud = len(sound) == len(self._probe) and abs(np.dot(sound, self._probe)) > 4000
                if loud and (not self.sounds or now - self.sounds[-1] > 0.5):
                    self.sounds.append(now)
            case Seen(user, width, height, i420) if user == self.user:
                self.seen.append(now)
                self.size = (width, height)
                side = CORNER * height // 360 * 3 // 4  # the service may have scaled the picture
                level = np.frombuffer(i420, np.uint8, width * height).reshape(height, width)[2:side, 2:side].mean()
                if level > 160 or level < 90:
                    white = bool(level > 125)
                    if self._corner is not None and white != self._corner:
                        self.pictures.append(now)
                    self._corner = white
            case Coded(user, codec) if user == self.user:
                self.codecs.append(codec)
            case Network():
                self.network = event


def pair(sent: dict[int, float], arrived: list[float]) -> dict[int, float]:
    """By second: how long each mark took; the newest mark before an arrival is the one that arrived."""
    took = {}
    for at in arrived:
        second = max((s for s, when in sent.items() if when <= at), key=lambda s: sent[s], default=None)
        if second is not None:
            took.setdefault(second, at - sent[second])
    return took


def middle(values: list[float]) -> float:
    """The median; nan of nothing."""
    return float(np.median(values)) if values else math.nan


async def run(options: argparse.Namespace) -> int:
    """The exit status: 0 if the verdict is good."""

    def member(uid: str, **more: object) -> AgoraOptions:
        token = agora_token(options.app_id, options.certificate, options.channel, int(uid))
        common = {"app_id": options.app_id, "certificate": options.certificate, "channel": options.channel}
        return AgoraOptions(**common, token=token, uid=uid, **more)  # type: ignore[arg-type]

    watcher = Watcher(options.uid)
    watching = Agora(member(options.watcher_uid, receive=True, video=False, seen_every=0.0), watcher)
    publisher = Marked(member(options.uid, quality="medium", video_encoding=options.encoding))
    spec = StreamSpec(session_id="watcher", width=640, height=360, fps=Fraction(25))
    began = time.monotonic()
    try:
        await watching.open(spec)
        watching.subscribe(options.uid, audio=True, video=True)
        print(f"watching   uid {options.watcher_uid}, in the channel after {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        async with lipwire.Session(publisher, size=(640, 360), fps=25) as session:
            print(f"publishing uid {options.uid}, in the channel after {time.monotonic() - began:.2f} s")
            await speak(session, options.seconds)
            figures = publisher.channel.stats()
        await asyncio.sleep(0.5)
    except AgoraError as exc:
        print(f"verdict    FAILED: {exc}")
        return 1
    finally:
        await watching.close()
    return report(options, publisher, watcher, figures)


async def speak(session: lipwire.Session, seconds: float) -> None:
    """Speech for so long, or a tone where there is no voice."""
    pcm, rate = voice.synthesize(TEXT) if voice.available() else (hum(), RATE)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if session.stats()["buffered_ms"] < 1000:
            session.write(pcm, rate)
        await asyncio.sleep(0.1)


def hum() -> bytes:
    """5 s of something to hear."""
    t = np.arange(5 * RATE) / RATE
    return (np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 3 * t)) * 5000).astype(np.int16).tobytes()


def report(options: argparse.Namespace, publisher: Marked, watcher: Watcher, figures: dict[str, object]) -> int:
    """Prints the figures and the verdict."""
    span = watcher.seen[-1] - watcher.seen[0] if len(watcher.seen) > 1 else 0.0
    fps = (len(watcher.seen) - 1) / span if span else 0.0
    rms = math.sqrt(watcher.energy / watcher.blocks) if watcher.blocks else 0.0
    dbfs = 20 * math.log10(rms / 32768) if rms else -math.inf
    sound = pair(publisher.sounds, watcher.sounds)
    shown = pair(publisher.pictures, watcher.pictures)
    both = sorted(sound.keys() & shown.keys())
    hear, see = (1000 * middle(list(took.values())) for took in (sound, shown))
    skew = 1000 * middle([shown[s] - sound[s] for s in both])
    print(
        f"sent       {figures['written']} blocks of sound, {figures['pictures_shown']} pictures, {figures['lost']} lost"
    )
    codec = "/".join(dict.fromkeys(watcher.codecs)) or "a codec that the SDK does not tell"
    size = f"{watcher.size[0]}x{watcher.size[1]}"
    print(f"picture    {size} in {codec}, {fps:.1f} fps measured, {len(watcher.seen)} pictures")
    print(f"sound      {watcher.blocks / 100:.1f} s heard, {dbfs:.1f} dBFS")
    print(f"latency    sound {hear:.0f} ms, picture {see:.0f} ms (median of {len(sound)} and {len(shown)} marks)")
    print(f"skew       {skew:+.0f} ms (picture after sound, median of {len(both)})")
    print(f"network    {watcher.network.rtt_ms} ms round trip, {watcher.network.loss_percent} % lost")
    marks = LIMITS["markers"] * (options.seconds - 1)
    wrong = [
        what
        for what, bad in (
            (f"{codec} in place of {options.encoding}", any(one != options.encoding for one in watcher.codecs)),
            (f"{fps:.1f} fps", fps < LIMITS["fps"] * 25),
            ("no sound" if dbfs == -math.inf else f"sound at {dbfs:.0f} dBFS", dbfs < LIMITS["dbfs"]),
            (f"{len(both)} marks of {options.seconds:.0f} in sound and picture", len(both) < marks),
            (f"latency {max(hear, see):.0f} ms", max(hear, see) > LIMITS["latency_ms"]),
            (f"skew {skew:.0f} ms", abs(skew) > LIMITS["skew_ms"]),
            *((trouble, True) for trouble in publisher.troubles),
        )
        if bad
    ]
    print(f"verdict    {'FAILED: ' + '; '.join(wrong) if wrong else 'good'}")
    return 1 if wrong else 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("channel")
    parser.add_argument("--app-id", default=os.environ.get("AGORA_APP_ID", ""), help="or AGORA_APP_ID")
    certificate = os.environ.get("AGORA_APP_CERTIFICATE", "")
    parser.add_argument("--certificate", default=certificate, help="or AGORA_APP_CERTIFICATE")
    parser.add_argument("--uid", default="1001")
    parser.add_argument("--watcher-uid", default="1002")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--encoding", choices=("H264", "VP8", "AV1"), default="H264")
    options = parser.parse_args()
    if not options.app_id or not options.certificate:
        parser.error("an app id and its certificate are needed: AGORA_APP_ID and AGORA_APP_CERTIFICATE")
    sys.exit(asyncio.run(run(options)))


if __name__ == "__main__":
    main()
