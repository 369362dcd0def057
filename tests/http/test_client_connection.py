"""A stream that comes faster than anybody reads: the connection rests, and nothing is lost."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

from noria.http.client import ConnectionPool
from noria.http.client_connection import ClientConnection, Exchange, UpstreamFailure


def in_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def piece(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def _nothing(_: object) -> None: ...


class Wire:
    """The transport of a connection, which notes whether it is read."""

    def __init__(self) -> None:
        self.aborted = False
        self.reading = asyncio.Event()
        self.reading.set()

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


class Streaming:
    """A stream under way."""

    def __init__(self) -> None:
        self.now = 100.0
        self.given_back: list[ClientConnection] = []
        self._loop = asyncio.get_running_loop()
        loop = SimpleNamespace(time=lambda: self.now, call_later=self._loop.call_later)
        pool = SimpleNamespace(
            loop=loop,
            patience=(120.0, 60.0, 600.0),
            active=set(),
            give_back=self.given_back.append,
            forget=_nothing,
        )
        self.wire = Wire()
        self.link = ClientConnection(cast(ConnectionPool, pool))
        self.link.connection_made(cast(Any, self.wire))
        self.pieces: list[bytes] = []
        self.ends: list[UpstreamFailure | None] = []
        self.exchange = Exchange(self.pieces.append, self.ends.append)
        self.link.send(b"GET / HTTP/1.1\r\n\r\n", self.exchange)

    async def come(self, *received: bytes) -> None:
        """Bytes that come in one turn of the loop each, as long as they are read."""
        for data in received:
            await self.wire.reading.wait()
            self.link.data_received(data)

    async def woken(self) -> None:
        """The rest is over by then: timers end in their order, and a rest is four milliseconds."""
        woken = asyncio.Event()
        self._loop.call_later(0.05, woken.set)
        await woken.wait()


@in_a_loop
async def test_the_third_of_three_pieces_at_once_is_passed_on_and_then_it_rests() -> None:
    stream = Streaming()
    await stream.come(HEAD + piece(b"a"), piece(b"b"), piece(b"c"))
    assert stream.pieces == [b"a", b"b", b"c"]
    assert not stream.wire.reading.is_set()
    await stream.come(piece(b"d") + piece(b"e"))  # once it is read again
    assert stream.pieces[3:] == [b"de"]
    assert not stream.wire.reading.is_set()
    await stream.come(piece(b"f") + b"0\r\n\r\n")
    assert b"".join(stream.pieces) == b"abcdef"
    assert stream.ends == [None]


@in_a_loop
async def test_slow_pieces_are_read_without_a_rest() -> None:
    stream = Streaming()
    for text in (HEAD + piece(b"a"), piece(b"b"), piece(b"c"), piece(b"d")):
        stream.now += 0.005
        await stream.come(text)
        assert stream.wire.reading.is_set()


@in_a_loop
async def test_the_pieces_of_an_earlier_answer_do_not_count() -> None:
    stream = Streaming()
    await stream.come(HEAD + piece(b"a"), piece(b"b") + b"0\r\n\r\n")
    assert stream.ends == [None]
    stream.link.send(b"GET / HTTP/1.1\r\n\r\n", Exchange(stream.pieces.append, stream.ends.append))
    await stream.come(HEAD + piece(b"c"), piece(b"d"))
    assert stream.wire.reading.is_set()
    assert stream.pieces == [b"a", b"b", b"c", b"d"]


@in_a_loop
async def test_a_rest_does_not_end_the_pause_of_a_slow_caller() -> None:
    stream = Streaming()
    await stream.come(HEAD + piece(b"a"), piece(b"b"), piece(b"c"))
    stream.exchange.pause()
    await stream.woken()
    assert not stream.wire.reading.is_set()
    stream.exchange.resume()
    assert stream.wire.reading.is_set()


@in_a_loop
async def test_an_answer_that_ended_while_it_rested_is_left_alone() -> None:
    stream = Streaming()
    await stream.come(HEAD + piece(b"a"), piece(b"b"), piece(b"c"))
    stream.link.connection_lost(None)
    (failure,) = stream.ends
    assert failure is not None
    assert failure.code == "upstream_reset"
    await stream.woken()
    assert not stream.wire.reading.is_set()


@in_a_loop
async def test_headers_of_an_interim_answer_and_trailers_are_not_those_of_the_answer() -> None:
    stream = Streaming()
    interim = (
        b"HTTP/1.1 103 Early Hints\r\ncontent-type: text/event-stream\r\nretry-after: 9\r\n\r\n"
    )
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    await stream.come(interim, head + piece(b"a"), b"0\r\nretry-after: 7\r\n\r\n")
    assert stream.ends == [None]
    assert stream.exchange.body == b"a"
    assert stream.exchange.retry_after is None
    assert stream.pieces == []


@in_a_loop
async def test_a_second_answer_in_the_same_piece_ends_the_connection() -> None:
    stream = Streaming()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    await stream.come(answer)
    assert stream.given_back == [stream.link]
    stream.link.send(b"GET / HTTP/1.1\r\n\r\n", Exchange(stream.pieces.append, stream.ends.append))
    await stream.come(answer + answer)
    assert stream.ends == [None, None]
    assert len(stream.given_back) == 2
    assert stream.wire.aborted


@in_a_loop
async def test_headers_are_found_whatever_the_case_of_their_names() -> None:
    stream = Streaming()
    await stream.come(b"HTTP/1.1 429 Slow Down\r\nRetry-AFTER: 3\r\nContent-Length: 0\r\n\r\n")
    assert stream.exchange.retry_after == "3"
    stream.link.send(b"GET / HTTP/1.1\r\n\r\n", Exchange(stream.pieces.append, stream.ends.append))
    await stream.come(HEAD.replace(b"content-type", b"Content-Type") + piece(b"a"))
    assert stream.pieces == [b"a"]
