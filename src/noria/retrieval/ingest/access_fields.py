"""Fields that say who may read a document: what is read, and what only looks like it.

Two names are read, `label` and `grants`, in any case and with blanks around them. The one rule for
every container (front matter, CSV, JSON, HTML, Word, PDF, plain text) is: **where something looks
like an access field and is not read, the document is hidden.** Somebody meant to keep it back, and
noria did not understand how.

What looks like an access field is decided here alone:

- a *name* that is `label` or `grants` once invisible characters, punctuation, plurals, look-alike
  letters and single slips of the keyboard are taken away, or that other systems use for the same
  (`classification`, `sensitivity`, `acl`, ...);
- a *line* near the head of a text, `name: value`, with such a name: any value inside a block
  between fences, elsewhere only a value that can be one (`Label: Motown Records` is prose).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from noria.retrieval.document import Unreadable

__all__ = ["access_fields", "plain_name", "refuse_unread", "resembles_access", "unread_line"]

_READ = ("label", "grants")
_OTHER_NAMES = """
access accesscontrol accessgroup accessgroups accesslabel accesslevel accesslist acl acls
allowedgroups allowedroles clearance classification classifications confidentiality
confidentialitylevel datalabel documentlabel groupsallowed mipslabel permission permissions
protectivemarking securityclassification securitylabel securitylevel sensitivity
sensitivitylabel sensitivitylevel
"""
_ELSEWHERE = frozenset(_OTHER_NAMES.split())
_MOST_DEEP = 16
_HEAD_LINES = 64
"""Lines with something in them, from the first on, that are looked at."""

_LOOK_ALIKE = str.maketrans(
    {
        **dict(zip("аесӏіјорѕтхувгпո", "aeclijopstxybrnn", strict=True)),
        **dict(zip("αεικνοπρτυ", "aeiknoprtu", strict=True)),
        **dict(zip("ɑɡɩӀ|!0134$@5", "agiliioleasas", strict=True)),
    }
)
"""Letters and signs that look like Latin letters, as far as the names need them."""


def plain_name(name: object) -> str:
    """A field's name as it is read: without blanks around it, in lower case."""
    return str(name).strip().lower()


@lru_cache(maxsize=4096)
def resembles_access(name: str) -> bool:
    """Whether a name is one of the two that are read, or could have been meant for one."""
    bare = _bare(name)
    if bare in _ELSEWHERE or bare.startswith("msiplabel"):
        return True
    return any(_near(bare, known) or _near(bare.rstrip("s"), known) for known in _READ)


