"""Makes an atlas: every picture of an avatar's walk, encoded once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
from msgspec import Struct, json
from numpy.typing import NDArray

from .. import _core
from ..avatar import Avatar
from ..avatar.art import Art, Axis
from ..errors import BadState, InvalidArgument
from ..pools import give_way, pool
from .box import Box, Spread, bounds, reached
from .encode import Decoder, IntraEncoder, Slice
from .harvest import MODES, WALK, Poses, speech, watch
from .moved import Field, Mover
from .picture import BLOCK, U8, Easel, digest, rows_of, visible
from .proof import measure, quantizer
from .residual import Packed, add, residual
from .stripes import Stripe, at_place, cut
from .variants import PARTS, Variants, Visited, choose, distances, visited
from .walk import ANCHOR_EVERY, Reach, plan

QUALITIES = {"low": 38.0, "medium": 41.0, "high": 45.0}
"""Least PSNR, in dB, of Y, U and V that whole pictures are encoded to, on average, against the drawing."""
QUALITY = "high"
"""That is made unless another is asked for."""
STEP = 0.40
"""Pixels of a picture of 360 lines that the head moves at once, at least."""
PLACES = 280
"""Positions of the head, at most."""
VARIANTS = {"mouth": 36, "eyes": 24}
"""At most, the one at rest among them."""
LEAST = {"mouth": 20, "eyes": 10}
"""The same, at least, whatever they take; a part that has not so many states has fewer."""
COUNTS = (12, 14, 16, 18, 20, 22, 24, 27, 30, 33, 36)
"""How many are looked at."""
BUDGET = 22_500_000
"""Bytes that all parts' variants may take at 640 x 360, about; of larger pictures more, by their area."""
TWICE = 1.85
"""How often a change lies in an atlas, for each place: with motion around it, and with none."""
BLUR = 0.8
"""Of the squared error that `quality` allows: what a stripe may have more of it, moved, before it is encoded anew."""
FINER_BY = {"mouth": 0, "eyes": 2, "moving": 10, "static": 12}
"""By how much the quantizer is finer of stripes of parts, and of what has none: the less often they are encoded
anew, the better they may be; what stands still is sent in key frames alone."""
BOX_FINER_BY = {"mouth": 0, "eyes": 1}
"""The same of what a change of variant encodes."""
LEFT_FINER_BY = 4
"""The same of what motion leaves,"""
LEFT_BIT = 0.4
"""and what a bit of it is worth, in squared error, at a quantizer of 12."""
SAMPLED = 6
"""Variants whose bytes are looked at."""
FINEST = 10
"""The least quantizer."""
SHARES = {"idle": 0.3, "listening": 0.15, "thinking": 0.05, "speaking": 0.5}
"""How much of its time a face is in a mode, which says what its eyes mostly do."""
LIMITS = {Axis.HAPPY: 1500, Axis.CONCERNED: 1500, Axis.SURPRISED: 1500, Axis.WAVE: 300}
"""How far an axis that the table has nothing for may go (q15): less is not seen."""
NICE = 10
NEVER = 4096
"""P slices behind which anchors are not to renew a stripe by themselves: more than a segment has."""
WALKED = 2
"""How often the whole walk is looked at afterwards."""
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
        self._qp = [
            [max(FINEST, qp - finer.get(stripe.part or stripe.kind, 0)) for finer in (FINER_BY, BOX_FINER_BY)]
            for stripe in stripes
        ]
        self._encoders: dict[tuple[int, int, int], tuple[IntraEncoder, Decoder]] = {}
        self.movers = [Mover(self.easel.columns, stripe.rows, qp) for stripe in stripes]

    def picture(self, i: int) -> U8:
        """Stripe i of what the easel shows."""
        return self.easel.stripe(self.stripes[i].first, self.stripes[i].rows)

    def intra(self, i: int, picture: U8, *, change: bool = False) -> tuple[Slice, U8]:
        """An I slice of stripe i, or of a box of it, and what a decoder shows; `change`: of what changes with its
        variants."""
        columns, rows = picture.shape[1] // BLOCK, picture.shape[0] * 2 // 3 // BLOCK
        key = columns, rows, self._qp[i][change]
        if key not in self._encoders:
            self._encoders[key] = IntraEncoder(*key), Decoder()
        encoder, decoder = self._encoders[key]
        slice_, unit = encoder.encode(picture)
        return slice_, decoder.decode(unit)

    def size(self, i: int) -> tuple[int, int]:
        """Of stripe i, in pixels."""
        return self.easel.columns * BLOCK, self.stripes[i].rows * BLOCK

    def whole(self, i: int, picture: U8) -> bytes:
        """A digest of what of stripe i lies in the frame."""
        rows = min(self.stripes[i].rows * BLOCK, self.easel.height - self.stripes[i].first * BLOCK)
        return visible(picture, self.easel.columns * BLOCK, 0, rows, self.easel.width)


