"""Voices that say when each phone happens: espeak-ng, flite, festival, and the recordings behind a festival voice.

Each utterance is (pcm int16 at 16 kHz, [(start, end, phone)] in seconds, phone set). espeak-ng comes from PyPI
(`espeakng-loader`) and is called in process; flite and festival are Debian packages called as programs. Festival's
voices here carry BSD-like or LGPL licences; its GPL voices are left out on purpose.
"""

import random
import re
import shutil
import subprocess
import tempfile
import unicodedata
import wave
from pathlib import Path

import numpy as np
import texts

from lipwire.audio import espeak as voice
from lipwire.errors import InvalidArgument

RATE = 16000

# espeak-ng voice: whose texts it reads. French and Italian are left out on purpose: the human prompts in those
# languages are the test of a language that was never heard. A voice without texts of its own reads its neighbour's.
ESPEAK_LANGUAGES = {
    "en-us": "en", "en-gb": "en", "en-gb-scotland": "en", "en-gb-x-rp": "en", "en-029": "en", "de": "de", "es": "es",
    "es-419": "es", "pt": "pt", "pt-br": "pt", "pl": "pl", "ru": "ru", "nl": "nl", "sv": "sv", "fi": "fi", "ca": "ca",
    "ro": "it", "eo": "es", "hr": "pl", "sk": "pl", "hu": "de", "tr": "de", "id": "es", "sw": "es", "et": "fi",
    "da": "sv", "nb": "sv", "af": "nl", "lt": "pl", "lv": "pl", "sq": "it", "cy": "en", "mt": "it", "is": "sv",
    "uk": "ru", "bg": "ru", "eu": "es", "el": "en", "hi": "en", "ga": "en", "az": "de", "bs": "pl",
}  # fmt: skip
_OFTEN = ["en-us", "en-gb", "de", "es", "pt-br", "pl", "ru", "nl"]  # drawn twice as often as the others
ESPEAK_VARIANTS = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f5", "klatt", "klatt2", "klatt4", "klatt5", "klatt6",
    "Andy", "Annie", "anika", "steph", "linda", "belinda", "ed", "edward", "max", "miguel", "pablo", "paul", "pedro",
    "quincy", "rob", "robert", "sandro", "shelby", "travis", "victor", "zac", "adam", "antonio", "boris", "caleb",
    "david", "Alex", "Gene", "Diogo", "Denis", "Lee", "Hugo", "Jacky", "Henrique", "Marco", "norbert", "aunty",
    "steph2", "grandma", "iven", "marcelo", "michel", *[""] * 4,
]  # fmt: skip
FLITE = ["awb", "kal16", "rms", "slt"]
FESTIVAL = {  # voice: (phone set, language, encoding)
    "cmu_us_slt_arctic_hts": ("cmu", "en", "iso-8859-1"),
    "ked_diphone": ("cmu", "en", "iso-8859-1"),
    "suo_fi_lj_diphone": ("fi", "fi", "iso-8859-1"),
    "upc_ca_ona_hts": ("ca", "ca", "iso-8859-15"),
}


