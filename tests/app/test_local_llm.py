"""A chat model of this machine: what counts as one, which is taken, and when nobody is asked."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from lipwire.app import local_llm
from lipwire.app.config import Config
from lipwire.app.local_llm import Port, at_ourselves, choose_model, find, looks, read_models, settle_llm, told
from lipwire.app.service import Service
from lipwire.errors import InvalidArgument
from support.fakes.server import HttpFake, Request, Response
from support.ports import free_ports


class Models(HttpFake):
    """A server that has these models."""

    path, method = "/v1/models", "GET"

    def __init__(self, *models: str, status: int = 200, body: bytes | None = None, coding: str = "") -> None:
        super().__init__()
        self.headers = {"content-encoding": coding} if coding else {}
        data = [{"id": model, "object": "model", "created": 1, "owned_by": "library"} for model in models]
        self.body = json.dumps({"object": "list", "data": data}).encode() if body is None else body
        self.status = status

    async def answer(self, request: Request) -> Response:
        assert not request.body and "authorization" not in request.headers
        return Response(self.status, self.body, headers=self.headers)

    @property
    def port(self) -> Port:
        return Port(int(self.url.split(":")[2].split("/")[0]), "Ollama")


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a machine that is busy: nobody here keeps others waiting."""
    monkeypatch.setattr(local_llm, "TIMEOUT", 30.0)


CLOSED = Port(1, "nobody")
HERE = ("127.0.0.1",)


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        (("nomic-embed-text:latest", "llama3.2:latest"), "llama3.2:latest"),
        (("deepseek-r1:8b", "qwen2.5-coder:7b", "gemma3:4b", "llama3.2"), "gemma3:4b"),
        (("deepseek-r1:8b", "bge-m3"), "deepseek-r1:8b"),
        (("text-embedding-nomic-embed-text-v1.5", "qwen/qwen3-4b-2507"), "qwen/qwen3-4b-2507"),
        (("whisper-large-v3", "kokoro-tts", "bge-reranker-v2"), None),
        (("/models/mistral-7b-instruct.Q4_K_M.gguf",), "/models/mistral-7b-instruct.Q4_K_M.gguf"),
        ((), None),
    ],
)
def test_which_model_is_taken(models: tuple[str, ...], chosen: str | None) -> None:
    assert choose_model(models) == chosen


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b"{}", b'{"data": 5}', b'{"data": [5]}', b'{"data": [{"name": "x"}]}',
     b'{"data": [{"id": ""}]}',
     b'{"data": [{"id": "a\\u001b[2J"}]}', b'{"data": [{"id": "' + b"a" * 201 + b'"}]}', b'{"data":' + b"[" * 2000],
)  # fmt: skip
async def test_what_is_no_list_of_models_is_left_alone(body: bytes) -> None:
    assert read_models(body) is None
    async with Models(body=body) as other:
        assert await find(ports=[other.port], hosts=HERE) is None


async def test_a_list_that_is_compressed_is_not_unpacked() -> None:
    body = gzip.compress(json.dumps({"data": [{"id": "llama3.2"}]}).encode())
    async with Models(body=body, coding="gzip") as other:
        assert await find(ports=[other.port], hosts=HERE) is None
        assert {request.headers["accept-encoding"] for request in other.received} == {"identity"}


