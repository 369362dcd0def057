"""Files that the engine loads, made of what the sources deliver.

Both recipes read and write one tensor at a time, so that a few megabytes of memory suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.models.safetensors import Safetensors

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

__all__ = ["announce", "begin_tensors", "bert_to_gguf", "copied_head", "requantise"]

Converted = Callable[[int, int], None]
"""Told how many tensors are done, and of how many."""


def requantise(source: Path, target: Path, kind: str, converted: Converted) -> None:
    """Copy a GGUF file with its 4-bit matrices in another format, `q8_0` or `q4_0`.

    At 8 bits nothing is lost: 32 values of Q4_1 take at most 16 levels, and prompts are read
    twice as fast. Norms and the embedding table stay as they are.
    """
    from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType
    from gguf.quants import dequantize, quantize

    wanted, file_type = {
        "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
        "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
    }[kind]
    reader = GGUFReader(source)
    writer = copied_head(reader, target, int(file_type))

    def changes(stored: GGMLQuantizationType) -> bool:
        return stored is GGMLQuantizationType.Q4_1

    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        kept = wanted if changes(tensor.tensor_type) else tensor.tensor_type
        announce(writer, tensor.name, shape, kept)
    begin_tensors(writer)
    for number, tensor in enumerate(reader.tensors, 1):
        data: np.ndarray[Any, Any] = tensor.data
        if changes(tensor.tensor_type):
            data = quantize(dequantize(data, tensor.tensor_type), wanted)
        writer.write_tensor_data(data)
        converted(number, len(reader.tensors))
    writer.close()


def copied_head(reader: GGUFReader, target: Path, file_type: int) -> GGUFWriter:
    """Begin a file with all that another one says of its model, but for the weights' format."""
    from gguf import GGUFWriter

    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        value = file_type if field.name == "general.file_type" else field.contents()
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, value, field.types[0], sub_type)
    return writer


def bert_to_gguf(source: Path, vocabulary: Path, target: Path, converted: Converted) -> None:
    """Write a sentence-transformers BERT (all-MiniLM-L6-v2) as the engine wants it.

    Matrices go to 8 bits: a third faster than 16, and vectors keep a cosine of 0.999 with those of
    the 32-bit weights.

    Args:
        source: `model.safetensors` with 32-bit weights.
        vocabulary: `vocab.txt`, one WordPiece token a line.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, PoolingType
    from gguf.quants import quantize

    tensors = Safetensors(source)
    names = {_gguf_name(name): name for name in tensors.names if _gguf_name(name)}
    width = tensors.shape(names["token_embd.weight"])[1]
    writer = GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(tensors.shape(names["position_embd.weight"])[0])
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(tensors.shape(names["blk.0.ffn_up.weight"])[0])
    writer.add_block_count(sum(name.endswith("ffn_up.weight") for name in names))
    writer.add_head_count(width // 32)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    _add_wordpiece(writer, vocabulary)
    q8_0, f32 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.F32
    kinds = {}
    for name, original in names.items():
        shape = tensors.shape(original)
        # Position and token-type tables are added to 32-bit sums and stay 32 bits wide.
        matrix = len(shape) == 2 and not name.startswith(("position_embd", "token_types"))
        kinds[name] = q8_0 if matrix else f32
        announce(writer, name, shape, kinds[name])
    begin_tensors(writer)
    for number, (name, original) in enumerate(names.items(), 1):
        data = tensors.read(original)
        writer.write_tensor_data(data if kinds[name] is f32 else quantize(data, kinds[name]))
        converted(number, len(names))
    writer.close()


def announce(writer: GGUFWriter, name: str, shape: list[int], kind: GGMLQuantizationType) -> None:
    """Put a tensor in the file's header. `shape` counts elements, the fastest-running last."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    stored = math.prod(shape) // block * size
    # Any type but uint8 says that the shape counts elements and not bytes.
    writer.add_tensor_info(name, shape, np.dtype(np.float32), stored, kind)


def begin_tensors(writer: GGUFWriter) -> None:
    """Write the head; the tensors' data follow in the order in which they were announced."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()


def _add_wordpiece(writer: GGUFWriter, vocabulary: Path) -> None:
    """llama.cpp marks the start of a word with `▁`; WordPiece marks the continuation with `##`."""
    from gguf import TokenType

    words = vocabulary.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    special = {word: number for number, word in enumerate(words) if word in _SPECIAL}
    tokens, kinds = [], []
    for word in words:
        if word.startswith("[") and word.endswith("]") and len(word) > 2:
            tokens.append(word)
            kinds.append(TokenType.CONTROL if word in _SPECIAL else TokenType.UNUSED)
        else:
            tokens.append(word[2:] if word.startswith("##") else "\u2581" + word)
            kinds.append(TokenType.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_eos_token_id(special["[SEP]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_mask_token_id(special["[MASK]"])


_SPECIAL = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
_TABLES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def _gguf_name(name: str) -> str:
    """The engine's name of a BERT tensor; empty for one that it has no use for."""
    stem, _, leaf = name.rpartition(".")
    if stem in _TABLES:
        return f"{_TABLES[stem]}.{leaf}"
    if stem.startswith("encoder.layer."):
        number, _, part = stem.removeprefix("encoder.layer.").partition(".")
        return f"blk.{number}.{_BLOCK[part]}.{leaf}"
    return ""
