"""Rows and catalogues in APIBench's form: a question, and the call of one API that answers it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from noria.actions.operation import Effect, Operation
from noria.errors import ConfigError
from noria.evals.lines import objects_of, read_file

__all__ = ["ApiBench", "ApiRow", "is_apibench", "read_apibench"]

_ASKED = re.compile(r"###\s*Instruction:\s*(.*?)\s*(?:###\s*Output|$)", re.DOTALL)
_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class ApiRow:
    """One question and the call that answers it."""

    id: str
    question: str
    call: str
    domain: str


@dataclass(frozen=True, slots=True)
class ApiBench:
    """One corpus of APIBench: its questions and its catalogue."""

    name: str
    """`torchhub`, `huggingface` or `tensorflow`, which the official metric reads differently."""
    rows: tuple[ApiRow, ...]
    apis: tuple[Mapping[str, Any], ...]

    def operations(self) -> list[Operation]:
        """The catalogue as operations. What a call loads is fixed, so none takes arguments."""
        found = []
        for place, api in enumerate(self.apis):
            name = _NAME.sub("_", str(api.get("api_name") or ""))[:48].strip("_")
            found.append(
                Operation(
                    self.name,
                    f"{place}_{name}" if name else str(place),
                    f"{api.get('functionality') or ''}: {api.get('api_name') or ''}".strip(": "),
                    {"type": "object", "properties": {}, "additionalProperties": False},
                    Effect.READ,
                    "python",
                    f"{api.get('domain') or ''}. {_text(api.get('description'))}",
                    binding={"call": str(api.get("api_call") or ""), "place": place},
                )
            )
        return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode() if value else ""


def is_apibench(path: Path) -> bool:
    """Whether a file or a folder holds questions in APIBench's form."""
    try:
        return bool(_questions(path))
    except ConfigError:
        return False


def read_apibench(path: Path) -> ApiBench:
    """Read a corpus.

    Args:
        path: the file of questions (`torchhub_eval.json`), or a folder that holds one; the
            catalogue (`torchhub_api.jsonl`) stands beside it, or in `../api`.

    Raises:
        ConfigError: a file is missing or not of the form.
    """
    file = _questions(path)
    if file is None:
        raise ConfigError(f"{path} has no questions in APIBench's form (*_eval.json).")
    name = file.stem.removesuffix("_eval")
    apis = _apis(file, name)
    rows = []
    for number, row in objects_of(file, read_file(file)):
        data = row.get("api_data")
        if not isinstance(data, dict) or not isinstance(data.get("api_call"), str):
            raise ConfigError(f"{file}, line {number} has no api_data with an api_call.")
        asked = row.get("question") or _instruction(str(row.get("code") or ""))
        if not asked:
            raise ConfigError(f"{file}, line {number} has no question.")
        domain = str(data.get("domain") or "")
        rows.append(ApiRow(f"{name}_{number}", str(asked), data["api_call"], domain))
    return ApiBench(name, tuple(rows), tuple(apis))


def _instruction(code: str) -> str:
    found = _ASKED.search(code)
    return found[1] if found else ""


def _questions(path: Path) -> Path | None:
    """The file of questions; None where there is none."""
    if path.is_dir():
        files = sorted([*path.glob("*_eval.json"), *path.glob("*_eval.jsonl")])
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ConfigError(f"{path} has several corpora: {names}.", "Name one of the files.")
        return files[0] if files else None
    first = next((row for _, row in objects_of(path, read_file(path)[:65536])), None)
    return path if first is not None and "api_data" in first else None


def _apis(file: Path, name: str) -> list[Mapping[str, Any]]:
    stems = (name, f"{name}hub", name.removesuffix("hub"))
    folders = (file.parent, file.parent / "api", file.parent.parent / "api")
    for folder in folders:
        for stem in stems:
            beside = folder / f"{stem}_api.jsonl"
            if beside.is_file():
                return [row for _, row in objects_of(beside, read_file(beside))]
    raise ConfigError(
        f"The catalogue of {file} is missing.", f"Put {name}_api.jsonl beside it, or in ../api."
    )
