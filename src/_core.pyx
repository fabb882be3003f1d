# cython: language_level=3, embedsignature=True
"""The compiled core: thin classes over csrc/lipwire.h. Public names are re-exported by `lipwire`."""

cimport cython
from cpython.buffer cimport PyBUF_FULL_RO, PyBuffer_FillInfo, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_Check
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport floor, isfinite
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from lipwire cimport *

import collections
import operator
import os

import numpy as np

from lipwire.errors import BadData, BadState, BufferFull, InvalidArgument, LipwireError, OutOfMemory

RATE = LW_RATE
BLOCK = LW_BLOCK
VISEMES = LW_VISEMES
CHANNELS = LW_CHANNELS
AXES = LW_AXES
LIDS_REST = LW_LIDS_REST / 32767
MOTION_STATE = LW_MOTION_STATE
MOTION_EXPRESSION = LW_MOTION_EXPRESSION
MOTION_GESTURE = LW_MOTION_GESTURE
SELECT_FIXED = LW_SELECT_FIXED
SELECT_MOUTH = LW_SELECT_MOUTH

DRAW_SAME = LW_DRAW_SAME
DRAW_SLOW = LW_DRAW_SLOW_NS / 1e9
# What a compiled hook reads (lw_draw_info): name -> (offset in bytes, format as in numpy, count).
cdef lw_draw_info *_info = NULL
DRAW_INFO = {
    "sample": (<size_t>&_info.sample, "i8", 1),
    "sequence": (<size_t>&_info.sequence, "i8", 1),
    "utterance": (<size_t>&_info.utterance, "u8", 1),
    "width": (<size_t>&_info.width, "i4", 1),
    "height": (<size_t>&_info.height, "i4", 1),
    "loudness": (<size_t>&_info.loudness, "f4", 1),
    "axis": (<size_t>&_info.axis[0], "f4", LW_AXES),
    "viseme": (<size_t>&_info.viseme[0], "f4", LW_VISEMES),
}
DRAW_INFO_BYTES = sizeof(lw_draw_info)

EVENT_STARTED = LW_EVENT_STARTED
EVENT_FINISHED = LW_EVENT_FINISHED
EVENT_UNDERRUN = LW_EVENT_UNDERRUN
EVENT_MOUTH = LW_EVENT_MOUTH

_ERRORS = {
    LW_EINVAL: InvalidArgument,
    LW_ENOMEM: OutOfMemory,
    LW_ENOSPC: BufferFull,
    LW_EDATA: BadData,
    LW_ESTATE: BadState,
}
# A chunk of at least this many samples is worth letting other Python threads run.
cdef size_t LONG_CHUNK = 4096


# What each LIPWIRE_CPU allows.
_LEVELS = {
    "c": 0,
    "avx2": LW_CPU_AVX2,
    "avx512": LW_CPU_AVX2 | LW_CPU_AVX512,
    "neon": LW_CPU_NEON,
}


def cpu_levels():
    """The kernel levels that this processor has, slowest first: of "c", "avx2", "avx512", "neon"."""
    cdef uint32_t have = lw_cpu_detect()
    return tuple(name for name, mask in _LEVELS.items() if mask & have == mask)


def cpu_level():
    """The kernel level in use."""
    return lw_cpu_level(lw_cpu_used()).decode()


def _use_cpu(level):
    """Chooses the kernels of the whole process: one of `cpu_levels()`, or None for the best. For the start of a
    process, before any object is made.

    Raises:
        InvalidArgument: unknown, or this processor does not have it.
    """
    if level is not None and level not in cpu_levels():
        raise InvalidArgument(f"LIPWIRE_CPU={level}: this processor has {', '.join(cpu_levels())}")
    lw_cpu_use(lw_cpu_detect() if level is None else _LEVELS[level])


_use_cpu(os.environ.get("LIPWIRE_CPU") or None)


def core_version():
    """The version the core was built as."""
    return lw_version().decode()


