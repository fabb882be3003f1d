#!/bin/sh
# aiortc refuses a peer that announces the fingerprints of two certificates.
#
# Expected: a=fingerprint may stand there several times, for several hash functions and for several certificates (RFC 8122,
# section 5: "for multiple certificates"), as a DTLS server needs that has one of ECDSA and one of RSA; the certificate that
# it shows has to match one of them.
# What happens: aiortc counts those of the hash functions that it knows, and all of them have to match. The handshake is
# complete, then the transport fails, without a line in the log at its default level. The same peer with the fingerprints of
# the one certificate that it shows connects.
# Seen with: aiortc 1.16.0, Python 3.11, Linux x86-64.
# What to do: announce one certificate, and no more fingerprints than that one's.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0
cat > connect.py <<'END'
import asyncio
import sys

import aiortc


async def outcome(more_fingerprints):
    """How a connection of two peers on this machine ends."""
    one, two = (aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[])) for _ in range(2))
    one.createDataChannel("data")
    await one.setLocalDescription(await one.createOffer())
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription(await two.createAnswer())
    answer = two.localDescription.sdp
    if more_fingerprints:
        other = aiortc.RTCCertificate.generateCertificate().getFingerprints()
        lines = "".join(f"a=fingerprint:{f.algorithm} {f.value}\r\n" for f in other)
        answer = answer.replace("a=setup:", lines + "a=setup:")
    await one.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
    try:
        async with asyncio.timeout(20):
            while one.connectionState not in ("connected", "failed", "closed"):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pass
    state = one.connectionState
    await one.close()
    await two.close()
    return state


async def main():
    print(f"aiortc {aiortc.__version__}")
    alone, both = await outcome(False), await outcome(True)
    print(f"fingerprints of the certificate: {alone}\nand of another one: {both}")
    return "CHANGED: it is no longer as this script describes" if (alone, both) != ("connected", "failed") else 0


sys.exit(asyncio.run(main()))
END
env/bin/python connect.py
# Output as seen:
#   aiortc 1.16.0
#   fingerprints of the certificate: connected
#   and of another one: failed