@dataclass(slots=True)
class _Step:
    """How a stripe comes to a node from the one before: by these vectors, that this P slice says (None: as it was), and
    by what they leave; `anew`: its box is encoded in any case. `reach`: macroblocks that come from where variants
    differ."""

    field: Field | None = None
    slice: Slice | None = None
    residual: Packed | None = None
    reach: NDArray[np.bool_] | None = None
    anew: bool = False


class _Stock:
    """All that was encoded.

    By (stripe, place, variant), slices and digests of what they show: `intra`, of whole stripes, `boxed`, of what a
    change of variant encodes anew. By (stripe, place): `pixels`, where variants differ, `boxes`, what that makes (None:
    nothing). By (stripe, node): `steps`. `whole`: (stripe, place) that are encoded whole."""

    def __init__(self) -> None:
        self.intra: dict[tuple[int, int, int], tuple[Slice, bytes]] = {}
        self.boxed: dict[tuple[int, int, int], tuple[Slice, bytes]] = {}
        self.pixels: dict[tuple[int, int], Box | None] = {}
        self.boxes: dict[tuple[int, int], Box | None] = {}
        self.steps: dict[tuple[int, int], _Step] = {}
        self.whole: set[tuple[int, int]] = set()


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
        tables = {
            stripe.part: _table(self.art, easel, stripe, states[stripe.part]) for stripe in self.stripes if stripe.part
        }
        firsts = [table[0].poses for table in tables.values()]
        self.qp = self.report.quantizer = quantizer(easel, firsts, self.target)
        self._share_out(easel, tables)
        self.changing = [i for i, stripe in enumerate(self.stripes) if stripe.kind != "static"]
        self.left_qp = max(FINEST, self.qp - LEFT_FINER_BY)
        self.left_bit = LEFT_BIT * 2 ** ((self.left_qp - 12) / 3)
        self.local = threading.local()

    def _share_out(self, easel: Easel, tables: dict[str, list[Variants]]) -> None:
        """Gives each part as many variants as leave the least error in the budget: one after the other takes the step
        that takes off most for its bytes."""
        tools = _Tools(self.native, self.stripes, self.qp)
        places, anchors = len(self.walk.axes), {p for s in self.walk.segments for p in s.places[::ANCHOR_EVERY]}
        left = BUDGET * max(1.0, easel.width * easel.height / (640 * 360))
        size: dict[str, float] = {}
        for i, stripe in enumerate(self.stripes):
            if stripe.part:
                self.variants[stripe.part] = tables[stripe.part][-1]
                boxed, whole = self._sizes(tools, i)
                size[stripe.part] = TWICE * places * boxed + len(anchors) * whole
        at = dict.fromkeys(tables, 0)
        left -= sum(size[part] * len(table[0]) for part, table in tables.items())
        while True:
            best, rate = "", 0.0
            for part, table in tables.items():
                if at[part] + 1 < len(table):
                    now, more = table[at[part]], table[at[part] + 1]
                    price = size[part] * (len(more) - len(now))
                    if price <= left and (now.error - more.error) / max(price, 1.0) > rate:
                        best, rate = part, (now.error - more.error) / max(price, 1.0)
            if not best:
                break
            left -= size[best] * (len(tables[best][at[best] + 1]) - len(tables[best][at[best]]))
            at[best] += 1
        self.variants = {part: table[at[part]] for part, table in tables.items()}

    def _sizes(self, tools: _Tools, i: int) -> tuple[float, float]:
        """Bytes of a box of stripe i at rest, and of its I slice, on average over some variants."""
        count = self._count(self.stripes[i])
        pictures = [self._drawn(tools, i, 0, v) for v in sorted({k * count // SAMPLED for k in range(SAMPLED)})]
        spread = Spread(*tools.size(i))
        for picture in pictures:
            spread.add(picture)
        box = bounds(spread.differ(), [])
        whole = [len(tools.intra(i, picture)[0].bits) for picture in pictures]
        if box is None:
            return 0.0, float(np.mean(whole))
        boxed = [len(tools.intra(i, box.part(picture, *tools.size(i)), change=True)[0].bits) for picture in pictures]
        return float(np.mean(boxed)), float(np.mean(whole))

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
        """In three rounds: where variants differ, how everything moves, and then what that leaves to be encoded."""
        stock = _Stock()
        places = range(len(self.walk.axes))
        threads = pool(jobs, "lipwire-atlas")

        def go(work: list[Callable[[], None]], since: float, until: float) -> None:
            tasks = [threads.submit(self._gently, one) for one in work]
            for k, task in enumerate(tasks, 1):
                task.result()
                progress(since + (until - since) * k / len(tasks))

        try:
            go([partial(self._look, stock, place) for place in places], 0.0, 0.05)
            walks = [(i, s) for s in range(len(self.walk.segments)) for i in self.changing]
            go([partial(self._follow, stock, i, s) for i, s in walks], 0.05, 0.45)
            self._settle(stock)
            go([partial(self._place, stock, place) for place in places], 0.45, 0.97)
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

    def _drawn(self, tools: _Tools, i: int, place: int, variant: int) -> U8:
        """Stripe i at a place, its part in that variant, all others at rest."""
        axes, visemes, part = self.rest.axes[0].copy(), self.rest.visemes[0], self.stripes[i].part
        if part:
            own, poses = list(PARTS[part]), self.variants[part].poses
            axes[own] = poses.axes[variant, own]
            if part == "mouth":
                visemes = poses.visemes[variant]
        tools.easel.show(at_place(axes, self.walk.axes[place]), visemes)
        return tools.picture(i)

    def _count(self, stripe: Stripe) -> int:
        """How many variants it has."""
        return len(self.variants[stripe.part]) if stripe.part else 1

    def _look(self, stock: _Stock, place: int) -> None:
        """Where variants differ at a place."""
        tools = self._tools()
        for i in self.changing:
            if self._count(self.stripes[i]) > 1:
                spread = Spread(*tools.size(i))
                for v in range(self._count(self.stripes[i])):
                    spread.add(self._drawn(tools, i, place, v))
                stock.pixels[i, place] = spread.differ()

    def _follow(self, stock: _Stock, i: int, s: int) -> None:
        """How stripe i moves along segment s: as seen at rest, and in the first other variant. What is moved is what
        was shown before, so that the next step mends what the last ones left."""
        tools, segment, first = self._tools(), self.walk.segments[s], self._first(s)
        drawn = self._drawn(tools, i, segment.places[0], 0)
        shown = tools.intra(i, drawn)[1]
        blur = BLUR * 255**2 / 10 ** (self.target / 10)
        allowed = self._error(i, shown, drawn) + blur
        stock.steps[i, first] = _Step()
        for n, (before, after) in enumerate(pairwise(segment.places), 1):
            step = stock.steps[i, first + n] = _Step()
            if before == after:
                continue
            drawn = self._drawn(tools, i, after, 0)
            shown = self._stepped(stock, tools, step, i, before, after, shown, drawn)
            box = self._box(stock, step, i, after)
            if box is not None and n % ANCHOR_EVERY and self._error(i, shown, drawn) > allowed:
                step.anew = True
                inside = tools.intra(i, box.part(drawn, *tools.size(i)), change=True)[1]
                shown = box.put(shown, inside, *tools.size(i))
                allowed = self._error(i, shown, drawn) + blur

    def _stepped(
        self, stock: _Stock, tools: _Tools, step: _Step, i: int, before: int, after: int, shown: U8, drawn: U8
    ) -> U8:
        """Finds one step from what is shown to what is drawn, and returns what is shown then."""
        mover, pixels, size = tools.movers[i], stock.pixels, tools.size(i)
        pairs = [(shown, drawn)]
        if self._count(self.stripes[i]) > 1:
            box, other = bounds(pixels[i, before], []), self._drawn(tools, i, before, 1)
            if box is not None:
                other = box.put(shown, box.part(other, *size), *size)
            pairs.append((other, self._drawn(tools, i, after, 1)))
        found = mover.slice(pairs, *self.reach.window(self.walk.axes[before], self.walk.axes[after]))
        if found is not None:
            step.slice, step.field = found
            shown = mover.moved(shown, step.field)
        step.reach = reached(mover.still if step.field is None else step.field, pixels.get((i, before)))
        box = self._box(stock, step, i, after)
        leave = np.zeros((mover.rows, mover.columns), bool)
        if box is not None:
            leave[box.top : box.bottom, box.left : box.right] = True
        left = residual(shown, drawn, mover.columns, mover.rows, self.left_qp, self.left_bit, leave)
        step.residual = Packed.of(left) if left.coded.any() else None
        return add(shown, left.added)

    @staticmethod
    def _box(stock: _Stock, step: _Step, i: int, place: int) -> Box | None:
        """What a change of variant encodes behind this step, at least."""
        return bounds(stock.pixels.get((i, place)), [] if step.reach is None else [step.reach])

    def _error(self, i: int, shown: U8, drawn: U8) -> float:
        """Mean squared error of luma."""
        lines = self.stripes[i].rows * BLOCK
        return float(np.square(shown[:lines].astype(np.int32) - drawn[:lines]).mean())

    def _first(self, s: int) -> int:
        """The first node of segment s."""
        return sum(len(segment.places) for segment in self.walk.segments[:s])

    def _nodes(self) -> Iterator[tuple[int, int | None, int, bool]]:
        """Each node: its number, the place before in its segment, its place, and whether it is an anchor."""
        number = 0
        for segment in self.walk.segments:
            for n, place in enumerate(segment.places):
                yield number, segment.places[n - 1] if n else None, place, n % ANCHOR_EVERY == 0
                number += 1

    def _settle(self, stock: _Stock) -> None:
        """Says where boxes lie, and what is to be encoded whole."""
        arrivals: dict[tuple[int, int], list[NDArray[np.bool_]]] = defaultdict(list)
        stock.whole = {(i, 0) for i in range(len(self.stripes))}
        for node, _, place, anchor in self._nodes():
            for i in self.changing:
                reach = stock.steps[i, node].reach
                if reach is not None:
                    arrivals[i, place].append(reach)
                if anchor:
                    stock.whole.add((i, place))
        stock.boxes = {key: bounds(pixels, arrivals[key]) for key, pixels in stock.pixels.items()}
        for node, _, place, _ in self._nodes():
            for i in self.changing:
                step, box = stock.steps[i, node], stock.boxes.get((i, place))
                if step.residual is not None and box is not None:
                    step.residual = step.residual.without(box)

    def _place(self, stock: _Stock, place: int) -> None:
        """All variants at a place: the whole stripe, where that is wanted, and the box that a change encodes."""
        tools = self._tools()
        for i, stripe in enumerate(self.stripes):
            box, whole = stock.boxes.get((i, place)), (i, place) in stock.whole
            for v in range(self._count(stripe) if box is not None or whole else 0):
                picture = self._drawn(tools, i, place, v)
                if whole:
                    slice_, shown = tools.intra(i, picture)
                    stock.intra[i, place, v] = slice_, tools.whole(i, shown)
                if box is not None:
                    slice_, shown = tools.intra(i, box.part(picture, *tools.size(i)), change=True)
                    stock.boxed[i, place, v] = slice_, digest(shown)

    def _chain(self, stock: _Stock, i: int, node: int) -> Slice | None:
        """The P slice that leads from the node before to this one, whatever the variant; None: nothing moves."""
        step, mover = stock.steps[i, node], self._tools().movers[i]
        left = step.residual
        if left is None or not left.coded.any():
            return step.slice
        around = mover.around(mover.still if step.field is None else step.field, None, left.coded)
        size = mover.columns, mover.rows
        return Slice(*_core.patch_slice(around, None, size, (0, 0, 0, 0), left.levels(), self.left_qp))

    def _changes(self, stock: _Stock, i: int, node: int, place: int) -> list[Slice]:
        """The P slices that turn any variant of stripe i at the node before into each of its variants here."""
        step, mover, box = stock.steps[i, node], self._tools().movers[i], stock.boxes[i, place]
        variants, left = range(self._count(self.stripes[i])), step.residual
        if box is None:
            return [self._chain(stock, i, node) or mover.around(mover.still, None) for _ in variants]
        field = mover.still if step.field is None else step.field
        around = mover.around(field, box, None if left is None else left.coded)
        size, levels = (mover.columns, mover.rows), None if left is None else left.levels()
        return [
            Slice(*_core.patch_slice(around, stock.boxed[i, place, v][0], size, box, levels, self.left_qp))
            for v in variants
        ]

    # ---- packing

    def _filled(self, stock: _Stock) -> _core.AtlasWriter:
        report = self.report
        report.nodes = sum(len(segment.places) for segment in self.walk.segments)
        report.places = len(self.walk.axes)
        report.variants = {part: len(variants) for part, variants in self.variants.items()}
        report.stripes = [f"{stripe.part or stripe.kind} {stripe.rows}" for stripe in self.stripes]
        report.moves = sum(step.field is not None for step in stock.steps.values())
        report.slices = len(stock.intra) + len(stock.boxed) + report.moves
        writer = _core.AtlasWriter(
            self.native.width,
            self.native.height,
            self.fps.as_integer_ratio(),
            matrix=self.native.matrix,
            walk_axes=WALK,
            limits={int(axis): (-most, most) for axis, most in LIMITS.items()},
            mouths=len(self.art.mouth_coords),
        )
        numbers = [self._add(writer, stripe) for stripe in self.stripes]
        for i, stripe in enumerate(self.stripes):
            if stripe.kind == "static":
                writer.set_static(numbers[i], writer.add_slice(numbers[i], *stock.intra[i, 0, 0][0]))
        nodes: list[tuple[NDArray[np.int16], bool, list[int | None]]] = []
        for node, last, place, anchor in self._nodes():
            entries: list[int | None] = []
            for i in self.changing:
                entries += self._entries(writer, numbers[i], stock, i, node, last, place, anchor)
            nodes.append((self.walk.axes[place], anchor, entries))
        for s, segment in enumerate(self.walk.segments):
            writer.add_segment(segment.modes, nodes[self._first(s) :][: len(segment.places)])
        return writer

    def _entries(
        self,
        writer: _core.AtlasWriter,
        number: int,
        stock: _Stock,
        i: int,
        node: int,
        last: int | None,
        place: int,
        anchor: bool,
    ) -> list[int | None]:
        """Those of stripe i at a node: its chain from the place before, its variants, and changes to them."""
        count, step = self._count(self.stripes[i]), stock.steps[i, node]
        none: list[int | None] = [None] * count

        def added(slices: list[Slice]) -> list[int | None]:
            return [writer.add_slice(number, *one) for one in slices]

        own, changes = none, none
        if last is not None and count > 1:
            changes = added(self._changes(stock, i, node, place))
        if anchor:
            own = added([stock.intra[i, place, v][0] for v in range(count)])
        elif step.anew:
            own = changes
        chain = self._chain(stock, i, node)
        return [
            None if chain is None else writer.add_slice(number, *chain),
            *own,
            *(changes if count > 1 else []),
        ]

    def _add(self, writer: _core.AtlasWriter, stripe: Stripe) -> int:
        if stripe.kind == "static":
            return writer.add_stripe("static", stripe.rows)
        if not stripe.part:
            return writer.add_stripe("choice", stripe.rows, values=self.rest.axes, refresh=NEVER)
        variants = self.variants[stripe.part]
        values, weights, costs = variants.poses.axes, variants.weights, variants.costs
        return writer.add_stripe("choice", stripe.rows, values=values, weights=weights, costs=costs, refresh=NEVER)

    # ---- looking at what comes out

    def _unlike(self, atlas: _core.Atlas, stock: _Stock) -> list[tuple[int, int]]:
        """(stripe, node) where a walk, stitched, shows something else than an I slice by itself, or than what was shown
        before, moved by the vectors, with the box of the variant in it. At rest, then in variants at random."""
        tools, decoder, random = self._tools(), Decoder(whole=True), np.random.default_rng(1)
        wrong = []
        for walked in range(WALKED):
            stitcher = _core.Stitcher(atlas)
            before: dict[int, tuple[U8, int]] = {}
            for node, last, place, _ in self._nodes():
                chosen = [int(random.integers(c)) if walked else 0 for c in atlas.variants]
                whole = decoder.decode(stitcher.unit(node, tuple(chosen), node == 0))
                for i, v in zip(self.changing, chosen, strict=True):
                    picture = rows_of(whole, tools.easel.columns, self.stripes[i].first, self.stripes[i].rows)
                    right = (i, place) in stock.whole and tools.whole(i, picture) == stock.intra[i, place, v][1]
                    if not right and last is not None:
                        right = self._follows(stock, (i, node, place), before[i], (picture, v))
                    if not right:
                        wrong.append((i, node))
                    before[i] = picture, v
        return wrong

    def _follows(self, stock: _Stock, at: tuple[int, int, int], old: tuple[U8, int], new: tuple[U8, int]) -> bool:
        """Whether a picture of a (stripe, node, place), and its variant, follow on another."""
        tools, (i, node, place), (picture, v) = self._tools(), at, new
        step, expected, size = stock.steps[i, node], old[0], tools.size(i)
        if step.field is not None:
            expected = tools.movers[i].moved(expected, step.field)
        if step.residual is not None:
            expected = add(expected, step.residual.added())
        box = stock.boxes.get((i, place)) if old[1] != v or step.anew else None
        if box is not None:
            if digest(box.part(picture, *size)) != stock.boxed[i, place, v][1]:
                return False
            picture, expected = box.without(picture, *size), box.without(expected, *size)
        return bool((picture == expected).all())


def _table(art: Art, easel: Easel, stripe: Stripe, states: Visited) -> list[Variants]:
    """Variants of a stripe's part, from few to many; each leaves less error than those before."""
    d = distances(easel, states, stripe.first, stripe.rows)
    most = VARIANTS[stripe.part]
    least = min(LEAST[stripe.part], most)
    table: list[Variants] = []
    for count in [least, *(count for count in COUNTS if least < count <= most)]:
        found = choose(art, stripe.part, states, d, count)
        if not table or (found.error < table[-1].error and len(found) > len(table[-1])):
            table.append(found)
    return table


def _rate(mode: str, fps: Fraction) -> Fraction:
    """How often poses are looked at: a mouth is fast, and passes through states that pictures of other speech show."""
    return Fraction(100) if mode == "speaking" else fps
