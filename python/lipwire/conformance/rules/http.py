"""HTTP: /session/start and /session/stop (docs/protocol.md A)."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any
from urllib.parse import urlsplit

from ..client import Client, Reply, Session
from ..rule import Registry
from ..verdict import Failed, Skipped
from .cases import Cases

rules = Registry()
rule = rules.rule

A = "protocol A; Agora's generic avatar, connection set-up"
TODAY = "Agora's documentation of generic avatars, November 2026"
BAD_JSON = {
    "no JSON": b"{",
    "a list": b"[]",
    "a string": b'"start"',
    "nothing": b"",
    "bad UTF-8": b'{"avatar_id": "\xff"}',
}
FAR_TOO_LARGE = 2 << 20


@rule(
    "http.start.ok",
    "A complete request starts a session",
    "must",
    source=A,
    why="Without the three members the engine cannot connect, and the user sees no avatar.",
    does="posts a complete body to /session/start with the right x-api-key",
    expects="200 and a JSON object with session_id, websocket_address (ws:// or wss://) and session_token, all strings",
    fix="Answer with exactly these names; websocket_address must be an address that the client can reach.",
)
async def start_ok(client: Client) -> None:
    reply = (await client.try_start()).expect(200)
    body = reply.body or {}
    for name in ("session_id", "websocket_address", "session_token"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise Failed(f"{name} is missing or no string: {reply}")
    if urlsplit(body["websocket_address"]).scheme not in ("ws", "wss"):
        raise Failed(f"websocket_address is {body['websocket_address']!r}")


@rule(
    "http.start.identity",
    "session_id is a UUID, session_token a JWT, and both differ from session to session",
    "should",
    source=A,
    why="Clients take both as they are, but an id that can be guessed lets a stranger stop other people's sessions.",
    does="starts two sessions",
    expects="ids that are UUIDs, tokens of three base64url parts with a time of expiry (exp), nothing twice",
    fix="Make the id with a random UUID and sign a JWT that names it and expires.",
)
async def start_identity(client: Client) -> None:
    one, other = await client.start(), await client.start()
    if one.id == other.id or one.token == other.token:
        raise Failed("two sessions have the same session_id or session_token")
    try:
        uuid.UUID(one.id)
    except ValueError:
        raise Failed(f"session_id {one.id!r} is no UUID") from None
    claims = jwt_part(one.token, 1)
    if claims is None:
        raise Failed("session_token is no JWT: three parts of base64url with dots between them were expected")
    if not isinstance(claims.get("exp"), int | float):
        raise Failed(f"the token's claims are {sorted(claims)}: exp is missing, so that it never expires")


def jwt_part(token: str, index: int) -> dict[str, Any] | None:
    """Header (0) or claims (1) of a JWT, unverified; None where the token is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(parts[index] + "=" * (-len(parts[index]) % 4)))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@rule(
    "http.start.idle-default",
    "activity_idle_timeout may be left out",
    "must",
    source=A,
    why="It is optional, and the engine leaves it out where nobody configured it.",
    does="posts a complete body without activity_idle_timeout",
    expects="200",
    fix="Take 120 seconds where it is missing.",
)
async def start_idle_default(client: Client) -> None:
    body = client.body()
    del body["activity_idle_timeout"]
    (await client.try_start(body)).expect(200)


@rule(
    "http.start.unknown-keys",
    "Unknown keys are ignored",
    "must",
    source=A + "; " + TODAY,
    why="The engine passes additional parameters through, and newer versions send more of them.",
    does="posts a complete body with more keys, at the top and in agora_settings",
    expects="200",
    fix="Do not validate against a closed list of keys.",
)
async def start_unknown_keys(client: Client) -> None:
    body = client.body(x_new_option={"deep": [1, None]}, another=7)
    body["agora_settings"] = {**body["agora_settings"], "geofence": "GLOBAL"}
    (await client.try_start(body)).expect(200)


