"""How many tokens a prompt can have at most, as far as earlier answers tell.

A token has at least one byte, so the bytes of a request bound its prompt, with an allowance for
what the server adds. That is some four times too much. What a target has reported bounds it better:

- Of a prompt that begins like one that was counted, the beginning has at most the tokens of the
  whole that was counted, and the rest at most its bytes. An agent's conversation, which grows by a
  few messages at a time, is bounded closely, and so are new conversations of one agent, whose tools
  and instructions are most of what is sent.
- What a server adds to a prompt is at most the whole prompt of any call that was counted.

Nothing is ever bounded below what the target has reported for the same prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from noria.gateway.request import Request
from noria.models import Target

__all__ = ["PromptBounds"]

_CHOSEN: Final = ("tool_choice", "thinking", "reasoning", "reasoning_effort", "response_format")
"""Fields with which a server adds other words to the same prompt."""
_PARTS: Final = (
    "tools", "functions", "system", "instructions", "systemInstruction", "messages", "contents",
    "input", "prompt",
)  # fmt: skip
"""The fields that are the prompt, whatever the dialect, those first that change least."""
_MARK: Final = re.compile(rb',?"cache_control":\{[^{}]*\}')
"""Where a prompt is to be cached, which moves on with each turn and is no part of it."""
_MEDIA: Final = re.compile(rb'"(?:data:[\w.+/-]+;base64,)?[A-Za-z0-9+/=_-]{2048,}"')
"""An image or a file, whose tokens do not hang on how many bytes it has."""
_VOLATILE: Final = b'"x-anthropic-billing-header:'
"""Claude Code's first block of instructions, which is another in each conversation."""
_SEAM: Final = 8
"""The most tokens that a text has more where it is cut between two messages."""
_KEPT_POINTS: Final = 6
"""So many of a call's last messages are remembered as ends of a beginning."""
_MOST_REMEMBERED: Final = 50_000
_MOST_TARGETS: Final = 10_000


class _Point(NamedTuple):
    """The end of a beginning of a prompt."""

    digest: bytes
    """Of all that stands before, and of the target."""
    rest: int
    """Bytes that follow it, without those of media."""
    media: bool
    """Whether an image or a file follows it."""


class PromptBounds:
    """What the targets have reported of prompts, in one process."""

    def __init__(self) -> None:
        self._wholes: dict[bytes, int] = {}
        """The most tokens that were reported of a prompt, by its digest."""
        self._beginnings: dict[bytes, int] = {}
        """The fewest tokens that were reported of a prompt that begins so."""
        self._added: dict[tuple[str, bool], tuple[int, int]] = {}
        """By target, and whether there are tools: the fewest tokens that a whole prompt had, and
        the most by which one had more tokens than bytes."""

    def bound(self, request: Request, target: Target, media: int) -> int:
        """The most tokens that a prompt can have.

        Args:
            request: the call.
            target: whose tokens.
            media: the most tokens of all images and pieces of sound in it.
        """
        least, excess = self._added.get(_group(request, target), (target.allowance, 0))
        most = request.prompt_bytes + max(min(least, target.allowance), excess) + media
        for point in reversed(list(_points(request, target))):
            counted = self._wholes.get(point.digest) or self._beginnings.get(point.digest)
            if counted is not None:
                seam = _SEAM if point.rest else 0
                return min(most, counted + point.rest + seam + (media if point.media else 0))
        return most

    def learn(self, request: Request, target: Target, tokens: int) -> None:
        """Learn from the tokens that a target has reported of a prompt."""
        if tokens <= 0:
            return
        _make_room(self._added, _MOST_TARGETS)
        group = _group(request, target)
        least, excess = self._added.get(group, (tokens, 0))
        self._added[group] = min(least, tokens), max(excess, tokens - request.prompt_bytes)
        digests = [point.digest for point in _points(request, target)]
        if not digests:
            return
        _make_room(self._wholes, _MOST_REMEMBERED)
        _make_room(self._beginnings, _MOST_REMEMBERED)
        whole = digests.pop()
        self._wholes[whole] = max(self._wholes.pop(whole, 0), tokens)
        for digest in {*digests[:4], *digests[-_KEPT_POINTS:]}:
            self._beginnings[digest] = min(self._beginnings.pop(digest, tokens), tokens)


def _group(request: Request, target: Target) -> tuple[str, bool]:
    return target.name, bool(request.fields.get("tools"))


def _make_room(known: dict[Any, Any], most: int) -> None:
    """Forget a tenth of what was used longest ago, where there is much."""
    if len(known) >= most:
        for old in list(known)[: most // 10]:
            del known[old]


def _points(request: Request, target: Target) -> Iterator[_Point]:
    """The ends of the beginnings of a prompt, the shortest first."""
    fields = request.fields
    chosen = orjson.dumps([fields.get(name) for name in _CHOSEN])
    digest = blake2b(target.name.encode() + b"\n" + chosen, digest_size=16)
    pieces, loose = [], 0
    for name in _PARTS:
        part = fields.get(name)
        if part is None:
            continue
        whole = name in ("tools", "functions") or not isinstance(part, list)
        for element in [part] if whole else part:
            text = _MARK.sub(b"", orjson.dumps(element))
            if _VOLATILE in text[:200]:
                loose += len(text)
                continue
            digest.update(b"%b %d " % (name.encode(), len(text)))
            digest.update(text)
            length = len(text)
            media = length > 2048 and _MEDIA.search(text) is not None
            if media:
                length = len(_MEDIA.sub(b"", text))
            pieces.append((digest.digest(), length, media))
    rest, media = loose, False
    found = []
    for made, length, holds_media in reversed(pieces):
        found.append(_Point(made, rest, media))
        rest += length
        media = media or holds_media
    return reversed(found)
