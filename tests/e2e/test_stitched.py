"""Stitched H.264 in other programs' decoders: to the very bits of its stripes."""

from __future__ import annotations

import base64

import numpy as np

from support.browsing import browser
from support.stripes import HEIGHT, WIDTH, check, stitch, walk

DECODE = """async ([units, keys]) => {
  let failed = null;
  const copies = [], pictures = [];
  const decoder = new VideoDecoder({error: (e) => failed ??= String(e), output: (frame) => {
    const i420 = new Uint8Array(frame.allocationSize());
    const {width, height} = frame.visibleRect;
    pictures.push([frame.format, width, height, i420]);
    copies.push(frame.copyTo(i420).then(() => frame.close()));
  }});
  decoder.configure({codec: 'avc1.42C00C', optimizeForLatency: true, hardwareAcceleration: 'prefer-software'});
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  units.forEach((unit, n) => decoder.decode(new EncodedVideoChunk(
    {type: keys[n] ? 'key' : 'delta', timestamp: 40000 * n, data: bytes(unit)})));
  await decoder.flush();
  await Promise.all(copies);
  const text = (bytes) => bytes.reduce((all, byte) => all + String.fromCharCode(byte), '');
  return [failed, pictures.map(([format, w, h, i420]) => [format, w, h, btoa(text(i420))])];
}"""


async def test_chromium_decodes_to_the_very_stripes(chromium: str) -> None:
    steps = list(walk(7, 60, 0.2))
    units, expected = stitch(steps)
    async with browser(chromium) as launched:
        page = await launched.new_page()
        await page.route("http://localhost/", lambda route: route.fulfill(body="<title>WebCodecs</title>"))
        await page.goto("http://localhost/")
        sent = [base64.b64encode(unit).decode() for unit in units]
        failed, pictures = await page.evaluate(DECODE, [sent, [key for _, _, key in steps]])
    assert failed is None
    assert {tuple(picture[:3]) for picture in pictures} == {("I420", WIDTH, HEIGHT)}
    raw = [np.frombuffer(base64.b64decode(picture[3]), np.uint8) for picture in pictures]
    check([picture.reshape(-1, WIDTH) for picture in raw], expected)