def resample(x, rate):
    """To 16 kHz by Fourier truncation or padding (offline, whole utterance)."""
    if rate == RATE:
        return np.asarray(x, np.float32)
    step = rate // np.gcd(rate, RATE)
    n = -(-len(x) // step) * step
    out = n * RATE // rate
    spectrum = np.fft.rfft(np.asarray(x, np.float32), n)[: out // 2 + 1]
    return np.fft.irfft(spectrum, out).astype(np.float32) * np.float32(out / n)


def to_pcm(x):
    return np.clip(np.round(x), -32768, 32767).astype(np.int16)


# ---- espeak-ng ----------------------------------------------------------------------------------------------------


def espeak_utterance(seed):
    rng = random.Random(seed)
    while True:
        language = rng.choice([*ESPEAK_LANGUAGES, *_OFTEN])
        text = texts.sentence(ESPEAK_LANGUAGES[language], rng)
        variant = rng.choice(ESPEAK_VARIANTS)
        rate, pitch, spread = rng.randint(130, 215), rng.randint(20, 80), rng.randint(30, 80)
        try:
            said = voice.speak(text, f"{language}+{variant}" if variant else language, rate, pitch, spread)
        except InvalidArgument:  # a variant that this language does not take
            continue
        sound = np.frombuffer(said.pcm, np.int16)
        if len(sound) > said.rate // 4 and len(said.phones) > 3:
            return to_pcm(resample(sound, said.rate)), said.phones, "ipa"


# ---- flite and festival -------------------------------------------------------------------------------------------


def _read_wave(path):
    with wave.open(str(path)) as w:
        return resample(np.frombuffer(w.readframes(w.getnframes()), np.int16)[:: w.getnchannels()], w.getframerate())


def flite_utterance(speaker, text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.wav")
        result = subprocess.run(
            ["flite", "-voice", speaker, "-psdur", "-t", text, "-o", path], capture_output=True, text=True, check=True
        )
        phones, time = [], 0.0
        for phone, end in re.findall(r"(\S+):([0-9.]+)", result.stdout):
            if float(end) < time - 1e-6:  # a second utterance restarts the clock: its times are unknown
                return None
            if float(end) > time:
                phones.append((time, float(end), phone))
                time = float(end)
        pcm = to_pcm(_read_wave(path))
    return (pcm[: int(time * RATE) + 160], phones, "cmu") if len(phones) > 3 else None


def festival_utterances(speaker, lines):
    phone_set, language, encoding = FESTIVAL[speaker]
    out = []
    with tempfile.TemporaryDirectory() as folder:
        script = [f"(voice_{speaker})"]
        for i, line in enumerate(lines):
            if language in ("fi", "ca"):
                line = unicodedata.normalize("NFC", line)
            line = line.replace('"', "").replace("\\", "")
            script.append(
                f'(unwind-protect (begin (set! u (Utterance Text "{line}")) (utt.synth u)'
                f' (utt.save.wave u "{folder}/{i}.wav" (quote riff)) (set! fd (fopen "{folder}/{i}.lab" "w"))'
                ' (mapcar (lambda (s) (format fd "%s %f\\n" (item.name s) (item.feat s "end")))'
                f' (utt.relation.items u (quote Segment))) (fclose fd)) (format t "ERR {i}\\n"))'
            )
        Path(folder, "say.scm").write_bytes("\n".join(script).encode(encoding, "ignore"))
        subprocess.run(["festival", "-b", Path(folder, "say.scm")], capture_output=True, timeout=900, check=False)
        for i in range(len(lines)):
            labels = Path(folder, f"{i}.lab")
            if not labels.exists():
                continue
            phones, time = [], 0.0
            for line in labels.read_bytes().decode("latin-1").splitlines():
                phone, _, end = line.rpartition(" ")
                if float(end) > time:
                    phones.append((time, float(end), phone))
                    time = float(end)
            if len(phones) > 3:
                out.append((to_pcm(_read_wave(Path(folder, f"{i}.wav"))), phones, phone_set))
    return out


def natural_voices():
    """Names of the flite and festival voices installed here, `flite:` and `festival:` before each."""
    found = []
    if shutil.which("flite"):
        listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=True).stdout.split()
        found += [f"flite:{v}" for v in FLITE if v in listed]
    if shutil.which("festival"):
        folder = Path("/usr/share/festival/voices")
        found += [f"festival:{v}" for v in FESTIVAL if list(folder.glob(f"*/{v}"))]
    return found


def natural_utterances(name, count, seed):
    program, _, speaker = name.partition(":")
    rng = random.Random(seed)
    lines = [texts.sentence("en" if program == "flite" else FESTIVAL[speaker][1], rng) for _ in range(count)]
    if program == "festival":
        return festival_utterances(speaker, lines)
    return [u for u in (flite_utterance(speaker, line) for line in lines) if u]


# ---- recordings ---------------------------------------------------------------------------------------------------

RECORDINGS = Path("/usr/share/festival/voices/russian/msu_ru_nsh_clunits")
"""One man reading 620 Russian sentences, 100 minutes: the Debian package festvox-ru keeps the recordings of its voice
beside it, with the voice builder's phone times. Those are 30 ms off, give or take 50: align.py mends them."""


def recorded_utterances():
    out = []
    for path in sorted(RECORDINGS.glob("wav/*.wav")):
        phones, time = [], 0.0
        for line in (RECORDINGS / "lab" / f"{path.stem}.lab").read_text().splitlines():
            fields = line.split()
            if len(fields) == 3 and float(fields[0]) > time:
                phones.append((time, float(fields[0]), fields[2]))
                time = float(fields[0])
        out.append((to_pcm(_read_wave(path)), phones, "ru"))
    return out
