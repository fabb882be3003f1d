"""agents/rest/wire.py and protocol/agent_bodies: bodies of REST v1, v2 and /start_agent, defaults, ranges, errors."""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from lipwire.agents import errors as e
from lipwire.agents.config import AgentConfig, Llm, TurnDetection
from lipwire.agents.describe import prompt
from lipwire.agents.options import Greeting
from lipwire.agents.rest import reading, writing
from lipwire.agents.rest import wire as w
from lipwire.agents.rest.sections.shared import VAD
from lipwire.agents.rest.sections.turns import OWN
from lipwire.agents.update import apply
from lipwire.errors import LipwireError
from lipwire.protocol import agent_bodies as b
from lipwire.protocol.agent_bodies.fields import Anything
from support.agent_bodies import ABSENT, V1, V2, changed
from support.bad_agent_fields import V1_BAD, V2_BAD

OWN_NAMES = {"vad": VAD, "turn_detection": OWN}
BODIES: dict[w.Version, dict[str, Any]] = {"v1": V1, "v2": V2}


def refused(body: dict[str, Any], version: w.Version) -> e.InvalidAgentRequest:
    with pytest.raises(e.InvalidAgentRequest) as caught:
        w.parse_join(body, version)
    return caught.value


# ------------------------------------------------------------------------------------------------- names and defaults


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_defaults_are_those_of_agent_config(version: w.Version) -> None:
    config = w.parse_join(BODIES[version], version)
    expected = AgentConfig(name="unique_name", channel="test_channel", uid="1234", remote_uids=["123"])
    expected.llm.url = "https://llm.example.org/v1/chat/completions"
    expected.transcripts = "v0.3" if version == "v1" else "v2"
    expected.llm.max_history = 10 if version == "v1" else 32
    expected.greeting = Greeting(mode="single_first" if version == "v1" else "single_every")
    assert config == expected
    assert (config.idle_timeout, config.language, config.voice) == (30, "en-US", "")
    assert config.turn_detection == TurnDetection(
        threshold=0.3, interrupt_threshold=0.8, prefix_padding_ms=300, silence_duration_ms=None, max_wait_ms=1800
    )
    assert (config.llm.max_history, config.llm.metadata_enabled) == (expected.llm.max_history, False)


@pytest.mark.parametrize(("kind", "turns"), [(b.PropertiesV1, "vad"), (b.PropertiesV2, "turn_detection")])
def test_documented_defaults_are_the_real_ones(kind: type[msgspec.Struct], turns: str) -> None:
    """The wire structs only document theirs; AgentConfig's hold."""
    config = AgentConfig(name="", channel="")

    def default(owner: type[msgspec.Struct], name: str) -> Any:
        (info,) = [f for f in msgspec.structs.fields(owner) if f.name == name]
        return info.default if info.default is not msgspec.NODEFAULT else info.default_factory()

    for name in ("idle_timeout", "audio_scenario"):
        assert default(kind, name) == getattr(config, name)
    assert default(kind, "asr").language == config.language
    assert default(kind, "tts").voice_id == config.voice
    vad = default(kind, turns)
    assert all(getattr(vad, name) == getattr(config.turn_detection, name) for name in OWN_NAMES[turns])
    llm = b.CustomLlm if turns == "vad" else b.LlmV2
    for name in ("metadata_enabled", "extra_metadata"):
        assert default(llm, name) == getattr(config.llm, name)
    read = w.parse_join(BODIES["v1" if turns == "vad" else "v2"], "v1" if turns == "vad" else "v2")
    assert default(llm, "max_history") == read.llm.max_history


def sections(kind: type[msgspec.Struct], prefix: str = "properties") -> list[str]:
    """The paths of every field that is an object."""
    found = []
    for info in fields(kind):
        path, nested = f"{prefix}.{info.encode_name}", reading.struct_of(info.type)
        if nested is not None:
            found += [path, *sections(nested, path)]
        elif get_origin(info.type) is Annotated and get_origin(get_args(info.type)[0]) is dict:
            found.append(path)
    return found


