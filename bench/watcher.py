"""A viewer of one session, in a process of its own: no benchmark by itself.

    python bench/watcher.py VIEWER_URL SESSION_ID API_KEY SECONDS

Prints what it got: packets of sound, gaps in their numbers, pictures.
"""

from __future__ import annotations

import asyncio
import sys

import aiortc
import httpx
import msgspec

from harness import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from support.viewers import Viewer


async def main() -> None:
    url, session_id, key, seconds = sys.argv[1:]
    viewer = Viewer()
    viewer.pc.createDataChannel("lipwire")
    await viewer.pc.setLocalDescription(await viewer.pc.createOffer())
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers={"x-api-key": key}) as http:
        sdp = {"content-type": "application/sdp"}
        reply = await http.post(f"{url}whep/{session_id}", headers=sdp, content=viewer.pc.localDescription.sdp)
    reply.raise_for_status()
    await viewer.pc.setRemoteDescription(aiortc.RTCSessionDescription(reply.text, "answer"))
    await asyncio.sleep(float(seconds))
    got = await viewer.got()
    await viewer.pc.close()
    await asyncio.gather(*viewer.tasks)
    print(msgspec.json.encode(got).decode())


if __name__ == "__main__":
    asyncio.run(main())
