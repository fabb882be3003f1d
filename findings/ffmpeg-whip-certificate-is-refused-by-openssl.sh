#!/bin/sh
# FFmpeg's WHIP sender cannot connect to a server whose DTLS is OpenSSL's, where FFmpeg was built with GnuTLS.
#
# Expected: the certificate that FFmpeg makes for each connection is on P-256, as WebRTC asks for (RFC 8827, section 6.5:
# "All implementations MUST support ... the P-256 curve"), and as FFmpeg's source has it for OpenSSL.
# What happens: with GnuTLS it is on secp224r1 (P-224), which GnuTLS picks for the strength that FFmpeg asks for. OpenSSL
# has that curve in no list of its own, and from 4.0 on cannot be told to have it, so it ends the handshake with the alert
# illegal_parameter (47). FFmpeg says "A TLS fatal alert has been received. DTLS session failed", and never which.
# Seen with: FFmpeg 8.1 as PyAV 18.1.0 ships it (its wheels have GnuTLS); aiortc 1.16.0, whose DTLS is OpenSSL's, of
# cryptography 50.0.2; Python 3.11, Linux x86-64.
# What to do: give the muxer `whip` a certificate on P-256, with its options cert_file and key_file.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0 aioice==0.13.0 av==18.1.0 cryptography==50.0.2
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sender \
    -keyout key.pem -out certificate.pem 2>openssl.log
cat > send.py <<'END'
import sys

import av

options = {"cert_file": "certificate.pem", "key_file": "key.pem"} if sys.argv[2] == "given" else {}
out = av.open(sys.argv[1], "w", format="whip", options=options)
sound = out.add_stream("libopus", rate=48000)
sound.layout = "stereo"
out.start_encoding()  # connects
out.close()
END
cat > serve.py <<'END'
import asyncio
import re
import sys

import aiortc
import av
import cryptography
from cryptography import x509

HANDSHAKE, CERTIFICATE = 22, 11


async def outcome(certificate):
    """How a sender fares, and the curve of the certificate that it shows."""
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    states, curves = [], []
    pc.on("connectionstatechange", lambda: states.append(pc.connectionState))

    def look(ice):
        came = ice.data_received

        def received(data, component):
            if data[0] == HANDSHAKE and data[13] == CERTIFICATE:
                curves.append(x509.load_der_x509_certificate(data[25 + 6 :]).public_key().curve.name)
            came(data, component)

        ice.data_received = received

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
            look(ice)
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
        *(sys.executable, "send.py", url, certificate), stderr=asyncio.subprocess.DEVNULL
    )
    await asyncio.wait_for(sender.wait(), 60)
    await pc.close()
    server.close()
    return sender.returncode, "connected" in states, curves[0] if curves else None


async def main():
    print(f"PyAV {av.__version__}, aiortc {aiortc.__version__}, cryptography {cryptography.__version__}")
    own, given = await outcome("its own"), await outcome("given")
    print(f"(exit code, connected, curve)\nits own certificate: {own}\none that is given: {given}")
    expected = (1, False, "secp224r1"), (0, True, "secp256r1")
    return 0 if (own, given) == expected else "CHANGED: it is no longer as this script describes"


sys.exit(asyncio.run(main()))
END
env/bin/python serve.py
# Output as seen:
#   PyAV 18.1.0, aiortc 1.16.0, cryptography 50.0.2
#   (exit code, connected, curve)
#   its own certificate: (1, False, 'secp224r1')
#   one that is given: (0, True, 'secp256r1')
