"""What the process of models is told and answers, over process.link.

A job is one piece of an engine's work: an utterance that is heard, a text that is spoken, a turn that is judged. `Open`
begins it with a request, `More` brings what follows, and it ends with an answer of `LAST`, with `Failed`, or with
`Drop`, after which nothing comes. Sound that is heard is PCM16 mono at 16 kHz. Numbers of jobs are the host's.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

EngineName = Literal["ears", "voice", "turn"]

Word = tuple[str, float, float]
"""(word as it stands in the text, start, end) in seconds from the beginning of the sound."""


# ----------------------------------------------------------------------------------------------------------- any engine


class Warm(Struct, frozen=True, tag=True):
    """Loads a model and runs it once, so that the first job is not slow. `Warmed` is the answer."""

    what: str = ""
    """The model or the voice, as the engine's requests name it; "" = its default."""


class Warmed(Struct, frozen=True, tag=True):
    """It is loaded."""


# ----------------------------------------------------------------------------------------------------------------- ears


class Listen(Struct, frozen=True, tag=True):
    """An utterance begins: `Sound16` and `Finish` follow. `Partial` may be answered, and `Heard` at the end."""

    language: str
    """BCP 47."""
    words: bool = False
    """Times of the words are wanted."""
    model: str = ""
    """A model's name in the table, or a folder; "" = the default of the language."""
    partials: bool = True
    """What was heard so far is wanted meanwhile."""
    expected: tuple[str, ...] = ()
    """Words that may be said: names, say."""


class Sound16(Struct, frozen=True, tag=True):
    """More of the utterance."""

    pcm: bytes


class Finish(Struct, frozen=True, tag=True):
    """The utterance is over."""


class Partial(Struct, frozen=True, tag=True):
    """The text so far, which may change."""

    text: str


class Heard(Struct, frozen=True, tag=True):
    """The utterance's text; empty where nobody spoke."""

    text: str
    words: tuple[Word, ...] = ()
    no_speech: float = 0.0
    """How likely nobody spoke, 0 to 1."""
    language: str = ""
    """That was heard, as the model calls it."""


# ---------------------------------------------------------------------------------------------------------------- voice


class Speak(Struct, frozen=True, tag=True):
    """A text to say: `Spoken` is answered as it is made, and `Said` at the end."""

    voice: str
    """engine:voice, as catalogues of voices have it."""
    text: str


class Spoken(Struct, frozen=True, tag=True):
    """Some of the sound: PCM16 mono at `rate` Hz, whole samples. `words` are those of the whole text, and `whole` says
    that this is all of its sound."""

    pcm: bytes
    rate: int
    words: tuple[Word, ...] = ()
    whole: bool = False


class Said(Struct, frozen=True, tag=True):
    """All of the text has been said."""


# ----------------------------------------------------------------------------------------------------------------- turn


class Judge(Struct, frozen=True, tag=True):
    """Whether a turn that went silent is over: its last seconds of sound, 8 at most. `Probability` is the answer."""

    pcm: bytes


class Probability(Struct, frozen=True, tag=True):
    """That it is over, 0 to 1."""

    value: float


# ------------------------------------------------------------------------------------------------------------- the link

Request = Warm | Listen | Speak | Judge
Message = Sound16 | Finish
Answer = Warmed | Partial | Heard | Spoken | Said | Probability
LAST = (Warmed, Heard, Said, Probability)
"""The answers that end a job."""


class Open(Struct, frozen=True, tag=True):
    """A job begins."""

    engine: str
    job: int
    request: Request


class More(Struct, frozen=True, tag=True):
    engine: str
    job: int
    message: Message


class Drop(Struct, frozen=True, tag=True):
    """Nobody wants the job any more."""

    engine: str
    job: int


Told = Open | More | Drop
"""To the process."""


class Ready(Struct, frozen=True, tag=True):
    """Once, at first."""


class Answered(Struct, frozen=True, tag=True):
    job: int
    answer: Answer


class Failed(Struct, frozen=True, tag=True):
    """The job ended without its last answer."""

    job: int
    reason: str


class Loading(Struct, frozen=True, tag=True):
    """An engine loads a model, which takes a while."""

    engine: str
    what: str


class Loaded(Struct, frozen=True, tag=True):
    """It has, or failed to."""

    engine: str
    what: str
    seconds: float
    memory: int
    """Bytes that the process has in memory now."""


Tells = Ready | Answered | Failed | Loading | Loaded
"""From the process."""


class Settings(Struct, frozen=True):
    """How the process is run: the argument of the worker's program."""

    engines: dict[str, str]
    """Name -> the module with its `Engine`."""
    memory: int
    """Bytes in memory, above which the process ends."""
    stuck: float
    """Seconds that an engine may take for one step."""
    nice: int
    """How much it gives way to others, 0 to 19."""