@rule(
    "http.start.no-app-token",
    "A project without a certificate has no token: null, absent and the empty string mean the same",
    "should",
    source=TODAY,
    why="agora_token is nullable in the engine's configuration. To refuse it costs these projects every session.",
    does='posts agora_settings with token "", with token null, and without token',
    expects="200 each time",
    fix="Treat a missing token as an empty one and join with the app id alone.",
)
async def start_no_app_token(client: Client) -> None:
    cases = Cases()
    for case, changes in (('token ""', {"token": ""}), ("token null", {"token": None}), ("no token", {})):
        body = client.body()
        settings = {name: value for name, value in body["agora_settings"].items() if name != "token"}
        cases.add(case, (await client.try_start(body | {"agora_settings": settings | changes})).problem(200))
    cases.judge()


@rule(
    "http.start.egress",
    "What is granted of egress is what was asked for",
    "should",
    source="protocol A and F; an addition of Lipwire's",
    why="A client that draws the face itself shows nothing where it is sent video, and the other way round.",
    does="posts egress motion and egress video, each in a session of its own",
    expects="200 and a `granted` whose egress is that, or 400 where it is not sent here; nothing of it is known to a "
    "provider that leaves `granted` out",
    fix="Grant what is really sent, and refuse with 400 what cannot be.",
)
async def start_egress(client: Client) -> None:
    cases, known = Cases(), False
    for egress in ("motion", "video"):
        reply = await client.try_start(client.body(egress=egress))
        granted = (reply.body or {}).get("granted")
        if reply.status == 400:
            known = True
        elif (problem := reply.problem(200)) is not None or not isinstance(granted, dict):
            cases.add(egress, problem)
        else:
            known = True
            said = granted.get("egress")
            cases.add(egress, None if said == egress else f"granted.egress is {said!r}")
    cases.judge()
    if not known:
        raise Skipped("this provider knows no egress")


@rule(
    "http.start.header-case",
    "The names of HTTP headers have no case",
    "must",
    source="RFC 9110, section 5.1",
    why="Clients and proxies write x-api-key, X-API-Key or X-Api-Key.",
    does="posts a complete body with the header X-API-KEY",
    expects="200",
    fix="Look headers up without regard to case.",
)
async def start_header_case(client: Client) -> None:
    (await client.try_start(key=None, headers={"X-API-KEY": client.target.api_key})).expect(200)


@rule(
    "http.start.content-type",
    "A content type with a parameter is JSON, too",
    "must",
    source="RFC 9110, section 8.3",
    why="Several HTTP libraries add the character set.",
    does="posts a complete body as application/json; charset=utf-8",
    expects="200",
    fix="Compare the media type without its parameters.",
)
async def start_content_type(client: Client) -> None:
    (await client.try_start(headers={"content-type": "application/json; charset=utf-8"})).expect(200)


@rule(
    "http.start.missing-key",
    "Without an API key: 403",
    "must",
    source=A,
    why="The status tells an operator whether the key is wrong or was not sent at all.",
    does="posts a complete body without x-api-key",
    expects="403, code MISSING_API_KEY",
    fix="Check the header first. Absent is 403, wrong is 401.",
)
async def start_missing_key(client: Client) -> None:
    (await client.call("POST", "/session/start", client.body(), key=None)).expect(403, "MISSING_API_KEY")


@rule(
    "http.start.wrong-key",
    "With a wrong API key: 401",
    "must",
    source=A,
    why="Whoever takes any key gives avatars away.",
    does="posts a complete body with a wrong x-api-key",
    expects="401, code INVALID_API_KEY",
    fix="Compare the whole key, in constant time.",
)
async def start_wrong_key(client: Client) -> None:
    (await client.call("POST", "/session/start", client.body(), key="conformance-wrong")).expect(401, "INVALID_API_KEY")


