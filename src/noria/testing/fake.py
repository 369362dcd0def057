"""A provider without a model: a real HTTP server that speaks every wire, on its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import orjson

from noria.testing import answers, delivery
from noria.testing.delivery import Owed
from noria.testing.dialects import DIALECTS, error_in
from noria.testing.http import Connection, Request
from noria.testing.replies import Fault, Reply
from noria.testing.vectors import embeddings

__all__ = ["FakeProvider", "Owed", "Received", "Script"]


@dataclass(slots=True)
class Received:
    """One request that the provider got."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """The parsed JSON; None where there was none."""
    hung_up: bool = False
    """Whether the client went away before the answer was complete."""
    done: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the answer is complete or given up."""


_Respond = Callable[[dict[str, Any], Reply, Connection], Awaitable[None]]

Script = Reply | Callable[[Received], Reply]
"""What is answered: always the same, or what a function of the request says."""

_FAULT_STATUS = {Fault.RATE_LIMITED: 429, Fault.SERVER_ERROR: 500, Fault.UNAUTHORIZED: 401}


class FakeProvider:
    """Speaks OpenAI's chat and Responses, Anthropic's Messages and Gemini's generateContent on
    `url` within a `with` block, and remembers what it was asked.

    The answer to a request is the next one of `queue(...)`, else the one of its model in
    `by_model`, else `reply`.

        with FakeProvider(Reply(text="Paris", usage=Usage(12, 1))) as provider:
            client = openai.OpenAI(base_url=provider.url, api_key="any")

    Args:
        reply: what is answered unless another reply is due.
        models: the names that `/v1/models` lists; every name is answered.
        api_key: when given, requests with another bearer token get a 401.
        port: 0 takes any free port.
    """

    def __init__(
        self,
        reply: Script | None = None,
        *,
        models: Sequence[str] = ("fake",),
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.models = models
        self.api_key = api_key
        self.host = host
        self.port = port
        self.by_model: dict[str, Script] = {}
        self.requests: list[Received] = []
        self.at_once = 0
        """How many requests are being answered."""
        self.most_at_once = 0
        """The most that were at the same time."""
        self._reply: Script = reply or Reply()
        self._queue: deque[Reply] = deque()
        self._owed: dict[str, Owed] = {}
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._paths: dict[str, _Respond] = {
            "/v1/chat/completions": self._chat,
            "/v1/embeddings": self._embed,
            "/v1/messages": partial(self._chat, dialect="messages"),
            "/v1/responses": partial(self._chat, dialect="responses"),
        }
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    @property
    def url(self) -> str:
        """What a client calls `base_url`."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def owed(self) -> dict[str, Owed]:
        """What each model's use is owed so far."""
        with self._changed:
            return dict(self._owed)

    @property
    def reply(self) -> Script:
        """What is answered when no other reply is due. May be set at any time."""
        return self._reply

    @reply.setter
    def reply(self, reply: Script) -> None:
        self._reply = reply
        refuses = isinstance(reply, Reply) and reply.fault is Fault.REFUSE
        self._on_loop(self._close() if refuses else self._open())

    def queue(self, *replies: Reply) -> None:
        """Answer the next requests with these, one each, in this order."""
        self._queue.extend(replies)

    def forget(self) -> None:
        """Forget the requests, the queue and what is owed."""
        with self._changed:
            self.requests.clear()
            self._owed.clear()
        self._queue.clear()

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Wait until `count` requests have come, and give back all.

        Raises:
            TimeoutError: they did not come within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came")
            return list(self.requests)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Within the block the port is closed and connections are refused."""
        before = self.reply
        self.reply = Reply(fault=Fault.REFUSE)
        try:
            yield
        finally:
            self.reply = before

    def __enter__(self) -> Self:
        started = threading.Event()
        failure: list[OSError] = []

        def run() -> None:
            self._loop = asyncio.new_event_loop()
            try:
                self._loop.run_until_complete(self._open())
            except OSError as taken:
                failure.append(taken)
                return
            finally:
                started.set()
            self._loop.run_forever()
            self._loop.close()

        self._thread = threading.Thread(target=run, name="fake-provider", daemon=True)
        self._thread.start()
        started.wait()
        if failure:
            raise failure[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # The port.

    async def _open(self) -> None:
        if self._server is None:
            listener = socket.create_server((self.host, self.port), backlog=2048)
            # Connections take this over: each piece leaves at once, as from any other server.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.port = listener.getsockname()[1]
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self._answer, self._connections), sock=listener
            )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.reset()
        # An aborted connection reports its end in the loop's next round.
        await asyncio.sleep(0)

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something on the server's thread and wait until it is done."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a reply's function may not change the script")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # Answers.

    async def _answer(self, request: Request, connection: Connection) -> None:
        received = Received(request.method, request.path, request.headers, _parse(request.body))
        with self._changed:
            self.requests.append(received)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._changed.notify_all()
        try:
            await self._respond(request, received, connection)
        except asyncio.CancelledError:
            received.hung_up = True
            raise
        finally:
            with self._changed:
                self.at_once -= 1
            received.done.set()

    async def _respond(self, request: Request, received: Received, client: Connection) -> None:
        send = delivery.send
        if (found := _GEMINI.fullmatch(request.path)) is not None and received.body:
            received.body = {**received.body, "model": found[1], "stream": found[2] is not None}
            respond: _Respond | None = partial(self._chat, dialect="gemini")
        else:
            respond = self._paths.get(request.path)
        if self.api_key is not None and _key_in(request.headers) != self.api_key:
            send(client, 401, answers.error_body(401))
        elif (request.method, request.path) == ("GET", "/v1/models"):
            send(client, 200, answers.model_list(self.models))
        elif respond is None or request.method != "POST":
            send(client, 404, answers.error_body(404, f"There is no {request.path}."))
        elif not isinstance(received.body, dict) or "model" not in received.body:
            send(client, 400, answers.error_body(400, "The body is no JSON with a model."))
        else:
            await self._say(received, respond, client)

    async def _say(self, received: Received, respond: _Respond, client: Connection) -> None:
        reply = self._due(received)
        await asyncio.sleep(reply.first_delay)
        status = _FAULT_STATUS.get(reply.fault, reply.status) if reply.fault else reply.status
        if status != 200:
            waits = {"retry-after": "1"} if reply.fault is Fault.RATE_LIMITED else {}
            body = error_in(_dialect(received.path), status, answers.error_body(status, reply.text))
            delivery.send(client, status, body, {**waits, **reply.headers})
        elif reply.fault in (Fault.RESET, Fault.REFUSE):
            client.reset()
        elif reply.fault is Fault.STALL:
            await asyncio.Event().wait()
        else:
            try:
                await respond(received.body, reply, client)
            except (AttributeError, KeyError, TypeError, ValueError) as odd:
                delivery.send(client, 400, answers.error_body(400, f"The body is odd: {odd!r}."))

    def _due(self, received: Received) -> Reply:
        if self._queue:
            return self._queue.popleft()
        script = self.by_model.get(received.body["model"], self._reply)
        return script if isinstance(script, Reply) else script(received)

    async def _chat(
        self, body: dict[str, Any], reply: Reply, client: Connection, dialect: str = "chat"
    ) -> None:
        kind = DIALECTS.get(dialect, answers.Chat)
        chat = kind(body, reply, with_usage=reply.fault is not Fault.NO_USAGE)
        bill = partial(self._owe, chat.model)
        if body.get("stream"):
            await delivery.stream(chat, reply, client, bill)
        else:
            await delivery.plain(chat.plain(), chat.usage, reply, client, bill)

    async def _embed(self, body: dict[str, Any], reply: Reply, client: Connection) -> None:
        with_usage = reply.fault is not Fault.NO_USAGE
        answer, usage = embeddings(body, reply, with_usage=with_usage)
        await delivery.plain(answer, usage, reply, client, partial(self._owe, body["model"]))

    def _owe(self, model: str, owed: Owed) -> None:
        with self._changed:
            self._owed[model] = self._owed.get(model, Owed()) + owed


_GEMINI = re.compile(r"/v1(?:beta)?/models/([^:]+):(?:generateContent|(streamGenerateContent))")


def _dialect(path: str) -> str:
    """The dialect that a path belongs to."""
    if _GEMINI.fullmatch(path):
        return "gemini"
    return {"/v1/messages": "messages", "/v1/responses": "responses"}.get(path, "chat")


def _key_in(headers: Mapping[str, str]) -> str:
    """The key that a request shows, however its dialect has it."""
    for name in ("x-api-key", "x-goog-api-key"):
        if name in headers:
            return headers[name]
    return headers.get("authorization", "").removeprefix("Bearer ")


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
