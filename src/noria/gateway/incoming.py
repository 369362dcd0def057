"""One request of a lane as it was parsed, and what its head alone tells against it."""

from __future__ import annotations

from collections.abc import Iterable

from noria.errors import ApiError

__all__ = ["Incoming", "too_large"]


class Incoming:
    """One request as it was parsed."""

    __slots__ = ("_values", "body", "headers", "http_1_0", "keep_alive", "method", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._values: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.keep_alive = True
        self.http_1_0 = False

    def header(self, name: bytes) -> bytes | None:
        """The value of a header (its name in lower case), None where it is absent. Of one that is
        there more than once, the first."""
        return self._values.get(name)

    def head_without_upgrade(self) -> bytes:
        """The request line and the headers as they came, but for an offer to upgrade."""
        lines = [b"%b %b HTTP/1.%d" % (self.method, self.target, 0 if self.http_1_0 else 1)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def head_bytes(self) -> int:
        """How long the target and the headers are."""
        return len(self.target) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def content(self) -> bytes:
        """The whole body."""
        return self.body[0] if len(self.body) == 1 else b"".join(self.body)

    def take_head(self, version: str, most_body_bytes: int) -> ApiError | None:
        """The headers are complete. Tells why the request cannot be taken, if it cannot."""
        values = self._values = dict(reversed(self.headers))
        self.http_1_0 = version == "1.0"
        if not self.http_1_0 and version != "1.1":
            message = f"HTTP/{version} is not spoken here; use HTTP/1.1."
            return ApiError(400, "invalid_http", message)
        if self.method == b"CONNECT":
            return ApiError(501, "not_implemented", "noria is no proxy: no CONNECT.")
        length = values.get(b"content-length")
        if length is not None and int(length) > most_body_bytes:
            return too_large(most_body_bytes)
        coding = values.get(b"transfer-encoding")
        if coding is not None and (
            coding.strip().lower() != b"chunked" or self._repeats(b"transfer-encoding")
        ):
            message = "No transfer encoding but chunked is spoken here."
            return ApiError(501, "not_implemented", message)
        has_host = b"host" in values
        if not (has_host or self.http_1_0) or (has_host and self._repeats(b"host")):
            return ApiError(400, "invalid_host", "There must be one Host header.")
        return None

    def has_any(self, names: Iterable[bytes]) -> bool:
        """Whether one of these headers (their names in lower case) is there."""
        return not self._values.keys().isdisjoint(names)

    def _repeats(self, name: bytes) -> bool:
        if len(self._values) == len(self.headers):
            return False
        return [header[0] for header in self.headers].count(name) > 1


def too_large(most_bytes: int) -> ApiError:
    """A body that is too long."""
    return ApiError(413, "request_too_large", f"The request's body has over {most_bytes} bytes.")
