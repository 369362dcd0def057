"""How recorded spans are shown: as JSON rows, as lines of a table, and message by message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from noria.cli._io.output import console, iso, printable, table

if TYPE_CHECKING:
    from noria.store import Recorded
    from noria.types import Span

__all__ = ["content", "describe", "line", "print_table", "row"]


def row(span: Span) -> dict[str, Any]:
    """A span's fields as JSON."""
    return {
        "id": span.id,
        "trace_id": span.trace_id,
        "parent_id": span.parent_id,
        "kind": str(span.kind),
        "name": span.name,
        "model": span.model,
        "target": span.target,
        "status": str(span.status),
        "key_id": span.key_id,
        "team": span.team,
        "user": span.user,
        "app": span.app,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cached_tokens": span.cached_tokens,
        "reasoning_tokens": span.reasoning_tokens,
        "cost_nano": span.cost_nano,
        "hold_nano": span.hold_nano,
        "started_at": iso(span.started_ns),
        "duration_ms": span.duration_ms,
        "ttft_ms": span.ttft_ms,
        "stream": span.stream,
        "attempts": span.attempts,
        "overrun": span.overrun,
        "uncertain_nano": span.uncertain_nano,
        "error_code": span.error_code,
        "error": span.error,
        "attributes": span.attributes,
    }


def content(body: bytes | None) -> Any:
    """A recorded body as JSON where it is JSON, else as text; None where none was recorded."""
    import orjson

    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


_COLUMNS = (
    "trace", "began", "kind", "model", "status", "key",
    ">in tokens", ">out tokens", ">first token", ">duration", ">cost",
)  # fmt: skip


def print_table(spans: Iterable[Span], empty: str) -> None:
    """Print spans as a table; `empty` is what to say without any."""
    table(_COLUMNS, (_cells(span) for span in spans), empty=empty)


def _cells(span: Span) -> tuple[str, ...]:
    from noria.types import Money
    from noria.web.format import count, duration, relative

    return (
        span.trace_id,
        relative(span.started_ns),
        str(span.kind),
        span.model or span.name or "",
        str(span.status) + (f" ({span.error_code})" if span.error_code else ""),
        span.key_id or "",
        count(span.input_tokens),
        count(span.output_tokens),
        duration(span.ttft_ms),
        duration(span.duration_ms),
        str(Money(span.cost_nano)),
    )


def line(span: Span) -> str:
    """A span on one line, for a list that grows."""
    from noria.web.format import instant

    trace, _, kind, model, status, _, tokens_in, tokens_out, _, took, cost = _cells(span)
    figures = f"{tokens_in} → {tokens_out} tokens  {took}  {cost}"
    return printable(
        f"{instant(span.started_ns)}  {trace}  {kind:9}  {status:9}  {model}  {figures}"
    )


def describe(one: Recorded) -> None:
    """One span for a person: its figures, then its messages as they were sent."""
    from noria.web.format import exact_money, instant

    span = one.span
    _, _, kind, model, status, _, tokens_in, tokens_out, first, took, _ = _cells(span)
    answered = f" answered by {span.target}" if span.target and span.target != span.model else ""
    out = console()
    out.print(printable(f"{kind} {span.id}  {model}{answered}"), style="bold")
    owners = (span.key_id, span.team and f"team {span.team}", span.user and f"user {span.user}")
    facts = [
        f"{status}, began {instant(span.started_ns)}, took {took}, first token {first}",
        f"{tokens_in} tokens in, {tokens_out} out, {exact_money(span.cost_nano)}"
        + (" (more than was held)" if span.overrun else "")
        + (f" ({exact_money(span.uncertain_nano)} uncertain)" if span.uncertain_nano else ""),
        ", ".join(filter(None, owners)),
        span.error or "",
    ]
    for fact in filter(None, facts):
        out.print(printable(f"  {fact}"))
    for role, text in _messages(content(one.request), content(one.response)):
        out.print(f"\n{printable(role)}", style="dim")
        out.print(printable(text), soft_wrap=True)
    out.print()


def _messages(request: Any, response: Any) -> Iterator[tuple[str, str]]:
    """What was said, by role. What is not a chat is shown as it was sent."""
    sent = request.get("messages") if isinstance(request, dict) else None
    if isinstance(sent, list):
        for message in sent:
            if isinstance(message, dict):
                yield str(message.get("role")), _text(message)
    elif request is not None:
        yield "request", _pretty(request)
    choices = response.get("choices") if isinstance(response, dict) else None
    if isinstance(choices, list):
        for choice in choices:
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict):
                yield str(message.get("role", "assistant")), _text(message)
    elif response is not None:
        yield "response", _pretty(response)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    said = content if isinstance(content, str) else _pretty(content) if content else ""
    calls = message.get("tool_calls")
    return "\n".join(filter(None, [said, _pretty(calls) if calls else ""]))


def _pretty(value: Any) -> str:
    import orjson

    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
