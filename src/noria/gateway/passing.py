"""What a caller's own headers say to a provider that speaks the caller's dialect."""

from __future__ import annotations

from typing import Final, NamedTuple

from noria.headers import header_line
from noria.http.request import HTTPRequest
from noria.models import Upstream

__all__ = ["DEFAULT_LINES", "NOTHING", "Passing", "without_login"]

_PASSED: Final = (b"anthropic-", b"openai-beta", b"x-goog-api-client", b"x-codex-", b"originator",
                  b"session-id", b"thread-id", b"x-openai-")  # fmt: skip
"""How the names of headers begin that are the provider's to understand."""
_LOGIN: Final = (b"authorization", b"x-api-key", b"x-goog-api-key", b"chatgpt-account-id")
"""Where a caller shows the login of its own at the provider."""
DEFAULT_LINES: Final = {"messages": b"anthropic-version: 2023-06-01\r\n"}
"""What a wire wants said where the caller does not say it, each line with its end."""


class Passing(NamedTuple):
    """Headers of a caller that go to a provider of the same dialect."""

    lines: bytes = b""
    """They, each line with its end."""
    login: bool = False
    """Whether the caller's own login is among them, which stands in for noria's key."""
    query: bytes = b""
    """What the path is followed by, such as `?beta=true`."""

    @classmethod
    def of(cls, incoming: HTTPRequest) -> Passing:
        """Read it from a request's head. A login is passed on only beside `x-noria-key`, with
        which the caller says who it is to noria."""
        login = incoming.header(b"x-noria-key") is not None
        lines, shown = [], False
        for name, value in incoming.headers:
            if name.startswith(_PASSED):
                lines.append(header_line(name, value))
            elif login and name in _LOGIN:
                lines.append(header_line(name, value))
                shown = True
        _, mark, query = incoming.target.partition(b"?")
        kept = [one for one in query.split(b"&") if one and not one.startswith(b"key=")]
        return cls(
            b"".join(line + b"\r\n" for line in lines),
            shown,
            mark + b"&".join(kept) if kept else b"",
        )


def without_login(upstream: Upstream) -> Upstream:
    """A server, without noria's own key for it."""
    kept = tuple(header for header in upstream.headers if header[0].lower() not in _LOGIN)
    return upstream._replace(headers=kept)


NOTHING: Final = Passing()
