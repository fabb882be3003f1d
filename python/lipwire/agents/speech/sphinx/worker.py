"""What runs in a recognizer's process: `python -m lipwire.agents.speech.sphinx.worker FD words`, or `commands`. FD is
its end of the link (wire)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ....process.child import to_parent
from .wire import Answer, Begin, Command, Drop, Finish, Found, Heard, Look, Partial, Ready, Sound

PARTIAL_EVERY = 8000
"""Samples between two partial results."""
FRAME_MS = 10
MEAN = "50,6.5,4,11.6"
"""Cepstral mean with which every utterance begins: the median of nine speakers in five languages, the first for sound
about 5 dB softer, which serves loud and soft microphones alike. pocketsphinx begins with 40,3,-1 and learns within the
utterance only after 8 s, so that the first words of every user are heard worse; and what it has learnt by the next one
is somebody else's, since users share recognizers."""
FILLERS = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")


def _words(decoder: Any) -> list[tuple[str, int, int]]:
    return [
        (re.sub(r"\(\d+\)$", "", part.word), part.start_frame * FRAME_MS, (part.end_frame + 1) * FRAME_MS)
        for part in decoder.seg() or ()
        if not FILLERS.fullmatch(part.word)
    ]


def serve_commands(commands: Iterable[Command], answer: Callable[[Answer], None]) -> None:
    from .. import keywords

    keywords.load()
    answer(Ready())
    for command in commands:
        if isinstance(command, Look):
            answer(Found(keywords.find(command.pcm, command.wanted)))


def serve_words(commands: Iterable[Command], answer: Callable[[Answer], None]) -> None:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    number, open_utterance, since, last = 0, False, 0, ""
    answer(Ready())
    for command in commands:
        if isinstance(command, Sound):
            if not open_utterance:
                continue
            decoder.process_raw(command.pcm, False, False)
            since += len(command.pcm) // 2
            if since >= PARTIAL_EVERY:
                since = 0
                found = decoder.hyp()
                if found is not None and found.hypstr and found.hypstr != last:
                    last = found.hypstr
                    answer(Partial(number, last))
            continue
        if open_utterance:
            decoder.end_utt()
            open_utterance = False
        match command:
            case Begin(number):
                decoder.set_cmn(MEAN)
                decoder.start_utt()
                open_utterance, since, last = True, 0, ""
            case Finish():
                words = _words(decoder)
                answer(Heard(number, " ".join(word for word, _, _ in words), words))
            case Drop():
                pass


def main(fd: int, kind: str) -> None:
    """Entry of the process."""
    link = to_parent(fd, Command)

    def answer(what: Answer) -> None:
        link.send(what)
        link.drain()

    serve = {"words": serve_words, "commands": serve_commands}[kind]
    serve(link.messages(), answer)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
