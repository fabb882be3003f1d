"""Silero on silence and on a voice, one stream alone and many at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.find import there
from lipwire.models.table import known
from lipwire.models.turn.silero import CHUNK, CONTEXT, RATE, Floats, Silero
from support.machine import require


@pytest.fixture(scope="module")
def silero() -> Silero:
    require(there(known("silero-vad")), "silero-vad")
    return Silero.shared()


def sound(pcm: bytes) -> Floats:
    return (np.frombuffer(pcm, np.int16) / 32768).astype(np.float32)


def chunks(x: Floats) -> list[Floats]:
    return [x[end - CHUNK - CONTEXT : end] for end in range(CHUNK + CONTEXT, len(x), CHUNK)]


def alone(silero: Silero, x: Floats) -> list[float]:
    state, found = silero.rested, []
    for chunk in chunks(x):
        question = silero.ask(chunk, state)
        found.append(question.answer())
        state = question.state
    return found


def test_a_voice_is_speech_and_silence_is_none(silero: Silero, say: Callable[[str], tuple[bytes, int]]) -> None:
    pcm = resample(*say("Can you repeat that?"), RATE)
    told = alone(silero, sound(pcm))
    assert sum(probability > 0.8 for probability in told) > 0.6 * len(told)
    noise = np.random.default_rng(1).normal(0, 0.02, RATE).astype(np.float32)
    assert max(alone(silero, noise)) < 0.3 > max(alone(silero, np.zeros(RATE, np.float32)))


def test_streams_in_one_batch_get_what_they_get_alone(silero: Silero, say: Callable[[str], tuple[bytes, int]]) -> None:
    voice = sound(resample(*say("Wait a moment!"), RATE))
    sounds: list[Floats] = [(voice * np.float32(gain)).astype(np.float32) for gain in (1.0, 0.3, 0.0)]
    sounds.append(voice[::-1].copy())
    states, found = [silero.rested] * len(sounds), [[] for _ in sounds]  # type: list[Floats], list[list[float]]
    for pieces in zip(*map(chunks, sounds), strict=True):
        questions = [silero.ask(piece, state) for piece, state in zip(pieces, states, strict=True)]
        questions[-1].answer()  # all of them
        assert all(question.probability is not None for question in questions)
        for told, question in zip(found, questions, strict=True):
            told.append(question.answer())
        states = [question.state for question in questions]
    for heard, told in zip(sounds, found, strict=True):
        assert told == pytest.approx(alone(silero, heard), abs=1e-4)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    require(there(known("silero-vad")), "silero-vad")
    file = tmp_path / "silero_vad.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(ModelFailed, match=r"silero_vad\.onnx cannot be loaded"):
        Silero(file)
