"""What a server's settings mean for its agents: which channel and brain each gets, and what is missing for that."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from ..agents.agent import Agent
from ..agents.brains import make_brain
from ..agents.brains.base import Brain, Services
from ..agents.brains.guide import greeting_in
from ..agents.checks import check_mcp, check_realtime, check_style, check_tools
from ..agents.config import AgentConfig, BrainKind
from ..agents.errors import AgentStartFailed
from ..agents.events import AgentEvent
from ..agents.filler import check_filler
from ..agents.openai_models import REALTIME, SPEECH, TRANSCRIPTION
from ..agents.options import AvatarProvider
from ..agents.skip_patterns import check_skip_patterns
from ..agents.speech.offline_stt import SPHINX, what_hears
from ..agents.speech.offline_stt import told as ears_told
from ..agents.turn_taking import TELLS_TURNS, check_turn_taking
from ..channel.agora.channel import Agora, AgoraOptions, agora_token
from ..channel.agora.presence import available, lacking
from ..channel.agora.wire import check_encryption
from ..channel.base import Channel
from ..errors import InvalidArgument, LipwireError
from ..models.voices.choose import speaks_here
from ..models.voices.names import check_no_path
from ..motion.sets import check_sets
from ..outward import Outward, redact, site
from ..protocol.messages import Egress, StartRequest
from ..provider.keys import OPERATOR
from ..publish.film_folder import NO_FILMS, FilmFolder
from ..publish.live_film import LiveFilm
from ..publish.motion import MotionFigures
from ..session.preencoded import of_server
from .config import OFFLINE, Config
from .local_llm import at_ourselves

if TYPE_CHECKING:
    from ..agents.face import Face
    from ..channel.room.room import Rooms

OPENAI = "https://api.openai.com/"


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _hears(config: Config) -> bool:
    """Whether something on this machine hears English at least."""
    try:
        what_hears("en", config.hearing_model or "")
    except LipwireError:
        return False
    return True


def is_openai(url: str) -> bool:
    """Whether a service is OpenAI's own."""
    return url.startswith(OPENAI)


def _speech(config: Config, *, at_openai: bool) -> tuple[str | None, str | None]:
    """The URLs of speech to text and text to speech; None = on this machine."""
    here = f"{OPENAI}v1/audio/" if at_openai else None
    asked = (config.stt_url, here and f"{here}transcriptions"), (config.tts_url, here and f"{here}speech")
    stt, tts = (default if url is None else None if url == OFFLINE else url for url, default in asked)
    return stt, tts


def openai_models(config: Config) -> list[tuple[str, str]]:
    """(setting, model) of the models of OpenAI's that agents of a server use, by what is set or by default."""
    c = config
    if not c.openai_api_key:
        return []
    stt, tts = _speech(c, at_openai=is_openai(c.llm_url))
    used = [("realtime_model", c.realtime_model or REALTIME)] if c.openai_url is None else []
    for setting, url, model in (
        ("llm_model", c.llm_url, c.llm_model),
        ("stt_model", stt, c.stt_model or TRANSCRIPTION),
        ("tts_model", tts, c.tts_model or SPEECH),
    ):
        if url is not None and is_openai(url):
            used.append((setting, model))
    return used


def in_agora(config: Config) -> bool:
    """Whether agents join Agora's channels; else rooms of this server."""
    return config.agora_app_id is not None and available()


def goes_to_agora(config: Config, agent: AgentConfig) -> bool:
    """Whether it joins a channel of Agora's, which is the same for every owner; else a room of its owner's."""
    return in_agora(config) and agent.transport != "room"


