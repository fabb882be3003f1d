"""Phones to the model's classes.

A phone maps to a list of (class, share of its time); None is transparent (h, glottal stop: the mouth already has the
next phone's shape). Classes are phone-like; the part of their name before the dot is the viseme they sum to.
"""

import unicodedata

import numpy as np

VISEMES = ["sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U"]
CLASSES = [
    "sil", "PP.p", "PP.b", "PP.m", "FF.f", "FF.v", "TH", "DD.t", "DD.d", "kk.k", "kk.g", "CH.c", "CH.s", "SS.s", "SS.z",
    "nn.n", "nn.g", "nn.l", "RR", "aa", "E", "I", "I.j", "O", "U", "U.w", "aa.ae", "E.ax",
]  # fmt: skip
TO_VISEME = np.array([VISEMES.index(c.split(".")[0]) for c in CLASSES])
# Mouth groups as Rhubarb draws them: idle, closed, narrow, mid, wide, round, lip-teeth.
GROUP_OF = np.array([dict(sil=0, PP=1, E=3, aa=4, O=5, U=5, FF=6).get(v, 2) for v in VISEMES])

_IPA = {}
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
_VOWELS = set("uʊʉyʏiɪɨɯᵻoɔɒøœɵɞaɑæɐʌɶeɛəɜɚɝɘɤ")


def ipa(phone):
    """espeak-ng's IPA name of a phoneme."""
    if phone in ("", "_", "_:", "_!"):
        return [("sil", 1.0)]
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


def _table(spec):
    """`phones = class` or `phones = class*share class*share`, entries split by `;`."""
    table = {}
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
g gg=kk.g; ch=CH.c; sh sch zh=CH.s; s ss c=SS.s; z zz=SS.z; n nn=nn.n; l ll=nn.l; r rr=RR; aa a ae ay=aa; ee e=E;
ii i yy y=I; j=I.j; oo o=O; uu u ur=U; pau=sil""")
_SETS = {"cmu": _CMU, "fi": _FINNISH, "ca": _CATALAN, "ru": _RUSSIAN}


def classes_of(phone_set, phone):
    return ipa(phone) if phone_set == "ipa" else _SETS[phone_set].get(phone)


def frames(phones, phone_set, count):
    """phones: [(start, end, name)] in seconds -> class of each 10 ms row at its centre; sil outside."""
    out = np.zeros(count, np.int64)
    for i, (start, end, phone) in enumerate(phones):
        parts = classes_of(phone_set, phone)
        if parts is None:
            following = (classes_of(phone_set, p) for _, _, p in phones[i + 1 : i + 3])
            parts = [(next((f[0][0] for f in following if f), "sil"), 1.0)]
        for name, share in parts:
            stop = start + (end - start) * share if len(parts) > 1 else end
            rows = [max(0, int(np.ceil((t - 0.005) * 100))) for t in (start, stop)]
            out[rows[0] : rows[1]] = CLASSES.index(name)
            start = stop
    return out
