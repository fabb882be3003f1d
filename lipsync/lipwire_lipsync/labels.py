"""Phones to mouth classes: the one table that training, the benchmark and the labelled sets share.

Three layers, each the sum of the one above:

- 28 `CLASSES`, phone-like: what the model is trained on. The name before the dot is the viseme.
- 15 `VISEMES` of OVR: sil PP (p b m) FF (f v) TH (th dh) DD (t d) kk (k g x) CH (ch j sh zh) SS (s z) nn (n ng l)
  RR (r) aa E I O U.
- 7 `GROUPS`, the mouths that cartoons draw (Rhubarb's letters): X idle (sil), A closed (PP), B narrow (TH DD kk CH SS
  nn RR I), C mid open (E), D wide open (aa), F round (O U), G lip on teeth (FF).

A phone maps to a list of (class, share of its time): diphthongs are split. None is transparent (h, glottal stop: the
mouth already has the next phone's shape).

Phone sets: `ipa` (any language, as espeak-ng names phones), `cmu` (ARPAbet: flite, festival's English, pocketsphinx),
`fi` `ca` `ru` `it` `cs` (festival's Finnish, Catalan, Russian, Italian and Czech voices), `class` (the classes).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Phone = tuple[float, float, str]
"""(start, end, name), in seconds."""
Parts = list[tuple[str, float]]
"""[(class, share of the phone's time)]"""

HOP = 0.01
"""Seconds a row. A row has the class that is spoken at its centre."""

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")
CLASSES = (
    "sil", "PP.p", "PP.b", "PP.m", "FF.f", "FF.v", "TH", "DD.t", "DD.d", "kk.k", "kk.g", "CH.c", "CH.s", "SS.s", "SS.z",
    "nn.n", "nn.g", "nn.l", "RR", "aa", "E", "I", "I.j", "O", "U", "U.w", "aa.ae", "E.ax",
)  # fmt: skip
GROUPS = ("X", "A", "B", "C", "D", "F", "G")
_GROUP = {"sil": "X", "PP": "A", "E": "C", "aa": "D", "O": "F", "U": "F", "FF": "G"}
TO_VISEME = np.array([VISEMES.index(c.split(".")[0]) for c in CLASSES])
"""Class index -> viseme index."""
GROUP_OF = np.array([GROUPS.index(_GROUP.get(v, "B")) for v in VISEMES])
"""Viseme index -> group index."""

_IPA: dict[str, str] = {}
for _symbols, _class in (
    ("p", "PP.p"), ("b ʙ β ɓ ɸ", "PP.b"), ("m", "PP.m"), ("f", "FF.f"), ("v ʋ ɱ", "FF.v"), ("θ ð", "TH"),
    ("t ʈ", "DD.t"), ("d ɖ ɗ", "DD.d"), ("k x q c χ ħ", "kk.k"), ("ɡ g ɣ ɢ ɟ ɠ ʛ ʕ", "kk.g"),
    ("ʃ ʒ ɕ ʑ ç ʂ ʐ ʝ", "CH.s"), ("s", "SS.s"), ("z", "SS.z"), ("n ɲ ɳ ɴ", "nn.n"), ("ŋ", "nn.g"),
    ("l ɫ ʎ ɭ ɬ ɮ", "nn.l"), ("r ɹ ɾ ʀ ʁ ɻ ɽ", "RR"), ("w ɥ ʍ", "U.w"), ("u ʊ ʉ y ʏ", "U"), ("j", "I.j"),
    ("i ɪ ɨ ɯ ᵻ", "I"), ("o ɔ ɒ ø œ ɵ ɞ", "O"), ("a ɑ ɐ ʌ ɶ", "aa"), ("æ", "aa.ae"), ("e ɛ ɜ ɚ ɝ ɘ ɤ", "E"),
    ("ə", "E.ax"),
):  # fmt: skip
    for _symbol in _symbols.split():
        _IPA[_symbol] = _class
PAUSES = ("", "_", "_:", "_!")
"""What every phone set calls silence, beside its own names for it."""
_VOWELS = set("uʊʉyʏiɪɨɯᵻoɔɒøœɵɞaɑæɐʌɶeɛəɜɚɝɘɤ")


def ipa(phone: str) -> Parts | None:
    """espeak-ng's IPA name of a phoneme."""
    text = unicodedata.normalize("NFD", phone.replace("ç", "ʝ"))
    text = "".join(c for c in text if c in _IPA)
    if not text:
        return None
    if text[0] in "tdʈɖ" and len(text) > 1 and text[1] in "ʃʒɕʑʂʐʝ":
        return [("CH.c", 1.0)]
    if text[0] in "td" and len(text) > 1 and text[1] in "sz":
        return [("SS.s" if text[1] == "s" else "SS.z", 1.0)]
    if text[:2] == "pf":
        return [("PP.p", 0.5), ("FF.f", 0.5)]
    first = _IPA[text[0]]
    if text[0] not in _VOWELS or len(text) == 1:
        return [(first, 1.0)]
    vowels = [_IPA[c] for c in text if c in _VOWELS][:2]
    rhotic = text[-1] == "ɹ"
    if len(vowels) == 2 and rhotic:
        return [(vowels[0], 0.45), (vowels[1], 0.3), ("RR", 0.25)]
    if len(vowels) == 2:
        return [(vowels[0], 0.6), (vowels[1], 0.4)]
    return [(first, 0.55), ("RR", 0.45)] if rhotic else [(first, 1.0)]


def _table(spec: str) -> dict[str, Parts | None]:
    """`phones = class` or `phones = class*share class*share`, entries split by `;`."""
    table: dict[str, Parts | None] = {}
    for entry in spec.replace("\n", " ").split(";"):
        phones, _, classes = entry.partition("=")
        parts = [c.partition("*") for c in classes.split()]
        value = [(c, float(share or 1)) for c, _, share in parts] if classes.strip() != "-" else None
        for phone in phones.split():
            table[phone] = value
    return table


_CMU = _table("""p=PP.p; b=PP.b; m em=PP.m; f=FF.f; v=FF.v; th dh=TH; t dx=DD.t; d=DD.d; k=kk.k; g=kk.g; ch jh=CH.c;
sh zh=CH.s; s=SS.s; z=SS.z; n en nx=nn.n; ng=nn.g; l el=nn.l; r axr=RR; aa ah ao1=aa; ae=aa.ae; eh=E; ax=E.ax;
er=E*.5 RR*.5; ih iy=I; y=I.j; ao=O; ow=O*.6 U*.4; uh uw=U; w=U.w; ey=E*.6 I*.4; ay=aa*.6 I*.4; aw=aa*.6 U*.4;
oy=O*.6 I*.4; hh hv=-; pau h# brth sil ssil=sil""")
_FINNISH = _table("""p=PP.p; b=PP.b; m=PP.m; f=FF.f; v=FF.v; t=DD.t; d=DD.d; k=kk.k; g=kk.g; S Z=CH.s; s=SS.s; z=SS.z;
n=nn.n; N=nn.g; l L=nn.l; r=RR; T D=TH; a=aa; &=aa.ae; e=E; @=E.ax; i=I; j=I.j; o 7=O; u y=U; w=U.w; h=-; # ##=sil""")
_FINNISH |= {f"{p}:": c for p, c in _FINNISH.items()}
_CATALAN = _table("""p=PP.p; b=PP.b; m=PP.m; f=FF.f; t=DD.t; d=DD.d; k=kk.k; g=kk.g; S Z=CH.s; s=SS.s; z=SS.z; n J=nn.n;
l L=nn.l; r rr=RR; a a1=aa; ax=E.ax; e e1 E E1=E; i i1=I; j=I.j; o o1 O O1=O; u u1=U; w=U.w; pau _ #=sil""")
_RUSSIAN = _table("""p pp=PP.p; b bb=PP.b; m mm=PP.m; f ff=FF.f; v vv=FF.v; t tt=DD.t; d dd=DD.d; k kk h hh=kk.k;
g gg=kk.g; ch=CH.c; sh sch zh=CH.s; s ss c=SS.s; z zz=SS.z; n nn=nn.n; l ll=nn.l; r rr=RR; aa a=aa; ee e=E;
ay=E.ax; ae ii i yy y=I; j=I.j; oo o=O; uu u ur=U; pau=sil""")
_ITALIAN = _table("""p=PP.p; b=PP.b; m=PP.m; f nf=FF.f; v=FF.v; t=DD.t; d=DD.d; k=kk.k; g=kk.g; tS dZ=CH.c; S Z=CH.s;
s ts=SS.s; z dz=SS.z; n J=nn.n; ng=nn.g; l L=nn.l; r=RR; a a1=aa; e E e1 E1=E; i i1=I; j=I.j; o O o1 O1=O; u u1=U;
w=U.w; #=sil""")
_CZECH = _table("""p=PP.p; b=PP.b; m=PP.m; f=FF.f; v=FF.v; t t~=DD.t; d d~=DD.d; k ch=kk.k; g=kk.g; c~ dz~=CH.c;
s~ z~=CH.s; s c=SS.s; z dz=SS.z; n n~=nn.n; n*=nn.g; l=nn.l; r r~ r~*=RR; a a:=aa; e e:=E; i i:=I; j=I.j; o o:=O;
u u:=U; h=-; # _=sil""")
_CLASS: dict[str, Parts | None] = {name: [(name, 1.0)] for name in CLASSES}
_SETS = {"class": _CLASS, "cmu": _CMU, "fi": _FINNISH, "ca": _CATALAN, "ru": _RUSSIAN, "it": _ITALIAN, "cs": _CZECH}
PHONE_SETS = ("ipa", *_SETS)


def classes_of(phone_set: str, phone: str) -> Parts | None:
    """The phone's classes. None is transparent; so is a name that the set does not have, see `known`."""
    if phone in PAUSES:
        return [("sil", 1.0)]
    return ipa(phone) if phone_set == "ipa" else _SETS[phone_set].get(phone)


def known(phone_set: str, phone: str) -> bool:
    """False for a name that the set does not have (`ipa` has every name)."""
    return phone_set == "ipa" or phone in PAUSES or phone in _SETS[phone_set]


def frames(phones: Sequence[Phone], phone_set: str, count: int) -> npt.NDArray[np.int64]:
    """The class index of each of `count` rows of 10 ms at its centre; sil outside the phones."""
    out = np.zeros(count, np.int64)
    for i, (start, end, phone) in enumerate(phones):
        parts = classes_of(phone_set, phone)
        if parts is None:
            following = (classes_of(phone_set, p) for _, _, p in phones[i + 1 : i + 3])
            parts = [(next((f[0][0] for f in following if f), "sil"), 1.0)]
        begin = start
        for name, share in parts:
            stop = begin + (end - start) * share if len(parts) > 1 else end
            first, last = (max(0, int(np.ceil((t - HOP / 2) / HOP - 1e-9))) for t in (begin, stop))
            out[first:last] = CLASSES.index(name)
            begin = stop
    return out


def visemes(phones: Sequence[Phone], phone_set: str, count: int) -> npt.NDArray[np.int64]:
    """The viseme index of each of `count` rows."""
    return np.asarray(TO_VISEME[frames(phones, phone_set, count)], np.int64)
