"""What a hostile or broken client may send: each is refused with the right status, and the door
lives on."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from noria.testing import FakeProvider, Reply
from tests.support.door import PRICES, Door, bearer, chat, wait_until

LIMITS = """
[limits]
body_bytes = 100000
header_bytes = 4096
header_seconds = 1.0
body_seconds = 1.5
idle_seconds = 3.0
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def door(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    started = Door(tmp_path_factory.mktemp("door"), provider, PRICES + LIMITS).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def key(door: Door) -> str:
    return door.key(team="hostile")


@pytest.fixture(autouse=True)
def _lives_on(door: Door, provider: FakeProvider) -> Iterator[None]:
    """After every test the same processes answer, and nothing reached the provider unasked."""
    before = [process.pid for process in door.workers()]
    yield
    assert httpx2.get(f"{door.url}/health").status_code == 200
    assert [process.pid for process in door.workers()] == before


BODY = json.dumps(chat()).encode()


def post(key: str, *lines: bytes, body: bytes = BODY, length: bool = True) -> bytes:
    """A chat request, with further header lines as they are."""
    head = [
        b"POST /v1/chat/completions HTTP/1.1",
        b"host: door",
        b"authorization: Bearer " + key.encode(),
        *((b"content-length: %d" % len(body),) if length else ()),
        *lines,
    ]
    return b"\r\n".join([*head, b"", b""]) + body


def status_of(answer: bytes) -> int:
    """The status of the first answer, which must be well formed."""
    assert answer, "the connection was closed without an answer"
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    return int(found[1])


def refused(answer: bytes, status: int, code: str | None = None) -> None:
    """One refusal in OpenAI's shape, and nothing after it."""
    assert status_of(answer) == status, answer[:300]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower(), head
    error = json.loads(body)["error"]
    assert error["message"]
    if code is not None:
        assert error["code"] == code


MALFORMED = {
    "conflicting lengths": [b"content-length: 5"],
    "a length that is no number": [b"content-length: 1x"],
    "a signed length": [b"content-length: +5"],
    "a negative length": [b"content-length: -1"],
    "a list of lengths": [b"content-length: 5, 5"],
    "an overflowing length": [b"content-length: 99999999999999999999999"],
    "chunked with a length": [b"content-length: 5", b"transfer-encoding: chunked"],
    "an encoding that is not last chunked": [b"transfer-encoding: chunked, gzip"],
    "a space before the colon": [b"x-one : 1", b"content-length: 0"],
    "a folded line": [b"x-one: 1", b" two", b"content-length: 0"],
    "a bare CR in a value": [b"x-one: 1\r2", b"content-length: 0"],
    "a bare CR before the name": [b"\rx-one: 1", b"content-length: 0"],
    "a NUL in a value": [b"x-one: 1\x002", b"content-length: 0"],
    "a NUL in a name": [b"x-o\x00ne: 1", b"content-length: 0"],
    "a name that is no token": [b"x(one): 1", b"content-length: 0"],
    "an empty name": [b": 1", b"content-length: 0"],
    "no colon": [b"x-one", b"content-length: 0"],
    "a second host": [b"host: other", b"content-length: 0"],
}


@pytest.mark.parametrize("lines", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_headers_are_refused(
    door: Door, key: str, provider: FakeProvider, lines: list[bytes]
) -> None:
    before = len(provider.requests)
    length = not any(line.startswith((b"content-length", b"transfer")) for line in lines)
    answer = door.talk(
        post(key, *lines, length=length or lines == MALFORMED["conflicting lengths"])
    )
    refused(answer, 400)
    assert len(provider.requests) == before


@pytest.mark.parametrize(
    "lines",
    [
        [b"transfer-encoding: chunkedx"],
        [b"transfer-encoding: gzip, chunked"],
        [b"transfer-encoding: identity", b"transfer-encoding: chunked"],
    ],
    ids=str,
)
def test_only_one_transfer_encoding_is_spoken(door: Door, key: str, lines: list[bytes]) -> None:
    refused(door.talk(post(key, *lines, length=False)), 501, "not_implemented")


STARTS = {
    "a bare LF": b"POST /v1/chat/completions HTTP/1.1\nhost: door\ncontent-length: 0\n\n",
    "no version": b"POST /v1/chat/completions\r\nhost: door\r\n\r\n",
    "another version": b"GET /health HTTP/2.0\r\nhost: door\r\n\r\n",
    "a version that is none": b"GET /health HTTP/1.x\r\nhost: door\r\n\r\n",
    "another protocol": b"GET /health QUIC/1.0\r\nhost: door\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"BREW /health HTTP/1.1\r\nhost: door\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "a space in the target": b"GET /hea lth HTTP/1.1\r\nhost: door\r\n\r\n",
    "a control character in the target": b"GET /hea\x01lth HTTP/1.1\r\nhost: door\r\n\r\n",
}


@pytest.mark.parametrize("sent", STARTS.values(), ids=list(STARTS))
def test_what_is_no_request_is_refused(door: Door, sent: bytes) -> None:
    refused(door.talk(sent), 400)


CHUNKS = {
    "a size that is no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "an overflowing size": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "data longer than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "a bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "a bare CR in an extension": b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=list(CHUNKS))
def test_malformed_chunks_are_refused(door: Door, key: str, chunks: bytes) -> None:
    sent = post(key, b"transfer-encoding: chunked", body=chunks, length=False)
    refused(door.talk(sent), 400)


def test_chunks_are_put_together_and_trailers_are_no_headers(door: Door, key: str) -> None:
    chunked = b"%x;note=1\r\n%b\r\n" % (10, BODY[:10])
    chunked += b"%x\r\n%b\r\n0\r\n" % (len(BODY) - 10, BODY[10:])
    whole = post(
        key, b"transfer-encoding: chunked", b"connection: close", body=chunked + b"\r\n",
        length=False,
    )  # fmt: skip
    assert status_of(door.talk(whole)) == 200
    # A key in a trailer arrives after the door has decided who asks.
    smuggled = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: door\r\ntransfer-encoding: chunked\r\n"
        b"connection: close\r\n\r\n" + chunked + b"authorization: Bearer " + key.encode()
    )
    assert status_of(door.talk(smuggled + b"\r\n\r\n")) == 401


def test_oversized_headers_are_refused(door: Door, key: str) -> None:
    refused(door.talk(post(key, b"x-big: " + b"a" * 5000)), 431, "headers_too_large")
    many = [b"x-%d: %s" % (number, b"a" * 20) for number in range(300)]
    refused(door.talk(post(key, *many)), 431)
    target = b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: door\r\n\r\n"
    refused(door.talk(target), 431)
    trailers = b"0\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 20) for n in range(300)) + b"\r\n"
    refused(door.talk(post(key, b"transfer-encoding: chunked", body=trailers, length=False)), 431)


def test_endless_headers_are_refused_before_their_end(door: Door) -> None:
    answer = door.talk(b"GET / HTTP/1.1\r\nhost: door\r\nx-big: " + b"a" * 200_000, timeout=3)
    assert answer == b"" or status_of(answer) == 431


def test_oversized_bodies_are_refused(door: Door, key: str) -> None:
    # By its length, before it is read, and by its chunks as they come.
    announced = post(key, b"content-length: 100001", body=b"", length=False)
    refused(door.talk(announced), 413, "request_too_large")
    chunks = b"".join(b"%x\r\n%b\r\n" % (20_000, b" " * 20_000) for _ in range(6))
    refused(door.talk(post(key, b"transfer-encoding: chunked", body=chunks, length=False)), 413)
    largest = post(key, b"connection: close", body=BODY.ljust(100_000))
    assert status_of(door.talk(largest)) == 200


def test_slow_headers_and_bodies_run_out_of_time(door: Door, key: str) -> None:
    whole = post(key)
    for first in (whole[:20], whole[:-20]):
        with door.connect() as connection:
            connection.sendall(first)
            refused(connection.recv(65536), 408)
    # A byte now and then does not keep it open.
    with door.connect() as connection:
        began = time.monotonic()
        try:
            for byte in whole:
                connection.sendall(bytes([byte]))
                connection.settimeout(0.2)
                try:
                    answer = connection.recv(65536)
                    break
                except TimeoutError:
                    assert time.monotonic() - began < 8, "a dripping client is never refused"
        except (BrokenPipeError, ConnectionResetError):
            return
        assert status_of(answer) == 408


def test_an_idle_connection_is_closed_without_a_word(door: Door) -> None:
    assert door.talk(b"") == b""
    answers = door.talk(b"GET /health HTTP/1.1\r\nhost: door\r\n\r\n")
    assert answers.count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_answered_in_order(
    door: Door, key: str, provider: FakeProvider
) -> None:
    bodies = [json.dumps(chat(f"number {number}")).encode() for number in range(20)]
    provider.reply = lambda request: Reply(text=request.body["messages"][0]["content"])
    sent = b"".join(post(key, body=body) for body in bodies)
    sent += b"GET /health HTTP/1.1\r\nhost: door\r\nconnection: close\r\n\r\n"
    answer = door.talk(sent)
    provider.reply = Reply()
    assert re.findall(rb'"content":"number (\d+)"', answer) == [b"%d" % n for n in range(20)]
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    assert b'"status":"ok"' in answer.rpartition(b"\r\n\r\n")[2]


def test_garbage_behind_a_good_request_does_not_spoil_its_answer(door: Door, key: str) -> None:
    answer = door.talk(post(key) + b"\x00\x01garbage\r\n\r\n")
    assert status_of(answer) == 200
    assert answer.count(b"HTTP/1.1 400") == 1


def test_bytes_after_the_last_request_are_not_answered(door: Door, key: str) -> None:
    answer = door.talk(post(key, b"connection: close") + post(key))
    assert answer.count(b"HTTP/1.1") == 1


def test_many_empty_lines_before_a_request_are_not_endless(door: Door) -> None:
    ask = b"GET /health HTTP/1.1\r\nhost: door\r\nconnection: close\r\n\r\n"
    assert status_of(door.talk(b"\r\n" + ask)) == 200
    with door.connect() as connection:
        connection.settimeout(0.1)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _send_empty_lines(connection)


def _send_empty_lines(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"\r\n" * 1000)
        try:
            if connection.recv(65536) == b"":
                raise ConnectionResetError
        except TimeoutError:
            pass


def test_old_clients_are_answered_and_closed(door: Door, key: str) -> None:
    whole = post(key).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"host: door\r\n", b"")
    plain = door.talk(whole)
    assert status_of(plain) == 200
    assert b"connection: close" in plain
    body = json.dumps(chat(stream=True)).encode()
    stream = door.talk(post(key, body=body).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert b"transfer-encoding" not in stream
    assert stream.endswith(b"data: [DONE]\n\n")


def test_continue_is_said_before_the_body_is_sent(door: Door, key: str) -> None:
    whole = post(key, b"expect: 100-continue", b"connection: close")
    with door.connect() as connection:
        connection.sendall(whole[: -len(BODY)])
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(BODY)
        assert status_of(connection.recv(65536)) == 200


def test_an_offered_upgrade_is_declined(door: Door, key: str) -> None:
    offer = (b"connection: upgrade", b"upgrade: h2c")
    # The body must not be taken for a request of its own.
    assert status_of(door.talk(post(key, *offer, b"connection: close"))) == 200
    hidden = b"GET /health HTTP/1.1\r\nhost: door\r\nconnection: close\r\n\r\n"
    answer = door.talk(post(key, *offer, body=hidden) + hidden)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400", b"200"]
    connect = b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n"
    refused(door.talk(connect), 501)


BODIES: dict[str, tuple[bytes, str | None]] = {
    "nothing": (b"", "invalid_json"),
    "no JSON": (b"{", "invalid_json"),
    "no object": (b"[]", "invalid_json"),
    "text behind it": (b"{} {}", "invalid_json"),
    "NaN": (b'{"model": "fake:small", "messages": [], "temperature": NaN}', "invalid_json"),
    "deep lists": (b"[" * 40_000 + b"]" * 40_000, "invalid_json"),
    "deep objects": (b'{"a":' * 15_000 + b"1" + b"}" * 15_000, "invalid_json"),
    "a huge number": (BODY.replace(b"{", b'{"seed": ' + b"9" * 5000 + b",", 1), None),
    "invalid UTF-8": (BODY.replace(b"Hi", b"\xff\xfe"), "invalid_json"),
    "a lone surrogate": (BODY.replace(b"Hi", b"\\ud800"), None),
    "UTF-16": (json.dumps(chat()).encode("utf-16"), "invalid_json"),
    "a NUL": (BODY + b"\x00", "invalid_json"),
    "no model": (b'{"messages": [{"role": "user", "content": "Hi"}]}', "invalid_value"),
    "a model that is a list": (BODY.replace(b'"fake:small"', b"[1]"), "invalid_value"),
    "a model with a NUL": (BODY.replace(b"fake:small", b"fake:\\u0000"), None),
    "no messages": (b'{"model": "fake:small"}', "invalid_value"),
    "empty messages": (b'{"model": "fake:small", "messages": []}', "invalid_value"),
    "a message that is a text": (b'{"model": "fake:small", "messages": ["Hi"]}', "invalid_value"),
    "a wrong limit": (json.dumps(chat(max_tokens=-1)).encode(), "invalid_value"),
    "a limit that is a text": (json.dumps(chat(max_tokens="9")).encode(), "invalid_value"),
    "too many choices": (json.dumps(chat(n=10**6)).encode(), "invalid_value"),
    "options that are a list": (json.dumps(chat(stream_options=[1])).encode(), "invalid_value"),
    "tools that are a text": (json.dumps(chat(tools="all")).encode(), "invalid_value"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "code"), BODIES.values(), ids=list(BODIES))
def test_bad_bodies_are_the_callers_fault(
    door: Door, key: str, body: bytes, code: str | None
) -> None:
    answer = door.talk(post(key, b"connection: close", body=body))
    assert status_of(answer) in ((400,) if code else (200, 400, 404)), answer[:300]
    if code:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == code


@pytest.mark.parametrize("budget", [None, "1000000000 USD/day"], ids=["free", "budgeted"])
@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [1, None, {}]},
        {"tools": [{"type": ["x"]}]},
        {"messages": [{"role": "user", "content": [None]}]},
        {"messages": [{"role": "user", "content": [{"type": 5}]}]},
        {"messages": [{"role": "user", "content": [["x"]]}]},
        {"stream": True, "stream_options": {"include_usage": "yes"}},
        {"stream": False, "stream_options": {}},
        {"service_tier": ["x"]},
        {"max_tokens": 2**31},
        {"n": 128, "max_tokens": 2**31},
        {"response_format": {"type": 5}},
        {"metadata": {"a": "b" * 50_000}},
    ],
    ids=str,
)
def test_odd_fields_are_refused_or_passed_on_but_never_break_the_door(
    door: Door, budget: str | None, fields: dict[str, object]
) -> None:
    secret = door.key(budget=budget)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", json=chat(**fields))
    assert answer.status_code in (200, 400), answer.text
    assert answer.headers["x-noria-trace"]


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic abc", "Bearer \u00fc", "Bearer a b"]
)
def test_odd_credentials_are_unknown_keys(door: Door, value: str) -> None:
    sent = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: door\r\nconnection: close\r\nauthorization: "
        + value.encode()
        + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
    )
    answer = door.talk(sent)
    assert status_of(answer) == 401
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/", "/v1/chat/completions/", "/v1//models"])
def test_unknown_addresses(door: Door, key: str, path: str) -> None:
    with door.client(key) as client:
        answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_wrong_methods(door: Door, key: str) -> None:
    with door.client(key) as client:
        assert client.get("/v1/chat/completions").status_code == 405
        assert client.delete("/v1/models").status_code == 405


