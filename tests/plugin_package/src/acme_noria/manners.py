"""A check that any application can hang on any of its functions."""

from __future__ import annotations

from noria import Verdict

__all__ = ["polite"]

_RUDE = ("shut up", "stupid")


def polite(reply: str) -> Verdict:
    """Whether an answer keeps its manners."""
    found = [word for word in _RUDE if word in reply.lower()]
    return Verdict(not found, reason=f"it says {', '.join(found)}" if found else "")
