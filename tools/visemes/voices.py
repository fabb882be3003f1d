"""Synthetic voices that say when each phone happens: espeak-ng (required), flite and festival (used if installed).

Each utterance is (pcm int16 at 16 kHz, [(start, end, phone)] in seconds, phone set). espeak-ng comes from PyPI
(`espeakng-loader`) and is called in process; flite and festival are Debian packages called as programs. Festival's
voices here carry BSD-like or LGPL licences; its GPL voices are left out on purpose.
"""

import ctypes
import functools
import itertools
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

RATE = 16000

ESPEAK_LANGUAGES = {
    "en-us": "en", "en-gb": "en", "en-gb-scotland": "en", "en-gb-x-rp": "en", "de": "de", "es": "es", "es-419": "es",
    "it": "it", "pt-br": "pt", "pl": "pl", "ru": "ru", "fr": "fr", "nl": "nl", "sv": "sv", "fi": "fi", "ca": "ca",
}  # fmt: skip
ESPEAK_VARIANTS = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f5", "klatt", "klatt2", "klatt4", "klatt5", "klatt6",
    "Andy", "Annie", "anika", "steph", "linda", "belinda", "ed", "edward", "max", "miguel", "pablo", "paul", "pedro",
    "quincy", "rob", "robert", "sandro", "shelby", "travis", "victor", "zac", "adam", "antonio", "boris", "caleb",
    "david", "Alex", "Gene", "Diogo", "Denis", "Lee", "Hugo", "Jacky", "Henrique", "Marco", "norbert", "aunty",
    "steph2", "grandma", "iven", "marcelo", "michel", *[""] * 4,
]  # fmt: skip
ESPEAK_TEST_LANGUAGES = {"cs": "cs", "en-us": "en", "de": "de", "es": "es"}
ESPEAK_TEST_VARIANTS = ["m7", "f4", "klatt3", "Mario", "Alicia", "john", "Michael", "Mike"]

FLITE = ["awb", "kal16", "rms", "slt"]
FESTIVAL = {  # voice: (phone set, language, encoding)
    "cmu_us_slt_arctic_hts": ("cmu", "en", "iso-8859-1"),
    "ked_diphone": ("cmu", "en", "iso-8859-1"),
    "suo_fi_lj_diphone": ("fi", "fi", "iso-8859-1"),
    "upc_ca_ona_hts": ("ca", "ca", "iso-8859-15"),
    "msu_ru_nsh_clunits": ("ru", "ru", "utf-8"),
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


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique", ctypes.c_uint), ("text_position", ctypes.c_int),
                ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", _Id)]  # fmt: skip


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_PHONEME_EVENT = 7


class Espeak:
    """One per process: the library keeps global state."""

    def __init__(self):
        import espeakng_loader

        self._lib = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._lib.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
                                           ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]  # fmt: skip
        synchronous, phoneme_events, phoneme_ipa = 2, 1, 2
        data = str(espeakng_loader.get_data_path()).encode()
        self._rate = self._lib.espeak_Initialize(synchronous, 0, data, phoneme_events | phoneme_ipa)
        self._sound, self._phones = [], []
        self._keep = _Callback(self._on_sound)
        self._lib.espeak_SetSynthCallback(self._keep)

    def _on_sound(self, samples, count, events):
        if count > 0 and samples:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == _PHONEME_EVENT:
                raw = ctypes.string_at(ctypes.addressof(events[i]) + _Event.id.offset, 8).split(b"\0")[0]
                self._phones.append((events[i].sample / self._rate, raw.decode("utf-8", "ignore")))
            i += 1
        return 0

    def say(self, text, voice, rate, pitch, spread):
        if self._lib.espeak_SetVoiceByName(voice.encode()):
            return None
        for parameter, value in ((1, rate), (3, pitch), (4, spread)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._sound.clear()
        self._phones.clear()
        raw = text.encode() + b"\0"
        utf8 = 1
        self._lib.espeak_Synth(raw, len(raw), 0, 1, 0, utf8, None, None)
        if not self._phones or sum(map(len, self._sound)) < self._rate // 4:
            return None
        sound = np.concatenate(self._sound)
        marks = [*sorted(self._phones, key=lambda p: p[0]), (len(sound) / self._rate, "")]
        phones = [(a, b, p) for (a, p), (b, _) in itertools.pairwise(marks) if b > a]
        return to_pcm(resample(sound, self._rate)), phones, "ipa"


@functools.cache
def espeak():
    return Espeak()


def espeak_utterance(seed, test=False):
    rng = random.Random(seed)
    languages = ESPEAK_TEST_LANGUAGES if test else ESPEAK_LANGUAGES
    while True:
        language = rng.choice(list(languages))
        code = languages[language]
        text = rng.choice(texts.sentences(code, True)) if test else texts.sentence(code, rng)
        variant = rng.choice(ESPEAK_TEST_VARIANTS if test else ESPEAK_VARIANTS)
        voice = f"{language}+{variant}" if variant else language
        said = espeak().say(text, voice, rng.randint(130, 215), rng.randint(20, 80), rng.randint(30, 80))
        if said:
            return said


# ---- flite and festival -------------------------------------------------------------------------------------------


def _read_wave(path):
    with wave.open(str(path)) as w:
        return resample(np.frombuffer(w.readframes(w.getnframes()), np.int16)[:: w.getnchannels()], w.getframerate())


def flite_utterance(voice, text):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.wav")
        result = subprocess.run(
            ["flite", "-voice", voice, "-psdur", "-t", text, "-o", path], capture_output=True, text=True, check=True
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


def festival_utterances(voice, lines):
    phone_set, language, encoding = FESTIVAL[voice]
    out = []
    with tempfile.TemporaryDirectory() as folder:
        script = [f"(voice_{voice})"]
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


def natural_utterances(name, count, seed, test=False):
    program, _, voice = name.partition(":")
    language = "en" if program == "flite" else FESTIVAL[voice][1]
    rng = random.Random(seed)
    lines = texts.sentences(language, True)[:count] if test else [texts.sentence(language, rng) for _ in range(count)]
    if program == "festival":
        return festival_utterances(voice, lines)
    return [u for u in (flite_utterance(voice, line) for line in lines) if u]
