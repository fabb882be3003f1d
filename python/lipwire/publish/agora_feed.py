"""What carries a session's sound and pictures to the worker: shared memory that outlives the worker.

One memfd: a page of counters, a ring of 10 ms sound blocks, a queue of pictures and the pictures' slots. The session
writes, the worker reads and says how far it has sent. A new worker maps the same memory and goes on from there: nothing
that was not sent is lost, and at most the block that was being sent is sent twice.

Pictures take the lowest free slot, so that the memory of the others is never touched while the worker keeps up (it
holds about two); while it is away they fill, and the picture stays with its sound.

Counters only grow. Each has one writer; they are 8 aligned bytes, written after what they announce.
"""

from __future__ import annotations

import heapq
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from .._core import BLOCK
from ..errors import InvalidArgument

MAGIC, LAYOUT = 0x4452_4545_4657_4C01, 1
SOUND_SLOTS = 1000
"""10 s: what a worker may be away for before sound is lost."""
PICTURE_SLOTS = 64
BLOCK_BYTES = BLOCK * 2
SLOT_BYTES = 16 + BLOCK_BYTES
PAGE = 4096

# Words (8 bytes) of the first page. The first six never change.
_MAGIC, _LAYOUT, _WIDTH, _HEIGHT, _SOUND_SLOTS, _PICTURE_SLOTS = range(6)
_WRITTEN, _DROP, _PICTURES = 8, 9, 10
"""The writer's: sound blocks written, blocks below which none is to be sent, pictures queued."""
_SENT, _SHOWN, _LOST, _SKIPPED, _LATE = 16, 17, 18, 19, 20
"""The reader's: blocks sent, pictures done with, blocks lost to a full ring, silent blocks left out to catch up,
pictures passed over because a newer one was due as well."""