def put(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return {**body, name: put(body.get(name) or {}, rest, value) if rest else value}


@pytest.mark.parametrize(
    ("version", "path"),
    [("v1", path) for path in sections(b.PropertiesV1)] + [("v2", path) for path in sections(b.PropertiesV2)],
)
def test_an_empty_object_is_as_if_it_were_not_there(version: w.Version, path: str) -> None:
    """In every section. `record` alone says something by being there, which is ours, and documented."""
    body = BODIES[version]
    if path == "properties.custom_llm":
        return  # which must be there, and its url
    plain = w.parse_join(put(body, path, None), version)
    read = w.parse_join(put(body, path, {}), version)
    if path == "properties.record":
        assert (plain.record, read.record) == (None, "")
        return
    assert read == plain
    if path.count(".") == 1 and path != "properties.labels":  # what is in it says nothing either
        assert w.parse_join(put(body, path, {"nobodys": 1}), version) == plain
        nulls = dict.fromkeys(("enable", "params", "mode", "content"))
        assert w.parse_join(put(body, path, nulls), version) == plain


def test_the_older_switch_makes_something_of_an_empty_mllm() -> None:
    body = put(V2, "properties.advanced_features.enable_mllm", True)
    assert w.parse_join(put(body, "properties.mllm", {}), "v2").brain == "realtime"
    assert w.parse_join(put(body, "properties.mllm", {"enable": True}), "v2").brain == "realtime"


def test_the_whole_of_v1() -> None:
    """The example of reference 002, its -1 included."""
    body = {
        "name": "n",
        "properties": {
            "channel": "channel_name",
            "token": "token",
            "agent_rtc_uid": 1234,
            "remote_rtc_uid": 123,
            "input_modalities": ["text"],
            "output_modalities": ["text", "audio"],
            "idle_timeout": 120,
            "audio_scenario": 0,
            "rtc_codec": -1,
            "custom_llm": {
                "url": "https://llm.example.org/v1/chat/completions",
                "token": "sk-xxx",
                "prompt": "You are a helpful chatbot.",
                "model": "gpt-4o-mini",
                "max_history": 0,
                "greeting": "Merry Christmas, how can I assist you today?",
                "failure_message": "Please hold on a second.",
                "extra_metadata": {"userName": "Tomas", "kept": None},
                "metadata_enabled": True,
            },
            "tts": {"voice_id": "en-US-AvaNeural"},
            "asr": {"language": "zh-CN"},
            "vad": {
                "interrupt_threshold": 0,
                "prefix_padding_ms": 0,
                "silence_duration_ms": 1000,
                "threshold": 1,
            },
            "somebody_elses": {"key": 1},
        },
    }
    assert w.parse_join(body, "v1") == AgentConfig(
        name="n",
        channel="channel_name",
        token="token",
        uid="1234",
        remote_uids=["123"],
        language="zh-CN",
        voice="en-US-AvaNeural",
        instructions="You are a helpful chatbot.",
        idle_timeout=120,
        audio_scenario=0,
        rtc_codec=None,
        transcripts="v0.3",
        llm=Llm(
            url="https://llm.example.org/v1/chat/completions",
            api_key="sk-xxx",
            model="gpt-4o-mini",
            system_messages=[{"role": "system", "content": "You are a helpful chatbot."}],
            max_history=0,
            greeting_message="Merry Christmas, how can I assist you today?",
            failure_message="Please hold on a second.",
            extra_metadata={"userName": "Tomas", "kept": None},
            metadata_enabled=True,
            output_modalities=["text", "audio"],
        ),
        turn_detection=TurnDetection(threshold=1, interrupt_threshold=0, prefix_padding_ms=0, silence_duration_ms=1000),
    )


def test_the_whole_of_v2() -> None:
    body = changed(V2, "properties.agent_rtc_uid", "bot")
    properties = body["properties"]
    properties |= {
        "enable_string_uid": True,
        "remote_rtc_uids": ["*"],
        "turn_detection": {"threshold": 0.5, "backchannels": ["aye"], "false_interruption_timeout": 1},
        "tts": {"vendor": "microsoft", "params": {"voice_name": "en-US-JaneNeural"}},
        "avatar": {"enable": True, "vendor": "generic", "params": {"avatar_id": "kit", "quality": "low", "fps": 20}},
    }
    properties["llm"] |= {
        "api_key": "sk",
        "system_messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "An example."},
            {"role": "system", "content": "Be kind."},
        ],
        "params": {"model": "m", "temperature": 0.2},
        "greeting_message": "Hi.",
        "failure_message": "Sorry.",
        "input_modalities": ["image", "text"],
    }
    config = w.parse_join(body, "v2")
    assert (config.uid, config.string_uid, config.remote_uids) == ("bot", True, [])
    assert (config.llm.model, config.llm.params) == ("m", {"temperature": 0.2})
    assert (config.llm.api_key, config.llm.greeting_message, config.llm.failure_message) == ("sk", "Hi.", "Sorry.")
    assert config.llm.input_modalities == ["image", "text"]
    assert config.instructions == "Be brief.\n\nBe kind."
    assert len(config.llm.system_messages) == 3
    assert config.voice == "en-US-JaneNeural"
    assert (config.avatar, config.width, config.height, config.fps) == ("kit", 320, 180, 20)
    assert config.turn_detection == TurnDetection(threshold=0.5, backchannels=["aye"], false_interruption_timeout=1.0)
    assert (config.egress, config.motion_sets, config.motion_carrier) == (None, None, None)
    assert config.pixel_rate == 320 * 180 * 20
    for path in ("properties.avatar.egress", "properties.avatar.params.egress"):
        moved = changed(changed(body, path, "motion"), "properties.avatar.params.motion", {"carrier": "sei"})
        config = w.parse_join(moved, "v2")
        assert (config.egress, config.motion_carrier, config.pixel_rate) == ("motion", "sei", 0)
        again = w.parse_join(writing.join_body(config, "v2"), "v2")
        assert (again.egress, again.motion_carrier, again.motion_sets) == ("motion", "sei", None)
    for path, more, words in (
        ("properties.avatar.params.egress", {"egress": "video"}, "must be what avatar.egress is"),
        ("properties.avatar.params.motion", {"egress": "video"}, "sends no motion"),
        ("properties.avatar.params.motion.carrier", {"egress": "both"}, "is a video itself"),
    ):
        params = {"egress": "motion"} if path.endswith("egress") else {"motion": {"carrier": "sei"}}
        wrong = body["properties"]["avatar"] | {"params": params} | more
        with pytest.raises(e.InvalidAgentRequest, match=words) as caught:
            w.parse_join(changed(body, "properties.avatar", wrong), "v2")
        assert path in str(caught.value)
    off = changed(body, "properties.avatar.enable", False)
    assert w.parse_join(off, "v2").avatar is None


