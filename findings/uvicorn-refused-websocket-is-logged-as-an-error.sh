#!/bin/sh
# An ASGI app that refuses a WebSocket with an HTTP answer is logged by uvicorn as one that forgot to answer.
#
# Expected: the extension `websocket.http.response` of ASGI is there so that an app can refuse a handshake with a status
# and a body, a 401 say. It sends `websocket.http.response.start` and `.body` and returns: the handshake is over, and there
# is nothing to log, as there is not with uvicorn's other implementation (`--ws wsproto`).
# What happens: with `--ws websockets-sansio` the client gets the answer, and for each such client the log gets
# "ERROR ASGI callable returned without completing handshake." Whoever knocks with a wrong token writes into the log, and
# who watches it for errors is woken.
# Seen with: uvicorn 0.54.0, websockets 17.4, wsproto 1.3.2, Python 3.11, Linux x86-64.
# What to do: raise the level of the logger `uvicorn.error`, or subclass the protocol and set `handshake_complete` when the
# body has been sent.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check uvicorn==0.54.0 websockets==17.4 wsproto==1.3.2
cat > refuse.py <<'END'
import asyncio
import logging
import sys

import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no token"})


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.errors = []

    def emit(self, record):
        if record.levelno >= logging.ERROR:
            self.errors.append(record.getMessage())


async def refused(ws):
    kept = Kept()
    logging.getLogger("uvicorn.error").addHandler(kept)
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws=ws, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        await connect(f"ws://127.0.0.1:{port}", proxy=None)
    except InvalidStatus as exc:
        print(f"{ws}: the client gets {exc.response.status_code} {exc.response.body.decode()!r}; logged: {kept.errors}")
    server.should_exit = True
    await task
    logging.getLogger("uvicorn.error").removeHandler(kept)
    return kept.errors


async def main():
    new, old = await refused("websockets-sansio"), await refused("wsproto")
    sys.exit(0 if new and not old else "CHANGED: it is no longer as this script describes")


asyncio.run(main())
END
env/bin/pip list --disable-pip-version-check --format freeze | grep -E '^(uvicorn|websockets|wsproto)='
env/bin/python refuse.py
# Output as seen:
#   uvicorn==0.54.0
#   websockets==17.4
#   wsproto==1.3.2
#   websockets-sansio: the client gets 401 'no token'; logged: ['ASGI callable returned without completing handshake.']
#   wsproto: the client gets 401 'no token'; logged: []
