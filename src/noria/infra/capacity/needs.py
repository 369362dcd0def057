"""What a target load needs: processors, engines and leases, from costs measured in this home.

Each part is a server with a service time; it is bought until its use is at most `utilisation`, and
the wait in front of c servers is Erlang's (M/M/c). Leases contend on one row per budget, which is a
server of its own that cannot be bought twice: it bounds a hot budget.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from noria.errors import ConfigError

__all__ = ["Costs", "Need", "Needs", "erlang_wait", "needs_of"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one request costs, as measured."""

    server_seconds: float
    """CPU of doors and intake together."""
    lease_seconds: float
    """A transaction on a budget's row."""
    requests_per_lease: float
    """How many requests one lease lasts for."""
    engine_seconds: float = 0.0
    """Of an engine of one's own; 0 where providers answer."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one part needs."""

    part: str
    servers: int
    utilisation: float
    wait_seconds: float
    """The mean wait in front of it."""
    most: float
    """Requests/s that one of it bears."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a load needs, and what breaks first."""

    requests_per_second: float
    parts: list[Need]
    breaks_first: str
    """The part that cannot be bought twice."""
    breaks_at: float
    """Requests/s at which it does."""

    def as_json(self) -> dict[str, Any]:
        """As `noria capacity --json` prints it."""
        return asdict(self)


def erlang_wait(load: float, servers: int, service: float) -> float:
    """Compute the mean wait in front of servers of one queue (Erlang C).

    Args:
        load: arrivals/s times the service time, less than `servers`.
        servers: how many there are.
        service: seconds that a server takes.

    Returns: seconds; infinite where the load is not less than the servers.
    """
    if load >= servers:
        return float("inf")
    blocked = 1.0  # Erlang B, by its recursion, which does not overflow
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    waits = blocked / (1 - load / servers * (1 - blocked))
    return waits * service / (servers - load)


def needs_of(
    costs: Costs, requests_per_second: float, *, utilisation: float = 0.7, hot_share: float = 1.0
) -> Needs:
    """Compute what a load needs.

    Args:
        costs: what one request costs.
        requests_per_second: the load.
        utilisation: how much of a part may be used.
        hot_share: the share of the requests that are charged to the one busiest budget.

    Raises:
        ConfigError: a number is out of its range.
    """
    if not 0 < requests_per_second < 1e9:
        raise ConfigError(f"The load is {requests_per_second} requests/s; it must be over 0.")
    if not 0 < utilisation < 1 or not 0 <= hot_share <= 1:
        raise ConfigError("utilisation and hot_share are between 0 and 1.")
    rate = requests_per_second
    leases = rate * hot_share / costs.requests_per_lease
    parts = [
        _bought("processors", rate, costs.server_seconds, utilisation),
        _bought("engines", rate, costs.engine_seconds, utilisation),
    ]
    load = leases * costs.lease_seconds
    most = rate / load if load else float("inf")
    hottest = Need("hottest budget", 1, load, erlang_wait(load, 1, costs.lease_seconds), most)
    return Needs(rate, [*parts, hottest], hottest.part, most)


def _bought(part: str, rate: float, service: float, utilisation: float) -> Need:
    load = rate * service
    servers = max(1, ceil(load / utilisation)) if service else 0
    if not servers:
        return Need(part, 0, 0.0, 0.0, float("inf"))
    wait = erlang_wait(load, servers, service)
    return Need(part, servers, load / servers, wait, utilisation / service)