@pytest.mark.parametrize(("version", "body"), [("v1", V1), ("v2", V2)])
def test_a_film_is_asked_for_by_an_object(version: w.Version, body: dict[str, Any]) -> None:
    for asked, meant in ((None, None), ({}, ""), ({"file": None}, ""), ({"file": "a talk.webm"}, "a talk.webm")):
        assert w.parse_join(changed(body, "properties.record", asked), version).record == meant
    assert w.parse_join(body, version).record is None


def test_null_and_empty_count_as_absent() -> None:
    body = changed(V1, "properties.custom_llm.greeting", "")
    for path in ("custom_llm.token", "custom_llm.model", "custom_llm.max_history", "vad", "tts.voice_id", "rtc_codec"):
        body = changed(body, f"properties.{path}", None)
    assert w.parse_join(body, "v1") == w.parse_join(V1, "v1")
    everyone = changed(V1, "properties.remote_rtc_uid", 0)
    assert w.parse_join(everyone, "v1").remote_uids == []


def test_a_config_shares_nothing_with_its_body() -> None:
    body = changed(V1, "properties.custom_llm.extra_metadata", {"a": 1})
    config = w.parse_join(body, "v1")
    config.llm.extra_metadata["b"] = 2
    assert body["properties"]["custom_llm"]["extra_metadata"] == {"a": 1}


# ------------------------------------------------------------------------------------------------------------ errors

BAD = [("v1", path, value) for path, values in V1_BAD.items() for value in values]
BAD += [("v2", path, value) for path, values in V2_BAD.items() for value in values]


