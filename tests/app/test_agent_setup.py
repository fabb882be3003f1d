"""agents/setup.py and run.py: what settings mean for agents, and what the command line makes of a function."""

from __future__ import annotations

import sys
import threading
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
import pytest
from msgspec import Meta

import lipwire.atlas
from lipwire.agents.brains.base import Services
from lipwire.agents.brains.guide import GREETING, OTHER_LANGUAGES
from lipwire.agents.config import AgentConfig, Llm, Tool, TurnDetection
from lipwire.agents.errors import AgentStartFailed, InvalidAgentRequest
from lipwire.agents.options import AvatarProvider, McpServer, Realtime, ToolServer
from lipwire.agents.rest.wire import parse_update
from lipwire.agents.speech import offline_stt
from lipwire.app import agent_setup as setup
from lipwire.app.agent_command import choose_brain, describe_agent, describe_tool, load_tools, take_model
from lipwire.app.agent_page import PageAgents
from lipwire.app.agent_setup import AgentSetup, check_brain, openai_models
from lipwire.app.config import Config
from lipwire.channel.agora.channel import Agora
from lipwire.channel.room.room import Rooms
from lipwire.cli.doctor import examine
from lipwire.errors import InvalidArgument
from lipwire.protocol.tokens import verify_token
from lipwire.provider.keys import OPERATOR

APP, CERTIFICATE = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def agent(**more: Any) -> AgentConfig:
    return AgentConfig(name="one", channel="room", **more)


# -------------------------------------------------------------------------------------------------------------- setup


def test_what_agents_cannot_be_told_of_turns_and_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = AgentSetup(Config(openai_api_key="ours", agent_brain="realtime"))
    with pytest.raises(InvalidArgument, match="cannot be manual"):
        made.prepare(agent(turn_detection=TurnDetection(start_of_speech="manual")))
    with pytest.raises(InvalidArgument, match=r"asr\.keywords: by the brain realtime"):
        made.prepare(agent(asr_keywords=["Lipwire"]))
    made = AgentSetup(Config(openai_api_key="ours", stt_url="offline"))
    made.prepare(agent(turn_detection=TurnDetection(start_of_speech="manual"), asr_keywords=["Lipwire"]))
    monkeypatch.setattr(setup, "what_hears", lambda language, model: (offline_stt.SPHINX, "there is no whisper"))
    with pytest.raises(InvalidArgument, match=r"asr\.keywords: .*pocketsphinx"):
        made.prepare(agent(asr_keywords=["Lipwire"]))
    made.prepare(agent())
    AgentSetup(Config(openai_api_key="ours", stt_url="https://stt.example.org")).prepare(agent(asr_keywords=["x"]))


def test_prepare() -> None:
    made = AgentSetup(Config(openai_api_key="ours", llm_model="m"), avatar=lambda name: f"place of {name}")
    config = agent(avatar="kit")
    made.prepare(config)
    assert (config.brain, config.avatar) == ("cascade", "place of kit")
    assert (config.llm.url, config.llm.api_key, config.llm.model) == (Config().llm_url, "ours", "m")
    assert config.llm.server_key
    theirs = agent()
    theirs.llm.url = "https://llm.example.org"
    made.prepare(theirs)
    assert (theirs.llm.api_key, theirs.llm.model, theirs.avatar) == (None, None, None)  # our key is ours
    theirs.llm.style, theirs.llm.output_modalities = "gemini", ["audio"]
    with pytest.raises(InvalidArgument, match="answers with text"):
        made.prepare(theirs)
    own = agent()
    own.llm.api_key, own.llm.style = "theirs", "gemini"
    made.prepare(own)
    assert own.llm.style == "openai"  # of the server's own service
    assert own.llm.api_key == "theirs" and not own.llm.server_key and not theirs.llm.server_key
    forced = agent()
    AgentSetup(Config(agent_brain="echo")).prepare(forced)
    assert forced.brain == "echo"


