#!/bin/sh
# A closed RTCPeerConnection of aiortc stays in memory until Python's garbage collector runs.
#
# Expected: after `await pc.close()` and with the last reference gone the connection is freed there and then, as Python's
# objects are, with its transports, encoders and buffers.
# What happens: its parts refer to each other in circles (transports and the connection, event handlers that are bound
# methods), which `close()` leaves as they are. The objects wait for a collection of the oldest generation. A server
# makes few of those once it has started, and whoever tunes or freezes the collector for even latency makes fewer: memory
# grows with every viewer that came and went, and looks like a leak.
# Seen with: aiortc 1.16.0, aioice 0.13.0, Python 3.11, Linux x86-64.
# What to do: where connections come and go, let a collection run now and then when nothing is urgent, or cut the circles
# after `close()` yourself, for one release of aiortc at a time.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0 aioice==0.13.0
cat > stays.py <<'END'
import asyncio
import gc
import sys
import weakref

import aioice
import aiortc


async def main():
    gc.collect()
    gc.disable()
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    seen = weakref.ref(pc)
    await pc.close()
    del pc
    for _ in range(100):
        await asyncio.sleep(0)
    closed = seen() is not None
    gc.collect()
    collected = seen() is not None
    print(f"aiortc {aiortc.__version__}, aioice {aioice.__version__}: closed and let go of, it is", "still there" if closed else "gone")
    print("after a collection it is", "still there" if collected else "gone")
    sys.exit(0 if closed and not collected else "CHANGED: it is no longer as this script describes")


asyncio.run(main())
END
env/bin/python stays.py
# Output as seen:
#   aiortc 1.16.0, aioice 0.13.0: closed and let go of, it is still there
#   after a collection it is gone