class AgentSetup:
    """Channels and brains for the agents of one server.

    Args:
        config: the server's settings.
        rooms_of: the rooms of an owner; None = there are none, and it can only tell what is missing.
        avatar: from the avatar id that a request names to the name or path of an avatar that is there; raises
            InvalidArgument for an unknown one. An id off the network is never taken for a path.
        preencodes: as of `Service`.
        films: where those go that are recorded; None = nowhere.
        motion_figures: of all motion.
    """

    def __init__(
        self,
        config: Config,
        rooms_of: Callable[[str], Rooms] | None = None,
        avatar: Callable[[str], str] = str,
        *,
        preencodes: bool = False,
        films: FilmFolder | None = None,
        motion_figures: MotionFigures | None = None,
    ) -> None:
        self.config = config
        self.motion_figures = motion_figures
        self._preencodes = preencodes
        self.films = films
        self.outward = Outward(config.allowed_outward, trusted=[config.llm_url])
        """Where the URLs of requests may lead."""
        self._avatar = avatar
        self._rooms_of = rooms_of

    @property
    def in_agora(self) -> bool:
        """Whether agents join Agora's channels; else rooms of this server."""
        return in_agora(self.config)

    def goes_to_agora(self, agent: AgentConfig) -> bool:
        """Whether it joins a channel of Agora's, which is the same for every owner; else a room of its owner's."""
        return goes_to_agora(self.config, agent)

    def ours(self, url: str) -> bool:
        """Whether it leads to this server: its host is one of those that the settings name it by (`public_hosts`, the
        hosts of `public_ws_url` and `public_viewer_url`, `host` and this machine's own), at its HTTP port or where
        HTTP is usual."""
        c = self.config
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return False
        public = {name.lower() for name in c.public_hosts}
        public |= {urlsplit(named).hostname or "" for named in (c.public_ws_url, c.public_viewer_url) if named}
        if host in public - {""}:
            return port in (None, 80, 443, c.http_port)
        return host in ("localhost", "127.0.0.1", "::1", c.host) and port == c.http_port

    def prepare(self, agent: AgentConfig) -> None:
        """Completes what a request asked for with what is the server's to say.

        Raises:
            InvalidArgument: an unknown avatar, a voice by a path, a channel of Agora's where the server is not set up
            for them, or anything else that this server has not, that its brain cannot do, or that cannot be called; it
            says which, and what to do.
        """
        c = self.config
        if agent.transport == "agora" and not self.in_agora:
            raise InvalidArgument(
                "this server is not set up for Agora's channels (lipwire doctor says what is missing)"
            )
        if agent.encryption is not None:
            if not self.goes_to_agora(agent):
                raise InvalidArgument(
                    "rtc.encryption_key: this agent joins a room of this server, which is always encrypted, with keys "
                    "that are made for each connection (DTLS-SRTP); leave it out"
                )
            check_encryption(agent.encryption)
        if agent.provider is not None:
            if not self.goes_to_agora(agent):
                raise InvalidArgument(
                    "avatar.params.api_base_url: other avatar providers join Agora's channels, and this agent joins a "
                    "room of this server; leave it out, and name a face of this server by avatar.params.avatar_id"
                )
            self._start_of(agent, agent.provider)
        if agent.record is not None and self.films is None:
            raise InvalidArgument(NO_FILMS)
        check_no_path(agent.voice)
        agent.egress = agent.egress or c.egress
        if not c.feelings and agent.feelings is None:
            agent.feelings = False
        if agent.egress == "video" and agent.says_motion:
            text = "avatar.params.motion: this server sends video (egress), unless a request says motion or both"
            raise InvalidArgument(f"{text}; add avatar.egress")
        check_film(agent.egress, filmed=agent.record is not None)
        if c.agent_brain is not None:
            if agent.realtime is not None and c.agent_brain != "realtime":
                raise InvalidArgument(f"mllm: every agent of this server has the brain {c.agent_brain} (agent_brain)")
            agent.brain = c.agent_brain
        check_turn_taking(agent)
        if agent.avatar is not None:
            try:
                agent.avatar = self._avatar(agent.avatar)
            except InvalidArgument as exc:
                raise InvalidArgument(f"avatar.params.avatar_id: {exc}") from exc
        if not agent.llm.url:  # our key goes to our service, never to one that a caller named
            agent.llm.url = c.llm_url
            if not agent.llm.api_key and c.openai_api_key:
                agent.llm.api_key, agent.llm.server_key = c.openai_api_key, True
            self._check_own_llm(agent)
            agent.llm.model = agent.llm.model or c.llm_model
            agent.llm.style, agent.llm.custom = "openai", False  # which the server's own is
        if agent.brain == "cascade":
            check_style(agent.llm, agent.tools)
        check_tools(agent.tools, agent.llm.template_variables)
        check_mcp(agent.llm.mcp_servers)
        if agent.realtime is not None:
            check_realtime(agent.realtime)
            theirs = agent.realtime.url or agent.realtime.api_key
            if agent.brain == "realtime" and not theirs and self.missing()["realtime"]:
                text = "mllm.api_key: this server has no realtime model of its own; say a key here"
                raise InvalidArgument(f"{text}, or have its operator set OPENAI_API_KEY or openai_url")
        check_skip_patterns(agent)
        check_filler(agent)
        if agent.brain == "guide" and agent.llm.greeting_message is None:
            agent.llm.greeting_message = greeting_in(agent.language)
        services = self.services(agent)
        for name, headers, setting, asked in (
            ("asr.headers", agent.stt_headers, "stt_url", agent.asr or services.stt_url),
            ("tts.headers", agent.tts_headers, "tts_url", agent.tts or services.tts_url),
        ):
            if headers and agent.brain not in ("cascade", "guide"):
                raise InvalidArgument(f"{name}: an agent with the brain {agent.brain} asks no such service")
            if headers and asked is None:
                raise InvalidArgument(f"{name}: this agent asks no such service; its operator can set {setting}")
        if agent.asr_keywords:
            self._check_expected(agent, services)
        _check_vendors(agent)

    def _start_of(self, agent: AgentConfig, provider: AvatarProvider) -> StartRequest:
        """What a provider is asked for an agent's face, whose token is made as the agent's own is. Raises
        InvalidArgument."""
        from ..agents.face import start_request  # which needs httpx, as agents do and the rest does not
        from ..protocol.tokens import MAX_EXPIRE  # which needs PyJWT

        assert self.config.agora_app_id is not None
        uid, certificate = provider.agora_uid, self._certificate(agent)
        if uid == agent.uid:
            raise InvalidArgument("avatar.params.agora_uid: must be another than the agent's own agent_rtc_uid")
        start = start_request(
            provider,
            self.config.agora_app_id,
            agent.channel,
            token=provider.agora_token,
            string_uid=agent.string_uid,
        )
        if not provider.agora_token and certificate:
            member = uid if agent.string_uid else int(uid)
            start.agora_settings.token = agora_token(
                self.config.agora_app_id, certificate, agent.channel, member, expire=MAX_EXPIRE
            )  # the protocol has no message that renews it
        return start

    def _certificate(self, agent: AgentConfig) -> str | None:
        """With which tokens are made for an agent: it is the operator's, and so must the agent be."""
        return self.config.agora_app_certificate if agent.owner == OPERATOR else None

    def face(self, agent: AgentConfig) -> Face | None:
        """Somebody else's face, where it wears one. Raises InvalidArgument."""
        if agent.provider is None:
            return None
        from ..agents.face import Face

        return Face(agent.provider, self._start_of(agent, agent.provider), self.outward.of(agent.owner))

    @staticmethod
    def _check_expected(agent: AgentConfig, services: Services) -> None:
        """Whether what hears can be told which words to expect."""
        if agent.brain not in TELLS_TURNS:
            raise InvalidArgument(f"asr.keywords: by the brain {agent.brain} no ears of this server hear; leave it out")
        if agent.asr is not None or services.stt_url is not None:
            return
        try:
            hears, _ = what_hears(agent.language, services.hearing_model)
        except LipwireError:
            return  # making its brain says so
        if hears == SPHINX:
            text = "on this server pocketsphinx hears, which cannot be told; leave it out, or have its operator"
            raise InvalidArgument(f"asr.keywords: {text} pip install 'lipwire[offline]'")

    def _check_own_llm(self, agent: AgentConfig) -> None:
        """Whether the server's own LLM, which was not named, can be asked."""
        if agent.brain == "cascade" and is_openai(agent.llm.url) and not agent.llm.api_key:
            text = "llm.url: this server has no LLM of its own; name one here, with llm.api_key"
            raise InvalidArgument(f"{text}, or have its operator set OPENAI_API_KEY or llm_url")

    def make(self, agent: AgentConfig, on_event: Callable[[AgentEvent], None]) -> Agent:
        """For `AgentManager`: the agent, on the brain and in the channel that its config names; nothing is open yet.

        Raises:
            LipwireError: see `brain` and `channel`.
        """
        brain, channel = self.brain(agent), self.channel(agent)
        taken = agent.avatar is not None and channel.takes_units
        preencoded = of_server(self.config.preencoded, agent.pixel_rate, taken)
        film = self.film(agent)
        try:
            outward = self.outward.of(agent.owner)
            made = Agent(
                agent,
                channel,
                brain,
                on_event=on_event,
                preencoded=preencoded,
                film=film,
                outward=outward,
                face=self.face(agent),
            )
        except BaseException:
            if film is not None and self.films is not None:
                self.films.forget(film)
            raise
        made.session.begins_atlas = self._preencodes
        return made

    def film(self, agent: AgentConfig) -> LiveFilm | None:
        """What records it, where that was asked for; `agent.film` says where. Raises InvalidArgument, NoCapacity."""
        if agent.record is None or self.films is None:
            return LiveFilm(agent.film) if agent.film else None
        film = self.films.open(agent.owner, agent.record or None, f"agent-{secrets.token_hex(4)}")
        agent.film = self.films.place(film)
        return film

    def channel(self, agent: AgentConfig) -> Channel:
        """An Agora channel where that is set up, else a room of this server, unless `transport` says which.

        Raises:
            InvalidArgument: a bad name or user id. AgentStartFailed: there are no rooms.
        """
        if self.goes_to_agora(agent):
            return Agora(self.agora_options(agent), motion_figures=self.motion_figures)
        if self._rooms_of is None:
            raise AgentStartFailed("this server has no rooms")
        sets, egress = check_sets(agent.motion_sets), agent.egress or "both"
        return self._rooms_of(agent.owner).channel(agent.channel, agent.uid, egress=egress, motion_sets=sets)

    def agora_options(self, agent: AgentConfig) -> AgoraOptions:
        """How an agent joins an Agora channel. With a certificate, which is the operator's, its token is made where an
        agent of the operator's brought none."""
        c = self.config
        certificate = self._certificate(agent)
        assert c.agora_app_id is not None
        uid: int | str = agent.uid if agent.string_uid else int(agent.uid)
        token = agent.token
        if not token and certificate:
            token = agora_token(c.agora_app_id, certificate, agent.channel, uid)
        return AgoraOptions(
            app_id=c.agora_app_id,
            certificate=certificate,
            token=token,
            channel=agent.channel,
            uid=agent.uid,
            string_uid=agent.string_uid,
            rtc_codec=agent.rtc_codec,
            audio_scenario=agent.audio_scenario,
            receive=True,
            video=agent.avatar is not None,
            egress=agora_egress(agent.egress, motion=agent.says_motion),
            motion_carrier=agent.motion_carrier or "data",
            motion_sets=check_sets(agent.motion_sets),
            encryption=agent.encryption,
        )

    def brain(self, agent: AgentConfig) -> Brain:
        """The brain that it thinks with. Raises AgentStartFailed or another LipwireError where that cannot be had."""
        theirs = agent.realtime is not None and bool(agent.realtime.url or agent.realtime.api_key)
        if agent.brain == "realtime" and not theirs and (missing := self.missing()["realtime"]):
            raise AgentStartFailed(f"the brain realtime needs {', '.join(missing)}, which this server has not")
        return make_brain(agent, self.services(agent))

    def services(self, agent: AgentConfig) -> Services:
        """Where a brain finds its services. An agent that thinks at OpenAI with our key hears and speaks there as well,
        unless the settings say otherwise: what is said goes there anyway."""
        c = self.config
        ours = bool(c.openai_api_key) and agent.llm.api_key == c.openai_api_key and is_openai(agent.llm.url)
        at_openai = ours and agent.brain != "guide"  # which asks nobody anything
        stt, tts = _speech(c, at_openai=at_openai)
        return Services(
            llm_url=c.llm_url,
            llm_headers=c.llm_headers or {},
            stt_headers=(stt and c.stt_headers) or {},
            tts_headers=(tts and c.tts_headers) or {},
            stt_url=stt,
            stt_model=c.stt_model,
            tts_url=tts,
            tts_model=c.tts_model,
            hearing_model=c.hearing_model or "",
            voices=c.voices,
            end_of_turn=c.end_of_turn,
            openai_api_key=c.openai_api_key,
            openai_url=c.openai_url,
            realtime_model=c.realtime_model,
            outward=self.outward.of(agent.owner),
        )

    def ears(self, agent: AgentConfig) -> str | None:
        """What hears an agent's users, for people; None = its brain needs no words, or hears by itself. Raises
        LipwireError: nothing does."""
        if agent.brain not in ("cascade", "guide"):
            return None
        services = self.services(agent)
        if agent.asr is not None:
            return agent.asr.name
        return site(services.stt_url) if services.stt_url else ears_told(agent.language, services.hearing_model)

    def speech_url(self, brain: BrainKind = "cascade") -> str | None:
        """Where an agent of the server's own speaks that thinks by cascade, or by the guide; None = on this machine."""
        c = self.config
        return _speech(c, at_openai=brain == "cascade" and bool(c.openai_api_key) and is_openai(c.llm_url))[1]

    def missing(self, llm_key: str | None = None) -> dict[str, list[str]]:
        """What each brain, and Agora's channels, still need; nothing = ready. `llm_key`: of cascade's chat service."""
        c = self.config
        key = [] if c.openai_api_key else ["OPENAI_API_KEY"]
        voice = [] if speaks_here() else ["a voice (pip install 'lipwire[demo]')"]
        needs: dict[str, list[str]] = {brain: [] for brain in get_args(BrainKind)}
        if c.openai_url is None:
            needs["realtime"] += key
        if is_openai(c.llm_url) and not llm_key:
            needs["cascade"] += [f"{name} (or an llm_url of your own)" for name in key]
        if (port := at_ourselves(c)) is not None:
            needs["cascade"].append(f"another llm_url: {redact(c.llm_url)} leads to this server's own {port}")
        for brain, at_openai in (("cascade", bool(c.openai_api_key) and is_openai(c.llm_url)), ("guide", False)):
            stt, tts = _speech(c, at_openai=at_openai)
            modules = ["httpx", "sentencex"] + (["pocketsphinx"] if stt is None and not _hears(c) else [])
            needs[brain] += [f"{name} (pip install 'lipwire[agents]')" for name in modules if not _installed(name)]
            if tts is None:
                needs[brain] += voice
        needs["script"] += voice
        needs["agora"] = [
            *([] if c.agora_app_id else ["AGORA_APP_ID"]),
            *([] if c.agora_app_certificate else ["AGORA_APP_CERTIFICATE (or tokens from elsewhere)"]),
            *([] if (sdk := lacking()) is None else [sdk]),
        ]
        return needs


