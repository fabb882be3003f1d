# What comes from Python: the one way to borrow a buffer, and the one way to take a whole number.
#
# A buffer says what it holds. Bytes say nothing, and are taken as what is wanted; an array of anything but int16 where
# PCM16 is wanted would come out as noise, so it is refused with a word on how to convert it.


cdef struct Borrowed:
    const void *data
    size_t size  # bytes
    PyObject *owner  # a bytes object, which needs no Py_buffer; else NULL
    Py_buffer view


cdef int borrow(object source, Borrowed *b) except -1:
    """The memory of `source`, whatever is in it, until give_back."""
    if PyBytes_CheckExact(source):
        # What it was reached by, a list or a generator, may let go of it meanwhile.
        b.owner = <PyObject *>source
        Py_INCREF(source)
        b.data = PyBytes_AS_STRING(source)
        b.size = <size_t>PyBytes_GET_SIZE(source)
        return 0
    b.owner = NULL
    PyObject_GetBuffer(source, &b.view, PyBUF_FULL_RO)
    b.data = b.view.buf
    b.size = <size_t>b.view.len
    return 0


cdef inline void give_back(Borrowed *b) noexcept:
    if b.owner != NULL:
        Py_DECREF(<object>b.owner)
    else:
        PyBuffer_Release(&b.view)


cdef int borrow_pcm(object source, Borrowed *b, int channels=1) except -1:
    """PCM16 as raw bytes or as int16; arrays of two dimensions are (samples, channels)."""
    borrow(source, b)
    if b.owner != NULL or _is_flat(&b.view, c'h') or _is_flat(&b.view, c'B'):
        if b.size & 1:
            size = b.size
            give_back(b)
            raise InvalidArgument(f"PCM16 needs an even number of bytes, got {size}")
        return 0
    try:
        _look_at_pcm(source, &b.view, channels)
    except BaseException:
        give_back(b)
        raise
    return 0


def pcm_bytes(pcm, /):
    """The bytes of PCM16 mono in any buffer, for what cuts it in pieces.

    Raises:
        InvalidArgument: it holds something else; the message says what, and how to convert it.
    """
    cdef Borrowed source
    borrow_pcm(pcm, &source)
    try:
        return PyBytes_FromStringAndSize(<const char *>source.data, <Py_ssize_t>source.size)
    finally:
        give_back(&source)


cdef int borrow_bytes(object source, Borrowed *b, str what) except -1:
    """Codes, packets, text: items of one byte."""
    borrow(source, b)
    if b.owner != NULL or _is_flat(&b.view, c'B'):
        return 0
    try:
        if _kind(source, &b.view) not in b"Bbc":
            raise InvalidArgument(f"{_type_of(source, &b.view)} items; {what} is bytes, or an array of uint8")
        _check_flat(source, &b.view)
    except BaseException:
        give_back(b)
        raise
    return 0


cdef inline bint _is_flat(const Py_buffer *view, char kind) noexcept:
    """The usual case, told apart in a few instructions: one contiguous dimension of native items of this kind."""
    return (view.ndim == 1 and view.format != NULL and view.format[0] == kind and view.format[1] == 0 and
            view.suboffsets == NULL and (view.strides == NULL or view.strides[0] == view.itemsize))


cdef char _kind(object source, const Py_buffer *view) except -1:
    """The struct module's letter for an item that is little-endian or has one byte; 0 for anything else. Memory that
    calls itself signed is bytes, too; numpy's int8 is not, but numbers."""
    cdef const char *format = view.format
    if format == NULL:
        return c'B'
    if format[0] in b"@=<" or (format[0] in b">!" and view.itemsize == 1):
        format += 1
    if format[0] == 0 or format[1] != 0 or (format[0] == c'b' and isinstance(source, np.ndarray)):
        return 0
    return format[0]


