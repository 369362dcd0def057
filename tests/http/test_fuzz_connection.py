"""The HTTP lane never takes for a request what h11 does not. `make soak` tries a million cases."""

from __future__ import annotations

from tests.support.fuzz import fuzz


def test_ten_thousand_mutated_requests_are_read_as_h11_reads_them() -> None:
    tally = fuzz(10_000)
    assert not tally.differing, "\n".join(map(repr, tally.differing))
    assert tally.cases == 10_000
    # Both sides of the question were asked often.
    assert tally.accepted > 3_000
    assert tally.refused > 2_000
