#!/bin/sh
# PyAV holds the GIL while an output container connects: every thread of the program stands still.
#
# Expected: reading with PyAV lets other threads run while it waits for the network, and so does muxing a packet. A
# thread of its own is then enough to stream to an RTMP server from a program that has other work.
# What happens: the connection of an output is made when its header is written (`start_encoding`, or the first `mux`), and
# there PyAV calls FFmpeg (avio_open, avformat_write_header) without releasing the GIL; so it does for the trailer. A server
# that is slow to answer stops all Python threads, event loops included, for as long as it likes: FFmpeg has no limit of
# time by default. A relay within the same process does not help, as its thread would have to run meanwhile.
# Seen with: av 18.1.0 (FFmpeg 8.1.2), Python 3.11, Linux x86-64.
# What to do: open outputs that connect in a process of their own.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check av==18.1.0
cat > server.py <<'END'
import socket
import sys
import time

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for _ in range(2):
    connection, _ = listener.accept()
    time.sleep(2)  # it takes its time, and then hangs up
    connection.close()
END
cat > held.py <<'END'
import subprocess
import sys
import threading
import time

import av


def write(port):
    with av.open(f"rtmp://127.0.0.1:{port}/live/key", "w", format="flv") as file:
        file.add_stream("aac", rate=48000)
        file.start_encoding()


def read(port):
    av.open(f"rtmp://127.0.0.1:{port}/live/key")


def longest_stop(work):
    """Seconds, of a thread that has nothing to do with it."""
    thread = threading.Thread(target=lambda: failing(work))
    stop, last = 0.0, time.monotonic()
    thread.start()
    while thread.is_alive():
        time.sleep(0.01)
        now = time.monotonic()
        stop, last = max(stop, now - last), now
    return stop


def failing(work):
    try:
        work()
    except OSError:
        pass


server = subprocess.Popen([sys.executable, "server.py"], stdout=subprocess.PIPE, text=True)
port = int(server.stdout.readline())
reading, writing = longest_stop(lambda: read(port)), longest_stop(lambda: write(port))
server.wait()
print(f"av {av.__version__}, FFmpeg {av.ffmpeg_version_info}; the server answers nothing for 2 s")
print(f"another thread stood still for {reading:.1f} s while an input connected, {writing:.1f} s while an output did")
sys.exit(0 if reading < 1 < writing else "CHANGED: it is no longer as this script describes")
END
env/bin/python held.py
# Output as seen:
#   av 18.1.0, FFmpeg 8.1.2; the server answers nothing for 2 s
#   another thread stood still for 0.0 s while an input connected, 2.0 s while an output did
