"""The spans of a run in the order of a tree, each with its time on the run's axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noria.types import Span, utc_now

__all__ = ["ROWS", "Branch", "Window", "grow", "window"]

ROWS = 150
"""The most that a page shows at once."""
_DEEPEST = 6


@dataclass(slots=True)
class Branch:
    """A span at its place in the tree. Times are milliseconds from the run's beginning; the sums
    are over the span and all that was done inside it."""

    span: Span
    depth: int
    start_ms: float
    length_ms: float
    cost_nano: int
    input_tokens: int
    output_tokens: int
    calls: int
    """Calls of a model."""
    inside: int = 0
    """Spans inside it."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of a tree that are shown, and where those before and after them begin."""

    rows: Sequence[Branch]
    first: int
    whole: int
    before: int | None
    after: int | None


def grow(spans: Sequence[Span]) -> list[Branch]:
    """The spans as a tree, children below their parent in the order in which they began.

    A parent that is not among them counts as none, and so does one that is its own descendant:
    spans of other systems may say anything.
    """
    begin, now = min(span.started_ns for span in spans), utc_now().timestamp() * 1000
    known = {span.id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known else None
        children.setdefault(parent, []).append(span)
    branches: list[Branch] = []
    seen: set[str] = set()
    for root in (*children.get(None, ()), *spans):
        stack = [(root, 0)]
        while stack:
            span, depth = stack.pop()
            if span.id in seen:
                continue
            seen.add(span.id)
            length = span.duration_ms
            if length is None:
                length = max(0.0, now - span.started_ns / 1e6)
            calls = int(span.kind in ("chat", "embedding"))
            branches.append(
                Branch(
                    span, depth, (span.started_ns - begin) / 1e6, length, span.cost_nano,
                    span.input_tokens or 0, span.output_tokens or 0, calls,
                )
            )  # fmt: skip
            stack += [(child, depth + 1) for child in reversed(children.get(span.id, ()))]
    _sum_up(branches)
    for branch in branches:
        branch.depth = min(branch.depth, _DEEPEST)
    return branches


def _sum_up(branches: Sequence[Branch]) -> None:
    """Add to each what was done inside it; a parent stands before its children."""
    at_depth: dict[int, Branch] = {}
    parents: list[Branch | None] = []
    for branch in branches:
        parents.append(at_depth.get(branch.depth - 1) if branch.depth else None)
        at_depth[branch.depth] = branch
    for branch, parent in zip(reversed(branches), reversed(parents), strict=True):
        span = branch.span
        call = span.kind in ("chat", "embedding")
        if call and branch.calls > 1 and span.attributes.get("source") == "otlp":
            # What a client tells of a call that has calls inside it is the same, seen from outside.
            branch.cost_nano -= span.cost_nano
            branch.input_tokens -= span.input_tokens or 0
            branch.output_tokens -= span.output_tokens or 0
            branch.calls -= 1
        if parent is not None:
            parent.cost_nano += branch.cost_nano
            parent.input_tokens += branch.input_tokens
            parent.output_tokens += branch.output_tokens
            parent.calls += branch.calls
            parent.inside += 1 + branch.inside


def window(branches: Sequence[Branch], chosen: str, wanted: str | None) -> Window:
    """The rows from a number on (from 1), else those around the chosen span."""
    place = next((i for i, branch in enumerate(branches) if branch.span.id == chosen), 0)
    first = int(wanted) - 1 if wanted and wanted.isdecimal() and len(wanted) < 10 else place
    first = max(0, min(first, len(branches) - 1))
    first -= first % ROWS
    end = first + ROWS
    return Window(
        branches[first:end],
        first + 1,
        len(branches),
        first + 1 - ROWS if first else None,
        end + 1 if end < len(branches) else None,
    )
