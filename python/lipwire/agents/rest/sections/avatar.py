"""v2's `avatar` where the face is not one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....protocol import agent_bodies as b
from ...describe import Changes
from ...options import AvatarProvider
from ..reading import Given
from .session import user_id

NAMED = ("akool", "liveavatar", "heygen", "anam", "sensetime", "spatius")
"""Vendors whose own APIs the service calls."""
AS_GENERIC = ("tavus", "lemonslice", "protoface")
"""Names for providers of the protocol that "generic" is."""
OWN = ("api_base_url", "api_key", "avatar_id", "agora_uid", "agora_token")
"""Of `params`: they have places of their own."""


def instead(vendor: Any) -> str:
    """What to say of a vendor that is not "generic"."""
    if vendor in AS_GENERIC:
        return f'must be "generic" with params.api_base_url of {vendor}: that is the protocol which it speaks'
    if vendor in NAMED:
        return (
            'must be "generic": a face of this server by params.avatar_id, or with params.api_base_url that of anybody '
            f"who speaks the generic avatar protocol; {vendor}'s own is not spoken here"
        )
    return f'must be "generic", got {b.show(vendor)}'


def provider(params: Given, raw: Mapping[str, Any], *, string_uid: bool) -> Changes:
    """The params of a generic avatar that somebody else draws, and as they came."""
    return {
        "provider": AvatarProvider(
            api_base_url=params.get("api_base_url", ""),
            api_key=params.get("api_key", ""),
            avatar_id=params.get("avatar_id", ""),
            agora_uid=user_id(params.get("agora_uid", ""), string_uid=string_uid),
            agora_token=params.get("agora_token", ""),
            params={name: value for name, value in raw.items() if name not in OWN and value is not None},
        )
    }
