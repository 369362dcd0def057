"""Choosing operations for a request in words, and filling in their arguments."""

from __future__ import annotations

from noria.actions.choosing.planner import Ask, Planner, Prompt, ask_with

__all__ = ["Ask", "Planner", "Prompt", "ask_with"]