class _Layout:
    """The memory, mapped."""

    def __init__(self, fd: int, width: int, height: int) -> None:
        self.fd = fd
        self.picture_bytes = width * height * 3 // 2
        self.queue_at = PAGE + SOUND_SLOTS * SLOT_BYTES
        self.pictures_at = -(-(self.queue_at + PICTURE_SLOTS * 16) // PAGE) * PAGE
        self.stride = -(-self.picture_bytes // PAGE) * PAGE
        self.size = self.pictures_at + PICTURE_SLOTS * self.stride

    def map(self) -> None:
        self.map_ = mmap.mmap(self.fd, self.size)
        self.memory = memoryview(self.map_)
        self.words = self.memory[:PAGE].cast("q")

    def sound(self, n: int) -> int:
        return PAGE + n % SOUND_SLOTS * SLOT_BYTES

    def entry(self, n: int) -> memoryview:
        at = self.queue_at + n % PICTURE_SLOTS * 16
        return self.memory[at : at + 16].cast("q")

    def picture(self, slot: int) -> memoryview:
        at = self.pictures_at + slot * self.stride
        return self.memory[at : at + self.picture_bytes]

    def close(self) -> None:
        self.words.release()
        self.memory.release()
        try:
            self.map_.close()
        except BufferError:  # a picture of it is still held; the kernel unmaps it with the last one
            pass
        os.close(self.fd)


class FeedWriter:
    """The session's side.

    Args:
        width, height: of the pictures, pixels, even.
    """

    def __init__(self, width: int, height: int) -> None:
        self._m = _Layout(os.memfd_create("lipwire-feed", os.MFD_CLOEXEC), width, height)
        os.ftruncate(self._m.fd, self._m.size)
        self._m.map()
        words = self._m.words
        words[_LAYOUT], words[_WIDTH], words[_HEIGHT] = LAYOUT, width, height
        words[_SOUND_SLOTS], words[_PICTURE_SLOTS] = SOUND_SLOTS, PICTURE_SLOTS
        words[_MAGIC] = MAGIC
        self._free = list(range(PICTURE_SLOTS))
        self._queued: list[int] = []
        self._reclaimed = 0
        self.dropped_pictures = 0
        """Pictures that found no free slot."""

    @property
    def fd(self) -> int:
        """To hand to the worker."""
        return self._m.fd

    def sound(self, pcm: bytes, sample: int) -> None:
        """10 ms at `sample`. When the ring is full the oldest block is lost; the reader counts it."""
        if len(pcm) != BLOCK_BYTES:
            raise InvalidArgument(f"a block is {BLOCK_BYTES} bytes, not {len(pcm)}")
        m = self._m
        n = m.words[_WRITTEN]
        at = m.sound(n)
        m.memory[at : at + 8].cast("q")[0] = sample
        m.memory[at + 16 : at + SLOT_BYTES] = pcm
        m.words[_WRITTEN] = n + 1

    def picture(self, i420: NDArray[np.uint8], sample: int) -> None:
        """Copies a contiguous picture; it is shown with the sound at `sample`."""
        m = self._m
        shown = m.words[_SHOWN]
        while self._reclaimed < shown and self._queued:
            heapq.heappush(self._free, self._queued.pop(0))
            self._reclaimed += 1
        if not self._free:
            self.dropped_pictures += 1
            return
        slot = heapq.heappop(self._free)
        m.picture(slot)[:] = i420.data.cast("B")
        n = m.words[_PICTURES]
        entry = m.entry(n)
        entry[0], entry[1] = sample, slot
        self._queued.append(slot)
        m.words[_PICTURES] = n + 1

    def drop(self) -> None:
        """Nothing of what was written so far is to be sent any more."""
        self._m.words[_DROP] = self._m.words[_WRITTEN]

    def stats(self) -> dict[str, int]:
        """Counters: sound blocks `written`, `sent`, `lost`, `skipped`, `waiting`, `dropped` up to; pictures."""
        words = self._m.words
        written, sent = words[_WRITTEN], words[_SENT]
        return {
            "written": written,
            "sent": sent,
            "waiting": written - sent,
            "lost": words[_LOST],
            "skipped": words[_SKIPPED],
            "dropped": words[_DROP],
            "pictures": words[_PICTURES],
            "pictures_shown": words[_SHOWN],
            "late": words[_LATE],
            "dropped_pictures": self.dropped_pictures,
        }

    def close(self) -> None:
        """Unmaps it. Safe to call twice."""
        if self._m.fd >= 0:
            self._m.close()
            self._m.fd = -1


class FeedReader:
    """The worker's side. Takes over `fd`.

    Raises:
        InvalidArgument: it is no feed, or of another layout.
    """

    def __init__(self, fd: int) -> None:
        with mmap.mmap(fd, PAGE, prot=mmap.PROT_READ) as first, memoryview(first) as view, view.cast("q") as head:
            words = list(head[:6])
        if words[:2] != [MAGIC, LAYOUT] or words[4:] != [SOUND_SLOTS, PICTURE_SLOTS]:
            raise InvalidArgument("not a feed of this version")
        self.width, self.height = words[_WIDTH], words[_HEIGHT]
        self._m = _Layout(fd, self.width, self.height)
        if os.fstat(fd).st_size < self._m.size:
            raise InvalidArgument("the feed is cut short")
        self._m.map()
        self._next = self._m.words[_SENT]
        """The block to look at; `sent` follows once it is through."""

    def waiting(self) -> int:
        """Blocks that are ready, after what was dropped or overwritten has been left out."""
        words = self._m.words
        written = words[_WRITTEN]
        oldest = written - SOUND_SLOTS + 1  # the slot of the one before is being written
        if self._next < words[_DROP]:
            self._next = words[_DROP]
            words[_SENT] = self._next
        if self._next < oldest:
            words[_LOST] += oldest - self._next
            self._next = oldest
            words[_SENT] = oldest
        return int(written - self._next)

    def block(self) -> tuple[memoryview, int]:
        """The next block, (480 samples in shared memory, its sample). Only while `waiting` is not 0."""
        m = self._m
        at = m.sound(self._next)
        return m.memory[at + 16 : at + SLOT_BYTES], m.memory[at : at + 8].cast("q")[0]

    def advance(self, *, skipped: bool = False) -> None:
        """The block has been dealt with; the next one is next."""
        self._next += 1
        self._m.words[_SKIPPED] += skipped

    def commit(self) -> None:
        """What was advanced over has left this process."""
        self._m.words[_SENT] = self._next

    def picture(self, sample: int) -> tuple[memoryview, int] | None:
        """The newest picture that is due when the sound is at `sample`: (I420 in shared memory, its sample). Older ones
        are passed over and counted. `shown` when it is done with."""
        m = self._m
        shown, queued = m.words[_SHOWN], m.words[_PICTURES]
        found = None
        while shown < queued and (entry := m.entry(shown))[0] <= sample:
            if found is not None:
                m.words[_LATE] += 1
                m.words[_SHOWN] = shown
            found = entry
            shown += 1
        return None if found is None else (m.picture(found[1]), found[0])

    def shown(self) -> None:
        """The picture that `picture` gave may be written over."""
        self._m.words[_SHOWN] += 1

    def close(self) -> None:
        """Unmaps it. Safe to call twice."""
        if self._m.fd >= 0:
            self._m.close()
            self._m.fd = -1