def test_a_realtime_model_of_a_clients_needs_none_of_the_servers() -> None:
    made = AgentSetup(Config())
    theirs = agent(brain="realtime", realtime=Realtime(url="wss://rt.example/", api_key="k"))
    made.prepare(theirs)
    assert made.brain(theirs) is not None
    with pytest.raises(AgentStartFailed, match="the brain realtime needs OPENAI_API_KEY"):
        made.brain(agent(brain="realtime", realtime=Realtime()))
    for unkeyed in (Realtime(), Realtime(url="wss://api.openai.com/v1/realtime")):
        with pytest.raises(InvalidArgument, match=r"mllm\.api_key: "):
            made.prepare(agent(brain="realtime", realtime=unkeyed))
    for there in (Config(openai_api_key="k"), Config(openai_url="ws://127.0.0.1:1"), Config(agent_brain="echo")):
        kept = None if there.agent_brain else Realtime()
        AgentSetup(there).prepare(agent(brain="realtime", realtime=kept))
    theirs.realtime = Realtime(turn_detection={"type": "agora_vad"})
    with pytest.raises(InvalidArgument, match=r"mllm\.turn_detection: must be"):
        made.prepare(theirs)


def test_servers_of_functions_are_checked_at_the_door() -> None:
    made = AgentSetup(Config(openai_api_key="k"))
    bad = agent(tools=[Tool(name="f", server=ToolServer(url="https://a.example/{{args.x}}"))])
    with pytest.raises(InvalidArgument, match=r"llm\.tools\[0\]\.server\.url has .*no argument of that name"):
        made.prepare(bad)
    twice = agent(llm=Llm(mcp_servers=[McpServer(name="a", endpoint="https://a.example")] * 2))
    with pytest.raises(InvalidArgument, match=r"llm\.mcp_servers\[1\]\.name: another one has the name"):
        made.prepare(twice)


def test_what_hears_an_agents_users_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hears = {"": ("whisper-base", ""), "whisper-small": ("whisper-small", "it is so")}
    monkeypatch.setattr(offline_stt, "what_hears", lambda language, model: hears[model])
    made = AgentSetup(Config(hearing_model="whisper-small"))
    assert made.ears(agent(brain="guide")) == "whisper-small, because it is so"
    assert made.ears(agent(brain="echo")) is made.ears(agent(brain="realtime")) is None
    assert AgentSetup(Config()).ears(agent(brain="cascade", language="de-DE")) == "whisper-base"
    asked = AgentSetup(Config(stt_url="http://user:secret@stt.example.org:81/v1"))
    assert asked.ears(agent(brain="cascade")) == "stt.example.org:81"


def test_services_are_the_settings() -> None:
    config = Config(stt_url="http://a", tts_model="t", openai_api_key="k", openai_url="ws://b", realtime_model="r")
    headers = {name: {"X-Of": name} for name in ("llm_headers", "stt_headers", "tts_headers")}
    config = msgspec.structs.replace(config, **headers)
    services = AgentSetup(config).services(agent())
    assert services.outward is not None and services.outward.owner == OPERATOR
    assert services == Services(
        stt_url="http://a",
        tts_model="t",
        openai_api_key="k",
        openai_url="ws://b",
        realtime_model="r",
        outward=services.outward,
        llm_url=Config().llm_url,
        llm_headers={"X-Of": "llm_headers"},
        stt_headers={"X-Of": "stt_headers"},
        tts_headers={},  # it speaks here
    )


def test_no_llm_of_its_own() -> None:
    made = AgentSetup(Config())
    with pytest.raises(InvalidArgument, match=r"llm\.url: this server has no LLM of its own; name one here"):
        made.prepare(agent())
    for there in (Config(openai_api_key="k"), Config(llm_url="http://l"), Config(agent_brain="guide")):
        AgentSetup(there).prepare(agent())
    made.prepare(agent(brain="realtime", realtime=Realtime(api_key="k")))
    with pytest.raises(InvalidArgument, match=r"mllm: every agent of this server has the brain guide \(agent_brain\)"):
        AgentSetup(Config(agent_brain="guide")).prepare(agent(brain="realtime", realtime=Realtime()))


