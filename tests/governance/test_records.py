"""What the records keep, and who is shown it: pages, checks, lineage, logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from sqlalchemy import text

from noria.models import assemble
from noria.store import answers_of, find_trace, take_in
from noria.store.intake.text_index import index_text
from noria.types import Label
from tests.governance.asking import DOORS, World
from tests.governance.support import PAPERS, PEOPLE, Person, canaries, expected

ASKED = ("direct", "system", "fails")
BY_NAME = {one.name: one for one in PEOPLE}


@pytest.fixture(scope="module")
def traces(world: World) -> dict[tuple[str, str], str]:
    """Runs of some people, by person and path."""
    found = {}
    for name in ("nobody-public", "nobody-internal", "finance-confidential", "owner"):
        for path in ASKED:
            answer = DOORS["rest"](world, BY_NAME[name], path, "safe", {})
            assert answer.trace
            found[name, path] = answer.trace
    with world.door.database() as db:
        take_in(db, assemble)
    return found


@contextmanager
def signed_in(world: World, person: Person) -> Iterator[httpx2.Client]:
    url = world.door.url
    with httpx2.Client(base_url=url, headers={"Origin": url}, timeout=60) as client:
        answer = client.post("/signin", data={"key": world.keys[person.name]})
        assert answer.status_code == 303
        yield client


def everything(client: httpx2.Client, trace: str) -> tuple[int, str]:
    """All that the pages tell of a run: the page of each span, the raw bodies, the passages."""
    page = client.get(f"/traces/{trace}")
    if page.status_code != 200:
        return page.status_code, page.text
    told = [page.text]
    for span in set(re.findall(r"span=([0-9a-f]{16})", page.text)):
        told.append(client.get(f"/traces/{trace}?span={span}").text)
        told += [client.get(f"/traces/{trace}/spans/{span}/{what}").text
                 for what in ("request", "response", "curl", "python")]  # fmt: skip
    told += [client.get(f"/traces/{trace}/{what}").text for what in ("documents", "figures")]
    return 200, "\n".join(told)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_pages_show_ones_own_runs_and_nothing_above_ones_clearance(
    world: World, traces: dict[tuple[str, str], str], person: Person
) -> None:
    faults = []
    with signed_in(world, person) as client:
        for (name, path), trace in traces.items():
            status, told = everything(client, trace)
            mark = expected(BY_NAME[name], path, "safe").mark
            if path == "fails":
                mark = expected(BY_NAME[name], "direct", "safe").mark
            own = name == person.name
            if status != (200 if own or person.admin else 404):
                faults.append(f"{name}'s {path}: {status}")
            if canaries(told) and not (status == 200 and mark <= person.clearance):
                faults.append(f"{name}'s {path} shows {sorted(canaries(told))}")
            if own and path == "direct" and mark <= person.clearance and not canaries(told):
                faults.append(f"{name}'s {path} shows nothing at all")
        for address in ("/", "/traces", "/apps", "/apps/desk", "/indexes", "/indexes/papers",
                        "/indexes/shelf", "/spend", "/models"):  # fmt: skip
            above = canaries(client.get(address).text) - {
                paper.canary for paper in PAPERS if person.may_see(paper)
            }
            if above:
                faults.append(f"{address} shows {sorted(above)}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.name)
def test_pages_of_indexes_show_what_a_search_would(world: World, person: Person) -> None:
    faults = []
    with signed_in(world, person) as client:
        searched = client.get("/indexes/papers?q=the+ledger")
        assert searched.status_code == 200
        shown = canaries(searched.text)
        for paper in PAPERS:
            may = person.may_see(paper)
            page = client.get(f"/indexes/papers/document?id={paper.id}")
            if may is not (paper.canary in page.text) or (page.status_code == 200) is not may:
                faults.append(f"the page of {paper.id}: {page.status_code}")
            if paper.canary in shown and not may:
                faults.append(f"a search shows {paper.id}")
    assert not faults, "\n".join(faults)
    assert shown


def test_words_of_other_peoples_runs_find_nothing(
    world: World, traces: dict[tuple[str, str], str]
) -> None:
    """Searching for a word of somebody else's run, or of one above the clearance."""
    with world.door.database() as db:
        while index_text(db):
            pass
    owner = traces["owner", "direct"]
    for person in PEOPLE:
        with signed_in(world, person) as client:
            found = client.get(f"/traces?q={PAPERS[3].canary}").text
        assert (owner in found) is (person.name == "owner"), person.name


def test_a_check_whose_judge_is_not_cleared_is_skipped(world: World) -> None:
    """The judge is at the open provider, so that it may look at public answers only. The check is
    drawn for three answers of ten, and made after them: people ask until it was made for both."""
    with world.door.database() as db:
        for asked in range(1, 101):
            found: dict[bool, set[str]] = {False: set(), True: set()}
            DOORS["rest"](world, BY_NAME["nobody-public"], "direct", "open", {})
            DOORS["rest"](world, BY_NAME["finance-confidential"], "direct", "safe", {})
            take_in(db, assemble)
            with db.read() as connection:
                for label, outcome in connection.execute(
                    text(
                        "SELECT coalesce(m.label, 0), v.outcome FROM verdicts v"
                        " LEFT JOIN marks m ON m.trace_id = v.trace_id"
                    )
                ):
                    found[label > Label.PUBLIC].add(outcome)
            if asked >= 12 and all(found.values()):
                break
    public, more = found[False], found[True]
    assert more == {"skip"}
    assert public
    assert "skip" not in public
    assert not world.providers.leaks()


def test_lineage_names_everybody_who_read_a_document(
    world: World, traces: dict[tuple[str, str], str]
) -> None:
    with world.door.database() as db:
        take_in(db, assemble)
        for paper in PAPERS:
            readers = {one.trace_id for one in answers_of(db, paper.id, "papers", limit=100_000)}
            for (name, path), trace in traces.items():
                read = path == "system" or BY_NAME[name].may_see(paper)
                assert (trace in readers) is read, (paper.id, name, path)


def test_going_round_the_rules_is_recorded(
    world: World, traces: dict[tuple[str, str], str]
) -> None:
    with world.door.database() as db:
        take_in(db, assemble)
        for (_, path), trace in traces.items():
            searches = [one.span for one in find_trace(db, trace) if one.span.kind == "search"]
            assert searches
            assert {bool(one.attributes.get("as_system")) for one in searches} == {path == "system"}


def test_the_log_of_the_server_holds_no_text(world: World) -> None:
    assert not canaries((world.door.folder / "log").read_text(errors="replace"))
