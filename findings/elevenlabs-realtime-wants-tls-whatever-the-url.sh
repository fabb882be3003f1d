#!/bin/sh
# ElevenLabs' client speaks TLS for streamed text whatever the base URL says; its other calls keep the URL's scheme.
#
# Expected: with `base_url="http://127.0.0.1:PORT"`, for a proxy of one's own or a test, all calls go there in the clear.
# What happens: `text_to_speech.convert` does. `convert_realtime`, the same service over a WebSocket, replaces the scheme with
# wss and begins a TLS handshake with the plain port. The server reads the bytes 16 03 ... in place of a request, and the
# client reports that the handshake failed, which sends one looking for certificates.
# Seen with: elevenlabs 2.78.0, Python 3.11, Linux x86-64.
# What to do: put TLS before such a server, or open the WebSocket without the client.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check elevenlabs==2.78.0
cat > scheme.py <<'END'
import importlib.metadata
import socket
import sys
import threading

from elevenlabs.client import ElevenLabs

listener = socket.create_server(("127.0.0.1", 0))
first = []


def serve():
    while True:
        one, _ = listener.accept()
        first.append(one.recv(4))
        one.close()


threading.Thread(target=serve, daemon=True).start()
client = ElevenLabs(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", api_key="key", timeout=5)
print("elevenlabs", importlib.metadata.version("elevenlabs"))
seen = {}
for name, call in (
    ("convert", lambda: list(client.text_to_speech.convert("voice", text="Hello."))),
    ("convert_realtime", lambda: list(client.text_to_speech.convert_realtime("voice", text=iter(["Hello."])))),
):
    first.clear()
    try:
        call()
    except Exception as exc:
        print(f"{name} raises {type(exc).__name__}")
    seen[name] = "TLS" if first[0][:2] == b"\x16\x03" else first[0].decode()
    print(f"{name}: the server reads {seen[name]}")
wanted = {"convert": "POST", "convert_realtime": "TLS"}
sys.exit(0 if seen == wanted else "CHANGED: it is no longer as this script describes")
END
env/bin/python scheme.py
# Output as seen:
#   elevenlabs 2.78.0
#   convert raises ReadError
#   convert: the server reads POST
#   convert_realtime raises ConnectionResetError
#   convert_realtime: the server reads TLS
