"""Labelled sets made on the spot by espeak-ng: its phoneme events say which phone is when, to the sample.

The test voices (languages x timbres) and the sentences are none that the shipped model was trained on. The timbre is
synthetic, so such a set ranks systems more mildly than people do; it is there so that the benchmark runs anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from lipwire.audio import espeak as voice
from lipwire.audio.resample import resample

from . import labels, sets

VOICES = {"en": "en-us", "de": "de", "es": "es", "cs": "cs"}
TIMBRES = ("m7", "f4", "klatt3", "Mario", "Alicia", "john", "Michael", "Mike")
CALIBRATION_TIMBRES = ("m1", "m2", "m3", "m4", "f1", "f2", "f3", "klatt", "Andy", "steph", "linda", "max")
"""For systems that have to be calibrated: other timbres than those that are scored."""

SENTENCES = {
    "en": (
        "The ferry to the island leaves at seven from the northern pier.",
        "Both brothers work for the museum, but only one of them paints.",
        "If you have five minutes, I can show you how the new machine behaves.",
        "Put the heavy parcel on the shelf above the yellow door.",
        "We saw a fox, two owls and a whole family of badgers last night.",
        "Is there a quiet room where I could make a phone call?",
        "Just measure the length of the garage before you choose the boat.",
        "Their voices were hoarse after the third verse of the anthem.",
        "Please press the blue button, then wait until the beep stops.",
        "My aunt grew up in a village with more sheep than people.",
        "Why would anyone throw away such a beautiful piece of furniture?",
        "The thin layer of ice vanished as soon as the sun came out.",
    ),
    "de": (
        "Der Bus zum Bahnhof fährt heute leider erst um Viertel vor fünf.",
        "Bitte drücken Sie die blaue Taste und warten Sie auf das Zeichen.",
        "Wir haben im Wald einen Fuchs und mehrere Pilze gefunden.",
        "Möchten Sie lieber am Fenster oder in der Nähe der Tür sitzen?",
        "Meine Großmutter backt jeden Samstag einen köstlichen Pflaumenkuchen.",
        "Das alte Schiff liegt schon seit Jahren im Hafen vor Anker.",
    ),
    "es": (
        "El barco hacia la isla sale a las siete desde el muelle viejo.",
        "Pulse el botón verde y espere hasta que oiga la señal.",
        "Mi abuela prepara una sopa de pescado con mucho ajo y perejil.",
        "Hay un cuarto tranquilo donde pueda hablar por teléfono?",
        "Vimos un zorro y dos búhos cerca del bosque la otra noche.",
        "Nadie sabe por qué cerraron la fábrica de juguetes.",
    ),
    "cs": (
        "Vlak do hor odjíždí v sedm hodin ráno z druhého nástupiště.",
        "Stiskněte modré tlačítko a počkejte, až uslyšíte tón.",
        "Babička peče každou sobotu výborný švestkový koláč.",
        "Včera večer jsme u lesa viděli lišku a dvě sovy.",
        "Mohla byste mi prosím ukázat cestu k muzeu?",
        "Proč nikdo neopravil střechu té staré továrny?",
    ),
}


def say(name: str, text: str, voice_name: str, rng: random.Random) -> sets.Utterance:
    """One utterance: rate and pitch at random, silence of 0.1 to 0.4 s at both ends."""
    speech = voice.speak(
        text, voice_name, rng.randint(130, 215), pitch=rng.randint(20, 80), pitch_range=rng.randint(30, 80)
    )
    converted = np.frombuffer(resample(speech.pcm, speech.rate, sets.RATE), np.int16)
    lead, tail = (int(rng.uniform(0.1, 0.4) * sets.RATE) for _ in range(2))
    pcm = np.concatenate([np.zeros(lead, np.int16), converted, np.zeros(tail, np.int16)])
    start, end = lead / sets.RATE, len(pcm) / sets.RATE
    phones = [(a + start, min(b + start, end), phone) for a, b, phone in speech.phones if phone not in labels.PAUSES]
    return sets.Utterance(name, pcm, phones)


DEFAULT_SETS = (("en",), ("de", "es", "cs"))
"""The languages of the sets that the benchmark makes unless told otherwise."""


def espeak_set(
    languages: Sequence[str], count: int = 24, seed: int = 0, timbres: Sequence[str] = TIMBRES
) -> sets.LabelledSet:
    """`count` utterances, in turn in each of `languages` (of SENTENCES). The same seed gives the same texts,
    voices, rates and pitches; espeak-ng leaves the rest to chance, so that figures move by some tenths of a percent.

    Raises:
        BadState: espeak-ng is not installed.
    """
    joined = "-".join(languages)
    rng = random.Random(f"{joined} {seed}")
    utterances = []
    for i in range(count):
        turn, language = divmod(i, len(languages))
        texts = SENTENCES[languages[language]]
        voice_name = f"{VOICES[languages[language]]}+{rng.choice(timbres)}"
        utterances.append(say(f"{i:04}", texts[turn % len(texts)], voice_name, rng))
    about = sets.About(
        name=f"espeak-{joined}",
        phone_set="ipa",
        language=" ".join(languages),
        source=f"espeak-ng, made on the spot, seed {seed}",
        licence="made by you",
    )
    return sets.LabelledSet(about, utterances)
