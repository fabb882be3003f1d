"""A receiver of webhooks: believes what is signed, acts once on what comes twice, and prints it.

WEBHOOK_SECRET=choose-one python examples/webhook.py 8090
LIPWIRE_WEBHOOK_SECRET=choose-one LIPWIRE_WEBHOOK_URL=http://127.0.0.1:8090/ lipwire serve
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from lipwire.protocol.webhooks import EVENTS, verify

MOST = 1 << 20  # bytes of a notice
REMEMBERED = 10_000  # notices


class Receiver(BaseHTTPRequestHandler):
    """One request at a time of each sender."""

    secret = os.environ.get("WEBHOOK_SECRET", "")
    seen: ClassVar[OrderedDict[str, None]] = OrderedDict()

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length <= MOST else b""
        if not verify(body, dict(self.headers), self.secret):
            self.send_error(401, "not signed with our secret")
            return
        notice = json.loads(body)
        if notice["noticeId"] not in self.seen:  # else it came before, and our answer was lost
            self.seen[notice["noticeId"]] = None
            while len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
            kind = EVENTS.get(notice["eventType"], "something new")
            print(f"{notice['eventType']} {kind}: {json.dumps(notice['payload'])}", flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing of requests."""


def main() -> None:
    if not Receiver.secret or len(sys.argv) > 2:
        sys.exit(__doc__)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8090), Receiver)
    print(f"listening at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