cdef int _check_flat(object source, const Py_buffer *view) except -1:
    if not PyBuffer_IsContiguous(view, c'C'):
        raise InvalidArgument("the array is not contiguous: numpy.ascontiguousarray(x) makes a copy that is")
    if view.ndim > 1 and sum([view.shape[i] != 1 for i in range(view.ndim)]) > 1:
        raise InvalidArgument(f"an array of shape {_shape(view)}; one dimension is wanted: x.ravel()")
    return 0


cdef int _look_at_pcm(object source, const Py_buffer *view, int channels) except -1:
    """The formats and shapes that are not the usual ones."""
    cdef char kind = _kind(source, view)
    if kind not in b"hBbc":
        raise InvalidArgument(_no_pcm(_type_of(source, view)))
    if not PyBuffer_IsContiguous(view, c'C'):
        raise InvalidArgument("the array is not contiguous (a slice with steps, a transpose, or one column of several): "
                              "numpy.ascontiguousarray(x) makes a copy that is")
    if view.len & 1:
        raise InvalidArgument(f"PCM16 needs an even number of bytes, got {view.len}")
    if view.ndim < 2:
        return 0
    if view.ndim == 2 and kind == c'h' and view.shape[1] == channels:
        return 0
    if channels == 1 and sum([view.shape[i] != 1 for i in range(view.ndim)]) <= 1:
        return 0
    shape = _shape(view)
    if channels == 1:
        raise InvalidArgument(f"an array of shape {shape}; one channel is wanted, (n,) or (n, 1): of (n, channels), "
                              "x.mean(axis=1).astype('<i2') mixes them, numpy.ascontiguousarray(x[:, 0]) takes one")
    raise InvalidArgument(f"an array of shape {shape}; {channels} channels are wanted, (n, {channels}), or interleaved in "
                          f"one dimension: of ({channels}, n), numpy.ascontiguousarray(x.T) makes that")


cdef tuple _shape(const Py_buffer *view):
    return tuple([view.shape[i] for i in range(view.ndim)])


cdef str _type_of(object source, const Py_buffer *view):
    """"float32", "big-endian int16": as numpy calls it; what it has no name for by the buffer's own format."""
    try:
        dtype = np.asarray(source).dtype
    except Exception:
        return repr(view.format.decode("ascii", "replace"))
    return dtype.name if dtype.isnative else f"big-endian {dtype.name}"


cdef str _no_pcm(str name):
    """What to do about samples of another type."""
    if name.startswith("float"):
        how = "of -1..1, (x * 32767).clip(-32768, 32767).astype('<i2') makes that"
    elif name == "big-endian int16":
        how = "x.astype('<i2') makes that"
    elif name in ("int32", "int64"):
        how = "x.astype('<i2') makes that of 16-bit values, (x >> 16).astype('<i2') of 32-bit ones"
    elif name == "uint16":
        how = "where 32768 is silence, (x ^ 0x8000).view('<i2') makes that"
    elif name == "int8":
        how = "where they are signed PCM8, x.astype('<i2') * 256 makes that; raw bytes are uint8"
    else:
        how = "x.astype('<i2') makes that of 16-bit values"
    return f"{name} samples; PCM16 (int16, little-endian) is wanted: {how}"


cdef int64_t whole64(object value, str name) except? -1:
    """A whole number: an int, what stands for one (numpy's), or a float without a fraction."""
    if not PyLong_Check(value):
        if isinstance(value, (float, np.floating)):
            if not float(value).is_integer():
                raise InvalidArgument(f"{name} is a whole number, not {value}")
            value = int(value)
        else:
            try:
                value = operator.index(value)
            except TypeError:
                raise TypeError(f"{name} is a whole number, not {value!r}") from None
    try:
        return <int64_t>value
    except OverflowError:
        raise InvalidArgument(f"{name} is out of range: {value}") from None


cdef int whole(object value, str name) except? -1:
    cdef int64_t number = whole64(value, name)
    if number < -0x80000000LL or number > 0x7FFFFFFF:
        raise InvalidArgument(f"{name} is out of range: {value}")
    return <int>number
