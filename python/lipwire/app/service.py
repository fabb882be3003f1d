"""Everything together: the avatar provider, its WebSocket, the pages, rooms, agents, and the sessions behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec
from msgspec import Struct
from prometheus_client.registry import Collector

from .._core import RATE
from ..agents.config import AgentConfig
from ..agents.cues import Captions
from ..agents.errors import AgentLimit
from ..agents.manager import AgentManager, AgentRecord
from ..agents.notices import AgentNotices
from ..agents.openai_models import ending
from ..avatar import Avatar
from ..capture.recorder import Recorder, RecordingLimits
from ..capture.records import Header, new_header
from ..capture.session import RecordedSession
from ..channel.agora.channel import Agora, AgoraOptions, is_app_id
from ..channel.agora.presence import available, lacking
from ..channel.base import ChannelEvent, Connection, client_event
from ..channel.room.room import Rooms
from ..closing import close_within
from ..errors import BadState, InvalidArgument
from ..logs import sampled
from ..models.find import check_hearing
from ..models.host import ModelHost
from ..models.voices.choose import choose, speaks_here
from ..models.voices.live import LiveVoices
from ..motion.sets import check_sets
from ..protocol import messages as m
from ..protocol import webhooks as w
from ..provider.keys import OPERATOR, make_key
from ..provider.notices import SessionNotices
from ..provider.quotas import Load
from ..provider.sessions import Emit, ProviderError, pixel_rate
from ..publish.film_folder import NO_FILMS, FilmFolder, FilmLimits
from ..publish.live_film import LiveFilm
from ..publish.motion import MotionFigures
from ..publish.peer import Peer
from ..publish.tee import Tee
from ..publish.turns import processors
from ..publish.webrtc import WebRTC
from ..rtp.inbound import Digit
from ..rtp.tally import Tally
from ..servers.access import Caller, Gate, admin_token, count_requests, link, minting_routes
from ..servers.agent_gate import Project
from ..servers.agents import AgentCollector, agent_routes, token_routes
from ..servers.http import HttpServer, serve_http
from ..servers.http import create_app as create_http_app
from ..servers.listen import Door
from ..servers.metrics import (
    AudienceCollector,
    CaptureCollector,
    DoorCollector,
    FilmCollector,
    HeardCollector,
    ModelCollector,
    MotionCollector,
    StageCollector,
)
from ..servers.motion import motion_routes
from ..servers.rooms import Desk, room_endpoints, room_routes
from ..servers.tls import Certificate
from ..servers.turns import Turns
from ..servers.viewer import Speak, Watched, create_viewer
from ..servers.webhooks import WebhookCollector, Webhooks
from ..servers.webrtc_http import Admitted, Endpoint
from ..servers.ws import WsServer, serve_ws
from ..session.preencoded import of_server
from ..session.runtime import Runtime
from ..session.stages import Spoken
from ..session.subtitles import Cue
from .addresses import door_limits, in_url, make_allowlist, port_taken
from .agent_page import PageAgents
from .agent_setup import AgentSetup, agora_egress, check_film, openai_models
from .config import LOOPBACK, Config, is_loopback
from .overview import Overview, OverviewCollector, api_route, page_route
from .owners import OwnedRooms, SharedAudience, make_provider
from .rtp import RtpCall, RtpDoor
from .telemetry import Telemetry
from .whip import WhipSpeech

logger = sampled("lipwire.service")

ENCODED = 1280 * 720 * 25 * 3
"""Pixels a second that a processor encodes and keeps time besides: VP8 takes 8 ms for 1280x720, H.264 half of that."""
EASE = 0.3
"""Part of the limits of `Admission` from which on faces are smaller, long before no more are let in."""
STATS_INTERVAL = 0.5
SWEEP_INTERVAL = 1.0
NAMELESS = "speech"
"""What stands for an utterance without an event_id in the times beside a film."""
WAYS_IN = ("rtp", "whip", "room")
"""Of sound in packets: plain RTP, WHIP through a session, and microphones in rooms, by WHIP or not."""
BROWSERS_TAKE = ("H264", "VP8")
"""What pictures are encoded as for browsers: the page asks first for what the session was started with."""
CLOSE_SECONDS = 25.0
"""How long closing may take of all agents, of all sessions, and of the servers; each has a shorter limit of its own."""


class LiveAvatar(RecordedSession):
    """A provider's session, published into its Agora channel, and over WebRTC to whoever watches."""

    def __init__(
        self,
        service: Service,
        session_id: str,
        request: m.StartRequest,
        granted: m.Granted,
        emit: Emit,
        rtp: RtpCall | None = None,
    ) -> None:
        config = service.config
        self._rtp = rtp
        self.rtp_answer = None if rtp is None else rtp.answer
        self._service = service
        self._emit = emit
        _check_egress(request, granted.egress, shows=rtp is not None and rtp.shows)
        self.viewers = WebRTC(
            ice_host=config.ice_host,
            audience=service.audience,
            ice_servers=service.ice_servers,
            egress=granted.egress,
            motion_sets=_motion_sets(request),
            figures=service.motion_figures,
        )
        owner = service.provider.owner_of(session_id) or OPERATOR
        self.channel = service.channel_for(request, self._on_channel, owner)
        if self.channel is None and granted.video_encoding not in BROWSERS_TAKE:
            granted.video_encoding = "VP8"  # and the reply says so
        self._encoding = granted.video_encoding if granted.video_encoding in BROWSERS_TAKE else "H264"
        granted.sample_rate = m.MAX_RATE
        out = None if rtp is None else rtp.publisher
        outs = [to for to in (self.channel, self.viewers, out) if to is not None]
        super().__init__(
            outs[0] if len(outs) == 1 else Tee(*outs),
            avatar=service.choose_avatar(request.avatar_id),
            size=(granted.width, granted.height),
            fps=granted.fps,
            session_id=session_id,
            on_event=self._on_event,
            voice_end_grace=config.voice_end_grace_ms / 1000,
            voice_end_timeout=config.voice_end_timeout_ms / 1000,
            prebuffer=config.prebuffer_ms / 1000,
            prebuffer_max=config.prebuffer_max_ms / 1000,
            catch_up=config.catch_up,
            capacity=config.buffer_seconds,
            egress=granted.egress,
            preencoded="off"
            if service.recorder is not None or granted.egress == "motion"
            else of_server(config.preencoded, pixel_rate(granted), taken=True),
        )
        self.whip = WhipSpeech(
            self,
            ice_host=config.ice_host,
            ice_servers=service.ice_servers,
            closing=lambda: service.provider.draining,
            guard_ms=config.guard_window_ms,
            tally=service.heard["whip"],
        )
        """Who speaks through it by WHIP."""
        self.begins_atlas = service.preencodes
        self.on_spoken = self._spoken
        self.film = service.film_for(request, session_id, owner)
        self._captions = None if self.film is None else Captions(self.film)
        if self.film is not None and service.films is not None:
            granted.record = m.FilmGranted(file=service.films.place(self.film))
        if service.recorder is not None:
            self.record(service.recorder.open(self._header(request, granted)))
        if self.film is not None or self.tap is not None:
            self.publisher = Tee(*outs, *(to for to in (self.film, self.tap) if to is not None))

    def _header(self, request: m.StartRequest, granted: m.Granted) -> Header:
        provider = self._service.provider
        c = provider.config
        settings = self.settings(guard_window=c.guard_window, check_rate=c.check_rate, correct_rate=c.correct_rate)
        return new_header(self.id, request, granted, settings, origin=provider.clock())

    def _on_event(self, event: Any) -> None:
        self._emit(event)
        body = msgspec.to_builtins(event)
        self.viewers.send(msgspec.json.encode({"type": "event", "event": body.pop("command"), **body}).decode())

    def _spoken(self, spoken: Spoken) -> None:
        """An utterance is over. Its words are not known here: its client has sent sound, and knows its event_id."""
        self._service.telemetry.spoken(spoken)
        if self._captions is not None and spoken.span is not None and spoken.finished is not None:
            start, end = (at / RATE for at in spoken.span)
            self._captions.put([Cue(start, end, " ".join((spoken.finished.event_id or "").split()) or NAMELESS)])

    def _on_digit(self, digit: Digit) -> None:
        self._on_event(m.Dtmf(digit.digit, digit.duration_ms))

    def _on_channel(self, event: ChannelEvent) -> None:
        if isinstance(event, Connection):
            logger.info("[%s] channel: %s (%s)", self.id, event.state, event.reason)
        told = client_event(event)
        if told is not None and self.id in self._service.watched:  # before that, the caller of `start` hears of it
            self._on_event(told)

    def stats(self) -> dict[str, Any]:
        """As Session's, `viewers` (`WebRTC.stats`), `channel`: figures of the Agora channel, and `film`
        (`LiveFilm.stats`); None without one. `whip` (`WhipSpeech.stats`) and, where RTP was asked for, `rtp`
        (`RtpCall.stats`); whether it is `receiving` speech by one of them."""
        channel = self.channel.stats() if self.channel is not None else None
        film = self.film.stats() if self.film is not None else None
        stats = super().stats() | {"viewers": self.viewers.stats(), "channel": channel, "film": film}
        stats |= {"whip": self.whip.stats(), "receiving": self.whip.receiving}
        if self._rtp is not None:
            stats |= {"rtp": self._rtp.stats(), "receiving": self._rtp.receiving or self.whip.receiving}
        return stats

    def check_voice(self) -> None:
        """Raises BadState: speech comes by RTP, and by no other way."""
        if self._rtp is not None:
            self._rtp.check_voice()

    def voice(self, payload: bytes, encoding: str, sample_rate: int, event_id: str | None = None) -> None:
        self.check_voice()
        super().voice(payload, encoding, sample_rate, event_id)

    def interrupt(self, event_id: str | None = None) -> None:
        super().interrupt(event_id)
        self.whip.interrupt()
        if self._rtp is not None:
            self._rtp.interrupt()

    def voice_end(self, event_id: str | None) -> None:
        """The wire's name for `end`."""
        self.end(event_id)

    async def start(self) -> Self:
        try:
            await super().start()
        except BaseException:
            self._let_go()
            raise
        self._service.watched[self.id] = Watched(self, self.viewers, self._encoding)
        if self._rtp is not None:
            config, provider = self._service.config, self._service.provider
            self._rtp.begin(self, self._on_digit, closing=lambda: provider.draining, guard_ms=config.guard_window_ms)
        return self

    def renew(self, token: str) -> None:
        """A new token for the Agora channel. Raises InvalidArgument where the session is in none."""
        if self.channel is None:
            raise InvalidArgument("token: this session is in no channel of Agora's that it could be for")
        self.channel.renew(token)

    async def close(self) -> None:
        self.whip.close()
        if self._rtp is not None:
            self._rtp.fall_silent()
        if self._service.watched.pop(self.id, None) is not None:
            self.viewers.send('{"type":"event","event":"session_ended"}')
            await asyncio.sleep(0)
        try:
            await super().close()
        finally:
            self._let_go()
        if self._captions is not None:
            await self._captions.close()

    def _let_go(self) -> None:
        """Nobody is told anything any more. Who was has this session, and would keep it in a circle."""
        self._emit = _unheard
        if self.film is not None and self._service.films is not None:
            self._service.films.forget(self.film)
        if self.channel is not None:
            self.channel.on_event = None
        if self._rtp is not None:
            self._rtp.close()


