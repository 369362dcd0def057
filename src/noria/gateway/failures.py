"""Why an attempt gave no answer, what the caller is told, and what may be tried next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from noria.errors import ApiError, internal_error
from noria.gateway.routing import MOST_PATIENCE_SECONDS, parse_retry_after
from noria.http.client_connection import Exchange
from noria.models import Target
from noria.models.refusal import Refusal
from noria.types import Usage

__all__ = ["AttemptFailure", "of_refusal", "of_status", "unkeyed"]


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
    unanswered: bool = False
    """The request was sent and no answer came: the provider may bill it."""
    again: bool = False
    """The call may be sent again at once over a new connection: an idle one was closed at the other
    end just as it was used."""

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
    """Turn an upstream's error status into what the caller is told."""
    asked = parse_retry_after(exchange.retry_after)
    failed = of_refusal(target, Refusal.of(exchange.body), exchange.status, asked)
    if exchange.should_retry == "false":
        failed.retryable = False
    return failed


def of_refusal(
    target: Target, refusal: Refusal, status: int | None = None, retry_after: float | None = None
) -> AttemptFailure:
    """What a provider's refusal means: what the caller is told, and what may be tried next.

    A call that is at fault itself (flagged, too long, wrong) says nothing against the target. What
    a server says about noria's own key is not passed on, and no message quotes it.

    Args:
        target: who refused.
        refusal: what it said.
        status: the status of its answer; None where it came in an answer that was begun as one.
        retry_after: seconds, from the answer's head.
    """
    if retry_after is None:
        retry_after = refusal.retry_after
    if status is None:
        status = refusal.status or _status_of(refusal)
    elif status >= 500 and _is_callers(refusal):
        status = 400  # some servers fail at whatever they do not like
    name, said = target.name, unkeyed(refusal.message, target)
    patient = retry_after is None or retry_after <= MOST_PATIENCE_SECONDS
    seconds = None if retry_after is None else max(1, round(retry_after))
    if status == 402 or (status in (403, 429) and _has_no_credit(refusal)):
        error = ApiError(
            status, refusal.code or "insufficient_quota", said or f"{name} has no credit left.",
            retry_after=seconds,
        )  # fmt: skip
        return AttemptFailure(error, elsewhere=True)
    if status == 429:
        told = f": {said}" if said else "."
        error = ApiError(
            429, "upstream_rate_limited", f"{name} is taking no more calls at present{told}",
            retry_after=seconds,
        )  # fmt: skip
        return AttemptFailure(error, patient, True, retry_after=retry_after)
    if status == 401 or (status == 403 and not _is_flagged(refusal) and _is_about_key(refusal)):
        error = ApiError(
            502, "upstream_credentials",
            f"{name} does not accept noria's own credentials (status {status}). "
            "Check the provider's key: noria doctor.",
        )  # fmt: skip
        return AttemptFailure(error, False, True, True)
    if 400 <= status < 500 and status not in _TEMPORARY:
        said, param = said or f"{name} refused the call.", refusal.param
        if _is_flagged(refusal):
            error = ApiError(status, refusal.code or "content_filter", said, param=param)
        else:
            error = ApiError(status, refusal.code or "upstream_refused_request", said, param=param)
        return AttemptFailure(error, elsewhere=status == 404)
    told = f": {said}" if said else "."
    error = ApiError(
        502, "upstream_error", f"{name} failed with status {status}{told}", retry_after=seconds
    )
    return AttemptFailure(error, patient, True, True, retry_after=retry_after)


_TEMPORARY: Final = (408, 409, 425)
_CALLERS: Final = frozenset(
    (
        "invalid_request_error", "invalid_request", "context_length_exceeded", "content_filter",
        "exceed_context_size_error", "content_policy_violation", "string_above_max_length",
        "ValidationException",
    )
)  # fmt: skip
"""Codes and kinds that say that the call itself is at fault, whatever the status."""
_OWN_KEY: Final = ("authentication_error", "invalid_api_key", "permission_error")
_SECRET: Final = re.compile(r"\b(?:sk|pk|gsk|xai|key|hf|ghp|AIza)[-_][\w.*-]{4,}|Bearer \S+")
"""What looks like a key."""
_NO_CREDIT: Final = re.compile(
    r"insufficient[ _]?(?:quota|balance|credit|funds)|exceeded_current_quota|billing|"
    r"exceeded your current quota|out of credit|more credits|credit balance|spending limit",
    re.IGNORECASE,
)
_FLAGGED: Final = re.compile(
    r"flagged|moderat|content[ _]?(?:filter|policy|management)|safety|harmful|blocked by|"
    r"responsible ?ai|guardrail",
    re.IGNORECASE,
)
_ABOUT_KEY: Final = re.compile(
    r"\bkeys?\b|auth|credential|permission|forbidden|denied|unauthori|access|\btoken\b|scope",
    re.IGNORECASE,
)


def _status_of(refusal: Refusal) -> int:
    """The status that an error without one would have."""
    if refusal.code in _OWN_KEY or refusal.kind in _OWN_KEY:
        return 401
    if "rate_limit" in f"{refusal.code} {refusal.kind}" or _is_no_quota(refusal):
        return 429
    return 400 if _is_callers(refusal) else 502


def _is_no_quota(refusal: Refusal) -> bool:
    return "insufficient_quota" in (refusal.code, refusal.kind)


def _is_callers(refusal: Refusal) -> bool:
    return refusal.code in _CALLERS or refusal.kind in _CALLERS


def _has_no_credit(refusal: Refusal) -> bool:
    """Whether no more can be had until somebody pays, which a pause does not change."""
    if refusal.retry_after is not None:
        return False  # as Google says of a minute's quota
    return bool(_NO_CREDIT.search(f"{refusal.code} {refusal.kind} {refusal.message}"))


def _is_flagged(refusal: Refusal) -> bool:
    return bool(refusal.reasons or _FLAGGED.search(f"{refusal.code} {refusal.message}"))


def _is_about_key(refusal: Refusal) -> bool:
    """Whether a 403 is about noria's own key. One that says nothing is taken for that."""
    said = f"{refusal.code or ''} {refusal.kind or ''} {refusal.message}".strip()
    return not said or bool(_ABOUT_KEY.search(said))


def unkeyed(message: str, target: Target) -> str:
    """A provider's message without noria's own key, which it may quote."""
    for _, value in target.upstream.headers:
        secret = value.rpartition(b" ")[2].decode("latin-1")
        if len(secret) >= 6:
            message = message.replace(secret, "***")
    return _SECRET.sub("***", message)
