"""What an agent is: one model behind every door (REST v1 and v2, /start_agent, the command line).

Names are v2's, ranges and defaults those of reference 002 (protocol.md C).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, field

from ..protocol.messages import Egress, MotionCarrier, MotionSet
from ..provider.keys import OPERATOR
from .options import (
    AvatarProvider,
    Encryption,
    EndOfSpeech,
    Filler,
    Greeting,
    Interruption,
    LlmStyle,
    McpServer,
    Realtime,
    Silence,
    StandsInFor,
    ToolServer,
    Vendor,
)

BrainKind = Literal["realtime", "cascade", "guide", "echo", "script"]
Transport = Literal["room", "agora"]
EndOfTurn = Literal["auto", "rules", "silence"]
"""What tells that a user has finished, where nobody asks for a silence of so many ms: Smart Turn where it is installed,
else the rules; the rules, which are the melody and the last word; half a second of silence."""
Modality = Literal["text", "image", "audio"]
TranscriptFormat = Literal["v2", "v0.3", "off"]
"""Which objects carry what is said (protocol.transcript); "off": the agent sends no data messages."""


MAX_TURN_MS = 60_000
"""A turn that has not ended by then is ended: what is kept of one is bounded, and a crowd cannot hold the floor. The
next begins after a pause."""


class TurnDetection(Struct, kw_only=True):
    """When a user's turn begins and ends."""

    enabled: bool = True
    """False: a turn ends only by `commit`, as with `end_of_speech` "manual"."""
    threshold: float = 0.3
    """0..1: how probable speech must be for a frame to count as voiced, once a turn runs."""
    interrupt_threshold: float = 0.8
    """0..1: how sure it must be that the user speaks before the agent is interrupted; higher = harder to interrupt."""
    prefix_padding_ms: int = 300
    """0..5000: sound before the first voiced frame that belongs to the turn."""
    silence_duration_ms: int | None = None
    """0..10000: silence that ends a turn, whatever was said in it; of "semantic", one that is whole. None = with
    "auto" it is judged whether the user has finished (`speech.turn_detector`): what is whole ends after some 200 ms,
    what is not after `max_wait_ms`, and what nobody can judge after 500. With "vad" 640, with "semantic" 320."""
    max_wait_ms: int = 1800
    """500..10000: silence that ends a turn which is not whole: a hesitation is waited for. -1 = none does."""
    resume_false_interruption: bool = True
    """Whether the agent goes on where it stopped, after a sound of the user's in which there were no words. False: any
    sound that is taken for speech ends what is being said."""
    false_interruption_timeout: float = 2.0
    """0..30: seconds after the end of such a sound within which words of it must have become known."""
    backchannels: list[str] | None = None
    """What a user may say ("mm-hmm", "okay") without interrupting the agent; None = what is usual in `language`
    (`speech.backchannels`), empty = nothing. Counts only with `resume_false_interruption`."""
    suppress_echo: bool = True
    """Whether the agent's own voice is turned down in what it hears, where a user's device sends it back
    (`speech.echo`)."""
    start_of_speech: Literal["vad", "manual"] = "vad"
    """Manual: a user is heard only between the client's words that speech begins and ends."""
    end_of_speech: EndOfSpeech = "auto"
    pause_state: bool = True
    """Whether a turn that ends with "hold on" (`speech.pauses`) is answered only together with what follows it; with
    `end_of_speech` "semantic"."""
    interrupt_duration_ms: int | None = None
    """120..1200: voice this long begins a turn while the agent is silent; None = as `interrupt_threshold` has it."""
    speaking_interrupt_duration_ms: int | None = None
    """The same while the agent speaks."""

    @property
    def ends_by_itself(self) -> bool:
        """Whether silence ends a turn, or what was said; else only the client does."""
        return self.enabled and self.end_of_speech != "manual"

    @property
    def judged(self) -> bool:
        """Whether what was said says when a turn ends, and not its silence alone."""
        judged = self.end_of_speech == "semantic" or (self.end_of_speech == "auto" and self.silence_duration_ms is None)
        return judged and self.enabled

    @property
    def plain_ms(self) -> int:
        """Silence that ends a turn where nothing judges what was said in it."""
        if self.silence_duration_ms is not None and self.end_of_speech != "semantic":
            return self.silence_duration_ms
        return 640 if self.end_of_speech in ("vad", "semantic") else 500

    @property
    def whole_ms(self) -> int:
        """Silence that ends a turn which is whole."""
        if self.end_of_speech == "semantic":
            return 320 if self.silence_duration_ms is None else self.silence_duration_ms
        return 200

    @property
    def wait_ms(self) -> int:
        """Silence that ends a turn which is not whole."""
        return MAX_TURN_MS if self.max_wait_ms < 0 else self.max_wait_ms

    @property
    def longest_ms(self) -> int:
        """Silence after which no turn goes on."""
        return max(self.plain_ms, self.whole_ms, self.wait_ms) if self.judged else self.plain_ms


