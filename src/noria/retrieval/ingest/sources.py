"""Where documents come from: files that a glob matches, addresses, a function."""

from __future__ import annotations

import asyncio
import glob
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from noria.errors import NoriaError
from noria.plugins import registry
from noria.retrieval.document import Original, Unreadable
from noria.retrieval.ingest.text import recoded

__all__ = ["Entry", "described", "entries"]

_MOST_BYTES = 64 * 1024 * 1024
_FETCHERS = 8
_FETCH_SECONDS = 30.0
_SUFFIX_OF = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "text/csv": ".csv",
    "application/pdf": ".pdf",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}


_TEXTS = frozenset({".html", ".htm", ".md", ".markdown", ".txt", ".rst", ".csv", ".tsv", ".jsonl"})


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that a source offers: bytes for a loader, a document, or why there is neither."""

    id: str
    suffix: str = ""
    data: bytes | None = None
    original: Original | None = None
    broken: str | None = None
    away: bool = False
    """It could not be reached now: what was known of it stays."""


def described(source: object) -> str:
    """A source in words, for lists of indexes."""
    if callable(source):
        return f"{getattr(source, '__qualname__', type(source).__name__)}()"
    if isinstance(source, (str, Path)):
        return str(source)
    assert isinstance(source, Sequence)
    return ", ".join(str(one) for one in source)


def entries(source: object, root: Path) -> Iterator[Entry]:
    """Everything that a source offers. Blocks.

    Raises:
        NoriaError: the source itself cannot be listed; nothing may be taken for gone.
    """
    if callable(source):
        yield from _from_function(source)
        return
    several: Iterable[Any] = [source] if isinstance(source, (str, Path)) else source  # type: ignore[assignment]
    addresses: list[str] = []
    seen: set[str] = set()
    for one in several:
        if isinstance(one, str) and one.startswith(("http://", "https://")):
            addresses.append(one)
            continue
        for entry in _from_glob(str(one), root):
            if entry.id not in seen:
                seen.add(entry.id)
                yield entry
    yield from _from_addresses(list(dict.fromkeys(addresses)))


def _from_glob(pattern: str, root: Path) -> Iterator[Entry]:
    """The files that a pattern matches. A link that leads out of the pattern's own folder is not
    followed, and a file without a loader is left out."""
    whole = os.path.join(root, pattern)
    base = Path(whole)
    while glob.has_magic(str(base)):
        base = base.parent
    if not base.exists():
        raise NoriaError(
            f"source: there is nothing at {base}.", f"Give a glob inside {root}, or a whole path."
        )
    if base.is_dir() and whole == str(base):
        whole = os.path.join(base, "**", "*")
    folder = (base if base.is_dir() else base.parent).resolve()
    loaders = registry().loaders
    for found in sorted(glob.iglob(whole, recursive=True)):
        path = Path(found)
        if path.suffix.lower() not in loaders or path.is_dir():
            continue
        name = _name(path, root)
        resolved = path.resolve()
        if not resolved.is_relative_to(folder):
            yield Entry(name, broken=f"it is a link that leads out of {folder}")
            continue
        try:
            if resolved.stat().st_size > _MOST_BYTES:
                yield Entry(name, broken="it is larger than 64 MiB")
                continue
            yield Entry(name, path.suffix.lower(), resolved.read_bytes())
        except FileNotFoundError:
            if path.is_symlink():
                yield Entry(name, broken="it is a link that leads nowhere")
        except OSError as unreadable:
            yield Entry(name, broken=f"it cannot be opened: {unreadable.strerror}", away=True)


def _name(path: Path, root: Path) -> str:
    """What a file is called: by its path from the root where it is inside."""
    path = Path(os.path.normpath(path))
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def _from_addresses(addresses: Sequence[str]) -> Iterator[Entry]:
    if not addresses:
        return
    import httpx2

    with (
        httpx2.Client(timeout=_FETCH_SECONDS, follow_redirects=True) as client,
        ThreadPoolExecutor(_FETCHERS) as pool,
    ):
        yield from pool.map(lambda address: _fetch(client, address), addresses)


def _fetch(client: Any, address: str) -> Entry:
    import httpx2

    try:
        with client.stream("GET", address) as response:
            if response.status_code in (404, 410):
                return Entry(address, broken=f"the server answered {response.status_code}")
            if response.status_code != 200:
                return Entry(
                    address, broken=f"the server answered {response.status_code}", away=True
                )
            data = bytearray()
            for piece in response.iter_bytes():
                data += piece
                if len(data) > _MOST_BYTES:
                    return Entry(address, broken="it is larger than 64 MiB")
            media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            charset = response.charset_encoding
    except (httpx2.HTTPError, httpx2.InvalidURL) as failed:
        return Entry(address, broken=f"{failed or type(failed).__name__}", away=True)
    named = PurePosixPath(urlsplit(address).path).suffix.lower()
    suffix = named if named in registry().loaders else _SUFFIX_OF.get(media, named)
    if media in _SUFFIX_OF and media != "text/plain":
        suffix = _SUFFIX_OF[media]
    if suffix not in registry().loaders:
        return Entry(address, broken=f"nothing reads {media or 'a file without a type'}")
    try:
        return Entry(address, suffix, recoded(bytes(data), charset if suffix in _TEXTS else None))
    except Unreadable as wrong:
        return Entry(address, broken=str(wrong))


def _from_function(source: Callable[[], Any]) -> Iterator[Entry]:
    try:
        given = source()
        if inspect.isawaitable(given) or hasattr(given, "__aiter__"):
            given = asyncio.run(_gathered(given))
        for number, one in enumerate(given, 1):
            try:
                original = Original.read(one)
            except Unreadable as wrong:
                identity = one.get("id") if isinstance(one, dict) else None
                yield Entry(str(identity or f"#{number}"), broken=str(wrong))
                continue
            yield Entry(original.id, original=original)
    except NoriaError:
        raise
    except Exception as failed:
        raise NoriaError(
            f"source: {described(source)} failed: {type(failed).__name__}: {failed}",
            "Nothing was taken out of the index; correct the function and index again.",
        ) from failed


async def _gathered(given: Any) -> list[Any]:
    if inspect.isawaitable(given):
        given = await given
    if isinstance(given, AsyncIterator):
        return [one async for one in given]
    return list(given)
