# Pictures and sprites, and drawing the one on the other: lipwire/picture.h.

_MATRICES = {"bt709": LW_BT709, "bt601": LW_BT601}


cdef int _matrix(str name) except -1:
    if name not in _MATRICES:
        raise InvalidArgument(f"the matrix is one of {', '.join(_MATRICES)}, not {name!r}")
    return _MATRICES[name]


cdef object _rgba(image, lw_image *to, str which=""):
    """The image as an array to keep while `to` points into it."""
    cdef const uint8_t[:, :, ::1] pixels
    array = np.ascontiguousarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 4 or not array.size:
        raise InvalidArgument(f"{which}RGBA is uint8 (height, width, 4), not {array.dtype} {array.shape}")
    pixels = array
    to.rgba = &pixels[0, 0, 0]
    to.height = <int32_t>pixels.shape[0]
    to.width = <int32_t>pixels.shape[1]
    return array


cdef int _rgb(colour, uint8_t *to) except -1:
    cdef int i, part
    if len(colour) != 3:
        raise InvalidArgument(f"a colour is three numbers 0..255, not {colour!r}")
    for i in range(3):
        part = whole(colour[i], "a colour's part")
        if not 0 <= part <= 255:
            raise InvalidArgument(f"a colour is three numbers 0..255, not {colour!r}")
        to[i] = <uint8_t>part
    return 0


cdef int32_t _eighths(double x) except? -1:
    if not -65536 <= x <= 65536:
        raise InvalidArgument(f"{x} is too far away: -65536..65536 pixels")
    return <int32_t>floor(x * 8 + 0.5)


def check_size(width, height):
    """Raises InvalidArgument: a frame cannot have this size."""
    cdef int w = whole(width, "width"), h = whole(height, "height")
    if lw_size_check(w, h) < 0:
        raise InvalidArgument(f"frame size {w}x{h}: even numbers from {LW_SIZE_MIN} to {LW_SIZE_MAX} are needed")


cdef class Sprite:
    """An image in the compositor's form: premultiplied I420 with alpha in both resolutions, trimmed to what is visible.
    Immutable; any thread may draw it.

    Args:
        rgba: uint8 (height, width, 4), straight alpha, each side at most 8192.
        matrix: that of the frames it is drawn on, "bt709" or "bt601".

    Raises:
        InvalidArgument: it is no such image.
    """
    cdef lw_sprite *s
    cdef readonly str matrix

    def __cinit__(self, rgba=None, *, str matrix="bt709"):
        cdef lw_image image
        self.matrix = matrix
        if rgba is None:
            return
        kept = _rgba(rgba, &image)
        check(lw_sprite_open(&self.s, &image, _matrix(matrix)), "sprite")

    def __init__(self, rgba, *, str matrix="bt709"):
        if self.s == NULL:
            raise InvalidArgument("a sprite needs an image")

    def __dealloc__(self):
        lw_sprite_close(&self.s)

    def scaled(self, width, height):
        """The sprite at another size, bilinear with alpha, transparent beyond its edges. Below half the size it takes
        several steps, so that no pixel is left out; each side 1..8192."""
        cdef Sprite source = self, out
        cdef int w, h, have_w, have_h, to_w = whole(width, "width"), to_h = whole(height, "height")
        while True:
            have_w, have_h = lw_sprite_width(source.s), lw_sprite_height(source.s)
            w = to_w if 2 * to_w >= have_w else (have_w + 1) // 2
            h = to_h if 2 * to_h >= have_h else (have_h + 1) // 2
            if to_w < 1 or to_h < 1:
                w, h = to_w, to_h
            out = Sprite.__new__(Sprite, matrix=self.matrix)
            check(lw_sprite_open_scaled(&out.s, source.s, w, h), f"sprite {to_w}x{to_h}")
            if w == to_w and h == to_h:
                return out
            source = out

    @property
    def width(self):
        """Pixels, as in the image it was made of."""
        return lw_sprite_width(self.s)

    @property
    def height(self):
        return lw_sprite_height(self.s)

    @property
    def nbytes(self):
        """Native memory held."""
        return lw_sprite_bytes(self.s)


