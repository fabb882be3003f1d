"""What is said of a text: its words, its numbers and the signs that mean something; not the marks that only lay it out.

Markdown, HTML, SSML, LaTeX, a model's control tokens, footnotes' numbers, arrows and emoji are no speech: of what they
mark only the words stay. Signs stay signs: text to speech reads them in its language. No I/O.
"""

from __future__ import annotations

import html
import unicodedata
from functools import lru_cache
from typing import Any, TypeAlias

import regex

Match: TypeAlias = Any
"""Of `regex`, which has no types."""

# -------------------------------------------------------------------------------------------------------- what is kept


class _Kept:
    """Parts of a text that no later rule may touch, each in the place of one private character."""

    FIRST = 0xE000
    MOST = 6400

    def __init__(self) -> None:
        self._parts: list[str] = []

    def __call__(self, part: str) -> str:
        if len(self._parts) == self.MOST:
            return part
        self._parts.append(part)
        return chr(self.FIRST + len(self._parts) - 1)

    def restored(self, text: str) -> str:
        """With the parts in their places; one may lie in another."""
        return str(_PRIVATE.sub(lambda match: self.restored(self._parts[ord(match[0]) - self.FIRST]), text))


_PRIVATE = regex.compile(r"[\uE000-\uF8FF]")
_CITED = regex.compile(r"\uE200.*?(?:\uE201|$)|【\d+[^】]*†[^】]*】", regex.DOTALL)
"""Citations as OpenAI's services write them into a text."""
_UNSEEN = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u00AD\u200B\u2060-\u206F\uFEFF--\n]", regex.VERSION1)
"""Control characters, halves of characters, and what takes no room; the joiners of Indic and Arabic script stay."""