@rule(
    "http.start.missing-field",
    "A missing field is a 400 that names it",
    "must",
    source=A,
    why="It is how whoever configures the engine finds out what he forgot.",
    does="posts bodies without avatar_id, without agora_settings, and without one of app_id, channel, uid",
    expects="400, code VALIDATION_ERROR, with the field's name in the message",
    fix="Say `Missing required field: avatar_id`.",
)
async def start_missing_field(client: Client) -> None:
    cases = Cases()
    for name in ("avatar_id", "agora_settings"):
        reply = await _start_without(client, name)
        cases.add(f"without {name}", reply.problem(400, "VALIDATION_ERROR", [name]))
    for name in ("app_id", "channel", "uid"):
        reply = await _start_without(client, "agora_settings", name)
        cases.add(f"without agora_settings.{name}", reply.problem(400, "VALIDATION_ERROR", [name]))
    cases.judge()


@rule(
    "http.start.missing-defaults",
    "What the engine's configuration does not have is given a default, or refused by its name",
    "must",
    source=A + "; " + TODAY,
    why="quality, version and video_encoding are required by the protocol, yet in no configuration of the engine.",
    does="posts bodies without quality, without version, without video_encoding, without enable_string_uid",
    expects="200, or 400 with code VALIDATION_ERROR and the field's name in the message",
    fix="Take high, v1, H264 and false, or say which field is missing. Never a 5xx, never another field's name.",
)
async def start_missing_defaults(client: Client) -> None:
    cases = Cases()
    for path in (("quality",), ("version",), ("video_encoding",), ("agora_settings", "enable_string_uid")):
        reply = await _start_without(client, *path)
        if reply.status != 200:
            cases.add(f"without {path[-1]}", reply.problem(400, "VALIDATION_ERROR", [path[-1]]))
    cases.judge()


async def _start_without(client: Client, name: str, nested: str | None = None) -> Reply:
    body = client.body()
    if nested is None:
        del body[name]
    else:
        body[name] = {key: value for key, value in body[name].items() if key != nested}
    return await client.try_start(body)


@rule(
    "http.start.missing-fields",
    "Several missing fields are named together",
    "should",
    source=A,
    why="Else a configuration with three gaps takes three attempts.",
    does="posts a body with neither avatar_id nor agora_settings",
    expects="400, and a message that names both",
    fix="Collect what is missing before you answer: `Missing required field(s): avatar_id, agora_settings`.",
)
async def start_missing_fields(client: Client) -> None:
    body = client.body()
    del body["avatar_id"], body["agora_settings"]
    reply = await client.call("POST", "/session/start", body)
    reply.expect(400, "VALIDATION_ERROR", ["avatar_id", "agora_settings"])


@rule(
    "http.start.out-of-range",
    "A value of the wrong type or out of range is a 400 that names its field",
    "must",
    source=A,
    why="A session with a value that was silently replaced is not what was asked for; a 5xx says nothing.",
    does="posts quality 'ultra', version 'v9', video_encoding 'MPEG2', activity_idle_timeout -1 and 'soon', "
    "avatar_id 7, agora_settings 'x', and a channel that is a number",
    expects="400, code VALIDATION_ERROR, with the field's name in the message",
    fix="Check types and ranges of every documented field.",
)
async def start_out_of_range(client: Client) -> None:
    cases = Cases()
    wrong: list[tuple[str, Any]] = [
        ("quality", "ultra"),
        ("version", "v9"),
        ("video_encoding", "MPEG2"),
        ("activity_idle_timeout", -1),
        ("activity_idle_timeout", "soon"),
        ("avatar_id", 7),
        ("agora_settings", "x"),
    ]
    for name, value in wrong:
        reply = await client.try_start(client.body(**{name: value}))
        cases.add(f"{name} = {value!r}", reply.problem(400, "VALIDATION_ERROR", [name]))
    body = client.body()
    body["agora_settings"] = {**body["agora_settings"], "channel": 5}
    cases.add("channel = 5", (await client.try_start(body)).problem(400, "VALIDATION_ERROR", ["channel"]))
    cases.judge()


