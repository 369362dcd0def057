"""A world to attack: documents with canaries, people with grants, models with clearances."""

from __future__ import annotations

import itertools
import json
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.testing import FakeProvider, Received, Reply, ToolCall
from noria.types import EVERY_GROUP, Label

APPS = Path(__file__).parent / "apps"
GROUPS = ("finance", "hr")
CLEARANCES = {
    "open": Label.PUBLIC,
    "inner": Label.INTERNAL,
    "secret": Label.CONFIDENTIAL,
    "safe": Label.RESTRICTED,
}
"""Of each provider; each is a server of its own, so that it is known what reached it."""
CANARY = re.compile(r"canary-[a-z]+-[a-z]+-[0-9a-f]{8}")


@dataclass(frozen=True)
class Paper:
    """A document, known by its canary wherever its text turns up."""

    group: str | None
    label: Label

    @property
    def id(self) -> str:
        return f"{self.group or 'all'}-{self.label}"

    @property
    def canary(self) -> str:
        return f"canary-{self.group or 'all'}-{self.label}-{TOKEN}"


TOKEN = secrets.token_hex(4)
PAPERS = [Paper(group, label) for group in (None, *GROUPS) for label in Label]
LEDGER = Paper("ledger", Label.CONFIDENTIAL)
"""What the resource holds: for finance, confidential."""
LABEL_OF = {paper.canary: paper.label for paper in (*PAPERS, LEDGER)}


@dataclass(frozen=True)
class Person:
    """Whoever asks."""

    name: str
    groups: frozenset[str] = frozenset()
    clearance: Label = Label.PUBLIC
    admin: bool = False
    known: bool = True
    """Whether the door knows the key."""

    def may_see(self, paper: Paper) -> bool:
        if paper.label > self.clearance:
            return False
        group = "finance" if paper is LEDGER else paper.group
        return group is None or group in self.groups or EVERY_GROUP in self.groups


PEOPLE = [
    *(
        Person(f"{'+'.join(groups) or 'nobody'}-{clearance}", frozenset(groups), clearance)
        for count in range(3)
        for groups in itertools.combinations(GROUPS, count)
        for clearance in Label
    ),
    Person("owner", frozenset([EVERY_GROUP]), Label.RESTRICTED),
    Person("admin", admin=True),
]
STRANGERS = [
    Person("no key", known=False),
    Person("wrong key", known=False),
    Person("revoked key", known=False),
]


@dataclass(frozen=True)
class Outcome:
    """How a cell must end."""

    code: str | None
    """Of the refusal; None for an answer."""
    told: frozenset[str] = frozenset()
    """The canaries in the answer: these and no others."""
    mark: Label = Label.PUBLIC


def expected(person: Person, path: str, model: str) -> Outcome:
    """What must come of a question on a path, with a model."""
    read = frozenset(paper.canary for paper in PAPERS if person.may_see(paper))
    told = read
    if path == "system":
        read, told = frozenset(paper.canary for paper in PAPERS), frozenset()
    elif path == "told":
        told = frozenset()
    elif path == "raw":
        return Outcome(None, read)
    elif path == "database":
        if not person.may_see(LEDGER):
            return Outcome("resource_not_granted")
        read = told = frozenset([LEDGER.canary])
    elif path == "fails":
        return Outcome("app_failed")
    mark = max((LABEL_OF[canary] for canary in read), default=Label.PUBLIC)
    if mark > CLEARANCES[model]:
        return Outcome("label_exceeds_clearance", mark=mark)
    return Outcome(None, told, mark)


def echo(received: Received) -> Reply:
    """A model that says all that it was told, after it has called the tool it was given."""
    body = received.body
    if body.get("model") == "judge":
        return Reply()
    messages = body.get("messages") or []
    if body.get("tools") and not any(one["role"] == "tool" for one in messages):
        return Reply(tool_calls=[ToolCall("looked_up", {"question": "the ledger"})])
    return Reply(text=" ".join(str(one.get("content")) for one in messages) or None)


def canaries(text: str) -> frozenset[str]:
    return frozenset(CANARY.findall(text))


@dataclass
class Providers:
    """One fake provider for each clearance."""

    by_name: dict[str, FakeProvider] = field(default_factory=dict)

    def settings(self) -> str:
        """The part of `noria.toml` that names them."""
        return "".join(
            f'[providers.{name}]\nbase_url = "{provider.url}"\nprompt_allowance = 0\n'
            f'clearance = "{CLEARANCES[name]}"\n'
            for name, provider in self.by_name.items()
        )

    def leaks(self) -> list[str]:
        """What reached a provider that is not cleared for it."""
        found = []
        for name, provider in self.by_name.items():
            for received in provider.requests:
                said = json.dumps([received.path, dict(received.headers), received.body])
                found += [
                    f"{canary} reached {name} ({received.path}, {received.body.get('model')})"
                    for canary in canaries(said)
                    if LABEL_OF[canary] > CLEARANCES[name]
                ]
        return found

    def reached(self) -> Collection[str]:
        """Every canary that reached any of them."""
        return {
            canary
            for provider in self.by_name.values()
            for received in provider.requests
            for canary in canaries(json.dumps(received.body))
        }


def providers() -> Iterator[Providers]:
    """Four running providers."""
    with ExitStack() as stack:
        yield Providers(
            {name: stack.enter_context(FakeProvider(echo, models=("m",))) for name in CLEARANCES}
        )


def applications() -> dict[str, str]:
    """The applications: files by name."""
    return {source.name: source.read_text() for source in sorted(APPS.glob("*.py"))}


def write_papers(folder: Path) -> None:
    """Put the documents into the folder of the applications."""
    (folder / "papers.json").write_text(
        json.dumps(
            [
                {
                    "id": paper.id,
                    "title": f"The ledger of {paper.id}",
                    "text": f"The ledger says {paper.canary}.",
                    "label": str(paper.label),
                    "grants": [paper.group] if paper.group else [],
                }
                for paper in PAPERS
            ]
        )
    )


@dataclass
class Answer:
    """What a door gave."""

    code: str | None
    text: str
    """Everything that came back, headers too."""
    trace: str | None = None
    status: int = 200

    def faults(self, wanted: Outcome) -> list[str]:
        """In what it is not what must come."""
        found = []
        if self.code != wanted.code:
            found.append(f"ended with {self.code}, not {wanted.code}: {self.text[:300]}")
        told = canaries(self.text)
        if told - wanted.told:
            found.append(f"told {sorted(told - wanted.told)}")
        if wanted.told - told:
            found.append(f"kept back {sorted(wanted.told - told)}")
        return found


def whole(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
