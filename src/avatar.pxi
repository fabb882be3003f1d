# Avatars and their canvases: lipwire/avatar.h.

SELECT_FIXED = LW_SELECT_FIXED
SELECT_MOUTH = LW_SELECT_MOUTH


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
    cdef int layers
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
            config.layer_count = self.layers = len(layers)
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

    @property
    def head(self):
        """The layers that turn as one: (the first, how many, which of them the others lie on); (0, 0, 0): there is no
        head."""
        cdef int32_t first = 0, anchor = 0
        cdef int count = check(lw_avatar_head(self.a, &first, &anchor))
        return first, count, anchor


cdef class Canvas:
    """One I420 frame of an avatar that knows what it shows, so that drawing touches only what changed."""
    cdef NativeAvatar avatar
    cdef lw_canvas state
    cdef lw_head *head
    cdef readonly object i420
    cdef uint8_t *pixels
    cdef readonly bint mouth_open

    def __cinit__(self, NativeAvatar avatar):
        cdef uint8_t[:, ::1] view
        self.avatar = avatar
        self.i420 = np.zeros((avatar.height * 3 // 2, avatar.width), dtype=np.uint8)
        view = self.i420
        self.pixels = &view[0, 0]
        check(lw_head_open(&self.head, avatar.a), "head")

    def __dealloc__(self):
        lw_head_close(&self.head)

    def draw(self, axes, visemes):
        """Shows a pose: 15 axes (-1..1) and 15 viseme weights (0..1). Returns the luma pixels redrawn."""
        cdef lw_pose pose = _pose(axes, visemes)
        cdef int opened = 0
        cdef int pixels
        with nogil:
            pixels = lw_avatar_draw(self.avatar.a, &pose, self.pixels, &self.state, self.head, &opened)
        self.mouth_open = opened
        return check(pixels)

    def shown(self, layer):
        """What it shows of a layer: (number of the image, x and y of its corner in eighths of a pixel, turned by so many
        65536ths of a turn)."""
        cdef int n = whole(layer, "layer")
        if not 0 <= n < self.avatar.layers or not self.state.valid:
            raise InvalidArgument(f"layer {n} is not shown: there are {self.avatar.layers}, once something is drawn")
        return self.state.image[n], self.state.x8[n], self.state.y8[n], self.state.angle[n]

    def forget(self):
        """The next draw repaints everything."""
        self.state.valid = 0
