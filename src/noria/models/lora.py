"""LoRA adapters in the engine's format, and bases with an adapter merged into them.

An adapter adds `scale * B @ A` to a matrix of its base. peft keeps A and B under the names and in
the row order of transformers; llama.cpp has names of its own, and for models of the llama family
the rows of the query and key projections in the order that its rotary embedding wants: each head's
two halves interleaved.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import WeightsError
from noria.models.gguf import open_gguf
from noria.models.safetensors import Safetensors

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader

__all__ = [
    "PERMUTED",
    "PROJECTIONS",
    "full_weights",
    "merge",
    "peft_to_gguf",
    "permute_rows",
    "rewrite",
]

PROJECTIONS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Names of the projections: transformers' and llama.cpp's."""
PERMUTED = frozenset({"llama", "mistral3"})
"""Architectures whose query and key rows llama.cpp keeps in another order."""
_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.lora_(A|B)\.weight$")


def permute_rows(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of a query or key projection from transformers' order to llama.cpp's.

    Args:
        rows: (heads * head size, columns).
        heads: query heads, or key-value heads for a key projection.
    """
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def peft_to_gguf(folder: Path, base: Path, target: Path) -> None:
    """Write the adapter that peft saved in `folder` as GGUF, for the engine to put on `base`.

    Raises:
        WeightsError: the folder holds no LoRA of projections that the base has.
    """
    import numpy as np
    from gguf import GGUFWriter

    settings = json.loads((folder / "adapter_config.json").read_bytes())
    if settings.get("peft_type") != "LORA" or settings.get("use_dora"):
        raise WeightsError(f"{folder} is not a plain LoRA: {settings.get('peft_type')}.")
    tensors = Safetensors(folder / "adapter_model.safetensors")
    reader = open_gguf(base)
    architecture = _text(reader, "general.architecture")
    alpha, rank = float(settings["lora_alpha"]), int(settings["r"])
    if settings.get("use_rslora"):
        alpha *= rank**0.5  # the engine divides by the rank, rsLoRA by its root
    writer = GGUFWriter(target, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name in tensors.names:
        found = _LAYER.search(name)
        stem = PROJECTIONS.get(found[2]) if found else None
        if found is None or stem is None:
            raise WeightsError(
                f"{folder} adapts {name}, which is none of the projections that an adapter "
                "can have here.",
                f"Train it on {', '.join(PROJECTIONS)}.",
            )
        data = tensors.read(name).astype(np.float32)
        if found[3] == "B" and architecture in PERMUTED:
            data = _permuted(reader, architecture, stem, data)
        side = "a" if found[3] == "A" else "b"
        writer.add_tensor(f"blk.{found[1]}.{stem}.weight.lora_{side}", np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merge(
    base: Path, adapter: Path, target: Path, kind: str, converted: Callable[[int, int], None]
) -> None:
    """Write `base` with an adapter added to its matrices, in the format `kind`.

    Args:
        base: a GGUF model.
        adapter: its LoRA, as `peft_to_gguf` writes it.
        target: the file to write.
        kind: `q8_0`, `q4_0`, `f16`, ... for the matrices; vectors stay as they are.
        converted: told how many tensors are done, and of how many.
    """
    from gguf.quants import dequantize

    reader = open_gguf(adapter)
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    sides = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}

    def changed(name: str, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        a = sides.get(f"{name}.lora_a")
        if a is None:
            return data
        added: np.ndarray[Any, Any] = data + (alpha / a.shape[0]) * (sides[f"{name}.lora_b"] @ a)
        return added

    rewrite(base, target, kind, changed, converted)


def rewrite(
    source: Path,
    target: Path,
    kind: str,
    changed: Callable[[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]],
    converted: Callable[[int, int], None],
) -> None:
    """Copy a GGUF model with its matrices in another format, one tensor at a time.

    Args:
        source: the model.
        target: the file to write; tokenizer, template and the rest of the head are kept.
        kind: the name of the format, such as `q8_0`.
        changed: is given each matrix by name, as 32-bit numbers, and gives back what to write.
        converted: told how many tensors are done, and of how many.

    Raises:
        WeightsError: the format cannot be written here.
    """
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
    from gguf.quants import dequantize, quantize

    from noria.models.convert import announce, begin_tensors, copied_head

    try:
        wanted = GGMLQuantizationType[kind.upper()]
        file_type = LlamaFileType["ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"]
        quantize(np.zeros((1, GGML_QUANT_SIZES[wanted][0]), np.float32), wanted)
    except (KeyError, NotImplementedError):
        raise WeightsError(
            f"{kind!r} is not a format that can be written here.",
            "These are: q8_0, q5_1, q5_0, q4_1, q4_0, f16, bf16, f32.",
        ) from None
    reader = open_gguf(source)
    writer = copied_head(reader, target, int(file_type))
    block = GGML_QUANT_SIZES[wanted][0]
    kinds = {}
    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        matrix = len(shape) > 1 and shape[-1] % block == 0
        # The embedding table is the output matrix too: at 4 bits it would cost the most.
        table = tensor.name.startswith(("token_embd", "output.")) and wanted.name.startswith("Q4")
        kept = GGMLQuantizationType.Q8_0 if table else wanted
        kinds[tensor.name] = kept if matrix else GGMLQuantizationType.F32
        announce(writer, tensor.name, shape, kinds[tensor.name])
    begin_tensors(writer)
    for number, tensor in enumerate(reader.tensors, 1):
        data = changed(tensor.name, dequantize(tensor.data, tensor.tensor_type))
        writer.write_tensor_data(quantize(data.astype(np.float32), kinds[tensor.name]))
        converted(number, len(reader.tensors))
    writer.close()


def full_weights(
    base: Path, state: Mapping[str, np.ndarray[Any, Any]]
) -> Callable[[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """For `rewrite`: the matrices of a model that was trained as a whole.

    Args:
        base: the GGUF file that it began from.
        state: the trained matrices by transformers' names, such as
            `model.layers.0.mlp.up_proj.weight`.
    """
    reader = open_gguf(base)
    architecture = _text(reader, "general.architecture")

    named: dict[str, str] = {}
    for original in state:
        found = re.search(r"layers\.(\d+)\.(.+)\.weight$", original)
        if found and found[2] in PROJECTIONS:
            named[f"blk.{found[1]}.{PROJECTIONS[found[2]]}.weight"] = original

    def replaced(name: str, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        original = named.get(name)
        if original is None:
            return data
        trained = state[original]
        if architecture in PERMUTED:
            return _permuted(reader, architecture, name.split(".")[2], trained)
        return trained

    return replaced


def _permuted(
    reader: GGUFReader, architecture: str, stem: str, data: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    if stem not in ("attn_q", "attn_k"):
        return data
    heads = int(reader.fields[f"{architecture}.attention.head_count"].contents())
    if stem == "attn_k":
        grouped = reader.fields.get(f"{architecture}.attention.head_count_kv")
        heads = int(grouped.contents()) if grouped is not None else heads
    return permute_rows(data, heads)


def _text(reader: GGUFReader, key: str) -> str:
    return str(reader.fields[key].contents())
