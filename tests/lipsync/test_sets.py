"""Labels, labelled sets, conditions: what the lip-sync benchmark scores against."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipwire.audio import espeak as voice
from lipwire.errors import BadData, InvalidArgument
from lipwire_lipsync import labels, sets, spoken
from lipwire_lipsync.conditions import CONDITIONS

ABOUT = sets.About(name="small", phone_set="ipa", language="en", source="a test", licence="none")
PHONES = [(0.1, 0.2, "p"), (0.2, 0.3, "aɪ"), (0.3, 0.35, "_"), (0.35, 0.5, "s")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good set of one utterance, `one`."""
    pcm = np.arange(9600, dtype=np.int16)
    sets.write(tmp_path / "small", ABOUT, [sets.Utterance("one", pcm, PHONES)])
    return tmp_path / "small"


# ---- labels -------------------------------------------------------------------------------------------------------


def test_every_class_sums_to_a_viseme_and_every_viseme_to_a_group() -> None:
    assert (len(labels.CLASSES), len(labels.VISEMES), len(labels.GROUPS)) == (28, 15, 7)
    assert set(labels.TO_VISEME) == set(range(15))
    assert set(labels.GROUP_OF) == set(range(7))
    assert [labels.GROUPS[g] for g in labels.GROUP_OF] == list("XAGBBBBBBBDCBFF")


@pytest.mark.parametrize("phone_set", [s for s in labels.PHONE_SETS if s != "ipa"])
def test_every_phone_has_classes_whose_shares_fill_its_time(phone_set: str) -> None:
    table = labels._SETS[phone_set]
    assert len(table) > 20
    for phone, parts in table.items():
        if parts is not None:
            assert sum(share for _, share in parts) == pytest.approx(1.0), phone
            assert all(name in labels.CLASSES for name, _ in parts), phone


@pytest.mark.parametrize(
    ("phone", "classes"),
    [
        ("ˈæ", "aa.ae"), ("tʃ", "CH.c"), ("ts", "SS.s"), ("pf", "PP.p FF.f"), ("ˈaɪ", "aa I"), ("iə", "I E.ax"),
        ("ɔːɹ", "O RR"), ("aɪɹ", "aa I RR"), ("ç", "CH.s"), ("vʲ", "FF.v"), ("ɑ̃", "aa"), ("ɡ", "kk.g"), ("_:", "sil"),
        ("", "sil"), ("h", None), ("ʔ", None),
    ],
)  # fmt: skip
def test_classes_of_ipa_names(phone: str, classes: str | None) -> None:
    parts = labels.classes_of("ipa", phone)
    assert (parts and " ".join(name for name, _ in parts)) == classes


def test_a_row_has_what_is_spoken_at_its_centre() -> None:
    rows = labels.visemes([(0.0, 0.0149, "p"), (0.0149, 0.0251, "s")], "ipa", 4)
    assert [labels.VISEMES[v] for v in rows] == ["PP", "SS", "SS", "sil"]
    rows = labels.visemes([(0.0, 0.0151, "p"), (0.0151, 0.0251, "s")], "ipa", 4)
    assert [labels.VISEMES[v] for v in rows] == ["PP", "PP", "SS", "sil"]


def test_a_diphthong_is_split_and_fills_its_time() -> None:
    rows = labels.visemes([(0.0, 0.1, "aɪ")], "ipa", 10)
    assert [labels.VISEMES[v] for v in rows] == ["aa"] * 6 + ["I"] * 4


def test_transparent_phones_look_like_the_next_one() -> None:
    rows = labels.visemes([(0.0, 0.02, "h"), (0.02, 0.04, "u"), (0.04, 0.06, "h")], "ipa", 6)
    assert [labels.VISEMES[v] for v in rows] == ["U"] * 4 + ["sil"] * 2


# ---- the files ----------------------------------------------------------------------------------------------------


def test_a_set_comes_back_as_it_was_written(folder: Path) -> None:
    read = sets.read(folder)
    assert read.about == ABOUT
    (one,) = read.utterances
    assert (one.name, one.phones) == ("one", PHONES)
    assert one.pcm.tolist() == list(range(9600))
    assert read.seconds == 0.6
    assert [labels.VISEMES[v] for v in one.visemes("ipa")[::5]] == [
        "sil", "sil", "PP", "PP", "aa", "aa", "sil", "SS", "SS", "SS", "sil", "sil",
    ]  # fmt: skip


