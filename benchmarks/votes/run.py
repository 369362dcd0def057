"""How soon a vote is on the leaderboard after a million battles, and what an evaluation adds to an
answer.

    python benchmarks/votes/run.py [--battles N] [--models N]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from noria.config import Config
from noria.evals.arena.live_leaderboard import standings
from noria.evals.evaluation.answering import answer_all
from noria.evals.evaluation.contestants import contestant_of
from noria.evals.evaluation.folder import Folder
from noria.evals.questions import Question
from noria.server import open_gateway
from noria.store import create_key, find_key_by_id, open_database
from noria.store.bulk_sql import insert_many
from noria.store.evals.battles import WINNERS, Battle, open_battle, vote
from noria.testing import FakeProvider, Reply


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--battles", type=int, default=1_000_000)
    arguments.add_argument("--models", type=int, default=150)
    arguments.add_argument("--answers", type=int, default=500)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        votes(Path(folder), chosen.battles, chosen.models)
    with tempfile.TemporaryDirectory() as folder:
        answers(Path(folder), chosen.answers)


def votes(folder: Path, battles: int, models: int) -> None:
    db = open_database(Config(home=folder / ".noria"))
    rng = random.Random(1)
    names = [f"model-{number:03}" for number in range(models)]
    counts: dict[tuple[str, str], list[int]] = {}
    rows = []
    for number in range(battles):
        a, b = rng.sample(names, 2)
        end = rng.choices(range(4), (0.4, 0.35, 0.15, 0.1))[0]
        rows.append(
            (f"{number:016x}", number, "human", "", a, b, WINNERS[end], f"v{number % 5000}",
             "", "", 1.0, number)
        )  # fmt: skip
        pair = counts.setdefault((min(a, b), max(a, b)), [0, 0, 0, 0])
        pair[end if end > 1 else (end if a < b else 1 - end)] += 1
    with db.write() as connection:
        insert_many(
            connection, "battles",
            ("id", "at", "source", "arena", "model_a", "model_b", "winner", "voter", "category",
             "language", "propensity", "voted_ns"),
            rows,
        )  # fmt: skip
        insert_many(
            connection, "pair_counts",
            ("source", "arena", "category", "language", "model_a", "model_b", "wins_a", "wins_b",
             "ties", "both_bad"),
            [("human", "", "", "", *pair, *ends) for pair, ends in counts.items()],
        )  # fmt: skip
    del rows  # a million live objects, which the garbage collector would look through each time
    times = []
    standings(db)
    for _ in range(20):
        battle = Battle(*rng.sample(names, 2), "someone")
        open_battle(db, battle)
        begun = time.perf_counter()
        vote(db, battle.id, "someone", "model_a", None)
        board = standings(db)
        times.append(1000 * (time.perf_counter() - begun))
    assert board.battles == battles + 20
    print(f"{battles:,} battles, {models} models, {len(counts):,} pairs")
    print(f"vote and new leaderboard: median {statistics.median(times):.0f} ms, "
          f"longest {max(times):.0f} ms")  # fmt: skip
    db.close()


def answers(folder: Path, number: int) -> None:
    """CPU of this process for each answer of an evaluation, with a provider in another thread that
    answers at once, against the same calls made without an evaluation round them."""
    with FakeProvider(Reply(text="fine")) as fake:
        (folder / "noria.toml").write_text(f'[providers.fake]\nbase_url = "{fake.url}"\n')
        from noria.config import load

        config = load(folder / "noria.toml", environ={})
        asyncio.run(_answers(config, folder, number))


async def _answers(config: Config, folder: Path, number: int) -> None:
    from noria.gateway.local_client import complete
    from noria.models.endpoint import Endpoint
    from noria.tracing.context import CallContext, Trace

    db = open_database(config)
    key = find_key_by_id(db, create_key(db)[0].id)
    questions = [Question(str(n), (f"question {n}",), "any") for n in range(number)]
    who = contestant_of("fake:small")
    async with open_gateway(config, db) as gateway:

        async def bare(n: int) -> None:
            context = CallContext(gateway, Trace(key))
            message = {"role": "user", "content": f"question {n}"}
            await complete(context, Endpoint.CHAT, {"model": "fake:small", "messages": [message]})

        for n in range(50):
            await bare(n)
        begun, cpu = time.perf_counter(), _cpu()
        for n in range(number):
            await bare(n)
        alone = (time.perf_counter() - begun, _cpu() - cpu)
        made = Folder.begin(folder / "out", {"contestants": ["fake:small"]})
        begun, cpu = time.perf_counter(), _cpu()
        await answer_all(made, questions, [who], gateway=gateway, key=key, concurrency=1)
        evaluated = (time.perf_counter() - begun, _cpu() - cpu)
    db.close()
    wall = 1000 * (evaluated[0] - alone[0]) / number
    processor = 1000 * (evaluated[1] - alone[1]) / number
    print(f"an evaluation adds to an answer: {wall:.2f} ms, {processor:.2f} ms of CPU "
          f"(the call alone: {1000 * alone[0] / number:.2f} ms)")  # fmt: skip


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