@rule(
    "http.start.bad-json",
    "A body that is no JSON object is a 400",
    "must",
    source=A,
    why="A 5xx makes a client try again, for ever, what can never work.",
    does="posts half a JSON object, a list, a string, nothing, and bad UTF-8",
    expects="400, code INVALID_JSON",
    fix="Catch the parser's error, and check that what was parsed is an object.",
)
async def start_bad_json(client: Client) -> None:
    cases = Cases()
    for case, body in BAD_JSON.items():
        cases.add(case, (await client.call("POST", "/session/start", body)).problem(400, "INVALID_JSON"))
    cases.judge()


@rule(
    "http.start.order",
    "The key is checked before the body",
    "must",
    source=A,
    why="Else a stranger learns from the answers how to ask, and can make the server parse whatever he sends.",
    does="posts a body that is no JSON without a key, and with a wrong one; then an empty object with a wrong one",
    expects="403, 401 and 401",
    fix="Check in this order: the API key, the JSON, the fields.",
)
async def start_order(client: Client) -> None:
    cases = Cases()
    reply = await client.call("POST", "/session/start", b"{", key=None)
    cases.add("no key, no JSON", reply.problem(403, "MISSING_API_KEY"))
    reply = await client.call("POST", "/session/start", b"{", key="conformance-wrong")
    cases.add("wrong key, no JSON", reply.problem(401, "INVALID_API_KEY"))
    reply = await client.call("POST", "/session/start", {}, key="conformance-wrong")
    cases.add("wrong key, no fields", reply.problem(401, "INVALID_API_KEY"))
    cases.judge()


@rule(
    "http.errors.shape",
    "Every error is a JSON object {error, message, code}",
    "must",
    source=A,
    why="Clients print message and branch on code; an HTML page helps neither.",
    does="asks for errors of several kinds: no key, no fields, no such session, no such endpoint",
    expects="content type application/json, and the strings error, message and code, none empty",
    fix="Make one handler for all errors, those of your framework and those behind a proxy included.",
)
async def errors_shape(client: Client) -> None:
    unknown = {"session_id": str(uuid.uuid4())}
    cases = Cases()
    for case, reply in {
        "no key": await client.call("POST", "/session/start", {}, key=None),
        "no fields": await client.call("POST", "/session/start", {}),
        "no such session": await client.call("DELETE", "/session/stop", unknown),
        "no such endpoint": await client.call("POST", "/session/nowhere", {}),
    }.items():
        cases.add(case, _shape_problem(reply))
    cases.judge()


def _shape_problem(reply: Reply) -> str | None:
    if reply.status < 400:
        return f"no error at all: {reply}"
    if reply.content_type.partition(";")[0].strip().lower() != "application/json" or reply.body is None:
        return str(reply)
    wrong = [name for name in ("error", "message", "code") if not isinstance(reply.body.get(name), str)]
    wrong += [name for name in ("error", "message", "code") if reply.body.get(name) == ""]
    return f"{', '.join(wrong)} is missing, empty or no string: {reply}" if wrong else None


@rule(
    "http.endpoint-not-found",
    "An unknown path is a 404",
    "must",
    source=A,
    why="A wrong api_base_url is the commonest mistake, and the only one that this can tell of.",
    does="posts to /session/begin",
    expects="404, code ENDPOINT_NOT_FOUND",
    fix="Answer every path that you do not know so.",
)
async def endpoint_not_found(client: Client) -> None:
    (await client.call("POST", "/session/begin", {})).expect(404, "ENDPOINT_NOT_FOUND")


