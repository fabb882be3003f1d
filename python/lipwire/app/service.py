"""Everything together: the avatar provider, its WebSocket, the pages, rooms, agents, and the sessions behind them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from fractions import Fraction
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import msgspec

from ..agents.manager import AgentManager
from ..audio import espeak as voice
from ..avatar import Avatar
from ..channel.agora.channel import Agora, AgoraOptions, available, is_app_id
from ..channel.base import ChannelEvent, Connection, client_event
from ..channel.room.room import Rooms
from ..errors import InvalidArgument
from ..protocol import messages as m
from ..provider.sessions import Emit, Provider, ProviderConfig
from ..publish.tee import Tee
from ..publish.webrtc import WebRTC
from ..servers.access import Access
from ..servers.agents import AgentCollector, Project, agent_routes, token_routes
from ..servers.http import HttpServer, serve_http
from ..servers.http import create_app as create_http_app
from ..servers.listen import Door, Limits
from ..servers.metrics import DoorCollector
from ..servers.rooms import room_routes
from ..servers.tls import Certificate
from ..servers.viewer import Speak, Watched, create_viewer
from ..servers.ws import WsServer, serve_ws
from ..session.session import Session
from .agent_page import PageAgents
from .agent_setup import AgentSetup
from .config import LOOPBACK, Config, is_loopback

logger = logging.getLogger("lipwire.service")

STATS_INTERVAL = 0.5


class LiveAvatar(Session):
    """A provider's session, published into its Agora channel, and over WebRTC to whoever watches."""

    def __init__(self, service: Service, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit):
        config = service.config
        self._service = service
        self._emit = emit
        self.viewers = WebRTC(ice_host=config.ice_host)
        self.channel = service.channel_for(request, self._on_channel)
        if self.channel is None:
            granted.video_encoding = "VP8"
        granted.sample_rate = m.MAX_RATE
        if granted.egress != "video":
            raise InvalidArgument(f"egress {granted.egress!r}: this server sends video")
        super().__init__(
            self.viewers if self.channel is None else Tee(self.channel, self.viewers),
            avatar=service.choose_avatar(request.avatar_id),
            width=granted.width,
            height=granted.height,
            fps=Fraction(granted.fps).limit_denominator(1001),
            session_id=session_id,
            on_event=self._on_event,
            voice_end_grace=config.voice_end_grace_ms / 1000,
            voice_end_timeout=config.voice_end_timeout_ms / 1000,
            prebuffer=config.prebuffer_ms / 1000,
            capacity=config.buffer_seconds,
        )

    def _on_event(self, event: Any) -> None:
        self._emit(event)
        body = msgspec.to_builtins(event)
        self.viewers.send(msgspec.json.encode({"type": "event", "event": body.pop("command"), **body}).decode())

    def _on_channel(self, event: ChannelEvent) -> None:
        if isinstance(event, Connection):
            logger.info("[%s] channel: %s (%s)", self.id, event.state, event.reason)
        told = client_event(event)
        if told is not None and self.id in self._service.watched:  # before that, the caller of `start` hears of it
            self._on_event(told)

    def stats(self) -> dict[str, Any]:
        """As Session's, and `channel`: figures of the Agora channel; None without one."""
        return super().stats() | {"channel": self.channel.stats() if self.channel is not None else None}

    def voice_end(self, event_id: str | None) -> None:
        """The wire's name for `end`."""
        self.end(event_id)

    async def start(self) -> Self:
        await super().start()
        self._service.watched[self.id] = Watched(self, self.viewers)
        return self

    async def close(self) -> None:
        if self._service.watched.pop(self.id, None) is not None:
            self.viewers.send('{"type":"event","event":"session_ended"}')
            await asyncio.sleep(0)
        await super().close()


