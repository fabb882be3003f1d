"""Settings: defaults < lipwire.toml < LIPWIRE_* environment < flags.

One name in every place: `http_port` is `http_port = 8764` in lipwire.toml, LIPWIRE_HTTP_PORT, and --http-port. The
command line adds a file `.env` to the environment (`read_env`).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from .. import _core
from ..agents.config import BrainKind, EndOfTurn
from ..agents.headers import check_headers
from ..agents.openai_models import CHAT
from ..avatar import DEFAULT
from ..errors import InvalidArgument
from ..models.host import MOST_MEMORY
from ..outward import Outward, redact
from ..protocol.messages import Egress
from ..protocol.webhooks import EVENTS
from ..publish.audience import MAX_VIEWERS
from ..publish.ice import TTL as TURN_TTL
from ..publish.ice import IceServers, check_url
from ..publish.turns import processors
from ..rtp.ports import PORTS, parse_ports
from ..servers.allowlist import Allowlist
from ..servers.listen import Limits
from ..session.session import PREBUFFER_MAX, VOICE_END_GRACE
from ..text import decode_text

FILE = "lipwire.toml"
ENV_FILE = ".env"
PREFIX = "LIPWIRE_"
LOOPBACK = "127.0.0.1"
LOG_LEVELS = ("debug", "info", "warning", "error")
ALIASES = {
    "OPENAI_API_KEY": "openai_api_key",
    "AGORA_APP_ID": "agora_app_id",
    "AGORA_APP_CERT": "agora_app_certificate",
    "AGORA_APP_CERTIFICATE": "agora_app_certificate",
}
"""Names that others have given some settings in the environment; LIPWIRE_* wins over them."""
HEADERS = frozenset({"llm_headers", "stt_headers", "tts_headers"})
SECRETS = HEADERS | {
    *("api_key", "session_secret", "openai_api_key", "agora_app_certificate"),
    *("turn_secret", "turn_password", "webhook_secret"),
}


class Config(Struct, kw_only=True, frozen=True):
    """Everything that can be set. Times end in their unit."""

    host: str | None = None
    """Address to listen on. Default: 127.0.0.1 without an API key, every address with one."""
    http_port: int = 8764
    """POST /session/start and the rest of the HTTP side. 0 = any free port, for all three."""
    ws_port: int = 8765
    """Speech comes in here."""
    viewer_port: int = 8080
    """The viewer page."""
    viewer: bool = True
    """Serve the viewer page and the agent page. What they show asks for a token, which `lipwire serve` and `lipwire
    token` put into links; without any API key set, on this machine alone, for none."""
    public_ws_url: str | None = None
    """What `websocket_address` says, a ws:// or wss:// URL. Default: ws://<host>:<ws_port>. With several workers it has
    {port} in it, which is the worker's port, or {worker}, its number from 0 on."""
    public_viewer_url: str | None = None
    """Where browsers reach the pages, for the links that are made. Default: http://<host>:<viewer_port>/."""
    api_key: str | None = None
    """What clients send as `x-api-key`: the operator's own. Default: a random one, printed at start."""
    api_keys_file: str | None = None
    """API keys of other owners, as digests, made by `lipwire key new`; read again when it changes. Each owner sees and
    steers its own sessions, rooms and agents alone."""
    session_secret: str | None = None
    """Signs tokens (32 bytes or more). Default: random, so that a restart ends every token."""
    workers: int | Literal["auto"] = 1
    """Processes that run sessions, rooms and agents, behind one that answers HTTP (docs/workers.md); auto = as many as
    this machine has processors. 1 = one process does all, unless `nats` is set. Limits (`max_*`) are each worker's,
    what an owner may have (`key_*`) is for all of them. The first listens for speech on `ws_port`, the others on the
    ports behind it."""
    capacity: int = 0
    """What one worker takes, where 1000 is a face of 640x360 at 25 pictures a second; 0 = 1000 for each of
    `max_sessions`."""
    nats: tuple[str, ...] = ()
    """NATS servers, by which several machines find each other: nats://user:password@host:4222 or tls://host:4222, with
    commas between in the environment. All machines need the same `api_key` and `session_secret`."""
    nats_creds: str | None = None
    """A file of credentials for NATS (nsc makes them)."""
    nkeys_seed_file: str | None = None
    """A file with the seed of an nkey, in their place."""
    cluster: str = "lipwire"
    """The name that all machines of one cluster share; another one on the same NATS servers has another."""
    node: str | None = None
    """This machine's name in the cluster. Default: its host name with four random digits."""
    advertise_url: str | None = None
    """Where the other machines reach what stands on `http_port`. Default: http://<address>:<http_port>, with this
    machine's address that leads to NATS."""
    advertise_viewer_url: str | None = None
    """The same for `viewer_port`."""
    max_sessions: int = 50
    """More are refused with 429."""
    max_viewers: int = MAX_VIEWERS
    """Browsers that are sent sound and pictures: viewers of sessions and users in rooms together. More are refused with
    503. Those of one session share its encoders."""
    max_pixel_rate: int = 1_000_000_000
    """Width x height x frames a second of all sessions and agents together; more is refused with 429 (agents: 422).
    0 = no limit."""
    max_rooms: int = 64
    """Rooms of all owners together. The last quarter is for agents: pages open none of them."""
    key_sessions: int = 25
    """Sessions of one owner in `api_keys_file`, whose line there can say otherwise (sessions=5); so with all key_*.
    0 = none."""
    key_pixel_rate: int = 250_000_000
    """Width x height x frames a second of all sessions and agents of one owner; 0 = none."""
    key_agents: int = 25
    """Agents of one owner; 0 = none."""
    key_rooms: int = 32
    """Rooms of one owner; 0 = none."""
    key_request_rate: float = 50.0
    """Requests a second with one owner's keys, twice as many at once; more are refused with 429."""
    key_films_mb: int = 5120
    """MiB of all films of one owner, those that have ended among them; 0 = none."""
    address_request_rate: float = 200.0
    """Requests a second from one address, twice as many at once; more are refused with 429. 0 = no limit."""
    max_viewers_per_address: int = 10
    """Of `max_viewers`, those that one address may have, where pages ask for tokens. 0 = no limit of its own."""
    joins_a_minute: float = 60.0
    """How often one address may join sessions and rooms by WebRTC, where pages ask for tokens. 0 = no limit."""
    max_late_percent: float = 20.0
    """From this share of late frames on, over 10 s, new sessions are refused with 503. 0 = never."""
    max_busy_percent: float = 90.0
    """From this share of the time on that the engine's thread works, over 10 s, too. 0 = never."""
    max_lag_ms: float = 250.0
    """From this lateness of the event loop on (median over 10 s), too. 0 = never."""
    avatar: str = DEFAULT
    """Who speaks where a request names an avatar that is not installed and `any_avatar` is on: the name of a built-in
    one, or the path of a folder or zip. Artwork is asked for by the `name` in its avatar.toml."""
    any_avatar: bool = True
    """Accept any `avatar_id` and show `avatar` for those that are not installed."""
    preencoded: Literal["auto", "on", "off"] = "auto"
    """Hand avatars' video that was encoded before to viewers who take H.264, instead of encoding it for each session
    (`lipwire avatar preencode`). auto: where it has been made, and `lipwire serve` makes it in the background for
    built-in avatars at the sizes that are asked for; on: sessions up to 1280x720 at 30 wait until it is made, agents
    join and change over to it; larger ones, and agents without an avatar, are as with auto; off. Sessions that are
    recorded do without."""
    prebuffer_ms: int = round(1000 * _core.PREBUFFER)
    """Speech that must be there before an utterance starts: more rides out jitter, less answers sooner."""
    prebuffer_max_ms: int = round(1000 * PREBUFFER_MAX)
    """What the prebuffer grows to where speech of a sender that is no faster than speech runs dry; it shrinks again."""
    catch_up: bool = True
    """Where such speech is late, after a network or a machine stood still, shorten its pauses until it no longer is."""
    voice_end_grace_ms: int = round(1000 * VOICE_END_GRACE)
    """Audio this long after `voice_end` still belongs to the utterance."""
    voice_end_timeout_ms: int = round(1000 * _core.DRY_TIMEOUT)
    """An utterance without `voice_end` is over this long after its audio ran dry."""
    guard_window_ms: int = 0
    """`voice` within this time after an interrupt is dropped."""
    correct_rate: bool = False
    """Where paced speech arrives at another rate than its `sampleRate` says, play it at the rate that was measured. It
    is reported (`rate_mismatch`) in any case."""
    buffer_seconds: float = _core.CAPACITY
    """Speech that may wait in a session; more is refused with BUFFER_FULL. A second that waits takes 96 kB, which
    is given back when it has been said."""
    record: str | None = None
    """A folder that every session is recorded into, a file each, for `lipwire replay`: its messages, and so all that is
    said in it, without secrets. Default: nothing is recorded."""
    record_session_mb: int = 64
    """MiB of a recording; it ends there. 64 are about half an hour of speech at 24 kHz."""
    record_total_mb: int = 1024
    """MiB of all recordings in the folder; the oldest are deleted for the newest."""
    films: str | None = None
    """A folder for films: what of sessions and agents is recorded as MP4 or WebM where their requests ask for it
    (`record`). Each owner's films are in a folder of their own in it. Not what `record` above is about, which keeps
    messages. Default: such requests are refused."""
    film_mb: int = 2048
    """MiB of a film with its transcript; it ends there. 2048 are about five hours at 640x360."""
    films_total_mb: int = 20480
    """MiB of all in that folder. In the last eighth none begins, and who has most ends first. None is deleted."""
    agora: Literal["auto", "on", "off"] = "auto"
    """Publish a session into the Agora channel that its `agora_settings` name, besides to the viewer page. auto: where
    Agora's SDK is installed and the app id looks like one."""
    egress: Egress | None = None
    """What of a face is sent where a request does not say: video, motion (for who draws it, docs/motion.md) or both.
    Default: both to viewers, who ask for what they want, and video into Agora's channels."""
    ice_host: str | None = None
    """The one address to offer WebRTC media on. Default: every address of the machine."""
    rtp: bool = False
    """Take speech by plain RTP, and send speech and pictures by it, for sessions that are started with an SDP (`rtp` of
    `/session/start`)."""
    rtp_ports: str = PORTS
    """The UDP ports for that, each even one with the one behind it: two for each kind of media of a session."""
    rtp_host: str | None = None
    """The address to receive RTP on. Default: as `host`."""
    rtp_public_host: str | None = None
    """The address that answers name, where it is another one: behind a router, in a container. Default: the one of this
    machine that leads to the peer."""
    rtp_symmetric: bool = True
    """Take RTP from another address than the peer's SDP names, where it comes from one from the beginning: the peer is
    behind a router. Off: from that address alone."""
    ice_servers: tuple[str, ...] = ()
    """STUN and TURN servers, as stun:stun.example.org:3478 or turn:turn.example.org:3478?transport=udp: players and the
    pages are told of all of them, this server's own end uses the first STUN and the first TURN server over UDP. In the
    environment with commas between. Default: none, which is enough where browsers reach this server's addresses."""
    turn_secret: str | None = None
    """Of the TURN servers (coturn: `static-auth-secret`): everyone who may connect is given a name and a password that
    are made with it. Besides it only `turn_username` and `turn_password` are possible."""
    turn_ttl_seconds: float = TURN_TTL
    """What is made with `turn_secret` is good for so long."""
    turn_username: str | None = None
    """Of the TURN servers, for everyone, in place of `turn_secret`."""
    turn_password: str | None = None
    """It goes to everyone who may connect."""
    agent_brain: BrainKind | None = None
    """What thinks for every agent: realtime, cascade, guide, echo or script. Default: cascade for join, realtime for
    /start_agent."""
    feelings: bool = True
    """Agents' faces show what is meant by what they say, by the model's tags, words and punctuation, where a request
    does not say (docs/agents/runtime.md)."""
    max_agents: int = 50
    """More are refused with 422."""
    agora_app_id: str | None = None
    """Agents join Agora's channels where this is set and Agora's SDK is installed; else rooms of this server."""
    agora_app_certificate: str | None = None
    """Makes tokens for agents and clients, renews those of sessions of this app, and lets `agora token=` in."""
    agora_web_sdk: str | None = None
    """Agora's Web SDK (agora-rtc-sdk-ng), a file or an https URL: with it the client page can join Agora's channels."""
    openai_api_key: str | None = None
    """For OpenAI Realtime, and for llm_url, stt_url and tts_url. Also OPENAI_API_KEY."""
    openai_url: str | None = None
    """Of OpenAI Realtime. Default: wss://api.openai.com/v1/realtime."""
    realtime_model: str | None = None
    """Which model of OpenAI Realtime. Default: gpt-realtime-2.1."""
    llm_url: str = "https://api.openai.com/v1/chat/completions"
    """Chat completions for agents that were given none."""
    llm_model: str = CHAT
    """Which model of `llm_url`, for agents that were given none. Default: gpt-6-luna, which is told not to think first
    (`reasoning_effort` "none"), unless `llm.params` of a request says how much."""
    find_llm: bool = True
    """`lipwire agent` and `lipwire demo`: where nobody says where an agent thinks (no key, no `llm_url`, no
    `llm_headers`), look for a model on this machine, on the ports of Ollama, LM Studio, llama.cpp, vLLM and others."""
    llm_headers: dict[str, str] | None = None
    """More headers for every request to `llm_url`, in the file as a table; in the environment as JSON. They go nowhere
    else."""
    stt_url: str | None = None
    """Speech to text, OpenAI-compatible; "offline" = whisper on this machine. Default: OpenAI's for agents that
    think there with our key, else offline."""
    stt_model: str | None = None
    """Which model of `stt_url`. Default: gpt-transcribe."""
    stt_headers: dict[str, str] | None = None
    """More headers for every request to it."""
    tts_url: str | None = None
    """Text to speech, the same; offline it is a voice of this machine (`lipwire voices`)."""
    tts_model: str | None = None
    """Which model of `tts_url`. Default: gpt-4o-mini-tts; from 2027-01-06 on, when it ends, at OpenAI
    gpt-realtime-2.1-mini over Realtime, which can also be set here."""
    tts_headers: dict[str, str] | None = None
    """More headers for every request to it."""
    hearing_model: str | None = None
    """What hears offline: a model of `lipwire models` that is for speech to text, or the path of a folder with a
    whisper model of your own in CTranslate2's form. Default: by the language."""
    voices: str | None = None
    """A folder with voice files for agents, which requests name by their names in it. Default: none but those that are
    installed."""
    end_of_turn: EndOfTurn = "auto"
    """What tells that a user of an agent has finished, where nobody asks for a silence of so many ms: "auto" is Smart
    Turn where it is installed (`lipwire models get smart-turn`), else "rules", the melody and the last word; "silence"
    is half a second of it."""
    models_memory_mb: int = MOST_MEMORY >> 20
    """MiB that the process of models may have in memory; one that has more is ended, and started again. Each worker has
    one of its own, from when it is first needed: about 320 MiB with ears, a voice and what judges turns."""
    public_hosts: tuple[str, ...] = ()
    """Names by which this server is called: other Host headers are refused (421), so that no page can reach it by
    pointing a name of its own at this machine. localhost, IP addresses, `host` and the hosts of `public_ws_url`,
    `public_viewer_url` and `allowed_origins` always do. "*.example.org" is all names below it, "*" any: for who checks
    Host himself."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages of other origins that may call this server (CORS, WebSocket) and embed its pages, as
    https://app.example.org. Without: none but its own."""
    tls_cert: str | None = None
    """A PEM file with the server's certificate and those between it and the root: all ports speak https and wss with
    it. Its files may be replaced while the server runs."""
    tls_key: str | None = None
    """A PEM file with its key, unencrypted. Default: the key is in `tls_cert`, too."""
    max_connections: int = Limits().connections
    """Connections to the three ports together. Where a new one has no place, the oldest goes that has not asked for
    anything."""
    max_connections_per_address: int = Limits().per_address
    """The same, from one address (IPv6: one /64). This machine itself is exempt; a proxy elsewhere may need more."""
    request_timeout_seconds: float = Limits().head
    """A client has this long to send the head of a request or to finish the handshake of TLS or of the WebSocket, and
    three times as long to send a body, and to take an answer."""
    allowed_outward: tuple[str, ...] = ()
    """Where a URL in a request (an agent's `llm.url`) may lead besides public addresses: host names, addresses and
    networks, each with or without `:port`; "*" = anywhere. In the environment with commas between. What these settings
    name themselves, `llm_url` say, may be private without it."""
    webhook_url: str | None = None
    """Where notices are posted of what happens to agents and sessions (docs/agents/webhooks.md)."""
    webhook_secret: str | None = None
    """Signs them, so that the receiver knows that they are this server's. Default: they are not signed."""
    webhook_events: tuple[str, ...] = ()
    """Numbers of the events that are sent: 101,102. Default: all."""
    webhook_retry_seconds: float = 0.0
    """A notice that is not taken is sent again, three times within 13 s; or longer, for so many seconds."""
    webhook_queue: int = 10_000
    """Notices that may wait for the receiver, of all agents and sessions together; more are dropped, and counted."""
    drain_seconds: float = 10.0
    """How long speech may go on when the server is asked to end (SIGTERM, Ctrl-C): sessions end what they say, agents
    their sentence. 0 = everything ends at once."""
    tracing: Literal["auto", "on", "off"] = "auto"
    """OpenTelemetry spans of utterances and turns. auto: where opentelemetry-api is installed (the extra `otel`); they
    go where the SDK of the process sends them."""
    log_level: str = "warning"
    """debug, info, warning or error. `lipwire serve` says info where nothing else is set."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _check(name, getattr(self, name))
        if self.tls_key is not None and self.tls_cert is None:
            raise InvalidArgument("tls_key needs tls_cert, the file of its certificate")
        if self.preencoded == "on" and self.record is not None:
            raise InvalidArgument(
                "preencoded = on does not go with record: a replay draws each picture anew; set preencoded to auto"
            )
        for name in ("webhook_secret", "webhook_events", "webhook_retry_seconds"):
            if self.webhook_url is None and getattr(self, name):
                raise InvalidArgument(f"{name} needs webhook_url, where notices are to be posted")
        self.make_ice_servers()
        self._check_cluster()
        if not self.keyed and self.host is not None and not is_loopback(self.host):
            raise InvalidArgument(
                f"listening on {self.host} needs an API key: set LIPWIRE_API_KEY, or listen on {LOOPBACK}"
            )

    def _check_cluster(self) -> None:
        url = self.public_ws_url
        if self.worker_count > 1 and url is not None and "{port}" not in url and "{worker}" not in url:
            raise InvalidArgument(
                "public_ws_url must have {port} or {worker} in it where there are several workers: each has a port of "
                f"its own; got {shown('public_ws_url', url)!r}"
            )
        if self.ws_port and self.ws_port + self.worker_count - 1 > 65535:
            raise InvalidArgument(f"ws_port: {self.worker_count} workers have no ports from {self.ws_port} on")
        last = self.ws_port + self.worker_count - 1
        for name in ("http_port", *(("viewer_port",) if self.viewer else ())):
            if self.ws_port < getattr(self, name) <= last and self.ws_port:
                raise InvalidArgument(
                    f"{name} {getattr(self, name)} is among the workers' WebSocket ports, {self.ws_port}..{last} "
                    f"(ws_port, and those behind it): choose another {name} or ws_port"
                )
        if not self.nats:
            for name in ("nats_creds", "nkeys_seed_file", "node", "advertise_url", "advertise_viewer_url"):
                if getattr(self, name) is not None:
                    raise InvalidArgument(f"{name} needs nats, by which machines find each other")
            return
        if self.nats_creds is not None and self.nkeys_seed_file is not None:
            raise InvalidArgument("nats_creds and nkeys_seed_file are two ways to the same; set one of them")
        if missing := [name for name in ("api_key", "session_secret") if getattr(self, name) is None]:
            raise InvalidArgument(
                f"nats needs {' and '.join(missing)}: all machines of a cluster must have the same, or they refuse "
                "each other's clients"
            )

    @property
    def worker_count(self) -> int:
        """How many workers there are to be."""
        return processors() if self.workers == "auto" else self.workers

    @property
    def fronted(self) -> bool:
        """Whether a front process answers HTTP, and workers do the rest."""
        return self.worker_count > 1 or bool(self.nats)

    @property
    def keyed(self) -> bool:
        """Whether somebody has set keys. Only without any do the pages ask for nothing."""
        return self.api_key is not None or self.api_keys_file is not None

    def make_ice_servers(self) -> IceServers:
        """The STUN and TURN servers. Raises InvalidArgument where their settings do not go together."""
        return IceServers(
            self.ice_servers,
            secret=self.turn_secret,
            username=self.turn_username,
            password=self.turn_password,
            ttl=self.turn_ttl_seconds,
        )

    @property
    def bind(self) -> str:
        """The address to listen on."""
        return self.host or ("0.0.0.0" if self.keyed else LOOPBACK)


RANGES: dict[str, tuple[float, float]] = {
    "http_port": (0, 65535),
    "ws_port": (0, 65535),
    "viewer_port": (0, 65535),
    "capacity": (0, 10**9),
    "max_sessions": (1, 1024),
    "max_viewers": (1, 1024),
    "max_viewers_per_address": (0, 1024),
    "max_pixel_rate": (0, 10**12),
    "max_rooms": (1, 1024),
    "key_sessions": (0, 1024),
    "key_pixel_rate": (0, 10**12),
    "key_agents": (0, 1024),
    "key_rooms": (0, 1024),
    "key_request_rate": (0.01, 1e6),
    "key_films_mb": (0, 1 << 24),
    "address_request_rate": (0, 1e6),
    "joins_a_minute": (0, 1e6),
    "max_late_percent": (0, 100),
    "max_busy_percent": (0, 100),
    "max_lag_ms": (0, 60_000),
    "max_agents": (1, 1024),
    "prebuffer_ms": (1, 2000),
    "prebuffer_max_ms": (0, 2000),
    "voice_end_grace_ms": (0, 60_000),
    "voice_end_timeout_ms": (0, 60_000),
    "guard_window_ms": (0, 60_000),
    "buffer_seconds": (1, 3600),
    "turn_ttl_seconds": (60, 30 * 86_400),
    "max_connections": (16, 1_000_000),
    "max_connections_per_address": (1, 1_000_000),
    "request_timeout_seconds": (0.1, 600),
    "drain_seconds": (0, 3600),
    "webhook_retry_seconds": (0, 7 * 86_400),
    "webhook_queue": (1, 1_000_000),
    "models_memory_mb": (256, 1 << 20),
    "film_mb": (1, 1 << 20),
    "films_total_mb": (1, 1 << 24),
    "record_session_mb": (1, 1 << 20),
    "record_total_mb": (1, 1 << 24),
}

OFFLINE = "offline"
"""As `stt_url` or `tts_url`: on this machine, whatever there is."""
URLS = {
    name: ("http://", "https://")
    for name in (
        *("llm_url", "stt_url", "tts_url", "public_viewer_url", "webhook_url"),
        *("advertise_url", "advertise_viewer_url"),
    )
} | {name: ("ws://", "wss://") for name in ("openai_url", "public_ws_url")}
NATS = ("nats://", "tls://", "ws://", "wss://")
MOST_WORKERS = 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of a cluster and of a machine: a part of NATS' subjects."""
HEX_32 = re.compile(r"[0-9a-fA-F]{32}")


