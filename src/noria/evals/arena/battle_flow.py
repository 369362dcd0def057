"""One battle from its draw to its vote. Who is who is known to the server alone until then.

Both answers come through the gateway like any other call, under the voter's key, its budgets and
its labels.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from noria.errors import ApiError, NoriaError
from noria.evals.arena.language import language_of
from noria.evals.arena.leaks import names_itself, refuses
from noria.evals.arena.live_leaderboard import standings, tally_of
from noria.evals.arena.pairs import draw
from noria.evals.arena.voters import Suspicion
from noria.gateway.local_client import stream
from noria.models.completion import pieces_of
from noria.store.evals.battles import (
    WINNERS,
    Battle,
    Turn,
    add_turn,
    asked_before,
    exclude_battles,
    find_battle,
    open_battle,
    vote,
    votes_of,
)
from noria.store.evals.pair_counts import count_pairs
from noria.tracing import CallContext

if TYPE_CHECKING:
    from noria.config import Arena as Settings
    from noria.gateway import Gateway
    from noria.store import Database, Key

__all__ = ["Match", "Said", "Settled"]

log = logging.getLogger("noria.arena")

Side = Literal["a", "b"]
_LONGEST_QUESTION = 20_000
_MOST_TURNS = 20
_FAILED = "This side could not answer."
# A voter's first votes are too few to say anything; asking the ratings for them would be waste.
_FEW_VOTES = 5


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of one side's answer, or its end."""

    side: Side
    text: str = ""
    end: str | None = None
    """`ok`, `refusal`, `error` or `cancelled` when the side has ended."""
    error: str | None = None
    """What the voter is told of an error; names nobody."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a vote reveals."""

    battle: Battle
    before: Mapping[str, float]
    """Both ratings before the vote; a contestant without one is missing."""
    after: Mapping[str, float]


