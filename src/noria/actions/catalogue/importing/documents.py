"""Documents from elsewhere, read within limits: JSON and YAML as the data of JSON."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from noria.errors import NoriaError

__all__ = ["MOST_BYTES", "is_address", "parse_document", "read_source"]

MOST_BYTES = 64 * 1024 * 1024
_MOST_VALUES = 5_000_000
"""In a document, with what its aliases stand for counted each time."""
_MOST_MERGED = 100_000
_DEPTH = 200
_FETCH_SECONDS = 30.0


def is_address(source: str) -> bool:
    """Whether a source is read from a server."""
    return source.startswith(("http://", "https://"))


def read_source(source: str, *, private: bool = True) -> bytes:
    """Read a file or an address.

    Args:
        source: a path, or `http(s)://...`. Redirects are not followed.
        private: whether an address may be one of this machine or of its network.

    Raises:
        NoriaError: it cannot be read, or is larger than 64 MiB.
    """
    if is_address(source):
        return _fetch(source, private)
    path = Path(source)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NoriaError(f"{source} is larger than 64 MiB.")
        return path.read_bytes()
    except OSError as failed:
        raise NoriaError(
            f"{source} cannot be read: {failed.strerror}.", "Name a file or an address."
        ) from None


def _fetch(address: str, private: bool) -> bytes:
    import httpx2

    host = urlsplit(address).hostname or ""
    if not private and not _is_public(host):
        raise NoriaError(
            f"{address} is an address of this machine or its network.",
            "Fetch the document yourself and add the file.",
        )
    data = bytearray()
    try:
        with (
            httpx2.Client(timeout=_FETCH_SECONDS, follow_redirects=False) as client,
            client.stream("GET", address) as response,
        ):
            if response.status_code != 200:
                raise NoriaError(f"{address}: the server answered {response.status_code}.")
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MOST_BYTES:
                    raise NoriaError(f"{address} is larger than 64 MiB.")
    except (httpx2.HTTPError, httpx2.InvalidURL) as failed:
        raise NoriaError(f"{address} cannot be read: {failed or type(failed).__name__}.") from None
    return bytes(data)


def _is_public(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(one[4][0]).is_global for one in found)


def parse_document(data: bytes, name: str) -> Any:
    """The data of a JSON or YAML document, with texts as keys.

    Aliases of YAML are shared and not copied; a document in which they stand for more than five
    million values, or that contains itself, is refused.

    Args:
        data: at most 64 MiB.
        name: of the document, for errors.

    Raises:
        NoriaError: it is neither, or it goes beyond a limit.
    """
    if len(data) > MOST_BYTES:
        raise NoriaError(f"{name} is larger than 64 MiB.")
    try:
        return orjson.loads(data)
    except ValueError as no_json:
        if data.lstrip()[:1] in (b"{", b"["):
            try:
                return _yaml(data, name)
            except NoriaError:
                raise NoriaError(f"{name} is no JSON: {no_json}.") from None
    return _yaml(data, name)


def _yaml(data: bytes, name: str) -> Any:
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[valid-type, misc]
        """Reads what JSON has, and counts what merge keys copy."""

        merged = 0

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            self.merged += len(node.value)
            if self.merged > _MOST_MERGED and b"<<" in data:
                raise NoriaError(f"{name}: its merge keys (<<) copy more than {_MOST_MERGED:,}.")

    # Dates stay texts: JSON has none.
    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }
    try:
        loader = Loader(data)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as broken:
        said = " ".join(str(broken).split())
        raise NoriaError(f"{name} is neither JSON nor YAML: {said[:300]}.") from None
    return _Plain(name).value(value, 0)


class _Plain:
    """Makes data of YAML data of JSON, each shared value once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def value(self, value: Any, depth: int) -> Any:
        made, size = self._sized(value, depth)
        del size
        return made

    def _sized(self, value: Any, depth: int) -> tuple[Any, int]:
        """A value, and how many values it comes to where nothing is shared."""
        if not isinstance(value, (dict, list)):
            if value is None or isinstance(value, (str, int, float)):
                return value, 1
            raise NoriaError(f"{self._name} holds a {type(value).__name__}, which JSON has not.")
        at = id(value)
        if at in self._made:
            return self._made[at]
        if at in self._open:
            raise NoriaError(f"{self._name} contains itself by an alias.")
        if depth > _DEPTH:
            raise NoriaError(f"{self._name} is nested deeper than {_DEPTH}.")
        self._open.add(at)
        made: Any
        if isinstance(value, dict):
            pairs = [(str(key), self._sized(one, depth + 1)) for key, one in value.items()]
            made, size = {key: one for key, (one, _) in pairs}, sum(n for _, (_, n) in pairs)
        else:
            items = [self._sized(one, depth + 1) for one in value]
            made, size = [one for one, _ in items], sum(n for _, n in items)
        size += 1
        if size > _MOST_VALUES:
            raise NoriaError(
                f"{self._name}: its aliases stand for more than {_MOST_VALUES:,} values."
            )
        self._open.discard(at)
        self._made[at] = made, size
        return made, size