@pytest.mark.parametrize(("version", "path", "value"), BAD)
def test_each_field_is_checked_and_named(version: w.Version, path: str, value: Any) -> None:
    error = refused(changed(BODIES[version], path, value), version)
    assert re.fullmatch(rf"{re.escape(path)}(\.a|\.model|\[0\])?", error.faults[0].loc)  # or a member of it
    assert str(error).startswith(f"{error.faults[0].loc} ")
    assert (w.STATUS[type(error)], error.reason) == (400, "InvalidRequest")
    assert isinstance(error, ValueError | LipwireError)
    assert len(str(error)) < 400
    if value is ABSENT or value is None:
        assert error.faults[0].type == "missing"
        assert str(error).startswith(f"{path} is required")
    else:
        assert " must be " in str(error)


def test_headers_are_checked_and_not_told() -> None:
    body = V2
    headers = {"llm": {"X-Title": "mine"}, "tts": {"api-key": "s3cret"}, "asr": {"Ocp-Apim": "s3cret"}}
    for section, value in headers.items():
        body = changed(body, f"properties.{section}.headers", value)
    config = w.parse_join(body, "v2")
    assert (config.llm.headers, config.tts_headers, config.stt_headers) == tuple(headers.values())
    assert w.parse_join(writing.join_body(config, "v2"), "v2") == config
    with pytest.raises(e.InvalidAgentRequest, match="no headers"):
        writing.join_body(config, "v1")
    assert w.parse_update({"llm": {"headers": {"X": "y"}}}, "v2") == {"llm.headers": {"X": "y"}}
    for wrong, words in (
        ({"Host": "s3cret"}, "has Host, which"),
        ({"X-A": "s3cret\r\nX-B: 1"}, "a value for X-A"),
        ({"X-A": 5, "X-B": "s3cret"}, "headers.X-A must be a string, got a number"),
        (["s3cret"], "got a list"),
    ):
        told = str(refused(changed(V2, "properties.llm.headers", wrong), "v2"))
        assert words in told and "s3cret" not in told


def test_every_field_of_the_wire_is_in_the_list_of_bad_ones() -> None:
    """So that a new field cannot come without its tests."""

    def paths(kind: type[msgspec.Struct], prefix: str = "") -> set[str]:
        found = set()
        for info in fields(kind):
            nested = isinstance(info.type, type) and issubclass(info.type, msgspec.Struct)
            below = paths(info.type, f"{prefix}{info.encode_name}.") if nested else set()
            found |= below or {f"{prefix}{info.encode_name}"}
        return found

    same_rule = {"properties.tts.params.voice_id", "properties.avatar.params.height"}
    anything = {f"properties.avatar.params.{info.name}" for info in fields(b.AvatarParams) if info.type is Anything}
    same_rule |= anything
    assert paths(b.JoinV1) - same_rule <= set(V1_BAD)
    assert paths(b.JoinV2) - same_rule <= set(V2_BAD)


def test_wording_and_all_faults_at_once() -> None:
    body = changed(V1, "properties.custom_llm.max_history", 5000)
    assert str(refused(body, "v1")) == "properties.custom_llm.max_history must be an integer 0..1024, got 5000"
    body = changed(changed(body, "name", ABSENT), "properties.vad.threshold", 2)
    assert [fault.loc for fault in refused(body, "v1").faults] == [
        "name",
        "properties.custom_llm.max_history",
        "properties.vad.threshold",
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "properties", "llm", "custom_llm", "vad", "url"]), inner)
        ),
        max_leaves=12,
    ).filter(lambda value: isinstance(value, dict))
)
def test_no_body_raises_anything_else(body: dict[str, Any]) -> None:
    for parse in (w.parse_join, w.parse_update):
        for version in ("v1", "v2"):
            with pytest.raises(e.InvalidAgentRequest) if parse is w.parse_join else _maybe():
                parse(body, version)
    for simple in (w.parse_start_agent, w.parse_control, w.parse_stop_agent, w.parse_speak):
        with pytest.raises(e.InvalidAgentRequest):
            simple(body)


def test_every_changeable_address_and_secret_is_for_keys_only() -> None:
    """A field that comes to be changeable, and is one of those, has to be among SERVICE."""
    for version, paths in w.UPDATABLE.items():
        risky = {path for path in paths if re.search(r"url|key|headers|endpoint|secret|llm\.token", path)}
        assert risky == set(w.SERVICE[version])


