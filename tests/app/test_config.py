"""Settings: which place wins, and errors that say what is wrong and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from lipwire.app.config import URLS, Config, load, read_env, shown
from lipwire.cli.options import SERVER_OPTIONS, ServerOptions
from lipwire.errors import InvalidArgument, LipwireError
from lipwire.publish.turns import processors


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_set() -> None:
    config = load()
    assert config == Config()
    assert (config.http_port, config.ws_port, config.viewer_port) == (8764, 8765, 8080)
    assert config.bind == "127.0.0.1"


def test_defaults_then_file_then_environment_then_flags(tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text("http_port = 1\nws_port = 2\nviewer_port = 3\nbuffer_seconds = 30\n")
    environment = {"LIPWIRE_WS_PORT": "20", "LIPWIRE_VIEWER_PORT": "30", "HTTP_PORT": "99", "LIPWIRE_CPU": "c"}
    config = load({"viewer_port": 300, "http_port": None}, environment=environment)
    assert (config.http_port, config.ws_port, config.viewer_port) == (1, 20, 300)
    assert config.buffer_seconds == 30
    assert config.max_sessions == Config().max_sessions
    assert load(environment=environment).viewer_port == 30
    assert load({}).viewer_port == 3


def test_what_a_command_has_as_its_default_gives_way_to_the_file(tmp_path: Path) -> None:
    assert load(defaults={"log_level": "info"}).log_level == "info"
    (tmp_path / "lipwire.toml").write_text('log_level = "debug"\n')
    assert load(defaults={"log_level": "info"}).log_level == "debug"
    assert ServerOptions(dict.fromkeys(SERVER_OPTIONS)).load(log_level="info").log_level == "debug"


def test_a_named_file_counts_instead(tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text("http_port = 1\n")
    other = tmp_path / "other.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        other.write_text("ws_port = 2\n", encoding=encoding)
        config = load(path=other)
        assert (config.http_port, config.ws_port) == (8764, 2)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("VIEWER", "false", False),
        ("VIEWER", "0", False),
        ("VIEWER", "true", True),
        ("ANY_AVATAR", "0", False),
        ("MAX_SESSIONS", "7", 7),
        ("BUFFER_SECONDS", "12.5", 12.5),
        ("API_KEY", "1234", "1234"),
        ("ICE_HOST", "127.0.0.1", "127.0.0.1"),
        ("EGRESS", "motion", "motion"),
        ("LOG_LEVEL", "INFO", "INFO"),
        ("PUBLIC_HOSTS", "a.example, *.b.example", ("a.example", "*.b.example")),
        ("PUBLIC_HOSTS", "", ()),
        ("ALLOWED_ORIGINS", "https://a.example,http://b.example:81", ("https://a.example", "http://b.example:81")),
        ("REQUEST_TIMEOUT_SECONDS", "2.5", 2.5),
        ("MAX_PIXEL_RATE", "1e9", 10**9),
        ("KEY_PIXEL_RATE", "2.5E+8", 250_000_000),
    ],
)
def test_the_environment_is_text(name: str, text: str, value: object) -> None:
    assert getattr(load(environment={f"LIPWIRE_{name}": text}), name.lower()) == value


def refused(*words: str, lines: int = 1, **places: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(**places)
    assert isinstance(caught.value, LipwireError)
    text = str(caught.value)
    assert len(text.splitlines()) == lines
    for word in words:
        assert word in text


CLUSTER: dict[str, Any] = {"nats": ("nats://127.0.0.1:4222",), "api_key": "k", "session_secret": "s" * 32}
BESIDE = {"advertise_url": CLUSTER, "advertise_viewer_url": CLUSTER}
"""What some settings need."""


@pytest.mark.parametrize(("name", "scheme"), [(name, schemes[1]) for name, schemes in URLS.items()])
def test_addresses_have_a_scheme_and_a_host(name: str, scheme: str) -> None:
    plain = URLS[name][0]
    for place in (
        "face.example",
        "face.example:8443/ws",
        "127.0.0.1:8765",
        "[::1]:8765/x",
        "user:pass@face.example/a?b",
    ):
        for url in (scheme + place, plain + place):
            assert getattr(load({name: url} | BESIDE.get(name, {}), environment={}), name) == url
    for host in (
        "",
        "/ws",
        ":8765",
        "[oops/ws",
        "oops]/ws",
        "[::1",
        "a:b",
        "a:99999",
        "a:0",
        "a b",
        "a\n.b",
        "*",
        "*.a",
        "@",
    ):
        wrong: dict[str, Any] = {name: scheme + host}
        with pytest.raises(InvalidArgument, match=f"^{name} must be an address such as {scheme}avatar"):
            Config(**wrong)
        refused(f"LIPWIRE_{name.upper()}", "must be an address", environment={f"LIPWIRE_{name.upper()}": scheme + host})
    for text in ("face.example", "127.0.0.1:8765", "ftp://face.example", f" {scheme}face.example", ""):
        refused(
            f"{name} must start with {plain} or {scheme}", repr(text), environment={f"LIPWIRE_{name.upper()}": text}
        )


OUT_OF_RANGE = [
    ("http_port", 65536),
    ("models_memory_mb", 255),
    ("rtp_ports", "80-90"),
    ("rtp_host", "pbx.example.org"),
    ("rtp_public_host", "203.0.113.999"),
    ("ws_port", -1),
    ("viewer_port", 70000),
    ("max_sessions", 0),
    ("max_sessions", 1025),
    ("prebuffer_ms", 0),
    ("prebuffer_ms", 2001),
    ("voice_end_grace_ms", -1),
    ("voice_end_timeout_ms", 60_001),
    ("guard_window_ms", -5),
    ("buffer_seconds", 0.5),
    ("buffer_seconds", 3601),
    ("session_secret", "short"),
    ("api_key", ""),
    ("log_level", "loud"),
    ("max_agents", 0),
    ("max_agents", 1025),
    ("agent_brain", "human"),
    ("agora_app_id", "0" * 31),
    ("agora_app_certificate", "g" * 32),
    ("openai_url", "https://api.example.org"),
    ("llm_url", "api.example.org"),
    ("allowed_outward", ["http://a/"]),
    ("stt_url", "ws://a"),
    ("tts_url", ""),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_out_of_range_names_the_setting(name: str, value: Any, tmp_path: Path) -> None:
    refused(name, flags={name: value})
    refused(name, environment={f"LIPWIRE_{name.upper()}": str(value)})
    (tmp_path / "lipwire.toml").write_text(f"{name} = {msgspec.json.encode(value).decode()}\n")
    refused(name)
    with pytest.raises(ValueError, match=name):
        Config(**{name: value})


def test_a_list_has_commas_in_the_environment_and_brackets_in_the_file(tmp_path: Path) -> None:
    wanted = ("10.0.0.0/8", "localhost:8000")
    assert load(environment={"LIPWIRE_ALLOWED_OUTWARD": "10.0.0.0/8, localhost:8000,"}).allowed_outward == wanted
    (tmp_path / "lipwire.toml").write_text('allowed_outward = ["10.0.0.0/8", "localhost:8000"]\n')
    assert load(path=tmp_path / "lipwire.toml").allowed_outward == wanted
    refused("LIPWIRE_ALLOWED_OUTWARD", environment={"LIPWIRE_ALLOWED_OUTWARD": "10.0.0.0/8,a/b"})


def test_headers_are_a_table_in_the_file_and_json_in_the_environment(tmp_path: Path) -> None:
    wanted = {"api-key": "s3cret", "X-Title": "my agent"}
    environment = {"LIPWIRE_TTS_HEADERS": msgspec.json.encode(wanted).decode()}
    assert load(environment=environment).tts_headers == wanted
    (tmp_path / "lipwire.toml").write_text('[llm_headers]\napi-key = "s3cret"\nX-Title = "my agent"\n')
    config = load(path=tmp_path / "lipwire.toml")
    assert config.llm_headers == wanted and shown("llm_headers", config.llm_headers) == "set"
    assert config.stt_headers is None and shown("stt_headers", None) is None
    for text in ('{"Host": "s3cret"}', "api-key: s3cret", '{"a": 1}', '["s3cret"]', '{"X": "s3cret\\u0000"}'):
        with pytest.raises(InvalidArgument, match="stt_headers") as caught:
            load(environment={"LIPWIRE_STT_HEADERS": text})
        assert "s3cret" not in str(caught.value)


def test_out_of_range_names_the_place(tmp_path: Path) -> None:
    refused("LIPWIRE_HTTP_PORT", environment={"LIPWIRE_HTTP_PORT": "99999"})
    (tmp_path / "lipwire.toml").write_text("http_port = 99999\n")
    refused("lipwire.toml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HTTP_PORT", "many"),
        ("VIEWER", "perhaps"),
        ("BUFFER_SECONDS", ""),
        ("MAX_SESSIONS", "1.5"),
        ("MAX_PIXEL_RATE", "1.5e0"),
        ("MAX_PIXEL_RATE", "1e99"),
    ],
)
def test_a_wrong_type_in_the_environment(name: str, text: str) -> None:
    refused(f"LIPWIRE_{name}", environment={f"LIPWIRE_{name}": text})


@pytest.mark.parametrize("line", ['http_port = "8080"', "viewer = 1", "api_key = 5", "http_port = 1.5", "host = []"])
def test_a_wrong_type_in_the_file(line: str, tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text(line)
    refused("lipwire.toml")


def test_a_word_that_is_none_of_the_allowed_names_them(tmp_path: Path) -> None:
    refused("LIPWIRE_AGORA: agora must be one of auto, on, off", environment={"LIPWIRE_AGORA": ""})
    refused("LIPWIRE_EGRESS", environment={"LIPWIRE_EGRESS": "sound"})
    (tmp_path / "lipwire.toml").write_text('tracing = "sometimes"\n')
    refused("lipwire.toml, line 1: tracing must be one of auto, on, off, got 'sometimes'")


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    file = tmp_path / "lipwire.toml"
    file.write_text("max_pixel_rate = 1e9\nmax_sessions = 7.0\n")
    read = load(path=file)
    assert (read.max_pixel_rate, read.max_sessions) == (10**9, 7)
    assert type(read.max_pixel_rate) is int
    for text in ("1.5e0", "inf", "nan"):
        file.write_text(f"max_pixel_rate = {text}")
        refused("max_pixel_rate", path=file)


def test_a_wrong_type_in_the_file_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text('ws_port = 1\nhttp_port = "8080"\n')
    refused("lipwire.toml", "http_port")


def test_what_is_unknown_or_no_toml(tmp_path: Path) -> None:
    file = tmp_path / "lipwire.toml"
    file.write_text("htpp_port = 1\n")
    refused("lipwire.toml", "htpp_port", "http_port")
    file.write_text("[server]\nhttp_port = 1\n")
    refused("lipwire.toml", "server")
    file.write_text("http_port = = 1\n")
    refused("lipwire.toml", "line 1")
    file.write_bytes(b"\xff\xfe\0")
    refused("lipwire.toml")
    refused("none.toml", path=tmp_path / "none.toml")
    refused("cannot read", path=tmp_path)


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text('# ports\nhttp_port = 99999\n\n[tables]\n"ws_port" = 1\n')
    environment, flags = {"LIPWIRE_MAX_VIEWERS": "none"}, {"log_level": "loud"}
    words = (
        "4 settings",
        "line 2: http_port",
        "line 4: unknown setting 'tables'",
        "LIPWIRE_MAX_VIEWERS",
        "--log-level",
    )
    refused(*words, lines=5, environment=environment, flags=flags)


def test_an_open_address_needs_a_key() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.com"):
        refused("LIPWIRE_API_KEY", host, flags={"host": host})
        assert load({"host": host, "api_key": "k"}).bind == host
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert load({"host": host}).bind == host
    assert load(environment={"LIPWIRE_API_KEY": "k"}).bind == "0.0.0.0"
    assert load({"api_key": "k", "host": "127.0.0.1"}).bind == "127.0.0.1"


# -------------------------------------------------------------------------------------------------- other names, .env


def test_names_that_others_gave_some_settings() -> None:
    environment = {"OPENAI_API_KEY": "sk", "AGORA_APP_ID": "a" * 32, "AGORA_APP_CERT": "b" * 32}
    config = load(environment=environment)
    assert (config.openai_api_key, config.agora_app_id, config.agora_app_certificate) == ("sk", "a" * 32, "b" * 32)
    config = load(environment=environment | {"LIPWIRE_OPENAI_API_KEY": "ours", "AGORA_APP_CERTIFICATE": "c" * 32})
    assert (config.openai_api_key, config.agora_app_certificate) == ("ours", "c" * 32)
    assert load(environment={"OPENAI_API_KEY": ""}).openai_api_key is None
    refused("AGORA_APP_ID", "32 hexadecimal", environment={"AGORA_APP_ID": "short"})


ENV = r"""
# a comment
PLAIN=value
 export EXPORTED = with blanks around
