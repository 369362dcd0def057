"""Conversations as tokens: the text that is served, byte for byte, and which tokens are learned.

The loss is taken on the assistant's turns, their end-of-turn token included. Where they stand is
found by rendering the conversation up to each of them, so a template needs no `{% generation %}`
marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noria.datasets import Row
from noria.errors import NoriaError
from noria.models.engine.requests import ChatRequest
from noria.models.engine.tools import conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoded", "encode", "encode_row", "messages_of", "pack", "render"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation, or several packed into one row."""

    tokens: list[int]
    learned: list[bool]
    """Whether each token is one that the loss is taken on."""
    positions: list[int]
    """Of each token in its own conversation."""
    segments: list[int]
    """Which conversation each token belongs to, from 1 on; 0 is a beginning that all of them share,
    which is computed once."""


def messages_of(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as the engine hands them to the template: roles that every template knows."""
    return conversation(ChatRequest.read({"messages": list(messages)}))


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]], *, ask: bool = False
) -> str:
    """The text of a conversation; with `ask`, up to where the assistant begins to answer."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    assert isinstance(text, str)
    return text


def encode(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, Any]]) -> Encoded:
    """The tokens of a conversation, and which are learned.

    Raises:
        NoriaError: the template changes earlier turns when later ones follow.
    """
    prepared = messages_of(messages)
    text = render(tokenizer, prepared)
    end = str(tokenizer.eos_token or "")
    spans = []
    for number, message in enumerate(prepared):
        if message["role"] != "assistant" or not message["content"]:
            continue
        asked = render(tokenizer, prepared[:number], ask=True) if number else ""
        told = render(tokenizer, prepared[: number + 1])
        if not (told.startswith(asked) and text.startswith(told)):
            raise NoriaError(
                "The base's chat template changes earlier turns when later ones follow, so what "
                "is learned would not be what is served.",
                "Split the conversations to one round each: noria data split.",
            )
        stop = told.rfind(end) + len(end) if end and end in told[len(asked) :] else len(told)
        spans.append((len(asked), stop))
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    learned = [
        any(begin <= at and until <= stop for begin, stop in spans) and until > at
        for at, until in found["offset_mapping"]
    ]
    tokens = list(found["input_ids"])
    return Encoded(tokens, learned, list(range(len(tokens))), [1] * len(tokens))


def encode_row(tokenizer: PreTrainedTokenizerBase, row: Row, longest: int) -> list[Encoded]:
    """A row's tokens, in parts of at most `longest` tokens, cut where a turn of the user begins.

    The system prompt stands before each part. A round that is too long by itself is left out.
    """
    messages = [*row.messages, *(row.chosen or ())]
    system = [one for one in messages[:1] if one["role"] == "system"]
    rounds: list[list[dict[str, Any]]] = []
    for message in messages[len(system) :]:
        if message["role"] == "user" or not rounds:
            rounds.append([])
        rounds[-1].append(message)
    parts: list[Encoded] = []
    kept: list[dict[str, Any]] = []
    best: Encoded | None = None
    for one in rounds:
        tried = encode(tokenizer, [*system, *kept, *one])
        if len(tried.tokens) <= longest:
            kept, best = [*kept, *one], tried
            continue
        if best is not None:
            parts.append(best)
        alone = encode(tokenizer, [*system, *one])
        kept, best = (one, alone) if len(alone.tokens) <= longest else ([], None)
    if best is not None:
        parts.append(best)
    return [part for part in parts if any(part.learned)]


def pack(rows: Iterable[Encoded], length: int) -> list[Encoded]:
    """Put several conversations into one row of at most `length` tokens.

    The longest come first, each into the fullest row that has room (best fit decreasing).
    Conversations that begin alike, as those without a system prompt of their own do, share that
    beginning: no conversation sees its neighbour, and what it sees is what it saw alone.
    """
    alike: dict[tuple[int, ...], list[Encoded]] = {}
    for row in rows:
        alike.setdefault(tuple(row.tokens[:_ALIKE]), []).append(row)
    return [packed for group in alike.values() for packed in _pack(group, length)]


_ALIKE = 8
"""Conversations with so many first tokens in common are packed together."""


def _pack(rows: list[Encoded], length: int) -> list[Encoded]:
    shared = _common(rows) if len(rows) > 1 else 0
    bins: list[list[Encoded]] = []
    sizes: list[int] = []
    for row in sorted(rows, key=lambda one: -len(one.tokens)):
        own = len(row.tokens) - shared
        room = [number for number, size in enumerate(sizes) if size + own <= length]
        if room:
            best = max(room, key=sizes.__getitem__)
            bins[best].append(row)
            sizes[best] += own
        else:
            bins.append([row])
            sizes.append(shared + own)
    return [_joined(one, shared) for one in bins]


def _common(rows: list[Encoded]) -> int:
    """How many first tokens all rows have in common, none of them learned."""
    first = rows[0].tokens
    end = min(row.learned.index(True) if True in row.learned else len(row.tokens) for row in rows)
    for place in range(end):
        if any(row.tokens[place] != first[place] for row in rows):
            return place
    return end


def _joined(rows: list[Encoded], shared: int) -> Encoded:
    head = rows[0]
    tokens, learned = head.tokens[:shared], [False] * shared
    positions, segments = list(range(shared)), [0] * shared
    for number, row in enumerate(rows, 1):
        tokens = tokens + row.tokens[shared:]
        learned = learned + row.learned[shared:]
        positions = positions + row.positions[shared:]
        segments = segments + [number] * (len(row.tokens) - shared)
    return Encoded(tokens, learned, positions, segments)
