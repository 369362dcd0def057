"""The words of a text as both databases index them: one rule for texts and for questions.

Neither the tokenizer of SQLite nor the parser of Postgres splits all scripts alike (one takes the
vowel signs of Devanagari for blanks, the other keeps `node.js` whole, neither finds words in
Chinese), so noria splits a text itself and gives them words of ASCII letters and digits:

- compatibility forms are what they stand for (NFKC: ligatures, full-width letters), and soft
  hyphens and joiners of zero width are nothing;
- Latin letters are without their accents;
- a word in another script is one word, its marks included, written as the hexadecimal digits of
  its characters;
- scripts without blanks between words (Chinese, Japanese, Thai, ...) and Korean, whose endings hang
  on the words, are indexed by their characters and by pairs of neighbours.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

__all__ = ["indexed_words", "words_of_question"]

_ASCII_WORD = re.compile(r"[A-Za-z0-9]+")
_UNSEEN = re.compile(r"[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# Han, kana, Hangul, Thai, Lao, Myanmar, Khmer
_WITHOUT_BLANKS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def indexed_words(text: str) -> str:
    """A text as it is given to the index of words. ASCII is given as it is but for what stands
    between words, which is blanks."""
    if text.isascii():
        return re.sub(r"[^A-Za-z0-9]+", " ", text)
    return " ".join(_words(text, single=True))


def words_of_question(text: str) -> list[str]:
    """The words to look for, in lower case, in their order, each once."""
    if text.isascii():
        return list(dict.fromkeys(_ASCII_WORD.findall(text.lower())))
    return list(dict.fromkeys(_words(text, single=False)))


def _words(text: str, *, single: bool) -> Iterator[str]:
    """The words of a text. `single`: characters that make pairs stand there alone as well."""
    plain = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
    for run in _runs(plain):
        if run.isascii():
            yield run
        elif _WITHOUT_BLANKS.match(run):
            clusters = _clusters(run)
            if single or len(clusters) == 1:
                yield from map(_written, clusters)
            for first, second in itertools.pairwise(clusters):
                yield _written(first + second)
        else:
            bare = "".join(
                letter for letter in unicodedata.normalize("NFKD", run) if not _is_mark(letter)
            )
            yield bare if bare.isascii() and bare else _written(run)


def _runs(text: str) -> Iterator[str]:
    """Letters, digits and marks that stand together and are written in one manner."""
    start = -1
    kind = False
    for at, letter in enumerate(text):
        inside = letter.isalnum() or (start >= 0 and _is_mark(letter))
        if start >= 0 and not inside:
            yield text[start:at]
            start = -1
        elif inside and not _is_mark(letter):
            pairs = letter > "\u0dff" and _WITHOUT_BLANKS.match(letter) is not None
            if start >= 0 and pairs is not kind:
                yield text[start:at]
                start = at
            elif start < 0:
                start = at
            kind = pairs
    if start >= 0:
        yield text[start:]


def _clusters(run: str) -> list[str]:
    """Characters, each with the marks that belong to it."""
    clusters: list[str] = []
    for letter in run:
        if clusters and _is_mark(letter):
            clusters[-1] += letter
        else:
            clusters.append(letter)
    return clusters


def _is_mark(letter: str) -> bool:
    return letter > "\u02ff" and unicodedata.category(letter)[0] == "M"


def _written(word: str) -> str:
    """A word of another script in ASCII. With a digit at its end no stemmer touches it."""
    return "u0" + word.encode("utf-16-be", "surrogatepass").hex() + "0"
