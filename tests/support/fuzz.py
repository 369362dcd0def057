"""A fuzzer for the HTTP lane, with `h11` as the judge of what is a request.

Requests are mutated, joined and cut at random places, and given to a real connection and to `h11`.
Whatever the lane takes for a request, `h11` must have taken too, with the same method, target,
headers and body. The lane may be stricter: llhttp refuses bare line feeds, folded headers, unknown
methods, lists of equal lengths and control characters, and the door refuses CONNECT, other
versions than 1.0 and 1.1, and a missing or second Host. But for what `_plainer` names it must
never be laxer, since whatever two parsers read differently is a way to smuggle a request past one
of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from noria.config import Config, Limits
from noria.errors import ApiError
from noria.http.connection import ServerConnection
from noria.http.request import HTTPRequest
from noria.http.server import HTTPServer

__all__ = ["Tally", "fuzz"]

Request = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]

_CONFIG = Config(home=Path(os.devnull), limits=Limits(header_bytes=64 * 1024))
_BODY = b'{"model":"fake:small","messages":[{"role":"user","content":"Hi"}]}'
_SEEDS = [
    b"GET /health HTTP/1.1\r\nHost: door\r\n\r\n",
    b"GET /v1/models?x=1#y HTTP/1.1\r\nHost: door\r\nAuthorization: Bearer abc\r\n\r\n",
    b"GET /health HTTP/1.0\r\n\r\n",
    b"HEAD /health HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: door\r\nContent-Length: 66\r\n\r\n" + _BODY,
    b"POST /v1/chat/completions HTTP/1.0\r\nHost: door\r\nConnection: keep-alive\r\n"
    b"Content-Length: 66\r\n\r\n" + _BODY,
    b"POST /v1/embeddings HTTP/1.1\r\nHost: door\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
    b"\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\na;name=value\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"000003\r\nabc\r\n00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: door\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: door\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Content-Length: 3\r\n\r\nabc",
    b"DELETE /keys/1 HTTP/1.1\r\nHost: door\r\nCookie: a=b; c=d\r\nX-Empty:\r\nX-Tab:\ta\t\r\n\r\n",
]
_LINES = [
    b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 03", b"Content-Length: +3",
    b"Content-Length: 3, 3", b"Content-Length: 3 3", b"Content-Length: 0x3", b"Content-Length:",
    b"Content-Length : 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: \tchunked", b" Transfer-Encoding: x",
    b"Transfer_Encoding: chunked", b"Host: other", b"Host:", b"Connection: close",
    b"Connection: keep-alive", b"Connection: close, keep-alive", b"Connection: upgrade",
    b"Upgrade: h2c", b"Expect: 100-continue", b"X: a\x00b", b"X: a\rb", b"X: \xff\xfe", b"X\xff: a",
    b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Authorization: Bearer x", b"", b"\t",
]  # fmt: skip
_PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\x00", b" ", b"\t", b":", b";", b",",
    b"0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 HTTP/1.1",
    b"\x7f", b"\x80", b"\xff", b"ffffffff", b"-1", b"+", b"0", b"1", b"9", b"a", b"/", b"?", b"#",
    b"//door/", b"*", b"http://door/", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip
_NUMBERS = [b"0", b"1", b"65", b"67", b"00066", b"4294967296", b"18446744073709551617"]


@dataclass
class Tally:
    """What came of the fuzzing."""

    cases: int = 0
    accepted: int = 0
    """Requests that both took, equally."""
    refused: int = 0
    """Inputs that the lane refused."""
    stricter: int = 0
    """Inputs that the lane refused in part or whole where h11 took them."""
    differing: list[tuple[int, bytes, str]] = field(default_factory=list)
    """Seed, input and reason of each case in which the lane was laxer or broke."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.cases + other.cases,
            self.accepted + other.accepted,
            self.refused + other.refused,
            self.stricter + other.stricter,
            self.differing + other.differing,
        )


def fuzz(cases: int, seed: int = 0, keep: int = 20) -> Tally:
    """Try so many cases; the n-th depends on `seed + n` alone."""
    return asyncio.run(_fuzz(cases, seed, keep))


async def _fuzz(cases: int, seed: int, keep: int) -> Tally:
    tally = Tally()
    for number in range(seed, seed + cases):
        chance = random.Random(number)
        sent = _mutated(chance)
        tally.cases += 1
        try:
            taken, refusal = _lane(sent, chance)
        except Exception as broke:
            tally.differing.append((number, sent, f"the lane raised {broke!r}"))
            continue
        judged, rejected = _judge(sent)
        reason = _compare(taken, judged, rejected)
        if reason is None and refusal is not None and not 400 <= refusal < 600:
            reason = f"refused with {refusal}"
        if reason is not None:
            tally.differing.append((number, sent, reason))
            if len(tally.differing) >= keep:
                break
        tally.accepted += len(taken)
        tally.refused += refusal is not None
        tally.stricter += len(judged) > len(taken) or (refusal is not None and not rejected)
    return tally


def _compare(taken: list[Request], judged: list[Request], rejected: bool) -> str | None:
    if len(taken) > len(judged):
        said = "refuses" if rejected else "waits for the rest of"
        return f"the lane took {taken[len(judged)]!r}, which h11 {said}"
    for ours, theirs in zip(taken, judged, strict=False):
        if _normal(ours) != _normal(theirs):
            return f"the lane read {ours!r}, h11 {theirs!r}"
    return None


def _normal(request: Request) -> Request:
    """What both mean: h11 rewrites the framing headers, and keeps an offer to upgrade."""
    method, target, headers, body = request
    kept = [
        (name, value.strip(b" \t"))
        for name, value in headers
        if name not in (b"upgrade", b"transfer-encoding", b"content-length")
    ]
    return method, target, kept, body


