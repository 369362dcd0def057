"""Why an attempt gave no answer, what the caller is told, and what may be tried next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from noria.errors import ApiError, internal_error
from noria.gateway.routing import parse_retry_after
from noria.http.client_connection import Exchange
from noria.models import Target
from noria.types import Usage

__all__ = ["AttemptFailure", "of_status"]


@dataclass(slots=True)
class AttemptFailure:
    """Why an attempt gave no answer, and what may be done about it."""

    error: ApiError
    """What the caller is told if nothing else helps."""
    retryable: bool = False
    """The same target may be asked again."""
    elsewhere: bool = False
    """Another target may be asked."""
    is_targets_fault: bool = False
    """It counts against the target's circuit breaker."""
    final: bool = False
    """Bytes have reached the caller, so nothing may be tried again."""
    retry_after: float | None = None
    usage: Usage | None = None
    """What was used all the same, where that can be told."""

    @classmethod
    def resting(cls, target: Target) -> AttemptFailure:
        """The target's circuit breaker is open."""
        return cls(
            ApiError(
                503, "upstream_resting",
                f"{target.name} failed several times in a row and is left alone for a while.",
                retry_after=5,
            ),
            elsewhere=True,
        )  # fmt: skip

    @classmethod
    def inside(cls) -> AttemptFailure:
        """noria itself is at fault."""
        return cls(internal_error())

    @classmethod
    def outrun(cls) -> AttemptFailure:
        """Another attempt answered first."""
        return cls(ApiError(502, "upstream_cancelled", "Another target answered first."))


def of_status(target: Target, exchange: Exchange) -> AttemptFailure:
    """Turn an upstream's error status into what the caller is told. What a server says about our
    own key is not passed on: it may quote the key."""
    status, name = exchange.status, target.name
    retry_after = parse_retry_after(exchange.retry_after)
    if status == 429:
        seconds = None if retry_after is None else max(1, round(retry_after))
        error = ApiError(
            429, "upstream_rate_limited", f"{name} is taking no more calls at present.",
            retry_after=seconds,
        )  # fmt: skip
        return AttemptFailure(error, True, True, retry_after=retry_after)
    if status in (401, 402, 403):
        error = ApiError(
            502, "upstream_credentials",
            f"{name} does not accept noria's own credentials (status {status}). "
            "Check the provider's key: noria doctor.",
        )  # fmt: skip
        return AttemptFailure(error, False, True, True)
    said, code, param = _said(exchange.body)
    if 400 <= status < 500 and status not in (408, 409, 425):
        error = ApiError(
            status, code or "upstream_refused_request", said or f"{name} refused the call.",
            param=param,
        )  # fmt: skip
        return AttemptFailure(error, elsewhere=status == 404)
    error = ApiError(502, "upstream_error", f"{name} failed with status {status}.")
    return AttemptFailure(error, True, True, True, retry_after=retry_after)


def _said(answer: bytes) -> tuple[str | None, str | None, str | None]:
    """The message, code and field of an upstream's error, in OpenAI's shape or near it."""
    try:
        error: Any = orjson.loads(answer)["error"]
        if isinstance(error, str):
            return error[:2000], None, None
        message, code, param = error.get("message"), error.get("code"), error.get("param")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None, None, None
    return (
        str(message)[:2000] if message else None,
        code if isinstance(code, str) else None,
        param if isinstance(param, str) else None,
    )
