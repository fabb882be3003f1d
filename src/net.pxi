# The native sender: lipwire/net.h.

cdef dict _NET_KINDS = {"h264": LW_NET_H264, "vp8": LW_NET_VP8, "opus": LW_NET_OPUS, "audio": LW_NET_AUDIO}
cdef dict _NET_EVENTS = {LW_NET_KEY: "key", LW_NET_BEHIND: "behind", LW_NET_RATE: "rate", LW_NET_ERROR: "error"}


cdef int net_kind(object kind) except -1:
    if kind not in _NET_KINDS:
        raise InvalidArgument(f"kind {kind!r}; there are {', '.join(_NET_KINDS)}")
    return _NET_KINDS[kind]


cdef int borrow_media(object data, Borrowed *b, lw_media *media, object sample, bint key, object duration) except -1:
    media.sample = whole64(sample, "sample")
    media.duration = whole(duration, "duration")
    media.key = key
    if media.sample < 0 or media.duration < 0:
        raise InvalidArgument(f"sample {media.sample}, duration {media.duration}: neither is negative")
    borrow_bytes(data, b, "an access unit or packet")
    media.data = b.data
    media.size = b.size
    return 0


cdef int sent(int rc, size_t size) except -1:
    if rc == LW_EINVAL:
        raise InvalidArgument(f"{size} bytes that no RTP packets can be made of: nothing in them, too much for the codec and "
                              "the MTU, or no H.264 in Annex B format")
    return <int>check(rc, "the net has no free packets, or too much to do")


cdef class Net:
    """The native thread that paces and sends RTP for all connections of a process.

    Watch `fileno()`, an eventfd: it is readable while `events()` has something. Connections and groups have to be closed,
    or gone, before it can be.

    Args:
        packets: that may wait or be kept for retransmission, 64..1048576; 1.5 KB each when first used.
        manual: no thread; `run(now_ns)` does what is due, by the caller's clock. wall_ns: UTC when that is 0.
    """
    cdef lw_net *net

    def __cinit__(self, packets=65536, *, manual=False, wall_ns=0):
        cdef lw_net_config config
        memset(&config, 0, sizeof(config))
        config.packets = whole(packets, "packets")
        config.manual = bool(manual)
        config.wall_ns = whole64(wall_ns, "wall_ns")
        if config.packets == 0:
            raise InvalidArgument("packets 0; 64..1048576")
        check(lw_net_open(&self.net, &config), "net")

    def __dealloc__(self):
        with nogil:
            lw_net_close(&self.net)

    cdef lw_net *opened(self) except NULL:
        if self.net == NULL:
            raise BadState("the net is closed")
        return self.net

    def fileno(self):
        """The eventfd, non-blocking; it belongs to the net."""
        return lw_net_fd(self.opened())

    def events(self):
        """What has happened since the last call, as (connection id, kind, value): "key", the stream that needs a key frame;
        "behind", the stream whose pictures were given up, for which "key" follows when it has room again; "rate", what the
        path carries, bit/s; "error", the errno of a send that failed. Each kind once for each connection and stream."""
        cdef lw_net_event found[64]
        cdef int n = 64, i
        cdef list out = []
        self.opened()
        while n == 64:
            n = <int>check(lw_net_events(self.net, found, 64))
            for i in range(n):
                out.append((found[i].connection, _NET_EVENTS[found[i].kind], found[i].value))
        return out

    def run(self, now_ns):
        """Manual nets: does what is due at `now_ns`, which never goes back; returns when something will be.

        Raises:
            BadState: the net has a thread for that, or is closed.
        """
        cdef int64_t now = whole64(now_ns, "now_ns")
        self.opened()
        with nogil:
            now = lw_net_run(self.net, now)
        return check(now, "the net has a thread of its own")

    def stats(self):
        """Counters as a dict; see `lw_net_counters`."""
        cdef lw_net_counters counters
        lw_net_stats(self.opened(), &counters)
        return counters

    def close(self):
        """Stops the thread. Safe to call twice.

        Raises:
            BadState: it still has connections or groups.
        """
        cdef int rc
        cdef lw_net *net = self.net
        self.net = NULL  # while this holds the GIL: what other threads call from now on finds it closed
        with nogil:
            rc = lw_net_close(&net)
        if net != NULL:
            self.net = net
        check(rc, "the net still has connections or groups")


