"""What GET /metrics says, read from the provider when Prometheus asks; nothing is counted twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..capture.recorder import Recorder
from ..models.host import State as ModelState
from ..provider.sessions import Provider
from ..publish.audience import Audience
from ..publish.film_folder import FilmFolder
from ..publish.motion import MotionFigures
from ..rtp.tally import Tally
from ..session.stages import Stages
from .listen import Door

_Counter, _Gauge = CounterMetricFamily, GaugeMetricFamily


class Staged(Protocol):
    """Histograms of what a service does, by stage."""

    stages: Stages
    turns: Stages


class StageCollector(Collector):
    """Where time goes: of utterances, and of agents' turns."""

    def __init__(self, of: Staged) -> None:
        self._of = of

    def collect(self) -> Iterable[Metric]:
        for name, text, stages in (
            ("lipwire_utterance_stage_seconds", "First chunk of speech to first open mouth, by stage", self._of.stages),
            (
                "lipwire_turn_stage_seconds",
                "End of the user's part to first sound of the agent, by stage",
                self._of.turns,
            ),
        ):
            family = HistogramMetricFamily(name, text, labels=["stage"])
            for stage, buckets, total in stages.rows():
                family.add_metric([stage], buckets, total)
            yield family


class CaptureCollector(Collector):
    """What is recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def collect(self) -> Iterable[Metric]:
        counts = self._recorder.counts
        yield _Gauge("lipwire_recordings", "Recordings that are being written", self._recorder.active)
        yield _Counter("lipwire_recordings_started", "Recordings begun", counts["started"])
        yield _Counter("lipwire_recordings_failed", "Recordings that a failing disk ended", counts["failed"])
        yield _Counter("lipwire_recordings_full", "Recordings that reached their limit", counts["full"])
        yield _Counter("lipwire_recordings_deleted", "Recordings deleted for newer ones", counts["deleted"])
        yield _Counter("lipwire_recording_bytes", "Bytes written of recordings", counts["bytes"])
        yield _Counter("lipwire_recording_records_lost", "Records a slow disk had no time for", counts["lost"])


class FilmCollector(Collector):
    """What is recorded as films."""

    def __init__(self, films: FilmFolder) -> None:
        self._films = films

    def collect(self) -> Iterable[Metric]:
        counts = self._films.counts
        ended = Counter({name: counts[name] for name in ("finished", "limit", "failed")})
        yield _Gauge("lipwire_films", "Films that are being recorded", self._films.active)
        yield _Counter("lipwire_films_started", "Films begun", counts["started"])
        yield _labelled("lipwire_films_ended", "Films ended, by how", "how", ended)
        yield _Counter("lipwire_film_bytes", "Bytes of films that have ended", counts["bytes"])


class ProviderCollector(Collector):
    """The provider's sessions, and the channels that they publish into."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def collect(self) -> Iterable[Metric]:
        provider = self._provider
        totals = provider.totals()
        sessions = provider.sessions
        connected = sum(s.outbox is not None for s in sessions)
        yield _Gauge("lipwire_sessions", "Live sessions", len(sessions))
        yield _Gauge("lipwire_sessions_limit", "Sessions this process takes", provider.config.max_sessions)
        yield _Gauge("lipwire_sessions_talking", "Sessions that speak now", totals["talking"])
        yield _Gauge("lipwire_sessions_connected", "Sessions with a WebSocket", connected)
        yield _Counter("lipwire_sessions_started", "Sessions started", provider.started_total)
        yield _labelled("lipwire_sessions_ended", "Sessions ended, by reason", "reason", provider.ended_total)
        yield _Counter("lipwire_frames", "Video frames made", totals["frames"])
        yield _Counter("lipwire_frames_late", "Video frames skipped for being late", totals["late"])
        yield _Counter("lipwire_underruns", "Gaps in speech", totals["underruns"])
        yield _Counter("lipwire_events_dropped", "Events no client took", totals["events_dropped"])
        yield _labelled("lipwire_messages", "WebSocket messages taken, by command", "command", provider.messages_total)
        yield _labelled("lipwire_errors", "WebSocket messages refused, by code", "code", provider.errors_total)
        yield from self._channels(totals)

    def _channels(self, totals: Mapping[str, int]) -> Iterable[Metric]:
        channels = self._provider.channels()
        states = _Gauge("lipwire_channels", "Channels that live sessions publish into, by state", labels=["state"])
        for state, count in sorted(Counter(channel["state"] for channel in channels).items()):
            states.add_metric([state], count)
        yield states
        yield _Counter("lipwire_channel_restarts", "Times a new worker took a channel over", totals["channel_restarts"])
        yield _Counter("lipwire_channel_blocks_lost", "Sound (10 ms) a channel did not take", totals["channel_lost"])
        yield _Counter("lipwire_channel_frames_late", "Frames passed over for a newer one", totals["channel_late"])
        network = [channel["network"] for channel in channels]
        for name, text in (("rtt_ms", "Longest round trip of a channel"), ("loss_percent", "Worst loss of a channel")):
            yield _Gauge(f"lipwire_channel_{name}_max", text, max((n[name] for n in network), default=0))
        for name, text in (("tx_kbps", "Sent by all channels"), ("rx_kbps", "Received by all channels")):
            yield _Gauge(f"lipwire_channel_{name}", text, sum(n[name] for n in network))


