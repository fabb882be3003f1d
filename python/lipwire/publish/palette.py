"""Pictures of 256 colours, for GIF: one palette a film, made of its first pictures."""

from __future__ import annotations

import itertools
from typing import Any

import av
from av.filter import Graph
from av.video.format import VideoFormat

from .pyav import as_rgb

LOOKED_AT = 40
"""Pictures that the palette is made of: enough for a mouth to have opened, and few enough to be kept."""


RGB = VideoFormat("rgb32")


class PaletteFilter:
    """Takes pictures and gives them back in 256 colours, later at first. They keep their times."""

    def __init__(self, width: int, height: int) -> None:
        self._size = width, height
        self._waiting: list[Any] = []
        self._graph: Graph | None = None

    def take(self, frame: Any) -> list[Any]:
        """Takes one, which is copied; gives those that are ready."""
        rgb = as_rgb(frame, RGB.name)
        rgb.pts, rgb.time_base = frame.pts, frame.time_base
        if self._graph is not None:
            return self._through([rgb])
        self._waiting.append(rgb)
        return self._begin() if len(self._waiting) == LOOKED_AT else []

    def flush(self) -> list[Any]:
        """What still waits."""
        return self._begin() if self._waiting else []

    def _begin(self) -> list[Any]:
        waiting, self._waiting = self._waiting, []
        maker, source = self._new_graph(waiting[0])
        _chain(maker, source, maker.add("palettegen", "stats_mode=full"), maker.add("buffersink"))
        for frame in waiting:
            maker.push(frame)
        maker.push(None)
        palette = maker.pull()
        self._graph, pictures = self._new_graph(waiting[0])
        colours = self._graph.add_buffer(width=16, height=16, format=RGB, time_base=waiting[0].time_base)
        user = self._graph.add("paletteuse", "dither=bayer:bayer_scale=3:diff_mode=rectangle")
        pictures.link_to(user, 0, 0)
        colours.link_to(user, 0, 1)
        _chain(self._graph, user, self._graph.add("buffersink"))
        palette.pts = waiting[0].pts
        palette.time_base = waiting[0].time_base
        colours.push(palette)
        colours.push(None)
        self._source = pictures
        return self._through(waiting)

    def _new_graph(self, like: Any) -> tuple[Graph, Any]:
        graph = Graph()
        width, height = self._size
        return graph, graph.add_buffer(width=width, height=height, format=RGB, time_base=like.time_base)

    def _through(self, frames: list[Any]) -> list[Any]:
        assert self._graph is not None
        done = []
        for frame in frames:
            self._source.push(frame)
            while True:
                try:
                    done.append(self._graph.pull())
                except (av.error.BlockingIOError, av.error.EOFError):
                    break
        return done


def _chain(graph: Graph, *filters: Any) -> None:
    for one, next_ in itertools.pairwise(filters):
        one.link_to(next_)
    graph.configure()
