"""One peer on one file of battles; a JSON line for each measurement. Runs in the peers' own
environment: `python peers.py evalica|arena-rank|fastchat battles.parquet`."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd


def tell(who: str, work: Callable[[], Any], ratings: Callable[[Any], Any] | None = None) -> Any:
    """Time the better of two runs and print it."""
    best = (math.inf, math.inf)
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        best = min(best, (time.process_time() - cpu, time.perf_counter() - wall))
    row = {"who": who, "seconds": best[1], "cpu": best[0]}
    if ratings is not None:
        row["ratings"] = {str(name): float(at) for name, at in dict(ratings(result)).items()}
    print(json.dumps(row), flush=True)
    return result


def evalica(frame: pd.DataFrame) -> None:
    import evalica as lib

    ends = {"model_a": lib.Winner.X, "model_b": lib.Winner.Y}
    winners = [ends.get(one, lib.Winner.Draw) for one in frame["winner"]]
    a, b = frame["model_a"].tolist(), frame["model_b"].tolist()
    version = "0.4.2"

    def points(found: Any) -> pd.Series:
        return 400 * np.log10(found.scores)

    tell(f"evalica {version}: Bradley-Terry", lambda: lib.bradley_terry(a, b, winners), points)
    tell(
        f"evalica {version}: Bradley-Terry, tolerance 1e-12",
        lambda: lib.bradley_terry(a, b, winners, tolerance=1e-12, limit=10_000),
        points,
    )
    tell(f"evalica {version}: online Elo", lambda: lib.elo(a, b, winners))
    tell(
        f"evalica {version}: 2 bootstrap rounds",
        lambda: lib.bootstrap(
            lib.bradley_terry, a, b, winners, n_resamples=2, bootstrap_method="percentile"
        ),
    )


def arena_rank(frame: pd.DataFrame) -> None:
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    frame = frame.assign(winner=frame["winner"].replace("tie (bothbad)", "both_bad"))

    def work() -> Any:
        data = PairDataset.from_pandas(frame)
        return BradleyTerry(n_competitors=data.n_competitors).compute_ratings_and_cis(data)

    tell(
        "arena-rank 0.1.1: fit and sandwich",
        work,
        lambda found: zip(found["competitors"], np.asarray(found["ratings"]), strict=True),
    )


def fastchat(frame: pd.DataFrame) -> None:
    # Its package imports torch for the names of models, which ratings do not need.
    for name in ("fastchat.model", "fastchat.model.model_registry"):
        sys.modules[name] = ModuleType(name)
    sys.modules["fastchat.model.model_registry"].get_model_info = None
    from fastchat.serve.monitor.elo_analysis import compute_elo, compute_elo_mle_with_tie

    tell("FastChat 0.2.36: online Elo", lambda: compute_elo(frame))
    tell(
        "FastChat 0.2.36: Bradley-Terry",
        lambda: compute_elo_mle_with_tie(frame),
        lambda found: found.items(),
    )


if __name__ == "__main__":
    battles = pd.read_parquet(sys.argv[2], columns=["model_a", "model_b", "winner"])
    {"evalica": evalica, "arena-rank": arena_rank, "fastchat": fastchat}[sys.argv[1]](battles)
