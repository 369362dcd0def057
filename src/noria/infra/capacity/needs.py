"""What a target load needs: doors, intake, database and engines, from costs measured in this home.

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

    door_seconds: float
    """CPU of a door."""
    intake_seconds: float
    """CPU of the intake."""
    write_seconds: float
    """Of the database's one writer, for its record."""
    lease_seconds: float
    """A transaction on a budget's row."""
    requests_per_lease: float
    """How many requests one lease lasts for."""
    engine_seconds: float = 0.0
    """Of one sequence of an engine of one's own; 0 where providers answer."""


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
    """The part that is the nearest to its limit and cannot be bought again, else the dearest."""
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
    parts = [
        _bought("doors", rate, costs.door_seconds, utilisation),
        _bought("intake", rate, costs.intake_seconds, utilisation),
        _bought("engines", rate, costs.engine_seconds, utilisation),
    ]
    leases = rate * hot_share / costs.requests_per_lease
    parts += [
        _single("database writer", rate, rate * costs.write_seconds, costs.write_seconds),
        _single("hottest budget", rate, leases * costs.lease_seconds, costs.lease_seconds),
    ]
    parts = [one for one in parts if one is not None]
    bound = min((one for one in parts if one.servers == 1 and one.part in _SINGLE),
                key=lambda one: one.most)  # fmt: skip
    return Needs(rate, parts, bound.part, bound.most)


_SINGLE = ("database writer", "hottest budget")


def _bought(part: str, rate: float, service: float, utilisation: float) -> Need:
    load = rate * service
    servers = max(1, ceil(load / utilisation))
    most = utilisation / service if service else float("inf")
    return Need(part, servers, load / servers, erlang_wait(load, servers, service), most)


def _single(part: str, rate: float, load: float, service: float) -> Need:
    most = rate / load if load else float("inf")
    return Need(part, 1, load, erlang_wait(load, 1, service), most)
