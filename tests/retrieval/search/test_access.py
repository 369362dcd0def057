"""Who sees what: grants and labels hold inside every store, however a document came by them."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noria.config import Config, Provider, Store
from noria.errors import ApiError
from noria.retrieval import Index, Original, find_document, find_index
from noria.testing import FakeProvider
from noria.tracing import CallContext
from noria.types import Label, Principal
from tests.retrieval.conftest import House, ids

GROUPS = (set(), {"finance"}, {"hr"}, {"finance", "hr"}, {"*"})
SETS = ((), ("finance",), ("hr", "board"))
STORES = ("exact on SQLite", "exact on Postgres", "pgvector on Postgres", "qdrant on SQLite")


@pytest.fixture(params=STORES)
def stored(
    request: pytest.FixtureRequest, tmp_path: Path, fake: FakeProvider
) -> Iterator[tuple[House, str]]:
    """A house, and the vector store to use in it."""
    name, _, on = request.param.partition(" on ")
    if name == "qdrant" and importlib.util.find_spec("qdrant_client") is None:
        pytest.skip("qdrant_client is not installed; it is an extra")
    store = Store(url=request.getfixturevalue("postgres_url")) if on == "Postgres" else Store()
    config = Config(
        home=tmp_path / "home",
        store=store,
        providers={"fake": Provider(base_url=fake.url, clearance="restricted")},
    )
    house = House(tmp_path, config, fake)
    yield house, name
    house.db.close()


def rows() -> list[dict[str, Any]]:
    """A document for each label and each set of groups."""
    return [
        {
            "id": f"{label}/{'+'.join(groups)}",
            "text": f"The canary of {label} {' '.join(groups)} sings about cheese.",
            "label": str(label),
            "grants": list(groups),
        }
        for label, groups in itertools.product(Label, SETS)
    ]


def visible(principal: Principal, *index_grants: str) -> set[str]:
    """What somebody may see, said once more in other words."""
    mine = principal.groups
    return {
        f"{label}/{'+'.join(groups)}"
        for label, groups in itertools.product(Label, SETS)
        if label <= principal.clearance
        and ("*" in mine or not groups or set(groups) & mine)
        and ("*" in mine or not index_grants or set(index_grants) & mine)
    }


def test_each_reader_finds_exactly_what_they_may_see(stored: tuple[House, str]) -> None:
    house, store = stored
    index = Index("canaries", rows, embed="fake:e", store=store)
    house.run(index.build)
    for groups, clearance in itertools.product(GROUPS, Label):
        key = house.key(*groups, clearance=clearance)

        async def work(context: CallContext) -> list[str]:
            found = await index.search("the canary sings about cheese", k=50)
            marks = [one.label for one in found]
            assert context.trace.mark == max(marks, default=Label.PUBLIC)
            return ids(found)

        found = house.run(work, key)
        assert len(found) == len(set(found))
        assert set(found) == visible(key.principal), (groups, clearance)
    reader = house.key()

    async def as_system(_: CallContext) -> list[str]:
        return ids(await index.search("the canary sings about cheese", k=50, as_system=True))

    assert len(house.run(as_system, reader)) == len(rows())


def test_what_others_may_see_takes_no_place(stored: tuple[House, str]) -> None:
    """A hundred better passages that the reader may not see, and one that they may."""
    house, store = stored

    def source() -> list[dict[str, Any]]:
        secret = [
            {"id": f"secret-{n}", "text": "cheese cheese cheese prices", "grants": ["finance"]}
            for n in range(150)
        ]
        return [*secret, {"id": "open", "text": "A long text that names cheese but once."}]

    index = Index("prices", source, embed="fake:e", store=store)
    house.run(index.build)
    reader = house.key("hr")
    assert ids(house.run(lambda _: index.search("cheese cheese prices", k=1), reader)) == ["open"]


def test_grants_that_change_are_seen_at_once_and_nothing_is_embedded_again(
    stored: tuple[House, str],
) -> None:
    house, store = stored
    house.write("a.md", "The price of cheese.")
    index = Index("notes", "docs/*.md", embed="fake:e", store=store, root=house.folder)
    reader = house.key("hr", clearance=Label.INTERNAL)

    def seen() -> list[str]:
        return ids(house.run(lambda _: index.search("price of cheese"), reader))

    assert seen() == ["docs/a.md"]
    for head, sees in [
        ("grants: [finance]", False),
        ("grants: [finance, hr]", True),
        ("label: confidential", False),
        ("label: internal\ngrants: hr", True),
        ("Label: restricted", False),
    ]:
        house.write("a.md", f"---\n{head}\n---\nThe price of cheese.")
        report = house.run(index.build)
        assert (report.changed, report.embedded) == (1, 0)
        assert seen() == (["docs/a.md"] if sees else []), head


def test_a_document_only_narrows_what_its_index_says(house: House) -> None:
    index = Index("canaries", rows, embed="fake:e", label="internal", grants=["hr", "finance"])
    house.run(index.build)
    for groups, clearance in itertools.product(GROUPS, Label):
        key = house.key(*groups, clearance=clearance)
        found = house.run(lambda _: index.search("canary cheese", k=50), key)
        floor = visible(key.principal, "hr", "finance") if clearance >= Label.INTERNAL else set()
        assert set(ids(found)) == floor
        assert all(one.label >= Label.INTERNAL for one in found)


def test_functions_decide_for_each_document(house: House) -> None:
    strict = True

    def label(original: Original) -> str | None:
        return "confidential" if strict and original.id == "b" else None

    def grants(original: Original) -> list[str] | None:
        return ["hr"] if "salary" in original.text else None

    documents = [
        {"id": "a", "text": "The salary of a cheese maker."},
        {"id": "b", "text": "The recipe of a cheese."},
    ]
    index = Index("both", lambda: documents, embed="fake:e", label=label, grants=grants)
    house.run(index.build)

    def seen(*groups: str, clearance: Label = Label.PUBLIC) -> set[str]:
        key = house.key(*groups, clearance=clearance)
        return set(ids(house.run(lambda _: index.search("cheese"), key)))

    assert seen() == set()
    assert seen("hr") == {"a"}
    assert seen(clearance=Label.CONFIDENTIAL) == {"b"}
    assert find_document(house.db, "both", "a").grants == (("hr",),)
    strict = False
    house.run(index.build)
    assert seen() == {"b"}
    assert find_index(house.db, "both").groups == ("hr",)


@pytest.mark.parametrize(
    ("keywords", "why"),
    [
        ({"label": lambda _: "secret"}, "'secret' is not a label"),
        ({"label": lambda _: 3}, "label: must be a text"),
        ({"grants": lambda _: 3}, "grants: must be a list"),
        ({"grants": lambda _: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_a_function_that_gives_nonsense_shows_the_document_to_nobody(
    house: House, keywords: dict[str, Any], why: str
) -> None:
    index = Index("all", lambda: [{"id": "a", "text": "cheese"}], embed="fake:e", **keywords)
    (failure,) = house.run(index.build).failed
    assert why in failure.reason
    assert house.run(lambda _: index.search("cheese", as_system=True)) == []


def test_what_the_model_may_not_see_is_found_by_its_words_alone(
    tmp_path: Path, fake: FakeProvider
) -> None:
    config = Config(
        home=tmp_path / "home",
        providers={"fake": Provider(base_url=fake.url, clearance="internal")},
    )
    house = House(tmp_path, config, fake)
    index = Index("canaries", rows, embed="fake:e")
    report = house.run(index.build)
    assert report.embedded == 2 * len(SETS)
    assert report.words_only == {"confidential": 3, "restricted": 3}
    sent = " ".join(house.embedded())
    assert "canary of internal" in sent
    assert "canary of confidential" not in sent
    assert "canary of restricted" not in sent

    async def work(_: CallContext) -> list[str]:
        first = await index.search("canary cheese", k=50)
        # The run has read what the model may not see, so that it cannot even be asked any more.
        with pytest.raises(ApiError) as refused:
            await index.search("canary cheese", k=50)
        assert refused.value.code == "label_exceeds_clearance"
        return ids(first)

    assert len(house.run(work)) == len(rows())


def test_the_filter_stands_in_the_statement_itself(house: House) -> None:
    """Every statement that gives chunks names the shelves."""
    from sqlalchemy import event

    index = Index("canaries", rows, embed="fake:e")
    house.run(index.build)
    statements: list[str] = []
    listening = (house.db.engine, "before_cursor_execute")

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(" ".join(statement.split()))

    event.listen(*listening, note)
    house.run(lambda _: index.search("canary cheese"), house.key())
    event.remove(*listening, note)
    for statement in statements:
        if "count(*)" not in statement and (
            "MATCH" in statement or "words @@" in statement or "<#>" in statement
        ):
            assert "shelf IN (" in statement or "shelf = ANY(" in statement
    assert any("MATCH" in one or "words @@" in one for one in statements)