@rule(
    "http.start.large-body",
    "A body far too large is a 413",
    "should",
    source="protocol A (Lipwire's)",
    why="A server without a limit can be filled from outside.",
    does="posts 2 MiB to /session/start",
    expects="413, code BODY_TOO_LARGE, or the connection cut while it is sent",
    fix="Limit bodies; 64 KiB is plenty.",
)
async def start_large_body(client: Client) -> None:
    body = json.dumps(client.body(padding="x" * FAR_TOO_LARGE)).encode()
    try:
        reply = await client.call("POST", "/session/start", body)
    except Failed as exc:
        await client.start()  # it cut the connection, which it may; but it has to be there still
        raise Skipped(f"the provider cut the connection: {exc}") from exc
    reply.expect(413, "BODY_TOO_LARGE")


@rule(
    "http.cors",
    "A preflight is answered without a key",
    "should",
    source=A,
    why="A browser sends no headers of its own with a preflight; a console on the provider's own origin needs it.",
    does="sends OPTIONS for /session/start from the provider's own origin, asking for POST with x-api-key",
    expects="200 or 204",
    fix="Answer OPTIONS before you check the key, for the origins that you allow.",
)
async def cors(client: Client) -> None:
    parts = urlsplit(client.target.http)
    headers = {
        "Origin": f"{parts.scheme}://{parts.netloc}",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key",
    }
    (await client.call("OPTIONS", "/session/start", key=None, headers=headers)).expect((200, 204))


@rule(
    "http.channel-in-use",
    "Another owner's live channel and uid are a 409",
    "should",
    source="protocol A (Lipwire's)",
    why="Else whoever has any key can throw another customer's avatar out of its channel.",
    does="starts a session with one key, and one for the same app id, channel and uid with the other key",
    expects="409, code CHANNEL_IN_USE",
    fix="Remember whose a session is. The same owner's is replaced (life.new-session), another's is not.",
)
async def channel_in_use(client: Client) -> None:
    if client.target.other_api_key is None:
        raise Skipped("it takes a second key: --other-api-key")
    session = await client.start()
    reply = await client.call("POST", "/session/start", session.body, key=client.target.other_api_key)
    reply.expect(409, "CHANNEL_IN_USE")


# ------------------------------------------------------------------------------------------------------------- stop


@rule(
    "http.stop.ok",
    "A session is stopped by key, id and token",
    "must",
    source=A,
    why="Without it an avatar stays in the channel, and is paid for.",
    does="sends DELETE /session/stop with x-api-key and {session_id, session_token}",
    expects='200, {status: "success", message}',
    fix="Read the body of a DELETE; some frameworks drop it.",
)
async def stop_ok(client: Client) -> None:
    _stopped(await client.stop(await client.start()))


def _stopped(reply: Reply) -> None:
    body = reply.expect(200).body or {}
    if body.get("status") != "success" or not isinstance(body.get("message"), str):
        raise Failed(f'status "success" and a message were expected: {reply}')


@rule(
    "http.stop.without-token",
    "With the API key, session_id alone is enough",
    "must",
    source="protocol A; what real clients send",
    why="Real clients leave session_token out, or send it as null.",
    does="stops one session with {session_id}, another with {session_id, session_token: null}",
    expects='200, {status: "success", message}',
    fix="Ask for the token only where there is no API key.",
)
async def stop_without_token(client: Client) -> None:
    cases = Cases()
    for case, more in (("no session_token", {}), ("session_token null", {"session_token": None})):
        session = await client.start()
        reply = await client.call("DELETE", "/session/stop", {"session_id": session.id, **more})
        cases.add(case, reply.problem(200))
    cases.judge()


@rule(
    "http.stop.bearer",
    "The session's token may stand in for the API key",
    "must",
    source="protocol A; what real clients send",
    why="Some clients keep only the token once the session has started.",
    does="sends DELETE /session/stop without x-api-key, with Authorization: Bearer <session_token>",
    expects='200, {status: "success", message}',
    fix="Accept a valid bearer token of that session in place of the key.",
)
async def stop_bearer(client: Client) -> None:
    session = await client.start()
    _stopped(await client.stop(session, key=None, bearer=session.token))