def test_writing_replaces(folder: Path) -> None:
    sets.write(folder, ABOUT, [sets.Utterance("two", np.zeros(1600, np.int16), [])])
    assert [u.name for u in sets.read(folder).utterances] == ["two"]


def test_installed_sets_are_in_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sets.default_folder() == tmp_path / "lipwire" / "lipsync" / "sets"
    assert sets.installed() == []
    assert sets.installed(tmp_path) == [folder]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1 0.2 p\n0.2 0.3\n", "one.lab, line 2: '0.2 0.3' is no \"start end phone\""),
        ("0.1 x p\n", "one.lab, line 1: '0.1 x p' is no"),
        ("0.1 0.2 p\n\n0.15 0.3 s\n", "one.lab, line 3: 0.15 to 0.3 s does not follow 0.2 s"),
        ("0.2 0.1 p\n", "one.lab, line 1: 0.2 to 0.1 s does not follow 0 s"),
        ("nan 0.1 p\n", "one.lab, line 1: nan to 0.1 s"),
        ("0.1 0.9 p\n", "one.lab, line 1: ends at 0.9 s, the sound at 0.6 s"),
    ],
)
def test_a_bad_label_is_named_by_file_and_line(folder: Path, text: str, message: str) -> None:
    (folder / "one.lab").write_text(text)
    with pytest.raises(BadData) as error:
        sets.read(folder)
    assert message in str(error.value)


def test_a_phone_of_another_set_is_refused(folder: Path) -> None:
    about = {"name": "x", "phone_set": "cmu", "language": "en", "source": "", "licence": ""}
    (folder / "set.json").write_text(json.dumps(about))
    (folder / "one.lab").write_text("0 0.1 pau\n0.1 0.2 zz\n")
    with pytest.raises(BadData, match=r"one\.lab, line 2: phone set 'cmu' has no 'zz'"):
        sets.read(folder)


