"""How often a Decision is wrong under a look after every battle, and how many battles it takes.

    python benchmarks/evidence/decisions.py

Every row is simulated anew with a fixed seed; `table()` returns the rows as markdown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from math import ceil, sqrt
from statistics import median
from typing import Any

from noria.evals import Decision, State
from noria.statistics import wilson, z_score

WORLDS = 400
LOOKS = 300
Feed = Callable[[Decision, random.Random], Iterator[None]]


def battles(ties: float, won: float = 0.5) -> Feed:
    """Battles of which a share ties and the challenger wins `won` of the rest."""

    def feed(decision: Decision, rng: random.Random) -> Iterator[None]:
        while True:
            decision.add(0.5 if rng.random() < ties else float(rng.random() < won))
            yield

    return feed


def drifting(decision: Decision, rng: random.Random) -> Iterator[None]:
    """Traffic that gets harder: both variants pass 90 %, later 30 % of the questions."""
    place = 0
    while True:
        passed = 0.9 - 0.6 * min(1.0, place / LOOKS)
        decision.add(float(rng.random() < passed), challenger=rng.random() < 0.5)
        place += 1
        yield


def voters(decision: Decision, rng: random.Random) -> Iterator[None]:
    """Twenty votes of each voter, who prefers one side for good; the sides are even."""
    while True:
        name, taste = str(rng.random()), rng.choice((0.1, 0.9))
        for _ in range(20):
            decision.add(float(rng.random() < taste), cluster=name)
            yield


def rare_check(decision: Decision, rng: random.Random) -> Iterator[None]:
    """A check that 98 % pass, with a fifth of the traffic for the challenger."""
    while True:
        decision.add(float(rng.random() < 0.98), challenger=rng.random() < 0.2)
        yield


NOTHING: tuple[tuple[str, Mapping[str, Any], Feed], ...] = (
    *(
        (f"battles, {ties:.0%} ties", {"measure": "win_rate"}, battles(ties))
        for ties in (0.0, 0.3, 0.6, 0.9)
    ),
    ("two variants, drifting traffic", {"measure": "means"}, drifting),
    ("20 votes a voter", {"measure": "win_rate"}, voters),
    ("98 % pass, 20 % challenger", {"measure": "means", "share": 0.2}, rare_check),
)


def ever_better(settings: Mapping[str, Any], feed: Feed, worlds: int = WORLDS) -> int:
    """In how many worlds "better" was said at one of the looks."""
    said = 0
    for seed in range(worlds):
        decision = Decision(**settings)
        steps = feed(decision, random.Random(seed))
        for _ in range(LOOKS):
            next(steps)
            if decision.verdict is State.BETTER:
                said += 1
                break
    return said


def battles_taken(ties: float, won: float, worlds: int = 60, most: int = 5_000) -> float:
    """Median battles until "better"; one that never said so counts as `most`."""
    taken = []
    for seed in range(worlds):
        decision = Decision("win_rate")
        steps = battles(ties, won)(decision, random.Random(seed))
        while decision.count < most and decision.verdict is not State.BETTER:
            next(steps)
        taken.append(decision.count)
    return median(taken)


def fixed_sample(ties: float, won: float, power: float = 0.8) -> int:
    """Battles of a z test that is looked at once, at 5 % on two sides and the stated power."""
    gap = (won - 0.5) * (1 - ties)
    deviation = sqrt((1 - ties) * 0.25 - gap**2)
    return ceil(((z_score(0.95) + z_score(2 * power - 1)) * deviation / gap) ** 2)


def microseconds(won: float) -> float:
    """Processor time of one battle with its verdict, in microseconds."""
    decision, count = Decision("rating", margin=20), 20_000
    rng = random.Random(0)
    values = [float(rng.random() < won) for _ in range(count)]
    begin = time.process_time()
    for value in values:
        decision.add(value)
        decision.verdict  # noqa: B018 - the look is what is measured
    return (time.process_time() - begin) / count * 1e6


def table() -> str:
    """Simulate all of it; returns markdown."""
    lines = [f'| no difference, {LOOKS} looks | worlds | ever "better" |', "|---|---:|---:|"]
    for title, settings, feed in NOTHING:
        said = ever_better(settings, feed)
        share = wilson(said, WORLDS)
        lines.append(
            f"| {title} | {WORLDS} | {share.value:.1%} [{share.lower:.1%}, {share.upper:.1%}] |"
        )
    lines += ["", "| challenger wins, ties | median until \"better\" | fixed sample, one look |",
              "|---|---:|---:|"]  # fmt: skip
    for won, ties in ((0.6, 0.0), (0.7, 0.0), (0.7, 0.3), (0.9, 0.0), (0.7, 0.9)):
        lines.append(
            f"| {won:.0%} of the rest, {ties:.0%} ties | {battles_taken(ties, won):g}"
            f" | {fixed_sample(ties, won)} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"A battle and its verdict: {microseconds(0.5):.0f} µs of the processor between equals,"
            f" {microseconds(0.6):.0f} µs where the challenger wins 60 %.",
            "",
        ]
    )


if __name__ == "__main__":
    print(table())
