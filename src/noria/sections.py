"""What every table of `noria.toml` is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator

from noria.types import Budget, Label

__all__ = ["BudgetText", "LabelText", "Section"]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")
    return value


BudgetText = Annotated[Budget, PlainValidator(lambda value: Budget.parse(_text(value)))]
LabelText = Annotated[
    Label,
    PlainValidator(lambda value: value if isinstance(value, Label) else Label.parse(_text(value))),
]


class Section(BaseModel):
    """A table of the file. Unknown keys are refused, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)