def some(kind: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type may have."""
    if (struct := reading.struct_of(kind)) is not None:
        return objects(struct)
    if (item := reading.item_of(kind)) is not None:
        return st.lists(objects(item), max_size=2)
    if kind is b.Headers:
        return st.dictionaries(st.sampled_from(["X-A", "X-B"]), st.sampled_from(["", "a b"]), max_size=2)
    bare, metas = (get_args(kind)[0], kind.__metadata__) if get_origin(kind) is Annotated else (kind, ())
    limits = next(iter(metas), msgspec.Meta())
    if get_origin(bare) is Literal:
        return st.sampled_from(get_args(bare))
    if get_origin(bare) in (Union, UnionType):
        return st.one_of(*(some(one) for one in get_args(bare) if one is not type(None)))
    if get_origin(bare) is list:
        return st.lists(some(get_args(bare)[0]), min_size=limits.min_length or 0, max_size=3)
    if get_origin(bare) is dict or bare is Any:
        return st.dictionaries(
            st.sampled_from(["key", "model", "id", "a"]), st.sampled_from(["x", "{{a}}"]), max_size=2
        )
    if bare is bool:
        return st.booleans()
    if bare in (int, float):
        low, high = int(limits.ge or 0), int(limits.le if limits.le is not None else 10_000)
        return st.integers(low, high).map(lambda n: n - n % (limits.multiple_of or 1)) | st.just(float(low))
    texts = ["", "x", "7", "{{a}}", "en-US", "auto", "https://a.example.org/b", "wss://a.example.org", "a.mp4", "*"]
    return st.sampled_from(texts)


def objects(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of this kind, with some of the fields that they need not have."""
    needed = {info.encode_name: some(info.type) for info in fields(kind) if info.required}
    rest = {info.encode_name: some(info.type) for info in fields(kind) if not info.required}
    return st.fixed_dictionaries(needed, optional=rest)


SECTIONS = {info.encode_name: some(info.type) for info in fields(b.PropertiesV2) if not info.required}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from(sorted(SECTIONS)).flatmap(lambda name: st.tuples(st.just(name), SECTIONS[name])))
def test_whatever_is_in_a_section_is_read_and_written_or_refused(section: tuple[str, Any]) -> None:
    name, value = section
    body = changed(V2, f"properties.{name}", value)
    config = None
    with _maybe():
        config = w.parse_join(body, "v2")
    if config is not None:
        event("joined")
        assert w.parse_join(writing.join_body(config, "v2"), "v2") == config
    with _maybe():
        w.parse_update({"properties": {name: value}}, "v2", config)


class _maybe:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is e.InvalidAgentRequest


# ------------------------------------------------------------------------------------------------------------ update

ALLOWED_V1 = {
    "token": ("t", {"token": "t"}),
    "tts.voice_id": ("v", {"voice": "v"}),
    "custom_llm.url": ("http://a/b", {"llm.url": "http://a/b"}),
    "custom_llm.token": ("", {"llm.api_key": None}),
    "custom_llm.prompt": (
        "p",
        {"llm.system_messages": [{"role": "system", "content": "p"}], "instructions": "p"},
    ),
    "custom_llm.model": ("m", {"llm.model": "m"}),
    "custom_llm.greeting": ("g", {"llm.greeting_message": "g"}),
    "custom_llm.failure_message": ("f", {"llm.failure_message": "f"}),
    "custom_llm.extra_metadata": ({"a": 1}, {"llm.extra_metadata": {"a": 1}}),
    "custom_llm.metadata_enabled": (True, {"llm.metadata_enabled": True}),
    "vad.interrupt_threshold": (0.5, {"turn_detection.interrupt_threshold": 0.5}),
    "vad.prefix_padding_ms": (1, {"turn_detection.prefix_padding_ms": 1}),
    "vad.silence_duration_ms": (2, {"turn_detection.silence_duration_ms": 2}),
    "vad.threshold": (1, {"turn_detection.threshold": 1}),
}


