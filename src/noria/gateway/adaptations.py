"""Which fields of a request a model does not take, and what is sent in their stead.

Reasoning models refuse `max_tokens` and a `temperature` of their caller's; some servers do not know
`max_completion_tokens`. A few are known by their names. Of any other the first refusal that names
such a field is believed: the call is sent again without, and from then on so is every other.
Only fields that change nothing of what is asked for are left out, and a limit is never lost.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from noria.models import Target
from noria.models.refusal import Refusal

__all__ = ["Adaptations", "Changes"]

Changes = dict[str, str | None]
"""By the name of a field: the name that it is sent under, or None where it is left out."""

_RENAMED: Final = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
_LEFT_OUT: Final = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "stream_options",
)  # fmt: skip
_REASONING: Final = re.compile(r"(?:^|[/.])(?:o[134](?:-|$)|gpt-5(?!-chat))")
"""Models that take a limit under its new name alone."""
_ONE_TEMPERATURE: Final = re.compile(r"(?:^|[/.])(?:o[134](?:-|$)|gpt-5(?!-chat)(?:-|$))")
_ADAPTS_ITSELF: Final = ("openrouter",)
_UNSUPPORTED: Final = re.compile(
    r"unsupported|not supported|n[o']t support|only the default|unrecogni[sz]ed|unknown|"
    r"not permitted|not allowed|unexpected|extra_forbidden|deprecated|cannot be used|"
    r"use '?max_(?:completion_)?tokens",
    re.IGNORECASE,
)
_MOST_REMEMBERED: Final = 10_000


class Adaptations:
    """What each target is known not to take."""

    def __init__(self) -> None:
        self._changes: dict[str, Changes] = {}

    def of(self, target: Target) -> Changes:
        """The changes to a request for a target; empty for nearly all."""
        found = self._changes.get(target.name)
        if found is None:
            if len(self._changes) >= _MOST_REMEMBERED:
                self._changes.clear()
            found = self._changes[target.name] = _known(target)
        return found

    def learn(self, target: Target, sent: bytes, refusal: Refusal) -> bool:
        """Learn from a refusal. Tells whether the same request may do with what was learned.

        Args:
            target: who refused.
            sent: the request's JSON as it was sent.
            refusal: what was said.
        """
        said = f"{refusal.code or ''} {refusal.message}"
        if _UNSUPPORTED.search(said) is None:
            return False
        fields, changes = orjson.loads(sent), self.of(target)
        for name in (*_RENAMED, *_LEFT_OUT):
            if fields.get(name) is None or name in changes:
                continue
            if refusal.param is not None and refusal.param in fields:
                about = refusal.param == name
            else:
                about = re.search(rf"\b{name}\b", said) is not None
            instead = _RENAMED.get(name)
            if not about or (instead is not None and instead in changes):
                continue
            self._changes[target.name] = {**changes, name: instead}
            return True
        return False


def _known(target: Target) -> Changes:
    changes: Changes = {}
    if target.provider in _ADAPTS_ITSELF or target.local:
        return changes
    if _REASONING.search(target.model) is not None:
        changes["max_tokens"] = "max_completion_tokens"
    if _ONE_TEMPERATURE.search(target.model) is not None:
        changes["temperature"] = None
    return changes
