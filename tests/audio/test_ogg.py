"""Ogg as it comes, link by link."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from lipwire.audio.ogg import OggLinks


def link(channels: int) -> bytes:
    """A tenth of a second of Opus, a page for each packet."""
    sink = io.BytesIO()
    layout = ("mono", "stereo")[channels - 1]
    with av.open(sink, "w", format="ogg", options={"page_duration": "20000"}) as file:
        stream = file.add_stream("libopus", rate=48_000, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ones((1, 4800 * channels), "<i2"), format="s16", layout=layout)
        frame.sample_rate = 48_000
        file.mux([*stream.encode(frame), *stream.encode(None)])
    return sink.getvalue()


def read(data: bytes, size: int) -> tuple[list[bytes], int]:
    links = OggLinks(io.BytesIO(data))
    found: list[bytes] = []
    while not found or links.next():
        found.append(b"".join(iter(lambda: links.read(size), b"")))
        assert links.read(size) == b"", "it stays at its end"
    return found, links.damaged


@pytest.mark.parametrize("size", [1, 100, 1 << 16])
def test_each_link_is_a_file(size: int) -> None:
    links = [link(1), link(2), link(1)]
    assert read(b"".join(links), size) == (links, 0)
    assert read(b"", size) == ([b""], 0)


def test_what_is_damaged_is_counted_and_given_as_it_is() -> None:
    one, two = link(1), link(2)
    last = one.rindex(b"OggS")
    for broken, damaged in (
        (one[: last + 40] + b"?" + one[last + 41 :], 1),  # within a page
        (one[:last] + b"?" * 9999 + one[last:], 1),  # between pages
        (one[:last] + b"?" + one[last + 1 :], 1),  # its first letter
        (one[:-1], 1),
    ):
        found, count = read(broken, 100)
        assert b"".join(found) == broken and count == damaged
    assert read(one[: last + 40] + b"?" + one[last + 41 :] + two, 100)[0][1:] == [two]


def test_what_is_not_read_of_a_link_is_passed_over() -> None:
    one, two = link(1), link(2)
    links = OggLinks(io.BytesIO(one + two))
    assert links.read(50) and links.next()
    assert links.read(1 << 16) == two[: two.index(b"OggS", 1)]