def test_which_urls_are_its_own() -> None:
    ours = AgentSetup(
        Config(
            http_port=8000, public_hosts=("faces.example.org", "*.example.com"), public_ws_url="wss://ws.example.org"
        )
    ).ours
    for url in (
        "https://faces.example.org",
        "https://FACES.example.org:443/prefix",
        "http://ws.example.org:8000/",
        "http://127.0.0.1:8000",
        "http://localhost:8000/api",
    ):
        assert ours(url), url
    for url in (
        "https://faces.example.org:9000",
        "https://a.example.com",
        "http://127.0.0.1:9000",
        "http://localhost",
        "https://example.org",
        "https://a:b:c",
        "",
    ):
        assert not ours(url), url


def test_headers_of_a_request_need_a_service_to_go_to() -> None:
    made = AgentSetup(Config(stt_url="http://stt.internal", llm_url="http://l"))
    made.prepare(agent(stt_headers={"X": "1"}))
    with pytest.raises(InvalidArgument, match=r"tts.headers: this agent asks no such service; .*tts_url"):
        made.prepare(agent(tts_headers={"X": "1"}))
    with pytest.raises(InvalidArgument, match=r"asr.headers: .*brain echo") as told:
        made.prepare(agent(stt_headers={"X": "1"}, brain="echo"))
    assert "internal" not in str(told.value)


def test_who_thinks_at_openai_with_our_key_hears_and_speaks_there() -> None:
    made = AgentSetup(Config(openai_api_key="k"))
    ours, theirs, own = agent(), agent(llm=Llm(url="https://api.openai.com/v1/x", api_key="theirs")), agent()
    own.llm.url = "http://127.0.0.1:1"
    for one in (ours, theirs, own):
        made.prepare(one)
    assert made.services(ours).stt_url == "https://api.openai.com/v1/audio/transcriptions"
    assert made.services(ours).tts_url == "https://api.openai.com/v1/audio/speech"
    for one in (theirs, own):  # our key is not for what others bring
        assert (made.services(one).stt_url, made.services(one).tts_url) == (None, None)
    offline = AgentSetup(Config(openai_api_key="k", stt_url="offline", tts_url="http://a")).services(ours)
    assert (offline.stt_url, offline.tts_url) == (None, "http://a")
    assert AgentSetup(Config(stt_url="offline")).services(ours).stt_url is None


def as_installed(folder: Path) -> Path:
    """A folder that looks as if Agora's SDK were in it."""
    for name in ("__init__.py", "rtc/agora_service.py", "agora_sdk/libagora_rtc_sdk.so"):
        path = folder / "agora" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_somebody_elses_face(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def wears(url: str = "https://faces.example.org", **more: Any) -> AgentConfig:
        provider = {"api_key": "k", "avatar_id": "a", "agora_uid": "9"} | more
        return agent(uid="7", brain="echo", provider=AvatarProvider(api_base_url=url, **provider))

    with pytest.raises(
        InvalidArgument, match=r"avatar\.params\.api_base_url: .* joins a room of this server; leave it out"
    ):
        AgentSetup(Config(agent_brain="echo")).prepare(wears())
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(as_installed(tmp_path / "sdk")))
    made = AgentSetup(Config(agora_app_id=APP, agora_app_certificate=CERTIFICATE, agent_brain="echo"))
    for bad, words in (({"agora_uid": "7"}, "another than the agent's own"), ({"agora_uid": ""}, "agora_uid")):
        with pytest.raises(InvalidArgument, match=words):
            made.prepare(wears(**bad))
    made.prepare(config := wears())
    face = made.make(config, print).face
    assert face is not None and face.user == "9"
    asked = face._start.agora_settings
    token = verify_token(asked.token, CERTIFICATE, now=0, app_id=APP)
    assert token.expire == 24 * 3600, "nobody renews it"
    assert (token.channel, token.account, asked.app_id, asked.channel) == (config.channel, "9", APP, config.channel)
    own = made.face(wears(agora_token="theirs"))
    assert own is not None and own._start.agora_settings.token == "theirs"
    options = made.agora_options(config)
    assert not options.video and made.face(agent(uid="7")) is None
    config.owner = "somebody"
    other = made.face(config)
    assert other is not None and other._start.agora_settings.token == "", "the certificate is the operator's"


