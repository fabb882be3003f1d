"""What runs in a recognizer's process: `python -m lipwire.agents.speech.sphinx.worker words`, or `commands`.

It reads from stdin: a byte that says what, 4 bytes of length (little-endian), data. It writes lines of JSON to stdout:
{"ready": true} once, then its answers. Sound is PCM16 mono at 16 kHz.

words: S = an utterance begins, A = sound, E = it ends, X = it is dropped. {"partial": text} comes meanwhile, and
{"text": text, "words": [[word, start_ms, end_ms], ...]} for each E.
commands: P = a piece of speech that may say "Hey ... Stop", R = "Hey ... Start". {"found": bool} for each.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import Any, BinaryIO

from .wire import messages

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


def answer(sink: BinaryIO, **values: Any) -> None:
    sink.write(json.dumps(values).encode() + b"\n")
    sink.flush()


def serve_commands(source: BinaryIO, sink: BinaryIO) -> None:
    from .. import keywords as commands

    commands.load()
    wanted = {what: command for command, what in commands.WANTED.items()}
    answer(sink, ready=True)
    for what, piece in messages(source):
        answer(sink, found=commands.find(piece, wanted[what]))


def serve_words(source: BinaryIO, sink: BinaryIO) -> None:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    open_utterance, since, last = False, 0, ""
    answer(sink, ready=True)
    for what, data in messages(source):
        if what == b"A" and open_utterance:
            decoder.process_raw(data, False, False)
            since += len(data) // 2
            if since >= PARTIAL_EVERY:
                since = 0
                found = decoder.hyp()
                if found is not None and found.hypstr and found.hypstr != last:
                    last = found.hypstr
                    answer(sink, partial=last)
            continue
        if open_utterance:
            decoder.end_utt()
            open_utterance = False
        if what == b"S":
            decoder.set_cmn(MEAN)
            decoder.start_utt()
            open_utterance, since, last = True, 0, ""
        elif what == b"E":
            words = _words(decoder)
            answer(sink, text=" ".join(word for word, _, _ in words), words=words)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to all; who started this ends it
    serve = {"words": serve_words, "commands": serve_commands}[sys.argv[1]]
    serve(sys.stdin.buffer, sys.stdout.buffer)
