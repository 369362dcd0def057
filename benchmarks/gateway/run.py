"""What the door costs, beside other gateways: `make bench-gateway`.

The server under test has one core to itself, the load and the mock upstream share another, and
everything is measured in one run, since the machine's mood changes the figures. CPU time is
that of the server's processes alone.

    python benchmarks/gateway/run.py [--peers noria,litellm] [--scale 0.1] [--no-write]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import load
from load import Target
from measure import Server
from peers import PEERS, Peer, Running, mock

RESULTS = Path(__file__).parent.parent / "RESULTS.md"
BEGIN, END = "<!-- gateway: begin -->", "<!-- gateway: end -->"

_PLAIN, _STREAMS, _SINGLE = 30_000, 3_000, 2_000
_SLOW_PLAIN, _SLOW_STREAMS, _SLOW_SINGLE = 2_000, 100, 200
_PACED, _SLOW_PACED = 640, 32
_MEMORY, _SLOW_MEMORY = 200_000, 2_000
_STAGE = 50_000
_WARM_UP = 500


@dataclass
class Figures:
    """What one server showed. CPU times in microseconds."""

    name: str
    version: str
    cpu_plain: float = 0.0
    cpu_plain_rest: float = 0.0
    cpu_stream: float = 0.0
    cpu_stream_rest: float = 0.0
    cpu_paced: float = 0.0
    cpu_paced_rest: float = 0.0
    p50_1_ms: float = 0.0
    p50_16_ms: float = 0.0
    per_second: float = 0.0
    resident_mb: list[tuple[int, float, float]] = field(default_factory=list)
    """After so many requests: the door's, and the other processes'."""
    failures: int = 0
    first_failure: str = ""


def main() -> None:
    """Measure, print and write the table."""
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = {cores[0]}, {cores[-1]}
    if len(cores) < 2:
        print("There is one core only: load and server share it.", file=sys.stderr)
    os.sched_setaffinity(0, load_core)
    with mock(cores[-1]) as mock_port:
        rows = [_direct(mock_port, options.scale)]
        for name in options.peers.split(","):
            figures = _measure(PEERS[name], mock_port, server_core, options.scale)
            if figures is not None:
                rows.append(figures)
    table = _table(rows)
    print(table)
    if not options.no_write:
        _write(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", default=",".join(PEERS), help="which, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the requests")
    parser.add_argument("--no-write", action="store_true", help="leave RESULTS.md as it is")
    return parser.parse_args()


def _direct(mock_port: int, scale: float) -> Figures:
    target = Target(mock_port, "/v1/chat/completions", "bench")
    figures = Figures("mock direct", "")
    load.run(target, _WARM_UP, 16)
    figures.p50_1_ms = load.run(target, round(_SINGLE * scale), 1).p50_ms
    sixteen = load.run(target, round(_PLAIN * scale), 16)
    figures.p50_16_ms, figures.per_second = sixteen.p50_ms, sixteen.per_second
    return figures


def _measure(peer: Peer, mock_port: int, core: set[int], scale: float) -> Figures | None:
    print(f"{peer.name} ...", file=sys.stderr, flush=True)
    try:
        peer.install()
        with (
            tempfile.TemporaryDirectory(prefix="noria-bench-") as folder,
            peer.running(Path(folder), mock_port, core) as running,
        ):
            return _figures(peer, running, scale)
    except (RuntimeError, subprocess.CalledProcessError) as failed:
        print(f"{peer.name} is left out: {failed}", file=sys.stderr)
        return None


def _figures(peer: Peer, running: Running, scale: float) -> Figures:
    """Measure everything, in an order that leaves memory for last."""
    shown, slow = Figures(peer.name, peer.version), peer.slow
    server = Server(running)
    server.warm_up(round(_WARM_UP * (0.2 if slow else 1)))
    single = server.load(round((_SLOW_SINGLE if slow else _SINGLE) * scale), 1)
    shown.p50_1_ms = single.p50_ms
    plain, door, rest = server.costed(round((_SLOW_PLAIN if slow else _PLAIN) * scale))
    shown.p50_16_ms, shown.per_second = plain.p50_ms, plain.per_second
    shown.cpu_plain, shown.cpu_plain_rest = door, rest
    streams = round((_SLOW_STREAMS if slow else _STREAMS) * scale)
    _, shown.cpu_stream, shown.cpu_stream_rest = server.costed(streams, stream=True)
    paced = round((_SLOW_PACED if slow else _PACED) * scale)
    _, shown.cpu_paced, shown.cpu_paced_rest = server.costed(paced, stream=True, slowly=True)
    _remember(shown, server, round((_SLOW_MEMORY if slow else _MEMORY) * scale))
    shown.failures, shown.first_failure = server.failures, server.first_failure
    return shown


def _remember(shown: Figures, server: Server, most: int) -> None:
    """Resident memory as the number of requests grows."""
    while True:
        shown.resident_mb.append((server.sent, *server.resident_mb()))
        if server.sent >= most:
            return
        stage = min(most, (server.sent // _STAGE + 1) * _STAGE)
        server.load(stage - server.sent, 16)


def _table(rows: list[Figures]) -> str:
    direct = rows[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}. Server on one core, load and mock on another; "
        "noria with authentication, three budgets, journal and full recording of contents on, "
        "the peers with recording off. CPU in microseconds at 16 connections; in brackets what "
        "runs behind the door (noria: the store's intake, the supervisor). A stream has 50 chunks, "
        "sent as fast as they can be, or for a slow one 10 ms apart.",
        "",
        "| server | CPU a request | CPU a stream | CPU a slow stream | added p50 at 1, ms "
        "| added p50 at 16, ms | requests/s | resident MB (after requests) | failures |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| mock direct | | | | {direct.p50_1_ms:.2f} (whole) | {direct.p50_16_ms:.2f} (whole) "
        f"| {direct.per_second:,.0f} | | |",
    ]
    for row in rows[1:]:
        resident = ", ".join(
            f"{door:.0f}{_bracket(rest)} ({requests:,})" for requests, door, rest in row.resident_mb
        )
        lines.append(
            f"| {row.name} {row.version} | {row.cpu_plain:,.0f}{_bracket(row.cpu_plain_rest)} "
            f"| {row.cpu_stream:,.0f}{_bracket(row.cpu_stream_rest)} "
            f"| {row.cpu_paced:,.0f}{_bracket(row.cpu_paced_rest)} "
            f"| {row.p50_1_ms - direct.p50_1_ms:.2f} | {row.p50_16_ms - direct.p50_16_ms:.2f} "
            f"| {row.per_second:,.0f} | {resident} | {row.failures} |"
        )
    lines += [
        f"\n{row.name}'s first failure: `{row.first_failure}`" for row in rows if row.failures
    ]
    return "\n".join([*lines, *_ratios(rows[1:])])


def _bracket(value: float) -> str:
    return f" [{value:,.0f}]" if value >= 0.5 else ""


def _ratios(rows: list[Figures]) -> list[str]:
    peers = [row for row in rows if row.name != "noria"]
    lines = []
    for ours in rows:
        if peers and ours.name == "noria":
            lines += [
                "",
                f"| times noria's door, {ours.version} | a request | a stream | a slow stream |",
                "|---|---|---|---|",
            ]
            lines += [
                f"| {row.name} | {row.cpu_plain / ours.cpu_plain:,.1f} "
                f"| {row.cpu_stream / ours.cpu_stream:,.1f} "
                f"| {row.cpu_paced / ours.cpu_paced:,.1f} |"
                for row in peers
            ]
    return lines


def _write(table: str) -> None:
    """Put the table between its markers in RESULTS.md."""
    text = RESULTS.read_text() if RESULTS.is_file() else "# Results\n"
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## gateway\n\n{BEGIN}\n{END}\n"
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    RESULTS.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
