"""Callers that go on asking while things break, and remember every answer that they saw the end
of."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from dataclasses import dataclass

import httpx2

from noria.testing import Received, Reply
from tests.support.door import Door, bearer, chat

__all__ = ["Answer", "Load", "varied"]


@dataclass(frozen=True)
class Answer:
    """One answer whose end was seen."""

    trace_id: str
    input_tokens: int
    output_tokens: int


def varied(request: Received) -> Reply:
    """Replies of different lengths, now and then slow: each call has figures of its own."""
    size = len(request.body["messages"][0]["content"])
    return Reply(text="word " * (size % 37 + 1), delay=0.002, first_delay=size % 5 / 200)


class Load:
    """So many callers in a thread of their own, each asking again and again over a connection of
    its own, which is that of one worker.

    Half of the calls are streams. `answers` are those whose end was seen, `served` the callers
    that had one, `errors` the status and code of each refusal, `broken` counts the calls whose
    connection broke.
    """

    def __init__(self, door: Door, secret: str, callers: int = 8) -> None:
        self._door = door
        self._secret = secret
        self._callers = callers
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self.answers: list[Answer] = []
        self.served: set[int] = set()
        self.errors: list[tuple[int, str]] = []
        self.broken = 0

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*map(self._call_on, range(self._callers)))

    async def _call_on(self, caller: int) -> None:
        async with httpx2.AsyncClient(headers=bearer(self._secret), timeout=30) as client:
            while not self._stop.is_set():
                try:
                    if await self._call(client, next(self._numbers)):
                        self.served.add(caller)
                except httpx2.HTTPError:
                    self.broken += 1
                    await asyncio.sleep(0.02)

    async def _call(self, client: httpx2.AsyncClient, number: int) -> bool:
        text = f"{number} " + "x" * (number % 101)
        body = chat(text, max_tokens=40)
        if number % 2:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        url = f"{self._door.url}/v1/chat/completions"
        reply = await client.post(url, json=body)
        if reply.status_code != 200:
            self.errors.append((reply.status_code, reply.json()["error"]["code"]))
            await asyncio.sleep(0.02)
            return False
        last = reply.text
        if number % 2:
            *_, last, done = (event for event in reply.text.split("\n\n") if event)
            if done != "data: [DONE]":
                self.errors.append((200, json.loads(done[6:])["error"]["code"]))
                return False
            last = last[6:]
        usage = json.loads(last)["usage"]
        trace = reply.headers["x-noria-trace"]
        self.answers.append(Answer(trace, usage["prompt_tokens"], usage["completion_tokens"]))
        return True
