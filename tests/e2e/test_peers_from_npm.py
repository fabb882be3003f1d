"""A WHIP sender and a WHEP player of others, from npm, in Chromium: through one session, from one's microphone to the
other's loudspeaker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from lipwire.app.config import Config
from lipwire.app.service import Service
from support.browsing import browser, eventually
from support.npm import bundle
from support.provider_stage import start_body

KEY = "key-of-the-tests"
PACKAGES = "@eyevinn/whip-web-client@1.1.7", "whip-whep@1.2.0"
ENTRY = """
export { WHIPClient } from '@eyevinn/whip-web-client';
export { WHEPClient } from 'whip-whep/whep.js';
"""
SENDS = """async ([endpoint, authkey]) => {
  const context = new AudioContext(), tone = context.createOscillator(), gain = context.createGain();
  const microphone = context.createMediaStreamDestination();
  await context.resume();
  tone.connect(gain).connect(microphone);
  for (let n = 0; n < 40; n++) {
    gain.gain.setValueAtTime(0.5, context.currentTime + 1.5 * n);
    gain.gain.setValueAtTime(0, context.currentTime + 1.5 * n + 0.5);
  }
  tone.start();
  window.sender = new peers.WHIPClient({ endpoint, opts: { authkey, iceServers: [] } });
  await sender.setIceServersFromEndpoint();
  await sender.ingest(microphone.stream);
}"""
WATCHES = """async ([url, token]) => {
  window.video = document.body.appendChild(document.createElement('video'));
  Object.assign(video, { autoplay: true, srcObject: new MediaStream() });
  window.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
  window.player = new peers.WHEPClient();
  await player.view(pc, url, token);
}"""
CAME = """async () => {
  const came = { pictures: 0, energy: 0 };
  for (const entry of (await pc.getStats()).values()) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') came.pictures = entry.framesDecoded ?? 0;
    if (entry.type === 'inbound-rtp' && entry.kind === 'audio') came.energy = entry.totalAudioEnergy ?? 0;
  }
  return came;
}"""


async def test_one_speaks_and_another_sees_and_hears_it(chromium: str, tmp_path: Path) -> None:
    script = bundle(tmp_path, PACKAGES, ENTRY)
    config = Config(http_port=0, ws_port=0, viewer_port=0, host="127.0.0.1", ice_host="127.0.0.1", api_key=KEY)
    async with (
        Service(config) as service,
        httpx.AsyncClient(base_url=service.http_url, trust_env=False, timeout=60, headers={"x-api-key": KEY}) as http,
        browser(chromium) as launched,
    ):
        started = (await http.post("/session/start", json=start_body(width=160, height=96, fps=25))).json()
        id, site = started["session_id"], service.viewer_url
        session = service.watched[id].session
        watch = service.provider.authority.issue("session", id, "watch", ttl=600, owner="operator")
        page: Any = await launched.new_page()
        await page.goto(f"{site}schema/openapi.json")
        await page.evaluate(script)
        await page.evaluate(SENDS, [f"{site}whip/{id}", started["session_token"]])
        await page.evaluate(WATCHES, [f"{site}whep/{id}", watch])

        async def heard() -> bool:
            came = await page.evaluate(CAME)
            return session.heard[0] not in (None, "whip-1") and came["pictures"] > 10 and came["energy"] > 1e-3

        await eventually(heard)
        await page.evaluate("player.stop()")
        await page.evaluate("sender.destroy()")

        async def gone() -> bool:
            return not session.stats()["receiving"] and not service.watched[id].publisher.viewers

        await eventually(gone)
