"""`lipwire demo`: Lipwire and a client of it in one process, over loopback, as the Conversational AI engine would."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..audio.speech_file import load_speech
from ..avatar import Avatar, Voice
from ..errors import InvalidArgument
from ..models.voices.choose import choose, speaks_here
from ..models.voices.live import LiveVoices
from ..models.voices.names import Name
from ..protocol import messages as m
from ..provider.client import ProviderClient, request
from ..provider.keys import OPERATOR
from ..servers.tls import trust_ourselves
from .agent_page import PageAgents
from .config import Config
from .lifetime import run_service
from .links import link_note, shown_link
from .local_llm import settle_llm, told
from .service import Service

TEXTS = (
    "Hello! I am {name}, and I am the face of your voice agent.",
    "What you hear and what you see are bound to one sample clock, so my lips stay with my voice.",
    "Type something into the box below, and I will say it. Or press interrupt, and I will stop at once.",
    "People buy more peaches and plums in August. Five thousand voices, very few faces.",
)
PAUSE = 1.2
"""Seconds between two texts."""


class Summary(Struct):
    """What a demo run did."""

    seconds: float
    utterances: int
    frames: int
    late: int
    max_skew_ms: float
    latencies_ms: list[float]

    def line(self) -> str:
        said = f"{self.utterances} utterance{'s' * (self.utterances != 1)}"
        latency = f"{sorted(self.latencies_ms)[len(self.latencies_ms) // 2]:.0f} ms" if self.latencies_ms else "-"
        return (
            f"summary: {self.seconds:.1f} s, {said}, {self.frames} frames, {self.late} late, "
            f"A/V skew at most {self.max_skew_ms:.1f} ms, speech-to-mouth {latency} (median)"
        )


class Talker:
    """Speaks through the client, one utterance after the other; the viewer's text box goes through it too.

    Args:
        voice: None = there is only a clip.
        like: the face whose voice that is; see `LiveVoices.whole`.
    """

    def __init__(self, client: ProviderClient, voices: LiveVoices, voice: Name | None, like: Voice | None) -> None:
        self.client = client
        self.voice = voice
        self._voices, self._like = voices, like
        self._turn = asyncio.Lock()

    async def say(self, _session_id: str, text: str) -> None:
        """Speaks `text` at once; it queues behind what is being sent."""
        assert self.voice is not None  # else there is only a clip
        async with self._turn:
            sounds = await self._voices.whole(self.voice, text, self._like)
            await self._send(b"".join(sound.pcm for sound in sounds), sounds[0].rate)

    async def speak(self, pcm: bytes, rate: int) -> None:
        """Sends an utterance."""
        async with self._turn:
            await self._send(pcm, rate)

    async def _send(self, pcm: bytes, rate: int) -> None:
        """Twice as fast as it plays, as a streaming text-to-speech would."""
        await self.client.speak(pcm, rate, chunk_ms=40, pace=2.0)


async def run_demo(
    config: Config,
    console: Console,
    *,
    seconds: float | None = None,
    speech: Path | None = None,
    text: str | None = None,
    voice: str | None = None,
    quality: str | None = None,
    asked: asyncio.Event,
) -> None:
    """Runs the demo until it is `asked` to end, or for some seconds. Prints one line a second, and a summary.
    `quality`: None = the best one that there is room for."""
    if quality is not None and quality not in m.QUALITY:
        raise InvalidArgument(f"quality {quality!r}: one of {', '.join(m.QUALITY)}")
    clip: tuple[bytes, int] | None = None
    if speech is not None:
        samples, rate = await asyncio.to_thread(load_speech, speech)
        clip = samples.tobytes(), rate
    elif not speaks_here():
        raise InvalidArgument("the demo voice is not installed: pip install 'lipwire[demo]', or give a --speech file")
    face = Avatar.load(config.avatar)
    name = face.name
    chosen = await asyncio.to_thread(choose, voice, face.voice, "en-US", config.voices) if speaks_here() else None
    config, found = await settle_llm(config)
    texts = tuple(line.replace("{name}", name.capitalize()) for line in TEXTS)
    holder: list[Talker] = []

    async def say(session_id: str, words: str) -> None:
        await holder[0].say(session_id, words)

    service = Service(config, speak=None if chosen is None else say)

    async def show() -> None:
        start = request("demo", avatar_id=name, quality=quality or _best(service))  # type: ignore[arg-type]
        start.activity_idle_timeout = 0
        tls = None if config.tls_cert is None else trust_ourselves(config.tls_cert)
        async with ProviderClient(service.http_url, service.api_key, start, tls=tls) as client:
            like = None if voice else face.voice
            holder.append(Talker(client, service.voices, None if chosen is None else chosen.name, like))
            if config.viewer:
                (shown,) = {watched.session.avatar for watched in service.watched.values()}
                viewer, agent = shown_link(service, console), shown_link(service, console, service.page.channel)
                (size,) = {f"{w.session.width}x{w.session.height}" for w in service.watched.values()}
                console.print(
                    f"Open [bold]{viewer}[/] to see and hear {shown}. The picture is {size}; Ctrl-C ends it.",
                    soft_wrap=True,
                )
                console.print(f"An agent that listens: [bold]{agent}[/]", soft_wrap=True)
                brain = PageAgents(service.agent_setup, service.agents).config().brains[0]
                for line in told(found, brain):
                    console.print(line, markup=False, soft_wrap=True)
                if (note := link_note(service, console)) is not None:
                    console.print(f"({note})", soft_wrap=True)
            figures = Figures()
            talking = asyncio.create_task(_talk(holder[0], clip, (text,) if text else texts, asked))
            reporting = asyncio.create_task(_report(service, client, console, figures))
            try:
                done, _ = await asyncio.wait({talking, reporting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (talking, reporting):
                    task.cancel()
                await asyncio.gather(talking, reporting, return_exceptions=True)
                figures.take(_stats(service, client))
                console.print(_summary(figures).line(), soft_wrap=True)

    await run_service(service, show, asked)


def _best(service: Service) -> str:
    """The best quality that there is room for."""
    rates = {name: round(width * height * fps) for name, (width, height, fps, _) in m.QUALITY.items()}
    return next((name for name in ("high", "medium") if service.has_room_for(OPERATOR, rates[name])), "low")


class Figures:
    """What the session said of itself last, and what it took to speak."""

    def __init__(self) -> None:
        self.stats: dict[str, Any] = {}
        self.latencies: list[float] = []

    def take(self, stats: dict[str, Any] | None) -> None:
        self.stats = self.stats if stats is None else stats


async def _talk(talker: Talker, clip: tuple[bytes, int] | None, texts: tuple[str, ...], asked: asyncio.Event) -> None:
    """Speaks again and again; when it is `asked` to end, nothing new."""
    turn = 0
    while not asked.is_set():
        before = talker.client.finished_count
        if clip is not None:
            await talker.speak(*clip)
        else:
            await talker.say("", texts[turn % len(texts)])
        await talker.client.wait_finished(before + 1)
        turn += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked.wait(), PAUSE)


def _stats(service: Service, client: ProviderClient) -> dict[str, Any] | None:
    watched = service.watched.get(client.session.session_id) if client.session else None
    return None if watched is None else watched.session.stats()


async def _report(service: Service, client: ProviderClient, console: Console, figures: Figures) -> None:
    """One line a second: rewritten in place on a terminal, appended elsewhere."""
    with contextlib.ExitStack() as stack:
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        while (stats := _stats(service, client)) is not None:
            figures.take(stats)
            if stats["latency_ms"] is not None and stats["latency_ms"] not in figures.latencies[-1:]:
                figures.latencies.append(stats["latency_ms"])
            latency = "-" if stats["latency_ms"] is None else f"{stats['latency_ms']:.0f} ms"
            unseen = "" if stats["viewers"]["connected"] else "  nobody looks, no picture is made"
            line = (
                f"session {stats['session_id'][:8]}  {stats['state']:<8}  {stats['fps']:4.1f} fps  "
                f"A/V skew {stats['skew_ms']:+.1f} ms  speech-to-mouth {latency}  late frames {stats['late']}{unseen}"
            )
            if live is not None:
                live.update(Text(line), refresh=True)
            else:
                console.print(line, soft_wrap=True)
            await asyncio.sleep(1.0)


def _summary(figures: Figures) -> Summary:
    stats = figures.stats
    return Summary(
        seconds=stats.get("clock_s", 0.0),
        utterances=stats.get("utterances", 0),
        frames=stats.get("frames", 0),
        late=stats.get("late", 0),
        max_skew_ms=stats.get("max_skew_ms", 0.0),
        latencies_ms=figures.latencies,
    )
