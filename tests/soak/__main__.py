"""What takes too long for every run: `make soak`.

A million fuzzed requests against h11 (the count goes into benchmarks/RESULTS.md), the database
away for thirty seconds under load, the coverage of intervals in thousands of worlds, and ten
thousand slow connections.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.support.fuzz import Tally, fuzz

CASES = 1_000_000
_STAGE = 50_000
_RESULTS = Path(__file__).parents[2] / "benchmarks" / "RESULTS.md"
_BEGIN, _END = "<!-- fuzz: begin -->", "<!-- fuzz: end -->"


def main() -> int:
    """Run everything; the exit code is 0 when all of it holds."""
    seed = int(time.time())
    total = Tally()
    for start in range(0, CASES, _STAGE):
        total += fuzz(_STAGE, seed + start)
        print(f"{total.cases:,} cases, {len(total.differing)} differ from h11", flush=True)
    for case in total.differing:
        print(case)
    _write(total, seed)
    away = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/server/test_database_away.py"],
        env=os.environ | {"NORIA_SOAK_AWAY_SECONDS": "30"},
    )
    coverage = subprocess.run(
        [sys.executable, "-m", "pytest", "--timeout=3600", "tests/evals/test_coverage.py"],
        env=os.environ | {"NORIA_SOAK_COVERAGE": "5000"},
    )
    crowd = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/adversarial/test_clients.py", "-k", "slow"],
        env=os.environ | {"NORIA_SOAK_CONNECTIONS": "10000"},
    )
    failed = any(one.returncode for one in (away, coverage, crowd))
    return 1 if total.differing or failed else 0


def _write(total: Tally, seed: int) -> None:
    """Put the count between its markers in RESULTS.md."""
    text = _RESULTS.read_text() if _RESULTS.is_file() else "# Results\n"
    if _BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Fuzzing the lane\n\n{_BEGIN}\n{_END}\n"
    head, _, rest = text.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    said = (
        f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}: {total.cases:,} inputs of mutated requests, "
        f"cut at random. {total.accepted:,} requests were read by the lane exactly as by h11, "
        f"{total.refused:,} inputs were refused, {total.stricter:,} of the inputs more strictly "
        f"than by h11, and {len(total.differing)} were read differently or more laxly."
    )
    _RESULTS.write_text(f"{head}{_BEGIN}\n{said}\n{_END}{tail}")


if __name__ == "__main__":
    sys.exit(main())