def _clean(text: str) -> str:
    text = _CITED.sub("", text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n"))
    return str(_UNSEEN.sub(lambda match: " " if match[0] in "\t\0\v\f\r" else "", text))


# ----------------------------------------------------------------------------------------------------- code, addresses

_CODE = regex.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", regex.DOTALL)
_ADDRESS = regex.compile(r"(?:https?://|ftp://|mailto:|www\.)[^\s<>\"`]*[^\s<>\"`.,;:!?)\]}*_~'。，）」】]")
_AUTOLINK = regex.compile(r"<((?:[a-z][a-z0-9+.-]+:|[\w.+-]+@)[^\s<>]+)>", regex.IGNORECASE)
_ESCAPE = regex.compile(r"\\([!-/:-@\[-`{-~])")

# --------------------------------------------------------------------------------------------------------- tags, tokens

_HTML = (
    "a abbr address article aside audio b base bdi bdo big blockquote body br button canvas caption center cite code "
    "col colgroup dd del details dfn dialog div dl dt em embed fieldset figcaption figure font footer form h1 h2 h3 h4 "
    "h5 h6 head header hr html i iframe img input ins kbd label legend li link main map mark menu meta meter nav "
    "noscript object ol optgroup option output p param picture pre progress q rp rt ruby s samp script section select "
    "small source span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time "
    "title tr track tt u ul var video wbr"
)
_SSML = "speak break say-as phoneme prosody emphasis voice lang mark audio sub p s w token lexicon lookup desc par seq"
_TOKENS = (
    "bos eos pad unk sep cls mask eot start_of_turn end_of_turn start_of_text end_of_text begin_of_text endoftext "
    "start_header_id end_header_id think answer response output"
)
_WITHIN_WORDS = "a abbr b bdi bdo big cite code del dfn em font i ins kbd mark q s samp small span strong"
_NAMES = frozenset(f"{_HTML} {_SSML} {_TOKENS}".split())
_INLINE = frozenset(_WITHIN_WORDS.split())
_ATTRIBUTE = r"""(?:\s+[\w:.-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))?)"""
_TAG = regex.compile(rf"<(/?)([a-zA-Z][\w:.-]*)({_ATTRIBUTE}*)\s*(/?)>")
_ALIAS = regex.compile(
    r"""<sub\s+alias\s*=\s*(?:"([^"]*)"|'([^']*)')\s*>.*?</sub\s*>""", regex.IGNORECASE | regex.DOTALL
)
_COMMENT = regex.compile(r"<!--.*?(?:-->|$)|<!DOCTYPE[^>]*>|<\?.*?\?>", regex.IGNORECASE | regex.DOTALL)
_CONTROL = regex.compile(r"<[|｜][^<>|｜]*[|｜]>|</?s>|<<\s*/?SYS\s*>>|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS)\]")
_ENTITY = regex.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


def _tag(match: Match) -> str:
    """What is said of a tag: nothing; of a word in angle brackets that is none, the word; of "x <y and z> w" all."""
    name = match[2].lower()
    if match[3] and "=" not in match[3] and (name not in _NAMES or len(name) == 1):
        return str(match[0])
    if name in _NAMES or ":" in name or match[1] or match[3] or match[4]:
        return "" if name in _INLINE else " "
    return str(match[2])


def _without_tags(text: str, keep: _Kept) -> str:
    if "<" in text or "[" in text:
        text = _COMMENT.sub(" ", text)
        text = _CONTROL.sub(" ", text)
        text = _ALIAS.sub(lambda match: match[1] or match[2] or "", text)
        text = _TAG.sub(_tag, text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: keep(_seen(html.unescape(match[0]))), text)
    return text


def _seen(text: str) -> str:
    return _clean(text.replace("\xa0", " "))


# --------------------------------------------------------------------------------------------------------------- LaTeX

_SIGNS = {
    **{"times": "×", "cdot": "·", "div": "÷", "pm": "±", "mp": "∓", "ast": "*", "star": "*", "neq": "≠", "ne": "≠"},
    **{"leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "ll": "≪", "gg": "≫", "approx": "≈", "sim": "~", "equiv": "≡"},
    **{"infty": "∞", "sum": "∑", "prod": "∏", "int": "∫", "partial": "∂", "nabla": "∇", "in": "∈", "notin": "∉"},
    **{"subset": "⊂", "cup": "∪", "cap": "∩", "forall": "∀", "exists": "∃", "emptyset": "∅", "angle": "∠"},
    **{"degree": "°", "circ": "°", "percent": "%", "ldots": "...", "cdots": "...", "dots": "...", "prime": "′"},
    **{"to": " ", "rightarrow": " ", "leftarrow": " ", "Rightarrow": " ", "implies": " ", "iff": " ", "mapsto": " "},
    **{"quad": " ", "qquad": " ", "left": "", "right": "", "big": "", "Big": "", "displaystyle": "", "limits": ""},
}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_LETTERS = {
    **{n: unicodedata.lookup(f"GREEK SMALL LETTER {n.upper()}") for n in _GREEK.split()},
    **{n.capitalize(): unicodedata.lookup(f"GREEK CAPITAL LETTER {n.upper()}") for n in _GREEK.split()},
}
_COMMANDS = {**_SIGNS, **_LETTERS, "lambda": "λ", "Lambda": "Λ", "varepsilon": "ε", "varphi": "φ", "vartheta": "θ"}
_GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
_FRACTION = regex.compile(rf"\\[dtc]?frac\s*(?:{_GROUP}|(\d))\s*(?:{_GROUP}|(\d))")
_ROOT = regex.compile(rf"\\sqrt\s*(?:\[(\d)\])?\s*{_GROUP}")
_STYLE = (
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mathsf|mathbb|mathcal|operatorname|boxed|overline|underline|vec|hat"
    rf"|bar|tilde|emph|label|tag|begin|end)\*?\s*{_GROUP}"
)
_STYLED = regex.compile(_STYLE)
_COMMAND = regex.compile(r"\\([a-zA-Z]+)(?![a-zA-Z])")
_SPACING = regex.compile(r"\\[,;:!> ]|(?<!\\)[&{}]|\\\\")
_RAISED = {"2": "²", "3": "³", "°": "°", "′": "′"}
_ROOTS = {None: "√", "2": "√", "3": "∛", "4": "∜"}
_MATH = regex.compile(
    r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<![\\$\w])\$(?=[^\s$])([^$\n]{1,200}?)(?<=[^\s\\])\$(?![\d$])",
    regex.DOTALL,
)
_LOOKS_MATH = regex.compile(r"[\\^_={}]|^-?\p{L}['′]?$|^[\p{L}\d\s+\-*/(),.<>≤≥×·]*\p{L}[\p{L}\d\s+\-*/(),.<>≤≥×·]*$")
_BARE = regex.compile(
    rf"\\(?:[dtc]?frac\s*(?:{_GROUP}|\d)\s*(?:{_GROUP}|\d)|sqrt\s*(?:\[\d\])?\s*{_GROUP}"
    rf"|(?:{'|'.join(name for name in _COMMANDS if len(name) > 1)})(?![a-zA-Z]))|{_STYLE}"
)
"""A command of LaTeX in a text without the marks of mathematics."""


def _group(text: str) -> str:
    """An operand: in brackets where it is more than a number or a name."""
    text = text.strip()
    return text if regex.fullmatch(r"[\w.²³√π]*", text) else f"({text})"


def _math(text: str) -> str:
    """A formula in Unicode's signs."""
    for _ in range(4):  # what lies in one another
        before = text
        text = _STYLED.sub(lambda match: "" if match[0].startswith(("\\begin", "\\end", "\\label")) else match[1], text)
        text = _FRACTION.sub(lambda m: f"{_group(m[1] or m[2] or '')}/{_group(m[3] or m[4] or '')}", text)
        text = _ROOT.sub(lambda match: f"{_ROOTS.get(match[1], '√')}{_group(match[2])}", text)
        if text == before:
            break
    text = _COMMAND.sub(lambda match: _COMMANDS.get(match[1], f" {match[1]} "), text)
    text = regex.sub(r"\^\s*(?:\{([^{}]*)\}|(\S))", lambda m: _raised(m[1] or m[2] or ""), text)
    text = regex.sub(r"_\s*(?:\{([^{}]*)\}|(\S))", lambda m: f" {m[1] or m[2] or ''} ", text)
    text = regex.sub(r"\\([%$#&_{}|])", r"\1", _SPACING.sub(" ", text))
    return str(regex.sub(r"\s+(?=[,.;:)])", "", " ".join(text.split())))


def _raised(text: str) -> str:
    text = text.strip()
    return _RAISED.get(text) or f"^{_group(text)}"


def _without_math(text: str, keep: _Kept) -> str:
    def formula(match: Match) -> str:
        inside = match[1] or match[2] or match[3]
        if inside is None and not _LOOKS_MATH.search(match[4]):
            return str(match[0])
        return keep(_math(inside or match[4]))

    if "$" in text or "\\" in text:
        text = _MATH.sub(formula, text)
        text = regex.sub(r"^\s*\$\$\s*$", "", text, flags=regex.MULTILINE)
        text = _BARE.sub(lambda match: keep(_math(match[0])), text)
    return text


# ------------------------------------------------------------------------------------------------------------ Markdown

_LABEL = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
_TARGET = r"\((?:[^()\s]|\([^()\s]*\))*(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
_LINK = regex.compile(rf"!?{_LABEL}(?:{_TARGET}|\(<[^<>]*>[^()]*\)|(?<=\p{{L}}[^\[\]]*\])\[[^\[\]]*\])")
_NOTE = r"\[(?!0\])\d{1,3}(?:\s*[,–-]\s*\d{1,3})*\]"
_FOOTNOTE = regex.compile(
    rf"(?<=\S)\s?\[\^[\w-]+\]|(?<=[\p{{L}}\p{{P}}\p{{N}}])(?:{_NOTE})+|(?<=\w)\s(?:{_NOTE})+(?=\s*(?:[.,;:!?。，]|$))"
)
"""The numbers of notes: behind a word, or before the end of a sentence; but "press [1] now" and "a[0]"."""
_FENCE = regex.compile(r"\s*(?:`{3,}|~{3,})\s*[\w+#.-]*\s*")
_RULE = regex.compile(r"\s*(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,}|={3,}|~{3,})\s*")
_COLUMNS = regex.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?)?\s*")
_ROW = regex.compile(r"\s*\|(.*)\|\s*")
_DEFINITION = regex.compile(r"\s*\[(?!\^)[^\]]+\]:\s+(?:<[^>]*>|\S*[/.#]\S*)(?:\s+[\"'(].*)?\s*")
_BLOCK = regex.compile(
    r"(?:\s*>(?:\s|$))*\s*(?:#{1,6}\s+|#{2,6}(?=\S)|[-+*•◦▪▫‣⁃●○■□·–—]\s+(?:\[[ xX]\]\s+)?|\[\^[\w-]+\]:\s*|"
    r"\[!\w+\]\s*)*"
)
_HEADING_END = regex.compile(r"(?<=\s)#+\s*$")
_OPERAND = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}()\[\]\uE000-\uF8FF]")
_RUN = regex.compile(r"\*+|_+|~+")
_APPROXIMATE = regex.compile(r"[\p{L}\p{N}\p{Sc}\uE000-\uF8FF/.+−±-]|(?<=\s~)\s+[\p{Sc}+−±-]?\p{N}")
"""What a ~ that means something stands before: "~5", "$5~$10", "~-3", "$5 ~ $10", "~/bin"."""
_SHORTCODE = regex.compile(r"(?<![\w:]):[a-z][a-z0-9_+-]+:(?![\w:])")
_ARROW = regex.compile(
    r"\s*(?:<?[-=]{1,3}>|<[-=]{2,3}(?![>\w])|(?<=\s)<-(?=\s)|"
    r"[\u2190-\u21FF\u2794\u2798-\u27AF\u27B1-\u27BE\u27F0-\u27FF\u2900-\u297F\u2B00-\u2B11\u2B30-\u2B4C]\uFE0F?)+\s*"
)


