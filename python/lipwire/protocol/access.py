"""What a signed token stands for: whom or what it is about, as what, and what that may do.

Signing and checking is `tokens.issue_access` and `tokens.verify_access`; here is the meaning, in one table, `MAY`. An
API key may do everything to what is its owner's, and alone makes tokens: no token makes another.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from ..errors import InvalidArgument

Subject = Literal["session", "room", "owner"]
"""A session, a room, or all that belongs to the owner of an API key."""
Role = Literal["speak", "watch", "control", "member", "host", "admin"]
Action = Literal[
    "speak",  # through the WebSocket
    "figures",  # read a session's
    "stop",  # a session
    "watch",  # a session, or a room without being heard
    "control",  # a session: have it say a text, interrupt it
    "join",  # a room, to be heard
    "agents",  # start and stop them in a room
    "list",  # an owner's sessions or rooms
    "create",  # a room
]

MAX_NAME = 64
"""Characters of a name in a token."""

MAY: dict[Role, dict[Subject, frozenset[Action]]] = {
    "speak": {"session": frozenset({"speak", "figures", "stop"})},
    "watch": {"session": frozenset({"watch"}), "room": frozenset({"watch"})},
    "control": {"session": frozenset({"watch", "control"})},
    "member": {"room": frozenset({"watch", "join"})},
    "host": {"room": frozenset({"watch", "join", "agents"})},
    "admin": {"owner": frozenset({"list", "create", "watch", "control", "join", "agents"})},
}
"""Role -> what it can be about -> what its bearer may do there. Nothing else is allowed.

`speak` is the session token of protocol.md A. `host` is a member who brings the agent. `admin` holds for every session
and room of its owner, on the pages; it neither starts sessions nor speaks over a WebSocket, and makes no tokens.
"""


class Access(Struct, frozen=True, kw_only=True):
    """What a token says. Times are Unix seconds."""

    subject: Subject
    id: str
    """The session's id, the room's name, or the owner's."""
    role: Role
    owner: str = ""
    """Whose API key made it; "" for a session token, which belongs to whom the session does."""
    name: str = ""
    """The one name that its bearer has in a room; "" = free to choose."""
    issued: int = 0
    expires: int = 0

    def __post_init__(self) -> None:
        if self.subject not in MAY.get(self.role, {}):
            raise InvalidArgument(f"role must be {' or '.join(roles(self.subject))} for a {self.subject}")
        if not self.id or len(self.name) > MAX_NAME:
            raise InvalidArgument(f"a token needs whom it is about, and a name of at most {MAX_NAME} characters")

    def may(self, action: Action, subject: Subject, id: str) -> bool:
        """Whether it allows this to be done to that. Whose it is, is the caller's to compare where `subject` is
        "owner": such a token knows no single session or room."""
        if action not in MAY[self.role][self.subject]:
            return False
        return self.subject == "owner" or (subject, id) == (self.subject, self.id)


def roles(subject: Subject) -> list[Role]:
    """The roles that a token about this can have."""
    return [role for role in get_args(Role) if subject in MAY[role]]
