"""The report of an evaluation: every mean with its interval, every difference with its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from statistics import stdev
from typing import Any

from noria.evals.comparisons import (
    holm,
    mean_interval,
    paired_bootstrap,
    questions_needed,
)
from noria.evals.evaluation.regressions import common, differing, fallen
from noria.evals.evaluation.results import Results
from noria.evals.judge import RATINGS
from noria.evals.scores import relative_score
from noria.statistics import Interval, score_interval

__all__ = ["Difference", "Line", "Report", "compare", "report_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One contestant."""

    contestant: str
    answered: int
    failed: int
    score: Interval | None
    """The judge's mean score; None where it gave none."""
    categories: Mapping[str, Interval]
    relative: Interval | None
    """The score with the baseline at 100."""
    preferred: Interval | None
    """The share taken from the baseline in pairs, from 0 to 1."""
    checks: Mapping[str, Interval]
    """The pass rate of each check over questions."""
    judgements: Mapping[str, int]
    """How many there were of each kind."""
    ms: float | None
    """The mean time of an answer, in milliseconds."""
    cost_nano: float | None
    """The mean cost of an answer, in nano-dollars."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One contestant against another on the same questions, in one measure."""

    one: str
    other: str
    measure: str
    """`score`, or a check's name."""
    difference: Interval
    """Mean of `one` less mean of `other`."""
    p_value: float
    questions: int
    only_one: int | None = None
    """For a check: the questions that `one` passed more often."""
    only_other: int | None = None
    needed: int | None = None
    """How many questions show a difference as small as it may be, in four of five cases (a power
    of 80 %). None where there may be no difference at all."""
    corrected: float = 1.0
    """The p value corrected for all differences of the report (Holm)."""

    @property
    def beyond_noise(self) -> bool:
        """Whether chance would hardly show it among all that are compared."""
        return self.corrected < 0.05


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    baseline: str | None
    lines: list[Line]
    differences: list[Difference]
    wins: Mapping[str, Mapping[str, float]]
    """The share of shared questions that one scored higher on than another, ties as half."""
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What `noria eval report --json` prints. Nothing is rounded."""
        told: dict[str, Any] = _plain(asdict(self))
        for one, difference in zip(told["differences"], self.differences, strict=True):
            one["beyond_noise"] = difference.beyond_noise
        return told


def report_of(results: Results, against: Results | None = None) -> Report:
    """Make the report.

    Args:
        results: the evaluation.
        against: another one of the same questions; then each contestant is compared with the one
            of the same name there, or with its only one.

    Raises:
        NoriaError: they have no question in common.
    """
    if against is not None:
        common(against, results)
    lines = [_line(results, who) for who in results.contestants]
    differences: list[Difference] = []
    if against is not None:
        for who in results.contestants:
            other = who if who in against.contestants else against.contestants[0]
            differences += compare(results, who, against, other)
    elif results.baseline is not None:
        for who in results.contestants:
            if who != results.baseline:
                differences += compare(results, who, results, results.baseline)
    else:
        first, *others = results.contestants
        for who in others:
            differences += compare(results, who, results, first)
    corrected = holm([one.p_value for one in differences])
    differences = [
        replace(one, corrected=p_value) for one, p_value in zip(differences, corrected, strict=True)
    ]
    lines.sort(key=lambda line: -(line.score.value if line.score else float("-inf")))
    notes = _notes(results)
    if against is not None:
        notes += differing(against, results)
    return Report(results.baseline, lines, differences, _wins(results), notes)


def compare(results: Results, one: str, others: Results, other: str) -> list[Difference]:
    """Compare two contestants in every measure that both have, question by question."""
    found = []
    mine, theirs = results.scores[one], others.scores[other]
    same = common(others, results)
    shared = [question for question in mine if question in theirs and question in same]
    if len(shared) > 1:
        found.append(
            _difference(
                one, other, "score",
                [mine[question] for question in shared], [theirs[question] for question in shared],
            )
        )  # fmt: skip
    for name, passed in results.checks[one].items():
        known = others.checks[other].get(name, {})
        shared = [question for question in passed if question in known and question in same]
        if len(shared) > 1:
            found.append(
                _passes(
                    one, other, name,
                    [passed[question] for question in shared],
                    [known[question] for question in shared],
                )
            )  # fmt: skip
    return found


def _line(results: Results, who: str) -> Line:
    scores = results.scores[who]
    by_category: dict[str, list[float]] = {}
    for question, score in scores.items():
        by_category.setdefault(results.categories[question], []).append(score)
    relative = None
    if results.baseline is not None and (pairs := results.shared(who, results.baseline)):
        mine, theirs = [one for one, _ in pairs], [other for _, other in pairs]
        relative = relative_score(mine, theirs) if sum(theirs) > 0 else None
    taken = list(results.preferences[who].values())
    answered, cost = results.answered[who], results.costs.get(who)
    times = results.ms[who]
    return Line(
        who,
        answered,
        results.failed[who],
        mean_interval(list(scores.values()), within=RATINGS) if scores else None,
        {
            name: mean_interval(values, within=RATINGS)
            for name, values in sorted(by_category.items())
        },
        relative,
        mean_interval(taken, within=(0, 1)) if taken else None,
        {
            name: score_interval(sum(passed.values()) / len(passed), len(passed))
            for name, passed in results.checks[who].items()
        },
        dict(results.kinds[who]),
        sum(times) / len(times) if times else None,
        cost / answered if cost is not None and answered else None,
    )


def _difference(
    one: str, other: str, measure: str, mine: Sequence[float], theirs: Sequence[float]
) -> Difference:
    tested = paired_bootstrap(mine, theirs)
    return Difference(
        one, other, measure, tested.difference, tested.p_value, tested.count,
        needed=_needed(mine, theirs, tested.difference),
    )  # fmt: skip


def _passes(
    one: str, other: str, measure: str, mine: Sequence[float], theirs: Sequence[float]
) -> Difference:
    difference, p_value = fallen(mine, theirs)
    gaps = [a - b for a, b in zip(mine, theirs, strict=True)]
    return Difference(
        one, other, measure, difference, p_value, len(mine),
        sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps),
        _needed(mine, theirs, difference),
    )  # fmt: skip


def _needed(mine: Sequence[float], theirs: Sequence[float], known: Interval) -> int | None:
    if 0 in known or len(mine) < 2:
        return None
    gaps = [one - other for one, other in zip(mine, theirs, strict=True)]
    return questions_needed(known, stdev(gaps)) if stdev(gaps) else None


def _wins(results: Results) -> dict[str, dict[str, float]]:
    wins: dict[str, dict[str, float]] = {}
    for one in results.contestants:
        for other in results.contestants:
            if one != other and (pairs := results.shared(one, other)):
                took = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
                wins.setdefault(one, {})[other] = took / len(pairs)
    return wins


def _notes(results: Results) -> list[str]:
    notes = []
    for who in results.contestants:
        unusable = sum(
            count
            for kind, count in results.kinds[who].items()
            if kind in ("invalid", "refusal", "inconsistent")
        )
        if unusable:
            total = sum(results.kinds[who].values())
            notes.append(
                f"{unusable} of {total} judgements of {who} are invalid, refused or inconsistent; "
                "they are in no mean."
            )
        if unjudged := results.unjudged[who]:
            notes.append(
                f"{unjudged} turns of {who} were not judged; run it again to complete them."
            )
        if failed := results.failed[who]:
            notes.append(f"{failed} answers of {who} did not come; ask again to complete them.")
    return notes


def _plain(value: Any) -> Any:
    """JSON has no infinity: a bound that is one becomes null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