class Llm(Struct, kw_only=True):
    """An OpenAI-compatible chat completions service."""

    url: str = ""
    """The URL of the service's /chat/completions."""
    api_key: str | None = None
    server_key: bool = False
    """`api_key` is the server's own, for the server's own URL: it goes where either of them is changed. No request says
    this."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers for every request (`headers.check_headers`); their values are secrets."""
    model: str | None = None
    system_messages: list[dict[str, Any]] = field(default_factory=list)
    """Chat messages that stand at the head of every request."""
    params: dict[str, Any] = field(default_factory=dict)
    """More members for the request's body."""
    max_history: int = 10
    """0..1024 messages of each of user and assistant, counted separately; 0 = none."""
    greeting_message: str | None = None
    """What the agent says to the first user who comes; None = nothing."""
    failure_message: str | None = None
    """What the agent says and shows where a service fails; None = a sentence in its language (`failures`), "" = it says
    nothing."""
    extra_metadata: dict[str, Any] = field(default_factory=dict)
    metadata_enabled: bool = False
    """Sends `extra_metadata` as `metadata` with every request."""
    input_modalities: list[Modality] = field(default_factory=lambda: ["text"])
    output_modalities: list[Modality] = field(default_factory=lambda: ["text"])
    """What the service answers with. Text is spoken by our text to speech; with "audio" it sends the sound itself."""
    style: LlmStyle = "openai"
    custom: bool = False
    """`vendor` "custom": each message also says its `turn_id` and `timestamp`."""
    ignore_empty: bool = False
    """Whether an empty answer is passed over in silence."""
    mcp_servers: list[McpServer] = field(default_factory=list)
    template_variables: dict[str, str] = field(default_factory=dict)
    """For the `{{template_variables.x}}` of a tool's server; in texts they have been put in already."""


