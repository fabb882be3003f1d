# Stitched H.264: lipwire/stitch.h.

SLICE_P = LW_SLICE_P
SLICE_I = LW_SLICE_I
ATLAS_SPEAKING = LW_ATLAS_SPEAKING

_STRIPE_KINDS = {"static": LW_STRIPE_STATIC, "moving": LW_STRIPE_MOVING, "choice": LW_STRIPE_CHOICE}
_FRAMINGS = {"annexb": LW_ANNEX_B, "avcc": LW_AVCC}


def nal_split(stream, /):
    """The NAL units of an Annex B stream (ITU-T H.264, annex B), without start codes and zeros behind."""
    cdef Borrowed source
    cdef const uint8_t *nal = NULL
    cdef size_t at = 0, size = 0
    units = []
    borrow_bytes(stream, &source, "an Annex B stream")
    try:
        while lw_nal_next(<const uint8_t *>source.data, source.size, &at, &nal, &size):
            units.append(PyBytes_FromStringAndSize(<const char *>nal, <Py_ssize_t>size))
    finally:
        give_back(&source)
    return units


def slice_payload(nal, sps, pps):
    """What stands behind the header of an encoder's slice (ITU-T H.264, 7.3.4), for `AtlasWriter.add_slice`.

    Args:
        nal, sps, pps: NAL units without start code: the slice, and the parameter sets that it was encoded with.

    Returns:
        (bits, bit_length, qp, slice_type): the slice data without the stop bit, unescaped, the first bit the highest
        of bits[0]; how many bits; SliceQPY; SLICE_I or SLICE_P.

    Raises:
        BadData: malformed, or a slice that cannot be stitched; the message says why, and which option of x264 helps.
    """
    cdef Borrowed unit, first, second
    cdef lw_payload payload
    cdef const char *why = NULL
    cdef int rc
    borrow_bytes(nal, &unit, "a NAL unit")
    try:
        borrow_bytes(sps, &first, "an SPS")
        try:
            borrow_bytes(pps, &second, "a PPS")
            try:
                bits = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>unit.size)
                rc = lw_slice_read(unit.data, unit.size, first.data, first.size, second.data, second.size,
                                   <uint8_t *>PyBytes_AS_STRING(bits), unit.size, &payload, NULL, &why)
            finally:
                give_back(&second)
        finally:
            give_back(&first)
    finally:
        give_back(&unit)
    if rc == LW_EDATA:
        raise BadData(f"this slice cannot be stitched: {why.decode()}")
    check(rc, "slice")
    return bits[:(payload.bit_length + 7) // 8], payload.bit_length, payload.qp, payload.type


cdef lw_payload _payload(Borrowed *source, bit_length, qp, slice_type) except *:
    """Slice data of Python's; `source` has its bits, and stays borrowed."""
    cdef lw_payload payload
    cdef int64_t length = whole64(bit_length, "bit_length")
    payload.qp, payload.type = whole(qp, "qp"), whole(slice_type, "slice_type")
    if not 1 <= length <= 8 * <int64_t>source.size or length > 0x7FFFFFFF:
        raise InvalidArgument(f"bit_length is out of range: {bit_length}, of {source.size} bytes")
    payload.bits, payload.bit_length = <const uint8_t *>source.data, <size_t>length
    return payload


def patch_slice(around, box, size, place, levels=None, qp=0):
    """A P slice of moved and skipped macroblocks with a box of intra ones, which look the same whatever it refers to.

    Args:
        around: as `slice_payload` has it, the P slice, of vectors alone. It skips the box, and its vectors are
            predicted as if that was intra.
        box: as `slice_payload` has it, an I slice of a picture as large as the box; None: there is none.
        size: (columns, rows) of the P slice, in macroblocks, 1..256.
        place: (left, top, width, height) of the box in it; without one all 0.
        levels: int16 (columns * rows, 384): what macroblocks that are not skipped have beside their motion, as
            `lw_residual` has it; None: nothing.
        qp: QPY of that.

    Returns:
        As `slice_payload`.

    Raises:
        BadData: one of the slices is malformed, or has something else in it. InvalidArgument: a number is out of range.
    """
    cdef Borrowed first, second
    cdef lw_payload outside, inside, payload
    cdef lw_payload *boxed = NULL
    cdef lw_slice_box where
    cdef lw_residual residual
    cdef lw_residual *added = NULL
    cdef const int16_t[:, ::1] numbers
    cdef const char *why = NULL
    cdef size_t room
    cdef int rc
    columns, rows = size
    where.columns, where.rows = whole(columns, "size"), whole(rows, "size")
    left, top, width, height = place
    where.left, where.top = whole(left, "place"), whole(top, "place")
    where.width, where.height = whole(width, "place"), whole(height, "place")
    residual.qp = whole(qp, "qp")
    if not (0 < where.columns <= 256 and 0 < where.rows <= 256 and 0 <= where.width <= 256 and 0 <= where.height <= 256):
        raise InvalidArgument(f"a slice has 1..256 macroblocks in width and height, a box no more; not {size!r:.60} "
                              f"and {place!r:.60}")
    if levels is not None:
        numbers = _numbers(levels, "<i2", (where.columns * where.rows, LW_RESIDUAL_LEVELS), "levels")
        residual.levels = &numbers[0, 0]
        added = &residual
    bits, bit_length, first_qp, slice_type = around
    borrow_bytes(bits, &first, "slice data")
    try:
        outside = _payload(&first, bit_length, first_qp, slice_type)
        inside.bit_length = 0
        borrow_bytes(b"" if box is None else box[0], &second, "slice data")
        try:
            if box is not None:
                bits, bit_length, first_qp, slice_type = box
                inside = _payload(&second, bit_length, first_qp, slice_type)
                boxed = &inside
            room = LW_PATCH_BYTES(outside.bit_length, inside.bit_length, <size_t>(where.width * where.height))
            if added != NULL:
                room += LW_RESIDUAL_BYTES * <size_t>(where.columns * where.rows)
            made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>room)
            rc = lw_slice_patch(&outside, added, boxed, &where, <uint8_t *>PyBytes_AS_STRING(made), room, &payload, &why)
        finally:
            give_back(&second)
    finally:
        give_back(&first)
    if rc == LW_EDATA:
        raise BadData(f"these slices cannot be put together: {why.decode()}")
    check(rc, f"a P slice of {size!r:.60} macroblocks with an I slice at {place!r:.60}")
    return made[:(payload.bit_length + 7) // 8], payload.bit_length, payload.qp, payload.type


cdef object _numbers(array, str kind, shape, str name, most=None):
    """A contiguous array of this type; numbers that it cannot hold are refused, and those beyond 0..most."""
    given = np.asarray(array)
    if given.dtype.kind not in "iu" or given.shape != shape:
        raise InvalidArgument(f"{name}: whole numbers of shape {shape} are wanted, not {given.dtype} {given.shape}")
    made = np.ascontiguousarray(given, dtype=kind)
    if not np.array_equal(made, given):
        raise InvalidArgument(f"{name}: a number does not fit {kind}")
    if most is not None and made.size and (made.min() < 0 or made.max() > most):
        raise InvalidArgument(f"{name}: 0..{most}")
    return made


cdef class AtlasWriter:
    """Gathers the stripes, slices and nodes of one avatar at one size and rate, and packs them into the blob that
    `Atlas` opens. Stripes first, from top to bottom; then slices; then segments. What goes together is described in
    `lipwire/stitch.h`.

    Args:
        width, height: of the picture, even, 16..4096; what is over to whole macroblocks is cropped.
        fps: (numerator, denominator), 1..100.
        matrix: "bt709" or "bt601".
        walk_axes: numbers of the axes that a node sets.
        limits: {axis: (least, most)} as int16; `Atlas.covers` says no beyond. Of axes without: any value.
        mouths: images that the avatar's mouth has: rows of the stripes' `costs`.
        note: kept as it is, at most 64 MiB.

    Raises:
        InvalidArgument: one of them is out of range.
    """
    cdef lw_atlas_plan plan
    cdef bytes note
    cdef list stripes   # (first row, kind, rows, values, weights, costs)
    cdef list stills    # of each stripe: its slice, or None
    cdef list owners    # of each entry of a node: its stripe, and "step", "own" or "change"
    cdef list slices    # (stripe, type, qp, stored bytes)
    cdef dict known     # these -> number
    cdef list nodes     # (axes, anchor)
    cdef list entries   # uint32 arrays, one a node
    cdef list segments  # (first, count, modes)
    cdef int used       # rows of macroblocks
    cdef int choices

    def __cinit__(self, width, height, fps, *, str matrix="bt709", walk_axes=(), limits=None, mouths=0, note=b""):
        cdef int axis, i
        num, den = fps
        self.plan.width, self.plan.height = whole(width, "width"), whole(height, "height")
        check_size(self.plan.width, self.plan.height)
        self.plan.fps_num, self.plan.fps_den = whole(num, "fps"), whole(den, "fps")
        if self.plan.fps_den < 1 or not self.plan.fps_den <= self.plan.fps_num <= 100 * <int64_t>self.plan.fps_den:
            raise InvalidArgument(f"fps: 1..100, not {num}/{den}")
        self.plan.matrix = _matrix(matrix)
        self.plan.mouths = whole(mouths, "mouths")
        if not 0 <= self.plan.mouths <= 65536:
            raise InvalidArgument(f"mouths: 0..65536, not {mouths}")
        for i in range(LW_AXES):
            self.plan.axis_min[i], self.plan.axis_max[i] = -32768, 32767
        for value in walk_axes:
            self.plan.walk_axes |= 1u << _axis(value)
        for value, (least, most) in (limits or {}).items():
            axis = _axis(value)
            low, high = whole(least, "limits"), whole(most, "limits")
            if not -32768 <= low <= high <= 32767:
                raise InvalidArgument(f"the limits of axis {axis}: int16, least <= most, not {least}, {most}")
            self.plan.axis_min[axis], self.plan.axis_max[axis] = low, high
        self._keep(note)
        self.stripes, self.stills, self.owners, self.slices, self.known = [], [], [], [], {}
        self.nodes, self.entries, self.segments = [], [], []

    def add_stripe(self, str kind, rows, *, values=None, weights=None, costs=None, refresh=0):
        """Adds the next stripe from the top; returns its number.

        Args:
            kind: "static", "moving" or "choice".
            rows: how many rows of macroblocks it has.
            values: of a choice, int16 (variants, AXES): the pose that each variant was made for.
            weights: of a choice, (AXES,), 0..2^20: what the square of a difference of 1 costs.
            costs: of a choice that shows the mouth, int64 (mouths, variants), 0..2^60: what a variant costs where the
                avatar would show that image.
            refresh: of a choice, 0..4096: its chains are of motion alone, go on from any variant, and after so many the
                next anchor has an I slice; 0: they lean on variant 0 since the anchor.

        Raises:
            InvalidArgument: one of them is out of range. BadState: there are slices or segments already.
        """
        if kind not in _STRIPE_KINDS:
            raise InvalidArgument(f"a stripe is one of {', '.join(_STRIPE_KINDS)}, not {kind!r}")
        count, left = whole(rows, "rows"), (self.plan.height + 15) // 16 - self.used
        if not 1 <= count <= left:
            raise InvalidArgument(f"rows: 1..{left} are left, not {rows}")
        if len(self.stripes) == LW_ATLAS_STRIPES:
            raise InvalidArgument(f"at most {LW_ATLAS_STRIPES} stripes")
        if self.slices or self.nodes:
            raise BadState("stripes come before slices and segments")
        if kind == "choice":
            if values is None or self.choices == LW_ATLAS_CHOICES:
                raise InvalidArgument(f"a choice has values, one row a variant; {LW_ATLAS_CHOICES} choices at most")
            values, weights, costs = self._tables(values, weights, costs)
            self.choices += 1
        elif not (values is weights is costs is None):
            raise InvalidArgument(f"values, weights and costs are of a choice, not of what is {kind}")
        number = len(self.stripes)
        limit = whole(refresh, "refresh")
        if not 0 <= limit <= (LW_ATLAS_REFRESH if kind == "choice" else 0):
            raise InvalidArgument(f"refresh: 0..{LW_ATLAS_REFRESH}, of a choice, not {refresh} of what is {kind}")
        self.stripes.append((self.used, kind, count, values, weights, costs, limit))
        self.stills.append(None)
        if kind != "static":
            variants = 0 if values is None else len(values)
            changes = variants if limit and variants > 1 else 0
            self.owners += [(number, "step")] + [(number, "own")] * variants + [(number, "change")] * changes
        self.used += count
        return number

    def _tables(self, values, weights, costs):
        variants = len(values)
        if not 1 <= variants <= LW_ATLAS_VARIANTS:
            raise InvalidArgument(f"values: 1..{LW_ATLAS_VARIANTS} rows, not {variants}")
        values = _numbers(values, "<i2", (variants, LW_AXES), "values")
        weights = np.zeros(LW_AXES, np.int32) if weights is None else weights
        weights = _numbers(weights, "<i4", (LW_AXES,), "weights", 1 << 20)
        if costs is not None:
            costs = _numbers(costs, "<i8", (self.plan.mouths, variants), "costs", 1 << 60)
        return values, weights, costs

    def add_slice(self, stripe, bits, bit_length, qp, slice_type):
        """Stores a slice of that stripe, as `slice_payload` gives it; returns its number. Equal ones share one.

        Raises:
            InvalidArgument: there is no such stripe, or `bits` has fewer than `bit_length`.
        """
        cdef Borrowed source
        cdef lw_payload payload
        cdef int64_t stored
        cdef int number = self._stripe(stripe)
        columns = (self.plan.width + 15) // 16
        borrow_bytes(bits, &source, "slice data")
        try:
            payload = _payload(&source, bit_length, qp, slice_type)
            out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(payload.bit_length // 8 * 3 // 2 + 8))
            stored = lw_slice_store(&payload, self.stripes[number][0] * columns, <uint8_t *>PyBytes_AS_STRING(out),
                                    <size_t>PyBytes_GET_SIZE(out))
        finally:
            give_back(&source)
        check(stored, f"slice of type {slice_type}, QP {qp}")
        record = (number, payload.type, payload.qp, out[:stored])
        found = self.known.setdefault(record, len(self.slices))
        if found == len(self.slices):
            self.slices.append(record)
        return found

    cdef int _stripe(self, stripe) except -1:
        cdef int number = whole(stripe, "stripe")
        if not 0 <= number < len(self.stripes):
            raise InvalidArgument(f"stripe is out of range: {stripe} of {len(self.stripes)}")
        return number

    cdef int64_t _owned(self, slice, int stripe, bint only_i) except -1:
        """The slice's number, if it may stand there."""
        cdef int64_t number = whole64(slice, "slice")
        if not 0 <= number < len(self.slices):
            raise InvalidArgument(f"slice is out of range: {slice} of {len(self.slices)}")
        owner, kind, _, _ = self.slices[number]
        if owner != stripe or (only_i and kind != LW_SLICE_I):
            raise InvalidArgument(f"slice {slice} is {'I' if kind == LW_SLICE_I else 'P'} of stripe {owner}; "
                                  f"{'an I slice' if only_i else 'one'} of stripe {stripe} is wanted")
        return number

    def set_static(self, stripe, slice):
        """Says which I slice a static stripe shows."""
        cdef int number = self._stripe(stripe)
        if self.stripes[number][1] != "static":
            raise InvalidArgument(f"stripe {stripe} is {self.stripes[number][1]}")
        self.stills[number] = self._owned(slice, number, True)

    def add_segment(self, modes, nodes):
        """Adds a chain of nodes; returns the number of the first.

        Args:
            modes: in which it is walked: 1 << state, and ATLAS_SPEAKING.
            nodes: (axes, anchor, entries) of each. axes: int16 (AXES,); anchor: all of its slices are I, the first
                node's have to be; entries: numbers of slices in the order of the stripes, for each moving one (at an
                anchor I, else None: as at the node before), for each choice its chain (at an anchor None, else as
                before: what turns variant 0 at the node before into variant 0 here) and one a variant; with `refresh`
                and more than one variant, another one for each: what turns any variant at the node before into it, or
                None. Away from anchors variants' own may then be None, where the chain has no I slice and there is a
                change for each; else they are taken in any case.

        Raises:
            InvalidArgument: one of them is out of range; nothing was added.
        """
        mask = whole64(modes, "modes")
        if not 0 <= mask < 1 << 32:
            raise InvalidArgument(f"modes is out of range: {modes}")
        made, numbers = [], []
        for axes, anchor, entries in nodes:
            if not made and not anchor:
                raise InvalidArgument("a segment begins with an anchor")
            if len(entries) != len(self.owners):
                raise InvalidArgument(f"node {len(made)}: {len(entries)} entries; {len(self.owners)} are wanted")
            row = np.empty(len(entries), dtype=np.uint32)
            for i, entry in enumerate(entries):
                owner, role = self.owners[i]
                free = self.stripes[owner][6] > 0
                choice = self.stripes[owner][1] == "choice"
                if entry is None and (role == "change" or (not anchor and (role == "step" or free)) or
                                      (role == "step" and choice)):
                    row[i] = <uint32_t>LW_ATLAS_NONE
                elif role == "step" and anchor and choice and not free:
                    raise InvalidArgument(f"node {len(made)}: an anchor has no chain, entry {i} is None there")
                else:
                    only_i = (anchor or not free) if role == "own" else role == "step" and anchor and not free
                    row[i] = self._owned(entry, owner, only_i)
            made.append((_numbers(axes, "<i2", (LW_AXES,), "axes"), bool(anchor)))
            numbers.append(row)
        if not made or len(made) + len(self.nodes) > 1 << 20:
            raise InvalidArgument("a segment has a node at least, an atlas 2^20 at most")
        first = len(self.nodes)
        self.segments.append((first, len(made), mask))
        self.nodes += made
        self.entries += numbers
        return first

    def _check_whole(self):
        rows = (self.plan.height + 15) // 16
        if self.used != rows:
            raise BadState(f"the stripes have {self.used} of {rows} rows of macroblocks: add_stripe")
        for number, still in enumerate(self.stills):
            if self.stripes[number][1] == "static" and still is None:
                raise BadState(f"stripe {number} has no slice: set_static")
        if not self.nodes:
            raise BadState("there is no node: add_segment")

    def _keep(self, note):
        cdef Borrowed source
        borrow_bytes(note, &source, "a note")
        try:
            if source.size > 1 << 26:
                raise InvalidArgument(f"the note has {source.size} bytes; 64 MiB at most")
            self.note = PyBytes_FromStringAndSize(<const char *>source.data, <Py_ssize_t>source.size)
        finally:
            give_back(&source)

    def pack(self, note=None):
        """The blob, which has been opened once to see that it can be. `note`: in place of the one before.

        Raises:
            InvalidArgument: the note is too long. BadState: something is missing; the message says what.
        """
        cdef lw_atlas_plan plan = self.plan
        cdef lw_atlas_stripe *stripes = NULL
        cdef lw_atlas_node *nodes = NULL
        cdef lw_atlas_segment *segments = NULL
        cdef lw_atlas_slice *slices = NULL
        cdef const int16_t[:, ::1] values
        cdef const int16_t[::1] axes
        cdef const int32_t[::1] weights
        cdef const int64_t[:, ::1] costs
        cdef const uint32_t[::1] entries
        cdef uint64_t at = 0
        cdef Py_ssize_t i, k
        cdef int64_t size
        if note is not None:
            self._keep(note)
        self._check_whole()
        data = b"".join([record[3] for record in self.slices])
        table = np.concatenate(self.entries)
        try:
            stripes = <lw_atlas_stripe *>calloc(len(self.stripes), sizeof(lw_atlas_stripe))
            nodes = <lw_atlas_node *>calloc(len(self.nodes), sizeof(lw_atlas_node))
            segments = <lw_atlas_segment *>calloc(len(self.segments), sizeof(lw_atlas_segment))
            slices = <lw_atlas_slice *>calloc(len(self.slices) + 1, sizeof(lw_atlas_slice))
            if stripes == NULL or nodes == NULL or segments == NULL or slices == NULL:
                raise OutOfMemory("atlas")
            for i, (_, kind, rows, value, weight, cost, limit) in enumerate(self.stripes):
                stripes[i].refresh = limit
                stripes[i].kind, stripes[i].rows = _STRIPE_KINDS[kind], rows
                stripes[i].still = 0 if self.stills[i] is None else self.stills[i]
                if kind == "choice":
                    values, weights = value, weight
                    stripes[i].variants = <int32_t>values.shape[0]
                    stripes[i].values = &values[0, 0]
                    for k in range(LW_AXES):
                        stripes[i].weight[k] = weights[k]
                    if cost is not None and cost.size:
                        costs = cost
                        stripes[i].costs = &costs[0, 0]
            for i, (axis, anchor) in enumerate(self.nodes):
                axes = axis
                memcpy(nodes[i].axis, &axes[0], sizeof(nodes[i].axis))
                nodes[i].anchor = anchor
            for i, (first, count, modes) in enumerate(self.segments):
                segments[i].first, segments[i].count, segments[i].modes = first, count, modes
            for i, (stripe, kind, qp, stored) in enumerate(self.slices):
                slices[i].at, slices[i].bytes = at, <uint32_t>len(stored)
                slices[i].type, slices[i].qp, slices[i].stripe = kind, qp, stripe
                at += slices[i].bytes
            plan.stripes, plan.stripe_count = stripes, <int32_t>len(self.stripes)
            plan.nodes, plan.node_count = nodes, <int32_t>len(self.nodes)
            plan.segments, plan.segment_count = segments, <int32_t>len(self.segments)
            plan.slices, plan.slice_count = slices, <uint32_t>len(self.slices)
            plan.data, plan.data_bytes = <const uint8_t *>PyBytes_AS_STRING(data), <uint64_t>len(data)
            plan.note, plan.note_bytes = PyBytes_AS_STRING(self.note), <uint32_t>len(self.note)
            if table.size:
                entries = table
                plan.entries = &entries[0]
            size = check(lw_atlas_pack(&plan, NULL, 0), "atlas")
            blob = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
            check(lw_atlas_pack(&plan, PyBytes_AS_STRING(blob), <size_t>size), "atlas")
        finally:
            free(stripes)
            free(nodes)
            free(segments)
            free(slices)
        Atlas(blob)
        return blob


cdef int _axis(value) except -1:
    cdef int axis = whole(value, "axis")
    if not 0 <= axis < LW_AXES:
        raise InvalidArgument(f"axis is out of range: {value}; 0..{LW_AXES - 1}")
    return axis


cdef class Atlas:
    """The slices of one avatar at one size and rate, looked at where they lie: `blob` is any buffer, a mapped file as a
    rule, which must not change meanwhile. Immutable and shareable.

    Raises:
        BadData: it is none, or damaged; the message says why.
    """
    cdef lw_atlas *a
    cdef lw_atlas_info info
    cdef Borrowed blob
    cdef bint held

    def __cinit__(self, blob):
        cdef const char *why = NULL
        borrow_bytes(blob, &self.blob, "an atlas")
        self.held = True
        rc = lw_atlas_open(&self.a, self.blob.data, self.blob.size, &why)
        if rc == LW_EDATA:
            raise BadData(f"the atlas is refused: {why.decode()}")
        check(rc, "atlas")
        lw_atlas_describe(self.a, &self.info)

    def __dealloc__(self):
        lw_atlas_close(&self.a)
        if self.held:
            give_back(&self.blob)

    @property
    def width(self):
        return self.info.width

    @property
    def height(self):
        return self.info.height

    @property
    def fps(self):
        """(numerator, denominator)."""
        return self.info.fps_num, self.info.fps_den

    @property
    def matrix(self):
        """"bt709" or "bt601"."""
        return "bt709" if self.info.matrix == LW_BT709 else "bt601"

    @property
    def level(self):
        """level_idc: ten times the level of H.264."""
        return self.info.level

    @property
    def nodes(self):
        """How many."""
        return self.info.nodes

    @property
    def segments(self):
        """(first node, count, modes) of each."""
        cdef lw_atlas_segment s
        found = []
        for i in range(self.info.segments):
            lw_atlas_segment_at(self.a, i, &s)
            found.append((s.first, s.count, s.modes))
        return tuple(found)

    @property
    def walk_axes(self):
        """Numbers of the axes that a node sets."""
        return tuple([axis for axis in range(LW_AXES) if self.info.walk_axes >> axis & 1])

    @property
    def mouths(self):
        """How many images the avatar's mouth has."""
        return self.info.mouths

    @property
    def variants(self):
        """How many variants each choice has, from the top."""
        return tuple([lw_atlas_variants(self.a, i) for i in range(self.info.choices)])

    @property
    def slices(self):
        """How many."""
        return self.info.slices

    @property
    def bound(self):
        """The most bytes that a unit can have."""
        return self.info.bound

    @property
    def nbytes(self):
        """Of the blob."""
        return self.info.bytes

    @property
    def note(self):
        """What its maker wrote into it."""
        cdef size_t size
        cdef const uint8_t *note = lw_atlas_note(self.a, &size)
        return PyBytes_FromStringAndSize(<const char *>note, <Py_ssize_t>size)

    @property
    def sps(self):
        """The sequence parameter set, a NAL unit."""
        cdef size_t size
        cdef const uint8_t *unit = lw_atlas_sps(self.a, &size)
        return PyBytes_FromStringAndSize(<const char *>unit, <Py_ssize_t>size)

    @property
    def pps(self):
        """The picture parameter set, a NAL unit."""
        cdef size_t size
        cdef const uint8_t *unit = lw_atlas_pps(self.a, &size)
        return PyBytes_FromStringAndSize(<const char *>unit, <Py_ssize_t>size)

    @property
    def avcc(self):
        """The AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1): extradata of "avcc" units."""
        cdef uint8_t record[LW_AVCC_BYTES]
        size = check(lw_atlas_avcc(self.a, record, LW_AVCC_BYTES))
        return PyBytes_FromStringAndSize(<const char *>record, <Py_ssize_t>size)

    def anchor(self, node):
        """Whether the node is an anchor."""
        return check(lw_atlas_anchor(self.a, whole(node, "node")), f"node {node}") == 1

    def head(self, node):
        """{axis: value} of the walk's axes at the node, -1..1."""
        cdef lw_pose pose
        memset(&pose, 0, sizeof(pose))
        check(lw_atlas_head(self.a, whole(node, "node"), &pose), f"node {node}")
        return {axis: pose.axis[axis] / 32767 for axis in self.walk_axes}

    def choose(self, axes, mouth=0):
        """The variants that suit a pose best, one a choice: 15 axes (-1..1), and the image that the avatar's mouth
        would show."""
        cdef int32_t chosen[LW_ATLAS_CHOICES]
        cdef lw_pose pose = _pose(axes, _NO_VISEMES)
        check(lw_atlas_choose_all(self.a, &pose, whole(mouth, "mouth"), chosen), f"mouth {mouth}")
        return tuple([chosen[i] for i in range(self.info.choices)])

    def covers(self, axes):
        """Whether a pose is within what was encoded: 15 axes (-1..1). Where it is not, an encoder has to draw it."""
        cdef lw_pose pose = _pose(axes, _NO_VISEMES)
        return lw_atlas_covers(self.a, &pose) == 1


_NO_VISEMES = (0,) * LW_VISEMES


cdef class Stitcher:
    """One stream of an atlas's pictures.

    Args:
        framing: "annexb" (start codes of four bytes, parameter sets before each IDR picture) or "avcc" (lengths of four
            bytes; the parameter sets are in `Atlas.avcc`).
    """
    cdef Atlas atlas
    cdef lw_stitcher *s
    cdef uint8_t *room

    def __cinit__(self, Atlas atlas not None, str framing="annexb"):
        if framing not in _FRAMINGS:
            raise InvalidArgument(f"the framing is one of {', '.join(_FRAMINGS)}, not {framing!r}")
        self.atlas = atlas
        self.room = <uint8_t *>PyMem_Malloc(atlas.info.bound)
        if self.room == NULL:
            raise OutOfMemory("stitcher")
        check(lw_stitcher_open(&self.s, atlas.a, _FRAMINGS[framing]), "stitcher")

    def __dealloc__(self):
        lw_stitcher_close(&self.s)
        PyMem_Free(self.room)

    def unit(self, node, variants=(), key=False):
        """The next picture as an access unit: the node, with one variant for each choice from the top. `key`: as IDR
        picture; the first one has to be.

        Raises:
            InvalidArgument: there is no such node or variant, `key` is asked for away from an anchor, or the walk may
                not go there. BadState: the first one, and not `key`.
        """
        cdef int32_t chosen[LW_ATLAS_CHOICES]
        cdef int i
        if len(variants) != self.atlas.info.choices:
            raise InvalidArgument(f"{len(variants)} variants; there are {self.atlas.info.choices} choices")
        for i in range(self.atlas.info.choices):
            chosen[i] = whole(variants[i], "variants")
        cdef size_t bound = self.atlas.info.bound
        cdef int64_t size = lw_stitcher_unit(self.s, whole(node, "node"), chosen, bool(key), self.room, bound)
        if size < 0:
            check(size, f"node {node}, variants {tuple(variants)}{', key' if key else ''}")
        return PyBytes_FromStringAndSize(<const char *>self.room, <Py_ssize_t>size)

    def reset(self):
        """The next picture is the first one: something else was sent meanwhile."""
        lw_stitcher_reset(self.s)