def test_update_takes_the_fields_of_reference_002_and_no_other() -> None:
    assert set(w.UPDATABLE["v1"]) == set(ALLOWED_V1)
    for path, (value, changes) in ALLOWED_V1.items():
        body = changed({}, f"properties.{path}", value)
        assert w.parse_update(body, "v1") == changes
        assert w.parse_update(body["properties"], "v1") == changes
    assert w.parse_update({"properties": {}}, "v1") == w.parse_update({}, "v1") == {}
    assert w.parse_update(changed({}, "properties.avatar.params.feelings", False), "v2") == {"feelings": False}
    nothing = {"silence_duration_ms": None, "threshold": None}  # null is a value of the first
    assert w.parse_update({"vad": nothing, "token": None}, "v1") == {"turn_detection.silence_duration_ms": None}
    assert w.parse_update({"turn_detection": nothing}, "v2") == {"turn_detection.silence_duration_ms": None}
    assert w.parse_update({"turn_detection": {"backchannels": None}}, "v2") == {"turn_detection.backchannels": None}
    body = changed({}, "properties.llm.params", {"model": "m", "top_p": 1})
    assert w.parse_update(body, "v2") == {"llm.params": {"top_p": 1}, "llm.model": "m"}


@pytest.mark.parametrize(
    ("version", "path", "value"),
    [
        ("v1", "properties.channel", "other"),
        ("v1", "properties.agent_rtc_uid", 5),
        ("v1", "properties.idle_timeout", None),
        ("v1", "properties.asr.language", "de-DE"),
        ("v1", "properties.custom_llm.max_history", 3),
        ("v1", "properties.input_modalities", ["text"]),
        ("v1", "properties.vad.silence", 3),
        ("v1", "properties.colour", {}),
        ("v1", "channel", "other"),
        ("v2", "properties.avatar.params.avatar_id", "kit"),
        ("v2", "properties.llm.max_history", 3),
        ("v2", "properties.custom_llm.url", "http://a"),
    ],
)
def test_update_names_what_cannot_change(version: w.Version, path: str, value: Any) -> None:
    with pytest.raises(e.InvalidAgentRequest, match="cannot be changed") as caught:
        w.parse_update(changed({}, path, value), version)
    (fault,) = caught.value.faults
    assert (fault.loc, fault.type) == (path, "not_allowed")


def test_update_checks_ranges_and_survives_floods() -> None:
    with pytest.raises(e.InvalidAgentRequest, match=r"properties\.vad\.threshold must be a number 0\.\.1, got 7"):
        w.parse_update({"properties": {"vad": {"threshold": 7}}}, "v1")
    with pytest.raises(e.InvalidAgentRequest, match="properties must be an object"):
        w.parse_update({"properties": []}, "v1")
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"x": deep}
    flood = {f"k{n}": 1 for n in range(5000)} | {"deep": deep}
    with pytest.raises(e.InvalidAgentRequest, match="and 84 more") as caught:
        w.parse_update({"properties": flood}, "v1")
    assert len(str(caught.value)) < 2000


def test_apply() -> None:
    config = w.parse_join(V1, "v1")
    metadata = {"a": 1}
    apply(config, {"llm.model": "m", "voice": "v", "turn_detection.threshold": 0.1, "llm.params": metadata})
    assert (config.llm.model, config.voice, config.turn_detection.threshold) == ("m", "v", 0.1)
    metadata["b"] = 2
    assert config.llm.params == {"a": 1}


# ----------------------------------------------------------------------------------------------------- D, and speak


def test_start_agent() -> None:
    config = w.start_agent_config(w.parse_start_agent({"channel_name": "test", "uid": 123}))
    assert (config.channel, config.uid, config.language, config.voice) == ("test", "123", "en", "")
    assert (config.brain, config.idle_timeout, config.instructions) == ("realtime", 0, None)
    body = {"channel_name": "test", "uid": 1, "system_instruction": "Be kind.", "voice": "echo", "language": "de"}
    config = w.start_agent_config(w.parse_start_agent(body))
    assert config.instructions == "Be kind."
    assert config.llm.system_messages == [{"role": "system", "content": "Be kind."}]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel_name", ABSENT),
        ("channel_name", ""),
        ("channel_name", 5),
        ("uid", "123"),
        ("uid", -1),
        ("language", 5),
        ("system_instruction", 5),
        ("voice", ""),
        ("avatar", 5),
    ],
)
def test_start_agent_refuses(field: str, value: Any) -> None:
    with pytest.raises(e.InvalidAgentRequest) as caught:
        w.parse_start_agent(changed({"channel_name": "test", "uid": 1}, field, value))
    assert [fault.loc for fault in caught.value.faults] == [field]


