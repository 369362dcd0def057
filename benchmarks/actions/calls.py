"""How well calls are chosen: a table of `noria act eval` over sets in BFCL's and APIBench's form.

    python -m benchmarks.actions.calls SET... [--model local:smollm2] [--sample N] [--out FILE]

Without --model only APIBench is answered, by plain BM25 alone. Beside its metric stands what the
best constant answer scores by it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from noria.actions.evaluating.apibench import official_verdict, read_apibench
from noria.actions.evaluating.apibench.rows import is_apibench

NUMBERS = ("exact_call", "same_function", "hallucinated", "refused_rightly")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sets", nargs="+", type=Path)
    arguments.add_argument("--model")
    arguments.add_argument("--sample", type=int)
    arguments.add_argument("--out", type=Path)
    asked = arguments.parse_args()
    names = " | ".join(name.replace("_", " ") for name in NUMBERS)
    print(f"| set | chosen by | rows | {names} | official | constant | @1 | @5 |")
    print("| --- | --- | ---: |" + " ---: |" * 8)
    for path in asked.sets:
        report = evaluate(path, asked)
        rows = [(report["model"], report)]
        if report["as_said"]:
            rows.append((f"{report['model']}, as said", report | report["as_said"]))
        for who, numbers in rows:
            found = " | ".join(shown(numbers[name]) for name in NUMBERS)
            at = [shown_share(report["retrieved_at"].get(k)) for k in ("1", "5")]
            official = shown(report["official"]) if numbers is report else ""
            print(f"| {report['set']} | {who} | {report['rows']} | {found} | {official} | "
                  f"{constant(path)} | {' | '.join(at)} |")  # fmt: skip


def evaluate(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    words = [sys.executable, "-m", "noria.cli", "act", "eval", str(path), "--json"]
    for name in ("model", "sample", "out"):
        if (value := getattr(asked, name)) is not None:
            words += [f"--{name}", str(value)]
    words += ["--concurrency", "1"]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout))


def constant(path: Path) -> str:
    """What the best single answer to every question scores by APIBench's metric."""
    if not is_apibench(path):
        return ""
    bench = read_apibench(path)
    domains = Counter(row.domain for row in bench.rows)
    calls = {str(api["api_call"]) for api in bench.apis}
    best = max(
        sum(
            count
            for domain, count in domains.items()
            if official_verdict(bench.name, call, domain, bench.apis) == "right"
        )
        for call in calls
    )
    return f"{best / len(bench.rows):.2%}"


def shown(number: dict[str, Any] | None) -> str:
    if number is None:
        return ""
    return f"{number['value']:.1%} [{number['lower']:.1%}, {number['upper']:.1%}]"


def shown_share(share: float | None) -> str:
    return "" if share is None else f"{share:.3f}"


if __name__ == "__main__":
    main()
