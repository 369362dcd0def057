from __future__ import annotations

import time
from typing import Any

import pytest

from noria.errors import NoriaError, NotFound
from noria.ids import new_trace_id
from noria.store import Database, Intake, find_spans, find_trace
from noria.store.intake.text_index import RecentBodies, index_text
from noria.store.intake.words import words_of
from tests.store.support import Process, chat_reply, chat_request, take_in

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


@pytest.fixture
def ids(db: Database, process: Process) -> list[str]:
    """Sixty calls, one a second, that differ in everything that can be asked for."""
    made = [
        process.call(
            at=START + number * SECOND,
            model=f"model-{number % 3}",
            key=f"key_{number % 4}",
            team=f"team-{number % 2}",
            user="ada" if number % 5 == 0 else None,
            app="support" if number % 6 == 0 else None,
            kind="embedding" if number % 10 == 0 else "chat",
            status="error" if number % 7 == 0 else "ok",
            ms=float(number * 10),
            parent="f" * 16 if number % 2 else None,
        )
        for number in range(60)
    ]
    take_in(db)
    return made


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda n: True),
    ({"model": "model-1"}, lambda n: n % 3 == 1),
    ({"key_id": "key_3"}, lambda n: n % 4 == 3),
    ({"team": "team-1"}, lambda n: n % 2 == 1),
    ({"user": "ada"}, lambda n: n % 5 == 0),
    ({"app": "support"}, lambda n: n % 6 == 0),
    ({"kind": "embedding"}, lambda n: n % 10 == 0),
    ({"kind": "chat"}, lambda n: n % 10 != 0),
    ({"status": "error"}, lambda n: n % 7 == 0),
    ({"status": "ok"}, lambda n: n % 7 != 0),
    ({"status": "lost"}, lambda n: False),
    ({"min_ms": 400}, lambda n: n >= 40),
    ({"max_ms": 95}, lambda n: n < 10),
    ({"min_ms": 100, "max_ms": 200, "model": "model-2"}, lambda n: 10 <= n <= 20 and n % 3 == 2),
    ({"since_ns": START + 50 * SECOND}, lambda n: n >= 50),
    ({"until_ns": START + 50 * SECOND}, lambda n: n < 50),
    ({"roots_only": True, "status": "error"}, lambda n: n % 14 == 0),
]


@pytest.mark.parametrize("few", [2000, 1])
def test_every_filter_pages_through_what_it_finds(
    db: Database, ids: list[str], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("noria.store.traces.spans._FEW", few)
    for filters, wanted in FILTERS:
        expected = [ids[number] for number in reversed(range(60)) if wanted(number)]
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = find_spans(db, limit=7, cursor=cursor, **filters)
            found += [span.id for span in page.rows]
            cursor = page.next
            if cursor is None:
                break
            assert len(page.rows) == 7
        assert found == expected, filters


def test_a_cursor_of_nobodys_is_refused(db: Database) -> None:
    with pytest.raises(NoriaError, match="cursor"):
        find_spans(db, cursor="x' OR 1")


def test_words_are_found_in_requests_and_replies(db: Database, process: Process) -> None:
    asked = process.call(request=chat_request("Where does the Noria turn?"), model="a")
    told = process.call(response=chat_reply("A noria — it lifts café water"), model="b")
    other = process.call(request=chat_request("nothing of the kind"))
    take_in(db)
    assert (index_text(db), index_text(db)) == (3, 0)

    def search(text: str, **more: Any) -> list[str]:
        return [span.id for span in find_spans(db, text=text, **more).rows]

    assert search("noria") == [told, asked]
    assert search("NORIA turn") == [asked]
    assert search('lifts "café" water-') == [told]
    assert search("noria absent") == []
    assert search("noria", model="a") == [asked]
    assert search("noria", min_ms=1e6) == []
    assert search("kind") == [other]
    assert search("AND OR NOT ( * : ^") == []
    assert search("?!") == []
    first = find_spans(db, text="noria", limit=1)
    assert first.next is not None
    assert search("noria", cursor=first.next) == [asked]


def test_what_was_stored_just_now_is_indexed_from_memory(
    db: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = process.hold(request=chat_request("a wheel"))
    take_in(db)
    whole = process.call(request=chat_request("a noria"), response=chat_reply("turns"))
    streamed = process.hold(request=chat_request("a mill"))
    process.end(streamed, response=b"data: grinds", sse=True)
    process.end(earlier, response=chat_reply("creaks"))
    stored = RecentBodies()
    Intake(db, assemble=lambda *_: chat_reply("ground")).take_in(stored)
    assert sorted(stored.bodies.values()) == [
        (chat_request("a mill"), chat_reply("ground")),
        (chat_request("a noria"), chat_reply("turns")),
    ], "of the third only the end came with this batch"
    assert index_text(db, stored) == 3

    def search(text: str) -> list[str]:
        return [span.id for span in find_spans(db, text=text).rows]

    assert search("noria turns") == [whole]
    assert search("mill ground") == [streamed]
    assert search("grinds") == []
    assert search("wheel creaks") == [earlier]

    monkeypatch.setattr("noria.store.intake.text_index._MOST_FRESH_BYTES", 1)
    full = RecentBodies()
    first = process.call(request=chat_request("an aqueduct"))
    Intake(db, assemble=bytes).take_in(full)
    second = process.call(request=chat_request("an aqueduct"))
    Intake(db, assemble=bytes).take_in(full)
    assert len(full.bodies) == 1, "the second is read from the store"
    assert index_text(db, full) == 2
    assert search("aqueduct") == [second, first]


def test_the_words_of_a_call() -> None:
    request = (
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "look"},'
        b' {"type": "image_url"}]}, {"role": "assistant", "content": null, "tool_calls":'
        b' [{"function": {"name": "weather", "arguments": "{\\"city\\": \\"Ulm\\"}"}}]}, 7]}'
    )
    words = words_of(request, b'{"choices": [{"message": {"content": "rain"}}, null]}')
    assert words.split("\n") == ["rain", "look", 'weather {"city": "Ulm"}']
    assert words_of(b'{"input": ["a", "b", 3]}', None) == "a\nb"
    assert words_of(b"not json", b"[]") == words_of(None, None) == ""
    assert len(words_of(chat_request("x" * 300_000), None)) == 100_000


def test_a_trace_is_found_by_its_id_and_by_each_span(db: Database, process: Process) -> None:
    trace = new_trace_id()
    first = process.call(trace=trace, kind="app", at=time.time_ns() - SECOND)
    second = process.call(trace=trace, parent=first)
    process.call()
    take_in(db)
    for identity in (trace, first, second):
        assert [recorded.span.id for recorded in find_trace(db, identity)] == [first, second]
    with pytest.raises(NotFound, match="no trace"):
        find_trace(db, "0" * 16)
