"""Alpaca's form: `{"instruction", "input", "output"}`; self-instruct's seeds have `instances`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noria.datasets.readers.draft import Draft, Turn

__all__ = ["read"]


def read(value: Mapping[str, Any]) -> Draft:
    """Understand one instruction with its answer."""
    instances = value.get("instances")
    instance = instances[0] if isinstance(instances, list) and instances else value
    given, answer = instance.get("input"), instance.get("output", value.get("response"))
    question = str(value["instruction"])
    if isinstance(given, str) and given.strip():
        question += f"\n\n{given}"
    turns = [Turn("user", question)]
    if isinstance(value.get("system"), str) and value["system"]:
        turns.insert(0, Turn("system", value["system"]))
    if answer is not None:
        turns.append(Turn("assistant", str(answer)))
    return Draft(str(value.get("id") or ""), turns, value.get("label"))
