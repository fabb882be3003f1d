"""Builds the human sets of the lip-sync benchmark from Asterisk's prompts.

    sudo apt-get install asterisk-core-sounds-{en,fr,es,it,ru}{,-g722}
    pip install ./lipsync && python tools/lipsync/human.py

Sound and texts are Debian packages (CC BY-SA 3.0; Italian and Russian CC BY 3.0): for evaluation only, never trained
on, never committed. Phone times come from forced alignment by pocketsphinx with the English model that it bundles.
English words are in its dictionary. Words of other languages enter it as espeak-ng pronounces them, each phone as the
nearest English one; the label keeps espeak-ng's phone. Such labels are silver: a perfect system would not reach 100
%. What cannot be right is dropped and counted: texts that a script cannot read out, loud pauses, phones in silence,
phones all as short as they can be, speech where the text has ended.

Written: human-en-dev and human-en-final (split by a hash of the prompt's name), human-it-dev, human-fr-final,
human-es-final, human-ru-final. The final ones are there to be looked at once.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import functools
import gzip
import os
import re
import sys
import unicodedata
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lipwire import G722Decoder
from lipwire.audio import espeak as voice
from lipwire_lipsync import labels, sets, systems

TEXTS = "/usr/share/doc/asterisk-core-sounds-{0}/core-sounds-{0}.txt.gz"
SOUNDS = Path("/usr/share/asterisk/sounds")
MIN_SECONDS, MAX_SECONDS = 1.2, 20.0


@dataclass(frozen=True)
class Source:
    language: str
    folder: str
    voice: str
    """espeak-ng's, for the pronunciation."""
    sets: tuple[str, ...]
    licence: str = "CC-BY-SA-3.0"


SOURCES = {
    "en": Source("en", "en_US_f_Allison", "en-us", ("human-en-dev", "human-en-final")),
    "it": Source("it", "it_IT_m_Carlo", "it", ("human-it-dev",), "CC-BY-3.0"),
    "fr": Source("fr", "fr_CA_f_June", "fr", ("human-fr-final",)),
    "es": Source("es", "es_MX_f_Allison", "es-419", ("human-es-final",)),
    "ru": Source("ru", "ru_RU_f_IvrvoiceRU", "ru", ("human-ru-final",), "CC-BY-3.0"),
}

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# ---- the nearest English phone ------------------------------------------------------------------------------------

