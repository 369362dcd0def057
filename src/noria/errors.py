"""How noria fails. Every error says what happened, to what, and what to do next.

NoriaError                  expected: shown as a message, without a traceback
├── ConfigError             a setting cannot be used (names file, line and key)
├── HomeBusy                another process holds this home or port
├── WeightsError            a model's weights cannot be had or are damaged
├── EngineError             a local engine cannot start or keeps dying
├── StoreUnavailable        the database cannot be reached now
├── NotFound                no such key, trace, model, ...
├── RealRequestForbidden    a test tried to reach a real provider
├── AppError                an application's file cannot be used (names file and line)
├── AnswerError             a model did not answer in the form that was asked for
└── ApiError                a refusal or failure that a caller of the API sees
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AnswerError",
    "ApiError",
    "AppError",
    "ConfigError",
    "EngineError",
    "HomeBusy",
    "NoriaError",
    "NotFound",
    "RealRequestForbidden",
    "StoreUnavailable",
    "WeightsError",
    "internal_error",
]


class NoriaError(Exception):
    """Something expected went wrong. `remedy` is what to type or change next."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class ConfigError(NoriaError):
    """A setting cannot be used."""


class HomeBusy(NoriaError):
    """Another process holds this home or port."""


class WeightsError(NoriaError):
    """A model's weights cannot be had or are damaged."""


class EngineError(NoriaError):
    """A local engine cannot start or keeps dying."""


class StoreUnavailable(NoriaError):
    """The database cannot be reached now."""


class NotFound(NoriaError):
    """There is no such thing."""


class RealRequestForbidden(NoriaError):
    """A test tried to reach a real provider."""


class AppError(NoriaError):
    """An application's file cannot be used."""


class AnswerError(NoriaError):
    """A model did not answer in the form that was asked for, even when it was told what was wrong.

    `reply` is what it said last.
    """

    def __init__(self, message: str, remedy: str | None = None, *, reply: str = "") -> None:
        super().__init__(message, remedy)
        self.reply = reply


class ApiError(NoriaError):
    """A refusal or failure that a caller of the API sees, in OpenAI's shape.

    `status` is the HTTP status, `code` a stable machine-readable reason, `param` the name of
    the offending field, `retry_after` whole seconds after which the same call may fit.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def type(self) -> str:
        """OpenAI's family of the error, which follows from the status."""
        if self.code.startswith("budget") or self.code == "insufficient_quota":
            return "insufficient_quota"
        match self.status:
            case 401:
                return "authentication_error"
            case 403:
                return "permission_error"
            case 429:
                return "rate_limit_error"
            case status if status >= 500:
                return "server_error"
            case _:
                return "invalid_request_error"

    @property
    def lasting(self) -> bool:
        """Whether asking the same again now is of no use: it is refused for good, or noria has
        asked as often as that may help."""
        if self.code in _LASTING:
            return True
        return self.status < 500 and self.status not in (408, 409, 425, 429)

    def headers(self) -> list[tuple[str, str]]:
        """What tells a client whether, and when, to ask again."""
        found = []
        after = self.retry_after
        if after is None and self.lasting and (self.status == 429 or self.status >= 500):
            after = _LATER.get(self.code, _SOON_SECONDS)
        if after is not None:
            found.append(("retry-after", str(after)))
        if self.lasting:
            found.append(("x-should-retry", "false"))
        return found

    def body(self) -> dict[str, Any]:
        """The JSON object that is sent as the response body."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def internal_error() -> ApiError:
    """Make the failure that a caller sees where noria itself has a bug; the log has the details."""
    return ApiError(500, "internal_error", "Internal server error; see the server log.")


_SOON_SECONDS = 30
_LATER = dict.fromkeys(
    (
        "budget_exhausted", "insufficient_quota", "provider_key_missing", "real_request_forbidden",
        "upstream_credentials",
    ),
    3600,
)  # fmt: skip
"""Seconds after which it may be looked at again what only a person can change."""
_LASTING = frozenset(
    (
        *_LATER, "upstream_error", "upstream_malformed", "upstream_rate_limited",
        "upstream_refused", "upstream_reset", "upstream_timeout", "upstream_too_large",
        "unusable_answer",
    )
)  # fmt: skip
