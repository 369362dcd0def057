"""The text of a file, whatever marks its bytes begin with."""

from __future__ import annotations

import codecs

from noria.retrieval.document import Unreadable

__all__ = ["decoded", "recoded"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNSEEN = "\ufeff\u200b\u2060"


def decoded(data: bytes) -> str:
    """A file's text: UTF-8, or what its byte order mark says.

    Raises:
        Unreadable: it is neither.
    """
    encoding = "utf-8"
    for mark, name in _MARKS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], name
            break
    try:
        return data.decode(encoding).lstrip(_UNSEEN)
    except UnicodeDecodeError as broken:
        raise Unreadable(f"it is not UTF-8: byte {broken.start:,} cannot be read") from None


def recoded(data: bytes, charset: str | None) -> bytes:
    """A text that a server sent in another character set, in UTF-8 with its mark.

    Args:
        data: what it sent.
        charset: what its header says; None where it says nothing.

    Raises:
        Unreadable: the text is not in that character set.
    """
    if any(data.startswith(mark) for mark, _ in _MARKS):
        return data
    try:
        codec = codecs.lookup(charset) if charset else None
    except LookupError:
        codec = None
    if codec is None or codec.name == "utf-8" or not getattr(codec, "_is_text_encoding", True):
        return data
    try:
        return codecs.BOM_UTF8 + data.decode(codec.name).encode()
    except UnicodeError:
        raise Unreadable(f"it is not in {charset}, as its server says") from None
