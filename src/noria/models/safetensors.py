"""Reading weights in the safetensors format."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import WeightsError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Safetensors"]

_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4"}


class Safetensors:
    """A safetensors file: the length of a JSON header, the header, raw little-endian numbers."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            WeightsError: it is absent, or no safetensors file.
        """
        self._path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            length = int.from_bytes(self._map[:8], "little")
            self._base = 8 + length
            self._table: dict[str, dict[str, Any]] = json.loads(self._map[8 : self._base])
        except FileNotFoundError:
            raise WeightsError(f"There is no file {path}.") from None
        except ValueError as problem:
            raise WeightsError(f"{path} is not a safetensors file: {problem}.") from None
        self._table.pop("__metadata__", None)

    @property
    def names(self) -> list[str]:
        """Of the tensors."""
        return list(self._table)

    def shape(self, name: str) -> list[int]:
        """In elements, the fastest-running last."""
        return list(self._table[name]["shape"])

    def read(self, name: str) -> np.ndarray[Any, Any]:
        """A tensor as numpy has it; 16-bit brain floats are widened to 32 bits."""
        import numpy as np

        begin, end = self._table[name]["data_offsets"]
        raw = self._map[self._base + begin : self._base + end]
        kind = self._table[name]["dtype"]
        if kind == "BF16":
            wide = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << 16
            return wide.view(np.float32).reshape(self.shape(name))
        if kind not in _TYPES:
            raise WeightsError(f"{self._path} holds {name} as {kind}, which is not read here.")
        return np.frombuffer(raw, dtype=_TYPES[kind]).reshape(self.shape(name))
