"""From battles to a leaderboard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import Battles, Outcome, Selection
from noria.evals.bootstrap import bootstrap as draw_rounds
from noria.evals.bootstrap import widened
from noria.evals.clusters import together, widest
from noria.evals.elo import bootstrap_elo, online_elo
from noria.evals.leaderboard import POINTS, Estimates, Leaderboard, Rating, Unrated
from noria.evals.strength import Pairs, Reason, covariance, fit, rateable, sigmoid, solvable
from noria.evals.style import MEASURES, StyleFit, contrasts, fit_style
from noria.evals.tally import Cells, Tally
from noria.statistics import Interval, z_score

__all__ = ["rate"]

Floats = NDArray[np.float64]
_NO_SELECTION = Selection()
_SCORE = np.array([1.0, 0.0, 0.5, 0.5])


def rate(
    battles: Iterable[Mapping[str, Any]] | Battles | Tally,
    *,
    method: Literal["bt", "elo"] = "bt",
    k: float = 4.0,
    bootstrap: int = 0,
    seed: int | None = 0,
    anchor: Mapping[str, float] | None = None,
    style: bool = False,
    prior: float = 0.0,
    propensity: bool = False,
    confidence: float = 0.95,
    category: str | None = None,
    language: str | None = None,
    judge: str | None = None,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    contestants: Collection[str] | None = None,
) -> Leaderboard:
    """Rate contestants by their battles: the exact Bradley-Terry maximum likelihood, or online Elo.

    Ties and both bad are half a win for each side. A contestant for whom the most likely rating is
    infinite, or on no common scale with the others, is `unrated` with its reason, unless there is
    a prior.

    Args:
        battles: rows with `model_a`, `model_b` and `winner` (`model_a`, `model_b`, `tie`,
            `tie (bothbad)`), and optionally `id`, `judge`, `language`, `category`, `tstamp`,
            `conversation_a`, `conversation_b`, `propensity`; or what `read_battles` gave; or a
            `Tally` of votes.
        method: `bt`, or `elo` for online Elo in the order of `tstamp` (or of the rows).
        k: how many points a battle of online Elo is about.
        bootstrap: how many rounds the intervals are made from; 0 for sandwich intervals.
        seed: of the bootstrap. None takes another one each time.
        anchor: one contestant and its rating. Without it the mean of the rated is 1000.
        style: rate at equal length, headings, lists and bold, by `conversation_a` and `_b`.
        prior: how many battles, half of them won, each contestant has against an average one
            beside its own. Then everybody is rated.
        propensity: weigh each row by one over its `propensity`, the probability with which its
            pair was drawn.
        confidence: of the intervals.
        category: only battles of this category.
        language: only battles in this language.
        judge: only battles that this judge decided.
        since: only battles from then on (seconds since the epoch are UTC).
        until: only battles before then.
        contestants: who there is; battles of others are dropped as `unknown_model`.

    Raises:
        NotFound: the anchor is not rated.
        ValueError: an argument is out of its range, or asks for what the battles no longer hold.
    """
    z_score(confidence)
    if isinstance(battles, str | bytes | PathLike):
        raise ValueError("battles is a path; read it first: rate(read_battles(path))")
    if bootstrap < 0 or prior < 0 or not 0 < k < np.inf:
        raise ValueError("bootstrap and prior are at least 0, and k is above 0")
    if anchor is not None and len(anchor) != 1:
        raise ValueError("anchor is one contestant with its rating, such as {'model': 1114}")
    if method == "elo" and (style or prior or propensity):
        raise ValueError("style, prior and propensity are of method 'bt', not of 'elo'")
    selection = Selection(
        category=category, language=language, judge=judge, contestants=contestants,
        since=_seconds(since), until=_seconds(until),
    )  # fmt: skip
    if isinstance(battles, Battles | Tally):
        if selection != _NO_SELECTION:
            raise ValueError("which battles count is chosen where rows are read (read_battles)")
        held: Battles | Tally = battles
    else:
        held = Battles.of(
            battles, selection=selection, times=method == "elo", propensity=propensity,
            style=style, clusters=True,
        )  # fmt: skip
    rows = held if isinstance(held, Battles) else None
    if propensity and rows is not None and rows.weight is None:
        raise ValueError("propensities were not read with these battles: propensity=True")
    tally = Tally.of(held) if isinstance(held, Battles) else held
    work = _Work(tally, method, prior)
    if method == "elo":
        if rows is None or rows.at is None:
            raise ValueError("Elo needs battles in their order, read with times=True")
        work.elo(rows, k, bootstrap, seed)
    elif style:
        if rows is None or rows.style is None:
            raise ValueError("style needs battles with their texts, read with style=True")
        work.styled(rows, rows.style, bootstrap, seed, confidence)
    else:
        work.plain(bootstrap, seed, rows)
    return work.leaderboard(
        rows, next(iter(anchor.items())) if anchor else None, bootstrap, confidence
    )


@dataclass
class _Work:
    """A rating under way: who is rated, and what has been estimated of them."""

    tally: Tally
    method: Literal["bt", "elo"]
    prior: float
    rated: NDArray[np.bool_] = field(init=False)
    reasons: dict[int, Reason] = field(init=False)
    estimates: Estimates = field(init=False)
    effects: dict[str, Interval] | None = None
    with_prior: int = 0
    clustered: bool = False

    def __post_init__(self) -> None:
        size = len(self.tally.models)
        cells = self.tally.cells()
        if self.prior or self.method == "elo":
            fought = np.bincount(np.r_[cells.first, cells.second], minlength=size) > 0
            self.rated, self.reasons = fought, {}
        else:
            self.rated, self.reasons = rateable(cells, size)

    @property
    def models(self) -> list[str]:
        """Who is rated."""
        return [name for name, rated in zip(self.tally.models, self.rated, strict=True) if rated]

    def _ranks_of(self, battles: Battles) -> NDArray[np.intp]:
        """The place in the tally of each of the battles' models."""
        place = {model: place for place, model in enumerate(self.tally.models)}
        return np.array([place[model] for model in battles.models], np.intp)

    def plain(self, bootstrap: int, seed: int | None, rows: Battles | None = None) -> None:
        """Bradley-Terry from pair counts; the intervals by voter and question where they repeat."""
        place = np.cumsum(self.rated) - 1
        cells = self.tally.cells()
        cells = cells.select(self.rated[cells.first] & self.rated[cells.second])
        cells = replace(cells, first=place[cells.first], second=place[cells.second])
        size = int(self.rated.sum())
        if not size:
            self.estimates = Estimates([], np.zeros(0), np.zeros((0, 0)))
            return
        pairs = Pairs.of(cells, size)
        strengths = fit(pairs, self.prior)
        samples = None
        spread = covariance(pairs, cells, strengths, self.prior) * POINTS**2
        if rows is not None and rows.clusters and not self.prior:
            spread = self._clustered(rows, pairs, strengths, spread)
        if bootstrap:
            rounds = draw_rounds(cells, strengths, bootstrap, seed, self.prior)
            samples, self.with_prior = rounds.strengths * POINTS, rounds.with_prior
            samples = widened(samples, spread, seed)
        self.estimates = Estimates(self.models, strengths * POINTS, spread, samples)

    def _clustered(
        self, battles: Battles, pairs: Pairs, strengths: Floats, spread: Floats
    ) -> Floats:
        """The covariance, in points, where the battles of a voter or a question hang together."""
        rank = self._ranks_of(battles)
        first, second = rank[battles.first], rank[battles.second]
        inside = self.rated[first] & self.rated[second]
        place = np.cumsum(self.rated) - 1
        first, second = place[first[inside]], place[second[inside]]
        error = _SCORE[battles.outcome[inside]] - sigmoid(strengths[first] - strengths[second])
        if battles.weight is not None:
            error = error * battles.weight[inside]
        more = [
            together(first, second, error, cluster[inside], pairs.size)
            for cluster in battles.clusters
        ]
        self.clustered = True
        bread = np.linalg.inv(solvable(pairs.curvature(strengths))) * POINTS
        return widest(spread, [bread @ one @ bread for one in more])

    def styled(
        self,
        battles: Battles,
        measured: Floats,
        bootstrap: int,
        seed: int | None,
        confidence: float,
    ) -> None:
        """Bradley-Terry with style as covariates, from single battles."""
        size = int(self.rated.sum())
        if not size:
            self.plain(bootstrap, seed)
            return
        rank = self._ranks_of(battles)
        first, second = rank[battles.first], rank[battles.second]
        inside = self.rated[first] & self.rated[second]
        place = np.cumsum(self.rated) - 1
        first, second = place[first[inside]], place[second[inside]]
        score = _SCORE[battles.outcome[inside]]
        weight = np.ones(len(first)) if battles.weight is None else battles.weight[inside]
        columns, scale = contrasts(measured[inside])

        def fitted(weight: Floats, prior: float) -> StyleFit:
            return fit_style(first, second, score, weight, columns, size, prior)

        found = fitted(weight, self.prior)
        samples = None
        if bootstrap:
            rng, drawn = np.random.default_rng(seed), []
            for _ in range(bootstrap):
                times = np.bincount(rng.integers(0, len(first), len(first)), minlength=len(first))
                lost = self.prior == 0 and not _connected(first, second, score, times, size)
                self.with_prior += lost
                drawn.append(fitted(weight * times, 1.0 if lost else self.prior).strengths)
            samples = np.vstack(drawn) * POINTS
        spread = found.covariance * POINTS**2
        self.estimates = Estimates(
            self.models, found.strengths * POINTS, spread[:size, :size], samples
        )
        half = z_score(confidence) * np.sqrt(np.clip(np.diag(spread)[size:], 0, None))
        used = iter(zip((found.effects * POINTS).tolist(), half.tolist(), strict=True))
        self.effects = {}
        for name, wide in zip(MEASURES, (scale > 0).tolist(), strict=True):
            effect, reach = next(used) if wide else (0.0, 0.0)
            self.effects[name] = Interval(effect, effect - reach, effect + reach)

    def elo(self, battles: Battles, k: float, bootstrap: int, seed: int | None) -> None:
        """Online Elo."""
        order = np.argsort(self._ranks_of(battles))
        points = online_elo(battles, k)[order][self.rated]
        samples = None
        if bootstrap and len(battles):
            samples = bootstrap_elo(battles, k, bootstrap, seed)[:, order][:, self.rated]
            samples -= samples.mean(axis=1, keepdims=True)
        self.estimates = Estimates(self.models, points, None, samples)

    def leaderboard(
        self,
        rows: Battles | None,
        anchor: tuple[str, float] | None,
        bootstrap: int,
        confidence: float,
    ) -> Leaderboard:
        """Put it together."""
        estimates = self.estimates.anchored(anchor)
        bounds = estimates.bounds(confidence)
        models = self.tally.models
        counts = dict(zip(models, self.tally.outcomes().tolist(), strict=True))
        ranks = estimates.ranks(confidence)
        ratings = [
            Rating(
                model, float(estimates.points[row]),
                None if bounds is None else float(bounds[row, 0]),
                None if bounds is None else float(bounds[row, 1]),
                int(ranks[row]), sum(counts[model]), *counts[model],
            )
            for row, model in enumerate(estimates.models)
        ]  # fmt: skip
        names = [(models[place], reason) for place, reason in self.reasons.items()]
        return Leaderboard(
            battles=len(self.tally),
            both_bad=sum(count[Outcome.BOTH_BAD] for count in counts.values()) // 2,
            dropped={} if rows is None else rows.dropped,
            not_selected=0 if rows is None else rows.not_selected,
            method=self.method,
            intervals="bootstrap" if estimates.samples is not None
            else None if bounds is None else "posterior" if self.prior
            else "clustered" if self.clustered else "sandwich",
            confidence=confidence,
            ratings=sorted(ratings, key=lambda one: (-one.rating, one.model)),
            unrated=[Unrated(model, reason, sum(counts[model]), *counts[model])
                     for model, reason in sorted(names)],
            style=self.effects,
            rounds=bootstrap,
            rounds_with_prior=self.with_prior,
            _estimates=estimates,
        )  # fmt: skip


def _connected(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    score: Floats,
    times: NDArray[np.int64],
    size: int,
) -> bool:
    outcome = np.select([score == 1, score == 0], [Outcome.A, Outcome.B], Outcome.TIE)
    cells = Cells(first, second, outcome.astype(np.int8), np.ones(len(first)), times)
    return bool(rateable(cells.select(times > 0), size)[0].all())


def _seconds(instant: datetime | float | None) -> float | None:
    if isinstance(instant, datetime):
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    return instant
