"""Where a server is reached."""

from __future__ import annotations

import pytest

from lipwire.app.addresses import Addresses, door_limits, in_url, make_allowlist, port_taken, ws_urls
from lipwire.app.config import Config


def test_urls() -> None:
    found = Addresses(Config(api_key="k"), secure=False)
    found.http_port, found.viewer_port = 1000, 2000
    assert (found.http_url, found.viewer_url) == ("http://127.0.0.1:1000", "http://127.0.0.1:2000/")
    assert found.public_viewer_url == found.viewer_url
    told = Addresses(Config(host="::1", public_viewer_url="https://a.example"), secure=True)
    assert (told.http_url, told.public_viewer_url) == ("https://[::1]:8764", "https://a.example/")
    assert (told.scheme("ws"), told.page(None), told.page("a b")) == ("wss", "", "agent?channel=a%20b")
    assert (in_url("::1"), in_url("a.example")) == ("[::1]", "a.example")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, []),
        ("wss://a.example:{port}", ["wss://a.example:9000", "wss://a.example:9001"]),
        ("wss://w{worker}.a.example/{port}", ["wss://w0.a.example/9000", "wss://w1.a.example/9001"]),
    ],
)
def test_each_worker_has_a_websocket_address(url: str | None, expected: list[str]) -> None:
    config = Config(workers=2, ws_port=9000, public_ws_url=url)
    assert ws_urls(config) == expected


def test_every_workers_name_is_one_of_the_server() -> None:
    names = make_allowlist(Config(workers=2, public_ws_url="wss://w{worker}.a.example/ws"))
    assert names.has_host("w0.a.example") and names.has_host("w1.a.example:443") and not names.has_host("w2.a.example")


def test_what_clients_have_time_for() -> None:
    limits = door_limits(Config(request_timeout_seconds=2, max_connections=99))
    assert (limits.head, limits.body, limits.write, limits.connections) == (2, 6, 6, 99)


def test_a_port_that_is_taken() -> None:
    told = str(port_taken("viewer_port", 80, PermissionError(13, "Permission denied")))
    assert (
        told == "cannot listen on port 80: Permission denied. Choose another with --viewer-port or LIPWIRE_VIEWER_PORT"
    )
