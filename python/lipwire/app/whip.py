"""A session that is spoken through by WHIP: whoever sends sound to it, one sender at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._core import RATE
from ..audio.speech_gate import SpeechGate
from ..errors import BadState
from ..logs import sampled
from ..publish import aiortc_private
from ..publish.ice import IceServers
from ..publish.incoming import Incoming, take_sound
from ..publish.peer import Peer
from ..rtp.tally import Tally
from ..session.session import Session

logger = sampled("lipwire.whip")

QUIET = ("comfort", "idle")
"""What nobody has sent."""


class WhipSpeech:
    """What is sent to one session. The newest sender speaks: one that lost its connection comes back at once.

    Args:
        session: says it, cut into utterances.
        ice_host, ice_servers: as of a `Peer`.
        closing: whether no new utterance may begin. guard_ms: after an interrupt nothing does for so long.
        tally: has the senders' jitter buffers.
    """

    def __init__(
        self,
        session: Session,
        *,
        ice_host: str | None = None,
        ice_servers: IceServers | None = None,
        closing: Callable[[], bool] = lambda: False,
        guard_ms: int = 0,
        tally: Tally | None = None,
    ) -> None:
        self.closed = False
        self._id = session.id
        self._ice_host, self._ice_servers, self._tally = ice_host, ice_servers, tally
        self._gate: SpeechGate | None = SpeechGate(
            RATE, session.write, session.end, name="whip", closing=closing, guard_ms=guard_ms
        )
        """None once the session, which it has, has ended."""
        self._speaker: Peer | None = None
        self._joining: Peer | None = None
        self._peers: set[Peer] = set()
        self._sounds: dict[Peer, Incoming] = {}

    async def admit(self, sdp: str) -> tuple[str, Peer]:
        """Takes a sender's offer; (the answer's SDP, its connection).

        Raises:
            InvalidArgument: it is no usable offer. BadState: the session has ended.
        """
        if self.closed:
            raise BadState("the session has ended")
        peer = Peer(
            self._changed,
            on_track=lambda transceiver: self._track(peer, transceiver),
            ice_host=self._ice_host,
            direction="recvonly",
            ice_servers=self._ice_servers,
        )
        if self._joining is not None:
            self._joining.drop()
        self._joining = peer
        self._peers.add(peer)
        answer, _ = await peer.answer(sdp)
        return answer, peer

    def _track(self, peer: Peer, transceiver: Any) -> None:
        if transceiver.kind != "audio" or peer in self._sounds:
            aiortc_private.receive(transceiver.receiver, False)  # pictures of a sender are not shown: the face is ours
            return
        self._sounds[peer] = Incoming(self._hear, self._tally)
        take_sound(transceiver.receiver, self._sounds[peer], lambda: peer is self._speaker)

    def _changed(self, peer: Peer) -> None:
        if peer.connected:
            old, self._speaker = self._speaker, peer
            self._joining = None if peer is self._joining else self._joining
            logger.info("[%s] is spoken through by WHIP", self._id)
            if old is not None:
                old.drop()
            return
        self._peers.discard(peer)
        if (incoming := self._sounds.pop(peer, None)) is not None:
            incoming.close()
        if peer is self._joining:
            self._joining = None
        if peer is self._speaker:
            self._speaker = None
            if self._gate is not None:
                self._gate.close()

    def _hear(self, pcm: bytes, kind: str) -> None:
        if self._gate is not None:
            self._gate.process(pcm, quiet=kind in QUIET)

    def interrupt(self) -> None:
        """What is being said is void."""
        if self._gate is not None:
            self._gate.interrupt()

    @property
    def receiving(self) -> bool:
        """Whether sound comes."""
        return self._sound is not None and self._sound.awake

    @property
    def _sound(self) -> Incoming | None:
        """Of who speaks."""
        return None if self._speaker is None else self._sounds.get(self._speaker)

    def stats(self) -> dict[str, Any]:
        """Figures, JSON-able: whether somebody is `connected`, `utterances` that began and were not taken (`refused`),
        and of the sound that comes what `JitterBuffer.stats` says."""
        sound = {} if self._sound is None else self._sound.stats()
        return {
            "connected": self._speaker is not None,
            "utterances": 0 if self._gate is None else self._gate.utterances,
            "refused": 0 if self._gate is None else self._gate.refused,
            **sound,
        }

    def close(self) -> None:
        """The session ends, and with it every sender's connection. Safe to call twice."""
        self.closed, self._gate = True, None
        for peer in tuple(self._peers):
            peer.drop()
