"""G.711 (ITU-T, 11/1988): PCM16 to and from 8 bits a sample, A-law and mu-law. Any bytes-like input, bytes out."""

from __future__ import annotations

from .._core import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

__all__ = ["alaw_decode", "alaw_encode", "ulaw_decode", "ulaw_encode"]
