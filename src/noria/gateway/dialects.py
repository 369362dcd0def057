"""How each door's callers are told of a failure: the body of an answer, and an event in a stream.

A code that tells what is wrong stays the same in every dialect; the words around it are those that
the dialect's own clients look for. An agent whose conversation has become too long reads it there,
and makes it shorter by itself.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from noria.errors import ApiError

__all__ = ["error_body", "error_event", "overflows"]

_OVERFLOW: Final = frozenset(
    (
        "context_length_exceeded", "exceed_context_size_error", "context_window_exceeded",
        "string_above_max_length", "model_max_prompt_tokens_exceeded",
    )
)  # fmt: skip
_MESSAGES_TYPES: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large",
    429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
_GEMINI_STATUSES: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED", 404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED", 409: "ABORTED",
    413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL",
    501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


def overflows(error: ApiError) -> bool:
    """Whether a conversation is longer than its model can read."""
    if error.code in _OVERFLOW:
        return True
    said = error.message.lower()
    return error.status in (400, 413) and (
        "prompt is too long" in said
        or "maximum context length" in said
        or "exceeds the maximum number of tokens" in said
        or "context window" in said
    )


def error_body(wire: str, error: ApiError) -> dict[str, Any]:
    """What is said in place of an answer.

    Args:
        wire: the caller's dialect, by the name that `[providers.NAME] wire` has for it.
        error: what went wrong.
    """
    if wire == "messages":
        kind = _MESSAGES_TYPES.get(error.status)
        if kind is None:
            kind = "invalid_request_error" if error.status < 500 else "api_error"
        message = error.message
        if overflows(error) and "prompt is too long" not in message.lower():
            message = f"prompt is too long: {message}"
        told: dict[str, Any] = {"type": kind, "message": message, "code": error.code}
        if error.param is not None:
            told["param"] = error.param
        return {"type": "error", "error": told}
    if wire == "gemini":
        message = error.message
        if overflows(error) and "exceeds the maximum number of tokens" not in message:
            message = f"The input token count exceeds the maximum number of tokens. {message}"
        details: list[dict[str, Any]] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.code,
                "domain": "noria",
            }
        ]
        if error.retry_after is not None:
            details.append(
                {
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": f"{error.retry_after}s",
                }
            )
        status = _GEMINI_STATUSES.get(error.status, "UNKNOWN")
        said = {"code": error.status, "message": message, "status": status, "details": details}
        return {"error": said}
    body = error.body()
    if overflows(error):
        body["error"]["code"] = "context_length_exceeded"
    return body


def error_event(wire: str, error: ApiError) -> bytes:
    """What is said in a stream that breaks off."""
    body = error_body(wire, error)
    if wire == "messages":
        return b"event: error\ndata: %b\n\n" % orjson.dumps(body)
    return b"data: %b\n\n" % orjson.dumps(body)
