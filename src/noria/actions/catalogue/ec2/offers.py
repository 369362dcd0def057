"""EC2's accelerated offers, from two tables that come with noria.

`offers.csv` has the prices on demand, Linux, as Apache Libcloud's price file of 2025-03-02 lists
them; a price of 0.0 there means that nobody knows it. `types.csv` has what an instance of a type
is made of, as AWS describes it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from noria.actions.catalogue.prices import nano_of_usd
from noria.actions.operation import Offer

__all__ = ["read_offers"]


@cache
def read_offers() -> tuple[Offer, ...]:
    """All of them, by type and region."""
    types = {row["instance_type"]: row for row in _rows("types.csv")}
    found = []
    for row in _rows("offers.csv"):
        made = types[row["instance_type"]]
        found.append(
            Offer(
                "ec2",
                row["region"],
                row["instance_type"],
                nano_of_usd(row["usd_hour"]),
                row["as_of"],
                made["accelerator"],
                int(made["accelerators"]),
                int(made["accelerator_memory_gib"]),
                int(made["vcpus"]),
                float(made["memory_gib"]),
            )
        )
    return tuple(found)


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    return csv.DictReader(text.splitlines())
