"""One request of a lane as it was parsed, and what its head alone tells against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Final

import httptools

from noria.config import Limits
from noria.errors import ApiError
from noria.headers import header_line

__all__ = ["HTTPRequest", "RequestLimits", "too_large"]

_KEYS: Final = (b"x-api-key", b"x-goog-api-key", b"api-key")
"""Where a key is sent that is no bearer token."""
_KEEPING: Final = frozenset((b"connection", b"proxy-connection"))
"""Where a client says whether the connection is to be kept."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What the door accepts, as `config.Limits` says it. They are read several times a request,
    and an attribute of pydantic's takes six times as long as one of these."""

    body_bytes: int
    header_bytes: int
    bytes_in_hand: int
    peer_bytes: int
    header_seconds: float
    body_seconds: float
    idle_seconds: float

    @classmethod
    def of(cls, limits: Limits) -> RequestLimits:
        """Copy them."""
        return cls(*(getattr(limits, field.name) for field in fields(cls)))


class HTTPRequest:
    """One request, made as soon as its head was parsed; its body follows."""

    __slots__ = (
        "_values", "body", "header", "headers", "held", "keep_alive", "method", "target",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        parser: httptools.HttpRequestParser,
    ) -> None:
        self.method = parser.get_method()
        self.target = target
        self.headers = headers
        """Their names in lower case."""
        values: dict[bytes, bytes] = {}
        for name, value in headers:
            values.setdefault(name, value)
        self._values = values
        self.header: Callable[[bytes], bytes | None] = values.get
        """Gives the value of a header (its name in lower case), None where it is absent. Of one
        that is there more than once, the first."""
        self.body: list[bytes] = []
        self.held = 0
        """Bytes that the reception counts for it until it is answered."""
        self.keep_alive = parser.should_keep_alive()
        # Only with 1.1 a connection is kept of which nothing is said. The parser is asked for the
        # version where that does not tell, since it puts a text together each time.
        unsaid = values.keys().isdisjoint(_KEEPING)
        self.version = "1.1" if unsaid and self.keep_alive else parser.get_http_version()

    def head_without_upgrade(self) -> bytes:
        """The request line and the headers as they came, but for an offer to upgrade."""
        lines = [b"%b %b HTTP/%b" % (self.method, self.target, self.version.encode())]
        lines += [header_line(*header) for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def head_bytes(self) -> int:
        """How long the target and the headers are."""
        return len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def content(self) -> bytes:
        """The whole body."""
        return self.body[0] if len(self.body) == 1 else b"".join(self.body)

    def objection(self, most_body_bytes: int) -> ApiError | None:
        """Why the request cannot be taken, as far as its head tells."""
        values = self._values
        repeats = len(values) < len(self.headers)
        if self.version not in ("1.1", "1.0"):
            message = f"HTTP/{self.version} is not spoken here; use HTTP/1.1."
            return ApiError(400, "invalid_http", message)
        if self.method == b"CONNECT":
            return ApiError(501, "not_implemented", "CONNECT is not supported.")
        length = values.get(b"content-length")
        if length is not None and int(length) > most_body_bytes:
            return too_large(most_body_bytes)
        coding = values.get(b"transfer-encoding")
        if coding is not None and (
            coding.strip().lower() != b"chunked"
            or (repeats and self._count(b"transfer-encoding") > 1)
        ):
            message = "No transfer encoding but chunked is spoken here."
            return ApiError(501, "not_implemented", message)
        if (repeats and self._count(b"host") > 1) or (
            b"host" not in values and self.version == "1.1"
        ):
            return ApiError(400, "invalid_host", "There must be one Host header.")
        return None

    def credential(self) -> bytes | None:
        """What says who is asking, as an `Authorization` header has it. Some clients send their
        key in `x-api-key` (Anthropic's), `x-goog-api-key` (Google's) or `api-key` (Azure's), and
        one in `x-noria-key` leaves the others to what is asked for."""
        values = self._values
        given = values.get(b"authorization")
        if b"x-noria-key" in values:
            return b"Bearer " + values[b"x-noria-key"]
        if given is None:
            for name in _KEYS:
                secret = values.get(name)
                if secret:
                    return b"Bearer " + secret
        return given

    def has_any(self, names: Iterable[bytes]) -> bool:
        """Whether one of these headers (their names in lower case) is there."""
        return not self._values.keys().isdisjoint(names)

    def _count(self, name: bytes) -> int:
        return [header[0] for header in self.headers].count(name)


def too_large(most_bytes: int) -> ApiError:
    """A body that is too long."""
    return ApiError(413, "request_too_large", f"The request's body has over {most_bytes} bytes.")