def shown(name: str, value: Any) -> Any:
    """A setting for people and logs: whether a secret is set, and URLs without their passwords and keys."""
    if name in SECRETS:
        return "set" if value else None
    if name == "nats":
        return tuple(redact(url) for url in value)
    secret = isinstance(value, str) and any(mark in value for mark in "@?#")
    if name.endswith("_url") and secret:
        return redact(value)
    return value


def _check(name: str, value: Any) -> None:
    """One setting by itself. Raises InvalidArgument."""
    low, high = RANGES.get(name, (0, 0))
    if name in RANGES and not low <= value <= high:
        raise InvalidArgument(f"{name} must be {low}..{high}, got {value}")
    if name == "workers" and value != "auto" and not 1 <= value <= MOST_WORKERS:
        raise InvalidArgument(f"workers must be auto or 1..{MOST_WORKERS}, got {value}")
    if name in ("cluster", "node") and value is not None and not NAME.fullmatch(value):
        raise InvalidArgument(f"{name} must be 1..64 letters, digits, '_' and '-', got {value!r:.80}")
    if name == "nats":
        for url in value:
            _check_nats(url)
    if name == "session_secret" and value is not None and len(value.encode()) < 32:
        raise InvalidArgument("session_secret must have 32 bytes or more")
    if name in ("api_key", "api_keys_file") and value == "":
        raise InvalidArgument(f"{name} must not be empty")
    speech_here = name in ("stt_url", "tts_url") and value == OFFLINE
    if name in URLS and value is not None and not speech_here:
        _check_url(name, value)
    if name == "agent_brain" and value is not None and value not in get_args(BrainKind):
        raise InvalidArgument(f"agent_brain must be one of {', '.join(get_args(BrainKind))}, got {value!r}")
    if name in ("agora_app_id", "agora_app_certificate") and value is not None and not HEX_32.fullmatch(value):
        raise InvalidArgument(f"{name} must be 32 hexadecimal digits")
    if name == "allowed_outward":
        try:
            Outward(value)
        except InvalidArgument as exc:
            raise InvalidArgument(f"allowed_outward: {exc}") from exc
    if name in HEADERS and value is not None:
        try:
            check_headers(value)
        except InvalidArgument as exc:
            raise InvalidArgument(f"{name} {exc}") from exc
    if name == "rtp_ports":
        try:
            parse_ports(value)
        except InvalidArgument as exc:
            raise InvalidArgument(f"rtp_ports: {exc}") from exc
    if name in ("rtp_host", "rtp_public_host") and value is not None:
        _check_address(name, value)
    if name == "ice_servers":
        for url in value:
            check_url(url)
    if name in ("turn_secret", "webhook_secret") and value == "":
        raise InvalidArgument(f"{name} must not be empty")
    if name == "webhook_events" and (unknown := set(value) - {str(number) for number in EVENTS}):
        raise InvalidArgument(
            f"webhook_events must be some of {', '.join(map(str, EVENTS))}, got {', '.join(sorted(unknown))}"
        )
    if name == "public_hosts":
        Allowlist.of(hosts=value)
    if name == "allowed_origins":
        Allowlist.of(origins=value)
    if name == "log_level" and value.lower() not in LOG_LEVELS:
        raise InvalidArgument(f"log_level must be one of {', '.join(LOG_LEVELS)}, got {value!r}")


