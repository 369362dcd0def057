"""Ratings of many battles: noria, evalica, arena-rank and FastChat on the same files in one run.

    python benchmarks/ratings/run.py [--battles 2000000] [--models 150] [--rounds 1000] [--no-write]

Battles are drawn from Bradley-Terry with ties, as JSON lines and as Parquet. noria is timed in this
process, with one thread for matrices as its command has it, each peer in one of its own. "Off" is
the greatest distance to a maximum likelihood fit that is computed here, from counts, with gradients
in extended precision. The peers are installed once into a folder of their own under the user's
cache.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE.parent / "RESULTS.md"
BEGIN, END = "<!-- ratings: begin -->", "<!-- ratings: end -->"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noria" / "benchmarks"
PEERS = CACHE / "ratings"
PACKAGES = (
    "evalica==0.4.2", "arena-rank==0.1.1", "fschat==0.2.36", "plotly", "pytz", "pandas", "pyarrow",
    "psutil", "scikit-learn", "tqdm",
)  # fmt: skip
POINTS = 400 / math.log(10)
LABELS = np.array(["model_a", "model_b", "tie", "tie (bothbad)"])
FASTCHAT_AT_MOST = 200_000
"""FastChat's fit takes a dense row of all models for each battle, twice."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--battles", type=int, default=2_000_000)
    parser.add_argument("--models", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--no-write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noria-ratings-") as folder:
        lines, parquet, small = write(Path(folder), chosen.battles, chosen.models)
        exact = reference(parquet)
        exact_small = reference(small)
        report = [*ours(lines, parquet, chosen.rounds, exact)]
        python = install()
        for name, file, truth in (
            ("evalica", parquet, exact),
            ("arena-rank", parquet, exact),
            ("fastchat", small, exact_small),
        ):
            report += theirs(python, name, file, truth)
    text = table(report, chosen)
    print(text)
    if not chosen.no_write:
        publish(text)


def write(folder: Path, battles: int, models: int) -> tuple[Path, Path, Path]:
    """The same battles as JSON lines and as Parquet, and the first of them for FastChat."""
    from pyarrow import Table
    from pyarrow import parquet as pq

    rng = np.random.default_rng(1)
    strengths = rng.normal(0, 1, models)
    names = np.array([f"model-{place}" for place in range(models)])
    first = rng.integers(0, models, battles)
    second = (first + rng.integers(1, models, battles)) % models
    chance = 1 / (1 + np.exp(strengths[second] - strengths[first]))
    outcome = np.where(rng.random(battles) < chance, 0, 1)
    tied = rng.random(battles)
    outcome = np.where(tied < 0.2, np.where(tied < 0.1, 2, 3), outcome)
    columns = {
        "model_a": names[first],
        "model_b": names[second],
        "winner": LABELS[outcome],
        "judge": np.char.add("user-", rng.integers(0, 20_000, battles).astype(str)),
        "language": np.full(battles, "English"),
        "tstamp": 1.7e9 + np.round(np.arange(battles) * 1.37, 2),
    }
    lines, parquet, small = (
        folder / name for name in ("battles.jsonl", "battles.parquet", "small.parquet")
    )
    with lines.open("w") as file:
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True))) + "\n")
    table = Table.from_pydict(columns)
    pq.write_table(table, parquet)
    pq.write_table(table.slice(0, FASTCHAT_AT_MOST), small)
    return lines, parquet, small


def reference(file: Path) -> dict[str, float]:
    """The maximum likelihood ratings. Newton steps in double precision, their gradient in extended,
    so that rounding of the gradient does not decide where they end."""
    from pyarrow import parquet as pq

    rows = pq.read_table(file, columns=["model_a", "model_b", "winner"]).to_pydict()
    names, places = np.unique(rows["model_a"] + rows["model_b"], return_inverse=True)
    first, second = np.split(places, 2)
    won = {"model_a": 1.0, "model_b": 0.0}
    score = np.array([won.get(winner, 0.5) for winner in rows["winner"]])
    size = len(names)
    wins = np.zeros((size, size), np.longdouble)
    np.add.at(wins, (first, second), score)
    np.add.at(wins, (second, first), 1 - score)
    met, theta = wins + wins.T, np.zeros(size, np.longdouble)
    for _ in range(100):
        chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
        slope = (wins - met * chance).sum(axis=1)
        bend = (met * chance * (1 - chance)).astype(float)
        curve = np.diag(bend.sum(axis=1)) - bend
        step = np.linalg.lstsq(curve, slope.astype(float), rcond=None)[0]
        theta += step - step.mean()
        if np.abs(step).max() < 1e-15:
            break
    return dict(zip(names.tolist(), (1000 + theta * POINTS).astype(float).tolist(), strict=True))