class Tool(Struct, kw_only=True):
    """A function that the model may call."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """The arguments that it takes, as a JSON Schema of an object."""
    run: Callable[..., Any] | None = None
    """A Python function, async or not, called with the arguments by name; its result goes back as JSON. None: `server`
    answers, or else the client is asked."""
    server: ToolServer | None = None


class AgentConfig(Struct, kw_only=True):
    """One agent."""

    name: str
    channel: str
    agent_id: str = ""
    """What `AgentManager` calls it. No request says this."""
    owner: str = OPERATOR
    """Whose it is: no other owner of API keys finds it, and its name and its room are among this one's alone. No
    request says this."""
    transport: Transport | None = None
    """Whose channel that is; None = Agora's where the server is set up for them, else a room of the server."""
    token: str = ""
    uid: str = "0"
    """The agent's user id in the channel; "0" = any."""
    string_uid: bool = False
    remote_uids: list[str] = field(default_factory=list)
    """The users whom it hears and sees; none = everyone."""
    brain: BrainKind = "cascade"
    language: str = "en-US"
    """The language that speech to text understands, and that text to speech speaks where the voice names none."""
    asked_language: str = ""
    """What a client has said in its place that is none ("auto", "multi"): nothing here detects languages."""
    voice: str = ""
    """Of text to speech, or of OpenAI Realtime; "" = that of its face (`agents.voices`)."""
    spare_voice: str = ""
    """espeak-ng's, which speaks where `voice` fails that nobody asked for (`agents.voices`)."""
    missing_voice: str = ""
    """Where `voice` speaks in place of its face's own: "NAME: why that does not" (`agents.voices`)."""
    stt_headers: dict[str, str] = field(default_factory=dict)
    tts_headers: dict[str, str] = field(default_factory=dict)
    """More headers for the server's speech to text and text to speech, where those are services."""
    instructions: str | None = None
    """What OpenAI Realtime is told to be; a chat service is told by `llm.system_messages`."""
    llm: Llm = field(default_factory=Llm)
    turn_detection: TurnDetection = field(default_factory=TurnDetection)
    tools: list[Tool] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)
    greeting: Greeting = field(default_factory=Greeting)
    filler: Filler | None = None
    silence: Silence | None = None
    farewell_seconds: float = 0.0
    """0..120: so long leaving waits until the agent is idle."""
    skip_patterns: list[int] = field(default_factory=list)
    """Brackets whose contents are not spoken: 1 （） 2 【】 3 () 4 [] 5 {}."""
    tts: Vendor | None = None
    asr: Vendor | None = None
    """Services of speech that the client brings along; None = the server's."""
    stands_in_for: StandsInFor = field(default_factory=StandsInFor)
    asr_keywords: list[str] = field(default_factory=list)
    """Words that the server's own ears are to expect; a vendor's stand in `asr`."""
    realtime: Realtime | None = None
    """A realtime model that the client brings along, for the brain "realtime"."""
    labels: dict[str, str] = field(default_factory=dict)
    """What comes back in every webhook."""
    idle_timeout: float = 30.0
    """Seconds without anybody else in the channel after which the agent leaves; 0 = never."""
    rtc_codec: Literal[0, 8, 9, 120, 122] | None = None
    """The payload type of the agent's sound (`channel.AgoraOptions`); None = the transport's own."""
    audio_scenario: int = 9
    avatar: str | None = None
    """Name or path of the face; None = sound only."""
    width: int = 640
    height: int = 360
    fps: float = 25
    """As `stream.frame_rate` reads it."""
    egress: Egress | None = None
    """What of its face is sent: pictures, motion or both; None = both in a room, and in an Agora channel pictures, or
    both where the next two say anything."""
    motion_sets: list[MotionSet] | None = None
    """Sets of motion for those who do not say, and for an Agora channel; None = arkit and head,"""
    motion_carrier: MotionCarrier | None = None
    """and what carries it there; None = data messages."""
    record: str | None = None
    """What its film is to be called, in the server's folder of films; "" = as the server likes; None = it is not
    recorded."""
    film: str = ""
    """Its film: where it is in that folder; without `record`, a path of the operator's. No request says this."""
    feelings: bool | None = None
    """Whether its face shows what is meant by what it says (`feelings`); None = as the server is set, which is on."""
    provider: AvatarProvider | None = None
    """Whose face it wears, if not one of ours (`avatar` is None then)."""
    encryption: Encryption | None = None
    transcripts: TranscriptFormat = "v2"
    metrics: bool = True
    error_messages: bool = True
    """Whether the clients in the channel are told figures and errors."""
    voice_commands: bool = False
    """Whether "Hey ... Stop" pauses it and "Hey ... Start" resumes it."""

    @property
    def says_motion(self) -> bool:
        """Whether it says anything of how motion is sent."""
        return self.motion_sets is not None or self.motion_carrier is not None

    @property
    def pixel_rate(self) -> int:
        """Width x height x frames a second of its face; 0 = none is drawn."""
        return 0 if self.avatar is None or self.egress == "motion" else math.ceil(self.width * self.height * self.fps)
