"""The label of a row of data: what noria writes of marked runs says so, and who reads it obeys.

A row's label stands under `label`; where that is an argument of the row's own function, under
`noria.label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noria.errors import ConfigError
from noria.types import Label

__all__ = ["OWN_NAME", "label_of_row", "with_label"]

OWN_NAME = "noria.label"


def with_label(row: dict[str, Any], label: Label) -> dict[str, Any]:
    """The row with its label; a public one needs none."""
    if label is Label.PUBLIC and "label" not in row:
        return row
    return {**row, (OWN_NAME if "label" in row else "label"): str(label)}


def label_of_row(path: Path, number: int, row: Mapping[str, Any]) -> tuple[Label, set[str]]:
    """A row's label, and the field that holds it.

    Raises:
        ConfigError: it is no label. The row may have been meant to be kept back.
    """
    name = OWN_NAME if OWN_NAME in row else "label"
    if name not in row or row[name] is None:
        return Label.PUBLIC, set()
    try:
        return Label.parse(str(row[name]).strip()), {name}
    except ValueError as unknown:
        raise ConfigError(
            f"{path}, line {number}: {name}: {unknown}",
            f"An argument of the name label needs {OWN_NAME} beside it.",
        ) from None
