"""Makes an atlas: every picture of an avatar's walk, encoded once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from msgspec import Struct, json

from .. import _core
from ..avatar import Avatar
from ..avatar.art import Axis
from ..errors import BadState, InvalidArgument
from ..pools import pool
from .encode import Decoder, I, IntraEncoder, Slice
from .harvest import MODES, WALK, Poses, speech, watch
from .moved import Mover, Vector
from .picture import U8, Easel, visible
from .proof import measure, quantizer
from .stripes import Stripe, at_place, cut
from .variants import PARTS, Variants, choose, distances, visited
from .walk import ANCHOR_EVERY, Reach, plan

QUALITIES = {"low": 38.0, "medium": 41.0, "high": 44.0}
"""Least PSNR of luma that slices are encoded to, in dB, against the drawing."""
STEP = 0.40
"""Pixels of a picture of 360 lines that the head moves at once, at least."""
PLACES = 420
"""Positions of the head, at most."""
VARIANTS = {"mouth": 28, "eyes": 14}
"""At most, the one at rest among them."""
WORSE = 1.5
"""How much larger than that of an I slice the squared error of a P slice may be."""
STATIC_FINER = 5
"""By how much the quantizer of stripes is finer that are sent once."""
SHARES = {"idle": 0.3, "listening": 0.15, "thinking": 0.05, "speaking": 0.5}
"""How much of its time a face is in a mode, which says what its eyes mostly do."""
LIMITS = {Axis.HAPPY: 1500, Axis.CONCERNED: 1500, Axis.SURPRISED: 1500, Axis.WAVE: 300}
"""How far an axis that the table has nothing for may go (q15): less is not seen."""
NICE = 10
Progress = Callable[[float], None]


class Report(Struct, kw_only=True):
    """What was made; it lies in the blob, as JSON."""

    avatar: str
    quality: str
    bytes: int = 0
    seconds: float = 0.0
    """That it took."""
    quantizer: int = 0
    nodes: int = 0
    places: int = 0
    stripes: list[str] = []
    """From top to bottom: kind or part, and rows of macroblocks."""
    variants: dict[str, int] = {}
    slices: int = 0
    replaced: int = 0
    """P slices that did not decode, stitched, as by themselves, and gave way to I slices."""
    psnr: float = 0.0
    """Of luma, in dB: speech, stitched and decoded, against the drawing of the same poses."""
    kbps: float = 0.0
    """Of that speech."""


def preencode(
    avatar: Avatar,
    width: int,
    height: int,
    fps: Fraction,
    *,
    quality: str = "medium",
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[bytes, Report]:
    """The atlas of an avatar for frames of width x height pixels at `fps`, and what is in it. `jobs` threads, which
    give way to all others; `progress` is called with the share that is done, 0..1.

    Raises:
        InvalidArgument: there is no such quality, or the size is out of range. BadState: espeak-ng is not installed.
    """
    if quality not in QUALITIES:
        raise InvalidArgument(f"quality must be one of {', '.join(QUALITIES)}, got {quality!r:.40}")
    return _Maker(avatar, width, height, fps, quality).make(jobs, progress or (lambda share: None))


class _Tools:
    """What one thread draws and encodes with."""

    def __init__(self, native: _core.NativeAvatar, stripes: list[Stripe], qp: int) -> None:
        self.easel = Easel(native)
        self.stripes = stripes
        columns = self.easel.columns
        self._intra = [
            IntraEncoder(columns, s.rows, max(1, qp - STATIC_FINER) if s.kind == "static" else qp) for s in stripes
        ]
        self._movers = [Mover(columns, s.rows, qp) for s in stripes]
        self._decoders = [Decoder() for _ in stripes]
        self._shown: dict[int, U8] = {}
        self._floor: dict[int, float] = {}

    def picture(self, i: int) -> U8:
        """Stripe i of what the easel shows."""
        return self.easel.stripe(self.stripes[i].first, self.stripes[i].rows)

    def intra(self, i: int) -> Slice:
        return self._intra[i].slice(self.picture(i))

    def start(self, i: int) -> tuple[Slice, bytes]:
        """Stripe i as an I slice, a chain's first, and a digest of what a decoder shows."""
        picture = self.picture(i)
        (slice_,), unit = self._intra[i].encode(picture, True)
        self._shown[i] = self._decoders[i].decode(unit)
        self._floor[i] = self._error(self._shown[i], picture)
        return slice_, self._digest(i)

    def go_on(self, i: int, window: tuple[Vector, Vector]) -> tuple[Slice, bytes] | None:
        """The next one of the chain: a P slice where that looks nearly as good; None: it stays as it is. `window`:
        what it has moved by."""
        picture = self.picture(i)
        moved = self._movers[i].slice(self._shown[i], picture, *window)
        shown = self._shown[i] if moved is None else moved[1]
        if self._error(shown, picture) > WORSE * self._floor[i] + picture.size:
            floor = self._floor[i]
            slice_, digest = self.start(i)
            self._floor[i] = floor
            return slice_, digest
        self._shown[i] = shown
        return None if moved is None else (moved[0], self._digest(i))

    def _error(self, shown: U8, picture: U8) -> float:
        """Squared error, summed."""
        return float(np.square(shown.astype(np.int32) - picture).sum())

    def _digest(self, i: int) -> bytes:
        stripe = self.stripes[i]
        rows = min(stripe.rows * 16, self.easel.height - stripe.first * 16)
        return visible(self._shown[i], self.easel.columns * 16, 0, rows, self.easel.width)


