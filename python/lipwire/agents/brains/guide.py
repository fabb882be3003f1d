"""What an agent says that has no model: a small guide to Lipwire, by a script. No I/O.

A question is compared with those that `TOPICS` lists, word by word, so that a word that a recognizer got wrong does no
harm: how much of the listed question is in what was heard, and how much of what was heard is in it. Words that many
topics have count little. It speaks English, with tags for its face (`face_tags`). Every command, option, page and
setting that it names in `backticks` is there; a test looks.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct

from ..languages import names

ENOUGH = 0.53
"""How like a listed question what was heard has to be, 0..1."""
ALIKE = 0.75
"""How like each other the letters of two words are that are taken for the same, 0..1; words of four letters more so."""
UNKNOWN = 0.9
"""How much a word counts that no topic has, of what the most telling one does."""

MAX_HEARD = 300
"""Characters of what was heard that are looked at: a question is no longer."""

GREETING = (
    "Hello! I am the guide, a small script without a model. "
    "Ask me what Lipwire is, how to use your own face or connect a model, or for a joke."
)
"""In English; see `greeting_in`."""


class Topic(Struct, frozen=True):
    """Something that it can be asked."""

    name: str
    asked: tuple[str, ...]
    """As people ask it."""
    answers: tuple[str, ...]
    """Given in turn; none = it is answered by `Guide` itself."""
    how: str
    """The answer to "how do I do that?" behind it."""


TABLE = """
[hello]
? hello | hi | hi there | hey | hey there | good morning | good evening | good afternoon | how are you
? hello how are you | how are you doing | how is it going
! Hello! Good to hear you. You can ask me what Lipwire is, or how to do something with it.
! Hello again! What would you like to know about Lipwire?
+ Just ask: what is Lipwire, how do I use my own face, how do I connect a model, or tell me a joke.

[lipwire]
? what is lipwire | what does lipwire do | tell me about lipwire | explain lipwire | what is this
? what is this thing for | what is this all about | what can lipwire do
? what does this software do | what does this program do | what is it
! Lipwire gives a voice agent a face. It takes speech, and makes a talking avatar of it, in time with the voice.
+ It sends video to browsers by WebRTC and into Agora channels, writes films, and gives motion to who draws the face.
  Run `lipwire doctor` to see what there is on your machine.

[guide]
? who are you | what are you | what is your name | are you a robot | are you real | are you human | are you a person
? are you an ai | introduce yourself | tell me about yourself | who am i talking to
? am i talking to a machine | am i talking to a robot
! I am the guide: a small script that came with Lipwire. My ears and my voice are real, but I do not think.
+ A real agent has a model behind it. Ask me how to connect a model.

[model]
? are you a language model | are you a model | are you chat gpt | which model are you | what model do you use
? is there a model behind you | do you use gpt | do you understand me | can you think | are you intelligent
? are you artificial intelligence
! No, I am no model. I look for words that I know in what you say, and give an answer that was written before.
+ Start `lipwire agent` with a model: set `OPENAI_API_KEY`, or run Ollama on this machine.

[help]
? help | help me | what can i ask you | what can i say | what can you do | what do you know | what should i ask
? what else can you do | i do not know what to say | what now
! Ask me what Lipwire is, how to install it, use your own face or voice, connect OpenAI, Agora or a local model, embed
  it in a page, or record a film. I also know the time and some jokes.

[hear]
? can you hear me | hey can you hear me | can you here me | do you hear me | are you hearing me
? do you hear what i say
? are you listening
? is my microphone working | does my microphone work | is this thing on | testing one two three | mic test
! Yes, I hear you.
! Loud and clear.
+ Your voice is turned into text on the server, and I look for words that I know.

[see]
? can you see me | do you see me | what do you see | how do i look | is my camera on | can you see my camera
! No, I cannot see you. A model that takes pictures could: the page has a camera button.

[install]
? how do i install it | how do i install this on my computer | how do i install lipwire | how do i set it up
? how do i get started | how can i get lipwire
? how do i run it | what do i need to install | installation | where do i start
! In its source folder, `make demo` sets everything up and starts it. Then `lipwire doctor` says what else there could
  be, and how to get it.
+ It needs Linux, Python and a C compiler. The page `docs/embedding.md` shows how to use it from Python.

[face]
? how do i use my own face | how do i make my own avatar | can i use my own avatar | how do i make an avatar
? can i use my own picture | can i bring my own artwork | how do i create a character | how do i draw my own face
? use my own image | use a picture of myself | use a photo of me
! You draw it as layers, and `lipwire avatar new` begins one for you. `lipwire avatar check` finds its faults. The
  page is `docs/avatars.md`.
