"""How a text ends: is it open, so that more must follow ("I would like to", "because", "um")? No I/O.

Speech to text writes a full stop behind whatever it hears, so the last word counts and not the stop; a question mark, a
comma, a dash or an ellipsis is meant.
"""

from __future__ import annotations

import re

from ..languages import names

OPEN: dict[str, str] = {
    "de": "der die das den dem des ein eine einen einem einer mein meine dein deine unser ihre und oder aber weil "
    "dass ob wenn denn sondern obwohl sowie von zum zur vom beim im am ins für mit ohne gegen durch bei aus "
    "nach sehr äh ähm hm ehm also",
    "en": "a an the my your our their its every and or but because cause if unless although whereas than of to from "
    "with for into onto at by via i i'm i'd i'll i've we're we'd we'll you're they're it's that's there's "
    "let's very um uh er erm hmm gonna wanna",
    "es": "el la los las un una unos unas mi tu su nuestro y e o u pero porque que si aunque sino de del al a en con "
    "sin para por desde hasta muy eh em este",
    "fr": "le la les un une des du mon ma mes ton ta tes notre votre leur et ou mais parce car si quand que de à au "
    "aux en avec sans pour par dans chez sur très je euh heu",
    "it": "il lo la gli le un uno una mio mia tuo tua nostro e o ma perché se che quando di a da in con su per tra "
    "fra del della dello al alla nel nella molto ehm eh",
    "nl": "de het een mijn jouw uw onze en of maar want omdat dat als van naar met zonder voor bij uit op heel eh "
    "ehm uh",
    "pt": "o a os as um uma meu minha seu sua nosso e ou mas porque que se embora de do da dos das ao à em no na com "
    "sem para por pelo pela muito é eh hum",
}
"""Of each language (ISO 639), words after which a sentence goes on: articles, conjunctions, prepositions, fillers."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def is_open(text: str, language: str) -> bool:
    """Whether more must follow a text, as far as its end tells: in languages without a list, by its marks only."""
    text = text.strip()
    if not text or text.endswith(("?", "!", "？", "！")):
        return False
    if re.search(r"(?:\.{2,}|…|[,;:、，–—-])$", text):
        return True
    words = _WORD.findall(text.lower().replace("’", "'"))
    return bool(words) and any(words[-1] in OPEN.get(name, "").split() for name in names(language))
