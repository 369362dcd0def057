"""Splitting a text into passages: by its structure first, then by tokens.

A passage is a stretch of the text, unchanged. Passages never cross a heading, unless what stands
under it is only a few words; they end between blocks (paragraphs, lists, fenced code) where they
can, else between sentences or lines, else between words. Within a section each begins with the end
of the one before, so that what lies across a cut is found all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from noria.errors import ConfigError
from noria.retrieval.search.tokens import PIECES, estimate_tokens

__all__ = ["Chunking", "Passage", "split"]


_OVERLAP = 32


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are split.

    Raises:
        ConfigError: the overlap is not less than half of the passage.
    """

    tokens: int = 256
    """The most tokens of a passage (an estimate)."""
    overlap: int = _OVERLAP
    """How many of them may repeat the end of the passage before."""

    @classmethod
    def of(cls, given: object) -> Chunking:
        """A chunking, or the most tokens of a passage.

        Raises:
            ConfigError: it is neither.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, int) or isinstance(given, bool):
            raise ConfigError(f"chunk: {given!r} is neither a number of tokens nor a Chunking.")
        return cls(given, min(_OVERLAP, given // 8))

    def __post_init__(self) -> None:
        if not 16 <= self.tokens <= 8192:
            raise ConfigError(f"chunk: {self.tokens} tokens; use between 16 and 8192.")
        if not 0 <= self.overlap <= self.tokens // 2:
            raise ConfigError(
                f"chunk: an overlap of {self.overlap} tokens; use between 0 and half of "
                f"the passage's {self.tokens}."
            )


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a text."""

    start: int
    end: int
    text: str
    headings: tuple[str, ...]
    """The headings that it stands under, the widest first."""


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    end: int
    headings: tuple[str, ...]


def split(text: str, chunking: Chunking) -> list[Passage]:
    """The passages of a text, in order. Every character but white space is in at least one."""
    passages = []
    for section in _merged(text, list(_sections(text)), chunking.tokens // 8):
        for start, end in _stretches(text, section, chunking):
            kept = text[start:end]
            begin = start + len(kept) - len(kept.lstrip())
            kept = kept.strip()
            if kept:
                passages.append(Passage(begin, begin + len(kept), kept, section.headings))
    return passages


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Each line as its start, its end (with the line break), and whether it is fenced code."""
    fence = ""
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop + 1
        mark = _FENCE.match(text, start, stop)
        fenced = bool(fence) or mark is not None
        if mark is not None:
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not text[mark.end() : stop].strip():
                fence = ""
        yield start, stop, fenced
        start = stop


def _sections(text: str) -> Iterator[_Section]:
    """The text cut before each heading."""
    above: list[tuple[int, str]] = []
    begin = 0
    for start, stop, fenced in _lines(text, 0, len(text)):
        heading = None if fenced else _HEADING.match(text[start:stop].rstrip("\r\n"))
        if heading is None:
            continue
        if start > begin:
            yield _Section(begin, start, tuple(title for _, title in above))
        begin = start
        level = len(heading[1])
        above = [one for one in above if one[0] < level]
        above.append((level, heading[2]))
    yield _Section(begin, len(text), tuple(title for _, title in above))


def _merged(text: str, sections: list[_Section], few: int) -> Iterator[_Section]:
    """Sections of only a few tokens put together with what follows them."""
    start: int | None = None
    headings: tuple[str, ...] = ()
    for number, section in enumerate(sections):
        if start is None:
            start, headings = section.start, section.headings
        else:
            headings = _common(headings, section.headings)
        last = number == len(sections) - 1
        if last or estimate_tokens(text[start : section.end]) > few:
            yield _Section(start, section.end, headings)
            start = None


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The headings that both stand under."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def _stretches(text: str, section: _Section, chunking: Chunking) -> Iterator[tuple[int, int]]:
    """A section in stretches of at most the tokens that are wanted."""
    body = chunking.tokens - chunking.overlap
    start = end = section.start
    size = 0
    previous: int | None = None
    for unit_start, unit_end in _units(text, section.start, section.end, body):
        tokens = estimate_tokens(text[unit_start:unit_end])
        if size and size + tokens > body:
            yield _overlapped(text, previous, start, chunking.overlap), end
            previous, start, size = start, end, 0
        size += tokens
        end = unit_end
    if end > start:
        yield _overlapped(text, previous, start, chunking.overlap), end


def _overlapped(text: str, previous: int | None, start: int, overlap: int) -> int:
    """Where a stretch begins that repeats the end of the one before, which began at `previous`."""
    if previous is None or not overlap:
        return start
    pieces = list(PIECES.finditer(text, previous, start))[-overlap - 1 :]
    # without its first piece, so that no passage holds the whole of the one before
    earliest = pieces[0].end() if pieces else start
    for boundary in (_SENTENCE_END, _WORD_END):
        for match in boundary.finditer(text, earliest, start):
            if match.end() < start:
                return match.end()
    return start


def _units(text: str, start: int, end: int, most: int, level: int = 0) -> Iterator[tuple[int, int]]:
    """A stretch, cut as little as it takes for each unit to have at most so many tokens."""
    if estimate_tokens(text[start:end]) <= most:
        yield start, end
        return
    for one, other in _CUTS[level](text, start, end, most):
        yield from _units(text, one, other, most, level + 1)


# Each of these gives stretches that follow each other without a gap.


def _blocks(text: str, start: int, end: int, _: int) -> Iterator[tuple[int, int]]:
    """Cut after blank lines that are not in fenced code."""
    begin = start
    blank = False
    for line, _stop, fenced in _lines(text, start, end):
        empty = not fenced and not text[line:_stop].strip()
        if blank and not empty and line > begin:
            yield begin, line
            begin = line
        blank = empty
    yield begin, end


def _sentences(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut prose after sentences, and lists, tables and code after lines."""
    by_lines = _BY_LINES.match(text, start, end)
    yield from _after(_LINE_END if by_lines else _SENTENCE_END, text, start, end)


def _words(text: str, start: int, end: int, _: int) -> Iterator[tuple[int, int]]:
    yield from _after(_WORD_END, text, start, end)


def _pieces(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut what has no better place to be cut at."""
    begin = start
    for count, piece in enumerate(PIECES.finditer(text, start, end)):
        if count and count % most == 0:
            yield begin, piece.start()
            begin = piece.start()
    yield begin, end


def _after(boundary: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for match in boundary.finditer(text, start, end):
        if begin < match.end() < end:
            yield begin, match.end()
            begin = match.end()
    yield begin, end


_SENTENCE_END = re.compile(r"(?<=[.!?:;…])\s+|(?<=[。！？])")
_WORD_END = re.compile(r"\s+")
_LINE_END = re.compile(r"\n")
_BY_LINES = re.compile(r" {0,3}(?:`{3}|~{3}|\||[-*+] |\d+[.)] )|    |\t")
_CUTS = (_blocks, _sentences, _words, _pieces)
