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
from noria.retrieval.ingest.access_fields import access_fields

__all__ = ["front_matter"]

_MATTER = re.compile(
    r"---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_MOST_ALIASES = 32
_MOST_BYTES = 64 * 1024


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """What the front matter says, with its names in lower case, and the text after it.

    Raises:
        Unreadable: it is not YAML, says one thing twice, or has what looks like an access field
            and is not read. It may have said who must not read this, so nobody does.
    """
    block = _MATTER.match(text)
    if block is None:
        return {}, text
    fields = _read(block[1])
    if fields is None:
        return {}, text[block.end() :]
    if not isinstance(fields, dict):
        return {}, text  # a rule and a paragraph, which is no front matter
    named = access_fields(fields, "its front matter")
    for name in ("label", "grants"):
        if name in named and named[name] is None:
            raise Unreadable(f"its front matter says {name} and nothing after it")
    return named, text[block.end() :]


def _read(block: str) -> Any:
    """The block as YAML. Aliases are few, and no name stands twice in a mapping.

    Raises:
        Unreadable: it is not, or they are not.
    """
    import yaml

    if len(block) > _MOST_BYTES:
        raise Unreadable("its front matter is larger than 64 KiB")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(block)
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block))
        if aliases > _MOST_ALIASES:
            raise Unreadable(f"its front matter has {aliases} aliases")
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_twice(node, set())
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as broken:
        mark = getattr(broken, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark is not None else ""
        raise Unreadable(f"its front matter is not YAML{where}") from None
    finally:
        loader.dispose()


def _refuse_twice(node: Any, seen: set[int]) -> None:
    import yaml

    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names = [key.value.strip().lower() for key, _ in node.value if isinstance(key.value, str)]
        if len(set(names)) < len(names):
            raise Unreadable("its front matter says one thing twice")
        for _, value in node.value:
            _refuse_twice(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_twice(value, seen)