# Without no_gc_clear the collector could take the net away before the connection has said goodbye to it.
@cython.no_gc_clear
cdef class Connection:
    """One peer of a net: a UDP socket that somebody else reads, an address, an SRTP context, streams.

    Args:
        fd: the socket, duplicated; -1: `route` comes later. address: (host, port, ...), numeric; None: it is connected.
        srtp_protect, srtp_protect_rtcp: addresses of libsrtp's functions; 0, both: plain RTP. context: their srtp_t, which
            nobody else may use until the connection is closed; `keep` is kept for as long, such as what owns the context.
        start_bitrate, min_bitrate, max_bitrate: of the estimate, bit/s; 0: 800000, 50000, 5000000.

    Raises:
        InvalidArgument: a value is out of range, or the socket cannot have that address. OutOfMemory: or no descriptor.
    """
    cdef lw_connection *c
    cdef Net net
    cdef object keep

    def __cinit__(self, Net net not None, fd=-1, address=None, srtp_protect=0, srtp_protect_rtcp=0, context=0, *, keep=None,
                  start_bitrate=0, min_bitrate=0, max_bitrate=0):
        cdef lw_connection_config config
        cdef bytes host
        memset(&config, 0, sizeof(config))
        self.net = net
        self.keep = keep
        config.fd = whole(fd, "fd")
        if address is not None:
            host = address[0].encode()
            config.host = host
            config.port = whole(address[1], "port")
        config.protect = <lw_srtp_protect><size_t>whole64(srtp_protect, "srtp_protect")
        config.protect_rtcp = <lw_srtp_protect><size_t>whole64(srtp_protect_rtcp, "srtp_protect_rtcp")
        config.context = <void *><size_t>whole64(context, "context")
        config.start_bitrate = whole(start_bitrate, "start_bitrate")
        config.min_bitrate = whole(min_bitrate, "min_bitrate")
        config.max_bitrate = whole(max_bitrate, "max_bitrate")
        check(lw_connection_open(&self.c, net.opened(), &config), f"connection to {address}")

    def __dealloc__(self):
        with nogil:
            lw_connection_close(&self.c)

    cdef lw_connection *opened(self) except NULL:
        if self.c == NULL:
            raise BadState("the connection is closed")
        return self.c

    @property
    def id(self):
        """Its number in `Net.events()`."""
        return lw_connection_id(self.opened())

    def route(self, fd, address, channel=0):
        """Where packets go from now on; `channel` 0x4000..0x4fff: through a TURN server at `address`, on that channel.

        Raises:
            InvalidArgument: the socket cannot have that address. OutOfMemory: no descriptor.
        """
        cdef bytes host = None if address is None else address[0].encode()
        cdef int port = 0 if address is None else whole(address[1], "port")
        check(lw_connection_route(self.opened(), whole(fd, "fd"), NULL if host is None else <const char *>host, port,
                                  whole(channel, "channel")), f"route to {address}")

    def rtcp_route(self, fd, address):
        """Where RTCP goes from now on, for a peer that takes it elsewhere than RTP; fd -1, address None: as RTP again.

        Raises:
            InvalidArgument: the socket cannot have that address. OutOfMemory: no descriptor.
        """
        cdef bytes host = None if address is None else address[0].encode()
        cdef int port = 0 if address is None else whole(address[1], "port")
        check(lw_connection_rtcp_route(self.opened(), whole(fd, "fd"), NULL if host is None else <const char *>host, port),
              f"RTCP route to {address}")

    def stream(self, kind, ssrc, payload_type, clock_rate, *, cname, mid=None, abs_send_time_id=0, twcc_id=0, rtx_ssrc=0,
               rtx_payload_type=0, mode=1, mtu=1200, history_ms=1000, first=None):
        """A new stream; returns its number in this connection.

        Args:
            kind: "h264", "vp8", "opus", or "audio" for what is sent as it is. ssrc: 1..2**32 - 1, not used yet.
            payload_type: 0..127. clock_rate: of RTP timestamps, Hz. cname: of 1..63 bytes.
            mid: (extension id, value) or None; abs_send_time_id, twcc_id: extension ids, 1..14, 0: not sent.
            rtx_ssrc, rtx_payload_type: of retransmissions (RFC 4588); 0: they are sent as the packets were.
            mode: packetization-mode of H.264. mtu: bytes of a UDP datagram, 256..1472.
            history_ms: how long packets are kept for NACKs, 0..10000.
            first: RTP timestamp of sample 0, and first sequence number; None: random, as they should be.

        Raises:
            InvalidArgument: a value is out of range, or an SSRC is taken. BufferFull: there are 16 streams already.
        """
        cdef lw_stream_config config
        cdef bytes name = cname.encode()
        cdef bytes label
        memset(&config, 0, sizeof(config))
        config.kind = net_kind(kind)
        config.ssrc = net_ssrc(ssrc, "ssrc")
        config.payload_type = whole(payload_type, "payload_type")
        config.clock_rate = whole(clock_rate, "clock_rate")
        config.cname = name
        if mid is not None:
            label = mid[1].encode()
            config.mid_id = whole(mid[0], "mid's id")
            config.mid = label
        config.abs_send_time_id = whole(abs_send_time_id, "abs_send_time_id")
        config.twcc_id = whole(twcc_id, "twcc_id")
        config.rtx_ssrc = net_ssrc(rtx_ssrc, "rtx_ssrc")
        config.rtx_payload_type = whole(rtx_payload_type, "rtx_payload_type")
        config.mode = whole(mode, "mode")
        config.mtu = whole(mtu, "mtu")
        config.history_ms = whole(history_ms, "history_ms")
        config.random = first is None
        if first is not None:
            config.first_timestamp = <uint32_t>whole64(first[0], "first timestamp")
            config.first_sequence = <uint16_t>whole(first[1], "first sequence number")
        return check(lw_connection_stream(self.opened(), &config), f"{kind} stream {ssrc}")

    def send(self, stream, data, sample, key=False, duration=0):
        """One access unit (Annex B), frame or packet, whose media time is `sample` at 48 kHz. Copied and queued, 1 to 3 us.
        `duration`: samples; sound that does not go on where the last packet ended is marked as a new talkspurt; 0: not
        known.
        Returns the number of RTP packets that it makes.

        Raises:
            InvalidArgument: no RTP packets can be made of it. BufferFull: the net has no free packets, or too much to do.
        """
        cdef Borrowed b
        cdef lw_media media
        cdef int rc, number = whole(stream, "stream")
        self.opened()
        borrow_media(data, &b, &media, sample, key, duration)
        try:
            rc = lw_connection_send(self.c, number, &media)
            return sent(rc, b.size)
        finally:
            give_back(&b)

    def rtcp(self, data):
        """A compound packet that came from the peer, decrypted; 1..1472 bytes. What is wrong with it is counted.

        Raises:
            InvalidArgument: empty or too long. BufferFull: the net has too much to do.
        """
        cdef Borrowed b
        self.opened()
        borrow_bytes(data, &b, "RTCP")
        try:
            check(lw_connection_rtcp(self.c, b.data, b.size), f"{b.size} bytes of RTCP")
        finally:
            give_back(&b)

    def forward(self, data):
        """An RTP or RTCP packet that somebody else made for this peer: protected by the same context and sent.

        Raises:
            InvalidArgument: empty or too long. BufferFull: the net has too much to do.
        """
        cdef Borrowed b
        self.opened()
        borrow_bytes(data, &b, "a packet")
        try:
            check(lw_connection_forward(self.c, b.data, b.size), f"a packet of {b.size} bytes")
        finally:
            give_back(&b)

    def stats(self):
        """Counters as a dict; see `lw_connection_counters`."""
        cdef lw_connection_counters counters
        lw_connection_stats(self.opened(), &counters)
        return counters

    def close(self):
        """Leaves its groups, sends BYE, lets go of socket and SRTP context. Safe to call twice; takes about 0.1 ms."""
        cdef lw_connection *c = self.c
        keep = self.keep  # whoever calls it at the same time does not take that away
        self.c = NULL  # as in Net.close
        self.keep = None
        with nogil:
            lw_connection_close(&c)


