"""What a cleaning pass may be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["FILTERS", "Options"]

FILTERS = ("boilerplate", "refusal", "identity", "truncated", "duplicate")
"""Reasons that can be switched off: turns that have them are then kept."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a pass cleans."""

    lang: str | None = None
    """Only conversations in this language, as an ISO 639-1 code."""
    max_tokens: int | None = None
    """Split what is longer, between exchanges."""
    tokenizer: str | None = None
    """Whose tokens are counted; see `token_counter`."""
    personal: Literal["mask", "drop", "keep"] = "mask"
    """What becomes of secrets and personal data: a placeholder, the exchange dropped, nothing."""
    keep: tuple[str, ...] = ()
    """Names of `FILTERS` that are off."""
    form: str | None = None
    """The form of the input; left out, each piece shows it."""
    label: str = "public"
    """The label of conversations that have none of their own."""
    owner: str | None = None
    licence: str | None = None
    consent: str | None = None
    annotate: bool = False
    """Write each row's language."""

    def as_json(self) -> dict[str, Any]:
        """The options, for a report and to tell whether a pass can be resumed."""
        return asdict(self)
