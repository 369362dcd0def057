"""How runs fail: what is worth another attempt, and what a caller may know."""

from __future__ import annotations

from noria.errors import AnswerError, ApiError, StoreUnavailable

__all__ = ["as_api_error", "may_help"]


def may_help(failure: Exception) -> bool:
    """Whether trying again may help: not where a caller was refused or asked for nonsense."""
    if isinstance(failure, ApiError):
        busy = failure.status == 429 and failure.code != "budget_exhausted"
        return failure.status >= 500 or busy
    return True


def as_api_error(failure: Exception, name: str, trace_id: str) -> ApiError:
    """A failure of a run as its caller may know it. What user code says in an exception may hold
    what the caller may not read, so that is left to the trace.

    Args:
        failure: what was raised.
        name: the function that was run.
        trace_id: where it is recorded.
    """
    match failure:
        case ApiError():
            return failure
        case AnswerError():
            return ApiError(502, "unusable_answer", failure.message)
        case StoreUnavailable():
            return ApiError(503, "store_unavailable", failure.message, retry_after=2)
        case _:
            return ApiError(
                500, "app_failed",
                f"{name} failed with {type(failure).__name__}. The trace says why: "
                f"noria trace show {trace_id}",
            )  # fmt: skip
