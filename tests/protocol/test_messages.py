"""protocol/messages.py: request validation, the quality table and the shape of every message on the wire."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipwire.errors import InvalidArgument
from lipwire.protocol import messages as m
from support.provider_stage import start_body


def test_members_that_are_no_fields_are_found() -> None:
    body = start_body(extra={"n": 1}, width=64, aspect_ratio="16:9", video_width=64) | {"record": {"file": "a.mp4"}}
    body["agora_settings"] |= {"rtm": True}
    body["motion"] = {"sets": ["head"], "rate": 9}
    assert m.unknown_members(body) == ["extra", "agora_settings.rtm", "motion.rate"]
    assert m.unknown_members({"agora_settings": None, "rtp": {"sdp": ""}}) == []


def test_a_good_request() -> None:
    request = m.parse_start(start_body(extra={"ignored": True}))
    assert request.agora_settings.channel == "room"
    assert request.activity_idle_timeout == 120
    assert m.parse_start(start_body(activity_idle_timeout=0)).activity_idle_timeout == 0
    assert m.parse_start(start_body(activity_idle_timeout=2.5)).activity_idle_timeout == 2.5
    assert m.parse_start(start_body(app_id="", token="", channel="", uid="")).agora_settings.app_id == ""
    body = start_body(width=None)
    body["width"] = None
    assert m.parse_start(body).width is None


REQUIRED = ["avatar_id", "agora_settings"]
AGORA = ["app_id", "channel", "uid"]


@pytest.mark.parametrize("name", REQUIRED)
def test_one_missing_field(name: str) -> None:
    for value in (..., None):
        body = start_body()
        if value is ...:
            del body[name]
        else:
            body[name] = None
        with pytest.raises(InvalidArgument) as caught:
            m.parse_start(body)
        assert str(caught.value) == f"Missing required field: {name}"


@pytest.mark.parametrize("name", AGORA)
def test_one_missing_agora_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        m.parse_start(start_body(**{name: None}))
    assert str(caught.value) == f"Missing required field: agora_settings.{name}"


@pytest.mark.parametrize("changes", [{}, {"token": None}, {"token": ""}], ids=["absent", "null", "empty"])
def test_a_project_without_certificate_has_no_token(changes: dict[str, Any]) -> None:
    body = start_body(token=None)
    body["agora_settings"] |= changes
    request = m.parse_start(body)
    assert request.agora_settings.token == ""
    assert json.loads(m.encode(request))["agora_settings"]["token"] == ""


def test_many_missing_fields() -> None:
    with pytest.raises(InvalidArgument) as caught:
        m.parse_start({})
    assert str(caught.value) == "Missing required field(s): " + ", ".join(REQUIRED)
    with pytest.raises(InvalidArgument) as caught:
        m.parse_start(start_body(avatar_id=None, uid=None))
    assert str(caught.value) == "Missing required field(s): avatar_id, agora_settings.uid"


@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_what_the_engines_configuration_has_no_field_for_gets_a_default(absent: bool) -> None:
    names = ("quality", "version", "video_encoding")
    body = start_body(**dict.fromkeys(names), enable_string_uid=None)  # absent
    if not absent:
        body |= dict.fromkeys(names)
        body["agora_settings"]["enable_string_uid"] = None
    request = m.parse_start(body)
    assert (request.quality, request.version, request.video_encoding) == ("high", "v1", "H264")
    assert request.agora_settings.enable_string_uid is False
    sent = json.loads(m.encode(request))  # what our own clients send to others' providers has all of it
    assert sent["quality"] == "high" and sent["agora_settings"]["enable_string_uid"] is False


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"video_width": 800, "video_height": 600}, (800, 600)),
        ({"video_width": 800, "width": 800}, (800, 360)),
        ({"aspect_ratio": "16:9"}, (640, 360)),
        ({"aspect_ratio": "9:16"}, (360, 640)),
        ({"aspect_ratio": "1:1"}, (480, 480)),
        ({"aspect_ratio": "4:3"}, (554, 416)),
        ({"aspect_ratio": "9:16", "width": 180}, (180, 320)),
        ({"aspect_ratio": "9:16", "video_height": 640}, (360, 640)),
        ({"aspect_ratio": "16:9", "width": 1280, "height": 720}, (1280, 720)),
    ],
)
def test_other_words_for_the_size(asked: dict[str, Any], size: tuple[int, int]) -> None:
    granted = m.grant(m.parse_start(start_body(quality="medium", **asked)))
    assert (granted.width, granted.height) == size


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"video_width": 800, "width": 640}, "video_width is 800, and width is 640"),
        ({"video_width": 801}, "Invalid value for video_width: 801; allowed: an even integer 16..1920"),
        ({"aspect_ratio": "wide"}, 'Invalid value for aspect_ratio: "wide"; allowed: "1:4" to "4:1", as "9:16"'),
        ({"aspect_ratio": 1.5}, "Invalid value for aspect_ratio: 1.5"),
        ({"aspect_ratio": "9:1"}, 'Invalid value for aspect_ratio: "9:1"'),
        ({"aspect_ratio": "0:1"}, 'Invalid value for aspect_ratio: "0:1"'),
        (
            {"aspect_ratio": "9:16", "width": 1280, "height": 720},
            "aspect_ratio is 9:16, and width x height is 1280x720",
        ),
        ({"aspect_ratio": "1:2", "width": 1920}, "Invalid value for height: 3840"),
        ({"aspect_ratio": "1:1", "width": "x"}, 'Invalid value for width: "x"'),
        ({"area": "MARS"}, 'Invalid value for area: "MARS"'),
    ],
)
def test_sizes_and_areas_that_are_none(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        m.parse_start(start_body(**asked))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("avatar_id", ["", "x" * 257, 5, []], "1 to 256"),
        ("quality", ["best", "HIGH", "", 1, ["low"], {}], "one of low, medium, high"),
        ("version", ["v2", "1", 1], "one of v1"),
        ("video_encoding", ["h264", "VP9", 5], "one of H264, VP8, AV1"),
        ("agora_settings", [[], "x", 5, True], "an object"),
        ("app_id", [5, [], False], "a string"),
        ("token", [5], "a string"),
        ("channel", [5], "a string"),
        ("uid", [5, 0], "a string"),
        ("enable_string_uid", ["true", 0, 1], "true or false"),
        ("activity_idle_timeout", [-1, -0.5, "120", True, []], "seconds >= 0"),
        ("width", [0, 14, 17, 1922, 640.0, "640", True, -2], "even integer 16..1920"),
        ("height", [0, 14, 17, 1922], "even integer 16..1920"),
        ("fps", [0, 61, 60.5, "fast", "30000/0", "1/2", True, []], "a number 1..60, or a ratio"),
        ("sample_rate", [7999, 48001, 16000.0], "integer 8000..48000"),
        ("egress", ["audio", "", 5], "one of video, motion, both"),
        ("motion", ["sei", 5, []], "an object"),
        ("rtp", ["v=0", 5, {}, {"sdp": 1}, {"sdp": None}], "an object with an SDP offer in sdp"),
    ],
)
def test_out_of_range_names_field_value_and_allowed(name: str, values: list[Any], allowed: str) -> None:
    for value in values:
        with pytest.raises(InvalidArgument) as caught:
            m.parse_start(start_body(**{name: value}))
        text = str(caught.value)
        assert name in text
        assert allowed in text
        assert json.dumps(value, separators=(",", ":"))[:40] in text
        assert len(text) < 250


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000, b'"x"', b"{}x"])
def test_no_object(body: bytes) -> None:
    assert m.parse_object(body) is None


def test_quality_gives_the_picture_and_explicit_values_win() -> None:
    low, medium, high = (m.grant(m.parse_start(start_body(quality=q))) for q in ("low", "medium", "high"))
    assert (low.width, low.height, low.fps) == (320, 180, 15)
    assert (medium.width, medium.height, medium.fps) == (640, 360, 25)
    assert (high.width, high.height, high.fps) == (1280, 720, 25)
    assert low.bitrate < medium.bitrate < high.bitrate
    assert (medium.sample_rate, medium.egress, medium.video_encoding) == (48000, "both", "H264")
    for fps, granted in ((29.97, 29.97), ("29.97", 29.97), ("30000/1001", 30000 / 1001), (25.0, 25)):
        assert m.grant(m.parse_start(start_body(fps=fps))).fps == granted
    mine = m.grant(m.parse_start(start_body(width=1280, height=720, fps=50, sample_rate=24000, egress="motion")))
    assert (mine.width, mine.height, mine.fps, mine.sample_rate, mine.egress) == (1280, 720, 50, 24000, "motion")
    assert mine.bitrate == 8 * medium.bitrate
    only_width = m.grant(m.parse_start(start_body(width=480)))
    assert (only_width.width, only_width.height) == (480, 360)


@pytest.mark.parametrize(
    ("motion", "egress", "granted"),
    [
        ({}, None, m.MotionRequest()),
        ({"sets": ["pose", "head"], "more": 1}, "both", m.MotionRequest(sets=["pose", "head"])),
        ({"carrier": "sei", "sets": None}, "motion", m.MotionRequest(carrier="sei")),
        ({"sets": []}, None, "motion.sets"),
        ({"sets": ["face"]}, None, "some of visemes, arkit, head, pose, azure"),
        ({"carrier": "pigeon"}, "motion", "one of data, sei"),
        ({}, "video", "egress 'video' sends none"),
        ({"carrier": "sei"}, "both", "egress must be 'motion'"),
        ({"carrier": "sei"}, None, "egress must be 'motion'"),
    ],
)
def test_motion_goes_with_egress(motion: Any, egress: Any, granted: Any) -> None:
    body = start_body(motion=motion, egress=egress)
    if isinstance(granted, m.MotionRequest):
        assert m.parse_start(body).motion == granted
        return
    with pytest.raises(InvalidArgument, match=re.escape(granted)):
        m.parse_start(body)


def test_what_is_not_said_is_the_server_s() -> None:
    said, not_said = (m.parse_start(start_body(egress=egress)) for egress in ("video", None))
    assert [m.grant(one, "motion").egress for one in (said, not_said)] == ["video", "motion"]


def test_an_offer_of_rtp_is_taken_as_text() -> None:
    assert m.parse_start(start_body(rtp={"sdp": "v=0", "later": 1})).rtp == m.RtpRequest(sdp="v=0")
    assert m.parse_start(start_body(rtp=None)).rtp is None


def test_stop() -> None:
    assert m.parse_stop({}) == m.StopRequest()
    assert m.parse_stop({"session_id": "", "session_token": None, "x": 1}) == m.StopRequest()
    assert m.parse_stop({"session_id": "a", "session_token": "b"}) == m.StopRequest(session_id="a", session_token="b")
    for name in ("session_id", "session_token"):
        with pytest.raises(InvalidArgument, match=name):
            m.parse_stop({name: 5})


def test_messages_on_the_wire() -> None:
    start = m.parse_start(start_body())
    granted = m.grant(start)
    pairs: list[tuple[msgspec.Struct, dict[str, Any]]] = [
        (
            m.Voice(b"\0\1", 24000, "PCM16", "e"),
            {"command": "voice", "audio": "AAE=", "sampleRate": 24000, "encoding": "PCM16", "event_id": "e"},
        ),
        (m.VoiceEnd("e"), {"command": "voice_end", "event_id": "e"}),
        (m.Interrupt("e"), {"command": "voice_interrupt", "event_id": "e"}),
        (m.Heartbeat("e", 5), {"command": "heartbeat", "event_id": "e", "timestamp": 5}),
        (m.Special({"g": 1}, "e"), {"command": "special", "content": {"g": 1}, "event_id": "e"}),
        (
            m.InitMessage(session_id="s", **{f: getattr(start, f) for f in start.__struct_fields__}),
            {"command": "init", "session_id": "s", **start_body()},
        ),
        (m.InitAck("s", granted), {"command": "init_ack", "session_id": "s", "granted": msgspec.to_builtins(granted)}),
        (m.HeartbeatAck("e", 5), {"command": "heartbeat_ack", "event_id": "e", "timestamp": 5}),
        (m.PlaybackStarted("e"), {"command": "playback_started", "event_id": "e"}),
        (
            m.PlaybackFinished("e", 1500, True),
            {"command": "playback_finished", "event_id": "e", "position_ms": 1500, "interrupted": True},
        ),
        (m.Underrun(10, 20), {"command": "underrun", "position_ms": 10, "duration_ms": 20}),
        (m.Dtmf("#", 120), {"command": "dtmf", "digit": "#", "duration_ms": 120}),
        (m.RateMismatch(24000, 16000), {"command": "rate_mismatch", "declared": 24000, "measured": 16000}),
        (m.ErrorEvent("C", "text", "e"), {"command": "error", "code": "C", "message": "text", "event_id": "e"}),
        (m.StopReply(), {"status": "success", "message": "Session terminated successfully"}),
        (m.ErrorReply(error="a", message="b", code="c"), {"error": "a", "message": "b", "code": "c"}),
    ]
    for message, expected in pairs:
        assert json.loads(m.encode(message)) == expected
        if isinstance(message, m.ServerEvent):
            assert m.decode_event(m.encode(message)) == message


def test_a_client_only_logs_what_it_does_not_know() -> None:
    for text in ("", "{", "[]", '{"command":"new_thing"}', '{"command":"error"}', "\ud800", b"\xff"):
        assert m.decode_event(text) is None
    assert m.decode_event('{"command":"playback_started","event_id":"e","new":1}') == m.PlaybackStarted("e")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3),
    max_leaves=5,
)
names = st.sampled_from([*m.ALLOWED, "session_id", "session_token"])


@given(st.dictionaries(names, values), st.dictionaries(names, values))
def test_validation_raises_only_invalid_argument(changes: dict[str, Any], agora: dict[str, Any]) -> None:
    body = start_body() | changes
    if isinstance(body.get("agora_settings"), dict):
        body["agora_settings"] = body["agora_settings"] | agora
    for parse in (m.parse_start, m.parse_stop):
        try:
            parsed = parse(body)
        except InvalidArgument as exc:
            assert len(str(exc)) < 400
        else:
            assert m.encode(parsed)