def access_fields(given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The fields of a row or of front matter by their plain names, once it is sure that none that
    looks like an access field goes unread.

    Args:
        given: the fields as they stand there.
        where: what they belong to, for the message, such as `its front matter`.

    Raises:
        Unreadable: two of them are one name, or one looks like an access field.
    """
    named: dict[str, Any] = {}
    for name, value in given.items():
        plain = plain_name(name)
        if plain in named and (plain in _READ or plain in ("id", "text", "title", "source")):
            raise Unreadable(f"{where} says {plain} twice")
        named[plain] = value
    for name, value in given.items():
        if plain_name(name) not in _READ:
            refuse_unread(name, value, where)
    return named


def refuse_unread(name: object, value: Any, where: str) -> None:
    """Refuse a field that looks like an access field and is not one that is read, or has one
    inside.

    Raises:
        Unreadable: it does.
    """
    found = _inside({name: value}, _MOST_DEEP)
    if found is not None:
        raise Unreadable(
            f"{where} has {found!r}, which looks like an access field and is not read; "
            "write label or grants"
        )


def unread_line(text: str) -> str | None:
    """The first line near the head of a text that looks like an access field.

    Args:
        text: what is left after front matter was read.
    """
    fenced = code = False
    before = ""
    for number, line in enumerate(_head(text)):
        if _CODE.match(line):
            if number == 0 or fenced:
                fenced = not fenced
            else:
                code = not code  # an example in the text
        elif code:
            continue
        elif _FENCE.match(line):
            underlines = bool(before) and not fenced and not _COMMENT.match(before)
            fenced = not fenced and number < _FENCE_WITHIN and not underlines
        if not _CODE.match(line) and _says_access(line, any_value=fenced):
            return line.strip()[:80]
        before = line
    return None


_INVISIBLE = re.compile(
    r"[\s\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]+"
)
_COMMENT = re.compile(r"\s*(?:#|//|<!--|%|;|--)")
_FENCE_WITHIN = 8
"""A fence below so many lines is a rule between paragraphs."""
_DASHES = "-‐‑‒–—―−﹣－"
_FENCE = re.compile(rf"\s*(?:[{_DASHES}]{{2,}}|[+=;~*_#%]{{3,}}|<!--|\{{\s*$|/\*)")
_CODE = re.compile(r"\s*(?:`{3,}|~{3,})")
_PAIR = re.compile(
    r"(?P<name>[^\s:=：＝|,;.!?()\[\]<>{}][^:=：＝|.!?()\[\]<>{}]{0,40}?)[\"'`*_]*\s*"
    r"(?:[:=：＝]|::|=>|\|)\s*(?P<value>.*)"
)
_BEFORE = re.compile(rf"^[{_DASHES}\s>#/*;%!<+|\"'`:.{{\[@\\]+")
_VALUE = re.compile(
    r"[\s\"'`*\[({-]*(?:public|internal|confidential|restricted|secret|top[ _-]?secret|private|"
    r"sensitive|classified|strictly|highly|intern|vertraulich|confidentiel|geheim)\b",
    re.IGNORECASE,
)


def _head(text: str) -> Iterator[str]:
    """Lines of a text's head that have something in them, without marks that nobody sees."""
    seen = 0
    for line in re.split(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text[:65536]):
        if not _INVISIBLE.sub("", line):
            continue
        seen += 1
        if seen > _HEAD_LINES:
            return
        yield line


def _says_access(line: str, *, any_value: bool) -> bool:
    """Whether a line is `name: value` with an access field's name; several may stand in it."""
    for part in re.split(rf"(?<=\s)[{_DASHES}+]{{3,}}(?=\s)|[;,]\s", line):
        rest = _BEFORE.sub("", _INVISIBLE.sub(" ", part)).strip()
        pair = _PAIR.match(rest)
        if pair is None or len(rest) > 400:
            continue
        if not resembles_access(pair["name"].strip(" \"'`*_-")):
            continue
        grants = _near(_bare(pair["name"]).rstrip("s"), "grant")
        if any_value or _VALUE.match(pair["value"]) or (grants and pair["value"].strip()):
            return True
    return False


def _inside(value: Any, depth: int) -> str | None:
    """The name of an access field in nested mappings and lists; too deep counts as one."""
    if not isinstance(value, (Mapping, list, tuple)):
        return None
    if depth == 0:
        return "nesting of over 16 levels"
    if isinstance(value, Mapping):
        for name, one in value.items():
            if resembles_access(str(name)):
                return str(name)
            found = _inside(one, depth - 1)
            if found is not None:
                return found
        return None
    members: Iterable[Any] = value
    return next((found for one in members if (found := _inside(one, depth - 1)) is not None), None)


def _bare(name: str) -> str:
    """A name without what does not change how it is read by a person."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(_LOOK_ALIKE)
    return "".join(letter for letter in plain if letter.isalpha())


def _near(name: str, known: str) -> bool:
    """Whether a name is a known one, or one letter too many, too few or changed places off it."""
    if name == known or name == known.rstrip("s"):
        return True
    if abs(len(name) - len(known)) > 1 or len(name) < 4:
        return False
    if len(name) == len(known):
        differs = [i for i, (a, b) in enumerate(zip(name, known, strict=True)) if a != b]
        return (
            len(differs) == 2
            and differs[1] == differs[0] + 1
            and name[differs[0]] == known[differs[1]]
            and name[differs[1]] == known[differs[0]]
        )
    short, long = sorted((name, known), key=len)
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