@rule(
    "http.stop.no-credentials",
    "With neither key nor bearer token nothing is stopped",
    "must",
    source=A,
    why="Else anybody who sees an id can silence an avatar.",
    does="sends DELETE /session/stop with {session_id} alone, then connects to that session",
    expects="403 or 401, and a session that still lives",
    fix="Refuse before you look the session up.",
)
async def stop_no_credentials(client: Client) -> None:
    session = await client.start()
    reply = await client.call("DELETE", "/session/stop", {"session_id": session.id}, key=None)
    reply.expect((401, 403))
    await _still_lives(client, session)


@rule(
    "http.stop.wrong-key",
    "With a wrong key nothing is stopped",
    "must",
    source=A,
    why="As above.",
    does="sends DELETE /session/stop with a wrong x-api-key, then connects to that session",
    expects="401, and a session that still lives",
    fix="Check the key before anything else, with DELETE as with POST.",
)
async def stop_wrong_key(client: Client) -> None:
    session = await client.start()
    body = {"session_id": session.id}
    reply = await client.call("DELETE", "/session/stop", body, key="conformance-wrong")
    reply.expect(401, "INVALID_API_KEY")
    await _still_lives(client, session)


@rule(
    "http.stop.foreign-token",
    "One session's token does not stop another session",
    "must",
    source=A,
    why="A session token is in the hands of one client; it must not reach the sessions of others.",
    does="sends DELETE /session/stop with the token of one session as bearer and the id of another, without a key",
    expects="an error (400, 401, 403 or 404), and a session that still lives",
    fix="Compare the id in the token with the id in the body.",
)
async def stop_foreign_token(client: Client) -> None:
    if client.target.channel is not None:
        raise Skipped("it takes two channels at once, and --channel names one")
    one, other = await client.start(), await client.start()
    body = {"session_id": other.id}
    reply = await client.call("DELETE", "/session/stop", body, key=None, bearer=one.token)
    reply.expect((400, 401, 403, 404))
    await _still_lives(client, other)


async def _still_lives(client: Client, session: Session) -> None:
    line = await client.handshake(session)
    if isinstance(line, int):
        raise Failed(f"it was refused, but the session is gone: its WebSocket handshake was answered with {line}")


@rule(
    "http.stop.twice",
    "A session that is over is a 404",
    "must",
    source=A,
    why="Clients stop twice, after a timeout for example; 404 tells them that all is done.",
    does="stops a session twice",
    expects="200, then 404, code SESSION_NOT_FOUND",
    fix="Forget ended sessions, or remember that they ended.",
)
async def stop_twice(client: Client) -> None:
    session = await client.start()
    (await client.stop(session)).expect(200)
    (await client.stop(session)).expect(404, "SESSION_NOT_FOUND")


@rule(
    "http.stop.unknown",
    "An unknown session is a 404",
    "must",
    source=A,
    why="A client that gets another status tries again.",
    does="sends DELETE /session/stop with a random session_id",
    expects="404, code SESSION_NOT_FOUND",
    fix="An id that you do not know is no invalid request.",
)
async def stop_unknown(client: Client) -> None:
    body = {"session_id": str(uuid.uuid4())}
    (await client.call("DELETE", "/session/stop", body)).expect(404, "SESSION_NOT_FOUND")


@rule(
    "http.stop.bad-request",
    "A stop that names nothing, or is no JSON, is a 400",
    "must",
    source=A,
    why="As with a start: a 5xx makes clients try again.",
    does="sends DELETE /session/stop with {}, and with half a JSON object",
    expects="400, code VALIDATION_ERROR with session_id in the message; 400, code INVALID_JSON",
    fix="Validate as you do for a start.",
)
async def stop_bad_request(client: Client) -> None:
    cases = Cases()
    reply = await client.call("DELETE", "/session/stop", {})
    cases.add("{}", reply.problem(400, "VALIDATION_ERROR", ["session_id"]))
    cases.add("half an object", (await client.call("DELETE", "/session/stop", b"{")).problem(400, "INVALID_JSON"))
    cases.judge()
