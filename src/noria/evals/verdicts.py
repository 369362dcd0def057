"""What a judge's text says. Only what was asked for counts: a strict form, or else a lenient one,
and each verdict says which it was. A number somewhere in a sentence is no verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from noria.evals.arena.leaks import refuses

__all__ = ["STYLES", "Kind", "Style", "Verdict", "Winner", "both_orders", "parse_verdict"]

Kind = Literal["winner", "tie", "inconsistent", "invalid", "refusal", "score"]
Winner = Literal["a", "b", "tie"]
Style = Literal["pair-scores", "rating", "choice"]
STYLES: tuple[Style, ...] = ("pair-scores", "rating", "choice")

_NUMBER = r"\d{1,3}(?:\.\d{1,6})?"
_CHOICE = r"A\s*>>\s*B|A\s*>\s*B|A\s*=\s*B|B\s*>\s*A|B\s*>>\s*A|A|B|C"
_STRICT = {
    "rating": re.compile(rf"\[\[({_NUMBER})\]\]"),
    "choice": re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A|A|B|C)\]\]"),
}
# The same within one pair of brackets, with spaces or in small letters. It has to end its line, and
# the line has to be about a verdict: "[1]" after a sentence is a reference.
_BODY = {"rating": _NUMBER, "choice": _CHOICE}
_LENIENT = {
    style: re.compile(
        rf"^(?P<before>[^\[\]]{{0,200}}?)\[{{1,2}}\s*(?P<body>{body})\s*\]{{1,2}}\s*[.!]?$", re.I
    )
    for style, body in _BODY.items()
}
_ABOUT = re.compile(r"^\W*$|:\s*$|\b(?:rat(?:e|ed|ing)|scor\w+|verdict|grad\w+|choice)\b", re.I)
_MARKS = str.maketrans("", "", "*_`#>~\\")
_PAIR = re.compile(rf"({_NUMBER})(?:\s+|\s*,\s*)({_NUMBER})")
_WINNER: dict[str, Winner] = {
    "A": "a", "A>B": "a", "A>>B": "a", "B": "b", "B>A": "b", "B>>A": "b", "C": "tie", "A=B": "tie",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge decided."""

    kind: Kind
    winner: Winner | None = None
    score: float | None = None
    """Of the style `rating`."""
    scores: tuple[float, float] | None = None
    """Of the style `pair-scores`: those of a and b."""
    strict: bool = False
    """It was in exactly the form that was asked for."""
    strong: bool = False
    """Much better: `[[A>>B]]` or `[[B>>A]]`."""

    def swapped(self) -> Verdict:
        """The verdict as it is when a was shown as b, and b as a."""
        turned: dict[Winner | None, Winner] = {"a": "b", "b": "a", "tie": "tie"}
        scores = None if self.scores is None else (self.scores[1], self.scores[0])
        winner = turned.get(self.winner)
        return Verdict(self.kind, winner, self.score, scores, self.strict, self.strong)


_INVALID, _REFUSAL = Verdict("invalid"), Verdict("refusal")


def parse_verdict(text: str, style: Style, *, scale: tuple[float, float] = (0.0, 10.0)) -> Verdict:
    """The verdict in a judge's text; the last one counts.

    Args:
        text: what the judge wrote.
        style: `pair-scores` (`8 9` alone on the first line), `rating` (`[[7]]`) or `choice`
            (`[[A]]`, `[[B]]`, `[[C]]` for a tie, `[[A>>B]]`, `[[A>B]]`, `[[A=B]]`, `[[B>A]]`,
            `[[B>>A]]`).
        scale: the least and the greatest score. One beyond them is invalid.

    Raises:
        ValueError: there is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; it is one of {', '.join(STYLES)}")
    found = _pair(text) if style == "pair-scores" else _bracketed(text, style)
    if found is None:
        return _REFUSAL if text.strip() and refuses(text) else _INVALID
    numbers = found.scores or ((found.score,) if found.score is not None else ())
    if not all(scale[0] <= number <= scale[1] for number in numbers):
        return _INVALID
    return found


def both_orders(shown: Verdict, exchanged: Verdict) -> Verdict:
    """One verdict from two looks at a pair: as it is, and with the sides exchanged.

    `exchanged` is as the judge gave it, so its "a" is our b. A side wins that wins in both orders.
    Where the two differ the judge is inconsistent, which is not a tie.
    """
    back = exchanged.swapped()
    for known in (_REFUSAL, _INVALID):
        if known.kind in (shown.kind, back.kind):
            return known
    scores = None
    if shown.scores and back.scores:
        scores = (
            (shown.scores[0] + back.scores[0]) / 2, (shown.scores[1] + back.scores[1]) / 2
        )  # fmt: skip
    strict, strong = shown.strict and back.strict, shown.strong and back.strong
    if shown.winner != back.winner or shown.winner is None:
        return Verdict("inconsistent", scores=scores, strict=strict)
    return Verdict(shown.kind, shown.winner, None, scores, strict, strong)


def _bracketed(text: str, style: Literal["rating", "choice"]) -> Verdict | None:
    if strict := _STRICT[style].findall(text):
        return _verdict(strict[-1], style, strict=True)
    for line in reversed(text.splitlines()):
        found = _LENIENT[style].match(line.translate(_MARKS_OF[style]).strip())
        if found and _ABOUT.search(found["before"]):
            return _verdict(re.sub(r"\s", "", found["body"]).upper(), style, strict=False)
    return None


# ">" opens a quotation in markdown, but is part of a choice.
_MARKS_OF = {"rating": _MARKS, "choice": str.maketrans("", "", "*_`#~\\")}


def _verdict(body: str, style: Literal["rating", "choice"], *, strict: bool) -> Verdict:
    if style == "rating":
        return Verdict("score", score=float(body), strict=strict)
    winner = _WINNER[body]
    return Verdict(
        "tie" if winner == "tie" else "winner", winner, strict=strict, strong=">>" in body
    )


def _pair(text: str) -> Verdict | None:
    lines = text.strip().splitlines()
    if not lines:
        return None
    first = lines[0].strip()
    strict = _PAIR.fullmatch(first)
    found = strict or _PAIR.fullmatch(first.translate(_MARKS).strip("[]() \t."))
    if found is None:
        return None
    a, b = float(found[1]), float(found[2])
    winner: Winner = "a" if a > b else "b" if b > a else "tie"
    return Verdict(
        "tie" if winner == "tie" else "winner", winner, scores=(a, b), strict=strict is not None
    )