cdef int64_t check(int64_t rc, str what="") except? -1:
    if rc < 0:
        text = lw_strerror(<int>rc).decode()
        raise _ERRORS.get(rc, LipwireError)(f"{what}: {text}" if what else text)
    return rc


include "buffers.pxi"
include "resampler.pxi"


include "visemes.pxi"


cdef object _coords(array, str name):
    """int16 (n, dims), as it is or copied from another order of bytes or memory."""
    array = np.asarray(array)
    if array.dtype.kind != "i" or array.dtype.itemsize != 2 or array.ndim != 2 or not array.size:
        raise InvalidArgument(f"{name} is int16 (n, dims), not {array.dtype} {array.shape}")
    return np.ascontiguousarray(array, dtype=np.int16)


cdef class NativeAvatar:
    """An avatar's images in the compositor's form (premultiplied I420). Immutable and shareable.

    Args:
        width, height: frame size in pixels, even, 16..4096.
        images: uint8 arrays (h, w, 4), straight-alpha RGBA; the first is the background, (height, width, 4).
        layers: tuples (first image, image count, select, x8, y8, kx8[AXES], ky8[AXES]) and, for a layer that turns,
            (pivot_x8, pivot_y8, kangle[AXES]) behind; see `lw_layer`.
        mouth_coords: int16 (mouth images, D); viseme_coords: int16 (15, D); or both None.
        matrix: "bt709" or "bt601", of the frames that are drawn (both limited range).
    """
    cdef lw_avatar *a
    cdef readonly int width
    cdef readonly int height
    cdef readonly str matrix

    def __cinit__(self, width, height, images, layers, mouth_coords=None, viseme_coords=None, *,
                  str matrix="bt709"):
        cdef lw_avatar_config config
        cdef lw_image *image_list = <lw_image *>calloc(len(images) + 1, sizeof(lw_image))
        cdef lw_layer *layer_list = <lw_layer *>calloc(len(layers) + 1, sizeof(lw_layer))
        cdef const int16_t[:, ::1] coords
        cdef Py_ssize_t i, k
        keep = []
        memset(&config, 0, sizeof(config))
        try:
            if image_list == NULL or layer_list == NULL:
                raise OutOfMemory("avatar")
            for i, image in enumerate(images):
                keep.append(_rgba(image, &image_list[i], f"image {i}: "))
            for i, (first, count, select, x8, y8, kx8, ky8, *turn) in enumerate(layers):
                layer_list[i].first_image = whole(first, "first image")
                layer_list[i].image_count = whole(count, "image count")
                layer_list[i].select = whole(select, "select")
                layer_list[i].x8 = whole(x8, "x8")
                layer_list[i].y8 = whole(y8, "y8")
                for k in range(LW_AXES):
                    layer_list[i].kx8[k] = whole(kx8[k], "kx8")
                    layer_list[i].ky8[k] = whole(ky8[k], "ky8")
                if turn:
                    pivot_x8, pivot_y8, kangle = turn
                    layer_list[i].pivot_x8 = whole(pivot_x8, "pivot_x8")
                    layer_list[i].pivot_y8 = whole(pivot_y8, "pivot_y8")
                    for k in range(LW_AXES):
                        layer_list[i].kangle[k] = whole(kangle[k], "kangle")
            config.matrix = _matrix(matrix)
            self.matrix = matrix
            config.width = self.width = whole(width, "width")
            config.height = self.height = whole(height, "height")
            config.images = image_list
            config.image_count = len(images)
            config.layers = layer_list
            config.layer_count = len(layers)
            if mouth_coords is not None:
                coords = mouth = _coords(mouth_coords, "mouth_coords")
                config.mouth_count, config.mouth_dims = coords.shape[0], coords.shape[1]
                config.mouth_coords = &coords[0, 0]
                coords = visemes = _coords(viseme_coords, "viseme_coords")
                if coords.shape[0] != LW_VISEMES or coords.shape[1] != config.mouth_dims:
                    raise InvalidArgument(f"viseme_coords must be ({LW_VISEMES}, {config.mouth_dims})")
                config.viseme_coords = &coords[0, 0]
                keep += [mouth, visemes]
            check(lw_avatar_open(&self.a, &config), "avatar")
        finally:
            free(image_list)
            free(layer_list)

    def __dealloc__(self):
        lw_avatar_close(&self.a)

    @property
    def nbytes(self):
        """Native memory held."""
        return lw_avatar_bytes(self.a)