def _check_vendors(agent: AgentConfig) -> None:
    """Raises InvalidArgument: a vendor that it brings along cannot be called. One that its brain has no use for, which
    is the operator's choice, is not looked at."""
    if agent.tts is None and agent.asr is None:
        return
    from ..agents.speech.vendors.choose import check_vendor

    chained = agent.brain in ("cascade", "guide")
    if agent.tts is not None and (chained or agent.brain == "realtime"):
        check_vendor("tts", agent.tts, agent.language)
    if agent.asr is not None and chained:
        check_vendor("asr", agent.asr, agent.language)


def agora_egress(egress: Egress | None, *, motion: bool) -> Egress:
    """What is sent into an Agora channel, where nobody asks: by default pictures, and motion where a request says how.

    Args:
        egress: of the request, or the setting. motion: whether the request has `motion`.
    """
    return egress or ("both" if motion else "video")


def check_film(egress: Egress | None, *, filmed: bool) -> None:
    """Raises InvalidArgument: there is to be a film of a face without pictures."""
    if egress == "motion" and filmed:
        raise InvalidArgument("record: a film has pictures, and with egress 'motion' none are made")


def check_brain(name: str) -> BrainKind:
    """A brain's name. Raises InvalidArgument for another."""
    for kind in get_args(BrainKind):
        if name == kind:
            found: BrainKind = kind
            return found
    raise InvalidArgument(f"brain must be one of {', '.join(get_args(BrainKind))}, got {name!r}")
