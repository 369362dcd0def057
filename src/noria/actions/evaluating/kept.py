"""Replies of a model kept in a file, so that an evaluation that was stopped goes on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from noria.actions.choosing.planner import Ask, Prompt
from noria.evals.lines import objects_of, read_file

__all__ = ["keeping"]


def keeping(path: Path, model: str, ask: Ask) -> Ask:
    """Ask only what was not asked before. A reply is one line, written when it comes.

    Args:
        path: the file, which need not be there yet. A line that was cut is asked again.
        model: who is asked: replies of others are not taken.
        ask: asks the model.

    Raises:
        ConfigError: the file is there and cannot be read.
    """
    kept: dict[str, str] = {}
    if path.exists():
        raw = read_file(path)
        whole = raw[: raw.rfind(b"\n") + 1]
        kept = {str(row.get("key")): str(row.get("reply")) for _, row in objects_of(path, whole)}
        if len(whole) < len(raw):
            path.write_bytes(whole)

    async def asked(prompt: Prompt) -> str:
        key = _key(model, prompt)
        if key not in kept:
            kept[key] = await ask(prompt)
            line = {"key": key, "model": model, "request": prompt.request, "reply": kept[key]}
            with path.open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        return kept[key]

    return asked


def _key(model: str, prompt: Prompt) -> str:
    """Of all that the reply depends on."""
    whole = [model, prompt.instructions, prompt.operations, prompt.request, prompt.grammar.schema]
    return hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()
