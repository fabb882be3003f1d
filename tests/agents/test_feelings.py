"""What a face shows of what is said, by virtual time: what a sentence tells, when it is shown, and what ends it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lipwire.agents.brains.base import ReplyText
from lipwire.agents.face_tags import Feeling, Gesture, Mark, Mood
from lipwire.agents.feelings import (
    AHEAD_MS,
    BEAT_EVERY,
    BEAT_MS,
    GESTURE_EVERY,
    LEAD_MS,
    LINGER,
    LISTEN_EVERY,
    LISTENED,
    WORDS,
    Acting,
    feeling_of,
)
from lipwire.agents.replies import Reply

RATE = 48_000


@pytest.mark.parametrize(
    ("sentence", "language", "mood", "gesture"),
    [
        ("Hello! I am Aria.", "en-US", "happy", "wave"),
        ("Good morning, how can I help?", "en", "happy", "wave"),
        ("I can see you have a point.", "en", None, None),
        ("Goodbye, and good luck.", "en", "happy", "wave"),
        ("I\u2019m sorry, that did not work.", "en", "concerned", None),
        ("Unfortunately not!", "en", "concerned", None),
        ("I\u2019m afraid we are closed.", "en", "concerned", None),
        ("Wow, that is a lot.", "en", "surprised", None),
        ("You did what?!", "en", "surprised", None),
        ("It is really late.", "en", None, None),
        ("Congratulations on your new job.", "en", "happy", None),
        ("I am not very happy with it.", "en", None, None),
        ("That works!", "en", "happy", None),
        ("Don't do that!", "en", None, None),
        ("Yes, exactly.", "en", None, "nod"),
        ("No, it is the other one.", "en", None, "shake"),
        ("No problem.", "en", None, "nod"),
        ("The train leaves at five.", "en", None, None),
        ("Guten Morgen, Frau Schmidt.", "de-DE", "happy", "wave"),
        ("Das tut mir leid.", "de", "concerned", None),
        ("Je suis désolé.", "fr", "concerned", None),
        ("¡Hola! ¿Qué tal?", "es", "happy", "wave"),
        ("Sì, certo.", "it", None, "nod"),
        ("こんにちは。", "ja", "happy", "wave"),
        ("对不起，我没听懂。", "zh-CN", "concerned", None),
        ("죄송합니다.", "ko", "concerned", None),
        ("我不开心。", "zh-CN", None, None),
        ("听到你不开心，我很难过。", "zh", "concerned", None),
        ("我很开心。", "zh", "happy", None),
        ("嬉しいです。", "ja", "happy", None),
        ("嬉しくないです。", "ja", None, None),
        ("ええと、明日です。", "ja", None, None),
        ("それはできません！", "ja", None, None),
        ("네, 알겠습니다.", "ko", None, "nod"),
        ("네덜란드는 작아요.", "ko", None, None),
        ("와인은 붉어요.", "ko", None, None),
        ("기분이 안 좋아요.", "ko", None, None),
        ("날씨가 좋아요.", "ko", "happy", None),
        ("Tervetuloa!", "fi", "happy", None),  # no words of it are known, but its mark is
        ("", "en", None, None),
    ],
)
def test_what_a_sentence_tells(sentence: str, language: str, mood: Mood | None, gesture: Gesture | None) -> None:
    assert feeling_of(sentence, language) == (Feeling(mood, gesture) if mood or gesture else None)


def test_every_language_has_what_is_needed_most() -> None:
    for language, words in WORDS.items():
        assert {"hello", "bye", "sorry", "wow", "glad", "yes", "no", "not"} == words.keys(), language
        for kind, one in words.items():
            listed = one.split("|")
            assert len(set(listed)) == len(listed) and all(word == word.strip().lower() != "" for word in listed), kind


class Stage:
    """An acting face, and a clock that is turned by hand."""

    def __init__(self, language: str = "en") -> None:
        self.acting = Acting()
        self.language = language
        self.ms = 0
        """The clock."""
        self.shown: list[tuple[int, Mood | None, Gesture | None]] = []

    def hear(self, reply: Reply | None, since: int, until: int) -> None:
        """10 ms by 10 ms of a reply's sound, which began at `since` of the clock."""
        while self.ms < until:
            for feeling in self.acting.look(reply, self.ms - since, self.ms * RATE // 1000, self.language):
                self.shown.append((self.ms, feeling.mood, feeling.gesture))
            self.ms += 10


def said(*pieces: tuple[str, int], marks: dict[int, tuple[Mark, ...]] | None = None, complete: bool = True) -> Reply:
    """A reply of pieces of text, so many ms each."""
    reply = Reply("speech")
    for number, (text, ms) in enumerate(pieces):
        reply.add(ReplyText("r", text, round(reply.received_ms), ms, marks=(marks or {}).get(number, ())))
        reply.received_ms += ms
    if complete:
        reply.close(reply.text)
    return reply


LEAD, STAY = round(LEAD_MS), round(LINGER * 1000)


def test_a_feeling_comes_with_its_sentence_and_goes_after_it() -> None:
    stage = Stage()
    stage.hear(None, 0, 500)
    reply = said(("Hello there. ", 1000), ("The train leaves at five. ", 2000), ("I am sorry.", 1000))
    stage.hear(reply, 500, 4500)
    stage.hear(None, 0, 9000)
    second = 500 + 1000 - LEAD
    assert stage.shown == [
        (500, "happy", "wave"),
        (second + STAY, "neutral", None),
        (500 + 3000 - LEAD, "concerned", None),
        (4500 + STAY, "neutral", None),
    ]


def test_sentences_of_one_piece_come_one_after_another() -> None:
    stage = Stage()
    stage.hear(said(("Yes. I am sorry.", 1600)), 0, 1600)
    (first, second) = stage.shown
    assert first == (0, None, "nod") and second[1:] == ("concerned", None)
    assert second[0] == pytest.approx(1600 * 4 / 16 - LEAD, abs=100)


def test_what_the_model_says_counts_and_words_do_not() -> None:
    marks = {
        0: (Mark(0, Feeling("concerned")),),
        1: (Mark(0, Feeling("surprised", "nod")), Mark(5, Feeling(None, "wave"))),
    }
    stage = Stage()
    stage.hear(said(("Hello! ", 1000), ("Well. ", 1000), ("Bye!", 500), marks=marks), 0, 2500)
    stage.hear(None, 0, 5000)
    assert stage.shown[:2] == [(0, "concerned", None), (1000 - LEAD, "surprised", "nod")]
    assert stage.shown[2][1:] == (None, "wave") and 1700 - LEAD <= stage.shown[2][0] <= 2000 - LEAD
    assert stage.shown[3:] == [(2500 + STAY, "neutral", None)]  # until the reply is over


def test_of_many_that_are_due_at_once_the_last_counts() -> None:
    wave = tuple(Mark(at, Feeling("happy" if at % 2 else "concerned", "wave")) for at in range(500))
    stage = Stage()
    stage.hear(said(("a" * 500, 100), marks={0: wave}), 0, 100)
    assert stage.shown == [(0, "happy", "wave")]


def test_a_sentence_is_waited_for_until_it_is_whole() -> None:
    """A transcript that comes while its sound is heard."""
    stage, reply = Stage(), Reply("speech")
    reply.add(ReplyText("r", "I am"))
    reply.received_ms = 400.0
    stage.hear(reply, 0, 200)
    assert stage.shown == []
    reply.add(ReplyText("r", " so sorry. Next"))
    stage.hear(reply, 0, 300)
    assert stage.shown == [(200, "concerned", None)]


def test_an_interruption_ends_it_at_once() -> None:
    stage = Stage()
    reply = said(("Hello! ", 1000), ("I am sorry.", 1000))
    stage.hear(reply, 0, 500)
    clock = round(0.5 * RATE)
    assert stage.acting.cut(clock) == [Feeling("neutral", "nod")], "the hand comes down"
    assert stage.acting.cut(clock) == []
    stage.hear(None, 0, 4000)
    assert stage.shown == [(0, "happy", "wave")]
    other = Stage()
    other.hear(
        said(
            ("Hello! ", 4000),
        ),
        0,
        3000,
    )
    assert other.acting.cut(3 * RATE) == [Feeling("neutral")], "it is down"


def test_gestures_are_not_made_all_the_time() -> None:
    stage = Stage()
    stage.hear(said(*[("Yes. ", 1000)] * 8, *[("Hello. ", 1000)] * 6), 0, 14_000)
    nods = [at for at, _, gesture in stage.shown if gesture == "nod"]
    assert nods[0] == 0 and len(nods) == 3
    assert all(later - at >= GESTURE_EVERY * 1000 for at, later in itertools.pairwise(nods))
    assert [gesture for _, _, gesture in stage.shown if gesture == "wave"] == ["wave"]


# ------------------------------------------------------------------------------------------------- small nods (beats)


def voice(ms: int, *stressed: int) -> bytes:
    """A syllable every 250 ms, at 24 kHz; those around these positions are louder."""
    out = np.zeros(ms * 24)
    t = np.arange(150 * 24) / 24_000
    one = np.sin(2 * np.pi * 200 * t) * np.hanning(len(t)) * 3000
    for at in range(0, ms - 200, 250):
        near = any(abs(at + 75 - peak) < 125 for peak in stressed)
        out[at * 24 : at * 24 + len(one)] = one * (3 if near else 1)
    return out.astype(np.int16).tobytes()


def aloud(reply: Reply, *stressed: int) -> Reply:
    """With a voice."""
    reply.syllables.add(voice(round(reply.received_ms), *stressed), 24_000)
    return reply


def beats(stage: Stage) -> list[int]:
    return [at for at, _, gesture in stage.shown if gesture == "beat"]


def test_what_is_stressed_in_a_sentence_has_a_small_nod() -> None:
    stage = Stage()
    reply = said(("The train leaves at five. ", 3000), ("It goes to the old town. ", 3000), ("And then it ends.", 3000))
    stage.hear(aloud(reply, 1325, 1825, 5575), 500, 9500)
    assert beats(stage) == pytest.approx([500 + 1325 - BEAT_MS, 500 + 5575 - BEAT_MS], abs=25), "and none where none is"


def test_small_nods_are_not_made_all_the_time() -> None:
    stage = Stage()
    reply = said(*[("It goes to town. ", 1500)] * 8)
    stage.hear(aloud(reply, *[at * 1500 + 825 for at in range(8)]), 0, 12_000)
    assert len(beats(stage)) == 4
    assert all(later - at >= BEAT_EVERY * 1000 for at, later in itertools.pairwise(beats(stage)))


def test_a_sentence_has_one_gesture_at_most() -> None:
    stage = Stage()
    stage.hear(aloud(said(("Yes, the train leaves at five.", 3000)), 1325), 0, 3000)
    assert stage.shown == [(0, None, "nod")]
    stage = Stage()  # a wave is not broken off
    stage.hear(aloud(said(("Hello! ", 500), ("I am the one you see.", 2500)), 1575), 0, 3000)
    assert [gesture for _, _, gesture in stage.shown if gesture] == ["wave"]


def test_a_model_that_sets_tags_nods_by_itself() -> None:
    marks: dict[int, tuple[Mark, ...]] = {0: (Mark(0, Feeling("happy")),)}
    stage = Stage()
    stage.hear(aloud(said(("The train leaves at five.", 3000), marks=marks), 1325), 0, 3000)
    assert stage.shown == [(0, "happy", None)]


def test_sound_that_comes_as_it_is_heard_is_not_nodded_to_late() -> None:
    for ahead, count in ((300, 0), (round(AHEAD_MS) + 700, 1)):
        stage, reply = Stage(), said(("The train leaves at five. ", 6000), complete=False)
        pcm = voice(6000, 1325)
        given = 0
        for ms in range(0, 5000, 10):
            due = min((ms + ahead) * 48, len(pcm))
            reply.syllables.add(pcm[given:due], 24_000)
            given = max(due, given)
            stage.hear(reply, 0, ms + 10)
        assert len(beats(stage)) == count
        assert beats(stage) == pytest.approx([1325 - BEAT_MS] * count, abs=25)


def test_an_interruption_leaves_no_nod_behind() -> None:
    stage = Stage()
    reply = aloud(said(("The train leaves at five.", 3000)), 1325)
    stage.hear(reply, 0, 900)
    stage.acting.cut(round(0.9 * RATE))
    stage.hear(None, 0, 3000)
    assert stage.shown == []


def test_who_listens_nods_where_the_user_pauses_and_goes_on() -> None:
    acting, nod = Acting(), [Feeling(gesture="beat")]
    assert acting.listen(LISTENED - 0.1, 10 * RATE) == []
    assert acting.listen(LISTENED, 10 * RATE) == nod
    assert acting.listen(3.0, 12 * RATE) == []
    assert acting.listen(3.0, round((10 + LISTEN_EVERY) * RATE)) == nod
