#!/bin/sh
# FFmpeg's WHIP sender is cut off after half a minute by a server that wants to know whether it is still there.
#
# Expected: who is connected by ICE answers STUN binding requests for as long as the connection lasts: an agent "MUST" (RFC
# 8445, section 7.3), and on these answers rests the consent that each side has to ask the other for every 5 s, and gives
# the other up without after 30 s (RFC 7675, section 5.1). FFmpeg does ask so itself.
# What happens: the muxer `whip` answers the checks by which the connection is made, and none of those that follow. A server
# that heeds RFC 7675, as those of aiortc do, takes the sender for gone and closes, in the middle of its stream, after 25
# to 35 s; FFmpeg then fails with "Connection refused" or goes on into nothing. Shorter tries show nothing.
# Seen with: FFmpeg 8.1 as PyAV 18.1.0 ships it, aiortc 1.16.0 (aioice 0.13.0), Python 3.11, Linux x86-64.
# What to do: a server that only receives may take the sender's own requests, which are authenticated, for its consent.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0 aioice==0.13.0 av==18.1.0
# A certificate of our own: that which FFmpeg makes with GnuTLS is a matter of its own.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sender \
    -keyout key.pem -out certificate.pem 2>openssl.log
cat > send.py <<'END'
import sys
import time
from fractions import Fraction

import av

url, seconds = sys.argv[1], float(sys.argv[2])
out = av.open(url, "w", format="whip", options={"cert_file": "certificate.pem", "key_file": "key.pem"})
sound = out.add_stream("libopus", rate=48000)
sound.layout = "stereo"
out.start_encoding()
began = time.monotonic()
for number in range(int(seconds * 50)):
    frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
    frame.planes[0].update(bytes(3840))
    frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * number, Fraction(1, 48000)
    out.mux(sound.encode(frame))
    time.sleep(max(0, began + number / 50 - time.monotonic()))
out.close()
END
cat > serve.py <<'END'
import asyncio
import re
import sys

import aioice.ice
import aiortc
import av

ASKED = {"by us": 0, "answered": 0, "by FFmpeg": 0}


async def main():
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    connected, ended = asyncio.Event(), asyncio.Event()

    def count(ice):
        send, came = aioice.ice.StunProtocol.send_stun, ice.request_received

        def sends(self, message, address):
            ASKED["by us"] += connected.is_set() and message.message_class == aioice.stun.Class.REQUEST
            send(self, message, address)

        def request(message, address, protocol):
            ASKED["by FFmpeg"] += connected.is_set()
            came(message, address, protocol)

        response = aioice.stun.Transaction.response_received

        def responds(self, message, address):
            ASKED["answered"] += connected.is_set()
            response(self, message, address)

        aioice.ice.StunProtocol.send_stun, ice.request_received = sends, request
        aioice.stun.Transaction.response_received = responds

    @pc.on("connectionstatechange")
    def changed():
        if pc.connectionState == "connected":
            connected.set()
        elif pc.connectionState in ("closed", "failed"):
            ended.set()

    async def post(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("POST"):
            size = int(re.search(r"(?i)content-length: (\d+)", head)[1])
            offer = (await reader.readexactly(size)).decode()
            await pc.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
            ice = pc.getTransceivers()[0].receiver.transport.transport.iceGatherer._connection
            gather = ice.get_component_candidates
            ice.get_component_candidates = lambda component, addresses, timeout=5: gather(
                component=component, addresses=["127.0.0.1"], timeout=timeout
            )
            count(ice)
            await pc.setLocalDescription(await pc.createAnswer())
            answer = pc.localDescription.sdp.encode()
            fields = f"Content-Type: application/sdp\r\nLocation: /session\r\nContent-Length: {len(answer)}\r\n"
            writer.write(b"HTTP/1.1 201 Created\r\n" + fields.encode() + b"Connection: close\r\n\r\n" + answer)
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(post, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/whip"
    sender = await asyncio.create_subprocess_exec(
        sys.executable, "send.py", url, "50", stderr=asyncio.subprocess.DEVNULL
    )
    loop = asyncio.get_running_loop()
    await asyncio.wait_for(connected.wait(), 30)
    began = loop.time()
    await asyncio.wait_for(ended.wait(), 60)
    lasted = loop.time() - began
    code = await asyncio.wait_for(sender.wait(), 60)
    await pc.close()
    server.close()
    print(f"PyAV {av.__version__}, libavformat {av.library_versions['libavformat']}, aiortc {aiortc.__version__}")
    print(f"checks after the connection was made: {ASKED}")
    print(f"50 s were to be sent; the server closed after {lasted:.0f} s; the sender's exit code was {code}")
    as_told = ASKED["by us"] >= 5 and ASKED["answered"] == 0 and ASKED["by FFmpeg"] > 0 and lasted < 45
    return 0 if as_told else "CHANGED: it is no longer as this script describes"


sys.exit(asyncio.run(main()))
END
env/bin/python serve.py
# Output as seen:
#   PyAV 18.1.0, libavformat (62, 12, 102), aiortc 1.16.0
#   checks after the connection was made: {'by us': 6, 'answered': 0, 'by FFmpeg': 6}
#   50 s were to be sent; the server closed after 30 s; the sender's exit code was 1
