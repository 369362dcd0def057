"""The words of a text, in every script that people write in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.words import indexed_words, words_of_question


def finds(text: str, question: str) -> bool:
    asked = words_of_question(question)
    return bool(asked) and set(asked) <= set(indexed_words(text).lower().split())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The o\ufb03ce \ufb02oor", "office"),
        ("soft\u00adhyphen", "softhyphen"),
        ("zero\u200bwidth", "zerowidth"),
        ("nb\u00a0space", "space"),
        ("\uff26\uff35\uff2c\uff2c", "full"),
        ("Stra\u00dfe", "strasse"),
        ("caf\u00e9 na\u00efve", "cafe"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u041c\u043e\u0441\u043a\u0432\u0430", "\u043c\u043e\u0441\u043a\u0432\u0430"),
        ("\u0915\u0930\u094d\u092e\u091a\u093e\u0930\u0940 \u091b\u0941\u091f\u094d\u091f\u0940",
         "\u091b\u0941\u091f\u094d\u091f\u0940"),
        ("\u6771\u4eac\u90fd\u306b\u884c\u304f", "\u6771\u4eac"),
        ("\u6771\u4eac\u90fd\u306b\u884c\u304f", "\u884c"),
        ("\uc11c\uc6b8\uc5d0\uc11c", "\uc11c\uc6b8"),
        ("\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0e44\u0e17\u0e22"),
        ("abc\u65e5\u672cdef", "abc"),
        ("node.js v1.2.3", "node.js"),
        ("ann@example.com", "example"),
        ("-42", "42"),
        ("snake_case", "case"),
    ],
)  # fmt: skip
def test_a_word_is_found(text: str, question: str) -> None:
    assert finds(text, question)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("\u0915\u0930\u094d\u092e\u091a\u093e\u0930\u0940", "\u0915\u0930"),  # a part of a word
        ("\u0926\u093f\u0928", "\u0926\u093e\u0928"),  # other vowel signs
        ("\u6771\u4eac\u90fd", "\u4eac\u6771"),
        ("office", "off"),
    ],
)
def test_another_word_is_not(text: str, question: str) -> None:
    assert not finds(text, question)


@given(st.text())
def test_every_text_finds_itself(text: str) -> None:
    assert indexed_words(text).isascii()
    assert set(words_of_question(text)) <= set(indexed_words(text).lower().split())
