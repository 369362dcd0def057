"""Searching the words of requests and replies: FTS5 in SQLite, a `tsvector` in Postgres.

The index is filled behind the intake, from the queue of spans that have ended, in transactions
of its own, so that it never holds up a grant or a batch for long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from noria.store.bodies import inflated
from noria.store.bulk import run_many
from noria.store.database import Database
from noria.store.schema import payloads, text_queue

__all__ = ["TEXT_BATCH", "index_text", "matching", "words_of"]

TEXT_BATCH = 1_000
_MOST_CHARACTERS = 100_000
_WORD = re.compile(r"[^\W_]+")


def index_text(db: Database, limit: int = TEXT_BATCH) -> int:
    """Index the texts of up to `limit` spans that wait for it; returns how many there were."""
    with db.read() as connection:
        waiting = connection.execute(
            select(text_queue.c.at, payloads.c.request, payloads.c.response)
            .outerjoin(payloads, payloads.c.at == text_queue.c.at)
            .order_by(text_queue.c.at)
            .limit(limit)
        ).all()
    if not waiting:
        return 0
    texts = {row.at: words_of(inflated(row.request), inflated(row.response)) for row in waiting}
    with db.write() as connection:
        # Another process may have been faster with some of them.
        mine = connection.execute(
            delete(text_queue).where(text_queue.c.at.in_(texts)).returning(text_queue.c.at)
        ).scalars()
        _insert(connection, [(at, texts[at]) for at in sorted(mine) if texts[at]])
    return len(waiting)


def words_of(request: bytes | None, response: bytes | None) -> str:
    """The text of a call's messages and of its reply, for the index."""
    parts: list[str] = []
    size = 0
    for body in (response, request):
        for part in _texts(body):
            parts.append(part)
            size += len(part)
            if size >= _MOST_CHARACTERS:
                break
    return "\n".join(parts)[:_MOST_CHARACTERS]


def matching(dialect: str, text: str) -> tuple[str, str] | None:
    """The condition (with `:words`) that finds rows with every word of `text`, and its value.

    None if there is no word in it.
    """
    words = _WORD.findall(text)
    if not words:
        return None
    if dialect == "sqlite":
        return "message_text MATCH :words", " ".join(f'"{word}"' for word in words)
    return "words @@ plainto_tsquery('simple', :words)", " ".join(words)


def _insert(connection: Connection, rows: list[tuple[int, str]]) -> None:
    if connection.dialect.name == "sqlite":
        run_many(connection, "INSERT INTO message_text (rowid, words) VALUES (?, ?)", rows)
    else:
        run_many(
            connection,
            "INSERT INTO message_text (at, words) VALUES (?, to_tsvector('simple', ?))"
            " ON CONFLICT DO NOTHING",
            rows,
        )


def _texts(body: bytes | None) -> Iterator[str]:
    """What a person would read in an OpenAI request or response."""
    try:
        content: Any = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return
    if not isinstance(content, dict):
        return
    for message in _list(content.get("messages")):
        yield from _message(message)
    for choice in _list(content.get("choices")):
        if isinstance(choice, dict):
            yield from _message(choice.get("message"))
    given = content.get("input")
    for text in [given] if isinstance(given, str) else _list(given):
        if isinstance(text, str):
            yield text


def _message(message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        return
    said = message.get("content")
    if isinstance(said, str):
        yield said
    for part in _list(said):
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield f"{function.get('name')} {function.get('arguments')}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
