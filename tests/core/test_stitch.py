"""Stitched H.264, as decoders see it. The C tests look at the bits."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from lipwire import _core
from lipwire.atlas.encode import IntraEncoder
from lipwire.errors import BadData, BadState, InvalidArgument
from support.stripes import (
    HEIGHT,
    SEGMENTS,
    VARIANTS,
    WIDTH,
    X264,
    anchors,
    check,
    decode,
    decoder,
    grey,
    i420,
    stitch,
    stripes,
    walk,
    writer,
    x264,
)


def test_random_walks_decode_to_the_very_stripes() -> None:
    # More pictures than frame_num has values, without an IDR picture among them; and with many.
    for seed, keys in ((1, 0.0), (2, 0.3)):
        units, expected = stitch(list(walk(seed, 600, keys)))
        assert max(map(len, units)) <= stripes().atlas.bound
        check(decode(units, decoder()), expected)


def test_every_idr_picture_is_a_way_in() -> None:
    steps = list(walk(3, 120, 0.3))
    units, expected = stitch(steps)
    starts = [at for at, (_, _, key) in enumerate(steps) if key]
    assert len(starts) > 5
    for at in starts:
        check(decode(units[at : at + 3], decoder()), expected[at : at + 3])


def test_a_lost_picture_is_over_at_the_next_idr_picture() -> None:
    steps = list(walk(4, 60, 0.0))
    again = next(at for at, (node, _, _) in enumerate(steps) if at > 30 and node in anchors())
    steps[again] = (*steps[again][:2], True)
    units, expected = stitch(steps)
    codec = decoder(strict=False)
    for at, unit in enumerate(units):
        if at in (10, 11, 25):
            continue
        shown: list[Any] = [frame.to_ndarray(format="yuv420p") for frame in codec.decode(av.Packet(unit))]
        if at < 10 or at >= again:
            check(shown, [expected[at]])


def test_units_with_lengths_decode_by_their_record() -> None:
    units, expected = stitch(list(walk(5, 60)), "avcc")
    check(decode(units, decoder(extradata=stripes().atlas.avcc)), expected)


def test_a_film_needs_no_encoder() -> None:
    units, expected = stitch(list(walk(6, 60)))
    file = io.BytesIO()
    with av.open(io.BytesIO(b"".join(units)), format="h264") as source, av.open(file, "w", format="mp4") as film:
        stream: Any = film.add_stream_from_template(source.streams.video[0])
        for at, unit in enumerate(units):
            packet = av.Packet(unit)
            packet.pts = packet.dts = at
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, at == 0
            film.mux(packet)
    file.seek(0)
    with av.open(file) as film:
        video = film.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (WIDTH, HEIGHT, 25)
        shown: list[Any] = [frame.to_ndarray(format="yuv420p") for frame in film.decode(video)]
    check(shown, expected)


@pytest.mark.parametrize(
    ("size", "fps", "matrix", "level"),
    [((16, 16), (25, 1), "bt709", 10), ((640, 360), (30000, 1001), "bt601", 30), ((1280, 720), (30, 1), "bt709", 31)],
)
def test_the_parameter_sets_say_what_it_is(
    size: tuple[int, int], fps: tuple[int, int], matrix: Any, level: int
) -> None:
    made = _core.AtlasWriter(*size, fps, matrix=matrix)
    columns, rows = (size[0] + 15) // 16, (size[1] + 15) // 16
    made.add_stripe("static", rows)
    grey_mbs = "00100111" * (columns * rows)
    data = int(grey_mbs, 2).to_bytes(columns * rows, "big")
    made.set_static(0, made.add_slice(0, data, 8 * len(data), 26, _core.SLICE_I))
    made.add_segment(1, [(np.zeros(_core.AXES, np.int16), True, [])])
    atlas = _core.Atlas(made.pack())
    assert (atlas.width, atlas.height, atlas.fps, atlas.matrix, atlas.level) == (*size, fps, matrix, level)
    assert atlas.avcc[:8] == bytes([1, 66, 0xC0, level, 0xFF, 0xE1, 0, len(atlas.sps)])
    codec = decoder()
    stitcher = _core.Stitcher(atlas)
    for _ in range(3):
        [frame] = codec.decode(av.Packet(stitcher.unit(0, (), codec.width == 0)))
        assert (frame.width, frame.height) == size
        assert (frame.to_ndarray(format="yuv420p") == 128).all()
        number = 1 if matrix == "bt709" else 6
        assert (frame.colorspace, frame.color_range) == ({1: 1, 6: 6}[number], 1)
    assert (codec.color_primaries, codec.color_trc) == (number, number)
    assert codec.framerate == Fraction(*fps)
    assert codec.has_b_frames == 0
    assert codec.profile == "Constrained Baseline"


def test_ffmpeg_reads_and_writes_the_same_headers() -> None:
    # Its coded bitstream reader takes each syntax element apart and its writer puts them together: what one of the two
    # knew otherwise would come out otherwise.
    units, _ = stitch(list(walk(7, 200, 0.2)))
    with av.open(io.BytesIO(b"".join(units)), format="h264") as source:
        rewrite = av.BitStreamFilterContext("h264_metadata=video_full_range_flag=0", source.streams.video[0])
        for unit in units:
            [packet] = rewrite.filter(av.Packet(unit))
            assert _core.nal_split(bytes(packet)) == _core.nal_split(unit)


def test_what_says_motion_alone_goes_on_from_any_variant() -> None:
    """A choice with `refresh`: each variant of each node is a grey of its own, a change to it is a bit lighter, a P
    slice of the chain keeps what is there."""
    made, encoder = _core.AtlasWriter(16, 16, (25, 1)), IntraEncoder(1, 1, 10)
    with pytest.raises(InvalidArgument, match="refresh"):
        made.add_stripe("choice", 1, values=np.zeros((2, _core.AXES), np.int16), refresh=4097)
    stripe = made.add_stripe("choice", 1, values=np.zeros((2, _core.AXES), np.int16), refresh=3)
    skipped = (b"\x40", 3, 26, _core.SLICE_P)  # mb_skip_run: 1

    def grey_of(node: int, variant: int, more: int = 0, *, patched: bool = False) -> int:
        picture = np.full((24, 16), 20 + 20 * node + 8 * variant + more, np.uint8)
        found = encoder.slice(picture)
        return made.add_slice(stripe, *(_core.patch_slice(skipped, found, (1, 1), (0, 0, 1, 1)) if patched else found))

    keep = made.add_slice(stripe, *skipped)
    own: dict[int, list[int | None]] = {n: [grey_of(n, v, patched=n == 5) for v in (0, 1)] for n in (0, 4, 5, 6, 8)}
    changes = {n: [grey_of(n, v, 4, patched=True) for v in (0, 1)] for n in (1, 2, 3, 4, 7, 8, 9)}
    chain = [None, keep, keep, keep, keep, None, own[6][0], keep, None, None]
    axes, none = np.zeros(_core.AXES, np.int16), [None, None]
    made.add_segment(
        1, [(axes, n in (0, 4, 8), [chain[n], *own.get(n, none), *changes.get(n, none)]) for n in range(10)]
    )
    stitcher, codec = _core.Stitcher(_core.Atlas(made.pack())), decoder()
    steps = [
        ((0, 1, True), 28),  # key
        ((1, 1, False), 28),  # P, from variant 1 as well
        ((1, 1, False), 28),  # stays
        ((2, 0, False), 64),  # a change
        ((3, 0, False), 64),
        ((4, 0, False), 100),  # three P slices are behind it
        ((5, 0, False), 120),  # no anchor: its own is taken
        ((6, 0, False), 140),  # the chain has an I slice
        ((7, 1, False), 172),
        ((8, 1, False), 172),  # NONE; one P slice is behind this anchor
        ((8, 0, False), 180),  # stays: its own
        ((9, 0, False), 180),
        ((9, 1, False), 212),  # a change where nothing moves
        ((0, 1, False), 28),  # a jump
        ((1, 0, False), 44),
        ((4, 1, True), 108),
        ((5, 1, False), 128),
        ((6, 1, False), 148),
        ((7, 1, False), 148),
        ((8, 0, False), 184),  # a change at an anchor
    ]
    for (node, variant, key), grey_ in steps:
        (shown,) = decode([stitcher.unit(node, (variant,), key)], codec)
        assert abs(int(np.asarray(shown)[:16].mean()) - grey_) <= 1, (node, variant, key)
    stitcher.unit(0, (0,))
    stitcher.unit(1, (0,))
    with pytest.raises(InvalidArgument, match="node 1"):
        stitcher.unit(1, (1,))  # what has moved would move again


def test_a_still_picture_is_a_dozen_bytes() -> None:
    stitcher = _core.Stitcher(stripes().atlas)
    stitcher.unit(0, (0,), True)
    units = [stitcher.unit(0, (0,)) for _ in range(3)]
    assert max(map(len, units)) <= 14
    changed = stitcher.unit(0, (1,))
    assert [nal[0] & 31 for nal in _core.nal_split(changed)] == [1, 1, 1], "skipped, a variant, skipped"


def test_what_the_walk_may_not_do() -> None:
    stitcher = _core.Stitcher(stripes().atlas)
    with pytest.raises(BadState):
        stitcher.unit(0, (0,))
    stitcher.unit(0, (0,), True)
    for node, variant, key in ((2, 0, False), (1, 0, True), (0, VARIANTS, False), (99, 0, False), (-1, 0, False)):
        with pytest.raises(InvalidArgument, match=f"node {node}"):
            stitcher.unit(node, (variant,), key)
    with pytest.raises(InvalidArgument, match="1 choices"):
        stitcher.unit(0)
    stitcher.unit(1, (0,))
    stitcher.reset()
    with pytest.raises(BadState):
        stitcher.unit(3, (0,))
    with pytest.raises(InvalidArgument, match="annexb, avcc"):
        _core.Stitcher(stripes().atlas, "mp4")  # type: ignore[arg-type]


def test_an_atlas_answers() -> None:
    atlas = stripes().atlas
    assert atlas.nodes == sum(count for count, _ in SEGMENTS)
    assert atlas.segments == ((0, 5, 1), (5, 4, 1), (9, 1, 1))
    assert (atlas.variants, atlas.mouths, atlas.walk_axes, atlas.note) == ((VARIANTS,), 2, (0, 8), b"a note")
    assert atlas.nbytes == len(stripes().blob) > atlas.bound
    assert atlas.head(2) == {0: 200 / 32767, 8: 0.0}
    axes = np.zeros(_core.AXES)
    assert atlas.choose(axes) == (0,)
    assert atlas.choose(axes, 1) == (1,), "the mouth's image costs more than the jaw"
    axes[7] = 0.4
    assert atlas.choose(axes) == (2,)
    assert atlas.covers(axes)
    axes[9] = 0.5
    assert not atlas.covers(axes)
    axes[9], axes[0] = 0.01, 1.0
    assert atlas.covers(axes), "the walk sets axis 0"
    for call in (lambda: atlas.anchor(99), lambda: atlas.head(-1), lambda: atlas.choose(axes, 2)):
        with pytest.raises(InvalidArgument):
            call()


def test_a_blob_that_is_none_is_refused() -> None:
    blob = stripes().blob
    for bad, why in (
        (b"", "no atlas"),
        (bytes(len(blob)), "no atlas"),
        (blob[:-1], "cut off"),
        (blob + b"\0", "longer"),
        (blob[:8] + b"\7" + blob[9:], "another version"),
        (blob[:48] + b"\3" + blob[49:], "not as high as the picture"),
    ):
        with pytest.raises(BadData, match=why):
            _core.Atlas(bad)


def test_equal_slices_share_one() -> None:
    made = writer()
    first = made.add_slice(0, b"\x27\x80", 9, 26, _core.SLICE_I)
    assert made.add_slice(0, b"\x27\xff", 9, 26, _core.SLICE_I) == first, "what is behind the bits does not count"
    others = [
        (1, b"\x27\x80", 9, 26, 2),
        (0, b"\x27\x80", 10, 26, 2),
        (0, b"\x27\x80", 9, 27, 2),
        (0, b"\x27\x80", 9, 26, 0),
    ]
    assert len({first, *(made.add_slice(*other) for other in others)}) == 5


def test_a_writer_says_what_is_wrong() -> None:
    made = writer()
    still = [made.add_slice(stripe, b"\x27", 8, 26, _core.SLICE_I) for stripe in range(4)]
    step = made.add_slice(1, b"\x27", 8, 26, _core.SLICE_P)
    axes = np.zeros(_core.AXES, np.int16)
    good = [still[1], None, *[still[2]] * VARIANTS, still[3]]
    bad: list[tuple[Any, str]] = [
        (lambda: made.add_segment(1, [(axes, False, good)]), "begins with an anchor"),
        (lambda: made.add_segment(1, []), "a node at least"),
        (lambda: made.add_segment(1, [(axes, True, good[:-1])]), "5 entries; 6 are wanted"),
        (lambda: made.add_segment(1, [(axes, True, [step, *good[1:]])]), "is P of stripe 1; an I slice of stripe 1"),
        (lambda: made.add_segment(1, [(axes, True, [still[3], *good[1:]])]), "is I of stripe 3"),
        (lambda: made.add_segment(1, [(axes, True, [good[0], still[2], *good[2:]])]), "an anchor has no chain"),
        (lambda: made.add_segment(1, [(axes[:3], True, good)]), r"axes: .* shape \(15,\)"),
        (lambda: made.add_segment(1, [(axes + 0.5, True, good)]), "whole numbers"),
        (lambda: made.add_slice(0, b"\x27", 9, 26, _core.SLICE_I), "bit_length is out of range: 9, of 1 bytes"),
        (lambda: made.add_slice(0, b"\x27", 8, 52, _core.SLICE_I), "slice of type 2, QP 52"),
        (lambda: made.add_slice(4, b"\x27", 8, 26, _core.SLICE_I), "stripe is out of range: 4 of 4"),
        (lambda: made.set_static(1, still[1]), "stripe 1 is moving"),
        (lambda: made.add_stripe("static", 1), "0 are left|slices"),
        (lambda: made.pack(), "stripe 0 has no slice"),
        (lambda: _core.AtlasWriter(64, 64, (25, 1), limits={3: (5, 4)}), "limits of axis 3"),
        (lambda: _core.AtlasWriter(64, 64, (25, 1), walk_axes=[15]), "axis is out of range"),
        (lambda: _core.AtlasWriter(64, 64, (25, 1)).pack(), "0 of 4 rows"),
        (lambda: _core.AtlasWriter(64, 64, (25, 1)).add_stripe("choice", 1), "a choice has values"),
        (lambda: _core.AtlasWriter(64, 64, (25, 1)).add_stripe("frozen", 1), "static, moving, choice"),  # type: ignore[arg-type]
    ]
    for call, message in bad:
        with pytest.raises((InvalidArgument, BadState), match=message):
            call()
    made.set_static(0, still[0])
    assert made.add_segment(1, [(axes, True, good), (axes, False, [step, None, *good[2:-1], None])]) == 0
    assert _core.Atlas(made.pack()).nodes == 2, "what was refused left nothing"


@pytest.mark.parametrize(
    ("options", "profile", "why"),
    [
        (X264.replace("cabac=0", "cabac=1"), None, "CABAC"),
        (X264.replace("8x8dct=0", "8x8dct=1"), "high", "8x8 transform"),
        (X264.replace("no-deblock=1", "deblock=0,0"), "baseline", "deblocked"),
        (X264.replace("weightp=0", "weightp=2"), None, "weighted prediction"),
        (X264.replace("ref=1", "ref=3"), "baseline", "more than one reference"),
        (X264.replace("psy=0", "psy-rd=1.0,0:subme=8"), "baseline", "chroma_qp_index_offset"),
        (X264.replace("constrained-intra=1", "constrained-intra=0"), "baseline", "constrained_intra_pred"),
        (X264 + ":interlaced=1", "main", "interlaced"),
        (X264.replace("bframes=0", "bframes=2:b-adapt=0"), None, "neither an I nor a P"),
    ],
)
def test_what_cannot_be_stitched_is_refused(options: str, profile: str | None, why: str) -> None:
    nals = _core.nal_split(x264([i420(64, 64, 3 * k, 10 * k, 0) for k in range(6)], options, profile))
    sps, pps = (next(nal for nal in nals if nal[0] & 31 == kind) for kind in (7, 8))
    with pytest.raises(BadData, match=f"cannot be stitched: .*{why}"):
        for nal in nals:
            if nal[0] & 31 in (1, 5):
                _core.slice_payload(nal, sps, pps)


def test_parameter_sets_of_other_streams() -> None:
    stream = x264([i420(64, 64, 0, 0, 0)], X264, "baseline")
    sps, pps, nal = (next(n for n in _core.nal_split(stream) if n[0] & 31 == kind) for kind in (7, 8, 5))
    bits, length, qp, kind = _core.slice_payload(nal, sps, pps)
    assert (len(bits), kind) == ((length + 7) // 8, _core.SLICE_I)
    assert 0 < qp < 52
    for bad, why in (
        ((pps, sps, pps), "no slice"),
        ((nal, pps, pps), "SPS is none"),
        ((nal, sps, sps), "PPS is none"),
        ((nal, sps[:4], pps), "SPS"),
        ((nal, sps, pps[:1]), "PPS is none"),
        ((nal[:3], sps, pps), "malformed|no data|deblocked"),
        ((b"", sps, pps), "no slice"),
    ):
        with pytest.raises(BadData, match=why):
            _core.slice_payload(*bad)


def test_the_smallest_atlas() -> None:
    atlas = _core.Atlas(grey())
    stitcher = _core.Stitcher(atlas)
    shown = decode([stitcher.unit(0, (0,), True), stitcher.unit(1, (1,)), stitcher.unit(2, (1,))], decoder())
    assert all((picture == 128).all() for picture in shown)
