"""How a text ends: is it open, so that more must follow ("I would like to", "because", "um")? No I/O.

Speech to text writes a full stop behind whatever it hears, so the last word counts and not the stop; a question mark, a
comma, a dash or an ellipsis is meant.
"""

from __future__ import annotations

import re

from ..languages import names

OPEN: dict[str, str] = {
    "de": "der die den dem des eine einen einem einer mein meine dein deine unser ihre und oder aber weil dass "
    "ob wenn sondern obwohl sowie von zum zur vom beim im am ins für gegen äh ähm hm ehm also",
    "en": "a an the my your our their its every and or but because cause if unless although whereas than of to "
    "from with for into onto via i'm i'd i'll i've we're we'd we'll you're they're it's that's there's "
    "let's very um uh er erm hmm gonna wanna",
    "es": "el la los las un una unos unas mi tu su y e o u pero porque que si aunque sino de del al a en con "
    "por desde hasta muy eh em",
    "fr": "le la les un une des du mon ma mes ton ta tes notre votre leur et ou mais parce car que de à au aux "
    "en pour par dans chez sur très je euh heu",
    "it": "il lo la gli le un una e o ma se che di a da in con per tra fra del della dello al alla nel nella ehm eh",
    "nl": "de een mijn jouw uw onze en of want omdat als met heel eh ehm uh",
    "pt": "o a os as um uma e ou mas porque que se de do da dos das ao à em no na com por pelo pela eh hum",
}
"""Of each language (ISO 639), words after which a sentence goes on: articles, conjunctions, prepositions, fillers. None
that often ends one: a verb's second half ("mach das Licht aus"), a pronoun ("ik weet het", "è mio"), a preposition that
may stand alone ("mit oder ohne", "tu viens avec", "daar hou ik van"), "para", which is "stop" as well, "so do I"."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
"""With what hangs on it: "prends-le" ends a sentence."""


def is_open(text: str, language: str) -> bool:
    """Whether more must follow a text, as far as its end tells: in languages without a list, by its marks only."""
    text = text.strip()
    if not text or text.endswith(("?", "!", "？", "！")):
        return False
    if re.search(r"(?:\.{2,}|…|[,;:、，–—-])$", text):
        return True
    words = _WORD.findall(text.lower().replace("’", "'"))
    return bool(words) and any(words[-1] in OPEN.get(name, "").split() for name in names(language))