+ Run `lipwire avatar new`, put your artwork into its folder, and then start `lipwire agent` with `--avatar` and the
  folder's path.

[faces]
? which avatars are there | show me a different avatar | what faces do you have | which faces are there
? how do i change the avatar
? can you look different | show me another face | change your face | list the avatars | who is aria | who is kit
? who is ohm
! There are three: Aria, a woman; Kit, a fox; and Ohm, a robot. Choose one in the settings of this page.
+ On the command line, say `--avatar` and a name. `lipwire avatar list` knows them all.

[voice]
? how do i use my own voice | can i change your voice | how do i change the voice | can you speak with another voice
? which voices are there | what voices do you have | use a different voice | i want another voice
? your voice sounds strange
? whose voice is that
! Every face has a voice of its own. You can choose another one in the settings of this page, or with `--voice`.
  `lipwire voices` lists what there is.
+ For a speech service of your own, set `tts_url` to any one that is compatible with OpenAI's. To let the face speak a
  recording of yours, run `lipwire render` with the sound file.

[agora]
? how do i connect agora | how do i use agora | does it work with agora | can you join an agora channel
? connect to agora | how do i use it with agora conversational ai
! Set `AGORA_APP_ID` and `AGORA_APP_CERTIFICATE`, and agents join Agora's channels. The page `docs/agora.md` has all
  of it.
+ For Agora's own engine, run `lipwire serve`, and name its address as the avatar's. That is in `docs/provider.md`.

[openai]
? how do i connect openai | how do i use openai | how do i use chat gpt | how do i use an api key
? where do i put my key | where does my key go | how do i use gpt | connect open ai realtime
? how do i set the openai key
? use the realtime api
! Set `OPENAI_API_KEY`, and start `lipwire agent` again. Then OpenAI Realtime answers in my place.
+ Put the key into a file called dot env, beside where you start it. `--brain cascade` uses chat completions in place
  of Realtime.

[llm]
? how do i connect a model | how do i connect a language model | how do i connect an llm | how do i use ollama
? how do i use a local model | can i use llama | how do i use my own model | how do i give you a brain
? how do i make you smarter | connect a real model | use lm studio
? does it run with ollama | can i run it with ollama
! Start Ollama, LM Studio or any such server on this machine, and then `lipwire agent`: it finds it by itself. For
  another one, say `--llm-url` and `--llm-model`.
+ With Ollama: pull a model, then start `lipwire agent` again. It says which model it took.

[embed]
? how do i embed it in a page | embed it into a website | embed you | how do i put it on my website
? how do i put you on my web page
? can i use it in a browser | how do i use it in my app | how do i integrate it | add it to my site | use it in react
! There is a client for browsers, an element that you put into your page. The page `docs/client.md` shows how.
+ Run `lipwire serve`, add your site to `allowed_origins`, and take the code from `docs/client.md`.

[python]
? how do i use it from python | is there a python api | how do i use it in python | can i write my own agent
? how do i write code for it | is there an api | is there a rest api
! From Python, import lipwire: the page `docs/embedding.md` shows how. Agents are started by HTTP as well, which is in
  `docs/agents/rest.md`.

[tools]
? how do i add a function | can you call functions | can you use tools | how do i add tools | can it look something up
? how do i give it a tool
! A model can call functions of yours: start `lipwire agent` with `--tool`, and a module and a function's name.

[record]
? how do i record it | how do i record this | can i record a video | can i make a video of this | record what we say
? how do i make a video
? how do i make a film
? can you record our conversation | how do i save a video | make a movie of it
! Start `lipwire agent` with `--film` and the name of an MP4 file. To make a film of a sound file, use `lipwire
  render`.
+ For example: `lipwire render speech.wav out.mp4`. The page is `docs/films.md`.

[transcript]
? can i save the transcript | where is the transcript | can i copy what you said | how do i get the text
? show me the captions | are there subtitles | how do i turn on captions
! What we say stands beside the picture. Press C for captions; at the end you can copy or save all of it.

[interrupt]
? can i interrupt you | what happens if i interrupt | how do i stop you | how do i interrupt
? do you stop when i speak
! Just speak, and I stop. If it was only a cough, I go on where I was. The Escape key stops me, too.

[lips]
? how does it work | how does the lip sync work | how do your lips move | how do you move your mouth
? how is the mouth made | how accurate are your lips | explain lip sync
! A small network hears the speech a little ahead, and tells the shape of the mouth, a hundred times a second. Sound
  and picture share one clock.
+ How good it is, and how that was measured, is in `docs/lipsync.md`.