def _mutated(chance: random.Random) -> bytes:
    sent = b"".join(chance.choice(_SEEDS) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        sent = chance.choice(_MUTATIONS)(sent, chance)
    return sent


def _flip(sent: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + bytes([chance.randrange(256)]) + sent[at + 1 :]


def _insert(sent: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + chance.choice(_PIECES) + sent[at:]


def _delete(sent: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + sent[at + chance.choice((1, 1, 2, 5, 20)) :]


def _repeat(sent: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(sent) + 1)
    end = at + chance.choice((1, 2, 10, 40))
    return sent[:end] + sent[at:end] * chance.choice((1, 1, 3)) + sent[end:]


def _add_line(sent: bytes, chance: random.Random) -> bytes:
    lines = sent.split(b"\r\n")
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(_LINES))
    return b"\r\n".join(lines)


def _swap_lines(sent: bytes, chance: random.Random) -> bytes:
    lines = sent.split(b"\r\n")
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\r\n".join(lines)


def _change_ending(sent: bytes, chance: random.Random) -> bytes:
    ends = [match.start() for match in re.finditer(rb"\r\n", sent)]
    if not ends:
        return sent
    at = chance.choice(ends)
    return sent[:at] + chance.choice((b"\n", b"\r", b"", b"\r\r\n", b" \r\n")) + sent[at + 2 :]


def _change_number(sent: bytes, chance: random.Random) -> bytes:
    numbers = list(re.finditer(rb"\d+", sent))
    if not numbers:
        return sent
    found = chance.choice(numbers)
    number = chance.choice(
        (b"0", b"1", b"65", b"67", b"00066", b"4294967296", b"18446744073709551617")
    )
    return sent[: found.start()] + number + sent[found.end() :]


def _change_case(sent: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(sent) + 1)
    return sent[:at] + sent[at : at + 12].swapcase() + sent[at + 12 :]


_MUTATIONS = [
    _flip, _insert, _delete, _repeat, _add_line, _add_line, _swap_lines, _change_ending,
    _change_number, _change_case,
]  # fmt: skip


# The judge


def _judge(sent: bytes) -> tuple[list[Request], bool]:
    """The requests that h11 takes, and whether it rejects what follows them."""
    taken: list[Request] = []
    while True:
        judge = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
        judge.receive_data(_plainer(sent))
        body = b""
        request: h11.Request | None = None
        try:
            while True:
                match judge.next_event():
                    case h11.Request() as request:
                        pass
                    case h11.Data(data=data):
                        body += bytes(data)
                    case h11.EndOfMessage():
                        break
                    case _:
                        return taken, False
        except h11.RemoteProtocolError:
            return taken, True
        assert request is not None
        headers = [(bytes(name), bytes(value)) for name, value in request.headers]
        taken.append((request.method, request.target, headers, body))
        # h11 keeps no connection of HTTP/1.0 open, the lane does where it is asked to.
        if judge.their_state is h11.MUST_CLOSE and request.http_version != b"1.0":
            return taken, False
        sent = judge.trailing_data[0]


def _plainer(sent: bytes) -> bytes:
    """Take out what llhttp lets pass on purpose and h11 does not: line ends before a request
    (which RFC 9112 wants ignored) and runs of spaces in the request line (which it allows)."""
    line, end, rest = sent.lstrip(b"\r\n").partition(b"\r\n")
    return re.sub(rb" +", b" ", line) + end + rest


# The lane


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default


class _Task:
    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work

    def run(self) -> None:
        try:
            self._work.send(None)
        except StopIteration:
            return
        raise AssertionError("the answer waits")

    def cancel(self) -> None:
        self._work.close()


class _Door:
    """A door that remembers what it is asked, and answers at once or soon."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.taken: list[Request] = []
        self.tasks: list[_Task] = []

    def admit(self, incoming: HTTPRequest) -> None:
        """Let every body come."""

    def explain(self, incoming: HTTPRequest | None, error: ApiError) -> dict[str, object]:
        return error.body()

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> _Task | None:
        task = _Task(self._respond(incoming, lane))
        if self._chance.random() < 0.3:
            task.run()
            return None
        self.tasks.append(task)
        return task

    def work(self) -> None:
        while self.tasks:
            self.tasks.pop(0).run()

    async def _respond(self, incoming: HTTPRequest, lane: ServerConnection) -> None:
        self.taken.append((incoming.method, incoming.target, incoming.headers, incoming.content()))
        lane.answer([], b"{}")


def _lane(sent: bytes, chance: random.Random) -> tuple[list[Request], int | None]:
    """The requests that the lane takes, and the status with which it refuses what follows."""
    door, transport = _Door(chance), _Transport()
    lane = ServerConnection(HTTPServer(_CONFIG, door))
    lane.connection_made(transport)
    cuts = sorted(chance.randrange(len(sent) + 1) for _ in range(chance.choice((0, 1, 2, 5, 30))))
    start = 0
    for cut in [*cuts, len(sent)]:
        piece, start = sent[start:cut], cut
        if not piece:
            continue
        if transport.paused:
            door.work()
        if transport.closed:
            break
        lane.data_received(piece)
        if chance.random() < 0.5:
            door.work()
    door.work()
    answers = b"".join(transport.written)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answers)]
    final = [status for status in statuses if status >= 200]
    assert len(final) - len(door.taken) in (0, 1), f"{statuses} for {len(door.taken)} requests"
    refusal = final[-1] if len(final) > len(door.taken) else None
    if refusal is not None:
        assert transport.closed, "open after a refusal"
    return door.taken, refusal