async def test_the_first_server_with_a_model_is_taken() -> None:
    assert read_models(b'{"object": "list", "data": null}') == ()  # Ollama, before a model was pulled
    async with (
        Models("bge-m3") as none,
        Models(status=401) as locked,
        Models("llama3.2", "phi4") as good,
        Models("x") as late,
    ):
        ports = [CLOSED, none.port, locked.port, good.port, late.port]
        found = await find(ports=ports)
        assert found is not None and found.url == f"http://127.0.0.1:{good.port.number}/v1/chat/completions"
        assert (found.model, found.models) == ("llama3.2", ("llama3.2", "phi4"))
        (line, how) = told(found, "cascade")
        assert "llama3.2 at http://127.0.0.1" in line and "it has phi4 (--llm-model)" in line and "--no-find-llm" in how
        wanted = await find("phi4", ports, HERE)
        assert wanted is not None and wanted.model == "phi4"
        with pytest.raises(InvalidArgument, match=r"'none of them'.* have bge-m3, llama3.2, phi4, x\. Name one"):
            await settle_llm(Config(llm_model="none of them"), ports=ports)
        default = Config().llm_model  # somebody may name that, who then gets no other
        with pytest.raises(InvalidArgument, match=f"'{default}'.* have bge-m3, llama3.2"):
            await settle_llm(Config(), ports=ports, named=default)
        assert await find("none of them", [CLOSED], HERE) is None
        settled, what = await settle_llm(Config(), ports=ports)
        assert what == found and (settled.llm_url, settled.llm_model) == (found.url, "llama3.2")
        # the URL of one, without a model
        url = f"http://127.0.0.1:{late.port.number}/v1/chat/completions"
        settled, what = await settle_llm(Config(llm_url=url, openai_api_key="k"), ports=[])
        assert (settled.llm_url, settled.llm_model) == (url, "x") and what is not None
        assert told(what, "cascade") == [f"model      x at {url}"]
        asked = len(late.received)
        for said in ({"llm_model": "m"}, {"find_llm": False}):
            config = Config(llm_url=url, **said)  # type: ignore[arg-type]
            assert await settle_llm(config, ports=[]) == (config, None) and len(late.received) == asked
    assert await settle_llm(Config(), ports=ports) == (Config(), None)
    assert "guide" in told(None, "guide")[0] and told(None, None) == []


async def test_ollama_appends_latest() -> None:
    async with Models("llama3.2:1b", "llama3.2:latest") as ollama:
        found = await find("llama3.2", [ollama.port], HERE)
        assert found is not None and found.model == "llama3.2:latest"


@pytest.mark.parametrize(
    "said",
    [
        {"openai_api_key": "k"},
        {"openai_url": "wss://realtime.example.org/v1/realtime"},
        {"llm_headers": {"X-Key": "secret"}},
        {"llm_url": "https://llm.example.org/v1/chat/completions"},
        {"find_llm": False},
        {"agent_brain": "guide"},
        {"agent_brain": "realtime"},
    ],
)
async def test_nobody_is_asked_where_it_is_said(said: dict[str, Any]) -> None:
    async with Models("llama3.2") as server:
        config = Config(**said)
        assert not looks(config) and await settle_llm(config, ports=[server.port]) == (config, None)
        assert not looks(Config(), "a key") and looks(Config()) and looks(Config(agent_brain="cascade"))
        assert not server.received


def test_our_own_ports_are_no_chat_service() -> None:
    def ours(url: str, **more: Any) -> str | None:
        return at_ourselves(Config(llm_url=url, **more))

    assert ours("http://127.0.0.1:8764/v1/chat/completions") == "http_port"
    assert ours("http://localhost:8080/v1") == "viewer_port" and ours("http://[::1]:8765/") == "ws_port"
    assert ours("http://localhost:8080/v1", viewer=False) is None
    assert ours("http://10.0.0.1:8080/v1") is None and ours("http://localhost/v1") is None
    assert ours("http://localhost:8080/v1", host="10.0.0.5", api_key="k") is None


async def test_a_server_of_models_on_a_port_of_ours_is_told() -> None:
    async with Models("llama3.2") as server:
        number, ports = server.port.number, [server.port]
        with pytest.raises(
            InvalidArgument, match=rf"viewer_port {number}: Ollama or .*Set viewer_port \(--viewer-port\)"
        ):
            await settle_llm(Config(viewer_port=number), ports=ports)
        assert (await settle_llm(Config(viewer_port=number, viewer=False), ports=ports))[1] is not None


async def test_lipwire_itself_is_no_chat_service() -> None:
    http, viewer = free_ports(2)
    config = Config(http_port=http, ws_port=0, viewer_port=viewer, ice_host="127.0.0.1")
    service = Service(config)
    await service.start()
    try:
        ports = [Port(config.http_port, "x"), Port(config.viewer_port, "y")]
        assert await find(ports=ports, hosts=HERE) is None
    finally:
        await service.close()
