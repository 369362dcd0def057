"""Battles that people and a judge decided, for pages and pictures."""

from __future__ import annotations

import random
import time
from math import exp, log

from noria.ids import new_span_id
from noria.store.evals.battles import WINNERS, Battle, Turn, record_battle
from noria.store.evals.judgements import JudgeVerdict, add_looks
from tests.support.seed import Seeded

STRENGTHS = {
    "acme:big": 1120.0, "support": 1060.0, "support@cheap": 1010.0, "local:smollm2": 960.0,
    "local:smollm2-q4": 900.0,
}  # fmt: skip
JUDGE = "acme:big"
CATEGORIES = ("writing", "coding", "math", "reasoning")


def fight(seeded: Seeded, battles: int = 240) -> None:
    """Have contestants meet as their strengths say; every second battle is judged as well."""
    rng = random.Random(3)
    voters = [key.id for key in seeded.keys.values()]
    for number in range(battles):
        left, right = rng.sample(list(STRENGTHS), 2)
        gap = log(10) / 400 * (STRENGTHS[left] - STRENGTHS[right])
        winner = rng.choices(WINNERS, (0.75 / (1 + exp(-gap)), 0.75 / (1 + exp(gap)), 0.17, 0.08))[
            0
        ]
        turn = Turn(1, f"Question {number}", "An answer. " * rng.randint(1, 9),
                    "Another answer. " * rng.randint(1, 9), "ok", "ok")  # fmt: skip
        refused = "refusal" if number % 40 == 7 else None
        at = time.time_ns() - (battles - number) * 3_600_000_000_000
        battle = Battle(
            left, right, rng.choice(voters), new_span_id(), at, winner=winner, excluded=refused,
            category=rng.choice(CATEGORIES), turns=(turn,), voted_ns=at,
        )  # fmt: skip
        record_battle(seeded.db, battle)
        if number % 2 and not refused:
            _judge(seeded, rng, battle)


def _judge(seeded: Seeded, rng: random.Random, battle: Battle) -> None:
    """A judge that agrees three times in four, and is drawn to what stands first."""
    people = {"model_a": "a", "model_b": "b"}.get(battle.winner or "", "tie")
    chosen = people if rng.random() < 0.75 else rng.choice(("a", "b", "tie"))
    wavers = rng.random() < 0.2
    turned = {"a": "b", "b": "a", "tie": "tie"}[chosen]
    kind = "inconsistent" if wavers else "tie" if chosen == "tie" else "winner"
    add_looks(
        seeded.db,
        [
            JudgeVerdict(battle.id, JUDGE, 0, battle.at, kind, None if wavers else chosen,
                 "a" if wavers else chosen, "a" if wavers else turned)
        ],
    )  # fmt: skip