def off(ratings: dict[str, float], exact: dict[str, float]) -> float:
    """The greatest distance, whatever the level."""
    gaps = np.array([ratings[name] - exact[name] for name in exact])
    return float(np.abs(gaps - gaps.mean()).max())


def ours(
    lines: Path, parquet: Path, rounds: int, exact: dict[str, float]
) -> Iterable[dict[str, Any]]:
    """noria, from its public names."""
    import orjson

    from noria.evals import Tally, rate, read_battles

    def only_read() -> None:
        with lines.open("rb") as file:
            for line in file:
                orjson.loads(line)

    base, _ = timed(only_read)
    yield {"who": "every line through orjson.loads, nothing kept", **base}
    took, battles = timed(lambda: read_battles(lines))
    yield {"who": "noria: read JSON lines", **took}
    rated, board = timed(lambda: rate(battles))
    distance = off({one.model: one.rating for one in board.ratings}, exact)
    yield {"who": "noria: count, fit and sandwich", **rated, "off": distance}
    beyond = {key: took[key] + rated[key] - base[key] for key in ("seconds", "cpu")}
    yield {"who": "noria: load, fit and sandwich beyond reading", **beyond, "limit": "1.5"}
    took, board = timed(lambda: rate(read_battles(parquet)))
    yield {"who": "noria: all of it from Parquet", **took}
    tally = Tally.of(battles)
    took, _ = timed(lambda: rate(tally, bootstrap=rounds))
    yield {"who": f"noria: {rounds:,} bootstrap rounds", **took, "limit": "10 (aim 3)"}

    def vote() -> None:
        tally.add("model-1", "model-2", "model_a")
        rate(tally)

    vote()
    took, _ = timed(vote)
    yield {"who": "noria: one more vote, rated again", **took, "limit": "0.1"}
    battles = read_battles(lines, times=True)
    took, _ = timed(lambda: rate(battles, method="elo"))
    yield {"who": "noria: online Elo", **took}


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall and CPU seconds of the better of two runs, and what came of it."""
    best = {"seconds": math.inf, "cpu": math.inf}
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        taken = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        best = min(best, taken, key=lambda one: one["cpu"])
    return best, result


def install() -> Path:
    """An environment with the peers."""
    python = PEERS / "bin" / "python"
    if not (PEERS / "installed").exists():
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (PEERS / "installed").touch()
    return python


def theirs(
    python: Path, name: str, file: Path, exact: dict[str, float]
) -> Iterable[dict[str, Any]]:
    """What `peers.py` measured; a peer that fails is reported as such."""
    # noria's command sets one thread for its small matrices; the peers keep their default.
    environ = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [python, HERE / "peers.py", name, file], capture_output=True, text=True, env=environ
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return [{"who": f"{name}: failed ({last[:120]})"}]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        if ratings := row.pop("ratings", None):
            row["off"] = off(ratings, exact)
    return rows


def table(rows: list[dict[str, Any]], chosen: argparse.Namespace) -> str:
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {chosen.battles:,} battles of {chosen.models} models "
        f"(FastChat {min(chosen.battles, FASTCHAT_AT_MOST):,}). Seconds, the better of two runs.",
        "",
        "| what | wall | CPU | at most | off the exact fit, Elo |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        wall, cpu = (f"{row[key]:.3g}" if key in row else "" for key in ("seconds", "cpu"))
        distance = f"{row['off']:.1e}" if "off" in row else ""
        lines.append(f"| {row['who']} | {wall} | {cpu} | {row.get('limit', '')} | {distance} |")
    return "\n".join(lines)


def publish(text: str) -> None:
    """Put the table between its markers in RESULTS.md."""
    page = RESULTS.read_text()
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n## Ratings\n\n`make bench-ratings`\n\n{BEGIN}\n{END}\n"
    block = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.S)
    RESULTS.write_text(block.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page))


if __name__ == "__main__":
    sys.exit(main())
