"""What a provider says when it refuses or fails, read from every form that providers give it.

OpenAI's shape is one of many: the error may be a text, a list, a list of errors, FastAPI's list of
fields, stand under `message` or `detail` without an `error`, hold JSON inside its text, or be a
page of HTML that a proxy wrote.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from noria.models.wire import read_json

__all__ = ["Refusal"]

_LONGEST: Final = 2000
_DEEPEST: Final = 6
_MESSAGES: Final = (
    "message", "Message", "msg", "detail", "error_description", "error_message", "errorMessage",
    "description", "error", "errors", "title", "reason",
)  # fmt: skip
"""Where a message stands, the best first."""
_CODES: Final = ("code", "status", "type", "__type", "error_code", "error")
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>|<h1[^>]*>(.*?)</h1>", re.I | re.S)
_TAG: Final = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.I | re.S)
_SECONDS: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)s")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's refusal or failure."""

    message: str
    """What it says; empty where it says nothing."""
    code: str | None = None
    """Its own code, where it has one that is no HTTP status."""
    kind: str | None = None
    """OpenAI's `type`, where it is told."""
    param: str | None = None
    """The field that it is about."""
    status: int | None = None
    """The HTTP status that it names itself, as one in a stream must."""
    retry_after: float | None = None
    """Seconds after which it may be asked again, where the body says so."""
    reasons: tuple[str, ...] = ()
    """What a moderation found."""

    @classmethod
    def of(cls, body: bytes) -> Refusal:
        """Read the body of an answer whose status says that it is an error."""
        try:
            value, _ = read_json(body)
        except ValueError:
            return cls(_plain(body))
        return cls._read(value)

    @classmethod
    def within(cls, reply: Any) -> Refusal | None:
        """The error that stands in a reply, or in a chunk of a stream, which says nothing of one
        in its status; None where there is none."""
        if isinstance(reply, list):
            found = [one for one in reply if isinstance(one, dict) and one.get("error")]
            return cls._read(reply) if found else None
        if not isinstance(reply, dict):
            return None
        if reply.get("error"):
            return cls._read(reply)
        choices = reply.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    if choice.get("error"):
                        return cls._read(choice)
                    if choice.get("finish_reason") == "error":
                        return cls("The provider failed in mid-answer.")
            return None
        kind = reply.get("object") or reply.get("type")
        if kind == "error" or (choices is None and reply.get("errors")):
            return cls._read(reply)
        return None

    @classmethod
    def _read(cls, value: Any) -> Refusal:
        at = _innermost(value)
        code, status = _code(at)
        if code is None and status is None and isinstance(value, dict):
            code, status = _code(value)
        kind = at.get("type")
        param = at.get("param") or at.get("field") or _field(value)
        metadata = at.get("metadata")
        reasons = metadata.get("reasons") if isinstance(metadata, dict) else None
        message = _message(value)
        raw = metadata.get("raw") if isinstance(metadata, dict) else None
        if (more := _message(raw)) and more not in message:
            message = f"{message}: {more}" if message else more  # what a router was told itself
        return cls(
            message[:_LONGEST],
            code,
            kind if isinstance(kind, str) else None,
            param if isinstance(param, str) else None,
            status,
            _retry_after(at),
            tuple(str(one)[:100] for one in reasons[:20]) if isinstance(reasons, list) else (),
        )


def _innermost(value: Any) -> dict[str, Any]:
    """The object that says most of an error: the one inside the others."""
    at: dict[str, Any] = {}
    for _ in range(_DEEPEST):
        if isinstance(value, list):
            value = next((one for one in value if isinstance(one, dict)), None)
        if not isinstance(value, dict):
            break
        at = value
        inner = value.get("error") or value.get("errors")
        if inner is None and isinstance(value.get("detail"), dict):
            inner = value["detail"]
        value = inner
    return at


def _message(value: Any, depth: int = 0) -> str:
    if depth > _DEEPEST:
        return ""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("{", "["):
            try:
                inner, _ = read_json(text.encode("utf-8", "replace"))
            except ValueError:
                return text
            return _message(inner, depth + 1) or text
        return text
    if isinstance(value, list):
        return "; ".join(filter(None, (_entry(one, depth + 1) for one in value[:20])))
    if isinstance(value, dict):
        for name in _MESSAGES:
            if found := _message(value.get(name), depth + 1):
                return found
    return ""


def _entry(value: Any, depth: int) -> str:
    """One of several errors; of FastAPI's with the field that it is about."""
    text = _message(value, depth)
    field = _loc(value)
    return f"{field}: {text}" if field and text else text


def _loc(value: Any) -> str | None:
    loc = value.get("loc") if isinstance(value, dict) else None
    if not isinstance(loc, list):
        return None
    path = [str(step) for step in loc if isinstance(step, str | int)]
    return ".".join(path[1:] if path[:1] == ["body"] else path) or None


def _field(value: Any) -> str | None:
    """The first field that FastAPI names, however deep its list stands."""
    for found in _lists(value, 0):
        for entry in found:
            if (field := _loc(entry)) is not None:
                return field
    return None


def _lists(value: Any, depth: int) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    if isinstance(value, dict) and depth < _DEEPEST:
        for name in ("detail", "message", "error", "errors"):
            yield from _lists(value.get(name), depth + 1)


def _code(at: dict[str, Any]) -> tuple[str | None, int | None]:
    """The code of an error, and its HTTP status where that is told: either may be a number or a
    text, and one often stands in the other's place."""
    status = None
    for name in ("status_code", "http_status", "code", "status"):
        number = _number(at.get(name))
        if number is not None and 400 <= number <= 599:
            status = number
            break
    for name in _CODES:
        value = at.get(name)
        number = _number(value)
        if number is not None:
            if not 100 <= number <= 599:
                return str(number), status
        elif (
            isinstance(value, str)
            and 0 < len(value) <= 100
            and " " not in value
            and value not in _GENERIC
        ):
            return value, status
    return None, status


_GENERIC: Final = frozenset(
    (
        "error", "invalid_request_error", "server_error", "api_error", "about:blank",
        "BadRequestError", "Bad", "authentication_error", "permission_error",
    )
)  # fmt: skip
"""Kinds that say no more than the status does."""


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) else None


def _retry_after(at: dict[str, Any]) -> float | None:
    """Google's `retryDelay`, or a field of that meaning."""
    details = at.get("details")
    holders = [at, *(details if isinstance(details, list) else ())]
    for holder in holders:
        if not isinstance(holder, dict):
            continue
        for name in ("retryDelay", "retry_after", "retry_after_seconds"):
            value = holder.get(name)
            found = _SECONDS.fullmatch(value) if isinstance(value, str) else None
            if found is not None:
                return float(found[1])
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                return float(min(value, 1e9))
    return None


def _plain(body: bytes) -> str:
    """What a text says, or the title of a page."""
    text = body[:65536].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = _TITLE.search(text)
        text = next(filter(None, title.groups()), "") if title else text
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())[:_LONGEST]
