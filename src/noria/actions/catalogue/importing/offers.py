"""Offers of a cloud, from a table: CSV with one row for a type in a region."""

from __future__ import annotations

import csv
import re

from noria.actions.catalogue.prices import nano_of_usd
from noria.actions.operation import Offer
from noria.errors import NoriaError

__all__ = ["read_offers_table"]

_NEEDED = ("instance_type", "region", "usd_hour", "as_of")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def read_offers_table(name: str, data: bytes, source: str) -> list[Offer]:
    """The offers of a table.

    Columns: `instance_type`, `region`, `usd_hour` (empty or 0: unknown, which is never free),
    `as_of` (`YYYY-MM-DD`); and where they are known `provider` (by default the catalogue's name),
    `accelerator`, `accelerators`, `accelerator_memory_gib`, `vcpus`, `memory_gib`.

    Raises:
        NoriaError: a row cannot be used; the message names the line and the column.
    """
    try:
        rows = csv.DictReader(data.decode("utf-8-sig").splitlines())
    except UnicodeDecodeError:
        raise NoriaError(f"{source} is not UTF-8.") from None
    missing = [one for one in _NEEDED if one not in (rows.fieldnames or ())]
    if missing:
        raise NoriaError(
            f"{source} has no column {', '.join(missing)}.", f"It needs {', '.join(_NEEDED)}."
        )
    found: dict[tuple[str, str, str], Offer] = {}
    for row in rows:
        at = f"{source}, line {rows.line_num}"
        if not row["instance_type"] or not row["region"]:
            raise NoriaError(f"{at}: instance_type and region: must not be empty.")
        if not _DAY.fullmatch(row["as_of"] or ""):
            raise NoriaError(f"{at}: as_of: {row['as_of']!r} is no day; write YYYY-MM-DD.")
        offer = Offer(
            row.get("provider") or name,
            row["region"],
            row["instance_type"],
            _price(row["usd_hour"], at),
            row["as_of"],
            (row.get("accelerator") or "").lower(),
            int(_number(row, "accelerators", at)),
            int(_number(row, "accelerator_memory_gib", at)),
            int(_number(row, "vcpus", at)),
            _number(row, "memory_gib", at),
        )
        key = offer.provider, offer.region, offer.instance_type
        if key in found:
            raise NoriaError(f"{at}: {offer.instance_type} in {offer.region} stands there twice.")
        found[key] = offer
    return list(found.values())


def _price(text: str | None, at: str) -> int | None:
    try:
        return nano_of_usd(text or "")
    except ValueError as wrong:
        raise NoriaError(f"{at}: usd_hour: {wrong}.") from None


def _number(row: dict[str, str], column: str, at: str) -> float:
    text = (row.get(column) or "0").strip()
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise NoriaError(f"{at}: {column}: {text!r} is no number.")
    return value