def _wave(path: Path, rate: int, channels: int) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.writeframes(bytes(3200))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "set.json").unlink(), "set.json is missing"),
        (lambda f: (f / "set.json").write_text("{"), "set.json: "),
        (lambda f: (f / "set.json").write_text('{"name": "x"}'), "set.json: Object missing required field"),
        (lambda f: (f / "one.lab").unlink(), "one.wav has no one.lab"),
        (lambda f: (f / "one.wav").unlink(), "one.lab has no one.wav"),
        (lambda f: [(f / n).unlink() for n in ("one.wav", "one.lab")], "no utterances"),
        (lambda f: (f / "one.wav").write_bytes(b"RIFF"), "one.wav: no WAVE file"),
        (lambda f: _wave(f / "one.wav", 8000, 1), "one.wav: 8000 Hz, 1 channels, 16 bits"),
        (lambda f: _wave(f / "one.wav", 16000, 2), "one.wav: 16000 Hz, 2 channels"),
        (lambda f: (f / "one.lab").write_bytes(b"0 0.1 \xff"), "one.lab: not UTF-8"),
    ],
)
def test_a_bad_set_is_refused_by_name(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(BadData) as error:
        sets.read(folder)
    assert message in str(error.value)


def test_an_unknown_phone_set_is_refused(folder: Path) -> None:
    path = folder / "set.json"
    path.write_text(path.read_text().replace("ipa", "xsampa"))
    with pytest.raises(BadData, match="unknown phone_set 'xsampa'; known: ipa, class, cmu"):
        sets.read(folder)


# ---- espeak-ng ----------------------------------------------------------------------------------------------------


def test_phones_fill_the_time_of_speech(say: Callable[[str], tuple[bytes, int]]) -> None:
    voice.speak("Once.")  # espeak-ng's first phone after another voice of the process may have no mark of its own
    speech = voice.speak("She sees fish.")
    assert [p.strip("ˈˌː") for _, _, p in speech.phones if p] == ["ʃ", "i", "s", "i", "z", "f", "ɪ", "ʃ"]
    assert speech.phones[0][0] == 0
    assert speech.phones[-1][1] == pytest.approx(len(speech.pcm) / 2 / speech.rate)
    for (_, end, _), (start, _, _) in zip(speech.phones, speech.phones[1:], strict=False):
        assert start == end
    pcm, rate = say("She sees fish.")
    assert rate == speech.rate
    assert len(pcm) == pytest.approx(len(speech.pcm), rel=0.05)  # espeak-ng leaves some to chance


def test_pronunciations(say: Callable[[str], tuple[bytes, int]]) -> None:
    assert voice.phonemes("bonjour, oui", "fr") == [["b", "ɔ̃", "ʒ", "ˈu", "ʁ"], ["w", "ˈi"]]
    assert voice.phonemes("Asterisk", "fr")[0][:2] == ["ˈa", "s"]  # and no "(en)"
    with pytest.raises(InvalidArgument, match="no voice"):
        voice.phonemes("x", "no-such-voice")


def test_a_made_set_says_the_same_every_time_and_when(say: Callable[[str], tuple[bytes, int]]) -> None:
    made, again = (spoken.espeak_set(("en", "cs"), 4, seed=3) for _ in range(2))
    assert made.about.name == "espeak-en-cs"
    for one, two in zip(made.utterances, again.utterances, strict=True):
        assert [name for _, _, name in one.phones] == [name for _, _, name in two.phones]
        assert [a for a, _, _ in one.phones] == pytest.approx([a for a, _, _ in two.phones], abs=0.02)  # by chance
        # Where the labels say silence at both ends, there is none to hear; in between there is.
        silent = one.visemes("ipa") == 0
        level = np.abs(one.pcm[: len(silent) * 160].astype(int)).reshape(-1, 160).max(1)
        start = int(one.phones[0][0] * 100)
        assert level[: start - 1].max() < 50 < level[~silent].max() / 20
    assert not np.array_equal(made.utterances[0].pcm[:4000], spoken.espeak_set(("en",), 1).utterances[0].pcm[:4000])


# ---- conditions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_keeps_length_and_time(name: str, say: Callable[[str], tuple[bytes, int]]) -> None:
    pcm = spoken.espeak_set(("en",), 1).utterances[0].pcm[:-7]
    changed = CONDITIONS[name](pcm)
    assert (changed.dtype, len(changed)) == (np.int16, len(pcm))
    assert np.array_equal(changed, CONDITIONS[name](pcm))
    size = 2 * len(pcm)
    spectra = [np.fft.rfft(x.astype(float), size) for x in (pcm, changed)]
    lag = int(np.fft.irfft(spectra[0].conj() * spectra[1], size).argmax())
    assert lag in (0, 1, size - 1)
    assert np.array_equal(changed, pcm) == (name == "clean")


@pytest.mark.parametrize(
    ("name", "snr"), [("white-15dB", 15), ("white-10dB", 10), ("pink-15dB", 15), ("pink-10dB", 10)]
)
def test_noise_has_the_level_that_it_says(name: str, snr: float) -> None:
    tone = np.round(3000 * np.sin(np.arange(32000) * 0.2)).astype(np.int16)
    tone[tone == 0] = 1
    added = CONDITIONS[name](tone) - tone.astype(float)
    assert 10 * np.log10((tone.astype(float) ** 2).mean() / (added**2).mean()) == pytest.approx(snr, abs=0.1)
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    octaves = [10 * np.log10(spectrum[f : 2 * f].mean()) for f in (500, 1000, 2000, 4000)]  # 0.5 Hz a bin
    slope = -3 if name.startswith("pink") else 0
    assert np.diff(octaves) == pytest.approx([slope] * 3, abs=1)


def test_the_telephone_passes_its_band_only() -> None:
    at = np.arange(32000) / 16000
    for frequency, passes in ((100, False), (1000, True), (3000, True), (5000, False)):
        tone = np.round(8000 * np.sin(2 * np.pi * frequency * at)).astype(np.int16)
        left = CONDITIONS["telephone"](tone).astype(float).std() / tone.std()
        assert (left > 0.9) == passes, frequency
        assert (left < 0.1) != passes, frequency
