"""Which language a question is asked in."""

from __future__ import annotations

import logging
import re

__all__ = ["language_of"]

# Under so many letters any guess is as good as another.
_FEWEST_LETTERS = 20


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language; "" where there are too few words to tell.

    The model of the first call is loaded then, which takes a third of a second.
    """
    words = " ".join(re.findall(r"[^\W\d_]+", text))
    if len(words.replace(" ", "")) < _FEWEST_LETTERS:
        return ""
    logging.getLogger("py3langid").setLevel(logging.ERROR)
    from py3langid import classify

    return str(classify(words)[0])
