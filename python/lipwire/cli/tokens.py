"""`lipwire token`: what one joins an Agora channel with, or opens a page of a Lipwire server with."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from ..errors import InvalidArgument
from .options import CaFile

SERVER = "http://127.0.0.1:8764"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def token(
    channel: Annotated[str | None, typer.Argument(help="Agora channel name.")] = None,
    uid: Annotated[str | None, typer.Argument(help="User id there (default: 0, which is any).")] = None,
    app_id: Annotated[str, typer.Option(envvar="AGORA_APP_ID", help="Agora app id.")] = "",
    certificate: Annotated[str, typer.Option(envvar="AGORA_APP_CERTIFICATE", help="Agora app certificate.")] = "",
    expire: Annotated[
        int | None, typer.Option(min=1, max=86400, help="Lifetime of an Agora token in seconds (default: 3600).")
    ] = None,
    subscriber: Annotated[
        bool, typer.Option("--subscriber", help="An Agora token without the right to publish.")
    ] = False,
    rtm: Annotated[str | None, typer.Option(help="RTM user to log in, too; without a channel: only.")] = None,
    explain: Annotated[
        str, typer.Option(help="An Agora token: say what is in it, and whether CERTIFICATE signed it.")
    ] = "",
    room: Annotated[str | None, typer.Option(help="For a room of a Lipwire server, in place of a channel.")] = None,
    session: Annotated[str | None, typer.Option(help="For a session of a Lipwire server, by its id.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Of a room: member, host, watch. Of a session: watch, control, speak.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whom it is for, in a room (default: a new number).")] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it is good for: 90s, 15m, 1h, 7d (default: 1h).")] = None,
    url: Annotated[str | None, typer.Option(help=f"The HTTP side of that server (default: {SERVER}).")] = None,
    api_key: Annotated[str, typer.Option(envvar="LIPWIRE_API_KEY", help="Its API key.")] = "",
    ca: CaFile = None,
    bare: Annotated[bool, typer.Option("--bare", help="The token alone, in place of a link with it.")] = False,
) -> None:
    """Print a link to a page of a Lipwire server, with a token in it (--room, --session), or an Agora token."""
    ours = {"--role": role, "--name": name, "--ttl": ttl, "--url": url, "--ca": ca, "--bare": bare}
    agoras = {"CHANNEL": channel, "UID": uid, "--rtm": rtm, "--expire": expire, "--subscriber": subscriber}
    if room is not None or session is not None:
        if (room is not None and session is not None) or channel or explain or rtm:
            raise InvalidArgument("one thing at a time: --room, --session, or an Agora channel")
        _refuse(agoras, "only for an Agora token; --ttl and --role are for --room and --session")
        if session is not None and name is not None:
            raise InvalidArgument("--name is for a room: nobody has a name in a session")
        lasts = None if ttl is None else seconds(ttl)
        print(_ours(url or SERVER, api_key, room, session, role, name, lasts, bare, ca))
        return
    _refuse(ours, "only with --room or --session")
    if explain:
        _refuse(agoras, "not with --explain, which makes no token")
        from ..protocol.tokens import explain_token

        print("\n".join(explain_token(explain, now=time.time(), certificate=certificate or None)))
        return
    if channel is None:
        _refuse({"--subscriber": subscriber}, "only with a channel")
    from ..channel.agora.channel import agora_token

    if not app_id or not certificate:
        raise InvalidArgument(
            "an Agora token needs an app id and its certificate: AGORA_APP_ID and AGORA_APP_CERTIFICATE. "
            "One for a Lipwire server is made with --room or --session"
        )
    user = int(uid or 0) if uid is None or uid.isdecimal() else uid
    expires = 3600 if expire is None else expire
    print(agora_token(app_id, certificate, channel, user, expire=expires, publish=not subscriber, rtm_user_id=rtm))


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Raises InvalidArgument where one of these options was given."""
    if names := [name for name, value in given.items() if value is not None and value is not False]:
        raise InvalidArgument(f"{', '.join(names)}: {why}")


def seconds(text: str) -> float:
    """A time such as 90s, 15m, 1h or 7d. Raises InvalidArgument."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    if match is None:
        raise InvalidArgument(f"--ttl {text}: write it as 90s, 15m, 1h or 7d")
    return float(int(match[1]) * UNITS[match[2]])


def _ours(
    url: str,
    api_key: str,
    room: str | None,
    session: str | None,
    role: str | None,
    name: str | None,
    ttl: float | None,
    bare: bool,
    ca: Path | None,
) -> str:
    """What the server makes: only it knows its secret, and whose the session is."""
    import httpx

    from ..channel.room.place import check_name
    from ..servers.tls import trust

    if room is not None:
        room = check_name("--room", room)
    elif "/" in (session or ""):
        raise InvalidArgument(f"--session {session}: no session has such an id")

    if not api_key:
        raise InvalidArgument("the server wants its API key: --api-key or LIPWIRE_API_KEY")
    path = (
        f"/rooms/{quote(room, safe='')}/token"
        if room is not None
        else f"/session/{quote(session or '', safe='')}/token"
    )
    body: dict[str, Any] = {"role": role or ("member" if room is not None else "watch"), "name": name, "ttl": ttl}
    body = {field: value for field, value in body.items() if value is not None}
    where = url.rstrip("/") + path
    try:
        reply = httpx.post(
            where, headers={"x-api-key": api_key}, json=body, timeout=10, trust_env=False, verify=trust(ca)
        )
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise InvalidArgument(f"{url} does not answer: {exc or type(exc).__name__}") from exc
    try:
        answer = reply.json()
        if reply.status_code == 200:
            return str(answer["token"] if bare or not answer.get("link") else answer["link"])
        why = answer["message"]
    except (ValueError, KeyError, TypeError):
        why = reply.text[:200]
    raise InvalidArgument(f"{where} answered {reply.status_code}: {why}")
