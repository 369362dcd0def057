"""Two evaluations of the same rows: what fell, what is gone, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noria.errors import NoriaError
from noria.evals.comparisons import holm, mcnemar, paired_bootstrap
from noria.evals.evaluation.results import Results
from noria.statistics import Interval

__all__ = ["Missing", "Regression", "common", "differing", "fallen", "missing", "regressions"]

_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Regression:
    """A check that passes less often than it did."""

    check: str
    before: tuple[float, int]
    """On how many of how many rows it passed in the stored evaluation; of a row with repeats the
    share of them counts."""
    now: tuple[float, int]
    rows: list[str]
    """The rows on which it passed more often before."""
    p_value: float
    """How often chance would make it fall as far (one side; exchanged row by row)."""
    corrected: float
    """The same corrected for all checks that were compared (Holm)."""

    @property
    def beyond_noise(self) -> bool:
        """Whether chance hardly explains it."""
        return self.corrected < _SURE


@dataclass(frozen=True, slots=True)
class Missing:
    """A check that says nothing any more, which is no pass."""

    check: str
    why: str


def common(before: Results, now: Results) -> set[str]:
    """The rows that both evaluations asked, and asked alike.

    Raises:
        NoriaError: there is none.
    """
    same = {row for row, asked in now.asked.items() if before.asked.get(row) == asked}
    if not same:
        raise NoriaError(
            "The two evaluations have no row in common, so nothing can be compared.",
            "Compare evaluations of the same questions, or store this one under another name.",
        )
    return same


def differing(before: Results, now: Results) -> list[str]:
    """In what two evaluations differ though they are compared, in words."""
    notes = []
    same = common(before, now)
    if before.digests.get("questions_digest") != now.digests.get("questions_digest"):
        notes.append(
            f"The questions are not the same: {len(same)} rows are in both and asked alike, of "
            f"{len(before.asked)} before and {len(now.asked)} now. Only those are compared."
        )
    for name, what in (("judge", "judge"), ("references", "references"), ("checks", "checks")):
        was, is_now = before.digests.get(name), now.digests.get(name)
        if was == is_now:
            continue
        if name == "checks":
            known, new = was or {}, is_now or {}
            changed = [one for one in known if one in new and known[one] != new[one]]
            if not changed:
                continue
            told = ", ".join(sorted(changed))
        else:
            told = f"{_said(was)} before, {_said(is_now)} now"
        notes.append(f"The {what} changed between the two evaluations: {told}.")
    return notes


def _said(value: object) -> str:
    """A digest in words: a judge is an object with its model and criteria."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value or "none")


def fallen(one: Sequence[float], other: Sequence[float]) -> tuple[Interval, float]:
    """The mean difference of two pass rates over the same rows, and its p value (two sides):
    McNemar's exact test where every row passed or failed, else the exchange of rows."""
    tested = paired_bootstrap(one, other)
    p_value = tested.p_value
    if all(value in (0, 1) for value in (*one, *other)):
        p_value = mcnemar([bool(value) for value in one], [bool(value) for value in other]).p_value
    return tested.difference, p_value


def regressions(before: Results, one: str, now: Results, other: str) -> list[Regression]:
    """Every check that passed more often before on some rows.

    Args:
        before: the stored evaluation.
        one: its contestant.
        now: the present one. Only rows that both asked alike are compared.
        other: its contestant.

    Raises:
        NoriaError: they have no row in common.
    """
    same = common(before, now)
    found: list[tuple[str, list[float], list[float], list[str], float]] = []
    for name, passed in now.checks[other].items():
        earlier = before.checks[one].get(name, {})
        shared = [row for row in passed if row in earlier and row in same]
        if not shared:
            continue
        then, today = [earlier[row] for row in shared], [passed[row] for row in shared]
        # One side: only a fall is a regression.
        p_value = fallen(then, today)[1] / 2 if sum(then) > sum(today) else 1.0
        fell = [row for row in shared if earlier[row] > passed[row]]
        found.append((name, then, today, fell, p_value))
    corrected = holm([one[-1] for one in found])
    return [
        Regression(name, (sum(then), len(then)), (sum(today), len(today)), fell, p_value, sure)
        for (name, then, today, fell, p_value), sure in zip(found, corrected, strict=True)
        if fell
    ]


def missing(before: Results | None, one: str, now: Results, other: str) -> list[Missing]:
    """The checks that say nothing now: they throw on every row, or are gone, or their rows are.

    Args:
        before: the stored evaluation; None where there is none to compare with.
        one: its contestant.
        now: the present one.
        other: its contestant.
    """
    found = [
        Missing(name, "threw on every row")
        for name, thrown in now.broken[other].items()
        if thrown and not any(now.checks[other].get(name, {}).values())
        and thrown >= len(now.checks[other].get(name, {}))
    ]  # fmt: skip
    if before is not None:
        same = common(before, now)
        for name, earlier in before.checks[one].items():
            passed = now.checks[other].get(name)
            if not passed:
                found.append(Missing(name, "was checked before, and is checked on no row now"))
            elif not any(row in earlier and row in same for row in passed):
                found.append(Missing(name, "has none of the rows that it was checked on before"))
    return found