def _check_address(name: str, value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError as exc:
        raise InvalidArgument(f"{name} must be a numeric address, got {value!r:.60}") from exc


def _check_nats(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not url.startswith(NATS) or not host or not url.isprintable() or " " in url:
        raise InvalidArgument(f"nats: write it as nats://host:4222 or tls://host:4222, got {redact(url)!r:.200}")


def _check_url(name: str, value: str) -> None:
    schemes = URLS[name]
    if name == "public_ws_url":
        value = value.replace("{port}", "1").replace("{worker}", "0")
    if not value.startswith(schemes):
        raise InvalidArgument(f"{name} must start with {' or '.join(schemes)}, got {shown(name, value)!r}")
    try:
        parts = urlsplit(value)
        host = parts.hostname if parts.port != 0 else None  # reading the port checks it
    except ValueError:
        host = None
    # urlsplit drops line breaks; "*" would count as every name (public_hosts).
    if not host or "*" in host or not value.isprintable() or " " in value:
        raise InvalidArgument(
            f"{name} must be an address such as {schemes[-1]}avatar.example.org:8443, got {shown(name, value)!r}"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    path: str | Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Config:
    """Puts the settings together.

    Args:
        flags: what the command line says; None values count as not given.
        environment: usually os.environ.
        path: a TOML file that must exist; None = lipwire.toml in the working directory, if it is there.
        defaults: settings that differ from Config's where nobody says anything.

    Raises:
        InvalidArgument: a file cannot be read, or settings are unknown or out of range; it says which and where, all of
            them at once.
    """
    values: dict[str, Any] = dict(defaults or {})
    faults: list[str] = []
    for name, value, place, strict in _given(flags or {}, environment or {}, Path(path or FILE), path is not None):
        try:
            values[name] = _convert(name, value, place, strict)
        except InvalidArgument as exc:
            faults.append(str(exc))
    if len(faults) > 1:
        raise InvalidArgument("\n  ".join([f"{len(faults)} settings cannot be taken:", *faults]))
    if faults:
        raise InvalidArgument(faults[0])
    return Config(**values)


def _given(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path, must_exist: bool
) -> Iterator[tuple[str, Any, str, bool]]:
    """(name, value, place, whether its type must be right as it is) of all that is set, what counts most last."""
    if must_exist or file.exists():
        try:
            text = decode_text(file.read_bytes())
            found = tomllib.loads(text)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise InvalidArgument(f"cannot read {file}: {exc}") from exc
        for name, value in found.items():
            line = re.search(rf"^[ \t]*(\[[ \t]*)?[\"']?{re.escape(name)}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
            number = "" if line is None else f", line {text.count(chr(10), 0, line.start()) + 1}"
            yield name, value, f"{file}{number}", True
    for alias, name in ALIASES.items():
        if value := environment.get(alias):
            yield name, value, alias, False
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name in TYPES:
            yield name, value, variable, False
    for name, value in flags.items():
        if value is not None:
            yield name, value, f"--{name.replace('_', '-')}", True


TYPES = {field.name: field.type for field in msgspec.structs.fields(Config)}


def _convert(name: str, value: Any, place: str, strict: bool = True) -> Any:
    """Checks one setting's name, type and range; returns it converted."""
    if name not in TYPES:
        near = difflib.get_close_matches(name, TYPES, 1)
        known = f"did you mean {near[0]!r}?" if near else "lipwire doctor --all shows those that there are"
        raise InvalidArgument(f"{place}: unknown setting {name!r}; {known}")
    if TYPES[name] == tuple[str, ...] and isinstance(value, str):
        value = [part for part in re.split(r"[\s,]+", value) if part]
    if name in HEADERS and isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:  # whose words would tell some of it
            raise InvalidArgument(f"{place}: {name} must be a JSON object of header names and their values") from None
    if name == "workers" and isinstance(value, str) and value != "auto":
        if not re.fullmatch("[0-9]{1,3}", value):
            raise InvalidArgument(f"{place}: workers must be auto or 1..{MOST_WORKERS}, got {value!r:.60}")
        value = int(value)
    allowed = get_args(TYPES[name])
    if allowed and all(isinstance(one, str) for one in allowed) and value not in allowed:
        raise InvalidArgument(f"{place}: {name} must be one of {', '.join(allowed)}, got {value!r:.60}")
    try:
        converted = msgspec.convert(_whole(name, value), TYPES[name], strict=strict)
        _check(name, converted)
    except (msgspec.ValidationError, InvalidArgument) as exc:
        text = str(exc)
        raise InvalidArgument(f"{place}: {text if name in text else f'{name}: {text}'}") from exc
    return converted


def _whole(name: str, value: Any) -> Any:
    """1e9, which is a float in TOML and no int in the environment, as the whole number that it is."""
    if TYPES[name] is not int:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", value):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


_ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_env(path: str | Path = ENV_FILE) -> dict[str, str]:
    """The variables of a file of KEY=VALUE lines, which may begin with `export`; {} where there is none.

    # begins a comment, on a line of its own or after a blank. 'single quotes' keep all as it is; "double quotes" know
    \\n, \\r, \\t, \\" and \\\\. Nothing is interpolated, and no value goes over several lines.

    Raises:
        InvalidArgument: a line is none of that; it says which.
    """
    file = Path(path)
    try:
        text = decode_text(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidArgument(f"cannot read {file}: {exc}") from exc
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(line)
        value = None if match is None else _env_value(match[2])
        if match is None or value is None:
            raise InvalidArgument(f"{file}, line {number}: write it as KEY=VALUE, with quotes in pairs")
        found[match[1]] = value
    return found


def _env_value(text: str) -> str | None:
    """What stands right of the =; None = quotes that do not fit."""
    quote = text[:1]
    if quote not in ("'", '"'):
        return re.split(r"(?:^|\s+)#", text, maxsplit=1)[0].strip()
    closed = re.fullmatch(r"'([^']*)'\s*(?:#.*)?" if quote == "'" else r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?', text)
    if closed is None:
        return None
    if quote == "'":
        return closed[1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), closed[1])