cdef class Compositor:
    """Draws on a frame, in place: backgrounds, pictures, sprites at sub-pixel positions, turned and scaled.

    All of it is integer arithmetic, the same bits on every machine. Positions are pixels from the frame's top left
    corner to the sprite's, rounded to eighths; what is outside the frame is not drawn.
    """
    cdef readonly Frame frame

    def __cinit__(self, Frame frame not None):
        if frame.pixels == NULL:
            raise InvalidArgument("the frame has no memory")
        self.frame = frame

    cdef lw_sprite *taken(self, Sprite sprite) except NULL:
        if sprite.matrix != self.frame.matrix:
            raise InvalidArgument(f"a {sprite.matrix} sprite on a {self.frame.matrix} frame")
        return sprite.s

    def fill(self, rgb):
        """A flat background: (red, green, blue), 0..255."""
        cdef lw_picture p = self.frame.picture()
        cdef uint8_t c[3]
        _rgb(rgb, c)
        check(lw_picture_fill(&p, c[0], c[1], c[2], _matrix(self.frame.matrix)))

    def picture(self, Frame picture not None):
        """A picture as background, scaled to fill the frame."""
        if picture.matrix != self.frame.matrix:
            raise InvalidArgument(f"a {picture.matrix} picture on a {self.frame.matrix} frame")
        if picture.w != self.frame.w or picture.h != self.frame.h:
            picture = picture.scaled(self.frame.w, self.frame.h)
        memmove(self.frame.pixels, picture.pixels, <size_t>self.frame.size)

    def blend(self, Sprite sprite not None, double x=0.0, double y=0.0):
        """Draws a sprite: value + frame * (255 - alpha) / 255, the quotient rounded."""
        cdef lw_picture p = self.frame.picture()
        check(lw_sprite_blend(self.taken(sprite), &p, _eighths(x), _eighths(y)), "blend")

    def warp(self, Sprite sprite not None, double x=0.0, double y=0.0, *, double turns=0.0, double scale=1.0,
             pivot=None):
        """Draws a sprite turned clockwise by `turns` (1 is a whole one, steps of 1/65536) and scaled by `scale`
        (1/4..16) about `pivot`, which stays where `blend` would put it: pixels from the sprite's top left corner, its middle if
        None. Sampled bilinearly at 16ths of a pixel, transparent outside.

        Raises:
            InvalidArgument: too far away, or a scale out of range.
        """
        cdef lw_picture p = self.frame.picture()
        cdef lw_turn turn
        if not 0.25 <= scale <= 16 or not isfinite(turns):
            raise InvalidArgument(f"scale {scale} (1/4..16) or turns {turns} out of range")
        px, py = (sprite.width / 2, sprite.height / 2) if pivot is None else pivot
        turn.x8, turn.y8 = _eighths(x), _eighths(y)
        turn.pivot_x8, turn.pivot_y8 = _eighths(px), _eighths(py)
        turn.angle = <int32_t>floor((turns - floor(turns)) * 65536 + 0.5)
        turn.scale_q16 = <int32_t>floor(scale * 65536 + 0.5)
        check(lw_sprite_warp(self.taken(sprite), &p, &turn), "warp")

    @staticmethod
    def chroma_key(rgba, key=(0, 255, 0), *, double similarity=0.12, double smoothness=0.15, double spill=0.25,
                   str matrix="bt709"):
        """Makes what has the colour `key` transparent: a new uint8 (height, width, 4), for a `Sprite`.

        A pixel's distance is that of its (U, V) from the key's, in 255ths. Up to `similarity` (0..1) alpha becomes 0,
        from there it rises over `smoothness` to what it was; over `spill` colours rise from grey of their own luma, so
        that no rim of the key's colour is left.

        Raises:
            InvalidArgument: no such image, or one of the three is out of range.
        """
        cdef lw_image image
        cdef lw_key k
        cdef uint8_t c[3]
        cdef uint8_t[:, :, ::1] pixels
        cdef int rc
        for value in (similarity, smoothness, spill):
            if not 0 <= value <= 1:
                raise InvalidArgument(f"similarity, smoothness and spill are 0..1, not {value}")
        kept = _rgba(rgba, &image)
        out = np.empty_like(kept)
        pixels = out
        _rgb(key, c)
        k.r, k.g, k.b = c[0], c[1], c[2]
        k.similarity, k.smoothness, k.spill = (
            <int32_t>(similarity * 4080 + 0.5), <int32_t>(smoothness * 4080 + 0.5), <int32_t>(spill * 4080 + 0.5))
        k.matrix = _matrix(matrix)
        with nogil:
            rc = lw_chroma_key(&pixels[0, 0, 0], &image, &k)
        check(rc, "chroma key")
        return out
