"""What a GGUF file says of itself: kind, architecture, context, template, licence, tensors.

The head is read here and not by the library `gguf`, whose reader makes an array of every token and
needs seconds for a vocabulary of 49,152. Long lists are walked over and left out.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import WeightsError

if TYPE_CHECKING:
    from gguf import GGUFReader

__all__ = ["GgufAbout", "check_adapter", "open_gguf", "read_about"]

_PLAIN = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
"""Value types of the format that have a fixed size."""
_STRING, _LIST = 8, 9
_LONGEST_LIST = 64
"""Longer lists (the vocabulary) are walked over."""


@dataclass(frozen=True, slots=True)
class GgufAbout:
    """The head of a GGUF file."""

    architecture: str
    adapter: bool
    """A LoRA that stands on another file."""
    embeds: bool
    """Its architecture makes embeddings and cannot chat."""
    context: int | None
    """Tokens that it was trained for."""
    template: str | None
    """The chat template, in Jinja."""
    license: str | None
    name: str | None
    parameters: int
    """Weights in all tensors together."""
    shapes: dict[str, tuple[int, ...]] = field(repr=False)
    """Of each tensor, in elements, the fastest-running first (GGUF's own order)."""
    values: dict[str, Any] = field(repr=False)
    """Everything else that the head says, long lists left out."""


def open_gguf(path: Path) -> GGUFReader:
    """Open a GGUF file to read its tensors, with the library.

    Raises:
        WeightsError: it is none, or its end is missing.
    """
    from gguf import GGUFReader

    read_about(path)
    return GGUFReader(path)


def read_about(path: Path) -> GgufAbout:
    """Read what a GGUF file says of itself.

    Raises:
        WeightsError: it is no GGUF file, or of an architecture that nobody knows.
    """
    from gguf import MODEL_ARCH_NAMES

    values, shapes = _read_head(path)
    architecture = str(values.get("general.architecture") or "")
    if architecture not in MODEL_ARCH_NAMES.values():
        raise WeightsError(
            f"{path.name} is of the architecture {architecture!r}, which the engine does not know."
        )
    context = values.get(f"{architecture}.context_length")
    template = values.get("tokenizer.chat_template")
    pooled = values.get(f"{architecture}.pooling_type")
    return GgufAbout(
        architecture=architecture,
        adapter=values.get("general.type") == "adapter",
        embeds="bert" in architecture or (pooled not in (None, 0) and not template),
        context=context if isinstance(context, int) else None,
        template=str(template) if template else None,
        license=_text(values.get("general.license")),
        name=_text(values.get("general.name")),
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        shapes=shapes,
        values=values,
    )


def check_adapter(adapter: GgufAbout, base: GgufAbout, named: str, base_name: str) -> None:
    """Check that an adapter was made for a base: the same architecture, tensors and widths.

    Raises:
        WeightsError: it was made for another one.
    """

    def refuse(reason: str) -> WeightsError:
        return WeightsError(
            f"{named} is an adapter of another base than local:{base_name}: {reason}.",
            "Name the model that it was trained on: --base local:NAME",
        )

    if adapter.architecture != base.architecture:
        raise refuse(f"it is for {adapter.architecture}, the base is {base.architecture}")
    seen = 0
    for name, shape in adapter.shapes.items():
        stem, _, side = name.rpartition(".lora_")
        if not stem:
            continue
        seen += 1
        target = base.shapes.get(stem)
        if target is None:
            raise refuse(f"the base has no tensor {stem}")
        expected, given = (target[0], shape[0]) if side == "a" else (target[1], shape[1])
        if expected != given:
            raise refuse(f"{name} is {given} wide where the base is {expected}")
    if not seen:
        raise WeightsError(f"{named} holds no LoRA tensors.")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_head(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The head's values, and the tensors' shapes."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                raise WeightsError(f"{path.name} is not a GGUF file: it does not begin with GGUF.")
            head = _Head(data)
            values = {head.text(): head.value(head.plain("<I")) for _ in range(head.counts[1])}
            shapes, ends = {}, 0
            for _ in range(head.counts[0]):
                name = head.text()
                dimensions = head.plain("<I")
                shape = tuple(head.plain("<Q") for _ in range(dimensions))
                ends = max(ends, _stored(head.plain("<I"), shape) + head.plain("<Q"))
                shapes[name] = shape
            step = values.get("general.alignment") or 32
            begin = -(-head.at // step) * step
            if begin + ends > len(data):
                raise ValueError(f"it has {len(data):,} bytes of {begin + ends:,}")
            return values, shapes
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.") from None
    except (ValueError, struct.error, UnicodeDecodeError, KeyError) as problem:
        raise WeightsError(
            f"{path.name} cannot be read as GGUF: it is cut off or damaged ({problem})."
        ) from None


def _stored(kind: int, shape: tuple[int, ...]) -> int:
    """The bytes that a tensor takes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    return math.prod(shape) // block * size


class _Head:
    """A cursor over the head of a file: little-endian numbers, strings with their length first."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 4
        version = self.plain("<I")
        if version not in (2, 3):
            raise ValueError(f"version {version} of the format")
        self.counts: tuple[int, int] = (self.plain("<Q"), self.plain("<Q"))
        if max(self.counts) > 10_000_000:
            raise ValueError("it counts more entries than any model has")

    def plain(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        begin = self._over_text()
        return self._data[begin : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _LIST:
            return self.plain(_PLAIN[kind])
        inner, length = self.plain("<I"), self.plain("<Q")
        if length <= _LONGEST_LIST:
            return [self.value(inner) for _ in range(length)]
        if inner == _STRING:
            for _ in range(length):
                self._over_text()
        elif inner == _LIST:
            raise ValueError("a list of long lists")
        else:
            self._skip(length * struct.calcsize(_PLAIN[inner]))
        return None

    def _over_text(self) -> int:
        length = self.plain("<Q")
        begin = self.at
        self._skip(length)
        return begin

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise ValueError("its end is missing")
