"""What was read in a run or a conversation binds what goes on with it, and nobody else can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from noria.store import mark_of
from noria.types import Label
from tests.governance.asking import ASKED, DOORS, World, app_of, together
from tests.governance.support import (
    CLEARANCES,
    LABEL_OF,
    PEOPLE,
    Answer,
    Person,
    canaries,
    expected,
)  # fmt: skip

SOME = [
    one
    for one in PEOPLE
    if one.name in ("nobody-public", "nobody-internal", "finance-confidential", "owner")
]
BARE = ("chat", "stream", "embeddings")


def bare(world: World, person: Person, call: str, model: str, text: str, trace: str) -> Answer:
    """A call of a model itself that goes on with a trace."""
    headers = world.headers(person) | {"x-noria-trace": trace, "x-noria-parent": trace[:16]}
    if call == "embeddings":
        body: dict[str, Any] = {"model": f"{model}:embed", "input": text}
        return world.post("/v1/embeddings", body, headers)
    body = {"model": f"{model}:m", "messages": [{"role": "user", "content": text}]}
    return world.post("/v1/chat/completions", body | {"stream": call == "stream"}, headers)


@pytest.mark.parametrize("door", DOORS)
def test_a_joined_trace_binds_and_is_ones_own(world: World, door: str) -> None:
    """4 people, 3 calls, 4 models, by the owner of the trace and by another one."""

    def cells(person: Person) -> list[str]:
        first = DOORS[door](world, person, "direct", "safe", {})
        assert first.trace
        mark = expected(person, "direct", "safe").mark
        with world.door.database() as db:
            assert mark_of(db, first.trace) is mark
        faults = []
        read = " ".join(sorted(canaries(first.text)))
        other = next(one for one in PEOPLE if one != person and one.clearance is Label.RESTRICTED)
        for call in BARE:
            for model, clearance in CLEARANCES.items():
                wanted = "label_exceeds_clearance" if mark > clearance else None
                mine = bare(world, person, call, model, read if wanted else "hi", first.trace)
                if (mine.code, mine.trace) != (wanted, first.trace):
                    faults.append(f"{person.name} {call} {model}: {mine.code} not {wanted}")
                if wanted and canaries(mine.text):
                    faults.append(f"{person.name} {call} {model}: the refusal quotes the text")
                theirs = bare(world, other, call, model, "hi", first.trace)
                if theirs.code or theirs.trace == first.trace or canaries(theirs.text):
                    faults.append(f"{other.name} {call} {model} joined {person.name}'s trace")
        return faults

    faults = together([lambda one=one: cells(one) for one in SOME])
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults[:20])


@pytest.mark.parametrize("path", ["direct", "other", "process", "system", "told"])
def test_a_run_goes_on_with_a_marked_trace(world: World, path: str) -> None:
    """The next run of an application in it may tell an uncleared model nothing either."""

    def cells(person: Person) -> list[str]:
        first = DOORS["rest"](world, person, path, "safe", {})
        mark = expected(person, path, "safe").mark
        faults = []
        for model, clearance in CLEARANCES.items():
            answer = world.post(
                f"/apps/{app_of(model)}/answer",
                {"question": "talk of nothing"},
                world.headers(person) | {"x-noria-trace": first.trace or ""},
            )
            wanted = "label_exceeds_clearance" if mark > clearance else None
            if answer.code != wanted:
                faults.append(f"{person.name} {path} {model}: {answer.code} not {wanted}")
        return faults

    faults = together([lambda one=one: cells(one) for one in SOME])
    assert not faults, "\n".join(faults)


def say(world: World, person: Person, door: str, question: str, model: str, name: str) -> Answer:
    headers = world.headers(person) | {"x-noria-conversation": name}
    if door == "rest":
        return world.post(f"/apps/{app_of(model)}/answer", {"question": question}, headers)
    said = [{"role": "user", "content": question}]
    return world.post("/v1/chat/completions", {"model": app_of(model), "messages": said}, headers)


@pytest.mark.parametrize("first_door", ["rest", "chat"])
@pytest.mark.parametrize("next_door", ["rest", "chat"])
def test_a_kept_conversation_binds_and_is_ones_own(
    world: World, first_door: str, next_door: str
) -> None:
    def cells(person: Person) -> list[str]:
        name = f"{person.name}-{first_door}-{next_door}"
        first = say(world, person, first_door, f"direct {ASKED}", "safe", name)
        wanted = expected(person, "direct", "safe")
        faults = first.faults(wanted)
        for model, clearance in CLEARANCES.items():
            answer = say(world, person, next_door, "talk again", model, name)
            bound = wanted.mark > clearance
            code = "label_exceeds_clearance" if bound else None
            told = frozenset() if bound else wanted.told
            if answer.code != code or canaries(answer.text) != told:
                faults.append(f"{person.name} {model}: {answer.code}, {canaries(answer.text)}")
            for other in PEOPLE:
                if other in (person, *SOME) or other.clearance is not Label.RESTRICTED:
                    continue
                theirs = say(world, other, next_door, "talk again", model, name)
                if theirs.code is not None or canaries(theirs.text):
                    faults.append(f"{other.name} has got {person.name}'s conversation")
        return faults

    faults = together([lambda one=one: cells(one) for one in SOME])
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults[:20])


def test_what_a_caller_sends_as_history_is_the_callers(world: World) -> None:
    """Text that a person pastes is not covered; it reads nothing and raises nothing."""
    (person,) = (one for one in PEOPLE if one.name == "nobody-public")
    pasted = "I was told that the ledger is secret."
    said = [
        {"role": "user", "content": pasted},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": "talk on"},
    ]
    answer = world.post(
        "/v1/chat/completions", {"model": "desk", "messages": said}, world.headers(person)
    )
    assert answer.code is None
    assert pasted in answer.text


def test_nobody_speaks_of_somebody_elses_run(world: World) -> None:
    faults = []
    for person in SOME:
        trace = DOORS["rest"](world, person, "direct", "safe", {}).trace
        for other in PEOPLE:
            answer = world.post(
                "/v1/feedback", {"trace_id": trace, "score": -1}, world.headers(other)
            )
            wanted = None if other == person or other.admin else "trace_not_found"
            if answer.code != wanted:
                faults.append(f"{other.name} on {person.name}'s run: {answer.code}")
    assert not faults, "\n".join(faults)


def test_a_battle_is_bound_by_what_its_sides_have_said(world: World) -> None:
    """Both sides read in the first turn, and are told their own answers in the second."""
    faults = []
    for person in SOME:
        headers = world.headers(person)
        begun = world.post("/v1/arena/battles", {}, headers)
        battle = json.loads(begun.text.partition("\n")[0])["id"]
        wanted = expected(person, "raw", "open").told
        mark = max(LABEL_OF[canary] for canary in wanted)
        first = world.post(f"/v1/arena/battles/{battle}/turns", {"question": "raw it"}, headers)
        if canaries(first.text) != wanted:
            faults.append(f"{person.name}: {canaries(first.text)}")
        next_ = world.post(f"/v1/arena/battles/{battle}/turns", {"question": "talk on"}, headers)
        refused = next_.text.count('"end":"error"')
        if refused != sum(mark > CLEARANCES[model] for model in ("open", "inner")):
            faults.append(f"{person.name} at {mark}: {refused} sides refused")
        for other in PEOPLE:
            if other != person:
                answer = world.post(
                    f"/v1/arena/battles/{battle}/turns",
                    {"question": "talk on"},
                    world.headers(other),
                )
                if answer.code is None or canaries(answer.text):
                    faults.append(f"{other.name} has got {person.name}'s battle")
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults)
