"""Grants and labels at every door of a running server: who asks, which model, on which path."""

from __future__ import annotations

import pytest

from tests.governance.asking import DOORS, World, together
from tests.governance.support import CLEARANCES, PEOPLE, STRANGERS, Person, canaries, expected

PATHS = {
    "rest": (
        "direct", "step", "to_thread", "thread", "threads", "process", "nested", "gather", "tool",
        "system", "database", "told", "other", "fails", "drafts",
        "raw",
    ),
    "chat": ("direct", "tool", "nested", "system"),
    "stream": ("direct", "thread", "database", "fails"),
    "events": ("direct",),
    "mcp": ("direct", "process", "other", "fails"),
}  # fmt: skip
SOME = [
    one
    for one in PEOPLE
    if one.name in (
        "nobody-public", "nobody-restricted", "finance-internal", "finance-confidential",
        "hr-confidential", "owner", "admin",
    )
]  # fmt: skip
"""Enough of them for the paths beside the direct one."""
CELLS = [
    (door, path, person, model)
    for door, paths in PATHS.items()
    for path in paths
    for person in (PEOPLE if path == "direct" else SOME)
    for model in CLEARANCES
]
FORGED = {
    "x-noria-user": "owner",
    "x-noria-groups": "*,finance,hr",
    "x-noria-clearance": "restricted",
    "x-noria-mark": "public",
    "x-noria-principal": '{"groups": ["*"], "clearance": 3}',
    "x-noria-parent": "0" * 16,
    "x-noria-trace": "f" * 32,
    "x-noria-app": "desk",
    "x-forwarded-user": "owner",
    "x-admin": "true",
}


def test_the_matrix_is_large() -> None:
    assert len(CELLS) >= 900
    assert {path for paths in PATHS.values() for path in paths} == set(PATHS["rest"])


@pytest.mark.parametrize(
    ("door", "path"), [(door, path) for door, paths in PATHS.items() for path in paths]
)
def test_nothing_crosses(world: World, door: str, path: str) -> None:
    """Everybody asks with every model, several at the same time."""

    def cell(person: Person, model: str) -> list[str]:
        answer = DOORS[door](world, person, path, model, {})
        wanted = expected(person, path, model)
        return [f"{person.name} with {model}: {fault}" for fault in answer.faults(wanted)]

    mine = [cell[2:] for cell in CELLS if cell[:2] == (door, path)]
    faults = together([lambda one=one: cell(*one) for one in mine])
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults[:20])


@pytest.mark.parametrize("door", DOORS)
def test_strangers_are_told_nothing(world: World, door: str) -> None:
    for person in STRANGERS:
        for headers in ({}, FORGED, {}):
            answer = DOORS[door](world, person, "direct", "safe", headers)
            assert answer.status == 401, (person.name, answer.text)
            assert not canaries(answer.text)


@pytest.mark.parametrize("door", DOORS)
def test_forged_headers_open_nothing(world: World, door: str) -> None:
    def cell(person: Person, model: str) -> list[str]:
        answer = DOORS[door](world, person, "direct", model, FORGED)
        wanted = expected(person, "direct", model)
        return [f"{person.name} with {model}: {fault}" for fault in answer.faults(wanted)]

    faults = together(
        [lambda p=person, m=model: cell(p, m) for person in SOME for model in CLEARANCES]
    )
    faults += world.providers.leaks()
    assert not faults, "\n".join(faults[:20])
