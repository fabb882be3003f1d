"""The avatar provider: its sessions, what waits for a WebSocket, and a client."""

from __future__ import annotations

from .sessions import Emit, LiveSession, MakeSession, Provider, ProviderConfig, ProviderError, ProviderSession

__all__ = ["Emit", "LiveSession", "MakeSession", "Provider", "ProviderConfig", "ProviderError", "ProviderSession"]
