"""What carries a session's sound and pictures to the worker: a shared ring (docs/sharing.md), and a page on which the
worker notes how far it has sent.

Both outlive the worker. A new one seeks the ring to where the last one stopped: nothing that was not sent is lost, and
at most the block that was being sent is sent twice. By the same page the session takes back the pictures that have been
shown, so that only a few are in use while the worker keeps up; while it is away they stay, with their sound.
"""

from __future__ import annotations

import mmap
import os
from collections import deque

from ..._core import BLOCK, Frame, SharedFrame, SharedPcm, SharedReader, SharedWriter
from ...audio.fade import fade_out, is_fade
from ...errors import InvalidArgument
from ...stream import StreamSpec

SOUND_BLOCKS = 1000
"""10 s: what a worker may be away for before sound is lost."""
PICTURES = 64
"""That may wait for it."""
FADEABLE = 64
"""Blocks of which the first can still be faded out when they are dropped."""
SILENCE = bytes(2 * BLOCK)

MAGIC = 0x5047_4F52_5057_4C02
_MAGIC, _SENT, _SHOWN, _SHOWN_COUNT, _LOST, _SKIPPED, _LATE, _PICTURES_LOST = range(8)
"""Words (8 bytes) of the page: the sample behind the last block sent, or -1; the sample of the last picture shown, or
-1; pictures shown; blocks lost to a full ring; silent blocks left out to catch up; pictures passed over because a newer
one was due as well; pictures lost to a full ring. The worker writes them, one at a time, when what they say is done."""


