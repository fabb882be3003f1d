#!/bin/sh
# The generated client of Agora's SDK for agents requires a user name and a password, and never sends them.
#
# Expected: `agora_agent.client.Agora(username=..., password=...)` sends them as HTTP Basic, which the service's REST is
# documented to take; `authorization`, which it requires as well, is for the case that they are not meant.
# What happens: the header is made of user name and password, and overwritten with `authorization` in the next statement,
# whatever that is: with "" every request has an empty Authorization header and is refused (401). The layer above it
# (`agora_agent.Agora`) hides this, as it makes `authorization` by itself.
# Seen with: agora-agents 2.12.0, httpx 0.28, Python 3.11, Linux x86-64.
# What to do: give `authorization` the whole header ("Basic " and the base64 of user name, colon and password).
set -eu
PYTHON=${PYTHON:-python3}
there=$(mktemp -d)
trap 'rm -rf "$there"' EXIT
cd "$there"
"$PYTHON" -m venv env
env/bin/pip install --quiet --disable-pip-version-check agora-agents==2.12.0
cat > basic.py <<'END'
import base64
import importlib.metadata
import sys
import warnings

warnings.simplefilter("ignore")
import httpx
from agora_agent.client import Agora

BASIC = "Basic " + base64.b64encode(b"user:password").decode()
BODY = {"data": {"count": 0, "list": []}, "meta": {"cursor": "", "total": 0}, "status": "ok"}
sent = []


def answer(request):
    sent.append(request.headers["authorization"])
    return httpx.Response(200, json=BODY)


def asked(authorization):
    client = Agora(
        base_url="http://agents.example",
        authorization=authorization,
        username="user",
        password="password",
        httpx_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )
    list(client.agents.list("app"))
    return sent[-1]


print("agora-agents", importlib.metadata.version("agora-agents"))
seen = {"": asked(""), "other": asked("other"), "basic": asked(BASIC)}
for name, header in seen.items():
    print(f"authorization {name!r}: {header!r} is sent")
sys.exit(0 if seen == {"": "", "other": "other", "basic": BASIC} else "CHANGED: it is no longer as this script describes")
END
env/bin/python basic.py
# Output as seen:
#   agora-agents 2.12.0
#   authorization '': '' is sent
#   authorization 'other': 'other' is sent
#   authorization 'basic': 'Basic dXNlcjpwYXNzd29yZA==' is sent