[fast]
? how fast is it | how many agents can it run | what does it need | do i need a gpu | does it need a graphics card
? how much cpu does it use | what is the latency | how much memory does it need | how many sessions
? how many people can use it at once
! It needs no graphics card. How many faces this machine carries, `lipwire bench density` measures.
+ What was measured, and on which machine, is in `docs/density.md`.

[motion]
? can i draw the face myself | can i use a 3d model | is there a 3d avatar | does it work with unity
? can i use blend shapes | does it support ar kit | can the browser draw the face | can i use three js
! Yes: Lipwire can send motion in place of video, as blend shapes and angles of the head, and your own renderer draws.
  See `docs/motion.md`.

[language]
? which languages do you speak | do you speak german | do you speak french | do you speak spanish
? what languages are there | can you speak another language | do you speak chinese
! I, the guide, speak English only. With a model, an agent speaks what its voice and its ears know: say `--language`.

[cost]
? how much does it cost | what does it cost | is it free | is it open source | what is the license
? which license does it have | what is the price | can i use it commercially | who made you | who made this
? who made lipwire
? who built this
! Lipwire is open source, under the Apache License, version two. It needs no account.

[private]
? where does my voice go | is this private | are you recording me | do you record what i say | do you record me
? who is listening | do you store what i say
? is my data safe | does it send anything to the cloud | are we online
! As I am set up by default, your voice goes to this server and no further. What a service would get, you decide by
  naming it. The page `docs/security.md` says more.

[serve]
? how do i put it on a server | how do i deploy it | how do i use it in production | can others use it
? how do i use it on my phone | how do i get https | can i run it in docker | how do i run it in a container
! Run `lipwire serve` with `LIPWIRE_API_KEY` set, and `tls_cert` for https, which phones need for a microphone. The
  page is `docs/deploy.md`.

[docs]
? where is the documentation | where are the docs | is there a manual | where can i read more | where do i find more
? show me the documentation | is there a tutorial
! It comes with Lipwire: begin with `docs/index.md`. `lipwire doctor` shows what works on your machine.

[broken]
? it does not work | something is broken | i have a problem | there is no sound | i see nothing | it is stuck
? what is missing | why does it not work | i cannot hear you
! I am sorry. `lipwire doctor` says what is missing on the server, and how to get it. For the microphone, this page
  has a help page.

[joke]
? tell me a joke | do you know a joke | make me laugh | say something funny | another joke | one more joke | joke
? tell me another joke | tell me something funny | tell me a choke | tell me a chalk
! Why did the avatar fail its hearing test? <face smile/> It was only reading lips.
! I asked a robot for a long face. <face smile/> It said: which resolution?
! A sound engineer walks into a bar. <face smile/> One, two. One, two.
! Why are clocks bad company? <face smile/> Their hands are always in front of their face.
! I would tell you a joke about latency, <face smile/> but you would have got it already.

[feel]
? how do you feel | are you happy | are you sad | do you like me | do you have feelings | i love you
? you are beautiful | you are funny | you are great | you look nice | nice to meet you
! That is kind. <face smile/> I have no feelings, but I can smile.

[yes]
? yes | yeah | yes please | no | nope | no thanks | nothing | maybe | sure | all right | good | great
? okay | ok | fine | got it | i see | alright then | okay good | very good | nice | cool | of course | never mind
! All right. What would you like to know?
! Good. Ask me anything about Lipwire.

[stop]
? stop | stop it | stop talking | stop that | please stop | wait | wait a moment | hold on | one moment | enough
? be quiet | quiet | silence | shut up | that is enough | okay stop
! All right, I am quiet. Ask me something when you like.
! I have stopped.

[home]
? how old are you | where do you live | where are you | where are you from | when were you made
! I live on this server, and begin anew whenever it does.

[thanks]
? thanks | thank you | thank you very much | thanks for your help | that was helpful | cheers | great thanks
? perfect thank you
! You are welcome!
! My pleasure.

[goodbye]
? goodbye | bye | bye bye | see you | see you later | good night | that is all | i have to go | talk to you later
! Goodbye! It was good to talk with you.
! See you!

[time]
? what time is it | what is the time | tell me the time | do you know what time it is | do you have the time

[date]
? what day is it | what is the date | what is today | which day is today | what is the date today

[repeat]
? repeat that | can you repeat that please | say that again | can you repeat that | what did you say | pardon
? come again | once more please
? i did not understand you | sorry what | say it again

[how]
? how do i do that | how can i do that | how does that work | tell me more | more | go on | and how | how so
? how exactly | what do you mean | give me an example | more about that | explain that