class _Page:
    """The page, mapped. Takes over `fd`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, mmap.PAGESIZE)
        self._memory = memoryview(self._map)
        self.words = self._memory.cast("q")

    def close(self) -> None:
        if self.fd >= 0:
            self.words.release()
            self._memory.release()
            self._map.close()
            os.close(self.fd)
            self.fd = -1


class FeedWriter:
    """The session's side.

    Args:
        spec: the stream's.
        slots: pictures that are being drawn or handed over, beside those that wait.
    """

    def __init__(self, spec: StreamSpec, slots: int = 1) -> None:
        self.ring = SharedWriter(
            spec.width,
            spec.height,
            spec.fps.as_integer_ratio(),
            session=spec.session_id,
            matrix=spec.matrix,
            slots=slots + PICTURES,
            keep=PICTURES,
            pcm_blocks=SOUND_BLOCKS,
        )
        page = os.memfd_create("lipwire-feed", os.MFD_CLOEXEC)
        os.ftruncate(page, mmap.PAGESIZE)
        self._page = _Page(page)
        words = self._page.words
        words[_SENT] = words[_SHOWN] = -1
        words[_MAGIC] = MAGIC
        self._written = self._pictures = self._retired_to = 0
        self._end = self._dropped_to = 0
        """Samples: behind the last block written; below which nothing is to be sent."""
        self._newest: deque[bytes] = deque(maxlen=FADEABLE)
        self._faded = False
        """What waited has faded out; the block that comes next may be the same fade again."""

    @property
    def fds(self) -> tuple[int, int]:
        """To hand to a worker: the ring's, read-only, and the page's."""
        return self.ring.fileno(), self._page.fd

    def sound(self, pcm: bytes, sample: int) -> None:
        """10 ms at `sample`. When the ring is full the oldest block is lost; the worker counts it."""
        if self._faded:
            pcm, self._faded = (SILENCE if is_fade(pcm) else pcm), False
        self._newest.append(pcm)
        self.ring.write_pcm(pcm, sample)
        if not self._written:
            self._dropped_to = sample
        self._written += 1
        self._end = sample + BLOCK

    def picture(self, frame: Frame, sample: int | None = None) -> None:
        """A picture, uncopied where it was drawn in the ring; shown with the sound at `sample` (default: its own)."""
        shown = self._page.words[_SHOWN]
        if shown >= self._retired_to:
            self.ring.retire(shown)
            self._retired_to = shown + 1
        self.ring.write_frame(frame, sample)
        self._pictures += 1

    def drop(self, *, fade: bool = False) -> None:
        """Nothing of what was written so far is to be sent any more. `fade`: somebody is listening, so what would have
        been sent next is sent as a fade of 5 ms, and the rest of it that is yet to be written is silent."""
        waiting = self.waiting
        self.ring.interrupt()
        self._dropped_to = self._end
        if fade and 0 < waiting <= len(self._newest):
            self._dropped_to -= BLOCK
            self.ring.write_pcm(fade_out(self._newest[-waiting]), self._dropped_to)
            self._faded = True
        self._newest.clear()

    @property
    def waiting(self) -> int:
        """Blocks written, not dropped, and not sent."""
        return max(0, self._end - max(self._dropped_to, self._page.words[_SENT])) // BLOCK

    def stats(self) -> dict[str, int]:
        """Counters: sound blocks `written`, `waiting`, `lost` and `skipped` (silent ones, to catch up); `pictures`
        written, `pictures_shown`, `pictures_lost`, and `late` ones, passed over for a newer one."""
        words = self._page.words
        return {
            "written": self._written,
            "waiting": self.waiting,
            "lost": words[_LOST],
            "skipped": words[_SKIPPED],
            "pictures": self._pictures,
            "pictures_shown": words[_SHOWN_COUNT],
            "pictures_lost": words[_PICTURES_LOST],
            "late": words[_LATE],
        }

    def close(self) -> None:
        """Safe to call twice."""
        self.ring.close()
        self._page.close()


class FeedReader:
    """The worker's side. Takes over both descriptors.

    Raises:
        BadData: the first is no shared ring of this version. InvalidArgument: the second is no page of a feed.
    """

    def __init__(self, ring: int, page: int) -> None:
        try:
            self._reader = SharedReader(ring)
            if os.fstat(page).st_size < mmap.PAGESIZE:
                raise InvalidArgument("not the page of a feed")
        except BaseException:
            os.close(page)
            raise
        finally:
            os.close(ring)
        self._page = _Page(page)
        words = self._page.words
        if words[_MAGIC] != MAGIC:
            self._page.close()
            raise InvalidArgument("not the page of a feed of this version")
        self.width, self.height = self._reader.width, self._reader.height
        self._block: SharedPcm | None = None
        self._frame: SharedFrame | None = None
        gone = self._reader.seek(max(0, words[_SENT]))
        if words[_SENT] >= 0:
            words[_LOST] += gone // BLOCK
        self._before = (words[_LOST], words[_PICTURES_LOST])

    def block(self) -> SharedPcm | None:
        """The block to send next, in shared memory; the same one until `sent`. None: nothing waits."""
        if self._block is not None and self._block.generation < self._reader.generation:
            self._block = None
        if self._block is None:
            self._block = self._reader.read_pcm()
            lost = self._before[0] + self._reader.lost[0]
            if lost != self._page.words[_LOST]:
                self._page.words[_LOST] = lost
        return self._block

    @property
    def waiting(self) -> int:
        """Blocks not sent, `block` included."""
        return self._reader.lag[0] + (self._block is not None)

    def take(self, *, skipped: bool = False) -> None:
        """`block` gives the next one from now on. `sent` says that this one need not be sent again."""
        self._block = None
        self._page.words[_SKIPPED] += skipped

    def sent(self, until: int) -> None:
        """What is before sample `until` has left this process: a new worker begins there."""
        self._page.words[_SENT] = until

    def picture(self, sample: int) -> SharedFrame | None:
        """The newest picture that is due when the sound is at `sample`, in shared memory. Older ones are passed over
        and counted. `shown` when it is done with."""
        words, reader = self._page.words, self._reader
        found = None
        while (frame := self._frame or reader.read_frame()) is not None:
            self._frame = None
            if frame.generation < reader.generation:
                continue
            if frame.sample > sample:
                self._frame = frame
                break
            if found is not None:
                words[_LATE] += 1
            found = frame
        return found

    def shown(self, frame: SharedFrame) -> None:
        """The picture, and what came before it, may be written over."""
        words = self._page.words
        words[_SHOWN] = frame.sample
        words[_SHOWN_COUNT] += 1
        words[_PICTURES_LOST] = self._before[1] + self._reader.lost[1]

    def close(self) -> None:
        """Safe to call twice."""
        self._block = self._frame = None
        self._page.close()