class _Stock:
    """All slices: `intra` by (stripe, place, variant); `chain`, and digests of what it shows, by (stripe, segment,
    node)."""

    def __init__(self) -> None:
        self.intra: dict[tuple[int, int, int], Slice] = {}
        self.chain: dict[tuple[int, int, int], Slice] = {}
        self.shown: dict[tuple[int, int, int], bytes] = {}


class _Maker:
    def __init__(self, avatar: Avatar, width: int, height: int, fps: Fraction, quality: str) -> None:
        self.began = time.perf_counter()
        self.native, self.art, self.fps = avatar.at(width, height), avatar.art(width, height), fps
        self.report = Report(avatar=avatar.name, quality=quality)
        self.said = speech(avatar.voice)
        self.rest = Poses.rest()
        easel = Easel(self.native)
        self.reach = Reach(self.art)
        self.walk = plan(self.art, fps, self.said, STEP * max(1.0, height / 360), PLACES)
        seen = [(SHARES[mode], watch(mode, _rate(mode, fps), 60, 5, self.said)) for mode in MODES]
        states = {part: visited(self.art, part, seen) for part in PARTS}
        self.stripes = cut(easel, self.walk, states).stripes
        self.variants: dict[str, Variants] = {}
        for stripe in self.stripes:
            if stripe.part:
                d = distances(easel, states[stripe.part], stripe.first, stripe.rows)
                self.variants[stripe.part] = choose(
                    self.art, stripe.part, states[stripe.part], d, VARIANTS[stripe.part]
                )
        self.qp = self.report.quantizer = quantizer(
            easel, [v.poses for v in self.variants.values()], QUALITIES[quality]
        )
        self.local = threading.local()

    def make(self, jobs: int, progress: Progress) -> tuple[bytes, Report]:
        stock = self._encoded(jobs, progress)
        tools = self._tools()
        for _ in range(4):
            atlas = _core.Atlas(self._packed(stock))
            bad = self._unlike(atlas, stock)
            if not bad:
                break
            self.report.replaced += self._replace(tools, stock, bad)
        else:
            raise BadState("stitched slices do not decode as they do by themselves: a fault of the stitcher or of x264")
        self.report.psnr, self.report.kbps = measure(atlas, self.native, self.art, self.fps, self.said)
        self.report.bytes = atlas.nbytes
        self.report.seconds = round(time.perf_counter() - self.began, 1)
        blob = self._packed(stock)
        progress(1.0)
        return blob, self.report

    # ---- encoding

    def _encoded(self, jobs: int, progress: Progress) -> _Stock:
        stock = _Stock()
        work = [lambda place=place: self._place(stock, place) for place in range(len(self.walk.axes))]
        for k, segment in enumerate(self.walk.segments):
            for first in range(0, len(segment.places), ANCHOR_EVERY):
                work.append(lambda k=k, first=first: self._run(stock, k, first))  # type: ignore[misc]
        threads = pool(jobs, "lipwire-atlas")
        try:
            tasks = [threads.submit(self._gently, one) for one in work]
            for done, task in enumerate(tasks):
                task.result()
                progress(0.97 * done / len(tasks))
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
        return stock

    def _gently(self, work: Callable[[], None]) -> None:
        """In a thread of the pool's, which gives way."""
        if not hasattr(self.local, "tools"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        work()

    def _tools(self) -> _Tools:
        """This thread's."""
        if not hasattr(self.local, "tools"):
            self.local.tools = _Tools(self.native, self.stripes, self.qp)
        tools: _Tools = self.local.tools
        return tools

    def _place(self, stock: _Stock, place: int) -> None:
        """All variants at a place; at rest also what never moves."""
        tools = self._tools()
        for v in range(max([len(variants) for variants in self.variants.values()], default=0)):
            axes, visemes = self.rest.axes[0].copy(), self.rest.visemes[0]
            for part, variants in self.variants.items():
                at, own = min(v, len(variants) - 1), list(PARTS[part])
                axes[own] = variants.poses.axes[at, own]
                if part == "mouth":
                    visemes = variants.poses.visemes[at]
            tools.easel.show(at_place(axes, self.walk.axes[place]), visemes)
            for i, stripe in enumerate(self.stripes):
                if stripe.part and v < len(self.variants[stripe.part]):
                    stock.intra[i, place, v] = tools.intra(i)
        if not place:
            tools.easel.draw(self.rest)
            for i, stripe in enumerate(self.stripes):
                if stripe.kind == "static":
                    stock.intra[i, 0, 0] = tools.intra(i)

    def _show_rest(self, tools: _Tools, place: int) -> None:
        tools.easel.show(at_place(self.rest.axes[0], self.walk.axes[place]), self.rest.visemes[0])

    def _run(self, stock: _Stock, segment: int, first: int) -> None:
        """A chain, from an anchor to the next: what moves, and what chooses, at rest."""
        tools = self._tools()
        places = self.walk.segments[segment].places[first : first + ANCHOR_EVERY]
        before: dict[int, bytes] = {}
        for node, place in enumerate(places, first):
            if node > first and place == places[node - first - 1]:
                continue
            self._show_rest(tools, place)
            window = self.reach.window(self.walk.axes[places[max(0, node - first - 1)]], self.walk.axes[place])
            for i, stripe in enumerate(self.stripes):
                if stripe.kind == "static":
                    continue
                picture = tools.picture(i).tobytes()
                link = tools.start(i) if node == first else tools.go_on(i, window) if picture != before[i] else None
                if link is not None:
                    stock.chain[i, segment, node], stock.shown[i, segment, node] = link
                before[i] = picture

    # ---- packing

    def _packed(self, stock: _Stock) -> bytes:
        report = self.report
        report.nodes = sum(len(segment.places) for segment in self.walk.segments)
        report.places = len(self.walk.axes)
        report.variants = {part: len(variants) for part, variants in self.variants.items()}
        report.stripes = [f"{stripe.part or stripe.kind} {stripe.rows}" for stripe in self.stripes]
        report.slices = len(stock.intra) + len(stock.chain)
        writer = _core.AtlasWriter(
            self.native.width,
            self.native.height,
            self.fps.as_integer_ratio(),
            matrix=self.native.matrix,
            walk_axes=WALK,
            limits={int(axis): (-most, most) for axis, most in LIMITS.items()},
            mouths=len(self.art.mouth_coords),
            note=json.encode(report),
        )
        numbers = [self._add(writer, stripe) for stripe in self.stripes]
        for i, stripe in enumerate(self.stripes):
            if stripe.kind == "static":
                writer.set_static(numbers[i], writer.add_slice(numbers[i], *stock.intra[i, 0, 0]))
        for k, segment in enumerate(self.walk.segments):
            nodes = []
            for n, place in enumerate(segment.places):
                entries: list[int | None] = []
                for i, stripe in enumerate(self.stripes):
                    slices = self._entries(stock, i, stripe, k, n, place)
                    entries += [None if one is None else writer.add_slice(numbers[i], *one) for one in slices]
                nodes.append((self.walk.axes[place], n % ANCHOR_EVERY == 0, entries))
            writer.add_segment(segment.modes, nodes)
        blob: bytes = writer.pack()
        return blob

    def _add(self, writer: _core.AtlasWriter, stripe: Stripe) -> int:
        if not stripe.part:
            return writer.add_stripe(stripe.kind, stripe.rows)
        variants = self.variants[stripe.part]
        values, weights, costs = variants.poses.axes, variants.weights, variants.costs
        return writer.add_stripe(stripe.kind, stripe.rows, values=values, weights=weights, costs=costs)

    def _entries(
        self, stock: _Stock, i: int, stripe: Stripe, segment: int, node: int, place: int
    ) -> list[Slice | None]:
        """What a node has of a stripe."""
        if stripe.kind == "static":
            return []
        chain = stock.chain.get((i, segment, node))
        if stripe.kind == "moving":
            return [chain]
        variants = [stock.intra[i, place, v] for v in range(len(self.variants[stripe.part]))]
        if node % ANCHOR_EVERY:
            return [chain, *variants]
        assert chain is not None
        return [None, chain, *variants[1:]]

    # ---- looking at what comes out

    def _unlike(self, atlas: _core.Atlas, stock: _Stock) -> list[tuple[int, int, int]]:
        """(stripe, segment, node) where a chain, stitched, does not show what it shows by itself."""
        stitcher, decoder = _core.Stitcher(atlas), Decoder()
        expected: dict[int, bytes] = {}
        bad = []
        for k, (start, count, _) in enumerate(atlas.segments):
            for n in range(count):
                picture = decoder.decode(stitcher.unit(start + n, (0,) * len(atlas.variants), k == n == 0))
                for i, stripe in enumerate(self.stripes):
                    if stripe.kind == "static":
                        continue
                    expected[i] = stock.shown.get((i, k, n), expected.get(i, b""))
                    rows = min(stripe.rows * 16, self.native.height - stripe.first * 16)
                    if visible(picture, self.native.width, stripe.first * 16, rows, self.native.width) != expected[i]:
                        bad.append((i, k, n))
        return bad

    def _replace(self, tools: _Tools, stock: _Stock, bad: list[tuple[int, int, int]]) -> int:
        """I slices in place of P slices, to the end of their runs: what comes behind leans on them."""
        replaced = 0
        for i, k, n in bad:
            places = self.walk.segments[k].places
            for node in range(n, min(n - n % ANCHOR_EVERY + ANCHOR_EVERY, len(places))):
                old = stock.chain.get((i, k, node))
                if old is not None and old.kind != I:
                    self._show_rest(tools, places[node])
                    stock.chain[i, k, node], stock.shown[i, k, node] = tools.start(i)
                    replaced += 1
        return replaced


def _rate(mode: str, fps: Fraction) -> Fraction:
    """How often poses are looked at: a mouth is fast, and passes through states that pictures of other speech show."""
    return Fraction(100) if mode == "speaking" else fps