[another]
? another | another one | one more | again | next | more | do you know another | give me another | tell me one more
? tell me another one
"""
"""What it can be asked: [name], then lines that begin with ? how people ask it, in lower case, divided by |; with ! the
answers, which are given in turn; with + the answer to "how do I do that?" and "tell me more" behind them. What begins
with two spaces goes on with the line before. What has no answers is answered by `Guide` itself."""


def read_table(table: str) -> dict[str, Topic]:
    """The topics of a table such as TABLE, by name. Raises ValueError: a line is none of those."""
    topics: dict[str, Topic] = {}
    name, lines = "", list[str]()

    def take() -> None:
        marked = [(line[0], line[2:]) for line in lines]
        asked = [one.strip() for mark, text in marked if mark == "?" for one in text.split("|")]
        answers = [text for mark, text in marked if mark == "!"]
        topics[name] = Topic(name, tuple(asked), tuple(answers), " ".join(text for mark, text in marked if mark == "+"))
        lines.clear()

    for line in filter(None, table.splitlines()):
        if line[:2] in ("? ", "! ", "+ "):
            lines.append(line)
        elif line.startswith("  ") and lines:
            lines[-1] += " " + line.strip()
        elif line.startswith("[") and line.endswith("]"):
            if lines:
                take()
            name = line[1:-1]
        else:
            raise ValueError(f"no line of a table of topics: {line!r}")
    take()
    return topics


TOPICS = read_table(TABLE)

NOT_UNDERSTOOD = (
    "I do not know that: I am a small script, no model. You can ask me what Lipwire is, or how to connect a model.",
    "I have no answer to that. Try: how do I use my own face, or: tell me a joke.",
    "That is beyond me. With a model behind me I would have an answer: ask me how to connect one.",
)

OTHER_LANGUAGES = {
    "de": "Ich bin ein kleines Skript ohne Modell und spreche nur Englisch. Mit einem Modell kann ich auch Deutsch.",
    "es": "Soy un pequeño guion sin modelo y solo hablo inglés. Con un modelo también puedo hablar español.",
    "fr": "Je suis un petit script sans modèle et je ne parle qu'anglais. Avec un modèle, je parle aussi français.",
    "it": "Sono un piccolo script senza modello e parlo solo inglese. Con un modello posso parlare anche italiano.",
    "nl": "Ik ben een klein script zonder model en spreek alleen Engels. Met een model kan ik ook Nederlands.",
    "pt": "Sou um pequeno roteiro sem modelo e só falo inglês. Com um modelo também posso falar português.",
}
"""What it says to everything, and for a greeting, where the agent's language is not English."""
ENGLISH_ONLY = "I am a small script without a model, and I speak English only."


def greeting_in(language: str) -> str:
    """What it says to the first who comes, where no greeting is set. `language`: of the agent, a BCP 47 tag."""
    code = names(language)[0]
    return GREETING if code == "en" else OTHER_LANGUAGES.get(code, ENGLISH_ONLY)


_HEARD_AS = (
    (r"\b(?:lip|lib|live|life|like|leap|slip)[ -]?(?:wires?|wired|fire|wise|wyre|why are|wear|pirate)\b", "lipwire"),
    (r"\blipwires\b", "lipwire"),
    (r"\bagain agora\b|\ba gora\b|\bangora\b|\bagora's\b", "agora"),
    (r"\bopen a\.? ?i\b|\bopen eye\b", "openai"),
    (r"\boh llama\b|\bo llama\b|\ball llama\b|\bolama\b", "ollama"),
    (r"\bl\.? ?l\.? ?m\.?\b", "llm"),
    (r"\b(?:good ?bye|bye bye)\b", "goodbye"),
    (r"\bchat ?g\.? ?p\.? ?t\.?\b", "chat gpt"),
    (r"\b(?:web ?site|home ?page|web ?page|site)\b", "website"),
)  # fmt: skip
"""What recognizers make of names, and what was meant."""
_ASKED_SO = (
    (r"\b(?:can|could|would) you (?:please )?tell me (?=what|how|where|which|who|if|whether)", ""),
    (r"\bdo you know (?=what|how|where|which|who)", ""),
    (r"\bhow (?:can|could|would|should|might|may) (?:i|we|you|one)\b", "how do i"),
    (r"\b(?:is it possible to|i want to|i would like to|i'd like to|may i|could i|can we)\b", "can i"),
    (r"\b(?:could|would|will) you\b", "can you"),
    (r"\bhave (?:you )?got\b", "have"),
    (r"\bthen\b|\ball right\b(?=.)|\bi'm sorry\b(?=.*\?)|\bexactly\b(?=.* )", ""),
)
"""Ways to begin a question that all topics have, and the one that counts."""
_SHORT = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "where's": "where is",
    "how's": "how is",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "i'm": "i am",
    "i've": "i have",
    "you're": "you are",
    "let's": "let us",
    "don't": "do not",
    "doesn't": "does not",
    "didn't": "did not",
    "can't": "cannot",
    "isn't": "is not",
}
_SOUNDS = frozenset(
    ["um", "uh", "er", "hmm", "well", "so", "please", "okay", "ok", "now", "just", "like", "oh", "ah", "the", "a", "an"]
)
"""Words that say nothing of what is asked."""


