"""The models that there are, as each dialect lists them."""

from __future__ import annotations

from typing import Any

from noria.models.catalogue import CLAUDE_ALIAS

__all__ = ["described", "listing"]

_NEVER = "1970-01-01T00:00:00Z"
"""When a model was made, where a dialect wants to be told and nobody knows."""


def listing(wire: str, names: list[str]) -> dict[str, Any]:
    """All models, for callers of a dialect.

    Anthropic's lists each model that has no "claude" in its name under an alias that has: Claude
    Code shows no others.
    """
    if wire == "gemini":
        return {"models": [described(wire, name) for name in names]}
    if wire == "messages":
        shown = [name if "claude" in name.lower() else CLAUDE_ALIAS + name for name in names]
        data = [described(wire, name) for name in shown]
        ends = {"first_id": shown[0], "last_id": shown[-1]} if shown else {}
        return {"data": data, "has_more": False, "first_id": None, "last_id": None} | ends
    models = [described(wire, name) for name in names]
    return {"object": "list", "data": models, "models": models}


def described(wire: str, name: str) -> dict[str, Any]:
    """One model, as a dialect describes it."""
    if wire == "gemini":
        return {
            "name": f"models/{name}",
            "baseModelId": name,
            "version": "1",
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }
    if wire == "messages":
        shown = name.removeprefix(CLAUDE_ALIAS)
        return {"type": "model", "id": name, "display_name": shown, "created_at": _NEVER}
    owner = name.partition(":")[0] if ":" in name else "noria"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
