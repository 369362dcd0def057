"""What clients that noria does not know do to its door: bodies without a key, slow connections,
unknown names, other ways to send a key, browsers of other origins."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import resource
from collections.abc import Iterator

import httpx2
import openai
import pytest
import zstandard

from noria.testing import FakeProvider
from tests.support.door import PRICES, Door, bearer, chat

CROWD = int(os.environ.get("NORIA_SOAK_CONNECTIONS", "300"))
ORIGIN = "https://app.example.org"


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def door(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    started = Door(folder, provider, PRICES)
    file = folder / "noria.toml"
    file.write_text(file.read_text().replace("[server]\n", f'[server]\norigins = ["{ORIGIN}"]\n'))
    with file.open("a") as settings:
        settings.write(f"\n[limits]\nconnections = {CROWD}\npeer_bytes = 4000000\n")
    yield started.start()
    started.stop()


@pytest.fixture(scope="module")
def key(door: Door) -> str:
    return door.key(team="clients", rpm=100_000)


def head(length: int, *lines: str, path: str = "/v1/chat/completions") -> bytes:
    """The head of a request whose body is announced."""
    first = (f"POST {path} HTTP/1.1", "host: door", f"content-length: {length}")
    return "\r\n".join([*first, *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/chat/completions", 401), ("/v1/traces", 401), ("/mcp", 401), ("/signin", 413)],
)
@pytest.mark.parametrize("credential", [None, "Bearer nr-nobody"])
def test_the_key_is_looked_at_before_the_body_is_gathered(
    door: Door, path: str, status: int, credential: str | None
) -> None:
    lines = [f"authorization: {credential}"] if credential else []
    came = door.talk(head(30_000_000, *lines, path=path) + b"x" * 1000, timeout=5)
    assert came.startswith(b"HTTP/1.1 %d " % (401 if credential else status)), came[:100]


def test_a_body_is_not_asked_for_without_a_key(door: Door, key: str) -> None:
    came = door.talk(head(1000, "expect: 100-continue"), timeout=5)
    assert came.startswith(b"HTTP/1.1 401 ")
    body = json.dumps(chat()).encode()
    with door.connect() as known:
        known.sendall(head(len(body), "expect: 100-continue", f"authorization: Bearer {key}"))
        assert known.recv(100).startswith(b"HTTP/1.1 100 ")
        known.sendall(body)
        assert known.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_key_that_is_seen_for_the_first_time_may_send_a_long_body(door: Door) -> None:
    secret = door.key()
    body = json.dumps(chat(padding="x" * 2_000_000)).encode()
    with door.connect() as connection:
        connection.sendall(head(len(body), f"authorization: Bearer {secret}"))
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_bytes_in_hand_of_one_peer_are_bounded_and_given_back(door: Door, key: str) -> None:
    lines = f"authorization: Bearer {key}"
    assert httpx2.post(
        f"{door.url}/v1/chat/completions", json=chat(), headers=bearer(key)
    ).status_code == 200  # fmt: skip
    crowd = [door.connect() for _ in range(3)]
    for connection in crowd[:2]:
        connection.sendall(head(3_000_000, lines) + b"x" * 1_900_000)
    other = door.key()
    with door.client(other) as good:
        assert good.post("/v1/chat/completions", json=chat()).status_code == 200
    crowd[2].settimeout(10)
    with contextlib.suppress(ConnectionError):
        crowd[2].sendall(head(3_000_000, lines) + b"x" * 2_900_000)
    assert b"too_many_bytes" in crowd[2].recv(5000)
    for connection in crowd:
        connection.close()
    with door.client(key) as again:
        answer = again.post("/v1/chat/completions", json=chat(padding="x" * 2_500_000))
        assert answer.status_code == 200


def test_slow_connections_leave_room_for_a_good_client(door: Door, key: str) -> None:
    crowd = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CROWD + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(CROWD + 200, hard), hard))
    for _ in range(CROWD + 10):  # more than there may be
        connection = door.connect()
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: do")
        crowd.append(connection)
    with door.client(key) as good:
        for _ in range(3):
            assert good.post("/v1/chat/completions", json=chat()).status_code == 200
    for connection in crowd:
        connection.close()


def test_names_of_models_that_there_are_not_are_one_name(door: Door, key: str) -> None:
    with door.client(key) as client:
        for number in range(30):
            for name in (f"nothing-{number}", f"nobody:{number}", f"local:no-{number}"):
                assert client.post(
                    "/v1/chat/completions", json=chat(model=name)
                ).status_code == 404  # fmt: skip
    door.spans()  # takes in
    text = httpx2.get(f"{door.url}/metrics").text
    assert not re.search("nothing-|nobody|local:no", text)
    (line,) = [
        one
        for one in text.splitlines()
        if one.startswith('noria_calls_total{kind="chat",model="(unlisted)"')
    ]
    assert float(line.split()[-1]) == 90


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_key_is_read_where_other_clients_send_it(door: Door, key: str, header: str) -> None:
    answer = httpx2.post(f"{door.url}/v1/chat/completions", json=chat(), headers={header: key})
    assert answer.status_code == 200
    assert httpx2.get(f"{door.url}/v1/models", headers={header: key}).status_code == 200
    refused = httpx2.get(f"{door.url}/v1/models", headers={header: "nr-nobody"})
    assert refused.status_code == 401


def test_openais_sdk_sees_the_request_id_and_what_is_left(door: Door, key: str) -> None:
    client = openai.OpenAI(api_key=key, base_url=f"{door.url}/v1")
    raw = client.chat.completions.with_raw_response.create(**chat())
    assert raw.parse()._request_id == raw.headers["x-noria-trace"]
    assert raw.headers["x-ratelimit-limit-requests"] == "100000"
    assert 0 < int(raw.headers["x-ratelimit-remaining-requests"]) < 100_000
    assert re.fullmatch(r"\d+s", raw.headers["x-ratelimit-reset-requests"])
    assert client.models.list()._request_id
    with pytest.raises(openai.NotFoundError) as failed:
        client.chat.completions.create(**chat(model="nobody"))
    assert failed.value.request_id


def test_a_base_address_without_v1_is_told(door: Door, key: str) -> None:
    client = openai.OpenAI(api_key=key, base_url=door.url)
    for call in (client.models.list, lambda: client.chat.completions.create(**chat())):
        with pytest.raises(openai.NotFoundError, match=f"{door.url}/v1"):
            call()


def test_codex_is_told_that_there_are_no_websockets(door: Door, key: str) -> None:
    came = door.talk(
        b"GET /v1/responses HTTP/1.1\r\nhost: door\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
        b"authorization: Bearer " + key.encode() + b"\r\n\r\n",
        timeout=2,
    )
    assert came.startswith(b"HTTP/1.1 426 ")


def test_pages_of_a_listed_origin_may_call_and_of_no_other(door: Door, key: str) -> None:
    url = f"{door.url}/v1/chat/completions"
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    let_in = httpx2.options(url, headers=asked)
    assert let_in.status_code == 204
    assert let_in.headers["access-control-allow-origin"] == ORIGIN
    assert "x-stainless-os" in let_in.headers["access-control-allow-headers"]
    answer = httpx2.post(url, json=chat(), headers={**bearer(key), "origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    refused = httpx2.post(url, json=chat(model="no"), headers={**bearer(key), "origin": ORIGIN})
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    for headers in (asked | {"origin": "https://evil.example"}, {"origin": f"{ORIGIN}.evil"}):
        other = httpx2.options(url, headers=headers)
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-methods" not in other.headers


def test_mcp_refuses_pages_of_other_origins(door: Door, key: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"accept": "application/json, text/event-stream", **bearer(key)}
    for origin, status in (("https://evil.example", 403), (ORIGIN, 200), (None, 200)):
        headers = accept | ({"origin": origin} if origin else {})
        assert httpx2.post(f"{door.url}/mcp", json=body, headers=headers).status_code == status


def test_a_packed_body_is_read_or_refused_in_words(door: Door, key: str) -> None:
    body = json.dumps(chat()).encode()
    bomb = gzip.compress(b" " * (40 * 1024 * 1024))
    for coding, packed, status in (
        ("gzip", gzip.compress(body), 200),
        ("zstd", zstandard.compress(body), 200),
        ("br", body, 415),
        ("gzip", gzip.compress(body)[:-9], 400),
        ("gzip", b"no gzip", 400),
        ("zstd", b"no zstd", 400),
        ("gzip", bomb, 413),
        ("zstd", zstandard.compress(b" " * (40 * 1024 * 1024)), 413),
    ):
        headers = {**bearer(key), "content-encoding": coding, "content-type": "application/json"}
        answer = httpx2.post(f"{door.url}/v1/chat/completions", content=packed, headers=headers)
        assert answer.status_code == status, (coding, answer.text)
        if status == 415:
            assert "Content-Encoding" in answer.json()["error"]["message"]


def test_whole_numbers_with_a_point_and_blanks_after_a_value(door: Door, key: str) -> None:
    body = json.dumps(chat(n=1)).replace('"n": 1', '"n": 1.0, "max_tokens": 64.0').encode()
    came = door.talk(
        head(len(body), f"authorization: Bearer {key} \t ", "connection: close") + body
    )
    assert came.startswith(b"HTTP/1.1 200 "), came[:300]


def test_tokens_are_not_embedded_by_a_local_model(door: Door, key: str) -> None:
    client = openai.OpenAI(api_key=key, base_url=f"{door.url}/v1")
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            client.embeddings.create(model="local:minilm", input=tokens)