class Match:
    """Runs battles for the callers of one process.

    Args:
        db: the store.
        gateway: the door to the contestants.
        settings: the contestants and the rules.
        rng: where chance comes from.
    """

    def __init__(
        self, db: Database, gateway: Gateway, settings: Settings, rng: random.Random | None = None
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._settings = settings
        self._rng = rng or random.SystemRandom()

    async def begin(self, key: Key, *, category: str = "", language: str = "") -> Battle:
        """Draw a pair for a voter. The caller must not show who it is.

        Raises:
            ConfigError: there are not two contestants.
            StoreUnavailable: the database does not answer.
        """
        counts = await asyncio.to_thread(count_pairs, self._db)
        left, right, chance = draw(
            self._settings.contestants, counts, floor=self._settings.floor, rng=self._rng
        )
        battle = Battle(
            left, right, key.id, category=category, language=language, propensity=chance
        )
        await asyncio.to_thread(open_battle, self._db, battle)
        return battle

    async def ask(self, key: Key, battle_id: str, question: str) -> AsyncIterator[Said]:
        """Put a question to both sides, and give their answers as they come.

        Raises:
            ApiError: the question cannot be used, or the battle takes no more.
            NotFound: this voter has no such battle.
        """
        battle = await self._own(key, battle_id)
        if battle.voted_ns is not None:
            raise ApiError(409, "battle_over", "This battle was voted on; begin another.")
        if len(battle.turns) >= _MOST_TURNS:
            raise ApiError(409, "battle_over", f"A battle has at most {_MOST_TURNS} turns: vote.")
        if not question.strip() or len(question) > _LONGEST_QUESTION:
            raise ApiError(
                400, "invalid_value",
                f"question cannot be used: it must have 1 to {_LONGEST_QUESTION} characters.",
                param="question",
            )  # fmt: skip
        sides: dict[Side, _Answering] = {
            "a": _Answering("a", battle.model_a, _history(battle, "a", question)),
            "b": _Answering("b", battle.model_b, _history(battle, "b", question)),
        }
        # Each side is told again what it said before.
        before = [
            [turn.trace_a for turn in battle.turns],
            [turn.trace_b for turn in battle.turns],
        ]
        places = [
            CallContext(self._gateway, await self._gateway.labels.after(key, traces))
            for traces in before
        ]
        queue: asyncio.Queue[Said] = asyncio.Queue()
        tasks = [
            asyncio.create_task(side.run(context, queue))
            for side, context in zip(sides.values(), places, strict=True)
        ]
        try:
            running = len(tasks)
            while running:
                said = await queue.get()
                running -= said.end is not None
                yield said
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            a, b = sides["a"], sides["b"]
            turn = Turn(
                len(battle.turns) + 1, question, a.text, b.text, a.end, b.end, a.trace, b.trace
            )
            await asyncio.shield(asyncio.to_thread(add_turn, self._db, battle_id, turn))

    async def vote(self, key: Key, battle_id: str, winner: str) -> Settled:
        """End a battle, and say who fought it.

        Raises:
            ApiError: 400 for no known winner, 409 where it was voted on before or nothing was
                answered yet.
            NotFound: this voter has no such battle.
        """
        if winner not in WINNERS:
            raise ApiError(
                400, "invalid_value",
                f"winner cannot be used: it must be one of {', '.join(WINNERS)}.",
                param="winner",
            )  # fmt: skip
        battle = await self._own(key, battle_id)
        if not battle.turns and battle.voted_ns is None:
            raise ApiError(409, "nothing_answered", "Ask something before you vote.")
        return await asyncio.to_thread(self._settle, battle, winner)

    def _settle(self, battle: Battle, winner: str) -> Settled:
        db = self._db
        excluded = self._why_not(battle)
        earlier = votes_of(db, battle.voter)
        if excluded is None and asked_before(db, battle):
            excluded = "duplicate"
        before = _ratings(db)
        asked = "\n".join(turn.question for turn in battle.turns)
        language = battle.language or language_of(asked)
        if not vote(db, battle.id, battle.voter, winner, excluded, language):
            raise ApiError(409, "already_voted", "This battle was voted on before.")
        if len(earlier) >= _FEW_VOTES:
            self._watch([*earlier, find_battle(db, battle.id)])
        after = _ratings(db)
        two = (battle.model_a, battle.model_b)
        return Settled(
            find_battle(db, battle.id),
            {name: before[name] for name in two if name in before},
            {name: after[name] for name in two if name in after},
        )

    def _watch(self, votes: list[Battle]) -> None:
        """Take all votes of an automatic voter out of the counts. It is held against the ratings
        by the votes of others."""
        from noria.evals.rating import rate

        tally = tally_of(self._db)
        for one in votes:
            counts = one.excluded is None and one.source == "human" and not one.arena
            if counts and one.winner is not None:
                tally.add(one.model_a, one.model_b, one.winner, count=-1)
        known = dict.fromkeys(self._settings.contestants, 1000.0)
        known |= {one.model: one.rating for one in rate(tally).ratings}
        ends = [(one.model_a, one.model_b, one.winner) for one in votes if one.winner is not None]
        if Suspicion.of(ends, known).flagged:
            exclude_battles(self._db, [one.id for one in votes], "automatic voter")

    def _why_not(self, battle: Battle) -> str | None:
        """Why a vote on this battle cannot count; None where it can."""
        ends = {end for turn in battle.turns for end in (turn.end_a, turn.end_b)}
        if ends & {"error", "cancelled"}:
            return "contestant failed" if "error" in ends else "answer stopped"
        texts = [turn.question for turn in battle.turns]
        left = [turn.answer_a for turn in battle.turns]
        right = [turn.answer_b for turn in battle.turns]
        forbidden = [re.compile(pattern, re.I) for pattern in self._settings.forbidden]
        if any(rule.search(text) for rule in forbidden for text in (*texts, *left, *right)):
            return "moderated"
        if names_itself(battle.model_a, left) or names_itself(battle.model_b, right):
            return "named itself"
        if "refusal" in ends:
            return "refusal"
        return None

    async def _own(self, key: Key, battle_id: str) -> Battle:
        battle = await asyncio.to_thread(find_battle, self._db, battle_id)
        if battle.voter != key.id:
            raise ApiError(404, "not_found", f"You have no battle {battle_id}.")
        return battle


@dataclass(slots=True)
class _Answering:
    """One side's answer under way."""

    side: Side
    model: str
    messages: list[dict[str, str]]
    text: str = ""
    end: str = "cancelled"
    trace: str | None = None

    async def run(self, context: CallContext, queue: asyncio.Queue[Said]) -> None:
        """Answer into the queue. Whatever happens, the last thing put there is an end."""
        self.trace = context.trace.id
        error = None
        refused = False
        try:
            request: dict[str, Any] = {"model": self.model, "messages": self.messages}
            async for event in stream(context, request):
                for piece in pieces_of(event):
                    refused = refused or bool(piece.refusal)
                    if said := piece.text or piece.refusal:
                        self.text += said
                        await queue.put(Said(self.side, said))
            self.end = "refusal" if refused or refuses(self.text) else "ok"
        except NoriaError as failed:
            self.end = "error"
            # What a provider says may name the contestant; a budget of the voter's own does not.
            own = isinstance(failed, ApiError) and failed.code.startswith(("budget", "rate_"))
            error = failed.message if own else _FAILED
        except Exception:
            log.exception("A side of a battle failed inside noria.")
            self.end, error = "error", _FAILED
        await queue.put(Said(self.side, end=self.end, error=error))


def _history(battle: Battle, side: Side, question: str) -> list[dict[str, str]]:
    messages = []
    for turn in battle.turns:
        answer = turn.answer_a if side == "a" else turn.answer_b
        messages += [
            {"role": "user", "content": turn.question},
            {"role": "assistant", "content": answer},
        ]
    return [*messages, {"role": "user", "content": question}]


def _ratings(db: Database) -> dict[str, float]:
    return {one.model: one.rating for one in standings(db).ratings}
