"""Who votes like nobody who reads: found as the votes come, with a bound on false alarms.

A person may prefer whatever it likes: no taste, however unlike the crowd's, is automation. What a
person does not do is bounded instead, and each bound has a bet against it:

- Sides are drawn by noria, each contestant left in half of all battles. So a person with any taste,
  who besides takes one side unseen in up to 30 % of battles, chooses what a rule on sides foretells
  with a chance of at most 65 %. Rules: always left, always right, the other side than last time.
- It calls at most 95 % of its battles a tie, and at most 90 % both bad.
- It prefers any one contestant to the others in at most 93 % of decided battles, or as often as the
  ratings, by the votes of others and half as sharp again, say it should.
- It votes faster than both answers can be read in at most 20 % of battles.

Each bet is a product of likelihood ratios whose expectation is at most 1 for every such person, and
their mean is an e-process: it ever reaches 1/alpha with a chance of at most alpha (Ville's
inequality), so it may be looked at after every vote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, log

__all__ = ["ALPHA", "Suspicion", "too_fast"]

ALPHA = 0.01
"""The chance with which somebody who keeps to the bounds is ever taken for an automatic voter."""

_ELO = log(10) / 400
# An automatic voter departs from its rule now and then.
_KEPT = 0.97
_SIDE, _TIE, _BAD, _FAVOURITE, _FAST = 0.65, 0.95, 0.90, 0.93, 0.20
_ALWAYS = 0.999
_SHARPEST = 1.5
_SIDES = ("model_a", "model_b")
_CHARACTERS_A_SECOND = 150.0
"""Over five times as fast as people read (Brysbaert 2019: 238 words a minute)."""


def too_fast(seconds: float, characters: int) -> bool:
    """Whether so much text cannot have been looked through in that time, both answers together."""
    return seconds < min(20.0, characters / _CHARACTERS_A_SECOND)


@dataclass(slots=True)
class Suspicion:
    """What one voter's votes so far say. Add them in the order in which they were given."""

    votes: int = 0
    evidence: float = 0.0
    """The natural logarithm of the e-value."""
    because: str | None = None
    """The rule that explains the votes best."""
    flagged_at: int | None = None
    """The number of the vote at which the bound was reached; None where it never was."""
    _last: str | None = None
    _bets: dict[str, float] = field(default_factory=dict)
    _favourites: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        model_a: str,
        model_b: str,
        winner: str,
        ratings: Mapping[str, float],
        *,
        fast: bool | None = None,
    ) -> None:
        """Weigh one more vote.

        Args:
            model_a: the left contestant.
            model_b: the right one.
            winner: one of the four ends of a battle.
            ratings: of all contestants, on the scale of Elo, from the votes of others.
            fast: whether it came faster than both answers can be read (`too_fast`); None where
                that is not known.
        """
        self.votes += 1
        self._bet("always tie", winner == "tie", _TIE, _ALWAYS)
        self._bet("always both bad", winner == "tie (bothbad)", _BAD, _ALWAYS)
        if fast is not None:
            self._bet("faster than anybody reads", fast, _FAST, _KEPT)
        if winner in _SIDES:
            self._prefer(model_a, model_b, winner, ratings)
        contestants = max(len(ratings), len(self._favourites), 2)
        friends = [*self._favourites.values()]
        friends += [0.0] * (contestants - len(friends))
        worth = {**self._bets, "one favourite": _mean_of_exponentials(friends)}
        self.because = max(worth, key=lambda name: worth[name])
        self.evidence = _mean_of_exponentials(list(worth.values()))
        if self.flagged_at is None and self.evidence >= -log(ALPHA):
            self.flagged_at = self.votes

    @property
    def flagged(self) -> bool:
        """Whether the bound was ever reached."""
        return self.flagged_at is not None

    @classmethod
    def of(cls, votes: Iterable[tuple[str, str, str]], ratings: Mapping[str, float]) -> Suspicion:
        """Weigh votes, each as (left, right, end), in their order."""
        suspicion = cls()
        for model_a, model_b, winner in votes:
            suspicion.add(model_a, model_b, winner, ratings)
        return suspicion

    def _prefer(
        self, model_a: str, model_b: str, winner: str, ratings: Mapping[str, float]
    ) -> None:
        """Take note of a preference: how likely was it at most for a person, and for each rule?"""
        for side in _SIDES:
            self._bet(f"always {side}", winner == side, _SIDE, _KEPT)
        if self._last is not None:
            self._bet("always the other side", winner != self._last, _SIDE, _KEPT)
        self._last = winner
        gap = _ELO * (ratings.get(model_a, 1000.0) - ratings.get(model_b, 1000.0))
        for name, ahead in ((model_a, gap), (model_b, -gap)):
            won = winner == ("model_a" if name == model_a else "model_b")
            most = max(_FAVOURITE, 1 / (1 + exp(-_SHARPEST * ahead)))
            worth = self._favourites.get(name, 0.0)
            if most < _ALWAYS:
                worth += log(_ALWAYS / most) if won else log((1 - _ALWAYS) / (1 - most))
            self._favourites[name] = worth

    def _bet(self, rule: str, kept: bool, most: float, always: float) -> None:
        """Bet on a rule that a person keeps to with a chance of at most `most`."""
        gain = log(always / most) if kept else log((1 - always) / (1 - most))
        self._bets[rule] = self._bets.get(rule, 0.0) + gain


def _mean_of_exponentials(logarithms: list[float]) -> float:
    """The logarithm of the mean of the numbers whose logarithms these are."""
    top = max(logarithms)
    return top + log(sum(exp(value - top) for value in logarithms) / len(logarithms))
