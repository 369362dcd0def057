"""One conversation cleaned: its turns repaired, judged, masked and made into rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from noria.datasets.cleaning.html import (
    LONGEST,
    looks_like_html,
    strip_code_headers,
    to_markdown,
)
from noria.datasets.cleaning.language import languages_of, main_language
from noria.datasets.cleaning.options import Options
from noria.datasets.cleaning.privacy import SECRET, Masker, find
from noria.datasets.cleaning.quality import fault_of_answer, without_boilerplate
from noria.datasets.cleaning.roles import repair
from noria.datasets.cleaning.splitting import split
from noria.datasets.readers import Draft, Turn
from noria.datasets.row import Row, digest_of, label_named

__all__ = ["Cleaned", "clean_conversations"]

# A turn that is lost for one of these takes its exchange with it: the answer would otherwise
# stand after another question.
_SPOILS = {
    "multimodal", "not_text", "truncated", "html_too_large", "html_unreadable", "malformed_turn",
    "too_large",
}  # fmt: skip
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(slots=True)
class Cleaned:
    """What became of one conversation."""

    source: str
    digest: bytes = b""
    """The same for two conversations that say the same."""
    rows: list[bytes] = field(default_factory=list)
    """Lines of JSON without their ends."""
    turns_in: int = 0
    turns_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    masked: dict[str, int] = field(default_factory=dict)
    language: str = ""
    fault: str | None = None


def clean_conversations(
    drafts: Sequence[tuple[str, Draft]], options: Options, count: Callable[[str], int]
) -> list[Cleaned]:
    """Clean conversations, each with where it stands in its source.

    Args:
        drafts: `(source, conversation)`.
        options: what to do.
        count: the number of tokens of a text.
    """
    for _, draft in drafts:
        if draft.fault is None:
            _clean_turns(draft, options)
    languages = [""] * len(drafts)
    if options.lang or options.annotate:
        languages = _languages([draft for _, draft in drafts])
    return [
        _finish(source, draft, language, options, count)
        for (source, draft), language in zip(drafts, languages, strict=True)
    ]


def _clean_turns(draft: Draft, options: Options) -> None:
    for turn in draft.all_turns():
        if turn.dropped is None:
            _clean_text(turn)
    _drop_spoilt(draft.turns)
    repair(draft.turns, preference=draft.chosen is not None)
    for exchange in _exchanges(draft.turns):
        reason = _fault_of(exchange, options)
        if reason:
            _drop(exchange, reason)
    if draft.chosen is not None:
        _check_preference(draft, options)


def _clean_text(turn: Turn) -> None:
    text = turn.content
    if turn.html or (turn.html is None and looks_like_html(text, turn.role)):
        if len(text) > LONGEST:
            turn.dropped = "html_too_large"
            return
        try:
            text = to_markdown(text)
        except (RecursionError, MemoryError, ValueError):
            turn.dropped = "html_unreadable"
            return
    text = strip_code_headers(text)
    if _CONTROLS.search(text):
        text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    turn.content = without_boilerplate(text) if turn.role == "assistant" else text.strip()


def _exchanges(turns: Sequence[Turn]) -> list[list[Turn]]:
    """The turns that are kept, from each question up to the next; the system prompt in none."""
    exchanges: list[list[Turn]] = []
    for turn in turns:
        if turn.dropped is not None or turn.role == "system":
            continue
        if turn.role == "user" or not exchanges:
            exchanges.append([])
        exchanges[-1].append(turn)
    return exchanges


def _drop(turns: Sequence[Turn], reason: str) -> None:
    for turn in turns:
        if turn.dropped is None:
            turn.dropped = reason


def _drop_spoilt(turns: Sequence[Turn]) -> None:
    """Drop every exchange that lost a turn which it cannot do without, or has an empty answer."""
    exchange: list[Turn] = []
    for turn in [*turns, Turn("user", "")]:
        if turn.role == "user":
            reason = next((one.dropped for one in exchange if one.dropped in _SPOILS), None)
            answers = [one for one in exchange if one.role == "assistant" and not one.dropped]
            if answers and not any(one.content or one.extra for one in answers):
                reason = reason or "empty"
            if reason:
                _drop([one for one in exchange if one.role != "system"], reason)
            exchange = []
        exchange.append(turn)


def _fault_of(exchange: Sequence[Turn], options: Options) -> str | None:
    for turn in exchange:
        if turn.role == "assistant" and turn.content:
            fault = fault_of_answer(turn.content)
            if fault and fault not in options.keep:
                return fault
    if options.personal == "drop":
        groups = {found.group for turn in exchange for found in find(turn.content)}
        if groups:
            return SECRET if SECRET in groups else groups.pop()
    return None


def _check_preference(draft: Draft, options: Options) -> None:
    """Both sides must be answers, and the better one worth learning."""
    sides = [[turn for turn in side if not turn.dropped] for side in (draft.chosen, draft.rejected)
             if side is not None]  # fmt: skip
    reason = None
    if not all(side and all(turn.content for turn in side) for side in sides) or [
        turn.content for turn in sides[0]
    ] == [turn.content for turn in sides[1]]:
        reason = "no_preference"
    elif not any(turn.role == "user" and turn.dropped is None for turn in draft.turns):
        reason = "no_question"
    else:
        reason = _fault_of(sides[0], options)
    if reason:
        _drop(draft.all_turns(), reason)


def _languages(drafts: Sequence[Draft]) -> list[str]:
    texts: list[str] = []
    sizes = []
    for draft in drafts:
        said = [
            turn.content
            for turn in draft.all_turns()
            if turn.dropped is None and turn.role in ("user", "assistant")
        ]
        texts += said
        sizes.append(len(said))
    found = languages_of(texts)
    languages, at = [], 0
    for size in sizes:
        languages.append(main_language(texts[at : at + size], found[at : at + size]))
        at += size
    return languages


def _finish(
    source: str, draft: Draft, language: str, options: Options, count: Callable[[str], int]
) -> Cleaned:
    turns = draft.all_turns()
    cleaned = Cleaned(source, turns_in=len(turns), language=language, fault=draft.fault)
    if draft.fault is not None:
        _drop(turns, draft.fault)
    elif options.lang and language not in (options.lang, ""):  # too short to tell is kept
        _drop(turns, "language")
    if not any(turn.dropped is None and turn.role == "user" for turn in turns):
        _drop(turns, "no_exchange")
    if any(turn.dropped is None for turn in turns):
        if options.personal == "mask":
            _mask(turns, cleaned)
        cleaned.digest = digest_of([turn.as_message() for turn in turns if not turn.dropped])
        cleaned.rows = [
            orjson.dumps(row.as_json())
            for row in _rows(source, draft, language, options, count, cleaned)
        ]
    cleaned.dropped.update(turn.dropped for turn in turns if turn.dropped is not None)
    return cleaned


def _mask(turns: Sequence[Turn], cleaned: Cleaned) -> None:
    masker = Masker()
    for turn in turns:
        if turn.dropped is not None:
            continue
        turn.content = masker.mask(turn.content)
        for call in turn.extra.get("tool_calls", ()):
            function = call["function"]
            function["arguments"] = masker.mask(function.get("arguments", ""))
    cleaned.masked = masker.masked


def _rows(
    source: str,
    draft: Draft,
    language: str,
    options: Options,
    count: Callable[[str], int],
    cleaned: Cleaned,
) -> Iterator[Row]:
    kept = [turn for turn in draft.turns if turn.dropped is None]
    parts: list[tuple[list[Turn], bool]] = [(kept, False)]
    if options.max_tokens is not None and draft.chosen is None:
        parts = split(kept, count, options.max_tokens)
    fields = {
        "owner": options.owner, "licence": options.licence, "consent": options.consent,
        **draft.fields,
    }  # fmt: skip
    own = fields.pop("source", None)
    if options.annotate and language:
        fields["language"] = language
    if draft.chosen is not None and draft.rejected is not None:
        for side in ("chosen", "rejected"):
            turns = draft.chosen if side == "chosen" else draft.rejected
            fields[side] = [turn.as_message() for turn in turns if not turn.dropped]
            cleaned.turns_out += len(fields[side])
    identity = draft.id or cleaned.digest.hex()
    for number, (turns, copied) in enumerate(parts, 1):
        copies = sum(turn.role == "system" for turn in turns) if copied else 0
        cleaned.turns_out += len(turns) - copies
        yield Row(
            id=identity if len(parts) == 1 else f"{identity}-{number}",
            messages=[turn.as_message() for turn in turns],
            source=own if _is_provenance(own) else source,
            label=label_named(options.label if draft.label is None else draft.label),
            **fields,
        )


def _is_provenance(source: object) -> bool:
    """Whether a row that is read again already says which trace or line it came from."""
    if not isinstance(source, str):
        return False
    return source.startswith("trace:") or source.rpartition(":")[2].isdigit()