def memory(door: Door) -> int:
    return sum(worker.memory_info().rss for worker in door.workers())


def test_a_slow_client_does_not_make_memory_grow(
    door: Door, key: str, provider: FakeProvider
) -> None:
    provider.reply = Reply(chunks=["x" * 20_000] * 2_000)  # 40 MB and more
    before, seen = memory(door), len(provider.requests)
    body = json.dumps(chat(stream=True)).encode()
    with door.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(post(key, body=body))
        (request,) = provider.wait_for_requests(seen + 1)[-1:]
        assert not request.done.wait(2), "the provider was read to the end"
        assert memory(door) - before < 15_000_000
    assert request.done.wait(10)
    provider.reply = Reply()
    assert request.hung_up


def test_a_client_that_never_reads_its_answers_is_not_read(
    door: Door, key: str, provider: FakeProvider
) -> None:
    before, seen = memory(door), len(provider.requests)
    provider.reply = Reply(text="y" * 100_000)
    with door.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(post(key, body=BODY.ljust(50_000)) * 5_000)
        assert len(provider.requests) - seen < 200
        assert memory(door) - before < 30_000_000
    provider.reply = Reply()


def test_a_hang_up_in_mid_stream_stops_the_provider_and_is_billed(
    door: Door, provider: FakeProvider
) -> None:
    secret = door.key(team="leavers", budget="100 USD/day")
    provider.reply = Reply(text="word " * 2_000, delay=0.01)
    provider.forget()
    with (
        door.client(secret) as client,
        client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer,
    ):
        trace = answer.headers["x-noria-trace"]
        for line in answer.iter_lines():
            if "word" in line:
                break
    (request,) = provider.wait_for_requests(1)
    assert request.done.wait(5)
    provider.reply = Reply()
    assert request.hung_up
    wait_until(lambda: any(span.trace_id == trace for span in door.spans()), 5)
    (span,) = (span for span in door.spans(team="leavers") if span.trace_id == trace)
    assert span.status == "cancelled"
    assert span.output_tokens is not None
    assert 0 < span.output_tokens <= provider.owed["small"].output_tokens
    assert span.cost_nano > 0


def test_too_many_connections_are_turned_away(
    new_door: Callable[..., Door], tmp_path: Path
) -> None:
    small = new_door(PRICES + "[limits]\nconnections = 20\n")
    crowd = [small.connect() for _ in range(20)]
    for connection in crowd:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: door\r\n\r\n")
        assert status_of(connection.recv(65536)) == 200
    refused(small.talk(b"", timeout=3), 503, "too_many_connections")
    for connection in crowd:
        connection.close()
    wait_until(lambda: httpx2.get(f"{small.url}/health").status_code == 200, 5)


def test_connections_leave_no_files_behind(door: Door, key: str) -> None:
    (worker,) = door.workers()
    before = worker.num_fds()
    for _ in range(200):
        with door.connect() as connection:
            connection.sendall(post(key)[:40])
    with httpx2.Client(base_url=door.url, headers=bearer(key)) as client:
        client.get("/v1/models")
    wait_until(lambda: psutil.Process(worker.pid).num_fds() <= before + 3, 10)
