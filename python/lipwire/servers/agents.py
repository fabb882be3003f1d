"""Agents over HTTP (protocol.md C and D, and the backend of reference 001) as Litestar handlers, to mount on any port.

| route | for |
|---|---|
| POST {base}/projects/{appid}/join, .../agents/{id}/leave, .../agents/{id}/update | v1 (reference 002) and v2 |
| GET {base}/projects/{appid}/agents/{id}, .../agents | v1 and v2 |
| POST .../agents/{id}/speak, .../think, .../interrupt, GET .../history, .../turns | v2 |
| POST /start_agent, /stop_agent, /control_agent; /start, /stop | reference 003 |
| GET and POST /token | what a client joins a channel with |

{base} is /api/conversational-ai-agent/v1 or /v2, both also under /cn. Its errors are `{detail, reason}`, those of the
others `{error, details}`; the rest of the port keeps `{error, message, code}`. Checks come in this order: who asks,
JSON, fields, and then the agent.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from litestar import Response, Router, get, post, route
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..agents.describe import prompt
from ..agents.errors import (
    AgentConflict,
    AgentError,
    AgentForbidden,
    AgentLimit,
    AgentNotFound,
    AgentRateLimit,
    AgentStartFailed,
    AgentTimeout,
    AgentUnauthorized,
    InvalidAgentRequest,
)
from ..agents.manager import AgentManager, AgentRecord, RunningAgent
from ..agents.rest import wire as w
from ..agents.rest.actions import parse_think, parse_turns_query, turns_page
from ..agents.rest.places import as_sent
from ..agents.rest.reading import IGNORED
from ..channel.agora.channel import agora_token
from ..channel.room.place import made_up_user
from ..errors import InvalidArgument
from ..outward import Outward
from ..protocol import agent_bodies as b
from ..protocol.agent_actions import MAX_TURNS, ConflictReply, HistoryReply, Said, Think, TurnsReply
from ..provider.keys import OPERATOR
from ..provider.sessions import ProviderError
from .agent_gate import Gate
from .agent_gate import Project as Project
from .docs import operation
from .errors import (
    BASE,
    MAX_BODY,
    AnyRequest,
    already_running,
    on_control_exception,
    on_process_exception,
    reasons_of,
    withheld,
)
from .http import KEYED, CheckKey, check_header, owner_name, read_object, refusals
from .order import order_headers

MAX_PAGE = 100
RECENT = 2 * 3600.0
"""Seconds: whoever has ended and came before them is not in a list of v2 that names no `from_time`."""
TOKEN_SECONDS = 3600
"""How long a token of /token is good for."""


def agent_routes(
    manager: AgentManager,
    check_key: CheckKey,
    *,
    project: Project | None = None,
    outward: Outward | None = None,
    ours: Callable[[str], bool] = w.nobodys,
    wrong_token: Callable[[str], object] = lambda token: None,
) -> list[ControllerRouterHandler]:
    """Everything of this module, for `route_handlers` of an app.

    Args:
        manager: runs the agents, on the event loop that runs the app.
        check_key: judges the API key, `Provider.check_api_key` say.
        outward: where the URLs of requests may lead; None = to public addresses.
        ours: whether a URL is this server's own, whose faces agents draw themselves.
        wrong_token: hears of each token that is none, and raises ProviderError for one too many
            (`Provider.wrong_token`).
    """
    outward = outward or Outward()
    project = project or Project()
    gate = Gate(check_key, project, wrong_token)
    routers: list[ControllerRouterHandler] = [
        Router(
            path=f"{place}{BASE}/{version}",
            route_handlers=_control(manager, gate, version, outward, ours),
            exception_handlers={Exception: on_control_exception},
            request_max_body_size=MAX_BODY,
            include_in_schema=not place,
            tags=[f"agents {version}"],
        )
        for version in ("v1", "v2")
        for place in ("", "/cn")
    ]
    return [*routers, process_routes(manager, check_key), token_routes(check_key, project=project)]


# ------------------------------------------------------------------------------------------------------------------ C

_SECURITY: list[dict[str, list[str]]] = [{"Basic": []}, {"AgoraToken": []}]
_QUERY = {
    "channel": "only agents in this channel",
    "state": f"one or more of {', '.join(b.STATUSES)} or their numbers, with commas between (also: status)",
    "from_time": "Unix seconds: only those that came then or later; v2: by default 2 hours ago, and who has not ended",
    "to_time": "Unix seconds: only those that came then or earlier",
    "limit": f"1..{MAX_PAGE} a page (default 20)",
    "cursor": "meta.cursor of the page before",
}
_PAGES = {
    "page_index": "an integer from 1 on (default 1)",
    "page_size": f"an integer 1..{MAX_TURNS} (default {MAX_TURNS})",
}


def _errors(version: w.Version, *kinds: type[AgentError]) -> dict[int, ResponseSpec]:
    def answer(kind: type[AgentError]) -> ResponseSpec:
        body = ConflictReply if version == "v2" and kind is AgentConflict else b.ErrorReply
        return ResponseSpec(body, description=", ".join(reasons_of(kind, version)), generate_examples=False)

    return {w.STATUS[kind]: answer(kind) for kind in kinds}


def _control(
    manager: AgentManager, gate: Gate, version: w.Version, outward: Outward, ours: Callable[[str], bool]
) -> list[ControllerRouterHandler]:
    join_body = b.JoinV1 if version == "v1" else b.JoinV2
    properties = b.PropertiesV1 if version == "v1" else b.PropertiesV2
    asked = _errors(version, InvalidAgentRequest, AgentForbidden)
    asked |= _errors(version, AgentUnauthorized) if version == "v2" else {}
    usual = asked | _errors(version, AgentNotFound, AgentConflict)

    def seen(request: AnyRequest, appid: str, agent_id: str, *, leaving: bool = False) -> tuple[AgentRecord, bool]:
        """The agent, ended or not, and whether all of it may be told: where services are and how they failed is not for
        who holds no more than a channel's token."""
        owner, scope = gate.check(request, appid, leaving=leaving)
        record = manager.get(agent_id, owner)
        if scope is not None and record.config.channel != scope:
            raise AgentNotFound(f"there is no agent {agent_id[:80]!r}")
        return record, scope is None

    def why(record: AgentRecord, whole: bool) -> str:
        """Why an agent has ended."""
        return record.reason if whole else record.failure or record.reason

    def ended(record: AgentRecord, whole: bool) -> AgentNotFound:
        return AgentNotFound(f"agent {record.id} has ended: {why(record, whole)}")

    def running(record: AgentRecord, whole: bool) -> RunningAgent:
        """The agent, to be talked to, after whatever has been waited for. Raises AgentNotFound, AgentConflict."""
        if not record.active:
            raise ended(record, whole)
        return manager.running(record.id)

    def services(record: AgentRecord) -> b.ServicesReply | None:
        used, asked = dict(record.in_use()), record.config.asked_language
        if asked and "ears" in used:
            because = "no language is detected here; name one in asr.language"
            used["language"] = b.InUse(name=record.config.language, instead_of=asked, because=because)
        return b.ServicesReply(**used) if used else None

    def describe(record: AgentRecord, since: float | None = None, *, whole: bool = True) -> b.AgentReply:
        return b.AgentReply(
            agent_id=record.id,
            name=record.config.name,
            channel=record.config.channel,
            create_ts=int(record.created),
            start_ts=int(record.created if since is None else since),
            stop_ts=None if record.ended is None else int(record.ended),
            state=record.status if version == "v1" else None,
            status=record.status if version == "v2" else None,
            message=why(record, whole) or None,
            record=b.FilmReply(file=record.config.film) if record.config.film else None,
            services=services(record),
        )

    @post(
        "/projects/{appid:str}/join",
        status_code=200,
        operation_class=operation(join_body),
        responses=usual | _errors(version, AgentLimit, AgentStartFailed, AgentTimeout),
        security=_SECURITY,
    )
    async def join(request: AnyRequest, appid: FromPath[str]) -> b.AgentReply:
        """Start an agent in a channel; answers once it is there."""
        owner, scope = gate.check(request, appid)
        body = await read_object(request)
        config = w.parse_join(body, version, ours)
        config.owner = owner
        if scope is not None and config.channel != scope:
            raise AgentForbidden(f"the token is for channel {scope!r}")
        manager.check(config, elsewhere=scope is None)  # names are looked up for who may have an agent only
        await w.check_urls(body, version, outward.of(owner), ours, config, manager.start_timeout)
        try:
            record = await manager.start(config, elsewhere=scope is None)
        except InvalidArgument as exc:
            raise as_sent(exc, body, version) from None
        except AgentError as exc:
            raise (exc if scope is None else withheld(exc)) from exc.__cause__
        return describe(record, whole=scope is None)

    @post("/projects/{appid:str}/agents/{agent_id:str}/leave", status_code=200, responses=usual, security=_SECURITY)
    async def leave(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """End an agent; answers once it has left, or at once where it first ends what it says."""
        record, whole = seen(request, appid, agent_id, leaving=True)
        if not record.active:
            raise ended(record, whole)
        await manager.leave(record)
        return describe(record, whole=whole)

    @post(
        "/projects/{appid:str}/agents/{agent_id:str}/update",
        status_code=200,
        operation_class=operation(properties, only=w.UPDATABLE[version]),
        responses=usual,
        security=_SECURITY,
    )
    async def update(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """Change what an agent is like while it runs: all of the fields given, or none of them."""
        record, whole = seen(request, appid, agent_id)
        body = await read_object(request)
        changes = w.parse_update(body, version, record.config, whole=whole)
        running(record, whole)
        await w.check_urls(body, version, outward.of(record.config.owner), seconds=manager.start_timeout)
        try:
            running(record, whole).update(changes)
        except InvalidArgument as exc:
            raise as_sent(exc, body, version) from None
        return describe(record, whole=whole)

    @get("/projects/{appid:str}/agents/{agent_id:str}", responses=usual, security=_SECURITY, sync_to_thread=False)
    def get_one(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """The state of an agent; of one that has ended, too, and why."""
        record, whole = seen(request, appid, agent_id)
        return describe(record, whole=whole)

    @get(
        "/projects/{appid:str}/agents",
        operation_class=operation(None, _QUERY),
        responses=asked,
        security=_SECURITY,
        sync_to_thread=False,
    )
    def get_list(request: AnyRequest, appid: FromPath[str]) -> Response[b.ListReply]:
        """Agents in the order in which they came, the newest ended ones included."""
        owner, scope = gate.check(request, appid)
        filters = _filters(request, version) | {"owner": owner}
        if scope is not None:
            if filters["channel"] not in (None, scope):
                raise AgentForbidden(f"the token is for channel {scope!r}")
            filters["channel"] = scope
        page = manager.page(**filters)
        agents = [describe(record, whole=scope is None) for record in page.records]
        meta = b.ListMeta(cursor=page.cursor, total=page.total)
        reply = b.ListReply(data=b.AgentList(count=len(agents), agents=agents), meta=meta)
        return Response(reply, headers=order_headers(request, (record.number for record in page.records)))

    handlers: list[ControllerRouterHandler] = [join, leave, update, get_one, get_list]
    if version == "v1":
        return handlers

    @post(
        "/projects/{appid:str}/agents/{agent_id:str}/speak",
        status_code=200,
        operation_class=operation(b.Speak),
        responses=usual | _errors(version, AgentRateLimit),
        security=_SECURITY,
    )
    async def speak(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """Make an agent say a text, word for word."""
        record, whole = seen(request, appid, agent_id)
        said = w.parse_speak(await read_object(request))
        running(record, whole).speak(said.text, said.priority, said.interruptable)
        return describe(record, time.time(), whole=whole)

    @post(
        "/projects/{appid:str}/agents/{agent_id:str}/think",
        status_code=200,
        operation_class=operation(Think),
        responses=usual | _errors(version, AgentRateLimit),
        security=_SECURITY,
    )
    async def think(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """Put a text in as if the user had said it. Where it is ignored, that is a 200, too."""
        record, whole = seen(request, appid, agent_id)
        thought = parse_think(await read_object(request))
        running(record, whole).think(
            thought.text,
            listening=thought.on_listening_action,
            thinking=thought.on_thinking_action,
            speaking=thought.on_speaking_action,
            interruptable=thought.interruptable,
            metadata=thought.metadata,
        )
        return describe(record, time.time(), whole=whole)

    @post("/projects/{appid:str}/agents/{agent_id:str}/interrupt", status_code=200, responses=usual, security=_SECURITY)
    async def interrupt(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> b.AgentReply:
        """Make an agent stop speaking or thinking."""
        record, whole = seen(request, appid, agent_id)
        IGNORED["interrupt"].tell(await read_object(request, optional=True))
        running(record, whole).interrupt()
        return describe(record, time.time(), whole=whole)

    @get(
        "/projects/{appid:str}/agents/{agent_id:str}/history",
        responses=usual,
        security=_SECURITY,
        sync_to_thread=False,
    )
    def history(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> HistoryReply:
        """What was said, as far as the agent remembers it; of one that has ended, too."""
        r, _ = seen(request, appid, agent_id)
        contents = msgspec.convert(r.history(), list[Said])
        return HistoryReply(agent_id=r.id, start_ts=int(r.created), status=r.status, contents=contents)

    @get(
        "/projects/{appid:str}/agents/{agent_id:str}/turns",
        operation_class=operation(None, _PAGES),
        responses=usual,
        security=_SECURITY,
        sync_to_thread=False,
    )
    def turns(request: AnyRequest, appid: FromPath[str], agent_id: FromPath[str]) -> TurnsReply:
        """The turns: how each began and ended, and where its time went; of an agent that has ended, too."""
        r, whole = seen(request, appid, agent_id)
        kept, query = r.turns(), parse_turns_query(_given(request))
        page, where = turns_page(kept, query, r.id, r.config.channel, whole=whole)
        return TurnsReply(
            agent_id=r.id,
            name=r.config.name,
            channel=r.config.channel,
            start_ts=int(r.created),
            status=r.status,
            total_turn_count=kept[-1]["turn_id"] if kept else 0,
            pagination=where,
            turns=page,
        )

    return [*handlers, speak, think, interrupt, history, turns]


def _given(request: AnyRequest) -> dict[str, str]:
    """The query. A value that is empty is as if it were not there: so forms of browsers send what nobody filled in."""
    return {name: text for name, text in request.query_params.items() if text}


def _filters(request: AnyRequest, version: w.Version) -> dict[str, Any]:
    """The query of GET /agents. Raises InvalidAgentRequest."""
    query = _given(request)
    faults: list[b.Fault] = []

    def number(name: str) -> float | None:
        text = query.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            faults.append(b.Fault(name, f"must be Unix seconds, got {b.show(text)}"))
        return value

    filters: dict[str, Any] = {
        "channel": query.get("channel"),
        "since": number("from_time"),
        "until": number("to_time"),
        "cursor": query.get("cursor", ""),
        "limit": 20,
        "statuses": None,
    }
    limit = query.get("limit", "20")
    if limit.isascii() and limit.isdecimal() and len(limit) < 6 and 1 <= int(limit) <= MAX_PAGE:
        filters["limit"] = int(limit)
    else:
        faults.append(b.Fault("limit", f"must be an integer 1..{MAX_PAGE}, got {b.show(limit)}"))
    states = query.get("state") or query.get("status")
    if states:
        words = [word.strip().upper() for word in states.split(",")]
        named = {b.STATUS_NUMBERS.get(word, word) for word in words}
        if named <= {*b.STATUSES, "RECOVERING", "5"}:
            filters["statuses"] = frozenset(named)
        else:
            faults.append(b.Fault("state", f"must be one or more of {', '.join(b.STATUSES)}, got {b.show(states)}"))
    if faults:
        raise InvalidAgentRequest.because(faults)
    if version == "v2" and filters["since"] is None:
        filters["recent"] = time.time() - RECENT
    return filters


# ------------------------------------------------------------------------------------------------------------------ D

_KEY: list[dict[str, list[str]]] = [{"ApiKey": []}]
_PROCESS_ERRORS = {
    400: ResponseSpec(b.ProcessError, description="Invalid request data, with details", generate_examples=False),
    404: ResponseSpec(b.ProcessError, description="No active agent in the channel", generate_examples=False),
    **refusals(401, 403),
    **{
        w.STATUS[kind]: ResponseSpec(b.ProcessError, description=kind.code, generate_examples=False)
        for kind in (AgentConflict, AgentLimit, AgentRateLimit, AgentStartFailed, AgentTimeout)
    },
}


def process_routes(
    manager: AgentManager,
    check_key: CheckKey | None,
) -> Router:
    """Reference 003: one agent a channel. `check_key` None: nobody is asked for a key, because something else keeps
    strangers away."""

    def check(request: AnyRequest) -> str:
        return owner_name(check_header(check_key, request))

    async def start_it(request: AnyRequest) -> b.ProcessReply:
        owner = check(request)
        body = await read_object(request)
        config = w.start_agent_config(w.parse_start_agent(body))
        config.owner = owner
        if manager.in_channel(config.channel, owner) is not None:
            raise already_running(config.channel)
        try:
            await manager.start(config)
        except InvalidArgument as exc:
            raise as_sent(exc, body, "processes") from None
        return b.ProcessReply(status="Agent started!")

    async def stop_it(request: AnyRequest) -> b.ProcessReply:
        owner = check(request)
        channel = w.parse_stop_agent(await read_object(request)).channel_name
        record = manager.in_channel(channel, owner)
        if record is None:
            raise AgentNotFound(channel)
        await manager.leave(record)
        return b.ProcessReply(status="Agent process terminated", channel_name=channel)

    @post("/start_agent", status_code=200, operation_class=operation(b.StartAgent), responses=_PROCESS_ERRORS)
    async def start_agent(request: AnyRequest) -> b.ProcessReply:
        """Start an agent in a channel. It stays until it is stopped."""
        return await start_it(request)

    @post("/start", status_code=200, operation_class=operation(b.StartAgent), responses=_PROCESS_ERRORS)
    async def start(request: AnyRequest) -> b.ProcessReply:
        """The same as /start_agent."""
        return await start_it(request)

    @post("/stop_agent", status_code=200, operation_class=operation(b.StopAgent), responses=_PROCESS_ERRORS)
    async def stop_agent(request: AnyRequest) -> b.ProcessReply:
        """Stop the agent in a channel."""
        return await stop_it(request)

    @post("/stop", status_code=200, operation_class=operation(b.StopAgent), responses=_PROCESS_ERRORS)
    async def stop(request: AnyRequest) -> b.ProcessReply:
        """The same as /stop_agent."""
        return await stop_it(request)

    @post("/control_agent", status_code=200, operation_class=operation(b.ControlAgent), responses=_PROCESS_ERRORS)
    async def control_agent(request: AnyRequest) -> b.ProcessReply:
        """Steer the agent in a channel."""
        owner = check(request)
        asked = w.parse_control(await read_object(request))
        agent = manager.running_in(asked.channel_name, owner)
        match asked.command:
            case "update_instruction":
                agent.update(prompt(asked.new_instruction))
            case "update_turn_detection":
                agent.update({"turn_detection.enabled": asked.new_turn_detection})
            case "send_user_text":
                agent.tell(asked.input_text, "user")
            case "send_system_text":
                agent.tell(asked.input_text, "system")
            case "create_response":
                agent.respond(asked.new_instruction)
            case "commit_audio_buffer":
                agent.commit()
        return b.ProcessReply(status=f"Command {asked.command} sent to agent.")

    return Router(
        path="/",
        route_handlers=[start_agent, stop_agent, control_agent, start, stop],
        exception_handlers={Exception: on_process_exception},
        request_max_body_size=MAX_BODY,
        security=_KEY,
        tags=["agent processes"],
    )


# ----------------------------------------------------------------------------------------------------------- backend


def make_pass(project: Project, channel: str = "", uid: int = 0) -> b.PassReply:
    """What a client joins a channel with: where the project has a certificate a token for the next hour, else, for an
    embedded room, none. Channel and user id are made up where they are not given."""
    channel = channel or f"room-{secrets.token_hex(6)}"
    uid = uid or made_up_user()
    token = ""
    if project.app_id and project.certificate:
        token = agora_token(project.app_id, project.certificate, channel, uid, expire=TOKEN_SECONDS)
    return b.PassReply(app_id=project.app_id if token else "", channel=channel, uid=uid, token=token)


CheckChannel = Callable[[AnyRequest, str], str]
"""Whether a request may have a token for a channel, and the one name that it has there ("" = free to choose); raises
ProviderError."""


def uid_of(name: str) -> int:
    """The user id, 1..2^32-1, of a member whose name is given: the name, where it is a number as such ids are written,
    else always the same one in the range of `made_up_user`, so that a token can be renewed."""
    if name.isascii() and name.isdecimal() and len(name) <= 10 and 1 <= int(name) < 2**32 and name[0] != "0":
        return int(name)
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % (2**31 - 1) + 1


def token_routes(
    check_key: CheckKey | None, *, project: Project | None = None, check_channel: CheckChannel | None = None
) -> Router:
    """/token of a backend for client apps (reference 001). `check_key` None: whoever reaches it gets a token, unless
    `check_channel` refuses. The project is the operator's: another owner's key makes no tokens of it."""
    owner = project or Project()

    @route(
        "/token",
        http_method=["GET", "POST"],
        status_code=200,
        operation_class=operation(b.TokenRequest, {"channel": b.allowed(b.Channel), "uid": b.allowed(b.Uid)}),
        responses={400: _PROCESS_ERRORS[400]} | refusals(401, 403, codes=KEYED | {"NOT_ALLOWED"}),
    )
    async def token(request: AnyRequest) -> b.PassReply:
        """A channel, a user id and a token to join with; by query or body."""
        asking = owner_name(check_header(check_key, request))
        if asking != OPERATOR and owner.certificate:
            raise ProviderError("NOT_ALLOWED", "Tokens of this server's Agora project are its operator's to give")
        if request.method == "GET":
            asked: dict[str, Any] = dict(_given(request))
            if (uid := asked.get("uid", "")).isascii() and uid.isdecimal():
                asked["uid"] = int(uid[:20])
        else:
            asked = await read_object(request, optional=True)
        wanted = w.parse_token_request(asked)
        name = "" if check_channel is None else check_channel(request, wanted.channel)
        uid = uid_of(name) if name else wanted.uid
        if wanted.uid not in (0, uid):
            raise ProviderError("NOT_ALLOWED", f"Your token is for {name!r:.80}, who is the user {uid} of this channel")
        return make_pass(owner, wanted.channel, uid)

    return Router(
        path="/",
        route_handlers=[token],
        exception_handlers={Exception: on_process_exception},
        security=_KEY,
        tags=["backend"],
    )


# ----------------------------------------------------------------------------------------------------------- metrics


class AgentCollector(Collector):
    """Reads the manager when Prometheus asks."""

    def __init__(self, manager: AgentManager) -> None:
        self._manager = manager

    def collect(self) -> Iterable[Metric]:
        manager = self._manager
        yield GaugeMetricFamily("lipwire_agents", "Agents that have not ended", len(manager.active))
        yield GaugeMetricFamily("lipwire_agents_limit", "Agents this process takes", manager.limit)
        yield CounterMetricFamily("lipwire_agents_started", "Agents asked for and accepted", manager.started_total)
        yield CounterMetricFamily("lipwire_agents_failed", "Agents that did not start, or broke", manager.failed_total)