def _motion_sets(request: m.StartRequest) -> tuple[str, ...]:
    """Of who names none."""
    return check_sets(None if request.motion is None else request.motion.sets)


def _check_egress(request: m.StartRequest, egress: m.Egress, *, shows: bool) -> None:
    """Raises InvalidArgument: what is asked for does not go with what is sent. `shows`: pictures, by RTP."""
    if egress == "motion" and shows:
        raise InvalidArgument("rtp: video is offered there, and with egress 'motion' none is made; offer sound alone")
    check_film(egress, filmed=request.record is not None)
    if egress == "video" and request.motion is not None:
        raise InvalidArgument("motion: this server sends video (egress), unless a request asks for motion or both")


def _unheard(event: Any) -> None:
    """Where the events of a session go that has ended."""


def _check_models(config: Config) -> None:
    """Raises InvalidArgument: a setting names a model, or a folder of voices, that is not there."""
    if config.hearing_model is not None:
        check_hearing(config.hearing_model)
    if config.voices is not None and not Path(config.voices).is_dir():
        raise InvalidArgument(f"voices: {config.voices} is no folder")


class Behind(Struct, frozen=True, kw_only=True):
    """How a service listens that is one of several behind a front process (`app.worker`)."""

    index: int
    """Which of them it is."""
    http_path: str
    """The Unix socket in place of `http_port`."""
    viewer_path: str
    """In place of `viewer_port`."""
    api_key: str
    """The operator's."""
    put: Callable[[w.Notice], Any]
    """Takes what webhooks are to tell."""
    on_peer: Callable[[str, bool], None]
    """Hears of the ids of WebRTC's connections that they are there, and gone."""