EMPTY=
COMMENTED=value # with a comment
HASH=value#kept
ONLY= # nothing
URL=https://example.org/?a=1&b=$PLAIN
SINGLE='as it is: \n "$PLAIN" # ' # comment
DOUBLE="tab\tquote\" back\\slash\nline 'x' #kept"
TWICE=1
TWICE=2
UNICODE=ä€
"""


def test_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbf" + ENV.replace("\n", "\r\n", 3).encode())
    assert read_env() == read_env(tmp_path / ".env")
    assert read_env() == {
        "PLAIN": "value",
        "EXPORTED": "with blanks around",
        "EMPTY": "",
        "COMMENTED": "value",
        "HASH": "value#kept",
        "ONLY": "",
        "URL": "https://example.org/?a=1&b=$PLAIN",
        "SINGLE": r'as it is: \n "$PLAIN" # ',
        "DOUBLE": "tab\tquote\" back\\slash\nline 'x' #kept",
        "TWICE": "2",
        "UNICODE": "ä€",
    }
    assert read_env(tmp_path / "none") == {}


@pytest.mark.parametrize("line", ["KEY", "=value", "1KEY=x", "KEY='x", 'KEY="x', 'KEY="x"y', "KEY='it's'", "a b=c"])
def test_env_lines_that_are_none(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"GOOD=1\n{line}\n")
    with pytest.raises(InvalidArgument, match=r"\.env, line 2"):
        read_env()


def test_env_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot read"):
        read_env(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0")
    with pytest.raises(InvalidArgument, match="cannot read"):
        read_env(tmp_path / "binary")


def test_lists_of_names_and_pages(tmp_path: Path) -> None:
    (tmp_path / "lipwire.toml").write_text('public_hosts = ["a.example"]\nallowed_origins = ["https://b.example"]\n')
    config = load()
    assert (config.public_hosts, config.allowed_origins) == (("a.example",), ("https://b.example",))
    assert load({"public_hosts": "c.example,d.example"}).public_hosts == ("c.example", "d.example")
    refused("LIPWIRE_PUBLIC_HOSTS", "https://a.example", environment={"LIPWIRE_PUBLIC_HOSTS": "https://a.example"})
    refused("--allowed-origins", "'*'", "https://app.example.org", flags={"allowed_origins": "*"})
    refused("tls_key", "tls_cert", flags={"tls_key": "key.pem"})


# ---------------------------------------------------------------------------------------------- workers, and machines


@pytest.mark.parametrize(("given", "count"), [("auto", None), ("1", 1), ("3", 3), (2, 2)])
def test_how_many_workers(given: Any, count: int | None) -> None:
    found = load({"workers": given}, environment={})
    assert found.worker_count == (count or processors())
    assert found.fronted == (found.worker_count > 1)
    assert load({}, environment={"LIPWIRE_WORKERS": str(given)}).workers == found.workers


@pytest.mark.parametrize("given", ["0", "65", "many", "-1", "2.5", 0, 65, "abc", "2000"])
def test_no_such_number_of_workers(given: Any) -> None:
    said = f"got {given}" if str(given) in ("0", "65") else f"got {given!r}"
    refused("--workers", "auto or 1..64", said, flags={"workers": given}, environment={})


def test_workers_need_addresses_of_their_own() -> None:
    refused("public_ws_url must have {port} or {worker}", flags={"workers": 2, "public_ws_url": "wss://a.example/ws"})
    refused("ws_port: 3 workers have no ports from 65534 on", flags={"workers": 3, "ws_port": 65534})
    for name in ("http_port", "viewer_port"):
        ports = {"ws_port": 18763, name: 18764}
        refused(f"{name} 18764", "18763..18764", flags={"workers": 2} | ports, environment={})
        assert load({"workers": 1} | ports, environment={}).ws_port == 18763
    assert load({"workers": 2, "ws_port": 18763, "viewer_port": 18764, "viewer": False}, environment={}).workers == 2
    for url in ("wss://a.example:{port}", "wss://w{worker}.a.example", "wss://a.example/{port}"):
        assert load({"workers": 2, "public_ws_url": url}, environment={}).public_ws_url == url


def test_machines_of_a_cluster() -> None:
    found = load(
        {}, environment={"LIPWIRE_NATS": "nats://u:secret@a:4222, tls://b"} | {"LIPWIRE_API_KEY": "k"} | SECRET
    )
    assert found.nats == ("nats://u:secret@a:4222", "tls://b") and found.fronted
    assert shown("nats", found.nats) == ("nats://a:4222", "tls://b")
    refused("nats needs api_key and session_secret", flags={"nats": "nats://a"}, environment={})
    refused("nats needs session_secret", flags={"nats": "nats://a", "api_key": "k"}, environment={})
    for name in ("node", "nats_creds", "nkeys_seed_file", "advertise_url"):
        refused(
            f"{name} needs nats",
            flags={name: "somewhere" if name != "advertise_url" else "http://a.example"},
            environment={},
        )
    refused("two ways to the same", flags=CLUSTER | {"nats_creds": "a", "nkeys_seed_file": "b"}, environment={})
    for name in ("node", "cluster"):
        refused(f"{name} must be 1..64 letters", flags=CLUSTER | {name: "a.b"}, environment={})


@pytest.mark.parametrize("url", ["a:4222", "http://a:4222", "nats://", "nats://a:0", "nats://a b", "nats://a:x"])
def test_no_address_of_nats(url: str) -> None:
    refused("nats", "write it as nats://host:4222", flags=CLUSTER | {"nats": (url,)}, environment={})
    assert "secret" not in shown("nats", (url.replace("://", "://u:secret@"),))[0]


SECRET = {"LIPWIRE_SESSION_SECRET": "s" * 32}
