"""What a client writes never becomes a part of an answer's head; who may send what to the door."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx2
import pytest

from noria.headers import header_line
from noria.testing import FakeProvider
from tests.support.door import Door, bearer, chat

SETTINGS = """
[server]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def door(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    started = Door(tmp_path_factory.mktemp("door"), provider).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def key(door: Door) -> str:
    return door.key(team="heads")


@pytest.mark.parametrize(
    "text",
    ["\r\nx-evil: 1", "\nx-evil: 1", "\rx", "\0", "\x7f", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
)
def test_a_header_with_a_control_character_is_not_written(text: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        header_line(b"x-noria-model", text.encode())
    assert header_line(b"a", "schön, 世界".encode()) == b"a: " + "schön, 世界".encode()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_name_of_a_model_cannot_write_headers(
    door: Door, key: str, path: str, stream: bool
) -> None:
    name = (
        "fake:x\r\nset-cookie: noria_session=evil\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
    )
    body = json.dumps({**chat(stream=stream), "model": name, "input": "Hi"}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: door\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    came = door.talk(head.encode() + body)
    lines = came.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert len(re.findall(rb"HTTP/1\.1 \d", came.partition(b"{")[0])) == 1
    assert lines[0].startswith(b"HTTP/1.1 400 ")
    assert not [line for line in lines if line.startswith(b"set-cookie")]
    assert json.loads(came.partition(b"\r\n\r\n")[2])["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/openid-configuration/mcp"),
        ("POST", "/mcp/"),
        ("GET", "/mcp/"),
        ("POST", "/chat/completions"),
        ("POST", "/embeddings"),
        ("POST", "/responses"),
    ],
)
@pytest.mark.parametrize("keyed", [False, True], ids=["no key", "key"])
def test_where_programs_look_there_is_json(
    door: Door, key: str, method: str, path: str, keyed: bool
) -> None:
    headers = bearer(key) if keyed else {}
    answer = httpx2.request(method, door.url + path, headers=headers, content=b"{}")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == "unknown_url"
    if path.strip("/").partition("/")[0] in ("chat", "embeddings", "responses"):
        assert f"{door.url}/v1" in error["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/models", "/models/fake:small", "/keys", "/nothing/here", "/"])
def test_a_request_with_a_key_is_never_told_about_pages(
    door: Door, key: str, method: str, path: str
) -> None:
    for headers in (bearer(key), {"x-api-key": key}):
        answer = httpx2.request(method, door.url + path, headers=headers)
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]["message"]
        assert "form" not in answer.text
    if path.startswith("/models"):
        assert f"{door.url}/v1" in answer.text