def _line(line: str) -> str:
    """One line without what makes it a heading, a list's item, a quotation or a row."""
    if _RULE.fullmatch(line) or _COLUMNS.fullmatch(line):
        return ""
    if row := _ROW.fullmatch(line):
        cells = (cell.strip() for cell in regex.split(r"(?<!\\)\|", row[1]))
        line = ", ".join(cell for cell in cells if cell)
    begun = _BLOCK.match(line)
    if begun is not None and begun.end():
        line = line[begun.end() :]
        if "#" in begun[0]:
            line = _HEADING_END.sub("", line)
    return line


def _marks(match: Match) -> str:
    """A run of *, _ or ~: the sign where it means something, else nothing."""
    run, text = match[0], match.string
    before, after = text[: match.start()][-1:], text[match.end() :][:1]
    inside = bool(before and after and _OPERAND.match(before) and _OPERAND.match(after))
    if run[0] == "~":
        return run if len(run) == 1 and _APPROXIMATE.match(text, match.end()) else ""
    if run[0] == "_":
        return run if before.isalnum() and after.isalnum() else ""
    if len(run) == 2:  # a power
        power = inside and after.isnumeric() and (before.isnumeric() or text.count(run) == 1)
        return run if power else ""
    if len(run) > 2:
        return ""
    alone = before.isspace() and text[: match.start()].strip() and (not after or after.isspace() or after in ".,;:!?")
    return run if inside or alone else ""


