#!/bin/sh
# A websockets handler that reads with `async for` keeps the event loop for as long as messages wait.
#
# Expected: `async for message in connection` gives the other tasks of the loop a turn with every message, or at least every
# so often: each step awaits `recv()`, and the library bounds what it buffers.
# What happens: `recv()` returns at once, without giving up the loop, while messages wait, and the library goes on to
# parse all that one read brought (up to 256 KiB, tens of thousands of small messages) before anything else runs. A client
# that sends small messages in one go has its handler run through all of them in one piece. The bounds are for memory.
# Seen with: websockets 17.4, Python 3.11, Linux x86-64.
# What to do: where others share the loop, count your own work, and give up the loop (`await asyncio.sleep(0)`) every few
# milliseconds of it; bound what one read may bring as well.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check websockets==17.4
cat > turns.py <<'END'
import asyncio
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

MESSAGES = 2000
turns = 0
between = []


async def count():
    global turns
    while True:
        turns += 1
        await asyncio.sleep(0)


async def handler(connection):
    last = None
    async for _ in connection:
        if last is not None:
            between.append(turns - last)
        last = turns
    done.set()


async def main():
    global done
    done = asyncio.Event()
    counting = asyncio.create_task(count())
    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None) as client:
            frame = b"\x81\x81\0\0\0\0x"  # a text message of one byte, as a client masks it (RFC 6455)
            client.transport.write(frame * MESSAGES)
            await asyncio.sleep(0.5)
        await done.wait()
    counting.cancel()
    longest = run = 0
    for turn in between:
        run = 0 if turn else run + 1
        longest = max(longest, run)
    print(f"websockets {websockets.__version__}: {len(between) + 1} messages, of which up to {longest} in a row without one turn")
    sys.exit(0 if longest >= 10 else "CHANGED: it is no longer as this script describes")


asyncio.run(main())
END
env/bin/python turns.py
# Output as seen:
#   websockets 17.4: 2000 messages, of which up to 1999 in a row without one turn
