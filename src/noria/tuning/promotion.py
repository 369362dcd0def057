"""May a tuned model take over? Decided on battles, and right however often somebody looks.

The evidence is a betting e-process on the challenger's score (a win counts 1, a tie 1/2): wealth
that grows if the challenger is better than allowed for, and whose chance of ever passing 1 / (1 -
p) is at most 1 - p where it is not (Ville's inequality). So a look after every battle costs
nothing.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
Journal of the Royal Statistical Society B, 2024; the wealth is averaged over a grid of bets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError
from noria.models.own import OwnModels
from noria.models.promotions import Promotion, Promotions, promoted

if TYPE_CHECKING:
    from noria.config import Config
    from noria.store import Database

__all__ = ["Evidence", "battle_scores", "evidence_of", "promote", "serving", "wealth"]

_BETS = 20
_MOST = 1_000_000
_SOURCES = ("human", "judge", "shadow")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the battles say of a challenger."""

    challenger: str
    champion: str
    battles: int
    wins: int
    ties: int
    losses: int
    score: float | None
    """Wins and half the ties, over all battles."""
    at_least: float
    """The score that the challenger must be shown to pass: 1/2, less the margin where it is
    cheaper."""
    low: float
    high: float
    """Of the score, an interval that holds at every look together."""
    probability: float
    """1 less the chance of such wealth were the challenger not better; the highest so far."""
    enough: bool
    more: int | None
    """About how many more battles it would take at this score; None where none would suffice."""

    def as_json(self) -> dict[str, Any]:
        """As `noria tune promote --json` prints it."""
        return asdict(self)


def wealth(scores: Iterable[float], null: float) -> Iterator[float]:
    """The wealth after each battle of a bettor against "the mean score is at most `null`".

    Args:
        scores: in [0, 1], in the order of the battles.
        null: in (0, 1).
    """
    bets = [(number + 0.5) / _BETS * 0.9 / null for number in range(_BETS)]
    logs = [0.0] * _BETS
    for score in scores:
        logs = [log + math.log1p(bet * (score - null)) for log, bet in zip(logs, bets, strict=True)]
        top = max(logs)
        yield math.exp(top) * sum(math.exp(log - top) for log in logs) / _BETS


def evidence_of(
    challenger: str,
    champion: str,
    scores: Sequence[float],
    *,
    min_probability: float = 0.95,
    at_least: float = 0.5,
) -> Evidence:
    """Weigh the battles of a challenger against what serves now.

    Args:
        challenger: its name.
        champion: the name of what serves now.
        scores: 1, 0.5 or 0 for the challenger, in the order of the battles.
        min_probability: how sure one must be.
        at_least: the score that must be passed.
    """
    best = max(wealth(scores, at_least), default=1.0)
    probability = max(0.0, 1.0 - 1.0 / best)
    count = len(scores)
    score = sum(scores) / count if count else None
    low, high = _interval(scores, 1 - min_probability)
    enough = probability >= min_probability
    return Evidence(
        challenger,
        champion,
        count,
        sum(one == 1 for one in scores),
        sum(one == 0.5 for one in scores),
        sum(one == 0 for one in scores),
        score,
        at_least,
        low,
        high,
        probability,
        enough,
        0 if enough else _more(scores, at_least, 1 / (1 - min_probability)),
    )


def battle_scores(db: Database, challenger: str, champions: Sequence[str]) -> list[float]:
    """The challenger's score in each battle against what serves now, the oldest first. One that was
    bad on both sides is a tie; one that was excluded does not count."""
    from noria.store.evals.battles import each_battle

    scores = []
    for battle in each_battle(db):
        two = {battle.model_a, battle.model_b}
        if battle.excluded or challenger not in two or not two & set(champions):
            continue
        if battle.source not in _SOURCES:
            continue
        mine = "model_a" if battle.model_a == challenger else "model_b"
        won = battle.winner == mine
        tied = battle.winner not in ("model_a", "model_b")
        scores.append((battle.voted_ns or battle.at, 1.0 if won else 0.5 if tied else 0.0))
    return [score for _, score in sorted(scores, key=lambda one: one[0])]


def serving(home: Path, app: str) -> str:
    """The model that an application asks now.

    Raises:
        NoriaError: no such application was served on this home.
    """
    from noria.apps.serve.manifest import read_apps

    if (model := promoted(home, app)) is not None:
        return model
    found = read_apps(home).get(app)
    if found is None or found.model is None:
        raise NoriaError(
            f"Nobody knows what {app} asks: it was not served on this home.",
            "Serve it once (noria serve app.py), or name its model: --against MODEL",
        )
    return found.model


def promote(
    config: Config,
    db: Database,
    name: str,
    app: str,
    *,
    against: str | None = None,
    min_probability: float = 0.95,
    margin: float = 0.02,
    cheaper: bool = False,
) -> tuple[Evidence, Promotion | None]:
    """Let a model of one's own serve an application, if the evidence suffices.

    Args:
        config: the configuration.
        db: the home's database.
        name: the challenger, with or without `local:`.
        app: the application.
        against: the model that serves now, where no server knows it.
        min_probability: how sure one must be.
        margin: how much worse a cheaper challenger may be.
        cheaper: whether the challenger costs less per answer than what serves now.

    Returns:
        The evidence, and the promotion; None where the evidence does not suffice.
    """
    card = OwnModels(config.home).get(name)
    challenger = f"local:{card.name}"
    champion = against or serving(config.home, app)
    if champion == challenger:
        raise NoriaError(f"{app} asks {challenger} already.")
    scores = battle_scores(db, challenger, (champion, app))
    evidence = evidence_of(
        challenger,
        champion,
        scores,
        min_probability=min_probability,
        at_least=0.5 - margin if cheaper else 0.5,
    )
    if not evidence.enough:
        return evidence, None
    made = Promotions(config.home).promote(app, challenger, champion, evidence.as_json())
    return evidence, made


def _interval(scores: Sequence[float], error: float) -> tuple[float, float]:
    """The scores that the wealth does not reject, at any look, in either direction."""
    if not scores:
        return 0.0, 1.0
    mirrored = [1 - one for one in scores]
    low = _lowest(scores, 2 / error)
    return low, 1 - _lowest(mirrored, 2 / error)


def _lowest(scores: Sequence[float], limit: float) -> float:
    """The lowest mean that is not rejected as too low, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        if middle <= 0 or max(wealth(scores, middle), default=1.0) >= limit:
            low = middle
        else:
            high = middle
    return low


def _more(scores: Sequence[float], null: float, limit: float) -> int | None:
    """Battles that it would still take if the rest went as these did."""
    count = len(scores)
    mean = sum(scores) / count if count else 0.0
    if mean <= null:
        return None
    spread = max(sum((one - mean) ** 2 for one in scores) / count, 0.01)
    # The best bet's growth of log wealth in one battle, to second order.
    growth = (mean - null) ** 2 / (2 * (spread + (mean - null) ** 2))
    now = math.log(max(list(wealth(scores, null))[-1], 1e-300))
    return min(_MOST, max(1, math.ceil((math.log(limit) + math.log(_BETS) / 2 - now) / growth)))