def _inline(text: str) -> str:
    """Without the marks within a line."""
    text = _FOOTNOTE.sub("", text)
    text = _RUN.sub(_marks, text)
    text = _SHORTCODE.sub("", text)
    text = _ARROW.sub(_arrow, text)
    text = regex.sub(r"#{2,}|`+", "", text)
    return regex.sub(r"\s*(?<!\|)\|(?!\|)\s*", ", ", text).strip(" ,") if "|" in text else text


def _arrow(match: Match) -> str:
    """A pause between two words."""
    before, after = match.string[: match.start()].rstrip(), match.string[match.end() :].lstrip()
    return ", " if before and after and before[-1] not in ".,;:!?" else " "


# ------------------------------------------------------------------------------------------------------------- pictures

_KEYCAP = regex.compile(r"([0-9#*])\uFE0F?\u20E3")
_EMOJI = regex.compile(
    r"\s*(?:(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|[\U0001F000-\U0001FAFF]|\p{Regional_Indicator})"
    r"[\p{Emoji_Modifier}\uFE0E\uFE0F\U000E0020-\U000E007F]*(?:\u200D\p{Extended_Pictographic}"
    r"[\p{Emoji_Modifier}\uFE0F]*)*)+"
)
_EMOTICON = regex.compile(r"(?<!\S)(?:[:;]['’]?-?[)(DPp/|]|\^[_-]?\^|¯\\_\(ツ\)_/¯)(?=[\s.,!?]|$)")
_PICTURE = regex.compile(r"[\p{So}\u20E3\uFE0E\uFE0F\u2022\u25E6\u2023\u2043]")
_MEANT = frozenset("°©®")


