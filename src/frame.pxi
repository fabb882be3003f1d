# Frames: an lw_picture of one's own, or a performer's slot.

cdef str _NOT_DRAWN = "the frame has no picture: its unit or its pose alone was wanted (Publisher.wants, takes_motion)"


# A frame that a SharedWriter holds is part of a cycle; its slot must find its performer whichever way that is cleared.
@cython.no_gc_clear
cdef class Frame:
    """One I420 picture in native memory: Y, then U, then V at half size, no padding, 8 bit, limited range.

    The object is a writable buffer of width * height * 3 / 2 bytes. A session's frames are bound to a sample of the
    media clock; their memory goes back to the session's ring when the frame and every view of it are gone: keep it no
    longer than needed, or `copy` it. `Frame(width, height)` makes one of your own; what it shows at first is black.

    Args:
        width, height: pixels, even, 16..4096.
        matrix: "bt709" or "bt601": which RGB its Y, U and V stand for.

    Raises:
        InvalidArgument: one of them is out of range.
    """
    cdef Performer owner
    cdef int slot
    cdef int w, h
    cdef uint8_t *pixels
    cdef lw_frame_info info
    cdef Py_ssize_t size
    cdef readonly str matrix

    def __cinit__(self, *args, **kwargs):
        self.matrix = "bt709"

    def __init__(self, width, height, *, str matrix="bt709"):
        cdef lw_picture p
        if self.pixels != NULL:
            raise BadState("the frame has its memory")
        check_size(width, height)
        p.width, p.height = whole(width, "width"), whole(height, "height")
        _matrix(matrix)
        p.i420 = <uint8_t *>calloc(<size_t>p.width * p.height * 3 // 2, 1)
        if p.i420 == NULL:
            raise OutOfMemory("frame")
        self.pixels, self.w, self.h = p.i420, p.width, p.height
        self.size = <Py_ssize_t>p.width * p.height * 3 // 2
        self.matrix = matrix
        self.info.changed = 1
        self.info.drawn = 1
        self.info.node = -1
        check(lw_picture_fill(&p, 0, 0, 0, _matrix(matrix)))

    def __dealloc__(self):
        if self.owner is not None:
            lw_performer_release_frame(self.owner.p, self.slot)
        else:
            free(self.pixels)

    def __getbuffer__(self, Py_buffer *view, int flags):
        if not self.info.drawn:
            raise BufferError(_NOT_DRAWN)
        PyBuffer_FillInfo(view, self, self.pixels, self.size, 0, flags)

    cdef lw_picture picture(self) except *:
        cdef lw_picture p
        if not self.info.drawn:
            raise BadState(_NOT_DRAWN)
        p.i420, p.width, p.height = self.pixels, self.w, self.h
        return p

    @classmethod
    def from_rgba(cls, rgba, *, str matrix="bt709"):
        """A frame of an image, uint8 (height, width, 4); its alpha is ignored. Y of each pixel and the mean U and V of
        each four are rounded once, coefficients in Q14 (Rec. ITU-R BT.709-6, BT.601-7)."""
        cdef lw_image image
        cdef lw_picture p
        cdef int m = _matrix(matrix)
        cdef Frame frame
        cdef int rc
        kept = _rgba(rgba, &image)
        frame = cls(image.width, image.height, matrix=matrix)
        p = frame.picture()
        with nogil:
            rc = lw_picture_from_rgba(&p, &image, m)
        check(rc)
        return frame

    def to_rgb(self):
        """uint8 (height, width, 3), a copy. A chroma sample stands for its four pixels; rounded once."""
        cdef uint8_t[:, :, ::1] out
        cdef lw_picture p = self.picture()
        cdef int m = _matrix(self.matrix)
        cdef int rc
        rgb = np.empty((self.h, self.w, 3), dtype=np.uint8)
        out = rgb
        with nogil:
            rc = lw_picture_to_rgb(&p, &out[0, 0, 0], m)
        check(rc)
        return rgb

    def copy(self):
        """The same picture, sample and all, in memory of its own."""
        cdef Frame other = Frame(self.w, self.h, matrix=self.matrix)
        cdef lw_picture p = self.picture()
        memcpy(other.pixels, p.i420, <size_t>self.size)
        other.info = self.info
        other.info.node = -1
        return other

    def posed(self, sample):
        """The same pose at another `sample`, without a picture: it may be kept as long as one likes."""
        cdef Frame other = Frame.__new__(Frame)
        other.w, other.h, other.matrix = self.w, self.h, self.matrix
        other.info = self.info
        other.info.sample = whole64(sample, "sample")
        other.info.drawn = 0
        other.info.node = -1
        return other

    def scaled(self, width, height):
        """A frame of another size, bilinear, positions in 128ths of a pixel. Below half the size it takes several
        steps, so that no pixel is left out; sizes even, 16..4096."""
        cdef Frame source = self, out
        cdef lw_picture p, q
        cdef int rc, w, h, to_w = whole(width, "width"), to_h = whole(height, "height")
        check_size(to_w, to_h)
        while True:
            w, h = max(to_w, (source.w // 2 + 1) & ~1), max(to_h, (source.h // 2 + 1) & ~1)
            if 2 * to_w >= source.w:
                w = to_w
            if 2 * to_h >= source.h:
                h = to_h
            out = Frame(w, h, matrix=self.matrix)
            p, q = out.picture(), source.picture()
            with nogil:
                rc = lw_picture_scale(&p, &q)
            check(rc, "scale")
            if w == to_w and h == to_h:
                out.info = self.info
                out.info.node = -1
                return out
            source = out

    @property
    def width(self):
        return self.w

    @property
    def height(self):
        return self.h

    @property
    def i420(self):
        """uint8 view, shape (height * 3 / 2, width): what PyAV calls yuv420p. No copy."""
        return np.frombuffer(self, dtype=np.uint8).reshape(self.h * 3 // 2, self.w)

    @property
    def planes(self):
        """(Y, U, V) uint8 views, shapes (h, w), (h/2, w/2), (h/2, w/2). No copy."""
        cdef int w = self.w, h = self.h
        flat = np.frombuffer(self, dtype=np.uint8)
        y, u, v = flat[: w * h], flat[w * h : w * h * 5 // 4], flat[w * h * 5 // 4 :]
        return y.reshape(h, w), u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)

    @property
    def sample(self):
        """Position on the media clock, in samples at 48 kHz."""
        return self.info.sample

    @property
    def sequence(self):
        """Number of the frame in its session; a gap means frames were skipped."""
        return self.info.sequence

    @property
    def utterance(self):
        """Number of the utterance being spoken, or 0."""
        return self.info.utterance

    @property
    def generation(self):
        """How many interrupts of its session it knows of; one that knows of fewer than there were is stale."""
        return self.info.generation

    @property
    def changed(self):
        """False when every pixel is as in the session's frame before: there is nothing to encode. Whoever draws into
        the frame may set it."""
        return bool(self.info.changed)

    @changed.setter
    def changed(self, bint value):
        self.info.changed = value

    @property
    def drawn(self):
        """Whether it has a picture; False where its unit (`Publisher.wants`) or its pose (`Publisher.takes_motion`) alone was
        wanted."""
        return bool(self.info.drawn)

    @property
    def stitched(self):
        """Whether it is handed over as a unit of pre-encoded video."""
        return self.info.node >= 0

    @property
    def mouth_open(self):
        """True unless the mouth is at rest."""
        return bool(self.info.mouth_open)

    @property
    def due_ns(self):
        """CLOCK_MONOTONIC time of the tick that made it, in ns (0 offline)."""
        return self.info.due_ns

    @property
    def visemes(self):
        """float32 (15,): the smoothed weights this picture shows."""
        return np.array([self.info.pose.viseme[i] for i in range(LW_VISEMES)], dtype=np.float32) / 32767

    @property
    def loudness(self):
        """Of the speech, 0..1, smoothed."""
        return self.info.pose.loudness / 32767

    @property
    def axes(self):
        """float32 (15,): head_x head_y breath blink gaze_x gaze_y brow jaw head_roll happy concerned surprised lids
        wave head_turn."""
        return np.array([self.info.pose.axis[i] for i in range(LW_AXES)], dtype=np.float32) / 32767

    @property
    def blendshapes(self):
        """The pose as ARKit names it: {"jawOpen": 0..1, ...}, 52 of them; docs/motion.md has the mapping."""
        cdef lw_face face
        lw_face_of(&self.info.pose, &face)
        return {name: face.shape[i] / 32767 for i, name in enumerate(FACE_NAMES)}

    @property
    def head(self):
        """(pitch, yaw, roll) in radians, right handed about the axes of glTF: + is a nod down, a turn to the person's left, a tilt
        to the person's right."""
        cdef lw_face face
        lw_face_of(&self.info.pose, &face)
        return tuple([face.angle[i] / <double>LW_FACE_RADIAN for i in range(3)])
