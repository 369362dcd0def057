"""One door before a provider that answers with whatever bytes a test gives it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import pytest

from noria.models import assemble
from noria.store import find_trace, take_in
from noria.testing import FakeProvider, Reply
from noria.types import Span, Usage
from tests.support.door import Door, chat, wait_until
from tests.support.raw import RawProvider, Rule

_NUMBERS = count()
_SETTINGS = """
[routing]
retries = 2
backoff_seconds = 0.01
breaker_failures = 3
"""


@dataclass
class Told:
    """What a caller was told, and what stands in the record."""

    status: int
    headers: httpx2.Headers
    body: Any
    """The JSON of a plain answer or an error."""
    events: list[Any] = field(default_factory=list)
    span: Span | None = None
    recorded: Any = None
    asked: int = 0

    @property
    def error(self) -> dict[str, Any]:
        """The error, wherever it stands."""
        found = [event for event in [self.body, *self.events] if event and event.get("error")]
        return found[-1]["error"]

    @property
    def text(self) -> str:
        """The recorded answer's text."""
        return str(self.recorded["choices"][0]["message"]["content"])


class Attack:
    """Asks a model that answers with given bytes."""

    def __init__(self, door: Door, raw: RawProvider) -> None:
        self.door, self.raw = door, raw
        self.key = door.key(name="attack")
        self.paying = door.key(name="paying", budget="1000000 USD/day")

    def model(self, given: bytes | Rule, name: str | None = None) -> str:
        """A model of its own for an answer."""
        name = name or f"m{next(_NUMBERS)}"
        self.raw.answers[name] = given
        return f"raw:{name}"

    def ask(self, given: bytes | Rule | str, *, stream: bool | None = None, **fields: Any) -> Told:
        """Ask, and read what stands in the record afterwards."""
        model = given if isinstance(given, str) else self.model(given)
        if stream is None:
            stream = isinstance(given, bytes) and b"text/event-stream" in given[:200]
        secret = fields.pop("key", self.key)
        before = self.raw.asked[model.removeprefix("raw:")]
        with self.door.client(secret) as client:
            more = {"stream": True} if stream else {}
            answer = client.post("/v1/chat/completions", json=chat(model=model, **more, **fields))
        told = Told(answer.status_code, answer.headers, None)
        if "event-stream" in answer.headers["content-type"]:
            lines = [line[5:].strip() for line in answer.text.split("\n") if line[:5] == "data:"]
            told.events = [json.loads(line) for line in lines if line != "[DONE]"]
        else:
            told.body = answer.json()
        told.asked = self.raw.asked[model.removeprefix("raw:")] - before
        self.recorded(told, answer.headers["x-noria-trace"])
        return told

    def recorded(self, told: Told, trace: str) -> None:
        """Wait for the end in the record and read it."""

        def ended() -> bool:
            with self.door.database() as db:
                take_in(db, assemble)
                (found,) = find_trace(db, trace)
            told.span = found.span
            told.recorded = json.loads(found.response) if found.response else None
            return found.span.status != "open"

        wait_until(ended, 5)


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    """A door before a raw provider; models without a price of their own cost 1 USD a thousand."""
    with RawProvider() as raw, FakeProvider(Reply(text="spare", usage=Usage(1, 1))) as fake:
        prices = "".join(
            f'[prices."raw:{name}"]\ninput = 1000.0\noutput = 1000.0\n'
            for name in [*(f"m{number}" for number in range(400)), "paid", "slow", "seeing"]
        )
        settings = (
            f'[providers.raw]\nbase_url = "{raw.url}"\nprompt_allowance = 0\n'
            f"image_allowance = 100\naudio_allowance = 50\n"
            f'[providers.lmstudio]\nbase_url = "{raw.url}"\n'
            '[arena]\ncontestants = ["raw:left", "raw:right"]\n'
            '[models.route]\ntargets = ["raw:first", "fake:small"]\n'
            '[prices."fake:small"]\ninput = 1000.0\noutput = 1000.0\n' + prices + _SETTINGS
        )
        door = Door(tmp_path_factory.mktemp("attack"), fake, settings).start()
        yield Attack(door, raw)
        door.stop()
