"""Makes an atlas: every picture of an avatar's walk, encoded once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
from msgspec import Struct, json

from .. import _core
from ..avatar import Avatar
from ..avatar.art import Axis
from ..errors import BadState, InvalidArgument
from ..pools import give_way, pool
from .encode import Decoder, IntraEncoder, Slice
from .harvest import MODES, WALK, Poses, speech, watch
from .moved import Field, Mover
from .picture import BLOCK, U8, Easel, rows_of, visible
from .proof import measure, psnr, quantizer
from .stripes import Stripe, at_place, cut
from .variants import PARTS, Variants, choose, distances, visited
from .walk import ANCHOR_EVERY, Reach, plan

QUALITIES = {"low": 38.0, "medium": 41.0, "high": 45.0}
"""Least PSNR, in dB, of Y, U and V that whole pictures are encoded to, on average, against the drawing."""
QUALITY = "high"
"""That is made unless another is asked for."""
STEP = 0.40
"""Pixels of a picture of 360 lines that the head moves at once, at least."""
PLACES = 280
"""Positions of the head, at most."""
VARIANTS = {"mouth": 22, "eyes": 11}
"""At most, the one at rest among them."""
REFRESH = (2, 10)
"""P slices until an I slice comes again, at least and at most: as many as add BLUR to the error."""
BLUR = 0.6
"""Of the squared error that `quality` allows: what P slices may add to it."""
FINER = 2.0
"""By how many dB the PSNR of what moves, drawn, must be above that of I slices; else an I slice comes."""
FINER_BY = {"mouth": 0, "eyes": 3, "moving": 10, "static": 12}
"""By how much the quantizer is finer of parts, and of what has none: the less often I slices are sent, the better they
may be; what stands still is sent in key frames alone."""
FINEST = 10
"""The least quantizer."""
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
    moves: int = 0
    """P slices among them."""
    psnr: float = 0.0
    """Of luma, in dB: speech, stitched and decoded, against the drawing of the same poses."""
    chroma: float = 0.0
    """The same of U or V, whichever is less."""
    kbps: float = 0.0
    """Of that speech."""


def preencode(
    avatar: Avatar,
    width: int,
    height: int,
    fps: Fraction,
    *,
    quality: str = QUALITY,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[bytes, Report]:
    """The atlas of an avatar for frames of width x height pixels at `fps`, and what is in it. `jobs` threads, which
    give way to all others; `progress` is called with the share that is done, 0..1.

    Raises:
        InvalidArgument: there is no such quality, or the size is out of range, or so small that eyes and mouth share
            their rows. BadState: espeak-ng is not installed.
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
        self._encoders = [IntraEncoder(columns, s.rows, max(FINEST, qp - FINER_BY[s.part or s.kind])) for s in stripes]
        self._decoders = [Decoder() for _ in stripes]
        self.movers = [Mover(columns, s.rows, qp) for s in stripes]

    def picture(self, i: int) -> U8:
        """Stripe i of what the easel shows."""
        return self.easel.stripe(self.stripes[i].first, self.stripes[i].rows)

    def intra(self, i: int) -> Slice:
        return self._encoders[i].slice(self.picture(i))

    def shown(self, i: int) -> tuple[Slice, bytes]:
        """The same, and a digest of what a decoder shows."""
        slice_, unit = self._encoders[i].encode(self.picture(i))
        return slice_, self.digest(i, self._decoders[i].decode(unit))

    def digest(self, i: int, picture: U8) -> bytes:
        """Of what of a stripe lies in the frame."""
        rows = min(self.stripes[i].rows * BLOCK, self.easel.height - self.stripes[i].first * BLOCK)
        return visible(picture, self.easel.columns * BLOCK, 0, rows, self.easel.width)


class _Stock:
    """All that was encoded: `intra` by (stripe, place, variant), and digests of what the first variants show; `moves`
    and their vectors by (stripe, place, next place): a P slice, or None where nothing moves; no entry: an I slice is
    better; `blurs`: mean squared errors of a stripe's moves."""

    def __init__(self) -> None:
        self.intra: dict[tuple[int, int, int], Slice] = {}
        self.shown: dict[tuple[int, int], bytes] = {}
        self.moves: dict[tuple[int, int, int], tuple[Slice, Field] | None] = {}
        self.blurs: dict[int, list[float]] = defaultdict(list)


