"""What an evaluation's folder holds, read for its report: one value for each question.

Repeats of a question, and its turns, are averaged first: they are not questions of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from noria.evals.evaluation.folder import Folder

__all__ = ["Results", "read_results"]

Question = str
Contestant = str


@dataclass(slots=True)
class Results:
    """An evaluation, by contestant and question."""

    contestants: list[Contestant]
    baseline: Contestant | None
    categories: dict[Question, str] = field(default_factory=dict)
    scores: dict[Contestant, dict[Question, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """The judge's mean score on each question."""
    preferences: dict[Contestant, dict[Question, float]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """What was taken from the baseline in pairs: 1 won, 0 lost, a half for a tie."""
    checks: dict[Contestant, dict[str, dict[Question, float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    """How often a check passed on a question, from 0 to 1, over its repeats and turns. One that
    threw did not pass."""
    broken: dict[Contestant, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How often a check threw."""
    asked: dict[Question, str] = field(default_factory=dict)
    """What was asked, so that another row of the same id is told from it."""
    kinds: dict[Contestant, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """How many judgements of each kind there were: winner, tie, inconsistent, invalid, ..."""
    unjudged: Counter[Contestant] = field(default_factory=Counter)
    """Turns that were answered and that the judge has not looked at."""
    failed: Counter[Contestant] = field(default_factory=Counter)
    """Answers that did not come."""
    answered: Counter[Contestant] = field(default_factory=Counter)
    ms: dict[Contestant, list[float]] = field(default_factory=lambda: defaultdict(list))
    digests: dict[str, Any] = field(default_factory=dict)
    """What two evaluations have to have in common to be compared: questions, judge, checks."""
    costs: dict[Contestant, int] = field(default_factory=dict)
    """Nano-dollars for all answers, where it is known."""

    def shared(self, one: Contestant, other: Contestant) -> list[tuple[float, float]]:
        """The scores of both on the questions that both have one."""
        mine, theirs = self.scores[one], self.scores[other]
        return [(mine[question], theirs[question]) for question in mine if question in theirs]


def read_results(folder: Folder) -> Results:
    """Read what the folder holds now; a run that is not through is read as far as it is."""
    manifest = folder.manifest
    results = Results(list(manifest["contestants"]), manifest.get("baseline"))
    results.digests = {
        name: manifest.get(name) for name in ("questions_digest", "references", "judge", "checks")
    }
    results.costs = dict(manifest.get("costs", {}))
    for row in folder.rows("costs"):
        results.costs[row["contestant"]] = row["cost_nano"]
    _read_answers(results, folder.rows("answers"))
    _read_judgements(results, folder.rows("judgements"))
    if manifest.get("judge"):
        looked = Counter(
            row["contestant"]
            for row in {_turn(row): row for row in folder.rows("judgements")}.values()
            if row["look"] == "single"
        )
        turns: Counter[Contestant] = Counter()
        for row in folder.rows("answers"):
            turns[row["contestant"]] += len(row["answers"]) if row["error"] is None else 0
        results.unjudged = turns - looked
    return results


def _turn(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("look", "question_id", "contestant", "repeat", "turn")
    return tuple(row[name] for name in names)


def _read_answers(results: Results, rows: Iterable[Mapping[str, Any]]) -> None:
    # A question that failed and was asked again has two rows: the later one counts.
    latest = {(row["question_id"], row["contestant"], row["repeat"]): row for row in rows}
    passed: dict[tuple[Contestant, str, Question], list[bool]] = defaultdict(list)
    for row in latest.values():
        who, question = row["contestant"], row["question_id"]
        results.categories[question] = row["category"]
        results.asked[question] = "\n".join(row.get("questions", ()))
        if row["error"] is not None:
            results.failed[who] += 1
            continue
        results.answered[who] += 1
        results.ms[who].append(sum(row["ms"]))
        for turn in row["checks"]:
            for name, outcome in turn.items():
                if outcome != "skip":
                    passed[who, name, question].append(outcome == "pass")
                results.broken[who][name] += outcome == "error"
    for (who, name, question), outcomes in passed.items():
        results.checks[who][name][question] = sum(outcomes) / len(outcomes)


def _read_judgements(results: Results, rows: Iterable[Mapping[str, Any]]) -> None:
    scores: dict[tuple[Contestant, Question], list[float]] = defaultdict(list)
    taken: dict[tuple[Contestant, Question], list[float]] = defaultdict(list)
    for row in rows:
        who, place = row["contestant"], (row["contestant"], row["question_id"])
        results.categories.setdefault(row["question_id"], row["category"])
        results.kinds[who][row["kind"]] += 1
        if row["kind"] == "score":
            scores[place].append(row["score"])
        elif row["kind"] in ("winner", "tie"):
            taken[place].append({"contestant": 1.0, "baseline": 0.0, "tie": 0.5}[row["winner"]])
    for (who, question), values in scores.items():
        results.scores[who][question] = sum(values) / len(values)
    for (who, question), values in taken.items():
        results.preferences[who][question] = sum(values) / len(values)
