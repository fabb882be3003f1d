"""Does an avatar provider do what its clients need? The kit behind `lipwire conformance`.

It drives any provider that speaks the protocol of generic avatars (docs/protocol.md A and B) over HTTP and WebSocket,
as real clients do, and judges it by rules. It uses nothing of Lipwire's own server.

| module | what |
|---|---|
| `rule` | what a rule is, the registry, choosing some of them |
| `rules/` | the rules: `http`, `handshake`, `messages`, `speech`, `life`, `timing` |
| `target` | whom to drive, and with what |
| `client` | HTTP and WebSocket as a client uses them, with a log of what went over the wire |
| `sound` | what is spoken |
| `runner` | runs rules and stops every session that was opened |
| `report` | the outcome, as JSON and as JUnit XML |
"""

from .report import Report, Result
from .rule import Rule
from .rules import RULES
from .runner import Unreachable, run
from .target import Target

__all__ = ["RULES", "Report", "Result", "Rule", "Target", "Unreachable", "run"]
