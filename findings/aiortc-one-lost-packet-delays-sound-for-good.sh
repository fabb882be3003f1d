#!/bin/sh
# When one packet is lost, aiortc's jitter buffer throws away four that came, and delays the sound by 200 ms more for good.
#
# Expected: a jitter buffer waits a little for what is late, goes on without what is lost, and comes back to its delay, as
# those of browsers and telephones do: they drop or shorten a little silence. The buffer of aiortc is made with room for 16
# packets and a prefetch of 4, so one would expect 80 ms of 20 ms packets, before a loss and behind it.
# What happens: a frame is handed out only when a packet arrives, one frame for one packet. At a gap it stops, until a packet
# comes for which there is no room. To make some, it removes what is before the gap: the four packets that wait there, as
# the prefetch kept them, are lost, too. Then it goes on with one frame for each packet, so nothing is ever caught up with:
# frames are 14 packets old instead of 4, 280 ms, for the rest of the call, however long and quiet that is.
# Seen with: aiortc 1.16.0, Python 3.11. It has been so since the buffer was written.
# What to do: put packets into a buffer of your own before aiortc's receiver, or drop frames where the track's queue grows.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check aiortc==1.16.0
cat > lost.py <<'END_OF_PYTHON'
import sys
from importlib.metadata import version

from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtpPacket

print(f"aiortc {version('aiortc')}, Python {sys.version.split()[0]}")
buffer = JitterBuffer(capacity=16, prefetch=4)  # as RTCRtpReceiver makes it for sound
LOST, SECONDS = 100, 60
ages, heard = {}, set()
for number in range(50 * SECONDS):
    if number == LOST:
        continue
    packet = RtpPacket(payload_type=111, sequence_number=number, timestamp=number * 960, payload=b"20 ms")
    packet._data = packet.payload  # what the receiver's depayload gives
    _, frame = buffer.add(packet)
    if frame is not None:
        ages[number] = number - frame.timestamp // 960
        heard.add(frame.timestamp // 960)
before, after, end = ages[LOST - 1], ages[LOST + 50], ages[50 * SECONDS - 1]
for when, age in (("before the loss", before), ("a second behind it", after), ("a minute behind it", end)):
    print(f"{when}: the frame handed out is {age} packets old, {age * 20} ms")
missing = sorted(set(range(50 * SECONDS - end)) - heard)
print(f"never handed out: {missing}, where {LOST} was lost")
changed = (before, after, end) != (4, 14, 14) or missing != [96, 97, 98, 99, LOST]
sys.exit("CHANGED: it is no longer as this script describes" if changed else 0)
END_OF_PYTHON
env/bin/python lost.py
# Output as seen:
#   aiortc 1.16.0, Python 3.11.7
#   before the loss: the frame handed out is 4 packets old, 80 ms
#   a second behind it: the frame handed out is 14 packets old, 280 ms
#   a minute behind it: the frame handed out is 14 packets old, 280 ms
#   never handed out: [96, 97, 98, 99, 100], where 100 was lost
