#!/bin/sh
# The openai package's stream is empty, and says nothing, where a service answers with JSON in the place of a stream.
#
# Expected: with `stream=True` an answer that is no stream of server-sent events raises an error, or is read; at least one
# that is an error object in OpenAI's own form does.
# What happens: proxies and services of one's own that do not stream answer 200 with `application/json`: the whole
# completion, or {"error": {...}}. The package looks for lines that begin with "data:", finds none, and ends the stream
# after no chunk at all. No exception, no warning: the answer, or the error, is lost in silence, and a voice agent that
# trusts it says nothing.
# Seen with: openai 3.57.0, Python 3.11, Linux x86-64.
# What to do: look at the response's content type (`with_raw_response`), or take a stream without a chunk for a failure.
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check openai==3.57.0
cat > empty.py <<'END'
import http.server
import json
import sys
import threading

import openai

HEAD = {"id": "c1", "created": 1, "model": "m"}
WHOLE = {
    **HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
}
CHUNK = {
    **HEAD,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": "stop"}],
}
ERROR = {"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}
ANSWERS = {
    "a stream": ("text/event-stream", f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"),
    "an error in a stream": ("text/event-stream", f"data: {json.dumps(ERROR)}\n\n"),
    "a whole completion": ("application/json", json.dumps(WHOLE)),
    "an error": ("application/json", json.dumps(ERROR)),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        label, body = ANSWERS[self.server.name]
        self.send_response(200)
        self.send_header("content-type", label)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key="x", max_retries=0)
print("openai", openai.__version__)
seen = {}
for name in ANSWERS:
    server.name = name
    try:
        chunks = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi."}], stream=True)
        seen[name] = [chunk.choices[0].delta.content for chunk in chunks]
    except openai.APIError as exc:
        seen[name] = type(exc).__name__
    print(f"{name}: {seen[name]}")
wanted = {"a stream": ["Hello."], "an error in a stream": "APIError", "a whole completion": [], "an error": []}
sys.exit(0 if seen == wanted else "CHANGED: it is no longer as this script describes")
END
env/bin/python empty.py
# Output as seen:
#   openai 3.57.0
#   a stream: ['Hello.']
#   an error in a stream: APIError
#   a whole completion: []
#   an error: []
