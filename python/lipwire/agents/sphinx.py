"""The offline recognizer in a process of its own: pocketsphinx holds the GIL for up to a quarter of a second.

`python -m lipwire.agents.sphinx` reads from stdin: a byte that says what, 4 bytes of length (little-endian), data.
S = an utterance begins, A = PCM16 mono at 16 kHz, E = it ends, X = it is dropped. It writes lines of JSON to stdout:
{"ready": true} once, then {"partial": text}, and for each E {"text": text, "words": [[word, start_ms, end_ms], ...]}.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, BinaryIO

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


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Until the end of the input."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    open_utterance, since, last = False, 0, ""

    def answer(**values: Any) -> None:
        sink.write(json.dumps(values).encode() + b"\n")
        sink.flush()

    answer(ready=True)
    while len(head := source.read(5)) == 5:
        what, data = head[:1], source.read(int.from_bytes(head[1:], "little"))
        if what == b"A" and open_utterance:
            decoder.process_raw(data, False, False)
            since += len(data) // 2
            if since >= PARTIAL_EVERY:
                since = 0
                found = decoder.hyp()
                if found is not None and found.hypstr and found.hypstr != last:
                    last = found.hypstr
                    answer(partial=last)
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
            answer(text=" ".join(word for word, _, _ in words), words=words)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