class Service:
    """The whole of `lipwire serve`. Use as an async context manager, or `start` and `close`.

    Args:
        config: see `Config`. Ports of 0 are any free ones; read `http_port` and the others after start.
        speak: what the viewer's text box does; by default the session says it with espeak-ng where that is installed.
        agents: who runs the agents; by default a manager for `config`. What the settings say holds for them, too.
    """

    def __init__(
        self, config: Config | None = None, *, speak: Speak | None = None, agents: AgentManager | None = None
    ) -> None:
        self.config = config or Config()
        Avatar.load(self.config.avatar)  # one that is missing or has faults is found before anyone asks for it
        self.api_key = self.config.api_key or secrets.token_urlsafe(24)
        self._certificate = Certificate(self.config.tls_cert, self.config.tls_key) if self.config.tls_cert else None
        self.door = Door(self._limits())
        """Who may come in, on all ports."""
        self.access = self._access()
        """Its names, and the pages that may call it."""
        self.watched: dict[str, Watched] = {}
        self.rooms = Rooms(ice_host=self.config.ice_host)
        self.provider = Provider(self._provider_config(), self._make_session)
        self.agent_setup = AgentSetup(self.config, self.rooms, self._avatar_of)
        self.agents = agents or AgentManager(self.agent_setup.make, limit=self.config.max_agents)
        self.agents.prepare = self.agent_setup.prepare
        self._page_agents = PageAgents(self.agent_setup, self.agents)
        self.page = self._page_agents.config()
        """What the agent page offers."""
        self._project = Project(
            app_id=self.config.agora_app_id or "", certificate=self.config.agora_app_certificate or ""
        )
        routes = agent_routes(self.agents, self.provider.check_api_key, project=self._project)
        self.app = create_http_app(
            self.provider,
            route_handlers=routes,
            collectors=[AgentCollector(self.agents), DoorCollector(self.door)],
            access=self.access,
        )
        self._speak = speak or (self.say if voice.available() else None)
        self._starting = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        self._http: HttpServer | None = None
        self._ws: WsServer | None = None
        self._viewer: HttpServer | None = None

    def _access(self) -> Access:
        c = self.config
        own_name = [c.host] if c.host else []
        urls = [c.public_ws_url] if c.public_ws_url else []
        return Access.of([*c.public_hosts, *own_name], c.allowed_origins, urls, hsts=c.tls_cert is not None)

    def _limits(self) -> Limits:
        c, wait = self.config, self.config.request_timeout_seconds
        return Limits(
            connections=c.max_connections,
            per_address=c.max_connections_per_address,
            head=wait,
            body=3 * wait,
            write=3 * wait,
        )

    def _provider_config(self) -> ProviderConfig:
        c = self.config
        options: dict[str, Any] = {} if c.session_secret is None else {"session_secret": c.session_secret}
        return ProviderConfig(
            api_key=self.api_key,
            max_sessions=c.max_sessions,
            guard_window=c.guard_window_ms / 1000,
            **options,
        )

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

    def channel_for(self, request: m.StartRequest, on_event: Callable[[ChannelEvent], None]) -> Agora | None:
        """The Agora channel that a session is to be published into.

        Raises:
            InvalidArgument: the settings are none of Agora's.
        """
        config, wanted = self.config, request.agora_settings
        if config.agora == "off":
            return None
        if config.agora == "auto" and not (is_app_id(wanted.app_id) and available()):
            logger.info("channel %r: not Agora's, or no SDK here; only the viewer page shows it", wanted.channel)
            return None
        options = AgoraOptions(
            app_id=wanted.app_id,
            token=wanted.token,
            channel=wanted.channel,
            uid=wanted.uid,
            string_uid=wanted.enable_string_uid,
            certificate=config.agora_app_certificate if config.agora_app_id == wanted.app_id else None,
            quality=request.quality,
            video_encoding=request.video_encoding,
        )
        return Agora(options, on_event)

    def _page_routes(self) -> list[Any]:
        """The client page's. Agents cost, and tokens open channels: where others reach the port, both ask for the
        key."""
        check_key = None if is_loopback(self.config.bind) else self.provider.check_api_key
        agents = self._page_agents
        routes = room_routes(
            self.rooms, self.page, start_agent=agents.start, stop_agent=agents.stop, check_key=check_key
        )
        in_agora = self.page.app_id and self.page.agora_sdk
        return [*routes, token_routes(check_key, project=self._project)] if in_agora else routes

    def _avatar_of(self, avatar_id: str) -> str:
        """Of an agent: a built-in one's name, or the place of ours."""
        self.choose_avatar(avatar_id)  # or refuses
        return avatar_id if avatar_id in Avatar.builtin() else self.config.avatar

    async def _make_session(
        self, session_id: str, request: m.StartRequest, granted: m.Granted, emit: Emit
    ) -> LiveAvatar:
        await self.start_background()  # where the app is mounted in a host that runs no lifespan of ours
        return await LiveAvatar(self, session_id, request, granted, emit).start()

    async def say(self, session_id: str, text: str) -> None:
        """Makes a session say `text` with espeak-ng.

        Raises:
            InvalidArgument: no such session, or nothing to say.
        """
        watched = self.watched.get(session_id)
        if watched is None:
            raise InvalidArgument(f"no session {session_id}")
        pcm, rate = await asyncio.to_thread(voice.synthesize, text)
        watched.session.write(pcm, rate)
        watched.session.end()

    # -------------------------------------------------------------------------------------------------------- life

    async def start_background(self) -> None:
        """Starts what an app mounted elsewhere needs besides its HTTP routes: the WebSocket server and upkeep."""
        async with self._starting:
            if self._ws is not None:
                return
            try:
                self._ws = await serve_ws(
                    self.provider,
                    self.config.bind,
                    self.config.ws_port,
                    door=self.door,
                    access=self.access,
                    ssl=self._ssl,
                )
            except OSError as exc:
                raise _port_taken("ws_port", self.config.ws_port, exc) from exc
            url = self.config.public_ws_url or f"{self._scheme('ws')}://{self._told_host}:{self._ws.port}"
            self.provider.config = msgspec.structs.replace(self.provider.config, public_ws_url=url)
            self._background = asyncio.create_task(self._upkeep(), name="lipwire-upkeep")

    async def start(self) -> Self:
        """Starts everything.

        Raises:
            InvalidArgument: a port cannot be had; it says which and what to set.
        """
        try:
            await self.start_background()
            self._http = await self._serve(self.app, "http_port")
            if self.config.viewer:
                viewer = create_viewer(
                    self.watched, self._speak, route_handlers=self._page_routes(), access=self.access
                )
                self._viewer = await self._serve(viewer, "viewer_port")
        except BaseException:
            await self.close()
            raise
        return self

    async def _serve(self, app: Any, name: str) -> HttpServer:
        port: int = getattr(self.config, name)
        try:
            return await serve_http(app, self.config.bind, port, door=self.door, ssl=self._ssl)
        except OSError as exc:
            raise _port_taken(name, port, exc) from exc

    async def close(self) -> None:
        """Ends every session and agent and stops listening. Safe to call twice."""
        await self.agents.close()
        await self.provider.close()
        await self.rooms.close()
        for server in (self._viewer, self._http, self._ws):
            if server is not None:
                await server.close()
        self._viewer = self._http = self._ws = None
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
        sweep = asyncio.create_task(self.provider.sweep_forever())
        try:
            while True:
                await asyncio.sleep(STATS_INTERVAL)
                for session_id, watched in tuple(self.watched.items()):
                    try:
                        self._send_stats(session_id, watched)
                    except Exception:  # the edge: one viewer's channel must not end everyone's figures
                        logger.exception("[%s] sending figures failed", session_id)
        finally:
            sweep.cancel()

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
        return f"{self._scheme('http')}://{_in_url(self._local)}:{self.http_port}"

    @property
    def viewer_url(self) -> str:
        """The viewer page as this machine reaches it."""
        return f"{self._scheme('http')}://{_in_url(self._local)}:{self.viewer_port}/"

    def _scheme(self, plain: str) -> str:
        return plain if self._certificate is None else f"{plain}s"

    @property
    def _ssl(self) -> SSLContext | None:
        return None if self._certificate is None else self._certificate.context

    @property
    def _told_host(self) -> str:
        """Where clients are sent: with a certificate, to a name that it may be for."""
        names = [name for name in self.config.public_hosts if "*" not in name] if self._certificate else []
        return _in_url(names[0] if names else self._local)

    @property
    def _local(self) -> str:
        return LOOPBACK if self.config.bind == "0.0.0.0" else self.config.bind


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port_taken(name: str, port: int, exc: OSError) -> InvalidArgument:
    flag = name.replace("_", "-")
    return InvalidArgument(
        f"cannot listen on port {port}: {exc.strerror or exc}. Choose another with --{flag} or LIPWIRE_{name.upper()}"
    )


def create_app(config: Config | None = None) -> Any:
    """The HTTP side as an ASGI app (Litestar), to run or to mount in a host application.

    The WebSocket server on `config.ws_port` starts with the app's lifespan or, where a host mounts the app without
    running it, with the first session. `app.state.service` is the `Service`; `await app.state.service.close()` ends
    all of it.
    """
    service = Service(config)
    app = service.app
    app.state.service = service
    app.on_startup.append(service.start_background)
    app.on_shutdown.append(service.close)
    return app