def words_of(text: str) -> list[str]:
    """The words of what was heard, as they are compared."""
    text = text.lower().replace("\u2019", "'")
    text = " ".join(_SHORT.get(word, word) for word in text.split())
    for heard, meant in (*_ASKED_SO, *_HEARD_AS):
        text = re.sub(heard, meant, text)
    words = re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text)
    return [word for word in words if word not in _SOUNDS] or words


class Matcher:
    """Which of some listed questions is asked.

    Args:
        listed: name -> questions.
    """

    def __init__(self, listed: dict[str, Sequence[str]]) -> None:
        self._listed = [(name, words_of(one)) for name, questions in listed.items() for one in questions]
        within = {name: {word for other, words in self._listed if other == name for word in words} for name in listed}
        self._weights = {
            word: math.log(1 + len(within) / sum(word in words for words in within.values()))
            for words in within.values()
            for word in words
        }
        self._most = math.log(1 + len(within))
        self._near: dict[str, str | None] = {}

    def _known(self, word: str) -> str | None:
        """The word of the list that is meant; None = none."""
        if word in self._weights:
            return word
        if word not in self._near:
            if len(self._near) > 4096:
                self._near.clear()
            alike = ALIKE if len(word) > 4 else (1 + ALIKE) / 2
            near = difflib.get_close_matches(word, self._weights, 1, alike) if len(word) > 3 else []
            self._near[word] = near[0] if near else None
        return self._near[word]

    def best(self, text: str) -> tuple[str, float]:
        """The name of the question that is most like what was heard, and how like, 0..1."""
        heard = [self._known(word) for word in words_of(text[:MAX_HEARD])]
        if not heard:
            return "", 0.0
        whole = sum(UNKNOWN * self._most if word is None else self._weights[word] for word in heard)
        best, most = "", 0.0
        for name, words in self._listed:
            both = sum(self._weights[word] for word in set(words) & set(heard))
            like = 2 * both / (whole + sum(self._weights[word] for word in words))
            if like > most:
                best, most = name, like
        return best, min(most, 1.0)


class Guide:
    """Answers what the user says; one conversation's. A `cascade_thinking.Thinker`.

    Args:
        language: of the agent, a BCP 47 tag.
        now: the local time.
    """

    def __init__(self, language: str = "en", now: Callable[[], datetime] = datetime.now) -> None:
        self._language = language
        self._now = now
        self._given: dict[str, int] = {}
        """How often each topic was answered; "" = what was not understood."""
        self._topic: Topic | None = None
        """What it answered last."""
        self._last = ""

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """The answer to the last of the messages of a chat that is the user's."""
        said = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
        return self.reply(said if isinstance(said, str) else "")

    def reply(self, said: str) -> str:
        """The answer to what the user said."""
        if names(self._language)[0] != "en":
            return greeting_in(self._language)
        name, like = _matcher().best(said)
        answer = self._make(name) if like >= ENOUGH else self._turn("", NOT_UNDERSTOOD)
        self._last = answer
        return answer

    def _make(self, name: str) -> str:
        topic = self._topic
        if name == "repeat":
            return self._last or GREETING
        if name == "time":
            return f"It is {self._now():%H:%M}, by the server's clock."
        if name == "date":
            now = self._now()
            return f"It is {now:%A}, {now.day} {now:%B} {now.year}."
        if name == "another" and topic is not None and len(topic.answers) > 1:
            return self._turn(topic.name, topic.answers)
        if name in ("how", "another"):
            return self._more(topic)
        self._topic = topic = TOPICS[name]
        return self._turn(name, topic.answers)

    def _more(self, topic: Topic | None) -> str:
        if topic is None:
            return self._make("help")
        return topic.how or f"That is all I know of it. {TOPICS['docs'].answers[0]}"

    def _turn(self, name: str, answers: Sequence[str]) -> str:
        """The next of several answers."""
        count = self._given[name] = self._given.get(name, -1) + 1
        return answers[count % len(answers)]


@cache
def _matcher() -> Matcher:
    return Matcher({topic.name: topic.asked for topic in TOPICS.values()})