cdef uint32_t net_ssrc(object value, str name) except? 0:
    cdef int64_t ssrc = whole64(value, name)
    if ssrc < 0 or ssrc > 0xFFFFFFFF:
        raise InvalidArgument(f"{name} {value}; it has 32 bits")
    return <uint32_t>ssrc


@cython.no_gc_clear
cdef class Group:
    """Streams of a net that get the same media, for the caller's price of one: packetized once, sent under each stream's own
    headers. One whose path is too slow waits for the next key frame; the others do not notice.

    Args:
        kind, mode, mtu: as of `Connection.stream`; every member's are the same.
    """
    cdef lw_group *g
    cdef Net net

    def __cinit__(self, Net net not None, kind, *, mode=1, mtu=1200):
        cdef lw_group_config config
        config.kind = net_kind(kind)
        config.mode = whole(mode, "mode")
        config.mtu = whole(mtu, "mtu")
        self.net = net
        check(lw_group_open(&self.g, net.opened(), &config), f"a group of {kind}")

    def __dealloc__(self):
        with nogil:
            lw_group_close(&self.g)

    cdef lw_group *opened(self) except NULL:
        if self.g == NULL:
            raise BadState("the group is closed")
        return self.g

    def add(self, Connection connection not None, stream):
        """It gets what is sent from now on, pictures from the next key frame on. It leaves the group that it was in.

        Raises:
            InvalidArgument: no such stream, or one of another kind, mode or MTU. BadState: it is of another net.
        """
        check(lw_group_add(self.opened(), connection.opened(), whole(stream, "stream")), f"stream {stream} in the group")

    def remove(self, Connection connection not None, stream):
        """It gets no more; nothing happens where it was no member.

        Raises:
            InvalidArgument: no such stream.
        """
        check(lw_group_remove(self.opened(), connection.opened(), whole(stream, "stream")), f"stream {stream} of the group")

    def send(self, data, sample, key=False, duration=0):
        """As `Connection.send`, to all members.

        Raises:
            InvalidArgument: no RTP packets can be made of it. BufferFull: the net has no free packets, or too much to do.
        """
        cdef Borrowed b
        cdef lw_media media
        cdef int rc
        self.opened()
        borrow_media(data, &b, &media, sample, key, duration)
        try:
            rc = lw_group_send(self.g, &media)
            return sent(rc, b.size)
        finally:
            give_back(&b)

    def close(self):
        """Lets its members go. Safe to call twice."""
        cdef lw_group *g = self.g
        self.g = NULL  # as in Net.close
        with nogil:
            lw_group_close(&g)
