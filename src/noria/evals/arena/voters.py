"""Who votes like nobody who reads: found as the votes come, with a bound on false alarms.

Each vote is weighed by how much more likely it is from some automatic voter than from a person. A
person is taken to prefer by the ratings (Bradley-Terry), more or less sharply, with an own habit of
calling ties. The automatic voters are: always a tie, always both bad, always the same side, the
toss of a coin, against the ratings, and always for one favourite. The mean of the likelihood
ratios, each against the person who explains the votes best, is an e-process: for a voter who is one
of these persons it ever reaches 1/alpha with a chance of at most alpha (Ville's inequality; the
maximum in the denominator is the universal inference of Wasserman, Ramdas and Balakrishnan 2020).
So it may be looked at after every vote.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, log

__all__ = ["ALPHA", "Suspicion"]

ALPHA = 0.01
"""The chance with which somebody who reads is ever taken for an automatic voter."""

_ELO = log(10) / 400
# How sharply people follow the ratings. Zero is not among them: that is the coin.
_SHARPNESS = (0.75, 1.0, 1.5)
# However undecided, a person prefers one answer at least so often.
_LEAST_DECIDED = 0.3
# An automatic voter departs from its rule now and then.
_SLIP = 0.05
_SIDES = ("model_a", "model_b")
_UNDECIDED = ("tie", "tie (bothbad)")


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
    _ends: Counter[str] = field(default_factory=Counter)
    # Log-likelihoods of the preferences: of persons by sharpness, of rules, of favourites.
    _persons: dict[float, float] = field(default_factory=lambda: dict.fromkeys(_SHARPNESS, 0.0))
    _rules: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _favourites: dict[str, float] = field(default_factory=dict)

    def add(self, model_a: str, model_b: str, winner: str, ratings: Mapping[str, float]) -> None:
        """Weigh one more vote.

        Args:
            model_a: the left contestant.
            model_b: the right one.
            winner: one of the four ends of a battle.
            ratings: of all contestants, on the scale of Elo, from the votes of others.
        """
        self.votes += 1
        self._ends[winner] += 1
        if winner in _SIDES:
            self._prefer(model_a, model_b, winner, ratings)
        self.because, self.evidence = self._weigh(max(len(ratings), len(self._favourites), 1))
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
        """Take note of a preference: how likely was it for each person and each rule?"""
        gap = _ELO * (ratings.get(model_a, 1000.0) - ratings.get(model_b, 1000.0))
        won, lost = (model_a, model_b) if winner == "model_a" else (model_b, model_a)
        lead = gap if winner == "model_a" else -gap
        for sharpness in self._persons:
            self._persons[sharpness] -= log(1 + exp(-sharpness * lead))
        for side in _SIDES:
            self._rules[f"always {side}"] += log(1 - _SLIP if winner == side else _SLIP)
        self._rules["against the ratings"] += log(
            0.5 if not lead else 1 - _SLIP if lead < 0 else _SLIP
        )
        # Where its favourite does not fight, its friend votes as a coin would; so one who was never
        # met explains the votes exactly as the coin does.
        coin = self._rules["a coin"]
        for name in {*self._favourites, model_a, model_b}:
            chance = 1 - _SLIP if name == won else _SLIP if name == lost else 0.5
            self._favourites[name] = self._favourites.get(name, coin) + log(chance)
        self._rules["a coin"] += log(0.5)

    def _weigh(self, contestants: int) -> tuple[str, float]:
        """The rule that explains the votes best, and the logarithm of the e-value."""
        person = max(self._persons.values())
        worth = {name: value - person for name, value in self._rules.items()}
        habit = self._habit()
        for end in _UNDECIDED:
            others = self.votes - self._ends[end]
            worth[f"always {end}"] = (
                self._ends[end] * log(1 - _SLIP) + others * log(_SLIP / 3) - habit - person
            )
        unmet = contestants - len(self._favourites)
        friends = [*self._favourites.values(), *[self._rules["a coin"]] * unmet]
        worth["one favourite"] = _mean_of_exponentials(friends) - person
        because = max(worth, key=lambda name: worth[name])
        return because, _mean_of_exponentials(list(worth.values()))

    def _habit(self) -> float:
        """The log-likelihood of how often there was a preference, a tie, and both bad, for the
        person whom it suits best."""
        undecided = [self._ends[end] for end in _UNDECIDED]
        decided = self.votes - sum(undecided)
        share = max(decided / self.votes, _LEAST_DECIDED)
        total = decided * log(share)
        for number in undecided:
            if number:
                total += number * log((1 - share) * number / sum(undecided))
        return total


def _mean_of_exponentials(logarithms: list[float]) -> float:
    """The logarithm of the mean of the numbers whose logarithms these are."""
    top = max(logarithms)
    return top + log(sum(exp(value - top) for value in logarithms) / len(logarithms))
