"""agents/speech/mixer.py: as much sound as time passes, whoever speaks, comes and goes."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire.agents.speech.mixer import LATE, MAX_USERS, UserMixer

SILENCE = bytes(320)


def voice(n: int, hz: float = 300.0, peak: int = 8000) -> bytes:
    """The n-th frame of a tone."""
    at = np.arange(n * 160, (n + 1) * 160) / 16_000
    return (np.sin(2 * np.pi * hz * at) * peak).astype(np.int16).tobytes()


def holes(frames: list[bytes]) -> int:
    """10 ms of silence between the first sound and the last."""
    loud = [max(abs(np.frombuffer(frame, np.int16).astype(int))) > 1000 for frame in frames]
    first, last = loud.index(True), len(loud) - loud[::-1].index(True)
    return last - first - sum(loud[first:last])


@pytest.mark.parametrize("users", [1, 2, 3, 5])
@pytest.mark.parametrize("order", ["steady", "jumbled", "bursts"])
def test_one_stream_at_the_pace_of_time(users: int, order: str) -> None:
    """The last user speaks, the others are silent; their frames come in any order, and several at once."""
    mixer, out, random = UserMixer(), [], np.random.default_rng(users)
    burst = 5 if order == "bursts" else 1
    for start in range(0, 500, burst):
        sent = [(user, n) for user in range(users) for n in range(start, start + burst)]
        if order == "jumbled":
            random.shuffle(sent)
        for user, n in sent:
            speaks = user == users - 1 and 100 <= n < 300
            out += mixer.hear(voice(n) if speaks else SILENCE, str(user))
    assert len(out) == 500
    assert holes(out) <= (2 if order == "jumbled" else 0)
    assert sum(max(frame) > 0 for frame in out) == pytest.approx(200, abs=2)


def test_who_sets_the_pace_goes_and_comes_back() -> None:
    mixer, out = UserMixer(), []
    for n in range(600):
        if not 100 <= n < 400:
            out += mixer.hear(SILENCE, "a")
        out += mixer.hear(voice(n), "b")
        if n % 150 > 50:
            out += mixer.hear(SILENCE, f"guest{n // 150}")
    assert 599 <= len(out) <= 602 and holes(out) == 0


def test_two_who_speak_are_both_heard_and_loud_ones_do_not_wrap_around() -> None:
    mixer, out = UserMixer(), []
    for n in range(100):
        out += mixer.hear(voice(n, 300.0, 30_000), "a") + mixer.hear(voice(n, 1000.0, 30_000), "b")
    pcm = np.frombuffer(b"".join(out[50:]), np.int16).astype(float)
    spectrum = np.abs(np.fft.rfft(pcm))
    hz = np.fft.rfftfreq(len(pcm), 1 / 16_000)
    strong = {round(float(hz[i]), -1) for i in np.argsort(spectrum)[-2:]}
    assert strong == {300.0, 1000.0} and pcm.max() == 32_767 and pcm.min() == -32_768


def test_users_are_bounded() -> None:
    mixer = UserMixer()
    for n in range(200):
        mixer.hear(SILENCE, "a")
        mixer.hear(SILENCE, f"user{n}")
    assert len(mixer._users) <= MAX_USERS


def test_who_was_late_catches_up_in_silence() -> None:
    mixer = UserMixer()
    for _ in range(100):
        mixer.hear(SILENCE, "a")
    for _ in range(40):  # what the network held back comes at once, but not all of it, so that "a" sets the pace
        mixer.hear(SILENCE, "b")
        mixer.hear(SILENCE, "a")
        mixer.hear(SILENCE, "b")
    heard = []
    for n in range(30):
        mixer.hear(voice(n), "b")
        heard += mixer.hear(SILENCE, "a")
    assert [max(frame) > 0 for frame in heard].index(True) <= LATE + 1
