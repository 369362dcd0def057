"""What stands beside a run's spans: documents, checks, and what people said of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from noria.cli._io.output import console, iso, printable

if TYPE_CHECKING:
    from noria.store import Evidence, Recorded
    from noria.store.traces.trace import Use
    from noria.types import Span

__all__ = ["as_json", "describe_evidence"]


def as_json(evidence: Evidence, recorded: Iterable[Recorded]) -> dict[str, Any]:
    """The evidence of a run as JSON."""
    spans = {one.span.id: one.span for one in recorded}
    return {
        "mark": str(evidence.mark),
        "documents": [
            {
                "id": use.document,
                "index": use.index,
                "title": use.title,
                "label": str(use.label),
                "span_id": use.span_id,
                "as_system": _as_system(use, spans),
                "used_at": iso(use.at_ns),
                "deleted_at": iso(use.deleted_ns),
                "redacted_at": iso(use.redacted_ns),
            }
            for use in evidence.uses
        ],
        "checks": [dict(check) for check in _checks(spans.values())],
        "feedback": [
            {
                "at": iso(remark.at_ns),
                "key_id": remark.key_id,
                "user": remark.user,
                "score": remark.score,
                "comment": remark.comment,
            }
            for remark in evidence.remarks
        ],
    }


def describe_evidence(evidence: Evidence, recorded: Iterable[Recorded]) -> None:
    """The evidence of a run for a person; nothing where there is none."""
    spans = {one.span.id: one.span for one in recorded}
    out = console()

    def section(heading: str, lines: Iterable[str]) -> None:
        told = list(lines)
        if told:
            out.print(heading, style="bold")
            for line in told:
                out.print(printable(f"  {line}"), soft_wrap=True)
            out.print()

    if evidence.mark:
        out.print(f"mark: {evidence.mark}", style="bold")
        out.print(
            f"  only models that are cleared for {evidence.mark} could be called from then on"
        )
        out.print()
    section("documents", (_document(use, spans) for use in evidence.uses))
    section("checks", map(_check, _checks(spans.values())))
    section(
        "feedback",
        (
            f"{'' if one.score is None else f'{one.score:+g}  '}{one.user or one.key_id}"
            f"{f': {one.comment}' if one.comment else ''}"
            for one in evidence.remarks
        ),
    )


def _document(use: Use, spans: dict[str, Span]) -> str:
    from noria.web.format import instant

    facts = [str(use.label), use.title or ""]
    if _as_system(use, spans):
        facts.append("searched as system")
    if use.deleted_ns is not None:
        facts.append(f"deleted {instant(use.deleted_ns)}")
    if use.redacted_ns is not None:
        facts.append(f"redacted {instant(use.redacted_ns)}")
    return f"{use.index}/{use.document}  ({', '.join(filter(None, facts))})"


def _as_system(use: Use, spans: dict[str, Span]) -> bool:
    span = spans.get(use.span_id)
    return span is not None and bool(span.attributes.get("as_system"))


def _check(check: dict[str, Any]) -> str:
    reason = f": {check['reason']}" if check["reason"] else ""
    return f"{check['outcome']:5}  {check['check']} ({check['severity']}){reason}"


def _checks(spans: Iterable[Span]) -> Iterator[dict[str, Any]]:
    for span in spans:
        told = span.attributes
        if span.kind == "check" and "outcome" in told:
            names = ("check", "outcome", "severity", "score", "reason")
            yield {"span_id": span.id} | {name: told.get(name) for name in names}
