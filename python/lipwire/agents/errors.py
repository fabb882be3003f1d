"""What is refused about agents: by who runs them, by who reads a request for one, or by the service that a client asks.

They are plain errors. What each is over HTTP stands in `rest.wire.STATUS`.
"""

from __future__ import annotations

from ..errors import InvalidArgument, LipwireError
from ..protocol.agent_bodies import Fault

MAX_SHOWN = 16
"""Faults that an error's text lists."""


class AgentError(LipwireError):
    """A request about an agent was refused. `detail` is for people, `reason` a word for programs."""

    code = "InternalError"
    status: int = 0
    """The HTTP status of the answer that said so; 0 = it did not come from a service."""
    retry_after: float | None = None
    """Seconds after which to try again, where the service said so."""
    failure: str = ""
    """Of an agent that failed, what did, in a word: for who may not know more."""

    def __init__(self, detail: str, *, reason: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = type(self).code if reason is None else reason

    @property
    def reason(self) -> str:
        """The word for programs: `code`, by the wire's name for it."""
        return self.code


class InvalidAgentRequest(AgentError, InvalidArgument):
    """A parameter is missing, of a wrong type or out of range; `faults` has each, where it is known."""

    code = "InvalidRequest"
    faults: tuple[Fault, ...] = ()

    @classmethod
    def because(cls, faults: list[Fault]) -> InvalidAgentRequest:
        """The error for one fault or more; its text has the first MAX_SHOWN."""
        more = len(faults) - MAX_SHOWN
        error = cls("; ".join(map(str, faults[:MAX_SHOWN])) + (f"; and {more} more" if more > 0 else ""))
        error.faults = tuple(faults)
        return error


class InvalidAgentBody(InvalidAgentRequest):
    """The body of a request is none that can be read."""


class AgentForbidden(AgentError, PermissionError):
    """The credentials do not open this."""

    code = "InvalidPermission"


class AgentUnauthorized(AgentForbidden):
    """There are no credentials, or wrong ones."""


class AgentNotFound(AgentError, LookupError):
    """There is no such agent, or it has ended."""

    code = "TaskNotFound"


class AgentConflict(AgentError):
    """The name is in use, or the agent's state does not allow it."""

    code = "TaskConflict"
    agent_id: str = ""
    """The agent that is in the way; "" = it is not said."""

    @classmethod
    def with_agent(cls, agent_id: str, detail: str) -> AgentConflict:
        """The conflict with an agent that the caller may know of."""
        error = cls(detail)
        error.agent_id = agent_id
        return error


class AgentLimit(AgentError):
    """No more agents are allowed."""

    code = "ResourceQuotaLimitExceeded"
    retry_after = 5.0


class AgentRateLimit(AgentError):
    """There were too many requests."""

    code = "RateLimitExceeded"


class AgentUnreachable(AgentError, ConnectionError):
    """No answer came. What was asked for may have happened, unless the connection could not be made at all."""

    code = "Unreachable"


class GatewayFault(AgentError):
    """Something on the way to the service failed."""

    code = "BadGateway"


class AgentStartFailed(AgentError, RuntimeError):
    """The agent could not be started."""

    code = "ServiceUnavailable"


class AgentTimeout(AgentError, TimeoutError):
    """It took too long."""

    code = "Timeout"
