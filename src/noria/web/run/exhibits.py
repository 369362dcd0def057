"""What a run shows for itself: the passages that its searches found, and what its checks said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from noria.types import Span, SpanKind
from noria.web.run.transcript import Room

if TYPE_CHECKING:
    from noria.store import Evidence, Recorded

__all__ = ["Passage", "Ruling", "passages", "question", "rulings"]

_LONGEST = 4_000
"""Bytes of one passage that a page shows."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that a search handed out."""

    number: int
    """Its place among those of the run, from 1: what `[1]` in an answer cites."""
    span_id: str
    index: str
    document: str
    title: str
    label: str
    score: float | None
    why: str
    """How it was found, by its words or by its meaning, as far as that was recorded."""
    text: str
    """Empty where it was not recorded."""
    cut: int
    as_system: bool
    """It was found by looking at everything, whoever asked."""
    deleted_ns: int | None
    redacted_ns: int | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a check said of the answer."""

    span_id: str
    check: str
    outcome: str
    severity: str
    reason: str


def passages(searches: Iterable[Recorded], evidence: Evidence, room: Room) -> list[Passage]:
    """What the searches of a run handed out, in their order.

    Args:
        searches: their spans, with what they answered.
        evidence: what stands beside the run; says what was deleted since.
        room: for the texts.
    """
    gone = {
        (use.span_id, use.index, use.document): (use.deleted_ns, use.redacted_ns)
        for use in evidence.uses
    }
    given: list[Passage] = []
    for recorded in searches:
        answered = _answered(recorded.response)
        # A search of another system says all it knows in its answer.
        for place, one in enumerate(_documents(recorded.span) or answered):
            if not one:
                continue
            document, index = str(one.get("id", "")), str(one.get("index", ""))
            deleted_ns, redacted_ns = gone.get((recorded.span.id, index, document), (None, None))
            found = answered[place] if place < len(answered) and redacted_ns is None else {}
            text = str(found.get("text") or found.get("content") or "")
            shown, cut = room.take(text, _LONGEST)
            score = one.get("score")
            given.append(
                Passage(
                    len(given) + 1, recorded.span.id, index[:200], room.take(document, 300)[0],
                    room.take(str(one.get("title") or document), 300)[0],
                    str(one.get("label", "public"))[:20],
                    float(score) if isinstance(score, int | float) else None,
                    str(found.get("why") or "")[:200], shown, cut,
                    bool(recorded.span.attributes.get("as_system")), deleted_ns, redacted_ns,
                )
            )  # fmt: skip
    return given


def question(request: bytes | None, room: Room) -> str:
    """What a search was asked."""
    asked = _json(request)
    if isinstance(asked, dict):
        asked = asked.get("question") or asked.get("query")
    return room.take(asked)[0] if isinstance(asked, str) else ""


def rulings(spans: Iterable[Span]) -> list[Ruling]:
    """The checks among the spans of a run, those that failed first."""
    found = [
        Ruling(
            span.id,
            str(span.attributes.get("check") or span.name or "check"),
            str(span.attributes.get("outcome") or ("open" if span.status == "open" else "error")),
            str(span.attributes.get("severity", "warn")),
            str(span.attributes.get("reason") or "")[:300],
        )
        for span in spans
        if span.kind is SpanKind.CHECK
    ]
    order = {"fail": 0, "error": 1, "open": 2, "skip": 3, "pass": 4}
    return sorted(found, key=lambda one: order.get(one.outcome, 1))


def _documents(span: Span) -> Sequence[dict[str, Any]]:
    documents = span.attributes.get("documents")
    if not isinstance(documents, list):
        return []
    return [one for one in documents if isinstance(one, dict)]


def _answered(response: bytes | None) -> list[dict[str, Any]]:
    """The passages with their texts, in the order in which they were handed out."""
    answer = _json(response)
    if not isinstance(answer, list):
        return []
    return [one if isinstance(one, dict) else {} for one in answer]


def _json(body: bytes | None) -> Any:
    try:
        return orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        return None