NEAREST = {
    symbol: english
    for symbols, english in (
        ("p", "P"), ("b β ʙ ɓ", "B"), ("m ɱ", "M"), ("f ɸ", "F"), ("v ʋ", "V"), ("θ", "TH"), ("ð", "DH"), ("t ʈ", "T"),
        ("d ɖ", "D"), ("k q c", "K"), ("ɡ g ɣ ɢ ɟ", "G"), ("x χ h ħ ɦ", "HH"), ("ʃ ɕ ʂ", "SH"), ("ʒ ʑ ʐ", "ZH"),
        ("s", "S"), ("z", "Z"), ("n ɲ ɳ", "N"), ("ŋ ɴ", "NG"), ("l ɫ ʎ ɭ", "L"), ("r ɹ ɾ ʀ ʁ ɻ ɽ", "R"),
        ("w ɥ ʍ", "W"), ("j ʝ", "Y"), ("i y ɨ", "IY"), ("ɪ ʏ ᵻ", "IH"), ("u ʉ ɯ", "UW"), ("ʊ", "UH"), ("e", "EY"),
        ("ɛ", "EH"), ("ə ɐ ʌ ɘ ɵ", "AH"), ("ɜ ɚ ɝ œ ø", "ER"), ("a ɑ ɒ", "AA"), ("æ", "AE"), ("o", "OW"), ("ɔ", "AO"),
    )
    for symbol in symbols.split()
}  # fmt: skip
JOINED = {"tʃ": "CH", "tɕ": "CH", "dʒ": "JH", "dʑ": "JH", "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "eɪ": "EY", "oʊ": "OW"}


def english(phone: str) -> list[str]:
    """The nearest English phones, one for each symbol but for affricates and diphthongs that English has too."""
    symbols = "".join(c for c in unicodedata.normalize("NFD", phone.replace("ç", "x")) if c in NEAREST)
    return [JOINED[symbols]] if symbols in JOINED else [NEAREST[c] for c in symbols]


# ---- texts --------------------------------------------------------------------------------------------------------


def clean(text: str, language: str) -> str:
    """What is read out; empty where that is not known."""
    if re.search(r"[\[<]", text):  # a sound, or what the speaker was told
        return ""
    text = re.sub(r"\(.*?\)", " ", text)
    text = re.sub(r"\.{2,}|…|[\"“”«»/–—-]", " ", text)
    if language == "en":
        text = re.sub(r"\b\d\b", lambda m: DIGITS[int(m.group())], text.lower())
        text = re.sub(r"[^\w' ]", " ", text.replace("’", "'"))
    # Longer numbers are read out in more than one way.
    return "" if re.search(r"\d\d", text) or (language == "en" and re.search(r"\d", text)) else " ".join(text.split())


def prompts(source: Source) -> dict[str, str]:
    """{name: text}, of those that have sound."""
    with gzip.open(TEXTS.format(source.language), "rt", encoding="utf-8-sig") as file:
        lines = [line.strip().partition(": ") for line in file if not line.startswith(";")]
    folder = SOUNDS / source.folder
    return {name: text for name, _, text in lines if text and (folder / f"{name}.g722").exists()}


# ---- alignment ----------------------------------------------------------------------------------------------------

FRAME_OFFSET = systems.PocketSphinx.FRAME_OFFSET
SHORTEST = 3
"""Frames: a phone has three states."""


@functools.cache
def decoder():  # type: ignore[no-untyped-def]
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL", beam=1e-80, pbeam=1e-80, wbeam=1e-60)


def spell(text: str, source: Source) -> tuple[str, dict[str, list[tuple[str, int]]]]:
    """The words to align, and for those of another language (original phone, how many English ones) for each phone.
    Raises KeyError: a word is not in the dictionary."""
    if source.language == "en":
        words = text.split()
        for i, word in enumerate(words):
            words[i] = word if decoder().lookup_word(word) else word.strip("'")
            if decoder().lookup_word(words[i]) is None:
                raise KeyError(words[i])
        return " ".join(words), {}
    spoken, names = {}, []
    for phones in voice.phonemes(text, source.voice):
        parts = [(phone, english(phone)) for phone in phones]
        pronunciation = " ".join(p for _, near in parts for p in near)
        if not pronunciation:
            continue
        name = "x" + pronunciation.lower().replace(" ", "-") + f"-{zlib.crc32(repr(phones).encode())}"
        if decoder().lookup_word(name) is None:
            decoder().add_word(name, pronunciation, True)
        spoken[name] = [(phone, len(near)) for phone, near in parts]
        names.append(name)
    return " ".join(names), spoken


CMU_VOWELS = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
IPA_VOWELS = set("aeiouæɐɑɒɔəɚɛɜɪʊʌᵻɵ")
SYLLABIC = "\N{COMBINING VERTICAL LINE BELOW}"
MARKS = str.maketrans("", "", "ˈˌː")


@functools.cache
def schwas(word: str, phones: tuple[str, ...]) -> tuple[str, ...]:
    """pocketsphinx's dictionary calls the vowels of "cut" and "about" both AH. Where espeak-ng counts as many vowels in
    the word and says a weak one, AH becomes AX."""
    said = [p.translate(MARKS) for spoken in voice.phonemes(word.partition("(")[0], "en-us") for p in spoken]
    weak = [p[0] in "əɐᵻɪ" or SYLLABIC in p for p in said if p and (p[0] in IPA_VOWELS or SYLLABIC in p)]
    places = [i for i, p in enumerate(phones) if p in CMU_VOWELS]
    out = list(phones)
    if len(weak) == len(places):
        for i, is_weak in zip(places, weak, strict=True):
            if phones[i] == "AH" and is_weak:
                out[i] = "AX"
    return tuple(out)


def listen(pcm: sets.Samples) -> None:
    decoder().start_utt()
    decoder().process_raw(pcm.tobytes(), full_utt=True)
    decoder().end_utt()


def align(pcm: sets.Samples, text: str, source: Source) -> list[labels.Phone] | None:
    """Phone times; None where the sound does not fit the text at all."""
    words, spoken = spell(text, source)
    aligner = decoder()
    try:
        aligner.set_align_text(words)
        listen(pcm)
        if aligner.hyp() is None:
            return None
        aligner.set_alignment()  # the words are placed; now the phones within them
        listen(pcm)
        found = aligner.get_alignment()
    except RuntimeError:
        decoder.cache_clear()
        return None
    phones: list[labels.Phone] = []
    for word in found:
        times = [(p.name, p.start * 0.01 + FRAME_OFFSET, (p.start + p.duration) * 0.01 + FRAME_OFFSET) for p in word]
        if word.name in spoken:
            at = 0
            for phone, count in spoken[word.name]:
                if count:
                    phones.append((times[at][1], times[at + count - 1][2], phone))
                    at += count
        else:
            names = schwas(word.name, tuple(name for name, _, _ in times))
            for name, (_, a, b) in zip(names, times, strict=True):
                phones.append((a, b, "_" if name in ("SIL", "+NSN+", "+SPN+") else name.lower()))
    end = len(pcm) / sets.RATE
    return [(a, min(b, end), name) for a, b, name in phones if a < end]


def level(pcm: sets.Samples) -> np.ndarray:
    """dB of each 10 ms, over 25 ms around its centre."""
    power = np.concatenate([np.zeros(120), pcm.astype(float) ** 2, np.zeros(280)]).cumsum()
    at = np.arange(len(pcm) // 160) * 160
    return 10 * np.log10((power[at + 400] - power[at]) / 400 + 1)


def trim(phones: list[labels.Phone], db: np.ndarray) -> list[labels.Phone]:
    """Silence at the ends goes by level: the aligner likes to stretch the first and last phone into it."""
    loud = np.flatnonzero(db > db.max() - 38)
    begin, end = loud[0] * 0.01 - 0.01, loud[-1] * 0.01 + 0.02
    inside = [(max(a, begin), min(b, end), name) for a, b, name in phones]
    return [(a, b, name) for a, b, name in inside if b > a]


def implausible(phones: list[labels.Phone], db: np.ndarray) -> str:
    """Why the alignment cannot be right; empty if it can."""
    db = db - db.max()
    spoken = [p for p in phones if p[2] != "_"]
    if len(spoken) < 3:
        return "too little speech"
    first, last = spoken[0][0], spoken[-1][1]
    rows = np.arange(len(db)) * 0.01 + 0.005
    if np.count_nonzero((db > -25) & ((rows < first - 0.03) | (rows > last + 0.03))) > 6:
        return "speech outside the text"
    for a, b, name in phones:
        inner = db[(rows > a + 0.03) & (rows < b - 0.03)]
        if name == "_" and a > first and b < last and len(inner) >= 3 and np.mean(inner > -28) > 0.3:
            return "a loud pause"
    held = np.zeros(len(db), bool)
    for a, b, _ in spoken:
        held |= (rows >= a) & (rows < b)
    if np.mean(db[held] < -42) > 0.12:
        return "phones in silence"
    short = [round((b - a) * 100) <= SHORTEST for a, b, _ in spoken]
    longest = max(len(run) for run in "".join("s" if s else " " for s in short).split(" "))
    if np.mean(short) > 0.5 or longest > 6:
        return "phones as short as they can be"
    return ""


def utterance(job: tuple[str, str, str]) -> tuple[str, sets.Utterance | str]:
    """(language, name, text) -> (name, the utterance or why there is none)"""
    language, name, raw = job
    source = SOURCES[language]
    text = clean(raw, language)
    if not text:
        return name, "text not for reading out"
    pcm = np.frombuffer(G722Decoder().decode((SOUNDS / source.folder / f"{name}.g722").read_bytes()), np.int16)
    if not MIN_SECONDS <= len(pcm) / sets.RATE <= MAX_SECONDS:
        return name, f"shorter than {MIN_SECONDS:g} s or longer than {MAX_SECONDS:g} s"
    try:
        phones = align(pcm, text, source)
    except KeyError:
        return name, "a word that the dictionary lacks"
    if phones is None:
        return name, "no alignment"
    db = level(pcm)
    phones = trim(phones, db)
    return name, implausible(phones, db) or sets.Utterance(name.replace("/", "-"), pcm, phones)


# ---- checks -------------------------------------------------------------------------------------------------------


def sibilant_offsets(made: sets.LabelledSet) -> list[float]:
    """For each sibilant onset, seconds from the label's edge to the best-fitting step of the energy above 3.5 kHz."""
    window, step, reach = 160, 16, 60  # 10 ms every 1 ms, 60 ms to each side
    high = np.fft.rfftfreq(window, 1 / sets.RATE) >= 3500
    sibilants = [labels.VISEMES.index(v) for v in ("SS", "CH")]
    offsets = []
    for u in made.utterances:
        truth = u.visemes(made.about.phone_set)
        onsets = np.flatnonzero(~np.isin(truth[:-1], sibilants) & np.isin(truth[1:], sibilants)) + 1
        for row in onsets:
            edge = min((a for a, _, _ in u.phones), key=lambda a: abs(a - row * 0.01))
            start = round(edge * sets.RATE) - reach * step - window // 2
            if start < 0 or start + 2 * reach * step + window > len(u.pcm):
                continue
            frames = np.lib.stride_tricks.sliding_window_view(u.pcm[start:], window)[: 2 * reach * step + 1 : step]
            spectrum = np.fft.rfft(frames * np.hanning(window), axis=1)
            db = 10 * np.log10((np.abs(spectrum[:, high]) ** 2).sum(1) + 1)
            sums, n = db.cumsum(), np.arange(1, len(db))
            before, after = sums[:-1] / n, (sums[-1] - sums[:-1]) / (len(db) - n)
            gain = n * (len(db) - n) * np.where(after > before, after - before, 0) ** 2
            offsets.append((int(gain.argmax()) + 0.5 - reach) / 1000)
    return offsets


def describe(made: list[sets.LabelledSet], console: Console) -> None:
    table = Table(title="sets")
    for column in ("set", "utterances", "minutes", "sibilant onset, ms (median, quartiles)"):
        table.add_column(column)
    shares = []
    for one in made:
        quartiles = 1000 * np.percentile(sibilant_offsets(one), (50, 25, 75))
        onset = "{:+.0f}  ({:+.0f} .. {:+.0f})".format(*quartiles)
        table.add_row(one.about.name, str(len(one.utterances)), f"{one.seconds / 60:.1f}", onset)
        rows = np.concatenate([u.visemes(one.about.phone_set) for u in one.utterances])
        shares.append(100 * np.bincount(rows, minlength=len(labels.VISEMES)) / len(rows))
    console.print(table)
    table = Table(title="share of the rows, %")
    for column in ("", *(one.about.name.removeprefix("human-") for one in made)):
        table.add_column(column)
    for i, viseme in enumerate(labels.VISEMES):
        table.add_row(viseme, *(f"{share[i]:.1f}" for share in shares))
    console.print(table)


def split(source: Source, utterances: list[sets.Utterance]) -> list[sets.LabelledSet]:
    made = []
    for i, name in enumerate(source.sets):
        about = sets.About(
            name=name,
            phone_set="cmu" if source.language == "en" else "ipa",
            language=source.language,
            source=f"Debian's asterisk-core-sounds-{source.language}, aligned by tools/lipsync/human.py",
            licence=source.licence,
            split="dev" if name.endswith("-dev") else "final",
        )
        chosen = [u for u in utterances if zlib.crc32(u.name.encode()) % len(source.sets) == i]
        made.append(sets.LabelledSet(about, sorted(chosen, key=lambda u: u.name)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(SOURCES)} (default: all)")
    parser.add_argument("--out", type=Path, default=sets.default_folder(), help="folder of sets (default: the cache's)")
    args = parser.parse_args()
    if unknown := set(args.languages) - set(SOURCES):
        parser.error(f"no such language: {', '.join(sorted(unknown))}; there are {', '.join(SOURCES)}")
    sources = [SOURCES[name] for name in args.languages or SOURCES]
    lacking = [s.language for s in sources if not (Path(TEXTS.format(s.language)).exists() and prompts(s))]
    if lacking:
        names = " ".join(f"asterisk-core-sounds-{name} asterisk-core-sounds-{name}-g722" for name in lacking)
        sys.exit(f"missing: sudo apt-get install {names}")
    console = Console(highlight=False, width=100)
    made: list[sets.LabelledSet] = []
    with (
        Progress(console=Console(stderr=True), transient=True) as bar,
        concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool,
    ):
        for source in sources:
            jobs = [(source.language, name, text) for name, text in prompts(source).items()]
            results = pool.map(utterance, jobs, chunksize=8)
            done = [result for _, result in bar.track(results, len(jobs), description=f"aligning {source.language}")]
            dropped = collections.Counter(result for result in done if isinstance(result, str))
            console.print(f"{source.language}: {len(jobs)} prompts, {len(jobs) - dropped.total()} kept")
            for reason, count in dropped.most_common():
                console.print(f"  {count:4} dropped: {reason}")
            for one in split(source, [result for result in done if isinstance(result, sets.Utterance)]):
                sets.write(args.out / one.about.name, one.about, one.utterances)
                made.append(sets.read(args.out / one.about.name))
    describe(made, console)


if __name__ == "__main__":
    main()