class Service:
    """The whole of `lipwire serve`. Use as an async context manager, or `start` and `close`.

    Args:
        config: see `Config`. Ports of 0 are any free ones; read `http_port` and the others after start.
        speak: what the viewer's text box does; by default the session says it, where any voice is installed.
        agents: who runs the agents; by default a manager for `config`. What the settings say holds for them, too.
        preencodes: where `config.preencoded` is auto, built-in avatars are pre-encoded in the background, at the sizes
            and rates that are asked for.
        behind: of one that is a worker of a front process.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        speak: Speak | None = None,
        agents: AgentManager | None = None,
        preencodes: bool = False,
        behind: Behind | None = None,
    ) -> None:
        self.config = config or Config()
        self._behind = behind
        self.preencodes = preencodes
        Avatar.load(self.config.avatar)  # one that is missing or has faults is found before anyone asks for it
        _check_models(self.config)
        self._models: ModelHost | None = None
        self.api_key = behind.api_key if behind is not None else self.config.api_key or make_key()
        self._certificate = Certificate(self.config.tls_cert, self.config.tls_key) if self.config.tls_cert else None
        self.door = Door(door_limits(self.config))
        """Who may come in, on all ports."""
        self.allowlist = make_allowlist(self.config)
        """Its names, and the pages that may call it."""
        self.watched: dict[str, Watched] = {}
        nobody_is_asked = not self.config.keyed and is_loopback(self.config.bind)
        each = 0 if nobody_is_asked else self.config.max_viewers_per_address
        self.audience = SharedAudience(self.config.max_viewers, each)
        """Everyone who watches a session or is in a room."""
        self.motion_figures = MotionFigures()
        """Of all motion that is sent."""
        self.ice_servers = self.config.make_ice_servers()
        """STUN and TURN."""
        self.telemetry = Telemetry(self.config.tracing)
        self.heard = {by: Tally() for by in WAYS_IN}
        """Sound that comes in packets."""
        self.recorder = self._recorder()
        """What records every session, where the settings want it."""
        self.films = self._films()
        """Where films of sessions and agents go, if anywhere."""
        self.provider = make_provider(self.config, self.api_key, self._make_session)
        authority = self.provider.authority
        self.owned_rooms = OwnedRooms(
            lambda owner: authority.owner_named(owner).quota.rooms,
            self.config.max_rooms,
            lambda: Rooms(
                ice_host=self.config.ice_host,
                audience=self.audience,
                ice_servers=self.ice_servers,
                tally=self.heard["room"],
                motion_figures=self.motion_figures,
            ),
        )
        self.rooms = self.owned_rooms.of(OPERATOR)
        """The operator's."""
        self.gate = Gate(
            authority,
            lambda session_id: self.provider.owner_of(session_id),
            open=nobody_is_asked,
            joins_a_minute=self.config.joins_a_minute,
        )
        self._counting = count_requests(authority, self.config.address_request_rate)
        self.agent_setup = AgentSetup(
            self.config,
            self.owned_rooms.of,
            self._avatar_of,
            preencodes=preencodes,
            films=self.films,
            motion_figures=self.motion_figures,
        )
        self._rtp = RtpDoor(self.config, self.agent_setup.outward, self.heard["rtp"])
        self.agents = agents or AgentManager(
            lambda agent, tell: self.telemetry.watch(self.agent_setup.make(agent, tell)),
            limit=self.config.max_agents,
        )
        self.agents.prepare = self.agent_setup.prepare
        self.agents.shared = self.agent_setup.goes_to_agora
        self.agents.admit = self._admit_agent
        self.provider.also_drawn = lambda: [(a.config.owner, a.config.pixel_rate) for a in self.agents.active]
        self.agents.owner_limit = lambda owner: authority.owner_named(owner).quota.agents
        if self.agents.on_event is None:
            self.agents.on_event = self.telemetry.agent_event
        self.webhooks = self._webhooks()
        """What tells the operator's own backend of agents and sessions, where the settings want it."""
        self._page_agents = PageAgents(self.agent_setup, self.agents, self.has_room_for)
        self.page = self._page_agents.config()
        """What the agent page offers."""
        self._project = Project(
            app_id=self.config.agora_app_id or "", certificate=self.config.agora_app_certificate or ""
        )
        routes = agent_routes(
            self.agents,
            self.provider.check_api_key,
            project=self._project,
            outward=self.agent_setup.outward,
            ours=self.agent_setup.ours,
            wrong_token=self.provider.wrong_token,
        )
        routes += minting_routes(self.provider, lambda: self.public_viewer_url if self.config.viewer else "")
        self.overview = Overview(self)
        """How all of it does."""
        routes.append(api_route(self.overview))
        collectors: list[Collector] = [
            AgentCollector(self.agents),
            AudienceCollector(self.audience),
            DoorCollector(self.door),
            HeardCollector(self.heard),
            ModelCollector(lambda: None if self._models is None else self._models.state()),
            MotionCollector(self.motion_figures),
            OverviewCollector(self.overview),
            StageCollector(self.telemetry),
        ]
        if self.recorder is not None:
            collectors.append(CaptureCollector(self.recorder))
        if self.films is not None:
            collectors.append(FilmCollector(self.films))
        if self.webhooks is not None:
            collectors.append(WebhookCollector(self.webhooks))
        self.app = create_http_app(
            self.provider,
            route_handlers=routes,
            collectors=collectors,
            allowlist=self.allowlist,
            middleware=[self._counting],
        )
        self._speak = speak or (self.say if speaks_here() else None)
        self.voices = LiveVoices()
        self._turns = Turns()
        self._starting = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        self._http: HttpServer | None = None
        self._ws: WsServer | None = None
        self._viewer: HttpServer | None = None

    def _recorder(self) -> Recorder | None:
        c = self.config
        limits = RecordingLimits(session=c.record_session_mb << 20, total=c.record_total_mb << 20)
        return None if c.record is None else Recorder(c.record, limits)

    def _webhooks(self) -> Webhooks | None:
        if self.config.webhook_url is None:
            return None
        webhooks: Webhooks | None = None
        if self._behind is not None:
            put = self._behind.put
        else:
            webhooks = make_webhooks(self.config)
            put = webhooks.put
        of_agents = AgentNotices(put)
        heard = self.agents.on_event

        def on_event(record: AgentRecord, event: Any) -> None:
            if heard is not None:
                heard(record, event)
            of_agents.event(record, event)

        self.agents.on_event, self.agents.on_status = on_event, of_agents.status
        self.provider.on_session = SessionNotices(put, self.provider.clock).status
        return webhooks

    def _films(self) -> FilmFolder | None:
        c = self.config
        limits = FilmLimits(film=c.film_mb << 20, total=c.films_total_mb << 20)
        return None if c.films is None else FilmFolder(c.films, limits, self._films_quota)

    def _films_quota(self, owner: str) -> int | None:
        """Bytes of all films of an owner."""
        most = self.provider.authority.owner_named(owner).quota.films_mb
        return None if most is None else most << 20

    def film_for(self, request: m.StartRequest, session_id: str, owner: str) -> LiveFilm | None:
        """What records a session that asked for it. Raises InvalidArgument, NoCapacity."""
        if request.record is None:
            return None
        if self.films is None:
            raise InvalidArgument(NO_FILMS)
        return self.films.open(owner, request.record.file, session_id)

    def choose_avatar(self, avatar_id: str) -> Avatar:
        """The avatar for an `avatar_id`. Raises InvalidArgument for an unknown one unless any will do."""
        if avatar_id in Avatar.builtin():
            return Avatar.load(avatar_id)
        ours = Avatar.load(self.config.avatar)
        if avatar_id == ours.name:
            return ours
        if not self.config.any_avatar:  # an id off the network is never taken for a path
            raise InvalidArgument(f"unknown avatar {avatar_id!r}; there is {', '.join({*Avatar.builtin(), ours.name})}")
        logger.info("avatar_id %r is not installed; showing %r", avatar_id, ours.name)
        return ours

    def channel_for(
        self, request: m.StartRequest, on_event: Callable[[ChannelEvent], None], owner: str = OPERATOR
    ) -> Agora | None:
        """The Agora channel that a session is to be published into. The certificate is the operator's: with it a token
        is made anew for the operator's sessions, and nobody else's.

        Raises:
            InvalidArgument: the settings are none of Agora's.
        """
        config, wanted = self.config, request.agora_settings
        if config.agora == "off":
            return None
        if config.agora == "auto" and not (is_app_id(wanted.app_id) and available()):
            why = f"needs {lacking()}" if is_app_id(wanted.app_id) else "not Agora's"
            logger.info("channel %r: %s; only the viewer page shows it", wanted.channel, why)
            return None
        ours = owner == OPERATOR and config.agora_app_id == wanted.app_id
        options = AgoraOptions(
            app_id=wanted.app_id,
            token=wanted.token,
            channel=wanted.channel,
            uid=wanted.uid,
            string_uid=wanted.enable_string_uid,
            certificate=config.agora_app_certificate if ours else None,
            quality=request.quality,
            video_encoding=request.video_encoding,
            egress=agora_egress(request.egress or config.egress, motion=request.motion is not None),
            motion_carrier="data" if request.motion is None else request.motion.carrier,
            motion_sets=_motion_sets(request),
            area=request.area,
        )
        return Agora(options, on_event, motion_figures=self.motion_figures)

    def _desk(self, owner: str) -> Desk:
        """What the agent page of one owner's users works on."""
        agents = self._page_agents
        return Desk(self.owned_rooms.of(owner), partial(agents.start, owner), partial(agents.stop, owner))

    def _may_have_token(self, request: Any, channel: str) -> str:
        """Of Agora's project, which is the operator's; the one name that is allowed with it. Raises ProviderError."""
        caller = self.gate.room(request, channel, "join")
        if caller.owner.name != OPERATOR:
            raise ProviderError("NOT_ALLOWED", "Tokens of this server's Agora project are its operator's to give")
        return caller.name

    def _page_routes(self) -> list[Any]:
        """The agent page's and the cluster's. Who may be heard in a room may have a token of Agora's for it."""
        routes = room_routes(self._desk, self.page, gate=self.gate, face=self.choose_avatar)
        routes.append(page_route(self.overview))
        if self.page.app_id and self.page.agora_sdk:
            routes.append(token_routes(None, project=self._project, check_channel=self._may_have_token))
        return routes

    def _speaking(self) -> Endpoint:
        """WHIP of sessions."""

        def check(request: Any, session_id: str) -> Caller:
            return self.gate.session(request, session_id, "speak")

        async def admit(caller: Caller, session_id: str, sdp: str, request: Any) -> Admitted:
            watched = self.watched.get(session_id)
            if watched is None:
                raise ProviderError("SESSION_NOT_FOUND", "This session has ended")
            self.provider.check_not_draining()
            assert isinstance(watched.session, LiveAvatar)
            try:
                watched.session.check_voice()
            except BadState as exc:
                raise ProviderError("VALIDATION_ERROR", str(exc)) from exc
            answer, peer = await watched.session.whip.admit(sdp)
            return Admitted(answer, peer, Peer.drop)

        return Endpoint(path="{name:str}", protocol="whip", about="Speak through a session.", check=check, admit=admit)

    def _avatar_of(self, avatar_id: str) -> str:
        """Of an agent: a built-in one's name, or the place of ours."""
        self.choose_avatar(avatar_id)  # or refuses
        return avatar_id if avatar_id in Avatar.builtin() else self.config.avatar

    def has_room_for(self, owner: str, pixel_rate: int) -> bool:
        """Whether one more face of so many pixels a second is within the limits, and can be encoded besides all that is
        (once for each session, codec and class of bit rate that somebody is sent, and for each film; units are not), on
        a machine that keeps up with ease."""
        provider = self.provider
        over = provider.excess_pixels(provider.authority.owner_named(owner), pixel_rate)
        strained = provider.admission.reason(provider.clock(), EASE)
        encoded = sum(watched.publisher.encoded for watched in self.watched.values()) + self.owned_rooms.encoded
        encoded += 0 if self.films is None else self.films.encoded
        encodable = encoded + pixel_rate <= ENCODED * processors()
        return encodable and not over and not strained

    def _admit_agent(self, agent: AgentConfig) -> None:
        """One account of pixels for sessions and agents. Raises NoCapacity or AgentLimit."""
        self.provider.admission.check(self.provider.clock())
        text = self.provider.excess_pixels(self.provider.authority.owner_named(agent.owner), agent.pixel_rate)
        if text:
            raise AgentLimit(text)

    async def _make_session(
        self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit
    ) -> LiveAvatar:
        await self.start_background()  # where the app is mounted in a host that runs no lifespan of ours
        rtp = None
        if request.rtp is not None:
            owner = self.provider.owner_of(session_id) or OPERATOR
            rtp = await self._rtp.open(request.rtp.sdp, session_id=session_id, owner=owner)
        try:
            session = LiveAvatar(self, session_id, request, granted, emit, rtp)
        except BaseException:
            if rtp is not None:
                rtp.close()
            raise
        return await session.start()

    async def say(self, session_id: str, text: str) -> None:
        """Makes a session say `text` with the voice of its face.

        Raises:
            InvalidArgument: no such session. LipwireError: there is nothing to say, or nobody who says it.
            ProviderError: NO_CAPACITY: the server drains. BufferFull: no room for all of it; nothing was taken.
        """
        watched = self.watched.get(session_id)
        if watched is None:
            raise InvalidArgument(f"no session {session_id}")
        self.provider.check_not_draining()
        face = watched.session.avatar
        whose = Avatar.load(face if face in Avatar.builtin() else self.config.avatar).voice
        async with watched.saying:
            voice = await asyncio.to_thread(choose, None, whose, "en-US", self.config.voices)
            sounds = await self.voices.whole(voice.name, text, whose)
            self.provider.check_not_draining()  # that took a while
            # At once, so that where there is no room nothing is said, and not its first sentence. A voice has one rate.
            if sounds:
                watched.session.write(b"".join(sound.pcm for sound in sounds), sounds[0].rate)
            watched.session.end()

    # -------------------------------------------------------------------------------------------------------- life

    async def start_background(self) -> None:
        """Starts what an app mounted elsewhere needs besides its HTTP routes: the WebSocket server and upkeep."""
        async with self._starting:
            if self._ws is not None:
                return
            self._models = ModelHost.set_up(memory=self.config.models_memory_mb << 20)
            try:
                self._ws = await serve_ws(
                    self.provider,
                    self.config.bind,
                    self.config.ws_port,
                    door=self.door,
                    allowlist=self.allowlist,
                    ssl=self._ssl,
                    turns=self._turns,
                )
            except OSError as exc:
                raise port_taken("ws_port", self.config.ws_port, exc) from exc
            url = self.config.public_ws_url or f"{self._scheme('ws')}://{self._told_host}:{self._ws.port}"
            url = url.replace("{port}", str(self._ws.port))
            url = url.replace("{worker}", str(0 if self._behind is None else self._behind.index))
            self.provider.config = msgspec.structs.replace(self.provider.config, public_ws_url=url)
            self._background = asyncio.create_task(self._upkeep(), name="lipwire-upkeep")

    async def start(self) -> Self:
        """Starts everything.

        Raises:
            InvalidArgument: a port cannot be had; it says which and what to set.
        """
        for told in ending(openai_models(self.config), date.today()):
            logger.warning("OpenAI's models: %s", told)
        try:
            await self.start_background()
            self._http = await self._serve(self.app, "http_port")
            if self.config.viewer:
                viewer = create_viewer(
                    self.watched,
                    self._speak,
                    gate=self.gate,
                    route_handlers=[*self._page_routes(), *motion_routes(self.watched, self._desk, gate=self.gate)],
                    allowlist=self.allowlist,
                    middleware=[self._counting],
                    endpoints=[self._speaking(), *room_endpoints(self._desk, gate=self.gate)],
                    ice_servers=self.ice_servers,
                    on_peer=None if self._behind is None else self._behind.on_peer,
                )
                self._viewer = await self._serve(viewer, "viewer_port")
        except BaseException:
            await self.close()
            raise
        return self

    async def _serve(self, app: Any, name: str) -> HttpServer:
        port: int = getattr(self.config, name)
        if self._behind is not None:
            path = self._behind.http_path if name == "http_port" else self._behind.viewer_path
            door = Door(door_limits(self.config))  # the front process counts those who come by it
            return await serve_http(app, path=path, door=door, turns=self._turns)
        try:
            return await serve_http(app, self.config.bind, port, door=self.door, ssl=self._ssl, turns=self._turns)
        except OSError as exc:
            raise port_taken(name, port, exc) from exc

    async def drain(self, seconds: float | None = None) -> None:
        """Ends in good order, and closes: no new session, agent or utterance is taken, what is silent ends at once, and
        what is being said goes on to its end, an agent's to that of its sentence, for `seconds` at most (None:
        `drain_seconds`). Until then HTTP answers; /healthz says that it drains.

        Cancelled, it has closed nothing yet that speaks: `close` does.
        """
        if seconds is None:
            seconds = self.config.drain_seconds
        await asyncio.gather(self.provider.drain(seconds), self.agents.drain(seconds))
        await self.close()

    async def close(self) -> None:
        """Ends every session and agent and stops listening, within bounds whatever hangs or fails. Safe to call
        twice."""
        await asyncio.gather(
            close_within(CLOSE_SECONDS, self.agents.close, "the agents", logger),
            close_within(CLOSE_SECONDS, self.provider.close, "the sessions", logger),
        )
        await close_within(CLOSE_SECONDS, self.owned_rooms.close, "the rooms", logger)
        await close_within(CLOSE_SECONDS, self.voices.close, "the voices", logger)
        if self.webhooks is not None:
            await close_within(CLOSE_SECONDS, self.webhooks.close, "the webhooks", logger)
        if self.recorder is not None:
            await close_within(CLOSE_SECONDS, partial(asyncio.to_thread, self.recorder.close), "the recorder", logger)
        servers = [server for server in (self._viewer, self._http, self._ws) if server is not None]
        self._viewer = self._http = self._ws = None
        await asyncio.gather(*(close_within(CLOSE_SECONDS, server.close, "a server", logger) for server in servers))
        task, self._background = self._background, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _upkeep(self) -> None:
        sweeps = [asyncio.create_task(self.provider.sweep_forever()), asyncio.create_task(self._sweep_agents())]
        try:
            while True:
                due = self.provider.clock() + STATS_INTERVAL
                await asyncio.sleep(STATS_INTERVAL)
                self._measure(due)
                self._send_all_stats()
        finally:
            for sweep in sweeps:
                sweep.cancel()

    def _send_all_stats(self) -> None:
        """In a function of its own: a name of the loop that waits would keep the last session after its end."""
        for session_id, watched in tuple(self.watched.items()):
            try:
                self._send_stats(session_id, watched)
            except Exception:  # the edge: one viewer's channel must not end everyone's figures
                logger.exception("[%s] sending figures failed", session_id)

    async def _sweep_agents(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                await self.agents.sweep(self.provider.authority.keys.owners)
            except Exception:  # the edge of a task
                logger.exception("sweeping agents failed")

    def _measure(self, due: float) -> None:
        """How this machine keeps up, for `Admission`; this should have run at `due`."""
        now, totals = self.provider.clock(), self.provider.totals()
        busy = Runtime.current().stats().get("busy_ns", 0) / 1e9
        load = Load(frames=totals["frames"], late=totals["late"], busy=busy, lag=now - due)
        self.provider.admission.observe(load, now)
        self.overview.measure(load.lag)

    def _send_stats(self, session_id: str, watched: Watched) -> None:
        if not watched.publisher.viewers:
            return
        stats = watched.session.stats()
        names = ("state", "fps", "skew_ms", "latency_ms", "buffered_ms", "clock_s", "width", "height")
        body = {name: stats[name] for name in names}
        body |= {
            "type": "stats",
            "session_id": session_id,
            "late_frames": stats["late"],
            "viewers": len(watched.publisher.viewers),
        }
        watched.publisher.send(msgspec.json.encode(body).decode())

    # ------------------------------------------------------------------------------------------------------- where

    @property
    def http_port(self) -> int:
        """The bound port."""
        return self._http.port if self._http else self.config.http_port

    @property
    def ws_port(self) -> int:
        """The bound port."""
        return self._ws.port if self._ws else self.config.ws_port

    @property
    def viewer_port(self) -> int:
        """The bound port."""
        return self._viewer.port if self._viewer else self.config.viewer_port

    @property
    def http_url(self) -> str:
        """The HTTP side as this machine reaches it."""
        return f"{self._scheme('http')}://{in_url(self._local)}:{self.http_port}"

    @property
    def ws_urls(self) -> list[str]:
        """What `websocket_address` says."""
        return [self.provider.config.public_ws_url]

    @property
    def viewer_url(self) -> str:
        """The viewer page as this machine reaches it."""
        return f"{self._scheme('http')}://{in_url(self._local)}:{self.viewer_port}/"

    def _scheme(self, plain: str) -> str:
        return plain if self._certificate is None else f"{plain}s"

    @property
    def _ssl(self) -> SSLContext | None:
        return None if self._certificate is None else self._certificate.context

    @property
    def _told_host(self) -> str:
        """Where clients are sent: with a certificate, to a name that it may be for."""
        names = [name for name in self.config.public_hosts if "*" not in name] if self._certificate else []
        return in_url(names[0] if names else self._local)

    @property
    def public_viewer_url(self) -> str:
        """The viewer page as browsers reach it, with a "/" at its end."""
        return (self.config.public_viewer_url or self.viewer_url).rstrip("/") + "/"

    @property
    def open(self) -> bool:
        """The pages ask nobody for a token."""
        return self.gate.open

    def page_link(self, channel: str | None = None, *, token: bool = True) -> str:
        """The viewer page, or the agent page in a channel, for the operator: where pages ask for a token with one that
        is good for an hour, unless `token` is false."""
        page = "" if channel is None else f"agent?channel={quote(channel, safe='')}"
        if self.gate.open or not token:
            return f"{self.public_viewer_url}{page}"
        return link(self.public_viewer_url, page, admin_token(self.provider))

    @property
    def _local(self) -> str:
        return LOOPBACK if self.config.bind == "0.0.0.0" else self.config.bind


def make_webhooks(config: Config) -> Webhooks:
    """What sends notices to `config.webhook_url`, which is set."""
    assert config.webhook_url is not None
    return Webhooks(
        config.webhook_url,
        config.webhook_secret,
        events=[int(number) for number in config.webhook_events],
        retry=config.webhook_retry_seconds,
        most=config.webhook_queue,
    )


def create_app(config: Config | None = None) -> Any:
    """The HTTP side as an ASGI app (Litestar), to run or to mount in a host application.

    The WebSocket server on `config.ws_port` starts with the app's lifespan or, where a host mounts the app without
    running it, with the first session. `app.state.service` is the `Service`; `await app.state.service.drain()` ends
    all of it in good order, as the lifespan's shutdown does, and `close()` at once.
    """
    service = Service(config)
    app = service.app
    app.state.service = service
    app.on_startup.append(service.start_background)
    app.on_shutdown.append(service.drain)
    return app
