"""What a change does to the door's cost: several noria measured in turns.

The speed of a shared machine changes within a minute by more than most changes of the code do. So
all servers run at once, each is asked in its turn, and what counts is the median of the turns'
ratios to the first.

    make bench-turns [NORIA="../before ."]
    python benchmarks/gateway/turns.py NORIA NORIA ... [--turns 10] [--requests 6000]

A NORIA is a folder with a checkout that was set up (`.`), or a folder of compiled modules
(`./build/compiled`, made by `make wheel`), which the checkout that it stands in then runs with.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from measure import Server
from peers import Peer, mock, noria

_STREAM_COSTS = 10
"""A stream takes about as long as so many requests."""


def main() -> None:
    """Measure and print the table."""
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with ExitStack() as stack:
        mock_port = stack.enter_context(mock(cores[-1]))
        servers = []
        for place in options.noria:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="noria-turns-"))
            running = _peer(place).running(Path(folder), mock_port, {cores[0]})
            servers.append(Server(stack.enter_context(running)))
            servers[-1].warm_up(options.requests // 4)
        turns = [_turn(servers, options.requests, turn) for turn in range(options.turns)]
    print(_table(options.noria, turns))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("noria", nargs="+", type=Path, help="a checkout, or compiled modules")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--requests", type=int, default=6_000, help="in each turn")
    return parser.parse_args()


def _peer(place: Path) -> Peer:
    place = place.resolve()
    checkout = next((p for p in (place, *place.parents) if (p / ".venv").is_dir()), None)
    if checkout is None:
        sys.exit(f"{place} is not in a checkout that was set up; run `make setup` in it.")
    modules = place if place != checkout else None
    start = noria(checkout / ".venv" / "bin" / "noria", modules)
    return Peer("noria", str(place), lambda: None, start, slow=False)


def _turn(servers: list[Server], requests: int, turn: int) -> list[list[float]]:
    """Ask each once, each turn beginning with another. Gives microseconds for each server: the
    door's for a request and for a stream, and the same of what is behind the door."""
    costs: list[list[float]] = [[] for _ in servers]
    for place in range(len(servers)):
        number = (turn + place) % len(servers)
        server = servers[number]
        _, plain, plain_rest = server.costed(requests)
        _, stream, stream_rest = server.costed(requests // _STREAM_COSTS, stream=True)
        costs[number] = [plain, stream, plain_rest, stream_rest]
        print(".", end="", file=sys.stderr, flush=True)
    return costs


def _table(places: list[Path], turns: list[list[list[float]]]) -> str:
    what = ("a request", "a stream", "behind it, a request", "behind it, a stream")
    lines = [
        f"\n{len(turns)} turns; the median (and the least) in microseconds, and the median ratio",
        f"| noria | {' | '.join(what)} |",
        f"|---|{'---|' * len(what)}",
    ]
    for number, place in enumerate(places):
        cells = []
        for column in range(len(what)):
            costs = [turn[number][column] for turn in turns]
            ratio = median(turn[number][column] / turn[0][column] for turn in turns)
            cells.append(f"{median(costs):,.0f} ({min(costs):,.0f}), {ratio:.2f}")
        lines.append(f"| {place} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