def _emoji(match: Match) -> str:
    """Nothing; a space where words would run together."""
    after = match.string[match.end() : match.end() + 1]
    return "" if not after or after in ".,;:!?。，！？)]}\"'»”’" else " "


def _picture(match: Match) -> str:
    """A symbol that has letters for it (№, ℃, ™) stays; one that is a picture does not."""
    letters = unicodedata.normalize("NFKC", match[0])
    return str(match[0]) if match[0] in _MEANT or any(c.isalnum() for c in letters) else " "


def _without_pictures(text: str) -> str:
    text = _EMOTICON.sub("", text)
    if not text.isascii():
        text = _KEYCAP.sub(r"\1", text)
        text = _EMOJI.sub(_emoji, text)
        text = _PICTURE.sub(_picture, text)
    return text


# ---------------------------------------------------------------------------------------------------------------- whole

_SAYABLE = regex.compile(r"[\p{L}\p{N}\p{Sc}\p{Sm}%‰&@#*°§©®^--[~|]]", regex.VERSION1)
"""What can be heard alone: a letter, a number, a sign that has a name."""
_GAP = regex.compile(r"(?<=\S)\s+(?=[.,!?;:](?:\s|$))")


def speakable(text: str) -> str:
    """What is said of `text`, a piece of a reply, on one line; empty where there is nothing to say."""
    keep = _Kept()
    lines = _clean(text).split("\n")
    text = "\n".join("" if _FENCE.fullmatch(line) or _DEFINITION.fullmatch(line) else line for line in lines)
    text = _CODE.sub(lambda match: keep(match[2].strip()), text)
    for _ in range(3):  # a picture within a link
        text = _LINK.sub(lambda match: match[1], text)
    text = _AUTOLINK.sub(lambda match: keep(match[1].removeprefix("mailto:")), text)
    text = _ADDRESS.sub(lambda match: keep(match[0]), text)
    text = _without_math(text, keep)
    text = _ESCAPE.sub(lambda match: keep(match[1]), text)
    text = _without_tags(text, keep)
    text = " ".join(_inline(_line(line)) for line in text.split("\n"))
    text = _without_pictures(keep.restored(text))
    text = _GAP.sub("", " ".join(text.split()))
    return text if _SAYABLE.search(text) else ""


_SILENT = regex.compile(
    rf"(?<=\])(?:{_TARGET})|</?[a-zA-Z][^<>]*>|<[|][^<>]*[|]>|[*_`#|]{{2,}}|[`|]|\p{{Emoji_Presentation}}[\uFE0F\u200D]*"
)
"""What surely takes no time when a text is said: targets of links, tags, marks of Markdown, emoji."""


@lru_cache(64)
def _silent(text: str) -> tuple[tuple[int, int], ...]:
    """Where that lies. Kept: one asks again and again while a text is said."""
    return tuple(match.span() for match in _SILENT.finditer(text))


def place_of(text: str, share: float) -> int:
    """Where in `text` one is who has said that share of it (0..1)."""
    silent = _silent(text)
    left = share * (len(text) - sum(end - begin for begin, end in silent))
    at = 0
    for begin, end in silent:
        if left < begin - at:
            break
        left -= begin - at
        at = end
    return min(at + int(left), len(text))