class DoorCollector(Collector):
    """Who is inside, and who was sent away."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def collect(self) -> Iterable[Metric]:
        door = self._door
        yield _Gauge("lipwire_connections", "Open connections, of all ports", len(door))
        yield _Gauge("lipwire_connections_limit", "Connections this process takes", door.limits.connections)
        yield _Counter("lipwire_connections_accepted", "Connections that came", door.accepted_total)
        text = "Connections that were closed for making us wait, or not let in, by reason"
        yield _labelled("lipwire_connections_closed", text, "reason", door.closed_total)


class AudienceCollector(Collector):
    """Everyone who watches: viewers of sessions, and users in rooms."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience

    def collect(self) -> Iterable[Metric]:
        audience = self._audience
        missed = audience.missed
        yield _Gauge("lipwire_viewers", "Browsers that are sent sound and pictures", len(audience))
        yield _Gauge("lipwire_viewers_limit", "Browsers this process sends to", audience.limit)
        yield _Counter("lipwire_viewers_refused", "Browsers refused because there were too many", audience.refused)
        yield _Counter("lipwire_viewer_pictures_dropped", "Pictures viewers missed for want of time", missed.pictures)
        yield _Counter("lipwire_viewer_sound_dropped", "Packets of sound (20 ms) viewers missed", missed.sound)


class HeardCollector(Collector):
    """Sound that comes in packets, by its way in: what jitter buffers have done, as W3C webrtc-stats names it."""

    def __init__(self, heard: Mapping[str, Tally]) -> None:
        self._heard = heard

    def collect(self) -> Iterable[Metric]:
        told = {by: tally.read() for by, tally in self._heard.items()}
        for kind, name, text in (
            (_Gauge, "streams", "Streams of sound that are there"),
            (_Gauge, "target_delay_seconds", "The most that any of them is to lag by now"),
            (_Counter, "packets_received", "Packets that came, without duplicates"),
            (_Counter, "packets_lost", "Packets that did not come"),
            (_Counter, "packets_discarded", "Packets that came too late, or had no room"),
            (_Counter, "concealed_samples", "Samples (48 kHz) made up in place of what was lost or late"),
            (_Counter, "jitter_buffer_emitted_samples", "Samples (48 kHz) that came in packets and were played"),
            (_Counter, "jitter_buffer_delay_seconds", "Delay of each of those samples in the jitter buffer, summed up"),
        ):
            family: CounterMetricFamily | GaugeMetricFamily = kind(f"lipwire_heard_{name}", text, labels=["by"])
            for by, tallied in told.items():
                family.add_metric([by], getattr(tallied, name))
            yield family


class MotionCollector(Collector):
    """Motion that is sent to those who draw faces themselves."""

    def __init__(self, figures: MotionFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures
        yield _Gauge("lipwire_motion_viewers", "Viewers and channels that are sent motion", figures.viewers)
        yield _Counter("lipwire_motion_messages", "Messages of motion handed to carriers", figures.messages)
        yield _Counter("lipwire_motion_bytes", "Bytes of these messages", figures.bytes)
        yield _Counter("lipwire_motion_dropped", "Messages of motion a carrier was too slow for", figures.dropped)


class ModelCollector(Collector):
    """The process that models of speech run in.

    Args:
        state: of it; None: nothing has been set up.
    """

    def __init__(self, state: Callable[[], ModelState | None]) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        state = self._state()
        if state is None:
            return
        yield _Gauge("lipwire_models_jobs", "What the process of models is asked for now", state.jobs)
        yield _Gauge("lipwire_models_memory_bytes", "What it has in memory", state.memory)
        yield _Counter("lipwire_models_restarts", "Times it died and was started again", state.restarts)
        yield _labelled("lipwire_models_slow", "Answers that took too long, by engine", "engine", state.slow)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = _Counter(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
