"""A viewer of one session, in a process of its own: no benchmark by itself.

    python bench/watcher.py VIEWER_URL SESSION_ID API_KEY SECONDS

Prints how many pictures and packets of sound it was sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiortc
import httpx
from aiortc.mediastreams import MediaStreamError


async def take(track: Any, counts: dict[str, int]) -> None:
    while True:
        try:
            await track.recv()
        except MediaStreamError:
            return
        counts[track.kind] += 1


async def main() -> None:
    url, session_id, key, seconds = sys.argv[1:]
    counts, tasks = {"audio": 0, "video": 0}, []
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.on("track", lambda track: tasks.append(asyncio.create_task(take(track, counts))))
    pc.addTransceiver("audio", direction="recvonly")
    pc.addTransceiver("video", direction="recvonly")
    pc.createDataChannel("lipwire")
    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers={"x-api-key": key}) as http:
        reply = await http.post(f"{url}api/sessions/{session_id}/offer", json={"sdp": offer.sdp, "type": offer.type})
    reply.raise_for_status()
    await pc.setRemoteDescription(aiortc.RTCSessionDescription(**reply.json()))
    await asyncio.sleep(float(seconds))
    await pc.close()
    await asyncio.gather(*tasks)
    print(json.dumps(counts))


if __name__ == "__main__":
    asyncio.run(main())