cdef lw_pose _pose(axes, visemes) except *:
    cdef lw_pose pose
    cdef int i
    memset(&pose, 0, sizeof(pose))
    for i in range(LW_AXES):
        pose.axis[i] = <int16_t>round(min(1.0, max(-1.0, float(axes[i]))) * 32767)
    for i in range(LW_VISEMES):
        pose.viseme[i] = <int16_t>round(min(1.0, max(0.0, float(visemes[i]))) * 32767)
    return pose


cdef class Canvas:
    """One I420 frame of an avatar that knows what it shows, so that drawing touches only what changed."""
    cdef NativeAvatar avatar
    cdef lw_canvas state
    cdef readonly object i420
    cdef uint8_t *pixels
    cdef readonly bint mouth_open

    def __cinit__(self, NativeAvatar avatar):
        cdef uint8_t[:, ::1] view
        self.avatar = avatar
        self.i420 = np.zeros((avatar.height * 3 // 2, avatar.width), dtype=np.uint8)
        view = self.i420
        self.pixels = &view[0, 0]

    def draw(self, axes, visemes):
        """Shows a pose: 15 axes (-1..1) and 15 viseme weights (0..1). Returns the luma pixels redrawn."""
        cdef lw_pose pose = _pose(axes, visemes)
        cdef int opened = 0
        cdef int pixels
        with nogil:
            pixels = lw_compose(self.avatar.a, &pose, self.pixels, &self.state, &opened)
        self.mouth_open = opened
        return check(pixels)

    def forget(self):
        """The next draw repaints everything."""
        self.state.valid = 0


include "frames.pxi"
include "share.pxi"


cdef int _fps(object fps, int32_t *num, int32_t *den) except -1:
    """(numerator, denominator)."""
    numerator, denominator = fps
    num[0], den[0] = whole(numerator, "fps"), whole(denominator, "fps")
    return 0


cdef uint32_t _seed(object seed) except? 0:
    cdef int64_t number = whole64(seed, "seed")
    if not 0 <= number <= 0xFFFFFFFFLL:
        raise InvalidArgument(f"seed {number}: 0..{0xFFFFFFFF}")
    return <uint32_t>number


cdef class Performer:
    """One session's chain: speech in, 10 ms PCM blocks and frames out, on one sample clock.

    Threads: one may write, end and interrupt; one may tick (the Engine, if attached); one may read.

    Args:
        avatar: a NativeAvatar; or None, and something else draws.
        size: without an avatar, (width, height) of the frames; None for poses without pictures.
        draw: without an avatar, what draws each frame on the ticking thread: an object with the addresses `address` of
            an `lw_draw` and `user`, which is kept; None: whoever reads a frame draws into it.
        fps: (numerator, denominator), 1..100 a second.
        prebuffer, dry_timeout, capacity: seconds; see `lw_speech_config`.
        frame_slots: frames that readers may hold at once before new ones are dropped.
        seed: of the idle life.
        memory: a SharedWriter of the frames' size whose slots they are drawn into; `frame_slots` is its number then.
    """
    cdef lw_performer *p
    cdef SharedWriter memory
    cdef readonly NativeAvatar avatar
    cdef object draw
    cdef readonly int width
    cdef readonly int height
    cdef bint live
    cdef object __weakref__

    def __cinit__(self, NativeAvatar avatar, fps=(25, 1), *, double prebuffer=0.06, double dry_timeout=1.0,
                  double capacity=120.0, frame_slots=6, seed=0, size=None, draw=None,
                  SharedWriter memory=None):
        cdef lw_performer_config config
        memset(&config, 0, sizeof(config))
        self.avatar = avatar
        if avatar is not None:
            config.avatar = avatar.a
            self.width = avatar.width
            self.height = avatar.height
        if size is not None:
            width, height = size
            config.width = self.width = whole(width, "width")
            config.height = self.height = whole(height, "height")
        if draw is not None:
            config.draw = <lw_draw><size_t>draw.address
            config.draw_user = <void *><size_t>draw.user
            self.draw = draw
        _fps(fps, &config.fps_num, &config.fps_den)
        config.frame_slots = whole(frame_slots, "frame_slots")
        if memory is not None:
            if (memory.width, memory.height) != (self.width, self.height) or not memory.size:
                raise InvalidArgument(f"the shared ring has frames of {memory.width}x{memory.height}, "
                                      f"not {self.width}x{self.height}")
            if memory.bound:
                raise BadState("the shared ring's slots have a performer")
            config.frames = lw_share_slot(memory.s, 0)
            config.frame_stride = lw_share_stride(memory.s)
            config.frame_slots = memory.slots
        config.seed = _seed(seed)
        config.speech.capacity = <int32_t>(capacity * LW_RATE)
        # 0 asks the core for its default; here it means none, and one sample is as good as none.
        config.speech.prebuffer = <int32_t>(prebuffer * LW_RATE) or 1
        config.speech.dry_timeout = <int32_t>(dry_timeout * LW_RATE) or 1
        check(lw_performer_open(&self.p, &config), "performer")
        if memory is not None:
            self.memory = memory
            memory.bound = True

    def __dealloc__(self):
        lw_performer_close(&self.p)

    def write(self, pcm, rate):
        """Queues PCM16 mono at `rate` Hz for the current utterance: all of it or, with an error, none.

        Raises:
            InvalidArgument: no PCM16 mono, or an unsupported rate. BufferFull: no room now.
        """
        cdef Borrowed b
        cdef int rc, hz = whole(rate, "rate")
        cdef size_t n
        borrow_pcm(pcm, &b)
        try:
            n = b.size // 2
            if n >= LONG_CHUNK:
                with nogil:
                    rc = lw_performer_write(self.p, b.data, n, hz)
            else:
                rc = lw_performer_write(self.p, b.data, n, hz)
        finally:
            give_back(&b)
        if rc == LW_ENOSPC:
            raise BufferFull(f"the speech buffer has {self.space:.1f} s left, the chunk is {n / <double>hz:.1f} s")
        if rc == LW_EINVAL:
            raise InvalidArgument(f"unsupported sample rate {hz} Hz (8000..48000, a multiple of 25)")
        check(rc)

    def end(self, double grace=0.0):
        """Ends the current utterance; audio within `grace` seconds still belongs to it."""
        check(lw_performer_end(self.p, <int32_t>(grace * LW_RATE)), "end")

    def interrupt(self):
        """Drops all queued speech; what plays fades out within 5 ms. Returns the new generation."""
        return check(lw_performer_interrupt(self.p))

    def set(self, setting, value):
        """Sets MOTION_STATE, MOTION_EXPRESSION or MOTION_GESTURE, from the next tick on; see `lw_motion_set`.

        Raises:
            InvalidArgument: there is no such setting or value.
        """
        check(lw_performer_set(self.p, whole(setting, "setting"), whole(value, "value")), "set")

    @property
    def writing(self):
        """Number of the utterance that the next write belongs to."""
        return lw_performer_writing(self.p)

    @property
    def utterance(self):
        """Number of the utterance that the last write belonged to."""
        return lw_performer_utterance(self.p)

    @property
    def space(self):
        """Seconds of speech that still fit."""
        return lw_performer_space(self.p) / <double>LW_RATE

    def tick(self, now_ns=0, bint draw=True):
        """One step of 10 ms, for offline use. Returns bits: 1 PCM, 2 frame, 4 events.

        Raises:
            BadState: an engine ticks it.
        """
        cdef int out
        cdef int64_t now = whole64(now_ns, "now_ns")
        if self.live:
            raise BadState("an engine ticks this performer")
        with nogil:
            out = lw_performer_tick(self.p, now, draw)
        return out

    def read_pcm(self):
        """The next 10 ms: (bytes of 480 samples, position in samples), or None."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, LW_BLOCK * 2)
        cdef int64_t sample = 0
        if not lw_performer_read_pcm(self.p, <int16_t *>PyBytes_AS_STRING(out), &sample):
            return None
        return out, sample

    @property
    def heard(self):
        """(utterance, samples of it in the blocks read so far): the one that the newest block speaks, or that was spoken
        last; (0, 0) before any. An underrun's silence is not counted."""
        cdef uint64_t utterance
        cdef int64_t played = lw_performer_heard(self.p, &utterance)
        return utterance, played

    def read_event(self):
        """The next event: (type, value, utterance, sample, played), or None."""
        cdef lw_event event
        if not lw_performer_read_event(self.p, &event):
            return None
        return event.type, event.value, event.utterance, event.sample, event.played

    def read_frame(self):
        """The next Frame, or None."""
        cdef Frame frame
        cdef lw_frame_info info
        cdef int slot = lw_performer_acquire_frame(self.p, &info) - 1
        if slot < 0:
            return None
        frame = Frame.__new__(Frame)
        frame.owner = self
        frame.slot = slot
        frame.info = info
        frame.pixels = lw_performer_frame(self.p, slot)
        frame.w, frame.h = self.width, self.height
        if self.avatar is not None:
            frame.matrix = self.avatar.matrix
        frame.size = <Py_ssize_t>self.width * self.height * 3 // 2
        return frame

    def stats(self):
        """Counters as a dict; see `lw_stats`."""
        cdef lw_stats s
        lw_performer_stats(self.p, &s)
        return s


cdef class Engine:
    """The native thread that ticks every attached Performer each 10 ms. `fd` is an eventfd that becomes readable
    when something came out."""
    cdef lw_engine *e
    cdef set attached

    def __cinit__(self, max_sessions=1024):
        self.attached = set()
        check(lw_engine_open(&self.e, whole(max_sessions, "max_sessions")), "engine")

    def __del__(self):
        # Before the collector clears what is attached: the thread must not tick what is being freed.
        self.close()

    def close(self):
        """Stops the thread. Safe to call twice."""
        cdef lw_engine *e = self.e
        self.e = NULL
        if e != NULL:
            with nogil:
                lw_engine_close(&e)
        for performer in self.attached:
            (<Performer>performer).live = False
        self.attached.clear()

    @property
    def fd(self):
        if self.e == NULL:
            raise BadState("the engine is closed")
        return lw_engine_fd(self.e)

    def attach(self, Performer performer not None):
        """Starts ticking it.

        Raises:
            BufferFull: the engine has no place left. BadState: it is closed, or the performer has an engine.
        """
        if self.e == NULL:
            raise BadState("the engine is closed")
        if performer.live:
            raise BadState("the performer has been attached")
        check(lw_engine_attach(self.e, performer.p), "the engine has no place for another session")
        performer.live = True
        self.attached.add(performer)

    def detach(self, Performer performer not None):
        """Stops ticking it; returns when the thread has let go (about 10 ms)."""
        if performer not in self.attached or self.e == NULL:
            return
        with nogil:
            lw_engine_detach(self.e, performer.p)
        performer.live = False
        self.attached.discard(performer)

    def stats(self):
        """Counters as a dict; see `lw_engine_stats`."""
        cdef lw_engine_stats s
        if self.e == NULL:
            raise BadState("the engine is closed")
        lw_engine_stats_get(self.e, &s)
        return s


include "g7xx.pxi"
include "opus.pxi"
include "ingest.pxi"
