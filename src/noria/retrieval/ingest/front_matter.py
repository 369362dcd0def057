"""Front matter: the block of YAML at the head of a text that says who may read it.

---
title: Salaries
grants: [finance, hr]
label: confidential
---
"""

from __future__ import annotations

import re
from typing import Any

from noria.retrieval.document import Unreadable

__all__ = ["front_matter"]

_MATTER = re.compile(
    r"---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """What the front matter says, with its names in lower case, and the text after it.

    Raises:
        Unreadable: it is not YAML. It may have said who must not read this, so nobody does.
    """
    block = _MATTER.match(text)
    if block is None:
        return {}, text
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        fields = yaml.load(block[1], loader)  # noqa: S506 - both loaders are the safe one
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        mark = getattr(broken, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        raise Unreadable(f"its front matter is not YAML{where}") from None
    if fields is None:
        return {}, text[block.end() :]
    if not isinstance(fields, dict):
        return {}, text  # a rule and a paragraph, which is no front matter
    named = {str(name).strip().lower(): value for name, value in fields.items()}
    if len(named) < len(fields):
        raise Unreadable("its front matter says one thing twice")
    return named, text[block.end() :]