def test_commands_come_with_what_they_need() -> None:
    for command, need in b.NEEDS.items():
        body: dict[str, Any] = {"channel_name": "test", "command": command}
        if need is not None:
            with pytest.raises(e.InvalidAgentRequest, match=f"{need} is required for {command}"):
                w.parse_control(body)
            with pytest.raises(e.InvalidAgentRequest, match=f"{need} must be"):
                w.parse_control(body | {need: 5})
            body[need] = False if need == "new_turn_detection" else "text"
        assert w.parse_control(body).command == command
    with pytest.raises(e.InvalidAgentRequest, match="command must be one of update_instruction"):
        w.parse_control({"channel_name": "test", "command": "dance"})


def test_speak_counts_bytes() -> None:
    assert w.parse_speak({"text": "ä" * 256}) == b.Speak(text="ä" * 256, priority="INTERRUPT", interruptable=True)
    for bad in ({}, {"text": ""}, {"text": " "}, {"text": "ä" * 257}, {"text": 5}):
        with pytest.raises(e.InvalidAgentRequest, match="text "):
            w.parse_speak(bad)
    with pytest.raises(e.InvalidAgentRequest, match="priority must be INTERRUPT"):
        w.parse_speak({"text": "x", "priority": "HIGH"})
    with pytest.raises(e.InvalidAgentRequest, match="interruptable must be true or false"):
        w.parse_speak({"text": "x", "interruptable": "no"})


# ----------------------------------------------------------------------------------------------------------- writing


def test_what_is_written_reads_back() -> None:
    config = w.parse_join(V1, "v1")
    config.token, config.rtc_codec, config.avatar = "t", 120, "kit"
    apply(config, {"llm.api_key": "k", "llm.model": "m", "llm.greeting_message": "Hi", **prompt("Be kind.")})
    assert w.parse_join(writing.join_body(config, "v1"), "v1") == config
    config.transcripts = "v2"
    assert w.parse_join(writing.join_body(config, "v2"), "v2") == config
    plain = AgentConfig(name="n", channel="c", uid="bot", string_uid=True, llm=Llm(url="http://a", params={"n": 1}))
    assert w.parse_join(writing.join_body(plain, "v2"), "v2") == plain
    with pytest.raises(e.InvalidAgentRequest, match="v1"):
        writing.join_body(plain, "v1")


def test_our_avatar_for_an_agent_elsewhere() -> None:
    avatar = writing.GenericAvatar(api_base_url="https://a.example.org", api_key="k", agora_uid="7").properties()
    assert (avatar["enable"], avatar["vendor"]) == (True, "generic")
    assert avatar["params"] == {
        "api_base_url": "https://a.example.org",
        "api_key": "k",
        "avatar_id": "aria",
        "quality": "medium",
        "version": "v1",
        "video_encoding": "H264",
        "activity_idle_timeout": 120,
        "agora_uid": "7",
    }


def test_merge() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert writing.merge(base, {"a": {"b": None, "e": 4}, "d": [5]}) == {"a": {"c": 2, "e": 4}, "d": [5]}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_errors_of_a_status() -> None:
    for status, kind in {400: ValueError, 403: PermissionError, 404: LookupError, 504: TimeoutError}.items():
        error = w.error_of(status, "why", "Reason")
        assert isinstance(error, kind)
        assert (error.status, error.detail, error.reason, str(error)) == (status, "why", "Reason", "why")
    assert type(w.error_of(418, "tea")) is e.AgentError
    assert w.error_of(418, "tea").status == 418


@pytest.mark.parametrize("nested", [False, True])
def test_an_update_of_very_many_unknown_fields_is_refused_for_the_first_of_them(nested: bool) -> None:
    unknown = {f"x{n}": {"y": n} if nested else n for n in range(10_000)}
    with pytest.raises(e.InvalidAgentRequest, match="cannot be changed") as caught:
        w.parse_update({"properties": unknown | {"llm": unknown}}, "v2")
    assert len(caught.value.faults) == w.MAX_FAULTS
