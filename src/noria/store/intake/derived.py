"""What the intake reads out of finished spans: documents that were used, verdicts of checks."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from noria.store.bulk_sql import insert_many
from noria.store.intake.ledger import PendingSpan
from noria.types import Label

__all__ = ["post_evidence"]

_USES = (
    "span_id", "index", "document", "trace_id", "at", "label", "title", "key_id", "user",
)  # fmt: skip
_VERDICTS = ("span_id", "trace_id", "at", "app", "check", "outcome", "severity")


def post_evidence(connection: Connection, drafts: Iterable[PendingSpan]) -> None:
    """Write the uses and verdicts that ended spans carry in their attributes."""
    uses: list[tuple[object, ...]] = []
    verdicts: list[tuple[object, ...]] = []
    for draft in drafts:
        attributes = draft.attributes
        if not draft.ended or not attributes:
            continue
        for used in attributes.get("documents") or ():
            label = int(Label.parse(used["label"]))
            uses.append(
                (
                    draft.id, used["index"], used["id"], draft.trace_id, draft.at, label,
                    used.get("title"), draft.key_id, draft.user,
                )
            )  # fmt: skip
        if draft.kind == "check" and "outcome" in attributes:
            verdicts.append(
                (
                    draft.id, draft.trace_id, draft.at, draft.app or "", attributes["check"],
                    attributes["outcome"], attributes.get("severity", "warn"),
                )
            )  # fmt: skip
    insert_many(connection, "document_uses", _USES, uses)
    insert_many(connection, "verdicts", _VERDICTS, verdicts)
