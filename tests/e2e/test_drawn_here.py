"""A face that the browser draws is the server's: the same images at the same places, and the same picture."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from lipwire import Frame, _core
from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.atlas.harvest import ONE, Poses, speech, watch
from lipwire.avatar import AXES, VISEMES, Avatar, Axis
from support import artwork
from support.browsing import browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDTH, HEIGHT = 320, 180
DRAW = """async ([avatar, token, width, height, names, poses, seen]) => {
  const {Artwork, loadArtwork} = await import('./client/draw2d.js'), {Server} = await import('./client/requests.js');
  const canvas = document.createElement('canvas');
  const made = await loadArtwork(new Server(document.baseURI, token), {avatar, width, height});
  const art = new Artwork(canvas, made), places = [], pictures = [];
  poses.forEach((values, n) => {
    art.draw({sets: {pose: Float32Array.from(values, (value) => value / 32767)}, names: {pose: names}});
    places.push(art.places);
    if (seen.includes(n)) pictures.push(canvas.toDataURL('image/png').split(',')[1]);
  });
  return {places, pictures};
}"""


WHOLE = """async ([avatar, token, width, height]) => {
  const {Draw2D} = await import('./client/draw2d.js');
  const style = `position: fixed; inset: 0; z-index: 9; width: ${width}px; height: ${height}px; object-fit: cover`;
  const canvas = document.body.appendChild(Object.assign(document.createElement('canvas'), {id: 'whole', style}));
  const face = new Draw2D(canvas, {avatar, token, url: document.baseURI});
  await face.ready;
  return face.size;
}"""


@pytest.fixture(scope="module")
def letterbox(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Artwork of 128x96, shown whole."""
    return str(
        artwork.write(tmp_path_factory.mktemp("avatar") / "Dot", artwork.files(artwork.fitted("letterbox", "#102030")))
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(chromium: str, letterbox: str) -> AsyncIterator[Any]:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    config = Config(api_key="a-key-for-tests", avatar=letterbox, **ports)
    async with Service(config) as service, browser(chromium) as launched:
        page = await launched.new_page()
        await page.goto(f"{service.viewer_url}help.html")
        page.token = service.page_link().partition("#token=")[2]
        yield page


def motion(avatar: Avatar) -> Poses:
    """Of a face that speaks, listens, and waves with every feeling there is."""
    said = speech(avatar.voice)
    poses = Poses.joined([watch("speaking", Fraction(25), 10, 5, said), watch("listening", Fraction(25), 4, 2)])
    moved = np.linspace(0, 6 * np.pi, len(poses))
    for n, axis in enumerate((Axis.WAVE, Axis.HAPPY, Axis.CONCERNED, Axis.SURPRISED, Axis.HEAD_TURN)):
        poses.axes[:, axis] = np.rint(ONE * np.sin(moved / (n + 1)) ** 2)
    return poses


def decibels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, float(((a.astype(float) - b) ** 2).mean()))))


@pytest.mark.parametrize("name", Avatar.builtin())
async def test_the_same_images_at_the_same_places(page: Any, name: str) -> None:
    """Every layer of every pose, to the eighth of a pixel; and pictures of the mouth at its widest, the head tilted and
    upright, the eyes shut, at more than 45 dB in luma and 40 in chroma, in which the server's has half the pixels."""
    avatar = Avatar.load(name)
    poses, art, canvas = motion(avatar), avatar.art(WIDTH, HEIGHT), _core.Canvas(avatar.at(WIDTH, HEIGHT))
    tilt = np.abs(poses.axes[:, Axis.HEAD_ROLL])
    picked = {
        "wide": int(poses.visemes[:, VISEMES.index("aa")].argmax()),
        "tilted": int(tilt.argmax()),
        "upright": int(tilt.argmin()),
        "shut": int(poses.axes[:, Axis.LIDS].argmax()),
    }
    names = [*AXES, *VISEMES]
    rows = np.concatenate([poses.axes, poses.visemes], axis=1).tolist()
    seen = sorted(set(picked.values()))
    drawn = await page.evaluate(DRAW, [name, page.token, WIDTH, HEIGHT, names, rows, seen])

    first = np.cumsum([1, *(len(layer.images) for layer in art.layers)])
    pictures = dict(zip(seen, drawn["pictures"], strict=True))
    angles = set()
    for number, places in enumerate(drawn["places"]):
        poses.draw(canvas, number)
        for layer, (image, *place) in enumerate(places):
            assert canvas.shown(layer) == (first[layer] + image, *place), (number, art.layers[layer].name)
        if number in pictures:
            angles.add(places[canvas_head(avatar)][3])
            png = io.BytesIO(base64.b64decode(pictures[number]))
            here = Frame.from_rgba(np.array(Image.open(png).convert("RGBA"))).i420
            assert decibels(here[:HEIGHT], canvas.i420[:HEIGHT]) > 45, number
            assert decibels(here[HEIGHT:], canvas.i420[HEIGHT:]) > 40, number
    assert 0 in angles and len(angles) > 1, "upright and tilted"
    assert len({tuple(map(tuple, places)) for places in drawn["places"]}) > 200


def canvas_head(avatar: Avatar) -> int:
    return avatar.at(WIDTH, HEIGHT).head[2]


async def test_artwork_that_is_shown_whole_has_its_bars_here_too(page: Any, letterbox: str) -> None:
    width, height, avatar = 120, 200, Avatar.load(letterbox)
    size = await page.evaluate(WHOLE, [avatar.name, page.token, width, height])
    assert size == {"width": 320, "height": 240}
    here = Frame.from_rgba(np.array(Image.open(io.BytesIO(await page.locator("#whole").screenshot())).convert("RGBA")))
    there = _core.Canvas(avatar.at(width, height))
    watch("listening", Fraction(25), 0.1, 1).draw(there, 0)
    assert decibels(here.i420[:height], there.i420[:height]) > 25
