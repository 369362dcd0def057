"""Programs that make a recorded call again, and what is noted of it."""

from __future__ import annotations

import pprint
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from noria.types import SpanKind
from noria.web.run.transcript import Room

if TYPE_CHECKING:
    from noria.types import Span

__all__ = ["as_curl", "as_python", "attributes", "can_repeat"]

_MODEL_PATHS = {SpanKind.CHAT: "v1/chat/completions", SpanKind.EMBEDDING: "v1/embeddings"}


def can_repeat(span: Span) -> bool:
    """Whether a span is a call that came through a door."""
    if span.kind is SpanKind.APP:
        return bool(span.app and span.name and "." in span.name)
    return span.kind in _MODEL_PATHS


def as_curl(base: str, span: Span, body: bytes) -> str:
    """A command line that makes the same call."""
    return (
        f"curl {shlex.quote(base + _path(span))} \\\n"
        '  -H "Authorization: Bearer $NORIA_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body.decode('utf-8', 'replace'))}\n"
    )


def as_python(base: str, span: Span, body: bytes) -> str:
    """A program that makes the same call: of a model with the `openai` client, else with `httpx`,
    which that client brings along."""
    try:
        arguments = pprint.pformat(orjson.loads(body), width=88, sort_dicts=False)
    except orjson.JSONDecodeError:
        arguments = "{}"
    if span.kind is SpanKind.APP:
        return (
            "import os\n\nimport httpx\n\n"
            f"arguments = {arguments}\n"
            "answer = httpx.post(\n"
            f"    {base + _path(span)!r},\n"
            "    json=arguments,\n"
            '    headers={"Authorization": f"Bearer {os.environ[\'NORIA_KEY\']}"},\n'
            "    timeout=600,\n"
            ")\n"
            "print(answer.raise_for_status().json())\n"
        )
    call = "embeddings.create" if span.kind is SpanKind.EMBEDDING else "chat.completions.create"
    return (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={base + "v1"!r}, api_key=os.environ["NORIA_KEY"])\n'
        f"request = {arguments}\n"
        f"print(client.{call}(**request))\n"
    )


def attributes(span: Span, room: Room) -> str:
    """What is noted of a span beside its columns, as JSON; empty for nothing."""
    noted = {name: value for name, value in span.attributes.items() if name != "documents"}
    if not noted:
        return ""
    return room.take(orjson.dumps(noted, option=orjson.OPT_INDENT_2).decode())[0]


def _path(span: Span) -> str:
    if span.kind is not SpanKind.APP:
        return _MODEL_PATHS[span.kind]
    function = (span.name or "").rpartition(".")[2]
    return f"apps/{quote(span.app or '', safe='@')}/{quote(function)}"