def test_agora_is_chosen_where_it_is_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(as_installed(tmp_path / "sdk")))
    assert not AgentSetup(Config()).in_agora
    made = AgentSetup(Config(agora_app_id=APP, agora_app_certificate=CERTIFICATE))
    assert made.in_agora
    channel = made.channel(agent(uid="7", rtc_codec=8, audio_scenario=0, avatar="kit"))
    assert isinstance(channel, Agora)
    options = channel.options
    assert (options.app_id, options.channel, options.uid, options.certificate) == (APP, "room", "7", CERTIFICATE)
    assert (options.rtc_codec, options.audio_scenario, options.receive, options.video) == (8, 0, True, True)
    token = verify_token(options.token, CERTIFICATE, now=time.time(), app_id=APP)
    assert (token.channel, token.account) == ("room", "7")
    named = made.agora_options(agent(uid="bot", string_uid=True, token="theirs"))
    assert (named.token, named.string_uid, named.video) == ("theirs", True, False)
    with pytest.raises(InvalidArgument, match="uid"):
        AgentSetup(Config(agora_app_id=APP)).channel(agent(uid="4294967296"))
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(tmp_path))
    assert not made.in_agora


def test_an_agent_may_say_whose_channel_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="not set up for Agora's channels"):
        AgentSetup(Config()).prepare(agent(transport="agora"))
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(as_installed(tmp_path / "sdk")))
    made = AgentSetup(Config(agora_app_id=APP, agora_app_certificate=CERTIFICATE, llm_url="http://l"))
    for transport in ("agora", None):
        made.prepare(one := agent(transport=transport))
        assert isinstance(made.channel(one), Agora)
    with pytest.raises(AgentStartFailed, match="no rooms"):
        made.channel(agent(transport="room"))


