"""What a load needs: the formulas against what is known of them, and bounds."""

from __future__ import annotations

from math import inf, isclose

import pytest

from noria.errors import ConfigError
from noria.infra.capacity.needs import Costs, erlang_wait, needs_of

COSTS = Costs(server_seconds=0.0005, lease_seconds=0.002, requests_per_lease=100)


def test_erlangs_wait_is_that_of_the_tables() -> None:
    # M/M/1: rho / (mu - lambda)
    assert isclose(erlang_wait(0.5, 1, 1.0), 1.0)
    # M/M/2 at rho 0.5: C = 1/3, so the wait is 1/3 of a service
    assert isclose(erlang_wait(1.0, 2, 1.0), 1 / 3)
    assert erlang_wait(2.0, 2, 1.0) == inf
    assert erlang_wait(900.0, 1000, 1.0) < 1e-3


def test_parts_are_bought_until_their_use_is_allowed() -> None:
    needs = needs_of(COSTS, 10_000)
    processors = next(one for one in needs.parts if one.part == "processors")
    assert processors.servers == 8  # 5 busy ones, at most 70 % used
    assert processors.utilisation <= 0.7
    assert needs.breaks_first == "hottest budget"
    assert isclose(needs.breaks_at, 50_000)
    assert isclose(needs_of(COSTS, 10_000, hot_share=0.5).breaks_at, 100_000)


@pytest.mark.parametrize("load", [0, -1, float("nan")])
def test_a_load_that_is_none_is_refused(load: float) -> None:
    with pytest.raises(ConfigError):
        needs_of(COSTS, load)
