"""An index keeps up with its source, does no work twice, and names what it cannot read."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from noria.errors import ApiError, ConfigError, NoriaError, NotFound
from noria.retrieval import (
    Chunking,
    Document,
    Index,
    Original,
    Report,
    find_document,
    find_index,
    list_chunks,
    list_documents,
    list_indexes,
    search_index,
)
from noria.store import answers_of, find_trace
from noria.testing import Fault, Reply
from noria.tracing import CallContext
from noria.types import Label, SpanKind
from tests.retrieval.conftest import House, ids

MODEL = "fake:embedder"


def handbook(house: House, **keywords: Any) -> Index:
    given = {"source": "docs/**/*", "embed": MODEL, "root": house.folder} | keywords
    return Index("handbook", **given)


def build(house: House, index: Index) -> Report:
    return house.run(index.build)


def search(house: House, index: Index, question: str, **keywords: Any) -> list[Document]:
    return house.run(lambda _: index.search(question, **keywords))


def test_a_search_waits_for_the_first_pass_and_finds_by_words(house: House) -> None:
    house.write("leave.md", "# Leave\n\nYou have twenty-five days of holiday a year.")
    house.write("pay.txt", "Salaries are paid on the last working day of the month.")
    (first, *_) = search(house, handbook(house), "When are salaries paid?")
    assert (first.id, first.title, first.source) == ("docs/pay.txt", "pay", "docs/pay.txt")
    assert first.label is Label.PUBLIC
    assert first.index == "handbook"
    assert "last working day" in first.text
    assert 0 < first.score <= 1
    assert str(first) == f"pay (docs/pay.txt)\n{first.text}"


def test_only_what_changed_is_embedded_again(house: House) -> None:
    for number in range(5):
        house.write(f"{number}.md", f"# Page {number}\n\nThis is page number {number}.")
    index = handbook(house)
    report = build(house, index)
    assert (report.added, report.documents, report.chunks, report.embedded) == (5, 5, 5, 5)
    assert len(house.embedded()) == 5
    house.write("3.md", "# Page 3\n\nThis is another page.")
    os.remove(house.docs / "4.md")
    house.write("new.md", "# New\n\nA new page.")
    report = build(house, handbook(house))
    assert (report.added, report.changed, report.unchanged, report.removed) == (1, 1, 3, 1)
    assert len(house.embedded()) == 7
    report = build(house, handbook(house))
    assert (report.unchanged, report.embedded) == (5, 0)
    assert len(house.embedded()) == 7


def test_a_changed_paragraph_keeps_the_vectors_of_the_others(house: House) -> None:
    sections = [f"# Section {number}\n\n" + f"Words of {number}. " * 20 for number in range(6)]
    house.write("long.md", "\n\n".join(sections))
    index = handbook(house, chunk=Chunking(128, 0))
    report = build(house, index)
    assert report.embedded == report.chunks == 6
    sections[2] = "# Section 2\n\n" + "Other words. " * 20
    house.write("long.md", "\n\n".join(sections))
    report = build(house, index)
    assert (report.changed, report.chunks, report.embedded) == (1, 6, 1)
    numbers = [chunk.number for chunk in list_chunks(house.db, "handbook", "docs/long.md")]
    assert numbers == list(range(6))


def test_what_is_gone_is_found_no_more(house: House) -> None:
    house.write("keep.md", "The green door is open.")
    house.write("drop.md", "The red door is locked.")
    index = handbook(house)
    assert set(ids(search(house, index, "door"))) == {"docs/keep.md", "docs/drop.md"}
    os.remove(house.docs / "drop.md")
    build(house, index)
    assert ids(search(house, index, "red door locked")) == ["docs/keep.md"]


def test_a_removed_document_stays_out_while_its_source_offers_it(house: House) -> None:
    house.write("keep.md", "The green door is open.")
    house.write("drop.md", "The red door is locked.")
    index = handbook(house)
    trace_id = house.run(_searched(index, "door"))
    house.take_in()
    house.run(lambda _: index.remove("docs/drop.md"))
    assert ids(search(house, index, "red door")) == ["docs/keep.md"]
    (answer,) = answers_of(house.db, "docs/drop.md")
    assert answer.trace_id == trace_id
    assert answer.deleted_ns is not None
    house.write("drop.md", "The red door is open again.")
    assert build(house, index).held_out == 1
    assert ids(search(house, index, "red door")) == ["docs/keep.md"]
    assert find_document(house.db, "handbook", "docs/drop.md").removed_ns is not None
    os.remove(house.docs / "drop.md")
    build(house, index)
    house.write("drop.md", "A red door, once more.")
    build(house, index)
    assert len(search(house, index, "red door")) == 2
    with pytest.raises(NotFound, match="no document nothing"):
        house.run(lambda _: index.remove("nothing"))


def _searched(index: Index, question: str) -> Any:
    async def work(context: CallContext) -> str:
        await index.search(question)
        return context.trace.id

    return work


def test_an_interrupted_pass_goes_on_where_it_was(house: House) -> None:
    for number in range(300):
        house.write(f"{number:03}.md", f"Document number {number} about topic {number % 7}.")
    calls = 0

    def after_some(_: Any) -> Reply:
        nonlocal calls
        calls += 1
        return Reply(fault=Fault.UNAUTHORIZED) if calls > 3 else Reply()

    house.provider.by_model["embedder"] = after_some
    index = handbook(house)
    with pytest.raises(ApiError):
        build(house, index)
    waiting = find_index(house.db, "handbook").waiting
    assert 0 < waiting < 300
    assert find_index(house.db, "handbook").built_ns is None
    house.provider.by_model.clear()
    report = build(house, handbook(house))
    assert (report.unchanged, report.embedded) == (300, waiting)
    row = find_index(house.db, "handbook")
    assert (row.waiting, row.documents) == (0, 300)
    assert row.built_ns is not None


def test_one_in_a_hundred_broken_is_named_and_the_rest_is_found(house: House) -> None:
    rows = [{"id": f"doc-{number}", "text": f"Entry {number}."} for number in range(9_900)]
    rows += [{"id": f"bad-{number}", "text": None} for number in range(100)]
    report = build(house, handbook(house, source=lambda: rows))
    assert (report.documents, len(report.failed)) == (9_900, 100)
    assert {failure.id for failure in report.failed} == {f"bad-{number}" for number in range(100)}
    assert all("text: must be a text" in failure.reason for failure in report.failed)
    page = list_documents(house.db, "handbook", failed=True, limit=1_000)
    assert len(page.rows) == 100
    assert all(row.error and row.label is None for row in page.rows)
    found = search(house, handbook(house, source=lambda: rows), "Entry 77")
    assert "doc-77" in ids(found)


def test_a_document_that_became_unreadable_is_found_no_more(house: House) -> None:
    house.write("plan.md", "The secret plan is simple.")
    index = handbook(house)
    assert ids(search(house, index, "secret plan")) == ["docs/plan.md"]
    house.write("plan.md", "---\nlabel: confidental\n---\nThe secret plan is simple.")
    report = build(house, index)
    (failure,) = report.failed
    assert "'confidental' is not a label" in failure.reason
    assert search(house, index, "secret plan") == []


def test_a_source_that_fails_takes_nothing_out(house: House) -> None:
    works = True

    def source() -> Any:
        yield Original("one", "The first document.")
        if not works:
            raise RuntimeError("the database is away")
        yield {"id": "two", "text": "The second document."}

    index = handbook(house, source=source)
    assert len(search(house, index, "document")) == 2
    works = False
    with pytest.raises(NoriaError, match=r"source\(\) failed.*the database is away"):
        build(house, index)
    assert len(search(house, index, "document")) == 2


async def _async_source() -> Any:
    yield {"id": "a", "text": "From an asynchronous function.", "title": "A", "grants": ["hr"]}


def test_a_source_may_be_asynchronous(house: House) -> None:
    (found,) = search(house, handbook(house, source=_async_source), "asynchronous")
    assert (found.id, found.title) == ("a", "A")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": "x"}, "id: must be a text that is not empty"),
        ({"id": "a", "text": "x", "colour": "red"}, "colour: a document has no such field"),
        ({"id": "a", "text": "x", "label": "secret"}, "'secret' is not a label"),
        ({"id": "a", "text": "x", "grants": [1]}, "grants: 1 is not the name of a group"),
        ({"id": "a", "text": "x", "grants": ["*"]}, "grants: * is not a group"),
        ("just a text", "not str"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_by_its_field(
    house: House, row: object, why: str
) -> None:
    report = build(house, handbook(house, source=lambda: [row]))
    (failure,) = report.failed
    assert why in failure.reason


def test_links_out_of_the_folder_are_not_followed(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("The key is under the mat.")
    house.write("inside.md", "Nothing to see.")
    (house.docs / "link.md").symlink_to(outside)
    (house.docs / "nowhere.md").symlink_to(house.docs / "nothing.md")
    (house.docs / "near.md").symlink_to(house.docs / "inside.md")
    report = build(house, handbook(house))
    assert {failure.id: failure.reason for failure in report.failed} == {
        "docs/link.md": f"it is a link that leads out of {house.docs.resolve()}",
        "docs/nowhere.md": "it is a link that leads nowhere",
    }
    assert report.documents == 2


def test_a_glob_without_a_folder_is_an_error_and_drops_nothing(house: House) -> None:
    house.write("a.md", "A document.")
    build(house, handbook(house))
    with pytest.raises(NoriaError, match="there is nothing at"):
        build(house, handbook(house, source="dcos/**/*.md"))
    assert find_index(house.db, "handbook").documents == 1


def test_another_model_makes_the_index_anew(house: House) -> None:
    house.write("a.md", "A document.")
    house.write("b.md", "Another.")
    index = handbook(house)
    build(house, index)
    house.run(lambda _: index.remove("docs/b.md"))
    other = handbook(house, embed="fake:other")
    assert ids(search(house, other, "document")) == ["docs/a.md"]
    assert [one.body["model"] for one in house.provider.requests] == ["embedder", "other", "other"]
    assert find_index(house.db, "handbook").model == "fake:other"


def test_a_name_belongs_to_one_application(house: House) -> None:
    house.write("a.md", "A document.")
    build(house, handbook(house, app="support"))
    with pytest.raises(ConfigError, match="support has an index handbook already"):
        build(house, handbook(house, app="sales"))
    assert [row.name for row in list_indexes(house.db, app="support")] == ["handbook"]
    assert list_indexes(house.db, app="sales") == []


def test_the_span_of_a_search_tells_what_was_found(house: House) -> None:
    house.write("plan.md", "---\nlabel: internal\ntitle: The plan\n---\nThe plan is simple.")
    index = handbook(house)
    build(house, index)

    async def work(context: CallContext) -> str:
        found = await index.search("what is the plan", k=2)
        assert context.trace.mark is Label.INTERNAL
        assert found[0].label is Label.INTERNAL
        await index.search("what is the plan", as_system=True)
        return context.trace.id

    trace_id = house.run(work)
    house.take_in()
    spans = [one for one in find_trace(house.db, trace_id) if one.span.kind is SpanKind.SEARCH]
    first, second = spans
    assert first.span.name == "handbook"
    assert first.request == b'{"question":"what is the plan","k":2}'
    (told,) = first.span.attributes["documents"]
    assert (told["id"], told["index"], told["chunk"]) == ("docs/plan.md", "handbook", 0)
    assert (told["label"], told["title"]) == ("internal", "The plan")
    assert b"The plan is simple." in (first.response or b"")
    assert "as_system" not in first.span.attributes
    assert second.span.attributes["as_system"] is True
    inner = [one.span for one in find_trace(house.db, trace_id) if one.span.kind == "embedding"]
    assert {one.parent_id for one in inner} == {first.span.id, second.span.id}


def test_passages_are_packed_to_a_budget(house: House) -> None:
    for number in range(8):
        house.write(f"{number}.md", f"Apples and pears {number}. " * 15)
    index = handbook(house)
    assert len(search(house, index, "apples", k=8)) == 8
    packed = search(house, index, "apples", k=8, budget_tokens=260)
    assert 1 <= len(packed) < 8
    (cut,) = search(house, index, "apples", k=8, budget_tokens=30)
    assert cut.text.startswith("Apples and pears")
    assert len(cut.text) < 150


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"question": " "}, "question"),
        ({"question": "x", "k": 0}, "k"),
        ({"question": "x", "k": True}, "k"),
        ({"question": "x", "budget_tokens": 0}, "budget_tokens"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    house: House, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(NoriaError, match=f"{field}: must be"):
        house.run(lambda _: handbook(house).search(**arguments))


def test_words_that_are_operators_are_only_words(house: House) -> None:
    house.write("a.md", 'Use NEAR and NOT, or a star* and a "quote" (or two).')
    index = handbook(house)
    for question in ('"', "NOT", "a AND b OR", "NEAR(", "star*", "' OR 1=1 --", "?!", "\0 NEAR"):
        assert ids(search(house, index, question)) == ["docs/a.md"]


def test_a_plain_function_searches_in_its_thread(house: House) -> None:
    house.write("a.md", "A document about boats.")
    index = handbook(house)
    build(house, index)

    async def work(_: CallContext) -> list[Document]:
        with pytest.raises(NoriaError, match=r"await handbook\.search"):
            index.search_sync("boats")
        return await asyncio.to_thread(index.search_sync, "boats")

    assert ids(house.run(work)) == ["docs/a.md"]


def test_passes_at_the_same_time_are_one(house: House) -> None:
    house.write("a.md", "A document about boats.")
    index = handbook(house)

    async def work(context: CallContext) -> list[Report]:
        return await asyncio.gather(*(index.build(context) for _ in range(3)))

    reports = house.run(work)
    assert reports[0] is reports[1] is reports[2]
    assert len(house.embedded()) == 1


def test_outside_of_any_run_nobody_is_asking(house: House) -> None:
    with pytest.raises(NoriaError, match="outside of any run"):
        handbook(house).search_sync("x")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "a/b", "source": "*"}, "name"),
        ({"name": "a", "source": ""}, "source"),
        ({"name": "a", "source": 5}, "source"),
        ({"name": "a", "source": "*", "label": "secret"}, "label"),
        ({"name": "a", "source": "*", "grants": [""]}, "grants"),
        ({"name": "a", "source": "*", "chunk": 5}, "chunk"),
    ],
)
def test_what_an_index_cannot_be_made_of(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Index(**arguments)


def test_a_store_that_is_not_there_is_told(house: House) -> None:
    house.write("a.md", "A document.")
    with pytest.raises(NotFound, match="no vector store 'milvus'"):
        build(house, handbook(house, store="milvus"))


def test_a_stricter_rule_holds_from_the_first_search_of_the_next_process(house: House) -> None:
    """Whoever changes the rules and starts again never serves a search by the old ones."""
    house.write("a.md", "The price of cheese.")
    build(house, handbook(house))
    reader = house.key()
    stricter = handbook(house, label="confidential")

    async def by_name(context: CallContext) -> object:
        return await search_index(context, "handbook", "price of cheese")

    assert len(house.run(by_name, reader)) == 1
    assert house.run(lambda _: stricter.search("price of cheese"), reader) == []
    assert house.run(by_name, reader) == []


def test_a_change_made_meanwhile_holds_from_the_first_search(house: House) -> None:
    house.write("a.md", "The price of cheese.")
    build(house, handbook(house))
    house.write("a.md", "---\ngrants: [finance]\n---\nThe price of cheese.")
    again = handbook(house)
    assert house.run(lambda _: again.search("price of cheese"), house.key()) == []


def test_a_search_while_the_rules_are_applied_anew_waits_or_is_refused(house: House) -> None:
    house.write("a.md", "The price of cheese.")
    build(house, handbook(house))
    reader = house.key()
    opened, go_on = threading.Event(), threading.Event()

    def source() -> Any:
        opened.set()
        assert go_on.wait(20)
        yield {"id": "a", "text": "The price of cheese.", "grants": ["finance"]}

    changed = handbook(house, source=source)

    async def work(context: CallContext) -> None:
        passing = asyncio.create_task(changed.build(context))
        await asyncio.to_thread(opened.wait)
        with pytest.raises(NoriaError, match="not ready"):
            await search_index(context, "handbook", "cheese")
        waiting = asyncio.create_task(changed.search("cheese"))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
        go_on.set()
        assert await waiting == []
        assert (await passing).removed == 1

    house.run(work, reader)


def test_a_source_that_is_away_at_the_start_leaves_the_index_as_it_was(house: House) -> None:
    house.write("a.md", "The price of cheese.")
    build(house, handbook(house))
    (house.docs / "a.md").rename(house.folder / "a.md")
    house.docs.rmdir()
    assert ids(search(house, handbook(house), "price")) == ["docs/a.md"]
    with pytest.raises(NoriaError, match="there is nothing at"):
        search(house, handbook(house, grants=lambda _: None), "price")