def test_what_is_sent_of_a_face(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPWIRE_AGORA_SDK", str(as_installed(tmp_path / "sdk")))
    for setting, asked, sets, room, agora in (
        (None, None, None, "both", "video"),
        (None, None, ["head", "pose"], "both", "both"),
        (None, "motion", ["head"], "motion", "motion"),
        ("motion", None, None, "motion", "motion"),
        ("motion", "video", None, "video", "video"),
        ("video", "both", ["head"], "both", "both"),
    ):
        made = AgentSetup(Config(agora_app_id=APP, egress=setting, llm_url="http://l"), lambda owner: Rooms())  # type: ignore[arg-type]
        sent = []
        for transport in ("room", "agora"):
            made.prepare(one := agent(avatar="kit", transport=transport, egress=asked, motion_sets=sets))
            channel: Any = made.channel(one)
            sent.append(getattr(channel, "options", channel))
        assert [one.egress for one in sent] == [room, agora]
        assert {one.motion_sets for one in sent} == {tuple(sets or ("arkit", "head"))}
    for said in ({"motion_sets": ["pose"]}, {"motion_carrier": "data"}):
        with pytest.raises(InvalidArgument, match=r"avatar\.params\.motion.* add avatar\.egress"):
            AgentSetup(Config(egress="video")).prepare(agent(avatar="kit", **said))
    with pytest.raises(InvalidArgument, match="a film has pictures"):
        AgentSetup(Config(egress="motion"), films=cast(Any, object())).prepare(agent(avatar="kit", record=""))


@pytest.mark.parametrize(
    ("wish", "more", "told"),
    [
        ("on", {"avatar": "kit"}, "on"),
        ("on", {}, "auto"),  # it has no face
        ("on", {"avatar": "kit", "width": 1920, "height": 1080}, "auto"),  # that would take it minutes
        ("off", {"avatar": "kit"}, "off"),
        ("auto", {}, "auto"),
    ],
)
async def test_encoded_video_is_for_agents_that_it_can_help(wish: Any, more: dict[str, Any], told: str) -> None:
    rooms = Rooms()
    made = AgentSetup(Config(preencoded=wish), lambda owner: rooms).make(agent(brain="echo", **more), print)
    assert made.session._preencoded == told
    if "avatar" not in more:
        await made.start()
        await made.stop()
    await rooms.close()


async def test_an_agent_does_not_wait_for_its_video_to_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has 20 s to join, and that takes a minute."""
    may_end = threading.Event()
    monkeypatch.setattr(lipwire.atlas, "load", lambda *of: None)
    monkeypatch.setattr(lipwire.atlas, "ensure_aside", lambda *of: may_end.wait(60))
    rooms, face = Rooms(), agent(brain="echo", avatar="kit", width=64, height=36)
    made = AgentSetup(Config(preencoded="on"), lambda owner: rooms).make(face, print)
    try:
        await made.start()
        assert made.session.performer.atlas is None and made.session._adopting is not None
        await made.stop()
    finally:
        may_end.set()
        await rooms.close()


def test_a_voice_of_a_request_is_no_path() -> None:
    with pytest.raises(InvalidArgument, match="no path, but the name"):
        AgentSetup(Config()).prepare(AgentConfig(name="a", channel="c", voice="piper:/etc/a.onnx"))
    with pytest.raises(InvalidAgentRequest, match=r"voice_name must be .*, and no path"):
        parse_update({"properties": {"tts": {"params": {"voice_name": "piper:/etc/a.onnx"}}}}, "v2")


def test_what_a_brain_cannot_do_is_refused() -> None:
    made = AgentSetup(Config(openai_api_key="ours"))
    made.prepare(agent(skip_patterns=[3]))
    with pytest.raises(InvalidArgument, match="skip_patterns"):
        made.prepare(agent(skip_patterns=[3], brain="realtime"))


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = AgentSetup(Config()).missing()
    assert nothing["realtime"] == ["OPENAI_API_KEY"]
    assert nothing["cascade"][0].startswith("OPENAI_API_KEY")
    assert nothing["echo"] == nothing["guide"] == []
    keys = AgentSetup(Config(openai_api_key="k", agora_app_id=APP, agora_app_certificate=CERTIFICATE)).missing()
    assert (keys["realtime"], keys["echo"]) == ([], [])
    assert [need for need in keys["agora"] if need.startswith("AGORA")] == []
    own = AgentSetup(Config(openai_url="ws://127.0.0.1:1", llm_url="http://127.0.0.1:1")).missing()
    assert own["realtime"] == []
    assert not any("OPENAI" in need for need in own["cascade"])
    assert not any("OPENAI" in need for need in AgentSetup(Config()).missing("a key")["cascade"])
    monkeypatch.setattr(setup, "_installed", lambda module: False)
    monkeypatch.setattr(setup, "speaks_here", lambda: False)
    monkeypatch.setattr(setup, "_hears", lambda config: False)
    bare = AgentSetup(Config(openai_api_key="k", stt_url="offline", tts_url="offline")).missing()
    assert [need.split()[0] for need in bare["cascade"]] == ["httpx", "sentencex", "pocketsphinx", "a"]
    assert [need.split()[0] for need in bare["script"]] == ["a"]
    assert bare["guide"] == bare["cascade"] and choose_brain(Config()) == "echo"
    online = AgentSetup(Config(openai_api_key="k", stt_url="http://a", tts_url="http://a")).missing()
    assert [need.split()[0] for need in online["cascade"]] == ["httpx", "sentencex"]
    ours = AgentSetup(Config(openai_api_key="k")).missing()
    assert [need.split()[0] for need in ours["cascade"]] == ["httpx", "sentencex"]


def test_brains_by_name() -> None:
    assert [check_brain(name) for name in ("realtime", "cascade", "guide", "echo", "script")]
    with pytest.raises(InvalidArgument, match="brain must be one of realtime, cascade, guide, echo, script, got 'x'"):
        check_brain("x")
    assert choose_brain(Config()) == "guide"
    assert choose_brain(Config(openai_api_key="k")) == "realtime"
    assert choose_brain(Config(openai_url="ws://127.0.0.1:1")) == "realtime"
    assert choose_brain(Config(openai_api_key="k", llm_model="gpt-5.1")) == "cascade"
    keyed, default = Config(openai_api_key="k"), Config().llm_model
    assert take_model(keyed, None) == keyed and choose_brain(take_model(keyed, default)) == "cascade"
    with pytest.raises(InvalidArgument, match="the brain realtime asks no chat model"):
        take_model(Config(agent_brain="realtime"), default)
    ours = "http://127.0.0.1:11434/v1/chat/completions"
    assert choose_brain(Config(openai_api_key="k", llm_url=ours)) == choose_brain(Config(), "key") == "cascade"
    with pytest.raises(AgentStartFailed, match="cascade needs OPENAI_API_KEY"):
        choose_brain(Config(llm_model="one that is nowhere"))
    with pytest.raises(AgentStartFailed, match=r"another llm_url: .*:8080/v1 leads to this server's own viewer_port"):
        choose_brain(Config(llm_url="http://localhost:8080/v1"))
    with pytest.raises(AgentStartFailed, match=r"OPENAI_API_KEY.*--brain echo"):
        choose_brain(Config(agent_brain="realtime"))
    with pytest.raises(AgentStartFailed, match="which this server has not"):
        AgentSetup(Config()).brain(agent(brain="realtime"))


def test_the_guide_greets_and_asks_nobody() -> None:
    """Unless the settings name services, or a request another greeting: not even those of a key that is set."""
    setup_ = AgentSetup(Config(openai_api_key="k"))
    for greeting, said in ((None, GREETING), ("", ""), ("Hi.", "Hi.")):
        one = agent(brain="guide")
        one.llm.greeting_message = greeting
        setup_.prepare(one)
        assert one.llm.greeting_message == said
        assert (setup_.services(one).stt_url, setup_.services(one).tts_url) == (None, None)
    german = agent(brain="guide", language="de-DE")
    setup_.prepare(german)
    assert german.llm.greeting_message == OTHER_LANGUAGES["de"]
    assert setup_.services(prepared(setup_, "cascade")).tts_url is not None
    ours = AgentSetup(Config(tts_url="http://127.0.0.1:1/v1/audio/speech"))
    assert ours.services(prepared(ours, "guide")).tts_url == "http://127.0.0.1:1/v1/audio/speech"


def prepared(setup_: AgentSetup, brain: str) -> AgentConfig:
    one = agent(brain=brain)
    setup_.prepare(one)
    return one


# -------------------------------------------------------------------------------------------------------------- tools


def weather(place: str, unit: Literal["c", "f"] = "c", days: Annotated[int, Meta(ge=1)] = 1) -> str:
    """What the weather is like.

    Not for the model.
    """
    return f"{place} {unit} {days}"


def test_a_function_is_described() -> None:
    tool = describe_tool(weather)
    assert (tool.name, tool.description, tool.run) == ("weather", "What the weather is like.", weather)
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "unit": {"enum": ["c", "f"], "default": "c"},
            "days": {"type": "integer", "minimum": 1, "default": 1},
        },
        "required": ["place"],
    }

    async def nothing() -> None: ...

    assert describe_tool(nothing).parameters == {"type": "object", "properties": {}, "required": []}

    class Place(msgspec.Struct):
        name: str

    def nested(place: Place) -> None: ...
    def positional(place: str, /) -> None: ...
    def odd(place: complex) -> None: ...

    nested.__annotations__["place"] = Place
    for bad, word in ((nested, "plain types, not Place"), (positional, "by name"), (odd, "no JSON Schema")):
        with pytest.raises(InvalidArgument, match=word):
            describe_tool(bad)


def test_tools_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tools.py").write_text(
        "from lipwire.agents.config import Tool\n"
        "def one(): ...\n"
        "client = Tool(name='client')\n"
        "both = [one, client]\n"
        "broken = [5]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert [tool.name for tool in load_tools(["my_tools:one", "my_tools:client"])] == ["one", "client"]
    assert [type(tool) for tool in load_tools(["my_tools:both"])] == [Tool, Tool]
    for places, word in {
        ("my_tools",): "module:function",
        (":x",): "module:function",
        ("my_tools:both", "my_tools:one"): "twice: one",
        ("my_tools:broken",): "no function but a int",
    }.items():
        with pytest.raises(InvalidArgument, match=word):
            load_tools(places)


def test_the_command_line_may_name_a_film(tmp_path: Path) -> None:
    film = tmp_path / "talk.webm"
    config = describe_agent(Config(), "c", film=str(film))
    made = AgentSetup(Config()).film(config)
    assert config.film == str(film) and made is not None and made.path == film
    assert AgentSetup(Config()).film(describe_agent(Config(), "c")) is None
    (tmp_path / "old.vtt").write_text("WEBVTT\n")
    for name, why in (("x.avi", "end its name"), ("no/x.mp4", "no folder"), ("old.mp4", "old.vtt is there already")):
        with pytest.raises(InvalidArgument, match=why):
            describe_agent(Config(), "c", film=str(tmp_path / name))


def test_the_command_line_makes_an_agent() -> None:
    config = describe_agent(Config(), "my room", uid=7, prompt="Be kind.", greeting="Hi.", avatar="kit", name="n")
    assert (config.name, config.channel, config.uid, config.brain, config.avatar) == (
        "n",
        "my room",
        "7",
        "guide",
        "kit",
    )
    assert (config.instructions, config.llm.greeting_message, config.idle_timeout) == ("Be kind.", "Hi.", 0)
    assert config.llm.system_messages == [{"role": "system", "content": "Be kind."}]
    assert describe_agent(Config(), "c").avatar is None
    assert describe_agent(Config(openai_api_key="k"), "c").voice == ""
    assert describe_agent(Config(openai_api_key="k"), "c", voice="echo").voice == "echo"
    with pytest.raises(InvalidArgument, match="channel must be"):
        describe_agent(Config(), "x" * 65)
    with pytest.raises(InvalidArgument, match="language must be"):
        describe_agent(Config(), "c", language="english!")


@pytest.mark.parametrize(
    ("config", "has", "not_has"),
    [
        (Config(openai_api_key="k"), "marin", "en-us"),
        (Config(openai_api_key="k", agent_brain="cascade"), "onyx", "en-us"),
        (Config(openai_api_key="k", agent_brain="cascade", tts_url="offline"), "de+f3", "alloy"),
        (Config(agent_brain="echo"), "en-us+f3", "alloy"),
        (Config(agent_brain="guide", openai_api_key="k"), "en-us+f3", "alloy"),
        (Config(agent_brain="cascade", llm_url="http://127.0.0.1:1", tts_url="http://127.0.0.1:1"), None, "alloy"),
    ],
)
def test_the_page_offers_voices_that_somebody_speaks_with(config: Config, has: str | None, not_has: str) -> None:
    page = PageAgents(AgentSetup(config), cast(Any, None)).config()
    assert not_has not in page.voices and (has in page.voices if has else page.voices == [])
    assert set(page.face_voices) == set(page.avatars) and len(set(page.face_voices.values())) == 3


def test_which_models_of_openai_are_in_use() -> None:
    def used(**more: Any) -> dict[str, str]:
        return dict(openai_models(Config(**more)))

    assert used() == used(stt_model="whisper-1") == {}
    defaults = {"realtime_model": "gpt-realtime-2.1", "llm_model": "gpt-6-luna"}
    defaults |= {"stt_model": "gpt-transcribe", "tts_model": "gpt-4o-mini-tts"}
    assert used(openai_api_key="k") == defaults
    ours = {"llm_url": "http://127.0.0.1:1/v1/chat/completions", "openai_url": "ws://127.0.0.1:1"}
    assert used(openai_api_key="k", **ours, llm_model="gpt-4o") == {}
    at_openai = "https://api.openai.com/v1/audio/speech"
    assert used(openai_api_key="k", **ours, tts_url=at_openai, tts_model="tts-1") == {"tts_model": "tts-1"}
    told = examine(Config(openai_api_key="k"), date(2027, 1, 6))["parts"][-1]
    assert (told["name"], told["state"]) == ("OpenAI's models", "wrong") and "gpt-4o-mini-tts ended" in told["note"]
    soon = examine(Config(openai_api_key="k", llm_model="gpt-4o"), date(2026, 11, 30))["parts"][-2:]
    assert [part["state"] for part in soon] == ["soon", "soon"] and "set llm_model to gpt-6-luna" in soon[0]["note"]
