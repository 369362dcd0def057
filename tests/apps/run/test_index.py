"""Indexes of an application: what is found in a run is what its checks see."""

from __future__ import annotations

import asyncio
from typing import Any

from noria import Document, check
from noria.apps.run import standalone as plain
from noria.testing import Reply
from noria.types import SpanKind
from tests.support.plain import Home

NOTES = [
    {"id": "refunds", "title": "Refunds", "text": "Refunds are paid within 14 days."},
    {"id": "shipping", "title": "Shipping", "text": "Express shipping costs 12 euros."},
    {"id": "pay", "title": "Pay", "text": "The bonus is 8 percent.", "label": "confidential"},
]


def test_notes_are_every_document_that_was_searched(home: Home) -> None:
    app = home.app()
    docs = app.index("handbook", source=lambda: NOTES, embed="fake:embed")
    seen: list[list[str]] = []
    home.fake.by_model["small"] = Reply(text="14 days [1]")

    @app.task
    async def look_up(words: str) -> list[str]:
        return [note.id for note in await docs.search(words, k=1)]

    @app.chat
    async def answer(question: str) -> str:
        await look_up("express shipping")
        notes = await docs.search(question, k=1)
        return await app.model.ask("Answer from the notes.", notes=notes, question=question)

    @check(answer)
    def grounded(notes: list[Document], reply: str) -> bool:
        seen.append([note.id for note in notes])
        return "14" in reply

    assert asyncio.run(answer("When are refunds paid?")) == "14 days [1]"
    home.ended()
    assert seen == [["shipping", "refunds"]]
    (request,) = [one for one in home.fake.requests if one.path.endswith("/chat/completions")]
    assert (
        "notes:\n[1] Refunds\nRefunds are paid within 14 days."
        in (request.body["messages"][1]["content"])
    )
    root, inner = home.spans(SpanKind.APP)
    assert inner.parent_id == root.id
    assert {span.parent_id for span in home.spans(SpanKind.SEARCH)} == {root.id, inner.id}
    assert home.one(SpanKind.CHECK).attributes["outcome"] == "pass"


def test_plain_python_searches_as_its_key(home: Home, monkeypatch: Any) -> None:
    app = home.app()
    docs = app.index("handbook", source=lambda: NOTES, embed="fake:embed")

    def found() -> set[str]:
        return {note.id for note in asyncio.run(docs.search("the bonus of refunds", k=3))}

    assert "pay" in found()
    secret = home.key(team="search")
    plain.close()
    monkeypatch.setenv("NORIA_KEY", secret)
    other = home.app("other").index("guide", source=lambda: NOTES, embed="fake:embed")
    assert {note.id for note in asyncio.run(other.search("the bonus", k=3))} == {
        "refunds",
        "shipping",
    }
    plain.close()
    monkeypatch.delenv("NORIA_KEY")