class _Maker:
    def __init__(self, avatar: Avatar, width: int, height: int, fps: Fraction, quality: str) -> None:
        self.began = time.perf_counter()
        self.native, self.art, self.fps = avatar.at(width, height), avatar.art(width, height), fps
        self.report, self.target = Report(avatar=avatar.name, quality=quality), QUALITIES[quality]
        self.said = speech(avatar.voice)
        self.rest = Poses.rest()
        easel = Easel(self.native)
        self.reach = Reach(self.art)
        self.walk = plan(self.art, fps, self.said, STEP * max(1.0, height / 360), PLACES)
        seen = [(SHARES[mode], watch(mode, _rate(mode, fps), 60, 5, self.said)) for mode in MODES]
        states = {part: visited(self.art, part, seen) for part in PARTS}
        self.stripes = cut(easel, self.walk, states)
        self.variants: dict[str, Variants] = {}
        for stripe in self.stripes:
            if stripe.part:
                d = distances(easel, states[stripe.part], stripe.first, stripe.rows)
                self.variants[stripe.part] = choose(
                    self.art, stripe.part, states[stripe.part], d, VARIANTS[stripe.part]
                )
        self.qp = self.report.quantizer = quantizer(easel, [v.poses for v in self.variants.values()], self.target)
        self.local = threading.local()

    def make(self, jobs: int, progress: Progress) -> tuple[bytes, Report]:
        stock = self._encoded(jobs, progress)
        writer = self._filled(stock)
        atlas = _core.Atlas(writer.pack())
        wrong = self._unlike(atlas, stock)
        if wrong:
            raise BadState(f"stitched slices do not decode as they do by themselves: (stripe, node) {wrong[:4]}")
        (self.report.psnr, *chroma), self.report.kbps = measure(atlas, self.native, self.art, self.fps, self.said)
        self.report.chroma = min(chroma)
        self.report.bytes = atlas.nbytes
        self.report.seconds = round(time.perf_counter() - self.began, 1)
        blob = writer.pack(json.encode(self.report))
        progress(1.0)
        return blob, self.report

    # ---- encoding

    def _encoded(self, jobs: int, progress: Progress) -> _Stock:
        stock = _Stock()
        work = [lambda place=place: self._place(stock, place) for place in range(len(self.walk.axes))]
        steps = {(a, b) for segment in self.walk.segments for a, b in pairwise(segment.places) if a != b}
        work += [lambda a=a, b=b: self._step(stock, a, b) for a, b in sorted(steps)]  # type: ignore[misc]
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
            give_way(NICE)
        work()

    def _tools(self) -> _Tools:
        """This thread's."""
        if not hasattr(self.local, "tools"):
            self.local.tools = _Tools(self.native, self.stripes, self.qp)
        tools: _Tools = self.local.tools
        return tools

    def _show(self, tools: _Tools, place: int, variant: int) -> None:
        """All parts in that variant, or in their last one."""
        axes, visemes = self.rest.axes[0].copy(), self.rest.visemes[0]
        for part, variants in self.variants.items():
            at, own = min(variant, len(variants) - 1), list(PARTS[part])
            axes[own] = variants.poses.axes[at, own]
            if part == "mouth":
                visemes = variants.poses.visemes[at]
        tools.easel.show(at_place(axes, self.walk.axes[place]), visemes)

    def _count(self, stripe: Stripe) -> int:
        """How many variants it has."""
        return len(self.variants[stripe.part]) if stripe.part else 1

    def _place(self, stock: _Stock, place: int) -> None:
        """All variants at a place; at the first one also what never moves."""
        tools = self._tools()
        for v in range(max(map(self._count, self.stripes))):
            self._show(tools, place, v)
            for i, stripe in enumerate(self.stripes):
                if v >= self._count(stripe) or (stripe.kind == "static" and place):
                    continue
                if v:
                    stock.intra[i, place, v] = tools.intra(i)
                else:
                    stock.intra[i, place, v], stock.shown[i, place] = tools.shown(i)

    def _step(self, stock: _Stock, before: int, after: int) -> None:
        """How everything moves from one place to the next: as seen at rest, and in the first other variant."""
        tools = self._tools()
        drawn: dict[int, list[list[U8]]] = {i: [[], []] for i, s in enumerate(self.stripes) if s.kind != "static"}
        for v in (0, 1):
            for k, place in enumerate((before, after)):
                self._show(tools, place, v)
                for i, pictures in drawn.items():
                    if v < self._count(self.stripes[i]):
                        pictures[k].append(tools.picture(i))
        low, high = self.reach.window(self.walk.axes[before], self.walk.axes[after])
        for i, (old, new) in drawn.items():
            found = tools.movers[i].slice(list(zip(old, new, strict=True)), low, high)
            shown = old[0] if found is None else tools.movers[i].moved(old[0], found[1])
            blur = float(np.square(shown.astype(np.int32) - new[0]).mean())
            if psnr(blur) >= self.target + FINER:
                stock.moves[i, before, after] = found
                stock.blurs[i].append(blur)

    # ---- packing

    def _filled(self, stock: _Stock) -> _core.AtlasWriter:
        report = self.report
        report.nodes = sum(len(segment.places) for segment in self.walk.segments)
        report.places = len(self.walk.axes)
        report.variants = {part: len(variants) for part, variants in self.variants.items()}
        report.stripes = [f"{stripe.part or stripe.kind} {stripe.rows}" for stripe in self.stripes]
        report.moves = sum(move is not None for move in stock.moves.values())
        report.slices = len(stock.intra) + len(stock.moves)
        writer = _core.AtlasWriter(
            self.native.width,
            self.native.height,
            self.fps.as_integer_ratio(),
            matrix=self.native.matrix,
            walk_axes=WALK,
            limits={int(axis): (-most, most) for axis, most in LIMITS.items()},
            mouths=len(self.art.mouth_coords),
        )
        numbers = [self._add(writer, stripe, self._refresh(stock, i)) for i, stripe in enumerate(self.stripes)]
        for i, stripe in enumerate(self.stripes):
            if stripe.kind == "static":
                writer.set_static(numbers[i], writer.add_slice(numbers[i], *stock.intra[i, 0, 0]))
        for segment in self.walk.segments:
            nodes = []
            for n, place in enumerate(segment.places):
                entries: list[int | None] = []
                for i, stripe in enumerate(self.stripes):
                    if stripe.kind != "static":
                        count = self._count(stripe)
                        own = [writer.add_slice(numbers[i], *stock.intra[i, place, v]) for v in range(count)]
                        last = segment.places[n - 1] if n else place
                        entries += [self._move(writer, numbers[i], stock, (i, last, place), own[0]), *own]
                nodes.append((self.walk.axes[place], n % ANCHOR_EVERY == 0, entries))
            writer.add_segment(segment.modes, nodes)
        return writer

    @staticmethod
    def _move(
        writer: _core.AtlasWriter, number: int, stock: _Stock, step: tuple[int, int, int], own: int
    ) -> int | None:
        """The entry of a chain for a (stripe, place, next place)."""
        if step[1] == step[2]:
            return None
        if step not in stock.moves:
            return own
        move = stock.moves[step]
        return None if move is None else writer.add_slice(number, *move[0])

    def _refresh(self, stock: _Stock, i: int) -> int:
        """After how many P slices stripe i is to have an I slice."""
        blur, least = float(np.mean(stock.blurs[i] or [0.0])), 1e-3
        allowed = BLUR * 255**2 / 10 ** (self.target / 10)
        return int(np.clip(allowed / max(blur, least), *REFRESH))

    def _add(self, writer: _core.AtlasWriter, stripe: Stripe, refresh: int) -> int:
        if stripe.kind == "static":
            return writer.add_stripe("static", stripe.rows)
        if not stripe.part:
            return writer.add_stripe("choice", stripe.rows, values=self.rest.axes, refresh=refresh)
        variants = self.variants[stripe.part]
        values, weights, costs = variants.poses.axes, variants.weights, variants.costs
        return writer.add_stripe("choice", stripe.rows, values=values, weights=weights, costs=costs, refresh=refresh)

    # ---- looking at what comes out

    def _unlike(self, atlas: _core.Atlas, stock: _Stock) -> list[tuple[int, int]]:
        """(stripe, node) where a walk at rest, stitched, shows something else than an I slice by itself, or than what
        was shown before, moved by the vectors."""
        tools, stitcher, decoder = self._tools(), _core.Stitcher(atlas), Decoder(whole=True)
        before: dict[int, U8] = {}
        wrong = []
        for segment, (start, count, _) in zip(self.walk.segments, atlas.segments, strict=True):
            for n in range(count):
                unit = stitcher.unit(start + n, (0,) * len(atlas.variants), start + n == 0)
                whole = decoder.decode(unit)
                place, last = segment.places[n], segment.places[n - 1] if n else -1
                for i, stripe in enumerate(self.stripes):
                    if stripe.kind == "static":
                        continue
                    picture = rows_of(whole, tools.easel.columns, stripe.first, stripe.rows)
                    move = stock.moves.get((i, last, place))
                    right = tools.digest(i, picture) == stock.shown[i, place]
                    if not right and n and (last == place or move is None):
                        right = bool((picture == before[i]).all())
                    elif not right and n and move is not None:
                        right = bool((picture == tools.movers[i].moved(before[i], move[1])).all())
                    if not right:
                        wrong.append((i, start + n))
                    before[i] = picture
        return wrong


def _rate(mode: str, fps: Fraction) -> Fraction:
    """How often poses are looked at: a mouth is fast, and passes through states that pictures of other speech show."""
    return Fraction(100) if mode == "speaking" else fps
